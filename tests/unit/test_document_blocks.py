"""What is read from Textract's blocks: fields with how sure they are, tables, paragraphs, and what is doubtful."""

from __future__ import annotations

from typing import Any

from lambdas.document_processing.read_document.blocks import Document, doubtful


def box(left: float, top: float, width: float = 0.1, height: float = 0.02) -> dict[str, Any]:
    return {"BoundingBox": {"Left": left, "Top": top, "Width": width, "Height": height}}


def word(name: str, text: str, confidence: float) -> dict[str, Any]:
    return {"Id": name, "BlockType": "WORD", "Text": text, "Confidence": confidence, "Page": 1, "Geometry": box(0, 0)}


def related(kind: str, *ids: str) -> dict[str, Any]:
    return {"Type": kind, "Ids": list(ids)}


def pair(name: str, key: str, value: str, *, top: float, page: int = 1, confidence: float = 99.0) -> list[Any]:
    """The blocks of a key and a value of one word each."""
    place = {"Page": page, "Confidence": 95.0}
    return [
        {**word(f"{name}-kw", key, 60.0), "Page": page},
        {**word(f"{name}-vw", value, confidence), "Page": page},
        {
            "Id": f"{name}-k",
            "BlockType": "KEY_VALUE_SET",
            "EntityTypes": ["KEY"],
            "Geometry": box(0.1, top),
            "Relationships": [related("VALUE", f"{name}-v"), related("CHILD", f"{name}-kw")],
            **place,
        },
        {
            "Id": f"{name}-v",
            "BlockType": "KEY_VALUE_SET",
            "EntityTypes": ["VALUE"],
            "Geometry": box(0.4, top),
            "Relationships": [related("CHILD", f"{name}-vw")],
            **place,
        },
    ]


def test_a_field_is_as_sure_as_its_values_worst_word() -> None:
    # Given pairs whose words are surer or less sure than the pair, and a key that was hard to read
    blocks = [*pair("b", "City:", "Boston", top=0.5), *pair("a", "Name:", "M4ry", top=0.2, confidence=71.237)]
    # When the fields are read
    fields = Document(blocks).fields()
    # Then they are in the order of the page, without colons, each with its least confidence and its place
    assert [(one["name"], one["value"], one["confidence"]) for one in fields] == [
        ("Name", "M4ry", 71.24),
        ("City", "Boston", 95.0),
    ]
    assert fields[0]["value_box"] == {"left": 0.4, "top": 0.2, "width": 0.1, "height": 0.02}


def test_a_box_that_is_ticked_is_a_selection() -> None:
    # Given a check box beside its key
    blocks = pair("a", "Smoker:", "x", top=0.2)
    blocks[1] = {"Id": "a-vw", "BlockType": "SELECTION_ELEMENT", "SelectionStatus": "SELECTED", "Confidence": 88.0}
    # When the fields are read, Then it is a selection, and as sure as its box
    (field,) = Document(blocks).fields()
    assert (field["value"], field["kind"], field["confidence"]) == ("SELECTED", "selection", 88.0)


def test_a_key_without_a_value_is_a_doubtful_field() -> None:
    # Given a key whose value block is missing
    blocks = pair("a", "Name:", "x", top=0.2)[:3]
    blocks[2]["Relationships"] = blocks[2]["Relationships"][1:]
    # When the fields are read, Then it is there, empty, and not sure at all
    (field,) = Document(blocks).fields()
    assert (field["value"], field["confidence"], field["value_box"]) == ("", 0.0, None)


def test_a_table_is_rows_of_cells() -> None:
    # Given a table of two rows, of which a cell is empty
    cells = [(1, 1, "Item"), (1, 2, "Price"), (2, 1, "Tea")]
    blocks: list[Any] = [word(f"w{row}{column}", text, 99) for row, column, text in cells]
    blocks += [
        {
            "Id": f"c{row}{column}",
            "BlockType": "CELL",
            "RowIndex": row,
            "ColumnIndex": column,
            "Confidence": 90 + row,
            "Relationships": [related("CHILD", f"w{row}{column}")],
        }
        for row, column, _ in cells
    ]
    blocks.append(
        {
            "Id": "t",
            "BlockType": "TABLE",
            "Page": 2,
            "Confidence": 98,
            "Relationships": [related("CHILD", *(f"c{row}{column}" for row, column, _ in cells))],
        }
    )
    # When it is read, Then it has its shape, and is as sure as its worst cell
    assert Document(blocks).tables() == [{"page": 2, "confidence": 91.0, "rows": [["Item", "Price"], ["Tea", ""]]}]


def test_lines_that_follow_each_other_closely_are_one_paragraph() -> None:
    # Given two lines close together, one further down, and one on the next page
    lines = [("a", "One", 0.1, 1), ("b", "two.", 0.125, 1), ("c", "Three.", 0.3, 1), ("d", "Four.", 0.1, 2)]
    blocks = [
        {"Id": name, "BlockType": "LINE", "Text": text, "Page": page, "Geometry": box(0.1, top)}
        for name, text, top, page in lines
    ]
    # When the paragraphs are read, Then the first two are one
    assert [(one["page"], one["text"]) for one in Document(blocks).paragraphs()] == [
        (1, "One two."),
        (1, "Three."),
        (2, "Four."),
    ]


FIELDS = [
    {
        "name": "Name",
        "value": "Mary",
        "kind": "text",
        "confidence": 80.0,
        "page": 1,
        "name_box": None,
        "value_box": None,
    },
    {
        "name": "City",
        "value": "Rome",
        "kind": "text",
        "confidence": 95.0,
        "page": 1,
        "name_box": None,
        "value_box": None,
    },
]


def test_without_names_every_field_matters() -> None:
    lowest, doubts = doubtful(FIELDS, [], 90)
    assert (lowest, [(one["name"], one["number"]) for one in doubts]) == (80.0, [("Name", 0)])


def test_only_fields_that_matter_decide() -> None:
    assert doubtful(FIELDS, ["CITY:"], 90) == (95.0, [])


def test_a_field_that_matters_and_was_not_found_is_doubtful() -> None:
    lowest, doubts = doubtful(FIELDS, ["City", "Policy"], 90)
    assert lowest == 0.0
    assert [(one["name"], one["number"]) for one in doubts] == [("Policy", -1)]


def test_a_document_without_fields_is_sure() -> None:
    assert doubtful([], [], 90) == (100.0, [])
