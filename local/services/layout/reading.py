"""Reads a prepared page: words and lines, with a confidence that means something.

One pass finds strips of text and reads them. Words that it is not sure of are looked at a second time, larger and with
more contrast: where both looks agree the word gains, where they differ it loses. Nothing but the pixels decides.
"""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from local.services.layout.scan import Box, Pixels, Scan, around
from local.services.models.text import Letter, TextModel

# The longer side at which strips are looked for: it needs less than reading them does.
DETECTION_SIDE = 1600
# A word all of whose letters are likelier than this is not looked at again.
SURE = 0.985
# No word is surer than this if one of its letters has a likely double.
GUESSED = 0.88
# Letters that fonts draw alike: a look cannot tell them apart by itself.
_ALIKE = (
    "O0oQD",
    "lI1|i!",
    "S5s",
    "B8",
    "Z2z",
    "G6",
    "g9q",
    "cC",
    "vV",
    "wW",
    "xX",
    "uU",
    "pP",
    "kK",
    ".,",
    ";:",
    "-_",
)
_LOOKALIKES = {letter: frozenset(group) for group in _ALIKE for letter in group}


@dataclass(frozen=True)
class Word:
    """One word; `confidence` in percent, `box` in pixels of the prepared page."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True)
class Line:
    """Words that stand beside each other without a wide gap, from left to right."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        return sum(word.confidence for word in self.words) / len(self.words)

    @property
    def box(self) -> Box:
        return around([word.box for word in self.words])


@dataclass(frozen=True)
class _Reading:
    text: str
    lowest: float
    mean: float
    box: Box
    confused: bool


def read(scan: Scan, model: TextModel, blanks: Sequence[Box] = ()) -> list[Line]:
    """The lines of the page in reading order. What lies in `blanks` (check boxes) is not text."""
    text = scan.text.copy()
    for box in blanks:
        text[int(box.top) : int(box.bottom) + 1, int(box.left) : int(box.right) + 1] = 255
    strips = _strips(text, scan, model)
    if not strips:
        return []
    looks = model.read_strips([_cut(text, strip) for strip in strips])
    found = [_words(letters, strip) for strip, letters in zip(strips, looks, strict=True)]
    doubtful = [
        (row, column)
        for row, words in enumerate(found)
        for column, word in enumerate(words)
        if word.lowest < SURE or word.confused
    ]
    second = model.read_strips([_enlarged(text, found[row][column].box) for row, column in doubtful])
    again = {
        place: _words(letters, found[place[0]][place[1]].box) for place, letters in zip(doubtful, second, strict=True)
    }
    words = [
        [_judged(word, again.get((row, column)), scan) for column, word in enumerate(group)]
        for row, group in enumerate(found)
    ]
    return in_reading_order(_joined([Line(tuple(group)) for group in words if group]))


def _strips(text: Pixels, scan: Scan, model: TextModel) -> list[Box]:
    shrink = min(DETECTION_SIDE / max(text.shape), 1.0)
    small = cv2.resize(text, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else text
    corners = model.find_strips(np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), dtype=np.uint8)) / shrink
    strips: list[Box] = []
    for one in corners:
        left, top = one.min(axis=0)
        right, bottom = one.max(axis=0)
        strips += _parted(Box(float(left), float(top), float(right), float(bottom)), scan)
    return [strip for strip in strips if strip.width > 3 and strip.height > 5]


def _parted(strip: Box, scan: Scan) -> list[Box]:
    """A strip that runs across a vertical line belongs to two cells."""
    middle = (strip.top + strip.bottom) / 2
    cuts = sorted(
        (line.left + line.right) / 2
        for line in scan.vertical
        if line.top <= middle <= line.bottom and strip.left + 6 < (line.left + line.right) / 2 < strip.right - 6
    )
    edges = [strip.left, *cuts, strip.right]
    return [Box(left, strip.top, right, strip.bottom) for left, right in itertools.pairwise(edges)]


def _cut(text: Pixels, box: Box, pad: float = 0.0) -> NDArray[np.uint8]:
    top, bottom = max(int(box.top - pad), 0), min(int(box.bottom + pad) + 1, text.shape[0])
    left, right = max(int(box.left - pad), 0), min(int(box.right + pad) + 1, text.shape[1])
    return np.asarray(cv2.cvtColor(text[top:bottom, left:right], cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _enlarged(text: Pixels, box: Box) -> NDArray[np.uint8]:
    """The word alone, with air around it, stretched to full contrast and sharpened at one and a half times the size."""
    part = _cut(text, box, pad=box.height * 0.12)[:, :, 0]
    low, high = np.percentile(part, (1, 99))
    stretched = np.clip((part.astype(np.float32) - low) * (255 / max(high - low, 32)), 0, 255).astype(np.uint8)
    larger = cv2.resize(stretched, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    sharper = cv2.addWeighted(larger, 1.6, cv2.GaussianBlur(larger, (0, 0), 1.5), -0.6, 0)
    edge = max(int(box.height * 0.1), 2)
    framed = cv2.copyMakeBorder(sharper, edge, edge, edge * 3, edge * 3, cv2.BORDER_CONSTANT, value=(255,))
    return np.asarray(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _words(letters: Sequence[Letter], strip: Box) -> list[_Reading]:
    """Letters grouped at spaces."""
    steps = sorted(right.position - left.position for left, right in itertools.pairwise(letters))
    usual = steps[len(steps) // 2] if steps else 0.0
    groups: list[list[Letter]] = [[]]
    for letter in letters:
        if letter.text.isspace():
            groups.append([])
            continue
        last = groups[-1][-1] if groups[-1] else None
        # A space is easily lost behind a colon or a bracket, but it leaves a gap; 10:30 has none.
        if last and _parts(last, letter) and letter.position - last.position > 1.1 * usual:
            groups.append([])
        groups[-1].append(letter)
    groups = [group for group in groups if group]
    shown = [letter for group in groups for letter in group]
    if not shown:
        return []
    edges = _edges(groups, strip)
    return [
        _Reading(
            text=unicodedata.normalize("NFKC", "".join(letter.text for letter in group)),
            lowest=min(letter.probability for letter in group),
            mean=sum(letter.probability for letter in group) / len(group),
            box=Box(left, strip.top, right, strip.bottom),
            confused=any(_confused(letter) for letter in group) or _gapped(group, usual),
        )
        for group, (left, right) in zip(groups, edges, strict=True)
    ]


def _edges(groups: Sequence[Sequence[Letter]], strip: Box) -> list[tuple[float, float]]:
    """Left and right of each word: half way to its neighbours' letters, at most a letter's width from its own."""
    spans = [(group[0].position, group[-1].position, len(group)) for group in groups]
    widths = [(end - start) / (count - 1) for start, end, count in spans if count > 1]
    letter = sum(widths) / len(widths) if widths else strip.height * 0.5 / max(strip.width, 1)
    edges = []
    for number, (start, end, _) in enumerate(spans):
        left, right = start - letter * 0.7, end + letter * 0.7
        left = max(left, (spans[number - 1][1] + start) / 2) if number else max(left, 0.0)
        right = min(right, (end + spans[number + 1][0]) / 2) if number + 1 < len(spans) else min(right, 1.0)
        edges.append((strip.left + left * strip.width, strip.left + right * strip.width))
    return edges


def _parts(left: Letter, right: Letter) -> bool:
    return left.text in ":;,)" and (right.text.isalnum() or right.text in "($#")


def _gapped(group: Sequence[Letter], usual: float) -> bool:
    """Whether a space may be missing: a gap beside a digit or a sign, all of which are about equally wide."""
    return any(
        right.position - left.position > 1.8 * usual and not (left.text.isalpha() or right.text.isalpha())
        for left, right in itertools.pairwise(group)
    )


def _confused(letter: Letter) -> bool:
    return letter.rival_probability > 0.01 and letter.rival in _LOOKALIKES.get(letter.text, ())


def _judged(first: _Reading, second: Sequence[_Reading] | None, scan: Scan) -> Word:
    if second is None:
        return Word(first.text, _percent(first.lowest, scan), first.box)
    text = "".join(part.text for part in second)
    lowest = min((part.lowest for part in second), default=0.0)
    if text == first.text and (first.confused or any(part.confused for part in second)):
        # Both looks see that it may be another letter: they agree in a guess.
        return Word(first.text, _percent(min(first.lowest, lowest, GUESSED), scan), first.box)
    if text == first.text:
        # Two looks that agree are surer than the better of them, but they share a model and a page.
        agreed = 1 - (1 - max(first.lowest, lowest)) * (0.5 + (1 - min(first.lowest, lowest)) / 2)
        return Word(first.text, _percent(agreed, scan), first.box)
    better, score = (text, lowest) if lowest > first.lowest + 0.15 else (first.text, first.lowest)
    return Word(better, _percent(min(score, 0.8) * 0.75, scan), first.box)


def _percent(probability: float, scan: Scan) -> float:
    """Percent, and less of it on a blurred page: a model is too sure of letters that it can hardly see."""
    return min(max(probability, 0.0), 1.0) * 100 * min(1.0, 0.9 + scan.sharpness / 200)


def _joined(lines: Sequence[Line]) -> list[Line]:
    """Strips of one row with less than a letter's height between them are one line."""
    rest = sorted(lines, key=lambda line: line.box.left)
    found: list[Line] = []
    for line in rest:
        for number, other in enumerate(found):
            gap = line.box.left - other.box.right
            height = min(line.box.height, other.box.height)
            if line.box.rows_shared(other.box) > 0.6 and -height * 0.5 < gap < height * 0.5:
                found[number] = Line((*other.words, *line.words))
                break
        else:
            found.append(line)
    return found


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Rows from top to bottom, each from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.box.middle[1]):
        if rows and line.box.rows_shared(rows[-1][-1].box) > 0.5:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box.left)]
