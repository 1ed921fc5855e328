"""The demos of models, as they are shown: what they say of a story that went well, and of one that did not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from local.demos import model_monitor, realtime_endpoint, training_pipeline
from local.demos.drift_story import Choices, Hour, Report, Story, measures, quiet
from local.screen import Screen
from pipelines.deliveries.world import FEATURES
from scenarios import model_monitor as monitoring
from scenarios import training_pipeline as training
from scenarios.deliveries import Asked, Calls
from scenarios.model_monitor import Verdict
from scenarios.realtime_endpoint import Answer
from scenarios.realtime_endpoint import Report as Deployment

START = datetime(2026, 11, 27, 10, tzinfo=timezone.utc)
CURVES = {
    "receiver_operating_characteristic_curve": {
        "false_positive_rates": [0.0, 0.2, 1.0],
        "true_positive_rates": [0.0, 0.8, 1.0],
    },
    "precision_recall_curve": {"precisions": [0.1, 0.6, 1.0], "recalls": [1.0, 0.5, 0.0]},
}


def measured(pr_auc: float) -> dict[str, Any]:
    """The metrics of one model as an evaluation has them."""
    values = {"pr_auc": pr_auc, "auc": 0.9, "recall": 0.6, "precision": 0.5, "f1": 0.55}
    return {
        **{name: {"value": value} for name, value in values.items()},
        **CURVES,
        "confusion_matrix": {"0": {"0": 1100, "1": 20}, "1": {"0": 30, "1": 50}},
    }


def trained(status: training.Status = "REGISTERED", production: float | None = None, reason: str = "") -> Any:
    """A training as its scenario reports it."""
    return training.Report(
        status,
        "arn:aws:sagemaker:us-east-1:000000000000:pipeline/training-pipeline/execution/abc",
        8.2,
        reason=reason,
        package="arn:aws:sagemaker:us-east-1:000000000000:model-package/training-pipeline/2",
        steps=(training.Step("Prepare", "Succeeded", seconds=0.5), training.Step("Train", "Succeeded", seconds=2.5)),
        evaluation={
            "dataset": {"item_count": 1200},
            "binary_classification_metrics": measured(0.56),
            "logistic_regression": measured(0.24),
            "production": None if production is None else measured(production),
            "decision": {"threshold": 0.7},
            "selection": {
                "metric": "pr_auc",
                "value": 0.56,
                "to_beat": production or 0.0,
                "production_model": production is not None,
            },
        },
    )


def hour(at: int, world: Any, alarm: str, distances: Mapping[str, float], drifted: tuple[str, ...] = ()) -> Hour:
    """An hour as the story has it."""
    features = [
        {"name": name, "distance": distance, "drifted": name in drifted, "changes": [f"{name} is not as it was"]}
        for name, distance in distances.items()
    ]
    drift = {"features": features, "prediction": None, "quality": None, "window": {"rows": 300}}
    violations = tuple({"feature_name": name} for name in drifted)
    return Hour(
        world,
        Verdict(START + timedelta(hours=at), f"job-{at}", "JUDGED", 1.0, violations=violations, drift=drift),
        alarm,
    )


def asked(*answers: tuple[float, int]) -> Asked:
    """Answers by their probability and the truth."""
    return Asked(
        tuple("row" for _ in answers),
        tuple(label for _, label in answers),
        tuple(Answer(probability, int(probability >= 0.5)) for probability, _ in answers),
        (("one", len(answers)),),
    )


@pytest.fixture
def story() -> Report:
    """Three hours, one of each kind, and all that belongs to them."""
    calls = Calls([0.005, 0.007, 0.03])
    return Report(
        first=trained(),
        hours=[
            hour(0, "usual", "OK", {"price": 0.05, "category": 0.02}),
            hour(1, "changed", "ALARM", {"price": 0.3, "category": 0.19}, ("price", "category")),
            hour(2, "changed", "OK", {"price": 0.04, "category": 0.03}),
        ],
        usual=asked((0.9, 1), (0.2, 0)),
        alarm_raised=START + timedelta(hours=2),
        second=trained(production=0.38),
        calls=calls,
        before=asked((0.9, 0), (0.2, 1)),
        after=asked((0.9, 1), (0.2, 0)),
        alarm_cleared=START + timedelta(hours=4),
    )


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_story_can_be_read_on_any_terminal(
    story: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    # Given a story and a terminal of this width
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    # When it is shown
    for shown in model_monitor.DEMO.show(story, screen):
        screen.out.print(shown)
    # Then it says what happened, and no line is too long
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert "1 hour judged, 1 with violations; alarm at 12:00" in words
    assert "over at 14:00" in words
    assert "price is not as it was" in words
    assert "3 requests while the model was replaced, none failed" in words
    assert max(map(len, text.splitlines())) <= columns


def test_a_story_that_ended_early_says_where(capsys: pytest.CaptureFixture[str], story: Report) -> None:
    # Given a story whose first model was not registered, and one whose update failed a request
    screen = Screen()
    early = Report(first=trained("NOT_BETTER", reason="not better"), reason="no model was registered: not better")
    failing = replace(story, calls=Calls([0.005], Counter({"503: no instance": 2})))
    # When they are shown
    for report in (early, failing):
        for shown in model_monitor.DEMO.show(report, screen):
            screen.out.print(shown)
    # Then neither is complete, and both say why
    words = " ".join(capsys.readouterr().out.split())
    assert "The story ended early: no model was registered: not better" in words
    assert "2 failed" in words
    assert "2 times: 503: no instance" in words
    assert not early.complete
    assert not failing.complete
    assert story.complete


def test_the_story_is_json(story: Report) -> None:
    # Given stories, whole and not even begun, When they are written as JSON
    whole, empty = (json.loads(json.dumps(model_monitor.DEMO.to_json(one))) for one in (story, Report()))
    # Then each chapter has its figures
    chapters = {chapter["chapter"]: chapter for chapter in whole}
    assert chapters["changed world"]["hours"][0]["features"] == ["price", "category"]
    assert chapters["update"]["failed"] == 0
    assert chapters["accuracy"]["after"]["pr_auc"] > chapters["accuracy"]["before"]["pr_auc"]
    assert [chapter["chapter"] for chapter in empty] == list(chapters)


def test_its_pictures_are_drawn(story: Report, tmp_path: Path) -> None:
    # Given a story, When it is drawn, twice
    once, again = (model_monitor.draw(story, tmp_path / name) for name in ("once", "again"))
    # Then there are three pictures with something on them, the same both times
    assert [file.name for file in once] == ["roc.png", "drift.png", "accuracy.png"]
    for file, same in zip(once, again, strict=True):
        with Image.open(file) as picture:
            assert picture.width > 600
            assert len(picture.convert("L").getcolors() or []) > 20
        assert file.read_bytes() == same.read_bytes()
    # and nothing is drawn of nothing
    assert model_monitor.draw(Report(), tmp_path / "none") == []


def test_a_training_shows_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    # Given a training that registered a model and one that did not
    reports = (trained(production=0.4), trained("NOT_BETTER", reason="NotGoodEnough: below 0.4"))
    screen = Screen()
    # When they are shown
    both = training_pipeline.Trainings(reports)
    for shown in training_pipeline.DEMO.show(both, screen):
        screen.out.print(shown)
    # Then metrics, confusion matrix, reason and times are there
    words = " ".join(capsys.readouterr().out.split())
    assert "registered, pending approval" in words
    assert "NotGoodEnough: below 0.4" in words
    assert "50 claims found, 30 missed, 20 flagged for nothing" in words
    assert "Train 2.5 s" in words
    assert both.complete
    assert [one["status"] for one in training_pipeline.DEMO.to_json(both)] == ["REGISTERED", "NOT_BETTER"]


def test_the_mixed_up_sample_has_the_same_claims_at_other_deliveries() -> None:
    # Given the samples of training-pipeline
    mixed_up, right = training_pipeline.DEMO.sample_files()
    # Then the first has rows and labels as a world has them, and names are in the order of use
    header, *rows = mixed_up.read_text(encoding="utf-8").splitlines()
    assert header == "claimed," + ",".join(FEATURES)
    share = sum(row.startswith("1,") for row in rows) / len(rows)
    assert 0.04 < share < 0.1
    assert mixed_up.name < right.name


def test_answers_and_a_lost_update_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    # Given answers with an update that was rolled back
    report = realtime_endpoint.Report(
        deployment=Deployment("package", "DEPLOYED", 3.0),
        rows=("38.0,fish,parcel,9.1,30.0,,fri",),
        answers=(Answer(0.83, 1),),
        captured=1,
        update=Deployment("package", "FAILED", 3.0, "an alarm"),
        calls=Calls([0.004]),
        reason="the update: an alarm",
    )
    screen = Screen()
    # When they are shown
    for shown in realtime_endpoint.DEMO.show(report, screen):
        screen.out.print(shown)
    # Then both are there
    words = " ".join(capsys.readouterr().out.split())
    assert "83% check it" in words
    assert "the update: an alarm" in words
    assert not report.complete
    assert json.loads(json.dumps(realtime_endpoint.DEMO.to_json(report)))[-1]["update"] == "FAILED"


def test_measures_are_those_of_the_truth() -> None:
    # Given a claim ranked first, and one ranked last
    right, wrong = measures(asked((0.9, 1), (0.1, 0), (0.2, 0))), measures(asked((0.9, 0), (0.1, 1), (0.2, 0)))
    # Then that is what they say
    assert right == {"pr_auc": 1.0, "f1": 1.0, "recall": 1.0, "precision": 1.0}
    assert wrong["pr_auc"] == pytest.approx(1 / 3)
    assert wrong["recall"] == 0.0
    assert measures(asked()) == {}


def test_a_story_on_stacks_without_a_model_tells_that(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given stacks whose training does not register a model
    monkeypatch.setattr(monitoring, "stack_outputs", lambda cloud, stack: {"BucketName": "b", "DataPrefix": "data/"})
    deleted: list[str] = []
    monkeypatch.setattr(training, "executions", lambda cloud, outputs: set())
    monkeypatch.setattr(training, "upload", lambda cloud, outputs, files, *, ready: None)
    monkeypatch.setattr(training, "follow", lambda *args, **more: trained("FAILED", reason="Prepare: no header"))

    class Cloud:
        control = None

        def client(self, service: str) -> Any:
            return self

        def delete_object(self, Bucket: str, Key: str) -> None:  # noqa: N803 (boto3's names)
            deleted.append(Key)

    cloud: Any = Cloud()
    outputs = {"TrainingStackName": "training", "EndpointStackName": "serving"}
    # When the story is told
    report = Story(cloud, outputs, quiet(lambda message: None), Choices(hours=1)).tell([Path(__file__)])
    # Then it ends there with the reason, and its data are taken away
    assert report.reason == "no model was registered: Prepare: no header"
    assert report.hours == []
    (key,) = deleted
    assert key.startswith("data/test_demo_models-")
