"""Columns as arrays: numbers with NaN for what is missing, texts with None."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .schema import Feature, Kind, Schema, UnusableInputError

Numbers = npt.NDArray[np.float64]

# What stands for a missing value in a CSV field or a text of JSON; training reads its data in the same way.
_MISSING = frozenset(("", "nan", "null", "none", "na", "n/a"))


@dataclass(frozen=True)
class Column:
    """The values of one feature. `misfits` counts what was there and is no (finite) number; it is not in `values`."""

    name: str
    kind: Kind
    values: npt.NDArray[Any]
    missing: int
    misfits: int = 0

    @classmethod
    def parse(cls, feature: Feature, raw: Sequence[Any]) -> Column:
        """From fields of a CSV or values of JSON."""
        return _numbers(feature.name, raw) if feature.kind == "number" else _texts(feature.name, raw)

    @property
    def rows(self) -> int:
        return len(self.values) + self.missing + self.misfits


Table = Mapping[str, Column]


def _numbers(name: str, raw: Sequence[Any]) -> Column:
    values, missing, misfits = [], 0, 0
    for each in raw:
        if _is_missing(each):
            missing += 1
            continue
        try:
            value = float(each)
        except (TypeError, ValueError):
            misfits += 1
            continue
        if math.isfinite(value):
            values.append(value)
        else:
            misfits += 1
    return Column(name, "number", np.asarray(values, dtype=np.float64), missing, misfits)


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def _texts(name: str, raw: Sequence[Any]) -> Column:
    texts = [str(each).strip() for each in raw if not _is_missing(each)]
    return Column(name, "string", np.asarray(texts, dtype=object), len(raw) - len(texts))


def read_csv(folder: Path, schema: Schema, also: Sequence[Feature] = ()) -> dict[str, Column]:
    """The schema's columns of all CSV files with a header below a folder. Raises UnusableInputError."""
    rows = csv_rows(folder)
    wanted = (*schema.features, *also)
    lacking = [feature.name for feature in wanted if feature.name not in rows.header]
    if lacking:
        raise UnusableInputError(f"The data has no column {', '.join(lacking)}.")
    places = {name: at for at, name in enumerate(rows.header)}
    return {feature.name: Column.parse(feature, [row[places[feature.name]] for row in rows.rows]) for feature in wanted}


@dataclass(frozen=True)
class Rows:
    """The rows of CSV files, and their header."""

    header: tuple[str, ...]
    rows: list[list[str]]


def csv_rows(folder: Path) -> Rows:
    """All CSV files with a header below a folder (or one file), as one. Raises UnusableInputError."""
    files = [folder] if folder.is_file() else sorted(file for file in folder.rglob("*.csv") if file.is_file())
    header: tuple[str, ...] = ()
    rows: list[list[str]] = []
    for file in files:
        try:
            with file.open(encoding="utf-8", newline="") as stream:
                reader = csv.reader(stream)
                first = tuple(next(reader, ()))
                found = [row for row in reader if row]
        except (UnicodeDecodeError, csv.Error):
            raise UnusableInputError(f"{file.name} is no CSV in UTF-8.") from None
        if header and first != header:
            raise UnusableInputError(f"{file.name} has another header than the files before it.")
        if any(len(row) != len(first) for row in found):
            raise UnusableInputError(f"{file.name} has rows that are longer or shorter than its header.")
        header = first
        rows += found
    if not rows:
        raise UnusableInputError(f"There are no rows of CSV in {folder}.")
    return Rows(header, rows)
