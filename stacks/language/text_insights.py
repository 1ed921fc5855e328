"""Insights from texts, many at a time: SQS → Lambda with Comprehend's batch operations → DynamoDB."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.alarms import (
    alarm,
    dashboard,
    errors,
    oldest_message_age,
    tell_of_alarms,
    throttles,
    waiting_messages,
)
from stacks.blocks.keys import own_key
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, poller, work_queue
from stacks.blocks.tables import table
from stacks.blocks.topics import topic

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

        self.key = (
            own_key(self, "Key", description="Encrypts the messages, insights and logs of one stack")
            if settings.kms_key == "own"
            else None
        )
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.queue = work_queue(
            self,
            "Queue",
            dead_letters=self.dead_letters,
            maximum_receives=settings.maximum_receives,
            function_timeout_seconds=settings.function_timeout_seconds,
            encryption_key=self.key,
        )
        # A row for each content of each text id.
        self.results = table(self, "Results", partition_key="text_id", sort_key="digest", encryption_key=self.key)
        self.worker = self._worker()
        poller(
            self,
            "Poller",
            queue=self.queue,
            function=self.worker,
            batch_size=settings.batch_size,
            batch_window=self._batch_window,
            maximum_concurrency=settings.maximum_concurrency,
        )
        # No alarm names a text.
        self.topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

    @property
    def _batch_window(self) -> cdk.Duration:
        """A batch of more than ten messages needs a second at least.

        (AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source mapping", read 2026-11-25.)
        """
        least = 1 if self.settings.batch_size > 10 else 0
        return cdk.Duration.seconds(max(self.settings.batch_window_seconds, least))

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
        worker.allow_polling(self.queue)
        if self.key:
            # Reading the messages, and opening the table's own key, which is all that a write needs of KMS (Amazon
            # DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes").
            worker.allow(["kms:Decrypt"], self.key.key_arn)
        return worker

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears."""
        alarms = [
            alarm(
                self,
                "DeadLettersAlarm",
                description="A text could not be analysed: read its reason in the results table, then redrive.",
                metric=waiting_messages(self.dead_letters),
            ),
            alarm(
                self,
                "QueueAgeAlarm",
                description="Texts wait too long: more arrive than the workers may take, or they keep failing.",
                metric=oldest_message_age(self.queue),
                threshold=self.settings.queue_age_alarm_seconds,
                evaluation_periods=5,
                datapoints_to_alarm=3,
            ),
            alarm(
                self,
                "ErrorsAlarm",
                description="The function broke off: a crash, a time-out or too little memory.",
                metric=errors(self.worker),
            ),
            alarm(
                self,
                "ThrottlesAlarm",
                description="Lambda refused to run the function: the account's concurrency is used up.",
                metric=throttles(self.worker),
                evaluation_periods=5,
                datapoints_to_alarm=3,
            ),
        ]
        tell_of_alarms(alarms, self.topic)
        return alarms

    def _dashboard(self) -> cloudwatch.Dashboard:
        function = self.worker.function
        return dashboard(
            self,
            "Dashboard",
            alarms=self.alarms,
            graphs=[
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
