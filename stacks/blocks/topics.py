"""Topics of SNS."""

from __future__ import annotations

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

# What a setting takes for an address that is told.
MAIL_ADDRESS = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


def topic(
    scope: Construct, construct_id: str, *, encryption_key: kms.IKey | None, email: str | None = None
) -> sns.Topic:
    """Where something is told, by mail too if there is an address: AWS asks it to confirm.

    Encrypted by an own key only: CloudWatch, which tells of alarms, may not use AWS's key for SNS (Amazon SNS Developer
    Guide, "Amazon SNS encryption key management"). So no message may hold what the stack keeps.
    """
    made = sns.Topic(scope, construct_id, enforce_ssl=True, master_key=encryption_key)
    if email:
        made.add_subscription(subscriptions.EmailSubscription(email))
    return made
