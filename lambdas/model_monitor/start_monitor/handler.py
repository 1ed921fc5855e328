"""Starts the monitor for the last full hour: a Processing job that compares the captured traffic with the baseline.

It takes `{"time": "2026-11-27T10:15:00Z"}`: EventBridge Scheduler writes the time for which the call was planned there
(`<aws.scheduler.scheduled-time>`; EventBridge Scheduler User Guide, "Adding context attributes", read 2026-11-27). So
an attempt that is repeated, or comes late, means the same hour. The job is named after that hour (`<JOB_NAME_PREFIX>-
2026112709`), and SageMaker takes a name once: calls that come twice or overlap start nothing twice.

It answers `{"outcome": ..., "hour": "2026-11-27T09:00:00Z", "job": ...}`; the outcome is `started`, `already started`
or `no captures`. An hour without traffic is a result and not a failure: the metric `NoCaptures` (dimension `Endpoint`)
is 1 for it, and 0 for an hour with a job. What fails: an endpoint whose model has no baseline (NoBaselineError), and
whatever AWS refuses.

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
- `JOB_NAME_PREFIX`: at most 52 characters. `JOB_ROLE_ARN`, `IMAGE_URI`, `KEY_ARN` (volume and report).
- `INSTANCE_TYPE` (default `ml.t3.medium`), `VOLUME_GB` (default 10), `MAXIMUM_SECONDS` (default 1800).
- `SUBNET_IDS` and `SECURITY_GROUP_IDS` (comma-separated; default none): for jobs in a VPC.
- `METRIC_NAMESPACE`.

**Grants**: `s3:ListBucket` on the capture and ground-truth buckets (these prefixes); `sagemaker:DescribeEndpoint`,
`DescribeEndpointConfig`, `DescribeModel`, `DescribeModelPackage`, to find the baseline that is registered with the
package in production; `sagemaker:CreateProcessingJob` (and `AddTags`, if the stack sets tags) on
`processing-job/<JOB_NAME_PREFIX>-*`; `iam:PassRole` on the job's role; `cloudwatch:PutMetricData` in the namespace.
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.model_monitor.start_monitor.baseline import baseline_in_production
from lambdas.model_monitor.start_monitor.jobs import Found, Settings, job_name, last_full_hour, request
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

settings = Settings.read(os.environ)
logger = Logger()
clients = make_clients({"s3": QUICK, "sagemaker": QUICK, "cloudwatch": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Takes the time of a schedule; see above. Raises ValueError for an event without one."""
    hour = last_full_hour(str(event.get("time", "")))
    found = _found(settings.wanted(hour))
    told = {"hour": hour.strftime("%Y-%m-%dT%H:%M:%SZ"), "job": job_name(settings, hour)}
    if not found.anything_to_judge:
        outcome = "no captures"
    else:
        baseline = baseline_in_production(clients["sagemaker"], settings.endpoint, settings.variant)
        outcome = _start(request(settings, hour, found, baseline))
    # An hour in which labels alone arrived has a job and no captures.
    _tell_captures(bool(found.captures))
    logger.info("hour handled", extra={"outcome": outcome, **told})
    return {"outcome": outcome, **told}


def _found(wanted: Found) -> Found:
    """Of the folders in question those that hold something: a job fails on an input without objects."""
    return wanted.only(_holds_something)


def _holds_something(uri: str) -> bool:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bool(clients["s3"].list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount"))


def _start(job: dict[str, Any]) -> str:
    try:
        clients["sagemaker"].create_processing_job(**job)
    except ClientError as error:
        if error_code(error) != "ResourceInUse":
            raise
        return "already started"
    return "started"


def _tell_captures(some: bool) -> None:
    datum = {
        "MetricName": "NoCaptures",
        "Dimensions": [{"Name": "Endpoint", "Value": settings.endpoint}],
        "Value": 0.0 if some else 1.0,
        "Unit": "Count",
    }
    clients["cloudwatch"].put_metric_data(Namespace=settings.namespace, MetricData=[datum])
