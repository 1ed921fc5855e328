"""Who watches the shop's model: its hours, its traffic, its labels, and what a deployed model-monitor says of them.

The schedule is off unless a test wants it: each time the clock passes twenty past, it would start jobs of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from local.cloud import LocalCloud
from pipelines.deliveries.world import FEATURES, draw
from scenarios import model_monitor, realtime_endpoint
from tests.conftest import SharedStacks
from tests.scenarios.shop import MONITOR, SERVING, SMALL, TRAINING, Shop
from tests.waiting import until

# SageMaker writes captures some time after the request.
SECONDS = 30.0
HOUR = timedelta(hours=1)


class Watcher:
    """Drives one monitor beside the shop's other stacks. Each test begins in an hour of its own."""

    def __init__(self, shop: Shop, name: str = MONITOR, outputs: Mapping[str, str] | None = None) -> None:
        self.shop, self.cloud, self.control = shop, shop.cloud, shop.cloud.control
        self.name, self.outputs = name, outputs or shop.monitor
        self.sqs = self.cloud.client("sqs")
        self.functions = self.cloud.client("lambda", retries={"total_max_attempts": 1})

    @classmethod
    def of(cls, cloud: LocalCloud, shared_stacks: SharedStacks) -> Watcher:
        """Of the shared stacks, with a model in service."""
        training, serving = (shared_stacks(name, SMALL[name]) for name in (TRAINING, SERVING))
        shop = Shop(cloud, training, serving, shared_stacks(MONITOR, SMALL[MONITOR]))
        shop.ready()
        return cls(shop)

    # --- time

    def now(self) -> datetime:
        """The cloud's time."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.control.clock())

    def hour(self) -> datetime:
        """The begin of the hour that runs."""
        return self.now().replace(minute=0, second=0, microsecond=0)

    def pass_hours(self, hours: int = 1) -> datetime:
        """Lets the time pass to some minutes into a later hour; returns that hour's begin."""
        begin = self.hour() + hours * HOUR
        self.control.clock_advance((begin + timedelta(minutes=5) - self.now()).total_seconds())
        return begin

    @contextmanager
    def schedule(self, state: str) -> Iterator[None]:
        """The stack's schedule, switched on or off for a while. From when it is on, it waits for its next time."""
        scheduler = self.cloud.client("scheduler")
        target = self.arn("StartMonitorFunctionName")
        names = [one["Name"] for one in scheduler.list_schedules()["Schedules"] if one["Target"]["Arn"] == target]
        (before,) = [scheduler.get_schedule(Name=name) for name in names]
        kept = (
            "Name",
            "GroupName",
            "ScheduleExpression",
            "FlexibleTimeWindow",
            "Target",
            "KmsKeyArn",
        )
        settings = {name: before[name] for name in kept if name in before}
        scheduler.update_schedule(**settings, State=state)
        try:
            yield
        finally:
            scheduler.update_schedule(**settings, State=before["State"])

    @contextmanager
    def no_training(self) -> Iterator[None]:
        """The rule that starts a training when the alarm is raised is off for a while."""
        events, formation = self.cloud.client("events"), self.cloud.client("cloudformation")
        (rule,) = [
            one["PhysicalResourceId"]
            for one in formation.describe_stack_resources(StackName=self.name)["StackResources"]
            if one["LogicalResourceId"].startswith("Drifted")
        ]
        rule = rule.rpartition("/")[2]
        events.disable_rule(Name=rule)
        try:
            yield
        finally:
            events.enable_rule(Name=rule)

    # --- traffic

    def traffic(self, seed: int, requests: int = 30, *, shifted: bool = False, body: str | None = None) -> list[str]:
        """Requests of twenty parcels each, until their captures are written; returns their inference ids."""
        folder, before = self.folder(), self.captured(self.folder())
        ids = [f"call-{seed}-{n}" for n in range(requests)]
        for n, one in enumerate(ids):
            rows = draw(20, seed + n, shifted=shifted)[list(FEATURES)].to_csv(index=False, header=False)
            realtime_endpoint.ask(self.cloud, self.shop.serving, body or rows, inference_id=one)
        until(lambda: self.captured(folder) >= before + requests, "the captures", seconds=SECONDS)
        return ids

    def folder(self) -> str:
        """Where this hour's captures lie."""
        return f"captures/{self.shop.serving['EndpointName']}/AllTraffic/{self.now():%Y/%m/%d/%H}/"

    def captured(self, folder: str) -> int:
        """How many requests lie there."""
        return len([line for text in self.captures(folder) for line in text.splitlines()])

    def captures(self, folder: str) -> list[str]:
        """The files of captures there."""
        s3, bucket = self.cloud.client("s3"), self.shop.serving["CaptureBucketName"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
        return [s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode() for one in listed]

    def put_captures(self, body: bytes) -> None:
        """A file among this hour's captures that the endpoint has not written."""
        self.cloud.client("s3").put_object(
            Bucket=self.shop.serving["CaptureBucketName"], Key=f"{self.folder()}broken.jsonl", Body=body
        )

    def put_labels(self, labels: Mapping[str, list[int]]) -> None:
        """Labels that arrive in this hour, by inference id, one a row."""
        lines = [
            json.dumps(
                {
                    "groundTruthData": {"data": "\n".join(map(str, some)), "encoding": "CSV"},
                    "eventMetadata": {"eventId": name},
                    "eventVersion": "0",
                }
            )
            for name, some in labels.items()
        ]
        bucket, _, prefix = self.outputs["GroundTruthUri"].removeprefix("s3://").partition("/")
        key = f"{prefix}/{self.now():%Y/%m/%d/%H}/labels.jsonl"
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body="\n".join(lines).encode())

    # --- what the monitor says

    def judge(self) -> model_monitor.Verdict:
        """Has the hour that runs judged; of a job that ended, the metrics are there."""
        verdict = model_monitor.judge(self.cloud, self.outputs, self.hour(), patience_seconds=60)
        if verdict.status in ("JUDGED", "FAILED"):
            self.published(self.hour())
        return verdict

    def published(self, since: datetime) -> list[float]:
        """`JobFailed`, an hour a value, once there is one."""
        return until(lambda: self.metric("JobFailed", since), "the metrics", seconds=20)

    def metric(self, name: str, since: datetime | None = None, feature: str | None = None) -> list[float]:
        """What was published in this hour, or since another, an hour a value."""
        return model_monitor.metric(self.cloud, self.outputs, name, since or self.hour(), feature)

    def jobs(self, hour: datetime) -> dict[str, str]:
        """Names and statuses of the jobs of an hour."""
        name = f"{self.name}-{hour:%Y%m%d%H}"
        found = self.cloud.client("sagemaker").list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
        return {one["ProcessingJobName"]: one["ProcessingJobStatus"] for one in found}

    def alarm(self, output: str = "DriftAlarmName") -> str:
        """The state of an alarm, now."""
        return str(self.control.evaluate_alarms()[self.outputs[output]])

    def good_hours(self, hours: int = 2) -> None:
        """Hours without a violation, as far as the alarm can tell: nobody is asked, their figures alone are there."""
        cloudwatch = self.cloud.client("cloudwatch")
        for _ in range(hours):
            data = [
                {"MetricName": name, "Dimensions": self.dimensions(), "Value": 0.0}
                for name in ("Violations", "JobFailed")
            ]
            cloudwatch.put_metric_data(Namespace=self.outputs["MetricNamespace"], MetricData=data)
            self.pass_hours()

    def dimensions(self, endpoint: str | None = None) -> list[dict[str, str]]:
        """Of the monitor's metrics."""
        return [{"Name": "Endpoint", "Value": endpoint or self.shop.serving["EndpointName"]}]

    # --- functions and letters

    def arn(self, output: str) -> str:
        """Of a function."""
        configuration = self.functions.get_function_configuration(FunctionName=self.outputs[output])
        return str(configuration["FunctionArn"])

    def call(self, output: str, event: Mapping[str, Any]) -> None:
        """Calls a function as a schedule or a rule does: nobody waits for its answer."""
        self.functions.invoke(
            FunctionName=self.outputs[output], InvocationType="Event", Payload=json.dumps(event).encode()
        )

    def call_for_this_hour(self) -> None:
        """As the schedule does once the hour is over."""
        self.call("StartMonitorFunctionName", self.call_time())

    def call_time(self) -> dict[str, str]:
        """What the schedule says once the hour that runs is over."""
        return {"time": f"{self.hour() + HOUR:%Y-%m-%dT%H}:20:00Z"}

    def letters(self) -> int:
        """How many dead letters there are."""
        return self.shop.dead_letters(self.outputs)

    def wait_for_letters(self) -> None:
        """Until something was given up. Two more attempts come first, some seconds apart."""
        until(self.letters, "a dead letter", seconds=SECONDS)

    def redrive(self) -> list[str]:
        """What an operator does; see scenarios."""
        return model_monitor.redrive(self.cloud, self.outputs)

    def clean(self) -> None:
        """Take away faults, and letters that another test left."""
        self.control.faults_clear()
        self.sqs.purge_queue(QueueUrl=self.outputs["DeadLetterQueueUrl"])

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Waits as long as anything here takes."""
        return until(found, what, seconds=SECONDS)

    def calls(self, operation: str) -> int:
        """How often an operation ("sagemaker.CreateProcessingJob") was called so far."""
        return self.control.calls().get(operation, 0)

    @contextmanager
    def without(self, output: str, action: str) -> Iterator[None]:
        """A role of the stack that may not do something for a while."""
        with self.shop.without(self.outputs[output], action):
            yield


def ended(watcher: Watcher, job: str) -> dict[str, Any]:
    """The event of a job's end, as far as it is read."""
    described = watcher.cloud.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    members = ("ProcessingJobName", "ProcessingJobStatus", "ProcessingOutputConfig")
    return {"detail": {name: described[name] for name in members}}
