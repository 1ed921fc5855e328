"""Reads what an endpoint captured, and the labels that people gave to it later.

A captured record is a line of JSON:

    {"captureData": {"endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "...",
                                       "encoding": "CSV" | "JSON" | "BASE64"},
                     "endpointOutput": {... "mode": "OUTPUT" ...}},
     "eventMetadata": {"eventId": "...", "inferenceId": "...", "inferenceTime": "2026-11-27T09:14:03Z"},
     "eventVersion": "0"}

A label is one, too:

    {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "..."}, "eventVersion": "0"}

where `eventId` is the `inferenceId` that the caller gave, if it gave one, else the record's `eventId` (Amazon SageMaker
AI Developer Guide, "Ingest Ground Truth labels and merge them with predictions", read 2026-11-27). A request of several
rows has as many labels, a line each, in their order.

The data of a request is CSV without a header, in the schema's order, or JSON: a list of rows, `{"instances": [...]}`,
one row, or columns of lists. A row of JSON is a list, an object of columns, or `{"features": [...]}`. The data of an
answer is CSV (probability, decision) or JSON (the same, as lists, as objects, as numbers, or in
`{"predictions": [...]}`).

What cannot be read is counted by its reason, and nothing else: a capture of half a line is no reason to judge nothing.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .checks import Window
from .schema import Schema
from .table import Column, Numbers


class _UnreadableError(Exception):
    """Why a record is of no use: a few words that quote nothing of it."""


@dataclass(frozen=True)
class Answer:
    """What the model said of one row; NaN for what it did not say."""

    probability: float
    decision: float


@dataclass
class Captures:
    """The records of a folder. `answers`: by the id that a label would bear, an answer a row."""

    window: Window
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: int = 0
    outside: int = 0
    duplicates: int = 0
    malformed: Counter[str] = field(default_factory=Counter)

    @property
    def probabilities(self) -> Numbers:
        """Those that there are."""
        told = (answer.probability for answers in self.answers.values() for answer in answers)
        return np.array(list(told), dtype=np.float64)

    def with_answers(self, schema: Schema) -> Window:
        """The window with the answers' columns before those of the requests, which makes rows so much wider."""
        answers = [answer for told in self.answers.values() for answer in told]
        said = zip(schema.outputs, ("probability", "decision"), strict=True)
        columns = {
            column.name: Column.parse(column, [getattr(answer, member) for answer in answers])
            for column, member in said
            if answers
        }
        absent = () if answers else tuple(column.name for column in schema.outputs)
        more = len(schema.outputs)
        return replace(
            self.window,
            table={**columns, **self.window.table},
            absent=(*absent, *self.window.absent),
            misshapen={width + more: rows for width, rows in self.window.misshapen.items()},
        )


@dataclass
class Labels:
    """Labels by id, one a row. `malformed`: by reason."""

    labels: dict[str, list[float]] = field(default_factory=dict)
    malformed: Counter[str] = field(default_factory=Counter)


def read_captures(folder: Path, schema: Schema, start: datetime | None = None, end: datetime | None = None) -> Captures:
    """All records below a folder (`*.jsonl`) whose inference lies in [start, end)."""
    found = Captures(Window({}, 0))
    rows = _Rows(schema)
    seen: set[str] = set()
    for record in _records(folder, found.malformed):
        try:
            event, label_id = _ids(record)
            time = _time(record)
            if (start or end) and not (start or time) <= time < (end or datetime.max.replace(tzinfo=timezone.utc)):
                found.outside += 1
                continue
            if event in seen:
                found.duplicates += 1
                continue
            asked = list(_request_rows(_part(record, "endpointInput")))
        except _UnreadableError as error:
            found.malformed[str(error)] += 1
            continue
        seen.add(event)
        found.requests += 1
        for row in asked:
            rows.add(row)
        if "endpointOutput" not in record["captureData"]:
            continue
        # What was asked counts, whatever was answered.
        try:
            answers = list(_answers(_part(record, "endpointOutput"), schema))
        except _UnreadableError as error:
            found.malformed[f"answer: {error}"] += 1
            continue
        if len(answers) == len(asked):
            found.answers[label_id] = answers
        else:
            found.malformed["answer: not one a row"] += 1
    found.window = rows.window()
    return found


def read_labels(folder: Path) -> Labels:
    """All labels below a folder (`*.jsonl`). A label that comes again replaces the one before."""
    found = Labels()
    for record in _records(folder, found.malformed):
        try:
            event, labels = _ids(record)[0], _labels(record)
        except _UnreadableError as error:
            found.malformed[str(error)] += 1
            continue
        found.labels[event] = labels
    return found


def _records(folder: Path, malformed: Counter[str]) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                malformed["no JSON"] += 1
                continue
            if isinstance(record, dict):
                yield record
            else:
                malformed["no object"] += 1


def _ids(record: dict[str, Any]) -> tuple[str, str]:
    """The event's id, and the id that a label bears."""
    metadata = record.get("eventMetadata")
    event = metadata.get("eventId") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(event, str) or not event:
        raise _UnreadableError("no event id")
    inference = metadata.get("inferenceId")
    return event, inference if isinstance(inference, str) and inference else event


def _time(record: dict[str, Any]) -> datetime:
    try:
        return parse_time(str(record["eventMetadata"].get("inferenceTime", "")))
    except ValueError:
        raise _UnreadableError("no inference time") from None


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    data = record.get("captureData")
    part = data.get(name) if isinstance(data, dict) else None
    if not isinstance(part, dict):
        raise _UnreadableError("no data")
    return part


def _labels(record: dict[str, Any]) -> list[float]:
    truth = record.get("groundTruthData")
    labels = [_number(row[0]) for row in _csv_rows(_text(truth))] if isinstance(truth, dict) else []
    if not labels or not all(label in (0, 1) for label in labels):
        raise _UnreadableError("no label of 0 or 1")
    return labels


def parse_time(text: str) -> datetime:
    """A time like `2026-11-27T09:14:03Z`. Raises ValueError."""
    # The container contract's own example has spaces in its times.
    time = datetime.fromisoformat(text.replace(" ", "").replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _text(part: dict[str, Any]) -> str:
    data = part.get("data")
    if not isinstance(data, str):
        raise _UnreadableError("no data")
    if part.get("encoding") != "BASE64":
        return data
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _UnreadableError("no Base64 of UTF-8") from None


def _csv_rows(text: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error:
        raise _UnreadableError("no CSV") from None


def _json(part: dict[str, Any], text: str) -> Any:
    """The content if it is JSON, else None. Base64 does not tell what is inside; the content type does."""
    said = str(part.get("observedContentType", ""))
    if part.get("encoding") != "JSON" and "json" not in said:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _UnreadableError("no JSON inside") from None


# ---- requests -------------------------------------------------------------------------------------------------------


def _request_rows(part: dict[str, Any]) -> Iterator[list[Any] | dict[str, Any]]:
    text = _text(part)
    asked = _json(part, text)
    if asked is None:
        rows: list[Any] = list(_csv_rows(text))
    elif isinstance(asked, dict) and isinstance(asked.get("instances"), list):
        rows = asked["instances"]
    elif isinstance(asked, dict):
        rows = _of_columns(asked)
    elif isinstance(asked, list) and asked and not any(isinstance(each, (list, dict)) for each in asked):
        rows = [asked]
    else:
        rows = asked if isinstance(asked, list) else []
    if not rows:
        raise _UnreadableError("no rows")
    for row in rows:
        inner = row.get("features") if isinstance(row, dict) else row
        if isinstance(inner, list):
            yield inner
        elif isinstance(row, dict):
            yield row
        else:
            raise _UnreadableError("no rows")


def _of_columns(asked: dict[str, Any]) -> list[Any]:
    """A row, or columns of equally long lists."""
    lengths = {len(values) if isinstance(values, list) else -1 for values in asked.values()}
    if "features" in asked or lengths == {-1}:
        return [asked]
    if len(lengths) != 1 or -1 in lengths:
        raise _UnreadableError("no rows")
    return [dict(zip(asked, values, strict=True)) for values in zip(*asked.values(), strict=True)]


class _Rows:
    """Rows as columns."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._values: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._named: Counter[str] = Counter()
        self._extra: Counter[str] = Counter()
        self._misshapen: Counter[int] = Counter()
        self._count = 0

    def add(self, row: list[Any] | dict[str, Any]) -> None:
        names = self._schema.names
        if isinstance(row, list):
            if len(row) != len(names):
                self._misshapen[len(row)] += 1
                return
            row = dict(zip(names, row, strict=True))
        self._count += 1
        for name in names:
            self._values[name].append(row.get(name))
        self._named.update(name for name in names if name in row)
        self._extra.update(str(name)[:80] for name in row if name not in self._values)

    def window(self) -> Window:
        """The rows so far."""
        absent = tuple(name for name in self._schema.names if self._count and not self._named[name])
        table = {
            feature.name: Column.parse(feature, self._values[feature.name])
            for feature in self._schema.features
            if feature.name not in absent
        }
        return Window(table, self._count, absent, dict(self._extra), dict(self._misshapen))


# ---- answers --------------------------------------------------------------------------------------------------------


def _answers(part: dict[str, Any], schema: Schema) -> Iterator[Answer]:
    text = _text(part)
    said = _json(part, text)
    if said is None:
        rows: Any = _csv_rows(text)
    elif isinstance(said, dict) and isinstance(said.get("predictions"), list):
        rows = said["predictions"]
    else:
        rows = said if isinstance(said, list) else [said]
    for row in rows:
        if isinstance(row, dict):
            values = [row.get(schema.probability), row.get(schema.decision)]
        else:
            values = list(row) if isinstance(row, list) else [row]
        numbers = [_number(value) for value in [*values, None, None][:2]]
        if not 0 <= numbers[0] <= 1:
            raise _UnreadableError("no probability in the answer")
        yield Answer(*numbers)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
