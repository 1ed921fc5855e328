"""Empties a bucket when its stack is deleted, so that the bucket itself can be deleted."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.blocks.python_function import PythonFunction, Target

# The function behind it deletes nothing in a bucket without this tag. Taking the block out of a stack takes the tag
# away first, and the bucket keeps its objects.
CONSENT_TAG = "emptied-on-delete"


class EmptiedBucket(Construct):
    """A custom resource whose deletion deletes every version of every object.

    CDK's own `auto_delete_objects` does the same with a wildcard grant (`s3:GetBucket*`, `s3:List*`,
    `s3:DeleteObject*`), the managed policy `AWSLambdaBasicExecutionRole` and a log group that outlives the stack.
    This one has three actions on one bucket and leaves nothing. Deletion order comes from the references: the custom
    resource goes first, then its function, then the bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.Bucket,
        target: Target,
        encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        cdk.Tags.of(bucket).add(CONSENT_TAG, "true")
        worker = PythonFunction(
            self,
            "Worker",
            architecture="shared",
            function="empty_bucket",
            target=target,
            description="Deletes every object version of a bucket when its stack is deleted",
            timeout=cdk.Duration.minutes(15),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_WEEK,
            encryption_key=encryption_key,
            environment={"CONSENT_TAG": CONSENT_TAG},
        )
        self.role = worker.role
        worker.allow(["s3:GetBucketTagging", "s3:ListBucketVersions"], bucket.bucket_arn)
        worker.allow(["s3:DeleteObjectVersion"], bucket.arn_for_objects("*"))
        resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::EmptiedBucket",
            service_token=worker.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={"BucketName": bucket.bucket_name},
        )
        resource.node.add_dependency(worker)
