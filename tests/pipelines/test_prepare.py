"""Prepare: what it refuses and why, what it drops, and that the test knows nothing of the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import features
import prepare
from pipelines.definition.archive import FOLDER, Case
from pipelines.deliveries import world
from tests.pipelines.containers import Jobs

NewJobs = Callable[[Case], Jobs]
Spoil = Callable[[pd.DataFrame, Path], object]


def _write(text: str | bytes) -> Spoil:
    content = text.encode() if isinstance(text, str) else text
    return lambda frame, folder: (folder / "rows.csv").write_bytes(content)


def _change(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    return lambda frame, folder: change(frame).to_csv(folder / "rows.csv", index=False)


def _with(frame: pd.DataFrame, rows: slice, column: str, value: object) -> pd.DataFrame:
    changed = frame.astype({column: object})
    changed.loc[frame.index[rows], column] = value
    return changed


def _one_line(frame: pd.DataFrame, folder: Path, line: str) -> None:
    lines = frame.to_csv(index=False).splitlines()
    lines[16] = line
    (folder / "rows.csv").write_text("\n".join(lines))


BAD: dict[str, tuple[Spoil, str]] = {
    "no file": (lambda frame, folder: None, "There is no CSV file at the data's location."),
    "an empty file": (_write(""), "rows.csv is empty."),
    "binary data": (_write(b"\x1f\x8b\x00\x00claimed,price"), "rows.csv is no CSV: it is not text in UTF-8."),
    "zeros in text": (_write("claimed,price\n1,\0\n"), "rows.csv is no CSV: it holds binary data."),
    "an open quote": (
        lambda frame, folder: (folder / "rows.csv").write_text(frame.to_csv(index=False) + '1,"2'),
        "rows.csv is no CSV: unexpected end of data.",
    ),
    "no header": (
        lambda frame, folder: frame.to_csv(folder / "rows.csv", index=False, header=False),
        "rows.csv has no column claimed, price, category, carrier, temperature, transit_hours, weight_kg, weekday.",
    ),
    "a missing column": (
        _change(lambda frame: frame.drop(columns=["temperature", "carrier"])),
        "rows.csv has no column carrier, temperature.",
    ),
    "a column twice": (
        _change(lambda frame: pd.concat([frame, frame["price"]], axis=1)),
        "rows.csv has more than one column price.",
    ),
    "a short line": (
        lambda frame, folder: _one_line(frame, folder, "0,12.5"),
        "rows.csv, line 17: 2 fields instead of 8.",
    ),
    "a text for a number": (
        _change(lambda frame: _with(frame, slice(15, 16), "price", "secret")),
        "rows.csv: Line 17, column price: not a number.",
    ),
    "infinity": (
        _change(lambda frame: _with(frame, slice(15, 16), "price", "inf")),
        "rows.csv: Line 17, column price: not a number.",
    ),
    "a third class": (
        _change(lambda frame: _with(frame, slice(15, 16), "claimed", 2)),
        "rows.csv, line 17: the label claimed is neither 0 nor 1.",
    ),
    "one class": (
        _change(lambda frame: frame.assign(claimed=0)),
        "The label claimed is 0 in every row: two classes are needed.",
    ),
    "hardly a second class": (
        _change(lambda frame: _with(frame.assign(claimed=0), slice(0, 7), "claimed", 1)),
        "The label claimed is 1 in 7 rows only; 30 are needed.",
    ),
    "too few rows": (_change(lambda frame: frame.head(150)), "There are 150 different rows; 200 are needed at least."),
    "one row again and again": (
        _change(lambda frame: pd.concat([frame.head(100)] * 20)),
        "There are 100 different rows; 200 are needed at least.",
    ),
    "a flood of gaps": (
        _change(lambda frame: _with(_with(frame, slice(0, 900), "price", np.nan), slice(0, 1500), "carrier", "")),
        "More than 30% of the values are missing in: price (45%), carrier (75%).",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_data_that_does_not_serve_ends_the_job_with_the_reason(what: str, jobs: NewJobs) -> None:
    # Given data with one thing wrong
    spoil, reason = BAD[what]
    run = jobs("deliveries")
    spoil(world.draw(2000, 3), run.root / "data")

    # When it is prepared
    ended = run.prepare()

    # Then the job fails, says why where the service reads it, and quotes nothing of the data
    assert ended.code == 1
    assert ended.reason == reason
    assert "secret" not in ended.reason
    assert not (run.root / "train").exists()


def test_an_error_that_nobody_thought_of_tells_its_kind_only(jobs: NewJobs) -> None:
    # Given a schema that is no file
    run = jobs("deliveries")
    run.give(world.draw(500, 3))
    (run.code / "schema.json").unlink()

    # When the data is prepared
    ended = run.prepare()

    # Then the reason is short, and the log has the rest
    assert (ended.code, ended.reason) == (1, "FileNotFoundError: see the job's log")
    assert "Traceback" in ended.log


def test_the_parts_keep_the_label_as_the_data_has_it(deliveries: Jobs) -> None:
    # Given a prepared run
    report = deliveries.report("report/report.json")

    # Then the parts are 80, 10 and 10 %, and the share of the positive is that of the whole, to the row
    assert {name: part["rows"] for name, part in report["parts"].items()} == {
        "train": 9600,
        "validation": 1200,
        "test": 1200,
    }
    for part in report["parts"].values():
        assert abs(part["positive_share"] - report["positive_share"]) * part["rows"] < 1
    # And the test part holds the rows as they came
    test = pd.read_csv(deliveries.root / "test" / "test.csv")
    assert test["claimed"].mean() == pytest.approx(report["parts"]["test"]["positive_share"])
    whole = pd.read_csv(deliveries.root / "data" / "rows.csv")
    assert len(test.merge(whole.drop_duplicates(), how="inner")) == len(test)


def test_the_statistics_are_those_of_the_training_part_alone(deliveries: Jobs) -> None:
    # Given the raw training part, which the monitor's baseline is made of
    fitted = deliveries.report("preprocessing/preprocessing.json")
    train = pd.read_csv(deliveries.root / "baseline" / "baseline.csv")
    whole = pd.read_csv(deliveries.root / "data" / "rows.csv")

    # Then means, deviations and medians are the training part's, and not the whole's
    for name, about in fitted["numbers"].items():
        assert about["mean"] == pytest.approx(train[name].mean())
        assert about["mean"] != pytest.approx(whole[name].mean(), rel=1e-9)
        assert about["deviation"] == pytest.approx(train[name].std(ddof=0))
    assert fitted["numbers"]["transit_hours"]["value"] == pytest.approx(train["transit_hours"].median())


def test_what_the_other_parts_hold_changes_nothing_of_what_is_learnt(tmp_path: Path) -> None:
    # Given the same rows, but for those that will be the test and the validation part
    frame = world.draw(1500, 4)
    _, validation, test = prepare.split(frame["claimed"].to_numpy(), 7)
    changed = frame.copy()
    elsewhere = np.concatenate([validation, test])
    changed.loc[elsewhere, "price"] *= 100
    changed.loc[elsewhere, "carrier"] = "rocket"

    # When both are prepared
    learnt = []
    for name, rows in (("as it is", frame), ("changed", changed)):
        source = tmp_path / name
        source.mkdir()
        rows.to_csv(source / "rows.csv", index=False)
        prepare.prepare(source, FOLDER / "deliveries" / "schema.json", source / "out", seed=7)
        learnt.append((source / "out" / "preprocessing" / "preprocessing.json").read_bytes())

    # Then what was learnt is the same, to the byte
    assert learnt[0] == learnt[1]


def test_no_row_stands_in_two_parts_however_often_it_came(jobs: NewJobs) -> None:
    # Given data in two files, most of it twice, written in two ways, and some rows with both labels
    run = jobs("deliveries")
    frame = world.draw(1000, 5)
    run.give(frame)
    again = frame.head(900).astype({"price": object})
    again["price"] = [f"{price:.4f}" for price in frame["price"].head(900)]
    contradicted = frame.tail(20).assign(claimed=1 - frame["claimed"].tail(20))
    run.give(pd.concat([again, contradicted]), "again.csv")

    # When it is prepared
    assert run.prepare().code == 0

    # Then each row is there once, and what contradicts itself not at all
    report = run.report("report/report.json")
    assert report["dropped"] == {"unlabelled": 0, "duplicates": 920, "contradictory": 20}
    assert report["rows"] == 980
    test = pd.read_csv(run.root / "test" / "test.csv").drop(columns="claimed")
    train = pd.read_csv(run.root / "baseline" / "baseline.csv")
    assert test.merge(train, how="inner").empty


def test_rows_without_a_label_are_left_out_and_counted(jobs: NewJobs) -> None:
    # Given deliveries of which some are too fresh to be claimed
    run = jobs("deliveries")
    frame = world.draw(1000, 5)
    run.give(_with(frame, slice(0, 40), "claimed", ""))

    # When they are prepared
    assert run.prepare().code == 0

    # Then those are not there
    report = run.report("report/report.json")
    assert (report["rows"], report["dropped"]["unlabelled"]) == (960, 40)


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    # Given one data set
    source = tmp_path / "data"
    source.mkdir()
    world.draw(800, 6).to_csv(source / "rows.csv", index=False)

    # When it is prepared three times
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare.prepare(source, FOLDER / "deliveries" / "schema.json", tmp_path / name, seed=seed)

    # Then the seed decides
    def content(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*")}

    assert content("a") == content("b")
    assert content("a")["test/test.csv"] != content("c")["test/test.csv"]


def test_gaps_are_filled_by_skew_and_by_how_many_they_are(deliveries: Jobs) -> None:
    # Given a run on data with a symmetric, a skewed, and an often missing column
    gaps = deliveries.report("report/report.json")["gaps"]

    # Then each is filled in its own way
    assert gaps["temperature"]["method"] == "mean"
    assert gaps["transit_hours"]["method"] == "median"
    assert gaps["weight_kg"]["method"] == "model"
    assert 0.2 < gaps["weight_kg"]["missing"] < 0.3


def test_a_model_fills_a_gap_better_than_one_number_for_all() -> None:
    # Given deliveries whose weights are known, and the same with a quarter of the weights hidden
    schema = features.Schema.read(FOLDER / "deliveries" / "schema.json")
    frame = world.draw(4000, 8).dropna().reset_index(drop=True)
    hidden = np.random.default_rng(0).random(len(frame)) < 0.25
    table = {name: frame[name].to_numpy(dtype=float if name in schema.numeric else object) for name in schema.features}
    gappy = {**table, "weight_kg": np.where(hidden, np.nan, table["weight_kg"])}

    # When the gaps are filled
    fitted = features.fit(gappy, schema)
    about = fitted["numbers"]["weight_kg"]
    filled = features.transform(gappy, fitted)[:, fitted["columns"].index("weight_kg")]
    found = filled[hidden] * about["deviation"] + about["mean"]

    # Then the error is much smaller than that of the mean, and nothing is beyond what was seen
    truth = table["weight_kg"][hidden]
    assert np.mean((found - truth) ** 2) < 0.6 * np.mean((about["mean"] - truth) ** 2)
    assert about["lowest"] - 1e-3 <= found.min()
    assert found.max() <= about["highest"] + 1e-3


def test_a_category_that_is_new_or_missing_is_no_error(deliveries: Jobs) -> None:
    # Given what was learnt without the new category
    fitted = deliveries.report("preprocessing/preprocessing.json")
    schema = features.Schema.of(fitted["schema"])

    # When a delivery of it comes, by a carrier that is not told
    row = ["30", "ready-meals", "", "4", "8", "3", "mon"]
    matrix = features.transform(features.to_table([row], schema.features, schema), fitted)

    # Then it is none of the known ones
    known = [at for at, name in enumerate(fitted["columns"]) if name.startswith(("category=", "carrier="))]
    assert len(known) == 9
    assert not matrix[0, known].any()


def test_the_matrix_is_scaled_and_whole(deliveries: Jobs) -> None:
    # Given the training part
    train = pd.read_csv(deliveries.root / "train" / "train.csv")

    # Then nothing is missing, and numbers have a deviation of about 1
    assert not train.isna().to_numpy().any()
    assert train["price"].mean() == pytest.approx(0, abs=1e-5)
    assert train["price"].std() == pytest.approx(1, abs=1e-3)
    # And JSON holds all of what was learnt, and no pickle
    json.dumps(deliveries.report("preprocessing/preprocessing.json"), allow_nan=False)
