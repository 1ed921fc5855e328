"""Read forms and documents: what happens when all goes well, once for each way through the state machine."""

from __future__ import annotations

import json
import re
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import demo
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy
from local.screen import Screen
from scenarios import document_processing
from scenarios.document_processing import Desk, corrector, findings, visit
from scenarios.drawing import documents
from stacks import catalogue
from tests.conftest import FreshStack
from tests.scenarios.clerk import ARCHITECTURE, SMALL, Clerk
from tests.scenarios.papers import FORM, SENTENCE, UNSURE, pdf, png, tiff


def test_an_image_of_one_page_is_read_at_once(clerk: Clerk) -> None:
    # Given a form of one page
    before = clerk.calls("textract.AnalyzeDocument"), clerk.calls("textract.StartDocumentAnalysis")
    # When it is uploaded
    uploaded = clerk.upload(png())
    row = clerk.wait_for(uploaded)
    # Then one call read it, and no job was started
    after = clerk.calls("textract.AnalyzeDocument"), clerk.calls("textract.StartDocumentAnalysis")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 0)
    # and its fields, its people and its mood are rows, and everything lies in one object
    found = findings(clerk.cloud, clerk.outputs, uploaded.document, uploaded.version)
    assert {field["name"]: field["value"] for field in found["field"]}.items() >= FORM.items()
    assert any("Alice Brown" in entity["text"] for entity in found["entity"])
    assert row["sentiment"] == "POSITIVE"
    assert row["reviewed"] is False
    body = clerk.cloud.client("s3").get_object(Bucket=clerk.outputs["BucketName"], Key=row["result"])["Body"]
    result = json.loads(body.read())
    assert len(result["fields"]) == int(row["fields"])
    assert {one["type"] for one in result["personal_data"]} >= {"NAME"}
    # Personal data is told by its kind, not copied once more
    assert all("text" not in one for one in result["personal_data"])


@pytest.mark.parametrize("kind", ["pdf", "tiff"])
def test_a_document_of_several_pages_is_read_by_a_job(clerk: Clerk, kind: str) -> None:
    # Given a document of two pages
    pages = [FORM, {"Policy": "AB1234567", "Employer": "Harbor Foods"}]
    before = clerk.calls("textract.StartDocumentAnalysis")
    # When it is uploaded
    uploaded = clerk.upload(pdf(pages) if kind == "pdf" else tiff(pages), f"form.{kind}")
    row = clerk.wait_for(uploaded)
    # Then a job read both pages
    assert clerk.calls("textract.StartDocumentAnalysis") == before + 1
    assert int(row["pages"]) == 2
    found = findings(clerk.cloud, clerk.outputs, uploaded.document, uploaded.version)
    assert {(int(field["page"]), field["value"]) for field in found["field"]} >= {
        (1, "PX7712208"),
        (2, "AB1234567"),
        (2, "Harbor Foods"),
    }
    # and the state waited for its message: it asked the job for its result once, when that was there
    states = clerk.states_entered(row["execution"])
    assert states.count("Start analysis") == 1
    assert "Collect result" in states


def test_a_doubtful_field_goes_to_a_person_and_the_correction_is_kept(clerk: Clerk) -> None:
    # Given a form on which a field that matters is not found
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    shown = clerk.visit(review).json()["fields"]
    assert [field["name"] for field in shown] == ["Policy"]
    # When a reviewer gives it
    answer = clerk.visit(review, {"decision": "approve", "field-0": "PX-1"})
    assert (answer.status, answer.json()["code"]) == (200, "Approved")
    # Then the row says so, and the field is there, with what had been read
    row = clerk.wait_for(uploaded)
    assert (row["reviewed"], int(row["corrections"])) == (True, 1)
    found = findings(clerk.cloud, clerk.outputs, uploaded.document, uploaded.version)
    (field,) = [field for field in found["field"] if field["name"] == "Policy"]
    assert (field["value"], field["read_value"], field["reviewed"]) == ("PX-1", "", True)


def test_a_document_that_a_reviewer_rejects_is_a_row_with_the_reason(clerk: Clerk) -> None:
    # Given an open review
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    # When the reviewer rejects the document
    answer = clerk.visit(review, {"decision": "reject", "reason": "illegible"})
    assert (answer.status, answer.json()["code"]) == (200, "Rejected")
    # Then it is a result, not a failure
    row = clerk.wait_for(uploaded, "REJECTED")
    assert row["reason"]["code"] == "RejectedByReviewer"
    assert clerk.states.describe_execution(executionArn=row["execution"])["status"] == "SUCCEEDED"


def test_looking_uses_no_link_up_and_answering_does(clerk: Clerk) -> None:
    # Given an open review, whose link a mail scanner has followed
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    assert [clerk.visit(review).status for _ in range(3)] == [200, 200, 200]
    # When it is answered
    assert clerk.visit(review, {"decision": "approve", "field-0": "one"}).status == 200
    clerk.wait_for(uploaded)
    # Then the link shows nothing any more, and takes no other answer
    assert clerk.visit(review).status == 410
    second = clerk.visit(review, {"decision": "reject"})
    assert (second.status, second.json()["code"]) == (409, "AnsweredByAnother")
    # but the same answer, sent again after a lost connection, is no second reviewer
    again = clerk.visit(review, {"decision": "approve", "field-0": "one"})
    assert again.json()["code"] in ("Approved", "TooLate")


def test_of_two_reviewers_at_once_one_wins_and_the_other_is_told(clerk: Clerk) -> None:
    # Given an open review and two people who answer it differently
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    given = [{"decision": "approve", "field-0": value} for value in ("left", "right")]
    # When they answer at the same moment
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda answer: clerk.visit(review, answer), given))
    # Then one of them wins, and the other learns it
    assert sorted(answer.status for answer in answers) == [200, 409]
    winner = next(one["field-0"] for one, answer in zip(given, answers, strict=True) if answer.status == 200)
    clerk.wait_for(uploaded)
    found = findings(clerk.cloud, clerk.outputs, uploaded.document, uploaded.version)
    assert [field["value"] for field in found["field"] if field["name"] == "Policy"] == [winner]


@pytest.mark.parametrize("change", ["signature", "payload", "nothing"])
def test_a_forged_link_is_refused(clerk: Clerk, change: str) -> None:
    # Given an open review, and a link to it that was not signed here
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    start, _, link = review.url.rpartition("/")
    payload, _, signature = link.partition(".")
    other = "A" if signature[3] != "A" else "B"
    forged = {
        "signature": f"{payload}.{signature[:3]}{other}{signature[4:]}",
        "payload": f"{payload[:8]}{'A' if payload[8] != 'A' else 'B'}{payload[9:]}.{signature}",
        "nothing": "nothing",
    }[change]
    url, review.url = review.url, f"{start}/{forged}"
    # When it is followed, or answered
    # Then it is refused, and the review stays open
    assert clerk.visit(review).status == 403
    assert clerk.visit(review, {"decision": "approve"}).status == 403
    review.url = url
    assert clerk.visit(review, {"decision": "reject"}).status == 200
    clerk.wait_for(uploaded, "REJECTED")


def test_a_link_at_an_address_of_ones_own_is_opened_as_it_was_sent(cloud: LocalCloud, fresh_stack: FreshStack) -> None:
    # Given a stack whose reviewers reach the page elsewhere than at AWS's address: here, where this cloud answers
    stack = fresh_stack(assembly=synthesize(ARCHITECTURE, settings={ARCHITECTURE: SMALL}), architecture=ARCHITECTURE)
    address = cloud.reachable(stack.outputs["ReviewUrl"])
    again = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {**SMALL, "review_base_url": address}})
    outputs = deploy(cloud, again, stack.name, artifact=ARCHITECTURE)
    with Desk(cloud, outputs) as desk:
        clerk = Clerk(cloud, outputs, desk)
        uploaded = clerk.upload(png(UNSURE))
        review = clerk.review_of(uploaded)
        assert review.sent.startswith(f"{address.rstrip('/')}/review/")
        # When its link is opened just as it stands in the message
        page = visit(cloud, review.sent, accept="text/html")
        # Then the page is there and so are its pictures, at the addresses that stand in it
        assert page.status == 200
        pictures = set(re.findall(r'<(?:img|image)[^>]* (?:src|href)="([^"]+)"', page.body.decode()))
        assert pictures
        for picture in pictures:
            shown = visit(cloud, urllib.parse.urljoin(review.sent, picture), accept="image/*")
            assert (shown.status, shown.headers["Content-Type"]) == (200, "image/jpeg")
        # and the answer arrives
        assert visit(cloud, review.sent, {"decision": "approve", "field-0": "PX-1"}).status == 200
        assert clerk.wait_for(uploaded)["reviewed"] is True


def test_the_demo_on_a_cloud_that_stays_leaves_a_review_that_a_person_can_open(
    cloud: LocalCloud, document_outputs: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Given a cloud that is up, with the stack on it, and a form
    screen, form = Screen(), tmp_path / "form.png"
    form.write_bytes(png())
    # When the demo has run there and is shown
    outcome = demo.run(catalogue.get(ARCHITECTURE), [form], screen, cloud.name)
    demo.show(outcome, screen, "python -m local")
    # Then it shows, in one piece, a link that this machine answers as a browser asks for it
    (link,) = re.findall(r"^https://\S+/review/\S+$", capsys.readouterr().out, re.MULTILINE)
    assert outcome.standing.outputs == document_outputs
    assert outcome.to_json()["open_link"] == link
    page = visit(cloud, link, accept="text/html")
    assert page.status == 200
    assert b"Approve" in page.body
    assert visit(cloud, link, {"decision": "reject"}).status == 200


def test_the_page_keeps_to_itself(clerk: Clerk) -> None:
    # Given an open review
    uploaded = clerk.upload(png(UNSURE))
    review = clerk.review_of(uploaded)
    # When the page is asked for, as a browser does
    page = clerk.visit(review, accept="text/html")
    # Then nothing from elsewhere, nothing inline but what bears its nonce, and no copy of it is kept
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert b"onclick" not in page.body
    assert b"style=" not in page.body
    clerk.visit(review, {"decision": "reject"})
    clerk.wait_for(uploaded, "REJECTED")


def test_a_key_is_read_and_stored_as_the_user_wrote_it(clerk: Clerk) -> None:
    # Given names with spaces, signs that are encoded in some events, and letters beyond ASCII
    names = ["two words+plus.png", "Überweisung 50%41.png", urllib.parse.quote("a b.png")]
    # When they are uploaded
    uploads = [clerk.upload(png(), name) for name in names]
    # Then each has its row under its own name
    for uploaded in uploads:
        assert clerk.wait_for(uploaded)["document"] == f"{clerk.outputs['BucketName']}/{uploaded.key}"


def test_the_same_event_twice_is_one_execution_and_one_paid_call(clerk: Clerk) -> None:
    # Given a document whose event comes twice, in one batch and once more when it is done
    uploaded = clerk.quietly(png())
    before = clerk.calls("textract.AnalyzeDocument")
    clerk.send(clerk.event(uploaded), clerk.event(uploaded))
    clerk.wait_for(uploaded)
    clerk.send(clerk.event(uploaded))
    clerk.until(clerk.empty, "the queue to be empty")
    # Then it was started once, and paid for once
    assert len(clerk.executions_of(uploaded)) == 1
    assert clerk.calls("textract.AnalyzeDocument") == before + 1
    # and a second execution that somebody starts by hand finds that it is done
    row = clerk.row(uploaded)
    clerk.start_again(uploaded)
    clerk.until(
        lambda: all(one["status"] != "RUNNING" for one in document_processing.executions(clerk.cloud, clerk.outputs)),
        "the second execution to end",
    )
    assert clerk.row(uploaded) == row
    assert clerk.calls("textract.AnalyzeDocument") == before + 1


@pytest.mark.soak
def test_the_scenario_tells_what_became_of_each_document(
    cloud: LocalCloud, document_outputs: dict[str, str], tmp_path: Path
) -> None:
    # Given a drawn form with known truth, one that is doubtful and a file that is none
    drawn = documents.form(documents.DEVELOPMENT[0], seed=7)
    for name, body in (("drawn.pdf", drawn.pdf()), ("unsure.png", png(UNSURE)), ("broken.pdf", b"%PDF-1.7 nothing")):
        (tmp_path / name).write_bytes(body)
    truth = {field.key: field.value for field in drawn.fields}
    # When the scenario is run, with reviewers who know what stands there
    report = document_processing.run(
        cloud,
        document_outputs,
        [tmp_path / name for name in ("drawn.pdf", "unsure.png", "broken.pdf")],
        reviewer={"drawn.pdf": corrector(truth), "unsure.png": corrector({"Policy": "PX7712208"})},
        truths={"drawn.pdf": drawn},
    )
    # Then it says what was read, how right it is, what was corrected and what refused
    form, unsure, broken = report.documents
    assert report.complete
    assert (form.status, form.pages) == ("COMPLETED", 3)
    assert form.accuracy is not None
    assert form.accuracy.right + form.accuracy.wrong == len(drawn.fields)
    assert form.accuracy.fields_share > 0.9
    # nobody was asked about any of its fields, however unsure they are, as this stack was told that others matter
    assert (form.accuracy.reviewed_right, form.accuracy.reviewed_wrong) == (0, 0)
    assert form.tables
    assert (unsure.status, unsure.review, unsure.corrections) == ("COMPLETED", "Approved", 1)
    assert broken.status == "REJECTED"
    assert broken.reason is not None
    assert broken.reason.startswith("CorruptFile")


def test_no_log_holds_a_name_or_a_value(clerk: Clerk) -> None:
    # Given documents with telling names: one read at once, one by a job, one that was reviewed
    at_once = clerk.upload(png(), "jane-doe.png")
    by_job = clerk.upload(pdf([FORM, FORM]), "jane-doe.pdf")
    unsure = clerk.upload(png(UNSURE), "jane-doe-2.png")
    clerk.wait_for(at_once)
    clerk.wait_for(by_job)
    review = clerk.review_of(unsure)
    clerk.visit(review, {"decision": "approve", "field-0": "SECRETVALUE"})
    clerk.wait_for(unsure)
    # and one that fails with its words in hand
    clerk.control.faults_add(service="comprehend", operation="BatchDetectSentiment", kind="internal")
    clerk.wait_for(clerk.upload(png(), "jane-doe-3.png"), "FAILED", hurry=True)
    clerk.control.faults_clear()
    # When all logs of the stack are read
    clerk.until(lambda: clerk.log_lines("Workflow") and clerk.log_lines("RecordEnd"), "word of the failure")
    logs = clerk.all_log_lines()
    # Then each says something, but for what empties the bucket when the stack goes
    assert {group for group, lines in logs.items() if not lines} <= {"EmptiedDocumentsWorkerLogs"}
    assert len(logs) == 12
    # but no name, no value, no sentence and no link
    link = review.url.rpartition("/")[2]
    secrets = ("jane-doe", "SECRETVALUE", *FORM.values(), *UNSURE.values(), "Mary", "Alice Brown", SENTENCE, link)
    for group, lines in logs.items():
        for secret in secrets:
            assert not [line for line in lines if secret in line], f"{secret} in {group}"
