"""What a queue message says: which object version was created, and where its sound is to go."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any, Literal

Kind = Literal["text", "ssml"]
ENDINGS: dict[str, Kind] = {".txt": "text", ".ssml": "ssml"}
_NAME_LETTERS = 40


class UnreadableMessageError(Exception):
    """The message is no S3 event. `str()` names what is missing and quotes nothing of the message."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """One created object version."""

    bucket: str
    key: str
    version: str

    @property
    def document(self) -> str:
        """The partition key of the results table."""
        return f"{self.bucket}/{self.key}"

    @property
    def kind(self) -> Kind | None:
        """What the object's name says it holds; None for another ending."""
        return next((kind for ending, kind in ENDINGS.items() if self.key.lower().endswith(ending)), None)

    def output(self, prefix: str) -> str:
        """Where the sound goes, without its ending: the same for the same version, another for every other.

        Of the name only letters, digits and hyphens remain: a task's key prefix takes no blanks and nothing outside
        ASCII (botocore's model of Polly, OutputS3KeyPrefix), and names are often personal.
        """
        name = self.key.rpartition("/")[2].rpartition(".")[0]
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_NAME_LETTERS] or "text"
        digest = hashlib.sha256("\0".join((self.bucket, self.key, self.version)).encode()).hexdigest()[:16]
        return f"{prefix}{plain}-{digest}"


def upload(body: str) -> Upload | None:
    """The upload that an EventBridge event in an SQS body announces; None for an event that creates nothing.

    The key is the object's key, unencoded (Amazon S3 User Guide, "EventBridge event message structure", read
    2026-11-23). Raises UnreadableMessageError.
    """
    try:
        event = json.loads(body)
    except ValueError:
        raise UnreadableMessageError("The message is no JSON.") from None
    if not isinstance(event, dict) or event.get("source") != "aws.s3":
        raise UnreadableMessageError("The message is no S3 event: its source is not aws.s3.")
    if event.get("detail-type") != "Object Created":
        return None
    detail = event.get("detail")
    return Upload(
        bucket=_field(detail, "bucket", "name"), key=_field(detail, "object", "key"), version=_version(detail)
    )


def _version(detail: Any) -> str:
    try:
        return _field(detail, "object", "version-id")
    except UnreadableMessageError:
        raise UnreadableMessageError("The event names no object version: the bucket must be versioned.") from None


def _field(parent: Any, *path: str) -> str:
    found = parent
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise UnreadableMessageError(f"The event has no {'.'.join(path)}.")
    return found
