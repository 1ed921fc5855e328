"""The private network's grants: each is used or refused on purpose, and each denial and condition is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.demos.private_network import make_foreign_bucket
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import private_network
from stacks.secure.private_network import DATA_ACTIONS, EMPTYING_ACTIONS
from tests.conftest import SharedStacks
from tests.mutations import Expectation, Request, mutants, of_stack, survivors, wrong
from tests.scenarios.networked import ARCHITECTURE, SETTINGS, Warden

LETTERS = Path(__file__).parents[2] / "samples" / "texts"
MINE, THEIRS = "000000000000", "210987654321"
EVERYTHING: Mapping[str, Any] = {"all": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    policies: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, str]
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=ARCHITECTURE)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud) -> Life:
    name = f"life-network-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: SETTINGS})
    make_foreign_bucket(cloud)
    since = cloud.control.last_decision()
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        report = private_network.run(cloud, outputs, [LETTERS / "news-merger.txt"])
        assert report.complete, report
        grants, policies = granted(cloud, name), of_stack(cloud, name)
    finally:
        destroy(cloud, name)
    return Life(grants, policies, outputs, cloud.control.decisions(since=since))


def test_what_is_granted_is_used_or_refused_on_purpose(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == ()
    assert report.exercised
    # though calls were refused: those of the outside function, by the bucket
    refused = {(unit.role[:-8], unit.action) for unit in report.units if unit.status is Status.MISSING}
    assert refused == {("OutsideRole", "s3:GetObject"), ("OutsideRole", "s3:PutObject")}


def test_a_refusal_that_does_not_come_is_found(life: Life) -> None:
    # Given the same life, in which the bucket had let the outside function in
    let_in = [
        {**one, "allowed": True, "statement": None} if one["action"].startswith("s3:") and not one["allowed"] else one
        for one in life.decisions
        if one.get("via") != "network"
    ]
    # Then the acknowledged refusals are missed
    problems = compare(life.granted, let_in, architecture=ARCHITECTURE).problems
    assert sum("nothing refused it" in problem for problem in problems) == 2


def expectations(life: Life) -> list[Expectation]:
    """What the bucket and the roles' trust must allow and refuse; the endpoints' are in the tests of the template."""
    (bucket,) = (name for name in life.policies if name.startswith("LettersPolicy"))
    (trust,) = (name for name in life.policies if name.startswith("FlowLogRole") and name.endswith("/trust"))
    itself = f"arn:aws:s3:::{life.outputs['BucketName']}"

    def on_bucket(
        name: str, allowed: bool, action: str, endpoint: str, secure: str = "true", caller: str = "role/any"
    ) -> Expectation:
        context = {"aws:SourceVpce": endpoint, "aws:SecureTransport": secure}
        what = itself if action.startswith("s3:ListBucket") else f"{itself}/proof/letter.txt"
        request = Request(action, what, f"arn:aws:iam::{MINE}:{caller}", context)
        return Expectation(name, allowed, request, resource=[bucket], extra=EVERYTHING)

    def flow_logs(name: str, allowed: bool, account: str) -> Expectation:
        context = {"aws:SourceAccount": account}
        request = Request("sts:AssumeRole", f"arn:aws:iam::{MINE}:role/r", "vpc-flow-logs.amazonaws.com", context)
        return Expectation(name, allowed, request, resource=[trust], required=True)

    own = life.outputs["S3EndpointId"]
    (emptier,) = {
        one["Condition"]["ArnNotEquals"]["aws:PrincipalArn"].rpartition(":")[2]
        for one in life.policies[bucket]["Statement"]
        if one.get("Sid") == "EmptiedByItsFunctionOnly"
    }
    return [
        *(
            one
            for action in (*DATA_ACTIONS, *EMPTYING_ACTIONS)
            for one in (
                on_bucket(f"{action} comes by the endpoint", True, action, own),
                on_bucket(f"{action} comes by another one", False, action, "vpce-other"),
            )
        ),
        on_bucket("its function empties it", True, "s3:DeleteObjectVersion", "vpce-other", caller=emptier),
        on_bucket("its function reads nothing", False, "s3:GetObject", "vpce-other", caller=emptier),
        on_bucket("nothing comes in clear", False, "s3:GetObject", own, secure="false"),
        flow_logs("this account's flow logs take the role on", True, MINE),
        flow_logs("another account's do not", False, THEIRS),
    ]


def test_each_denial_and_each_condition_is_needed(life: Life) -> None:
    # Given the policies as they were deployed, but for the endpoints'
    policies = {name: one for name, one in life.policies.items() if not name.endswith("Endpoint")}
    expected = expectations(life)
    # Then they allow and refuse what they should
    assert list(mutants(policies))
    assert wrong(expected, policies) == []
    # and without any one denial or condition they would not
    assert [str(mutant) for mutant in survivors(expected, policies)] == []


def test_without_a_permission_of_its_role_the_call_is_refused_and_comes_back(
    cloud: LocalCloud, shared_stacks: SharedStacks
) -> None:
    warden = Warden(cloud, shared_stacks(ARCHITECTURE, SETTINGS))
    # Given a function in the network whose role lost a permission
    with warden.without_grant("inside", "comprehend:DetectEntities"):
        # Then the open door does not help, and the words are the identity's
        answer = warden.ask("inside", "detect-entities")
        assert answer.outcome == "refused"
        assert "VPC endpoint" not in answer.message
    assert warden.ask("inside", "detect-entities").outcome == "allowed"
