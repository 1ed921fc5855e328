"""EventBridge Scheduler: calls come when they are due, as the target's role, and are not lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import (
    eventually,
    make_function,
    make_machine,
    make_queue,
    make_role,
    messages,
    unique,
)
from tests.local.sagemaking import job_role

PASS = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}


def schedule(cloud: LocalCloud, target: dict[str, Any], expression: str = "rate(1 hour)") -> str:
    """A schedule that is there until the cloud ends; returns its ARN."""
    arn: str = cloud.client("scheduler").create_schedule(
        Name=unique("schedule"),
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
    )["ScheduleArn"]
    return arn


def role_for(cloud: LocalCloud, *statements: dict[str, Any]) -> str:
    """A role that Scheduler may take on."""
    return job_role(cloud, *statements, service="scheduler.amazonaws.com")


def retire(cloud: LocalCloud, arn: str) -> None:
    """Delete a schedule."""
    cloud.client("scheduler").delete_schedule(Name=arn.rpartition("/")[2])


def forwarding(cloud: LocalCloud) -> tuple[str, str]:
    """A function that sends what it gets to a queue; the function's ARN and the queue's URL."""
    url, queue = make_queue(cloud)
    role = make_role(cloud, {"Action": "sqs:SendMessage", "Resource": queue})
    source = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        f"    boto3.client('sqs').send_message(QueueUrl='{url}', MessageBody=json.dumps(event))\n"
    )
    name = make_function(cloud, source, role)
    arn = cloud.client("lambda").get_function_configuration(FunctionName=name)["FunctionArn"]
    return arn, url


def test_a_function_is_called_when_it_is_due_with_what_was_asked_for(cloud: LocalCloud) -> None:
    # Given an hourly schedule, whose role may call a function that itself lets nobody in
    function, url = forwarding(cloud)
    role = role_for(cloud, {"Action": "lambda:InvokeFunction", "Resource": function})
    wanted = '{"time": "<aws.scheduler.scheduled-time>", "id": "<aws.scheduler.execution-id>"}'
    arn = schedule(cloud, {"Arn": function, "RoleArn": role, "Input": wanted})
    # When not quite an hour has passed, and then one
    cloud.control.clock_advance(3500)
    assert messages(cloud, url) == []
    cloud.control.clock_advance(120)
    # Then it was called once, and told when, and by which call
    found = eventually(lambda: messages(cloud, url))
    told = json.loads(found[0]["Body"])
    retire(cloud, arn)
    assert len(found) == 1
    assert told["time"].endswith(":00Z")
    assert len(told["id"]) == 36


def test_a_cron_expression_is_kept(cloud: LocalCloud) -> None:
    # Given a schedule for each full hour
    url, queue = make_queue(cloud)
    role = role_for(cloud, {"Action": "sqs:SendMessage", "Resource": queue})
    arn = schedule(cloud, {"Arn": queue, "RoleArn": role}, "cron(0 * * * ? *)")
    # When an hour passes, then it has come, with the default payload
    cloud.control.clock_advance(3600)
    found = eventually(lambda: messages(cloud, url))
    retire(cloud, arn)
    assert json.loads(found[0]["Body"])["resources"] == [arn]


@pytest.mark.parametrize("kind", ["lambda", "states", "sqs", "sagemaker"])
def test_a_schedule_whose_role_may_not_call_its_target_loses_nothing(cloud: LocalCloud, kind: str) -> None:
    # Given a target, and a role that may send dead letters only
    url, letters = make_queue(cloud)
    role = role_for(cloud, {"Action": "sqs:SendMessage", "Resource": letters})
    arn = schedule(cloud, {"Arn": target_of(cloud, kind), "RoleArn": role, "DeadLetterConfig": {"Arn": letters}})
    # When it is due
    cloud.control.clock_advance(3601)
    # Then the call is in the queue, and says why
    found = eventually(lambda: messages(cloud, url))
    retire(cloud, arn)
    attributes = {name: value["StringValue"] for name, value in found[0]["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
    assert attributes["SCHEDULE_ARN"] == arn


def target_of(cloud: LocalCloud, kind: str) -> str:
    """The ARN of something to call."""
    if kind == "lambda":
        return forwarding(cloud)[0]
    if kind == "states":
        return make_machine(cloud, make_role(cloud), PASS)
    if kind == "sqs":
        return make_queue(cloud)[1]
    return make_pipeline(cloud)


def make_pipeline(cloud: LocalCloud) -> str:
    """A pipeline that fails with the word that it was given; returns its ARN."""
    fail = {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Word"}}}
    parameters = [{"Name": "Word", "Type": "String", "DefaultValue": "none"}]
    arn: str = cloud.client("sagemaker").create_pipeline(
        PipelineName=unique("pipeline"),
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": [fail]}),
        RoleArn=job_role(cloud),
        ClientRequestToken="t" * 32,
    )["PipelineArn"]
    return arn


def test_pipelines_are_started_with_parameters_by_name_or_as_a_universal_target(cloud: LocalCloud) -> None:
    # Given a pipeline, and two schedules that start it, one by a universal target
    pipeline, sagemaker = make_pipeline(cloud), cloud.client("sagemaker")
    role = role_for(cloud, {"Action": "sagemaker:StartPipelineExecution", "Resource": pipeline})
    parameters = [{"Name": "Word", "Value": "templated"}]
    request = {
        "PipelineName": pipeline,
        "ClientRequestToken": "<aws.scheduler.execution-id>",
        "PipelineParameters": [{"Name": "Word", "Value": "universal"}],
    }
    arns = [
        schedule(
            cloud,
            {"Arn": pipeline, "RoleArn": role, "SageMakerPipelineParameters": {"PipelineParameterList": parameters}},
        ),
        schedule(
            cloud,
            {
                "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution",
                "RoleArn": role,
                "Input": json.dumps(request),
            },
        ),
    ]
    # When they are due
    cloud.control.clock_advance(3601)

    def words() -> set[str]:
        found = sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
        steps = [
            step
            for one in found
            for step in sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=one["PipelineExecutionArn"])[
                "PipelineExecutionSteps"
            ]
        ]
        return {str(step.get("FailureReason")) for step in steps}

    # Then both have
    assert eventually(lambda: words() == {"templated", "universal"})
    for arn in arns:
        retire(cloud, arn)


def test_a_role_must_let_the_scheduler_in(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role"):
        schedule(cloud, {"Arn": make_queue(cloud)[1], "RoleArn": make_role(cloud)})


def test_a_stacks_schedule_can_be_changed(cloud: LocalCloud) -> None:
    # Given a stack with a schedule
    formation, name = cloud.client("cloudformation"), unique("stack")
    target = {"Arn": make_queue(cloud)[1], "RoleArn": role_for(cloud)}

    def template(expression: str) -> str:
        properties = {
            "Name": name,
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        }
        return json.dumps({"Resources": {"S": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}})

    formation.create_stack(StackName=name, TemplateBody=template("rate(1 hour)"))
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    # When it is changed, then so is the schedule; when it is deleted, it is gone
    formation.update_stack(StackName=name, TemplateBody=template("rate(2 hours)"))
    formation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert cloud.client("scheduler").get_schedule(Name=name)["ScheduleExpression"] == "rate(2 hours)"
    formation.delete_stack(StackName=name)
    formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("scheduler").get_schedule(Name=name)


def test_a_schedule_that_is_switched_on_is_not_called_for_what_it_has_missed(cloud: LocalCloud) -> None:
    # Given a schedule that is off
    arn, url = forwarding(cloud)
    name = unique("schedule")
    asked = {
        "Name": name,
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn, "RoleArn": role_for(cloud, {"Action": "lambda:InvokeFunction", "Resource": arn})},
    }
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(**asked, State="DISABLED")
    # When hours pass, and it is switched on while the clock's sweep is still going round
    for _ in range(10):
        cloud.control.clock_advance(2 * 3600)
        scheduler.update_schedule(**asked, State="ENABLED")
        scheduler.update_schedule(**asked, State="DISABLED")
    scheduler.update_schedule(**asked, State="ENABLED")
    # Then it is called an hour later for the first time
    cloud.control.clock_advance(3601)
    assert eventually(lambda: messages(cloud, url))
    assert cloud.client("sqs").receive_message(QueueUrl=url).get("Messages", []) == []
    scheduler.delete_schedule(Name=name)
