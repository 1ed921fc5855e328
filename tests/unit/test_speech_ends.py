"""speech-synthesis: the function that records ends, over moto's DynamoDB, with the answers of Polly stubbed."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from tests.unit.conftest import Context

TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("RESULTS_TABLE", "spoken")
        patch.setenv("TASKS_TABLE", "tasks")
        patch.setenv("ALARM_TOPIC", TOPIC)
        import lambdas.speech_synthesis.record_end.handler as imported
    return imported


@pytest.fixture
def tables(module: types.ModuleType) -> Iterator[Any]:
    with mock_aws():
        client = module.clients["dynamodb"]
        for table, keys in (("spoken", ("document", "version")), ("tasks", ("task_id",))):
            client.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
            )
        yield client


def invoke(module: types.ModuleType, *bodies: str) -> list[str]:
    """The numbers of the messages that come back."""
    records = [
        {"messageId": str(number), "body": body, "attributes": {"ApproximateReceiveCount": "1"}}
        for number, body in enumerate(bodies)
    ]
    answer = module.handler({"Records": records}, _context())
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _context() -> Any:
    context: Any = Context()
    for name in ("function_name", "invoked_function_arn"):
        setattr(context, name, "record-end") if not hasattr(context, name) else None
    if not hasattr(context, "memory_limit_in_mb"):
        context.memory_limit_in_mb = 256
    return context


def polly(module: types.ModuleType, *statuses: str) -> Stubber:
    stub = Stubber(module.clients["polly"])
    for status in statuses:
        stub.add_response("get_speech_synthesis_task", {"SynthesisTask": {"TaskId": "t", "TaskStatus": status}})
    return stub


@contextmanager
def topic(module: types.ModuleType, *answers: str) -> Iterator[None]:
    """A topic that is told as often as there are answers, each of them "taken" or an error's code."""
    with Stubber(module.clients["sns"]) as stub:
        for answer in answers:
            if answer == "taken":
                told = {"TopicArn": TOPIC, "Subject": ANY, "Message": ANY}
                stub.add_response("publish", {"MessageId": "m"}, told)
            else:
                stub.add_client_error("publish", answer)
        yield
        stub.assert_no_pending_responses()


def put(tables: Any, table: str, **row: str) -> None:
    tables.put_item(TableName=table, Item={name: {"S": value} for name, value in row.items()})


def spoken(tables: Any) -> dict[str, Any]:
    found = tables.get_item(TableName="spoken", Key={"document": {"S": "d"}, "version": {"S": "v"}})
    return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}


@pytest.mark.parametrize(("status", "recorded"), [("completed", "SPOKEN"), ("failed", "TASK_FAILED")])
def test_the_end_of_a_task_is_written_into_the_row_of_its_text(
    module: types.ModuleType, tables: Any, status: str, recorded: str
) -> None:
    put(tables, "tasks", task_id="t", document="d", version="v")
    put(tables, "spoken", document="d", version="v", status="SPEAKING", task_id="t")
    with polly(module, status), topic(module, *(["taken"] if status == "failed" else [])):
        assert invoke(module, json.dumps({"taskId": "t"})) == []
    assert spoken(tables)["status"] == recorded


def test_an_end_that_comes_first_is_kept_with_its_task(module: types.ModuleType, tables: Any) -> None:
    with polly(module, "completed"):
        assert invoke(module, json.dumps({"taskId": "t"})) == []
    kept = tables.get_item(TableName="tasks", Key={"task_id": {"S": "t"}})["Item"]
    assert kept["ended"] == {"M": {"status": {"S": "SPOKEN"}}}


def test_the_end_of_a_task_that_a_second_one_replaced_leaves_the_row_alone(
    module: types.ModuleType, tables: Any
) -> None:
    put(tables, "tasks", task_id="t", document="d", version="v")
    put(tables, "spoken", document="d", version="v", status="SPEAKING", task_id="second")
    with polly(module, "failed"), topic(module, "taken"):
        assert invoke(module, json.dumps({"taskId": "t"})) == []
    assert spoken(tables)["status"] == "SPEAKING"


def test_a_failure_that_could_not_be_told_is_told_when_its_message_comes_again(
    module: types.ModuleType, tables: Any
) -> None:
    put(tables, "tasks", task_id="t", document="d", version="v")
    put(tables, "spoken", document="d", version="v", status="SPEAKING", task_id="t")
    with polly(module, "failed", "failed"), topic(module, "InternalError", "taken"):
        # Given that the topic takes nothing, When the message comes, Then it comes back
        assert invoke(module, json.dumps({"taskId": "t"})) == ["0"]
        assert spoken(tables)["status"] == "TASK_FAILED"
        # When it comes again, Then the topic is told, though the row is as it should be
        assert invoke(module, json.dumps({"taskId": "t"})) == []


def test_a_task_that_is_still_at_work_comes_back(module: types.ModuleType, tables: Any) -> None:
    with polly(module, "inProgress"):
        assert invoke(module, json.dumps({"taskId": "t"})) == ["0"]


def test_only_the_bad_notification_comes_back(module: types.ModuleType, tables: Any) -> None:
    with polly(module, "completed", "completed"):
        bodies = [json.dumps({"taskId": "t"}), "no json", json.dumps({"no": "task"}), json.dumps({"taskId": "t"})]
        assert invoke(module, *bodies) == ["1", "2"]
