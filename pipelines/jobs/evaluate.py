"""Evaluate: asks the new model and the one in production about the same rows, which neither was trained on.

The test rows come raw, and each model prepares them in its own way, as its endpoint would. Beside the two stands a
logistic regression on the new model's training rows, for the record: what the trees are good for shows only against
something plain.

    evaluation/evaluation.json                       below
    evaluation/roc.png, precision_recall.png
    predictions/predictions.csv                      the new model's answers with the truth: what the monitor's baseline
                                                     of predictions is made of

`evaluation.json` has the shape of SageMaker's model quality metrics (Amazon SageMaker AI Developer Guide, "Model
Quality Metrics", read 2026-11-27) under `binary_classification_metrics`, so that the registry reads it. A standard
deviation is that of five samples of 80 % of the rows, as there, and the text `NaN` below 200 rows. Ours are, beside
it:

    decision             the threshold, chosen on the validation part when the model was trained
    production           the same metrics of the model in production, or null
    logistic_regression  the same, of the plain model
    selection            what the pipeline decides by: `metric` (its name), `value` (the new model's), `to_beat` (of the
                         model in production; 0.0 where there is none, which is below every useful model), and
                         `production_model` (whether there is one)

    python3 -m evaluate --model FOLDER --production FOLDER --test FOLDER --train FOLDER --metric NAME
                        --output FOLDER --predictions FOLDER --message FILE

`--production` holds an archive under any name. The pipeline has no "if" for an input, so where no model is in
production it brings an archive that says so by holding `no-model.txt`. Anything else there is an error and not taken
for "none", or a damaged model would be replaced unseen.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

import features
import inference
from failure import JobError, run

# What can be decided by, and its place in SageMaker's shape. Precision-recall's area is ours: SageMaker has none.
METRICS = ("recall", "precision", "f1", "f2", "accuracy", "auc", "pr_auc")
NO_MODEL = "no-model.txt"
FEWEST_FOR_DEVIATION = 200
_SAMPLES, _SAMPLED = 5, 0.8
_CURVE_POINTS = 101
_SEED = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 0, or 1 with the reason told."""
    parser = argparse.ArgumentParser(description="Evaluate the model.")
    parser.add_argument("--model", type=Path, required=True, help="folder with the new model.tar.gz")
    parser.add_argument(
        "--production", type=Path, required=True, help="folder with the archive of the one in production"
    )
    parser.add_argument("--test", type=Path, required=True, help="folder with test.csv")
    parser.add_argument("--train", type=Path, required=True, help="folder with train.csv")
    parser.add_argument("--metric", choices=METRICS, required=True, help="what the pipeline decides by")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--message", type=Path, help="file for the reason of a failure")
    chosen = parser.parse_args(arguments)

    def job() -> None:
        try:
            evaluate(chosen)
        except features.DataError as error:
            raise JobError(str(error)) from error

    return run(job, chosen.message)


def evaluate(chosen: argparse.Namespace) -> dict[str, Any]:
    """Writes the report, the plots and the predictions, and returns the report. Raises JobError, DataError."""
    with tempfile.TemporaryDirectory() as scratch:
        new = _load(_unpack(chosen.model, Path(scratch) / "new"), "new model")
        old = _load(_unpack(chosen.production, Path(scratch) / "production"), "model in production")
    if new is None:
        raise JobError("The new model's archive says that it is none.")
    label, rows, header = _read_test(chosen.test, new.schema)

    found = {"new": _ask(new, rows, header, "new model")}
    thresholds = {"new": new.threshold}
    if old is not None:
        found["production"] = _ask(old, rows, header, "model in production")
        thresholds["production"] = old.threshold
    found["logistic_regression"] = _plain_scores(chosen.train, new, rows, header)
    thresholds["logistic_regression"] = 0.5

    measured = {name: metrics(label, scores, thresholds[name]) for name, scores in found.items()}
    report = {
        "version": 0.0,
        "dataset": {"item_count": len(label), "positive_share": float(np.mean(label))},
        "binary_classification_metrics": measured["new"],
        "decision": {"threshold": new.threshold},
        "production": measured.get("production"),
        "logistic_regression": measured["logistic_regression"],
        "selection": {
            "metric": chosen.metric,
            "value": measured["new"][chosen.metric]["value"],
            "to_beat": measured["production"][chosen.metric]["value"] if old is not None else 0.0,
            "production_model": old is not None,
        },
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n")
    _plot(chosen.output, measured)
    _write_predictions(chosen.predictions, new, found["new"], label)
    print(json.dumps(report["selection"]), flush=True)
    return report


def metrics(label: Any, score: Any, threshold: float) -> dict[str, Any]:
    """The metrics of one model in SageMaker's shape, and `pr_auc`. `label` is 0 or 1 and holds both."""
    values = _values(label, score, threshold)
    deviations: dict[str, Any] = dict.fromkeys(values, "NaN")
    if len(label) >= FEWEST_FOR_DEVIATION:
        random = np.random.default_rng(_SEED)
        drawn = []
        for _ in range(_SAMPLES):
            sample = random.choice(len(label), size=int(len(label) * _SAMPLED), replace=False)
            if len(np.unique(label[sample])) == 2:
                drawn.append(_values(label[sample], score[sample], threshold))
        deviations = {name: float(np.std([one[name] for one in drawn])) for name in values}
    false_positive, true_positive, _ = roc_curve(label, score)
    precisions, recalls, _ = precision_recall_curve(label, score)
    counts = _counts(label, score >= threshold)
    return {
        "confusion_matrix": {str(truth): {str(said): counts[truth][said] for said in (0, 1)} for truth in (0, 1)},
        **{name: {"value": value, "standard_deviation": deviations[name]} for name, value in values.items()},
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": _thinned(false_positive),
            "true_positive_rates": _thinned(true_positive),
        },
        "precision_recall_curve": {"precisions": _thinned(precisions), "recalls": _thinned(recalls)},
    }


def _values(label: Any, score: Any, threshold: float) -> dict[str, float]:
    (true_negative, false_positive), (false_negative, true_positive) = _counts(label, score >= threshold)
    positive, negative = true_positive + false_negative, true_negative + false_positive
    # Where nothing is flagged, nothing is flagged rightly.
    precision = true_positive / (true_positive + false_positive) if true_positive + false_positive else 0.0
    recall = true_positive / positive
    # The best guess that looks at no row: the more frequent class, always.
    always = int(positive >= negative)

    def f_score(beta: float) -> float:
        bottom = beta**2 * precision + recall
        return (1 + beta**2) * precision * recall / bottom if bottom else 0.0

    return {
        "recall": recall,
        "precision": precision,
        "accuracy": (true_positive + true_negative) / len(label),
        "recall_best_constant_classifier": float(always),
        "precision_best_constant_classifier": positive / len(label) if always else 0.0,
        "accuracy_best_constant_classifier": max(positive, negative) / len(label),
        "true_positive_rate": recall,
        "true_negative_rate": true_negative / negative,
        "false_positive_rate": false_positive / negative,
        "false_negative_rate": false_negative / positive,
        "auc": float(roc_auc_score(label, score)),
        "pr_auc": float(average_precision_score(label, score)),
        "f0_5": f_score(0.5),
        "f1": f_score(1.0),
        "f2": f_score(2.0),
    }


def _counts(label: Any, said: Any) -> list[list[int]]:
    return [[int(np.sum((label == truth) & (said == answer))) for answer in (0, 1)] for truth in (0, 1)]


def _thinned(curve: Any) -> list[float]:
    """At most a hundred points of a curve: the report is read by a service, too."""
    at = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).astype(int))
    return [float(value) for value in curve[at]]


# --- The models ------------------------------------------------------------------------------------------------------


def _unpack(folder: Path, into: Path) -> Path:
    archives = sorted(file for file in folder.rglob("*") if file.is_file() and file.name.endswith(".tar.gz"))
    if len(archives) != 1:
        raise JobError(f"The input {folder.name} has {len(archives)} archives instead of one.")
    try:
        with tarfile.open(archives[0]) as archive:
            archive.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise JobError(f"The archive of the input {folder.name} cannot be unpacked: {type(error).__name__}.") from error
    return into


def _load(folder: Path, name: str) -> inference.Model | None:
    """The unpacked model, or None where the archive says that there is none."""
    if (folder / NO_MODEL).is_file():
        return None
    try:
        return inference.model_fn(str(folder))
    except Exception as error:
        raise JobError(f"The {name} cannot be loaded: {type(error).__name__}.") from error


def _read_test(folder: Path, schema: features.Schema) -> tuple[Any, list[list[str]], list[str]]:
    """Label, raw rows and column names of the test part."""
    file = folder / "test.csv"
    if not file.is_file():
        raise JobError("The input of the test part has no test.csv.")
    header, *rows = features.read_rows(file.read_text(encoding="utf-8"), file.name)
    if schema.label not in header:
        raise JobError(f"The test part has no column {schema.label}.")
    place = header.index(schema.label)
    label = np.array([int(float(row[place])) for row in rows])
    if len(np.unique(label)) != 2:
        raise JobError("The test part has one class only: two are needed.")
    return label, rows, header


def _ask(model: inference.Model, rows: list[list[str]], header: list[str], name: str) -> Any:
    absent = [column for column in model.schema.features if column not in header]
    if absent:
        raise JobError(f"The {name} takes columns that the data no longer has: {', '.join(absent)}.")
    return model.score(features.to_table(rows, header, model.schema, first_line=2))


def _plain_scores(train: Path, new: inference.Model, rows: list[list[str]], header: list[str]) -> Any:
    """What a logistic regression says, that learnt from the same prepared rows with the same weights of the classes."""
    with (train / "train.csv").open(encoding="utf-8") as source:
        next(source)
        learnt = np.loadtxt(source, delimiter=",", dtype=np.float64, ndmin=2)
    plain = LogisticRegression(class_weight="balanced", max_iter=2000).fit(learnt[:, 1:], learnt[:, 0])
    matrix = features.transform(features.to_table(rows, header, new.schema, first_line=2), new.fitted)
    return plain.predict_proba(matrix.astype(np.float64))[:, 1]


def _write_predictions(folder: Path, model: inference.Model, scores: Any, label: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as out:
        write = csv.writer(out).writerow
        write(["probability", "decision", model.schema.label])
        for score, truth in zip(scores, label, strict=True):
            write([f"{score:.6f}", int(score >= model.threshold), int(truth)])


# --- Plots -----------------------------------------------------------------------------------------------------------

_NAMES = {"new": "new model", "production": "in production", "logistic_regression": "logistic regression"}
_LINES = {"new": ("#0b6e99", "-"), "production": ("#c2571a", "--"), "logistic_regression": ("#777777", ":")}


def _plot(output: Path, measured: Mapping[str, Mapping[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def draw(name: str, labels: tuple[str, str], curve: Callable[[Mapping[str, Any]], tuple[Any, Any, float]]) -> None:
        figure, axes = pyplot.subplots(figsize=(5, 4.2), layout="constrained")
        for model, found in measured.items():
            across, up, area = curve(found)
            color, style = _LINES[model]
            axes.plot(across, up, style, color=color, label=f"{_NAMES[model]} ({area:.3f})")
        axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", title="area under the curve")
        # Without the version, the same data gives the same file.
        figure.savefig(output / name, dpi=110, metadata={"Software": None})
        pyplot.close(figure)

    roc, precision_recall = "receiver_operating_characteristic_curve", "precision_recall_curve"
    draw(
        "roc.png",
        ("share of the negative that are flagged", "share of the positive that are flagged"),
        lambda of: (of[roc]["false_positive_rates"], of[roc]["true_positive_rates"], of["auc"]["value"]),
    )
    draw(
        "precision_recall.png",
        ("recall", "precision"),
        lambda of: (of[precision_recall]["recalls"], of[precision_recall]["precisions"], of["pr_auc"]["value"]),
    )


if __name__ == "__main__":
    sys.exit(main())
