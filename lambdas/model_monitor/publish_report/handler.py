"""Publishes the report of a monitor's job as CloudWatch metrics, once the job has ended.

It takes the event "SageMaker Processing Job State Change" of EventBridge (Amazon SageMaker AI Developer Guide, "Events
that Amazon SageMaker AI sends to Amazon EventBridge", read 2026-11-27). Of its detail three members are used, which are
those of DescribeProcessingJob: `ProcessingJobName`, `ProcessingJobStatus`, `ProcessingOutputConfig`. A job is the
monitor's if its report goes below `REPORT_URI`: so it may be a job of `start_monitor` or one of a managed monitoring
schedule. Any other is ignored, with a line in the log.

It answers `{"outcome": ..., "job": ...}`; the outcome is `published`, `job failed`, `still running` or `unknown job`.

**Metrics**, in `METRIC_NAMESPACE`:

- dimension `Endpoint`: `Violations` (count; above 0 is what an alarm is for), `JobFailed` (0 or 1; a stopped job has
  failed, too), `Rows` (count), and from our own monitor `DriftShare` (0 to 1), `MalformedRecords` (count), and where
  labels arrived `Labels` (count) and one per measure of quality (`QualityPrAuc`, `QualityBrierScore`, ...).
- dimensions `Endpoint` and `Feature`: `FeatureViolations` (count), and from our own monitor `FeatureDistance` (0 to 1).

EventBridge delivers at least once, and SageMaker may send several events for one change of state. What a repeated event
publishes again is the same, so alarms use the statistic Maximum, never Sum.

**Settings** (environment variables): `ENDPOINT_NAME`, `REPORT_URI` (`s3://bucket/prefix`), `METRIC_NAMESPACE`.

**Grants**: `s3:GetObject` below `REPORT_URI` and `s3:ListBucket` there (without it a missing file reads as a denied
one), `kms:Decrypt` with the report's key, `cloudwatch:PutMetricData` in the namespace.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.model_monitor.publish_report.metrics import Report, batches, failed_job, report_folder
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

ENDPOINT = os.environ["ENDPOINT_NAME"]
REPORTS = os.environ["REPORT_URI"]
NAMESPACE = os.environ["METRIC_NAMESPACE"]

logger = Logger()
clients = make_clients({"s3": QUICK, "cloudwatch": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Takes an event of EventBridge; see above. Raises ClientError for a report that cannot be read."""
    detail = event.get("detail", {})
    job, status = str(detail.get("ProcessingJobName", "")), str(detail.get("ProcessingJobStatus", ""))
    folder = report_folder(detail, REPORTS)
    count = 0
    if folder is None:
        outcome = "unknown job"
    elif status in ("Failed", "Stopped"):
        outcome, count = "job failed", _publish(failed_job(ENDPOINT))
    elif status == "Completed":
        outcome, count = "published", _publish(_read(folder).metrics(ENDPOINT))
    else:
        outcome = "still running"
    logger.info("job handled", extra={"outcome": outcome, "job": job, "job_status": status, "metrics": count})
    return {"outcome": outcome, "job": job}


def _read(folder: str) -> Report:
    # The managed monitor need not write violations where there are none, and it knows nothing of our own file.
    return Report(
        statistics=_json(folder, "statistics.json"),
        violations=_json(folder, "constraint_violations.json", missing={"violations": []}),
        drift=_json(folder, "drift.json", missing={}),
    )


def _json(folder: str, name: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    try:
        with clients["s3"].get_object(Bucket=bucket, Key=f"{prefix}{name}")["Body"] as body:
            found: dict[str, Any] = json.loads(body.read())
            return found
    except ClientError as error:
        if missing is None or error_code(error) != "NoSuchKey":
            raise
        return missing


def _publish(data: list[dict[str, Any]]) -> int:
    for batch in batches(data):
        clients["cloudwatch"].put_metric_data(Namespace=NAMESPACE, MetricData=batch)
    return len(data)
