"""Small documents for tests that look at the flow: quickly read, with fields whose values are known."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

FORM: Mapping[str, str] = {"Patient name": "Mary Johnson", "Policy number": "PX7712208", "City": "Boston"}
# The shared stack asks a person about a form without a policy number.
UNSURE: Mapping[str, str] = {"Patient name": "Mary Johnson", "City": "Boston"}
SENTENCE = "The patient was very happy with Doctor Alice Brown."


def form(fields: Mapping[str, str] = FORM, sentence: str = SENTENCE) -> Image.Image:
    """A page with these fields, one a line, and a sentence below."""
    page = Image.new("RGB", (820, 200 + 60 * len(fields)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(26)
    for number, (name, value) in enumerate(fields.items()):
        draw.text((40, 40 + 60 * number), f"{name}:", fill="black", font=font)
        draw.text((330, 40 + 60 * number), value, fill="black", font=font)
    draw.text((40, 100 + 60 * len(fields)), sentence, fill="black", font=font)
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
    """A TIFF file with a page for each set of fields."""
    out = io.BytesIO()
    first, *others = [form(fields) for fields in pages]
    first.save(out, "TIFF", save_all=True, append_images=others)
    return out.getvalue()
