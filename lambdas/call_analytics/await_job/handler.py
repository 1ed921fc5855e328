"""Keeps the token of a state that waits for a job. See `waiting`."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.call_analytics.waiting import Waits
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import told_by_name

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "stepfunctions": QUICK})
waits = Waits(clients["dynamodb"], clients["stepfunctions"], os.environ["JOBS_TABLE"])


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, str], context: Any) -> None:
    """Takes {"job": name or id, "token": ...}; the token is answered when the job's end is known too."""
    outcome = waits.keep_token(event["job"], event["token"])
    logger.info("token kept", extra={"job": event["job"], "outcome": outcome})
