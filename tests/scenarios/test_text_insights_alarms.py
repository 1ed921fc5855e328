"""Insights from texts: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.text_driver import ARCHITECTURE, SMALL, TextDriver


class TextStory(Story[TextDriver]):
    """What happens to the stack."""

    architecture = ARCHITECTURE

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

    def too_many_texts(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.function)


TROUBLES: dict[str, Trouble[TextStory]] = {
    "DeadLettersAlarm": Trouble(TextStory.a_text_that_cannot_be_analysed, TextStory.a_message_in_another_queue),
    "QueueAgeAlarm": Trouble(TextStory.texts_that_wait, TextStory.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(TextStory.a_worker_that_dies, TextStory.another_function_that_breaks),
    "ThrottlesAlarm": Trouble(TextStory.too_many_texts, TextStory.another_function_that_is_refused),
}


@pytest.fixture
def story(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[TextStory]:
    driver = TextDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield TextStory(driver)
    driver.clean()


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
