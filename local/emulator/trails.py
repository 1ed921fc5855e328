"""What CloudTrail makes of a request: a record, which kind of event it is, and whether a trail's selectors want it.

Sources, read 2026-11-27: the documentation in botocore's service model of CloudTrail (selectors and their fields);
"CloudTrail record contents" and "Logging data events", AWS CloudTrail User Guide (from memory: the members of a record,
which operations are data events; here only those of `DATA_EVENTS` are told from management events, and what no trail
tells at all is in `UNTOLD`).
"""

import datetime
import json
import re
import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Operations on what a resource holds: type of the resource, by service and operation as the emulator names them.
DATA_EVENTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "s3": (
        "AWS::S3::Object",
        frozenset(
            {
                "AbortMultipartUpload",
                "CompleteMultipartUpload",
                "CopyObject",
                "CreateMultipartUpload",
                "DeleteObject",
                "DeleteObjects",
                "GetObject",
                "GetObjectAcl",
                "GetObjectAttributes",
                "GetObjectTagging",
                "HeadObject",
                "ListParts",
                "PutObject",
                "PutObjectAcl",
                "PutObjectLegalHold",
                "PutObjectRetention",
                "PutObjectTagging",
                "UploadPart",
            }
        ),
    ),
    "lambda": ("AWS::Lambda::Function", frozenset({"Invoke"})),
    "sagemaker": ("AWS::SageMaker::Endpoint", frozenset({"InvokeEndpoint", "InvokeEndpointWithResponseStream"})),
    "dynamodb": (
        "AWS::DynamoDB::Table",
        frozenset(
            {
                "BatchGetItem",
                "BatchWriteItem",
                "DeleteItem",
                "GetItem",
                "PutItem",
                "Query",
                "Scan",
                "TransactGetItems",
                "TransactWriteItems",
                "UpdateItem",
            }
        ),
    ),
    "sqs": ("AWS::SQS::Queue", frozenset({"SendMessage", "ReceiveMessage", "DeleteMessage", "SendMessageBatch"})),
    "sns": ("AWS::SNS::Topic", frozenset({"Publish", "PublishBatch"})),
}
# What fills the telemetry of others is no event of a trail here.
UNTOLD = {"logs": {"PutLogEvents", "CreateLogStream"}, "monitoring": {"PutMetricData"}, "xray": set[str]()}
_EVERYTHING_UNTOLD = frozenset({"xray"})
_SOURCES = {"cloudwatch": "monitoring", "stepfunctions": "states", "lambda": "lambda"}
_READS = ("Get", "List", "Describe", "Head", "BatchGet", "Lookup", "Query", "Scan", "Receive", "Search", "Simulate")
# A longer text in a request is not kept: a record is no place for data.
_LONGEST = 1000
_INVOCATION = re.compile(r"/(endpoints|functions)/([^/]+)/(?:async-)?invo")
_SECRET = re.compile(r"password|secret|token|plaintext|body|payload", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """A request that was answered.

    `service` and `operation` as the emulator names them; `principal` is the caller's ARN; `resource` the ARN that it
    was authorised on, or `*`; `error` AWS's code and `message`, where it failed.
    """

    service: str
    operation: str
    principal: str
    access_key: str
    account: str
    region: str
    resource: str
    parameters: Mapping[str, Any]
    when: datetime.datetime
    user_agent: str = ""
    error: str = ""
    message: str = ""


def kind(request: Request) -> tuple[str, str]:
    """`Data` and the type of the resource, or `Management` and nothing."""
    of_type, operations = DATA_EVENTS.get(request.service, ("", frozenset()))
    return ("Data", of_type) if request.operation in operations else ("Management", "")


def is_told(request: Request) -> bool:
    """Whether any trail could tell of it."""
    if request.service in _EVERYTHING_UNTOLD or request.operation in UNTOLD.get(source_of(request.service), ()):
        return False
    return request.operation != "?"


def source_of(service: str) -> str:
    """The first part of an event's source: `monitoring` of monitoring.amazonaws.com."""
    return _SOURCES.get(service, service)


def is_read(operation: str) -> bool:
    """Whether an operation changes nothing, by its name."""
    return operation.startswith(_READS)


def record(request: Request) -> dict[str, Any]:
    """The record, as a log file holds it and EventBridge tells it. What was answered is not in it."""
    category, of_type = kind(request)
    found: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": _identity(request),
        "eventTime": request.when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{source_of(request.service)}.amazonaws.com",
        "eventName": request.operation,
        "awsRegion": request.region,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": request.user_agent,
        "requestParameters": kept(request.parameters) or None,
        "responseElements": None,
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": is_read(request.operation),
        "eventType": "AwsApiCall",
        "managementEvent": category == "Management",
        "recipientAccountId": request.account,
        "eventCategory": category,
    }
    if of_type:
        found["resources"] = [{"type": of_type, "ARN": request.resource, "accountId": request.account}]
    if request.error:
        found |= {"errorCode": request.error, "errorMessage": request.message}
    return found


def _identity(request: Request) -> dict[str, Any]:
    arn, account = request.principal, request.account
    base = {"principalId": request.access_key, "arn": arn, "accountId": account, "accessKeyId": request.access_key}
    if match := re.fullmatch(r"arn:aws:sts::\d+:assumed-role/([^/]+)/(.+)", arn):
        issuer = {
            "type": "Role",
            "arn": f"arn:aws:iam::{account}:role/{match[1]}",
            "accountId": account,
            "userName": match[1],
        }
        return {"type": "AssumedRole", **base, "sessionContext": {"sessionIssuer": issuer}}
    if arn.endswith(":root"):
        return {"type": "Root", **base}
    return {"type": "IAMUser", **base, "userName": arn.rpartition("/")[2]}


def kept(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without what is secret, too long or data, and names that begin with a small letter."""
    return {f"{name[:1].lower()}{name[1:]}": _kept(name, value) for name, value in parameters.items()}


def _kept(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return kept(value)
    if isinstance(value, list):
        return [_kept(name, item) for item in value]
    if isinstance(value, str) and (_SECRET.search(name) or len(value) > _LONGEST):
        return "HIDDEN_DUE_TO_SECURITY_REASONS"
    return value


def parameters_of(body: bytes, query: Mapping[str, Sequence[str]], path: str, service: str) -> dict[str, Any]:
    """The parameters of a request: its JSON, its form, or of S3 bucket and key."""
    if service == "s3":
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        return {"bucketName": bucket, **({"key": key} if key else {})}
    if match := _INVOCATION.search(path):
        # What is asked of a model or a function is data.
        return {"endpointName" if match[1] == "endpoints" else "functionName": urllib.parse.unquote(match[2])}
    try:
        asked = json.loads(body) if body[:1] == b"{" else {}
    except ValueError:
        asked = {}
    if asked:
        return dict(asked)
    form = urllib.parse.parse_qs(body.decode(errors="replace")) if b"Action=" in body[:2000] else {}
    every = {**dict(query), **form}
    return {name: values[0] for name, values in every.items() if name not in ("Action", "Version") and values}


def selects(selectors: Sequence[Mapping[str, Any]], event: Mapping[str, Any]) -> bool:
    """Whether a trail with these selectors, basic or advanced, logs an event (a `record`)."""
    if not selectors:
        return bool(event["managementEvent"])
    return any(
        _advanced(one["FieldSelectors"], event) if "FieldSelectors" in one else _basic(one, event) for one in selectors
    )


def _fields(event: Mapping[str, Any]) -> dict[str, str]:
    (resource,) = event.get("resources") or [{}]
    return {
        "eventCategory": str(event["eventCategory"]),
        "eventName": str(event["eventName"]),
        "eventSource": str(event["eventSource"]),
        "readOnly": str(event["readOnly"]).lower(),
        "resources.type": str(resource.get("type", "")),
        "resources.ARN": str(resource.get("ARN", "")),
        "userIdentity.arn": str(event["userIdentity"]["arn"]),
    }


def _advanced(selectors: Sequence[Mapping[str, Any]], event: Mapping[str, Any]) -> bool:
    fields = _fields(event)
    return all(_field(one, fields[one["Field"]]) for one in selectors)


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


def _field(selector: Mapping[str, Any], value: str) -> bool:
    for operator, test in _TESTS.items():
        if operator in selector and not any(test(value, one) for one in selector[operator]):
            return False
        if f"Not{operator}" in selector and any(test(value, one) for one in selector[f"Not{operator}"]):
            return False
    return True


def _basic(selector: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    wanted = selector.get("ReadWriteType", "All")
    if wanted != "All" and (wanted == "ReadOnly") != event["readOnly"]:
        return False
    if event["managementEvent"]:
        left_out = selector.get("ExcludeManagementEventSources", ())
        return bool(selector.get("IncludeManagementEvents", True)) and event["eventSource"] not in left_out
    fields = _fields(event)
    return any(
        one["Type"] == fields["resources.type"]
        and any(fields["resources.ARN"].startswith(value) or value == _ALL.get(one["Type"]) for value in one["Values"])
        for one in selector.get("DataResources", ())
    )


_ALL = {
    "AWS::S3::Object": "arn:aws:s3",
    "AWS::Lambda::Function": "arn:aws:lambda",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb",
}
