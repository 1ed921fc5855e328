"""The same for every architecture around slow models: each input bare, and then from upload to its final row."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy

# Runs one file; answers with the seconds from its upload to its final row, or None where it came to no result.
Scenario = Callable[[LocalCloud, Mapping[str, str], Path], float | None]


@dataclass(frozen=True)
class Figures:
    """Seconds, the median over the inputs; `unit` is what one input is called, `bare_is` what is done with it bare."""

    architecture: str
    unit: str
    bare_is: str
    bare: tuple[float, ...]
    through: tuple[float | None, ...]
    maximum_ratio: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as long as bare an input takes from upload to row."""
        return self._median_through / statistics.median(self.bare)

    @property
    def completed(self) -> int:
        """How many inputs came to their result."""
        return sum(seconds is not None for seconds in self.through)

    @property
    def _median_through(self) -> float:
        return statistics.median(float("inf") if seconds is None else seconds for seconds in self.through)

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        found = []
        if self.maximum_ratio is not None and self.ratio > self.maximum_ratio:
            found.append(
                f"a {self.unit} takes {self.ratio:.2f} times its {self.bare_is}, {self.maximum_ratio:g} are the bar"
            )
        if self.completed < len(self.through):
            found.append(f"{len(self.through) - self.completed} without a result")
        return found

    def table(self) -> Table:
        """The figures as people read them."""
        title = f"{self.architecture}, {len(self.through)} x {self.unit}, {os.cpu_count()} cores"
        table = Table(title=title, title_justify="left")
        table.add_column("what")
        table.add_column("figure", justify="right")
        table.add_row(f"{self.bare_is} alone, median", f"{statistics.median(self.bare):.2f} s")
        table.add_row("through the architecture, upload to final row, median", f"{self._median_through:.2f} s")
        table.add_row("times as long", f"{self.ratio:.2f}")
        table.add_row("with their result", f"{self.completed} of {len(self.through)}")
        return table


def measure(
    architecture: str,
    inputs: Sequence[tuple[str, bytes]],
    *,
    unit: str,
    bare_is: str,
    bare: Callable[[bytes], object],
    scenario: Scenario,
    say: Callable[[str], object],
    settings: Mapping[str, Any],
    warm_up: int,
    maximum_ratio: float | None = None,
) -> Figures:
    """Measures each of `inputs` (file name, content) bare and through the architecture, but for the first `warm_up`.

    One input after another, both times: what waits for another input's end is no cost of this one.
    """
    say(f"{architecture}: {len(inputs) - warm_up} x {unit}, bare ...")
    alone = []
    for _, content in inputs:
        began = time.perf_counter()
        bare(content)
        alone.append(time.perf_counter() - began)
    say(f"{architecture}: the same through the architecture ...")
    source = synthesize(architecture, settings={architecture: settings} if settings else None)
    through = []
    with tempfile.TemporaryDirectory() as folder, LocalCloud.start(f"bench-{os.getpid()}") as cloud:
        outputs = deploy(cloud, source, architecture)
        for name, content in inputs:
            path = Path(folder) / name
            path.write_bytes(content)
            through.append(scenario(cloud, outputs, path))
        destroy(cloud, architecture)
    return Figures(architecture, unit, bare_is, tuple(alone[warm_up:]), tuple(through[warm_up:]), maximum_ratio)
