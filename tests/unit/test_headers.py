"""What a file says of itself, held against what the imaging library says."""

from __future__ import annotations

import io
import time
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lambdas.image_labeling.label_image.headers import read_header
from tests.unit.conftest import picture

sides = st.integers(1, 300)


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description before the orientation"
    exif[0x0112] = orientation
    return exif.tobytes()


@given(sides, sides, st.sampled_from(["RGB", "L"]), st.integers(1, 8), st.booleans())
def test_the_size_of_a_jpeg_is_as_the_library_says(
    width: int, height: int, mode: str, turn: int, progressive: bool
) -> None:
    # Given a JPEG file with an orientation
    data = picture(width, height, mode, exif=_exif(turn), progressive=progressive)
    # When its header is read
    header = read_header(data)
    # Then size and upright size are those of the library
    assert header is not None
    assert header.plain
    with Image.open(io.BytesIO(data)) as opened:
        assert (header.width, header.height) == opened.size
        assert header.upright == ImageOps.exif_transpose(opened).size


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_orientation_is_read_in_either_byte_order(order: Literal["little", "big"]) -> None:
    # Given the same orientation written by cameras of both kinds
    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)

    mark = b"II" if order == "little" else b"MM"
    tiff = mark + number(42, 2) + number(8, 4) + number(1, 2)
    tiff += number(0x0112, 2) + number(3, 2) + number(1, 4) + number(6, 2) + number(0, 2) + number(0, 4)
    # When the header is read
    header = read_header(picture(30, 20, exif=b"Exif\0\0" + tiff))
    # Then the picture stands upright
    assert header is not None
    assert header.upright == (20, 30)


@given(sides, sides, st.sampled_from(["RGB", "L", "P", "1"]))
def test_the_size_of_a_png_is_as_the_library_says(width: int, height: int, mode: str) -> None:
    header = read_header(picture(width, height, mode, "PNG"))
    assert header is not None
    assert (header.kind, header.upright, header.plain) == ("PNG", (width, height), True)


@pytest.mark.parametrize(
    "data",
    [
        picture(mode="CMYK"),
        picture().replace(b"\xff\xc0", b"\xff\xc9", 1),
        picture(mode="RGBA", kind="PNG"),
        picture(mode="LA", kind="PNG"),
        picture(mode="I;16", kind="PNG"),
        picture(mode="P", kind="PNG", transparency=0),
        picture(kind="PNG", save_all=True, append_images=[Image.new("RGB", (640, 480))]),
    ],
    ids=["CMYK", "arithmetic coding", "RGBA", "LA", "16 bits", "transparent colour", "animated"],
)
def test_what_needs_a_conversion_is_not_plain(data: bytes) -> None:
    header = read_header(data)
    assert header is not None
    assert not header.plain


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_have_no_header_here(kind: str) -> None:
    assert read_header(picture(kind=kind)) is None


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17)])
def test_a_search_ends_soon(start: bytes) -> None:
    # Given a file of nothing but padding, as large as files may be
    began = time.process_time()
    # When it is read, then it takes no time to speak of
    assert read_header(start + b"\xff" * 50_000_000) is None
    assert read_header(start + b"\0" * 50_000_000) is None
    assert time.process_time() - began < 2


@given(st.data())
def test_no_damage_makes_it_fail(data: st.DataObject) -> None:
    # Given a good file, cut off or with bytes changed anywhere in its first part
    whole = data.draw(st.sampled_from([picture(90, 80, exif=_exif(6)), picture(90, 80, "P", "PNG")]))
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at in data.draw(st.lists(st.integers(0, max(0, min(len(damaged), 200) - 1)), max_size=5)) if damaged else []:
        damaged[at] = data.draw(st.integers(0, 255))
    # When it is read, then there is a header with sides or none, and no error
    header = read_header(bytes(damaged))
    assert header is None or (header.width > 0 and header.height > 0)
