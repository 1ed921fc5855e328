"""The stack of cost-guard: what would let it stop a stranger's machine, or stop one by an old look."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.operate.cost_guard import CostGuardSettings
from stacks.policy.template import Template, read
from tests.stacks.models import synthesized
from tests.stacks.test_image_labeling import grants, only
from tests.unit import test_cost_guard_idle as simulated

OF_SAGEMAKER = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}"


@pytest.fixture
def guard(assemblies: dict[str, Path]) -> Template:
    found = next(template for template in read(assemblies["aws"]) if template.architecture == "cost-guard")
    return replace(found, body=copy.deepcopy(found.body))


def test_the_function_may_stop_what_is_under_the_prefix_and_apps_and_write_no_tag(guard: Template) -> None:
    # Given the default stack, When the grants of its function are read, Then they are these
    notebooks, apps = f"{OF_SAGEMAKER}:notebook-instance/ml-*", f"{OF_SAGEMAKER}:app/d-*"
    assert grants(guard, "StopIdle") == {
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
        ("logs:CreateLogStream", "<StopIdleLogs>"),
        ("logs:PutLogEvents", "<StopIdleLogs>"),
        ("sagemaker:ListNotebookInstances", "*"),
        ("sagemaker:ListApps", "*"),
        ("sagemaker:ListTags", notebooks),
        ("sagemaker:ListTags", apps),
        ("sagemaker:StopNotebookInstance", notebooks),
        ("sagemaker:DescribeApp", apps),
        ("sagemaker:DeleteApp", apps),
        ("sns:Publish", "<Reports>"),
    }


def test_a_call_says_for_when_it_was_planned_and_is_never_repeated(guard: Template) -> None:
    # Given the schedule and what Lambda does after a failure, Then neither looks again with an old time
    target = only(guard, "AWS::Scheduler::Schedule")["Target"]
    assert target["Input"] == '{"time": "<aws.scheduler.scheduled-time>"}'
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert only(guard, "AWS::Lambda::EventInvokeConfig")["MaximumRetryAttempts"] == 0


def test_what_is_simulated_is_what_is_deployed(guard: Template) -> None:
    # Given the default stack, When its limits are read, Then days of random work were simulated with just these
    function = only(guard, "AWS::Lambda::Function")
    variables = function["Environment"]["Variables"]
    assert int(variables["IDLE_MINUTES"]) * 60 == simulated.LIMITS.idle.total_seconds() == simulated.HOUR
    assert int(variables["REPORT_AGE_MINUTES"]) * 60 == simulated.LIMITS.report_age.total_seconds()
    assert int(variables["WAIT_SECONDS"]) == simulated.WAIT
    assert only(guard, "AWS::Scheduler::Schedule")["ScheduleExpression"] == f"rate({simulated.RUN_EVERY // 60} minutes)"
    # and a run that waits as long as it may has time left for its machines, and ends before the soonest next one
    assert simulated.WAIT + 120 < function["Timeout"] <= 5 * 60


def test_the_budget_tells_of_what_is_spent_and_of_what_will_be() -> None:
    # Given a budget of two steps, When the template is read, Then each step tells, and so does the forecast
    template = synthesized("cost-guard", monthly_budget=500, budget_steps=[60, 90])
    budget = only(template, "AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 500, "Unit": "USD"}
    told = [one["Notification"] for one in budget["NotificationsWithSubscribers"]]
    assert [(one["NotificationType"], one["Threshold"]) for one in told] == [
        ("ACTUAL", 60),
        ("ACTUAL", 90),
        ("FORECASTED", 100),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_minutes": 14},
        {"run_every_minutes": 61},
        {"report_age_minutes": 1},
        {"notebook_prefix": ""},
        {"notebook_prefix": "*"},
        {"monthly_budget": 0},
        {"budget_steps": []},
        {"budget_steps": [80, 50]},
        {"budget_steps": [50, 50]},
        {"budget_steps": [0]},
        {"alarm_email": "nobody"},
        {"unknown": 1},
    ],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CostGuardSettings(**settings)
