"""`make bench`: what the architecture costs in time, beside what it is built from, all measured in one run.

For each architecture: the bare models in a loop; the same inputs through the deployed stack; deploy and destroy; the
local cloud's memory. The local cloud beside a LocalStack core. An endpoint beside the process that serves it. The story
of a model, from its training to the next one's. Then the handlers' import time and size beside `import boto3`. Figures
are of this machine.
"""

# ruff: noqa: E402 (the environment is cleaned and guarded before anything else is imported)

from __future__ import annotations

from local import environment, guard

environment.clean_environment()
guard.install()

import argparse
import os
import sys
from collections.abc import Callable, Mapping

from rich.console import Console

from bench import calls, documents, endpoints, image_labeling, imports, speech, story, texts, training, two_clouds
from bench.measure import Figures
from local.cloud import CloudError
from local.deploy import DeployError

Say = Callable[[str], object]

# By the architecture, or the part of the local cloud, that is measured. The number is that of its inputs, as `--images`
# gives it.
BENCHES: Mapping[str, Callable[[int, Say], Figures]] = {
    "call-analytics": calls.run,
    "document-processing": documents.run,
    "endpoints": endpoints.run,
    "image-labeling": image_labeling.run,
    "model-monitor": story.run,
    "speech-synthesis": speech.run,
    "text-insights": texts.run,
    "training-pipeline": training.run,
    "two-clouds": two_clouds.run,
}


def main() -> int:
    """Run the benchmarks and print their tables. Exit code 1 when a bar is missed, or a cloud cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="how many images to label (default 500)")
    parser.add_argument("--only", choices=[*BENCHES, "imports"], help="one benchmark instead of all")
    arguments = parser.parse_args()
    if arguments.images < 1:
        parser.error("--images must be at least 1")
    console = Console(width=None if os.isatty(1) else 110)
    missed = []
    for name, run in BENCHES.items():
        if arguments.only in (None, name):
            try:
                figures = run(arguments.images, console.print)
            except (CloudError, DeployError) as error:
                # A cloud that is not there, or a port: what the others came to is of use all the same.
                missed.append(f"{name}: {error}")
                continue
            console.print(figures.table())
            missed += [f"{name}: {bar}" for bar in figures.missed()]
    status = imports.main() if arguments.only in (None, "imports") else 0
    for bar in missed:
        console.print(f"Missed: {bar}.")
    return 1 if missed else status


if __name__ == "__main__":
    sys.exit(main())
