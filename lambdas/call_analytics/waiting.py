"""How a state waits for the end of a job, and hears of it, whichever comes first.

A row a job. The state's token and the job's end each are written into it by one update that returns the whole row, and
DynamoDB orders the two: the later one sees both and answers the token. So no order is wrong and nothing polls. A row is
kept for some days, then it expires: an end of which nobody asks is forgotten, and one that comes twice finds that the
state waits no longer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from lambdas.shared.failures import error_code

KEPT_SECONDS = 7 * 24 * 3600

# The token was used, its state timed out, or its execution has ended (AWS Step Functions API Reference,
# "SendTaskSuccess", errors, read 2026-11-25).
WAITS_NO_LONGER = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")

Outcome = str
RESUMED: Outcome = "resumed"
WAITING: Outcome = "waiting"
NOBODY_WAITS: Outcome = "nobody waits any longer"


class Waits:
    """The table of jobs that are waited for."""

    def __init__(self, dynamodb: Any, stepfunctions: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._stepfunctions = stepfunctions
        self._table = table

    def keep_token(self, job: str, token: str) -> Outcome:
        """A state waits for this job from now on. Raises ClientError."""
        return self._answered(self._note(job, "token", token))

    def note_end(self, job: str, status: str) -> Outcome:
        """The job has ended in this status. Raises ClientError."""
        return self._answered(self._note(job, "job_status", status))

    def _note(self, job: str, attribute: str, value: str) -> Mapping[str, Any]:
        row: Mapping[str, Any] = self._dynamodb.update_item(
            TableName=self._table,
            Key={"job": {"S": job}},
            UpdateExpression="SET #attribute = :value, expires = :expires",
            ExpressionAttributeNames={"#attribute": attribute},
            ExpressionAttributeValues={
                ":value": {"S": value},
                ":expires": {"N": str(int(time.time()) + KEPT_SECONDS)},
            },
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return row

    def _answered(self, row: Mapping[str, Any]) -> Outcome:
        if "token" not in row or "job_status" not in row:
            return WAITING
        # What became of the job, the next state asks the service: an event can only say that it is time to ask.
        answer = json.dumps({"job": row["job"]["S"], "told": row["job_status"]["S"]})
        try:
            self._stepfunctions.send_task_success(taskToken=row["token"]["S"], output=answer)
        except ClientError as error:
            if error_code(error) in WAITS_NO_LONGER:
                return NOBODY_WAITS
            raise
        return RESUMED
