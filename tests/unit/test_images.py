"""Whatever was uploaded becomes what Rekognition takes, or a reason."""

from __future__ import annotations

import io
import pathlib
import random
import struct
import subprocess
import sys
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lambdas.image_labeling.label_image import images
from lambdas.image_labeling.label_image.errors import RefusedError
from lambdas.image_labeling.label_image.images import prepare
from tests.unit.conftest import picture


def _opened(body: bytes | None) -> Image.Image:
    assert body is not None
    return Image.open(io.BytesIO(body))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _noise(width: int, height: int, kind: str, **options: object) -> bytes:
    made = Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))
    written = io.BytesIO()
    made.save(written, kind, **options)
    return written.getvalue()


def _light_corner(shown: Image.Image) -> tuple[bool, bool]:
    """Whether the light quarter is (on the left, at the top)."""
    grey = shown.convert("L")
    left = [grey.getpixel((grey.width // 4, y)) for y in (grey.height // 4, grey.height * 3 // 4)]
    right = [grey.getpixel((grey.width * 3 // 4, y)) for y in (grey.height // 4, grey.height * 3 // 4)]
    assert max(left + right) > 170  # type: ignore[operator, type-var]
    return max(left) > max(right), max(left[0], right[0]) > max(left[1], right[1])  # type: ignore[operator, type-var]


@pytest.mark.parametrize(
    "data",
    [picture(), picture(mode="L"), picture(kind="PNG"), picture(mode="P", kind="PNG"), picture(progressive=True)],
)
def test_what_rekognition_takes_is_sent_as_it_is(data: bytes) -> None:
    prepared = prepare(data)
    assert prepared.body == data
    assert (prepared.width, prepared.height, prepared.preprocessed) == (640, 480, "none")


@pytest.mark.parametrize(
    ("data", "done"),
    [
        (picture(kind="WEBP"), "WEBP to JPEG"),
        (picture(kind="BMP"), "BMP to JPEG"),
        (picture(kind="TIFF"), "TIFF to JPEG"),
        (picture(kind="TIFF", mode="CMYK"), "TIFF to JPEG, CMYK to RGB"),
        (picture(mode="P", kind="GIF"), "GIF to JPEG"),
        (picture(mode="CMYK"), "CMYK to RGB"),
        (picture(mode="RGBA", kind="PNG"), "PNG to JPEG, laid on white"),
        (picture(mode="LA", kind="PNG"), "PNG to JPEG, laid on white"),
        (picture(mode="RGBA", kind="WEBP"), "WEBP to JPEG"),
    ],
)
def test_what_it_refuses_is_turned_into_a_jpeg_of_the_same_picture(data: bytes, done: str) -> None:
    # Given a picture in a format or with pixels that Rekognition does not take
    # When it is prepared
    prepared = prepare(data)
    # Then it is an 8-bit JPEG file of the same size and the same look
    shown = _opened(prepared.body)
    assert (shown.format, shown.size) == ("JPEG", (640, 480))
    assert shown.mode in ("RGB", "L")
    assert _light_corner(shown) == (True, True)
    # and what was done is said
    assert done in prepared.preprocessed
    assert (prepared.width, prepared.height) == (640, 480)


def test_sixteen_bits_keep_their_look() -> None:
    # Given a picture of 16 bits, light above and dark below, whose figures would all be white in 8 bits
    pixels = struct.pack("<20000H", *[60_000] * 20_000) + struct.pack("<20000H", *[5_000] * 20_000)
    deep = Image.frombytes("I;16", (200, 200), pixels)
    written = io.BytesIO()
    deep.save(written, "PNG")
    # When it is prepared
    prepared = prepare(written.getvalue())
    # Then the shares of white are as they were
    grey = _opened(prepared.body).convert("L")
    assert grey.getpixel((100, 50)) == pytest.approx(60_000 / 257, abs=3)
    assert grey.getpixel((100, 150)) == pytest.approx(5_000 / 257, abs=3)
    assert "8 bits" in prepared.preprocessed


def test_figures_without_a_known_range_are_spread_over_their_own() -> None:
    written = io.BytesIO()
    gradient = Image.linear_gradient("L").convert("F").point(lambda value: value * 1000.0 - 7.0)
    gradient.save(written, "TIFF")
    shown = _opened(prepare(written.getvalue()).body).convert("L")
    darkest, lightest = shown.getextrema()
    assert darkest == pytest.approx(0, abs=4)
    assert lightest == pytest.approx(255, abs=4)


def test_what_shines_through_is_white() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (100, 100), (0, 0, 0, 0)).save(written, "PNG")
    assert _opened(prepare(written.getvalue()).body).convert("L").getextrema() == (255, 255)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_of_an_animation_the_first_frame_is_taken(kind: str, options: dict[str, bool]) -> None:
    # Given a moving picture that is white first and black afterwards
    written = io.BytesIO()
    Image.new("L", (100, 100), 255).convert("RGB").save(
        written, kind, save_all=True, append_images=[Image.new("RGB", (100, 100), 0)], **options
    )
    # When it is prepared
    prepared = prepare(written.getvalue())
    # Then it is white
    assert _opened(prepared.body).convert("L").getextrema() == (255, 255)
    assert "first frame" in prepared.preprocessed


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "JPEG"])
def test_boxes_refer_to_the_upright_picture(kind: str, orientation: int) -> None:
    # Given a picture that a camera held in some way, in a format that is sent as it is or written anew
    data = picture(240, 160, kind=kind, exif=_exif(orientation))
    with Image.open(io.BytesIO(data)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("L")
    # When it is prepared
    prepared = prepare(data)
    # Then width and height are those of the upright picture
    assert (prepared.width, prepared.height) == upright.size
    # and what is sent shows it upright, once its orientation (if it still has one) is applied
    sent = ImageOps.exif_transpose(_opened(prepared.body))
    assert sent.size == upright.size
    assert _light_corner(sent) == _light_corner(upright)


def test_a_png_is_never_turned() -> None:
    # Given PNG files with an orientation, one taken as it is and one written anew: Rekognition ignores it in both
    for mode in ("RGB", "RGBA"):
        prepared = prepare(picture(240, 160, mode, "PNG", exif=_exif(6)))
        # Then neither is turned
        assert (prepared.width, prepared.height) == (240, 160)
        assert _opened(prepared.body).size == (240, 160)


def test_a_jpeg_that_is_too_large_to_send_is_named_instead() -> None:
    # Given a good JPEG file between the limit for bytes and the limit for stored objects
    data = _noise(2200, 1500, "JPEG", quality=95, subsampling=0)
    assert images.MAXIMUM_BYTES_INLINE < len(data) <= images.MAXIMUM_BYTES_BY_REFERENCE
    # When it is prepared, then the stored object is to be used
    prepared = prepare(data)
    assert prepared.body is None
    assert (prepared.width, prepared.height, prepared.preprocessed) == (2200, 1500, "none")


def test_a_file_beyond_both_limits_is_made_smaller() -> None:
    # Given a file above 15 MB whose pixels do not compress
    data = _noise(2600, 2300, "PNG", compress_level=1)
    assert len(data) > images.MAXIMUM_BYTES_BY_REFERENCE
    # When it is prepared
    prepared = prepare(data)
    # Then it may be sent, and the upload's own size is kept
    assert prepared.body is not None
    assert len(prepared.body) <= images.MAXIMUM_BYTES_INLINE
    assert (prepared.width, prepared.height) == (2600, 2300)


@pytest.mark.parametrize(("width", "height"), [(10_001, 400), (400, 10_001), (12_000, 100)])
def test_a_side_beyond_the_limit_is_made_smaller_in_proportion(width: int, height: int) -> None:
    prepared = prepare(picture(width, height))
    shown = _opened(prepared.body)
    assert max(shown.size) <= 10_000
    assert min(shown.size) >= 80
    assert shown.width / shown.height == pytest.approx(width / height, rel=0.02)
    assert (prepared.width, prepared.height) == (width, height)
    assert f"{width}x{height} resized to {shown.width}x{shown.height}" in prepared.preprocessed


@pytest.mark.parametrize(("width", "height"), [(79, 300), (300, 40), (40, 40)])
def test_a_small_picture_is_enlarged_at_most_twice(width: int, height: int) -> None:
    prepared = prepare(picture(width, height))
    shown = _opened(prepared.body)
    assert min(shown.size) == 80
    assert shown.width / shown.height == pytest.approx(width / height, rel=0.02)
    assert (prepared.width, prepared.height) == (width, height)


def test_sides_on_the_limits_are_taken() -> None:
    for width, height in ((80, 80), (10_000, 80)):
        assert prepare(picture(width, height)).preprocessed == "none"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EmptyObject"),
        (b"plain text, no picture", "UnsupportedFormat"),
        (b"%PDF-1.7 something", "UnsupportedFormat"),
        (b"\xff\xd8\xff", "CorruptImage"),
        (picture(kind="WEBP")[:-40], "CorruptImage"),
        (picture(kind="BMP")[:-4000], "CorruptImage"),
        (picture(mode="RGBA", kind="PNG")[:-60], "CorruptImage"),
        (picture(39, 39), "TooFewPixels"),
        (picture(20_000, 90), "TooElongated"),
        (_png_that_claims(20_000, 20_000), "TooManyPixels"),
        (_png_that_claims(8_000, 8_000), "TooManyPixels"),
        (b"\xff\xd8\xff" + bytes(images.MAXIMUM_BYTES), "TooManyBytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_never_be_labeled_has_a_reason(data: bytes, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        prepare(data)
    assert refused.value.code == code
    assert refused.value.message


def test_padding_is_not_searched_through() -> None:
    # Given a JPEG file that never comes to its picture
    data = b"\xff\xd8" + b"\xff" * 45_000_000
    began = time.process_time()
    # When it is prepared
    with pytest.raises(RefusedError) as refused:
        prepare(data)
    # Then it is refused at once
    assert refused.value.code == "CorruptImage"
    assert time.process_time() - began < 2


_PEAK = """
import pathlib, re, resource, sys
from lambdas.image_labeling.label_image.images import prepare
prepare(pathlib.Path(sys.argv[1]).read_bytes())
status = pathlib.Path("/proc/self/status")
# Linux hands a parent's peak on through getrusage, so its own account is read there; macOS counts in bytes.
print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) // 1024 if status.exists()
      else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20)
"""


def test_a_huge_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path: pathlib.Path) -> None:
    # Given a panorama that takes 190 MB when it is decoded in full
    panorama = tmp_path / "panorama.jpg"
    Image.new("RGB", (12_000, 4_000), "navy").save(panorama)
    # When another process prepares it
    done = subprocess.run([sys.executable, "-c", _PEAK, str(panorama)], capture_output=True, text=True, check=True)
    # Then that process never held it in full (in MB, the interpreter included)
    assert 20 < int(done.stdout) < 190


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_does_more_than_refuse(data: st.DataObject) -> None:
    # Given a file of any format with bytes changed or cut off anywhere
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]))
    damaged = bytearray(picture(100, 90, "CMYK" if kind == "JPEG" else "RGB", kind))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(len(damaged) // 2, len(damaged))) :]
    # When it is prepared
    try:
        prepared = prepare(bytes(damaged))
    except RefusedError:
        return
    # Then it is refused, or within the limits: nothing else happens
    assert prepared.body is None or len(prepared.body) <= images.MAXIMUM_BYTES_INLINE
    assert min(prepared.width, prepared.height) >= 40
