"""Cuts text into pieces that Comprehend takes, and packs them into batches.

Limits: 5,000 bytes of UTF-8 a document and 25 documents a call (Amazon Comprehend API Reference, "BatchDetectEntities",
read 2026-11-25, which says 5 KB: the smaller reading of it is taken). DetectPiiEntities takes 100 KB at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MAXIMUM_BYTES = 5_000
MAXIMUM_TEXTS = 25
# A batch and all that is found in it pass through one state, which holds 262,144 bytes (AWS Step Functions API
# Reference, "SendTaskSuccess", `output`, read 2026-11-25). An entity takes some 110 bytes there: even were every other
# word of 20,000 bytes one, it fits.
MAXIMUM_BATCH_BYTES = 20_000
# Each call is charged for 300 characters at least (Amazon Comprehend pricing), so smaller paragraphs go together.
SMALL_BYTES = 300

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+")  # noqa: RUF001 (full-width marks end sentences too)
_SPACE = re.compile(r"\s+")


def pieces(text: str, maximum: int = MAXIMUM_BYTES) -> list[str]:
    """The text in pieces of at most `maximum` bytes of UTF-8.

    Cut between sentences; a sentence that is too long between words; a word that is too long between characters. Only
    white space is lost.
    """
    return list(_packed(_small_enough(text, maximum), maximum))


def batches(paragraphs: Iterable[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """{"page", "text"} a piece, in lists of what one call takes; small paragraphs of a page go together."""
    found: list[list[dict[str, Any]]] = []
    size = 0
    for piece in _pieces_of(_joined(paragraphs)):
        length = len(piece["text"].encode())
        if not found or len(found[-1]) == MAXIMUM_TEXTS or size + length > MAXIMUM_BATCH_BYTES:
            found.append([])
            size = 0
        found[-1].append(piece)
        size += length
    return found


def _pieces_of(paragraphs: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for paragraph in paragraphs:
        for piece in pieces(paragraph["text"]):
            yield {"page": paragraph["page"], "text": piece}


def _joined(paragraphs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for paragraph in paragraphs:
        before = found[-1] if found else None
        if before and before["page"] == paragraph["page"] and len(before["text"].encode()) < SMALL_BYTES:
            before["text"] += "\n" + paragraph["text"]
        else:
            found.append(dict(paragraph))
    return found


def _small_enough(text: str, maximum: int) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(text):
        if len(sentence.encode()) <= maximum:
            yield sentence
            continue
        for word in _SPACE.split(sentence):
            yield from _cut(word, maximum)


def _cut(word: str, maximum: int) -> Iterator[str]:
    if len(word.encode()) <= maximum:
        yield word
        return
    part, size = "", 0
    for character in word:
        length = len(character.encode())
        if size + length > maximum:
            yield part
            part, size = "", 0
        part += character
        size += length
    yield part


def _packed(parts: Iterable[str], maximum: int) -> Iterator[str]:
    """Neighbours together again, as far as they fit."""
    whole = ""
    for part in parts:
        if not part.strip():
            continue
        joined = f"{whole} {part.strip()}" if whole else part.strip()
        if len(joined.encode()) <= maximum:
            whole = joined
            continue
        yield whole
        whole = part.strip()
    if whole:
        yield whole
