"""Drives photographs through a deployed image-labeling stack, and reads what was found in them.

Only AWS APIs, so it works the same on every cloud: it uploads to the bucket, and waits for rows in the results table.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boto3.dynamodb.types import TypeDeserializer

from scenarios.cloud import Cloud

Status = Literal["LABELED", "REJECTED", "FAILED", "MISSING"]
FINAL = ("LABELED", "REJECTED")

# The endings for which the stack has a rule, in small letters. An object of another name is stored and else ignored.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# Nothing came for so long, so nothing will: longer than cold workers take, shorter than the pause before a retry.
PATIENCE_SECONDS = 45.0
POLL_SECONDS = 0.1
UPLOADS_AT_ONCE = 4

# Amazon DynamoDB API reference, "BatchGetItem", read 2026-11-23.
KEYS_A_BATCH = 100


@dataclass(frozen=True)
class Upload:
    """An object version that was put into the bucket; `finished` is the monotonic clock's time, in seconds."""

    key: str
    version: str
    image: str
    finished: float


@dataclass(frozen=True)
class Label:
    """A label, its confidence in percent, its ancestors as the service lists them, and its boxes."""

    name: str
    confidence: float
    parents: tuple[str, ...]
    instances: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Photo:
    """What became of one photograph.

    LABELED has labels, most confident first. REJECTED and FAILED have a reason. MISSING means that no row came in
    time; its reason says so. `seconds` is the time from the end of the upload until the row was seen, None if none was.
    """

    path: Path
    image: str
    version: str
    status: Status
    labels: tuple[Label, ...] = ()
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The photographs in the order in which they were given, and how long all of it took, in seconds."""

    photos: tuple[Photo, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every photograph came to a result; a rejection is one."""
        return all(photo.status in FINAL for photo in self.photos)


class _Watch:
    """Looks for the rows of uploads. `rows` maps each upload to its newest row and the seconds until that was seen.

    A FAILED row is an attempt that may yet be followed by a better one: its upload stays pending.
    """

    def __init__(self, cloud: Cloud, outputs: Mapping[str, str]) -> None:
        self._cloud = cloud
        self._outputs = outputs
        self.pending: dict[tuple[str, str], Upload] = {}
        self.rows: dict[Upload, tuple[Mapping[str, Any], float]] = {}
        self.finished = 0

    def add(self, uploaded: Upload) -> None:
        self.pending[uploaded.image, uploaded.version] = uploaded

    def poll(self) -> bool:
        """Reads the rows of what is pending; returns whether there was anything new."""
        news = False
        for key, row in _read_rows(self._cloud, self._outputs, list(self.pending)).items():
            uploaded = self.pending[key]
            if self.rows.get(uploaded, ({}, 0.0))[0] == row:
                continue
            news = True
            self.rows[uploaded] = (row, time.monotonic() - uploaded.finished)
            if row.get("status") in FINAL:
                self.finished += 1
                del self.pending[key]
        return news


def is_watched(name: str) -> bool:
    """Whether a file of this name starts the flow: its ending is in small letters or in capitals, not mixed."""
    return name.endswith((*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)))


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    photos: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Uploads the photographs and waits until each has its row, or until nothing has come for `patience_seconds`.

    `outputs` are the stack's. Each run has a folder of its own under the stack's prefix, so that runs do not mix.
    Raises OSError for a file that cannot be read and botocore's errors where the cloud refuses.
    """
    begin = last_news = time.monotonic()
    folder = f"{outputs['UploadPrefix']}{uuid.uuid4().hex[:8]}/"
    watch = _Watch(cloud, outputs)
    uploads: dict[int, Upload] = {}
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploading = {
            pool.submit(upload, cloud, outputs, folder + name, path): number
            for number, (name, path) in enumerate(zip(_names(photos), photos, strict=True))
        }
        try:
            while (uploading or watch.pending) and time.monotonic() - last_news < patience_seconds:
                news = False
                for task in [task for task in uploading if task.done()]:
                    watch.add(uploads.setdefault(uploading.pop(task), task.result()))
                    news = True
                if watch.poll() or news:
                    last_news = time.monotonic()
                    progress(f"{len(uploads)} of {len(photos)} uploaded, {watch.finished} have their row")
                if uploading or watch.pending:
                    time.sleep(POLL_SECONDS)
        finally:
            pool.shutdown(cancel_futures=True)
    results = tuple(_photo(path, uploads.get(number), watch) for number, path in enumerate(photos))
    return Report(results, time.monotonic() - begin)


def upload(cloud: Cloud, outputs: Mapping[str, str], key: str, photo: Path | bytes) -> Upload:
    """Puts one photograph, a file or its bytes, under this key (prefix included) into the stack's bucket."""
    body = photo.read_bytes() if isinstance(photo, Path) else photo
    bucket = outputs["BucketName"]
    answer = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return Upload(key, answer["VersionId"], f"{bucket}/{key}", time.monotonic())


def _names(photos: Sequence[Path]) -> list[str]:
    """The files' own names; a name that several have gets a number in front."""
    counts = Counter(photo.name for photo in photos)
    return [photo.name if counts[photo.name] == 1 else f"{n}/{photo.name}" for n, photo in enumerate(photos, 1)]


def _read_rows(
    cloud: Cloud, outputs: Mapping[str, str], keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    dynamodb = cloud.client("dynamodb")
    table = outputs["ResultsTableName"]
    read = TypeDeserializer().deserialize
    found = {}
    for start in range(0, len(keys), KEYS_A_BATCH):
        wanted = [{"image": {"S": i}, "version": {"S": v}} for i, v in keys[start : start + KEYS_A_BATCH]]
        answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": wanted, "ConsistentRead": True}})
        # What the answer had no room for is asked for again at the next turn.
        for item in answer["Responses"].get(table, []):
            row = {name: read(value) for name, value in item.items()}
            found[row["image"], row["version"]] = row
    return found


def _photo(path: Path, uploaded: Upload | None, watch: _Watch) -> Photo:
    if uploaded is None:
        return Photo(path, image="", version="", status="MISSING", reason="the upload did not end in time")
    if uploaded not in watch.rows:
        return Photo(path, uploaded.image, uploaded.version, status="MISSING", reason="no row came in time")
    row, seconds = watch.rows[uploaded]
    return Photo(
        path=path,
        image=uploaded.image,
        version=uploaded.version,
        status=row["status"],
        labels=tuple(_label(label) for label in row.get("labels", ())),
        reason=None if row["status"] == "LABELED" else _reason(row),
        seconds=seconds,
    )


def _label(label: Mapping[str, Any]) -> Label:
    return Label(
        name=label["name"],
        confidence=float(label["confidence"]),
        parents=tuple(label["parents"]),
        instances=tuple(label["instances"]),
    )


def _reason(row: Mapping[str, Any]) -> str:
    reason = row.get("reason", {})
    return f"{reason.get('code', 'unknown')}: {reason.get('message', 'no reason was recorded')}"
