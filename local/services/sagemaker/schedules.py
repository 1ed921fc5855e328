"""Monitoring of the managed kind: job definitions for the quality of data, and schedules that run them.

Each full hour (or whatever the cron expression says) the service starts a processing job in the definition's role, over
the captures that the endpoint has left since the last time, and with the baseline. The analyzer's image is played by
this project's own monitor (`processing.py`). By its exit message an execution is Completed or CompletedWithViolations.

Not real: the delay of up to 20 minutes; when the movable clock jumps over several hours, only the last one is run;
model quality, bias and explainability; captures of transform jobs; pre- and postprocessing scripts.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference), the cron expressions above all;
Amazon SageMaker AI Developer Guide, "Container Contract Inputs", as `pipelines/monitoring/analyzer.py` has it. Not
documented there: the wording of failure reasons; the name of a job; the folder of a report below its output
(here `<endpoint>/<schedule>/<year>/<month>/<day>/<hour>`, as examples of the service show).
"""

import datetime
import json
import logging
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.emulator import clock
from local.services.sagemaker import records as shelf
from local.services.sagemaker.job import PRINCIPAL
from local.services.sagemaker.processing import Processing
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.sagemaker.transfer import place_of
from local.services.wire import Caller, ObjectUnavailable, Operation, ServiceError

SCHEDULE, DEFINITION = "monitoring-schedule", "data-quality-job-definition"
NO_DATA = "Job inputs had no data"
CAPTURES = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
_BASELINE = "/opt/ml/processing/baseline"
_CRON = re.compile(r"cron\(0 (?:(?P<all>\*)|(?P<start>\d{1,2})(?:/(?P<every>\d{1,2}))?) \? \* \* \*\)")
_OFFSET = re.compile(r"(?P<sign>-?)P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?)?")
_HOUR = datetime.timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclass
class _Plan:
    """What a schedule keeps to itself: who made it, the hours at which it runs, its executions, when it runs next."""

    caller: Caller
    hours: tuple[int, ...]  # None of them: once, now.
    executions: list[Members] = field(default_factory=list)
    due: datetime.datetime | None = None


@dataclass(frozen=True)
class _Work:
    """A definition, whether it stands by itself or within a schedule."""

    application: Mapping[str, Any]
    endpoint: Mapping[str, Any]
    baseline: Mapping[str, Any]
    output: Mapping[str, Any]
    resources: Mapping[str, Any]
    role: str
    more: Mapping[str, Any]  # Members of CreateProcessingJob that are taken over as they are.


class Schedules:
    """The operations of job definitions and schedules."""

    def __init__(self, records: Records, processing: Processing) -> None:
        self.records, self._processing = records, processing
        self._thread: threading.Thread | None = None

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateDataQualityJobDefinition": self._define,
            "DeleteDataQualityJobDefinition": self._undefine,
            "DescribeDataQualityJobDefinition": self._describe_definition,
            "ListDataQualityJobDefinitions": self._list_definitions,
            "CreateMonitoringSchedule": self._create,
            "DeleteMonitoringSchedule": self._delete,
            "DescribeMonitoringSchedule": self._describe,
            "ListMonitoringExecutions": self._list_executions,
            "ListMonitoringSchedules": self._list,
            "StartMonitoringSchedule": self._start,
            "StopMonitoringSchedule": self._stop,
            "UpdateMonitoringSchedule": self._update,
        }

    # --- Job definitions ---

    def _define(self, request: Request, caller: Caller) -> Members:
        _check(_of_definition(request))
        caller.assume(request["RoleArn"], PRINCIPAL)
        name = request["JobDefinitionName"]
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {"JobDefinitionArn": shelf.arn_of(DEFINITION, caller, name), "CreationTime": shelf.now()}
        record = self.records.add(DEFINITION, caller, name, members, request.get("Tags", ()))
        return {"JobDefinitionArn": record.arn}

    def _describe_definition(self, request: Request, caller: Caller) -> Members:
        return dict(self.records.find(DEFINITION, caller, request["JobDefinitionName"]).members)

    def _undefine(self, request: Request, caller: Caller) -> Members:
        self.records.remove(self.records.find(DEFINITION, caller, request["JobDefinitionName"]))
        return {}

    def _list_definitions(self, request: Request, caller: Caller) -> Members:
        endpoint = request.get("EndpointName")
        found = [
            {
                "MonitoringJobDefinitionName": record.name,
                "MonitoringJobDefinitionArn": record.arn,
                "CreationTime": record.members["CreationTime"],
                "EndpointName": record.members["DataQualityJobInput"]["EndpointInput"]["EndpointName"],
            }
            for record in self.records.all(DEFINITION, caller)
            if request.get("NameContains", "").lower() in record.name.lower()
        ]
        found = [one for one in reversed(found) if endpoint in (None, one["EndpointName"])]
        some, token = shelf.page(found, request)
        return {"JobDefinitionSummaries": some, **token}

    # --- Schedules ---

    def _create(self, request: Request, caller: Caller) -> Members:
        config, name, now = request["MonitoringScheduleConfig"], request["MonitoringScheduleName"], shelf.now()
        work, plan = self._work(config, caller), _Plan(caller, _hours(config))
        if "MonitoringJobDefinition" in config:
            caller.assume(work.role, PRINCIPAL)
        members = {
            "MonitoringScheduleArn": shelf.arn_of(SCHEDULE, caller, name),
            "MonitoringScheduleName": name,
            "MonitoringScheduleStatus": "Scheduled",
            "MonitoringType": "DataQuality",
            "MonitoringScheduleConfig": config,
            "EndpointName": work.endpoint["EndpointName"],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        plan.due = _next(plan.hours, now)
        record = self.records.add(SCHEDULE, caller, name, members, request.get("Tags", ()), private=plan)
        self._watch()
        return {"MonitoringScheduleArn": record.arn}

    def _update(self, request: Request, caller: Caller) -> Members:
        record, config = self._found(request, caller), request["MonitoringScheduleConfig"]
        work = self._work(config, caller)
        if "MonitoringJobDefinition" in config:
            caller.assume(work.role, PRINCIPAL)
        with self.records.lock:
            record.private.hours = _hours(config)
            record.private.due = _next(record.private.hours, shelf.now())
            self.records.change(
                record,
                MonitoringScheduleConfig=config,
                EndpointName=work.endpoint["EndpointName"],
                LastModifiedTime=shelf.now(),
            )
        return {"MonitoringScheduleArn": record.arn}

    def _found(self, request: Request, caller: Caller) -> Record:
        return self.records.find(SCHEDULE, caller, request["MonitoringScheduleName"])

    def _describe(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        with self.records.lock:
            executions = [self._brought_up(one, record) for one in record.private.executions]
            last = {"LastMonitoringExecutionSummary": executions[-1]} if executions else {}
            return {**record.members, **last}

    def _list(self, request: Request, caller: Caller) -> Members:
        endpoint = request.get("EndpointName")
        definition = request.get("MonitoringJobDefinitionName")
        found, token = self.records.listed(
            SCHEDULE,
            request,
            caller,
            shape="MonitoringScheduleSummary",
            name="MonitoringScheduleName",
            status="MonitoringScheduleStatus",
            wanted=lambda record: (
                endpoint in (None, record.members["EndpointName"])
                and definition in (None, record.members["MonitoringScheduleConfig"].get("MonitoringJobDefinitionName"))
            ),
        )
        return {"MonitoringScheduleSummaries": found, **token}

    def _delete(self, request: Request, caller: Caller) -> Members:
        self.records.remove(self._found(request, caller))
        return {}

    def _start(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        with self.records.lock:
            record.private.due = _next(record.private.hours, shelf.now())
            self.records.change(record, MonitoringScheduleStatus="Scheduled", LastModifiedTime=shelf.now())
        return {}

    def _stop(self, request: Request, caller: Caller) -> Members:
        record = self._found(request, caller)
        with self.records.lock:
            record.private.due = None
            self.records.change(record, MonitoringScheduleStatus="Stopped", LastModifiedTime=shelf.now())
        return {}

    def _list_executions(self, request: Request, caller: Caller) -> Members:
        for unserved in ("ScheduledTimeBefore", "ScheduledTimeAfter"):
            if unserved in request:
                raise shelf.unserved(unserved)
        schedules = self.records.all(SCHEDULE, caller)
        if "MonitoringScheduleName" in request:
            schedules = [self._found(request, caller)]
        with self.records.lock:
            found = [self._brought_up(one, record) for record in schedules for one in record.private.executions]
        wanted = (
            ("EndpointName", "EndpointName"),
            ("StatusEquals", "MonitoringExecutionStatus"),
            ("MonitoringJobDefinitionName", "MonitoringJobDefinitionName"),
            ("MonitoringTypeEquals", "MonitoringType"),
        )
        found = [one for one in found if all(request.get(asked) in (None, one.get(key)) for asked, key in wanted)]
        by = request.get("SortBy", "CreationTime")
        by = "MonitoringExecutionStatus" if by == "Status" else by
        found.sort(key=lambda one: one[by], reverse=request.get("SortOrder", "Descending") == "Descending")
        some, token = shelf.page(found, request)
        return {"MonitoringExecutionSummaries": some, **token}

    def _brought_up(self, execution: Members, schedule: Record) -> Members:
        """An execution as its job stands now."""
        job = self.records.by_arn(execution["ProcessingJobArn"]) if "ProcessingJobArn" in execution else None
        if job is not None and execution["MonitoringExecutionStatus"] in ("InProgress", "Stopping"):
            status = job.members["ProcessingJobStatus"]
            if status == "Completed" and str(job.members.get("ExitMessage", "")).startswith("CompletedWithViolations"):
                status = "CompletedWithViolations"
            execution |= {"MonitoringExecutionStatus": status, "LastModifiedTime": job.members["LastModifiedTime"]}
            if "FailureReason" in job.members:
                execution["FailureReason"] = job.members["FailureReason"]
        return {**execution, "EndpointName": schedule.members["EndpointName"]}

    def _work(self, config: Mapping[str, Any], caller: Caller) -> _Work:
        if config.get("MonitoringType", "DataQuality") != "DataQuality":
            raise shelf.unserved(f"monitoring of the type {config['MonitoringType']}")
        if ("MonitoringJobDefinition" in config) == ("MonitoringJobDefinitionName" in config):
            raise shelf.invalid("Give one of MonitoringJobDefinition and MonitoringJobDefinitionName.")
        if "MonitoringJobDefinitionName" in config:
            # CreateMonitoringSchedule declares no ResourceNotFound.
            found = self.records.get(DEFINITION, caller, config["MonitoringJobDefinitionName"])
            if found is None:
                raise shelf.invalid(f"There is no job definition {config['MonitoringJobDefinitionName']}.")
            return _of_definition(found.members)
        work = _of_schedule(config["MonitoringJobDefinition"])
        _check(work)
        return work

    # --- Time ---

    def _watch(self) -> None:
        with self.records.lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="monitoring-schedules", daemon=True)
                self._thread.start()
            self.records.tell()

    def _run(self) -> None:
        while True:
            with self.records.lock:
                due = [one for one in self._schedules() if one.private.due is not None]
                now = shelf.now()
                ready = [(one, one.private.due) for one in due if one.private.due <= now]
                for record, _ in ready:
                    # What the clock has jumped over is not made up for.
                    record.private.due = _next(record.private.hours, now) if record.private.hours else None
                if not ready:
                    left = min((one.private.due.timestamp() - clock.now() for one in due), default=3600.0)
                    self.records.news.wait(max(0.01, left))
            for record, moment in ready:
                latest = _previous(record.private.hours, now) or moment
                try:
                    self._execute(record, latest)
                except Exception:  # noqa: BLE001 (one schedule must not keep the others from running)
                    _log.exception("An execution of %s could not be started", record.arn)

    def _schedules(self) -> list[Record]:
        return [one for one in self.records.every(SCHEDULE) if one.members["MonitoringScheduleStatus"] == "Scheduled"]

    def _execute(self, record: Record, moment: datetime.datetime) -> None:
        plan: _Plan = record.private
        execution: Members = {
            "MonitoringScheduleName": record.name,
            "ScheduledTime": moment,
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
            "MonitoringExecutionStatus": "Pending",
            "MonitoringType": "DataQuality",
        }
        config = record.members["MonitoringScheduleConfig"]
        if "MonitoringJobDefinitionName" in config:
            execution["MonitoringJobDefinitionName"] = config["MonitoringJobDefinitionName"]
        with self.records.lock:
            plan.executions.append(execution)
        try:
            work = self._work(config, plan.caller)
            actor = plan.caller.assume(work.role, PRINCIPAL, passed=True)
            begin, end = _window(config, plan.hours, moment, work.endpoint)
            inputs = self._inputs(work, actor, plan.caller, begin, end)
            request = _request(record, work, inputs, moment, begin, end)
            job = self._processing.begin(request, plan.caller, actor, MonitoringScheduleArn=record.arn)
            done = {"MonitoringExecutionStatus": "InProgress", "ProcessingJobArn": job.arn}
        except ServiceError as error:
            done = {"MonitoringExecutionStatus": "Failed", "FailureReason": error.message[:1024]}
        with self.records.lock:
            execution |= done
            self.records.change(record, LastModifiedTime=shelf.now())

    def _inputs(
        self, work: _Work, actor: Caller, caller: Caller, begin: datetime.datetime, end: datetime.datetime
    ) -> list[Members]:
        """The hours of captures that there are. Raises ServiceError where there are none."""
        name, local = work.endpoint["EndpointName"], work.endpoint["LocalPath"]
        endpoint = self.records.find("endpoint", caller, name)
        captured = self.records.find("endpoint-config", caller, endpoint.members["EndpointConfigName"]).members
        if not captured.get("DataCaptureConfig", {}).get("EnableCapture", "DataCaptureConfig" in captured):
            raise shelf.invalid(f"The endpoint {name} captures no data.")
        place = captured["DataCaptureConfig"]["DestinationS3Uri"].rstrip("/")
        found: list[Members] = []
        for variant in captured["ProductionVariants"]:
            hour = begin.replace(minute=0, second=0, microsecond=0)
            while hour < end:
                below = f"{name}/{variant['VariantName']}/{hour:%Y/%m/%d/%H}"
                bucket, prefix = place_of(f"{place}/{below}/")
                try:
                    there = actor.list_objects(bucket, prefix)
                except ObjectUnavailable as error:
                    raise shelf.invalid(f"The captures under {place}/{below} cannot be read: {error}") from error
                if there:
                    found.append(_input(f"endpoint_input_{len(found)}", f"{place}/{below}/", f"{local}/{below}"))
                hour += _HOUR
        if not found:
            raise shelf.invalid(NO_DATA)
        return found


def _request(  # noqa: PLR0917 (what a job is made of)
    record: Record,
    work: _Work,
    inputs: list[Members],
    moment: datetime.datetime,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> Members:
    output = work.output["MonitoringOutputs"][0]["S3Output"]
    endpoint = work.endpoint["EndpointName"]
    environment = {
        **work.application.get("Environment", {}),
        "analysis_type": "DATA_QUALITY",
        "dataset_format": json.dumps(CAPTURES),
        "dataset_source": work.endpoint["LocalPath"],
        "output_path": output["LocalPath"],
        "start_time": _told(begin),
        "end_time": _told(end),
        "sagemaker_endpoint_name": endpoint,
        "sagemaker_monitoring_schedule_name": record.name,
    }
    for kind in ("statistics", "constraints"):
        uri = work.baseline.get(f"{kind.capitalize()}Resource", {}).get("S3Uri")
        if uri:
            folder = f"{_BASELINE}/{kind}"
            inputs = [*inputs, _input(kind, uri, folder)]
            environment[f"baseline_{kind}"] = f"{folder}/{uri.rpartition('/')[2]}"
    key = {"KmsKeyId": work.output["KmsKeyId"]} if "KmsKeyId" in work.output else {}
    where = f"{output['S3Uri'].rstrip('/')}/{endpoint}/{record.name}/{moment:%Y/%m/%d/%H}"
    target = {"S3Uri": where, "LocalPath": output["LocalPath"], "S3UploadMode": "EndOfJob"}
    program = {
        name: work.application[name]
        for name in ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
        if name in work.application
    }
    return {
        "ProcessingJobName": f"model-monitoring-{moment:%Y%m%d%H%M}-{secrets.token_hex(12)}",
        "RoleArn": work.role,
        "AppSpecification": program,
        "Environment": environment,
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "result", "S3Output": target}], **key},
        "ProcessingResources": work.resources,
        **work.more,
    }


def _input(name: str, uri: str, path: str) -> Members:
    return {
        "InputName": name,
        "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"},
    }


def _of_definition(members: Mapping[str, Any]) -> _Work:
    return _Work(
        members["DataQualityAppSpecification"],
        members["DataQualityJobInput"].get("EndpointInput", {}),
        members.get("DataQualityBaselineConfig", {}),
        members["DataQualityJobOutputConfig"],
        members["JobResources"],
        members["RoleArn"],
        {name: members[name] for name in ("NetworkConfig", "StoppingCondition") if name in members},
    )


def _of_schedule(members: Mapping[str, Any]) -> _Work:
    return _Work(
        {**members["MonitoringAppSpecification"], "Environment": members.get("Environment", {})},
        members["MonitoringInputs"][0].get("EndpointInput", {}),
        members.get("BaselineConfig", {}),
        members["MonitoringOutputConfig"],
        members["MonitoringResources"],
        members["RoleArn"],
        {name: members[name] for name in ("NetworkConfig", "StoppingCondition") if name in members},
    )


def _check(work: _Work) -> None:
    """Raises ServiceError for what is not served."""
    if not work.endpoint:
        raise shelf.unserved("the monitoring of transform jobs: give an EndpointInput")
    if work.endpoint.get("S3InputMode", "File") != "File":
        raise shelf.unserved("S3InputMode Pipe")
    for name in ("RecordPreprocessorSourceUri", "PostAnalyticsProcessorSourceUri"):
        if name in work.application:
            raise shelf.unserved(name)
    if work.resources["ClusterConfig"]["InstanceCount"] > 1:
        raise shelf.unserved("monitoring jobs of several instances")
    if "BaseliningJobName" in work.baseline:
        raise shelf.unserved("BaseliningJobName: give the resources of the baseline")


# --- Time ------------------------------------------------------------------------------------------------------------


def _hours(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The hours (UTC) at which a schedule runs; none where it runs once, now. Raises ServiceError."""
    expression = config.get("ScheduleConfig", {}).get("ScheduleExpression", "cron(0 0 ? * * *)")
    if expression == "NOW":
        offsets = config["ScheduleConfig"]
        if not {"DataAnalysisStartTime", "DataAnalysisEndTime"} <= set(offsets):
            raise shelf.invalid("A schedule that runs NOW needs DataAnalysisStartTime and DataAnalysisEndTime.")
        return ()
    found = _CRON.fullmatch(expression)
    if found is None:
        raise shelf.invalid(f"{expression} is no hourly or daily cron expression.")
    if found["all"]:
        return tuple(range(24))
    start, every = int(found["start"]), int(found["every"] or 24)
    if start > 23 or not 1 <= every <= 24:
        raise shelf.invalid(f"{expression} is no hourly or daily cron expression.")
    return tuple(sorted({(start + every * step) % 24 for step in range(max(1, 24 // every))}))


def _next(hours: tuple[int, ...], now: datetime.datetime) -> datetime.datetime:
    """The first moment after `now`; now where there are no hours."""
    if not hours:
        return now
    moment = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    while moment.hour not in hours:
        moment += _HOUR
    return moment


def _previous(hours: tuple[int, ...], now: datetime.datetime) -> datetime.datetime | None:
    """The last moment up to `now`."""
    if not hours:
        return None
    moment = now.replace(minute=0, second=0, microsecond=0)
    while moment.hour not in hours:
        moment -= _HOUR
    return moment


def _window(
    config: Mapping[str, Any], hours: tuple[int, ...], moment: datetime.datetime, endpoint: Mapping[str, Any]
) -> tuple[datetime.datetime, datetime.datetime]:
    """From when to when captures are judged."""
    if not hours:
        offsets = config["ScheduleConfig"]
        begin, end = offsets["DataAnalysisStartTime"], offsets["DataAnalysisEndTime"]
        return moment + _offset(begin), moment + _offset(end)
    earlier = _previous(hours, moment - _HOUR) or moment - _HOUR
    return (
        earlier + _offset(endpoint.get("StartTimeOffset", "PT0H")),
        moment + _offset(endpoint.get("EndTimeOffset", "PT0H")),
    )


def _offset(text: str) -> datetime.timedelta:
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise shelf.invalid(f"{text} is no offset such as -PT1H.")
    length = datetime.timedelta(**{unit: int(found[unit] or 0) for unit in ("days", "hours", "minutes")})
    return -length if found["sign"] else length


def _told(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
