"""Runs the scenario of an architecture against its stack in the account: the one that the local demo runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import demos
from local.files import check
from sandbox import stacks
from sandbox.account import Account, AccountError, plain_errors
from stacks.catalogue import Architecture


@dataclass(frozen=True)
class Outcome:
    """What came of it: the scenario's own report, in how many seconds, on how many inputs."""

    report: Any
    seconds: float
    inputs: int

    @property
    def complete(self) -> bool:
        """Whether everything came out as it should."""
        return bool(self.report.complete)


def outputs(account: Account, architecture: Architecture) -> dict[str, str]:
    """The outputs of the deployed stack. Raises AccountError where there is none, or one that is not ready."""
    stack = stacks.described(account, architecture.id)
    if stack is None:
        raise AccountError(
            f"{architecture.id} is not deployed in account {account.number}, {account.region}. Deploy it first:"
            f" make deploy ARCH={architecture.id} CLOUD=aws"
        )
    state = str(stack["StackStatus"])
    if state not in stacks.READY:
        raise stacks.StackError(f"The stack {architecture.id} is in state {state}: deploy it again first.")
    return stacks.outputs_of(stack)


def run(
    account: Account,
    architecture: Architecture,
    found: Mapping[str, str],
    files: Sequence[Path],
    progress: Callable[[str], None],
) -> Outcome:
    """Drives the files, or the samples if there are none, through the stack with these outputs.

    Raises FilesRefusedError for files that cannot be uploaded, AccountError for what AWS refuses.
    """
    demo = demos.of(architecture.id)
    inputs = check(files, demo.files) if files else demo.sample_files()
    begin = time.monotonic()
    with plain_errors(f"The scenario of {architecture.id}"):
        report = demo.run_elsewhere(account, found, inputs, progress)
    return Outcome(report, time.monotonic() - begin, len(inputs))
