"""Read forms and documents: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import document_processing
from scenarios.document_processing import Desk, Upload
from tests.local.emulated import subscribed
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import FORM, UNSURE, pdf, png
from tests.scenarios.removals import of_each_role, of_one_role


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=ARCHITECTURE)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """One life: documents that are clear, doubtful, refused or failed, a reminder, and an answer that came late."""
    folder = tmp_path_factory.mktemp("documents")
    for name, body in (
        ("clear.png", png()),
        ("clear.pdf", pdf([FORM, FORM])),
        ("unsure.png", png(UNSURE)),
        ("broken.pdf", b"nothing"),
    ):
        (folder / name).write_bytes(body)
    name = f"life-documents-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: SMALL})
    since = cloud.control.last_decision()
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        done = document_processing.run(cloud, outputs, sorted(folder.iterdir()))
        assert done.complete, done
        with Desk(cloud, outputs) as desk:
            clerk = Clerk(cloud, outputs, desk)
            late = clerk.upload(png(UNSURE))
            review = clerk.review_of(late)
            cloud.control.clock_advance(SMALL["review_reminder_seconds"] + 1)
            row = clerk.row(late)
            assert row
            clerk.until(
                lambda: "Count waiting review" in clerk.states_entered(row["execution"]),
                "the reviewer to be asked again",
            )
            clerk.states.stop_execution(executionArn=row["execution"])
            assert clerk.visit(review, {"decision": "approve"}).status == 410
            cloud.control.faults_add(service="comprehend", operation="BatchDetectEntities", kind="internal")
            clerk.wait_for(clerk.upload(png()), "FAILED", hurry=True)
            cloud.control.faults_clear()
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        cloud.control.faults_clear()
        destroy(cloud, name)
    return Life(grants, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert not report.problems, "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert used == {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}


# Each with the document that needs it, and whether Textract or the function itself is refused.
PERMISSIONS = [
    ("WorkflowRoleName", "lambda:InvokeFunction", "png"),
    ("WorkflowRoleName", "s3:GetObject", "png"),
    ("WorkflowRoleName", "s3:PutObject", "png"),
    ("WorkflowRoleName", "comprehend:BatchDetectEntities", "png"),
    ("WorkflowRoleName", "comprehend:BatchDetectSentiment", "png"),
    ("WorkflowRoleName", "comprehend:DetectPiiEntities", "png"),
    ("LookRoleName", "s3:GetObjectVersion", "png"),
    ("LookRoleName", "kms:Decrypt", "png"),
    ("ReadDocumentRoleName", "textract:AnalyzeDocument", "png"),
    ("ReadDocumentRoleName", "textract:GetDocumentAnalysis", "pdf"),
    ("ReadDocumentRoleName", "s3:PutObject", "png"),
    ("StartAnalysisRoleName", "textract:StartDocumentAnalysis", "pdf"),
    ("StartAnalysisRoleName", "iam:PassRole", "pdf"),
    ("StartAnalysisRoleName", "dynamodb:UpdateItem", "pdf"),
    ("StoreRoleName", "dynamodb:BatchWriteItem", "png"),
    ("StoreRoleName", "s3:GetObject", "png"),
    ("RenderPagesRoleName", "s3:PutObject", "unsure"),
    ("AskReviewerRoleName", "dynamodb:UpdateItem", "unsure"),
    ("AskReviewerRoleName", "secretsmanager:GetSecretValue", "unsure"),
    ("AskReviewerRoleName", "sns:Publish", "unsure"),
]


@pytest.mark.parametrize(
    ("role", "action", "kind"), of_each_role(PERMISSIONS), ids=[f"{r[:-8]}-{a}" for r, a, _ in PERMISSIONS]
)
def test_without_a_permission_of_a_role_the_document_fails_and_says_so(
    clerk: Clerk, role: str, action: str, kind: str
) -> None:
    # Given a role that lost one permission
    bodies = {"png": png(), "pdf": pdf(), "unsure": png(UNSURE)}
    with clerk.without(clerk.outputs[role], action):
        if action == "secretsmanager:GetSecretValue":
            # A worker that has read the key keeps it for a while.
            clerk.fresh_worker(role.removesuffix("RoleName"))
        # When a document is uploaded that needs it
        uploaded = clerk.upload(bodies[kind], "form.pdf" if kind == "pdf" else "form.png")
        # Then its row says that it failed, and why
        row = clerk.wait_for(uploaded, "FAILED", hurry=True)
        code = row["reason"]["code"]
        assert "AccessDenied" in code or code in (
            "InvalidS3ObjectException",
            # SNS's own name for a denial (Amazon SNS API Reference, "Publish": AuthorizationError).
            "AuthorizationError",
            # What Step Functions calls a denial that the service's own model does not name.
            "Comprehend.ComprehendException",
            "S3.S3Exception",
            "Lambda.AWSLambdaException",
        )
    # When the permission is back and the document is started again, Then it is done, or waits for its reviewer
    clerk.start_again(uploaded)
    if kind == "unsure":
        clerk.visit(clerk.review_of_again(uploaded), {"decision": "approve", "field-0": "1"})
    clerk.wait_for_again(uploaded)


def test_without_permission_to_start_the_event_is_kept(clerk: Clerk) -> None:
    # Given a function that may not start executions any more
    with clerk.without(clerk.outputs["IntakeRoleName"], "states:StartExecution"):
        # When a document is uploaded
        uploaded = clerk.upload(png())
        # Then its event ends in the dead-letter queue, and no row comes
        clerk.wait_for_letters("Upload")
        assert clerk.row(uploaded) is None
    # When the permission is back and the message is redriven, Then it is done
    arn = clerk.sqs.get_queue_attributes(
        QueueUrl=clerk.outputs["UploadDeadLetterQueueUrl"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    clerk.sqs.start_message_move_task(SourceArn=arn)
    clerk.wait_for(uploaded)


def test_without_permission_to_publish_a_failure_is_in_its_row_all_the_same(clerk: Clerk) -> None:
    # Given a workflow that may tell nobody of failures any more, and Comprehend down
    clerk.control.faults_add(service="comprehend", operation="BatchDetectEntities", kind="internal")
    with subscribed(clerk.cloud, clerk.outputs["FailureTopicArn"]) as told:
        with clerk.without(clerk.outputs["WorkflowRoleName"], "sns:Publish"):
            # When a document fails
            uploaded = clerk.upload(png())
            row = clerk.wait_for(uploaded, "FAILED", hurry=True)
            clerk.until(lambda: ended_as(clerk, uploaded) == "FAILED", "the execution to end", hurry=True)
            # Then its row says why, its execution fails with that very reason, and nobody is told
            assert row["reason"]["code"].startswith("Comprehend.")
            error = clerk.states.describe_execution(executionArn=row["execution"])["error"]
            assert error == row["reason"]["code"]
            assert clerk.never(told)
        # When the permission is back and another one fails, Then somebody is told
        other = clerk.wait_for(clerk.upload(png()), "FAILED", hurry=True)
        (message,) = clerk.until(told, "word of the failure")
        assert json.loads(message)["document"] == other["document_id"]
    # and the first one can be started again
    clerk.control.faults_clear()
    clerk.start_again(uploaded)
    clerk.wait_for_again(uploaded)


def test_without_permission_to_write_rows_somebody_is_told_which_document_failed(clerk: Clerk) -> None:
    # Given a workflow that may not write into the results table any more
    with (
        subscribed(clerk.cloud, clerk.outputs["FailureTopicArn"]) as told,
        clerk.without(clerk.outputs["WorkflowRoleName"], "dynamodb:UpdateItem"),
    ):
        # When a document is uploaded
        uploaded = clerk.upload(png())
        # Then its execution fails before it has a row, and the topic is told of the document and why
        clerk.until(lambda: ended_as(clerk, uploaded) == "FAILED", "the execution to fail", hurry=True)
        (message,) = clerk.until(told, "word of the failure")
        execution = clerk.execution_of(uploaded)
        assert execution
        assert json.loads(message)["document"] == execution["name"]
        # What Step Functions calls a denial that the service's own model does not name.
        assert json.loads(message)["code"] == "DynamoDB.AmazonDynamoDBException"
        # and the row, which the function that hears of it writes in its stead, says the same
        assert clerk.wait_for(uploaded, "FAILED")["reason"]["code"] == "DynamoDB.AmazonDynamoDBException"
    # When the permission is back and the document is started again, Then it is done
    clerk.start_again(uploaded)
    clerk.wait_for_again(uploaded)


def test_without_permission_to_count_a_review_that_waits_the_document_fails_and_says_so(clerk: Clerk) -> None:
    # Given an open review, and a workflow that may not count any more that it waits
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    with clerk.without(clerk.outputs["WorkflowRoleName"], "cloudwatch:PutMetricData"):
        # When nobody comes in time
        clerk.control.clock_advance(SMALL["review_reminder_seconds"] + 1)
        # Then the row says that it failed and why, and so does the page to who comes late
        row = clerk.wait_for(uploaded, "FAILED", hurry=True)
        assert row["reason"]["code"] in ("CloudWatch.CloudWatchException", "AccessDeniedException"), row["reason"]
        clerk.until(lambda: ended_as(clerk, uploaded) == "FAILED", "the execution to end", hurry=True)
        assert clerk.visit(review, {"decision": "approve"}).status == 410
    # When the permission is back and the document is started again, Then its reviewer is asked once more
    assert clerk.desk
    clerk.desk.reviews.clear()
    clerk.start_again(uploaded)
    clerk.visit(clerk.review_of_again(uploaded), {"decision": "approve", "field-0": "1"})
    clerk.wait_for_again(uploaded)


@pytest.mark.parametrize("action", ["dynamodb:UpdateItem", "states:DescribeExecution"])
def test_without_permission_to_record_an_end_its_message_is_kept(clerk: Clerk, action: str) -> None:
    # Given a function that may not learn, or not write, how an execution ended
    uploaded = clerk.upload(png(UNSURE))
    clerk.review_of(uploaded)
    row = clerk.row(uploaded)
    assert row
    with clerk.without(clerk.outputs["RecordEndRoleName"], action):
        # When somebody stops one
        clerk.states.stop_execution(executionArn=row["execution"])
        # Then the message ends in the dead-letter queue, and the row is still open
        clerk.wait_for_letters("End")
        assert clerk.row(uploaded) == row
    # When the permission is back and the message is redriven, Then the row has its end
    clerk.redrive("EndDeadLetterQueueUrl")
    clerk.wait_for(uploaded, "FAILED")


def ended_as(clerk: Clerk, uploaded: Upload) -> str | None:
    """The status of the execution that an upload was started with; None before there is one."""
    found = clerk.execution_of(uploaded)
    return str(found["status"]) if found else None


@pytest.mark.parametrize("action", ["dynamodb:UpdateItem", "states:SendTaskSuccess"])
def test_without_permission_to_answer_a_message_is_kept(clerk: Clerk, action: str) -> None:
    # Given a function that may not keep, or not answer, what it hears of jobs
    with clerk.without(clerk.outputs["ResumeRoleName"], action):
        # When a document is read by a job
        uploaded = clerk.upload(pdf(), "form.pdf")
        # Then its message ends in the dead-letter queue, and the state still waits
        clerk.wait_for_letters("Job")
        row = clerk.row(uploaded)
        assert row
        assert row["status"] == "PROCESSING"
    # When the permission is back and the message is redriven, Then the document is done
    arn = clerk.sqs.get_queue_attributes(QueueUrl=clerk.outputs["JobDeadLetterQueueUrl"], AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    clerk.sqs.start_message_move_task(SourceArn=arn)
    clerk.wait_for(uploaded)


@pytest.mark.parametrize(
    "action",
    of_one_role(
        [
            "dynamodb:GetItem",
            "dynamodb:UpdateItem",
            "s3:GetObject",
            "secretsmanager:GetSecretValue",
            "states:SendTaskSuccess",
        ]
    ),
)
def test_without_a_permission_of_the_page_the_reviewer_may_try_again(clerk: Clerk, action: str) -> None:
    # Given an open review, and a page that lost one permission
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    answer = {"decision": "approve", "field-0": "PX-1"}
    clerk.fresh_worker("ReviewPage")
    with clerk.without(clerk.outputs["ReviewPageRoleName"], action):
        # When the reviewer answers, Then the page says that it did not work
        assert clerk.visit(review, answer).status == 503
    # When the permission is back and the same answer is sent again, Then it is taken
    assert clerk.visit(review, answer).status == 200
    assert int(clerk.wait_for(uploaded)["corrections"]) == 1


def test_the_textract_role_is_for_textract_alone(cloud: LocalCloud, document_outputs: dict[str, str]) -> None:
    # Given the role by which Textract tells that a job has ended
    role = cloud.client("iam").get_role(RoleName=document_outputs["NotifierRoleName"])["Role"]
    # When its trust is read, Then nobody else may take it on, and only for this account
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "textract.amazonaws.com"}
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == cloud.account
