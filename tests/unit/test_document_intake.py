"""The function that starts an execution for each upload, with the answers of Step Functions stubbed."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from lambdas.document_processing.places import document_id
from tests.unit.conftest import DOCUMENT_VARIABLES, Context

KEY = "uploads/anna smith+1 %41.pdf"
STARTED = {"executionArn": "arn:aws:states:us-east-1:123456789012:execution:documents:x", "startDate": 0}


@pytest.fixture
def module(document_handler: Callable[[str], types.ModuleType]) -> types.ModuleType:
    return document_handler("intake")


@pytest.fixture
def states(module: types.ModuleType) -> Iterator[Stubber]:
    with Stubber(module.clients["stepfunctions"]) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def event(key: str = KEY, version: str = "v1", **more: Any) -> dict[str, Any]:
    detail = {"bucket": {"name": "documents"}, "object": {"key": key, "version-id": version}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail, **more}


def record(body: Any, message_id: str = "m") -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"messageId": message_id, "attributes": {"ApproximateReceiveCount": "2"}, "body": text}


def deliver(module: types.ModuleType, *records: dict[str, Any]) -> list[str]:
    return [one["itemIdentifier"] for one in module.handler({"Records": list(records)}, Context())["batchItemFailures"]]


def test_an_upload_starts_an_execution_that_is_named_by_its_version(module: types.ModuleType, states: Stubber) -> None:
    # Given an upload; its key stands in the event as the user wrote it
    document = document_id("documents", KEY, "v1")
    upload = {"bucket": "documents", "key": KEY, "version": "v1", "document": document}
    states.add_response(
        "start_execution",
        STARTED,
        {"stateMachineArn": DOCUMENT_VARIABLES["STATE_MACHINE_ARN"], "name": document, "input": json.dumps(upload)},
    )
    # When its event comes, Then it is started under that name, and the message is done
    assert deliver(module, record(event())) == []


def test_a_message_that_comes_twice_starts_nothing_twice_and_is_done(module: types.ModuleType, states: Stubber) -> None:
    states.add_client_error("start_execution", "ExecutionAlreadyExists")
    assert deliver(module, record(event())) == []


def test_each_record_of_a_batch_counts_alone(module: types.ModuleType, states: Stubber) -> None:
    # Given a good one, one that is refused, one that is unreadable, a good one
    states.add_response("start_execution", STARTED)
    states.add_client_error("start_execution", "AccessDeniedException")
    states.add_response("start_execution", STARTED)
    batch = [record(event(version=str(n)), f"m{n}") for n in range(4)]
    batch[2]["body"] = "{"
    # When they are delivered, Then only those two come back
    assert deliver(module, *batch) == ["m1", "m2"]


def test_a_message_goes_back_when_step_functions_is_not_reached(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreached(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://nowhere")

    monkeypatch.setattr(module.clients["stepfunctions"], "start_execution", unreached)
    assert deliver(module, record(event())) == ["m"]


def test_another_event_of_s3_is_done_without_a_start(module: types.ModuleType, states: Stubber) -> None:
    assert deliver(module, record(event(**{"detail-type": "Object Deleted"}))) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no json", "no JSON"),
        ("[" * 200_000, "no JSON"),
        ("[]", "no S3 event"),
        ("null", "no S3 event"),
        (event(source="aws.ec2"), "no S3 event"),
        (event(detail=None), "no name"),
        (event(detail={"bucket": {"name": "b"}, "object": {"version-id": "v"}}), "no key"),
        (event(detail={"bucket": "b"}), "no name"),
        (event(key=""), "no key"),
        (event(version=""), "no version-id"),
        (event(key="\ud800"), "no valid Unicode"),
    ],
)
def test_a_message_that_announces_no_upload_goes_back_with_its_reason(
    module: types.ModuleType,
    states: Stubber,
    document_log: Callable[[str], StringIO],
    body: Any,
    reason: str,
) -> None:
    log = document_log("intake")
    assert deliver(module, record(body)) == ["m"]
    line = json.loads(log.getvalue())
    assert reason in line["reason"]
    assert (line["message_id"], line["receive_count"]) == ("m", 2)


def test_the_log_names_documents_and_no_keys(
    module: types.ModuleType, states: Stubber, document_log: Callable[[str], StringIO]
) -> None:
    # Given an upload that is started, a duplicate, and an error that quotes the key
    states.add_response("start_execution", STARTED)
    states.add_client_error("start_execution", "ExecutionAlreadyExists", KEY)
    states.add_client_error("start_execution", "InvalidExecutionInput", KEY)
    log = document_log("intake")
    # When they are delivered
    deliver(module, record(event()), record(event()), record(event()), record('{"anna":'))
    # Then each has a line, and none the name
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["started", "already started", "not started", "unreadable message"]
    assert lines[0]["document"] == document_id("documents", KEY, "v1")
    assert lines[2]["reason"] == "InvalidExecutionInput"
    assert "anna" not in log.getvalue()


def test_bucket_key_and_version_cannot_be_moved_into_one_another() -> None:
    names = {document_id(*one) for one in (("b", "k/x", "1"), ("b/k", "x", "1"), ("b", "k", "x1"), ("b", "kx", "1"))}
    assert len(names) == 4
    assert {len(name) for name in names} == {40}
