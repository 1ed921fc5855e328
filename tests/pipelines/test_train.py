"""Train: what is in the artefact, how the threshold is chosen, and that an interruption changes nothing."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import train
from pipelines.definition.archive import FOLDER, Case
from pipelines.deliveries import world
from tests.pipelines.containers import Jobs

NewJobs = Callable[[Case], Jobs]


@pytest.fixture
def prepared(jobs: NewJobs) -> Jobs:
    """Deliveries that are ready to be learnt from."""
    run = jobs("deliveries")
    run.give(world.draw(4000, 11))
    assert run.prepare().code == 0
    return run


def test_the_artefact_holds_all_that_an_endpoint_needs(deliveries: Jobs) -> None:
    # Given a trained model
    folder = deliveries.root / "model"

    # Then trees, preprocessing, decision and code are there, and nothing else
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == {
        "model.json",
        "preprocessing.json",
        "decision.json",
        "code/inference.py",
        "code/features.py",
    }
    assert (folder / "preprocessing.json").read_bytes() == (
        deliveries.root / "preprocessing" / "preprocessing.json"
    ).read_bytes()


def test_the_log_tells_the_metrics_that_the_definition_looks_for(prepared: Jobs) -> None:
    # Given the regular expressions of the committed definition
    training = _training_step("deliveries")
    patterns = {one["Name"]: one["Regex"] for one in training["AlgorithmSpecification"]["MetricDefinitions"]}

    # When the model is trained
    ended = prepared.train()

    # Then each finds a value in each round, and the last of the one that stops it is the best
    assert ended.code == 0, ended.log
    found = {name: [float(value) for value in re.findall(regex, ended.log)] for name, regex in patterns.items()}
    rounds = len(pd.read_csv(prepared.root / "output" / "data" / "history.csv"))
    assert rounds > 40
    assert {name: len(values) for name, values in found.items()} == {
        name: rounds + (name == "validation:aucpr") for name in patterns
    }
    assert found["validation:aucpr"][-1] == max(found["validation:aucpr"])


def test_training_stops_when_the_validation_part_gets_no_better(prepared: Jobs) -> None:
    # When the model is trained with patience for ten rounds
    ended = prepared.train(early_stopping_rounds=10)

    # Then it ends ten rounds after its best one
    best = int(re.findall(r"best round (\d+)", ended.log)[0])
    last = int(re.findall(r"\[(\d+)\]", ended.log)[-1])
    assert last == best + 10


@pytest.mark.soak
def test_the_rare_class_weighs_as_much_as_the_frequent_one(prepared: Jobs) -> None:
    # When the model is trained with weights, and without
    means = {}
    for weights in ("balanced", "none"):
        assert prepared.train(class_weights=weights, num_round=60).code == 0
        means[weights] = _scores(prepared).mean()

    # Then without them the scores are as rare as claims, and with them they are not
    share = prepared.report("report/report.json")["positive_share"]
    assert means["none"] == pytest.approx(share, rel=0.25)
    assert means["balanced"] > 2 * share


def test_the_threshold_is_the_best_one_on_the_validation_part(prepared: Jobs) -> None:
    # Given a trained model
    assert prepared.train().code == 0
    decision = prepared.report("model/decision.json")
    validation = pd.read_csv(prepared.root / "validation" / "validation.csv")
    label, score = validation["claimed"].to_numpy(), _scores(prepared)

    # Then no other threshold has a better F-score there
    def f_score(threshold: float) -> float:
        said = score >= threshold
        return float(2 * np.sum(said & (label == 1)) / (np.sum(said) + np.sum(label)))

    assert f_score(decision["threshold"]) == pytest.approx(decision["validation_f_score"])
    assert f_score(decision["threshold"]) >= max(map(f_score, np.unique(score)))


def test_a_threshold_that_leans_to_recall_is_lower() -> None:
    # Given scores that overlap
    random = np.random.default_rng(3)
    label = (random.random(5000) < 0.1).astype(float)
    score = random.normal(label, 0.7)
    score = (score - score.min()) / np.ptp(score)

    # Then recall pulls the threshold down
    assert (
        train.choose_threshold(label, score, 2.0)["threshold"] < train.choose_threshold(label, score, 1.0)["threshold"]
    )
    # And rows of one score are never told apart
    same = train.choose_threshold(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.9, 0.5, 0.5, 0.5]), 1.0)
    assert same["threshold"] in (0.25, 0.7)


def test_a_killed_training_resumes_to_the_same_model(prepared: Jobs) -> None:
    # Given what an uninterrupted training makes
    slow = {"eta": 0.02, "num_round": 300, "early_stopping_rounds": 300, "checkpoint_rounds": 10}
    assert prepared.train(**slow).code == 0
    model = (prepared.root / "model" / "model.json").read_bytes()

    # When the machine is taken away after a checkpoint, with no warning
    checkpoints = prepared.root / "checkpoints"
    command, environment = prepared.training({**_own(), **slow, "checkpoints": checkpoints})
    process = prepared.start(command, environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[45]"):
            process.kill()
            break
    process.communicate()
    after = prepared.report("checkpoints/state.json")["rounds"]
    assert 40 <= after < 300
    (prepared.root / "model" / "model.json").unlink()
    ended = prepared.train(**slow, checkpoints=checkpoints)

    # Then the next one goes on from there, and to the same trees
    assert ended.code == 0, ended.log
    assert f"resumed after round {after}\n[{after + 1}] " in ended.log
    assert (prepared.root / "model" / "model.json").read_bytes() == model


def test_a_training_that_is_asked_to_stop_ends_at_once_and_keeps_its_progress(prepared: Jobs) -> None:
    # Given a training under way
    checkpoints = prepared.root / "checkpoints"
    settings = {**_own(), "eta": 0.02, "num_round": 20_000, "early_stopping_rounds": 20_000}
    command, environment = prepared.training({**settings, "checkpoints": checkpoints})
    process = prepared.start(command, environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[30]"):
            break

    # When SageMaker asks it to end
    process.terminate()
    process.communicate(timeout=60)

    # Then it ends, and the last checkpoint is there
    assert process.returncode == -signal.SIGTERM
    assert "resumed after round" in prepared.train(checkpoints=checkpoints, eta=0.02, num_round=1).log


@pytest.mark.parametrize("change", [pytest.param("settings", marks=pytest.mark.soak), "data"])
def test_the_checkpoint_of_another_training_is_left_alone(change: str, prepared: Jobs) -> None:
    # Given the checkpoint of a finished training
    checkpoints = prepared.root / "checkpoints"
    assert prepared.train(checkpoints=checkpoints, num_round=40).code == 0

    # When other settings, or other data, are trained with it there
    if change == "data":
        prepared.give(world.draw(4000, 12))
        assert prepared.prepare().code == 0
    other = {"max_depth": 3} if change == "settings" else {}
    ended = prepared.train(checkpoints=checkpoints, num_round=40, **other)

    # Then that starts anew
    assert ended.code == 0
    assert "the checkpoint is of other data or settings" in ended.log
    assert "[1] " in ended.log


def test_a_checkpoint_without_its_trees_is_none(prepared: Jobs) -> None:
    # Given a checkpoint of which the copy was interrupted
    checkpoints = prepared.root / "checkpoints"
    assert prepared.train(checkpoints=checkpoints, num_round=40).code == 0
    for file in checkpoints.glob("trees-*"):
        file.unlink()

    # When the training is started again
    ended = prepared.train(checkpoints=checkpoints, num_round=40)

    # Then it starts anew
    assert ended.code == 0
    assert "the checkpoint is not whole: starting anew" in ended.log


def test_a_channel_that_is_not_what_it_should_be_fails_with_the_reason(prepared: Jobs) -> None:
    # Given a validation part with one class
    file = prepared.root / "validation" / "validation.csv"
    frame = pd.read_csv(file)
    frame.assign(claimed=0).to_csv(file, index=False)
    # When it is trained with
    ended = prepared.train()
    # Then the job fails and the service is told why
    assert (ended.code, ended.reason) == (1, "The channel validation has one class only: two are needed.")

    # Given one with other columns
    frame.drop(columns=frame.columns[-1]).to_csv(file, index=False)
    assert prepared.train().reason == "The channel validation has other columns than the training part."

    # Given none
    file.unlink()
    assert prepared.train().reason == "The channel validation has 0 CSV files instead of one."


def _own() -> dict[str, str]:
    from tests.pipelines.containers import own_hyperparameters

    return own_hyperparameters("deliveries")


def _training_step(case: Case) -> dict[str, dict[str, list[dict[str, str]]]]:
    import json

    definition = json.loads((FOLDER / case / "definition.json").read_text(encoding="utf-8"))
    arguments: dict[str, dict[str, list[dict[str, str]]]] = next(
        step["Arguments"] for step in definition["Steps"] if step["Type"] == "Training"
    )
    return arguments


def _scores(run: Jobs) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """What the trained trees say of the validation part, which is prepared already."""
    import xgboost as xgb

    booster = xgb.Booster()
    booster.load_model(Path(run.root / "model" / "model.json"))
    frame = pd.read_csv(run.root / "validation" / "validation.csv").drop(columns="claimed")
    scores: np.ndarray[tuple[int], np.dtype[np.float32]] = booster.predict(xgb.DMatrix(frame))
    return scores
