"""The question to a reviewer and the page that takes the answer, over moto, with Step Functions stubbed."""

from __future__ import annotations

import base64
import contextlib
import html.parser
import io
import json
import re
import time
import types
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from lambdas.document_processing import links, places
from lambdas.document_processing.review_page import answers, page
from tests.unit.conftest import Context, make_table

DOCUMENT = "d" * 40
BOX = {"left": 0.5, "top": 0.5, "width": 0.1, "height": 0.02}
NOBODY_WAITS = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")
FORM = "application/x-www-form-urlencoded"
IMAGES = [{"page": 1, "width": 800, "height": 1000}]


def doubt(name: str = "Name", value: str = "Anna Smith", kind: str = "text", number: int = 0) -> dict[str, Any]:
    place = {"page": 1, "name_box": None, "value_box": BOX if number >= 0 else None}
    return {"name": name, "value": value, "kind": kind, "confidence": 41.0, "number": number, **place}


DOUBTS = [doubt(), doubt("Agreed", "SELECTED", "selection", 3)]


class Reviews:
    """Drives both handlers over one table."""

    def __init__(self, ask: types.ModuleType, page_module: types.ModuleType) -> None:
        self.ask_module, self.page_module = ask, page_module
        self.asks_states = Stubber(ask.clients["stepfunctions"])
        self.states = Stubber(page_module.clients["stepfunctions"])
        self.dynamodb, self.s3 = page_module.clients["dynamodb"], page_module.clients["s3"]
        self.published: list[dict[str, Any]] = []

    def ask(self, token: str = "token-1") -> None:
        event = {"bucket": "documents", "key": "anna.pdf", "version": "v1", "document": DOCUMENT}
        event |= {"execution": "arn:aws:states:us-east-1:123456789012:execution:documents:x", "token": token}
        self.ask_module.handler({**event, "doubts": 2, "images": IMAGES}, Context())

    def link(self) -> str:
        return str(self.published[-1]["url"].rpartition("/")[2])

    def row(self) -> dict[str, Any]:
        (found,) = self.dynamodb.scan(TableName="reviews")["Items"]
        return dict(found)

    def visit(self, method: str = "GET", body: Any = None, link: str = "", **more: Any) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        elif body is not None:
            headers["Content-Type"] = FORM
        event = {"httpMethod": method, "pathParameters": {"link": link or self.link()}, "headers": headers}
        return dict(self.page_module.handler({**event, "body": body, **more}, Context()))

    def expect_answer(self, decision: str = "approve", token: str = "token-1", states: Stubber | None = None) -> None:
        output = json.dumps({"decision": decision, "review": self.row()["review"]["S"]})
        (states or self.states).add_response("send_task_success", {}, {"taskToken": token, "output": output})

    def expire(self) -> None:
        self.dynamodb.update_item(
            TableName="reviews",
            Key={"review": self.row()["review"]},
            UpdateExpression="SET ends = :past",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )


@pytest.fixture
def reviews(document_handler: Callable[[str], types.ModuleType], monkeypatch: pytest.MonkeyPatch) -> Iterator[Reviews]:
    made = Reviews(document_handler("ask_reviewer"), document_handler("review_page"))

    def publish(**request: Any) -> None:
        made.published.append(json.loads(request["Message"]))

    monkeypatch.setattr(made.ask_module.clients["sns"], "publish", publish)
    with mock_aws():
        make_table(made.dynamodb, "reviews", "review")
        made.s3.create_bucket(Bucket="documents")
        made.s3.put_object(
            Bucket="documents", Key=places.doubts(DOCUMENT), Body=json.dumps({"fields": DOUBTS}).encode()
        )
        made.s3.put_object(Bucket="documents", Key=places.page_image(DOCUMENT, 1), Body=b"\xff\xd8picture")
        secrets = made.ask_module.clients["secretsmanager"]
        secrets.create_secret(Name="link-secret", SecretString="secret")
        # A secret of this test alone: a worker remembers keys.
        for module in (made.ask_module, made.page_module):
            monkeypatch.setattr(module, "keys", links.Keys(module.clients["secretsmanager"], "link-secret"))
        with made.asks_states, made.states:
            yield made
            made.asks_states.assert_no_pending_responses()
            made.states.assert_no_pending_responses()


# --- ask_reviewer


def test_a_reviewer_gets_a_link_and_nothing_of_the_document(reviews: Reviews) -> None:
    # When a reviewer is asked
    began = time.time()
    reviews.ask()
    # Then the message has a link that is open for the time that was set, and names no key
    (message,) = reviews.published
    assert set(message) == {"review", "document", "doubtful_fields", "url", "open_until"}
    assert message["doubtful_fields"] == 2
    assert message["url"].startswith("https://reviews.example/review/")
    assert "anna" not in json.dumps(message)
    assert int(reviews.row()["ends"]["N"]) == pytest.approx(began + 3600, abs=3)
    # and the link leads there
    assert json.loads(reviews.visit()["body"])["review"] == message["review"]


def test_a_reminder_has_the_same_link_and_a_new_token(reviews: Reviews) -> None:
    # Given a reviewer who is reminded
    reviews.ask()
    before = reviews.row()
    reviews.ask("token-2")
    # Then link and end are the same, and the answer goes to the newer token
    assert reviews.published[0] == reviews.published[1]
    assert {**reviews.row(), "token": before["token"]} == before
    reviews.expect_answer(token="token-2")
    assert reviews.visit("POST", {"decision": "approve"})["statusCode"] == 200


@pytest.mark.parametrize("code", [None, *NOBODY_WAITS])
def test_an_answer_that_stands_already_is_given_to_the_new_token(reviews: Reviews, code: str | None) -> None:
    # Given an answer whose delivery failed
    reviews.ask()
    reviews.states.add_client_error("send_task_success", "ThrottlingException")
    assert reviews.visit("POST", {"decision": "reject"})["statusCode"] == 503
    # When the state asks again, Then it has its answer, and nobody is asked
    if code:
        reviews.asks_states.add_client_error("send_task_success", code)
    else:
        reviews.expect_answer("reject", "token-2", reviews.asks_states)
    reviews.ask("token-2")
    assert len(reviews.published) == 1


def test_a_review_that_nobody_answered_ends_its_state(reviews: Reviews) -> None:
    reviews.ask()
    reviews.expire()
    reviews.asks_states.add_response(
        "send_task_failure",
        {},
        {"taskToken": "token-2", "error": "ReviewExpired", "cause": "Nobody answered in time."},
    )
    reviews.ask("token-2")
    assert len(reviews.published) == 1


# --- review_page


def test_the_answer_is_stored_and_the_state_goes_on(reviews: Reviews) -> None:
    # Given a form with a correction
    reviews.ask()
    reviews.expect_answer()
    body = urllib.parse.urlencode({"decision": "approve", "field-0": "Ana Smith", "reason": ""})
    # When it is sent in base64, as API Gateway may
    answer = reviews.visit("POST", base64.b64encode(body.encode()).decode(), isBase64Encoded=True)
    # Then it is taken
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (200, "Approved")
    kept = json.loads(reviews.row()["answer"]["S"])
    assert [(one["number"], one["value"]) for one in kept["fields"]] == [(0, "Ana Smith"), (3, "SELECTED")]


def test_the_second_reviewer_is_told_and_the_same_answer_again_is_delivered_again(reviews: Reviews) -> None:
    # Given an answer
    reviews.ask()
    reviews.expect_answer()
    assert reviews.visit("POST", {"decision": "approve"})["statusCode"] == 200
    before = reviews.row()
    # When others come, readable or not, Then they are told
    for body in ({"decision": "reject"}, {"decision": "approve", "field-0": "Eve"}, {"decision": "?"}):
        assert reviews.visit("POST", body)["statusCode"] == 409
    # When the same comes again, Then it is delivered again
    reviews.expect_answer()
    assert reviews.visit("POST", {"decision": "approve"})["statusCode"] == 200
    assert reviews.row() == before
    # and who only looks is told
    assert reviews.visit()["statusCode"] == 410


def test_an_answer_between_look_and_write_wins(reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given another answer that is stored after this one has seen none
    reviews.ask()
    real = reviews.page_module.answers.parse
    other = {":other": {"S": json.dumps({"decision": "reject"})}}

    def parse(*arguments: Any) -> Any:
        reviews.dynamodb.update_item(
            TableName="reviews",
            Key={"review": reviews.row()["review"]},
            UpdateExpression="SET answer = :other",
            ExpressionAttributeValues=other,
        )
        return real(*arguments)

    monkeypatch.setattr(reviews.page_module.answers, "parse", parse)
    # When this one is sent, Then the other stands, and no state is answered
    assert reviews.visit("POST", {"decision": "approve"})["statusCode"] == 409
    assert reviews.row()["answer"] == other[":other"]


@pytest.mark.parametrize("code", NOBODY_WAITS)
@pytest.mark.parametrize(("status", "expected"), [("RUNNING", 200), ("ABORTED", 410), (None, 410)])
def test_an_answer_to_a_token_that_is_over_counts_while_the_execution_runs(
    reviews: Reviews, code: str, status: str | None, expected: int
) -> None:
    reviews.ask()
    reviews.states.add_client_error("send_task_success", code)
    if status:
        arn = reviews.row()["execution"]["S"]
        described = {"executionArn": arn, "stateMachineArn": arn, "status": status, "startDate": 0}
        reviews.states.add_response(
            "describe_execution", described, {"executionArn": arn, "includedData": "METADATA_ONLY"}
        )
    else:
        reviews.states.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert reviews.visit("POST", {"decision": "approve"})["statusCode"] == expected
    assert "answer" in reviews.row()


def test_links_that_are_old_forged_or_lead_nowhere_are_told_apart(reviews: Reviews) -> None:
    reviews.ask()
    key = reviews.page_module.keys.newest()
    review, ends = reviews.row()["review"]["S"], int(time.time()) + 60
    assert reviews.visit(link=links.sign(review, 1, key))["statusCode"] == 410
    assert reviews.visit(link=links.sign(review, ends, links.Key(key.id, b"other")))["statusCode"] == 403
    assert reviews.visit(link="nonsense")["statusCode"] == 403
    assert reviews.visit(pathParameters=None)["statusCode"] == 403
    assert reviews.visit(link=links.sign("0" * 40, ends, key))["statusCode"] == 404


def test_a_picture_is_given_for_the_pages_of_the_review_alone(reviews: Reviews) -> None:
    reviews.ask()
    answer = reviews.visit(pathParameters={"link": reviews.link(), "page": "1"})
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "image/jpeg")
    assert base64.b64decode(answer["body"]) == b"\xff\xd8picture"
    for other in ("2", "01", "../1", "x"):
        assert reviews.visit(pathParameters={"link": reviews.link(), "page": other})["statusCode"] == 404


def test_every_answer_has_the_security_headers_and_a_page_its_own_nonce(reviews: Reviews) -> None:
    reviews.ask()
    # When the page is looked at twice, and a picture, JSON and an error are asked for
    pages = [reviews.visit(headers=None) for _ in range(2)]
    others = [
        reviews.visit(),
        reviews.visit(link="x"),
        reviews.visit(pathParameters={"link": reviews.link(), "page": "1"}),
    ]
    for answer in pages + others:
        assert answer["headers"]["Cache-Control"] == "no-store"
        assert answer["headers"]["Referrer-Policy"] == "no-referrer"
        assert answer["headers"]["X-Frame-Options"] == "DENY"
        assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    # Then the policy allows what has the nonce, each page has one, and they differ
    nonces = []
    for answer in pages:
        allowed = re.findall(r"'nonce-([^']+)'", answer["headers"]["Content-Security-Policy"])
        used = re.findall(r'<(?:script|style) nonce="([^"]+)"', answer["body"])
        assert len(allowed) == len(used) == 2
        assert len({*allowed, *used}) == 1
        nonces.append(allowed[0])
    assert nonces[0] != nonces[1]


def test_the_log_holds_no_link_value_or_key(reviews: Reviews, document_log: Callable[[str], io.StringIO]) -> None:
    logs = [document_log("ask_reviewer"), document_log("review_page")]
    # Given everything that is logged: asked, shown, a bad link, a service that fails, an answer, one too many
    reviews.ask()
    reviews.visit()
    reviews.visit(link=reviews.link()[:-1])
    reviews.states.add_client_error("send_task_success", "AccessDeniedException", "of anna.pdf")
    reviews.visit("POST", {"decision": "approve", "field-0": "Anna Smith"})
    reviews.expect_answer()
    reviews.visit("POST", {"decision": "approve"})
    reviews.visit("POST", {"decision": "reject"})
    written = "".join(log.getvalue() for log in logs)
    said = {json.loads(line)["message"] for line in written.splitlines()}
    assert said == {"asked", "shown", "bad link", "a service failed", "answered", "answered by another"}
    for secret in (reviews.link()[:-1], "Anna", "anna", "token-1"):
        assert secret not in written


# --- answers


def test_a_form_and_json_say_the_same() -> None:
    given_values = {"decision": "reject", "reason": " no ", "field-0": " a \n b ", "field-1": "NOT_SELECTED"}
    form = answers.parse(urllib.parse.urlencode(given_values), FORM, DOUBTS)
    assert form == answers.parse(json.dumps(given_values), "application/json; charset=utf-8", DOUBTS)
    assert (form["reason"], [one["value"] for one in form["fields"]]) == ("no", ["a b", "NOT_SELECTED"])


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("", FORM, "neither"),
        ("decision", FORM, "cannot be read"),
        ("decision=%ff", FORM, "cannot be read"),
        ("decision=maybe", FORM, "neither"),
        ("decision=approve&field-2=x", FORM, "1 fields"),
        ("decision=approve&field-1=yes", FORM, "ticked"),
        ("decision=approve&field-0=" + "x" * 1001, FORM, "1000 characters"),
        ("x" * 200_001, FORM, "too long"),
        ("{", "application/json", "cannot be read"),
        ("[" * 150_000, "application/json", "cannot be read"),
        ('{"decision": "approve", "field-0": "\\ud800"}', "application/json", "no valid Unicode"),
        ('{"decision": "approve", "reason": "\\ud800"}', "application/json", "no valid Unicode"),
        ("[]", "application/json", "no object"),
        ('{"decision": ["approve"]}', "application/json", "no object"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_reason(body: str, kind: str, reason: str) -> None:
    with pytest.raises(answers.BadAnswerError, match=reason):
        answers.parse(body, kind, DOUBTS)


@given(st.text(max_size=200), st.sampled_from([FORM, "application/json"]))
def test_any_text_is_an_answer_or_refused_as_none(body: str, kind: str) -> None:
    with contextlib.suppress(answers.BadAnswerError):
        assert answers.parse(body, kind, DOUBTS)["decision"] in answers.DECISIONS


# --- page


class _Tags(html.parser.HTMLParser):
    """The tags with their attributes, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("kind", ["text", "selection"])
@given(
    text=st.text(max_size=40) | st.sampled_from(['"><script>x</script>', "' onfocus='x", "</svg><img src=x>", "&lt;"])
)
def test_no_name_or_value_becomes_markup(kind: str, text: str) -> None:
    plain = _Tags(page.review_page("link", "nonce", [doubt("n", "v", kind)], IMAGES)).found
    hostile = _Tags(page.review_page("link", "nonce", [doubt(text, text, kind)], IMAGES)).found
    if text not in ("SELECTED", "NOT_SELECTED"):
        assert [(tag, list(attributes)) for tag, attributes in hostile] == [(tag, list(a)) for tag, a in plain]


def test_a_field_that_was_not_found_has_an_input_and_no_mark() -> None:
    made = page.review_page("link", "nonce", [doubt("Total", "", number=-1)], IMAGES)
    assert "Not found" in made
    assert 'name="field-0"' in made
    assert 'class="mark"' not in made
    assert 'class="crop"' not in made
