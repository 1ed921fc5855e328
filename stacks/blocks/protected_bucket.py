"""Buckets for data of which somebody must answer: a key of their own, current TLS, and a record of every request."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.keys import USE
from stacks.blocks.python_function import Target

# What the account's administrators do with a key: everything but use it. Named one by one, as `kms:*` would decrypt
# too (AWS KMS Developer Guide, "Default key policy", "Allows key administrators to administer the KMS key", read
# 2026-11-27). Not kms:CreateGrant, which could hand out what the policy does not.
ADMINISTER = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)


def bucket_key(
    scope: Construct,
    construct_id: str,
    *,
    description: str,
    users: Sequence[iam.IRole] = (),
    readers: Sequence[iam.IRole] = (),
    writers: Sequence[iam.IRole] = (),
    rotation_days: int = 365,
    replicated_by: iam.IRole | None = None,
) -> kms.Key:
    """A rotating key for buckets of this stack, with which `users` write and read, `readers` and `writers` do the one.

    Only through S3. It names them itself, so their own policies need not. Nobody decrypts with it directly, whatever
    his IAM policy says, the account's root included: it administers. S3 names the bucket, or the object, in the
    encryption context. The buckets are told by the stack's name, which must be in small letters and short (33 letters
    with a logical id of 16), or CloudFormation changes it in theirs. `replicated_by` may make the same key in another
    region.
    """
    stack = cdk.Stack.of(scope)

    def through_s3(sid: str, roles: Sequence[iam.IRole], actions: Sequence[str]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid=sid,
            principals=list(roles),
            actions=list(actions),
            resources=["*"],
            conditions={
                "StringEquals": {"kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}"},
                "ArnLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:{stack.partition}:s3:::{cdk.Aws.STACK_NAME}-*"},
            },
        )

    return kms.Key(
        scope,
        construct_id,
        description=description,
        enable_key_rotation=True,
        rotation_period=cdk.Duration.days(rotation_days),
        pending_window=cdk.Duration.days(7),
        removal_policy=cdk.RemovalPolicy.DESTROY,
        multi_region=True if replicated_by else None,
        policy=iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="AccountAdministers",
                    principals=[iam.AccountRootPrincipal()],
                    actions=list(ADMINISTER),
                    resources=["*"],
                ),
                *(
                    through_s3(f"{sid}ThroughS3", roles, actions)
                    for sid, roles, actions in (
                        ("Users", users, USE),
                        ("Readers", readers, ["kms:Decrypt"]),
                        ("Writers", writers, ["kms:GenerateDataKey"]),
                    )
                    if roles
                ),
                *(
                    [
                        iam.PolicyStatement(
                            sid="Replicates",
                            principals=[replicated_by],
                            actions=["kms:ReplicateKey"],
                            resources=["*"],
                        )
                    ]
                    if replicated_by
                    else []
                ),
            ]
        ),
    )


def access_log_bucket(
    scope: Construct, construct_id: str, *, days: int, target: Target, operations_key: kms.Key
) -> s3.Bucket:
    """Where S3 writes down who asked other buckets of the stack for what.

    Encrypted by S3's own keys: log delivery takes no other ("Enabling Amazon S3 server access logging", Amazon S3 User
    Guide, read 2026-11-27). S3 delivers for hours after a request, so its permission goes first when the stack does,
    and only then is the bucket emptied: nothing can come in between that would stand in the way of its deletion.
    """
    bucket = s3.Bucket(
        scope,
        construct_id,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        versioned=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=cdk.Duration.days(days),
                noncurrent_version_expiration=cdk.Duration.days(1),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
            )
        ],
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    emptied = EmptiedBucket(
        scope, f"Emptied{construct_id}", bucket=bucket, target=target, encryption_key=operations_key
    )
    assert bucket.policy
    bucket.policy.node.add_dependency(emptied)
    return bucket


def protected_bucket(
    scope: Construct,
    construct_id: str,
    *,
    key: kms.Key,
    minimum_tls: float,
    access_logs: s3.Bucket,
    lifecycle_rules: Sequence[s3.LifecycleRule],
    target: Target,
    operations_key: kms.Key,
) -> s3.Bucket:
    """A versioned bucket under a key of its own, whose policy refuses what would weaken that.

    Refused to everyone: plain HTTP, TLS older than `minimum_tls`, and a write that asks for another encryption or
    another key. A write that asks for none gets the bucket's own. `operations_key` encrypts the log of the function
    that empties the bucket when the stack is deleted.
    """
    bucket = s3.Bucket(
        scope,
        construct_id,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        enforce_ssl=True,
        minimum_tls_version=minimum_tls,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        versioned=True,
        lifecycle_rules=list(lifecycle_rules),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    deny(
        bucket,
        "OnlyKmsEncryption",
        ["s3:PutObject"],
        bucket.arn_for_objects("*"),
        conditions=_given_but_not("s3:x-amz-server-side-encryption", "aws:kms"),
    )
    deny(
        bucket,
        "OnlyThisKey",
        ["s3:PutObject"],
        bucket.arn_for_objects("*"),
        conditions=_given_but_not("s3:x-amz-server-side-encryption-aws-kms-key-id", key.key_arn),
    )
    EmptiedBucket(scope, f"Emptied{construct_id}", bucket=bucket, target=target, encryption_key=operations_key)
    log_accesses(bucket, access_logs)
    return bucket


def deny(bucket: s3.Bucket, sid: str, actions: Sequence[str], *resources: str, conditions: dict[str, object]) -> None:
    """Refuses everyone these actions, under these conditions."""
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            sid=sid,
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=list(actions),
            resources=list(resources),
            conditions=conditions,
        )
    )


def _given_but_not(header: str, value: str) -> dict[str, object]:
    """For a denial: a request without the header gets the bucket's default. A negated operator alone would match it,
    with IfExists too ("IAM JSON policy elements: Condition operators", IAM User Guide, read 2026-11-27).
    """
    return {"Null": {header: "false"}, "StringNotEquals": {header: value}}


def log_accesses(bucket: s3.Bucket, access_logs: s3.Bucket) -> None:
    """Has S3 write every request to a bucket into another one, under the construct's name.

    By property and policy: CDK's own switch writes a grant by ACL, or one without the bucket's name in the prefix.
    """
    prefix = f"{bucket.node.id.lower()}/"
    cfn_bucket = bucket.node.default_child
    assert isinstance(cfn_bucket, s3.CfnBucket)
    cfn_bucket.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
        destination_bucket_name=access_logs.bucket_name, log_file_prefix=prefix
    )
    access_logs.add_to_resource_policy(
        iam.PolicyStatement(
            sid=f"LogsOf{bucket.node.id}",
            principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[access_logs.arn_for_objects(f"{prefix}*")],
            conditions={
                "ArnLike": {
                    "aws:SourceArn": f"arn:{cdk.Aws.PARTITION}:s3:::{cdk.Aws.STACK_NAME}-{bucket.node.id.lower()}*"
                },
                "StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
            },
        )
    )
