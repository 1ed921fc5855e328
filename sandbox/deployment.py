"""Makes what a plan says, by the CDK's own command line: the bootstrap, the stacks, and what removes them again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sandbox import sanction
from sandbox.account import Account, AccountError
from sandbox.plan import PROJECT, PROJECT_TAG, Plan, id_of
from stacks import cdk_cli


def deploy(plan: Plan, assembly: Path, *, asked: bool) -> None:
    """Deploys the plan's stacks from this assembly. `asked`: CDK need not ask before it widens a permission.

    Raises AccountError when the command line cannot be run or ends with an error, which it has printed then.
    """
    use_region(plan.account)
    place = f"aws://{plan.account.number}/{plan.account.region}"
    if plan.bootstrap:
        # An account that was confirmed by its number says by itself from now on that it is a sandbox.
        marks = ["--tags", f"{sanction.TAG}=true", "--tags", f"{PROJECT_TAG}={PROJECT}"]
        _cdk(["bootstrap", place, "--app", str(assembly), *marks])
    ids = [id_of(stack.name) for stack in plan.made]
    approval = ["--require-approval", "never"] if asked else []
    # Those that are left as they are must not be deployed over.
    _cdk(["deploy", "--app", str(assembly), "--exclusively", *approval, *ids])


def use_region(account: Account) -> None:
    """What the CDK starts looks where boto3 looked."""
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = account.region


def _cdk(arguments: Sequence[str]) -> None:
    status = cdk_cli.main(arguments)
    if status:
        raise AccountError(f"`cdk {arguments[0]}` ended with status {status}: what it says is above.")
