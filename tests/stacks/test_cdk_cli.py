"""The CDK command line: installed once in the pinned version, and one clear line when it cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stacks import cdk_cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place without the command line, and a Node on which nothing can be installed."""
    monkeypatch.setattr(cdk_cli, "CLI", tmp_path / "aws-cdk")
    monkeypatch.setattr(cdk_cli, "node", lambda: Path(sys.executable))
    return tmp_path / "aws-cdk"


def test_the_bundled_node_is_found() -> None:
    assert cdk_cli.node().is_file()


def test_what_is_installed_in_the_pinned_version_is_left_alone(no_node: Path) -> None:
    # Given the pinned version in its place
    pinned = json.loads((ROOT / "package.json").read_text())["dependencies"]["aws-cdk"]
    no_node.mkdir()
    (no_node / "package.json").write_text(json.dumps({"version": pinned}))
    # When it is to be installed, where nothing can be
    # Then nothing is tried
    cdk_cli.install()


@pytest.mark.parametrize("version", [None, "3.0.0"])
def test_a_failed_installation_is_one_line(
    no_node: Path, capsys: pytest.CaptureFixture[str], version: str | None
) -> None:
    # Given nothing, or another version, in its place
    if version:
        no_node.mkdir()
        (no_node / "package.json").write_text(json.dumps({"version": version}))
    # When it is to be run, where nothing can be installed
    code = cdk_cli.main(["--version"])
    # Then one line says what failed
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Installing the CDK command line failed: ")
