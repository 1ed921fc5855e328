"""Entry point of the function: takes notifications of ended tasks and records each end.

A notification that comes twice writes the same once more; one that comes before the task's row is in the table leaves
the end there, and the other function records it; one of a task that no text waits for changes nothing. The topic of the
alarms is told of each failed task, once at least. What cannot be recorded or told goes back to the queue, and after its
last attempt becomes a dead letter.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from typing import Any

from aws_lambda_powertools.logging import Logger
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from lambdas.speech_synthesis.record_end.aws import make_clients

RESULTS_TABLE = os.environ["RESULTS_TABLE"]
TASKS_TABLE = os.environ["TASKS_TABLE"]
ALARM_TOPIC = os.environ["ALARM_TOPIC"]
# As in the other function: longer than Polly knows a task and a message lives.
REMEMBERED_SECONDS = 18 * 24 * 3600

logger = Logger()
clients = make_clients()

Row = dict[str, Any]


class NotEndedError(Exception):
    """The task is still at work: the notification was of something else, or early."""


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
        task_id = notified_task(record["body"])
        ended = end_of(clients["polly"].get_speech_synthesis_task(TaskId=task_id)["SynthesisTask"])
        status = _record(task_id, ended)
        if "reason" in ended:
            _tell(task_id)
    except Exception as error:  # noqa: BLE001 (whatever it is, this message fails, the others of the batch do not)
        response: dict[str, Any] = getattr(error, "response", None) or {}
        code = str(response.get("Error", {}).get("Code") or type(error).__name__)
        logger.warning("end not recorded", extra={**told, "code": code})
        return False
    logger.info("end recorded", extra={**told, "task_id": task_id, "status": status})
    return True


def notified_task(body: str) -> str:
    """The task that a message (raw delivery of Polly's notification) names. Raises ValueError."""
    try:
        message = json.loads(body)
    except ValueError:
        raise ValueError("The message is no JSON.") from None
    task_id = message.get("taskId") if isinstance(message, dict) else None
    if not isinstance(task_id, str) or not task_id:
        raise ValueError("The message names no taskId.")
    return task_id


def end_of(task: Row) -> Row:
    """What the results row says of an ended task. Raises NotEndedError."""
    status = task["TaskStatus"]
    if status == "completed":
        return {"status": "SPOKEN"}
    if status == "failed":
        message = task.get("TaskStatusReason", "Polly gives no reason.")
        return {"status": "TASK_FAILED", "reason": {"code": "TaskFailed", "message": message[:1000]}}
    raise NotEndedError(f"The task is {status}.")


def _tell(task_id: str) -> None:
    """Names neither document nor reason: both may be personal, and mail is read by many."""
    clients["sns"].publish(
        TopicArn=ALARM_TOPIC,
        Subject="A text was not spoken",
        Message=f"Polly's task {task_id} failed. The reason is in the row with this task_id, in {RESULTS_TABLE}.",
    )


def _record(task_id: str, ended: Row) -> str:
    """Keep the end with the task, and write it into the row of the text, if that is known by now."""
    write, read = TypeSerializer().serialize, TypeDeserializer().deserialize
    answer = clients["dynamodb"].update_item(
        TableName=TASKS_TABLE,
        Key={"task_id": {"S": task_id}},
        UpdateExpression="SET ended = :ended, expires = :expires",
        ExpressionAttributeValues={
            ":ended": write(ended),
            ":expires": {"N": str(int(time.time()) + REMEMBERED_SECONDS)},
        },
        ReturnValues="ALL_NEW",
    )
    task = {name: read(value) for name, value in answer["Attributes"].items()}
    if "document" not in task:
        return "KEPT"
    values = {**ended, "ended_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")}
    try:
        clients["dynamodb"].update_item(
            TableName=RESULTS_TABLE,
            Key={name: {"S": task[name]} for name in ("document", "version")},
            UpdateExpression="SET " + ", ".join(f"#{name} = :set_{name}" for name in values),
            ConditionExpression="#status = :speaking AND task_id = :task",
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={
                **{f":set_{name}": write(value) for name, value in values.items()},
                ":speaking": {"S": "SPEAKING"},
                ":task": {"S": task_id},
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return "KNOWN"
    return str(ended["status"])
