"""Turn text into speech: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.speech import ARCHITECTURE, LONG, SMALL, SpeechDriver


class SpeechStory(Story[SpeechDriver]):
    """What happens to the stack."""

    architecture = ARCHITECTURE

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
    def texts_that_wait(self) -> Iterator[None]:
        with self.driver.poller_off():
            self.driver.upload(self.driver.key())
            self.pass_minutes(20)
            yield
        self.driver.wait_until_empty()

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

    def too_many_texts(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.function)


TROUBLES: dict[str, Trouble[SpeechStory]] = {
    "DeadLettersAlarm": Trouble(SpeechStory.a_text_that_cannot_be_spoken, SpeechStory.a_message_in_another_queue),
    "QueueAgeAlarm": Trouble(SpeechStory.texts_that_wait, SpeechStory.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(SpeechStory.a_speaker_that_is_killed, SpeechStory.another_function_that_breaks),
    "EndErrorsAlarm": Trouble(SpeechStory.a_recorder_that_is_killed, SpeechStory.another_function_that_breaks),
    "ThrottlesAlarm": Trouble(SpeechStory.too_many_texts, SpeechStory.another_function_that_is_refused),
}


@pytest.fixture
def story(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[SpeechStory]:
    driver = SpeechDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield SpeechStory(driver)
    driver.clean()


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
