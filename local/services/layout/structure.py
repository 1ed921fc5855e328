"""Finds what stands around the words: tables, boxed fields, check boxes, and which words are key and value.

Tables are grids of ruled lines. Fields are a label that ends with a colon and what stands beside or below it, a box and
its label, a line to write on and its label, or a check box and the words beside it. A value that has ink which nobody
could read gets a low confidence.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from local.services.layout.reading import Line, Word
from local.services.layout.scan import Box, Pixels, Scan, around

# Inches.
SMALLEST_MARK, LARGEST_MARK = 0.085, 0.26
# The share of ink well inside a mark, below which it is empty.
EMPTY_BELOW = 0.1
# A longer label is a sentence.
LONGEST_LABEL = 8
# Where ink was seen but no word was read, nobody knows the value.
UNREAD = 30.0


@dataclass(frozen=True)
class Mark:
    """A check box or radio button."""

    box: Box
    selected: bool
    confidence: float


@dataclass(frozen=True)
class Cell:
    """Row and column count from 1; a span above 1 is a merged cell."""

    row: int
    column: int
    rows: int
    columns: int
    box: Box
    words: tuple[Word, ...]
    marks: tuple[Mark, ...]
    confidence: float
    header: bool


@dataclass(frozen=True)
class Table:
    box: Box
    rows: int
    columns: int
    cells: tuple[Cell, ...]

    @property
    def confidence(self) -> float:
        return sum(cell.confidence for cell in self.cells) / len(self.cells)


@dataclass(frozen=True)
class Field:
    """A key and its value: words, or a mark. `box` is where the value stands or would."""

    key: tuple[Word, ...]
    value: tuple[Word, ...]
    mark: Mark | None
    box: Box
    confidence: float


@dataclass
class _Grid:
    across: list[float]
    down: list[float]
    box: Box
    solid: dict[tuple[str, int, int], bool] = field(default_factory=dict)


def find_marks(scan: Scan) -> list[Mark]:
    """Check boxes and radio buttons, by the shape of their outline; selected if there is ink well inside."""
    closed = cv2.morphologyEx(scan.ink, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    contours, tree = cv2.findContours(closed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    found: list[Mark] = []
    if tree is None:
        return found
    low, high = SMALLEST_MARK * scan.unit, LARGEST_MARK * scan.unit
    for outline, (_, _, child, parent) in zip(contours, tree[0], strict=True):
        left, top, width, height = cv2.boundingRect(outline)
        if parent >= 0 or child < 0 or not (low <= width <= high and low <= height <= high):
            continue
        if not 0.85 <= width / height <= 1.18 or not _alone(closed, Box(left, top, left + width, top + height)):
            continue
        box = Box(left, top, left + width - 1, top + height - 1)
        shaped = _square(closed, box) or (_round(outline, box) and _thin(closed, box))
        if shaped and not any(box.overlap(one.box) for one in found):
            share = _inner_ink(scan.ink, box)
            # Empty ones have next to none, a cross fills a fifth and a dot all; between them nobody is sure.
            sure = min(abs(share - EMPTY_BELOW) / EMPTY_BELOW, 1.0)
            found.append(Mark(box, share > EMPTY_BELOW, 60 + 39.5 * sure))
    return sorted(found, key=lambda mark: (round(mark.box.top / (0.1 * scan.unit)), mark.box.left))


def _alone(ink: Pixels, box: Box) -> bool:
    """No ink close by on either side, as a letter would have within its word."""
    gap = max(int(box.width * 0.35), 3)
    rows = slice(int(box.top), int(box.bottom))
    before = ink[rows, max(int(box.left) - gap, 0) : max(int(box.left) - 1, 0)]
    after = ink[rows, int(box.right) + 1 : int(box.right) + gap]
    return not (before.any() or after.any())


def _square(ink: Pixels, box: Box) -> bool:
    """All four sides are there, corner to corner."""
    left, top, right, bottom = int(box.left), int(box.top), int(box.right) + 1, int(box.bottom) + 1
    part = ink[top:bottom, left:right] > 0
    thick = max(int(box.width * 0.15), 2)
    sides = (
        part[:thick].any(axis=0),
        part[-thick:].any(axis=0),
        part[:, :thick].any(axis=1),
        part[:, -thick:].any(axis=1),
    )
    corners = (part[:thick, :thick], part[:thick, -thick:], part[-thick:, :thick], part[-thick:, -thick:])
    return all(side.mean() > 0.92 for side in sides) and all(corner.mean() > 0.3 for corner in corners)


def _round(outline: np.ndarray[tuple[int, ...], np.dtype[np.int32]], box: Box) -> bool:
    """The outline keeps one distance from the middle: a circle, where the letter O is an oval."""
    points = outline.reshape(-1, 2).astype(np.float64)
    x, y = box.middle
    radii = np.hypot(points[:, 0] - x, points[:, 1] - y)
    return bool(radii.std() / radii.mean() < 0.035)


def _thin(ink: Pixels, box: Box) -> bool:
    """The ring is a thin line on both sides, as a letter's is not."""
    row = ink[int(box.middle[1]), int(box.left) : int(box.right) + 1] > 0
    return all(_first_run(side) <= max(box.width * 0.24, 3) for side in (row, row[::-1]))


def _first_run(row: NDArray[np.bool_]) -> int:
    """How many in a row are true, from the first that is."""
    rest = row[int(np.argmax(row)) :]
    return len(rest) if rest.all() else int(np.argmin(rest))


def _inner_ink(ink: Pixels, box: Box) -> float:
    edge = max(int(box.width * 0.3), 3)
    part = ink[int(box.top) + edge : int(box.bottom) + 1 - edge, int(box.left) + edge : int(box.right) + 1 - edge]
    return float((part > 0).mean()) if part.size else 0.0


def find_boxes(scan: Scan) -> tuple[list[_Grid], list[Box]]:
    """Grids of at least two rows and two columns, and single boxes."""
    mask = np.zeros_like(scan.ink)
    reach = max(int(scan.unit * 0.012), 2)
    for line in (*scan.horizontal, *scan.vertical):
        mask[
            max(int(line.top) - reach, 0) : int(line.bottom) + reach,
            max(int(line.left) - reach, 0) : int(line.right) + reach,
        ] = 255
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    grids, boxes = [], []
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in stats[number])
        around_all = Box(left, top, left + width, top + height)
        rows = [line for line in scan.horizontal if around_all.holds(line.middle)]
        columns = [line for line in scan.vertical if around_all.holds(line.middle)]
        across = _places([(line.middle[1], line.width) for line in rows], scan.unit * 0.06, around_all.width * 0.12)
        down = _places([(line.middle[0], line.height) for line in columns], scan.unit * 0.06, scan.unit * 0.15)
        if len(across) < 2 or len(down) < 2:
            continue
        if len(across) == 2 or len(down) == 2:
            boxes += [
                Box(x, y, right, bottom)
                for y, bottom in itertools.pairwise(across)
                for x, right in itertools.pairwise(down)
            ]
        else:
            grids.append(_grid(across, down, rows, columns, scan.unit))
    return grids, boxes


def _places(lines: Iterable[tuple[float, float]], near: float, least: float) -> list[float]:
    """Where lines stand: those close together count as one, and short ones do not count."""
    groups: list[list[tuple[float, float]]] = []
    for place, length in sorted(lines):
        if groups and place - groups[-1][-1][0] < near:
            groups[-1].append((place, length))
        else:
            groups.append([(place, length)])
    return [
        sum(place for place, _ in group) / len(group) for group in groups if sum(length for _, length in group) >= least
    ]


def _grid(across: list[float], down: list[float], rows: list[Box], columns: list[Box], unit: float) -> _Grid:
    grid = _Grid(across, down, Box(down[0], across[0], down[-1], across[-1]))
    near = unit * 0.06
    for row in range(len(across) - 1):
        for column in range(len(down) - 1):
            x, y = (down[column] + down[column + 1]) / 2, (across[row] + across[row + 1]) / 2
            grid.solid["right", row, column] = any(
                abs(line.middle[0] - down[column + 1]) < near and line.top < y < line.bottom for line in columns
            )
            grid.solid["below", row, column] = any(
                abs(line.middle[1] - across[row + 1]) < near and line.left < x < line.right for line in rows
            )
    return grid


def table_of(grid: _Grid, words: Sequence[Word], marks: Sequence[Mark], scan: Scan) -> Table:
    """The grid's cells with what stands in them; cells without a line between them are one."""
    rows, columns = len(grid.across) - 1, len(grid.down) - 1
    taken: set[tuple[int, int]] = set()
    cells = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) in taken:
                continue
            wide, tall = 1, 1
            while column + wide < columns and not grid.solid["right", row, column + wide - 1]:
                wide += 1
            while row + tall < rows and not any(
                grid.solid["below", row + tall - 1, column + step] for step in range(wide)
            ):
                tall += 1
            taken |= {(row + down, column + right) for down in range(tall) for right in range(wide)}
            box = Box(grid.down[column], grid.across[row], grid.down[column + wide], grid.across[row + tall])
            inside = tuple(word for word in words if box.holds(word.box.middle))
            inner = tuple(mark for mark in marks if box.holds(mark.box.middle))
            cells.append(
                Cell(row + 1, column + 1, tall, wide, box, inside, inner, _sure(inside, inner, box, scan), False)
            )
    return Table(grid.box, rows, columns, _with_header(cells, scan))


def _with_header(cells: Sequence[Cell], scan: Scan) -> tuple[Cell, ...]:
    """The first row heads the columns if each of its cells has words and it looks unlike the rows below.

    Unlike: on a darker ground, in bolder strokes, or without a digit where a column below is all digits.
    """
    first = [cell for cell in cells if cell.row == 1]
    rest = [cell for cell in cells if cell.row > 1 and cell.words]
    if not all(cell.words for cell in first) or not rest:
        return tuple(cells)
    ground = [float(np.median(_inside(scan.grey, cell.box))) for cell in first]
    below = [float(np.median(_inside(scan.grey, cell.box))) for cell in rest]
    numbers = {cell.column for cell in rest if _numeric(cell)} - {cell.column for cell in first if _numeric(cell)}
    if numbers or np.mean(ground) < np.mean(below) - 6:
        return tuple(Cell(**{**vars(cell), "header": True}) if cell.row == 1 else cell for cell in cells)
    return tuple(cells)


def _numeric(cell: Cell) -> bool:
    text = "".join(word.text for word in cell.words)
    return sum(letter.isdigit() for letter in text) > len(text) / 2


def _inside(picture: Pixels, box: Box, margin: int = 4) -> Pixels:
    part = picture[
        int(box.top) + margin : max(int(box.bottom) - margin, int(box.top) + margin + 1),
        int(box.left) + margin : max(int(box.right) - margin, int(box.left) + margin + 1),
    ]
    return part if part.size else picture[:1, :1]


def _sure(words: Sequence[Word], marks: Sequence[Mark], box: Box, scan: Scan) -> float:
    """The least sure part of a value; low where there is ink beside the words."""
    least = min([*(word.confidence for word in words), *(mark.confidence for mark in marks)], default=99.0)
    return min(least, UNREAD) if _unread_ink(words, marks, box, scan) else least


def _unread_ink(words: Sequence[Word], marks: Sequence[Mark], box: Box, scan: Scan) -> bool:
    """Whether a letter's worth of ink in the box lies outside all words."""
    edge = int(scan.unit * 0.025)
    top, left = int(box.top) + edge, int(box.left) + edge
    bottom, right = int(box.bottom) - edge, int(box.right) - edge
    if bottom - top < 4 or right - left < 4:
        return False
    part = scan.ink[top:bottom, left:right].copy()
    # Without the lines: they are not writing.
    part[scan.text[top:bottom, left:right] > 250] = 0
    reach = scan.unit * 0.02
    for one in (*(word.box for word in words), *(mark.box for mark in marks)):
        part[
            max(int(one.top - reach) - top, 0) : max(int(one.bottom + reach) - top, 0),
            max(int(one.left - reach) - left, 0) : max(int(one.right + reach) - left, 0),
        ] = 0
    part = cv2.morphologyEx(part, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return int((part > 0).sum()) > (scan.unit * 0.03) ** 2


def find_fields(
    lines: Sequence[Line], marks: Sequence[Mark], tables: Sequence[Table], boxes: Sequence[Box], scan: Scan
) -> list[Field]:
    """Keys and their values, from top to bottom."""
    outside = [
        word for line in lines for word in line.words if not any(table.box.holds(word.box.middle) for table in tables)
    ]
    free_marks = [mark for mark in marks if not any(table.box.holds(mark.box.middle) for table in tables)]
    used: set[int] = set()
    found: list[Field] = []
    rows = _rows(outside)
    for mark in free_marks:
        label = _beside(mark, rows, used, free_marks)
        if label:
            used |= {id(word) for word in label}
            confidence = min(mark.confidence, *(word.confidence for word in label))
            found.append(Field(tuple(label), (), mark, mark.box, confidence))
    found += _boxed(boxes, rows, used, scan)
    found += _labelled(rows, used, scan, boxes)
    return _in_order(found)


def _in_order(found: Iterable[Field]) -> list[Field]:
    """Rows from top to bottom, each from left to right, by where the keys stand."""
    rows: list[list[tuple[Box, Field]]] = []
    keyed = [(around([word.box for word in one.key]), one) for one in found]
    for box, one in sorted(keyed, key=lambda pair: pair[0].middle[1]):
        if rows and box.rows_shared(rows[-1][-1][0]) > 0.5:
            rows[-1].append((box, one))
        else:
            rows.append([(box, one)])
    return [one for row in rows for _, one in sorted(row, key=lambda pair: pair[0].left)]


def _rows(words: Sequence[Word]) -> list[list[Word]]:
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda word: word.box.middle[1]):
        for row in rows[-3:]:
            if word.box.rows_shared(row[0].box) > 0.55 and word.box.rows_shared(row[-1].box) > 0.4:
                row.append(word)
                break
        else:
            rows.append([word])
    return [sorted(row, key=lambda word: word.box.left) for row in rows]


def _beside(mark: Mark, rows: Sequence[Sequence[Word]], used: set[int], marks: Sequence[Mark]) -> list[Word]:
    """The words right of a mark, up to a gap, another mark or a label of their own."""
    right_of = [
        word
        for row in rows
        for word in row
        if id(word) not in used and word.box.rows_shared(mark.box) > 0.5 and word.box.left > mark.box.middle[0]
    ]
    label: list[Word] = []
    edge = mark.box.right
    for word in sorted(right_of, key=lambda word: word.box.left):
        between = [other for other in marks if edge < other.box.middle[0] < word.box.left and _level(other, mark)]
        if word.box.left - edge > mark.box.width * (1.6 if not label else 0.9) or between:
            break
        label.append(word)
        edge = word.box.right
    return label


def _level(one: Mark, other: Mark) -> bool:
    return one is not other and one.box.rows_shared(other.box) > 0.5


def _boxed(boxes: Sequence[Box], rows: Sequence[Sequence[Word]], used: set[int], scan: Scan) -> list[Field]:
    found = []
    words = [word for row in rows for word in row]
    for box in boxes:
        if box.height > scan.unit * 1.2:
            continue
        inside = [word for word in words if box.holds(word.box.middle) and id(word) not in used]
        label = _label_left(box, rows, used, scan) or _label_above(box, rows, used, scan)
        if not label and inside:
            # The label may stand in the box itself, small, above the value.
            label = [word for word in inside if word.box.bottom < box.top + box.height * 0.5]
            inside = [word for word in inside if word not in label]
        if label:
            used |= {id(word) for word in (*label, *inside)}
            found.append(_field(label, inside, box, scan))
    return found


def _label_left(box: Box, rows: Sequence[Sequence[Word]], used: set[int], scan: Scan) -> list[Word]:
    for row in rows:
        beside = [
            word
            for word in row
            if word.box.right < box.left + 4 and box.top < word.box.middle[1] < box.bottom and id(word) not in used
        ]
        # Labels begin at one edge and boxes at another, so a short label stands far from its box.
        label = _tail(beside, box.left, scan.unit * 2.5)
        if label:
            return label
    return []


def _tail(words: Sequence[Word], edge: float, gap: float) -> list[Word]:
    """The last words before an edge, back to the first wide gap."""
    label: list[Word] = []
    for word in reversed(words):
        if edge - word.box.right > (gap if not label else word.box.height * 0.9):
            break
        label.insert(0, word)
        edge = word.box.left
    return label if len(label) <= LONGEST_LABEL else []


def _label_above(box: Box, rows: Sequence[Sequence[Word]], used: set[int], scan: Scan) -> list[Word]:
    above = [
        word
        for row in rows
        for word in row
        if id(word) not in used
        and 0 <= box.top - word.box.middle[1] < scan.unit * 0.22
        and box.left - scan.unit * 0.1 <= word.box.left
        and word.box.right <= box.right + scan.unit * 0.1
    ]
    return sorted(above, key=lambda word: word.box.left) if len(above) <= LONGEST_LABEL else []


def _labelled(rows: Sequence[Sequence[Word]], used: set[int], scan: Scan, boxes: Sequence[Box]) -> list[Field]:
    """Labels with a colon; and labels without one before a line to write on."""
    found = []
    for number, row in enumerate(rows):
        rest = [word for word in row if id(word) not in used]
        for label, values, limit in _segments(rest, scan):
            wanted = values
            region = _region(label, values, limit, scan)
            if not values and not _writing_line(label, limit, scan) and number + 1 < len(rows):
                below = _below(label, rows[number + 1], used, limit)
                if below:
                    wanted = below
                    region = around([word.box for word in below])
            if not wanted and any(
                box.holds((label[-1].box.right + scan.unit * 0.2, label[-1].box.middle[1])) for box in boxes
            ):
                continue
            used |= {id(word) for word in (*label, *wanted)}
            found.append(_field(label, wanted, region, scan))
    return found


def _segments(row: Sequence[Word], scan: Scan) -> list[tuple[list[Word], list[Word], float]]:
    """(label, value, where the next begins) for each label of a row that ends with a colon or stands before a line."""
    starts: list[tuple[int, int]] = []
    for number, word in enumerate(row):
        colon = word.text.endswith(":") and any(letter.isalpha() for letter in word.text)
        if not colon and not _before_line(row, number, scan):
            continue
        first = number
        previous_end = starts[-1][1] if starts else -1
        while (
            first - 1 > previous_end and row[first].box.left - row[first - 1].box.right < row[first].box.height * 0.75
        ):
            first -= 1
        if number - first < LONGEST_LABEL:
            starts.append((first, number))
    segments = []
    for index, (first, last) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else len(row)
        limit = row[end].box.left if end < len(row) else scan.ink.shape[1]
        line = _writing_line(row[first : last + 1], limit, scan)
        # What begins behind the end of the line to write on was not written on it.
        values = [word for word in row[last + 1 : end] if line is None or word.box.left < line.right]
        segments.append((list(row[first : last + 1]), values, float(limit)))
    return segments


def _before_line(row: Sequence[Word], number: int, scan: Scan) -> bool:
    """Whether a line to write on begins right after the word, on its base."""
    word = row[number]
    return any(
        abs(line.left - word.box.right) < word.box.height * 0.8
        and abs(line.middle[1] - word.box.bottom) < word.box.height * 0.4
        for line in scan.horizontal
    )


def _writing_line(label: Sequence[Word], limit: float, scan: Scan) -> Box | None:
    last = label[-1].box
    for line in scan.horizontal:
        if last.right - last.height < line.left < limit and abs(line.middle[1] - last.bottom) < last.height * 0.6:
            return line
    return None


def _region(label: Sequence[Word], values: Sequence[Word], limit: float, scan: Scan) -> Box:
    last = label[-1].box
    line = _writing_line(label, limit, scan)
    right = line.right if line else max((word.box.right for word in values), default=last.right + scan.unit * 0.5)
    top = min([last.top, *(word.box.top for word in values)])
    bottom = max([last.bottom, *(word.box.bottom for word in values)])
    return Box(last.right, top, min(max(right, last.right + 4), limit), bottom)


def _below(label: Sequence[Word], row: Sequence[Word], used: set[int], limit: float) -> list[Word]:
    """What begins right under the label, if it is no label itself."""
    first = label[0].box
    height = first.height
    under = [
        word for word in row if id(word) not in used and first.left - height <= word.box.left < limit - height * 0.5
    ]
    if not under or abs(under[0].box.left - first.left) > height or under[0].box.top - first.bottom > height * 1.5:
        return []
    value: list[Word] = []
    for word in under:
        if value and word.box.left - value[-1].box.right > height * 1.5:
            break
        value.append(word)
    return [] if any(word.text.endswith(":") for word in value) else value


def _field(label: Sequence[Word], value: Sequence[Word], box: Box, scan: Scan) -> Field:
    confidence = _sure(value, (), box, scan)
    return Field(tuple(label), tuple(value), None, box, confidence)
