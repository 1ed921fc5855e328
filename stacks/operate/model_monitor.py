"""Notice when a model drifts: captured traffic → hourly job → report → metrics → alarm → people and a new training."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.blocks.alarms import alarm, dashboard, errors, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import private_bucket
from stacks.blocks.keys import own_key
from stacks.blocks.model_places import BASELINES, CAPTURES, CODE, PRODUCTION_BASELINE
from stacks.blocks.neighbours import Neighbour
from stacks.blocks.networks import PLACED, NetworkChoice, allow_job_interfaces, placed
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send
from stacks.blocks.sagemaker_images import MONITOR, SKLEARN, Images
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
from stacks.blocks.topics import MAIL_ADDRESS, topic

ARCHITECTURE = "model-monitor"

NAMESPACE = "ModelMonitor"
REPORTS = "reports"
GROUND_TRUTH = "ground-truth"


class ModelMonitorSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    monitor: Literal["own", "managed"] = Field(
        default="own",
        description="managed: Amazon SageMaker Model Monitor, which is closed to new accounts since 2026-07-30",
    )
    # Captures are written some minutes after the request (Amazon SageMaker AI Developer Guide, "Capture data from
    # real-time endpoint"), and the function looks at the last full hour.
    minute: int = Field(default=20, ge=5, le=59, description="of each hour, when the hour before is judged; for own")
    label_days: int = Field(
        default=2, ge=0, le=5, description="how many days a label may come after its prediction; for own"
    )
    instance_type: str | None = Field(
        default=None,
        pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$",
        description="of the monitor's jobs; if none is named, ml.t3.medium, and ml.m5.xlarge for managed",
    )
    bad_hours: int = Field(default=2, ge=1, le=24, description="with violations, until the alarm is raised")
    watched_hours: int = Field(default=3, ge=1, le=24, description="of which these are, the last so many")
    retrain: bool = Field(default=True, description="the alarm starts the training pipeline")
    network: NetworkChoice = Field(default="public", description=PLACED)
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms, which AWS asks to confirm"
    )

    @property
    def machine(self) -> str:
        """The managed image runs Spark; AWS's examples give it this machine (Amazon SageMaker AI Developer Guide,
        "Create a Baseline", read 2026-11-27)."""
        return self.instance_type or ("ml.t3.medium" if self.monitor == "own" else "ml.m5.xlarge")

    @model_validator(mode="after")
    def _bounds_fit(self) -> ModelMonitorSettings:
        if self.bad_hours > self.watched_hours:
            raise ValueError("bad_hours is more than watched_hours")
        return self


class ModelMonitor(cdk.Stack):
    """A shop's model was right when it was trained. Prices rise, a sensor hangs, and nobody tells the model.

    It watches the endpoint of a `realtime-endpoint` stack and starts the pipeline of a `training-pipeline` stack: both
    are needed, and parameters name them (`RealtimeEndpointStack`, `TrainingPipelineStack`).

    **Flow.** Every hour, some minutes past: a schedule calls `start_monitor` with the time for which it was planned → a
    processing job named after the hour before, without network, reads that hour's captures, labels that have arrived,
    and the baseline registered with the package in production → a report in Model Monitor's shapes → SageMaker's event
    → `publish_report` puts metrics, overall and a feature → an alarm when so many of the last hours had violations → a
    topic, and a rule that starts the pipeline. With `monitor` `managed`, Model Monitor's own schedule starts its own
    image instead; all from the report on is the same.

    **What if.** The schedule fires twice, or a job outlives its hour: a job's name is taken once. An hour has no
    traffic: no job, and a metric says so. The capture bucket is denied, the job fails or is killed: a metric says that
    too, with an alarm, and the two calls that follow try the hour again, each under a name of its own. Nor is an hour
    lost whose call never came. The report's event cannot be delivered, or its function fails every attempt: a dead
    letter. Drift lasts: the pipeline is started once, when the alarm is raised, and neither while it stays so nor
    because of a night without traffic, which does not clear it. Nobody approves the new model: the alarm goes on. The
    endpoint is updated: what another model answered is not read, nor are labels for it; what a canary answered that was
    rolled back cannot be told apart. Labels come late: they are merged by inference id with the days before.

    **Cost** (us-east-1, without free tier; `prices.toml` says which prices a page that was read confirms). Idle,
    without an hour of traffic: dashboard, alarms and key. A job a hour with traffic takes some five minutes of
    `ml.t3.medium` (0.05 dollars an hour), 0.004 dollars, thus some three dollars in a month of 720. Its metrics are 30
    (6 of the monitor, 9 of quality, 15 of seven features and the prediction), 9 dollars a month.
    """

    Settings: ClassVar[type[ModelMonitorSettings]] = ModelMonitorSettings

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: ModelMonitorSettings,
        target: Target,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target
        self.own = settings.monitor == "own"
        self.training = Neighbour(self, "training-pipeline")
        self.serving = Neighbour(self, "realtime-endpoint")
        self.endpoint = self.serving.value("EndpointName")

        self.network = placed(self, settings.network)
        self.key = self._key()
        self.bucket = self._bucket()
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.images = Images(self, monitor=not self.own)
        self.job_role = self._job_role()
        if self.own:
            self.start_monitor = self._start_monitor()
            self._hourly()
        else:
            self._managed()
        self.publish_report = self._publish_report()
        self.report_rule = self._report_rule()
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.drift_alarm = self._drift_alarm()
        self.alarms = self._alarms()
        self.drift_rule = self._retrain() if settings.retrain else None
        sources = [rule.attr_arn for rule in (self.report_rule, self.drift_rule) if rule]
        let_service_send("events.amazonaws.com", [self.dead_letters], source=sources)
        self.dashboard = self._dashboard()
        self._outputs()

    # --- what holds data

    def _key(self) -> kms.Key:
        return own_key(
            self,
            "Key",
            description="Encrypts the reports, labels, disks, messages and logs of one stack",
            queue_senders=["events.amazonaws.com"],
        )

    def _bucket(self) -> s3.Bucket:
        """Reports by job, and labels by the hour in which they arrived."""
        return private_bucket(
            self,
            "Reports",
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=cdk.Duration.days(365),
                    noncurrent_version_expiration=cdk.Duration.days(30),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            target=self.target,
            encryption_key=self.key,
        )

    # --- the job

    def _job_role(self) -> iam.Role:
        role = service_role(self, "JobRole", "sagemaker.amazonaws.com", "What the monitor's jobs may do")
        allow_image(role, self.images, SKLEARN if self.own else MONITOR)
        allow_job_logs(role, "ProcessingJobs")
        allow_reading(role, self._arn_of(self.serving.value("CaptureBucketName")), [CAPTURES])
        allow(role, ["kms:Decrypt"], self.serving.value("KeyArn"))
        read = [CODE, BASELINES] if self.own else [PRODUCTION_BASELINE]
        allow_reading(role, self._arn_of(self.training.value("BucketName")), read)
        allow(role, ["kms:Decrypt"], self.training.value("KeyArn"))
        if self.own:
            allow_reading(role, self.bucket.bucket_arn, [f"{GROUND_TRUTH}/"])
        allow(role, ["s3:PutObject"], self.bucket.arn_for_objects(f"{REPORTS}/*"))
        allow(role, KEY_USE, self.key.key_arn)
        allow_disk_key(role, self.key.key_arn)
        if self.network:
            allow_job_interfaces(role)
        return role

    def _start_monitor(self) -> PythonFunction:
        """Looks which hour it is, whether there is something to judge, and starts the hour's job."""
        start = self._function(
            "StartMonitor",
            "start_monitor",
            "Starts the monitor's job for the last full hour",
            {
                "ENDPOINT_NAME": self.endpoint,
                "VARIANT_NAME": self.serving.value("VariantName"),
                "CAPTURE_URI": self.serving.value("CaptureUri"),
                "GROUND_TRUTH_URI": f"s3://{self.bucket.bucket_name}/{GROUND_TRUTH}",
                "LABEL_DAYS": str(self.settings.label_days),
                "REPORT_URI": self._report_uri,
                "CODE_URI": self.training.value("CodeUri"),
                "JOB_NAME_PREFIX": cdk.Aws.STACK_NAME,
                "JOB_ROLE_ARN": self.job_role.role_arn,
                "IMAGE_URI": self.images.uri(SKLEARN),
                "KEY_ARN": self.key.key_arn,
                "INSTANCE_TYPE": self.settings.machine,
                "METRIC_NAMESPACE": NAMESPACE,
                # At the top of the archive, whichever use case it is of.
                "SCHEMA_FILE": "schema.json",
                **(
                    {
                        "SUBNET_IDS": cdk.Fn.join(",", list(self.network.subnets)),
                        "SECURITY_GROUP_IDS": self.network.jobs_group,
                    }
                    if self.network
                    else {}
                ),
            },
        )
        serving, group = self.serving, self.training.value("ModelPackageGroupName")
        for bucket_arn, prefix in (
            (self._arn_of(serving.value("CaptureBucketName")), f"{CAPTURES}*"),
            (self.bucket.bucket_arn, f"{GROUND_TRUTH}/*"),
        ):
            allow(start.role, ["s3:ListBucket"], bucket_arn, conditions={"StringLike": {"s3:prefix": prefix}})
        start.allow(["sagemaker:DescribeEndpoint"], self._endpoint_arn)
        start.allow(
            ["sagemaker:DescribeEndpointConfig"], own_arn(self, "sagemaker", f"endpoint-config/{self.endpoint}-v*")
        )
        start.allow(["sagemaker:DescribeModel"], own_arn(self, "sagemaker", f"model/{self.endpoint}-v*"))
        start.allow(["sagemaker:DescribeModelPackage"], own_arn(self, "sagemaker", f"model-package/{group}/*"))
        start.allow(
            ["sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob"],
            own_arn(self, "sagemaker", f"processing-job/{cdk.Aws.STACK_NAME}-*"),
        )
        allow_passing(start.role, "sagemaker.amazonaws.com", self.job_role.role_arn)
        self._allow_metrics(start)
        return start

    def _hourly(self) -> None:
        role = self.schedule_role = service_role(
            self, "ScheduleRole", "scheduler.amazonaws.com", "Calls the monitor every hour"
        )
        allow(role, ["lambda:InvokeFunction"], self.start_monitor.function.function_arn)
        allow(role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        allow(role, KEY_USE, self.key.key_arn)
        scheduler.CfnSchedule(
            self,
            "Hourly",
            schedule_expression=f"cron({self.settings.minute} * * * ? *)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            kms_key_arn=self.key.key_arn,
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.start_monitor.function.function_arn,
                role_arn=role.role_arn,
                # The time for which the call was planned: an attempt that comes late means the same hour.
                input='{"time": "<aws.scheduler.scheduled-time>"}',
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=10
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
            ),
        )
        # A failed attempt is tried twice more by Lambda itself, and then tells the queue.
        self._undelivered(self.start_monitor)

    def _managed(self) -> None:
        """The variant with Amazon SageMaker Model Monitor: its image, its schedule, on the same captures and baseline.

        The baseline is that of the model in production, where `realtime-endpoint` keeps it: a schedule must be told a
        place in advance. It has the columns of the answer first, then the features: input and output are captured,
        and AWS wants the baseline to match what is captured exactly, "prediction/output columns" first (Amazon
        SageMaker AI Developer Guide, "Create a Baseline", read 2026-11-27). This variant never ran with the real image:
        the local cloud has our own monitor play it, which wants the same order.
        """
        bucket = self.training.value("BucketName")
        definition = sagemaker.CfnDataQualityJobDefinition(
            self,
            "DataQuality",
            job_definition_name=cdk.Aws.STACK_NAME,
            role_arn=self.job_role.role_arn,
            data_quality_app_specification=sagemaker.CfnDataQualityJobDefinition.DataQualityAppSpecificationProperty(
                image_uri=self.images.uri(MONITOR)
            ),
            data_quality_baseline_config=sagemaker.CfnDataQualityJobDefinition.DataQualityBaselineConfigProperty(
                constraints_resource=sagemaker.CfnDataQualityJobDefinition.ConstraintsResourceProperty(
                    s3_uri=f"s3://{bucket}/{PRODUCTION_BASELINE}constraints.json"
                ),
                statistics_resource=sagemaker.CfnDataQualityJobDefinition.StatisticsResourceProperty(
                    s3_uri=f"s3://{bucket}/{PRODUCTION_BASELINE}statistics.json"
                ),
            ),
            data_quality_job_input=sagemaker.CfnDataQualityJobDefinition.DataQualityJobInputProperty(
                endpoint_input=sagemaker.CfnDataQualityJobDefinition.EndpointInputProperty(
                    endpoint_name=self.endpoint, local_path="/opt/ml/processing/input/endpoint"
                )
            ),
            data_quality_job_output_config=sagemaker.CfnDataQualityJobDefinition.MonitoringOutputConfigProperty(
                kms_key_id=self.key.key_arn,
                monitoring_outputs=[
                    sagemaker.CfnDataQualityJobDefinition.MonitoringOutputProperty(
                        s3_output=sagemaker.CfnDataQualityJobDefinition.S3OutputProperty(
                            local_path="/opt/ml/processing/output",
                            s3_uri=self._report_uri,
                            s3_upload_mode="EndOfJob",
                        )
                    )
                ],
            ),
            job_resources=sagemaker.CfnDataQualityJobDefinition.MonitoringResourcesProperty(
                cluster_config=sagemaker.CfnDataQualityJobDefinition.ClusterConfigProperty(
                    instance_count=1,
                    instance_type=self.settings.machine,
                    volume_size_in_gb=20,
                    volume_kms_key_id=self.key.key_arn,
                )
            ),
            network_config=sagemaker.CfnDataQualityJobDefinition.NetworkConfigProperty(
                enable_inter_container_traffic_encryption=True,
                enable_network_isolation=True,
                vpc_config=sagemaker.CfnDataQualityJobDefinition.VpcConfigProperty(
                    subnets=list(self.network.subnets), security_group_ids=[self.network.jobs_group]
                )
                if self.network
                else None,
            ),
            stopping_condition=sagemaker.CfnDataQualityJobDefinition.StoppingConditionProperty(
                max_runtime_in_seconds=1800
            ),
        )
        definition.node.add_dependency(self.job_role)
        schedule = sagemaker.CfnMonitoringSchedule(
            self,
            "ManagedSchedule",
            monitoring_schedule_name=cdk.Aws.STACK_NAME,
            monitoring_schedule_config=sagemaker.CfnMonitoringSchedule.MonitoringScheduleConfigProperty(
                monitoring_job_definition_name=cdk.Aws.STACK_NAME,
                monitoring_type="DataQuality",
                # Model Monitor takes whole hours only, and adds up to 20 minutes by itself.
                schedule_config=sagemaker.CfnMonitoringSchedule.ScheduleConfigProperty(
                    schedule_expression="cron(0 * ? * * *)"
                ),
            ),
        )
        schedule.node.add_dependency(definition)

    # --- the report

    def _publish_report(self) -> PythonFunction:
        publish = self._function(
            "PublishReport",
            "publish_report",
            "Publishes a report's figures as metrics",
            {"ENDPOINT_NAME": self.endpoint, "REPORT_URI": self._report_uri, "METRIC_NAMESPACE": NAMESPACE},
        )
        allow_reading(publish.role, self.bucket.bucket_arn, [f"{REPORTS}/"])
        publish.allow(["kms:Decrypt"], self.key.key_arn)
        self._allow_metrics(publish)
        self._undelivered(publish)
        return publish

    def _report_rule(self) -> events.CfnRule:
        """The end of every processing job that has this role, the managed monitor's too."""
        rule = events.CfnRule(
            self,
            "JobEnded",
            description="A job of the monitor ended",
            event_pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Processing Job State Change"],
                "detail": {
                    "ProcessingJobStatus": ["Completed", "Failed", "Stopped"],
                    "RoleArn": [self.job_role.role_arn],
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="PublishReport",
                    arn=self.publish_report.function.function_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )
        lambda_.CfnPermission(
            self,
            "RuleMayPublish",
            action="lambda:InvokeFunction",
            function_name=self.publish_report.function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )
        return rule

    # --- what watches

    def _metric(self, name: str, statistic: str = "Maximum", label: str | None = None) -> cloudwatch.Metric:
        """A report may be published twice, as an event may come twice: so never a sum."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"Endpoint": self.endpoint},
            period=cdk.Duration.hours(1),
            statistic=statistic,
            label=label,
        )

    def _drift_alarm(self) -> cloudwatch.Alarm:
        settings = self.settings
        return alarm(
            self,
            "DriftAlarm",
            description=f"Traffic or quality was not as in training in {settings.bad_hours} of the last"
            f" {settings.watched_hours} hours: the reports say in which features.",
            metric=self._metric("Violations"),
            evaluation_periods=settings.watched_hours,
            datapoints_to_alarm=settings.bad_hours,
            # A night without traffic would clear it, and the morning would start another training for the same drift.
            no_data=cloudwatch.TreatMissingData.IGNORE,
        )

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Each tells the topic when it is raised and when it clears."""
        alarms = [
            self.drift_alarm,
            alarm(
                self,
                "JobFailedAlarm",
                description="A job of the monitor left no report: nobody watches the model.",
                metric=self._metric("JobFailed"),
            ),
            alarm(
                self,
                "UndeliveredAlarm",
                description="An hour, a report or a drift could not be told: mend, then redrive.",
                metric=waiting_messages(self.dead_letters),
            ),
            alarm(
                self,
                "PublishReportErrorsAlarm",
                description="A report could not be published.",
                metric=errors(self.publish_report),
            ),
        ]
        if self.own:
            alarms.append(
                alarm(
                    self,
                    "StartMonitorErrorsAlarm",
                    description="The monitor was not started: its endpoint or its baseline may be missing.",
                    metric=errors(self.start_monitor),
                )
            )
        tell_of_alarms(alarms, self.alarm_topic)
        return alarms

    def _retrain(self) -> events.CfnRule:
        """Once, as the alarm is raised: while it stays so, the new model waits for its approval."""
        start = self.training.value("StartArn")
        starter = self.retrain_role = service_role(
            self, "RetrainRole", "events.amazonaws.com", "Starts the training when traffic drifts"
        )
        allow(starter, ["states:StartExecution"], start)
        return events.CfnRule(
            self,
            "Drifted",
            description="The drift alarm was raised",
            event_pattern={
                "source": ["aws.cloudwatch"],
                "detail-type": ["CloudWatch Alarm State Change"],
                "resources": [self.drift_alarm.alarm_arn],
                "detail": {"state": {"value": ["ALARM"]}},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Start",
                    arn=start,
                    role_arn=starter.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )

    def _dashboard(self) -> cloudwatch.Dashboard:
        of_features = f"SEARCH('{{{NAMESPACE},Endpoint,Feature}} MetricName=\"FeatureDistance\"', 'Maximum', 3600)"
        return dashboard(
            self,
            "Dashboard",
            alarms=self.alarms,
            graphs=[
                cloudwatch.GraphWidget(
                    title="Violations an hour",
                    left=[self._metric("Violations"), self._metric("JobFailed", label="job failed")],
                    right=[self._metric("Rows", label="requests")],
                    width=12,
                ),
                cloudwatch.GraphWidget(
                    title="Distance from training, by feature",
                    left=[cloudwatch.MathExpression(expression=of_features, using_metrics={}, label="")],
                    width=12,
                ),
            ],
        )

    # --- what comes out

    def _outputs(self) -> None:
        values = {
            "TrainingStackName": self.training.stack_name,
            "EndpointStackName": self.serving.stack_name,
            "BucketName": self.bucket.bucket_name,
            "ReportUri": self._report_uri,
            "GroundTruthUri": f"s3://{self.bucket.bucket_name}/{GROUND_TRUTH}",
            "MetricNamespace": NAMESPACE,
            "JobRoleName": self.job_role.role_name,
            "PublishReportFunctionName": self.publish_report.function.function_name,
            "PublishReportRoleName": self.publish_report.role.role_name,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "DriftAlarmName": self.drift_alarm.alarm_name,
            "DashboardName": self.dashboard.dashboard_name,
        }
        if self.drift_rule:
            values["RetrainRoleName"] = self.retrain_role.role_name
        if self.own:
            values["StartMonitorFunctionName"] = self.start_monitor.function.function_name
            values["StartMonitorRoleName"] = self.start_monitor.role.role_name
            values["ScheduleRoleName"] = self.schedule_role.role_name
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)

    # --- helpers

    def _function(
        self, construct_id: str, function: str, description: str, environment: dict[str, str]
    ) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            architecture=ARCHITECTURE,
            function=function,
            target=self.target,
            description=description,
            timeout=cdk.Duration.seconds(60),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment=environment,
        )

    def _undelivered(self, function: PythonFunction) -> None:
        """An asynchronous call that failed every attempt is a dead letter."""
        allow(function.role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        allow(function.role, KEY_USE, self.key.key_arn)
        lambda_.CfnEventInvokeConfig(
            self,
            f"{function.node.id}Attempts",
            function_name=function.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=2,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.dead_letters.queue_arn)
            ),
        ).node.add_dependency(function.role)

    @staticmethod
    def _allow_metrics(function: PythonFunction) -> None:
        allow(
            function.role,
            ["cloudwatch:PutMetricData"],
            "*",
            conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
        )

    def _arn_of(self, bucket: str) -> str:
        return f"arn:{self.partition}:s3:::{bucket}"

    @property
    def _endpoint_arn(self) -> str:
        return own_arn(self, "sagemaker", f"endpoint/{self.endpoint}")

    @property
    def _report_uri(self) -> str:
        return f"s3://{self.bucket.bucket_name}/{REPORTS}"
