"""What a local cloud keeps in its folder, and what is left of it afterwards."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import cloud as clouds
from local.cloud import CloudError, LocalCloud
from local.emulator import certificate
from tests.local.emulated import eventually, unique

START = "import sys; from local.cloud import LocalCloud; print(LocalCloud.start(sys.argv[1], detached=True).pid)"
SOUND = {"name": "sound", "port": 1, "pid": 1, "token": "t", "detached": True}


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a cloud, of which nothing is left afterwards."""
    name = unique("state")
    yield name
    if left := LocalCloud.attach(name):
        left.stop()
    shutil.rmtree(clouds.STATE / name, ignore_errors=True)


def kill(cloud: LocalCloud) -> None:
    """End the emulator as the kernel does when memory is short: without a word."""
    os.kill(cloud.pid, signal.SIGKILL)
    eventually(lambda: not cloud.alive())


def test_a_cloud_that_is_stopped_leaves_nothing(name: str) -> None:
    # Given a cloud whose emulator has logged something
    cloud = LocalCloud.start(name)
    (cloud.folder / "emulator.log").write_text("a warning\n")
    # When it is stopped, Then nothing of its folder is left
    cloud.stop()
    assert not cloud.folder.exists()


def test_a_cloud_of_which_only_zombies_are_left_is_stopped_all_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cloud that died, on a system that refuses signals to a group of zombies
    cloud = LocalCloud.start(name)
    os.kill(cloud.pid, signal.SIGKILL)

    def refuse(_group: int, _signal: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "killpg", refuse)
    # When it is stopped, Then nothing is in the way, and nothing is left
    cloud.stop()
    assert not cloud.alive()
    assert not (cloud.folder / "cloud.json").exists()


@pytest.mark.parametrize(("said", "left"), [("no memory\n", ["emulator.log"]), ("", None)])
def test_of_a_cloud_that_died_the_log_stays_if_it_says_anything(name: str, said: str, left: list[str] | None) -> None:
    # Given a cloud that died, and what its log holds
    cloud = LocalCloud.start(name, detached=True)
    (cloud.folder / "emulator.log").write_text(said)
    kill(cloud)
    # When it is used, Then the complaint names the log only where reading it is worth the while
    with pytest.raises(CloudError) as caught:
        cloud.client("sts").get_caller_identity()
    assert ("emulator.log" in str(caught.value)) == bool(said)
    # When it is looked for, Then there is none, and of its folder only such a log is left
    assert LocalCloud.attach(name) is None
    assert (sorted(os.listdir(cloud.folder)) if cloud.folder.exists() else None) == left


def test_a_cloud_that_does_not_start_leaves_its_log(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an emulator that ends at once
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(clouds, "_last_line", lambda folder: (folder / "emulator.log").write_text("broken\n"))
    # When it is started, Then it says so, and the log is all that is left
    with pytest.raises(CloudError, match="did not start"):
        LocalCloud.start(name)
    assert os.listdir(clouds.STATE / name) == ["emulator.log"]


def test_a_cloud_for_which_the_disk_has_no_room_leaves_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk that is full once the folder is made
    def refuse(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    monkeypatch.setattr(certificate, "issue", refuse)
    # When a cloud is started, Then the disk's refusal is told, and no folder is left
    with pytest.raises(OSError, match="No space left"):
        LocalCloud.start(name)
    assert not (clouds.STATE / name).exists()


def test_of_two_that_start_the_same_cloud_at_once_one_wins(name: str) -> None:
    # Given two processes that start a cloud of the same name at the same moment
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", START, name],
            cwd=clouds.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(process.communicate(timeout=60), process.returncode) for process in starting]
    # Then one has it, the other is told so, and there is one emulator, which can be found
    (won,) = [out for (out, _), status in answers if status == 0]
    (lost,) = [err for (_, err), status in answers if status]
    assert "already running" in lost.splitlines()[-1]
    cloud = LocalCloud.attach(name)
    assert cloud is not None
    assert cloud.pid == int(won)
    assert cloud.control.health()
    named = [process for process in psutil.process_iter() if _has(process, str(cloud.folder))]
    assert [process.pid for process in named] == [cloud.pid]


def test_what_a_killed_process_left_of_its_cloud_goes_when_the_next_one_starts(name: str) -> None:
    # Given the state of a cloud that died together with its parent, and that of a dead detached one
    folders = [clouds.STATE / f"{name}-{kind}" for kind in ("bound", "detached")]
    for folder in folders:
        folder.mkdir(parents=True)
        state = SOUND | {"pid": (1 << 31) - 1, "detached": folder is folders[1]}
        (folder / "cloud.json").write_text(json.dumps(state))
    try:
        # When any cloud is started, Then the first is removed, and the second is left to who asks for it
        with LocalCloud.start(name):
            assert [folder.exists() for folder in folders] == [False, True]
    finally:
        assert LocalCloud.attach(folders[1].name) is None
    assert not folders[1].exists()


def test_stopping_a_cloud_spares_another_that_has_taken_its_name(name: str) -> None:
    # Given a cloud that died, and a new one of the same name
    old = LocalCloud.start(name)
    kill(old)
    new = LocalCloud.start(name)
    # When the old one is stopped, Then the new one still works
    old.stop()
    assert new.alive()
    assert new.control.health()
    new.stop()


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": "1"},
        {"pid": -1},
        {"pid": 0},
        {"pid": 1e3},
        {"pid": True},
        {"pid": 1 << 40},
        {"port": "1"},
        {"port": 0},
        {"port": 99999},
        {"token": None},
    ],
)
def test_a_state_of_impossible_values_counts_as_no_cloud(name: str, wrong: dict[str, object]) -> None:
    # Given a state file with a value that cannot be, When the cloud is looked for, Then there is none
    folder = clouds.STATE / name
    folder.mkdir(parents=True)
    (folder / "cloud.json").write_text(json.dumps(SOUND | wrong))
    assert LocalCloud.attach(name) is None


def test_what_is_no_state_at_all_counts_as_no_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given files where folders belong, a folder where a file belongs, and a name that leads elsewhere
    monkeypatch.setattr(clouds, "STATE", tmp_path / "state")
    (tmp_path / "state" / "folder" / "cloud.json").mkdir(parents=True)
    (tmp_path / "state" / "file").write_text("")
    (tmp_path / "cloud.json").write_text(json.dumps(SOUND))
    # When clouds are looked for, Then there is none
    assert [LocalCloud.attach(name) for name in ("folder", "file", "missing", "..", ".", "", "file/x")] == [None] * 7


def test_the_state_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    # Given a state file that is written again and again
    file = tmp_path / "cloud.json"
    clouds._write_private(file, json.dumps(SOUND))
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            clouds._write_private(file, json.dumps(SOUND))

    writing = threading.Thread(target=write)
    writing.start()
    # When it is read meanwhile, Then it is always whole, and private
    try:
        assert all(json.loads(file.read_text()) == SOUND for _ in range(500))
        assert file.stat().st_mode & 0o777 == 0o600
    finally:
        done.set()
        writing.join()


def _has(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in part for part in process.cmdline())
    except psutil.Error:
        return False
