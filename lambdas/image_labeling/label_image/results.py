"""What is kept of an upload: its result, its failures, which version is the newest, and that it is done.

Results table (partition key `image` = "<bucket>/<key>", sort key `version`):

- `version` = the S3 version id: one row a version. `status` is LABELED, REJECTED or FAILED; the latter two have a
  `reason` {code, message}. FAILED is not the end: it says why the last delivery failed, with `request_id` of the
  service that failed, `receive_count`, `message_id`, `invocation_id`, `failed_at`. SQS keeps no reason in a
  dead-letter queue and a redrive carries none, so this row is where the reason of a dead letter is. A later success
  replaces it.
- `version` = "latest": {latest_version, sequencer (padded, see `events`), status} of the newest version that has a
  result. It only moves forward.
- `image` = "message/<message id>", `version` = "unreadable": the reason of a message that is no event.

Idempotency table (`id` = "image#" + hash of bucket, key and version), by Powertools: INPROGRESS while a worker has the
upload, expiring with the function's time; COMPLETED for 28 days; gone after a failure.

Calls an image: put the lock, write the result: two. The result, the pointer and the completion are one transaction, so
a worker that is killed leaves all of them or none: never a row whose labels would be bought again. Three single writes
would be two calls more, for half the write units (a transaction counts double; small rows: 6 units instead of 3, some
$0.000004 an image, while DetectLabels costs $0.001).

A worker that is killed can give no reason. Writing one beforehand would cost a call an image. Instead a delivery that
is not the first writes "WorkerStopped" before it starts, since the one before it ended without a result. What happens
next replaces that: a result, or another reason. If every worker is killed, it stays. (So a queue needs two receives
at least.)
"""

from __future__ import annotations

import datetime
import json
import random
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from lambdas.image_labeling.label_image.events import Upload, comparable_sequencer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

LABELED, REJECTED, FAILED = "LABELED", "REJECTED", "FAILED"
LATEST = "latest"

# Two versions of one key at once meet at the pointer; one of the transactions is then cancelled.
CONFLICT_ATTEMPTS = 5


class ResultStore(DynamoDBPersistenceLayer):
    """The idempotency store of Powertools, which writes the result together with the completion."""

    def __init__(self, client: Any, results_table: str, idempotency_table: str) -> None:
        super().__init__(table_name=idempotency_table, boto3_client=client)
        self._results_table = results_table
        self._serialize = TypeSerializer().serialize
        self._lock = ""

    def finish(self, upload: Upload, row: dict[str, Any]) -> dict[str, str]:
        """Writes a result, moves the pointer if the upload is the newest, and completes the idempotency record.

        Returns what a duplicate gets to know. Raises ClientError, as TransactWriteItems does.
        """
        summary = {"status": row["status"]}
        sequencer = comparable_sequencer(upload.sequencer)
        result = {**self._identity(upload), **row}
        pointer = {
            "image": upload.image,
            "version": LATEST,
            "latest_version": upload.version,
            "sequencer": sequencer,
            "status": row["status"],
        }
        newest: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(sequencer) OR sequencer <= :sequencer",
            "ExpressionAttributeValues": {":sequencer": {"S": sequencer}},
        }
        writes = [self._put(result), self._put(pointer, **newest)]
        if self._lock:
            writes.insert(0, self._completion(summary))
        self._write_together(writes)
        return summary

    def note_failure(self, upload: Upload, code: str, message: str, attempt: dict[str, Any]) -> None:
        """Keeps the reason of a failed delivery, unless the version has a result already.

        `attempt` holds request_id, receive_count, message_id and invocation_id. Raises ClientError.
        """
        self._note(self._identity(upload), code, message, attempt)

    def note_unreadable(self, message: str, attempt: dict[str, Any]) -> None:
        """Keeps the reason of a message that is no event. Raises ClientError."""
        row = {"image": f"message/{attempt['message_id']}", "version": "unreadable"}
        self._note(row, "UnreadableMessage", message, attempt)

    def _note(self, row: dict[str, Any], code: str, message: str, attempt: dict[str, Any]) -> None:
        reason = {"status": FAILED, "reason": {"code": code, "message": message}, "failed_at": now(), **attempt}
        try:
            self.client.put_item(
                TableName=self._results_table,
                Item=self._item({**row, **reason}),
                ConditionExpression="attribute_not_exists(#status) OR #status = :failed",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":failed": {"S": FAILED}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _identity(self, upload: Upload) -> dict[str, Any]:
        return {
            "image": upload.image,
            "version": upload.version,
            "sequencer": upload.sequencer,
            "event_time": upload.event_time,
        }

    def _put(self, row: dict[str, Any], **condition: Any) -> dict[str, Any]:
        return {"Put": {"TableName": self._results_table, "Item": self._item(row), **condition}}

    def _completion(self, summary: dict[str, str]) -> dict[str, Any]:
        record = {
            self.key_attr: {"S": self._lock},
            self.expiry_attr: {"N": str(self._get_expiry_timestamp())},
            self.status_attr: {"S": "COMPLETED"},
            self.data_attr: {"S": json.dumps(summary)},
        }
        return {"Put": {"TableName": self.table_name, "Item": record}}

    def _item(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: self._serialize(value) for name, value in row.items()}

    def _write_together(self, writes: Any, attempt: int = 1) -> None:
        """One transaction; the pointer is the last write and is left out once a newer version has it."""
        try:
            self.client.transact_write_items(TransactItems=writes)
        except self.client.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if codes and codes[-1] == "ConditionalCheckFailed":
                return self._write_together(writes[:-1], attempt)
            if "TransactionConflict" not in codes or attempt == CONFLICT_ATTEMPTS:
                raise
            time.sleep(random.random() * 0.05 * 2**attempt)  # noqa: S311 (spreads attempts, no secret)
            return self._write_together(writes, attempt + 1)

    def _put_record(self, data_record: DataRecord) -> None:
        self._lock = ""
        super()._put_record(data_record)
        self._lock = data_record.idempotency_key

    def _update_record(self, data_record: DataRecord) -> None:
        """Writes nothing: `finish` has completed the record."""


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
