"""Lock down notebooks: the deployed stack, in a network that another stack exports, and what its roles are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from scenarios.cost_guard import ACTIVITY_TAG, KEEP_ALIVE_TAG
from tests.local.emulated import client_as, eventually

ARCHITECTURE = "secure-studio"
NETWORK = "studio-network"


def network() -> str:
    """The template of a stack that exports what a `private-network` stack does."""
    resources = {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.0.0/24"},
        },
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "GroupDescription": "Who works here"},
        },
    }
    values = {
        "VpcId": {"Ref": "Vpc"},
        "SubnetIds": {"Ref": "Subnet"},
        "JobsSecurityGroupId": {"Fn::GetAtt": ["Group", "GroupId"]},
    }
    outputs = {name: {"Value": value, "Export": {"Name": f"{NETWORK}-{name}"}} for name, value in values.items()}
    return json.dumps({"Resources": resources, "Outputs": outputs})


@pytest.fixture(scope="module")
def outputs(cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """Of a copy of the stack in a network of its own; everybody may take its roles on, to be refused as they are."""
    formation, name = cloud.client("cloudformation"), f"studio-{os.getpid()}"
    formation.create_stack(StackName=NETWORK, TemplateBody=network())

    def stands() -> bool:
        (found,) = formation.describe_stacks(StackName=NETWORK)["Stacks"]
        return bool(found["StackStatus"] == "CREATE_COMPLETE")

    eventually(stands, 20)
    parameters = {"PrivateNetworkStack": NETWORK}
    made = deploy(cloud, synthesize(ARCHITECTURE), name, artifact=ARCHITECTURE, parameters=parameters)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}, "Action": "sts:AssumeRole"}
    for output in ("ScientistRoleArn", "EngineerRoleArn", "NotebookRoleArn"):
        cloud.client("iam").update_assume_role_policy(
            RoleName=made[output].rpartition("/")[2],
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
    yield made
    destroy(cloud, name)
    formation.delete_stack(StackName=NETWORK)
    left = cloud.client("sagemaker").list_domains()["Domains"]
    assert made["DomainId"] not in {one["DomainId"] for one in left}


def refused(call: Any, **arguments: Any) -> bool:
    """Whether a call is not allowed. Raises ClientError for any other error."""
    try:
        call(**arguments)
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return True
    return False


def test_the_notebook_may_say_when_it_was_used_and_nothing_else_of_itself(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given the notebook's role, When it writes tags on itself, Then only the one that the guard reads is let through
    sagemaker = cloud.client("sagemaker")
    theirs = client_as(cloud, outputs["NotebookRoleArn"], "sagemaker")
    arn = sagemaker.describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])["NotebookInstanceArn"]
    report = [{"Key": ACTIVITY_TAG, "Value": "active=2026-11-27T10:00:00Z reported=2026-11-27T10:00:00Z"}]
    keep = [{"Key": KEEP_ALIVE_TAG, "Value": "true"}]
    assert not refused(theirs.add_tags, ResourceArn=arn, Tags=report)
    assert refused(theirs.add_tags, ResourceArn=arn, Tags=keep)
    assert refused(theirs.add_tags, ResourceArn=arn, Tags=[*report, *keep])
    assert refused(theirs.add_tags, ResourceArn=arn.replace(outputs["NotebookName"], "ml-other"), Tags=report)
    # When the statement loses its condition, Then it may keep itself alive for ever: the condition is what holds it
    iam, role = cloud.client("iam"), outputs["NotebookRoleArn"].rpartition("/")[2]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    bare = [
        {key: value for key, value in one.items() if key != "Condition" or "AddTags" not in str(one["Action"])}
        for one in before["Statement"]
    ]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**before, "Statement": bare}))
    assert not refused(theirs.add_tags, ResourceArn=arn, Tags=keep)
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))


def test_a_scientist_works_in_her_folder_and_an_engineer_reads_results_only(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given a bucket with both folders, When each persona tries everything, Then each has its own and not the other's
    bucket = outputs["BucketName"]
    for key in ("work/a", "results/a"):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")
    tried: dict[str, set[str]] = {}
    for persona in ("ScientistRoleArn", "EngineerRoleArn"):
        s3 = client_as(cloud, outputs[persona], "s3")
        tried[persona] = {
            f"{verb} {folder}"
            for folder in ("work", "results")
            for verb, call, more in (("read", s3.get_object, {}), ("write", s3.put_object, {"Body": b"2"}))
            if not refused(call, Bucket=bucket, Key=f"{folder}/a", **more)
        }
    assert tried == {"ScientistRoleArn": {"read work", "write work"}, "EngineerRoleArn": {"read results"}}


def test_the_notebook_stands_as_the_template_says_and_its_scripts_are_there(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    found = cloud.client("sagemaker").describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])
    assert (found["DirectInternetAccess"], found["RootAccess"]) == ("Disabled", "Disabled")
    scripts = cloud.client("sagemaker").describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=found["NotebookInstanceLifecycleConfigName"]
    )
    assert len(scripts["OnStart"]) == 1
    domain = cloud.client("sagemaker").describe_domain(DomainId=outputs["DomainId"])
    assert domain["AppNetworkAccessType"] == "VpcOnly"
    profiles = cloud.client("sagemaker").list_user_profiles(DomainIdEquals=outputs["DomainId"])["UserProfiles"]
    assert {one["UserProfileName"] for one in profiles} == {"scientist", "engineer"}
