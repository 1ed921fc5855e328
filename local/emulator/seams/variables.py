"""Policy variables: `${aws:PrincipalTag/project}` in a resource or a condition stands for the request's own value.

MiniStack compares the text as it stands, so a grant by tag is refused and a denial by tag goes past whom it is for.
What AWS does: "IAM policy elements: Variables and tags", IAM User Guide, read 2026-11-27. A default is served
(`${aws:PrincipalTag/team, 'nobody'}`). A variable without a value matches nothing, which is a denial in a grant, and
with a negated operator holds. A value with a wildcard in it counts as no value: in a pattern it would match others.

Not served: `${*}`, `${?}` and `${$}`, which no policy here uses; they match nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any

from ministack.core import iam_evaluator as _iam

_VARIABLE = re.compile(r"\$\{\s*(?P<key>[^},]+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?\}")
# No ARN and no value of a request has it, so that a pattern with it matches nothing.
_NOTHING = "\ue000"

# MiniStack's own.
_first_match = _iam._first_match
_conditions_met = _iam._conditions_met


def install() -> None:
    """Let requests, trust policies and resources' policies see variables. Before whatever records the matches."""
    _iam._first_match = first_match
    _iam._conditions_met = conditions_met


def first_match(context: Any, statements: Sequence[Any], effect: str) -> Any:
    """The first statement with this effect that is about the request, as it was written; None if there is none."""
    for statement in statements:
        if statement.effect == effect and _first_match(context, [_filled(statement, context)], effect) is not None:
            return statement
    return None


@functools.wraps(_conditions_met)
def conditions_met(conditions: Any, context: Any) -> bool:
    """Whether every condition holds, its variables filled in."""
    filled = _values(conditions, context) if "${" in str(conditions) else conditions
    return bool(_conditions_met(filled, context))


def _filled(statement: Any, context: Any) -> Any:
    """The statement with the request's values. Conditions are filled only where `conditions_met` does not do so."""
    written = (*statement.resources, *statement.not_resources)
    resources = any("${" in pattern for pattern in written)
    conditions = _iam._conditions_met is not conditions_met and "${" in str(statement.conditions)
    if not (resources or conditions):
        return statement
    return dataclasses.replace(
        statement,
        resources=[fill(pattern, context) for pattern in statement.resources],
        not_resources=[fill(pattern, context) for pattern in statement.not_resources],
        conditions=_values(statement.conditions, context) if conditions else statement.conditions,
    )


def _values(conditions: Any, context: Any) -> Any:
    if isinstance(conditions, str):
        return fill(conditions, context)
    if isinstance(conditions, list):
        return [_values(one, context) for one in conditions]
    if isinstance(conditions, dict):
        return {name: _values(one, context) for name, one in conditions.items()}
    return conditions


def pattern_of(written: str) -> str:
    """What a pattern may match, whatever the values of its variables are."""
    return _VARIABLE.sub("*", written)


def fill(pattern: str, context: Any) -> str:
    """A pattern with the values that a request has for its variables."""

    def value(match: re.Match[str]) -> str:
        found = _iam._resolve_condition_key(match["key"], context)
        if not isinstance(found, str) or "*" in found or "?" in found:
            found = match["default"]
        return _NOTHING if found is None else str(found)

    return _VARIABLE.sub(value, pattern) if "${" in pattern else pattern
