"""Label every uploaded image: S3 → EventBridge → SQS → Lambda with Rekognition → DynamoDB."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
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
from stacks.blocks.buckets import object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import own_key
from stacks.blocks.networks import PLACED, NetworkChoice, placed
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send, poller, rule_target, work_queue
from stacks.blocks.tables import table
from stacks.blocks.topics import topic

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
    network: NetworkChoice = Field(default="public", description=PLACED)
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

        self.key = (
            own_key(
                self,
                "Key",
                description="Encrypts the images, messages, labels and logs of one stack",
                queue_senders=["events.amazonaws.com"],
            )
            if settings.kms_key == "own"
            else None
        )
        self.network = placed(self, settings.network, doors=["rekognition"])
        self.bucket = upload_bucket(
            self, "Images", lifecycle_rules=[old_versions_go()], target=target, encryption_key=self.key
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
        self.rules = self._rules()
        self.results = table(self, "Results", partition_key="image", sort_key="version", encryption_key=self.key)
        self.idempotency = table(
            self, "Idempotency", partition_key="id", time_to_live="expiration", encryption_key=self.key
        )
        self.worker = self._worker()
        poller(
            self,
            "Poller",
            queue=self.queue,
            function=self.worker,
            batch_size=settings.batch_size,
            maximum_concurrency=settings.maximum_concurrency,
        )
        # No alarm names an image.
        self.topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

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
                event_pattern=object_created(
                    self.bucket,
                    keys=[
                        {"wildcard": f"{self.settings.upload_prefix}*{ending}"}
                        for lower in endings
                        for ending in (lower, lower.upper())
                    ],
                ),
                targets=[rule_target("Queue", self.queue, self.dead_letters)],
            )
            for name, endings in IMAGE_FORMATS.items()
        ]
        let_service_send(
            "events.amazonaws.com", (self.queue, self.dead_letters), source=[rule.attr_arn for rule in rules]
        )
        return rules

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
            network=self.network,
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
        worker.allow_polling(self.queue)
        if self.key:
            # Reading the object and the messages, and opening a table's own key, which is all that a write needs of KMS
            # (Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes").
            worker.allow(["kms:Decrypt"], self.key.key_arn)
        return worker

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears."""
        alarms = [
            alarm(
                self,
                "DeadLettersAlarm",
                description="An image could not be labelled: read its reason in the results table, then redrive.",
                metric=waiting_messages(self.dead_letters),
            ),
            alarm(
                self,
                "QueueAgeAlarm",
                description="Images wait too long: more arrive than the workers may label, or they keep failing.",
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
