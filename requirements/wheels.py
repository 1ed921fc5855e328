"""Tells whether every locked package has a wheel wherever the project is promised to run: `make lock` asks.

A package without one would be compiled at the newcomer's, who may have no compiler. Downloads nothing but indexes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# The oldest macOS that is promised; the installer would take an older one.
MACOS = "14.0"
# Source packages with nothing in them to compile: fonts, and Python alone.
NOTHING_TO_COMPILE = (
    "font-caladea",
    "font-roboto",
    "font-source-sans-pro",
    "font-source-serif-pro",
    "airspeed-ext",
    "crontab",
    "jsonpath-rw",
    "tailer",
)
LOCKS = ("bootstrap", "run", "language", "training", "dev", "sagemaker", "localstack")


def missing() -> list[str]:
    """A line for each lock, platform and Python for which something would have to be compiled."""
    found = []
    for lock in LOCKS:
        for platform in PLATFORMS:
            for python in PYTHONS:
                command = [
                    "uv",
                    "pip",
                    "install",
                    "-q",
                    "--dry-run",
                    "--only-binary",
                    ":all:",
                    "--target",
                    ".build/none",
                ]
                command += ["--python-platform", platform, "--python-version", python]
                for name in NOTHING_TO_COMPILE:
                    command += ["--no-binary", name]
                command += ["-r", str(FOLDER / f"{lock}.txt")]
                done = subprocess.run(  # noqa: S603 (our own installer)
                    [sys.executable, "-m", *command],
                    capture_output=True,
                    text=True,
                    check=False,
                    env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
                )
                if done.returncode:
                    said = " ".join(done.stderr.split())
                    found.append(f"{lock}.txt on {platform}, Python {python}: {said[:400]}")
    return found


if __name__ == "__main__":
    problems = missing()
    print("\n".join(problems) or "Every locked package has its wheels.")
    sys.exit(1 if problems else 0)
