"""Is a tumour malignant? One that is overlooked costs most, so it goes by recall, and so does the threshold."""

from __future__ import annotations

from typing import Any

from pipelines.definition.steps import Parameters, Steps

# Few rows: many small steps, each on a part of the rows and columns, until the likelihood of the validation part turns.
HYPERPARAMETERS = {
    "eval_metric": "logloss",
    "num_round": 600,
    "early_stopping_rounds": 80,
    "max_depth": 3,
    "eta": 0.05,
    "subsample": 0.6,
    "colsample_bytree": 0.3,
    "class_weights": "balanced",
    "beta": 2,
}


def build(session: Any) -> Any:
    """The pipeline, in the order in which data flows."""
    steps = Steps(session, Parameters.of(metric="recall", threshold=0.9))

    prepare = steps.prepare()
    train = steps.train(prepare, HYPERPARAMETERS)
    evaluation = steps.evaluate(prepare, train)

    baseline = steps.baseline(prepare, evaluation)
    register = steps.register(train, evaluation, baseline)
    fail = steps.fail(evaluation)
    decide = steps.condition(evaluation, then=[baseline, register], otherwise=[fail])

    return steps.pipeline([prepare, train, evaluation.step, decide])
