"""document-processing from end to end, beside bare text recognition of the same pages, in the same run."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rich.table import Table

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.services.models.text import text_model
from scenarios import document_processing
from scenarios.drawing import documents
from scenarios.drawing.sheet import as_picture

ARCHITECTURE = "document-processing"
MOST_PAGES = 12
WARM_UP_PAGES = 2

# The bar of the project: a page from upload to final row, in terms of the text recognition of that page alone.
MAXIMUM_RATIO = 2.0


@dataclass(frozen=True)
class Figures:
    """Seconds, each the median over the pages."""

    pages: int
    bare: float
    through: float
    completed: int

    @property
    def ratio(self) -> float:
        """How many times as long as the bare recognition a page takes from upload to row."""
        return self.through / self.bare

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        found = []
        if self.ratio > MAXIMUM_RATIO:
            found.append(f"a page takes {self.ratio:.2f} times its bare recognition, {MAXIMUM_RATIO:g} are the bar")
        if self.completed < self.pages:
            found.append("documents lost")
        return found

    def table(self) -> Table:
        """The figures as people read them."""
        table = Table(title=f"{ARCHITECTURE}, {self.pages} pages, {os.cpu_count()} cores", title_justify="left")
        table.add_column("what")
        table.add_column("figure", justify="right")
        table.add_row("bare text recognition of a page, median", f"{self.bare:.2f} s")
        table.add_row("through the architecture, upload to final row, median", f"{self.through:.2f} s")
        table.add_row("times the bare recognition", f"{self.ratio:.2f}")
        table.add_row("documents completed", f"{self.completed} of {self.pages}")
        return table


def run(images: int, say: Callable[[str], object]) -> Figures:
    """`images` bounds the pages, of which there are twelve at most: each takes a second or two twice."""
    pages = min(images, MOST_PAGES)
    drawn = [documents.registration(documents.DEVELOPMENT[n % 3], seed=100 + n) for n in range(pages + WARM_UP_PAGES)]
    pictures = [one.pictures()[0] for one in drawn]
    say(f"{pages} pages, bare")
    model = text_model()
    bare = [_bare(model, picture) for picture in pictures][WARM_UP_PAGES:]
    say(f"{pages} pages through {ARCHITECTURE}")
    # Nobody is asked: the bar is for what the machine does.
    settings = {"minimum_confidence": 0}
    source = synthesize(ARCHITECTURE, settings={ARCHITECTURE: settings})
    with tempfile.TemporaryDirectory() as folder, LocalCloud.start(f"bench-{os.getpid()}") as cloud:
        outputs = deploy(cloud, source, ARCHITECTURE)
        found: list[document_processing.Document] = []
        for number, picture in enumerate(pictures):
            path = Path(folder) / f"{number}.png"
            path.write_bytes(as_picture(picture, "PNG"))
            found += document_processing.run(cloud, outputs, [path]).documents
        destroy(cloud, ARCHITECTURE)
    measured = found[WARM_UP_PAGES:]
    return Figures(
        pages=pages,
        bare=statistics.median(bare),
        through=statistics.median(one.seconds or float("inf") for one in measured),
        completed=sum(one.status == "COMPLETED" for one in measured),
    )


def _bare(model: Any, picture: Image.Image) -> float:
    began = time.perf_counter()
    model.read(picture.convert("RGB"))
    return time.perf_counter() - began
