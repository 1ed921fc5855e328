"""The workers of a function share its unpacked code; each version has its own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from local.emulator.seams import worker_code
from tests.local.emulated import code, make_function, make_role

WHERE = """
import os, threading
def handler(event, context):
    return [os.path.realpath(os.environ["LAMBDA_TASK_ROOT"]), os.getpid(), {version}]
"""


def archive_of(worker: Path, text: str) -> Path:
    """A worker's folder as MiniStack prepares it, with code of its own."""
    (worker / worker_code.CODE).mkdir(parents=True)
    with zipfile.ZipFile(worker / worker_code.ARCHIVE, "w") as archive:
        archive.writestr("deep/index.py", text)
    return worker / worker_code.ARCHIVE


def test_two_functions_with_the_same_code_share_it_and_a_new_version_has_its_own(cloud: LocalCloud) -> None:
    # Given two functions of the same code
    role, functions = make_role(cloud), cloud.client("lambda")
    names = [make_function(cloud, WHERE.format(version=1), role) for _ in range(2)]

    def ask(name: str) -> tuple[str, int, int]:
        folder, process, version = json.loads(functions.invoke(FunctionName=name)["Payload"].read())
        return folder, process, version

    # When they are invoked, Then two processes have run one copy
    first, second = ask(names[0]), ask(names[1])
    assert first[0] == second[0]
    assert first[1] != second[1]
    # and a function that gets new code runs that, the other still the old
    functions.update_function_code(FunctionName=names[0], ZipFile=code(WHERE.format(version=2)))
    assert ask(names[0])[2] == 2
    assert ask(names[1]) == second


def test_code_is_unpacked_once_and_removed_when_it_is_old_and_no_worker_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_code, "_KEPT", 1)
    # Given workers of three versions, the first and second of the same
    workers = [tmp_path / f"{worker_code.WORKER}f-{number}" for number in range(4)]
    for worker, text in zip(workers, ("one", "one", "two", "three"), strict=True):
        with worker_code._Archive(archive_of(worker, text)) as opened:
            opened.extractall(worker / worker_code.CODE)
    # Then each has its own code, those of the same share it
    assert [(worker / "code/deep/index.py").read_text() for worker in workers] == ["one", "one", "two", "three"]
    shared = [(worker / "code").resolve() for worker in workers]
    assert shared[0] == shared[1]
    assert set((tmp_path / "function-code").iterdir()) == set(shared)
    # and when the workers of two versions have gone and another comes, the older of these is removed
    for worker in workers[:3]:
        (worker / "code").unlink()
    with worker_code._Archive(archive_of(tmp_path / f"{worker_code.WORKER}f-9", "four")) as opened:
        opened.extractall(tmp_path / f"{worker_code.WORKER}f-9" / "code")
    assert not shared[0].exists()
    assert shared[2].exists()
    assert shared[3].exists()


def test_other_archives_are_unpacked_where_they_should_be(tmp_path: Path) -> None:
    # Given the archive of a layer, When it is unpacked, Then no link is made
    archive = archive_of(tmp_path, "layer").rename(tmp_path / "layer_0.zip")
    with worker_code._Archive(archive) as opened:
        opened.extractall(tmp_path / "layer_0")
    assert (tmp_path / "layer_0" / "deep/index.py").read_text() == "layer"
    assert not (tmp_path / "layer_0").is_symlink()
