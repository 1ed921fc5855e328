"""Drives recorded calls through a deployed call-analytics stack, and reads what was understood of them.

Only AWS APIs, so it works the same on every cloud: it uploads to the bucket, waits for the calls' rows, and reads their
reports. Where the truth about a call is known, it says how near the result comes to it.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

from boto3.dynamodb.types import TypeDeserializer

from scenarios.calls import accuracy
from scenarios.calls.recordings import BOOKING, COMPLAINT, Call, record
from scenarios.cloud import Cloud

Status = Literal["COMPLETED", "REJECTED", "WITHHELD", "FAILED", "MISSING"]
FINAL = ("COMPLETED", "REJECTED", "WITHHELD", "FAILED")
# Ends in which nothing went wrong: the two others are what the stack is told to do with such calls.
FINE = ("COMPLETED", "REJECTED", "WITHHELD")

# What Transcribe takes, by the endings that such files have. The stack looks at the content, not at the name.
SUFFIXES = (".wav", ".mp3", ".m4a", ".mp4", ".flac", ".ogg", ".amr", ".webm")

PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Recording:
    """A recording to analyse. `truth` is what is known of it, `language` and `spoken` what its uploader asks for."""

    name: str
    audio: bytes
    language: str = ""
    spoken: bool = False
    truth: Call | None = None


@dataclass(frozen=True)
class Upload:
    """An object version that was put into the bucket; `finished` is the monotonic clock's time, in seconds."""

    key: str
    version: str
    call: str
    finished: float


@dataclass(frozen=True)
class Turn:
    """What one speaker says. `mood` is empty where nothing was analysed, `translation` where nothing was translated."""

    speaker: str
    start: float
    end: float
    text: str
    translation: str
    mood: str
    tone: float | None


@dataclass(frozen=True)
class Fit:
    """How near the result comes to the truth; shares from 0 to 1. Word errors are counted against all words said.

    `personal_data_gone` is the share of names, numbers and the like that no result holds any more; `hotels_heard` and
    `hotels_kept` are the shares of hotel names that stand in the transcript, and that the translation left alone.
    """

    language: bool
    turns: bool
    speakers: float
    word_errors: float
    personal_data_gone: float
    hotels_heard: float
    hotels_kept: float


@dataclass(frozen=True)
class Analysed:
    """What became of one recording. MISSING means that no row came in time. `seconds`: from upload to final row."""

    recording: Recording
    call: str
    status: Status
    reason: str | None = None
    seconds: float | None = None
    language: str = ""
    redacted: bool = False
    length: float = 0.0
    turns: tuple[Turn, ...] = ()
    talk_shares: Mapping[str, float] | None = None
    tone: float | None = None
    course: tuple[float | None, ...] = ()
    entities: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    hotels: tuple[str, ...] = ()
    report: str = ""
    summary: str = ""
    fit: Fit | None = None


@dataclass(frozen=True)
class Report:
    """The calls in the order in which they were given, and how long all of it took, in seconds."""

    calls: tuple[Analysed, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every recording came to a result; that it is rejected or withheld is one."""
        return all(call.status in FINE for call in self.calls)


def samples() -> list[Recording]:
    """The project's own calls, synthesized: a booking, and a complaint of which a summary is to be spoken."""
    return [
        Recording(f"{call.name}.wav", call.wav(), truth=call, spoken=call.name == COMPLAINT.name)
        for call in (record(BOOKING), record(COMPLAINT))
    ]


def from_file(path: Path) -> Recording:
    """A recording of one's own, of which no truth is known. Raises OSError."""
    return Recording(path.name, path.read_bytes())


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    recordings: Sequence[Recording],
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Uploads the recordings and waits until each has its final row, or until none has come for `patience_seconds`.

    `outputs` are the stack's. Each run has a folder of its own under the stack's prefix, so that runs do not mix.
    Raises botocore's errors where the cloud refuses.
    """
    begin = last_news = time.monotonic()
    folder = f"{outputs['UploadPrefix']}{uuid.uuid4().hex[:8]}/"
    uploads = [upload(cloud, outputs, f"{folder}{n}-{one.name}", one) for n, one in enumerate(recordings, 1)]
    done: dict[str, tuple[dict[str, Any], float]] = {}
    while len(done) < len(uploads) and time.monotonic() - last_news < patience_seconds:
        for one in uploads:
            row = None if one.call in done else row_of(cloud, outputs, one.call)
            if row and row["status"] in FINAL:
                done[one.call] = row, time.monotonic() - one.finished
                last_news = time.monotonic()
                progress(f"{len(done)} of {len(uploads)} analysed")
        time.sleep(POLL_SECONDS)
    results = tuple(
        _analysed(cloud, outputs, recording, one, done.get(one.call))
        for recording, one in zip(recordings, uploads, strict=True)
    )
    return Report(results, time.monotonic() - begin)


def upload(cloud: Cloud, outputs: Mapping[str, str], key: str, recording: Recording) -> Upload:
    """Puts one recording under this key (prefix included) into the stack's bucket."""
    metadata = {"language": recording.language} if recording.language else {}
    metadata |= {"summary": "spoken"} if recording.spoken else {}
    bucket = outputs["BucketName"]
    answer = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=recording.audio, Metadata=metadata)
    version = str(answer["VersionId"])
    return Upload(key, version, call_of(bucket, key, version), time.monotonic())


def call_of(bucket: str, key: str, version: str) -> str:
    """The id under which the stack keeps what it makes of an object version."""
    return hashlib.sha256(json.dumps([bucket, key, version]).encode()).hexdigest()[:32]


def row_of(cloud: Cloud, outputs: Mapping[str, str], call: str) -> dict[str, Any] | None:
    """The row of a call, as it is now."""
    answer = cloud.client("dynamodb").get_item(
        TableName=outputs["CallsTableName"], Key={"call": {"S": call}}, ConsistentRead=True
    )
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in answer["Item"].items()} if "Item" in answer else None


def report_of(cloud: Cloud, outputs: Mapping[str, str], key: str) -> dict[str, Any]:
    """The report that a call's row names."""
    body = cloud.client("s3").get_object(Bucket=outputs["BucketName"], Key=key)["Body"].read()
    found: dict[str, Any] = json.loads(body)
    return found


def _analysed(
    cloud: Cloud,
    outputs: Mapping[str, str],
    recording: Recording,
    uploaded: Upload,
    found: tuple[dict[str, Any], float] | None,
) -> Analysed:
    if found is None:
        return Analysed(recording, uploaded.call, "MISSING", "no row came in time")
    row, seconds = found
    status: Status = row["status"]
    if status != "COMPLETED":
        reason = row.get("reason", {})
        told = f"{reason.get('code', 'unknown')}: {reason.get('message', 'no reason was recorded')}"
        return Analysed(recording, uploaded.call, status, told, seconds, language=row.get("language", ""))
    report = report_of(cloud, outputs, row["report"])
    turns = tuple(_turn(turn) for turn in report["turns"])
    return Analysed(
        recording=recording,
        call=uploaded.call,
        status=status,
        seconds=seconds,
        language=report["language"],
        redacted=report["redacted"],
        length=report["seconds"],
        turns=turns,
        talk_shares=report["talk_shares"],
        tone=report["tone"],
        course=tuple(part["tone"] for part in report["course"]),
        entities=tuple(one["text"] for one in report["entities"]),
        phrases=tuple(one["text"] for one in report["phrases"]),
        hotels=tuple(report["hotels"]),
        report=row["report"],
        summary=row["summary"],
        fit=_fit(recording.truth, report, turns) if recording.truth else None,
    )


def _turn(turn: Mapping[str, Any]) -> Turn:
    scores = turn.get("scores")
    return Turn(
        speaker=turn["speaker"],
        start=turn["start"],
        end=turn["end"],
        text=turn["text"],
        translation=turn.get("translation", ""),
        mood=turn.get("mood", ""),
        tone=scores["Positive"] - scores["Negative"] if scores else None,
    )


def _fit(truth: Call, report: Mapping[str, Any], turns: Sequence[Turn]) -> Fit:
    text = " ".join(turn.text for turn in turns)
    translation = " ".join(turn.translation for turn in turns)
    heard = [name for name in truth.hotels if name in text]
    segments = [{"start_time": turn.start, "end_time": turn.end, "speaker_label": turn.speaker} for turn in turns]
    return Fit(
        language=report["language"] == truth.language,
        turns=_same_turns([turn.speaker for turn in truth.turns], [turn.speaker for turn in turns]),
        speakers=accuracy.speaker_accuracy(truth.turns, segments),
        word_errors=accuracy.word_error_rate(_without_secrets(truth), text.replace("[PII]", " ")),
        personal_data_gone=accuracy.secret_recall(truth.turns, "\n".join(_told(report))),
        hotels_heard=accuracy.names_kept(truth.hotels, text),
        hotels_kept=accuracy.names_kept(heard, translation) if translation else 1.0,
    )


def _told(report: Mapping[str, Any]) -> Iterator[str]:
    """All that a report tells of what was said. Its ids, times and scores have digits of their own."""
    for turn in report["turns"]:
        yield turn["text"]
        yield turn.get("translation", "")
        yield from (one["text"] for kind in ("entities", "phrases") for one in turn.get(kind, ()))
    yield from (one["text"] for kind in ("entities", "phrases") for one in report[kind])


def _same_turns(people: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether the speakers take turns as they did, whatever they are called."""
    names = sorted(set(labels))
    return len(people) == len(labels) and any(
        [naming[person] for person in people] == list(labels)
        for order in permutations(names)
        for naming in [dict(zip(sorted(set(people)), order, strict=False))]
        if len(naming) == len(set(people))
    )


def _without_secrets(truth: Call) -> str:
    """What was said but for the personal data, letter by letter where they are spoken so."""
    said = []
    for turn in truth.turns:
        left = accuracy.words(turn.text)
        for secret in turn.secrets:
            for word in accuracy.words(secret.words):
                if word in left:
                    left.remove(word)
        said += left
    return " ".join(said)
