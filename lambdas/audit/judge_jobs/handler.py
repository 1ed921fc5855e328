"""A rule of AWS Config: no SageMaker job without a VPC and without keys of its own.

AWS Config calls it on a schedule ("Example AWS Lambda Events for AWS Config Rules", AWS Config Developer Guide, from
memory): `resultToken`, `accountId`, `ruleParameters` (JSON, `hours`: how far back to look) and `invokingEvent` (JSON;
`notificationCreationTime` is when). It looks at the training and processing jobs that were made in those hours and puts
one evaluation of the account. A rule that cannot look fails, and Config shows no verdict rather than a good one.

**Grants**: `sagemaker:ListTrainingJobs`, `sagemaker:ListProcessingJobs`, `config:PutEvaluations` (none has resources),
`sagemaker:DescribeTrainingJob` and `sagemaker:DescribeProcessingJob` on jobs.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.audit.judge_jobs.jobs import Kind, evaluation, faults
from lambdas.shared.clients import QUICK, make_clients

logger = Logger()
clients = make_clients({"sagemaker": QUICK, "config": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One run of the rule; the answer is its verdict and how many jobs it judged. Raises ClientError, ValueError."""
    told = str(json.loads(event["invokingEvent"])["notificationCreationTime"])
    # Python 3.10 does not know the Z.
    now = datetime.datetime.fromisoformat(re.sub(r"Z$", "+00:00", told))
    since = now - datetime.timedelta(hours=int(json.loads(event["ruleParameters"])["hours"]))
    judged, wrong = 0, {}
    for kind, name in _jobs(since):
        judged += 1
        if found := faults(kind, _described(kind, name)):
            wrong[name] = found
    verdict = {**evaluation(str(event["accountId"]), judged, wrong), "OrderingTimestamp": now}
    clients["config"].put_evaluations(Evaluations=[verdict], ResultToken=event["resultToken"])
    logger.info("jobs judged", extra={"jobs": judged, "wrong": len(wrong), "verdict": verdict["ComplianceType"]})
    return {"verdict": verdict["ComplianceType"], "jobs": judged}


def _jobs(since: datetime.datetime) -> Iterator[tuple[Kind, str]]:
    """Jobs that were made since then, page by page."""
    sagemaker = clients["sagemaker"]
    for page in sagemaker.get_paginator("list_training_jobs").paginate(CreationTimeAfter=since):
        for one in page["TrainingJobSummaries"]:
            yield "training", one["TrainingJobName"]
    for page in sagemaker.get_paginator("list_processing_jobs").paginate(CreationTimeAfter=since):
        for one in page["ProcessingJobSummaries"]:
            yield "processing", one["ProcessingJobName"]


def _described(kind: Kind, name: str) -> dict[str, Any]:
    sagemaker = clients["sagemaker"]
    found: dict[str, Any] = (
        sagemaker.describe_training_job(TrainingJobName=name)
        if kind == "training"
        else sagemaker.describe_processing_job(ProcessingJobName=name)
    )
    return found
