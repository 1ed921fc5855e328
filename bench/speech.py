"""speech-synthesis from end to end, beside the bare voice on the same texts, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.beside import Figures, measure
from local.cloud import LocalCloud
from local.services.models import speech
from local.services.polly import VOICES
from local.services.ssml import Text
from scenarios import speech_synthesis

MOST_TEXTS = 12
WARM_UP_TEXTS = 2
SENTENCE = "Train number {n} to the coast leaves from platform {platform} at a quarter past seven."
# What the architecture asks for where nothing else is set.
VOICE, FORMAT, RATE = "Joanna", "mp3", 24_000


def run(images: int, say: Callable[[str], object]) -> Figures:
    """`images` bounds the texts, of which there are twelve at most, each a sentence of its own."""
    texts = min(images, MOST_TEXTS) + WARM_UP_TEXTS
    inputs = [(f"{n}.txt", SENTENCE.format(n=100 + n, platform=n).encode()) for n in range(texts)]
    return measure(
        "speech-synthesis",
        inputs,
        unit="sentence",
        bare_is="synthesis and encoding",
        bare=_bare,
        scenario=_seconds,
        say=say,
        settings={"voice": VOICE, "engine": "neural", "output_format": FORMAT},
        warm_up=WARM_UP_TEXTS,
    )


def _bare(content: bytes) -> None:
    text = content.decode()
    stretches = speech.render(text, [Text(text, 0, len(content))], VOICES[VOICE].voice())
    speech.encode(stretches, FORMAT, RATE)


def _seconds(cloud: LocalCloud, outputs: Mapping[str, str], path: Path) -> float | None:
    (found,) = speech_synthesis.run(cloud, outputs, [path]).texts
    return found.seconds if found.status == "SPOKEN" else None
