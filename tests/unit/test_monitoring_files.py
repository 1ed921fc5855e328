"""The baseline's files: Model Monitor's shapes, a sketch that is true to the data, and input that is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.monitoring import baseline
from pipelines.monitoring.describe import MAXIMUM_CATEGORIES, constraints, statistics
from pipelines.monitoring.schema import Feature, Schema, UnusableInputError, write_json
from pipelines.monitoring.sketch import K, sketch, weighted
from pipelines.monitoring.table import Column, read_csv
from tests.unit.monitoring import SCHEMA, SCHEMA_FILE, rows, table


@pytest.fixture
def schema_file(tmp_path: Path) -> Path:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA_FILE))
    return file


# --- values


def test_what_is_missing_is_told_from_what_is_no_number() -> None:
    # Given fields of a CSV and values of JSON
    raw = ["1.5", " 2 ", "", "NaN", "n/a", None, math.nan, "many", [3], "inf", True]
    # When they are read as numbers
    column = Column.parse(Feature("size", "number"), raw)
    # Then gaps and misfits are counted apart, and infinity is no value to compute with
    assert column.values.tolist() == [1.5, 2.0, 1.0]
    assert (column.missing, column.misfits, column.rows) == (5, 3, 11)


def test_texts_are_kept_as_they_are() -> None:
    column = Column.parse(Feature("colour", "string"), ["red", "", " blue ", None, 7, "NA"])
    assert (column.values.tolist(), column.missing) == (["red", "blue", "7"], 3)


# --- the sketch


@pytest.mark.parametrize("count", [0, 1, K, K + 1, 10_000, 50_001])
def test_a_sketch_stands_for_all_values_and_has_their_quantiles(count: int) -> None:
    # Given values in any order
    values = np.random.default_rng(count).exponential(size=count)
    # When they are sketched
    levels = sketch(values)
    kept, weights = weighted(levels)
    # Then each value is stood for once, by few
    assert weights.sum() == count
    assert len(kept) <= 3 * K
    # And ranks are right to a thousandth
    if count:
        ordered = np.sort(values)
        for share in (0.01, 0.25, 0.5, 0.9, 0.999):
            cut = np.quantile(ordered, share)
            assert weights[kept <= cut].sum() / count == pytest.approx(np.mean(ordered <= cut), abs=0.001)


def test_a_sketch_leans_to_no_side() -> None:
    # Given a sketch whose levels were halved several times
    values = np.sort(np.random.default_rng(3).exponential(size=50_001))
    kept, weights = weighted(sketch(values))
    # Then ranks are as often too high as too low
    shares = np.linspace(0.01, 0.999, 200)
    cuts = np.quantile(values, shares)
    errors = [weights[kept <= cut].sum() / len(values) - np.mean(values <= cut) for cut in cuts]
    assert np.mean(errors) == pytest.approx(0, abs=0.0002)


def test_up_to_its_size_a_sketch_loses_nothing_and_it_is_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(size=K)
    assert sketch(values) == [np.sort(values).tolist()]
    many = np.random.default_rng(2).normal(size=9000)
    assert sketch(many) == sketch(many)


# --- statistics.json and constraints.json


def test_statistics_have_the_documented_shape() -> None:
    # Given columns of numbers and of texts
    made = statistics(table(rows(500, seed=3)))
    # Then the file has the documented members
    assert (made["version"], made["dataset"]) == (0, {"item_count": 500})
    size, _, colour, note = made["features"]
    assert [each["name"] for each in made["features"]] == ["size", "count", "colour", "note"]
    assert [each["inferred_type"] for each in made["features"]] == ["Fractional", "Integral", "String", "String"]
    numbers = size["numerical_statistics"]
    assert set(numbers) == {"common", "mean", "sum", "std_dev", "min", "max", "distribution"}
    assert numbers["common"]["num_present"] + numbers["common"]["num_missing"] == 500
    assert numbers["common"]["num_missing"] > 0
    buckets = numbers["distribution"]["kll"]["buckets"]
    assert len(buckets) == 10
    assert sum(bucket["count"] for bucket in buckets) == numbers["common"]["num_present"]
    assert numbers["distribution"]["kll"]["sketch"]["parameters"] == {"c": 0.64, "k": 2048.0}
    # And categories are counted, but not what is different in each row
    shares = {
        each["value"]: each["count"] for each in colour["string_statistics"]["distribution"]["categorical"]["buckets"]
    }
    assert set(shares) == {"red", "green", "blue"}
    assert sum(shares.values()) == 500
    assert note["string_statistics"]["distinct_count"] == 500 > MAXIMUM_CATEGORIES
    assert note["string_statistics"]["distribution"]["categorical"]["buckets"] == []


def test_constraints_say_what_the_data_were_like() -> None:
    # Given a column with negative values, and one with gaps
    columns = table(rows(500, seed=3))
    columns["count"] = Column("count", "number", np.array([-1.0, 2.0]), 0)
    made = constraints(columns)
    # Then
    size, count, colour, note = made["features"]
    assert size["num_constraints"] == {"is_non_negative": True}
    assert count["num_constraints"] == {"is_non_negative": False}
    assert 0.95 < size["completeness"] < 1 == count["completeness"]
    assert colour["string_constraints"] == {"domains": ["blue", "green", "red"]}
    assert "string_constraints" not in note
    assert set(made["monitoring_config"]) == {
        "evaluate_constraints",
        "emit_metrics",
        "datatype_check_threshold",
        "domain_content_threshold",
        "distribution_constraints",
    }


def test_a_column_without_any_value_is_of_unknown_type() -> None:
    empty = {"size": Column("size", "number", np.empty(0), 5)}
    (feature,) = statistics(empty)["features"]
    assert feature["inferred_type"] == "Unknown"
    assert json.dumps(statistics(empty), allow_nan=False)


def test_no_file_holds_a_number_that_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"value": math.nan})


# --- the script


def _csv(file: Path, lines: list[list[Any]], header: str = "good,size,count,colour,note") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = [header, *(",".join(str(value) for value in line) for line in lines)]
    file.write_text("\n".join(texts) + "\n")
    return file.parent


def test_the_script_makes_a_baseline_of_all_files(tmp_path: Path, schema_file: Path) -> None:
    # Given training data in two files, with a label that is no feature
    lines = [[0, *row] for row in rows(300, seed=4)]
    _csv(tmp_path / "data" / "a.csv", lines[:100])
    data = _csv(tmp_path / "data" / "part" / "b.csv", lines[100:]).parent
    # When the script runs without predictions
    code = baseline.main(["--data", str(data), "--schema", str(schema_file), "--output", str(tmp_path / "out")])
    # Then both files are there, the label is not, and nothing is said of a model
    assert code == 0
    made = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert made["dataset"]["item_count"] == 300
    assert [each["name"] for each in made["features"]] == list(SCHEMA.names)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["constraints.json", "statistics.json"]


def test_with_predictions_there_is_a_baseline_of_the_model(tmp_path: Path, schema_file: Path) -> None:
    # Given answers of the model to data that it was not trained with
    data = _csv(tmp_path / "data" / "a.csv", [[0, *row] for row in rows(50, seed=4)])
    said = _csv(tmp_path / "said" / "a.csv", [[1, 0.9, 1], [0, 0.2, 0], [0, 0.6, 1]], "good,probability,decision")
    arguments = ["--data", str(data), "--schema", str(schema_file), "--output", str(tmp_path / "out")]
    # When the script runs
    assert baseline.main([*arguments, "--predictions", str(said)]) == 0
    # Then they and their quality are kept
    made = json.loads((tmp_path / "out" / "model_baseline.json").read_text())
    assert made["prediction"]["numerical_statistics"]["common"]["num_present"] == 3
    assert made["quality"]["measured"]["precision"] == 0.5
    assert made["quality"]["measured"]["auc"] == 1.0


@pytest.mark.parametrize(
    ("header", "line", "reason"),
    [
        ("good,size,count,colour", [0, 1, 2, "red"], "no column note"),
        ("good,size,count,colour,note", [0, "big", 2, "red", "x"], "column size has 1 values that are no numbers"),
        ("good,size,count,colour,note", [0, 1], "longer or shorter"),
        ("good,size,count,colour,note", None, "no rows"),
    ],
)
def test_data_of_no_use_ends_the_script_with_a_reason(
    tmp_path: Path,
    schema_file: Path,
    capsys: pytest.CaptureFixture[str],
    header: str,
    line: list[Any] | None,
    reason: str,
) -> None:
    data = _csv(tmp_path / "data" / "a.csv", [line] if line else [], header)
    assert baseline.main(["--data", str(data), "--schema", str(schema_file), "--output", str(tmp_path / "out")]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", [[2, 0.5, 0], [1, 1.5, 0], [1, "", 0], [1, "high", 0]])
def test_predictions_of_no_use_are_refused(tmp_path: Path, schema_file: Path, line: list[Any]) -> None:
    said = _csv(tmp_path / "said" / "a.csv", [line], "good,probability,decision")
    with pytest.raises(UnusableInputError, match=r"predictions"):
        baseline.read_predictions(said, Schema.read(schema_file))


def test_files_with_different_headers_are_not_put_together(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv", [[0, 1, 2, "red", "x"]])
    folder = _csv(tmp_path / "b.csv", [[1, 2, 0, "red", "x"]], "size,count,good,colour,note")
    with pytest.raises(UnusableInputError, match="another header"):
        read_csv(folder, SCHEMA)


# --- schemas


def test_the_schemas_of_the_project_are_read() -> None:
    root = Path(__file__).resolve().parents[2] / "pipelines"
    deliveries = Schema.read(root / "deliveries" / "schema.json")
    assert deliveries.label == "claimed"
    assert {each.name: each.kind for each in deliveries.features}["price"] == "number"
    # An hour has one weekday: its share is no drift.
    assert [each.name for each in deliveries.features if not each.compared] == ["weekday"]
    assert len(Schema.read(root / "tumors" / "schema.json").features) == 30


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"label": {"name": "good"}, "features": []},
        {"features": SCHEMA_FILE["features"]},
        {"label": {"name": "good"}, "features": [{"name": "size", "type": "colour"}]},
        {"label": {"name": "good"}, "features": [{"name": "a", "type": "numeric"}] * 2},
    ],
)
def test_a_file_that_is_no_schema_is_refused(tmp_path: Path, told: Any) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(told))
    with pytest.raises(UnusableInputError, match="is no schema"):
        Schema.read(file)
