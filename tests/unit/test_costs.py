"""The calculator of costs: tiers, assumptions and minima, each counted by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stacks.catalogue import available
from stacks.policy import costs, prices
from stacks.policy.costs import Assumption, Line, WorkloadRefusedError
from stacks.policy.prices import Price

TIERED = Price("tiered", 1.0, "each", "Some Service", ((10.0, 0.5), (30.0, 0.1)))
BUILT = [architecture.id for architecture in available()]


@pytest.mark.parametrize(
    ("quantity", "usd"),
    [(0, 0), (4, 4), (10, 10), (11, 10.5), (30, 10 + 10), (40, 10 + 10 + 1), (0.5, 0.5)],
)
def test_each_tier_is_paid_for_what_falls_into_it(quantity: float, usd: float) -> None:
    # Given 1 dollar each for the first ten, 0.50 up to thirty, then 0.10
    assert TIERED.of(quantity) == pytest.approx(usd)


@given(some.floats(0, 1e6), some.floats(0, 1e6))
def test_more_never_costs_less_and_the_next_never_more_than_the_first(one: float, more: float) -> None:
    assert TIERED.of(one) <= TIERED.of(one + more) <= TIERED.of(one) + more * TIERED.usd + 1e-6


def test_every_tier_in_the_table_begins_above_the_one_before_and_costs_less() -> None:
    tiered = [price for name in prices.table()["price"] if (price := prices.price(name)).tiers]
    assert tiered
    for price in tiered:
        starts, rates = zip((0.0, price.usd), *price.tiers, strict=True)
        assert list(starts) == sorted(set(starts))
        assert list(rates) == sorted(set(rates), reverse=True)


def test_images_pass_the_tiers_of_rekognition() -> None:
    # Given a million images a day, When a month of 30 days is counted
    bill = costs.workload("image-labeling", 1_000_000, idle=3.66)
    line = next(line for line in bill.lines if line.price.name == "detect-labels")
    # Then one million costs 0.001 each, four 0.0008 and the other 25 million 0.0006
    assert line.quantity == 30_000_000
    assert line.usd == pytest.approx(1000 + 3200 + 15_000)
    assert line.unit_usd == pytest.approx(19_200 / 30e6)
    # And what stands idle is in the sum
    assert bill.total == pytest.approx(3.66 + sum(one.usd for one in bill.lines))
    name, share = bill.dominant
    assert name == "Amazon Rekognition"
    assert share == pytest.approx(19_200 / bill.total)


def test_operations_of_one_service_have_tiers_of_their_own() -> None:
    # Given 30,000 documents a day: 900,000 a month, 60 units for each of three operations
    (line,) = (
        one for one in costs.workload("document-processing", 30_000, 0).lines if one.price.name == "comprehend-unit"
    )
    # Then each of the three pays 10 million at 0.0001, 40 at 0.00005 and 4 at 0.000025
    assert line.quantity == 3 * 54_000_000
    assert line.usd == pytest.approx(3 * (1000 + 2000 + 100))


def test_lines_of_one_price_share_its_tiers() -> None:
    # Given 1,000 calls a day, of five minutes, transcribed twice: 300,000 minutes a month
    lines = [one for one in costs.workload("call-analytics", 1000, 0).lines if one.price.name == "transcribe-minute"]
    # Then the first 250,000 of both together cost 0.024, the others 0.015
    assert [line.quantity for line in lines] == [150_000, 150_000]
    assert lines[0].usd == pytest.approx(150_000 * 0.024)
    assert lines[1].usd == pytest.approx(100_000 * 0.024 + 50_000 * 0.015)


def test_an_endpoint_that_stands_is_paid_for_whatever_is_asked() -> None:
    # Given one request a day, and ten million
    few, many = (
        next(
            line
            for line in costs.workload("realtime-endpoint", volume, 0).lines
            if line.price.unit.endswith("m5.large")
        )
        for volume in (1, 10_000_000)
    )
    # Then the two machines are paid for a month of 730 hours at least, with the reason
    assert few.quantity == 2 * 730
    assert "two machines stand" in few.because
    # And by their work beyond that
    assert many.quantity == pytest.approx(0.238 * 300_000)
    assert many.because == ""
    # While a thousand requests by themselves are no month
    assert costs.per_thousand("realtime-endpoint")[0].quantity == pytest.approx(0.238)


@pytest.mark.parametrize(
    ("architecture", "assumed", "price", "quantity"),
    [
        ("document-processing", {"pages": 10}, "analyze-page", 10_000),
        ("document-processing", {"pages": 10}, "comprehend-unit", 600_000),
        ("document-processing", {"pages": 10}, "state-transition", 17_500),
        ("call-analytics", {"minutes": 1}, "transcribe-redacted-minute", 1_000),
        # Comprehend bills whole hundreds of characters: 450 are five units, five times.
        ("text-insights", {"characters": 450}, "comprehend-unit", 25_000),
        ("speech-synthesis", {"characters": 40}, "polly-neural-character", 40_000),
    ],
)
def test_what_grows_with_an_assumption_and_what_does_not(
    architecture: str, assumed: dict[str, float], price: str, quantity: float
) -> None:
    # When a thousand inputs of another size are counted, Then the quantity is that
    (line,) = (one for one in costs.per_thousand(architecture, assumed) if one.price.name == price)
    assert line.quantity == pytest.approx(quantity)


@pytest.mark.parametrize(
    ("architecture", "per_day", "assumed", "told"),
    [
        ("image-labeling", 0, {}, "0 a day: between 1 and 1,000,000,000 images a day."),
        ("image-labeling", -7, {}, "-7 a day: between 1"),
        ("image-labeling", 10**12, {}, "1,000,000,000,000 a day: between 1"),
        ("model-monitor", 25, {}, "25 a day: between 1 and 24 hours with traffic a day."),
        ("document-processing", 1, {"pages": 0}, "pages=0: between 1 and 500 pages a document"),
        ("document-processing", 1, {"page": 3}, "has no assumption 'page'. It assumes pages."),
        ("image-labeling", 1, {"pages": 3}, "It assumes nothing that can be changed."),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    architecture: str, per_day: int, assumed: dict[str, float], told: str
) -> None:
    with pytest.raises(WorkloadRefusedError) as refused:
        costs.workload(architecture, per_day, 0, assumed)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("architecture", BUILT)
def test_every_architecture_says_what_a_request_is_and_can_be_counted(architecture: str) -> None:
    # Given what is told of its inputs
    given = costs.input_of(architecture)
    # Then the volumes of its page can come
    assert given.one != given.many
    assert max(given.volumes) <= given.most
    # And a month costs more the more comes, but each input never more than before
    bills = [costs.workload(architecture, volume, idle=1.0) for volume in given.volumes]
    uses = [bill.use for bill in bills]
    assert uses == sorted(uses)
    each = [bill.total / volume for bill, volume in zip(bills, given.volumes, strict=True)]
    assert each == sorted(each, reverse=True)
    # And each assumption moves something
    for one in given.assumptions:
        assert one.least <= one.usual <= one.most
        more = costs.per_thousand(architecture, {one.name: one.most})
        assert costs.total(more) > costs.total(costs.per_thousand(architecture))


def test_what_grows_with_something_names_an_assumption() -> None:
    for architecture, lines in prices.table()["thousand"].items():
        names = {one.name for one in costs.input_of(architecture).assumptions}
        assert {line["grows_with"] for line in lines if "grows_with" in line} == names


@given(some.floats(1, 500))
def test_an_assumption_is_billed_in_whole_steps(value: float) -> None:
    # Given steps of 100
    size = Assumption("size", "bytes", usual=200, step=100, least=1, most=500)
    # Then what is billed is the next whole step, and no more
    billed = size.factor(value) * size.usual
    assert billed % size.step == pytest.approx(0)
    assert 0 <= billed - value < size.step or math.isclose(billed, value)


def test_a_line_of_nothing_costs_nothing() -> None:
    assert Line("nothing", 0, TIERED, 0).unit_usd == TIERED.usd
