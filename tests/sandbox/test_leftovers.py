"""What is left after a removal is found and named; a stack that cannot be removed says why."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from sandbox import leftovers, show, stacks
from sandbox.account import Account, AccountError, connect
from tests.waiting import until

QUEUE = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
BUCKET = {"Resources": {"B": {"Type": "AWS::S3::Bucket"}}, "Outputs": {"Name": {"Value": {"Ref": "B"}}}}


@pytest.fixture
def account(shell: LocalCloud) -> Account:
    return connect()


@pytest.fixture
def name(shell: LocalCloud) -> str:
    """The name of an architecture that no other test knows."""
    return f"lost-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def left(shell: LocalCloud, name: str) -> Iterator[dict[str, str]]:
    """One of everything that a stack of that name could leave, by kind; beside it, one of another's."""
    tag = {"Key": "architecture", "Value": name}
    logs, s3, dynamodb, kms = (shell.client(one) for one in ("logs", "s3", "dynamodb", "kms"))
    ec2, secrets, sqs = (shell.client(one) for one in ("ec2", "secretsmanager", "sqs"))
    group, bucket, table = f"/aws/lambda/{name}-Worker-1", f"{name}-images-1", f"{name}-Results-1"
    logs.create_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=f"/aws/lambda/other-{name}")
    s3.create_bucket(Bucket=bucket)
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    backup = dynamodb.create_backup(TableName=table, BackupName=f"{table}$Backup")["BackupDetails"]
    dynamodb.delete_table(TableName=table)
    key = kms.create_key(Tags=[{"TagKey": "architecture", "TagValue": name}])["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=8)["VolumeId"]
    tags = [{"ResourceType": "snapshot", "Tags": [tag]}]
    snapshot = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    secret = f"{name}-secret"
    secrets.create_secret(Name=secret, SecretString="s", Tags=[tag])
    queue = sqs.create_queue(QueueName=f"{name}-queue", tags={"architecture": name})["QueueUrl"]
    yield {
        "log group": group,
        "bucket": bucket,
        "backup of a table": str(backup["BackupName"]),
        "key": key,
        "snapshot": snapshot,
        "secret": secret,
        "tagged": f"arn:aws:sqs:us-east-1:{shell.account}:{name}-queue",
    }
    for one in (group, f"/aws/lambda/other-{name}"):
        logs.delete_log_group(logGroupName=one)
    s3.delete_bucket(Bucket=bucket)
    dynamodb.delete_backup(BackupArn=backup["BackupArn"])
    ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.delete_volume(VolumeId=volume)
    secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    sqs.delete_queue(QueueUrl=queue)


def test_everything_that_is_left_is_found_once_with_its_cost_and_end(
    account: Account, name: str, left: dict[str, str]
) -> None:
    # Given one of everything that may be left, When it is looked for
    found = leftovers.search(account, name)
    # Then all of it is found, each once, and nothing of another's
    assert found.not_searched == ()
    assert {one.kind: one.name for one in found.found} == left
    assert len(found.found) == len(left)
    by_kind = {one.kind: one for one in found.found}
    # And the key costs nothing and goes on its day, the snapshot costs by its size and stays
    assert by_kind["key"].cost == "nothing while it waits"
    assert by_kind["key"].goes.startswith("on 20")
    assert by_kind["snapshot"].cost == "0.40 dollars a month at most"
    text = "\n".join(show.leftover_lines(name, found))
    assert all(one in text for one in left.values())


def test_a_place_that_may_not_be_looked_at_is_told(
    account: Account, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given credentials that may list no keys
    def refuse(*_: object) -> Iterator[leftovers.Leftover]:
        raise AccountError("these credentials may not call ListKeys")

    monkeypatch.setattr(leftovers, "_keys", refuse)
    # When it is looked for what is left, Then nothing is found, and it is said where nobody could look
    found = leftovers.search(account, name)
    assert found.found == ()
    assert [what for what, _ in found.not_searched] == ["keys"]
    lines = list(show.leftover_lines(name, replace(found, found=())))
    assert "where it could be looked for" in lines[0]
    assert "ListKeys" in lines[1]


def test_what_is_left_in_a_second_region_is_found_there(account: Account, shell: LocalCloud, name: str) -> None:
    # Given a key with a copy in a second region that bears no tag, and a log group there
    tags = [{"TagKey": "architecture", "TagValue": name}]
    here, there = shell.client("kms"), account.elsewhere("us-west-2").client("kms")
    key = here.create_key(Tags=tags, MultiRegion=True)["KeyMetadata"]["KeyId"]
    here.replicate_key(KeyId=key, ReplicaRegion="us-west-2")
    logs = account.elsewhere("us-west-2").client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{name}-Worker")
    here.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    # When it is looked for in both, Then each is told with its region
    found = leftovers.search(account, name, regions=["us-west-2", account.region])
    assert found.not_searched == ()
    assert {(one.kind, one.name) for one in found.found} == {
        ("key", key),
        ("key in us-west-2", key),
        ("log group in us-west-2", f"/aws/lambda/{name}-Worker"),
    }
    # When it is looked for in the first alone, Then the key is told alone
    assert [one.kind for one in leftovers.search(account, name).found] == ["key"]
    logs.delete_log_group(logGroupName=f"/aws/lambda/{name}-Worker")
    there.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)


def test_a_key_that_waits_for_its_copies_and_one_that_shuts_out_all_are_told(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a key whose policy lets nobody look, and one that is deleted once its copy is gone
    class Keys:
        def get_paginator(self, _: str) -> Any:
            return SimpleNamespace(paginate=lambda: [{"Keys": [{"KeyId": "closed"}, {"KeyId": "waits"}]}])

        def describe_key(self, KeyId: str) -> dict[str, Any]:  # noqa: N803 (as in boto3)
            if KeyId == "closed":
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeKey")
            return {"KeyMetadata": {"KeyState": "PendingReplicaDeletion", "PendingDeletionWindowInDays": 7}}

        def list_resource_tags(self, KeyId: str) -> dict[str, Any]:  # noqa: N803 (as in boto3)
            return {"Tags": [{"TagKey": "architecture", "TagValue": "vault"}]}

    monkeypatch.setattr(Account, "client", lambda *_: Keys())
    # When keys are looked for, Then the second is found, and the first is said to be closed
    found, why = leftovers._looked("keys", lambda: leftovers._keys(account, "vault", set()))
    assert [(one.name, one.goes) for one in found] == [("waits", "7 days after its copy in another region")]
    assert "1 of the keys" in why
    assert "closed" in why


def test_the_file_system_of_a_studio_that_is_gone_is_found(account: Account, shell: LocalCloud) -> None:
    # Given a file system that Studio made for a domain, which was deleted since, and another of somebody's
    efs, mark = shell.client("efs"), f"arn:aws:sagemaker:us-east-1:{shell.account}:domain/d-gone"
    tags = [{"Key": leftovers.STUDIO_TAG, "Value": mark}]
    system = efs.create_file_system(CreationToken=uuid.uuid4().hex, Tags=tags)["FileSystemId"]
    other = efs.create_file_system(CreationToken=uuid.uuid4().hex)["FileSystemId"]
    # When it is looked for what Studio left, Then it is named
    found, why = leftovers._looked("file systems", lambda: leftovers._file_systems(account))
    assert not why
    assert [one.name for one in found] == [system]
    # And it is looked for after those architectures that have to do with one
    places = [leftovers._places(account, one, [], set(), first=True) for one in ("secure-studio", "image-labeling")]
    assert ["file systems" in one for one in places] == [True, False]
    for one in (system, other):
        efs.delete_file_system(FileSystemId=one)


def test_the_log_groups_of_all_jobs_are_told_of_what_runs_jobs_alone(account: Account, shell: LocalCloud) -> None:
    # Given the log group into which all training jobs of an account write
    group, logs = "/aws/sagemaker/TrainingJobs", shell.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    # When log groups are looked for, Then it is told of what trains, with a word that it is everybody's
    trains = {one.name: one.kind for one in leftovers._log_groups(account, "training-pipeline", ())}
    assert "all jobs of the account" in trains[group]
    assert group not in {one.name for one in leftovers._log_groups(account, "image-labeling", ())}


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:logs:us-east-1:1:log-group:/aws/lambda/lost-Worker", "/aws/lambda/lost-Worker"),
        ("arn:aws:s3:::lost-images", "lost-images"),
        ("arn:aws:secretsmanager:us-east-1:1:secret:lost-secret-AbCdEf", "lost-secret"),
        ("arn:aws:cloudformation:us-east-1:1:stack/lost/1b2c", "lost"),
        ("arn:aws:kms:us-east-1:1:key/mrk-1", "mrk-1"),
    ],
)
def test_an_arn_and_the_name_of_a_thing_are_the_same(arn: str, name: str) -> None:
    assert leftovers._own_name(arn) == leftovers._own_name(name)


def test_a_part_of_a_name_is_another_thing() -> None:
    # Given a stage that is called as a part of a bucket is, Then the two are told apart
    assert leftovers._own_name("arn:aws:apigateway:us-east-1::/restapis/a/stages/prod") == "prod"
    assert leftovers._own_name("lost-prod-images") != "prod"


def test_a_stack_that_stands_is_left_too_and_is_removed(account: Account, shell: LocalCloud, name: str) -> None:
    # Given a stack, When it is looked for what is left, Then it is named
    made(shell, name, QUEUE)
    assert [(one.kind, one.name) for one in leftovers.search(account, name).found if one.kind == "stack"] == [
        ("stack", name)
    ]
    # When it is removed, Then it is gone, and to remove it again is no error
    stacks.remove(account, name, lambda _: None, poll_seconds=0.1)
    assert stacks.described(account, name) is None
    stacks.remove(account, name, lambda _: None, poll_seconds=0.1)


def test_a_stack_that_cannot_be_removed_says_which_part_and_why(account: Account, shell: LocalCloud, name: str) -> None:
    # Given a stack whose bucket holds something
    bucket = stacks.outputs_of(made(shell, name, BUCKET))["Name"]
    shell.client("s3").put_object(Bucket=bucket, Key="kept", Body=b"x")
    # When it is removed, Then the line names the part
    with pytest.raises(stacks.StackError, match=f"{name} could not be deleted: B: .*not empty"):
        stacks.remove(account, name, lambda _: None, poll_seconds=0.1)
    shell.client("s3").delete_object(Bucket=bucket, Key="kept")
    stacks.remove(account, name, lambda _: None, poll_seconds=0.1)


def made(cloud: LocalCloud, name: str, template: Mapping[str, object]) -> dict[str, object]:
    """A stack that is ready, as CloudFormation describes it."""
    client = cloud.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ready() -> dict[str, object] | None:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        return dict(stack) if stack["StackStatus"] == "CREATE_COMPLETE" else None

    return until(ready, f"the stack {name}", seconds=60)
