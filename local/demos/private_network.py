"""The demo of private-network: the same calls inside and outside, and which statement decided each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import private_network
from scenarios.private_network import LARGEST_LETTER_BYTES, SUFFIXES, Called, Report, is_letter

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen

STYLES = {"allowed": "green", "refused": "red", "unreachable": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Proved:
    """The scenario's report, and the decisions that the local cloud took on the way."""

    report: Report
    decisions: tuple[Mapping[str, Any], ...]
    roles: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return self.report.complete

    def decided(self, call: Called) -> str:
        """The statement that decided a call, in words; of several policies that were asked the last one."""
        found = [
            one
            for one in self.decisions
            if one["action"] == call.planned.action
            and one["role"] == self.roles[call.where]
            and one["allowed"] == (call.outcome == "allowed")
        ]
        if not found:
            return "no endpoint, no way" if call.outcome == "unreachable" else call.code
        return _statement(found[-1])


class PrivateNetworkDemo(Demo):
    """Sends a letter of the user, or of the project, all ways."""

    files = FileKind("letter", "letters", SUFFIXES, is_letter, "sent", largest_bytes=LARGEST_LETTER_BYTES)
    samples = ROOT / "samples" / "texts"
    doing = "Sending {inputs} through the network and past it"
    done = "Sent {inputs} through the network and past it"
    results = "calls"

    def sample_files(self) -> list[Path]:
        return [self.samples / "news-merger.txt"]

    def warm_up(self, cloud: LocalCloud) -> None:
        comprehend = cloud.client("comprehend")
        comprehend.detect_entities(Text="Warm up in London.", LanguageCode="en")
        comprehend.detect_sentiment(Text="Warm.", LanguageCode="en")

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Proved:
        since = max((one["seq"] for one in cloud.control.decisions()), default=0)
        report = private_network.run(cloud, outputs, inputs, progress)
        roles = {"inside": outputs["InsideRoleName"], "outside": outputs["OutsideRoleName"]}
        return Proved(report, tuple(cloud.control.decisions(since=since)), roles)

    def summary(self, report: Proved) -> str:
        wrong = sum(not call.as_expected for call in report.report.calls)
        return f"{wrong} calls came out otherwise than they should" if wrong else "each came out as it should"

    def show(self, report: Proved, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        several = len({call.letter for call in report.report.calls}) > 1
        for letter, calls in _by_letter(report.report).items():
            title = printable(letter) if several else None
            table = Table(title=title, box=lines, expand=False, pad_edge=False, header_style="bold")
            table.add_column("The same call", overflow="fold")
            table.add_column("in the network", overflow="fold")
            table.add_column("outside", overflow="fold")
            for planned, sides in calls:
                what = Text.assemble(planned.planned.title, "\n", (planned.planned.action, "dim"))
                table.add_row(what, *(_told(report, sides.get(where)) for where in ("inside", "outside")))
            yield table

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("Both functions", "have the same code and the same grants: what differs is what the network does"),
            ("No packet flows here", "the local cloud knows by its session who is in the network, and decides as AWS would"),
        ]

    def to_json(self, report: Proved) -> list[dict[str, Any]]:
        return [
            {
                "letter": call.letter,
                "call": call.call,
                "action": call.planned.action,
                "where": call.where,
                "outcome": call.outcome,
                "expected": call.expected,
                "code": call.code or None,
                "message": call.message or None,
                "decided_by": report.decided(call),
            }
            for call in report.report.calls
        ]


def _by_letter(report: Report) -> dict[str, list[tuple[Called, Mapping[str, Called]]]]:
    """For each letter its calls in their order: one of the two sides, and both by side."""
    letters: dict[str, dict[str, dict[str, Called]]] = {}
    for call in report.calls:
        letters.setdefault(call.letter, {}).setdefault(call.call, {})[call.where] = call
    return {
        letter: [(next(iter(sides.values())), sides) for sides in calls.values()] for letter, calls in letters.items()
    }


def _told(report: Proved, call: Called | None) -> Text:
    from rich.text import Text

    if call is None:
        return Text("not tried", "dim")
    told = Text.assemble((call.outcome, STYLES[call.outcome]), "\n", (report.decided(call), "dim"))
    if not call.as_expected:
        told.append(f"\nshould be {call.expected}: {call.planned.why}", "bold red")
    return told


def _statement(decision: Mapping[str, Any]) -> str:
    statement = decision.get("statement")
    if not statement:
        return "no statement allows it"
    return f"{statement['policy']}, {statement['sid'] or 'statement ' + str(statement['index'] + 1)}"


DEMO = PrivateNetworkDemo()
