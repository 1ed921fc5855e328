"""Transcripts in the shape in which Amazon Transcribe writes them to S3, and what may be done to one: filter, redact.

Shape: "Data output" (`how-input.html#how-output`), "Example diarization output (batch)", "Example redacted output
(batch)" and "Language identification with batch transcription jobs", Amazon Transcribe Developer Guide, read
2026-11-25. Times and confidences are strings, as there.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

MASK = "***"
REDACTED = "[PII]"

# The last ones are full-width: Chinese and Japanese.
_MARKS = ".,!?;:\u2026\u3002\u3001\uff0c\uff1f\uff01"
_OPENING = "\u00bf\u00a1\"'\u201c\u201d"
_QUOTES = '"\u201c\u201d'
_DASHES = "\"'\u201c\u201d-\u2013\u2014"


class Finding(Protocol):
    """Personal data in a text: its type, the places of its characters, and how sure it is."""

    @property
    def kind(self) -> str: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True)
class Item:
    """A word, or (with `start` None) a punctuation mark. `extra` goes into its alternative, `marks` beside it."""

    content: str
    start: float | None = None
    end: float | None = None
    confidence: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spoken(self) -> bool:
        return self.start is not None


@dataclass(frozen=True)
class Segment:
    """What one speaker says between two pauses."""

    start: float
    end: float
    items: tuple[Item, ...]
    speaker: int | None = None
    language: str | None = None


def items_of(text: str, start: float, end: float, confidence: float) -> list[Item]:
    """A recognised word as items: itself, and the punctuation after it."""
    bare = text.rstrip(_MARKS + _QUOTES).lstrip(_OPENING)
    marks = [letter for letter in text[len(text.rstrip(_MARKS + _QUOTES)) :] if letter in _MARKS]
    found = [Item(bare, start, end, confidence)] if bare.strip(_DASHES) else []
    return [*found, *([Item(marks[0])] if marks and found else [])]


def text_of(items: Iterable[Item]) -> str:
    """Items as a person reads them."""
    return _joined(list(items))[0]


def _joined(items: Sequence[Item]) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the place of each item in it."""
    text, places = "", []
    for item in items:
        text += " " if text and item.spoken else ""
        places.append((len(text), len(text) + len(item.content)))
        text += item.content
    return text, places


def plain(word: str) -> str:
    """What is compared of a word: no case, no accents, nothing but letters and digits."""
    bare = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in bare if letter.isalnum())


def displayed(segment: Segment, forms: Mapping[str, str]) -> Segment:
    """Phrases of a vocabulary written as it wants them: `forms` maps a phrase's plain letters to its display form.

    A phrase is found however the recogniser split it ("Mari sol" is `Marisol`), and a long one with one letter in eight
    wrong ("Kestrell"). It stays one item.
    """
    longest = max(map(len, forms), default=0) + 1
    items, kept, number = segment.items, [], 0
    while number < len(items):
        letters, last, match = "", number, None
        while last < len(items) and items[last].spoken and len(letters) < longest:
            letters += plain(items[last].content)
            last += 1
            if (form := _form(letters, forms)) is not None:
                match = last, form
        if match is None:
            kept.append(items[number])
            number += 1
            continue
        run = items[number : match[0]]
        sure = sum(item.confidence for item in run) / len(run)
        kept.append(replace(run[0], content=match[1], end=run[-1].end, confidence=round(sure, 3)))
        number = match[0]
    return replace(segment, items=tuple(kept))


_LETTERS_A_SLIP = 8


def _form(letters: str, forms: Mapping[str, str]) -> str | None:
    if letters in forms:
        return forms[letters]
    for phrase, form in forms.items():
        slips = len(phrase) // _LETTERS_A_SLIP
        if slips and abs(len(phrase) - len(letters)) <= slips and _slips(phrase, letters) <= slips:
            return form
    return None


def _slips(one: str, other: str) -> int:
    """Letters to change, add or drop."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        before, row[0] = row[0], number
        for place, against in enumerate(other, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != against))
    return row[-1]


def filtered(segment: Segment, words: Collection[str], method: str) -> Segment:
    """Words of a vocabulary filter masked, removed or tagged. They match whole words, whatever their case."""
    unwanted = {plain(word) for word in words}
    kept: list[Item] = []
    dropped = False
    for item in segment.items:
        if item.spoken and plain(item.content) in unwanted:
            dropped = method == "remove"
            if method == "mask":
                kept.append(replace(item, content=MASK))
            elif method == "tag":
                kept.append(replace(item, marks={**item.marks, "vocabularyFilterMatch": True}))
        elif item.spoken or not (dropped and not kept):
            dropped = False if item.spoken else dropped
            kept.append(item)
    return replace(segment, items=tuple(kept))


def redacted(segment: Segment, find: Callable[[str], Sequence[Finding]], kinds: Collection[str]) -> Segment:
    """Personal data of these kinds replaced. Each run of words that one finding touches is one `[PII]` item."""
    text, places = _joined(segment.items)
    wanted = [one for one in find(text) if one.kind in kinds]
    kept: list[Item] = []
    current: Finding | None = None
    for item, (begin, end) in zip(segment.items, places, strict=True):
        touching = next((one for one in wanted if one.begin < end and begin < one.end), None)
        if touching is None:
            current = None if item.spoken else current
            kept.append(item)
        elif touching is current:
            last = max(number for number, one in enumerate(kept) if one.spoken)
            del kept[last + 1 :]
            kept[last] = replace(kept[last], end=item.end if item.spoken else kept[last].end)
        elif item.spoken:
            current = touching
            reason = {"confidence": f"{touching.score:.4f}", "type": touching.kind, "category": "PII"}
            kept.append(replace(item, content=REDACTED, extra={"redactions": [reason]}, marks={}))
    return replace(segment, items=tuple(kept))


@dataclass(frozen=True)
class Number:
    """A long number in a text, as a finding."""

    kind: str
    begin: int
    end: int
    score: float


_LONG_NUMBER = re.compile(r"\+?\(?\d(?:[\s,.()-]{0,2}\d){6,24}")
_NAMED = (
    ("SSN", re.compile(r"\bsocial security\b", re.IGNORECASE)),
    ("BANK_ROUTING", re.compile(r"\brouting\b", re.IGNORECASE)),
    ("BANK_ACCOUNT_NUMBER", re.compile(r"\baccount\b", re.IGNORECASE)),
    ("CREDIT_DEBIT_NUMBER", re.compile(r"\b(?:credit|debit|card|visa|mastercard)\b", re.IGNORECASE)),
    ("PHONE", re.compile(r"\b(?:call|phone|telephone|mobile|reach|ring)\b", re.IGNORECASE)),
)
_CARD_DIGITS = 12


def spoken_numbers(text: str) -> list[Number]:
    """Numbers of seven digits and more, as a recogniser writes them.

    It loses or doubles a digit at times, so no checksum is asked for. What is said shortly before tells the kind; else
    a long number is a card's and a shorter one a telephone's.
    """
    found = []
    for match in _LONG_NUMBER.finditer(text):
        before = text[max(0, match.start() - 60) : match.start()]
        named = [(hits[-1].start(), kind) for kind, words in _NAMED if (hits := list(words.finditer(before)))]
        digits = sum(letter.isdigit() for letter in match.group())
        kind = "CREDIT_DEBIT_NUMBER" if digits >= _CARD_DIGITS else "PHONE"
        if named and digits < _CARD_DIGITS:
            kind = max(named)[1]
        found.append(Number(kind, match.start(), match.end(), 0.8 if named else 0.6))
    return found


def document(
    segments: Sequence[Segment],
    *,
    job: str,
    account: str,
    speakers: int | None = None,
    identified: Sequence[tuple[str, float]] = (),
    durations: Sequence[tuple[str, float]] = (),
    is_redacted: bool = False,
) -> dict[str, Any]:
    """The transcript file. `speakers` is how many were told apart, None where nobody asked; `identified` are languages
    with their scores, `durations` the seconds of each where several were looked for."""
    items: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for segment in segments:
        label = {} if segment.speaker is None else {"speaker_label": f"spk_{segment.speaker}"}
        language = {"language_code": segment.language} if durations and segment.language else {}
        numbers = range(len(items), len(items) + len(segment.items))
        items += [_item(number, item) | label | language for number, item in zip(numbers, segment.items, strict=True)]
        span = {"start_time": _time(segment.start), "end_time": _time(segment.end)}
        parts.append(
            {"id": len(parts), "transcript": text_of(segment.items), **span, **label, **language}
            | {"items": list(numbers)}
        )
        if label:
            spoken = [item for item in segment.items if item.spoken]
            labels.append(
                {**span, **label}
                | {"items": [{"start_time": _time(i.start), "end_time": _time(i.end), **label} for i in spoken]}
            )
    text = " ".join(part["transcript"] for part in parts if part["transcript"])
    results: dict[str, Any] = {"transcripts": [{"transcript": text}]}
    if identified:
        results["language_identification"] = [{"score": f"{score:.4f}", "code": code} for code, score in identified]
    if durations:
        results["language_codes"] = [
            {"language_code": code, "duration_in_seconds": round(seconds, 2)} for code, seconds in durations
        ]
    elif identified:
        results["language_code"] = identified[0][0]
    if speakers is not None:
        results["speaker_labels"] = {"channel_label": "ch_0", "speakers": speakers, "segments": labels}
    results |= {"items": items, "audio_segments": parts}
    head: dict[str, Any] = {"jobName": job, "accountId": account, "status": "COMPLETED"}
    return head | ({"isRedacted": True} if is_redacted else {}) | {"results": results}


def _item(number: int, item: Item) -> dict[str, Any]:
    alternative = {"confidence": f"{item.confidence:.3f}" if item.spoken else "0.0", "content": item.content}
    members: dict[str, Any] = {
        "id": number,
        "type": "pronunciation" if item.spoken else "punctuation",
        "alternatives": [alternative | dict(item.extra)],
    }
    if item.spoken:
        members |= {"start_time": _time(item.start), "end_time": _time(item.end)}
    return members | dict(item.marks)


def _time(seconds: float | None) -> str:
    return f"{seconds or 0.0:.3f}".rstrip("0").rstrip(".") if seconds else "0.0"
