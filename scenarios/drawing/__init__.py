"""Documents that the project draws itself, with everything that stands on them known.

`form`, `invoice` and `registration` draw one document from a style and a seed. Styles come in two sets: the stand-ins
are tuned on `DEVELOPMENT` and measured on `MEASURED`, which has other fonts, other layouts and other seeds.
"""

from scenarios.drawing.documents import (
    DEVELOPMENT,
    MEASURED,
    Document,
    Field,
    Style,
    Table,
    form,
    invoice,
    registration,
)
from scenarios.drawing.wear import CLEAN, WEARS, Wear, worn

__all__ = [
    "CLEAN",
    "DEVELOPMENT",
    "MEASURED",
    "WEARS",
    "Document",
    "Field",
    "Style",
    "Table",
    "Wear",
    "form",
    "invoice",
    "registration",
    "worn",
]
