"""The project's services for LocalStack, and the control API of the cloud, on one HTTPS port.

The services are the modules of `local.services`, each request in a thread. LocalStack's plug-ins hand the requests on,
so a handler or a state machine sees one endpoint. The control API is the embedded cloud's (`local.control`), of which
it can do what concerns these services: their faults and the counts of their calls. The rest is refused with a reason,
for LocalStack itself cannot be made to fail, has no clock to move and judges no permission.
"""

from __future__ import annotations

import hmac
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psutil
from botocore.exceptions import ClientError

from local.emulator import faults
from local.localstack import backends
from local.localstack.caller import LocalStackCaller
from local.localstack.plugins import MOUNTED
from local.services import APPLICATION_AUTOSCALING, SAGEMAKER, SERVICES, resource_types
from local.services.polly import Polly
from local.services.rest import RestService
from local.services.sagemaker.resource_types import TYPES
from local.services.sagemaker.runtime import Runtime
from local.services.wire import JsonService, Response

PREFIX = "/_local/"
REFUSED = "Not on LocalStack: {}."
# What the control API of the embedded cloud has beside, and why this one has it not.
REASONS: Mapping[str, str] = {
    "alarms": "its alarms cannot be evaluated on demand",
    "clock": "it has no clock that tests can move",
    "decisions": "its core judges no permission",
    "telemetry": "its core has no X-Ray",
}

Service = JsonService | Runtime
_all: tuple[Service, ...] = (*SERVICES, Polly(), Runtime(SAGEMAKER.endpoints))
_services: Mapping[str, Service] = {one.name: one for one in _all if one.name in MOUNTED}


class NotReadyError(Exception):
    """LocalStack does not answer yet."""


class Host:
    """Answers for the services, and for the control API, of the LocalStack at `endpoint`."""

    def __init__(self, endpoint: str, token: str, core: int) -> None:
        self._endpoint = endpoint
        self._token = token
        self._core = core
        self._client = lru_cache(maxsize=128)(self._make_client)
        self._stacks = backends.Stacks(self._client)
        self._metrics = backends.Metrics(self._client)
        faults.use(lambda: MOUNTED)
        resource_types.use(self._stacks)
        self._scaling = backends.Scaling(APPLICATION_AUTOSCALING, self._client)
        SAGEMAKER.endpoints.is_scaled = APPLICATION_AUTOSCALING.is_registered

    def start(self) -> None:
        """Publish the services' metrics, and scale, from now on."""
        self._metrics.start()
        self._scaling.start()

    def permits(self, token: str) -> bool:
        """Whether a request bears the cloud's token."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def serve(
        self, service: str, operation: str, body: bytes, query: Mapping[str, Sequence[str]], headers: Mapping[str, str]
    ) -> Response:
        """Answer one request of a service, or misbehave as the faults say."""
        found = _services[service]
        protocol: faults.Protocol = "rest-json" if isinstance(found, (RestService, Runtime)) else "json"
        faults.count(service, operation)
        rule = faults.pick(service, operation, from_worker=lambda: False)
        if rule is None:
            return self._answer(found, operation, body, query, headers)
        answer = faults.error(rule, service, protocol)
        if rule.when == "after" or rule.kind == "slow":
            told = self._answer(found, operation, body, query, headers, late=rule.seconds)
            answer = answer if rule.kind in ("throttle", "internal") else told
        time.sleep(rule.seconds)
        return answer

    def _answer(
        self,
        service: Service,
        operation: str,
        body: bytes,
        query: Mapping[str, Sequence[str]],
        headers: Mapping[str, str],
        *,
        late: float = 0.0,
    ) -> Response:
        caller = LocalStackCaller(
            access_key=headers.get("x-local-access-key") or "test",
            account=headers["x-local-account"],
            region=headers["x-local-region"],
            client=self._client,
            environment_of=self._environment,
        )
        if isinstance(service, RestService):
            asked = parse_qs(query.get("query", [""])[0], keep_blank_values=True)
            return service.handle_rest(operation, query["path"][0], asked, body, caller)
        if isinstance(service, Runtime):
            # `/endpoints/NAME/invocations`
            return service.handle(operation, unquote(query["path"][0].split("/")[2]), headers, body, caller, late=late)
        return service.handle(operation, body, caller)

    def change_resource(self, kind: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Make, change or delete a resource of a stack: its identifier and its attributes, or `error`, why not."""
        try:
            with self._stacks.of(asked["account"], asked["region"]):
                physical, attributes = backends.changed(TYPES[kind], asked)
        except (ClientError, ValueError) as error:
            return {"error": str(error)}
        return {"physical": physical, "attributes": attributes}

    def health(self) -> dict[str, Any]:
        """As `Control.health` says. Raises NotReadyError until LocalStack answers."""
        state = self._ask("/_mounted")
        told = self._ask("/_localstack/health")
        processes = [psutil.Process(), psutil.Process(self._core)]
        return {
            "pid": processes[0].pid,
            "rss": sum(one.memory_info().rss for one in processes),
            "batches": state["invocations"],
            "versions": {"localstack": told["version"]},
        }

    def _ask(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self._endpoint}{path}", timeout=10) as answer:  # noqa: S310 (loopback, http)
                content: dict[str, Any] = json.load(answer)
        except OSError as error:
            raise NotReadyError(f"LocalStack does not answer: {error}") from error
        return content

    def _make_client(self, service: str, access_key: str, region: str) -> Any:
        from botocore.config import Config

        from local.cloud import session

        return session().client(
            service,
            endpoint_url=self._endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key="unchecked",  # noqa: S106 (LocalStack checks no signature)
            config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=32),
        )

    def _environment(self, access_key: str, region: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": "unchecked",
        }


def _add_fault(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("kind") == "kill-worker":
        raise ValueError(REFUSED.format("its workers cannot be killed by a fault"))
    return {"id": faults.add(**body)}


def _clear_faults(identifier: str | None) -> dict[str, Any]:
    faults.clear(identifier)
    return {}


def _clear_calls() -> dict[str, Any]:
    faults.clear_calls()
    return {}


def listen(host: Host, listener: socket.socket, folder: Path) -> ThreadingHTTPServer:
    """A server on the socket that was handed down, with the certificate in `folder`; whoever gets it has it serve."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name of the overridden one)
            """Requests are not logged."""

        def do_GET(self) -> None:
            self._take()

        do_POST = do_DELETE = do_GET  # noqa: N815 (the names that the server looks for)

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not host.permits(self.headers.get("x-local-token", "")):
                self._tell(403, {"error": "This wants the local cloud's token."})
                return
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            place = [unquote(one) for one in parts.path.removeprefix(PREFIX).split("/")]
            if place[0] == "service" and len(place) == 3 and place[1] in _services:
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._send(*host.serve(place[1], place[2], body, query, headers))
                return
            try:
                answer = self._control(place, query, body)
            except NotReadyError as error:
                self._tell(503, {"error": str(error)})
            except (ValueError, TypeError, KeyError) as error:
                self._tell(400, {"error": f"{type(error).__name__}: {error}"})
            else:
                self._tell(*answer)

        def _control(self, place: list[str], query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, Any]]:
            answers: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
                ("GET", "health"): host.health,
                ("GET", "faults"): lambda: {"faults": faults.rules()},
                ("POST", "faults"): lambda: _add_fault(json.loads(body)),
                ("DELETE", "faults"): lambda: _clear_faults(query.get("id", [None])[0]),
                ("GET", "calls"): lambda: {"calls": faults.calls()},
                ("DELETE", "calls"): _clear_calls,
                ("POST", "resource"): lambda: host.change_resource(place[1], json.loads(body)),
            }
            answer = answers.get((self.command, place[0]))
            if answer is not None:
                return 200, answer()
            return 404, {"error": REFUSED.format(REASONS.get(place[0], f"there is no {place[0]}"))}

        def _tell(self, status: int, content: dict[str, Any]) -> None:
            self._send(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def finish_request(self, request: Any, client_address: Any) -> None:
            """The handshake is the thread's work: a slow one keeps nobody else waiting."""
            with context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that breaks is its client's affair."""

    server = Server(listener.getsockname(), Requests, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_activate()
    return server
