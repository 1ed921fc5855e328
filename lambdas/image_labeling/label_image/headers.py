"""Reads what a JPEG or PNG file says of itself, without decoding a pixel.

Most uploads are pictures that Rekognition takes as they are. For them these few bytes suffice, and the imaging library
(slow to import, hundreds of megabytes to decode a large picture) stays out of the way. Whatever is not plain here goes
to the library.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112

# Segments or chunks before the picture: previews, colour profiles, notes. Of at most 64 KB each, some need a hundred.
# What has more is made to cost time.
_STEPS = 10_000

# Start-of-frame markers: all of C0 to CF but the tables (C4), the extension (C8) and the conditioning (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Of these the ones that every decoder knows: baseline, extended and progressive, with Huffman coding.
_COMMON_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# Markers without a length: TEM, the restart markers, and a stray start of image.
_BARE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})


@dataclasses.dataclass(frozen=True)
class Header:
    """Size in pixels as stored. `orientation` is Exif's, 1 to 8; `plain` if pixels need no conversion."""

    kind: Literal["JPEG", "PNG"]
    width: int
    height: int
    orientation: int
    plain: bool

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as seen, once the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def claims_header(data: bytes) -> bool:
    """Whether a file begins as a JPEG or PNG file does."""
    return data.startswith((_PNG, _JPEG))


def read_header(data: bytes) -> Header | None:
    """The header of a JPEG or PNG file, or None: for everything else, and for one that is damaged."""
    try:
        if data.startswith(_PNG):
            return _read_png(data)
        if data.startswith(_JPEG):
            return _read_jpeg(data)
    except IndexError:
        return None
    return None


def _read_png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = _big(data, 16, 4), _big(data, 20, 4)
    depth, colour = data[24], data[25]
    # 8 bits or fewer; grey, true colour or palette; no alpha, no transparent colour, one picture.
    plain = depth <= 8 and colour in (0, 2, 3)
    at = 8
    for _ in range(_STEPS):
        chunk = data[at + 4 : at + 8]
        if chunk == b"IDAT":
            break
        plain = plain and chunk not in (b"tRNS", b"acTL")
        at += 12 + _big(data, at, 4)
    else:
        return None
    # Rekognition ignores Exif in PNG files ("Images in .png format don't contain Exif metadata", API reference of
    # DetectLabels, read 2026-11-23), so boxes refer to the picture as stored.
    return Header("PNG", width, height, 1, plain) if width and height else None


def _read_jpeg(data: bytes) -> Header | None:
    orientation = 1
    at = 2
    for _ in range(_STEPS):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        length = _big(data, at + 2, 2)
        if length < 2:
            return None
        if marker in _FRAMES:
            precision, components = data[at + 4], data[at + 9]
            height, width = _big(data, at + 5, 2), _big(data, at + 7, 2)
            plain = marker in _COMMON_FRAMES and precision == 8 and components in (1, 3)
            return Header("JPEG", width, height, orientation, plain) if width and height else None
        if marker in (0xD9, 0xDA):
            return None
        if marker == 0xE1 and data[at + 4 : at + 10] == _EXIF:
            orientation = _orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    return None


def _orientation(tiff: bytes) -> int:
    """The orientation in a TIFF structure, 1 if it has none or is damaged."""
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    start = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[start : start + 2], order)):
        at = start + 2 + 12 * entry
        if at + 12 > len(tiff):
            return 1
        if int.from_bytes(tiff[at : at + 2], order) == _ORIENTATION:
            value = int.from_bytes(tiff[at + 8 : at + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _big(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], "big")
