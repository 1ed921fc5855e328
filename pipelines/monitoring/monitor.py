"""Judges one window of captured traffic against a baseline, and writes the report.

    python3 -m pipelines.monitoring.monitor --captures FOLDER --baseline FOLDER --schema FILE --output FOLDER
        [--ground-truth FOLDER] [--history FOLDER] [--start TIME --end TIME] [--since TIME]
        [--message FILE] [--plot]

`--captures`: data-capture records (`captures` has their shape); those whose inference lies in [start, end) are judged.
`--ground-truth`: labels that arrived, for these or for earlier inferences; `--history`: captures that they may be for.
`--since`: when the model came into service that the baseline is of. History before it is another model's and left out.
`--baseline`: what `baseline` wrote. `--message`: where the exit message goes (/opt/ml/output/message in a job).
`--plot`: draws drift.png, too, of a window with violations, where matplotlib is there.

The files of the report are described in `report`. Ends with 0 whatever the decision is: the exit message begins with
`CompletedWithViolations` or `Completed`, as the managed monitor's does (the same words, as its users' examples have
them; no page lists them). Ends with 1, and a line that says why, if the input is of no use.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .captures import Answer, Captures, Labels, parse_time, read_captures, read_labels
from .checks import Baseline, Window
from .describe import statistics
from .quality import Judged
from .report import ModelBaseline, Report, make_report
from .schema import Schema, UnusableInputError, read_json, write_json


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="The report of one window.")
    parser.add_argument("--captures", type=Path)
    parser.add_argument("--ground-truth", type=Path)
    parser.add_argument("--history", type=Path)
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", type=_time)
    parser.add_argument("--end", type=_time)
    parser.add_argument("--since", type=_time)
    parser.add_argument("--message", type=Path)
    parser.add_argument("--plot", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if not options.captures and not options.ground_truth:
            raise UnusableInputError("There is nothing to judge: name captures, or ground truth.")  # noqa: TRY301
        baseline, model = read_baseline(options.baseline, schema := Schema.read(options.schema))
        report = run(
            schema,
            baseline,
            model,
            output=options.output,
            captures=_folder(options.captures),
            ground_truth=_folder(options.ground_truth),
            history=_folder(options.history),
            between=(options.start, options.end),
            since=options.since,
            plot=options.plot,
        )
    except UnusableInputError as error:
        return finish(f"Failed: {error}", options.message, 1)
    return finish(report.message, options.message, 0)


def finish(message: str, file: Path | None, code: int) -> int:
    """Says how it ended; returns the code."""
    print(message, file=sys.stderr if code else sys.stdout)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(message, encoding="utf-8")
    return code


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-11-27T09:00:00Z") from None


def _folder(folder: Path | None) -> Path | None:
    if folder and not folder.is_dir():
        raise UnusableInputError(f"There is no folder {folder}.")
    return folder


def read_baseline(folder: Path, schema: Schema) -> tuple[Baseline, ModelBaseline | None]:
    """Raises UnusableInputError."""
    baseline = Baseline.of(read_json(folder / "statistics.json"), read_json(folder / "constraints.json"), schema)
    file = folder / "model_baseline.json"
    return baseline, ModelBaseline.read(read_json(file)) if file.exists() else None


def run(
    schema: Schema,
    baseline: Baseline,
    model: ModelBaseline | None,
    *,
    output: Path,
    captures: Path | None = None,
    ground_truth: Path | None = None,
    history: Path | None = None,
    between: tuple[datetime | None, datetime | None] = (None, None),
    since: datetime | None = None,
    plot: bool = False,
    with_answers: bool = False,
) -> Report:
    """Reads, judges, writes. `with_answers`: the baseline has the answers' columns, too, and all are judged."""
    start, end = between
    captured = read_captures(captures, schema, start, end) if captures else Captures(Window({}, 0))
    if with_answers:
        captured.window = captured.with_answers(schema)
    earlier = read_captures(history, schema, since) if history else Captures(Window({}, 0))
    labels = read_labels(ground_truth) if ground_truth else None
    labelled, without = merge(labels, {**earlier.answers, **captured.answers}) if labels else (None, 0)
    report = make_report(
        schema,
        baseline,
        captured.window,
        probabilities=captured.probabilities,
        model=model,
        labelled=labelled,
        labels_without_prediction=without,
    )
    drift = report.drift(_window(captured, earlier, labels, between))
    write_json(output / "statistics.json", statistics(captured.window.table))
    write_json(output / "constraint_violations.json", {"violations": report.violations})
    write_json(output / "drift.json", drift)
    # Half of a quiet hour's work would be its picture, which nobody looks for.
    if plot and report.violations:
        from .plot import draw_drift

        draw_drift(drift, output / "drift.png")
    return report


def merge(labels: Labels, answers: dict[str, list[Answer]]) -> tuple[Judged, int]:
    """Predictions with their labels, and how many labels have no prediction."""
    pairs: list[tuple[Answer, float]] = []
    without = 0
    for event, truths in labels.labels.items():
        said = answers.get(event, [])
        if len(said) == len(truths):
            pairs += zip(said, truths, strict=True)
        else:
            without += len(truths)
    columns = np.array([(answer.probability, answer.decision, truth) for answer, truth in pairs], dtype=float)
    probabilities, decisions, truths_ = columns.reshape(-1, 3).T
    return Judged(probabilities, decisions, truths_), without


def _window(
    captured: Captures,
    earlier: Captures,
    labels: Labels | None,
    between: tuple[datetime | None, datetime | None],
) -> dict[str, Any]:
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None for time in between)
    return {
        "start": start,
        "end": end,
        "requests": captured.requests,
        "rows": captured.window.asked,
        "outside_window": captured.outside,
        "duplicates": captured.duplicates,
        "malformed_records": sum(captured.malformed.values()),
        "malformed": dict(captured.malformed),
        "malformed_labels": dict(labels.malformed) if labels else {},
        "history_requests": earlier.requests,
        "history_of_other_models": earlier.outside,
        "history_malformed": dict(earlier.malformed),
    }


if __name__ == "__main__":
    sys.exit(main())
