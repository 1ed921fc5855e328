"""Which scenario runs on which cloud, and why one does not: the table `clouds.toml`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any, cast

TABLE = Path(__file__).with_name("clouds.toml")
# Here everything runs.
LOCAL = "local"

Reasons = Mapping[str, Mapping[str, str]]


@functools.cache
def table() -> Mapping[str, Reasons]:
    """By cloud: reasons by architecture (`architectures`) and by pattern of a test (`tests`)."""
    # The standard library's reader, which Python 3.10 does not have yet.
    toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast("Mapping[str, Reasons]", toml.loads(TABLE.read_text(encoding="utf-8")))


def where_it_runs(cloud: str, architecture: str) -> str | None:
    """None where the scenario of this architecture runs on this cloud (`local`, `localstack`); else why it does not."""
    return table().get(cloud, {}).get("architectures", {}).get(architecture)


def where_a_demo_runs(cloud: str, architecture: str) -> str | None:
    """None where the demo of this architecture has something to show on this cloud; else why it has not."""
    return where_it_runs(cloud, architecture) or table().get(cloud, {}).get("demos", {}).get(architecture)


def where_a_test_runs(cloud: str, file: str, test: str) -> str | None:
    """None where this test runs on this cloud; else why not, by the first pattern that it fits.

    `file` is its name without folders, `test` its name with parameters. A file of an architecture's tests bears the
    architecture's name.
    """
    for architecture, reason in table().get(cloud, {}).get("architectures", {}).items():
        if file.startswith(f"test_{architecture.replace('-', '_')}"):
            return reason
    for pattern, reason in table().get(cloud, {}).get("tests", {}).items():
        if fnmatchcase(file, pattern) or fnmatchcase(f"{file}::{test}", pattern):
            return reason
    return None
