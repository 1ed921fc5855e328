"""Which pictures Rekognition takes, from where, and what it answers to the others."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from local.services.pictures import Picture, UnreadablePicture
from local.services.wire import ObjectUnavailable
from tests.local.standin import PHOTOS, FakeCaller, encoded, photo, rekognition

OPERATIONS = ["detect_labels", "detect_text", "detect_faces", "detect_moderation_labels"]


def refusal(image: dict[str, Any], operation: str = "detect_labels", caller: FakeCaller | None = None) -> Any:
    with pytest.raises(ClientError) as caught:
        getattr(rekognition(caller), operation)(Image=image)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return caught.value.response["Error"]


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds no pixels."""
    chunks = [
        (b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("data", [b"not a picture", b"\xff\xd8\xff\xe0", encoded(photo("chelsea.jpg"))[:3000]])
def test_damaged_files_are_an_invalid_format(operation: str, data: bytes) -> None:
    # Given bytes that are not a whole picture
    # When any operation gets them
    # Then that is the service's error
    assert refusal({"Bytes": data}, operation)["Code"] == "InvalidImageFormatException"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    # Given a sound picture in a format that Rekognition does not take
    data = encoded(photo("chelsea.jpg"), kind)
    # When it is labelled
    # Then it is refused
    assert refusal({"Bytes": data})["Code"] == "InvalidImageFormatException"


def test_altered_bytes_are_decoded_or_refused_and_nothing_else() -> None:
    # Given many damaged variants of a photo
    whole = encoded(photo("chelsea.jpg").resize((160, 106)))
    outcomes = set()
    for number in range(300):
        damaged = bytearray(whole)
        for step in range(1 + number % 5):
            damaged[(number * 7919 + step * 104729) % (len(damaged) if number % 2 else 700)] = (
                number * 31 + step
            ) % 256
        # When they are decoded
        try:
            Picture.open(bytes(damaged)).decode(256)
            outcomes.add("decoded")
        except UnreadablePicture:
            outcomes.add("refused")
    # Then each is either read or refused
    assert outcomes == {"decoded", "refused"}


@pytest.mark.parametrize("size", [(79, 200), (200, 79)])
def test_a_picture_below_80_pixels_is_refused(size: tuple[int, int]) -> None:
    # Given a picture one pixel too small
    # When it is labelled
    # Then its parameters are invalid; and with that pixel it is taken
    assert refusal({"Bytes": encoded(Image.new("RGB", size))})["Code"] == "InvalidParameterException"
    assert "Labels" in rekognition().detect_labels(Image={"Bytes": encoded(Image.new("RGB", (80, 80)))})


@pytest.mark.parametrize("size", [(10_001, 100), (100, 10_001), (40_000, 40_000)])
def test_a_picture_over_10000_pixels_is_refused_without_decoding_it(size: tuple[int, int]) -> None:
    # Given a file that promises more pixels than are allowed, and holds none
    # When it is labelled
    # Then it is too large, not damaged: its header was enough
    assert refusal({"Bytes": png_header(*size)})["Code"] == "ImageTooLargeException"
    assert refusal({"Bytes": png_header(10_000, 80)})["Code"] == "InvalidImageFormatException"


@pytest.mark.parametrize("image", [{}, {"Bytes": b"x", "S3Object": {"Bucket": "photos", "Name": "a.jpg"}}])
def test_exactly_one_source_is_needed(image: dict[str, Any]) -> None:
    # Given no source, or two
    # When a picture is labelled
    # Then the parameters are invalid
    assert refusal(image)["Code"] == "InvalidParameterException"


@pytest.mark.parametrize("version", [None, "v-17"])
def test_an_object_is_read_as_the_caller_by_its_version(version: str | None) -> None:
    # Given an object with versions that the caller may read
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    caller = FakeCaller({("photos", "uploads/ä b+c.jpg", version): data})
    reference = {"Bucket": "photos", "Name": "uploads/ä b+c.jpg"} | ({"Version": version} if version else {})
    # When it is labelled by reference, and by its bytes
    by_reference = rekognition(caller).detect_labels(Image={"S3Object": reference})
    by_bytes = rekognition().detect_labels(Image={"Bytes": data})
    # Then it was read once, as the caller, at that version, and says the same
    assert caller.reads == [("photos", "uploads/ä b+c.jpg", version)]
    assert by_reference["Labels"] == by_bytes["Labels"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchBucket", "AccessDenied", "WrongRegion"])
def test_an_object_that_cannot_be_read_is_one_error_whatever_the_cause(operation: str, code: str) -> None:
    # Given an object that the caller cannot read, for whatever reason
    caller = FakeCaller({("photos", "a.jpg", None): ObjectUnavailable(code, "told to the log")})
    # When it is referred to
    error = refusal({"S3Object": {"Bucket": "photos", "Name": "a.jpg"}}, operation, caller)
    # Then Rekognition does not say which
    assert error["Code"] == "InvalidS3ObjectException"
    assert error["Message"].startswith("Unable to get object metadata from S3.")


def test_a_reference_needs_a_bucket_and_a_name() -> None:
    # Given half a reference
    caller = FakeCaller()
    # When a picture is labelled
    error = refusal({"S3Object": {"Bucket": "photos"}}, caller=caller)
    # Then it is refused, and nothing was read
    assert error["Code"] == "InvalidS3ObjectException"
    assert caller.reads == []


def test_an_object_may_be_larger_than_bytes_in_the_request() -> None:
    # Given a photo padded to sizes around both limits (what follows a JPEG's end is not read)
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    sizes = {"bytes": 5 * 1024 * 1024, "object": 15 * 1024 * 1024}
    padded = {size: data + bytes(size - len(data)) for size in (*sizes.values(), sizes["object"] + 1)}
    caller = FakeCaller({("photos", str(size), None): content for size, content in padded.items()})
    client = rekognition(caller)
    # When they are labelled
    # Then 5 MB of bytes and 15 MB of object are taken, and not one byte more
    assert client.detect_labels(Image={"Bytes": padded[sizes["bytes"]]})["Labels"]
    assert client.detect_labels(Image={"S3Object": {"Bucket": "photos", "Name": str(sizes["object"])}})["Labels"]
    too_large = {"S3Object": {"Bucket": "photos", "Name": str(sizes["object"] + 1)}}
    assert refusal(too_large, caller=caller)["Code"] == "ImageTooLargeException"
    assert refusal({"Bytes": padded[sizes["bytes"]] + b"\0"})["Code"] == "ValidationException"
