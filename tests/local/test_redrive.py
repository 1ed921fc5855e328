"""Message move tasks, which the local cloud adds to the emulator's queues."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud


class Queues:
    """A queue with its dead-letter queue, and one beside them."""

    def __init__(self, sqs: Any) -> None:
        self.sqs = sqs
        self.dead, self.source, self.other = (self._make(name) for name in ("dead", "source", "other"))
        redrive = {"deadLetterTargetArn": self.arn(self.dead), "maxReceiveCount": 1}
        sqs.set_queue_attributes(QueueUrl=self.source, Attributes={"RedrivePolicy": json.dumps(redrive)})

    def _make(self, name: str) -> str:
        return str(self.sqs.create_queue(QueueName=f"{name}-{uuid.uuid4().hex[:8]}")["QueueUrl"])

    def arn(self, url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def send(self, url: str, body: str) -> str:
        attributes = {"Kind": {"DataType": "String", "StringValue": "photo"}}
        return str(self.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)["MessageId"])

    def receive(self, url: str, visibility: int = 0) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=visibility,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def give_up(self, body: str) -> None:
        """Let a message fail its only attempt, so that it goes to the dead-letter queue."""
        self.send(self.source, body)
        assert self.receive(self.source)
        assert self.receive(self.source) == []

    def task(self) -> dict[str, Any]:
        (task,) = self.sqs.list_message_move_tasks(SourceArn=self.arn(self.dead))["Results"]
        return dict(task)


@pytest.fixture
def queues(cloud: LocalCloud) -> Iterator[Queues]:
    made = Queues(cloud.client("sqs"))
    yield made
    for url in (made.dead, made.source, made.other):
        made.sqs.delete_queue(QueueUrl=url)


def test_dead_letters_go_back_to_where_they_came_from_as_new_messages(queues: Queues) -> None:
    # Given a message that was given up
    queues.give_up("one")
    (letter,) = queues.receive(queues.dead)
    # When it is redriven
    queues.sqs.start_message_move_task(SourceArn=queues.arn(queues.dead))
    # Then it is in its queue again, as new: another id, no attempt yet, the same content
    (message,) = queues.receive(queues.source, visibility=30)
    assert message["Body"] == "one"
    assert message["MessageAttributes"]["Kind"]["StringValue"] == "photo"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert message["MessageId"] != letter["MessageId"]
    assert queues.receive(queues.dead) == []
    # and the task says so
    task = queues.task()
    assert task["Status"] == "COMPLETED"
    assert (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]) == (1, 1)


def test_dead_letters_go_where_they_are_told(queues: Queues) -> None:
    # Given a message that was given up, and one that never was in a queue
    queues.give_up("one")
    queues.send(queues.dead, "two")
    # When they are moved to another queue
    arn = queues.arn(queues.other)
    queues.sqs.start_message_move_task(SourceArn=queues.arn(queues.dead), DestinationArn=arn)
    # Then both are there
    assert {message["Body"] for message in queues.receive(queues.other)} == {"one", "two"}
    assert queues.task()["DestinationArn"] == arn


def test_a_message_without_a_source_cannot_go_back(queues: Queues) -> None:
    # Given a message that never was in another queue
    queues.send(queues.dead, "two")
    # When it is to go back
    queues.sqs.start_message_move_task(SourceArn=queues.arn(queues.dead))
    # Then the task fails with that reason, and the message stays
    task = queues.task()
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert [message["Body"] for message in queues.receive(queues.dead)] == ["two"]


def test_only_what_exists_and_is_a_dead_letter_queue_is_redriven(queues: Queues) -> None:
    # Given a queue that is nobody's dead-letter queue, and none at all
    # When they are to be redriven, Then SQS says what is wrong
    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
        queues.sqs.start_message_move_task(SourceArn=queues.arn(queues.other))
    with pytest.raises(ClientError, match="SourceArn parameter doesn't exist"):
        queues.sqs.start_message_move_task(SourceArn=f"{queues.arn(queues.other)}-gone")
    with pytest.raises(ClientError, match="Task does not exist"):
        queues.sqs.cancel_message_move_task(TaskHandle="none")
