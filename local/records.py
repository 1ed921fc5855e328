"""Runs the scenarios of architectures on a cloud, one after the other, and writes down how they came out.

    python -m local.records [--cloud localstack] [ID ...]     those named, or all that are built (`make records`)

Each is a process of its own with a cloud of its own: on the local cloud the demo, as `make demo` has it, on LocalStack
the test that deploys, drives and destroys an architecture. One that fails is written down as failed, and the others are
run all the same; one that the cloud cannot run is written down as not run, with the reason. Exit status: 0, 1 when one
failed, 2 for an unknown name or cloud.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs import records
from docs.records import Cloud, Record, Result
from scenarios.clouds import where_it_runs
from stacks import catalogue

ROOT = Path(__file__).resolve().parent.parent
# Deploys an architecture to a core, runs its scenario, and destroys it.
ON_LOCALSTACK = "tests/local/test_localstack.py::test_an_architecture_is_deployed_driven_and_gone[{}]"


@dataclass(frozen=True)
class Ran:
    """How a scenario ended: whether everything came to a result, in how many seconds, and else why not, in a line."""

    complete: bool
    seconds: float
    reason: str = ""


def run_demo(architecture: str) -> Ran:
    """Runs the demo of an architecture, on a cloud of its own."""
    ran, seconds = _run("-m", "local", "demo", architecture, "--json")
    if ran.returncode == 0:
        return Ran(complete=True, seconds=float(json.loads(ran.stdout)["seconds"]))
    told = [line for line in ran.stderr.splitlines() if line.startswith("Error: ")]
    why = told[-1].removeprefix("Error: ") if told else "an input came to no result"
    return Ran(complete=False, seconds=seconds, reason=why)


def run_on_localstack(architecture: str) -> Ran:
    """Runs the test of an architecture on a LocalStack core of its own."""
    ran, seconds = _run("-m", "pytest", "-q", "-m", "soak", ON_LOCALSTACK.format(architecture))
    if ran.returncode == 0:
        return Ran(complete=True, seconds=seconds)
    told = [line for line in ran.stdout.splitlines() if line.startswith("E  ")]
    return Ran(
        complete=False, seconds=seconds, reason=told[0][1:].strip() if told else "the test did not come to an end"
    )


RUNS: Mapping[Cloud, Callable[[str], Ran]] = {"local": run_demo, "localstack": run_on_localstack}


def _run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    begin = time.monotonic()
    command = [sys.executable, *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    return ran, time.monotonic() - begin


def run_all(
    architectures: Sequence[str],
    run: Callable[[str], Ran] = run_demo,
    record: Callable[..., Record] = records.record,
    say: Callable[[str], object] = print,
    *,
    cloud: Cloud = "local",
) -> bool:
    """Runs and records each on a cloud; whether all that it can run came to their results."""
    complete = True
    for number, architecture in enumerate(architectures, 1):
        reason = where_it_runs(cloud, architecture)
        ran = run(architecture) if reason is None else Ran(complete=True, seconds=0.0, reason=reason)
        complete = complete and ran.complete
        result: Result = "not run" if reason is not None else "passed" if ran.complete else "failed"
        made = record(
            architecture,
            cloud,
            result,
            seconds=ran.seconds,
            passed=int(result == "passed"),
            failed=int(result == "failed"),
            not_run=int(result == "not run"),
            reason=ran.reason,
        )
        told = f": {made.reason}" if made.reason else ""
        say(f"{number} of {len(architectures)}  {architecture}  {made.result} in {made.seconds:.0f} s{told}")
    return complete


def main(arguments: Sequence[str]) -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m local.records", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--cloud", default="local", help="local (default) or localstack; an account's runs have an option of their own"
    )
    parser.add_argument(
        "names", nargs="*", metavar="ID", help="an architecture; all that are built where none is named"
    )
    chosen = parser.parse_args(arguments)
    if chosen.cloud not in RUNS:
        return _refused(
            f"--cloud {chosen.cloud}: there are {' and '.join(RUNS)}. What ran in an account is written down by "
            "`make scenario ARCH=... CLOUD=aws OPTIONS=--record`."
        )
    try:
        wanted = [catalogue.get(name).id for name in chosen.names] or [one.id for one in catalogue.available()]
    except catalogue.UnknownArchitectureError as error:
        return _refused(str(error))
    return 0 if run_all(wanted, RUNS[chosen.cloud], cloud=chosen.cloud) else 1


def _refused(why: str) -> int:
    print(f"Error: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
