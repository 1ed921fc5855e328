"""The stand-ins' wire protocol: what goes in and what comes out fits botocore's service models."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local.services import SERVICES
from local.services.rekognition import Rekognition
from local.services.wire import (
    InvalidResponse,
    JsonService,
    Operation,
    ServiceError,
    parse_request,
    render_response,
    service_model,
)
from tests.local.standin import FakeCaller, RetryMode, client_of

IMAGE = {"Image": {"Bytes": base64.b64encode(b"x").decode()}}


def answer(
    body: Any, operation: str = "DetectLabels", service: JsonService | None = None
) -> tuple[int, dict[str, Any]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, content = (service or Rekognition()).handle(operation, raw, FakeCaller())
    return status, json.loads(content)


class Answering(JsonService):
    """Serves DetectLabels with whatever it is given."""

    name: ClassVar[str] = "rekognition"
    iam_namespace: ClassVar[str] = "rekognition"
    target_prefix: ClassVar[str] = "RekognitionService"

    def __init__(self, response: Any) -> None:
        self._response = response

    def operations(self) -> Mapping[str, Operation]:
        return {"DetectLabels": self._detect_labels}

    def _detect_labels(self, request: Mapping[str, Any], caller: object) -> Mapping[str, Any]:
        if isinstance(self._response, Exception):
            raise self._response
        assert isinstance(self._response, dict)
        return self._response


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b"nonsense"])
def test_what_is_not_json_is_a_serialization_error(body: bytes) -> None:
    # Given a body that no JSON parser takes
    # When it is sent
    status, error = answer(body)
    # Then the protocol's own error says so
    assert (status, error["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"Image": "photo.jpg"},
        {"Image": {"Bytes": 7}},
        {"Image": {"Bytes": "not base64!"}},
        {**IMAGE, "MaxLabels": "10"},
        {**IMAGE, "MaxLabels": 1.5},
        {**IMAGE, "MaxLabels": True},
        {**IMAGE, "MinConfidence": float("nan")},
        {**IMAGE, "Features": "GENERAL_LABELS"},
    ],
)
def test_a_value_of_the_wrong_type_is_a_serialization_error(body: Any) -> None:
    # Given a value that the model gives another type
    # When it is sent past the client's own validation
    status, error = answer(body)
    # Then it is refused
    assert (status, error["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, 'Missing required parameter in input: "Image"'),
        ({**IMAGE, "MinConfidence": 101}, "Value '101' at 'minConfidence' failed to satisfy constraint: Member must"),
        ({**IMAGE, "MinConfidence": -1}, "valid min value: 0"),
        (
            {**IMAGE, "Features": ["ALL"]},
            "at 'features.1.member' failed to satisfy constraint: Member must",
        ),
        ({"Image": {"S3Object": {"Bucket": "a b c"}}}, "Member must satisfy regular expression pattern"),
        ({"Image": {"S3Object": {"Bucket": "ab"}}}, "valid min length: 3"),
        ({"Image": {"Bytes": ""}}, "Member must have length greater than or equal to 1"),
        ({**IMAGE, "Colour": "red"}, 'Unknown parameter in input: "Colour"'),
        ({"Image": {"Bytes": base64.b64encode(bytes(5 * 1024 * 1024 + 1)).decode()}}, "less than or equal to 5242880"),
    ],
)
def test_a_broken_constraint_is_a_validation_error_that_names_it(body: Any, said: str) -> None:
    # Given a request that botocore's model does not allow
    # When it is sent past the client's own validation
    status, error = answer(body)
    # Then the answer names what was broken
    assert (status, error["__type"]) == (400, "ValidationException")
    assert said in error["Message"]


def test_a_null_member_counts_as_absent() -> None:
    # Given a request with nulls, as some clients send them
    model = service_model("rekognition").operation_model("DetectLabels")
    # When it is parsed
    request = parse_request(model, json.dumps({**IMAGE, "MaxLabels": None}).encode())
    # Then they are gone, and the blob is bytes
    assert request == {"Image": {"Bytes": b"x"}}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["Image", "Bytes", "MaxLabels", "S3Object", "x"]), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_no_json_makes_the_service_fail(body: Any) -> None:
    # Given any JSON at all
    # When it is sent
    status, error = answer(body)
    # Then the caller is told, and nothing breaks inside
    assert status == 400
    assert error["__type"] in {
        "SerializationException",
        "ValidationException",
        "InvalidParameterException",
        "InvalidS3ObjectException",
        "InvalidImageFormatException",
    }


def test_an_unknown_operation_is_named() -> None:
    # Given an operation that Rekognition has never had
    # When it is called
    status, error = answer({}, operation="DetectUnicorns")
    # Then that is the error
    assert (status, error["__type"]) == (400, "UnknownOperationException")
    assert "DetectUnicorns" in error["Message"]


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_an_operation_that_is_not_served_says_so_at_once(mode: RetryMode) -> None:
    # Given an operation of Rekognition that the local cloud does not serve, and a client that retries
    client, attempts = client_of(Rekognition(), FakeCaller(), mode)
    # When it is called
    with pytest.raises(ClientError) as caught:
        client.list_collections()
    # Then the error says what is served instead, and came from the only attempt
    error = caught.value.response["Error"]
    assert error["Code"] == "NotImplemented"
    assert "does not serve rekognition:ListCollections" in error["Message"]
    assert "DetectLabels" in error["Message"]
    assert attempts == ["ListCollections"]


@pytest.mark.parametrize(
    "response",
    [
        {"Labels": [{"Name": "Cat", "Colour": "grey"}]},
        {"Labels": [{"Name": 7}]},
        {"Labels": [{"Confidence": 100.1}]},
        {"Labels": "Cat"},
        {"OrientationCorrection": "ROTATE_45"},
        {"ImageProperties": {"DominantColors": [{"Red": -1}]}},
        {"Labels": [{"Confidence": float("nan")}]},
    ],
)
def test_an_answer_outside_the_model_never_reaches_the_caller(response: Any, caplog: pytest.LogCaptureFixture) -> None:
    # Given a stand-in with a bug
    # When it answers
    status, error = answer(IMAGE, service=Answering(response))
    # Then the caller sees a failure and the log its cause
    assert (status, error["__type"]) == (500, "InternalFailure")
    assert "rekognition.DetectLabels failed" in caplog.text


def test_a_required_member_missing_from_an_answer_is_found() -> None:
    # Given an operation whose answer has a required member
    model = service_model("dynamodb").operation_model("ExportTableToPointInTime")
    nested = service_model("kinesis").operation_model("PutRecord")
    # When it is left out
    # Then the answer is refused; and one that is whole is not
    with pytest.raises(InvalidResponse, match="ShardId"):
        render_response(nested, {"SequenceNumber": "1"})
    assert render_response(nested, {"SequenceNumber": "1", "ShardId": "s"}) == {"SequenceNumber": "1", "ShardId": "s"}
    assert render_response(model, {}) == {}


def test_an_error_that_the_operation_does_not_declare_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    # Given a stand-in that raises an error of another operation
    # When it answers
    status, error = answer(IMAGE, service=Answering(ServiceError("VideoTooLargeException", "too long")))
    # Then that is a failure, not an answer
    assert (status, error["__type"]) == (500, "InternalFailure")
    assert "DetectLabels does not declare VideoTooLargeException" in caplog.text


def test_a_failure_inside_keeps_its_details_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    # Given a stand-in that breaks
    # When it is called
    status, error = answer(IMAGE, service=Answering(RuntimeError("secret detail")))
    # Then only the log tells why
    assert (status, error["__type"]) == (500, "InternalFailure")
    assert "secret detail" not in json.dumps(error)
    assert "secret detail" in caplog.text


def test_a_declared_error_arrives_as_the_clients_exception() -> None:
    # Given a stand-in that raises one of DetectLabels' errors
    client, _ = client_of(Answering(ServiceError("ImageTooLargeException", "Too large.")), FakeCaller())
    # When a real client calls
    with pytest.raises(client.exceptions.ImageTooLargeException) as caught:
        client.detect_labels(Image={"Bytes": b"x"})
    # Then it is that exception, with its message and a request id
    assert caught.value.response["Error"]["Message"] == "Too large."
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_blobs_and_times_travel_in_the_protocols_forms() -> None:
    # Given operations that carry a blob and a time
    put = service_model("kinesis").operation_model("PutRecord")
    read = service_model("kinesis").operation_model("GetRecords")
    when = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc)
    # When a request is read and an answer written
    body = json.dumps({"StreamName": "s", "PartitionKey": "p", "Data": "aGVsbG8="}).encode()
    record = {"SequenceNumber": "1", "Data": b"hello", "PartitionKey": "p", "ApproximateArrivalTimestamp": when}
    rendered = render_response(read, {"Records": [record]})
    # Then blobs are Base64 and times seconds
    assert parse_request(put, body)["Data"] == b"hello"
    assert rendered["Records"][0]["Data"] == "aGVsbG8="
    assert rendered["Records"][0]["ApproximateArrivalTimestamp"] == when.timestamp()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_named_as_its_model_names_it(service: JsonService) -> None:
    # Given a registered service
    metadata = service_model(service.name).metadata
    # When its names are held against botocore's model
    # Then requests for it are routed and signed as AWS's are
    assert service.target_prefix == metadata["targetPrefix"]
    assert service.iam_namespace == metadata.get("signingName", metadata["endpointPrefix"])
    assert metadata["jsonVersion"] == "1.1"
    assert set(service.operations()) <= set(service_model(service.name).operation_names)
    assert service.operations()


def test_registering_the_services_loads_no_model() -> None:
    # Given a fresh interpreter
    code = (
        "import sys, local.services; print(sorted({'numpy','onnx','onnxruntime','cv2','rapidocr'} & set(sys.modules)))"
    )
    # When the services are imported
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    # Then nothing heavy came along
    assert done.stdout.strip() == "[]"
