"""ARN patterns, for grants that cannot name a resource."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct


def own_arn(scope: Construct, service: str, resource: str) -> str:
    """An ARN pattern in the stack's own account and region."""
    stack = cdk.Stack.of(scope)
    return f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}:{resource}"
