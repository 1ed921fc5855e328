"""What a reviewer sent: a decision, and a value for each doubtful field."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.document_processing.review_page.page import inputs

MAXIMUM_VALUE = 1000
MAXIMUM_REASON = 500
MAXIMUM_BODY = 200_000

DECISIONS = ("approve", "reject")
SELECTIONS = ("SELECTED", "NOT_SELECTED")


class BadAnswerError(Exception):
    """What was sent is no answer to this review. `str()` says what is wrong, for the reviewer."""


def parse(body: str, content_type: str, doubts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{"decision", "reason", "fields": [{"number", "name", "value"}, ...]} of a form, or of JSON with the same names.

    A field that is not in it keeps the value that was read. Raises BadAnswerError.
    """
    if len(body) > MAXIMUM_BODY:
        raise BadAnswerError("The answer is too long.")
    given = _json(body) if content_type.startswith("application/json") else _form(body)
    decision = given.get("decision")
    if decision not in DECISIONS:
        raise BadAnswerError("The answer says neither approve nor reject.")
    names = list(inputs(doubts))
    if unknown := set(given) - {"decision", "reason", *names}:
        raise BadAnswerError(f"The answer has {len(unknown)} fields that were not asked for.")
    fields = [
        {"number": field["number"], "name": field["name"], "value": _value(given.get(name, field["value"]), field)}
        for name, field in zip(names, doubts, strict=True)
    ]
    return {"decision": decision, "reason": given.get("reason", "").strip()[:MAXIMUM_REASON], "fields": fields}


def _value(value: str, field: Mapping[str, Any]) -> str:
    kept = " ".join(value.split())
    if len(kept) > MAXIMUM_VALUE:
        raise BadAnswerError(f"A value may have {MAXIMUM_VALUE} characters.")
    if field["kind"] == "selection" and kept not in SELECTIONS:
        raise BadAnswerError("A box is ticked or not.")
    return kept


def _form(body: str) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except ValueError:
        raise BadAnswerError("The answer cannot be read.") from None
    return dict(pairs)


def _json(body: str) -> dict[str, str]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswerError("The answer cannot be read.") from None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadAnswerError("The answer is no object of texts.")
    try:
        # JSON can spell half a character, which the result could not be written with.
        "".join(given.values()).encode()
    except UnicodeEncodeError:
        raise BadAnswerError("The answer is no valid Unicode.") from None
    return given
