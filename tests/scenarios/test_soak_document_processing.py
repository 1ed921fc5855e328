"""Endurance: a hundred documents at once, faults and killed workers and doubled messages, and each has one end."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.cloud import LocalCloud
from scenarios.document_processing import FINAL, Desk, Upload, executions, findings, read_rows
from tests.conftest import FreshStack
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import FORM, UNSURE, pdf, png

DOCUMENTS = 100
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
    settings: Mapping[str, Any] = {**SMALL, "retry_attempts": 6, "maximum_receives": 10}
    outputs = fresh_stack(settings, architecture=ARCHITECTURE).outputs
    begin = time.monotonic()
    with Desk(cloud, outputs) as desk:
        clerk = Clerk(cloud, outputs, desk)
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
            uploads = list(pool.map(lambda one: clerk.upload(*one), chosen))
        # and each event comes once more
        for start in range(0, DOCUMENTS, 10):
            clerk.send(*(clerk.event(uploaded) for uploaded in uploads[start : start + 10]))
        rows = _until_all_ended(clerk, uploads)
        faults = {rule["id"]: rule for rule in cloud.control.faults()}
        cloud.control.faults_clear()

        # Then the storm was one: workers were killed, and attempts failed
        assert [faults[kill]["applied"] for kill in kills] == [1] * len(KILLS)
        assert sum(rule["applied"] for rule in faults.values() if rule["kind"] in ("throttle", "internal")) > DOCUMENTS
        # Then each document has one end, with its reason where it is no success
        ends = Counter(row["status"] for row in rows.values())
        assert sum(ends.values()) == DOCUMENTS
        assert set(ends) <= set(FINAL)
        assert all(row["reason"]["code"] for row in rows.values() if row["status"] != "COMPLETED")
        # none is stuck, none was run twice
        runs = list(executions(cloud, outputs))
        assert Counter(run["status"] for run in runs).get("RUNNING", 0) == 0
        assert Counter(run["name"] for run in runs) == Counter(row["document_id"] for row in rows.values())
        # and no finding is there twice: as many rows as the document's own row says
        for uploaded in uploads:
            row = rows[uploaded.document, uploaded.version]
            if row["status"] == "COMPLETED":
                found = findings(cloud, outputs, uploaded.document, uploaded.version)
                assert [len(found[kind]) for kind in ("field", "table", "entity")] == [
                    int(row[kind]) for kind in ("fields", "tables", "entities")
                ]
        # When everything is over, and the messages of all jobs come once more
        jobs = cloud.client("dynamodb").scan(TableName=outputs["JobsTableName"], ConsistentRead=True)["Items"]
        for job in jobs:
            message = json.dumps({"JobId": job["job"]["S"], "Status": "SUCCEEDED", "API": "StartDocumentAnalysis"})
            cloud.client("sns").publish(TopicArn=outputs["CompletionTopicArn"], Message=message)
        clerk.until(clerk.empty, "the queues to be empty", hurry=True)
        # Then nothing changes
        assert _rows(clerk, uploads) == rows
        assert len(list(executions(cloud, outputs))) == DOCUMENTS
    with capsys.disabled():
        reasons = Counter(row["reason"]["code"] for row in rows.values() if row["status"] == "FAILED")
        print(f"\n{DOCUMENTS} documents in {time.monotonic() - begin:.0f} s: {dict(ends)}, failed of {dict(reasons)}")


def _rows(clerk: Clerk, uploads: list[Upload]) -> dict[tuple[str, str], dict[str, Any]]:
    return read_rows(clerk.cloud, clerk.outputs, [(one.document, one.version) for one in uploads])


def _until_all_ended(clerk: Clerk, uploads: list[Upload]) -> dict[tuple[str, str], dict[str, Any]]:
    """Answers every review, lets time pass in jumps while nothing else moves, and returns the final rows."""
    assert clerk.desk is not None
    end = time.monotonic() + PATIENCE_SECONDS
    answered: set[str] = set()
    while time.monotonic() < end:
        for review in clerk.desk.look():
            if review.review not in answered:
                page = clerk.visit(review)
                if page.status == 200:
                    page = clerk.visit(review, {"decision": "approve", "field-0": "PX-1"})
                if page.status in (200, 409, 410):
                    answered.add(review.review)
        rows = _rows(clerk, uploads)
        if len(rows) == len(uploads) and all(row["status"] in FINAL for row in rows.values()):
            return rows
        # Retries and visibility timeouts follow the cloud's clock.
        clerk.control.clock_advance(3)
        time.sleep(1)
    stuck = [row for row in rows.values() if row["status"] not in FINAL]
    raise AssertionError(
        f"{len(rows)} rows, {len(stuck)} not ended: {[clerk.states_entered(r['execution']) for r in stuck][:3]}"
    )
