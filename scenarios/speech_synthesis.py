"""Drives texts through a deployed speech-synthesis stack, and fetches what they became.

Only AWS APIs, so it works the same on every cloud: it uploads to the bucket, waits for rows in the results table, and
reads the sound from the bucket.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boto3.dynamodb.types import TypeDeserializer

from scenarios.cloud import Cloud

Status = Literal["SPOKEN", "REJECTED", "TASK_FAILED", "FAILED", "SPEAKING", "STARTING", "MISSING"]
FINAL = ("SPOKEN", "REJECTED", "TASK_FAILED")

# The endings for which the stack has a rule. An object of another name is stored and else ignored.
SUFFIXES = (".txt", ".ssml")

# Nothing came for so long, so nothing will: longer than cold workers and a long task take.
PATIENCE_SECONDS = 90.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Result:
    """What became of one text.

    SPOKEN has the sound's `output_key` and its `sound`. REJECTED, TASK_FAILED and FAILED have a reason, REJECTED a
    `line` where one is to blame. `characters` are those that Polly charges for. `by_task` tells a long text. `seconds`
    is the time from the end of the upload until the row was final, None if it never was.
    """

    path: Path
    document: str
    version: str
    status: Status
    reason: str | None = None
    line: int | None = None
    voice: str = ""
    engine: str = ""
    characters: int = 0
    by_task: bool = False
    output_key: str = ""
    sound: bytes = b""
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The texts in the order in which they were given, and how long all of it took, in seconds."""

    texts: tuple[Result, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every text came to a final state; a refusal with its reason is one."""
        return all(text.status in FINAL for text in self.texts)


@dataclass(frozen=True)
class _Upload:
    path: Path
    document: str
    version: str
    finished: float


def is_watched(name: str) -> bool:
    """Whether a file of this name starts the flow: its ending is in small letters or in capitals, not mixed."""
    return name.endswith((*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)))


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    texts: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Uploads the texts and waits until each has its final row, or until nothing has come for `patience_seconds`.

    `outputs` are the stack's. Each run has a folder of its own under the stack's prefix, so that runs do not mix.
    Raises OSError for a file that cannot be read and botocore's errors where the cloud refuses.
    """
    begin = last_news = time.monotonic()
    folder = f"{outputs['InputPrefix']}{uuid.uuid4().hex[:8]}/"
    uploads = [_upload(cloud, outputs, f"{folder}{n}/{path.name}", path) for n, path in enumerate(texts, 1)]
    rows: dict[_Upload, tuple[dict[str, Any], float]] = {}
    while time.monotonic() - last_news < patience_seconds:
        for uploaded in uploads:
            known = rows.get(uploaded, ({}, 0.0))[0]
            if known.get("status") in FINAL:
                continue
            row = _row(cloud, outputs, uploaded)
            if row and row != known:
                rows[uploaded] = (row, time.monotonic() - uploaded.finished)
                last_news = time.monotonic()
        ended = sum(row["status"] in FINAL for row, _ in rows.values())
        progress(f"{len(uploads)} uploaded, {ended} have their result")
        if ended == len(uploads):
            break
        time.sleep(POLL_SECONDS)
    results = tuple(_result(cloud, outputs, uploaded, *rows.get(uploaded, ({}, 0.0))) for uploaded in uploads)
    return Report(results, time.monotonic() - begin)


def _upload(cloud: Cloud, outputs: Mapping[str, str], key: str, path: Path) -> _Upload:
    bucket = outputs["BucketName"]
    answer = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return _Upload(path, f"{bucket}/{key}", answer["VersionId"], time.monotonic())


def _row(cloud: Cloud, outputs: Mapping[str, str], uploaded: _Upload) -> dict[str, Any]:
    read = TypeDeserializer().deserialize
    answer = cloud.client("dynamodb").get_item(
        TableName=outputs["ResultsTableName"],
        Key={"document": {"S": uploaded.document}, "version": {"S": uploaded.version}},
        ConsistentRead=True,
    )
    return {name: read(value) for name, value in answer.get("Item", {}).items()}


def _result(
    cloud: Cloud, outputs: Mapping[str, str], uploaded: _Upload, row: Mapping[str, Any], seconds: float
) -> Result:
    if not row:
        reason = "no row came in time"
        return Result(uploaded.path, uploaded.document, uploaded.version, "MISSING", reason=reason)
    status: Status = row["status"]
    sound = b""
    if status == "SPOKEN":
        answer = cloud.client("s3").get_object(Bucket=outputs["BucketName"], Key=row["output_key"])
        sound = answer["Body"].read()
    reason = row.get("reason", {})
    return Result(
        path=uploaded.path,
        document=uploaded.document,
        version=uploaded.version,
        status=status,
        reason=f"{reason['code']}: {reason['message']}" if reason and status != "SPOKEN" else None,
        line=int(reason["line"]) if "line" in reason else None,
        voice=row.get("voice", ""),
        engine=row.get("engine", ""),
        characters=int(row.get("characters", 0)),
        by_task="task_id" in row,
        output_key=row.get("output_key", "") if status == "SPOKEN" else "",
        sound=sound,
        seconds=seconds if status in FINAL else None,
    )
