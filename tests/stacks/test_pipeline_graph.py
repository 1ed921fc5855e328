"""SageMaker pipelines are drawn from their definitions: every step, what it takes, and both ways of a condition."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs import pipeline_graph

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
CASES = sorted(path.parent.name for path in PIPELINES.glob("*/definition.json"))


@pytest.fixture(params=CASES)
def definition(request: pytest.FixtureRequest) -> Any:
    return json.loads((PIPELINES / request.param / "definition.json").read_text(encoding="utf-8"))


def arrows(definition: Any) -> set[tuple[str, str, str]]:
    """(from, label, to) of every arrow."""
    found = re.findall(r"^ +(\w+) -->(?:\|(\w+)\|)? (\w+)$", pipeline_graph.mermaid(definition), re.MULTILINE)
    return set(found)


def test_a_pipeline_is_drawn_with_what_each_step_takes(definition: Any) -> None:
    # Given a committed definition, When it is drawn
    drawn = arrows(definition)
    # Then data leads from step to step, and a condition to both its ends
    assert {("Prepare", "", "Train"), ("Train", "", "Evaluate"), ("Evaluate", "", "IsGoodEnough")} <= drawn
    assert {("IsGoodEnough", "yes", "Baseline"), ("IsGoodEnough", "no", "NotGoodEnough")} <= drawn
    assert ("Baseline", "", "Register") in drawn
    # And every step has a box
    named = set(
        re.findall(
            r'"Name": "(\w+)", "Type": "(?:Processing|Training|Condition|Fail|RegisterModel)"', json.dumps(definition)
        )
    )
    boxes = set(re.findall(r'^ +(\w+)[\[{(]+"<b>', pipeline_graph.mermaid(definition), re.MULTILINE))
    assert boxes == named
    assert {end for start, _, end in drawn} | {start for start, _, end in drawn} == boxes


def test_an_arrow_goes_when_its_reference_goes(definition: Any) -> None:
    # Given a definition whose evaluation waits for no training any more
    changed = copy.deepcopy(definition)
    evaluate = next(step for step in changed["Steps"] if step["Name"] == "Evaluate")
    evaluate["Arguments"] = json.loads(json.dumps(evaluate["Arguments"]).replace("Steps.Train.", "Parameters."))
    # Then that arrow is gone, and no other
    assert arrows(definition) - arrows(changed) == {("Train", "", "Evaluate")}


def test_the_condition_is_told_in_words(definition: Any) -> None:
    text = pipeline_graph.mermaid(definition)
    assert "<i>selection.value ≥ MetricThreshold<br/>and selection.value &gt; selection.to_beat</i>" in text
