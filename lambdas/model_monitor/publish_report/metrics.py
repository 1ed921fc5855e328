"""From a report to metrics. The shapes of its files: Model Monitor's, and `pipelines/monitoring/report.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# A request may have 1,000 metrics and 1 MB (Amazon CloudWatch API Reference, "PutMetricData", read 2026-11-27). A name
# may have a kilobyte, so half as many are always small enough.
BATCH = 500
MAXIMUM_DIMENSION = 1024


def report_folder(detail: dict[str, Any], reports: str) -> str | None:
    """The folder `s3://bucket/prefix/` of the job's report if it lies below `reports`, else None."""
    below = f"{reports.rstrip('/')}/"
    outputs = (detail.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    uris = [f"{(output.get('S3Output') or {}).get('S3Uri', '').rstrip('/')}/" for output in outputs]
    return next((uri for uri in uris if uri.startswith(below)), None)


def failed_job(endpoint: str) -> list[dict[str, Any]]:
    """What is told of a job that left no report."""
    return [_datum("JobFailed", 1, endpoint)]


@dataclass(frozen=True)
class Report:
    """The files of a report. `drift` is empty for one of the managed monitor."""

    statistics: dict[str, Any]
    violations: dict[str, Any]
    drift: dict[str, Any]

    def metrics(self, endpoint: str) -> list[dict[str, Any]]:
        """Members of PutMetricData's `MetricData`, without a time: CloudWatch's own is when they were published."""
        found = self.violations["violations"]
        data = [
            _datum("JobFailed", 0, endpoint),
            _datum("Violations", len(found), endpoint),
            _datum("Rows", self.statistics["dataset"]["item_count"], endpoint),
        ]
        if self.drift:
            data += self._drift(endpoint)
        of_feature = Counter(violation["feature_name"] for violation in found)
        names = dict.fromkeys([feature["name"] for feature in self.statistics["features"]] + list(of_feature))
        data += [_datum("FeatureViolations", of_feature[name], endpoint, name) for name in names]
        return data

    def _drift(self, endpoint: str) -> Iterator[dict[str, Any]]:
        yield _datum("DriftShare", self.drift["drift_share"], endpoint, unit="None")
        yield _datum("MalformedRecords", self.drift["window"]["malformed_records"], endpoint)
        quality = self.drift.get("quality") or {}
        if quality:
            yield _datum("Labels", quality["labels"], endpoint)
        for measure, value in (quality.get("measured") or {}).items():
            if value is not None:
                words = "".join(word.capitalize() for word in measure.split("_"))
                yield _datum(f"Quality{words}", value, endpoint, unit="None")
        watched = [*self.drift["features"], *filter(None, [self.drift.get("prediction")])]
        for feature in watched:
            if feature["distance"] is not None:
                yield _datum("FeatureDistance", feature["distance"], endpoint, feature["name"], unit="None")


def batches(data: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many as one request takes."""
    for start in range(0, len(data), BATCH):
        yield data[start : start + BATCH]


def _datum(metric: str, value: float, endpoint: str, feature: str = "", unit: str = "Count") -> dict[str, Any]:
    dimensions = [{"Name": "Endpoint", "Value": endpoint}]
    if feature:
        dimensions.append({"Name": "Feature", "Value": _dimension(feature)})
    return {"MetricName": metric, "Dimensions": dimensions, "Value": float(value), "Unit": unit}


def _dimension(name: str) -> str:
    """A column's name as a dimension's value, which is ASCII; a request could call a column anything."""
    text = name.encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()[:MAXIMUM_DIMENSION] or "?"
