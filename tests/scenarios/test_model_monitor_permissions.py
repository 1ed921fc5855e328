"""Notice when a model drifts: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from pipelines.deliveries.world import FEATURES, draw
from scenarios import model_monitor, training_pipeline
from tests.conftest import SharedStacks
from tests.local.emulated import last_sequence
from tests.scenarios.shop import MONITOR
from tests.scenarios.watcher import HOUR, Watcher, ended


@pytest.fixture
def watcher(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[Watcher]:
    watcher = Watcher.of(cloud, shared_stacks)
    with watcher.schedule("DISABLED"):
        watcher.pass_hours(3)
        watcher.clean()
        yield watcher
        watcher.clean()


def six_hundred(seed: int, *, shifted: bool = False) -> str:
    return str(draw(600, seed, shifted=shifted)[list(FEATURES)].to_csv(index=False, header=False))


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=MONITOR)


# What the managed variant holds and does not use here, beside what stacks/policy/grants.py says of the default.
ONLY_MANAGED = {
    ("JobRole", "kms:Decrypt"): "S3 asks for it where a report is so large that it goes up in parts",
}


@contextlib.contextmanager
def copy_of(watcher: Watcher, name: str, settings: dict[str, Any]) -> Iterator[tuple[Watcher, list[Life]]]:
    """Another monitor beside the shared one, and its life once the block has ended."""
    assembly = synthesize(MONITOR, settings={MONITOR: settings} if settings else None)
    logs = watcher.cloud.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
        # SageMaker's own, which the first job of an account makes.
        logs.delete_log_group(logGroupName="/aws/sagemaker/ProcessingJobs")
    since, lives = last_sequence(watcher.cloud), list[Life]()
    try:
        copy = Watcher(watcher.shop, name, deploy(watcher.cloud, assembly, name, artifact=MONITOR))
        yield copy, lives
        watcher.control.evaluate_alarms()
        grants = granted(watcher.cloud, name)
    finally:
        destroy(watcher.cloud, name)
    lives.append(Life(grants, watcher.control.decisions(since=since)))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(watcher: Watcher) -> None:
    # Given a copy of the stack whose own schedule has an hour judged, then one with labels
    with copy_of(watcher, f"life-monitor-{os.getpid()}", {}) as (copy, lives):
        hour = copy.hour()
        copy.traffic(7000, 1, body=six_hundred(7000))
        copy.pass_hours()
        copy.put_labels({"call-7000-0": [int(label) for label in draw(600, 7000)["claimed"]]})
        for judged in (hour, hour + HOUR):
            copy.control.clock_advance((judged + HOUR - copy.now()).total_seconds() + 21 * 60)
            (name,) = copy.until(partial(copy.jobs, judged), "the job")
            verdict = model_monitor.follow(copy.cloud, copy.outputs, judged, name)
            assert verdict.status == "JUDGED", verdict
            copy.published(judged + HOUR)
        assert verdict.drift["quality"]["labels"] == 600
        # And an hour that is asked for twice, a call and an event that no attempt can serve, and an alarm
        assert model_monitor.start(copy.cloud, copy.outputs, hour)["outcome"] == "already started"
        copy.call("StartMonitorFunctionName", {"time": "soon"})
        copy.call("PublishReportFunctionName", no_report(copy))
        copy.until(lambda: copy.letters() == 2, "the dead letters")
        with stopped_training(copy):
            raise_drift(copy)
    # When what it was granted is compared with what it did, Then there is nothing to mend
    report = lives[0].report()
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert used == {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}
    for role in ("JobRole", "StartMonitorRole", "PublishReportRole", "ScheduleRole", "RetrainRole"):
        assert any(name.startswith(role) for name in used), role
    assert {"cloudwatch.amazonaws.com", "events.amazonaws.com"} <= used


def no_report(watcher: Watcher) -> dict[str, Any]:
    """The event of a job whose report is not there."""
    outputs = {"Outputs": [{"S3Output": {"S3Uri": f"{watcher.outputs['ReportUri']}/none/"}}]}
    return {"detail": {"ProcessingJobStatus": "Completed", "ProcessingOutputConfig": outputs}}


def raise_drift(watcher: Watcher) -> None:
    for state in ("OK", "ALARM"):
        watcher.cloud.client("cloudwatch").set_alarm_state(
            AlarmName=watcher.outputs["DriftAlarmName"], StateValue=state, StateReason="as if two hours were so"
        )


@contextlib.contextmanager
def stopped_training(watcher: Watcher) -> Iterator[None]:
    """Waits for the one training that is started in the block, and stops it: that it works is shown elsewhere."""
    before = training_pipeline.executions(watcher.cloud, watcher.shop.training)
    yield

    def started() -> set[str]:
        return training_pipeline.executions(watcher.cloud, watcher.shop.training) - before

    (execution,) = watcher.until(started, "the training")
    sagemaker = watcher.cloud.client("sagemaker")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="a" * 32)
    described = sagemaker.describe_pipeline_execution
    watcher.until(
        lambda: described(PipelineExecutionArn=execution)["PipelineExecutionStatus"] == "Stopped", "the training's end"
    )


def test_the_managed_monitor_judges_the_hour_and_raises_the_same_alarm(watcher: Watcher) -> None:
    # Given the variant with Model Monitor's own schedule, whose alarm wants one bad hour
    settings = {"monitor": "managed", "bad_hours": 1, "watched_hours": 1, "retrain": False}
    with watcher.no_training(), copy_of(watcher, f"life-managed-{os.getpid()}", settings) as (copy, lives):
        sagemaker = copy.cloud.client("sagemaker")

        def executions() -> list[dict[str, Any]]:
            found = sagemaker.list_monitoring_executions(MonitoringScheduleName=copy.name)
            return list(found["MonitoringExecutionSummaries"])

        def ended(hours: int) -> dict[str, Any] | None:
            found = [one for one in executions() if one["MonitoringExecutionStatus"] not in ("Pending", "InProgress")]
            return found[0] if len(found) >= hours else None

        # When an hour of usual traffic is over, Then it is judged and has no violation
        copy.traffic(7000, 1, body=six_hundred(7000))
        copy.pass_hours()
        judged = copy.until(lambda: ended(1), "the first execution")
        assert judged["MonitoringExecutionStatus"] == "Completed", judged
        # When an hour of the changed world is over
        copy.traffic(7100, 1, body=six_hundred(7100, shifted=True))
        hour = copy.pass_hours()
        # Then its schedule has judged it, and found what has changed
        judged = copy.until(lambda: ended(2), "the second execution")
        assert judged["MonitoringExecutionStatus"] == "CompletedWithViolations", judged
        # And the report becomes the same metrics, and raises the same alarm, which tells its topic
        with copy.shop.told(copy.outputs["AlarmTopicArn"]) as told:
            assert copy.published(hour) == [0.0]
            assert copy.metric("Violations", hour)[0] > 0
            assert copy.metric("FeatureViolations", hour, "price") == [1.0]
            copy.pass_hours()
            assert copy.alarm() == "ALARM"
            assert any("DriftAlarm" in message for message in told())
        copy.call("PublishReportFunctionName", no_report(copy))
        copy.wait_for_letters()
    # And nothing was refused, and nothing granted in vain but what is told here
    report = lives[0].report()
    assert report.count(Status.MISSING) == 0
    unused = [unit for unit in report.units if unit.status is Status.UNUSED and not unit.acknowledged]
    assert {(unit.role[:-8], unit.action) for unit in unused} == set(ONLY_MANAGED)


STARTER = (
    "s3:ListBucket",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:DescribeModelPackage",
    "iam:PassRole",
    "sagemaker:CreateProcessingJob",
)


def test_without_any_permission_of_its_starter_an_hour_is_not_started_and_that_says_so(watcher: Watcher) -> None:
    # Given an hour with traffic
    watcher.traffic(7200, 1)
    hour = watcher.hour()
    for action in STARTER:
        # When it is asked for and the starter lacks a permission, Then that fails, which its alarm counts
        with watcher.without("StartMonitorRoleName", action), pytest.raises(RuntimeError, match="AccessDenied"):
            model_monitor.start(watcher.cloud, watcher.outputs, hour)
        assert watcher.jobs(hour) == {}, action
    # When it lacks what comes after the job was started, Then the job goes on, and the next call finds it
    with watcher.without("StartMonitorRoleName", "cloudwatch:PutMetricData"):
        with pytest.raises(RuntimeError, match="AccessDenied"):
            model_monitor.start(watcher.cloud, watcher.outputs, hour)
        assert len(watcher.jobs(hour)) == 1
    lookup = "sagemaker:DescribeProcessingJob"
    with watcher.without("StartMonitorRoleName", lookup), pytest.raises(RuntimeError, match="AccessDenied"):
        model_monitor.start(watcher.cloud, watcher.outputs, hour)
    # When all are back, Then the hour is judged, once
    assert watcher.judge().status == "JUDGED"
    assert len(watcher.jobs(hour)) == 1


def test_a_job_that_lost_a_permission_fails_and_is_counted_and_its_hour_is_judged_later(watcher: Watcher) -> None:
    # Given an hour with traffic
    watcher.traffic(7400, 1)
    hour = watcher.hour()
    for attempt, action in enumerate(("s3:GetObject", "s3:ListBucket", "kms:Decrypt", "s3:PutObject"), start=1):
        # When it is judged and the job's role lacks a permission, Then that attempt fails with a reason
        with watcher.without("JobRoleName", action):
            told = model_monitor.start(watcher.cloud, watcher.outputs, hour, again=True)
            assert told["job"].endswith(f"-{hour:%Y%m%d%H}" if attempt == 1 else f"-{attempt}")
            verdict = model_monitor.follow(watcher.cloud, watcher.outputs, hour, told["job"])
            assert (verdict.status, bool(verdict.reason)) == ("FAILED", True), action
        # And a metric says that nobody watched
        assert watcher.published(hour) == [1.0]
    # When the schedule comes to it, Then it was tried too often, and is left to an operator
    assert model_monitor.start(watcher.cloud, watcher.outputs, hour)["outcome"] == "given up"
    # When all are back and one asks, Then the hour is judged
    told = model_monitor.start(watcher.cloud, watcher.outputs, hour, again=True)
    assert model_monitor.follow(watcher.cloud, watcher.outputs, hour, told["job"]).status == "JUDGED"


def test_a_report_that_may_not_be_told_is_a_dead_letter(watcher: Watcher) -> None:
    # Given an hour that was judged
    watcher.traffic(7500, 1)
    event = ended(watcher, watcher.judge().job)
    later = watcher.pass_hours()
    # Without the key there is not even a letter: the queue has the same one.
    actions = ("s3:GetObject", "cloudwatch:PutMetricData")
    for letters, action in enumerate(actions, start=1):
        # When the event of its job comes and the publisher lacks a permission, Then the event is kept
        with watcher.without("PublishReportRoleName", action):
            watcher.call("PublishReportFunctionName", event)
            watcher.until(partial(lambda wanted: watcher.letters() == wanted, letters), f"the letter without {action}")
    assert watcher.metric("JobFailed", later) == []
    # When all are back and the letters redriven, Then the report is told
    assert watcher.redrive() == [watcher.arn("PublishReportFunctionName")] * len(actions)
    assert watcher.published(later) == [0.0]


def test_a_report_whose_function_lets_no_rule_in_is_a_dead_letter(watcher: Watcher) -> None:
    # Given a function whose policy lets the rule in no more
    functions, name = watcher.functions, watcher.outputs["PublishReportFunctionName"]
    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    (statement,) = policy["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    watcher.traffic(7600, 1)
    try:
        # When an hour's job has ended, Then the rule keeps its event
        model_monitor.start(watcher.cloud, watcher.outputs, watcher.hour())
        watcher.wait_for_letters()
    finally:
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        )
    # When it is redriven, Then it is told
    assert watcher.redrive() == [watcher.arn("PublishReportFunctionName")]
    assert watcher.published(watcher.hour()) == [0.0]


def test_a_schedule_that_may_not_call_leaves_a_dead_letter_and_the_next_hour_makes_up_for_it(watcher: Watcher) -> None:
    # Given a schedule whose role may not call the function
    watcher.traffic(7700, 1)
    hour = watcher.hour()
    with watcher.schedule("ENABLED"):
        with watcher.without("ScheduleRoleName", "lambda:InvokeFunction"):
            # When its time comes, Then its call is kept, and no job is started
            watcher.pass_hours()
            watcher.control.clock_advance(20 * 60)
            watcher.wait_for_letters()
            assert watcher.jobs(hour) == {}
        # When the role may again, Then the hour is judged with the next, without anybody's help
        watcher.pass_hours()
        watcher.control.clock_advance(20 * 60)
        (name,) = watcher.until(lambda: watcher.jobs(hour), "the job")
        assert model_monitor.follow(watcher.cloud, watcher.outputs, hour, name).status == "JUDGED"
    # And what was kept may be redriven all the same
    assert set(watcher.redrive()) == {watcher.arn("StartMonitorFunctionName")}
    assert list(watcher.jobs(hour)) == [name]


def test_drift_that_may_start_no_training_is_a_dead_letter_that_starts_it_later(watcher: Watcher) -> None:
    # Given a rule whose role may start nothing
    with watcher.without("RetrainRoleName", "states:StartExecution"):
        # When the drift alarm is raised, Then its event is kept
        raise_drift(watcher)
        watcher.wait_for_letters()
    # When it is redriven, Then one training is started
    with stopped_training(watcher):
        assert watcher.redrive() == [watcher.shop.training["StartArn"]]
    assert watcher.letters() == 0
