"""The function that lets a row say how its execution ended, over moto's DynamoDB, with Step Functions stubbed."""

from __future__ import annotations

import datetime
import json
import types
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.unit.conftest import Context

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:documents"
FIRST, SECOND = (f"arn:aws:states:us-east-1:123456789012:execution:documents:{name}" for name in ("first", "second"))
INPUT = {"bucket": "documents", "key": "uploads/anna-smith.pdf", "version": "v1", "document": "d" * 40}
ROW = {"document": {"S": "documents/uploads/anna-smith.pdf"}, "version": {"S": "v1"}}
MOMENT = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)


class Ends:
    """Drives the handler over one table."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self.dynamodb = module.clients["dynamodb"]
        self.states = Stubber(module.clients["stepfunctions"])

    def expect(self, execution: str = FIRST, status: str = "ABORTED", given: Any = INPUT, **more: str) -> None:
        described = {
            "executionArn": execution,
            "stateMachineArn": MACHINE,
            "status": status,
            "startDate": MOMENT,
            "stopDate": MOMENT,
            "input": json.dumps(given),
            **more,
        }
        self.states.add_response("describe_execution", described, {"executionArn": execution})

    def hear(self, *bodies: Any) -> list[str]:
        """Delivers messages; returns the ids of those that go back to the queue."""
        records = [
            {
                "messageId": f"m{number}",
                "attributes": {"ApproximateReceiveCount": "1"},
                "body": body if isinstance(body, str) else json.dumps(body),
            }
            for number, body in enumerate(bodies)
        ]
        answer = self.module.handler({"Records": records}, Context())
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def put(self, **values: Any) -> None:
        self.dynamodb.put_item(TableName="results", Item={**ROW, **values})

    def row(self) -> dict[str, Any]:
        return dict(self.dynamodb.get_item(TableName="results", Key=ROW).get("Item", {}))


def end(execution: str = FIRST, status: str = "ABORTED") -> dict[str, Any]:
    return {"source": "aws.states", "detail": {"executionArn": execution, "status": status}}


def being_processed(execution: str = FIRST) -> dict[str, Any]:
    return {"status": {"S": "PROCESSING"}, "execution": {"S": execution}}


@pytest.fixture
def ends(document_handler: Callable[[str], types.ModuleType]) -> Iterator[Ends]:
    made = Ends(document_handler("record_end"))
    with mock_aws():
        made.dynamodb.create_table(
            TableName="results",
            KeySchema=[
                {"AttributeName": "document", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ROW],
            BillingMode="PAY_PER_REQUEST",
        )
        with made.states:
            yield made
            made.states.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("ABORTED", None, "ExecutionStopped"),
        ("TIMED_OUT", None, "ExecutionTimedOut"),
        ("TIMED_OUT", "States.Timeout", "States.Timeout"),
        ("FAILED", "DynamoDB.AmazonDynamoDBException", "DynamoDB.AmazonDynamoDBException"),
    ],
)
def test_an_open_row_gets_its_end_and_the_reason(ends: Ends, status: str, error: str | None, code: str) -> None:
    # Given a document that is being processed, and an execution that ended with words of its own
    ends.put(**being_processed())
    ends.expect(status=status, **({"error": error} if error else {}), cause="Anna Smith")
    # When its end is told
    assert ends.hear(end(status=status)) == []
    # Then the row says that it failed, when and of what, by names alone
    row = ends.row()
    assert (row["status"]["S"], row["reason"]["M"]["code"]["S"]) == ("FAILED", code)
    assert row["reason"]["M"]["message"]["S"]
    assert row["ended_at"] == {"S": "2026-11-25T12:00:00.000Z"}
    assert "Anna" not in json.dumps(row["reason"])


def test_a_document_that_never_got_a_row_gets_one(ends: Ends) -> None:
    ends.expect(status="FAILED", error="Mine")
    assert ends.hear(end(status="FAILED")) == []
    row = ends.row()
    assert (row["status"]["S"], row["document_id"]["S"], row["execution"]["S"]) == ("FAILED", "d" * 40, FIRST)


@pytest.mark.parametrize(
    "held",
    [
        {"status": {"S": "FAILED"}, "execution": {"S": FIRST}, "reason": {"M": {"code": {"S": "TextractJobFailed"}}}},
        {"status": {"S": "COMPLETED"}, "execution": {"S": FIRST}},
        being_processed(SECOND),
    ],
    ids=["has its reason", "is done", "was started again"],
)
def test_a_row_that_is_not_this_executions_or_has_its_end_is_left_alone(ends: Ends, held: dict[str, Any]) -> None:
    # Given a row that is none of this execution's business any more
    ends.put(**held)
    before = ends.row()
    ends.expect()
    # When the end is told, Then nothing changes, and the message is done with
    assert ends.hear(end()) == []
    assert ends.row() == before


def test_an_execution_of_no_document_is_done_with(ends: Ends) -> None:
    ends.expect(given={"bucket": "documents"})
    assert ends.hear(end()) == []
    assert ends.row() == {}


@pytest.mark.parametrize(
    "body", ["no JSON", "[]", {}, {"detail": {}}, end(status="SUCCEEDED"), end(execution=""), {"detail": "text"}]
)
def test_what_tells_of_no_bad_end_comes_back(ends: Ends, body: Any) -> None:
    assert ends.hear(body) == ["m0"]


def test_only_what_could_not_be_recorded_comes_back(ends: Ends, document_log: Callable[[str], StringIO]) -> None:
    # Given two ends, and Step Functions that answers for the second alone
    log = document_log("record_end")
    ends.put(**being_processed(SECOND))
    ends.states.add_client_error("describe_execution", "AccessDeniedException")
    ends.expect(SECOND)
    # When both are told, Then the first comes back, and the log says why and names no file
    assert ends.hear(end(), end(SECOND)) == ["m0"]
    assert ends.row()["status"] == {"S": "FAILED"}
    assert "AccessDeniedException" in log.getvalue()
    assert "anna" not in log.getvalue()
