"""The demo of model-vault: artifacts, their locks and copies, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.demos.attempts import attempts_table
from local.files import FileKind, printable
from scenarios import model_vault

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.cloud import Cloud
    from scenarios.model_vault import Report


class ModelVaultDemo(Demo):
    """Keeps the user's artifacts, or files of the project that stand for some."""

    files = FileKind("artifact", "artifacts", (".tar.gz",), lambda name: True, "kept")
    samples = ROOT / "samples" / "texts"
    doing = "Putting {inputs} into the vault, waiting for the copies, trying to change one"
    done = "Put {inputs} into the vault"
    results = "artifacts"

    def sample_files(self) -> list[Path]:
        return sorted(self.samples.glob("review-*.txt"))[:3]

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return model_vault.run(cloud, outputs, inputs, progress, trying=True, patience_seconds=10)

    def run_elsewhere(
        self, cloud: Cloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        """A copy in another region takes minutes."""
        return model_vault.run(cloud, outputs, inputs, progress, trying=True)

    def summary(self, report: Report) -> str:
        refused = sum(attempt.refused for attempt in report.attempts)
        return f"{sum(one.copied for one in report.artifacts)} kept in two regions, {refused} attempts refused"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        kept = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for head in ("Artifact", "Version", "Locked until", "Copy"):
            kept.add_column(head, overflow="fold")
        for one in report.artifacts:
            copy = Text("the same, locked too") if one.copied else Text(one.status.lower(), "red")
            until = one.locked_until.replace("T", " ")[:16]
            kept.add_row(Text(printable(one.path.name)), one.version[:8], until, copy)
        return [kept, attempts_table(report.attempts, lines)]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [("The regions", "both are in the same process here; a copy is there at once")]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "file": str(one.path),
                "key": one.key,
                "version": one.version,
                "locked_until": one.locked_until,
                "replication": one.status,
                "copied": one.copied,
                "seconds": round(one.seconds, 3),
            }
            for one in report.artifacts
        ]


DEMO = ModelVaultDemo()
