"""What a queue message says: a text, its id, and perhaps its language.

    {"id": "review-17", "text": "The room was clean.", "language": "en"}

`language` is left out where it is to be found. The text itself is in the message: Comprehend's batch operations take
5,000 bytes a text, and an SQS message carries 1 MiB (Amazon SQS Developer Guide, "Amazon SQS message quotas", read
2026-11-25). A pointer to S3 would only bring along what cannot be analysed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

# DynamoDB takes 2,048 bytes for a partition key (Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB").
LONGEST_ID_BYTES = 1024
# Under such ids the table keeps why a message could not be read.
RESERVED = "message/"


class UnreadableMessageError(Exception):
    """The message holds no text. `str()` names what is missing and quotes nothing of the message."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A text by the id that its sender gave it; `language` is a code that the sender knows, or nothing."""

    id: str
    text: str = dataclasses.field(repr=False)
    language: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """What makes two messages of one id the same text: 32 hexadecimal digits over language and text."""
        return hashlib.sha256(f"{self.language}\0{self.text}".encode()).hexdigest()[:32]

    @functools.cached_property
    def size(self) -> int:
        """Bytes in UTF-8."""
        return len(self.text.encode())


def read(body: str) -> Text:
    """The text that an SQS body holds. Raises UnreadableMessageError."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableMessageError("The message is no JSON.") from None
    if not isinstance(message, dict):
        raise UnreadableMessageError("The message is no JSON object.")
    found = Text(_string(message, "id"), _string(message, "text"), _string(message, "language", ""))
    if not found.id or found.id.startswith(RESERVED):
        raise UnreadableMessageError(f"The id is empty, or begins with {RESERVED}")
    try:
        too_long = len(found.id.encode()) > LONGEST_ID_BYTES
        found.text.encode()
        found.language.encode()
    except UnicodeEncodeError:
        raise UnreadableMessageError("The message is no valid Unicode: it has half a surrogate pair.") from None
    if too_long:
        raise UnreadableMessageError(f"The id has more than {LONGEST_ID_BYTES} bytes.")
    return found


def _string(message: dict[str, Any], name: str, default: str | None = None) -> str:
    found = message.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise UnreadableMessageError(f"The message has no {name}, or it is no string.")
    return found
