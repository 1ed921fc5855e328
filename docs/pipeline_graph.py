"""Draws a SageMaker pipeline from its definition: every step, what it takes, and the branches of its conditions.

The material is the definition in the synthesized template, so that a drawing cannot say what the pipeline does not do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docs.graph import Template, readable

Step = Mapping[str, Any]

_SHAPES = {"Condition": ("{", "}"), "Fail": ("[[", "]]"), "RegisterModel": ("([", "])")}
# What a step is, in words; a type that is not here is shown by its own name.
_KINDS = {
    "Processing": "processing job",
    "Training": "training job",
    "RegisterModel": "to the registry",
    "Fail": "the execution fails",
}
_SYMBOLS = {
    "Equals": "=",
    "GreaterThan": ">",
    "GreaterThanOrEqualTo": "≥",
    "LessThan": "<",
    "LessThanOrEqualTo": "≤",
}
_STEP = re.compile(r"Steps\.(\w+)")


def definitions(template: Template) -> dict[str, dict[str, Any]]:
    """The definition of each pipeline of a template, with `${...}` where the stack fills in, by its logical id."""
    return {
        readable(logical_id): json.loads(
            resource["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Sub"][0]
        )
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::SageMaker::Pipeline"
    }


def mermaid(definition: Mapping[str, Any]) -> str:
    """A pipeline as a Mermaid flowchart. An arrow says that a step takes what another made, or what was decided."""
    steps: Sequence[Step] = definition["Steps"]
    return "\n".join(["flowchart TD", *(f"    {line}" for line in _lines(steps))])


def _lines(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        left, right = _SHAPES.get(step["Type"], ("[", "]"))
        notes = "".join(f"<br/><i>{note}</i>" for note in _notes(step))
        yield f'{step["Name"]}{left}"<b>{step["Name"]}</b>{notes}"{right}'
    for step in steps:
        for earlier in _needs(step, {one["Name"] for one in steps}):
            yield f"{earlier} --> {step['Name']}"
        if step["Type"] == "Condition":
            for branch, word in (("IfSteps", "yes"), ("ElseSteps", "no")):
                inner: Sequence[Step] = step["Arguments"][branch]
                names = {one["Name"] for one in inner}
                yield from _lines(inner)
                yield from (f"{step['Name']} -->|{word}| {one['Name']}" for one in inner if not _needs(one, names))


def _needs(step: Step, known: set[str]) -> list[str]:
    """The steps among those known whose outputs a step takes, without its branches', in the order of their mention."""
    arguments = {key: value for key, value in step["Arguments"].items() if key not in ("IfSteps", "ElseSteps")}
    found = [*step.get("DependsOn", []), *_STEP.findall(str(arguments))]
    return [name for name in dict.fromkeys(found) if name in known and name != step["Name"]]


def _notes(step: Step) -> Iterator[str]:
    if step["Type"] == "Condition":
        yield "<br/>and ".join(_condition(one) for one in step["Arguments"]["Conditions"])
        return
    yield _KINDS.get(str(step["Type"]), str(step["Type"]))
    if "CacheConfig" in step and step["CacheConfig"]["Enabled"]:
        yield "taken from the cache if nothing has changed"
    attempts = sum(policy["MaxAttempts"] for policy in step.get("RetryPolicies", []))
    if attempts:
        yield f"tried again {attempts} times at most"


def _condition(condition: Mapping[str, Any]) -> str:
    symbol = _SYMBOLS.get(condition["Type"], condition["Type"])
    return f"{_value(condition['LeftValue'])} {symbol} {_value(condition['RightValue'])}".replace("<", "&lt;").replace(
        ">", "&gt;"
    )


def _value(value: Any) -> str:
    """`selection.value` of a file, `MetricThreshold` of the parameters, or the value itself."""
    if isinstance(value, Mapping) and "Std:JsonGet" in value:
        return str(value["Std:JsonGet"]["Path"])
    if isinstance(value, Mapping) and "Get" in value:
        return str(value["Get"]).removeprefix("Parameters.")
    return str(value)
