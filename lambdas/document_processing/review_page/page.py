"""The pages as HTML. No framework, no inline handlers, nothing from elsewhere: the security policy allows none of it."""

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
{"".join(_input(index, field) for index, field in fields)}
<div class="field"><label for="reason">Remark</label>
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
    # Relative to the page's own address, so that it holds wherever the API is reached. The link begins the path.
    return f"""<figure class="sheet"><figcaption>{title}</figcaption>
<div class="picture"><img src="{escape(link)}/pages/{number}" width="{width}" height="{height}" alt="Page {number} of the document">
<svg viewBox="0 0 {width} {height}" role="group" aria-label="Marks on page {number}">{marks}</svg></div></figure>"""


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


def _input(index: int, field: Mapping[str, Any]) -> str:
    name, hint = f"field-{index}", f"hint-{index}"
    about = (
        f"Confidence <b>{field['confidence']:.0f} %</b>, page {field['page']}"
        if field["number"] >= 0
        else "<b>Not found</b> in the document: give it if you see it, or leave it empty"
    )
    described = f'<span class="hint" id="{hint}">{about}</span>'
    if field["kind"] == "selection":
        choices = "".join(_choice(name, value, text, field["value"], hint) for value, text in _SELECTION)
        return (
            f'<fieldset class="field" id="{name}"><legend><b>{escape(field["name"])}</b></legend>{described}'
            f'<div class="choice">{choices}</div></fieldset>'
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
