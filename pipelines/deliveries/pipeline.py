"""Will a delivery be claimed as spoiled? Few are, so accuracy says nothing: it goes by the precision-recall area."""

from __future__ import annotations

from typing import Any

from pipelines.definition.steps import Parameters, Steps

HYPERPARAMETERS = {
    "eval_metric": "aucpr",
    "num_round": 400,
    "early_stopping_rounds": 40,
    "max_depth": 4,
    "eta": 0.1,
    "class_weights": "balanced",
    "beta": 1,
}


def build(session: Any) -> Any:
    """The pipeline, in the order in which data flows."""
    steps = Steps(session, Parameters.of(metric="pr_auc", threshold=0.4))

    prepare = steps.prepare()
    train = steps.train(prepare, HYPERPARAMETERS)
    evaluation = steps.evaluate(prepare, train)

    baseline = steps.baseline(prepare, evaluation)
    register = steps.register(train, evaluation, baseline)
    fail = steps.fail(evaluation)
    decide = steps.condition(evaluation, then=[baseline, register], otherwise=[fail])

    return steps.pipeline([prepare, train, evaluation.step, decide])
