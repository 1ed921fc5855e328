"""Pipelines: definitions, and executions in which independent steps run at once.

Each step is carried out by a request with the credentials of the pipeline's role: `sagemaker:CreateProcessingJob` and
the like are authorised for it, and so is passing the job's role. Results of an earlier execution are used where a step
asks for it, its attributes are the same and that one is not too old. Waits of retry policies follow the movable clock.

Not real: selective execution, versions of a pipeline, experiments (`PipelineExperimentConfig` is not looked at), the
tags that AWS puts on jobs of a pipeline. Not found: whether independent steps go on when one has failed (here those
that run are let end, and none is started), and the wording of failure reasons. Named from memory: the details of the
events, how a job of a pipeline is called, that throttling and service faults are tried five times where no policy says.
"""

import datetime
import json
import logging
import secrets
import string
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from local.emulator import clock, metrics
from local.services.sagemaker import definition as language
from local.services.sagemaker import records as shelf
from local.services.sagemaker.definition import Definition, DefinitionError, ExpressionError, Scope, Step
from local.services.sagemaker.job import PRINCIPAL
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.sagemaker.transfer import place_of
from local.services.wire import (
    Caller,
    ObjectUnavailable,
    Operation,
    ServiceError,
    parse_request,
    service_model,
)

PIPELINE, EXECUTION = "pipeline", "pipeline-execution"
MOST_PARALLEL_STEPS = 50
_JOBS = {"Processing": "ProcessingJob", "Training": "TrainingJob", "Transform": "TransformJob"}
_ENDS = ("Completed", "Failed", "Stopped")
# Throttling and service faults are tried again where no policy says how.
_USUAL = language.RetryPolicy(frozenset({"Step.SERVICE_FAULT", "Step.THROTTLING"}))

_log = logging.getLogger(__name__)


@dataclass
class _Cached:
    """What a step came to, for later executions."""

    execution: str
    moment: float
    key: str
    properties: Members
    metadata: Members


@dataclass
class _Plan:
    """What a pipeline keeps to itself."""

    definition: Definition
    cache: dict[str, list[_Cached]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)


class Pipelines:
    """The operations of pipelines and their executions."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreatePipeline": self._create,
            "DeletePipeline": self._delete,
            "DescribePipeline": self._describe,
            "DescribePipelineDefinitionForExecution": self._describe_definition,
            "DescribePipelineExecution": self._describe_execution,
            "ListPipelineExecutionSteps": self._list_steps,
            "ListPipelineExecutions": self._list_executions,
            "ListPipelineParametersForExecution": self._list_parameters,
            "ListPipelines": self._list,
            "RetryPipelineExecution": self._retry,
            "StartPipelineExecution": self._start,
            "StopPipelineExecution": self._stop,
            "UpdatePipeline": self._update,
            "UpdatePipelineExecution": self._update_execution,
        }

    # --- Pipelines ---

    def _create(self, request: Request, caller: Caller) -> Members:
        definition = _definition(request, caller)
        caller.assume(request["RoleArn"], PRINCIPAL)
        name, now = request["PipelineName"], shelf.now()
        members = {
            key: request[key]
            for key in ("PipelineName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")
            if key in request
        }
        members |= {
            "PipelineArn": shelf.arn_of(PIPELINE, caller, name),
            "PipelineDisplayName": request.get("PipelineDisplayName", name),
            "PipelineDefinition": definition.text,
            "PipelineStatus": "Active",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        # A name that is taken: the model declares no better error than this one.
        record = self.records.add(
            PIPELINE,
            caller,
            name,
            members,
            request.get("Tags", ()),
            used="ConflictException",
            private=_Plan(definition),
        )
        return {"PipelineArn": record.arn}

    def _update(self, request: Request, caller: Caller) -> Members:
        record = self.records.find(PIPELINE, caller, request["PipelineName"])
        changed = {
            key: request[key]
            for key in ("PipelineDisplayName", "PipelineDescription", "ParallelismConfiguration")
            if key in request
        }
        if "RoleArn" in request:
            caller.assume(request["RoleArn"], PRINCIPAL)
            changed["RoleArn"] = request["RoleArn"]
        if {"PipelineDefinition", "PipelineDefinitionS3Location"} & set(request):
            definition = _definition(request, caller)
            changed["PipelineDefinition"] = definition.text
            record.private.definition = definition
        self.records.change(record, **changed, LastModifiedTime=shelf.now())
        return {"PipelineArn": record.arn}

    def _describe(self, request: Request, caller: Caller) -> Members:
        if "PipelineVersionId" in request:
            raise shelf.unserved("versions of a pipeline")
        return dict(self.records.find(PIPELINE, caller, request["PipelineName"]).members)

    def _list(self, request: Request, caller: Caller) -> Members:
        asked = dict(request)
        if "PipelineNamePrefix" in asked:
            prefix = asked["PipelineNamePrefix"].lower()
            found, token = self.records.listed(
                PIPELINE, asked, caller, shape="PipelineSummary", name="PipelineName",
                wanted=lambda record: record.name.lower().startswith(prefix),
            )  # fmt: skip
        else:
            found, token = self.records.listed(PIPELINE, asked, caller, shape="PipelineSummary", name="PipelineName")
        return {"PipelineSummaries": found, **token}

    def _delete(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self.records.find(PIPELINE, caller, request["PipelineName"])
            executions = self._executions(record, caller)
            if any(one.members["PipelineExecutionStatus"] in ("Executing", "Stopping") for one in executions):
                raise ServiceError("ConflictException", f"{record.arn} has executions that run.")
            for one in (record, *executions):
                self.records.remove(one)
        return {"PipelineArn": record.arn}

    # --- Executions ---

    def _executions(self, pipeline: Record, caller: Caller) -> list[Record]:
        return [one for one in self.records.all(EXECUTION, caller) if one.members["PipelineArn"] == pipeline.arn]

    def _start(self, request: Request, caller: Caller) -> Members:
        for unserved in ("SelectiveExecutionConfig", "PipelineVersionId", "MlflowExperimentName"):
            if unserved in request:
                raise shelf.unserved(unserved)
        pipeline = self.records.find(PIPELINE, caller, request["PipelineName"])
        plan: _Plan = pipeline.private
        values = {one["Name"]: one["Value"] for one in request.get("PipelineParameters", [])}
        try:
            parameters = language.given(plan.definition, values)
        except DefinitionError as error:
            raise shelf.invalid(str(error)) from error
        # The role was passed when the pipeline was made.
        actor = caller.assume(pipeline.members["RoleArn"], PRINCIPAL, passed=True)
        now = shelf.now()
        with self.records.lock:
            token = request.get("ClientRequestToken")
            if token in plan.tokens:
                return {"PipelineExecutionArn": plan.tokens[token]}
            identity = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
            name = f"{pipeline.name}/execution/{identity}"
            members = {
                "PipelineArn": pipeline.arn,
                "PipelineExecutionArn": shelf.arn_of(PIPELINE, caller, name),
                "PipelineExecutionDisplayName": request.get(
                    "PipelineExecutionDisplayName", f"execution-{int(now.timestamp() * 1000)}"
                ),
                "PipelineExecutionStatus": "Executing",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            if "PipelineExecutionDescription" in request:
                members["PipelineExecutionDescription"] = request["PipelineExecutionDescription"]
            parallel = request.get("ParallelismConfiguration", pipeline.members.get("ParallelismConfiguration"))
            if parallel:
                members["ParallelismConfiguration"] = parallel
            record = self.records.add(EXECUTION, caller, name, members, arn_kind=PIPELINE)
            record.private = execution = _Execution(self.records, record, pipeline, parameters, caller, actor)
            if token:
                plan.tokens[token] = record.arn
            self.records.change(pipeline, LastRunTime=now)
        execution.begin()
        return {"PipelineExecutionArn": record.arn}

    def _found(self, request: Request, caller: Caller) -> Record:
        return self.records.find(EXECUTION, caller, request["PipelineExecutionArn"])

    def _stop(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        record.private.stop()
        return {"PipelineExecutionArn": record.arn}

    def _retry(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        if record.members["PipelineExecutionStatus"] not in ("Failed", "Stopped"):
            raise ServiceError("ConflictException", "Only an execution that failed or was stopped can be tried again.")
        pipeline = self.records.find(PIPELINE, caller, record.members["PipelineArn"])
        record.private.actor = caller.assume(pipeline.members["RoleArn"], PRINCIPAL, passed=True)
        record.private.begin()
        return {"PipelineExecutionArn": record.arn}

    def _describe_execution(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        with self.records.lock:
            return dict(record.members)

    def _update_execution(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        changed = {
            key: request[key]
            for key in ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "ParallelismConfiguration")
            if key in request
        }
        self.records.change(record, **changed, LastModifiedTime=shelf.now())
        return {"PipelineExecutionArn": record.arn}

    def _describe_definition(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        return {"PipelineDefinition": record.private.definition.text, "CreationTime": record.members["CreationTime"]}

    def _list_executions(self, request: Request, caller: Caller) -> Members:
        pipeline = self.records.find(PIPELINE, caller, request["PipelineName"])
        asked = dict(request)
        if asked.get("SortBy") == "PipelineExecutionArn":
            asked["SortBy"] = "Name"
        found, token = self.records.listed(
            EXECUTION,
            asked,
            caller,
            shape="PipelineExecutionSummary",
            name="PipelineExecutionArn",
            wanted=lambda record: record.members["PipelineArn"] == pipeline.arn,
        )
        with self.records.lock:
            started = {one.arn: one.members for one in self._executions(pipeline, caller)}
        for one in found:
            members = started[one["PipelineExecutionArn"]]
            one["StartTime"] = members["CreationTime"]
            if "FailureReason" in members:
                one["PipelineExecutionFailureReason"] = members["FailureReason"]
        return {"PipelineExecutionSummaries": found, **token}

    def _list_steps(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        with self.records.lock:
            steps = [dict(one) for one in record.private.steps.values()]
        steps.sort(key=lambda one: one["StartTime"], reverse=request.get("SortOrder", "Descending") == "Descending")
        found, token = shelf.page(steps, request)
        return {"PipelineExecutionSteps": found, **token}

    def _list_parameters(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        values = [{"Name": name, "Value": _shown(value)} for name, value in record.private.scope.parameters.items()]
        found, token = shelf.page(values, request)
        return {"PipelineParameters": found, **token}


def _definition(request: Request, caller: Caller) -> Definition:
    if ("PipelineDefinition" in request) == ("PipelineDefinitionS3Location" in request):
        raise shelf.invalid("Give one of PipelineDefinition and PipelineDefinitionS3Location.")
    text = request.get("PipelineDefinition")
    if text is None:
        place = request["PipelineDefinitionS3Location"]
        try:
            text = caller.read_object(place["Bucket"], place["ObjectKey"], place.get("VersionId")).decode()
        except ObjectUnavailable as error:
            raise shelf.invalid(f"The definition cannot be read: {error}") from error
    try:
        return language.parse(text)
    except DefinitionError as error:
        raise shelf.invalid(f"Unable to parse pipeline definition. {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise shelf.invalid(f"Unable to parse pipeline definition: something has another form ({error}).") from error


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- One execution ---------------------------------------------------------------------------------------------------


class _StepFailed(Exception):  # noqa: N818 (an outcome)
    """A step fails. `kind` is the exception of a retry policy that it counts as, if any."""

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class _StepStopped(Exception):  # noqa: N818 (an outcome)
    """A step was stopped with its execution."""


class _Execution:
    """An execution: its steps as they are listed, and the thread that carries it out."""

    def __init__(  # noqa: PLR0917 (what an execution is made of)
        self,
        records: Records,
        record: Record,
        pipeline: Record,
        parameters: Mapping[str, Any],
        caller: Caller,
        actor: Caller,
    ) -> None:
        self.records, self.record, self.pipeline = records, record, pipeline
        self.caller, self.actor = caller, actor
        self.definition: Definition = pipeline.private.definition
        self.steps: dict[str, Members] = {}
        self.identity = record.name.rpartition("/")[2]
        self.stopping = False
        moment = record.members["CreationTime"].isoformat()
        self.scope = Scope(
            self.definition,
            parameters,
            {
                "PipelineArn": pipeline.arn,
                "PipelineName": pipeline.name,
                "PipelineExecutionArn": record.arn,
                "PipelineExecutionId": self.identity,
                "StartDateTime": moment,
                "CurrentDateTime": moment,
            },
            self._file,
        )

    # --- Its life ---

    def begin(self) -> None:
        """Carry out what has not succeeded yet, in a thread of its own."""
        with self.records.lock:
            self.stopping = False
            self.steps = {name: one for name, one in self.steps.items() if one["StepStatus"] == "Succeeded"}
            self.record.members.pop("FailureReason", None)
        self._set("Executing")
        threading.Thread(target=self._run, name=f"pipeline-{self.identity}", daemon=True).start()

    def stop(self) -> None:
        """Ask it to end. Raises ServiceError for one that does not run."""
        with self.records.lock:
            status = self.record.members["PipelineExecutionStatus"]
            if status not in ("Executing", "Stopping"):
                raise ServiceError("ConflictException", f"The execution has ended: it is {status}.")
            already, self.stopping = self.stopping, True
        if not already:
            self._set("Stopping")
        self.records.tell()

    def _run(self) -> None:
        try:
            self._run_steps()
        except Exception:  # noqa: BLE001 (a bug here must not leave an execution running for ever)
            _log.exception("The execution %s failed", self.record.arn)
            self._set("Failed", "The local cloud failed; its log says why.")
            return
        failed = [one for one in self.steps.values() if one["StepStatus"] == "Failed"]
        if self.stopping:
            self._set("Stopped")
        elif failed:
            self._set("Failed", "Step failure: One or multiple steps failed.")
        else:
            self._set("Succeeded")

    def _run_steps(self) -> None:
        parallel = self.record.members.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps")
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(parallel or MOST_PARALLEL_STEPS, thread_name_prefix="step") as pool:
            while True:
                if not self.stopping and not any(one["StepStatus"] == "Failed" for one in self.steps.values()):
                    for step in self._ready():
                        self._add(step)
                        running.add(pool.submit(self._carry_out, step))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()

    def _ready(self) -> list[Step]:
        found = []
        for name, step in self.definition.steps.items():
            after = language.needed(self.definition, step)
            if name in self.steps or any(self._status(one) != "Succeeded" for one in after):
                continue
            if step.branch and self.scope.steps[step.branch[0]]["Outcome"] != step.branch[1]:
                continue
            found.append(step)
        return found

    def _status(self, name: str) -> str:
        return str(self.steps.get(name, {}).get("StepStatus", ""))

    def _set(self, status: str, reason: str = "") -> None:
        before = self.record.members["PipelineExecutionStatus"]
        more = {"FailureReason": reason} if reason else {}
        self.records.change(self.record, PipelineExecutionStatus=status, LastModifiedTime=shelf.now(), **more)
        metrics.pipeline_execution(self.caller.account, self.caller.region, self.pipeline.name, status)
        ended = {} if status in ("Executing", "Stopping") else {"executionEndTime": _moment(shelf.now())}
        members = self.record.members
        detail = {
            "pipelineArn": self.pipeline.arn,
            "pipelineExecutionArn": self.record.arn,
            "pipelineExecutionDisplayName": members["PipelineExecutionDisplayName"],
            "pipelineExecutionDescription": members.get("PipelineExecutionDescription", ""),
            "currentPipelineExecutionStatus": status,
            "previousPipelineExecutionStatus": before,
            "executionStartTime": _moment(members["CreationTime"]),
            **ended,
        }
        kind = "SageMaker Model Building Pipeline Execution Status Change"
        self.caller.emit("aws.sagemaker", kind, detail, [self.pipeline.arn, self.record.arn])

    # --- Steps ---

    def _add(self, step: Step) -> None:
        display = {f"Step{key}": value for key, value in step.display.items()}
        with self.records.lock:
            self.steps[step.name] = {
                "StepName": step.name,
                "StepStatus": "Starting",
                "StartTime": shelf.now(),
                "AttemptCount": 1,
                **display,
            }
        self._tell(step, "")

    def _change(self, step: Step, status: str, **more: Any) -> None:
        with self.records.lock:
            before = self.steps[step.name]["StepStatus"]
            self.steps[step.name] |= {"StepStatus": status, **more}
            self.records.news.notify_all()
        if before != status:
            self._tell(step, before)

    def _tell(self, step: Step, before: str) -> None:
        with self.records.lock:
            members = dict(self.steps[step.name])
        metadata = {
            kind[:1].lower() + kind[1:]: {key[:1].lower() + key[1:]: value for key, value in content.items()}
            for kind, content in members.get("Metadata", {}).items()
        }
        ended = {"stepEndTime": _moment(members["EndTime"])} if "EndTime" in members else {}
        detail = {
            "metadata": metadata,
            "stepName": step.name,
            "stepType": step.type,
            "stepStartTime": _moment(members["StartTime"]),
            **ended,
            "currentStepStatus": members["StepStatus"],
            "previousStepStatus": before or None,
            "failureReason": members.get("FailureReason", ""),
            "pipelineArn": self.pipeline.arn,
            "pipelineExecutionArn": self.record.arn,
        }
        kind = "SageMaker Model Building Pipeline Execution Step Status Change"
        self.caller.emit("aws.sagemaker", kind, detail, [self.pipeline.arn, self.record.arn])

    def _carry_out(self, step: Step) -> None:
        try:
            self._change(step, "Executing")
            self.scope.steps[step.name] = self._tried(step)
        except _StepStopped:
            self._change(step, "Stopped", EndTime=shelf.now())
        except (_StepFailed, ExpressionError) as error:
            self._change(step, "Failed", EndTime=shelf.now(), FailureReason=str(error)[:1024])
        except Exception:  # noqa: BLE001 (a bug here must not leave a step running for ever)
            _log.exception("The step %s of %s failed", step.name, self.record.arn)
            self._change(step, "Failed", EndTime=shelf.now(), FailureReason="The local cloud failed; its log says why.")
        else:
            self._change(step, "Succeeded", EndTime=shelf.now())

    def _tried(self, step: Step) -> Members:
        """Do a step again and again while its policies say so; returns its properties."""
        began, attempt = clock.now(), 1
        while True:
            try:
                return self._done(step)
            except _StepFailed as error:
                policy = next((one for one in (*step.retries, _USUAL) if error.kind in one.exceptions), None)
                if policy is None or attempt > policy.attempts:
                    raise
                pause = policy.interval * policy.backoff ** (attempt - 1)
                if clock.now() + pause - began > policy.expires:
                    raise
            if self.records.wait(lambda: self.stopping, until=clock.now() + pause):
                raise _StepStopped
            attempt += 1
            self._change(step, "Executing", AttemptCount=attempt)

    def _done(self, step: Step) -> Members:
        if step.type == "Condition":
            outcome = all(self.scope.holds(one) for one in step.arguments["Conditions"])
            self._note(step, {"Condition": {"Outcome": str(outcome)}})
            return {"Outcome": outcome}
        arguments = self.scope.resolve(step.arguments)
        if step.type == "Fail":
            self._note(step, {"Fail": {"ErrorMessage": arguments["ErrorMessage"]}})
            raise _StepFailed(arguments["ErrorMessage"])
        if step.type == "RegisterModel":
            return self._made(step, arguments, "ModelPackage", "ModelPackageArn")
        if step.type == "Model":
            named = {"ModelName": self._name(step), **arguments}
            return self._made(step, named, "Model", "ModelArn", by=named["ModelName"])
        return self._job(step, arguments)

    def _note(self, step: Step, metadata: Members, **more: Any) -> None:
        with self.records.lock:
            self.steps[step.name] |= {"Metadata": metadata, **more}

    def _name(self, step: Step) -> str:
        ending = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(10))
        return f"pipelines-{self.identity}-{step.name[:29].replace('_', '-')}-{ending}"

    def _made(self, step: Step, arguments: Members, kind: str, arn: str, by: str = "") -> Members:
        answer = self._call(language.OPERATIONS[step.type], arguments)
        self._note(step, {step.type: {"Arn": answer[arn]}})
        found = self._call(f"Describe{kind}", {f"{kind}Name": by or answer[arn]})
        return {key: value for key, value in found.items() if key != "ResponseMetadata"}

    def _job(self, step: Step, arguments: Members) -> Members:
        kind = _JOBS[step.type]
        key = json.dumps({name: arguments.get(name) for name in language.CACHE_KEYS.get(step.type, ())}, sort_keys=True)
        if (cached := self._cached(step, key)) is not None:
            self._note(step, cached.metadata, CacheHitResult={"SourcePipelineExecutionArn": cached.execution})
            return cached.properties
        name = self._name(step)
        answer = self._call(f"Create{kind}", {f"{kind}Name": name, **arguments})
        metadata = {kind: {"Arn": answer[f"{kind}Arn"]}}
        self._note(step, metadata)
        self._tell(step, "Executing")
        record = self.records.find(shelf_kind(kind), self.actor, name)
        status = self._end_of(record, kind, name)
        if status == "Failed":
            reason = str(record.members.get("FailureReason", ""))
            raise _StepFailed(reason or f"The job {name} failed.", _exception_of(reason))
        if status == "Stopped":
            if self.stopping:
                raise _StepStopped
            raise _StepFailed(f"ClientError: The job {name} was stopped: {record.members.get('SecondaryStatus', '')}")
        properties = self._call(f"Describe{kind}", {f"{kind}Name": name})
        properties.pop("ResponseMetadata", None)
        if step.type in language.CACHE_KEYS:
            with self.records.lock:
                self.pipeline.private.cache.setdefault(step.name, []).append(
                    _Cached(self.record.arn, clock.now(), key, properties, metadata)
                )
        return properties

    def _cached(self, step: Step, key: str) -> _Cached | None:
        if step.cached_for is None:
            return None
        with self.records.lock:
            found: list[_Cached] = self.pipeline.private.cache.get(step.name, [])
            return next(
                (one for one in reversed(found) if one.key == key and clock.now() - one.moment <= step.cached_for), None
            )

    def _end_of(self, record: Record, kind: str, name: str) -> str:
        """Wait for a job; stop it when the execution is to stop."""
        status = f"{kind}Status"
        self.records.wait(lambda: self.stopping or record.members[status] in _ENDS)
        if self.stopping and record.members[status] not in _ENDS:
            try:
                self._call(f"Stop{kind}", {f"{kind}Name": name})
            except _StepFailed as error:
                # It has ended meanwhile, or the role may not stop it, and then it runs on without its pipeline.
                _log.warning("The job %s of a stopped execution: %s", name, error)
                if record.members[status] not in _ENDS:
                    raise _StepStopped from error
            self.records.wait(lambda: record.members[status] in _ENDS)
        return str(record.members[status])

    def _call(self, operation: str, arguments: Members) -> Members:
        """A request with the credentials of the pipeline's role. Raises _StepFailed."""
        try:
            # Before it is sent, for what the model lacks is lost on the way.
            parse_request(service_model("sagemaker").operation_model(operation), json.dumps(arguments).encode())
            return self.actor.call("sagemaker", operation, arguments)
        except ServiceError as error:
            kind = ""
            if "Throttl" in error.code or error.status == 429:
                kind = "Step.THROTTLING"
            elif error.status >= 500 and error.status != 501:
                kind = "Step.SERVICE_FAULT"
            elif error.code == "ResourceLimitExceeded":
                kind = "SageMaker.RESOURCE_LIMIT"
            reason = f"ClientError: Failed to invoke sagemaker:{operation}. Error Details: {error}"
            raise _StepFailed(reason, kind) from error

    def _file(self, uri: str) -> Any:
        bucket, key = place_of(uri)
        try:
            return json.loads(self.actor.read_object(bucket, key, None))
        except ObjectUnavailable as error:
            raise ExpressionError(f"ClientError: {uri} cannot be read by the pipeline's role ({error})") from error
        except ValueError as error:
            raise ExpressionError(f"ClientError: {uri} is not JSON: {error}") from error


def shelf_kind(kind: str) -> str:
    """`ProcessingJob` as in ARNs: `processing-job`."""
    return f"{kind.removesuffix('Job').lower()}-job"


def _exception_of(reason: str) -> str:
    if reason.startswith("InternalServerError"):
        return "SageMaker.JOB_INTERNAL_ERROR"
    if reason.startswith("CapacityError"):
        return "SageMaker.CAPACITY_ERROR"
    return "SageMaker.RESOURCE_LIMIT" if reason.startswith("ResourceLimitExceeded") else ""


def _moment(when: datetime.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
