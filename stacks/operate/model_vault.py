"""Keep models unchangeable: versions that nobody overwrites or deletes, and a copy in a second region."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.keys import own_key
from stacks.blocks.protected_bucket import access_log_bucket, bucket_key, deny, log_accesses
from stacks.blocks.python_function import PythonFunction, Target

# What an artifact must tell of where it came from. Tags, as policies can ask for them.
LINEAGE = ("execution", "data-version", "code-version")
# The ways round a lock: the policy that keeps it, and the bucket's own default.
_WAYS_ROUND = ("s3:DeleteBucketPolicy", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy")


class ModelVaultSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention_days: int = Field(
        default=1, ge=1, le=3650, description="for which nobody deletes or overwrites a version; short in a sandbox"
    )
    replica_region: str = Field(
        default="us-west-2",
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="where the copies lie; another region than the stack's",
    )
    keepers: tuple[str, ...] = Field(
        default=("cdk-*-cfn-exec-role-*",),
        min_length=1,
        max_length=5,
        description="names of the roles that may change the buckets' policies, `*` in them; so may the account's root",
    )
    access_log_days: int = Field(
        default=90, ge=1, le=3650, description="after which the records of requests to the two buckets expire"
    )
    minimum_tls: Literal["1.2", "1.3"] = Field(
        default="1.2", description="older TLS is refused by the buckets' policies"
    )


class ModelVault(cdk.Stack):
    """Auditors want the exact model that decided, years later.

    **Flow.** The archivist's role puts an artifact into the vault, with tags that tell the execution, the data and the
    code that it came from → S3 locks that version for the retention → S3 copies it, lock and tags included, into a
    bucket in a second region, under a key of that region → the auditor's role reads any version from either bucket, and
    S3 writes down who asked, in either region.

    **What if.** Somebody overwrites a model: the version before it stays. Somebody deletes it: a marker hides it, and
    the version stays. Somebody deletes the version: refused until its retention is over, whatever his policy says, and
    so is changing the rules first; not to the `keepers`, who deploy the stack, nor to who may become one. An artifact
    comes without lineage: refused. The region is gone: the copies are in the other one. A copy cannot be made: its
    status says FAILED. The stack is deleted: its own functions alone may unlock, so nothing is left in either region.

    **Why not two stacks.** CloudFormation makes resources in one region. A second stack would be deployed, updated and
    deleted by itself, in the right order; here a function makes the buckets and the key of the second region.

    **Cost** (us-east-1, without free tier; keys by "AWS KMS pricing", read 2026-11-27, the rest as `prices.toml`
    says). Idle 2.00 dollars a month for the two keys of the stack, and 1.00 for the one in the second region; new
    material of a key adds 1.00, the first two times. A thousand artifacts 0.01 dollars of requests;
    storage counts twice, and the way to the other region 0.02 dollars a gigabyte.
    """

    Settings: ClassVar[type[ModelVaultSettings]] = ModelVaultSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: ModelVaultSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.operations_key = own_key(
            self, "OperationsKey", description="Encrypts the logs of functions of one stack", alarms=False
        )
        self.archivist, self.auditor = self._role("Archivist"), self._role("Auditor")
        self.replication = iam.Role(self, "ReplicationRole", assumed_by=iam.ServicePrincipal("s3.amazonaws.com"))
        self.replicator = self._replicator()
        self.key = bucket_key(
            self,
            "VaultKey",
            description="Encrypts the artifacts of models",
            writers=[self.archivist],
            readers=[self.auditor, self.replication],
            replicated_by=self.replicator.role,
        )
        self.replica = self._replica()
        self.access_logs = access_log_bucket(
            self,
            "AccessLogs",
            days=settings.access_log_days,
            target=target,
            operations_key=self.operations_key,
        )
        self.vault = self._vault()
        self._outputs()

    def _role(self, name: str) -> iam.Role:
        return iam.Role(
            self,
            f"{name}Role",
            assumed_by=iam.AccountPrincipal(self.account),
            max_session_duration=cdk.Duration.hours(1),
        )

    def _replicator(self) -> PythonFunction:
        return PythonFunction(
            self,
            "Replica",
            architecture="model-vault",
            function="replica_bucket",
            target=self.target,
            description="Makes and removes the bucket in the second region",
            timeout=cdk.Duration.minutes(15),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self.operations_key,
        )

    def _replica(self) -> cdk.CustomResource:
        """The bucket of the second region, with its access logs, and its key."""
        arn = f"arn:{self.partition}:s3:::{cdk.Aws.STACK_NAME}-replica-*"
        worker = self.replicator
        worker.function.add_environment("ROLE_ARN", worker.role.role_arn)
        worker.allow(
            [
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:ListBucketVersions",
                "s3:PutBucketLogging",
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            arn,
        )
        worker.allow(["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"], f"{arn}/*")
        region = self.settings.replica_region
        # A key that is yet to be made has no name; its replica will have the same.
        worker.allow(["kms:CreateKey"], "*")
        worker.allow(
            ["kms:DescribeKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"],
            f"arn:{self.partition}:kms:{region}:{self.account}:key/{self.key.key_id}",
        )
        resource = cdk.CustomResource(
            self,
            "ReplicaBucket",
            resource_type="Custom::ReplicaBucket",
            service_token=worker.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={
                "Region": region,
                "RetentionDays": str(self.settings.retention_days),
                "LogDays": str(self.settings.access_log_days),
                "MinimumTls": self.settings.minimum_tls,
                "Keepers": self._keepers(),
                "KeyArn": self.key.key_arn,
                "ReplicationRole": self.replication.role_arn,
                "ReaderRole": self.auditor.role_arn,
            },
        )
        resource.node.add_dependency(worker)
        return resource

    def _keepers(self) -> list[str]:
        roles = f"arn:{self.partition}:iam::{self.account}:role/"
        return [f"arn:{self.partition}:iam::{self.account}:root", *(roles + name for name in self.settings.keepers)]

    def _vault(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Vault",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=float(self.settings.minimum_tls),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(
                cdk.Duration.days(self.settings.retention_days)
            ),
            # Nothing expires: what is kept is kept until somebody who may decides otherwise.
            lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(1))],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        emptied = EmptiedBucket(
            self, "EmptiedVault", bucket=bucket, target=self.target, encryption_key=self.operations_key, locked=True
        )
        objects = bucket.arn_for_objects("*")
        deny(
            bucket,
            "NobodyUnlocks",
            ["s3:BypassGovernanceRetention"],
            objects,
            conditions={"ArnNotEquals": {"aws:PrincipalArn": emptied.role.role_arn}},
        )
        deny(
            bucket,
            "OnlyKeepersChangeTheRules",
            _WAYS_ROUND,
            bucket.bucket_arn,
            conditions={"ArnNotLike": {"aws:PrincipalArn": self._keepers()}},
        )
        for tag in LINEAGE:
            deny(
                bucket,
                f"LineageTells{tag.title().replace('-', '')}",
                ["s3:PutObject", "s3:PutObjectTagging"],
                objects,
                conditions={"Null": {f"s3:RequestObjectTag/{tag}": "true"}},
            )
        log_accesses(bucket, self.access_logs)
        self._replicate(bucket)
        self._let(self.archivist, ["s3:PutObject", "s3:PutObjectTagging"], objects)
        self._let(self.auditor, ["s3:ListBucketVersions"], bucket.bucket_arn, self._copies())
        self._let(
            self.auditor,
            ["s3:GetObjectVersion", "s3:GetObjectVersionTagging", "s3:GetObjectRetention"],
            objects,
            f"{self._copies()}/*",
        )
        return bucket

    def _copies(self) -> str:
        return self.replica.get_att_string("BucketArn")

    def _replicate(self, bucket: s3.Bucket) -> None:
        """Everything is copied but markers of deletion: what is hidden here stays in sight there."""
        self._let(self.replication, ["s3:GetReplicationConfiguration", "s3:ListBucket"], bucket.bucket_arn)
        self._let(
            self.replication,
            [
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
                "s3:GetObjectRetention",
                "s3:GetObjectLegalHold",
            ],
            bucket.arn_for_objects("*"),
        )
        self._let(self.replication, ["s3:ReplicateObject", "s3:ReplicateTags"], f"{self._copies()}/*")
        cfn_bucket = bucket.node.default_child
        assert isinstance(cfn_bucket, s3.CfnBucket)
        of = s3.CfnBucket
        cfn_bucket.replication_configuration = of.ReplicationConfigurationProperty(
            role=self.replication.role_arn,
            rules=[
                of.ReplicationRuleProperty(
                    id="everything",
                    status="Enabled",
                    priority=1,
                    filter=of.ReplicationRuleFilterProperty(prefix=""),
                    delete_marker_replication=of.DeleteMarkerReplicationProperty(status="Disabled"),
                    source_selection_criteria=of.SourceSelectionCriteriaProperty(
                        sse_kms_encrypted_objects=of.SseKmsEncryptedObjectsProperty(status="Enabled")
                    ),
                    destination=of.ReplicationDestinationProperty(
                        bucket=self._copies(),
                        encryption_configuration=of.EncryptionConfigurationProperty(
                            replica_kms_key_id=self.replica.get_att_string("KeyArn")
                        ),
                    ),
                )
            ],
        )

    def _let(self, role: iam.Role, actions: list[str], *resources: str) -> None:
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))

    def _outputs(self) -> None:
        for name, value in {
            "VaultName": self.vault.bucket_name,
            "AccessLogBucketName": self.access_logs.bucket_name,
            "ReplicaName": self.replica.ref,
            "ReplicaRegion": self.settings.replica_region,
            "ReplicaKeyArn": self.replica.get_att_string("KeyArn"),
            "VaultKeyArn": self.key.key_arn,
            "ArchivistRoleArn": self.archivist.role_arn,
            "AuditorRoleArn": self.auditor.role_arn,
            "ReplicationRoleName": self.replication.role_name,
            "RetentionDays": str(self.settings.retention_days),
        }.items():
            cdk.CfnOutput(self, name, value=value)
