"""What the tests of every architecture's alarms share: each kind of trouble raises its alarm and tells the topic, its
end clears it, and the same trouble elsewhere leaves it alone.

That it is the same trouble is shown by a twin: an alarm of the same definition that watches the other queue, function
or state machine instead, and is raised. An architecture's file holds its troubles, its fixture `story`, and:

    (
        test_every_alarm_of_the_stack_has_its_trouble,
        test_trouble_raises_its_alarm_and_its_end_clears_it,
        test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
    ) = checks_of(TROUBLES)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pytest

from local.cloud import LocalCloud
from local.control import Control
from tests.local.emulated import (
    ended,
    eventually,
    make_function,
    make_machine,
    make_queue,
    make_role,
    start,
    subscribed,
    unique,
)
from tests.scenarios.queues import Kind

# What, beside its dimension, makes an alarm.
DEFINITION = (
    "Namespace",
    "MetricName",
    "Statistic",
    "ExtendedStatistic",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
)
BREAKS = "def handler(event, context):\n    raise RuntimeError('as asked')\n"
NOTHING = b"neither a document nor a call"
FAILS = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail"}}}
WAITS = {"StartAt": "Wait", "TimeoutSeconds": 60, "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}

Alarm = Mapping[str, Any]
Look = Callable[[], list[dict[str, Any]]]


class StackDriver(Protocol):
    """What a story needs of whoever drives its stack."""

    cloud: LocalCloud
    control: Control
    outputs: Mapping[str, str]
    sqs: Any


Drives = TypeVar("Drives", bound=StackDriver)


class Story(Generic[Drives]):
    """What happens to a stack, and to other resources beside it. It begins in quiet: what others did is long over."""

    architecture: str

    def __init__(self, driver: Drives) -> None:
        self.driver = driver
        self.cloud = driver.cloud
        self.cloudwatch = driver.cloud.client("cloudwatch")
        self.functions = driver.cloud.client("lambda", retries={"total_max_attempts": 1})
        self.pass_minutes(10)

    def told_by(self, name: str) -> str:
        """The alarm that tells the topic of this one: itself, unless the stack has another to tell of several."""
        return name

    def pass_minutes(self, minutes: int, each: Callable[[], Any] = lambda: None) -> dict[str, str]:
        """`each` happens in every one of the minutes; returns the states of all alarms at their end."""
        for _ in range(minutes):
            each()
            self.driver.control.clock_advance(60)
        return self.driver.control.evaluate_alarms()

    def alarms(self) -> dict[str, Alarm]:
        """Every alarm of the deployed stack by its id in the template, as CloudWatch describes it."""
        formation = self.cloud.client("cloudformation")
        resources = formation.describe_stack_resources(StackName=self.architecture)["StackResources"]
        names = {
            one["LogicalResourceId"][:-8]: one["PhysicalResourceId"]
            for one in resources
            if one["ResourceType"] == "AWS::CloudWatch::Alarm"
        }
        found = self.cloudwatch.describe_alarms(AlarmNames=list(names.values()))["MetricAlarms"]
        described = {one["AlarmName"]: one for one in found}
        return {logical: described[name] for logical, name in names.items()}

    @contextmanager
    def told(self) -> Iterator[Look]:
        """What the stack's topic has told a queue that is subscribed to it, since the last look."""
        with subscribed(self.cloud, self.driver.outputs["AlarmTopicArn"]) as look:
            yield lambda: [json.loads(body) for body in look()]

    # --- the stack in trouble

    @contextmanager
    def no_concurrency_left(self, function: str) -> Iterator[None]:
        self.functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            self.pass_minutes(3, lambda: self.refused(function))
            yield
        finally:
            self.functions.delete_function_concurrency(FunctionName=function)

    def refused(self, function: str) -> None:
        with pytest.raises(self.functions.exceptions.TooManyRequestsException):
            self.functions.invoke(FunctionName=function, Payload=b"{}")

    @contextmanager
    def transitions_throttled(self) -> Iterator[None]:
        """Step Functions lets no execution go on."""
        rule = self.driver.control.faults_add(service="states", operation="StateTransition", kind="throttle")
        try:
            yield
        finally:
            self.driver.control.faults_clear(rule)
            self.driver.control.clock_advance(2)

    def wait_for_throttling(self) -> None:
        """Until an execution has been throttled once more. Seconds of the cloud's clock pass meanwhile."""

        def times() -> int:
            rules = self.driver.control.faults()
            return sum(rule["applied"] for rule in rules if rule["operation"] == "StateTransition")

        def once_more() -> bool:
            self.driver.control.clock_advance(1)
            return times() > before

        before = times()
        eventually(once_more)

    # --- the same trouble elsewhere; each returns the dimension under which it is measured

    def a_message_in_another_queue(self) -> str:
        url, arn = make_queue(self.cloud)
        self.driver.sqs.send_message(QueueUrl=url, MessageBody="somebody else's")
        self.pass_minutes(1)
        return arn.rpartition(":")[2]

    def a_message_that_waits_in_another_queue(self) -> str:
        name = self.a_message_in_another_queue()
        self.pass_minutes(20)
        return name

    def another_function_that_breaks(self) -> str:
        name = make_function(self.cloud, BREAKS, make_role(self.cloud))
        assert "FunctionError" in self.functions.invoke(FunctionName=name, Payload=b"{}")
        self.pass_minutes(1)
        return name

    def another_function_that_is_refused(self) -> str:
        name = make_function(self.cloud, BREAKS, make_role(self.cloud))
        self.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        self.pass_minutes(3, lambda: self.refused(name))
        return name

    def another_machine_that_fails(self) -> str:
        machine = make_machine(self.cloud, make_role(self.cloud), FAILS)
        assert ended(self.cloud, start(self.cloud, machine))["status"] == "FAILED"
        self.pass_minutes(1)
        return machine

    def another_machine_that_times_out(self) -> str:
        machine = make_machine(self.cloud, make_role(self.cloud), WAITS)
        execution = start(self.cloud, machine)
        states = self.cloud.client("stepfunctions")
        # Its time begins with its first state.
        eventually(lambda: len(states.get_execution_history(executionArn=execution)["events"]) > 1)
        self.driver.control.clock_advance(61)
        assert ended(self.cloud, execution)["status"] == "TIMED_OUT"
        self.pass_minutes(1)
        return machine

    def another_machine_that_is_slowed_down(self) -> str:
        machine = make_machine(self.cloud, make_role(self.cloud), FAILS)
        with self.transitions_throttled():
            execution = start(self.cloud, machine)
            self.pass_minutes(3, self.wait_for_throttling)
        ended(self.cloud, execution)
        return machine


class WorkflowDriver(StackDriver, Protocol):
    """Who drives a stack with a state machine."""

    states: Any

    def upload(self, body: bytes, /) -> Any: ...
    def row(self, uploaded: Any, /) -> Mapping[str, Any] | None: ...
    def wait_for(self, uploaded: Any, status: str, /, *, hurry: bool = ...) -> Mapping[str, Any]: ...
    def start_again(self, uploaded: Any, /) -> None: ...
    def until(self, found: Callable[[], Any], what: str, /) -> Any: ...
    def empty(self) -> bool: ...
    def wait_for_letters(self, kind: Kind, /) -> list[dict[str, Any]]: ...
    def redrive(self, output: str, /) -> None: ...
    def resting(self, kind: Kind, /) -> int: ...
    def leap(self, kind: Kind, /) -> bool: ...


Works = TypeVar("Works", bound=WorkflowDriver)


class WorkflowStory(Story[Works]):
    """What happens to a stack with a state machine that is fed by two queues: of uploads, and of jobs that ended.

    Where any upload will do, it is one that is rejected at first sight.
    """

    # The function that first looks at an upload, and the one that hears of jobs.
    looks: str
    hears: str

    def __init__(self, driver: Works) -> None:
        # What other tests have left may come to its end, or to a reminder, when much time passes.
        machine = driver.outputs["StateMachineArn"]
        pages = driver.states.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in [one["executionArn"] for page in pages for one in page["executions"]]:
            driver.states.stop_execution(executionArn=execution)
        super().__init__(driver)

    def without(self, function: str, action: str) -> AbstractContextManager[None]:
        """Takes an action away from the role of a function ("Intake")."""
        raise NotImplementedError

    def tell_of_a_job(self) -> None:
        """Puts a message into the queue of ended jobs, about one that nobody waits for."""
        raise NotImplementedError

    # --- executions

    def wait_until_none_runs(self) -> None:
        running = {"stateMachineArn": self.driver.outputs["StateMachineArn"], "statusFilter": "RUNNING"}
        self.driver.until(lambda: not self.driver.states.list_executions(**running)["executions"], "its end")

    @contextmanager
    def an_upload_that_fails(self) -> Iterator[None]:
        with self.without(self.looks, "s3:GetObjectVersion"):
            uploaded = self.driver.upload(NOTHING)
            self.driver.wait_for(uploaded, "FAILED", hurry=True)
            # The row is written before the execution ends, and its end is what is measured.
            self.wait_until_none_runs()
        self.pass_minutes(1)
        yield
        self.driver.start_again(uploaded)
        self.driver.until(lambda: (self.driver.row(uploaded) or {}).get("status") == "REJECTED", "the second attempt")

    @contextmanager
    def an_execution_that_outlives_its_limit(self) -> Iterator[None]:
        """By being slowed down for so long: each state by itself has a limit that is reached long before."""
        machine = self.driver.outputs["StateMachineArn"]
        definition = json.loads(self.driver.states.describe_state_machine(stateMachineArn=machine)["definition"])
        with self.transitions_throttled():
            self.driver.upload(NOTHING)
            self.wait_for_throttling()
            self.driver.control.clock_advance(definition["TimeoutSeconds"] + 1)
            self.wait_until_none_runs()
        self.pass_minutes(1)
        yield

    @contextmanager
    def executions_that_are_slowed_down(self) -> Iterator[None]:
        with self.transitions_throttled():
            uploaded = self.driver.upload(NOTHING)
            self.pass_minutes(3, self.wait_for_throttling)
            yield
        self.driver.wait_for(uploaded, "REJECTED", hurry=True)

    # --- messages

    @contextmanager
    def an_upload_that_cannot_be_started(self) -> Iterator[None]:
        with self.without("Intake", "states:StartExecution"):
            uploaded = self.driver.upload(NOTHING)
            self.driver.wait_for_letters("Upload")
        self.pass_minutes(1)
        yield
        self.driver.redrive("UploadDeadLetterQueueUrl")
        self.driver.wait_for(uploaded, "REJECTED")

    @contextmanager
    def a_job_whose_end_is_not_heard(self) -> Iterator[None]:
        with self.without(self.hears, "dynamodb:UpdateItem"):
            self.tell_of_a_job()
            self.driver.wait_for_letters("Job")
        self.pass_minutes(1)
        yield
        self.driver.redrive("JobDeadLetterQueueUrl")
        self.driver.until(self.driver.empty, "the queues to be empty")

    # --- functions

    @contextmanager
    def an_intake_that_is_killed(self) -> Iterator[None]:
        fault = {"service": "states", "operation": "StartExecution", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        uploaded = self.driver.upload(NOTHING)
        self.driver.until(lambda: self.driver.resting("Upload"), "the worker to be killed")
        self.pass_minutes(1)
        yield
        self.driver.leap("Upload")
        self.driver.wait_for(uploaded, "REJECTED")

    @contextmanager
    def a_listener_that_is_killed(self) -> Iterator[None]:
        fault = {"service": "dynamodb", "operation": "UpdateItem", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        self.tell_of_a_job()
        self.driver.until(lambda: self.driver.resting("Job"), "the worker to be killed")
        self.pass_minutes(1)
        yield
        self.driver.leap("Job")
        self.driver.until(self.driver.empty, "the queues to be empty")

    def too_many_uploads(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.outputs["IntakeFunctionName"])

    def too_many_ends_of_jobs(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.outputs[f"{self.hears}FunctionName"])


Told_contra = TypeVar("Told_contra", bound=Story[Any], contravariant=True)


@dataclass(frozen=True)
class Trouble(Generic[Told_contra]):
    """`here` is in effect within the block and over after it; `elsewhere` is the same to something else.

    The latter returns the value of the alarm's dimension, or those of several by name.
    """

    here: Callable[[Told_contra], Any]
    elsewhere: Callable[[Told_contra], str | Mapping[str, str]]


def checks_of(troubles: Mapping[str, Trouble[Any]]) -> tuple[Callable[..., None], ...]:
    """The tests of the stack whose alarms have these troubles. They ask for its `story`."""

    def every_alarm_has_its_trouble(story: Story[Any]) -> None:
        # Given the alarms of the deployed stack, When they are compared with the troubles that are told here
        # Then each has one
        assert set(story.alarms()) == set(troubles)

    @pytest.mark.parametrize("alarm", troubles)
    def raised_and_cleared(story: Story[Any], alarm: str) -> None:
        # Given a stack in which all is quiet
        name = story.alarms()[alarm]["AlarmName"]
        with story.told() as told:
            assert story.pass_minutes(1)[name] == "OK"
            told()

            # When its trouble comes
            with troubles[alarm].here(story):
                # Then it is raised, and the topic tells
                assert story.pass_minutes(0)[name] == "ALARM"
                assert ("ALARM", story.told_by(name)) in {(one["NewStateValue"], one["AlarmName"]) for one in told()}

            # And when the trouble is over, it clears, and the topic tells
            assert story.pass_minutes(10)[name] == "OK"
            assert ("OK", story.told_by(name)) in {(one["NewStateValue"], one["AlarmName"]) for one in told()}

    @pytest.mark.parametrize("alarm", troubles)
    def left_alone(story: Story[Any], alarm: str) -> None:
        # Given a stack in which all is quiet
        described = story.alarms()[alarm]
        assert story.pass_minutes(1)[described["AlarmName"]] == "OK"

        # When another queue, function or state machine meets the trouble that this alarm watches for
        other = troubles[alarm].elsewhere(story)

        # Then an alarm of the same definition on that other one is raised, and the stack's is not
        twin = unique("twin")
        names = [dimension["Name"] for dimension in described["Dimensions"]]
        values = other if isinstance(other, Mapping) else {names[0]: other}
        assert set(values) == set(names)
        story.cloudwatch.put_metric_alarm(
            AlarmName=twin,
            Dimensions=[{"Name": name, "Value": values[name]} for name in names],
            **{part: described[part] for part in DEFINITION if part in described},
        )
        try:
            states = story.pass_minutes(0)
        finally:
            story.cloudwatch.delete_alarms(AlarmNames=[twin])
        assert (states[twin], states[described["AlarmName"]]) == ("ALARM", "OK")

    return every_alarm_has_its_trouble, raised_and_cleared, left_alone
