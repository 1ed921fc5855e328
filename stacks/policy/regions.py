"""In which regions a stack can run: where all of its resource types and all the services that it calls are.

`regions.toml` says how the regions of a service are told: by the resource types that CloudFormation has in a region
(`registry`), by the endpoints that the AWS SDK knows, or by a list with its source.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from stacks.policy import availability, registry, services
from stacks.policy.template import Problem, Template

CHECK = "regions"

TABLE = Path(__file__).with_name("regions.toml")


@cache
def table() -> Mapping[str, Any]:
    """The parsed file: `everywhere` and `service`, by the names of `services.toml`."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast("dict[str, Any]", tomllib.loads(TABLE.read_text(encoding="utf-8")))


def check(template: Template, wanted: Mapping[str, Sequence[str]] | None = None) -> list[Problem]:
    """What a stack uses that a region lacks in which its architecture is promised, and what nobody looked up.

    `wanted` are the promised regions by architecture (`regions.toml`, `promised`); `""` is for those not named.
    """
    promised = wanted if wanted is not None else table()["promised"]
    problems = []
    for name in sorted(used_services(template) - table()["service"].keys()):
        message = f"{name} is not in regions.toml: say how its regions are told"
        problems.append(Problem(CHECK, template.architecture, message))
    missing = lacks(template)
    for region in promised.get(template.architecture, promised[""]):
        lacking = missing.get(region, (f"resource types that are known: cfn-lint has no list for {region}",))
        problems += [Problem(CHECK, template.architecture, f"{region} has no {name}") for name in lacking]
    return problems


def runs_in(template: Template) -> list[str]:
    """The commercial regions in which all is there that the stack uses."""
    return [region for region, missing in lacks(template).items() if not missing]


def lacks(template: Template) -> dict[str, list[str]]:
    """By commercial region the resource types, services and values that a stack uses and the region does not have."""
    types = {resource["Type"] for _, resource in template.resources()} - table()["unregistered"].keys()
    used = sorted(used_services(template) & table()["service"].keys())
    listed = {name: set(_mapped(template, name)) for name in _by_region(template)}
    return {
        region: [
            *(name for name in sorted(types) if name.startswith("AWS::") and name not in registry.types(region)),
            *(name for name in used if region not in regions_of(name)),
            *(f"entry in the mapping {name}" for name, known in sorted(listed.items()) if region not in known),
        ]
        for region in registry.regions()
    }


def used_services(template: Template) -> set[str]:
    """The services that a stack uses, by type, grant or call, as `services.toml` names them."""
    known = services.table()["service"]
    found = (availability.service_of(name, field, known) for _, field, name in availability.uses(template))
    return {name for name in found if name}


@cache
def regions_of(service: str) -> frozenset[str]:
    """The commercial regions of a service, as far as they are known. Raises LookupError for one that is not listed."""
    entry = table()["service"][service]
    if "regions" in entry:
        return frozenset(entry["regions"])
    if "endpoint" in entry:
        return frozenset(_endpoints(entry["endpoint"]))
    return frozenset(registry.regions())


def _endpoints(name: str) -> Iterable[str]:
    return cast("list[str]", _sdk().get_available_regions(name))


@cache
def _sdk() -> Any:
    import botocore.session

    return botocore.session.get_session()


def _by_region(value: Any) -> Iterator[str]:
    """The mappings in which the stack looks up its region."""
    if isinstance(value, Template):
        yield from _by_region(value.body.get("Resources", {}))
    elif isinstance(value, list):
        for part in value:
            yield from _by_region(part)
    elif isinstance(value, dict):
        mapping = value.get("Fn::FindInMap")
        if isinstance(mapping, list) and mapping[1] == {"Ref": "AWS::Region"}:
            yield mapping[0]
        for part in value.values():
            yield from _by_region(part)


def _mapped(template: Template, mapping: str) -> Iterable[str]:
    return cast("dict[str, Any]", template.body.get("Mappings", {}).get(mapping, {}))
