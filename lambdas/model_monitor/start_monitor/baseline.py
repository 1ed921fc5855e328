"""Which baseline the traffic is compared with: the one that is registered with the package in production."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# Of an update without a limit of its own; the one that its policy has is 8 hours at most (SageMaker API Reference,
# "BlueGreenUpdatePolicy", read 2026-11-27).
LONGEST_UPDATE = timedelta(hours=1)
# Between the making of a configuration and the update that brings it into service.
SLACK = timedelta(minutes=10)


class NoBaselineError(Exception):
    """The model in production has no baseline. `str()` says where the way to it ended."""


@dataclass(frozen=True)
class Production:
    """What answers, and in which time nothing else did.

    `baseline` is a folder `s3://bucket/prefix/`. From `since` on no other model's answers are among the captures, and
    none up to `until`, if an update is under way.
    """

    baseline: str
    since: datetime
    until: datetime | None


def in_production(sagemaker: Any, endpoint: str, variant: str) -> Production:
    """What a variant of an endpoint serves.

    The way: endpoint, its configuration, the variant's model, its package, and there `DriftCheckBaselines.
    ModelDataQuality.Statistics`, else `ModelMetrics.ModelDataQuality.Statistics`. While an endpoint is updated, this
    is what it serves until the update is done. Raises NoBaselineError and ClientError.
    """
    shown = sagemaker.describe_endpoint(EndpointName=endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=shown["EndpointConfigName"])
    model = next(
        (each.get("ModelName") for each in config["ProductionVariants"] if each["VariantName"] == variant), None
    )
    if not model:
        raise NoBaselineError(f"The endpoint has no variant {variant} with a model.")
    described = sagemaker.describe_model(ModelName=model)
    containers = [described.get("PrimaryContainer") or {}, *described.get("Containers", [])]
    package = next((each["ModelPackageName"] for each in containers if each.get("ModelPackageName")), None)
    if not package:
        raise NoBaselineError("The model in production comes from no model package.")
    registered = sagemaker.describe_model_package(ModelPackageName=package)
    for member in ("DriftCheckBaselines", "ModelMetrics"):
        uri = registered.get(member, {}).get("ModelDataQuality", {}).get("Statistics", {}).get("S3Uri", "")
        if uri:
            since = alone_since(shown, config["CreationTime"])
            return Production(
                f"{uri.rpartition('/')[0]}/", since, shown.get("PendingDeploymentSummary", {}).get("StartTime")
            )
    raise NoBaselineError("The model package in production has no baseline of its data.")


def alone_since(endpoint: dict[str, Any], configured: datetime) -> datetime:
    """From when on the endpoint's present configuration, made at `configured`, alone has answered; or a little later.

    SageMaker tells when an endpoint was last changed, which is the end of its update, unless it was scaled afterwards.
    So it is that time, and at the latest when the longest update would have ended.
    """
    policy = endpoint.get("LastDeploymentConfig", {}).get("BlueGreenUpdatePolicy", {})
    seconds = policy.get("MaximumExecutionTimeoutInSeconds")
    longest = timedelta(seconds=seconds) if seconds else LONGEST_UPDATE
    changed: datetime = endpoint["LastModifiedTime"]
    return min(changed, configured + longest + SLACK)
