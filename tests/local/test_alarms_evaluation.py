"""States of alarms, from definitions and data alone, against the tables and sentences of CloudWatch's guide."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.emulator.alarm_evaluation import (
    ALARM,
    INSUFFICIENT_DATA,
    OK,
    Datum,
    NotEvaluated,
    Source,
    Verdict,
    evaluate,
    evaluated_at,
    statistic,
)
from local.emulator.alarm_rule import parse

NOON = 1_795_435_200.0
"""A whole minute, hour and day boundary for the periods used here: 2026-11-23T12:00:00Z."""
KEEPS = None


def datum(time: float, value: float, count: float = 1, unit: str = "None") -> Datum:
    return Datum(time, count, value * count, value, value, unit)


def one_metric(data: Sequence[Datum], dimensions: Mapping[str, str] | None = None) -> Source:
    """A store that holds one metric, N/M with these dimensions, and nothing else."""

    def source(namespace: str, name: str, asked: Mapping[str, str], start: float, end: float) -> Sequence[Datum]:
        if (namespace, name, dict(asked)) != ("N", "M", dict(dimensions or {})):
            return []
        return [one for one in data if start <= one.time < end]

    return source


def alarm(**parts: Any) -> dict[str, Any]:
    return {
        "AlarmName": "a",
        "Namespace": "N",
        "MetricName": "M",
        "Statistic": "Average",
        "Period": 300,
        "EvaluationPeriods": 3,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "missing",
        **parts,
    }


def picture(marks: str, period: int = 300) -> list[Datum]:
    """Data as the guide draws them, most recent last: 0 is within the threshold, X breaches it, - is missing."""
    signs = marks.split()
    start = NOON - len(signs) * period
    return [datum(start + at * period, 11.0 if sign == "X" else 1.0) for at, sign in enumerate(signs) if sign != "-"]


def verdict(definition: Mapping[str, Any], data: Sequence[Datum]) -> Verdict:
    return evaluate(definition, one_metric(data), NOON)


@pytest.mark.parametrize(
    ("to_alarm", "marks", "missing", "ignore", "breaching", "not_breaching"),
    [
        # "Configuring how CloudWatch alarms treat missing data", first table: 3 out of 3.
        (3, "0 - X - X", OK, OK, OK, OK),
        (3, "0 - - - -", OK, OK, OK, OK),
        (3, "- - - - -", INSUFFICIENT_DATA, KEEPS, ALARM, OK),
        (3, "0 X X - X", ALARM, ALARM, ALARM, ALARM),
        (3, "- - X - -", ALARM, KEEPS, ALARM, OK),
        # Second table: 2 out of 3.
        (2, "0 - X - X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", OK, OK, ALARM, OK),
        (2, "- - - - 0", OK, OK, ALARM, OK),
        (2, "- - - X -", ALARM, KEEPS, ALARM, OK),
    ],
)
def test_the_two_tables_of_missing_data(
    to_alarm: int, marks: str, missing: str, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    # Given the data points of one row of the guide's tables
    data = picture(marks)

    # When an alarm that treats missing data in each of the four ways is evaluated
    found = [
        verdict(alarm(DatapointsToAlarm=to_alarm, TreatMissingData=treatment), data).state
        for treatment in ("missing", "ignore", "breaching", "notBreaching")
    ]

    # Then the states are the row's
    assert found == [missing, ignore, breaching, not_breaching]


@pytest.mark.parametrize("marks", ["- - - - X", "- - - X -", "- - - X 0", "- - X - 0"])
def test_a_first_breach_among_missing_data_is_not_yet_an_alarm(marks: str) -> None:
    # Given "Avoiding premature transitions to alarm state": a recent breach, before it nothing, 3 out of 3
    # When the alarm is evaluated, then it does not go to ALARM
    assert verdict(alarm(), picture(marks)).state != ALARM


def test_data_older_than_the_evaluation_range_do_not_count() -> None:
    # Given a breach six periods ago, one further back than the range of 5 for 3 periods
    # When the alarm is evaluated, then there is no data for it
    assert verdict(alarm(), picture("X - - - - -")).state == INSUFFICIENT_DATA


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        ("GreaterThanThreshold", OK, OK, ALARM),
        ("GreaterThanOrEqualToThreshold", OK, ALARM, ALARM),
        ("LessThanThreshold", ALARM, OK, OK),
        ("LessThanOrEqualToThreshold", ALARM, ALARM, OK),
    ],
)
def test_comparison_with_the_threshold(operator: str, below: str, at: str, above: str) -> None:
    # Given an alarm on one period
    definition = alarm(EvaluationPeriods=1, ComparisonOperator=operator)

    # When a value just under, on and over the threshold is evaluated
    found = [verdict(definition, [datum(NOON - 1, value)]).state for value in (9.9, 10.0, 10.1)]

    # Then it breaches on the side that the operator names
    assert found == [below, at, above]


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("Sum", 8.0),
        ("Average", 2.0),
        ("Minimum", 1.0),
        ("Maximum", 4.0),
        ("SampleCount", 4.0),
        ("p50", 1.5),
        ("p100", 4.0),
    ],
)
def test_statistics_weigh_values_by_their_count(stat: str, value: float) -> None:
    # Given 1 twice, 2 once and 4 once in one period
    data = [datum(NOON - 9, 1.0, count=2), datum(NOON - 8, 4.0), datum(NOON - 7, 2.0)]

    # When the statistic is taken, then each value counts as often as it was published
    assert statistic(data, stat) == pytest.approx(value)


def test_percentiles_need_values_and_none_of_them_negative() -> None:
    # Given a statistic set of differing values, and a negative value
    published_as_set = Datum(NOON, 3, 9.0, 1.0, 5.0)

    # When a percentile is asked for, then there is none, while other statistics are to be had
    assert statistic([published_as_set], "p90") is None
    assert statistic([published_as_set], "Average") == 3.0
    assert statistic([datum(NOON, -1.0), datum(NOON, 1.0)], "p50") is None
    assert statistic([], "Sum") is None


def test_a_period_gathers_its_own_data_only() -> None:
    # Given 6 in the last minute and 6 in the one before it
    data = [datum(NOON - 60, 6.0), datum(NOON - 61, 6.0)]

    # When alarms on a sum of more than 10 over one and over two minutes are evaluated
    short = verdict(alarm(Statistic="Sum", Period=60, EvaluationPeriods=1), data)
    long = verdict(alarm(Statistic="Sum", Period=120, EvaluationPeriods=1), data)

    # Then only the longer one sees both
    assert (short.state, long.state) == (OK, ALARM)


def test_the_window_slides_by_minutes_and_sees_whole_minutes_only() -> None:
    # Given 11 at 12:00:30, and an alarm over five minutes
    data = one_metric([datum(NOON + 30, 11.0)])
    definition = alarm(EvaluationPeriods=1)

    # When it is evaluated later and later
    # Then the value counts from the end of its minute, while it is among the range's three periods of five minutes
    assert evaluate(definition, data, NOON + 59).state == INSUFFICIENT_DATA
    assert evaluate(definition, data, NOON + 60).state == ALARM
    assert evaluate(definition, data, NOON + 15 * 60 + 59).state == ALARM
    assert evaluate(definition, data, NOON + 16 * 60).state == INSUFFICIENT_DATA


@pytest.mark.parametrize(
    ("period", "periods", "moment"), [(60, 1, NOON + 7140), (10, 3, NOON + 7190), (3600, 25, NOON + 3600)]
)
def test_how_often_an_alarm_is_evaluated(period: int, periods: int, moment: float) -> None:
    # Given an alarm of a minute or more, one of less, and one that spans more than a day
    # When it is 13:59:59, then the last evaluation was at the last minute, at the last 10 seconds, at the last hour
    assert evaluated_at(alarm(Period=period, EvaluationPeriods=periods), NOON + 7199) == moment


@pytest.mark.parametrize(
    "definition", [alarm(Period="often"), {"Metrics": [{"Id": "m", "MetricStat": {}}], "EvaluationPeriods": 1}]
)
def test_a_definition_that_cannot_be_read_has_no_time_of_evaluation(definition: dict[str, Any]) -> None:
    # Given a definition that lacks what it must have
    # When the time of its evaluation is asked for, then that is refused, as its evaluation is
    with pytest.raises(NotEvaluated, match="cannot be read"):
        evaluated_at(definition, NOON)


@pytest.mark.parametrize(
    "published", [{"Queue": "other"}, {}, {"Queue": "mine", "Region": "here"}, {"queue": "mine"}, {"Queue": "MINE"}]
)
def test_a_datum_of_other_dimensions_leaves_the_alarm_alone(published: dict[str, str]) -> None:
    # Given an alarm on the metric of one queue
    definition = alarm(EvaluationPeriods=1, Dimensions=[{"Name": "Queue", "Value": "mine"}])
    data = [datum(NOON - 1, 99.0)]

    # When a datum arrives under other dimensions, fewer or more, and then under its own
    other = evaluate(definition, one_metric(data, published), NOON)
    own = evaluate(definition, one_metric(data, {"Queue": "mine"}), NOON)

    # Then only its own raises it
    assert (other.state, own.state) == (INSUFFICIENT_DATA, ALARM)


def test_a_unit_that_is_asked_for_must_be_the_published_one() -> None:
    # Given a value published in seconds
    data = [datum(NOON - 1, 99.0, unit="Seconds")]

    # When alarms ask for seconds, for nothing, and for counts, then the last one finds no data
    units = ("Seconds", None, "Count")
    found = [verdict(alarm(EvaluationPeriods=1, Unit=unit), data).state for unit in units]
    assert found == [ALARM, ALARM, INSUFFICIENT_DATA]


def test_alarms_on_dynamodb_ignore_missing_data_unless_told_otherwise() -> None:
    # Given alarms on DynamoDB's metrics without any data
    default = alarm(Namespace="AWS/DynamoDB")
    told = alarm(Namespace="AWS/DynamoDB", TreatMissingData="notBreaching")

    # When they are evaluated, then the default keeps the state
    assert verdict(default, []).state is KEEPS
    assert verdict(told, []).state == OK


def query(name: str, metric: str, *, returned: bool = False, period: int = 300, stat: str = "Sum") -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": "N", "MetricName": metric, "Dimensions": [{"Name": "F", "Value": "f"}]},
            "Period": period,
            "Stat": stat,
        },
        "ReturnData": returned,
    }


def math_alarm(*metrics: dict[str, Any], **parts: Any) -> dict[str, Any]:
    definition = alarm(Metrics=list(metrics), **parts)
    for part in ("Namespace", "MetricName", "Statistic", "Period"):
        del definition[part]
    return definition


def error_rate(**parts: Any) -> dict[str, Any]:
    return math_alarm(
        {"Id": "rate", "Expression": "100 * share", "ReturnData": True},
        {"Id": "share", "Expression": "errors / calls", "ReturnData": False},
        query("errors", "Errors"),
        query("calls", "Calls"),
        **{"EvaluationPeriods": 1, **parts},
    )


def store(**metrics: list[Datum]) -> Source:
    def source(_: str, name: str, dimensions: Mapping[str, str], start: float, end: float) -> Sequence[Datum]:
        assert dict(dimensions) == {"F": "f"}
        return [one for one in metrics.get(name, []) if start <= one.time < end]

    return source


@pytest.mark.parametrize(("errors", "state"), [(2, ALARM), (1, OK), (0, OK)])
def test_metric_math_over_expressions_and_metrics(errors: int, state: str) -> None:
    # Given an alarm on an error rate of more than 10 %, built of an expression over an expression over two metrics
    data = store(Errors=[datum(NOON - 2, 1.0, count=errors)], Calls=[datum(NOON - 1, 1.0, count=10)])

    # When it is evaluated, then the rate decides
    assert evaluate(error_rate(), data, NOON).state == state


def test_metric_math_without_data_is_missing_data() -> None:
    # Given an error rate and no calls at all
    # When it is evaluated, then that is missing data, treated as the alarm says
    assert evaluate(error_rate(), store(), NOON).state == INSUFFICIENT_DATA
    assert evaluate(error_rate(TreatMissingData="breaching"), store(), NOON).state == ALARM


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (alarm(ComparisonOperator="GreaterThanUpperThreshold"), "GreaterThanUpperThreshold"),
        (alarm(ThresholdMetricId="band"), "anomaly detection"),
        (alarm(EvaluationCriteria={"PromQLCriteria": {}}), "PromQL"),
        (alarm(EvaluationWindow={"WallClockWindow": {}}), "wall clock"),
        (alarm(WarmUpConfiguration={"Duration": 60}), "warm-up"),
        (alarm(ExtendedStatistic="tm90", Statistic=None), "tm90"),
        (alarm(ExtendedStatistic="p101", Statistic=None), "p101"),
        (alarm(EvaluateLowSampleCountPercentile="ignore"), "EvaluateLowSampleCountPercentile"),
        (alarm(Period=45), "45 s"),
        (alarm(Period=None), "neither"),
        (alarm(DatapointsToAlarm=4), "4 out of 3"),
        (alarm(EvaluationPeriods=0), "0 out of 0"),
        (alarm(TreatMissingData="maybe"), "maybe"),
        (alarm(Threshold=None), "comparison"),
        (alarm(Statistic=None), "cannot be read"),
        (math_alarm(query("a", "A", returned=True), query("b", "B", returned=True)), "2 of its Metrics"),
        (math_alarm(query("a", "A")), "0 of its Metrics"),
        (math_alarm(query("a", "A"), {"Id": "e", "Expression": "a + b"}), "'b'"),
        (math_alarm(query("a", "A"), {"Id": "e", "Expression": "a + e"}), "refers to itself"),
        (math_alarm(query("a", "A"), {"Id": "e", "Expression": "RATE(a)"}), "metric math"),
        (
            math_alarm(query("a", "A"), query("b", "B", period=60), {"Id": "e", "Expression": "a"}),
            "2 different periods",
        ),
        (math_alarm({"Id": "e", "Expression": "SELECT MAX(x) FROM y"}), "0 different periods"),
        (math_alarm({"Id": "m", "MetricStat": {"Period": 60}}), "cannot be read"),
    ],
)
def test_what_is_not_evaluated_is_refused_with_its_reason(definition: dict[str, Any], why: str) -> None:
    # Given an alarm that uses what is not evaluated here, and data that would not breach it
    # When it is evaluated, then it is refused: no state comes out of it, least of all OK
    with pytest.raises(NotEvaluated, match=why):
        verdict(definition, [datum(NOON - 1, 0.0)])


@pytest.mark.parametrize(
    ("parts", "marks", "reason"),
    [
        (
            {"EvaluationPeriods": 1, "DatapointsToAlarm": 1},
            "X",
            "Threshold Crossed: 1 out of the last 1 datapoints [11.0 (23/11/26 11:55:00)] was greater than the"
            " threshold (10.0) (minimum 1 datapoint for OK -> ALARM transition).",
        ),
        (
            {"DatapointsToAlarm": 2},
            "X 0 0",
            "Threshold Crossed: 2 out of the last 3 datapoints [1.0 (23/11/26 11:55:00), 1.0 (23/11/26 11:50:00)]"
            " were not greater than the threshold (10.0) (minimum 2 datapoints for ALARM -> OK transition).",
        ),
        (
            {"EvaluationPeriods": 1},
            "0",
            "Threshold Crossed: 1 datapoint [1.0 (23/11/26 11:55:00)] was not greater than the threshold (10.0).",
        ),
        (
            {"DatapointsToAlarm": 1, "TreatMissingData": "notBreaching"},
            "X",
            "Threshold Crossed: 1 out of the last 3 datapoints [11.0 (23/11/26 11:55:00)] was greater than the"
            " threshold (10.0) and 2 missing datapoints were treated as [NonBreaching]"
            " (minimum 1 datapoint for OK -> ALARM transition).",
        ),
        (
            {"TreatMissingData": "notBreaching"},
            "-",
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as"
            " [NonBreaching].",
        ),
        ({"EvaluationPeriods": 1}, "-", "Insufficient Data: 1 datapoint was unknown."),
        (
            {"DatapointsToAlarm": 2, "TreatMissingData": "breaching"},
            "0",
            "Threshold Crossed: 1 out of the last 3 datapoints [1.0 (23/11/26 11:55:00)] was not greater than the"
            " threshold (10.0) and 2 missing datapoints were treated as [Breaching].",
        ),
    ],
)
def test_the_reason_says_what_was_seen(parts: dict[str, Any], marks: str, reason: str) -> None:
    # Given an alarm and data
    # When it is evaluated, then the reason has CloudWatch's words
    assert verdict(alarm(**parts), picture(marks)).reason == reason


def test_the_reason_data_name_the_points_that_decided() -> None:
    # Given two of three points
    found = verdict(alarm(), picture("X - X"))

    # When the alarm is evaluated, then the data list both with their times
    assert found.data["recentDatapoints"] == [11.0, 11.0]
    assert found.data["startDate"] == "2026-11-23T11:45:00.000+0000"
    assert found.data["evaluatedDatapoints"][0] == {"timestamp": "2026-11-23T11:55:00.000+0000", "value": 11.0}
    assert (found.data["period"], found.data["threshold"], found.data["statistic"]) == (300, 10.0, "Average")


marks_of_a_range = st.integers(1, 5).flatmap(
    lambda periods: st.tuples(st.just(periods), st.integers(1, periods), st.lists(st.sampled_from("0X-"), max_size=9))
)


@given(marks_of_a_range)
def test_treatments_never_contradict_each_other(drawn: tuple[int, int, list[str]]) -> None:
    # Given any data and any M out of N
    periods, to_alarm, marks = drawn
    data = picture(" ".join(marks))

    # When alarms that differ in their treatment of missing data are evaluated
    missing, ignore, breaching, not_breaching = (
        verdict(alarm(EvaluationPeriods=periods, DatapointsToAlarm=to_alarm, TreatMissingData=treatment), data).state
        for treatment in ("missing", "ignore", "breaching", "notBreaching")
    )

    # Then whoever assumes the best alarms only when all do, and whoever assumes the worst clears only when all do
    assert not_breaching != ALARM or {missing, ignore, breaching} == {ALARM}
    assert breaching != OK or {missing, ignore, not_breaching} == {OK}
    # And with enough real points the treatment does not matter
    if sum(mark != "-" for mark in marks[-periods - 2 :]) >= periods:
        assert missing == ignore == breaching == not_breaching


@given(st.lists(st.tuples(st.floats(0, 599), st.floats(0, 1e6)), min_size=1, max_size=20))
def test_the_order_of_data_does_not_matter(published: list[tuple[float, float]]) -> None:
    # Given data in any order within ten minutes
    data = [datum(NOON - 600 + at, value) for at, value in published]

    # When an alarm on them is evaluated in both directions, then the verdict is the same
    definition = alarm(Period=60, EvaluationPeriods=5, DatapointsToAlarm=2, Statistic="Maximum")
    assert verdict(definition, data) == verdict(definition, data[::-1])


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(high)", True),
        ('ALARM("high")', True),
        ("OK(high)", False),
        ("INSUFFICIENT_DATA(dark)", True),
        ("ALARM(high) AND ALARM(low)", False),
        ("ALARM(high) OR ALARM(low)", True),
        ("ALARM(high) AND NOT ALARM(low)", True),
        ("NOT (ALARM(high) OR ALARM(low))", False),
        ("(ALARM(high) OR ALARM(low)) AND OK(low)", True),
        ("TRUE AND NOT FALSE", True),
        ("FALSE OR FALSE OR OK(low)", True),
        ("NOT NOT ALARM(high)", True),
        ('OK("low") AND ALARM("arn:aws:cloudwatch:us-east-1:000000000000:alarm:high")', True),
    ],
)
def test_rules_of_composite_alarms(rule: str, holds: bool) -> None:
    # Given three alarms in three states
    states = {"high": ALARM, "low": OK, "dark": INSUFFICIENT_DATA}

    # When a rule over them is asked, then it holds or not
    assert parse(rule).holds(lambda name: states[name.rpartition(":")[2]]) is holds


def test_a_rule_names_its_alarms_once_and_in_order() -> None:
    # Given a rule that names an alarm twice
    rule = parse('ALARM(b) OR OK("a b") OR ALARM(b)')

    # When its names are asked for, then each is there once
    assert rule.names == ("b", "a b")


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "ALARM",
        "ALARM()",
        "ALARM(a",
        "ALARM(a) ALARM(b)",
        "ALARM(a) XOR ALARM(b)",
        "ALARM(a) AND",
        "RED(a)",
        "AT_LEAST(2, ALARM, (a, b, c))",
        "ALARM(a) AND ALARM(b) OR ALARM(c)",
        "(" * 60 + "TRUE" + ")" * 60,
        'ALARM("a',
    ],
)
def test_rules_that_are_not_served_are_refused(rule: str) -> None:
    # Given a rule that is wrong, or not served, or means different things to different readers
    # When it is parsed, then it is refused
    with pytest.raises(NotEvaluated):
        parse(rule)
