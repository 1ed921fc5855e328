"""What a stack costs while nobody uses it, whether the catalogue says so, and whether that is little enough.

The prices stand in `prices.toml`, with their sources. A type that is neither there nor among the free ones is refused
until somebody has looked it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy import prices
from stacks.policy.prices import Standing
from stacks.policy.template import Problem, Template

CHECK = "idle cost"


def monthly(template: Template) -> float:
    """US dollars a month for the resources of a template while they are idle; unknown types count nothing."""
    return round(
        sum(one.price.of(quantity) for _, resource in template.resources() for one, quantity in used(resource)), 2
    )


def used(resource: Mapping[str, Any]) -> Iterator[tuple[Standing, float]]:
    """What a resource uses in a month while it is idle, with how much of its price.

    Raises KeyError for one without a property that its price is multiplied with.
    """
    for one in prices.standing().get(resource["Type"], ()):
        each = float(resource["Properties"][one.times]) if one.times else 1.0
        yield one, units(resource) * one.quantity * each


def units(resource: Mapping[str, Any]) -> int:
    """How many times a resource costs its price: an interface endpoint once a zone, a gateway never."""
    if resource["Type"] != "AWS::EC2::VPCEndpoint":
        return 1
    properties = resource["Properties"]
    return len(properties.get("SubnetIds", ())) if properties.get("VpcEndpointType") == "Interface" else 0


def check(template: Template, declared: float | None = None, ceiling: float | None = None) -> list[Problem]:
    """Every type of which nobody has said what it costs, a sum that is not the `declared` one, one over the `ceiling`.

    Both are US dollars a month; None leaves the comparison out.
    """
    known = prices.standing().keys() | prices.free()
    problems = [
        Problem(CHECK, f"{template.architecture} {logical_id}", f"{resource['Type']}: say what it costs while idle")
        for logical_id, resource in template.resources()
        if resource["Type"] not in known
    ]
    sum_ = monthly(template)
    if declared is not None and abs(sum_ - declared) >= 0.01:
        message = f"costs {sum_:.2f} dollars a month while idle, the catalogue says {declared:.2f}"
        problems.append(Problem(CHECK, template.architecture, message))
    if ceiling is not None and sum_ > ceiling:
        message = f"costs {sum_:.2f} dollars a month while idle, more than its ceiling of {ceiling:.2f}"
        problems.append(Problem(CHECK, template.architecture, message))
    return problems
