"""Deletes stacks whose time has come, one after the other, and its own last.

EventBridge Scheduler calls it each minute from that time on. A run looks for the first stack that is still there: one
that is being changed is waited for, any other is deleted, and so the next run finds it going or gone. A run keeps
nothing in mind, so a call that is lost, late or twice changes nothing.

A stack that could not be deleted is tried again by the next run; this one fails then, so that its log and the metric
`Errors` tell why. It answers with what it did: `{"deleting": "image-labeling"}`, or `waiting`.

**Settings** (environment variables): `STACKS`, a JSON list of names in the order in which they go; `OWN_STACK`.

**Grants**: `cloudformation:DescribeStacks` and `cloudformation:DeleteStack` on these stacks. CloudFormation deletes
what is in a stack by the role that the stack was made with (AWS CloudFormation API Reference, "DeleteStack", RoleARN),
and who may work on the stack need not be allowed to pass it (AWS Systems Manager User Guide, "aws:deleteStack"; both
read 2026-11-28).
"""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.shared.clients import QUICK, make_clients

STACKS: tuple[str, ...] = (*json.loads(os.environ["STACKS"]), os.environ["OWN_STACK"])

logger = Logger()
clients = make_clients({"cloudformation": QUICK})


class TearDownError(RuntimeError):
    """A stack could not be deleted. The message has CloudFormation's reason; it is tried again in a minute."""


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """One run; see above. Raises TearDownError, ClientError."""
    for name in STACKS:
        stack = _described(name)
        if stack is None:
            continue
        state = str(stack["StackStatus"])
        if state.endswith("_IN_PROGRESS") and state != "REVIEW_IN_PROGRESS":
            logger.info("waiting for a stack", extra={"stack": name, "state": state})
            return {"waiting": name}
        clients["cloudformation"].delete_stack(StackName=name)
        logger.info("deleting a stack", extra={"stack": name, "state": state})
        if state == "DELETE_FAILED":
            raise TearDownError(f"{name} could not be deleted: {stack.get('StackStatusReason', 'no reason was told')}")
        return {"deleting": name}
    return {}


def _described(name: str) -> dict[str, Any] | None:
    """A stack as CloudFormation has it, None for one that is gone or never was."""
    try:
        (stack,) = clients["cloudformation"].describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # CloudFormation has no code of its own for this.
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return dict(stack) if stack["StackStatus"] != "DELETE_COMPLETE" else None
