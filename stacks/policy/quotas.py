"""No stack, and not all stacks together, break a quota that a new account has: how many and how large.

`quotas_counts.toml` has the quotas, each with its source. Sizes are those at worst: the longest name of a stack and of
a region, and names of resources as long as most services let them be.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from stacks.policy.machines import Use, machines
from stacks.policy.names import LONGEST
from stacks.policy.template import Problem, Template
from stacks.policy.values import evaluate, string

CHECK = "quotas"

TABLE = Path(__file__).with_name("quotas_counts.toml")

# What stands for a name or an attribute that only AWS knows, in a size: IAM and Lambda cut names at 64 characters, and
# an ARN has some 60 more.
NAME = "n" * 64
ATTRIBUTE = "a" * 124

Measured = Iterator[tuple[str, float]]


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """The quotas by name (`[count.NAME]` of the file)."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    parsed = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return cast("dict[str, dict[str, Any]]", parsed["count"])


def check(template: Template, quotas: Mapping[str, Mapping[str, Any]] | None = None) -> list[Problem]:
    """Every quota that the template breaks by itself, or one of its resources does."""
    problems = []
    for name, quota in (quotas or table()).items():
        if quota["per"] in ("template", "resource") and not quota.get("told_only"):
            for where, amount in MEASURES[name](template):
                if amount > quota["value"]:
                    place = f"{template.architecture} {where}".strip()
                    problems.append(Problem(CHECK, place, _over(quota, amount)))
    return problems


def to_ask_for(template: Template) -> list[str]:
    """What has to be asked of AWS before the stack is used, a line each: what a new account has too little of, and
    CloudFormation does not look at."""
    told = []
    for name, quota in table().items():
        if quota.get("told_only") and quota["per"] in ("account", "region"):
            amount = together([template], name, quota)
            if amount > quota["value"]:
                told.append(
                    f"{quota['title']}: {amount:,.0f} wanted, {quota['value']:,} in a new account ({quota['code']})"
                )
    return told


def check_together(
    templates: Sequence[Template], quotas: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Problem]:
    """Every quota of an account or of a region that the stacks break when all are deployed side by side."""
    problems = []
    for name, quota in (quotas or table()).items():
        if quota["per"] in ("account", "region") and not quota.get("told_only"):
            amount = together(templates, name, quota)
            if amount > quota["value"]:
                where = ", ".join(template.architecture for template in templates if together([template], name, quota))
                problems.append(Problem(CHECK, where, _over(quota, amount)))
    return problems


def together(templates: Sequence[Template], name: str, quota: Mapping[str, Any]) -> float:
    """How much of a quota of an account or a region all these stacks take, with what is taken before the first."""
    amount: float = quota.get("taken", 0)
    for template in templates:
        if "types" in quota:
            amount += sum(1 for _ in template.resources(*quota["types"]))
        else:
            amount += sum(part for _, part in MEASURES[name](template))
    return amount


def largest(templates: Sequence[Template], name: str) -> tuple[str, float]:
    """Which stack comes nearest to a quota of a template or of a resource, and with how much. ("", 0.0) if none."""
    found = [(amount, one.architecture) for one in templates for _, amount in MEASURES[name](one)]
    amount, architecture = max(found, default=(0.0, ""))
    return architecture, amount


def _over(quota: Mapping[str, Any], amount: float) -> str:
    way = "ask AWS for more before it is deployed" if quota["adjustable"] else "AWS does not raise it"
    return f"{quota['title']}: {amount:,.0f} {quota['unit']}, and a new account may have {quota['value']:,}; {way}"


def _text(value: Any, template: Template) -> str:
    """A value as text, as long as it can get."""
    text = string(evaluate(value, template, LONGEST))
    return re.sub(r"\$\{[^}]*\}", lambda match: ATTRIBUTE if "." in match[0] or ":" in match[0] else NAME, text)


def _without_space(value: Any, template: Template) -> int:
    return len(re.sub(r"\s", "", _text(value, template)))


def _section(name: str) -> Callable[[Template], Measured]:
    def measure(template: Template) -> Measured:
        yield "", len(template.body.get(name, {}))

    return measure


def _sized(resource_type: str, *path: str, count: bool = False) -> Callable[[Template], Measured]:
    """Measures a property of each resource of a type: its size in characters, or how many it has."""

    def measure(template: Template) -> Measured:
        for logical_id, resource in template.resources(resource_type):
            value: Any = resource.get("Properties", {})
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                yield logical_id, len(value) if count else len(_text(value, template).encode())

    return measure


def _template_size(template: Template) -> Measured:
    if template.path is not None:
        yield "", template.path.stat().st_size


def _inline_policies(template: Template) -> Measured:
    sizes: Counter[str] = Counter()
    for logical_id, role in template.resources("AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", ()):
            sizes[logical_id] += _without_space(policy["PolicyDocument"], template)
    for _, policy in template.resources("AWS::IAM::Policy"):
        for role in policy["Properties"].get("Roles", ()):
            holder = role.get("Ref", "") if isinstance(role, dict) else str(role)
            sizes[holder] += _without_space(policy["Properties"]["PolicyDocument"], template)
    yield from sizes.items()


def _managed_policies(template: Template) -> Measured:
    held: Counter[str] = Counter()
    for logical_id, role in template.resources("AWS::IAM::Role"):
        held[logical_id] += len(role["Properties"].get("ManagedPolicyArns", ()))
    for _, policy in template.resources("AWS::IAM::ManagedPolicy"):
        for role in policy["Properties"].get("Roles", ()):
            held[role.get("Ref", "") if isinstance(role, dict) else str(role)] += 1
    yield from held.items()


def _no_space(resource_type: str, name: str) -> Callable[[Template], Measured]:
    def measure(template: Template) -> Measured:
        for logical_id, resource in template.resources(resource_type):
            yield logical_id, _without_space(resource["Properties"][name], template)

    return measure


def _environment(template: Template) -> Measured:
    for logical_id, function in template.resources("AWS::Lambda::Function"):
        variables = function["Properties"].get("Environment", {}).get("Variables", {})
        yield logical_id, sum(len(name) + len(_text(value, template).encode()) for name, value in variables.items())


def _number(resource_type: str, name: str) -> Callable[[Template], Measured]:
    def measure(template: Template) -> Measured:
        for logical_id, resource in template.resources(resource_type):
            yield logical_id, float(resource.get("Properties", {}).get(name, 0))

    return measure


def _archives(template: Template) -> Iterator[tuple[str, Path]]:
    """The zip file of each function, where the template lies beside its assets."""
    for logical_id, function in template.resources("AWS::Lambda::Function"):
        key = function["Properties"].get("Code", {}).get("S3Key")
        if isinstance(key, str) and template.path is not None:
            found = template.path.with_name(f"asset.{key}")
            if found.is_file():
                yield logical_id, found


def _zipped(template: Template) -> Measured:
    for logical_id, archive in _archives(template):
        yield logical_id, archive.stat().st_size


@cache
def _size_unzipped(archive: Path) -> int:
    with zipfile.ZipFile(archive) as opened:
        return sum(entry.file_size for entry in opened.infolist())


def _unzipped(template: Template) -> Measured:
    for logical_id, archive in _archives(template):
        yield logical_id, _size_unzipped(archive)


def _function_policies(template: Template) -> Measured:
    sizes: Counter[str] = Counter()
    for _, permission in template.resources("AWS::Lambda::Permission"):
        properties = permission["Properties"]
        # A statement has some 200 characters around the values.
        sizes[_text(properties["FunctionName"], template)] += 200 + len(_text(properties, template))
    for function, size in sizes.items():
        yield function[:60], size


def _security_group_rules(template: Template) -> Measured:
    rules: Counter[tuple[str, str]] = Counter()
    for kind in ("Ingress", "Egress"):
        for logical_id, group in template.resources("AWS::EC2::SecurityGroup"):
            rules[logical_id, kind] += len(group["Properties"].get(f"SecurityGroup{kind}", ()))
        for _, rule in template.resources(f"AWS::EC2::SecurityGroup{kind}"):
            group_id = rule["Properties"].get("GroupId")
            rules[_text(group_id, template), kind] += 1
    for (logical_id, _), amount in rules.items():
        yield logical_id[:60], amount


def _of_each(
    resource_type: str, owner: str, where: Callable[[Mapping[str, Any]], bool]
) -> Callable[[Template], Measured]:
    """Counts the resources of a type by what a property of theirs names."""

    def measure(template: Template) -> Measured:
        held = Counter(
            string(evaluate(resource["Properties"].get(owner), template, LONGEST))
            for _, resource in template.resources(resource_type)
            if where(resource["Properties"])
        )
        yield from held.items()

    return measure


def _gateways(template: Template) -> Measured:
    for logical_id, endpoint in template.resources("AWS::EC2::VPCEndpoint"):
        if endpoint["Properties"].get("VpcEndpointType", "Gateway") == "Gateway":
            yield logical_id, 1


def _alarm_actions(template: Template) -> Measured:
    for logical_id, alarm in template.resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            yield logical_id, len(alarm["Properties"].get(kind, ()))


def _widgets(template: Template) -> Measured:
    for logical_id, dashboard in template.resources("AWS::CloudWatch::Dashboard"):
        yield logical_id, _text(dashboard["Properties"]["DashboardBody"], template).count('"properties":')


def _selector_conditions(template: Template) -> Measured:
    operators = ("Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith")
    for logical_id, trail in template.resources("AWS::CloudTrail::Trail"):
        fields = [
            one for part in trail["Properties"].get("AdvancedEventSelectors", ()) for one in part["FieldSelectors"]
        ]
        yield logical_id, sum(len(field.get(operator, ())) for field in fields for operator in operators)


def _filtered(template: Template) -> Measured:
    for logical_id, subscription in template.resources("AWS::SNS::Subscription"):
        if "FilterPolicy" in subscription["Properties"]:
            yield logical_id, 1


def _dynamic_references(template: Template) -> Measured:
    yield "", string(template.body).count("{{resolve:")


def _mapping_attributes(template: Template) -> Measured:
    for name, mapping in template.body.get("Mappings", {}).items():
        for attributes in mapping.values():
            yield name, len(attributes)


def _description(template: Template) -> Measured:
    yield "", len(str(template.body.get("Description", "")).encode())


def _machines(use: Use, instance: str) -> Callable[[Template], Measured]:
    """Counts the machines of a type that a stack has at work, by what they are for."""

    def measure(template: Template) -> Measured:
        if number := machines(template).get((use, instance)):
            yield "", number

    return measure


def _one_stack(template: Template) -> Measured:
    yield "", 1


MEASURES: Mapping[str, Callable[[Template], Measured]] = {
    "resources": _section("Resources"),
    "outputs": _section("Outputs"),
    "parameters": _section("Parameters"),
    "mappings": _section("Mappings"),
    "mapping-attributes": _mapping_attributes,
    "template-size": _template_size,
    "template-size-inline": _template_size,
    "description": _description,
    "dynamic-references": _dynamic_references,
    "stacks": _one_stack,
    "managed-policies-per-role": _managed_policies,
    "trust-policy": _no_space("AWS::IAM::Role", "AssumeRolePolicyDocument"),
    "inline-policies": _inline_policies,
    "managed-policy-size": _no_space("AWS::IAM::ManagedPolicy", "PolicyDocument"),
    "bucket-policy": _sized("AWS::S3::BucketPolicy", "PolicyDocument"),
    "key-policy": _sized("AWS::KMS::Key", "KeyPolicy"),
    "global-indexes": _sized("AWS::DynamoDB::Table", "GlobalSecondaryIndexes", count=True),
    "reserved-concurrency": _number("AWS::Lambda::Function", "ReservedConcurrentExecutions"),
    "code-storage": _zipped,
    "package-zipped": _zipped,
    "package-unzipped": _unzipped,
    "environment": _environment,
    "memory": _number("AWS::Lambda::Function", "MemorySize"),
    "function-policy": _function_policies,
    "targets": _sized("AWS::Events::Rule", "Targets", count=True),
    "event-pattern": _sized("AWS::Events::Rule", "EventPattern"),
    "definition": _sized("AWS::StepFunctions::StateMachine", "DefinitionString"),
    "filter-policies": _filtered,
    "subnets": _of_each("AWS::EC2::Subnet", "VpcId", lambda _: True),
    "interface-endpoints": _of_each(
        "AWS::EC2::VPCEndpoint", "VpcId", lambda p: p.get("VpcEndpointType") == "Interface"
    ),
    "gateway-endpoints": _gateways,
    "endpoint-policy": _sized("AWS::EC2::VPCEndpoint", "PolicyDocument"),
    "security-group-rules": _security_group_rules,
    "alarm-actions": _alarm_actions,
    "widgets": _widgets,
    "selector-conditions": _selector_conditions,
    "api-resources": _of_each("AWS::ApiGateway::Resource", "RestApiId", lambda _: True),
    "training-machines": _machines("training job", "ml.m5.large"),
    "processing-machines": _machines("processing job", "ml.m5.large"),
    "small-processing-machines": _machines("processing job", "ml.t3.medium"),
    "endpoint-machines": _machines("endpoint", "ml.m5.large"),
}
