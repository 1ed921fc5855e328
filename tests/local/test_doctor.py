"""The doctor: it finds what stands in the way, and says the mend."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from local import cli, doctor, environment
from local.screen import Screen
from local.services.models import labels


def findings(**options: Any) -> dict[str, doctor.Finding]:
    """What the doctor finds, by subject."""
    return {finding.subject: finding for finding in doctor.examine(**options)}


def problems(**options: Any) -> dict[str, doctor.Finding]:
    found = {subject: one for subject, one in findings(**options).items() if one.state == "problem"}
    assert all(one.mend for one in found.values()), "a problem without a mend"
    return found


def test_a_machine_that_is_set_up_has_no_problem() -> None:
    # Given this machine, on which the tests run, When the doctor looks, Then nothing stands in the way
    found = findings()
    assert {subject for subject, one in found.items() if one.state != "ok"} == set()
    assert {"Python", "Dependencies", "Node", "Functions", "Disk", "Loopback", "Port", "Models"} <= found.keys()


def test_a_wrong_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Python that is too new, When the doctor looks, Then it names the versions that serve
    monkeypatch.setattr("sys.version_info", (3, 14, 0))
    assert "3.10 to 3.13" in doctor._python().mend


def test_a_dependency_that_is_not_as_locked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an environment in which one library has another version and one is missing
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "boto3":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "ministack" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    # When the doctor looks, Then both are named
    found = problems()
    assert set(found) == {"Dependencies"}
    assert "boto3 is missing" in found["Dependencies"].text
    assert "ministack is 0.0.1" in found["Dependencies"].text


def test_a_node_that_does_not_run_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given no Node where it should be, When the doctor looks, Then it says so
    monkeypatch.setattr(environment, "node_folder", lambda: tmp_path)
    assert set(problems()) == {"Node"}


def test_a_folder_that_cannot_be_written_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a file where a folder is needed, When the doctor looks, Then it names the folder
    obstacle = tmp_path / "file"
    obstacle.touch()
    monkeypatch.setattr(doctor, "_temporary", lambda: obstacle / "tmp")
    (found,) = problems().values()
    assert str(obstacle) in found.subject


def test_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk with 10 MB left, When the doctor looks, Then it says how much is needed
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**7))
    found = problems()
    assert set(found) == {"Disk"}
    assert "1 GB" in found["Disk"].text


def test_a_port_that_is_taken_is_found() -> None:
    # Given a port that somebody listens on, When it is asked for, Then it is named, and one that is free is not
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = problems(port=port)
    assert set(found) == {"Port"}
    assert str(port) in found["Port"].text
    assert problems(port=port) == {}


def test_a_model_that_cannot_be_read_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given weights that are gone, When the doctor looks, Then it says so
    def gone() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(labels, "label_model", gone)
    assert set(problems()) == {"Models"}


def test_ignored_variables_are_named_and_no_problem() -> None:
    # Given variables that were removed, When the doctor looks, Then it says so by name
    found = findings(ignored_variables=["AWS_PROFILE"])["AWS variables"]
    assert (found.state, "AWS_PROFILE" in found.text) == ("note", True)


def test_a_problem_is_shown_with_its_mend_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given one problem
    trouble = doctor.Finding("Disk", "problem", "full", "Free some.")
    monkeypatch.setattr(doctor, "examine", lambda *_: iter([trouble]))
    monkeypatch.setattr(cli, "screen", Screen())
    monkeypatch.setattr(cli, "_end_on_signals", lambda: None)
    # When the command is called, Then its status is 1 and the mend is shown
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "Disk: full" in shown
    assert "Free some." in shown
    assert "1 problem found" in shown


def test_looking_changes_nothing() -> None:
    # Given the environment, When the doctor has looked, Then it is as it was
    before = dict(os.environ)
    findings()
    assert dict(os.environ) == before


def test_a_localstack_that_is_named_and_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a shell that names a LocalStack which is not up, When the doctor looks, Then it says so: that is no problem
    monkeypatch.setenv("LOCALSTACK_HOST", "127.0.0.1:9")
    found = findings()["LocalStack"]
    assert found.state == "note"
    assert "does not answer" in found.text
