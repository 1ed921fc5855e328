"""Runs the demos of architectures on the local cloud, one after the other, and writes down how they came out.

    python -m local.records [ID ...]     those named, or all that are built (`make records`)

Each is a process of its own with a cloud of its own, as `make demo` has it. One that fails is written down as failed,
and the others are run all the same. Exit status: 0, 1 when one failed, 2 for an unknown name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs import records
from docs.records import Record
from stacks import catalogue

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ran:
    """How a demo ended: whether everything came to a result, in how many seconds, and else why not, in a line."""

    complete: bool
    seconds: float
    reason: str = ""


def run_demo(architecture: str) -> Ran:
    """Runs the demo of an architecture, on a cloud of its own."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "local", "demo", architecture, "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if ran.returncode == 0:
        return Ran(complete=True, seconds=float(json.loads(ran.stdout)["seconds"]))
    told = [line for line in ran.stderr.splitlines() if line.startswith("Error: ")]
    why = told[-1].removeprefix("Error: ") if told else "an input came to no result"
    return Ran(complete=False, seconds=time.monotonic() - begin, reason=why)


def run_all(
    architectures: Sequence[str],
    run: Callable[[str], Ran] = run_demo,
    record: Callable[..., Record] = records.record,
    say: Callable[[str], object] = print,
) -> bool:
    """Runs and records each; whether all came to their results."""
    complete = True
    for number, architecture in enumerate(architectures, 1):
        ran = run(architecture)
        complete = complete and ran.complete
        made = record(
            architecture,
            "local",
            "passed" if ran.complete else "failed",
            seconds=ran.seconds,
            passed=int(ran.complete),
            failed=int(not ran.complete),
            reason=ran.reason,
        )
        told = f": {made.reason}" if made.reason else ""
        say(f"{number} of {len(architectures)}  {architecture}  {made.result} in {made.seconds:.0f} s{told}")
    return complete


def main(arguments: Sequence[str]) -> int:
    """See above."""
    try:
        wanted = [catalogue.get(name).id for name in arguments] or [one.id for one in catalogue.available()]
    except catalogue.UnknownArchitectureError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0 if run_all(wanted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
