"""Train, evaluate and register a model: what comes of data, good and bad."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from local.cloud import LocalCloud
from scenarios import training_pipeline
from tests.conftest import SharedStacks
from tests.scenarios.shop import SMALL, TRAINING, Shop, data
from tests.waiting import never, until


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[Shop]:
    shop = Shop(cloud, shared_stacks(TRAINING, SMALL[TRAINING]), {}, {})
    shop.clear()
    yield shop
    shop.clear()


def test_a_batch_becomes_a_model_that_waits_for_approval(shop: Shop) -> None:
    # Given deliveries of which six in a hundred were claimed
    # When they are uploaded with the marker
    report = shop.train({"a.csv": data(2500, 1), "b.csv": data(1500, 2)})
    # Then every step has run
    assert report.status == "REGISTERED", report
    assert {step.name for step in report.steps if step.status == "Succeeded"} == {
        "Prepare",
        "Train",
        "Evaluate",
        "IsGoodEnough",
        "Baseline",
        "Register",
    }
    # And the model is better than a plain one on rows that neither has seen
    mine = report.evaluation["selection"]
    assert mine["metric"] == "pr_auc"
    plain = report.evaluation["logistic_regression"]
    assert mine["value"] > plain["pr_auc"]["value"]
    # And its package waits for a person, with its metrics and its baseline
    package = shop.client("sagemaker").describe_model_package(ModelPackageName=report.package)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("evaluation.json")
    assert package["DriftCheckBaselines"]["ModelDataQuality"]["Statistics"]["S3Uri"].endswith("statistics.json")


def test_files_without_the_marker_start_nothing(shop: Shop) -> None:
    before = training_pipeline.executions(shop.cloud, shop.training)
    training_pipeline.upload(shop.cloud, shop.training, {"a.csv": data(300)}, ready=False)
    assert never(lambda: training_pipeline.executions(shop.cloud, shop.training) - before, 2)


def test_the_same_event_twice_is_one_execution(shop: Shop) -> None:
    # Given an event that EventBridge delivers twice
    machine = shop.client("stepfunctions")
    event = {"id": "11111111-2222-3333-4444-555555555555", "detail": {"object": {"sequencer": "0A"}}}
    before = training_pipeline.executions(shop.cloud, shop.training)
    shop.client("s3").put_object(
        Bucket=shop.training["BucketName"], Key=f"{shop.training['DataPrefix']}a.csv", Body=b"a\n"
    )
    # When both are handled
    started = [
        machine.start_execution(stateMachineArn=shop.training["StartArn"], input=json.dumps(event))["executionArn"]
        for _ in range(2)
    ]
    until(
        lambda: all(machine.describe_execution(executionArn=one)["status"] == "SUCCEEDED" for one in started),
        "both to be handled",
        seconds=30,
    )
    # Then the pipeline was started once
    assert len(training_pipeline.executions(shop.cloud, shop.training) - before) == 1
    shop.follow(before)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"1,2,3\n4,5,6\n", "Prepare"),
        (b"\xff\xfe\x00", "Prepare"),
    ],
    ids=["no header", "no text"],
)
def test_data_that_cannot_be_read_fails_with_a_reason_and_is_told(shop: Shop, content: bytes, reason: str) -> None:
    # Given a file that is no table of deliveries, and somebody who listens
    with shop.told(shop.training["FailureTopicArn"]) as told:
        # When it is uploaded
        report = shop.train({"bad.csv": content})
        # Then the execution fails in the step that reads it, which says why
        assert report.status == "FAILED", report
        assert report.reason.startswith(f"{reason}: ")
        assert len(report.reason) > len(reason) + 20
        # And the topic is told which execution it was
        (message,) = told()
        assert json.loads(message)["detail"]["pipelineExecutionArn"] == report.execution
    assert not report.package


def test_a_model_that_is_not_better_is_not_registered(shop: Shop) -> None:
    # Given an approved model, and nothing new
    first = shop.train({"a.csv": data(3000, 3)})
    assert first.status == "REGISTERED", first
    sagemaker = shop.client("sagemaker")
    sagemaker.update_model_package(ModelPackageArn=first.package, ModelApprovalStatus="Approved")
    try:
        # When the same data comes again
        again = shop.train({"a.csv": data(3000, 3)})
        # Then both models were asked about the same rows, and the new one is refused
        assert again.status == "NOT_BETTER", again
        chosen = again.evaluation["selection"]
        assert chosen["production_model"] is True
        assert chosen["value"] == chosen["to_beat"]
        assert "not registered" in again.reason
    finally:
        sagemaker.update_model_package(ModelPackageArn=first.package, ModelApprovalStatus="Rejected")


@pytest.mark.parametrize(
    ("role", "action", "step"),
    [
        ("ProcessingRoleName", "s3:GetObject", "Prepare"),
        ("ProcessingRoleName", "s3:PutObject", "Prepare"),
        ("TrainingRoleName", "s3:GetObject", "Train"),
        ("TrainingRoleName", "s3:PutObject", "Train"),
        ("PipelineRoleName", "sagemaker:CreateTrainingJob", "Train"),
        ("PipelineRoleName", "iam:PassRole", "Prepare"),
        ("PipelineRoleName", "sagemaker:CreateModelPackage", "Register"),
    ],
)
def test_without_a_permission_the_step_that_needs_it_fails(shop: Shop, role: str, action: str, step: str) -> None:
    # Given a role that lost one permission
    with shop.without(shop.training[role], action):
        # When data comes
        report = shop.train({"a.csv": data(2000, 4)})
    # Then the step that needs it fails and names it, or the service's refusal
    assert report.status == "FAILED", report
    assert report.reason.startswith(f"{step}: "), report.reason
    assert action.partition(":")[2] in report.reason or "cannot be" in report.reason, report.reason


def test_a_training_that_cannot_be_started_is_told(shop: Shop) -> None:
    # Given a start that may not start
    before = training_pipeline.executions(shop.cloud, shop.training)
    with (
        shop.without(shop.training["StartRoleName"], "sagemaker:StartPipelineExecution"),
        shop.told(shop.training["FailureTopicArn"]) as told,
    ):
        training_pipeline.upload(shop.cloud, shop.training, {"a.csv": data(300)})
        # Then the topic is told, once the retries are over
        (message,) = told()
        assert "StartPipelineExecution" in json.loads(message)["cause"]
    assert training_pipeline.executions(shop.cloud, shop.training) == before
