"""The stack that removes others when their time has come: its template, and its work by the moved clock."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from app import use_bundled_node
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, stacks
from sandbox.account import connect
from sandbox.leftovers import search
from stacks.policy.__main__ import problems
from stacks.policy.template import Template, read, statements
from tests.cdk import apart
from tests.sandbox.conftest import a_minute_passes
from tests.waiting import until

AT = datetime.datetime(2027, 3, 1, 9, 30, tzinfo=datetime.timezone.utc)
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


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> Path:
    """With an architecture, and with a tag of all stacks."""
    return synthesize(
        "data-protection",
        out=tmp_path_factory.mktemp("assembly") / "out",
        tags={"sandbox:owner": "ana"},
        self_destruct={"stacks": names, "at": AT.isoformat()},
    )


@pytest.fixture(scope="module")
def template(assembly: Path) -> Template:
    return next(one for one in read(assembly) if one.architecture == "self-destruct")


def test_it_may_delete_the_named_stacks_and_itself_and_nothing_else(template: Template, names: list[str]) -> None:
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
    doomed = [*names, "self-destruct-data-protection"]
    actions = ("cloudformation:DescribeStacks", "cloudformation:DeleteStack")
    expected = {(action, f"{stack}{name}/*") for name in doomed for action in actions}
    called = {(action, target) for action, target in granted if action == "lambda:InvokeFunction"}
    assert granted - called == expected
    assert len(called) == 1
    # And the policy checks find nothing
    assert problems(template) == []


def test_it_waits_until_its_time_and_gives_up_a_day_later(template: Template, assembly: Path) -> None:
    ((_, schedule),) = template.resources("AWS::Scheduler::Schedule")
    assert schedule["Properties"]["StartDate"] == "2027-03-01T09:30:00Z"
    assert schedule["Properties"]["EndDate"] == "2027-03-02T09:30:00Z"
    # And tags of the context are the stack's, and change no template
    manifest = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    assert manifest["self-destruct"]["properties"]["tags"]["sandbox:owner"] == "ana"
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
    said = apart(refusals, [{**context, **one} for one in wrong])
    assert len(said) == len(wrong)
    assert all(said)
    assert not any("\n" in line for line in said)


def refusals(contexts: list[dict[str, Any]]) -> list[str]:
    """What the app says to contexts that it refuses; nothing to one that it takes."""
    use_bundled_node()
    import aws_cdk as cdk

    from stacks import synth

    def said(context: dict[str, Any]) -> str:
        try:
            synth.build(cdk.App(context=context, analytics_reporting=False))
        except synth.ContextError as error:
            return str(error)
        return ""

    return [said(context) for context in contexts]


def test_when_its_time_has_come_stacks_go_in_their_order_and_it_itself_last(
    shell: LocalCloud, assembly: Path, names: list[str]
) -> None:
    # Given a stack, another that imports from it, and the stack that removes both
    user, needed = names
    client = shell.client("cloudformation")
    make(shell, needed, json.loads(json.dumps(EXPORT).replace("NAME", needed)))
    imported = json.loads(json.dumps(IMPORT))
    imported["Resources"]["P"]["Properties"]["Value"] = {"Fn::ImportValue": f"{needed}-queue"}
    make(shell, user, imported)
    destructor = f"self-destruct-{needed}"
    deploy(shell, local_times(assembly, shell, destructor), destructor, artifact="self-destruct")
    assert {user, needed, destructor} <= stacks(shell).keys()
    # When an hour has passed, Then nothing has happened
    shell.control.clock_advance(3600)
    assert {user, needed, destructor} <= stacks(shell).keys()
    # When its time has come, Then minute by minute one after the other goes
    shell.control.clock_advance(3700)
    seen: list[set[str]] = []

    def gone() -> bool:
        left = {user, needed, destructor} & stacks(shell).keys()
        if not seen or seen[-1] != left:
            seen.append(left)
        return not left

    until(gone, "the end of all three", seconds=90, meanwhile=lambda: a_minute_passes(shell))
    orders = [{user, needed, destructor}, {needed, destructor}, {destructor}, set()]
    assert [left for left in orders if left in seen] == seen
    # And nothing of it is left: its log group went with it
    assert [one.name for one in search(connect(), needed).found] == []
    assert client.list_exports()["Exports"] == [
        one for one in client.list_exports()["Exports"] if not one["Name"].startswith(needed)
    ]


def local_times(assembly: Path, cloud: LocalCloud, name: str) -> Path:
    """The assembly with a time two hours from the cloud's present, and this name for the stack itself."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=cloud.control.clock())
    (path,) = assembly.glob("self-destruct*.template.json")
    text = path.read_text().replace("self-destruct-data-protection", name)
    for old, hours in (("2027-03-01T09:30:00Z", 2), ("2027-03-02T09:30:00Z", 26)):
        text = text.replace(old, (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    path.write_text(text)
    return assembly


def make(cloud: LocalCloud, name: str, template: dict[str, Any]) -> None:
    """A stack that is ready."""
    client = cloud.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ready() -> bool:
        return bool(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")

    until(ready, f"the stack {name}", seconds=60)
