"""Holds the policy checks against a cloud assembly.

python -m stacks.policy cdk.out     exit code 0, 1 with a line a problem, 2 when there is no assembly
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from stacks import catalogue
from stacks.policy import availability, idle_cost, leftovers, lint, runtimes, wildcards
from stacks.policy.template import Problem, Template, read


def problems(template: Template, *, default: bool = True) -> list[Problem]:
    """What all checks find in one template. Only one with `default` settings costs what the catalogue says."""
    known = [architecture for architecture in catalogue.ARCHITECTURES if architecture.id == template.architecture]
    declared = known[0].cost_idle if known and default else None
    return [
        *wildcards.check(template),
        *availability.check(template),
        *runtimes.check(template),
        *leftovers.check(template),
        *idle_cost.check(template, declared),
        *lint.check(template),
    ]


def main(arguments: Sequence[str]) -> int:
    """Prints every problem, or one line that there is none."""
    assembly = pathlib.Path(arguments[0] if arguments else "cdk.out")
    try:
        templates = read(assembly)
    except (OSError, ValueError) as error:
        print(f"{assembly} is no cloud assembly ({error}). Synthesize first: make synth", file=sys.stderr)
        return 2
    found = [problem for template in templates for problem in problems(template)]
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        print(f"{', '.join(template.architecture for template in templates)}: no problem found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
