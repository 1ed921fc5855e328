"""The whole way as somebody types it, and every scenario as it runs in an account: soak.

Nothing of the local cloud is used but its endpoint: credentials, region and trust are in the variables of a shell. The
clock alone is moved from outside: hours until a removal, and a quarter of an hour that an update takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.demos import of, realtime_endpoint
from local.demos.moving_clock import MovingClock
from local.deploy import deploy, destroy
from sandbox import scenario
from sandbox.account import connect
from scenarios.clouds import where_it_runs
from stacks.catalogue import available, get, with_needs
from tests.sandbox.conftest import a_minute_passes
from tests.waiting import until

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
RUN_THERE = [one.id for one in available() if where_it_runs("aws", one.id) is None]


class Typed:
    """`python -m sandbox`, in a shell of this cloud."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.environment: Mapping[str, str] = {**os.environ, **cloud.environment()}

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """What is shown. Nobody is there to be asked."""
        ran = subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == status, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def own_cloud() -> Iterator[LocalCloud]:
    """A cloud on which nothing is deployed, and that nobody has bootstrapped."""
    with LocalCloud.start(f"sandbox-{os.getpid()}") as started:
        of("image-labeling").warm_up(started)
        yield started


def there(cloud: LocalCloud) -> set[str]:
    """The stacks that stand."""
    pages = cloud.client("cloudformation").get_paginator("describe_stacks").paginate()
    return {one["StackName"] for page in pages for one in page["Stacks"] if one["StackStatus"] != "DELETE_COMPLETE"}


def a_minute_passes_or_a_stack_goes(cloud: LocalCloud) -> None:
    """Leaves the clock while a stack is being deleted: minutes a second are more than functions on its way have."""
    pages = cloud.client("cloudformation").get_paginator("describe_stacks").paginate()
    if any(one["StackStatus"] == "DELETE_IN_PROGRESS" for page in pages for one in page["Stacks"]):
        time.sleep(1)
    else:
        a_minute_passes(cloud)


def test_deployed_run_removed_by_hand_and_by_itself(own_cloud: LocalCloud) -> None:
    # Given an account that nobody has used
    type_ = Typed(own_cloud)
    assert "--confirm-sandbox" in type_("deploy", "image-labeling", "--yes", status=1)
    # When it is deployed to, with a removal in two hours
    confirmed = ("--confirm-sandbox", own_cloud.account)
    smaller = ("--set", "minimum_confidence=30", "--owner", "ana", "--yes")
    type_("deploy", "image-labeling", *confirmed, "--destroy-after", "2", *smaller)
    # Then the account says from now on that it is a sandbox, and the stacks say whose they are
    assert there(own_cloud) == {"CDKToolkit", "image-labeling", "self-destruct-image-labeling"}
    (stack,) = own_cloud.client("cloudformation").describe_stacks(StackName="image-labeling")["Stacks"]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert tags["sandbox:owner"] == "ana"
    assert {"architecture", "sandbox:project", "sandbox:expiry"} <= tags.keys()
    assert "tag sandbox=true" in type_("deploy", "speech-synthesis", "--plan")
    # When its scenario runs, and it is removed by hand, Then photographs are labelled and nothing is left
    assert "labelled" in type_("scenario", "image-labeling", "--yes")
    assert "Nothing of image-labeling is left." in type_("destroy", "image-labeling", "--yes")
    assert there(own_cloud) == {"CDKToolkit"}
    # When it is deployed once more and forgotten, Then it goes by itself
    type_("deploy", "image-labeling", "--destroy-after", "2", *smaller)
    own_cloud.control.clock_advance(2 * 3600 + 60)
    until(
        lambda: there(own_cloud) == {"CDKToolkit"},
        "the end of the forgotten stacks",
        seconds=180,
        meanwhile=lambda: a_minute_passes_or_a_stack_goes(own_cloud),
    )
    assert "Nothing of image-labeling is left." in type_("leftovers", "image-labeling")


@pytest.mark.parametrize("name", [one.id for one in available()])
def test_every_architecture_is_planned_as_it_is_typed(own_cloud: LocalCloud, name: str) -> None:
    # Given an account, and a machine that reaches nothing else, When a deployment is to be planned
    before = there(own_cloud)
    shown = Typed(own_cloud)("deploy", name, "--plan", "--confirm-sandbox", own_cloud.account)
    # Then what would be made was synthesized, held against the policies and shown, and nothing was made
    assert f"Stack      {name}: " in shown
    assert "dollars a month while idle" in shown
    assert "Nothing was made" in shown
    assert there(own_cloud) == before


@pytest.mark.parametrize("name", RUN_THERE)
def test_every_scenario_runs_as_it_does_in_an_account(
    own_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Given the stack of an architecture, with the settings of its demo, whose models are those of this machine
    architecture, demo = get(name), of(name)
    demo.warm_up(own_cloud)
    settings = {name: dict(demo.settings)} if demo.settings else None
    assembly = synthesize(name, settings=settings)
    for one in with_needs(architecture):
        deploy(own_cloud, assembly, one.id)
    for variable, value in own_cloud.environment().items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    # The moved clock is ahead of this machine's, by which captures are looked for in an account: in vain, here.
    monkeypatch.setattr(realtime_endpoint, "_REAL", replace(realtime_endpoint._REAL, capture=1.0))
    # When its scenario runs with what boto3 finds in the shell, and with AWS's APIs alone
    account = connect()
    with MovingClock(own_cloud.control).hurrying() if name == "realtime-endpoint" else nullcontext():
        outcome = scenario.run(account, architecture, scenario.outputs(account, architecture), [], lambda _: None)
    # Then everything came out as it should, and can be shown
    assert outcome.complete, outcome.report
    assert demo.summary(outcome.report)
    for one in reversed(with_needs(architecture)):
        destroy(own_cloud, one.id)
