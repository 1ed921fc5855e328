"""The pictures of the demos of models, as PNG. matplotlib is loaded when the first is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = ROOT / ".build" / "demo"

# Of a model or a world; in these colours everywhere.
NEW, OLD, PLAIN = "#0b6e99", "#c2571a", "#777777"
_FEATURES = ("#c2571a", "#0b6e99", "#6f42c1", "#1a7f37")
_FAINT = "#b0b7be"
_NAMES = {"new": "new model", "production": "in production", "logistic_regression": "logistic regression"}
_LINES = {"new": (NEW, "-"), "production": (OLD, "--"), "logistic_regression": (PLAIN, ":")}


def roc(evaluation: Mapping[str, Any], file: Path) -> Path:
    """The ROC and precision-recall curves of an evaluation: new model, the one in production, logistic regression."""
    figure = _figure(9.0, 4.2)
    left, right = figure.subplots(1, 2)
    models = {
        "new": evaluation["binary_classification_metrics"],
        "production": evaluation.get("production"),
        "logistic_regression": evaluation.get("logistic_regression"),
    }
    for name, found in models.items():
        if not found:
            continue
        color, style = _LINES[name]
        curve = found["receiver_operating_characteristic_curve"]
        told = f"{_NAMES[name]} ({found['auc']['value']:.3f})"
        left.plot(curve["false_positive_rates"], curve["true_positive_rates"], style, color=color, label=told)
        curve = found["precision_recall_curve"]
        told = f"{_NAMES[name]} ({found['pr_auc']['value']:.3f})"
        right.plot(curve["recalls"], curve["precisions"], style, color=color, label=told)
    left.set(title="ROC", xlabel="share of the good that is flagged", ylabel="share of the claims that is flagged")
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision")
    for axes in (left, right):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(title="area under the curve", fontsize=8, title_fontsize=8)
        _plain(axes)
    return _saved(figure, file)


def drift(hours: Sequence[Mapping[str, float]], found: Sequence[bool], changed: int, renewed: int, file: Path) -> Path:
    """How far each feature is from the training data, hour by hour.

    `hours`: distance by feature, 0 to 1; `found`: whether the hour had a violation; `changed`, `renewed`: the first
    hour of the changed world, and the first that the new model's baseline judged.
    """
    figure = _figure(9.0, 3.8)
    axes = figure.subplots()
    names = sorted({name for hour in hours for name in hour}, key=lambda name: -max(h.get(name, 0.0) for h in hours))
    for at, name in enumerate(names):
        loud = at < len(_FEATURES)
        axes.plot(
            range(len(hours)),
            [hour.get(name, float("nan")) for hour in hours],
            marker="o",
            markersize=3,
            color=_FEATURES[at] if loud else _FAINT,
            linewidth=1.8 if loud else 1.0,
            label=name if loud else None,
        )
    for at, violated in enumerate(found):
        if violated:
            axes.axvspan(at - 0.5, at + 0.5, color=OLD, alpha=0.12, linewidth=0)
    top = max(max(hour.values(), default=0.0) for hour in hours) * 1.35 + 0.05
    for at, text in ((changed, "the world\nchanges"), (renewed, "the new\nmodel")):
        if 0 < at < len(hours):
            axes.axvline(at - 0.5, color="#57606a", linewidth=1)
            axes.text(at - 0.4, top * 0.98, text, fontsize=8, va="top")
    axes.set(
        xlabel="hour judged (shaded: with violations)",
        ylabel="distance from training",
        ylim=(0, top),
        xlim=(-0.5, len(hours) - 0.5),
    )
    axes.legend(loc="upper left", fontsize=8, ncols=2)
    _plain(axes)
    return _saved(figure, file)


def accuracy(cases: Mapping[str, Mapping[str, float]], measures: Mapping[str, str], file: Path) -> Path:
    """How good models were by the truth: a group of bars for each measure (its key, its name), 0 to 1."""
    figure = _figure(7.5, 3.8)
    axes = figure.subplots()
    width = 0.8 / len(cases)
    for at, (name, told) in enumerate(cases.items()):
        places = [group + (at - (len(cases) - 1) / 2) * width for group in range(len(measures))]
        heights = [told[measure] for measure in measures]
        bars = axes.bar(places, heights, width * 0.92, color=(PLAIN, OLD, NEW)[at % 3], label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    axes.set_xticks(range(len(measures)), list(measures.values()))
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8, loc="upper right")
    _plain(axes)
    return _saved(figure, file)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _saved(figure: Figure, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without the version, the same figures are the same file.
    figure.savefig(file, dpi=110, metadata={"Software": None})
    return file
