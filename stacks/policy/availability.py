"""A default stack uses nothing that is closed to a new AWS account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy.services import table
from stacks.policy.template import Problem, Template, statements, strings

CHECK = "availability"

# A call that a state machine or a schedule makes by itself: `arn:aws:states:::aws-sdk:rekognition:detectLabels`,
# `arn:aws:states:::sagemaker:createTrainingJob.sync` (AWS Step Functions Developer Guide, "Integrating services").
INTEGRATION = re.compile(r"arn:(?:\$\{[^}]*\}|[^:]*):(?:states|scheduler):::(?:aws-sdk:)?([a-z0-9-]+):([A-Za-z]\w*)")

Services = Mapping[str, Mapping[str, Any]]


def check(template: Template, services: Services | None = None) -> list[Problem]:
    """Every use of a service that is not `available`, and of one that `services.toml` does not know.

    A service shows by a resource type, by an action that a statement allows, or by a call in a state machine's
    definition. Of the patterns that match, the longest decides.
    """
    known = services if services is not None else table()["service"]
    problems = []
    for where, field, name in dict.fromkeys(uses(template)):
        found = service_of(name, field, known)
        place = f"{template.architecture} {where}"
        if found is None:
            problems.append(Problem(CHECK, place, f"uses {name}, which services.toml does not know: look it up"))
        elif known[found]["status"] != "available":
            entry = known[found]
            since = f" since {entry['since']}" if "since" in entry else ""
            message = f"uses {name}: {entry['title']} is {entry['status']} to new accounts{since}."
            problems.append(Problem(CHECK, place, f"{message} Today: {entry['alternative']}"))
    return problems


def services(template: Template) -> dict[str, str]:
    """The services that a template uses, each by its title with its status; one that nobody knows by what shows it."""
    known = table()["service"]
    found: dict[str, str] = {}
    for _, field, name in uses(template):
        service = service_of(name, field, known)
        found[known[service]["title"] if service else name] = known[service]["status"] if service else "unknown"
    return dict(sorted(found.items()))


def uses(template: Template) -> Iterator[tuple[str, str, str]]:
    """What a template uses: (logical id, which list of a service tells it, name of the type or action)."""
    for logical_id, resource in template.resources():
        yield logical_id, "resource_types", resource["Type"]
        for piece in strings(resource.get("Properties", {})):
            for service, operation in INTEGRATION.findall(piece):
                yield logical_id, "actions", f"{service}:{operation[0].upper()}{operation[1:]}"
    for statement in statements(template):
        if statement.allows:
            for action in statement.actions:
                yield statement.logical_id, "actions", action


def service_of(name: str, field: str, services: Services) -> str | None:
    """The service of a resource type or action, by `services.toml`: of several patterns the longest decides."""
    matching = [
        (len(pattern), service)
        for service, entry in services.items()
        for pattern in entry[field]
        if (name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern)
    ]
    return max(matching)[1] if matching else None
