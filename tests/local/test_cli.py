"""The command line: what it answers, and how it takes a user's mistakes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import cli, demo, permissions, screen
from local import cloud as clouds
from local.cloud import LocalCloud
from local.deploy import stacks
from local.environment import child_environment
from local.localstack import cloud as localstack
from stacks import catalogue
from tests.local.emulated import unique

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEEDS_A_CLOUD = ("deploy", "destroy", "drift", "logs")
TAKES_AN_ID = (*NEEDS_A_CLOUD, "demo", "permissions")


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a complaint."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("Error: ")
        return lines[0]


Local = Callable[..., Answer]


@pytest.fixture
def local(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """Calls the command line within this process."""
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def call(*arguments: str, ignored: Sequence[str] = ()) -> Answer:
        monkeypatch.setattr(cli, "screen", screen.Screen())
        status = cli.main(list(arguments), ignored_variables=ignored)
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    yield call
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.fixture
def no_clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of states without any cloud, whatever runs on this machine."""
    state = tmp_path / "state"
    monkeypatch.setattr(clouds, "STATE", state)
    return state


@pytest.fixture
def own(local: Local) -> Iterator[LocalCloud]:
    """A cloud that `up` started."""
    name = unique("up")
    assert local("up", "--name", name).status == 0
    cloud = LocalCloud.attach(name)
    assert cloud is not None
    yield cloud
    cloud.stop()
    shutil.rmtree(cloud.folder, ignore_errors=True)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "local", *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_list_holds_the_whole_catalogue(local: Local) -> None:
    # Given the catalogue, When it is listed for machines
    listed = json.loads(local("list", "--json").out)
    # Then every architecture is there with its status
    assert [(one["id"], one["status"]) for one in listed] == [(one.id, one.status) for one in catalogue.ARCHITECTURES]
    assert any(one["status"] == "available" for one in listed)


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_the_list_for_people_cuts_no_name(local: Local, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    # Given a terminal of this width, When the list is shown
    monkeypatch.setenv("COLUMNS", columns)
    answer = local("list")
    # Then every id can be read in one piece, with its status
    lines = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    for architecture in catalogue.ARCHITECTURES:
        assert architecture.status in lines[architecture.id]


def test_the_list_can_be_narrowed(local: Local) -> None:
    # Given a theme and a status, When the list is narrowed to them
    vision = json.loads(local("list", "--theme", "vision", "--json").out)
    built = json.loads(local("list", "--status", "available", "--json").out)
    # Then nothing else is in it
    assert {one["theme"] for one in vision} == {"vision"}
    assert [one["id"] for one in built] == [one.id for one in catalogue.available()]


def test_costs_are_told_for_all_that_is_built(local: Local, no_clouds: Path) -> None:
    # Given the catalogue, When all costs are asked for, for machines and for people
    told = json.loads(local("cost", "--requests-per-day", "1000", "--json").out)
    shown = local("cost", "--requests-per-day", "1000").out
    # Then each architecture that is built has what the catalogue says
    rows = {row["architecture"]: row for row in told["architectures"]}
    assert list(rows) == [one.id for one in catalogue.available()]
    for one in catalogue.available():
        assert rows[one.id]["idle_usd_a_month"] == one.cost_idle
        assert rows[one.id]["usd_a_thousand"] == pytest.approx(one.cost_per_thousand, abs=0.005)
        assert one.id in shown
    # And what cannot come so often has no month
    assert rows["model-monitor"]["usd_a_month"] is None
    assert "at most 24 a day" in shown
    # And nobody can take the free tier for counted
    assert told["free_tier"] is False
    assert "Not counted: the free tier" in shown


def test_the_costs_of_a_workload_are_told_line_by_line(local: Local, no_clouds: Path) -> None:
    # Given documents of ten pages, a hundred a day
    arguments = ("cost", "document-processing", "--requests-per-day", "100", "--assume", "pages=10")
    # When their costs are asked for
    told = json.loads(local(*arguments, "--json").out)
    shown = local(*arguments).out
    # Then the lines and what stands idle make the sum: 30,000 pages at 0.065 are most of it
    month = told["workload"]
    assert month["usd_a_month"] == pytest.approx(
        sum(line["usd"] for line in month["lines"]) + month["idle_usd"], abs=0.01
    )
    assert month["dominant"]["service"] == "Amazon Textract"
    (pages,) = (line for line in month["lines"] if line["service"] == "Amazon Textract")
    assert (pages["quantity"], pages["usd"]) == (30_000, 1950)
    # And people see the same, with what was assumed
    assert f"{month['usd_a_month']:,.2f}" in shown
    assert "Assumed: 10 pages a document" in shown
    assert "not the 3 that the lines above speak of" in shown


def test_a_thousand_predictions_are_told_beside_the_endpoint_that_stands(local: Local, no_clouds: Path) -> None:
    shown = local("cost", "realtime-endpoint").out
    assert "1,000 predictions" in shown
    assert "While idle 5.10 a month, and 167.90 while its endpoint stands." in shown


def test_scale_tells_what_is_full_first_and_what_to_raise(local: Local, no_clouds: Path) -> None:
    # Given ten million images a day
    arguments = ("scale", "image-labeling", "--objects-per-day", "10000000")
    # When it is asked how they are carried
    shown = local(*arguments).out
    told = json.loads(local(*arguments, "--json").out)
    # Then the workers hold them back, and the quota to raise is named with its code
    (load,) = told["loads"]
    assert load["keeps_up"] is False
    assert min(told["limits"], key=lambda one: one["per_second"])["name"] == "maximum_concurrency"
    assert "L-E29B542B" in shown
    # And with more workers and the quota raised it is carried
    raised = local(*arguments, "--set", "maximum_concurrency=200", "--quota", "rekognition-detect-labels=500").out
    assert "Nothing has to be raised for 10,000,000 a day." in raised


def test_without_a_load_scale_goes_from_a_thousand_to_a_hundred_million(local: Local, no_clouds: Path) -> None:
    loads = json.loads(local("scale", "image-labeling", "--burst", "1", "--json").out)["loads"]
    assert [load["per_day"] for load in loads] == [*sorted(load["per_day"] for load in loads)]
    assert (loads[0]["per_day"], loads[-1]["per_day"]) == (1000, 100_000_000)
    assert [load["keeps_up"] for load in loads] == sorted((load["keeps_up"] for load in loads), reverse=True)
    # And it tells what the largest would need
    shown = local("scale", "image-labeling").out
    assert "For 100,000,000 a day, in the busiest hour:" in shown
    assert "L-E29B542B" in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("demo", "image-labelling"), "Did you mean image-labeling"),
        (("deploy", "nonsense"), "There is no architecture 'nonsense'"),
        (("demo", "video-analysis"), "video-analysis is planned, not built yet"),
        (("frobnicate",), "No such command 'frobnicate'"),
        (("demo",), "Missing argument"),
        (("list", "--colour"), "--colour"),
        (("list", "--theme", "cooking"), "There is no theme 'cooking'"),
        (("list", "--status", "broken"), "There is no status 'broken'"),
        (("up", "--port", "70000"), "--port"),
        (("up", "--port", "many"), "--port"),
        (("logs", "image-labeling", "--lines", "0"), "--lines"),
        (("deploy", "image-labeling", "--cloud", "mars"), "mars"),
        (("demo", "image-labeling", "cat.jpg"), "--image"),
        (("demo", "--nonsense"), "`python3 -m local demo --help` shows its use"),
        (("up", "--name", "../elsewhere"), "small letters, digits and dashes"),
        (("down", "--name", ""), "small letters, digits and dashes"),
        (("cost", "nonsense"), "There is no architecture 'nonsense'"),
        (("cost", "video-analysis"), "video-analysis is planned, not built yet"),
        (("cost", "image-labeling", "--region", "eu-west-1"), "no prices of eu-west-1. There are those of us-east-1"),
        (("cost", "image-labeling", "--requests-per-day", "-1"), "-1 a day: between 1 and 1,000,000,000 images a day"),
        (("cost", "--requests-per-day", "0"), "0 a day: between 1 and 1,000,000,000 requests a day"),
        (("cost", "--requests-per-day", "99999999999"), "99,999,999,999 a day: between 1 and"),
        (("cost", "--requests-per-day", "many"), "--requests-per-day"),
        (("cost", "--assume", "pages=3"), "of which architecture?"),
        (("cost", "image-labeling", "--assume", "pages=3"), "has no assumption 'pages'"),
        (("cost", "document-processing", "--assume", "pages"), "write it as NAME=NUMBER"),
        (("cost", "document-processing", "--assume", "pages=nan"), "write it as NAME=NUMBER"),
        (("scale", "text-insights"), "There are image-labeling and document-processing"),
        (("scale", "image-labeling", "--objects-per-day", "0"), "0 a day: between 1 and"),
        (("scale", "image-labeling", "--burst", "0.5"), "A burst of 0.5: between 1 and"),
        (("scale", "image-labeling", "--set", "maximum_concurrency=1"), "the stack takes whole numbers, 2 to 1000"),
        (("scale", "image-labeling", "--set", "colour=1"), "colour changes nothing here"),
        (("scale", "image-labeling", "--quota", "speed=1"), "meets no quota 'speed'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    local: Local, no_clouds: Path, arguments: tuple[str, ...], expected: str
) -> None:
    # Given a mistaken command, When it is called, Then one line says what is wrong
    answer = local(*arguments)
    assert answer.status == 2
    assert expected in answer.complaint
    assert answer.out == ""


@pytest.mark.parametrize("verb", TAKES_AN_ID)
def test_an_aws_account_is_declined_plainly(local: Local, no_clouds: Path, verb: str) -> None:
    # Given an AWS account, When a command is called with it, Then it says plainly that it does not do that
    answer = local(verb, "image-labeling", "--cloud", "aws")
    assert answer.status == 2
    assert "never touches an AWS account" in answer.complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", "cost-guard"), "does not run on LocalStack: LocalStack's core has no Budgets"),
        (("demo", "private-network"), "does not run on LocalStack: nothing runs inside of a VPC"),
        (("permissions", "image-labeling"), "judges no permission: prove them on the local cloud"),
    ],
)
def test_what_localstack_cannot_do_is_declined_with_the_reason(
    local: Local, no_clouds: Path, arguments: tuple[str, ...], said: str
) -> None:
    # Given LocalStack, When a command is called that makes no sense there, Then it says why
    answer = local(*arguments, "--cloud", "localstack")
    assert answer.status == 2
    assert said in answer.complaint


@pytest.mark.parametrize("verb", ["up", "down", "env", "deploy", "demo", "destroy", "logs"])
def test_a_name_and_localstack_contradict_each_other(local: Local, no_clouds: Path, verb: str) -> None:
    # Given a cloud's name and LocalStack, When a command is called with both, Then it does not choose between them
    about = () if verb in ("up", "down", "env") else ("image-labeling",)
    answer = local(verb, *about, "--name", "elsewhere", "--cloud", "localstack")
    assert answer.status == 2
    assert "--name elsewhere is an embedded cloud's" in answer.complaint


def test_the_users_own_localstack_is_used_told_and_not_stopped(
    local: Local, no_clouds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a LocalStack of the user that is up
    users = localstack.OwnLocalStack("http://localhost:4566", frozenset())
    monkeypatch.setattr(localstack, "own", lambda: users)
    # When it is to be started, Then it is up already, and nothing is said of stopping it
    up = local("up", "--cloud", "localstack")
    assert up.status == 0
    assert "is up already: http://localhost:4566" in up.out
    assert "down" not in up.out
    # And what is suggested for a shell names it
    assert 'eval "$(' in up.out
    (suggested,) = [line for line in up.out.splitlines() if "eval" in line]
    arguments = suggested.partition(" env ")[2].partition(")")[0].split()
    printed = local("env", *arguments)
    assert printed.status == 0
    assert "export AWS_ENDPOINT_URL=http://localhost:4566\n" in printed.out
    assert '"${NO_PROXY:+$NO_PROXY,}localhost"' in printed.out
    # When it is to be stopped, Then that is declined
    down = local("down", "--cloud", "localstack")
    assert down.status == 1
    assert "is not stopped from here" in down.complaint


@pytest.mark.parametrize(
    ("verb", "mend"),
    [
        ("deploy", "make deploy ARCH=image-labeling CLOUD=aws"),
        ("demo", "make scenario ARCH=image-labeling CLOUD=aws"),
        ("destroy", "make destroy ARCH=image-labeling CLOUD=aws"),
    ],
)
def test_for_an_aws_account_another_way_is_named(local: Local, no_clouds: Path, verb: str, mend: str) -> None:
    # Given the wish to use an account, When it is uttered, Then the way is named
    assert mend in local(verb, "image-labeling", "--cloud", "aws").complaint


@pytest.mark.parametrize("verb", NEEDS_A_CLOUD)
def test_without_a_cloud_the_way_to_start_one_is_named(local: Local, no_clouds: Path, verb: str) -> None:
    # Given no cloud, When a command needs one, Then it fails and says how to start one
    answer = local(verb, "image-labeling")
    assert answer.status == 1
    assert "local up" in answer.complaint


@pytest.mark.parametrize("verb", ["demo", "permissions"])
def test_a_cloud_that_was_named_must_be_up(local: Local, no_clouds: Path, verb: str) -> None:
    # Given no cloud of that name, When a demo is to use it, Then it does not start another instead
    answer = local(verb, "image-labeling", "--name", "elsewhere")
    assert answer.status == 1
    assert "'elsewhere'" in answer.complaint


def test_without_a_cloud_there_is_nothing_to_see_or_stop(local: Local, no_clouds: Path) -> None:
    # Given no cloud, When its status is asked for or it is stopped, Then that is no error
    assert json.loads(local("status", "--json").out) == {"clouds": []}
    assert "No local cloud is up" in local("status").out
    stopped = local("down")
    assert (stopped.status, stopped.out) == (0, "No local cloud 'default' is up.\n")


def test_a_setting_that_the_stack_refuses_is_the_users_mistake(local: Local, cloud: LocalCloud) -> None:
    # Given settings that are misspelt, out of bounds or not written as settings
    for setting, expected in (
        ("minimum_confidence=170", "less than or equal to 100"),
        ("minimal_confidence=70", "minimal_confidence"),
        ("minimum_confidence", "KEY=VALUE"),
    ):
        # When the stack is to be deployed with one, Then one line says what is wrong with it
        answer = local("deploy", "image-labeling", "--name", cloud.name, "--set", setting)
        assert answer.status == 2, answer
        complaint = answer.err.splitlines()[-1]
        assert complaint.startswith("Error: ")
        assert expected in complaint
        assert "Traceback" not in answer.err


def test_up_is_idempotent_and_tells_how_to_use_the_cloud(local: Local, own: LocalCloud) -> None:
    # Given a cloud that is up, When it is started again
    again = local("up", "--name", own.name)
    # Then it is the same, and how other tools get at it is told
    assert again.status == 0
    assert own.endpoint_url in again.out
    assert f'eval "$(python3 -m local env --name {own.name})"' in again.out
    # and it cannot be moved to another port
    moved = local("up", "--name", own.name, "--port", str(own.port + 1))
    assert moved.status == 1
    assert str(own.port) in moved.complaint
    # and another one cannot have its port
    taken = local("up", "--name", unique("up"), "--port", str(own.port))
    assert taken.status == 1
    assert f"Port {own.port} cannot be used" in taken.err


def test_status_shows_what_runs_and_down_ends_it(local: Local, own: LocalCloud) -> None:
    # Given a cloud that is up, When its status is asked for
    (entry,) = [one for one in json.loads(local("status", "--json").out)["clouds"] if one["name"] == own.name]
    # Then it is described
    assert (entry["endpoint"], entry["pid"], entry["stacks"]) == (own.endpoint_url, own.pid, [])
    assert entry["memory_bytes"] > 1e6
    # and after `down` it is gone; a second `down` does nothing
    assert local("down", "--name", own.name).status == 0
    assert LocalCloud.attach(own.name) is None
    assert local("down", "--name", own.name).status == 0
    assert own.name not in local("status", "--json").out


def test_status_leaves_out_a_cloud_that_ends_while_it_is_asked(
    local: Local, own: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cloud that is stopped by somebody else just after it was found
    def ask(cloud: LocalCloud) -> dict[str, str]:
        own.stop()
        return stacks(cloud)

    monkeypatch.setattr("local.deploy.stacks", ask)
    # When the status is asked for, Then the others are told, and it is no error
    answer = local("status", "--json")
    assert answer.status == 0, answer.err
    assert own.name not in [one["name"] for one in json.loads(answer.out)["clouds"]]


def test_an_architecture_is_deployed_used_and_destroyed(
    local: Local, own: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cloud that is up, When the architecture is deployed, twice
    for _ in range(2):
        deployed = local("deploy", "image-labeling", "--name", own.name)
        assert deployed.status == 0, deployed.err
        assert deployed.out.startswith("BucketName")
    # Then the demo uses the stack and leaves it
    answer = local("demo", "image-labeling", "--name", own.name, "--json")
    assert answer.status == 0, answer.err
    demo = json.loads(answer.out)
    assert demo["stack_was_there"] is True
    assert {photo["status"] for photo in demo["photos"]} == {"LABELED"}
    assert stacks(own) == {"image-labeling": "CREATE_COMPLETE"}
    # and the permissions show what it used, without anything refused
    permissions = json.loads(local("permissions", "image-labeling", "--name", own.name, "--json").out)
    used = {unit["action"] for unit in permissions["units"] if unit["status"] == "used"}
    assert "rekognition:DetectLabels" in used
    assert permissions["summary"]["missing"] == 0
    # and a grant that was planted in its role fails a strict look, and a plain one not
    (described,) = own.client("cloudformation").describe_stacks(StackName="image-labeling")["Stacks"]
    (role,) = (one["OutputValue"] for one in described["Outputs"] if one["OutputKey"] == "FunctionRoleName")
    planted = {"Effect": "Allow", "Action": "sqs:PurgeQueue", "Resource": "arn:aws:sqs:us-east-1:000000000000:q"}
    document = json.dumps({"Version": "2012-10-17", "Statement": planted})
    iam = own.client("iam")
    iam.put_role_policy(RoleName=role, PolicyName="Planted", PolicyDocument=document)
    assert local("permissions", "image-labeling", "--name", own.name).status == 0
    strict = local("permissions", "image-labeling", "--name", own.name, "--strict", "--json")
    assert strict.status == 1
    assert any("sqs:PurgeQueue" in problem for problem in json.loads(strict.out)["problems"])
    iam.delete_role_policy(RoleName=role, PolicyName="Planted")
    # and what is deployed is what its template says, until somebody changes it by hand
    same = local("drift", "image-labeling", "--name", own.name)
    assert (same.status, "0 differ" in same.out) == (0, True)
    assert "Not kept by the local cloud: AWS::S3::Bucket LifecycleConfiguration" in same.out
    (queue,) = (url for url in own.client("sqs").list_queues()["QueueUrls"] if "DeadLetter" in url)
    own.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": "60"})
    drifted = local("drift", "image-labeling", "--name", own.name, "--json")
    assert drifted.status == 1
    assert [one["name"] for one in json.loads(drifted.out)["differences"]] == ["MessageRetentionPeriod"]
    # and the logs tell of every photograph, in words
    logs = local("logs", "image-labeling", "--name", own.name, "--lines", "1000").out
    assert logs.count("status=LABELED") == len(demo["photos"])
    assert '{"level"' not in logs
    # and it can be destroyed, twice
    assert local("destroy", "image-labeling", "--name", own.name).status == 0
    assert stacks(own) == {}
    again = local("destroy", "image-labeling", "--name", own.name)
    assert (again.status, "nothing to destroy" in again.out) == (0, True)


def test_what_an_architecture_needs_comes_with_it_and_goes_after_it(local: Local, own: LocalCloud) -> None:
    # Given an architecture that needs two others
    named = ("--name", own.name)
    needed = ["training-pipeline", "realtime-endpoint"]
    assert [one["needs"] for one in json.loads(local("list", "--json").out) if one["id"] == "model-monitor"] == [needed]
    # When it is deployed to a cloud without them
    deployed = local("deploy", "model-monitor", *named)
    # Then they come first, and it is told which
    assert deployed.status == 0, deployed.err
    assert deployed.out.startswith("TrainingStackName          training-pipeline\n")
    assert list(stacks(own)) == [*needed, "model-monitor"]
    assert "Deploying realtime-endpoint, which it needs" in deployed.err
    # And what is needed cannot be destroyed before it
    for one in needed:
        refused = local("destroy", one, *named)
        assert refused.status == 1
        assert refused.complaint.endswith(f"destroy model-monitor --name {own.name}")
    assert set(stacks(own).values()) == {"CREATE_COMPLETE"}
    # When it alone is destroyed, Then those that it needed stay, and it is told how to go on
    destroyed = local("destroy", "model-monitor", *named)
    assert destroyed.status == 0, destroyed.err
    assert f"destroy realtime-endpoint --name {own.name}" in destroyed.out
    assert "training-pipeline" not in destroyed.out, "which is needed by the other still"
    before = _made(own)
    assert list(before) == needed
    # When a demo wants it, Then copies of all three stand beside those, and belong together
    with demo.standing(catalogue.get("model-monitor"), screen.Screen(), own.name) as stands:
        copies = [name for name in stacks(own) if name not in needed]
        ending = stands.stack.removeprefix("model-monitor")
        assert copies == [f"{one}{ending}" for one in (*needed, "model-monitor")]
        assert stands.outputs["TrainingStackName"] == f"training-pipeline{ending}"
        assert stands.outputs["EndpointStackName"] == f"realtime-endpoint{ending}"
    # and at its end they are gone, and what was there is as it was
    assert _made(own) == before
    # When it is deployed again, Then what it needs is left as it stands
    assert local("deploy", "model-monitor", *named).status == 0
    assert {name: made for name, made in _made(own).items() if name in needed} == before
    # And in the right order all can be destroyed
    for one in ("model-monitor", *reversed(needed)):
        assert local("destroy", one, *named).status == 0
    assert stacks(own) == {}


def _made(cloud: LocalCloud) -> dict[str, tuple[object, ...]]:
    """When each stack was made and last changed."""
    described = cloud.client("cloudformation").describe_stacks()["Stacks"]
    return {
        one["StackName"]: (one["StackId"], one["CreationTime"], one.get("LastUpdatedTime"))
        for one in described
        if one["StackStatus"] != "DELETE_COMPLETE"
    }


@pytest.mark.parametrize(
    ("found", "plain", "strict"),
    [
        (permissions.Status.USED, 0, 0),
        (permissions.Status.NOT_CHECKABLE, 0, 0),
        (permissions.Status.UNUSED, 0, 1),
        (permissions.Status.MISSING, 1, 1),
    ],
)
@pytest.mark.parametrize("exercised", [True, False])
def test_a_strict_look_at_permissions_fails_unless_there_is_nothing_to_mend(
    local: Local,
    monkeypatch: pytest.MonkeyPatch,
    found: permissions.Status,
    plain: int,
    strict: int,
    exercised: bool,
) -> None:
    # Given a stack whose report has one unit
    unit = permissions.Unit("role", "Role", "sqs:PurgeQueue", "arn:q", found)
    problems = ("to be mended",) if strict else ()
    report = permissions.PermissionReport("image-labeling", exercised, (unit,), problems)
    stands = SimpleNamespace(cloud=SimpleNamespace(control=SimpleNamespace(decisions=list)), stack="image-labeling")
    stands.stack_was_there = True
    monkeypatch.setattr(demo, "standing", lambda *_: contextlib.nullcontext(stands))
    monkeypatch.setattr(permissions, "report", lambda *_, **__: report)
    # When it is looked at, Then the status tells of refusals, and strictly of everything, of an idle stack too
    assert local("permissions", "image-labeling").status == plain
    assert local("permissions", "image-labeling", "--strict").status == (strict if exercised else 1)


def test_logs_of_what_is_not_deployed_are_one_line_with_the_mend(local: Local, own: LocalCloud) -> None:
    # Given a cloud on which nothing is deployed, When logs are asked for, Then one line says what to do first
    answer = local("logs", "image-labeling", "--name", own.name)
    assert answer.status == 1
    assert f"Deploy it: python3 -m local deploy image-labeling --name {own.name}" in answer.complaint


def test_the_variables_can_be_evaluated_wherever_the_project_lies(
    local: Local, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a project in a folder whose name a shell would take apart
    monkeypatch.setattr(clouds, "STATE", tmp_path / "my prøject; it's" / ".local")
    # When a cloud is started there
    name = unique("up")
    try:
        assert local("up", "--name", name).status == 0
        printed = local("env", "--name", name).out
        # Then a shell that evaluates what is printed has the very file that the cloud wrote
        said = subprocess.run(
            ["/bin/sh", "-euc", f'{printed}\ncat "$AWS_CA_BUNDLE"'], capture_output=True, text=True, check=True
        ).stdout
        assert said.startswith("-----BEGIN CERTIFICATE-----")
    finally:
        assert local("down", "--name", name).status == 0


CALL = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"


def test_a_shell_that_evaluates_env_speaks_to_the_cloud_and_to_nothing_else(cloud: LocalCloud) -> None:
    # Given a shell that is set to an account of AWS, behind a proxy
    shell = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_STS": "https://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_PAGER": "less",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "no_proxy": "example.com",
    }
    taken = f'eval "$({sys.executable} -m local env --name {cloud.name})"'
    undone = f'eval "$({sys.executable} -m local env --undo)"'
    script = f'{taken}; {taken}; {sys.executable} -c "{CALL}"; echo $no_proxy; {undone}; env'
    # When it takes the cloud's variables, twice, and a tool calls AWS
    ran = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=ROOT,
        env={**child_environment(), **shell},
        capture_output=True,
        text=True,
        check=False,
    )
    account, proxied, *after = ran.stdout.splitlines()
    # Then the cloud answers
    assert account == cloud.account, ran.stderr
    assert proxied == "example.com,127.0.0.1"
    # And afterwards the variables can be taken away
    assert [line for line in after if line.startswith(("AWS_", "CDK_"))] == ["AWS_PAGER=less"]


def test_without_a_cloud_env_prints_nothing_that_a_shell_could_evaluate(local: Local, no_clouds: Path) -> None:
    # Given no cloud, When its variables are asked for, Then one line says how to start one, and nothing else
    answer = local("env")
    assert (answer.status, answer.out) == (1, "")
    assert answer.complaint == "Error: No local cloud 'default' is up. Start one: python3 -m local up"


@pytest.mark.parametrize("command", ["deploy", "destroy"])
def test_an_interruption_says_what_the_cloud_does_without_the_command(
    local: Local, own: LocalCloud, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    # Given a command that the user interrupts while the cloud is at work for it
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"local.deploy.{command}", interrupt)
    monkeypatch.setattr("local.deploy.stacks", lambda cloud: {"image-labeling": "CREATE_COMPLETE"})
    monkeypatch.setattr("local.assembly.synthesize", lambda *_, **__: Path())
    # When it ends, Then it does not claim that what it began has ended with it
    answer = local(command, "image-labeling", "--name", own.name)
    assert answer.status == 130
    assert answer.err.splitlines()[-1].startswith("Interrupted. The local cloud goes on with what it has begun:")


def test_a_cloud_that_died_is_one_line(local: Local, own: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a cloud that dies while a command uses it
    def die(*_: Any) -> None:
        os.kill(own.pid, signal.SIGKILL)

    monkeypatch.setattr(LocalCloud, "alive", lambda self: True)
    die()
    # When its stacks are asked for, Then one line says that it does not answer
    answer = local("destroy", "image-labeling", "--name", own.name)
    assert answer.status == 1
    assert own.name in answer.complaint


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/some/file"), "The disk is full"),
        (OSError(30, "Read-only file system", "/some/file"), "read-only"),
        (PermissionError(13, "Permission denied", "/some/file"), "make it writable"),
    ],
)
def test_what_the_disk_refuses_is_one_line_with_the_place(
    local: Local, no_clouds: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    # Given a disk that refuses, When a cloud is to be started
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(LocalCloud, "start", refuse)
    answer = local("up")
    # Then one line says the mend and the place
    assert answer.status == 1
    complaint = answer.err.splitlines()[-1]
    assert said in complaint
    assert "/some/file" in complaint
    assert "Traceback" not in answer.err


def test_help_is_shown_when_nothing_is_asked_for(local: Local) -> None:
    # Given no command, When the command line is called, Then it says what there is
    answer = local()
    assert answer.status == 0
    assert all(verb in answer.out for verb in (*TAKES_AN_ID, "list", "up", "down", "status", "doctor", "cost", "scale"))


def test_the_list_comes_without_loading_what_it_does_not_need() -> None:
    # Given a new process, When it shows the list
    code = "import sys; from local import cli; cli.main(['list']); print(*sorted(sys.modules), file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(answer.stderr.split())
    # Then neither the AWS client nor an image library nor the emulator was loaded
    assert "stacks.catalogue" in loaded
    assert not loaded & {"boto3", "botocore", "PIL", "numpy", "onnxruntime", "ministack", "psutil", "aws_cdk"}


def test_aws_settings_of_the_shell_do_not_get_in() -> None:
    # Given a shell full of AWS settings
    bogus = {"AWS_PROFILE": "nobody", "AWS_REGION": "eu-north-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    # When the doctor looks, Then it names them as ignored, and finds no problem
    answer = run("doctor", **bogus)
    assert answer.returncode == 0, answer.stdout
    (line,) = [line for line in answer.stdout.splitlines() if "AWS variables" in line]
    assert all(name in line for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"))
    assert "nobody" not in answer.stdout


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    # Given a reader that closes the pipe after a line, When the list is written into it
    command = f"{sys.executable} -m local list --json | head -1"
    answer = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # Then nobody complains
    assert answer.stdout == "[\n"
    assert answer.stderr == ""
    assert answer.returncode == 0


def test_any_python_finds_the_projects_own() -> None:
    # Given a Python that has none of the dependencies, and a project that is set up
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the environment of this run is not the project's .venv")
    # When it is used to call the command line
    answer = subprocess.run(
        [sys.executable, "-S", "-m", "local", "list", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # Then the project's Python answers
    assert json.loads(answer.stdout)
    assert answer.returncode == 0


def test_packages_that_the_shell_points_at_do_not_get_in(tmp_path: Path) -> None:
    # Given a shell whose PYTHONPATH has packages of the same names, but not of this project's versions
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the environment of this run is not the project's .venv")
    for name in ("typer", "boto3", "psutil", "rich"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')")
    # When the command line is called with a Python that is not the project's
    answer = subprocess.run(
        [sys.executable, "-S", "-m", "local", "list", "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Then the project's own packages answer
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)


def test_an_exit_that_no_command_asked_for_is_not_taken_for_success(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given something deep down that ends the process
    monkeypatch.setattr(cli, "_show_list", lambda chosen: sys.exit("the end"))
    # When a command meets it, Then it does not end as if all were well
    with pytest.raises(SystemExit, match="the end"):
        local("list")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_has_closed_are_done_without(closed: str) -> None:
    # Given a caller that has closed a stream, When a command runs
    command = f"{shlex.quote(sys.executable)} -m local list {closed}"
    answer = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    # Then it runs as ever
    assert (answer.returncode, answer.stderr) == (0, "")
    assert bool(answer.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_json_is_whole_in_any_encoding(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an output that knows ASCII only, When names that ASCII lacks are printed
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    monkeypatch.setattr(sys, "stdout", out)
    cli._print_json({"file": "Käthe 😺.jpg"})
    out.flush()
    # Then a reader gets them back
    assert isinstance(out.buffer, io.BytesIO)
    assert json.loads(out.buffer.getvalue()) == {"file": "Käthe 😺.jpg"}


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    # Given a terminal that knows ASCII only, When the list is shown
    answer = run("list", PYTHONIOENCODING="ascii")
    # Then nothing is lost but ornament
    assert answer.returncode == 0, answer.stderr
    assert all(architecture.id in answer.stdout for architecture in catalogue.ARCHITECTURES)
    assert answer.stdout.isascii()
    assert "?" not in answer.stdout
