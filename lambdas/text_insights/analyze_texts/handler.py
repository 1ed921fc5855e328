"""Entry point of the function: takes a batch of messages and has all their texts analysed together.

A message is done when its text has a result: insights, or the reason why it can never have any. Otherwise the message
alone goes back to the queue and its reason is kept (see `results`); after the queue's last attempt it is a dead
letter.

The log names no text id, for ids are often personal, and nothing of a text or of what was found in it. A message is
known there by its id in SQS, a failure by its code and request id; the table has the rest.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.shared.deadline import Deadline
from lambdas.text_insights.analyze_texts.aws import make_clients
from lambdas.text_insights.analyze_texts.errors import Failure, error_code, failure_of, request_id
from lambdas.text_insights.analyze_texts.insights import Analyst, Outcome, Wanted
from lambdas.text_insights.analyze_texts.messages import Text, UnreadableMessageError, read
from lambdas.text_insights.analyze_texts.results import ResultStore

logger = Logger()
deadline = Deadline()
clients = make_clients(deadline)
store = ResultStore(clients["dynamodb"], os.environ["RESULTS_TABLE"])
analyst = Analyst(
    clients["comprehend"],
    Wanted(
        languages=tuple(os.environ["LANGUAGES"].split(",")),
        personal_data=os.environ["PERSONAL_DATA"],
        most_findings=int(os.environ["MOST_FINDINGS"]),
    ),
)


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One message: its text, when it was sent (ISO 8601), and what tells this attempt from others."""

    text: Text
    sent_at: str
    attempt: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """What the log may say of it."""
        return _told(self.attempt)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again: {"batchItemFailures": [{"itemIdentifier": id}]}."""
    deadline.follow(context)
    failed: list[str] = []
    deliveries: list[Delivery] = []
    for record in event["Records"]:
        delivery = _opened(record, context.aws_request_id)
        if delivery is None:
            failed.append(record["messageId"])
        else:
            deliveries.append(delivery)
    failed += [one.attempt["message_id"] for one in _unsettled(deliveries)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _opened(record: dict[str, Any], invocation_id: str) -> Delivery | None:
    """The message, or nothing where it cannot be read."""
    attempt = {
        "message_id": record["messageId"],
        "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
        "invocation_id": invocation_id,
    }
    try:
        text = read(record["body"])
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra=_told(attempt))
        _keep_reason(store.note_unreadable, str(error), attempt)
        return None
    sent = datetime.datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, datetime.timezone.utc)
    return Delivery(text, sent.isoformat(timespec="milliseconds"), attempt)


def _unsettled(deliveries: list[Delivery]) -> list[Delivery]:
    """Analyses what has no result yet, and keeps what came of it. Returns the messages that must come again."""
    claimed: dict[Text, list[Delivery]] = {}
    unsettled: list[Delivery] = []
    for one in deliveries:
        # Two messages of one text are one analysis.
        if one.text in claimed or _claimed(one, unsettled):
            claimed.setdefault(one.text, []).append(one)
    try:
        outcomes = analyst.analyse(claimed)
    except Exception as error:  # noqa: BLE001 (whatever it is, these messages fail, each with the reason)
        outcomes = dict.fromkeys(claimed, failure_of(error))
    for text, of_the_text in claimed.items():
        unsettled += [one for one in of_the_text if not _settled(one, outcomes[text])]
    return unsettled


def _claimed(one: Delivery, unsettled: list[Delivery]) -> bool:
    """Whether the text is now this worker's to analyse. A message that must come again is added to `unsettled`."""
    try:
        claim = store.claim(one.text, one.attempt, deadline.milliseconds())
    except Exception as error:  # noqa: BLE001 (whatever it is, this message fails, the others do not)
        _settled(one, failure_of(error))
        unsettled.append(one)
        return False
    if claim == "busy":
        # Another worker has it. That one knows the reason, if it fails.
        logger.info("in progress elsewhere", extra=one.told)
        unsettled.append(one)
    elif claim == "done":
        logger.info("done before", extra=one.told)
    return claim == "claimed"


def _settled(delivery: Delivery, outcome: Outcome) -> bool:
    """Whether the message is done."""
    if not isinstance(outcome, Failure):
        try:
            status = store.keep(delivery.text, outcome, delivery.sent_at)
        except Exception as error:  # noqa: BLE001 (whatever it is, this message fails, the others do not)
            outcome = failure_of(error)
        else:
            logger.info("done", extra={**delivery.told, "status": status})
            return True
    logger.warning("not analysed", extra={**delivery.told, "code": outcome.code, "request_id": outcome.request_id})
    _keep_reason(store.note_failure, delivery.text, outcome, delivery.attempt)
    return False


def _told(attempt: dict[str, Any]) -> dict[str, Any]:
    return {"message_id": attempt["message_id"], "receive_count": attempt["receive_count"]}


def _keep_reason(write: Callable[..., None], *arguments: Any) -> None:
    try:
        write(*arguments)
    except Exception as error:  # noqa: BLE001 (the message is delivered again all the same)
        logger.warning("reason not kept", extra={"code": error_code(error), "request_id": request_id(error)})
