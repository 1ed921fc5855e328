"""Has Comprehend find the mood of every turn, and the entities and key phrases in it.

In the language that was spoken, if Comprehend knows it, for a translation changes the mood; else in the translation.
What goes to Comprehend is the redacted text, wherever redaction is on: it is all that there is in the turns.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.call_analytics import places
from lambdas.call_analytics.analyse.batches import Document, documents, in_batches, mood
from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.failures import named, told_by_name

BUCKET = os.environ["BUCKET"]

logger = Logger()
clients = make_clients({"s3": PATIENT, "comprehend": PATIENT})

# Raised again under these names, so that the state machine tries again.
PASSING = ("INTERNAL_SERVER_ERROR", "InternalServerException", "ThrottlingException", "TooManyRequestsException")


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Takes {"call", "language": of the text to analyse, "translated": whether that is the translation}.

    Leaves {"language", "turns": [{"mood", "scores", "entities": [...], "phrases": [...]}]} for the report; returns how
    many documents were sent.
    """
    found = documents(_texts(event["call"], event["translated"]))
    language = event["language"]
    count = max((document.turn for document in found), default=-1) + 1
    moods = defaultdict(list)
    turns: list[dict[str, Any]] = [{"entities": [], "phrases": []} for _ in range(count)]
    for batch in in_batches(found):
        for document, answer in _asked("sentiment", batch, language):
            moods[document.turn].append((len(document.text), answer["SentimentScore"]))
        for document, answer in _asked("entities", batch, language):
            turns[document.turn]["entities"] += [_finding(document, one) for one in answer["Entities"]]
        for document, answer in _asked("key_phrases", batch, language):
            turns[document.turn]["phrases"] += [_finding(document, one) for one in answer["KeyPhrases"]]
    for number, turn in enumerate(turns):
        turn.update(mood(moods[number]))
    analysis = {"language": language, "translated": bool(event["translated"]), "turns": turns}
    places.write_json(clients["s3"], BUCKET, places.work(event["call"], places.ANALYSIS), analysis)
    logger.info("analysed", extra={"call": event["call"], "documents": len(found)})
    return {"documents": len(found)}


def _texts(call: str, translated: bool) -> list[str]:
    if translated:
        texts: list[str] = places.read_json(clients["s3"], BUCKET, places.work(call, places.TRANSLATED))["texts"]
        return texts
    turns = places.read_json(clients["s3"], BUCKET, places.work(call, places.TURNS))["turns"]
    return [turn["text"] for turn in turns]


def _asked(what: str, batch: Sequence[Document], language: str) -> list[tuple[Document, dict[str, Any]]]:
    """Each document with what the service found. A document that it refuses fails the call: none is refused for
    good."""
    answer = getattr(clients["comprehend"], f"batch_detect_{what}")(
        TextList=[document.text for document in batch], LanguageCode=language
    )
    for error in answer["ErrorList"]:
        code = str(error.get("ErrorCode", "unknown"))
        name = "ThrottlingException" if code in PASSING else "ComprehendRefused"
        raise named(name, f"Comprehend says {code} of a turn.")
    return [(batch[one["Index"]], one) for one in answer["ResultList"]]


def _finding(document: Document, one: dict[str, Any]) -> dict[str, Any]:
    """A finding as it is kept: its place counted from the beginning of the turn's text."""
    return {
        "text": one["Text"],
        **({"type": one["Type"]} if "Type" in one else {}),
        "score": round(float(one["Score"]), 4),
        "begin": document.offset + one["BeginOffset"],
        "end": document.offset + one["EndOffset"],
    }
