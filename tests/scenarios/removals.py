"""Which of a role's permissions are taken away in every run of the tests, and which in those of endurance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def of_each_role(cases: Iterable[tuple[str, ...]]) -> list[Any]:
    """Cases for `parametrize`, each a role and more: of every role the first runs always, the others in `make soak`.

    That nothing is granted in vain and nothing is missing is proven in every run, from what the scenario asked for. To
    take each permission away as well shows how its absence is told, which takes a story each.
    """
    seen: set[str] = set()
    found = []
    for case in cases:
        found.append(pytest.param(*case, marks=[pytest.mark.soak] if case[0] in seen else []))
        seen.add(case[0])
    return found


def of_one_role(actions: Iterable[str]) -> list[Any]:
    """The same for actions of one role."""
    return [pytest.param(action, marks=[pytest.mark.soak] if number else []) for number, action in enumerate(actions)]
