"""What the checks read: the synthesized templates, and the IAM statements in them."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Problem:
    """Something in a template that a check refuses."""

    check: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.message}"


@dataclass(frozen=True)
class Template:
    """A template with the architecture that it deploys (the id of its stack in the CDK app) and the file it is in."""

    architecture: str
    body: dict[str, Any]
    path: pathlib.Path | None = None

    def resources(self, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and resource, of these types or of all."""
        for logical_id, resource in self.body.get("Resources", {}).items():
            if not types or resource["Type"] in types:
                yield logical_id, resource


@dataclass(frozen=True)
class Statement:
    """One IAM statement, with where it stands.

    `kind`: `identity` grants to who holds the policy, `resource` to who calls the resource, `trust` says who may
    assume a role.
    """

    logical_id: str
    resource_type: str
    kind: Literal["identity", "resource", "trust"]
    body: dict[str, Any]

    @property
    def allows(self) -> bool:
        return bool(self.body.get("Effect") == "Allow")

    @property
    def actions(self) -> list[str]:
        return [text(action) for action in _listed(self.body.get("Action"))]

    @property
    def targets(self) -> list[str]:
        """The resources that it is about, as text."""
        return [text(resource) for resource in _listed(self.body.get("Resource"))]

    @property
    def principals(self) -> list[tuple[str, str]]:
        """Pairs of kind and name: `("Service", "events.amazonaws.com")`; `*` has the kind `*`."""
        principal = self.body.get("Principal")
        if isinstance(principal, dict):
            return [(kind, text(name)) for kind, names in principal.items() for name in _listed(names)]
        return [("*", text(name)) for name in _listed(principal)]


def read(assembly: pathlib.Path) -> list[Template]:
    """The templates of a cloud assembly. Raises FileNotFoundError when it is none, ValueError when it holds none."""
    manifest = json.loads((assembly / "manifest.json").read_text())
    found = [
        Template(
            architecture=artifact_id,
            body=json.loads((assembly / artifact["properties"]["templateFile"]).read_text()),
            path=assembly / artifact["properties"]["templateFile"],
        )
        for artifact_id, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    ]
    if not found:
        raise ValueError(f"{assembly} holds no stack")
    return found


def statements(template: Template) -> Iterator[Statement]:
    """Every IAM statement of a template, wherever it stands: any mapping that has a `Statement`, as text too."""
    for logical_id, resource in template.resources():
        for path, document in _documents(resource.get("Properties", {}), ()):
            kind = _kind(resource["Type"], path)
            for statement in _listed(document["Statement"]):
                yield Statement(logical_id, resource["Type"], kind, statement)


def text(value: Any) -> str:
    """A template value as one line: references become `${LogicalId}` or `${LogicalId.Attribute}`."""
    if isinstance(value, dict) and len(value) == 1:
        function, argument = next(iter(value.items()))
        if function == "Ref":
            return f"${{{argument}}}"
        if function == "Fn::GetAtt":
            return f"${{{'.'.join(argument) if isinstance(argument, list) else argument}}}"
        if function == "Fn::Join":
            return str(argument[0]).join(text(part) for part in argument[1])
        if function == "Fn::Sub":
            return str(argument if isinstance(argument, str) else argument[0])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def strings(value: Any) -> Iterator[str]:
    """Every piece of text inside a template value, joined where the template joins it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        if set(value) & {"Fn::Join", "Fn::Sub"}:
            yield text(value)
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def _documents(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, str) and '"Statement"' in value:
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, dict):
        if "Statement" in value:
            yield path, value
        for key, part in value.items():
            yield from _documents(part, (*path, key))
    elif isinstance(value, list):
        for part in value:
            yield from _documents(part, path)


def _kind(resource_type: str, path: tuple[str, ...]) -> Literal["identity", "resource", "trust"]:
    if "AssumeRolePolicyDocument" in path:
        return "trust"
    return "identity" if resource_type.startswith("AWS::IAM::") else "resource"


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def read_named(arguments: Sequence[str]) -> list[Template] | None:
    """The templates of the assembly that a command names, `cdk.out` by default; None, and a line said, for none."""
    assembly = pathlib.Path(arguments[0] if arguments else "cdk.out")
    try:
        return read(assembly)
    except (OSError, ValueError) as error:
        print(f"{assembly} is no cloud assembly ({error}). Synthesize first: make synth", file=sys.stderr)
        return None
