"""What the scenario tests do to a deployed call-analytics stack, in words of the story.

Everything goes through AWS APIs. Only where a test must look into the machine, or hurry it, does it use the local
cloud's control API.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from local.cloud import LocalCloud
from scenarios.call_analytics import FINAL, Recording, Upload, call_of, report_of, row_of, upload
from scenarios.calls.recordings import BOOKING, HOTELS, Call, Line, Script, Secret, record
from tests import waiting
from tests.scenarios.driver import only_denials
from tests.scenarios.queues import TwoQueues

Row = dict[str, Any]
Found = TypeVar("Found")

ARCHITECTURE = "call-analytics"
# The house reads German, so that calls in English, which the voices speak, have to be translated.
SMALL: Mapping[str, Any] = {
    "languages": ["en-US", "es-US", "ja-JP"],
    "house_language": "de",
    "hotel_names": list(HOTELS),
    "retry_seconds": 1,
    "retry_attempts": 3,
    "maximum_receives": 2,
    "translate_at_once_bytes": 100,
    "job_timeout_seconds": 7200,
    "timeout_seconds": 86_400,
}
PATIENCE_SECONDS = 150.0

_SHORT = Script(
    "short",
    {"guest": "low"},
    (Line("guest", "My name is John Smith. I love Casa Lumora.", (Secret("NAME", "John Smith"),)),),
    ("Casa Lumora",),
)

_TALK = Script(
    "talk",
    {"agent": "high", "guest": "low"},
    (
        Line("agent", "Good morning, this is Hotel Marisol. How can I help you today?"),
        Line(
            "guest",
            "My name is John Smith. I would like to change my booking at Villa Kestrel.",
            (Secret("NAME", "John Smith"),),
        ),
    ),
    ("Hotel Marisol", "Villa Kestrel"),
)


@functools.cache
def booking() -> Call:
    """Five turns, two speakers."""
    return record(BOOKING)


@functools.cache
def talk() -> Call:
    """Two turns of two speakers: more text than is translated at once."""
    return record(_TALK)


@functools.cache
def short() -> Call:
    """One turn of a few seconds, for tests that are not about what is said."""
    return record(_SHORT)


class Operator(TwoQueues):
    """Uploads calls, waits for rows, and reads queues, executions, logs and grants of one stack."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.control = cloud.control
        self.outputs = outputs
        self.bucket = outputs["BucketName"]
        self.prefix = outputs["UploadPrefix"]
        self.s3 = cloud.client("s3")
        self.sqs = cloud.client("sqs")
        self.iam = cloud.client("iam")
        self.states = cloud.client("stepfunctions")

    # --- going in

    def key(self, name: str = "call.wav") -> str:
        """A key under the prefix that no other test uses."""
        return f"{self.prefix}{uuid.uuid4().hex[:8]}/{name}"

    def upload(
        self, audio: bytes | None = None, name: str = "call.wav", *, language: str = "en-US", spoken: bool = False
    ) -> Upload:
        """Put a recording, a short one if none is given; `language` empty has it identified."""
        body = short().wav() if audio is None else audio
        return upload(self.cloud, self.outputs, self.key(name), Recording(name, body, language, spoken))

    def quietly(self, audio: bytes | None = None) -> Upload:
        """Put a recording while the rule is off, for tests that send the events themselves."""
        with self.rule_off("UploadRuleName"):
            return self.upload(audio)

    @contextmanager
    def rule_off(self, output: str) -> Iterator[None]:
        events = self.cloud.client("events")
        events.disable_rule(Name=self.outputs[output])
        try:
            yield
        finally:
            events.enable_rule(Name=self.outputs[output])

    def event(self, uploaded: Upload) -> dict[str, Any]:
        """An "Object Created" event as EventBridge delivers it.

        Source: Amazon S3 User Guide, "EventBridge event message structure" (read 2026-11-25).
        """
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": self.cloud.account,
            "time": "2026-11-25T12:00:00Z",
            "region": self.cloud.region,
            "detail": {
                "bucket": {"name": self.bucket},
                "object": {"key": uploaded.key, "size": 1000, "version-id": uploaded.version, "sequencer": "0A"},
                "reason": "PutObject",
            },
        }

    def end_of(self, job: str, status: str = "COMPLETED") -> dict[str, Any]:
        """The event that a transcription has ended (Amazon Transcribe Developer Guide, "Using Amazon EventBridge")."""
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Transcribe Job State Change",
            "source": "aws.transcribe",
            "account": self.cloud.account,
            "detail": {"TranscriptionJobName": job, "TranscriptionJobStatus": status},
        }

    def send(self, output: str, *bodies: Mapping[str, Any] | str) -> None:
        """Put messages on a queue at once."""
        entries = [
            {"Id": str(number), "MessageBody": body if isinstance(body, str) else json.dumps(body)}
            for number, body in enumerate(bodies)
        ]
        self.sqs.send_message_batch(QueueUrl=self.outputs[output], Entries=entries)

    def start_job(self, uploaded: Upload, output: str = "transcripts/") -> str:
        """Start a call's transcription by hand, under the name that its execution will use; returns that."""
        job = f"{self.outputs['JobPrefix']}{uploaded.call}-redact"
        self.cloud.client("transcribe").start_transcription_job(
            TranscriptionJobName=job,
            LanguageCode="en-US",
            Media={"MediaFileUri": f"s3://{self.bucket}/{uploaded.key}"},
            OutputBucketName=self.bucket,
            OutputKey=f"{output}{job}.json",
            ContentRedaction={"RedactionType": "PII", "RedactionOutput": "redacted"},
        )
        return job

    def start_again(self, uploaded: Upload) -> None:
        """Start another execution for a call, as an operator would after a failure."""
        given = {"bucket": self.bucket, "key": uploaded.key, "version": uploaded.version, "call": uploaded.call}
        self.states.start_execution(stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps(given))

    # --- coming out

    def row(self, uploaded: Upload) -> Row | None:
        return row_of(self.cloud, self.outputs, uploaded.call)

    def report(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return report_of(self.cloud, self.outputs, row["report"])

    def wait_for(self, uploaded: Upload, status: str = "COMPLETED", *, hurry: bool = False, again: bool = False) -> Row:
        """The row of a call once it has this status; any other end fails at once, unless it is started `again`."""

        def reached() -> Row | None:
            row = self.row(uploaded)
            if row and not again and row["status"] in FINAL and row["status"] != status:
                raise AssertionError(f"{uploaded.key} is {row['status']}: {row.get('reason')}\n{self.diagnosis(row)}")
            return row if row and row["status"] == status else None

        return self.until(reached, f"{uploaded.key} to be {status}", hurry=hurry)

    def until(
        self, found: Callable[[], Found | None], what: str, *, seconds: float = PATIENCE_SECONDS, hurry: bool = False
    ) -> Found:
        """Wait for something. With `hurry` the cloud's clock runs ahead meanwhile, so that retries come soon."""
        meanwhile = (lambda: self.control.clock_advance(2)) if hurry else None
        return waiting.until(found, what, seconds=seconds, meanwhile=meanwhile)

    def never(self, found: Callable[[], Any], seconds: float = 2.0) -> bool:
        """Whether something stays away for a while."""
        return waiting.never(found, seconds)

    def execution(self, uploaded: Upload) -> str:
        """The ARN of the execution that the upload itself started."""
        return self.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:") + f":{uploaded.call}"

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def states_entered(self, execution: str) -> list[str]:
        """The names of the states that an execution came through, in order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.history(execution)
            if "stateEnteredEventDetails" in event
        ]

    def diagnosis(self, row: Mapping[str, Any]) -> str:
        """What an execution says of its failures."""
        found = []
        for event in self.history(row["execution"]):
            found += [str(value)[:500] for name, value in event.items() if "Failed" in name or "TimedOut" in name]
        return "\n".join(found)

    def calls(self, operation: str) -> int:
        """How many attempts of an operation ("transcribe.StartTranscriptionJob") the cloud got since it started."""
        return self.control.calls().get(operation, 0)

    def jobs(self, uploaded: Upload) -> list[str]:
        """The transcription jobs of a call."""
        prefix = self.outputs["JobPrefix"]
        found = self.cloud.client("transcribe").list_transcription_jobs(
            JobNameContains=f"{prefix}{uploaded.call}", MaxResults=100
        )
        return [one["TranscriptionJobName"] for one in found["TranscriptionJobSummaries"]]

    def wait_row(self, job: str) -> Row:
        """What is known of a job that is, or will be, waited for."""
        answer = self.cloud.client("dynamodb").get_item(
            TableName=self.outputs["JobsTableName"], Key={"job": {"S": job}}, ConsistentRead=True
        )
        return {name: str(value.get("S", value.get("N"))) for name, value in answer.get("Item", {}).items()}

    def keys(self, prefix: str) -> list[str]:
        """The keys of the bucket under a prefix."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    # --- queues

    def empty(self) -> bool:
        """Whether nothing waits in the two queues, nor is being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return all(
            int(count) == 0
            for queue in ("UploadQueueUrl", "JobQueueUrl")
            for count in self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)[
                "Attributes"
            ].values()
        )

    def clean(self) -> None:
        """Take away faults, and messages that another test left."""
        self.control.faults_clear()
        for queue in ("UploadQueueUrl", "UploadDeadLetterQueueUrl", "JobQueueUrl", "JobDeadLetterQueueUrl"):
            self.sqs.purge_queue(QueueUrl=self.outputs[queue])

    # --- grants

    @contextmanager
    def without(self, role: str, action: str) -> Iterator[None]:
        """Take one action away from a role of the stack ("Admit"), by editing its policies as an operator would."""
        name_of_role = self.outputs[f"{role}RoleName"]
        before = {
            name: self.iam.get_role_policy(RoleName=name_of_role, PolicyName=name)["PolicyDocument"]
            for name in self.iam.list_role_policies(RoleName=name_of_role)["PolicyNames"]
        }
        held = 0
        try:
            for name, document in before.items():
                kept = []
                for statement in document["Statement"]:
                    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    held += action in actions
                    if left := [other for other in actions if other != action]:
                        kept.append({**statement, "Action": left})
                if kept:
                    self._put(name_of_role, name, {**document, "Statement": kept})
                else:
                    self.iam.delete_role_policy(RoleName=name_of_role, PolicyName=name)
            assert held, f"{role} does not hold {action}"
            yield
        finally:
            for name, document in before.items():
                self._put(name_of_role, name, document)

    def _put(self, role: str, name: str, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    @contextmanager
    def shut(self, output: str) -> Iterator[None]:
        """Take away every permission that a queue's own policy gives; what it forbids stays."""
        url = self.outputs[output]
        before = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": only_denials(before)})
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": before})

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Take away every permission that the policy of the alarms' topic gives; what it forbids stays."""
        sns, topic = self.cloud.client("sns"), self.outputs["AlarmTopicArn"]
        before = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=only_denials(before))
        try:
            yield
        finally:
            sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=before)

    def denied(self, role: str, action: str, since: int) -> bool:
        """Whether a role of the stack was refused an action after a decision."""
        name = self.outputs[f"{role}RoleName"]
        return any(
            (decision["role"], decision["action"], decision["allowed"]) == (name, action, False)
            for decision in self.control.decisions(since=since)
        )

    def log_groups(self) -> list[str]:
        """All log groups of the stack, by its outputs."""
        return [group for name, group in self.outputs.items() if name.endswith("LogGroupName")]

    def log_lines(self, group: str) -> list[str]:
        pages = self.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def traces(self, name: str) -> set[str]:
        """Ids of the segments of the last hour that bear the name of a function or a state machine."""
        # Segments bear the time of the machine or of the cloud, whose clock tests move.
        now, client = time.time(), self.cloud.client("xray")
        pages = client.get_paginator("get_trace_summaries").paginate(
            StartTime=now - 3600, EndTime=now + self.control.clock() + 60
        )
        traces = [summary["Id"] for page in pages for summary in page["TraceSummaries"]]
        segments = [
            json.loads(segment["Document"])
            for index in range(0, len(traces), 5)
            for trace in client.batch_get_traces(TraceIds=traces[index : index + 5])["Traces"]
            for segment in trace["Segments"]
        ]
        return {segment["id"] for segment in segments if segment["name"] == name}


__all__ = ["ARCHITECTURE", "SMALL", "Operator", "booking", "call_of", "short"]
