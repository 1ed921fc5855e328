"""Understand recorded calls: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import call_analytics
from scenarios.call_analytics import Recording, Upload
from tests.local.emulated import last_sequence, make_queue, messages, policy
from tests.scenarios.operator import ARCHITECTURE, SMALL, Operator, short, talk
from tests.scenarios.removals import of_each_role, of_one_role


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=ARCHITECTURE)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud) -> Life:
    """One life: a large call, a short one with a summary, one that is no audio, one that fails."""
    name = f"life-calls-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: dict(SMALL)})
    since = cloud.control.last_decision()
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        recordings = [
            Recording("large.wav", talk().wav(), "en-US"),
            Recording("short.wav", short().wav(), spoken=True),
            Recording("broken.wav", b"no audio at all"),
        ]
        done = call_analytics.run(cloud, outputs, recordings)
        assert done.complete, [(call.status, call.reason) for call in done.calls]
        operator = Operator(cloud, outputs)
        cloud.control.faults_add(service="comprehend", operation="BatchDetectEntities", kind="internal")
        operator.wait_for(operator.upload(), "FAILED", hurry=True)
        cloud.control.faults_clear()
        # One whose job has ended before anybody waits for it.
        early = operator.quietly()
        job = operator.start_job(early)
        operator.until(lambda: "job_status" in operator.wait_row(job), "the end of the job to be noted")
        operator.send("UploadQueueUrl", operator.event(early))
        operator.wait_for(early)
        operator.until(operator.empty, "the queues to be empty")
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        cloud.control.faults_clear()
        destroy(cloud, name)
    return Life(grants, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert used == {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}


# Role, action, and the call that needs it: a short one, or a large one, which is translated by a job.
PERMISSIONS = [
    ("Workflow", "lambda:InvokeFunction", "short"),
    ("Workflow", "transcribe:StartTranscriptionJob", "short"),
    ("Workflow", "transcribe:GetTranscriptionJob", "short"),
    ("Workflow", "s3:GetObject", "short"),
    ("Workflow", "s3:PutObject", "short"),
    ("Workflow", "translate:StartTextTranslationJob", "large"),
    ("Workflow", "translate:DescribeTextTranslationJob", "large"),
    ("Workflow", "iam:PassRole", "large"),
    ("Admit", "s3:GetObjectVersion", "short"),
    ("Admit", "s3:PutObject", "short"),
    ("Admit", "kms:Decrypt", "short"),
    ("AwaitJob", "dynamodb:UpdateItem", "short"),
    ("ReadTranscript", "s3:GetObject", "short"),
    ("ReadTranscript", "s3:PutObject", "short"),
    ("Translate", "translate:TranslateText", "short"),
    ("Translate", "s3:GetObject", "short"),
    ("Translate", "s3:PutObject", "short"),
    ("Analyse", "comprehend:BatchDetectEntities", "short"),
    ("Analyse", "comprehend:BatchDetectKeyPhrases", "short"),
    ("Analyse", "comprehend:BatchDetectSentiment", "short"),
    ("Report", "s3:GetObject", "short"),
    ("Report", "s3:PutObject", "short"),
    ("Report", "dynamodb:BatchWriteItem", "short"),
    ("Speak", "polly:SynthesizeSpeech", "short"),
    ("Speak", "s3:GetObject", "short"),
    ("Speak", "s3:PutObject", "short"),
]


# What is not told as a denial. Step Functions names an error that a service's model does not list after the service, as
# denials are; Transcribe says of media and output what it says of any that it cannot use.
TOLD_OTHERWISE = {
    ("Workflow", "lambda:InvokeFunction"): "Lambda.AWSLambdaException",
    ("Workflow", "transcribe:StartTranscriptionJob"): "Transcribe.TranscribeException",
    ("Workflow", "transcribe:GetTranscriptionJob"): "Transcribe.TranscribeException",
    ("Workflow", "s3:GetObject"): "Transcribe.BadRequestException",
    ("Workflow", "s3:PutObject"): "TranscriptionFailed",
    ("Workflow", "translate:StartTextTranslationJob"): "Translate.TranslateException",
    ("Workflow", "translate:DescribeTextTranslationJob"): "Translate.TranslateException",
    ("Workflow", "iam:PassRole"): "Translate.TranslateException",
}


@pytest.mark.parametrize(
    ("role", "action", "kind"), of_each_role(PERMISSIONS), ids=[f"{r}-{a}" for r, a, _ in PERMISSIONS]
)
def test_without_a_permission_of_a_role_the_call_fails_and_says_so(
    operator: Operator, role: str, action: str, kind: str
) -> None:
    # Given a role that lost one permission
    audio = talk().wav() if kind == "large" else short().wav()
    with operator.without(role, action):
        # When a call is uploaded that needs it
        uploaded = operator.upload(audio, spoken=True)
        # Then its row says that it failed, and why
        row = operator.wait_for(uploaded, "FAILED", hurry=True)
        code, message = row["reason"]["code"], row["reason"]["message"]
        assert "AccessDenied" in code or code == TOLD_OTHERWISE.get((role, action)), f"{code}: {message}"
    # When the permission is back and the call is started again, Then it is analysed
    operator.start_again(uploaded)
    operator.wait_for(uploaded, again=True)


def test_without_permission_to_start_the_event_is_kept(operator: Operator) -> None:
    # Given a function that may not start executions any more
    with operator.without("Intake", "states:StartExecution"):
        # When a recording is uploaded, Then its event ends in the dead-letter queue, and no row comes
        uploaded = operator.upload(b"no audio, for that is quick enough")

        def given_up() -> bool:
            found = operator.letters("UploadDeadLetterQueueUrl")
            if not found and operator.control.health()["batches"] == 0:
                operator.control.clock_advance(361)
            return bool(found)

        operator.until(given_up, "a dead letter")
        assert operator.row(uploaded) is None
    # When the permission is back and the message is redriven, Then it is done
    operator.redrive("UploadDeadLetterQueueUrl")
    operator.wait_for(uploaded, "REJECTED")


@pytest.mark.parametrize("action", of_one_role(["s3:GetObject", "s3:ListBucket", "s3:PutObject", "kms:Decrypt"]))
def test_without_the_role_of_the_job_nothing_is_translated(operator: Operator, action: str) -> None:
    # Given the role as which Translate reads and writes, without one of its permissions
    outputs = {**operator.outputs, "TranslationRoleName": operator.outputs["TranslationJobRoleName"]}
    with Operator(operator.cloud, outputs).without("Translation", action):
        # When a large call is uploaded, Then it fails, at the job or before it
        row = operator.wait_for(operator.upload(talk().wav()), "FAILED", hurry=True)
        assert row["reason"]["code"].startswith(("Translat", "TranslationFailed"))


# --- what delivers, reads queues, logs and traces ---------------------------------------------------------------------

# Refused at the first state, so that a test of what happens around it is quick.
SILENT = b"no audio, for that is quick enough"


def test_without_the_policy_of_a_queue_an_upload_is_kept(operator: Operator) -> None:
    # Given a queue whose policy lets EventBridge in no longer
    with operator.shut("UploadQueueUrl"):
        # When a recording is uploaded, Then its event is with the dead letters, and no row comes
        uploaded = operator.upload(SILENT)
        (letter,) = operator.until(lambda: operator.letters("UploadDeadLetterQueueUrl"), "a dead letter")
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
        assert operator.row(uploaded) is None
    # When the policy is back and the event is sent again, Then it is done
    operator.send("UploadQueueUrl", letter["Body"])
    operator.wait_for(uploaded, "REJECTED")


def test_without_the_policy_of_a_queue_the_end_of_a_job_is_kept(operator: Operator) -> None:
    # Given a queue whose policy lets EventBridge in no longer
    with operator.shut("JobQueueUrl"):
        # When a job ends, Then its end is with the dead letters, and nobody knows of it
        job = operator.start_job(operator.quietly(SILENT))
        (letter,) = operator.until(lambda: operator.letters("JobDeadLetterQueueUrl"), "a dead letter")
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
        assert "job_status" not in operator.wait_row(job)
    # When the policy is back and the event is sent again, Then it is noted
    operator.send("JobQueueUrl", letter["Body"])
    assert operator.until(lambda: operator.wait_row(job).get("job_status"), "the end to be noted") == "FAILED"


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "kms:Decrypt"])
def test_without_its_permissions_an_upload_waits_in_the_queue(operator: Operator, action: str) -> None:
    # Given a function that may not read its queue any more
    since = last_sequence(operator.cloud)
    with operator.without("Intake", action):
        # When a recording is uploaded, Then its message stays
        uploaded = operator.upload(SILENT)
        operator.until(lambda: operator.denied("Intake", action, since), "the poller to be refused")
        assert not operator.empty()
        assert operator.row(uploaded) is None
    # When the permission is back, Then it is done
    operator.wait_for(uploaded, "REJECTED")


def test_without_its_permissions_the_end_of_a_job_waits_in_the_queue(operator: Operator) -> None:
    # Given a function that may not read its queue any more
    since, job = last_sequence(operator.cloud), f"{operator.outputs['JobPrefix']}{uuid.uuid4().hex}-redact"
    with operator.without("JobEnded", "sqs:ReceiveMessage"):
        # When a job's end comes, Then its message stays
        operator.send("JobQueueUrl", operator.end_of(job))
        operator.until(lambda: operator.denied("JobEnded", "sqs:ReceiveMessage", since), "the poller to be refused")
        assert not operator.empty()
        assert operator.wait_row(job) == {}
    # When the permission is back, Then it is noted
    operator.until(lambda: operator.wait_row(job), "the end to be noted")


def test_without_permission_to_note_the_end_of_a_job_it_is_kept(operator: Operator) -> None:
    # Given a function that may not write any more
    job = f"{operator.outputs['JobPrefix']}{uuid.uuid4().hex}-redact"
    with operator.without("JobEnded", "dynamodb:UpdateItem"):
        # When a job's end comes, Then it is with the dead letters after its attempts
        operator.send("JobQueueUrl", operator.end_of(job))

        def given_up() -> bool:
            found = operator.letters("JobDeadLetterQueueUrl")
            if not found and operator.control.health()["batches"] == 0:
                operator.control.clock_advance(361)
            return bool(found)

        operator.until(given_up, "a dead letter")
    # When the permission is back and the message is redriven, Then it is noted
    operator.redrive("JobDeadLetterQueueUrl")
    operator.until(lambda: operator.wait_row(job), "the end to be noted")


def test_without_permission_to_delete_a_message_comes_back(operator: Operator) -> None:
    # Given a function that may not delete from its queue any more
    since = last_sequence(operator.cloud)
    with operator.without("Intake", "sqs:DeleteMessage"):
        # When a recording is uploaded, Then it is done, and its message is not gone
        operator.wait_for(operator.upload(SILENT), "REJECTED")
        operator.until(lambda: operator.denied("Intake", "sqs:DeleteMessage", since), "the poller to be refused")
        assert not operator.empty()
    # When the permission is back, Then it goes at its next visit
    operator.control.clock_advance(361)
    operator.until(operator.empty, "the queue to be empty")


def failed(operator: Operator, uploaded: Upload) -> bool:
    """Whether the execution of an upload is there, and has failed."""
    with contextlib.suppress(operator.states.exceptions.ExecutionDoesNotExist):
        found = operator.states.describe_execution(executionArn=operator.execution(uploaded))
        return bool(found["status"] == "FAILED")
    return False


@pytest.mark.parametrize("action", ["dynamodb:UpdateItem", "kms:GenerateDataKey"])
def test_without_what_every_execution_needs_it_fails_before_there_is_a_row(operator: Operator, action: str) -> None:
    # Given a workflow that lost one permission
    with operator.without("Workflow", action):
        # When a recording is uploaded, Then its execution fails
        uploaded = operator.upload(SILENT)
        operator.until(lambda: failed(operator, uploaded), "the execution to fail", hurry=True)
        assert operator.row(uploaded) is None
    # When the permission is back and the call is started again, Then it is done
    operator.start_again(uploaded)
    operator.wait_for(uploaded, "REJECTED")


def test_without_its_log_permission_a_function_runs_in_silence(operator: Operator) -> None:
    # Given a function that may not write its log any more
    since, group = last_sequence(operator.cloud), operator.outputs["AdmitLogGroupName"]
    with operator.without("Admit", "logs:PutLogEvents"):
        # When a recording is uploaded, Then it is done, and nothing is logged
        before = len(operator.log_lines(group))
        operator.wait_for(operator.upload(SILENT), "REJECTED")
        operator.until(lambda: operator.denied("Admit", "logs:PutLogEvents", since), "the log to be refused")
        assert len(operator.log_lines(group)) == before
    # When the permission is back, Then the next one is logged
    operator.wait_for(operator.upload(SILENT), "REJECTED")
    operator.until(lambda: len(operator.log_lines(group)) > before, "new log lines")


def test_without_its_log_permission_a_failure_of_the_workflow_is_not_logged(operator: Operator) -> None:
    # Given a workflow that logs failures, and that fails at its first row
    group = operator.outputs["WorkflowLogGroupName"]

    def fail() -> None:
        uploaded = operator.upload(SILENT)
        operator.until(lambda: failed(operator, uploaded), "the execution to fail", hurry=True)

    with operator.without("Workflow", "dynamodb:UpdateItem"):
        with operator.without("Workflow", "logs:CreateLogDelivery"):
            # When it fails and may not log, Then nothing is logged
            before = len(operator.log_lines(group))
            fail()
            assert len(operator.log_lines(group)) == before
        # When the permission is back, Then the next failure is
        fail()
        operator.until(lambda: len(operator.log_lines(group)) > before, "new log lines")


@pytest.mark.parametrize("role", ["Admit", "Workflow"])
def test_without_its_tracing_permission_no_trace_is_kept(operator: Operator, role: str) -> None:
    # Given a function, or the workflow, that may not send traces any more
    since = last_sequence(operator.cloud)
    name = operator.outputs["StateMachineArn" if role == "Workflow" else f"{role}FunctionName"].rpartition(":")[2]
    with operator.without(role, "xray:PutTraceSegments"):
        # When a recording is uploaded, Then it is done, and no trace of it is kept
        before = operator.traces(name)
        operator.wait_for(operator.upload(SILENT), "REJECTED")
        operator.until(lambda: operator.denied(role, "xray:PutTraceSegments", since), "the trace to be refused")
        assert operator.traces(name) == before
    # When the permission is back, Then the next one is traced
    operator.wait_for(operator.upload(SILENT), "REJECTED")
    operator.until(lambda: operator.traces(name) - before, "a new trace")


@pytest.fixture
def heard(operator: Operator) -> Iterator[Callable[[], int]]:
    """How many messages the alarms' topic told somebody who listens, since the last look."""
    url, arn = make_queue(operator.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    operator.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns = operator.cloud.client("sns")
    subscription = sns.subscribe(
        TopicArn=operator.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]

    def look() -> int:
        found = messages(operator.cloud, url)
        for message in found:
            operator.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found)

    yield look
    sns.unsubscribe(SubscriptionArn=subscription)
    operator.sqs.delete_queue(QueueUrl=url)


def test_without_the_policy_of_the_topic_nobody_is_told_of_an_alarm(
    operator: Operator, heard: Callable[[], int]
) -> None:
    # Given a quiet stack whose topic lets no alarm in any more
    def states_a_minute_later() -> set[str]:
        operator.control.clock_advance(60)
        alarms = operator.control.evaluate_alarms()
        return {state for name, state in alarms.items() if name.startswith(f"{ARCHITECTURE}-UndeliveredUploadsAlarm")}

    operator.control.clock_advance(600)
    assert states_a_minute_later() == {"OK"}
    heard()
    with operator.mute():
        # When a message is given up, Then the alarm is raised, and nobody hears of it
        operator.send("UploadDeadLetterQueueUrl", "given up")
        assert states_a_minute_later() == {"ALARM"}
        assert heard() == 0
    # When the policy is back and the message is gone, Then the end of the alarm is told
    operator.clean()
    assert states_a_minute_later() == {"OK"}
    assert heard() == 1
