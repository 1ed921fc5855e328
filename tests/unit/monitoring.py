"""What the tests of the monitor have in common: a small world of their own, its baseline, captured records."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.monitoring.captures import Captures
from pipelines.monitoring.checks import Baseline, Window
from pipelines.monitoring.describe import constraints, statistics
from pipelines.monitoring.report import Report, make_report
from pipelines.monitoring.schema import Feature, Schema
from pipelines.monitoring.table import Column

SCHEMA = Schema(
    (Feature("size", "number"), Feature("count", "number"), Feature("colour", "string"), Feature("note", "string")),
    "good",
)
SCHEMA_FILE = {
    "label": {"name": "good"},
    "features": [
        {"name": "size", "type": "numeric"},
        {"name": "count", "type": "numeric"},
        {"name": "colour", "type": "categorical"},
        {"name": "note", "type": "categorical"},
    ],
}
START, END = "2026-11-27T09:00:00Z", "2026-11-27T10:00:00Z"


def rows(count: int, seed: int) -> list[list[Any]]:
    """Rows of a skewed size (2 % missing), a whole number, a colour, and a note that no two rows share."""
    random = np.random.default_rng(seed)
    sizes = np.round(np.exp(random.normal(0, 0.5, count)), 3)
    gone = random.random(count) < 0.02
    counts = random.poisson(4, count)
    colours = random.choice(["red", "green", "blue"], count, p=[0.6, 0.35, 0.05])
    return [
        ["" if gone[at] else float(sizes[at]), int(counts[at]), str(colours[at]), f"note {seed}-{at}"]
        for at in range(count)
    ]


def table(lines: list[list[Any]]) -> dict[str, Column]:
    """Rows as columns."""
    return {
        feature.name: Column.parse(feature, [line[at] for line in lines]) for at, feature in enumerate(SCHEMA.features)
    }


def baseline(**config: Any) -> Baseline:
    """The baseline of 3,000 rows, with members of `monitoring_config` replaced."""
    columns = table(rows(3000, seed=1))
    told = constraints(columns)
    told["monitoring_config"] |= config
    return Baseline.of(statistics(columns), told, SCHEMA)


def judged(lines: list[list[Any]], against: Baseline | None = None) -> Report:
    """The report on rows."""
    window = Window(table(lines), len(lines))
    return make_report(SCHEMA, against or baseline(), window, probabilities=np.empty(0))


def kinds(report: Report) -> set[tuple[str, str]]:
    """Column and type of each violation."""
    return {(each["feature_name"], each["constraint_check_type"]) for each in report.violations}


def csv(lines: Iterable[Iterable[Any]]) -> str:
    """As the body of a request."""
    return "\n".join(",".join(str(value) for value in line) for line in lines)


_numbers = itertools.count()


def record(
    asked: str,
    answered: str | None = "0.25,0",
    *,
    encoding: str = "CSV",
    event: str = "",
    time: str = "2026-11-27T09:30:00Z",
    inference: str | None = None,
) -> dict[str, Any]:
    """A captured record; `BASE64` holds the same bodies."""
    kind = "application/json" if asked[:1] in "[{" else "text/csv"

    def part(mode: str, data: str) -> dict[str, str]:
        body = base64.b64encode(data.encode()).decode() if encoding == "BASE64" else data
        return {"observedContentType": kind, "mode": mode, "data": body, "encoding": encoding}

    data = {"endpointInput": part("INPUT", asked)}
    if answered is not None:
        data["endpointOutput"] = part("OUTPUT", answered)
    metadata = {"eventId": event or f"event-{next(_numbers)}", "inferenceTime": time}
    if inference:
        metadata["inferenceId"] = inference
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def truth(event: str, label: Any) -> dict[str, Any]:
    """A label."""
    return {
        "groundTruthData": {"data": str(label), "encoding": "CSV"},
        "eventMetadata": {"eventId": event},
        "eventVersion": "0",
    }


def write_lines(file: Path, lines: Iterable[Any]) -> Path:
    """Records (or lines as they are) to a file; returns its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file.parent


def window_of(captured: Captures) -> dict[str, list[Any]]:
    """The values of captured columns."""
    return {name: column.values.tolist() for name, column in captured.window.table.items()}
