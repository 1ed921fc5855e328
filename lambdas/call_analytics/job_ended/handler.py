"""Hears that a job of Transcribe or Translate has ended, and lets the state that waits for it go on.

The other half is `await_job`; how the two meet is said in `waiting`. The jobs of Translate are not told by name in
their events, so those of other programs in the account come here too: each leaves a row that expires.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.call_analytics.batches import UnreadableMessageError, handle_each, text_at
from lambdas.call_analytics.waiting import Waits
from lambdas.shared.clients import QUICK, make_clients

# detail-type: members of the detail that name the job and its status. (Amazon Transcribe Developer Guide, "Using Amazon
# EventBridge with Amazon Transcribe"; Amazon Translate Developer Guide, "Monitoring Amazon Translate with Amazon
# EventBridge"; both read 2026-11-25.)
MEMBERS = {
    "Transcribe Job State Change": ("TranscriptionJobName", "TranscriptionJobStatus"),
    "Translate TextTranslationJob State Change": ("jobId", "jobStatus"),
}

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "stepfunctions": QUICK})
waits = Waits(clients["dynamodb"], clients["stepfunctions"], os.environ["JOBS_TABLE"])


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again."""
    return handle_each(event, _handle, logger)


def _handle(body: str) -> dict[str, str]:
    job, status = ended(body)
    return {"outcome": waits.note_end(job, status), "job": job, "job_status": status}


def ended(body: str) -> tuple[str, str]:
    """Name (or id) and status of the job that an event of EventBridge tells of. Raises UnreadableMessageError."""
    try:
        event = json.loads(body)
    except ValueError:
        raise UnreadableMessageError("The message is no JSON.") from None
    members = MEMBERS.get(str(event.get("detail-type"))) if isinstance(event, dict) else None
    if members is None:
        raise UnreadableMessageError("The message is no event of a job.")
    job, status = (text_at(event, "detail", member) for member in members)
    return job, status
