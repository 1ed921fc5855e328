"""DetectFaces: boxes around frontal faces, and nothing that the model cannot know."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageEnhance, ImageFilter

from tests.local.standin import encoded, photo, rekognition


def detect(image: Image.Image, **options: Any) -> list[dict[str, Any]]:
    faces: list[dict[str, Any]] = rekognition().detect_faces(Image={"Bytes": encoded(image)}, **options)["FaceDetails"]
    return faces


def centre(face: dict[str, Any]) -> tuple[float, float]:
    box = face["BoundingBox"]
    return box["Left"] + box["Width"] / 2, box["Top"] + box["Height"] / 2


@pytest.mark.parametrize(("name", "where"), [("astronaut.jpeg", (0.43, 0.22)), ("grace-hopper.JPG", (0.52, 0.36))])
def test_a_face_is_found_where_it_is(name: str, where: tuple[float, float]) -> None:
    # Given a portrait
    # When its faces are looked for
    faces = detect(photo(name), Attributes=["DEFAULT"])
    # Then there is one, in the right place, and only what the model knows is said of it
    assert len(faces) == 1
    assert centre(faces[0]) == pytest.approx(where, abs=0.04)
    assert faces[0].keys() == {"BoundingBox", "Confidence", "Quality"}
    assert faces[0]["Confidence"] >= 95


@pytest.mark.parametrize("name", ["chelsea.jpg", "coffee cup.jpg", "rocket+launch.jpg", "camera.png"])
def test_no_face_is_found_where_none_is(name: str) -> None:
    # Given a photo without a frontal human face (a cat's among them)
    # When faces are looked for
    # Then there is none
    assert detect(photo(name)) == []


def test_the_box_follows_the_pixels() -> None:
    # Given a portrait, mirrored, and with more room on the left
    portrait = photo("astronaut.jpeg")
    mirrored = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wider = Image.new("RGB", (portrait.width * 2, portrait.height), "grey")
    wider.paste(portrait, (portrait.width, 0))
    # When faces are looked for
    left, top = centre(detect(portrait)[0])
    # Then the box moves with the face
    assert centre(detect(mirrored)[0]) == pytest.approx((1 - left, top), abs=0.03)
    assert centre(detect(wider)[0]) == pytest.approx((0.5 + left / 2, top), abs=0.03)


def test_several_faces_come_largest_first() -> None:
    # Given two portraits side by side, one twice as large
    astronaut, admiral = photo("astronaut.jpeg"), photo("grace-hopper.JPG").resize((300, 350))
    both = Image.new("RGB", (1400, 1024))
    both.paste(admiral, (1050, 300))
    both.paste(astronaut.resize((1024, 1024)), (0, 0))
    # When faces are looked for
    faces = detect(both)
    # Then both are found, the larger one first
    assert len(faces) == 2
    assert centre(faces[0])[0] < 0.5 < centre(faces[1])[0]


def test_quality_follows_brightness_and_sharpness() -> None:
    # Given a portrait, darker, and blurred
    portrait = photo("astronaut.jpeg")
    darker = ImageEnhance.Brightness(portrait).enhance(0.6)
    blurred = portrait.filter(ImageFilter.GaussianBlur(2))
    # When faces are looked for
    plain, dark, soft = (detect(image)[0]["Quality"] for image in (portrait, darker, blurred))
    # Then the qualities say so
    assert dark["Brightness"] < plain["Brightness"] - 10
    assert soft["Sharpness"] < plain["Sharpness"] - 10
    assert soft["Brightness"] == pytest.approx(plain["Brightness"], abs=5)


@pytest.mark.parametrize("attributes", [["ALL"], ["DEFAULT", "EMOTIONS"], ["AGE_RANGE"]])
def test_attributes_that_cannot_be_known_are_refused(attributes: list[str]) -> None:
    # Given a wish for emotions or age
    # When faces are looked for
    # Then the error names what is not served
    with pytest.raises(ClientError, match=rf"NotImplemented.*does not serve the face attributes {attributes[-1]}"):
        detect(photo("astronaut.jpeg"), Attributes=attributes)
