"""Application Auto Scaling: endpoints that grow with their load and shrink without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.services.application_autoscaling import SERVICE_ROLE, ApplicationAutoScaling
from local.services.wire import ServiceError
from tests.local.emulated import client_as, decided, eventually, last_sequence, make_role, set_permissions, unique
from tests.local.hosted import Host
from tests.local.standin import FakeCaller, client_of

OF_SAGEMAKER = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
REQUESTS = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}


def tracking(target: float, **more: Any) -> dict[str, Any]:
    """A PutScalingPolicy without its resource: requests an instance and minute."""
    config = {"TargetValue": target, **(REQUESTS if "CustomizedMetricSpecification" not in more else {}), **more}
    return {
        **OF_SAGEMAKER,
        "PolicyName": "tracking",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": config,
    }


def refused(call: Any, **arguments: Any) -> str:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


# --- The rules, without a cloud --------------------------------------------------------------------------------------


@dataclass
class Sagemaker(FakeCaller):
    """A caller behind whom SageMaker and CloudWatch do what they are told; `count` is the variant's instances."""

    count: int = 2
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    broken: str = ""

    def service_role(self, _caller: Any) -> Sagemaker:
        return self

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, arguments))
        if operation == "UpdateEndpointWeightsAndCapacities":
            if self.broken:
                raise ServiceError("ValidationException", self.broken)
            self.count = arguments["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]
        if operation == "DescribeEndpoint":
            if arguments["EndpointName"] != "shop":
                raise ServiceError("ValidationException", 'Could not find endpoint "nothing".')
            variant = {"VariantName": "AllTraffic", "DesiredInstanceCount": self.count}
            return {"EndpointStatus": "InService", "ProductionVariants": [variant]}
        return {}


class Scaled:
    """The service in front of a fake SageMaker, with one registered variant."""

    def __init__(self, count: int = 2, least: int = 1, most: int = 10) -> None:
        self.sagemaker = Sagemaker(count=count)
        self.service = ApplicationAutoScaling()
        self.service.use(self.sagemaker)
        self.client, _ = client_of(self.service, self.sagemaker)
        self.resource = {"ResourceId": "endpoint/shop/variant/AllTraffic"}
        self.client.register_scalable_target(**OF_SAGEMAKER, **self.resource, MinCapacity=least, MaxCapacity=most)
        self.wait()

    def policy(self, target: float, name: str = "tracking", **more: Any) -> dict[str, str]:
        """Put a policy; returns its alarms' names by High and Low, and its `arn`."""
        made = self.client.put_scaling_policy(**{**tracking(target, **more), **self.resource, "PolicyName": name})
        names = {one["AlarmName"].split("-Alarm")[1].partition("-")[0]: one["AlarmName"] for one in made["Alarms"]}
        return {**names, "arn": made["PolicyARN"]}

    def alarmed(self, policy: Mapping[str, str], kind: str, value: float, minute: float) -> int:
        """Tell a policy of its alarm; returns the instances after that."""
        caller = self.sagemaker
        told = self.service.alarmed(
            caller.account, caller.region, policy["arn"], policy[kind], value, 1_800_000_000 + 60 * minute
        )
        assert told is None
        self.wait()
        return caller.count

    def wait(self) -> None:
        """Until what was begun has been done: one thing is done after the other."""
        done = threading.Event()
        self.service._hands.submit(done.set)
        assert done.wait(10)

    def activities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.describe_scaling_activities(ServiceNamespace="sagemaker")[
            "ScalingActivities"
        ]
        return found


def test_a_policy_keeps_a_pair_of_alarms() -> None:
    # Given a scalable target, When a policy of 70 requests an instance and minute is put
    scaled = Scaled()
    policy = scaled.policy(70)

    # Then two alarms on the variant's metric tell it: above for three minutes, and below 90 % for fifteen
    puts = {one["AlarmName"]: one for operation, one in scaled.sagemaker.asked if operation == "PutMetricAlarm"}
    high, low = puts[policy["High"]], puts[policy["Low"]]
    assert (high["Threshold"], high["ComparisonOperator"], high["EvaluationPeriods"]) == (70, "GreaterThanThreshold", 3)
    assert (low["Threshold"], low["ComparisonOperator"], low["EvaluationPeriods"]) == (63, "LessThanThreshold", 15)
    for alarm in (high, low):
        assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("InvocationsPerInstance", "Sum", 60)
        assert alarm["AlarmActions"] == [policy["arn"]]
        assert alarm["AlarmName"].startswith("TargetTracking-endpoint/shop/variant/AllTraffic-Alarm")


def test_the_number_of_instances_follows_the_metric_within_its_bounds() -> None:
    # Given two instances with a target of 50, five at most
    scaled = Scaled(count=2, most=5)
    policy = scaled.policy(50, ScaleOutCooldown=0, ScaleInCooldown=0)

    # When the metric is 90, then 200, then 10
    counts = [scaled.alarmed(policy, *told) for told in (("High", 90, 0), ("High", 200, 1), ("Low", 10, 2))]

    # Then there are as many as bring it to the target, rounded up, and never more than the most
    assert counts == [4, 5, 1]
    assert [one["Description"] for one in scaled.activities()] == [
        "Setting desired instance count to 1.",
        "Setting desired instance count to 5.",
        "Setting desired instance count to 4.",
    ]
    assert {one["StatusCode"] for one in scaled.activities()} == {"Successful"}
    assert policy["Low"] in scaled.activities()[0]["Cause"]


def test_moments_that_come_at_once_are_answered_by_one_count_unless_it_changed() -> None:
    # Given three instances whose load is gone, and a service that is busy while an hour's moments come in
    scaled = Scaled(count=3)
    policy = scaled.policy(50, ScaleInCooldown=0)
    caller, free = scaled.sagemaker, threading.Event()
    scaled.service._hands.submit(free.wait)
    caller.asked.clear()
    for minute in range(60):
        moment = 1_800_000_000 + 60 * minute
        scaled.service.alarmed(caller.account, caller.region, policy["arn"], policy["Low"], 0.0, moment)
    # When it comes to them
    free.set()
    scaled.wait()
    # Then the instances were counted for the first, and anew after the change that it made, which was the only one
    operations = [operation for operation, _ in caller.asked]
    assert caller.count == 1
    assert operations.count("UpdateEndpointWeightsAndCapacities") == 1
    # One of these three saw the change through.
    assert operations.count("DescribeEndpoint") == 3
    # And what others change later is seen
    caller.count = 4
    assert scaled.alarmed(policy, "Low", 0.0, 61) == 1


def test_cool_downs_hold_further_steps_back() -> None:
    # Given the default cool-downs of 300 seconds
    scaled = Scaled(count=2)
    policy = scaled.policy(50)

    # When the load goes up, and on, within the cool-down
    assert scaled.alarmed(policy, "High", 100, 0) == 4

    # Then the same load does nothing more, for what was added counts; a higher one does
    assert scaled.alarmed(policy, "High", 100, 1) == 4
    assert scaled.alarmed(policy, "High", 150, 2) == 6
    # And when it goes down there is one step in five minutes
    assert scaled.alarmed(policy, "Low", 25, 10) == 3
    assert scaled.alarmed(policy, "Low", 25, 14) == 3
    assert scaled.alarmed(policy, "Low", 25, 15) == 2


def test_scale_in_can_be_off_or_suspended() -> None:
    # Given a policy without scale-in, and one of another target that is suspended
    only_out = Scaled(count=4)
    policy = only_out.policy(50, DisableScaleIn=True)
    assert "Low" not in policy
    suspended = Scaled(count=4)
    other = suspended.policy(50)
    suspended.client.register_scalable_target(
        **OF_SAGEMAKER, **suspended.resource, SuspendedState={"DynamicScalingInSuspended": True}
    )

    # When the load of the latter goes down and up, then it only grows
    assert suspended.alarmed(other, "Low", 1, 0) == 4
    assert suspended.alarmed(other, "High", 100, 1) == 8


def test_all_policies_must_agree_to_scale_in() -> None:
    # Given two policies of one target
    scaled = Scaled(count=6)
    one, other = scaled.policy(50, "one", ScaleInCooldown=0), scaled.policy(50, "other", ScaleInCooldown=0)

    # When only one of them sees little, then nothing happens
    assert scaled.alarmed(one, "Low", 10, 0) == 6

    # And when both do in the same minute, the larger number counts
    assert scaled.alarmed(one, "Low", 10, 1) == 6
    assert scaled.alarmed(other, "Low", 25, 1) == 3


def test_a_change_that_sagemaker_refuses_is_a_failed_activity() -> None:
    # Given an endpoint that is being updated
    scaled = Scaled(count=1)
    policy = scaled.policy(50)
    scaled.sagemaker.broken = "Cannot update in-progress endpoint"

    # When it should scale, then the activity tells why it did not
    assert scaled.alarmed(policy, "High", 100, 0) == 1
    activity = scaled.activities()[0]
    assert activity["StatusCode"] == "Failed"
    assert activity["StatusMessage"] == (
        "Failed to set desired instance count to 2. Reason: Cannot update in-progress endpoint"
    )
    # And the next minute tries again, without a cool-down
    scaled.sagemaker.broken = ""
    assert scaled.alarmed(policy, "High", 100, 1) == 2


def test_registering_brings_the_capacity_within_its_bounds() -> None:
    # Given a variant of one instance, When it is registered with two at least, Then there are two
    assert Scaled(count=1, least=2).sagemaker.count == 2


def test_what_is_not_there_is_said_so() -> None:
    # Given one registered variant
    scaled = Scaled()
    scaled.policy(50)
    elsewhere = {**OF_SAGEMAKER, "ResourceId": "endpoint/shop/variant/Other"}
    nowhere = {**OF_SAGEMAKER, "ResourceId": "endpoint/nothing/variant/AllTraffic"}

    # When others are asked for, then each answer is that of the service
    register = refused(scaled.client.register_scalable_target, **nowhere, MinCapacity=1, MaxCapacity=2)
    assert register.startswith("ValidationException: SageMaker endpoint nothing does not exist")
    put = refused(scaled.client.put_scaling_policy, **{**tracking(50), **elsewhere})
    assert put.startswith("ObjectNotFoundException: No scalable target registered")
    assert "ObjectNotFoundException" in refused(scaled.client.deregister_scalable_target, **elsewhere)
    delete = refused(scaled.client.delete_scaling_policy, **OF_SAGEMAKER, **scaled.resource, PolicyName="other")
    assert delete.startswith("ObjectNotFoundException: No scaling policy found")


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({**tracking(50), "PolicyType": "StepScaling"}, "StepScaling"),
        ({**tracking(50), "ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}, "ecs"),
        (tracking(50, CustomizedMetricSpecification={"Metrics": []}), "metric math"),
    ],
)
def test_what_is_not_served_is_refused_by_name(request_: dict[str, Any], named: str) -> None:
    # Given a policy that AWS would take, When it is put, Then the answer names what is not served
    scaled = Scaled()
    answer = refused(scaled.client.put_scaling_policy, **{**request_, **scaled.resource})
    assert answer.startswith("NotImplemented")
    assert named in answer


# --- On a cloud ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(cloud: LocalCloud) -> Host:
    """Makes what tests of this file need."""
    return Host.make(cloud)


@pytest.fixture
def scaling(cloud: LocalCloud) -> Any:
    return cloud.client("application-autoscaling")


@pytest.fixture
def variant(host: Host, scaling: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """An endpoint whose one variant is registered from one instance to three, and its resource."""
    with host.endpoint(host.simple("a")) as name:
        resource = {"ResourceId": f"endpoint/{name}/variant/AllTraffic"}
        scaling.register_scalable_target(**OF_SAGEMAKER, **resource, MinCapacity=1, MaxCapacity=3)
        yield name, resource
        scaling.deregister_scalable_target(**OF_SAGEMAKER, **resource)


def instances(host: Host, name: str) -> int:
    return len({host.ask(name, "pid") for _ in range(30)})


def test_load_makes_instances_and_its_end_takes_them_away(
    cloud: LocalCloud, host: Host, scaling: Any, variant: tuple[str, dict[str, str]]
) -> None:
    # Given an endpoint with ten requests an instance and minute as target
    name, resource = variant
    scaling.put_scaling_policy(**{**tracking(10), **resource})
    assert instances(host, name) == 1

    # When it gets thirty in each of three minutes
    cloud.control.clock_advance(60)
    for _ in range(3):
        for _ in range(30):
            host.ask(name)
        cloud.control.clock_advance(60)
    cloud.control.evaluate_alarms()

    # Then three processes serve, and the activity says why
    def count() -> int:
        found: int = host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"]
        return found

    assert eventually(lambda: count() == 3, 20)
    host.settled(name)
    assert instances(host, name) == 3
    activity = scaling.describe_scaling_activities(ServiceNamespace="sagemaker", **resource)["ScalingActivities"][0]
    assert activity["Description"] == "Setting desired instance count to 3."
    assert "-AlarmHigh-" in activity["Cause"]

    # And when nobody asks for twenty minutes, one is left
    cloud.control.clock_advance(20 * 60)
    cloud.control.evaluate_alarms()
    assert eventually(lambda: count() == 1, 20)
    host.settled(name)
    assert instances(host, name) == 1


def test_a_busy_processor_makes_instances(
    cloud: LocalCloud, host: Host, scaling: Any, variant: tuple[str, dict[str, str]]
) -> None:
    # Given an endpoint that is to use no more than 5 % of a core
    name, resource = variant
    metric = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}],
        "Statistic": "Average",
    }
    policy = tracking(5, CustomizedMetricSpecification=metric, DisableScaleIn=True)
    scaling.put_scaling_policy(**{**policy, **resource})

    # When it is busy in each of three minutes
    cloud.control.clock_advance(60)
    for _ in range(3):
        host.ask(name, "busy")
        cloud.control.clock_advance(60)
    cloud.control.evaluate_alarms()

    # Then it gets as many instances as are allowed
    assert eventually(lambda: host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 3, 20)
    host.settled(name)


def test_alarms_go_with_their_policy(cloud: LocalCloud, scaling: Any, variant: tuple[str, dict[str, str]]) -> None:
    # Given a policy with its alarms
    _, resource = variant
    made = scaling.put_scaling_policy(**{**tracking(70), **resource})
    names = [one["AlarmName"] for one in made["Alarms"]]
    cloudwatch = cloud.client("cloudwatch")
    assert len(cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]) == 2

    # When the target is deregistered, then policy and alarms are gone
    scaling.deregister_scalable_target(**OF_SAGEMAKER, **resource)
    assert cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker", **resource)["ScalingPolicies"] == []
    scaling.register_scalable_target(**OF_SAGEMAKER, **resource, MinCapacity=1, MaxCapacity=2)


def test_a_scaled_variant_must_be_deregistered_before_its_type_changes(
    host: Host, variant: tuple[str, dict[str, str]]
) -> None:
    # Given a registered variant, and a configuration with another instance type
    name, _ = variant
    config = host.config(host.variant(host.model("b"), InstanceType="ml.m5.xlarge"))

    # When the endpoint is updated to it, then that is refused
    answer = refused(host.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)
    assert "must be deregistered as scalable targets" in answer


def test_scaling_is_set_up_with_permissions_and_done_by_the_service_linked_role(cloud: LocalCloud, host: Host) -> None:
    # Given an account without the service-linked role, and an endpoint
    iam = cloud.client("iam")
    if any(role["RoleName"] == SERVICE_ROLE for role in iam.list_roles()["Roles"]):
        iam.delete_role_policy(RoleName=SERVICE_ROLE, PolicyName="AWSApplicationAutoscalingSageMakerEndpointPolicy")
        iam.delete_role(RoleName=SERVICE_ROLE)
    service = "sagemaker.application-autoscaling.amazonaws.com"
    linked = f"arn:aws:iam::*:role/aws-service-role/{service}/{SERVICE_ROLE}"
    with host.endpoint(host.simple("a")) as name:
        resource = {"ResourceId": f"endpoint/{name}/variant/AllTraffic"}
        request = {**OF_SAGEMAKER, **resource, "MinCapacity": 2, "MaxCapacity": 3}
        look = {"Action": "sagemaker:DescribeEndpoint", "Resource": host.describe(name)["EndpointArn"]}
        register = {
            "Action": ["application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy"],
            "Resource": "arn:aws:application-autoscaling:*:*:scalable-target/*",
            "Condition": {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
        }
        make = {
            "Action": "iam:CreateServiceLinkedRole",
            "Resource": linked,
            "Condition": {"StringLike": {"iam:AWSServiceName": service}},
        }

        # When somebody registers it who may not make that role, or not look at the endpoint, then it is refused
        lacking = client_as(cloud, make_role(cloud, register, look), "application-autoscaling")
        assert "iam:CreateServiceLinkedRole" in refused(lacking.register_scalable_target, **request)
        blind = client_as(cloud, make_role(cloud, register, make), "application-autoscaling")
        assert "sagemaker:DescribeEndpoint" in refused(blind.register_scalable_target, **request)

        # And so it is for who may not change the endpoint's capacity by hand
        idle = client_as(cloud, make_role(cloud, register, look, make), "application-autoscaling")
        assert "sagemaker:UpdateEndpointWeightsAndCapacities" in refused(idle.register_scalable_target, **request)

        # And when somebody does who may, the role brings the endpoint within its bounds
        change = {**look, "Action": "sagemaker:UpdateEndpointWeightsAndCapacities"}
        role = make_role(cloud, register, look, make, change)
        since = last_sequence(cloud)
        able = client_as(cloud, role, "application-autoscaling")
        able.register_scalable_target(**request)
        assert eventually(lambda: host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2, 20)
        done = decided(cloud, "sagemaker:UpdateEndpointWeightsAndCapacities", "arn:aws:sagemaker", since)
        assert [(one["role"], one["allowed"]) for one in done] == [
            (role.rpartition("/")[2], True),
            (SERVICE_ROLE, True),
        ]

        # And whoever puts a policy needs CloudWatch's alarms, to write and to read them
        policy = {**tracking(70), **resource}
        assert "cloudwatch:PutMetricAlarm" in refused(able.put_scaling_policy, **policy)
        alarms = {"Action": "cloudwatch:PutMetricAlarm", "Resource": "*"}
        set_permissions(cloud, role, register, look, make, change, alarms)
        assert "cloudwatch:DescribeAlarms" in refused(able.put_scaling_policy, **policy)
        host.settled(name)
        cloud.client("application-autoscaling").deregister_scalable_target(**OF_SAGEMAKER, **resource)


def test_an_unknown_endpoint_cannot_be_registered(scaling: Any) -> None:
    # Given no endpoint, When it is registered, Then the answer says so
    resource = {"ResourceId": f"endpoint/{unique('endpoint')}/variant/AllTraffic"}
    answer = refused(scaling.register_scalable_target, **OF_SAGEMAKER, **resource, MinCapacity=1, MaxCapacity=2)
    assert answer.startswith("ValidationException")
