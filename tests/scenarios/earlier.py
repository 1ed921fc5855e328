"""The version of the stacks before the one that is tested, from the project's history."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from local.assembly import BUILD, ROOT, SOURCES, SynthesisError, synthesize

# What the policy checks and the catalogue's words change changes no template.
CHANGING = (*SOURCES, ":(exclude)stacks/policy", ":(exclude)stacks/catalogue.py", ":(exclude)services.toml")


class NoHistoryError(Exception):
    """There is no earlier version here. `str()` is one line with the reason."""


def versions(root: Path = ROOT) -> Iterator[str]:
    """The commits before each change of what templates are made of, the newest first.

    `HEAD` comes before them if something is changed and not committed. Raises NoHistoryError for a folder without
    history, or with too little of it.
    """
    if not _git(root, "rev-parse", "HEAD"):
        raise NoHistoryError("the project has no history here")
    changed = _git(root, "status", "--porcelain", "--", *CHANGING)
    commits = _git(root, "log", "--first-parent", "--format=%H", "--", *CHANGING).split()
    before = [found for one in commits if (found := _git(root, "rev-parse", "--verify", "--quiet", f"{one}^"))]
    if not changed and not before:
        raise NoHistoryError("the history does not go back to a change of the stacks (git fetch --unshallow)")
    yield from ["HEAD"] if changed else []
    yield from before


def assembly(commit: str, architectures: str, folder: Path) -> Path:
    """The assembly of these architectures (ids, commas between them), those that a commit has, for this machine.

    `folder` must not exist yet. Its functions are made of the libraries that this version locks, as these are staged:
    it is the templates that count. Raises NoHistoryError where a function is gone since, and its libraries with it.
    """
    files = subprocess.run(
        ["git", "archive", "--format=zip", commit, "--", *SOURCES],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    source = folder / "source"
    with zipfile.ZipFile(io.BytesIO(files)) as archive:
        archive.extractall(source)
    for lock in ROOT.glob("lambdas/*/*/requirements.txt"):
        before = source / lock.relative_to(ROOT)
        if before.exists():
            shutil.copyfile(lock, before)
    (source / ".build").mkdir()
    (source / ".build" / "parts").symlink_to(BUILD / "parts")
    try:
        there = ",".join(one for one in architectures.split(",") if one in _available(source))
        return synthesize(there, out=folder / "assembly", root=source)
    except SynthesisError as error:
        if "are not staged" in str(error):
            raise NoHistoryError(f"the version before cannot be synthesized any more: {error}") from None
        raise


def _available(source: Path) -> list[str]:
    """The architectures that a version has built."""
    command = "from stacks import catalogue; print(*(one.id for one in catalogue.available()))"
    done = subprocess.run([sys.executable, "-c", command], cwd=source, capture_output=True, text=True, check=True)
    return done.stdout.split()


def _git(root: Path, *arguments: str) -> str:
    """What git prints, or nothing where it fails or is not there."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
