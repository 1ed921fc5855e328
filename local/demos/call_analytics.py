"""The demo of call-analytics: recorded calls, who speaks in which mood, and how near that comes to what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import call_analytics
from scenarios.call_analytics import SUFFIXES, from_file

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.call_analytics import Analysed, Fit, Report

STYLES = {"POSITIVE": "green", "NEGATIVE": "red", "MIXED": "yellow", "NEUTRAL": "dim"}
# By the project's own voices, which take a few seconds to speak.
SPOKEN = ROOT / ".build" / "calls"


class CallAnalyticsDemo(Demo):
    """Analyses the user's recordings, or calls that the project speaks itself and knows the truth of."""

    # The project's calls are in English; in a house that reads German there is something to translate.
    settings: ClassVar[Mapping[str, Any]] = {
        "house_language": "de",
        "languages": ["en-US", "es-US", "de-DE", "fr-FR"],
        "hotel_names": ["Hotel Marisol", "Villa Kestrel", "Casa Lumora", "Hotel Bellavento"],
    }
    files = FileKind("call", "calls", SUFFIXES, lambda name: name.lower().endswith(SUFFIXES), "analysed")
    samples = SPOKEN
    doing = "Uploading {inputs}, waiting for the reports"
    done = "Uploaded {inputs}"
    results = "calls"

    def sample_files(self) -> list[Path]:
        """The project's calls, spoken now if they have not been before."""
        SPOKEN.mkdir(parents=True, exist_ok=True)
        for one in call_analytics.samples():
            (SPOKEN / one.name).write_bytes(one.audio)
        return super().sample_files()

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        known = {one.name: one for one in call_analytics.samples()} if any(SPOKEN in p.parents for p in inputs) else {}
        recordings = [known[path.name] if SPOKEN in path.parents else from_file(path) for path in inputs]
        return call_analytics.run(cloud, outputs, recordings, progress)

    def summary(self, report: Report) -> str:
        counts: Counter[str] = Counter(call.status for call in report.calls)
        words = {
            "COMPLETED": "analysed",
            "WITHHELD": "withheld",
            "REJECTED": "rejected",
            "FAILED": "failed",
            "MISSING": "without a row",
        }
        return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        shown: list[RenderableType] = []
        for call in report.calls:
            name = printable(call.recording.name)
            if call.status != "COMPLETED":
                style = "red" if call.status in ("FAILED", "MISSING") else "yellow"
                shown.append(Text.assemble((name, "bold"), ": ", (call.status.lower(), style), f" {call.reason}"))
                continue
            table = Table(
                title=Text(f"{name}: {_headline(call)}"),
                title_justify="left",
                box=lines,
                expand=False,
                pad_edge=False,
                header_style="bold",
            )
            table.add_column("At", justify="right")
            table.add_column("Who", no_wrap=True)
            table.add_column("Mood", no_wrap=True)
            table.add_column("What was said, and its translation", overflow="fold")
            for turn in call.turns:
                said = Text(printable(turn.text))
                if turn.translation:
                    said.append(f"\n{printable(turn.translation)}", "dim")
                mood = Text(turn.mood.lower() or "-", STYLES.get(turn.mood, ""))
                table.add_row(f"{turn.start:.0f} s", turn.speaker, mood, said)
            shown += [table, _below(call)]
        return shown

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        house = " to German, for a house that reads it" if own_stack else ""
        return [
            (
                "The words",
                "heard by a small real recogniser; personal data is replaced before anything else reads them",
            ),
            ("The moods", "those of a small real model"),
            ("Translation", f"a small table of words{house}, without grammar; the hotels' names are real terminology"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [_call_to_json(call) for call in report.calls]


def _headline(call: Analysed) -> str:
    shares = ", ".join(f"{speaker} {share:.0%}" for speaker, share in (call.talk_shares or {}).items())
    took = "" if call.seconds is None else f"; {call.seconds:.1f} s from upload to report"
    return f"{call.language}, {call.length:.0f} s, talk {shares or 'none'}{took}"


def _below(call: Analysed) -> Text:
    from rich.text import Text

    course = " ".join("-" if tone is None else f"{tone:+.2f}" for tone in call.course)
    lines = [f"Tone over time  {course}", f"Hotels          {', '.join(call.hotels) or '-'}"]
    if call.summary:
        lines.append(f"Spoken summary  {call.summary}")
    if call.fit:
        lines.append(f"Against truth   {_fit(call.fit)}")
    return Text("\n".join(lines) + "\n")


def _fit(fit: Fit) -> str:
    return (
        f"speakers {fit.speakers:.0%} of the time, {fit.word_errors:.0%} of the words wrong, personal data"
        f" {fit.personal_data_gone:.0%} gone, hotel names {fit.hotels_heard:.0%} heard, {fit.hotels_kept:.0%} kept"
    )


def _call_to_json(call: Analysed) -> dict[str, Any]:
    fit = call.fit
    return {
        "file": call.recording.name,
        "call": call.call,
        "status": call.status,
        "reason": call.reason,
        "seconds": None if call.seconds is None else round(call.seconds, 3),
        "language": call.language,
        "redacted": call.redacted,
        "length": call.length,
        "talk_shares": dict(call.talk_shares or {}),
        "tone": call.tone,
        "course": list(call.course),
        "hotels": list(call.hotels),
        "entities": list(call.entities),
        "phrases": list(call.phrases),
        "summary": call.summary,
        "turns": [
            {
                "speaker": turn.speaker,
                "start": turn.start,
                "end": turn.end,
                "mood": turn.mood,
                "text": turn.text,
                "translation": turn.translation,
            }
            for turn in call.turns
        ],
        "fit": None
        if fit is None
        else {
            "language": fit.language,
            "turns": fit.turns,
            "speakers": round(fit.speakers, 4),
            "word_errors": round(fit.word_errors, 4),
            "personal_data_gone": round(fit.personal_data_gone, 4),
            "hotels_heard": round(fit.hotels_heard, 4),
            "hotels_kept": round(fit.hotels_kept, 4),
        },
    }


DEMO = CallAnalyticsDemo()
