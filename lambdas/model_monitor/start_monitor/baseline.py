"""The baseline that belongs to the model in production: it is registered with the model's package."""

from __future__ import annotations

from typing import Any


class NoBaselineError(Exception):
    """The model in production has no baseline. `str()` says where the way to it ended."""


def baseline_in_production(sagemaker: Any, endpoint: str, variant: str) -> str:
    """The folder `s3://bucket/prefix/` with the baseline of what a variant of an endpoint serves.

    The way: endpoint, its configuration, the variant's model, its package, and there `DriftCheckBaselines.
    ModelDataQuality.Statistics`, else `ModelMetrics.ModelDataQuality.Statistics`. While an endpoint is updated, this
    is what it serves until the update is done. Raises NoBaselineError and ClientError.
    """
    config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    model = next((each.get("ModelName") for each in variants if each["VariantName"] == variant), None)
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
            return f"{uri.rpartition('/')[0]}/"
    raise NoBaselineError("The model package in production has no baseline of its data.")
