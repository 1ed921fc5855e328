"""Makes a page ready to be read: upright, evenly lit, large enough; and finds its ruled lines.

Everything downstream works in the pixels of the prepared page. `Scan.fractions` leads back to the page as it came.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Point = tuple[float, float]

# Pixels of the longer side. A letter page has 2200 at 200 dpi: smaller pages are enlarged to it, at most twice.
WANTED_SIDE = 2200
LARGEST_SIDE = 3000
# Smaller pictures are notes and signs, not pages scanned badly; they are left as they are.
SMALLEST_PAGE_SIDE = 700

STEEPEST_DEGREES = 4.0
# Grey levels by which neighbours differ: below it, what a clean render or a good scan has.
NOISY_LEVEL = 5.0


@dataclass(frozen=True)
class Box:
    """An upright box in pixels of the prepared page."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def holds(self, point: Point, margin: float = 0.0) -> bool:
        """Whether a point lies in it, or no further out than `margin`."""
        return (
            self.left - margin <= point[0] <= self.right + margin
            and self.top - margin <= point[1] <= self.bottom + margin
        )

    def overlap(self, other: "Box") -> float:
        """The common area, in square pixels."""
        return max(min(self.right, other.right) - max(self.left, other.left), 0.0) * max(
            min(self.bottom, other.bottom) - max(self.top, other.top), 0.0
        )

    def rows_shared(self, other: "Box") -> float:
        """The common height, as a share of the lower of the two."""
        return max(min(self.bottom, other.bottom) - max(self.top, other.top), 0.0) / max(
            min(self.height, other.height), 1.0
        )


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all; there must be one."""
    return Box(
        min(one.left for one in boxes),
        min(one.top for one in boxes),
        max(one.right for one in boxes),
        max(one.bottom for one in boxes),
    )


@dataclass(frozen=True)
class Scan:
    """A prepared page.

    grey         the page: upright, evenly lit, ink dark on white
    ink          255 where there is ink
    text         `grey` without ruled lines: what is read
    horizontal   the horizontal lines: boxes a few pixels high
    vertical     the vertical lines
    unit         pixels of an inch, if the page's longer side has eleven: the measure of everything that has a size
    """

    grey: Pixels
    ink: Pixels
    text: Pixels
    horizontal: tuple[Box, ...]
    vertical: tuple[Box, ...]
    unit: float
    sharpness: float
    tilt: float
    _back: NDArray[np.float64]
    _size: tuple[int, int]

    def fractions(self, box: Box) -> tuple[Point, ...]:
        """The corners on the page as it came, from the top left clockwise, as fractions of its sides."""
        corners = [
            (box.left, box.top, 1.0),
            (box.right, box.top, 1.0),
            (box.right, box.bottom, 1.0),
            (box.left, box.bottom, 1.0),
        ]
        found = np.asarray(corners) @ self._back.T
        return tuple(
            (min(max(float(x) / self._size[0], 0.0), 1.0), min(max(float(y) / self._size[1], 0.0), 1.0))
            for x, y in found
        )


def prepare(page: Image.Image) -> Scan:
    """The page, ready to be read."""
    original = np.asarray(page.convert("L"))
    longer = max(original.shape)
    scale = _scale(longer)
    grey = _quiet(_evenly_lit(original))
    tilt = _tilt(grey)
    forth = _upright(grey.shape[1], grey.shape[0], scale, tilt)
    size = (math.ceil(original.shape[1] * scale), math.ceil(original.shape[0] * scale))
    moved = grey
    if abs(tilt) > 0 or scale != 1:
        flags = cv2.INTER_AREA if scale < 1 and not tilt else cv2.INTER_CUBIC
        moved = np.asarray(
            cv2.warpAffine(grey, forth, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,)),
            dtype=np.uint8,
        )
    unit = max(size) / 11 if longer >= SMALLEST_PAGE_SIDE else 200.0
    ink = _ink(moved, unit)
    horizontal, across = _lines(ink, unit, horizontal=True)
    vertical, upright = _lines(ink, unit, horizontal=False)
    text = moved.copy()
    reach = max(round(unit / 100), 1) * 2 + 1
    text[cv2.dilate(across | upright, np.ones((reach, reach), np.uint8)) > 0] = 255
    return Scan(
        grey=moved,
        ink=ink,
        text=text,
        horizontal=horizontal,
        vertical=vertical,
        unit=unit,
        sharpness=_sharpness(moved, ink),
        tilt=tilt,
        _back=np.asarray(cv2.invertAffineTransform(forth), dtype=np.float64),
        _size=(original.shape[1], original.shape[0]),
    )


def _scale(longer: int) -> float:
    if longer > LARGEST_SIDE:
        return LARGEST_SIDE / longer
    if SMALLEST_PAGE_SIDE <= longer < WANTED_SIDE * 0.9:
        return min(WANTED_SIDE / longer, 2.0)
    return 1.0


def _evenly_lit(grey: Pixels) -> Pixels:
    """Divided by the paper's own brightness, which is looked up on a small copy: ink is narrower than its kernel."""
    small = cv2.resize(grey, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA) if min(grey.shape) > 64 else grey
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    paper = cv2.GaussianBlur(paper, (0, 0), 3)
    if float(paper.min()) > 250:
        return grey
    paper = np.asarray(cv2.resize(paper, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR))
    # Where the paper looks darker than ink does, it is not paper: a filled bar keeps its own level.
    paper = np.maximum(paper, 96).astype(np.float32)
    lit: Pixels = np.clip(grey.astype(np.float32) * (250.0 / paper), 0, 255).astype(np.uint8)
    return lit


def _quiet(grey: Pixels) -> Pixels:
    if _noise(grey) < NOISY_LEVEL:
        return grey
    return np.asarray(cv2.GaussianBlur(cv2.medianBlur(grey, 3), (0, 0), 0.6), dtype=np.uint8)


def _noise(grey: Pixels) -> float:
    """The noise's standard deviation in grey levels, by a filter that edges hardly pass (Immerkær 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    answer = np.abs(cv2.filter2D(grey[::2, ::2].astype(np.float32), -1, kernel))
    # The median keeps ink out of it.
    return float(np.median(answer)) / 0.6745 / 6.0


def _tilt(grey: Pixels) -> float:
    """Degrees by which the lines of the page rise (counter-clockwise is positive), 0 where they are level.

    Rows of ink are sharpest when they are level: the angle with the largest steps between neighbouring rows wins.
    """
    longer = max(grey.shape)
    if longer < 200:
        return 0.0
    shrink = min(1000 / longer, 1.0)
    small = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    ink = (255 - small).astype(np.float32)
    ink[ink < 60] = 0
    if not ink.any():
        return 0.0
    height, width = ink.shape

    def steps(angle: float) -> float:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1.0)
        rows = np.asarray(cv2.warpAffine(ink, turn, (width, height), flags=cv2.INTER_LINEAR)).sum(axis=1)
        return float((np.diff(rows) ** 2).sum())

    coarse = np.arange(-STEEPEST_DEGREES, STEEPEST_DEGREES + 0.01, 0.5)
    best = max(coarse, key=steps)
    fine = np.arange(best - 0.4, best + 0.41, 0.1)
    found = float(max(fine, key=steps))
    return 0.0 if abs(found) < 0.08 or steps(found) < 1.02 * steps(0.0) else found


def _upright(width: int, height: int, scale: float, tilt: float) -> NDArray[np.float64]:
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), -tilt, scale), dtype=np.float64)
    turn[0, 2] += width * (scale - 1) / 2
    turn[1, 2] += height * (scale - 1) / 2
    return turn


def _ink(grey: Pixels, unit: float) -> Pixels:
    window = int(unit / 5) | 1
    return np.asarray(
        cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, window, 25), dtype=np.uint8
    )


def _lines(ink: Pixels, unit: float, *, horizontal: bool) -> tuple[tuple[Box, ...], Pixels]:
    """Thin, long, straight ink: longer than any stroke of a letter."""
    length = round(unit * (0.3 if horizontal else 0.2))
    thickest = unit * 0.035
    # Noise breaks lines, and a tenth of a degree of tilt steps them.
    near = max(round(unit / 80), 2)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, near) if horizontal else (near, 1), np.uint8))
    thick = cv2.dilate(joined, np.ones((3, 1) if horizontal else (1, 3), np.uint8))
    found = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, length) if horizontal else (length, 1), np.uint8))
    count, marks, stats, _ = cv2.connectedComponentsWithStats(found)
    mask = np.zeros_like(ink)
    boxes = []
    for number in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[number])
        long, thin = (width, height) if horizontal else (height, width)
        # The stroke's own thickness, whatever steps the whole takes.
        if area / long > thickest + 2 or thin > thickest * 2 + 3:
            continue
        box = Box(left, top, left + width, top + height)
        if not _free(ink, box, horizontal=horizontal):
            continue
        boxes.append(box)
        part = marks[top : top + height, left : left + width] == number
        mask[top : top + height, left : left + width][part] = 255
    return tuple(boxes), mask & joined


def _free(ink: Pixels, box: Box, *, horizontal: bool) -> bool:
    """Whether there is paper along both sides of a line, as there is not along a row of letters that touch."""
    left, top, right, bottom = int(box.left), int(box.top), int(box.right), int(box.bottom)
    if horizontal:
        before, after = ink[max(top - 2, 0) : max(top, 1), left:right], ink[bottom : bottom + 2, left:right]
        sides = (before.any(axis=0), after.any(axis=0))
    else:
        before, after = ink[top:bottom, max(left - 2, 0) : max(left, 1)], ink[top:bottom, right : right + 2]
        sides = (before.any(axis=1), after.any(axis=1))
    # Writing may stand on one side of a line, and lines cross it; then the other side is free.
    shares = sorted(float(side.mean()) if side.size else 0.0 for side in sides)
    return shares[0] < 0.15 and shares[1] < 0.5


def _sharpness(grey: Pixels, ink: Pixels) -> float:
    """How steep the edges of the ink are, in grey levels a pixel: high where letters are crisp."""
    edge = cv2.morphologyEx(ink, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    if not edge.any():
        return 0.0
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3)
    return float(np.percentile(cv2.magnitude(across, down)[edge], 75)) / 8
