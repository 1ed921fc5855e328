"""The function that deletes stacks whose time has come, one run after the other."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

CONTEXT = type("Context", (), {
    "function_name": "f", "memory_limit_in_mb": 128, "invoked_function_arn": "arn", "aws_request_id": "1",
})()  # fmt: skip


class CloudFormation:
    """Stacks by name, each with its state, and which were deleted."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.deleted: list[str] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 (as in boto3)
        if StackName == "denied":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
        if StackName not in self.states:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return {"Stacks": [{"StackStatus": self.states[StackName], "StackStatusReason": "the bucket is not empty"}]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803 (as in boto3)
        self.deleted.append(StackName)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One run of the function, with these stacks in the account."""
    monkeypatch.setenv("STACKS", json.dumps(["user", "needed"]))
    monkeypatch.setenv("OWN_STACK", "own")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")
    module = importlib.reload(importlib.import_module("lambdas.self_destruct.tear_down.handler"))

    def once(service: CloudFormation) -> dict[str, str]:
        monkeypatch.setitem(module.clients, "cloudformation", service)
        answer: dict[str, str] = module.handler({}, CONTEXT)
        return answer

    once.error = module.TearDownError  # type: ignore[attr-defined]  # the class of this import
    return once


@pytest.mark.parametrize(
    ("states", "answer", "deleted"),
    [
        ({"user": "CREATE_COMPLETE", "needed": "CREATE_COMPLETE", "own": "CREATE_COMPLETE"}, "user", ["user"]),
        ({"needed": "UPDATE_COMPLETE", "own": "CREATE_COMPLETE"}, "needed", ["needed"]),
        ({"user": "ROLLBACK_COMPLETE", "own": "CREATE_COMPLETE"}, "user", ["user"]),
        ({"user": "REVIEW_IN_PROGRESS", "own": "CREATE_COMPLETE"}, "user", ["user"]),
        ({"user": "DELETE_COMPLETE", "own": "CREATE_COMPLETE"}, "own", ["own"]),
        ({"own": "CREATE_COMPLETE"}, "own", ["own"]),
    ],
)
def test_the_first_that_is_still_there_is_deleted(
    run: Any, states: dict[str, str], answer: str, deleted: list[str]
) -> None:
    service = CloudFormation(**states)
    assert run(service) == {"deleting": answer}
    assert service.deleted == deleted


@pytest.mark.parametrize("state", ["DELETE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_one_that_is_on_its_way_is_waited_for(run: Any, state: str) -> None:
    service = CloudFormation(user=state, needed="CREATE_COMPLETE", own="CREATE_COMPLETE")
    assert run(service) == {"waiting": "user"}
    assert service.deleted == []


def test_one_that_could_not_be_deleted_is_tried_again_and_told(run: Any) -> None:
    # Given a stack whose deletion failed, When a run comes, Then it is tried again, and the run fails with the reason
    service = CloudFormation(user="DELETE_FAILED", needed="CREATE_COMPLETE", own="CREATE_COMPLETE")
    with pytest.raises(run.error, match="user could not be deleted: the bucket is not empty"):
        run(service)
    assert service.deleted == ["user"]


def test_where_nothing_is_there_nothing_is_done(run: Any) -> None:
    service = CloudFormation()
    assert run(service) == {}
    assert service.deleted == []


def test_a_refusal_is_not_taken_for_a_stack_that_is_gone(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("lambdas.self_destruct.tear_down.handler")
    monkeypatch.setattr(module, "STACKS", ("denied", "own"))
    with pytest.raises(ClientError, match="AccessDenied"):
        run(CloudFormation(own="CREATE_COMPLETE"))
