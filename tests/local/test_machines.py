"""What state machines tell about themselves: logs, traces, metrics, events; and how a template makes them."""

import json
import secrets
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from local import permissions
from local.cloud import LocalCloud
from local.emulator.authorise import PATHS
from tests.local.emulated import (
    decided,
    ended,
    eventually,
    execute,
    last_sequence,
    make_machine,
    make_queue,
    make_role,
    messages,
    one_task,
    policy,
    set_permissions,
    start,
    unique,
)

LOG_ACTIONS = PATHS["state-machine-logs"].actions
TRACE_ACTIONS = PATHS["state-machine-traces"].actions
PASS: dict[str, Any] = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
FAIL: dict[str, Any] = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "so"}}}


def logging_to(cloud: LocalCloud, level: str, *, data: bool) -> tuple[str, dict[str, Any]]:
    """A new log group, and the configuration that logs to it."""
    group = f"/test/{unique('states')}"
    cloud.client("logs").create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:{cloud.region}:{cloud.account}:log-group:{group}:*"
    destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}]
    return group, {"level": level, "includeExecutionData": data, "destinations": destinations}


def logged(cloud: LocalCloud, group: str) -> list[dict[str, Any]]:
    """All that is in a group."""
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    return [json.loads(event["message"]) for event in events]


@pytest.mark.parametrize("data", [True, False])
def test_an_execution_is_logged_with_or_without_its_data(cloud: LocalCloud, data: bool) -> None:
    # Given a state machine that logs everything, with or without data
    group, configuration = logging_to(cloud, "ALL", data=data)
    role = make_role(cloud, {"Action": list(LOG_ACTIONS), "Resource": "*"})
    machine = make_machine(cloud, role, PASS, loggingConfiguration=configuration)
    # When it runs, Then its events are in the group, in order
    done = execute(cloud, machine, {"secret": "abc"})
    found = logged(cloud, group)
    assert [item["type"] for item in found] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert {item["execution_arn"] for item in found} == {done["executionArn"]}
    assert [item["id"] for item in found] == ["1", "2", "3", "4"]
    # And the data is in them only when it was asked for
    assert ("abc" in json.dumps(found)) is data


@pytest.mark.parametrize(("level", "types"), [
    ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
    ("FATAL", ["ExecutionFailed"]),
    ("OFF", []),
])  # fmt: skip
def test_a_level_chooses_what_is_logged(cloud: LocalCloud, level: str, types: list[str]) -> None:
    # Given a state machine with a level, When it succeeds and fails, Then only what the level names is logged
    group, configuration = logging_to(cloud, level, data=False)
    role = make_role(cloud, {"Action": list(LOG_ACTIONS), "Resource": "*"})
    for definition in (PASS, FAIL):
        execute(cloud, make_machine(cloud, role, definition, loggingConfiguration=configuration))
    assert [item["type"] for item in logged(cloud, group)] == types


@pytest.mark.parametrize("action", LOG_ACTIONS)
def test_logging_needs_each_permission(cloud: LocalCloud, action: str) -> None:
    # Given a role that lacks one of the permissions, When a state machine with logs is made, Then it is refused
    group, configuration = logging_to(cloud, "ALL", data=False)
    others = {"Action": [item for item in LOG_ACTIONS if item != action], "Resource": "*"}
    role = make_role(cloud, others)
    with pytest.raises(ClientError, match="not authorized to access the Log Destination"):
        make_machine(cloud, role, PASS, loggingConfiguration=configuration)
    # When the role has it, Then it is made; when it is taken away again, it runs and logs nothing
    set_permissions(cloud, role, others, {"Action": action, "Resource": "*"})
    machine = make_machine(cloud, role, PASS, loggingConfiguration=configuration)
    set_permissions(cloud, role, others)
    before = last_sequence(cloud)
    assert execute(cloud, machine)["status"] == "SUCCEEDED"
    assert logged(cloud, group) == []
    assert [item["allowed"] for item in decided(cloud, action, "*", before)] == [False]


def segments(cloud: LocalCloud, machine: str) -> list[dict[str, Any]]:
    """The segments that a state machine's executions left."""
    xray, now = cloud.client("xray"), time.time() + cloud.control.clock()
    pages = xray.get_paginator("get_trace_summaries").paginate(StartTime=now - 600, EndTime=now + 60)
    traces = [summary["Id"] for page in pages for summary in page["TraceSummaries"]]
    found = [
        json.loads(segment["Document"])
        for index in range(0, len(traces), 5)
        for trace in xray.batch_get_traces(TraceIds=traces[index : index + 5])["Traces"]
        for segment in trace["Segments"]
    ]
    return [segment for segment in found if segment["name"] == machine.rpartition(":")[2]]


@pytest.mark.parametrize("action", TRACE_ACTIONS)
def test_a_trace_needs_each_permission(cloud: LocalCloud, action: str) -> None:
    # Given a traced state machine whose role lacks one of the permissions
    others = {"Action": [item for item in TRACE_ACTIONS if item != action], "Resource": "*"}
    role = make_role(cloud, others)
    machine = make_machine(cloud, role, PASS, tracingConfiguration={"enabled": True})
    # When it runs, Then there is no trace; with the permission, there is
    assert cloud.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["tracingConfiguration"] == {
        "enabled": True
    }
    execute(cloud, machine)
    assert segments(cloud, machine) == []
    set_permissions(cloud, role, others, {"Action": action, "Resource": "*"})
    execution = execute(cloud, machine)["executionArn"]
    (segment,) = eventually(lambda: segments(cloud, machine))
    assert segment["aws"]["execution_arn"] == execution


@pytest.mark.parametrize(("enabled", "sampled", "traced"), [(False, 1, True), (True, 1, True), (True, 0, False)])
def test_a_trace_that_is_handed_on_is_continued_if_it_is_sampled(
    cloud: LocalCloud, enabled: bool, sampled: int, traced: bool
) -> None:
    # Given a state machine that may trace, When whoever starts it hands on a trace
    role = make_role(cloud, {"Action": list(TRACE_ACTIONS), "Resource": "*"})
    machine = make_machine(cloud, role, PASS, tracingConfiguration={"enabled": enabled})
    trace = f"1-{int(time.time() + cloud.control.clock()):08x}-{secrets.token_hex(12)}"
    started = cloud.client("stepfunctions").start_execution(
        stateMachineArn=machine, traceHeader=f"Root={trace};Sampled={sampled}"
    )
    ended(cloud, started["executionArn"])
    # Then the execution is part of it, also where it has no tracing of its own; but not of one that is not sampled
    if traced:
        assert [segment["trace_id"] for segment in eventually(lambda: segments(cloud, machine))] == [trace]
    else:
        assert segments(cloud, machine) == []


def test_without_tracing_and_without_a_trace_there_is_none(cloud: LocalCloud) -> None:
    # Given a state machine that could trace, When it is not told to, Then it does not
    machine = make_machine(cloud, make_role(cloud, {"Action": list(TRACE_ACTIONS), "Resource": "*"}), PASS)
    execute(cloud, machine)
    assert segments(cloud, machine) == []


def total(cloud: LocalCloud, machine: str, name: str, statistic: str = "Sum") -> float:
    """A metric of a state machine, over all that there is."""
    now = time.time() + cloud.control.clock()
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/States",
        MetricName=name,
        Dimensions=[{"Name": "StateMachineArn", "Value": machine}],
        StartTime=now - 86_400 * 2,
        EndTime=now + 120,
        Period=86_400 * 3,
        Statistics=[statistic],
    )["Datapoints"]
    return float(points[0][statistic]) if points else 0.0


def test_executions_are_counted(cloud: LocalCloud) -> None:
    # Given a state machine that succeeds, fails, waits or times out by its input
    wait = {"Type": "Wait", "Seconds": 7_200, "End": True}
    choices = [
        {"Variable": "$.do", "StringEquals": word, "Next": state} for word, state in (("fail", "F"), ("wait", "W"))
    ]
    definition = {
        "StartAt": "C",
        "TimeoutSeconds": 3_600,
        "States": {
            "C": {"Type": "Choice", "Choices": choices, "Default": "P"},
            "F": FAIL["States"]["F"],
            "P": PASS["States"]["P"],
            "W": wait,
        },
    }
    machine = make_machine(cloud, make_role(cloud), definition)
    states = cloud.client("stepfunctions")
    # When it is run in each way
    execute(cloud, machine, {"do": "succeed"})
    execute(cloud, machine, {"do": "fail"})
    stopped, late = (start(cloud, machine, {"do": "wait"}) for _ in range(2))
    states.stop_execution(executionArn=stopped)
    time.sleep(0.3)
    cloud.control.clock_advance(3_601)
    eventually(lambda: states.describe_execution(executionArn=late)["status"] == "TIMED_OUT")
    # Then each is counted, and the time is in milliseconds
    names = ("Started", "Succeeded", "Failed", "Aborted", "TimedOut")
    eventually(lambda: total(cloud, machine, "ExecutionsTimedOut") == 1)
    assert [total(cloud, machine, f"Executions{name}") for name in names] == [4, 1, 1, 1, 1]
    assert total(cloud, machine, "ExecutionTime", "Maximum") >= 3_600_000


@pytest.mark.parametrize("retried", [False, True], ids=["a state", "a retry"])
def test_a_throttled_transition_waits_and_is_counted(cloud: LocalCloud, retried: bool) -> None:
    # Given a state machine that pauses before its second state, or before it tries again what it may not do
    pause = {"Type": "Wait", "Seconds": 3_600, "Next": "Last"}
    definition: dict[str, Any] = {"StartAt": "Pause", "States": {"Pause": pause, "Last": {"Type": "Succeed"}}}
    if retried:
        again = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3_600, "MaxAttempts": 1}
        message = {"TopicArn": f"arn:aws:sns:{cloud.region}:{cloud.account}:none", "Message": "m"}
        definition = one_task("arn:aws:states:::sns:publish", message, Retry=[again])
    machine = make_machine(cloud, make_role(cloud), definition)
    client = cloud.client("stepfunctions")
    execution = start(cloud, machine)

    def last() -> str:
        events = client.get_execution_history(executionArn=execution, reverseOrder=True)["events"]
        return str(events[0]["type"])

    assert total(cloud, machine, "ExecutionThrottled") == 0
    eventually(lambda: last() == ("TaskFailed" if retried else "WaitStateEntered"))
    time.sleep(0.1)
    # When Step Functions throttles what comes after its pause, three times
    rule = cloud.control.faults_add(service="states", operation="StateTransition", kind="throttle", times=3)
    cloud.control.clock_advance(3_600)
    # Then it stays where it is, and each time is counted
    for times in (1, 2, 3):
        eventually(lambda times=times: total(cloud, machine, "ExecutionThrottled") == times)  # type: ignore[misc]
        assert client.describe_execution(executionArn=execution)["status"] == "RUNNING"
        cloud.control.clock_advance(1)
    # and then it goes on
    assert ended(cloud, execution)["status"] == ("FAILED" if retried else "SUCCEEDED")
    assert total(cloud, machine, "ExecutionThrottled") == 3
    cloud.control.faults_clear(rule)


def test_a_change_of_status_is_an_event(cloud: LocalCloud) -> None:
    # Given a rule on the failed executions of a state machine
    machine = make_machine(cloud, make_role(cloud), FAIL)
    url, arn = make_queue(cloud)
    document = policy({"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn})
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["FAILED", "TIMED_OUT", "ABORTED"]},
    }
    events, name = cloud.client("events"), unique("rule")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    # When one fails, Then the rule's queue has it
    execution = execute(cloud, machine)["executionArn"]
    (message,) = eventually(lambda: messages(cloud, url))
    detail = json.loads(message["Body"])["detail"]
    assert (detail["executionArn"], detail["status"], detail["error"]) == (execution, "FAILED", "Mine")


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_an_execution_under_a_customer_key_needs_the_key(cloud: LocalCloud, action: str) -> None:
    # Given a state machine under a customer's key, whose role lacks one of the two uses
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    document = policy({"Principal": root, "Action": "kms:*", "Resource": "*"})
    key = cloud.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
    both = ("kms:GenerateDataKey", "kms:Decrypt")
    role = make_role(cloud, {"Action": [item for item in both if item != action], "Resource": key})
    encryption = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": key, "kmsDataKeyReusePeriodSeconds": 300}
    machine = make_machine(cloud, role, PASS, encryptionConfiguration=encryption)
    # When it runs, Then it fails; when the role may use the key, it does not
    failed = execute(cloud, machine)
    assert (failed["status"], action in failed["cause"]) == ("FAILED", True)
    set_permissions(cloud, role, {"Action": list(both), "Resource": key})
    assert execute(cloud, machine)["status"] == "SUCCEEDED"


# --- Templates


def deploy(cloud: LocalCloud, resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, str]:
    """Make a stack; returns its outputs. Raises botocore's WaiterError when it cannot be made."""
    cloudformation, name = cloud.client("cloudformation"), unique("stack")
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}


def role_resource(service: str, *statements: dict[str, Any]) -> dict[str, Any]:
    """An AWS::IAM::Role with one inline policy."""
    trust = json.loads(policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole"}))
    policies = [{"PolicyName": "p", "PolicyDocument": json.loads(policy(*statements))}] if statements else []
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, "Policies": policies}}


def machine_resources(*statements: dict[str, Any]) -> dict[str, Any]:
    """A state machine with all that it can have, and what it needs."""
    return {
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        "Role": role_resource("states.amazonaws.com", *statements),
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "DefinitionString": json.dumps(
                    {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": "${Word}", "End": True}}}
                ),
                "DefinitionSubstitutions": {"Word": {"Ref": "AWS::StackName"}},
                "LoggingConfiguration": {
                    "Level": "ALL",
                    "IncludeExecutionData": False,
                    "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Group", "Arn"]}}}],
                },
                "TracingConfiguration": {"Enabled": True},
            },
        },
    }


def test_a_template_makes_a_state_machine_with_logs_and_traces(cloud: LocalCloud) -> None:
    # Given a template with a state machine, substitutions, logs and traces, When it is deployed
    allowed = {"Action": [*LOG_ACTIONS, *TRACE_ACTIONS], "Resource": "*"}
    outputs = deploy(cloud, machine_resources(allowed), {"Machine": {"Ref": "Machine"}, "Group": {"Ref": "Group"}})
    # Then the state machine has all of it, and logs
    found = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=outputs["Machine"])
    assert found["tracingConfiguration"] == {"enabled": True}
    assert (found["loggingConfiguration"]["level"], found["loggingConfiguration"]["includeExecutionData"]) == (
        "ALL",
        False,
    )
    assert execute(cloud, outputs["Machine"])["output"].startswith("stack-")
    assert "ExecutionSucceeded" in [item["type"] for item in logged(cloud, outputs["Group"])]


def test_what_a_state_machine_uses_is_counted_as_its_roles(cloud: LocalCloud) -> None:
    # Given a deployed state machine whose role may log, trace, and something that nobody wants
    name = unique("stack")
    allowed = {"Action": [*LOG_ACTIONS, *TRACE_ACTIONS, "xray:GetGroups"], "Resource": "*"}
    cloudformation = cloud.client("cloudformation")
    template = {"Resources": machine_resources(allowed)}
    before = last_sequence(cloud)
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    machine = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Machine")
    execute(cloud, machine["StackResourceDetail"]["PhysicalResourceId"])
    # When its permissions are looked at, Then all that was used is used, and the rest is not
    found = permissions.report(cloud, name, cloud.control.decisions(before))
    status = {unit.action: unit.status.value for unit in found.units if unit.role == "Role"}
    assert status == {**dict.fromkeys((*LOG_ACTIONS, *TRACE_ACTIONS), "used"), "xray:GetGroups": "unused"}


def test_a_template_whose_role_may_not_log_is_refused(cloud: LocalCloud) -> None:
    # Given the same template with a role that may do nothing, When it is deployed, Then it fails
    with pytest.raises(WaiterError):
        deploy(cloud, machine_resources(), {})
