"""Cuts texts to what a service takes, which is counted in bytes of UTF-8."""

from __future__ import annotations

import re

# The end of a sentence, in the scripts of the languages that are translated and analysed here, and the space after it.
_SENTENCE = re.compile(r"[^.!?。!?।؟]*[.!?。!?।؟]+[\"'»”’)]*\s*|[^.!?。!?।؟]+", re.DOTALL)  # noqa: RUF001
_WORD = re.compile(r"\s*\S+\s*")


def size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text.encode())


def pieces(text: str, maximum_bytes: int) -> list[str]:
    """The text in as few pieces as its sentences allow, none larger than so many bytes; joined they are the text again.

    A sentence that is too large itself is cut between words, and a word between characters, never within one.
    """
    if size(text) <= maximum_bytes:
        return [text] if text else []
    return _filled(_cut(text, maximum_bytes), maximum_bytes)


def _cut(text: str, maximum_bytes: int) -> list[str]:
    parts = []
    for sentence in _SENTENCE.findall(text):
        if size(sentence) <= maximum_bytes:
            parts.append(sentence)
            continue
        for word in _WORD.findall(sentence) or [sentence]:
            parts += [word] if size(word) <= maximum_bytes else _characters(word, maximum_bytes)
    return parts


def _characters(word: str, maximum_bytes: int) -> list[str]:
    return _filled(list(word), maximum_bytes)


def _filled(parts: list[str], maximum_bytes: int) -> list[str]:
    filled: list[str] = []
    room = 0
    for part in parts:
        needed = size(part)
        if filled and needed <= room:
            filled[-1] += part
            room -= needed
        else:
            filled.append(part)
            room = maximum_bytes - needed
    return filled
