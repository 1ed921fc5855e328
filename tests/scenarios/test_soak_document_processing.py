"""Endurance: a hundred documents at once, faults and killed workers and doubled messages, and each has one end."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from scenarios.document_processing import FINAL, Desk, Upload, executions, read_rows
from tests.conftest import FreshStack
from tests.local.emulated import subscribed
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import FORM, UNSURE, pdf, png

Called = TypeVar("Called")

# A message that is lost is waited for longer than all jobs take, and then the cloud's clock leaps.
SETTINGS: Mapping[str, Any] = {
    **SMALL,
    "retry_attempts": 10,
    "maximum_receives": 10,
    "analysis_timeout_seconds": 3600,
    "review_reminder_seconds": 3600,
    "review_deadline_seconds": 36_000,
}
DOCUMENTS = 100
# Every tenth file is no document. Of the others, jobs may fail: one in ten, of every second document.
BAD_FILES = 10
FEWEST_COMPLETED = 60
EXPECTED_FAILURES = {"TextractJobFailed"}
PATIENCE_SECONDS = 1200.0
# A fifth of all attempts fails, in each of the services that a document meets.
FAULTY = (
    ("textract", "AnalyzeDocument"),
    ("textract", "StartDocumentAnalysis"),
    ("textract", "GetDocumentAnalysis"),
    ("comprehend", "BatchDetectEntities"),
    ("comprehend", "BatchDetectSentiment"),
    ("comprehend", "DetectPiiEntities"),
    ("dynamodb", "BatchWriteItem"),
    ("dynamodb", "UpdateItem"),
    ("s3", "GetObject"),
    ("s3", "PutObject"),
    # Of links, of failures, and of the ends of jobs: one of those that is lost is not sent again.
    ("sns", "Publish"),
    ("states", "StartExecution"),
    ("states", "SendTaskSuccess"),
    ("secretsmanager", "GetSecretValue"),
)
# A worker is killed after each of these has taken effect, and before it can tell.
KILLS = (
    ("textract", "AnalyzeDocument"),
    ("textract", "StartDocumentAnalysis"),
    ("dynamodb", "BatchWriteItem"),
    ("dynamodb", "UpdateItem"),
    ("s3", "PutObject"),
)


@pytest.mark.soak
def test_a_hundred_documents_in_a_storm_have_one_end_each(
    cloud: LocalCloud, fresh_stack: FreshStack, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a stack, services that fail at every fifth attempt, and five workers that will be killed
    outputs = fresh_stack(SETTINGS, architecture=ARCHITECTURE).outputs
    begin = time.monotonic()
    with Desk(cloud, outputs) as desk, subscribed(cloud, outputs["FailureTopicArn"]) as told:
        storm = Storm(Clerk(cloud, outputs, desk))
        kills = [
            cloud.control.faults_add(service=service, operation=operation, kind="kill-worker", when="after", times=1)
            for service, operation in KILLS
        ]
        for number, (service, operation) in enumerate(FAULTY):
            kind = "throttle" if number % 2 else "internal"
            cloud.control.faults_add(service=service, operation=operation, kind=kind, probability=0.2)
        # and a tenth of the jobs that fail
        cloud.control.faults_add(
            service="textract", operation="StartDocumentAnalysis", kind="fail-job", probability=0.1
        )
        # When a hundred documents are uploaded at once: clear ones, doubtful ones, jobs, and files that are none
        bodies = [(png(), "a.png"), (png(UNSURE), "b.png"), (pdf([FORM]), "c.pdf"), (pdf([FORM, FORM]), "d.pdf")]
        chosen = [bodies[n % 4] if n % 10 != 9 else (b"nothing", "e.pdf") for n in range(DOCUMENTS)]
        with ThreadPoolExecutor(8) as pool:
            uploads = list(pool.map(storm.upload, chosen))
        # and each event comes once more, and so does the end of each job
        for start in range(0, DOCUMENTS, 10):
            storm.clerk.send(*(storm.clerk.event(uploaded) for uploaded in uploads[start : start + 10]))
        rows = storm.until_all_ended(uploads)
        faults = {rule["id"]: rule for rule in cloud.control.faults()}
        cloud.control.faults_clear()

        # Then the storm was one: workers were killed, attempts failed at each service, and ends of jobs came again
        assert [faults[kill]["applied"] for kill in kills] == [1] * len(KILLS)
        failed = {
            (rule["service"], rule["operation"]): rule["applied"]
            for rule in faults.values()
            if rule["kind"] in ("throttle", "internal")
        }
        assert set(failed) == set(FAULTY)
        assert all(failed.values()), failed
        assert sum(failed.values()) > 2 * DOCUMENTS
        assert len(storm.told_again) > DOCUMENTS // 4
        # Then each document has one end, and it is the right one: bad files are rejected, the others done,
        ends = Counter(row["status"] for row in rows.values())
        assert sum(ends.values()) == DOCUMENTS
        assert set(ends) <= set(FINAL)
        bad = {
            (one.document, one.version) for one, (body, _) in zip(uploads, chosen, strict=True) if body == b"nothing"
        }
        assert {key for key, row in rows.items() if row["status"] == "REJECTED"} == bad
        assert len(bad) == BAD_FILES
        assert {rows[key]["reason"]["code"] for key in bad} == {"UnsupportedFormat"}
        reasons = Counter(row["reason"]["code"] for row in rows.values() if row["status"] == "FAILED")
        assert set(reasons) <= EXPECTED_FAILURES, reasons
        assert ends["COMPLETED"] >= FEWEST_COMPLETED, ends
        # none is stuck, none was run twice, and nothing was given up on its way
        storm.clerk.until(lambda: storm.running() == 0, "the last execution to end", hurry=True)
        runs = list(executions(cloud, outputs))
        assert Counter(run["name"] for run in runs) == Counter(row["document_id"] for row in rows.values())
        assert storm.clerk.letters("UploadDeadLetterQueueUrl") == []
        assert storm.clerk.letters("JobDeadLetterQueueUrl") == []
        # and no finding is there twice or missing: as many rows as the document's own row says
        for uploaded in uploads:
            if rows[uploaded.document, uploaded.version]["status"] == "COMPLETED":
                storm.clerk.check_findings(uploaded)
        # and somebody was told of each failure
        heard: set[str] = set()
        while messages := told():
            heard |= {json.loads(message)["document"] for message in messages}
        assert heard == {row["document_id"] for row in rows.values() if row["status"] == "FAILED"}
        # When everything is over, and the messages of all jobs come once more
        for job, row in storm.jobs().items():
            storm.tell_of(job, row.get("job_status", "SUCCEEDED"))
        storm.clerk.until(storm.clerk.empty, "the queues to be empty", hurry=True)
        # Then nothing changes
        assert storm.rows(uploads) == rows
        assert len(list(executions(cloud, outputs))) == DOCUMENTS
    with capsys.disabled():
        print(
            f"\n{DOCUMENTS} documents in {time.monotonic() - begin:.0f} s: {dict(ends)}, failed of {dict(reasons)};"
            f" {sum(failed.values())} attempts failed, {len(storm.told_again)} ends of jobs came twice,"
            f" {len(storm.lost)} never"
        )


Rows = dict[tuple[str, str], dict[str, Any]]


class Storm:
    """What people and services do while it lasts.

    `told_again` are the jobs whose end was told once more, `lost` those whose end was never told.
    """

    def __init__(self, clerk: Clerk) -> None:
        self.clerk = clerk
        self.told_again: set[str] = set()
        self.lost: set[str] = set()
        self._answered: set[str] = set()
        self._sent: set[str] = set()

    def upload(self, one: tuple[bytes, str]) -> Upload:
        """Puts a document, as often as it takes: a user whose upload fails tries again."""
        return _patiently(lambda: self.clerk.upload(*one))

    def rows(self, uploads: list[Upload]) -> Rows:
        """The documents' own rows, as far as there are any."""
        return read_rows(self.clerk.cloud, self.clerk.outputs, [(one.document, one.version) for one in uploads])

    def running(self) -> int:
        """How many executions have not ended."""
        found = executions(self.clerk.cloud, self.clerk.outputs)
        return sum(1 for run in found if run["status"] == "RUNNING")

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs that were started: {"document"}, and {"job_status"} where its end was heard."""
        table = self.clerk.outputs["JobsTableName"]
        items = self.clerk.cloud.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
        return {
            item["job"]["S"]: {name: item[name]["S"] for name in ("document", "job_status") if name in item}
            for item in items
        }

    def tell_of(self, job: str, status: str) -> None:
        """Publishes the end of a job, as Textract does."""
        message = json.dumps({"JobId": job, "Status": status, "API": "StartDocumentAnalysis"})
        topic = self.clerk.outputs["CompletionTopicArn"]
        _patiently(lambda: self.clerk.cloud.client("sns").publish(TopicArn=topic, Message=message))

    def until_all_ended(self, uploads: list[Upload]) -> Rows:
        """Answers reviews, doubles messages and lets time pass; the final rows."""
        end = time.monotonic() + PATIENCE_SECONDS
        rows: Rows = {}
        while time.monotonic() < end:
            self._answer_reviews()
            jobs = self.jobs()
            for job, row in jobs.items():
                if "job_status" in row and job not in self.told_again:
                    self.told_again.add(job)
                    self.tell_of(job, row["job_status"])
            rows = self.rows(uploads)
            still_open = {row["document_id"] for row in rows.values() if row["status"] not in FINAL}
            if len(rows) == len(uploads) and not still_open:
                return rows
            # Retries and visibility timeouts follow the cloud's clock.
            self.clerk.control.clock_advance(3)
            if len(rows) == len(uploads):
                self._pass_what_is_lost(still_open, jobs)
            time.sleep(1)
        stuck = [row for row in rows.values() if row["status"] not in FINAL]
        states = [self.clerk.states_entered(row["execution"]) for row in stuck][:3]
        raise AssertionError(f"{len(rows)} rows, {len(stuck)} not ended: {states}")

    def _answer_reviews(self) -> None:
        """A reviewer who is told that it did not work sends the same answer again."""
        assert self.clerk.desk is not None
        self.clerk.desk.look()
        for review in [one for one in self.clerk.desk.reviews.values() if one.review not in self._answered]:
            if review.review not in self._sent and self.clerk.visit(review).status != 200:
                continue
            self._sent.add(review.review)
            if self.clerk.visit(review, {"decision": "approve", "field-0": "PX-1"}).status in (200, 410):
                self._answered.add(review.review)

    def _pass_what_is_lost(self, still_open: set[str], jobs: Mapping[str, Mapping[str, str]]) -> None:
        """Where documents wait for nothing but messages that were lost, their states' time is over.

        Once a document: afterwards it is at work, and what it calls has its time, too.
        """
        unheard = {
            job: row["document"]
            for job, row in jobs.items()
            if "job_status" not in row and row.get("document") in still_open and job not in self.lost
        }
        if still_open == set(unheard.values()) and all(map(self._has_ended, unheard)):
            self.lost |= set(unheard)
            self.clerk.control.clock_advance(SETTINGS["analysis_timeout_seconds"])

    def _has_ended(self, job: str) -> bool:
        textract = self.clerk.cloud.client("textract")
        answer = _patiently(lambda: textract.get_document_analysis(JobId=job, MaxResults=1))
        return bool(answer["JobStatus"] != "IN_PROGRESS")


def _patiently(call: Callable[[], Called]) -> Called:
    """What a call returns, once it does not fail."""
    for _ in range(20):
        with contextlib.suppress(ClientError):
            return call()
        time.sleep(0.1)
    return call()
