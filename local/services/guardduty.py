"""GuardDuty: detectors are kept, and nothing is ever detected.

A record only: the local cloud has no findings, and every operation on findings, members, lists or plans is refused.

Source: the documentation in botocore's service model (API Reference), read 2026-11-27.
"""

import datetime
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from botocore.model import ListShape, OperationModel, Shape, StructureShape

from local.emulator import clock
from local.services.rest import RestService
from local.services.wire import Caller, Operation, Response, ServiceError, parse_request, service_model

Request = Mapping[str, Any]
Members = dict[str, Any]


class GuardDuty(RestService):
    """`aws guardduty`, as far as there are records to keep."""

    name: ClassVar[str] = "guardduty"
    iam_namespace: ClassVar[str] = "guardduty"
    target_prefix: ClassVar[str] = ""

    def __init__(self) -> None:
        self._detectors: dict[tuple[str, str, str], Members] = {}

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateDetector": self._create,
            "DeleteDetector": self._delete,
            "GetDetector": self._get,
            "ListDetectors": self._list,
            "UpdateDetector": self._update,
        }

    def parse(self, model: OperationModel, body: bytes) -> dict[str, Any]:
        """The validated request: on the wire its members begin with small letters."""
        return parse_request(model, json.dumps(_renamed(json.loads(body), model.input_shape, from_wire=True)).encode())

    def handle_rest(
        self, operation: str, path: str, query: Mapping[str, Sequence[str]], body: bytes, caller: Caller
    ) -> Response:
        """Answer one request. Never raises."""
        status, headers, answer = super().handle_rest(operation, path, query, body, caller)
        if status != 200:
            return status, headers, answer
        shape = service_model(self.name).operation_model(operation).output_shape
        return status, headers, json.dumps(_renamed(json.loads(answer), shape, from_wire=False)).encode()

    def _create(self, request: Request, caller: Caller) -> Members:
        if self._all(caller):
            raise ServiceError("BadRequestException", "There is a detector in this account and region already.")
        identity = secrets.token_hex(16)
        role = "role/aws-service-role/guardduty.amazonaws.com/AWSServiceRoleForAmazonGuardDuty"
        self._detectors[caller.account, caller.region, identity] = {
            **_kept(request),
            "FindingPublishingFrequency": request.get("FindingPublishingFrequency", "SIX_HOURS"),
            "ServiceRole": f"arn:aws:iam::{caller.account}:{role}",
            "Tags": request.get("Tags", {}),
            "CreatedAt": _now(),
            "UpdatedAt": _now(),
        }
        return {"DetectorId": identity}

    def _all(self, caller: Caller) -> list[str]:
        return [
            identity
            for account, region, identity in self._detectors
            if (account, region) == (caller.account, caller.region)
        ]

    def _find(self, request: Request, caller: Caller) -> Members:
        found = self._detectors.get((caller.account, caller.region, request["DetectorId"]))
        if found is None:
            raise ServiceError(
                "BadRequestException", "The request is rejected because the input detectorId is not owned."
            )
        return found

    def _get(self, request: Request, caller: Caller) -> Members:
        return self._find(request, caller)

    def _list(self, _request: Request, caller: Caller) -> Members:
        return {"DetectorIds": self._all(caller)}

    def _update(self, request: Request, caller: Caller) -> Members:
        found = self._find(request, caller)
        features = {one["Name"]: one for one in [*found.get("Features", []), *request.get("Features", [])]}
        found.update(_kept(request) if "Enable" in request else {}, UpdatedAt=_now())
        if "FindingPublishingFrequency" in request:
            found["FindingPublishingFrequency"] = request["FindingPublishingFrequency"]
        if features:
            found["Features"] = list(features.values())
        return {}

    def _delete(self, request: Request, caller: Caller) -> Members:
        self._find(request, caller)
        del self._detectors[caller.account, caller.region, request["DetectorId"]]
        return {}


def _renamed(value: Any, shape: Shape | None, *, from_wire: bool) -> Any:
    """A request with the model's names for its members, or an answer with the wire's."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        wire = {name: str(member.serialization.get("name", name)) for name, member in shape.members.items()}
        known = {told: name for name, told in wire.items()} if from_wire else {name: name for name in wire}
        renamed: dict[str, Any] = {}
        for one, item in value.items():
            name = known.get(one)
            told = one if name is None else name if from_wire else wire[name]
            renamed[told] = _renamed(item, shape.members[name] if name else None, from_wire=from_wire)
        return renamed
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_renamed(item, shape.member, from_wire=from_wire) for item in value]
    return value


def _kept(request: Request) -> Members:
    if "DataSources" in request:
        raise ServiceError("NotImplemented", "This local cloud keeps Features, which replace DataSources.", 501)
    features = {"Features": list(request["Features"])} if "Features" in request else {}
    return {"Status": "ENABLED" if request["Enable"] else "DISABLED", **features}


def _now() -> str:
    return datetime.datetime.fromtimestamp(clock.now(), tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
