"""Reading captures and labels: every encoding and form of a body, and lines that are counted instead of read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.monitoring.captures import Captures, parse_time, read_captures, read_labels
from tests.unit.monitoring import END, SCHEMA, START, csv, record, truth, window_of, write_lines

ROW = [1.5, 3, "red", "x"]
NAMED = {"size": 1.5, "count": 3, "colour": "red", "note": "x"}
VALUES = {"size": [1.5], "count": [3.0], "colour": ["red"], "note": ["x"]}


def read(tmp_path: Path, *lines: Any, between: bool = False) -> Captures:
    folder = write_lines(tmp_path / "endpoint" / "AllTraffic" / "2026" / "11" / "27" / "09" / "a.jsonl", lines)
    times = (parse_time(START), parse_time(END)) if between else (None, None)
    return read_captures(folder.parents[4], SCHEMA, *times)


@pytest.mark.parametrize("encoding", ["CSV", "BASE64"])
def test_csv_is_read_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    # Given a request of two rows, and the answers to them
    found = read(tmp_path, record("1.5,3,red,x\n2,4,,y\n", "0.25,0\n0.75,1\n", encoding=encoding, event="e"))
    # Then the rows have the schema's names, a gap is one, and the answers are there by the event
    assert window_of(found) == {"size": [1.5, 2.0], "count": [3.0, 4.0], "colour": ["red"], "note": ["x", "y"]}
    assert found.window.table["colour"].missing == 1
    assert [(each.probability, each.decision) for each in found.answers["e"]] == [(0.25, 0), (0.75, 1)]
    assert (found.requests, found.window.rows, found.malformed) == (1, 2, {})


@pytest.mark.parametrize("encoding", ["JSON", "BASE64"])
@pytest.mark.parametrize(
    "body",
    [
        {"instances": [ROW]},
        {"instances": [{"features": ROW}]},
        {"instances": [NAMED]},
        [ROW],
        [NAMED],
        ROW,
        NAMED,
        {"features": ROW},
        {name: [value] for name, value in NAMED.items()},
    ],
    ids=json.dumps,
)
def test_every_usual_form_of_json_is_read(tmp_path: Path, body: Any, encoding: str) -> None:
    assert window_of(read(tmp_path, record(json.dumps(body), '{"probability": 0.5}', encoding=encoding))) == VALUES


@pytest.mark.parametrize(
    "answer",
    [
        '{"predictions": [{"probability": 0.25, "decision": 0}]}',
        '{"probability": 0.25, "decision": 0}',
        "[[0.25, 0]]",
        '{"predictions": [[0.25, 0]]}',
    ],
)
def test_every_usual_form_of_an_answer_is_read(tmp_path: Path, answer: str) -> None:
    found = read(tmp_path, record(json.dumps([ROW]), answer, encoding="JSON", event="e"))
    assert [(each.probability, each.decision) for each in found.answers["e"]] == [(0.25, 0)]
    assert found.probabilities.tolist() == [0.25]


def test_lines_that_cannot_be_read_are_counted_by_their_reason(tmp_path: Path) -> None:
    # Given a good record among bad ones of every kind
    good = record(csv([ROW]))
    no_id, no_time, no_input = record(csv([ROW])), record(csv([ROW]), time="yesterday"), record(csv([ROW]))
    del no_id["eventMetadata"]["eventId"]
    del no_input["captureData"]["endpointInput"]
    not_base64 = record(csv([ROW]), encoding="BASE64")
    not_base64["captureData"]["endpointInput"]["data"] = "*"
    not_utf8 = record(csv([ROW]), encoding="BASE64")
    not_utf8["captureData"]["endpointInput"]["data"] = "/w=="
    lines = [good, json.dumps(good)[:40], "[]", "[" * 100_000, no_id, no_time, no_input, not_base64, not_utf8]
    lines += [record("{", encoding="JSON"), record("{}", encoding="JSON"), record("7", encoding="JSON"), record("\n")]
    lines += [record('{"size": [1], "count": [1, 2]}', encoding="JSON")]
    # When they are read
    found = read(tmp_path, *lines)
    # Then the good one is judged, and no other is forgotten
    assert window_of(found) == VALUES
    assert found.malformed == {
        "no JSON": 2,
        "no object": 1,
        "no event id": 1,
        "no inference time": 1,
        "no data": 1,
        "no Base64 of UTF-8": 2,
        "no JSON inside": 1,
        "no rows": 4,
    }
    assert found.requests + sum(found.malformed.values()) == len(lines)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("1.5,0", "answer: no probability in the answer"),
        ("", "answer: not one a row"),
        ("0.1,0\n0.2,0", "answer: not one a row"),
    ],
)
def test_a_question_counts_whatever_was_answered(tmp_path: Path, answer: str, reason: str) -> None:
    found = read(tmp_path, record(csv([ROW]), answer))
    assert (window_of(found), found.answers) == (VALUES, {})
    assert found.malformed == {reason: 1}


def test_without_captured_answers_nothing_is_malformed(tmp_path: Path) -> None:
    # As it is with data capture of the input alone
    assert read(tmp_path, record(csv([ROW]), None)).malformed == {}


def test_only_the_window_is_judged_and_each_event_once(tmp_path: Path) -> None:
    # Given events before the window, at its start, within, at its end, and one that was captured twice
    times = ("2026-11-27T08:59:59Z", START, "2026-11-27T09:59:59Z", END)
    lines = [record(csv([[at, 1, "red", "x"]]), time=time, event=f"e{at}") for at, time in enumerate(times)]
    found = read(tmp_path, *lines, lines[1], between=True)
    # Then
    assert window_of(found)["size"] == [1.0, 2.0]
    assert (found.outside, found.duplicates) == (2, 1)


def test_rows_of_a_wrong_shape_are_counted_and_named_columns_are_known(tmp_path: Path) -> None:
    # Given CSV rows that are too short and too long, and JSON with an unknown column and without a known one
    named = {"size": 2, "colour": "red", "smell": "sweet"}
    found = read(
        tmp_path, record("1,2,red\n1,2,red,x\n1,2,red,x,7,8", None), record(json.dumps(named), None, encoding="JSON")
    )
    # Then
    assert dict(found.window.misshapen) == {3: 1, 6: 1}
    assert dict(found.window.extra) == {"smell": 1}
    assert (found.window.rows, found.window.asked) == (2, 4)
    assert found.window.table["count"].missing == 1
    # And a column that no row has is absent, not empty
    absent = read(tmp_path, record(json.dumps(named), None, encoding="JSON")).window
    assert (absent.absent, "count" in absent.table) == (("count", "note"), False)


def test_a_caller_s_id_is_what_a_label_bears(tmp_path: Path) -> None:
    found = read(tmp_path, record(csv([ROW]), event="e1", inference="order-7"), record(csv([ROW]), event="e2"))
    assert set(found.answers) == {"order-7", "e2"}


def test_labels_are_read_and_the_last_one_counts(tmp_path: Path) -> None:
    # Given labels, one corrected, one of a request of two rows, and lines that are none
    lines = [truth("a", 1), truth("b", 0), truth("a", 0), truth("c", "1\n0"), truth("d", "yes"), truth("e", ""), "{"]
    lines += [{"eventMetadata": {"eventId": "f"}}, truth("", 1), truth("g", 2)]
    found = read_labels(write_lines(tmp_path / "2026" / "11" / "27" / "10" / "labels.jsonl", lines))
    # Then
    assert found.labels == {"a": [0], "b": [0], "c": [1, 0]}
    assert found.malformed == {"no label of 0 or 1": 4, "no JSON": 1, "no event id": 1}


def test_times_are_read_as_the_platform_writes_them() -> None:
    assert (
        parse_time("2019-12-01T16: 20: 00Z")
        == parse_time("2019-12-01T16:20:00+00:00")
        == parse_time("2019-12-01T16:20:00")
    )
