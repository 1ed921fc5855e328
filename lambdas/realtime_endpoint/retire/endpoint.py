"""Takes away what deployments made outside of CloudFormation: an endpoint, its configurations and models."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

logger = logging.getLogger()

# Nothing can be done to an endpoint in one of these states (Amazon SageMaker API Reference, "DescribeEndpoint",
# EndpointStatus, read 2026-11-27).
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
SECONDS_BETWEEN_LOOKS = 2.0
SCALABLE = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


class StillBusyError(Exception):
    """The endpoint is being changed and cannot be deleted yet."""


def stop_deployments(states: Any, machine: str) -> int:
    """Stops the executions that run, so that none makes the endpoint anew; returns how many."""
    running = [
        execution["executionArn"]
        for page in states.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in page["executions"]
    ]
    for execution in running:
        states.stop_execution(executionArn=execution, error="Retired", cause="The endpoint is taken away.")
    return len(running)


def remove(sagemaker: Any, scaling: Any, endpoint: str, variant: str, time_is_up: Callable[[], bool]) -> None:
    """Ends the scaling, then the endpoint, then all that it was made of. What is gone already is no error.

    Raises StillBusyError when the endpoint is still being changed as time is up (once more goes on), and ClientError.
    """
    _deregister(scaling, endpoint, variant)
    _delete_endpoint(sagemaker, endpoint, time_is_up)
    made_by_deployments = re.compile(rf"{re.escape(endpoint)}-v\d+-[0-9a-f]{{8}}")
    for listing, names, name, delete in (
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", sagemaker.delete_endpoint_config),
        ("list_models", "Models", "ModelName", sagemaker.delete_model),
    ):
        found = list(_listed(sagemaker, listing, names, name, endpoint))
        for each in filter(made_by_deployments.fullmatch, found):
            delete(**{name: each})
            logger.info("Deleted %s", each)


def _deregister(scaling: Any, endpoint: str, variant: str) -> None:
    try:
        scaling.deregister_scalable_target(ResourceId=f"endpoint/{endpoint}/variant/{variant}", **SCALABLE)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ObjectNotFoundException":
            raise


def _delete_endpoint(sagemaker: Any, endpoint: str, time_is_up: Callable[[], bool]) -> None:
    while (status := _status(sagemaker, endpoint)) is not None:
        if status not in BUSY:
            try:
                sagemaker.delete_endpoint(EndpointName=endpoint)
            except ClientError as error:
                # A deployment that was stopped may have had a request on its way, which has reached it since.
                if error.response["Error"]["Code"] != "ValidationException":
                    raise
                status = f"{status}, and then: {error.response['Error']['Message']}"
        if time_is_up():
            raise StillBusyError(f"The endpoint {endpoint} is {status}: do it once more to go on")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _status(sagemaker: Any, endpoint: str) -> str | None:
    try:
        return str(sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])
    except ClientError as error:
        # SageMaker has no error of its own for an endpoint that is not there.
        if error.response["Error"]["Code"] == "ValidationException" and "Could not find" in str(error):
            return None
        raise


def _listed(sagemaker: Any, listing: str, names: str, name: str, endpoint: str) -> Iterator[str]:
    for page in sagemaker.get_paginator(listing).paginate(NameContains=f"{endpoint}-v"):
        yield from (each[name] for each in page[names])
