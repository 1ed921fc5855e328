"""Turns what was found on a page into Textract's blocks.

What each block holds: "Text Detection and Document Analysis Response Objects", Amazon Textract Developer Guide, read
2026-11-25, and the documentation of `Block` in botocore's service model.
"""

import hashlib
import threading
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import cachetools
from PIL import Image

from local.services.layout.reading import Line, Word, read
from local.services.layout.scan import Box, Scan, around, prepare
from local.services.layout.structure import Field, Mark, Table, find_boxes, find_fields, find_marks, table_of
from local.services.models.text import TextModel

Block = dict[str, Any]

# Pages whose blocks are kept: a document that is started again is not read again. Some 100 kB each.
PAGES_KEPT = 64


class _Page:
    """Makes the blocks of one page. Each word and mark has one block, whatever refers to it."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._ids: dict[int, str] = {}

    def id_of(self, thing: object) -> str:
        return self._ids.setdefault(id(thing), str(uuid.uuid4()))

    def block(self, kind: str, box: Box, confidence: float | None = None, **more: Any) -> Block:
        block: Block = {"BlockType": kind, "Id": str(uuid.uuid4())}
        if confidence is not None:
            block["Confidence"] = min(max(confidence, 0.0), 100.0)
        return block | {"Geometry": self._geometry(box)} | more

    def _geometry(self, box: Box) -> dict[str, Any]:
        corners = self._scan.fractions(box)
        left, top = min(x for x, _ in corners), min(y for _, y in corners)
        right, bottom = max(x for x, _ in corners), max(y for _, y in corners)
        return {
            "BoundingBox": {"Left": left, "Top": top, "Width": right - left, "Height": bottom - top},
            "Polygon": [{"X": x, "Y": y} for x, y in corners],
        }

    def word(self, word: Word) -> Block:
        return self.block("WORD", word.box, word.confidence, Id=self.id_of(word), Text=word.text, TextType="PRINTED")

    def line(self, line: Line) -> Block:
        return self.block("LINE", line.box, line.confidence, Text=line.text) | self.children(line.words)

    def mark(self, mark: Mark) -> Block:
        status = "SELECTED" if mark.selected else "NOT_SELECTED"
        return self.block("SELECTION_ELEMENT", mark.box, mark.confidence, Id=self.id_of(mark), SelectionStatus=status)

    def children(self, things: Sequence[object]) -> Block:
        return related(("CHILD", [self.id_of(thing) for thing in things]))

    def table(self, table: Table) -> list[Block]:
        cells: list[Block] = []
        merged: list[Block] = []
        for cell in table.cells:
            kinds = {"EntityTypes": ["COLUMN_HEADER"]} if cell.header else {}
            parts = self._cells(table, cell, kinds)
            cells += parts
            if cell.rows * cell.columns > 1:
                place = {
                    "RowIndex": cell.row,
                    "ColumnIndex": cell.column,
                    "RowSpan": cell.rows,
                    "ColumnSpan": cell.columns,
                }
                merged.append(
                    self.block("MERGED_CELL", cell.box, cell.confidence, **place, **kinds)
                    | related(("CHILD", [part["Id"] for part in parts]))
                )
        cells.sort(key=lambda cell: (cell["RowIndex"], cell["ColumnIndex"]))
        kind = "STRUCTURED_TABLE" if any(cell.header for cell in table.cells) else "SEMI_STRUCTURED_TABLE"
        whole = self.block("TABLE", table.box, table.confidence, EntityTypes=[kind]) | related(
            ("CHILD", [cell["Id"] for cell in cells]), ("MERGED_CELL", [cell["Id"] for cell in merged])
        )
        return [whole, *cells, *merged]

    def _cells(self, table: Table, cell: Any, kinds: Block) -> list[Block]:
        """A merged cell consists of plain ones, its words in the first."""
        parts = []
        for down in range(cell.rows):
            for right in range(cell.columns):
                box = Box(
                    cell.box.left + cell.box.width * right / cell.columns,
                    cell.box.top + cell.box.height * down / cell.rows,
                    cell.box.left + cell.box.width * (right + 1) / cell.columns,
                    cell.box.top + cell.box.height * (down + 1) / cell.rows,
                )
                place = {"RowIndex": cell.row + down, "ColumnIndex": cell.column + right, "RowSpan": 1, "ColumnSpan": 1}
                inside = [*cell.words, *cell.marks] if not (down or right) else []
                parts.append(self.block("CELL", box, cell.confidence, **place, **kinds) | self.children(inside))
        return parts

    def field(self, found: Field) -> list[Block]:
        box = around([word.box for word in found.value]) if found.value else found.box
        value = self.block("KEY_VALUE_SET", box, found.confidence, EntityTypes=["VALUE"]) | self.children(
            [found.mark] if found.mark else found.value
        )
        key = self.block(
            "KEY_VALUE_SET",
            around([word.box for word in found.key]),
            min(word.confidence for word in found.key),
            EntityTypes=["KEY"],
        ) | related(("VALUE", [value["Id"]]), ("CHILD", [self.id_of(word) for word in found.key]))
        return [key, value]


def related(*relationships: tuple[str, Sequence[str]]) -> Block:
    """The member `Relationships`, without those that have nothing; no member if there are none."""
    found = [{"Type": kind, "Ids": list(ids)} for kind, ids in relationships if ids]
    return {"Relationships": found} if found else {}


def page_blocks(picture: Image.Image, number: int, features: Collection[str], model: TextModel) -> list[Block]:
    """The blocks of one page (counted from 1): the page, its lines, its words, then what `features` ask for.

    `features` holds FORMS, TABLES, both or none (text only). All blocks of a kind are in reading order. A page that was
    read before, to the pixel, is not read again; its blocks get identifiers of their own.
    """
    blocks = _page_blocks(picture, frozenset(features), model)
    fresh = {block["Id"]: str(uuid.uuid4()) for block in blocks}
    return [
        {**block, "Id": fresh[block["Id"]], "Page": number}
        | related(*((one["Type"], [fresh[child] for child in one["Ids"]]) for one in block.get("Relationships", ())))
        for block in blocks
    ]


def _what_is_seen(picture: Image.Image, features: frozenset[str], model: TextModel) -> tuple[object, ...]:
    return picture.mode, picture.size, hashlib.sha256(picture.tobytes()).digest(), features, id(model)


@cachetools.cached(cachetools.LRUCache(PAGES_KEPT), key=_what_is_seen, lock=threading.Lock())
def _page_blocks(picture: Image.Image, features: frozenset[str], model: TextModel) -> tuple[Block, ...]:
    scan = prepare(picture)
    marks = find_marks(scan)
    lines = read(scan, model, [mark.box for mark in marks])
    page = _Page(scan)
    line_blocks = [page.line(line) for line in lines]
    word_blocks = [page.word(word) for line in lines for word in line.words]
    words = [word for line in lines for word in line.words]
    grids, boxes = find_boxes(scan) if features else ([], [])
    tables = [table_of(grid, words, marks, scan) for grid in grids]
    found: list[list[Block]] = []
    if "FORMS" in features:
        found += [page.field(one) for one in find_fields(lines, marks, tables, boxes, scan)]
    if "TABLES" in features:
        found += [page.table(table) for table in sorted(tables, key=lambda table: (table.box.top, table.box.left))]
    # A block that nothing refers to would be found by nobody, so marks come along only with what they belong to.
    shown = {identifier for group in found for block in group for identifier in _child_ids(block)}
    mark_blocks = [page.mark(mark) for mark in marks if page.id_of(mark) in shown]
    height, width = scan.grey.shape
    whole = page.block("PAGE", Box(0, 0, width, height)) | related(
        ("CHILD", [block["Id"] for block in line_blocks] + [one["Id"] for group in found for one in _top(group)])
    )
    # The page is the page as it came, whatever was turned to read it.
    whole["Geometry"] = {
        "BoundingBox": {"Left": 0.0, "Top": 0.0, "Width": 1.0, "Height": 1.0},
        "Polygon": [{"X": float(x), "Y": float(y)} for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))],
    }
    return (whole, *line_blocks, *word_blocks, *(block for group in found for block in group), *mark_blocks)


def _top(group: Sequence[Block]) -> list[Block]:
    return [block for block in group if block["BlockType"] in ("TABLE", "KEY_VALUE_SET")]


def _child_ids(block: Block) -> list[str]:
    return [
        identifier
        for relationship in block.get("Relationships", ())
        if relationship["Type"] == "CHILD"
        for identifier in relationship["Ids"]
    ]
