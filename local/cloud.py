"""The local cloud, seen from the process that starts or uses it.

An emulator runs in a child process, in a session of its own, so that its whole process group, Lambda workers included,
ends together. Its state (port, process, certificate, log, temporary files) lives in `.local/<name>/` and goes with it;
only the log of one that died, or did not start, stays.
"""

import contextlib
import fcntl
import functools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import psutil

from local.control import Control, ControlError
from local.emulator import certificate
from local.environment import NO_USER_SETTINGS, ROOT_KEYS, child_environment
from scenarios.cloud import behind
from stacks.assets import TARGET_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 3.0
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class CloudError(Exception):
    """Something about the local cloud is wrong. The message is one line and says the mend."""


class LocalCloud:
    """A running emulator. Made by `start` or `attach`; satisfies `scenarios.cloud.Cloud`. Usable with `with`."""

    region = "us-east-1"
    account = "000000000000"
    # What is started, how long that may take, and how its state says what it is.
    module: ClassVar[str] = "local.emulator"
    start_seconds: ClassVar[float] = START_SECONDS
    kind: ClassVar[str] = "local"
    # What it is, and whether it holds anybody to a policy, in words that a place stands between.
    is_a: ClassVar[tuple[str, str]] = ("an emulator", "IAM enforced")
    # Whether `control` can move its clock.
    clock_moves: ClassVar[bool] = True

    def __init__(self, name: str, state: dict[str, Any], process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.name = name
        self.folder = STATE / name
        self.port: int = state["port"]
        self.pid: int = state["pid"]
        self.endpoint_url = f"https://{HOST}:{self.port}"
        self.ca_bundle = self.folder / "ca.pem"
        self.control = Control(self.port, state["token"], self.ca_bundle)
        self._token: str = state["token"]
        self._detached: bool = state["detached"]
        self._process = process
        self._clients: dict[str, Any] = {}
        self._client_lock = threading.Lock()

    @classmethod
    def start(cls, name: str = "default", port: int | None = None, *, detached: bool = False) -> "LocalCloud":
        """Start a cloud on `port` (default: a free one) and wait until it answers.

        Unless `detached`, it dies with this process, however this process ends. Raises CloudError when the name is in
        use, the port is taken or the emulator does not come up.
        """
        if not NAME.fullmatch(name):
            raise CloudError(f"A cloud's name is made of small letters, digits and dashes; {name!r} is not.")
        folder = STATE / name
        with _exclusive():
            cls._tidy_up_after_killed_parents()
            if (found := cls._read(name)) is not None:
                if found.alive():
                    raise CloudError(
                        f"The local cloud {name!r} is already running at {found.endpoint_url}; stop it first."
                    )
                found._end()
            more = cls._more_state(port)
            with bind(None if more else port) as listener:
                port = listener.getsockname()[1]
                state = {"name": name, "port": port, "token": secrets.token_urlsafe(32), "detached": detached}
                state |= {"kind": cls.kind, **more}
                try:
                    _make_state_folder(folder)
                    process = _spawn(cls.module, folder, state, listener)
                except BaseException:
                    _remove_state(folder, keep_log=False)
                    raise
            state["pid"] = process.pid
            cloud = cls(name, state, process)
            try:
                _write_private(folder / "cloud.json", json.dumps(state))
            except BaseException:
                cloud._end()
                raise
        try:
            cloud._wait_until_ready()
        except BaseException as error:
            with _exclusive():
                cloud._end(keep_log=isinstance(error, CloudError))
            raise
        return cloud

    @classmethod
    def attach(cls, name: str = "default") -> "LocalCloud | None":
        """The running cloud of that name, else None. Of a dead one only the log is left."""
        cloud = cls._read(name)
        if cloud is None or cloud.alive():
            return cloud
        with _exclusive():
            # Another process may have started one anew meanwhile.
            cloud = cls._read(name)
            if cloud is None or cloud.alive():
                return cloud
            cloud._end()
        return None

    @classmethod
    def _tidy_up_after_killed_parents(cls) -> None:
        """Remove what clouds left whose parents were killed. Of detached ones this may be all that tells of them."""
        for place in STATE.iterdir():
            found = cls._read(place.name)
            if found is not None and not found._detached and not found.alive():
                found._end()

    @classmethod
    def _more_state(cls, port: int | None) -> dict[str, Any]:
        """What else the process must know, and whoever attaches to it, of a cloud with a port beside ours.

        Raises CloudError where it cannot be started, or not on this `port`.
        """
        del port
        return {}

    @classmethod
    def _read(cls, name: str) -> "LocalCloud | None":
        """The cloud that the state of this name tells of, dead or alive; None where there is none that can be read."""
        if not NAME.fullmatch(name):
            return None
        try:
            state = json.loads((STATE / name / "cloud.json").read_text())
            meant = type(state["pid"]) is type(state["port"]) is int and isinstance(state["token"], str)
            kind = _kind(state.get("kind"))
            return kind(name, state) if meant and 0 < state["pid"] < 1 << 31 and 0 < state["port"] < 1 << 16 else None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError):
            return None

    def alive(self) -> bool:
        """Whether the emulator's process is there. A process that only inherited its number does not count."""
        if self._process is not None:
            return self._process.poll() is None
        try:
            process = psutil.Process(self.pid)
        except psutil.Error:
            return False
        return _names(process, self.folder) and _lives(process)

    def stop(self) -> None:
        """End the emulator and everything that it started, and remove its state. Stopping twice is fine.

        Of an emulator that had died by itself the log stays, if it says anything.
        """
        with _exclusive():
            self._end()

    def environment(self) -> dict[str, str]:
        """A complete environment for a subprocess that works on this cloud: endpoint, keys, region, trust, guard."""
        return {
            **child_environment(),
            **ROOT_KEYS,
            **self._trust(),
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # The CDK CLI looks for this one by name.
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def _trust(self) -> dict[str, str]:
        return trust(self.ca_bundle)

    def tools_environment(self) -> dict[str, str]:
        """What a user's shell needs so that any AWS tool works on this cloud, and on nothing else.

        Other programs of that shell still reach the internet and trust what they trusted: `trust` would change that.
        The user's profiles are out of sight, as the CDK command line prefers one to keys.
        """
        names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION")
        environment = self.environment()
        return {
            **{name: environment[name] for name in names if name in environment},
            **ROOT_KEYS,
            **NO_USER_SETTINGS,
            TARGET_VARIABLE: "local",
        }

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of this cloud over verified TLS, as its root user. `config` goes to botocore's Config.

        The user's AWS settings play no part. Clients without `config` are shared; they are safe to use in threads.
        When the emulator is gone, a call raises CloudError.
        """
        if config:
            return self._make_client(service, config)
        with self._client_lock:
            if service not in self._clients:
                self._clients[service] = self._make_client(service, {})
            return self._clients[service]

    def reachable(self, url: str) -> str:
        """An API's address as AWS makes it, turned into the one at which this cloud answers; others as they are."""
        return behind(self.endpoint_url, url)

    def __enter__(self) -> "LocalCloud":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_client(self, service: str, config: dict[str, Any]) -> Any:
        from botocore.config import Config

        settings = {
            "retries": {"mode": "standard", "total_max_attempts": 3},
            "s3": {"addressing_style": "path"},
            # An empty mapping, unlike None, keeps botocore from asking the environment for a proxy.
            "proxies": {},
            "use_fips_endpoint": False,
            "use_dualstack_endpoint": False,
            "max_pool_connections": 32,
        }
        client = session().client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=ROOT_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
            **({"verify": str(self.ca_bundle)} if self.endpoint_url.startswith("https:") else {}),
            config=Config(**{**settings, **config}),
        )
        client.meta.events.register("after-call-error", self._explain_death)
        return client

    def _explain_death(self, **_: Any) -> None:
        if not self.alive():
            raise CloudError(self._death())

    def _death(self) -> str:
        log = self.folder / "emulator.log"
        why = f"; its log is {log}" if _says_something(log) else ""
        return f"The local cloud {self.name!r} has stopped{why}. Start it again."

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if not self.alive():
                raise CloudError(f"The local cloud {self.name!r} did not start: {_last_line(self.folder)}")
            with contextlib.suppress(OSError, ControlError):
                self.control.health()
                return
            time.sleep(0.05)
        raise CloudError(
            f"The local cloud {self.name!r} did not answer within {self.start_seconds:.0f} s: {_last_line(self.folder)}"
        )

    def _end(self, *, keep_log: bool = False) -> None:
        """Nothing is worth saving and a hanging handler must not be waited for, so there is no gentler signal first."""
        keep_log = keep_log or not self.alive()
        members = _group(self.pid)
        if self._process is not None or self.alive():
            # Not reaped yet, or known by its command line: the number is still this cloud's, and so is its group.
            # macOS answers EPERM for a group of which only zombies are left: nothing there is to be killed.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            # The number may be somebody else's by now: only what names this cloud's folder was started by it.
            members = [member for member in members if _names(member, self.folder)]
            for member in members:
                with contextlib.suppress(psutil.Error):
                    member.kill()
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(_lives, members)) and time.monotonic() < deadline:
            time.sleep(0.01)
        successor = self._read(self.name)
        if successor is None or successor._token == self._token:
            _remove_state(self.folder, keep_log=keep_log)


def _kind(name: object) -> type[LocalCloud]:
    """The class of a cloud by what its state says."""
    if name == "localstack":
        from local.localstack.cloud import LocalStack

        return LocalStack
    return LocalCloud


@contextlib.contextmanager
def _exclusive() -> Iterator[None]:
    """One process and thread at a time starts a cloud or removes one: else two could have one folder at once."""
    STATE.mkdir(parents=True, exist_ok=True)
    folder = os.open(STATE, os.O_RDONLY)
    try:
        # A file system that knows no locks must not keep a cloud from starting.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def trust(ca_bundle: Path) -> dict[str, str]:
    """The variables by which boto3, urllib, requests and Node come to trust the cloud's authority, and it alone."""
    path = str(ca_bundle)
    return {"AWS_CA_BUNDLE": path, "REQUESTS_CA_BUNDLE": path, "SSL_CERT_FILE": path, "NODE_EXTRA_CA_CERTS": path}


@functools.cache
def session() -> Any:
    """One boto3 session that reads neither the environment's profile nor any settings file."""
    import boto3
    import botocore.session

    nowhere = (None, None, os.devnull, None)
    return boto3.session.Session(
        botocore_session=botocore.session.Session(
            {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
        )
    )


def bind(port: int | None) -> socket.socket:
    """Take the port here and hand it down: nobody can take it in between. Raises CloudError when it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((HOST, port or 0))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise CloudError(f"Port {port} cannot be used ({reason}). Name another, or none to get a free one.") from error
    return listener


def _make_state_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    folder.chmod(0o700)
    certificate.issue(folder)


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, and that nobody ever sees half written."""
    half = path.with_name(f".{path.name}")
    half.touch(mode=0o600)
    half.write_text(text)
    half.replace(path)


def _spawn(module: str, folder: Path, state: dict[str, Any], listener: socket.socket) -> "subprocess.Popen[bytes]":
    settings = {**state, "folder": str(folder), "listener": listener.fileno()}
    _write_private(folder / "settings.json", json.dumps(settings))
    environment = {
        **child_environment(),
        **trust(folder / "ca.pem"),
        "AUTH": "true",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(state["port"]),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": LocalCloud.account,
        "MINISTACK_REGION": LocalCloud.region,
        "MINISTACK_SSL_CERT": str(folder / "server.pem"),
        "MINISTACK_SSL_KEY": str(folder / "server.key"),
        "S3_DATA_DIR": str(folder / "tmp" / "s3"),
        "STATE_DIR": str(folder / "tmp" / "state"),
        "SFTP_ENABLED": "0",
        "TMPDIR": str(folder / "tmp"),
        # Lambda runs on UTC.
        "TZ": "UTC",
        "USE_SSL": "1",
    }
    with (folder / "emulator.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", module, str(folder)],
            cwd=ROOT,
            env=environment,
            # An open pipe to this process is the child's lifeline: it ends when this process does.
            stdin=subprocess.DEVNULL if state["detached"] else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


def _group(leader: int) -> list[psutil.Process]:
    """The processes of a group."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) == leader:
                members.append(process)
    return members


def _lives(process: psutil.Process) -> bool:
    """Whether a process still runs. Ended ones that nobody reaps, as in a container without an init, do not."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _names(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was started with this cloud's folder in its command line, as emulator and workers are."""
    try:
        return any(str(folder) in part for part in process.cmdline())
    except psutil.Error:
        return False


def _remove_state(folder: Path, *, keep_log: bool) -> None:
    """Remove a cloud's folder, or all of it but the log where that may be the only witness."""
    log = folder / "emulator.log"
    if not keep_log or not _says_something(log):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != log:
            path.unlink(missing_ok=True)


def _says_something(log: Path) -> bool:
    return log.is_file() and log.stat().st_size > 0


def _last_line(folder: Path) -> str:
    log = folder / "emulator.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    if not lines:
        return "it said nothing. `python3 -m local doctor` looks for the cause."
    return f"{lines[-1]} (whole log: {log})"
