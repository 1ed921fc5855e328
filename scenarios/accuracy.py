"""Compares what Textract's blocks say with what was drawn.

A field is right if its value is, letter for letter, up to white space. It is found by its key, else by where its value
stands: on a bad scan the key is misread as easily as the value. A field that was not found is wrong, with confidence 0:
who needs it must ask a person, so it counts as sent to review.

`REVIEW_BELOW` is the confidence, in percent, below which a field goes to a person. It is high because few fields of a
clean page are below it, while wrong ones of worn copies lie just under it; what it costs in right fields that are sent
too is measured beside it (`Score`).
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.drawing.documents import Document, Field

REVIEW_BELOW = 90.0

# A key that is this like another (difflib's ratio) is the same, misread.
_SAME_KEY = 0.8

Block = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """A key and its value as found; `confidence` is the lowest of the value's block and words, in percent."""

    page: int
    key: str
    value: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Score:
    """Counts over one document or many. `reviewed_` counts those below the review threshold."""

    right: int = 0
    wrong: int = 0
    reviewed_right: int = 0
    reviewed_wrong: int = 0
    cells_right: int = 0
    cells: int = 0
    words_right: int = 0
    words: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def fields_share(self) -> float:
        """Right fields of all, 0 to 1."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def cells_share(self) -> float:
        """Right table cells of all; 1 where there is no table."""
        return self.cells_right / self.cells if self.cells else 1.0

    @property
    def right_reviewed_share(self) -> float:
        """Right fields that would be sent to review for nothing."""
        return self.reviewed_right / max(self.right, 1)

    @property
    def wrong_reviewed_share(self) -> float:
        """Wrong fields that would be caught; 1 where none is wrong."""
        return self.reviewed_wrong / self.wrong if self.wrong else 1.0


def pairs_of(blocks: Iterable[Block]) -> list[Pair]:
    """The key-value pairs, in the order of the blocks."""
    by_id = {block["Id"]: block for block in blocks}
    found = []
    for block in by_id.values():
        if block["BlockType"] != "KEY_VALUE_SET" or "KEY" not in block["EntityTypes"]:
            continue
        for identifier in _related(block, "VALUE"):
            value = by_id[identifier]
            children = [by_id[child] for child in _related(value, "CHILD")]
            box = value["Geometry"]["BoundingBox"]
            found.append(
                Pair(
                    page=block["Page"],
                    key=_text(block, by_id),
                    value=_text(value, by_id),
                    confidence=min(value["Confidence"], *(child["Confidence"] for child in children), 100.0),
                    box=(box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"]),
                )
            )
    return found


def tables_of(blocks: Iterable[Block]) -> list[tuple[int, dict[tuple[int, int], str]]]:
    """(page, text by row and column, both from 1) of each table."""
    by_id = {block["Id"]: block for block in blocks}
    return [
        (
            block["Page"],
            {
                (cell["RowIndex"], cell["ColumnIndex"]): _text(cell, by_id)
                for cell in (by_id[child] for child in _related(block, "CHILD"))
            },
        )
        for block in by_id.values()
        if block["BlockType"] == "TABLE"
    ]


def score(document: Document, blocks: Sequence[Block], review_below: float = REVIEW_BELOW) -> Score:
    """How right the blocks are about a drawn document."""
    fields = [(field, pair) for field, pair in matched(document.fields, pairs_of(blocks))]
    right = [pair for field, pair in fields if pair and _plain(pair.value) == _plain(field.value)]
    wrong = [pair for field, pair in fields if not (pair and _plain(pair.value) == _plain(field.value))]
    cells_right, cells = _cells(document, blocks)
    words_right, words = _words(document, blocks)
    return Score(
        right=len(right),
        wrong=len(wrong),
        reviewed_right=sum(pair.confidence < review_below for pair in right),
        reviewed_wrong=sum(pair is None or pair.confidence < review_below for pair in wrong),
        cells_right=cells_right,
        cells=cells,
        words_right=words_right,
        words=words,
    )


def matched(fields: Sequence[Field], pairs: Sequence[Pair]) -> list[tuple[Field, Pair | None]]:
    """Each drawn field with the pair that is about it, if there is one. No pair is about two fields."""
    rest = list(pairs)
    found: dict[int, Pair] = {}
    for same in (_same_key, _like_key, _same_place):
        for number, field in enumerate(fields):
            if number in found:
                continue
            candidates = [pair for pair in rest if pair.page == field.page and same(field, pair)]
            if candidates:
                found[number] = min(candidates, key=lambda pair, field=field: _distance(field, pair))  # type: ignore[misc]
                rest.remove(found[number])
    return [(field, found.get(number)) for number, field in enumerate(fields)]


def _same_key(field: Field, pair: Pair) -> bool:
    return _key(pair.key) == _key(field.key)


def _like_key(field: Field, pair: Pair) -> bool:
    return difflib.SequenceMatcher(None, _key(pair.key), _key(field.key)).ratio() >= _SAME_KEY


def _same_place(field: Field, pair: Pair) -> bool:
    """The value begins where it was drawn, within the distance that a tilt of two degrees moves it."""
    return abs(pair.box[0] - field.box[0]) < 0.03 and abs(pair.box[1] - field.box[1]) < 0.02


def _distance(field: Field, pair: Pair) -> float:
    return abs(pair.box[0] - field.box[0]) + abs(pair.box[1] - field.box[1])


def _cells(document: Document, blocks: Sequence[Block]) -> tuple[int, int]:
    found = tables_of(blocks)
    right = total = 0
    for table in document.tables:
        cells = {
            (row, column): text
            for row, texts in enumerate(table.rows, start=1)
            for column, text in enumerate(texts, start=1)
        }
        total += len(cells)
        right += max(
            (
                sum(_plain(read.get(place, "")) == _plain(text) for place, text in cells.items())
                for page, read in found
                if page == table.page
            ),
            default=0,
        )
    return right, total


def _words(document: Document, blocks: Sequence[Block]) -> tuple[int, int]:
    """Words of the paragraphs that were read, in their order."""
    right = total = 0
    for page in {page for page, _ in document.paragraphs}:
        drawn = [word for number, text in document.paragraphs if number == page for word in text.split()]
        read = [
            word
            for block in blocks
            if block["BlockType"] == "LINE" and block["Page"] == page
            for word in block["Text"].split()
        ]
        total += len(drawn)
        right += sum(
            match.size for match in difflib.SequenceMatcher(None, drawn, read, autojunk=False).get_matching_blocks()
        )
    return right, total


def _related(block: Block, kind: str) -> list[str]:
    return [one for relation in block.get("Relationships", ()) if relation["Type"] == kind for one in relation["Ids"]]


def _text(block: Block, by_id: Mapping[str, Block]) -> str:
    children = (by_id[child] for child in _related(block, "CHILD"))
    return " ".join(child.get("Text") or child.get("SelectionStatus", "") for child in children)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _key(text: str) -> str:
    return _plain(text).rstrip(": ").casefold()
