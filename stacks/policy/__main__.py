"""Holds the policy checks against a cloud assembly.

python -m stacks.policy cdk.out     exit code 0, 1 with a line a problem, 2 when there is no assembly
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stacks import catalogue
from stacks.policy import (
    availability,
    idle_cost,
    leftovers,
    lint,
    names,
    quotas,
    references,
    regions,
    runtimes,
    stateful,
    wildcards,
)
from stacks.policy.template import Problem, Template, read_named


def problems(template: Template, *, default: bool = True) -> list[Problem]:
    """What all checks find in one template. Only one with `default` settings costs what the catalogue says."""
    entry = next((a for a in catalogue.ARCHITECTURES if default and a.id == template.architecture), None)
    declared, ceiling = (entry.cost_idle, entry.idle_ceiling) if entry else (None, None)
    return [
        *wildcards.check(template),
        *availability.check(template),
        *runtimes.check(template),
        *leftovers.check(template),
        *idle_cost.check(template, declared, ceiling),
        *names.check(template),
        *quotas.check(template),
        *references.check(template),
        *regions.check(template),
        *lint.check(template),
    ]


def problems_together(templates: Sequence[Template]) -> list[Problem]:
    """What the checks find in stacks that are deployed side by side.

    What they import from each other, and whether an update keeps their data, is looked at only where all that are built
    are there, as `make synth` leaves them.
    """
    whole = {architecture.id for architecture in catalogue.ARCHITECTURES if architecture.stack}
    found = [*names.check_together(templates), *quotas.check_together(templates)]
    if whole <= {template.architecture for template in templates}:
        found += references.check_together(templates)
        found += [problem for template in templates for problem in stateful.check(template)]
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints every problem, or one line that there is none."""
    templates = read_named(arguments)
    if templates is None:
        return 2
    found = [problem for template in templates for problem in problems(template)] + problems_together(templates)
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        print(f"{', '.join(template.architecture for template in templates)}: no problem found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
