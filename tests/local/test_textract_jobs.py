"""Textract's jobs: results in pages, messages, failures, tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import faults
from local.services.textract import MAXIMUM_JOBS, SECONDS_KEPT, Textract
from scenarios.drawing.sheet import Sheet, as_pdf
from tests.local.standin import FakeCaller, client_of

TOPIC = "arn:aws:sns:us-east-1:000000000000:done"
ROLE = "arn:aws:iam::000000000000:role/textract-tells"
LOCATION = {"S3Object": {"Bucket": "inbox", "Name": "two.pdf"}}
CHANNEL = {"SNSTopicArn": TOPIC, "RoleArn": ROLE}


def two_pages() -> bytes:
    sheets = [Sheet((300, 200)), Sheet((300, 200))]
    for sheet, name in zip(sheets, ("Anna Berg", "Omar Diaz"), strict=True):
        sheet.text(20, 60, "Name:", "vera", 12)
        sheet.text(80, 60, name, "vera", 12)
    return as_pdf(sheets)


@pytest.fixture
def caller() -> FakeCaller:
    return FakeCaller(
        {("inbox", "two.pdf", None): two_pages(), ("inbox", "bad.pdf", None): b"%PDF-1.7\nno more than this"}
    )


@pytest.fixture(autouse=True)
def _no_faults() -> Iterator[None]:
    yield
    faults.clear()


def ended(client: Any, job: str, operation: str = "get_document_analysis") -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answer: dict[str, Any] = getattr(client, operation)(JobId=job)
        if answer["JobStatus"] != "IN_PROGRESS":
            return answer
        time.sleep(0.05)
    raise AssertionError("The job did not end")


def told(caller: FakeCaller) -> list[dict[str, Any]]:
    end = time.monotonic() + 10
    while not caller.published and time.monotonic() < end:
        time.sleep(0.02)
    return [json.loads(message) for _, _, message in caller.published]


def test_a_job_reads_every_page_and_tells_the_topic(caller: FakeCaller) -> None:
    # Given a PDF of two pages
    client, _ = client_of(Textract(), caller)
    # When its analysis is started with a tag and a channel
    before = time.time() * 1000
    job = client.start_document_analysis(
        DocumentLocation=LOCATION, FeatureTypes=["FORMS"], JobTag="claim-7", NotificationChannel=CHANNEL
    )["JobId"]
    answer = ended(client, job)
    # Then both pages are in the result
    assert answer["JobStatus"] == "SUCCEEDED"
    assert answer["DocumentMetadata"] == {"Pages": 2}
    assert [(one["Page"], one["Text"]) for one in answer["Blocks"] if one["BlockType"] == "WORD"] == [
        (1, "Name:"), (1, "Anna"), (1, "Berg"), (2, "Name:"), (2, "Omar"), (2, "Diaz"),
    ]  # fmt: skip
    # And the topic was told, as the role
    (message,) = told(caller)
    assert message.pop("Timestamp") >= before
    assert message == {
        "JobId": job,
        "Status": "SUCCEEDED",
        "API": "StartDocumentAnalysis",
        "JobTag": "claim-7",
        "DocumentLocation": {"S3ObjectName": "two.pdf", "S3Bucket": "inbox"},
    }
    assert caller.assumed == [(ROLE, "textract.amazonaws.com")]
    assert caller.published[0][0] == TOPIC


def test_results_come_in_pages(caller: FakeCaller) -> None:
    # Given a job that has ended
    client, _ = client_of(Textract(), caller)
    job = client.start_document_text_detection(DocumentLocation=LOCATION)["JobId"]
    whole = ended(client, job, "get_document_text_detection")["Blocks"]
    # When its result is fetched three blocks at a time
    found, token = [], None
    while True:
        answer = client.get_document_text_detection(JobId=job, MaxResults=3, **({"NextToken": token} if token else {}))
        assert len(answer["Blocks"]) <= 3
        found += answer["Blocks"]
        token = answer.get("NextToken")
        if not token:
            break
    # Then nothing is lost and nothing comes twice
    assert found == whole
    # And a token that the job did not give is refused
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.get_document_text_detection(JobId=job, NextToken="nonsense")


def test_a_broken_document_fails_its_job_and_the_topic_is_told(caller: FakeCaller) -> None:
    # Given a PDF that breaks off
    client, _ = client_of(Textract(), caller)
    # When its analysis is started
    job = client.start_document_analysis(
        DocumentLocation={"S3Object": {"Bucket": "inbox", "Name": "bad.pdf"}},
        FeatureTypes=["FORMS"],
        NotificationChannel=CHANNEL,
    )["JobId"]
    # Then it starts, and fails
    answer = ended(client, job)
    assert answer["JobStatus"] == "FAILED"
    assert answer["StatusMessage"] == "BAD_DOCUMENT"
    assert "Blocks" not in answer
    assert [(one["JobId"], one["Status"]) for one in told(caller)] == [(job, "FAILED")]


def test_a_fault_fails_the_job(caller: FakeCaller) -> None:
    # Given a fault of the next job
    faults.add(service="textract", operation="StartDocumentAnalysis", kind="fail-job", times=1)
    client, _ = client_of(Textract(), caller)
    # When two are started, one after the other, Then the first fails and the second does not
    for status in ("FAILED", "SUCCEEDED"):
        job = client.start_document_analysis(DocumentLocation=LOCATION, FeatureTypes=["FORMS"])["JobId"]
        assert ended(client, job)["JobStatus"] == status


def test_a_token_starts_one_job(caller: FakeCaller) -> None:
    # Given a job that was started with a token
    client, _ = client_of(Textract(), caller)
    request = {"DocumentLocation": LOCATION, "FeatureTypes": ["FORMS"], "ClientRequestToken": "once"}
    job = client.start_document_analysis(**request)["JobId"]
    # When the request comes again, Then it is the same job
    assert client.start_document_analysis(**request)["JobId"] == job
    # And with other parameters it is refused
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        client.start_document_analysis(**request, JobTag="other")
    ended(client, job)


def test_the_result_goes_to_the_bucket_with_the_key(caller: FakeCaller) -> None:
    # Given a job with a place for its result and a key
    client, _ = client_of(Textract(), caller)
    key = "11111111-2222-3333-4444-555555555555"
    job = client.start_document_text_detection(
        DocumentLocation=LOCATION, OutputConfig={"S3Bucket": "results", "S3Prefix": "read"}, KMSKeyId=key
    )["JobId"]
    # When it has ended
    blocks = ended(client, job, "get_document_text_detection")["Blocks"]
    # Then the result lies there, under that key
    place = ("results", f"read/{job}/1")
    assert caller.written[place] == ("application/json", key)
    written = caller.objects["results", f"read/{job}/1", None]
    assert isinstance(written, bytes)
    assert json.loads(written)["Blocks"] == blocks


def test_what_is_no_key_is_refused(caller: FakeCaller) -> None:
    # Given something that is neither a key's id, an alias nor an ARN
    client, _ = client_of(Textract(), caller)
    # When a job is to use it, Then the request is refused
    with pytest.raises(client.exceptions.InvalidKMSKeyException):
        client.start_document_text_detection(DocumentLocation=LOCATION, KMSKeyId="my key".replace(" ", "-"))


def test_a_job_is_known_to_its_own_operation_only(caller: FakeCaller) -> None:
    # Given a job of text detection
    client, _ = client_of(Textract(), caller)
    job = client.start_document_text_detection(DocumentLocation=LOCATION)["JobId"]
    # When the other operation asks for it, or somebody asks for none, Then it is unknown
    for asked in (job, "nobody"):
        with pytest.raises(client.exceptions.InvalidJobIdException):
            client.get_document_analysis(JobId=asked)
    ended(client, job, "get_document_text_detection")


def test_a_result_is_kept_seven_days(caller: FakeCaller) -> None:
    # Given a job that has ended, and a clock
    now = [1_000_000.0]
    client, _ = client_of(Textract(lambda: now[0]), caller)
    job = client.start_document_text_detection(DocumentLocation=LOCATION)["JobId"]
    ended(client, job, "get_document_text_detection")
    # When seven days have passed, Then it is still there; a second later it is not
    now[0] += SECONDS_KEPT
    assert client.get_document_text_detection(JobId=job)["JobStatus"] == "SUCCEEDED"
    now[0] += 1
    with pytest.raises(client.exceptions.InvalidJobIdException):
        client.get_document_text_detection(JobId=job)


def test_too_many_jobs_at_a_time_are_refused(caller: FakeCaller) -> None:
    # Given as many jobs in progress as there may be
    caller.objects["inbox", "bad.pdf", None] = b"%PDF-1.7\nno more than this"
    location = {"S3Object": {"Bucket": "inbox", "Name": "bad.pdf"}}
    faults.add(service="textract", kind="slow-job", seconds=0.02)
    client, _ = client_of(Textract(), caller, retry_mode="legacy")
    jobs = [client.start_document_text_detection(DocumentLocation=location)["JobId"] for _ in range(MAXIMUM_JOBS // 2)]
    # When more are started than end meanwhile, Then one is refused
    with pytest.raises(ClientError) as raised:  # noqa: PT012 (which of the calls is refused depends on the machine)
        for _ in range(MAXIMUM_JOBS * 4):
            jobs.append(client.start_document_text_detection(DocumentLocation=location)["JobId"])  # noqa: PERF401
    assert raised.value.response["Error"]["Code"] == "LimitExceededException"
    faults.clear()
    ended(client, jobs[-1], "get_document_text_detection")
