"""The container contract without containers: a process in a folder that stands for `/opt/ml`.

An image is played by a program of this machine. Its process works in a folder of its own; wherever a command, an
argument or a variable says `/opt/ml`, it is told that folder instead, also within the text of a `bash -c`. A script
that builds such a path by itself does not find it, so scripts take their folders as arguments or from the environment.
The process has the session of the job's role, this cloud's address and certificate, and ends with the emulator.

What is not real: no image is pulled, so its other contents and the role's rights on ECR do not matter; the machine's
processors and memory are there, not the instance type's; the file system is shared, not the container's own. Network
isolation takes away credentials and makes Python refuse every connection; native code could go around that
(`local/guard`).

Sources, read 2026-11-27: Amazon SageMaker AI Developer Guide, "How Amazon SageMaker Processing Runs Your Processing
Container Image", and "Log groups and streams that Amazon SageMaker AI sends to Amazon CloudWatch Logs". Not found: the
wording of failure reasons.
"""

import contextlib
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import guard
from local.emulator import clock
from local.environment import child_environment
from local.services.wire import Caller, ServiceError

INSIDE = "/opt/ml"
# Between the signal that asks a container to end and the one that ends it: API Reference of StopTrainingJob.
GRACE_SECONDS = 120.0
FLUSH_SECONDS = 0.3
# PutLogEvents takes 1 MB and 10,000 events at once, 256 KB an event (API Reference of CloudWatch Logs).
_MOST_EVENTS = 1000
_LONGEST_LINE = 16_000
_LONGEST_REASON = 1024

_log = logging.getLogger(__name__)


class ContainerError(Exception):
    """A container could not be run. `str()` is the failure reason that the service reports."""


# --- Images ----------------------------------------------------------------------------------------------------------

# Who plays AWS's images here, by their repository: Python with what they bring, or this project's own monitor.
PYTHON, MONITOR = "python", "monitor"
_IMAGES = {
    "sagemaker-xgboost": PYTHON,
    "sagemaker-scikit-learn": PYTHON,
    "sagemaker-model-monitor-analyzer": MONITOR,
}
_URI = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)(?:[:@].+)?")


def program_of(image: str) -> str:
    """Which program plays an image: PYTHON or MONITOR. Raises ContainerError for an image that nobody plays."""
    found = _URI.fullmatch(image)
    program = _IMAGES.get(found["repository"]) if found else None
    if program is None:
        raise ContainerError(
            f"ClientError: This local cloud runs no containers and has nothing to play the image {image}. "
            f"It plays {', '.join(sorted(_IMAGES))} of Amazon ECR."
        )
    return program


# --- Folders ---------------------------------------------------------------------------------------------------------

_MENTION = re.compile(r"(?:(?<=file://)|(?<![\w./-]))/opt/ml(?![\w.-])")
# A folder that a shell takes for one word.
_PLAIN = re.compile(r"[\w./+@-]+")


class Workspace:
    """The folder that stands for `/opt/ml` in one container."""

    def __init__(self, name: str) -> None:
        home = tempfile.gettempdir()
        parent = Path(home) / "sagemaker" if _PLAIN.fullmatch(home) else Path("/tmp/sagemaker-local")  # noqa: S108
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name[:40]}-", dir=parent))
        self.root = self.folder / "opt" / "ml"
        self.root.mkdir(parents=True)
        (self.folder / "tmp").mkdir()

    def path(self, inside: str) -> Path:
        """Where a path of the container is. Raises ContainerError for one that is not under `/opt/ml`."""
        plain = os.path.normpath(inside)
        if plain != INSIDE and not plain.startswith(f"{INSIDE}/"):
            raise ContainerError(f"ClientError: The path {inside} must lie under {INSIDE}.")
        return self.root / plain.removeprefix(INSIDE).lstrip("/")

    def told(self, text: str) -> str:
        """A text of the request as the process is told it: `/opt/ml` is the folder."""
        return _MENTION.sub(lambda _: str(self.root), text)

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


# --- Logs ------------------------------------------------------------------------------------------------------------


class LogStream:
    """A stream of CloudWatch Logs that a container's output goes to, written with its role's permissions.

    Without them the container runs and its output is lost, which the emulator's log tells.
    """

    def __init__(self, caller: Caller, group: str, stream: str) -> None:
        self._caller, self._where = caller, {"logGroupName": group, "logStreamName": stream}
        self._opened: bool | None = None
        self._lines: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._where["logStreamName"]

    def write(self, line: str) -> None:
        """Keep a line for the next `flush`. An empty one is left out: CloudWatch Logs takes none."""
        if line.strip():
            self._lines.append({"timestamp": int(clock.now() * 1000), "message": line[:_LONGEST_LINE]})

    def flush(self) -> None:
        """Send what was written since."""
        while self._lines:
            some, self._lines = self._lines[:_MOST_EVENTS], self._lines[_MOST_EVENTS:]
            if self._opened is None:
                self._opened = self._open()
            if self._opened:
                try:
                    self._caller.call("logs", "PutLogEvents", {**self._where, "logEvents": some})
                except ServiceError as error:
                    _log.warning("Output of %s is lost: %s", self.name, error)

    def _open(self) -> bool:
        # A group that is there, made by somebody else, is not made, and the right to make it is not needed.
        for operation in ("CreateLogStream", "CreateLogGroup", "CreateLogStream"):
            group_only = {"logGroupName": self._where["logGroupName"]}
            try:
                self._caller.call("logs", operation, group_only if operation == "CreateLogGroup" else self._where)
                if operation == "CreateLogStream":
                    return True
            except ServiceError as error:
                if error.code == "ResourceAlreadyExistsException" and operation == "CreateLogStream":
                    return True
                if error.code not in ("ResourceAlreadyExistsException", "ResourceNotFoundException"):
                    _log.warning("The output of %s is lost: %s", self.name, error)
                    return False
        return False


# --- Processes -------------------------------------------------------------------------------------------------------

# The command is run in this shell's place, and a child of the shell waits until the pipe from the emulator, its
# standard input, breaks, and then ends the group: so nothing outlives the emulator, however that ends. (A pipe with a
# number of its own would not do: some shells know no descriptors of two digits.)
_LIFELINE = """
exec 3<&0 </dev/null
trap "" TERM
(read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
trap - TERM
exec "$@" 3<&-
"""


@dataclass
class Container:
    """A process that plays a container.

    workspace    its `/opt/ml`; the caller of this removes it afterwards
    command      what is run, with paths as in the container
    caller       whose session it gets; None for one that is isolated from the network, which gets none
    environment  its variables, with paths as in the container
    folder       where it starts, as in the container
    log          takes its output, both streams; None where nobody wants it
    line         called with each line of the output
    """

    workspace: Workspace
    command: Sequence[str]
    caller: Caller | None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = INSIDE
    log: LogStream | None = None
    line: Callable[[str], None] | None = None
    last_line: str = ""

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._pump: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process. Raises ContainerError where its program is not there."""
        told = [self.workspace.told(part) for part in self.command]
        environment = self._environment()
        if shutil.which(told[0], path=environment["PATH"]) is None:
            raise ContainerError(f"AlgorithmError: There is no program {self.command[0]} to run.")
        reading, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (the user's own script)
                ["/bin/sh", "-c", _LIFELINE, "sh", *told],
                cwd=self.workspace.path(self.folder),
                env=environment,
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)
        self._pump = threading.Thread(target=self._forward, args=(self._process,), name="container-log", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The process, which leads its process group."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        if self._process is None:
            return False
        if (alive := self._process.poll() is None) is False:
            # Nobody else may look: what is left of its group goes, too.
            self.wait()
        return alive

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code when it has ended and its output is told, 128 + n for signal n; None after `seconds`."""
        process = self._started()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        # Whatever it left behind in its group, the lifeline's keeper above all.
        self._signal(signal.SIGKILL)
        with self._lock:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
        if self._pump is not None:
            self._pump.join(10)
        return code if code >= 0 else 128 - code

    def stop(self, grace: float = GRACE_SECONDS) -> int:
        """Ask it to end, end it after `grace` seconds, and return its exit code."""
        self._signal(signal.SIGTERM)
        code = self.wait(grace)
        return self.kill() if code is None else code

    def kill(self) -> int:
        """End it at once, and return its exit code."""
        self._signal(signal.SIGKILL)
        code = self.wait()
        return 137 if code is None else code

    def _signal(self, number: int) -> None:
        # Once the lifeline is closed the group is gone, and its number may be somebody else's.
        # macOS answers EPERM for a group of which only zombies are left.
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if self._lifeline >= 0:
                os.killpg(self._started().pid, number)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("The container was not started")
        return self._process

    def _environment(self) -> dict[str, str]:
        environment = child_environment()
        given = {name: self.workspace.told(value) for name, value in self.environment.items()}
        path = [str(Path(sys.executable).parent), given.pop("PATH", ""), environment["PATH"]]
        # The guard comes before whatever the job has on its path.
        libraries = [environment["PYTHONPATH"], given.pop("PYTHONPATH", "")]
        environment |= {
            **given,
            "HOME": str(self.workspace.folder),
            "TMPDIR": str(self.workspace.folder / "tmp"),
            "PATH": os.pathsep.join(filter(None, path)),
            "PYTHONPATH": os.pathsep.join(filter(None, libraries)),
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
        }
        return environment | (guard.isolation() if self.caller is None else self.caller.environment())

    def _forward(self, process: "subprocess.Popen[bytes]") -> None:
        """Hand the output on, line by line, until the last process that holds the pipe is gone."""
        stream = process.stdout
        if stream is None:
            return
        rest, flushed = b"", time.monotonic()
        while True:
            ready, _, _ = select.select([stream], [], [], FLUSH_SECONDS)
            chunk = os.read(stream.fileno(), 65_536) if ready else b""
            ended = bool(ready) and not chunk
            *lines, rest = (rest + chunk).split(b"\n")
            for line in [*lines, rest] if ended and rest else lines:
                self._tell(line.decode(errors="replace").rstrip("\r"))
            if ended or time.monotonic() - flushed > FLUSH_SECONDS:
                if self.log is not None:
                    self.log.flush()
                flushed = time.monotonic()
            if ended:
                stream.close()
                return

    def _tell(self, line: str) -> None:
        if line.strip():
            self.last_line = line.strip()
        if self.line is not None:
            try:
                self.line(line)
            except Exception:  # noqa: BLE001 (the process would block once the pipe is full)
                _log.exception("A line of a container could not be read")
        if self.log is not None:
            self.log.write(line)


def failure_reason(workspace: Workspace, code: int) -> str:
    """Why a container failed: what it wrote to `/opt/ml/output/failure`, else that its log tells more."""
    file = workspace.path("/opt/ml/output/failure")
    told = file.read_text(errors="replace").strip() if file.is_file() else ""
    reason = told[: _LONGEST_REASON - 60] or "See job logs for more information"
    return f"AlgorithmError: {reason}, exit code: {code}"
