"""The function of text-insights on its own: over moto's DynamoDB, with the answers of Comprehend stubbed."""

from __future__ import annotations

import io
import itertools
import json
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.stub import ANY, Stubber
from moto import mock_aws

from lambdas.text_insights.analyze_texts.errors import Failure
from lambdas.text_insights.analyze_texts.insights import Analyst, Wanted
from lambdas.text_insights.analyze_texts.messages import Text, UnreadableMessageError, read
from tests.unit.conftest import Context

RESULTS = "text-results"
SCORES = {"Positive": 0.7, "Negative": 0.1, "Neutral": 0.1, "Mixed": 0.1}
REQUEST = {"RequestId": "request-7"}


class Texts:
    """Drives the handler: expects questions, delivers messages, reads what was kept."""

    def __init__(self, module: types.ModuleType, comprehend: Stubber) -> None:
        self.module = module
        self.comprehend = comprehend
        self.dynamodb = module.clients["dynamodb"]
        self._ids = itertools.count(1)

    def expect(self, operation: str, found: list[dict[str, Any]], errors: Any = (), **parameters: Any) -> None:
        """The next call is this one, and answers these items by their place."""
        results = [{"Index": index, **item} for index, item in enumerate(found) if item]
        answer = {"ResultList": results, "ErrorList": list(errors)}
        self.comprehend.add_response(operation, answer, {"TextList": ANY, **parameters})

    def expect_languages(self, *codes: str) -> None:
        self.expect(
            "batch_detect_dominant_language", [{"Languages": [{"LanguageCode": c, "Score": 0.9}]} for c in codes]
        )

    def expect_insights(self, count: int = 1, *, pii: bool = True, language: str = "en") -> None:
        """All questions about this many texts of one language are answered."""
        entity = {"Text": "Ana", "Type": "PERSON", "BeginOffset": 0, "EndOffset": 3, "Score": 0.99}
        place = {"Text": "Rome", "Type": "LOCATION", "BeginOffset": 9, "EndOffset": 13, "Score": 0.98765}
        phrase = {"Text": "Rome", "BeginOffset": 9, "EndOffset": 13, "Score": 0.9}
        mood = {"Sentiment": "POSITIVE", "SentimentScore": SCORES}
        self.expect("batch_detect_sentiment", [mood] * count, LanguageCode=language)
        self.expect("batch_detect_entities", [{"Entities": [entity, place]}] * count, LanguageCode=language)
        self.expect("batch_detect_key_phrases", [{"KeyPhrases": [phrase]}] * count, LanguageCode=language)
        for _ in range(count if pii else 0):
            found = [{"Type": "NAME", "BeginOffset": 0, "EndOffset": 3, "Score": 0.9}]
            self.comprehend.add_response("detect_pii_entities", {"Entities": found})

    def expect_error(self, operation: str, code: str, message: str = "no") -> None:
        self.comprehend.add_client_error(operation, code, message, http_status_code=400, response_meta=REQUEST)

    def message(self, body: Any, receive_count: int = 1) -> dict[str, Any]:
        """An SQS record."""
        return {
            "messageId": f"message-{next(self._ids)}",
            "attributes": {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": "1764000000000"},
            "body": body if isinstance(body, str) else json.dumps(body),
        }

    def deliver(self, *records: dict[str, Any], milliseconds: int = 60_000) -> list[str]:
        """Invokes the handler; returns the ids of the messages that go back to the queue."""
        answer = self.module.handler({"Records": list(records)}, Context(milliseconds))
        self.comprehend.assert_no_pending_responses()
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def rows(self) -> dict[str, dict[str, Any]]:
        """The whole results table by text id."""
        deserialize = TypeDeserializer().deserialize
        items = self.dynamodb.scan(TableName=RESULTS)["Items"]
        rows = [{name: deserialize(value) for name, value in item.items()} for item in items]
        assert len({row["text_id"] for row in rows}) == len(rows)
        return {row["text_id"]: row for row in rows}


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    """The handler's module, imported once, as a worker does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("RESULTS_TABLE", RESULTS)
        patch.setenv("LANGUAGES", "en,de")
        patch.setenv("PERSONAL_DATA", "masked")
        patch.setenv("MOST_FINDINGS", "200")
        import lambdas.text_insights.analyze_texts.handler as imported
    return imported


@pytest.fixture
def texts(module: types.ModuleType) -> Iterator[Texts]:
    """The function beside an empty table."""
    with mock_aws():
        module.deadline.follow(Context())
        keys = ("text_id", "digest")
        module.clients["dynamodb"].create_table(
            TableName=RESULTS,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"), strict=True)],
        )
        with Stubber(module.clients["comprehend"]) as comprehend:
            yield Texts(module, comprehend)


def test_a_text_becomes_a_row(texts: Texts) -> None:
    # Given a text and the answers to all questions about it
    texts.expect_languages("en")
    texts.expect_insights()
    # When its message is delivered
    assert texts.deliver(texts.message({"id": "a", "text": "Ana sees Rome"})) == []
    # Then its row has what was found, and no word where personal data is
    row = texts.rows()["a"]
    assert row["status"] == "ANALYZED"
    assert row["language"]["code"] == "en"
    assert (row["sentiment"], float(row["sentiment_scores"]["positive"])) == ("POSITIVE", 0.7)
    assert [(one["type"], one.get("text")) for one in row["entities"]] == [("PERSON", None), ("LOCATION", "Rome")]
    assert float(row["entities"][1]["score"]) == 0.9877
    assert [one["text"] for one in row["key_phrases"]] == ["Rome"]
    assert [one["type"] for one in row["personal_data"]] == ["NAME"]
    assert row["size"] == 13
    assert "text" not in row


def test_a_batch_asks_once_a_language(texts: Texts) -> None:
    # Given texts of two languages, one of them told by its sender, and a duplicate
    texts.expect_languages("en", "de")
    texts.expect_insights(1, pii=False, language="de")
    texts.expect_insights(2)
    bodies = [{"id": "a", "text": "Ana sees Rome"}, {"id": "b", "text": "Ana mag Rome"}]
    bodies += [{"id": "c", "text": "Ana saw Rome.", "language": "en"}, bodies[0]]
    # When they are delivered together, Then one question a language serves all
    assert texts.deliver(*map(texts.message, bodies)) == []
    rows = texts.rows()
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys("abc", "ANALYZED")
    # and where personal data cannot be looked for, no words are kept
    assert rows["b"]["personal_data_sought"] is False
    assert [one for one in rows["b"]["entities"] + rows["b"]["key_phrases"] if "text" in one] == []


def test_more_texts_than_a_call_takes_are_two_calls(texts: Texts) -> None:
    # Given 26 texts of a known language
    texts.expect("batch_detect_sentiment", [{"Sentiment": "NEUTRAL", "SentimentScore": SCORES}] * 25, LanguageCode="en")
    texts.expect("batch_detect_sentiment", [{"Sentiment": "NEUTRAL", "SentimentScore": SCORES}], LanguageCode="en")
    for operation, member in (("batch_detect_entities", "Entities"), ("batch_detect_key_phrases", "KeyPhrases")):
        texts.expect(operation, [{member: []}] * 25, LanguageCode="en")
        texts.expect(operation, [{member: []}], LanguageCode="en")
    analyst = Analyst(texts.module.clients["comprehend"], Wanted(("en",), "ignored", 5))
    # When they are analysed, Then each has its outcome
    found = analyst.analyse([Text(str(number), "x", "en") for number in range(26)])
    texts.comprehend.assert_no_pending_responses()
    assert len(found) == 26
    assert all(isinstance(one, dict) and one["sentiment"] == "NEUTRAL" for one in found.values())


@pytest.mark.parametrize("code", ["TEXT_SIZE_LIMIT_EXCEEDED", "INVALID_REQUEST", "UNSUPPORTED_LANGUAGE"])
def test_what_the_service_says_of_one_text_is_that_texts_result(texts: Texts, code: str) -> None:
    # Given two texts, one of which the service will not read
    error = {"Index": 0, "ErrorCode": code, "ErrorMessage": "not this one"}
    texts.expect_languages("en", "en")
    mood = {"Sentiment": "POSITIVE", "SentimentScore": SCORES}
    texts.expect("batch_detect_sentiment", [{}, mood], [error], LanguageCode="en")
    texts.expect("batch_detect_entities", [{"Entities": []}], LanguageCode="en")
    texts.expect("batch_detect_key_phrases", [{"KeyPhrases": []}], LanguageCode="en")
    texts.comprehend.add_response("detect_pii_entities", {"Entities": []})
    # When they are delivered, Then the other has its insights
    assert texts.deliver(*(texts.message({"id": name, "text": name}) for name in ("bad", "good"))) == []
    rows = texts.rows()
    assert (rows["bad"]["status"], rows["bad"]["reason"]["code"]) == ("REJECTED", code)
    assert rows["bad"]["language"]["code"] == "en"
    assert rows["good"]["status"] == "ANALYZED"


def test_an_error_within_a_batch_brings_back_that_message_alone(texts: Texts) -> None:
    # Given two texts, one of which meets an internal error, and one that the answer leaves out
    error = {"Index": 0, "ErrorCode": "INTERNAL_SERVER_ERROR", "ErrorMessage": "later"}
    texts.expect(
        "batch_detect_dominant_language", [{}, {}, {"Languages": [{"LanguageCode": "fr", "Score": 1.0}]}], [error]
    )
    records = [texts.message({"id": name, "text": name}) for name in ("broken", "forgotten", "french")]
    # When they are delivered, Then those two come back with their reasons, and the third has its result
    assert texts.deliver(*records) == [record["messageId"] for record in records[:2]]
    rows = texts.rows()
    assert {name: row["reason"]["code"] for name, row in rows.items()} == {
        "broken": "INTERNAL_SERVER_ERROR",
        "forgotten": "NoAnswer",
        "french": "UnsupportedLanguage",
    }
    assert rows["french"]["status"] == "REJECTED"


def test_a_call_that_is_refused_for_one_text_is_made_for_each(texts: Texts) -> None:
    # Given two texts, for one of which the service refuses the whole call
    texts.expect_error("batch_detect_dominant_language", "InvalidRequestException")
    texts.expect_error("batch_detect_dominant_language", "InvalidRequestException")
    texts.expect_languages("fr")
    # When they are delivered, Then each was asked about alone, and both have a result
    assert texts.deliver(*(texts.message({"id": name, "text": name}) for name in ("bad", "good"))) == []
    rows = texts.rows()
    assert (rows["bad"]["reason"]["code"], rows["good"]["reason"]["code"]) == ("InvalidRequest", "UnsupportedLanguage")


def test_a_failure_keeps_its_reason_and_a_result_replaces_it(texts: Texts) -> None:
    # Given a text that meets throttling in its third question
    texts.expect_languages("en")
    texts.expect("batch_detect_sentiment", [{"Sentiment": "NEUTRAL", "SentimentScore": SCORES}], LanguageCode="en")
    texts.expect_error("batch_detect_entities", "ThrottlingException")
    body = {"id": "a", "text": "Ana sees Rome"}
    first = texts.message(body)
    # When it is delivered, Then it goes back, with the reason, and nothing else was asked
    assert texts.deliver(first) == [first["messageId"]]
    row = texts.rows()["a"]
    assert (row["status"], row["reason"]["code"], row["request_id"]) == ("FAILED", "ThrottlingException", "request-7")
    # When it comes again and all is well, Then the reason is gone
    texts.expect_languages("en")
    texts.expect_insights()
    assert texts.deliver(texts.message(body, receive_count=2)) == []
    row = texts.rows()["a"]
    assert row["status"] == "ANALYZED"
    assert "reason" not in row
    # When it comes once more, Then nothing is asked
    assert texts.deliver(texts.message(body, receive_count=3)) == []
    assert texts.rows()["a"] == row


def test_a_text_that_another_worker_has_is_left_alone(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a text that a worker claimed before it was killed
    body = {"id": "a", "text": "Ana sees Rome"}
    attempt = {"receive_count": 1, "message_id": "m", "invocation_id": "i"}
    text = read(json.dumps(body))
    assert texts.module.store.claim(text, attempt, 60_000) == "claimed"
    # When it is delivered meanwhile, Then nothing is asked, and the message comes again
    record = texts.message(body, receive_count=2)
    assert texts.deliver(record) == [record["messageId"]]
    assert texts.rows()["a"]["status"] == "IN_PROGRESS"
    # When the claim has run out, Then the text is the next one's, and all its messages are done
    later = time.time() + 62
    monkeypatch.setattr(time, "time", lambda: later)
    assert texts.module.store.claim(text, {**attempt, "receive_count": 2}, 60_000) == "claimed"
    assert texts.rows()["a"]["reason"]["code"] == "WorkerStopped"
    later += 62
    texts.expect_languages("en")
    texts.expect_insights()
    assert texts.deliver(texts.message(body, 3), texts.message(body)) == []
    row = texts.rows()["a"]
    assert row["status"] == "ANALYZED"
    assert "lease_until" not in row
    # and a result is never taken again
    assert texts.module.store.claim(text, attempt, 60_000) == "done"


def test_a_delivery_after_a_stopped_worker_leaves_a_word_of_it(texts: Texts) -> None:
    # Given a message that was delivered before and left no row
    texts.expect_error("batch_detect_dominant_language", "ValidationException", "Value 'Ana sees Rome' failed")
    record = texts.message({"id": "a", "text": "Ana sees Rome"}, receive_count=2)
    # When it fails now for a reason that quotes the text, Then its own reason replaces the word, without the quotation
    assert texts.deliver(record) == [record["messageId"]]
    row = texts.rows()["a"]
    assert row["reason"]["code"] == "ValidationException"
    assert "Ana" not in str(row)


def test_no_question_begins_that_could_not_end(module: types.ModuleType) -> None:
    # Given an invocation with less time left than an answer and its row may take
    module.deadline.follow(Context(9_999))
    analyst = Analyst(module.clients["comprehend"], Wanted(("en",), "ignored", 5))
    # When a text is to be analysed, Then nothing is sent, and the reason says so
    (found,) = analyst.analyse([Text("a", "Ana sees Rome")]).values()
    assert isinstance(found, Failure)
    assert found.code == "OutOfTime"


def test_findings_beyond_the_limit_are_counted(texts: Texts) -> None:
    # Given a text with more phrases than are kept
    analyst = Analyst(texts.module.clients["comprehend"], Wanted(("en",), "ignored", 2))
    phrases = [{"Text": "x", "BeginOffset": n, "EndOffset": n + 1, "Score": 0.5} for n in range(5)]
    texts.expect("batch_detect_sentiment", [{"Sentiment": "NEUTRAL", "SentimentScore": SCORES}], LanguageCode="en")
    texts.expect("batch_detect_entities", [{"Entities": []}], LanguageCode="en")
    texts.expect("batch_detect_key_phrases", [{"KeyPhrases": phrases}], LanguageCode="en")
    # When it is analysed, Then the first are kept and the others counted
    (found,) = analyst.analyse([Text("a", "xxxxx", "en")]).values()
    assert isinstance(found, dict)
    assert (len(found["key_phrases"]), found["key_phrases_left_out"]) == (2, 3)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '"x"',
        '{"id": "a"}',
        '{"text": "a"}',
        '{"id": "", "text": "a"}',
        '{"id": 1, "text": "a"}',
        '{"id": "a", "text": ["a"]}',
        '{"id": "a", "text": "a", "language": 3}',
        '{"id": "message/a", "text": "a"}',
        '{"id": "a", "text": "\\ud800"}',
        '{"id": "\\ud800", "text": "a"}',
        json.dumps({"id": "é" * 513, "text": "a"}),
        "[" * 100_000,
    ],
)
def test_a_message_without_a_text_is_told_and_not_quoted(texts: Texts, body: str) -> None:
    # Given a message that holds no text
    with pytest.raises(UnreadableMessageError):
        read(body)
    # When it is delivered, Then it goes back, and its reason is under its own id
    record = texts.message(body)
    assert texts.deliver(record) == [record["messageId"]]
    assert texts.rows()[f"message/{record['messageId']}"]["reason"]["code"] == "UnreadableMessage"


def test_a_digest_is_of_language_and_text() -> None:
    # Given texts that differ in one thing each
    same = {Text("a", "x").digest, Text("b", "x").digest}
    others = {Text("a", "y").digest, Text("a", "x", "en").digest, Text("a", "xen").digest}
    # When their digests are compared, Then the id does not count, and all else does
    assert len(same) == 1
    assert len(others | same) == 4


def test_the_log_tells_nothing_of_ids_or_texts(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    monkeypatch.setattr(texts.module.logger.registered_handler, "stream", written)
    # Given texts with telling ids and words: one analysed, one refused, one unreadable
    texts.expect_languages("en")
    texts.expect_insights()
    bodies = [{"id": "anna-smith", "text": "Ana sees Rome"}, {"id": "bob-jones", "text": " "}, {"ident": "dora-king"}]
    # When they are delivered
    texts.deliver(*map(texts.message, bodies))
    # Then the log has a line of each, and no word of them
    assert len(written.getvalue().splitlines()) == 3
    for secret in ("anna", "bob", "dora", "Ana", "Rome", "POSITIVE"):
        assert secret not in written.getvalue()
