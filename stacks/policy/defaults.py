"""The defaults of a stack's settings, read from its source: to import it would start the CDK, which takes seconds."""

from __future__ import annotations

import ast
import pathlib
from dataclasses import dataclass
from functools import cache

from stacks import catalogue

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Number:
    """A setting that is a number: its default and its bounds; None for none, or one that is no literal."""

    default: float
    least: float | None
    most: float | None


@cache
def numbers(architecture_id: str) -> dict[str, Number]:
    """The numeric settings of a stack by name. Raises LookupError for an architecture that is unknown or not begun.

    A setting is a field of the class that ends in `Settings`, with a literal for its default.
    """
    stack = catalogue.get(architecture_id).stack
    if stack is None:
        raise LookupError(f"{architecture_id} has no stack.")
    source = (ROOT / stack.partition(":")[0].replace(".", "/")).with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (settings,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"))
    found = {}
    for field in settings.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if not isinstance(field.value, ast.Call):
            continue
        given = {one.arg: _number(one.value) for one in field.value.keywords}
        if (default := given.get("default")) is not None:
            found[field.target.id] = Number(default, given.get("ge"), given.get("le"))
    return found


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
