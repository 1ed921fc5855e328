"""Makes, changes and removes the vault's bucket in the second region, and its key's replica there.

CloudFormation makes resources in one region. So the stack calls this function for `Custom::ReplicaBucket`, and one
template is deployed by one command and deleted by one. Properties: `Region`, `RetentionDays`, `MinimumTls`, `KeyArn`
(of the multi-region key in the stack), `ReplicationRole` and `ReaderRole` (ARNs). Attributes: `BucketArn`, `KeyArn`.
Each step is harmless when it is repeated.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lambdas.model_vault.replica_bucket.documents import bucket_policy, key_policy
from lambdas.shared.custom_resource import SECONDS_TO_ANSWER, answer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# AWS Key Management Service API Reference, "ScheduleKeyDeletion", read 2026-11-27: 7 to 30 days.
PENDING_DAYS = 7


class NotEmptyError(Exception):
    """The replica still holds versions."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason."""
    properties = event["ResourceProperties"]
    bucket, region = bucket_name(event["StackId"]), properties["Region"]
    s3, kms = (boto3.client(service, region_name=region) for service in ("s3", "kms"))

    def work() -> dict[str, str] | None:
        if event["RequestType"] == "Delete":
            remove(s3, kms, bucket, replica_arn(properties["KeyArn"], region), context)
            return None
        # The key is replicated from where it is.
        primary = boto3.client("kms", region_name=properties["KeyArn"].split(":")[3])
        return make(s3, kms, primary, bucket, properties)

    answer(event, bucket, work)


def bucket_name(stack_id: str) -> str:
    """`<stack>-replica-<eight digits of the stack's id>`, from `arn:aws:cloudformation:...:stack/NAME/UUID`."""
    _, name, unique = stack_id.split("/")
    return f"{name}-replica-{unique[:8]}"


def replica_arn(key_arn: str, region: str) -> str:
    """A multi-region key has the same id everywhere (AWS KMS Developer Guide, "Multi-Region keys", read 2026-11-27)."""
    parts = key_arn.split(":")
    return ":".join([*parts[:3], region, *parts[4:]])


def make(s3: Any, kms: Any, primary: Any, bucket: str, properties: dict[str, Any]) -> dict[str, str]:
    """The bucket with its lock, key and policies as the properties want them. Raises ClientError."""
    writer, reader = properties["ReplicationRole"], properties["ReaderRole"]
    emptier, account = os.environ["ROLE_ARN"], writer.split(":")[4]
    region = properties["Region"]
    key = replica_arn(properties["KeyArn"], region)
    _replicate(kms, primary, key, json.dumps(key_policy(account, region, bucket, writer, reader)))
    try:
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True, **where)
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
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    retention = {"Mode": "GOVERNANCE", "Days": int(properties["RetentionDays"])}
    s3.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},
    )
    policy = bucket_policy(bucket, writer, emptier, float(properties["MinimumTls"]), properties["Keepers"])
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    logger.info("The replica is as it should be")
    return {"BucketArn": f"arn:aws:s3:::{bucket}", "KeyArn": key}


def _replicate(kms: Any, primary: Any, key: str, policy: str) -> None:
    """Makes the replica of the key if there is none, with this policy."""
    region, name = key.split(":")[3], key.rpartition("/")[2]
    try:
        primary.replicate_key(KeyId=name, ReplicaRegion=region, Policy=policy)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


def remove(s3: Any, kms: Any, bucket: str, key: str, context: Any) -> None:
    """Deletes what is locked too: the stack's end is the one moment at which that may be. Raises NotEmptyError."""
    try:
        while found := _page(s3, bucket):
            if context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER:
                raise NotEmptyError("Versions remain: delete the stack once more to go on")
            request = {"Objects": found, "Quiet": True}
            errors = s3.delete_objects(Bucket=bucket, Delete=request, BypassGovernanceRetention=True).get("Errors", [])
            if errors:
                raise NotEmptyError(f"S3 kept {len(errors)} versions, the first because of {errors[0].get('Code')}")
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    try:
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=PENDING_DAYS)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise


def _page(s3: Any, bucket: str) -> list[dict[str, str]]:
    page = s3.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]
