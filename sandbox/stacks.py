"""The stacks in an account: how they stand, and their removal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from sandbox.account import Account, AccountError, plain_errors
from stacks.catalogue import SELF_DESTRUCT

# AWS CloudFormation User Guide, "Stack status codes", read 2026-11-28.
READY = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
# Announced and never made, or made and rolled back: the CDK command line removes such a stack and makes it anew.
UNMADE = {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"}
# What removes a stack by itself is called after it.
DESTRUCTOR = f"{SELF_DESTRUCT.id}-"
POLL_SECONDS = 2.0
# A network interface of a function in a VPC may take this long to go.
PATIENCE_SECONDS = 3600.0


class StackError(AccountError):
    """A stack stands in a way in which it cannot be worked on, or could not be removed. `str()` is one line."""


def described(account: Account, name: str) -> dict[str, Any] | None:
    """A stack as CloudFormation has it, by its name or id; None where there is none, or none any more."""
    with plain_errors(f"Looking for the stack {name}"):
        try:
            (stack,) = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            # CloudFormation has no code of its own for this.
            if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
                return None
            raise
    return dict(stack) if stack["StackStatus"] != "DELETE_COMPLETE" else None


def tags_of(stack: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a described stack."""
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}


def outputs_of(stack: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a described stack."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def require_workable(name: str, state: str | None) -> None:
    """Raises StackError for a stack in a state in which it cannot be deployed."""
    if state is None or state in READY | UNMADE:
        return
    if state.endswith("_IN_PROGRESS"):
        raise StackError(f"The stack {name} is being changed ({state}): wait until that has ended, then try again.")
    raise StackError(
        f"The stack {name} is in state {state}, in which it cannot be deployed. Remove it first:"
        f" make destroy ARCH={name.removeprefix(DESTRUCTOR)} CLOUD=aws"
    )


def remove(account: Account, name: str, progress: Callable[[str], None], poll_seconds: float = POLL_SECONDS) -> None:
    """Deletes a stack and waits for its end. CloudFormation takes the role that the stack was made with.

    Raises StackError with the first resource that could not be deleted and why.
    """
    stack = described(account, name)
    if stack is None:
        return
    identifier = str(stack["StackId"])
    client = account.client("cloudformation")
    with plain_errors(f"Deleting the stack {name}"):
        client.delete_stack(StackName=name)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        time.sleep(poll_seconds)
        stack = described(account, identifier)
        if stack is None:
            return
        if stack["StackStatus"] == "DELETE_FAILED":
            raise StackError(
                f"The stack {name} could not be deleted: {_failure(account, identifier, stack).rstrip('.')}. Mend that,"
                " then run the same command again."
            )
        progress(f"{name}: {stack['StackStatus'].lower().replace('_', ' ')}")
    raise StackError(
        f"The stack {name} is still being deleted after an hour: look at it in the CloudFormation console."
    )


def _failure(account: Account, identifier: str, stack: Mapping[str, Any]) -> str:
    with plain_errors("Reading why"):
        pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=identifier)
        # The newest stand first, and the stack's own comes after what caused it.
        for event in (one for page in pages for one in page["StackEvents"]):
            own = event.get("PhysicalResourceId") == identifier
            if event.get("ResourceStatus") == "DELETE_FAILED" and "LogicalResourceId" in event and not own:
                why = " ".join(str(event.get("ResourceStatusReason", "no reason was told")).split())
                return f"{event['LogicalResourceId']}: {why}"
    return str(stack.get("StackStatusReason", "no reason was told"))


def resource_names(account: Account, name: str, kind: str) -> list[str]:
    """The names of a stack's resources of a type, `AWS::Logs::LogGroup`."""
    with plain_errors(f"Reading the stack {name}"):
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        return [
            one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if one["ResourceType"] == kind and "PhysicalResourceId" in one
        ]
