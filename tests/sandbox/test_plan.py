"""What a deployment to an account would do: found out for every architecture, by reading alone."""

from __future__ import annotations

import datetime
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from sandbox import cli, plan, show, stacks
from sandbox.account import Account, AccountError, connect
from sandbox.plan import Wishes
from sandbox.stacks import StackError, require_workable
from scenarios.clouds import table, where_it_runs
from stacks.catalogue import available, get, with_needs
from stacks.policy.references import exports
from stacks.policy.template import read

NOW = datetime.datetime(2026, 12, 1, 10, 30, 20, tzinfo=datetime.timezone.utc)
READS = ["sts:GetCallerIdentity", "iam:ListAccountAliases", "cloudformation:DescribeStacks", "ssm:GetParameter"]
ALL = [architecture.id for architecture in available()]


@pytest.fixture
def reader(shell: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The account in the hands of a role that may do what a plan needs, and nothing else."""
    iam, name = shell.client("iam"), f"reader-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{shell.account}:root"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": READS, "Resource": "*"}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_document(trust)))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="reads", PolicyDocument=json.dumps(_document(may)))
    keys = shell.client("sts").assume_role(RoleArn=arn, RoleSessionName="ana")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    yield connect()
    iam.delete_role_policy(RoleName=name, PolicyName="reads")
    iam.delete_role(RoleName=name)


def _document(statement: Mapping[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_every_architecture_is_planned_by_who_may_only_read(reader: Account, for_aws: Path) -> None:
    # Given an account, a role that may do nothing but read, and what is synthesized for AWS
    templates = {template.architecture: template for template in read(for_aws)}
    assert len(ALL) >= 15
    for architecture in available():
        # When its deployment is planned
        drawn = plan.draw(reader, architecture, for_aws, Wishes(confirmed=reader.number), NOW)
        # Then the plan has its stack after those that it needs, with all that is in them
        assert [stack.name for stack in drawn.stacks] == [one.id for one in with_needs(architecture)]
        for stack in drawn.stacks:
            found = Counter(kind["Type"] for _, kind in templates[stack.name].resources())
            assert stack.resources == found
            assert set(stack.services.values()) == {"available"}
            # And with the machines that a new account does not have
            wants = {"training-pipeline": 2, "realtime-endpoint": 1}.get(stack.name, 0)
            assert len(stack.to_ask_for) == wants
        # And it costs what the catalogue says, of what is not there yet
        expected = sum(get(stack.name).cost_idle or 0 for stack in drawn.made)
        assert drawn.usd_a_month == pytest.approx(expected, abs=0.01)
        # And all of it can be shown
        text = "\n".join(show.plan_lines(drawn))
        for told in (reader.number, reader.region, reader.identity, "dollars a month while idle", "sandbox:owner=ana"):
            assert told in text
        if architecture.id == "training-pipeline":
            assert "ml.m5.large for training job usage: 1 wanted, 0 in a new account (L-611FA074)" in text


@pytest.mark.soak
def test_what_is_made_for_another_is_planned_as_it_is_made_then(reader: Account) -> None:
    # Given an architecture that wants more of one that it needs than that has by default
    assembly = synthesize("secure-studio", "lambda")
    # When it is planned from what its deployment makes
    drawn = plan.draw(reader, get("secure-studio"), assembly, Wishes(confirmed=reader.number), NOW)
    # Then the plan counts the doors that are made for it, and the policies find nothing in what is made
    network = drawn.stacks[0]
    assert network.resources["AWS::EC2::VPCEndpoint"] > 2
    assert network.usd_a_month > (get("private-network").cost_idle or 0)
    assert plan.problems(drawn, assembly, default=True) == []


@pytest.fixture
def no_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The templates are held against the policies elsewhere."""
    monkeypatch.setattr(plan, "checked", lambda template, default: [])


@pytest.mark.usefixtures("no_policies")
@pytest.mark.parametrize(
    ("name", "region", "said"),
    [
        ("image-labeling", "eu-north-1", "cannot run in eu-north-1, which has no Amazon Rekognition. Set AWS_REGION"),
        ("model-vault", "us-west-2", "--set replica_region=us-east-1"),
        ("model-vault", "us-east-1", None),
        ("image-labeling", "us-gov-west-1", None),
    ],
)
def test_a_region_in_which_it_cannot_run_is_told_with_the_mend(
    reader: Account, for_aws: Path, name: str, region: str, said: str | None
) -> None:
    # Given an account in a region, When a deployment is planned there
    there = reader.elsewhere(region)
    drawn = plan.draw(there, get(name), for_aws, Wishes(confirmed=reader.number), NOW)
    found = plan.problems(drawn, for_aws, default=True)
    # Then one line says why it cannot be, and nothing else does; and what nobody looked up is shown as such
    assert len(found) == (said is not None)
    assert all(said is not None and said in line for line in found)
    unknown = "nobody has looked up" in "\n".join(show.plan_lines(drawn))
    assert unknown == (region == "us-gov-west-1")


@pytest.mark.usefixtures("no_policies")
def test_a_stack_that_stands_without_what_another_imports_is_named(
    reader: Account, for_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a network that stands as it is by default, When what wants more doors of it is planned
    states = {"private-network": "CREATE_COMPLETE", "secure-studio": None}
    drawn = plan.draw(reader, get("secure-studio"), for_aws, Wishes(confirmed=reader.number), NOW, states=states)
    (network,) = (one for one in read(for_aws) if one.architecture == "private-network")
    outputs = [{"OutputKey": key, "ExportName": name} for key, name in exports(network).items()]
    monkeypatch.setattr(stacks, "described", lambda *_: {"Outputs": outputs})
    found = plan.problems(drawn, for_aws, default=True)
    # Then each door that is not there is a line with the mend
    assert len(found) == 2
    assert all("make destroy ARCH=private-network CLOUD=aws" in line for line in found)
    # And with them nothing is found
    outputs += [{"ExportName": f"private-network-Sagemaker{one}EndpointId"} for one in ("Api", "Runtime")]
    assert plan.problems(drawn, for_aws, default=True) == []


def test_the_command_shows_the_plan_and_makes_nothing(
    shell: LocalCloud, for_aws: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an account, When a deployment is to be planned only
    before = shell.client("cloudformation").describe_stacks()["Stacks"]
    arguments = ["deploy", "speech-synthesis", "--plan", "--app", str(for_aws), "--confirm-sandbox", shell.account]
    status = cli.main(arguments)
    # Then it is shown, its templates were held against the policies, and there is no more than before
    told = capsys.readouterr()
    assert status == 0, told.err
    assert "Stack      speech-synthesis" in told.out
    assert "Holding the templates against the policies" in told.err
    assert "Nothing was made" in told.out
    assert shell.client("cloudformation").describe_stacks()["Stacks"] == before


def test_what_stands_is_left_as_it_is_and_what_failed_is_made_anew(reader: Account, for_aws: Path) -> None:
    # Given one needed stack that stands, one whose creation failed, and the last, which is deployed
    states = {"training-pipeline": "UPDATE_COMPLETE", "realtime-endpoint": "ROLLBACK_COMPLETE", "model-monitor": None}
    # When it is planned
    wishes = Wishes(confirmed=reader.number)
    drawn = plan.draw(reader, get("model-monitor"), for_aws, wishes, NOW, states=states)
    # Then the first is left, the second is made anew, and what is left costs nothing more
    assert [stack.kept for stack in drawn.stacks] == [True, False, False]
    assert "made anew" in drawn.stacks[1].what
    assert drawn.usd_a_month == pytest.approx(5.10 + 4.50, abs=0.01)
    assert drawn.scenario_not_run is not None


@pytest.mark.parametrize("state", ["UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_IN_PROGRESS"])
def test_a_stack_that_cannot_be_worked_on_is_named_with_the_mend(state: str) -> None:
    with pytest.raises(StackError, match="image-labeling") as refused:
        require_workable("image-labeling", state)
    assert ("wait" in str(refused.value)) == state.endswith("_IN_PROGRESS")
    assert "\n" not in str(refused.value)


def test_a_removal_that_cannot_be_worked_on_is_mended_by_its_architecture() -> None:
    with pytest.raises(StackError, match="make destroy ARCH=image-labeling CLOUD=aws"):
        require_workable("self-destruct-image-labeling", "DELETE_FAILED")


def test_tags_say_whose_it_is_and_until_when(reader: Account) -> None:
    # Given nothing but the credentials, or an owner with a name of signs, and hours
    plain = plan.tags(reader, Wishes(), NOW)
    named = plan.tags(reader, Wishes(owner="Ana & Bo, team #7", destroy_after_hours=8), NOW)
    # Then the tags have what every service takes, and none is one that access is granted by
    assert plain == {
        "sandbox:project": "ml-reference-architectures",
        "sandbox:owner": "ana",
        "sandbox:expiry": "2026-12-08",
    }
    assert named["sandbox:owner"] == "Ana - Bo- team -7"
    assert named["sandbox:expiry"] == "2026-12-01T18:30Z"


def test_a_bootstrap_that_is_old_is_updated(reader: Account, shell: LocalCloud, for_aws: Path) -> None:
    # Given an account whose bootstrap is older than the templates need
    shell.client("ssm").put_parameter(Name=plan.VERSION_PARAMETER, Value="5", Type="String", Overwrite=True)
    try:
        found = plan._bootstrap(reader, for_aws, {"StackName": "CDKToolkit"})
    finally:
        shell.client("ssm").delete_parameter(Name=plan.VERSION_PARAMETER)
    # Then the plan says so, and that it is made where there is none
    assert found is not None
    assert "updated from version 5" in found
    # And one with another qualifier is that of others
    other = {"Parameters": [{"ParameterKey": "Qualifier", "ParameterValue": "acme"}]}
    with pytest.raises(AccountError, match=r"qualifier acme.*--toolkit-stack-name CDKToolkit-hnb659fds"):
        plan._bootstrap(reader, for_aws, other)
    own = {"Parameters": [{"ParameterKey": "Qualifier", "ParameterValue": plan.QUALIFIER}]}
    assert "is made" in str(plan._bootstrap(reader, for_aws, own))
    missing = plan._bootstrap(reader, for_aws, None)
    assert missing is not None
    assert "is made" in missing


def test_what_does_not_run_on_aws_is_listed_with_its_reason() -> None:
    assert [name for name in ALL if where_it_runs("aws", name)] == list(table()["aws"]["architectures"])
    assert [name for name in ALL if where_it_runs("aws", name)] == ["model-monitor"]
    assert where_it_runs("local", "model-monitor") is None


def test_a_plan_with_a_removal_shows_when(reader: Account, for_aws: Path) -> None:
    # Given a plan, When it is shown with a time of removal, Then the time is in it
    drawn = plan.draw(reader, get("speech-synthesis"), for_aws, Wishes(confirmed=reader.number), NOW)
    at = plan.destroyed_at(Wishes(destroy_after_hours=1.5), NOW)
    text = "\n".join(show.plan_lines(replace(drawn, destroyed_at=at)))
    assert "by itself, from 2026-12-01 12:00 UTC on" in text


@pytest.mark.parametrize("hours", [None, 3.0])
def test_a_removal_of_before_counts_until_another_is_asked_for(
    reader: Account, for_aws: Path, monkeypatch: pytest.MonkeyPatch, hours: float | None
) -> None:
    # Given a chain whose last stack was deployed with a removal of two, in an hour
    at = NOW + datetime.timedelta(hours=1)
    told = {"At": at.isoformat(), "Stacks": "model-monitor,realtime-endpoint"}
    before = {
        "StackStatus": "UPDATE_COMPLETE",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in told.items()],
    }
    monkeypatch.setattr(stacks, "described", lambda _, name: before if name == "self-destruct-model-monitor" else None)
    states = dict.fromkeys(("training-pipeline", "realtime-endpoint", "model-monitor"), "CREATE_COMPLETE")
    monitor = get("model-monitor")
    # When it is deployed once more
    wishes = Wishes(confirmed=reader.number, destroy_after_hours=hours)
    removal = plan.removal(reader, "self-destruct-model-monitor")
    # Then what was to go still goes, before what it needs, and what was there before that stays
    assert plan.going(states, monitor, removal) == ["model-monitor", "realtime-endpoint"]
    # And the tags tell the moment that counts
    tags = plan.tags(reader, wishes, NOW, removal)
    assert tags["sandbox:expiry"] == ("2026-12-01T11:30Z" if hours is None else "2026-12-01T13:30Z")
    if hours is None:
        # And so does the plan, which is none any more once the removal has begun
        drawn = plan.draw(reader, monitor, for_aws, wishes, NOW, states=states)
        assert drawn.tags == tags
        assert "2026-12-01 11:30 UTC on, as was asked before" in "\n".join(show.plan_lines(drawn))
        with pytest.raises(StackError, match="being removed by itself since"):
            plan.draw(reader, monitor, for_aws, wishes, at, states=states)
