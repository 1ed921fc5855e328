"""What the command lines understand of their options: one of the local cloud, one of accounts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class MistakeError(Exception):
    """What the user asked for cannot be meant. `str()` is one line a mistake."""


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE, as often as `--set` is given; a value is JSON, or else text. Raises MistakeError."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise MistakeError(f"--set {text}: write it as KEY=VALUE, for example --set minimum_confidence=80")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values
