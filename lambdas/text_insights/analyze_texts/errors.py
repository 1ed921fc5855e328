"""Results that are no insights, and what an error says of itself."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Refusal:
    """The text can never be analysed: a result to record, not a failure to retry.

    `code` is for programs, `message` for people; it quotes nothing of the text. `language` is what was found before.
    """

    code: str
    message: str
    language: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Failure:
    """Something that may be better next time: the message goes back, and this is kept as its reason."""

    code: str
    message: str
    request_id: str = ""


def failure_of(error: BaseException) -> Failure:
    """What is kept of an error."""
    return Failure(error_code(error), error_message(error), request_id(error))


def error_code(error: BaseException) -> str:
    """The AWS error code of an error, else the name of its class without its ending."""
    code = _response(error).get("Error", {}).get("Code")
    return str(code or type(error).__name__.removesuffix("Error").removesuffix("Exception"))


def error_message(error: BaseException) -> str:
    """The AWS message of an error, else its text; at most 1,000 characters, for it is stored.

    A ValidationException quotes the value that broke the rule, which may be the text: its message is not kept.
    """
    if error_code(error) in ("ValidationException", "ParamValidation"):
        return "The request was not valid. Its message is not kept, for it may quote the text."
    return str(_response(error).get("Error", {}).get("Message") or error)[:1000]


def request_id(error: BaseException) -> str:
    """The AWS request id of an error, or nothing when no service answered."""
    return str(_response(error).get("ResponseMetadata", {}).get("RequestId") or "")


def _response(error: BaseException) -> dict[str, Any]:
    return getattr(error, "response", None) or {}
