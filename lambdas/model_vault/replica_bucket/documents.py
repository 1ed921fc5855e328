"""The policies of the second region's bucket and key: without AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# As in the stack's own keys: everything but use.
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

Document = dict[str, Any]

# Under which S3 writes its records of requests.
LOG_PREFIX = "replica/"


def key_policy(account: str, region: str, bucket: str, writer: str, reader: str) -> Document:
    """The replication's role encrypts, the reader's decrypts, through S3 and for this bucket; the account administers.

    ARNs of roles; `region` is the bucket's.
    """

    def through_s3(sid: str, role: str, action: list[str]) -> Document:
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": role},
            "Action": action,
            "Resource": "*",
            "Condition": {
                "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
                "ArnLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}*"},
            },
        }

    administration = {
        "Sid": "AccountAdministers",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": list(ADMINISTER),
        "Resource": "*",
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            administration,
            # Which of the two a copy under a bucket key takes is not confirmed by a page that was read.
            through_s3("ReplicationWritesThroughS3", writer, ["kms:Encrypt", "kms:GenerateDataKey"]),
            through_s3("ReaderReadsThroughS3", reader, ["kms:Decrypt"]),
        ],
    }


def log_policy(bucket: str, logs: str, account: str, minimum_tls: float, *, delivering: bool = True) -> Document:
    """S3 writes into `logs` who asked the `bucket` for what; nobody speaks plain HTTP or old TLS.

    Not `delivering`: S3 is let in no more, so that nothing comes after the bucket was emptied.
    """
    delivery = {
        "Sid": "LogsOfReplica",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{logs}/{LOG_PREFIX}*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }
    return {"Version": "2012-10-17", "Statement": [*_only_tls(logs, minimum_tls), *([delivery] if delivering else [])]}


# The ways round a lock: the policy that keeps it, and the bucket's own default.
WAYS_ROUND = ("s3:DeleteBucketPolicy", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy")


def bucket_policy(bucket: str, writer: str, emptier: str, minimum_tls: float, keepers: Sequence[str] = ()) -> Document:
    """Nobody but the replication writes, nobody but the stack's end unlocks, nobody speaks plain HTTP or old TLS.

    And nobody but the `keepers` (ARNs, with `*`) and the emptier, which writes this policy, changes that.
    """

    whole, objects = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            *_only_tls(bucket, minimum_tls),
            _deny(
                "OnlyReplicationWrites",
                ["s3:PutObject", "s3:ReplicateObject"],
                {"ArnNotEquals": {"aws:PrincipalArn": writer}},
                objects,
            ),
            _deny(
                "NobodyUnlocks",
                ["s3:BypassGovernanceRetention"],
                {"ArnNotEquals": {"aws:PrincipalArn": emptier}},
                objects,
            ),
            _deny(
                "OnlyKeepersChangeTheRules",
                list(WAYS_ROUND),
                {"ArnNotLike": {"aws:PrincipalArn": [*keepers, emptier]}},
                whole,
            ),
        ],
    }


def _only_tls(bucket: str, minimum: float) -> list[Document]:
    everything = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    return [
        _deny("OnlyTls", ["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}, *everything),
        _deny("OnlyCurrentTls", ["s3:*"], {"NumericLessThan": {"s3:TlsVersion": str(minimum)}}, *everything),
    ]


def _deny(sid: str, actions: list[str], condition: Document, *resources: str) -> Document:
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": list(resources),
        "Condition": condition,
    }
