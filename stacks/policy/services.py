"""`services.toml`: which services and runtimes a new AWS account can use."""

from __future__ import annotations

import pathlib
import sys
from functools import cache
from importlib import import_module
from typing import Any, cast

TABLE = pathlib.Path(__file__).resolve().parents[2] / "services.toml"


@cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """The parsed file: `service` and `runtime`, by name."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast("dict[str, dict[str, dict[str, Any]]]", tomllib.loads(TABLE.read_text(encoding="utf-8")))
