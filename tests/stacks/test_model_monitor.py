"""The stack of model-monitor: what an hour's job may see, what raises the alarm, and what the alarm starts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from docs import graph
from stacks.operate.model_monitor import ModelMonitorSettings
from stacks.policy import availability
from stacks.policy.template import Template
from tests.stacks.models import condition_of, resource_of, role_grants, synthesized
from tests.stacks.test_image_labeling import named, only

ARCHITECTURE = "model-monitor"


@pytest.fixture
def template() -> Template:
    return synthesized(ARCHITECTURE)


@pytest.fixture
def managed() -> Template:
    return synthesized(ARCHITECTURE, monitor="managed")


def rule(template: Template, name: str) -> dict[str, Any]:
    properties: dict[str, Any] = template.body["Resources"][name]["Properties"]
    return properties


def test_every_hour_is_told_the_time_for_which_it_was_planned(template: Template) -> None:
    # Given the schedule
    schedule = only(template, "AWS::Scheduler::Schedule")
    # Then it calls some minutes past the hour, when the captures of the hour before are written
    assert schedule["ScheduleExpression"] == "cron(20 * * * ? *)"
    # And an attempt that comes late means the same hour
    assert json.loads(schedule["Target"]["Input"]) == {"time": "<aws.scheduler.scheduled-time>"}
    # And a call that cannot be made is kept
    assert schedule["Target"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0].startswith("DeadLetters")


def test_the_job_reads_captures_labels_code_and_baselines_and_writes_reports(template: Template) -> None:
    # Given the role of the jobs, When its grants on buckets are read
    held = {
        (action, target.rpartition("}")[2] or target)
        for action, target in role_grants(template, "JobRole")
        if action in ("s3:GetObject", "s3:PutObject")
    }
    # Then they are these prefixes
    read = {target.rpartition('"]]}')[2] for action, target in held if action == "s3:GetObject"}
    assert {one.lstrip("/") for one in read} == {"captures/*", "code/*", "runs/*/baseline/baseline/*", "ground-truth/*"}
    assert {target.lstrip("/") for action, target in held if action == "s3:PutObject"} == {"reports/*"}
    # And it may ask SageMaker nothing
    assert not [action for action, _ in role_grants(template, "JobRole") if action.startswith("sagemaker:")]


def test_the_starter_starts_jobs_of_this_stack_with_this_role(template: Template) -> None:
    held = role_grants(template, "StartMonitorRole")
    jobs = {resource_of(target) for action, target in held if action == "sagemaker:CreateProcessingJob"}
    assert jobs == {"processing-job/${AWS::StackName}-*"}
    assert ("sagemaker:DescribeProcessingJob", next(t for a, t in held if a == "sagemaker:CreateProcessingJob")) in held
    assert condition_of(template, "StartMonitorRole", "iam:PassRole") == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    assert condition_of(template, "StartMonitorRole", "cloudwatch:PutMetricData") == {
        "StringEquals": {"cloudwatch:namespace": "ModelMonitor"}
    }


@pytest.mark.parametrize("monitor", ["own", "managed"])
def test_the_end_of_a_job_is_published_whoever_started_it(monitor: str) -> None:
    # Given either monitor
    template = synthesized(ARCHITECTURE, monitor=monitor)
    # Then the end of a job with the monitor's role calls the function that publishes
    ended = rule(template, "JobEnded")
    assert ended["EventPattern"]["detail-type"] == ["SageMaker Processing Job State Change"]
    assert ended["EventPattern"]["detail"]["ProcessingJobStatus"] == ["Completed", "Failed", "Stopped"]
    (role,) = ended["EventPattern"]["detail"]["RoleArn"]
    assert role["Fn::GetAtt"][0].startswith("JobRole")
    # And a report that cannot be told is kept: by the rule, and by the function
    assert ended["Targets"][0]["DeadLetterConfig"]
    config = rule(template, "PublishReportAttempts")
    assert config["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0].startswith("DeadLetters")


def test_the_alarm_wants_several_bad_hours_and_starts_a_training_once(template: Template) -> None:
    # Given the alarm
    alarm_id, alarm = named(template, "AWS::CloudWatch::Alarm", "DriftAlarm")
    # Then two of three hours with violations raise it, and a report that is published twice counts once
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"], alarm["Period"]) == (2, 3, 3600)
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("Violations", "Maximum", 0)
    # And an hour without a report neither raises nor clears it: each time that it is raised starts a training
    assert alarm["TreatMissingData"] == "ignore"
    # And being raised starts the training stack's state machine
    drifted = rule(template, "Drifted")
    assert drifted["EventPattern"]["resources"] == [{"Fn::GetAtt": [alarm_id, "Arn"]}]
    assert drifted["EventPattern"]["detail"] == {"state": {"value": ["ALARM"]}}
    (target,) = drifted["Targets"]
    assert "-StartArn" in json.dumps(target["Arn"])
    assert target["DeadLetterConfig"]
    assert {action for action, _ in role_grants(template, "RetrainRole")} == {"states:StartExecution"}


def test_a_training_is_started_only_if_wanted() -> None:
    template = synthesized(ARCHITECTURE, retrain=False)
    assert "Drifted" not in template.body["Resources"]
    assert not [name for name, _ in template.resources("AWS::IAM::Role") if name.startswith("Retrain")]


def test_every_alarm_tells_when_it_is_raised_and_when_it_clears(template: Template) -> None:
    alarms = [resource["Properties"] for _, resource in template.resources("AWS::CloudWatch::Alarm")]
    assert {alarm["MetricName"] for alarm in alarms} == {
        "Violations",
        "JobFailed",
        "Errors",
        "ApproximateNumberOfMessagesVisible",
    }
    assert all(alarm["AlarmActions"] == alarm["OKActions"] != [] for alarm in alarms)


def test_the_default_uses_nothing_that_is_closed(template: Template, managed: Template) -> None:
    # Given both variants
    # Then the default passes the check
    assert availability.check(template) == []
    # And the managed one is what the check refuses, with the date and what serves today
    messages = [problem.message for problem in availability.check(managed)]
    assert len(messages) == 2
    assert all("Model Monitor is closed to new accounts since 2026-07-30" in message for message in messages)
    assert all("a monitor job of one's own" in message for message in messages)


def test_the_managed_monitor_judges_the_same_captures_by_the_baseline_in_production(managed: Template) -> None:
    # Given the managed variant
    definition = only(managed, "AWS::SageMaker::DataQualityJobDefinition")
    # Then its baseline lies where the endpoint's stack keeps that of what serves
    baseline = definition["DataQualityBaselineConfig"]
    for kind in ("Constraints", "Statistics"):
        uri = json.dumps(baseline[f"{kind}Resource"]["S3Uri"])
        assert f"production/baseline/{kind.lower()}.json" in uri
    # And its job is isolated and encrypted, as ours is
    assert definition["NetworkConfig"] == {
        "EnableInterContainerTrafficEncryption": True,
        "EnableNetworkIsolation": True,
    }
    assert definition["JobResources"]["ClusterConfig"]["VolumeKmsKeyId"]
    assert definition["DataQualityJobOutputConfig"]["KmsKeyId"]
    # And its schedule takes the place of ours
    assert only(managed, "AWS::SageMaker::MonitoringSchedule")
    # And can be drawn: the schedule leads to the definition, and that to the job
    drawn = graph.read(managed.body)
    kinds = {node.id: node.kind for node in drawn.nodes}
    steps = {(kinds[edge.source], kinds[edge.target]) for edge in drawn.edges if edge.kind == "event"}
    assert ("Model Monitor schedule", "Model Monitor job definition") in steps
    assert ("Model Monitor job definition", "SageMaker workload") in steps
    assert not list(managed.resources("AWS::Scheduler::Schedule"))
    assert not [name for name, _ in managed.resources("AWS::Lambda::Function") if name.startswith("StartMonitor")]


@pytest.mark.parametrize(
    "settings",
    [{"monitor": "none"}, {"minute": 0}, {"bad_hours": 4}, {"label_days": 6}, {"instance_type": "t3"}, {"colour": 1}],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelMonitorSettings(**settings)  # type: ignore[arg-type]
