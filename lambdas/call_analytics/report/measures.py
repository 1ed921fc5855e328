"""What a report says of a call: shares, course and names, counted from its turns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

# Parts of a call that its course is told by: the beginning, the middle, the end.
PARTS = 3
# The most that a report lists of names and phrases.
LISTED = 20
# What stands in place of what was taken out; no finding, with or without its brackets.
MARKS = ("PII", "***")


def talk_shares(turns: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each speaker's share of all the time in which somebody speaks, 0 to 1, in the order of their first words."""
    spoken: dict[str, float] = defaultdict(float)
    for turn in turns:
        spoken[turn["speaker"]] += float(turn["speaking"])
    total = sum(spoken.values())
    return {speaker: round(seconds / total, 4) if total else 0.0 for speaker, seconds in spoken.items()}


def tone(turn: Mapping[str, Any]) -> float:
    """How well-disposed a turn is: from -1, all negative, to 1, all positive."""
    return float(turn["scores"]["Positive"]) - float(turn["scores"]["Negative"])


def course(turns: Sequence[Mapping[str, Any]], moods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tone of the call in parts of equal time, each turn weighed by how long it takes.

    [{"from": seconds, "to": seconds, "tone": -1 to 1, or None where nobody speaks}].
    """
    if not turns:
        return []
    begin, end = float(turns[0]["start"]), max(float(turn["end"]) for turn in turns)
    step = (end - begin) / PARTS
    parts = []
    for part in range(PARTS):
        low, high = begin + part * step, begin + (part + 1) * step
        weights = [max(0.0, min(high, float(t["end"])) - max(low, float(t["start"]))) for t in turns]
        total = sum(weights)
        heard = sum(weight * tone(one) for weight, one in zip(weights, moods, strict=True)) / total if total else None
        parts.append({"from": round(low, 2), "to": round(high, 2), "tone": None if heard is None else round(heard, 4)})
    return parts


def overall(turns: Sequence[Mapping[str, Any]], moods: Sequence[Mapping[str, Any]]) -> float | None:
    """The tone of the whole call; None for one in which nobody speaks."""
    weights = [float(turn["speaking"]) for turn in turns]
    total = sum(weights)
    if not total:
        return None
    return round(sum(weight * tone(one) for weight, one in zip(weights, moods, strict=True)) / total, 4)


def ranked(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Names or phrases, the frequent first, however they are capitalised: [{"text", "type" for names, "times"}]."""
    counts: Counter[tuple[str, str]] = Counter()
    spelling: dict[tuple[str, str], str] = {}
    for one in findings:
        if any(mark in one["text"].split() or f"[{mark}]" in one["text"] for mark in MARKS):
            continue
        key = (one["text"].casefold(), one.get("type", ""))
        counts[key] += 1
        spelling.setdefault(key, one["text"])
    ordered = sorted(counts.items(), key=lambda item: -item[1])[:LISTED]
    return [{"text": spelling[key], **({"type": key[1]} if key[1] else {}), "times": times} for key, times in ordered]
