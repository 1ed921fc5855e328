"""One HTTPS port: the emulated AWS, and beside it the control API under `/_local/`.

The control API wants the token of `cloud.json` in the header `x-local-token`, so that neither a handler nor a web page
that guesses the port can use it.
"""

import asyncio
import hmac
import json
import os
import platform
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psutil
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from local.emulator import alarms, clock, decisions, faults, seams, xray
from local.emulator.seams.vpc import CLOSE

PREFIX = "/_local/"
# The emulator's own back doors: reset and configure without credentials. Nothing here needs them.
CLOSED = ("/_ministack/reset", "/_ministack/config")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = Callable[[dict[str, str], Any], Any]


class BadRequest(Exception):  # noqa: N818 (HTTP's own name for it)
    """The control request makes no sense; the message says why."""


async def serve(folder: Path, settings: dict[str, Any]) -> None:
    """Serve on the socket that was handed down, until the process is ended."""
    config = Config()
    config.bind = [f"fd://{settings['listener']}"]
    config.certfile, config.keyfile = str(folder / "server.pem"), str(folder / "server.key")
    config.alpn_protocols = ["http/1.1"]
    config.keep_alive_timeout = 75
    # A closed connection would look like a fault to a client in the middle of thousands of requests.
    config.keep_alive_max_requests = 1_000_000_000
    config.backlog = 1024
    config.loglevel = "WARNING"
    forever = asyncio.Event()
    application: Any = _Application(settings["token"])
    await hypercorn_serve(application, config, shutdown_trigger=forever.wait)


class _Application:
    """ASGI: routes to the control API or to the emulator."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(PREFIX):
            await self._control(scope, receive, send)
        elif path.startswith(CLOSED):
            await _reply(send, 403, {"error": "Closed: this would bypass authorisation."})
        else:
            await seams.application(scope, receive, _closing(send))

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if not hmac.compare_digest(headers.get(b"x-local-token", b""), self._token):
            await _reply(send, 403, {"error": "The control API wants the local cloud's token."})
            return
        answer = CONTROL.get((scope["method"], scope["path"].removeprefix(PREFIX)))
        if answer is None:
            await _reply(send, 404, {"error": f"The control API has no {scope['method']} {scope['path']}."})
            return
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
        try:
            body = json.loads(await _read(receive) or b"{}")
            await _reply(send, 200, await asyncio.to_thread(answer, query, body))
        except (BadRequest, ValueError, TypeError, KeyError) as error:
            await _reply(send, 400, {"error": f"{type(error).__name__}: {error}"})


def _closing(send: Send) -> Send:
    """Send on; instead of an answer the emulator may have the connection closed, like one that breaks down."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] != CLOSE:
            await send(message)
            return
        # ASGI has no word for it. Without this the server would answer for an application that did not.
        stream: Any = getattr(send, "__self__", None)
        if not isinstance(stream, HTTPStream):
            raise TypeError(f"{send} is of no stream of the server")
        stream.state = ASGIHTTPState.CLOSED

    return sending


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _reply(send: Send, status: int, content: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


# Read from the file system, and asked for at each health check.
_MINISTACK = metadata.version("ministack")


def _health(_query: dict[str, str], _body: Any) -> Any:
    return {
        "pid": os.getpid(),
        "rss": psutil.Process().memory_info().rss,
        "batches": seams.batches_under_way(),
        "versions": {"python": platform.python_version(), "ministack": _MINISTACK},
    }


def _faults_list(_query: dict[str, str], _body: Any) -> Any:
    return {"faults": faults.rules()}


def _faults_add(_query: dict[str, str], body: Any) -> Any:
    return {"id": faults.add(**body)}


def _faults_clear(query: dict[str, str], _body: Any) -> Any:
    faults.clear(query.get("id"))
    return {}


def _decisions_list(query: dict[str, str], _body: Any) -> Any:
    return {"decisions": decisions.since(int(query.get("since", "0")))}


def _decisions_last(_query: dict[str, str], _body: Any) -> Any:
    return {"seq": decisions.last()}


def _decisions_clear(_query: dict[str, str], _body: Any) -> Any:
    decisions.clear()
    return {}


def _calls_list(_query: dict[str, str], _body: Any) -> Any:
    return {"calls": faults.calls()}


def _calls_clear(_query: dict[str, str], _body: Any) -> Any:
    faults.clear_calls()
    return {}


def _clock_read(_query: dict[str, str], _body: Any) -> Any:
    return {"offset_seconds": clock.offset()}


def _clock_advance(_query: dict[str, str], body: Any) -> Any:
    seconds = float(body["advance_seconds"])
    if seconds < 0:
        raise BadRequest("Time goes forward only.")
    return {"offset_seconds": clock.advance(seconds)}


def _alarms_list(_query: dict[str, str], _body: Any) -> Any:
    return {"alarms": alarms.states()}


def _alarms_evaluate(_query: dict[str, str], _body: Any) -> Any:
    return {"alarms": alarms.evaluate_now()}


def _telemetry_list(_query: dict[str, str], _body: Any) -> Any:
    return {"telemetry": xray.TELEMETRY.records()}


CONTROL: dict[tuple[str, str], Answer] = {
    ("GET", "health"): _health,
    ("GET", "faults"): _faults_list,
    ("POST", "faults"): _faults_add,
    ("DELETE", "faults"): _faults_clear,
    ("GET", "decisions"): _decisions_list,
    ("GET", "decisions/last"): _decisions_last,
    ("DELETE", "decisions"): _decisions_clear,
    ("GET", "calls"): _calls_list,
    ("DELETE", "calls"): _calls_clear,
    ("GET", "clock"): _clock_read,
    ("POST", "clock"): _clock_advance,
    ("GET", "alarms"): _alarms_list,
    ("POST", "alarms/evaluate"): _alarms_evaluate,
    ("GET", "telemetry"): _telemetry_list,
}
