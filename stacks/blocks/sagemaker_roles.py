"""Roles that SageMaker takes on for jobs and endpoints, each with what its kind needs and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.blocks.arns import own_arn
from stacks.blocks.sagemaker_images import Images

# What reads from, and writes to, a bucket with a key: S3 asks these two of the caller.
KEY_USE = ("kms:Decrypt", "kms:GenerateDataKey")


def service_role(scope: Construct, construct_id: str, service: str, description: str) -> iam.Role:
    """A role that a service takes on, and only for this account's own resources."""
    return iam.Role(
        scope,
        construct_id,
        description=description,
        assumed_by=iam.ServicePrincipal(
            service, conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
        ),
    )


def allow(
    role: iam.Role, actions: Sequence[str], *resources: str, conditions: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Grants a role these actions on these resources (ARNs, or `*` where an action supports none)."""
    role.add_to_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=dict(conditions or {}))
    )


def allow_passing(role: iam.Role, service: str, *passed: str) -> None:
    """Lets a role hand these roles (their ARNs) to a service, and to no other."""
    allow(role, ["iam:PassRole"], *passed, conditions={"StringEquals": {"iam:PassedToService": service}})


def allow_reading(role: iam.Role, bucket_arn: str, places: Sequence[str]) -> None:
    """Reading what lies under these prefixes (`models/`) or keys (`models/one`) of a bucket.

    SageMaker lists what it is told, a key too, and gets the objects that it finds.
    """
    patterns = [f"{place}*" if place.endswith("/") else place for place in places]
    allow(role, ["s3:GetObject"], *(f"{bucket_arn}/{pattern}" for pattern in patterns))
    allow(role, ["s3:ListBucket"], bucket_arn, conditions={"StringLike": {"s3:prefix": patterns}})


def allow_image(role: iam.Role, images: Images, *pulled: str) -> None:
    """Pulling AWS's images. The token is for all registries that the role may read: ECR knows no narrower one."""
    allow(role, ["ecr:GetAuthorizationToken"], "*")
    allow(
        role,
        ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        *(images.repository_arn(image) for image in pulled),
    )


def allow_job_logs(role: iam.Role, *kinds: str) -> None:
    """Logs and metrics of these kinds of jobs (`ProcessingJobs`, `TrainingJobs`).

    The log groups are SageMaker's and the account's: all jobs of a kind write into one, under streams that begin with
    the job's name (Amazon SageMaker AI Developer Guide, "CloudWatch Logs for Amazon SageMaker AI"). A stack can neither
    own them nor choose another, so where there is none yet a job makes it, and it stays.
    """
    groups = [own_arn(role, "logs", f"log-group:/aws/sagemaker/{kind}") for kind in kinds]
    allow(role, ["logs:CreateLogGroup"], *(f"{group}:*" for group in groups))
    allow(
        role,
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        *(f"{group}:*" for group in groups),
    )
    allow(
        role,
        ["cloudwatch:PutMetricData"],
        "*",
        conditions={"StringEquals": {"cloudwatch:namespace": [f"/aws/sagemaker/{kind}" for kind in kinds]}},
    )


def allow_disk_key(role: iam.Role, key_arn: str) -> None:
    """Encrypting the disks of instances: EC2 gets a grant on the key, and nobody else may.

    (Amazon SageMaker AI Developer Guide, "SageMaker AI API Permissions", read 2026-11-27: whoever creates an endpoint,
    and the role of a job, needs `kms:CreateGrant` where a disk has a key.)
    """
    allow(role, ["kms:CreateGrant"], key_arn, conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}})
