"""Both halves of waiting for a Textract job, over moto's DynamoDB, with Textract and Step Functions stubbed."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from tests.unit.conftest import DOCUMENT_VARIABLES, Context, make_table

KEY = "uploads/anna-smith.pdf"
NOBODY_WAITS = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


class Jobs:
    """Drives both handlers over one table."""

    def __init__(self, start: types.ModuleType, resume: types.ModuleType) -> None:
        self.start_module, self.resume_module = start, resume
        self.textract = Stubber(start.clients["textract"])
        self.starts_states = Stubber(start.clients["stepfunctions"])
        self.resumes_states = Stubber(resume.clients["stepfunctions"])

    def start(self, attempt: int = 0, token: str = "token-1", execution: str = "execution-1") -> None:
        event = {"bucket": "documents", "key": KEY, "version": "v1", "document": "d" * 40}
        self.start_module.handler({**event, "execution": execution, "attempt": attempt, "token": token}, Context())

    def complete(self, *bodies: Any) -> list[str]:
        records = [
            {
                "messageId": f"m{number}",
                "attributes": {"ApproximateReceiveCount": "1"},
                "body": body if isinstance(body, str) else json.dumps(body),
            }
            for number, body in enumerate(bodies)
        ]
        answer = self.resume_module.handler({"Records": records}, Context())
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def expect_start(self, job: str = "job-1", **parameters: Any) -> None:
        self.textract.add_response("start_document_analysis", {"JobId": job}, parameters or None)

    def rows(self) -> list[dict[str, Any]]:
        return list(self.start_module.clients["dynamodb"].scan(TableName="jobs")["Items"])


def expect_answer(states: Stubber, token: str = "token-1", job: str = "job-1", status: str = "SUCCEEDED") -> None:
    output = json.dumps({"job": job, "status": status})
    states.add_response("send_task_success", {}, {"taskToken": token, "output": output})


def done(job: str = "job-1", status: str = "SUCCEEDED") -> dict[str, str]:
    return {"JobId": job, "Status": status}


@pytest.fixture
def jobs(document_handler: Callable[[str], types.ModuleType]) -> Iterator[Jobs]:
    made = Jobs(document_handler("start_analysis"), document_handler("resume"))
    with mock_aws():
        make_table(made.start_module.clients["dynamodb"], "jobs", "job")
        with made.textract, made.starts_states, made.resumes_states:
            yield made
            for stubber in (made.textract, made.starts_states, made.resumes_states):
                stubber.assert_no_pending_responses()


def test_a_job_that_ends_after_its_token_is_stored_is_answered_by_its_message(jobs: Jobs) -> None:
    # Given a job whose token is stored
    jobs.expect_start()
    jobs.start()
    # When its end is told, Then the state goes on
    expect_answer(jobs.resumes_states)
    assert jobs.complete(done()) == []


def test_a_job_that_ends_before_its_token_is_stored_is_answered_by_its_start(jobs: Jobs) -> None:
    # Given a job whose end is told first: the message is done, and nobody is answered
    assert jobs.complete(done(status="FAILED")) == []
    # When its token is stored, Then the state goes on
    jobs.expect_start()
    expect_answer(jobs.starts_states, status="FAILED")
    jobs.start()


def test_a_second_attempt_asks_for_the_same_job_and_another_execution_for_another(jobs: Jobs) -> None:
    # Given the requests that are made
    sent: list[dict[str, Any]] = []
    events = jobs.start_module.clients["textract"].meta.events

    def keep(params: dict[str, Any], **_: Any) -> None:
        sent.append(params)

    events.register("provide-client-params.textract.StartDocumentAnalysis", keep)
    # When one execution asks twice and another once
    for attempt, execution in ((0, "execution-1"), (1, "execution-1"), (0, "execution-2")):
        jobs.expect_start()
        if attempt:
            jobs.textract.add_response("get_document_analysis", {"JobStatus": "IN_PROGRESS"})
        jobs.start(attempt, execution=execution)
    events.unregister("provide-client-params.textract.StartDocumentAnalysis", keep)
    # Then the first two have one request token, which Textract takes (64 characters)
    first, second, third = (one["ClientRequestToken"] for one in sent)
    assert first == second != third
    assert len(first) == 64
    assert sent[0] == {
        "DocumentLocation": {"S3Object": {"Bucket": "documents", "Name": KEY, "Version": "v1"}},
        "FeatureTypes": ["FORMS", "TABLES"],
        "ClientRequestToken": ANY,
        "JobTag": "d" * 40,
        "NotificationChannel": {
            "SNSTopicArn": DOCUMENT_VARIABLES["COMPLETION_TOPIC_ARN"],
            "RoleArn": DOCUMENT_VARIABLES["NOTIFIER_ROLE_ARN"],
        },
    }


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "PARTIAL_SUCCESS"])
def test_a_later_attempt_finds_the_job_ended_though_its_message_was_lost(jobs: Jobs, status: str) -> None:
    jobs.expect_start()
    jobs.textract.add_response("get_document_analysis", {"JobStatus": status}, {"JobId": "job-1", "MaxResults": 1})
    expect_answer(jobs.starts_states, "token-2", status=status)
    jobs.start(attempt=1, token="token-2")


def test_a_later_attempt_replaces_the_token(jobs: Jobs) -> None:
    # Given a job that still runs at the second attempt
    jobs.expect_start()
    jobs.start()
    jobs.expect_start()
    jobs.textract.add_response("get_document_analysis", {"JobStatus": "IN_PROGRESS"})
    jobs.start(attempt=1, token="token-2")
    # When its end is told, Then the newer token is answered
    expect_answer(jobs.resumes_states, "token-2")
    assert jobs.complete(done()) == []
    assert len(jobs.rows()) == 1


@pytest.mark.parametrize("code", NOBODY_WAITS)
def test_a_message_for_a_state_that_waits_no_longer_is_done(jobs: Jobs, code: str) -> None:
    jobs.expect_start()
    jobs.start()
    jobs.resumes_states.add_client_error("send_task_success", code)
    assert jobs.complete(done()) == []


@pytest.mark.parametrize("code", NOBODY_WAITS)
def test_a_start_whose_state_waits_no_longer_is_no_failure(jobs: Jobs, code: str) -> None:
    jobs.complete(done())
    jobs.expect_start()
    jobs.starts_states.add_client_error("send_task_success", code)
    jobs.start()


def test_only_what_failed_or_is_unreadable_comes_back(jobs: Jobs) -> None:
    # Given two jobs, the first of which cannot be answered now
    for job in ("job-1", "job-2"):
        jobs.expect_start(job)
        jobs.start()
    jobs.resumes_states.add_client_error("send_task_success", "AccessDeniedException")
    expect_answer(jobs.resumes_states, job="job-2")
    # When both are told with an unreadable one between them
    assert jobs.complete(done(), "{", done("job-2")) == ["m0", "m1"]
    # Then the first is answered when it comes again
    expect_answer(jobs.resumes_states)
    assert jobs.complete(done()) == []


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[" * 200_000,
        "[]",
        "null",
        {},
        {"JobId": "j"},
        {"Status": "S"},
        {"JobId": 1, "Status": "S"},
        done(""),
        done("j", ""),
    ],
)
def test_a_message_that_is_no_completion_comes_back_and_is_not_kept(jobs: Jobs, body: Any) -> None:
    assert jobs.complete(body) == ["m0"]
    assert jobs.rows() == []


@pytest.mark.parametrize("code", ["BadDocumentException", "DocumentTooLargeException", "UnsupportedDocumentException"])
def test_what_textract_refuses_fails_the_state_at_once(jobs: Jobs, code: str) -> None:
    # Given a refusal whose text quotes the key
    jobs.textract.add_client_error("start_document_analysis", code, KEY)
    cause = "Textract refused the document."
    jobs.starts_states.add_response("send_task_failure", {}, {"taskToken": "token-1", "error": code, "cause": cause})
    # When it is started, Then the state is told, and no row is left
    jobs.start()
    assert jobs.rows() == []


def test_another_error_of_textract_is_raised_by_its_name_and_quotes_nothing(jobs: Jobs) -> None:
    jobs.textract.add_client_error("start_document_analysis", "LimitExceededException", KEY)
    with pytest.raises(Exception, match="StartDocumentAnalysis failed in request") as raised:
        jobs.start()
    assert raised.type.__name__ == "LimitExceededException"
    assert KEY not in str(raised.value)


def test_neither_log_holds_a_key_or_a_token(jobs: Jobs, document_log: Callable[[str], StringIO]) -> None:
    logs = [document_log("start_analysis"), document_log("resume")]
    jobs.expect_start()
    jobs.start()
    expect_answer(jobs.resumes_states)
    jobs.complete(done(), '{"anna-smith')
    written = "".join(log.getvalue() for log in logs)
    said = {json.loads(line)["message"] for line in written.splitlines()}
    assert said == {"job started", "resumed", "unreadable message"}
    assert "anna" not in written
    assert "token-1" not in written
