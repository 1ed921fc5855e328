"""Hears that an execution has ended badly, and lets its document's row say so where the execution could not.

An execution that outlives its limits or is stopped comes through no more states, and one may fail because it cannot
write its row. Then the row would say PROCESSING for ever, or there would be none. It is written under the condition
that it is still open and of this very execution: an end that has its reason keeps it, and a document that was started
again meanwhile is left alone. So a message that comes twice or late changes nothing.

The event need not hold the execution's input, so the execution is asked for it. Of what ended it only the error's name
is kept, for a cause may quote the document.
"""

from __future__ import annotations

import datetime
import json
import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

RESULTS_TABLE = os.environ["RESULTS_TABLE"]

# Code and message by status, where the execution has no error's name.
REASONS = {
    "ABORTED": ("ExecutionStopped", "The execution was stopped."),
    "FAILED": ("ExecutionFailed", "The execution failed, and could not write why."),
    "TIMED_OUT": ("ExecutionTimedOut", "The execution outlived all its limits."),
}

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "stepfunctions": QUICK})


class UnreadableMessageError(Exception):
    """The message tells of no execution's bad end."""


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
        execution, status = ended(record["body"])
        outcome = _record(execution, status)
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra={**told, "reason": str(error)})
        return False
    except (ClientError, BotoCoreError) as error:
        logger.warning("not recorded", extra={**told, "reason": error_code(error)})
        return False
    logger.info(outcome, extra={**told, "execution": execution, "status": status})
    return True


def ended(body: str) -> tuple[str, str]:
    """ARN and status of the execution in a "Step Functions Execution Status Change" event.

    Its members: AWS Step Functions Developer Guide, "Automating Step Functions event delivery with EventBridge", read
    2026-11-25. Raises UnreadableMessageError.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableMessageError("The message is no JSON.") from None
    detail = event.get("detail") if isinstance(event, dict) else None
    execution, status = (detail.get(name) if isinstance(detail, dict) else None for name in ("executionArn", "status"))
    if not isinstance(execution, str) or not execution or status not in REASONS:
        raise UnreadableMessageError("The message names no execution, or no bad end.")
    return execution, str(status)


def _record(execution: str, status: str) -> str:
    described = clients["stepfunctions"].describe_execution(executionArn=execution)
    given = json.loads(described["input"])
    if not isinstance(given, dict) or not all(given.get(name) for name in ("bucket", "key", "version", "document")):
        # Started by hand with something else: there is no document whose row it could be.
        return "it was of no document"
    code, message = REASONS[status]
    reason = {"code": {"S": described.get("error") or code}, "message": {"S": message}}
    try:
        clients["dynamodb"].update_item(
            TableName=RESULTS_TABLE,
            Key={"document": {"S": f"{given['bucket']}/{given['key']}"}, "version": {"S": given["version"]}},
            UpdateExpression=(
                "SET #status = :failed, #document = :document, #execution = :execution, reason = :reason,"
                " ended_at = :ended"
            ),
            ConditionExpression="attribute_not_exists(#status) OR (#status = :open AND #execution = :execution)",
            ExpressionAttributeNames={"#status": "status", "#document": "document_id", "#execution": "execution"},
            ExpressionAttributeValues={
                ":failed": {"S": "FAILED"},
                ":open": {"S": "PROCESSING"},
                ":document": {"S": given["document"]},
                ":execution": {"S": execution},
                ":reason": {"M": reason},
                ":ended": {"S": _moment(described["stopDate"])},
            },
        )
    except ClientError as error:
        if error_code(error) == "ConditionalCheckFailedException":
            return "the row has its end"
        raise
    return "recorded"


def _moment(when: datetime.datetime) -> str:
    """As the state machine writes it."""
    return when.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
