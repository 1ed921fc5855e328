"""Object Lock and replication on the local cloud: each permission is needed, keys too, and locks follow the clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator.authorise import PATHS
from local.emulator.seams import vaults
from tests.local.emulated import client_as, make_role, policy, set_permissions, unique

REPLICATES = sorted(PATHS["replication"].actions)
MODE = {"Mode": "GOVERNANCE", "Days": 1}


def locked_bucket(cloud: LocalCloud) -> str:
    s3, name = cloud.client("s3"), unique("locked")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": MODE}}
    )
    return name


def replicated(cloud: LocalCloud, role: str, *, key: str = "", target_key: str = "") -> tuple[str, str]:
    """A locked bucket whose objects are copied into another, as the role."""
    s3, source, target = cloud.client("s3"), locked_bucket(cloud), locked_bucket(cloud)
    destination: dict[str, Any] = {"Bucket": f"arn:aws:s3:::{target}"}
    rule: dict[str, Any] = {
        "ID": "all",
        "Status": "Enabled",
        "Priority": 1,
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": destination,
    }
    if key:
        applied = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        s3.put_bucket_encryption(
            Bucket=source,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": applied}]},
        )
    if target_key:
        destination["EncryptionConfiguration"] = {"ReplicaKmsKeyID": target_key}
        rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": role, "Rules": [rule]})
    return source, target


def status(cloud: LocalCloud, bucket: str) -> str:
    """Puts an object; returns what became of its copy."""
    s3, key = cloud.client("s3"), unique("object")
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return str(s3.head_object(Bucket=bucket, Key=key).get("ReplicationStatus", "none"))


def allowing(*actions: str) -> dict[str, Any]:
    return {"Action": list(actions), "Resource": "*"}


def test_a_copy_needs_each_permission(cloud: LocalCloud) -> None:
    # Given a replication that may do all that it needs, When an object is put, Then it is copied
    role = make_role(cloud, allowing(*REPLICATES))
    source, _ = replicated(cloud, role)
    assert status(cloud, source) == "COMPLETED"
    for action in REPLICATES:
        # When one permission is taken away, Then the object is kept, and its status says that it has no copy
        set_permissions(cloud, role, allowing(*(other for other in REPLICATES if other != action)))
        assert status(cloud, source) == "FAILED", action
    # When all are back, Then it is copied again
    set_permissions(cloud, role, allowing(*REPLICATES))
    assert status(cloud, source) == "COMPLETED"


def test_a_copy_needs_both_keys_and_is_made_only_where_it_is_asked_for(cloud: LocalCloud) -> None:
    # Given two keys, and a replication that may use both
    kms = cloud.client("kms")
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    uses = [{"Action": "kms:Decrypt", "Resource": keys[0]}, {"Action": "kms:Encrypt", "Resource": keys[1]}]
    role = make_role(cloud, allowing(*REPLICATES), *uses)
    source, target = replicated(cloud, role, key=keys[0], target_key=keys[1])
    # When an object is put, Then it is copied, and lies under the second key
    assert status(cloud, source) == "COMPLETED"
    s3 = cloud.client("s3")
    (copy,) = s3.list_objects_v2(Bucket=target)["Contents"]
    assert s3.head_object(Bucket=target, Key=copy["Key"])["SSEKMSKeyId"] == keys[1]
    for left in (uses[:1], uses[1:]):
        # When one key's use is taken away, Then there is no copy
        set_permissions(cloud, role, allowing(*REPLICATES), *left)
        assert status(cloud, source) == "FAILED"
    # When the rule does not ask for what lies under keys, Then it is left out, which is no failure
    silent, _ = replicated(cloud, role, key=keys[0])
    assert status(cloud, silent) == "none"


def test_a_lock_follows_the_clock_and_a_copy_has_its_own(cloud: LocalCloud) -> None:
    # Given an object that is locked for a minute, and its copy
    s3, source_role = cloud.client("s3"), make_role(cloud, allowing(*REPLICATES))
    source, target = replicated(cloud, source_role)
    until = datetime.now(timezone.utc) + timedelta(seconds=cloud.control.clock() + 60)
    s3.put_object(Bucket=source, Key="a", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    places = [
        {"Bucket": bucket, "Key": "a", "VersionId": s3.head_object(Bucket=bucket, Key="a")["VersionId"]}
        for bucket in (source, target)
    ]
    for place in places:
        assert s3.get_object_retention(**place)["Retention"]["RetainUntilDate"] - until < timedelta(seconds=1)
        # When it is deleted before its time, Then it is refused
        with pytest.raises(ClientError, match="object lock"):
            s3.delete_object(**place)
    # When the clock moves past it, Then it goes
    cloud.control.clock_advance(61)
    for place in places:
        s3.delete_object(**place)
    # and what is locked by default now, is locked from now on, by that clock
    s3.put_object(Bucket=source, Key="b", Body=b"x")
    now = datetime.now(timezone.utc) + timedelta(seconds=cloud.control.clock())
    ends = s3.get_object_retention(Bucket=source, Key="b")["Retention"]["RetainUntilDate"]
    assert abs(ends - now - timedelta(days=1)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("given", "action"),
    [
        ({"Tagging": "a=b"}, "s3:PutObjectTagging"),
        (
            {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2040, 1, 1, tzinfo=timezone.utc)},
            "s3:PutObjectRetention",
        ),
        ({"ObjectLockLegalHoldStatus": "ON"}, "s3:PutObjectLegalHold"),
    ],
)
def test_who_gives_tags_or_locks_needs_the_permission_for_that(
    cloud: LocalCloud, given: dict[str, Any], action: str
) -> None:
    # Given a role that may put objects and nothing else
    bucket, role = locked_bucket(cloud), make_role(cloud, allowing("s3:PutObject"))
    s3 = client_as(cloud, role, "s3")
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    # When it gives more beside, Then that is refused, by the name of what is missing; with the permission it is not
    with pytest.raises(ClientError, match=action):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", **given)
    set_permissions(cloud, role, allowing("s3:PutObject", action))
    s3.put_object(Bucket=bucket, Key="a", Body=b"", **given)


def test_a_policy_sees_the_tags_that_a_write_gives(cloud: LocalCloud) -> None:
    # Given a bucket that takes only what tells its project
    bucket, role = locked_bucket(cloud), make_role(cloud, allowing("s3:PutObject", "s3:PutObjectTagging"))
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"StringNotEquals": {"s3:RequestObjectTag/project": "a b"}},
    }
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    s3 = client_as(cloud, role, "s3")
    # When objects come with another tag, without, and with it, Then the last alone is taken
    for tagging in ("project=c", ""):
        with pytest.raises(ClientError, match="explicit deny"):
            s3.put_object(Bucket=bucket, Key="a", Body=b"", **({"Tagging": tagging} if tagging else {}))
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="project=a%20b")


def test_a_replication_rule_that_is_not_served_fails_the_stack() -> None:
    # Given a rule with a property that nothing here acts on, When it is read, Then it is refused by name
    with pytest.raises(ValueError, match="Prefix are not served"):
        vaults._rule({"Status": "Enabled", "Prefix": "x"})
