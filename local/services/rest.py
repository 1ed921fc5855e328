"""The wire protocol of the stand-ins for services that speak REST with JSON, on top of `wire`.

What a request says in its path and its query is put among the members of its JSON body, as botocore's model of the
service names them; then everything is as in JSON 1.1. An answer's members that the model places in headers become
headers, and a blob that is the payload becomes the whole body.
"""

import json
import logging
import re
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.model import ListShape, OperationModel, Shape, StructureShape

from local.services.wire import Caller, JsonService, Response, ServiceError, parse_request, render_response

CONTENT_TYPE = "application/json"

_log = logging.getLogger(__name__)


class RestService(JsonService):
    """One AWS service that speaks REST-JSON. `operations` and the rest are as in JsonService."""

    def handle_rest(
        self, operation: str, path: str, query: Mapping[str, Sequence[str]], body: bytes, caller: Caller
    ) -> Response:
        """Answer one request; the seams found `operation` by the service's routes, "" for none. Never raises."""
        request_id = str(uuid.uuid4())
        try:
            model = self._operation_model(operation)
            request = self.parse(model, _whole(model, path, query, body))
            answer = self.answer(model, request, caller)
        except ServiceError as error:
            return _error(error, request_id)
        except Exception:  # noqa: BLE001 (a bug here must not take the emulator down; it is logged with its trace)
            _log.exception("%s.%s failed (request %s)", self.name, operation, request_id)
            return _error(ServiceError("InternalFailure", "The local cloud failed; its log says why.", 500), request_id)
        return _rendered(model, answer, request_id)

    def parse(self, model: OperationModel, body: bytes) -> dict[str, Any]:
        """The validated request. A service whose errors for that are its own overrides this."""
        return parse_request(model, body)


def _whole(model: OperationModel, path: str, query: Mapping[str, Sequence[str]], body: bytes) -> bytes:
    """The body with what path and query say. Raises ServiceError for a body that is no JSON object."""
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ServiceError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise ServiceError("SerializationException", "The request is no JSON object.")
    shape = model.input_shape
    if not isinstance(shape, StructureShape):
        return json.dumps(members).encode()
    route = str(model.http["requestUri"]).partition("?")[0]
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route))
    matched = re.fullmatch(pattern, path.rstrip("/"))
    parts = matched.groupdict() if matched else {}
    for name, member in shape.members.items():
        location, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri" and wire_name in parts:
            members[name] = _typed(urllib.parse.unquote(parts[wire_name]), member)
        elif location == "querystring" and wire_name in query:
            found = [
                _typed(value, member.member if isinstance(member, ListShape) else member) for value in query[wire_name]
            ]
            members[name] = found if isinstance(member, ListShape) else found[0]
    return json.dumps(members).encode()


def _typed(value: str, shape: Shape) -> Any:
    if shape.type_name in ("integer", "long") and re.fullmatch(r"-?\d+", value):
        return int(value)
    if shape.type_name == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _rendered(model: OperationModel, answer: Mapping[str, Any], request_id: str) -> Response:
    headers = {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id}
    shape = model.output_shape
    if not isinstance(shape, StructureShape):
        return 200, headers, b"{}"
    placed = {
        name: member.serialization.get("name", name)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header"
    }
    headers |= {wire_name: str(answer[name]) for name, wire_name in placed.items() if name in answer}
    payload = shape.serialization.get("payload")
    if payload is not None and shape.members[payload].type_name == "blob":
        return 200, headers, bytes(answer.get(payload, b""))
    members = render_response(model, {name: value for name, value in answer.items() if name not in placed})
    return 200, headers, json.dumps(members, allow_nan=False).encode()


def _error(error: ServiceError, request_id: str) -> Response:
    headers = {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id, "x-amzn-ErrorType": error.code}
    return error.status, headers, json.dumps({"__type": error.code, "message": error.message}).encode()
