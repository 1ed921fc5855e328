"""The failure matrix is complete: no empty cell, no test that does not exist, no architecture left out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from scenarios.matrix import MATRIX, SITUATIONS, AnsweredBy, Cell, DoesNotApply
from stacks import catalogue

ROOT = Path(__file__).parents[2]
PASSED_OVER = {"skip", "skipif", "xfail", "soak"}


def gaps(matrix: Mapping[str, Mapping[str, Cell]], available: set[str], collected: Mapping[str, set[str]]) -> list[str]:
    """What is missing: `collected` maps the dotted name of every test that pytest finds to the marks it bears."""
    situations = {situation.id for situation in SITUATIONS}
    found = [f"{architecture}: no row" for architecture in available - set(matrix)]
    for architecture, row in matrix.items():
        found += [f"{architecture}: {situation} has no cell" for situation in situations - set(row)]
        found += [f"{architecture}: {situation} is no situation" for situation in set(row) - situations]
        for situation, cell in row.items():
            if isinstance(cell, DoesNotApply):
                found += [] if cell.reason.strip() else [f"{architecture}: {situation} is waived without a reason"]
                continue
            found += [] if cell.tests else [f"{architecture}: {situation} names no test"]
            for name in cell.tests:
                if name not in collected:
                    found.append(f"{architecture}: {situation} names {name}, which does not exist")
                elif passed_over := collected[name] & PASSED_OVER:
                    found.append(f"{architecture}: {situation} names {name}, which is marked {passed_over}")
    return found


@pytest.fixture(scope="module")
def collected() -> dict[str, set[str]]:
    """Dotted name of every test that pytest itself collects in this folder, with the marks of all its cases."""
    program = (
        "import pytest\n"
        "class Names:\n"
        "    def pytest_collection_modifyitems(self, items):\n"
        "        for i in items:\n"
        "            name = f'{i.module.__name__}.{i.originalname}'\n"
        "            print('TEST', name, *[mark.name for mark in i.iter_markers()])\n"
        "pytest.main(['--collect-only', '-qq', '-m', '', 'tests/scenarios'], plugins=[Names()])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line.split()[1:] for line in answer.stdout.splitlines() if line.startswith("TEST ")]
    assert lines, f"pytest collected nothing:\n{answer.stdout}{answer.stderr}"
    found: dict[str, set[str]] = {}
    for name, *marks in lines:
        # Of a test with parameters those count that every set of them bears: one set that is run is enough.
        found[name] = found.get(name, set(marks)) & set(marks)
    return found


def test_every_cell_of_every_available_architecture_is_answered(collected: dict[str, set[str]]) -> None:
    # Given the catalogue's available architectures, When the matrix is compared with the tests that exist
    available = {architecture.id for architecture in catalogue.available()}
    assert available, "the catalogue has no available architecture"
    # Then nothing is missing
    assert gaps(MATRIX, available, collected) == []


FULL: dict[str, Cell] = {situation.id: AnsweredBy(("tests.x.test_y",)) for situation in SITUATIONS}
FIRST = SITUATIONS[0].id


@pytest.mark.parametrize(
    ("matrix", "marks", "expected"),
    [
        ({"a": FULL}, set(), None),
        ({}, set(), "a: no row"),
        ({"a": {k: v for k, v in FULL.items() if k != FIRST}}, set(), f"a: {FIRST} has no cell"),
        ({"a": {**FULL, "typo": DoesNotApply("r")}}, set(), "a: typo is no situation"),
        ({"a": {**FULL, FIRST: DoesNotApply(" ")}}, set(), f"a: {FIRST} is waived without a reason"),
        ({"a": {**FULL, FIRST: AnsweredBy(())}}, set(), f"a: {FIRST} names no test"),
        ({"a": {**FULL, FIRST: AnsweredBy(("tests.x.gone",))}}, set(), "tests.x.gone, which does not exist"),
        ({"a": FULL}, {"skip"}, "which is marked {'skip'}"),
    ],
)
def test_a_gap_in_the_matrix_is_found(
    matrix: dict[str, dict[str, Cell]], marks: set[str], expected: str | None
) -> None:
    # Given a matrix with one planted gap, When it is looked at
    found = gaps(matrix, {"a"}, {"tests.x.test_y": marks})
    # Then that gap is named, and a full one has none
    assert (expected is None and not found) or (expected is not None and expected in found[0])
