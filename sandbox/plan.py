"""What a deployment would do: where, as whom, with what, at which price. Finding it out changes nothing."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox import cost, sanction, stacks
from sandbox.account import Account, AccountError, plain_errors
from scenarios.clouds import where_it_runs
from stacks.catalogue import SELF_DESTRUCT, Architecture, get, with_needs
from stacks.policy import availability, idle_cost, quotas, references, regions, services
from stacks.policy.__main__ import problems as checked
from stacks.policy.template import Template, read

PROJECT = "ml-reference-architectures"
# Under a prefix of their own: `project` alone is what access-control tells its people's resources by, and a role that
# had it from here would have been given access by it.
PROJECT_TAG, OWNER_TAG, EXPIRY_TAG = "sandbox:project", "sandbox:owner", "sandbox:expiry"
# By what a stack tells where else it has something, and how that is chosen.
REGION_OUTPUT, REGION_SETTING = "ReplicaRegion", "replica_region"
EXPIRES_AFTER = datetime.timedelta(days=7)
# AWS CDK v2 Developer Guide, "Customize AWS CDK bootstrapping", read 2026-11-23.
QUALIFIER = "hnb659fds"
VERSION_PARAMETER = f"/cdk-bootstrap/{QUALIFIER}/version"


@dataclass(frozen=True)
class PlannedStack:
    """A stack of the plan. `state` is how it stands now, None where it does not; `kept` means that it is left so.

    `resources` counts types, `services` maps titles to their availability for new accounts. `lacks` is what the
    account's region does not have of all that it uses, None where nobody looked the region up. `to_ask_for` are quotas,
    a line each, that a new account has too little of once the stack is used.
    """

    name: str
    title: str
    state: str | None
    kept: bool
    resources: Mapping[str, int]
    services: Mapping[str, str]
    usd_a_month: float
    lacks: tuple[str, ...] | None = ()
    to_ask_for: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What becomes of it, in words."""
        if self.kept:
            return "stands already, is left as it is"
        if self.state in (None, "REVIEW_IN_PROGRESS"):
            return "is made"
        if self.state in stacks.UNMADE:
            return "is removed first, as its creation failed before, and made anew"
        return "is updated"


@dataclass(frozen=True)
class Removal:
    """A stack that stands and removes others by itself: these, in this order, from that moment on."""

    stacks: tuple[str, ...]
    at: datetime.datetime


@dataclass(frozen=True)
class Plan:
    """What would be done. `bootstrap` says in words what becomes of CDK's own stack, None where it stands."""

    account: Account
    architecture: Architecture
    sandbox: str
    bootstrap: str | None
    stacks: tuple[PlannedStack, ...]
    tags: Mapping[str, str]
    destroyed_at: datetime.datetime | None = None
    scenario_usd: float = 0.0
    scenario_not_run: str | None = None
    standing_usd: float = 0.0

    @property
    def made(self) -> tuple[PlannedStack, ...]:
        """The stacks that are made or updated."""
        return tuple(stack for stack in self.stacks if not stack.kept)

    @property
    def usd_a_month(self) -> float:
        """US dollars a month for all that the plan makes, while nobody uses it."""
        return round(sum(stack.usd_a_month for stack in self.made), 2)


@dataclass(frozen=True)
class Wishes:
    """What the user asked for beside the architecture. `confirmed` is an account number; hours until self-destruct."""

    confirmed: str | None = None
    owner: str | None = None
    destroy_after_hours: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def destroyed_at(wishes: Wishes, now: datetime.datetime) -> datetime.datetime | None:
    """When the self-destruct begins, in whole minutes; None where none is wanted."""
    if wishes.destroy_after_hours is None:
        return None
    return (now + datetime.timedelta(hours=wishes.destroy_after_hours)).replace(second=0, microsecond=0)


def removal(account: Account, destructor: str) -> Removal | None:
    """What the stack of this name removes by itself; None where there is none that works, or it is another's."""
    stack = stacks.described(account, destructor)
    if stack is None or stack["StackStatus"] not in stacks.READY:
        return None
    outputs = stacks.outputs_of(stack)
    if not {"Stacks", "At"} <= outputs.keys():
        return None
    return Removal(tuple(outputs["Stacks"].split(",")), datetime.datetime.fromisoformat(outputs["At"]))


def going(states: Mapping[str, str | None], architecture: Architecture, before: Removal | None) -> list[str]:
    """The stacks that a self-destruct is to remove, in its order: those that the deployment makes or updates, and those
    that one of before was to remove. Those that were there before them stay."""
    wanted = {*missing(states, architecture), *(before.stacks if before else ())}
    # Stacks go before what they need.
    return [name for name in reversed(list(states)) if name in wanted]


def tags(account: Account, wishes: Wishes, now: datetime.datetime, before: Removal | None = None) -> dict[str, str]:
    """The tags of every stack: project, owner, and until when they are wanted. `architecture` is in the templates.

    `before` is a self-destruct that stands: where none is wished for now, its time counts.
    """
    at = destroyed_at(wishes, now) or (before.at.astimezone(datetime.timezone.utc) if before else None)
    told = at.strftime("%Y-%m-%dT%H:%MZ") if at else f"{now + EXPIRES_AFTER:%Y-%m-%d}"
    owner = wishes.owner or account.identity.rpartition("/")[2].rpartition(":")[2]
    return {PROJECT_TAG: PROJECT, OWNER_TAG: re.sub(r"[^\w .:/=+@-]", "-", owner)[:128], EXPIRY_TAG: told}


def standing(account: Account, architecture: Architecture) -> dict[str, str | None]:
    """How the stacks of an architecture and of those that it needs stand, in the order of deployment."""
    found = {one.id: stacks.described(account, one.id) for one in with_needs(architecture)}
    return {name: str(stack["StackStatus"]) if stack else None for name, stack in found.items()}


def missing(states: Mapping[str, str | None], architecture: Architecture) -> list[str]:
    """The stacks that a deployment makes or updates: the architecture's, after those that it needs and that are not
    there."""
    return [name for name, state in states.items() if name == architecture.id or state not in stacks.READY]


def draw(
    account: Account,
    architecture: Architecture,
    assembly: Path,
    wishes: Wishes,
    now: datetime.datetime,
    *,
    states: Mapping[str, str | None] | None = None,
) -> Plan:
    """The plan for this architecture from its templates, which `assembly` holds with those that it needs.

    Asks the account, and changes nothing. Raises NotASandboxError where nothing says that it is a sandbox, StackError
    for a stack that cannot be worked on, or is about to remove itself, AccountError for all else that AWS refuses.
    """
    toolkit = stacks.described(account, sanction.TOOLKIT)
    sandbox = sanction.reason(account, toolkit, wishes.confirmed)
    templates = {template.architecture: template for template in read(assembly)}
    at = destroyed_at(wishes, now)
    states = standing(account, architecture) if states is None else states
    made = missing(states, architecture)
    for name in made:
        stacks.require_workable(name, states[name])
    region = account.region
    planned = [_planned(templates[name], name, states[name], region, kept=name not in made) for name in states]
    destructor = f"{stacks.DESTRUCTOR}{architecture.id}"
    before = removal(account, destructor)
    if at:
        state = (stacks.described(account, destructor) or {}).get("StackStatus")
        stacks.require_workable(destructor, state)
        planned.append(_planned(templates[SELF_DESTRUCT.id], destructor, state, region, kept=False))
    elif before and before.at <= now:
        raise stacks.StackError(
            f"{architecture.id} is being removed by itself since {before.at:%Y-%m-%d %H:%M} UTC: wait until it is gone,"
            f" or have it removed at once (make destroy ARCH={architecture.id} CLOUD=aws). Then deploy again."
        )
    return Plan(
        account=account,
        architecture=architecture,
        sandbox=sandbox,
        bootstrap=_bootstrap(account, assembly, toolkit),
        stacks=tuple(planned),
        tags=tags(account, wishes, now, before),
        destroyed_at=at or (before.at if before else None),
        scenario_usd=cost.scenario_cost(architecture.id),
        scenario_not_run=where_it_runs("aws", architecture.id),
        standing_usd=sum(get(name).cost_standing or 0.0 for name in states),
    )


def problems(plan: Plan, assembly: Path, *, default: bool) -> list[str]:
    """Why what is planned cannot be made here, and what the policy checks find in the templates, a line each.

    `default`: the architecture has its default settings. A stack that it needs may have others, for its sake.
    """
    made = {id_of(stack.name) for stack in plan.made}
    templates = [template for template in read(assembly) if template.architecture in made]
    own = plan.architecture.id
    return [
        *_lacking(plan, templates),
        *_closed(plan, templates),
        *(
            str(problem)
            for template in templates
            for problem in checked(template, default=default and template.architecture == own)
        ),
    ]


def _lacking(plan: Plan, templates: Sequence[Template]) -> Iterator[str]:
    """What the region does not have, or is too near for."""
    region = plan.account.region
    for stack in plan.made:
        if stack.lacks:
            (template,) = (one for one in templates if one.architecture == id_of(stack.name))
            where = ", ".join(regions.runs_in(template))
            yield (
                f"{stack.name} cannot run in {region}, which has no {' and no '.join(stack.lacks)}. Set AWS_REGION to"
                f" one of {where}."
            )
    for template in templates:
        second = template.body.get("Outputs", {}).get(REGION_OUTPUT, {}).get("Value")
        if second == region:
            yield (
                f"{template.architecture} is to keep its copies in another region than its own, {region}: name one, for"
                f" example --set {REGION_SETTING}={'us-east-1' if region != 'us-east-1' else 'us-west-2'}"
            )


def _closed(plan: Plan, templates: Sequence[Template]) -> Iterator[str]:
    """What is imported from a stack that stands and is left as it is, and that does not export it."""
    kept = [stack.name for stack in plan.stacks if stack.kept]
    described = [stacks.described(plan.account, name) or {} for name in kept]
    exported = {output.get("ExportName") for stack in described for output in stack.get("Outputs", ())}
    for template in templates:
        for wanted in sorted(references.imports(template) - exported):
            owner = next((name for name in kept if wanted.startswith(f"{name}-")), None)
            if owner:
                yield (
                    f"{template.architecture} needs {wanted}, which the stack {owner} that stands does not have. Remove"
                    f" that first, and it is made with it: make destroy ARCH={owner} CLOUD=aws"
                )


def id_of(stack: str) -> str:
    """How a stack of the plan is called in its assembly: by its architecture, whatever its name."""
    return SELF_DESTRUCT.id if stack.startswith(stacks.DESTRUCTOR) else stack


def _planned(template: Template, name: str, state: str | None, region: str, *, kept: bool) -> PlannedStack:
    lacks, known = regions.lacks(template).get(region), services.table()["service"]
    return PlannedStack(
        name=name,
        title=str(template.body.get("Description", "")),
        state=state,
        kept=kept,
        resources=Counter(resource["Type"] for _, resource in template.resources()),
        services=availability.services(template),
        usd_a_month=idle_cost.monthly(template),
        to_ask_for=tuple(quotas.to_ask_for(template)),
        lacks=None if lacks is None else tuple(known.get(name, {}).get("title", name) for name in lacks),
    )


def _bootstrap(account: Account, assembly: Path, toolkit: Mapping[str, Any] | None) -> str | None:
    """Templates name the version of CDK's bootstrap stack that they need, and check it by its parameter."""
    artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"].values()
    needed = max(int(one.get("properties", {}).get("requiresBootstrapStackVersion", 0)) for one in artifacts)
    with plain_errors("Looking for CDK's bootstrap"):
        try:
            found = account.client("ssm").get_parameter(Name=VERSION_PARAMETER)["Parameter"]["Value"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise
            other = {one["ParameterKey"]: one.get("ParameterValue") for one in (toolkit or {}).get("Parameters", ())}
            if other.get("Qualifier", QUALIFIER) != QUALIFIER:
                raise AccountError(
                    f"{sanction.TOOLKIT} was made with the qualifier {other['Qualifier']}, and belongs to others. Make"
                    " another beside it: .venv/bin/python -m stacks.cdk_cli bootstrap --toolkit-stack-name"
                    f" {sanction.TOOLKIT}-{QUALIFIER} --qualifier {QUALIFIER}"
                ) from None
            return f"{sanction.TOOLKIT} is made: a bucket, a registry and roles for the CDK, without cost while idle"
    if not str(found).isdigit():
        raise AccountError(
            f"The parameter {VERSION_PARAMETER} holds {found!r}, which is no version of CDK's bootstrap."
        )
    if int(found) >= needed:
        return None
    if toolkit is None:
        raise AccountError(
            f"CDK's bootstrap has version {found} here, {needed} is needed, and its stack is not called"
            f" {sanction.TOOLKIT}: whoever made it has to update it."
        )
    return f"{sanction.TOOLKIT} is updated from version {found}: {needed} is needed"
