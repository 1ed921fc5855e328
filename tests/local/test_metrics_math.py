"""The expression language of metric math, against the tables of the guide that defines it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.emulator.metric_math import NotServed, Series, evaluate

M = None  # a period without a data point


def compute(expression: str, length: int = 5, **series: Series) -> Series:
    def lookup(name: str) -> Series:
        if name not in series:
            raise NotServed(f"no {name}")
        return series[name]

    return evaluate(expression, lookup, list(series), dict.fromkeys(series, 60), length)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # The guide's own examples: metric1 is [30, 20, 0, 0], metric2 is [20, -, 20, -].
        ("metric1 < metric2", [0, 0, 1, 0]),
        ("metric1 >= 30", [1, 0, 0, 0]),
        ("metric1 > 15 AND metric2 > 15", [1, 0, 0, 0]),
        ("metric1 > 15 && metric2 > 15", [1, 0, 0, 0]),
        ("metric1 > 15 OR metric2 > 15", [1, 1, 1, 0]),
        ("metric1 > 15 || metric2 > 15", [1, 1, 1, 0]),
        ("metric1 + metric2", [50, 20, 20, 0]),
        ("metric1 - metric2", [10, 20, -20, 0]),
        ("metric1 / metric2", [1.5, M, 0, M]),
        ("metric2 * 2", [40, M, 40, M]),
        ("1 + 2 * metric1 - (3 - 1)", [59, 39, -1, -1]),
        ("-metric1", [-30, -20, 0, 0]),
        ("2 * -metric2", [-40, M, -40, M]),
        ("100 / metric1", [100 / 30, 5, M, M]),
        ("SUM([metric1, metric2])", [50, 20, 20, 0]),
        ("SUM(METRICS())", [50, 20, 20, 0]),
        ('SUM(METRICS("2"))', [20, M, 20, M]),
        ("SUM(METRICS())/METRIC_COUNT(METRICS())", [25, 10, 10, 0]),
        ("AVG([metric1, metric2])", [25, 10, 10, 0]),
        ("MIN([metric1, metric2])", [20, 20, 0, 0]),
        ("MAX([metric1, metric2])", [30, 20, 20, 0]),
        ("SUM(100 * [metric1, metric2])", [5000, 2000, 2000, 0]),
        ("FILL(metric2, 7)", [20, 7, 20, 7]),
        ("FILL(metric2, REPEAT)", [20, 20, 20, 20]),
        ("FILL(metric2, metric1)", [20, 20, 20, 0]),
        ("SUM(FILL(METRICS(), 1))", [50, 21, 20, 1]),
        ("metric1 / PERIOD(metric1)", [0.5, 20 / 60, 0, 0]),
        ("ABS(metric1 - 25)", [5, 5, 25, 25]),
        ("CEIL(metric1 / 7)", [5, 3, 0, 0]),
        ("FLOOR(metric1 / 7)", [4, 2, 0, 0]),
        ("TIME_SERIES(3) + metric2", [23, 3, 23, 3]),
        ("IF(metric1 < 25, metric1)", [M, 20, 0, 0]),
        ("IF(metric1 < 25, 10, 2)", [2, 10, 10, 10]),
        ("IF(1, metric1, metric2)", [30, 20, 0, 0]),
        ("IF(0, metric1)", [M, M, M, M]),
    ],
)
def test_expressions_of_the_guide(expression: str, expected: Series) -> None:
    # Given two metrics, one of them with gaps
    # When an expression over them is computed
    found = compute(expression, length=4, metric1=[30.0, 20.0, 0.0, 0.0], metric2=[20.0, M, 20.0, M])

    # Then the result is the one that the guide's rules give
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(metric1, metric2, metric3)", [30, 0, 20, M, M]),
        ("IF(metric1, 5, metric3)", [5, 5, 20, M, M]),
        ("IF(metric1, metric2, 5)", [30, 0, 5, 5, M]),
    ],
)
def test_the_three_tables_of_if(expression: str, expected: Series) -> None:
    # Given the three metrics of the guide's section "Using IF expressions"
    condition: Series = [1.0, 1.0, 0.0, 0.0, M]
    then: Series = [30.0, M, 0.0, 0.0, 30.0]
    otherwise: Series = [0.0, 0.0, 20.0, M, 20.0]

    # When IF chooses between them
    found = compute(expression, metric1=condition, metric2=then, metric3=otherwise)

    # Then each table's last row comes out
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("SUM(m1)", "extra periods"),
        ("m1 - MIN(m1)", "extra periods"),
        ("FILL(m1, LINEAR)", "LINEAR"),
        ("FILL(m1, MIN(m1))", "extra periods"),
        ("RATE(m1)", "RATE"),
        ("ANOMALY_DETECTION_BAND(m1, 2)", "ANOMALY_DETECTION_BAND"),
        ("SEARCH('{AWS/SQS}', 'Sum', 60)", "not expected"),
        ("METRICS()", "single time series"),
        ("[m1, m1]", "single time series"),
        ("5", "single time series"),
        ("1 / 0 + m1", "divided by zero"),
        ("m1 AND 1", "two series or two numbers"),
        ("m1 ^ 2", r"'\^'"),
        ("m1 +", "the end"),
        ("m1 m1", "'m1' is not expected"),
        ("(m1", "the end"),
        ("Sum([m1])", "function Sum"),
        ("M1 + 1", "'M1' is not expected"),
        ("IF(m1, [m1, m1])", "array"),
        ("IF(1, 2, m1)", "condition"),
        ("[m1] + [m1]", "two arrays"),
        ("SUM([1, m1])", "number"),
        ("PERIOD(m1 + m1)", "not expected"),
        ('SUM(METRICS("absent"))', "no metric"),
        ("(" * 50 + "m1" + ")" * 50, "too deeply"),
        ("m1" + " + m1" * 1000, "longer than"),
        ("", "the end"),
    ],
)
def test_what_is_not_served_is_refused_with_its_reason(expression: str, why: str) -> None:
    # Given an expression that is wrong or needs something that is not served
    # When it is computed, then it is refused and the message says why
    with pytest.raises(NotServed, match=why):
        compute(expression, m1=[1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_result_that_is_no_number_is_dropped() -> None:
    # Given values so large that their product overflows
    # When they are multiplied, then the point is dropped, as one that divides by zero is
    assert compute("m1 * m1", length=2, m1=[1e200, 2.0]) == [M, 4.0]


points = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=4, max_size=4)


@given(one=points, other=points)
def test_a_sum_of_an_array_is_the_sum_of_its_members(one: Series, other: Series) -> None:
    # Given two metrics with any gaps
    # When they are added in the two ways that the language has
    array = compute("SUM([a, b])", length=4, a=one, b=other)
    plain = compute("a + b", length=4, a=one, b=other)

    # Then both agree, and there is a point exactly where at least one metric has one
    assert array == pytest.approx(plain)
    assert [point is None for point in plain] == [a is None and b is None for a, b in zip(one, other, strict=True)]


@given(st.text(alphabet="m1 2+-*/()[],.<>=&|ANDORIFSUMFILE\"'", max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    # Given any text made of the language's signs
    # When it is computed
    try:
        found = compute(text, m1=[1.0, M, 3.0, 4.0, 5.0], m2=[0.0, 1.0, M, M, 2.0])
    except NotServed:
        return

    # Then what is not refused is a series of the right length, without infinities
    assert len(found) == 5
    assert all(point is None or math.isfinite(point) for point in found)
