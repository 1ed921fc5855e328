"""Evaluate: figures that are right, a comparison on the same rows, and no guess where there is something wrong."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

import evaluate
from failure import JobError
from pipelines.definition.archive import Case
from pipelines.deliveries import world
from tests.pipelines.containers import Jobs

NewJobs = Callable[[Case], Jobs]


def test_the_figures_are_those_of_the_definitions(deliveries: Jobs) -> None:
    # Given the model's answers to the test part, with the truth
    said = pd.read_csv(deliveries.root / "predictions" / "predictions.csv")
    label, score, decision = said["claimed"], said["probability"], said["decision"]
    found = deliveries.report("evaluation/evaluation.json")["binary_classification_metrics"]

    # Then the report's figures are what another library makes of them
    expected = {
        "precision": reference.precision_score(label, decision),
        "recall": reference.recall_score(label, decision),
        "f1": reference.f1_score(label, decision),
        "f2": reference.fbeta_score(label, decision, beta=2),
        "accuracy": reference.accuracy_score(label, decision),
        "auc": reference.roc_auc_score(label, score),
        "pr_auc": reference.average_precision_score(label, score),
        "false_positive_rate": ((decision == 1) & (label == 0)).sum() / (label == 0).sum(),
        "accuracy_best_constant_classifier": (label == 0).mean(),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-4), name
        assert found[name]["standard_deviation"] < 0.1
    matrix = reference.confusion_matrix(label, decision)
    assert found["confusion_matrix"] == {str(t): {str(s): matrix[t][s] for s in (0, 1)} for t in (0, 1)}


def test_without_a_model_in_production_there_is_nothing_to_beat(deliveries: Jobs) -> None:
    # Given an evaluation with the archive that is no model
    report = deliveries.report("evaluation/evaluation.json")

    # Then the report says so, and the condition's two figures are there
    assert report["production"] is None
    assert report["selection"] == {
        "metric": "pr_auc",
        "value": report["binary_classification_metrics"]["pr_auc"]["value"],
        "to_beat": 0.0,
        "production_model": False,
    }
    assert report["decision"] == {"threshold": deliveries.report("model/decision.json")["threshold"]}


def test_both_models_are_asked_about_the_same_rows_each_in_its_own_way(jobs: NewJobs, deliveries: Jobs) -> None:
    # Given a model of the shifted world, which knows a category that the one in production does not
    run = jobs("deliveries")
    run.give(world.draw(6000, 21, shifted=True))
    assert run.prepare().code == 0
    assert run.train().code == 0

    # When it is evaluated against that one
    ended = run.evaluate("pr_auc", deliveries.root / "artefact")

    # Then the old one's figures are there, and worse than on its own world
    assert ended.code == 0, ended.log
    report = run.report("evaluation/evaluation.json")
    old = report["production"]["pr_auc"]["value"]
    assert report["selection"]["production_model"] is True
    assert report["selection"]["to_beat"] == old
    at_home = deliveries.report("evaluation/evaluation.json")["binary_classification_metrics"]["pr_auc"]["value"]
    assert old < at_home
    # And the new one beats it
    assert report["selection"]["value"] > old
    # And a model that is compared with itself gets the same figures
    assert run.evaluate("f1", run.root / "artefact").code == 0
    selection = run.report("evaluation/evaluation.json")["selection"]
    assert selection["value"] == selection["to_beat"]


def test_the_plots_are_pictures(deliveries: Jobs) -> None:
    # Then both are PNG files
    for name in ("roc.png", "precision_recall.png"):
        assert (deliveries.root / "evaluation" / name).read_bytes().startswith(b"\x89PNG")


def test_a_deviation_needs_enough_rows() -> None:
    # Given 199 rows, and one more
    random = np.random.default_rng(1)
    label = np.array([0, 1] * 100)
    score = np.clip(random.normal(0.3 + 0.4 * label, 0.2), 0, 1)

    # Then the fewer have none, as SageMaker has it
    fewer, enough = (evaluate.metrics(label[:n], score[:n], 0.5) for n in (199, 200))
    assert fewer["auc"]["standard_deviation"] == "NaN"
    assert 0 < enough["auc"]["standard_deviation"] < 0.1


def test_a_model_that_flags_nothing_has_no_precision() -> None:
    # Given scores that are all below the threshold
    found = evaluate.metrics(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.1, 0.3]), 0.5)
    # Then that is 0 and no error
    assert [found[name]["value"] for name in ("precision", "recall", "f1")] == [0.0, 0.0, 0.0]


WRONG: dict[str, tuple[Callable[[Path, Jobs], object], str]] = {
    "a damaged model in production": (
        lambda folder, _: (folder / "model.tar.gz").write_bytes(b"\x1f\x8b no archive"),
        "The archive of the input production cannot be unpacked: ",
    ),
    "an archive of something else": (
        lambda folder, run: run.pack(run.root / "test", folder / "model.tar.gz"),
        "The model in production cannot be loaded: ",
    ),
    "nothing at all": (lambda folder, _: None, "The input production has 0 archives instead of one."),
    "two models": (
        lambda folder, run: [shutil.copy(run.root / "artefact" / "model.tar.gz", folder / f"{n}.tar.gz") for n in "ab"],
        "The input production has 2 archives instead of one.",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_production_is_not_taken_for_none(what: str, deliveries: Jobs, tmp_path: Path) -> None:
    # Given something else than a model or the archive that says it is none
    spoil, reason = WRONG[what]
    production = tmp_path / "production"
    production.mkdir()
    spoil(production, deliveries)

    # When the new model is evaluated against it, then the job fails and says why
    with pytest.raises(JobError) as raised:
        evaluate.evaluate(_arguments(deliveries, production, tmp_path))
    assert str(raised.value).startswith(reason)


def test_a_model_whose_columns_are_gone_cannot_be_compared(deliveries: Jobs, tmp_path: Path) -> None:
    # Given test rows without a column that the model takes
    shutil.copytree(deliveries.root / "test", tmp_path / "test")
    file = tmp_path / "test" / "test.csv"
    pd.read_csv(file).drop(columns="carrier").to_csv(file, index=False)
    arguments = _arguments(deliveries, deliveries.root / "artefact", tmp_path)
    arguments.test = tmp_path / "test"

    # When it is evaluated, then the reason names the column
    with pytest.raises(JobError, match="takes columns that the data no longer has: carrier"):
        evaluate.evaluate(arguments)


def _arguments(run: Jobs, production: Path, output: Path) -> argparse.Namespace:
    return argparse.Namespace(
        model=run.root / "artefact",
        production=production,
        test=run.root / "test",
        train=run.root / "train",
        metric="pr_auc",
        output=output / "evaluation",
        predictions=output / "predictions",
    )
