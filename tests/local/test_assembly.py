"""Synthesis: once for each state of the sources, and one line when it fails. A small app stands in for the real one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from local import assembly
from local.assembly import SettingsRefusedError, SynthesisError, synthesize
from tests import synthesizer

GOOD = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True)
(out / "manifest.json").write_text(os.environ["CDK_CONTEXT_JSON"])
(out / "environment.json").write_text(json.dumps(dict(os.environ)))
with open("runs", "a") as runs:
    runs.write("x")
"""

Project = Callable[[str], Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Makes a project with this app; returns its folder."""
    monkeypatch.setattr(assembly, "ROOT", tmp_path)
    monkeypatch.setattr(assembly, "BUILD", tmp_path / ".build")

    def make(app: str) -> Path:
        (tmp_path / "app.py").write_text(app)
        (tmp_path / "stacks").mkdir(exist_ok=True)
        return tmp_path

    return make


def runs(project: Path) -> int:
    """How often the app was run to its end."""
    file = project / "runs"
    return len(file.read_text()) if file.exists() else 0


def test_the_same_sources_are_synthesized_once(project: Project) -> None:
    # Given a project that was synthesized
    folder = project(GOOD)
    first = synthesize("image-labeling")
    # When it is synthesized again, Then the assembly is the same, and the app was not run
    assert synthesize("image-labeling") == first
    assert runs(folder) == 1
    # and compiled files do not count as sources
    (folder / "stacks" / "__pycache__").mkdir()
    (folder / "stacks" / "__pycache__" / "x.pyc").touch()
    assert synthesize("image-labeling") == first


@pytest.mark.parametrize(
    "source", ["app.py", "cdk.json", "stacks/new.py", "lambdas/a/b/handler.py", "requirements/run.txt"]
)
def test_a_changed_source_is_synthesized_anew(project: Project, source: str) -> None:
    # Given a synthesized project
    folder = project(GOOD)
    first = synthesize("image-labeling")
    # When a source changes, or is added
    file = folder / source
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "\n# changed")
    # Then there is another assembly, and the first still stands
    assert synthesize("image-labeling") != first
    assert (first / "manifest.json").exists()


def test_what_was_made_while_the_sources_changed_is_not_kept(project: Project) -> None:
    # Given an app that somebody edits while it runs for the first time
    folder = project(GOOD + "if len(open('runs').read()) == 1:\n    open('stacks/edited.py', 'w').write('# edited')\n")
    # When it is synthesized
    made = synthesize("image-labeling")
    # Then the first assembly was thrown away: it may be of the old sources or of the new
    assert runs(folder) == 2
    assert [one.name for one in made.parent.iterdir()] == [made.name]
    assert synthesize("image-labeling") == made


def test_each_context_has_its_assembly_and_reaches_the_app(project: Project) -> None:
    # Given a project
    project(GOOD)
    settings = {"image-labeling": {"minimum_confidence": 30}}
    # When it is synthesized with different contexts
    folders = [
        synthesize("image-labeling"),
        synthesize(None),
        synthesize("image-labeling", target="lambda"),
        synthesize("image-labeling", settings=settings),
        synthesize("image-labeling", stack_name="copy"),
    ]
    # Then each has its own assembly, and the app got what was asked for
    assert len(set(folders)) == len(folders)
    contexts = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert contexts[0] == {"architecture": "image-labeling", "target": "local"}
    assert contexts[1] == {"target": "local"}
    assert json.loads(contexts[3]["settings"]) == settings
    assert contexts[4]["stack_name"] == "copy"


def test_nothing_of_the_shell_reaches_the_app(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a shell with AWS and CDK variables
    project(GOOD)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-north-1")
    # When the app is run
    folder = synthesize("image-labeling")
    # Then it saw neither, and Node is the project's own
    seen = json.loads((folder / "environment.json").read_text())
    assert not {"AWS_PROFILE", "CDK_DEFAULT_REGION"} & seen.keys()
    assert Path(seen["JSII_NODE"]).exists()
    # and its temporary files are gone
    assert not Path(seen["TMPDIR"]).exists()


def test_a_folder_that_was_named_is_always_made_anew(project: Project, tmp_path: Path) -> None:
    # Given a project that was synthesized
    folder = project(GOOD)
    synthesize("image-labeling")
    # When it is synthesized into a folder, Then the app is run, and nothing else is written there
    out = tmp_path / "out"
    assert synthesize("image-labeling", out=out) == out
    assert runs(folder) == 2
    assert sorted(file.name for file in out.iterdir()) == ["environment.json", "manifest.json"]


def test_two_at_once_share_the_assembly(project: Project) -> None:
    # Given a project that was never synthesized, When two ask for it at once
    folder = project(GOOD)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(synthesize, ["image-labeling"] * 2)
    # Then it is made once, both get the same whole assembly, and nothing half-made stays
    assert runs(folder) == 1
    assert first == second
    assert (first / "manifest.json").exists()
    assert [folder.name for folder in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(
    ("app", "kind", "said"),
    [
        ("import sys; sys.exit('minimum_confidence must be at most 100')", SynthesisError, "must be at most 100"),
        (
            "import sys; print('noise'); print('minimum_confidence must be at most 100', file=sys.stderr); sys.exit(2)",
            SettingsRefusedError,
            "minimum_confidence must be at most 100",
        ),
        ("raise ValueError('a bug\\nin two lines')", SynthesisError, "cannot be synthesized"),
        ("print('nothing was written')", SynthesisError, "nothing was written"),
        ("", SynthesisError, "said nothing"),
        ("import os; os.kill(os.getpid(), 9)", SynthesisError, "said nothing"),
        ("raise OSError(28, 'No space left on device')", SynthesisError, "The disk is full"),
    ],
)
def test_a_failure_is_one_line(project: Project, app: str, kind: type[Exception], said: str) -> None:
    # Given an app that fails in some way
    folder = project(app)
    # When it is synthesized, Then one line says why, and nothing half-made stays
    with pytest.raises(SynthesisError) as caught:
        synthesize("image-labeling")
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((folder / ".build" / "assemblies").iterdir()) == []


def test_a_bug_leaves_its_traceback_in_a_file(project: Project) -> None:
    # Given an app with a bug
    folder = project("raise ValueError('a bug')")
    # When it is synthesized, Then the line names the file with the traceback
    with pytest.raises(SynthesisError, match=r"ValueError: a bug \(all of it: .build/synthesis.log\)"):
        synthesize("image-labeling")
    assert "Traceback" in (folder / ".build" / "synthesis.log").read_text()


def test_a_synthesis_that_hangs_is_ended_with_all_that_it_started(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an app that hangs, and whose child hangs too
    folder = project(
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '61'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(61)\n"
    )
    monkeypatch.setattr(assembly, "TIMEOUT_SECONDS", 2)
    # When it is synthesized, Then it is given up
    with pytest.raises(SynthesisError, match="did not end within 2 s"):
        synthesize("image-labeling")
    # and the child has ended
    child = int((folder / "child").read_text())
    end = time.monotonic() + 5
    while time.monotonic() < end and psutil.pid_exists(child):
        if psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(child)


def test_a_build_folder_that_cannot_be_written_is_named(project: Project) -> None:
    # Given a file where the build folder should be
    folder = project(GOOD)
    (folder / ".build").touch()
    # When the project is synthesized, Then the line names the place
    with pytest.raises(SynthesisError, match=r"Cannot write to .*\.build"):
        synthesize("image-labeling")


def test_old_assemblies_go_and_recent_ones_stay(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given more assemblies than are kept: some unused for a day, one recent, and a half-made one of yesterday
    folder = project(GOOD)
    monkeypatch.setattr(assembly, "KEPT", 3)
    assemblies = folder / ".build" / "assemblies"
    assemblies.mkdir(parents=True)
    yesterday = time.time() - 86_400
    for name, used in (
        ("old-1", yesterday - 2),
        ("old-2", yesterday - 1),
        ("old-3", yesterday),
        (".making-x", yesterday + 1),
        ("recent", time.time()),
    ):
        (assemblies / name).mkdir()
        os.utime(assemblies / name, (used, used))
    # When another is made
    made = synthesize("image-labeling")
    # Then the oldest and the half-made one are gone
    assert {one.name for one in assemblies.iterdir()} == {made.name, "recent", "old-3"}


def test_what_tests_deploy_is_what_the_app_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an assembly by the process that synthesizes for tests, which made another before
    settings = {"image-labeling": {"maximum_receives": 2}}
    synthesize("image-labeling", out=tmp_path / "first")
    kept = synthesize("image-labeling", settings=settings, out=tmp_path / "kept")
    # When the app makes it in a process of its own, Then both are the same, file for file
    monkeypatch.setattr(assembly, "_run_app", synthesizer.anew)
    anew = synthesize("image-labeling", settings=settings, out=tmp_path / "anew")
    assert digests(kept) == digests(anew) != digests(tmp_path / "first")


def test_what_the_app_refuses_is_refused_in_tests_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given settings that no stack takes
    wrong = {"image-labeling": {"maximum_receives": 0}}

    def said() -> str:
        with pytest.raises(SettingsRefusedError) as refused:
            synthesize("image-labeling", settings=wrong, out=tmp_path / "out")
        return str(refused.value)

    # When each process synthesizes them, Then both say the same
    kept = said()
    monkeypatch.setattr(assembly, "_run_app", synthesizer.anew)
    assert said() == kept


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }
