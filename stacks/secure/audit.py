"""Know who did what, and whether it is right: a trail into an archive, Config rules, GuardDuty, alarms, questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_config as config
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from aws_cdk import aws_guardduty as guardduty
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator

from stacks.blocks.alarms import alarm, errors, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import old_versions_go, private_bucket
from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.keys import let_service_use, own_key
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send
from stacks.blocks.topics import MAIL_ADDRESS, topic
from stacks.secure.audit_queries import COLUMNS, QUERIES, sql

ARCHITECTURE = "audit"

# What would undo the archive: none of it is for anybody but the archive's keepers.
CHANGES_OF_THE_ARCHIVE = (
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:PutBucketAcl",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutReplicationConfiguration",
    # Another bucket's replication, which would write and delete here.
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
)
# What would make its records unreadable.
CHANGES_OF_THE_KEY = ("kms:DisableKey", "kms:DisableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion")
# AWS's own rules, by their identifiers (CDK's ManagedRuleIdentifiers, read 2026-11-27).
MANAGED_RULES = (
    "SAGEMAKER_NOTEBOOK_NO_DIRECT_INTERNET_ACCESS",
    "SAGEMAKER_NOTEBOOK_INSTANCE_KMS_KEY_CONFIGURED",
    "SAGEMAKER_ENDPOINT_CONFIGURATION_KMS_KEY_CONFIGURED",
    "S3_BUCKET_PUBLIC_READ_PROHIBITED",
    "S3_BUCKET_PUBLIC_WRITE_PROHIBITED",
    "S3_BUCKET_SSL_REQUESTS_ONLY",
    "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED",
    "CMK_BACKING_KEY_ROTATION_ENABLED",
    "KMS_CMK_NOT_SCHEDULED_FOR_DELETION",
)


@dataclass(frozen=True)
class Watched:
    """Calls that raise an alarm: their names by service, and what is said of them."""

    construct_id: str
    told: str
    calls: Mapping[str, tuple[str, ...]]


WATCHED = (
    Watched(
        "RightsChanged",
        "A policy or a role was changed",
        {
            "iam": (
                "AttachRolePolicy",
                "AttachUserPolicy",
                "CreateAccessKey",
                "CreatePolicyVersion",
                # A role with a keeper's name would be a keeper.
                "CreateRole",
                "DeleteRolePermissionsBoundary",
                "DetachRolePolicy",
                "PutRolePolicy",
                "PutUserPolicy",
                "SetDefaultPolicyVersion",
                "UpdateAssumeRolePolicy",
            ),
            "kms": ("PutKeyPolicy",),
        },
    ),
    Watched(
        "WatchStopped",
        "Somebody stopped or changed what watches",
        {
            "cloudtrail": ("DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail"),
            "config": ("DeleteConfigRule", "DeleteConfigurationRecorder", "StopConfigurationRecorder"),
            "guardduty": ("DeleteDetector", "UpdateDetector"),
            "events": ("DeleteRule", "DisableRule", "RemoveTargets"),
        },
    ),
    Watched("KeyGoes", "A key is disabled or to be deleted", {"kms": ("DisableKey", "ScheduleKeyDeletion")}),
    Watched(
        "BucketOpened",
        "A bucket may have become public",
        {
            "s3": (
                "DeleteBucketPublicAccessBlock",
                "DeletePublicAccessBlock",
                "PutBucketAcl",
                "PutBucketPolicy",
                "PutBucketPublicAccessBlock",
                "PutPublicAccessBlock",
            )
        },
    ),
)


class AuditSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: Literal["sandbox", "kept"] = Field(
        default="sandbox",
        description="`sandbox`: emptied and deleted with the stack, by a function that may; `kept`: nothing may, and"
        " bucket, its policy and key outlive the stack",
    )
    keep_days: int = Field(default=365, ge=90, le=3650, description="how long the archive keeps a record")
    keepers: tuple[str, ...] = Field(
        default=("cdk-*-cfn-exec-role-*",),
        min_length=1,
        max_length=5,
        description="names of the roles that may change the archive, `*` in them; the account's root may, too",
    )
    object_events: bool = Field(default=True, description="who reads and writes objects of any bucket is recorded")
    query_days: int = Field(default=30, ge=1, le=365, description="how far the questions look back")
    regions: tuple[str, ...] = Field(
        default=(),
        max_length=40,
        description="regions whose records the questions read, us-east-1 for IAM's; none: the stack's own",
    )
    guardduty: bool = Field(default=True, description="an account has one detector a region: off where it has it")
    config_rules: bool = Field(default=True, description="an account has one recorder a region: off where it has it")
    judge_hours: int = Field(default=24, ge=1, le=720, description="how far back the rule on jobs looks")
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms, which AWS asks to confirm"
    )

    @field_validator("regions")
    @classmethod
    def _each_region_once(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        """A region that stands there twice would give each of its records twice."""
        wrong = [one for one in regions if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", one)]
        if wrong or len(set(regions)) < len(regions):
            raise ValueError(f"each a region, and once: {', '.join(wrong or regions)}")
        return regions


class Audit(cdk.Stack):
    """A model decided wrongly, and somebody asks: who trained it, who put it there, who has read the data since?

    **Flow.** A trail of all regions records every management event, and the data events of objects, functions and
    endpoints (`InvokeEndpoint` is one) and feature groups → files in a bucket that an administrator of the workload
    cannot change by his own requests → questions in SQL. Beside it AWS Config holds resources against rules, one of
    them a function of ours that judges jobs; GuardDuty looks for threats; and rules of EventBridge tell a topic at once
    of what should not go unseen: a policy changed, a trail stopped, a key on its way out, a bucket opened, a threat, a
    broken rule. They hear of their own region alone, and of IAM in us-east-1 alone.

    **What if.** An administrator stops the trail: he may, and the topic tells. He deletes its records: the bucket's
    policy refuses him, for it names its keepers, and denies the rest; so does the key's. He becomes a keeper: that is a
    change of rights, and the topic tells. He has the stack's own function empty the archive: in a `sandbox` that works,
    and where the archive is `kept` there is none. The archive cannot be written: the trail's status says so. The rule
    on jobs cannot look: it has no verdict, and an alarm. An alarm's event cannot be delivered: a dead letter, with an
    alarm.

    **Cost** (us-east-1, without free tier; the key by "AWS KMS pricing", read 2026-11-27, the rest as the page and
    `prices.toml` say). Idle: a key, 1.00 dollar a month, to which its yearly new material adds 1.00, the first
    two times; and two alarms, 0.20. The first copy of management events is free; data events cost 0.10
    dollars per 100,000; Config 0.003 dollars an item that it records and 0.001 an evaluation; GuardDuty by what it
    reads.
    """

    Settings: ClassVar[type[AuditSettings]] = AuditSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: AuditSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target
        # Policies of bucket and key name the trail before it is made.
        self.trail_name = cdk.Aws.STACK_NAME
        self.trail_arn = own_arn(self, "cloudtrail", f"trail/{self.trail_name}")

        self.key = self._key()
        self.archive, self.emptied = self._archive()
        self.trail = self._trail()
        self.topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=None)
        self.rules = [self._rule(watched) for watched in WATCHED] + self._rules_on_findings()
        self._let_rules_tell()
        if settings.guardduty:
            guardduty.CfnDetector(self, "Threats", enable=True, finding_publishing_frequency="FIFTEEN_MINUTES")
        self.judge = self._judge_jobs() if settings.config_rules else None
        if self.judge:
            self._config_rules(self.judge)
        self.workgroup, self.answers = self._questions()
        self.alarms = self._alarms()
        self._outputs()

    # --- the archive

    def _key(self) -> kms.Key:
        key = own_key(self, "Key", description="Encrypts the records, alarms and answers of one stack")
        let_service_use(
            key,
            "cloudtrail.amazonaws.com",
            where={"aws:SourceArn": self.trail_arn},
            actions=["kms:GenerateDataKey"],
        )
        let_service_use(
            key,
            "events.amazonaws.com",
            where={"kms:EncryptionContext:aws:sns:topicArn": own_arn(self, "sns", f"{cdk.Aws.STACK_NAME}-*")},
        )
        if self.settings.config_rules:
            let_service_use(key, "config.amazonaws.com", where={"aws:SourceArn": own_arn(self, "config", "*")})
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyKeepersChangeTheKey",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=list(CHANGES_OF_THE_KEY),
                resources=["*"],
                conditions={"ArnNotLike": {"aws:PrincipalArn": self._keepers()}},
            )
        )
        if self.settings.archive == "kept":
            key.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        return key

    def _keepers(self) -> list[str]:
        roles = f"arn:{self.partition}:iam::{self.account}:role/"
        return [f"arn:{self.partition}:iam::{self.account}:root", *(roles + name for name in self.settings.keepers)]

    def _archive(self) -> tuple[s3.Bucket, EmptiedBucket | None]:
        """The bucket of records. Its policy stands above every policy that an administrator has.

        What empties it is an exception to that, so it is made in a sandbox only.
        """
        sandbox = self.settings.archive == "sandbox"
        archive = s3.Bucket(
            self,
            "Archive",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=cdk.Duration.days(self.settings.keep_days),
                    noncurrent_version_expiration=cdk.Duration.days(90),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            removal_policy=cdk.RemovalPolicy.DESTROY if sandbox else cdk.RemovalPolicy.RETAIN,
        )
        emptied = None
        if sandbox:
            emptied = EmptiedBucket(self, "EmptiedArchive", bucket=archive, target=self.target, encryption_key=self.key)
        everything = [archive.bucket_arn, archive.arn_for_objects("*")]
        exceptions = [*self._keepers(), *([emptied.role.role_arn] if emptied else [])]
        archive.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyKeepersChangeTheArchive",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=list(CHANGES_OF_THE_ARCHIVE),
                resources=everything,
                conditions={"ArnNotLike": {"aws:PrincipalArn": exceptions}},
            )
        )
        archive.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyServicesWriteRecords",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[archive.arn_for_objects("*")],
                conditions={
                    "StringNotEquals": {
                        "aws:PrincipalServiceName": ["cloudtrail.amazonaws.com", "config.amazonaws.com"]
                    }
                },
            )
        )
        self._let_deliver(archive, "cloudtrail.amazonaws.com", {"aws:SourceArn": self.trail_arn})
        if not sandbox:
            assert archive.policy
            # A bucket that outlived its policy would be anybody's who has all of S3.
            archive.policy.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        return archive, emptied

    def _let_deliver(self, archive: s3.Bucket, service: str, source: Mapping[str, str]) -> None:
        """As the services' guides ask for: they look at the bucket, and leave what they write to its owner."""
        who = [iam.ServicePrincipal(service)]
        archive.add_to_resource_policy(
            iam.PolicyStatement(
                principals=who,
                actions=["s3:GetBucketAcl"],
                resources=[archive.bucket_arn],
                conditions={"StringEquals": dict(source)},
            )
        )
        archive.add_to_resource_policy(
            iam.PolicyStatement(
                principals=who,
                actions=["s3:PutObject"],
                resources=[archive.arn_for_objects(f"AWSLogs/{self.account}/*")],
                conditions={"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", **source}},
            )
        )

    # --- the trail

    def _trail(self) -> cloudtrail.CfnTrail:
        trail = cloudtrail.CfnTrail(
            self,
            "Trail",
            trail_name=self.trail_name,
            s3_bucket_name=self.archive.bucket_name,
            kms_key_id=self.key.key_arn,
            is_logging=True,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            advanced_event_selectors=self._selectors(),
        )
        trail.node.add_dependency(self.archive.policy or self.archive)
        if self.emptied:
            # Deleted before the bucket is emptied: nothing is written after that.
            trail.node.add_dependency(self.emptied)
        return trail

    def _selectors(self) -> list[cloudtrail.CfnTrail.AdvancedEventSelectorProperty]:
        def selector(name: str, **fields: dict[str, list[str]]) -> cloudtrail.CfnTrail.AdvancedEventSelectorProperty:
            return cloudtrail.CfnTrail.AdvancedEventSelectorProperty(
                name=name,
                field_selectors=[
                    cloudtrail.CfnTrail.AdvancedFieldSelectorProperty(field=field.replace("_", "."), **test)
                    for field, test in fields.items()
                ],
            )

        data = {"equal_to": ["Data"]}
        of = [
            selector("Management", eventCategory={"equal_to": ["Management"]}),
            selector("Endpoints", eventCategory=data, resources_type={"equal_to": ["AWS::SageMaker::Endpoint"]}),
            selector("Features", eventCategory=data, resources_type={"equal_to": ["AWS::SageMaker::FeatureGroup"]}),
            selector("Functions", eventCategory=data, resources_type={"equal_to": ["AWS::Lambda::Function"]}),
        ]
        if self.settings.object_events:
            # Not of the archive itself: each file would be an event of the next.
            of.append(
                selector(
                    "Objects",
                    eventCategory=data,
                    resources_type={"equal_to": ["AWS::S3::Object"]},
                    resources_ARN={"not_starts_with": [self.archive.arn_for_objects("")]},
                )
            )
        return of

    # --- alarms

    def _rule(self, watched: Watched) -> events.CfnRule:
        """Events of CloudTrail are there while a trail logs them, which this stack's does."""
        sources = [f"{service}.amazonaws.com" for service in watched.calls]
        names = sorted({name for calls in watched.calls.values() for name in calls})
        return self._telling(
            watched.construct_id,
            watched.told,
            "<who> called <what> in <region> at <when>",
            pattern={
                "source": [f"aws.{service}" for service in watched.calls],
                "detail-type": ["AWS API Call via CloudTrail"],
                "detail": {"eventSource": sources, "eventName": names},
            },
            words={
                "what": "$.detail.eventName",
                "who": "$.detail.userIdentity.arn",
                "when": "$.detail.eventTime",
                "region": "$.detail.awsRegion",
            },
        )

    def _rules_on_findings(self) -> list[events.CfnRule]:
        """What GuardDuty and Config find, so that nobody has to look.

        Config's events: "AWS Config events", Amazon EventBridge Events Reference, read 2026-11-28. GuardDuty's: from
        memory of "Amazon EventBridge events for Amazon GuardDuty".
        """
        found = []
        if self.settings.guardduty:
            found.append(
                self._telling(
                    "ThreatFound",
                    "GuardDuty found a threat",
                    "<what>, severity <severity>, in <region> at <when>",
                    pattern={"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]},
                    words={
                        "what": "$.detail.type",
                        "severity": "$.detail.severity",
                        "region": "$.region",
                        "when": "$.time",
                    },
                )
            )
        if self.settings.config_rules:
            found.append(
                self._telling(
                    "RuleBroken",
                    "A rule of Config is broken",
                    "<rule> by <what> in <region> at <when>",
                    pattern={
                        "source": ["aws.config"],
                        "detail-type": ["Config Rules Compliance Change"],
                        "detail": {"newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]}},
                    },
                    words={
                        "rule": "$.detail.configRuleName",
                        "what": "$.detail.resourceId",
                        "region": "$.region",
                        "when": "$.time",
                    },
                )
            )
        return found

    def _telling(
        self, construct_id: str, told: str, sentence: str, *, pattern: Mapping[str, Any], words: Mapping[str, str]
    ) -> events.CfnRule:
        return events.CfnRule(
            self,
            construct_id,
            description=told,
            event_pattern=dict(pattern),
            targets=[
                events.CfnRule.TargetProperty(
                    id="Topic",
                    arn=self.topic.topic_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map=dict(words), input_template=f'"{told}: {sentence}."'
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )

    def _let_rules_tell(self) -> None:
        arns = [rule.attr_arn for rule in self.rules]
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"ArnEquals": {"aws:SourceArn": arns}},
            )
        )
        let_service_send("events.amazonaws.com", [self.dead_letters], source=arns)

    # --- rules on resources

    def _judge_jobs(self) -> PythonFunction:
        judge = PythonFunction(
            self,
            "JudgeJobs",
            architecture=ARCHITECTURE,
            function="judge_jobs",
            target=self.target,
            description="Judges whether SageMaker's jobs have a VPC and keys",
            timeout=cdk.Duration.minutes(5),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
        )
        judge.allow(["config:PutEvaluations", "sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"], "*")
        # Whatever a job is called, it is to be judged.
        judge.allow(["sagemaker:DescribeTrainingJob"], own_arn(self, "sagemaker", "training-job/*"))
        judge.allow(["sagemaker:DescribeProcessingJob"], own_arn(self, "sagemaker", "processing-job/*"))
        return judge

    def _config_rules(self, judge: PythonFunction) -> None:
        self._let_deliver(self.archive, "config.amazonaws.com", {"aws:SourceAccount": self.account})
        role = iam.Role(
            self,
            "RecorderRole",
            description="Reads what AWS Config records",
            assumed_by=iam.ServicePrincipal(
                "config.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWS_ConfigRole")],
        )
        recorder = config.CfnConfigurationRecorder(
            self,
            "Recorder",
            role_arn=role.role_arn,
            recording_group=config.CfnConfigurationRecorder.RecordingGroupProperty(
                all_supported=True, include_global_resource_types=True
            ),
        )
        channel = config.CfnDeliveryChannel(
            self,
            "Channel",
            s3_bucket_name=self.archive.bucket_name,
            s3_kms_key_arn=self.key.key_arn,
            config_snapshot_delivery_properties=config.CfnDeliveryChannel.ConfigSnapshotDeliveryPropertiesProperty(
                delivery_frequency="TwentyFour_Hours"
            ),
        )
        channel.node.add_dependency(recorder, self.archive.policy or self.archive)
        if self.emptied:
            channel.node.add_dependency(self.emptied)
        for identifier in MANAGED_RULES:
            words = "".join(word.capitalize() for word in identifier.split("_"))
            rule = config.CfnConfigRule(
                self,
                words,
                source=config.CfnConfigRule.SourceProperty(owner="AWS", source_identifier=identifier),
            )
            rule.node.add_dependency(channel)
        self.job_rule = config.CfnConfigRule(
            self,
            "JobsInVpcWithKeys",
            description="Each training and processing job is in a VPC, and its volume and output have keys",
            input_parameters={"hours": str(self.settings.judge_hours)},
            maximum_execution_frequency="TwentyFour_Hours",
            source=config.CfnConfigRule.SourceProperty(
                owner="CUSTOM_LAMBDA",
                source_identifier=judge.function.function_arn,
                source_details=[
                    config.CfnConfigRule.SourceDetailProperty(
                        event_source="aws.config",
                        message_type="ScheduledNotification",
                        maximum_execution_frequency="TwentyFour_Hours",
                    )
                ],
            ),
        )
        permission = lambda_.CfnPermission(
            self,
            "ConfigMayJudge",
            action="lambda:InvokeFunction",
            function_name=judge.function.function_arn,
            principal="config.amazonaws.com",
            source_account=self.account,
        )
        self.job_rule.node.add_dependency(channel, permission)

    # --- questions

    def _questions(self) -> tuple[athena.CfnWorkGroup, s3.Bucket]:
        """A table over the trail's files, by the day, and the questions; answers go to a bucket of their own."""
        answers = private_bucket(
            self,
            "Answers",
            lifecycle_rules=[
                s3.LifecycleRule(expiration=cdk.Duration.days(30)),
                old_versions_go(),
            ],
            target=self.target,
            encryption_key=self.key,
        )
        # Names in Athena take no hyphen.
        database_name = cdk.Fn.join("_", cdk.Fn.split("-", cdk.Aws.STACK_NAME))
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=database_name),
        )
        place = f"s3://{self.archive.bucket_name}/AWSLogs/{self.account}/CloudTrail/"
        table = glue.CfnTable(
            self,
            "Table",
            catalog_id=self.account,
            database_name=database_name,
            table_input=glue.CfnTable.TableInputProperty(
                name="trail",
                table_type="EXTERNAL_TABLE",
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name="region", type="string"),
                    glue.CfnTable.ColumnProperty(name="day", type="string"),
                ],
                parameters={
                    "projection.enabled": "true",
                    "projection.region.type": "enum",
                    "projection.region.values": ",".join(self.settings.regions) or self.region,
                    "projection.day.type": "date",
                    "projection.day.format": "yyyy/MM/dd",
                    "projection.day.range": f"NOW-{self.settings.keep_days}DAYS,NOW",
                    "storage.location.template": f"{place}${{region}}/${{day}}",
                },
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=place,
                    input_format="com.amazon.emr.cloudtrail.CloudTrailInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.apache.hive.hcatalog.data.JsonSerDe"
                    ),
                    columns=[glue.CfnTable.ColumnProperty(name=name, type=kind) for name, kind in COLUMNS.items()],
                ),
            ),
        )
        table.node.add_dependency(database)
        workgroup = athena.CfnWorkGroup(
            self,
            "Questions",
            name=cdk.Aws.STACK_NAME,
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{answers.bucket_name}/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self.key.key_arn
                    ),
                ),
            ),
        )
        for name, (asked, _) in QUERIES.items():
            query = athena.CfnNamedQuery(
                self,
                "".join(word.capitalize() for word in name.split("-")),
                name=name,
                description=asked,
                database=database_name,
                query_string=sql(name, self.settings.query_days),
                work_group=workgroup.name,
            )
            query.node.add_dependency(workgroup)
        return workgroup, answers

    # --- what watches, what comes out

    def _alarms(self) -> list[cloudwatch.Alarm]:
        alarms = [
            alarm(
                self,
                "UntoldAlarm",
                description="An event that should have been told could not be: read it in the queue.",
                metric=waiting_messages(self.dead_letters),
            )
        ]
        if self.judge:
            alarms.append(
                alarm(
                    self,
                    "JudgeJobsErrorsAlarm",
                    description="Jobs could not be judged: the rule has no verdict.",
                    metric=errors(self.judge),
                )
            )
        tell_of_alarms(alarms, self.topic)
        return alarms

    def _outputs(self) -> None:
        values = {
            "ArchiveName": self.archive.bucket_name,
            "AnswersName": self.answers.bucket_name,
            "TrailName": self.trail.ref,
            "TopicArn": self.topic.topic_arn,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "WorkGroupName": self.workgroup.name,
            "KeyArn": self.key.key_arn,
            "UntoldAlarmName": self.alarms[0].alarm_name,
        }
        if self.judge:
            values["JobRuleName"] = self.job_rule.ref
            values["JudgeFunctionName"] = self.judge.function.function_name
            values["JudgeRoleName"] = self.judge.role.role_name
            values["JudgeAlarmName"] = self.alarms[1].alarm_name
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)
