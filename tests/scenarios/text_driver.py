"""What the scenario tests do to a deployed text-insights stack, in words of the story."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from local.cloud import LocalCloud
from scenarios.text_insights import Message, read_rows
from tests.scenarios.driver import Driver, Row

ARCHITECTURE = "text-insights"

# Two attempts and short timeouts: a failure is seen through in seconds.
SMALL: Mapping[str, Any] = {"function_timeout_seconds": 20, "maximum_receives": 2}

BATCH = (
    "comprehend.BatchDetectDominantLanguage",
    "comprehend.BatchDetectSentiment",
    "comprehend.BatchDetectEntities",
    "comprehend.BatchDetectKeyPhrases",
)
GOOD = "The room was clean and Maria Lopez at the desk was friendly."


class TextDriver(Driver):
    """Sends texts, waits for rows, and reads queues, logs and grants of one deployed stack."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.control = cloud.control
        self.outputs = outputs
        self.queue = outputs["QueueUrl"]
        self.dead_letter_queue = outputs["DeadLetterQueueUrl"]
        self.function = outputs["FunctionName"]
        self.role = outputs["FunctionRoleName"]
        self.sqs = cloud.client("sqs")
        self.dynamodb = cloud.client("dynamodb")
        self.iam = cloud.client("iam")

    # --- going in

    def text_id(self, name: str = "review") -> str:
        """An id that no other test uses."""
        return f"{uuid.uuid4().hex[:8]}/{name}"

    def send_text(self, text_id: str, text: str = GOOD, language: str = "") -> str:
        """Put one text on the queue; returns its message id."""
        return self.send(Message(text_id, text, language).body)[0]

    # --- coming out

    def rows(self, key: str) -> dict[str, Row]:
        """Every row of a text id by its digest: one a content."""
        return {row["digest"]: row for row in read_rows(self.cloud, self.outputs, key)}

    def the_row(self, text_id: str) -> Row:
        """The only row of a text id."""
        (row,) = self.rows(text_id).values()
        return row

    def unreadable(self, message_id: str) -> Row | None:
        return self.rows(f"message/{message_id}").get("unreadable")

    def wait_for_text(self, text_id: str, status: str = "ANALYZED", *, hurry: bool = False) -> Row:
        """The row of a text that was sent once, when it has that status."""

        def reached() -> Row | None:
            return next((row for row in self.rows(text_id).values() if row["status"] == status), None)

        return self.until(reached, f"{text_id} to be {status}", hurry=hurry)

    # --- the queues

    def dead_letter_of(self, key: str) -> dict[str, Any] | None:
        return next((m for m in self.dead_letters() if _id_of(m["Body"]) == key), None)

    # --- inside

    def calls(self, operation: str = "comprehend.BatchDetectSentiment") -> int:
        return super().calls(operation)

    def expire_claims(self) -> None:
        """There is nothing to expire: this architecture has no locks."""


def _id_of(body: str) -> str | None:
    try:
        return str(json.loads(body)["id"])
    except (ValueError, KeyError, TypeError):
        return None
