"""Setting up: the environment is made once, whole, and in words that a newcomer understands."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local import virtualenv
from tests.local.emulated import eventually

FULL = b"OSError: [Errno 28] No space left on device\nsubprocess.CalledProcessError: Command '...'"


@pytest.fixture
def installations(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run in the new environment; nothing is."""
    seen: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: seen.append(command[2:4]))
    return seen


def test_an_environment_is_made_once(
    tmp_path: Path, installations: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an environment that was left half made
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "half").touch()
    # When it is made, twice
    assert virtualenv.main([str(folder)]) == 0
    assert virtualenv.main([str(folder)]) == 0
    # Then what was left is gone, and it was made and told of once
    assert not (folder / "half").exists()
    assert (folder / "bin" / "python").exists()
    assert [module for module, _ in installations] == ["ensurepip", "pip"]
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_changed_installer_makes_it_anew(tmp_path: Path, installations: list[list[str]]) -> None:
    # Given an environment that is older than the lock file of its installer
    folder = tmp_path / "environment"
    assert virtualenv.main([str(folder)]) == 0
    os.utime(folder / virtualenv.STAMP, (0, 0))
    # When it is asked for, Then it is made again
    assert virtualenv.main([str(folder)]) == 0
    assert len(installations) == 4


def test_who_comes_second_waits_and_finds_the_work_done(tmp_path: Path) -> None:
    # Given another process that is setting up
    folder = tmp_path / "environment"
    folder.mkdir()
    lock = os.open(virtualenv.ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = [sys.executable, "-m", "local.virtualenv", str(folder)]
    with subprocess.Popen(command, cwd=virtualenv.ROOT, stdout=subprocess.PIPE, text=True) as second:
        try:
            assert second.stdout is not None
            assert second.stdout.readline() == "Another process is setting up: waiting for it ...\n"
            # When that one is done
            (folder / virtualenv.STAMP).touch()
        finally:
            os.close(lock)
        # Then the second leaves its work alone
        eventually(lambda: second.poll() is not None)
        assert second.returncode == 0
        assert os.listdir(folder) == [virtualenv.STAMP]


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (OSError(28, "No space left on device", "/some/file"), 1, "No space left on device (/some/file)"),
        (subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"], stderr=b"why\nno disk"), 1, "no disk"),
        (
            subprocess.CalledProcessError(1, ["", "-m", "ensurepip"], stderr=FULL),
            1,
            "ensurepip: No space left on device",
        ),
        (subprocess.CalledProcessError(1, ["python", "-m", "pip"]), 1, "pip: see above"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_goes_wrong_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    status: int,
    said: str,
) -> None:
    # Given something that stops the set-up
    def stop(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(subprocess, "run", stop)
    # When the environment is made, Then a line says what, and the environment does not count as made
    folder = tmp_path / "environment"
    assert virtualenv.main([str(folder)]) == status
    err = capsys.readouterr().err
    assert len(err.splitlines()) == bool(said)
    assert said in err
    assert not (folder / virtualenv.STAMP).exists()


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    # Given a Python without any package, When the module is loaded there, Then it loads
    command = [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, {str(virtualenv.ROOT)!r})"]
    command[-1] += "; import local.virtualenv"
    subprocess.run(command, check=True, cwd=tmp_path)


def made(folder: Path, **environment: str) -> str:
    """What the Makefile, in a project in `folder`, would have the installer use as its cache."""
    shutil.copy(virtualenv.ROOT / "Makefile", folder)
    return subprocess.run(
        ["make", "-s", "-f", "-", "show"],
        input='include Makefile\nshow:\n\t@echo "$$UV_CACHE_DIR"\n',
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_installers_cache_is_the_users_where_there_is_one_to_write_to(tmp_path: Path) -> None:
    # Given a home, none, one that cannot be, and a cache of the user's choice; When make looks for a cache
    project = tmp_path / "my project"
    project.mkdir()
    home = tmp_path / "home"
    chosen = {
        "home": made(project, HOME=str(home)),
        "none": made(project),
        "impossible": made(project, HOME="/dev/null"),
        "chosen": made(project, HOME=str(home), UV_CACHE_DIR="/some/cache"),
    }
    # Then the installer is left to find the user's, or has one in the project
    own = str(project / ".build" / "uv")
    assert chosen == {"home": "", "none": own, "impossible": own, "chosen": "/some/cache"}


@pytest.mark.parametrize(("python", "kept"), [(sys.executable, True), ("/nowhere/python3", False)])
def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path, python: str, kept: bool) -> None:
    # Given an environment, and a shell that sends Python elsewhere
    stamp = tmp_path / ".venv" / virtualenv.STAMP
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(python)
    stamp.touch()
    # When make is called, Then the environment counts as made only where its Python still runs
    made(tmp_path, HOME=str(tmp_path), PYTHONHOME="/nowhere")
    assert stamp.exists() == kept
