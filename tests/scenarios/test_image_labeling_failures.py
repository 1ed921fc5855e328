"""Label every uploaded image, while things go wrong: nothing is lost or done twice, and every end has its reason."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zlib

import pytest
from PIL import Image

from tests.scenarios.driver import Driver, cat, names, photo


def huge_png(width: int, height: int) -> bytes:
    """A valid PNG of one colour: few bytes, many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# --- input that is not what it should be


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.jpg", b"this is no image at all"),
        ("empty.jpg", b""),
        ("beginning.jpg", photo()[:200]),
        ("broken.png", photo(kind="PNG")[:-40] + b"\0" * 40),
        ("archive.png", b"PK\x03\x04" + bytes(200)),
    ],
)
def test_a_file_that_is_no_image_is_rejected_once_with_a_reason(driver: Driver, name: str, content: bytes) -> None:
    # Given a file that only claims to be an image
    key = driver.key(name)
    # When it is uploaded
    version = driver.upload(key, content)
    # Then that is a result, with a reason
    row = driver.wait_for(key, version, "REJECTED")
    assert row["reason"]["code"]
    assert row["reason"]["message"]
    assert "labels" not in row
    # and its message is done with: nothing waits, nothing comes back, nobody is alarmed
    driver.wait_until_empty()
    assert driver.dead_letters() == []


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_an_image_in_a_format_that_the_service_does_not_take_is_converted(driver: Driver, kind: str) -> None:
    # Given an image in a format that Rekognition refuses
    key = driver.key(f"photo.{kind.lower()}")
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, cat(kind=kind)))
    # Then the cat in it is found, and the row says what was done to it
    assert "Cat" in names(row["labels"])
    assert row["preprocessed"] != "none"
    assert (row["width"], row["height"]) == (225, 150)


def test_an_image_larger_than_the_service_accepts_is_made_to_fit(driver: Driver) -> None:
    # Given a photograph of more bytes than DetectLabels takes in any way
    key = driver.key("large.bmp")
    body = cat((2700, 1900), "BMP")
    assert len(body) > 15_000_000
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, body))
    # Then the cat in it is found, the row has the image's own size, and says what was done to it
    assert "Cat" in names(row["labels"])
    assert (row["width"], row["height"], row["size"]) == (2700, 1900, len(body))
    assert row["preprocessed"] != "none"


def test_an_image_too_large_to_be_sent_is_named_to_the_service(driver: Driver) -> None:
    # Given a photograph of more bytes than a call may carry, but no more than the service reads from S3
    key = driver.key("noise.jpg")
    noise = Image.frombytes("RGB", (2700, 2000), random.Random(1).randbytes(2700 * 2000 * 3))
    out = io.BytesIO()
    noise.save(out, "JPEG", quality=95)
    assert 5_242_880 < len(out.getvalue()) <= 15_000_000
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, out.getvalue()))
    # Then it is labeled as it is
    assert row["preprocessed"] == "none"
    assert (row["width"], row["height"], row["size"]) == (2700, 2000, len(out.getvalue()))


def test_an_image_with_more_pixels_than_memory_allows_is_rejected_with_a_reason(driver: Driver) -> None:
    # Given a file of a few kilobytes that unpacks to hundreds of millions of pixels
    key = driver.key("bomb.png")
    body = huge_png(20_000, 20_000)
    assert len(body) < 100_000
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, body), "REJECTED")
    # Then it is refused, and the function lives on
    assert "pixel" in row["reason"]["message"].lower()
    driver.wait_until_empty()


# --- a service that does not answer as it should


def test_a_throttled_service_is_retried_until_it_answers(driver: Driver) -> None:
    # Given Rekognition throttling the next two attempts
    before = driver.calls()
    driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="throttle", times=2)
    # When an image is uploaded
    key = driver.key()
    version = driver.upload(key)
    # Then it is labeled in the end, after three attempts
    driver.wait_for(key, version, hurry=True)
    assert driver.calls() == before + 3
    # and nothing is left over
    driver.wait_until_empty(hurry=True)
    assert driver.dead_letters() == []


def test_a_service_that_does_not_answer_is_asked_again(driver: Driver) -> None:
    # Given Rekognition not answering the next attempt
    before = driver.calls()
    driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="timeout", times=1)
    # When an image is uploaded
    key = driver.key()
    version = driver.upload(key)
    # Then the function does not wait for ever: it asks again, and the image is labeled
    driver.wait_for(key, version)
    assert driver.calls() == before + 2


def test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven(driver: Driver) -> None:
    # Given Rekognition down
    driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="internal")
    # When an image is uploaded and all its attempts are used up
    key = driver.key()
    version = driver.upload(key)
    letter = driver.wait_for_dead_letter(key)
    # Then the message is in the DLQ, and its reason in the table: what, when asked how often, under which request
    row = driver.row(key, version)
    assert row is not None
    assert row["status"] == "FAILED"
    assert row["reason"]["code"] == "InternalServerError"
    assert row["reason"]["message"]
    assert row["request_id"]
    assert int(row["receive_count"]) == driver.maximum_receives()
    assert row["message_id"] == letter["MessageId"]
    assert row["failed_at"]
    # When the service is back and the message is redriven
    driver.control.faults_clear()
    driver.redrive()
    # Then the image is labeled, the failure is gone from its row, and so is the message from the DLQ
    row = driver.wait_for(key, version)
    assert "labels" in row
    assert not {"reason", "request_id", "receive_count", "message_id", "failed_at"} & set(row)
    driver.wait_until_empty()
    assert driver.dead_letters() == []


@pytest.mark.parametrize(
    ("service", "operations"), [("s3", ["GetObject"]), ("dynamodb", ["PutItem", "TransactWriteItems"])]
)
def test_an_outage_of_storage_loses_nothing(driver: Driver, service: str, operations: list[str]) -> None:
    # Given the object store down, or the tables, in one of which reasons are kept
    for operation in operations:
        driver.control.faults_add(service=service, operation=operation, kind="internal")
    # When an image is uploaded and all its attempts are used up
    key = driver.key()
    version = driver.upload(key)
    driver.wait_for_dead_letter(key)
    # and the service is back and the message is redriven
    driver.control.faults_clear()
    driver.redrive()
    # Then the image is labeled
    driver.wait_for(key, version, hurry=True)
    driver.wait_until_empty(hurry=True)
    assert driver.dead_letters() == []


# --- messages


@pytest.mark.parametrize(
    "body", ["{not json", "[]", '{"source": "aws.s3", "detail-type": "Object Created"}', '{"detail": {"object": null}}']
)
def test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason(driver: Driver, body: str) -> None:
    # Given a message that is no event
    # When it is sent to the queue
    (message,) = driver.send(body)
    # Then it ends in the DLQ, as it was
    letters = driver.until(driver.dead_letters, "a message in the DLQ", hurry=True)
    assert [(letter["MessageId"], letter["Body"]) for letter in letters] == [(message, body)]
    # and the table has its reason
    row = driver.unreadable(message)
    assert row is not None
    assert row["status"] == "FAILED"
    assert row["reason"]["code"]


def test_a_poison_message_is_mended_and_redriven(driver: Driver) -> None:
    # Given an event that lost the object's version on its way, in the DLQ
    key = driver.key()
    version = driver.upload_quietly(key)
    broken = driver.event(key, version)
    del broken["detail"]["object"]["version-id"]
    driver.send(broken)
    letter = driver.wait_for_dead_letter(key)
    # When an operator adds what is missing, sends it again and removes the broken one
    mended = json.loads(letter["Body"])
    mended["detail"]["object"]["version-id"] = version
    driver.send(mended)
    driver.remove_dead_letter(letter)
    # Then the image is labeled and nothing is left over
    driver.wait_for(key, version)
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_only_the_bad_message_of_a_batch_comes_back(driver: Driver) -> None:
    # Given four images and one message that can never succeed, waiting together
    keys = [driver.key(f"{seed}.jpg") for seed in range(4)]
    versions = [driver.upload_quietly(key, photo(seed=seed)) for seed, key in enumerate(keys)]
    before = driver.calls()
    with driver.poller_off():
        events = [driver.event(key, version) for key, version in zip(keys, versions, strict=True)]
        ids = driver.send(*events[:2], "poison", *events[2:])
    # When they are taken in one batch
    for key, version in zip(keys, versions, strict=True):
        driver.wait_for(key, version)
    letters = driver.until(driver.dead_letters, "the bad message in the DLQ", hurry=True)
    # (the log tells which invocation took which message first)
    first = {
        line["message_id"]: line["function_request_id"]
        for line in (json.loads(text) for text in driver.log_lines() if text.startswith("{"))
        if line.get("receive_count") == 1 and line.get("message_id") in ids
    }
    assert set(first) == set(ids)
    assert len(set(first.values())) == 1
    # Then only the bad one came back until it was given up, and every image was labeled once
    assert [letter["MessageId"] for letter in letters] == [ids[2]]
    assert driver.calls() == before + len(keys)
    assert driver.empty()


# --- a worker that dies


def test_a_worker_killed_before_it_wrote_is_replaced_once_its_claim_has_expired(driver: Driver) -> None:
    # Given a worker that is killed when Rekognition has answered, before it writes
    before = driver.calls()
    driver.control.faults_add(
        service="rekognition", operation="DetectLabels", kind="kill-worker", when="after", times=1
    )
    key = driver.key()
    version = driver.upload(key)
    driver.until(lambda: driver.calls() > before and driver.resting(), "the worker to be killed after its call")
    # Then it left no row, but its claim on the image
    assert driver.row(key, version) is None
    assert driver.claims()
    # When the message comes back, after the claim has run out
    driver.skip_ahead()
    # Then another worker labels it: one row
    driver.wait_for(key, version)
    driver.wait_until_empty(hurry=True)
    assert set(driver.rows(key)) == {version, "latest"}
    assert driver.dead_letters() == []


def test_a_worker_killed_after_it_wrote_does_nothing_twice(driver: Driver) -> None:
    # Given a worker that is killed when its row is written, before its message is deleted
    before = driver.calls()
    driver.control.faults_add(
        service="dynamodb", operation="TransactWriteItems", kind="kill-worker", when="after", times=1
    )
    key = driver.key()
    version = driver.upload(key)
    driver.wait_for(key, version)
    driver.until(driver.resting, "the message to wait for its visibility timeout")
    written = driver.rows(key)
    # When the message comes back
    driver.wait_until_empty(hurry=True)
    # Then the rows are as they were, and the image was not paid for again
    assert driver.rows(key) == written
    assert set(written) == {version, "latest"}
    assert driver.calls() == before + 1
    assert driver.dead_letters() == []


def test_an_image_is_left_to_the_worker_that_claims_it(driver: Driver) -> None:
    # Given a killed worker whose claim on an image has not run out
    before = driver.calls()
    fault = {"service": "rekognition", "operation": "DetectLabels", "kind": "kill-worker", "when": "after", "times": 1}
    driver.control.faults_add(**fault)
    key = driver.key()
    version = driver.upload(key)
    driver.until(lambda: driver.calls() > before and driver.resting(), "the worker to be killed after its call")
    # When the same event is delivered by another message
    driver.send(driver.event(key, version))
    # Then it waits: nobody works on the image a second time, and the message is not lost
    driver.until(lambda: driver.depth()[1] == 2 and driver.resting(), "both messages to wait")
    assert driver.calls() == before + 1
    # When the claim has run out, Then the image is labeled, and both messages are gone
    driver.wait_for(key, version, hurry=True)
    driver.wait_until_empty(hurry=True)
    assert driver.calls() == before + 2


def test_an_image_that_kills_every_worker_ends_in_the_dlq_with_a_reason(driver: Driver) -> None:
    # Given an image on which every worker dies
    driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="kill-worker", when="after")
    key = driver.key()
    version = driver.upload(key)
    # When all its attempts are used up
    driver.wait_for_dead_letter(key)
    # Then its row says that a worker stopped
    row = driver.row(key, version)
    assert row is not None
    assert row["status"] == "FAILED"
    assert row["reason"]["code"] == "WorkerStopped"


# --- what is said about it


def test_no_log_line_holds_what_a_picture_shows_or_is_called(driver: Driver) -> None:
    # Given an image that is labeled, one that is rejected and one that fails, all with telling names
    secret = "patient-jane-doe"
    good, bad, failing = (driver.key(f"{secret}-{what}.jpg") for what in ("good", "bad", "failing"))
    row = driver.wait_for(good, driver.upload(good, cat()))
    assert row["labels"]
    driver.wait_for(bad, driver.upload(bad, b"no image"), "REJECTED")
    driver.control.faults_add(service="rekognition", operation="DetectLabels", kind="internal")
    driver.wait_for(failing, driver.upload(failing), "FAILED")
    # When the log is read
    lines = driver.until(driver.log_lines, "log lines")
    # Then it has something to say, but neither names nor labels
    assert any("image-labeling" in line for line in lines)
    unspeakable = re.compile("|".join([secret, *(rf"\b{re.escape(name)}\b" for name in names(row["labels"]))]))
    assert [line for line in lines if unspeakable.search(line)] == []
