"""The stand-in for X-Ray, and the traces of functions."""

import json
import secrets
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator import xray
from tests.local.emulated import (
    client_as,
    decided,
    eventually,
    last_sequence,
    make_function,
    make_role,
    set_permissions,
    unique,
)


def trace_id(moment: float | None = None) -> str:
    return f"1-{int(moment or time.time()):08x}-{secrets.token_hex(12)}"


def segment(**parts: Any) -> dict[str, Any]:
    started = time.time()
    return {
        "name": "work",
        "id": secrets.token_hex(8),
        "trace_id": trace_id(),
        "start_time": started,
        "end_time": started + 0.25,
        **parts,
    }


def test_segments_of_a_trace_come_back_together() -> None:
    # Given two segments of one trace and one of another
    traces, root = xray.Traces(), segment()
    child = segment(trace_id=root["trace_id"], parent_id=root["id"], end_time=root["start_time"] + 1, fault=True)
    for document in (root, child, segment()):
        assert traces.add("0", "r", json.dumps(document)) is None

    # When the first trace is asked for
    found = traces.get("0", "r", root["trace_id"])
    (summary,) = [one for one in traces.summaries("0", "r", 0, 1e12) if one["Id"] == root["trace_id"]]

    # Then both of its segments are there, and the summary speaks for both
    assert found is not None
    assert [one["Id"] for one in found["Segments"]] == [root["id"], child["id"]]
    assert (summary["Duration"], summary["ResponseTime"], summary["HasFault"]) == (1.0, 0.25, True)
    assert traces.get("1", "r", root["trace_id"]) is None


def test_a_segment_in_progress_is_replaced_by_the_finished_one() -> None:
    # Given a segment that is in progress
    traces, document = xray.Traces(), segment()
    unfinished = {**document, "in_progress": True}
    del unfinished["end_time"]
    traces.add("0", "r", json.dumps(unfinished))
    assert traces.summaries("0", "r", 0, 1e12)[0]["IsPartial"] is True

    # When it is sent again with its end
    traces.add("0", "r", json.dumps(document))

    # Then the trace has one segment and is whole
    (summary,) = traces.summaries("0", "r", 0, 1e12)
    assert (summary["IsPartial"], summary["Revision"]) == (False, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no json", "not JSON"),
        ("[]", "not an object"),
        ("{}", "name, id, trace_id, start_time, end_time"),
        (json.dumps(segment(trace_id="1-2-3")), "trace_id"),
        (json.dumps(segment(id="short")), "id"),
        (json.dumps(segment(start_time="now")), "start_time"),
        (json.dumps(segment(end_time=True)), "end_time"),
        (json.dumps(segment(metadata="x" * 70_000)), "larger than"),
    ],
)
def test_a_document_that_is_no_segment_is_named_as_such(text: str, why: str) -> None:
    # Given something that is not a segment
    traces = xray.Traces()

    # When it is sent, then the answer says why, and nothing is kept
    assert why in str(traces.add("0", "r", text))
    assert traces.summaries("0", "r", 0, 1e12) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given room for ten traces, and for 2,000 bytes in one
    monkeypatch.setattr(xray, "MOST_TRACES", 10)
    monkeypatch.setattr(xray, "TRACE_BYTES", 2_000)
    traces, documents = xray.Traces(), [segment() for _ in range(25)]

    # When more are sent
    for document in documents:
        traces.add("0", "r", json.dumps(document))
    last = documents[-1]["trace_id"]
    for _ in range(50):
        traces.add("0", "r", json.dumps(segment(trace_id=last)))

    # Then the latest are kept, and the trace that grew too large says so
    kept = {one["Id"] for one in traces.summaries("0", "r", 0, 1e12)}
    assert kept == {document["trace_id"] for document in documents[-10:]}
    found = traces.get("0", "r", last)
    assert found is not None
    assert found["LimitExceeded"] is True
    assert sum(len(one["Document"]) for one in found["Segments"]) <= 2_000


# --- on a cloud -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud of this module's own."""
    with LocalCloud.start(unique("xray")) as started:
        yield started


def summaries(cloud: LocalCloud, function: str) -> list[dict[str, Any]]:
    now = datetime.now(timezone.utc)
    minute = timedelta(minutes=1)
    found = cloud.client("xray").get_trace_summaries(StartTime=now - minute, EndTime=now + minute)["TraceSummaries"]
    return [one for one in found if function in {service["Name"] for service in one["ServiceIds"]}]


def test_the_api_takes_segments_and_gives_traces(cloud: LocalCloud) -> None:
    # Given a segment that was sent beside something that is none
    client = cloud.client("xray")
    document = segment(name=unique("work"))
    answer = client.put_trace_segments(TraceSegmentDocuments=[json.dumps(document), "{}"])
    assert [one["ErrorCode"] for one in answer["UnprocessedTraceSegments"]] == ["ParseError"]

    # When its trace is looked up
    (summary,) = summaries(cloud, document["name"])
    (trace,) = client.batch_get_traces(TraceIds=[summary["Id"], trace_id()])["Traces"]

    # Then it is the one that was sent
    assert summary["Id"] == document["trace_id"]
    assert json.loads(trace["Segments"][0]["Document"]) == document


def test_what_is_not_served_says_so(cloud: LocalCloud) -> None:
    # Given the service
    client = cloud.client("xray", retries={"total_max_attempts": 1})
    now = datetime.now(timezone.utc)

    # When it is asked for what it does not serve, then the answer says that
    with pytest.raises(ClientError, match="does not serve xray:GetServiceGraph"):
        client.get_service_graph(StartTime=now, EndTime=now)
    with pytest.raises(client.exceptions.InvalidRequestException, match="no filter expressions"):
        client.get_trace_summaries(StartTime=now, EndTime=now, FilterExpression="fault")
    with pytest.raises(client.exceptions.InvalidRequestException, match="5 traces"):
        client.batch_get_traces(TraceIds=[trace_id()] * 6)


def test_a_role_needs_permission_to_send_segments(cloud: LocalCloud) -> None:
    # Given a role that may do nothing, and one that may send segments
    role = make_role(cloud)
    client = client_as(cloud, role, "xray")
    document = json.dumps(segment())

    # When they send one, then the first is refused
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_trace_segments(TraceSegmentDocuments=[document])
    set_permissions(cloud, role, {"Action": "xray:PutTraceSegments", "Resource": "*"})
    assert client.put_trace_segments(TraceSegmentDocuments=[document])["UnprocessedTraceSegments"] == []


TRACING = {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"}
TELLS_ITS_TRACE = """
import os

def handler(event, context):
    if event == "fail":
        raise ValueError("as asked")
    return os.environ["_X_AMZN_TRACE_ID"]
"""


def test_an_invocation_with_active_tracing_leaves_a_trace(cloud: LocalCloud) -> None:
    # Given a function with active tracing whose role may write traces
    role = make_role(cloud, TRACING)
    name = make_function(cloud, TELLS_ITS_TRACE, role, TracingConfig={"Mode": "Active"})
    since = last_sequence(cloud)

    # When it is invoked
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=b'"go"')
    header = dict(part.split("=") for part in json.loads(answer["Payload"].read()).split(";"))

    # Then there is the trace that the function was told of, with Lambda's two segments
    (summary,) = eventually(lambda: summaries(cloud, name))
    assert summary["Id"] == header["Root"]
    assert summary["HasFault"] is False
    assert {service["Type"] for service in summary["ServiceIds"]} == {"AWS::Lambda", "AWS::Lambda::Function"}
    (trace,) = cloud.client("xray").batch_get_traces(TraceIds=[summary["Id"]])["Traces"]
    assert header["Parent"] in {one["Id"] for one in trace["Segments"]}
    # And both permissions were asked of the role
    for action in TRACING["Action"]:
        (decision,) = decided(cloud, action, "*", since)
        assert (decision["role"], decision["allowed"], decision["path"]) == (role.rpartition("/")[2], True, "tracing")


def told_by(cloud: LocalCloud, function: str) -> list[tuple[int, int]]:
    """Segments that were sent and rejected, by each telemetry record of a function."""
    return [
        (record["SegmentsSentCount"], record["SegmentsRejectedCount"])
        for record in cloud.control.telemetry()
        if record.get("ResourceARN", "").endswith(f":{function}")
    ]


def test_telemetry_that_is_sent_is_kept(cloud: LocalCloud) -> None:
    # Given somebody who may do nothing yet
    role, host, now = make_role(cloud), unique("host"), datetime.now(timezone.utc)
    client = client_as(cloud, role, "xray")
    record = {"Timestamp": now, "SegmentsSentCount": 3}
    # When telemetry is sent without and with the permission
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_telemetry_records(TelemetryRecords=[record], Hostname=host)
    set_permissions(cloud, role, {"Action": "xray:PutTelemetryRecords", "Resource": "*"})
    client.put_telemetry_records(TelemetryRecords=[record], Hostname=host)
    # Then the second is kept, whole
    (kept,) = [one for one in cloud.control.telemetry() if one.get("Hostname") == host]
    assert kept["SegmentsSentCount"] == 3
    assert abs(kept["Timestamp"] - now.timestamp()) <= 1
    assert (kept["Account"], kept["Region"]) == (cloud.account, cloud.region)


def test_a_function_that_may_not_send_telemetry_sends_none(cloud: LocalCloud) -> None:
    # Given a traced function that has sent telemetry of its two segments
    role = make_role(cloud, TRACING)
    name = make_function(cloud, TELLS_ITS_TRACE, role, TracingConfig={"Mode": "Active"})

    def invoke() -> None:
        cloud.client("lambda").invoke(FunctionName=name, Payload=b'"go"')

    invoke()
    assert eventually(lambda: told_by(cloud, name)) == [(2, 0)]
    # When its role may not any more, and a minute later it runs
    set_permissions(cloud, role, {"Action": "xray:PutTraceSegments", "Resource": "*"})
    cloud.control.clock_advance(61)
    since = last_sequence(cloud)
    invoke()
    # Then that is refused and no record comes, while its trace does
    (decision,) = eventually(lambda: decided(cloud, "xray:PutTelemetryRecords", "*", since))
    assert (decision["role"], decision["allowed"]) == (role.rpartition("/")[2], False)
    assert told_by(cloud, name) == [(2, 0)]
    assert len(summaries(cloud, name)) == 2
    # When it may again, Then it tells of what was untold
    set_permissions(cloud, role, TRACING)
    invoke()
    assert eventually(lambda: told_by(cloud, name)[1:]) == [(4, 0)]
    # When its segments are refused, Then its telemetry says so
    set_permissions(cloud, role, {"Action": "xray:PutTelemetryRecords", "Resource": "*"})
    cloud.control.clock_advance(61)
    invoke()
    assert eventually(lambda: told_by(cloud, name)[2:]) == [(0, 2)]


def test_a_failed_invocation_is_a_fault(cloud: LocalCloud) -> None:
    # Given a traced function
    name = make_function(cloud, TELLS_ITS_TRACE, make_role(cloud, TRACING), TracingConfig={"Mode": "Active"})

    # When it fails
    cloud.client("lambda").invoke(FunctionName=name, Payload=b'"fail"')

    # Then its trace says so
    (summary,) = eventually(lambda: summaries(cloud, name))
    assert summary["HasFault"] is True


@pytest.mark.parametrize("missing", ["permission", "tracing"])
def test_without_permission_or_tracing_there_is_no_trace(cloud: LocalCloud, missing: str) -> None:
    # Given a function that lacks either the permission to trace or active tracing
    role = make_role(cloud, *([] if missing == "permission" else [TRACING]))
    mode = "PassThrough" if missing == "tracing" else "Active"
    name = make_function(cloud, "def handler(event, context):\n    return 1\n", role, TracingConfig={"Mode": mode})
    since = last_sequence(cloud)

    # When it is invoked, and a traced one after it
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    other = make_function(cloud, TELLS_ITS_TRACE, make_role(cloud, TRACING), TracingConfig={"Mode": "Active"})
    cloud.client("lambda").invoke(FunctionName=other, Payload=b'"go"')
    eventually(lambda: summaries(cloud, other))

    # Then it has run and left no trace; a lack of permission is on record
    assert json.loads(answer["Payload"].read()) == 1
    assert summaries(cloud, name) == []
    mine = [one for one in decided(cloud, "xray:PutTraceSegments", "*", since) if one["role"] in role]
    assert [one["allowed"] for one in mine] == ([False] if missing == "permission" else [])
