"""A deleted stack leaves nothing behind, and nothing in it stands in the way of its deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.policy.template import Problem, Template, statements

CHECK = "leftovers"

# Custom resources that empty a bucket before it is deleted, with the property that names it.
EMPTYING = {"Custom::EmptiedBucket": "BucketName"}
# Custom resources whose function makes buckets, which no template shows, and takes them away with the stack: each with
# the test in which nothing of it is left.
MAKING = {
    "Custom::ReplicaBucket": (
        "tests.scenarios.test_model_vault.test_a_throttled_s3_is_asked_again_when_the_stack_is_made"
    )
}


# SageMaker's own log groups, into which all jobs of an account write: no stack could own them (Amazon SageMaker AI
# Developer Guide, "CloudWatch Logs for Amazon SageMaker AI", read 2026-11-27).
ACCOUNT_WIDE = re.compile(r":log-group:/aws/sagemaker/(ProcessingJobs|TrainingJobs|TransformJobs):\*$")


def check(template: Template) -> list[Problem]:
    """Every resource that outlives its stack, blocks its end, or makes something that does."""
    return [
        Problem(CHECK, f"{template.architecture} {logical_id}", message)
        for logical_id, message in (
            *_retained(template),
            *_logs(template),
            *_buckets(template),
            *_made_buckets(template),
        )
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


def _made_buckets(template: Template) -> Iterator[tuple[str, str]]:
    """Who may make buckets, but for the functions that take them away again."""
    functions = {
        str(_referred(resource["Properties"].get("ServiceToken"))) for _, resource in template.resources(*MAKING)
    }
    roles = {
        _referred(function["Properties"].get("Role"))
        for logical_id, function in template.resources("AWS::Lambda::Function")
        if logical_id in functions
    }
    for statement in statements(template):
        if not (statement.allows and "s3:CreateBucket" in statement.actions):
            continue
        policy = template.body["Resources"][statement.logical_id].get("Properties", {})
        holders = {_referred(role) for role in policy.get("Roles", [statement.logical_id])}
        if not holders <= roles:
            yield statement.logical_id, "may make a bucket, which then outlives the stack"


def _referred(value: object) -> str | None:
    """The logical id that a `Ref` or a `Fn::GetAtt` is about, or the text that is given instead."""
    if isinstance(value, dict):
        found = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
        return None if found is None else str(found)
    return None if value is None else str(value)
