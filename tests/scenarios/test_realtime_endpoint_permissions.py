"""Serve a model with scaling: every permission of the stack is used, and without it the flow stops, visibly."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from local.services.application_autoscaling import SERVICE_ROLE
from scenarios import realtime_endpoint
from tests.conftest import SharedStacks
from tests.local.emulated import ended, messages
from tests.scenarios.removals import of_one_role
from tests.scenarios.shop import (
    NEVER_WELL,
    SECONDS,
    SERVING,
    SMALL,
    TRAINING,
    Shop,
    hurried,
    nights,
    parcels,
    until_hour,
)
from tests.waiting import never, until


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shop = Shop(cloud, training, shared_stacks(SERVING, SMALL[SERVING]), {})
    shop.ready()
    return shop


# --- What is granted is used -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=SERVING)


def forget_the_linked_role(cloud: LocalCloud) -> None:
    """As in an account in which nothing was ever scaled."""
    iam = cloud.client("iam")
    if any(role["RoleName"] == SERVICE_ROLE for role in iam.list_roles()["Roles"]):
        for policy in iam.list_role_policies(RoleName=SERVICE_ROLE)["PolicyNames"]:
            iam.delete_role_policy(RoleName=SERVICE_ROLE, PolicyName=policy)
        iam.delete_role(RoleName=SERVICE_ROLE)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud, shared_stacks: SharedStacks) -> Life:
    """A broken model, a good one, another instance type, a night and a morning, and an end amid a deployment."""
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shared = shared_stacks(SERVING, SMALL[SERVING])
    name = f"life-serving-{os.getpid()}"
    events = cloud.client("events")
    package = Shop(cloud, training, shared, {}).trained()
    # The shared stack listens to the same approvals.
    events.disable_rule(Name=shared["RuleName"])
    forget_the_linked_role(cloud)
    since = cloud.control.last_decision()
    try:
        assembly = synthesize(SERVING, settings={SERVING: dict(SMALL[SERVING])})
        outputs = deploy(cloud, assembly, name, artifact=SERVING)
        shop = Shop(cloud, training, outputs, {})
        with shop.package(NEVER_WELL) as broken:
            assert shop.deploy(broken).status == "FAILED"
            cloud.control.clock_advance(60)
            cloud.control.evaluate_alarms()
        done = shop.deploy(package)
        assert done.complete, done
        # Late answers raise an alarm, which the composite one tells.
        fault = {"service": "sagemaker-runtime", "operation": "InvokeEndpoint", "kind": "slow", "seconds": 0.25}
        late = cloud.control.faults_add(**fault)
        for _ in range(3):
            realtime_endpoint.ask(cloud, outputs, parcels(1, 9))
            cloud.control.clock_advance(60)
            cloud.control.evaluate_alarms()
        cloud.control.faults_clear(late)
        for _ in range(5):
            cloud.control.clock_advance(60)
            cloud.control.evaluate_alarms()
        with shop.redefined("ml.m5.large", "ml.m5.xlarge"):
            done = shop.deploy(package)
            assert done.complete, done
        with nights(cloud, name):
            until_hour(cloud, 20)
            until(lambda: realtime_endpoint.endpoint_status(cloud, outputs) == "Absent", "the night", seconds=SECONDS)
            until(lambda: shop.made() == (0, 0), "the end of the night's work", seconds=SECONDS)
            until_hour(cloud, 7)
            until(shop.in_service, "the morning", seconds=SECONDS)
        assert realtime_endpoint.settle(cloud, outputs, patience_seconds=SECONDS)
        cloud.control.clock_advance(60)
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
        cloud.client("stepfunctions").start_execution(stateMachineArn=outputs["DeploymentArn"], input='{"start": true}')
    finally:
        destroy(cloud, name)
        events.enable_rule(Name=shared["RuleName"])
    return Life(grants, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work, but the rule, which has but its dead letters
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    idle = {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE} - used
    assert idle == {"events.amazonaws.com"}


def test_nothing_is_left_of_a_stack_that_ends_amid_a_deployment(life: Life, shop: Shop) -> None:
    # Given a stack that was destroyed while a deployment ran, Then nothing that it made is left
    sagemaker = shop.client("sagemaker")
    assert sagemaker.list_endpoints(NameContains="life-serving")["Endpoints"] == []
    assert sagemaker.list_endpoint_configs(NameContains="life-serving")["EndpointConfigs"] == []
    assert sagemaker.list_models(NameContains="life-serving")["Models"] == []
    names = [one["AlarmName"] for one in shop.client("cloudwatch").describe_alarms()["MetricAlarms"]]
    assert [name for name in names if "life-serving" in name] == []


# --- Without a permission it stops, visibly --------------------------------------------------------------------------


# A permission of the deployments, and the state that tells of its lack. After the last of the endpoint the new model
# serves, whatever fails.
LOST: dict[str, str] = {
    "sagemaker:DescribeModelPackage": "Describe package",
    "sagemaker:CreateModel": "Create model",
    "iam:PassRole": "Create model",
    "sagemaker:CreateEndpointConfig": "Create configuration",
    "sagemaker:ListEndpoints": "Find endpoint",
    "sagemaker:DescribeEndpointConfig": "Read its model",
    "sagemaker:UpdateEndpoint": "Update endpoint",
}
LOST_LATER: dict[str, str] = {
    "application-autoscaling:PutScalingPolicy": "Set scaling",
    "cloudwatch:DescribeAlarms": "Set scaling",
    "s3:GetObject": "Keep statistics",
    "s3:PutObject": "Keep statistics",
    "sagemaker:DeleteEndpointConfig": "Delete old configuration",
}


def failed_without(shop: Shop, action: str) -> dict[str, Any]:
    """What the failure topic is told when a package is deployed by a role that has lost an action."""
    states = shop.client("stepfunctions")
    event = json.dumps({"detail": {"ModelPackageArn": shop.in_service()}})
    with (
        shop.without(shop.serving["DeploymentRoleName"], action),
        shop.told(shop.serving["FailureTopicArn"]) as told,
        hurried(shop.cloud),
    ):
        states.start_execution(stateMachineArn=shop.serving["DeploymentArn"], input=event)
        (message,) = map(json.loads, told())
        assert realtime_endpoint.settle(shop.cloud, shop.serving, patience_seconds=SECONDS)
    found: dict[str, Any] = message
    return found


@pytest.mark.parametrize("action", of_one_role(LOST))
def test_without_a_permission_of_its_role_a_deployment_says_so(shop: Shop, action: str) -> None:
    # Given a role that lost one permission, When a package is deployed
    before = shop.configuration()
    message = failed_without(shop, action)
    # Then the topic is told where it failed and why
    assert message["state"] == LOST[action]
    assert action in message["cause"]
    # And the endpoint is as before, and nothing is left over
    assert shop.configuration() == before
    assert shop.made() == (1, 1)


@pytest.mark.parametrize("action", of_one_role(LOST_LATER))
def test_without_a_permission_for_what_comes_after_the_new_model_serves_all_the_same(shop: Shop, action: str) -> None:
    # Given a role that lost one permission, When a package is deployed
    before = shop.configuration()
    message = failed_without(shop, action)
    # Then the topic is told what is missing, and the new model serves
    assert message["state"] == LOST_LATER[action]
    assert action in message["cause"] or "Access Denied" in message["cause"]
    assert shop.configuration() != before
    assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))
    shop.tidy()


def test_without_the_topic_or_its_key_a_failure_is_still_one(shop: Shop) -> None:
    # Given a role that may do nothing, not even tell
    states = shop.client("stepfunctions")
    event = json.dumps({"detail": {"ModelPackageArn": shop.in_service()}})
    with (
        shop.without(shop.serving["DeploymentRoleName"], "sagemaker:*"),
        shop.without(shop.serving["DeploymentRoleName"], "sns:Publish", "silent"),
        hurried(shop.cloud),
    ):
        # When a package is deployed
        execution = states.start_execution(stateMachineArn=shop.serving["DeploymentArn"], input=event)["executionArn"]
        # Then the execution, which an alarm watches, ends with the first reason
        found = ended(shop.cloud, execution, SECONDS)
    assert found["status"] == "FAILED"
    assert "sagemaker:DescribeModelPackage" in found["cause"]


@pytest.mark.parametrize("action", ["s3:GetObject", "kms:Decrypt", "cloudwatch:DescribeAlarms"])
def test_without_a_permission_of_the_models_role_the_model_before_serves(shop: Shop, action: str) -> None:
    # Given a role of the model that lost a permission
    before = shop.configuration()
    with (
        shop.without(shop.serving["ModelRoleName"], action),
        shop.told(shop.serving["FailureTopicArn"]) as told,
        hurried(shop.cloud),
    ):
        # When a package is approved, Then its deployment fails and says why, and what served serves
        assert shop.deploy(shop.in_service()).status == "FAILED"
        (message,) = map(json.loads, told())
    assert message["state"] in ("Create model", "Update endpoint")
    assert "model data" in message["cause"] or "could not be read" in message["cause"]
    assert shop.configuration() == before
    assert shop.made() == (1, 1)


def test_without_the_right_to_log_the_endpoint_serves_in_silence(shop: Shop) -> None:
    # Given a role of the model that may not write the log
    def lines() -> int:
        group = f"/aws/sagemaker/Endpoints/{shop.serving['EndpointName']}"
        return len(shop.client("logs").filter_log_events(logGroupName=group)["events"])

    before = lines()
    with shop.without(shop.serving["ModelRoleName"], "logs:PutLogEvents"):
        # When a package is deployed, Then it serves, and its containers' lines are lost
        assert shop.deploy(shop.in_service()).complete
        assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))
        assert never(lambda: lines() > before, 1)
    # When the right is back, Then the next containers are heard
    assert shop.deploy(shop.in_service()).complete
    until(lambda: lines() > before, "new lines", seconds=SECONDS)


@pytest.mark.parametrize(
    "action",
    [
        "states:ListExecutions",
        "application-autoscaling:DeregisterScalableTarget",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DeleteEndpoint",
    ],
)
def test_without_a_permission_the_evening_fails_and_the_endpoint_serves(shop: Shop, action: str) -> None:
    # Given a function that lost a permission, When it is to stop the endpoint
    functions, function = shop.client("lambda"), shop.serving["RetireFunctionName"]
    role = functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    with shop.without(role, action):
        answer = functions.invoke(FunctionName=function, Payload=b'{"stop": true}')
    # Then it fails, which an alarm watches, and says what is missing
    assert "FunctionError" in answer
    assert action in answer["Payload"].read().decode()
    # And the endpoint serves
    assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))


def test_an_evening_that_cannot_be_told_is_kept(shop: Shop) -> None:
    # Given schedules that may not call the function any more
    role = shop.role_of_nights()
    with shop.without(role, "lambda:InvokeFunction"), nights(shop.cloud, SERVING):
        # When the evening comes, and a day of attempts is over
        until_hour(shop.cloud, 20)
        until(
            lambda: shop.dead_letters(shop.serving),
            "the dead letter",
            seconds=SECONDS,
            meanwhile=lambda: shop.cloud.control.clock_advance(60),
        )
    # Then the call is a dead letter, which an alarm watches, and the endpoint serves
    (letter,) = messages(shop.cloud, shop.serving["DeadLetterQueueUrl"])
    shop.client("sqs").delete_message(
        QueueUrl=shop.serving["DeadLetterQueueUrl"], ReceiptHandle=letter["ReceiptHandle"]
    )
    assert json.loads(letter["Body"]) == {"stop": True}
    assert realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9))
