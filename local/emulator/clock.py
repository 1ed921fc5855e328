"""The emulator's clock: the machine's, plus an offset that tests move forward.

Queues (visibility, delay, retention), metrics, alarms and the telemetry of traces read it. Signatures and certificates
do not: they are checked against the real time.
"""

import threading
import time
from collections.abc import Callable

_lock = threading.Lock()
_offset = 0.0
_listeners: list[Callable[[], None]] = []


def now() -> float:
    """Seconds since the epoch, as the emulated services see them."""
    return time.time() + _offset


def offset() -> float:
    """Seconds by which the emulated services are ahead."""
    return _offset


def advance(seconds: float) -> float:
    """Move forward; returns the new offset in seconds. Whoever waits for a moment is told."""
    global _offset  # noqa: PLW0603 (one clock a process)
    with _lock:
        _offset += seconds
    for listener in _listeners:
        listener()
    return _offset


def on_advance(listener: Callable[[], None]) -> None:
    """Call `listener` after each move."""
    _listeners.append(listener)
