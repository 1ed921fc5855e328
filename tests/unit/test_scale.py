"""The simulation of load against quotas: small cases counted by hand, and what must hold for any load."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stacks.policy import scale, scale_tables
from stacks.policy.scale import Limit, Outcome, Over, Queue, ScaleRefusedError, Way

DAY = scale.SECONDS_A_DAY
# One delivery, which comes to nothing when it is refused.
ONCE = Queue(deliveries=1, hidden=1, kept=4 * scale.MINUTES_A_DAY, in_flight=1e9, held=1)


def limit(over: Over, per_second: float) -> Limit:
    return Limit(over, over, "calls", per_second, "calls a second", 1, over)


def bounded(waits: float, fails: float = 1e9, queue: Queue = ONCE) -> Way:
    """A way that gives out and grants so many inputs a second."""
    return Way("image-labeling", (limit("waits", waits), limit("fails", fails)), queue, "is given up", ())


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day in which each hour is like the next."""
    monkeypatch.setattr(scale, "weights", lambda: [1.0] * 24)


def test_a_limit_says_what_it_carries_and_when_it_is_full() -> None:
    # Given 1,000 functions at once, of which each input uses one for 0.4 seconds
    one = Limit("functions", "functions", "time", 1000, "at once", 0.4, "waits")
    # Then 2,500 inputs a second go through
    assert one.per_second == 2500
    # And 216 million a day, or half of them where the busiest hour is twice as busy as the mean
    assert one.full_at() == 216_000_000
    assert one.full_at(peak=2) == 108_000_000
    # And ten times as many take ten times as much
    assert one.needed(2_160_000_000, peak=1) == pytest.approx(10_000)


@pytest.mark.usefixtures("even")
def test_what_is_carried_leaves_nothing_waiting() -> None:
    # Given 5 a second, and a place for 5 a second
    outcome = scale.simulate(bounded(5), 5 * DAY)
    # Then all is done in its minute
    assert outcome.keeps_up
    assert outcome.done == pytest.approx(scale.DAYS * 5 * DAY)
    assert outcome.most_waiting == pytest.approx(0)
    assert (outcome.oldest_hours, outcome.drained_hours) == (0, 0)


@pytest.mark.usefixtures("even")
def test_a_burst_waits_and_is_worked_off_with_what_is_left() -> None:
    # Given 4 a second, one hour with 10, and a place for 5
    outcome = scale.simulate(bounded(5), 4 * DAY, burst=2.5)
    # Then 5 a second are too many for an hour: 18,000 wait, the last of them for an hour
    assert outcome.most_waiting == pytest.approx(5 * 3600)
    assert outcome.oldest_hours == pytest.approx(1, abs=0.05)
    # And one a second more than comes is worked off: in five hours
    assert outcome.drained_hours == pytest.approx(5, abs=0.05)
    assert outcome.keeps_up
    assert outcome.peak_second == pytest.approx(10)


@pytest.mark.usefixtures("even")
def test_what_never_catches_up_is_lost_after_the_time_that_the_queue_keeps_it() -> None:
    # Given 10 a second and a place for 5
    outcome = scale.simulate(bounded(5), 10 * DAY)
    # Then the oldest waits for the 4 days of the queue, and half of what comes is lost then
    assert outcome.drained_hours is None
    assert not outcome.keeps_up
    assert outcome.oldest_hours == pytest.approx(96, abs=0.1)
    assert outcome.expired_share == pytest.approx(0.5, abs=0.001)
    # And what waits is what came in 4 days
    assert outcome.most_waiting == pytest.approx(4 * 10 * DAY, rel=0.001)
    assert outcome.done == pytest.approx(scale.DAYS * 5 * DAY)


@pytest.mark.usefixtures("even")
def test_what_is_refused_once_is_given_up_where_there_is_one_attempt() -> None:
    # Given 10 a second, all given out, and a quota of 4
    outcome = scale.simulate(bounded(20, fails=4), 10 * DAY)
    # Then six of ten fail, and nothing waits
    assert outcome.given_up_share == pytest.approx(0.6)
    assert outcome.most_waiting == pytest.approx(0)
    assert outcome.done == pytest.approx(scale.DAYS * 4 * DAY)


@pytest.mark.usefixtures("even")
def test_what_is_refused_comes_back_and_is_given_up_after_its_deliveries() -> None:
    # Given two deliveries, five minutes apart, 10 a second, places for all of them, and a quota of 8
    queue = replace(ONCE, deliveries=2, hidden=5)
    outcome = scale.simulate(bounded(100, fails=8, queue=queue), 10 * DAY)
    # Then eight of ten succeed at the first or the second delivery, and two are given up
    assert outcome.done == pytest.approx(scale.DAYS * 8 * DAY, rel=0.001)
    assert outcome.given_up_share == pytest.approx(0.2, abs=0.001)
    # And what is hidden waits: with p refused at each delivery, 10 p² = 2 a second are given up and 10 p come back
    assert outcome.waiting == pytest.approx(10 * 0.2**0.5 * 5 * 60, rel=0.01)


@pytest.mark.usefixtures("even")
def test_a_full_flight_holds_back_what_could_be_given_out() -> None:
    # Given 10 a second, and room for 30 in flight that are held for 10 seconds each
    outcome = scale.simulate(bounded(100, queue=replace(ONCE, in_flight=30, held=10)), 10 * DAY, days=1)
    # Then three a second go through
    assert outcome.done == pytest.approx(3 * DAY)
    # And what is refused takes room, too: fewer are given out, so fewer are refused
    crowd = replace(ONCE, deliveries=3, hidden=60)
    free, full = (
        scale.simulate(bounded(100, fails=1, queue=replace(crowd, in_flight=room)), 10 * DAY, days=1)
        for room in (1e9, 600)
    )
    assert free.given_up > full.given_up > 0


LOADS = some.floats(1, 1e8)
RATES = some.floats(0.01, 1e4)


@settings(max_examples=20)
@given(LOADS, RATES, RATES, some.integers(1, 6), some.integers(1, 90), some.floats(1, 50), some.floats(10, 1e6))
def test_every_input_ends_somewhere(
    per_day: float, waits: float, fails: float, deliveries: int, hidden: int, burst: float, in_flight: float
) -> None:
    # Given any load, any limits and any queue, here one that keeps its messages for six hours
    queue = Queue(deliveries, hidden, scale.MINUTES_A_DAY // 4, in_flight, held=1)
    outcome = scale.simulate(bounded(waits, fails, queue), per_day, burst, days=1)
    # Then what came is done, given up, expired or waiting
    come = sum(scale.arriving(per_day, burst, 1))
    ended = outcome.done + outcome.given_up + outcome.expired + outcome.waiting
    assert ended == pytest.approx(come, rel=1e-6, abs=1)
    assert min(outcome.done, outcome.given_up, outcome.expired, outcome.waiting) >= 0
    # And no more is done than is granted
    assert outcome.done <= DAY * min(waits, fails) * (1 + 1e-9)


@settings(max_examples=20)
@given(LOADS, some.floats(1, 10), RATES, RATES)
def test_more_load_is_never_easier(per_day: float, more: float, waits: float, fails: float) -> None:
    # Given a load and one that is heavier
    one = bounded(waits, fails, replace(ONCE, kept=scale.MINUTES_A_DAY // 4))
    light = scale.simulate(one, per_day, days=1)
    heavy = scale.simulate(one, min(per_day * more, 1e9), days=1)
    # Then it does not wait less, lose less or fail less, and no less is done
    for figure in ("most_waiting", "oldest_hours", "expired", "given_up", "done"):
        assert getattr(heavy, figure) >= getattr(light, figure) * (1 - 1e-9) - 1e-6, figure
    assert light.keeps_up or not heavy.keeps_up


@settings(max_examples=20)
@given(LOADS, RATES, some.floats(1, 10))
def test_more_workers_never_leave_more_waiting(per_day: float, waits: float, more: float) -> None:
    few, many = (scale.simulate(bounded(rate), per_day, days=1) for rate in (waits, waits * more))
    assert many.most_waiting <= few.most_waiting * (1 + 1e-9) + 1e-6
    assert many.done >= few.done * (1 - 1e-9) - 1e-6


def test_images_are_held_back_by_the_workers_and_then_by_rekognition() -> None:
    # Given the defaults: two workers at 0.4 seconds, and a quota of 50 calls a second
    default = scale.way("image-labeling")
    # Then the workers are full first, at 5 a second
    assert default.first_full().name == "maximum_concurrency"
    assert default.rate("waits") == 5
    # And with 100 workers the quota is
    more = scale.way("image-labeling", settings={"maximum_concurrency": 100})
    assert more.first_full().name == "rekognition-detect-labels"
    assert more.rate("fails") == 50
    # Which makes dead letters of what is refused five times; with a quota that fits there are none
    assert scale.simulate(more, 10_000_000).given_up > 0
    fits = scale.way("image-labeling", {"rekognition-detect-labels": 250}, {"maximum_concurrency": 100})
    assert scale.simulate(fits, 10_000_000).given_up == 0


def test_documents_are_refused_first_by_comprehend() -> None:
    # Given the defaults: intake gives out ten a second, and two batches each meet 10 calls a second
    default = scale.way("document-processing")
    assert default.first_full().name == "comprehend-entities"
    assert default.rate("waits") == pytest.approx(10)
    assert default.rate("fails") == 5
    # Then half of what is given out in a busy time fails, and as many as the quota carries do not
    outcome = scale.simulate(default, 5_000_000)
    assert outcome.given_up == pytest.approx(outcome.done, rel=0.01)


def test_a_new_account_has_fewer_functions() -> None:
    # Given the ten that a new account may have: 5 seconds each carry two documents a second
    quota = scale.table()["rate"]["lambda-concurrency"]
    new = scale.way("document-processing", {"lambda-concurrency": quota["new_account"]})
    assert new.first_full().name == "lambda-concurrency"
    assert new.rate("fails") == 2
    # And the page says so
    told = " ".join(scale_tables.told(scale.way("document-processing"), 2))
    assert "a new account may have 10 in place of 1,000, which carry 2 a second" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("text-insights",), "text-insights is not simulated. There are image-labeling and document-processing."),
        (
            ("image-labeling", {"sns-publishes": 1.0}),
            "meets no quota 'sns-publishes'. It meets rekognition-detect-labels",
        ),
        (("image-labeling", {"s3-puts": 0.0}), "s3-puts=0: a quota is above 0."),
        (
            ("image-labeling", {}, {"minimum_confidence": 1.0}),
            "minimum_confidence changes nothing here. These settings do",
        ),
        (("image-labeling", {}, {"batch_size": 2.5}), "batch_size=2.5: the stack takes whole numbers, 1 to 10."),
        (
            ("image-labeling", {}, {"maximum_concurrency": 1.0}),
            "maximum_concurrency=1: the stack takes whole numbers, 2 to 1000.",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(arguments: tuple[str], told: str) -> None:
    with pytest.raises(ScaleRefusedError) as refused:
        scale.way(*arguments)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("per_day", "burst"), [(0, 1), (-1, 1), (1e12, 1), (1000, 0.5), (1000, 1e9), (float("nan"), 1)]
)
def test_a_load_that_cannot_be_is_refused(per_day: float, burst: float) -> None:
    with pytest.raises(ScaleRefusedError, match="between 1 and"):
        scale.simulate(bounded(5), per_day, burst)


def test_every_quota_is_used_and_has_its_source() -> None:
    # Given the table of quotas, and what uses them
    table = scale.table()
    used = {use["limit"] for uses in table["use"].values() for use in uses if "limit" in use}
    # Then none is there in vain, and each says where it was read, or what helps
    assert used == set(table["rate"])
    for name, quota in table["rate"].items():
        assert {"value", "unit", "title", "source", "confirmed"} <= set(quota), name
        assert quota["value"] > 0
        if "code" in quota:
            assert quota["code"].startswith("L-")
            assert "service" in quota
        assert quota.get("raise", True) or quota["mend"]
    # And an hour is no quota: the weights are relative
    assert sum(scale.weights()) == pytest.approx(24)


@pytest.mark.parametrize("architecture", scale.architectures())
def test_the_tables_tell_what_is_full_first_and_what_to_raise(architecture: str) -> None:
    # Given an architecture as it is by default
    one = scale.way(architecture)
    # Then its limits stand in the order in which they are full
    rows = scale_tables.limits(one).rows
    assert len(rows) == len(one.limits)
    carried = [float(row[3].replace(",", "")) for row in rows]
    assert carried == sorted(carried)
    # And the smallest load needs nothing, the largest the first of them before all
    smallest, *_, largest = scale.VOLUMES
    assert scale_tables.raises(one, smallest).rows == ()
    first, *_ = scale_tables.raises(one, largest).rows
    assert first[3].endswith("times")
    # And each load has a row, with dearer months from row to row
    ladder = scale_tables.ladder(one, 1.0, 2, (smallest, 1_000_000, largest))
    assert len(ladder.rows) == 3
    months = [float(row[-1].replace(",", "")) for row in ladder.rows]
    assert months == sorted(months)
    assert ladder.rows[0][2] == "nothing"
    assert rows[0][0] in ladder.rows[-1][2]
    # And what the page tries beside it can be
    assert scale.variants(architecture)
    for variant in scale.variants(architecture):
        assert scale.way(architecture, variant.quotas, variant.settings) != one


def test_an_outcome_that_lost_something_does_not_keep_up() -> None:
    fine = Outcome(1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert fine.keeps_up
    assert not replace(fine, given_up=1).keeps_up
    assert not replace(fine, expired=1).keeps_up
    assert not replace(fine, drained_hours=None).keeps_up
