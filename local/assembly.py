"""Synthesizes the CDK app into a cloud assembly: templates and assets, ready to be deployed.

Synthesis costs about ten seconds of jsii before the first stack, so an assembly is kept under a digest of all that it
was made from (sources, locked dependencies, Python version, context) and used again while none of that changes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from local.environment import child_environment, node_folder

Target = Literal["lambda", "local"]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"

# What a template is made from. A file that the CDK app reads from elsewhere belongs in this list.
SOURCES = ("app.py", "cdk.json", "services.toml", "stacks", "lambdas", "pipelines", "requirements/run.txt")

# More than a minute was never seen; a machine under load may take several.
TIMEOUT_SECONDS = 300

# Enough for the demo and the settings that the tests vary; an assembly is some 30 MB.
KEPT = 12
PRUNED_AFTER_SECONDS = 3600.0
HALF_MADE = ".making-"
ATTEMPTS = 3


class SynthesisError(Exception):
    """The app cannot be synthesized. `str()` is one clear line with the mend."""


class SettingsRefusedError(SynthesisError):
    """A setting or an architecture is not one that the app accepts: the user's mistake, not the app's."""


def synthesize(
    architecture: str | None,
    target: Target = "local",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    stack_name: str | None = None,
    *,
    out: Path | None = None,
    root: Path | None = None,
    tags: Mapping[str, str] | None = None,
    self_destruct: Mapping[str, Any] | None = None,
) -> Path:
    """The folder of the assembly that holds this architecture and those that it needs, or every available one if None.

    `settings` maps an architecture's id to its settings (`{"image-labeling": {"minimum_confidence": 70}}`),
    `stack_name` overrides the CloudFormation name, `tags` are put on every stack, and `self_destruct` (its settings)
    adds the stack that removes them. Without `out` the assembly is kept in `.build/assemblies` and shared: do not
    change it. With `out` (a folder that does not exist yet) it is always made anew, and then `root` may be the folder
    of another version of the project.
    Raises SettingsRefusedError for what the app refuses, SynthesisError for everything else that goes wrong.
    """
    context: dict[str, Any] = {"target": target}
    if architecture is not None:
        context["architecture"] = architecture
    if settings:
        context["settings"] = {key: dict(value) for key, value in settings.items()}
    if stack_name is not None:
        context["stack_name"] = stack_name
    if tags:
        context["tags"] = dict(tags)
    if self_destruct:
        context["self_destruct"] = dict(self_destruct)
    if out is not None:
        _run_app(context, out, root)
        return out
    for _ in range(ATTEMPTS):
        folder = BUILD / "assemblies" / _digest(context)
        if (folder / "manifest.json").is_file():
            with contextlib.suppress(OSError):
                os.utime(folder)
            return folder
        _make(context, folder)
    raise SynthesisError("The sources change faster than they are synthesized: try again.")


def _make(context: Mapping[str, Any], folder: Path) -> None:
    """Makes the assembly of this folder, unless the sources are changed meanwhile: then it would not be theirs."""
    turns = folder.parent / f"{HALF_MADE}{folder.name}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=HALF_MADE))
        turn = os.open(turns, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise SynthesisError(f"Cannot write to {folder.parent}: {error.strerror}.") from error
    try:
        # Who asks for what another makes waits for it. Where a file system knows no locks, both make it.
        with contextlib.suppress(OSError):
            fcntl.flock(turn, fcntl.LOCK_EX)
        if folder.exists():
            return
        _run_app(context, work / "out")
        if _digest(context) == folder.name:
            with contextlib.suppress(OSError):
                (work / "out").rename(folder)
    finally:
        with contextlib.suppress(OSError):
            turns.unlink()
        os.close(turn)
        shutil.rmtree(work, ignore_errors=True)
    _prune(folder.parent, keep=folder)


def _digest(context: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([context, platform.python_version()], sort_keys=True).encode())
    for name in SOURCES:
        for file in _files(ROOT / name):
            digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:20]


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from sorted(
            file
            for file in place.rglob("*")
            if file.is_file() and file.suffix != ".pyc" and "__pycache__" not in file.parts
        )


def _run_app(context: Mapping[str, Any], out: Path, other: Path | None = None) -> None:
    root = other or ROOT
    # What is not a string reaches the app as JSON text, as it does with the CDK CLI's `-c settings=...`.
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in context.items()}
    temporary = out.parent / f"{out.name}.tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {
        **child_environment(),
        "CDK_CONTEXT_JSON": json.dumps(texts),
        "CDK_OUTDIR": str(out),
        "JSII_NODE": str(node_folder() / "node"),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(BUILD / "jsii"),
        # jsii unpacks itself there, and cannot tidy up when it is ended.
        "TMPDIR": str(temporary),
        # The engine that holds templates against CloudFormation's schemas takes five seconds to start. It looks at the
        # template for AWS, from which the one for this machine differs in its packages alone.
        **({"CDK_VALIDATION": "false"} if context["target"] == "local" else {}),
    }
    process = subprocess.Popen(  # noqa: S603 (our own interpreter and app)
        [sys.executable, str(root / "app.py")],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(f"Synthesis did not end within {TIMEOUT_SECONDS} s. Is the machine overloaded?") from error
    finally:
        _end(process)
        shutil.rmtree(temporary, ignore_errors=True)
    if process.returncode == 0 and (out / "manifest.json").is_file():
        return
    raise _failure(process.returncode, f"{output}\n{errors}")


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the app and the Node process that it started, in whatever state they are."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _failure(code: int, text: str) -> SynthesisError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "ENOSPC" in text or os.strerror(errno.ENOSPC) in text:
        return SynthesisError("The disk is full: free some space and try again.")
    last = lines[-1] if lines else f"the app ended with status {code} and said nothing"
    if code == 2:
        return SettingsRefusedError(last)
    if not any(line.startswith("Traceback ") for line in lines):
        return SynthesisError(last)
    log = BUILD / "synthesis.log"
    try:
        log.write_text(text, encoding="utf-8")
    except OSError:
        return SynthesisError(f"The app cannot be synthesized: {last}")
    return SynthesisError(f"The app cannot be synthesized: {last} (all of it: {log.relative_to(ROOT)})")


def _prune(assemblies: Path, keep: Path) -> None:
    """Removes the oldest assemblies, and what a killed synthesis left, but nothing that was used within the hour."""
    aged = []
    for folder in assemblies.iterdir():
        # Another process may be pruning too.
        with contextlib.suppress(FileNotFoundError):
            aged.append((folder.stat().st_mtime, folder))
    whole = sorted(entry for entry in aged if not entry[1].name.startswith(HALF_MADE))
    half_made = [entry for entry in aged if entry[1].name.startswith(HALF_MADE)]
    for used, folder in [*whole[: max(len(whole) - KEPT, 0)], *half_made]:
        if folder != keep and time.time() - used > PRUNED_AFTER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.unlink(missing_ok=True)
