"""Train, evaluate and register a model: what comes of data, good and bad."""

from __future__ import annotations

import json

from scenarios import training_pipeline
from tests.scenarios.shop import Shop, data
from tests.waiting import never, until


def files() -> dict[str, bytes]:
    """Deliveries of which six in a hundred were claimed."""
    return {"a.csv": data(2500, 1), "b.csv": data(1500, 2)}


_registered: list[training_pipeline.Report] = []


def registered(school: Shop) -> training_pipeline.Report:
    """The model of those deliveries, trained by the first test that asks for it."""
    if not _registered:
        report = school.train(files())
        assert report.status == "REGISTERED", report
        _registered.append(report)
    return _registered[0]


def test_a_batch_becomes_a_model_that_waits_for_approval(school: Shop) -> None:
    # Given deliveries, When they are uploaded with the marker
    report = registered(school)
    # Then every step has run
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
    package = school.client("sagemaker").describe_model_package(ModelPackageName=report.package)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("evaluation.json")
    assert package["DriftCheckBaselines"]["ModelDataQuality"]["Statistics"]["S3Uri"].endswith("statistics.json")


def test_files_without_the_marker_start_nothing(school: Shop) -> None:
    before = training_pipeline.executions(school.cloud, school.training)
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(300)}, ready=False)
    assert never(lambda: training_pipeline.executions(school.cloud, school.training) - before, 2)


def test_the_same_event_twice_is_one_execution(school: Shop) -> None:
    # Given an event that EventBridge delivers twice
    machine = school.client("stepfunctions")
    event = {"id": "11111111-2222-3333-4444-555555555555", "detail": {"object": {"sequencer": "0A"}}}
    before = training_pipeline.executions(school.cloud, school.training)
    school.client("s3").put_object(
        Bucket=school.training["BucketName"], Key=f"{school.training['DataPrefix']}a.csv", Body=b"a\n"
    )
    # When both are handled
    started = [
        machine.start_execution(stateMachineArn=school.training["StartArn"], input=json.dumps(event))["executionArn"]
        for _ in range(2)
    ]
    until(
        lambda: all(machine.describe_execution(executionArn=one)["status"] == "SUCCEEDED" for one in started),
        "both to be handled",
        seconds=30,
    )
    # Then the pipeline was started once
    assert len(training_pipeline.executions(school.cloud, school.training) - before) == 1
    school.follow(before)


def test_a_model_that_is_not_better_is_not_registered(school: Shop) -> None:
    # Given an approved model, and nothing new
    first = registered(school)
    sagemaker = school.client("sagemaker")
    sagemaker.update_model_package(ModelPackageArn=first.package, ModelApprovalStatus="Approved")
    try:
        # When the same data comes again
        again = school.train(files())
        # Then both models were asked about the same rows, and the new one is refused
        assert again.status == "NOT_BETTER", again
        chosen = again.evaluation["selection"]
        assert chosen["production_model"] is True
        assert chosen["value"] == chosen["to_beat"]
        assert "not registered" in again.reason
    finally:
        sagemaker.update_model_package(ModelPackageArn=first.package, ModelApprovalStatus="Rejected")
