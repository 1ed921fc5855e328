"""How well a transcript fits what was said: word errors, speakers, and personal data that is gone. Pure functions."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

from scenarios.calls.recordings import Turn

MOST_SPEAKERS = 6


def words(text: str) -> list[str]:
    """What is compared: words without case, accents and punctuation. Digits stand alone, however they are grouped."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("'", ""))
    return re.findall(r"\d|[^\W\d_]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def word_error_rate(said: str, heard: str) -> float:
    """Words to change, add or drop to get from one to the other, a word said. 0 is perfect; it may exceed 1."""
    true, found = words(said), words(heard)
    if not true:
        return float(bool(found))
    row = list(range(len(found) + 1))
    for number, one in enumerate(true, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(found, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (one != other))
    return row[-1] / len(true)


def speaker_accuracy(turns: Sequence[Turn], segments: Iterable[Mapping[str, Any]]) -> float:
    """Share of the speakers' time that bears the right label, under the best naming of labels.

    `segments` are `results.speaker_labels.segments`. Time within a turn that no segment covers counts as wrong, but for
    the first and last 0.3 seconds of a turn, which hold little voice.
    """
    spans = [(float(one["start_time"]), float(one["end_time"]), str(one["speaker_label"])) for one in segments]
    shared: Counter[tuple[str, str]] = Counter()
    for turn in turns:
        for start, end, label in spans:
            shared[turn.speaker, label] += max(0.0, min(end, turn.end) - max(start, turn.start))  # type: ignore[assignment]
    people = sorted({turn.speaker for turn in turns})
    labels: list[str | None] = sorted({label for _, _, label in spans})  # type: ignore[assignment]
    labels = labels[:MOST_SPEAKERS] + [None] * max(0, len(people) - len(labels))
    total = sum(shared.values())
    best = max(
        sum(shared[person, label] for person, label in zip(people, naming, strict=True) if label is not None)
        for naming in permutations(labels, len(people))
    )
    wrong_turns = sum(_uncovered(turn, spans) for turn in turns)
    return best / (total + wrong_turns) if total else 0.0


def _uncovered(turn: Turn, spans: Iterable[tuple[float, float, str]]) -> float:
    start, end = turn.start + 0.3, turn.end - 0.3
    covered = sum(max(0.0, min(end, last) - max(start, first)) for first, last, _ in spans)
    # Pauses inside a turn are no speech: up to a third of a turn may be quiet.
    return max(0.0, (end - start) * 2 / 3 - covered)


def secrets_left(turns: Sequence[Turn], redacted: str) -> list[str]:
    """Personal data of the script that can still be read in a redacted text: one of its words, or four digits in a row
    of its numbers."""
    found = words(redacted)
    runs = {tuple(found[place : place + 4]) for place in range(len(found))}
    left = []
    for turn in turns:
        for secret in turn.secrets:
            parts = words(secret.words)
            digits = [part for part in parts if part.isdigit()]
            hidden = {tuple(digits[place : place + 4]) for place in range(len(digits) - 3)}
            if hidden & runs or {part for part in parts if not part.isdigit()} & set(found):
                left.append(secret.words)
    return left


def secret_recall(turns: Sequence[Turn], redacted: str) -> float:
    """Share of the personal data that is gone from a redacted transcript; 1 where there was none."""
    count = sum(len(turn.secrets) for turn in turns)
    return 1 - len(secrets_left(turns, redacted)) / count if count else 1.0


def names_kept(names: Sequence[str], text: str) -> float:
    """Share of the names that stand in a text letter for letter; 1 where there are none."""
    return sum(name in text for name in names) / len(names) if names else 1.0
