"""How a function fails: under a name that the state machine can choose by, and without a word of what it read.

Step Functions knows a failed Lambda task by the class of what was raised, and keeps its message in the history. So what
AWS answered is raised again under AWS's own code, and the message says which operation failed in which request, and
nothing of what was read.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

Handler = TypeVar("Handler", bound=Callable[..., Any])


def error_code(error: BaseException) -> str:
    """The AWS error code of an error, else the name of its class."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


class NamedError(Exception):
    """An error whose class bears the name that the state machine sees. Its message says nothing of what was read."""


def named(code: str, message: str) -> NamedError:
    """An error whose class is called `code`."""
    made: type[NamedError] = type(code, (NamedError,), {})
    return made(message)


def told_by_name(handler: Handler) -> Handler:
    """Has a handler raise nothing but named errors whose messages are safe to keep."""

    @functools.wraps(handler)
    def wrapped(event: Any, context: Any) -> Any:
        try:
            return handler(event, context)
        except NamedError:
            raise
        except ClientError as error:
            request = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
            message = f"{error.operation_name} failed in request {request}."
            raise named(error_code(error), message) from None
        except BotoCoreError as error:
            raise named(type(error).__name__, "A service was not reached, or did not answer in time.") from None
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing of its text may leave)
            # Its text may quote what was read; where it happened does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
            raise named(type(error).__name__, f"The function failed at {where}.") from None

    return wrapped  # type: ignore[return-value]
