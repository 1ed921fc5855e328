"""A deleted stack leaves nothing behind, and nothing in it stands in the way of its deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.policy.template import Problem, Template, statements

CHECK = "leftovers"

# Custom resources that empty a bucket before it is deleted, with the property that names it.
EMPTYING = {"Custom::EmptiedBucket": "BucketName"}


# SageMaker's own log groups, into which all jobs of an account write: no stack could own them (Amazon SageMaker AI
# Developer Guide, "CloudWatch Logs for Amazon SageMaker AI", read 2026-11-27).
ACCOUNT_WIDE = re.compile(r":log-group:/aws/sagemaker/(ProcessingJobs|TrainingJobs|TransformJobs):\*$")


def check(template: Template) -> list[Problem]:
    """Every resource that outlives its stack, blocks its end, or makes something that does."""
    return [
        Problem(CHECK, f"{template.architecture} {logical_id}", message)
        for logical_id, message in (*_retained(template), *_logs(template), *_buckets(template))
    ]


def _retained(template: Template) -> Iterator[tuple[str, str]]:
    for logical_id, resource in template.resources():
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.get(policy, "Delete") != "Delete":
                yield logical_id, f"outlives its stack: {policy} is {resource[policy]}"
        if resource.get("Properties", {}).get("DeletionProtectionEnabled"):
            yield logical_id, "is protected from deletion, which makes deleting the stack fail"


def _logs(template: Template) -> Iterator[tuple[str, str]]:
    groups = {logical_id for logical_id, _ in template.resources("AWS::Logs::LogGroup")}
    for logical_id, group in template.resources("AWS::Logs::LogGroup"):
        if not group["Properties"].get("RetentionInDays"):
            yield logical_id, "keeps its entries for ever: set a retention"
    for logical_id, function in template.resources("AWS::Lambda::Function"):
        named = function["Properties"].get("LoggingConfig", {}).get("LogGroup", {})
        if not (isinstance(named, dict) and named.get("Ref") in groups):
            yield logical_id, "logs to a group that is not the stack's own: Lambda makes one, and it stays"
    for statement in statements(template):
        makes_groups = statement.allows and "logs:CreateLogGroup" in statement.actions
        if makes_groups and not all(ACCOUNT_WIDE.search(target) for target in statement.targets):
            yield statement.logical_id, "may create a log group, which then outlives the stack"


def _buckets(template: Template) -> Iterator[tuple[str, str]]:
    emptied = {
        resource["Properties"].get(EMPTYING[resource["Type"]], {}).get("Ref")
        for _, resource in template.resources(*EMPTYING)
    }
    for logical_id, _ in template.resources("AWS::S3::Bucket"):
        if logical_id not in emptied:
            yield logical_id, "is not emptied, and a bucket with objects cannot be deleted"
