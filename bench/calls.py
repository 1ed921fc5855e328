"""call-analytics from end to end, beside bare recognition of the same calls, in the same run."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.beside import Figures, measure
from local.cloud import LocalCloud
from local.services.models import speakers
from local.services.models.recognition import recogniser
from local.services.models.sound import SAMPLE_RATE, decode
from scenarios import call_analytics

LONGEST_SECONDS = 600.0
WARM_UP_SECONDS = 8


def run(images: int, say: Callable[[str], object]) -> Figures:
    """`images` bounds the calls, of which there are two: the project's own, of half a minute or so."""
    recordings = call_analytics.samples()[: max(1, min(images, 2))]
    # The models are loaded by the first, whose own time is left out.
    first = ("warm-up.wav", _beginning(recordings[0].audio))
    inputs = [first, *((one.name, one.audio) for one in recordings)]
    return measure(
        "call-analytics",
        inputs,
        unit="call",
        bare_is="language and words",
        bare=_bare,
        scenario=_seconds,
        say=say,
        settings={},
        warm_up=1,
    )


def _beginning(audio: bytes) -> bytes:
    beginning = io.BytesIO()
    with wave.open(io.BytesIO(audio)) as whole, wave.open(beginning, "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(WARM_UP_SECONDS * whole.getframerate()))
    return beginning.getvalue()


def _bare(content: bytes) -> None:
    samples = decode(content, longest=LONGEST_SECONDS).mono()
    recogniser().languages(samples, ("en",))
    for one in speakers.stretches(samples):
        recogniser().words(samples[int(one.start * SAMPLE_RATE) : int(one.end * SAMPLE_RATE)], "en")


def _seconds(cloud: LocalCloud, outputs: Mapping[str, str], path: Path) -> float | None:
    recording = call_analytics.from_file(path)
    (found,) = call_analytics.run(cloud, outputs, [recording]).calls
    return found.seconds if found.status in call_analytics.FINE else None
