"""Serves the model: raw rows in, a probability and a decision for each out.

AWS's XGBoost image, in script mode, calls these four functions (SageMaker XGBoost Containers, "Serving"; SageMaker
Inference Toolkit, read 2026-11-27).

In, as `text/csv`: a row a line, no header, the features in the order of the schema; an empty field is a missing value.
In, as `application/json`: `{"instances": [...]}`, where an instance is a list in the same order, or an object by names;
a feature that is absent or null is missing.

Out, as `application/json`: `{"predictions": [{"probability": 0.071, "decision": 0}, ...]}`; as `text/csv`: a line
`probability,decision` for each row.

A row that is not as the schema says is answered with 400 and the reason, and none of the request's rows is predicted. A
category that the model never saw is no error: see `features`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import features

try:  # pragma: no cover (AWS's image has it, and answers its errors with their status)
    from sagemaker_inference.errors import BaseInferenceToolkitError as ToolkitError
except ImportError:  # Wherever else the script runs.
    ToolkitError = None

CSV, JSON = "text/csv", "application/json"
MOST_ROWS = 10_000


class _RequestError(ToolkitError or Exception):  # type: ignore[misc]  # which one is known at run time only
    """The caller's mistake: a status, and a message that says which."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        if ToolkitError is None:
            super().__init__(message)
        else:
            super().__init__(status_code, message, phrase)
        self.status_code, self.message, self.phrase = status_code, message, phrase

    def __str__(self) -> str:
        return self.message


class BadRequestError(_RequestError):
    """400: the body is not what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message, "Bad Request")


class UnsupportedTypeError(_RequestError):
    """415 for a body, 406 for an answer of a type that is not served."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(status_code, message, "Unsupported Media Type" if status_code == 415 else "Not Acceptable")


@dataclass(frozen=True)
class Model:
    """The trees, how raw rows become their inputs, from which score on the decision is 1, and the columns."""

    booster: Any
    fitted: Mapping[str, Any]
    threshold: float
    schema: features.Schema

    def score(self, table: features.Table) -> Any:
        """The probability of each row, float32, 0 to 1."""
        return self.booster.inplace_predict(features.transform(table, self.fitted), validate_features=False)


def model_fn(model_dir: str) -> Model:
    """The model of an unpacked artefact. Raises OSError or ValueError where it is not whole."""
    import xgboost as xgb

    folder = Path(model_dir)
    booster = xgb.Booster()
    booster.load_model(folder / "model.json")
    # A request has few rows: a second thread would cost more than it brings.
    booster.set_param({"nthread": 1})
    fitted = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
    return Model(booster, fitted, float(decision["threshold"]), features.Schema.of(fitted["schema"]))


def input_fn(data: str | bytes, content_type: str) -> list[Any]:
    """The rows of a request: lists of fields, or objects. Raises BadRequestError, UnsupportedTypeError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (CSV, JSON):
        raise UnsupportedTypeError(415, f"The type {kind or 'none'} is not served: send {CSV} or {JSON}.")
    try:
        text = data.decode("utf-8") if isinstance(data, (bytes, bytearray)) else data
        rows = features.read_rows(text, "The body") if kind == CSV else _instances(text)
    except UnicodeDecodeError as error:
        raise BadRequestError("The body is not text in UTF-8.") from error
    except features.DataError as error:
        raise BadRequestError(str(error)) from error
    if not rows:
        raise BadRequestError("The body holds no row.")
    if len(rows) > MOST_ROWS:
        raise BadRequestError(f"The body holds {len(rows)} rows; {MOST_ROWS} are the most.")
    return list(rows)


def predict_fn(data: list[Any], model: Model) -> list[tuple[float, int]]:
    """Probability and decision of each row. Raises BadRequestError for a row that is not as the schema says."""
    try:
        rows = [_fields(at, row, model.schema) for at, row in enumerate(data, 1)]
        table = features.to_table(rows, model.schema.features, model.schema)
    except features.DataError as error:
        raise BadRequestError(str(error)) from error
    return [(float(score), int(score >= model.threshold)) for score in model.score(table)]


def output_fn(prediction: list[tuple[float, int]], accept: str) -> tuple[str, str]:
    """The answer's body and type: what the caller accepts first of what is served."""
    for wanted in accept.split(","):
        kind = wanted.partition(";")[0].strip().lower()
        if kind in (JSON, "*/*", "application/*", ""):
            made = [{"probability": round(score, 6), "decision": decision} for score, decision in prediction]
            return json.dumps({"predictions": made}), JSON
        if kind in (CSV, "text/*"):
            return "".join(f"{score:.6f},{decision}\n" for score, decision in prediction), CSV
    raise UnsupportedTypeError(406, f"The type {accept} is not served: accept {JSON} or {CSV}.")


def _instances(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadRequestError("The body is no JSON.") from error
    instances = document.get("instances") if isinstance(document, dict) else document
    if not isinstance(instances, list):
        raise BadRequestError('The body has no list of "instances".')
    return instances


def _fields(at: int, row: Any, schema: features.Schema) -> list[str]:
    """A row as a CSV has it, so that one way of reading serves both types."""
    if isinstance(row, dict):
        unknown = sorted(set(row) - set(schema.features))
        if unknown:
            raise BadRequestError(f"Row {at} has a feature that the schema does not know: {unknown[0][:60]}.")
        row = [row.get(name) for name in schema.features]
    if not isinstance(row, list):
        raise BadRequestError(f"Row {at} is neither a list nor an object.")
    if any(isinstance(value, (dict, list, bool)) for value in row):
        raise BadRequestError(f"Row {at} holds something else than numbers and texts.")
    return ["" if value is None else str(value) for value in row]
