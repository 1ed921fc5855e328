"""Which machines of SageMaker a stack has at work once it is used: no resource of its template, so no type counts them.

A new account may have none of most of them (`quotas_counts.toml`): the stack is deployed all the same, and its first
job fails with `ResourceLimitExceeded`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from stacks.policy.template import Template
from stacks.policy.values import Place, evaluate, string

Use = Literal["training job", "processing job", "endpoint"]

JOBS: Mapping[str, Use] = {"Training": "training job", "Processing": "processing job"}


def machines(template: Template) -> dict[tuple[Use, str], int]:
    """By use and instance type how many machines are at work at once.

    Steps of a pipeline run one after the other. An endpoint is counted as it is made: while it is updated, and when it
    grows with its load, it has more.
    """
    found: dict[tuple[Use, str], int] = {}
    for use, instance, number in _asked(template):
        found[use, instance] = max(number, found.get((use, instance), 0))
    return found


def _asked(template: Template) -> Iterator[tuple[Use, str, int]]:
    for _, pipeline in template.resources("AWS::SageMaker::Pipeline"):
        definition = _parsed(pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"], template)
        given = {one["Name"]: one.get("DefaultValue") for one in definition.get("Parameters", ())}
        yield from _steps(definition["Steps"], given)
    for _, machine in template.resources("AWS::StepFunctions::StateMachine"):
        for part in _parts(_parsed(machine["Properties"]["DefinitionString"], template)):
            if "InitialInstanceCount" in part:
                yield "endpoint", part["InstanceType"], int(part["InitialInstanceCount"])
    # A function that starts a job of one machine.
    for _, function in template.resources("AWS::Lambda::Function"):
        variables = function["Properties"].get("Environment", {}).get("Variables", {})
        if "INSTANCE_TYPE" in variables:
            yield "processing job", variables["INSTANCE_TYPE"], 1


def _parsed(value: Any, template: Template) -> Any:
    """A definition, with something in place of what only AWS knows."""
    text = string(evaluate(value, template, Place(template.architecture)))
    return json.loads(re.sub(r"\$\{[^{}]*\}", "unknown", text))


def _steps(steps: list[dict[str, Any]], given: Mapping[str, Any]) -> Iterator[tuple[Use, str, int]]:
    for step in steps:
        arguments = step.get("Arguments", {})
        if isinstance(arguments, dict):
            for branch in ("IfSteps", "ElseSteps"):
                yield from _steps(arguments.get(branch, []), given)
        if step["Type"] in JOBS:
            asked = arguments.get("ResourceConfig") or arguments["ProcessingResources"]["ClusterConfig"]
            instance, number = (_value(asked[name], given) for name in ("InstanceType", "InstanceCount"))
            yield JOBS[step["Type"]], str(instance), int(number)


def _value(value: Any, given: Mapping[str, Any]) -> Any:
    """A value of a definition, or the default of the parameter that it gets."""
    return given[value["Get"].removeprefix("Parameters.")] if isinstance(value, dict) else value


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(part)
