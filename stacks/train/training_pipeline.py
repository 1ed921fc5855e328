"""Train, evaluate and register a model: new data, a schedule or drift → EventBridge → a SageMaker pipeline."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.alarms import alarm, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import let_service_use, own_key
from stacks.blocks.neighbours import export
from stacks.blocks.placed_files import PlacedFiles
from stacks.blocks.production import PRODUCTION_MODEL
from stacks.blocks.python_function import Target
from stacks.blocks.queues import dead_letter_queue, let_service_send
from stacks.blocks.sagemaker_images import SKLEARN, XGBOOST, Images
from stacks.blocks.sagemaker_roles import (
    KEY_USE,
    allow,
    allow_disk_key,
    allow_folders,
    allow_image,
    allow_job_logs,
    allow_passing,
    service_role,
)
from stacks.blocks.topics import topic
from stacks.train.pipeline_code import no_model_archive, source_archive

MAIL_ADDRESS = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
PIPELINES = pathlib.Path(__file__).resolve().parents[2] / "pipelines"

# Prefixes of the bucket. `raw/` is for those who bring data, the rest is the pipeline's.
RAW = "raw/"
CODE = "code/"
PREPARED = "prepared/"
MODELS = "models/"
EVALUATIONS = "evaluations/"
BASELINES = "baselines/"

# Who has uploaded all files of a batch uploads this last: one batch, one training, however many files it has.
READY = "_READY"


class TrainingPipelineSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_case: Literal["deliveries", "tumors"] = Field(
        default="deliveries",
        description="deliveries: will a parcel of chilled food be claimed as spoiled; tumors: is a tumour malignant",
    )
    start_on_data: Literal["marker", "every-object", "never"] = Field(
        default="marker",
        description="what under `raw/` starts a training: an object whose name ends with `_READY`, every object, nothing",
    )
    schedule: str | None = Field(
        default=None,
        pattern=r"^(rate\(\d+ (minutes?|hours?|days?)\)|cron\([^()]{11,80}\))$",
        description="when to train besides, such as `rate(7 days)`; each training costs some cents",
    )
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms and failures, which AWS asks to confirm"
    )


class TrainingPipeline(cdk.Stack):
    """A team that owns data wants each model to be better than the one before, and to know that it is.

    **Flow.** Files go under `raw/`, last the marker `_READY` → S3's event → a rule starts the pipeline; so do a schedule,
    if one is set, and `model-monitor` when it sees drift. The pipeline (`pipelines/<use case>/definition.json`, made with
    SageMaker's SDK): deduplicate, split, then learn imputation and encoding from the training part alone → train
    XGBoost → evaluate on a test set that keeps the world's proportions, beside the model in production → better than
    the bar and than that one? → the package is registered, with metrics and the monitor's baseline, and waits for a
    person's approval; else the pipeline fails and says why. `realtime-endpoint` deploys what is approved.

    **What is in production** lies under the key `production/model.tar.gz`: `realtime-endpoint` puts it there. The
    evaluation job has no network, so it cannot ask; it takes that object as an input. As a job fails on an input that is
    not there, an archive which says that it holds no model lies there from the beginning.

    **What if.** The data has no header, lacks a column or has one class only: the job fails with a reason, and the
    topic is told with the execution's ARN. The service throttles, or an instance fails: the step is tried again. The
    marker's event comes twice: two executions, of which the second takes the cached steps of the first. The event
    cannot be delivered: it is a dead letter, with an alarm. The new model is worse: nothing is registered.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-27). Idle: the key and three alarms. A run
    takes a few minutes of `ml.m5.large` (0.115 dollars an hour) in each of its jobs, some four cents, whether the data
    has a thousand rows or a hundred thousand. The page counts them.
    """

    Settings: ClassVar[type[TrainingPipelineSettings]] = TrainingPipelineSettings

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: TrainingPipelineSettings,
        target: Target,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target
        self.definition = (PIPELINES / settings.use_case / "definition.json").read_text(encoding="utf-8")

        self.key = self._key()
        self.bucket = self._bucket()
        self.code_key = self._code()
        self.images = Images(self)
        self.processing_role = self._processing_role()
        self.training_role = self._training_role()
        self.group = self._group()
        self.pipeline_role = self._pipeline_role()
        self.pipeline = self._pipeline()
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.starter = self._starter()
        self.rules = self._rules()
        self.failures = topic(self, "Failures", email=settings.alarm_email, encryption_key=self.key)
        self.failure_rule = self._failure_rule()
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.alarms = self._alarms()
        self._outputs()

    # --- what holds data

    def _key(self) -> kms.Key:
        """One key for data, models, disks and messages."""
        key = own_key(
            self,
            "Key",
            description="Encrypts the data, models, disks and messages of one stack",
            queue_senders=["events.amazonaws.com"],
        )
        # Rules tell the topic of failures, by the encryption context in which SNS names it.
        let_service_use(
            key,
            "events.amazonaws.com",
            where={"kms:EncryptionContext:aws:sns:topicArn": own_arn(self, "sns", f"{cdk.Aws.STACK_NAME}-*")},
        )
        return key

    def _bucket(self) -> s3.Bucket:
        """Data comes in under `raw/`; what the pipeline makes of it lies under prefixes of its own."""
        return upload_bucket(
            self,
            "Bucket",
            lifecycle_rules=[
                old_versions_go(),
                # What is between the steps is of use as long as steps are cached.
                s3.LifecycleRule(prefix=PREPARED, expiration=cdk.Duration.days(90)),
            ],
            target=self.target,
            encryption_key=self.key,
        )

    def _code(self) -> str:
        """The jobs' code, under a key that changes with it: so the definition changes, and no step is taken from cache.

        In the stack's own bucket, as jobs want it under a name of their choice.
        """
        archive, digest = source_archive()
        key = f"{CODE}{digest}/{archive.name}"
        code = s3_assets.Asset(self, "Code", path=str(archive))
        no_model = s3_assets.Asset(self, "NoModel", path=str(no_model_archive()))
        self.placed = PlacedFiles(
            self,
            "Placed",
            bucket=self.bucket,
            files={key: code, PRODUCTION_MODEL: no_model},
            target=self.target,
            encryption_key=self.key,
        )
        return key

    # --- who the jobs are

    def _processing_role(self) -> iam.Role:
        """Preparation, evaluation and baseline: what they read and write, and nothing else. They have no network."""
        role = service_role(self, "ProcessingRole", "sagemaker.amazonaws.com", "What the processing jobs may do")
        allow_image(role, self.images, SKLEARN, XGBOOST)
        allow_job_logs(role, "ProcessingJobs")
        reads = [RAW, CODE, PREPARED, MODELS, PRODUCTION_MODEL]
        allow_folders(role, self.bucket.bucket_arn, reads)
        allow(role, ["s3:PutObject"], *(self.bucket.arn_for_objects(f"{p}*") for p in (PREPARED, EVALUATIONS, BASELINES)))
        allow(role, KEY_USE, self.key.key_arn)
        allow_disk_key(role, self.key.key_arn)
        return role

    def _training_role(self) -> iam.Role:
        role = service_role(self, "TrainingRole", "sagemaker.amazonaws.com", "What the training jobs may do")
        allow_image(role, self.images, XGBOOST)
        allow_job_logs(role, "TrainingJobs")
        allow_folders(role, self.bucket.bucket_arn, [CODE, PREPARED])
        allow(role, ["s3:PutObject"], self.bucket.arn_for_objects(f"{MODELS}*"))
        allow(role, KEY_USE, self.key.key_arn)
        allow_disk_key(role, self.key.key_arn)
        return role

    # --- the pipeline

    def _group(self) -> sagemaker.CfnModelPackageGroup:
        group = sagemaker.CfnModelPackageGroup(
            self,
            "Models",
            model_package_group_name=cdk.Aws.STACK_NAME,
            model_package_group_description="What this pipeline has trained and found better than what was there",
        )
        return group

    def _pipeline_role(self) -> iam.Role:
        """What the pipeline itself does: it makes the jobs that its definition has, hands them their roles, registers.

        SageMaker calls a step's job `pipelines-<execution>-<step>-<random>` (Amazon SageMaker AI Developer Guide,
        "Pipelines steps"). An execution's id is made up by the service, so a step's name is what there is to hold a
        grant to.
        """
        role = service_role(self, "PipelineRole", "sagemaker.amazonaws.com", "What the pipeline may do")
        for step_type, kind, operation in _JOBS:
            jobs = [
                own_arn(self, "sagemaker", f"{kind}/pipelines-*-{name}-*")
                for name in step_names(self.definition, step_type)
            ]
            actions = [f"sagemaker:{verb}{operation}" for verb in ("Create", "Describe", "Stop")]
            allow(role, [*actions, "sagemaker:AddTags"], *jobs)
        allow_passing(role, "sagemaker.amazonaws.com", self.processing_role.role_arn, self.training_role.role_arn)
        group = own_arn(self, "sagemaker", f"model-package-group/{cdk.Aws.STACK_NAME}")
        packages = own_arn(self, "sagemaker", f"model-package/{cdk.Aws.STACK_NAME}/*")
        allow(role, ["sagemaker:CreateModelPackage", "sagemaker:AddTags"], group, packages)
        # The condition reads the evaluation.
        allow(role, ["s3:GetObject"], self.bucket.arn_for_objects(f"{EVALUATIONS}*"))
        allow(role, ["kms:Decrypt"], self.key.key_arn)
        return role

    def _pipeline(self) -> sagemaker.CfnPipeline:
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=cdk.Aws.STACK_NAME,
            pipeline_description="Prepares, trains, evaluates and registers",
            role_arn=self.pipeline_role.role_arn,
            pipeline_definition={"PipelineDefinitionBody": self._filled_in()},
        )
        pipeline.node.add_dependency(self.pipeline_role, self.processing_role, self.training_role, self.group, self.placed)
        return pipeline

    def _filled_in(self) -> str:
        """The definition with this stack's names in it. Raises KeyError for a placeholder that nobody fills."""
        values = {
            "CodeUri": f"s3://{self.bucket.bucket_name}/{self.code_key}",
            "DataBucket": self.bucket.bucket_name,
            "KeyArn": self.key.key_arn,
            "ModelPackageGroupName": self.group.ref,
            "ProcessingRoleArn": self.processing_role.role_arn,
            "TrainingRoleArn": self.training_role.role_arn,
            "SklearnImage": self.images.uri(SKLEARN),
            "XGBoostImage": self.images.uri(XGBOOST),
        }
        wanted = placeholders(self.definition)
        # Without its line breaks and indents: those are for people, and a template has a limit.
        body = json.dumps(json.loads(self.definition), separators=(",", ":"))
        return cdk.Fn.sub(body, {name: values[name] for name in wanted})

    # --- what starts it

    def _starter(self) -> iam.Role:
        """Who starts the pipeline for a rule."""
        role = service_role(self, "StarterRole", "events.amazonaws.com", "Starts the pipeline for new data")
        allow(role, ["sagemaker:StartPipelineExecution"], self._pipeline_arn)
        return role

    def _rules(self) -> list[events.CfnRule]:
        """New data. A batch has many files, and the rule sees one object at a time: so the last one is a marker."""
        rules = []
        if self.settings.start_on_data != "never":
            key = {"wildcard": f"{RAW}*{READY}"} if self.settings.start_on_data == "marker" else {"prefix": RAW}
            rule = events.CfnRule(
                self,
                "NewData",
                description=f"New data under {RAW}",
                event_pattern=object_created(self.bucket, keys=[key]),
                targets=[
                    events.CfnRule.TargetProperty(
                        id="Pipeline",
                        arn=self._pipeline_arn,
                        role_arn=self.starter.role_arn,
                        sage_maker_pipeline_parameters=events.CfnRule.SageMakerPipelineParametersProperty(
                            pipeline_parameter_list=[]
                        ),
                        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                    )
                ],
            )
            rule.node.add_dependency(self.pipeline)
            rules.append(rule)
        if self.settings.schedule:
            self._schedule(self.settings.schedule)
        return rules

    def _schedule(self, expression: str) -> None:
        role = service_role(self, "ScheduleRole", "scheduler.amazonaws.com", "Starts the pipeline by the clock")
        allow(role, ["sagemaker:StartPipelineExecution"], self._pipeline_arn)
        allow(role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        allow(role, KEY_USE, self.key.key_arn)
        scheduler.CfnSchedule(
            self,
            "Schedule",
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            kms_key_arn=self.key.key_arn,
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._pipeline_arn,
                role_arn=role.role_arn,
                sage_maker_pipeline_parameters=scheduler.CfnSchedule.SageMakerPipelineParametersProperty(
                    pipeline_parameter_list=[]
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
            ),
        ).node.add_dependency(self.pipeline)

    # --- what tells

    def _failure_rule(self) -> events.CfnRule:
        """Every execution that failed, with its ARN: its steps say why. A model that is not better fails, too."""
        rule = events.CfnRule(
            self,
            "ExecutionFailed",
            description="An execution of the pipeline failed",
            event_pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
                "detail": {"pipelineArn": [self._pipeline_arn], "currentPipelineExecutionStatus": ["Failed"]},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Failures",
                    arn=self.failures.topic_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )
        self.failures.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.failures.topic_arn],
                conditions={"ArnEquals": {"aws:SourceArn": rule.attr_arn}},
            )
        )
        sources = [each.attr_arn for each in (*self.rules, rule)]
        let_service_send("events.amazonaws.com", [self.dead_letters], source=sources)
        return rule

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Each tells the topic when it is raised and when it clears."""
        failed = cloudwatch.Metric(
            namespace="AWS/Sagemaker/ModelBuildingPipeline",
            metric_name="ExecutionFailed",
            dimensions_map={"PipelineName": cdk.Aws.STACK_NAME},
            period=cdk.Duration.minutes(1),
            statistic="Sum",
        )
        alarms = [
            alarm(
                self,
                "FailedAlarm",
                description="A training failed, or its model is not better: the failure topic names the execution.",
                metric=failed,
            ),
            alarm(
                self,
                "UndeliveredAlarm",
                description="New data or a failure could not be told: mend, then redrive.",
                metric=waiting_messages(self.dead_letters),
            ),
        ]
        tell_of_alarms(alarms, self.alarm_topic)
        return alarms

    # --- what comes out

    def _outputs(self) -> None:
        export(
            self,
            {
                "BucketName": self.bucket.bucket_name,
                "CodeUri": f"s3://{self.bucket.bucket_name}/{self.code_key}",
                "KeyArn": self.key.key_arn,
                "ModelPackageGroupName": self.group.ref,
                "PipelineName": self.pipeline.ref,
            },
        )
        values = {
            "UseCase": self.settings.use_case,
            "RawPrefix": RAW,
            "ProcessingRoleName": self.processing_role.role_name,
            "TrainingRoleName": self.training_role.role_name,
            "PipelineRoleName": self.pipeline_role.role_name,
            "StarterRoleName": self.starter.role_name,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FailureTopicArn": self.failures.topic_arn,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "FailureRuleName": self.failure_rule.ref,
        }
        if self.rules:
            values["RuleName"] = self.rules[0].ref
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)

    @property
    def _pipeline_arn(self) -> str:
        return own_arn(self, "sagemaker", f"pipeline/{cdk.Aws.STACK_NAME}")


# A step's type in a definition, what its job is called in an ARN, and in an operation.
_JOBS = (
    ("Processing", "processing-job", "ProcessingJob"),
    ("Training", "training-job", "TrainingJob"),
)
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def placeholders(definition: str) -> list[str]:
    """The names in `${Name}` of a definition, each once."""
    return sorted(set(_PLACEHOLDER.findall(definition)))


def step_names(definition: str, step_type: str) -> list[str]:
    """The names of all steps of a type, those in the branches of conditions, too."""
    return sorted(_named(json.loads(definition)["Steps"], step_type))


def _named(steps: Sequence[Mapping[str, Any]], step_type: str) -> set[str]:
    found = {step["Name"] for step in steps if step["Type"] == step_type}
    for step in steps:
        for branch in ("IfSteps", "ElseSteps"):
            found |= _named(step.get("Arguments", {}).get(branch, []), step_type)
    return found
