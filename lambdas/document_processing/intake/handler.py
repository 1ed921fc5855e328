"""Takes uploads from the queue and starts an execution for each, under a name that only this version of it has.

A message that comes twice finds the name taken: nothing is started twice. Step Functions keeps a name for 90 days (AWS
Step Functions API Reference, "StartExecution", read 2026-11-25), SQS a message for 14 at most, and for 14 more after a
redrive. What cannot be started goes back to the queue alone, and after its last attempt it is a dead letter.

The log names no key, for file names are often personal.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.document_processing.places import document_id
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

STATE_MACHINE = os.environ["STATE_MACHINE_ARN"]

logger = Logger()
clients = make_clients({"stepfunctions": QUICK})


class UnreadableMessageError(Exception):
    """The message is no S3 event. `str()` names what is missing and quotes nothing of the message."""


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again: {"batchItemFailures": [{"itemIdentifier": id}]}."""
    failed = [record["messageId"] for record in event["Records"] if not _handle(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _handle(record: dict[str, Any]) -> bool:
    told = {
        "message_id": record["messageId"],
        "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
    }
    try:
        upload = announced(record["body"])
        if upload is None:
            return True
        started = _start(upload)
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra={**told, "reason": str(error)})
        return False
    except (ClientError, BotoCoreError) as error:
        logger.warning("not started", extra={**told, "reason": error_code(error)})
        return False
    logger.info("started" if started else "already started", extra={**told, "document": upload["document"]})
    return True


def _start(upload: dict[str, str]) -> bool:
    try:
        clients["stepfunctions"].start_execution(
            stateMachineArn=STATE_MACHINE, name=upload["document"], input=json.dumps(upload)
        )
    except ClientError as error:
        if error_code(error) == "ExecutionAlreadyExists":
            return False
        raise
    return True


def announced(body: str) -> dict[str, str] | None:
    """The upload that an "Object Created" event announces, as the execution's input; None for any other S3 event.

    The key in such an event is the object's key, unencoded (Amazon S3 User Guide, "EventBridge event message
    structure", read 2026-11-23). Raises UnreadableMessageError.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableMessageError("The message is no JSON.") from None
    if not isinstance(event, dict) or event.get("source") != "aws.s3":
        raise UnreadableMessageError("The message is no S3 event of EventBridge.")
    if event.get("detail-type") != "Object Created":
        return None
    bucket = _text(event, "detail", "bucket", "name")
    key = _text(event, "detail", "object", "key")
    # Without it two uploads of one key could not be told apart, and the second would pass for a duplicate.
    version = _text(event, "detail", "object", "version-id")
    return {"bucket": bucket, "key": key, "version": version, "document": document_id(bucket, key, version)}


def _text(event: Any, *path: str) -> str:
    found = event
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise UnreadableMessageError(f"The event has no {path[-1]}.")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UnreadableMessageError(f"The {path[-1]} is no valid Unicode.") from None
    return found
