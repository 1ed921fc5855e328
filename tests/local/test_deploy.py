"""Deploying and destroying through AWS APIs: twice, over what failed before, and with nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.cloud import CloudError, LocalCloud
from local.deploy import (
    VERSION_PARAMETER,
    DeployError,
    deploy,
    destroy,
    log_events,
    outputs,
    resources,
    stacks,
)
from tests.conftest import FreshStack
from tests.local.emulated import unique

BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
STAGING = f"cdk-hnb659fds-assets-{LocalCloud.account}-{LocalCloud.region}"

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 31}}
# SQS knows no negative delay, and says so only when the queue is created.
BROKEN_QUEUE = {"Type": "AWS::SQS::Queue", "DependsOn": "Queue", "Properties": {"DelaySeconds": -5}}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
    },
}


class Assembly:
    """A cloud assembly written by hand: one stack, and one function whose code is a folder of the assembly."""

    def __init__(self, folder: Path, stack: str) -> None:
        self.folder = folder
        self.stack = stack
        self.asset = uuid.uuid4().hex
        code = folder / "code"
        code.mkdir(parents=True)
        (code / "index.py").write_text(f"ASSET = '{self.asset}'\n\ndef handler(event, context):\n    return ASSET\n")

    @property
    def function(self) -> dict[str, Any]:
        return {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"S3Bucket": {"Fn::Sub": BUCKET}, "S3Key": f"{self.asset}.zip"},
            },
        }

    def write(self, resources: Mapping[str, Any], **more: Any) -> Path:
        """Writes it with these resources and an output for the queue; `more` goes into the assets' manifest."""
        template = {
            "Parameters": {
                "BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": VERSION_PARAMETER}
            },
            "Resources": resources,
            "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}} if "Queue" in resources else {},
        }
        files = {
            self.asset: {
                "displayName": "Function/Code",
                "source": {"path": "code", "packaging": "zip"},
                "destinations": {"here": {"bucketName": BUCKET, "objectKey": f"{self.asset}.zip"}},
            }
        }
        artifacts = {
            "assets": {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}},
            self.stack: {
                "type": "aws:cloudformation:stack",
                "properties": {"templateFile": "template.json"},
                "dependencies": ["assets"],
            },
        }
        (self.folder / "template.json").write_text(json.dumps(template))
        (self.folder / "assets.json").write_text(json.dumps({"files": files, **more}))
        (self.folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
        return self.folder


@pytest.fixture
def made(cloud: LocalCloud, tmp_path: Path) -> Iterator[Assembly]:
    """An assembly whose stack, and a copy of it, are gone after the test."""
    assembly = Assembly(tmp_path / "assembly", unique("stack"))
    yield assembly
    destroy(cloud, assembly.stack)
    destroy(cloud, f"{assembly.stack}-copy")


def staged(cloud: LocalCloud) -> set[str]:
    """The keys in the assets bucket."""
    answer = cloud.client("s3").list_objects_v2(Bucket=STAGING)
    return {item["Key"] for item in answer.get("Contents", [])}


def inventory(cloud: LocalCloud) -> dict[str, list[str]]:
    """What the resources of these tests leave behind if anything."""
    return {
        "queues": sorted(cloud.client("sqs").list_queues().get("QueueUrls", [])),
        "roles": sorted(role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]),
        "functions": sorted(f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]),
        "stacks": sorted(stacks(cloud)),
    }


def test_a_stack_is_deployed_with_its_assets_and_its_outputs_are_returned(cloud: LocalCloud, made: Assembly) -> None:
    # Given an assembly with a queue and a function
    folder = made.write({"Queue": QUEUE, "Role": ROLE, "Function": made.function})
    steps: list[str] = []
    # When it is deployed
    found = deploy(cloud, folder, made.stack, steps.append)
    # Then the outputs name what exists, the function runs the published code, and the progress told it all
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=found["QueueUrl"], AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "31"
    (function,) = [name for _, kind, name in resources(cloud, made.stack) if kind == "AWS::Lambda::Function"]
    answer = cloud.client("lambda").invoke(FunctionName=function)
    assert json.load(answer["Payload"]) == made.asset
    assert "publishing Function/Code" in steps
    assert any(step.startswith("3 of 3 resources") for step in steps)
    # and only the function's code stays published: CloudFormation keeps its own copy of the template
    assert staged(cloud) & {f"{made.asset}.zip", "template.json"} == {f"{made.asset}.zip"}
    assert not any(key.startswith("templates/") for key in staged(cloud))


def test_deploying_twice_changes_nothing(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack
    folder = made.write({"Queue": QUEUE})
    first = deploy(cloud, folder, made.stack)
    steps: list[str] = []
    # When it is deployed again
    second = deploy(cloud, folder, made.stack, steps.append)
    # Then it is the same, and no resource was touched
    assert second == first
    assert steps == ["nothing has changed"]


def test_a_changed_template_updates_the_stack_in_place(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack
    first = deploy(cloud, made.write({"Queue": QUEUE}), made.stack)
    # When its template changes
    changed = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 77}}
    second = deploy(cloud, made.write({"Queue": changed}), made.stack)
    # Then the same queue has the new setting
    assert second == first
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=second["QueueUrl"], AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "77"


def test_a_creation_that_fails_names_the_resource_and_leaves_nothing(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack whose second queue cannot be created
    before = inventory(cloud)
    folder = made.write({"Queue": QUEUE, "Wrong": BROKEN_QUEUE})
    # When it is deployed
    with pytest.raises(DeployError) as caught:
        deploy(cloud, folder, made.stack)
    # Then one line names that queue and the reason, and all is as before
    assert "Wrong (AWS::SQS::Queue)" in str(caught.value)
    assert "DelaySeconds" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert inventory(cloud) == before


def test_assets_of_a_failed_creation_and_of_an_older_version_go(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack with a function that cannot be created for another resource's sake
    folder = made.write({"Queue": QUEUE, "Wrong": BROKEN_QUEUE, "Role": ROLE, "Function": made.function})
    with pytest.raises(DeployError, match="Nothing of it is left"):
        deploy(cloud, folder, made.stack)
    # Then its code was not left behind
    assert f"{made.asset}.zip" not in staged(cloud)
    # Given it is deployed after all, When the function's code changes
    deploy(cloud, made.write({"Role": ROLE, "Function": made.function}), made.stack)
    older, made.asset = made.asset, uuid.uuid4().hex
    deploy(cloud, made.write({"Role": ROLE, "Function": made.function}), made.stack)
    # Then the new code is there, and the older gone
    assert f"{made.asset}.zip" in staged(cloud)
    assert f"{older}.zip" not in staged(cloud)


def test_nothing_is_tidied_up_while_another_stack_is_announced(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack, and another one that is announced and may use the same assets
    deploy(cloud, made.write({"Role": ROLE, "Function": made.function}), made.stack)
    coming = unique("coming")
    cloud.client("cloudformation").create_change_set(
        StackName=coming,
        ChangeSetName="soon",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Queue": QUEUE}}),
    )
    # When the first is destroyed, Then its assets stay
    destroy(cloud, made.stack)
    assert f"{made.asset}.zip" in staged(cloud)
    assert destroy(cloud, coming) is True


def test_a_stack_of_another_tool_may_stand_beside(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack whose template is in YAML, as the bootstrap of the CDK command line is
    other, formation = unique("yaml"), cloud.client("cloudformation")
    body = "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      DisplayName: !Ref AWS::Region\n"
    formation.create_stack(StackName=other, TemplateBody=body)
    formation.get_waiter("stack_create_complete").wait(StackName=other, WaiterConfig={"Delay": 1})
    try:
        # When one of ours is deployed and destroyed beside it, Then its assets come and go as ever
        deploy(cloud, made.write({"Role": ROLE, "Function": made.function}), made.stack)
        assert f"{made.asset}.zip" in staged(cloud)
        assert destroy(cloud, made.stack) is True
        assert f"{made.asset}.zip" not in staged(cloud)
        assert other in stacks(cloud)
    finally:
        assert destroy(cloud, other) is True


def test_an_update_that_fails_is_rolled_back(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack
    first = deploy(cloud, made.write({"Queue": QUEUE}), made.stack)
    # When an update to it fails
    changed = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 77}}
    with pytest.raises(DeployError, match=r"Wrong \(AWS::SQS::Queue\).*stands as it did before"):
        deploy(cloud, made.write({"Queue": changed, "Wrong": BROKEN_QUEUE}), made.stack)
    # Then the queue is as it was
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=first["QueueUrl"], AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "31"
    # and a good template can be deployed over it
    assert deploy(cloud, made.write({"Queue": changed}), made.stack) == first


def test_a_template_that_is_refused_leaves_nothing(cloud: LocalCloud, made: Assembly) -> None:
    # Given a template with a resource type that does not exist
    before = inventory(cloud)
    folder = made.write({"Queue": {"Type": "AWS::Imaginary::Thing"}})
    # When it is deployed, Then the refusal names the type
    with pytest.raises(DeployError, match="AWS::Imaginary::Thing"):
        deploy(cloud, folder, made.stack)
    assert inventory(cloud) == before


def test_what_an_earlier_attempt_left_is_replaced(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack that somebody created, which failed and stands there rolled back
    broken = {"Resources": {"Queue": QUEUE, "Wrong": BROKEN_QUEUE}}
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName=made.stack, TemplateBody=json.dumps(broken))
    with pytest.raises(Exception, match="Waiter"):
        formation.get_waiter("stack_create_complete").wait(
            StackName=made.stack, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
    assert stacks(cloud)[made.stack] == "ROLLBACK_COMPLETE"
    # When a good template is deployed under the same name
    found = deploy(cloud, made.write({"Queue": QUEUE}), made.stack)
    # Then it stands
    assert found["QueueUrl"]
    assert stacks(cloud)[made.stack] == "CREATE_COMPLETE"


def test_a_change_set_that_was_never_executed_is_no_obstacle(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack that exists as an unexecuted change set only
    cloud.client("cloudformation").create_change_set(
        StackName=made.stack,
        ChangeSetName="reviewed-by-nobody",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Queue": QUEUE}}),
    )
    with pytest.raises(DeployError, match="no stack"):
        outputs(cloud, made.stack)
    # When it is deployed, Then it stands
    assert deploy(cloud, made.write({"Queue": QUEUE}), made.stack)["QueueUrl"]


def test_a_stack_that_is_destroyed_while_it_is_deployed_is_one_clear_line(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployment that is publishing its assets, When the stack is destroyed
    folder = made.write({"Role": ROLE, "Function": made.function})

    def interfere(message: str) -> None:
        destroy(cloud, made.stack)

    with pytest.raises(DeployError, match=f"^Stack {made.stack} was destroyed while it was being deployed.$"):
        deploy(cloud, folder, made.stack, interfere)
    # Then the deployment says so, and leaves nothing
    assert made.stack not in stacks(cloud)
    assert not any(made.asset in key for key in staged(cloud))


def test_destroying_leaves_nothing_and_can_be_repeated(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack
    before = inventory(cloud)
    deploy(cloud, made.write({"Queue": QUEUE, "Role": ROLE, "Function": made.function}), made.stack)
    assert inventory(cloud) != before
    # When it is destroyed
    assert destroy(cloud, made.stack) is True
    # Then its resources and its assets are gone
    assert inventory(cloud) == before
    assert f"{made.asset}.zip" not in staged(cloud)
    # and destroying it again does nothing
    assert destroy(cloud, made.stack) is False
    with pytest.raises(DeployError, match="no stack"):
        outputs(cloud, made.stack)


def test_a_stack_that_never_was_is_destroyed_without_complaint(cloud: LocalCloud) -> None:
    # Given no such stack, When it is destroyed, Then there was nothing to do
    assert destroy(cloud, unique("never")) is False


def test_assets_stay_as_long_as_a_stack_needs_them(cloud: LocalCloud, made: Assembly) -> None:
    # Given two copies of a stack from one assembly
    folder = made.write({"Role": ROLE, "Function": made.function})
    copy = f"{made.stack}-copy"
    deploy(cloud, folder, made.stack)
    deploy(cloud, folder, copy, artifact=made.stack)
    # When the first is destroyed, Then its asset stays for the second
    destroy(cloud, made.stack)
    assert f"{made.asset}.zip" in staged(cloud)
    # and goes with it
    destroy(cloud, copy)
    assert f"{made.asset}.zip" not in staged(cloud)


def test_two_deployments_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    # Given a new cloud, where both have to create the bootstrap, and two assemblies
    assemblies = [Assembly(tmp_path / name, name) for name in ("first", "second")]
    with LocalCloud.start(unique("pair")) as own, ThreadPoolExecutor(2) as pool:
        folders = [one.write({"Queue": QUEUE, "Role": ROLE, "Function": one.function}) for one in assemblies]
        # When both are deployed at the same time
        tasks = [pool.submit(deploy, own, folder, one.stack) for folder, one in zip(folders, assemblies, strict=True)]
        found = [task.result() for task in tasks]
        # Then both stand
        assert len({one["QueueUrl"] for one in found}) == 2
        assert set(stacks(own).values()) == {"CREATE_COMPLETE"}


def test_a_cloud_that_dies_half_way_is_named(made: Assembly) -> None:
    # Given a cloud that dies while the stack is being deployed
    folder = made.write({"Queue": QUEUE, "Role": ROLE, "Function": made.function})
    with LocalCloud.start(unique("dying")) as own:

        def die(step: str) -> None:
            if step.startswith("publishing"):
                os.kill(own.pid, 9)

        # When it is deployed, Then one line says that the cloud has stopped
        with pytest.raises((CloudError, DeployError)) as caught:
            deploy(own, folder, made.stack, die)
        assert own.name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "is no cloud assembly"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is no cloud assembly"),
        (lambda folder: (folder / "manifest.json").write_text('{"artifacts": {}}'), "holds no stack"),
        (
            lambda folder: (folder / "assets.json").write_text('{"files": {}, "dockerImages": {"x": {}}}'),
            "container images",
        ),
    ],
)
def test_an_assembly_that_cannot_be_deployed_is_refused(
    cloud: LocalCloud, made: Assembly, spoil: Any, complaint: str
) -> None:
    # Given an assembly that is damaged, or holds what cannot be published here
    folder = made.write({"Queue": QUEUE})
    spoil(folder)
    # When it is deployed, Then it is refused before anything is created
    with pytest.raises(DeployError, match=complaint):
        deploy(cloud, folder, made.stack)
    assert made.stack not in stacks(cloud)


def test_the_bootstrap_is_made_once_and_kept(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack
    deploy(cloud, made.write({"Queue": QUEUE}), made.stack)
    ssm = cloud.client("ssm")
    first = ssm.get_parameter(Name=VERSION_PARAMETER)["Parameter"]
    # When it is destroyed and deployed again
    destroy(cloud, made.stack)
    deploy(cloud, made.folder, made.stack)
    # Then bucket and parameter are the same: the parameter was not written again
    assert ssm.get_parameter(Name=VERSION_PARAMETER)["Parameter"]["Version"] == first["Version"]
    # and a CDK template's own rule is satisfied
    assert int(first["Value"]) >= 6


def test_logs_of_a_stack_come_in_order_and_no_more_than_wanted(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack with a log group that holds three events
    deploy(cloud, made.write({"Group": {"Type": "AWS::Logs::LogGroup"}}), made.stack)
    assert log_events(cloud, made.stack, 10) == []
    (group,) = [name for _, kind, name in resources(cloud, made.stack) if kind == "AWS::Logs::LogGroup"]
    logs = cloud.client("logs")
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": f"message {number}"} for number in range(3)]
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)
    # When the newest two are read, Then they come in order, with the group's logical id
    read = log_events(cloud, made.stack, 2)
    assert [(logical, message) for _, logical, message in read] == [("Group", "message 1"), ("Group", "message 2")]
    assert read[0][0].timestamp() == pytest.approx((now + 1) / 1000)


def test_logs_of_a_stack_have_those_of_its_jobs_and_of_no_others(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack that starts jobs, and the account's group of jobs, in which others write too
    deploy(cloud, made.write({"Group": {"Type": "AWS::Logs::LogGroup"}}), made.stack)
    logs = cloud.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    for job in (f"{made.stack}-2026112709", f"{made.stack}-copy-2026112709", "pipelines-other-Prepare-x"):
        stream = f"{job}/algo-1-0"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": job}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
    # When its logs are read, Then its own job's are among them, by the group's name
    read = [(label, message) for _, label, message in log_events(cloud, made.stack, 10)]
    assert read == [("ProcessingJobs", f"{made.stack}-2026112709")]


def test_a_stack_of_another_tool_in_yaml_keeps_no_deployment_from_ending(
    cloud: LocalCloud, fresh_stack: FreshStack, assembly: Path
) -> None:
    # Given a stack whose template is YAML, as that of the CDK command line's bootstrap is
    client = cloud.client("cloudformation")
    template = "Resources:\n  Kept:\n    Type: AWS::SQS::Queue\n"
    client.create_stack(StackName="in-yaml", TemplateBody=template)
    # When a stack is deployed beside it, whose assets are looked for in all stacks, Then it stands
    try:
        assert fresh_stack(assembly=assembly).outputs
    finally:
        client.delete_stack(StackName="in-yaml")
