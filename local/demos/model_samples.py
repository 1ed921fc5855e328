"""What the demos of models share: labelled deliveries to learn from, and how a training is shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT
from local.files import FileKind
from scenarios import training_pipeline

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.screen import Screen

FOLDER = ROOT / ".build" / "deliveries"
LABELLED = FileKind(
    "file of labelled deliveries",
    "files of labelled deliveries",
    (".csv",),
    lambda name: name.lower().endswith(".csv"),
    "learnt from",
)


def write(folder: Path, name: str, count: int, seed: int, *, labelled: bool = True) -> Path:
    """Draws deliveries of the usual world into a CSV; without labels it has no header, as an endpoint takes it."""
    from pipelines.deliveries import world

    frame = world.draw(count, seed)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    text = frame.to_csv(index=False) if labelled else frame[list(world.FEATURES)].to_csv(index=False, header=False)
    file.write_text(text, encoding="utf-8")
    return file


def training_json(report: training_pipeline.Report) -> dict[str, Any]:
    """A training for machines. Times in seconds, metrics 0 to 1."""
    evaluation = report.evaluation
    found = evaluation.get("binary_classification_metrics", {})
    return {
        "status": report.status,
        "reason": report.reason,
        "execution": report.execution,
        "package": report.package,
        "seconds": round(report.seconds, 3),
        "steps": [
            {
                "name": step.name,
                "status": step.status,
                "seconds": None if step.seconds is None else round(step.seconds, 3),
                "reason": step.reason,
            }
            for step in report.steps
        ],
        "selection": evaluation.get("selection"),
        "threshold": evaluation.get("decision", {}).get("threshold"),
        "confusion_matrix": found.get("confusion_matrix"),
        "metrics": {name: found[name]["value"] for name in _METRICS if name in found},
    }


def show_training(report: training_pipeline.Report, screen: Screen) -> Iterable[RenderableType]:
    """Its steps with their times, and what the evaluation found."""
    from rich.text import Text

    styles = {"REGISTERED": "green", "NOT_BETTER": "yellow"}
    words = {"REGISTERED": "registered, pending approval", "NOT_BETTER": "not registered"}
    yield Text.assemble(
        ("\nThe training  ", "bold"),
        (words.get(report.status, report.status.lower()), styles.get(report.status, "red")),
        f", {report.seconds:.1f} s",
    )
    arrow = f" {screen.symbol('→', '->')} "
    shown = [f"{step.name} {'' if step.seconds is None else f'{step.seconds:.1f} s'}".strip() for step in report.steps]
    if shown:
        yield Text(arrow.join(shown), "dim")
    if report.reason:
        yield Text(report.reason)
    if report.package:
        yield Text(f"Package  {report.package}")
    if report.evaluation:
        yield _measured(report.evaluation, screen)
        yield _confusion(report.evaluation)


_METRICS = ("pr_auc", "auc", "recall", "precision", "f1")
_HEADS = {"pr_auc": "PR AUC", "auc": "ROC AUC", "recall": "recall", "precision": "precision", "f1": "F1"}


def _measured(evaluation: Any, screen: Screen) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII,
        expand=False,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column(f"On {evaluation['dataset']['item_count']:,} rows never seen", no_wrap=True)
    for name in _METRICS:
        table.add_column(_HEADS[name], justify="right")
    models = {
        "new model": evaluation["binary_classification_metrics"],
        "in production": evaluation.get("production"),
        "logistic regression": evaluation.get("logistic_regression"),
    }
    for model, found in models.items():
        if found:
            table.add_row(model, *(f"{found[name]['value']:.3f}" for name in _METRICS))
    return table


def _confusion(evaluation: Any) -> RenderableType:
    from rich.text import Text

    counts = evaluation["binary_classification_metrics"]["confusion_matrix"]
    right, missed = counts["1"]["1"], counts["1"]["0"]
    alarms, passed = counts["0"]["1"], counts["0"]["0"]
    threshold = evaluation["decision"]["threshold"]
    return Text(
        f"From a score of {threshold:.2f} on, a delivery is flagged: {right} claims found, {missed} missed,"
        f" {alarms} flagged for nothing, {passed:,} rightly left alone.\n"
    )
