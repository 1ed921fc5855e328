"""Makes the calls by which the network is proved, and answers what became of each.

The same code with the same grants runs in two functions, one in the network and one outside: what differs between
their answers is what the network does.
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.private_network.probe.calls import attempt, planned
from lambdas.shared.clients import make_clients

# Where no way leads, each attempt waits for the whole of its time: one, and a short one.
ONCE = (10, 1)

logger = Logger()
clients = make_clients({"comprehend": ONCE, "dynamodb": ONCE, "s3": ONCE, "translate": ONCE})
places = {
    "bucket": os.environ["BUCKET"],
    "table": os.environ["TABLE"],
    "foreign_bucket": os.environ.get("FOREIGN_BUCKET", ""),
}


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, dict[str, str]]:
    """Takes `{"letter": text, "calls": [ids]}`, without ids for all calls; returns `{id: {outcome, code, message}}`.

    Raises KeyError without a letter, or for an id that is not planned. The log tells nothing of the letter.
    """
    calls = planned(event["letter"], **places)
    wanted = {name: calls[name] for name in event.get("calls", list(calls))}
    answers = {name: attempt(clients[call.service], call) for name, call in wanted.items()}
    for name, answer in answers.items():
        logger.info("called", extra={"call": name, "outcome": answer["outcome"], "code": answer["code"]})
    return answers
