"""Puts the report of a call together: as JSON in S3, as rows a turn in DynamoDB, as a few numbers for the call's row.

Writing it again gives the same: every row has its key, and the object its name.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from aws_lambda_powertools.logging import Logger
from boto3.dynamodb.types import TypeSerializer

from lambdas.call_analytics import places
from lambdas.call_analytics.report.measures import course, overall, ranked, talk_shares
from lambdas.shared.clients import PATIENT, QUICK, make_clients
from lambdas.shared.failures import named, told_by_name

BUCKET = os.environ["BUCKET"]
TURNS_TABLE = os.environ["TURNS_TABLE"]
HOUSE_LANGUAGE = os.environ["HOUSE_LANGUAGE"]
HOTELS = [name for name in os.environ["HOTEL_NAMES"].split("\n") if name]

# Amazon DynamoDB API Reference, "BatchWriteItem", read 2026-11-25. A row of a turn is far below its 400 KB.
ROWS_A_BATCH = 25
ATTEMPTS = 8

logger = Logger()
clients = make_clients({"s3": PATIENT, "dynamodb": QUICK})
serialize = TypeSerializer().serialize


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes {"call", "language", "translated", "redacted", "analysed": whether there is an analysis}.

    Returns what the call's row takes: {"report": key, "turns", "speakers", "seconds", "tone": number or ""}.
    """
    call = event["call"]
    turns = places.read_json(clients["s3"], BUCKET, places.work(call, places.TURNS))["turns"]
    moods: list[dict[str, Any]] = []
    analysed_in = ""
    if event["analysed"]:
        analysis = places.read_json(clients["s3"], BUCKET, places.work(call, places.ANALYSIS))
        moods, analysed_in = analysis["turns"], analysis["language"]
    translations: list[str] = []
    if event["translated"]:
        translations = places.read_json(clients["s3"], BUCKET, places.work(call, places.TRANSLATED))["texts"]
    rows = [
        {
            "speaker": turn["speaker"],
            "start": turn["start"],
            "end": turn["end"],
            "confidence": turn["confidence"],
            "text": turn["text"],
            **({"translation": translations[number]} if translations else {}),
            **({name: moods[number][name] for name in ("mood", "scores", "entities", "phrases")} if moods else {}),
        }
        for number, turn in enumerate(turns)
    ]
    said = [row["text"] for row in rows] + translations
    report = {
        "call": call,
        "language": event["language"],
        "house_language": HOUSE_LANGUAGE,
        "analysed_in": analysed_in,
        "redacted": bool(event["redacted"]),
        "seconds": max((turn["end"] for turn in turns), default=0.0),
        "talk_shares": talk_shares(turns),
        "tone": overall(turns, moods) if moods else None,
        "course": course(turns, moods) if moods else [],
        "hotels": [name for name in HOTELS if any(name.casefold() in text.casefold() for text in said)],
        "entities": ranked([one for row in rows for one in row.get("entities", ())]),
        "phrases": ranked([one for row in rows for one in row.get("phrases", ())]),
        "turns": rows,
    }
    places.write_json(clients["s3"], BUCKET, places.report(call), report)
    _write_rows(call, rows)
    logger.info("reported", extra={"call": call, "turns": len(rows)})
    return {
        "report": places.report(call),
        "turns": len(rows),
        "speakers": len(report["talk_shares"]),
        "seconds": report["seconds"],
        "tone": "" if report["tone"] is None else report["tone"],
    }


def _write_rows(call: str, rows: list[dict[str, Any]]) -> None:
    requests = [
        {"PutRequest": {"Item": _item({"call": call, "turn": number, **row})}} for number, row in enumerate(rows)
    ]
    for start in range(0, len(requests), ROWS_A_BATCH):
        left = requests[start : start + ROWS_A_BATCH]
        for _ in range(ATTEMPTS):
            answer = clients["dynamodb"].batch_write_item(RequestItems={TURNS_TABLE: left})
            left = answer.get("UnprocessedItems", {}).get(TURNS_TABLE, [])
            if not left:
                break
        else:
            # The state machine waits longer than a function that is paid for while it sleeps.
            raise named("ThrottlingException", "DynamoDB did not take all turns.")


def _item(row: dict[str, Any]) -> dict[str, Any]:
    return {name: serialize(_exact(value)) for name, value in row.items()}


def _exact(value: Any) -> Any:
    """The same with decimal numbers, which DynamoDB has, for floats."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, dict):
        return {name: _exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_exact(one) for one in value]
    return value
