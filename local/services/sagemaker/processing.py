"""Processing jobs: a script over files from S3, whose files go to S3 when it has ended well.

Real: the entry point and its arguments run, in the folders that the request names; inputs are read and outputs written
as the job's role, with the key of the output; `/opt/ml/output/message` becomes the exit message. What `job.py` and
`containers.py` say holds as well. The image of the managed monitor is played by this project's own monitor
(`pipelines/monitoring`), whose metrics are published where the managed one's are. Refused: pipe mode, Athena and
Redshift datasets, Feature Store outputs, outputs that are uploaded continuously.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference); Amazon SageMaker AI Developer
Guide, "How Amazon SageMaker Processing Runs Your Processing Container Image" (the exit code decides) and "Save and
Access Metadata Information About Your Processing Job" (1 KB of UTF-8). Not found: how a job ends that runs out of its
time (here Stopped, as a training job does), and whether outputs of a job that failed are uploaded (here they are not).
"""

import datetime
import json
import time
from pathlib import Path
from typing import Any, ClassVar

from local.services.sagemaker import job as lives
from local.services.sagemaker import records as shelf
from local.services.sagemaker import transfer
from local.services.sagemaker.containers import (
    MONITOR,
    Container,
    ContainerError,
    Workspace,
    failure_reason,
    program_of,
)
from local.services.sagemaker.job import Job, Jobs
from local.services.sagemaker.records import Members, Request
from local.services.wire import Caller, ServiceError

FOLDER = "/opt/ml/processing"
# A day: documentation of ProcessingStoppingCondition does not name a default; a job without a limit gets this one.
LONGEST_SECONDS = 86_400
MESSAGE_BYTES = 1024
# The project's own monitor, which plays the analyzer's image under that one's contract.
PROJECT = Path(__file__).resolve().parents[3]
ANALYZER = ("python3", "-m", "pipelines.monitoring.analyzer", "--opt-ml", "/opt/ml")
METRICS = "/aws/sagemaker/Endpoints/data-metric"
_MOST_METRICS = 500  # A PutMetricData takes 1,000 (API Reference of CloudWatch).


class Processing(Jobs):
    """Create, Describe, List and Stop of processing jobs."""

    noun: ClassVar[str] = "Processing"
    status_key: ClassVar[str] = "ProcessingJobStatus"
    summary: ClassVar[str] = "ProcessingJobSummary"
    summaries: ClassVar[str] = "ProcessingJobSummaries"

    def check(self, request: Request, caller: Caller) -> None:
        """Raises ServiceError."""
        cluster = request["ProcessingResources"]["ClusterConfig"]
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        inputs = request.get("ProcessingInputs", [])
        lives.refuse(
            request,
            {
                "processing jobs of several instances": cluster.get("InstanceCount", 1) > 1,
                "InstancePreferences": bool(cluster.get("InstancePreferences")),
                "DatasetDefinition": any("DatasetDefinition" in one for one in inputs),
                "inputs or outputs that are AppManaged": any(one.get("AppManaged") for one in [*inputs, *outputs]),
                "S3InputMode Pipe": any(one.get("S3Input", {}).get("S3InputMode") == "Pipe" for one in inputs),
                "FeatureStoreOutput": any("FeatureStoreOutput" in one for one in outputs),
                "S3UploadMode Continuous": any(
                    one.get("S3Output", {}).get("S3UploadMode") == "Continuous" for one in outputs
                ),
            },
        )
        names = [one.get("InputName") for one in inputs], [one["OutputName"] for one in outputs]
        if any(len(set(some)) < len(some) for some in names):
            raise shelf.invalid("Inputs and outputs need names of their own.")
        for kind, some in (("S3Input", inputs), ("S3Output", outputs)):
            for one in some:
                path = one.get(kind, {}).get("LocalPath", "")
                if kind not in one or not f"{path}/".startswith(f"{FOLDER}/"):
                    raise shelf.invalid(f"LocalPath must begin with {FOLDER}/, and {path!r} does not.")

    def members(self, request: Request, caller: Caller) -> Members:
        """Nothing beside what the request holds."""
        return {}

    def ended(self, job: Job, status: str) -> Members:
        """When it ended."""
        started = {} if "ProcessingStartTime" in job.record.members else {"ProcessingStartTime": shelf.now()}
        return {"ProcessingEndTime": shelf.now(), **started}

    def vpc_of(self, request: Request, caller: Caller) -> Members | None:
        """That of its NetworkConfig."""
        found: Members | None = request.get("NetworkConfig", {}).get("VpcConfig")
        return found

    def run(self, job: Job) -> Members:
        """Bring the inputs, run the entry point, take the outputs."""
        request = job.request
        application = request["AppSpecification"]
        program = program_of(application["ImageUri"])
        workspace = lives.workspace_of(job)
        try:
            for one in request.get("ProcessingInputs", []):
                source = one["S3Input"]
                transfer.download(
                    job.worker, source["S3Uri"], workspace.path(source["LocalPath"]), source["S3DataType"]
                )
            outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
            for one in outputs:
                workspace.path(one["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
            _configure(workspace, job)
            self.change(job, ProcessingStartTime=shelf.now())
            message: Members = {}
            try:
                self._run(job, workspace, program, application)
            finally:
                message = _message(workspace)
                self.records.change(job.record, **message)
            key = request.get("ProcessingOutputConfig", {}).get("KmsKeyId")
            for one in outputs:
                target = one["S3Output"]
                transfer.upload(job.worker, workspace.path(target["LocalPath"]), target["S3Uri"], key)
        finally:
            workspace.remove()
        return {}

    def _run(self, job: Job, workspace: Workspace, program: str, application: Members) -> None:
        request = job.request
        command = [*application.get("ContainerEntrypoint", []), *application.get("ContainerArguments", [])]
        environment = dict(request.get("Environment", {}))
        if program == MONITOR:
            command, environment["PYTHONPATH"] = list(ANALYZER), str(PROJECT)
        elif not application.get("ContainerEntrypoint"):
            raise ContainerError("ClientError: The image has no program of its own here: give ContainerEntrypoint.")
        isolated = request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        container = Container(
            workspace,
            command,
            None if isolated else job.worker,
            environment=environment,
            log=lives.log_stream(job, self.noun),
        )
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", LONGEST_SECONDS)
        code = lives.attend(
            job,
            container,
            "CreateProcessingJob",
            limits={"MaxRuntimeInSeconds": time.monotonic() + limit},
        )
        if code:
            raise ContainerError(failure_reason(workspace, code))
        if program == MONITOR:
            _publish(job, workspace)


def _configure(workspace: Workspace, job: Job) -> None:
    """What SageMaker tells the container of its job (`/opt/ml/config`)."""
    shown: Any = {key: value for key, value in job.request.items() if key != "Tags"}
    shown |= {"ProcessingJobArn": job.record.arn}
    (workspace.root / "config" / "processingjobconfig.json").write_text(json.dumps(shown))
    (workspace.root / "config" / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]})
    )


def _publish(job: Job, workspace: Workspace) -> None:
    """Put the metrics that the monitor left into CloudWatch, as the role."""
    file = workspace.root / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    data = [json.loads(line) for line in lines]
    for one in data:
        one["Timestamp"] = datetime.datetime.fromisoformat(one["Timestamp"].replace("Z", "+00:00"))
    for start in range(0, len(data), _MOST_METRICS):
        some = data[start : start + _MOST_METRICS]
        try:
            job.actor.call("cloudwatch", "PutMetricData", {"Namespace": METRICS, "MetricData": some})
        except ServiceError as error:
            lives.warn(job, f"its metrics are not in CloudWatch: {error}")


def _message(workspace: Workspace) -> Members:
    file = workspace.root / "output" / "message"
    if not file.is_file():
        return {}
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ContainerError("ClientError: /opt/ml/output/message is not UTF-8.") from error
    return {"ExitMessage": text.encode()[:MESSAGE_BYTES].decode(errors="ignore")} if text else {}
