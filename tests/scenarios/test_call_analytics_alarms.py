"""Understand recorded calls: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from tests.local.emulated import unique
from tests.scenarios.alarms import Trouble, WorkflowStory, checks_of
from tests.scenarios.operator import ARCHITECTURE, Operator


class CallStory(WorkflowStory[Operator]):
    """What happens to the stack."""

    architecture = ARCHITECTURE
    looks = "Admit"
    hears = "JobEnded"

    def without(self, function: str, action: str) -> AbstractContextManager[None]:
        return self.driver.without(function, action)

    def tell_of_a_job(self) -> None:
        self.driver.send("JobQueueUrl", self.driver.end_of(unique("job")))


Story = CallStory
TROUBLES: dict[str, Trouble[CallStory]] = {
    "FailedAlarm": Trouble(Story.an_upload_that_fails, Story.another_machine_that_fails),
    "TimedOutAlarm": Trouble(Story.an_execution_that_outlives_its_limit, Story.another_machine_that_times_out),
    "ThrottledAlarm": Trouble(Story.executions_that_are_slowed_down, Story.another_machine_that_is_slowed_down),
    "UndeliveredUploadsAlarm": Trouble(Story.an_upload_that_cannot_be_started, Story.a_message_in_another_queue),
    "UndeliveredJobsAlarm": Trouble(Story.a_job_whose_end_is_not_heard, Story.a_message_in_another_queue),
    "IntakeErrorsAlarm": Trouble(Story.an_intake_that_is_killed, Story.another_function_that_breaks),
    "IntakeThrottlesAlarm": Trouble(Story.too_many_uploads, Story.another_function_that_is_refused),
    "JobEndedErrorsAlarm": Trouble(Story.a_listener_that_is_killed, Story.another_function_that_breaks),
    "JobEndedThrottlesAlarm": Trouble(Story.too_many_ends_of_jobs, Story.another_function_that_is_refused),
}


@pytest.fixture
def story(operator: Operator) -> CallStory:
    return CallStory(operator)


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
