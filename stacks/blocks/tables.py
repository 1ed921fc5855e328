"""Tables of DynamoDB."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

TEXT = dynamodb.AttributeType.STRING
NUMBER = dynamodb.AttributeType.NUMBER


def table(
    scope: Construct,
    construct_id: str,
    *,
    partition_key: str,
    sort_key: str | None = None,
    sort_key_type: dynamodb.AttributeType = TEXT,
    time_to_live: str | None = None,
    encryption_key: kms.IKey | None,
) -> dynamodb.Table:
    """Paid by the request, restorable to a point in time, and gone with its stack.

    `time_to_live` names the attribute with the second at which a row may go.
    """
    kind = dynamodb.TableEncryption
    return dynamodb.Table(
        scope,
        construct_id,
        partition_key=dynamodb.Attribute(name=partition_key, type=TEXT),
        sort_key=dynamodb.Attribute(name=sort_key, type=sort_key_type) if sort_key else None,
        time_to_live_attribute=time_to_live,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        encryption=kind.CUSTOMER_MANAGED if encryption_key else kind.AWS_MANAGED,
        encryption_key=encryption_key,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
