"""Stop what nobody uses: the deployed stack with machines in every condition, its schedule, faults and rights."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import PermissionReport, Status, compare, granted
from scenarios import cost_guard
from scenarios.cost_guard import look, standing
from tests import mutations
from tests.conftest import SharedStacks
from tests.local.emulated import eventually, last_sequence, subscribed
from tests.mutations import Expectation, Request
from tests.scenarios.removals import without

ARCHITECTURE = "cost-guard"


@pytest.fixture
def outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    return shared_stacks(ARCHITECTURE)


def told(read: Callable[[], list[str]]) -> list[dict[str, Any]]:
    return [json.loads(one) for one in read()]


def status(cloud: LocalCloud, name: str) -> str:
    return str(
        cloud.client("sagemaker").describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceStatus"]
    )


def test_what_is_idle_is_stopped_and_nothing_else_and_the_topic_is_told(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given machines at work, kept, silent and idle, and somebody who listens
    with subscribed(cloud, outputs["TopicArn"]) as read, standing(cloud, outputs) as (names, moment):
        before = sorted(one for one in names if "/" not in one)
        # When the guard looks, twice
        first, error = look(cloud, outputs, moment)
        second, again = look(cloud, outputs, moment)
        # Then the idle notebook and the idle app go, and a second look finds nothing more to stop
        assert (error, again) == ("", "")
        idle = {name for name, condition in names.items() if condition == "idle"}
        assert set(first["stopped"]) == idle
        assert any("/" in name for name in idle)
        assert second["stopped"] == []
        for name in before:
            assert (status(cloud, name) in ("Stopping", "Stopped")) == (name in idle)
        # Then the topic was told what was stopped and what could not be judged, and not what is all right
        heard: list[dict[str, Any]] = []

        def stopped() -> dict[str, Any] | None:
            heard.extend(told(read))
            return next((one for one in heard if "stopped" in one), None)

        message = eventually(stopped)
        assert message is not None
        assert set(message["stopped"]) == idle
        assert [names[one] for one in message["silent"]] == ["silent"]
        assert "active" not in message


def test_a_machine_whose_tags_cannot_be_read_is_left_alone_and_told(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given two idle notebooks, one with a keep-alive tag that is no date, one with a report that is none
    sagemaker = cloud.client("sagemaker")
    with standing(cloud, outputs, plan={"one": "idle", "two": "idle"}) as (names, moment):
        odd = [name for name in names if "/" not in name]
        for name, tag in zip(odd, ((cost_guard.KEEP_ALIVE_TAG, "soon"), (cost_guard.ACTIVITY_TAG, "yes")), strict=True):
            arn = sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceArn"]
            sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": tag[0], "Value": tag[1]}])
        # When the guard looks, Then it stops neither and says why
        answer, error = look(cloud, outputs, moment)
        assert (error, answer["unclear"], answer["silent"]) == ("", [odd[0]], [odd[1]])
        assert {status(cloud, name) for name in odd} == {"InService"}


def test_a_look_with_an_old_time_stops_nobody_who_has_come_back(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a notebook that was idle, and whose user has come back since
    sagemaker = cloud.client("sagemaker")
    with standing(cloud, outputs, plan={"back": "idle"}) as (names, moment):
        name = next(one for one in names if "/" not in one)
        arn = sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceArn"]
        later = moment + datetime.timedelta(minutes=1)
        sagemaker.add_tags(ResourceArn=arn, Tags=[cost_guard.report(later, later)])
        # When a call comes late, with the time for which it was planned, Then the notebook runs on
        answer, error = look(cloud, outputs, moment)
        assert (error, name in answer["active"], status(cloud, name)) == ("", True, "InService")


def test_who_comes_back_while_a_run_waits_for_the_next_report_is_left_alone(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given two notebooks that were idle by reports of a minute before the run
    sagemaker = cloud.client("sagemaker")
    with standing(cloud, outputs, plan={"back": "idle", "gone": "idle"}) as (names, moment):
        back, gone = (next(name for name in names if name.endswith(end)) for end in ("-back", "-gone"))
        arns = {
            name: sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceArn"]
            for name in (back, gone)
        }

        def write(name: str, active: datetime.datetime, reported: datetime.datetime) -> None:
            sagemaker.add_tags(ResourceArn=arns[name], Tags=[cost_guard.report(active, reported)])

        def looked_at() -> bool:
            asked = cloud.control.decisions(since=before)
            return {one["resource"] for one in asked if one["action"] == "sagemaker:ListTags"} >= set(arns.values())

        for name in arns:
            write(name, moment - cost_guard.AHEAD, moment - datetime.timedelta(minutes=1))
        before = last_sequence(cloud)
        with ThreadPoolExecutor(1) as pool:
            # When the run has looked at both, and the next reports say that one of the users is back
            run = pool.submit(look, cloud, outputs, moment)
            assert eventually(looked_at, 20)
            assert {status(cloud, name) for name in arns} == {"InService"}
            later = moment + datetime.timedelta(seconds=5)
            write(back, later, later)
            write(gone, moment - cost_guard.AHEAD, later)
            answer, error = run.result()
        # Then her notebook runs on, and the other is stopped
        assert (error, back in answer["active"], gone in answer["stopped"]) == ("", True, True)
        assert status(cloud, back) == "InService"
        assert status(cloud, gone) in ("Stopping", "Stopped")


def test_the_schedule_calls_it_with_the_time_for_which_it_was_planned(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given a silent machine, which each run tells of once it has stood for long enough
    every = 60 * int(outputs["RunEveryMinutes"])
    plan: dict[str, cost_guard.Condition] = {"silent": "silent"}
    with subscribed(cloud, outputs["TopicArn"]) as read, standing(cloud, outputs, plan=plan) as (names, _):
        silent = next(name for name, condition in names.items() if condition == "silent")

        def times() -> list[datetime.datetime]:
            found = [one["time"] for one in told(read) if silent in one.get("silent", ())]
            return [datetime.datetime.fromisoformat(one) for one in found]

        cloud.control.clock_advance(60 * int(outputs["IdleMinutes"]) + every)
        assert eventually(times, 20)
        # When the clock passes the next two times of the schedule, Then each call says its own, in whole minutes
        for _ in range(2):
            offset = cloud.control.clock_advance(every)
            due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
            (planned,) = eventually(times, 20)
            assert (planned.second, planned.utcoffset()) == (0, datetime.timedelta(0))
            assert datetime.timedelta(0) <= due - planned < datetime.timedelta(minutes=1, seconds=20)


@pytest.mark.parametrize("action", ["sagemaker:StopNotebookInstance", "sagemaker:ListTags"])
def test_without_a_permission_nothing_is_stopped_and_the_run_fails_and_once_it_is_back_it_goes_on(
    cloud: LocalCloud, outputs: dict[str, str], action: str
) -> None:
    # Given an idle machine, and a role that lost a permission
    with standing(cloud, outputs) as (names, moment):
        idle = next(name for name, condition in names.items() if condition == "idle" and "/" not in name)
        with without(cloud, outputs["FunctionRoleName"], action):
            # When the guard looks, Then it fails, for an alarm to tell, and the machine runs on
            _, error = look(cloud, outputs, moment)
            assert "could not be looked at or stopped" in error
            assert status(cloud, idle) == "InService"
        # When the permission is back, Then the next look stops it
        answer, error = look(cloud, outputs, moment)
        assert (error, idle in answer["stopped"]) == ("", True)


def test_a_machine_that_cannot_be_stopped_does_not_keep_the_others(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given an idle notebook and an idle app, When SageMaker fails each attempt to stop the notebook
    with standing(cloud, outputs) as (names, moment):
        cloud.control.faults_add(service="sagemaker", operation="StopNotebookInstance", kind="internal", times=3)
        _, error = look(cloud, outputs, moment)
        # Then the run fails, and the app is gone all the same
        assert "1 machines" in error
        app = next(name for name in names if "/" in name)
        assert cost_guard._app_status(cloud.client("sagemaker"), app) in ("Deleting", "Deleted")
        # When the service is back, Then the next look stops the notebook
        answer, error = look(cloud, outputs, moment)
        assert (error, len(answer["stopped"])) == ("", 1)


def test_a_throttled_service_is_asked_again(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given an idle notebook, When SageMaker throttles twice, Then it is stopped all the same
    with standing(cloud, outputs) as (_, moment):
        cloud.control.faults_add(service="sagemaker", operation="StopNotebookInstance", kind="throttle", times=2)
        answer, error = look(cloud, outputs, moment)
        assert (error, len(answer["stopped"])) == ("", 2)


def test_a_call_that_the_schedule_may_not_make_is_a_dead_letter(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a schedule whose role may not call, When its time comes, Then the call is in the queue that an alarm watches
    sqs = cloud.client("sqs")
    sqs.purge_queue(QueueUrl=outputs["DeadLetterQueueUrl"])
    with without(cloud, outputs["ScheduleRoleName"], "lambda:InvokeFunction"):

        def letters() -> list[Any]:
            cloud.control.clock_advance(60 * int(outputs["RunEveryMinutes"]))
            return list(sqs.receive_message(QueueUrl=outputs["DeadLetterQueueUrl"]).get("Messages", []))

        assert eventually(letters, 20)
    sqs.purge_queue(QueueUrl=outputs["DeadLetterQueueUrl"])


def test_each_alarm_is_raised_and_clears(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a quiet stack, When a run fails and a call of the schedule cannot be made
    sqs, alarms = cloud.client("sqs"), [outputs["ErrorsAlarmName"], outputs["NotCalledAlarmName"]]

    def states() -> list[Any]:
        found = cloud.control.evaluate_alarms()
        return [found[name] for name in alarms]

    sqs.purge_queue(QueueUrl=outputs["DeadLetterQueueUrl"])
    cloud.control.clock_advance(600)
    assert states() == ["OK", "OK"]
    with without(cloud, outputs["FunctionRoleName"], "sagemaker:ListNotebookInstances"):
        _, error = look(cloud, outputs, datetime.datetime.now(datetime.timezone.utc))
        assert "AccessDenied" in error
    sqs.send_message(QueueUrl=outputs["DeadLetterQueueUrl"], MessageBody="a call")
    cloud.control.clock_advance(60)
    # Then both are raised
    eventually(lambda: states() == ["ALARM", "ALARM"])
    # When nothing more fails and the letter is gone, Then both clear
    sqs.purge_queue(QueueUrl=outputs["DeadLetterQueueUrl"])
    cloud.control.clock_advance(300)
    eventually(lambda: states() == ["OK", "OK"])


def _until_quiet(cloud: LocalCloud, stack: str) -> None:
    """Until no run is under way: one that outlived the log group would ask for what it has no right to."""

    def quiet() -> bool:
        since = cloud.control.last_decision()
        time.sleep(0.5)
        # Other stacks of the cloud are never quiet.
        return not any(stack in (one["role"] or "") for one in cloud.control.decisions(since=since))

    eventually(quiet, 20)


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(cloud: LocalCloud) -> None:
    # Given a copy of the stack, When it is deployed, called by its schedule, driven and destroyed
    name = f"guard-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE)
    since = cloud.control.last_decision()
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        done = cost_guard.run(cloud, outputs)
        assert done.complete, done
        with subscribed(cloud, outputs["TopicArn"]) as read, standing(cloud, outputs):

            def called() -> list[Any]:
                cloud.control.clock_advance(60 * int(outputs["RunEveryMinutes"]))
                return told(read)

            eventually(called, 20)
        _until_quiet(cloud, name)
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
    report: PermissionReport = compare(grants, cloud.control.decisions(since=since), architecture=ARCHITECTURE)
    # Then nothing was refused, and every grant was used or is acknowledged
    assert report.problems == ()
    assert report.exercised
    assert report.count(Status.MISSING) == 0


# --- The policies, taken apart ---------------------------------------------------------------------------------------


def test_every_denial_and_every_condition_is_missed_when_it_goes(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given all policies of the stack, and what they must allow and refuse
    documents = mutations.of_stack(cloud, ARCHITECTURE)
    promises = list(expectations(cloud, outputs))
    assert mutations.wrong(promises, documents) == []
    assert sum(not one.allowed for one in promises) >= len(promises) // 2
    # When each denial and each condition is taken out, one by one, Then some promise is broken each time
    assert len(list(mutations.mutants(documents))) >= 7
    assert [str(mutant) for mutant in mutations.survivors(promises, documents)] == []


OWN, OTHER = LocalCloud.account, "999999999999"


def expectations(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[Expectation]:
    """What the policies promise, in words."""
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=[outputs["ErrorsAlarmName"]])["MetricAlarms"]
    (alarm,) = (one["AlarmArn"] for one in alarms)
    stranger = f"{alarm}-of-somebody"
    plain = {"aws:SecureTransport": "false"}
    everything = {"everything": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}
    somebody, function = (f"arn:aws:iam::{OWN}:role/{name}" for name in ("somebody", outputs["FunctionRoleName"]))
    dead_letters = "arn:aws:sqs:us-east-1:{}:{}".format(*outputs["DeadLetterQueueUrl"].split("/")[-2:])

    def on(policy: str, action: str, resource: str, principal: str, context: dict[str, str] | None = None) -> Any:
        request = Request(action, resource, principal, context or {})
        extra = everything if principal == somebody else {}

        def promise(name: str, *, allowed: bool) -> Expectation:
            return Expectation(name, allowed, request, resource=[policy], required="trust" in policy, extra=extra)

        return promise

    def told(principal: str, context: dict[str, str] | None = None) -> Any:
        return on("ReportsPolicy", "sns:Publish", outputs["TopicArn"], principal, context)

    def queue(action: str, context: dict[str, str] | None = None) -> Any:
        return on("DeadLettersPolicy", action, dead_letters, somebody, context)

    def trust(role: str, principal: str, context: dict[str, str] | None = None) -> Any:
        return on(f"{role}/trust", "sts:AssumeRole", f"arn:aws:iam::{OWN}:role/{role}", principal, context)

    yield told(somebody)("the topic is told by TLS", allowed=True)
    yield told(somebody, plain)("and not without", allowed=False)
    yield told("budgets.amazonaws.com", {"aws:SourceAccount": OWN})("a budget of the account speaks", allowed=True)
    yield told("budgets.amazonaws.com", {"aws:SourceAccount": OTHER})("another's does not", allowed=False)
    yield told("cloudwatch.amazonaws.com", {"aws:SourceArn": alarm})("an alarm of the stack speaks", allowed=True)
    yield told("cloudwatch.amazonaws.com", {"aws:SourceArn": stranger})("another does not", allowed=False)
    yield told("events.amazonaws.com", {"aws:SourceAccount": OWN})("nor another service", allowed=False)
    yield queue("sqs:ReceiveMessage")("dead letters are read by TLS", allowed=True)
    yield queue("sqs:ReceiveMessage", plain)("and not without", allowed=False)
    yield queue("sqs:SendMessage", plain)("nor sent", allowed=False)
    scheduler = "scheduler.amazonaws.com"
    yield trust("ScheduleRole", scheduler, {"aws:SourceAccount": OWN})("the schedule takes its role", allowed=True)
    yield trust("ScheduleRole", scheduler, {"aws:SourceAccount": OTHER})("another account's does not", allowed=False)
    yield trust("ScheduleRole", "lambda.amazonaws.com", {"aws:SourceAccount": OWN})("nor Lambda", allowed=False)
    yield trust("StopIdleRole", "lambda.amazonaws.com")("Lambda takes the function's role", allowed=True)
    yield trust("StopIdleRole", scheduler, {"aws:SourceAccount": OWN})("the schedule does not", allowed=False)
    sagemaker = f"arn:aws:sagemaker:us-east-1:{OWN}"
    for action, machine, allowed in (
        ("StopNotebookInstance", "notebook-instance/ml-mine", True),
        ("StopNotebookInstance", "notebook-instance/other", False),
        ("DeleteNotebookInstance", "notebook-instance/ml-mine", False),
        ("AddTags", "notebook-instance/ml-mine", False),
        ("DeleteApp", "app/d-1/somebody/JupyterLab/default", True),
        ("CreateApp", "app/d-1/somebody/JupyterLab/default", False),
    ):
        yield Expectation(
            f"the function: {action} of {machine}",
            allowed,
            Request(f"sagemaker:{action}", f"{sagemaker}:{machine}", function),
            identity=["StopIdleRole/inline/StopIdleRoleDefaultPolicy"],
        )
