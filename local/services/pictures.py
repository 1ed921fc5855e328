"""Decodes pictures, safely and no larger than asked for."""

import io
import struct
from dataclasses import dataclass

from PIL import Image

_FORMATS = ("JPEG", "PNG")

# The EXIF tag and, per value, the turn that sets the picture upright: "Orientation", CIPA DC-008 (Exif 2.32).
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow raises for damaged files, by experience with altered ones; an unknown format is an OSError too.
_DAMAGE = (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, EOFError, struct.error)


class UnreadablePicture(Exception):  # noqa: N818 (the picture is at fault, not the program)
    """The bytes are not a whole JPEG or PNG picture."""


class HugePicture(Exception):  # noqa: N818 (the same)
    """The header promises more pixels than any service takes (over 178 million): decoding was not even tried."""


@dataclass(frozen=True)
class Picture:
    """A picture whose header was read. `width` and `height` are in pixels, as stored (before EXIF turns it)."""

    data: bytes
    width: int
    height: int

    @classmethod
    def open(cls, data: bytes) -> "Picture":
        """Read the header only, so that what is too large is never decoded. Raises UnreadablePicture, HugePicture."""
        with _opened(data) as image:
            return cls(data, *image.size)

    def decode(self, shorter_side: int | None = None) -> Image.Image:
        """The pixels, RGB and upright.

        With `shorter_side` (pixels) a JPEG is decoded at a half, a quarter or an eighth of its size, as long as its
        shorter side keeps that many: 12 ms instead of 72 for 4000x2667. Only a JPEG's EXIF orientation counts, and what
        is transparent becomes white. Raises UnreadablePicture.
        """
        with _opened(self.data) as image:
            if shorter_side is not None:
                image.draft("RGB", (shorter_side, shorter_side))
            turn = _upright_turn(image) if image.format != "PNG" else None
            try:
                pixels = _to_rgb(image)
            except _DAMAGE as error:
                raise UnreadablePicture(str(error)) from error
        return pixels if turn is None else pixels.transpose(turn)


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise HugePicture(str(error)) from error
    except _DAMAGE as error:
        raise UnreadablePicture(str(error)) from error


def _upright_turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DAMAGE:
        # A picture with damaged notes about it is still a picture.
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        import numpy as np

        # Pillow clips 16-bit greys at 255, which turns nearly everything white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
