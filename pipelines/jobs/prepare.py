"""Prepare: reads the data, checks it, and splits it before anything is learnt from it.

    read and check → drop duplicates → split 80/10/10 → fit gaps, encoding and scale on the training part → write

The order matters. Were duplicates dropped after the split, a row could stand on both sides of it; were means taken
before it, the training would know something of the test. Either way the test's figures would flatter. The split keeps
the label's shares in every part; the test part is never weighted, filled or scaled.

Folders it writes:

    train/train.csv            label and matrix, with a header         what the model learns from
    validation/validation.csv  the same columns                        early stopping and the threshold
    test/test.csv              raw rows as they came, label first      what the evaluation asks the model
    baseline/baseline.csv      raw features of the training part       what the monitor compares with
    preprocessing/preprocessing.json                                   see `features`
    report/report.json         counts and shares, nothing of a row

    python3 -m prepare --input FOLDER --schema FILE --output FOLDER --message FILE [--seed 7] [--data-version TEXT]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import features
from failure import JobError, run

TEST_SHARE = VALIDATION_SHARE = 0.1
FEWEST_ROWS = 200
# Three of a class in the smallest part at least, or the shares mean nothing there.
FEWEST_OF_A_CLASS = 30
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Data:
    """Rows as they came, their columns, and their label."""

    rows: list[list[str]]
    table: features.Table
    label: features.Array


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 0, or 1 with the reason told."""
    parser = argparse.ArgumentParser(description="Check, split and prepare the data.")
    parser.add_argument("--input", type=Path, required=True, help="folder with CSV files, at any depth")
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the folders are made in it")
    parser.add_argument("--message", type=Path, help="file for the reason of a failure")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data-version", default="", help="which state of the data this is; kept in the report")
    chosen = parser.parse_args(arguments)

    def job() -> None:
        try:
            prepare(chosen.input, chosen.schema, chosen.output, seed=chosen.seed, version=chosen.data_version)
        except features.DataError as error:
            raise JobError(str(error)) from error

    return run(job, chosen.message)


def prepare(source: Path, schema_file: Path, output: Path, *, seed: int, version: str = "") -> dict[str, Any]:
    """Writes all folders (see above) and returns the report. Raises DataError when the data does not serve."""
    schema = features.Schema.read(schema_file)
    data, dropped = _deduplicated(*_read(source, schema), schema)
    _check(data, schema)
    parts = dict(zip(PARTS, split(data.label, seed), strict=True))

    fitted = features.fit(features.take(data.table, parts["train"]), schema)
    for name in ("train", "validation"):
        rows = parts[name]
        matrix = features.transform(features.take(data.table, rows), fitted)
        lines = np.column_stack([data.label[rows], matrix])
        file = _made(output / name / f"{name}.csv")
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerow([schema.label, *fitted["columns"]])
            np.savetxt(out, lines, fmt="%.9g", delimiter=",")
    _write_rows(output / "test" / "test.csv", [schema.label, *schema.features], [data.rows[i] for i in parts["test"]])
    _write_rows(output / "baseline" / "baseline.csv", schema.features, [data.rows[i][1:] for i in parts["train"]])
    _write_json(output / "preprocessing" / "preprocessing.json", fitted)

    report = {
        "data_version": version,
        "rows": len(data.label),
        "dropped": dropped,
        "label": schema.label,
        "positive_share": float(np.mean(data.label)),
        "parts": {
            name: {"rows": len(rows), "positive_share": float(np.mean(data.label[rows]))}
            for name, rows in parts.items()
        },
        "gaps": {
            name: {key: about[key] for key in ("method", "missing", "skew")}
            for name, about in fitted["numbers"].items()
        },
        "seed": seed,
    }
    _write_json(output / "report" / "report.json", report)
    print(json.dumps(report), flush=True)
    return report


def split(label: features.Array, seed: int) -> tuple[features.Array, features.Array, features.Array]:
    """Row numbers of the training, the validation and the test part; each has the label's shares, to the row.

    Drawn here and not by a library, whose versions differ between AWS's image and elsewhere: a seed gives the same
    rows.
    """
    random = np.random.default_rng(seed)
    parts: tuple[list[features.Array], ...] = ([], [], [])
    for value in np.unique(label):
        rows = random.permutation(np.flatnonzero(label == value))
        for_test = round(len(rows) * TEST_SHARE)
        for_validation = round(len(rows) * VALIDATION_SHARE)
        cuts = (len(rows) - for_test - for_validation, len(rows) - for_test)
        for part, drawn in zip(parts, np.split(rows, cuts), strict=True):
            part.append(drawn)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return train, validation, test


# --- Reading and checking --------------------------------------------------------------------------------------------


def _read(source: Path, schema: features.Schema) -> tuple[Data, int]:
    """All rows of all CSV files, label first, and how many had no label."""
    files = sorted(file for file in source.rglob("*") if file.is_file() and file.suffix.lower() == ".csv")
    if not files:
        raise features.DataError("There is no CSV file at the data's location.")
    wanted = [schema.label, *schema.features]
    rows: list[list[str]] = []
    labels: list[int] = []
    tables: list[features.Table] = []
    unlabelled = 0
    for file in files:
        header, lines = _lines(file, wanted)
        place = header.index(schema.label)
        kept = []
        for line, row in enumerate(lines, 2):
            if len(row) != len(header):
                raise features.DataError(f"{file.name}, line {line}: {len(row)} fields instead of {len(header)}.")
            mark = row[place].strip()
            if mark.lower() in features.MISSING:
                unlabelled += 1
                kept.append(False)
                continue
            if mark not in ("0", "1", "0.0", "1.0"):
                raise features.DataError(f"{file.name}, line {line}: the label {schema.label} is neither 0 nor 1.")
            labels.append(int(mark[0]))
            kept.append(True)
        try:
            table = features.to_table(lines, header, schema, first_line=2)
        except features.DataError as error:
            raise features.DataError(f"{file.name}: {error}") from error
        mask = np.array(kept, dtype=bool)
        tables.append({name: values[mask] for name, values in table.items()})
        places = [header.index(name) for name in wanted]
        rows += [[row[at] for at in places] for row, keep in zip(lines, kept, strict=True) if keep]
    joined = {name: np.concatenate([table[name] for table in tables]) for name in schema.features}
    return Data(rows, joined, np.array(labels, dtype=np.int64)), unlabelled


def _lines(file: Path, wanted: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise features.DataError(f"{file.name} is no CSV: it is not text in UTF-8.") from error
    rows = features.read_rows(text, file.name)
    if not rows:
        raise features.DataError(f"{file.name} is empty.")
    header = [name.strip() for name in rows[0]]
    absent = [name for name in wanted if name not in header]
    if absent:
        raise features.DataError(f"{file.name} has no column {', '.join(absent)}.")
    twice = sorted({name for name in wanted if header.count(name) > 1})
    if twice:
        raise features.DataError(f"{file.name} has more than one column {', '.join(twice)}.")
    return header, rows[1:]


def _deduplicated(data: Data, unlabelled: int, schema: features.Schema) -> tuple[Data, dict[str, int]]:
    """Each row once, by its values: `1.0` and `1.00` are the same. Of rows that are alike but for the label, none."""
    columns = [data.table[name] for name in schema.features]
    first: dict[tuple[Any, ...], int] = {}
    contradicted: set[tuple[Any, ...]] = set()
    for row, values in enumerate(zip(*columns, strict=True)):
        # NaN is not equal to itself, which would make two such rows differ.
        key = tuple(None if value != value else value for value in values)  # noqa: PLR0124
        if key not in first:
            first[key] = row
        elif data.label[first[key]] != data.label[row]:
            contradicted.add(key)
    kept = np.array(sorted(row for key, row in first.items() if key not in contradicted), dtype=np.int64)
    again = len(data.label) - len(first)
    dropped = {"unlabelled": unlabelled, "duplicates": again, "contradictory": len(contradicted)}
    return Data([data.rows[row] for row in kept], features.take(data.table, kept), data.label[kept]), dropped


def _check(data: Data, schema: features.Schema) -> None:
    count, positive = len(data.label), int(np.sum(data.label))
    if count < FEWEST_ROWS:
        raise features.DataError(f"There are {count} different rows; {FEWEST_ROWS} are needed at least.")
    if positive in (0, count):
        raise features.DataError(
            f"The label {schema.label} is {int(positive > 0)} in every row: two classes are needed."
        )
    few = min(positive, count - positive)
    if few < FEWEST_OF_A_CLASS:
        raise features.DataError(
            f"The label {schema.label} is {int(positive == few)} in {few} rows only; {FEWEST_OF_A_CLASS} are needed."
        )
    flooded = {name: features.missing_share(data.table, name) for name in schema.features}
    flooded = {name: share for name, share in flooded.items() if share > features.MOST_MISSING}
    if flooded:
        told = ", ".join(f"{name} ({share:.0%})" for name, share in flooded.items())
        raise features.DataError(f"More than {features.MOST_MISSING:.0%} of the values are missing in: {told}.")


# --- Writing ---------------------------------------------------------------------------------------------------------


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _write_rows(file: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with _made(file).open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header, *rows])


def _write_json(file: Path, document: Any) -> None:
    _made(file).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
