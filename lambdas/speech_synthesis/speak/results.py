"""What is kept of a text: who works on it, its result, its failures; and which task speaks which text.

Results table (partition key `document` = "<bucket>/<key>", sort key `version`), one row a version:

- STARTING: a worker has it, until `claimed_until` (epoch seconds); then another may.
- SPEAKING: task `task_id` speaks it.
- SPOKEN: the sound is at `output_key`. REJECTED: it can never be spoken; TASK_FAILED: its task failed; both have a
  `reason` {code, message, line}. These three are final.
- FAILED: the last delivery failed, and why, with `request_id` of the service, `receive_count` and `message_id`. SQS keeps
  no reason in a dead-letter queue, so this row is where the reason of a dead letter is. A later success replaces it.
- `document` = "message/<message id>", `version` = "unreadable": the reason of a message that is no event.

The claim is the idempotency: one conditional write before Polly is called, so that a second event is no second call.

Tasks table (partition key `task_id`): this function writes which version the task speaks, `record_end` how it ended.
Each gets the other's part back from its own write, and whoever comes second writes the result: so it does not matter
whether the notification or this row is first. The results row says SPEAKING before the task's row is written, or a
notification between the two would find nothing to end.

Polly takes no token that would make a second start the first one. A worker that is killed between the start and the row
leaves a task that nobody asks for: the next delivery starts another. That is charged twice, and the first one's sound
stays in the bucket until the lifecycle rule removes it; the result is one all the same.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from lambdas.speech_synthesis.speak.uploads import Upload

STARTING, SPEAKING, SPOKEN = "STARTING", "SPEAKING", "SPOKEN"
REJECTED, FAILED, TASK_FAILED = "REJECTED", "FAILED", "TASK_FAILED"
FINAL = (SPOKEN, REJECTED, TASK_FAILED)

# A task's row is of no use once Polly has forgotten the task (72 hours: Amazon Polly API reference,
# "StartSpeechSynthesisTask", read 2026-11-25) and the notification's message has expired (14 days at most).
REMEMBERED_SECONDS = 18 * 24 * 3600

Row = dict[str, Any]


class InProgressError(Exception):
    """Another worker has this version."""


class Results:
    """The two tables. Every method raises ClientError."""

    def __init__(self, client: Any, results_table: str, tasks_table: str) -> None:
        self._client = client
        self._results = results_table
        self._tasks = tasks_table

    def claim(self, upload: Upload, seconds: float) -> Row | None:
        """Take a version for so many seconds; None if it is this worker's now, else its row, which has gone further.

        Raises InProgressError while another worker has it.
        """
        now = time.time()
        try:
            self._set(
                upload,
                {"status": STARTING, "claimed_until": int(now + seconds), "claimed_at": iso_now()},
                condition="attribute_not_exists(#status) OR #status = :failed"
                " OR (#status = :starting AND claimed_until < :now)",
                values={":failed": FAILED, ":starting": STARTING, ":now": int(now)},
            )
        except ClientError as error:
            if not is_condition(error):
                raise
            row = plain(error.response.get("Item", {}))
            if row.get("status") == STARTING:
                raise InProgressError from error
            return row
        return None

    def finish(self, upload: Upload, row: Row) -> None:
        """Write a result, or that a task speaks it."""
        self._set(upload, row, remove=("reason", "claimed_until", "failed_at"))

    def reject(self, upload: Upload, code: str, message: str, line: int) -> None:
        """Write that the text can never be spoken."""
        reason = {"code": code, "message": message, **({"line": line} if line else {})}
        self._set(
            upload, {"status": REJECTED, "reason": reason, "ended_at": iso_now()}, remove=("claimed_until", "failed_at")
        )

    def note_failure(self, upload: Upload, reason: Row, attempt: Row) -> None:
        """Keep the reason of a failed delivery, and let the next one try. A version that has gone further is left."""
        row = {"status": FAILED, "reason": reason, "failed_at": iso_now(), **attempt}
        try:
            self._set(
                upload,
                row,
                condition="attribute_not_exists(#status) OR #status IN (:failed, :starting)",
                values={":failed": FAILED, ":starting": STARTING},
            )
        except ClientError as error:
            if not is_condition(error):
                raise

    def note_unreadable(self, message: str, attempt: Row) -> None:
        """Keep the reason of a message that is no event."""
        place = Upload("message", str(attempt["message_id"]), "unreadable")
        self.note_failure(place, {"code": "UnreadableMessage", "message": message}, attempt)

    def link(self, task_id: str, upload: Upload) -> Row:
        """Say which version a task speaks; returns the task's row, with its end if that was first."""
        answer = self._client.update_item(
            TableName=self._tasks,
            Key={"task_id": {"S": task_id}},
            UpdateExpression="SET document = :document, version = :version, expires = :expires",
            ExpressionAttributeValues={
                ":document": {"S": upload.document},
                ":version": {"S": upload.version},
                ":expires": {"N": str(int(time.time()) + REMEMBERED_SECONDS)},
            },
            ReturnValues="ALL_NEW",
        )
        return plain(answer["Attributes"])

    def end(self, upload: Upload, task_id: str, ended: Row) -> None:
        """Write the end of the task that speaks a version; a version that it does not speak is left alone."""
        try:
            self._set(
                upload,
                {**ended, "ended_at": iso_now()},
                condition="#status = :speaking AND task_id = :task",
                values={":speaking": SPEAKING, ":task": task_id},
            )
        except ClientError as error:
            if not is_condition(error):
                raise

    def _set(
        self,
        upload: Upload,
        row: Row,
        *,
        remove: tuple[str, ...] = (),
        condition: str | None = None,
        values: Row | None = None,
    ) -> None:
        write = TypeSerializer().serialize
        names = {f"#{name}": name for name in (*row, *remove)}
        expression = "SET " + ", ".join(f"#{name} = :set_{name}" for name in row)
        if removed := [name for name in remove if name not in row]:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        self._client.update_item(
            TableName=self._results,
            Key={"document": {"S": upload.document}, "version": {"S": upload.version}},
            UpdateExpression=expression,
            ExpressionAttributeNames={
                name: value for name, value in names.items() if name[1:] in row or name[1:] in removed
            },
            ExpressionAttributeValues={
                **{f":set_{name}": write(value) for name, value in row.items()},
                **{name: write(value) for name, value in (values or {}).items()},
            },
            **(
                {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
                if condition
                else {}
            ),
        )


def is_condition(error: ClientError) -> bool:
    """Whether a conditional write found its condition not met."""
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def plain(item: Row) -> Row:
    """A DynamoDB item as plain Python values."""
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def iso_now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
