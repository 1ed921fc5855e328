"""Read forms and documents, while things go wrong: nothing is lost or done twice, and every end has its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from scenarios.document_processing import findings
from stacks.documents.workflow import TASK_SECONDS
from tests.local.emulated import make_queue, messages, policy
from tests.scenarios.clerk import SMALL, Clerk, Row
from tests.scenarios.papers import FORM, UNSURE, pdf, png


@pytest.fixture
def told(clerk: Clerk) -> Iterator[list[str]]:
    """A queue that hears of failures; the list is filled by `hear`."""
    url, arn = make_queue(clerk.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    clerk.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns = clerk.cloud.client("sns")
    subscription = sns.subscribe(
        TopicArn=clerk.outputs["FailureTopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    yield [url]
    sns.unsubscribe(SubscriptionArn=subscription)
    clerk.sqs.delete_queue(QueueUrl=url)


# --- input that is not what it should be


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("text.pdf", b"this is no document at all", "UnsupportedFormat"),
        ("empty.pdf", b"", "EmptyFile"),
        ("broken.pdf", b"%PDF-1.7\nnothing follows", "CorruptFile"),
        ("broken.png", b"\x89PNG\r\n\x1a\n", "CorruptFile"),
        ("long.pdf", pdf([FORM] * 4), "TooManyPages"),
        ("large.png", png() + bytes(1_000_000), "FileTooLarge"),
    ],
)
def test_a_document_that_can_never_be_read_is_rejected_once_with_a_reason(
    clerk: Clerk, name: str, content: bytes, code: str
) -> None:
    # Given a file that only claims to be a document, or a document that is too long or too large
    before = clerk.calls("textract.AnalyzeDocument") + clerk.calls("textract.StartDocumentAnalysis")
    # When it is uploaded
    row = clerk.wait_for(clerk.upload(content, name), "REJECTED")
    # Then that is a result, with a reason, and nothing was paid for it
    assert row["reason"]["code"] == code
    assert row["reason"]["message"]
    after = clerk.calls("textract.AnalyzeDocument") + clerk.calls("textract.StartDocumentAnalysis")
    assert after == before


def test_a_document_that_only_textract_refuses_is_rejected(clerk: Clerk) -> None:
    # Given a file with a good header and nothing after it
    whole = png()
    # When it is uploaded
    row = clerk.wait_for(clerk.upload(whole[: len(whole) // 3]), "REJECTED")
    # Then Textract's own code is the reason
    assert row["reason"]["code"] in ("UnsupportedDocumentException", "BadDocumentException")


# --- a service that does not answer as it should


@pytest.mark.parametrize(
    ("service", "operation"),
    [("textract", "AnalyzeDocument"), ("comprehend", "BatchDetectEntities"), ("dynamodb", "BatchWriteItem")],
)
def test_a_throttled_service_is_retried_until_it_answers(clerk: Clerk, service: str, operation: str) -> None:
    # Given a service that throttles its next two attempts
    before = clerk.calls(f"{service}.{operation}")
    clerk.control.faults_add(service=service, operation=operation, kind="throttle", times=2)
    # When a document is uploaded
    clerk.wait_for(clerk.upload(png()), hurry=True)
    # Then it is done in the end, with that many attempts more
    assert clerk.calls(f"{service}.{operation}") >= before + 3


def test_a_service_that_is_down_leaves_a_reason_and_the_document_can_be_started_again(
    clerk: Clerk, told: list[str]
) -> None:
    # Given Comprehend down
    clerk.control.faults_add(service="comprehend", operation="BatchDetectSentiment", kind="internal")
    # When a document is uploaded and all attempts are used up
    uploaded = clerk.upload(png())
    row = clerk.wait_for(uploaded, "FAILED", hurry=True)
    # Then its row says why, and nothing of what it holds
    assert row["reason"]["code"].startswith("Comprehend.")
    assert "Mary" not in json.dumps(row, default=str)
    assert clerk.states.describe_execution(executionArn=row["execution"])["status"] == "FAILED"
    # and somebody is told
    heard = clerk.until(lambda: messages(clerk.cloud, told[0]), "word of the failure")
    assert json.loads(heard[0]["Body"])["document"] == row["document_id"]
    # When the service is back and an operator starts the document again
    clerk.control.faults_clear()
    clerk.start_again(uploaded)
    # Then it is done, and the failure is gone from its row
    row = clerk.wait_for_again(uploaded)
    assert "reason" not in row


def test_a_call_that_never_comes_back_is_made_again(clerk: Clerk) -> None:
    # Given Comprehend that does not answer one call at all
    fault = clerk.control.faults_add(
        service="comprehend", operation="BatchDetectEntities", kind="timeout", seconds=60, times=1
    )
    uploaded = clerk.upload(png())
    clerk.until(lambda: clerk.applied(fault), "the call to hang")
    assert clerk.never(lambda: (clerk.row(uploaded) or {})["status"] != "PROCESSING", seconds=2)
    # When the state's time is over
    clerk.control.clock_advance(TASK_SECONDS + 1)
    # Then it is made again, and the document is done
    clerk.wait_for(uploaded, hurry=True)


# Long enough to be more than one text for Comprehend.
LONG_FORM = {**FORM, **{f"Note {n}": f"Seen by Doctor Number {n} in Boston" for n in range(1, 8)}}


def paragraphs_of(clerk: Clerk, row: Row) -> list[str]:
    """The texts of a document's first batch."""
    key = f"documents/{row['document_id']}/texts/0001.json"
    body = clerk.cloud.client("s3").get_object(Bucket=clerk.outputs["BucketName"], Key=key)["Body"]
    return list(json.loads(body.read())["texts"])


@pytest.mark.parametrize("operation", ["BatchDetectEntities", "BatchDetectSentiment"])
def test_a_paragraph_that_comprehend_does_not_answer_for_is_asked_about_again(clerk: Clerk, operation: str) -> None:
    # Given a document of several paragraphs, as it is understood when all goes well
    before = clerk.calls(f"comprehend.{operation}")
    whole = clerk.wait_for(clerk.upload(png(LONG_FORM)))
    batches = clerk.calls(f"comprehend.{operation}") - before
    assert len(paragraphs_of(clerk, whole)) > 1
    # When Comprehend answers for all but one of them
    clerk.control.faults_add(service="comprehend", operation=operation, kind="fail-item", times=1)
    uploaded = clerk.upload(png(LONG_FORM))
    row = clerk.wait_for(uploaded, hurry=True)
    # Then it is asked once more, and nothing is left out
    assert clerk.calls(f"comprehend.{operation}") == before + 2 * batches + 1
    assert {name: row[name] for name in ("entities", "personal_data", "sentiment")} == {
        name: whole[name] for name in ("entities", "personal_data", "sentiment")
    }
    clerk.check_findings(uploaded)


@pytest.mark.parametrize("operation", ["BatchDetectEntities", "BatchDetectSentiment"])
def test_a_paragraph_that_comprehend_never_answers_for_fails_the_document(clerk: Clerk, operation: str) -> None:
    # Given Comprehend that has errors for paragraphs in answers that are otherwise good, however often it is asked
    clerk.control.faults_add(service="comprehend", operation=operation, kind="fail-item")
    # When a document is uploaded
    uploaded = clerk.upload(png(LONG_FORM))
    row = clerk.wait_for(uploaded, "FAILED", hurry=True)
    # Then its row says why, and it was asked as often as any service is
    assert row["reason"]["code"] == "ComprehendRefused"
    assert "INTERNAL_SERVER_ERROR" in row["reason"]["message"]
    rounds = clerk.states_entered(row["execution"]).count("Wait to ask again")
    assert rounds == SMALL["retry_attempts"]
    # When Comprehend is well again and the document is started again, Then it is done
    clerk.control.faults_clear()
    clerk.start_again(uploaded)
    clerk.wait_for_again(uploaded)


@pytest.mark.parametrize(
    ("operation", "service"),
    [("AnalyzeDocument", "textract"), ("PutObject", "s3"), ("BatchWriteItem", "dynamodb")],
)
def test_a_killed_worker_is_replaced_and_nothing_is_done_twice(clerk: Clerk, operation: str, service: str) -> None:
    # Given a worker that is killed in the middle of its work
    fault = clerk.control.faults_add(service=service, operation=operation, kind="kill-worker", when="after", times=1)
    # When a document is uploaded
    uploaded = clerk.upload(png())
    # Then another one does it: one row, and one of each finding
    row = clerk.wait_for(uploaded, hurry=True)
    assert clerk.applied(fault) == 1
    assert len(clerk.executions_of(uploaded)) == 1
    # and what it found is whole: every field and entity that the row counts, and that stands on the page
    clerk.check_findings(uploaded)
    found = findings(clerk.cloud, clerk.outputs, uploaded.document, uploaded.version)
    assert {field["name"]: field["value"] for field in found["field"]}.items() >= FORM.items()
    assert any("Alice Brown" in entity["text"] for entity in found["entity"])
    assert row["sentiment"] == "POSITIVE"


# --- an execution that comes through no more states


def test_a_document_whose_execution_is_stopped_says_so_and_can_be_started_again(clerk: Clerk) -> None:
    # Given a document that waits for its reviewer
    uploaded = clerk.upload(png(UNSURE))
    clerk.review_of(uploaded)
    row = clerk.row(uploaded)
    assert row
    # When an operator stops its execution
    clerk.states.stop_execution(executionArn=row["execution"])
    # Then its row does not say for ever that it is being processed
    assert clerk.wait_for(uploaded, "FAILED")["reason"]["code"] == "ExecutionStopped"
    # and when it is started again, that is done
    assert clerk.desk
    clerk.desk.reviews.clear()
    clerk.start_again(uploaded)
    clerk.visit(clerk.review_of_again(uploaded), {"decision": "approve", "field-0": "1"})
    assert "reason" not in clerk.wait_for_again(uploaded)


def test_a_document_whose_execution_outlives_its_limits_says_so(clerk: Clerk) -> None:
    # Given a document that waits for its reviewer, and Step Functions that lets nothing go on
    uploaded = clerk.upload(png(UNSURE))
    clerk.review_of(uploaded)
    described = clerk.states.describe_state_machine(stateMachineArn=clerk.outputs["StateMachineArn"])
    clerk.control.faults_add(service="states", operation="StateTransition", kind="throttle")
    # When the time of its execution is over
    clerk.control.clock_advance(json.loads(described["definition"])["TimeoutSeconds"] + 1)
    # Then its row says why it ended
    assert clerk.wait_for(uploaded, "FAILED")["reason"]["code"] == "States.Timeout"
    clerk.control.faults_clear()


# --- a job


def test_a_job_that_fails_is_a_recorded_failure(clerk: Clerk) -> None:
    # Given a job that will fail
    clerk.control.faults_add(service="textract", operation="StartDocumentAnalysis", kind="fail-job", times=1)
    # When a document of several pages is uploaded
    row = clerk.wait_for(clerk.upload(pdf([FORM, FORM]), "form.pdf"), "FAILED", hurry=True)
    # Then its row says so
    assert row["reason"]["code"] == "TextractJobFailed"


def test_a_message_that_comes_before_the_token_is_stored_is_not_lost(clerk: Clerk) -> None:
    # Given a job whose id is long in coming: the function gets no answer, and has to ask again
    before = clerk.calls("textract.StartDocumentAnalysis")
    clerk.control.faults_add(
        service="textract", operation="StartDocumentAnalysis", kind="timeout", when="after", times=1
    )
    # When a document is uploaded, and its job has ended meanwhile
    uploaded = clerk.upload(pdf(), "form.pdf")
    # Then it is done all the same: the message had to wait for the token, not the token for the message
    row = clerk.wait_for(uploaded)
    assert any("the token is not there yet" in line for line in clerk.log_lines("Resume"))
    assert any("the job had ended before" in line for line in clerk.log_lines("StartAnalysis"))
    # and both attempts got the same job
    assert clerk.calls("textract.StartDocumentAnalysis") == before + 2
    assert len(clerk.jobs_of(row)) == 1
    assert clerk.states_entered(row["execution"]).count("Start analysis") == 1


def test_a_message_that_never_comes_is_not_waited_for_for_ever(clerk: Clerk) -> None:
    # Given a job whose end nobody may tell
    with clerk.without(clerk.outputs["NotifierRoleName"], "sns:Publish"):
        uploaded = clerk.upload(pdf(), "form.pdf")
        row = clerk.until(lambda: clerk.row(uploaded), "the document to be started")
        clerk.until(lambda: clerk.jobs_of(row), "the token to be stored")
        # When the state's time is over
        assert clerk.never(lambda: (clerk.row(uploaded) or row)["status"] != "PROCESSING", seconds=5)
        clerk.control.clock_advance(901)
        # Then the next attempt asks the job itself, and the document is done
        row = clerk.wait_for(uploaded, hurry=True)
    assert len(clerk.jobs_of(row)) == 1


def test_a_message_that_comes_twice_changes_nothing(clerk: Clerk) -> None:
    # Given a document that a job has read
    uploaded = clerk.upload(pdf(), "form.pdf")
    row = clerk.wait_for(uploaded)
    (job,) = clerk.jobs_of(row)
    # When the message of its end comes again, and once more
    message = json.dumps({"JobId": job, "Status": "SUCCEEDED", "API": "StartDocumentAnalysis"})
    for _ in range(2):
        clerk.cloud.client("sns").publish(TopicArn=clerk.outputs["CompletionTopicArn"], Message=message)
    clerk.until(
        lambda: sum("nobody waits any longer" in line for line in clerk.log_lines("Resume")) >= 2, "both to be heard"
    )
    # Then nothing is done again, and neither message is a dead letter
    assert clerk.row(uploaded) == row
    assert len(clerk.executions_of(uploaded)) == 1
    clerk.until(clerk.empty, "the queues to be empty")
    assert clerk.letters("JobDeadLetterQueueUrl") == []


def test_a_message_for_an_execution_that_has_ended_does_no_harm(clerk: Clerk) -> None:
    # Given a job that takes its time, and whose execution is stopped meanwhile
    clerk.control.faults_add(service="textract", operation="StartDocumentAnalysis", kind="slow-job", seconds=8, times=1)
    uploaded = clerk.upload(pdf(), "form.pdf")
    row = clerk.until(lambda: clerk.row(uploaded), "the document to be started")
    clerk.until(lambda: clerk.jobs_of(row), "the token to be stored")
    clerk.states.stop_execution(executionArn=row["execution"])
    # When the message comes
    heard = len([line for line in clerk.log_lines("Resume") if "nobody waits any longer" in line])
    clerk.until(
        lambda: len([line for line in clerk.log_lines("Resume") if "nobody waits any longer" in line]) > heard,
        "the message to be heard",
    )
    # Then it is done with, and the document can be started again
    clerk.until(clerk.empty, "the queues to be empty")
    assert clerk.letters("JobDeadLetterQueueUrl") == []
    clerk.start_again(uploaded)
    clerk.wait_for_again(uploaded)


# --- messages


def test_a_message_that_cannot_be_read_reaches_the_dlq_and_a_mended_one_is_done(clerk: Clerk) -> None:
    # Given an event that lost the object's version on its way
    uploaded = clerk.quietly(png())
    broken = clerk.event(uploaded)
    del broken["detail"]["object"]["version-id"]
    # When it is delivered
    clerk.send(broken)
    (letter,) = clerk.wait_for_letters("Upload")
    # Then it is a dead letter as it was, and the log tells the reason
    assert json.loads(letter["Body"]) == broken
    assert any("The event has no version-id." in line for line in clerk.log_lines("Intake"))
    # When an operator adds what is missing and sends it again
    clerk.send(clerk.event(uploaded))
    # Then the document is done
    clerk.wait_for(uploaded)


def test_only_the_bad_message_of_a_batch_comes_back(clerk: Clerk) -> None:
    # Given two documents and a message that can never succeed, waiting together
    uploads = [clerk.quietly(png()), clerk.quietly(png(UNSURE))]
    ids = clerk.send(clerk.event(uploads[0]), "poison", clerk.event(uploads[1]))
    # When they are taken
    clerk.wait_for(uploads[0])
    clerk.visit(clerk.review_of(uploads[1]), {"decision": "reject"})
    clerk.wait_for(uploads[1], "REJECTED")
    letters = clerk.wait_for_letters("Upload")
    # Then only the bad one came back until it was given up, and each document was started once
    assert [letter["MessageId"] for letter in letters] == [ids[1]]
    assert [len(clerk.executions_of(uploaded)) for uploaded in uploads] == [1, 1]


# --- reviews


def test_a_reviewer_is_asked_again_and_an_answer_that_got_lost_is_taken_up(clerk: Clerk) -> None:
    # Given an open review whose answer cannot be delivered: Step Functions does not take it
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    clerk.control.faults_add(service="states", operation="SendTaskSuccess", kind="internal")
    answer = clerk.visit(review, {"decision": "approve", "field-0": "PX-9"})
    assert answer.status == 503
    clerk.control.faults_clear()
    # When nobody has come after a while
    clerk.control.clock_advance(901)
    # Then the next round takes the answer up
    row = clerk.wait_for(uploaded)
    assert int(row["corrections"]) == 1
    assert "Count waiting review" in clerk.states_entered(row["execution"])


def test_an_answer_for_an_execution_that_has_ended_is_told_to_the_reviewer(clerk: Clerk) -> None:
    # Given an open review whose execution is stopped
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    row = clerk.row(uploaded)
    assert row
    clerk.states.stop_execution(executionArn=row["execution"])
    # When the reviewer answers
    answer = clerk.visit(review, {"decision": "approve"})
    # Then the page says that it came too late
    assert (answer.status, answer.json()["code"]) == (410, "TooLate")
