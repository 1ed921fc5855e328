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
from botocore.exceptions import ClientError

from lambdas.call_analytics.batches import UnreadableMessageError, handle_each, text_at
from lambdas.call_analytics.places import call_id
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

STATE_MACHINE = os.environ["STATE_MACHINE_ARN"]

logger = Logger()
clients = make_clients({"stepfunctions": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again."""
    return handle_each(event, _handle, logger)


def _handle(body: str) -> dict[str, str]:
    upload = announced(body)
    if upload is None:
        return {"outcome": "no upload"}
    try:
        clients["stepfunctions"].start_execution(
            stateMachineArn=STATE_MACHINE, name=upload["call"], input=json.dumps(upload)
        )
    except ClientError as error:
        if error_code(error) != "ExecutionAlreadyExists":
            raise
        return {"outcome": "already started", "call": upload["call"]}
    return {"outcome": "started", "call": upload["call"]}


def announced(body: str) -> dict[str, str] | None:
    """The upload that an "Object Created" event announces, as the execution's input; None for any other S3 event.

    The key in such an event is the object's key, unencoded (Amazon S3 User Guide, "EventBridge event message
    structure", read 2026-11-23). Raises UnreadableMessageError.
    """
    try:
        event = json.loads(body)
    except ValueError:
        raise UnreadableMessageError("The message is no JSON.") from None
    if not isinstance(event, dict) or event.get("source") != "aws.s3":
        raise UnreadableMessageError("The message is no S3 event of EventBridge.")
    if event.get("detail-type") != "Object Created":
        return None
    bucket = text_at(event, "detail", "bucket", "name")
    key = text_at(event, "detail", "object", "key")
    # Without it two uploads of one key could not be told apart, and the second would pass for a duplicate.
    version = text_at(event, "detail", "object", "version-id")
    return {"bucket": bucket, "key": key, "version": version, "call": call_id(bucket, key, version)}
