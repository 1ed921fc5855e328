"""text-insights from end to end, beside the bare models on the same texts, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.beside import Figures, measure
from local.cloud import LocalCloud
from local.services.models.language import english_model, language_model, mood_model
from local.services.models.personal import personal_model
from scenarios import text_insights

TEXTS = Path(__file__).resolve().parent.parent / "samples" / "texts"
MOST_TEXTS = 40
WARM_UP_TEXTS = 2


def run(images: int, say: Callable[[str], object]) -> Figures:
    """`images` bounds the texts, forty at most: the project's English ones, each a little changed."""
    english = [
        path.read_text(encoding="utf-8")
        for path in sorted(TEXTS.glob("*.txt"))
        if not any(word in path.name for word in ("empty", "too-long", "french", "german", "japanese"))
    ]
    texts = min(images, MOST_TEXTS) + WARM_UP_TEXTS
    inputs = [(f"{n}.txt", f"{english[n % len(english)]} Note {n}.".encode()) for n in range(texts)]
    return measure(
        "text-insights",
        inputs,
        unit="text",
        bare_is="language, mood, entities, phrases and personal data",
        bare=_bare,
        scenario=_seconds,
        say=say,
        settings={},
        warm_up=WARM_UP_TEXTS,
    )


def _bare(content: bytes) -> None:
    text = content.decode()
    language_model().rank(text)
    mood_model().judge(text)
    english_model().read(text)
    personal_model().find(text)


def _seconds(cloud: LocalCloud, outputs: Mapping[str, str], path: Path) -> float | None:
    (found,) = text_insights.run(cloud, outputs, [path]).texts
    return found.seconds if found.status == "ANALYZED" else None
