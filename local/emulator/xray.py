"""A small stand-in for AWS X-Ray: takes segments and telemetry, gives traces back.

It keeps traces in memory, the latest ones: `MOST_TRACES`, and no more than `MOST_BYTES` of segments. X-Ray's API gives
no telemetry back, so the control API shows it (`local.control.Control.telemetry`). The stand-in has no service graph,
no filter expressions, no sampling rules of its own and no annotations in summaries. Source of the shapes: botocore's
model of X-Ray, and AWS X-Ray Developer Guide, "X-Ray segment documents" (read in 2026-11).
"""

import json
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar

from local.emulator import authorise, clock
from local.services.wire import Caller, JsonService, Operation, ServiceError

MOST_TRACES = 1_000
MOST_BYTES = 16_000_000
# "You can send up to 64 kB in a segment document"; a trace holds up to 500 kB ("AWS X-Ray endpoints and quotas").
SEGMENT_BYTES = 64_000
TRACE_BYTES = 500_000
MOST_IDS = 5
MOST_RECORDS = 1_000
TELEMETRY_SECONDS = 60.0

_TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_SEGMENT_ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class _Trace:
    segments: dict[str, str] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: int = 0
    limited: bool = False


class Traces:
    """The traces of every account and region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: OrderedDict[tuple[str, str, str], _Trace] = OrderedDict()
        self._size = 0

    def add(self, account: str, region: str, text: str) -> str | None:
        """Keep a segment document; what is wrong with it, or None. One that is there already is replaced."""
        document, problem = _read(text)
        if problem:
            return problem
        key, name, size = (account, region, document["trace_id"]), document["id"], len(text)
        with self._lock:
            trace = self._traces.setdefault(key, _Trace())
            old = len(trace.segments.get(name, ""))
            if trace.size - old + size > TRACE_BYTES:
                trace.limited = True
                return None
            trace.segments[name], trace.documents[name] = text, document
            trace.size += size - old
            self._size += size - old
            while len(self._traces) > MOST_TRACES or self._size > MOST_BYTES:
                _, oldest = self._traces.popitem(last=False)
                self._size -= oldest.size
        return None

    def get(self, account: str, region: str, trace_id: str) -> dict[str, Any] | None:
        """A trace as BatchGetTraces gives it, None when it is not there."""
        with self._lock:
            trace = self._traces.get((account, region, trace_id))
            if trace is None:
                return None
            start, end = _span(list(trace.documents.values()))
            return {
                "Id": trace_id,
                "Duration": round(end - start, 3),
                "LimitExceeded": trace.limited,
                "Segments": [{"Id": name, "Document": text} for name, text in trace.segments.items()],
            }

    def summaries(self, account: str, region: str, start: float, end: float) -> list[dict[str, Any]]:
        """Summaries of the traces that began between two moments (epoch seconds), as GetTraceSummaries gives them."""
        with self._lock:
            mine = [
                (key[2], list(trace.documents.values()))
                for key, trace in self._traces.items()
                if key[:2] == (account, region)
            ]
        return [_summary(name, account, found) for name, found in mine if start <= _span(found)[0] <= end]


class Telemetry:
    """What senders of segments told about their sending, and what they have still to tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[dict[str, Any]] = deque(maxlen=MOST_RECORDS)
        self._untold: dict[str, Counts] = {}
        self._told: dict[str, float] = {}

    def add(self, account: str, region: str, record: Mapping[str, Any]) -> None:
        """Keep a record as PutTelemetryRecords takes it; its `Timestamp` becomes epoch seconds."""
        kept = {**record, "Timestamp": record["Timestamp"].timestamp(), "Account": account, "Region": region}
        with self._lock:
            self._records.append(kept)

    def records(self) -> list[dict[str, Any]]:
        """The latest records, oldest first."""
        with self._lock:
            return list(self._records)

    def count(self, function_arn: str, *, sent: int, rejected: int, now: float) -> bool:
        """Count segments of a function, of which somebody is to be told; whether that is due (`now` in seconds)."""
        with self._lock:
            before = self._untold.get(function_arn, Counts())
            self._untold[function_arn] = Counts(before.sent + sent, before.rejected + rejected)
            return now - self._told.get(function_arn, -TELEMETRY_SECONDS) >= TELEMETRY_SECONDS

    def tell(self, account: str, region: str, function_arn: str, now: float) -> None:
        """Keep a record of what was counted of a function since the last one."""
        with self._lock:
            counts = self._untold.pop(function_arn, Counts())
            self._told[function_arn] = now
        record = {
            "Timestamp": datetime.now(timezone.utc),
            "SegmentsReceivedCount": counts.sent + counts.rejected,
            "SegmentsSentCount": counts.sent,
            "SegmentsRejectedCount": counts.rejected,
            "ResourceARN": function_arn,
        }
        self.add(account, region, record)


@dataclass(frozen=True)
class Counts:
    """Segments that were taken, and that were refused."""

    sent: int = 0
    rejected: int = 0


def _read(text: str) -> tuple[dict[str, Any], str | None]:
    if len(text) > SEGMENT_BYTES:
        return {}, f"A segment document is larger than {SEGMENT_BYTES} bytes"
    try:
        document = json.loads(text)
    except ValueError:
        return {}, "A segment document is not JSON"
    if not isinstance(document, dict):
        return {}, "A segment document is not an object"
    return document, _problem(document)


def _problem(document: Mapping[str, Any]) -> str | None:
    checks = {
        "name": isinstance(document.get("name"), str) and bool(document["name"]),
        "id": _SEGMENT_ID.fullmatch(str(document.get("id"))),
        "trace_id": _TRACE_ID.fullmatch(str(document.get("trace_id"))),
        "start_time": _is_number(document.get("start_time")),
        "end_time": _is_number(document.get("end_time")) or document.get("in_progress") is True,
    }
    wrong = [name for name, right in checks.items() if not right]
    return f"Missing or invalid: {', '.join(wrong)}" if wrong else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _span(documents: list[dict[str, Any]]) -> tuple[float, float]:
    starts = [float(one["start_time"]) for one in documents]
    return min(starts), max([*starts, *(float(one["end_time"]) for one in documents if "end_time" in one)])


def _summary(trace_id: str, account: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    start, end = _span(documents)
    roots = [one for one in documents if not one.get("parent_id")] or documents[:1]
    response = _span(roots[:1])

    def has(flag: str) -> bool:
        return any(one.get(flag) is True for one in documents)

    services = [
        {"Name": one["name"], "AccountId": account, **({"Type": one["origin"]} if one.get("origin") else {})}
        for one in documents
        if one.get("type") != "subsegment"
    ]
    return {
        "Id": trace_id,
        "StartTime": datetime.fromtimestamp(start, timezone.utc),
        "Duration": round(end - start, 3),
        "ResponseTime": round(response[1] - response[0], 3),
        "HasFault": has("fault"),
        "HasError": has("error"),
        "HasThrottle": has("throttle"),
        "IsPartial": has("in_progress"),
        "ServiceIds": services,
        "Revision": len(documents),
    }


class XRay(JsonService):
    """The service. It speaks REST-JSON: the seams find the operation by its path, and the rest is as in JSON 1.1."""

    name: ClassVar[str] = "xray"
    iam_namespace: ClassVar[str] = "xray"
    target_prefix: ClassVar[str] = ""

    def __init__(self, traces: Traces, telemetry: Telemetry) -> None:
        self._traces = traces
        self._telemetry = telemetry

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "PutTraceSegments": self._put_segments,
            "PutTelemetryRecords": self._put_telemetry,
            "GetTraceSummaries": self._summaries,
            "BatchGetTraces": self._get,
        }

    def _put_segments(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        unprocessed = []
        for text in request["TraceSegmentDocuments"]:
            problem = self._traces.add(caller.account, caller.region, text)
            if problem:
                unprocessed.append({"ErrorCode": "ParseError", "Message": problem})
        return {"UnprocessedTraceSegments": unprocessed}

    def _put_telemetry(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        about = {name: request[name] for name in ("EC2InstanceId", "Hostname", "ResourceARN") if name in request}
        for record in request["TelemetryRecords"]:
            self._telemetry.add(caller.account, caller.region, {**record, **about})
        return {}

    def _summaries(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if request.get("FilterExpression"):
            raise ServiceError("InvalidRequestException", "This local cloud serves no filter expressions.")
        start, end = request["StartTime"].timestamp(), request["EndTime"].timestamp()
        found = self._traces.summaries(caller.account, caller.region, start, end)
        return {
            "TraceSummaries": found,
            "ApproximateTime": datetime.now(timezone.utc),
            "TracesProcessedCount": len(found),
        }

    def _get(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        ids = request["TraceIds"]
        if len(ids) > MOST_IDS:
            raise ServiceError("InvalidRequestException", f"No more than {MOST_IDS} traces at a time.")
        found = [self._traces.get(caller.account, caller.region, trace_id) for trace_id in ids]
        return {"Traces": [trace for trace in found if trace], "UnprocessedTraceIds": []}


TRACES = Traces()
TELEMETRY = Telemetry()
SERVICE = XRay(TRACES, TELEMETRY)


@dataclass(frozen=True)
class TracedInvocation:
    """An invocation of a function with active tracing; `header` is its `_X_AMZN_TRACE_ID`, times are epoch seconds."""

    account: str
    region: str
    role: str
    function: str
    function_arn: str
    request_id: str
    header: str
    started: float
    ended: float
    failed: bool


def traced(invocation: TracedInvocation) -> None:
    """Write what Lambda writes for a sampled invocation, on behalf of the function's role: two segments, telemetry.

    A role that may not put segments leaves no trace, one that may not put telemetry no record; the function does not
    notice. Telemetry is sent once a minute; what could not be told is told with the next invocation that may.
    """
    parts = dict(part.partition("=")[::2] for part in invocation.header.split(";"))
    if parts.get("Sampled") != "1":
        return
    segments = _segments(invocation, parts)
    allowed = authorise.act_as(invocation.role, "xray:PutTraceSegments", "*", path="tracing")
    for segment in segments if allowed else []:
        TRACES.add(invocation.account, invocation.region, json.dumps(segment))
    # The clock of the emulator can be moved, so that nobody has to wait for the minute.
    now, function = time.monotonic() + clock.offset(), invocation.function_arn
    sent, rejected = (len(segments), 0) if allowed else (0, len(segments))
    if TELEMETRY.count(function, sent=sent, rejected=rejected, now=now) and authorise.act_as(
        invocation.role, "xray:PutTelemetryRecords", "*", path="tracing"
    ):
        TELEMETRY.tell(invocation.account, invocation.region, function, now)


def _segments(invocation: TracedInvocation, parts: Mapping[str, str]) -> list[dict[str, Any]]:
    service = secrets.token_hex(8)
    shared = {
        "name": invocation.function,
        "trace_id": parts["Root"],
        "start_time": round(invocation.started, 6),
        "end_time": round(invocation.ended, 6),
        **({"fault": True} if invocation.failed else {}),
    }
    return [
        {
            **shared,
            "id": service,
            "origin": "AWS::Lambda",
            "resource_arn": invocation.function_arn,
            "aws": {"request_id": invocation.request_id},
        },
        {
            **shared,
            # What the function's own code sends hangs on the id that it was given.
            "id": parts["Parent"],
            "parent_id": service,
            "origin": "AWS::Lambda::Function",
            "aws": {"function_arn": invocation.function_arn},
        },
    ]
