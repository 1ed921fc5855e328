"""Turns what Rekognition refuses into what it takes, within a bound of memory.

Limits of DetectLabels, from "Guidelines and quotas in Amazon Rekognition" (Amazon Rekognition Developer Guide, read
2026-11-23): PNG and JPEG only; 5 MB as bytes, 15 MB as an S3 object; at least 80 and at most 10,000 pixels a side.
The API model says what 5 MB means: at most 5,242,880 bytes (shape ImageBlob).
"""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

from lambdas.image_labeling.label_image.errors import RefusedError
from lambdas.image_labeling.label_image.headers import Header, claims_header, read_header

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MAXIMUM_BYTES_INLINE = 5 * 1024 * 1024
# "15 MB" may mean either; the smaller reading holds for both.
MAXIMUM_BYTES_BY_REFERENCE = 15_000_000
MINIMUM_SIDE = 80
MAXIMUM_SIDE = 10_000

# Our own bounds: what is larger is refused before a pixel is decoded. The library keeps four bytes a pixel, and a
# conversion holds two pictures. Measured at 50 million pixels: 550 MB, WebP 790 MB, of the function's 1,024 MB.
MAXIMUM_BYTES = 50 * 1024 * 1024
MAXIMUM_PIXELS = 50_000_000
# Enlarging makes up pixels: at most as many again on each side as there are.
MAXIMUM_ENLARGEMENT = 2

# A picture that is written anew has this many pixels on its longer side at most: an object of 5 % of it still has 200.
REWRITTEN_SIDE = 4_096
JPEG_QUALITY = 90

# Exif orientation (2 to 8): the library's number of the turn that undoes it (`PIL.Image.Transpose`).
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}

# Decoders are code that strangers feed: only these. (JPEG brings MPO, JPEG files with further pictures behind.)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A picture that DetectLabels takes.

    `body` is the file, or None when the stored object is to be named instead: right as it is, but too large to send.
    `width` and `height` are those of the upload in pixels, upright. `preprocessed` says what was done, or "none".
    """

    body: bytes | None
    width: int
    height: int
    preprocessed: str


def prepare(data: bytes) -> Prepared:
    """Makes an uploaded file fit for DetectLabels. Raises RefusedError when that cannot be."""
    if not data:
        raise RefusedError("EmptyObject", "The object has no bytes.")
    check_size(len(data))
    header = read_header(data)
    if header and _taken_as_it_is(header, len(data)):
        width, height = header.upright
        return Prepared(data if len(data) <= MAXIMUM_BYTES_INLINE else None, width, height, "none")
    if not header and claims_header(data):
        # Not left to the library: through 50 MB of padding it searches for a quarter of a minute.
        raise RefusedError("CorruptImage", "The file begins as a JPEG or PNG file does, but has no whole header.")
    return _rewrite(data)


def check_size(size: int) -> None:
    """Refuses a file of too many bytes, before it is read."""
    if size > MAXIMUM_BYTES:
        raise RefusedError("TooManyBytes", f"The file has {size:,} bytes; {MAXIMUM_BYTES:,} are taken.")


def _taken_as_it_is(header: Header, size: int) -> bool:
    sides = (header.width, header.height)
    fits = min(sides) >= MINIMUM_SIDE and max(sides) <= MAXIMUM_SIDE
    return header.plain and fits and size <= MAXIMUM_BYTES_BY_REFERENCE


def _rewrite(data: bytes) -> Prepared:
    """Decodes a file and writes it as a JPEG file within all limits."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return _rewrite_opened(opened)
    except (RefusedError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise RefusedError("UnsupportedFormat", f"The file is none of {', '.join(FORMATS)}.") from None
    except Image.DecompressionBombError:
        raise RefusedError("TooManyPixels", f"The picture has more than {MAXIMUM_PIXELS:,} pixels.") from None
    except Exception as error:  # A damaged file makes a decoder raise anything; each means the same.
        raise RefusedError("CorruptImage", f"The picture cannot be decoded ({type(error).__name__}).") from error


def _rewrite_opened(opened: ImageFile.ImageFile) -> Prepared:
    from PIL import Image

    stored = opened.size
    target = _target(*stored)
    done = [] if opened.format in ("JPEG", "MPO") else [f"{opened.format} to JPEG"]
    if getattr(opened, "is_animated", False) and opened.format != "MPO":
        done.append("first frame only")
    # Lets the JPEG decoder skip detail that is not kept: a fraction of the memory and of the time.
    opened.draft(None, target)
    opened.load()
    # Asked after loading: the TIFF decoder turns the picture itself. PNG files are never turned, as Rekognition does.
    orientation = 1 if opened.format == "PNG" else opened.getexif().get(0x0112, 1)
    picture, conversion = _plain(opened)
    if conversion:
        done.append(conversion)
    if picture.size != target:
        picture = picture.resize(target, reducing_gap=2.0)
    width, height = stored
    if 2 <= orientation <= 8:
        done.append("turned upright")
        picture = picture.transpose(Image.Transpose(_TURNS[orientation]))
        width, height = (height, width) if orientation >= 5 else stored
    body, size = _encoded(picture)
    if size != (width, height):
        done.append(f"{width}x{height} resized to {size[0]}x{size[1]}")
    return Prepared(body, width, height, ", ".join(done) or "written anew")


def _target(width: int, height: int) -> tuple[int, int]:
    """The size to write, in the same proportions. Raises RefusedError before a pixel is decoded."""
    if width * height > MAXIMUM_PIXELS:
        raise RefusedError("TooManyPixels", f"The picture has {width}x{height} pixels; {MAXIMUM_PIXELS:,} are taken.")
    longer, shorter = max(width, height), min(width, height)
    scale = max(min(1, REWRITTEN_SIDE / longer), MINIMUM_SIDE / shorter)
    if scale > MAXIMUM_ENLARGEMENT:
        raise RefusedError(
            "TooFewPixels", f"The picture has {width}x{height} pixels; {MINIMUM_SIDE} a side are needed."
        )
    if longer * scale > MAXIMUM_SIDE:
        raise RefusedError("TooElongated", f"No size of a {width}x{height} picture is within Rekognition's limits.")
    return max(MINIMUM_SIDE, round(width * scale)), max(MINIMUM_SIDE, round(height * scale))


def _plain(opened: Image.Image) -> tuple[Image.Image, str]:
    """The picture in 8-bit grey or true colour without transparency, and what was done for it."""
    from PIL import Image

    if opened.mode in ("L", "RGB") and "transparency" not in opened.info:
        return opened, ""
    if opened.mode.startswith(("I", "F")):
        deep = opened.convert("F")
        # 16 bits have a known range. Of wider figures only the picture itself tells it.
        lowest, highest = (0.0, 65_535.0) if opened.mode.startswith("I;16") else _range(deep)
        scale = 255 / ((highest - lowest) or 1)
        return deep.point(lambda value: value * scale - lowest * scale).convert("L"), "deep grey to 8 bits"
    if opened.has_transparency_data:
        clear = opened if opened.mode == "RGBA" else opened.convert("RGBA")
        flat = Image.new("RGB", clear.size, "white")
        flat.paste(clear, mask=clear.getchannel("A"))
        return flat, "laid on white"
    return opened.convert("RGB"), f"{opened.mode} to RGB"


def _range(deep: Image.Image) -> tuple[float, float]:
    lowest, highest = deep.getextrema()
    return float(lowest), float(highest)  # type: ignore[arg-type]  # (one band: no pairs)


def _encoded(picture: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """The picture as a JPEG file that may be sent, made smaller until it may, and its size in pixels."""
    while True:
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=JPEG_QUALITY)
        if written.tell() <= MAXIMUM_BYTES_INLINE:
            return written.getvalue(), picture.size
        picture = picture.resize(
            (max(MINIMUM_SIDE, picture.width * 7 // 10), max(MINIMUM_SIDE, picture.height * 7 // 10))
        )
