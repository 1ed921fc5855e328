"""Insights from texts, many at a time: SQS → Lambda with Comprehend's batch operations → DynamoDB."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.python_function import PythonFunction, Target

# Those in which Comprehend finds sentiment, entities and key phrases (Amazon Comprehend Developer Guide, "Languages
# supported in Amazon Comprehend", read 2026-11-25). It finds personal data in English and Spanish.
Language = Literal["en", "es", "fr", "de", "it", "pt", "ar", "hi", "ja", "ko", "zh", "zh-TW"]

# The operations that every text goes through; none supports a resource for the built-in models (Service Authorization
# Reference, "Actions, resources, and condition keys for Amazon Comprehend", read 2026-11-25).
BATCH_OPERATIONS = (
    "comprehend:BatchDetectDominantLanguage",
    "comprehend:BatchDetectEntities",
    "comprehend:BatchDetectKeyPhrases",
    "comprehend:BatchDetectSentiment",
)
PERSONAL_DATA_OPERATION = "comprehend:DetectPiiEntities"


class TextInsightsSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[Language, ...] = Field(
        default=("en",),
        min_length=1,
        max_length=12,
        description="languages that are analysed; a text in another is a result that says so, and costs no more",
    )
    personal_data: Literal["ignored", "marked", "masked"] = Field(
        default="masked",
        description=(
            "ignored: not looked for. marked: its type and place are stored. masked: and no words of a finding that"
            " touches it; in a language in which it cannot be found, no words at all"
        ),
    )
    most_findings: int = Field(
        default=200, ge=1, le=500, description="entities, phrases and personal data of a text that are stored, of each"
    )
    # Each worker has one call under way; at some 0.3 s a call, our guess, two make 7 a second. Comprehend's quotas for
    # its batch operations are 10 a second and account (Service Quotas; look yours up, they differ). 2 is also the least
    # that Lambda takes.
    maximum_concurrency: int = Field(default=2, ge=2, le=1000, description="workers that call Comprehend at once")
    batch_size: int = Field(
        default=25, ge=1, le=25, description="texts a worker takes at once; Comprehend takes 25 a call"
    )
    batch_window_seconds: int = Field(
        default=1, ge=0, le=300, description="how long a batch may be gathered; 0 counts as 1 for more than 10 texts"
    )
    function_timeout_seconds: int = Field(default=60, ge=15, le=900, description="for a whole batch")
    # Two at least: the second delivery is the one that can tell that the first one's worker was stopped.
    maximum_receives: int = Field(default=5, ge=2, le=100, description="attempts before the dead-letter queue")
    queue_age_alarm_seconds: int = Field(
        default=900, ge=60, le=86_400, description="age of the oldest waiting text at which the alarm is raised"
    )
    kms_key: Literal["aws-managed", "own"] = Field(
        default="aws-managed", description="own: a rotating customer key for messages, table, alarms and logs"
    )
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an address that AWS asks to confirm"
    )


class TextInsights(cdk.Stack):
    """Reviews and news arrive all day; what is said, about whom and in which mood is kept, and no text is lost.

    **Flow.** A producer sends `{"id", "text"[, "language"]}` to the queue → Lambda gathers up to 25 and gives them to
    the worker → the worker asks Comprehend for the languages of all, then, language by language, for sentiment,
    entities and key phrases, and for personal data text by text → a row a text. The queue stands between because texts
    come in bursts and Comprehend takes so many calls a second; gathered in batches, a text costs a fifth of a call.

    **What if.** Comprehend throttles, or anything else fails: the texts that it befell go back, and after
    `maximum_receives` attempts they are dead letters, their reasons in the table. A text is empty, too large or in a
    language that is not wanted: a row says so, and nothing is tried again. A message comes twice: the second finds the
    row, or waits while another worker has it. The worker dies: its claim runs out before the next delivery. Each dead
    letter, each crash, and a queue that grows old raises an alarm.

    **Texts beyond 5,000 bytes.** Comprehend's batch operations do not take them, and an SQS message carries far more.
    So there is no pointer to S3: the row says that the text is too large, and its sender cuts it at sentences.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-25). Idle 3.66 dollars a month: dashboard
    3.00, four alarms 0.40, polling 0.26; an own key adds 1.00. A thousand texts of up to 300 characters 1.51 dollars,
    Comprehend's minimum: 0.30 for each of the five questions.
    """

    Settings: ClassVar[type[TextInsightsSettings]] = TextInsightsSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: TextInsightsSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.key = self._own_key() if settings.kms_key == "own" else None
        self.dead_letters = self._dead_letter_queue()
        self.queue = self._queue()
        self.results = self._results()
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
            description="Encrypts the messages, insights and logs of one stack",
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

    def _dead_letter_queue(self) -> sqs.Queue:
        """Holds what failed every attempt, for as long as SQS allows."""
        return sqs.Queue(
            self, "DeadLetters", retention_period=cdk.Duration.days(14), enforce_ssl=True, **self._queue_encryption()
        )

    def _queue(self) -> sqs.Queue:
        """The buffer between texts, which come in bursts, and Comprehend, which takes so many calls a second."""
        return sqs.Queue(
            self,
            "Queue",
            retention_period=cdk.Duration.days(4),
            # Six times the function's timeout (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
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

    def _results(self) -> dynamodb.Table:
        """A row for each content of each text id."""

        def text(attribute: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=attribute, type=dynamodb.AttributeType.STRING)

        return dynamodb.Table(
            self,
            "Results",
            partition_key=text("text_id"),
            sort_key=text("digest"),
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
            "AnalyzeTexts",
            architecture="text-insights",
            function="analyze_texts",
            target=self.target,
            description="Has texts analysed by Comprehend and stores what was found",
            timeout=cdk.Duration.seconds(self.settings.function_timeout_seconds),
            memory_mib=512,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment={
                "RESULTS_TABLE": self.results.table_name,
                "LANGUAGES": ",".join(self.settings.languages),
                "PERSONAL_DATA": self.settings.personal_data,
                "MOST_FINDINGS": str(self.settings.most_findings),
                "POWERTOOLS_SERVICE_NAME": "text-insights",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        sought = self.settings.personal_data != "ignored"
        worker.allow([*BATCH_OPERATIONS, *([PERSONAL_DATA_OPERATION] if sought else [])], "*")
        worker.allow(["dynamodb:PutItem"], self.results.table_arn)
        worker.allow(
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            self.queue.queue_arn,
        )
        if self.key:
            # Reading the messages, and opening the table's own key, which is all that a write needs of KMS (Amazon
            # DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes").
            worker.allow(["kms:Decrypt"], self.key.key_arn)
        return worker

    def _let_the_queue_feed_the_worker(self) -> None:
        """Failed messages of a batch go back alone; the number of workers bounds the calls to Comprehend.

        A batch of more than ten messages needs a window of a second at least (AWS Lambda Developer Guide, "Creating and
        configuring an Amazon SQS event source mapping", read 2026-11-25).
        """
        window = self.settings.batch_window_seconds
        if self.settings.batch_size > 10:
            window = max(window, 1)
        lambda_.EventSourceMapping(
            self,
            "Poller",
            target=self.worker.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=self.settings.batch_size,
            max_batching_window=cdk.Duration.seconds(window),
            max_concurrency=self.settings.maximum_concurrency,
            report_batch_item_failures=True,
        )

    def _topic(self) -> sns.Topic:
        """Where alarms are told. Encrypted by an own key only: CloudWatch may not use AWS's key for SNS.

        (Amazon SNS Developer Guide, "Amazon SNS encryption key management".) The alarms name no text.
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
                alarm_description="A text could not be analysed: read its reason in the results table, then redrive.",
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
                alarm_description="Texts wait too long: more arrive than the workers may take, or they keep failing.",
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
                        title="Texts waiting and given up",
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
            "QueueUrl": self.queue.queue_url,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FunctionName": self.worker.function.function_name,
            "FunctionRoleName": self.worker.role.role_name,
            "ResultsTableName": self.results.table_name,
            "AlarmTopicArn": self.topic.topic_arn,
            "DashboardName": self.dashboard.dashboard_name,
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
