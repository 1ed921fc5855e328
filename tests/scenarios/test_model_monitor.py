"""Notice when a model drifts: what an hour of traffic looks like to the monitor, and what follows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from local.cloud import LocalCloud
from scenarios import model_monitor, realtime_endpoint, training_pipeline
from tests.conftest import SharedStacks
from tests.scenarios.shop import MONITOR, SERVING, SMALL, TRAINING, Shop, parcels
from tests.waiting import until

# SageMaker writes captures some time after the request.
CAPTURED_SECONDS = 30


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training, serving = (shared_stacks(name, SMALL[name]) for name in (TRAINING, SERVING))
    shop = Shop(cloud, training, serving, shared_stacks(MONITOR, SMALL[MONITOR]))
    shop.ready()
    next_hour(shop)
    return shop


def now(shop: Shop) -> datetime:
    """The cloud's time."""
    return datetime.now(timezone.utc) + timedelta(seconds=shop.cloud.control.clock())


def next_hour(shop: Shop) -> datetime:
    """Lets the time pass to some minutes into the next hour; returns that hour's begin."""
    moment = now(shop)
    begin = moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    shop.cloud.control.clock_advance((begin + timedelta(minutes=5) - moment).total_seconds())
    return begin


def traffic(shop: Shop, seed: int, *, shifted: bool = False) -> None:
    """Six hundred parcels, and their captures are written."""
    folder = hour_folder(shop)
    for n in range(30):
        realtime_endpoint.ask(shop.cloud, shop.serving, parcels(20, seed + n, shifted=shifted))
    until(lambda: captured(shop, folder) >= 30, "the captures", seconds=CAPTURED_SECONDS)


def hour_folder(shop: Shop) -> str:
    return f"captures/{shop.serving['EndpointName']}/AllTraffic/{now(shop):%Y/%m/%d/%H}/"


def captured(shop: Shop, folder: str) -> int:
    """How many requests lie there."""
    s3, bucket = shop.client("s3"), shop.serving["CaptureBucketName"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
    return sum(len(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().splitlines()) for one in listed)


def judge(shop: Shop) -> model_monitor.Verdict:
    """Has the hour that runs judged; of a job that ended, the metrics are there."""
    hour = now(shop).replace(minute=0, second=0, microsecond=0)
    verdict = model_monitor.judge(shop.cloud, shop.monitor, hour, patience_seconds=60)
    if verdict.status != "NO_CAPTURES":
        until(lambda: model_monitor.metric(shop.cloud, shop.monitor, "JobFailed", hour), "the metrics", seconds=20)
    return verdict


def test_usual_traffic_is_no_violation(shop: Shop) -> None:
    # Given an hour of parcels from the world that the model was trained in
    traffic(shop, 1000)
    # When it is judged, Then nothing stands out
    verdict = judge(shop)
    assert verdict.status == "JUDGED", verdict
    assert verdict.features == set()
    assert verdict.statistics["dataset"]["item_count"] == 600


def test_an_hour_without_traffic_is_a_result(shop: Shop) -> None:
    verdict = judge(shop)
    assert verdict.status == "NO_CAPTURES"
    # And the same hour may be asked for again
    assert judge(shop).job == verdict.job


def test_an_hour_is_judged_once_however_often_it_is_asked_for(shop: Shop) -> None:
    traffic(shop, 1100)
    first = judge(shop)
    again = model_monitor.start(shop.cloud, shop.monitor, first.hour)
    assert (again["outcome"], again["job"]) == ("already started", first.job)


def test_a_changed_world_raises_the_alarm_and_starts_a_training(shop: Shop) -> None:
    # Given two hours in which prices have risen, a new category is sold, and a sensor hangs
    before = training_pipeline.executions(shop.cloud, shop.training)
    begin = now(shop)
    with shop.told(shop.monitor["AlarmTopicArn"]) as told:
        for seed in (2000, 2100):
            traffic(shop, seed, shifted=True)
            verdict = judge(shop)
            # Then the features that changed are named, and no other
            assert verdict.features >= {"price", "category", "temperature"}
            assert not verdict.features & {"weight_kg", "transit_hours", "carrier", "weekday"}
            next_hour(shop)
        # And the alarm is raised, which tells people and starts the pipeline
        until(lambda: alarm(shop) == "ALARM", "the alarm", seconds=20)
        assert any("DriftAlarm" in message for message in told())
    # And the metrics tell overall and by feature
    until(
        lambda: len(model_monitor.metric(shop.cloud, shop.monitor, "Violations", begin - timedelta(hours=1))) >= 2,
        "the metrics",
        seconds=20,
    )
    assert max(model_monitor.metric(shop.cloud, shop.monitor, "FeatureDistance", begin, "price")) > 0
    report = shop.follow(before)
    assert report.execution
    # And a third hour of the same drift, and one without traffic, start no other
    traffic(shop, 2200, shifted=True)
    assert judge(shop).violations
    for _ in range(2):
        next_hour(shop)
        assert alarm(shop) == "ALARM"
    assert len(training_pipeline.executions(shop.cloud, shop.training) - before) == 1
    assert shop.dead_letters(shop.monitor) == 0


def alarm(shop: Shop) -> str:
    shop.cloud.control.evaluate_alarms()
    (found,) = shop.client("cloudwatch").describe_alarms(AlarmNames=[shop.monitor["DriftAlarmName"]])["MetricAlarms"]
    return str(found["StateValue"])


def test_a_job_that_may_not_read_the_captures_fails_and_is_counted(shop: Shop) -> None:
    # Given a job's role that lost the captures
    begin = now(shop)
    traffic(shop, 3000)
    with shop.without(shop.monitor["JobRoleName"], "s3:GetObject"):
        verdict = judge(shop)
    # Then the job has failed with the reason
    assert verdict.status == "FAILED"
    assert "cannot be read" in verdict.reason
    # And a metric says that nobody watched
    until(
        lambda: 1.0 in model_monitor.metric(shop.cloud, shop.monitor, "JobFailed", begin - timedelta(minutes=5)),
        "the metric",
        seconds=20,
    )
