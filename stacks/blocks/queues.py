"""Queues: one to work through, one for what failed, who may send into them, and what polls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.blocks.python_function import PythonFunction
from stacks.blocks.queue_times import DEAD_LETTER_RETENTION_DAYS, VISIBILITY_FACTOR, WORK_RETENTION_DAYS


def dead_letter_queue(scope: Construct, construct_id: str, *, encryption_key: kms.IKey | None) -> sqs.Queue:
    """Holds what failed every attempt, and what could not be delivered, for as long as SQS allows."""
    return sqs.Queue(
        scope,
        construct_id,
        retention_period=cdk.Duration.days(DEAD_LETTER_RETENTION_DAYS),
        enforce_ssl=True,
        **_encryption(encryption_key),
    )


def work_queue(
    scope: Construct,
    construct_id: str,
    *,
    dead_letters: sqs.Queue,
    maximum_receives: int,
    function_timeout_seconds: int,
    encryption_key: kms.IKey | None,
) -> sqs.Queue:
    """A buffer in front of a function: work comes in bursts, and the services behind it take so many calls a second."""
    return sqs.Queue(
        scope,
        construct_id,
        retention_period=cdk.Duration.days(WORK_RETENTION_DAYS),
        visibility_timeout=cdk.Duration.seconds(VISIBILITY_FACTOR * function_timeout_seconds),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=maximum_receives),
        # No queue may use this one for its dead letters. That only this one may use the dead-letter queue cannot be
        # said in a template without fixed names: each of the two would have to be made after the other.
        redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
        enforce_ssl=True,
        **_encryption(encryption_key),
    )


def rule_target(target_id: str, queue: sqs.Queue, dead_letters: sqs.Queue) -> events.CfnRule.TargetProperty:
    """The queue as a rule's target. What EventBridge cannot deliver within a day is a dead letter."""
    return events.CfnRule.TargetProperty(
        id=target_id,
        arn=queue.queue_arn,
        # The most that EventBridge takes.
        retry_policy=events.CfnRule.RetryPolicyProperty(
            maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
        ),
        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
    )


def let_service_send(service: str, queues: Sequence[sqs.Queue], *, source: str | Sequence[str]) -> None:
    """Lets a service send into these queues, on behalf of this rule or topic alone (its ARN, or several)."""
    arns = source if isinstance(source, str) else list(source)
    for queue in queues:
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": arns}},
            )
        )


def poller(
    scope: Construct,
    construct_id: str,
    *,
    queue: sqs.Queue,
    function: PythonFunction,
    batch_size: int,
    maximum_concurrency: int,
    batch_window: cdk.Duration | None = None,
) -> lambda_.EventSourceMapping:
    """Feeds the function from the queue. Failed messages of a batch go back alone.

    `maximum_concurrency` is the number of workers, and so bounds the calls to the services that they use.
    """
    return lambda_.EventSourceMapping(
        scope,
        construct_id,
        target=function.function,
        event_source_arn=queue.queue_arn,
        batch_size=batch_size,
        max_batching_window=batch_window,
        max_concurrency=maximum_concurrency,
        report_batch_item_failures=True,
    )


def _encryption(key: kms.IKey | None) -> dict[str, Any]:
    if key:
        return {"encryption": sqs.QueueEncryption.KMS, "encryption_master_key": key}
    return {"encryption": sqs.QueueEncryption.SQS_MANAGED}
