"""Serves a model with its script, as AWS's XGBoost and scikit-learn images do: `python serve.py`.

It stands alone: it imports nothing of this project, so that the script meets what it would meet in a container.

Environment, as in AWS's images:

    SM_MODEL_DIR                          folder of the unpacked artefact; `/opt/ml/model`
    SAGEMAKER_PROGRAM                     the script; `inference.py`
    SAGEMAKER_SUBMIT_DIRECTORY            its folder; `<model folder>/code`
    SAGEMAKER_BIND_TO_PORT                8080; 0 takes a free port and writes its number to LOCAL_PORT_FILE
    SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT  what a caller gets who accepts anything; `application/json`

The script has `model_fn(model_dir)`, and either `transform_fn(model, data, content_type, accept)` or `input_fn(data,
content_type)`, `predict_fn(data, model)` and `output_fn(prediction, accept)`. Text (JSON, CSV) comes as str, all else
as bytes. The answer is a body, or a pair of body and content type. An exception is answered with 500, or with its
`status_code`, if it has one. AWS's images have functions of their own for those that a script leaves out; here such a
script is refused, so that nothing is served which AWS would serve otherwise.

A script is called by one thread at a time: AWS's images give each of their workers a process.

Sources: "Custom Inference Code with Hosting Services", Amazon SageMaker Developer Guide, and the sources of AWS's
sagemaker-inference-toolkit (the functions, the names of the environment, the status of an exception), read 2026-11-27.
"""

from __future__ import annotations

import importlib.util
import os
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

TEXT = ("application/json", "text/csv")
# Other images read all of SageMaker's headers; this one passes nothing but the body and its types to the script.
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_STEPS = ("input_fn", "predict_fn", "output_fn")

Transform = Callable[[Any, Any, str, str], Any]


class ScriptError(Exception):
    """The script is not there, or does not keep to the contract; the message says how."""


class Model:
    """A loaded model and the script's functions on it."""

    def __init__(self, folder: Path, script: ModuleType, accept: str) -> None:
        self._transform = _transform_of(script)
        self._accept = accept
        self._turn = threading.Lock()
        self._model = _function(script, "model_fn")(str(folder))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Body and content type of the prediction for a request. Raises what the script raises."""
        wanted = accept if accept and accept != "*/*" else self._accept
        data = body.decode() if content_type.partition(";")[0].strip() in TEXT else body
        with self._turn:
            result = self._transform(self._model, data, content_type, wanted)
        if isinstance(result, tuple):
            result, wanted = result
        return result.encode() if isinstance(result, str) else bytes(result), wanted


def load(environment: dict[str, str]) -> Model:
    """The model that the environment names. Raises ScriptError, and what the script raises."""
    folder = Path(environment.get("SM_MODEL_DIR", "/opt/ml/model"))
    place = environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or str(folder / "code")
    if "://" in place:
        raise ScriptError(f"This container takes its script from the model's artefact, not from {place}.")
    path = Path(place) / environment.get("SAGEMAKER_PROGRAM", "inference.py")
    if not path.is_file():
        raise ScriptError(f"There is no script {path.name} in the folder {path.parent.name} of the model's artefact.")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ScriptError(f"{path.name} is no Python module.")
    script = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = script
    spec.loader.exec_module(script)
    return Model(folder, script, environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"))


def _transform_of(script: ModuleType) -> Transform:
    given = [name for name in _STEPS if hasattr(script, name)]
    if hasattr(script, "transform_fn"):
        if given:
            raise ScriptError(f"A script has transform_fn or {', '.join(given)}, not both.")
        whole: Transform = script.transform_fn
        return whole
    read, predict, write = (_function(script, name) for name in _STEPS)

    def transform(model: Any, data: Any, content_type: str, accept: str) -> Any:
        return write(predict(read(data, content_type), model), accept)

    return transform


def _function(script: ModuleType, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(script, name, None)
    if found is None:
        raise ScriptError(f"The script has no {name}, and this container has none of its own.")
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one piece, at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._reply(200 if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length")
        if self.path != "/invocations" or size is None:
            self.close_connection = True
            self._reply(404 if size else 411, b"")
            return
        body = self.rfile.read(int(size))
        try:
            answer, kind = self.server.model.answer(
                body, self.headers.get("Content-Type", ""), self.headers.get("Accept", "")
            )
        except Exception as error:  # noqa: BLE001 (whatever a script raises is the request's failure, not the server's)
            traceback.print_exc()
            status = getattr(error, "status_code", 500)
            self._reply(status if isinstance(status, int) else 500, str(error).encode(), "text/plain")
            return
        self._reply(200, answer, kind)

    def _reply(self, status: int, body: bytes, kind: str = "") -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """One line a request would be most of the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, model: Model) -> None:
        self.model = model
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """HTTPServer would look up the machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, *_: Any) -> None:
        """A caller who hangs up is no failure of the model."""


def main() -> None:
    """Load, listen, serve until the process is ended. A model that cannot be loaded ends it with 1."""
    environment = dict(os.environ)
    try:
        model = load(environment)
    except ScriptError as error:
        sys.exit(str(error))
    server = _Server(int(environment.get("SAGEMAKER_BIND_TO_PORT", "8080")), model)
    if told := environment.get("LOCAL_PORT_FILE"):
        # Nobody ever reads half a number.
        half = Path(f"{told}.half")
        half.write_text(str(server.server_port))
        half.replace(told)
    print("The model is loaded; waiting for requests.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
