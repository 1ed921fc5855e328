"""Makes, changes and removes the vault's bucket in the second region, its access logs' and its key's replica there.

CloudFormation makes resources in one region. So the stack calls this function for `Custom::ReplicaBucket`, and one
template is deployed by one command and deleted by one. Properties: `Region`, `RetentionDays`, `LogDays`, `MinimumTls`,
`KeyArn` (of the multi-region key in the stack), `ReplicationRole` and `ReaderRole` (ARNs). Attributes: `BucketArn`,
`KeyArn`. Each step is harmless when it is repeated.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lambdas.model_vault.replica_bucket.documents import LOG_PREFIX, bucket_policy, key_policy, log_policy
from lambdas.shared.custom_resource import SECONDS_TO_ANSWER, answer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# AWS Key Management Service API Reference, "ScheduleKeyDeletion", read 2026-11-27: 7 to 30 days.
PENDING_DAYS = 7


class SameRegionError(Exception):
    """The copies would lie where the originals are."""


class NotEmptyError(Exception):
    """The replica still holds versions."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason."""
    properties = event["ResourceProperties"]
    bucket, region = bucket_name(event["StackId"]), properties["Region"]
    s3, kms = (boto3.client(service, region_name=region) for service in ("s3", "kms"))

    def work() -> dict[str, str] | None:
        if event["RequestType"] == "Delete":
            remove(s3, kms, bucket, properties, context)
            return None
        # The key is replicated from where it is.
        primary = boto3.client("kms", region_name=properties["KeyArn"].split(":")[3])
        return make(s3, kms, primary, bucket, properties)

    answer(event, bucket, work)


def bucket_name(stack_id: str) -> str:
    """`<stack>-replica-<eight digits of the stack's id>`, from `arn:aws:cloudformation:...:stack/NAME/UUID`."""
    _, name, unique = stack_id.split("/")
    return f"{name}-replica-{unique[:8]}"


def log_bucket_name(bucket: str) -> str:
    """Where the bucket's access logs lie.

    In its own region and account, which S3 asks for ("Enabling Amazon S3 server access logging", Amazon S3 User Guide,
    and "LoggingEnabled" of the API Reference, read 2026-11-28).
    """
    return f"{bucket}-logs"


def replica_arn(key_arn: str, region: str) -> str:
    """A multi-region key has the same id everywhere (AWS KMS Developer Guide, "Multi-Region keys", read 2026-11-27)."""
    parts = key_arn.split(":")
    return ":".join([*parts[:3], region, *parts[4:]])


def make(s3: Any, kms: Any, primary: Any, bucket: str, properties: dict[str, Any]) -> dict[str, str]:
    """The bucket with its lock, key, policies and logs as the properties want them.

    Raises ClientError, and SameRegionError where the region is the stack's own.
    """
    if properties["Region"] == properties["KeyArn"].split(":")[3]:
        raise SameRegionError(f"replica_region is the stack's own, {properties['Region']}: choose another")
    writer, reader = properties["ReplicationRole"], properties["ReaderRole"]
    emptier, account = os.environ["ROLE_ARN"], writer.split(":")[4]
    region = properties["Region"]
    key = replica_arn(properties["KeyArn"], region)
    _replicate(kms, primary, key, json.dumps(key_policy(account, region, bucket, writer, reader)))
    _make_logs(s3, bucket, properties)
    _make_bucket(
        s3, region, bucket, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, ObjectLockEnabledForBucket=True
    )
    # As in the first region: nothing expires but parts of uploads that nobody ends.
    _expire(s3, bucket)
    retention = {"Mode": "GOVERNANCE", "Days": int(properties["RetentionDays"])}
    s3.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},
    )
    policy = bucket_policy(bucket, writer, emptier, float(properties["MinimumTls"]), properties["Keepers"])
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    target = {"TargetBucket": log_bucket_name(bucket), "TargetPrefix": LOG_PREFIX}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": target})
    logger.info("The replica is as it should be")
    return {"BucketArn": f"arn:aws:s3:::{bucket}", "KeyArn": key}


def _make_logs(s3: Any, bucket: str, properties: dict[str, Any]) -> None:
    # Under S3's own keys and without a lock, or nothing could be delivered (the pages of `log_bucket_name`).
    logs, ends = log_bucket_name(bucket), {"Days": int(properties["LogDays"])}
    _make_bucket(s3, properties["Region"], logs, {"SSEAlgorithm": "AES256"})
    _expire(s3, logs, Expiration=ends, NoncurrentVersionExpiration={"NoncurrentDays": 1})
    s3.put_bucket_policy(Bucket=logs, Policy=json.dumps(_log_policy(bucket, properties)))


def _log_policy(bucket: str, properties: dict[str, Any], *, delivering: bool = True) -> dict[str, Any]:
    account, tls = properties["ReplicationRole"].split(":")[4], float(properties["MinimumTls"])
    return log_policy(bucket, log_bucket_name(bucket), account, tls, delivering=delivering)


def _make_bucket(s3: Any, region: str, bucket: str, encryption: dict[str, str], **more: Any) -> None:
    """A bucket with versions, closed to the public, and encrypted."""
    try:
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **where, **more)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        ),
    )
    rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": encryption}
    if encryption["SSEAlgorithm"] == "aws:kms":
        rule["BucketKeyEnabled"] = True
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _expire(s3: Any, bucket: str, **more: Any) -> None:
    rule = {"ID": "ends", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})


def _replicate(kms: Any, primary: Any, key: str, policy: str) -> None:
    """Makes the replica of the key if there is none, with this policy."""
    region, name = key.split(":")[3], key.rpartition("/")[2]
    try:
        primary.replicate_key(KeyId=name, ReplicaRegion=region, Policy=policy)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


def remove(s3: Any, kms: Any, bucket: str, properties: dict[str, Any], context: Any) -> None:
    """Deletes what is locked too: the stack's end is the one moment at which that may be. Raises NotEmptyError."""
    _remove_bucket(s3, bucket, context, BypassGovernanceRetention=True)
    logs = log_bucket_name(bucket)
    try:
        # S3 delivers for hours after a request.
        s3.put_bucket_policy(Bucket=logs, Policy=json.dumps(_log_policy(bucket, properties, delivering=False)))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    _remove_bucket(s3, logs, context)
    key = replica_arn(properties["KeyArn"], properties["Region"])
    try:
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=PENDING_DAYS)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise


def _remove_bucket(s3: Any, bucket: str, context: Any, **more: Any) -> None:
    try:
        while found := _page(s3, bucket):
            if context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER:
                raise NotEmptyError("Versions remain: delete the stack once more to go on")
            request = {"Objects": found, "Quiet": True}
            errors = s3.delete_objects(Bucket=bucket, Delete=request, **more).get("Errors", [])
            if errors:
                raise NotEmptyError(f"S3 kept {len(errors)} versions, the first because of {errors[0].get('Code')}")
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def _page(s3: Any, bucket: str) -> list[dict[str, str]]:
    page = s3.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]
