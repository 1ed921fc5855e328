"""What the command line shows: plans, results and leftovers, as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from local import demos
from sandbox import cost
from sandbox.account import Account
from sandbox.leftovers import Search
from sandbox.plan import Plan, PlannedStack, id_of
from sandbox.scenario import Outcome
from stacks.catalogue import SELF_DESTRUCT, Architecture

if TYPE_CHECKING:
    from local.screen import Screen


def place_lines(account: Account) -> Iterator[str]:
    """Where it is, and as whom."""
    yield f"Account    {account.number}"
    yield f"Region     {account.region}"
    yield f"Identity   {account.identity}"
    if account.endpoint:
        yield f"Endpoint   {account.endpoint}, as AWS_ENDPOINT_URL says: this is not AWS"


def plan_lines(plan: Plan) -> Iterator[str]:
    """The whole plan."""
    yield from place_lines(plan.account)
    yield f"Sandbox    yes: {plan.sandbox}"
    yield f"Bootstrap  {plan.bootstrap or 'stands'}"
    yield ""
    for stack in plan.stacks:
        yield from _stack_lines(stack)
    yield f"Tags       {', '.join(f'{name}={value}' for name, value in plan.tags.items())}"
    if plan.destroyed_at:
        asked = "" if any(id_of(stack.name) == SELF_DESTRUCT.id for stack in plan.made) else ", as was asked before"
        yield f"Removal    by itself, from {plan.destroyed_at:%Y-%m-%d %H:%M} UTC on{asked}"
    else:
        yield f"Removal    make destroy ARCH={plan.architecture.id} CLOUD=aws, or deploy with --destroy-after HOURS"
    yield "Costs      in us-east-1, without free tier:"
    yield f"           {plan.usd_a_month:.2f} dollars a month while idle"
    if plan.scenario_not_run:
        yield f"           the scenario is not run on AWS: {plan.scenario_not_run}"
    else:
        yield f"           {_usd(plan.scenario_usd)} for a run of the scenario"
    if plan.standing_usd:
        yield f"           {plan.standing_usd:.2f} dollars a month more for the endpoint, once a model is deployed"


def _stack_lines(stack: PlannedStack) -> Iterator[str]:
    yield f"Stack      {stack.name}: {stack.what}"
    if stack.kept:
        yield ""
        return
    yield f"  {sum(stack.resources.values())} resources, {stack.usd_a_month:.2f} dollars a month while idle"
    for kind, number in sorted(stack.resources.items()):
        yield f"  {number:4}  {kind}"
    by_status: dict[str, list[str]] = {}
    for title, status in stack.services.items():
        by_status.setdefault(status, []).append(title)
    for status, titles in sorted(by_status.items()):
        told = "open to new accounts" if status == "available" else f"{status} to new accounts"
        yield f"  Services, {told}: {', '.join(titles)}"
    if stack.lacks is None:
        yield "  In this region: nobody has looked up whether it has all of them"
    else:
        yield f"  In this region: {'all of them' if not stack.lacks else 'no ' + ', no '.join(stack.lacks)}"
    for told in stack.to_ask_for:
        yield f"  To ask for in Service Quotas: {told}"
    yield ""


def scenario_lines(account: Account, architecture: Architecture) -> Iterator[str]:
    """What is about to run."""
    yield from place_lines(account)
    yield f"Scenario   {architecture.id}: {architecture.flow}"
    yield f"Costs      {_usd(cost.scenario_cost(architecture.id))} in us-east-1, without free tier"


def summary(architecture: Architecture, outcome: Outcome) -> str:
    """What came of a scenario, in a few words."""
    return demos.of(architecture.id).summary(outcome.report)


def results(architecture: Architecture, outcome: Outcome, screen: Screen) -> Iterable[Any]:
    """What came of it, as the local demo shows it."""
    return demos.of(architecture.id).show(outcome.report, screen)


def leftover_lines(name: str, search: Search) -> Iterator[str]:
    """What was found after a removal, kind by kind, and where nobody could look."""
    if not search.found:
        yield f"Nothing of {name} is left" + (" where it could be looked for." if search.not_searched else ".")
    counts = Counter(one.kind for one in search.found)
    for kind in counts:
        for one in (each for each in search.found if each.kind == kind):
            yield f"  {kind}: {one.name}"
            yield f"      costs {one.cost}; goes {one.goes}"
    for what, why in search.not_searched:
        yield f"  not looked for: {what}: {why}"


def _usd(value: float) -> str:
    return f"{value:.2f} dollars" if value >= 0.01 else "less than a cent"
