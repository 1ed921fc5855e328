"""A stack's own key, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.blocks.arns import own_arn

USE = ("kms:Decrypt", "kms:GenerateDataKey")
# As CloudWatch Logs asks for ("Encrypt log data in CloudWatch Logs using AWS KMS", Amazon CloudWatch Logs User Guide),
# with its wildcards spelt out for a symmetric key. Not kms:Describe*: such a request has no encryption context, so
# under AWS's own condition it is never allowed, and is not needed.
USE_FOR_LOGS = (
    *USE,
    "kms:Encrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


def own_key(
    scope: Construct,
    construct_id: str,
    *,
    description: str,
    queue_senders: Sequence[str] = (),
    alarms: bool = True,
) -> kms.Key:
    """One key for all that holds data. Services may use it only on behalf of this stack's own resources.

    Those are told by the stack's name, with which CloudFormation begins theirs (`synth` bounds its length, so that none
    is cut): an ARN itself would make a circle, for each of them refers to the key.

    CloudWatch may use it for `alarms`, and CloudWatch Logs for log groups. `queue_senders` are the services that send
    into the stack's queues, such as `events.amazonaws.com`.
    """
    key = kms.Key(
        scope,
        construct_id,
        description=description,
        enable_key_rotation=True,
        pending_window=cdk.Duration.days(7),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    own = f"{cdk.Aws.STACK_NAME}-*"
    for service in queue_senders:
        # By the encryption context, in which SQS names the queue: for EventBridge AWS does not promise a source ARN in
        # calls to KMS (Amazon SNS Developer Guide, "Amazon SNS encryption key management", rules it out).
        let_service_use(key, service, where={"kms:EncryptionContext:aws:sqs:arn": own_arn(scope, "sqs", own)})
    if alarms:
        let_service_use(
            key, "cloudwatch.amazonaws.com", where={"aws:SourceArn": own_arn(scope, "cloudwatch", f"alarm:{own}")}
        )
    let_service_use(
        key,
        f"logs.{cdk.Stack.of(scope).region}.amazonaws.com",
        where={"kms:EncryptionContext:aws:logs:arn": own_arn(scope, "logs", f"log-group:{own}")},
        actions=USE_FOR_LOGS,
    )
    return key


def let_service_use(key: kms.Key, service: str, *, where: Mapping[str, str], actions: Sequence[str] = USE) -> None:
    """Lets a service use the key `where` these condition keys have an ARN like these."""
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=list(actions),
            resources=["*"],
            conditions={"ArnLike": dict(where)},
        )
    )
