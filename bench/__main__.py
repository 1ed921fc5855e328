"""`make bench`: what the architecture costs in time, beside what it is built from, all measured in one run.

Rows: the bare labelling model in a loop; the same images through the deployed architecture; deploy and destroy; the
handlers' import time and size beside `import boto3`; resident memory of the local cloud. Figures are of this machine.
"""

# ruff: noqa: E402 (the environment is cleaned and guarded before anything else is imported)

from __future__ import annotations

from local import environment, guard

environment.clean_environment()
guard.install()

import argparse
import os
import sys

from rich.console import Console

from bench import architecture, imports


def main() -> int:
    """Run the benchmark and print its tables. Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="how many images to label (default 500)")
    arguments = parser.parse_args()
    if arguments.images < 1:
        parser.error("--images must be at least 1")
    console = Console(width=None if os.isatty(1) else 110)
    figures = architecture.run(arguments.images, console.print)
    console.print(figures.table())
    status = imports.main()
    for bar in figures.missed():
        console.print(f"Missed: {bar}.")
    return 1 if figures.missed() else status


if __name__ == "__main__":
    sys.exit(main())
