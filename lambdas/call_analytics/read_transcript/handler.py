"""Reads a transcript and leaves its turns for the next functions.

Its role may read the redacted transcripts. Others only where the stack's settings have them analysed.
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.call_analytics import places, texts
from lambdas.call_analytics.read_transcript.turns import MalformedTranscriptError, turns
from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.failures import named, told_by_name

BUCKET = os.environ["BUCKET"]

logger = Logger()
clients = make_clients({"s3": PATIENT})


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, str], context: Any) -> dict[str, int]:
    """Takes {"call", "transcript": key, "language"}; returns {"turns", "speakers", "bytes": of all their texts}."""
    transcript = places.read_json(clients["s3"], BUCKET, event["transcript"])
    try:
        found = turns(transcript, event["language"])
    except MalformedTranscriptError as error:
        raise named("MalformedTranscript", str(error)) from None
    places.write_json(clients["s3"], BUCKET, places.work(event["call"], places.TURNS), {"turns": found})
    summary = {
        "turns": len(found),
        "speakers": len({turn["speaker"] for turn in found}),
        "bytes": sum(texts.size(turn["text"]) for turn in found),
    }
    logger.info("turns read", extra={"call": event["call"], **summary})
    return summary
