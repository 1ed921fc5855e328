"""Text for Comprehend: never more than it takes, cut where sentences end, and nothing of it lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.document_processing.read_document.paragraphs import (
    MAXIMUM_BATCH_BYTES,
    MAXIMUM_BYTES,
    MAXIMUM_TEXTS,
    batches,
    pieces,
)


@given(st.text(max_size=3000), st.integers(min_value=4, max_value=200))
def test_no_piece_is_too_large_and_nothing_but_white_space_is_lost(text: str, maximum: int) -> None:
    # Given any text and any limit that holds the longest character
    # When it is cut
    found = pieces(text, maximum)
    # Then no piece is larger than the limit, and none is empty
    assert all(0 < len(piece.encode()) <= maximum for piece in found)
    # and every character but white space is there, in order
    assert "".join("".join(found).split()) == "".join(text.split())


def test_a_text_is_cut_between_sentences() -> None:
    # Given sentences that fit two at a time
    text = "The first one. The second one! And a third? Yes."
    # When they are cut, Then each piece ends where a sentence does
    assert pieces(text, 32) == ["The first one. The second one!", "And a third? Yes."]


def test_bytes_are_counted_and_not_characters() -> None:
    # Given letters that take two bytes each
    assert [len(piece.encode()) for piece in pieces("ä" * 10, 8)] == [8, 8, 4]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_nothing_gives_nothing(text: str) -> None:
    assert pieces(text) == []
    assert batches([{"page": 1, "text": text}]) == []


def test_small_paragraphs_of_a_page_go_together_and_pages_stay_apart() -> None:
    # Given short lines on two pages
    lines = [{"page": page, "text": f"Line {number}."} for page in (1, 2) for number in range(3)]
    # When they are packed
    (batch,) = batches(lines)
    # Then each page is one text
    assert [(one["page"], one["text"].count("Line")) for one in batch] == [(1, 3), (2, 3)]


def test_a_batch_holds_what_one_call_and_one_state_take() -> None:
    # Given many paragraphs, some too long for one text
    paragraphs = [
        {"page": number, "text": "A sentence with some words. " * (20 if number % 3 else 300)} for number in range(90)
    ]
    # When they are packed
    found = batches(paragraphs)
    # Then each batch keeps to every limit
    for batch in found:
        assert len(batch) <= MAXIMUM_TEXTS
        assert sum(len(one["text"].encode()) for one in batch) <= MAXIMUM_BATCH_BYTES
        assert all(len(one["text"].encode()) <= MAXIMUM_BYTES for one in batch)
    assert sum(one["text"].count("sentence") for batch in found for one in batch) == sum(
        20 if number % 3 else 300 for number in range(90)
    )
