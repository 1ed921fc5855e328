"""What a state machine's task asks of other services, asked with the permissions of the state machine's role.

A call is a request of its own (`inside`), so it is authorised, recorded, counted and made to fail like any other. The
names of errors are those that the SDK for Java gives them, which Step Functions runs on: version 1 behind the optimised
integrations, version 2 behind `aws-sdk:*`. An error that a service's model lists for the operation has its own
name (`Textract.AccessDeniedException`), any other the service's general one (`S3.S3Exception`,
`Lambda.AWSLambdaException`).

Sources: AWS Step Functions Developer Guide, "Handling errors in Step Functions workflows" (names, `Lambda.Unknown`),
"AWS SDK service integrations" (prefixes of errors, names of actions and parameters) and "Invoke Lambda ...", "Call
Amazon SNS ...", "Call Amazon SQS ...", "Call DynamoDB APIs ...", "Call EventBridge with Step Functions", "Manage AWS
Step Functions executions as an integrated service", with the permissions on "AWS Step Functions"; read 2026-11-26, all
but the first in the guide's public source, which ends in 2023. Not found there: the general errors of the optimised
integrations, what a task answers beside the service's own members.
"""

import datetime
import functools
import json
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any, cast

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from ministack.services import stepfunctions as _sfn

from local.emulator import authorise
from local.emulator.seams import inside

# Where the name of an SDK integration is not botocore's name of the service without its hyphens.
_BOTOCORE_NAMES = {"sfn": "stepfunctions", "cloudwatchlogs": "logs", "eventbridge": "events"}

# Prefix of an optimised integration's errors, and the error that stands for all that its model does not list.
_OPTIMISED = {
    "dynamodb": ("dynamodb", "DynamoDB", "AmazonDynamoDBException"),
    "events": ("events", "EventBridge", "AmazonEventBridgeException"),
    "lambda": ("lambda", "Lambda", "AWSLambdaException"),
    "sns": ("sns", "SNS", "AmazonSNSException"),
    "sqs": ("sqs", "SQS", "AmazonSQSException"),
    "states": ("stepfunctions", "StepFunctions", "AWSStepFunctionsException"),
}
_RESOURCE = re.compile(
    r"arn:aws[\w-]*:states:[\w-]*:\d*:(?P<sdk>aws-sdk:)?(?P<service>[\w-]+):(?P<operation>\w+)"
    r"(?:\.(?P<pattern>sync|sync:2|waitForTaskToken))?"
)
_NESTED_POLL_SECONDS = 0.1
# Step Functions watches an execution that it waits for through a rule of its own.
_NESTED_RULE = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"


@dataclass
class Actor:
    """Whose execution asks: the role, the execution and where it runs. `ended` tells when the answer is not wanted."""

    role: str
    machine: str
    execution: str
    account: str
    region: str
    ended: Callable[[], bool] = field(default=lambda: False)

    @functools.cached_property
    def access_key(self) -> str:
        """A session of the role. Raises MiniStack's _ExecutionError when the role does not trust Step Functions."""
        context = {"aws:SourceArn": self.machine, "aws:SourceAccount": self.account}
        if not authorise.act_as("states.amazonaws.com", "sts:AssumeRole", self.role, context, path="service-role"):
            raise _sfn._ExecutionError("States.Runtime", f"Step Functions is not authorized to assume {self.role}.")
        return inside.role_session(self.role, self.execution.rpartition(":")[2])

    def client(self, service: str) -> Any:
        """A client of the role. One attempt a call: what is to be tried again is in the state machine."""
        return inside.client(service, self.access_key, self.account, self.region)


@dataclass(frozen=True)
class Integration:
    """A task's resource, taken apart."""

    service: str
    operation: str
    pattern: str
    prefix: str
    general_error: str
    optimised: str


def kind_of(resource: str) -> tuple[str, str]:
    """`resourceType` and `resource` of a task as its events name them."""
    if ":function:" in resource:
        return "lambda", resource
    matched = _RESOURCE.fullmatch(resource)
    if matched is None:
        return "states", resource
    pattern = f".{matched['pattern']}" if matched["pattern"] else ""
    return f"{matched['sdk'] or ''}{matched['service']}", f"{matched['operation']}{pattern}"


def integration(resource: str) -> Integration:
    """Raises MiniStack's _ExecutionError for a resource that this local cloud does not serve."""
    matched = _RESOURCE.fullmatch(resource)
    if matched and matched["sdk"]:
        service = _botocore_names().get(matched["service"])
        if service and matched["pattern"] in (None, "waitForTaskToken"):
            prefix = _sdk_prefix(service)
            operation = _operations(service).get(matched["operation"].lower())
            if operation:
                return Integration(service, operation, matched["pattern"] or "", prefix, f"{prefix}Exception", "")
    elif matched and matched["service"] in _OPTIMISED:
        service, prefix, general = _OPTIMISED[matched["service"]]
        operation = _operations(service).get(matched["operation"].lower())
        if operation:
            return Integration(service, operation, matched["pattern"] or "", prefix, general, matched["service"])
    raise _sfn._ExecutionError("States.Runtime", f"This local cloud does not serve the resource {resource}.")


@functools.cache
def _botocore_names() -> dict[str, str]:
    known = botocore.session.get_session().get_available_services()
    return {**{name.replace("-", ""): name for name in known}, **_BOTOCORE_NAMES}


@functools.cache
def _operations(service: str) -> dict[str, str]:
    return {name.lower(): name for name in inside.model(service).operation_names}


@functools.cache
def _sdk_prefix(service: str) -> str:
    if known := _sfn._AWS_SDK_ERROR_PREFIX.get(service):
        return str(known)
    words = str(inside.model(service).service_id).split()
    return "".join(_sfn._api_name_to_sfn_key(word) for word in words)


def perform(resource: str, arguments: Any, actor: Actor) -> Any:
    """Carry a task out; returns its result. Raises MiniStack's _ExecutionError as the state machine sees it."""
    if ":function:" in resource:
        whole = Integration("lambda", "Invoke", "", *_OPTIMISED["lambda"][1:], "lambda")
        return _invoke(whole, {"FunctionName": resource, "Payload": arguments}, actor)["Payload"]
    asked = integration(resource)
    given = arguments if isinstance(arguments, dict) else {}
    special = {"lambda": _invoke, "states": _start_execution, "events": _put_events}.get(asked.optimised)
    if special is not None:
        return special(asked, given, actor)
    if asked.optimised in ("sqs", "sns"):
        name = "MessageBody" if asked.optimised == "sqs" else "Message"
        given = {**given, **({name: _text(given[name])} if name in given else {})}
    operation = inside.model(asked.service).operation_model(asked.operation)
    sdk_names = not asked.optimised
    request = _to_api(given, operation.input_shape, sdk_names=sdk_names)
    answer = _call(asked, operation, request, actor)
    metadata = answer.pop("ResponseMetadata", {})
    result = _from_api(answer, operation.output_shape, sdk_names=sdk_names)
    return {**result, **_http_metadata(metadata)} if asked.optimised else result


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _http_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the SDK for Java's first version adds to each result."""
    headers = dict(metadata.get("HTTPHeaders", {}))
    return {
        "SdkHttpMetadata": {"HttpHeaders": headers, "HttpStatusCode": metadata.get("HTTPStatusCode")},
        "SdkResponseMetadata": {"RequestId": metadata.get("RequestId", "")},
    }


def _call(asked: Integration, operation: OperationModel, request: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    client = actor.client(asked.service)
    try:
        answer: dict[str, Any] = client._make_api_call(operation.name, dict(request))
    except ClientError as error:
        raise _failure(asked, operation, error) from None
    except (BotoCoreError, FutureTimeoutError, ConnectionError) as error:
        raise _sfn._ExecutionError(f"{asked.prefix}.SdkClientException", str(error)) from None
    return answer


def _failure(asked: Integration, operation: OperationModel, error: ClientError) -> Exception:
    found = error.response["Error"]
    status = error.response["ResponseMetadata"].get("HTTPStatusCode")
    request_id = error.response["ResponseMetadata"].get("RequestId", "")
    # Services that once spoke the Query protocol give both names.
    code = str(found.get("QueryErrorCode") or found.get("Code", ""))
    shapes = {
        name: shape
        for shape in operation.error_shapes
        for name in (shape.name, cast("StructureShape", shape).error_code)
    }
    name = _exception_name(shapes[code].name, sdk=not asked.optimised) if code in shapes else asked.general_error
    cause = f"{found.get('Message', '')} (Service: {asked.prefix}, Status Code: {status}, Request ID: {request_id})"
    failure: Exception = _sfn._ExecutionError(f"{asked.prefix}.{name}", cause)
    return failure


def _exception_name(shape: str, *, sdk: bool) -> str:
    """The exception that the SDK for Java makes of an error's shape."""
    name = _sfn._api_name_to_sfn_key(shape) if sdk else shape
    return str(name) if name.endswith("Exception") else f"{name.removesuffix('Fault')}Exception"


def _invoke(asked: Integration, given: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    operation = inside.model("lambda").operation_model("Invoke")
    request = {**given, "Payload": json.dumps(given.get("Payload", {}), ensure_ascii=False).encode()}
    answer = _call(asked, operation, request, actor)
    metadata = answer.pop("ResponseMetadata", {})
    raw = answer["Payload"].read() if "Payload" in answer else b""
    payload = _json_or_text(raw)
    if answer.get("FunctionError"):
        told = payload if isinstance(payload, dict) else {}
        raise _sfn._ExecutionError(str(told.get("errorType") or "Lambda.Unknown"), json.dumps(payload))
    return {
        "ExecutedVersion": answer.get("ExecutedVersion", "$LATEST"),
        "Payload": payload,
        **_http_metadata(metadata),
        "StatusCode": answer["StatusCode"],
    }


def _json_or_text(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")


def _put_events(asked: Integration, given: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    entries = [
        {
            **entry,
            **({"Detail": _text(entry["Detail"])} if "Detail" in entry else {}),
            "Resources": [*entry.get("Resources", []), actor.execution, actor.machine],
        }
        for entry in given.get("Entries", [])
    ]
    operation = inside.model("events").operation_model("PutEvents")
    answer = _call(asked, operation, {**given, "Entries": entries}, actor)
    metadata = answer.pop("ResponseMetadata", {})
    if answer["FailedEntryCount"]:
        raise _sfn._ExecutionError("EventBridge.FailedEntry", json.dumps(answer["Entries"]))
    return {**answer, **_http_metadata(metadata)}


def _start_execution(asked: Integration, given: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    model = inside.model("stepfunctions")
    request = {name[:1].lower() + name[1:]: value for name, value in given.items()}
    if "input" in request:
        request["input"] = _text(request["input"])
    waits = asked.pattern.startswith("sync")
    if waits:
        _may_watch(actor)
    started = _call(asked, model.operation_model(asked.operation), request, actor)
    metadata = started.pop("ResponseMetadata", {})
    if not waits:
        return {
            "ExecutionArn": started["executionArn"],
            "StartDate": _moment(started["startDate"]),
            **_http_metadata(metadata),
        }
    return _wait_for(asked, started["executionArn"], actor)


def _may_watch(actor: Actor) -> None:
    rule = f"arn:aws:events:{actor.region}:{actor.account}:{_NESTED_RULE}"
    for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
        if not authorise.act_as(actor.role, action, rule, path="nested-execution"):
            raise _sfn._ExecutionError(
                "StepFunctions.AWSStepFunctionsException", f"{actor.role} is not authorized to {action} on {rule}."
            )


def _wait_for(asked: Integration, execution: str, actor: Actor) -> dict[str, Any]:
    model = inside.model("stepfunctions")
    while True:
        found = _call(asked, model.operation_model("DescribeExecution"), {"executionArn": execution}, actor)
        if found["status"] != "RUNNING":
            break
        if actor.ended():
            _call(asked, model.operation_model("StopExecution"), {"executionArn": execution}, actor)
        time.sleep(_NESTED_POLL_SECONDS)
    found.pop("ResponseMetadata", None)
    result = {name[:1].upper() + name[1:]: value for name, value in found.items() if value is not None}
    for name in ("StartDate", "StopDate"):
        if name in result:
            # The events that Step Functions watches carry milliseconds.
            result[name] = int(result[name].timestamp() * 1000)
    if found["status"] != "SUCCEEDED":
        raise _sfn._ExecutionError("States.TaskFailed", json.dumps(result))
    if asked.pattern == "sync:2" and "Output" in result:
        result["Output"] = json.loads(result["Output"])
    return result


def _moment(value: datetime.datetime) -> str:
    return value.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_api(value: Any, shape: Shape | None, *, sdk_names: bool) -> Any:
    """A task's arguments as botocore takes them: its names, bytes for blobs."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        names = {
            _member_name(str(shape.name), str(name)) if sdk_names else str(name): str(name) for name in shape.members
        }
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = str(names.get(key, key))
            member = shape.members.get(name)
            if member is None:
                raise _sfn._ExecutionError("States.Runtime", f"The field {key!r} is not supported by Step Functions.")
            found[name] = _to_api(item, member, sdk_names=sdk_names)
        return found
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_to_api(item, shape.member, sdk_names=sdk_names) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _to_api(item, shape.value, sdk_names=sdk_names) for key, item in value.items()}
    if shape is not None and shape.type_name == "blob":
        return _text(value).encode()
    return value


def _from_api(value: Any, shape: Shape | None, *, sdk_names: bool) -> Any:
    """What botocore answers as a state machine sees it: the SDK's names, ISO times, text for blobs."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, item in value.items():
            if item is not None:
                named = _member_name(str(shape.name), str(name)) if sdk_names else str(name)
                found[named] = _from_api(item, shape.members.get(str(name)), sdk_names=sdk_names)
        return found
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_api(item, shape.member, sdk_names=sdk_names) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_api(item, shape.value, sdk_names=sdk_names) for key, item in value.items()}
    if isinstance(value, datetime.datetime):
        return _moment(value)
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _sfn._ExecutionError("States.Runtime", "The result is not text, and a state holds JSON.") from None
    return {} if value is None else value


def _member_name(shape: str, name: str) -> str:
    return str(_sfn._SDK_MEMBER_NAME_OVERRIDES.get((shape, name), _sfn._api_name_to_sfn_key(name)))
