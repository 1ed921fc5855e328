"""What is kept of a text, who works on it, and what is known of it already.

Results table (partition key `text_id`, sort key `digest` over language and text):

- One row a content of an id. `status` is ANALYZED, REJECTED or FAILED; the latter two have a `reason` {code, message}.
  FAILED is not the end: it says why the last delivery failed, with `request_id` of the service that failed,
  `receive_count`, `message_id`, `invocation_id`, `failed_at`. SQS keeps no reason in a dead-letter queue and a redrive
  carries none, so this row is where the reason of a dead letter is. A later result replaces it.
- `text_id` = "message/<message id>", `digest` = "unreadable": the reason of a message that holds no text.

The text itself is never kept. `sent_at` is when the message was sent, so the newest content of an id can be told.

Before a text is paid for it is claimed: its row becomes IN_PROGRESS with `lease_until`, the end of the invocation, in
milliseconds since 1970. One conditional write tells all there is to know: claimed, or done before, or under way
elsewhere. A lease that ran out is anybody's. Not with Powertools' idempotency: it wraps one function call for one
payload, and here one call serves 25.

A worker that is killed can give no reason. Its row stays IN_PROGRESS; a delivery that is not the first claims the text
with a FAILED row that says "WorkerStopped", and what happens next replaces it. If every worker is killed, it stays. (So
a queue needs two receives at least.)
"""

from __future__ import annotations

import datetime
import time
from typing import Any, Literal

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from lambdas.text_insights.analyze_texts.errors import Failure, Refusal
from lambdas.text_insights.analyze_texts.messages import RESERVED, Text

ANALYZED, REJECTED, FAILED, IN_PROGRESS = "ANALYZED", "REJECTED", "FAILED", "IN_PROGRESS"

# A lease ends this much after the invocation, which may end a little later than it was told.
LEASE_RESERVE_MILLISECONDS = 1_000

Claim = Literal["claimed", "done", "busy"]


class ResultStore:
    """Reads and writes the results table. `client` is DynamoDB's."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._serialize = TypeSerializer().serialize

    def claim(self, text: Text, attempt: dict[str, Any], milliseconds: int) -> Claim:
        """Takes a text for the time that the invocation has left, unless it has a result or another worker has it.

        `attempt` holds receive_count, message_id and invocation_id. Raises ClientError.
        """
        now_milliseconds = int(time.time() * 1000)
        row: dict[str, Any] = {"status": IN_PROGRESS}
        if attempt["receive_count"] > 1:
            stopped = "The delivery before this one began and did not end: its worker was stopped."
            row = {**_failed(Failure("WorkerStopped", stopped)), **attempt}
        lease = now_milliseconds + milliseconds + LEASE_RESERVE_MILLISECONDS
        try:
            self._put(
                {"text_id": text.id, "digest": text.digest, **row, "lease_until": lease},
                ConditionExpression=(
                    "attribute_not_exists(#status) OR (#status IN (:failed, :in_progress)"
                    " AND (attribute_not_exists(lease_until) OR lease_until < :now))"
                ),
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":failed": {"S": FAILED},
                    ":in_progress": {"S": IN_PROGRESS},
                    ":now": {"N": str(now_milliseconds)},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            found: Any = error.response
            status = found.get("Item", {}).get("status", {}).get("S")
            return "done" if status in (ANALYZED, REJECTED) else "busy"
        return "claimed"

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
        """Keeps the reason of a failed delivery and gives up the claim, unless the text has a result already.

        `attempt` holds receive_count, message_id and invocation_id. Raises ClientError.
        """
        self._note({"text_id": text.id, "digest": text.digest}, failure, attempt)

    def note_unreadable(self, message: str, attempt: dict[str, Any]) -> None:
        """Keeps the reason of a message that holds no text. Raises ClientError."""
        row = {"text_id": f"{RESERVED}{attempt['message_id']}", "digest": "unreadable"}
        self._note(row, Failure("UnreadableMessage", message), attempt)

    def _note(self, row: dict[str, str], failure: Failure, attempt: dict[str, Any]) -> None:
        try:
            self._put(
                {**row, **_failed(failure), **attempt},
                ConditionExpression="attribute_not_exists(#status) OR #status IN (:failed, :in_progress)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":failed": {"S": FAILED}, ":in_progress": {"S": IN_PROGRESS}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _put(self, row: dict[str, Any], **condition: Any) -> None:
        item = {name: self._serialize(value) for name, value in row.items()}
        self._client.put_item(TableName=self._table, Item=item, **condition)


def _failed(failure: Failure) -> dict[str, Any]:
    reason = {"code": failure.code, "message": failure.message}
    return {"status": FAILED, "reason": reason, "request_id": failure.request_id, "failed_at": now()}


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
