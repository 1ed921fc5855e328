"""Medical claims of three pages, invoices and registration forms: invented people, known truth.

All names, numbers and firms are made up. Telephone numbers are from the range 555-01xx, which is kept for fiction.
"""

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from scenarios.drawing.sheet import A4, LETTER, Sheet, as_pdf, width_of
from scenarios.drawing.wear import CLEAN, Wear, worn

Layout = Literal["lines", "boxes-above", "boxes-beside", "colons", "stacked"]


@dataclass(frozen=True)
class Style:
    """How a document looks."""

    name: str
    font: str
    layout: Layout
    size: float = 10.5
    paper: tuple[float, float] = LETTER
    margin: float = 54.0
    shaded_header: bool = True
    round_marks: bool = False
    columns: int = 1


DEVELOPMENT = (
    Style("vera-lines", "vera", "lines", size=10, columns=2),
    Style("roboto-boxes", "roboto", "boxes-above", size=10.5, paper=A4, columns=2, round_marks=True),
    Style("roboto-lines", "roboto", "lines", size=11, shaded_header=False),
    Style("vera-beside", "vera", "boxes-beside", size=9.5, margin=60),
)
MEASURED = (
    Style("source-sans-colons", "source-sans", "colons", size=11, paper=A4),
    Style("source-serif-stacked", "source-serif", "stacked", size=10.5, margin=60, columns=2, round_marks=True),
    Style("caladea-colons", "caladea", "colons", size=11.5, columns=2, shaded_header=False),
)


@dataclass(frozen=True)
class Field:
    """A field's truth. `box` is where its value stands: left, top, right, bottom as fractions of the page.

    The value of a check box is SELECTED or NOT_SELECTED.
    """

    page: int
    key: str
    value: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Table:
    """A table's truth: rows of cells, the header first."""

    page: int
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Document:
    """A drawn document and its truth. Pages count from 1."""

    name: str
    sheets: list[Sheet]
    seed: int
    fields: list[Field] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    paragraphs: list[tuple[int, str]] = field(default_factory=list)

    def pdf(self) -> bytes:
        """Vectors and text."""
        return as_pdf(self.sheets)

    def pictures(self, wear: Wear = CLEAN) -> list[Image.Image]:
        """The pages as a scanner sees them, after their wear."""
        return [worn(sheet.pixels(wear.dpi), wear, self.seed * 10 + number) for number, sheet in enumerate(self.sheets)]


class _Pen:
    """Draws fields, marks, tables and paragraphs down a page, and notes their truth."""

    def __init__(self, document: Document, style: Style) -> None:
        self._document = document
        self._style = style
        self._sheet = Sheet(style.paper)
        self.y = style.margin

    def page(self, title: str) -> None:
        self._sheet = Sheet(self._style.paper)
        self._document.sheets.append(self._sheet)
        self.y = self._style.margin + 18
        self._sheet.text(self._style.margin, self.y, title, self._style.font, self._style.size + 6, "bold")
        self.y += 26

    def section(self, title: str) -> None:
        self.y += 8
        self._sheet.text(self._style.margin, self.y, title, self._style.font, self._style.size + 2, "bold")
        self.y += 20

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        style = self._style
        width = (style.paper[0] - 2 * style.margin) / style.columns
        step = {"lines": 25.0, "boxes-above": 42.0, "boxes-beside": 29.0, "colons": 23.0, "stacked": 35.0}[style.layout]
        for number, (key, value) in enumerate(pairs):
            column = number % style.columns
            self._one(key, value, style.margin + column * width, width - 16)
            if column == style.columns - 1 or number == len(pairs) - 1:
                self.y += step

    def _one(self, key: str, value: str, x: float, width: float) -> None:
        style, sheet, size = self._style, self._sheet, self._style.size
        if style.layout == "boxes-above":
            sheet.text(x, self.y, key, style.font, size - 1.5)
            sheet.shape(x, self.y + 5, x + width, self.y + 24)
            left, base = x + 6, self.y + 24 - 5.5
        elif style.layout == "boxes-beside":
            sheet.text(x, self.y, key, style.font, size)
            left, base = x + 150, self.y
            sheet.shape(left - 6, self.y - 14, x + width, self.y + 7)
        elif style.layout == "lines":
            end = sheet.text(x, self.y, f"{key}:", style.font, size, "bold")
            left, base = end + 8, self.y
            sheet.line(end + 4, self.y + 3.5, x + width, self.y + 3.5)
        elif style.layout == "stacked":
            sheet.text(x, self.y, f"{key}:", style.font, size, "bold")
            left, base = x, self.y + size * 1.4
        else:
            end = sheet.text(x, self.y, f"{key}:", style.font, size, "bold")
            left, base = (x + 150 if style.columns == 1 else end + 8), self.y
        end = sheet.text(left, base, value, style.font, size)
        self._note(key, value, (left, base - size, end, base + 3))

    def _note(self, key: str, value: str, place: tuple[float, float, float, float]) -> None:
        wide, high = self._style.paper
        left, top, right, bottom = place
        box = (left / wide, top / high, right / wide, bottom / high)
        self._document.fields.append(Field(len(self._document.sheets), key, value, box))

    def marks(self, choices: Sequence[tuple[str, bool]]) -> None:
        style, sheet = self._style, self._sheet
        side = style.size + 1
        x = style.margin
        for label, selected in choices:
            wanted = side + 6 + width_of(label, style.font, style.size) + 26
            if x + wanted > style.paper[0] - style.margin:
                x, self.y = style.margin, self.y + 22
            top = self.y - side + 2
            sheet.shape(x, top, x + side, top + side, round=style.round_marks, width=0.9)
            if selected and style.round_marks:
                inset = side * 0.28
                sheet.shape(x + inset, top + inset, x + side - inset, top + side - inset, round=True, fill=0.0)
            elif selected:
                inset = side * 0.2
                sheet.line(x + inset, top + inset, x + side - inset, top + side - inset, 1.2)
                sheet.line(x + inset, top + side - inset, x + side - inset, top + inset, 1.2)
            sheet.text(x + side + 6, self.y, label, style.font, style.size)
            self._note(label, "SELECTED" if selected else "NOT_SELECTED", (x, top, x + side, top + side))
            x += wanted
        self.y += 26

    def table(self, rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
        style, sheet = self._style, self._sheet
        high = style.size * 2
        whole = style.paper[0] - 2 * style.margin
        edges = [style.margin]
        for share in widths:
            edges.append(edges[-1] + whole * share / sum(widths))
        top = self.y
        if style.shaded_header:
            sheet.shape(edges[0], top, edges[-1], top + high, width=0, fill=0.88)
        for number, row in enumerate(rows):
            base = top + number * high + high * 0.68
            for column, text in enumerate(row):
                weight: Literal["regular", "bold"] = "regular" if number else "bold"
                left = edges[column] + 5
                if number and column >= len(row) - 2:
                    left = edges[column + 1] - 5 - width_of(text, style.font, style.size)
                sheet.text(left, base, text, style.font, style.size, weight)
        for number in range(len(rows) + 1):
            sheet.line(edges[0], top + number * high, edges[-1], top + number * high)
        for edge in edges:
            sheet.line(edge, top, edge, top + len(rows) * high)
        self._document.tables.append(Table(len(self._document.sheets), tuple(tuple(row) for row in rows)))
        self.y = top + len(rows) * high + 24

    def paragraph(self, text: str) -> None:
        style = self._style
        width = style.paper[0] - 2 * style.margin
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if width_of(longer, style.font, style.size) > width:
                self._sheet.text(style.margin, self.y, line, style.font, style.size)
                self.y += style.size * 1.4
                line = word
            else:
                line = longer
        self._sheet.text(style.margin, self.y, line, style.font, style.size)
        self.y += style.size * 2.4
        self._document.paragraphs.append((len(self._document.sheets), text))


class _Person:
    """Somebody who does not exist."""

    def __init__(self, chance: random.Random) -> None:
        first = [
            "Maria",
            "James",
            "Aisha",
            "Wei",
            "Olga",
            "Peter",
            "Fatima",
            "Noah",
            "Grace",
            "Hugo",
            "Leila",
            "Samuel",
            "Ingrid",
            "Carlos",
            "Priya",
            "Tom",
        ]
        last = [
            "Okafor",
            "Lindqvist",
            "Brown",
            "Delgado",
            "Hartmann",
            "Novak",
            "Sato",
            "Fletcher",
            "Moreau",
            "Walsh",
            "Kim",
            "Abbott",
            "Reyes",
            "Stone",
        ]
        street = ["Maple", "Oak", "Cedar", "River", "Harbour", "Mill", "Chapel", "Orchard", "Park", "Station"]
        town = ["Riverton", "Ashford", "Brookfield", "Lakewood", "Milltown", "Fairview", "Norwood", "Easton"]
        self.first, self.last = chance.choice(first), chance.choice(last)
        self.name = f"{self.first} {self.last}"
        self.born = _date(chance, 1938, 2004)
        self.phone = f"(555) 01{chance.randint(0, 9)}-{chance.randint(1000, 9999)}"
        self.mail = f"{self.first.lower()}.{self.last.lower()}@example.com"
        self.address = f"{chance.randint(2, 980)} {chance.choice(street)} Street"
        self.town = (
            f"{chance.choice(town)}, {chance.choice(['NY', 'CA', 'TX', 'OH', 'WA'])} {chance.randint(10000, 98999)}"
        )


def _date(chance: random.Random, first: int, last: int) -> str:
    start = datetime.date(first, 1, 1).toordinal()
    day = datetime.date.fromordinal(chance.randint(start, datetime.date(last, 12, 31).toordinal()))
    return f"{day.month:02d}/{day.day:02d}/{day.year}"


def _money(chance: random.Random, low: int, high: int) -> float:
    return chance.randint(low * 4, high * 4) / 4


def form(style: Style, seed: int) -> Document:
    """A medical claim of three pages: the patient, the services, the notes."""
    chance = random.Random(f"form {style.name} {seed}")  # noqa: S311 (repeatable, not secret)
    document = Document(f"claim-{style.name}-{seed}", [], seed)
    pen, patient, doctor = _Pen(document, style), _Person(chance), _Person(chance)
    plans = ("Blue River PPO 200", "Northern Mutual Gold", "Unity Basic Plan", "Harvest Health Select")
    pen.page("Medical Claim and Intake Form")
    pen.section("Patient")
    pen.fields(
        [
            ("Patient name", patient.name),
            ("Date of birth", patient.born),
            ("Address", patient.address),
            ("City and state", patient.town),
            ("Phone", patient.phone),
            ("Email", patient.mail),
            ("Member ID", f"{chance.choice('ABCHKMXZ')}{chance.choice('BDFRTW')}-{chance.randint(100000, 999999)}"),
            ("Group number", str(chance.randint(10000, 99999))),
            ("Insurance plan", chance.choice(plans)),
            ("Emergency contact", _Person(chance).name),
        ]
    )
    pen.section("History")
    pen.marks(
        [(label, chance.random() < 0.4) for label in ("Smoker", "Diabetes", "Asthma", "Hypertension", "Allergies")]
    )
    pen.marks([(label, chance.random() < 0.5) for label in ("New patient", "Referred", "Consent given")])
    pen.page("Services")
    pen.fields(
        [
            ("Provider", f"Dr. {doctor.name}"),
            ("Visit date", _date(chance, 2025, 2026)),
            ("Claim number", f"CL-{chance.randint(1000000, 9999999)}"),
            ("Diagnosis code", f"{chance.choice('EIJKM')}{chance.randint(10, 99)}.{chance.randint(0, 9)}"),
        ]
    )
    services = (
        ("99213", "Office visit"),
        ("80053", "Metabolic panel"),
        ("93000", "Electrocardiogram"),
        ("71046", "Chest X-ray"),
        ("85025", "Blood count"),
        ("90471", "Immunization"),
        ("97110", "Therapeutic exercise"),
    )
    rows, total = [["Code", "Service", "Date", "Quantity", "Amount"]], 0.0
    for code, service in chance.sample(services, 5):
        quantity, price = chance.randint(1, 4), _money(chance, 20, 260)
        total += quantity * price
        rows.append([code, service, _date(chance, 2025, 2026), str(quantity), f"{quantity * price:,.2f}"])
    pen.y += 6
    pen.table(rows, (1, 2.2, 1.4, 1.1, 1.2))
    pen.fields([("Total charge", f"${total:,.2f}"), ("Amount paid", f"${_money(chance, 5, 90):,.2f}")])
    pen.page("Clinical Notes")
    other = _Person(chance)
    pen.paragraph(
        f"{patient.name} was seen by Dr. {doctor.name} on {_date(chance, 2025, 2026)} with a cough that has lasted for "
        f"three weeks. The patient lives at {patient.address} and can be reached at {patient.phone}. There is no "
        "fever, and breathing has become easier since the last visit."
    )
    pen.paragraph(
        f"The family doctor, {other.name}, had ordered a chest X-ray, which showed nothing unusual. The patient is "
        "worried about the cost and unhappy with the long wait, but pleased with how the staff explained every step."
    )
    pen.paragraph(
        f"A follow-up visit is planned for {_date(chance, 2027, 2027)}. Please call {other.phone} or write to "
        f"{other.mail} if the cough gets worse or if the medicine causes a rash."
    )
    return document


def invoice(style: Style, seed: int) -> Document:
    """An invoice of one page: heads, a table of positions, a sum."""
    chance = random.Random(f"invoice {style.name} {seed}")  # noqa: S311 (the same)
    document = Document(f"invoice-{style.name}-{seed}", [], seed)
    pen, buyer = _Pen(document, style), _Person(chance)
    pen.page("Invoice")
    pen.fields(
        [
            ("Invoice number", f"INV-{chance.randint(10000, 99999)}"),
            ("Invoice date", _date(chance, 2025, 2026)),
            ("Bill to", buyer.name),
            ("Address", buyer.address),
            ("City and state", buyer.town),
            ("Due date", _date(chance, 2026, 2027)),
        ]
    )
    goods = ("Printer paper", "Exam gloves", "Desk lamp", "Hand sanitizer", "Filing cabinet", "Label printer")
    rows, total = [["Item", "Quantity", "Price", "Amount"]], 0.0
    for item in chance.sample(goods, 4):
        count, price = chance.randint(1, 12), _money(chance, 3, 90)
        total += count * price
        rows.append([item, str(count), f"{price:,.2f}", f"{count * price:,.2f}"])
    pen.y += 6
    pen.table(rows, (2.5, 1, 1.2, 1.3))
    pen.fields([("Total due", f"${total:,.2f}")])
    return document


def registration(style: Style, seed: int) -> Document:
    """A registration of one page: fields and check boxes."""
    chance = random.Random(f"registration {style.name} {seed}")  # noqa: S311 (the same)
    document = Document(f"registration-{style.name}-{seed}", [], seed)
    pen, person = _Pen(document, style), _Person(chance)
    pen.page("Event Registration")
    pen.fields(
        [
            ("Full name", person.name),
            ("Date of birth", person.born),
            ("Phone", person.phone),
            ("Email", person.mail),
            ("Address", person.address),
            ("City and state", person.town),
        ]
    )
    pen.section("Options")
    pen.marks([(label, chance.random() < 0.5) for label in ("Vegetarian", "Newsletter", "First visit")])
    return document
