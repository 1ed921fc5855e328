"""Drives documents through a deployed document-processing stack, answers its reviews, and reads what was found.

Only AWS APIs and the review page's own address, so it works the same on every cloud: it uploads to the bucket, waits
for rows in the results table, and hears of reviews by a queue of its own that it subscribes to the stack's topic.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from boto3.dynamodb.types import TypeDeserializer

from scenarios.accuracy import Score, plain, score
from scenarios.cloud import Cloud
from scenarios.drawing.documents import Document as Drawn

Status = Literal["COMPLETED", "REJECTED", "FAILED", "PROCESSING", "MISSING"]
FINAL = ("COMPLETED", "REJECTED", "FAILED")

SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff")

# Nothing came for so long, so nothing will: longer than a page of text recognition on a busy machine.
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.2
UPLOADS_AT_ONCE = 4
# Amazon DynamoDB API reference, "BatchGetItem", read 2026-11-23.
KEYS_A_BATCH = 100

# Given the doubtful fields of a review ({"name", "value", "confidence", "kind", "number", ...}), returns what is sent
# to the page: {"decision": "approve" | "reject", "field-0": ..., "reason": ...}. None leaves the review alone.
Reviewer = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str] | None]


@dataclass(frozen=True)
class Field:
    """One key-value pair. `read_value` is what the machine had read where a reviewer changed it."""

    name: str
    value: str
    confidence: float
    page: int
    reviewed: bool
    read_value: str | None = None


@dataclass(frozen=True)
class Upload:
    """An object version that was put into the bucket; `finished` is the monotonic clock's time, in seconds."""

    key: str
    version: str
    document: str
    finished: float


@dataclass(frozen=True)
class Document:
    """What became of one document.

    REJECTED and FAILED have a reason. PROCESSING and MISSING mean that its end did not come in time. `seconds` is the
    time from the end of the upload until the final row was seen. `personal_data` counts findings. `accuracy` is of what
    the machine read, before any correction.
    """

    path: Path
    document: str
    version: str
    status: Status
    pages: int = 0
    fields: tuple[Field, ...] = ()
    tables: tuple[tuple[tuple[str, ...], ...], ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    personal_data: int = 0
    sentiment: str = ""
    lowest_confidence: float | None = None
    reviewed: bool = False
    review: str | None = None
    corrections: int = 0
    reason: str | None = None
    accuracy: Score | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The documents in the order in which they were given, and how long all of it took, in seconds."""

    documents: tuple[Document, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every document came to an end that is none of the stack's own failures; a rejection is one."""
        return all(document.status in ("COMPLETED", "REJECTED") for document in self.documents)


@dataclass(frozen=True)
class Page:
    """An answer of the review page."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Review:
    """An open review: its link as it was sent and as it is reached from here, and how it was answered."""

    review: str
    document: str
    sent: str
    url: str
    answered: Page | None = field(default=None)


def approve_as_read(fields: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """A reviewer who agrees with everything."""
    return {"decision": "approve"}


def corrector(truth: Mapping[str, str]) -> Reviewer:
    """A reviewer who knows what stands in the document, and corrects what differs."""
    known = {plain(name): value for name, value in truth.items()}

    def answer(fields: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        given = {
            f"field-{index}": known[plain(one["name"])]
            for index, one in enumerate(fields)
            if plain(one["name"]) in known and one["kind"] == "text"
        }
        return {"decision": "approve", **given}

    return answer


class Desk:
    """Where reviews arrive: a queue of its own on the stack's topic, for as long as the block lasts."""

    def __init__(self, cloud: Cloud, outputs: Mapping[str, str]) -> None:
        self._cloud = cloud
        self._outputs = outputs
        self._sqs = cloud.client("sqs")
        self._queue = ""
        self.reviews: dict[str, Review] = {}

    def __enter__(self) -> Desk:
        name = f"reviews-{uuid.uuid4().hex[:12]}"
        topic = self._outputs["ReviewTopicArn"]
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy})
        self._subscription = self._cloud.client("sns").subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._cloud.client("sns").unsubscribe(SubscriptionArn=self._subscription)
        self._sqs.delete_queue(QueueUrl=self._queue)

    def look(self) -> list[Review]:
        """The reviews that came since the last look; one that is asked again has its newest link."""
        found = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                told = json.loads(message["Body"])
                sent, url = told["url"], self._cloud.reachable(told["url"])
                review = self.reviews.setdefault(told["review"], Review(told["review"], told["document"], sent, url))
                review.sent, review.url = sent, url
                found.append(review)
        return found

    def answer(self, review: Review, reviewer: Reviewer) -> Page | None:
        """Opens the link, lets the reviewer decide, and sends the answer. None where the reviewer leaves it alone."""
        shown = visit(self._cloud, review.url)
        if shown.status != 200:
            return shown
        answer = reviewer(shown.json()["fields"])
        if answer is None:
            return None
        review.answered = visit(self._cloud, review.url, answer)
        return review.answered


def visit(cloud: Cloud, url: str, answer: Mapping[str, str] | None = None, *, accept: str = "application/json") -> Page:
    """Asks the review page, or sends it an answer. Any status is an answer. Raises OSError when nobody answers."""
    headers = {"Accept": accept}
    body = None
    if answer is not None:
        body = json.dumps(answer).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 (the stack's own address, HTTPS)
    trusted = ssl.create_default_context(cafile=cloud.ca_bundle)
    try:
        with urllib.request.urlopen(request, timeout=60, context=trusted) as response:  # noqa: S310 (the same)
            return Page(response.status, response.read(), dict(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.read(), dict(error.headers))


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    documents: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    reviewer: Reviewer | Mapping[str, Reviewer] = approve_as_read,
    truths: Mapping[str, Drawn] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Uploads the documents, answers the reviews that they lead to, and waits until each has come to its end.

    `reviewer` answers for all documents, or by file name. `truths` holds the drawn documents, by file name.
    Stops when nothing has come for `patience_seconds`. Each run has a folder of its own under the stack's prefix.
    """
    begin = last_news = time.monotonic()
    folder = f"{outputs['UploadPrefix']}{uuid.uuid4().hex[:8]}/"
    with Desk(cloud, outputs) as desk, ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = list(
            pool.map(
                lambda pair: upload(cloud, outputs, folder + pair[0], pair[1]),
                zip(_names(documents), documents, strict=True),
            )
        )
        paths = {(one.document, one.version): path for one, path in zip(uploads, documents, strict=True)}
        rows: dict[tuple[str, str], tuple[Mapping[str, Any], float]] = {}
        started = {(one.document, one.version): one.finished for one in uploads}
        while time.monotonic() - last_news < patience_seconds:
            pending = [key for key in paths if rows.get(key, ({},))[0].get("status") not in FINAL]
            if not pending:
                break
            news = False
            for key, row in read_rows(cloud, outputs, pending).items():
                if rows.get(key, ({}, 0.0))[0] != row:
                    rows[key] = row, time.monotonic() - started[key]
                    news = True
            news = _answer(desk, reviewer, rows, paths) or news
            if news:
                last_news = time.monotonic()
                ended = sum(1 for row, _ in rows.values() if row.get("status") in FINAL)
                answered = sum(1 for review in desk.reviews.values() if review.answered)
                progress(f"{ended} of {len(paths)} done, {answered} reviews answered")
            time.sleep(POLL_SECONDS)
        reviews = {review.document: review for review in desk.reviews.values()}
    found = tuple(
        _document(
            cloud,
            outputs,
            path,
            one,
            found=rows.get((one.document, one.version)),
            reviews=reviews,
            truths=truths or {},
        )
        for one, path in zip(uploads, documents, strict=True)
    )
    return Report(found, time.monotonic() - begin)


def leave_review(
    cloud: Cloud, outputs: Mapping[str, str], document: Path, *, patience_seconds: float = PATIENCE_SECONDS
) -> str | None:
    """Uploads a document and leaves its review to a person, who reaches it under the link that is returned.

    None where the document came to its end without a review, or where neither came in time.
    """
    folder = f"{outputs['UploadPrefix']}{uuid.uuid4().hex[:8]}/"
    with Desk(cloud, outputs) as desk:
        uploaded = upload(cloud, outputs, folder + document.name, document)
        key = (uploaded.document, uploaded.version)
        while time.monotonic() - uploaded.finished < patience_seconds:
            row = read_rows(cloud, outputs, [key]).get(key, {})
            if row.get("status") in FINAL:
                break
            desk.look()
            for review in desk.reviews.values():
                if review.document == row.get("document_id"):
                    return review.url
            time.sleep(POLL_SECONDS)
    return None


def upload(cloud: Cloud, outputs: Mapping[str, str], key: str, document: Path | bytes) -> Upload:
    """Puts one document, a file or its bytes, under this key (prefix included) into the stack's bucket."""
    body = document.read_bytes() if isinstance(document, Path) else document
    bucket = outputs["BucketName"]
    answer = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return Upload(key, answer["VersionId"], f"{bucket}/{key}", time.monotonic())


def read_rows(
    cloud: Cloud, outputs: Mapping[str, str], keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of these documents and versions, as far as there are any yet."""
    table = outputs["ResultsTableName"]
    found = {}
    for start in range(0, len(keys), KEYS_A_BATCH):
        wanted = [{"document": {"S": d}, "version": {"S": v}} for d, v in keys[start : start + KEYS_A_BATCH]]
        answer = cloud.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": wanted, "ConsistentRead": True}})
        # What the answer had no room for is asked for again at the next turn.
        for item in answer["Responses"].get(table, []):
            row = _values(item)
            found[row["document"], row["version"]] = row
    return found


def findings(cloud: Cloud, outputs: Mapping[str, str], document: str, version: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of what was found in a version: {"field": [...], "table": [...], "entity": [...]}."""
    pages = (
        cloud.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=outputs["ResultsTableName"],
            KeyConditionExpression="document = :document AND begins_with(version, :version)",
            ExpressionAttributeValues={":document": {"S": document}, ":version": {"S": f"{version}/"}},
            ConsistentRead=True,
        )
    )
    found: dict[str, list[dict[str, Any]]] = {"field": [], "table": [], "entity": []}
    for row in (_values(item) for page in pages for item in page["Items"]):
        found[row["version"].split("/")[-2]].append(row)
    return found


def _accuracy(cloud: Cloud, outputs: Mapping[str, str], document_id: str, truth: Drawn) -> Score:
    """How right the stack's reading is, by what it keeps of it and of its doubts."""
    s3, bucket = cloud.client("s3"), outputs["BucketName"]
    reading, doubts = (
        json.loads(s3.get_object(Bucket=bucket, Key=f"documents/{document_id}/{name}.json")["Body"].read())
        for name in ("reading", "doubts")
    )
    return score(truth, reading, doubts["fields"])


def _answer(
    desk: Desk,
    reviewer: Reviewer | Mapping[str, Reviewer],
    rows: Mapping[tuple[str, str], tuple[Mapping[str, Any], float]],
    paths: Mapping[tuple[str, str], Path],
) -> bool:
    """Answers the reviews that have come, of this run's documents; returns whether there were any."""
    names = {row.get("document_id"): paths[key].name for key, (row, _) in rows.items()}
    came = desk.look()
    for review in came:
        if review.answered or review.document not in names:
            continue
        chosen = reviewer if callable(reviewer) else reviewer.get(names[review.document], approve_as_read)
        desk.answer(review, chosen)
    return bool(came)


def _names(documents: Sequence[Path]) -> list[str]:
    """The files' own names; a name that several have gets a number in front."""
    counts = Counter(document.name for document in documents)
    return [one.name if counts[one.name] == 1 else f"{n}/{one.name}" for n, one in enumerate(documents, 1)]


def _values(item: Mapping[str, Any]) -> dict[str, Any]:
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def _document(
    cloud: Cloud,
    outputs: Mapping[str, str],
    path: Path,
    uploaded: Upload,
    *,
    found: tuple[Mapping[str, Any], float] | None,
    reviews: Mapping[str, Review],
    truths: Mapping[str, Drawn],
) -> Document:
    if found is None:
        return Document(path, uploaded.document, uploaded.version, "MISSING", reason="no row came in time")
    row, seconds = found
    status: Status = row["status"]
    review = reviews.get(row.get("document_id", ""))
    said = None
    if review is not None and review.answered is not None:
        said = review.answered.json()["code"]
    if status != "COMPLETED":
        reason = row.get("reason", {})
        text = f"{reason['code']}: {reason['message']}" if reason else "its end did not come in time"
        return Document(path, uploaded.document, uploaded.version, status, review=said, reason=text, seconds=seconds)
    rows = findings(cloud, outputs, uploaded.document, uploaded.version)
    fields = tuple(
        Field(
            name=one["name"],
            value=one["value"],
            confidence=float(one["confidence"]),
            page=int(one["page"]),
            reviewed=one["reviewed"],
            read_value=one.get("read_value"),
        )
        for one in rows["field"]
    )
    tables = tuple(tuple(tuple(line) for line in one["rows"]) for one in rows["table"])
    truth = truths.get(path.name)
    return Document(
        path=path,
        document=uploaded.document,
        version=uploaded.version,
        status=status,
        pages=int(row["pages"]),
        fields=fields,
        tables=tables,
        entities=tuple((one["text"], one["type"]) for one in rows["entity"]),
        personal_data=int(row["personal_data"]),
        sentiment=row["sentiment"],
        lowest_confidence=float(row["lowest_confidence"]),
        reviewed=row["reviewed"],
        review=said,
        corrections=int(row["corrections"]),
        accuracy=_accuracy(cloud, outputs, row["document_id"], truth) if truth else None,
        seconds=seconds,
    )


def executions(cloud: Cloud, outputs: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Every execution of the stack's state machine, the newest first."""
    pages = (
        cloud.client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(stateMachineArn=outputs["StateMachineArn"])
    )
    return (execution for page in pages for execution in page["executions"])
