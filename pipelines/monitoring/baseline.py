"""Makes the baseline of a model: statistics.json, constraints.json and, with predictions, model_baseline.json.

    python3 -m pipelines.monitoring.baseline --data FOLDER --schema FILE --output FOLDER [--predictions FOLDER]

`--data`: what the model was trained with, raw (as it will be asked), in CSV files with a header; a label column and
others that the schema does not name are left out. `--predictions`: CSV files with a header, with the model's answers to
data that it was *not* trained with: columns with the schema's names of `probability`, `label` and, if there is one,
`decision`. Without them, the monitor judges the data only.

Predictions give two more files, `captured_statistics.json` and `captured_constraints.json`, for Model Monitor:
its baseline must have the columns of what is captured, those of the answer first, where input and output are captured
(Amazon SageMaker AI Developer Guide, "Create a Baseline", read 2026-11-27). The answers in them are those of
`--predictions`, the rest is `--data`.

Ends with 1 and a line that says why if the input is of no use.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from .describe import constraints, statistics
from .quality import Judged
from .report import ModelBaseline
from .schema import Feature, Schema, UnusableInputError, write_json
from .table import Column, Table, csv_rows, read_csv


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="The baseline of a model.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--predictions", type=Path)
    options = parser.parse_args(arguments)
    try:
        schema = Schema.read(options.schema)
        table = read_csv(options.data, schema)
        model = read_predictions(options.predictions, schema) if options.predictions else None
        write_baseline(options.output, table, model)
        if options.predictions:
            write_captured_baseline(options.output, schema, table, options.predictions)
    except UnusableInputError as error:
        print(f"No baseline: {error}", file=sys.stderr)
        return 1
    rows = next(iter(table.values())).rows
    print(f"Baseline of {rows} rows and {len(table)} columns, {'with' if model else 'without'} predictions.")
    return 0


def write_baseline(folder: Path, table: Table, model: ModelBaseline | None = None) -> None:
    """Raises UnusableInputError for a column that is not what the schema says."""
    for column in table.values():
        if column.misfits:
            raise UnusableInputError(f"The column {column.name} has {column.misfits} values that are no numbers.")
    write_json(folder / "statistics.json", statistics(table))
    write_json(folder / "constraints.json", constraints(table))
    if model:
        write_json(folder / "model_baseline.json", model.json())


def write_captured_baseline(folder: Path, schema: Schema, table: Table, predictions: Path) -> None:
    """Raises UnusableInputError. Without decisions among the predictions there is none: a captured answer has one."""
    if schema.decision not in csv_rows(predictions).header:
        return
    answers = read_csv(predictions, Schema(schema.outputs))
    features = {feature.name: table[feature.name] for feature in schema.features}
    told, allowed = statistics({**answers, **features}), constraints({**answers, **features})
    told["dataset"]["item_count"] = next(iter(features.values())).rows
    described = {each["name"]: each for each in allowed["features"]}
    for feature in schema.features:
        if not feature.compared:
            # The documented shape has no word for "do not compare" in one feature: no distance is more than 1.
            member = "comparison_threshold" if feature.kind == "number" else "categorical_comparison_threshold"
            described[feature.name]["monitoringConfigOverrides"] = {"distribution_constraints": {member: 1.0}}
    write_json(folder / "captured_statistics.json", told)
    write_json(folder / "captured_constraints.json", allowed)


def read_predictions(folder: Path, schema: Schema) -> ModelBaseline:
    """Raises UnusableInputError."""
    wanted = [Feature(schema.probability, "number"), Feature(schema.label, "number")]
    if schema.decision in csv_rows(folder).header:
        wanted.append(Feature(schema.decision, "number"))
    columns = read_csv(folder, Schema(()), wanted)
    for column in columns.values():
        if column.missing or column.misfits:
            raise UnusableInputError(f"The predictions' column {column.name} is not a number in each row.")
    probabilities, labels = columns[schema.probability].values, columns[schema.label].values
    if not np.isin(labels, (0, 1)).all() or probabilities.min() < 0 or probabilities.max() > 1:
        raise UnusableInputError("The predictions need labels of 0 or 1, and probabilities from 0 to 1.")
    decisions: Column | None = columns.get(schema.decision)
    told = decisions.values if decisions else np.full(len(labels), np.nan)
    return ModelBaseline.of(schema.probability, Judged(probabilities, told, labels))


if __name__ == "__main__":
    sys.exit(main())
