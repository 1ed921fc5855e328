"""What Textract's blocks say: fields, tables, and text by paragraphs.

Block types and their relationships: Amazon Textract Developer Guide, "Form Data (Key-Value Pairs)", "Tables", "Lines
and Words of Text", read 2026-11-25. Geometry is in shares of the page, from its upper left corner. Confidence is
percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]

# Lines belong to one paragraph while the gap between them is smaller than this share of their height.
PARAGRAPH_GAP = 0.8


class Document:
    """The blocks of a whole document, by id."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = {block["Id"]: block for block in blocks}

    @property
    def pages(self) -> int:
        """How many pages were read."""
        return sum(1 for _ in self._of_type("PAGE"))

    def fields(self) -> list[dict[str, Any]]:
        """The key-value pairs, in reading order.

        {"name", "value", "kind": "text" | "selection", "confidence", "page", "name_box", "value_box"}; a box is
        {"left", "top", "width", "height"} or None. The confidence is the least of the value's own and of each word
        in it, for a value is as right as its worst word. How sure the key is says nothing of that.
        """
        found = [
            self._field(block)
            for block in self._of_type("KEY_VALUE_SET")
            if "KEY" in block.get("EntityTypes", ()) and self._text(block)[0]
        ]
        return sorted(found, key=_place)

    def tables(self) -> list[dict[str, Any]]:
        """{"page", "confidence", "rows": [[text, ...], ...]}; a merged cell's text stands in its first cell."""
        return [self._table(block) for block in self._of_type("TABLE")]

    def paragraphs(self) -> list[dict[str, Any]]:
        """{"page", "text"}: lines that follow each other closely, joined."""
        found: list[dict[str, Any]] = []
        before: Block | None = None
        # Textract lists lines in reading order.
        for line in self._of_type("LINE"):
            if before is not None and _goes_on(before, line):
                found[-1]["text"] += " " + line["Text"]
            else:
                found.append({"page": line.get("Page", 1), "text": line["Text"]})
            before = line
        return found

    def _of_type(self, kind: str) -> Iterator[Block]:
        return (block for block in self._blocks.values() if block["BlockType"] == kind)

    def _related(self, block: Block, kind: str) -> list[Block]:
        ids = [i for relation in block.get("Relationships", ()) if relation["Type"] == kind for i in relation["Ids"]]
        return [self._blocks[i] for i in ids if i in self._blocks]

    def _text(self, block: Block) -> tuple[str, str, list[float]]:
        """The text of a block's children, whether it is words or a selection, and the confidences of the children."""
        words, kind, confidences = [], "text", []
        for child in self._related(block, "CHILD"):
            if child["BlockType"] == "WORD":
                words.append(child["Text"])
            elif child["BlockType"] == "SELECTION_ELEMENT":
                words.append(child["SelectionStatus"])
                kind = "selection"
            else:
                continue
            confidences.append(float(child.get("Confidence", 0)))
        return " ".join(words), kind, confidences

    def _field(self, key: Block) -> dict[str, Any]:
        name, _, _ = self._text(key)
        values = self._related(key, "VALUE")
        parts = [self._text(value) for value in values]
        # A key without a value block has none that could be sure.
        confidences = [float(block.get("Confidence", 0)) for block in values] or [0.0]
        return {
            "name": name.strip().rstrip(":").strip(),
            "value": " ".join(text for text, _, _ in parts if text),
            "kind": "selection" if any(kind == "selection" for _, kind, _ in parts) else "text",
            "confidence": round(min([*confidences, *(one for _, _, each in parts for one in each)]), 2),
            "page": key.get("Page", 1),
            "name_box": _box(key),
            "value_box": _box(values[0]) if values else None,
        }

    def _table(self, table: Block) -> dict[str, Any]:
        cells = [cell for cell in self._related(table, "CHILD") if cell["BlockType"] == "CELL"]
        rows = [
            [""] * max((cell["ColumnIndex"] for cell in cells), default=0)
            for _ in range(max((cell["RowIndex"] for cell in cells), default=0))
        ]
        for cell in cells:
            rows[cell["RowIndex"] - 1][cell["ColumnIndex"] - 1] = self._text(cell)[0]
        confidences = [float(block.get("Confidence", 0)) for block in (table, *cells)]
        return {"page": table.get("Page", 1), "confidence": round(min(confidences), 2), "rows": rows}


def simple(name: str) -> str:
    """A field's name as it is compared: its letters and digits, small. Spaces between words are easily misread."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def doubtful(
    fields: Sequence[Mapping[str, Any]], that_matter: Sequence[str], threshold: float
) -> tuple[float, list[dict[str, Any]]]:
    """The lowest confidence of the fields that matter, and those below the threshold, each with its number.

    `that_matter` holds names; none means all. One that is not in the document at all is doubtful with confidence 0 and
    has the number -1, for it may have been missed. Without any field that matters the confidence is 100.
    """
    wanted = {simple(name): name for name in that_matter}
    numbered = [{**field, "number": number} for number, field in enumerate(fields)]
    chosen = [field for field in numbered if not wanted or simple(field["name"]) in wanted]
    there = {simple(field["name"]) for field in chosen}
    chosen += [
        {
            "name": name,
            "value": "",
            "kind": "text",
            "confidence": 0.0,
            "page": 1,
            "name_box": None,
            "value_box": None,
            "number": -1,
        }
        for plain, name in wanted.items()
        if plain not in there
    ]
    lowest = min((field["confidence"] for field in chosen), default=100.0)
    return lowest, [field for field in chosen if field["confidence"] < threshold]


def _box(block: Block) -> dict[str, float] | None:
    box = block.get("Geometry", {}).get("BoundingBox")
    if not box:
        return None
    return {name.lower(): round(float(box[name]), 5) for name in ("Left", "Top", "Width", "Height")}


def _place(field: Mapping[str, Any]) -> tuple[int, float, float]:
    box = field["name_box"] or field["value_box"] or {"top": 1.0, "left": 1.0}
    # Names on one line differ by some thousandths of a page in height.
    return field["page"], round(box["top"], 2), box["left"]


def _goes_on(before: Block, line: Block) -> bool:
    if before.get("Page", 1) != line.get("Page", 1):
        return False
    above, below = before["Geometry"]["BoundingBox"], line["Geometry"]["BoundingBox"]
    gap = below["Top"] - (above["Top"] + above["Height"])
    return bool(gap < PARAGRAPH_GAP * max(above["Height"], below["Height"]))
