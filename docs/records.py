"""Which architecture ran on which cloud, when, and at which commit: written by the runs themselves.

One line an architecture and cloud in `records.jsonl`, the newest run of it; `records.md` shows them as a table. Nothing
is written unless a run is asked to: `make records`, or `--record`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from stacks import catalogue

Cloud = Literal["local", "localstack", "aws"]
Result = Literal["passed", "failed", "not run"]

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "records.jsonl"
PAGE = ROOT / "docs" / "records.md"
BEGIN, END = "<!-- generated: records -->", "<!-- end -->"


@dataclass(frozen=True)
class Record:
    """A run. `date` is UTC's, `commit` short and with `+changes` where the sources were others than committed.

    `passed`, `failed` and `not_run` count scenarios. `seconds` is how long they took.
    """

    architecture: str
    cloud: Cloud
    result: Result
    date: str
    commit: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    not_run: int = 0
    reason: str = ""


def record(
    architecture: str,
    cloud: Cloud,
    result: Result,
    *,
    seconds: float = 0.0,
    passed: int = 0,
    failed: int = 0,
    not_run: int = 0,
    reason: str = "",
    data: Path = DATA,
    page: Path | None = PAGE,
) -> Record:
    """Writes down a run in place of the last one of this architecture on this cloud, and the page's table anew.

    `reason` says why something failed or was not run; it is a line. Several processes may write at once. Raises
    LookupError for an unknown architecture and ValueError for an unknown cloud or result, or counts that contradict the
    result.
    """
    catalogue.get(architecture)
    if cloud not in get_args(Cloud) or result not in get_args(Result):
        raise ValueError(f"There is no cloud {cloud!r} or no result {result!r}.")
    if (result == "passed") != (passed > 0 and not failed) or (result == "failed") != (failed > 0):
        raise ValueError(f"{passed} passed and {failed} failed: that is not {result!r}.")
    made = Record(
        architecture,
        cloud,
        result,
        datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        commit(),
        round(seconds, 1),
        passed,
        failed,
        not_run,
        " ".join(reason.split()),
    )
    with _alone(data.parent):
        others = [one for one in read(data) if (one.architecture, one.cloud) != (architecture, cloud)]
        lines = [json.dumps(asdict(one)) + "\n" for one in sorted([*others, made], key=_place)]
        _write(data, "".join(lines))
        if page is not None and page.exists():
            _write(page, filled(page.read_text(encoding="utf-8"), table(read(data))))
    return made


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time. The folder is locked, as the files in it are replaced as a whole."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        # A file system that knows no locks must not keep a run from being written down.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def read(data: Path = DATA) -> list[Record]:
    """The records, by the catalogue's order and cloud. None are there before the first run."""
    if not data.exists():
        return []
    return [Record(**json.loads(line)) for line in data.read_text(encoding="utf-8").splitlines()]


def table(records: Sequence[Record]) -> str:
    """The records as a table in Markdown, or a sentence where there are none."""
    if not records:
        return "No run has been written down yet."
    lines = [
        "| Architecture | Cloud | Result | Scenarios | Took | Date | Commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in records:
        counts = [(one.passed, "passed"), (one.failed, "failed"), (one.not_run, "not run")]
        told = ", ".join(f"{number} {what}" for number, what in counts if number)
        result = f"{one.result}: {one.reason}" if one.reason else one.result
        took = f"{one.seconds:.1f} s" if one.seconds else ""
        name = f"[{one.architecture}](architectures/{one.architecture}.md)"
        lines.append(f"| {name} | {one.cloud} | {result} | {told} | {took} | {one.date} | `{one.commit}` |")
    return "\n".join(lines)


def filled(page: str, shown: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}"


def commit(root: Path = ROOT) -> str:
    """The commit of the sources: `1a2b3c4`, `1a2b3c4+changes`, or `unknown` where there is no repository."""
    try:
        name = _git(root, "rev-parse", "--short", "HEAD")
        # What the runs write themselves is no change.
        changed = _git(root, "status", "--porcelain", "--", ".", ":!docs/records.jsonl", ":!docs/records.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+changes" if changed else name


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 (git)


def _place(one: Record) -> tuple[int, int]:
    order = [known.id for known in catalogue.ARCHITECTURES]
    return order.index(one.architecture), get_args(Cloud).index(one.cloud)


def _write(path: Path, text: str) -> None:
    half = path.with_name(f".{path.name}.new")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
