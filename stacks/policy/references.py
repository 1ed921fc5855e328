"""What needs what: no circle in a stack or between stacks, no import of nothing, no export for nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from stacks.policy.template import Problem, Template
from stacks.policy.values import Place, evaluate, string

CHECK = "references"

# Exports that no default stack imports, each with who does.
FOR_VARIANTS: Mapping[tuple[str, str], str] = {
    ("private-network", name): "a stack with the setting `network` imports it"
    for name in (
        "FunctionsSecurityGroupId",
        "ComprehendEndpointId",
        "DynamodbEndpointId",
        "S3EndpointId",
    )
}

# Imports that the default stacks do not export, each with how it comes about.
FROM_VARIANTS: Mapping[tuple[str, str], str] = {
    ("secure-studio", name): "private-network has this door when it is deployed for secure-studio (`Neighbours`)"
    for name in ("private-network-SagemakerApiEndpointId", "private-network-SagemakerRuntimeEndpointId")
}


def check(template: Template) -> list[Problem]:
    """Every reference to what the template does not have, and the resources of the first circle."""
    problems = [
        Problem(CHECK, f"{template.architecture} {logical_id}", f"needs {needed}, which the template does not have")
        for logical_id, all_needed in needs(template).items()
        for needed in sorted(all_needed)
        if needed not in template.body.get("Resources", {})
    ]
    if not problems:
        try:
            creation_order(template)
        except CycleError as error:
            problems.append(Problem(CHECK, template.architecture, f"circle: {' needs '.join(reversed(error.args[1]))}"))
    return problems


def check_together(
    templates: Sequence[Template],
    unused: Mapping[tuple[str, str], str] = FOR_VARIANTS,
    missing: Mapping[tuple[str, str], str] = FROM_VARIANTS,
) -> list[Problem]:
    """What is wrong between stacks that are deployed side by side, each under the name of its architecture.

    An import of what nobody exports, an export that nobody imports, one name exported twice, stacks in a circle; and
    a declaration in `unused` (architecture and output) or `missing` (architecture and export) that is not needed.
    """
    exported: dict[str, tuple[str, str]] = {}
    problems = []
    for template in templates:
        for output, name in exports(template).items():
            if name in exported:
                message = f"exports {name}, as does {exported[name][0]}: an account has each once a region"
                problems.append(Problem(CHECK, f"{template.architecture} {output}", message))
            exported[name] = template.architecture, output
    wanted = {template.architecture: imports(template) for template in templates}
    lacking = {(who, name) for who, names in wanted.items() for name in names if name not in exported}
    idle = {place for name, place in exported.items() if not any(name in names for names in wanted.values())}
    problems += [
        Problem(CHECK, who, f"imports {name}, which no stack exports") for who, name in sorted(lacking - missing.keys())
    ]
    problems += [
        Problem(CHECK, f"{who} {output}", "is exported, and nothing imports it")
        for who, output in sorted(idle - unused.keys())
    ]
    built = {template.architecture for template in templates}
    for who, name in sorted({*(unused.keys() - idle), *(missing.keys() - lacking)}):
        if who in built:
            problems.append(Problem(CHECK, f"{who} {name}", "is declared in references.py and is not so: take it out"))
    try:
        deletion_order(templates)
    except CycleError as error:
        problems.append(Problem(CHECK, "all stacks", f"circle: {' needs '.join(reversed(error.args[1]))}"))
    return problems


def needs(template: Template) -> dict[str, set[str]]:
    """By logical id of a resource those of the resources that it needs, by reference or by `DependsOn`."""
    given = set(template.body.get("Parameters", {}))
    found: dict[str, set[str]] = {}
    for logical_id, resource in template.resources():
        after = resource.get("DependsOn", ())
        named = {after} if isinstance(after, str) else set(after)
        rest = {key: part for key, part in resource.items() if key != "DependsOn"}
        found[logical_id] = (named | set(_references(rest))) - given
    return found


def creation_order(template: Template) -> list[str]:
    """The logical ids, each after all that it needs. Raises graphlib.CycleError where there is a circle."""
    return list(TopologicalSorter(needs(template)).static_order())


def exports(template: Template) -> dict[str, str]:
    """By output the name of its export, where it has one."""
    place = Place(template.architecture)
    return {
        output: string(evaluate(body["Export"]["Name"], template, place))
        for output, body in template.body.get("Outputs", {}).items()
        if "Export" in body
    }


def imports(template: Template) -> set[str]:
    """The names of the exports that a template imports."""
    place = Place(template.architecture)
    return {string(evaluate(name, template, place)) for name in _imported(template.body)}


def stack_needs(templates: Sequence[Template]) -> dict[str, set[str]]:
    """By architecture those whose exports its stack imports."""
    owner = {name: template.architecture for template in templates for name in exports(template).values()}
    return {
        template.architecture: {owner[name] for name in imports(template) if name in owner} for template in templates
    }


def deletion_order(templates: Sequence[Template]) -> list[str]:
    """The architectures, each before all that it imports from. Raises graphlib.CycleError where there is a circle.

    CloudFormation refuses to delete a stack while another imports one of its exports.
    """
    return list(reversed(list(TopologicalSorter(stack_needs(templates)).static_order())))


def _references(value: Any) -> Iterator[str]:
    """The logical ids in a value; pseudo parameters are left out."""
    if isinstance(value, list):
        for part in value:
            yield from _references(part)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("Ref"), str) and len(value) == 1:
        if not value["Ref"].startswith("AWS::"):
            yield value["Ref"]
        return
    if "Fn::GetAtt" in value and len(value) == 1:
        argument = value["Fn::GetAtt"]
        yield argument[0] if isinstance(argument, list) else argument.partition(".")[0]
        return
    if "Fn::Sub" in value and len(value) == 1:
        text, given = (value["Fn::Sub"], {}) if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"]
        for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
            if name not in given and not name.startswith("AWS::"):
                yield name.partition(".")[0]
        yield from _references(given)
        return
    for part in value.values():
        yield from _references(part)


def _imported(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "Fn::ImportValue":
                yield part
            yield from _imported(part)
    elif isinstance(value, list):
        for part in value:
            yield from _imported(part)
