"""The function on its own: its handler over moto's S3 and DynamoDB, with the answers of Rekognition stubbed."""

from __future__ import annotations

import dataclasses
import importlib
import io
import itertools
import json
import types
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.stub import Stubber
from moto import mock_aws
from PIL import Image

BUCKET = "photographs"
RESULTS = "results"
IDEMPOTENCY = "idempotency"


@dataclasses.dataclass
class Context:
    """What the function sees of its invocation."""

    milliseconds: int = 60_000
    aws_request_id: str = "invocation-1"
    function_name: str = "label-image"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:label-image"

    def get_remaining_time_in_millis(self) -> int:
        """The time that is left, in milliseconds."""
        return self.milliseconds


def picture(width: int = 640, height: int = 480, mode: str = "RGB", kind: str = "JPEG", **options: Any) -> bytes:
    """A file with a picture in it: light in its upper left quarter, dark elsewhere."""
    made = Image.new("L", (width, height), 40)
    made.paste(220, (0, 0, width // 2, height // 2))
    written = io.BytesIO()
    made.convert(mode).save(written, kind, **options)
    return written.getvalue()


class Function:
    """Drives the handler: uploads, delivers messages, reads what was kept."""

    def __init__(self, module: types.ModuleType, rekognition: Stubber) -> None:
        self.module = module
        self.rekognition = rekognition
        self.dynamodb = module.clients["dynamodb"]
        self.s3 = module.clients["s3"]
        self._ids = itertools.count(1)

    def upload(self, key: str = "uploads/cat.jpg", data: bytes | None = None) -> str:
        """Stores an object; returns its version."""
        answer = self.s3.put_object(Bucket=BUCKET, Key=key, Body=picture() if data is None else data)
        return str(answer["VersionId"])

    def expect_labels(self, *names: str, **parameters: Any) -> None:
        """The next call of DetectLabels finds these."""
        found = [{"Name": name, "Confidence": 90.5, "Parents": [{"Name": "Thing"}], "Instances": []} for name in names]
        self.rekognition.add_response(
            "detect_labels", {"Labels": found, "LabelModelVersion": "3.0"}, parameters or None
        )

    def expect_error(self, code: str, message: str = "no", status: int = 400) -> None:
        """The next call of DetectLabels fails."""
        self.rekognition.add_client_error(
            "detect_labels", code, message, http_status_code=status, response_meta={"RequestId": "request-7"}
        )

    def message(self, body: Any, receive_count: int = 1, message_id: str = "") -> dict[str, Any]:
        """An SQS record."""
        return {
            "messageId": message_id or f"message-{next(self._ids)}",
            "attributes": {"ApproximateReceiveCount": str(receive_count)},
            "body": body if isinstance(body, str) else json.dumps(body),
        }

    def deliver(self, *records: dict[str, Any], milliseconds: int = 60_000) -> list[str]:
        """Invokes the handler; returns the ids of the messages that go back to the queue."""
        answer = self.module.handler({"Records": list(records)}, Context(milliseconds))
        assert set(answer) == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def row(self, key: str, version: str) -> dict[str, Any] | None:
        """A row of the results table, or None."""
        return self.item(f"{BUCKET}/{key}", version)

    def item(self, image: str, version: str) -> dict[str, Any] | None:
        """An item of the results table by its key, or None."""
        key = {"image": {"S": image}, "version": {"S": version}}
        found = self.dynamodb.get_item(TableName=RESULTS, Key=key, ConsistentRead=True).get("Item")
        return found and _values(found)

    def rows(self) -> list[dict[str, Any]]:
        """The whole results table."""
        return [_values(item) for item in self.dynamodb.scan(TableName=RESULTS)["Items"]]

    def locks(self) -> list[dict[str, Any]]:
        """The whole idempotency table."""
        return [_values(item) for item in self.dynamodb.scan(TableName=IDEMPOTENCY)["Items"]]

    def labels_left(self) -> int:
        """How many of the expected calls of DetectLabels were not made."""
        return len(self.rekognition._queue)  # type: ignore[attr-defined]


def _values(item: dict[str, Any]) -> dict[str, Any]:
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


def delivered(key: str, version: str, sequencer: str = "0A") -> dict[str, Any]:
    """The event that EventBridge delivers."""
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-23T12:00:00Z",
        "detail": {
            "bucket": {"name": BUCKET},
            "object": {"key": key, "size": 5, "version-id": version, "sequencer": sequencer},
            "reason": "PutObject",
        },
    }


def notified(key: str, version: str, sequencer: str = "0A") -> dict[str, Any]:
    """The message that S3 sends to a queue itself."""
    described = {"key": urllib.parse.quote_plus(key, safe="/"), "versionId": version, "sequencer": sequencer}
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-23T12:00:00.000Z",
        "s3": {"bucket": {"name": BUCKET}, "object": described},
    }
    return {"Records": [record]}


@pytest.fixture(scope="session")
def module() -> types.ModuleType:
    """The handler's module, imported once, as a worker does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("RESULTS_TABLE", RESULTS)
        patch.setenv("IDEMPOTENCY_TABLE", IDEMPOTENCY)
        patch.setenv("MINIMUM_CONFIDENCE", "70")
        patch.setenv("MAXIMUM_LABELS", "20")
        patch.setenv("UPLOAD_PREFIX", "uploads/")
        import lambdas.image_labeling.label_image.handler as imported
    return imported


@pytest.fixture
def function(module: types.ModuleType) -> Iterator[Function]:
    """The function beside an empty, versioned bucket and two empty tables."""
    with mock_aws():
        module.deadline.follow(Context())
        dynamodb, s3 = module.clients["dynamodb"], module.clients["s3"]
        for name, keys in ((RESULTS, ("image", "version")), (IDEMPOTENCY, ("id",))):
            make_table(dynamodb, name, *keys)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        with Stubber(module.clients["rekognition"]) as rekognition:
            yield Function(module, rekognition)


DOCUMENT_VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "BUCKET": "documents",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:documents",
    "JOBS_TABLE": "jobs",
    "REVIEWS_TABLE": "reviews",
    "RESULTS_TABLE": "results",
    "COMPLETION_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:completions",
    "NOTIFIER_ROLE_ARN": "arn:aws:iam::123456789012:role/notifier",
    "REVIEW_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:reviews",
    "REVIEW_BASE_URL": "https://reviews.example/",
    "REVIEW_DEADLINE_SECONDS": "3600",
    "LINK_SECRET_ARN": "link-secret",
}


@pytest.fixture(scope="session")
def document_handler() -> Callable[[str], types.ModuleType]:
    """Gives a handler's module of document-processing by its folder, imported once, as a worker does."""

    def load(name: str) -> types.ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in DOCUMENT_VARIABLES.items():
                patch.setenv(variable, value)
            return importlib.import_module(f"lambdas.document_processing.{name}.handler")

    return load


@pytest.fixture
def document_log(
    document_handler: Callable[[str], types.ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], io.StringIO]:
    """Gives what a handler of document-processing logs from now on."""

    def follow(name: str) -> io.StringIO:
        written = io.StringIO()
        monkeypatch.setattr(document_handler(name).logger.registered_handler, "stream", written)
        return written

    return follow


def make_table(dynamodb: Any, name: str, *keys: str) -> None:
    """An empty table with one or two keys of text."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
    )
