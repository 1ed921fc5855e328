"""Sends texts to a deployed text-insights stack, and reads what was found in them.

Only AWS APIs, so it works the same on every cloud: it sends messages to the queue, and waits for rows in the results
table.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boto3.dynamodb.types import TypeDeserializer

from scenarios.cloud import Cloud

Status = Literal["ANALYZED", "REJECTED", "FAILED", "MISSING"]
FINAL = ("ANALYZED", "REJECTED")

SUFFIXES = (".txt",)

# Nothing came for so long, so nothing will: longer than cold workers take, shorter than the pause before a retry.
PATIENCE_SECONDS = 45.0
POLL_SECONDS = 0.1

# Amazon SQS Developer Guide, "Amazon SQS message quotas": 10 messages a batch, 1 MiB together (read 2026-11-25).
MESSAGES_A_CALL = 10
BYTES_A_CALL = 1_000_000


@dataclass(frozen=True)
class Message:
    """A text as it is sent. `language` is left out where the stack is to find it."""

    id: str
    text: str
    language: str = ""

    @property
    def body(self) -> str:
        """The message's body for SQS."""
        members = {"id": self.id, "text": self.text}
        return json.dumps(members | ({"language": self.language} if self.language else {}), ensure_ascii=False)


@dataclass(frozen=True)
class Finding:
    """An entity, a phrase or a piece of personal data: its place in characters of the text, its score (0 to 1).

    `text` is None where the stack keeps no words of it; `type` is empty for a phrase.
    """

    begin: int
    end: int
    score: float
    type: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Insight:
    """What became of one text.

    ANALYZED has language, sentiment and findings. REJECTED and FAILED have a reason; a rejection may have a language.
    MISSING means that no result came in time; its reason says so. `seconds` is the time from when the text was sent
    until its row was seen, None if none was.
    """

    name: str
    text_id: str
    status: Status
    language: str | None = None
    sentiment: str | None = None
    sentiment_scores: Mapping[str, float] | None = None
    entities: tuple[Finding, ...] = ()
    key_phrases: tuple[Finding, ...] = ()
    personal_data: tuple[Finding, ...] = ()
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The texts in the order in which they were given, and how long all of it took, in seconds."""

    texts: tuple[Insight, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every text came to a result; a rejection is one."""
        return all(text.status in FINAL for text in self.texts)


def is_text(name: str) -> bool:
    """Whether a file of this name is taken for a text."""
    return name.lower().endswith(SUFFIXES)


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    texts: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Sends the files' texts and waits until each has its row, or until nothing has come for `patience_seconds`.

    `outputs` are the stack's. Each run has ids of its own, so that runs do not mix. Raises OSError for a file that
    cannot be read, UnicodeDecodeError for one that is no UTF-8, and botocore's errors where the cloud refuses.
    """
    begin = last_news = time.monotonic()
    run_id = uuid.uuid4().hex[:8]
    messages = [
        Message(f"{run_id}/{number}/{path.name}", path.read_text(encoding="utf-8"))
        for number, path in enumerate(texts, 1)
    ]
    sent = send(cloud, outputs, messages)
    rows: dict[str, tuple[Mapping[str, Any], float]] = {}
    pending = {message.id for message in messages}
    while pending and time.monotonic() - last_news < patience_seconds:
        for text_id in sorted(pending):
            for row in read_rows(cloud, outputs, text_id):
                if rows.get(text_id, ({}, 0.0))[0] != row:
                    rows[text_id] = (row, time.monotonic() - sent[text_id])
                    last_news = time.monotonic()
                    # IN_PROGRESS is a claim, FAILED an attempt that may yet be followed by a better one.
                    if row["status"] in FINAL:
                        pending.discard(text_id)
                        progress(f"{len(messages)} sent, {len(messages) - len(pending)} have their row")
        if pending:
            time.sleep(POLL_SECONDS)
    insights = tuple(_insight(path.name, message.id, rows) for path, message in zip(texts, messages, strict=True))
    return Report(insights, time.monotonic() - begin)


def send(cloud: Cloud, outputs: Mapping[str, str], messages: Sequence[Message]) -> dict[str, float]:
    """Puts texts into the queue; returns when each was sent, by its id, on the monotonic clock.

    Raises botocore's ClientError, and RuntimeError for messages that SQS did not take.
    """
    sqs = cloud.client("sqs")
    sent: dict[str, float] = {}
    waiting = list(messages)
    while waiting:
        batch: list[Message] = []
        size = 0
        while waiting and len(batch) < MESSAGES_A_CALL:
            size += len(waiting[0].body.encode())
            if batch and size > BYTES_A_CALL:
                break
            batch.append(waiting.pop(0))
        entries = [{"Id": str(number), "MessageBody": message.body} for number, message in enumerate(batch)]
        answer = sqs.send_message_batch(QueueUrl=outputs["QueueUrl"], Entries=entries)
        if refused := answer.get("Failed"):
            raise RuntimeError(f"SQS did not take {len(refused)} texts: {refused[0].get('Code')}")
        sent |= dict.fromkeys((message.id for message in batch), time.monotonic())
    return sent


def read_rows(cloud: Cloud, outputs: Mapping[str, str], text_id: str) -> list[dict[str, Any]]:
    """All rows of a text, one a content."""
    read = TypeDeserializer().deserialize
    answer = cloud.client("dynamodb").query(
        TableName=outputs["ResultsTableName"],
        KeyConditionExpression="text_id = :id",
        ExpressionAttributeValues={":id": {"S": text_id}},
        ConsistentRead=True,
    )
    return [{name: read(value) for name, value in item.items()} for item in answer["Items"]]


def _insight(name: str, text_id: str, rows: Mapping[str, tuple[Mapping[str, Any], float]]) -> Insight:
    row, seconds = rows.get(text_id, ({}, 0.0))
    if row.get("status") not in (*FINAL, "FAILED"):
        return Insight(name, text_id, "MISSING", reason="no result came in time")
    scores = row.get("sentiment_scores")
    return Insight(
        name=name,
        text_id=text_id,
        status=row["status"],
        language=row.get("language", {}).get("code"),
        sentiment=row.get("sentiment"),
        sentiment_scores=None if scores is None else {mood: float(score) for mood, score in scores.items()},
        entities=_findings(row, "entities"),
        key_phrases=_findings(row, "key_phrases"),
        personal_data=_findings(row, "personal_data"),
        reason=None if row["status"] == "ANALYZED" else _reason(row),
        seconds=seconds,
    )


def _findings(row: Mapping[str, Any], name: str) -> tuple[Finding, ...]:
    return tuple(
        Finding(int(one["begin"]), int(one["end"]), float(one["score"]), one.get("type", ""), one.get("text"))
        for one in row.get(name, ())
    )


def _reason(row: Mapping[str, Any]) -> str:
    reason = row.get("reason", {})
    return f"{reason.get('code', 'unknown')}: {reason.get('message', 'no reason was recorded')}"
