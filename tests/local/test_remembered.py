"""A slow model is asked once: the same page, or the same sound, is answered from memory, and any other anew."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from local.services.layout.blocks import PAGES_KEPT, page_blocks
from local.services.models.recognition import ANSWERS_KEPT, SHORTEST, Recogniser
from local.services.models.sound import SAMPLE_RATE


class Reader:
    """A text model that finds nothing, and counts how often it looked."""

    def __init__(self) -> None:
        self.looks = 0

    def find_strips(self, colours: object) -> Any:
        self.looks += 1
        return np.zeros((0, 4, 2), np.float32)


class Listener:
    """A model of speech that hears a word a second, and counts how often it listened."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def transcribe(self, samples: np.ndarray[Any, Any], language: str, **asked: object) -> Any:
        return self._segments(language, len(samples) / SAMPLE_RATE), None

    def _segments(self, language: str, seconds: float) -> Iterator[SimpleNamespace]:
        for start in range(max(1, int(np.ceil(seconds)))):
            self.heard.append(language)
            word = SimpleNamespace(word=f" {language}", start=start, end=start + 1.0, probability=0.9)
            yield SimpleNamespace(
                end=word.end, no_speech_prob=0.0, avg_logprob=0.0, compression_ratio=1.0, text=language, words=[word]
            )

    def detect_language(self, samples: object) -> Any:
        self.heard.append("?")
        return None, None, [("en", 0.6), ("de", 0.3), ("fr", 0.1)]


def page(mark: int = 0) -> Image.Image:
    picture = Image.new("RGB", (400, 500), "white")
    ImageDraw.Draw(picture).rectangle((10 + mark, 10, 200, 100), outline="black", width=3)
    return picture


def test_a_page_is_read_once_and_its_blocks_have_names_of_their_own() -> None:
    # Given a page that was read
    reader: Any = Reader()
    first = page_blocks(page(), 1, {"TABLES"}, reader)
    # When it comes again as the third page of another document
    second = page_blocks(page(), 3, {"TABLES"}, reader)
    # Then nobody looks again; the blocks are the same, but for their page and their names
    assert reader.looks == 1
    assert {block["Page"] for block in second} == {3}
    assert not {block["Id"] for block in first} & {block["Id"] for block in second}
    names = {old["Id"]: new["Id"] for old, new in zip(first, second, strict=True)}
    for old, new in zip(first, second, strict=True):
        assert new["Geometry"] == old["Geometry"]
        assert [[names[one] for one in group["Ids"]] for group in old.get("Relationships", ())] == [
            group["Ids"] for group in new.get("Relationships", ())
        ]


def test_another_page_or_another_question_is_read_anew() -> None:
    # Given a page that was read
    reader: Any = Reader()
    page_blocks(page(), 1, {"TABLES"}, reader)
    # When one comes that differs in a line, or something else is asked of the same one, Then it is read
    page_blocks(page(1), 1, {"TABLES"}, reader)
    page_blocks(page(), 1, {"FORMS", "TABLES"}, reader)
    assert reader.looks == 3


def test_only_the_last_pages_are_kept() -> None:
    # Given a page that was read, and as many others since as are kept
    reader: Any = Reader()
    for mark in range(PAGES_KEPT + 1):
        page_blocks(page(mark), 1, (), reader)
    # When it comes again, Then it is read again
    page_blocks(page(), 1, (), reader)
    assert reader.looks == PAGES_KEPT + 2


@pytest.mark.parametrize(
    ("other", "listened"),
    [
        (("en", ()), 1),
        (("de", ()), 2),
        (("en", ("Lumora",)), 2),
    ],
    ids=["the same", "another language", "other words expected"],
)
def test_a_sound_is_heard_once_for_each_question(other: tuple[str, tuple[str, ...]], listened: int) -> None:
    # Given a sound that was heard
    model = Listener()
    recogniser = Recogniser(model)
    samples = np.linspace(-1, 1, 16_000, dtype=np.float32)
    recogniser.words(samples, "en")
    # When something is asked of the same sound
    words = recogniser.words(samples.copy(), *other)
    # Then the model listens only if it was not asked this before
    assert [word.text for word in words] == [other[0]]
    assert len(model.heard) == listened
    # and to another sound it always listens
    recogniser.words(samples[1:], "en")
    assert len(model.heard) == listened + 1


def test_the_language_is_told_once_and_shared_out_among_those_that_may_be() -> None:
    # Given a sound
    model = Listener()
    recogniser = Recogniser(model)
    samples = np.zeros(16_000, dtype=np.float32)
    # When its language is asked for among different ones, Then the model listens once, and each answer sums to one
    assert recogniser.languages(samples, {"de", "fr"}) == pytest.approx({"de": 0.75, "fr": 0.25})
    assert recogniser.languages(samples, {"en", "de"}) == pytest.approx({"en": 2 / 3, "de": 1 / 3})
    assert model.heard == ["?"]


def test_only_the_last_answers_are_kept() -> None:
    # Given a sound that was heard, and as many others since as are kept
    model = Listener()
    recogniser = Recogniser(model)
    for length in range(1, ANSWERS_KEPT + 2):
        recogniser.words(np.zeros(length, dtype=np.float32), "en")
    # When it comes again, Then it is heard again
    recogniser.words(np.zeros(1, dtype=np.float32), "en")
    assert len(model.heard) == ANSWERS_KEPT + 2


@pytest.mark.parametrize(("breath", "listened"), [(SHORTEST - 0.1, 2), (SHORTEST + 0.1, 3)])
def test_the_breath_after_the_last_word_is_not_listened_to(breath: float, listened: int) -> None:
    # Given sound of two words and a breath
    listener: Any = Listener()
    samples = np.zeros(int((2 + breath) * SAMPLE_RATE), np.float32)
    # When it is recognised, Then a short breath is not taken for a stretch of speech, and a long one may be one
    assert len(Recogniser(listener).words(samples, "en")) == listened
    assert len(listener.heard) == listened
