"""Label every uploaded image: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone. That it is the same trouble is shown by a twin: an alarm of the same
definition that watches the other queue or function instead, and is raised.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import ARCHITECTURE
from tests.local.emulated import make_function, make_queue, make_role, messages, policy, unique
from tests.scenarios.driver import Driver

# What, beside its dimension, makes an alarm.
DEFINITION = (
    "Namespace",
    "MetricName",
    "Statistic",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
)
BREAKS = "def handler(event, context):\n    raise RuntimeError('as asked')\n"


class Story:
    """What happens to the stack, and to other resources beside it."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.cloud = driver.cloud
        self.cloudwatch = driver.cloud.client("cloudwatch")
        self.functions = driver.cloud.client("lambda", retries={"total_max_attempts": 1})

    def pass_minutes(self, minutes: int, each: Callable[[], Any] = lambda: None) -> dict[str, str]:
        """`each` happens in every one of the minutes; returns the states of all alarms at their end."""
        for _ in range(minutes):
            each()
            self.driver.control.clock_advance(60)
        return self.driver.control.evaluate_alarms()

    # --- the stack in trouble

    @contextmanager
    def an_image_that_cannot_be_labelled(self) -> Iterator[None]:
        key = self.driver.key()
        self.driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="internal")
        version = self.driver.upload(key)
        self.driver.wait_for_dead_letter(key)
        self.pass_minutes(1)
        yield
        self.driver.control.faults_clear()
        self.driver.redrive()
        self.driver.wait_for(key, version, hurry=True)

    @contextmanager
    def images_that_wait(self) -> Iterator[None]:
        with self.driver.poller_off():
            self.driver.upload(self.driver.key())
            self.pass_minutes(20)
            yield
        self.driver.wait_until_empty()

    @contextmanager
    def a_worker_that_is_killed(self) -> Iterator[None]:
        fault = {"service": "rekognition", "operation": "DetectLabels", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        key = self.driver.key()
        version = self.driver.upload(key)
        self.driver.until(self.driver.resting, "the worker to be killed")
        # The minute that passes is one of the cloud's clock, not of the clock that the next worker will read.
        self.driver.expire_claims()
        self.pass_minutes(1)
        yield
        self.driver.wait_for(key, version, hurry=True)

    @contextmanager
    def no_concurrency_left(self) -> Iterator[None]:
        function = self.driver.function
        self.functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            self.pass_minutes(3, lambda: self.refused(function))
            yield
        finally:
            self.functions.delete_function_concurrency(FunctionName=function)

    def refused(self, function: str) -> None:
        with pytest.raises(self.functions.exceptions.TooManyRequestsException):
            self.functions.invoke(FunctionName=function, Payload=b"{}")

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


@dataclass(frozen=True)
class Trouble:
    """`here` is in effect within the block and over after it; `elsewhere` is the same to something else."""

    here: Callable[[Story], Any]
    elsewhere: Callable[[Story], str]


TROUBLES = {
    "DeadLettersAlarm": Trouble(Story.an_image_that_cannot_be_labelled, Story.a_message_in_another_queue),
    "QueueAgeAlarm": Trouble(Story.images_that_wait, Story.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(Story.a_worker_that_is_killed, Story.another_function_that_breaks),
    "ThrottlesAlarm": Trouble(Story.no_concurrency_left, Story.another_function_that_is_refused),
}


@pytest.fixture
def story(driver: Driver) -> Story:
    """A story that begins in quiet: whatever other tests did is long over."""
    story = Story(driver)
    story.pass_minutes(10)
    return story


@pytest.fixture
def alarms(story: Story) -> dict[str, dict[str, Any]]:
    """Every alarm of the deployed stack by its id in the template, as CloudWatch describes it."""
    formation = story.cloud.client("cloudformation")
    resources = formation.describe_stack_resources(StackName=ARCHITECTURE)["StackResources"]
    names = {
        one["LogicalResourceId"][:-8]: one["PhysicalResourceId"]
        for one in resources
        if one["ResourceType"] == "AWS::CloudWatch::Alarm"
    }
    found = story.cloudwatch.describe_alarms(AlarmNames=list(names.values()))["MetricAlarms"]
    described = {one["AlarmName"]: one for one in found}
    return {logical: described[name] for logical, name in names.items()}


@pytest.fixture
def told(story: Story) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the stack's topic has told a queue that is subscribed to it, since the last look."""
    url, arn = make_queue(story.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    story.driver.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns, topic = story.cloud.client("sns"), story.driver.outputs["AlarmTopicArn"]
    raw = {"RawMessageDelivery": "true"}
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw, ReturnSubscriptionArn=True
    )["SubscriptionArn"]

    def look() -> list[dict[str, Any]]:
        found = messages(story.cloud, url)
        for message in found:
            story.driver.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    yield look
    sns.unsubscribe(SubscriptionArn=subscription)
    story.driver.sqs.delete_queue(QueueUrl=url)


def test_every_alarm_of_the_stack_has_its_trouble(alarms: dict[str, dict[str, Any]]) -> None:
    # Given the alarms of the deployed stack, When they are compared with the troubles that are told here
    # Then each has one
    assert set(alarms) == set(TROUBLES)


@pytest.mark.parametrize("alarm", TROUBLES)
def test_trouble_raises_its_alarm_and_its_end_clears_it(
    story: Story, alarms: dict[str, dict[str, Any]], told: Callable[[], list[dict[str, Any]]], alarm: str
) -> None:
    # Given a stack in which all is quiet
    name = alarms[alarm]["AlarmName"]
    assert story.pass_minutes(1)[name] == "OK"
    told()

    # When its trouble comes
    with TROUBLES[alarm].here(story):
        # Then it is raised, and the topic tells
        assert story.pass_minutes(0)[name] == "ALARM"
        assert ("ALARM", name) in {(one["NewStateValue"], one["AlarmName"]) for one in told()}

    # And when the trouble is over, it clears, and the topic tells
    assert story.pass_minutes(10)[name] == "OK"
    assert ("OK", name) in {(one["NewStateValue"], one["AlarmName"]) for one in told()}


@pytest.mark.parametrize("alarm", TROUBLES)
def test_the_same_trouble_elsewhere_leaves_the_alarm_alone(
    story: Story, alarms: dict[str, dict[str, Any]], alarm: str
) -> None:
    # Given a stack in which all is quiet
    described = alarms[alarm]
    assert story.pass_minutes(1)[described["AlarmName"]] == "OK"

    # When another queue or function meets the trouble that this alarm watches for
    other = TROUBLES[alarm].elsewhere(story)

    # Then an alarm of the same definition on that other one is raised, and the stack's is not
    twin = unique("twin")
    (dimension,) = described["Dimensions"]
    story.cloudwatch.put_metric_alarm(
        AlarmName=twin,
        Dimensions=[{"Name": dimension["Name"], "Value": other}],
        **{part: described[part] for part in DEFINITION if part in described},
    )
    try:
        states = story.pass_minutes(0)
    finally:
        story.cloudwatch.delete_alarms(AlarmNames=[twin])
    assert (states[twin], states[described["AlarmName"]]) == ("ALARM", "OK")
