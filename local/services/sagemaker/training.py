"""Training jobs in script mode: a script gets channels, leaves a model, and tells metrics by its log.

Real: the contract of the training toolkit in AWS's framework images (`sagemaker_program`, `sagemaker_submit_directory`,
hyperparameters as arguments, `SM_*` variables), or an entry point of one's own; channels are read and the model is
written as the job's role; metrics by regular expressions; stopping; limits; a spot instance that is taken away
(fault `interrupt-job`), after which the job starts anew with what it left in its checkpoints. What `job.py` and
`containers.py` say holds as well.

Not real: built-in algorithms (a job without a script fails and says so), `requirements.txt` (nothing is installed, the
log says so), pipe mode, file systems, several instances, profiler and debugger.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference) for statuses, limits, spot and
checkpoints. Named from memory: the training toolkit's contract, and namespace and dimension of the metrics. Not found:
where a failed script's error stands in the failure reason.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from local.emulator import clock
from local.services.sagemaker import job as lives
from local.services.sagemaker import records as shelf
from local.services.sagemaker import transfer
from local.services.sagemaker.containers import Container, ContainerError, Workspace, failure_reason, program_of
from local.services.sagemaker.job import Interrupted, Job, Jobs, Stopped, TimeUp
from local.services.sagemaker.records import Members, Request
from local.services.wire import Caller, ObjectUnavailable, ServiceError

NAMESPACE = "/aws/sagemaker/TrainingJobs"
CHECKPOINTS = "/opt/ml/checkpoints"
CODE = "/opt/ml/code"
LONGEST_SECONDS = 86_400  # Documentation of StoppingCondition: the default is one day.
SYNC_SECONDS = 1.0
_MOST_METRICS = 500  # A PutMetricData takes 1,000 (API Reference of CloudWatch).

_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training in progress",
    "Interrupted": "The spot instance was taken away",
    "Uploading": "Uploading the model",
    "Stopping": "Stopping the training job",
    "Stopped": "The training job was stopped",
    "MaxRuntimeExceeded": "The training job ran longer than MaxRuntimeInSeconds",
    "MaxWaitTimeExceeded": "The training job took longer than MaxWaitTimeInSeconds",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}


class Training(Jobs):
    """Create, Describe, List and Stop of training jobs."""

    noun: ClassVar[str] = "Training"
    status_key: ClassVar[str] = "TrainingJobStatus"
    summary: ClassVar[str] = "TrainingJobSummary"
    summaries: ClassVar[str] = "TrainingJobSummaries"

    def check(self, request: Request, caller: Caller) -> None:
        """Raises ServiceError."""
        algorithm, resources = request["AlgorithmSpecification"], request.get("ResourceConfig", {})
        channels = request.get("InputDataConfig", [])
        modes = {algorithm["TrainingInputMode"], *(one.get("InputMode", "File") for one in channels)}
        lives.refuse(
            request,
            {
                "training jobs of several instances": resources.get("InstanceCount", 1) > 1
                or bool(resources.get("InstanceGroups")),
                "training plans and instance preferences": bool(
                    {"TrainingPlanArn", "InstancePreferences", "InstancePlacementConfig"} & set(resources)
                ),
                "AlgorithmName": "AlgorithmName" in algorithm,
                "TrainingImageConfig": "TrainingImageConfig" in algorithm,
                "the input mode Pipe": "Pipe" in modes,
                "channels that are no S3DataSource": any("S3DataSource" not in one["DataSource"] for one in channels),
                "compressed or wrapped channels": any(
                    one.get("CompressionType", "None") != "None" or one.get("RecordWrapperType", "None") != "None"
                    for one in channels
                ),
                "a model without compression": request["OutputDataConfig"].get("CompressionType") == "NONE",
                "the profiler": "ProfilerConfig" in request and not request["ProfilerConfig"].get("DisableProfiler"),
                **{
                    name: name in request
                    for name in (
                        "DebugHookConfig",
                        "DebugRuleConfigurations",
                        "ProfilerRuleConfigurations",
                        "TensorBoardOutputConfig",
                        "ServerlessJobConfig",
                        "MlflowConfig",
                        "ModelPackageConfig",
                        "SessionChainingConfig",
                    )
                },
            },
        )
        if "TrainingImage" not in algorithm or not resources:
            raise shelf.invalid("AlgorithmSpecification.TrainingImage and ResourceConfig are needed.")
        for metric in algorithm.get("MetricDefinitions", []):
            _pattern(metric)
        stopping = request.get("StoppingCondition", {})
        longest = stopping.get("MaxRuntimeInSeconds", LONGEST_SECONDS)
        if request.get("EnableManagedSpotTraining"):
            if stopping.get("MaxWaitTimeInSeconds", 0) < longest:
                raise shelf.invalid("Spot training needs MaxWaitTimeInSeconds, not smaller than MaxRuntimeInSeconds.")
        elif "MaxWaitTimeInSeconds" in stopping:
            raise shelf.invalid("MaxWaitTimeInSeconds is for spot training.")

    def members(self, request: Request, caller: Caller) -> Members:
        """Where the model will be, and the first state."""
        return {
            "StoppingCondition": request.get("StoppingCondition", {"MaxRuntimeInSeconds": LONGEST_SECONDS}),
            "ModelArtifacts": {"S3ModelArtifacts": f"{_output(request)}/model.tar.gz"},
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting")],
        }

    # --- States ---

    def stopping_members(self) -> Members:
        """A stopping job's second state."""
        return {"SecondaryStatus": "Stopping"}

    def out_of_time(self, limit: str) -> Members:
        """The second state says which limit."""
        return {"SecondaryStatus": limit.replace("InSeconds", "Exceeded")}

    def ended(self, job: Job, status: str) -> Members:
        """When it ended, and what it would be billed."""
        end = shelf.now()
        began = job.record.members.get("TrainingStartTime")
        took = max(1, round((end - began).total_seconds())) if began else 0
        times = {"TrainingTimeInSeconds": took, "BillableTimeInSeconds": took} if began else {}
        return {"SecondaryStatus": status, "TrainingEndTime": end, **times}

    def kept(self, job: Job, members: Members) -> Members:
        """With the transitions of the second state."""
        transitions = list(job.record.members["SecondaryStatusTransitions"])
        wanted, now = members.get("SecondaryStatus", transitions[-1]["Status"]), shelf.now()
        if wanted != transitions[-1]["Status"]:
            transitions[-1] = {**transitions[-1], "EndTime": now}
            transitions.append(_transition(wanted))
        if members.get("TrainingJobStatus") in ("Completed", "Failed", "Stopped"):
            transitions[-1] = {**transitions[-1], "EndTime": now}
        return {**members, "SecondaryStatusTransitions": transitions}

    # --- Work ---

    def run(self, job: Job) -> Members:
        """Run the script, anew where a spot instance was taken away, and take the model."""
        program_of(job.request["AlgorithmSpecification"]["TrainingImage"])
        stopping = job.request.get("StoppingCondition", {})
        began = time.monotonic()
        limits = {"MaxRuntimeInSeconds": began + stopping.get("MaxRuntimeInSeconds", LONGEST_SECONDS)}
        if "MaxWaitTimeInSeconds" in stopping:
            limits["MaxWaitTimeInSeconds"] = began + stopping["MaxWaitTimeInSeconds"]
        while True:
            workspace = lives.workspace_of(job)
            try:
                return self._attempt(job, workspace, limits)
            except Interrupted:
                self.change(job, SecondaryStatus="Interrupted")
                self.change(job, SecondaryStatus="Starting")
            finally:
                workspace.remove()

    def _attempt(self, job: Job, workspace: Workspace, limits: Mapping[str, float]) -> Members:
        request = job.request
        self.change(job, SecondaryStatus="Downloading")
        for channel in request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            folder = workspace.root / "input" / "data" / channel["ChannelName"]
            transfer.download(job.worker, source["S3Uri"], folder, source["S3DataType"])
        checkpoints = _Checkpoints(job, workspace)
        metrics = _Metrics(job)
        toolkit = _Toolkit(job, workspace)
        container = Container(
            workspace,
            toolkit.command,
            None if toolkit.isolated else job.worker,
            environment=toolkit.environment,
            folder=toolkit.folder,
            log=lives.log_stream(job, self.noun),
            line=metrics.read,
        )
        for note in toolkit.notes:
            if container.log is not None:
                container.log.write(note)
        changed: Members = {"SecondaryStatus": "Training"}
        if "TrainingStartTime" not in job.record.members:
            changed["TrainingStartTime"] = shelf.now()
        self.change(job, **changed)

        def each_tick() -> None:
            checkpoints.sync()
            metrics.send()

        try:
            code = lives.attend(
                job,
                container,
                "CreateTrainingJob",
                limits=limits,
                spot=bool(request.get("EnableManagedSpotTraining")),
                each_tick=each_tick,
            )
        except (Stopped, TimeUp):
            # What the script has left until then is kept.
            self._take(job, workspace, metrics, checkpoints)
            raise
        except Interrupted:
            checkpoints.sync(at_once=True)
            raise
        if code:
            checkpoints.sync(at_once=True)
            self.records.change(job.record, **metrics.send(at_once=True))
            raise ContainerError(toolkit.failure(workspace, code, container.last_line))
        self.change(job, SecondaryStatus="Uploading")
        return self._take(job, workspace, metrics, checkpoints)

    def _take(self, job: Job, workspace: Workspace, metrics: "_Metrics", checkpoints: "_Checkpoints") -> Members:
        checkpoints.sync(at_once=True)
        final = metrics.send(at_once=True)
        self.records.change(job.record, **final)
        key = job.request["OutputDataConfig"].get("KmsKeyId")
        transfer.put(job.worker, f"{_output(job.request)}/model.tar.gz", transfer.packed(workspace.root / "model"), key)
        data = workspace.root / "output" / "data"
        if any(data.iterdir()):
            transfer.put(job.worker, f"{_output(job.request)}/output.tar.gz", transfer.packed(data), key)
        return {}


def _pattern(metric: Mapping[str, str]) -> re.Pattern[str]:
    try:
        return re.compile(metric["Regex"])
    except re.error as error:
        raise shelf.invalid(f"The regular expression of the metric {metric['Name']} is wrong: {error}") from error


def _output(request: Request) -> str:
    return f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{request['TrainingJobName']}/output"


def _transition(status: str) -> Members:
    return {"Status": status, "StartTime": shelf.now(), "StatusMessage": _MESSAGES.get(status, status)}


# --- The training toolkit --------------------------------------------------------------------------------------------


class _Toolkit:
    """What the training toolkit in AWS's images makes of a job: command, folder, variables.

    A job with an entry point of its own gets the same variables, and nothing else of it. Raises ContainerError.
    """

    def __init__(self, job: Job, workspace: Workspace) -> None:
        request = job.request
        self.isolated = bool(request.get("EnableNetworkIsolation"))
        self.notes: list[str] = []
        algorithm = request["AlgorithmSpecification"]
        texts: Mapping[str, str] = request.get("HyperParameters", {})
        values = {name: _decoded(text) for name, text in texts.items()}
        own = {name: value for name, value in values.items() if not name.startswith("sagemaker_")}
        _lay_out(job, workspace, texts)
        arguments = [part for name in sorted(own) for part in (f"--{name}", str(own[name]))]
        self.folder = "/opt/ml"
        self._script = not algorithm.get("ContainerEntrypoint")
        if self._script:
            program = str(values.get("sagemaker_program", ""))
            if not program or "sagemaker_submit_directory" not in values:
                raise ContainerError(
                    "ClientError: This local cloud has no built-in algorithms: give a script, by the hyperparameters "
                    "sagemaker_program and sagemaker_submit_directory."
                )
            self._bring_code(job, workspace, str(values["sagemaker_submit_directory"]))
            self.folder = CODE
            if not (workspace.path(CODE) / program).is_file():
                raise ContainerError(f"AlgorithmError: There is no {program} in sagemaker_submit_directory.")
            start = ["/bin/sh", "-c", f"./{program}"] if program.endswith(".sh") else ["python3", program]
            self.command = [*start, *arguments]
        else:
            self.command = [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", [])]
        self.environment = {
            "PYTHONPATH": CODE,
            **_variables(job, own, values, arguments),
            **request.get("Environment", {}),
        }

    def _bring_code(self, job: Job, workspace: Workspace, where: str) -> None:
        folder = workspace.path(CODE)
        if where.startswith("s3://"):
            if self.isolated:
                raise ContainerError(
                    f"AlgorithmError: {where} is read by the container itself, which has no network: bring the code "
                    "as a channel, and name its path in sagemaker_submit_directory."
                )
            transfer.unpack(transfer.fetch(job.worker, where), folder)
        else:
            found = workspace.path(where)
            if found.is_dir():
                shutil.copytree(found, folder, dirs_exist_ok=True)
            elif found.is_file():
                transfer.unpack(found.read_bytes(), folder)
            else:
                raise ContainerError(f"AlgorithmError: There is nothing at sagemaker_submit_directory {where}.")
        if (folder / "requirements.txt").is_file():
            self.notes.append("requirements.txt is not installed here: the local cloud's own packages are used.")

    def failure(self, workspace: Workspace, code: int, last_line: str) -> str:
        """The failure reason: the toolkit tells the script's error where the script tells nothing itself."""
        if not self._script or (workspace.root / "output" / "failure").is_file():
            return failure_reason(workspace, code)
        return f'AlgorithmError: ExecuteUserScriptError: ExitCode {code} ErrorMessage "{last_line}", exit code: {code}'


def _decoded(text: str) -> Any:
    """Hyperparameters come as JSON, or as plain text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lay_out(job: Job, workspace: Workspace, texts: Mapping[str, str]) -> None:
    """The folders and the files of `/opt/ml/input/config`."""
    for part in ("model", "output/data", "output/intermediate", "code", "input/data"):
        (workspace.root / part).mkdir(parents=True, exist_ok=True)
    config = workspace.root / "input" / "config"
    channels = {
        one["ChannelName"]: {
            "TrainingInputMode": one.get("InputMode", job.request["AlgorithmSpecification"]["TrainingInputMode"]),
            "S3DistributionType": one["DataSource"]["S3DataSource"].get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": "None",
            **({"ContentType": one["ContentType"]} if "ContentType" in one else {}),
        }
        for one in job.request.get("InputDataConfig", [])
    }
    resources = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    for name, content in (
        ("hyperparameters", dict(texts)),
        ("inputdataconfig", channels),
        ("resourceconfig", resources),
    ):
        (config / f"{name}.json").write_text(json.dumps(content))


def _variables(job: Job, own: Members, values: Members, arguments: list[str]) -> dict[str, str]:
    channels = [one["ChannelName"] for one in job.request.get("InputDataConfig", [])]
    return {
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": "/opt/ml/input/config",
        "SM_OUTPUT_DIR": "/opt/ml/output",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": "/opt/ml/output/intermediate",
        "SM_CHANNELS": json.dumps(channels),
        **{f"SM_CHANNEL_{name.upper()}": f"/opt/ml/input/data/{name}" for name in channels},
        "SM_HPS": json.dumps(own),
        **{f"SM_HP_{name.upper()}": str(value) for name, value in own.items()},
        "SM_USER_ARGS": json.dumps(arguments),
        "SM_USER_ENTRY_POINT": str(values.get("sagemaker_program", "")),
        "SM_MODULE_DIR": str(values.get("sagemaker_submit_directory", "")),
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_GPUS": "0",
        "SM_LOG_LEVEL": "20",
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": job.record.arn,
    }


# --- Metrics ---------------------------------------------------------------------------------------------------------


class _Metrics:
    """Values that the job's regular expressions find in its log."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._patterns = [
            (one["Name"], _pattern(one)) for one in job.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]
        self._last: dict[str, tuple[float, float]] = {}
        self._unsent: list[tuple[str, float, float]] = []
        self._sent = time.monotonic()

    def read(self, line: str) -> None:
        """Look for values in a line: the first group of an expression, or all that it matches."""
        for name, pattern in self._patterns:
            for found in pattern.finditer(line):
                with contextlib.suppress(ValueError, IndexError):
                    value = float(found.group(1) if pattern.groups else found.group())
                    self._last[name] = value, clock.now()
                    self._unsent.append((name, value, clock.now()))

    def send(self, *, at_once: bool = False) -> Members:
        """Put what was found since into CloudWatch, as the role; returns the last value of each."""
        if at_once or time.monotonic() - self._sent > SYNC_SECONDS:
            self._sent = time.monotonic()
            while self._unsent:
                some, self._unsent = self._unsent[:_MOST_METRICS], self._unsent[_MOST_METRICS:]
                data = [
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": "TrainingJobName", "Value": self._job.name}],
                        "Value": value,
                        "Timestamp": moment,
                    }
                    for name, value, moment in some
                ]
                try:
                    self._job.actor.call("cloudwatch", "PutMetricData", {"Namespace": NAMESPACE, "MetricData": data})
                except ServiceError as error:
                    lives.warn(self._job, f"its metrics are not in CloudWatch: {error}")
        if not self._last:
            return {}
        return {
            "FinalMetricDataList": [
                {
                    "MetricName": name,
                    "Value": value,
                    "Timestamp": datetime.datetime.fromtimestamp(moment, tz=datetime.timezone.utc),
                }
                for name, (value, moment) in self._last.items()
            ]
        }


# --- Checkpoints -----------------------------------------------------------------------------------------------------


class _Checkpoints:
    """A folder that is kept like a place in S3: restored from it at the start, copied to it while the script runs."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        config = job.request.get("CheckpointConfig")
        self._job, self._uri = job, config["S3Uri"] if config else ""
        self._folder: Path = workspace.path(config.get("LocalPath", CHECKPOINTS)) if config else workspace.root
        self._known: dict[Path, tuple[int, int]] = {}
        self._synced = time.monotonic()
        if self._uri:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._stored():
                transfer.download(job.worker, self._uri, self._folder)
            self._known = self._now()

    def _stored(self) -> bool:
        bucket, prefix = transfer.place_of(self._uri)
        try:
            return bool(self._job.worker.list_objects(bucket, prefix))
        except ObjectUnavailable as error:
            raise ContainerError(f"ClientError: The checkpoints at {self._uri} cannot be read ({error})") from error

    def _now(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for file in self._folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if file.is_file():
                    told = file.stat()
                    found[file] = told.st_mtime_ns, told.st_size
        return found

    def sync(self, *, at_once: bool = False) -> None:
        """Copy what is new or changed. Raises ContainerError where the role may not write there."""
        if not self._uri or (not at_once and time.monotonic() - self._synced < SYNC_SECONDS):
            return
        self._synced = time.monotonic()
        now = self._now()
        for file, told in now.items():
            if self._known.get(file) != told:
                with contextlib.suppress(FileNotFoundError):
                    name = file.relative_to(self._folder).as_posix()
                    transfer.put(self._job.worker, f"{self._uri.rstrip('/')}/{name}", file.read_bytes())
        self._known = now
