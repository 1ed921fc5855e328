"""Draws the state machines of a template: every state, where it leads, what it does when it fails.

The material is the definition in the synthesized template, so that a drawing cannot say what the machine does not do.
Terms: "Amazon States Language", AWS Step Functions Developer Guide, read 2026-11-25.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from docs.graph import Template, readable, references

# What a state is, by its type; a task says which service it calls.
_SHAPES = {
    "Choice": ("{", "}"),
    "Fail": ("[[", "]]"),
    "Succeed": ("([", "])"),
    "Wait": ("[/", "/]"),
}
_LABEL_CHARACTERS = 48
# Comparisons of JSONPath choices, in symbols; an operator that is not here is shown by its own name.
_SYMBOLS = {
    "Equals": "=",
    "LessThan": "<",
    "LessThanEquals": "≤",
    "GreaterThan": ">",
    "GreaterThanEquals": "≥",
    "Matches": "like",
}


def definitions(template: Template) -> dict[str, dict[str, Any]]:
    """The definition of each state machine of a template, by its logical id without CDK's hash.

    What stands for a value of the deployment (an ARN, a bucket's name) is the resource's name in angle brackets.
    """
    return {
        readable(logical_id): json.loads(_text(resource["Properties"]["DefinitionString"]))
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::StepFunctions::StateMachine"
    }


def mermaid(definition: Mapping[str, Any]) -> str:
    """A state machine as a Mermaid flowchart. Dashed arrows: what is caught."""
    lines = ["flowchart TD", f"    begin((start)) --> {_id('', definition['StartAt'])}"]
    lines += [f"    {line}" for line in _machine(definition, "")]
    return "\n".join(lines)


def _machine(machine: Mapping[str, Any], scope: str) -> Iterator[str]:
    states: Mapping[str, Any] = machine["States"]
    for name, state in states.items():
        yield from _box(name, state, scope)
    for name, state in states.items():
        yield from _arrows(name, state, scope)


def _box(name: str, state: Mapping[str, Any], scope: str) -> Iterator[str]:
    own = _id(scope, name)
    inner = _inner(state)
    if not inner:
        left, right = _SHAPES.get(state["Type"], ("[", "]"))
        notes = "".join(f"<br/><i>{note}</i>" for note in _notes(state))
        yield f'{own}{left}"<b>{_clean(name)}</b>{notes}"{right}'
        return
    title = "; ".join([_clean(name), *_notes(state)])
    yield f'subgraph {own} ["{title}"]'
    for number, machine in enumerate(inner):
        yield from (f"    {line}" for line in _machine(machine, f"{own}_{number}"))
    yield "end"


def _arrows(name: str, state: Mapping[str, Any], scope: str) -> Iterator[str]:
    own = _id(scope, name)
    for rule in state.get("Choices", []):
        yield f'{own} -->|"{_short(_condition(rule))}"| {_id(scope, rule["Next"])}'
    if "Default" in state:
        yield f'{own} -->|"else"| {_id(scope, state["Default"])}'
    if "Next" in state:
        yield f"{own} --> {_id(scope, state['Next'])}"
    for catcher in state.get("Catch", []):
        errors = ", ".join("any error" if error == "States.ALL" else error for error in catcher["ErrorEquals"])
        yield f'{own} -.->|"{_clean(errors)}"| {_id(scope, catcher["Next"])}'


def _inner(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The machines that a Map or a Parallel state holds."""
    if state["Type"] == "Map":
        return [state.get("ItemProcessor") or state["Iterator"]]
    return list(state.get("Branches", []))


def _notes(state: Mapping[str, Any]) -> Iterator[str]:
    if state["Type"] == "Task":
        yield _task(state)
    if state["Type"] == "Map":
        most = state.get("MaxConcurrency")
        yield f"for each, {most} at once" if most else "for each"
    attempts = max((retry.get("MaxAttempts", 3) for retry in state.get("Retry", [])), default=0)
    if attempts:
        yield f"retried {attempts} times at most"


def _task(state: Mapping[str, Any]) -> str:
    """`textract:startDocumentAnalysis`, `Lambda Look, waits for a token`."""
    resource: str = state["Resource"]
    waits = ", waits for its token" if resource.endswith(".waitForTaskToken") else ""
    called = resource.partition(":states:::")[2].removesuffix(".waitForTaskToken").removeprefix("aws-sdk:")
    if called.startswith("lambda:invoke"):
        function = (state.get("Arguments") or state.get("Parameters") or {}).get("FunctionName", "")
        called = f"Lambda {_clean(str(function))}".strip()
    elif not called:
        called = f"Lambda {_clean(resource)}"
    return f"{_clean(called)}{waits}"


def _condition(rule: Mapping[str, Any]) -> str:
    """A choice's condition in words, for JSONata and for JSONPath."""
    if "Condition" in rule:
        return str(rule["Condition"]).strip().removeprefix("{%").removesuffix("%}")
    for word, joint in (("And", " and "), ("Or", " or ")):
        if word in rule:
            return joint.join(_condition(part) for part in rule[word])
    if "Not" in rule:
        return f"not {_condition(rule['Not'])}"
    variable = str(rule.get("Variable", "")).removeprefix("$.")
    (operator, value), *_ = [(key, item) for key, item in rule.items() if key not in ("Variable", "Next", "Comment")]
    match = re.fullmatch(r"(String|Numeric|Timestamp|Boolean)(\w+?)(Path)?", operator)
    symbol = _SYMBOLS.get(match[2], match[2]) if match else operator
    return f"{variable} {symbol} {json.dumps(value)}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return _clean(text if len(text) <= _LABEL_CHARACTERS else f"{text[: _LABEL_CHARACTERS - 1]}…")


def _clean(text: str) -> str:
    """Text that can stand in a Mermaid label; a resource's name stands without its brackets."""
    named = re.sub(r"<(\w+)>", r"\1", text)
    return named.replace('"', "'").replace("<", "&lt;").replace(">", "&gt;").replace("|", "/")


def _id(scope: str, name: str) -> str:
    return re.sub(r"\W", "_", f"{scope}_{name}" if scope else f"s_{name}")


def _text(value: Any) -> str:
    """The definition as CDK wrote it, with each reference as the name of what it refers to."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "Fn::Join" in value:
        return "".join(_text(part) for part in value["Fn::Join"][1])
    if isinstance(value, Mapping) and value.get("Ref") == "AWS::Partition":
        return "aws"
    ends = list(references(value))
    return f"<{readable(ends[0])}>" if ends else "<>"
