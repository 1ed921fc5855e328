"""The decision on a window: the tests behind it against scipy's own, and each kind of change on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipelines.monitoring.checks import (
    LEVELS,
    MINIMUM_ROWS,
    Baseline,
    Window,
    at_least,
    chi_squared,
    false_discovery,
    kolmogorov_smirnov,
    number_checks,
)
from pipelines.monitoring.describe import constraints, statistics
from pipelines.monitoring.report import make_report
from pipelines.monitoring.schema import Schema, UnusableInputError
from pipelines.monitoring.sketch import sketch, weighted
from tests.unit.monitoring import SCHEMA, baseline, judged, kinds, rows, table

Rows = list[list[Any]]

# --- the tests


@pytest.mark.parametrize(
    ("count", "size", "before", "size_before"),
    [(3, 300, 0, 8000), (20, 300, 320, 8000), (300, 300, 100, 8000), (1, 5, 0, 2), (7, 7, 9, 9), (2, 3, 5, 6)],
)
def test_the_hypergeometric_tail_is_scipy_s(count: int, size: int, before: int, size_before: int) -> None:
    expected = stats.hypergeom.sf(count - 1, size + size_before, count + before, size)
    assert at_least(count, size, before, size_before) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_none_of_nothing_is_no_news() -> None:
    assert at_least(0, 300, 5, 1000) == at_least(0, 0, 5, 1000) == 1.0


@pytest.mark.parametrize("size", [100, 300, 1000])
@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5])
def test_kolmogorov_smirnov_is_scipy_s(size: int, shift: float) -> None:
    # Given a sample and a baseline that a sketch holds completely
    random = np.random.default_rng(size)
    before, now = random.normal(size=2000), random.normal(shift, size=size)
    # When they are compared
    gap, p = kolmogorov_smirnov(now, *weighted(sketch(before)), len(before))
    # Then distance and p-value are those of the two-sample test, the latter up to its approximation
    expected = stats.ks_2samp(now, before, method="asymp")
    assert gap == pytest.approx(expected.statistic, abs=1e-12)
    assert np.log(p) == pytest.approx(np.log(expected.pvalue), rel=0.1, abs=0.1)


def test_a_sketch_of_many_gives_the_distance_of_all() -> None:
    random = np.random.default_rng(5)
    before, now = random.exponential(size=40_000), random.exponential(size=500) * 1.2
    gap, _ = kolmogorov_smirnov(now, *weighted(sketch(before)), len(before))
    assert gap == pytest.approx(stats.ks_2samp(now, before).statistic, abs=0.002)


def test_chi_squared_is_scipy_s_and_puts_rare_categories_together() -> None:
    now, before = np.array([120.0, 100, 80]), np.array([1000.0, 1100, 900])
    assert chi_squared(now, before) == pytest.approx(stats.chi2_contingency([now, before]).pvalue)
    # Given categories of which a window has hardly one each, When compared, Then they are one
    rare = chi_squared(np.array([150.0, 147, 1, 1, 1]), np.array([1500.0, 1420, 25, 30, 25]))
    assert rare == pytest.approx(stats.chi2_contingency([[150, 147, 3], [1500, 1420, 80]]).pvalue)
    assert chi_squared(np.array([100.0]), np.array([900.0])) == 1.0


def test_the_correction_is_benjamini_and_hochberg_s() -> None:
    p_values = [0.01, 0.04, 0.03, 0.2, 0.0001, 1.0]
    assert false_discovery(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)))
    assert false_discovery([]) == []


def test_under_no_change_p_values_are_not_too_small() -> None:
    # Given 400 windows of the baseline's own distribution, with ties as rounding makes them
    random = np.random.default_rng(8)
    before = np.round(random.normal(size=3000), 1)
    kept, weights = weighted(sketch(before))
    numbers = [kolmogorov_smirnov(np.round(random.normal(size=300), 1), kept, weights, 3000)[1] for _ in range(400)]
    shares = [
        chi_squared(
            random.multinomial(300, [0.5, 0.3, 0.15, 0.05]).astype(np.float64), np.array([1500.0, 900, 450, 150])
        )
        for _ in range(400)
    ]
    # Then about so many are below a level as the level says
    for level in (0.05, 0.2):
        assert np.mean(np.array(numbers) < level) < level + 0.03
        assert np.mean(np.array(shares) < level) < level + 0.05


def test_the_most_frequent_of_many_values_is_no_surprise() -> None:
    # Given windows of the baseline's own values, each on a grid of 60
    against = Baseline.of(statistics(table(_grid(3000, 1))), constraints(table(_grid(3000, 1))), SCHEMA)
    p_values = []
    for seed in range(100):
        (check,) = [
            each
            for each in number_checks(table(_grid(300, 100 + seed))["size"], against.columns["size"])
            if each.name == "repeated value"
        ]
        p_values.append(check.p)
    # Then the value that happens to come most often is not taken for one that was chosen beforehand
    assert np.mean(np.array(p_values) < 0.05) <= 0.05


def _grid(count: int, seed: int) -> Rows:
    drawn = np.random.default_rng(seed).integers(0, 60, count)
    return [[float(drawn[at]), *line[1:]] for at, line in enumerate(rows(count, seed))]


# --- the decision


def test_a_window_like_the_baseline_is_no_drift() -> None:
    report = judged(rows(300, seed=50))
    assert (report.violations, report.verdict) == ([], "no drift")
    assert report.message == "Completed: Job completed successfully with no violations."


def _set(lines: Rows, column: int, value: Callable[[int, Any], Any]) -> Rows:
    return [
        [value(at, cell) if place == column else cell for place, cell in enumerate(line)]
        for at, line in enumerate(lines)
    ]


CHANGES: dict[str, tuple[Callable[[Rows], Rows], tuple[str, str], str]] = {
    "a mean that moves": (
        lambda lines: _set(lines, 0, lambda _, cell: cell and cell * 1.4),
        ("size", "baseline_drift_check"),
        "the distributions are",
    ),
    "a wider spread": (
        lambda lines: _set(lines, 0, lambda at, cell: cell and cell * (0.5 if at % 2 else 2)),
        ("size", "baseline_drift_check"),
        "the distributions are",
    ),
    "a stuck sensor": (
        lambda lines: _set(lines, 0, lambda _, cell: 1.0),
        ("size", "baseline_drift_check"),
        "100 % have the value 1",
    ),
    "a sensor that hangs in the middle now and then": (
        lambda lines: _set(lines, 0, lambda at, cell: cell if at % 5 else 1.0),
        ("size", "baseline_drift_check"),
        "have the value 1;",
    ),
    "a category that grows": (
        lambda lines: _set(lines, 2, lambda at, cell: cell if at % 7 else "blue"),
        ("colour", "baseline_drift_check"),
        "blue has a share of",
    ),
    "a category that is gone": (
        lambda lines: _set(lines, 2, lambda _, cell: "red" if cell == "green" else cell),
        ("colour", "baseline_drift_check"),
        "green has a share of 0 %",
    ),
    "a new category": (
        lambda lines: _set(lines, 2, lambda at, cell: cell if at % 30 else "violet"),
        ("colour", "categorical_values_check"),
        "violet",
    ),
    "missing numbers": (
        lambda lines: _set(lines, 1, lambda at, cell: cell if at % 20 else ""),
        ("count", "completeness_check"),
        "5 % missing, 0 % before",
    ),
    "missing texts": (
        lambda lines: _set(lines, 3, lambda at, cell: cell if at % 20 else None),
        ("note", "completeness_check"),
        "5 % missing",
    ),
    "a flood of NaN": (
        lambda lines: _set(lines, 0, lambda _, cell: "NaN"),
        ("size", "completeness_check"),
        "100 % missing",
    ),
    "numbers that are words": (
        lambda lines: _set(lines, 1, lambda at, cell: cell if at % 50 else "many"),
        ("count", "data_type_check"),
        "no numbers",
    ),
    "fractions of what is counted": (
        lambda lines: _set(lines, 1, lambda at, cell: cell if at % 50 else 3.5),
        ("count", "data_type_check"),
        "fractions",
    ),
    "negative sizes": (
        lambda lines: _set(lines, 0, lambda at, cell: cell if at % 50 else -0.5),
        ("size", "data_type_check"),
        "negative values",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found_named_and_alone(name: str) -> None:
    # Given a window with one change
    change, expected, text = CHANGES[name]
    # When it is judged
    report = judged(change(rows(300, seed=51)))
    # Then its column has this violation and no other column has any
    assert expected in kinds(report)
    assert {feature for feature, _ in kinds(report)} == {expected[0]}
    (found,) = [each for each in report.violations if each["constraint_check_type"] == expected[1]]
    assert text in found["description"]
    # And the details say the same
    details = {each["name"]: each for each in report.drift({})["features"]}
    assert [name for name, each in details.items() if each["drifted"]] == [expected[0]]
    assert any(text in change for change in details[expected[0]]["changes"])
    count = len(report.violations)
    assert report.message == f"CompletedWithViolations: Job completed successfully with {count} violations."
    assert report.drift({})["drift_share"] == 0.25


def test_one_odd_row_is_no_drift() -> None:
    # Given a new category, a word for a number and a gap, once each
    lines = rows(300, seed=52)
    lines[3][2], lines[4][1], lines[5][3] = "violet", "many", ""
    assert judged(lines).violations == []


def test_what_is_significant_but_small_is_no_drift() -> None:
    # Given so many rows that the smallest shift is no chance
    lines = _set(rows(20_000, seed=53), 0, lambda _, cell: cell and cell * 1.06)
    report = judged(lines)
    # Then the p-value says so, and the effect decides
    size = report.drift({})["features"][0]
    assert size["q_value"] < LEVELS["numbers"]
    assert size["distance"] < 0.1
    assert (size["drifted"], report.violations) == (False, [])


@pytest.mark.parametrize("count", [0, 1, MINIMUM_ROWS - 1])
def test_too_few_rows_are_told_and_not_judged(count: int) -> None:
    # Given few rows, however strange
    report = judged(_set(rows(count, seed=54), 2, lambda _, cell: "violet"))
    # Then
    assert (report.violations, report.verdict) == ([], "too few rows")
    assert f"{count} rows are too few to judge: it takes 100." in report.message
    assert report.message.startswith("Completed: ")
    assert judged(_set(rows(MINIMUM_ROWS, seed=54), 2, lambda _, cell: "violet")).violations != []


def test_columns_that_are_gone_or_unknown_are_found() -> None:
    # Given requests without one column, and with another that nobody knows
    columns = table(rows(300, seed=55))
    del columns["count"]
    report = make_report(
        SCHEMA,
        baseline(),
        Window(columns, 300, ("count",), {"smell": 300, "typo": 1}),
        probabilities=np.empty(0),
    )
    # Then both are named; a single slip is none
    assert kinds(report) == {("count", "missing_column_check"), ("smell", "extra_column_check")}
    absent = next(each for each in report.drift({})["features"] if each["name"] == "count")
    assert (absent["distance"], absent["drifted"]) == (None, True)


@pytest.mark.parametrize(("width", "violation"), [(3, "missing_column_check"), (5, "extra_column_check")])
def test_csv_rows_of_another_width_are_found_even_if_all_are(width: int, violation: str) -> None:
    report = make_report(SCHEMA, baseline(), Window({}, 0, misshapen={width: 300}), probabilities=np.empty(0))
    assert kinds(report) == {("(row)", violation)}
    assert (
        make_report(
            SCHEMA, baseline(), Window(table(rows(299, seed=56)), 299, misshapen={width: 1}), probabilities=np.empty(0)
        ).violations
        == []
    )


# --- what people may change


def _with(constraint: Callable[[dict[str, Any]], None]) -> Baseline:
    columns = table(rows(3000, seed=1))
    told = constraints(columns)
    constraint(told)
    return Baseline.of(statistics(columns), told, SCHEMA)


def test_the_thresholds_of_the_constraints_decide() -> None:
    moved = _set(rows(300, seed=57), 0, lambda _, cell: cell and cell * 1.4)
    assert kinds(judged(moved)) == {("size", "baseline_drift_check")}

    def loose(told: dict[str, Any]) -> None:
        told["monitoring_config"]["distribution_constraints"]["comparison_threshold"] = 0.5

    def loose_here(told: dict[str, Any]) -> None:
        told["features"][0]["monitoringConfigOverrides"] = {"distribution_constraints": {"comparison_threshold": 0.5}}

    def off(told: dict[str, Any]) -> None:
        told["monitoring_config"]["distribution_constraints"]["perform_comparison"] = "Disabled"

    for change in (loose, loose_here, off):
        assert judged(moved, _with(change)).violations == []


def test_a_category_that_a_person_added_is_known() -> None:
    lines = _set(rows(300, seed=58), 2, lambda at, cell: cell if at % 30 else "violet")

    def allow(told: dict[str, Any]) -> None:
        told["features"][2]["string_constraints"]["domains"].append("violet")

    assert ("colour", "categorical_values_check") in kinds(judged(lines))
    assert ("colour", "categorical_values_check") not in kinds(judged(lines, _with(allow)))


@pytest.mark.parametrize(
    ("setting", "column", "value", "kind"),
    [
        ("domain_content_threshold", 2, "violet", "categorical_values_check"),
        ("datatype_check_threshold", 1, "x", "data_type_check"),
    ],
)
def test_a_share_of_wrong_values_can_be_allowed(setting: str, column: int, value: str, kind: str) -> None:
    # Given a tenth of wrong values
    lines = _set(rows(300, seed=59), column, lambda at, cell: cell if at % 10 else value)
    # Then they are a violation unless that many are allowed
    assert kind in {each for _, each in kinds(judged(lines))}
    assert kind not in {each for _, each in kinds(judged(lines, baseline(**{setting: 0.85})))}


def test_what_is_not_compared_is_still_checked_for_gaps() -> None:
    # Given a schema that leaves the colour's shares alone
    schema = Schema(tuple(replace(each, compared=each.name != "colour") for each in SCHEMA.features), "good")
    columns = table(rows(3000, seed=1))
    against = Baseline.of(statistics(columns), constraints(columns), schema)

    def report(lines: Rows) -> set[tuple[str, str]]:
        window = Window(table(lines), len(lines))
        return kinds(make_report(schema, against, window, probabilities=np.empty(0)))

    assert report(_set(rows(300, seed=60), 2, lambda _, cell: "red")) == set()
    assert report(_set(rows(300, seed=60), 2, lambda at, cell: cell if at % 10 else "")) == {
        ("colour", "completeness_check")
    }


@pytest.mark.parametrize("damage", ["features", "monitoring_config"])
def test_a_damaged_baseline_is_refused(damage: str) -> None:
    columns = table(rows(100, seed=1))
    told = constraints(columns)
    del told[damage]
    with pytest.raises(UnusableInputError, match="documented shape"):
        Baseline.of(statistics(columns), told, SCHEMA)


def test_a_baseline_of_other_columns_is_refused() -> None:
    columns = table(rows(100, seed=1))
    told = constraints(columns)
    made = statistics(columns)
    made["features"] = made["features"][1:]
    with pytest.raises(UnusableInputError, match="no column size"):
        Baseline.of(made, told, SCHEMA)
