"""Columns of the data, and the way from them to the numbers that a model takes.

One way for all: the preparation fits it on the training part and saves it as JSON, which travels in the model's
artefact. So the endpoint and the evaluation do to a row exactly what was done to the training rows, and take them raw.

**Gaps.** How a missing number is filled depends on its column, as it is in the training part:

- under 20 % missing and about symmetric (skew between -1 and 1): the mean;
- under 20 % missing and skewed: the median, which a long tail does not pull away;
- 20 to 30 % missing: a linear model of the other columns (ridge regression), as one number for so many rows would
  flatten the column and tear it from those that it goes with. Its answers are kept within the range that was seen.

With more than 30 % missing a column is refused: then something is wrong with the data. A missing category is a category
of its own, as that it is missing may mean something.

**Encoding.** A category becomes a 0/1 column for each value of the training part. A value that is new later has 0 in
all of them: the model is told nothing of it, and the monitor counts it. Numbers are scaled to mean 0 and deviation 1.

Only the standard library and numpy, since it runs wherever a model does.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = Any  # numpy's arrays; their types differ between the versions that the containers bring.
Table = Mapping[str, Array]

MISSING = ("", "nan", "na", "n/a", "null", "none")
MISSING_CATEGORY = "(missing)"

SKEWED = 1.0
MODEL_FROM = 0.20
MOST_MISSING = 0.30
MOST_CATEGORIES = 100
_RIDGE = 1.0


class DataError(Exception):
    """The data is not as the schema says. `str()` names lines and columns, never what stands in them."""


@dataclass(frozen=True)
class Schema:
    """The columns: the label's name, and the features in the order in which a model takes them.

    In JSON: `{"label": {"name": NAME}, "features": [{"name": NAME, "type": "numeric" | "categorical"}, ...]}`, with a
    `description` of each if there is something to say.
    """

    label: str
    features: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Schema:
        """The schema that a JSON document describes. Raises DataError for another kind of column."""
        kinds = {feature["name"]: feature["type"] for feature in document["features"]}
        for name, kind in kinds.items():
            if kind not in ("numeric", "categorical"):
                raise DataError(f"The schema has the type {kind} for column {name}: numeric and categorical are known.")
        return cls(
            document["label"]["name"],
            tuple(kinds),
            tuple(name for name, kind in kinds.items() if kind == "numeric"),
            tuple(name for name, kind in kinds.items() if kind == "categorical"),
        )

    @classmethod
    def read(cls, file: Path) -> Schema:
        """The schema of a file. Raises DataError when it is none, OSError when it is not there."""
        try:
            return cls.of(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file.name} is no schema: {type(error).__name__} {error}") from error

    def document(self) -> dict[str, Any]:
        """As JSON."""
        kinds = dict.fromkeys(self.numeric, "numeric") | dict.fromkeys(self.categorical, "categorical")
        return {"label": {"name": self.label}, "features": [{"name": n, "type": kinds[n]} for n in self.features]}


# --- Reading ---------------------------------------------------------------------------------------------------------


def number(text: str) -> float:
    """The number that a field holds, NaN for an empty one. Raises ValueError for anything else, infinity included."""
    if text.strip().lower() in MISSING:
        return math.nan
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def category(text: str) -> str:
    """The category that a field holds; `(missing)` for an empty one."""
    plain = text.strip()
    return MISSING_CATEGORY if plain.lower() in MISSING else plain


def read_rows(text: str, name: str) -> list[list[str]]:
    """The lines of a CSV as fields; blank lines are left out. Raises DataError where it is none."""
    if "\0" in text:
        raise DataError(f"{name} is no CSV: it holds binary data.")
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise DataError(f"{name} is no CSV: {error}.") from error


def to_table(rows: Iterable[Sequence[str]], columns: Sequence[str], schema: Schema, *, first_line: int = 1) -> Table:
    """Rows of fields as columns: numbers as float64 with NaN, categories as text.

    `columns` names the fields of a row; those that are not in the schema are left out. `first_line` is what the first
    row counts as. Raises DataError for a row of another length and for a number that is none.
    """
    places = [(columns.index(name), name, name in schema.numeric) for name in schema.features]
    found: dict[str, list[Any]] = {name: [] for name in schema.features}
    for line, row in enumerate(rows, first_line):
        if len(row) != len(columns):
            raise DataError(f"Line {line} has {len(row)} fields instead of {len(columns)}.")
        for place, name, is_number in places:
            if is_number:
                try:
                    found[name].append(number(row[place]))
                except ValueError:
                    raise DataError(f"Line {line}, column {name}: not a number.") from None
            else:
                found[name].append(category(row[place]))
    return {
        name: np.array(values, dtype=np.float64 if name in schema.numeric else object) for name, values in found.items()
    }


def take(table: Table, rows: Array) -> Table:
    """These rows of a table, by their numbers."""
    return {name: values[rows] for name, values in table.items()}


def missing_share(table: Table, name: str) -> float:
    """How much of a column is missing, 0 to 1."""
    values = table[name]
    gaps = np.isnan(values) if values.dtype != object else values == MISSING_CATEGORY
    return float(np.mean(gaps))


# --- Fitting ---------------------------------------------------------------------------------------------------------


def fit(table: Table, schema: Schema) -> dict[str, Any]:
    """What `transform` needs, learnt from the training part and from nothing else; a JSON document.

    Raises DataError for a column with too many gaps or categories.
    """
    numbers: dict[str, dict[str, Any]] = {}
    for name in schema.numeric:
        numbers[name] = _describe(name, table[name])
    categories: dict[str, list[str]] = {}
    for name in schema.categorical:
        found = sorted(set(table[name]))
        if len(found) > MOST_CATEGORIES:
            raise DataError(f"Column {name} has {len(found)} categories; more than {MOST_CATEGORIES} are not encoded.")
        categories[name] = found
    fitted: dict[str, Any] = {"schema": schema.document(), "numbers": numbers, "categories": categories}

    plain = _plain(table, schema, fitted)
    for name in schema.numeric:
        if numbers[name]["method"] != "model":
            continue
        known = ~np.isnan(table[name])
        others = _others(plain, name)[known]
        target = (table[name][known] - numbers[name]["mean"]) / numbers[name]["deviation"]
        numbers[name]["weights"] = _ridge(others, target).tolist()
    fitted["columns"] = list(plain)
    return fitted


def _describe(name: str, values: Array) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    missing = 1.0 - len(known) / len(values)
    if missing > MOST_MISSING:
        raise DataError(
            f"Column {name} is missing in {missing:.0%} of the rows; more than {MOST_MISSING:.0%} is refused."
        )
    mean, deviation = float(np.mean(known)), float(np.std(known))
    skew = float(np.mean(((known - mean) / deviation) ** 3)) if deviation > 0 else 0.0
    skewed = abs(skew) > SKEWED
    return {
        "method": "model" if missing >= MODEL_FROM else "median" if skewed else "mean",
        "value": float(np.median(known)) if skewed else mean,
        "missing": missing,
        "skew": skew,
        "mean": mean,
        # A column that never changes tells nothing, and stays 0.
        "deviation": deviation if deviation > 0 else 1.0,
        "lowest": float(np.min(known)),
        "highest": float(np.max(known)),
    }


def _ridge(inputs: Array, target: Array) -> Array:
    """Weights of the inputs, and of a constant 1 as the last, which is not held down."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 0.0
    return np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ target)


# --- Transforming ----------------------------------------------------------------------------------------------------


def transform(table: Table, fitted: Mapping[str, Any]) -> Array:
    """The matrix that a model takes, rows by `fitted["columns"]`, float32."""
    schema = Schema.of(fitted["schema"])
    plain = _plain(table, schema, fitted)
    filled = dict(plain)
    for name, about in fitted["numbers"].items():
        gaps = np.isnan(table[name])
        if about["method"] == "model" and gaps.any():
            weights = np.asarray(about["weights"])
            guess = _others(plain, name)[gaps] @ weights[:-1] + weights[-1]
            lowest, highest = ((about[end] - about["mean"]) / about["deviation"] for end in ("lowest", "highest"))
            column = plain[name].copy()
            column[gaps] = np.clip(guess, lowest, highest)
            filled[name] = column
    return np.column_stack([filled[name] for name in fitted["columns"]]).astype(np.float32)


def _plain(table: Table, schema: Schema, fitted: Mapping[str, Any]) -> dict[str, Array]:
    """The columns of the matrix by name, with gaps filled by the mean or the median."""
    made: dict[str, Array] = {}
    for name in schema.features:
        values = table[name]
        if name in schema.numeric:
            about = fitted["numbers"][name]
            filled = np.where(np.isnan(values), about["value"], values)
            made[name] = (filled - about["mean"]) / about["deviation"]
        else:
            for known in fitted["categories"][name]:
                made[f"{name}={known}"] = (values == known).astype(np.float64)
    return made


def _others(plain: Mapping[str, Array], name: str) -> Array:
    return np.column_stack([values for column, values in plain.items() if column != name])
