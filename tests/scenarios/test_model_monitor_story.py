"""The loop closes: traffic, drift, alarm, training, approval, update, quiet; as the demo of model-monitor tells it."""

from __future__ import annotations

import pytest

from local.cloud import LocalCloud
from local.demos.drift_story import Choices, Story, measures, quiet
from tests.conftest import SharedStacks
from tests.scenarios.shop import MONITOR, SERVING, SMALL, TRAINING, Shop

# Three quiet hours end an alarm that another test has raised.
SHORT = Choices(hours=3, compared=1000, training_rows=6000)


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training, serving = (shared_stacks(name, SMALL[name]) for name in (TRAINING, SERVING))
    shop = Shop(cloud, training, serving, shared_stacks(MONITOR, SMALL[MONITOR]))
    shop.ready()
    shop.clear()
    return shop


@pytest.mark.soak
def test_a_drifted_model_is_replaced_by_a_better_one_and_no_request_fails(shop: Shop) -> None:
    # Given a model in production
    old = shop.in_service()
    told: list[str] = []
    # When its world changes after some usual hours, and a person approves what the alarm has trained
    report = Story(shop.cloud, shop.monitor, quiet(told.append), SHORT).tell([])
    # Then the usual hours were none of the monitor's business
    assert report.reason == ""
    assert report.complete
    assert [hour.drifted for hour in report.of("usual")] == [[]] * SHORT.hours
    # and the alarm came with the second bad hour, and names what changed
    changed = report.of("changed")
    assert [hour.alarm for hour in changed] == ["OK", "ALARM"]
    for hour in changed:
        assert {"price", "category", "temperature"} <= set(hour.drifted)
        assert not {"carrier", "transit_hours", "weight_kg", "weekday"} & set(hour.drifted)
    # and claims that came late say that the model has become worse
    quality = changed[-1].verdict.drift["quality"]
    assert quality["labels"] == SHORT.compared
    assert quality["measured"]["pr_auc"] < quality["baseline"]["pr_auc"]
    # and the new model is better, by its evaluation and by the truth about the same deliveries
    assert report.second
    chosen = report.second.evaluation["selection"]
    assert chosen["production_model"]
    assert chosen["value"] > chosen["to_beat"]
    assert measures(report.after)["pr_auc"] > measures(report.before)["pr_auc"] + 0.05
    # and it serves, which no caller noticed
    assert shop.in_service() == report.second.package != old
    assert report.calls
    assert len(report.calls.seconds) > 20
    assert not report.calls.failures
    # and its own baseline finds the changed world usual
    assert report.of("changed", renewed=True)[-1].alarm == "OK"
    assert report.of("changed", renewed=True)[-1].drifted == []
