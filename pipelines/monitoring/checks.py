"""The decision on one window: what is different from the baseline, by more than chance and by more than matters.

**Each check is a test with an effect.** It finds something if its p-value survives the correction below, and its effect
reaches a floor. Without the test, small windows alarm by chance; without the floor, large ones alarm for nothing.

- The distribution of a number: Kolmogorov-Smirnov, against the baseline's sketch. Effect: the largest gap between the
  two distributions; floor: `comparison_threshold` of constraints.json.
- One value again and again, as a stuck sensor gives it: hypergeometric, against the baseline's most frequent value,
  times the number of values. Effect: its share above that one's; floor 0.1.
- Shares of categories: chi-squared, with rare ones put together. Effect: the largest difference of a share; floor:
  `categorical_comparison_threshold`.
- More missing values: hypergeometric. Effect: the difference of their share; floor 0.02.
- New categories, wrong types, negative values, malformed rows: hypergeometric, against none in the baseline. Effect:
  their share; floor: what the thresholds of constraints.json allow, by default none.
- Worse predictions, once labels arrive: a permutation of losses (`quality`). Effect: the relative increase of the mean
  loss; floor 0.1.

The hypergeometric tests are exact, and count the baseline's own chance: a share of 1,000 rows is not a known share.

**Correction.** Of one window many tests are made. Within a kind of check, Benjamini-Hochberg keeps the false discovery
rate at the kind's level (`LEVELS`). Where nothing has changed, that is the chance of any alarm of this kind, so the
chance of a false alarm in a window is at most their sum, 0.004. The levels are not equal, as the tests are not: half a
standard deviation stands out from 300 values at any level, whereas ten points of a share need all that can be spent.

A window of fewer than `MINIMUM_ROWS` is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from .describe import CATEGORY_THRESHOLD, NUMBER_THRESHOLD
from .schema import Feature, Schema, UnusableInputError
from .sketch import weighted
from .table import Column, Numbers, Table

MINIMUM_ROWS = 100

Level = Literal["numbers", "shares", "missing", "validity", "quality"]
LEVELS: dict[Level, float] = {
    "numbers": 0.0005,
    "shares": 0.002,
    "missing": 0.0005,
    "validity": 0.0005,
    "quality": 0.0005,
}

REPEATS_FLOOR = 0.1
MISSING_FLOOR = 0.02
# Chi-squared needs some rows in each cell.
_MINIMUM_EXPECTED = 5

# The documented types: Amazon SageMaker AI Developer Guide, "Schema for Violations (constraint_violations.json file)",
# read 2026-11-27.
Violation = Literal[
    "data_type_check",
    "completeness_check",
    "baseline_drift_check",
    "missing_column_check",
    "extra_column_check",
    "categorical_values_check",
]


@dataclass(frozen=True)
class Check:
    """One test: `p` by chance alone; `effect` on the scale of its `floor`; `text` says what it saw."""

    feature: str
    name: str
    level: Level
    violation: Violation
    p: float
    effect: float
    floor: float
    text: str


@dataclass(frozen=True)
class Verdict:
    """A check after the correction; `q` is its adjusted p-value."""

    check: Check
    q: float

    @property
    def found(self) -> bool:
        return self.q <= LEVELS[self.check.level] and self.check.effect >= self.check.floor


@dataclass(frozen=True)
class Window:
    """What was asked in a window. `absent`: columns that no row has. `extra`: rows with a column that is not known, by
    its name. `misshapen`: CSV rows by their number of values, if that is not the schema's; they are not in `table`."""

    table: Table
    rows: int
    absent: tuple[str, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)
    misshapen: Mapping[int, int] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """Rows, those of a wrong shape included."""
        return self.rows + sum(self.misshapen.values())


@dataclass(frozen=True)
class Reference:
    """A column as the baseline knows it."""

    name: str
    present: int
    missing: int
    values: Numbers
    weights: Numbers
    categories: Mapping[str, int]
    integral: bool
    non_negative: bool
    floor: float
    compared: bool

    @property
    def rows(self) -> int:
        return self.present + self.missing

    @property
    def repeated(self) -> float:
        """The share of the most frequent value."""
        _, at = np.unique(self.values, return_inverse=True)
        return float(np.bincount(at, self.weights).max() / self.weights.sum()) if len(self.values) else 0.0


@dataclass(frozen=True)
class Baseline:
    """All columns of a baseline, and what the constraints tolerate."""

    columns: Mapping[str, Reference]
    rows: int
    wrong_types_allowed: float = 0.0
    unknown_values_allowed: float = 0.0

    @classmethod
    def of(cls, statistics: dict[str, Any], constraints: dict[str, Any], schema: Schema) -> Baseline:
        """From the content of the two files. Raises UnusableInputError."""
        try:
            return cls._of(statistics, constraints, schema)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnusableInputError(f"The baseline's files have not the documented shape: {error!r}.") from None

    @classmethod
    def _of(cls, statistics: dict[str, Any], constraints: dict[str, Any], schema: Schema) -> Baseline:
        config = constraints["monitoring_config"]
        distributions = config.get("distribution_constraints", {})
        floors = (
            float(distributions.get("comparison_threshold", NUMBER_THRESHOLD)),
            float(distributions.get("categorical_comparison_threshold", CATEGORY_THRESHOLD)),
        )
        if distributions.get("perform_comparison", "Enabled") != "Enabled":
            floors = (float("inf"), float("inf"))
        described = {each["name"]: each for each in statistics["features"]}
        constrained = {each["name"]: each for each in constraints["features"]}
        lacking = [name for name in schema.names if name not in described or name not in constrained]
        if lacking:
            raise UnusableInputError(f"The baseline has no column {', '.join(lacking)}.")
        columns = {
            feature.name: _reference(feature, described[feature.name], constrained[feature.name], floors)
            for feature in schema.features
        }
        return cls(
            columns,
            int(statistics["dataset"]["item_count"]),
            1 - float(config.get("datatype_check_threshold", 1)),
            1 - float(config.get("domain_content_threshold", 1)),
        )


def _reference(
    feature: Feature, described: dict[str, Any], constrained: dict[str, Any], floors: tuple[float, float]
) -> Reference:
    number = feature.kind == "number"
    told = described.get("numerical_statistics" if number else "string_statistics")
    if told is None:
        raise UnusableInputError(f"The baseline's column {feature.name} is no {feature.kind}.")
    values, weights = np.empty(0), np.empty(0)
    categories: dict[str, int] = {}
    if number:
        values, weights = weighted(told["distribution"]["kll"]["sketch"]["data"])
    else:
        buckets = told.get("distribution", {}).get("categorical", {}).get("buckets", [])
        categories = {str(bucket["value"]): int(bucket["count"]) for bucket in buckets}
        # A category that a person added to the domains is known, though the baseline has none of it.
        if categories:
            for value in constrained.get("string_constraints", {}).get("domains", []):
                categories.setdefault(str(value), 0)
    own = constrained.get("monitoringConfigOverrides", {}).get("distribution_constraints", {})
    member = "comparison_threshold" if number else "categorical_comparison_threshold"
    return Reference(
        name=feature.name,
        present=int(told["common"]["num_present"]),
        missing=int(told["common"]["num_missing"]),
        values=values,
        weights=weights,
        categories=categories,
        integral=constrained["inferred_type"] == "Integral",
        non_negative=bool(constrained.get("num_constraints", {}).get("is_non_negative", False)),
        floor=float(own.get(member, floors[0] if number else floors[1])),
        compared=feature.compared,
    )


# ---- the checks -----------------------------------------------------------------------------------------------------


def column_checks(window: Window, baseline: Baseline) -> list[Check]:
    """Missing columns, unknown ones, rows that are too short or too long."""
    found = []
    for name in window.absent:
        text = "no row has this column"
        found.append(Check(name, "missing column", "validity", "missing_column_check", 0.0, 1.0, 0.0, text))
    for name, rows in window.extra.items():
        text = f"the model knows no such column; {_percent(rows / window.asked)} of the rows have it"
        p = at_least(rows, window.asked, 0, baseline.rows)
        found.append(Check(name, "extra column", "validity", "extra_column_check", p, rows / window.asked, 0.0, text))
    columns = len(baseline.columns)
    shapes: list[tuple[Violation, int, str]] = [
        ("missing_column_check", sum(n for width, n in window.misshapen.items() if width < columns), "fewer"),
        ("extra_column_check", sum(n for width, n in window.misshapen.items() if width > columns), "more"),
    ]
    for violation, rows, word in shapes:
        if rows:
            share = rows / window.asked
            p = at_least(rows, window.asked, 0, baseline.rows)
            text = f"{_percent(share)} of the rows have {word} than {columns} values"
            found.append(Check("(row)", f"{word} values", "validity", violation, p, share, 0.0, text))
    return found


def feature_checks(column: Column, reference: Reference, baseline: Baseline) -> list[Check]:
    """All checks on the values of one column."""
    checks = [_missing(column, reference)]
    if column.kind == "number":
        checks += _types(column, reference, baseline.wrong_types_allowed)
        if reference.compared:
            checks += number_checks(column, reference)
    elif reference.categories:
        checks.append(_unknown(column, reference, baseline.unknown_values_allowed))
        if reference.compared:
            checks += _shares(column, reference)
    return checks


def _missing(column: Column, reference: Reference) -> Check:
    rows = column.missing + len(column.values) + column.misfits
    before = reference.missing / reference.rows if reference.rows else 0.0
    share = column.missing / rows if rows else 0.0
    p = at_least(column.missing, rows, reference.missing, reference.rows)
    text = f"{_percent(share)} missing, {_percent(before)} before"
    return Check(column.name, "missing values", "missing", "completeness_check", p, share - before, MISSING_FLOOR, text)


def _types(column: Column, reference: Reference, allowed: float) -> list[Check]:
    present = len(column.values) + column.misfits
    counts = [("no numbers", column.misfits)]
    if reference.integral:
        counts.append(("fractions", int(np.sum(column.values != np.round(column.values)))))
    if reference.non_negative:
        counts.append(("negative values", int(np.sum(column.values < 0))))
    return [
        Check(
            column.name,
            what,
            "validity",
            "data_type_check",
            at_least(count, present, 0, reference.present),
            count / present,
            np.nextafter(allowed, 1),
            f"{_percent(count / present)} are {what}, none before",
        )
        for what, count in counts
        if count
    ]


def number_checks(column: Column, reference: Reference) -> list[Check]:
    """The distribution of a number, and a value that comes again and again."""
    values: Numbers = column.values
    if not len(values) or not len(reference.values):
        return []
    gap, p = kolmogorov_smirnov(values, reference.values, reference.weights, reference.present)
    before = float(np.average(reference.values, weights=reference.weights))
    text = f"the distributions are {gap:.2f} apart (mean {values.mean():.4g}, {before:.4g} before)"
    found = [
        Check(column.name, "distribution", "numbers", "baseline_drift_check", p, gap, reference.floor, text),
    ]
    if reference.repeated < 1:
        seen, counts = np.unique(values, return_counts=True)
        most = int(counts.argmax())
        share = float(counts[most] / len(values))
        expected = round(reference.repeated * reference.present)
        p = min(1.0, len(seen) * at_least(int(counts[most]), len(values), expected, reference.present))
        text = f"{_percent(share)} have the value {seen[most]:.4g}; none had more than {_percent(reference.repeated)}"
        effect = share - reference.repeated
        found.append(
            Check(column.name, "repeated value", "numbers", "baseline_drift_check", p, effect, REPEATS_FLOOR, text)
        )
    return found


def _unknown(column: Column, reference: Reference, allowed: float) -> Check:
    counts = Counter(column.values.tolist())
    unknown = [(value, count) for value, count in counts.most_common() if value not in reference.categories]
    rows = sum(count for _, count in unknown)
    present = len(column.values)
    names = ", ".join(value[:40] for value, _ in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    share = rows / present if present else 0.0
    p = at_least(rows, present, 0, reference.present)
    text = f"{_percent(share)} are of categories that were not there before: {names}"
    floor = float(np.nextafter(allowed, 1))
    return Check(column.name, "new categories", "validity", "categorical_values_check", p, share, floor, text)


def _shares(column: Column, reference: Reference) -> list[Check]:
    counts = Counter(column.values.tolist())
    names = list(reference.categories)
    before = np.array([reference.categories[name] for name in names], dtype=float)
    now = np.array([counts[name] for name in names], dtype=float)
    if not now.sum() or not before.sum():
        return []
    change = now / now.sum() - before / before.sum()
    most = int(np.abs(change).argmax())
    p = chi_squared(now, before)
    text = (
        f"{names[most][:40]} has a share of {_percent(now[most] / now.sum())}, "
        f"{_percent(before[most] / before.sum())} before"
    )
    effect = float(abs(change[most]))
    return [Check(column.name, "shares", "shares", "baseline_drift_check", p, effect, reference.floor, text)]


# ---- the tests ------------------------------------------------------------------------------------------------------


# scipy.special has all that is needed and is imported in a tenth of a second; scipy.stats takes more than one.


def at_least(count: int, rows: int, count_before: int, rows_before: int) -> float:
    """The chance of so many or more, if window and baseline are drawn from the same: hypergeometric."""
    if not rows or not count:
        return 1.0
    marked, everything = count + count_before, rows + rows_before
    possible = np.arange(count, min(rows, marked) + 1)
    logarithms = (
        _log_choose(marked, possible)
        + _log_choose(everything - marked, rows - possible)
        - _log_choose(everything, np.asarray(rows))
    )
    return float(min(1.0, np.exp(logarithms).sum()))


def _log_choose(of: int, count: npt.NDArray[np.int_]) -> Numbers:
    # A choice of more than there are is none at all.
    rest = np.maximum(of - count, 0)
    ways = special.gammaln(of + 1) - special.gammaln(count + 1) - special.gammaln(rest + 1)
    return np.where(count <= of, ways, -np.inf)


def kolmogorov_smirnov(values: Numbers, before: Numbers, weights: Numbers, rows_before: int) -> tuple[float, float]:
    """Distance and p-value of a sample against sorted, weighted values that stand for `rows_before` rows.

    The p-value is Kolmogorov's limit with Stephens' correction for finite samples ("EDF Statistics for Goodness of Fit
    and Some Comparisons", 1974). Ties, as rounded values have them, make it larger than it is.
    """
    ordered = np.sort(values)
    heights = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    grid = np.concatenate([ordered, before])
    gaps = np.searchsorted(ordered, grid, "right") / len(ordered) - heights[np.searchsorted(before, grid, "right")]
    gap = float(np.abs(gaps).max())
    root = float(np.sqrt(len(ordered) * rows_before / (len(ordered) + rows_before)))
    return gap, float(special.kolmogorov((root + 0.12 + 0.11 / root) * gap))


def chi_squared(now: Numbers, before: Numbers) -> float:
    """The p-value of two rows of counts, their rare columns put together."""
    share = (now + before) / (now.sum() + before.sum())
    order = np.argsort(share)
    now, before, expected = now[order], before[order], share[order] * now.sum()
    # The rarest become one, as far as it takes for a cell to be large enough.
    cut = int(np.searchsorted(np.cumsum(expected), _MINIMUM_EXPECTED)) if expected[0] < _MINIMUM_EXPECTED else 0
    if cut:
        now = np.concatenate([[now[: cut + 1].sum()], now[cut + 1 :]])
        before = np.concatenate([[before[: cut + 1].sum()], before[cut + 1 :]])
    if len(now) < 2:
        return 1.0
    counts = np.array([now, before])
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    return float(special.chdtrc(len(now) - 1, ((counts - expected) ** 2 / expected).sum()))


def judge(checks: Sequence[Check]) -> list[Verdict]:
    """The checks in their order, corrected within their level."""
    adjusted: dict[int, float] = {}
    for level in LEVELS:
        of_level = [at for at, check in enumerate(checks) if check.level == level]
        adjusted.update(zip(of_level, false_discovery([checks[at].p for at in of_level]), strict=True))
    return [Verdict(check, adjusted[at]) for at, check in enumerate(checks)]


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values."""
    count = len(p_values)
    order = np.argsort(p_values)[::-1]
    adjusted = np.empty(count)
    smallest = 1.0
    for place, at in enumerate(order):
        smallest = min(smallest, p_values[at] * count / (count - place))
        adjusted[at] = smallest
    return [float(each) for each in adjusted]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
