"""The demo of text-insights: texts, and who and what is in them and in which mood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import text_insights
from scenarios.text_insights import SUFFIXES, is_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.text_insights import Finding, Insight, Report

NAMES_SHOWN = 5
STYLES = {"POSITIVE": "green", "NEGATIVE": "red", "MIXED": "yellow", "NEUTRAL": "dim"}


class TextInsightsDemo(Demo):
    """Analyses the user's texts, or the project's."""

    files = FileKind("text", "texts", SUFFIXES, is_text, "analysed")
    samples = ROOT / "samples" / "texts"
    doing = "Sending {inputs}, waiting for the insights"
    done = "Sent {inputs}"
    results = "texts"

    def warm_up(self, cloud: LocalCloud) -> None:
        comprehend = cloud.client("comprehend")
        comprehend.detect_dominant_language(Text="A text to warm up with.")
        comprehend.detect_pii_entities(Text="Warm.", LanguageCode="en")

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return text_insights.run(cloud, outputs, inputs, progress)

    def summary(self, report: Report) -> str:
        counts: Counter[str] = Counter(text.status for text in report.texts)
        words = {"ANALYZED": "analysed", "REJECTED": "rejected", "FAILED": "failed", "MISSING": "without a row"}
        return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        table.add_column("Text", overflow="fold", max_width=max(screen.out.width // 3, 12))
        table.add_column("Language")
        table.add_column("Mood")
        table.add_column("Names, amounts, personal data", overflow="fold")
        table.add_column("Sent to row", justify="right", min_width=7)
        for insight in report.texts:
            took = "-" if insight.seconds is None else f"{insight.seconds:.2f} s"
            language = insight.language or "-"
            table.add_row(Text(printable(insight.name)), language, _mood(insight), _findings(insight), took)
        return [table]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        hidden = "; what touches personal data is kept without its words" if own_stack else ""
        return [("The insights", f"those of small real models, in English{hidden}")]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [_insight_to_json(insight) for insight in report.texts]


def _mood(insight: Insight) -> Text:
    from rich.text import Text

    if insight.sentiment is None or insight.sentiment_scores is None:
        return Text("-", "dim")
    score = insight.sentiment_scores[insight.sentiment.lower()]
    return Text.assemble((insight.sentiment.lower(), STYLES[insight.sentiment]), f" {100 * score:.0f} %")


def _findings(insight: Insight) -> Text:
    from rich.text import Text

    if insight.status != "ANALYZED":
        style = "yellow" if insight.status == "REJECTED" else "red"
        return Text.assemble((insight.status.lower(), style), f" {insight.reason}")
    # Surest first; a name that comes again says nothing new.
    surest = sorted(insight.entities, key=lambda one: -one.score)
    named = {one.text: one.type for one in surest if one.text is not None}
    shown = [f"{printable(text)} ({kind.lower()})" for text, kind in list(named.items())[:NAMES_SHOWN]]
    lines = [Text(", ".join(shown))] if shown else []
    if insight.personal_data:
        counts = Counter(one.type for one in insight.personal_data)
        lines.append(Text("personal: " + ", ".join(_counted(kind, counts[kind]) for kind in counts), "magenta"))
    return Text("\n").join(lines) if lines else Text("nobody and nothing by name", "dim")


def _counted(kind: str, number: int) -> str:
    name = kind.lower().replace("_", " ")
    return name if number == 1 else f"{number} x {name}"


def _insight_to_json(insight: Insight) -> dict[str, Any]:
    scores = insight.sentiment_scores
    return {
        "file": insight.name,
        "id": insight.text_id,
        "status": insight.status,
        "reason": insight.reason,
        "seconds": None if insight.seconds is None else round(insight.seconds, 3),
        "language": insight.language,
        "sentiment": insight.sentiment,
        "sentiment_scores": None if scores is None else dict(scores),
        "entities": [_finding_to_json(one) for one in insight.entities],
        "key_phrases": [_finding_to_json(one) for one in insight.key_phrases],
        "personal_data": [_finding_to_json(one) for one in insight.personal_data],
    }


def _finding_to_json(one: Finding) -> dict[str, Any]:
    found = {"type": one.type or None, "text": one.text, "begin": one.begin, "end": one.end, "score": one.score}
    return {name: value for name, value in found.items() if value is not None}


DEMO = TextInsightsDemo()
