"""No function runs on a deprecated Lambda runtime, nor on one that is about to be."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from stacks.policy.services import table
from stacks.policy.template import Problem, Template

CHECK = "runtimes"

# AWS warns at least that long before a runtime is deprecated (AWS Lambda Developer Guide, "Lambda runtimes").
NOTICE = datetime.timedelta(days=180)


def check(
    template: Template, today: datetime.date | None = None, runtimes: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Problem]:
    """Every function whose runtime is deprecated, will be within the notice, or is not in `services.toml`."""
    day = today or datetime.datetime.now(datetime.timezone.utc).date()
    known = runtimes if runtimes is not None else table()["runtime"]
    problems = []
    for logical_id, function in template.resources("AWS::Lambda::Function"):
        runtime = function["Properties"].get("Runtime")
        if runtime is None:
            # A container image brings its own.
            continue
        if runtime not in known:
            message = f"{runtime} is not in services.toml: look its dates up"
        elif day >= known[runtime]["deprecated"]:
            message = f"{runtime} is deprecated since {known[runtime]['deprecated']}"
        elif day >= known[runtime]["deprecated"] - NOTICE:
            message = f"{runtime} will be deprecated on {known[runtime]['deprecated']}: move to a newer one"
        else:
            continue
        problems.append(Problem(CHECK, f"{template.architecture} {logical_id}", message))
    return problems
