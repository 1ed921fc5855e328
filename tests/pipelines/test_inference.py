"""Inference: raw rows in, the same answers as at the evaluation out, and a reason for each row that is refused."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import inference
from tests.pipelines.containers import Jobs

ROW = "42.1,fish,van,5.2,9.4,2.3,sat"


@pytest.fixture(scope="module")
def model(deliveries: Jobs) -> inference.Model:
    """The deliveries' model, loaded as an endpoint does."""
    return inference.model_fn(str(deliveries.root / "model"))


def ask(model: inference.Model, body: str | bytes, content_type: str = "text/csv", accept: str = "text/csv") -> str:
    """A request through all functions, as the container calls them."""
    answer, kind = inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), model), accept)
    assert kind in ("text/csv", "application/json")
    return answer


def test_the_endpoint_answers_as_the_evaluation_did(model: inference.Model, deliveries: Jobs) -> None:
    # Given the raw rows of the test part, without label and header, and what the evaluation noted of them
    rows = (deliveries.root / "test" / "test.csv").read_text().splitlines()[1:]
    body = "\n".join(row.partition(",")[2] for row in rows)
    noted = pd.read_csv(deliveries.root / "predictions" / "predictions.csv")

    # When the endpoint is asked
    answer = [line.split(",") for line in ask(model, body).splitlines()]

    # Then probabilities and decisions are the same
    assert [float(probability) for probability, _ in answer] == noted["probability"].tolist()
    assert [int(decision) for _, decision in answer] == noted["decision"].tolist()
    assert 0 < noted["decision"].sum() < len(noted)


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "application/json; charset=utf-8", "image/png, */*"])
def test_csv_and_json_say_the_same(accept: str, model: inference.Model) -> None:
    # Given one row in three ways
    names, values = model.schema.features, ["42.1", "fish", "van", 5.2, "9.4", 2.3, "sat"]
    bodies: list[tuple[str | bytes, str]] = [
        (ROW, "text/csv; charset=utf-8"),
        (json.dumps({"instances": [values]}).encode(), "application/json"),
        (json.dumps({"instances": [dict(zip(names, values, strict=True))]}), "application/json"),
        (json.dumps([values]), "application/json"),
    ]
    # When they are asked for
    answers = [json.loads(ask(model, body, kind, accept)) for body, kind in bodies]

    # Then the answers are the same, with a probability and a decision
    assert all(answer == answers[0] for answer in answers)
    (prediction,) = answers[0]["predictions"]
    assert 0 < prediction["probability"] < 1
    assert prediction["decision"] == int(prediction["probability"] >= model.threshold)


def test_what_is_missing_or_new_is_answered(model: inference.Model) -> None:
    # Given rows with an empty field, without one, and of a category that the model never saw
    rows = [{"price": 42.1, "category": "fish", "temperature": None}, {"category": "ready-meals", "price": "30"}]
    # Then each has an answer
    answer = json.loads(ask(model, json.dumps({"instances": rows}), "application/json", "application/json"))
    assert len(answer["predictions"]) == 2
    assert len(ask(model, "42.1,fish,van,,,,sat\r\n42.1,,van,5,9,2,sat\r\n").splitlines()) == 2


BAD: dict[str, tuple[Any, str, str]] = {
    "too few fields": (f"{ROW}\n1,2", "text/csv", "Line 2 has 2 fields instead of 7."),
    "a header": ("price,category,carrier,temperature,transit_hours,weight_kg,weekday", "text/csv",
                 "Line 1, column price: not a number."),
    "a text for a number": (ROW.replace("5.2", "cold"), "text/csv", "Line 1, column temperature: not a number."),
    "infinity": (ROW.replace("5.2", "-Infinity"), "text/csv", "Line 1, column temperature: not a number."),
    "nothing": ("", "text/csv", "The body holds no row."),
    "no rows": ('{"instances": []}', "application/json", "The body holds no row."),
    "too many": ("\n".join([ROW] * 10_001), "text/csv", "The body holds 10001 rows; 10000 are the most."),
    "no text": (b"\xff\xfe", "text/csv", "The body is not text in UTF-8."),
    "binary": (b"1,\0", "text/csv", "The body is no CSV: it holds binary data."),
    "no JSON": ("{", "application/json", "The body is no JSON."),
    "another JSON": ('{"rows": []}', "application/json", 'The body has no list of "instances".'),
    "an unknown name": ('[{"prize": 3}]', "application/json",
                        "Row 1 has a feature that the schema does not know: prize."),
    "a number for a row": ("[3]", "application/json", "Row 1 is neither a list nor an object."),
    "a list in a row": ('[[[1], "fish", "van", 5, 9, 2, "sat"]]', "application/json",
                        "Row 1 holds something else than numbers and texts."),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_row_is_a_bad_request_with_its_reason(what: str, model: inference.Model) -> None:
    # Given a body with something wrong
    body, content_type, reason = BAD[what]
    # When it is asked for
    with pytest.raises(inference.BadRequestError) as raised:
        ask(model, body, content_type)
    # Then the server answers 400, and says what
    assert raised.value.status_code == 400
    assert str(raised.value) == reason


def test_types_that_are_not_served_are_refused(model: inference.Model) -> None:
    # When a body, or an answer, is wanted in another type
    with pytest.raises(inference.UnsupportedTypeError) as body:
        ask(model, ROW, "text/libsvm")
    with pytest.raises(inference.UnsupportedTypeError) as answer:
        ask(model, ROW, accept="image/png")
    # Then the statuses are those of HTTP
    assert (body.value.status_code, answer.value.status_code) == (415, 406)


def test_a_damaged_artefact_does_not_load(deliveries: Jobs, tmp_path: Any) -> None:
    # Given an artefact without its preprocessing
    for name in ("model.json", "decision.json"):
        (tmp_path / name).write_bytes((deliveries.root / "model" / name).read_bytes())
    # Then loading it fails, so that an endpoint does not come up
    with pytest.raises(OSError, match=r"preprocessing\.json"):
        inference.model_fn(str(tmp_path))
