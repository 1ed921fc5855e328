"""DetectText: lines, words, where they stand, and the filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw, ImageFont

from local.services.models.text import MODEL_VERSION, Line, TextModel, Word
from tests.local.standin import encoded, rekognition


@pytest.fixture(scope="module")
def sign() -> Image.Image:
    """A sign of two lines, drawn for these tests."""
    image = Image.new("RGB", (600, 240), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(40)
    draw.text((30, 40), "Hello brave world", font=font, fill="black")
    draw.text((30, 140), "Room 42 is closed", font=font, fill="black")
    return image


@pytest.fixture(autouse=True, scope="module")
def _read_once() -> Iterator[None]:
    """The real model, but a picture that it has read is not read again: filters come after it."""
    real = TextModel.read
    known: dict[bytes, list[Line]] = {}

    def remembered(model: TextModel, pixels: Image.Image) -> list[Line]:
        content = pixels.tobytes()
        if content not in known:
            known[content] = real(model, pixels)
        return known[content]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextModel, "read", remembered)
        yield


def read(image: Image.Image, **filters: Any) -> list[dict[str, Any]]:
    options = {"Filters": filters} if filters else {}
    response = rekognition().detect_text(Image={"Bytes": encoded(image)}, **options)
    assert response["TextModelVersion"] == MODEL_VERSION
    found: list[dict[str, Any]] = response["TextDetections"]
    return found


def words(found: list[dict[str, Any]]) -> list[str]:
    return [one["DetectedText"] for one in found if one["Type"] == "WORD"]


def lines(found: list[dict[str, Any]]) -> list[str]:
    return [one["DetectedText"] for one in found if one["Type"] == "LINE"]


def test_lines_and_their_words_are_read(sign: Image.Image) -> None:
    # Given a sign of two lines
    # When it is read
    found = read(sign)
    by_id = {one["Id"]: one for one in found}
    # Then there are the lines and the words, each word under its own line
    assert lines(found) == ["Hello brave world", "Room 42 is closed"]
    assert words(found) == ["Hello", "brave", "world", "Room", "42", "is", "closed"]
    assert len(by_id) == len(found)
    for one in found:
        if one["Type"] == "WORD":
            assert by_id[one["ParentId"]]["Type"] == "LINE"
            assert one["DetectedText"] in by_id[one["ParentId"]]["DetectedText"]
        else:
            assert "ParentId" not in one
        assert one["Confidence"] > 80


def test_text_is_where_it_was_drawn(sign: Image.Image) -> None:
    # Given a sign whose lines start at known places
    # When it is read
    first, second = (one["Geometry"] for one in read(sign)[:2])
    # Then boxes and polygons say so, as fractions of the picture
    assert first["BoundingBox"]["Left"] == pytest.approx(30 / 600, abs=0.02)
    assert first["BoundingBox"]["Top"] == pytest.approx(40 / 240, abs=0.06)
    assert second["BoundingBox"]["Top"] == pytest.approx(140 / 240, abs=0.06)
    for geometry in (first, second):
        box, corners = geometry["BoundingBox"], geometry["Polygon"]
        assert len(corners) == 4
        assert min(corner["X"] for corner in corners) == pytest.approx(box["Left"])
        assert max(corner["Y"] for corner in corners) == pytest.approx(box["Top"] + box["Height"])


def test_slanted_text_has_a_slanted_polygon(sign: Image.Image) -> None:
    # Given the sign, turned by 8 degrees
    # When it is read
    found = read(sign.rotate(8, expand=True, fillcolor="white"))
    left, right = found[0]["Geometry"]["Polygon"][:2]
    # Then the words are the same, and the line rises
    assert words(found) == ["Hello", "brave", "world", "Room", "42", "is", "closed"]
    assert right["Y"] < left["Y"] - 0.05


def test_other_words_are_read_differently(sign: Image.Image) -> None:
    # Given the sign with a word painted over
    changed = sign.copy()
    ImageDraw.Draw(changed).rectangle((0, 120, 600, 240), fill="white")
    # When it is read, and a blank one
    # Then only what is there is read
    assert words(read(changed)) == ["Hello", "brave", "world"]
    assert read(Image.new("RGB", (300, 200), "white")) == []


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ({"BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 0.5}}, ["Hello", "brave", "world"]),
        ({"BoundingBox": {"Left": 0, "Top": 0.5, "Width": 0.3, "Height": 0.5}}, ["Room", "42"]),
        ({"Polygon": [{"X": 0, "Y": 0.5}, {"X": 0.25, "Y": 0.5}, {"X": 0.25, "Y": 1}, {"X": 0, "Y": 1}]}, ["Room"]),
        ({"BoundingBox": {"Left": 0.9, "Top": 0.9, "Width": 0.1, "Height": 0.1}}, []),
    ],
)
def test_a_region_keeps_the_words_that_lie_in_it(sign: Image.Image, region: Any, expected: list[str]) -> None:
    # Given a region of the sign
    # When only that is asked for
    found = read(sign, RegionsOfInterest=[region])
    # Then words of which more than half lies in it are returned, and the lines that have any
    assert words(found) == expected
    assert len(lines(found)) == bool(expected)
    assert [one["Id"] for one in found] == list(range(len(found)))


def test_regions_add_up(sign: Image.Image) -> None:
    # Given two regions
    top = {"BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 0.5}}
    bottom = {"BoundingBox": {"Left": 0, "Top": 0.5, "Width": 1, "Height": 0.5}}
    # When both are asked for
    # Then words of either are returned
    assert len(words(read(sign, RegionsOfInterest=[top, bottom]))) == 7


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"BoundingBox": {"Left": 0, "Top": 0, "Width": 1}},
        {"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}]},
        {"Polygon": [{"X": 0}, {"X": 1}, {"X": 1}]},
        {"Polygon": [{"X": x / 11, "Y": x % 2} for x in range(11)]},
    ],
)
def test_half_a_region_is_refused(sign: Image.Image, region: Any) -> None:
    # Given a region that is not one
    # When it is asked for
    # Then the parameters are invalid
    with pytest.raises(ClientError, match="InvalidParameterException"):
        read(sign, RegionsOfInterest=[region])


def test_a_word_filter_drops_small_and_unsure_words(sign: Image.Image) -> None:
    # Given the sign's words and their sizes
    everything = [one for one in read(sign) if one["Type"] == "WORD"]
    widths = {one["DetectedText"]: one["Geometry"]["BoundingBox"]["Width"] for one in everything}
    # When narrow ones are dropped, or all but the certain
    wide = words(read(sign, WordFilter={"MinBoundingBoxWidth": 0.1}))
    certain = read(sign, WordFilter={"MinConfidence": 100})
    # Then exactly those go
    assert wide == [word for word, width in widths.items() if width >= 0.1]
    assert 0 < len(wide) < len(widths)
    assert len(words(certain)) < len(widths)
    assert words(read(sign, WordFilter={"MinBoundingBoxHeight": 0.9})) == []


def test_at_most_a_hundred_words_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a page on which the model reads 14 lines of 9 words
    corners = ((0.1, 0.1), (0.2, 0.1), (0.2, 0.2), (0.1, 0.2))
    line = Line("abc " * 9, 99.0, corners, tuple(Word("abc", 99.0, corners) for _ in range(9)))
    monkeypatch.setattr(TextModel, "read", lambda model, pixels: [line] * 14)
    # When it is read
    found = read(Image.new("RGB", (300, 200), "white"))
    # Then the first hundred words are returned, with the lines that they belong to
    assert len(words(found)) == 100
    assert len(lines(found)) == 12
    assert {one["ParentId"] for one in found if one["Type"] == "WORD"} == set(range(12))
    assert [one["Id"] for one in found] == list(range(112))
