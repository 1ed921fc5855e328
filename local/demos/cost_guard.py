"""The demo of cost-guard: notebooks in every condition, and what became of each when the guard looked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind
from scenarios import cost_guard
from scenarios.cost_guard import Report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen

STYLES = {"stopped": "red", "active": "green", "kept": "green", "silent": "yellow"}
_BECAUSE = {
    "idle": "nobody has worked for two hours",
    "at work": "its last report says so",
    "kept": "its tag cost-guard:keep-alive names today",
    "silent": "nobody reports: it may be at work",
}


class CostGuardDemo(Demo):
    """Lets the guard look at the machines of the user's file, or of the project's."""

    files = FileKind("file of machines", "files of machines", (".json",), lambda name: name.endswith(".json"), "read")
    samples = ROOT / "samples" / "machines"
    doing = "Making the machines of {inputs}, and looking two hours later"
    done = "Looked at the machines of {inputs}"
    results = "machines"

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return cost_guard.run(cloud, outputs, inputs, progress)

    def summary(self, report: Report) -> str:
        counts = Counter(machine.outcome for machine in report.machines)
        return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or report.error

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for heading in ("Machine", "What became of it", "Because", "Status now"):
            table.add_column(heading, overflow="fold")
        for machine in report.machines:
            table.add_row(
                Text(machine.name),
                Text(machine.outcome, STYLES.get(machine.outcome, "bold red")),
                _BECAUSE[machine.condition],
                machine.status,
            )
        return [table]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The machines", "records with states: no notebook runs here, and the demo writes what a script would"),
            ("The budget", "a record: nothing is spent here, so it never speaks"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "machine": machine.name,
                "kind": machine.kind,
                "condition": machine.condition,
                "outcome": machine.outcome,
                "status": machine.status,
            }
            for machine in report.machines
        ]


DEMO = CostGuardDemo()
