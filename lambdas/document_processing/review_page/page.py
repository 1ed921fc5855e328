"""The pages as HTML. No framework, no inline handlers, nothing from elsewhere: the security policy forbids it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lambdas.document_processing.review_page.script import SCRIPT
from lambdas.document_processing.review_page.style import STYLE

# Room around a value, in shares of the page: a box that is flush with the ink hides it.
_MARGIN = 0.004


def review_page(link: str, nonce: str, doubts: Sequence[Mapping[str, Any]], images: Sequence[Mapping[str, Any]]) -> str:
    """The form of an open review. `doubts` as in `read_document.blocks.doubtful`, `images` as `render_pages` gives."""
    fields = list(enumerate(doubts))
    sizes = {image["page"]: (image["width"], image["height"]) for image in images}
    sheets = "".join(_sheet(link, image, fields, len(images)) for image in images)
    many = f"{len(doubts)} fields" if len(doubts) != 1 else "one field"
    return _document(
        "Review a document",
        nonce,
        f"""<header>
<h1>Please check {many}</h1>
<p>The machine was not sure of what is marked on the page. Correct what is wrong, leave what is right, then approve.</p>
</header>
<main>
<section aria-label="The document">{sheets}</section>
<form method="post" autocomplete="off" aria-label="Doubtful fields">
<h2>What was read</h2>
{"".join(_input(index, field, _crop(link, field, sizes)) for index, field in fields)}
<div class="field plain-field"><label for="reason">Remark</label>
<span class="hint" id="hint-reason">Why you reject the document; optional.</span>
<textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="hint-reason"></textarea></div>
<div class="actions">
<button class="approve" type="submit" name="decision" value="approve">Approve</button>
<button class="reject" type="submit" name="decision" value="reject">Reject the document</button>
</div>
<p class="keys"><kbd>Tab</kbd> or <kbd>Enter</kbd>: next field. <kbd>Ctrl</kbd> + <kbd>Enter</kbd>: approve.</p>
</form>
</main>
<script nonce="{nonce}">{SCRIPT}</script>""",
    )


def notice(title: str, text: str, nonce: str, *, tone: str = "") -> str:
    """A page that says one thing. `tone` is "good", "bad" or nothing."""
    return _document(
        title,
        nonce,
        f'<main class="notice {tone}" role="status"><h1>{escape(title)}</h1><p>{escape(text)}</p></main>',
        plain=True,
    )


def _document(title: str, nonce: str, body: str, *, plain: bool = False) -> str:
    body_class = ' class="plain"' if plain else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{escape(title)}</title>
<style nonce="{nonce}">{STYLE}{".plain main { display: block; }" if plain else ""}</style>
</head>
<body{body_class}>
{body}
</body>
</html>
"""


def _sheet(link: str, image: Mapping[str, Any], fields: Sequence[tuple[int, Mapping[str, Any]]], pages: int) -> str:
    number, width, height = image["page"], image["width"], image["height"]
    marks = "".join(
        _mark(index, field, width, height) for index, field in fields if field["page"] == number and _box(field)
    )
    title = f"Page {number}" + (f" (of {pages} with doubtful fields)" if pages > 1 else "")
    picture = (
        f'<img src="{_picture(link, number)}" width="{width}" height="{height}" alt="Page {number} of the document">'
    )
    return f"""<figure class="sheet"><figcaption>{title}</figcaption>
<div class="picture">{picture}
<svg viewBox="0 0 {width} {height}" role="group" aria-label="Marks on page {number}">{marks}</svg></div></figure>"""


def _picture(link: str, number: int) -> str:
    """Relative to the page's own address, so that it holds wherever the API is reached: the link ends the path."""
    return f"{escape(link)}/pages/{number}"


def _crop(link: str, field: Mapping[str, Any], sizes: Mapping[int, tuple[int, int]]) -> str:
    """The place on the page, large enough to read it beside its input, on a phone too."""
    box = _box(field)
    if not box or field["page"] not in sizes:
        return ""
    width, height = sizes[field["page"]]
    left, top = max(box["left"] - 2 * _MARGIN, 0) * width, max(box["top"] - 2 * _MARGIN, 0) * height
    # Wide at least eight times its height, so that a short value is not blown up.
    high = (box["height"] + 4 * _MARGIN) * height
    wide = max((box["width"] + 4 * _MARGIN) * width, 8 * high)
    return (
        f'<svg class="crop" viewBox="{left:.1f} {top:.1f} {wide:.1f} {high:.1f}" preserveAspectRatio="xMinYMid meet"'
        f' role="img" aria-label="This field on the page">'
        f'<image href="{_picture(link, field["page"])}" width="{width}" height="{height}"/></svg>'
    )


def _mark(index: int, field: Mapping[str, Any], width: int, height: int) -> str:
    box = _box(field)
    assert box
    left, top = max(box["left"] - _MARGIN, 0) * width, max(box["top"] - _MARGIN, 0) * height
    wide, high = (box["width"] + 2 * _MARGIN) * width, (box["height"] + 2 * _MARGIN) * height
    label = f"{field['confidence']:.0f} %"
    tag = 16 * len(label) + 14
    # The tag stands at the end of the box, over it where there is no room beside.
    tag_left = left + wide if left + wide + tag < width else left + wide - tag
    name = escape(f"{field['name']}: confidence {label}. Go to its input.")
    return (
        f'<a class="mark" href="#field-{index}" data-field="field-{index}" aria-label="{name}" tabindex="-1">'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="4"/>'
        f'<rect class="tag" x="{tag_left:.1f}" y="{top:.1f}" width="{tag}" height="32" rx="4"/>'
        f'<text x="{tag_left + 8:.1f}" y="{top + 25:.1f}" aria-hidden="true">{label}</text></a>'
    )


def _input(index: int, field: Mapping[str, Any], crop: str) -> str:
    name, hint = f"field-{index}", f"hint-{index}"
    about = (
        f"Confidence <b>{field['confidence']:.0f} %</b>, page {field['page']}"
        if field["number"] >= 0
        else "<b>Not found</b> in the document: give it if you see it, or leave it empty"
    )
    described = f'<span class="hint" id="{hint}">{about}</span>{crop}'
    if field["kind"] == "selection":
        choices = "".join(_choice(name, value, text, field["value"], hint) for value, text in _SELECTION)
        return (
            f'<div class="field" role="radiogroup" aria-labelledby="label-{index}">'
            f'<span class="label" id="label-{index}">{escape(field["name"])}</span>{described}'
            f'<div class="choice" id="{name}">{choices}</div></div>'
        )
    return (
        f'<div class="field"><label for="{name}">{escape(field["name"])}</label>{described}'
        f'<input type="text" id="{name}" name="{name}" value="{escape(field["value"])}" maxlength="1000"'
        f' aria-describedby="{hint}" spellcheck="false"></div>'
    )


_SELECTION = (("SELECTED", "ticked"), ("NOT_SELECTED", "not ticked"))


def _choice(name: str, value: str, text: str, current: str, hint: str) -> str:
    checked = " checked" if value == current else ""
    return (
        f'<label><input type="radio" name="{name}" value="{value}"{checked} aria-describedby="{hint}"> {text}</label>'
    )


def _box(field: Mapping[str, Any]) -> Mapping[str, float] | None:
    found: Mapping[str, float] | None = field["value_box"] or field["name_box"]
    return found


def inputs(doubts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The names of the inputs, in the order of the doubtful fields."""
    return (f"field-{index}" for index in range(len(doubts)))
