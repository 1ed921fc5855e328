"""document-processing from end to end, beside bare text recognition of the same pages, in the same run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from bench.beside import Figures, measure
from local.cloud import LocalCloud
from local.services.models.text import text_model
from scenarios import document_processing
from scenarios.drawing import documents
from scenarios.drawing.sheet import as_picture

MOST_PAGES = 12
WARM_UP_PAGES = 2

# The bar of the project: a page from upload to final row, in terms of the text recognition of that page alone.
MAXIMUM_RATIO = 2.0


def run(images: int, say: Callable[[str], object]) -> Figures:
    """`images` bounds the pages, of which there are twelve at most: each takes a second or two twice."""
    pages = min(images, MOST_PAGES)
    drawn = [documents.registration(documents.DEVELOPMENT[n % 3], seed=100 + n) for n in range(pages + WARM_UP_PAGES)]
    inputs = [(f"{n}.png", as_picture(one.pictures()[0], "PNG")) for n, one in enumerate(drawn)]
    model = text_model()
    return measure(
        "document-processing",
        inputs,
        unit="page",
        bare_is="text recognition",
        bare=lambda content: model.read(Image.open(io.BytesIO(content)).convert("RGB")),
        scenario=_seconds,
        say=say,
        # Nobody is asked: the bar is for what the machine does.
        settings={"minimum_confidence": 0},
        warm_up=WARM_UP_PAGES,
        maximum_ratio=MAXIMUM_RATIO,
    )


def _seconds(cloud: LocalCloud, outputs: Mapping[str, str], path: Path) -> float | None:
    (found,) = document_processing.run(cloud, outputs, [path]).documents
    return found.seconds if found.status == "COMPLETED" else None
