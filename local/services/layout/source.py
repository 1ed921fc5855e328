"""Opens documents: PDF, TIFF, PNG and JPEG, page by page, each page as a picture.

Limits: "Set Quotas in Amazon Textract", Amazon Textract Developer Guide, read 2026-11-25.
"""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageSequence

from local.services.pictures import HugePicture, Picture, UnreadablePicture

Kind = Literal["PDF", "TIFF", "PNG", "JPEG"]

# Pixels a side of a picture, and inches a side of a PDF's page.
MAXIMUM_SIDE = 10_000
MAXIMUM_INCHES = 40
# Enough for print of 6 points; more costs time and reads no better.
RENDERED_DPI = 200

_POINTS_AN_INCH = 72
# PDF allows some bytes before its header: "Implementation notes", PDF Reference 1.7, appendix H.
_PDF_HEADER_WITHIN = 1024

# PDFium is not safe for threads, not even with a document each: "Thread safety", README of pypdfium2.
_pdfium = threading.Lock()


class UnsupportedDocument(Exception):  # noqa: N818 (the document is at fault, not the program)
    """None of the four formats, or one with what Textract does not take: a password, XFA."""


class UnreadableDocument(Exception):  # noqa: N818 (the same)
    """The right format, but broken."""


class OversizedDocument(Exception):  # noqa: N818 (the same)
    """A page is larger than Textract takes."""


@dataclass(frozen=True)
class Document:
    """A document whose header was read. `pages` counts them."""

    data: bytes
    kind: Kind
    pages: int

    @classmethod
    def open(cls, data: bytes) -> "Document":
        """Read the structure only. Raises UnsupportedDocument, UnreadableDocument, OversizedDocument."""
        kind = kind_of(data)
        if kind is None:
            raise UnsupportedDocument("Request has unsupported document format")
        if kind == "PDF":
            return cls(data, kind, _pdf_pages(data))
        if kind == "TIFF":
            return cls(data, kind, _tiff_pages(data))
        picture = _picture(data)
        if max(picture.width, picture.height) > MAXIMUM_SIDE:
            raise OversizedDocument(f"A side has more than {MAXIMUM_SIDE} pixels")
        return cls(data, kind, 1)

    def pictures(self) -> Iterator[Image.Image]:
        """The pages as RGB pictures, one after another. Raises UnreadableDocument, OversizedDocument."""
        if self.kind == "PDF":
            for number in range(self.pages):
                yield _rendered(self.data, number)
        elif self.kind == "TIFF":
            yield from _frames(self.data)
        else:
            try:
                yield _picture(self.data).decode()
            except UnreadablePicture as error:
                raise UnreadableDocument(str(error)) from error


def kind_of(data: bytes) -> Kind | None:
    """The format by its first bytes, whatever the file is called."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    return "PDF" if b"%PDF-" in data[:_PDF_HEADER_WITHIN] else None


def _picture(data: bytes) -> Picture:
    try:
        return Picture.open(data)
    except HugePicture as error:
        raise OversizedDocument(str(error)) from error
    except UnreadablePicture as error:
        raise UnreadableDocument(str(error)) from error


def _pdf_pages(data: bytes) -> int:
    import pypdfium2
    import pypdfium2.raw as pdfium

    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
                raise UnsupportedDocument("Request has a password-protected document") from error
            raise UnreadableDocument(str(error)) from error
        try:
            if document.get_formtype() in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND):
                raise UnsupportedDocument("XFA forms are not supported")
            count = len(document)
        finally:
            document.close()
    if not count:
        raise UnreadableDocument("The document has no page")
    return count


def _rendered(data: bytes, number: int) -> Image.Image:
    import pypdfium2

    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(data)
            try:
                page = document[number]
                if max(page.get_size()) > MAXIMUM_INCHES * _POINTS_AN_INCH:
                    raise OversizedDocument(f"A page is longer than {MAXIMUM_INCHES} inches")
                drawn: Image.Image = page.render(scale=RENDERED_DPI / _POINTS_AN_INCH).to_pil().convert("RGB")
                return drawn
            finally:
                document.close()
        except pypdfium2.PdfiumError as error:
            raise UnreadableDocument(str(error)) from error


def _tiff_pages(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
            if max(image.size) > MAXIMUM_SIDE:
                raise OversizedDocument(f"A side has more than {MAXIMUM_SIDE} pixels")
            return int(getattr(image, "n_frames", 1))
    except Image.DecompressionBombError as error:
        raise OversizedDocument(str(error)) from error
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError) as error:
        raise UnreadableDocument(str(error)) from error


def _frames(data: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
            for frame in ImageSequence.Iterator(image):
                if max(frame.size) > MAXIMUM_SIDE:
                    raise OversizedDocument(f"A side has more than {MAXIMUM_SIDE} pixels")
                yield frame.convert("RGB")
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError) as error:
        raise UnreadableDocument(str(error)) from error
