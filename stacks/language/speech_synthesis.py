"""Turn text into speech: S3 → EventBridge → SQS → Lambda with Polly → sound in S3, results in DynamoDB."""

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
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.python_function import PythonFunction, Target

ENDINGS = (".txt", ".ssml")
# Twice what the function waits for at worst (its aws.py).
END_TIMEOUT_SECONDS = 60
_FOLDER = r"^([A-Za-z0-9!_.-]+/)+$"


class SpeechSynthesisSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Voices that Polly has in both engines ("Available voices", Amazon Polly Developer Guide, read 2026-11-25); the
    # local cloud speaks with each of them, English only.
    voice: Literal["Amy", "Brian", "Ivy", "Joanna", "Joey", "Matthew", "Salli"] = Field(
        default="Joanna", description="who speaks; Amy and Brian are British, the others American"
    )
    engine: Literal["neural", "standard"] = Field(
        default="neural", description="standard costs a quarter, sounds plainer, and takes a pitch in SSML"
    )
    output_format: Literal["mp3", "ogg_vorbis"] = Field(default="mp3", description="what the sound is encoded as")
    input_prefix: str = Field(
        default="texts/",
        pattern=_FOLDER,
        max_length=128,
        description="only keys that begin with it are spoken; ends with a slash",
    )
    output_prefix: str = Field(
        default="spoken/", pattern=_FOLDER, max_length=128, description="where the sound goes; ends with a slash"
    )
    keep_sound_days: int = Field(default=365, ge=1, le=3650, description="then the sound is deleted")
    # Polly takes 8 requests a second for neural voices and starts 1 task a second (Amazon Polly Developer Guide,
    # "Quotas in Amazon Polly", read 2026-11-25). A worker has one call under way, and a text takes a second, we guess;
    # 2 is also the least that Lambda takes.
    maximum_concurrency: int = Field(default=2, ge=2, le=1000, description="workers that call Polly at once")
    # An answer is up to ten minutes of sound; aws.py of the function sums up what it may wait for.
    function_timeout_seconds: int = Field(default=120, ge=10, le=900, description="for one text")
    maximum_receives: int = Field(default=5, ge=2, le=100, description="attempts before the dead-letter queue")
    queue_age_alarm_seconds: int = Field(
        default=900, ge=60, le=86_400, description="age of the oldest waiting text at which the alarm is raised"
    )
    kms_key: Literal["aws-managed", "own"] = Field(
        default="aws-managed", description="own: a rotating customer key for texts, sound, messages, tables and logs"
    )
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an address that AWS asks to confirm"
    )

    @model_validator(mode="after")
    def _prefixes_apart(self) -> SpeechSynthesisSettings:
        if self.output_prefix.startswith(self.input_prefix) or self.input_prefix.startswith(self.output_prefix):
            raise ValueError("input_prefix and output_prefix must lie apart: the sound must not pass for a text")
        return self


class SpeechSynthesis(cdk.Stack):
    """An editor drops texts into a bucket and finds them spoken, the short ones at once, the long ones soon.

    **Flow.** A .txt or .ssml object under the prefix → S3 tells EventBridge → a rule puts the event into the queue →
    Lambda takes it → a text of up to 3,000 billed characters is spoken by one call, whose sound the function puts into
    the bucket; a longer one, up to 100,000, by a task of Polly's, which writes into the bucket and tells a topic when
    it has ended → a second queue → a second function records the end. A row a version says what became of it.

    **What if.** The SSML is invalid, the text empty, too long or no UTF-8: a row says REJECTED, why, and in which line;
    nothing is tried again. Polly throttles, or anything else fails: that message alone goes back, and after
    `maximum_receives` attempts it is a dead letter, its reason in the results table. A task fails: its row says so, and
    the alarms' topic is told. The notification comes before the task is known, late, or twice: the result is the same.
    An event comes twice: the second finds the claim of the first. Each dead letter, each crash, and a queue that grows
    old raises an alarm.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-25). Idle 4.02 dollars a month: dashboard
    3.00, five alarms 0.50, polling of two queues 0.52; an own key adds 1.00. A thousand texts of 1,000 characters:
    neural 16.00 dollars, all else 0.03.
    """

    Settings: ClassVar[type[SpeechSynthesisSettings]] = SpeechSynthesisSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: SpeechSynthesisSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.key = self._own_key() if settings.kms_key == "own" else None
        self.bucket = self._bucket()
        self.dead_letters = self._dead_letter_queue()
        self.queue = self._queue("Queue", settings.function_timeout_seconds)
        self.rule = self._rule()
        self.results = self._table("Results", partition_key="document", sort_key="version")
        self.tasks = self._table("Tasks", partition_key="task_id", time_to_live="expires")
        self.ends = sns.Topic(self, "Ends", enforce_ssl=True, master_key=self.key)
        self.end_queue = self._queue("EndQueue", END_TIMEOUT_SECONDS)
        self._let_ends_reach_their_queue()
        self.topic = self._topic()
        self.speaker = self._speaker()
        self.recorder = self._recorder()
        self._feed("Poller", self.speaker, self.queue, 1, settings.maximum_concurrency)
        self._feed("EndPoller", self.recorder, self.end_queue, 10, 2)
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
            description="Encrypts the texts, sounds, messages, results and logs of one stack",
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
        """Texts and sound, under prefixes apart. Old versions outlive the time in which a message can be redriven."""
        bucket = s3.Bucket(
            self,
            "Speech",
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
                ),
                s3.LifecycleRule(
                    prefix=self.settings.output_prefix, expiration=cdk.Duration.days(self.settings.keep_sound_days)
                ),
            ],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        # By property: CDK's own switch is a custom resource that wants a grant on every bucket.
        cfn_bucket = bucket.node.default_child
        assert isinstance(cfn_bucket, s3.CfnBucket)
        cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        EmptiedBucket(self, "EmptiedSpeech", bucket=bucket, target=self.target, encryption_key=self.key)
        return bucket

    def _dead_letter_queue(self) -> sqs.Queue:
        """Holds what failed every attempt, and what EventBridge could not deliver, for as long as SQS allows."""
        return sqs.Queue(
            self, "DeadLetters", retention_period=cdk.Duration.days(14), enforce_ssl=True, **self._queue_encryption()
        )

    def _queue(self, name: str, function_timeout_seconds: int) -> sqs.Queue:
        """A buffer in front of a function: uploads come in bursts, and Polly takes so many calls a second."""
        return sqs.Queue(
            self,
            name,
            retention_period=cdk.Duration.days(4),
            # Six times the function's timeout (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
            visibility_timeout=cdk.Duration.seconds(6 * function_timeout_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=self.settings.maximum_receives
            ),
            redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
            enforce_ssl=True,
            **self._queue_encryption(),
        )

    def _rule(self) -> events.CfnRule:
        """Texts under the prefix, by their endings in small letters or capitals: four wildcards, as many as one rule
        may have after a prefix (see image-labeling's rules)."""
        prefix = self.settings.input_prefix
        rule = events.CfnRule(
            self,
            "TextUploaded",
            description=f"Texts created under {prefix}",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [self.bucket.bucket_name]},
                    "object": {
                        "key": [
                            {"wildcard": f"{prefix}*{ending}"} for lower in ENDINGS for ending in (lower, lower.upper())
                        ]
                    },
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Queue",
                    arn=self.queue.queue_arn,
                    # The most that EventBridge takes.
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                )
            ],
        )
        for queue in (self.queue, self.dead_letters):
            self._let_in(queue, "events.amazonaws.com", rule.attr_arn)
        return rule

    def _let_ends_reach_their_queue(self) -> None:
        """The topic hands each notification over as it is, and what it cannot hand over to the dead letters."""
        sns.CfnSubscription(
            self,
            "EndsToQueue",
            topic_arn=self.ends.topic_arn,
            protocol="sqs",
            endpoint=self.end_queue.queue_arn,
            raw_message_delivery=True,
            redrive_policy={"deadLetterTargetArn": self.dead_letters.queue_arn},
        )
        for queue in (self.end_queue, self.dead_letters):
            self._let_in(queue, "sns.amazonaws.com", self.ends.topic_arn)
        if self.key:
            # By the topic, as CDK's own SqsSubscription does; by the stack's name, since the topic refers to the key.
            self.key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={"ArnLike": {"aws:SourceArn": self._arn("sns", f"{cdk.Aws.STACK_NAME}-*")}},
                )
            )

    def _let_in(self, queue: sqs.Queue, service: str, source_arn: str) -> None:
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": source_arn}},
            )
        )

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

    def _speaker(self) -> PythonFunction:
        speaker = PythonFunction(
            self,
            "Speak",
            architecture="speech-synthesis",
            function="speak",
            target=self.target,
            description="Has each uploaded text spoken by Polly, at once or by a task",
            timeout=cdk.Duration.seconds(self.settings.function_timeout_seconds),
            memory_mib=512,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment={
                "RESULTS_TABLE": self.results.table_name,
                "TASKS_TABLE": self.tasks.table_name,
                "INPUT_PREFIX": self.settings.input_prefix,
                "OUTPUT_PREFIX": self.settings.output_prefix,
                "END_TOPIC": self.ends.topic_arn,
                "VOICE": self.settings.voice,
                "ENGINE": self.settings.engine,
                "OUTPUT_FORMAT": self.settings.output_format,
                "POWERTOOLS_SERVICE_NAME": "speech-synthesis",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        # Their only resources are lexicons, which are not used here (Service Authorization Reference, "Actions,
        # resources, and condition keys for Amazon Polly"; "Setting up the IAM policy for asynchronous synthesis").
        speaker.allow(["polly:SynthesizeSpeech", "polly:StartSpeechSynthesisTask"], "*")
        speaker.allow(["s3:GetObjectVersion"], self.bucket.arn_for_objects(f"{self.settings.input_prefix}*"))
        speaker.allow(["s3:PutObject"], self.bucket.arn_for_objects(f"{self.settings.output_prefix}*"))
        # By Polly, as this role, when a task has ended.
        speaker.allow(["sns:Publish"], self.ends.topic_arn)
        speaker.allow(["dynamodb:UpdateItem"], self.results.table_arn, self.tasks.table_arn)
        self._let_poll(speaker, self.queue)
        if self.key:
            # Reading objects and messages, opening a table's own key; writing objects and telling the topic.
            speaker.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return speaker

    def _recorder(self) -> PythonFunction:
        recorder = PythonFunction(
            self,
            "RecordEnd",
            architecture="speech-synthesis",
            function="record_end",
            target=self.target,
            description="Records how a synthesis task ended",
            timeout=cdk.Duration.seconds(END_TIMEOUT_SECONDS),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment={
                "RESULTS_TABLE": self.results.table_name,
                "TASKS_TABLE": self.tasks.table_name,
                "ALARM_TOPIC": self.topic.topic_arn,
                "POWERTOOLS_SERVICE_NAME": "speech-synthesis",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        # Supports no resource (same page of the Service Authorization Reference).
        recorder.allow(["polly:GetSpeechSynthesisTask"], "*")
        recorder.allow(["dynamodb:UpdateItem"], self.results.table_arn, self.tasks.table_arn)
        recorder.allow(["sns:Publish"], self.topic.topic_arn)
        self._let_poll(recorder, self.end_queue)
        if self.key:
            # Reading messages, opening a table's own key; telling the topic.
            recorder.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return recorder

    def _let_poll(self, function: PythonFunction, queue: sqs.Queue) -> None:
        function.allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queue.queue_arn)

    def _feed(self, name: str, function: PythonFunction, queue: sqs.Queue, batch: int, concurrency: int) -> None:
        """Failed messages of a batch go back alone; the number of workers bounds the calls to Polly."""
        lambda_.EventSourceMapping(
            self,
            name,
            target=function.function,
            event_source_arn=queue.queue_arn,
            batch_size=batch,
            max_concurrency=concurrency,
            report_batch_item_failures=True,
        )

    def _topic(self) -> sns.Topic:
        """Where alarms and failed tasks are told. Encrypted by an own key only: CloudWatch may not use AWS's for SNS.

        (Amazon SNS Developer Guide, "Amazon SNS encryption key management".) What is told names no text.
        """
        topic = sns.Topic(self, "Alarms", enforce_ssl=True, master_key=self.key)
        if self.settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(self.settings.alarm_email))
        return topic

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears."""
        speaker, recorder = self.speaker.function, self.recorder.function
        a_minute = cdk.Duration.minutes(1)
        alarms = [
            self._alarm(
                "DeadLettersAlarm",
                "A text was not spoken, or its end not recorded: read the reason in the results table, then redrive.",
                self.dead_letters.metric_approximate_number_of_messages_visible(period=a_minute, statistic="Maximum"),
            ),
            self._alarm(
                "QueueAgeAlarm",
                "Texts wait too long: more arrive than the workers may speak, or they keep failing.",
                self.queue.metric_approximate_age_of_oldest_message(period=a_minute, statistic="Maximum"),
                threshold=self.settings.queue_age_alarm_seconds,
                three_of_five=True,
            ),
            self._alarm(
                "ErrorsAlarm",
                "The function that has texts spoken broke off: a crash, a time-out or too little memory.",
                speaker.metric_errors(period=a_minute, statistic="Sum"),
            ),
            self._alarm(
                "EndErrorsAlarm",
                "The function that records the ends of tasks broke off.",
                recorder.metric_errors(period=a_minute, statistic="Sum"),
            ),
            self._alarm(
                "ThrottlesAlarm",
                "Lambda refused to run the function: the account's concurrency is used up.",
                speaker.metric_throttles(period=a_minute, statistic="Sum"),
                three_of_five=True,
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

    def _alarm(
        self,
        name: str,
        description: str,
        metric: cloudwatch.Metric,
        *,
        threshold: float = 0,
        three_of_five: bool = False,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=5 if three_of_five else 1,
            datapoints_to_alarm=3 if three_of_five else None,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _dashboard(self) -> cloudwatch.Dashboard:
        speaker, recorder = self.speaker.function, self.recorder.function
        return cloudwatch.Dashboard(
            self,
            "Dashboard",
            default_interval=cdk.Duration.hours(3),
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms, width=24)],
                [
                    cloudwatch.GraphWidget(
                        title="Texts waiting and given up",
                        left=[
                            self.queue.metric_approximate_number_of_messages_visible(label="texts waiting"),
                            self.end_queue.metric_approximate_number_of_messages_visible(label="ends waiting"),
                            self.dead_letters.metric_approximate_number_of_messages_visible(label="given up"),
                        ],
                        right=[self.queue.metric_approximate_age_of_oldest_message(label="oldest, seconds")],
                        width=12,
                    ),
                    cloudwatch.GraphWidget(
                        title="Functions",
                        left=[
                            speaker.metric_invocations(label="spoken"),
                            speaker.metric_errors(label="errors"),
                            recorder.metric_invocations(label="ends recorded"),
                            recorder.metric_errors(label="errors of these"),
                        ],
                        right=[speaker.metric_duration(statistic="p95", label="p95, milliseconds")],
                        width=12,
                    ),
                ],
            ],
        )

    def _outputs(self) -> None:
        for name, value in {
            "BucketName": self.bucket.bucket_name,
            "InputPrefix": self.settings.input_prefix,
            "OutputPrefix": self.settings.output_prefix,
            "QueueUrl": self.queue.queue_url,
            "EndQueueUrl": self.end_queue.queue_url,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FunctionName": self.speaker.function.function_name,
            "FunctionRoleName": self.speaker.role.role_name,
            "EndFunctionName": self.recorder.function.function_name,
            "EndFunctionRoleName": self.recorder.role.role_name,
            "ResultsTableName": self.results.table_name,
            "TasksTableName": self.tasks.table_name,
            "EndTopicArn": self.ends.topic_arn,
            "AlarmTopicArn": self.topic.topic_arn,
            "DashboardName": self.dashboard.dashboard_name,
            "RuleName": self.rule.ref,
            "LogGroupName": self.speaker.log_group.log_group_name,
            "EndLogGroupName": self.recorder.log_group.log_group_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)

    def _queue_encryption(self) -> dict[str, Any]:
        if self.key:
            return {"encryption": sqs.QueueEncryption.KMS, "encryption_master_key": self.key}
        return {"encryption": sqs.QueueEncryption.SQS_MANAGED}

    def _arn(self, service: str, resource: str) -> str:
        """An ARN pattern in this stack's own account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
