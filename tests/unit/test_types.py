"""What the type checker reads."""

from __future__ import annotations

import ast
import pathlib
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cdk_imports(file: pathlib.Path) -> Iterator[str]:
    """Modules of CDK that a file of ours imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] == "aws_cdk")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "aws_cdk":
            yield node.module
            # What starts with a capital is a class of that module.
            yield from (f"{node.module}.{name.name}" for name in node.names if name.name[0].islower())


def test_types_of_every_part_of_cdk_that_is_imported_are_checked() -> None:
    # Given the parts of CDK that the type checker follows, and all files that it checks
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    mypy: dict[str, Any] = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    followed = {
        module
        for override in mypy["overrides"]
        if override.get("follow_imports") == "normal"
        for module in override["module"]
    }
    places = [ROOT / name for name in mypy["files"]]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    # When their imports are gathered
    imported = {module for file in files for module in cdk_imports(file)}
    # Then none is left out
    assert "aws_cdk.aws_s3" in imported
    assert imported - followed == set()
