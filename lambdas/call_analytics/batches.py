"""The messages of a queue, handled one by one, so that a failed one goes back alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.shared.failures import error_code


class UnreadableMessageError(Exception):
    """The message is not what the queue is for. `str()` names what is missing and quotes nothing of the message."""


def handle_each(event: dict[str, Any], handle: Callable[[str], dict[str, str]], logger: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again: {"batchItemFailures": [{"itemIdentifier": id}]}.

    `handle` gets a message's body and returns what may be logged of its outcome.
    """
    failed = []
    for record in event["Records"]:
        told = {
            "message_id": record["messageId"],
            "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
        }
        try:
            outcome = handle(record["body"])
        except UnreadableMessageError as error:
            logger.warning("unreadable message", extra={**told, "reason": str(error)})
        except (ClientError, BotoCoreError) as error:
            logger.warning("not handled", extra={**told, "reason": error_code(error)})
        else:
            logger.info("handled", extra={**told, **outcome})
            continue
        failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def text_at(event: Any, *path: str) -> str:
    """A non-empty string at this path of an event. Raises UnreadableMessageError."""
    found = event
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise UnreadableMessageError(f"The event has no {path[-1]}.")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UnreadableMessageError(f"The {path[-1]} is no valid Unicode.") from None
    return found
