"""Encrypt everything, share briefly: a key and a bucket for each class of data, and links that run out."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.buckets import old_versions_go
from stacks.blocks.keys import own_key
from stacks.blocks.protected_bucket import access_log_bucket, bucket_key, deny, protected_bucket
from stacks.blocks.python_function import PythonFunction, Target

SHARED = "shared/"


class DataProtectionSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # AWS itself takes nothing below 1.2 since 2024-02 ("TLS 1.2 to become the minimum TLS protocol level for all AWS
    # API endpoints", AWS Security Blog, read 2026-11-27): with 1.2 the policy says so for this bucket, too.
    minimum_tls: Literal["1.2", "1.3"] = Field(
        default="1.2", description="older TLS is refused by the buckets' policies"
    )
    rotation_days: int = Field(default=365, ge=90, le=2560, description="after which a key gets new material")
    longest_link_minutes: int = Field(default=15, ge=1, le=60, description="for which a link to a shared file may live")
    access_log_days: int = Field(default=365, ge=30, le=3650, description="for which the record of requests is kept")


class DataProtection(cdk.Stack):
    """Keys belong to the customer, transport is encrypted, and access to a file runs out.

    **Flow.** Two classes of data, `personal` and `derived` (what was made of it, without names): each has a key, a
    bucket that encrypts by default with it, and a role that may use both and nothing of the other class. S3 writes
    every request down in a third bucket. Who is to read one file of the personal class gets a link from a function: to
    one version of one file under `shared/`, for minutes.

    **What if.** A role's policy is too wide: the other class's key still refuses, as its policy names its users.
    Somebody's policy says `kms:*`: the key decrypts through S3 only. A program speaks plain HTTP or old TLS, or writes
    with another key: the bucket's policy refuses. A link leaks: it ends after minutes, and no other role can make one.
    A link was signed to last for days: the bucket refuses a signature that is too old. A key is deleted by mistake:
    seven days are left to take that back.

    **Cost** (us-east-1, without free tier; keys by "AWS KMS pricing", read 2026-11-27, the rest as `prices.toml`
    says). Idle 3.00 dollars a month: three keys; new material adds 1.00 to each, the first two times. A
    thousand files written, shared and read 0.01 dollars; a bucket key spares nearly all of KMS's requests.
    """

    Settings: ClassVar[type[DataProtectionSettings]] = DataProtectionSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: DataProtectionSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.operations_key = own_key(
            self, "OperationsKey", description="Encrypts the logs of functions of one stack", alarms=False
        )
        self.share = self._share()
        self.personal_role, self.derived_role = self._class_role("Personal"), self._class_role("Derived")
        self.personal_key = bucket_key(
            self,
            "PersonalKey",
            description="Encrypts data about people",
            users=[self.personal_role],
            readers=[self.share.role],
            rotation_days=settings.rotation_days,
        )
        self.derived_key = bucket_key(
            self,
            "DerivedKey",
            description="Encrypts what was made of data about people, without their names",
            users=[self.derived_role],
            rotation_days=settings.rotation_days,
        )
        self.access_logs = access_log_bucket(
            self,
            "AccessLogs",
            days=settings.access_log_days,
            target=target,
            operations_key=self.operations_key,
        )
        self.personal = self._class_bucket("Personal", self.personal_key, self.personal_role)
        self.derived = self._class_bucket("Derived", self.derived_key, self.derived_role)
        self._let_links_run_out()
        self._outputs()

    def _class_role(self, name: str) -> iam.Role:
        """Whoever of the account may take the role on works with this class of data."""
        return iam.Role(
            self,
            f"{name}Role",
            assumed_by=iam.AccountPrincipal(self.account),
            description=f"Works with the {name.lower()} class of data",
            max_session_duration=cdk.Duration.hours(1),
        )

    def _class_bucket(self, name: str, key: Any, role: iam.Role) -> s3.Bucket:
        bucket = protected_bucket(
            self,
            name,
            key=key,
            minimum_tls=float(self.settings.minimum_tls),
            access_logs=self.access_logs,
            lifecycle_rules=[old_versions_go()],
            target=self.target,
            operations_key=self.operations_key,
        )
        for actions, resource in (
            (["s3:ListBucket"], bucket.bucket_arn),
            (["s3:GetObject", "s3:PutObject"], bucket.arn_for_objects("*")),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        return bucket

    def _share(self) -> PythonFunction:
        return PythonFunction(
            self,
            "ShareFile",
            architecture="data-protection",
            function="share_file",
            target=self.target,
            description="Makes a link to one shared file, which runs out",
            timeout=cdk.Duration.seconds(20),
            memory_mib=512,
            log_retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self.operations_key,
            environment={
                "PREFIX": SHARED,
                "LONGEST_MINUTES": str(self.settings.longest_link_minutes),
                "POWERTOOLS_SERVICE_NAME": "data-protection",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )

    def _let_links_run_out(self) -> None:
        """Only the function makes links, and only to what is shared; a link is never older than the settings allow.

        "Amazon S3 Signature Version 4 authentication specific policy keys", Amazon S3 API Reference, read 2026-11-27:
        the age of a signature is in milliseconds.
        """
        shared = self.personal.arn_for_objects(f"{SHARED}*")
        self.share.function.add_environment("BUCKET", self.personal.bucket_name)
        # A link names a version; whether there is one is asked for by the key alone.
        self.share.allow(["s3:GetObject", "s3:GetObjectVersion"], shared)
        self.share.allow(["s3:ListBucket"], self.personal.bucket_arn)
        reads = ["s3:GetObject", "s3:GetObjectVersion"]
        by_link = {"s3:authType": "REST-QUERY-STRING"}
        for bucket in (self.personal, self.derived):
            deny(
                bucket,
                "LinksByTheFunctionOnly",
                [*reads, "s3:PutObject"],
                bucket.arn_for_objects("*"),
                conditions={
                    "StringEquals": by_link,
                    "ArnNotEquals": {"aws:PrincipalArn": self.share.role.role_arn},
                },
            )
        deny(
            self.personal,
            "LinksRunOut",
            reads,
            self.personal.arn_for_objects("*"),
            conditions={
                "StringEquals": by_link,
                "NumericGreaterThan": {"s3:signatureAge": str(self.settings.longest_link_minutes * 60_000)},
            },
        )

    def _outputs(self) -> None:
        for name, value in {
            "PersonalBucketName": self.personal.bucket_name,
            "DerivedBucketName": self.derived.bucket_name,
            "AccessLogBucketName": self.access_logs.bucket_name,
            "PersonalRoleArn": self.personal_role.role_arn,
            "DerivedRoleArn": self.derived_role.role_arn,
            "PersonalKeyArn": self.personal_key.key_arn,
            "DerivedKeyArn": self.derived_key.key_arn,
            "SharedPrefix": SHARED,
            "ShareFunctionName": self.share.function.function_name,
            "LongestLinkMinutes": str(self.settings.longest_link_minutes),
        }.items():
            cdk.CfnOutput(self, name, value=value)
