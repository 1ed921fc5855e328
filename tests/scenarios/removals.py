"""Takes permissions away from roles: which in every run of the tests, which in those of endurance, and how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.cloud import LocalCloud


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


@contextmanager
def without(cloud: LocalCloud, role: str, action: str) -> Iterator[None]:
    """One action taken away from a role, by its name, that has one inline policy and holds the action in it."""
    iam = cloud.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    left, taken = [], False
    for statement in before["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        kept = [one for one in actions if one != action]
        taken |= kept != actions
        if kept:
            left.append({**statement, "Action": kept})
    assert taken, f"{role} does not hold {action}"
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**before, "Statement": left}))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))
