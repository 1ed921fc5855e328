"""Small documents for tests that look at the flow: quickly read, with fields whose values are known."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping, Sequence

import reportlab
from PIL import Image, ImageDraw, ImageFont

FORM: Mapping[str, str] = {"Patient": "Mary Lee", "Policy": "PX7712208", "City": "Boston"}
# The shared stack asks a person about a form without a policy number.
UNSURE: Mapping[str, str] = {"Patient": "Mary Lee", "City": "Boston"}
FONT = pathlib.Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"
SENTENCE = "The patient was very happy with Doctor Alice Brown."


# A page as people have them: on a strip of paper a letter's strokes would be as long as a form's rules.
WIDTH, HEIGHT = 1000, 1300
MARGIN, VALUE_LEFT, TOP, STEP = 80, 400, 120, 80


def form(fields: Mapping[str, str] = FORM, sentence: str = SENTENCE) -> Image.Image:
    """A page with these fields, one a line, and a sentence below."""
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.truetype(str(FONT), 26)
    for number, (name, value) in enumerate(fields.items()):
        draw.text((MARGIN, TOP + STEP * number), f"{name}:", fill="black", font=font)
        draw.text((VALUE_LEFT, TOP + STEP * number), value, fill="black", font=font)
    draw.text((MARGIN, TOP + STEP * len(fields) + STEP // 2), sentence, fill="black", font=font)
    return page


def png(fields: Mapping[str, str] = FORM, sentence: str = SENTENCE) -> bytes:
    """One page as an image."""
    out = io.BytesIO()
    form(fields, sentence).save(out, "PNG")
    return out.getvalue()


def pdf(pages: Sequence[Mapping[str, str]] = (FORM,)) -> bytes:
    """A PDF file with a page for each set of fields."""
    out = io.BytesIO()
    first, *others = [form(fields) for fields in pages]
    first.save(out, "PDF", resolution=100, save_all=True, append_images=others)
    return out.getvalue()


def tiff(pages: Sequence[Mapping[str, str]]) -> bytes:
    """A TIFF file with a page for each set of fields, compressed as scanners do."""
    out = io.BytesIO()
    first, *others = [form(fields) for fields in pages]
    first.save(out, "TIFF", save_all=True, append_images=others, compression="tiff_lzw")
    return out.getvalue()
