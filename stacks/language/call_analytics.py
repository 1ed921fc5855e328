"""Understand recorded calls: S3 → EventBridge → SQS → Step Functions: Transcribe → Translate → Comprehend →
DynamoDB."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stacks.blocks.alarms import alarm, dashboard, errors, tell_of_alarms, throttles, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import object_created, old_versions_go, upload_bucket
from stacks.blocks.keys import let_service_use, own_key
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue, let_service_send, poller, rule_target, work_queue
from stacks.blocks.state_machines import LOG_DELIVERY, TRACING
from stacks.blocks.tables import NUMBER, table
from stacks.blocks.topics import topic
from stacks.language.call_workflow import IDENTIFIED, OPEN, TRANSCRIPTS, Choices, Parts, Workflow
from stacks.language.languages import TRANSLATED, VOICES, base

ARCHITECTURE = "call-analytics"

# What the names of all jobs begin with, before the stack's name. A redacted transcript's name begins with `redacted-`.
JOB_PREFIX = "call-"

# Folders of the bucket in which only this stack writes.
MEDIA = "media/"
WORK = "work/"
TRANSLATE_IN = "translate-in/"
TRANSLATE_OUT = "translate-out/"
REPORTS = "reports/"
SUMMARIES = "summaries/"
VOCABULARIES = "vocabularies/"
FOLDERS = (IDENTIFIED, TRANSCRIPTS, OPEN, MEDIA, WORK, TRANSLATE_IN, TRANSLATE_OUT, REPORTS, SUMMARIES, VOCABULARIES)

HouseLanguage = Literal["ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "sv", "tr", "zh"]
# Those of "Redacting PII in your batch job" (Amazon Transcribe Developer Guide, read 2026-11-25), the first eleven
# first.
PersonalData = Literal[
    "ADDRESS",
    "BANK_ACCOUNT_NUMBER",
    "BANK_ROUTING",
    "CREDIT_DEBIT_CVV",
    "CREDIT_DEBIT_EXPIRY",
    "CREDIT_DEBIT_NUMBER",
    "EMAIL",
    "NAME",
    "PHONE",
    "PIN",
    "SSN",
    "AGE",
    "DATE_TIME",
    "DRIVER_ID",
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "IP_ADDRESS",
    "LICENSE_PLATE",
    "PASSPORT_NUMBER",
    "PASSWORD",
    "SWIFT_CODE",
    "URL",
    "USERNAME",
]
VoiceName = Literal["Amy", "Bianca", "Camila", "Joanna", "Kazuha", "Laura", "Lea", "Lucia", "Lupe", "Matthew", "Vicki"]


class CallAnalyticsSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_prefix: str = Field(
        default="uploads/",
        pattern=r"^([A-Za-z0-9!_.-]+/)+$",
        max_length=128,
        description="only keys that begin with it are calls; ends with a slash",
    )
    # Two to five can have vocabularies when the language is identified (Amazon Transcribe API Reference,
    # "StartTranscriptionJob", LanguageIdSettings, read 2026-11-25).
    languages: tuple[str, ...] = Field(
        default=("en-US", "de-DE", "es-US", "fr-FR"),
        min_length=2,
        max_length=5,
        description="languages in which guests call, by Transcribe's codes; one country a language",
    )
    house_language: HouseLanguage = Field(default="en", description="the language in which the house reads its calls")
    hotel_names: tuple[str, ...] = Field(
        default=("Hotel Miramar", "Grand Bellevue", "Casa del Sol"),
        min_length=1,
        max_length=100,
        description="names that are to be understood, and never to be translated",
    )
    filtered_words: tuple[str, ...] = Field(
        default=("damn", "hell"), min_length=1, max_length=100, description="words that transcripts show as ***"
    )
    personal_data: Literal["redact-or-withhold", "redact-where-possible", "keep"] = Field(
        default="redact-or-withhold",
        description="what becomes of personal data: a call in a language that Transcribe cannot redact is withheld, or"
        " analysed as it is; or nothing is redacted at all",
    )
    redacted_types: tuple[PersonalData, ...] = Field(
        default=get_args(PersonalData)[:11],
        min_length=1,
        description="kinds of personal data that are redacted; dates are not among them, for bookings are about them",
    )
    keep_unredacted: bool = Field(
        default=True, description="Transcribe writes the unredacted transcript too, for `unredacted_readers` alone"
    )
    unredacted_readers: tuple[str, ...] = Field(
        default=(),
        max_length=10,
        description="ARNs of roles that may read transcripts with personal data; without any, nobody may",
    )
    maximum_speakers: int = Field(default=2, ge=2, le=30, description="speakers that are told apart in a call")
    translate_at_once_bytes: int = Field(
        default=50_000, ge=0, le=1_000_000, description="a longer call is translated by a job; UTF-8 of all its turns"
    )
    spoken_summary: Literal["never", "on-request", "always"] = Field(
        default="on-request", description="on-request: where the upload's metadata say `summary: spoken`"
    )
    summary_voice: VoiceName = Field(default="Joanna", description="Polly's neural voice, which has its language")
    job_timeout_seconds: int = Field(
        default=14_400, ge=5, le=86_400, description="until a job of which no end was heard is asked itself"
    )
    timeout_seconds: int = Field(default=172_800, ge=60, le=604_800, description="the most that a call may take")
    retry_attempts: int = Field(default=4, ge=0, le=10, description="attempts after the first of each step")
    retry_seconds: int = Field(default=2, ge=1, le=60, description="before the second attempt; doubles each time")
    maximum_receives: int = Field(default=5, ge=2, le=100, description="attempts before a dead-letter queue")
    kept_days: int = Field(default=90, ge=1, le=3650, description="how long audio and transcripts stay in the bucket")
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an address that AWS asks to confirm"
    )

    @field_validator("upload_prefix")
    @classmethod
    def _not_where_results_lie(cls, prefix: str) -> str:
        if prefix.startswith(FOLDERS):
            raise ValueError(f"results lie under {', '.join(FOLDERS)}: choose another one")
        return prefix

    @field_validator("languages")
    @classmethod
    def _known(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [language for language in languages if language not in TRANSLATED]:
            raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join(TRANSLATED)}")
        # Amazon Transcribe Developer Guide, "Language identification", read 2026-11-25.
        if len({base(language) for language in languages}) != len(languages):
            raise ValueError("of each language one country only, for Transcribe tells languages apart, not countries")
        return languages

    @field_validator("hotel_names", "filtered_words")
    @classmethod
    def _printable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # A phrase of a vocabulary has 256 characters at most (Amazon Transcribe Developer Guide, "Custom vocabularies",
        # read 2026-11-25).
        for name in names:
            if not name.strip() or not name.isprintable() or len(name) > 256 or name != name.strip():
                raise ValueError("names have 1 to 256 printable characters, no space around them")
        return names

    @field_validator("unredacted_readers")
    @classmethod
    def _roles(cls, arns: tuple[str, ...]) -> tuple[str, ...]:
        for arn in arns:
            if not arn.startswith("arn:") or ":role/" not in arn or "*" in arn:
                raise ValueError(f"{arn} is no ARN of a role")
        return arns

    @model_validator(mode="after")
    def _a_job_ends_before_its_execution(self) -> CallAnalyticsSettings:
        # Identification, transcription and translation may each wait that long.
        if self.timeout_seconds <= 3 * self.job_timeout_seconds:
            raise ValueError("timeout_seconds must be more than three times job_timeout_seconds")
        return self


class CallAnalytics(cdk.Stack):
    """A hotel chain takes calls in several languages and wants to know what its guests say and feel.

    **Flow.** A recording under the prefix → S3 tells EventBridge → a rule puts the event into a queue → a function
    starts an execution, named after the object's version. The state machine has the version checked and put aside, has
    Transcribe identify the language (unless the upload's metadata tell it), then transcribe with the chain's
    vocabulary, the words filtered, the speakers told apart and personal data redacted; makes turns of the transcript;
    has Translate put them into the house language, hotel names untouched; has Comprehend find moods, names and phrases;
    and writes a report to S3, rows to DynamoDB, and on request an MP3 by Polly. What Transcribe and Translate do takes
    minutes: a state waits with a token, and an event that the job has ended brings it back.

    **Who reads what.** The unredacted transcripts (of identification, and beside the redacted ones) lie under keys of
    their own, and the bucket's policy lets nobody read them but the roles that a setting names. No function is among
    those, unless the settings have personal data analysed. No log and no execution holds a word of a call.

    **What if.** An event comes twice: the execution's name is taken. It cannot be delivered or started: it is a dead
    letter, and can be redriven. A file is no audio: its row says so. A job's event comes early, late, twice: token and
    end meet in a table, in any order. It never comes: after `job_timeout_seconds` the job is asked. A job fails, or a
    step does after its retries: the row has the reason, a topic tells. The language cannot be redacted: the call is
    withheld. An execution outlives its limits or is stopped: an alarm tells of the first, the row names the execution,
    and whoever starts the call again finds it open.

    **Cost** (us-east-1, without free tier; the pricing pages, read 2026-11-25): see the page's table. A thousand calls
    of five minutes, most of it for Transcribe: twice where the language has to be identified first.
    """

    Settings: ClassVar[type[CallAnalyticsSettings]] = CallAnalyticsSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: CallAnalyticsSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.key = self._key()
        self.bucket = self._bucket()
        self.resource_name, self.language_resources = self._language_resources()
        self.calls = table(self, "Calls", partition_key="call", encryption_key=self.key)
        self.turns = table(
            self, "Turns", partition_key="call", sort_key="turn", sort_key_type=NUMBER, encryption_key=self.key
        )
        self.jobs = table(self, "Jobs", partition_key="job", time_to_live="expires", encryption_key=self.key)
        self.upload_queue, self.upload_dead_letters = self._queue_pair("Upload")
        self.job_queue, self.job_dead_letters = self._queue_pair("JobEnd")
        # No message names a recording, or says what was said.
        self.alarm_topic = topic(self, "Alarms", email=settings.alarm_email, encryption_key=self.key)
        self.failures = topic(self, "Failures", encryption_key=self.key)
        self.upload_rule = self._upload_rule()
        self.job_rules = self._job_rules()

        self.intake = self._function("Intake", "intake", "Starts an execution for each uploaded recording")
        self._feed(self.intake, self.upload_queue)
        self.job_ended = self._job_ended()
        self._feed(self.job_ended, self.job_queue)
        self.admit = self._admit()
        self.await_job = self._await_job()
        self.read_transcript = self._read_transcript()
        self.translate_role = self._translate_role()
        self.translate = self._translate()
        self.analyse = self._analyse()
        self.report = self._report()
        self.speak = self._speak() if settings.spoken_summary != "never" else None
        self._keep_unredacted_apart()
        self.workflow_role = self._workflow_role()
        self.machine, self.machine_log = self._state_machine()
        self._let_functions_use_the_machine()

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
            description="Encrypts the calls, transcripts, messages and logs of one stack",
            queue_senders=["events.amazonaws.com"],
        )
        let_service_use(
            key,
            "delivery.logs.amazonaws.com",
            where={"kms:EncryptionContext:SourceArn": own_arn(self, "logs", "*")},
            actions=["kms:Decrypt"],
        )
        return key

    def _bucket(self) -> s3.Bucket:
        """Recordings, transcripts and reports, each under a prefix of its own."""
        expiring = [
            s3.LifecycleRule(prefix=prefix, expiration=cdk.Duration.days(7))
            for prefix in (MEDIA, WORK, TRANSLATE_IN, TRANSLATE_OUT, IDENTIFIED)
        ]
        kept = [
            s3.LifecycleRule(prefix=prefix, expiration=cdk.Duration.days(self.settings.kept_days))
            for prefix in (self.settings.upload_prefix, TRANSCRIPTS, OPEN, REPORTS, SUMMARIES)
        ]
        return upload_bucket(
            self,
            "Recordings",
            lifecycle_rules=[*expiring, *kept, old_versions_go()],
            target=self.target,
            encryption_key=self.key,
        )

    def _keep_unredacted_apart(self) -> None:
        """Whatever else a role may read of the bucket, transcripts with personal data are for the named ones."""
        readers = [*self.settings.unredacted_readers]
        if self._reads_unredacted:
            readers.append(self.read_transcript.role.role_arn)
        folders = [f"{IDENTIFIED}*", f"{OPEN}*", f"{TRANSCRIPTS}{JOB_PREFIX}*"]
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="UnredactedTranscripts",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                resources=[self.bucket.arn_for_objects(folder) for folder in folders],
                conditions={"ArnNotEquals": {"aws:PrincipalArn": readers}} if readers else None,
            )
        )

    def _language_resources(self) -> tuple[str, cdk.CustomResource]:
        """Vocabularies, filters and the terminology: CloudFormation has no type for them.

        (AWS CloudFormation, "AWS resource and property types reference", read 2026-11-25: nothing of Transcribe,
        nothing of Translate.) Their names end with a digest of what is in them; see
        `lambdas/call_analytics/language_resources`. Not under the stack's key: the names of hotels stand on their
        doors.
        """
        settings = self.settings
        translated = list(
            dict.fromkeys(
                [
                    *(TRANSLATED[code] for code in settings.languages),
                    settings.house_language,
                    "en",
                    VOICES[settings.summary_voice],
                ]
            )
        )
        content = {
            "Languages": list(settings.languages),
            "Hotels": list(settings.hotel_names),
            "Words": list(settings.filtered_words),
            "Translated": translated,
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{cdk.Aws.STACK_NAME}-{digest}"
        worker = self._function(
            "LanguageResources",
            "language_resources",
            "Makes and deletes vocabularies, vocabulary filters and the terminology",
            seconds=900,
        )
        mine = f"{cdk.Aws.STACK_NAME}-*"
        worker.allow(["transcribe:CreateVocabulary", "transcribe:CreateVocabularyFilter"], "*")
        worker.allow(
            ["transcribe:GetVocabulary", "transcribe:DeleteVocabulary"],
            own_arn(self, "transcribe", f"vocabulary/{mine}"),
        )
        worker.allow(["transcribe:DeleteVocabularyFilter"], own_arn(self, "transcribe", f"vocabulary-filter/{mine}"))
        worker.allow(
            ["translate:ImportTerminology", "translate:DeleteTerminology"],
            own_arn(self, "translate", f"terminology/{mine}"),
        )
        # Transcribe reads the table as the caller.
        worker.allow(["s3:GetObject", "s3:PutObject"], self.bucket.arn_for_objects(f"{VOCABULARIES}*"))
        worker.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        resource = cdk.CustomResource(
            self,
            "LanguageResourcesMade",
            resource_type="Custom::LanguageResources",
            service_token=worker.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={
                "Name": name,
                "Bucket": self.bucket.bucket_name,
                "Prefix": VOCABULARIES,
                **content,
            },
        )
        resource.node.add_dependency(worker)
        return name, resource

    # --- what comes in

    def _queue_pair(self, name: str) -> tuple[sqs.Queue, sqs.Queue]:
        """A queue and its dead-letter queue."""
        dead_letters = dead_letter_queue(self, f"{name}DeadLetters", encryption_key=self.key)
        queue = work_queue(
            self,
            f"{name}Queue",
            dead_letters=dead_letters,
            maximum_receives=self.settings.maximum_receives,
            function_timeout_seconds=QUICK_SECONDS,
            encryption_key=self.key,
        )
        return queue, dead_letters

    def _upload_rule(self) -> events.CfnRule:
        """Every object under the prefix, whatever its name: what is no audio is a result, with a reason."""
        rule = events.CfnRule(
            self,
            "Uploaded",
            description=f"Objects created under {self.settings.upload_prefix}",
            event_pattern=object_created(self.bucket, keys=[{"prefix": self.settings.upload_prefix}]),
            targets=[rule_target("Queue", self.upload_queue, self.upload_dead_letters)],
        )
        let_service_send("events.amazonaws.com", (self.upload_queue, self.upload_dead_letters), source=[rule.attr_arn])
        return rule

    def _job_rules(self) -> list[events.CfnRule]:
        """The ends of jobs: Transcribe's by the names that this stack gives them; Translate's events tell none."""
        transcribed = events.CfnRule(
            self,
            "TranscriptionEnded",
            description="Transcription jobs of this stack that have ended",
            event_pattern={
                "source": ["aws.transcribe"],
                "detail-type": ["Transcribe Job State Change"],
                "detail": {
                    "TranscriptionJobName": [{"prefix": self._job_prefix}],
                    "TranscriptionJobStatus": ["COMPLETED", "FAILED"],
                },
            },
            targets=[rule_target("Queue", self.job_queue, self.job_dead_letters)],
        )
        translated = events.CfnRule(
            self,
            "TranslationEnded",
            description="Translation jobs that have ended",
            event_pattern={
                "source": ["aws.translate"],
                "detail-type": ["Translate TextTranslationJob State Change"],
                "detail": {"jobStatus": ["COMPLETED", "COMPLETED_WITH_ERROR", "FAILED", "STOPPED"]},
            },
            targets=[rule_target("Queue", self.job_queue, self.job_dead_letters)],
        )
        rules = [transcribed, translated]
        let_service_send(
            "events.amazonaws.com",
            (self.job_queue, self.job_dead_letters),
            source=[rule.attr_arn for rule in rules],
        )
        return rules

    @property
    def _job_prefix(self) -> str:
        return f"{JOB_PREFIX}{cdk.Aws.STACK_NAME}-"

    # --- the functions, in the order in which a call meets them

    def _job_ended(self) -> PythonFunction:
        function = self._function(
            "JobEnded",
            "job_ended",
            "Answers the state that waits for a job which has ended",
            environment={"JOBS_TABLE": self.jobs.table_name},
        )
        function.allow(["dynamodb:UpdateItem"], self.jobs.table_arn)
        return function

    def _admit(self) -> PythonFunction:
        function = self._function(
            "Admit",
            "admit",
            "Checks an upload and puts its version aside for Transcribe",
            # Of a copy of 2 GB within S3.
            seconds=300,
            environment={"LANGUAGES": ",".join(self.settings.languages), "UPLOAD_PREFIX": self.settings.upload_prefix},
        )
        function.allow(["s3:GetObjectVersion"], self.bucket.arn_for_objects(f"{self.settings.upload_prefix}*"))
        function.allow(["s3:PutObject"], self.bucket.arn_for_objects(f"{MEDIA}*"))
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _await_job(self) -> PythonFunction:
        function = self._function(
            "AwaitJob",
            "await_job",
            "Keeps the token of a state that waits for a job",
            environment={"JOBS_TABLE": self.jobs.table_name},
        )
        function.allow(["dynamodb:UpdateItem"], self.jobs.table_arn)
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _read_transcript(self) -> PythonFunction:
        function = self._function(
            "ReadTranscript",
            "read_transcript",
            "Makes turns of a transcript",
            # A transcript of four hours has some 10 MB.
            seconds=120,
            memory_mib=1024,
            environment={"BUCKET": self.bucket.bucket_name},
        )
        readable = []
        if self._redacts:
            readable.append(f"{TRANSCRIPTS}redacted-*")
        if self._reads_unredacted:
            readable += [f"{OPEN}*", f"{IDENTIFIED}*"]
        function.allow(["s3:GetObject"], *(self.bucket.arn_for_objects(prefix) for prefix in readable))
        function.allow(["s3:PutObject"], self.bucket.arn_for_objects(f"{WORK}*"))
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _translate_role(self) -> iam.Role:
        """What Translate reads and writes a job's files as."""
        role = iam.Role(
            self,
            "TranslateRole",
            assumed_by=iam.ServicePrincipal(
                "translate.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
        )
        for actions, resource, conditions in (
            (["s3:GetObject"], self.bucket.arn_for_objects(f"{TRANSLATE_IN}*"), None),
            (["s3:PutObject"], self.bucket.arn_for_objects(f"{TRANSLATE_OUT}*"), None),
            (
                ["s3:ListBucket"],
                self.bucket.bucket_arn,
                {"StringLike": {"s3:prefix": [f"{TRANSLATE_IN}*", f"{TRANSLATE_OUT}*"]}},
            ),
            (["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn, None),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions))
        return role

    def _translate(self) -> PythonFunction:
        function = self._function(
            "Translate",
            "translate",
            "Translates the turns of a call, at once or by way of a job",
            seconds=600,
            memory_mib=512,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "HOUSE_LANGUAGE": self.settings.house_language,
                "TERMINOLOGY": self.resource_name,
            },
        )
        function.allow(["translate:TranslateText"], self._terminology_arn)
        function.allow(
            ["s3:GetObject"],
            self.bucket.arn_for_objects(f"{WORK}*"),
            self.bucket.arn_for_objects(f"{TRANSLATE_OUT}*"),
        )
        function.allow(
            ["s3:PutObject"],
            self.bucket.arn_for_objects(f"{WORK}*"),
            self.bucket.arn_for_objects(f"{TRANSLATE_IN}*"),
        )
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _analyse(self) -> PythonFunction:
        function = self._function(
            "Analyse",
            "analyse",
            "Has Comprehend find moods, names and phrases",
            seconds=600,
            memory_mib=512,
            environment={"BUCKET": self.bucket.bucket_name},
        )
        # These support no resource (Service Authorization Reference, "Amazon Comprehend").
        function.allow(
            [
                "comprehend:BatchDetectEntities",
                "comprehend:BatchDetectKeyPhrases",
                "comprehend:BatchDetectSentiment",
            ],
            "*",
        )
        function.allow(["s3:GetObject", "s3:PutObject"], self.bucket.arn_for_objects(f"{WORK}*"))
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _report(self) -> PythonFunction:
        function = self._function(
            "Report",
            "report",
            "Writes the report of a call and its rows",
            seconds=300,
            memory_mib=512,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "TURNS_TABLE": self.turns.table_name,
                "HOUSE_LANGUAGE": self.settings.house_language,
                "HOTEL_NAMES": "\n".join(self.settings.hotel_names),
            },
        )
        function.allow(["s3:GetObject"], self.bucket.arn_for_objects(f"{WORK}*"))
        function.allow(["s3:PutObject"], self.bucket.arn_for_objects(f"{REPORTS}*"))
        function.allow(["dynamodb:BatchWriteItem"], self.turns.table_arn)
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    def _speak(self) -> PythonFunction:
        voice = self.settings.summary_voice
        function = self._function(
            "Speak",
            "speak",
            "Speaks a summary of a call",
            seconds=120,
            memory_mib=512,
            environment={
                "BUCKET": self.bucket.bucket_name,
                "VOICE": voice,
                "VOICE_LANGUAGE": VOICES[voice],
                "ENGINE": "neural",
                "TERMINOLOGY": self.resource_name,
            },
        )
        function.allow(["polly:SynthesizeSpeech"], "*")
        if VOICES[voice] != "en":
            function.allow(["translate:TranslateText"], self._terminology_arn)
        function.allow(["s3:GetObject"], self.bucket.arn_for_objects(f"{REPORTS}*"))
        function.allow(["s3:PutObject"], self.bucket.arn_for_objects(f"{SUMMARIES}*"))
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        return function

    # --- the state machine

    @property
    def functions(self) -> list[PythonFunction]:
        """Those that a call meets, in that order."""
        found = [self.intake, self.admit, self.await_job, self.job_ended, self.read_transcript, self.translate]
        return [*found, self.analyse, self.report, *([self.speak] if self.speak else [])]

    @property
    def _redacts(self) -> bool:
        return self.settings.personal_data != "keep"

    @property
    def _reads_unredacted(self) -> bool:
        return self.settings.personal_data != "redact-or-withhold"

    @property
    def _terminology_arn(self) -> str:
        """What a translation is allowed on: the terminology that it uses."""
        return own_arn(self, "translate", f"terminology/{self.resource_name}")

    def _state_machine(self) -> tuple[stepfunctions.CfnStateMachine, logs.LogGroup]:
        """By its resource, not by CDK's construct: that one would grant the role wildcards of its own."""
        log_group = logs.LogGroup(
            self,
            "WorkflowLogs",
            retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = self.workflow_role
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
                            log_group_arn=log_group.log_group_arn
                        )
                    )
                ],
            ),
        )
        machine.node.add_dependency(role)
        machine.node.add_dependency(self.language_resources)
        return machine, log_group

    def _workflow(self) -> Workflow:
        settings = self.settings
        return Workflow(
            Parts(
                partition=self.partition,
                admit=self.admit.function.function_arn,
                await_job=self.await_job.function.function_arn,
                read_transcript=self.read_transcript.function.function_arn,
                translate=self.translate.function.function_arn,
                analyse=self.analyse.function.function_arn,
                report=self.report.function.function_arn,
                speak=self.speak.function.function_arn if self.speak else "",
                calls_table=self.calls.table_name,
                bucket=self.bucket.bucket_name,
                failure_topic=self.failures.topic_arn,
                key=self.key.key_arn,
                job_prefix=self._job_prefix,
                translate_role=self.translate_role.role_arn,
            ),
            Choices(
                languages=settings.languages,
                house_language=settings.house_language,
                personal_data=settings.personal_data,
                keep_unredacted=settings.keep_unredacted,
                redacted_types=settings.redacted_types,
                language_resources=self.resource_name,
                maximum_speakers=settings.maximum_speakers,
                translate_at_once_bytes=settings.translate_at_once_bytes,
                spoken_summary=settings.spoken_summary,
                job_timeout=settings.job_timeout_seconds,
                retry_attempts=settings.retry_attempts,
                retry_seconds=settings.retry_seconds,
                timeout=settings.timeout_seconds,
            ),
        )

    def _workflow_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "WorkflowRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
        )
        functions = [function for function in self.functions if function not in (self.intake, self.job_ended)]
        written = [f"{IDENTIFIED}*"]
        written += [f"{TRANSCRIPTS}*"] if self._redacts else []
        written += [f"{OPEN}*"] if self._reads_unredacted else []
        passed = {"StringEquals": {"iam:PassedToService": "translate.amazonaws.com"}}
        grants: list[tuple[Sequence[str], Sequence[str], Mapping[str, Any] | None]] = [
            (["lambda:InvokeFunction"], [function.function.function_arn for function in functions], None),
            (["dynamodb:UpdateItem"], [self.calls.table_arn], None),
            # Supports no resource; what the job reads and writes, it reads and writes as this role.
            (["transcribe:StartTranscriptionJob"], ["*"], None),
            (
                ["transcribe:GetTranscriptionJob"],
                [own_arn(self, "transcribe", f"transcription-job/{self._job_prefix}*")],
                None,
            ),
            (["s3:GetObject"], [self.bucket.arn_for_objects(f"{MEDIA}*")], None),
            (["s3:PutObject"], [self.bucket.arn_for_objects(prefix) for prefix in written], None),
            (["translate:StartTextTranslationJob"], [self._terminology_arn], None),
            (["translate:DescribeTextTranslationJob"], ["*"], None),
            (["iam:PassRole"], [self.translate_role.role_arn], passed),
            (["sns:Publish"], [self.failures.topic_arn], None),
            (["kms:Decrypt", "kms:GenerateDataKey"], [self.key.key_arn], None),
            (LOG_DELIVERY, ["*"], None),
            (TRACING, ["*"], None),
        ]
        for actions, resources, conditions in grants:
            role.add_to_policy(
                iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
            )
        return role

    def _let_functions_use_the_machine(self) -> None:
        """Beside the functions' roles: within them the grants would make a circle, as the machine names the functions.

        A token belongs to the machine's ARN (CDK's `grant_task_response` writes the same). The key, because the
        machine's data is encrypted with it (AWS Step Functions Developer Guide, "Data at rest encryption in Step
        Functions").
        """
        for function, action in (
            (self.intake, "states:StartExecution"),
            (self.await_job, "states:SendTaskSuccess"),
            (self.job_ended, "states:SendTaskSuccess"),
        ):
            policy = iam.Policy(self, f"{function.node.id}UsesWorkflow", roles=[function.role])
            policy.add_statements(iam.PolicyStatement(actions=[action], resources=[self.machine.attr_arn]))
        self.intake.function.add_environment("STATE_MACHINE_ARN", self.machine.attr_arn)
        for function in (self.intake, self.job_ended):
            function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)

    # --- what watches

    def _alarms(self) -> list[cloudwatch.Alarm]:
        """Every alarm tells the topic when it is raised and when it clears.

        Functions that the state machine calls have none of their own: what they fail at, an execution fails at, or is
        tried again.
        """
        described: list[tuple[str, str, cloudwatch.IMetric, int]] = [
            ("Failed", "A call could not be analysed: its row says why.", self._executions("ExecutionsFailed"), 1),
            ("TimedOut", "An execution outlived all its limits.", self._executions("ExecutionsTimedOut"), 1),
            ("Throttled", "Step Functions slows executions down.", self._executions("ExecutionThrottled"), 3),
            (
                "UndeliveredUploads",
                "An upload could not be started: mend, then redrive.",
                waiting_messages(self.upload_dead_letters),
                1,
            ),
            (
                "UndeliveredJobs",
                "A job's end was not heard: mend, then redrive.",
                waiting_messages(self.job_dead_letters),
                1,
            ),
        ]
        for function in (self.intake, self.job_ended):
            name = function.node.id
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

    def _executions(self, metric: str, statistic: str = "Sum", label: str | None = None) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/States",
            metric_name=metric,
            dimensions_map={"StateMachineArn": self.machine.attr_arn},
            period=cdk.Duration.minutes(1),
            statistic=statistic,
            label=label,
        )

    def _dashboard(self) -> cloudwatch.Dashboard:
        return dashboard(
            self,
            "Dashboard",
            alarms=self.alarms,
            graphs=[
                cloudwatch.GraphWidget(
                    title="Calls",
                    left=[
                        self._executions("ExecutionsStarted", label="begun"),
                        self._executions("ExecutionsSucceeded", label="ended"),
                        self._executions("ExecutionsFailed", label="failed"),
                    ],
                    right=[self._executions("ExecutionTime", "p90", "p90 of the time, milliseconds")],
                    width=12,
                ),
                cloudwatch.GraphWidget(
                    title="Messages waiting and given up",
                    left=[
                        self.upload_queue.metric_approximate_number_of_messages_visible(label="uploads waiting"),
                        self.job_queue.metric_approximate_number_of_messages_visible(label="job ends waiting"),
                        self.upload_dead_letters.metric_approximate_number_of_messages_visible(
                            label="uploads given up"
                        ),
                        self.job_dead_letters.metric_approximate_number_of_messages_visible(label="job ends given up"),
                    ],
                    width=12,
                ),
            ],
        )

    def _outputs(self) -> None:
        for name, value in {
            "BucketName": self.bucket.bucket_name,
            "UploadPrefix": self.settings.upload_prefix,
            "CallsTableName": self.calls.table_name,
            "TurnsTableName": self.turns.table_name,
            "JobsTableName": self.jobs.table_name,
            "StateMachineArn": self.machine.attr_arn,
            "JobPrefix": self._job_prefix,
            "UploadQueueUrl": self.upload_queue.queue_url,
            "UploadDeadLetterQueueUrl": self.upload_dead_letters.queue_url,
            "JobQueueUrl": self.job_queue.queue_url,
            "JobDeadLetterQueueUrl": self.job_dead_letters.queue_url,
            "UploadRuleName": self.upload_rule.ref,
            "TranscriptionRuleName": self.job_rules[0].ref,
            "TranslationRuleName": self.job_rules[1].ref,
            "FailureTopicArn": self.failures.topic_arn,
            "AlarmTopicArn": self.alarm_topic.topic_arn,
            "DashboardName": self.dashboard.dashboard_name,
            "WorkflowLogGroupName": self.machine_log.log_group_name,
            "HouseLanguage": self.settings.house_language,
            "HotelNames": "; ".join(self.settings.hotel_names),
            "WorkflowRoleName": self.workflow_role.role_name,
            "TranslationJobRoleName": self.translate_role.role_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)
        for function in self.functions:
            name = function.node.id
            cdk.CfnOutput(self, f"{name}FunctionName", value=function.function.function_name)
            cdk.CfnOutput(self, f"{name}RoleName", value=function.role.role_name)
            cdk.CfnOutput(self, f"{name}LogGroupName", value=function.log_group.log_group_name)

    # --- what functions and policies have in common

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
            timeout=cdk.Duration.seconds(seconds or QUICK_SECONDS),
            memory_mib=memory_mib,
            log_retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=self.key,
            environment={
                **(environment or {}),
                "POWERTOOLS_SERVICE_NAME": ARCHITECTURE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )

    def _feed(self, function: PythonFunction, queue: sqs.Queue) -> None:
        """Failed messages of a batch go back alone."""
        function.allow_polling(queue)
        poller(
            self,
            f"{function.node.id}Poller",
            queue=queue,
            function=function,
            batch_size=10,
            maximum_concurrency=2,
        )


# Of a function that makes a few short calls.
QUICK_SECONDS = 60
