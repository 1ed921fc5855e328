"""What the values of a template come to once it is deployed, as far as that can be told before."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.policy.template import Template


@dataclass(frozen=True)
class Place:
    """Where and under which name a stack is deployed."""

    stack: str
    region: str = "us-east-1"
    account: str = "111122223333"
    # The last part of a stack's id, which no two stacks share.
    unique: str = "00000000-0000-0000-0000-000000000000"
    # What AWS made, where that is known: `Resource`, `Resource.Attribute` and `export:name` with their values.
    made: Mapping[str, str] = field(default_factory=dict)

    def pseudo(self) -> dict[str, str]:
        """The pseudo parameters by name."""
        stack_id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{self.stack}/{self.unique}"
        return {
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": stack_id,
            "AWS::StackName": self.stack,
            "AWS::URLSuffix": "amazonaws.com",
        }


def evaluate(value: Any, template: Template, place: Place) -> Any:
    """The value with all that is known of it put in.

    What only AWS knows, a resource's name or attribute or another stack's export, stays as `${Resource}`,
    `${Resource.Attribute}` and `${export:name}` unless the place tells it. Parameters have their defaults.
    """
    if isinstance(value, list):
        return [evaluate(part, template, place) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        function, argument = next(iter(value.items()))
        if function == "Ref":
            return _reference(argument, template, place)
        if function.startswith("Fn::"):
            return _called(function, argument, template, place)
    return {key: evaluate(part, template, place) for key, part in value.items()}


def string(value: Any) -> str:
    """A value as text, as a service gets it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _called(function: str, argument: Any, template: Template, place: Place) -> Any:
    if function == "Fn::GetAtt":
        return _made(".".join(argument) if isinstance(argument, list) else argument, place)
    if function == "Fn::Sub":
        return _substituted(argument, template, place)
    parts = evaluate(argument, template, place)
    if function == "Fn::Split":
        return str(parts[1]).split(str(parts[0]))
    # What is put together here may come from AWS, and then is no list yet.
    if function == "Fn::Join" and isinstance(parts[1], list):
        return str(parts[0]).join(map(string, parts[1]))
    if function == "Fn::Select" and isinstance(parts[1], list) and int(parts[0]) < len(parts[1]):
        return parts[1][int(parts[0])]
    return _made(f"{'export' if function == 'Fn::ImportValue' else function}:{string(parts)}", place)


def _substituted(argument: Any, template: Template, place: Place) -> str:
    text, given = (argument, {}) if isinstance(argument, str) else argument

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in given:
            return string(evaluate(given[name], template, place))
        return string(_reference(name, template, place)) if "." not in name else _made(name, place)

    return re.sub(r"\$\{(?P<name>[^}]+)\}", put, text)


def _reference(name: str, template: Template, place: Place) -> Any:
    known: Mapping[str, str] = place.pseudo()
    if name in known:
        return known[name]
    parameter = template.body.get("Parameters", {}).get(name, {})
    return parameter.get("Default", _made(name, place))


def _made(name: str, place: Place) -> str:
    return place.made.get(name, f"${{{name}}}")
