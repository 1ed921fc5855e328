"""The CDK command line: installed once in the pinned version, and one clear line when it cannot be."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from local.emulator import certificate
from stacks import cdk_cli, synth

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


def test_why_npm_failed_is_told_and_not_where_its_log_lies(
    no_node: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an npm that fails as it does without a network: the reason in its JSON, and a log's place for people
    said = json.dumps(
        {"error": {"code": "ECONNREFUSED", "summary": "request to somewhere\nfailed", "detail": "a proxy?"}}
    )

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--json" in command
        return subprocess.CompletedProcess(command, 1, said, "npm error a log lies there\n")

    monkeypatch.setattr(subprocess, "run", run)
    # When it is to be installed, Then the reason is told, in one line
    assert cdk_cli.main(["--version"]) == 1
    assert capsys.readouterr().err == "Installing the CDK command line failed: request to somewhere failed\n"


@pytest.mark.parametrize(("program", "said"), [("stacks/cdk_cli.py", "Interrupted.\n"), ("app.py", "")])
def test_an_interruption_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, said: str
) -> None:
    # Given a command line, and the app that it runs, in the midst of their work
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    monkeypatch.setattr(synth, "synthesize", interrupted)
    monkeypatch.setattr(sys, "argv", [program, "synth"])
    # When Ctrl-C is pressed, which both hear, Then both end, and one of them says so
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / program), run_name="__main__")
    assert ended.value.code == 130
    assert capsys.readouterr().err == said


def refused(environment: Mapping[str, str]) -> str:
    with pytest.raises(cdk_cli.MissingError) as error:
        cdk_cli.check_endpoint(environment)
    return str(error.value)


def test_a_cloud_that_is_down_or_another_one_is_one_line_with_the_mend(cloud: LocalCloud, tmp_path: Path) -> None:
    # Given a shell with the variables of a running cloud, When its endpoint is looked at, Then nothing is said
    good = cloud.tools_environment()
    cdk_cli.check_endpoint(good)
    # Given those of one that is down (a port that nobody listens on)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down = f"https://127.0.0.1:{taken.getsockname()[1]}"
        # Then a line names it, and how to go on
        assert refused({**good, "AWS_ENDPOINT_URL": down}) == (
            f"Nothing answers at AWS_ENDPOINT_URL, {down}: start the local cloud (`python3 -m local up`), "
            'then run `eval "$(python3 -m local env)"` once more.'
        )
    # Given a certificate authority that is another cloud's, none, gone, or no certificate at all
    (tmp_path / "text.pem").write_text("no certificate")
    certificate.issue(tmp_path)
    for bundle in (str(tmp_path / "ca.pem"), "", str(tmp_path / "gone.pem"), str(tmp_path / "text.pem")):
        # Then a line says that it cannot be trusted, and how to go on
        told = refused({**good, "AWS_CA_BUNDLE": bundle})
        assert told.startswith(f"What answers at {cloud.endpoint_url} cannot be trusted (AWS_CA_BUNDLE is")
        assert told.endswith('run `eval "$(python3 -m local env)"` once more.')
    # Given an address that is none
    assert "Nothing answers at AWS_ENDPOINT_URL, https://127.0.0.1:99999:" in refused(
        {"AWS_ENDPOINT_URL": "https://127.0.0.1:99999"}
    )
    # Given an endpoint elsewhere, or none, Then that is the command line's own affair
    for elsewhere in ("https://sts.us-east-1.amazonaws.com", ""):
        cdk_cli.check_endpoint({"AWS_ENDPOINT_URL": elsewhere})


def test_what_calls_aws_looks_for_its_endpoint_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a command line that is installed, and a cloud that is down
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(cdk_cli, "install", lambda: None)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
    # When it is to deploy, Then it is not even started
    assert cdk_cli.main(["deploy", "--all"]) == 1
    assert ran == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Nothing answers at AWS_ENDPOINT_URL")
    # When it is to synthesize, Then it is, as that asks nobody
    assert cdk_cli.main(["synth"]) == 0
    assert len(ran) == 1
