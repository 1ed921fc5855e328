"""The demo of secure-studio: what each persona may do from her notebook, and how the machines stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind
from scenarios import secure_studio
from scenarios.secure_studio import SUFFIXES, Report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen


class SecureStudioDemo(Demo):
    """Has the requests of the user's file decided, or of the project's."""

    files = FileKind("file of requests", "files of requests", SUFFIXES, lambda name: name.endswith(SUFFIXES), "read")
    samples = ROOT / "samples" / "requests"
    doing = "Having the requests of {inputs} decided"
    done = "Had the requests of {inputs} decided"
    results = "requests"

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return secure_studio.run(cloud, outputs, inputs, progress)

    def summary(self, report: Report) -> str:
        wrong = sum(not answer.right for answer in report.answers)
        wrong += sum(fact.found != fact.expected for fact in report.facts)
        return f"{wrong} are not as they should be" if wrong else "each came out as it should"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for heading in ("Who", "asks for", "on", "and is"):
            table.add_column(heading, overflow="fold")
        for answer in report.answers:
            asked, allowed = answer.asked, answer.decision == "allowed"
            told = Text("allowed" if allowed else "refused", "green" if allowed else "red")
            if not answer.right:
                told.append(", which is wrong", "bold red")
            what = f"{asked.action} {', '.join(asked.tags)}".strip()
            table.add_row(Text(asked.who), Text(what), Text(asked.on), told)
        stand = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        for heading in ("What", "is"):
            stand.add_column(heading, overflow="fold")
        for fact in report.facts:
            right = fact.found == fact.expected
            stands = fact.found if right else f"{fact.found}, and should be {fact.expected}"
            stand.add_row(Text(fact.what), Text(stands, "green" if right else "bold red"))
        return [table, stand]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The answers", "IAM's own, by the policies as they are deployed: nothing was read or written"),
            ("Studio and the notebook", "records with states: no Jupyter runs here, and no script"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [
            {
                "who": answer.asked.who,
                "action": answer.asked.action,
                "on": answer.asked.on,
                "tags": list(answer.asked.tags),
                "decision": answer.decision,
                "expected": "allowed" if answer.asked.allowed else "refused",
                "policies": list(answer.policies),
            }
            for answer in report.answers
        ]


DEMO = SecureStudioDemo()
