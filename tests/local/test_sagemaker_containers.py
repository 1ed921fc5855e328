"""The container contract of the local SageMaker, without a cloud."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from local.cloud import ROOT
from local.services.sagemaker.containers import (
    MONITOR,
    PYTHON,
    Container,
    ContainerError,
    Workspace,
    failure_reason,
    program_of,
)
from local.services.wire import ServiceError
from tests.local.sagemaking import SKLEARN, XGBOOST
from tests.local.standin import FakeCaller
from tests.waiting import until


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    made = Workspace("test")
    yield made
    made.remove()
    assert not made.folder.exists()


def ran(workspace: Workspace, *command: str, caller: FakeCaller | None = None, **more: Any) -> tuple[int, list[str]]:
    """Exit code and output of a command."""
    lines: list[str] = []
    container = Container(workspace, command, caller or FakeCaller(), line=lines.append, **more)
    container.start()
    code = container.wait(30)
    assert code is not None
    return code, lines


def test_a_command_gets_its_own_arguments_and_no_input(workspace: Workspace) -> None:
    # Given a process with many open files, so that new ones have numbers of two digits
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    script = "import sys; print(sys.argv[1:], repr(sys.stdin.read()))"
    # When it runs a command, then that gets nothing of them
    try:
        assert ran(workspace, "python3", "-c", script, "a b", "--c") == (0, ["['a b', '--c'] ''"])
    finally:
        for one in many:
            os.close(one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/opt/ml/input", "{}/input"),
        ("cd /opt/ml; ls /opt/ml/model", "cd {}; ls {}/model"),
        ("file:///opt/ml/x", "file://{}/x"),
        ("--folder=/opt/ml/x,'/opt/ml'", "--folder={}/x,'{}'"),
        ("/data/opt/ml/x /opt/mlflow", "/data/opt/ml/x /opt/mlflow"),
        ("s3://bucket/opt/ml/x", "s3://bucket/opt/ml/x"),
    ],
)
def test_paths_of_the_container_are_told_as_the_folders(workspace: Workspace, text: str, told: str) -> None:
    assert workspace.told(text) == told.replace("{}", str(workspace.root))


def test_a_path_outside_the_container_is_refused(workspace: Workspace) -> None:
    assert workspace.path("/opt/ml/model") == workspace.root / "model"
    for path in ("/etc/passwd", "/opt/ml/../x", "/opt/mlflow"):
        with pytest.raises(ContainerError, match="must lie under"):
            workspace.path(path)


def test_images_are_played_or_refused() -> None:
    assert [program_of(SKLEARN), program_of(XGBOOST)] == [PYTHON, PYTHON]
    assert program_of("1" * 12 + ".dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer") == MONITOR
    for image in ("python:3.12", "1" * 12 + ".dkr.ecr.eu-west-1.amazonaws.com/sagemaker-pytorch:2"):
        with pytest.raises(ContainerError, match="has nothing to play"):
            program_of(image)


def test_a_process_has_its_callers_session_and_none_of_this_process(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a secret of this process, and a caller with a session
    monkeypatch.setenv("SECRET", "mine")
    monkeypatch.setattr(FakeCaller, "environment", lambda _: {"AWS_ACCESS_KEY_ID": "theirs"})
    script = "import os; print(os.environ.get('SECRET'), os.environ.get('AWS_ACCESS_KEY_ID'), os.environ['FOLDER'])"
    # When a process is run, then it sees the session and its own variables
    code, lines = ran(workspace, "python3", "-c", script, environment={"FOLDER": "/opt/ml/x"})
    assert (code, lines) == (0, [f"None theirs {workspace.root}/x"])


def test_an_ended_process_leaves_nothing_behind(workspace: Workspace) -> None:
    # Given a command that leaves a child behind
    code, lines = ran(workspace, "bash", "-c", "sleep 300 & echo $!; exit 5")
    # When it has ended, then the child has, too, and the pipe to it is closed
    assert code == 5
    until(lambda: not _lives(int(lines[0])), "the child's end", seconds=10)


def test_a_process_is_asked_to_end_and_then_ended(workspace: Workspace) -> None:
    # Given one that does as it is told, and one that does not
    for script, code in (("", 143), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 137)):
        lines: list[str] = []
        program = f"import signal, time; {script}; print('ready'); time.sleep(60)".replace("; ;", ";")
        container = Container(workspace, ["python3", "-c", program], FakeCaller(), line=lines.append)
        container.start()
        until(lambda lines=lines: lines, "its start", seconds=10)  # type: ignore[misc]
        # When it is stopped, then it ends either way
        assert container.stop(0.3) == code
        assert not container.running


def test_a_process_ends_with_the_emulator(tmp_path: Any) -> None:
    # Given a program that runs a container, and its child
    program = (
        "import time\n"
        "from local.services.sagemaker.containers import Container, Workspace\n"
        "from tests.local.standin import FakeCaller\n"
        "container = Container(Workspace('x'), ['bash', '-c', 'sleep 300 & sleep 300'], FakeCaller())\n"
        "container.start(); print(container.pid, flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    # When the program is killed
    parent.kill()
    parent.wait()
    # Then all of them are gone
    until(lambda: not any(_lives(one.pid) for one in family), "the end of the group", seconds=10)


def test_without_permissions_on_logs_a_process_runs_unseen(workspace: Workspace) -> None:
    # Given a log that nobody lets it write
    from local.services.sagemaker.containers import LogStream

    caller = FakeCaller()
    with pytest.raises(ServiceError):
        caller.call("logs", "CreateLogGroup", {})
    # When a process talks, then it ends well
    assert ran(workspace, "echo", "hello", log=LogStream(caller, "/aws/sagemaker/X", "s"))[0] == 0


def test_a_failure_is_what_the_container_wrote(workspace: Workspace) -> None:
    assert failure_reason(workspace, 3).endswith("exit code: 3")
    (workspace.root / "output").mkdir()
    (workspace.root / "output" / "failure").write_text("No rows\n")
    assert failure_reason(workspace, 3) == "AlgorithmError: No rows, exit code: 3"


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def test_output_comes_while_the_process_runs(workspace: Workspace) -> None:
    # Given a process that says something and goes on, When it does, Then that is told at once
    lines: list[str] = []
    container = Container(workspace, ["bash", "-c", "echo early; sleep 60"], FakeCaller(), line=lines.append)
    container.start()
    began = time.monotonic()
    until(lambda: lines == ["early"], "the line", seconds=10)
    assert time.monotonic() - began < 5
    container.kill()
