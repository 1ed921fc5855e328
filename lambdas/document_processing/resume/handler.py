"""Hears that a Textract job has ended, and lets the state that waits for it go on.

The other half is `start_analysis`, where the table and the order of the two are described. A message of a job that
nobody knows is kept in the table all the same: its token may be on its way.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.document_processing import tokens
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

JOBS_TABLE = os.environ["JOBS_TABLE"]

KEPT_SECONDS = 7 * 24 * 3600

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "stepfunctions": QUICK})


class UnreadableMessageError(Exception):
    """The message is no completion of a job."""


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
        job, status = completion(record["body"])
        outcome = _resume(job, status)
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra={**told, "reason": str(error)})
        return False
    except (ClientError, BotoCoreError) as error:
        logger.warning("not resumed", extra={**told, "reason": error_code(error)})
        return False
    logger.info(outcome, extra={**told, "job": job, "status": status})
    return True


def completion(body: str) -> tuple[str, str]:
    """Job id and status in the message that Textract publishes, delivered raw.

    Its members: Amazon Textract Developer Guide, "Calling Amazon Textract Asynchronous Operations", "Getting the
    Completion Status", read 2026-11-25. Raises UnreadableMessageError.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableMessageError("The message is no JSON.") from None
    job, status = (message.get(name) if isinstance(message, dict) else None for name in ("JobId", "Status"))
    if not (isinstance(job, str) and job and isinstance(status, str) and status):
        raise UnreadableMessageError("The message names no job, or no status.")
    return job, status


def _resume(job: str, status: str) -> str:
    row = clients["dynamodb"].update_item(
        TableName=JOBS_TABLE,
        Key={"job": {"S": job}},
        UpdateExpression="SET job_status = :status, expires = :expires",
        ExpressionAttributeValues={
            ":status": {"S": status},
            ":expires": {"N": str(int(time.time()) + KEPT_SECONDS)},
        },
        ReturnValues="ALL_NEW",
    )["Attributes"]
    if "token" not in row:
        return "the token is not there yet"
    # What became of the job, the next state asks the job itself: a message can tell it, and a message can be forged.
    waited = tokens.succeed(clients["stepfunctions"], row["token"]["S"], {"job": job, "status": status})
    return "resumed" if waited else "nobody waits any longer"
