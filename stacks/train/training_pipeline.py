"""Train, evaluate and register a model: new data, a schedule or drift → EventBridge → a SageMaker pipeline."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.alarms import alarm, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import emptying, object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import own_key
from stacks.blocks.model_places import CHECKPOINTS, CODE, DATA, EVALUATION, MODELS, RUNS
from stacks.blocks.neighbours import export
from stacks.blocks.networks import PLACED, NetworkChoice, allow_job_interfaces, placed
from stacks.blocks.placed_files import PlacedFiles
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send
from stacks.blocks.sagemaker_images import SKLEARN, XGBOOST, Images
from stacks.blocks.sagemaker_roles import (
    KEY_USE,
    allow,
    allow_disk_key,
    allow_image,
    allow_job_logs,
    allow_passing,
    allow_reading,
    service_role,
)
from stacks.blocks.state_machines import state_machine
from stacks.blocks.topics import MAIL_ADDRESS, topic
from stacks.train import start, tell
from stacks.train.source_archive import source_archive

PIPELINES = pathlib.Path(__file__).resolve().parents[2] / "pipelines"

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
        description="what under `data/` starts a training: an object whose name ends with `_READY`, every one, none",
    )
    schedule: Literal["never", "daily", "weekly", "monthly"] = Field(
        default="never", description="how often to train besides; each training costs some cents"
    )
    network: NetworkChoice = Field(default="public", description=PLACED)
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms and failures, which AWS asks to confirm"
    )


class TrainingPipeline(cdk.Stack):
    """A team that owns data wants each model to be better than the one before, and to know that it is.

    **Flow.** Files go under `data/`, last the marker `_READY` → S3's event → a rule; so do a schedule, if one is set,
    and `model-monitor` when it sees drift → a state machine of three calls (`start.py`) finds the approved model and
    starts the pipeline (`pipelines/<use case>/definition.json`, made with SageMaker's SDK): deduplicate, split, then
    learn imputation and encoding from the training part alone → train XGBoost → evaluate on a test set that keeps the
    world's proportions, beside the approved model → better than the bar and than that one? → the package is registered,
    with metrics and the monitor's baseline, and waits for a person's approval; else the pipeline fails and says why.
    `realtime-endpoint` deploys what is approved.

    **What if.** The data has no header, lacks a column or has one class only: the job fails, and the topic is told the
    step and its reason. The service throttles, or an instance fails: the step is tried again. Spot capacity is taken
    away: the training goes on from its checkpoint. The marker's event comes twice: one token, one execution. The event
    cannot be delivered: it is a dead letter, with an alarm. The new model is worse: nothing is registered. Older
    versions than the newest approved one serve again: reject the newer, or trainings compare with it.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-27). Idle: the key and alarms. A run takes a
    few minutes of `ml.m5.large` (0.115 dollars an hour) in each of its four jobs, some four cents, whether the data has
    a thousand rows or a hundred thousand.
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

        self.network = placed(self, settings.network)
        if self.network:
            self.definition = in_a_network(self.definition)
        self.key = self._key()
        self.bucket = self._bucket()
        self.code_key = self._code()
        self.code_uri = f"s3://{self.bucket.bucket_name}/{self.code_key}"
        self.images = Images(self)
        self.processing_role = self._processing_role()
        self.training_role = self._training_role()
        # Ref of a group is its ARN.
        self.group_name = cdk.Aws.STACK_NAME
        self.group = self._group()
        self.pipeline_role = self._pipeline_role()
        self.pipeline = self._pipeline()
        self.failures = topic(self, "Failures", email=settings.alarm_email, encryption_key=self.key)
        self.start = self._start()
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.retired = self._retire()
        self.rules = self._rules()
        self.tell = self._tell()
        self.failure_rule = self._failure_rule()
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.alarms = self._alarms()
        self._outputs()

    # --- what holds data

    def _key(self) -> kms.Key:
        """One key for data, models, disks and messages."""
        return own_key(
            self,
            "Key",
            description="Encrypts the data, models, disks and messages of one stack",
            queue_senders=["events.amazonaws.com"],
        )

    def _bucket(self) -> s3.Bucket:
        """Data comes in under `data/`; what the pipeline makes of it lies under prefixes of its own."""
        return upload_bucket(
            self,
            "Bucket",
            # Of what lies between the steps nothing goes by itself: a step may be taken from the cache, and a package
            # names its baseline.
            lifecycle_rules=[old_versions_go()],
            target=self.target,
            encryption_key=self.key,
        )

    def _code(self) -> str:
        """The jobs' code, under a key that changes with it: so the definition changes, and no step is taken from cache.

        In the stack's own bucket, as jobs want it under a name of their choice.
        """
        archive, digest = source_archive(self.settings.use_case)
        key = f"{CODE}{digest}/{archive.name}"
        self.placed = PlacedFiles(
            self,
            "Placed",
            bucket=self.bucket,
            files={key: s3_assets.Asset(self, "Code", path=str(archive))},
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
        allow_reading(role, self.bucket.bucket_arn, [DATA, CODE, RUNS, MODELS])
        allow(role, ["s3:PutObject"], self.bucket.arn_for_objects(f"{RUNS}*"))
        allow(role, KEY_USE, self.key.key_arn)
        allow_disk_key(role, self.key.key_arn)
        if self.network:
            allow_job_interfaces(role)
        return role

    def _training_role(self) -> iam.Role:
        role = service_role(self, "TrainingRole", "sagemaker.amazonaws.com", "What the training jobs may do")
        allow_image(role, self.images, XGBOOST)
        allow_job_logs(role, "TrainingJobs")
        allow_reading(role, self.bucket.bucket_arn, [CODE, RUNS])
        allow(role, ["s3:PutObject"], *(self.bucket.arn_for_objects(key) for key in (f"{MODELS}*", CHECKPOINTS)))
        allow(role, KEY_USE, self.key.key_arn)
        allow_disk_key(role, self.key.key_arn)
        if self.network:
            allow_job_interfaces(role)
        return role

    # --- the pipeline

    def _group(self) -> sagemaker.CfnModelPackageGroup:
        return sagemaker.CfnModelPackageGroup(
            self,
            "Models",
            model_package_group_name=self.group_name,
            model_package_group_description="What this pipeline has trained and found better than what was there",
        )

    def _pipeline_role(self) -> iam.Role:
        """What the pipeline itself does: it makes the jobs that its definition has, hands them their roles, registers.

        What a pipeline's role needs is in "IAM Access Management" (Amazon SageMaker AI Developer Guide, read
        2026-11-27). SageMaker calls a step's job `pipelines-<execution>-<step>-<random>` (Amazon SageMaker AI Developer
        Guide, "Pipelines steps"). An execution's id is made up by the service, so a step's name is what there is to
        hold a grant to. ARNs are in small letters, whatever the names are.
        """
        role = service_role(self, "PipelineRole", "sagemaker.amazonaws.com", "What the pipeline may do")
        for step_type, kind, operation in _JOBS:
            actions = [f"sagemaker:{verb}{operation}" for verb in ("Create", "Describe", "Stop")]
            allow(role, actions, *self._jobs_of(step_type, kind))
        allow_passing(role, "sagemaker.amazonaws.com", self.processing_role.role_arn, self.training_role.role_arn)
        allow(role, ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage"], self._packages_arn)
        # The condition reads the evaluation.
        allow(role, ["s3:GetObject"], self.bucket.arn_for_objects(EVALUATION))
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
        pipeline.node.add_dependency(
            self.pipeline_role, self.processing_role, self.training_role, self.group, self.placed
        )
        return pipeline

    def _filled_in(self) -> str:
        """The definition with this stack's names in it. Raises KeyError for a placeholder that nobody fills."""
        values = {
            "CodeFile": self.code_key.rpartition("/")[2],
            "CodeUri": self.code_uri,
            "DataBucket": self.bucket.bucket_name,
            "KeyArn": self.key.key_arn,
            "ModelPackageGroupName": self.group_name,
            "ProcessingRoleArn": self.processing_role.role_arn,
            "TrainingRoleArn": self.training_role.role_arn,
            "SklearnImage": self.images.uri(SKLEARN),
            "XGBoostImage": self.images.uri(XGBOOST),
        }
        if self.network:
            # Between the quotes of a list of one.
            values["Subnets"] = cdk.Fn.join('","', list(self.network.subnets))
            values["SecurityGroup"] = self.network.jobs_group
        wanted = sorted(set(_PLACEHOLDER.findall(self.definition)))
        # Without its line breaks and indents: those are for people, and a template has a limit.
        body = json.dumps(json.loads(self.definition), separators=(",", ":"))
        return cdk.Fn.sub(body, {name: values[name] for name in wanted})

    def _retire(self) -> cdk.CustomResource:
        """What executions have made and what runs is no resource of the stack, and is in the way of its deletion."""
        retire = PythonFunction(
            self,
            "Retire",
            architecture="training-pipeline",
            function="retire",
            target=self.target,
            description="Ends what runs and deletes what is registered when the stack is deleted",
            timeout=cdk.Duration.minutes(15),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_WEEK,
            encryption_key=self.key,
        )
        retire.allow(["sagemaker:ListPipelineExecutions"], self._pipeline_arn)
        retire.allow(["sagemaker:StopPipelineExecution"], f"{self._pipeline_arn}/execution/*")
        retire.allow(["sagemaker:ListModelPackages", "sagemaker:DeleteModelPackage"], self._packages_arn)
        resource = cdk.CustomResource(
            self,
            "Retired",
            resource_type="Custom::RetiredPipeline",
            service_token=retire.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={"PipelineName": self.pipeline.ref, "ModelPackageGroupName": self.group_name},
        )
        # Jobs that are stopped still write what they have.
        resource.node.add_dependency(retire, self.group, self.pipeline_role, self.processing_role, self.training_role)
        resource.node.add_dependency(self.bucket, emptying(self.bucket))
        return resource

    # --- what starts it

    def _start(self) -> stepfunctions.CfnStateMachine:
        """All that starts the pipeline starts this: it finds what to compare with, and tells new data from old."""
        role = self.start_role = service_role(
            self, "StartRole", "states.amazonaws.com", "What the start of a training may do"
        )
        allow(role, ["sagemaker:ListModelPackages", "sagemaker:DescribeModelPackage"], self._packages_arn)
        allow(role, ["sagemaker:StartPipelineExecution"], self._pipeline_arn)
        allow(role, ["sns:Publish"], self.failures.topic_arn)
        allow(role, KEY_USE, self.key.key_arn)
        parts = start.Parts(
            partition=self.partition,
            pipeline=self.pipeline.ref,
            package_group=self.group_name,
            no_model=self.code_uri,
            failure_topic=self.failures.topic_arn,
        )
        return state_machine(self, "Start", definition=start.definition(parts), role=role, encryption_key=self.key)

    def _rules(self) -> list[events.CfnRule]:
        """New data. A batch has many files, and the rule sees one object at a time: so the last one is a marker."""
        if self.settings.schedule != "never":
            self._schedule(_RATES[self.settings.schedule])
        if self.settings.start_on_data == "never":
            return []
        starter = service_role(self, "StarterRole", "events.amazonaws.com", "Starts a training for new data")
        allow(starter, ["states:StartExecution"], self.start.attr_arn)
        key = {"wildcard": f"{DATA}*{READY}"} if self.settings.start_on_data == "marker" else {"prefix": DATA}
        rule = events.CfnRule(
            self,
            "NewData",
            description=f"New data under {DATA}",
            event_pattern=object_created(self.bucket, keys=[key]),
            targets=[
                events.CfnRule.TargetProperty(
                    id="Start",
                    arn=self.start.attr_arn,
                    role_arn=starter.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )
        # At the end of the stack nothing may start any more when what runs is ended.
        rule.node.add_dependency(self.retired)
        return [rule]

    def _schedule(self, expression: str) -> None:
        role = service_role(self, "ScheduleRole", "scheduler.amazonaws.com", "Starts a training by the clock")
        allow(role, ["states:StartExecution"], self.start.attr_arn)
        allow(role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        allow(role, KEY_USE, self.key.key_arn)
        schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            kms_key_arn=self.key.key_arn,
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.start.attr_arn,
                role_arn=role.role_arn,
                # The same for every attempt of one call (EventBridge Scheduler User Guide, "Adding context
                # attributes", read 2026-11-27).
                input='{"id": "<aws.scheduler.execution-id>"}',
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
            ),
        )
        schedule.node.add_dependency(self.retired)

    # --- what tells

    def _tell(self) -> stepfunctions.CfnStateMachine:
        """Finds out why an execution failed, and tells the topic."""
        role = self.tell_role = service_role(
            self, "TellRole", "states.amazonaws.com", "What telling of a failure may do"
        )
        allow(role, ["sagemaker:ListPipelineExecutionSteps"], f"{self._pipeline_arn}/execution/*")
        allow(role, ["sagemaker:DescribeProcessingJob"], *self._jobs_of("Processing", "processing-job"))
        allow(role, ["sns:Publish"], self.failures.topic_arn)
        allow(role, KEY_USE, self.key.key_arn)
        parts = tell.Parts(partition=self.partition, failure_topic=self.failures.topic_arn)
        return state_machine(self, "Tell", definition=tell.definition(parts), role=role, encryption_key=self.key)

    def _failure_rule(self) -> events.CfnRule:
        """Every execution that failed. One whose model is not better fails, too."""
        teller = service_role(self, "TellerRole", "events.amazonaws.com", "Has a failure told")
        allow(teller, ["states:StartExecution"], self.tell.attr_arn)
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
                    id="Tell",
                    arn=self.tell.attr_arn,
                    role_arn=teller.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
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
                "StartFailedAlarm",
                description="A training could not be started: the failure topic says why.",
                metric=cloudwatch.Metric(
                    namespace="AWS/States",
                    metric_name="ExecutionsFailed",
                    dimensions_map={"StateMachineArn": self.start.attr_arn},
                    period=cdk.Duration.minutes(1),
                    statistic="Sum",
                ),
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
                "CodeUri": self.code_uri,
                "KeyArn": self.key.key_arn,
                "ModelPackageGroupName": self.group_name,
                "StartArn": self.start.attr_arn,
            },
        )
        values = {
            "UseCase": self.settings.use_case,
            "PipelineName": self.pipeline.ref,
            "DataPrefix": DATA,
            "StartRoleName": self.start_role.role_name,
            "ProcessingRoleName": self.processing_role.role_name,
            "TrainingRoleName": self.training_role.role_name,
            "PipelineRoleName": self.pipeline_role.role_name,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FailureTopicArn": self.failures.topic_arn,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "FailureRuleName": self.failure_rule.ref,
        }
        if self.rules:
            values["RuleName"] = self.rules[0].ref
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)

    def _jobs_of(self, step_type: str, kind: str) -> list[str]:
        """The ARNs of the jobs of all steps of a type, as patterns."""
        names = step_names(self.definition, step_type)
        return [own_arn(self, "sagemaker", f"{kind}/pipelines-*-{name.lower()}-*") for name in names]

    @property
    def _packages_arn(self) -> str:
        return own_arn(self, "sagemaker", f"model-package/{self.group_name}/*")

    @property
    def _pipeline_arn(self) -> str:
        return own_arn(self, "sagemaker", f"pipeline/{cdk.Aws.STACK_NAME}")


_RATES = {"daily": "rate(1 day)", "weekly": "rate(7 days)", "monthly": "rate(30 days)"}

# A step's type in a definition, what its job is called in an ARN, and in an operation.
_JOBS = (
    ("Processing", "processing-job", "ProcessingJob"),
    ("Training", "training-job", "TrainingJob"),
)
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def in_a_network(definition: str) -> str:
    """A definition whose jobs name the network: the placeholders `Subnets` (of several) and `SecurityGroup`."""
    pipeline = json.loads(definition)
    for step in _all_steps(pipeline["Steps"]):
        if step["Type"] == "Processing":
            step["Arguments"].setdefault("NetworkConfig", {})["VpcConfig"] = _VPC
        if step["Type"] == "Training":
            step["Arguments"]["VpcConfig"] = _VPC
    return json.dumps(pipeline)


_VPC = {"Subnets": ["${Subnets}"], "SecurityGroupIds": ["${SecurityGroup}"]}


def step_names(definition: str, step_type: str) -> list[str]:
    """The names of all steps of a type, those in the branches of conditions, too."""
    return sorted({step["Name"] for step in _all_steps(json.loads(definition)["Steps"]) if step["Type"] == step_type})


def _all_steps(steps: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from _all_steps(step.get("Arguments", {}).get(branch, []))
