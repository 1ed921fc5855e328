"""Builds the stacks of the catalogue; `app.py` is its command.

Context, all optional: `architecture` (an id, or several with commas between them, which bring those that they need;
`all` for all that are built, each with what the others want of it, so that they can be deployed side by side; otherwise
all that are built, each as its page describes it), `target` (`lambda` for AWS, which is the default, or `local` for the
local cloud: whose compiled dependencies the functions bring; the variable `CDK_TARGET` says it, too), `settings` (JSON,
by architecture: `{"image-labeling": {"minimum_confidence": 80}}`), `stack_name` (the CloudFormation name of that one
architecture, so that a second copy can live beside the first), `model_monitor` (`own` or `managed`, short for that
setting of model-monitor), `tags` (JSON, name and value: tags of every stack, which CloudFormation hands on to all in it
that can have any; templates stay as they are), `self_destruct` (JSON, the settings of
`stacks/operate/self_destruct.py`: adds that stack; needs `architecture`).
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import aws_cdk as cdk
from pydantic import BaseModel, ValidationError

from stacks import catalogue
from stacks.assets import TARGET_VARIABLE
from stacks.catalogue import SELF_DESTRUCT
from stacks.operate.self_destruct import SelfDestruct, acknowledgements
from stacks.policy import nag
from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS, Acknowledgement

Target = Literal["lambda", "local"]

# CDK's opt-in behaviours that change a template, set here and not in cdk.json so that `python app.py` gives the same
# template as the CDK CLI.
FEATURES = {
    "@aws-cdk/aws-iam:minimizePolicies": True,
    # CDK holds templates against CloudFormation's schemas: findings are errors, not remarks.
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    "@aws-cdk/core:strictCfnValidateErrors": True,
}

# CloudFormation names a resource `<stack>-<logical id>-<12 characters>` and cuts what is longer than its service takes,
# which is 80 characters for a queue. Key policies tell a stack's resources by its name, so it must stay whole.
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")


# Whose keys tell the stack's buckets by its name.
NAMED_BUCKETS = ("data-protection", "model-vault")

# What the context `architecture` is in `cdk.json`: the CDK command line deploys, and what one stack imports has to be
# exported by another.
ALL = "all"

CONTEXT = ("architecture", "target", "settings", "stack_name", "model_monitor", "tags", "self_destruct")
# AWS CloudFormation Template Reference, "Resource tag", read 2026-11-28. A value may have 256 characters there.
TAG = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}")


class ContextError(Exception):
    """A context value is wrong. `str()` is one clear line."""


def synthesize(context: Mapping[str, str] | None = None, out: str | None = None) -> None:
    """Writes the cloud assembly to `out`, or where the CDK CLI or `CDK_OUTDIR` wants it (else to a temporary folder).

    `context` is put over what comes from there. Raises ContextError for a wrong context value, AssetError for a
    function that is not staged, PolicyError when a finding is neither mended nor acknowledged, or when an
    acknowledgement is stale.
    """
    app = cdk.App(context={**FEATURES, **(context or {})}, outdir=out, analytics_reporting=False)
    built = build(app)
    destructors = [one.stack for one in built if isinstance(one.stack, SelfDestruct)]
    own = [found for stack in destructors for found in acknowledgements(stack.settings, stack.stack_name)]
    validated(app, built, (*ACKNOWLEDGEMENTS, *own))


@dataclass(frozen=True)
class Built:
    """One stack of the app, with what it was built from."""

    architecture: catalogue.Architecture
    settings: BaseModel
    stack: cdk.Stack


def validated(
    app: cdk.App, built: Sequence[Built], table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS
) -> pathlib.Path:
    """Writes the assembly of an app whose stacks keep to the policies, and returns its folder. Raises PolicyError."""
    settings = {item.architecture.id: item.settings.model_dump() for item in built}
    nag.register(
        app,
        stacks=[item.stack for item in built],
        sensitive=[item.stack for item in built if item.architecture.sensitive],
    )
    nag.acknowledge(app, settings, table)
    try:
        assembly = pathlib.Path(app.synth().directory)
    except RuntimeError as error:
        # CDK itself prints the findings; what it raises is a JavaScript stack.
        if "ValidationFailed" not in str(error):
            raise
        raise nag.PolicyError("The stacks break a policy: mend or acknowledge each finding that CDK printed.") from None
    if stale := nag.stale(assembly, settings, table):
        raise nag.PolicyError("\n".join(stale))
    return assembly


def build(app: cdk.App) -> list[Built]:
    """Adds the stacks that the context asks for."""
    context = {key: app.node.try_get_context(key) for key in CONTEXT}
    if everything := context["architecture"] == ALL:
        context["architecture"] = None
    architectures = _architectures(context["architecture"])
    target = context["target"] or os.environ.get(TARGET_VARIABLE) or "lambda"
    if target not in get_args(Target):
        raise ContextError(f"Context target is {target!r}: it may be {' or '.join(get_args(Target))}.")
    values = _settings(context["settings"])
    if context["model_monitor"]:
        values.setdefault("model-monitor", {})["monitor"] = context["model_monitor"]
    if unknown := values.keys() - {architecture.id for architecture in architectures}:
        raise ContextError(f"Context settings names {', '.join(sorted(unknown))}, which is not built here.")
    renamed = _renamed(context, architectures[-1])
    if context["architecture"]:
        for needed, wanted in getattr(_class(architectures[-1]), "Neighbours", {}).items():
            values.setdefault(needed, dict(wanted))
    if everything:
        values = side_by_side(architectures, values)
    tags = _tags(context["tags"])
    built: dict[str, Built] = {}
    for architecture in architectures:
        name = renamed.get(architecture.id, architecture.id)
        made = _stack(app, architecture, target, values.get(architecture.id, {}), stack_name=name, tags=tags)
        for needed in architecture.needs:
            made.stack.add_stack_dependency(built[needed].stack)
        built[architecture.id] = made
    _network_first(built)
    if context["self_destruct"]:
        wanted = _self_destruct(context)
        last = architectures[-1].id
        name = f"{SELF_DESTRUCT.id}-{renamed.get(last, last)}"
        built[SELF_DESTRUCT.id] = _stack(app, SELF_DESTRUCT, target, wanted, stack_name=name, tags=tags)
    return list(built.values())


def _renamed(context: Mapping[str, Any], last: catalogue.Architecture) -> dict[str, str]:
    """The CloudFormation name of the architecture that was asked for, if it has one of its own."""
    if not context["stack_name"]:
        return {}
    name = str(context["stack_name"])
    if "," in str(context["architecture"] or ","):
        raise ContextError("Context stack_name needs context architecture: one name cannot serve several stacks.")
    if not STACK_NAME.fullmatch(name):
        raise ContextError("Context stack_name must be 40 letters, digits and hyphens at most, a letter first.")
    if ("sagemaker" in last.services or last.id in NAMED_BUCKETS) and not name.islower():
        # SageMaker calls its resources after the stack, as do buckets, and grants are held to their ARNs, which are in
        # small letters.
        raise ContextError("Context stack_name must be in small letters for this architecture.")
    return {last.id: name}


def _self_destruct(context: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the stack that removes the others."""
    if not context["architecture"]:
        raise ContextError("Context self_destruct needs context architecture, after which its stack is called.")
    example = '{"stacks": ["image-labeling"], "at": "2027-01-01T10:00Z"}'
    return _json(context["self_destruct"], "self_destruct", example)


def _network_first(built: Mapping[str, Built]) -> None:
    """What is placed in the network comes after it. One that is not built here has to stand already."""
    network = built.get("private-network")
    for made in built.values():
        if network and getattr(made.settings, "network", None) == "private":
            made.stack.add_stack_dependency(network.stack)


def _class(architecture: catalogue.Architecture) -> Any:
    """The class of its stack. `Neighbours` of one are the settings of stacks that are built for it."""
    assert architecture.stack
    module, _, name = architecture.stack.partition(":")
    return getattr(importlib.import_module(module), name)


def side_by_side(
    architectures: Sequence[catalogue.Architecture], values: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The settings of stacks that are deployed together, by architecture: `values`, and what they want of each other.

    A neighbour gets that beside what it has by default, unless `values` say otherwise.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for architecture in architectures:
        for needed, wanted in getattr(_class(architecture), "Neighbours", {}).items():
            default = _class(catalogue.get(needed)).Settings()
            for name, more in wanted.items():
                have = found.setdefault(needed, {}).setdefault(name, list(getattr(default, name)))
                have += [one for one in more if one not in have]
    return {key: {**found.get(key, {}), **values.get(key, {})} for key in {**found, **values}}


def _stack(
    app: cdk.App,
    architecture: catalogue.Architecture,
    target: str,
    values: Mapping[str, Any],
    *,
    stack_name: str,
    tags: Mapping[str, str],
) -> Built:
    stack_class = _class(architecture)
    settings = _checked(architecture.id, stack_class.Settings, values)
    stack = stack_class(
        app,
        architecture.id,
        settings=settings,
        target=target,
        stack_name=stack_name,
        description=architecture.title,
        tags=dict(tags) or None,
    )
    cdk.Tags.of(stack).add("architecture", architecture.id)
    return Built(architecture, settings, stack)


def _architectures(wanted: Any) -> list[catalogue.Architecture]:
    if not wanted:
        found = [one for each in catalogue.ARCHITECTURES if each.stack for one in catalogue.with_needs(each)]
        return list(dict.fromkeys(found))
    found = []
    for name in str(wanted).split(","):
        try:
            architecture = catalogue.get(name.strip())
        except LookupError as error:
            raise ContextError(str(error)) from None
        if architecture.stack is None:
            raise ContextError(f"{architecture.id} is planned, not built yet. `python -m local list` shows what works.")
        found += catalogue.with_needs(architecture)
    return list(dict.fromkeys(found))


def _settings(value: Any) -> dict[str, dict[str, Any]]:
    """The CDK CLI hands every context value over as text, `CDK_CONTEXT_JSON` as what it is."""
    like = '{"image-labeling": {"minimum_confidence": 80}}'
    parsed = _json(value, "settings", like)
    if not all(isinstance(values, dict) for values in parsed.values()):
        raise ContextError(f"Context settings must look like {like}.")
    return parsed


def _tags(value: Any) -> dict[str, str]:
    tags = _json(value, "tags", '{"owner": "ana"}')
    for name, text in tags.items():
        if not TAG.fullmatch(name) or not isinstance(text, str) or not TAG.fullmatch(text):
            raise ContextError(
                f"Context tags: {name!r} and {text!r} may have letters, digits, spaces and _.:/=+@- only."
            )
    return tags


def _json(value: Any, name: str, like: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value or {}
    except ValueError as error:
        raise ContextError(f"Context {name} is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise ContextError(f"Context {name} must look like {like}.")
    return parsed


def _checked(architecture: str, settings: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(part for part in (".".join(map(str, fault["loc"])), fault["msg"]) if part)
            for fault in error.errors()
        )
        raise ContextError(f"Settings of {architecture}: {faults}.") from None
