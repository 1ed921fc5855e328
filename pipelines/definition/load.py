"""A committed definition, as a stack deploys it. Needs the standard library only."""

from __future__ import annotations

import json
from typing import Any

from pipelines.definition.archive import FOLDER, Case


def load(case: Case, *, spot: bool = True) -> str:
    """The text of a case's definition, as small as JSON gets, with its placeholders (`${Name}`) in it.

    `spot=False` has the model trained on instances that nobody takes away, for about three times the price. It is no
    parameter of the pipeline, as SageMaker refuses `MaxWaitTimeInSeconds` where spot is off.
    """
    definition = json.loads((FOLDER / case / "definition.json").read_text(encoding="utf-8"))
    if not spot:
        _without_spot(definition)
    return json.dumps(definition, separators=(",", ":"), ensure_ascii=False)


def _without_spot(definition: dict[str, Any]) -> None:
    for step in definition["Steps"]:
        if step["Type"] == "Training":
            del step["Arguments"]["EnableManagedSpotTraining"]
            del step["Arguments"]["StoppingCondition"]["MaxWaitTimeInSeconds"]
    definition["Parameters"] = [one for one in definition["Parameters"] if one["Name"] != "MaxSpotWaitSeconds"]
