"""Grants that no scenario uses, each acknowledged with its reason.

`python -m local permissions` compares what a deployed role may do with what its scenario did, and the tests fail on
a grant that nothing used. Some grants are right all the same: what is needed only after a failure, say. Such a grant is
named here, one action on one resource at a time. An entry that the scenario uses after all, or that is not granted any
more, fails the same tests, so that the table cannot rot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stacks.policy.wildcards import WITHOUT_RESOURCE

MOST_PER_ROLE = 3

# CDK makes a logical id of the path's names and eight hexadecimal digits of a hash (AWS CDK Developer Guide,
# "Identifiers and the AWS CDK", "Logical IDs").
HASH = re.compile(r"[0-9A-F]{8}$")
ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")


@dataclass(frozen=True)
class UnusedGrant:
    """One action that a role holds on one resource and that no scenario uses.

    `role` and `resource` are logical ids in the synthesized template, whole or without CDK's eight characters of hash;
    `role` may be a service that a resource's own policy lets in. What follows the resource's name in the ARN follows
    it here too (`Results/index/by-label`). `resource` is empty for a grant on `*` of an action that supports no
    resource. Any other grant on a pattern (`bucket/*`) cannot be acknowledged: use it or take it away. `refused` is one
    that the scenario asks for and that another policy refuses, as it should.
    """

    architecture: str
    role: str
    action: str
    resource: str
    reason: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.architecture}: {self.role} {self.action} on {self.resource or '*'}"


UNUSED_GRANTS: tuple[UnusedGrant, ...] = (
    UnusedGrant(
        architecture="private-network",
        role="InsideRole",
        action="translate:TranslateText",
        resource="",
        reason="The network has no endpoint for it: the grant shows that this alone is what stops the call.",
    ),
    UnusedGrant(
        architecture="private-network",
        role="OutsideRole",
        action="s3:GetObject",
        resource="Letters/proof/letter.txt",
        reason="The bucket refuses whoever comes another way than by its endpoint, whatever the role may.",
        refused=True,
    ),
    UnusedGrant(
        architecture="private-network",
        role="OutsideRole",
        action="s3:PutObject",
        resource="Letters/proof/letter.txt",
        reason="The bucket refuses whoever comes another way than by its endpoint, whatever the role may.",
        refused=True,
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="AwaitJobRole",
        action="kms:Decrypt",
        resource="Key",
        reason="Opens the table, whose key it is, and the state machine's data: the local cloud asks for neither.",
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="AwaitJobRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="For the state machine's data under this key; the local cloud asks for it by the machine's role alone.",
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="IntakeRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="For the state machine's data under this key; the local cloud asks for it by the machine's role alone.",
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="JobEndedRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="For the state machine's data under this key; the local cloud asks for it by the machine's role alone.",
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="UploadDeadLetters",
        reason="Takes the event when the queue cannot: its policy was changed, or its key is out of use.",
    ),
    UnusedGrant(
        architecture="call-analytics",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="JobEndDeadLetters",
        reason="Takes the end of a job when the queue cannot.",
    ),
    UnusedGrant(
        architecture="data-protection",
        role="ShareFileRole",
        action="s3:ListBucket",
        resource="Personal",
        reason="Lets S3 tell a missing file from a forbidden one; no request of its own asks for it.",
    ),
    UnusedGrant(
        architecture="audit",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes an event that the topic would not, which a test shows.",
    ),
    UnusedGrant(
        architecture="cost-guard",
        role="ScheduleRole",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes a call that the schedule could not make, which a test shows.",
    ),
    UnusedGrant(
        architecture="cost-guard",
        role="budgets.amazonaws.com",
        action="sns:Publish",
        resource="Reports",
        reason="Tells of the budget. Nothing is spent on the local cloud, so no budget speaks there.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="ReviewPageRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Step Functions wants it of who answers a machine whose data this key encrypts; it is not asked here.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="ResumeRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Step Functions wants it of who answers a machine whose data this key encrypts; it is not asked here.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="IntakeRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Step Functions wants it of who starts a machine whose data this key encrypts; it is not asked here.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="AskReviewerRole",
        action="states:SendTaskSuccess",
        resource="Workflow",
        reason="Takes up an answer whose delivery failed, when the reviewer is asked again.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="AskReviewerRole",
        action="states:SendTaskFailure",
        resource="Workflow",
        reason="Ends a review that nobody answered until its deadline.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="StartAnalysisRole",
        action="textract:GetDocumentAnalysis",
        resource="",
        reason="Asks a job whose message never came, at the second attempt.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="StartAnalysisRole",
        action="states:SendTaskSuccess",
        resource="Workflow",
        reason="Answers when the job's message came before its token.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="StartAnalysisRole",
        action="states:SendTaskFailure",
        resource="Workflow",
        reason="Ends the state when Textract refuses the document at once.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="UploadsDeadLetters",
        reason="Takes the event when the queue cannot: its policy was changed, or its key is out of use.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="EndsDeadLetters",
        reason="Takes the word of an execution's end when the queue of ends cannot.",
    ),
    UnusedGrant(
        architecture="document-processing",
        role="sns.amazonaws.com",
        action="sqs:SendMessage",
        resource="CompletedJobsDeadLetters",
        reason="Takes the word of an ended job when the queue of jobs cannot.",
    ),
    UnusedGrant(
        architecture="image-labeling",
        role="LabelImageRole",
        action="dynamodb:DeleteItem",
        resource="Idempotency",
        reason="Releases an image whose attempt failed, so that the next delivery may try at once.",
    ),
    UnusedGrant(
        architecture="image-labeling",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the event when the queue cannot: its policy was changed, or its key is out of use.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="ModelRole",
        action="kms:Decrypt",
        resource="Key",
        reason="Amazon S3 wants it of who writes a large capture in parts; they are written in one here.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="ModelRole",
        action="cloudwatch:PutMetricData",
        resource="",
        reason="Use of processor and memory, which SageMaker writes as this role; here it is kept without a call.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="NightRole",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the call of an evening or morning that cannot be made.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="NightRole",
        action="kms:Decrypt",
        resource="Key",
        reason="Opens the schedule, which this key encrypts, and the queue: the local cloud asks for the latter alone.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="NightRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="For the dead letter of a call that cannot be made.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the approval that cannot start a deployment: its role was changed, say.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="events.amazonaws.com",
        action="kms:Decrypt",
        resource="Key",
        reason="For the dead letter of an approval that cannot start a deployment.",
    ),
    UnusedGrant(
        architecture="realtime-endpoint",
        role="events.amazonaws.com",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="For the dead letter of an approval that cannot start a deployment.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="JobRole",
        action="cloudwatch:PutMetricData",
        resource="",
        reason="SageMaker measures a job's instance as the job's role; a process of this machine is no instance.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="PublishReportRole",
        action="s3:ListBucket",
        resource="Reports",
        reason="S3 tells only who may list that a file is missing; the local cloud tells everybody.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="ScheduleRole",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes an hour's call that the function did not.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="ScheduleRole",
        action="kms:Decrypt",
        resource="Key",
        reason="Opens the dead-letter queue for a call that the function did not take.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="ScheduleRole",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Encrypts a call that the function did not take.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the end of a job, or a drift, when its target cannot.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="events.amazonaws.com",
        action="kms:Decrypt",
        resource="Key",
        reason="Opens the dead-letter queue for an event that its target did not take.",
    ),
    UnusedGrant(
        architecture="model-monitor",
        role="events.amazonaws.com",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Encrypts an event that its target did not take.",
    ),
    UnusedGrant(
        architecture="speech-synthesis",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the event when the queue cannot: its policy was changed, or its key is out of use.",
    ),
    UnusedGrant(
        architecture="speech-synthesis",
        role="sns.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the notification of an ended task when the queue of ends cannot.",
    ),
    UnusedGrant(
        architecture="model-vault",
        role="ReplicaRole",
        action="kms:CreateKey",
        resource="",
        reason="A replica is made in the second region, where that is asked for too; here one permission decides.",
    ),
    UnusedGrant(
        architecture="training-pipeline",
        role="ProcessingRole",
        action="cloudwatch:PutMetricData",
        resource="",
        reason="SageMaker measures a job's instance as the job's role; a process of this machine is no instance.",
    ),
    UnusedGrant(
        architecture="training-pipeline",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes new data, or a failure, when its state machine cannot be started.",
    ),
    UnusedGrant(
        architecture="training-pipeline",
        role="events.amazonaws.com",
        action="kms:Decrypt",
        resource="Key",
        reason="Opens the dead-letter queue for new data, or a failure, whose state machine cannot be started.",
    ),
    UnusedGrant(
        architecture="training-pipeline",
        role="events.amazonaws.com",
        action="kms:GenerateDataKey",
        resource="Key",
        reason="Encrypts what goes into the dead-letter queue when a state machine cannot be started.",
    ),
)


def is_named(name: str, logical_id: str) -> bool:
    """Whether a name in the table is this logical id, whole or without its hash. The beginning of one is not enough."""
    return bool(name) and (name == logical_id or name == without_hash(logical_id))


def without_hash(logical_id: str) -> str:
    """The names of a construct's path, which people know, without what CDK appends."""
    return HASH.sub("", logical_id)


def faults(table: Sequence[UnusedGrant]) -> list[str]:
    """Say what is wrong with a table by itself: a wildcard, no role, no reason, an entry twice, too many a role."""
    found = []
    for entry in table:
        if any(sign in field for sign in "*?" for field in (entry.role, entry.action, entry.resource)):
            found.append(f"{entry}: acknowledged by wildcard; name one action and one resource")
        elif not ACTION.fullmatch(entry.action):
            found.append(f"{entry}: names no action")
        elif not entry.resource and entry.action not in WITHOUT_RESOURCE:
            found.append(f"{entry}: names no resource, and the action supports one")
        if entry.role in ("", "anyone"):
            found.append(f"{entry}: names no role")
        if not entry.reason.strip():
            found.append(f"{entry}: acknowledged without a reason")
    roles = [(entry.architecture, without_hash(entry.role)) for entry in table]
    grants = [(*role, e.action, without_hash(e.resource)) for role, e in zip(roles, table, strict=True)]
    for key, times in Counter(grants).items():
        if times > 1:
            found.append(f"{' '.join(key)}: acknowledged {times} times")
    for (architecture, role), times in Counter(roles).items():
        if times > MOST_PER_ROLE:
            found.append(f"{architecture}: {role} has {times} acknowledged grants, {MOST_PER_ROLE} are the most")
    return found
