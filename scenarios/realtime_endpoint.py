"""Approves a model package, waits until a deployed realtime-endpoint stack serves it, and asks it.

Only AWS APIs, so it works the same on every cloud.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

from scenarios.cloud import Cloud

Status = Literal["DEPLOYED", "FAILED", "MISSING"]

# A blue/green update on AWS takes new instances, the baking time, and the end of the old ones.
PATIENCE_SECONDS = 3600.0
POLL_SECONDS = 0.2


class NoPackageError(Exception):
    """The training stack has no model package that could be approved."""


@dataclass(frozen=True)
class Answer:
    """What the model says of one row: its probability, and its decision at the model's own threshold."""

    probability: float
    decision: int


@dataclass(frozen=True)
class Report:
    """What became of an approval, and what the endpoint answered. Times in seconds.

    FAILED has a `reason`; MISSING never began, or did not end in time.
    """

    package: str
    status: Status
    seconds: float
    reason: str = ""
    answers: tuple[Answer, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the package serves."""
        return self.status == "DEPLOYED"


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Approves the newest package that waits for approval, and asks about the rows of the files once it serves.

    `outputs` are the stack's; files are CSV without a header, in the order of the model's columns. Raises
    NoPackageError, OSError for a file that cannot be read and botocore's errors where the cloud refuses.
    """
    package = newest_package(cloud, outputs, "PendingManualApproval")
    report = deploy(cloud, outputs, package, progress, patience_seconds=patience_seconds)
    if not report.complete:
        return report
    answers = [answer for path in files for answer in ask(cloud, outputs, path.read_text(encoding="utf-8"))]
    return Report(report.package, report.status, report.seconds, answers=tuple(answers))


def newest_package(cloud: Cloud, outputs: Mapping[str, str], status: str) -> str:
    """The ARN of the newest package of the training stack's group with this approval status. Raises NoPackageError."""
    found = cloud.client("sagemaker").list_model_packages(
        # The group is called after its stack.
        ModelPackageGroupName=outputs["TrainingStackName"],
        ModelApprovalStatus=status,
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )["ModelPackageSummaryList"]
    if not found:
        raise NoPackageError(f"{outputs['TrainingStackName']} has no package that is {status}: train one first.")
    return str(found[0]["ModelPackageArn"])


def deploy(
    cloud: Cloud,
    outputs: Mapping[str, str],
    package: str,
    progress: Callable[[str], None] = lambda message: None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Approves a package and waits for the end of its deployment."""
    begin = time.monotonic()
    before = set(deployments(cloud, outputs))
    cloud.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    machine = cloud.client("stepfunctions")
    while time.monotonic() - begin < patience_seconds:
        for execution in deployments(cloud, outputs):
            if execution in before:
                continue
            described = machine.describe_execution(executionArn=execution)
            progress(f"the endpoint is {endpoint_status(cloud, outputs)}")
            if described["status"] != "RUNNING":
                status: Status = "DEPLOYED" if described["status"] == "SUCCEEDED" else "FAILED"
                reason = f"{described.get('error', '')}: {described.get('cause', '')}" if status == "FAILED" else ""
                return Report(package, status, time.monotonic() - begin, reason)
        time.sleep(POLL_SECONDS)
    return Report(package, "MISSING", time.monotonic() - begin, "no deployment ended in time")


def settle(cloud: Cloud, outputs: Mapping[str, str], *, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Waits until no deployment runs; whether that is so in time."""
    begin = time.monotonic()
    running = {"stateMachineArn": outputs["DeploymentArn"], "statusFilter": "RUNNING"}
    while time.monotonic() - begin < patience_seconds:
        if not cloud.client("stepfunctions").list_executions(**running)["executions"]:
            return True
        time.sleep(POLL_SECONDS)
    return False


def redrive(cloud: Cloud, outputs: Mapping[str, str]) -> list[str]:
    """Starts a deployment for each approval that could not be delivered, and takes it out of the dead-letter queue.

    Returns the ARNs of the deployments. Raises ClientError where one cannot be started; its message stays.
    """
    sqs, machine = cloud.client("sqs"), cloud.client("stepfunctions")
    queue, started = outputs["DeadLetterQueueUrl"], []
    while letters := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for letter in letters:
            execution = machine.start_execution(stateMachineArn=outputs["DeploymentArn"], input=letter["Body"])
            started.append(str(execution["executionArn"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
    return started


def deployments(cloud: Cloud, outputs: Mapping[str, str]) -> list[str]:
    """The ARNs of all deployments, the newest first."""
    found = cloud.client("stepfunctions").list_executions(stateMachineArn=outputs["DeploymentArn"])["executions"]
    newest = sorted(found, key=lambda execution: execution["startDate"], reverse=True)
    return [execution["executionArn"] for execution in newest]


def endpoint_status(cloud: Cloud, outputs: Mapping[str, str]) -> str:
    """As SageMaker has it; `Absent` where no approval has made it yet."""
    try:
        described = cloud.client("sagemaker").describe_endpoint(EndpointName=outputs["EndpointName"])
    except ClientError as error:
        if "Could not find" in str(error):
            return "Absent"
        raise
    return str(described["EndpointStatus"])


def ask(cloud: Cloud, outputs: Mapping[str, str], rows: str, *, inference_id: str | None = None) -> list[Answer]:
    """The model's answers to CSV rows. `inference_id` is what a label that comes later refers to."""
    answer = cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=outputs["EndpointName"],
        ContentType="text/csv",
        Accept="application/json",
        Body=rows.encode(),
        **({"InferenceId": inference_id} if inference_id else {}),
    )
    with answer["Body"] as body:
        predictions: list[dict[str, Any]] = json.loads(body.read())["predictions"]
    return [Answer(float(one["probability"]), int(one["decision"])) for one in predictions]
