"""The end of an invocation, which no question to a slow service may overrun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class OutOfTimeError(Exception):
    """The function's time does not suffice for another attempt."""


class Deadline:
    """The end of the running invocation."""

    def __init__(self) -> None:
        self._remaining: Callable[[], int] = lambda: 0

    def follow(self, context: Any) -> None:
        """Takes the end of an invocation from its Lambda context."""
        self._remaining = context.get_remaining_time_in_millis

    def milliseconds(self) -> int:
        """The time that the invocation has left."""
        return self._remaining()

    def guard(self, client: Any, seconds: float) -> None:
        """Makes a client raise OutOfTimeError instead of sending when less than `seconds` are left."""

        def before_send(**_: Any) -> None:
            left = self._remaining() / 1000
            if left < seconds:
                raise OutOfTimeError(f"{left:.1f} s are left; an attempt may take {seconds} s.")

        client.meta.events.register("before-send", before_send)
