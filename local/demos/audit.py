"""The demo of audit: what was done, what was noticed of it, and what the archive refused an administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import audit
from scenarios.audit import Report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen


class AuditDemo(Demo):
    """Plays an administrator, a scientist and an intruder at once; the user's texts are what is read."""

    files = FileKind("text", "texts", (".txt",), lambda name: name.casefold().endswith(".txt"), "read")
    samples = ROOT / "samples" / "texts"
    doing = "Reading {inputs}, changing rights, opening a bucket, attacking the archive"
    done = "Read {inputs}, changed, opened, attacked"
    results = "noticed"

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return audit.run(cloud, outputs, inputs, progress)

    def summary(self, report: Report) -> str:
        told = sum(bool(one) for one in report.told.values())
        return (
            f"{told} alarms, {len(report.records)} records, {sum(map(bool, report.refused.values()))} attempts refused"
        )

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII

        def table(*headings: str) -> Table:
            made = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
            for heading in headings:
                made.add_column(heading, overflow="fold")
            return made

        alarms = table("What was done", "The alarm")
        for done, told in report.told.items():
            alarms.add_row(done, Text(told or "none", "green" if told else "bold red"))
        records = table("Who", "Called", "On what")
        for who, event, what in dict.fromkeys(report.records):
            records.add_row(printable(who), event, Text(printable(what)))
        refused = table("What an administrator tried on the archive", "What came of it")
        for tried, code in report.refused.items():
            refused.add_row(tried, Text(code or "it was done", "green" if code else "bold red"))
        return [alarms, records, refused]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The trail", "real: each request to this cloud, with who asked and how it ended, in the archive's bucket"),
            (
                "Config, GuardDuty",
                "records: AWS's rules and detectors look at nothing here; the rule on jobs is a function and runs",
            ),
            ("The questions", "kept for Athena, which does not run here; the tests ask them of the archive by SQLite"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "alarms": dict(report.told),
                "refused": dict(report.refused),
                "records": [list(one) for one in report.records],
                "jobs": report.verdict,
            }
        ]


DEMO = AuditDemo()
