"""Insights from texts: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; see the alarms of image-labeling for how that is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.local.emulated import make_queue, messages, policy, unique
from tests.scenarios.test_image_labeling_alarms import DEFINITION, Story
from tests.scenarios.text_driver import ARCHITECTURE, SMALL, TextDriver


class TextStory(Story):
    """What happens to the stack; what happens beside it is told by `Story`."""

    driver: TextDriver

    @contextmanager
    def a_text_that_cannot_be_analysed(self) -> Iterator[None]:
        text_id = self.driver.text_id()
        self.driver.control.faults_add(service="comprehend", operation="BatchDetectSentiment", kind="internal")
        self.driver.send_text(text_id)
        self.driver.wait_for_dead_letter(text_id)
        self.pass_minutes(1)
        yield
        self.driver.control.faults_clear()
        self.driver.redrive()
        self.driver.wait_for_text(text_id, hurry=True)

    @contextmanager
    def texts_that_wait(self) -> Iterator[None]:
        with self.driver.poller_off():
            self.driver.send_text(self.driver.text_id())
            self.pass_minutes(20)
            yield
        self.driver.wait_until_empty()

    @contextmanager
    def a_worker_that_dies(self) -> Iterator[None]:
        fault = {"service": "comprehend", "operation": "BatchDetectSentiment", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        text_id = self.driver.text_id()
        self.driver.send_text(text_id)
        self.driver.until(self.driver.resting, "the worker to be killed")
        self.pass_minutes(1)
        yield
        self.driver.wait_for_text(text_id, hurry=True)


@dataclass(frozen=True)
class Trouble:
    """`here` is in effect within the block and over after it; `elsewhere` is the same to something else."""

    here: Callable[[TextStory], Any]
    elsewhere: Callable[[TextStory], str]


TROUBLES = {
    "DeadLettersAlarm": Trouble(TextStory.a_text_that_cannot_be_analysed, Story.a_message_in_another_queue),
    "QueueAgeAlarm": Trouble(TextStory.texts_that_wait, Story.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(TextStory.a_worker_that_dies, Story.another_function_that_breaks),
    "ThrottlesAlarm": Trouble(Story.no_concurrency_left, Story.another_function_that_is_refused),
}


@pytest.fixture
def story(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[TextStory]:
    """A story that begins in quiet: whatever other tests did is long over."""
    driver = TextDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    story = TextStory(driver)
    story.pass_minutes(10)
    yield story
    driver.clean()


@pytest.fixture
def alarms(story: TextStory) -> dict[str, dict[str, Any]]:
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
def told(story: TextStory) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the stack's topic has told a queue that is subscribed to it, since the last look."""
    url, arn = make_queue(story.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    story.driver.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns, topic = story.cloud.client("sns"), story.driver.outputs["AlarmTopicArn"]
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
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
    story: TextStory, alarms: dict[str, dict[str, Any]], told: Callable[[], list[dict[str, Any]]], alarm: str
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
    story: TextStory, alarms: dict[str, dict[str, Any]], alarm: str
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
