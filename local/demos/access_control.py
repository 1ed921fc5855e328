"""The demo of access-control: who asks for what, who gets it, and which statement refuses it, whatever is attached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind, FilesRefusedError, printable
from scenarios import access_control
from scenarios.access_matrix import PERSONS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.access_control import Answer


@dataclass(frozen=True)
class Report:
    """The matrix, asked for once with each policy attached; by the policy's file."""

    runs: Mapping[str, access_control.Report]

    @property
    def complete(self) -> bool:
        """Whether every answer of every run is the matrix's."""
        return bool(self.runs) and all(run.complete for run in self.runs.values())

    @property
    def answers(self) -> list[tuple[str, Answer]]:
        return [(name, answer) for name, run in self.runs.items() for answer in run.answers]


class AccessControlDemo(Demo):
    """Attaches the user's policy, or one that allows everything, to people's roles, and has everybody ask."""

    files = FileKind(
        "policy", "policies", (".json",), lambda name: name.lower().endswith(".json"), "attached", largest_bytes=10_240
    )
    samples = ROOT / "samples" / "policies"
    doing = "Signing people in, attaching {inputs}, asking for everything in the matrix"
    done = "Asked for everything in the matrix, with {inputs} attached"
    results = "answers"

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return Report(
            {
                path.name: access_control.run(cloud, outputs, progress, attached=text)
                for path, text in [(path, _policy(path)) for path in inputs]
            }
        )

    def summary(self, report: Report) -> str:
        allowed = sum(answer.allowed for _, answer in report.answers)
        wrong = sum(not answer.right for _, answer in report.answers)
        told = f", {wrong} not as the matrix says" if wrong else ", all as the matrix says"
        return f"{allowed} allowed, {len(report.answers) - allowed} refused{told}"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        people = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for heading in ("Who", "allowed", "refused"):
            people.add_column(heading, justify="left" if heading == "Who" else "right")
        counts = Counter((answer.cell.person, answer.allowed) for _, answer in report.answers)
        for person, title in PERSONS.items():
            people.add_row(title, str(counts[person, True]), str(counts[person, False]))
        yield people
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for heading in ("Who", "asks to", "answer", "by the statement"):
            table.add_column(heading, overflow="fold")
        for answer in _one_of_each(report):
            who = answer.cell.person + (", policy attached" if answer.cell.widened else "")
            told = Text("allowed", "green") if answer.allowed else Text("refused", "red")
            table.add_row(who, printable(answer.cell.wish), told, f"{answer.cell.layer}: {answer.cell.by}")
        yield table
        for name, answer in report.answers:
            if not answer.right:
                yield Text(f"Not as the matrix says, with {printable(name)}: {answer.cell.name}", "red")

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The table", "one answer of each statement; the page has the whole matrix"),
            (
                "What was allowed",
                "was really done: jobs, of an image that does not exist, and an endpoint that answered",
            ),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "attached": name,
                "person": answer.cell.person,
                "wish": answer.cell.wish,
                "action": answer.cell.action,
                "widened": answer.cell.widened,
                "allowed": answer.allowed,
                "as_written": answer.right,
                "layer": answer.cell.layer,
                "statement": answer.cell.by,
                "code": answer.code or None,
            }
            for name, answer in report.answers
        ]


def _policy(path: Path) -> str:
    """A policy document, as text. Raises FilesRefusedError."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except ValueError as error:
        raise FilesRefusedError(f"{printable(str(path))}: this is no JSON.") from error
    if not isinstance(found, dict) or "Statement" not in found:
        raise FilesRefusedError(f"{printable(str(path))}: this is no policy, which has a Statement.")
    return text


def _one_of_each(report: Report) -> list[Answer]:
    """The first answer of each person by each statement, so that a screen holds them."""
    found: dict[tuple[str, str, str, bool], Answer] = {}
    for _, answer in report.answers:
        found.setdefault((answer.cell.person, answer.cell.layer, answer.cell.by, answer.allowed), answer)
    return [answer for answer in found.values() if not answer.allowed or not answer.right]


DEMO = AccessControlDemo()
