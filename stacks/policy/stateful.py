"""An update of a stack keeps what its users put into it.

    python -m stacks.policy.stateful cdk.out     tells what an update would lose, and takes the new state down

`stateful.json` has the resources that hold data, as they were when somebody last took them down: their logical ids, and
what CloudFormation cannot change without making them anew. A template that differs from it would, when it is deployed
over a stack of the version before, delete a table or a bucket with all that is in it. So the check fails until the
loss is meant: then the command takes the new state down, and the change of the file shows it to who reviews.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stacks.policy import registry
from stacks.policy.template import Problem, Template, read_named

CHECK = "stateful"

SNAPSHOT = pathlib.Path(__file__).with_name("stateful.json")

# Resource types that keep what was put into them, or without which it cannot be read. Of custom resources
# CloudFormation knows no property that would make them new: their handlers decide, so what counts is that they stay.
HOLDING = (
    "AWS::CloudTrail::Trail",
    "AWS::DynamoDB::Table",
    "AWS::EC2::VPC",  # a new one takes all in it along
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::GuardDuty::Detector",  # its findings
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SageMaker::Domain",  # the users' home folders
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SageMaker::NotebookInstance",  # its volume
    "AWS::SageMaker::UserProfile",
    "AWS::SecretsManager::Secret",
    "AWS::SNS::Topic",  # who subscribed by hand
    "Custom::ReplicaBucket",
)

MEND = "is that meant? Then take it down: python -m stacks.policy.stateful cdk.out"

State = Mapping[str, Mapping[str, Mapping[str, Any]]]


def check(template: Template, before: State | None = None) -> list[Problem]:
    """What an update from the state before would delete, with its data, and what the file does not have yet.

    `before` is by architecture and logical id, as `state` gives it, or else what `stateful.json` has. An architecture
    that is not in it is new: nobody has a stack of it.
    """
    known = (snapshot() if before is None else before).get(template.architecture)
    now = state(template)
    if known is None:
        return [
            Problem(CHECK, template.architecture, f"is not in {SNAPSHOT.name}. Take it down: {MEND.partition(': ')[2]}")
        ]
    problems = []
    for logical_id in sorted({*known, *now}):
        if logical_id not in now:
            message = f"{known[logical_id]['type']} is gone: an update deletes it with all that is in it; {MEND}"
        elif logical_id not in known:
            message = (
                f"{now[logical_id]['type']} is not in {SNAPSHOT.name} yet. Take it down: {MEND.partition(': ')[2]}"
            )
        elif changed := _changed(known[logical_id], now[logical_id]):
            message = f"{changed} changed: an update makes it anew and deletes it with all that is in it; {MEND}"
        else:
            continue
        problems.append(Problem(CHECK, f"{template.architecture} {logical_id}", message))
    return problems


def state(template: Template) -> dict[str, dict[str, Any]]:
    """The resources that hold data, by logical id: their `type`, and in `fixed` what cannot be changed in them."""
    return {
        logical_id: {"type": resource["Type"], "fixed": _fixed(resource)}
        for logical_id, resource in sorted(template.resources(*HOLDING))
    }


def snapshot() -> State:
    """What `stateful.json` has."""
    found: State = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return found


def take_down(templates: Sequence[Template], path: pathlib.Path = SNAPSHOT) -> list[Problem]:
    """Writes the state of these templates into the file, and returns what an update from the one before would lose.

    Other architectures in the file stay as they are.
    """
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lost = [problem for template in templates for problem in check(template, before) if MEND in problem.message]
    after = {**before, **{template.architecture: state(template) for template in templates}}
    path.write_text(json.dumps(dict(sorted(after.items())), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return lost


def _fixed(resource: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for path in registry.fixed(resource["Type"]):
        value: Any = resource.get("Properties", {})
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found["/".join(path)] = value
    return found


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if before["type"] != now["type"]:
        return f"the type {before['type']}"
    differing = [
        name
        for name in sorted({*before["fixed"], *now["fixed"]})
        if before["fixed"].get(name) != now["fixed"].get(name)
    ]
    return ", ".join(differing)


def main(arguments: Sequence[str]) -> int:
    """Takes the state of an assembly down. Exit code 0, or 2 where there is no assembly."""
    templates = read_named(arguments)
    if templates is None:
        return 2
    for problem in take_down(templates):
        print(f"{problem.where}: {problem.message.partition('; ')[0]}", file=sys.stderr)
    print(f"{SNAPSHOT.name} has the state of {', '.join(template.architecture for template in templates)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
