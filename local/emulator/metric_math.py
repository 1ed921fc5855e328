"""Metric math: the part of CloudWatch's expression language that alarms use and that is documented well enough.

Source of the rules: Amazon CloudWatch User Guide, "Using metric math" (its copy of 2026-11; tables "Basic arithmetic
functions", "Comparison and logical operators", "Functions supported for metric math", "Using IF expressions").
Whatever is not served raises `NotServed`, so that an alarm that needs it is shown as not evaluated.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Series = list[float | None]
"""One value a period, oldest first; None where the period has no data point."""

LONGEST = 2048
DEEPEST = 40
# Their result over one series changes with how many extra periods CloudWatch happens to fetch for an alarm.
RANGE_DEPENDENT = "its result over one series depends on how many extra periods CloudWatch fetches"

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/<>(),\[\]]))"
)
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_EACH_POINT: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
}


class NotServed(Exception):  # noqa: N818 (an expression beyond this cloud is no error)
    """The expression is wrong, or uses what is not served here; the message says which."""


def evaluate(
    expression: str,
    lookup: Callable[[str], Series],
    metrics: Sequence[str],
    periods: Mapping[str, int],
    length: int,
) -> Series:
    """The series that an expression yields, `length` periods long, oldest first.

    `lookup` gives the series of an id (of a metric or of another expression) or raises, `metrics` are the ids that
    METRICS() stands for, `periods` their lengths in seconds. Raises NotServed.
    """
    result = _Expression(expression, lookup, metrics, periods, length).value()
    if not isinstance(result, list):
        raise NotServed(f"{expression!r} does not yield a single time series")
    return result


@dataclass(frozen=True)
class Array:
    """Several series of one length: what METRICS() and [m1, m2] stand for."""

    members: list[Series]


Value = float | Series | Array


class _Expression:
    """Recursive descent that computes as it reads. One method a level of precedence, weakest first."""

    def __init__(
        self,
        text: str,
        lookup: Callable[[str], Series],
        metrics: Sequence[str],
        periods: Mapping[str, int],
        length: int,
    ) -> None:
        self._text = text
        self._lookup = lookup
        self._metrics = metrics
        self._periods = periods
        self._length = length
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def value(self) -> Value:
        result = self._either()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return result

    def _either(self) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotServed(f"{self._text!r} is nested too deeply")
        left = self._both()
        while self._take("OR", "||"):
            left = _logical(left, self._both(), lambda one, other: one or other)
        self._depth -= 1
        return left

    def _both(self) -> Value:
        left = self._comparison()
        while self._take("AND", "&&"):
            left = _logical(left, self._comparison(), lambda one, other: one and other)
        return left

    def _comparison(self) -> Value:
        left = self._sum()
        if sign := self._take(*_COMPARISONS):
            compare = _COMPARISONS[sign]
            left = _pairwise(left, self._sum(), lambda one, other: float(compare(one, other)))
        return left

    def _sum(self) -> Value:
        left = self._product()
        while sign := self._take("+", "-"):
            left = _pairwise(left, self._product(), _ARITHMETIC[sign])
        return left

    def _product(self) -> Value:
        left = self._unary()
        while sign := self._take("*", "/"):
            left = _pairwise(left, self._unary(), _ARITHMETIC[sign])
        return left

    def _unary(self) -> Value:
        minus = False
        while self._take("-"):
            minus = not minus
        value = self._primary()
        return _each(value, operator.neg) if minus else value

    def _primary(self) -> Value:
        if self._take("("):
            value = self._either()
            self._expect(")")
            return value
        if self._take("["):
            return self._array()
        kind, word = self._next()
        if kind == "number":
            return float(word)
        if kind == "name" and self._take("("):
            return self._call(word)
        if kind == "name" and word[0].islower():
            return list(self._lookup(word))
        self._at -= 1
        raise self._unexpected()

    def _array(self) -> Value:
        members: list[Series] = []
        for value in self._arguments("]"):
            if isinstance(value, float):
                raise NotServed(f"an array in {self._text!r} holds a number, which is not served")
            members.extend(value.members if isinstance(value, Array) else [value])
        if not members:
            raise self._unexpected()
        return Array(members)

    def _call(self, name: str) -> Value:
        own = {"METRICS": self._all_metrics, "PERIOD": self._period, "FILL": self._fill}
        if name in own:
            return own[name]()
        arguments = self._arguments(")")
        if name == "IF" and len(arguments) in {2, 3}:
            return _choose(arguments[0], arguments[1], arguments[2] if len(arguments) > 2 else None)
        if len(arguments) != 1:
            raise NotServed(f"{name} with {len(arguments)} arguments is not served")
        return self._call_with_one(name, arguments[0])

    def _call_with_one(self, name: str, argument: Value) -> Value:
        if name in _ACROSS:
            return _across(name, argument)
        if name in _EACH_POINT and not isinstance(argument, float):
            return _each(argument, _EACH_POINT[name])
        if name == "METRIC_COUNT" and isinstance(argument, Array):
            return float(len(argument.members))
        if name == "TIME_SERIES" and isinstance(argument, float):
            return [argument for _ in range(self._length)]
        raise NotServed(f"the function {name} is not served for this argument")

    def _all_metrics(self) -> Value:
        part = ""
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "text":
            part = self._next()[1][1:-1]
        self._expect(")")
        found = [list(self._lookup(name)) for name in self._metrics if part in name]
        if not found:
            raise NotServed(f"METRICS in {self._text!r} stands for no metric")
        return Array(found)

    def _period(self) -> Value:
        _, name = self._next()
        if name not in self._periods:
            raise NotServed("PERIOD takes the id of a metric")
        self._expect(")")
        return float(self._periods[name])

    def _fill(self) -> Value:
        value = self._either()
        self._expect(",")
        if self._take("REPEAT"):
            self._expect(")")
            return _each_series(value, _repeat)
        if self._take("LINEAR"):
            raise NotServed("FILL with LINEAR is not served")
        filler = self._either()
        self._expect(")")
        if isinstance(filler, Array):
            raise NotServed("FILL takes a number, a series or REPEAT")
        return _each_series(
            value,
            lambda series: [_at(filler, at) if point is None else point for at, point in enumerate(series)],
        )

    def _arguments(self, end: str) -> list[Value]:
        arguments: list[Value] = []
        if self._take(end):
            return arguments
        while True:
            arguments.append(self._either())
            if self._take(end):
                return arguments
            self._expect(",")

    def _take(self, *expected: str) -> str | None:
        if self._at < len(self._tokens):
            kind, token = self._tokens[self._at]
            if kind != "text" and token in expected:
                self._at += 1
                return token
        return None

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._unexpected()
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._unexpected()

    def _unexpected(self) -> NotServed:
        found = repr(self._tokens[self._at][1]) if self._at < len(self._tokens) else "the end"
        return NotServed(f"{found} is not expected there in {self._text!r}")


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > LONGEST:
        raise NotServed(f"the expression is longer than {LONGEST} characters")
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotServed(f"{text[at:].strip()[0]!r} in {text!r} is not served")
        tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
        at = found.end()
    return tokens


def _each(value: Value, function: Callable[[float], float]) -> Value:
    if isinstance(value, float):
        return function(value)
    return _each_series(value, lambda series: [None if point is None else function(point) for point in series])


def _each_series(value: Value, function: Callable[[Series], Series]) -> Value:
    if isinstance(value, float):
        raise NotServed("a number stands where a time series is wanted")
    if isinstance(value, Array):
        return Array([function(series) for series in value.members])
    return function(value)


def _pairwise(left: Value, right: Value, function: Callable[[float, float], float]) -> Value:
    if isinstance(left, Array):
        if isinstance(right, Array):
            raise NotServed("an operator between two arrays is not served")
        return Array([_point_by_point(series, right, function) for series in left.members])
    if isinstance(right, Array):
        return Array([_point_by_point(left, series, function) for series in right.members])
    if isinstance(left, float) and isinstance(right, float):
        result = _safely(function, left, right)
        if result is None:
            raise NotServed("a number is divided by zero")
        return result
    return _point_by_point(left, right, function)


def _point_by_point(left: float | Series, right: float | Series, function: Callable[[float, float], float]) -> Series:
    """A missing value beside a real one counts as 0; a point that would divide by zero is dropped.

    A number has no points of its own: beside it, a missing value stays missing.
    """
    length = len(left) if isinstance(left, list) else len(right) if isinstance(right, list) else 0
    between_series = isinstance(left, list) and isinstance(right, list)
    result: Series = []
    for at in range(length):
        one, other = _at(left, at), _at(right, at)
        if (one is None and other is None) or (not between_series and (one is None or other is None)):
            result.append(None)
        else:
            result.append(_safely(function, one or 0.0, other or 0.0))
    return result


def _at(value: float | Series, at: int) -> float | None:
    return value[at] if isinstance(value, list) else value


def _safely(function: Callable[[float, float], float], one: float, other: float) -> float | None:
    try:
        result = function(one, other)
    except (ZeroDivisionError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def _logical(left: Value, right: Value, function: Callable[[bool, bool], bool]) -> Value:
    if isinstance(left, float) != isinstance(right, float):
        raise NotServed("a logical operator stands between two series or two numbers")
    return _pairwise(left, right, lambda one, other: float(function(bool(one), bool(other))))


def _choose(condition: Value, then: Value, otherwise: Value | None) -> Value:
    if isinstance(condition, Array) or isinstance(then, Array) or isinstance(otherwise, Array):
        raise NotServed("IF with an array is not served")
    if isinstance(condition, float):
        if isinstance(then, float):
            raise NotServed("IF with a number as its condition takes a series as its second argument")
        if condition:
            return then
        return [None for _ in then] if otherwise is None else otherwise
    chosen: Series = []
    for at, point in enumerate(condition):
        if point is None:
            chosen.append(None)
        elif point:
            chosen.append(_at(then, at) or 0.0)
        else:
            chosen.append(None if otherwise is None else _at(otherwise, at))
    return chosen


def _repeat(series: Series) -> Series:
    filled: Series = []
    for point in series:
        filled.append(point if point is not None else (filled[-1] if filled else None))
    return filled


def _average(points: list[float], members: int) -> float:
    return sum(points) / members


_ACROSS: dict[str, Callable[[list[float], int], float]] = {
    "SUM": lambda points, _: sum(points),
    "MIN": lambda points, _: min(points),
    "MAX": lambda points, _: max(points),
    # "Missing values are treated as 0", says the table of AVG alone.
    "AVG": _average,
}


def _across(name: str, value: Value) -> Value:
    if isinstance(value, float):
        raise NotServed(f"{name} of a number is not served")
    if isinstance(value, list):
        raise NotServed(f"{name} of one series is not served: {RANGE_DEPENDENT}")
    combined: Series = []
    for points in zip(*value.members, strict=True):
        real = [point for point in points if point is not None]
        combined.append(_ACROSS[name](real, len(points)) if real else None)
    return combined
