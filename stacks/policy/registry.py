"""What CloudFormation's registry says of resource types: the schemas that cfn-lint carries, read from its data.

A schema is AWS's own description of a resource type in a region. cfn-lint's newest version has those of the day that
`dated()` tells. Only its files are read: importing cfn-lint takes a second and a half.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

# In every region the same schemas are compared with those of this one.
HOME = "us-east-1"

# Of other partitions: China, GovCloud, the isolated regions and the European Sovereign Cloud.
ELSEWHERE = ("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")


def dated() -> str:
    """The day of the schemas, such as `2026-10-20`."""
    version: dict[str, str] = json.loads((_folder() / "version.json").read_text())
    return version["schema_date"][:10]


@cache
def regions() -> tuple[str, ...]:
    """The commercial regions whose resource types are known, by name."""
    names = (path.stem for path in (_folder() / "providers").glob("*-*.json"))
    return tuple(sorted(name for name in names if not name.startswith(ELSEWHERE)))


@cache
def types(region: str = HOME) -> Mapping[str, str]:
    """The resource types of a region, each with the mark of its schema: the same mark is the same schema."""
    return cast("dict[str, str]", json.loads((_folder() / "providers" / f"{region}.json").read_text()))


@cache
def schema(resource_type: str) -> Mapping[str, Any]:
    """The schema of a type, as it is in us-east-1. Raises LookupError for a type that the registry does not know."""
    mark = types()[resource_type]
    return cast("dict[str, Any]", json.loads((_folder() / "resources" / f"{mark}.json").read_text()))


def fixed(resource_type: str) -> list[tuple[str, ...]]:
    """The properties that cannot be changed: where one does, CloudFormation makes a new resource and deletes the old.

    As paths: `("KeySchema",)`, `("Budget", "BudgetName")`. A type that the registry does not know has none.
    """
    if resource_type not in types():
        return []
    found = schema(resource_type)
    pointers = [*found.get("createOnlyProperties", ()), *found.get("conditionalCreateOnlyProperties", ())]
    return [tuple(pointer.split("/")[2:]) for pointer in pointers]


def differing_regions(resource_types: set[str]) -> list[str]:
    """Regions of which the first has the schemas of us-east-1, and each of the others a schema that none before has."""
    seen = {(name, types().get(name)) for name in resource_types}
    found = [HOME]
    for region in regions():
        here = {(name, types(region)[name]) for name in resource_types if name in types(region)}
        if here - seen:
            seen |= here
            found.append(region)
    return found


@cache
def _folder() -> Path:
    found = importlib.util.find_spec("cfnlint")
    if found is None or not found.origin:
        raise ModuleNotFoundError("cfn-lint is not installed: make setup-dev")
    return Path(found.origin).parent / "data" / "schemas"
