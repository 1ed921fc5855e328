"""How right the document architecture is about documents that the stand-in was not tuned on.

The stand-in's blocks go through the stack's own reading, and its own doubts at its default threshold say what goes to a
person. The fields of the form are named as those that matter, as whoever knows their forms would.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lambdas.document_processing.read_document.blocks import Document as Read
from lambdas.document_processing.read_document.blocks import doubtful
from local.services.layout.blocks import page_blocks
from local.services.layout.source import Document as Opened
from local.services.models.text import text_model
from scenarios.accuracy import Score, score
from scenarios.drawing import CLEAN, MEASURED, WEARS, Document, Wear, form
from stacks.documents.document_processing import DocumentProcessingSettings

THRESHOLD = DocumentProcessingSettings().minimum_confidence


def measured(document: Document, wear: Wear | None) -> Score:
    """Read the document's PDF, or pictures of its pages, as the stack does."""
    pages = Opened.open(document.pdf()).pictures() if wear is None else document.pictures(wear)
    blocks = [
        block
        for number, page in enumerate(pages, start=1)
        for block in page_blocks(page, number, {"FORMS", "TABLES"}, text_model())
    ]
    read = Read(blocks)
    fields = read.fields()
    _, doubts = doubtful(fields, [field.key for field in document.fields], THRESHOLD)
    return score(document, {"fields": fields, "tables": read.tables()}, doubts)


def total(scores: Iterable[Score], capsys: pytest.CaptureFixture[str], what: str) -> Score:
    """All scores together, which are printed too: the figures of the bars."""
    found = sum(scores, Score())
    with capsys.disabled():
        print(
            f"\n{what}: {found.fields_share:.1%} of {found.right + found.wrong} fields right,"
            f" {found.cells_share:.1%} of {found.cells} cells; sent to review: {found.wrong_reviewed_share:.1%} of the"
            f" {found.wrong} wrong fields, {found.right_reviewed_share:.1%} of the right ones"
        )
    return found


def holds_clean(found: Score) -> None:
    assert found.fields_share >= 0.98, found
    assert found.cells_share >= 0.95, found
    assert found.right_reviewed_share <= 0.10, found


def holds_worn(found: Score) -> None:
    assert found.fields_share >= 0.85, found
    assert found.wrong_reviewed_share >= 0.95, found
    assert found.right_reviewed_share <= 0.40, found


@pytest.mark.soak
def test_clean_forms_of_all_styles_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    # Given clean forms of every measured style, as PDF and as pictures
    # When they are read, Then the bars hold over all
    forms = (measured(form(style, seed), wear) for style in MEASURED for seed in (111, 112) for wear in (None, CLEAN))
    holds_clean(total(forms, capsys, "clean forms"))


@pytest.mark.soak
def test_worn_copies_of_all_styles_are_read_and_doubted(capsys: pytest.CaptureFixture[str]) -> None:
    # Given copies of forms of every measured style, worn in every way
    # When they are read, Then the bars hold over all
    forms = (measured(form(style, seed), wear) for style in MEASURED for seed in (121, 122) for wear in WEARS)
    holds_worn(total(forms, capsys, "worn copies"))
