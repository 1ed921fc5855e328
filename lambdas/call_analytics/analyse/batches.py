"""Cuts turns into documents and documents into batches that Comprehend takes, and puts the answers together again.

25 documents a batch, each of 5,000 bytes of UTF-8 at most (Amazon Comprehend Developer Guide, "Guidelines and quotas",
"Quotas for synchronous batch operations", read 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdas.call_analytics import texts

DOCUMENTS_A_BATCH = 25
MAXIMUM_BYTES = 5_000

MOODS = ("Positive", "Negative", "Neutral", "Mixed")


@dataclass(frozen=True)
class Document:
    """A piece of a turn. `offset` is where it begins in the turn's text, in characters."""

    turn: int
    offset: int
    text: str


def documents(turn_texts: Sequence[str]) -> list[Document]:
    """What to send: each turn as one document, or as several if it is large. A turn of spaces only is left out."""
    found = []
    for turn, text in enumerate(turn_texts):
        offset = 0
        for piece in texts.pieces(text, MAXIMUM_BYTES):
            if piece.strip():
                found.append(Document(turn, offset, piece))
            offset += len(piece)
    return found


def in_batches(found: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """As many as a call takes."""
    for start in range(0, len(found), DOCUMENTS_A_BATCH):
        yield found[start : start + DOCUMENTS_A_BATCH]


def mood(answers: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, Any]:
    """The mood of several documents as one: their scores, weighed by their length.

    `answers` are (length in characters, {"Positive": 0.9, ...}). Returns {"mood": "POSITIVE", "scores": {...}}. Of two
    moods at once neither of which leads clearly the service says MIXED; that is kept where it has the highest score.
    """
    total = sum(length for length, _ in answers)
    if not total:
        return {"mood": "NEUTRAL", "scores": {name: 1.0 if name == "Neutral" else 0.0 for name in MOODS}}
    scores = {name: round(sum(length * float(given[name]) for length, given in answers) / total, 4) for name in MOODS}
    return {"mood": max(MOODS, key=lambda name: scores[name]).upper(), "scores": scores}
