"""What is stored of an answer."""

from __future__ import annotations

import decimal
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.image_labeling.label_image.labels import MAXIMUM_BYTES_OF_LABELS, is_small, stored_labels

shares = st.floats(0, 1)
sides = st.integers(80, 10_000)


def _answer(*boxes: tuple[float, float], name: str = "Cat") -> dict[str, Any]:
    instances = [
        {"BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": width, "Height": height}, "Confidence": 88.25}
        for width, height in boxes
    ]
    parents = [{"Name": "Mammal"}, {"Name": "Animal"}]
    return {"Labels": [{"Name": name, "Confidence": 91.123456789, "Parents": parents, "Instances": instances}]}


def test_a_label_keeps_name_parents_confidence_and_boxes() -> None:
    # Given an answer with a box
    # When it is turned into what is stored
    labels, left_out = stored_labels(_answer((0.5, 0.25)), 1000, 800)
    # Then every figure is a decimal, which is what the table takes
    assert left_out == 0
    assert labels == [
        {
            "name": "Cat",
            "confidence": decimal.Decimal("91.1235"),
            "parents": ["Mammal", "Animal"],
            "instances": [
                {
                    "box": {
                        "left": decimal.Decimal("0.1"),
                        "top": decimal.Decimal("0.2"),
                        "width": decimal.Decimal("0.5"),
                        "height": decimal.Decimal("0.25"),
                    },
                    "confidence": decimal.Decimal("88.25"),
                    "unreliable": False,
                }
            ],
        }
    ]


def test_an_answer_without_boxes_has_no_instances() -> None:
    labels, _ = stored_labels({"Labels": [{"Name": "Sky", "Confidence": 99.0}]}, 100, 100)
    assert labels == [{"name": "Sky", "confidence": decimal.Decimal("99.0"), "parents": [], "instances": []}]


def test_no_labels_are_a_result_too() -> None:
    assert stored_labels({"Labels": []}, 100, 100) == ([], 0)


def test_labels_are_stored_surest_first() -> None:
    answer = {"Labels": [{"Name": str(sure), "Confidence": sure} for sure in (71.0, 99.0, 85.0)]}
    labels, _ = stored_labels(answer, 100, 100)
    assert [label["name"] for label in labels] == ["99.0", "85.0", "71.0"]


@pytest.mark.parametrize(
    ("box", "size", "small"),
    [
        # The shorter side is 1000 pixels: an object needs 50 on each side.
        ((0.025, 0.5), (2000, 1000), False),
        ((0.0245, 0.5), (2000, 1000), True),
        ((0.5, 0.05), (2000, 1000), False),
        ((0.5, 0.049), (2000, 1000), True),
        ((0.05, 0.025), (1000, 2000), False),
        ((1, 1), (80, 80), False),
        ((0, 0), (80, 80), True),
    ],
)
def test_the_rule_is_in_pixels_of_the_shorter_side(
    box: tuple[float, float], size: tuple[int, int], small: bool
) -> None:
    assert is_small(*box, *size) is small
    labels, _ = stored_labels(_answer(box), *size)
    assert labels[0]["instances"][0]["unreliable"] is small


@given(shares, shares, sides, sides)
def test_turning_an_image_does_not_change_what_is_small(wide: float, high: float, width: int, height: int) -> None:
    assert is_small(wide, high, width, height) == is_small(high, wide, height, width)


@given(shares, shares, sides, sides, st.integers(2, 10))
def test_scaling_an_image_does_not_change_what_is_small(
    wide: float, high: float, width: int, height: int, times: int
) -> None:
    # Given a box that is not within rounding of the bound
    margin = min(wide * width, high * height) / (0.05 * min(width, height))
    if abs(margin - 1) > 1e-9:
        # Then the same share of a larger image is judged alike
        assert is_small(wide, high, width, height) == is_small(wide, high, width * times, height * times)


def test_what_an_item_cannot_hold_is_left_out_and_counted() -> None:
    # Given a thousand labels of a hundred boxes each: some 15 MB
    answer = {"Labels": [_answer(*[(0.5, 0.5)] * 100, name=f"Label {n}")["Labels"][0] for n in range(1000)]}
    # When they are stored
    labels, left_out = stored_labels(answer, 1000, 1000)
    # Then as many as fit are kept, and none is lost count of
    assert 0 < len(labels) < 1000
    assert len(labels) + left_out == 1000
    assert len(json.dumps(labels, default=str)) <= MAXIMUM_BYTES_OF_LABELS * 1.05
