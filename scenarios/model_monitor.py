"""Has a deployed model-monitor stack judge an hour of traffic, and tells what it found.

Only AWS APIs, so it works the same on every cloud: it asks for the hour as the schedule would, follows the job, and
reads report and metrics.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from scenarios.cloud import Cloud

Status = Literal["JUDGED", "NO_CAPTURES", "FAILED", "MISSING"]

PATIENCE_SECONDS = 1800.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Verdict:
    """What the monitor says of one hour.

    JUDGED has the report's files: `violations` (feature, kind of check, description) and `drift`, our own monitor's
    details. FAILED has a `reason`.
    """

    hour: datetime
    job: str
    status: Status
    seconds: float
    reason: str = ""
    violations: tuple[Mapping[str, Any], ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    drift: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> set[str]:
        """The names of the features with a violation."""
        return {str(violation["feature_name"]) for violation in self.violations}


def stack_outputs(cloud: Cloud, stack: str) -> dict[str, str]:
    """The outputs of a stack that this one needs."""
    (described,) = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def judge(
    cloud: Cloud,
    outputs: Mapping[str, str],
    hour: datetime,
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Verdict:
    """Has the hour that begins at `hour` (UTC) judged, as the schedule does some minutes after its end.

    `outputs` are the stack's. Raises botocore's errors where the cloud refuses.
    """
    begin = time.monotonic()
    started = start(cloud, outputs, hour)
    if started["outcome"] == "no captures":
        return Verdict(hour, started["job"], "NO_CAPTURES", time.monotonic() - begin)
    return follow(cloud, outputs, hour, started["job"], progress, begin=begin, patience_seconds=patience_seconds)


def follow(
    cloud: Cloud,
    outputs: Mapping[str, str],
    hour: datetime,
    job: str,
    progress: Callable[[str], None] = lambda message: None,
    *,
    begin: float | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Verdict:
    """Waits for the end of an hour's job, whoever started it, and reads its report."""
    started = time.monotonic() if begin is None else begin
    sagemaker = cloud.client("sagemaker")
    while time.monotonic() - started < patience_seconds:
        described = sagemaker.describe_processing_job(ProcessingJobName=job)
        status = described["ProcessingJobStatus"]
        progress(f"the job is {status}")
        if status == "Completed":
            return _verdict(cloud, outputs, hour, job, time.monotonic() - started)
        if status in ("Failed", "Stopped"):
            reason = described.get("FailureReason") or described.get("ExitMessage", "")
            return Verdict(hour, job, "FAILED", time.monotonic() - started, reason)
        time.sleep(POLL_SECONDS)
    return Verdict(hour, job, "MISSING", time.monotonic() - started, "the job did not end in time")


def job_of(cloud: Cloud, outputs: Mapping[str, str], hour: datetime) -> str | None:
    """The name of the job that the schedule started for an hour; None while there is none."""
    sagemaker = cloud.client("sagemaker")
    listed = sagemaker.list_processing_jobs(NameContains=f"-{hour.astimezone(timezone.utc):%Y%m%d%H}")
    for job in listed["ProcessingJobSummaries"]:
        described = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
        if described["RoleArn"].endswith(f"/{outputs['JobRoleName']}"):
            return str(job["ProcessingJobName"])
    return None


def start(cloud: Cloud, outputs: Mapping[str, str], hour: datetime) -> dict[str, str]:
    """Asks for an hour as the schedule does; returns the function's answer. Raises RuntimeError when it fails."""
    planned = hour.astimezone(timezone.utc).replace(minute=20, second=0, microsecond=0) + timedelta(hours=1)
    answer = cloud.client("lambda").invoke(
        FunctionName=outputs["StartMonitorFunctionName"],
        Payload=json.dumps({"time": planned.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode(),
    )
    told: dict[str, str] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(f"The monitor was not started: {told.get('errorType')}: {told.get('errorMessage')}")
    return told


def metric(
    cloud: Cloud, outputs: Mapping[str, str], name: str, since: datetime, feature: str | None = None
) -> list[float]:
    """What was published of a metric since then, an hour a value, the oldest first."""
    dimensions = [{"Name": "Endpoint", "Value": outputs["EndpointStackName"]}]
    if feature is not None:
        dimensions.append({"Name": "Feature", "Value": feature})
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=outputs["MetricNamespace"],
        MetricName=name,
        Dimensions=dimensions,
        StartTime=since,
        EndTime=datetime.now(timezone.utc) + timedelta(days=2),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    return [float(point["Maximum"]) for point in sorted(found, key=lambda point: point["Timestamp"])]


def _verdict(cloud: Cloud, outputs: Mapping[str, str], hour: datetime, job: str, seconds: float) -> Verdict:
    return Verdict(
        hour,
        job,
        "JUDGED",
        seconds,
        violations=tuple(_file(cloud, outputs, job, "constraint_violations.json")["violations"]),
        statistics=_file(cloud, outputs, job, "statistics.json"),
        drift=_file(cloud, outputs, job, "drift.json"),
    )


def _file(cloud: Cloud, outputs: Mapping[str, str], job: str, name: str) -> dict[str, Any]:
    bucket, _, prefix = outputs["ReportUri"].removeprefix("s3://").partition("/")
    with cloud.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{job}/{name}")["Body"] as body:
        found: dict[str, Any] = json.loads(body.read())
        return found
