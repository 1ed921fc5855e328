"""The monitor under the contract of Model Monitor's own container, for schedules and baseline jobs of the managed kind.

    python3 -m pipelines.monitoring.analyzer [--opt-ml FOLDER]

All that it is told comes from environment variables (Amazon SageMaker AI Developer Guide, "Container Contract Inputs",
read 2026-11-27): `dataset_source`, `dataset_format`, `output_path`, `start_time`, `end_time`,
`publish_cloudwatch_metrics`, `sagemaker_endpoint_name`, `sagemaker_monitoring_schedule_name`, and the files
`baseline_statistics` and `baseline_constraints`. With a baseline it judges captures (`sagemakerCaptureJson`), without
one it makes a baseline from CSV with a header. Any other format is refused.

If `dataset_format` says that input and output were captured, the baseline must have the columns of both, those of the
answer (probability, decision) first: AWS says that the schemas must match exactly, in this order (same guide, "Create a
Baseline", read 2026-11-27). A baseline that has not is no error there, nor here: its columns are compared with others
of the rows, and the rows have too many values, which is a violation in every hour.

It is not the managed analyzer: it has its contract and writes its files, but decides as `checks` says. It judges the
quality of data; model quality, bias and explainability (`analysis_type`) are refused.

With `publish_cloudwatch_metrics` it leaves metrics in `<opt-ml>/output/metrics/cloudwatch/cloudwatch_metrics.jsonl` for
the platform to publish (same guide, "CloudWatch Metrics for Bring Your Own Containers"; the file's name is that of its
users' examples). The exit message goes to `<opt-ml>/output/message`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .baseline import write_baseline
from .captures import parse_time
from .checks import Baseline
from .monitor import finish, run
from .report import Report
from .schema import Feature, Schema, UnusableInputError, read_json
from .table import Column, csv_rows, read_csv


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="The monitor as a container of Model Monitor.")
    parser.add_argument("--opt-ml", type=Path, default=Path("/opt/ml"))
    opt_ml = parser.parse_args(arguments).opt_ml
    file = opt_ml / "output" / "message"
    try:
        message = _run(environment, opt_ml)
    except UnusableInputError as error:
        return finish(f"Failed: {error}", file, 1)
    return finish(message, file, 0)


def _run(environment: Mapping[str, str], opt_ml: Path) -> str:
    kind = environment.get("analysis_type", "DATA_QUALITY")
    if kind != "DATA_QUALITY":
        raise UnusableInputError(f"The analysis {kind} is not done here; DATA_QUALITY is.")
    source, output = Path(_told(environment, "dataset_source")), Path(_told(environment, "output_path"))
    try:
        dataset = json.loads(_told(environment, "dataset_format"))
    except ValueError:
        raise UnusableInputError("dataset_format is no JSON.") from None
    statistics, constraints = environment.get("baseline_statistics"), environment.get("baseline_constraints")
    if not statistics or not constraints:
        if "csv" not in dataset:
            raise UnusableInputError("A baseline is made from CSV with a header; dataset_format is another.")
        return _suggest_baseline(source, output)
    if "sagemakerCaptureJson" not in dataset:
        raise UnusableInputError(
            "Captures of an endpoint are judged (sagemakerCaptureJson); dataset_format is another."
        )
    told = read_json(Path(statistics))
    schema = Schema.of_statistics(told)
    judged = Baseline.of(told, read_json(Path(constraints)), schema)
    both = "endpointOutput" in dataset["sagemakerCaptureJson"].get("captureIndexNames", [])
    if both:
        if len(schema.features) <= len(schema.outputs):
            raise UnusableInputError(
                "The baseline has no columns beside those of an answer; input and output are captured."
            )
        probability, decision, *asked = schema.features
        schema = Schema(tuple(asked), "", probability.name, decision.name)
    between = _time(environment, "start_time"), _time(environment, "end_time")
    report = run(
        schema,
        judged,
        None,
        output=output,
        captures=source,
        between=between,
        with_answers=both,
    )
    if environment.get("publish_cloudwatch_metrics") == "Enabled":
        _leave_metrics(report, environment, opt_ml)
    return report.message


def _told(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise UnusableInputError(f"The environment has no {name}.")
    return value


def _time(environment: Mapping[str, str], name: str) -> datetime | None:
    value = environment.get(name, "")
    try:
        return parse_time(value) if value else None
    except ValueError:
        raise UnusableInputError(f"{name} is no time.") from None


def _suggest_baseline(source: Path, output: Path) -> str:
    rows = csv_rows(source)
    features = []
    for at, name in enumerate(rows.header):
        numbers = Column.parse(Feature(name, "number"), [row[at] for row in rows.rows])
        features.append(Feature(name, "string" if numbers.misfits or not len(numbers.values) else "number"))
    write_baseline(output, read_csv(source, Schema(tuple(features))))
    return "Completed: Job completed successfully with no violations."


def _leave_metrics(report: Report, environment: Mapping[str, str], opt_ml: Path) -> None:
    file = opt_ml / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    common = {
        "Timestamp": _told(environment, "end_time").replace(" ", ""),
        "Dimensions": [
            {"Name": "Endpoint", "Value": _told(environment, "sagemaker_endpoint_name")},
            {"Name": "MonitoringSchedule", "Value": _told(environment, "sagemaker_monitoring_schedule_name")},
        ],
    }
    with file.open("a", encoding="utf-8") as stream:
        for metric in _metrics(report):
            stream.write(json.dumps({**metric, **common}, allow_nan=False) + "\n")


def _metrics(report: Report) -> Iterator[dict[str, Any]]:
    """As "CloudWatch Metrics" (same guide, read 2026-11-27) names them."""
    for name, column in report.window.table.items():
        if column.kind == "number" and len(column.values):
            yield {
                "MetricName": f"feature_data_{name}",
                "StatisticValues": {
                    "SampleCount": float(len(column.values)),
                    "Sum": float(np.sum(column.values)),
                    "Minimum": float(np.min(column.values)),
                    "Maximum": float(np.max(column.values)),
                },
            }
        if column.rows:
            yield {"MetricName": f"feature_non_null_{name}", "Value": len(column.values) / column.rows}
        distance = report.distances.get(name)
        if distance is not None:
            yield {"MetricName": f"feature_baseline_drift_{name}", "Value": distance}


if __name__ == "__main__":
    sys.exit(main())
