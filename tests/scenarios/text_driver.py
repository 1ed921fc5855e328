"""What the scenario tests do to a deployed text-insights stack, in words of the story."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Mapping
from typing import Any

from local.cloud import LocalCloud
from scenarios.text_insights import Message, read_rows
from tests.scenarios.driver import Driver, Row, plain

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
        _let_models_load(cloud)

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

    def claim_rows(self) -> list[Row]:
        """The rows that a worker has claimed, or has left so."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.outputs["ResultsTableName"],
            FilterExpression="attribute_exists(lease_until)",
            ConsistentRead=True,
        )
        return [plain(item) for page in pages for item in page["Items"]]

    def claims(self) -> list[str]:
        """Their text ids."""
        return [str(row["text_id"]) for row in self.claim_rows()]

    def expire_claims(self) -> None:
        """Date every claim back, so that its worker's time is over."""
        for row in self.claim_rows():
            self.dynamodb.update_item(
                TableName=self.outputs["ResultsTableName"],
                Key={name: {"S": row[name]} for name in ("text_id", "digest")},
                UpdateExpression="SET lease_until = :past",
                ConditionExpression="attribute_exists(lease_until)",
                ExpressionAttributeValues={":past": {"N": "1"}},
            )


@functools.cache
def _let_models_load(cloud: LocalCloud) -> None:
    """Has the cloud load its models before a test counts calls and seconds: no attempt of a function waits so long."""
    comprehend = cloud.client("comprehend")
    comprehend.detect_dominant_language(Text=GOOD)
    comprehend.detect_pii_entities(Text=GOOD, LanguageCode="en")


def _id_of(body: str) -> str | None:
    try:
        return str(json.loads(body)["id"])
    except (ValueError, KeyError, TypeError):
        return None
