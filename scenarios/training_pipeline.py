"""Trains a model on data by a deployed training-pipeline stack, and tells how it came out.

Only AWS APIs, so it works the same on every cloud: it uploads the data and the marker that starts the training, follows
the execution of the pipeline, and reads the evaluation.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scenarios.cloud import Cloud

Status = Literal["REGISTERED", "NOT_BETTER", "FAILED", "STOPPED", "MISSING"]

# Longer than all jobs take to find instances on AWS.
PATIENCE_SECONDS = 1800.0
POLL_SECONDS = 0.2
MARKER = "_READY"


@dataclass(frozen=True)
class Step:
    """A step of an execution: its status as SageMaker has it, and why it failed, if it did."""

    name: str
    status: str
    reason: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """How a training came out, and what it took, in seconds.

    REGISTERED has a `package`, which waits for approval. NOT_BETTER and FAILED have a `reason`, MISSING has no
    execution. `evaluation` is the file of that name, empty where the training did not come so far.
    """

    status: Status
    execution: str
    seconds: float
    reason: str = ""
    package: str = ""
    steps: tuple[Step, ...] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether it ended as a training should: with a model, or with the word that it is not better."""
        return self.status in ("REGISTERED", "NOT_BETTER")


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Uploads CSV files and the marker, and waits until the execution that they start has ended.

    `outputs` are the stack's. The files stay, and each later training reads them, too. Raises OSError for a file that
    cannot be read and botocore's errors where the cloud refuses.
    """
    begin = time.monotonic()
    before = executions(cloud, outputs)
    upload(cloud, outputs, {f"{path.stem}-{uuid.uuid4().hex[:8]}.csv": path.read_bytes() for path in files})
    return follow(cloud, outputs, before, progress, begin=begin, patience_seconds=patience_seconds)


def upload(cloud: Cloud, outputs: Mapping[str, str], files: Mapping[str, bytes], *, ready: bool = True) -> None:
    """Puts files under the data prefix, and the marker last."""
    s3 = cloud.client("s3")
    for name, content in files.items():
        s3.put_object(Bucket=outputs["BucketName"], Key=f"{outputs['DataPrefix']}{name}", Body=content)
    if ready:
        s3.put_object(Bucket=outputs["BucketName"], Key=f"{outputs['DataPrefix']}{MARKER}", Body=b"")


def executions(cloud: Cloud, outputs: Mapping[str, str]) -> set[str]:
    """The ARNs of all executions that there are."""
    pages = cloud.client("sagemaker").get_paginator("list_pipeline_executions")
    return {
        execution["PipelineExecutionArn"]
        for page in pages.paginate(PipelineName=outputs["PipelineName"])
        for execution in page["PipelineExecutionSummaries"]
    }


def follow(
    cloud: Cloud,
    outputs: Mapping[str, str],
    before: set[str],
    progress: Callable[[str], None] = lambda message: None,
    *,
    begin: float | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Waits for an execution that was not there `before`, and until it has ended."""
    started = time.monotonic() if begin is None else begin
    sagemaker = cloud.client("sagemaker")
    execution = ""
    while time.monotonic() - started < patience_seconds:
        new = executions(cloud, outputs) - before if not execution else set()
        execution = execution or next(iter(new), "")
        if execution:
            described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
            listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
            running = [step["StepName"] for step in listed if step["StepStatus"] in ("Starting", "Executing")]
            progress(f"{len(listed) - len(running)} steps done, now {', '.join(running) or 'none'}")
            if described["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                return _report(cloud, described, listed, time.monotonic() - started)
        time.sleep(POLL_SECONDS)
    return Report("MISSING", execution, time.monotonic() - started, reason="no execution ended in time")


def _report(cloud: Cloud, described: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], seconds: float) -> Report:
    steps = tuple(_step(step) for step in reversed(listed))
    metadata = {step["StepName"]: step.get("Metadata", {}) for step in listed}
    failed = next((step for step in steps if step.status == "Failed"), None)
    by_choice = failed is not None and "Fail" in metadata[failed.name]
    status: Status = "FAILED"
    if described["PipelineExecutionStatus"] == "Succeeded":
        status = "REGISTERED"
    elif described["PipelineExecutionStatus"] == "Stopped":
        status = "STOPPED"
    elif by_choice:
        status = "NOT_BETTER"
    reason = described.get("FailureReason", "") if status != "REGISTERED" else ""
    if failed is not None:
        reason = f"{failed.name}: {_reason(cloud, failed, metadata[failed.name])}"
    return Report(
        status=status,
        execution=described["PipelineExecutionArn"],
        seconds=seconds,
        reason=reason,
        package=next((one["RegisterModel"]["Arn"] for one in metadata.values() if "RegisterModel" in one), ""),
        steps=steps,
        evaluation=_evaluation(cloud, metadata),
    )


def _step(step: Mapping[str, Any]) -> Step:
    ended = "EndTime" in step
    seconds = (step["EndTime"] - step["StartTime"]).total_seconds() if ended else None
    return Step(step["StepName"], step["StepStatus"], step.get("FailureReason", ""), seconds)


def _reason(cloud: Cloud, step: Step, metadata: Mapping[str, Any]) -> str:
    """Why a step failed. What the script of a processing job says is the job's exit message, not the step's reason."""
    told = _processing_job(cloud, metadata).get("ExitMessage", "")
    return str(told or step.reason or metadata.get("Fail", {}).get("ErrorMessage", ""))


def _evaluation(cloud: Cloud, metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the evaluation's job has written, if there was one and it came to its end."""
    described = _processing_job(cloud, metadata.get("Evaluate", {}))
    if described.get("ProcessingJobStatus") != "Completed":
        return {}
    folder = described["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    with cloud.client("s3").get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/evaluation.json")["Body"] as body:
        found: dict[str, Any] = json.loads(body.read())
        return found


def _processing_job(cloud: Cloud, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A step's job as SageMaker describes it; empty where it had none. An ARN has a name in small letters, which do."""
    arn = metadata.get("ProcessingJob", {}).get("Arn", "")
    if not arn:
        return {}
    name = arn.rpartition("/")[2]
    found: dict[str, Any] = cloud.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    return found
