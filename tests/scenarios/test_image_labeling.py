"""Label every uploaded image: what goes in comes out, once, under its own name and in the right order."""

from __future__ import annotations

import pytest

from scenarios.image_labeling import SUFFIXES
from tests.scenarios.driver import PHOTOS, Driver, names, photo


def test_a_photo_of_a_cat_has_a_cat_in_it_and_a_cat_is_an_animal(driver: Driver) -> None:
    # Given a photograph of a tabby cat
    key = driver.key("chelsea.jpg")
    # When it is uploaded
    version = driver.upload(key, (PHOTOS / "chelsea.jpg").read_bytes())
    # Then its row has a cat among its first labels, with parents up to animal
    row = driver.wait_for(key, version)
    cats = [label for label in row["labels"][:5] if "Cat" in {label["name"], *label["parents"]}]
    assert cats, f"no cat among {[label['name'] for label in row['labels'][:5]]}"
    assert any("Animal" in label["parents"] for label in cats)
    # and every label has what a reader needs, the surest first
    confidences = [label["confidence"] for label in row["labels"]]
    assert all(0 < confidence <= 100 for confidence in confidences)
    assert confidences == sorted(confidences, reverse=True)
    # and the row says which image it is about
    assert (row["width"], row["height"]) == (451, 300)
    assert row["label_model_version"]


def test_every_sample_photo_is_labeled_and_not_all_alike(driver: Driver) -> None:
    # Given all sample photos
    photos = sorted(file for file in PHOTOS.iterdir() if file.suffix.lower() in SUFFIXES)
    assert len(photos) >= 5
    keys = {driver.key(file.name): file for file in photos}
    # When they are uploaded at once
    versions = {key: driver.upload(key, file.read_bytes()) for key, file in keys.items()}
    # Then each has its row, most have labels, and no two have the same ones
    rows = [driver.wait_for(key, version) for key, version in versions.items()]
    found = [frozenset(names(row["labels"])) for row in rows if row["labels"]]
    assert len(found) > len(photos) / 2
    assert len(set(found)) == len(found)
    # and nothing is left over
    driver.wait_until_empty()
    assert driver.dead_letters() == []


@pytest.mark.parametrize(
    "name",
    [
        "two words.jpg",
        "a+b = c.jpg",
        "100%25 sure%20.jpg",
        "Übergröße, naïve.jpg",
        "写真/猫.jpeg",
        "two\nlines.jpg",
        "😀 & <tag> \"quoted\" 'it'.png",
    ],
)
def test_a_key_is_read_and_stored_as_the_user_wrote_it(driver: Driver, name: str) -> None:
    # Given a key with characters that URLs encode, or beyond ASCII
    key = driver.key(name)
    # When an image is uploaded there
    version = driver.upload(key, photo(kind="PNG" if name.endswith("png") else "JPEG"))
    # Then exactly that object was read, and its row bears exactly that key
    assert driver.wait_for(key, version)["image"] == f"{driver.bucket}/{key}"


def test_what_is_not_an_image_by_name_or_place_is_left_alone(driver: Driver) -> None:
    # Given a text under the prefix, and an image elsewhere
    note, elsewhere = driver.key("note.txt"), f"elsewhere/{driver.key()}"
    before = driver.calls()
    # When they are uploaded, and an image after them
    ignored = {key: driver.upload(key) for key in (note, elsewhere)}
    key = driver.key()
    driver.wait_for(key, driver.upload(key))
    # Then only that one became a message
    driver.wait_until_empty()
    assert all(driver.row(key, version) is None for key, version in ignored.items())
    assert driver.calls() == before + 1


def test_the_same_event_twice_is_one_row_and_one_paid_call(driver: Driver) -> None:
    # Given an uploaded image whose event is delivered again and again, in one batch and later
    key = driver.key()
    version = driver.upload_quietly(key)
    event = driver.event(key, version)
    before = driver.calls()
    # When all of it is processed
    driver.send(event, event, event)
    driver.wait_for(key, version)
    driver.wait_until_empty(hurry=True)
    first = driver.row(key, version)
    driver.send({**event, "id": "another-delivery"}, event)
    driver.wait_until_empty(hurry=True)
    # Then there is one row beside the pointer, untouched by the repetitions, and Rekognition was called once
    assert set(driver.rows(key)) == {version, "latest"}
    assert driver.row(key, version) == first
    assert driver.calls() == before + 1
    assert driver.dead_letters() == []


def test_two_versions_of_a_key_are_two_rows_and_the_pointer_names_the_newer(driver: Driver) -> None:
    # Given a key
    key = driver.key()
    # When it is written twice
    old = driver.upload(key, photo(seed=1, size=(120, 90)))
    new = driver.upload(key, photo(seed=2, size=(110, 100)))
    driver.wait_for(key, old)
    driver.wait_for(key, new)
    driver.wait_until_empty()
    # Then each version has its own row about its own pixels, and the pointer names the newer one
    rows = driver.rows(key)
    assert set(rows) == {old, new, "latest"}
    assert [(rows[v]["width"], rows[v]["height"]) for v in (old, new)] == [(120, 90), (110, 100)]
    assert rows["latest"]["latest_version"] == new


def test_a_late_event_of_an_old_version_does_not_move_the_latest_pointer_back(driver: Driver) -> None:
    # Given two versions of a key, whose events come in the wrong order
    key = driver.key()
    old, new = (driver.upload_quietly(key, photo(seed=seed)) for seed in (1, 2))
    earlier, later = driver.sequencer(), driver.sequencer()
    driver.send(driver.event(key, new, later))
    driver.wait_for(key, new)
    # When the old version's event comes at last
    driver.send(driver.event(key, old, earlier))
    driver.wait_for(key, old)
    # (S3's own event may have come too, just when the rule was on again.)
    driver.wait_until_empty(hurry=True)
    # Then the old version has its row, and the pointer still names the new one
    rows = driver.rows(key)
    assert set(rows) == {old, new, "latest"}
    assert rows["latest"]["latest_version"] == new


@pytest.mark.parametrize(("earlier", "later"), [("FF", "0100"), ("0055AED6DCD90281E5", "0055AED6DCD90281E50A")])
def test_sequencers_of_different_length_are_compared_as_s3_says(driver: Driver, earlier: str, later: str) -> None:
    # Given events whose sequencers differ in length: the shorter one is padded with zeros on the right
    key = driver.key()
    old, new = (driver.upload_quietly(key, photo(seed=seed)) for seed in (1, 2))
    padded = sorted([(earlier, old), (later, new)], key=lambda pair: pair[0].ljust(40, "0"))
    # When they come in the wrong order
    for sequencer, version in reversed(padded):
        driver.send(driver.event(key, version, sequencer))
        driver.wait_for(key, version)
    driver.wait_until_empty()
    # Then the pointer names the later of the two
    assert driver.rows(key)["latest"]["latest_version"] == padded[-1][1]
