"""Measures of predictions against scikit-learn's, and the decision whether they have become worse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from pipelines.monitoring.captures import Answer, Labels
from pipelines.monitoring.checks import Window
from pipelines.monitoring.monitor import merge
from pipelines.monitoring.quality import Judged, shuffled
from pipelines.monitoring.report import ModelBaseline, Report, make_report
from tests.unit.monitoring import SCHEMA, baseline, kinds, rows, table


def predictions(count: int, seed: int, *, skill: float = 1.0) -> Judged:
    """Answers of a model that knows the truth with some skill: 1 is calibrated, 0 knows nothing. Some 8 % are 1."""
    random = np.random.default_rng(seed)
    truth = 1 / (1 + np.exp(-random.normal(-3.2, 1.5, count)))
    labels = (random.random(count) < truth).astype(float)
    said = np.where(random.random(count) < skill, truth, random.permutation(truth))
    return Judged(said, (said > 0.2).astype(float), labels)


def report(judged: Judged | None, *, window_rows: int = 300, without: int = 0, answers: int = 0) -> Report:
    """On a clean window, with labels for some predictions, against a calibrated model's baseline."""
    model = ModelBaseline.of("probability", predictions(1500, seed=1))
    said = predictions(answers, seed=3).probabilities if answers else np.empty(0)
    window = Window(table(rows(window_rows, seed=70)), window_rows)
    return make_report(
        SCHEMA, baseline(), window, probabilities=said, model=model, labelled=judged, labels_without_prediction=without
    )


def test_the_measures_are_scikit_learn_s() -> None:
    # Given predictions with equal ones among them
    judged = predictions(700, seed=5)
    rounded = Judged(np.round(judged.probabilities, 2), judged.decisions, judged.labels)
    # When they are measured
    found = rounded.measures()
    # Then
    labels, scores, decided = rounded.labels, rounded.probabilities, rounded.decisions
    expected = {
        "log_loss": metrics.log_loss(labels, np.clip(scores, 1e-3, 1 - 1e-3)),
        "brier_score": metrics.brier_score_loss(labels, scores),
        "auc": metrics.roc_auc_score(labels, scores),
        "pr_auc": metrics.average_precision_score(labels, scores),
        "accuracy": metrics.accuracy_score(labels, decided),
        "precision": metrics.precision_score(labels, decided),
        "recall": metrics.recall_score(labels, decided),
        "f1": metrics.f1_score(labels, decided),
    }
    assert found == pytest.approx(expected)


def test_what_cannot_be_said_is_not_said() -> None:
    # Given labels of one class, and a model that decides nothing
    nothing = np.full(3, np.nan)
    found = Judged(np.array([0.1, 0.2, 0.3]), nothing, np.zeros(3)).measures()
    assert {name for name, value in found.items() if value is None} == {
        "auc",
        "pr_auc",
        "accuracy",
        "precision",
        "recall",
        "f1",
    }
    # And where nothing is flagged there is no precision
    found = Judged(np.array([0.1, 0.2, 0.3]), np.zeros(3), np.array([0, 0, 1.0])).measures()
    assert (found["precision"], found["recall"], found["f1"]) == (None, 0.0, None)


def test_the_permutation_test_agrees_with_scipy_s() -> None:
    random = np.random.default_rng(3)
    before, now = random.exponential(size=400), random.exponential(size=100) * 1.15
    expected = stats.permutation_test(
        (now, before), lambda a, b: a.mean() - b.mean(), n_resamples=4000, alternative="greater", rng=1
    ).pvalue
    assert shuffled(now, before) == pytest.approx(expected, rel=0.4)
    assert shuffled(now * 3, before) <= 1 / 2500
    assert shuffled(now, before) == shuffled(now, before)


def test_a_model_as_good_as_before_is_no_drift() -> None:
    found = report(predictions(300, seed=2), without=4)
    assert found.violations == []
    quality = found.drift({})["quality"]
    assert (quality["labels"], quality["labels_without_prediction"], quality["drifted"]) == (300, 4, False)
    assert quality["measured"]["auc"] > 0.75
    assert quality["baseline"]["auc"] > 0.75


def test_a_model_that_has_become_worse_is_found_by_late_labels() -> None:
    # Given labels that the model no longer knew
    found = report(predictions(1000, seed=2, skill=0.2))
    # Then the label's column has a violation that says how much worse, and the data have none
    assert kinds(found) == {("good", "baseline_drift_check")}
    assert "mean log loss" in found.violations[0]["description"]
    quality = found.drift({})["quality"]
    assert quality["drifted"]
    assert quality["measured"]["auc"] < quality["baseline"]["auc"]
    assert found.drift({})["drift_share"] == 0


def test_labels_may_come_when_there_is_no_traffic() -> None:
    found = report(predictions(1000, seed=2, skill=0.2), window_rows=0)
    assert (kinds(found), found.verdict) == ({("good", "baseline_drift_check")}, "drift")
    assert report(predictions(1000, seed=2), window_rows=0).verdict == "no drift"


def test_few_labels_are_told_and_not_judged() -> None:
    found = report(predictions(99, seed=2, skill=0))
    assert found.violations == []
    assert "99 labels are too few to judge: it takes 100." in found.notes
    assert found.drift({})["quality"]["measured"]["brier_score"] > 0
    assert report(predictions(0, seed=2)).drift({})["quality"]["measured"] == {}


def test_answers_that_are_others_than_before_are_prediction_drift() -> None:
    # Given the same questions and answers, Then nothing
    assert report(None, answers=300).violations == []
    # Given a model that answers twice as high, Then the probability's column has a violation
    model = ModelBaseline.of("probability", predictions(1500, seed=1))
    said = np.minimum(1, predictions(300, seed=3).probabilities * 2)
    window = Window(table(rows(300, seed=70)), 300)
    found = make_report(SCHEMA, baseline(), window, probabilities=said, model=model)
    assert kinds(found) == {("probability", "baseline_drift_check")}
    prediction = found.drift({})["prediction"]
    assert prediction["drifted"]
    assert prediction["distance"] > 0.1


def test_without_a_baseline_of_the_model_the_report_says_what_it_did_not_judge() -> None:
    window = Window(table(rows(300, seed=70)), 300)
    found = make_report(
        SCHEMA, baseline(), window, probabilities=np.ones(300), labelled=predictions(300, seed=2, skill=0)
    )
    assert found.violations == []
    assert (found.drift({})["prediction"], found.drift({})["quality"]) == (None, None)
    assert any("neither prediction drift nor quality is judged" in note for note in found.notes)


def test_labels_find_their_predictions() -> None:
    # Given answers to two events, and labels for one of them, for another one, and one too few
    answers = {"a": [Answer(0.5, 1), Answer(0.25, 0)], "b": [Answer(0.75, 1)], "c": [Answer(0.1, 0)] * 2}
    judged, without = merge(Labels({"a": [1, 0], "gone": [1], "c": [1]}), answers)
    # Then what belongs together is together, and the rest is counted
    assert (judged.probabilities.tolist(), judged.labels.tolist()) == ([0.5, 0.25], [1, 0])
    assert without == 2
    assert len(merge(Labels(), answers)[0]) == 0
