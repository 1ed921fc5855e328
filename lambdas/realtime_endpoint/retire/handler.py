"""Takes the endpoint away: for good when its stack is deleted, for the night when a schedule says so.

CloudFormation calls it for `Custom::RetiredEndpoint`, and only a deletion does anything. A schedule calls it with
`{"stop": true}`, and gets `{"outcome": "stopped"}`. The endpoint is no resource of the stack, as an approval makes it
and not a deployment of the stack; so CloudFormation cannot delete it.

**Settings** (environment variables): `ENDPOINT_NAME`, `VARIANT_NAME`, `STATE_MACHINE_ARN` (of the deployments).
"""

from __future__ import annotations

import logging
import os
from typing import Any

from lambdas.realtime_endpoint.retire.endpoint import remove, stop_deployments
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.custom_resource import SECONDS_TO_ANSWER, answer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

ENDPOINT = os.environ["ENDPOINT_NAME"]
VARIANT = os.environ["VARIANT_NAME"]
MACHINE = os.environ["STATE_MACHINE_ARN"]

clients = make_clients({"sagemaker": QUICK, "application-autoscaling": QUICK, "stepfunctions": QUICK})


def handler(event: dict[str, Any], context: Any) -> dict[str, str] | None:
    """Takes a request of CloudFormation, which it answers by a PUT, or one of a schedule. See above."""

    def retire() -> None:
        stopped = stop_deployments(clients["stepfunctions"], MACHINE)
        logger.info("Stopped %s deployments", stopped)
        remove(
            clients["sagemaker"],
            clients["application-autoscaling"],
            ENDPOINT,
            VARIANT,
            lambda: context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER,
        )

    if event.get("stop"):
        retire()
        return {"outcome": "stopped"}
    answer(event, f"{ENDPOINT}-retired", retire if event["RequestType"] == "Delete" else lambda: None)
    return None
