"""Executions of state machines: tokens, time, retries, ends and quotas."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.cdk import apart, task_response_statements
from tests.local.emulated import (
    client_as,
    decided,
    ended,
    eventually,
    execute,
    last_sequence,
    make_function,
    make_machine,
    make_queue,
    make_role,
    messages,
    one_task,
    start,
    unique,
)

FAILING = "def handler(event, context):\n    raise KeyError('broken')\n"


def history(cloud: LocalCloud, execution: str) -> list[str]:
    """The types of an execution's events."""
    pages = cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event["type"] for page in pages for event in page["events"]]


def eventually_counted(cloud: LocalCloud, execution: str, kind: str, count: int) -> None:
    """Wait until an execution has so many events of a type."""
    eventually(lambda: history(cloud, execution).count(kind) == count)


# --- Tokens


class Waiting:
    """An execution that has sent its token to a queue and waits."""

    def __init__(self, cloud: LocalCloud, **fields: Any) -> None:
        self.cloud = cloud
        url, arn = make_queue(cloud)
        body = {"token.$": "$$.Task.Token", "word.$": "$.word"}
        role = make_role(cloud, {"Action": "sqs:SendMessage", "Resource": arn})
        definition = one_task(
            "arn:aws:states:::sqs:sendMessage.waitForTaskToken", {"QueueUrl": url, "MessageBody": body}, **fields
        )
        self.machine = make_machine(cloud, role, definition)
        self.execution = start(cloud, self.machine, {"word": "hello"})
        (message,) = eventually(lambda: messages(cloud, url))
        sent = json.loads(message["Body"])
        assert sent["word"] == "hello"
        self.token = sent["token"]

    def error_of(self, client: Any, call: str, **arguments: Any) -> str:
        """The code of what an answer is refused with."""
        with pytest.raises(ClientError) as raised:
            getattr(client, call)(taskToken=self.token, **arguments)
        return str(raised.value.response["Error"]["Code"])


def test_a_task_is_answered_by_whom_cdk_grants_it_for_its_state_machine(cloud: LocalCloud) -> None:
    # Given waiting executions of two state machines, a role for each with what CDK's `grant_task_response` gives it for
    # that one, and a role with nothing
    waiting, other = Waiting(cloud), Waiting(cloud)
    mine, foreign = (
        client_as(cloud, make_role(cloud, *granted), "stepfunctions")
        for granted in apart(task_response_statements, [waiting.machine, other.machine])
    )
    nobody = client_as(cloud, make_role(cloud), "stepfunctions")
    # When those answer the first who may not, Then each kind of answer is denied, and the task still waits
    before = last_sequence(cloud)
    for client in (foreign, nobody):
        assert waiting.error_of(client, "send_task_success", output="{}") == "AccessDeniedException"
        assert waiting.error_of(client, "send_task_failure") == "AccessDeniedException"
        assert waiting.error_of(client, "send_task_heartbeat") == "AccessDeniedException"
    assert cloud.client("stepfunctions").describe_execution(executionArn=waiting.execution)["status"] == "RUNNING"
    # When each answers its own, Then its execution ends with what it said
    mine.send_task_heartbeat(taskToken=waiting.token)
    mine.send_task_success(taskToken=waiting.token, output='{"approved": true}')
    assert json.loads(ended(cloud, waiting.execution)["output"]) == {"approved": True}
    foreign.send_task_heartbeat(taskToken=other.token)
    foreign.send_task_failure(taskToken=other.token, error="Rejected")
    assert ended(cloud, other.execution)["error"] == "Rejected"
    # And every decision names the state machine
    for answer, machine in (("Success", waiting.machine), ("Heartbeat", waiting.machine), ("Failure", other.machine)):
        found = decided(cloud, f"states:SendTask{answer}", machine, before)
        refused = 2 if machine == waiting.machine else 0
        assert [(item["resource"], item["allowed"]) for item in found] == [(machine, False)] * refused + [
            (machine, True)
        ]
    # And the token is used up, for every kind of answer
    assert waiting.error_of(mine, "send_task_success", output="{}") == "TaskTimedOut"
    assert waiting.error_of(mine, "send_task_failure") == "TaskTimedOut"
    assert waiting.error_of(mine, "send_task_heartbeat") == "TaskTimedOut"


def test_what_is_no_token_or_no_json_is_refused(cloud: LocalCloud) -> None:
    # Given a waiting execution
    waiting = Waiting(cloud)
    states = cloud.client("stepfunctions")
    # When the answer is not JSON or too long, Then it is refused and the task still waits
    assert waiting.error_of(states, "send_task_success", output="{") == "InvalidOutput"
    long = json.dumps("x" * 262_144)
    assert waiting.error_of(states, "send_task_success", output=long) == "ValidationException"
    # When the token is nonsense, Then it is invalid, whoever sends it
    nobody = client_as(cloud, make_role(cloud), "stepfunctions")
    for client in (states, nobody):
        with pytest.raises(ClientError) as raised:
            client.send_task_success(taskToken="nonsense", output="{}")
        assert raised.value.response["Error"]["Code"] == "InvalidToken"
    # When it fails by its token, Then the execution has that error
    states.send_task_failure(taskToken=waiting.token, error="Rejected", cause="by hand")
    failed = ended(cloud, waiting.execution)
    assert (failed["error"], failed["cause"]) == ("Rejected", "by hand")


def test_a_task_without_an_answer_or_a_heartbeat_times_out(cloud: LocalCloud) -> None:
    # Given a task that waits an hour, if it hears of its worker every ten minutes
    waiting = Waiting(cloud, TimeoutSeconds=3600, HeartbeatSeconds=600)
    states = cloud.client("stepfunctions")
    # When it does, Then it waits; when it does not, Then it fails
    cloud.control.clock_advance(500)
    states.send_task_heartbeat(taskToken=waiting.token)
    cloud.control.clock_advance(500)
    time.sleep(0.3)
    assert states.describe_execution(executionArn=waiting.execution)["status"] == "RUNNING"
    cloud.control.clock_advance(101)
    assert ended(cloud, waiting.execution)["error"] == "States.HeartbeatTimeout"
    assert waiting.error_of(states, "send_task_success", output="{}") == "TaskTimedOut"


def test_a_task_has_so_much_time_as_its_path_says_and_a_catch_may_follow(cloud: LocalCloud) -> None:
    # Given a waiting task whose time comes from its input, and a state for what is late
    url, arn = make_queue(cloud)
    role = make_role(cloud, {"Action": "sqs:SendMessage", "Resource": arn})
    task = one_task(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"},
        TimeoutSecondsPath="$.seconds",
        Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Late", "ResultPath": "$.error"}],
    )
    task["States"]["Late"] = {"Type": "Succeed"}
    execution = start(cloud, make_machine(cloud, role, task), {"seconds": 90})
    eventually(lambda: messages(cloud, url))
    # When that time is over, Then the execution goes on there
    cloud.control.clock_advance(91)
    done = ended(cloud, execution)
    assert json.loads(done["output"]) == {"seconds": 90, "error": {"Error": "States.Timeout", "Cause": ""}}
    assert "TaskTimedOut" in history(cloud, execution)


def test_a_function_that_fails_does_not_leave_its_task_waiting(cloud: LocalCloud) -> None:
    # Given a function that gets the token and fails
    function = make_function(cloud, FAILING, make_role(cloud))
    role = make_role(cloud, {"Action": "lambda:InvokeFunction", "Resource": "*"})
    definition = one_task(
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        {"FunctionName": function, "Payload": {"token.$": "$$.Task.Token"}},
    )
    # When the execution runs, Then it fails with the function's error
    failed = execute(cloud, make_machine(cloud, role, definition))
    assert (failed["status"], failed["error"]) == ("FAILED", "KeyError")
    assert json.loads(failed["cause"])["errorMessage"] == "'broken'"


def test_a_waiting_execution_can_be_stopped(cloud: LocalCloud) -> None:
    # Given an execution that waits for its token
    waiting = Waiting(cloud, Retry=[{"ErrorEquals": ["States.ALL"]}])
    states = cloud.client("stepfunctions")
    # When it is stopped, Then it is over: no answer counts, nothing is tried again, and the history has ended
    states.stop_execution(executionArn=waiting.execution, error="Enough", cause="by hand")
    stopped = ended(cloud, waiting.execution)
    assert (stopped["status"], stopped["error"], stopped["cause"]) == ("ABORTED", "Enough", "by hand")
    assert waiting.error_of(states, "send_task_success", output="{}") == "TaskTimedOut"
    time.sleep(0.3)
    assert history(cloud, waiting.execution)[-1] == "ExecutionAborted"


# --- Time


def test_an_execution_has_so_much_time_as_its_definition_says(cloud: LocalCloud) -> None:
    # Given an execution that waits a day and has an hour
    wait = {"Type": "Wait", "Seconds": 86_400, "End": True}
    role = make_role(cloud)
    machine = make_machine(cloud, role, {"StartAt": "W", "TimeoutSeconds": 3600, "States": {"W": wait}})
    execution = start(cloud, machine)
    eventually_counted(cloud, execution, "WaitStateEntered", 1)
    time.sleep(0.3)
    # When the hour is over, Then it has timed out
    cloud.control.clock_advance(3601)
    assert ended(cloud, execution)["status"] == "TIMED_OUT"
    assert history(cloud, execution)[-1] == "ExecutionTimedOut"


def test_a_wait_ends_when_the_clock_says_so(cloud: LocalCloud) -> None:
    # Given an execution that waits a day
    wait = {"Type": "Wait", "Seconds": 86_400, "End": True}
    machine = make_machine(cloud, make_role(cloud), {"StartAt": "W", "States": {"W": wait}})
    execution = start(cloud, machine, {"a": 1})
    eventually_counted(cloud, execution, "WaitStateEntered", 1)
    time.sleep(0.3)
    # When the day is over, Then it goes on, and its own times say a day
    cloud.control.clock_advance(86_401)
    done = ended(cloud, execution)
    assert done["status"] == "SUCCEEDED"
    assert (done["stopDate"] - done["startDate"]).total_seconds() >= 86_400


@pytest.mark.parametrize(
    ("retry", "moves"),
    [
        # 10 s, then 30 s
        ({"IntervalSeconds": 10, "BackoffRate": 3, "MaxAttempts": 2}, (10, 30)),
        # 10 s, then 15 s instead of 30 s
        ({"IntervalSeconds": 10, "BackoffRate": 3, "MaxAttempts": 2, "MaxDelaySeconds": 15}, (10, 15)),
    ],
)
def test_a_retry_waits_longer_each_time(cloud: LocalCloud, retry: dict[str, Any], moves: tuple[int, ...]) -> None:
    # Given a task that always fails and is tried again
    task = one_task(
        "arn:aws:states:::aws-sdk:sqs:getQueueUrl",
        {"QueueName": unique("none")},
        Retry=[{"ErrorEquals": ["Sqs.QueueDoesNotExistException"], **retry}],
    )
    role = make_role(cloud, {"Action": "sqs:GetQueueUrl", "Resource": "*"})
    execution = start(cloud, make_machine(cloud, role, task))
    for count, seconds in enumerate(moves, start=1):
        eventually_counted(cloud, execution, "TaskFailed", count)
        # The wait begins right after the event.
        time.sleep(0.3)
        # When less than the interval has passed, Then nothing happens; when it has, Then it is tried again
        cloud.control.clock_advance(seconds - 4)
        time.sleep(0.2)
        assert history(cloud, execution).count("TaskScheduled") == count
        cloud.control.clock_advance(4)
        eventually_counted(cloud, execution, "TaskScheduled", count + 1)
    assert ended(cloud, execution)["error"] == "Sqs.QueueDoesNotExistException"


def test_a_retry_with_full_jitter_waits_no_longer_than_its_interval(cloud: LocalCloud) -> None:
    # Given a task that fails once and is tried again at some time within 1000 s
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1000, "MaxAttempts": 1, "JitterStrategy": "FULL"}
    task = one_task("arn:aws:states:::aws-sdk:sqs:getQueueUrl", {"QueueName": unique("none")}, Retry=[retry])
    role = make_role(cloud, {"Action": "sqs:GetQueueUrl", "Resource": "*"})
    execution = start(cloud, make_machine(cloud, role, task))
    eventually_counted(cloud, execution, "TaskFailed", 1)
    time.sleep(0.3)
    # When that time is over, Then it has been
    cloud.control.clock_advance(1000)
    assert ended(cloud, execution)["status"] == "FAILED"
    assert history(cloud, execution).count("TaskScheduled") == 2


# --- States with states inside


def test_a_branch_that_fails_ends_the_others(cloud: LocalCloud) -> None:
    # Given two branches, one of which waits for a day while the other fails
    branches = [
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86_400, "End": True}}},
        {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "so"}}},
    ]
    parallel = {"Type": "Parallel", "Branches": branches, "End": True}
    machine = make_machine(cloud, make_role(cloud), {"StartAt": "P", "States": {"P": parallel}})
    # When it runs, Then it fails at once with that error
    failed = execute(cloud, machine)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Mine", "so")


def test_a_map_works_on_so_many_items_at_once(cloud: LocalCloud) -> None:
    # Given a map over five items, two at once, that waits a minute for each
    states = {
        "W": {"Type": "Wait", "Seconds": 60, "Next": "Out"},
        "Out": {"Type": "Pass", "Parameters": {"square.$": "States.MathAdd($.item, 100)"}, "End": True},
    }
    mapped = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 2,
        "ItemSelector": {"item.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "W", "States": states},
        "ResultSelector": {"all.$": "$[*].square"},
        "ResultPath": "$.result",
        "End": True,
    }
    machine = make_machine(cloud, make_role(cloud), {"StartAt": "M", "States": {"M": mapped}})
    execution = start(cloud, machine, {"items": [1, 2, 3, 4, 5]})
    # When a minute passes, Then two more begin
    for begun in (2, 4, 5):
        eventually_counted(cloud, execution, "MapIterationStarted", begun)
        time.sleep(0.2)
        assert history(cloud, execution).count("MapIterationStarted") == begun
        cloud.control.clock_advance(60)
    # And the results are in the order of the items
    done = json.loads(ended(cloud, execution)["output"])
    assert done["result"] == {"all": [101, 102, 103, 104, 105]}


def test_jsonata_speaks_to_services_too(cloud: LocalCloud) -> None:
    # Given a state machine in JSONata that assigns what a service answers and works on it in two branches
    url, arn = make_queue(cloud)
    role = make_role(cloud, {"Action": ["sqs:GetQueueAttributes", "sqs:SendMessage"], "Resource": arn})
    ask = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:getQueueAttributes",
        "Arguments": {"QueueUrl": "{% $states.input.url %}", "AttributeNames": ["QueueArn"]},
        "Assign": {"arn": "{% $states.result.Attributes.QueueArn %}"},
        "Next": "Both",
    }

    def branch(expression: str) -> dict[str, Any]:
        return {"StartAt": "B", "States": {"B": {"Type": "Pass", "Output": expression, "End": True}}}

    both = {
        "Type": "Parallel",
        "Branches": [branch("{% $arn %}"), branch("{% $states.input.word & '!' %}")],
        "Arguments": {"word": "hello"},
        "Output": {"arn": "{% $states.result[0] %}", "word": "{% $states.result[1] %}"},
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Ask", "States": {"Ask": ask, "Both": both}}
    # When it runs, Then both are in its output
    done = execute(cloud, make_machine(cloud, role, definition), {"url": url})
    assert done["output"] == {"arn": arn, "word": "hello!"}, done
