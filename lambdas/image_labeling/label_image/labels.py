"""Turns the answer of DetectLabels into what is stored."""

from __future__ import annotations

import decimal
import json
from typing import Any

# An object with a side below this share of the image's shorter side is too small to be trusted. The figure is the study
# material's; no page of AWS that was found on 2026-11-25 confirms or denies it for labels.
SMALL_OBJECT = 0.05

# An item has at most 400 KB, names included (Amazon DynamoDB Developer Guide, "Quotas", read 2026-11-23). The rest is
# room for the other attributes, of which a key of 1,024 bytes is the largest.
MAXIMUM_BYTES_OF_LABELS = 380_000


def stored_labels(answer: dict[str, Any], width: int, height: int) -> tuple[list[dict[str, Any]], int]:
    """The labels to store, surest first, and how many were left out because an item would not hold them.

    `width` and `height` are the image's, in pixels, upright: what Rekognition's boxes are shares of. A label is
    {name, confidence (percent), parents [names], instances [{box {left, top, width, height}, confidence, unreliable}]}.
    """
    found = sorted(answer.get("Labels", []), key=lambda label: -float(label.get("Confidence", 0)))
    kept: list[dict[str, Any]] = []
    room = MAXIMUM_BYTES_OF_LABELS
    for label in found:
        stored = _stored(label, width, height)
        room -= _size(stored)
        if room < 0:
            break
        kept.append(stored)
    return kept, len(found) - len(kept)


def is_small(box_width: float, box_height: float, width: int, height: int) -> bool:
    """Whether a box (in shares of the image's sides) has a side, in pixels, below 5 % of the image's shorter side."""
    return min(box_width * width, box_height * height) < SMALL_OBJECT * min(width, height)


def _stored(label: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    return {
        "name": label["Name"],
        "confidence": _number(label.get("Confidence", 0)),
        "parents": [parent["Name"] for parent in label.get("Parents", [])],
        "instances": [_instance(instance, width, height) for instance in label.get("Instances", [])],
    }


def _instance(instance: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    box = instance.get("BoundingBox", {})
    sides = {side: float(box.get(side.capitalize(), 0)) for side in ("left", "top", "width", "height")}
    return {
        "box": {side: _number(share, places=6) for side, share in sides.items()},
        "confidence": _number(instance.get("Confidence", 0)),
        "unreliable": is_small(sides["width"], sides["height"], width, height),
    }


def _number(value: float, places: int = 4) -> decimal.Decimal:
    """DynamoDB's numbers are decimal; a float's own digits past these say nothing."""
    return decimal.Decimal(str(round(float(value), places)))


def _size(stored: dict[str, Any]) -> int:
    """An upper bound of the bytes in an item: JSON writes out every name, figure and bracket that DynamoDB packs."""
    return len(json.dumps(stored, default=str, ensure_ascii=False).encode())
