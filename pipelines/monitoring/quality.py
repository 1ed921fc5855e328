"""How good predictions were, and whether they have become worse, once the labels are there.

A label comes late or never, so this is about the predictions that labels arrived for, whenever they were made.

**Measures** are those that Model Monitor knows for two classes, and two that do not depend on a threshold for the
decision: log loss and the Brier score. **The test** is on the log loss of each prediction, as all of them have one:
with 6 % of positives, 300 labels hold 18 of them, and recall alone would tell little. Losses are skewed, so no normal
distribution is assumed: the losses of baseline and window are shuffled together, and the p-value is the share of
shuffles in which the window's mean is as high as it was (a one-sided permutation test).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import Check
from .sketch import sketch, weighted
from .table import Numbers

MINIMUM_LABELS = 100
LOSS_FLOOR = 0.1
_SHUFFLES = 4_999
# So many are enough to know that a p-value is not small (Besag and Clifford, "Sequential Monte Carlo p-values", 1991).
_ENOUGH = 20
# One answer of 0 or 1 that is wrong has no endless loss.
_CLIP = 1e-3


@dataclass(frozen=True)
class Judged:
    """Predictions with their labels (0 or 1). A decision is NaN if the model gave none."""

    probabilities: Numbers
    decisions: Numbers
    labels: Numbers

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def losses(self) -> Numbers:
        """The log loss of each."""
        sure = np.clip(self.probabilities, _CLIP, 1 - _CLIP)
        return np.asarray(-np.log(np.where(self.labels == 1, sure, 1 - sure)), dtype=np.float64)

    def measures(self) -> dict[str, float | None]:
        """By name; None for what cannot be said, such as recall without positives."""
        positive = self.labels == 1
        told = ~np.isnan(self.decisions)
        said = self.decisions[told] == 1
        right = int(np.sum(said & positive[told]))
        precision = right / int(said.sum()) if said.any() else None
        recall = right / int(positive[told].sum()) if positive[told].any() else None
        both = precision is not None and recall is not None
        return {
            "log_loss": float(self.losses.mean()) if len(self) else None,
            "brier_score": float(np.mean((self.probabilities - self.labels) ** 2)) if len(self) else None,
            "auc": roc_auc(self.labels, self.probabilities),
            "pr_auc": average_precision(self.labels, self.probabilities),
            "accuracy": float(np.mean(said == positive[told])) if told.any() else None,
            "precision": precision,
            "recall": recall,
            "f1": 2 * right / int(said.sum() + positive[told].sum()) if both else None,
        }


def roc_auc(labels: Numbers, scores: Numbers) -> float | None:
    """The chance that a positive is ranked above a negative; None if there is but one class."""
    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    # Among equal scores, each takes the middle rank.
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Numbers, scores: Numbers) -> float | None:
    """The area under precision over recall, as a sum of steps; None without positives."""
    if not np.any(labels == 1):
        return None
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(labels[order] == 1)
    # Equal scores are one step: no order among them is better than another.
    last = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def quality_baseline(judged: Judged) -> dict[str, Any]:
    """What is kept of a model's predictions on data that it was not trained with."""
    return {"labels": len(judged), "measured": judged.measures(), "losses": sketch(judged.losses)}


def quality_check(judged: Judged, baseline: dict[str, Any], label: str) -> Check:
    """Whether the losses have become higher."""
    values, weights = weighted(baseline["losses"])
    # A sketch of many losses stands for more than it holds. What it holds is tested: that only makes it less sure.
    before = np.repeat(values, np.maximum(1, np.round(weights / weights.min()).astype(int))) if len(values) else values
    losses = judged.losses
    change = float(losses.mean() - before.mean())
    text = f"mean log loss {losses.mean():.4f} of {len(losses)} labels, {before.mean():.4f} before"
    p = shuffled(losses, before)
    effect = change / float(before.mean())
    return Check(label, "model quality", "quality", "baseline_drift_check", p, effect, LOSS_FLOOR, text)


def shuffled(values: Numbers, before: Numbers) -> float:
    """The p-value of a mean that is higher than before, by permutation. The seed is fixed: a report can be repeated."""
    random = np.random.default_rng(0)
    pool = np.concatenate([values, before])
    observed = float(values.sum())
    count = 0
    for done in range(1, _SHUFFLES + 1):
        count += float(pool[random.choice(len(pool), len(values), replace=False, shuffle=False)].sum()) >= observed
        if count == _ENOUGH:
            return count / done
    return (count + 1) / (_SHUFFLES + 1)
