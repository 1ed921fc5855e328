"""The second region's bucket of model-vault: its names, and what happens when steps are repeated."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from botocore.exceptions import ClientError

from lambdas.model_vault.replica_bucket import documents
from lambdas.model_vault.replica_bucket import handler as module
from stacks.blocks import protected_bucket

KEY = "arn:aws:kms:us-east-1:111122223333:key/mrk-1"
PROPERTIES = {
    "Region": "us-west-2",
    "RetentionDays": "3",
    "LogDays": "90",
    "MinimumTls": "1.2",
    "Keepers": ["arn:aws:iam::111122223333:root"],
    "KeyArn": KEY,
    "ReplicationRole": "arn:aws:iam::111122223333:role/replication",
    "ReaderRole": "arn:aws:iam::111122223333:role/auditor",
}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Any")


class Context:
    def __init__(self, seconds: float = 900) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> float:
        return self.seconds * 1000


def test_the_bucket_is_called_after_its_stack_and_the_key_has_one_id_everywhere() -> None:
    # Given a stack's id and a key, When names are made, Then they come from these alone
    stack = "arn:aws:cloudformation:us-east-1:111122223333:stack/model-vault/12345678-aaaa-bbbb"
    assert module.bucket_name(stack) == "model-vault-replica-12345678"
    assert module.replica_arn(KEY, "us-west-2") == "arn:aws:kms:us-west-2:111122223333:key/mrk-1"


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_making_it_again_is_harmless(*, again: bool) -> None:
    # Given a second region, where all is there already or nothing is
    s3, kms, primary = MagicMock(), MagicMock(), MagicMock()
    if again:
        s3.create_bucket.side_effect = error("BucketAlreadyOwnedByYou")
        primary.replicate_key.side_effect = error("AlreadyExistsException")
    with patch.dict(os.environ, {"ROLE_ARN": "arn:aws:iam::111122223333:role/replica"}):
        # When it is made
        made = module.make(s3, kms, primary, "b", PROPERTIES)
    # Then it is as the properties want it, each time
    assert made == {"BucketArn": "arn:aws:s3:::b", "KeyArn": "arn:aws:kms:us-west-2:111122223333:key/mrk-1"}
    # The copies, and beside them, under S3's own key and without a lock, their access logs
    assert [call.kwargs["Bucket"] for call in s3.create_bucket.call_args_list] == ["b-logs", "b"]
    (log_rule,), (rule,) = (
        call.kwargs["LifecycleConfiguration"]["Rules"] for call in s3.put_bucket_lifecycle_configuration.call_args_list
    )
    assert log_rule["Expiration"] == {"Days": 90}
    assert "Expiration" not in rule
    target = s3.put_bucket_logging.call_args.kwargs["BucketLoggingStatus"]["LoggingEnabled"]
    assert target == {"TargetBucket": "b-logs", "TargetPrefix": "replica/"}
    lock = s3.put_object_lock_configuration.call_args.kwargs["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 3}
    assert kms.put_key_policy.call_args.kwargs["KeyId"] == made["KeyArn"]


def test_what_goes_wrong_is_told() -> None:
    # Given a name that somebody else has, When the bucket is made, Then that is an error
    s3 = MagicMock()
    s3.create_bucket.side_effect = error("BucketAlreadyExists")
    with (
        patch.dict(os.environ, {"ROLE_ARN": "arn:aws:iam::111122223333:role/replica"}),
        pytest.raises(ClientError, match="BucketAlreadyExists"),
    ):
        module.make(s3, MagicMock(), MagicMock(), "b", PROPERTIES)


def test_the_stacks_own_region_is_refused_before_anything_is_made() -> None:
    # Given the region of the stack as the second one, When the bucket is made, Then that is refused and nothing made
    s3, kms, primary = MagicMock(), MagicMock(), MagicMock()
    with pytest.raises(module.SameRegionError, match="us-east-1: choose another"):
        module.make(s3, kms, primary, "b", {**PROPERTIES, "Region": "us-east-1"})
    assert s3.method_calls == kms.method_calls == primary.method_calls == []


@pytest.mark.parametrize(
    ("state", "deletions"), [("Enabled", 1), ("PendingDeletion", 0), (error("NotFoundException"), 0)]
)
def test_removing_it_again_is_harmless(state: Any, deletions: int) -> None:
    # Given buckets that are gone, and a key that is there, waits for its end, or is gone
    s3, kms = MagicMock(), MagicMock()
    s3.put_bucket_policy.side_effect = error("NoSuchBucket")
    s3.list_object_versions.side_effect = error("NoSuchBucket")
    kms.describe_key.side_effect = [state if isinstance(state, ClientError) else {"KeyMetadata": {"KeyState": state}}]
    # When it is removed, Then the key is scheduled for deletion if it is not yet
    module.remove(s3, kms, "b", PROPERTIES, Context())
    assert kms.schedule_key_deletion.call_count == deletions


def test_nothing_is_delivered_once_the_logs_are_emptied() -> None:
    # Given empty buckets, When they are removed, Then S3 is let in no more before its records are
    s3 = MagicMock()
    s3.list_object_versions.return_value = {}
    module.remove(s3, MagicMock(), "b", PROPERTIES, Context())
    calls = [(name, given["Bucket"]) for name, _, given in s3.method_calls if name != "list_object_versions"]
    assert calls == [("delete_bucket", "b"), ("put_bucket_policy", "b-logs"), ("delete_bucket", "b-logs")]
    policy = s3.put_bucket_policy.call_args.kwargs["Policy"]
    assert "logging.s3.amazonaws.com" not in policy
    assert "OnlyCurrentTls" in policy


def test_versions_that_stay_are_an_error_and_so_is_too_little_time() -> None:
    # Given versions of which S3 keeps one, When the bucket is emptied, Then the reason is told, without its name
    s3 = MagicMock()
    s3.list_object_versions.return_value = {"Versions": [{"Key": "secret", "VersionId": "1"}]}
    s3.delete_objects.return_value = {"Errors": [{"Key": "secret", "Code": "AccessDenied"}]}
    with pytest.raises(module.NotEmptyError, match="kept 1 versions, the first because of AccessDenied"):
        module.remove(s3, MagicMock(), "b", PROPERTIES, Context())
    # When the function's time runs out, Then nothing more is deleted
    with pytest.raises(module.NotEmptyError, match="once more"):
        module.remove(s3, MagicMock(), "b", PROPERTIES, Context(seconds=10))
    assert s3.delete_objects.call_count == 1


def test_the_far_key_is_administered_as_the_stacks_own() -> None:
    # Given both lists, which no code can share, Then they are one
    assert documents.ADMINISTER == protected_bucket.ADMINISTER
