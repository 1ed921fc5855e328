"""Label every uploaded image: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.conftest import ARCHITECTURE
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.driver import Driver


class ImageStory(Story[Driver]):
    """What happens to the stack."""

    architecture = ARCHITECTURE

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

    def too_many_images(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.function)


TROUBLES: dict[str, Trouble[ImageStory]] = {
    "DeadLettersAlarm": Trouble(ImageStory.an_image_that_cannot_be_labelled, ImageStory.a_message_in_another_queue),
    "QueueAgeAlarm": Trouble(ImageStory.images_that_wait, ImageStory.a_message_that_waits_in_another_queue),
    "ErrorsAlarm": Trouble(ImageStory.a_worker_that_is_killed, ImageStory.another_function_that_breaks),
    "ThrottlesAlarm": Trouble(ImageStory.too_many_images, ImageStory.another_function_that_is_refused),
}


@pytest.fixture
def story(driver: Driver) -> ImageStory:
    return ImageStory(driver)


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
