"""The local cloud's clock, as the demos of models move it: a day takes a minute, a wait of minutes seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.control import Control

# Twenty seconds in a third of one: no alarm that looks at minutes misses one.
_STRIDE_SECONDS = 20.0
_PAUSE_SECONDS = 1 / 3


class RealClock:
    """The time as it is, on a cloud whose clock nobody moves."""

    def hour(self) -> datetime:
        """The start of the present hour, in UTC."""
        return datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Within the block a minute passes in a minute."""
        yield


class MovingClock:
    """Reads and moves the clock of one local cloud. It only goes forward."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> datetime:
        """What the cloud takes for the present, in UTC."""
        return datetime.fromtimestamp(time.time() + self._control.clock(), tz=timezone.utc)

    def hour(self) -> datetime:
        """The start of the present hour."""
        return self.now().replace(minute=0, second=0, microsecond=0)

    def to_half_past_next(self) -> datetime:
        """Moves to half past the next hour, and returns the start of that hour."""
        hour = self.hour() + timedelta(hours=1)
        self._control.clock_advance((hour + timedelta(minutes=30) - self.now()).total_seconds())
        return hour

    def advance(self, seconds: float) -> None:
        """Moves forward."""
        self._control.clock_advance(seconds)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Within the block a minute passes in a second."""
        over = threading.Event()

        def hurry() -> None:
            while not over.wait(_PAUSE_SECONDS):
                self._control.clock_advance(_STRIDE_SECONDS)

        thread = threading.Thread(target=hurry, name="clock")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
