"""The wire protocol of the stand-in services: AWS JSON 1.1, checked against botocore's own service models.

A stand-in subclasses `JsonService` and says which operations it serves. Requests are decoded and validated before an
operation sees them, responses before a caller sees them, so that neither side can drift from the published API.

The error body (`__type`, `Code`, `Logref`, `Message`) and `x-amzn-RequestId` are those of "Error handling", Amazon
Rekognition Developer Guide, read 2026-11-23; botocore's JSON parser reads the same members.
"""

import base64
import binascii
import datetime
import functools
import json
import logging
import math
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

CONTENT_TYPE = "application/x-amz-json-1.1"

# Codes that any operation may answer with, though its model does not list them. AWS's gateway in front of the service
# gives them, except for NotImplemented, which is this local cloud's own.
COMMON_ERRORS = frozenset(
    {
        "AccessDeniedException",
        "InternalFailure",
        "NotImplemented",
        "SerializationException",
        "UnknownOperationException",
        "ValidationException",
    }
)

Response = tuple[int, dict[str, str], bytes]

_log = logging.getLogger(__name__)


class ObjectUnavailable(Exception):  # noqa: N818 (the contract between the seams and the services is this name)
    """An S3 object could not be read as the caller.

    `code` is one of NoSuchKey, NoSuchBucket, AccessDenied, WrongRegion, Unreachable (from inside a VPC); `message` says
    more.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServiceError(Exception):
    """An error that the service answers with: its code, its message and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Caller(Protocol):
    """Who made the request. The seams hand it over, already authenticated and authorised for the operation itself."""

    @property
    def principal_arn(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def region(self) -> str: ...

    def read_object(self, bucket: str, key: str, version: str | None) -> bytes:
        """The object's bytes, read with the caller's own permissions. Raises ObjectUnavailable."""

    def list_objects(self, bucket: str, prefix: str) -> list[str]:
        """The keys under a prefix, sorted, listed with the caller's own permissions. Raises ObjectUnavailable."""

    def write_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        kms_key_id: str | None = None,
    ) -> None:
        """Write an object with the caller's own permissions, its notifications sent as for any other.

        `kms_key_id` asks for encryption with that key, else the bucket's default applies. Raises ObjectUnavailable.
        """

    def publish(self, topic_arn: str, message: str, *, subject: str | None = None) -> None:
        """Publish to a topic with the caller's own permissions. Raises ServiceError (AccessDeniedException)."""

    def assume(self, role_arn: str, service_principal: str, *, passed: bool = False) -> "Caller":
        """The role as a caller, taken on by a service such as `textract.amazonaws.com` on this caller's behalf.

        Needs `iam:PassRole` of this caller on the role, unless somebody has `passed` it before, and a trust policy that
        lets the service in. Raises ServiceError (AccessDeniedException) where one of them is missing.
        """

    def placed(self, subnets: Sequence[str], security_groups: Sequence[str]) -> "Caller":
        """This role, as it calls from inside of a VPC: its calls go through that VPC's endpoints, or nowhere.

        Raises ServiceError (ValidationException) where subnets and security groups are not of one VPC, or the role may
        not make the network interfaces.
        """

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Send an event to the default bus of the caller's account and region, as the service does by itself."""

    def require(self, action: str, resource_arn: str, context: Mapping[str, Any] | None = None) -> None:
        """That this caller may do one more thing that its request comes to, with these condition keys.

        Raises ServiceError (AccessDeniedException).
        """

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Another service's operation (botocore's names: "sagemaker", "CreateModel"), called as this caller.

        It is a request like any other: authorised, recorded, made to fail by faults. Raises ServiceError with the code,
        message and status of that service.
        """

    def environment(self) -> dict[str, str]:
        """What a process needs to act as this caller: its keys and region, this cloud's address and certificate.

        A role's session lasts 12 hours. Raises ServiceError (AccessDeniedException) for a key that is no more valid.
        """


Operation = Callable[[Mapping[str, Any], Caller], Mapping[str, Any]]


class JsonService:
    """One AWS service that speaks JSON 1.1.

    Subclasses set `name` (botocore's and the endpoint's name) and `iam_namespace` (the prefix of its IAM actions), and
    give the operations that they serve. No instance loads anything heavy when it is made.
    """

    name: ClassVar[str]
    iam_namespace: ClassVar[str]
    # The part of `X-Amz-Target` before the dot; a test holds it against botocore's model.
    target_prefix: ClassVar[str]

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name. Each takes the validated request and the caller."""
        raise NotImplementedError

    def handle(self, operation: str, body: bytes, caller: Caller) -> Response:
        """Answer one request.

        `operation` is the API name (the part of `X-Amz-Target` after the dot), `body` the raw JSON. Returns status,
        headers and body. Never raises: what goes wrong inside is logged and answered as InternalFailure (500).
        """
        request_id = str(uuid.uuid4())
        try:
            answer = json.dumps(self._answer(operation, body, caller), allow_nan=False).encode()
        except ServiceError as error:
            return _error(error, request_id)
        except Exception:  # noqa: BLE001 (a bug here must not take the emulator down; it is logged with its trace)
            _log.exception("%s.%s failed (request %s)", self.name, operation, request_id)
            return _error(ServiceError("InternalFailure", "The local cloud failed; its log says why.", 500), request_id)
        return 200, _headers(request_id), answer

    def _answer(self, operation: str, body: bytes, caller: Caller) -> Any:
        model = self._operation_model(operation)
        return render_response(model, self.answer(model, parse_request(model, body), caller))

    def answer(self, model: OperationModel, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Carry out a validated request. Raises ServiceError, and UndeclaredError for one that the model lacks."""
        try:
            return self.operations()[model.name](request, caller)
        except ServiceError as error:
            if error.code not in COMMON_ERRORS | {
                cast(StructureShape, shape).error_code for shape in model.error_shapes
            }:
                raise UndeclaredError(f"{model.name} does not declare {error.code}") from error
            raise

    def _operation_model(self, operation: str) -> OperationModel:
        model = service_model(self.name)
        if operation not in model.operation_names:
            raise ServiceError(
                "UnknownOperationException", f"{model.metadata['serviceFullName']} has no {operation!r}."
            )
        served = self.operations()
        if operation not in served:
            # No AWS SDK retries a 501: the caller learns at once.
            raise ServiceError(
                "NotImplemented",
                f"This local cloud does not serve {self.name}:{operation}. It serves {', '.join(sorted(served))}.",
                501,
            )
        return model.operation_model(operation)


class InvalidResponse(Exception):  # noqa: N818 (named after what is wrong)
    """A stand-in's answer does not fit the service's published model: a bug in the stand-in."""


class UndeclaredError(Exception):
    """A stand-in raised an error that the operation's published model does not declare: a bug in the stand-in."""


_model_lock = threading.Lock()


def service_model(name: str) -> ServiceModel:
    """botocore's model of a service, loaded once. Raises botocore's UnknownServiceError for an unknown name."""
    with _model_lock:
        return _load_model(name)


@functools.cache
def _load_model(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def parse_request(model: OperationModel, body: bytes) -> dict[str, Any]:
    """Decode and validate a request body: blobs become bytes, timestamps datetimes, nulls are dropped.

    Raises ServiceError: SerializationException for what is not JSON or has the wrong type, ValidationException for
    what breaks a constraint of the model. An unknown member is refused, where AWS would ignore it: it is a misspelling,
    or newer than this local cloud, and in both cases the answer would not be what the caller asked for.
    """
    try:
        raw = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ServiceError("SerializationException", f"The request is not JSON: {error}") from error
    shape = model.input_shape
    if shape is None:
        return {}
    request: dict[str, Any] = _decode(raw, shape, "")
    if problems := _problems(request, shape):
        count = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
        raise ServiceError("ValidationException", f"{count} detected: {'; '.join(problems)}")
    return request


def render_response(model: OperationModel, response: Mapping[str, Any]) -> Any:
    """What `json.dumps` turns into the response body. Raises InvalidResponse for an answer outside the model."""
    shape = model.output_shape
    if shape is None:
        return {}
    if problems := _problems(dict(response), shape):
        raise InvalidResponse(f"{model.name}: {'; '.join(problems)}")
    return _encode(response, shape)


def _decode(value: Any, shape: Shape, path: str) -> Any:
    expected = _JSON_TYPES[shape.type_name]
    # JSON has one number type and Python counts True as an int: only a boolean shape may hold a boolean.
    fits = isinstance(value, expected) and (shape.type_name == "boolean" or not isinstance(value, bool))
    if not fits:
        raise ServiceError(
            "SerializationException",
            f"{path.lstrip('.') or 'The request'} must be of type {shape.type_name}, not {type(value).__name__}.",
        )
    if isinstance(shape, StructureShape):
        members = {name: item for name, item in value.items() if item is not None}
        known = shape.members
        return {
            name: _decode(item, known[name], f"{path}.{name}") if name in known else item
            for name, item in members.items()
        }
    if isinstance(shape, ListShape):
        return [_decode(item, shape.member, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(shape, MapShape):
        return {key: _decode(item, shape.value, f"{path}.{key}") for key, item in value.items()}
    return _decode_scalar(value, shape, path)


def _decode_scalar(value: Any, shape: Shape, path: str) -> Any:
    if shape.type_name == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ServiceError("SerializationException", f"{path.lstrip('.')} is not Base64.") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ServiceError("SerializationException", f"{path.lstrip('.')} is not a finite number.")
    if shape.type_name == "timestamp":
        try:
            return datetime.datetime.fromtimestamp(value, tz=datetime.timezone.utc)
        except (ValueError, OverflowError, OSError) as error:
            raise ServiceError("SerializationException", f"{path.lstrip('.')} is not a time.") from error
    return value


_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


def _encode(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return {name: _encode(item, shape.members[name]) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [_encode(item, shape.member) for item in value]
    if isinstance(shape, MapShape):
        return {key: _encode(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        return value.timestamp()
    return value


def _problems(value: Mapping[str, Any], shape: Shape) -> list[str]:
    """What is wrong with a decoded request or a response: botocore's findings, then the constraints it leaves out."""
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        return str(report.generate_report()).splitlines()
    return list(_constraint_problems(value, shape, ""))


def _constraint_problems(value: Any, shape: Shape, path: str) -> list[str]:
    """Breaches of `max`, `enum` and `pattern`, and of blobs' `min`, which botocore leaves to the service."""
    found = _value_problems(value, shape, path)
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            found += _constraint_problems(item, shape.members[name], f"{path}.{name[:1].lower()}{name[1:]}")
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            found += _constraint_problems(item, shape.member, f"{path}.{index}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            found += _constraint_problems(item, shape.value, f"{path}.{key}.member")
    return found


def _value_problems(value: Any, shape: Shape, path: str) -> list[str]:
    found = []
    here = path.lstrip(".")
    rules = shape.metadata
    size = value if isinstance(value, (int, float)) else len(value) if hasattr(value, "__len__") else None
    measure = "value" if isinstance(value, (int, float)) else "length"
    if size is not None and "max" in rules and size > rules["max"]:
        found.append(_breach(value, here, f"Member must have {measure} less than or equal to {rules['max']}"))
    if isinstance(value, bytes) and len(value) < rules.get("min", 0):
        found.append(_breach(value, here, f"Member must have length greater than or equal to {rules['min']}"))
    if isinstance(value, str):
        if rules.get("enum") and value not in rules["enum"]:
            found.append(_breach(value, here, f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]"))
        pattern = _pattern(rules["pattern"]) if "pattern" in rules else None
        if pattern is not None and not pattern.fullmatch(value):
            found.append(_breach(value, here, f"Member must satisfy regular expression pattern: {rules['pattern']}"))
    return found


@functools.cache
def _pattern(expression: str) -> re.Pattern[str] | None:
    """A model's pattern, or None for one that only Java understands (a few models carry `\\p{L}` and the like)."""
    try:
        return re.compile(expression)
    except re.error:
        _log.warning("Values are not checked against %r: Python cannot read it", expression)
        return None


def _breach(value: Any, path: str, rule: str) -> str:
    shown = value
    if isinstance(value, bytes):
        shown = f"{len(value)} bytes"
    elif isinstance(value, list):
        shown = f"{len(value)} items"
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {rule}"


def _headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id}


def _error(error: ServiceError, request_id: str) -> Response:
    body = {"__type": error.code, "Code": error.code, "Logref": request_id, "Message": error.message}
    return error.status, _headers(request_id), json.dumps(body).encode()
