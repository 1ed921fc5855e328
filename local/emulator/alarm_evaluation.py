"""What state an alarm is in, from its definition and its metrics' data alone. Nothing here knows the emulator.

The rules and where they are written (Amazon CloudWatch User Guide, read in 2026-11):

- "Alarm evaluation": M of N; an alarm with a period of a minute or more is evaluated every minute over whole minutes,
  a shorter one every 10 seconds, one that spans more than a day every hour.
- "Alarm evaluation window": the window slides with each evaluation; it is not aligned to the period.
- "Configuring how CloudWatch alarms treat missing data": the evaluation range, its two tables (they are a test), and
  "Avoiding premature transitions to alarm state".

How many periods more than EvaluationPeriods CloudWatch fetches is not published. Its only figure is 5 for 3, so it is
two more here. Where the guide is silent, fewer than M breaching points are OK.

What cannot be evaluated rightly raises `NotEvaluated`: anomaly detection, Metrics Insights and PromQL, wall clock
windows, warm-up periods, extended statistics other than percentiles, and what `metric_math` does not serve.
"""

import contextlib
import dataclasses
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from local.emulator import metric_math
from local.emulator.metric_math import Series

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
STATES = (ALARM, OK, INSUFFICIENT_DATA)
EXTRA_PERIODS = 2
MINUTE, HOUR, DAY = 60, 3600, 86400
HIGH_RESOLUTION = (10, 20, 30)

_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
_TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
# Parts of an alarm that change what it means and that are not served.
_NOT_SERVED = {
    "ThresholdMetricId": "anomaly detection",
    "EvaluationCriteria": "PromQL",
    "WarmUpConfiguration": "a warm-up period",
    "EvaluationInterval": "an evaluation interval",
}


class NotEvaluated(Exception):  # noqa: N818 (an alarm beyond this cloud is no error)
    """The alarm uses something that is not evaluated here; the message says what."""


@dataclasses.dataclass(frozen=True)
class Datum:
    """What was published at one moment (epoch seconds): `count` values from `low` to `high`, in sum `total`."""

    time: float
    count: float
    total: float
    low: float
    high: float
    unit: str = "None"


Source = Callable[[str, str, Mapping[str, str], float, float], Sequence[Datum]]
"""(namespace, metric name, exact dimensions, start, end) -> what was published at start <= time < end."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`state` is None when the alarm keeps the one it has. `reason` and `data` are as DescribeAlarms shows them."""

    state: str | None
    reason: str
    data: dict[str, Any]


def evaluated_at(alarm: Mapping[str, Any], now: float) -> float:
    """The latest moment not after `now` at which CloudWatch would evaluate this metric alarm, in epoch seconds.

    Raises NotEvaluated when the alarm's period is not a valid one.
    """
    with _readable():
        period = _period(alarm)
        step = 10 if period in HIGH_RESOLUTION else HOUR if period * _periods(alarm) > DAY else MINUTE
    return math.floor(now / step) * float(step)


def evaluate(alarm: Mapping[str, Any], source: Source, now: float) -> Verdict:
    """The verdict on a metric alarm, given as DescribeAlarms describes it. Raises NotEvaluated."""
    for part, name in _NOT_SERVED.items():
        if alarm.get(part):
            raise NotEvaluated(f"{name} ({part}) is not evaluated here")
    if "WallClockWindow" in (alarm.get("EvaluationWindow") or {}):
        raise NotEvaluated("a wall clock window is not evaluated here")
    if alarm.get("EvaluateLowSampleCountPercentile") == "ignore":
        raise NotEvaluated("EvaluateLowSampleCountPercentile=ignore is not evaluated here")
    with _readable():
        breaches, _ = _comparison(alarm)
        end = evaluated_at(alarm, now)
        series = _Queries(_queries(alarm), source, end, _periods(alarm) + EXTRA_PERIODS).watched()
    points = [_Point(age, value, breaches(value)) for age, value in enumerate(reversed(series)) if value is not None]
    return _Decision(alarm, points, end).verdict()


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise NotEvaluated(f"the alarm's definition cannot be read: {type(error).__name__} {error}") from error


def statistic(data: Sequence[Datum], name: str) -> float | None:
    """A statistic over data of one period; None when there is none to be had. Raises NotEvaluated for others.

    Percentiles interpolate between values and, as in CloudWatch, are not to be had when a value is negative or when
    only statistics of differing values were published ("CloudWatch statistics definitions", 2026-11).
    """
    data = [datum for datum in data if datum.count > 0]
    if percentile := re.fullmatch(r"[pP](\d{1,2}(?:\.\d{1,10})?|100)", name):
        return _percentile(data, float(percentile[1]))
    if name not in _STATISTICS:
        raise NotEvaluated(f"the statistic {name} is not evaluated here")
    return _STATISTICS[name](data) if data else None


_STATISTICS: dict[str, Callable[[Sequence[Datum]], float]] = {
    "Sum": lambda data: sum(datum.total for datum in data),
    "Average": lambda data: sum(datum.total for datum in data) / sum(datum.count for datum in data),
    "Minimum": lambda data: min(datum.low for datum in data),
    "Maximum": lambda data: max(datum.high for datum in data),
    "SampleCount": lambda data: sum(datum.count for datum in data),
}


def _percentile(data: Sequence[Datum], percent: float) -> float | None:
    if not data or any(datum.low < 0 or datum.low != datum.high for datum in data):
        return None
    ordered = sorted((datum.low, datum.count) for datum in data)
    rank = percent / 100 * max(sum(count for _, count in ordered) - 1, 0)

    def at(place: float) -> float:
        seen = 0.0
        for value, count in ordered:
            seen += count
            if place < seen:
                return value
        return ordered[-1][0]

    low = at(math.floor(rank))
    return low + (rank - math.floor(rank)) * (at(math.floor(rank) + 1) - low)


# --- the series that an alarm watches ---------------------------------------------------------------------------------


def _queries(alarm: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The alarm's Metrics; for an alarm on one metric, the Metrics that say the same."""
    if alarm.get("Metrics"):
        queries: Sequence[Mapping[str, Any]] = alarm["Metrics"]
        return queries
    metric = {name: alarm.get(name) for name in ("Namespace", "MetricName", "Dimensions")}
    stat = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    return [
        {
            "Id": "metric",
            "MetricStat": {"Metric": metric, "Period": alarm["Period"], "Stat": stat, "Unit": alarm.get("Unit")},
        }
    ]


class _Queries:
    """The Metrics of a metric-math alarm. An expression may refer to others; a circle is refused."""

    def __init__(self, queries: Sequence[Mapping[str, Any]], source: Source, end: float, span: int) -> None:
        self._queries = {query["Id"]: query for query in queries}
        self._source, self._end, self._span = source, end, span
        self._found: dict[str, Series] = {}
        self._asked: list[str] = []

    def watched(self) -> Series:
        returned = [name for name, query in self._queries.items() if query.get("ReturnData", True)]
        if len(returned) != 1:
            raise NotEvaluated(f"an alarm watches one series, and {len(returned)} of its Metrics return data")
        return self._series(returned[0])

    def _series(self, name: str) -> Series:
        if name in self._found:
            return self._found[name]
        if name in self._asked:
            raise NotEvaluated(f"the expression {name!r} refers to itself")
        query = self._queries.get(name)
        if query is None:
            raise NotEvaluated(f"an expression refers to {name!r}, which the alarm does not define")
        self._asked.append(name)
        self._found[name] = self._metric(query["MetricStat"]) if "MetricStat" in query else self._expression(query)
        self._asked.pop()
        return self._found[name]

    def _metric(self, query: Mapping[str, Any]) -> Series:
        metric, period, unit = query["Metric"], int(query["Period"]), query.get("Unit")
        dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions") or []}
        start = self._end - self._span * period
        slots: list[list[Datum]] = [[] for _ in range(self._span)]
        for datum in self._source(metric["Namespace"], metric["MetricName"], dimensions, start, self._end):
            if unit is None or datum.unit == unit:
                slots[min(int((datum.time - start) // period), self._span - 1)].append(datum)
        return [statistic(slot, query["Stat"]) for slot in slots]

    def _expression(self, query: Mapping[str, Any]) -> Series:
        metrics = {name: int(one["MetricStat"]["Period"]) for name, one in self._queries.items() if "MetricStat" in one}
        try:
            return metric_math.evaluate(query["Expression"], self._series, list(metrics), metrics, self._span)
        except metric_math.NotServed as error:
            raise NotEvaluated(f"metric math: {error}") from error


# --- the decision -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Point:
    age: int
    """In periods; 0 is the most recent."""
    value: float
    breaching: bool


class _Decision:
    """From the real points of the evaluation range, most recent first, to a verdict."""

    def __init__(self, alarm: Mapping[str, Any], points: Sequence[_Point], end: float) -> None:
        self._alarm = alarm
        self._needed = _periods(alarm)
        self._to_alarm = int(alarm.get("DatapointsToAlarm") or self._needed)
        self._points = list(points[: self._needed])
        self._missing = self._needed - len(self._points)
        self._treatment = _treatment(alarm)
        self._end = end

    def verdict(self) -> Verdict:
        state = self._state()
        return Verdict(state, self._reason(state), self._data())

    def _state(self) -> str | None:
        breaching = sum(point.breaching for point in self._points)
        if self._missing and self._treatment == "breaching":
            breaching += self._missing
        if breaching >= self._to_alarm:
            return ALARM
        if not self._missing or self._treatment in {"breaching", "notBreaching"}:
            return OK
        if not self._points:
            return INSUFFICIENT_DATA if self._treatment == "missing" else None
        if any(not point.breaching for point in self._points):
            return OK
        if self._treatment == "ignore":
            return None
        # "The oldest available breaching datapoint [...] is at least as old as the value of Datapoints to Alarm, and
        # all other more recent data points are breaching or missing."
        return ALARM if self._points[-1].age + 1 >= self._to_alarm else OK

    def _reason(self, state: str | None) -> str:
        if state == INSUFFICIENT_DATA:
            return f"Insufficient Data: {_count(self._needed, 'datapoint')} {_were(self._needed)} unknown."
        if not self._points:
            return (
                f"Threshold Crossed: no datapoints were received for {_count(self._needed, 'period')} and"
                f" {self._filled()}."
            )
        breaching = state == ALARM
        if all(point.breaching != breaching for point in self._points):
            # The missing points decided.
            return f"Threshold Crossed: {self._shown(not breaching)}."
        return f"Threshold Crossed: {self._shown(breaching)}{self._minimum(state)}."

    def _shown(self, breaching: bool) -> str:
        _, wording = _comparison(self._alarm)
        shown = [point for point in self._points if point.breaching == breaching]
        moments = ", ".join(f"{point.value} ({_short(self._start(point))})" for point in shown)
        counted = (
            f"{len(shown)} out of the last {self._needed} datapoints"
            if self._alarm.get("DatapointsToAlarm")
            else _count(len(shown), "datapoint")
        )
        text = (
            f"{counted} [{moments}] {_were(len(shown))} {'' if breaching else 'not '}{wording} the threshold"
            f" ({float(self._alarm['Threshold'])})"
        )
        return f"{text} and {self._filled()}" if self._missing else text

    def _filled(self) -> str:
        treated = {"breaching": "Breaching", "notBreaching": "NonBreaching", "ignore": "Ignored", "missing": "Missing"}
        return (
            f"{_count(self._missing, 'missing datapoint')} {_were(self._missing)} treated as"
            f" [{treated[self._treatment]}]"
        )

    def _minimum(self, state: str | None) -> str:
        if not self._alarm.get("DatapointsToAlarm") or state is None:
            return ""
        if state == ALARM:
            return f" (minimum {_count(self._to_alarm, 'datapoint')} for OK -> ALARM transition)"
        return f" (minimum {_count(self._needed - self._to_alarm + 1, 'datapoint')} for ALARM -> OK transition)"

    def _data(self) -> dict[str, Any]:
        moments = [_long(self._start(point)) for point in self._points]
        data = {
            "version": "1.0",
            "queryDate": _long(self._end),
            "startDate": moments[-1] if moments else None,
            "statistic": self._alarm.get("ExtendedStatistic") or self._alarm.get("Statistic"),
            "period": _period(self._alarm),
            "recentDatapoints": [point.value for point in reversed(self._points)],
            "threshold": float(self._alarm["Threshold"]),
            "evaluatedDatapoints": [
                {"timestamp": moment, "value": point.value} for moment, point in zip(moments, self._points, strict=True)
            ],
        }
        return {name: value for name, value in data.items() if value is not None}

    def _start(self, point: _Point) -> float:
        return self._end - (point.age + 1) * _period(self._alarm)


def _period(alarm: Mapping[str, Any]) -> int:
    queries = alarm.get("Metrics")
    if queries:
        periods = {int(one["MetricStat"]["Period"]) for one in queries if "MetricStat" in one}
        if len(periods) != 1:
            raise NotEvaluated(f"metrics of {len(periods)} different periods in one alarm are not evaluated here")
        period = periods.pop()
    elif alarm.get("Period") is None or not alarm.get("MetricName"):
        raise NotEvaluated("the alarm names neither a metric with its period nor Metrics")
    else:
        period = int(alarm["Period"])
    if period not in HIGH_RESOLUTION and (period < MINUTE or period % MINUTE):
        raise NotEvaluated(f"a period of {period} s is not valid: 10, 20, 30 and multiples of 60 are")
    return period


def _periods(alarm: Mapping[str, Any]) -> int:
    periods = int(alarm.get("EvaluationPeriods") or 0)
    to_alarm = int(alarm.get("DatapointsToAlarm") or periods)
    if not 1 <= to_alarm <= periods:
        raise NotEvaluated(f"{to_alarm} out of {periods} data points is not valid")
    return periods


def _comparison(alarm: Mapping[str, Any]) -> tuple[Callable[[float], bool], str]:
    name = alarm.get("ComparisonOperator")
    if name not in _COMPARISONS or alarm.get("Threshold") is None:
        raise NotEvaluated(f"the comparison {name} is not evaluated here")
    compare, wording = _COMPARISONS[name]
    threshold = float(alarm["Threshold"])
    return lambda value: compare(value, threshold), wording


def _treatment(alarm: Mapping[str, Any]) -> str:
    treatment = str(alarm.get("TreatMissingData") or "missing")
    if treatment not in _TREATMENTS:
        raise NotEvaluated(f"TreatMissingData {treatment!r} is not one of {', '.join(_TREATMENTS)}")
    # "Alarms that evaluate metrics in the AWS/DynamoDB namespace default to ignore missing data."
    return "ignore" if treatment == "missing" and alarm.get("Namespace") == "AWS/DynamoDB" else treatment


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _short(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%d/%m/%y %H:%M:%S")


def _long(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
