"""A page as a list of strokes and words, drawn as a PDF's vectors or as pixels.

Positions are in points (1/72 inch) from the top left; `y` of a text is its base line.
"""

import functools
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

LETTER = (612.0, 792.0)
A4 = (595.0, 842.0)

Weight = Literal["regular", "bold"]

# Package, folder, regular, bold. Licences are in NOTICE.
_FONTS = {
    "vera": ("reportlab", "fonts", "Vera.ttf", "VeraBd.ttf"),
    "roboto": ("font_roboto", "files", "Roboto-Regular.ttf", "Roboto-Bold.ttf"),
    "source-sans": ("font_source_sans_pro", "files", "SourceSansPro-Regular.ttf", "SourceSansPro-Bold.ttf"),
    "source-serif": ("font_source_serif_pro", "files", "SourceSerifPro-Regular.ttf", "SourceSerifPro-Bold.ttf"),
    "caladea": ("font_caladea", "files", "Caladea-Regular.ttf", "Caladea-Bold.ttf"),
}


@functools.cache
def _path(font: str, weight: Weight) -> str:
    package, folder, regular, bold = _FONTS[font]
    return str(importlib.resources.files(package) / folder / (regular if weight == "regular" else bold))


@functools.cache
def _vector_font(font: str, weight: Weight) -> str:
    name = f"{font}-{weight}"
    pdfmetrics.registerFont(TTFont(name, _path(font, weight)))
    return name


@functools.lru_cache(maxsize=64)
def _pixel_font(font: str, weight: Weight, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(font, weight), size)


def width_of(text: str, font: str, size: float, weight: Weight = "regular") -> float:
    """Points from the start of a text to its end."""
    return float(pdfmetrics.stringWidth(text, _vector_font(font, weight), size))


@dataclass(frozen=True)
class _Text:
    x: float
    y: float
    text: str
    font: str
    size: float
    weight: Weight


@dataclass(frozen=True)
class _Line:
    x0: float
    y0: float
    x1: float
    y1: float
    width: float


@dataclass(frozen=True)
class _Shape:
    """A rectangle or ellipse; `fill` is a grey from 0 (black) to 1, or None."""

    round: bool
    x0: float
    y0: float
    x1: float
    y1: float
    width: float
    fill: float | None


@dataclass
class Sheet:
    """One page."""

    size: tuple[float, float] = LETTER
    strokes: list[_Text | _Line | _Shape] = field(default_factory=list)

    def text(  # noqa: PLR0917 (as one writes: where, what, how)
        self, x: float, y: float, text: str, font: str, size: float, weight: Weight = "regular"
    ) -> float:
        """Write; returns where the text ends."""
        self.strokes.append(_Text(x, y, text, font, size, weight))
        return x + width_of(text, font, size, weight)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float = 0.8) -> None:
        """Draw a straight line."""
        self.strokes.append(_Line(x0, y0, x1, y1, width))

    def shape(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        *,
        round: bool = False,  # noqa: A002 (what it is)
        width: float = 0.8,
        fill: float | None = None,
    ) -> None:
        """Draw a rectangle, or an ellipse if `round`."""
        self.strokes.append(_Shape(round, x0, y0, x1, y1, width, fill))

    def pixels(self, dpi: int) -> Image.Image:
        """The page as an RGB picture, its edges smoothed as a scanner does."""
        # Pillow smooths letters, not lines: lines are drawn at twice the size.
        scale = 2 * dpi / 72
        large = Image.new("L", (round(self.size[0] * scale), round(self.size[1] * scale)), 255)
        draw = ImageDraw.Draw(large)
        for stroke in self.strokes:
            if isinstance(stroke, _Text):
                face = _pixel_font(stroke.font, stroke.weight, stroke.size * scale)
                draw.text((stroke.x * scale, stroke.y * scale), stroke.text, font=face, fill=0, anchor="ls")
            elif isinstance(stroke, _Line):
                ends = [value * scale for value in (stroke.x0, stroke.y0, stroke.x1, stroke.y1)]
                draw.line(ends, fill=0, width=max(round(stroke.width * scale), 1))
            else:
                corners = [value * scale for value in (stroke.x0, stroke.y0, stroke.x1, stroke.y1)]
                fill = None if stroke.fill is None else round(stroke.fill * 255)
                width = round(stroke.width * scale)
                figure = draw.ellipse if stroke.round else draw.rectangle
                figure(corners, fill=fill, outline=0 if width else None, width=max(width, 1))
        size = (round(self.size[0] * dpi / 72), round(self.size[1] * dpi / 72))
        return large.resize(size, Image.Resampling.LANCZOS).convert("RGB")


def as_pdf(sheets: Sequence[Sheet]) -> bytes:
    """A PDF of vectors and text."""
    stream = io.BytesIO()
    canvas = Canvas(stream, invariant=1)
    for sheet in sheets:
        height = sheet.size[1]
        canvas.setPageSize(sheet.size)
        for stroke in sheet.strokes:
            if isinstance(stroke, _Text):
                canvas.setFillGray(0)
                canvas.setFont(_vector_font(stroke.font, stroke.weight), stroke.size)
                canvas.drawString(stroke.x, height - stroke.y, stroke.text)
            elif isinstance(stroke, _Line):
                canvas.setLineWidth(stroke.width)
                canvas.line(stroke.x0, height - stroke.y0, stroke.x1, height - stroke.y1)
            else:
                canvas.setLineWidth(stroke.width)
                canvas.setFillGray(stroke.fill or 0)
                figure = canvas.ellipse if stroke.round else _rectangle(canvas)
                corners = (stroke.x0, height - stroke.y1, stroke.x1, height - stroke.y0)
                figure(*corners, stroke=int(stroke.width > 0), fill=int(stroke.fill is not None))
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def _rectangle(canvas: Canvas):  # type: ignore[no-untyped-def]  # (reportlab has no types)
    return lambda x0, y0, x1, y1, **options: canvas.rect(x0, y0, x1 - x0, y1 - y0, **options)


def as_tiff(pages: Sequence[Image.Image], dpi: int) -> bytes:
    """A TIFF of one page or several."""
    stream = io.BytesIO()
    grey = [page.convert("L") for page in pages]
    grey[0].save(stream, "TIFF", save_all=True, append_images=grey[1:], compression="tiff_lzw", dpi=(dpi, dpi))
    return stream.getvalue()


def as_picture(page: Image.Image, kind: Literal["PNG", "JPEG"]) -> bytes:
    """One page as PNG or JPEG."""
    stream = io.BytesIO()
    page.save(stream, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return stream.getvalue()
