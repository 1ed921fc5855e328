"""Makes turns of a transcript: what one speaker says until another one speaks.

The shape: Amazon Transcribe Developer Guide, "Data input and output", "Partitioning speakers (diarization)" and
"Example PII redaction and identification output", read 2026-11-25. `results.items` are words with times and punctuation
without; who speaks stands in `results.speaker_labels.segments`, by start time, and in newer transcripts at the item
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Written without spaces between words (Unicode Standard Annex #14): their words are joined as they are.
UNSPACED = ("ja", "zh", "th")

ONE_SPEAKER = "spk_0"

Turn = dict[str, Any]


class MalformedTranscriptError(Exception):
    """The transcript lacks what every transcript has. `str()` names it and quotes nothing."""


def turns(transcript: Mapping[str, Any], language: str) -> list[Turn]:
    """The turns in the order in which they are spoken.

    Each is {"speaker": "spk_0", "start": seconds, "end": seconds, "speaking": seconds that its words take, "text": ...,
    "confidence": mean over its words, 0 to 1}. Without speaker labels all is one speaker's. A silent recording has
    none.
    """
    try:
        results = transcript["results"]
        items = results["items"]
    except (KeyError, TypeError):
        raise MalformedTranscriptError("The transcript has no results.items.") from None
    speakers = _speakers(results)
    gap = "" if language.split("-", maxsplit=1)[0] in UNSPACED else " "
    found: list[Turn] = []
    for item in items:
        content, confidence = _said(item)
        if item.get("type") == "punctuation":
            # It has no time of its own; one before the first word belongs to nobody.
            if found:
                found[-1]["text"] += content
            continue
        start, end = float(item["start_time"]), float(item["end_time"])
        speaker = item.get("speaker_label") or speakers.get(str(item["start_time"]))
        speaker = speaker or (found[-1]["speaker"] if found else ONE_SPEAKER)
        if not found or found[-1]["speaker"] != speaker:
            found.append({"speaker": speaker, "start": start, "speaking": 0.0, "text": "", "_words": []})
        turn = found[-1]
        turn["text"] += (gap if turn["text"] else "") + content
        turn["end"] = end
        turn["speaking"] += end - start
        turn["_words"].append(confidence)
    return [_finished(turn) for turn in found]


def _speakers(results: Mapping[str, Any]) -> dict[str, str]:
    """Who speaks, by the start time of a word as the transcript writes it."""
    labels = results.get("speaker_labels") or {}
    return {
        str(item["start_time"]): str(item.get("speaker_label") or segment["speaker_label"])
        for segment in labels.get("segments", ())
        for item in segment.get("items", ())
    }


def _said(item: Mapping[str, Any]) -> tuple[str, float]:
    """The first alternative, which is the likeliest. A redacted one has its confidence in `redactions`."""
    try:
        first = item["alternatives"][0]
        content = str(first["content"])
    except (KeyError, IndexError, TypeError):
        raise MalformedTranscriptError("An item of the transcript has no alternatives.") from None
    confidence = first.get("confidence")
    if confidence is None:
        confidence = max((float(one.get("confidence", 0)) for one in first.get("redactions", ())), default=0.0)
    return content, float(confidence)


def _finished(turn: Turn) -> Turn:
    words = turn.pop("_words")
    return {
        **turn,
        "speaking": round(turn["speaking"], 3),
        "confidence": round(sum(words) / len(words), 4),
    }
