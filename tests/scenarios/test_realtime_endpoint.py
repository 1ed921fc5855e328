"""Serve a model with scaling: what an approval does, and what it does not."""

from __future__ import annotations

import json

import pytest

from local.cloud import LocalCloud
from scenarios import realtime_endpoint
from tests.conftest import SharedStacks
from tests.scenarios.shop import (
    NEVER_WELL,
    SECONDS,
    SERVING,
    SMALL,
    TRAINING,
    Shop,
    data,
    nights,
    parcels,
    until_hour,
)
from tests.waiting import until


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shop = Shop(cloud, training, shared_stacks(SERVING, SMALL[SERVING]), {})
    shop.ready()
    return shop


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
    # Given a model in service, and a better one, as the world has changed (what other tests approved may be better yet)
    before = shop.in_service()
    shop.forget()
    trained = shop.train({"shifted.csv": data(seed=2, shifted=True)})
    assert trained.status == "REGISTERED", trained
    # When it is approved
    report = shop.deploy(trained.package)
    # Then it serves, and of the one before nothing is left
    assert report.complete, report
    assert shop.in_service() == trained.package != before
    assert shop.made() == (1, 1)


def test_the_same_version_may_be_approved_again(shop: Shop) -> None:
    # Given the package that serves
    package = shop.in_service()
    # When it is approved once more, Then it is deployed under another name, and still nothing is left over
    assert shop.deploy(package).complete
    assert shop.in_service() == package
    assert shop.made() == (1, 1)


def test_an_approval_that_was_taken_back_is_not_deployed(shop: Shop) -> None:
    # Given an event of an approval that comes when the package is rejected
    package = shop.in_service()
    sagemaker, machine = shop.client("sagemaker"), shop.client("stepfunctions")
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    before = shop.made()
    # When it is handled
    execution = machine.start_execution(
        stateMachineArn=shop.serving["DeploymentArn"], input=json.dumps({"detail": {"ModelPackageArn": package}})
    )["executionArn"]
    until(lambda: machine.describe_execution(executionArn=execution)["status"] == "SUCCEEDED", "its end", seconds=30)
    # Then nothing was made
    history = machine.get_execution_history(executionArn=execution, maxResults=100)["events"]
    entered = [one["stateEnteredEventDetails"]["name"] for one in history if "stateEnteredEventDetails" in one]
    assert entered[-1] == "Not approved"
    assert shop.made() == before
    shop.deploy(package)


def test_a_failure_is_told_and_leaves_the_old_model_in_service(shop: Shop) -> None:
    # Given a deployment that may not change the endpoint
    package = shop.in_service()
    with (
        shop.without(shop.serving["DeploymentRoleName"], "sagemaker:UpdateEndpoint"),
        shop.told(shop.serving["FailureTopicArn"]) as told,
    ):
        # When a package is approved
        report = shop.deploy(package)
        # Then the topic is told where it failed
        (message,) = told()
    assert report.status == "FAILED"
    assert "UpdateEndpoint" in report.reason
    assert json.loads(message)["state"] == "Update endpoint"
    # And what was made for it is gone, and the endpoint answers
    assert shop.made() == (1, 1)
    assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))


def test_a_night_ends_the_endpoint_and_the_morning_makes_it_again(shop: Shop) -> None:
    # Given a stack whose endpoint stops overnight
    def absent() -> bool:
        return realtime_endpoint.endpoint_status(shop.cloud, shop.serving) == "Absent"

    with nights(shop.cloud, SERVING):
        # When it is eight in the evening, Then nothing that costs is left
        until_hour(shop.cloud, 20)
        until(absent, "the endpoint to stop", seconds=SECONDS)
        until(lambda: shop.made() == (0, 0), "its model to go", seconds=SECONDS)
        # When it is seven in the morning, Then the newest approved package serves
        until_hour(shop.cloud, 7)
        until(shop.in_service, "a model to serve", seconds=SECONDS)
    assert shop.in_service() == shop.packages(ModelApprovalStatus="Approved")[0]
    realtime_endpoint.settle(shop.cloud, shop.serving, patience_seconds=SECONDS)


def test_the_number_of_instances_follows_the_load(shop: Shop) -> None:
    # Given one instance
    def instances() -> int:
        described = shop.client("sagemaker").describe_endpoint(EndpointName=shop.serving["EndpointName"])
        return int(described["ProductionVariants"][0]["CurrentInstanceCount"])

    def pass_minutes(count: int, requests: int) -> None:
        for _ in range(count):
            for _ in range(requests):
                realtime_endpoint.ask(shop.cloud, shop.serving, row)
            shop.cloud.control.clock_advance(60)
            shop.cloud.control.evaluate_alarms()

    row = parcels(1, 9)
    assert instances() == 1
    # When more than 70 requests a minute come, Then there are two, the most that is allowed
    pass_minutes(4, 75)
    until(lambda: instances() == 2, "a second instance", seconds=SECONDS)
    # And when nobody asks any more, Then one goes again
    pass_minutes(20, 0)
    until(lambda: instances() == 1, "the second instance to go", seconds=SECONDS)
    scaled = shop.client("application-autoscaling").describe_scaling_activities(ServiceNamespace="sagemaker")
    told = [one for one in scaled["ScalingActivities"] if shop.serving["EndpointName"] in one["ResourceId"]]
    assert [one["Description"][-2] for one in told[:2]] == ["1", "2"]
    assert {one["StatusCode"] for one in told[:2]} == {"Successful"}


def test_another_instance_type_ends_the_scaling_until_it_serves(shop: Shop) -> None:
    # Given a deployment on another type of instances, which SageMaker refuses for a variant that is scaled
    package = shop.in_service()
    with shop.redefined("ml.m5.large", "ml.m5.xlarge"):
        # When a package is approved
        report = shop.deploy(package)
        # Then it serves on the other type, and is scaled
        assert report.complete, report
        sagemaker, endpoint = shop.client("sagemaker"), shop.serving["EndpointName"]
        config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        assert variant["InstanceType"] == "ml.m5.xlarge"
        assert shop.scaled()
    # When the next one, on the usual type, cannot be made
    with shop.package(NEVER_WELL) as broken:
        assert shop.deploy(broken).status == "FAILED"
    # Then the one before is scaled again
    assert shop.in_service() == package
    assert shop.scaled()
