"""How a function fails: under a name that the state machine can choose by, and without a word of what was said.

Step Functions names a failed Lambda task after the class of what was raised, and keeps its message in the history. So
what AWS answered is raised again under AWS's own code, and the message tells the operation and the request, and nothing
of the call.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

Handler = TypeVar("Handler", bound=Callable[..., Any])


class KnownError(Exception):
    """A failure of our own. `code` becomes its name for the state machine; `message` says nothing of the call."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def error_code(error: BaseException) -> str:
    """The AWS error code of an error, else the name of its class."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def told_by_name(handler: Handler) -> Handler:
    """Has a handler raise nothing but named errors whose messages are safe to keep."""

    @functools.wraps(handler)
    def wrapped(event: Any, context: Any) -> Any:
        try:
            return handler(event, context)
        except KnownError as error:
            raise _named(error.code, error.message) from None
        except ClientError as error:
            request = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
            raise _named(error_code(error), f"{error.operation_name} failed in request {request}.") from None
        except BotoCoreError as error:
            raise _named(type(error).__name__, "A service was not reached, or did not answer in time.") from None
        except Exception as error:  # noqa: BLE001 (raised again, by its name)
            # Its text may quote what was said; where it happened does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
            raise _named(type(error).__name__, f"The function failed at {where}.") from None

    return wrapped  # type: ignore[return-value]


def _named(code: str, message: str) -> Exception:
    named: type[Exception] = type(code, (Exception,), {})
    return named(message)
