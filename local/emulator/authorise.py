"""Authorises and records what services do on somebody's behalf.

The emulator's gateway authorises HTTP requests only. What a service then does by itself, on behalf of a role or in its
own name, goes through `act_as` here. `PATHS` lists those paths: each has a test in which the permission is taken away
and the flow stops. A path that is not listed is not authorised, and must not be reported as if it were. Where a service
acts through a request of its own (`gateway`), the emulator's gateway authorises that request as it does any other, and
records it as such.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Path:
    """A service-side path: who acts, which actions it needs, and what happens when one is denied.

    The actions of a `gateway` path are examples: it takes whatever action the request is.
    """

    name: str
    actor: str
    actions: tuple[str, ...]
    when_denied: str
    gateway: bool = False


PATHS: Mapping[str, Path] = {
    path.name: path
    for path in (
        Path(
            "rule-to-queue",
            "events.amazonaws.com, by the queue's policy",
            ("sqs:SendMessage",),
            "the event goes to the target's own dead-letter queue, if that one's policy lets it in",
        ),
        Path(
            "rule-to-topic",
            "events.amazonaws.com, by the topic's policy",
            ("sns:Publish",),
            "the event goes to the target's own dead-letter queue, if that one's policy lets it in",
        ),
        Path(
            "queue-poller",
            "the function's role",
            ("sqs:ReceiveMessage", "sqs:GetQueueAttributes", "sqs:DeleteMessage"),
            "no message is received, or a processed one is not deleted and comes back",
        ),
        Path(
            "log-delivery",
            "the function's role",
            ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
            "the function runs, its output is lost",
        ),
        Path(
            "tracing",
            "the function's role",
            ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
            "the function runs; its segments are lost, or its telemetry is",
        ),
        Path(
            "alarm-to-topic",
            "cloudwatch.amazonaws.com, by the topic's policy",
            ("sns:Publish",),
            "the alarm changes state, nobody is told",
        ),
        Path(
            "topic-to-queue",
            "sns.amazonaws.com, by the queue's policy",
            ("sqs:SendMessage",),
            "the subscription gets nothing",
        ),
        Path(
            "customer-key",
            "the caller, or the service that delivers, by the key's policy",
            ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
            "the request on the encrypted resource fails with KMS AccessDenied, or the delivery is refused",
        ),
        Path(
            "access-logs",
            "logging.s3.amazonaws.com, by the policy of the bucket that takes the logs",
            ("s3:PutObject",),
            "requests are answered as before, their records are lost",
        ),
        Path(
            "replication",
            "the role of the bucket's replication",
            (
                "s3:GetReplicationConfiguration",
                "s3:ListBucket",
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
                "s3:GetObjectRetention",
                "s3:GetObjectLegalHold",
                "s3:ReplicateObject",
                "s3:ReplicateTags",
            ),
            "the object is written, its replication status is FAILED",
        ),
        Path(
            "service-role",
            "the service that is handed a role, by the role's trust policy",
            ("sts:AssumeRole",),
            "the request that hands the role over fails with AccessDeniedException, an execution at its first task",
        ),
        Path(
            "function-network",
            "the function's role",
            ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"),
            "a function cannot be put into a VPC: it is not made, or not changed",
        ),
        Path(
            "job-network",
            "the role of the job or the model",
            (
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ),
            "a job or a model with a VPC is refused",
        ),
        Path(
            "service-to-function",
            "S3, SNS, EventBridge, API Gateway or Config, by the function's policy",
            ("lambda:InvokeFunction",),
            "the function is not invoked; a rule's event goes to the target's dead-letter queue, an API's caller gets "
            "500",
        ),
        Path(
            "failed-invocation",
            "the function's role",
            ("sqs:SendMessage", "sns:Publish"),
            "an asynchronous event that failed is lost instead of going to the dead-letter queue or destination",
        ),
        Path(
            "state-machine-logs",
            "the state machine's role",
            (
                "logs:CreateLogDelivery",
                "logs:GetLogDelivery",
                "logs:UpdateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:DescribeResourcePolicies",
                "logs:DescribeLogGroups",
            ),
            "a state machine with a log group cannot be made; one that is there runs and logs nothing",
        ),
        Path(
            "state-machine-traces",
            "the state machine's role",
            (
                "xray:PutTraceSegments",
                "xray:PutTelemetryRecords",
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
            ),
            "the execution leaves no trace",
        ),
        Path(
            "api-logs",
            "the role in the account's API Gateway settings",
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            "requests are answered, the access log lacks them",
        ),
        Path(
            "state-machine-task",
            "the state machine's role",
            (
                "lambda:InvokeFunction",
                "sqs:SendMessage",
                "sns:Publish",
                "dynamodb:GetItem",
                "events:PutEvents",
                "s3:GetObject",
                "secretsmanager:GetSecretValue",
                "rekognition:DetectLabels",
            ),
            "the task fails with the service's own denial",
            gateway=True,
        ),
        Path(
            "rule-to-state-machine",
            "the role of the rule's target",
            ("states:StartExecution",),
            "the event goes to the target's own dead-letter queue, if that one's policy lets it in",
            gateway=True,
        ),
        Path(
            "rule-to-pipeline",
            "the role of the rule's target",
            ("sagemaker:StartPipelineExecution",),
            "the event goes to the target's own dead-letter queue, if that one's policy lets it in",
            gateway=True,
        ),
        Path(
            "schedule-to-target",
            "the role of the schedule's target",
            (
                "lambda:InvokeFunction",
                "states:StartExecution",
                "sqs:SendMessage",
                "sagemaker:StartPipelineExecution",
            ),
            "the call goes to the target's dead-letter queue, if the role may send there; else it is lost",
            gateway=True,
        ),
        Path(
            "pipeline-step",
            "the pipeline's role",
            ("sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob", "iam:PassRole"),
            "the step fails, and tells which permission it lacks",
            gateway=True,
        ),
        Path(
            "sagemaker-job",
            "the job's role",
            ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "logs:CreateLogStream", "logs:PutLogEvents"),
            "the job fails; without those on logs its output is lost",
            gateway=True,
        ),
        Path(
            "trail-delivery",
            "cloudtrail.amazonaws.com, by the bucket's policy",
            ("s3:GetBucketAcl", "s3:PutObject"),
            "a trail cannot be made; one that is there keeps its records for later, and its status says why",
        ),
        Path(
            "nested-execution",
            "the state machine's role",
            ("events:PutTargets", "events:PutRule", "events:DescribeRule"),
            "a task that waits for another execution (`.sync`) fails",
        ),
    )
}

Evaluator = Callable[[str, str, str, Mapping[str, str], str], bool]
_evaluator: Evaluator | None = None


def use(evaluator: Evaluator) -> None:
    """Set what decides; the seams do so once."""
    global _evaluator  # noqa: PLW0603 (one evaluator a process)
    _evaluator = evaluator


def act_as(principal: str, action: str, resource: str, context: Mapping[str, str] | None = None, *, path: str) -> bool:
    """Whether `principal` may do `action` on `resource`; the decision is recorded.

    `principal` is a role's ARN (its identity policies decide, with the resource's own policy where the service keeps
    one) or a service principal such as `events.amazonaws.com` (the resource's policy alone decides). `context` holds
    condition keys, for example `aws:SourceArn`. `path` names an entry of `PATHS`. Raises KeyError for a path that is
    not listed, ValueError for an action that the path does not list, or one that is a request of its own.
    """
    if action not in PATHS[path].actions or PATHS[path].gateway:
        raise ValueError(f"The path {path} does not list {action} for a service")
    if _evaluator is None:
        raise RuntimeError("The seams are not installed")
    return _evaluator(principal, action, resource, context or {}, path)
