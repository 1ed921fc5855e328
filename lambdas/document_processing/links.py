"""Links to a review: signed, bound to one review, and of use until a moment that stands in them.

A link is `<payload>.<signature>`, both base64url. The payload is `<review>.<end, seconds since 1970>.<key id>`, the
signature its HMAC-SHA-256. The key is the content of a secret, its id that secret's version: a rotated secret signs
with the new version, and links signed with the one before it hold as long as Secrets Manager keeps that.

A link is not used up by looking at it: mail scanners follow links. It is used up by an answer, which the review itself
remembers.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lambdas.shared.failures import error_code

# How long the newest version of the secret is taken to be the newest.
FRESH_SECONDS = 300

_PAYLOAD = re.compile(r"([0-9a-f]{40})\.([0-9]{1,12})\.([A-Za-z0-9-]{1,64})")
_MAXIMUM_CHARACTERS = 512


class BadLinkError(Exception):
    """The link was not signed here, was changed, or its key is gone."""


class ExpiredLinkError(Exception):
    """The link was good once."""


@dataclasses.dataclass(frozen=True)
class Key:
    """`id` is the secret's version."""

    id: str
    secret: bytes


class Keys:
    """The versions of a secret, each read once a worker."""

    def __init__(self, client: Any, secret_arn: str) -> None:
        self._client = client
        self._arn = secret_arn
        self._known: dict[str, Key] = {}
        self._newest: tuple[float, Key] | None = None

    def newest(self) -> Key:
        """The key to sign with. Raises ClientError."""
        if self._newest is None or time.monotonic() - self._newest[0] > FRESH_SECONDS:
            self._newest = time.monotonic(), self._read()
        return self._newest[1]

    def of(self, version: str) -> Key | None:
        """The key of a version, or None when there is none (any more). Raises ClientError for what else goes wrong."""
        if version not in self._known:
            try:
                self._read(VersionId=version)
            except ClientError as error:
                if error_code(error) in (
                    "ResourceNotFoundException",
                    "InvalidParameterException",
                    "ValidationException",
                ):
                    return None
                raise
        return self._known.get(version)

    def _read(self, **wanted: str) -> Key:
        answer = self._client.get_secret_value(SecretId=self._arn, **wanted)
        key = Key(answer["VersionId"], answer["SecretString"].encode())
        self._known[key.id] = key
        return key


def sign(review: str, ends: int, key: Key) -> str:
    """The link to a review (40 hexadecimal characters) that is of use until `ends`, in seconds since 1970."""
    payload = f"{review}.{ends}.{key.id}".encode()
    return f"{_encoded(payload)}.{_encoded(_signature(payload, key))}"


def verify(link: str, key_of: Callable[[str], Key | None], now: float) -> str:
    """The review that a link leads to. Raises BadLinkError, ExpiredLinkError."""
    if len(link) > _MAXIMUM_CHARACTERS:
        raise BadLinkError
    payload_part, _, signature_part = link.partition(".")
    payload, signature = _decoded(payload_part), _decoded(signature_part)
    parts = _PAYLOAD.fullmatch(payload.decode("ascii", "replace"))
    if not parts:
        raise BadLinkError
    review, ends, key_id = parts.groups()
    key = key_of(key_id)
    if key is None or not hmac.compare_digest(signature, _signature(payload, key)):
        raise BadLinkError
    # Base64 has several spellings of one value. One link is one string.
    if link != f"{_encoded(payload)}.{_encoded(signature)}":
        raise BadLinkError
    if now >= int(ends):
        raise ExpiredLinkError
    return review


def _signature(payload: bytes, key: Key) -> bytes:
    return hmac.new(key.secret, payload, hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadLinkError from None
