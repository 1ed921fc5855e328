"""One instance behind an endpoint: a process that serves a model, its health, and requests to it.

The serving program (`local/containers/serve.py`) plays the image, with the model's artefact in its `/opt/ml/model`. It
is started as the model's execution role, which reads the artefact. Connections to it are kept and used again.

A transform job can use the same:

    with serving(artefact, actor, log) as instance:
        answer = instance.ask(body, {"Content-Type": "text/csv"})

Sources: "Use Your Own Inference Code with Hosting Services", Amazon SageMaker Developer Guide, in its public source,
which ends in 2023, read 2026-11-27: `/ping` is answered within 2 s; a container that does not pass its health check
within 4 minutes has failed (`ContainerStartupHealthCheckTimeoutInSeconds` sets another time); an inference takes 60 s
at most; a container is asked to end by SIGTERM and ended 30 s later. The reason of an unwell container is from reports
of users, those about artefacts are named from memory. Here a container that ends by itself has failed at once: whether
AWS starts it again until the time is over is not documented.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local.containers import serve
from local.services.sagemaker.containers import PYTHON, Container, ContainerError, LogStream, Workspace, program_of
from local.services.wire import Caller, ObjectUnavailable

STARTUP_SECONDS = 4 * 60.0
PING_SECONDS = 2.0
INVOCATION_SECONDS = 60.0
STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class StartError(Exception):
    """An instance could not be brought into service. `str()` says why, in the service's words."""


class NoAnswerError(Exception):
    """The connection failed before any part of an answer came: the request may be asked elsewhere."""


class TooLateError(Exception):
    """The container did not answer in time."""


@dataclass(frozen=True)
class Artefact:
    """What a container is made of: image, `s3://` URL of the model's archive (or none), variables."""

    image: str
    model_data: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = False


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's value, by its name in any case."""
        return self.headers.get(name.lower())


class Instance:
    """A started container. `outstanding` counts the requests that it is busy with; the endpoint keeps it."""

    def __init__(self, identity: str, container: Container) -> None:
        self.identity = identity
        self.outstanding = 0
        self._container = container
        self._port = 0
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._used = (0.0, time.monotonic())

    @property
    def pid(self) -> int:
        """The process."""
        return self._container.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._container.running

    def await_health(self, seconds: float) -> bool:
        """Whether `/ping` is answered with 200 within the time. Not when the process ends before."""
        told = self._container.workspace.folder / "port"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.running:
            if not self._port and told.is_file():
                self._port = int(told.read_text())
            if self._port and self.ping():
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def ping(self) -> bool:
        """Whether the container says now that it is well."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PING_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ask(self, body: bytes, headers: Mapping[str, str], seconds: float = INVOCATION_SECONDS) -> Answer:
        """POST to `/invocations`. Raises NoAnswerError, TooLateError."""
        deadline = time.monotonic() + seconds
        connection = self._kept()
        if connection is not None:
            with contextlib.suppress(NoAnswerError):
                # It may have been closed since it was used last: that says nothing of the container.
                return self._exchange(connection, body, headers, deadline)
        return self._exchange(http.client.HTTPConnection("127.0.0.1", self._port), body, headers, deadline)

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> Answer:
        try:
            answer = _exchanged(connection, body, headers, deadline)
        except BaseException:
            connection.close()
            raise
        if answer.header("connection") == "close":
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return answer

    def utilisation(self) -> tuple[float, float] | None:
        """Processor in percent of one core since the last call, and memory in percent; None for an ended process."""
        try:
            processes = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
            used = sum(sum(process.cpu_times()[:2]) for process in processes)
            memory = sum(process.memory_percent() for process in processes)
        except psutil.Error:
            return None
        (before, since), now = self._used, time.monotonic()
        self._used = used, now
        return max(0.0, 100 * (used - before) / max(now - since, 1e-3)), min(100.0, memory)

    def stop(self) -> None:
        """End the process and forget its folder. Requests that it is busy with are lost: drain it before."""
        if self.running:
            self._container.stop(STOP_SECONDS)
        for connection in self._idle:
            connection.close()
        self._container.workspace.remove()

    def kill(self) -> None:
        """End it at once, for example because it is not well."""
        self._container.kill()
        self._container.workspace.remove()


def _exchanged(
    connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str], deadline: float
) -> Answer:
    try:
        left = max(deadline - time.monotonic(), 1e-3)
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)
        connection.request("POST", "/invocations", body, dict(headers))
        response = connection.getresponse()
    except TimeoutError as error:
        raise TooLateError from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(str(error)) from error
    try:
        content = response.read()
    except TimeoutError as error:
        raise TooLateError from error
    except (OSError, http.client.HTTPException):
        # Part of an answer has come, so the model has been at work: not to be asked again.
        return Answer(0, {}, b"The container closed the connection within its answer.")
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def launch(
    artefact: Artefact, actor: Caller, log: LogStream, identity: str, seconds: float = STARTUP_SECONDS
) -> Instance:
    """Start a container and wait until it is well. Raises StartError."""
    workspace = Workspace("endpoint")
    try:
        _check_image(artefact.image)
        _unpack(artefact, actor, workspace.path("/opt/ml/model"))
        instance = Instance(identity, _container(artefact, actor, log, workspace))
    except ContainerError as error:
        workspace.remove()
        raise StartError(str(error)) from error
    except BaseException:
        workspace.remove()
        raise
    if not instance.await_health(seconds):
        instance.kill()
        raise StartError(UNWELL)
    return instance


def _check_image(image: str) -> None:
    if program_of(image) != PYTHON:
        raise ContainerError(f"ClientError: The image {image} serves no models.")


# What a caller completes with the variant, which a container does not know.
UNWELL = "did not pass the ping health check"


def _container(artefact: Artefact, actor: Caller, log: LogStream, workspace: Workspace) -> Container:
    container = Container(
        workspace=workspace,
        command=[sys.executable, serve.__file__],
        caller=None if artefact.isolated else actor,
        environment={
            **artefact.environment,
            "SM_MODEL_DIR": "/opt/ml/model",
            "SAGEMAKER_BIND_TO_PORT": "0",
            "LOCAL_PORT_FILE": str(workspace.folder / "port"),
        },
        log=log,
    )
    container.start()
    return container


def _unpack(artefact: Artefact, actor: Caller, folder: Path) -> None:
    folder.mkdir(parents=True)
    if artefact.model_data is None:
        return
    bucket, _, key = artefact.model_data.partition("://")[2].partition("/")
    try:
        content = actor.read_object(bucket, key, None)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
    except ObjectUnavailable as error:
        raise StartError(
            f'Failed to download model data for container "container_1" from URL: "{artefact.model_data}". Please'
            " ensure that there is an object located at the URL and that the role passed to CreateModel has permissions"
            " to download the object."
        ) from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise StartError(
            f'Failed to extract model data archive for container "container_1" from URL "{artefact.model_data}". Please'
            " ensure that the object located at the URL is a valid tar.gz archive"
        ) from error


@contextlib.contextmanager
def serving(artefact: Artefact, actor: Caller, log: LogStream) -> Iterator[Instance]:
    """One started container, ended with the context. Raises StartError."""
    instance = launch(artefact, actor, log, "local")
    try:
        yield instance
    finally:
        instance.stop()
