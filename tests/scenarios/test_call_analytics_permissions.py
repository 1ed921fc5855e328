"""Understand recorded calls: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import call_analytics
from scenarios.call_analytics import Recording
from tests.scenarios.operator import ARCHITECTURE, SMALL, Operator, booking, short


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
    since = max((decision["seq"] for decision in cloud.control.decisions()), default=0)
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        recordings = [
            Recording("large.wav", booking().wav(), "en-US"),
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


@pytest.mark.parametrize(("role", "action", "kind"), PERMISSIONS, ids=[f"{r}-{a}" for r, a, _ in PERMISSIONS])
def test_without_a_permission_of_a_role_the_call_fails_and_says_so(
    operator: Operator, role: str, action: str, kind: str
) -> None:
    # Given a role that lost one permission
    audio = booking().wav() if kind == "large" else short().wav()
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


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "kms:Decrypt"])
def test_without_the_role_of_the_job_nothing_is_translated(operator: Operator, action: str) -> None:
    # Given the role as which Translate reads and writes, without one of its permissions
    outputs = {**operator.outputs, "TranslationRoleName": operator.outputs["TranslationJobRoleName"]}
    with Operator(operator.cloud, outputs).without("Translation", action):
        # When a large call is uploaded, Then it fails, at the job or before it
        row = operator.wait_for(operator.upload(booking().wav()), "FAILED", hurry=True)
        assert row["reason"]["code"].startswith(("Translat", "TranslationFailed"))
