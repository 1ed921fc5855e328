"""What is kept of a text, and what is known of it already.

Results table (partition key `text_id`, sort key `digest` over language and text):

- One row a content of an id. `status` is ANALYZED, REJECTED or FAILED; the latter two have a `reason` {code, message}.
  FAILED is not the end: it says why the last delivery failed, with `request_id` of the service that failed,
  `receive_count`, `message_id`, `invocation_id`, `failed_at`. SQS keeps no reason in a dead-letter queue and a redrive
  carries none, so this row is where the reason of a dead letter is. A later result replaces it.
- `text_id` = "message/<message id>", `digest` = "unreadable": the reason of a message that holds no text.

The text itself is never kept. `sent_at` is when the message was sent, so the newest content of an id can be told.

There is no lock. A delivery that finds a row with a result does nothing, so a repeated message costs one read. Two
deliveries at the very same moment are both paid (a few hundredths of a cent) and write the same row twice: a lock a
text would cost more than that ever does.

A worker that is killed can give no reason. A delivery that is not the first and finds no row writes "WorkerStopped"
before it starts; what happens next replaces it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from lambdas.text_insights.analyze_texts.errors import Failure, Refusal
from lambdas.text_insights.analyze_texts.messages import RESERVED, Text

ANALYZED, REJECTED, FAILED = "ANALYZED", "REJECTED", "FAILED"

# Amazon DynamoDB API Reference, "BatchGetItem" (100), read 2026-11-23; a batch of messages has fewer.
READ_ATTEMPTS = 5

Key = tuple[str, str]


class ResultStore:
    """Reads and writes the results table. `client` is DynamoDB's."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._serialize = TypeSerializer().serialize

    def statuses(self, texts: Iterable[Text]) -> dict[Key, str]:
        """The status of each text that has a row. Raises ClientError."""
        keys = {(text.id, text.digest) for text in texts}
        wanted = [{"text_id": {"S": text_id}, "digest": {"S": digest}} for text_id, digest in sorted(keys)]
        found: dict[Key, str] = {}
        for _ in range(READ_ATTEMPTS):
            if not wanted:
                break
            answer = self._client.batch_get_item(
                RequestItems={
                    self._table: {
                        "Keys": wanted,
                        "ConsistentRead": True,
                        "ProjectionExpression": "text_id, digest, #status",
                        "ExpressionAttributeNames": {"#status": "status"},
                    }
                }
            )
            for row in answer["Responses"].get(self._table, ()):
                found[row["text_id"]["S"], row["digest"]["S"]] = row["status"]["S"]
            wanted = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        # What could not be read is taken for unknown: the worst is that it is analysed again.
        return found

    def keep(self, text: Text, outcome: dict[str, Any] | Refusal, sent_at: str) -> str:
        """Writes a result; returns its status. Raises ClientError."""
        if isinstance(outcome, Refusal):
            row: dict[str, Any] = {
                "status": REJECTED,
                "reason": {"code": outcome.code, "message": outcome.message},
                "size": text.size,
                "rejected_at": now(),
            }
            if outcome.language:
                row["language"] = outcome.language
        else:
            row = {"status": ANALYZED, **outcome, "analyzed_at": now()}
        self._put({"text_id": text.id, "digest": text.digest, "sent_at": sent_at, **row})
        return str(row["status"])

    def note_failure(self, text: Text, failure: Failure, attempt: dict[str, Any]) -> None:
        """Keeps the reason of a failed delivery, unless the text has a result already.

        `attempt` holds receive_count, message_id and invocation_id. Raises ClientError.
        """
        self._note({"text_id": text.id, "digest": text.digest}, failure, attempt)

    def note_unreadable(self, message: str, attempt: dict[str, Any]) -> None:
        """Keeps the reason of a message that holds no text. Raises ClientError."""
        row = {"text_id": f"{RESERVED}{attempt['message_id']}", "digest": "unreadable"}
        self._note(row, Failure("UnreadableMessage", message), attempt)

    def _note(self, row: dict[str, str], failure: Failure, attempt: dict[str, Any]) -> None:
        reason = {"code": failure.code, "message": failure.message}
        noted = {"status": FAILED, "reason": reason, "request_id": failure.request_id, "failed_at": now()}
        try:
            self._put(
                {**row, **noted, **attempt},
                ConditionExpression="attribute_not_exists(#status) OR #status = :failed",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":failed": {"S": FAILED}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _put(self, row: dict[str, Any], **condition: Any) -> None:
        item = {name: self._serialize(value) for name, value in row.items()}
        self._client.put_item(TableName=self._table, Item=item, **condition)


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
