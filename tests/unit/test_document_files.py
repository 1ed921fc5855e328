"""The look at a file: kind, pages, and what Textract would refuse."""

from __future__ import annotations

import contextlib
import io
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from lambdas.document_processing.look.files import RefusedError, look


def picture(kind: str, pages: int = 1, size: tuple[int, int] = (60, 40)) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.new("RGB", size, "white") for _ in range(pages)]
    more = {"save_all": True, "append_images": others} if kind == "TIFF" else {}
    first.save(out, kind, **more)
    return out.getvalue()


def pdf(pages: int = 1, size: tuple[float, float] = (612, 792), password: str | None = None) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=size, encrypt=password)
    for number in range(pages):
        canvas.drawString(72, 72, f"Page {number}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "kind", "pages", "at_once"),
    [
        (picture("PNG"), "png", 1, True),
        (picture("JPEG"), "jpeg", 1, True),
        (picture("TIFF"), "tiff", 1, True),
        (picture("TIFF", 3), "tiff", 3, False),
        (pdf(), "pdf", 1, False),
        (pdf(5), "pdf", 5, False),
    ],
)
def test_a_document_is_known_by_what_it_holds(data: bytes, kind: str, pages: int, at_once: bool) -> None:
    found = look(data, 10)
    assert (found.kind, found.pages, found.at_once, found.size) == (kind, pages, at_once, len(data))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EmptyFile"),
        (b"GIF89a", "UnsupportedFormat"),
        (b"%PDF-1.4 and nothing", "CorruptFile"),
        (picture("PNG")[:20], "CorruptFile"),
        (picture("JPEG")[:20], "CorruptFile"),
        (picture("TIFF")[:10], "CorruptFile"),
        (b"II*\0" + struct.pack("<I", 0), "CorruptFile"),
        (pdf(11), "TooManyPages"),
        (picture("TIFF", 11), "TooManyPages"),
        (pdf(size=(3000, 100)), "PageTooLarge"),
        (picture("PNG", size=(10_001, 1)), "ImageTooLarge"),
        (pdf(password="secret"), "PasswordProtected"),
        (picture("PNG") + bytes(10_000_001), "FileTooLarge"),
    ],
)
def test_what_can_never_be_read_is_refused_with_its_reason(data: bytes, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        look(data, 10)
    assert refused.value.code == code
    assert refused.value.message


def test_a_tiff_that_names_itself_as_its_next_page_is_refused() -> None:
    # Given a directory without entries whose successor is itself
    data = b"II*\0" + struct.pack("<IHI", 8, 2, 0)
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2)
    data += struct.pack("<HHII", 256, 4, 1, 10) + struct.pack("<HHII", 257, 4, 1, 10) + struct.pack("<I", 8)
    # When it is looked at, Then it ends
    with pytest.raises(RefusedError, match="circle"):
        look(data, 10)


@given(st.integers(0, 2**32), st.sampled_from(["PNG", "JPEG", "TIFF"]))
def test_a_broken_file_is_read_or_refused_and_nothing_else(seed: int, kind: str) -> None:
    # Given a file of which some bytes were changed and the end cut off
    chance = random.Random(seed)
    data = bytearray(picture(kind))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    del data[chance.randrange(1, len(data)) :]
    # When it is looked at, Then there is an answer
    with contextlib.suppress(RefusedError):
        assert look(bytes(data), 10).pages >= 1
