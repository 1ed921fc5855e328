"""Starts the monitor for the last full hour: a Processing job that compares the captured traffic with the baseline.

It takes `{"time": "2026-11-27T10:15:00Z"}`: EventBridge Scheduler writes the time for which the call was planned there
(`<aws.scheduler.scheduled-time>`; EventBridge Scheduler User Guide, "Adding context attributes", read 2026-11-27). So
an attempt that is repeated, or comes late, means the same hour. The job is named after that hour (`<JOB_NAME_PREFIX>-
2026112709`), and SageMaker takes a name once: calls that come twice or overlap start nothing twice.

**What failed is tried again.** Each call looks at the two hours before as well. One that has no job, or whose job
failed or was stopped, gets the next attempt, under the next name (`...-2026112709-2`): so an hour has three attempts.
After that it is given up, and an operator may have it judged again with `{"time": ..., "again": true}`, which takes
the next free name.

**Another model's answers are left out.** The baseline is that of the model in production, so what was captured before
it alone answered, or since its replacement is on its way, is not read; labels for it are not either. If no second of
the hour is left, there is no job.

It answers `{"outcome": ..., "hour": "2026-11-27T09:00:00Z", "job": ..., "earlier": [...]}`, where `earlier` has the
same of hours before for which a job was started now. The outcome is `started`, `already started`, `no captures`, `model
replaced` or `given up`. An hour without traffic is a result and not a failure: the metric `NoCaptures` (dimension
`Endpoint`) is 1 for it, and 0 for an hour with traffic. What fails: an endpoint whose model has no baseline
(NoBaselineError), and whatever AWS refuses.

**Settings** (environment variables; all are needed unless a default is named):

- `ENDPOINT_NAME`; `VARIANT_NAME` (default `AllTraffic`): whose captures are watched. One variant is one model.
- `CAPTURE_URI`: `s3://bucket/prefix`, the endpoint's `DataCaptureConfig.DestinationS3Uri`. The captures of an hour lie
  in `<CAPTURE_URI>/<endpoint>/<variant>/yyyy/mm/dd/hh/`.
- `GROUND_TRUTH_URI`: `s3://bucket/prefix`. Labels that were collected in an hour lie in
  `<GROUND_TRUTH_URI>/yyyy/mm/dd/hh/`, in Model Monitor's format.
- `LABEL_DAYS` (default 2): how many days before the window's a prediction may be that a label is for; 0 to 5.
- `REPORT_URI`: `s3://bucket/prefix`; a report goes to `<REPORT_URI>/<job name>/`.
- `CODE_URI`: `s3://bucket/key` of the archive `sourcedir.tar.gz` with the folder `pipelines/` in it.
- `SCHEMA_FILE` (default `pipelines/deliveries/schema.json`): a file of that archive.
- `JOB_NAME_PREFIX`: at most 49 characters. `JOB_ROLE_ARN`, `IMAGE_URI`, `KEY_ARN` (volume and report).
- `INSTANCE_TYPE` (default `ml.t3.medium`), `VOLUME_GB` (default 10), `MAXIMUM_SECONDS` (default 1800).
- `SUBNET_IDS` and `SECURITY_GROUP_IDS` (comma-separated; default none): for jobs in a VPC.
- `METRIC_NAMESPACE`.

**Grants**: `s3:ListBucket` on the capture and ground-truth buckets (these prefixes); `sagemaker:DescribeEndpoint`,
`DescribeEndpointConfig`, `DescribeModel`, `DescribeModelPackage`, to find the baseline that is registered with the
package in production; `sagemaker:CreateProcessingJob` (and `AddTags`, if the stack sets tags) and
`DescribeProcessingJob` on `processing-job/<JOB_NAME_PREFIX>-*`; `iam:PassRole` on the job's role;
`cloudwatch:PutMetricData` in the namespace.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.model_monitor.start_monitor.baseline import Production, in_production
from lambdas.model_monitor.start_monitor.jobs import HOUR, Found, Settings, job_name, last_full_hour, request, window
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

ATTEMPTS = 3
# By an operator: so many that no hour needs them.
ATTEMPTS_AGAIN = 99

settings = Settings.read(os.environ)
logger = Logger()
clients = make_clients({"s3": QUICK, "sagemaker": QUICK, "cloudwatch": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes the time of a schedule; see above. Raises ValueError for an event without one."""
    hour = last_full_hour(str(event.get("time", "")))
    again = event.get("again") is True
    # Asked for once, and only if there is something to judge.
    production = cache(lambda: in_production(clients["sagemaker"], settings.endpoint, settings.variant))
    found = _found(settings.wanted(hour))
    told = _handle(hour, found, production, ATTEMPTS_AGAIN if again else ATTEMPTS)
    # An hour in which labels alone arrived has a job and no captures.
    _tell_captures(bool(found.captures))
    earlier = []
    for before in () if again else (hour - HOUR * back for back in range(1, ATTEMPTS)):
        of_hour = _handle(before, _found(settings.wanted(before)), production, ATTEMPTS)
        earlier += [of_hour] if of_hour["outcome"] == "started" else []
    return {**told, "earlier": earlier}


def _handle(hour: datetime, found: Found, production: Callable[[], Production], attempts: int) -> dict[str, str]:
    told = {"hour": hour.strftime("%Y-%m-%dT%H:%M:%SZ"), "job": job_name(settings, hour)}
    if not found.anything_to_judge:
        told["outcome"] = "no captures"
    elif window(hour, production()) is None:
        told["outcome"] = "model replaced"
    else:
        told["outcome"], told["job"] = _start(hour, found, production(), attempts)
    logger.info("hour handled", extra=told)
    return told


def _found(wanted: Found) -> Found:
    """Of the folders in question those that hold something: a job fails on an input without objects."""
    return wanted.only(_holds_something)


def _holds_something(uri: str) -> bool:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bool(clients["s3"].list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount"))


def _start(hour: datetime, found: Found, production: Production, attempts: int) -> tuple[str, str]:
    """Outcome and name of the first attempt that is under way or done well, which may be started by this."""
    name = ""
    for attempt in range(1, attempts + 1):
        job = request(settings, hour, found, production, attempt)
        name = str(job["ProcessingJobName"])
        try:
            clients["sagemaker"].create_processing_job(**job)
        except ClientError as error:
            if error_code(error) != "ResourceInUse":
                raise
        else:
            return "started", name
        status = clients["sagemaker"].describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]
        if status not in ("Failed", "Stopped"):
            return "already started", name
    return "given up", name


def _tell_captures(some: bool) -> None:
    datum = {
        "MetricName": "NoCaptures",
        "Dimensions": [{"Name": "Endpoint", "Value": settings.endpoint}],
        "Value": 0.0 if some else 1.0,
        "Unit": "Count",
    }
    clients["cloudwatch"].put_metric_data(Namespace=settings.namespace, MetricData=[datum])
