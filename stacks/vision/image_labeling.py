"""Label every uploaded image: S3 → EventBridge → SQS → Lambda with Rekognition → DynamoDB."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.python_function import PythonFunction, Target

# What the function can decode, by the endings that such files have.
IMAGE_FORMATS: dict[str, tuple[str, ...]] = {
    "Jpeg": (".jpg", ".jpeg"),
    "Png": (".png",),
    "WebP": (".webp",),
    "Gif": (".gif",),
    "Bmp": (".bmp",),
    "Tiff": (".tif", ".tiff"),
}


class ImageLabelingSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_confidence: float = Field(default=70, ge=0, le=100, description="percent; labels below it are left out")
    maximum_labels: int = Field(default=20, ge=1, le=1000, description="labels an image, the most confident first")
    upload_prefix: str = Field(
        default="uploads/",
        pattern=r"^([A-Za-z0-9!_.-]+/)+$",
        max_length=128,
        description="only keys that begin with it are labelled; ends with a slash",
    )
    # Each worker has one call under way. At 0.4 s a call, our guess, two workers make 5 calls a second: the default
    # quota of most regions; us-east-1 and us-west-2 give 50 (AWS General Reference, "Amazon Rekognition endpoints and
    # quotas"; figures change and differ by account, so look at Service Quotas). 2 is also the least that Lambda takes.
    maximum_concurrency: int = Field(default=2, ge=2, le=1000, description="workers that call Rekognition at once")
    batch_size: int = Field(default=10, ge=1, le=10, description="images a worker takes at once")
    function_timeout_seconds: int = Field(default=60, ge=10, le=900, description="for a whole batch")
    # Two at least: the second delivery is the one that can tell that the first one's worker was stopped.
    maximum_receives: int = Field(default=5, ge=2, le=100, description="attempts before the dead-letter queue")
    queue_age_alarm_seconds: int = Field(
        default=900, ge=60, le=86_400, description="age of the oldest waiting image at which the alarm is raised"
    )
    kms_key: Literal["aws-managed", "own"] = Field(
        default="aws-managed", description="own: a rotating customer key for images, messages, tables, alarms and logs"
    )
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an address that AWS asks to confirm"
    )


class ImageLabeling(cdk.Stack):
    """A team drops photographs into a bucket and wants to know what is in each, without ever losing one.

    **Flow.** An object under the prefix that ends like an image → S3 tells EventBridge → a rule puts the event into the
    queue → Lambda polls it and gives batches to the worker → the worker reads that version of the object, has
    Rekognition detect labels, and writes a row a version. The queue stands between because uploads come in bursts and
    Rekognition takes so many calls a second: the number of workers bounds the calls.

    **What if.** EventBridge cannot deliver: it tries for a day, then the event is a dead letter. Rekognition throttles,
    or anything else fails: that message alone goes back, and after `maximum_receives` attempts it is a dead letter,
    its reason in the results table. The picture is corrupt: a row says so, and nothing is tried again. The worker dies:
    its lock expires before the next delivery. An event comes twice: the second finds the result. Each dead letter, each
    crash, and a queue that grows old raises an alarm.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-23). Idle 3.66 dollars a month: dashboard
    3.00, four alarms 0.40, polling 0.26; an own key adds 1.00. A thousand images 1.03 dollars: Rekognition 1.00, all
    else 0.03.
    """

    Settings: ClassVar[type[ImageLabelingSettings]] = ImageLabelingSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: ImageLabelingSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.key = self._own_key() if settings.kms_key == "own" else None
        self.bucket = self._bucket()
        self.dead_letters = self._dead_letter_queue()
        self.queue = self._queue()
        self.rules = self._rules()
        self.results = self._table("Results", partition_key="image", sort_key="version")
        self.idempotency = self._table("Idempotency", partition_key="id", time_to_live="expiration")
        self.worker = self._worker()
        self._let_the_queue_feed_the_worker()
        self.topic = self._topic()
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

    def _own_key(self) -> kms.Key:
        """One key for all that holds data. Services may use it only on behalf of this stack's own resources.

        Those are told by the stack's name, with which CloudFormation begins theirs (`synth` bounds its length, so that
        none is cut): an ARN itself would make a circle, for each of them refers to the key.
        """
        key = kms.Key(
            self,
            "Key",
            description="Encrypts the images, messages, labels and logs of one stack",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        name = f"{cdk.Aws.STACK_NAME}-*"
        use = ["kms:Decrypt", "kms:GenerateDataKey"]
        # As CloudWatch Logs asks for ("Encrypt log data in CloudWatch Logs using AWS KMS", Amazon CloudWatch Logs User
        # Guide), with its wildcards spelt out for a symmetric key. Not kms:Describe*: such a request has no encryption
        # context, so under AWS's own condition it is never allowed, and is not needed.
        re_encrypt = ["kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
        for service, actions, condition, source in (
            # By the encryption context, in which SQS names the queue: for EventBridge AWS does not promise a source ARN
            # in calls to KMS (Amazon SNS Developer Guide, "Amazon SNS encryption key management", rules it out).
            ("events.amazonaws.com", use, "kms:EncryptionContext:aws:sqs:arn", self._arn("sqs", name)),
            ("cloudwatch.amazonaws.com", use, "aws:SourceArn", self._arn("cloudwatch", f"alarm:{name}")),
            (
                f"logs.{self.region}.amazonaws.com",
                use + re_encrypt,
                "kms:EncryptionContext:aws:logs:arn",
                self._arn("logs", f"log-group:{name}"),
            ),
        ):
            key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=actions,
                    resources=["*"],
                    conditions={"ArnLike": {condition: source}},
                )
            )
        return key

    def _bucket(self) -> s3.Bucket:
        """Where the images arrive. Old versions outlive the time in which a failed message can be redriven."""
        bucket = s3.Bucket(
            self,
            "Images",
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            bucket_key_enabled=True if self.key else None,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=cdk.Duration.days(30),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                    expired_object_delete_marker=True,
                )
            ],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        # By property: CDK's own switch is a custom resource that wants a grant on every bucket.
        cfn_bucket = bucket.node.default_child
        assert isinstance(cfn_bucket, s3.CfnBucket)
        cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        EmptiedBucket(self, "EmptiedImages", bucket=bucket, target=self.target, encryption_key=self.key)
        return bucket

    def _dead_letter_queue(self) -> sqs.Queue:
        """Holds what failed every attempt, and what EventBridge could not deliver, for as long as SQS allows."""
        return sqs.Queue(
            self, "DeadLetters", retention_period=cdk.Duration.days(14), enforce_ssl=True, **self._queue_encryption()
        )

    def _queue(self) -> sqs.Queue:
        """The buffer between uploads, which come in bursts, and Rekognition, which takes so many calls a second."""
        return sqs.Queue(
            self,
            "Queue",
            retention_period=cdk.Duration.days(4),
            # Six times the function's timeout (AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS
            # event source mapping", read 2026-11-25).
            visibility_timeout=cdk.Duration.seconds(6 * self.settings.function_timeout_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=self.settings.maximum_receives
            ),
            # No queue may use this one for its dead letters. That only this one may use the dead-letter queue cannot be
            # said in a template without fixed names: each of the two would have to be made after the other.
            redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
            enforce_ssl=True,
            **self._queue_encryption(),
        )

    def _rules(self) -> list[events.CfnRule]:
        """One rule an image format, in both cases of its endings.

        Not one rule for all: a key must have the prefix and an ending, which only a wildcard can ask of one field, and
        EventBridge refuses a pattern of many wildcards after one prefix as too complex (Amazon EventBridge User Guide,
        "Comparison operators for use in event patterns", on wildcard matching complexity). Where the limit lies AWS
        does not say: three patterns `*:stack/NAME/*` were taken and four refused (github.com/vals-ai/Valkyrie/pull/278,
        2026-04-15), which is a complexity of 9 and of 12 as EventBridge's own matcher counts it
        (github.com/aws/event-ruler, MachineComplexityEvaluator: how many wildcards one input can keep in play). Four
        patterns of one wildcard after the same prefix, the most that a rule has here, count 8.
        """
        rules = [
            events.CfnRule(
                self,
                f"{name}Uploaded",
                description=f"{name} images created under {self.settings.upload_prefix}",
                event_pattern={
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [self.bucket.bucket_name]},
                        "object": {
                            "key": [
                                {"wildcard": f"{self.settings.upload_prefix}*{ending}"}
                                for lower in endings
                                for ending in (lower, lower.upper())
                            ]
                        },
                    },
                },
                targets=[
                    events.CfnRule.TargetProperty(
                        id="Queue",
                        arn=self.queue.queue_arn,
                        retry_policy=events.CfnRule.RetryPolicyProperty(
                            # The most that EventBridge takes.
                            maximum_event_age_in_seconds=86_400,
                            maximum_retry_attempts=185,
                        ),
                        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                    )
                ],
            )
            for name, endings in IMAGE_FORMATS.items()
        ]
        for queue in (self.queue, self.dead_letters):
            queue.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("events.amazonaws.com")],
                    actions=["sqs:SendMessage"],
                    resources=[queue.queue_arn],
                    conditions={"ArnEquals": {"aws:SourceArn": [rule.attr_arn for rule in rules]}},
                )
            )
        return rules

    def _table(
        self, name: str, *, partition_key: str, sort_key: str | None = None, time_to_live: str | None = None
    ) -> dynamodb.Table:
        def text(attribute: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=attribute, type=dynamodb.AttributeType.STRING)

        return dynamodb.Table(
            self,
            name,
            partition_key=text(partition_key),
            sort_key=text(sort_key) if sort_key else None,
            time_to_live_attribute=time_to_live,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if self.key else dynamodb.TableEncryption.AWS_MANAGED,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

    def _worker(self) -> PythonFunction:
        worker = PythonFunction(
            self,
            "LabelImage",
            architecture="image-labeling",
            function="label_image",
            target=self.target,
            description="Labels images with Rekognition and stores what was found",
            timeout=cdk.Duration.seconds(self.settings.function_timeout_seconds),
            memory_mib=1024,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment={
                "RESULTS_TABLE": self.results.table_name,
                "IDEMPOTENCY_TABLE": self.idempotency.table_name,
                "MINIMUM_CONFIDENCE": f"{self.settings.minimum_confidence:g}",
                "MAXIMUM_LABELS": str(self.settings.maximum_labels),
                "UPLOAD_PREFIX": self.settings.upload_prefix,
                "POWERTOOLS_SERVICE_NAME": "image-labeling",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        # Supports no resource (Service Authorization Reference, "Actions, resources, and condition keys for Amazon
        # Rekognition").
        worker.allow(["rekognition:DetectLabels"], "*")
        worker.allow(["s3:GetObjectVersion"], self.bucket.arn_for_objects(f"{self.settings.upload_prefix}*"))
        worker.allow(["dynamodb:PutItem"], self.results.table_arn)
        worker.allow(["dynamodb:PutItem", "dynamodb:DeleteItem"], self.idempotency.table_arn)
        worker.allow(
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            self.queue.queue_arn,
        )
        if self.key:
            # Reading the object and the messages, and opening a table's own key, which is all that a write needs of KMS
            # (Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes").
            worker.allow(["kms:Decrypt"], self.key.key_arn)
        return worker

    def _let_the_queue_feed_the_worker(self) -> None:
        """Failed messages of a batch go back alone; the number of workers bounds the calls to Rekognition."""
        lambda_.EventSourceMapping(
            self,
            "Poller",
            target=self.worker.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=self.settings.batch_size,
            max_concurrency=self.settings.maximum_concurrency,
            report_batch_item_failures=True,
        )

    def _topic(self) -> sns.Topic:
        """Where alarms are told. Encrypted by an own key only: CloudWatch may not use AWS's key for SNS.

        (Amazon SNS Developer Guide, "Amazon SNS encryption key management".) The alarms name no image.
        """
        topic = sns.Topic(self, "Alarms", enforce_ssl=True, master_key=self.key)
        if self.settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(self.settings.alarm_email))
        return topic

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears."""
        a_minute = cdk.Duration.minutes(1)
        function = self.worker.function
        above = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
        quiet = cloudwatch.TreatMissingData.NOT_BREACHING
        alarms = [
            cloudwatch.Alarm(
                self,
                "DeadLettersAlarm",
                alarm_description="An image could not be labelled: read its reason in the results table, then redrive.",
                metric=self.dead_letters.metric_approximate_number_of_messages_visible(
                    period=a_minute, statistic="Maximum"
                ),
                threshold=0,
                evaluation_periods=1,
                comparison_operator=above,
                treat_missing_data=quiet,
            ),
            cloudwatch.Alarm(
                self,
                "QueueAgeAlarm",
                alarm_description="Images wait too long: more arrive than the workers may label, or they keep failing.",
                metric=self.queue.metric_approximate_age_of_oldest_message(period=a_minute, statistic="Maximum"),
                threshold=self.settings.queue_age_alarm_seconds,
                evaluation_periods=5,
                datapoints_to_alarm=3,
                comparison_operator=above,
                treat_missing_data=quiet,
            ),
            cloudwatch.Alarm(
                self,
                "ErrorsAlarm",
                alarm_description="The function broke off: a crash, a time-out or too little memory.",
                metric=function.metric_errors(period=a_minute, statistic="Sum"),
                threshold=0,
                evaluation_periods=1,
                comparison_operator=above,
                treat_missing_data=quiet,
            ),
            cloudwatch.Alarm(
                self,
                "ThrottlesAlarm",
                alarm_description="Lambda refused to run the function: the account's concurrency is used up.",
                metric=function.metric_throttles(period=a_minute, statistic="Sum"),
                threshold=0,
                evaluation_periods=5,
                datapoints_to_alarm=3,
                comparison_operator=above,
                treat_missing_data=quiet,
            ),
        ]
        action = cloudwatch_actions.SnsAction(self.topic)
        for alarm in alarms:
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"ArnEquals": {"aws:SourceArn": [alarm.alarm_arn for alarm in alarms]}},
            )
        )
        return alarms

    def _dashboard(self) -> cloudwatch.Dashboard:
        function = self.worker.function
        return cloudwatch.Dashboard(
            self,
            "Dashboard",
            default_interval=cdk.Duration.hours(3),
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms, width=24)],
                [
                    cloudwatch.GraphWidget(
                        title="Images waiting and given up",
                        left=[
                            self.queue.metric_approximate_number_of_messages_visible(label="waiting"),
                            self.dead_letters.metric_approximate_number_of_messages_visible(label="given up"),
                        ],
                        right=[self.queue.metric_approximate_age_of_oldest_message(label="oldest, seconds")],
                        width=12,
                    ),
                    cloudwatch.GraphWidget(
                        title="Function",
                        left=[function.metric_invocations(), function.metric_errors(), function.metric_throttles()],
                        right=[function.metric_duration(statistic="p95", label="p95, milliseconds")],
                        width=12,
                    ),
                ],
            ],
        )

    def _outputs(self) -> None:
        for name, value in {
            "BucketName": self.bucket.bucket_name,
            "UploadPrefix": self.settings.upload_prefix,
            "QueueUrl": self.queue.queue_url,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FunctionName": self.worker.function.function_name,
            "FunctionRoleName": self.worker.role.role_name,
            "ResultsTableName": self.results.table_name,
            "IdempotencyTableName": self.idempotency.table_name,
            "AlarmTopicArn": self.topic.topic_arn,
            "DashboardName": self.dashboard.dashboard_name,
            "RuleName": self.rules[0].ref,
            "LogGroupName": self.worker.log_group.log_group_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)

    def _queue_encryption(self) -> dict[str, Any]:
        if self.key:
            return {"encryption": sqs.QueueEncryption.KMS, "encryption_master_key": self.key}
        return {"encryption": sqs.QueueEncryption.SQS_MANAGED}

    def _arn(self, service: str, resource: str) -> str:
        """An ARN pattern in this stack's own account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
