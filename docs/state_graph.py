"""Draws a state machine as it stands in the synthesized template: states as boxes, transitions as arrows.

The definition is the template's own, so the graph cannot go stale. A Map is a frame around what it repeats, a Parallel
one around its branches. Dashed arrows: where errors go; a failure path that nearly every state has is drawn once.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

Definition = Mapping[str, Any]

_SHAPES = {
    "Choice": ("{", "}"),
    "Succeed": ("([", "])"),
    "Fail": ("([", "])"),
    "Wait": ("[/", "/]"),
}
_SERVICES = {
    "cloudwatch": "CloudWatch",
    "comprehend": "Comprehend",
    "dynamodb": "DynamoDB",
    "events": "EventBridge",
    "lambda": "Lambda",
    "polly": "Polly",
    "s3": "S3",
    "sns": "SNS",
    "sqs": "SQS",
    "textract": "Textract",
    "transcribe": "Transcribe",
    "translate": "Translate",
}
_RESOURCE = re.compile(r":states:::(?:aws-sdk:)?(?P<service>[\w-]+):(?P<operation>\w+)(?P<pattern>\.\S+)?")
# From so many states an arrow to the same one says nothing new.
_MANY = 4


def definitions(template: Mapping[str, Any]) -> dict[str, Definition]:
    """The definitions in a template by logical id, with references as `${LogicalId.Attribute}`."""
    return {
        logical_id: json.loads(_text(resource["Properties"]["DefinitionString"]))
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::StepFunctions::StateMachine"
    }


def mermaid(definition: Definition) -> str:
    """A definition as a Mermaid flowchart."""
    drawing = _Drawing()
    drawing.states(definition, "    ", "")
    return "\n".join(["flowchart TD", *drawing.lines, *drawing.arrows()])


class _Drawing:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._plain: list[tuple[str, str, str]] = []
        self._errors: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def states(self, machine: Definition, indent: str, scope: str) -> None:
        start = f"{scope}start"
        self.lines.append(f'{indent}{start}(("&nbsp;"))')
        self._plain.append((start, self._id(scope, machine["StartAt"]), ""))
        for name, state in machine["States"].items():
            self._state(name, state, indent, scope)

    def _state(self, name: str, state: Mapping[str, Any], indent: str, scope: str) -> None:
        own = self._id(scope, name)
        branches = [state["ItemProcessor"]] if "ItemProcessor" in state else state.get("Branches", [])
        if branches:
            bound = f", {state['MaxConcurrency']} at once" if state.get("MaxConcurrency") else ""
            kind = "for each" if state["Type"] == "Map" else "in parallel"
            self.lines.append(f'{indent}subgraph {own} ["{name}: {kind}{bound}"]')
            for number, branch in enumerate(branches):
                self.states(branch, indent + "    ", f"{own}_{number}_")
            self.lines.append(f"{indent}end")
        else:
            left, right = _SHAPES.get(state["Type"], ("[", "]"))
            what = _what(state)
            text = f"<b>{name}</b><br/>{what}" if what else f"<b>{name}</b>"
            self.lines.append(f'{indent}{own}{left}"{text}"{right}')
        for target, label in _following(state):
            self._plain.append((own, self._id(scope, target), label))
        for catcher in state.get("Catch", []):
            errors = ", ".join(catcher["ErrorEquals"])
            self._errors[self._id(scope, catcher["Next"])].append((own, errors))

    def arrows(self) -> Iterator[str]:
        for source, target, label in self._plain:
            yield f"    {source} -->" + (f'|"{label}"|' if label else "") + f" {target}"
        number = 0
        for target, sources in self._errors.items():
            kinds = Counter(errors for _, errors in sources)
            for errors, count in kinds.items():
                if count >= _MANY:
                    number += 1
                    yield f'    any{number}>"any of {count} states"] -.->|"{_in_words(errors)}"| {target}'
                    continue
                for source, named in sources:
                    if named == errors:
                        yield f'    {source} -.->|"{_in_words(errors)}"| {target}'

    @staticmethod
    def _id(scope: str, name: str) -> str:
        return scope + re.sub(r"\W", "", name.title())


def _following(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for rule in state.get("Choices", []):
        yield rule["Next"], _condition(rule)
    if "Default" in state:
        yield state["Default"], "else"
    if "Next" in state:
        yield state["Next"], ""


def _condition(rule: Mapping[str, Any]) -> str:
    """A JSONata condition without its signs; of another rule the variable and what it is compared with."""
    if "Condition" in rule:
        found = rule["Condition"].strip("{% }").replace("$states.input.", "").replace("$", "")
        return str(found).replace('"', "'").replace("<", "&lt;").replace(">", "&gt;")
    compared = [f"{name} {value}" for name, value in rule.items() if name not in ("Variable", "Next", "Assign", "Output")]
    return f"{rule.get('Variable', '')} {' '.join(compared)}".strip().replace('"', "'")


def _what(state: Mapping[str, Any]) -> str:
    """What a task calls, and whether it waits for an answer."""
    if state["Type"] != "Task":
        return f"{state['Seconds']} seconds" if "Seconds" in state else ""
    resource = state["Resource"]
    found = _RESOURCE.search(resource)
    if not found:
        return "Lambda" if ":function:" in resource or "${" in resource else ""
    service = _SERVICES.get(found["service"], found["service"])
    waits = ", waits for its token" if found["pattern"] == ".waitForTaskToken" else ""
    waits = ", waits for its end" if (found["pattern"] or "").startswith(".sync") else waits
    if found["service"] == "lambda":
        named = re.search(r"\$\{(\w+?)Function[0-9A-F]{8}", json.dumps(state.get("Arguments", state.get("Parameters", {}))))
        return f"Lambda {named[1] if named else ''}".strip() + waits
    return f"{service} {found['operation']}{waits}"


def _in_words(errors: str) -> str:
    return "any error" if errors == "States.ALL" else "time is up" if errors == "States.Timeout" else errors


def _text(value: Any) -> str:
    """A template value as text; references become `${LogicalId}` or `${LogicalId.Attribute}`."""
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return f"${{{value['Ref']}}}"
    if "Fn::GetAtt" in value:
        return "${" + ".".join(value["Fn::GetAtt"]) + "}"
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part) for part in parts)
    raise ValueError(f"A definition holds {next(iter(value))}: say in docs/state_graph.py what it is.")
