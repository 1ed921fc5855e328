"""Models, configurations and endpoints of the local SageMaker: how they come, change and go."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import client_as, decided, eventually, make_role, unique
from tests.local.hosted import SCRIPT, Crowd, Host
from tests.local.sagemaking import XGBOOST, events_of, job_role, of_bucket

READ_ALARMS = {"Action": "cloudwatch:DescribeAlarms", "Resource": "arn:aws:cloudwatch:*:*:alarm:*"}
CANARY = {
    "TrafficRoutingConfiguration": {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 300,
    },
    "TerminationWaitInSeconds": 120,
}
AT_ONCE = {
    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
    "TerminationWaitInSeconds": 120,
}
# So many come during an update, or one that is rolled back, and none may fail.
REQUESTS = 500


@pytest.fixture(scope="module")
def host(cloud: LocalCloud) -> Host:
    """Makes what tests of this file need."""
    return Host.make(cloud, READ_ALARMS)


@pytest.fixture
def alarm(cloud: LocalCloud) -> Iterator[str]:
    """An alarm of a metric with its own name, OK so far."""
    name = unique("alarm")
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="Test",
        MetricName=name,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    yield name
    cloudwatch.delete_alarms(AlarmNames=[name])


def refused(call: Any, **arguments: Any) -> str:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def statuses(events: list[dict[str, Any]], endpoint: str) -> list[str]:
    return [one["detail"]["EndpointStatus"] for one in events if one["detail"]["EndpointName"] == endpoint]


# --- Models and configurations ---------------------------------------------------------------------------------------


def test_a_model_is_described_listed_tagged_and_deleted(host: Host) -> None:
    # Given a model with a tag
    name = host.model(Tags=[{"Key": "team", "Value": "shop"}])

    # When it is asked for, then it is there as it was made
    found = host.sagemaker.describe_model(ModelName=name)
    assert found["PrimaryContainer"]["Image"] == XGBOOST
    assert found["ModelArn"].endswith(f":model/{name}")
    assert [one["ModelName"] for one in host.sagemaker.list_models(NameContains=name)["Models"]] == [name]
    assert host.sagemaker.list_tags(ResourceArn=found["ModelArn"])["Tags"] == [{"Key": "team", "Value": "shop"}]

    # And when it is deleted, it is gone
    host.sagemaker.delete_model(ModelName=name)
    assert "Could not find model" in refused(host.sagemaker.describe_model, ModelName=name)


def test_a_name_is_used_once(host: Host) -> None:
    # Given a model and a configuration, When their names are used again, Then that is refused
    model = host.model()
    config = host.config(host.variant(model))
    assert "Cannot create already existing model" in refused(host.model, ModelName=model)
    answer = refused(
        host.sagemaker.create_endpoint_config,
        EndpointConfigName=config,
        ProductionVariants=[host.variant(model)],
    )
    assert "already existing endpoint configuration" in answer


def test_an_image_that_nobody_plays_is_refused(host: Host) -> None:
    # Given an image of somebody's own, When a model is made of it, Then the answer says that it cannot be played
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"}
    answer = refused(host.model, PrimaryContainer=container)
    assert answer.startswith("ValidationException: This local cloud runs no containers")


def test_a_model_needs_an_artefact_that_its_role_can_read(cloud: LocalCloud, host: Host) -> None:
    # Given a role without a right to the bucket, and an object that is not there
    stranger = job_role(cloud)
    missing = {"Image": XGBOOST, "ModelDataUrl": f"s3://{host.bucket}/nothing.tar.gz"}

    # When models are made of them, then both are refused
    assert "Could not access model data" in refused(host.model, ExecutionRoleArn=stranger)
    assert "Could not access model data" in refused(host.model, PrimaryContainer=missing)


def test_whoever_makes_a_model_hands_its_role_over(cloud: LocalCloud, host: Host) -> None:
    # Given two roles that may create models, one of which may pass the execution role to SageMaker
    create = {"Action": "sagemaker:CreateModel", "Resource": "arn:aws:sagemaker:*:*:model/*"}
    hand_over = {
        "Action": "iam:PassRole",
        "Resource": host.role,
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{host.bucket}/model.tar.gz"}
    request = {"ExecutionRoleArn": host.role, "PrimaryContainer": container}

    # When both try, then only that one succeeds
    able = client_as(cloud, make_role(cloud, create, hand_over), "sagemaker")
    able.create_model(ModelName=unique("model"), **request)
    unable = client_as(cloud, make_role(cloud, create), "sagemaker")
    assert "iam:PassRole" in refused(unable.create_model, ModelName=unique("model"), **request)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://a/b"}}}, "AsyncInferenceConfig"),
        ({"ShadowProductionVariants": [Host.variant("any")]}, "ShadowProductionVariants"),
        ({"ProductionVariants": [Host.variant("any", ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 1})]},
         "ServerlessConfig"),
        ({"ProductionVariants": [Host.variant("any", RoutingConfig={"RoutingStrategy": "PREFIX_AWARE"})]},
         "PREFIX_AWARE"),
    ],
)  # fmt: skip
def test_what_is_not_served_of_a_configuration_is_refused_by_name(
    host: Host, more: Mapping[str, Any], named: str
) -> None:
    # Given a request for something that AWS has, When it is made, Then the answer names it and says so
    request = {"EndpointConfigName": unique("config"), "ProductionVariants": [host.variant("any")], **more}
    answer = refused(host.sagemaker.create_endpoint_config, **request)
    assert answer.startswith("NotImplemented: This local cloud does not serve")
    assert named in answer


def test_a_variant_needs_a_model_that_is_there(host: Host) -> None:
    # Given no model, When a configuration names one, Then it is refused
    request = {"EndpointConfigName": unique("config"), "ProductionVariants": [host.variant("nothing-there")]}
    assert "Could not find model" in refused(host.sagemaker.create_endpoint_config, **request)


def test_only_an_approved_package_is_deployed(host: Host) -> None:
    # Given a version of a model that waits for approval
    group = unique("group")
    host.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{host.bucket}/model.tar.gz"}
    package = host.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={"Containers": [container], "SupportedContentTypes": ["text/csv"]},
    )["ModelPackageArn"]

    # When a model is made of it, then that is refused until it is approved
    of_package = {"ModelPackageName": package, "Environment": {"ANSWER": "approved"}}
    assert "only an approved one" in refused(host.model, PrimaryContainer=of_package)
    host.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    with host.endpoint(host.config(host.variant(host.model(PrimaryContainer=of_package)))) as name:
        assert host.ask(name) == "approved"


def test_a_model_of_a_package_has_its_variables(host: Host) -> None:
    # Given an approved package whose container has a variable, and a model made of nothing else
    container = {
        "Image": XGBOOST,
        "ModelDataUrl": f"s3://{host.bucket}/model.tar.gz",
        "Environment": {"ANSWER": "packed"},
    }
    group = unique("group")
    host.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = host.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={"Containers": [container], "SupportedContentTypes": ["text/csv"]},
    )["ModelPackageArn"]
    # When it serves, Then its container has the package's variable
    with host.endpoint(host.config(host.variant(host.model(PrimaryContainer={"ModelPackageName": package})))) as name:
        assert host.ask(name) == "packed"


# --- Creating --------------------------------------------------------------------------------------------------------


def test_an_endpoint_comes_into_service_and_goes_with_its_processes(cloud: LocalCloud, host: Host) -> None:
    # Given somebody who listens to events
    with events_of(cloud, "SageMaker Endpoint State Change") as told:
        # When an endpoint of two instances is made
        name = host.create(host.simple("a", count=2))
        found = host.describe(name)

        # Then it is in service with two processes that answer
        assert found["EndpointStatus"] == "InService"
        assert found["EndpointArn"].endswith(f":endpoint/{name}")
        variant = found["ProductionVariants"][0]
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
        assert host.ask(name, "1,2") == "a1,2"
        pids = {int(host.ask(name, "pid")) for _ in range(40)}
        assert len(pids) == 2

        # And when it is deleted, it and they are gone
        host.delete(name)
        assert "Could not find endpoint" in refused(host.sagemaker.describe_endpoint, EndpointName=name)
        assert "not found" in refused(host.runtime.invoke_endpoint, EndpointName=name, Body=b"")
        assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))

        # And events told of each state
        heard: list[str] = []

        def all_heard() -> bool:
            heard.extend(statuses(told(), name))
            return "DELETING" in heard

        assert eventually(all_heard)
        assert [state for state, before in zip(heard, ["", *heard], strict=False) if state != before] == [
            "CREATING",
            "IN_SERVICE",
            "DELETING",
        ]


def test_an_endpoint_whose_container_never_gets_well_fails_and_says_so(cloud: LocalCloud) -> None:
    # Given a script that cannot load its model
    loads = 'return os.environ.get("ANSWER", "")'
    broken = Host.make(cloud, script=SCRIPT.replace(loads, "raise OSError('the model is broken')"))

    # When an endpoint is made of it
    with broken.endpoint(broken.simple("")) as name:
        found = broken.describe(name)

        # Then it has failed, its reason points to the log, and the log says what was wrong
        assert found["EndpointStatus"] == "Failed"
        assert found["FailureReason"] == (
            "The primary container for production variant AllTraffic did not pass the ping health check. Please check"
            " CloudWatch logs for this endpoint."
        )
        assert eventually(lambda: "the model is broken" in broken.log(name))
        # And nothing but deleting is possible
        update = refused(
            broken.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=found["EndpointConfigName"]
        )
        assert "can only be deleted" in update


def test_an_artefact_that_cannot_be_read_any_more_keeps_an_endpoint_from_starting(cloud: LocalCloud) -> None:
    # Given a model whose artefact is gone since it was made
    host = Host.make(cloud)
    config = host.simple("")
    cloud.client("s3").delete_object(Bucket=host.bucket, Key="model.tar.gz")

    # When an endpoint is made of it, then it fails for that reason
    with host.endpoint(config) as name:
        assert host.describe(name)["FailureReason"].startswith("Failed to download model data")


def test_a_script_without_all_functions_is_refused(cloud: LocalCloud) -> None:
    # Given a script that leaves the reading of requests to the container
    host = Host.make(cloud, script="def model_fn(folder):\n    return 1\n")

    # When an endpoint is made of it, then it fails, and the log says what this container lacks
    with host.endpoint(host.simple("")) as name:
        assert host.describe(name)["EndpointStatus"] == "Failed"
        assert eventually(lambda: "The script has no input_fn" in host.log(name))


def test_an_isolated_container_serves_without_credentials(host: Host) -> None:
    # Given a model with and one without network isolation, When both are asked, Then only one has the role's session
    open_one, closed = host.model(), host.model(EnableNetworkIsolation=True)
    variants = [host.variant(open_one, VariantName="open"), host.variant(closed, VariantName="closed")]
    with host.endpoint(host.config(*variants)) as name:
        assert "AWS_SESSION_TOKEN" in host.ask(name, "keys", TargetVariant="open")
        assert "AWS_SESSION_TOKEN" not in host.ask(name, "keys", TargetVariant="closed")


def test_a_fault_can_make_an_endpoint_fail(cloud: LocalCloud, host: Host) -> None:
    # Given a fault, When an endpoint is made, Then it fails as if SageMaker had had no luck
    cloud.control.faults_add(service="sagemaker", operation="CreateEndpoint", kind="fail-job", times=1)
    with host.endpoint(host.simple("")) as name:
        assert "a fault that was asked for" in host.describe(name)["FailureReason"]


# --- Updates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "waits"),
    [(CANARY, ("WaitIntervalInSeconds", "TerminationWaitInSeconds")), (AT_ONCE, ("TerminationWaitInSeconds",))],
    ids=["canary", "at once"],
)
def test_no_request_fails_while_an_endpoint_is_updated(
    cloud: LocalCloud, host: Host, policy: dict[str, Any], waits: tuple[str, ...]
) -> None:
    # Given an endpoint of two instances that is asked all the time
    with host.endpoint(host.simple("old", count=2)) as name, Crowd(host, name) as crowd:
        before = {int(host.ask(name, "pid")) for _ in range(40)}

        # When it is updated to another model, and five hundred requests come before the update has ended
        new = host.simple("new", count=2)
        asked_before = crowd.asked
        host.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=new, DeploymentConfig={"BlueGreenUpdatePolicy": policy}
        )
        for wait in waits:
            assert eventually(functools.partial(_bakes_for, host, name, wait), 20)
            crowd.until(asked_before + REQUESTS)
            assert host.describe(name)["EndpointStatus"] == "Updating"
            cloud.control.clock_advance(301)
        found = host.settled(name)
        crowd.until(crowd.asked + 20)

    # Then no request failed, both models answered, and the old processes are gone
    assert crowd.failures == []
    assert crowd.answers["old"] >= 1
    assert crowd.answers["new"] >= 50
    assert (found["EndpointConfigName"], found.get("FailureReason")) == (new, None)
    assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in before))


def test_a_canary_takes_its_share_then_all(cloud: LocalCloud, host: Host) -> None:
    # Given an endpoint of two instances
    with (
        host.endpoint(host.simple("old", count=2)) as name,
        events_of(cloud, "SageMaker Endpoint Deployment State Change") as told,
    ):
        # When it is updated with a canary of half the capacity
        new = host.simple("new", count=2)
        deployment = {"BlueGreenUpdatePolicy": CANARY}
        host.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
        status = eventually(lambda: _baking(host, name), 20)

        # Then about half of the requests go to the new model, from one process
        assert status["StatusMessage"] == (
            "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
        )
        answers = [host.ask(name) for _ in range(100)]
        assert 25 <= answers.count("new") <= 75
        assert host.describe(name)["EndpointStatus"] == "Updating"
        assert "in-progress" in refused(host.sagemaker.delete_endpoint, EndpointName=name)

        # And when the baking time is over, all of them do; when the last wait is over, the update has ended
        cloud.control.clock_advance(301)
        assert eventually(lambda: "TerminationWaitInSeconds" in _baking(host, name)["StatusMessage"])
        assert {host.ask(name) for _ in range(20)} == {"new"}
        cloud.control.clock_advance(121)
        found = host.settled(name)
        assert (found["EndpointConfigName"], "PendingDeploymentSummary" in found) == (new, False)
        assert found["LastDeploymentConfig"] == deployment

        # And each stage was told
        stages: list[str] = []

        def ended() -> bool:
            for event in told():
                detail = event["detail"]
                pending = detail.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
                stages.extend(one["VariantStatus"][0]["Status"] for one in pending if "VariantStatus" in one)
            return stages.count("Baking") == 2

        assert eventually(ended)
        assert stages == ["Creating", "ActivatingTraffic", "Baking", "ActivatingTraffic", "Baking"]


def _baking(host: Host, endpoint: str) -> dict[str, Any]:
    """The VariantStatus of an update whose alarms are being watched; empty else."""
    pending = host.describe(endpoint).get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])
    status: dict[str, Any] = next(iter(pending[0].get("VariantStatus", ())), {})
    return status if status.get("Status") == "Baking" else {}


def _bakes_for(host: Host, endpoint: str, wait: str) -> bool:
    return f"({wait})" in _baking(host, endpoint).get("StatusMessage", "")


def test_an_alarm_rolls_an_update_back_without_a_failed_request(cloud: LocalCloud, host: Host, alarm: str) -> None:
    # Given an update that bakes, watched by an alarm, while the endpoint is asked all the time
    old = host.simple("old", count=2)
    with (
        host.endpoint(old) as name,
        Crowd(host, name) as crowd,
        events_of(cloud, "SageMaker Endpoint State Change") as told,
    ):
        new = host.simple("new", count=2)
        asked_before = crowd.asked
        host.sagemaker.update_endpoint(
            EndpointName=name,
            EndpointConfigName=new,
            DeploymentConfig={
                "BlueGreenUpdatePolicy": CANARY,
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
            },
        )
        assert eventually(lambda: _baking(host, name), 20)
        crowd.until(asked_before + REQUESTS)
        assert crowd.answers["new"] > 50
        assert host.describe(name)["EndpointStatus"] == "Updating"

        # When the alarm is raised in the middle of it, though the clock jumps beyond the baking time
        cloud.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=[{"MetricName": alarm, "Value": 1}])
        cloud.control.clock_advance(600)
        found = host.settled(name)
        crowd.until(crowd.asked + 20)

        # Then the old model serves again, the reason is told, and no request failed
        assert found["EndpointConfigName"] == old
        assert found["FailureReason"] == f"The alarm {alarm} of the auto-rollback configuration is in ALARM."
        assert {host.ask(name) for _ in range(20)} == {"old"}
        heard: list[str] = []

        def back_again() -> bool:
            heard.extend(statuses(told(), name))
            return "ROLLING_BACK" in heard and heard[-1] == "IN_SERVICE"

        assert eventually(back_again)
    assert crowd.failures == []


def test_an_update_is_rolled_back_when_its_alarm_cannot_be_read(cloud: LocalCloud, alarm: str) -> None:
    # Given an endpoint whose execution role may not read alarms
    host = Host.make(cloud)
    with host.endpoint(host.simple("old")) as name:
        # When it is updated with an alarm to watch
        host.sagemaker.update_endpoint(
            EndpointName=name,
            EndpointConfigName=host.simple("new"),
            DeploymentConfig={
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
                },
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
            },
        )

        # Then the old model serves on, and the reason names the right
        found = host.settled(name)
        assert "cloudwatch:DescribeAlarms" in found["FailureReason"]
        assert host.ask(name) == "old"


def test_an_update_to_a_broken_model_leaves_the_old_one_in_service(cloud: LocalCloud, host: Host) -> None:
    # Given an endpoint, and a model that does not load
    cloud.client("s3").put_object(Bucket=host.bucket, Key="empty.tar.gz", Body=b"no archive")
    broken = host.model(PrimaryContainer={"Image": XGBOOST, "ModelDataUrl": f"s3://{host.bucket}/empty.tar.gz"})
    old = host.simple("old")
    with host.endpoint(old) as name, Crowd(host, name) as crowd:
        # When it is updated to that
        host.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=host.config(host.variant(broken)))
        found = host.settled(name)

        # Then the old configuration serves on and the reason is told
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", old)
        assert found["FailureReason"].startswith("Failed to extract model data archive")
    assert crowd.failures == []
    assert set(crowd.answers) == {"old"}


def test_properties_of_variants_are_kept_on_request(host: Host) -> None:
    # Given an endpoint whose instances and weight were changed
    with host.endpoint(host.simple("old")) as name:
        wanted = {"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 0.5}
        host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[wanted])
        host.settled(name)

        # When it is updated with all of that retained but the weight
        host.sagemaker.update_endpoint(
            EndpointName=name,
            EndpointConfigName=host.simple("new"),
            RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
        )

        # Then there are two instances as before, and the new configuration's weight
        variant = host.settled(name)["ProductionVariants"][0]
        assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (2, 1.0)


# --- Weights, capacities, instances that die -------------------------------------------------------------------------


def test_traffic_follows_weights_and_a_variant_can_be_asked_by_name(host: Host) -> None:
    # Given two variants, one of which has all the weight
    variants = [
        host.variant(host.model("a"), VariantName="a", InitialVariantWeight=1),
        host.variant(host.model("b"), VariantName="b", InitialVariantWeight=0),
    ]
    with host.endpoint(host.config(*variants)) as name:
        # When they are asked, then it gets all that names none
        assert {host.ask(name) for _ in range(20)} == {"a"}
        assert host.ask(name, TargetVariant="b") == "b"
        assert "not found" in refused(host.runtime.invoke_endpoint, EndpointName=name, Body=b"", TargetVariant="c")

        # And when the weights are three to one, the other gets about a quarter
        host.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "a", "DesiredWeight": 3},
                {"VariantName": "b", "DesiredWeight": 1},
            ],
        )
        host.settled(name)
        answers = [host.ask(name) for _ in range(200)]
        assert 25 <= answers.count("b") <= 80


def test_capacity_changes_without_a_failed_request(host: Host) -> None:
    # Given an endpoint that is asked all the time
    with host.endpoint(host.simple("a")) as name, Crowd(host, name) as crowd:
        for count in (3, 1):
            # When its instances become more and fewer
            host.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=name,
                DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
            )
            found = host.settled(name)

            # Then there are that many, and no request failed
            assert found["ProductionVariants"][0]["CurrentInstanceCount"] == count
    assert crowd.failures == []


def test_a_killed_instance_is_replaced_without_a_failed_request(host: Host) -> None:
    # Given an endpoint of two instances that is asked all the time
    with host.endpoint(host.simple("a", count=2)) as name, Crowd(host, name) as crowd:
        crowd.until(50)

        # When one of them is killed
        victim = int(host.ask(name, "pid"))
        os.kill(victim, signal.SIGKILL)

        # Then another takes its place, and no request failed
        eventually(lambda: victim not in {int(host.ask(name, "pid")) for _ in range(20)}, 20)
        eventually(lambda: len({host.ask(name, "pid") for _ in range(20)}) == 2, 20)
        assert host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert crowd.failures == []


def test_one_change_at_a_time(host: Host) -> None:
    # Given an endpoint that is being changed
    with host.endpoint(host.simple("a")) as name:
        change = {
            "EndpointName": name,
            "DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
        }
        host.sagemaker.update_endpoint_weights_and_capacities(**change)

        # When another change comes, then it is refused
        answer = refused(host.sagemaker.update_endpoint_weights_and_capacities, **change)
        assert "Cannot update in-progress endpoint" in answer


# --- Permissions -----------------------------------------------------------------------------------------------------


def test_an_update_needs_the_action_on_endpoint_and_configuration(cloud: LocalCloud, host: Host) -> None:
    # Given roles that may update an endpoint, of which one may do so with its new configuration
    with host.endpoint(host.simple("old")) as name:
        config = host.simple("new")
        arn = host.describe(name)["EndpointArn"]
        its_config = host.sagemaker.describe_endpoint_config(EndpointConfigName=config)["EndpointConfigArn"]
        request = {"EndpointName": name, "EndpointConfigName": config}

        # When both try, then only that one does
        half = client_as(cloud, make_role(cloud, {"Action": "sagemaker:UpdateEndpoint", "Resource": arn}), "sagemaker")
        assert refused(half.update_endpoint, **request).startswith("AccessDenied")
        (asked,) = decided(cloud, "sagemaker:UpdateEndpoint", its_config)
        assert not asked["allowed"]
        both = {"Action": "sagemaker:UpdateEndpoint", "Resource": [arn, its_config]}
        client_as(cloud, make_role(cloud, both), "sagemaker").update_endpoint(**request)
        assert host.settled(name)["EndpointConfigName"] == config


def test_actions_are_authorised_on_the_endpoint(cloud: LocalCloud, host: Host) -> None:
    # Given two endpoints, and a role that may ask one of them and look at it
    with host.endpoint(host.simple("mine")) as mine, host.endpoint(host.simple("other")) as other:
        arn = host.describe(mine)["EndpointArn"]
        allowed = {"Action": ["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint"], "Resource": arn}
        role = make_role(cloud, allowed)
        runtime, sagemaker = client_as(cloud, role, "sagemaker-runtime"), client_as(cloud, role, "sagemaker")

        # When it tries both, then only the one answers
        assert runtime.invoke_endpoint(EndpointName=mine, Body=b"", ContentType="text/csv")["Body"].read() == b"mine"
        assert sagemaker.describe_endpoint(EndpointName=mine)["EndpointStatus"] == "InService"
        assert refused(runtime.invoke_endpoint, EndpointName=other, Body=b"").startswith("AccessDenied")
        assert refused(sagemaker.describe_endpoint, EndpointName=other).startswith("AccessDenied")
        assert refused(sagemaker.delete_endpoint, EndpointName=mine).startswith("AccessDenied")


def test_output_is_lost_without_the_right_to_write_it_and_requests_are_served(cloud: LocalCloud, host: Host) -> None:
    # Given an execution role that may not write logs
    reads = [one for one in of_bucket(host.bucket) if "logs:PutLogEvents" not in one["Action"]]
    silent = Host(cloud, host.bucket, job_role(cloud, *reads))

    # When an endpoint of it is asked, then it answers, and there is no log
    with silent.endpoint(silent.simple("a")) as name:
        assert silent.ask(name) == "a"
        assert "ResourceNotFound" in refused(
            cloud.client("logs").filter_log_events, logGroupName=f"/aws/sagemaker/Endpoints/{name}"
        )


# --- Endurance -------------------------------------------------------------------------------------------------------


def _took_part(crowd: Crowd, answer: str) -> bool:
    return crowd.answers[answer] > 20


@pytest.mark.soak
@pytest.mark.parametrize("rolled_back", [False, True])
def test_thousands_of_requests_do_not_fail_during_updates(
    cloud: LocalCloud, host: Host, alarm: str, rolled_back: bool
) -> None:
    # Given an endpoint of two instances that is asked five thousand times
    with host.endpoint(host.simple("old", count=2)) as name, Crowd(host, name, threads=6) as crowd:
        seen = 0
        while crowd.asked < 5_000:
            # When it is updated again and again by a canary, and half of the time an alarm rolls the update back
            config = host.simple(f"new-{seen}", count=2)
            host.sagemaker.update_endpoint(
                EndpointName=name,
                EndpointConfigName=config,
                DeploymentConfig={
                    "BlueGreenUpdatePolicy": CANARY,
                    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
                },
            )
            eventually(lambda: _baking(host, name), 60)
            eventually(functools.partial(_took_part, crowd, f"new-{seen}"), 60)
            if rolled_back:
                datum = {"MetricName": alarm, "Value": 1}
                cloud.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=[datum])
            cloud.control.clock_advance(301)
            cloud.control.clock_advance(121)
            found = host.settled(name, 60)
            assert (found["EndpointConfigName"] == config) is not rolled_back
            cloud.control.clock_advance(120)
            cloud.control.evaluate_alarms()
            seen += 1

    # Then none of them failed
    assert crowd.failures == []
    assert seen >= 2
