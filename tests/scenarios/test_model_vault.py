"""Keep models unchangeable: locks, copies in a second region, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.cloud import ROOT, LocalCloud
from local.deploy import destroy
from local.permissions import Status, compare, granted
from scenarios import model_vault
from scenarios.model_vault import LINEAGE, auditors, newest, put
from scenarios.roles import client_as
from stacks.policy.compliance import MADE, QUESTIONS
from stacks.policy.template import Template
from tests.conftest import FreshStack, SharedStacks
from tests.local.emulated import eventually, make_role, unique
from tests.mutations import Expectation, Request, of_stack, survivors, wrong
from tests.scenarios.removals import without

ARCHITECTURE = "model-vault"
FILES = sorted((ROOT / "samples" / "texts").glob("review-*.txt"))[:2]
EVERYTHING = {"everything": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}


@pytest.fixture(scope="module")
def outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    return shared_stacks(ARCHITECTURE)


@pytest.fixture(scope="module")
def administrator(cloud: LocalCloud, outputs: dict[str, str]) -> str:
    """A role of the account that may do anything with S3, as far as its own policy goes."""
    return make_role(cloud, {"Action": "s3:*", "Resource": "*"})


def of(bucket: str, key: str, version: str) -> dict[str, str]:
    return {"Bucket": bucket, "Key": key, "VersionId": version}


def test_an_artifact_is_kept_in_two_regions_with_its_lineage_and_its_lock(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given artifacts, When they are put into the vault
    report = model_vault.run(cloud, outputs, FILES, patience_seconds=5)
    # Then each has its copy, and is locked for the retention
    assert report.complete, report
    until = datetime.fromisoformat(report.artifacts[0].locked_until)
    ahead = timedelta(seconds=cloud.control.clock())
    assert abs(until - datetime.now(timezone.utc) - ahead - timedelta(days=1)) < timedelta(minutes=5)
    # and the copies lie in the other region, under that region's replica of the key
    far = auditors(cloud, outputs)[1]
    version = newest(far, outputs["ReplicaName"], report.artifacts[0].key)
    copy = far.get_object(**of(outputs["ReplicaName"], report.artifacts[0].key, version))
    assert copy["SSEKMSKeyId"] == outputs["ReplicaKeyArn"]
    assert outputs["ReplicaKeyArn"].split(":")[3] == outputs["ReplicaRegion"] != cloud.region
    assert outputs["ReplicaKeyArn"].rpartition("/")[2] == outputs["VaultKeyArn"].rpartition("/")[2]


def test_what_would_change_a_model_is_refused_and_nothing_else(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given an artifact, When the vault's roles try what they may and what they may not
    key = f"{unique('model')}/ä b+c.tar.gz"
    version = put(cloud, outputs, key, b"weights")
    tried = model_vault.attempts(cloud, outputs, key, version)
    # Then each came out as it should
    assert [attempt.what for attempt in tried if not attempt.right] == []
    assert {attempt.expected for attempt in tried} == {True, False}


def test_not_even_an_administrator_deletes_a_version_before_its_time(
    cloud: LocalCloud, outputs: dict[str, str], administrator: str
) -> None:
    # Given an artifact whose lock ends in two minutes, and its copy
    bucket, key = outputs["VaultName"], unique("model")
    ahead = cloud.control.clock()
    until = datetime.now(timezone.utc) + timedelta(seconds=ahead + 120)
    version = cloud.client("s3").put_object(
        Bucket=bucket,
        Key=key,
        Body=b"weights",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        Tagging="&".join(f"{tag}=x" for tag in LINEAGE),
    )["VersionId"]
    s3 = client_as(cloud, administrator, "s3")
    # When an administrator deletes it, Then there is a marker, and the version stays
    s3.delete_object(Bucket=bucket, Key=key)
    near, far = auditors(cloud, outputs)
    assert near.get_object(**of(bucket, key, version))["Body"].read() == b"weights"
    copied = newest(far, outputs["ReplicaName"], key)
    # When he deletes the version, with and without unlocking it, here and there, Then it is refused
    for where, one in (
        (s3, of(bucket, key, version)),
        (far_as(cloud, outputs, administrator), of(outputs["ReplicaName"], key, copied)),
    ):
        with pytest.raises(ClientError, match="object protected by object lock"):
            where.delete_object(**one)
        with pytest.raises(ClientError, match="s3:BypassGovernanceRetention"):
            where.delete_object(**one, BypassGovernanceRetention=True)
        with pytest.raises(ClientError, match="AccessDenied"):
            where.put_object_retention(
                **one, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(seconds=60)}
            )
    # When he changes the rules first, here and there, Then that is refused by the rules themselves
    for where, name in ((s3, bucket), (far_as(cloud, outputs, administrator), outputs["ReplicaName"])):
        unlocked: Mapping[str, Any] = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
        for change, given in (
            (where.delete_bucket_policy, {}),
            (where.put_bucket_policy, {"Policy": '{"Statement": []}'}),
            (where.put_object_lock_configuration, unlocked),
        ):
            with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
                change(Bucket=name, **given)
    # When its time is over, Then he may
    cloud.control.clock_advance(121)
    s3.delete_object(**of(bucket, key, version))
    assert newest(near, bucket, key) == ""
    assert far.get_object(**of(outputs["ReplicaName"], key, copied))["Body"].read() == b"weights"


def far_as(cloud: LocalCloud, outputs: dict[str, str], role: str) -> Any:
    return client_as(cloud, role, "s3", region=outputs["ReplicaRegion"])


@pytest.mark.parametrize("tag", LINEAGE)
def test_an_artifact_without_its_lineage_is_refused(cloud: LocalCloud, outputs: dict[str, str], tag: str) -> None:
    # Given tags of which one is missing, When an artifact is put, Then it is refused
    tags = {name: "x" for name in LINEAGE if name != tag}
    with pytest.raises(ClientError, match="explicit deny"):
        put(cloud, outputs, unique("model"), b"", tags)


def test_the_copies_are_written_by_the_replication_alone(
    cloud: LocalCloud, outputs: dict[str, str], administrator: str
) -> None:
    # Given an administrator, When he writes among the copies, Then that is refused
    with pytest.raises(ClientError, match="explicit deny"):
        far_as(cloud, outputs, administrator).put_object(Bucket=outputs["ReplicaName"], Key="x", Body=b"")


def test_who_asked_for_which_copy_is_written_down(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given an artifact with its copy, When the auditor reads both
    key = unique("model")
    version = put(cloud, outputs, key, b"weights")
    near, far = auditors(cloud, outputs)
    near.get_object(**of(outputs["VaultName"], key, version))
    far.get_object(**of(outputs["ReplicaName"], key, newest(far, outputs["ReplicaName"], key)))
    # Then S3 has written down both, each in its own region
    for region, bucket, logs, prefix in (
        (cloud.region, outputs["VaultName"], outputs["AccessLogBucketName"], "vault/"),
        (outputs["ReplicaRegion"], outputs["ReplicaName"], f"{outputs['ReplicaName']}-logs", "replica/"),
    ):
        s3 = root_client(cloud, "s3", region)

        def lines(s3: Any = s3, bucket: str = bucket, logs: str = logs, prefix: str = prefix) -> list[str]:
            found = s3.list_objects_v2(Bucket=logs, Prefix=prefix).get("Contents", [])
            texts = [s3.get_object(Bucket=logs, Key=one["Key"])["Body"].read().decode() for one in found]
            return [line for text in texts for line in text.splitlines() if f" {bucket} " in line and key in line]

        written = eventually(lambda: [line for line in lines() if "REST.GET.OBJECT" in line], 30)
        assert written
        assert "AuditorRole" in written[0]


def test_the_second_regions_buckets_are_as_the_compliance_report_says(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given the buckets that the stack's function has made
    s3 = root_client(cloud, "s3", outputs["ReplicaRegion"])
    resources: dict[str, Any] = {}
    for number, bucket in enumerate((outputs["ReplicaName"], f"{outputs['ReplicaName']}-logs")):
        assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == outputs["ReplicaRegion"]
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in rules] == [1]
        target = s3.get_bucket_logging(Bucket=bucket).get("LoggingEnabled", {}).get("TargetBucket")
        encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        # When they are written down as a template would have them
        resources[f"Bucket{number}"] = {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"]}
                        for rule in encryption
                    ]
                },
                "LifecycleConfiguration": {"Rules": rules},
                "LoggingConfiguration": {"DestinationBucketName": target} if target else {},
                "PublicAccessBlockConfiguration": s3.get_public_access_block(Bucket=bucket)[
                    "PublicAccessBlockConfiguration"
                ],
            },
        }
        properties = {"Bucket": {"Ref": f"Bucket{number}"}, "PolicyDocument": policy}
        resources[f"Policy{number}"] = {"Type": "AWS::S3::BucketPolicy", "Properties": properties}
    template = Template(ARCHITECTURE, {"Resources": resources})
    # Then the questions of the compliance report have the answers that stand in it
    answers = {question: measure(template) for question, measure in QUESTIONS.items()}
    told = MADE["Custom::ReplicaBucket"].measures
    assert {question: answer for question, answer in answers.items() if answer.of} == told


def test_a_throttled_s3_is_asked_again_when_the_stack_is_made(cloud: LocalCloud, fresh_stack: FreshStack) -> None:
    # Given S3, which throttles the function that makes the second region's bucket, and later KMS that does
    cloud.control.faults_add(service="s3", operation="CreateBucket", kind="throttle", times=2)
    cloud.control.faults_add(service="kms", operation="ReplicateKey", kind="throttle", times=2)
    # When a stack is made, Then it stands all the same, and is whole: its copies come
    since = cloud.control.last_decision()
    made = fresh_stack(architecture=ARCHITECTURE)
    report = model_vault.run(cloud, made.outputs, FILES, patience_seconds=5)
    assert report.complete, report
    grants, s3 = granted(cloud, made.name), cloud.client("s3")
    assert eventually(lambda: s3.list_objects_v2(Bucket=made.outputs["AccessLogBucketName"]).get("KeyCount"), 30)
    last = cloud.control.last_decision()
    destroy(cloud, made.name)
    # and what it was granted is what it did, until its end; S3 still tried to deliver, which was taken from it first
    done = [
        one
        for one in cloud.control.decisions(since=since)
        if not (one["principal"] == "logging.s3.amazonaws.com" and one["seq"] > last)
    ]
    permissions = compare(grants, done, architecture=ARCHITECTURE)
    assert permissions.problems == ()
    used = {unit.role for unit in permissions.units if unit.status is Status.USED}
    emptied = ("EmptiedVault", "EmptiedAccessLogs")
    for role in ("ArchivistRole", "AuditorRole", "ReplicationRole", "ReplicaRole", *emptied):
        assert any(name.startswith(role) for name in used), role
    # and nothing is left in either region but keys that wait for their end
    names = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    assert not any(name.startswith(made.name) for name in names)
    assert key_state(cloud, made.outputs["ReplicaKeyArn"]) == "PendingDeletion"
    assert key_state(cloud, made.outputs["VaultKeyArn"]).startswith("Pending")


def key_state(cloud: LocalCloud, arn: str) -> str:
    """As the account's root, in the key's own region."""
    return str(root_client(cloud, "kms", arn.split(":")[3]).describe_key(KeyId=arn)["KeyMetadata"]["KeyState"])


@pytest.mark.parametrize("action", ["s3:ReplicateObject", "s3:GetObjectRetention"])
def test_a_copy_that_cannot_be_made_says_so(cloud: LocalCloud, outputs: dict[str, str], action: str) -> None:
    # Given a replication that lost a permission
    key = unique("model")
    with without(cloud, outputs["ReplicationRoleName"], action):
        # When an artifact is put, Then it is kept, its status says that there is no copy, and there is none
        version = put(cloud, outputs, key, b"weights")
        near, far = auditors(cloud, outputs)
        assert near.get_object(**of(outputs["VaultName"], key, version))["ReplicationStatus"] == "FAILED"
        assert newest(far, outputs["ReplicaName"], key) == ""
    # When the permission is back and it is put again, Then it is copied
    again = put(cloud, outputs, key, b"weights")
    assert near.get_object(**of(outputs["VaultName"], key, again))["ReplicationStatus"] == "COMPLETED"


# --- The policies, taken apart


def test_every_denial_and_every_condition_is_missed_when_it_goes(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given all policies of the stack and of the second region, and what they must allow and refuse
    far = root_client(cloud, "s3", outputs["ReplicaRegion"])
    documents = {
        **of_stack(cloud, ARCHITECTURE),
        "Replica/policy": json.loads(far.get_bucket_policy(Bucket=outputs["ReplicaName"])["Policy"]),
        "Replica/logs": json.loads(far.get_bucket_policy(Bucket=f"{outputs['ReplicaName']}-logs")["Policy"]),
        "Replica/key": json.loads(far_key_policy(cloud, outputs)),
    }
    promises = list(expectations(cloud, outputs, documents))
    assert wrong(promises, documents) == []
    assert sum(not one.allowed for one in promises) >= len(promises) // 2
    # When each denial and each condition is taken out, one by one, Then some promise is broken each time
    assert [str(mutant) for mutant in survivors(promises, documents)] == []


def root_client(cloud: LocalCloud, service: str, region: str) -> Any:
    credentials = cloud.client("sts")._request_signer._credentials
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=cloud.endpoint_url,
        region_name=region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        verify=str(cloud.ca_bundle),
    )


def far_key_policy(cloud: LocalCloud, outputs: dict[str, str]) -> str:
    kms = root_client(cloud, "kms", outputs["ReplicaRegion"])
    return str(kms.get_key_policy(KeyId=outputs["ReplicaKeyArn"], PolicyName="default")["Policy"])


def expectations(
    cloud: LocalCloud, outputs: dict[str, str], documents: Mapping[str, Mapping[str, Any]]
) -> Iterator[Expectation]:
    """What the policies promise, in words."""
    roles = f"arn:aws:iam::{LocalCloud.account}:role/"
    replication = roles + outputs["ReplicationRoleName"]
    replicator, emptier = (
        roles + next(name for name in _roles(cloud) if name.startswith(f"{ARCHITECTURE}-{begin}"))
        for begin in ("ReplicaRole", "EmptiedVaultWorkerRole")
    )
    archivist, auditor, anybody = outputs["ArchivistRoleArn"], outputs["AuditorRoleArn"], roles + "anybody"
    sound = {"s3:TlsVersion": "1.3"}
    tags = {f"s3:RequestObjectTag/{tag}": "x" for tag in LINEAGE}

    def on(
        name: str, policy: str, bucket: str, action: str, who: str, context: Mapping[str, str], *, allowed: bool
    ) -> Expectation:
        request = Request(action, f"arn:aws:s3:::{bucket}/model", who, context)
        return Expectation(f"{policy}: {name}", allowed, request, resource=[policy], extra=EVERYTHING)

    vault, copies = outputs["VaultName"], outputs["ReplicaName"]
    of_vault = next(name for name in documents if name.startswith("VaultPolicy"))
    for policy, bucket, unlocks in ((of_vault, vault, emptier), ("Replica/policy", copies, replicator)):
        read, bypass = "s3:GetObjectVersion", "s3:BypassGovernanceRetention"
        yield on("reads", policy, bucket, read, auditor, sound, allowed=True)
        yield on(
            "not by plain HTTP", policy, bucket, read, auditor, {**sound, "aws:SecureTransport": "false"}, allowed=False
        )
        yield on("not by old TLS", policy, bucket, read, auditor, {"s3:TlsVersion": "1.1"}, allowed=False)
        yield on("nobody unlocks", policy, bucket, bypass, anybody, sound, allowed=False)
        yield on("the stack's end unlocks", policy, bucket, bypass, unlocks, sound, allowed=True)
        for way in ("s3:DeleteBucketPolicy", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy"):
            for who, allowed in ((anybody, False), (f"{roles}cdk-x-cfn-exec-role-y", True)):
                request = Request(way, f"arn:aws:s3:::{bucket}", who, sound)
                promise = f"{policy}: {way} by {who}"
                yield Expectation(promise, allowed, request, resource=[policy], extra=EVERYTHING)
    yield on("with lineage", of_vault, vault, "s3:PutObject", archivist, {**sound, **tags}, allowed=True)
    for tag in LINEAGE:
        without_one = {**sound, **{name: value for name, value in tags.items() if not name.endswith(f"/{tag}")}}
        yield on(f"not without {tag}", of_vault, vault, "s3:PutObject", archivist, without_one, allowed=False)
        yield on(f"{tag} stays", of_vault, vault, "s3:PutObjectTagging", archivist, without_one, allowed=False)
    yield on("replication writes", "Replica/policy", copies, "s3:ReplicateObject", replication, sound, allowed=True)
    yield on("nobody else does", "Replica/policy", copies, "s3:PutObject", anybody, {**sound, **tags}, allowed=False)

    of_logs = next(name for name in documents if name.startswith("AccessLogsPolicy"))
    account = {"aws:SourceAccount": LocalCloud.account}
    for policy, logs, source, prefix in (
        (of_logs, outputs["AccessLogBucketName"], vault, "vault/"),
        ("Replica/logs", f"{copies}-logs", copies, "replica/"),
    ):
        yield on("read by TLS", policy, logs, "s3:GetObject", auditor, sound, allowed=True)
        yield on(
            "not by plain HTTP",
            policy,
            logs,
            "s3:GetObject",
            auditor,
            {**sound, "aws:SecureTransport": "false"},
            allowed=False,
        )
        yield on("not by old TLS", policy, logs, "s3:GetObject", auditor, {"s3:TlsVersion": "1.1"}, allowed=False)
        own, other = {"aws:SourceArn": f"arn:aws:s3:::{source}"}, {"aws:SourceArn": "arn:aws:s3:::somewhere"}
        for name, context, allowed in (
            ("its own bucket's are delivered", {**own, **account}, True),
            ("another bucket's are not", {**other, **account}, False),
            ("another account's are not", {**own, "aws:SourceAccount": "111122223333"}, False),
        ):
            target = f"arn:aws:s3:::{logs}/{prefix}x"
            request = Request("s3:PutObject", target, "logging.s3.amazonaws.com", {**sound, **context})
            yield Expectation(f"{policy}: {name}", allowed, request, resource=[policy])

    def with_key(
        name: str, policy: str, action: str, who: str, context: Mapping[str, str], *, allowed: bool
    ) -> Expectation:
        request = Request(action, outputs["VaultKeyArn"], who, context)
        return Expectation(f"{policy}: {name}", allowed, request, resource=[policy], required=True, extra=EVERYTHING)

    of_key = next(name for name in documents if name.startswith("VaultKey"))
    near, far = _through(cloud.region, vault), _through(outputs["ReplicaRegion"], copies)
    for policy, through, reader, writer in (
        (of_key, near, auditor, archivist),
        (of_key, near, replication, archivist),
        ("Replica/key", far, auditor, replication),
    ):
        other = {**through, "kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::somewhere"}
        past = {name: value for name, value in through.items() if name != "kms:ViaService"}
        for who, action in ((reader, "kms:Decrypt"), (writer, "kms:GenerateDataKey")):
            yield with_key(f"{who} through S3", policy, action, who, through, allowed=True)
            yield with_key(f"{who} past S3", policy, action, who, past, allowed=False)
            yield with_key(f"{who} for another bucket", policy, action, who, other, allowed=False)
        yield with_key("the writer does not read", policy, "kms:Decrypt", archivist, through, allowed=False)
        yield with_key("nobody else", policy, "kms:Decrypt", anybody, through, allowed=False)
    operations = next(name for name in documents if name.startswith("OperationsKey"))
    group = f"arn:aws:logs:us-east-1:{LocalCloud.account}:log-group:"
    for name, where, allowed in (("its own groups", ARCHITECTURE, True), ("no other", "somebody", False)):
        context = {"kms:EncryptionContext:aws:logs:arn": f"{group}{where}-x"}
        yield with_key(name, operations, "kms:Decrypt", "logs.us-east-1.amazonaws.com", context, allowed=allowed)


def _through(region: str, bucket: str) -> dict[str, str]:
    return {
        "kms:ViaService": f"s3.{region}.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}",
    }


def _roles(cloud: LocalCloud) -> list[str]:
    pages = cloud.client("iam").get_paginator("list_roles").paginate()
    return [one["RoleName"] for page in pages for one in page["Roles"]]
