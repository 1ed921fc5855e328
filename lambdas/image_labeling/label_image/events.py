"""What a queue message says: which object versions were created.

Two shapes arrive in an SQS body, and their keys differ:

- EventBridge, "Object Created": the key is the object's key, unencoded (Amazon S3 User Guide, "EventBridge event
  message structure", read 2026-11-23, shows it raw and names no encoding; emulators that are checked against AWS pass
  it raw). Decoding it would turn a `+` into a space and a `%41` into an `A`.
- a direct S3 notification: the key is form-encoded, a space is `+` (Amazon S3 User Guide, "Event message structure",
  read 2026-11-23: "The object key name value is URL encoded").
"""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from typing import Any


class UnreadableMessageError(Exception):
    """The message is no S3 event. `str()` names what is missing and quotes nothing of the message."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """One created object version. `sequencer` is the hexadecimal string of the event, `event_time` ISO 8601."""

    bucket: str
    key: str
    version: str
    sequencer: str
    event_time: str

    @property
    def image(self) -> str:
        """The partition key of the results table."""
        return f"{self.bucket}/{self.key}"

    @property
    def identity(self) -> dict[str, str]:
        """What makes two events the same upload."""
        return {"bucket": self.bucket, "key": self.key, "version": self.version}


def uploads(body: str) -> list[Upload]:
    """The uploads that an SQS body announces; none for S3's test message and for events that create nothing.

    Raises UnreadableMessageError.
    """
    message = _json_object(body)
    if "Records" in message:
        records = _expect(message, "Records", list)
        return [_notified(record) for record in records if _field(record, "eventName").startswith("ObjectCreated:")]
    if message.get("Event") == "s3:TestEvent":
        return []
    if message.get("source") != "aws.s3":
        raise UnreadableMessageError("The message is no S3 event: neither Records nor source aws.s3.")
    return [_delivered(message)] if message.get("detail-type") == "Object Created" else []


def comparable_sequencer(sequencer: str) -> str:
    """A sequencer in a form that compares as a string.

    Sequencers of one key are ordered hexadecimal strings: the shorter one is padded with zeros on the right, then they
    compare as strings (Amazon S3 User Guide, "Event message structure", read 2026-11-23). They have 16 to 18 digits
    today; longer ones than 64 still compare.
    """
    return sequencer.upper().ljust(64, "0")


def _delivered(event: dict[str, Any]) -> Upload:
    detail = _expect(event, "detail", dict)
    described = _expect(detail, "object", dict)
    return _upload(
        bucket=_field(_expect(detail, "bucket", dict), "name"),
        key=_field(described, "key"),
        version=described.get("version-id"),
        sequencer=described.get("sequencer"),
        event_time=event.get("time"),
    )


def _notified(record: dict[str, Any]) -> Upload:
    s3 = _expect(record, "s3", dict)
    described = _expect(s3, "object", dict)
    try:
        key = urllib.parse.unquote_plus(_field(described, "key"), errors="strict")
    except UnicodeDecodeError:
        raise UnreadableMessageError("The object key is not encoded UTF-8.") from None
    return _upload(
        bucket=_field(_expect(s3, "bucket", dict), "name"),
        key=key,
        version=described.get("versionId"),
        sequencer=described.get("sequencer"),
        event_time=record.get("eventTime"),
    )


def _upload(bucket: str, key: str, version: object, sequencer: object, event_time: object) -> Upload:
    if not isinstance(version, str) or not version:
        # Without it two uploads of one key could not be told apart, and the second would pass for a duplicate.
        raise UnreadableMessageError("The event names no object version: the bucket must be versioned.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise UnreadableMessageError("The object key is no valid Unicode.") from None
    return Upload(
        bucket=bucket,
        key=key,
        version=version,
        sequencer=sequencer if isinstance(sequencer, str) else "",
        event_time=event_time if isinstance(event_time, str) else "",
    )


def _json_object(body: str) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        raise UnreadableMessageError("The message is no JSON.") from None
    if not isinstance(message, dict):
        raise UnreadableMessageError("The message is no JSON object.")
    return message


def _expect(parent: object, name: str, kind: type[Any]) -> Any:
    found = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(found, kind) or not found:
        raise UnreadableMessageError(f"The event has no {name}.")
    return found


def _field(parent: object, name: str) -> str:
    return str(_expect(parent, name, str))
