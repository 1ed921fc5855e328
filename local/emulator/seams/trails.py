"""CloudTrail's trails in the emulator: they log what is asked, into their bucket, and EventBridge tells of it.

MiniStack keeps trails and logs nothing. Here each request that comes by HTTPS, or from inside as one of a service that
acts for somebody, is a record (`local.emulator.trails`); what a service does in its own name is none, as on AWS. Every
trail that logs, and whose selectors want it, puts it into its bucket: as `cloudtrail.amazonaws.com` by the bucket's own
policy and the key's, a file of JSON, zipped, within a second or two, where AWS takes five minutes. What cannot be
delivered is tried again with what comes next. Changes are events of EventBridge, as on AWS only while a trail logs
them. `LookupEvents` finds management events, the last ten thousand.

Not here: digest files (the setting is kept), Insights, organization trails, delivery to CloudWatch Logs and SNS.

Sources, read 2026-11-27: as in `local.emulator.trails`; "Amazon S3 bucket policy for CloudTrail" and "Configure AWS KMS
key policies for CloudTrail", AWS CloudTrail User Guide; "AWS service events delivered via AWS CloudTrail", Amazon
EventBridge User Guide (from memory).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import gzip
import json
import logging
import re
import secrets
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import cloudtrail as _cloudtrail
from ministack.services import s3 as _s3

from local.emulator import authorise, clock, seams, trails
from local.emulator.seams.kept_records import request as checked
from local.emulator.seams.resource_types import provide
from local.services import resource_types
from local.services.resource_types import Made, Properties, ResourceType

_log = logging.getLogger(__name__)
_PRINCIPAL = "cloudtrail.amazonaws.com"
_TOGETHER_SECONDS = 1.0
# Of one trail, while it cannot deliver.
_MOST_WAITING = 10_000
_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_UNSERVED = ("CloudWatchLogsLogGroupArn", "InsightSelectors", "SnsTopicName", "AggregationConfigurations")

# Records that wait for their file, by the place of their trail (account, home region, name).
_waiting: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
# How the last delivery of each trail went, as GetTrailStatus tells it.
_delivered: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()
_timer: threading.Timer | None = None


def install() -> None:
    """Put the hooks in place."""
    _record_requests()
    _tell_of_deliveries()
    provide("AWS::CloudTrail::Trail", ResourceType(_create, _update, _delete, ("TrailName",), "TrailName"))
    clock.on_advance(flush)


# --- Records ---------------------------------------------------------------------------------------------------------


def _record_requests() -> None:
    original = _app._dispatch_service_request

    @functools.wraps(original)
    async def dispatch(  # noqa: PLR0917 (MiniStack's own signature)
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Any:
        answer = await original(method, path, headers, body, query, request_id)
        account = _responses.get_account_id()
        if any(trail["IsLogging"] for _, _, trail in _trails(account)):
            try:
                _take(_request(method, path, headers, body, query, answer))
            except Exception:  # noqa: BLE001 (a record that cannot be made must not fail its request)
                _log.exception("No record of %s %s", method, path)
        return answer

    _app._dispatch_service_request = dispatch


def _trails(account: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, home region and record of the account's trails."""
    return [(str(name), str(region), trail) for region, name, trail in _cloudtrail._account_trail_items(account)]


def _request(  # noqa: PLR0917 (the parts of a request)
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]], answer: Any
) -> trails.Request:
    service, operation = seams.identify(method, path, headers, body, query)
    access_key = _router.extract_access_key_id(dict(headers), dict(query))
    account, region = _responses.get_account_id(), _responses.get_region()
    status, _, content = answer
    error, message = _error(content) if status >= 400 else ("", "")
    resource = _iam_actions.extract_resource_arn(
        service, method, path, dict(headers), body, dict(query), region, account
    )
    return trails.Request(
        service=service,
        operation=operation,
        principal=seams._principal_arn(access_key),
        access_key=access_key,
        account=account,
        region=region,
        resource=str(resource),
        parameters=trails.parameters_of(body, query, path, service),
        when=datetime.datetime.fromtimestamp(clock.now(), tz=datetime.timezone.utc),
        user_agent=headers.get("user-agent", ""),
        error=error,
        message=message,
    )


def _error(content: Any) -> tuple[str, str]:
    body = content if isinstance(content, bytes) else str(content).encode()
    if match := _CODE.search(body):
        return match[1].decode(), ""
    try:
        told = json.loads(body)
        code = str(told.get("__type") or told.get("code") or told.get("Code") or "Error").rpartition("#")[2]
        return code, str(told.get("message") or told.get("Message") or "")[:500]
    except (ValueError, AttributeError):
        return "Error", ""


def _take(request: trails.Request) -> None:
    if not trails.is_told(request):
        return
    event = trails.record(request)
    told = False
    for name, home, trail in _trails(request.account):
        if not trail["IsLogging"] or not (trail.get("IsMultiRegionTrail") or home == request.region):
            continue
        selectors = _cloudtrail._event_selectors.get_scoped(request.account, home, name, [])
        if trails.selects(selectors, event):
            told = True
            with _lock:
                _waiting.setdefault((request.account, home, name), []).append(event)
    if event["managementEvent"]:
        _remember(event)
    if told:
        _soon()
        if not event["readOnly"]:
            # AWS's own events come without anybody's permission.
            source = f"aws.{trails.source_of(request.service)}"
            seams._emit(source, "AWS API Call via CloudTrail", event, [])


def _remember(event: Mapping[str, Any]) -> None:
    """For LookupEvents."""
    identity = event["userIdentity"]
    name = identity.get("userName") or identity["arn"].rpartition("/")[2]
    _cloudtrail._get_event_queue().append(
        {
            "EventId": event["eventID"],
            "EventName": event["eventName"],
            "EventSource": event["eventSource"],
            "EventTime": clock.now(),
            "Username": name,
            "AccessKeyId": identity["accessKeyId"],
            "ReadOnly": str(event["readOnly"]).lower(),
            "Resources": [],
            "CloudTrailEvent": json.dumps(event),
        }
    )


# --- Files -----------------------------------------------------------------------------------------------------------


def _soon() -> None:
    global _timer  # noqa: PLW0603 (one timer a process)
    with _lock:
        if _timer is None:
            _timer = threading.Timer(_TOGETHER_SECONDS, flush)
            _timer.daemon = True
            _timer.start()


def flush() -> None:
    """Write what waits, a file a trail."""
    global _timer
    with _lock:
        waiting, _timer = dict(_waiting), None
        _waiting.clear()
    for place, events in waiting.items():
        account, home, name = place
        trail = _cloudtrail._trails.get_scoped(account, home, name, None)
        if trail is None:
            continue
        with _responses.request_scope(account, home):
            delivered = _write(trail, account, home, events)
        if not delivered:
            with _lock:
                _waiting[place] = [*events, *_waiting.get(place, ())][-_MOST_WAITING:]


def _write(trail: dict[str, Any], account: str, region: str, events: list[dict[str, Any]]) -> bool:
    bucket, key = trail["S3BucketName"], _file(trail, account, region)
    problem = why_not(trail, account)
    if problem is None:
        content = gzip.compress(json.dumps({"Records": events}).encode())
        headers = {"content-type": "application/x-gzip", "content-length": str(len(content))}
        if trail.get("KmsKeyId"):
            headers["x-amz-server-side-encryption"] = "aws:kms"
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = trail["KmsKeyId"]
        answer = _s3._put_object(bucket, key, content, headers)
        problem = None if answer[0] < 300 else "InternalError"
    if problem is None:
        _delivered[trail["TrailARN"]] = {"LatestDeliveryTime": clock.now()}
        return True
    _delivered.setdefault(trail["TrailARN"], {})["LatestDeliveryError"] = problem
    _log.warning("%s could not deliver %s records: %s", trail["Name"], len(events), problem)
    return False


def _file(trail: Mapping[str, Any], account: str, region: str) -> str:
    now = datetime.datetime.fromtimestamp(clock.now(), tz=datetime.timezone.utc)
    prefix = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
    name = f"{account}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{secrets.token_hex(8)}.json.gz"
    return f"{prefix}AWSLogs/{account}/CloudTrail/{region}/{now:%Y/%m/%d}/{name}"


def why_not(trail: Mapping[str, Any], account: str) -> str | None:
    """Why CloudTrail cannot write into a trail's bucket (a code, as GetTrailStatus tells it); None if it can."""
    bucket = str(trail["S3BucketName"])
    arn = f"arn:aws:cloudtrail:{trail['HomeRegion']}:{account}:trail/{trail['Name']}"
    context = {
        "aws:SourceArn": arn,
        "aws:SourceAccount": account,
        "aws:PrincipalServiceName": _PRINCIPAL,
        "s3:x-amz-acl": "bucket-owner-full-control",
    }
    if bucket not in _s3._buckets:
        return "NoSuchBucket"
    prefix = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
    place = f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/{account}/CloudTrail/file"
    wanted = (("s3:GetBucketAcl", f"arn:aws:s3:::{bucket}"), ("s3:PutObject", place))
    if not all(authorise.act_as(_PRINCIPAL, action, on, context, path="trail-delivery") for action, on in wanted):
        return "AccessDenied"
    key = seams._customer_key(trail.get("KmsKeyId"))
    use = {**context, "kms:EncryptionContext:aws:cloudtrail:arn": arn}
    if key and not authorise.act_as(_PRINCIPAL, "kms:GenerateDataKey", key, use, path="customer-key"):
        return "KMS.AccessDeniedException"
    return None


def _tell_of_deliveries() -> None:
    handle = _app.SERVICE_HANDLERS["cloudtrail"]

    async def telling(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        status, answered, content = await handle(method, path, headers, body, query)
        if status == 200 and headers.get("x-amz-target", "").endswith(".GetTrailStatus"):
            _, _, trail = _cloudtrail._find_visible_trail(json.loads(body)["Name"])
            told = {**json.loads(content), **_delivered.get(trail["TrailARN"], {})}
            return status, answered, json.dumps(told).encode()
        return status, answered, content

    _app.SERVICE_HANDLERS["cloudtrail"] = telling


# --- CloudFormation --------------------------------------------------------------------------------------------------


def _create(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties.get("TrailName") or resource_types.physical_name(stack, logical_id)
    told = _told(properties, name)
    trail = {**told, "HomeRegion": _responses.get_region()}
    if problem := why_not(trail, _responses.get_account_id()):
        raise ValueError(f"CloudTrail cannot write into {told['S3BucketName']}: {problem}")
    arn = resource_types.call("cloudtrail", "CreateTrail", told)["TrailARN"]
    _select(name, properties)
    return name, {"Arn": arn}


def _told(properties: Properties, name: str) -> dict[str, Any]:
    if unserved := [one for one in _UNSERVED if properties.get(one)]:
        raise ValueError(f"This local cloud does not serve {', '.join(unserved)} of a trail.")
    left = ("TrailName", "IsLogging", "EventSelectors", "AdvancedEventSelectors", "Tags", "CloudWatchLogsRoleArn")
    given = {key: value for key, value in properties.items() if key not in left}
    tags = {"TagsList": properties["Tags"]} if properties.get("Tags") else {}
    return checked("cloudtrail", "CreateTrail", {**given, **tags, "Name": name})


def _select(name: str, properties: Properties) -> None:
    for member in ("EventSelectors", "AdvancedEventSelectors"):
        if properties.get(member):
            asked = checked("cloudtrail", "PutEventSelectors", {"TrailName": name, member: properties[member]})
            resource_types.call("cloudtrail", "PutEventSelectors", asked)
    logs = str(properties.get("IsLogging", "true")).lower() == "true"
    resource_types.call("cloudtrail", "StartLogging" if logs else "StopLogging", {"Name": name})


def _update(physical_id: str, _old: Properties, new: Properties) -> Made:
    told = _told(new, physical_id)
    told.pop("TagsList", None)
    arn = resource_types.call("cloudtrail", "UpdateTrail", told)["TrailARN"]
    _select(physical_id, new)
    return physical_id, {"Arn": arn}


def _delete(physical_id: str, _properties: Properties) -> None:
    with contextlib.suppress(ClientError):
        resource_types.call("cloudtrail", "DeleteTrail", {"Name": physical_id})
