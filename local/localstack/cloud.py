"""A LocalStack as a cloud: a core that is started here, or the user's own.

The core runs without a container and without a token. Its process, the one between it and the project, and all
functions end together; its files lie in `.local/<name>/`, as those of the embedded cloud do.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from local import LOCALSTACK
from local.cloud import STATE, CloudError, LocalCloud, bind
from local.control import Control, ControlError
from local.environment import REMEMBERED_ENDPOINT
from local.guard import is_loopback
from local.localstack import core, plugins

# How the user's own is called in messages.
OWN = "own-localstack"
# Where one is looked for that nobody has named.
USUAL_HOST, USUAL_PORT = "localhost", "4566"
# By public name servers this is 127.0.0.1, and so is all below it; no name server is asked from here. LocalStack's
# certificate is for this name. Sources: "Accessing LocalStack via the endpoint URL" and "HTTPS/TLS Support",
# LocalStack's documentation, read 2026-11-28.
PUBLIC_NAME = "localhost.localstack.cloud"
ANSWER_SECONDS = 3.0


class LocalStack(LocalCloud):
    """A running LocalStack core with the project's services in it. Made by `start` or `attach`, as a LocalCloud is.

    LocalStack speaks plain HTTP here: its own certificate is for a public name. `control` reaches the project's
    services alone (`local.localstack.host`).
    """

    module: ClassVar[str] = "local.localstack"
    # Its modules are 2,000, which take their time to read on a busy machine.
    start_seconds: ClassVar[float] = 120.0
    kind: ClassVar[str] = "localstack"
    is_a: ClassVar[tuple[str, str]] = ("a LocalStack core", "which enforces no permission")
    clock_moves: ClassVar[bool] = False

    def __init__(self, name: str, state: dict[str, Any], process: subprocess.Popen[bytes] | None = None) -> None:
        super().__init__(name, state, process)
        self.endpoint_url = f"http://{core.HOST}:{state['edge']}"

    @classmethod
    def _more_state(cls, port: int | None) -> dict[str, Any]:
        python = core.python()
        if python is None:
            raise CloudError(core.MISSING)
        # LocalStack binds its port itself. Nobody else gets this one in the moment between, but by bad luck.
        with bind(port) as free:
            return {"python": str(python), "edge": free.getsockname()[1]}

    def _trust(self) -> dict[str, str]:
        """Nothing to trust: it speaks plain HTTP."""
        return {}

    def lacks(self) -> str | None:
        """Why no scenario of this project can run on it; None where all services that it needs are mounted."""
        return None

    def reachable(self, url: str) -> str:
        """An API's address as LocalStack makes it, turned into the one at which it answers here."""
        return reachable(self.endpoint_url, url)


class OwnLocalStack(LocalStack):
    """The user's own LocalStack, which was up before and stays up. Made by `own`.

    It may be of any edition; a token is its own affair: it had it when it was started. The project's services are in
    it only where it loads the project's plug-ins (`mounted`), and nothing of it can be controlled.
    """

    def __init__(self, endpoint: str, mounted: frozenset[str]) -> None:
        state = {"port": 0, "pid": os.getpid(), "token": "", "detached": True, "edge": 0}
        super().__init__(OWN, state)
        self.folder = STATE / OWN
        self.endpoint_url = endpoint
        self.mounted = mounted
        self.control = _NoControl()

    def lacks(self) -> str | None:
        missing = sorted(set(plugins.MOUNTED) - self.mounted)
        if not missing:
            return None
        return (
            f"your LocalStack at {self.endpoint_url} has not this project's {', '.join(missing)} in it; "
            "without it a core is started here that has them"
        )

    def alive(self) -> bool:
        """Whether it answers."""
        return _health(self.endpoint_url) is not None

    def stop(self) -> None:
        """It is not ours to stop."""


class _NoControl(Control):
    """There is nothing to control: faults are none, so none are left to clear; all else is refused."""

    def __init__(self) -> None:
        """Nothing is kept."""

    def faults_clear(self, rule_id: str | None = None) -> None:
        if rule_id is not None:
            self._refuse()

    def _object(self, method: str, path: str, body: object = None) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ControlError("Not on LocalStack: the user's own cannot be controlled.")


def own(environment: Mapping[str, str] = os.environ) -> LocalStack | None:
    """The user's own LocalStack that is up; None where there is none, and none was named.

    That may be a core that a command of this project has started: then it is that one, with all that it can do.

    It is where `localstack-client` looks (its `config` module, version 2.12, read 2026-11-28): AWS_ENDPOINT_URL, else
    LOCALSTACK_HOST (host, or host and port), else localhost; EDGE_PORT is the port where none is said. Raises
    CloudError for one that was named and does not answer, is not on this machine, or is to be reached by HTTPS.
    """
    url = environment.get(REMEMBERED_ENDPOINT, "").strip()
    named = url or environment.get("LOCALSTACK_HOST") or environment.get("EDGE_PORT")
    endpoint = _at_home(url or _by_host(environment))
    health = _health(endpoint)
    if health is None:
        if named:
            raise CloudError(
                f"Your environment names a LocalStack at {endpoint}, which does not answer. "
                "Start it, or unset AWS_ENDPOINT_URL, LOCALSTACK_HOST and EDGE_PORT to have one started here."
            )
        return None
    if (started := _started_here(endpoint)) is not None:
        return started
    state = _get(endpoint, "/_mounted") or {}
    return OwnLocalStack(endpoint, frozenset(state.get("services", ())))


def _started_here(endpoint: str) -> LocalStack | None:
    port = urllib.parse.urlsplit(endpoint).port
    for folder in STATE.iterdir() if STATE.is_dir() else ():
        found = LocalCloud.attach(folder.name)
        if isinstance(found, LocalStack) and urllib.parse.urlsplit(found.endpoint_url).port == port:
            return found
    return None


def _at_home(endpoint: str) -> str:
    """An endpoint without the slash at its end, and by number where it is LocalStack's name for this machine.

    Raises CloudError for what is no address, is elsewhere, or HTTPS.
    """
    try:
        parts = urllib.parse.urlsplit(endpoint.rstrip("/"))
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise CloudError(
            f"{endpoint!r}, where your environment has your LocalStack, is no address: {error}."
        ) from error
    if host == PUBLIC_NAME or host.endswith(f".{PUBLIC_NAME}"):
        host = core.HOST
        parts = parts._replace(netloc=host if port is None else f"{host}:{port}")
    if not is_loopback(host or None):
        raise CloudError(f"Your LocalStack at {endpoint} is not on this machine: only 127.0.0.1 is used from here.")
    if parts.scheme == "https":
        raise CloudError(
            f"Your LocalStack at {endpoint} is named by HTTPS. Its certificate is for a name that only the Internet "
            "knows, so nothing here could check it. It speaks HTTP at the same port: name it so, and unset USE_SSL."
        )
    return parts.geturl()


def _by_host(environment: Mapping[str, str]) -> str:
    host, _, port = environment.get("LOCALSTACK_HOST", "").partition(":")
    port = port or environment.get("EDGE_PORT") or USUAL_PORT
    scheme = "https" if environment.get("USE_SSL") in ("1", "true") else "http"
    return f"{scheme}://{host or USUAL_HOST}:{port}"


def _health(endpoint: str) -> dict[str, Any] | None:
    """What a LocalStack says of itself; None where there is none, or something else."""
    found = _get(endpoint, "/_localstack/health")
    return found if found is not None and "services" in found else None


def _get(endpoint: str, path: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"{endpoint}{path}", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 (checked above)
            content = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return content if isinstance(content, dict) else None


def kind(name: str) -> type[LocalCloud]:
    """What is started under this name: a LocalStack core under `localstack`, else the embedded cloud."""
    return LocalStack if name == LOCALSTACK else LocalCloud


def find(name: str) -> LocalCloud | None:
    """The cloud of this name that is up. For `localstack` that may be the user's own; None where neither is up.

    Raises CloudError where one was named that does not answer.
    """
    return LocalCloud.attach(name) or (own() if name == LOCALSTACK else None)


def reachable(endpoint: str, url: str) -> str:
    """An API's address as AWS or LocalStack makes it, at this LocalStack's endpoint; others as they are.

    Source: "API Gateway", LocalStack's documentation: `/_aws/execute-api/<api>/<stage>/<path>`.
    """
    parts = urllib.parse.urlsplit(url)
    api, _, domain = (parts.hostname or "").partition(".")
    if not domain.startswith("execute-api."):
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint}/_aws/execute-api/{api}{parts.path}{query}"
