"""What a service of ours can do for its caller: every call is the caller's own, and outlives the request."""

import json
import subprocess
import sys
from typing import Any

import pytest

from local.cloud import ROOT
from local.environment import child_environment


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What `tests.local.probe` did, in an emulator of its own: threads without a request, and what came of it."""
    environment = {**child_environment(), "AUTH": "true", "IOT_MTLS_ENABLED": "0", "LOG_LEVEL": "WARNING"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.local.probe"], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def decisions_of(facts: dict[str, Any], role: str | None, action: str) -> list[tuple[str, bool]]:
    """Resource and answer of a role's decisions on an action, in order."""
    return [
        (item["resource"], item["allowed"])
        for item in facts["decisions"]
        if (item["role"], item["action"]) == (role, action)
    ]


def test_a_caller_outlives_its_request(facts: dict[str, Any]) -> None:
    # Given a caller that was kept from a request which has ended, When it acts in threads without a context
    # Then it writes, with content type and with encryption, lists and reads
    assert facts["principal"] == "arn:aws:sts::000000000000:assumed-role/worker/job"
    assert facts["heads"] == [["text/x", False, 2], ["application/octet-stream", True, 3]]
    assert facts["listed"] == ["a/2", "a/ü 1.json"]
    assert facts["read"] == "xyz"


def test_what_a_caller_does_is_authorised_and_recorded_as_its_own(facts: dict[str, Any]) -> None:
    # Given a role that may write and list under one prefix, When it acts outside of it, Then each is denied
    assert facts["outside"] == ["AccessDenied", "AccessDenied", "NoSuchBucket", "NoSuchBucket", "AccessDeniedException"]
    # And every decision is the role's, the key's use included
    assert decisions_of(facts, "worker", "s3:PutObject") == [
        ("arn:aws:s3:::mine/a/ü 1.json", True),
        ("arn:aws:s3:::mine/a/2", True),
        ("arn:aws:s3:::mine/b/1", False),
    ]
    assert decisions_of(facts, "worker", "s3:ListBucket") == [("arn:aws:s3:::mine", True), ("arn:aws:s3:::mine", False)]
    assert [allowed for _, allowed in decisions_of(facts, "worker", "kms:GenerateDataKey")] == [True]
    assert [allowed for _, allowed in decisions_of(facts, "worker", "sns:Publish")] == [False]


def test_a_written_object_and_an_emitted_event_reach_the_bus(facts: dict[str, Any]) -> None:
    # Given a rule on a bucket's events and on the service's, When two objects are written and one event is emitted
    # Then the rule's queue has all three
    assert facts["events"] == [
        ["aws.s3", "Object Created", "000000000000", "us-east-1"],
        ["aws.s3", "Object Created", "000000000000", "us-east-1"],
        ["aws.snowball", "Changed", "000000000000", "us-east-1"],
    ]


def test_a_role_is_handed_over_by_whoever_may_pass_it(facts: dict[str, Any]) -> None:
    # Given a role that trusts the service and that the caller may pass to it, When it publishes, Then it is told
    assert facts["told"] == [["done", "s"]]
    # And what the role may not do is denied, to the role
    assert facts["as the role elsewhere"] == "AccessDeniedException"
    assert [allowed for _, allowed in decisions_of(facts, "passed", "sns:Publish")] == [True, False]
    # When the role trusts another service, or may not be passed, or not to this service, Then it is refused
    assert facts["refused roles"] == ["AccessDeniedException"] * 3
    passing = [allowed for _, allowed in decisions_of(facts, "worker", "iam:PassRole")]
    assert passing == [True, False, False, True]
    trusting = [
        (item["resource"].rpartition("/")[2], item["allowed"], item["path"])
        for item in facts["decisions"]
        if (item["principal"], item["action"]) == ("snowball.amazonaws.com", "sts:AssumeRole")
    ]
    assert trusting == [("foreign", False, "service-role"), ("passed", True, "service-role")]
