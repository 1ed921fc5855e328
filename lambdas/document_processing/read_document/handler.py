"""Reads a document: by one call, or from the job that has ended, all pages of its answer. Everything goes to S3.

Not by the state machine itself: a page of Textract's answer has up to 1,000 blocks, far more than the 262,144 bytes
that a state may hold. The state gets numbers and the places of batches.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.document_processing import places
from lambdas.document_processing.read_document.blocks import Document, doubtful
from lambdas.document_processing.read_document.paragraphs import batches
from lambdas.shared.clients import make_clients
from lambdas.shared.failures import named, told_by_name

BUCKET = os.environ["BUCKET"]
FIELDS_THAT_MATTER = json.loads(os.environ["FIELDS_THAT_MATTER"])
MINIMUM_CONFIDENCE = float(os.environ["MINIMUM_CONFIDENCE"])

# The most that GetDocumentAnalysis gives at once (Amazon Textract API Reference, read 2026-11-25).
BLOCKS_A_PAGE = 1000

logger = Logger()
# One page takes Textract some seconds; a call that is cut off is paid for and has to be made again.
clients = make_clients({"textract": (50, 1), "s3": (20, 3)})


@logger.inject_lambda_context(clear_state=True, log_event=False)
@told_by_name
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes {bucket, key, version, document}, and {job} where one was started.

    Returns {pages, fields, tables, doubts, lowest_confidence, batches: [number, ...]}: the numbers of `places.texts`.
    Raises, by name, what Textract raises; TextractJobFailed; JobInProgress.
    """
    document = event["document"]
    blocks: list[dict[str, Any]] = []
    for number, answer in enumerate(_collected(event["job"]) if event.get("job") else _read(event), 1):
        _put(places.analysis_part(document, number), answer)
        blocks += answer["Blocks"]
    found = Document(blocks)
    fields, tables = found.fields(), found.tables()
    lowest, doubts = doubtful(fields, FIELDS_THAT_MATTER, MINIMUM_CONFIDENCE)
    packed = batches(found.paragraphs())
    for number, batch in enumerate(packed, 1):
        _put(
            places.texts(document, number),
            {"texts": [one["text"] for one in batch], "pages": [one["page"] for one in batch]},
        )
    _put(places.reading(document), {"pages": found.pages, "fields": fields, "tables": tables})
    _put(places.doubts(document), {"fields": doubts, "pages": sorted({field["page"] for field in doubts})})
    told = {"pages": found.pages, "fields": len(fields), "tables": len(tables), "doubts": len(doubts)}
    logger.info("read", extra={"document": document, "batches": len(packed), **told})
    return {**told, "lowest_confidence": lowest, "batches": [*range(1, len(packed) + 1)]}


def _read(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    located = {"S3Object": {"Bucket": event["bucket"], "Name": event["key"], "Version": event["version"]}}
    yield _body(clients["textract"].analyze_document(Document=located, FeatureTypes=["FORMS", "TABLES"]))


def _collected(job: str) -> Iterator[dict[str, Any]]:
    following: dict[str, str] = {}
    while True:
        answer = clients["textract"].get_document_analysis(JobId=job, MaxResults=BLOCKS_A_PAGE, **following)
        if answer["JobStatus"] == "FAILED":
            said = answer.get("StatusMessage", "")
            # Only a code: a sentence might quote the document.
            code = said if re.fullmatch(r"[A-Z_]{1,64}", said) else "no code"
            raise named("TextractJobFailed", f"The job failed: {code}")
        if answer["JobStatus"] == "IN_PROGRESS":
            raise named("JobInProgress", "The job has not ended yet.")
        yield _body(answer)
        if not answer.get("NextToken"):
            return
        following = {"NextToken": answer["NextToken"]}


def _body(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("ResponseMetadata", "NextToken")}


def _put(key: str, content: Any) -> None:
    body = json.dumps(content, ensure_ascii=False).encode()
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="application/json")
