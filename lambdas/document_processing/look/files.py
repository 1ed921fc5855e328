"""What kind of document a file is, how many pages it has, and whether Textract takes it.

Limits: Amazon Textract Developer Guide, "Set Quotas in Amazon Textract", read 2026-11-25. JPEG, PNG, PDF and TIFF. For
synchronous calls 10 MB, PDF and TIFF of one page; for jobs 500 MB and 3,000 pages, JPEG and PNG 10 MB. No side of an
image longer than 10,000 pixels. PDFs without a password, no side longer than 40 inches. Whether a megabyte is a million
bytes there or 2**20 the page does not say; the smaller is taken.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import Literal

MAXIMUM_BYTES_AT_ONCE = 10_000_000
MAXIMUM_BYTES = 500_000_000
MAXIMUM_SIDE_PIXELS = 10_000
MAXIMUM_SIDE_POINTS = 40 * 72

Kind = Literal["pdf", "tiff", "png", "jpeg"]

PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


class RefusedError(Exception):
    """The document can never be read: a result to record. `code` is for programs, `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look at a file tells."""

    kind: Kind
    pages: int
    size: int

    @property
    def at_once(self) -> bool:
        """Whether one synchronous call reads it: an image of one page."""
        return self.kind != "pdf" and self.pages == 1 and self.size <= MAXIMUM_BYTES_AT_ONCE


def look(data: bytes, maximum_pages: int) -> Look:
    """Raises RefusedError for what Textract would refuse, or would have too many pages."""
    if not data:
        raise RefusedError("EmptyFile", "The file is empty.")
    kind = _kind(data)
    if kind in ("png", "jpeg") and len(data) > MAXIMUM_BYTES_AT_ONCE:
        raise RefusedError("FileTooLarge", f"A JPEG or PNG file may have {MAXIMUM_BYTES_AT_ONCE:,} bytes.")
    pages = {"pdf": _pdf_pages, "tiff": _tiff_pages, "png": _png_pages, "jpeg": _jpeg_pages}[kind](data)
    if pages > maximum_pages:
        raise RefusedError("TooManyPages", f"The document has {pages} pages, {maximum_pages} are taken.")
    return Look(kind, pages, len(data))


def _kind(data: bytes) -> Kind:
    if data.startswith(PNG):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    # A PDF may have something in front of it (Adobe's readers search the first 1,024 bytes).
    if b"%PDF-" in data[:1024]:
        return "pdf"
    raise RefusedError("UnsupportedFormat", "The file is none of PDF, TIFF, PNG and JPEG.")


def _check_sides(width: int, height: int) -> None:
    if not (0 < width <= MAXIMUM_SIDE_PIXELS and 0 < height <= MAXIMUM_SIDE_PIXELS):
        raise RefusedError(
            "ImageTooLarge", f"The image has {width} x {height} pixels, {MAXIMUM_SIDE_PIXELS:,} a side are taken."
        )


def _png_pages(data: bytes) -> int:
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise RefusedError("CorruptFile", "The PNG file has no header.")
    _check_sides(*struct.unpack(">II", data[16:24]))
    return 1


def _jpeg_pages(data: bytes) -> int:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        elif marker in _START_OF_FRAME and place + 9 <= len(data):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            _check_sides(width, height)
            return 1
        else:
            place += 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
    raise RefusedError("CorruptFile", "The JPEG file ends before its image begins.")


def _tiff_pages(data: bytes) -> int:
    """Walks the chain of image directories (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        while place:
            if place in seen:
                raise RefusedError("CorruptFile", "The pages of the TIFF file form a circle.")
            seen.add(place)
            (entries,) = struct.unpack_from(f"{order}H", data, place)
            sides = {}
            for entry in range(entries):
                tag, kind = struct.unpack_from(f"{order}HH", data, place + 2 + 12 * entry)
                if tag in (256, 257):
                    form = f"{order}H" if kind == 3 else f"{order}I"
                    (sides[tag],) = struct.unpack_from(form, data, place + 2 + 12 * entry + 8)
            _check_sides(sides.get(256, 0), sides.get(257, 0))
            (place,) = struct.unpack_from(f"{order}I", data, place + 2 + 12 * entries)
    except struct.error:
        raise RefusedError("CorruptFile", "The TIFF file ends within its directory.") from None
    if not seen:
        raise RefusedError("CorruptFile", "The TIFF file has no page.")
    return len(seen)


def _pdf_pages(data: bytes) -> int:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(io.BytesIO(data))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise RefusedError("PasswordProtected", "The PDF file wants a password.") from None
        raise RefusedError("CorruptFile", "The PDF file cannot be opened.") from None
    try:
        pages = len(document)
        if not pages:
            raise RefusedError("CorruptFile", "The PDF file has no page.")
        for number in range(pages):
            try:
                sides = document.get_page_size(number)
            except pypdfium2.PdfiumError:
                raise RefusedError("CorruptFile", f"Page {number + 1} of the PDF file cannot be read.") from None
            if max(sides) > MAXIMUM_SIDE_POINTS:
                raise RefusedError("PageTooLarge", f"Page {number + 1} has a side of more than 40 inches.")
        return pages
    finally:
        document.close()
