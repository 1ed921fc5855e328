"""Serve a model with scaling: approval → EventBridge → Step Functions → an endpoint that captures its traffic."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stacks.blocks.alarms import alarm, dashboard, errors, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import emptying, private_bucket
from stacks.blocks.keys import USE_FOR_LOGS, let_service_use, own_key
from stacks.blocks.model_places import BASELINES, CAPTURES, MODELS, PRODUCTION_BASELINE
from stacks.blocks.neighbours import Neighbour, export
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send
from stacks.blocks.sagemaker_images import XGBOOST, Images
from stacks.blocks.sagemaker_roles import (
    KEY_USE,
    allow,
    allow_disk_key,
    allow_image,
    allow_passing,
    service_role,
)
from stacks.blocks.state_machines import state_machine
from stacks.blocks.topics import MAIL_ADDRESS, topic
from stacks.serve.deployment import SCALABLE_DIMENSION, Choices, Deployment, Parts

ARCHITECTURE = "realtime-endpoint"

VARIANT = "AllTraffic"


class RealtimeEndpointSettings(BaseModel):
    """What may be chosen at deployment, with its bounds. The defaults are for production.

    A sandbox wants `instance_type` `ml.t2.medium`, `instance_count` and `maximum_instances` 1, and `stop_overnight`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: str = Field(
        default="ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description="of the machines that serve"
    )
    instance_count: int = Field(
        default=2, ge=1, le=100, description="at least; SageMaker spreads two or more over Availability Zones"
    )
    maximum_instances: int = Field(default=4, ge=1, le=100, description="as many as the traffic may call for")
    scaling: Literal["invocations", "cpu"] = Field(
        default="invocations", description="what the number of instances follows"
    )
    invocations_per_instance: int = Field(
        default=70, ge=1, le=100_000, description="a minute, for scaling by invocations"
    )
    cpu_percent: int = Field(
        default=50, ge=1, le=9600, description="for scaling by cpu; each CPU of an instance counts 100"
    )
    capture_percent: int = Field(default=100, ge=1, le=100, description="of the requests that are captured")
    capture_days: int = Field(default=30, ge=1, le=3650, description="how long captures are kept")
    canary_percent: int = Field(
        default=50, ge=1, le=50, description="of the new instances that get traffic first; all if there is one"
    )
    bake_seconds: int = Field(
        default=300, ge=0, le=3600, description="how long alarms are watched before the old instances go"
    )
    maximum_latency_milliseconds: int = Field(
        default=500, ge=1, le=60_000, description="of the model, in the 95th percentile, above which an alarm is raised"
    )
    maximum_overhead_milliseconds: int = Field(
        default=200, ge=1, le=60_000, description="of SageMaker, in the 99th percentile, above which an alarm is raised"
    )
    stop_overnight: bool = Field(
        default=False, description="the endpoint is deleted in the evening, made anew at morning"
    )
    stop_hour: int = Field(default=20, ge=0, le=23, description="every day, later than start_hour, with stop_overnight")
    start_hour: int = Field(default=7, ge=0, le=23, description="from Monday to Friday, with stop_overnight")
    time_zone: str = Field(default="UTC", description="of those hours: a name like Europe/Berlin")
    poll_seconds: int = Field(default=30, ge=1, le=300, description="between two looks at an endpoint that is changed")
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms and failures, which AWS asks to confirm"
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> RealtimeEndpointSettings:
        if self.maximum_instances < self.instance_count:
            raise ValueError("maximum_instances is less than instance_count")
        if self.stop_hour <= self.start_hour:
            raise ValueError(
                f"stop_hour ({self.stop_hour}) must be later on the same day than start_hour ({self.start_hour}):"
                " the endpoint is to serve by day"
            )
        return self

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        # A machine without the database of time zones knows UTC all the same.
        if name != "UTC" and name not in zoneinfo.available_timezones():
            raise ValueError(f"{name!r} is no time zone that this machine knows: give a name like 'Europe/Berlin'")
        return name


class RealtimeEndpoint(cdk.Stack):
    """A shop asks before each parcel leaves: will this delivery be claimed as spoiled?

    It serves what a `training-pipeline` stack has registered: that stack is needed, and its name is the parameter
    `TrainingPipelineStack`.

    **Flow.** A person approves a model package → SageMaker's event → a rule → a state machine (`deployment.py`), which
    calls AWS by itself: model and endpoint configuration from the package, then the endpoint is made, or updated
    blue/green: new instances, a part of the traffic for some minutes, all of it, the old instances go. Then its number
    of instances follows the traffic. Requests and answers are captured to S3. The baseline of what is in
    production is kept under fixed keys in the training stack's bucket, for the managed monitor.

    **What if.** The new model fails or is slow: an alarm is raised while both fleets run, SageMaker goes back by
    itself, and a topic is told why. The artifact is broken and the container never answers its health check: the
    update fails, the old model serves on. Two packages are approved at once: one waits for the other. An approval was
    taken back before its event came: nothing is done. Another `instance_type` was set: scaling ends before the update,
    which SageMaker refuses else, and begins again after it. The event cannot be delivered: it is a dead letter, with an
    alarm. The endpoint is broken: it is made anew. The stack is deleted: a function takes away what the approvals made.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-27). Idle, before the first approval:
    dashboard, alarms and key. From then on an endpoint costs by the hour, used or not: two `ml.m5.large` at 0.115
    dollars are 167.90 dollars a month; one `ml.t2.medium` at 0.056 is 40.88, and about 16 if it stops overnight and at
    weekends (13 hours on five days). What is approved after the evening's stop serves, and costs, until that of the
    next day, Saturdays and Sundays too. A thousand requests cost nothing on top but their captures. An update runs both
    fleets for some minutes.
    """

    Settings: ClassVar[type[RealtimeEndpointSettings]] = RealtimeEndpointSettings

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: RealtimeEndpointSettings,
        target: Target,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target
        self.training = Neighbour(self, "training-pipeline")
        # Every architecture's SageMaker resources are called after its stack.
        self.endpoint = cdk.Aws.STACK_NAME

        self.key = self._key()
        self.captures = self._captures()
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.failures = topic(self, "Failures", email=settings.alarm_email, encryption_key=self.key)
        self.endpoint_alarms = self._endpoint_alarms()
        self.model_role = self._model_role()
        self.machine_role = self._machine_role()
        self.machine = state_machine(
            self,
            "Deployment",
            definition=self._deployment().definition(),
            role=self.machine_role,
            encryption_key=self.key,
        )
        self.retire, retired = self._retire()
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.rule = self._rule()
        # At the end of the stack nothing may deploy any more when the endpoint is taken away.
        self.rule.node.add_dependency(retired)
        if settings.stop_overnight:
            for schedule in self._nights():
                schedule.node.add_dependency(retired)
        self.unwell = self._unwell()
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

    # --- what holds data

    def _key(self) -> kms.Key:
        """One key for captures, disks, messages and logs."""
        key = own_key(
            self,
            "Key",
            description="Encrypts the captures, disks, messages and logs of one stack",
            queue_senders=["events.amazonaws.com"],
        )
        # The group of the endpoint's log has the name that SageMaker gives it.
        let_service_use(
            key,
            f"logs.{self.region}.amazonaws.com",
            where={"kms:EncryptionContext:aws:logs:arn": own_arn(self, "logs", f"log-group:{self._log_group_name}")},
            actions=USE_FOR_LOGS,
        )
        return key

    def _captures(self) -> s3.Bucket:
        """Requests and answers, by hour."""
        return private_bucket(
            self,
            "Captures",
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=cdk.Duration.days(self.settings.capture_days),
                    noncurrent_version_expiration=cdk.Duration.days(1),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            target=self.target,
            encryption_key=self.key,
        )

    # --- what serves

    def _model_role(self) -> iam.Role:
        """What the endpoint may do. Its container may do nothing: it has no network."""
        role = service_role(self, "ModelRole", "sagemaker.amazonaws.com", "What the endpoint's instances may do")
        allow_image(role, Images(self), XGBOOST)
        allow(role, ["s3:GetObject"], f"{self._training_bucket_arn}/{MODELS}*")
        allow(role, ["kms:Decrypt"], self.training.value("KeyArn"))
        allow(role, ["s3:PutObject"], self.captures.arn_for_objects(f"{CAPTURES}{self.endpoint}/*"))
        allow(role, KEY_USE, self.key.key_arn)
        log_group = logs.LogGroup(
            self,
            "EndpointLogs",
            log_group_name=self._log_group_name,
            retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        # SageMaker would make the group itself. This one expires its entries and goes with the stack.
        allow(role, ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], log_group.log_group_arn)
        allow(
            role,
            ["cloudwatch:PutMetricData"],
            "*",
            conditions={"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}},
        )
        # SageMaker asks them, as this role, during an update (Amazon SageMaker AI Developer Guide, "Auto-Rollback
        # Configuration and Monitoring", read 2026-11-27).
        allow(role, ["cloudwatch:DescribeAlarms"], *(one.alarm_arn for one in self.endpoint_alarms))
        return role

    # --- the deployment

    def _deployment(self) -> Deployment:
        settings = self.settings
        parts = Parts(
            partition=self.partition,
            endpoint=self.endpoint,
            variant=VARIANT,
            model_role=self.model_role.role_arn,
            key=self.key.key_arn,
            package_group=self.training.value("ModelPackageGroupName"),
            capture_uri=f"s3://{self.captures.bucket_name}/{CAPTURES.rstrip('/')}",
            training_bucket=self.training.value("BucketName"),
            failure_topic=self.failures.topic_arn,
            rollback_alarms=tuple(one.alarm_name for one in self.endpoint_alarms),
        )
        choices = Choices(
            instance_type=settings.instance_type,
            instance_count=settings.instance_count,
            maximum_instances=settings.maximum_instances,
            scaling_policy=self._scaling_policy(),
            capture_percent=settings.capture_percent,
            canary_percent=settings.canary_percent,
            bake_seconds=settings.bake_seconds,
            poll_seconds=settings.poll_seconds,
            baseline_prefix=PRODUCTION_BASELINE,
        )
        return Deployment(parts, choices)

    def _scaling_policy(self) -> Mapping[str, Any]:
        """Target tracking, with the cool-downs that Application Auto Scaling has for SageMaker by default."""
        cool_downs = {"ScaleInCooldown": 300, "ScaleOutCooldown": 300}
        if self.settings.scaling == "invocations":
            return {
                "TargetValue": self.settings.invocations_per_instance,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance",
                },
                **cool_downs,
            }
        return {
            "TargetValue": self.settings.cpu_percent,
            "CustomizedMetricSpecification": {
                "Namespace": "/aws/sagemaker/Endpoints",
                "MetricName": "CPUUtilization",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": self.endpoint},
                    {"Name": "VariantName", "Value": VARIANT},
                ],
                "Statistic": "Average",
                "Unit": "Percent",
            },
            **cool_downs,
        }

    def _machine_role(self) -> iam.Role:
        role = service_role(self, "DeploymentRole", "states.amazonaws.com", "What a deployment may do")
        group = self.training.value("ModelPackageGroupName")
        packages = own_arn(self, "sagemaker", f"model-package/{group}/*")
        allow(role, ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"], packages)
        # A list of endpoints cannot be narrowed.
        allow(role, ["sagemaker:ListEndpoints"], "*")
        model, config = (
            own_arn(self, "sagemaker", f"{kind}/{self.endpoint}-v*") for kind in ("model", "endpoint-config")
        )
        allow(role, ["sagemaker:CreateModel", "sagemaker:DeleteModel"], model)
        allow(
            role,
            ["sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:DeleteEndpointConfig"],
            config,
        )
        allow(role, ["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], self._endpoint_arn, config)
        allow(role, ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], self._endpoint_arn)
        allow_passing(role, "sagemaker.amazonaws.com", self.model_role.role_arn)
        allow_disk_key(role, self.key.key_arn)
        self._allow_scaling(role)
        bucket = self._training_bucket_arn
        allow(role, ["s3:GetObject"], f"{bucket}/{BASELINES}*")
        kept = (f"{PRODUCTION_BASELINE}statistics.json", f"{PRODUCTION_BASELINE}constraints.json")
        allow(role, ["s3:PutObject"], *(f"{bucket}/{key}" for key in kept))
        allow(role, KEY_USE, self.training.value("KeyArn"))
        allow(role, ["sns:Publish"], self.failures.topic_arn)
        allow(role, KEY_USE, self.key.key_arn)
        return role

    def _allow_scaling(self, role: iam.Role) -> None:
        """What Application Auto Scaling asks of who registers a variant and sets its policy.

        (Amazon SageMaker AI Developer Guide, "Auto scaling prerequisites"; Application Auto Scaling User Guide,
        "Identity-based policy examples"; read 2026-11-27.) A scalable target's own ARN ends with an id that the service
        makes up, so conditions hold the grant to SageMaker's variants.
        """
        allow(
            role,
            [
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
            ],
            "*",
            conditions=_VARIANTS_ONLY,
        )
        allow(role, ["sagemaker:UpdateEndpointWeightsAndCapacities"], self._endpoint_arn)
        alarms = ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm"]
        allow(role, alarms, self._scaling_alarms_arn)
        # Once an account, by whoever comes first.
        allow(
            role,
            ["iam:CreateServiceLinkedRole"],
            f"arn:{self.partition}:iam::{self.account}:role/aws-service-role/{_SCALER}/"
            "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
            conditions={"StringEquals": {"iam:AWSServiceName": _SCALER}},
        )

    def _rule(self) -> events.CfnRule:
        """Approvals of this group's packages. An event that cannot start the machine within a day is a dead letter."""
        starter = service_role(self, "StarterRole", "events.amazonaws.com", "Starts a deployment for an approval")
        allow(starter, ["states:StartExecution"], self.machine.attr_arn)
        rule = events.CfnRule(
            self,
            "Approved",
            description="A model package of the group was approved",
            event_pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Model Package State Change"],
                "detail": {
                    "ModelPackageGroupName": [self.training.value("ModelPackageGroupName")],
                    "ModelApprovalStatus": ["Approved"],
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Deployment",
                    arn=self.machine.attr_arn,
                    role_arn=starter.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )
        let_service_send("events.amazonaws.com", [self.dead_letters], source=rule.attr_arn)
        return rule

    # --- the end of an endpoint

    def _retire(self) -> tuple[PythonFunction, cdk.CustomResource]:
        """Approvals make the endpoint, not CloudFormation: so a function takes it away when the stack goes."""
        retire = PythonFunction(
            self,
            "Retire",
            architecture=ARCHITECTURE,
            function="retire",
            target=self.target,
            description="Takes the endpoint away, and what it was made of",
            timeout=cdk.Duration.minutes(15),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_WEEK,
            encryption_key=self.key,
            environment={
                "ENDPOINT_NAME": self.endpoint,
                "VARIANT_NAME": VARIANT,
                "STATE_MACHINE_ARN": self.machine.attr_arn,
            },
        )
        executions = own_arn(self, "states", f"execution:{self.machine.attr_name}:*")
        retire.allow(["states:ListExecutions"], self.machine.attr_arn)
        retire.allow(["states:StopExecution"], executions)
        allow(retire.role, ["application-autoscaling:DeregisterScalableTarget"], "*", conditions=_VARIANTS_ONLY)
        retire.allow(["cloudwatch:DeleteAlarms"], self._scaling_alarms_arn)
        retire.allow(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], self._endpoint_arn)
        retire.allow(["sagemaker:ListEndpointConfigs", "sagemaker:ListModels"], "*")
        retire.allow(
            ["sagemaker:DeleteEndpointConfig"], own_arn(self, "sagemaker", f"endpoint-config/{self.endpoint}-v*")
        )
        retire.allow(["sagemaker:DeleteModel"], own_arn(self, "sagemaker", f"model/{self.endpoint}-v*"))
        resource = cdk.CustomResource(
            self,
            "Retired",
            resource_type="Custom::RetiredEndpoint",
            service_token=retire.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={"EndpointName": self.endpoint},
        )
        # What the deletion of the endpoint needs outlives it: its roles, its alarms, its bucket. What empties
        # that comes after the last captures.
        resource.node.add_dependency(retire, self.model_role, self.machine_role, self.captures, emptying(self.captures))
        return retire, resource

    def _nights(self) -> list[scheduler.CfnSchedule]:
        """Every evening the endpoint goes; on the morning of a working day the newest approved package is deployed.

        An approval deploys at any hour, and what it made would be paid over a weekend without the stops of these days.
        """
        role = service_role(self, "NightRole", "scheduler.amazonaws.com", "Stops the endpoint, and starts it again")
        allow(role, ["lambda:InvokeFunction"], self.retire.function.function_arn)
        allow(role, ["states:StartExecution"], self.machine.attr_arn)
        allow(role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        allow(role, KEY_USE, self.key.key_arn)
        described = (
            ("Stop", f"{self.settings.stop_hour} * * ?", self.retire.function.function_arn, '{"stop": true}'),
            ("Start", f"{self.settings.start_hour} ? * MON-FRI", self.machine.attr_arn, '{"start": true}'),
        )
        return [
            scheduler.CfnSchedule(
                self,
                name,
                schedule_expression=f"cron(0 {when} *)",
                schedule_expression_timezone=self.settings.time_zone,
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                kms_key_arn=self.key.key_arn,
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=arn,
                    role_arn=role.role_arn,
                    input=told,
                    dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                ),
            )
            for name, when, arn, told in described
        ]

    # --- what watches

    def _endpoint_metric(self, name: str, statistic: str, label: str | None = None) -> cloudwatch.Metric:
        """A metric of the invocations (Amazon SageMaker AI Developer Guide, "Endpoint invocation metrics")."""
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map={"EndpointName": self.endpoint, "VariantName": VARIANT},
            period=cdk.Duration.minutes(1),
            statistic=statistic,
            label=label,
        )

    def _endpoint_alarms(self) -> list[cloudwatch.Alarm]:
        """What the model does to its callers. Each takes an update back; people are told by `Unwell`."""
        settings = self.settings
        milliseconds = 1000  # CloudWatch has both latencies in microseconds.
        return [
            alarm(
                self,
                "ServerErrorsAlarm",
                description="The model answers with errors.",
                metric=self._endpoint_metric("Invocation5XXErrors", "Sum"),
            ),
            alarm(
                self,
                "ModelLatencyAlarm",
                description=f"The model takes more than {settings.maximum_latency_milliseconds} ms.",
                metric=self._endpoint_metric("ModelLatency", "p95"),
                threshold=settings.maximum_latency_milliseconds * milliseconds,
                evaluation_periods=3,
                datapoints_to_alarm=2,
            ),
            alarm(
                self,
                "OverheadAlarm",
                description=f"SageMaker adds more than {settings.maximum_overhead_milliseconds} ms.",
                metric=self._endpoint_metric("OverheadLatency", "p99"),
                threshold=settings.maximum_overhead_milliseconds * milliseconds,
                evaluation_periods=5,
                datapoints_to_alarm=3,
            ),
        ]

    def _unwell(self) -> cloudwatch.CfnCompositeAlarm:
        """One message, however many of the three are raised."""
        return cloudwatch.CfnCompositeAlarm(
            self,
            "Unwell",
            alarm_description="The endpoint fails its callers or keeps them waiting.",
            alarm_rule=" OR ".join(f'ALARM("{one.alarm_name}")' for one in self.endpoint_alarms),
            alarm_actions=[self.alarm_topic.topic_arn],
            ok_actions=[self.alarm_topic.topic_arn],
        )

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Each tells the topic when it is raised and when it clears."""

        def of_deployments(metric: str) -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/States",
                metric_name=metric,
                dimensions_map={"StateMachineArn": self.machine.attr_arn},
                period=cdk.Duration.minutes(1),
                statistic="Sum",
            )

        alarms = [
            alarm(
                self,
                "DeploymentFailedAlarm",
                description="A model was not deployed as it should be: the failure topic says why.",
                metric=of_deployments("ExecutionsFailed"),
            ),
            alarm(
                self,
                "DeploymentTimedOutAlarm",
                description="A deployment outlived all its limits.",
                metric=of_deployments("ExecutionsTimedOut"),
            ),
            alarm(
                self,
                "UndeliveredAlarm",
                description="An approval could not be told: mend, then redrive.",
                metric=waiting_messages(self.dead_letters),
            ),
        ]
        if self.settings.stop_overnight:
            alarms.append(
                alarm(
                    self,
                    "StopFailedAlarm",
                    description="The endpoint was not stopped for the night.",
                    metric=errors(self.retire),
                )
            )
        tell_of_alarms(alarms, self.alarm_topic, [self.unwell])
        return alarms

    def _dashboard(self) -> cloudwatch.Dashboard:
        return dashboard(
            self,
            "Dashboard",
            alarms=[*self.endpoint_alarms, *self.alarms],
            graphs=[
                cloudwatch.GraphWidget(
                    title="Requests",
                    left=[
                        self._endpoint_metric("Invocations", "Sum", "requests"),
                        self._endpoint_metric("Invocation4XXErrors", "Sum", "refused"),
                        self._endpoint_metric("Invocation5XXErrors", "Sum", "failed"),
                    ],
                    right=[self._endpoint_metric("InvocationsPerInstance", "Sum", "an instance")],
                    width=12,
                ),
                cloudwatch.GraphWidget(
                    title="Latency, microseconds",
                    left=[
                        self._endpoint_metric("ModelLatency", "p50", "model, p50"),
                        self._endpoint_metric("ModelLatency", "p95", "model, p95"),
                        self._endpoint_metric("OverheadLatency", "p99", "SageMaker, p99"),
                    ],
                    width=12,
                ),
            ],
        )

    # --- what comes out

    def _outputs(self) -> None:
        export(
            self,
            {
                "EndpointName": self.endpoint,
                "VariantName": VARIANT,
                "CaptureBucketName": self.captures.bucket_name,
                "CaptureUri": f"s3://{self.captures.bucket_name}/{CAPTURES.rstrip('/')}",
                "KeyArn": self.key.key_arn,
            },
        )
        values = {
            "TrainingStackName": self.training.stack_name,
            "DeploymentArn": self.machine.attr_arn,
            "DeploymentRoleName": self.machine_role.role_name,
            "ModelRoleName": self.model_role.role_name,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "FailureTopicArn": self.failures.topic_arn,
            "RetireFunctionName": self.retire.function.function_name,
            "RuleName": self.rule.ref,
            "DashboardName": self.dashboard.dashboard_name,
            "UnwellAlarmName": self.unwell.ref,
            "ServerErrorsAlarmName": self.endpoint_alarms[0].alarm_name,
            "ModelLatencyAlarmName": self.endpoint_alarms[1].alarm_name,
            "OverheadAlarmName": self.endpoint_alarms[2].alarm_name,
        }
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)

    # --- helpers

    @property
    def _log_group_name(self) -> str:
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"

    @property
    def _endpoint_arn(self) -> str:
        return own_arn(self, "sagemaker", f"endpoint/{self.endpoint}")

    @property
    def _scaling_alarms_arn(self) -> str:
        """Those that Application Auto Scaling makes for a target."""
        return own_arn(self, "cloudwatch", f"alarm:TargetTracking-endpoint/{self.endpoint}/variant/{VARIANT}-*")

    @property
    def _training_bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.training.value('BucketName')}"


_SCALER = "sagemaker.application-autoscaling.amazonaws.com"
_VARIANTS_ONLY: Mapping[str, Mapping[str, Any]] = {
    "StringEquals": {
        "application-autoscaling:service-namespace": "sagemaker",
        "application-autoscaling:scalable-dimension": SCALABLE_DIMENSION,
    }
}
