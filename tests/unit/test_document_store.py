"""The function that stores what was found, over moto's S3 and DynamoDB, and its pure part."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from lambdas.document_processing import places
from lambdas.document_processing.store import findings
from lambdas.shared.failures import told_by_name
from tests.unit.conftest import Context, make_table

DOCUMENT = "d" * 40
THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "BatchWriteItem")


def field(name: str = "Name", value: str = "Anna Smith", number: int | None = None) -> dict[str, Any]:
    box = {"left": 0.1, "top": 0.1, "width": 0.1, "height": 0.1}
    made = {"name": name, "value": value, "kind": "text", "confidence": 41.5, "page": 1}
    return {**made, "name_box": box, "value_box": box, **({} if number is None else {"number": number})}


class Store:
    """Drives the handler: puts what the steps before it left, reads what it kept."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self.dynamodb, self.s3 = module.clients["dynamodb"], module.clients["s3"]

    def put(self, key: str, content: Any) -> None:
        self.s3.put_object(Bucket="documents", Key=key, Body=json.dumps(content).encode())

    def given(self, fields: list[dict[str, Any]], tables: list[dict[str, Any]] | None = None) -> None:
        self.put(places.reading(DOCUMENT), {"pages": 1, "fields": fields, "tables": tables or []})

    def answered(self, answer: Any) -> None:
        item = {"review": {"S": "r"}, "answer": {"S": json.dumps(answer)}}
        self.dynamodb.put_item(TableName="reviews", Item=item)

    def store(self, batches: list[int] | None = None, review: str = "") -> dict[str, Any]:
        event = {"bucket": "documents", "key": "anna.pdf", "version": "v1", "document": DOCUMENT}
        return dict(self.module.handler({**event, "batches": batches or [], "review": review}, Context()))

    def rows(self) -> dict[str, dict[str, Any]]:
        plain = TypeDeserializer().deserialize
        items = self.dynamodb.scan(TableName="results")["Items"]
        rows = [{name: plain(value) for name, value in item.items()} for item in items]
        assert {row["document"] for row in rows} <= {"documents/anna.pdf"}
        return {row["version"]: row for row in rows}

    def result(self) -> dict[str, Any]:
        body = self.s3.get_object(Bucket="documents", Key=places.result(DOCUMENT))["Body"].read()
        return dict(json.loads(body))


@pytest.fixture
def store(document_handler: Callable[[str], types.ModuleType], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    made = Store(document_handler("store"))
    monkeypatch.setattr(made.module.time, "sleep", lambda _: None)
    with mock_aws():
        make_table(made.dynamodb, "results", "document", "version")
        make_table(made.dynamodb, "reviews", "review")
        made.s3.create_bucket(Bucket="documents")
        yield made


def test_each_finding_is_a_row_and_all_are_in_the_result(store: Store) -> None:
    # Given a reading, and what was understood of it, as the state machine puts it: JSON text in JSON
    store.given([field()], [{"page": 1, "confidence": 99.0, "rows": [["a"]]}])
    store.put(places.texts(DOCUMENT, 1), {"texts": ["Rome", "x"], "pages": [1, 2]})
    entity = {"Text": "Rome", "Type": "LOCATION", "Score": 0.9}
    insight = {
        "entities": [{"Index": 1, "Entities": [entity]}],
        "sentiments": [{"Index": 0, "Sentiment": "POSITIVE", "SentimentScore": {"Positive": 0.7, "Mixed": 0.3}}],
        "pii": [{"Type": "NAME", "Score": 0.9, "BeginOffset": 5, "EndOffset": 6}],
    }
    store.put(places.insights(DOCUMENT, 1), json.dumps(insight))
    # When it is stored, even twice
    assert store.store([1]) == store.store([1])
    # Then there is one row of each, without boxes, and everything in S3
    rows = store.rows()
    assert set(rows) == {"v1/field/00001", "v1/table/00001", "v1/entity/00001"}
    assert not [name for name in rows["v1/field/00001"] if name.endswith("_box")]
    result = store.result()
    assert result["fields"][0]["value_box"]
    assert result["personal_data"] == [{"type": "NAME", "score": 0.9, "page": 2}]
    assert (result["entities"][0]["page"], result["sentiment"]) == (2, "POSITIVE")


def test_a_reviewers_values_replace_what_was_read(store: Store) -> None:
    store.given([field(), field("Town", "Rome")])
    entries = [{"number": 0, "name": "Name", "value": "Ana"}, {"number": -1, "name": "Total", "value": "5"}]
    store.answered({"decision": "approve", "reason": "", "fields": entries})
    assert store.store(review="r")["corrections"] == 2
    corrected, untouched, added = store.result()["fields"]
    assert (corrected["value"], corrected["read_value"], corrected["reviewed"]) == ("Ana", "Anna Smith", True)
    assert (untouched["reviewed"], "read_value" in untouched) == (False, False)
    assert (added["name"], added["value"]) == ("Total", "5")


def test_the_answer_of_a_human_loop_is_taken_by_the_places_of_its_values(store: Store) -> None:
    store.given([field(), field("Town", "Rome")])
    store.put(places.doubts(DOCUMENT), {"fields": [field("Town", "Rome", 1)]})
    answers = [{"answerContent": {"decision": "approve", "field-0": value}} for value in ("Bari", "Turin")]
    store.put("loop.json", {"humanAnswers": answers})
    store.store(review="s3://documents/loop.json")
    assert [one["value"] for one in store.result()["fields"]] == ["Anna Smith", "Turin"]


@pytest.mark.parametrize(
    ("content", "name"), [({"decision": "reject"}, "RejectedByReviewer"), ({"field-0": "Turin"}, "NoAnswer")]
)
def test_a_human_loop_that_does_not_approve_stores_nothing(store: Store, content: dict[str, str], name: str) -> None:
    # Given a worker who rejects the document, or who does not say
    store.given([field("Town", "Rome")])
    store.put(places.doubts(DOCUMENT), {"fields": [field("Town", "Rome", 0)]})
    store.put("loop.json", {"humanAnswers": [{"answerContent": content}]})
    # When the answer is to be stored
    with pytest.raises(Exception, match=r"reject") as raised:
        store.store(review="s3://documents/loop.json")
    # Then the state machine hears it by name, and there is no row
    assert raised.type.__name__ == name
    assert store.rows() == {}


def test_a_review_without_an_answer_is_raised_by_name(store: Store) -> None:
    with pytest.raises(Exception, match=r"^The review has no answer\.$") as raised:
        store.store(review="r")
    assert raised.type.__name__ == "NoAnswer"


@pytest.mark.parametrize("throttled", [True, False])
def test_what_dynamodb_leaves_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch, throttled: bool) -> None:
    # Given a DynamoDB that takes a part of the first call, or refuses it whole
    real, sizes = store.dynamodb.batch_write_item, []

    def write(RequestItems: dict[str, list[Any]]) -> Any:  # noqa: N803
        requests = RequestItems["results"]
        sizes.append(len(requests))
        if len(sizes) > 1:
            return real(RequestItems=RequestItems)
        if throttled:
            raise THROTTLED
        real(RequestItems={"results": requests[:20]})
        return {"UnprocessedItems": {"results": requests[20:]}}

    monkeypatch.setattr(store.dynamodb, "batch_write_item", write)
    # When 26 rows are stored, Then all are there, and only what was left was sent again
    store.given([field(str(number)) for number in range(26)])
    store.store()
    assert len(store.rows()) == 26
    assert sizes == ([25, 25, 1] if throttled else [25, 5, 1])


@pytest.mark.parametrize(("code", "calls"), [("ProvisionedThroughputExceededException", 6), ("AccessDenied", 1)])
def test_a_dynamodb_that_keeps_refusing_is_raised_by_name(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: str, calls: int
) -> None:
    made = []

    def write(**_: Any) -> None:
        made.append(1)
        raise ClientError({"Error": {"Code": code}}, "BatchWriteItem")

    monkeypatch.setattr(store.dynamodb, "batch_write_item", write)
    store.given([field()])
    told = ("UnprocessedItems", "did not take all rows") if calls == 6 else (code, "BatchWriteItem failed in request")
    with pytest.raises(Exception, match=told[1]) as raised:
        store.store()
    assert raised.type.__name__ == told[0]
    assert len(made) == calls


def test_what_no_item_holds_is_left_to_the_result(store: Store) -> None:
    store.given([], [{"page": 3, "confidence": 9.5, "rows": [["x" * 100_000]]}])
    store.store()
    row = store.rows()["v1/table/00001"]
    assert (row["too_large"], row["page"], "rows" in row) == (True, 3, False)
    assert len(store.result()["tables"][0]["rows"][0][0]) == 100_000


def test_the_log_counts_and_names_nothing(store: Store, document_log: Callable[[str], StringIO]) -> None:
    log = document_log("store")
    store.given([field()])
    store.store()
    assert json.loads(log.getvalue())["fields"] == 1
    assert "anna" not in log.getvalue().lower()


def test_entities_are_counted_and_sentiments_put_together() -> None:
    said = [{"text": "Rome", "type": kind, "score": score} for kind, score in (("A", 0.5), ("A", 0.9), ("B", 0.1))]
    assert [(one["mentions"], one["score"]) for one in findings.distinct(said)] == [(2, 0.9), (1, 0.1)]
    moods = [{"sentiment": one} for one in ("POSITIVE", "NEGATIVE", "POSITIVE")]
    assert [findings.overall(moods[:count]) for count in (0, 2, 3)] == ["NEUTRAL", "MIXED", "POSITIVE"]


@pytest.mark.parametrize(
    ("error", "name"),
    [(KeyError("Anna"), "KeyError"), (ReadTimeoutError(endpoint_url="Anna"), "ReadTimeoutError"), (THROTTLED, "")],
)
def test_a_failure_has_its_name_and_quotes_nothing(error: Exception, name: str) -> None:
    @told_by_name
    def handler(event: Any, context: Any) -> None:
        raise error

    with pytest.raises(Exception, match=r"fail|reached") as raised:
        handler({}, None)
    assert raised.type.__name__ == (name or "ProvisionedThroughputExceededException")
    assert "Anna" not in str(raised.value)
