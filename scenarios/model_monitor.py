"""Has a deployed model-monitor stack judge an hour of traffic, and tells what it found.

Only AWS APIs, so it works the same on every cloud: it asks for the hour as the schedule would, follows the job, and
reads report and metrics.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

from scenarios.cloud import Cloud

Status = Literal["JUDGED", "NO_CAPTURES", "REPLACED", "FAILED", "MISSING"]

_WITHOUT_JOB: Mapping[str, Status] = {"no captures": "NO_CAPTURES", "model replaced": "REPLACED"}
PATIENCE_SECONDS = 1800.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Verdict:
    """What the monitor says of one hour.

    JUDGED has the report's files: `violations` (feature, kind of check, description) and `drift`, our own monitor's
    details. FAILED has a `reason`. REPLACED: all of the hour's answers were another model's, and nobody judges them.
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

    @property
    def complete(self) -> bool:
        """Whether the hour was looked at: it was judged, or had nothing to judge."""
        return self.status not in ("FAILED", "MISSING")


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Verdict:
    """Has the last full hour judged, with the labels that have arrived until then.

    `outputs` are the stack's; files are labels in Model Monitor's format for ground truth (JSON Lines), which count as
    collected in that hour. Raises OSError for a file that cannot be read and botocore's errors where the cloud refuses.
    """
    hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    bucket, _, prefix = outputs["GroundTruthUri"].removeprefix("s3://").partition("/")
    for path in files:
        key = f"{prefix}/{hour:%Y/%m/%d/%H}/{uuid.uuid4().hex}.jsonl"
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return judge(cloud, outputs, hour, progress, patience_seconds=patience_seconds)


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
    if started["outcome"] in _WITHOUT_JOB:
        return Verdict(hour, started["job"], _WITHOUT_JOB[started["outcome"]], time.monotonic() - begin)
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


def start(cloud: Cloud, outputs: Mapping[str, str], hour: datetime, *, again: bool = False) -> dict[str, Any]:
    """Asks for an hour as the schedule does; returns the function's answer. Raises RuntimeError when it fails.

    `again` is for an operator: an hour that was given up is judged once more.
    """
    planned = hour.astimezone(timezone.utc).replace(minute=20, second=0, microsecond=0) + timedelta(hours=1)
    answer = cloud.client("lambda").invoke(
        FunctionName=outputs["StartMonitorFunctionName"],
        Payload=json.dumps({"time": planned.strftime("%Y-%m-%dT%H:%M:%SZ"), "again": again}).encode(),
    )
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(f"The monitor was not started: {told.get('errorType')}: {told.get('errorMessage')}")
    return told


def redrive(cloud: Cloud, outputs: Mapping[str, str]) -> list[str]:
    """Does once more what the dead letters are about, and removes them; returns the ARNs that were called.

    The queue is no work queue, so SQS has nowhere to move its messages to. A letter of Lambda holds the request that
    failed every attempt; one of a rule or of the schedule is the request itself, and says whom it was for.
    """
    sqs, url = cloud.client("sqs"), outputs["DeadLetterQueueUrl"]
    called: list[str] = []
    while letters := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=1
    ).get("Messages", []):
        for letter in letters:
            target, payload = _request_of(letter)
            if target.split(":")[2] == "states":
                cloud.client("stepfunctions").start_execution(stateMachineArn=target, input=json.dumps(payload))
            else:
                cloud.client("lambda").invoke(
                    FunctionName=target, InvocationType="Event", Payload=json.dumps(payload).encode()
                )
            sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
            called.append(target)
    return called


def _request_of(letter: Mapping[str, Any]) -> tuple[str, Any]:
    """Whom a dead letter was for, and with what."""
    body = json.loads(letter["Body"])
    if "requestPayload" in body:
        # `...:function:name:$LATEST`
        arn = str(body["requestContext"]["functionArn"])
        return ":".join(arn.split(":")[:7]), body["requestPayload"]
    return str(letter["MessageAttributes"]["TARGET_ARN"]["StringValue"]), body


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
        # The local cloud's clock may be days ahead of this machine's.
        EndTime=max(since, datetime.now(timezone.utc)) + timedelta(days=2),
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
