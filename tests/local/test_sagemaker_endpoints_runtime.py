"""InvokeEndpoint of the local SageMaker: answers and errors, captures, metrics, and who may do what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.services.sagemaker.containers import LogStream
from local.services.sagemaker.hosting import Artefact, TooLateError, serving
from tests.local.emulated import eventually, execute, make_machine, make_role, one_task, unique
from tests.local.hosted import Host, artefact
from tests.local.sagemaking import XGBOOST, as_json, job_role, of_bucket, read
from tests.local.standin import FakeCaller

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}


@pytest.fixture(scope="module")
def host(cloud: LocalCloud) -> Host:
    """Makes what tests of this file need."""
    return Host.make(cloud)


@pytest.fixture(scope="module")
def endpoint(host: Host) -> Iterator[str]:
    """An endpoint that tests only ask."""
    with host.endpoint(host.simple("a")) as name:
        yield name


def refused(call: Any, **arguments: Any) -> ClientError:
    """The error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value


# --- Answers and errors ----------------------------------------------------------------------------------------------


def test_a_model_gets_the_body_and_answers_in_the_type_that_is_accepted(host: Host, endpoint: str) -> None:
    # Given an endpoint, When it is asked for JSON, for CSV and for anything
    def ask(**more: str) -> tuple[str, str, str]:
        answer = host.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"1", ContentType="text/csv", **more)
        return answer["Body"].read().decode(), answer["ContentType"], answer["InvokedProductionVariant"]

    # Then the script sees what was accepted, and the container's own choice for the last
    assert ask(Accept="application/json") == ("a1", "application/json", "AllTraffic")
    assert ask(Accept="text/csv") == ("a1", "text/csv", "AllTraffic")
    assert ask() == ("a1", "application/json", "AllTraffic")


@pytest.mark.parametrize(
    ("given", "status", "side"),
    [
        ({"Body": b"bad", "ContentType": "text/csv"}, 500, "server"),
        ({"Body": b"", "ContentType": "text/html"}, 415, "client"),
    ],
)
def test_what_a_model_refuses_is_a_model_error_with_its_own_status(
    host: Host, endpoint: str, given: dict[str, Any], status: int, side: str
) -> None:
    # Given a request that the script refuses, When it is made
    error: Any = refused(host.runtime.invoke_endpoint, EndpointName=endpoint, **given).response

    # Then the error has the script's status and words, and names the log that tells more
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert error["OriginalStatusCode"] == status
    assert error["Error"]["Message"].startswith(f"Received {side} error ({status}) from primary with message")
    group, _, stream = error["LogStreamArn"].partition("log-group:")[2].partition(":log-stream:")
    assert group == f"/aws/sagemaker/Endpoints/{endpoint}"
    assert eventually(lambda: error["OriginalMessage"] in host.log(endpoint, logStreamNames=[stream]))


def test_a_container_that_dies_of_a_request_is_a_refusal_at_last_and_comes_back(host: Host) -> None:
    # Given an endpoint of one instance
    with host.endpoint(host.simple("a")) as name:
        client = host.cloud.client("sagemaker-runtime", retries={"total_max_attempts": 1})

        # When a request ends its process, then nobody is there to ask instead
        error = refused(client.invoke_endpoint, EndpointName=name, Body=b"die", ContentType="text/csv")
        assert error.response["Error"]["Code"] == "ServiceUnavailable"

        # And a new instance answers soon
        def answers() -> bool:
            try:
                return host.ask(name) == "a"
            except ClientError:
                return False

        assert eventually(answers)


def test_a_model_that_is_too_slow_is_given_up() -> None:
    # Given a container, here without an endpoint, so that nobody has to wait for a minute
    caller = FakeCaller({("models", "model.tar.gz", None): artefact()})
    with serving(Artefact(XGBOOST, "s3://models/model.tar.gz"), caller, _NoLog()) as instance:
        # When it gets less time than it needs, then that is told apart from an answer
        with pytest.raises(TooLateError):
            instance.ask(b"slow", {"Content-Type": "text/csv"}, seconds=0.1)
        # And it answers the next, on another connection
        assert instance.ask(b"1", {"Content-Type": "text/csv"}).body == b"1"


class _NoLog(LogStream):
    """A stream that nobody reads."""

    def __init__(self) -> None:
        super().__init__(FakeCaller(), "group", "stream")

    def write(self, line: str) -> None:
        pass


def test_requests_out_of_bounds_are_refused(host: Host, endpoint: str) -> None:
    # Given an endpoint, When it is asked with too large a body, or for what is not served, Then each answer says why
    large = refused(host.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"1" * 6_291_457)
    assert large.response["Error"]["Code"] == "ValidationError"
    inside = refused(host.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"", TargetModel="other.tar.gz")
    assert "does not serve TargetModel" in str(inside)
    stream = refused(host.runtime.invoke_endpoint_with_response_stream, EndpointName=endpoint, Body=b"")
    assert "InvokeEndpointWithResponseStream" in str(stream)


def test_a_fault_throttles_an_endpoint(host: Host, endpoint: str) -> None:
    # Given a fault, When the endpoint is asked, Then the client meets it once and tries again
    host.cloud.control.faults_add(service="sagemaker-runtime", operation="InvokeEndpoint", kind="throttle", times=1)
    answer = host.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"", ContentType="text/csv")
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


def test_a_state_machine_can_ask_an_endpoint(cloud: LocalCloud, host: Host, endpoint: str) -> None:
    # Given a state machine whose role may ask the endpoint
    arn = host.describe(endpoint)["EndpointArn"]
    role = make_role(cloud, {"Action": ["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint"], "Resource": arn})

    # When it asks for its state, and for an answer
    def task(action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        definition = one_task(f"arn:aws:states:::aws-sdk:{action}", arguments)
        return execute(cloud, make_machine(cloud, role, definition))

    described = task("sagemaker:describeEndpoint", {"EndpointName": endpoint})
    asked = task("sagemakerruntime:invokeEndpoint", {"EndpointName": endpoint, "Body": "1", "ContentType": "text/csv"})

    # Then it gets both
    assert described["output"]["EndpointStatus"] == "InService"
    assert asked["status"] == "SUCCEEDED"
    assert "a1" in json.dumps(asked["output"]["Body"])


# --- Captures --------------------------------------------------------------------------------------------------------


def captured(host: Host, prefix: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Keys and lines under a prefix, as soon as there are so many lines."""
    s3 = host.cloud.client("s3")

    def look() -> list[tuple[str, dict[str, Any]]] | None:
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=host.bucket, Prefix=prefix).get("Contents", [])]
        lines = [
            (key, as_json(line)) for key in keys for line in read(host.cloud, f"s3://{host.bucket}/{key}").splitlines()
        ]
        return lines if len(lines) >= count else None

    found = eventually(look)
    assert found is not None
    return found


def capture_config(host: Host, prefix: str, **more: Any) -> str:
    where = {"DestinationS3Uri": f"s3://{host.bucket}/{prefix}"}
    return host.config(host.variant(host.model("a")), DataCaptureConfig={**CAPTURE, **where, **more})


def test_requests_are_captured_by_the_hour_of_the_clock(cloud: LocalCloud, host: Host) -> None:
    # Given an endpoint that captures all, at some hour
    prefix = unique("captures")
    with host.endpoint(capture_config(host, prefix)) as name:
        assert host.describe(name)["DataCaptureConfig"]["CaptureStatus"] == "Started"

        # When it is asked, and asked again two hours later
        host.ask(name, "1,2", InferenceId="first", CustomAttributes="trace-1")
        first = datetime.fromtimestamp(time.time() + cloud.control.clock(), tz=timezone.utc)
        cloud.control.clock_advance(7200)
        host.ask(name, '{"x": 1}', ContentType="application/json", Accept="application/json")
        lines = captured(host, prefix, 2)

    # Then each is a line in the documented shape under its hour
    (first_key, one), (second_key, two) = sorted(lines)
    assert first_key.startswith(f"{prefix}/{name}/AllTraffic/{first:%Y/%m/%d/%H}/")
    assert second_key.startswith(f"{prefix}/{name}/AllTraffic/{first + timedelta(hours=2):%Y/%m/%d/%H}/")
    assert first_key.endswith(".jsonl")
    assert one["captureData"] == {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"},
        "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT", "data": "a1,2", "encoding": "CSV"},
    }
    assert one["eventMetadata"]["inferenceId"] == "first"
    assert one["eventMetadata"]["customAttributes"] == ["trace-1"]
    assert one["eventMetadata"]["inferenceTime"].startswith(f"{first:%Y-%m-%dT%H}")
    assert one["eventVersion"] == "0"
    assert two["captureData"]["endpointInput"]["encoding"] == "JSON"
    assert "inferenceId" not in two["eventMetadata"]


def test_what_is_not_named_as_text_is_captured_as_base64(host: Host) -> None:
    # Given an endpoint that captures its input alone and names no content types
    prefix = unique("captures")
    config = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "CaptureOptions": [{"CaptureMode": "Input"}],
        "DestinationS3Uri": f"s3://{host.bucket}/{prefix}",
    }
    with host.endpoint(host.config(host.variant(host.model()), DataCaptureConfig=config)) as name:
        # When it is asked, then the input is Base64 and there is no output
        host.ask(name, "1,2")
        ((_, line),) = captured(host, prefix, 1)
    assert line["captureData"] == {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "MSwy", "encoding": "BASE64"}
    }


def test_the_sample_is_as_large_as_asked_for(host: Host) -> None:
    # Given one endpoint that captures half of its requests, and one that captures none of them
    half, none = unique("captures"), unique("captures")
    with (
        host.endpoint(capture_config(host, half, InitialSamplingPercentage=50)) as some,
        host.endpoint(capture_config(host, none, InitialSamplingPercentage=0)) as nothing,
    ):
        # When both are asked often
        for _ in range(100):
            host.ask(some)
            host.ask(nothing)

        # Then about half are captured of the one, and none of the other
        lines = captured(host, half, 20)
        time.sleep(1.5)
        assert 20 <= len(captured(host, half, len(lines))) <= 80
        assert "Contents" not in host.cloud.client("s3").list_objects_v2(Bucket=host.bucket, Prefix=none)


def test_captures_are_encrypted_with_their_key_by_the_execution_role(cloud: LocalCloud) -> None:
    # Given a key, and two roles of which one may use it
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    able = Host.make(cloud, {"Action": "kms:GenerateDataKey", "Resource": key})
    unable = Host(cloud, able.bucket, job_role(cloud, *of_bucket(able.bucket)))
    good, bad = unique("captures"), unique("captures")
    with (
        able.endpoint(capture_config(able, good, KmsKeyId=key)) as one,
        unable.endpoint(capture_config(unable, bad, KmsKeyId=key)) as other,
    ):
        # When both endpoints are asked, then both answer
        assert (able.ask(one), unable.ask(other)) == ("a", "a")

        # And only the one has captures, with the key; the other's log says that they are lost
        ((name, _),) = captured(able, good, 1)
        assert cloud.client("s3").head_object(Bucket=able.bucket, Key=name)["SSEKMSKeyId"] == key
        assert eventually(lambda: "Data capture lost 1 requests" in unable.log(other))
        assert "Contents" not in cloud.client("s3").list_objects_v2(Bucket=able.bucket, Prefix=bad)


# --- Metrics ---------------------------------------------------------------------------------------------------------


def total(cloud: LocalCloud, name: str, statistic: str = "Sum", namespace: str = "AWS/SageMaker", **by: str) -> float:
    """A metric over the last hour of the movable clock."""
    end = datetime.fromtimestamp(time.time() + cloud.control.clock() + 60, tz=timezone.utc)
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in by.items()],
        StartTime=end - timedelta(hours=1),
        EndTime=end,
        Period=3600 * 2,
        Statistics=[statistic],
    )["Datapoints"]
    return float(sum(point[statistic] for point in points))


def test_requests_are_counted_and_timed(cloud: LocalCloud, host: Host) -> None:
    # Given an endpoint of two instances
    with host.endpoint(host.simple("a", count=2)) as name:
        by = {"EndpointName": name, "VariantName": "AllTraffic"}

        # When it answers four requests, and refuses two in different ways
        for _ in range(4):
            host.ask(name)
        for body, kind in ((b"bad", "text/csv"), (b"", "text/html")):
            refused(host.runtime.invoke_endpoint, EndpointName=name, Body=body, ContentType=kind)

        # Then the metrics of its variant say so
        def counted(metric: str, **more: str) -> float:
            return total(cloud, metric, **by, **more)

        assert counted("Invocations") == 6
        assert counted("InvocationsPerInstance") == 3
        assert counted("Invocation4XXErrors") == 1
        assert counted("Invocation5XXErrors") == 1
        assert counted("InvocationModelErrors") == 2
        # In microseconds: a request takes more than a tenth of a millisecond, and less than a second
        assert 100 <= total(cloud, "ModelLatency", "Average", **by) <= 1_000_000
        assert 10 <= total(cloud, "OverheadLatency", "Average", **by) <= 1_000_000
        # And those of its configuration, by which an update can be watched
        config = host.describe(name)["EndpointConfigName"]
        assert counted("Invocations", EndpointConfigName=config) == 6


def test_processor_and_memory_of_instances_are_published_each_minute(cloud: LocalCloud, host: Host) -> None:
    # Given an endpoint that is busy for half a second
    with host.endpoint(host.simple("a")) as name:
        by = {"EndpointName": name, "VariantName": "AllTraffic"}
        cloud.control.clock_advance(60)
        host.ask(name, "busy")

        # When a minute is over, then its use of the processor is there, and that of the memory
        cloud.control.clock_advance(60)
        used = total(cloud, "CPUUtilization", "Maximum", "/aws/sagemaker/Endpoints", **by)
        assert 20 <= used <= 110
        assert 0 < total(cloud, "MemoryUtilization", "Maximum", "/aws/sagemaker/Endpoints", **by) < 100
        # And a minute without a request is a zero, not a gap
        samples = total(cloud, "InvocationsPerInstance", "SampleCount", **by)
        cloud.control.clock_advance(300)
        assert total(cloud, "InvocationsPerInstance", "SampleCount", **by) == samples + 5
        assert total(cloud, "InvocationsPerInstance", **by) == 1


# --- CloudFormation --------------------------------------------------------------------------------------------------


def template(host: Host, answer: str, count: int, target: float = 70) -> str:
    """A stack of a model, its configuration, an endpoint, and its scaling."""
    return json.dumps(
        {
            "Resources": {
                "Model": {
                    "Type": "AWS::SageMaker::Model",
                    "Properties": {
                        "ExecutionRoleArn": host.role,
                        "PrimaryContainer": {
                            "Image": XGBOOST,
                            "ModelDataUrl": f"s3://{host.bucket}/model.tar.gz",
                            "Environment": {"ANSWER": answer},
                        },
                    },
                },
                "Config": {
                    "Type": "AWS::SageMaker::EndpointConfig",
                    "Properties": {
                        "ProductionVariants": [
                            {
                                "VariantName": "AllTraffic",
                                "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                                "InitialInstanceCount": str(count),
                                "InitialVariantWeight": 1,
                                "InstanceType": "ml.m5.large",
                            }
                        ]
                    },
                },
                "Endpoint": {
                    "Type": "AWS::SageMaker::Endpoint",
                    "Properties": {"EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
                },
                "Target": {
                    "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                    "Properties": {
                        "ServiceNamespace": "sagemaker",
                        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                        "ResourceId": {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/AllTraffic"},
                        "MinCapacity": 1,
                        "MaxCapacity": 3,
                        "RoleARN": "arn:aws:iam::000000000000:role/ignored",
                    },
                },
                "Policy": {
                    "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                    "Properties": {
                        "PolicyName": "requests",
                        "PolicyType": "TargetTrackingScaling",
                        "ScalingTargetId": {"Ref": "Target"},
                        "TargetTrackingScalingPolicyConfiguration": {
                            "TargetValue": target,
                            "PredefinedMetricSpecification": {
                                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                            },
                        },
                    },
                },
            },
            "Outputs": {
                "Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
                "Arn": {"Value": {"Ref": "Endpoint"}},
                "Target": {"Value": {"Ref": "Target"}},
            },
        }
    )


def test_a_stack_makes_updates_and_removes_an_endpoint_with_its_scaling(cloud: LocalCloud, host: Host) -> None:
    # Given a stack with a model, a configuration, an endpoint, a scalable target and a policy
    stacks, stack = cloud.client("cloudformation"), unique("stack")
    stacks.create_stack(StackName=stack, TemplateBody=template(host, "one", 1))
    stacks.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    outputs = {
        one["OutputKey"]: one["OutputValue"] for one in stacks.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    }

    # Then the endpoint serves, and the references are those of AWS
    name = outputs["Name"]
    assert host.ask(name) == "one"
    assert outputs["Arn"] == host.describe(name)["EndpointArn"]
    resource = f"endpoint/{name}/variant/AllTraffic"
    assert outputs["Target"] == f"{resource}|sagemaker:variant:DesiredInstanceCount|sagemaker"
    scaling = cloud.client("application-autoscaling")

    def policies() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = scaling.describe_scaling_policies(
            ServiceNamespace="sagemaker", ResourceId=resource
        )["ScalingPolicies"]
        return found

    assert [one["PolicyName"] for one in policies()] == ["requests"]

    # When the model and the target value change
    stacks.update_stack(StackName=stack, TemplateBody=template(host, "two", 2, 50))
    stacks.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    # Then the same endpoint serves the new model, and the old one and its configuration are gone
    assert host.ask(name) == "two"
    assert host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert [one["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] for one in policies()] == [50]
    mine = [one for one in host.sagemaker.list_models()["Models"] if one["ModelName"].startswith(f"{stack}-")]
    assert len(mine) == 1

    # And when the stack is deleted, nothing is left
    stacks.delete_stack(StackName=stack)
    stacks.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert not host.there(name)
    assert policies() == []
    assert not [one for one in host.sagemaker.list_models()["Models"] if one["ModelName"].startswith(f"{stack}-")]
    assert (
        cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"TargetTracking-{resource}")["MetricAlarms"] == []
    )


def test_a_stack_fails_with_its_endpoint(cloud: LocalCloud, host: Host) -> None:
    # Given a fault that keeps the endpoint from coming up
    cloud.control.faults_add(service="sagemaker", operation="CreateEndpoint", kind="fail-job", times=1)
    stacks, stack = cloud.client("cloudformation"), unique("stack")

    # When a stack makes it, then the stack fails for that reason and leaves nothing
    stacks.create_stack(StackName=stack, TemplateBody=template(host, "one", 1), OnFailure="DELETE")

    def reason() -> str | None:
        events = stacks.describe_stack_events(StackName=stack)["StackEvents"]
        return next((one["ResourceStatusReason"] for one in events if "asked for" in str(one)), None)

    assert "a fault that was asked for" in str(eventually(reason, 20))
    assert eventually(
        lambda: (
            not [
                one
                for one in host.sagemaker.list_endpoints()["Endpoints"]
                if one["EndpointName"].startswith(f"{stack}-")
            ]
        )
    )
