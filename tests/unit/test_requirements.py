"""The locks of the environment's sets agree: installing one on top of another changes nothing."""

from __future__ import annotations

import itertools
import pathlib
import re

import pytest

REQUIREMENTS = pathlib.Path(__file__).resolve().parents[2] / "requirements"
SETS = ("run", "language", "training", "dev")


def pins(name: str) -> dict[str, frozenset[str]]:
    """The versions of each package; more than one where they differ by platform or Python."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;\\]+)", (REQUIREMENTS / f"{name}.txt").read_text()):
        found.setdefault(package, set()).add(version)
    return {package: frozenset(versions) for package, versions in found.items()}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SETS, 2)))
def test_what_two_sets_have_in_common_they_have_in_the_same_version(one: str, other: str) -> None:
    # Given the locks of two sets that are installed into one environment
    first, second = pins(one), pins(other)
    common = first.keys() & second.keys()
    assert common
    # When they are compared, Then neither would change what the other brought
    assert {package: (first[package], second[package]) for package in common if first[package] != second[package]} == {}
