"""Puts together what Textract read, what Comprehend understood and what a reviewer corrected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def corrected(fields: Sequence[Mapping[str, Any]], answer: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The fields with a reviewer's values.

    A changed field keeps what was read as `read_value`. One that the reviewer looked at is `reviewed`. A field that was
    not found in the document and that the reviewer gave is added.
    """
    given = {entry["number"]: entry for entry in answer["fields"]} if answer else {}
    found = []
    for number, field in enumerate(fields):
        entry = given.get(number)
        kept = {**field, "reviewed": entry is not None}
        if entry is not None and entry["value"] != field["value"]:
            kept |= {"value": entry["value"], "read_value": field["value"]}
        found.append(kept)
    added = [entry for entry in (answer["fields"] if answer else ()) if entry["number"] == -1 and entry["value"]]
    return found + [_added(entry) for entry in added]


def _added(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "value": entry["value"],
        "read_value": "",
        "kind": "text",
        "confidence": 0.0,
        "page": 1,
        "name_box": None,
        "value_box": None,
        "reviewed": True,
    }


def of_human_loop(output: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a worker of Augmented AI gave, by the names of the inputs (`field-0`, ...).

    The output's shape: Amazon SageMaker AI Developer Guide, "Amazon A2I output data", read 2026-11-25. Of several
    workers the last one's answer counts. Raises KeyError for what is no such output.
    """
    return {name: str(value) for name, value in output["humanAnswers"][-1]["answerContent"].items()}


def named_values(values: Mapping[str, str], doubts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values by input names as an answer of the review page has them; what was left out stays as it was read.

    The decision is the worker's, whatever it says, and empty where the template asked for none.
    """
    fields = [
        {"number": one["number"], "name": one["name"], "value": values.get(f"field-{index}", one["value"])}
        for index, one in enumerate(doubts)
    ]
    return {"decision": values.get("decision", ""), "reason": values.get("reason", ""), "fields": fields}


def understood(texts: Mapping[str, Any], insight: Mapping[str, Any]) -> dict[str, Any]:
    """What Comprehend found in one batch, with the page of each piece.

    {"entities": [{text, type, score, page}], "pii": [{type, score, page}], "sentiments": [{sentiment, page, score}]}.
    Personal data is kept as its kind and page, not as another copy of it. The personal data was looked for in all
    pieces of the batch joined by a line feed: offsets count in that.
    """
    pages = texts["pages"]
    entities = [
        {"text": entity["Text"], "type": entity["Type"], "score": entity["Score"], "page": pages[result["Index"]]}
        for result in insight["entities"]
        for entity in result["Entities"]
    ]
    sentiments = [
        {
            "sentiment": result["Sentiment"],
            "score": max(result["SentimentScore"].values()),
            "page": pages[result["Index"]],
        }
        for result in insight["sentiments"]
    ]
    pii = [
        {"type": entity["Type"], "score": entity["Score"], "page": _page_at(entity["BeginOffset"], texts)}
        for entity in insight["pii"]
    ]
    return {"entities": entities, "pii": pii, "sentiments": sentiments}


def distinct(entities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a text and type, with how often it was found and its best score, in the order of the first of each."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entity in entities:
        entry = found.setdefault((entity["text"], entity["type"]), {**entity, "mentions": 0})
        entry["mentions"] += 1
        entry["score"] = max(entry["score"], entity["score"])
    return list(found.values())


def overall(sentiments: Sequence[Mapping[str, Any]]) -> str:
    """The sentiment that most pieces have; MIXED where two share the first place; NEUTRAL without any piece."""
    counts: dict[str, int] = {}
    for one in sentiments:
        counts[one["sentiment"]] = counts.get(one["sentiment"], 0) + 1
    if not counts:
        return "NEUTRAL"
    most = max(counts.values())
    first = [name for name, count in counts.items() if count == most]
    return first[0] if len(first) == 1 else "MIXED"


def rows(result: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Sort key's ending and content of each row of the results table, for a whole result."""
    for number, field in enumerate(result["fields"], 1):
        yield f"field/{number:05d}", {name: field[name] for name in field if not name.endswith("_box")}
    for number, table in enumerate(result["tables"], 1):
        yield f"table/{number:05d}", dict(table)
    for number, entity in enumerate(result["entities"], 1):
        yield f"entity/{number:05d}", dict(entity)


def _page_at(offset: int, texts: Mapping[str, Any]) -> int:
    end = 0
    for text, page in zip(texts["texts"], texts["pages"], strict=True):
        end += len(text) + 1
        if offset < end:
            return int(page)
    return int(texts["pages"][-1])
