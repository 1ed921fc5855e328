"""The demo of document-processing: forms and invoices, what was read in them, and what a reviewer corrected."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import Demo
from local.files import FileKind, printable
from scenarios import document_processing
from scenarios.document_processing import SUFFIXES, corrector
from scenarios.drawing import documents
from scenarios.drawing.sheet import as_picture
from scenarios.drawing.wear import WEARS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.document_processing import Document, Report

FIELDS_SHOWN = 4


def _is_document(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


class DocumentProcessingDemo(Demo):
    """Reads the user's documents, or some that are drawn for the occasion; a scripted reviewer answers the page."""

    files = FileKind("document", "documents", SUFFIXES, _is_document, "read")
    doing = "Uploading {inputs}, reading them, answering the reviews"
    done = "Uploaded {inputs}"
    results = "documents"

    def __init__(self) -> None:
        self._drawn: dict[str, documents.Document] = {}

    def sample_files(self) -> list[Path]:
        """A clear claim of three pages, a worn copy of a registration form, and an invoice, drawn anew each time."""
        folder = Path(tempfile.mkdtemp(prefix="documents-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        style = documents.DEVELOPMENT[0]
        self._drawn = {
            "claim.pdf": documents.form(style, seed=11),
            "invoice.png": documents.invoice(style, seed=12),
            "worn registration.png": documents.registration(style, seed=13),
        }
        (folder / "claim.pdf").write_bytes(self._drawn["claim.pdf"].pdf())
        (folder / "invoice.png").write_bytes(as_picture(self._drawn["invoice.png"].pictures()[0], "PNG"))
        (folder / "worn registration.png").write_bytes(_worn(self._drawn["worn registration.png"]))
        return sorted(folder.iterdir())

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        drawn = {path.name: self._drawn[path.name] for path in inputs if path.name in self._drawn}
        reviewers = {
            name: corrector({field.key: field.value for field in document.fields}) for name, document in drawn.items()
        }
        return document_processing.run(cloud, outputs, inputs, progress, reviewer=reviewers, truths=drawn)

    def open_link(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> str | None:
        """The review of one more copy of the worn form."""
        with tempfile.TemporaryDirectory(prefix="documents-") as folder:
            form = Path(folder) / "worn registration.png"
            form.write_bytes(_worn(documents.registration(documents.DEVELOPMENT[0], seed=13)))
            return document_processing.leave_review(cloud, outputs, form)

    def summary(self, report: Report) -> str:
        counts: Counter[str] = Counter(document.status for document in report.documents)
        words = {
            "COMPLETED": "read",
            "REJECTED": "rejected",
            "FAILED": "failed",
            "PROCESSING": "not ended",
            "MISSING": "without a row",
        }
        return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        table.add_column("Document", overflow="fold", max_width=max(screen.out.width // 4, 12))
        table.add_column("Some of what was read", overflow="fold")
        table.add_column("Review", overflow="fold")
        table.add_column("As read, right", justify="right")
        table.add_column("Took", justify="right", min_width=7)
        for document in report.documents:
            took = "-" if document.seconds is None else f"{document.seconds:.1f} s"
            table.add_row(
                Text(printable(document.path.name)), _read(document), _review(document), _right(document), took
            )
        return [table]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        reviewer = "a script that knows what was drawn, and answers the review page as a browser would"
        if own_stack:
            reviewer += "; where the stack is deployed already, one review is left for you"
        return [
            ("The reading", "by a small real text model that stands in for Textract"),
            ("The reviewer", reviewer),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [_to_json(document) for document in report.documents]


def _worn(document: documents.Document) -> bytes:
    """The picture of a first page that the machine is unsure of."""
    return as_picture(document.pictures(WEARS[-1])[0], "PNG")


def _read(document: Document) -> Text:
    from rich.text import Text

    if document.status != "COMPLETED":
        style = "yellow" if document.status == "REJECTED" else "red"
        return Text.assemble((document.status.lower(), style), f" {document.reason}")
    # What a person corrected comes first: that is what the review is for.
    fields = sorted(document.fields, key=lambda field: field.read_value is None)
    lines = []
    for field in fields[:FIELDS_SHOWN]:
        was = f" (was read as {field.read_value or 'nothing'})" if field.read_value is not None else ""
        lines.append(Text.assemble((f"{field.name}: ", "dim"), (field.value or "-", "bold"), was))
    more = (
        f"{document.pages} pages, {len(document.fields)} fields, {len(document.tables)} tables,"
        f" {len(document.entities)} entities, {document.sentiment.lower()}"
    )
    return Text("\n").join([*lines, Text(more, "dim")])


def _review(document: Document) -> str:
    if not document.reviewed:
        return "not needed" if document.status == "COMPLETED" else "-"
    looked = sum(field.reviewed for field in document.fields)
    return f"{looked} looked at, {document.corrections} corrected"


def _right(document: Document) -> str:
    found = document.accuracy
    if found is None:
        return "-"
    return f"{found.right} of {found.right + found.wrong} fields"


def _to_json(document: Document) -> dict[str, Any]:
    found = document.accuracy
    return {
        "file": str(document.path),
        "document": document.document,
        "version": document.version,
        "status": document.status,
        "reason": document.reason,
        "seconds": None if document.seconds is None else round(document.seconds, 3),
        "pages": document.pages,
        "fields": [
            {
                "name": field.name,
                "value": field.value,
                "read_value": field.read_value,
                "confidence": field.confidence,
                "page": field.page,
                "reviewed": field.reviewed,
            }
            for field in document.fields
        ],
        "tables": [[list(row) for row in table] for table in document.tables],
        "entities": [{"text": text, "type": kind} for text, kind in document.entities],
        "sentiment": document.sentiment,
        "reviewed": document.reviewed,
        "corrections": document.corrections,
        "right_as_read": None if found is None else found.right,
        "fields_drawn": None if found is None else found.right + found.wrong,
    }


DEMO = DocumentProcessingDemo()
