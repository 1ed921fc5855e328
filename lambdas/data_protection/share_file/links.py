"""What may be shared, and for how long: without AWS."""

from __future__ import annotations

from typing import Any


class RefusedError(ValueError):
    """The request asks for what is not shared. `str()` says why, and holds nothing of the request."""


def wanted(event: dict[str, Any], *, prefix: str, longest_minutes: int) -> tuple[str, int]:
    """Key and seconds of a request `{"key": "shared/report.csv", "minutes": 5}`; without minutes, the longest time.

    Raises RefusedError for a key outside the prefix, and for minutes that are no whole number from 1 to the longest.
    """
    key, minutes = event.get("key"), event.get("minutes", longest_minutes)
    if not isinstance(key, str) or not key.startswith(prefix) or key == prefix:
        raise RefusedError(f"Only what lies under {prefix} is shared.")
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= longest_minutes:
        raise RefusedError(f"A link lives for 1 to {longest_minutes} whole minutes.")
    return key, minutes * 60
