"""Notice when a model drifts: each alarm of the stack is raised by its trouble, clears after it, and heeds no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.cloud import LocalCloud
from pipelines.deliveries.world import FEATURES, draw
from scenarios import model_monitor
from tests.conftest import SharedStacks
from tests.local.emulated import unique
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.shop import MONITOR
from tests.scenarios.watcher import Watcher


class MonitorStory(Story[Watcher]):
    """What happens to the stack."""

    architecture = MONITOR

    def judged_hour(self, seed: int, *, shifted: bool = False) -> model_monitor.Verdict:
        """An hour of six hundred parcels, judged; the next has begun."""
        rows = draw(600, seed, shifted=shifted)[list(FEATURES)].to_csv(index=False, header=False)
        self.driver.traffic(seed, 1, body=rows)
        verdict = self.driver.judge()
        self.driver.pass_hours()
        return verdict

    @contextmanager
    def a_world_that_has_changed(self) -> Iterator[None]:
        for seed in (6000, 6100):
            assert self.judged_hour(seed, shifted=True).violations
        yield
        # A night in which nobody asks the endpoint makes nothing better.
        for _ in range(6):
            self.driver.pass_hours()
            assert self.driver.alarm() == "ALARM"
        for seed in (6200, 6300):
            assert not self.judged_hour(seed).violations

    @contextmanager
    def a_job_that_fails(self) -> Iterator[None]:
        self.driver.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="fail-job", times=1)
        self.driver.traffic(6400, 1)
        failed = self.driver.judge()
        assert failed.status == "FAILED"
        hour = self.driver.pass_hours()
        yield
        # At its next time, more than an hour after the failure.
        self.pass_minutes(15)
        (again,) = model_monitor.start(self.cloud, self.driver.outputs, hour)["earlier"]
        assert model_monitor.follow(self.cloud, self.driver.outputs, hour, again["job"]).status == "JUDGED"
        self.driver.published(hour)
        self.driver.pass_hours(2)

    @contextmanager
    def an_hour_that_cannot_be_started(self) -> Iterator[None]:
        hour = self.driver.hour()
        self.driver.traffic(6500, 1)
        with self.driver.without("StartMonitorRoleName", "sagemaker:DescribeEndpoint"):
            self.driver.call_for_this_hour()
            self.driver.wait_for_letters()
        self.pass_minutes(1)
        yield
        self.driver.redrive()
        self.driver.published(hour)

    @contextmanager
    def a_report_that_is_not_there(self) -> Iterator[None]:
        uri = f"{self.driver.outputs['ReportUri']}/none/"
        outputs = {"Outputs": [{"S3Output": {"S3Uri": uri}}]}
        detail = {"ProcessingJobStatus": "Completed", "ProcessingOutputConfig": outputs}
        self.breaks("PublishReportFunctionName", {"detail": detail})
        yield

    @contextmanager
    def a_starter_that_is_killed(self) -> Iterator[None]:
        self.driver.control.faults_add(service="sagemaker", operation="DescribeEndpoint", kind="kill-worker", times=1)
        self.driver.traffic(6600, 1)
        self.breaks("StartMonitorFunctionName", self.driver.call_time())
        yield

    def breaks(self, output: str, event: object) -> None:
        name = self.driver.outputs[output]
        assert "FunctionError" in self.functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        self.pass_minutes(1)

    # --- elsewhere

    def another_endpoint(self, name: str) -> str:
        """Two hours in which a metric tells of another endpoint what is bad in this one."""
        endpoint = unique("endpoint")
        datum = {"MetricName": name, "Dimensions": self.driver.dimensions(endpoint), "Value": 3.0}
        for _ in range(2):
            self.cloudwatch.put_metric_data(Namespace=self.driver.outputs["MetricNamespace"], MetricData=[datum])
            self.driver.pass_hours()
        return endpoint

    def another_endpoint_that_drifts(self) -> str:
        return self.another_endpoint("Violations")

    def another_endpoint_without_a_report(self) -> str:
        return self.another_endpoint("JobFailed")


TROUBLES: dict[str, Trouble[MonitorStory]] = {
    "DriftAlarm": Trouble(MonitorStory.a_world_that_has_changed, MonitorStory.another_endpoint_that_drifts),
    "JobFailedAlarm": Trouble(MonitorStory.a_job_that_fails, MonitorStory.another_endpoint_without_a_report),
    "UndeliveredAlarm": Trouble(MonitorStory.an_hour_that_cannot_be_started, MonitorStory.a_message_in_another_queue),
    "PublishReportErrorsAlarm": Trouble(
        MonitorStory.a_report_that_is_not_there, MonitorStory.another_function_that_breaks
    ),
    "StartMonitorErrorsAlarm": Trouble(
        MonitorStory.a_starter_that_is_killed, MonitorStory.another_function_that_breaks
    ),
}


@pytest.fixture
def story(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[MonitorStory]:
    watcher = Watcher.of(cloud, shared_stacks)
    with watcher.schedule("DISABLED"), watcher.no_training():
        watcher.clean()
        watcher.pass_hours(6)
        watcher.good_hours(3)
        yield MonitorStory(watcher)
        watcher.clean()


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
