"""The story of a model as model-monitor's demo tells it: training, a day of traffic, drift, a new training, an update.

Nothing bare stands beside it: what it is for is that a day and a half is seen in a minute or two. Stacks are deployed
before its time begins. The processors' time is told too, for waits are part of the story and a busy machine makes them
longer.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench.measure import processor_seconds
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.demos.drift_story import Chapter, Chapters, Choices, Story, quiet
from local.deploy import deploy
from pipelines.deliveries.world import draw
from stacks.catalogue import get, with_needs

ARCHITECTURE = "model-monitor"
MAXIMUM_SECONDS = 120.0


@dataclass(frozen=True)
class Figures:
    """Seconds of each chapter, in their order, and the processors' seconds of all: this process, cloud and jobs.

    `hours` were judged. `reason` says why the story ended early; a complete one has none.
    """

    chapters: tuple[tuple[str, float], ...]
    processor: float
    hours: int
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long the whole story took."""
        return sum(seconds for _, seconds in self.chapters)

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        found = [f"the story ended early: {self.reason}"] if self.reason else []
        if self.seconds > MAXIMUM_SECONDS:
            found.append(f"the story takes {self.seconds:.0f} s, {MAXIMUM_SECONDS:g} are the bar")
        return found

    def table(self) -> Table:
        """The figures as people read them."""
        table = Table(title=f"{ARCHITECTURE}, a story, {os.cpu_count()} cores", title_justify="left")
        table.add_column("what")
        table.add_column("figure", justify="right")
        for name, seconds in self.chapters:
            table.add_row(name, f"{seconds:.1f} s")
        table.add_section()
        table.add_row("the whole story", f"{self.seconds:.1f} s")
        table.add_row("processors' time of it", f"{self.processor:.1f} s")
        table.add_row("hours judged", f"{self.hours}")
        return table


def run(hours: int, say: Callable[[str], object], choices: Choices | None = None) -> Figures:
    """`hours` bounds those of usual traffic, of which there are a day's at most; `choices` are all the demo's."""
    chosen = choices or Choices(hours=min(hours, Choices.hours))
    say(f"The local cloud, with {ARCHITECTURE} and what it needs ...")
    source = synthesize(ARCHITECTURE)
    with tempfile.TemporaryDirectory() as folder, LocalCloud.start(f"bench-{os.getpid()}") as cloud:
        for one in with_needs(get(ARCHITECTURE)):
            outputs = deploy(cloud, source, one.id)
        data = Path(folder) / "deliveries.csv"
        data.write_text(draw(chosen.training_rows, 1).to_csv(index=False), encoding="utf-8")
        say(f"The story, with {chosen.hours} hours of usual traffic ...")
        chapters: list[tuple[str, float]] = []
        before = processor_seconds(os.getpid(), cloud.pid)
        report = Story(cloud, outputs, _timed(chapters), chosen).tell([data])
        processor = processor_seconds(os.getpid(), cloud.pid) - before
    reason = report.reason or ("" if report.complete else "it did not come to its end")
    return Figures(tuple(chapters), processor, len(report.hours), reason)


def _timed(chapters: list[tuple[str, float]]) -> Chapters:
    """Chapters that write down their names and seconds, whatever becomes of them."""
    silent = quiet(lambda _: None)

    @contextmanager
    def chapter(doing: str, done: str) -> Iterator[Chapter]:
        began = time.perf_counter()
        try:
            with silent(doing, done) as told:
                yield told
        finally:
            chapters.append((done, time.perf_counter() - began))

    return chapter
