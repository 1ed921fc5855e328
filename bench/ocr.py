"""What reading one page costs without anything around it: the measure for the documents' architecture."""

from __future__ import annotations

import time

from local.services.layout.source import Document
from local.services.models.text import text_model


def bare_ocr_page(data: bytes) -> float:
    """Seconds for one plain pass of the text model over a document's first page, rendering it included.

    The model is loaded before the clock starts. Raises what `Document` raises for what is no document.
    """
    model = text_model()
    start = time.perf_counter()
    model.read(next(Document.open(data).pictures()))
    return time.perf_counter() - start
