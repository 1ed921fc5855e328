"""Turn text into speech: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone, and raises a twin that watches there instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.local.emulated import unique
from tests.scenarios import test_image_labeling_alarms as pattern
from tests.scenarios.speech import ARCHITECTURE, LONG, SMALL, SpeechDriver
from tests.scenarios.test_image_labeling_alarms import DEFINITION, Trouble

told = pattern.told


class Story(pattern.Story):
    """What happens to this stack, and to other resources beside it."""

    driver: SpeechDriver

    @contextmanager
    def a_text_that_cannot_be_spoken(self) -> Iterator[None]:
        key = self.driver.key()
        self.driver.control.faults_add(service="polly", operation="SynthesizeSpeech", kind="internal")
        version = self.driver.upload(key)
        self.driver.wait_for_dead_letter(key)
        self.pass_minutes(1)
        yield
        self.driver.control.faults_clear()
        self.driver.redrive()
        self.driver.wait_for(key, version, hurry=True)

    @contextmanager
    def a_speaker_that_is_killed(self) -> Iterator[None]:
        self.driver.control.faults_add(service="polly", operation="SynthesizeSpeech", kind="kill-worker", times=1)
        key = self.driver.key()
        version = self.driver.upload(key)
        self.driver.until(self.driver.resting, "the worker to be killed")
        # The minute that passes is one of the cloud's clock, not of the clock that the next worker will read.
        self.driver.expire_claims()
        self.pass_minutes(1)
        yield
        self.driver.wait_for(key, version, hurry=True)

    @contextmanager
    def a_recorder_that_is_killed(self) -> Iterator[None]:
        fault = {"service": "polly", "operation": "GetSpeechSynthesisTask", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        key = self.driver.key()
        version = self.driver.upload(key, LONG)
        with self.driver.as_recorder():
            self.driver.until(self.driver.resting, "the worker to be killed", seconds=60)
            self.pass_minutes(1)
            yield
            self.driver.wait_for(key, version, hurry=True)


TROUBLES = {
    "DeadLettersAlarm": Trouble(Story.a_text_that_cannot_be_spoken, Story.a_message_in_another_queue),  # type: ignore[arg-type]
    "QueueAgeAlarm": Trouble(Story.images_that_wait, Story.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(Story.a_speaker_that_is_killed, Story.another_function_that_breaks),  # type: ignore[arg-type]
    "EndErrorsAlarm": Trouble(Story.a_recorder_that_is_killed, Story.another_function_that_breaks),  # type: ignore[arg-type]
    "ThrottlesAlarm": Trouble(Story.no_concurrency_left, Story.another_function_that_is_refused),
}


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[SpeechDriver]:
    driver = SpeechDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


@pytest.fixture
def story(driver: SpeechDriver) -> Story:
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


def test_every_alarm_of_the_stack_has_its_trouble(alarms: dict[str, dict[str, Any]]) -> None:
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
