"""What the tests of the three model stacks share: templates with any settings, and their parts."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import assertions

from stacks.policy.template import Template, statements
from stacks.synth import build


def synthesized(architecture: str, **settings: Any) -> Template:
    """The template of an architecture with these settings, for this machine. Do not change it."""
    return _synthesized(architecture, json.dumps(settings, sort_keys=True))


@functools.cache
def _synthesized(architecture: str, settings: str) -> Template:
    context = {"architecture": architecture, "target": "local", "settings": {architecture: json.loads(settings)}}
    built = build(cdk.App(context=context))
    return Template(architecture, dict(assertions.Template.from_stack(built[-1].stack).to_json()))


def role_grants(template: Template, role: str) -> set[tuple[str, str]]:
    """Pairs of action and resource that a role holds; `role` is what its logical id begins with."""
    return {
        (action, target)
        for statement in statements(template)
        if statement.kind == "identity" and statement.logical_id.startswith(f"{role}DefaultPolicy")
        for action in statement.actions
        for target in statement.targets
    }


def condition_of(template: Template, role: str, action: str) -> Mapping[str, Any]:
    """The condition of the one statement that lets a role do this."""
    (found,) = (
        statement.body
        for statement in statements(template)
        if statement.logical_id.startswith(f"{role}DefaultPolicy") and action in statement.actions
    )
    condition: Mapping[str, Any] = found.get("Condition", {})
    return condition


def definition_of(template: Template, machine: str) -> dict[str, Any]:
    """The definition of a state machine, with `${...}` where the template fills in."""
    body = template.body["Resources"][machine]["Properties"]["DefinitionString"]
    parts = body["Fn::Join"][1] if isinstance(body, dict) else [body]
    filled = "".join(part if isinstance(part, str) else _name(part) for part in parts)
    definition: dict[str, Any] = json.loads(filled)
    return definition


def _name(reference: Mapping[str, Any]) -> str:
    (kind, argument) = next(iter(reference.items()))
    if kind == "Ref":
        return f"${{{argument}}}"
    if kind == "Fn::GetAtt":
        return f"${{{'.'.join(argument)}}}"
    return f"${{{kind}}}"


def trusted(template: Template, role: str) -> tuple[str, Mapping[str, Any]]:
    """The service that may take on a role, and on which condition."""
    (body,) = (
        resource["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
        for logical_id, resource in template.resources("AWS::IAM::Role")
        if logical_id.startswith(role)
    )
    return body["Principal"]["Service"], body.get("Condition", {})


def resource_of(arn: str) -> str:
    """What an ARN of the stack's own account names: all after the account."""
    return arn.partition("${AWS::AccountId}:")[2]
