"""Results that are no labels, and what an error says of itself."""

from __future__ import annotations

from typing import Any


class RefusedError(Exception):
    """The image can never be labeled: a result to record, not a failure to retry.

    `code` is for programs, `message` for people; it says nothing of what the picture shows.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def error_code(error: BaseException) -> str:
    """The AWS error code of an error, else the name of its class without its ending."""
    code = _response(error).get("Error", {}).get("Code")
    return str(code or type(error).__name__.removesuffix("Error").removesuffix("Exception"))


def error_message(error: BaseException) -> str:
    """The AWS message of an error, else its text; at most 1,000 characters, for it is stored."""
    return str(_response(error).get("Error", {}).get("Message") or error)[:1000]


def request_id(error: BaseException) -> str:
    """The AWS request id of an error, or nothing when no service answered."""
    return str(_response(error).get("ResponseMetadata", {}).get("RequestId") or "")


def _response(error: BaseException) -> dict[str, Any]:
    return getattr(error, "response", None) or {}
