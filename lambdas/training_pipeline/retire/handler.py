"""Ends what a pipeline has running, and deletes what it has registered, when its stack is deleted.

CloudFormation calls it for `Custom::RetiredPipeline`, and only a deletion does anything. SageMaker deletes no pipeline
that runs and no group that has packages (SageMaker API Reference, "DeletePipeline", "DeleteModelPackageGroup", read
2026-11-27), and neither is a resource of the stack.

Properties: `PipelineName`, `ModelPackageGroupName`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.custom_resource import SECONDS_TO_ANSWER, answer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

SECONDS_BETWEEN_LOOKS = 2.0
RUNNING = ("Executing", "Stopping")

clients = make_clients({"sagemaker": QUICK})


class StillRunningError(Exception):
    """An execution was asked to stop and has not."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason."""
    properties = event["ResourceProperties"]
    pipeline, group = properties["PipelineName"], properties["ModelPackageGroupName"]

    def retire() -> None:
        sagemaker = clients["sagemaker"]
        stop(sagemaker, pipeline, lambda: context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER)
        logger.info("Deleted %s model packages", delete_packages(sagemaker, group))

    answer(event, f"{pipeline}-retired", retire if event["RequestType"] == "Delete" else lambda: None)


def stop(sagemaker: Any, pipeline: str, time_is_up: Callable[[], bool]) -> None:
    """Stops all executions and waits for their end. Raises StillRunningError when time is up before, and ClientError.

    A pipeline that is gone has none.
    """
    asked: set[str] = set()
    while running := _running(sagemaker, pipeline):
        for execution in running - asked:
            sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=_token(execution))
            logger.info("Stopped %s", execution)
        asked |= running
        if time_is_up():
            raise StillRunningError(f"{len(running)} executions still run: delete the stack once more to go on")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _running(sagemaker: Any, pipeline: str) -> set[str]:
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=pipeline)
    try:
        return {
            execution["PipelineExecutionArn"]
            for page in pages
            for execution in page["PipelineExecutionSummaries"]
            if execution["PipelineExecutionStatus"] in RUNNING
        }
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFound":
            return set()
        raise


def _token(execution: str) -> str:
    """The same for every attempt; 32 to 128 characters."""
    return f"retired-{execution.rpartition('/')[2]:0>40}"


def delete_packages(sagemaker: Any, group: str) -> int:
    """Deletes all versions of a group, and returns how many; a group that is gone has none. Raises ClientError."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    try:
        packages = [package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]]
    except ClientError as error:
        # SageMaker has no error of its own for a group that is not there.
        if error.response["Error"]["Code"] == "ValidationException" and "does not exist" in str(error):
            return 0
        raise
    for package in packages:
        sagemaker.delete_model_package(ModelPackageName=package)
    return len(packages)
