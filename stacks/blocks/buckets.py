"""Buckets: private ones, and those that take uploads and tell EventBridge of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.python_function import Target


def private_bucket(
    scope: Construct,
    construct_id: str,
    *,
    lifecycle_rules: Sequence[s3.LifecycleRule],
    target: Target,
    encryption_key: kms.IKey | None,
) -> s3.Bucket:
    """A private bucket that keeps versions and is emptied with its stack."""
    bucket = s3.Bucket(
        scope,
        construct_id,
        encryption=s3.BucketEncryption.KMS if encryption_key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=encryption_key,
        bucket_key_enabled=True if encryption_key else None,
        enforce_ssl=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        versioned=True,
        lifecycle_rules=list(lifecycle_rules),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    EmptiedBucket(scope, f"Emptied{construct_id}", bucket=bucket, target=target, encryption_key=encryption_key)
    return bucket


def emptying(bucket: s3.Bucket) -> IConstruct:
    """What empties a `private_bucket` at the end of its stack.

    Whatever still writes while the stack is deleted, until it is ended, is to depend on this: then it ends first.
    """
    scope = bucket.node.scope
    assert scope is not None
    return scope.node.find_child(f"Emptied{bucket.node.id}")


def upload_bucket(
    scope: Construct,
    construct_id: str,
    *,
    lifecycle_rules: Sequence[s3.LifecycleRule],
    target: Target,
    encryption_key: kms.IKey | None,
) -> s3.Bucket:
    """A private bucket that tells EventBridge of every object."""
    bucket = private_bucket(
        scope, construct_id, lifecycle_rules=lifecycle_rules, target=target, encryption_key=encryption_key
    )
    # By property: CDK's own switch is a custom resource that wants a grant on every bucket.
    cfn_bucket = bucket.node.default_child
    assert isinstance(cfn_bucket, s3.CfnBucket)
    cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
    return bucket


def old_versions_go() -> s3.LifecycleRule:
    """Old versions outlive the time in which a failed message can be redriven."""
    return s3.LifecycleRule(
        noncurrent_version_expiration=cdk.Duration.days(30),
        abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
        expired_object_delete_marker=True,
    )


def object_created(bucket: s3.Bucket, *, keys: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The pattern of events that tell of an object whose key matches one of these, such as `{"prefix": "uploads/"}`."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [dict(key) for key in keys]}},
    }
