"""SageMaker's jobs and models inside a VPC: what they read, write and call goes through its endpoints, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import decided, last_sequence, policy, unique
from tests.local.hosted import Host
from tests.local.networking import JOIN, JOINING, Vpc, make_vpc
from tests.local.sagemaking import XGBOOST, job_role, log_of, make_bucket, of_bucket, packed, processing, run, training

# Tells in the log whether the job reaches STS, or how it does not.
SCRIPT = """
import boto3
from botocore.config import Config
try:
    client = boto3.client("sts", config=Config(retries={"total_max_attempts": 1}))
    client.get_caller_identity()
    print("called")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def vpc(cloud: LocalCloud) -> Vpc:
    """A VPC without endpoints; a test takes its own away again."""
    return make_vpc(cloud)


def place(vpc: Vpc) -> dict[str, Any]:
    """SageMaker's VpcConfig."""
    return {"Subnets": vpc.subnets, "SecurityGroupIds": [vpc.callers]}


def in_vpc(cloud: LocalCloud, vpc: Vpc, bucket: str) -> dict[str, Any]:
    """A processing job there."""
    role = job_role(cloud, JOIN, *of_bucket(bucket))
    return processing(cloud, bucket, SCRIPT, role=role, NetworkConfig={"VpcConfig": place(vpc)})


def test_a_job_without_an_endpoint_for_its_data_fails(cloud: LocalCloud, vpc: Vpc) -> None:
    # Given a VPC without endpoints, When a job there is to bring its script
    bucket, before = make_bucket(cloud), last_sequence(cloud)
    found = run(cloud, "Processing", in_vpc(cloud, vpc, bucket))
    # Then it fails and says so, and the decision says why
    assert found["ProcessingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("ClientError: Data download failed")
    (refused,) = decided(cloud, "s3:ListBucket", f"arn:aws:s3:::{bucket}", before)
    assert (refused["allowed"], refused["via"]) == (False, "network")
    assert refused["reason"].startswith(f"{vpc.id} has no endpoint for com.amazonaws.{cloud.region}.s3")


def test_a_job_reaches_what_its_vpc_has_endpoints_for(cloud: LocalCloud, vpc: Vpc) -> None:
    # Given an endpoint for S3 and a bucket that takes requests by it only
    bucket = make_bucket(cloud)
    request = in_vpc(cloud, vpc, bucket)
    endpoint = vpc.gateway("s3")
    try:
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"StringNotEquals": {"aws:SourceVpce": endpoint}},
        }
        cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy(deny))
        # When a job runs there, Then it brings its script, and the script reaches nothing else
        assert run(cloud, "Processing", request)["ProcessingJobStatus"] == "Completed"
        assert log_of(cloud, "Processing", request["ProcessingJobName"]) == ["ConnectionClosedError"]
        # When the same job runs elsewhere, Then the bucket refuses it
        elsewhere = {name: value for name, value in request.items() if name != "NetworkConfig"}
        found = run(cloud, "Processing", {**elsewhere, "ProcessingJobName": unique("process")})
        assert "AccessDenied" in found["FailureReason"]
    finally:
        vpc.without(endpoint)


def test_a_training_goes_through_its_vpc(cloud: LocalCloud, vpc: Vpc) -> None:
    # Given an endpoint that lets a training read and not write
    bucket = make_bucket(cloud)
    cloud.client("s3").put_object(Bucket=bucket, Key="code.tar.gz", Body=packed(train="print('trained')"))
    role = job_role(cloud, JOIN, *of_bucket(bucket))
    endpoint = vpc.gateway(
        "s3", policy({"Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"})
    )
    try:
        # When it runs, Then its model cannot be kept, because of the endpoint's policy
        found = run(cloud, "Training", training(role, bucket, VpcConfig=place(vpc)))
    finally:
        vpc.without(endpoint)
    assert found["TrainingJobStatus"] == "Failed"
    assert "because no VPC endpoint policy allows the s3:PutObject action" in found["FailureReason"]


@pytest.mark.parametrize("action", JOINING)
def test_a_role_that_may_not_make_interfaces_runs_no_job_in_a_vpc(cloud: LocalCloud, vpc: Vpc, action: str) -> None:
    # Given a role that lacks one of the actions, When a model in the VPC is made with it, Then SageMaker refuses
    role = job_role(cloud, {"Action": [one for one in JOINING if one != action], "Resource": "*"})
    with pytest.raises(ClientError, match=f"not authorized to perform: {action}"):
        cloud.client("sagemaker").create_model(
            ModelName=unique("model"),
            ExecutionRoleArn=role,
            PrimaryContainer={"Image": XGBOOST},
            VpcConfig=place(vpc),
        )


def test_a_vpc_that_is_not_there_is_no_place_for_a_job(cloud: LocalCloud, vpc: Vpc) -> None:
    bucket = make_bucket(cloud)
    request = in_vpc(cloud, vpc, bucket)
    nowhere = {"VpcConfig": {"Subnets": ["subnet-none"], "SecurityGroupIds": [vpc.callers]}}
    with pytest.raises(ClientError, match="subnet-none"):
        cloud.client("sagemaker").create_processing_job(**{**request, "NetworkConfig": nowhere})


def test_a_model_is_brought_through_its_vpc(cloud: LocalCloud, vpc: Vpc) -> None:
    # Given a model in a VPC without an endpoint for S3
    host = Host.make(cloud, JOIN)
    config = host.config(host.variant(host.model(VpcConfig=place(vpc))))
    # When it is hosted, Then its artefact cannot be brought
    with host.endpoint(config) as endpoint:
        found = host.settled(endpoint)
    assert found["EndpointStatus"] == "Failed"
    assert "Failed to download model data" in found["FailureReason"]
