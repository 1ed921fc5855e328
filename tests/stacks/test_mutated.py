"""Every stack whose promise is that something is refused has its policies taken apart, one statement at a time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES
from stacks.policy.template import read, statements

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"

# Beside the theme: they refuse too, and stand among those that operate.
REFUSING = ("cost-guard", "model-vault")


def calls(node: ast.AST) -> set[str]:
    """The functions that are called inside, by their names without module."""
    called = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    return {one.attr for one in called if isinstance(one, ast.Attribute)} | {
        one.id for one in called if isinstance(one, ast.Name)
    }


def takes_apart(source: str) -> bool:
    """Whether a test module collects a stack's policies and holds that no change of them survives."""
    tree = ast.parse(source)
    asserted = {name for one in ast.walk(tree) if isinstance(one, ast.Assert) for name in calls(one.test)}
    return "of_stack" in calls(tree) and {"survivors", "wrong"} <= asserted


@pytest.mark.parametrize(
    "architecture",
    [one.id for one in ARCHITECTURES if one.stack and (one.theme == "secure" or one.id in REFUSING)],
)
def test_a_stack_with_a_denial_or_a_condition_is_taken_apart(architecture: str, assemblies: dict[str, Path]) -> None:
    # Given the statements of a stack that refuse, or that allow under a condition
    template = next(one for one in read(assemblies["aws"]) if one.architecture == architecture)
    holding = [one for one in statements(template) if not one.allows or one.body.get("Condition")]
    assert holding
    # When its scenario's tests are read, Then one of them takes the deployed policies apart
    name = f"test_{architecture.replace('-', '_')}"
    modules = sorted(SCENARIOS.glob(f"{name}*.py"))
    assert any(takes_apart(module.read_text(encoding="utf-8")) for module in modules), (
        f"{len(holding)} statements of {architecture} could be taken out, and no test would tell: "
        f"hold tests.mutations.survivors to nothing, over of_stack, in tests/scenarios/{name}.py"
    )


@pytest.mark.parametrize(
    ("source", "bites"),
    [
        ("assert wrong(e, d) == []\nassert survivors(e, of_stack(cloud, name)) == []", True),
        ("d = mutations.of_stack(c, n)\nassert not mutations.wrong(e, d)\nassert not mutations.survivors(e, d)", True),
        ("d = of_stack(cloud, name)\nassert wrong(e, d) == []\nsurvivors(e, d)", False),
        ("assert wrong(e, made_up) == []\nassert survivors(e, made_up) == []", False),
        ("# of_stack, wrong, survivors\nassert True", False),
    ],
)
def test_policies_that_are_only_collected_or_made_up_are_not_taken_apart(source: str, bites: bool) -> None:
    assert takes_apart(source) is bites
