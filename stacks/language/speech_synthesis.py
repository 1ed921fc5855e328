"""Turn text into speech: S3 → EventBridge → SQS → Lambda with Polly → sound in S3, results in DynamoDB."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.blocks.alarms import (
    alarm,
    dashboard,
    errors,
    oldest_message_age,
    tell_of_alarms,
    throttles,
    waiting_messages,
)
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import let_service_use, own_key
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send, poller, rule_target, work_queue
from stacks.blocks.tables import table
from stacks.blocks.topics import topic

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

        self.key = (
            own_key(
                self,
                "Key",
                description="Encrypts the texts, sounds, messages, results and logs of one stack",
                queue_senders=["events.amazonaws.com"],
            )
            if settings.kms_key == "own"
            else None
        )
        self.bucket = self._bucket()
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=self.key)
        self.queue = work_queue(
            self,
            "Queue",
            dead_letters=self.dead_letters,
            maximum_receives=settings.maximum_receives,
            function_timeout_seconds=settings.function_timeout_seconds,
            encryption_key=self.key,
        )
        self.rule = self._rule()
        self.results = table(self, "Results", partition_key="document", sort_key="version", encryption_key=self.key)
        self.tasks = table(self, "Tasks", partition_key="task_id", time_to_live="expires", encryption_key=self.key)
        self.ends = topic(self, "Ends", encryption_key=self.key)
        self.end_queue = work_queue(
            self,
            "EndQueue",
            dead_letters=self.dead_letters,
            maximum_receives=settings.maximum_receives,
            function_timeout_seconds=END_TIMEOUT_SECONDS,
            encryption_key=self.key,
        )
        self._let_ends_reach_their_queue()
        # Alarms and failed tasks are told there; what is told names no text.
        self.topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.speaker = self._speaker()
        self.recorder = self._recorder()
        poller(
            self,
            "Poller",
            queue=self.queue,
            function=self.speaker,
            batch_size=1,
            maximum_concurrency=settings.maximum_concurrency,
        )
        poller(self, "EndPoller", queue=self.end_queue, function=self.recorder, batch_size=10, maximum_concurrency=2)
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

    def _bucket(self) -> s3.Bucket:
        """Texts and sound, under prefixes apart."""
        return upload_bucket(
            self,
            "Speech",
            lifecycle_rules=[
                old_versions_go(),
                s3.LifecycleRule(
                    prefix=self.settings.output_prefix, expiration=cdk.Duration.days(self.settings.keep_sound_days)
                ),
            ],
            target=self.target,
            encryption_key=self.key,
        )

    def _rule(self) -> events.CfnRule:
        """Texts under the prefix, by their endings in small letters or capitals: four wildcards, as many as one rule
        may have after a prefix (see image-labeling's rules)."""
        prefix = self.settings.input_prefix
        rule = events.CfnRule(
            self,
            "TextUploaded",
            description=f"Texts created under {prefix}",
            event_pattern=object_created(
                self.bucket,
                keys=[{"wildcard": f"{prefix}*{ending}"} for lower in ENDINGS for ending in (lower, lower.upper())],
            ),
            targets=[rule_target("Queue", self.queue, self.dead_letters)],
        )
        let_service_send("events.amazonaws.com", (self.queue, self.dead_letters), source=rule.attr_arn)
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
        let_service_send("sns.amazonaws.com", (self.end_queue, self.dead_letters), source=self.ends.topic_arn)
        if self.key:
            # By the topic, as CDK's own SqsSubscription does; by the stack's name, since the topic refers to the key.
            let_service_use(
                self.key,
                "sns.amazonaws.com",
                where={"aws:SourceArn": own_arn(self, "sns", f"{cdk.Aws.STACK_NAME}-*")},
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
        speaker.allow_polling(self.queue)
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
        recorder.allow_polling(self.end_queue)
        if self.key:
            # Reading messages, opening a table's own key; telling the topic.
            recorder.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return recorder

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears."""
        alarms = [
            alarm(
                self,
                "DeadLettersAlarm",
                description=(
                    "A text was not spoken, or its end not recorded: read the reason in the results table, then"
                    " redrive."
                ),
                metric=waiting_messages(self.dead_letters),
            ),
            alarm(
                self,
                "QueueAgeAlarm",
                description="Texts wait too long: more arrive than the workers may speak, or they keep failing.",
                metric=oldest_message_age(self.queue),
                threshold=self.settings.queue_age_alarm_seconds,
                evaluation_periods=5,
                datapoints_to_alarm=3,
            ),
            alarm(
                self,
                "ErrorsAlarm",
                description="The function that has texts spoken broke off: a crash, a time-out or too little memory.",
                metric=errors(self.speaker),
            ),
            alarm(
                self,
                "EndErrorsAlarm",
                description="The function that records the ends of tasks broke off.",
                metric=errors(self.recorder),
            ),
            alarm(
                self,
                "ThrottlesAlarm",
                description="Lambda refused to run the function: the account's concurrency is used up.",
                metric=throttles(self.speaker),
                evaluation_periods=5,
                datapoints_to_alarm=3,
            ),
        ]
        tell_of_alarms(alarms, self.topic)
        return alarms

    def _dashboard(self) -> cloudwatch.Dashboard:
        speaker, recorder = self.speaker.function, self.recorder.function
        return dashboard(
            self,
            "Dashboard",
            alarms=self.alarms,
            graphs=[
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
