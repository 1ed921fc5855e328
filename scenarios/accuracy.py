"""Compares what a stack read in a document, and what it would ask a person about, with what was drawn.

Both are the stack's own: its fields and tables, and its doubts. So a field counts as sent to review only where the
stack would have sent it, at the threshold and for the fields that it was given.

A field is right if its value is, letter for letter, up to white space. It is found by its key, else by where its value
stands: on a bad scan the key is misread as easily as the value. A field that was not found is wrong. It is sent to
review only where the stack was told that it matters: else nobody misses it.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.drawing.documents import Document, Field

# A key that is this like another (difflib's ratio) is the same, misread.
_SAME_KEY = 0.8

# As the stack keeps them: {"name", "value", "page", "value_box": {"left", "top", ...} or None, ...}. Its number in a
# doubt is its place in the list of fields; a doubt about a field that was not found has the number -1.
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """Counts over one document or many. `reviewed_` counts those that a person would be asked about."""

    right: int = 0
    wrong: int = 0
    reviewed_right: int = 0
    reviewed_wrong: int = 0
    cells_right: int = 0
    cells: int = 0

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


def score(document: Document, reading: Mapping[str, Any], doubts: Sequence[Found]) -> Score:
    """How right a reading is about a drawn document, and what of it a person would be asked about.

    `reading` is {"fields": [...], "tables": [{"page", "rows"}, ...]}.
    """
    numbers = {doubt["number"] for doubt in doubts}
    missed = {plain(doubt["name"]) for doubt in doubts if doubt["number"] < 0}
    found = reading["fields"]
    counts = {"right": 0, "wrong": 0, "reviewed_right": 0, "reviewed_wrong": 0}
    for field, number in matched(document.fields, found):
        right = number is not None and _spaced(found[number]["value"]) == _spaced(field.value)
        what = "right" if right else "wrong"
        counts[what] += 1
        # Where the key was misread the stack misses the field under its name, and asks for it all the same.
        counts[f"reviewed_{what}"] += number in numbers or plain(field.key) in missed
    cells_right, cells = _cells(document, reading["tables"])
    return Score(**counts, cells_right=cells_right, cells=cells)


def plain(text: str) -> str:
    """A field's name as it is compared: its letters and digits, small."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def matched(fields: Sequence[Field], found: Sequence[Found]) -> list[tuple[Field, int | None]]:
    """Each drawn field with the number of the found one that is about it, if there is one. None is about two."""
    rest = list(range(len(found)))
    chosen: dict[int, int] = {}
    for same in (_same_key, _like_key, _same_place):
        for place, field in enumerate(fields):
            if place in chosen:
                continue
            candidates = [n for n in rest if found[n]["page"] == field.page and same(field, found[n])]
            if candidates:
                chosen[place] = min(candidates, key=lambda n, field=field: _distance(field, found[n]))  # type: ignore[misc]
                rest.remove(chosen[place])
    return [(field, chosen.get(place)) for place, field in enumerate(fields)]


def _same_key(field: Field, found: Found) -> bool:
    return _key(found["name"]) == _key(field.key)


def _like_key(field: Field, found: Found) -> bool:
    return difflib.SequenceMatcher(None, _key(found["name"]), _key(field.key)).ratio() >= _SAME_KEY


def _same_place(field: Field, found: Found) -> bool:
    """The value begins where it was drawn, within the distance that a tilt of two degrees moves it."""
    box = found["value_box"]
    return bool(box) and abs(box["left"] - field.box[0]) < 0.03 and abs(box["top"] - field.box[1]) < 0.02


def _distance(field: Field, found: Found) -> float:
    box = found["value_box"]
    return abs(box["left"] - field.box[0]) + abs(box["top"] - field.box[1]) if box else 2.0


def _cells(document: Document, found: Sequence[Found]) -> tuple[int, int]:
    right = total = 0
    for table in document.tables:
        cells = _by_place(table.rows)
        total += len(cells)
        read = [_by_place(one["rows"]) for one in found if one["page"] == table.page]
        right += max(
            (sum(_spaced(one.get(place, "")) == _spaced(text) for place, text in cells.items()) for one in read),
            default=0,
        )
    return right, total


def _by_place(rows: Sequence[Sequence[str]]) -> dict[tuple[int, int], str]:
    return {(row, column): text for row, texts in enumerate(rows) for column, text in enumerate(texts)}


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _key(text: str) -> str:
    return _spaced(text).rstrip(": ").casefold()
