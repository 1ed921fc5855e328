"""ONNX Runtime sessions, all with the same settings, and the cache of the graphs that we build."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime

_log = logging.getLogger(__name__)

_DIGEST_SIZE = hashlib.sha256().digest_size


def threads() -> int:
    """Threads of a slow model that answers one caller at a time: `LOCAL_MODEL_THREADS`, or 2.

    Where several clouds share the cores, as in tests, one is better: two pages read at once on 2 cores took 5.0 s each
    with two threads a model, 3.6 s with one; a page alone 2.2 s with two, 3.3 s with one.
    """
    return int(os.environ.get("LOCAL_MODEL_THREADS", "2"))


def open_session(model: bytes | Path) -> onnxruntime.InferenceSession:
    """A session on the processor, one thread a call.

    Measured with EfficientNet-Lite0 on 2 cores, milliseconds an image: one thread 9 alone and 4.8 with two calls at
    once; two threads 5 alone and 6.5 with two calls at once, at a third more processor time. The stand-ins answer
    several callers at once and share the machine with the emulator and its functions, so they take one thread each.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def cached(name: str, build: Callable[[], bytes]) -> bytes:
    """What `build` returned, this time or an earlier one.

    The file ends with its own digest, so one that was cut short or altered is built again. It is put in place in one
    step: processes that build at the same time each find a whole file. A folder that cannot be written only costs time.
    `name` must change when the content would.
    """
    path = cache_folder() / name
    try:
        stored = path.read_bytes()
    except OSError:
        stored = b""
    content, digest = stored[:-_DIGEST_SIZE], stored[-_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() == digest:
        return content
    content = build()
    try:
        _store(path, content + hashlib.sha256(content).digest())
    except OSError as error:
        _log.warning("%s is not kept, and will be built anew: %s", path, error)
    return content


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


def cache_folder() -> Path:
    """Where built graphs are kept: `.build/models` of this project, or the folder named by LOCAL_MODEL_CACHE."""
    named = os.environ.get("LOCAL_MODEL_CACHE")
    return Path(named) if named else Path(__file__).parents[3] / ".build" / "models"
