"""The demo of data-protection: files under a key of their own, read by a link, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.demos.attempts import attempts_table
from local.files import FileKind, printable
from scenarios import data_protection

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.data_protection import Report


class DataProtectionDemo(Demo):
    """Protects the user's files, or the project's."""

    files = FileKind("file", "files", (".txt",), lambda name: True, "protected")
    samples = ROOT / "samples" / "texts"
    doing = "Writing {inputs}, reading each by a link, trying what is refused"
    done = "Wrote {inputs}"
    results = "files"

    def sample_files(self) -> list[Path]:
        return sorted(self.samples.glob("review-*.txt"))[:3]

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return data_protection.run(cloud, outputs, inputs, progress, trying=True)

    def summary(self, report: Report) -> str:
        refused = sum(attempt.refused for attempt in report.attempts)
        return f"{sum(file.same for file in report.files)} read by a link, {refused} attempts refused"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        files = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for head in ("File", "Encrypted by", "Link lives", "Read by it"):
            files.add_column(head, overflow="fold")
        for file in report.files:
            key = file.kms_key.rpartition("/")[2][:8]
            name, read = Text(printable(file.path.name)), "the same bytes" if file.same else Text("nothing", "red")
            files.add_row(name, f"{file.encryption}, key {key}", f"{file.link_minutes} minutes", read)
        return [files, attempts_table(report.attempts, lines)]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [("Encryption", "policies and keys decide as on AWS; the local cloud keeps the bytes as they are")]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "file": str(file.path),
                "key": file.key,
                "version": file.version,
                "encryption": file.encryption,
                "kms_key": file.kms_key,
                "same": file.same,
                "seconds": round(file.seconds, 3),
            }
            for file in report.files
        ]


DEMO = DataProtectionDemo()
