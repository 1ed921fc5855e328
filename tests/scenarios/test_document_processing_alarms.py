"""Read forms and documents: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from scenarios.document_processing import visit
from stacks.documents.workflow import METRIC_NAMESPACE, WAITING_METRIC
from tests.local.emulated import unique
from tests.scenarios.alarms import Trouble, WorkflowStory, checks_of
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import UNSURE, png


class DocumentStory(WorkflowStory[Clerk]):
    """What happens to the stack."""

    architecture = ARCHITECTURE
    looks = "Look"
    hears = "Resume"

    def without(self, function: str, action: str) -> AbstractContextManager[None]:
        return self.driver.without(self.driver.outputs[f"{function}RoleName"], action)

    def tell_of_a_job(self) -> None:
        message = f'{{"JobId": "{uuid.uuid4().hex}", "Status": "SUCCEEDED", "API": "StartDocumentAnalysis"}}'
        self.driver.sqs.send_message(QueueUrl=self.driver.outputs["JobQueueUrl"], MessageBody=message)

    @contextmanager
    def an_end_that_is_not_recorded(self) -> Iterator[None]:
        with self.without("RecordEnd", "dynamodb:UpdateItem"):
            uploaded = self.driver.upload(png(UNSURE))
            self.driver.review_of(uploaded)
            row = self.driver.row(uploaded)
            assert row
            self.driver.states.stop_execution(executionArn=row["execution"])
            self.driver.wait_for_letters("End")
        self.pass_minutes(1)
        yield
        self.driver.redrive("EndDeadLetterQueueUrl")
        self.driver.wait_for(uploaded, "FAILED")

    @contextmanager
    def a_review_that_waits(self) -> Iterator[None]:
        uploaded = self.driver.upload(png(UNSURE))
        review = self.driver.review_of(uploaded)
        row = self.driver.row(uploaded)
        assert row
        self.driver.control.clock_advance(SMALL["review_reminder_seconds"] + 1)
        self.driver.until(
            lambda: self.driver.states_entered(row["execution"]).count("Ask a reviewer") == 2,
            "the reviewer to be asked again",
        )
        self.pass_minutes(1)
        yield
        self.driver.visit(review, {"decision": "reject"})
        self.driver.wait_for(uploaded, "REJECTED")

    def a_review_that_waits_elsewhere(self) -> str:
        name = unique("machine")
        waiting = {"MetricName": WAITING_METRIC, "Value": 1, "Unit": "Count"}
        dimensions = [{"Name": "StateMachine", "Value": name}]
        self.cloudwatch.put_metric_data(Namespace=METRIC_NAMESPACE, MetricData=[{**waiting, "Dimensions": dimensions}])
        self.pass_minutes(1)
        return name

    @contextmanager
    def a_review_page_that_is_killed(self) -> Iterator[None]:
        fault = {"service": "secretsmanager", "operation": "GetSecretValue", "kind": "kill-worker", "times": 1}
        self.driver.control.faults_add(**fault)
        assert self.open_a_forged_link() == 502
        self.pass_minutes(1)
        yield
        assert self.open_a_forged_link() == 403

    def open_a_forged_link(self) -> int:
        """The status of the answer. The page looks for the key that the link says it was signed with."""
        payload = f"{uuid.uuid4().hex}00000000.9999999999.{uuid.uuid4()}".encode()
        link = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (payload, b"signed"))
        url = self.cloud.reachable(f"{self.driver.outputs['ReviewUrl']}review/{link}")
        return visit(self.cloud, url).status

    def too_many_visits(self) -> AbstractContextManager[None]:
        return self.no_concurrency_left(self.driver.outputs["ReviewPageFunctionName"])


Story = DocumentStory
TROUBLES: dict[str, Trouble[DocumentStory]] = {
    "FailedAlarm": Trouble(Story.an_upload_that_fails, Story.another_machine_that_fails),
    "TimedOutAlarm": Trouble(Story.an_execution_that_outlives_its_limit, Story.another_machine_that_times_out),
    "ThrottledAlarm": Trouble(Story.executions_that_are_slowed_down, Story.another_machine_that_is_slowed_down),
    "UndeliveredUploadsAlarm": Trouble(Story.an_upload_that_cannot_be_started, Story.a_message_in_another_queue),
    "UndeliveredJobsAlarm": Trouble(Story.a_job_whose_end_is_not_heard, Story.a_message_in_another_queue),
    "UndeliveredEndsAlarm": Trouble(Story.an_end_that_is_not_recorded, Story.a_message_in_another_queue),
    "ReviewWaitsAlarm": Trouble(Story.a_review_that_waits, Story.a_review_that_waits_elsewhere),
    "IntakeErrorsAlarm": Trouble(Story.an_intake_that_is_killed, Story.another_function_that_breaks),
    "IntakeThrottlesAlarm": Trouble(Story.too_many_uploads, Story.another_function_that_is_refused),
    "ResumeErrorsAlarm": Trouble(Story.a_listener_that_is_killed, Story.another_function_that_breaks),
    "ResumeThrottlesAlarm": Trouble(Story.too_many_ends_of_jobs, Story.another_function_that_is_refused),
    "ReviewPageErrorsAlarm": Trouble(Story.a_review_page_that_is_killed, Story.another_function_that_breaks),
    "ReviewPageThrottlesAlarm": Trouble(Story.too_many_visits, Story.another_function_that_is_refused),
}


@pytest.fixture
def story(clerk: Clerk) -> DocumentStory:
    return DocumentStory(clerk)


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
