"""What every benchmark measures with, and what each one gives back."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import psutil
from rich.table import Table


class Figures(Protocol):
    """The figures of one benchmark."""

    def table(self) -> Table:
        """The figures as people read them."""

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and all that it started, in megabytes."""
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


def processor_seconds(*pids: int) -> float:
    """The processors' time that processes and all that they started have used, in seconds. Each is counted once."""
    found: dict[int, float] = {}
    for pid in pids:
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                found[one.pid] = times.user + times.system + times.children_user + times.children_system
    return sum(found.values())


def percentile(values: tuple[float, ...], rank: int) -> float:
    """The value below which `rank` percent of `values` lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1] if len(values) > 1 else values[0]


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Seconds since the block began, or, once it has ended, that it took."""
    start = time.perf_counter()
    end: float | None = None
    yield lambda: (time.perf_counter() if end is None else end) - start
    end = time.perf_counter()
