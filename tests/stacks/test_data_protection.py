"""Encrypt everything, share briefly: the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.policy.template import Template, read, statements
from stacks.secure.data_protection import DataProtectionSettings


@pytest.fixture(scope="module")
def protection(assemblies: dict[str, Path]) -> Template:
    return next(one for one in read(assemblies["aws"]) if one.architecture == "data-protection")


def test_nobody_uses_a_key_but_its_users_through_s3(protection: Template) -> None:
    # Given the keys of the classes, When their policies are read
    for logical_id, key in protection.resources("AWS::KMS::Key"):
        if logical_id.startswith("Operations"):
            continue
        policy = key["Properties"]["KeyPolicy"]["Statement"]
        # Then the account administers, and has no way to what lies under the key
        account = next(one for one in policy if one["Sid"] == "AccountAdministers")
        assert not {"kms:*", "kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"} & set(account["Action"])
        # and every other statement names roles, and holds them to S3 and the stack's buckets
        for statement in policy[1:]:
            assert "root" not in str(statement["Principal"])
            assert set(statement["Condition"]) == {"StringEquals", "ArnLike"}
        assert key["Properties"]["EnableKeyRotation"] is True


def test_every_bucket_is_private_versioned_and_current(protection: Template) -> None:
    # Given the three buckets, When they are read
    buckets = dict(protection.resources("AWS::S3::Bucket"))
    assert len(buckets) == 3
    for bucket in buckets.values():
        # Then nothing of them is public, and what is overwritten is kept for a while
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    # and both classes' are encrypted by a bucket key of KMS, and logged into the third
    of_classes = [one["Properties"] for name, one in buckets.items() if not name.startswith("AccessLogs")]
    for properties in of_classes:
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["BucketKeyEnabled"] is True
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert properties["LoggingConfiguration"]["DestinationBucketName"]["Ref"].startswith("AccessLogs")


def test_a_denial_names_no_exception_but_the_function(protection: Template) -> None:
    # Given all denials, When they are read, Then each is for everyone
    denials = [one for one in statements(protection) if not one.allows]
    assert {one.principals[0] for one in denials} == {("AWS", "*")}
    # and the only principal that a condition spares is the function's role
    spared: list[Any] = [value for one in denials for value in one.body["Condition"].get("ArnNotEquals", {}).values()]
    assert [value["Fn::GetAtt"][0].startswith("ShareFileRole") for value in spared] == [True, True]


def test_logs_are_let_in_before_anything_is_logged_and_not_after(protection: Template) -> None:
    # Given the policy of the bucket for logs, When its order is read
    name, policy = next(item for item in protection.resources("AWS::S3::BucketPolicy") if item[0].startswith("Access"))
    # Then it goes before the bucket is emptied: deletion is in the other order
    assert any(one.startswith("EmptiedAccessLogs") for one in policy["DependsOn"]), name


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"minimum_tls": "1.1"}, "minimum_tls"),
        ({"rotation_days": 89}, "rotation_days"),
        ({"longest_link_minutes": 61}, "longest_link_minutes"),
        ({"access_log_days": 29}, "access_log_days"),
        ({"kms_key": "own"}, "kms_key"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused(values: dict[str, Any], fault: str) -> None:
    # Given a value out of bounds, When the settings are made, Then it is refused by name
    with pytest.raises(ValidationError, match=fault):
        DataProtectionSettings.model_validate(values)
