"""The stack that removes others when their time has come: its template, and its work by the moved clock."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from local.cloud import LocalCloud
from local.deploy import deploy, stacks
from stacks.operate.self_destruct import SelfDestruct, SelfDestructSettings
from stacks.policy.__main__ import problems
from stacks.policy.template import Template, read, statements
from stacks.synth import ContextError, build
from tests.sandbox.conftest import a_minute_passes
from tests.stacks.conftest import SELF_DESTRUCT, TAGS
from tests.waiting import until

EXPORT = {
    "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"Q": {"Value": {"Fn::GetAtt": ["Q", "Arn"]}, "Export": {"Name": "NAME-queue"}}},
}
IMPORT = {"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String"}}}}


@pytest.fixture(scope="module")
def names() -> list[str]:
    """A stack that imports, and the one that it imports from."""
    run = uuid.uuid4().hex[:6]
    return [f"user-{run}", f"needed-{run}"]


@pytest.fixture
def template(assemblies: dict[str, Path]) -> Template:
    """As for AWS; when it was synthesized, cdk-nag found nothing that is not acknowledged."""
    return next(one for one in read(assemblies["own key"]) if one.architecture == "self-destruct")


def test_it_may_delete_the_named_stacks_and_itself_and_nothing_else(template: Template) -> None:
    # Given two stacks that are to go, When the grants of the stack are read
    granted = {
        (action, target)
        for statement in statements(template)
        if statement.kind == "identity" and statement.allows
        for action in statement.actions
        for target in statement.targets
        if not action.startswith(("xray:", "logs:"))
    }
    # Then they are for these three and two actions, and for the call of the function
    stack = "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/"
    doomed = [*SELF_DESTRUCT["stacks"], "self-destruct-text-insights"]
    actions = ("cloudformation:DescribeStacks", "cloudformation:DeleteStack")
    expected = {(action, f"{stack}{name}/*") for name in doomed for action in actions}
    called = {(action, target) for action, target in granted if action == "lambda:InvokeFunction"}
    assert granted - called == expected
    assert len(called) == 1
    # And the policy checks find nothing
    assert problems(template) == []


def test_it_waits_until_its_time_and_gives_up_a_day_later(template: Template, assemblies: dict[str, Path]) -> None:
    ((_, schedule),) = template.resources("AWS::Scheduler::Schedule")
    assert schedule["Properties"]["StartDate"] == "2027-03-01T09:30:00Z"
    assert schedule["Properties"]["EndDate"] == "2027-03-02T09:30:00Z"
    # And tags of the context are the stack's, and change no template
    manifest = json.loads((assemblies["own key"] / "manifest.json").read_text())["artifacts"]
    for name in ("self-destruct", "image-labeling"):
        assert manifest[name]["properties"]["tags"]["sandbox:owner"] == TAGS["sandbox:owner"]
    assert "sandbox:owner" not in json.dumps(template.body)


def test_a_wrong_context_is_one_line() -> None:
    # Given settings that are none, no stacks, a time without a zone, one long ago, and tags that no service takes
    context = {"architecture": "data-protection", "target": "local"}
    stack = ["image-labeling"]
    wrong: list[dict[str, Any]] = [
        {"self_destruct": "[]"},
        {"self_destruct": {"stacks": [], "at": "2027-01-01T00:00Z"}},
        {"self_destruct": {"stacks": stack, "at": "2027-01-01T00:00"}},
        {"self_destruct": {"stacks": stack, "at": "2025-01-01T00:00Z"}},
        {"self_destruct": {"stacks": stack, "at": "2027-01-01T00:00Z"}, "architecture": None},
        {"tags": "owner=ana"},
        {"tags": {"owner": "ana; bo"}},
        {"tags": {"aws:owner": "ana"}},
    ]
    # When stacks are built, Then each is refused in a line
    for one in wrong:
        with pytest.raises(ContextError) as refused:
            build(cdk.App(context={**context, **one}, analytics_reporting=False))
        assert "\n" not in str(refused.value)


def test_when_its_time_has_come_stacks_go_in_their_order_and_it_itself_last(
    cloud: LocalCloud, names: list[str], tmp_path: Path
) -> None:
    # Given a stack, another that imports from it, and the stack that removes both
    user, needed = names
    make(cloud, needed, json.loads(json.dumps(EXPORT).replace("NAME", needed)))
    imported = json.loads(json.dumps(IMPORT))
    imported["Resources"]["P"]["Properties"]["Value"] = {"Fn::ImportValue": f"{needed}-queue"}
    make(cloud, user, imported)
    destructor = f"self-destruct-{needed}"
    deploy(cloud, synthesized(cloud, tmp_path / "out", names, destructor), destructor, artifact="self-destruct")
    assert {user, needed, destructor} <= stacks(cloud).keys()
    # When an hour has passed, Then nothing has happened
    cloud.control.clock_advance(3600)
    assert {user, needed, destructor} <= stacks(cloud).keys()
    # When its time has come, Then minute by minute one after the other goes
    cloud.control.clock_advance(3700)
    seen: list[set[str]] = []

    def gone() -> bool:
        left = {user, needed, destructor} & stacks(cloud).keys()
        if not seen or seen[-1] != left:
            seen.append(left)
        return not left

    until(gone, "the end of all three", seconds=90, meanwhile=lambda: a_minute_passes(cloud))
    orders = [{user, needed, destructor}, {needed, destructor}, {destructor}, set()]
    assert [left for left in orders if left in seen] == seen
    # And nothing of it is left: its log group went with it
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"{destructor}-")["logGroups"]
    assert groups == []


def synthesized(cloud: LocalCloud, folder: Path, names: list[str], destructor: str) -> Path:
    """An assembly for this machine, with the stack of this name that removes these in two hours of the cloud's time."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=cloud.control.clock())
    at = now + datetime.timedelta(hours=2)
    app = cdk.App(outdir=str(folder), analytics_reporting=False)
    settings = SelfDestructSettings(stacks=tuple(names), at=at)
    SelfDestruct(app, "self-destruct", settings=settings, target="local", stack_name=destructor)
    app.synth()
    return folder


def make(cloud: LocalCloud, name: str, template: dict[str, Any]) -> None:
    """A stack that is ready."""
    client = cloud.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ready() -> bool:
        return bool(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")

    until(ready, f"the stack {name}", seconds=60)
