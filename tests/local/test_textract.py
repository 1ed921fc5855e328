"""Textract's synchronous operations: blocks, honesty, limits and errors."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas

from lambdas.document_processing.read_document.blocks import Document
from local.services.textract import MODEL_VERSION, Textract
from local.services.wire import ObjectUnavailable
from scenarios.drawing import DEVELOPMENT, invoice, registration
from scenarios.drawing.sheet import Sheet, as_pdf, as_picture, as_tiff
from tests.local.standin import FakeCaller, client_of

FORM = registration(DEVELOPMENT[0], 5)
BILL = invoice(DEVELOPMENT[0], 5)


def textract(caller: FakeCaller | None = None) -> Any:
    return client_of(Textract(), caller or FakeCaller())[0]


@pytest.fixture(scope="module")
def form_blocks() -> list[dict[str, Any]]:
    answer = textract().analyze_document(Document={"Bytes": FORM.pdf()}, FeatureTypes=["FORMS", "TABLES"])
    assert answer["AnalyzeDocumentModelVersion"] == MODEL_VERSION
    assert answer["DocumentMetadata"] == {"Pages": 1}
    blocks: list[dict[str, Any]] = answer["Blocks"]
    return blocks


@pytest.fixture(scope="module")
def bill_blocks() -> list[dict[str, Any]]:
    page = as_picture(BILL.pictures()[0], "PNG")
    blocks: list[dict[str, Any]] = textract().analyze_document(Document={"Bytes": page}, FeatureTypes=["TABLES"])[
        "Blocks"
    ]
    return blocks


def of_type(blocks: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [block for block in blocks if block["BlockType"] == kind]


def test_every_block_has_a_place_a_page_and_an_id_of_its_own(form_blocks: list[dict[str, Any]]) -> None:
    # Given the blocks of a form
    by_id = {block["Id"]: block for block in form_blocks}
    # Then ids are unique, everything lies on the page, and every relationship leads somewhere
    assert len(by_id) == len(form_blocks)
    for block in form_blocks:
        box = block["Geometry"]["BoundingBox"]
        assert block["Page"] == 1
        assert 0 <= box["Left"] <= box["Left"] + box["Width"] <= 1.0001
        assert 0 <= box["Top"] <= box["Top"] + box["Height"] <= 1.0001
        assert len(block["Geometry"]["Polygon"]) == 4
        assert block["BlockType"] == "PAGE" or 0 <= block["Confidence"] <= 100
        for relation in block.get("Relationships", ()):
            assert relation["Ids"]
            assert set(relation["Ids"]) <= by_id.keys()


def test_the_page_holds_its_lines_and_they_their_words(form_blocks: list[dict[str, Any]]) -> None:
    # Given the blocks of a form
    by_id = {block["Id"]: block for block in form_blocks}
    (page,) = of_type(form_blocks, "PAGE")
    lines = of_type(form_blocks, "LINE")
    # Then the page comes first and holds every line, and a line's text is that of its words
    assert form_blocks[0] is page
    assert {line["Id"] for line in lines} <= set(page["Relationships"][0]["Ids"])
    for line in lines:
        words = [by_id[one] for one in line["Relationships"][0]["Ids"]]
        assert [word["BlockType"] for word in words] == ["WORD"] * len(words)
        assert " ".join(word["Text"] for word in words) == line["Text"]
        assert {word["TextType"] for word in words} == {"PRINTED"}


def test_lines_are_in_reading_order(form_blocks: list[dict[str, Any]]) -> None:
    # Given a form whose title stands first and whose options stand last
    texts = [line["Text"] for line in of_type(form_blocks, "LINE")]
    # Then its lines come as they are read
    assert texts[0] == "Event Registration"
    labels = [
        "Full name:",
        "Date of birth:",
        "Phone:",
        "Email:",
        "Address:",
        "City and state:",
        "Options",
        "Vegetarian",
    ]
    assert [next(n for n, text in enumerate(texts) if text.startswith(label)) for label in labels] == list(range(1, 9))


def test_fields_and_check_boxes_are_read(form_blocks: list[dict[str, Any]]) -> None:
    # Given the blocks of a form and what was drawn
    found = {field["name"]: field for field in Document(form_blocks).fields()}
    # Then each field has its value, where it was drawn; check boxes say what is ticked
    for field in FORM.fields:
        assert found[field.key]["value"] == field.value
        assert found[field.key]["value_box"]["left"] == pytest.approx(field.box[0], abs=0.02)
        assert found[field.key]["value_box"]["top"] == pytest.approx(field.box[1], abs=0.02)
    assert {field.value for field in FORM.fields} >= {"SELECTED", "NOT_SELECTED"}


def test_a_table_has_its_cells_and_its_header(bill_blocks: list[dict[str, Any]]) -> None:
    # Given the blocks of an invoice
    (read,) = Document(bill_blocks).tables()
    # Then every cell says what was drawn, and the first row heads the columns
    assert read["page"] == 1
    assert read["rows"] == [list(row) for row in BILL.tables[0].rows]
    (table,) = of_type(bill_blocks, "TABLE")
    assert table["EntityTypes"] == ["STRUCTURED_TABLE"]
    for cell in of_type(bill_blocks, "CELL"):
        assert (cell.get("EntityTypes") == ["COLUMN_HEADER"]) == (cell["RowIndex"] == 1)
        assert (cell["RowSpan"], cell["ColumnSpan"]) == (1, 1)
    # And fields, which were not asked for, are not there
    assert not of_type(bill_blocks, "KEY_VALUE_SET")


def test_a_cell_over_two_columns_is_merged() -> None:
    # Given a table whose first row is one cell
    sheet = Sheet()
    for y in (100, 125, 150):
        sheet.line(60, y, 360, y)
    for x, top in ((60, 100), (210, 125), (360, 100)):
        sheet.line(x, top, x, 150)
    for x, y, text in ((70, 117, "Both columns"), (70, 142, "left"), (220, 142, "right")):
        sheet.text(x, y, text, "vera", 11)
    # When it is analysed
    blocks = textract().analyze_document(Document={"Bytes": as_pdf([sheet])}, FeatureTypes=["TABLES"])["Blocks"]
    # Then there are four plain cells, and a merged one of the upper two
    (merged,) = of_type(blocks, "MERGED_CELL")
    cells = {block["Id"]: (block["RowIndex"], block["ColumnIndex"]) for block in of_type(blocks, "CELL")}
    assert (merged["RowIndex"], merged["ColumnIndex"], merged["RowSpan"], merged["ColumnSpan"]) == (1, 1, 1, 2)
    assert [cells[one] for one in merged["Relationships"][0]["Ids"]] == [(1, 1), (1, 2)]
    assert sorted(cells.values()) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_text_detection_has_text_only() -> None:
    # Given a form
    # When only its text is detected
    answer = textract().detect_document_text(Document={"Bytes": as_tiff([FORM.pictures()[0]], 200)})
    # Then there is nothing but the page, lines and words
    assert {block["BlockType"] for block in answer["Blocks"]} == {"PAGE", "LINE", "WORD"}
    assert answer["DetectDocumentTextModelVersion"] == MODEL_VERSION


def test_other_pixels_give_other_answers() -> None:
    # Given a page that says one thing, the page that says another, and a blank one
    def read(text: str) -> list[str]:
        sheet = Sheet((300, 150))
        sheet.text(20, 60, text, "vera", 16)
        data = as_picture(sheet.pixels(150), "JPEG")
        blocks = textract().detect_document_text(Document={"Bytes": data})["Blocks"]
        return [line["Text"] for line in of_type(blocks, "LINE")]

    # When they are read, Then each says what is on it, and the blank one nothing
    assert read("Room 42 is free") == ["Room 42 is free"]
    assert read("Gate 17 is shut") == ["Gate 17 is shut"]
    assert read("") == []


def encrypted() -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream, encrypt=pdfencrypt.StandardEncryption("secret"))
    canvas.drawString(72, 720, "Hidden")
    canvas.save()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"just a text", "UnsupportedDocumentException"),
        (b"GIF89a" + bytes(100), "UnsupportedDocumentException"),
        (as_pdf([Sheet(), Sheet()]), "UnsupportedDocumentException"),
        (encrypted(), "UnsupportedDocumentException"),
        (b"%PDF-1.7\nno more than this", "BadDocumentException"),
        (as_picture(Image.new("RGB", (200, 200)), "PNG")[:60], "BadDocumentException"),
        (as_picture(Image.new("L", (10_001, 20)), "PNG"), "DocumentTooLargeException"),
        (as_pdf([Sheet((41 * 72, 100))]), "DocumentTooLargeException"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(data: bytes, code: str) -> None:
    # Given something that is no document of one page
    # When it is analysed, Then the service's own error says why
    with pytest.raises(ClientError) as raised:
        textract().analyze_document(Document={"Bytes": data}, FeatureTypes=["FORMS"])
    assert raised.value.response["Error"]["Code"] == code


def test_an_object_above_ten_megabytes_is_too_large() -> None:
    # Given an object of more than 10 MB
    caller = FakeCaller({("bucket-a", "large.pdf", None): b"%PDF-1.7" + bytes(10 * 1024 * 1024)})
    # When it is analysed at once, Then it is too large
    with pytest.raises(ClientError) as raised:
        textract(caller).detect_document_text(Document={"S3Object": {"Bucket": "bucket-a", "Name": "large.pdf"}})
    assert raised.value.response["Error"]["Code"] == "DocumentTooLargeException"


@pytest.mark.parametrize("problem", ["NoSuchKey", "AccessDenied"])
def test_an_object_that_the_caller_cannot_read_is_invalid(problem: str) -> None:
    # Given an object that is not there, or not for this caller
    caller = FakeCaller({("bucket-a", "form.pdf", None): ObjectUnavailable(problem, "no")})
    # When it is analysed, Then the answer is the same
    with pytest.raises(ClientError) as raised:
        textract(caller).detect_document_text(Document={"S3Object": {"Bucket": "bucket-a", "Name": "form.pdf"}})
    assert raised.value.response["Error"]["Code"] == "InvalidS3ObjectException"


@pytest.mark.parametrize(
    "more",
    [
        {"FeatureTypes": ["FORMS", "SIGNATURES"]},
        {"FeatureTypes": ["LAYOUT"]},
        {"FeatureTypes": ["QUERIES"], "QueriesConfig": {"Queries": [{"Text": "Who?"}]}},
        {"FeatureTypes": ["FORMS"], "HumanLoopConfig": {"HumanLoopName": "a", "FlowDefinitionArn": "b"}},
    ],
)
def test_what_is_not_served_says_so(more: dict[str, Any]) -> None:
    # Given a request for what the local cloud has no model for
    # When it is sent, Then the error says what is missing
    with pytest.raises(ClientError, match="does not serve") as raised:
        textract().analyze_document(Document={"Bytes": b"x"}, **more)
    assert raised.value.response["Error"]["Code"] == "NotImplemented"
