"""Serve a model with scaling: what an approval does, and what it does not."""

from __future__ import annotations

import json

import pytest

from local.cloud import LocalCloud
from scenarios import realtime_endpoint
from tests.conftest import SharedStacks
from tests.scenarios.shop import SECONDS, SERVING, SMALL, TRAINING, Shop, data, parcels
from tests.waiting import until


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shop = Shop(cloud, training, shared_stacks(SERVING, SMALL[SERVING]), {})
    shop.ready()
    return shop


def deploy(shop: Shop, package: str) -> realtime_endpoint.Report:
    return realtime_endpoint.deploy(shop.cloud, shop.serving, package, patience_seconds=SECONDS)


def made(shop: Shop) -> tuple[int, int]:
    """How many models and configurations there are."""
    sagemaker, name = shop.client("sagemaker"), f"{shop.serving['EndpointName']}-v"
    models = sagemaker.list_models(NameContains=name)["Models"]
    return len(models), len(sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"])


def test_an_approved_model_answers_and_scales_with_the_traffic(shop: Shop) -> None:
    # Given a model that was approved
    # When it is asked about five parcels
    answers = realtime_endpoint.ask(shop.cloud, shop.serving, parcels(5, 9))
    # Then each has a probability and a decision
    assert len(answers) == 5
    assert all(0 <= answer.probability <= 1 and answer.decision in (0, 1) for answer in answers)
    # And its number of instances follows the invocations
    scaling, resource = (
        shop.client("application-autoscaling"),
        f"endpoint/{shop.serving['EndpointName']}/variant/AllTraffic",
    )
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 70
    # And its baseline lies where a managed monitor looks for it
    listed = shop.client("s3").list_objects_v2(Bucket=shop.training["BucketName"], Prefix="production/baseline/")
    assert {entry["Key"].rpartition("/")[2] for entry in listed["Contents"]} == {"statistics.json", "constraints.json"}


def test_a_better_model_takes_over_and_the_old_one_goes(shop: Shop) -> None:
    # Given a model in service, and a better one, as the world has changed
    before = shop.in_service()
    trained = shop.train({"shifted.csv": data(seed=2, shifted=True)})
    assert trained.status == "REGISTERED", trained
    # When it is approved
    report = deploy(shop, trained.package)
    # Then it serves, and of the one before nothing is left
    assert report.complete, report
    assert shop.in_service() == trained.package != before
    assert made(shop) == (1, 1)


def test_the_same_version_may_be_approved_again(shop: Shop) -> None:
    # Given the package that serves
    package = shop.in_service()
    shop.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    # When it is approved once more, Then it is deployed under another name, and still nothing is left over
    assert deploy(shop, package).complete
    assert shop.in_service() == package
    assert made(shop) == (1, 1)


def test_an_approval_that_was_taken_back_is_not_deployed(shop: Shop) -> None:
    # Given an event of an approval that comes when the package is rejected
    package = shop.in_service()
    sagemaker, machine = shop.client("sagemaker"), shop.client("stepfunctions")
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    before = made(shop)
    # When it is handled
    execution = machine.start_execution(
        stateMachineArn=shop.serving["DeploymentArn"], input=json.dumps({"detail": {"ModelPackageArn": package}})
    )["executionArn"]
    until(lambda: machine.describe_execution(executionArn=execution)["status"] == "SUCCEEDED", "its end", seconds=30)
    # Then nothing was made
    history = machine.get_execution_history(executionArn=execution, maxResults=100)["events"]
    entered = [one["stateEnteredEventDetails"]["name"] for one in history if "stateEnteredEventDetails" in one]
    assert entered[-1] == "Not approved"
    assert made(shop) == before
    deploy(shop, package)


def test_a_failure_is_told_and_leaves_the_old_model_in_service(shop: Shop) -> None:
    # Given a deployment that may not change the endpoint
    package = shop.in_service()
    shop.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    with (
        shop.without(shop.serving["DeploymentRoleName"], "sagemaker:UpdateEndpoint"),
        shop.told(shop.serving["FailureTopicArn"]) as told,
    ):
        # When a package is approved
        report = deploy(shop, package)
        # Then the topic is told where it failed
        (message,) = told()
    assert report.status == "FAILED"
    assert "UpdateEndpoint" in report.reason
    assert json.loads(message)["state"] == "Update endpoint"
    # And what was made for it is gone, and the endpoint answers
    assert made(shop) == (1, 1)
    assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))


def test_a_night_ends_the_endpoint_and_the_morning_makes_it_again(shop: Shop) -> None:
    # Given the function that a schedule calls in the evening
    answer = shop.client("lambda").invoke(FunctionName=shop.serving["RetireFunctionName"], Payload=b'{"stop": true}')
    assert json.loads(answer["Payload"].read()) == {"outcome": "stopped"}
    # Then nothing that costs is left
    assert realtime_endpoint.endpoint_status(shop.cloud, shop.serving) == "Absent"
    assert made(shop) == (0, 0)
    # When the morning's schedule starts a deployment
    machine = shop.client("stepfunctions")
    execution = machine.start_execution(stateMachineArn=shop.serving["DeploymentArn"], input='{"start": true}')
    until(
        lambda: machine.describe_execution(executionArn=execution["executionArn"])["status"] == "SUCCEEDED",
        "the newest approved package to serve",
        seconds=60,
    )
    # Then the newest approved package serves
    assert shop.in_service() == shop.packages(ModelApprovalStatus="Approved")[0]
