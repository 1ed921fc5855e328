"""The two queues of an architecture with a state machine, of uploads and of jobs that have ended, and where their
messages go when they are given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from local.control import Control

Found = TypeVar("Found")
Kind = Literal["Upload", "Job", "End"]

_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "VisibilityTimeout")


class TwoQueues:
    """Reads them, and hurries them."""

    control: Control
    outputs: Mapping[str, str]
    sqs: Any

    def letters(self, output: str) -> list[dict[str, Any]]:
        """The messages of a dead-letter queue; they stay there."""
        answer = self.sqs.receive_message(
            QueueUrl=self.outputs[output],
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def redrive(self, output: str) -> None:
        """Move everything from a dead-letter queue back to where it came from."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.outputs[output], AttributeNames=["QueueArn"])
        self.sqs.start_message_move_task(SourceArn=answer["Attributes"]["QueueArn"])

    def resting(self, kind: Kind) -> int:
        """Seconds until a message that nobody works on is seen again; 0 if there is none, or one worked on."""

        def waiting() -> int:
            found = self.sqs.get_queue_attributes(QueueUrl=self.outputs[f"{kind}QueueUrl"], AttributeNames=_COUNTS)
            visible, hidden, timeout = (int(found["Attributes"][name]) for name in _COUNTS)
            return timeout if not visible and hidden and self.control.health()["batches"] == 0 else 0

        # Twice, because a batch that was just received is not yet counted as being worked on.
        if waiting():
            time.sleep(0.01)
            return waiting()
        return 0

    def until(self, found: Callable[[], Found | None], what: str) -> Found:
        """Wait for something."""
        raise NotImplementedError

    def wait_for_letters(self, kind: Kind) -> list[dict[str, Any]]:
        """The messages of a dead-letter queue once there is one; time leaps between attempts."""

        def given_up() -> list[dict[str, Any]]:
            self.leap(kind)
            return self.letters(f"{kind}DeadLetterQueueUrl")

        return self.until(given_up, "a dead letter")

    def leap(self, kind: Kind) -> bool:
        """Have a message that rests be seen again at once; False if there is none."""
        if seconds := self.resting(kind):
            self.control.clock_advance(seconds + 1)
        return seconds > 0
