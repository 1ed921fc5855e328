"""Train, evaluate and register a model: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.control import Control
from scenarios import training_pipeline
from tests.local.emulated import ended, messages, start, unique
from tests.local.sagemaking import job_role
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.shop import TRAINING, Shop, data
from tests.waiting import until

FAILS = {
    "Version": "2020-12-01",
    "Steps": [{"Name": "Never", "Type": "Fail", "Arguments": {"ErrorMessage": "as asked"}}],
}


class TrainingDriver:
    """The shop, as stories of alarms drive a stack."""

    def __init__(self, school: Shop) -> None:
        self.school = school
        self.cloud: LocalCloud = school.cloud
        self.control: Control = school.cloud.control
        self.outputs: Mapping[str, str] = school.training
        self.sqs: Any = school.client("sqs")


class TrainingStory(Story[TrainingDriver]):
    """What happens to the stack."""

    architecture = TRAINING

    @contextmanager
    def a_training_that_fails(self) -> Iterator[None]:
        report = self.driver.school.train({"few.csv": data(50)})
        assert report.status == "FAILED", report
        self.pass_minutes(1)
        yield

    @contextmanager
    def a_training_that_cannot_be_started(self) -> Iterator[None]:
        # An event without an id has nothing to tell a second one by.
        assert ended(self.cloud, start(self.cloud, self.driver.outputs["StartArn"], {}))["status"] == "FAILED"
        self.pass_minutes(1)
        yield

    @contextmanager
    def an_event_that_starts_nothing(self) -> Iterator[None]:
        school, queue = self.driver.school, self.driver.outputs["DeadLetterQueueUrl"]
        (target,) = school.client("events").list_targets_by_rule(Rule=self.driver.outputs["RuleName"])["Targets"]
        with school.without(target["RoleArn"].rpartition("/")[2], "states:StartExecution"):
            training_pipeline.upload(self.cloud, self.driver.outputs, {"few.csv": data(50)})
            # Who received it would hide it from what is counted.
            until(lambda: school.dead_letters(self.driver.outputs), "a dead letter", seconds=30)
        self.pass_minutes(1)
        yield
        (letter,) = messages(self.cloud, queue)
        self.driver.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])

    def another_pipeline_that_fails(self) -> str:
        sagemaker, name = self.cloud.client("sagemaker"), unique("pipeline")
        role = job_role(self.cloud)
        sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(FAILS), RoleArn=role)
        execution = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]

        def status() -> bool:
            found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
            return bool(found["PipelineExecutionStatus"] == "Failed")

        until(status, "the other pipeline to fail", seconds=10)
        self.pass_minutes(1)
        return name


TROUBLES: dict[str, Trouble[TrainingStory]] = {
    "FailedAlarm": Trouble(TrainingStory.a_training_that_fails, TrainingStory.another_pipeline_that_fails),
    "StartFailedAlarm": Trouble(
        TrainingStory.a_training_that_cannot_be_started, TrainingStory.another_machine_that_fails
    ),
    "UndeliveredAlarm": Trouble(TrainingStory.an_event_that_starts_nothing, TrainingStory.a_message_in_another_queue),
}


@pytest.fixture
def story(school: Shop) -> TrainingStory:
    return TrainingStory(TrainingDriver(school))


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)
