"""Files that lie in a bucket from the first deployment on."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from stacks.blocks.python_function import PythonFunction, Target


class PlacedFiles(Construct):
    """A custom resource that puts assets under keys of one's own choice, once each.

    CDK's `BucketDeployment` does that with an AWS CLI of 60 MB and wildcard grants. This one copies within S3. `files`
    maps a key to its asset. A key whose asset stays the same is not written again, so that what has taken its place
    stays. What was placed goes when the bucket is emptied.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.Bucket,
        files: Mapping[str, s3_assets.Asset],
        target: Target,
        encryption_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        worker = PythonFunction(
            self,
            "Worker",
            architecture="shared",
            function="place_files",
            target=target,
            description="Puts files into a bucket when its stack is deployed",
            timeout=cdk.Duration.minutes(2),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_WEEK,
            encryption_key=encryption_key,
        )
        worker.allow(["s3:PutObject"], *(bucket.arn_for_objects(key) for key in files))
        worker.allow(["kms:Decrypt", "kms:GenerateDataKey"], encryption_key.key_arn)
        placed: list[dict[str, str]] = []
        for key, file in files.items():
            worker.allow(["s3:GetObject"], f"{file.bucket.bucket_arn}/{file.s3_object_key}")
            placed.append({"Key": key, "S3Bucket": file.s3_bucket_name, "S3Key": file.s3_object_key})
        self.resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::PlacedFiles",
            service_token=worker.function.function_arn,
            service_timeout=cdk.Duration.minutes(3),
            properties={"Bucket": bucket.bucket_name, "Files": placed},
        )
        self.resource.node.add_dependency(worker)
