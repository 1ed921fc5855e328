"""How right the answers are about documents that the stand-in was not tuned on.

The bars are those of the document architecture: clean forms, and worn copies of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from local.services.layout.blocks import page_blocks
from local.services.layout.source import Document as Opened
from local.services.models.text import text_model
from scenarios.accuracy import Score, score
from scenarios.drawing import CLEAN, MEASURED, WEARS, Document, Wear, form


def measured(document: Document, wear: Wear | None) -> Score:
    """Read the document's PDF, or pictures of its pages."""
    pages = Opened.open(document.pdf()).pictures() if wear is None else document.pictures(wear)
    blocks = [
        block
        for number, page in enumerate(pages, start=1)
        for block in page_blocks(page, number, {"FORMS", "TABLES"}, text_model())
    ]
    return score(document, blocks)


def total(scores: Iterable[Score]) -> Score:
    return sum(scores, Score())


def holds_clean(found: Score) -> None:
    assert found.fields_share >= 0.98, found
    assert found.cells_share >= 0.95, found
    assert found.right_reviewed_share <= 0.10, found


def holds_worn(found: Score) -> None:
    assert found.fields_share >= 0.85, found
    assert found.wrong_reviewed_share >= 0.95, found
    assert found.right_reviewed_share <= 0.40, found


def test_a_clean_form_is_read() -> None:
    # Given a clean form of three pages in a style that was not tuned on
    # When its PDF is read, Then the bars hold
    holds_clean(measured(form(MEASURED[0], 101), None))


@pytest.mark.soak
def test_clean_forms_of_all_styles_are_read() -> None:
    # Given clean forms of every measured style, as PDF and as pictures
    # When they are read, Then the bars hold over all
    holds_clean(
        total(measured(form(style, seed), wear) for style in MEASURED for seed in (111, 112) for wear in (None, CLEAN))
    )


@pytest.mark.soak
def test_worn_copies_of_all_styles_are_read_and_doubted() -> None:
    # Given copies of forms of every measured style, worn in every way
    # When they are read, Then the bars hold over all
    holds_worn(total(measured(form(style, seed), wear) for style in MEASURED for seed in (121, 122) for wear in WEARS))
