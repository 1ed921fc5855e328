"""The function that publishes a report: which jobs are its own, which metrics they become, and what has failed."""

from __future__ import annotations

import importlib
import io
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import numpy as np
import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters
from moto import mock_aws

from lambdas.model_monitor.publish_report.metrics import BATCH, Report, batches, report_folder
from pipelines.monitoring import monitor
from pipelines.monitoring.report import ModelBaseline
from tests.unit.conftest import Context
from tests.unit.monitoring import SCHEMA, baseline, csv, record, rows, truth, write_lines
from tests.unit.test_monitoring_quality import predictions

VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "ENDPOINT_NAME": "deliveries",
    "REPORT_URI": "s3://reports/monitor",
    "METRIC_NAMESPACE": "ModelMonitor",
}
JOB = "model-monitor-2026112709"


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in VARIABLES.items():
            patch.setenv(variable, value)
        return importlib.import_module("lambdas.model_monitor.publish_report.handler")


@pytest.fixture
def bucket(module: types.ModuleType) -> Iterator[Callable[[str, Any], None]]:
    """Puts files into the bucket of reports."""
    with mock_aws():
        s3 = module.clients["s3"]
        s3.create_bucket(Bucket="reports")
        yield lambda key, value: s3.put_object(Bucket="reports", Key=key, Body=json.dumps(value).encode())


def event(status: str = "Completed", uri: str = f"s3://reports/monitor/{JOB}/", job: str = JOB) -> dict[str, Any]:
    output = {"OutputName": "report", "S3Output": {"S3Uri": uri, "LocalPath": "/x", "S3UploadMode": "EndOfJob"}}
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Processing Job State Change",
        "detail": {
            "ProcessingJobName": job,
            "ProcessingJobStatus": status,
            "ProcessingOutputConfig": {"Outputs": [output]},
        },
    }


def published(module: types.ModuleType) -> dict[tuple[str, str], float]:
    """The values of all metrics, by name and feature."""
    cloudwatch = module.clients["cloudwatch"]
    found = {}
    for metric in cloudwatch.list_metrics(Namespace="ModelMonitor")["Metrics"]:
        dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        assert dimensions.pop("Endpoint") == "deliveries"
        statistics = cloudwatch.get_metric_statistics(
            Namespace="ModelMonitor",
            MetricName=metric["MetricName"],
            Dimensions=metric["Dimensions"],
            StartTime="2020-01-01T00:00:00Z",
            EndTime="2040-01-01T00:00:00Z",
            Period=86400,
            Statistics=["Maximum"],
        )
        found[metric["MetricName"], dimensions.get("Feature", "")] = statistics["Datapoints"][0]["Maximum"]
    return found


def write_report(tmp_path: Path, bucket: Callable[[str, Any], None]) -> None:
    """A report of the real monitor, on a window of larger sizes, with a broken line and late labels."""
    lines = [[line[0] and line[0] * 2, *line[1:]] for line in rows(300, seed=80)]
    made = [record(csv([line]), "0.1,0", event=f"e{at}") for at, line in enumerate(lines)]
    monitor.run(
        SCHEMA,
        baseline(),
        ModelBaseline.of("probability", predictions(1500, seed=1)),
        output=tmp_path / "report",
        captures=write_lines(tmp_path / "captures" / "a.jsonl", [*made, "{"]),
        ground_truth=write_lines(tmp_path / "late" / "a.jsonl", [truth(f"e{at}", int(at < 30)) for at in range(300)]),
    )
    for file in (tmp_path / "report").iterdir():
        bucket(f"monitor/{JOB}/{file.name}", json.loads(file.read_text()))


def test_a_report_becomes_metrics_overall_and_a_feature(
    module: types.ModuleType, bucket: Callable[[str, Any], None], tmp_path: Path
) -> None:
    # Given the report of a job that found larger sizes and answers that are all alike
    write_report(tmp_path, bucket)
    # When its end is told
    answer = module.handler(event(), Context())
    # Then
    assert answer == {"outcome": "published", "job": JOB}
    found = published(module)
    overall = {name: value for (name, feature), value in found.items() if not feature}
    assert overall["Violations"] == 2
    assert overall["DriftShare"] == 0.25
    assert (overall["JobFailed"], overall["Rows"], overall["MalformedRecords"], overall["Labels"]) == (0, 300, 1, 300)
    assert overall["QualityBrierScore"] == pytest.approx(0.09)
    assert overall["QualityAuc"] == 0.5
    # Precision cannot be said where nothing is flagged.
    assert "QualityPrecision" not in overall
    assert found["FeatureViolations", "size"] == 1
    assert found["FeatureViolations", "count"] == 0
    assert found["FeatureViolations", "probability"] == 1
    assert found["FeatureDistance", "size"] > 0.3
    # What cannot be compared has no distance.
    assert ("FeatureDistance", "note") not in found


def test_a_report_of_the_managed_monitor_becomes_the_same_metrics(
    module: types.ModuleType, bucket: Callable[[str, Any], None]
) -> None:
    # Given the files of the managed monitor, below the same place
    folder = "monitor/deliveries/hourly/2026/11/27/10"
    bucket(f"{folder}/statistics.json", {"dataset": {"item_count": 120}, "features": [{"name": "size"}]})
    violation = {"feature_name": "size", "constraint_check_type": "baseline_drift_check", "description": "far"}
    bucket(f"{folder}/constraint_violations.json", {"violations": [violation]})
    # When its end is told
    answer = module.handler(event(uri=f"s3://reports/{folder}", job="model-monitoring-x"), Context())
    # Then
    assert answer["outcome"] == "published"
    assert published(module) == {
        ("JobFailed", ""): 0,
        ("Violations", ""): 1,
        ("Rows", ""): 120,
        ("FeatureViolations", "size"): 1,
    }


def test_a_managed_report_without_violations_may_lack_the_file(
    module: types.ModuleType, bucket: Callable[[str, Any], None]
) -> None:
    bucket(f"monitor/{JOB}/statistics.json", {"dataset": {"item_count": 120}, "features": []})
    assert module.handler(event(), Context())["outcome"] == "published"
    assert published(module)["Violations", ""] == 0


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_failed_is_a_metric(
    module: types.ModuleType, bucket: Callable[[str, Any], None], status: str
) -> None:
    # Given no report at all
    assert module.handler(event(status), Context())["outcome"] == "job failed"
    # Then nothing is said of violations: nobody knows
    assert published(module) == {("JobFailed", ""): 1}


@pytest.mark.parametrize("uri", ["s3://reports/monitoring-of-others/x/", "s3://other/monitor/x/", "s3://reports/", ""])
def test_a_job_of_somebody_else_is_ignored_and_logged(
    module: types.ModuleType, bucket: Callable[[str, Any], None], uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(module.logger.registered_handler, "stream", written)
    assert module.handler(event("Failed", uri, "theirs"), Context()) == {"outcome": "unknown job", "job": "theirs"}
    assert published(module) == {}
    assert json.loads(written.getvalue())["job"] == "theirs"


@pytest.mark.parametrize("config", [None, {}, {"Outputs": [{}]}, {"Outputs": None}])
def test_a_job_without_outputs_is_somebody_else_s(config: Any) -> None:
    assert report_folder({"ProcessingOutputConfig": config}, "s3://reports/monitor") is None
    assert report_folder({}, "s3://reports/monitor") is None


def test_a_job_that_still_runs_is_left_alone(module: types.ModuleType, bucket: Callable[[str, Any], None]) -> None:
    assert module.handler(event("InProgress"), Context())["outcome"] == "still running"
    assert published(module) == {}


def test_a_completed_job_without_a_report_is_a_failure_that_lambda_tries_again(
    module: types.ModuleType, bucket: Callable[[str, Any], None]
) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        module.handler(event(), Context())


def test_many_features_are_published_in_requests_that_cloudwatch_takes() -> None:
    # Given a report of a thousand features with names that a caller made up
    names = [f"{'x' * 1500}{at}" for at in range(999)] + ["größe\n", "  "]
    report = Report(
        {"dataset": {"item_count": 1}, "features": [{"name": name} for name in names]}, {"violations": []}, {}
    )
    model = botocore.session.get_session().get_service_model("cloudwatch")
    shape = model.operation_model("PutMetricData").input_shape
    assert shape
    # When they are cut into requests
    requests = list(batches(report.metrics("deliveries")))
    # Then each is valid, small enough, and none is left out
    assert sum(map(len, requests)) == len(names) + 3
    for batch in requests:
        assert len(batch) <= BATCH
        validate_parameters({"Namespace": "ModelMonitor", "MetricData": batch}, shape)
        assert len(json.dumps(batch)) < 1_000_000
        for datum in batch:
            assert np.isfinite(datum["Value"])
            assert all(each["Value"].isascii() and each["Value"].strip() for each in datum["Dimensions"])
