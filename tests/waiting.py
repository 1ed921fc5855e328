"""How tests wait: they look often at first, then ever less, so that waiting takes no time from what is waited for.

A look is a request, and costs the client and the cloud some ten milliseconds each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")

SHORTEST_PAUSE_SECONDS = 0.04
LONGEST_PAUSE_SECONDS = 0.3
LONGEST_PAUSE_OF_THE_BUSY_SECONDS = 0.15


def until(
    found: Callable[[], Found | None],
    what: str,
    *,
    seconds: float,
    meanwhile: Callable[[], object] | None = None,
    diagnosis: Callable[[], str] = str,
) -> Found:
    """What `found` returns, as soon as that is truthy: an answer is at most a quarter of the wait, or 40 ms, late.

    `meanwhile` is called after each look in vain, and then looks stay frequent. Raises AssertionError, with the
    diagnosis, if nothing was found within `seconds`.
    """
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < seconds:
        answer = found()
        if answer:
            return answer
        if meanwhile is not None:
            meanwhile()
        longest = LONGEST_PAUSE_SECONDS if meanwhile is None else LONGEST_PAUSE_OF_THE_BUSY_SECONDS
        time.sleep(min(max(waited / 4, SHORTEST_PAUSE_SECONDS), longest))
    raise AssertionError(f"waited {seconds:.0f} s for {what}\n{diagnosis()}".rstrip())


def never(found: Callable[[], Any], seconds: float) -> bool:
    """Whether something stays away for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found():
            return False
        time.sleep(0.1)
    return True
