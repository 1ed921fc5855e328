"""Answers a waiting state. That it waits no longer is no failure: then somebody else has answered, or time has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from lambdas.shared.failures import error_code

# The token was used, its state timed out, or its execution has ended (AWS Step Functions API Reference,
# "SendTaskSuccess", errors, read 2026-11-25).
WAITS_NO_LONGER = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


def succeed(client: Any, token: str, output: Mapping[str, Any]) -> bool:
    """Whether the state was still waiting. Raises ClientError for anything else that goes wrong."""
    return _sent(client.send_task_success, taskToken=token, output=json.dumps(output))


def fail(client: Any, token: str, error: str, cause: str) -> bool:
    """Whether the state was still waiting. Raises ClientError for anything else that goes wrong."""
    return _sent(client.send_task_failure, taskToken=token, error=error, cause=cause)


def _sent(send: Any, **arguments: str) -> bool:
    try:
        send(**arguments)
    except ClientError as error:
        if error_code(error) in WAITS_NO_LONGER:
            return False
        raise
    return True
