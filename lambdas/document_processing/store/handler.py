"""Stores what was found: a row for each field, table and entity in DynamoDB, and everything in one object in S3.

**Results table** (partition key `document` = "<bucket>/<key>", sort key `version`): the row of a version, which the
state machine itself writes, and beside it `<version>/field/00001`, `<version>/table/00001`, `<version>/entity/00001`,
... One row a finding, so that a document of many pages never meets the 400 KB of an item. All of them are puts under
fixed keys: done twice they are the same. The version's own row comes last, and says COMPLETED.
"""

from __future__ import annotations

import decimal
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from aws_lambda_powertools.logging import Logger
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from lambdas.document_processing import places
from lambdas.document_processing.store import findings
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code, named, told_by_name

BUCKET = os.environ["BUCKET"]
RESULTS_TABLE = os.environ["RESULTS_TABLE"]
REVIEWS_TABLE = os.environ["REVIEWS_TABLE"]

# Amazon DynamoDB API Reference, "BatchWriteItem", read 2026-11-25.
WRITES_A_BATCH = 25
UNPROCESSED_ATTEMPTS = 6
# An item may have 400 KB (the same page); what is larger is left to the result in S3.
MAXIMUM_ITEM_CHARACTERS = 100_000

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "s3": (20, 3)})
serialize = TypeSerializer().serialize


@logger.inject_lambda_context(clear_state=True, log_event=False)
@told_by_name
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes {bucket, key, version, document, batches, review}; `review` is empty where nobody was asked.

    Returns {fields, tables, entities, personal_data, corrections, sentiment, result}: counts, and the result's key.
    Raises, by name: NoAnswer; RejectedByReviewer, of Augmented AI, before anything is stored; UnprocessedItems.
    """
    document = event["document"]
    answer = _answer(event["review"]) if event.get("review") else None
    if answer is not None and "fields" not in answer:
        # Of Augmented AI, whose answer has values only.
        answer = findings.named_values(answer, _json(places.doubts(document))["fields"])
        if answer["decision"] == "reject":
            raise named("RejectedByReviewer", "A reviewer rejected the document.")
        if answer["decision"] != "approve":
            raise named("NoAnswer", "The worker's answer says neither approve nor reject.")
    read = _json(places.reading(document))
    understood = [_understood(document, number) for number in event["batches"]]
    result = {
        "document": document,
        "pages": read["pages"],
        "fields": findings.corrected(read["fields"], answer),
        "tables": read["tables"],
        "entities": findings.distinct([one for each in understood for one in each["entities"]]),
        "personal_data": [one for each in understood for one in each["pii"]],
        "sentiments": [one for each in understood for one in each["sentiments"]],
        "review": event.get("review"),
    }
    result["sentiment"] = findings.overall(result["sentiments"])
    key = places.result(document)
    body = json.dumps(result, ensure_ascii=False).encode()
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="application/json")
    _write(event, result)
    told = {name: len(result[name]) for name in ("fields", "tables", "entities", "personal_data")}
    told["corrections"] = sum(1 for field in result["fields"] if "read_value" in field)
    logger.info("stored", extra={"document": document, **told})
    return {**told, "sentiment": result["sentiment"], "result": key}


def _understood(document: str, number: int) -> dict[str, Any]:
    insight = _json(places.insights(document, number))
    if isinstance(insight, str):
        # What the state machine puts as text arrives as JSON text in JSON.
        insight = json.loads(insight)
    return findings.understood(_json(places.texts(document, number)), insight)


def _answer(review: str) -> dict[str, Any]:
    """A reviewer's answer, {"decision", "reason", "fields"}; `review` is its id, or the place of Augmented AI's."""
    if review.startswith("s3://"):
        bucket, _, key = review.removeprefix("s3://").partition("/")
        return findings.of_human_loop(_json(key, bucket))
    row = (
        clients["dynamodb"]
        .get_item(TableName=REVIEWS_TABLE, Key={"review": {"S": review}}, ConsistentRead=True)
        .get("Item")
    )
    if not row or "answer" not in row:
        raise named("NoAnswer", "The review has no answer.")
    return dict(json.loads(row["answer"]["S"]))


def _write(event: dict[str, Any], result: dict[str, Any]) -> None:
    kept = [
        {
            "document": f"{event['bucket']}/{event['key']}",
            "version": f"{event['version']}/{ending}",
            **_fitting(content),
        }
        for ending, content in findings.rows(result)
    ]
    for batch in _in_parts(kept, WRITES_A_BATCH):
        _put_all([{"PutRequest": {"Item": _item(row)}} for row in batch])


def _put_all(requests: list[Any]) -> None:
    """Puts until DynamoDB has taken everything. Raises, by name, when it keeps refusing a part."""
    for attempt in range(UNPROCESSED_ATTEMPTS):
        try:
            left = clients["dynamodb"].batch_write_item(RequestItems={RESULTS_TABLE: requests})["UnprocessedItems"]
        except ClientError as error:
            if error_code(error) != "ProvisionedThroughputExceededException":
                raise
            left = {RESULTS_TABLE: requests}
        requests = left.get(RESULTS_TABLE, [])
        if not requests:
            return
        time.sleep(0.05 * 2**attempt)
    raise named("UnprocessedItems", "DynamoDB did not take all rows.")


def _fitting(content: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(content)) <= MAXIMUM_ITEM_CHARACTERS:
        return content
    return {"page": content["page"], "too_large": True}


def _item(row: dict[str, Any]) -> dict[str, Any]:
    # DynamoDB's numbers are decimal.
    plain = json.loads(json.dumps(row), parse_float=decimal.Decimal)
    return {name: serialize(value) for name, value in plain.items()}


def _in_parts(rows: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _json(key: str, bucket: str = BUCKET) -> Any:
    with clients["s3"].get_object(Bucket=bucket, Key=key)["Body"] as body:
        return json.loads(body.read())
