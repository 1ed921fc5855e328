"""A real boto3 client in front of a stand-in service, without a socket between them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from PIL import Image

from local.services.rekognition import Rekognition
from local.services.wire import JsonService, ObjectUnavailable, ServiceError

RetryMode = Literal["legacy", "standard", "adaptive"]

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"


@dataclass
class FakeCaller:
    """A caller who may do everything with the objects given here, by (bucket, key, version), and what it did.

    `reads` are the objects that were read, `written` holds content type and key of what was written, `published` are
    (topic, subject, message), `emitted` (source, detail type, detail, resources), `assumed` (role, service principal).
    """

    objects: MutableMapping[tuple[str, str, str | None], bytes | ObjectUnavailable] = field(default_factory=dict)
    reads: list[tuple[str, str, str | None]] = field(default_factory=list)
    principal_arn: str = "arn:aws:sts::000000000000:assumed-role/worker/session"
    account: str = "000000000000"
    region: str = "us-east-1"
    written: dict[tuple[str, str], tuple[str, str | None]] = field(default_factory=dict)
    published: list[tuple[str, str | None, str]] = field(default_factory=list)
    emitted: list[tuple[str, str, Mapping[str, Any], Sequence[str]]] = field(default_factory=list)
    assumed: list[tuple[str, str]] = field(default_factory=list)

    def read_object(self, bucket: str, key: str, version: str | None) -> bytes:
        self.reads.append((bucket, key, version))
        found = self.objects.get((bucket, key, version), ObjectUnavailable("NoSuchKey", "No such key."))
        if isinstance(found, ObjectUnavailable):
            raise found
        return found

    def list_objects(self, bucket: str, prefix: str) -> list[str]:
        return sorted({key for home, key, _ in self.objects if home == bucket and key.startswith(prefix)})

    def write_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        kms_key_id: str | None = None,
    ) -> None:
        self.objects[bucket, key, None] = body
        self.written[bucket, key] = content_type, kms_key_id

    def publish(self, topic_arn: str, message: str, *, subject: str | None = None) -> None:
        self.published.append((topic_arn, subject, message))

    def assume(self, role_arn: str, service_principal: str, *, passed: bool = False) -> FakeCaller:
        self.assumed.append((role_arn, service_principal))
        return self

    def placed(self, subnets: Sequence[str], security_groups: Sequence[str]) -> FakeCaller:
        return self

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        self.emitted.append((source, detail_type, detail, resources))

    def require(self, action: str, resource_arn: str, context: Mapping[str, Any] | None = None) -> None:
        pass

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        raise ServiceError("AccessDeniedException", f"Nothing is behind {service}:{operation} {arguments} here.")

    def environment(self) -> dict[str, str]:
        return {}


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def client_of(
    service: JsonService, caller: FakeCaller, retry_mode: Literal["legacy", "standard", "adaptive"] = "standard"
) -> tuple[Any, list[str]]:
    """A boto3 client whose requests `service` answers, and the list of operations that reached it, one an attempt."""
    attempts: list[str] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers: Any = request.headers
        body: Any = request.body
        target: str = headers["X-Amz-Target"].decode()
        operation = target.removeprefix(f"{service.target_prefix}.")
        attempts.append(operation)
        status, answered, content = service.handle(operation, bytes(body), caller)
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(answered), _Body(content))

    make: Any = boto3.client
    client = make(
        service.name,
        region_name=caller.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        endpoint_url="https://localhost:1",
        config=Config(retries={"mode": retry_mode, "total_max_attempts": 4}),
    )
    client.meta.events.register(f"before-send.{service.name}", answer)
    return client, attempts


def rekognition(caller: FakeCaller | None = None) -> Any:
    """A boto3 client of the Rekognition stand-in."""
    return client_of(Rekognition(), caller or FakeCaller())[0]


def photo(name: str) -> Image.Image:
    """A sample photo, decoded."""
    return Image.open(PHOTOS / name).convert("RGB")


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The picture's file, by default a good JPEG."""
    if kind == "JPEG":
        options = {"quality": 92, **options}
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
