"""Makes what a plan says, by the CDK's own command line: the bootstrap, the stacks, and what removes them again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sandbox import sanction, stacks
from sandbox.account import Account, AccountError
from sandbox.plan import PROJECT, PROJECT_TAG, Plan, id_of
from stacks import cdk_cli
from stacks.catalogue import SELF_DESTRUCT


def deploy(plan: Plan, assembly: Path, *, asked: bool) -> None:
    """Deploys the plan's stacks from this assembly. `asked`: CDK need not ask before it widens a permission.

    Raises AccountError when the command line cannot be run or ends with an error, which it has printed then.
    """
    use_region(plan.account)
    place = f"aws://{plan.account.number}/{plan.account.region}"
    if plan.bootstrap:
        # An account that was confirmed by its number says by itself from now on that it is a sandbox.
        # What it has of tags is replaced by what is told here.
        before = stacks.tags_of(stacks.described(plan.account, sanction.TOOLKIT) or {})
        tags = {**before, sanction.TAG: "true", PROJECT_TAG: PROJECT}
        marks = [part for name, value in tags.items() for part in ("--tags", f"{name}={value}")]
        _cdk(["bootstrap", place, "--app", str(assembly), *marks])
    ids = [id_of(stack.name) for stack in plan.made]
    approval = ["--require-approval", "never"] if asked else []
    # What removes the others comes first, so that it is there when the rest is made in part only. Scheduler also
    # refuses a beginning that has passed meanwhile (github.com/getmoto/moto, pull request 8172, read 2026-11-28).
    first = [one for one in ids if one == SELF_DESTRUCT.id]
    for some in (first, [one for one in ids if one not in first]):
        if some:
            # Those that are left as they are must not be deployed over.
            _cdk(["deploy", "--app", str(assembly), "--exclusively", *approval, *some])


def use_region(account: Account) -> None:
    """What the CDK starts looks where boto3 looked."""
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = account.region


def _cdk(arguments: Sequence[str]) -> None:
    status = cdk_cli.main(arguments)
    if status:
        raise AccountError(f"`cdk {arguments[0]}` ended with status {status}: what it says is above.")
