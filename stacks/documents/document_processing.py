"""Read forms and documents: S3 → Step Functions with Textract, Comprehend and a person → DynamoDB and S3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stacks.blocks.alarms import alarm, dashboard, errors, tell_of_alarms, throttles, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import let_service_use, own_key
from stacks.blocks.networks import PLACED, NetworkChoice, placed
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send, poller, rule_target, work_queue
from stacks.blocks.state_machines import LOG_DELIVERY, TRACING
from stacks.blocks.tables import table
from stacks.blocks.topics import MAIL_ADDRESS, topic
from stacks.documents.workflow import METRIC_NAMESPACE, WAITING_METRIC, Choices, Parts, Workflow

ARCHITECTURE = "document-processing"

# Where the functions put what they find (`lambdas/document_processing/places.py`).
RESULTS_PREFIX = "documents/"


class DocumentProcessingSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_prefix: str = Field(
        default="uploads/",
        pattern=r"^([A-Za-z0-9!_.-]+/)+$",
        max_length=128,
        description="only keys that begin with it are read; ends with a slash, is not `documents/`",
    )
    fields_that_matter: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="names of the fields whose confidence decides on a review; none means all that are found."
        " One that is missed altogether is asked for only if it is named here, so name those of your forms",
    )
    minimum_confidence: float = Field(
        default=90, ge=0, le=100, description="percent; a field that matters and is below it goes to a person"
    )
    language: Literal["en", "es"] = Field(
        default="en",
        description="of the documents; Comprehend finds personal data in these two",
    )
    # Each page is held in memory while it is collected, and 25,000 events bound an execution: `workflow.py` counts.
    maximum_pages: int = Field(default=100, ge=1, le=500, description="a longer document is rejected")
    maximum_megabytes: int = Field(default=50, ge=1, le=500, description="a larger file is rejected")
    map_concurrency: int = Field(
        default=3, ge=1, le=40, description="batches of paragraphs of one document that Comprehend reads at once"
    )
    analysis_timeout_seconds: int = Field(
        default=3600, ge=5, le=86_400, description="how long a Textract job may take before it is asked by hand"
    )
    human_review: Literal["review-page", "augmented-ai"] = Field(
        default="review-page",
        description="augmented-ai: Amazon A2I, which is closed to new accounts since 2026-07-30 (`services.toml`)",
    )
    flow_definition_arn: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:sagemaker:[a-z0-9-]+:\d{12}:flow-definition/[a-z0-9-]+$",
        description="of the human loop, for augmented-ai",
    )
    human_loop_output: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]{3,63}/([A-Za-z0-9!_.-]+/)+$",
        description="bucket and prefix where the flow definition puts answers, for augmented-ai: `bucket/prefix/`",
    )
    review_reminder_seconds: int = Field(
        default=14_400, ge=5, le=86_400, description="after so long a reviewer is asked again, and the alarm is raised"
    )
    review_deadline_seconds: int = Field(
        default=259_200, ge=10, le=2_592_000, description="how long a link is good; then the document fails"
    )
    review_base_url: str | None = Field(
        default=None,
        pattern=r"^https://[^\s?#]+$",
        description="where reviewers reach the page, for instance an own domain; by default the API's own address",
    )
    network: NetworkChoice = Field(default="public", description=PLACED)
    review_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for the links, which AWS asks to confirm"
    )
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for alarms and failures, which AWS asks to confirm"
    )
    # Textract's default quota for AnalyzeDocument is 10 calls a second in us-east-1 and us-west-2, 1 elsewhere (AWS
    # General Reference, "Amazon Textract endpoints and quotas"; look at Service Quotas for your account's).
    intake_concurrency: int = Field(default=2, ge=2, le=100, description="workers that start executions at once")
    maximum_receives: int = Field(default=5, ge=2, le=100, description="attempts before a dead-letter queue")
    retry_attempts: int = Field(default=5, ge=1, le=10, description="of a state whose service fails or throttles")
    retry_seconds: int = Field(default=2, ge=1, le=60, description="before the first of them; then twice as long each")

    @field_validator("upload_prefix")
    @classmethod
    def _not_where_results_lie(cls, prefix: str) -> str:
        if prefix.startswith(RESULTS_PREFIX):
            raise ValueError(f"uploads cannot lie under {RESULTS_PREFIX}, where results do")
        return prefix

    @model_validator(mode="after")
    def _augmented_ai_needs_its_flow(self) -> DocumentProcessingSettings:
        if self.human_review == "augmented-ai" and not (self.flow_definition_arn and self.human_loop_output):
            raise ValueError("augmented-ai needs flow_definition_arn and human_loop_output")
        return self


class DocumentProcessing(cdk.Stack):
    """A medical insurer reads scanned forms; people check what the machine is unsure of.

    **Flow.** An upload under the prefix → EventBridge → a queue → `intake` starts an execution under a name that only
    this version of the object has. The state machine: a row says PROCESSING → `look` tells kind and pages, or refuses →
    an image of one page is read at once; a PDF by a Textract job, whose token waits in a table until the job's message
    comes (topic → queue → `resume`) → all pages of the answer go to S3, the state keeps numbers → batches of paragraphs
    go through Comprehend, some at a time → is a field that matters below the threshold, its page is rendered and a
    reviewer gets a signed link → fields, tables, entities and corrections become rows, everything one object in S3.

    **What if.** The event comes twice: the name is taken. The job's message comes before its token, late, twice, or for
    an execution that has ended: `start_analysis` and `resume` each write half a row, whoever is second answers. The
    message never comes: the state's time ends, and the next attempt asks the job. A service throttles or fails: retries
    with back-off and jitter. A worker dies: the state is tried again, and every write is a put under a fixed key. A
    reviewer does not come: asked again, an alarm, at last a failure. Two come: the first wins, the other is told. The
    answer's delivery fails: the next round takes it up. The document cannot be read: a row says REJECTED and why. All
    else: a row says FAILED and why, and a topic is told. The execution is stopped, outlives its limits or cannot write
    its row: `record_end` hears of it and does. What cannot even be started is a dead letter.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-25). Idle: dashboard, alarms, key, secret
    and the polling of three queues. A thousand documents of three pages: mostly Textract's forms and tables, 0.065
    dollars a page. The page of the architecture counts both.
    """

    Settings: ClassVar[type[DocumentProcessingSettings]] = DocumentProcessingSettings

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: DocumentProcessingSettings,
        target: Target,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target
        self.reviewed_here = settings.human_review == "review-page"

        asked = ["textract", "states", *(["secretsmanager", "sns"] if self.reviewed_here else [])]
        self.network = placed(self, settings.network, doors=asked)
        self.key = self._key()
        self.bucket = self._bucket()
        self.results = table(self, "Results", partition_key="document", sort_key="version", encryption_key=self.key)
        self.jobs = table(self, "Jobs", partition_key="job", time_to_live="expires", encryption_key=self.key)
        self.reviews = table(self, "Reviews", partition_key="review", time_to_live="expires", encryption_key=self.key)
        self.upload_dead_letters, self.uploads = self._queue_pair("Uploads")
        self.rule = self._rule()
        self.intake = self._intake()
        self.look = self._look()
        self.completions = topic(self, "Completions", encryption_key=self.key)
        self.notifier = self._notifier()
        self.completion_dead_letters, self.completed_jobs = self._queue_pair("CompletedJobs")
        self._let_textract_tell_the_queue()
        self.start_analysis = self._start_analysis()
        self.resume = self._resume()
        self.read_document = self._read_document()
        self.store = self._store()
        self.failures = topic(self, "Failures", email=settings.alarm_email, encryption_key=self.key)
        if self.reviewed_here:
            self.link_key = self._link_key()
            self.review_page = self._review_page()
            self.api = self._api()
            self.review_requests = topic(self, "ReviewRequests", email=settings.review_email, encryption_key=self.key)
            self.render_pages = self._render_pages()
            self.ask_reviewer = self._ask_reviewer()
        self.machine = self._state_machine()
        self.end_dead_letters, self.ends = self._queue_pair("Ends")
        self._end_rule()
        self.record_end = self._record_end()
        self._let_functions_use_the_machine()
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.alarms = self._alarms()
        self.dashboard = self._dashboard()
        self._outputs()

    # --- what holds data

    def _key(self) -> kms.Key:
        """One key for all that holds data.

        Also for what delivers the state machine's log, whose events the key encrypts (AWS Step Functions Developer
        Guide, "Data at rest encryption in Step Functions", read 2026-11-25).
        """
        key = own_key(
            self,
            "Key",
            description="Encrypts the documents, results, messages and logs of one stack",
            queue_senders=["events.amazonaws.com", "sns.amazonaws.com"],
        )
        let_service_use(
            key,
            "delivery.logs.amazonaws.com",
            where={"kms:EncryptionContext:SourceArn": own_arn(self, "logs", "*")},
            actions=["kms:Decrypt"],
        )
        return key

    def _bucket(self) -> s3.Bucket:
        """Documents come in under one prefix, what was found in them lies under another."""
        return upload_bucket(
            self,
            "Documents",
            lifecycle_rules=[old_versions_go()],
            target=self.target,
            encryption_key=self.key,
        )

    def _queue_pair(self, name: str) -> tuple[sqs.Queue, sqs.Queue]:
        """A dead-letter queue, and the queue that uses it."""
        dead_letters = dead_letter_queue(self, f"{name}DeadLetters", encryption_key=self.key)
        queue = work_queue(
            self,
            name,
            dead_letters=dead_letters,
            maximum_receives=self.settings.maximum_receives,
            function_timeout_seconds=_QUICK_SECONDS,
            encryption_key=self.key,
        )
        return dead_letters, queue

    # --- from the upload to the execution

    def _rule(self) -> events.CfnRule:
        """Every object under the prefix: what is no document becomes a row that says so."""
        rule = events.CfnRule(
            self,
            "Uploaded",
            description=f"Objects created under {self.settings.upload_prefix}",
            event_pattern=object_created(self.bucket, keys=[{"prefix": self.settings.upload_prefix}]),
            targets=[rule_target("Uploads", self.uploads, self.upload_dead_letters)],
        )
        let_service_send("events.amazonaws.com", (self.uploads, self.upload_dead_letters), source=rule.attr_arn)
        return rule

    def _intake(self) -> PythonFunction:
        intake = self._function("Intake", "intake", "Starts an execution for each upload")
        self._feed(intake, self.uploads, maximum_concurrency=self.settings.intake_concurrency)
        return intake

    def _look(self) -> PythonFunction:
        look = self._function(
            "Look",
            "look",
            "Looks at a document's kind, pages and size",
            seconds=120,
            # The file, and what pdfium makes of it.
            memory_mib=_memory_for(self.settings.maximum_megabytes),
            environment={
                "UPLOAD_PREFIX": self.settings.upload_prefix,
                "MAXIMUM_PAGES": str(self.settings.maximum_pages),
                "MAXIMUM_MEGABYTES": str(self.settings.maximum_megabytes),
            },
        )
        look.allow(["s3:GetObjectVersion"], self._uploaded)
        look.allow(["kms:Decrypt"], self.key.key_arn)
        return look

    # --- Textract

    def _notifier(self) -> iam.Role:
        """The role by which Textract tells the topic that a job has ended.

        Only for this account's jobs (Amazon Textract Developer Guide, "Cross-service confused deputy prevention", read
        2026-11-25).
        """
        role = iam.Role(
            self,
            "TextractNotifier",
            assumed_by=iam.ServicePrincipal(
                "textract.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
        )
        for actions, resource in (
            (["sns:Publish"], self.completions.topic_arn),
            (["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        return role

    def _let_textract_tell_the_queue(self) -> None:
        """The message as Textract wrote it; what cannot be delivered goes to the dead letters."""
        sns.CfnSubscription(
            self,
            "JobMessages",
            topic_arn=self.completions.topic_arn,
            protocol="sqs",
            endpoint=self.completed_jobs.queue_arn,
            raw_message_delivery=True,
            redrive_policy={"deadLetterTargetArn": self.completion_dead_letters.queue_arn},
        )
        let_service_send(
            "sns.amazonaws.com",
            (self.completed_jobs, self.completion_dead_letters),
            source=self.completions.topic_arn,
        )

    def _start_analysis(self) -> PythonFunction:
        start = self._function(
            "StartAnalysis",
            "start_analysis",
            "Starts a Textract job and keeps the token of the state that waits for it",
            environment={
                "JOBS_TABLE": self.jobs.table_name,
                "COMPLETION_TOPIC_ARN": self.completions.topic_arn,
                "NOTIFIER_ROLE_ARN": self.notifier.role_arn,
            },
        )
        # Textract supports no resource for these (Service Authorization Reference, "Actions, resources, and condition
        # keys for Amazon Textract").
        start.allow(["textract:StartDocumentAnalysis", "textract:GetDocumentAnalysis"], "*")
        # Textract reads the object as the caller.
        start.allow(["s3:GetObjectVersion"], self._uploaded)
        start.role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.notifier.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "textract.amazonaws.com"}},
            )
        )
        start.allow(["dynamodb:UpdateItem"], self.jobs.table_arn)
        start.allow(["kms:Decrypt"], self.key.key_arn)
        return start

    def _resume(self) -> PythonFunction:
        resume = self._function(
            "Resume",
            "resume",
            "Lets the state that waits for a Textract job go on",
            environment={"JOBS_TABLE": self.jobs.table_name},
        )
        resume.allow(["dynamodb:UpdateItem"], self.jobs.table_arn)
        self._feed(resume, self.completed_jobs)
        return resume

    def _read_document(self) -> PythonFunction:
        read = self._function(
            "ReadDocument",
            "read_document",
            "Reads a document's fields, tables and text with Textract",
            seconds=300,
            memory_mib=2048,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "FIELDS_THAT_MATTER": json.dumps(self.settings.fields_that_matter),
                "MINIMUM_CONFIDENCE": f"{self.settings.minimum_confidence:g}",
            },
        )
        read.allow(["textract:AnalyzeDocument", "textract:GetDocumentAnalysis"], "*")
        read.allow(["s3:GetObjectVersion"], self._uploaded)
        read.allow(["s3:PutObject"], self._found)
        read.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return read

    # --- the review

    def _link_key(self) -> secretsmanager.CfnSecret:
        """What signs the links. A new version signs from then on; links of the version before stay good.

        By its resource: CDK's construct would open the key with wildcards, which the functions' own grants make
        needless.
        """
        secret = secretsmanager.CfnSecret(
            self,
            "LinkKey",
            description="Signs the links to the review page",
            kms_key_id=self.key.key_arn,
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                password_length=64, exclude_punctuation=True
            ),
        )
        secret.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        return secret

    def _review_page(self) -> PythonFunction:
        page = self._function(
            "ReviewPage",
            "review_page",
            "Shows a reviewer what is doubtful and takes the answer",
            memory_mib=512,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "REVIEWS_TABLE": self.reviews.table_name,
                "LINK_SECRET_ARN": self.link_key.attr_id,
            },
        )
        page.allow(["dynamodb:GetItem", "dynamodb:UpdateItem"], self.reviews.table_arn)
        page.allow(["s3:GetObject"], self._found)
        page.allow(["secretsmanager:GetSecretValue"], self.link_key.attr_id)
        return page

    def _api(self) -> apigateway.RestApi:
        """Three methods, each guarded by the signed link in its path.

        Without access and execution logs: those would want a role in the settings of the whole region, and would hold
        the links. The function logs who did what by the review's id.
        """
        api = apigateway.RestApi(
            self,
            "ReviewApi",
            description="The page on which people check what the machine is unsure of",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # API Gateway looks at the first media type that a browser accepts, which for a picture is any of many.
            binary_media_types=["*/*"],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name="live", tracing_enabled=True, throttling_rate_limit=20, throttling_burst_limit=40
            ),
        )
        validator = api.add_request_validator(
            "Parameters", validate_request_body=True, validate_request_parameters=True
        )
        integration = apigateway.LambdaIntegration(
            self.review_page.function, allow_test_invoke=False, scope_permission_to_method=False
        )
        review = api.root.add_resource("review").add_resource("{link}")
        picture = review.add_resource("pages").add_resource("{page}")
        for resource, method, parameters in (
            (review, "GET", ["link"]),
            (review, "POST", ["link"]),
            (picture, "GET", ["link", "page"]),
        ):
            resource.add_method(
                method,
                integration,
                request_validator=validator,
                request_parameters={f"method.request.path.{name}": True for name in parameters},
            )
        return api

    def _render_pages(self) -> PythonFunction:
        render = self._function(
            "RenderPages",
            "render_pages",
            "Makes pictures of the pages with doubtful fields",
            seconds=300,
            memory_mib=_memory_for(self.settings.maximum_megabytes),
            environment={"BUCKET": self.bucket.bucket_name},
        )
        render.allow(["s3:GetObjectVersion"], self._uploaded)
        render.allow(["s3:GetObject", "s3:PutObject"], self._found)
        render.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return render

    def _ask_reviewer(self) -> PythonFunction:
        ask = self._function(
            "AskReviewer",
            "ask_reviewer",
            "Keeps a review and publishes its link",
            environment={
                "REVIEWS_TABLE": self.reviews.table_name,
                "REVIEW_TOPIC_ARN": self.review_requests.topic_arn,
                "REVIEW_BASE_URL": self.settings.review_base_url or self.api.url,
                "REVIEW_DEADLINE_SECONDS": str(self.settings.review_deadline_seconds),
                "LINK_SECRET_ARN": self.link_key.attr_id,
            },
        )
        ask.allow(["dynamodb:UpdateItem"], self.reviews.table_arn)
        ask.allow(["secretsmanager:GetSecretValue"], self.link_key.attr_id)
        ask.allow(["sns:Publish"], self.review_requests.topic_arn)
        ask.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return ask

    def _store(self) -> PythonFunction:
        store = self._function(
            "Store",
            "store",
            "Stores what was found, with a reviewer's corrections",
            seconds=300,
            memory_mib=1024,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "RESULTS_TABLE": self.results.table_name,
                "REVIEWS_TABLE": self.reviews.table_name,
            },
        )
        store.allow(["s3:GetObject", "s3:PutObject"], self._found)
        store.allow(["dynamodb:BatchWriteItem"], self.results.table_arn)
        if self.reviewed_here:
            store.allow(["dynamodb:GetItem"], self.reviews.table_arn)
        else:
            store.allow(["s3:GetObject"], f"arn:{self.partition}:s3:::{self.settings.human_loop_output}*")
        store.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return store

    # --- the state machine

    def _state_machine(self) -> stepfunctions.CfnStateMachine:
        """By its resource, not by CDK's construct: that one would grant the role wildcards of its own."""
        self.machine_log = logs.LogGroup(
            self,
            "WorkflowLogs",
            retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = self._workflow_role()
        machine = stepfunctions.CfnStateMachine(
            self,
            "Workflow",
            role_arn=role.role_arn,
            state_machine_type="STANDARD",
            definition_string=self.to_json_string(self._workflow().definition()),
            tracing_configuration=stepfunctions.CfnStateMachine.TracingConfigurationProperty(enabled=True),
            encryption_configuration=stepfunctions.CfnStateMachine.EncryptionConfigurationProperty(
                type="CUSTOMER_MANAGED_KMS_KEY",
                kms_key_id=self.key.key_arn,
                kms_data_key_reuse_period_seconds=300,
            ),
            # What fails, and no word of what was in it.
            logging_configuration=stepfunctions.CfnStateMachine.LoggingConfigurationProperty(
                level="ERROR",
                include_execution_data=False,
                destinations=[
                    stepfunctions.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=stepfunctions.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=self.machine_log.log_group_arn
                        )
                    )
                ],
            ),
        )
        machine.node.add_dependency(role)
        return machine

    def _workflow(self) -> Workflow:
        settings = self.settings
        analysis, review = settings.analysis_timeout_seconds, settings.review_deadline_seconds
        parts = Parts(
            partition=self.partition,
            look=self.look.function.function_arn,
            start_analysis=self.start_analysis.function.function_arn,
            read_document=self.read_document.function.function_arn,
            render_pages=self.render_pages.function.function_arn if self.reviewed_here else "",
            ask_reviewer=self.ask_reviewer.function.function_arn if self.reviewed_here else "",
            store=self.store.function.function_arn,
            results_table=self.results.table_name,
            bucket=self.bucket.bucket_name,
            failure_topic=self.failures.topic_arn,
        )
        choices = Choices(
            minimum_confidence=settings.minimum_confidence,
            language=settings.language,
            map_concurrency=settings.map_concurrency,
            analysis_timeout=analysis,
            review_reminder=settings.review_reminder_seconds,
            retry_attempts=settings.retry_attempts,
            retry_seconds=settings.retry_seconds,
            # The last resort, far beyond what each state is given.
            timeout=2 * analysis + review + settings.review_reminder_seconds + 86_400,
            flow_definition=None if self.reviewed_here else settings.flow_definition_arn,
        )
        return Workflow(parts, choices)

    def _workflow_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "WorkflowRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
        )
        functions = [self.look, self.start_analysis, self.read_document, self.store]
        functions += [self.render_pages, self.ask_reviewer] if self.reviewed_here else []
        grants: list[tuple[Sequence[str], Sequence[str], Mapping[str, Any] | None]] = [
            (["lambda:InvokeFunction"], [function.function.function_arn for function in functions], None),
            (["dynamodb:UpdateItem"], [self.results.table_arn], None),
            (["s3:GetObject"], [self.bucket.arn_for_objects(f"{RESULTS_PREFIX}*/texts/*")], None),
            (["s3:PutObject"], [self.bucket.arn_for_objects(f"{RESULTS_PREFIX}*/insights/*")], None),
            # These support no resource (Service Authorization Reference, "Amazon Comprehend").
            (
                ["comprehend:BatchDetectEntities", "comprehend:BatchDetectSentiment", "comprehend:DetectPiiEntities"],
                ["*"],
                None,
            ),
            (["sns:Publish"], [self.failures.topic_arn], None),
            (["kms:Decrypt", "kms:GenerateDataKey"], [self.key.key_arn], None),
            (LOG_DELIVERY, ["*"], None),
            (TRACING, ["*"], None),
        ]
        if self.reviewed_here:
            by_namespace = {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}}
            grants.append((["cloudwatch:PutMetricData"], ["*"], by_namespace))
        else:
            assert self.settings.flow_definition_arn
            loops = own_arn(self, "sagemaker", "human-loop/review-*")
            grants.append((["sagemaker:StartHumanLoop"], [self.settings.flow_definition_arn], None))
            grants.append((["sagemaker:DescribeHumanLoop"], [loops], None))
        for actions, resources, conditions in grants:
            role.add_to_policy(
                iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
            )
        return role

    def _end_rule(self) -> None:
        """Bad ends, those too that a state has recorded: the event does not tell which."""
        rule = events.CfnRule(
            self,
            "Ended",
            description="Executions that failed, outlived their limits or were stopped",
            event_pattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": [self.machine.attr_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            },
            targets=[rule_target("Ends", self.ends, self.end_dead_letters)],
        )
        let_service_send("events.amazonaws.com", (self.ends, self.end_dead_letters), source=rule.attr_arn)

    def _record_end(self) -> PythonFunction:
        record = self._function(
            "RecordEnd",
            "record_end",
            "Lets a row say how its execution ended, where that could not",
            environment={"RESULTS_TABLE": self.results.table_name},
        )
        record.allow(["dynamodb:UpdateItem"], self.results.table_arn)
        record.allow(["kms:Decrypt"], self.key.key_arn)
        self._feed(record, self.ends)
        return record

    def _let_functions_use_the_machine(self) -> None:
        """Beside the functions' roles: within them the grants would make a circle, as the machine names the functions.

        A token belongs to the machine's ARN (`grant_task_response` writes the same). The key, because the machine's
        data is encrypted with it (AWS Step Functions Developer Guide, "Data at rest encryption in Step Functions").
        """
        answer = ["states:SendTaskFailure", "states:SendTaskSuccess"]
        executions = own_arn(self, "states", f"execution:{self.machine.attr_name}:*")
        allowed = [
            (self.intake, ["states:StartExecution"], self.machine.attr_arn),
            (self.start_analysis, answer, self.machine.attr_arn),
            (self.resume, ["states:SendTaskSuccess"], self.machine.attr_arn),
            (self.record_end, ["states:DescribeExecution"], executions),
        ]
        if self.reviewed_here:
            allowed += [
                (self.ask_reviewer, answer, self.machine.attr_arn),
                (self.review_page, ["states:SendTaskSuccess"], self.machine.attr_arn),
                (self.review_page, ["states:DescribeExecution"], executions),
            ]
        for function in dict.fromkeys(function for function, _, _ in allowed):
            policy = iam.Policy(self, f"{function.node.id}UsesWorkflow", roles=[function.role])
            for user, actions, resource in allowed:
                if user is function:
                    policy.add_statements(iam.PolicyStatement(actions=actions, resources=[resource]))
        self.intake.function.add_environment("STATE_MACHINE_ARN", self.machine.attr_arn)
        for function in (self.intake, self.resume, *([self.review_page] if self.reviewed_here else [])):
            function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)

    # --- what watches

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears.

        Functions that the state machine calls have none of their own: what they fail at, an execution fails at, or is
        tried again. Nor has `record_end`: what it fails at comes back, and at last is a dead letter.
        """
        a_minute = cdk.Duration.minutes(1)

        def of_executions(metric: str) -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/States",
                metric_name=metric,
                dimensions_map={"StateMachineArn": self.machine.attr_arn},
                period=a_minute,
                statistic="Sum",
            )

        described: list[tuple[str, str, cloudwatch.Metric, int]] = [
            ("Failed", "A document could not be processed: its row says why.", of_executions("ExecutionsFailed"), 1),
            ("TimedOut", "An execution outlived all its limits.", of_executions("ExecutionsTimedOut"), 1),
            ("Throttled", "Step Functions slows executions down.", of_executions("ExecutionThrottled"), 3),
        ]
        for name, queue, what in (
            ("UndeliveredUploads", self.upload_dead_letters, "An upload could not be started: mend, then redrive."),
            ("UndeliveredJobs", self.completion_dead_letters, "A job's end was not heard: mend, then redrive."),
            ("UndeliveredEnds", self.end_dead_letters, "A row may not tell its end: mend, then redrive."),
        ):
            described.append((name, what, waiting_messages(queue), 1))
        outside = {"Intake": self.intake, "Resume": self.resume}
        if self.reviewed_here:
            outside["ReviewPage"] = self.review_page
            waiting = cloudwatch.Metric(
                namespace=METRIC_NAMESPACE,
                metric_name=WAITING_METRIC,
                dimensions_map={"StateMachine": self.machine.attr_name},
                period=a_minute,
                statistic="Sum",
            )
            described.append(("ReviewWaits", "A review waits too long: remind the reviewers.", waiting, 1))
        for name, function in outside.items():
            described.append((f"{name}Errors", "The function broke off: a crash, or out of time.", errors(function), 1))
            described.append((f"{name}Throttles", "The account's concurrency is used up.", throttles(function), 3))
        alarms = []
        for name, what, metric, datapoints in described:
            alarms.append(
                alarm(
                    self,
                    f"{name}Alarm",
                    description=what,
                    metric=metric,
                    evaluation_periods=1 if datapoints == 1 else 5,
                    datapoints_to_alarm=datapoints,
                )
            )
        tell_of_alarms(alarms, self.alarm_topic)
        return alarms

    def _dashboard(self) -> cloudwatch.Dashboard:
        def executions(metric: str, label: str, statistic: str = "Sum") -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/States",
                metric_name=metric,
                dimensions_map={"StateMachineArn": self.machine.attr_arn},
                statistic=statistic,
                label=label,
            )

        return dashboard(
            self,
            "Dashboard",
            alarms=self.alarms,
            graphs=[
                cloudwatch.GraphWidget(
                    title="Documents",
                    left=[
                        executions("ExecutionsStarted", "started"),
                        executions("ExecutionsSucceeded", "done"),
                        executions("ExecutionsFailed", "failed"),
                    ],
                    right=[executions("ExecutionTime", "p95, milliseconds", "p95")],
                    width=12,
                ),
                cloudwatch.GraphWidget(
                    title="Waiting and given up",
                    left=[
                        self.uploads.metric_approximate_number_of_messages_visible(label="uploads waiting"),
                        self.completed_jobs.metric_approximate_number_of_messages_visible(label="jobs waiting"),
                        self.upload_dead_letters.metric_approximate_number_of_messages_visible(
                            label="uploads given up"
                        ),
                        self.completion_dead_letters.metric_approximate_number_of_messages_visible(
                            label="jobs given up"
                        ),
                        self.end_dead_letters.metric_approximate_number_of_messages_visible(label="ends given up"),
                    ],
                    width=12,
                ),
            ],
        )

    def _outputs(self) -> None:
        values = {
            "BucketName": self.bucket.bucket_name,
            "UploadPrefix": self.settings.upload_prefix,
            "StateMachineArn": self.machine.attr_arn,
            "WorkflowRoleName": f"{self.node.find_child('WorkflowRole').role_name}",  # type: ignore[attr-defined]
            "WorkflowLogGroupName": self.machine_log.log_group_name,
            "ResultsTableName": self.results.table_name,
            "JobsTableName": self.jobs.table_name,
            "ReviewsTableName": self.reviews.table_name,
            "UploadQueueUrl": self.uploads.queue_url,
            "UploadDeadLetterQueueUrl": self.upload_dead_letters.queue_url,
            "JobQueueUrl": self.completed_jobs.queue_url,
            "JobDeadLetterQueueUrl": self.completion_dead_letters.queue_url,
            "EndQueueUrl": self.ends.queue_url,
            "EndDeadLetterQueueUrl": self.end_dead_letters.queue_url,
            "CompletionTopicArn": self.completions.topic_arn,
            "NotifierRoleName": self.notifier.role_name,
            "FailureTopicArn": self.failures.topic_arn,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "DashboardName": self.dashboard.dashboard_name,
            "RuleName": self.rule.ref,
        }
        functions = {
            "Intake": self.intake,
            "Look": self.look,
            "StartAnalysis": self.start_analysis,
            "Resume": self.resume,
            "RecordEnd": self.record_end,
            "ReadDocument": self.read_document,
            "Store": self.store,
        }
        if self.reviewed_here:
            values |= {
                "ReviewTopicArn": self.review_requests.topic_arn,
                "ReviewUrl": self.settings.review_base_url or self.api.url,
                "ReviewApiId": self.api.rest_api_id,
                "ReviewStage": self.api.deployment_stage.stage_name,
                "LinkSecretArn": self.link_key.attr_id,
            }
            functions |= {
                "ReviewPage": self.review_page,
                "RenderPages": self.render_pages,
                "AskReviewer": self.ask_reviewer,
            }
        for name, function in functions.items():
            values[f"{name}FunctionName"] = function.function.function_name
            values[f"{name}RoleName"] = function.role.role_name
            values[f"{name}LogGroupName"] = function.log_group.log_group_name
        for name, value in values.items():
            cdk.CfnOutput(self, name, value=value)

    # --- helpers

    @property
    def _uploaded(self) -> str:
        return self.bucket.arn_for_objects(f"{self.settings.upload_prefix}*")

    @property
    def _found(self) -> str:
        return self.bucket.arn_for_objects(f"{RESULTS_PREFIX}*")

    def _function(
        self,
        construct_id: str,
        function: str,
        description: str,
        *,
        seconds: int = 0,
        memory_mib: int = 256,
        environment: Mapping[str, str] | None = None,
    ) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            architecture=ARCHITECTURE,
            function=function,
            target=self.target,
            description=description,
            timeout=cdk.Duration.seconds(seconds or _QUICK_SECONDS),
            memory_mib=memory_mib,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            network=self.network,
            environment={
                **(environment or {}),
                "POWERTOOLS_SERVICE_NAME": ARCHITECTURE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )

    def _feed(self, function: PythonFunction, queue: sqs.Queue, maximum_concurrency: int = 2) -> None:
        """Failed messages of a batch go back alone."""
        function.allow_polling(queue)
        poller(
            self,
            f"{function.node.id}Poller",
            queue=queue,
            function=function,
            batch_size=10,
            maximum_concurrency=maximum_concurrency,
        )


# Of a function that makes a few short calls.
_QUICK_SECONDS = 60


def _memory_for(megabytes: int) -> int:
    """Memory for a file of this size and what is made of it: three times the file, 1 GB at least, 3 GB at most."""
    return min(max(1024, 512 + 3 * megabytes), 3008)
