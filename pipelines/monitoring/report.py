"""The report of one window: the decision, and the files that it goes into.

- `constraint_violations.json` and `statistics.json` have Model Monitor's shapes.
- `drift.json` is our own, with what these have no place for:

      {"version": 1,
       "verdict": "drift" | "no drift" | "too few rows",
       "violations": 3,                          as many as in constraint_violations.json; above 0, the window alarms
       "drift_share": 0.29,                      drifted features of all, 0 to 1
       "window": {"start": ..., "end": ..., "requests": ..., "rows": ..., "outside_window": ..., "duplicates": ...,
                  "malformed_records": 2, "malformed": {"no JSON": 2}, "malformed_labels": {},
                  "history_requests": ..., "history_of_other_models": ..., "history_malformed": {}},
       "features": [{"name": "price", "type": "number", "distance": 0.31, "p_value": ..., "q_value": ...,
                     "drifted": true, "changes": ["the distributions are 0.31 apart (mean 54, 41 before)"],
                     "checks": [{"check": "distribution", "p_value": ..., "q_value": ..., "effect": 0.31,
                                 "floor": 0.1, "found": true}, ...]}, ...],
       "prediction": like a feature, or null,
       "quality": {"labels": 340, "labels_without_prediction": 2, "measured": {"pr_auc": ...}, "baseline": {...},
                   "drifted": true, "changes": [...]} or null,
       "notes": ["57 rows are too few to judge: it takes 100."]}

  `distance` is the largest gap between the two distributions for a number, the largest difference of a share (new
  categories included) for a text; null where nothing was compared. `p_value` and `q_value` (corrected) are that
  check's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import (
    MINIMUM_ROWS,
    Baseline,
    Check,
    Reference,
    Verdict,
    Window,
    column_checks,
    feature_checks,
    judge,
    number_checks,
)
from .describe import NUMBER_THRESHOLD, number_statistics
from .quality import MINIMUM_LABELS, Judged, quality_baseline, quality_check
from .schema import Schema, UnusableInputError
from .sketch import weighted
from .table import Column, Numbers


@dataclass(frozen=True)
class ModelBaseline:
    """What a model answered to data that it was not trained with: the content of `model_baseline.json`, our own file.

    `prediction` is its probabilities in the shape of a feature of statistics.json; `quality` is `quality_baseline`.
    """

    prediction: dict[str, Any]
    quality: dict[str, Any]

    @classmethod
    def of(cls, name: str, judged: Judged) -> ModelBaseline:
        """From predictions with their labels."""
        column = Column(name, "number", judged.probabilities, 0)
        return cls(number_statistics(column), quality_baseline(judged))

    @classmethod
    def read(cls, told: dict[str, Any]) -> ModelBaseline:
        """Raises UnusableInputError."""
        try:
            return cls(told["prediction"], told["quality"])
        except (KeyError, TypeError):
            raise UnusableInputError("model_baseline.json has not the shape that it was written in.") from None

    def json(self) -> dict[str, Any]:
        """What `read` takes."""
        return {"version": 1, "prediction": self.prediction, "quality": self.quality}


@dataclass(frozen=True)
class Report:
    """The decision on a window."""

    schema: Schema
    window: Window
    verdicts: tuple[Verdict, ...]
    distances: dict[str, float | None]
    prediction: str
    quality: dict[str, Any] | None
    notes: tuple[str, ...]
    judged: bool

    @property
    def found(self) -> list[Verdict]:
        """What is different."""
        return [verdict for verdict in self.verdicts if verdict.found]

    @property
    def violations(self) -> list[dict[str, str]]:
        """The members of constraint_violations.json: one for each feature and kind of violation."""
        texts: dict[tuple[str, str], list[str]] = {}
        for verdict in self.found:
            check = verdict.check
            texts.setdefault((check.feature, check.violation), []).append(f"{check.name}: {check.text}")
        return [
            {"feature_name": feature, "constraint_check_type": kind, "description": "; ".join(lines)}
            for (feature, kind), lines in texts.items()
        ]

    @property
    def verdict(self) -> str:
        if self.found:
            return "drift"
        return "no drift" if self.judged else "too few rows"

    @property
    def message(self) -> str:
        """The exit message, in the words of the managed monitor where it has some."""
        count = len(self.violations)
        if count:
            return f"CompletedWithViolations: Job completed successfully with {count} violations."
        if not self.judged:
            return f"Completed: {' '.join(self.notes)}"
        return "Completed: Job completed successfully with no violations."

    def drift(self, window: dict[str, Any]) -> dict[str, Any]:
        """The content of drift.json; `window` is the member of that name."""
        features = [
            self._feature(feature.name, feature.kind)
            for feature in self.schema.features
            if feature.name in self.distances
        ]
        return {
            "version": 1,
            "verdict": self.verdict,
            "violations": len(self.violations),
            "drift_share": float(np.mean([each["drifted"] for each in features])) if features else 0.0,
            "window": window,
            "features": features,
            "prediction": self._feature(self.prediction, "number") if self.prediction in self.distances else None,
            "quality": self.quality,
            "notes": list(self.notes),
        }

    def _feature(self, name: str, kind: str) -> dict[str, Any]:
        own = [verdict for verdict in self.verdicts if verdict.check.feature == name]
        compared = next((each for each in own if each.check.name in ("distribution", "shares")), None)
        return {
            "name": name,
            "type": kind,
            "distance": self.distances[name],
            "p_value": compared and compared.check.p,
            "q_value": compared and compared.q,
            "drifted": any(each.found for each in own),
            "changes": [each.check.text for each in own if each.found],
            "checks": [
                {
                    "check": each.check.name,
                    "p_value": each.check.p,
                    "q_value": each.q,
                    "effect": each.check.effect,
                    "floor": each.check.floor if np.isfinite(each.check.floor) else None,
                    "found": each.found,
                }
                for each in own
            ],
        }


def make_report(
    schema: Schema,
    baseline: Baseline,
    window: Window,
    *,
    probabilities: Numbers,
    model: ModelBaseline | None = None,
    labelled: Judged | None = None,
    labels_without_prediction: int = 0,
) -> Report:
    """The decision on a window; pure. `labelled`: predictions that labels have arrived for, None without any label."""
    checks: list[Check] = []
    distances: dict[str, float | None] = {}
    notes: list[str] = []
    judged = window.asked >= MINIMUM_ROWS
    if judged:
        checks += column_checks(window, baseline)
        for name, column in window.table.items():
            own = feature_checks(column, baseline.columns[name], baseline)
            checks += own
            distances[name] = _distance(column, baseline.columns[name], own)
        distances.update(dict.fromkeys(window.absent))
    else:
        notes.append(f"{window.asked} rows are too few to judge: it takes {MINIMUM_ROWS}.")
    if model and judged:
        prediction = _prediction_checks(schema.probability, probabilities, model)
        checks += prediction
        distances[schema.probability] = prediction[0].effect if prediction else None
    if model is None:
        alone = schema.probability in baseline.columns
        notes.append(
            "The baseline holds no labels: quality is not judged."
            if alone
            else "The baseline holds no predictions: neither prediction drift nor quality is judged."
        )

    quality: dict[str, Any] | None = None
    if model and labelled is not None:
        enough = len(labelled) >= MINIMUM_LABELS
        if enough:
            judged = True
            checks.append(quality_check(labelled, model.quality, schema.label or "label"))
        else:
            notes.append(f"{len(labelled)} labels are too few to judge: it takes {MINIMUM_LABELS}.")
        quality = {
            "labels": len(labelled),
            "labels_without_prediction": labels_without_prediction,
            "measured": labelled.measures() if len(labelled) else {},
            "baseline": model.quality["measured"],
        }
    verdicts = judge(checks)
    if quality is not None:
        worse = [verdict.check.text for verdict in verdicts if verdict.check.level == "quality" and verdict.found]
        quality |= {"drifted": bool(worse), "changes": worse}
    return Report(schema, window, tuple(verdicts), distances, schema.probability, quality, tuple(notes), judged)


def _prediction_checks(name: str, probabilities: Numbers, model: ModelBaseline) -> list[Check]:
    if len(probabilities) < MINIMUM_ROWS:
        return []
    told = model.prediction["numerical_statistics"]
    values, weights = weighted(told["distribution"]["kll"]["sketch"]["data"])
    present = int(told["common"]["num_present"])
    reference = Reference(name, present, 0, values, weights, {}, False, False, NUMBER_THRESHOLD, True)
    return number_checks(Column(name, "number", probabilities, 0), reference)


def _distance(column: Column, reference: Reference, checks: Sequence[Check]) -> float | None:
    if not reference.compared or not len(column.values):
        return None
    if column.kind == "number":
        return next((check.effect for check in checks if check.name == "distribution"), None)
    now, before = Counter(column.values.tolist()), reference.categories
    total = sum(before.values())
    if not total:
        return None
    return max(abs(now[name] / len(column.values) - before.get(name, 0) / total) for name in {*now, *before})
