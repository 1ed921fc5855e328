"""What is left after a removal is found and named; a stack that cannot be removed says why."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

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


def own(found: leftovers.Search) -> list[leftovers.Leftover]:
    """Without the log groups that jobs of other tests have written into."""
    return [one for one in found.found if not one.name.startswith("/aws/sagemaker/")]


def test_everything_that_is_left_is_found_once_with_its_cost_and_end(
    account: Account, name: str, left: dict[str, str]
) -> None:
    # Given one of everything that may be left, When it is looked for
    found = leftovers.search(account, name)
    # Then all of it is found, each once, and nothing of another's
    assert found.not_searched == ()
    assert {one.kind: one.name for one in own(found)} == left
    assert len(own(found)) == len(left)
    by_kind = {one.kind: one for one in own(found)}
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
    assert own(found) == []
    assert [what for what, _ in found.not_searched] == ["keys"]
    lines = list(show.leftover_lines(name, replace(found, found=())))
    assert "where it could be looked for" in lines[0]
    assert "ListKeys" in lines[1]


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
