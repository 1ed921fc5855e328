"""Entry point of the function: takes a batch of messages and labels each upload once.

A message is done when its upload has a result: labels, or the reason why it can never have any. Otherwise the message
alone goes back to the queue and its reason is kept (see `results`); after the queue's last attempt it is a dead
letter. A batch of which every message failed is answered like any other: raising would tell the queue nothing more,
and would put error texts, which hold object keys, into the log. The failed messages are returned by hand, for
Powertools' batch module imports every event class that there is and adds a sixth to the cold start.

The log names no key, for file names are often personal, and nothing of a picture or of what was found in it. An
upload is known there by its version id, a failure by its code and request id; the table has the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
)
from botocore.exceptions import ClientError

from lambdas.image_labeling.label_image.aws import make_clients
from lambdas.image_labeling.label_image.errors import RefusedError, error_code, error_message, request_id
from lambdas.image_labeling.label_image.events import UnreadableMessageError, Upload, uploads
from lambdas.image_labeling.label_image.images import Prepared, check_size, prepare
from lambdas.image_labeling.label_image.labels import stored_labels
from lambdas.image_labeling.label_image.results import LABELED, REJECTED, ResultStore, now
from lambdas.shared.deadline import Deadline

UPLOAD_PREFIX = os.environ["UPLOAD_PREFIX"]
MINIMUM_CONFIDENCE = float(os.environ["MINIMUM_CONFIDENCE"])
MAXIMUM_LABELS = int(os.environ["MAXIMUM_LABELS"])

# The longest that a message may live: 14 days in the dead-letter queue, and after a redrive 14 days in the queue
# (Amazon SQS Developer Guide, "Amazon SQS message quotas", read 2026-11-23). Until then a duplicate is known for one.
REMEMBERED_SECONDS = 28 * 24 * 3600

# Answers that say something of the picture; another attempt would get the same one.
REFUSED_BY_REKOGNITION = ("InvalidImageFormatException", "ImageTooLargeException")
# The version was deleted since. 405 is what S3 says of a delete marker.
GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")

logger = Logger()
deadline = Deadline()
clients = make_clients(deadline)
store = ResultStore(clients["dynamodb"], os.environ["RESULTS_TABLE"], os.environ["IDEMPOTENCY_TABLE"])
once = IdempotencyConfig(expires_after_seconds=REMEMBERED_SECONDS, hash_function="sha256")


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again: {"batchItemFailures": [{"itemIdentifier": id}]}."""
    deadline.follow(context)
    once.register_lambda_context(context)
    failed = [record["messageId"] for record in event["Records"] if not _handle(record, context.aws_request_id)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _handle(record: dict[str, Any], invocation_id: str) -> bool:
    """Whether the message is done."""
    attempt = {
        "message_id": record["messageId"],
        "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
        "invocation_id": invocation_id,
    }
    try:
        announced = uploads(record["body"])
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra=_told(attempt))
        _keep_reason(store.note_unreadable, str(error), {**attempt, "request_id": ""})
        return False
    done = [_label_safely(upload, attempt) for upload in announced]
    return all(done)


def _label_safely(upload: Upload, attempt: dict[str, Any]) -> bool:
    told = {"version_id": upload.version, **_told(attempt)}
    try:
        summary = _label_once(identity=upload.identity, upload=upload, attempt=attempt)
    except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError):
        # Another worker has it. That one knows the reason, if it fails.
        logger.info("in progress elsewhere", extra=told)
        return False
    except Exception as failure:  # noqa: BLE001 (whatever it is, this message fails, the others of the batch do not)
        cause = failure.__cause__ if isinstance(failure, IdempotencyPersistenceLayerError) else failure
        cause = cause or failure
        code, asked = error_code(cause), request_id(cause)
        logger.warning("not labeled", extra={**told, "code": code, "request_id": asked})
        _keep_reason(store.note_failure, upload, code, error_message(cause), {**attempt, "request_id": asked})
        return False
    logger.info("done", extra={**told, **summary})
    return True


def _told(attempt: dict[str, Any]) -> dict[str, Any]:
    return {"message_id": attempt["message_id"], "receive_count": attempt["receive_count"]}


def _keep_reason(write: Callable[..., None], *arguments: Any) -> None:
    try:
        write(*arguments)
    except Exception as error:  # noqa: BLE001 (the message is delivered again all the same)
        logger.warning("reason not kept", extra={"code": error_code(error), "request_id": request_id(error)})


@idempotent_function(  # type: ignore[untyped-decorator]  # (Powertools' own)
    data_keyword_argument="identity", persistence_store=store, config=once, key_prefix="image"
)
def _label_once(*, identity: dict[str, str], upload: Upload, attempt: dict[str, Any]) -> dict[str, str]:
    """Labels an upload and writes the result. Whatever it raises releases the upload for the next delivery."""
    if attempt["receive_count"] > 1:
        stopped = "This delivery began and did not end: its worker was stopped."
        store.note_failure(upload, "WorkerStopped", stopped, {**attempt, "request_id": ""})
    try:
        return store.finish(upload, _labeled(upload))
    except RefusedError as refusal:
        reason = {"code": refusal.code, "message": refusal.message}
        return store.finish(upload, {"status": REJECTED, "reason": reason, "rejected_at": now()})


def _labeled(upload: Upload) -> dict[str, Any]:
    if not upload.key.startswith(UPLOAD_PREFIX):
        raise RefusedError("OutsidePrefix", "The object is not under the upload prefix.")
    data = _read(upload)
    prepared = prepare(data)
    answer = _detect(upload, prepared)
    labels, left_out = stored_labels(answer, prepared.width, prepared.height)
    return {
        "status": LABELED,
        "labels": labels,
        "labels_left_out": left_out,
        "width": prepared.width,
        "height": prepared.height,
        "size": len(data),
        "preprocessed": prepared.preprocessed,
        "label_model_version": answer.get("LabelModelVersion", ""),
        "labeled_at": now(),
    }


def _read(upload: Upload) -> bytes:
    try:
        found = clients["s3"].get_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    except ClientError as error:
        if error_code(error) in GONE:
            raise RefusedError("ObjectGone", "The version was deleted before it could be labeled.") from error
        raise
    with found["Body"] as body:
        check_size(found["ContentLength"])
        return bytes(body.read())


def _detect(upload: Upload, prepared: Prepared) -> dict[str, Any]:
    image: dict[str, Any] = {"Bytes": prepared.body}
    if prepared.body is None:
        image = {"S3Object": {"Bucket": upload.bucket, "Name": upload.key, "Version": upload.version}}
    try:
        answer = clients["rekognition"].detect_labels(
            Image=image, MinConfidence=MINIMUM_CONFIDENCE, MaxLabels=MAXIMUM_LABELS
        )
    except ClientError as error:
        if error_code(error) in REFUSED_BY_REKOGNITION:
            raise RefusedError(error_code(error), error_message(error)) from error
        raise
    return dict(answer)
