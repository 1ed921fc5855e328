"""Requests that come from inside the emulator and are served like any other.

A service that acts for somebody (a state machine for its role, a Textract job for whoever started it) calls the others
with that principal's credentials, through botocore and MiniStack's ASGI application, without a socket in between. So
these calls are parsed, authorised, recorded, counted and made to fail exactly as those that come by HTTPS.
"""

import asyncio
import contextvars
import functools
import os
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError
from botocore.model import ServiceModel
from ministack import app as _app
from ministack.core import iam_evaluator as _iam
from ministack.services import sts as _sts

from local.emulator.seams import vpc
from local.emulator.vpc import Network

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# Nothing is sent there: MiniStack reads the service's name off the signature, as for every client of this cloud.
_ENDPOINT = "https://localhost"
# A request from inside ends when its service answers; faults hold one for at most 300 s.
_PATIENCE_SECONDS = 600.0
_SESSION_SECONDS = 12 * 3600.0
# How a process comes to trust this cloud's certificate (`local.cloud.trust`).
TRUST = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def role_session(role_arn: str, session: str, sits: Network | None = None) -> str:
    """The access key of a session of the role, which a service took on; it ends after 12 hours.

    One session is kept for a role, a session name and the network that it `sits` in. Nothing is checked here: whoever
    calls has checked the trust.
    """
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    principal = f"arn:aws:sts::{account}:assumed-role/{name}/{session[:64]}"
    with _sessions_lock:
        known = _sessions.get((principal, sits))
        if known is not None and known in _sts._sessions and _sts._sessions[known]["Expiration"] > time.time() + 3600:
            return known
        access_key = f"ASIA{uuid.uuid4().hex[:16].upper()}"
        _sts.register_session(
            access_key,
            {
                "Arn": principal,
                "UserId": f"{name}:{session[:64]}",
                "SecretAccessKey": uuid.uuid4().hex,
                "SessionToken": uuid.uuid4().hex,
                "Expiration": time.time() + _SESSION_SECONDS,
                "AccountId": account,
                "PrincipalType": "AssumedRole",
            },
        )
        if sits is not None:
            vpc.bind(access_key, sits)
        _sessions[principal, sits] = access_key
        return access_key


_sessions: dict[tuple[str, Network | None], str] = {}
_sessions_lock = threading.Lock()


def client(
    service: str, access_key: str, account: str, region: str, *, attempts: int = 1, forwarded: bool = False
) -> Any:
    """A botocore client that calls as the holder of an access key, from any thread but the event loop's.

    `attempts` are those of one call, the first included. `forwarded`: a service uses its caller's rights, from its own
    network (`local.emulator.seams.vpc`). Raises PermissionError for a key that is not valid any more.
    """
    credential = _iam.resolve_credential(access_key, account)
    if isinstance(credential, _iam.CredentialResolutionError):
        raise PermissionError(f"{credential.code}: {credential.message}")
    return _client(
        service,
        region,
        credential.access_key_id,
        credential.secret_access_key,
        credential.session_token,
        attempts,
        forwarded,
    )


def process_environment(access_key: str, account: str, region: str) -> dict[str, str]:
    """What a process needs in its environment to act as the holder of an access key, through this cloud's own port.

    Raises PermissionError for a key that is not valid any more.
    """
    credential = _iam.resolve_credential(access_key, account)
    if isinstance(credential, _iam.CredentialResolutionError):
        raise PermissionError(f"{credential.code}: {credential.message}")
    token = {"AWS_SESSION_TOKEN": credential.session_token} if credential.session_token else {}
    return {
        "AWS_ACCESS_KEY_ID": credential.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credential.secret_access_key,
        **token,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL": f"https://{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}",
        **{name: os.environ[name] for name in TRUST if name in os.environ},
    }


@functools.cache
def model(service: str) -> ServiceModel:
    """botocore's model of a service."""
    found: ServiceModel = _session().get_service_model(service)
    return found


_clients_lock = threading.Lock()


def _client(  # noqa: PLR0917 (the key of a cache)
    service: str, region: str, access_key: str, secret: str, token: str | None, attempts: int, forwarded: bool
) -> Any:
    with _clients_lock:
        return _made(service, region, access_key, secret, token, attempts, forwarded)


@functools.cache
def _session() -> botocore.session.Session:
    session = botocore.session.Session(profile=None)
    # What the machine's user has configured is none of the emulator's business.
    session.set_config_variable("config_file", "/dev/null")
    session.set_config_variable("credentials_file", "/dev/null")
    return session


@functools.lru_cache(maxsize=256)
def _made(  # noqa: PLR0917 (the key of a cache)
    service: str, region: str, access_key: str, secret: str, token: str | None, attempts: int, forwarded: bool
) -> Any:
    made: Any = _session().create_client(
        service,
        region_name=region,
        endpoint_url=_ENDPOINT,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # What a state machine or a job asks for has been validated, or is to be refused by the service itself.
            parameter_validation=False,
        ),
    )
    made.meta.events.register("before-send", functools.partial(_answer, forwarded))
    return made


def _answer(forwarded: bool, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    status, headers, body = send(
        str(request.method),
        str(request.url),
        {str(name): _text(value) for name, value in request.headers.items()},
        _bytes(request.body),
        forwarded=forwarded,
    )
    return AWSResponse(str(request.url), status, HTTPHeaders.from_pairs(headers), _Body(body))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        return bytes(body.read())
    return body.encode() if isinstance(body, str) else bytes(body)


class _Body:
    """What botocore reads of a urllib3 response."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def stream(self, **_: Any) -> Any:
        yield self.read()

    def read(self, amount: int | None = None, **_: Any) -> bytes:
        end = len(self._content) if amount is None else self._position + amount
        chunk = self._content[self._position : end]
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        self._position = len(self._content)


def send(
    method: str, url: str, headers: dict[str, str], body: bytes, *, forwarded: bool = False
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Put one signed request through MiniStack's application; returns status, headers and body.

    Raises botocore's ConnectTimeoutError where the caller sits in a VPC that has no way to the service.
    """
    loop = _app._MAIN_LOOP
    if loop is None or loop.is_closed():
        raise RuntimeError("The emulator does not serve yet, or no more")
    coroutine = _exchange(_scope(method, url, headers) | {vpc.FORWARDED: forwarded}, body)
    # In a context of its own: neither the caller's identity nor what it is doing belongs to the request.
    future: Future[tuple[int, list[tuple[str, str]], bytes]] = contextvars.Context().run(
        asyncio.run_coroutine_threadsafe, coroutine, loop
    )
    return future.result(_PATIENCE_SECONDS)


def _scope(method: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
    address = urlsplit(url)
    named = {"host": address.netloc, **{name.lower(): value for name, value in headers.items()}}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(address.path or "/"),
        "raw_path": (address.path or "/").encode("latin-1"),
        "query_string": address.query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), _wire(value)) for name, value in named.items()],
        "client": ("127.0.0.1", 0),
    }


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


async def _exchange(scope: dict[str, Any], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    started: dict[str, Any] = {}
    chunks: list[bytes] = []
    closed: list[str] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send_out(message: dict[str, Any]) -> None:
        if message["type"] == vpc.CLOSE:
            closed.append(message["reason"])
        elif message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    await _app.app(scope, receive, send_out)
    if closed:
        raise ConnectTimeoutError(endpoint_url=f"{scope['scheme']}://{scope['path']}", error=closed[0])
    if not started:
        raise ConnectionError(f"No answer to {scope['method']} {scope['path']}")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in started["headers"]]
    return int(started["status"]), headers, b"".join(chunks)
