"""How a function answers CloudFormation, which asks it to create, update or delete a custom resource."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger()

# Left for the answer to CloudFormation: without one the stack hangs until the custom resource's own time-out.
SECONDS_TO_ANSWER = 30.0


def answer(event: dict[str, Any], physical_id: str, work: Callable[[], Mapping[str, str] | None]) -> None:
    """Does the work and puts the answer to the request's `ResponseURL`; what it raises is the reason of a failure.

    What the work returns are the resource's attributes (`Fn::GetAtt`).

    Request and answer: AWS CloudFormation User Guide, "Custom resource request types" and "Custom resource response
    objects", read 2026-11-23. A delete answers with the id that it is asked about: after a creation without an answer
    CloudFormation made one up itself.
    """
    told: dict[str, Any] = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    deleting = event["RequestType"] == "Delete"
    told |= {"PhysicalResourceId": event.get("PhysicalResourceId", physical_id) if deleting else physical_id}
    try:
        told |= {"Data": dict(work() or {}), "Status": "SUCCESS"}
    except Exception as error:  # whatever happened, CloudFormation must hear of it
        logger.exception("The custom resource is not as it should be")
        told |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:500]}
    request = urllib.request.Request(  # noqa: S310 (the address comes from CloudFormation)
        event["ResponseURL"], data=json.dumps(told).encode(), method="PUT", headers={"content-type": ""}
    )
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 (the same)
        logger.info("CloudFormation took the answer with status %s", response.status)
