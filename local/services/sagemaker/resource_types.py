"""CloudFormation's types of SageMaker, and those of Application Auto Scaling, which scales its endpoints.

They are those of CloudFormation's registry, whose schemas (as of cfn-lint's copy, read 2026-11-27) say what replaces a
resource and what its identifier is. Ref of a pipeline gives its name, of the others of SageMaker their ARN; of a
scalable target `<resource id>|<dimension>|<namespace>`; of a scaling policy its ARN, though its identifier has the
dimension as well. GetAtt gives names beside that. (Documentation of the constructs' attributes in AWS CDK, read
2026-11-27.) A group with versions cannot be deleted, as on AWS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.services import resource_types
from local.services.resource_types import Delete, Made, Properties, ResourceType
from local.services.sagemaker.records import named

_PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 0.1


def _call(operation: str, properties: Properties) -> dict[str, Any]:
    return resource_types.call("sagemaker", operation, properties)


def _call_scaling(operation: str, properties: Properties) -> dict[str, Any]:
    return resource_types.call("application-autoscaling", operation, properties)


# --- Pipelines, model packages, monitoring ---------------------------------------------------------------------------


def _pipeline_properties(properties: Properties) -> dict[str, Any]:
    given = {name: value for name, value in properties.items() if name not in ("PipelineDefinition", "Tags")}
    definition = properties["PipelineDefinition"]
    if "PipelineDefinitionBody" in definition:
        return {**given, "PipelineDefinition": definition["PipelineDefinitionBody"]}
    place = definition["PipelineDefinitionS3Location"]
    found = {"Bucket": place["Bucket"], "ObjectKey": place["Key"]}
    found |= {"VersionId": place["Version"]} if "Version" in place else {}
    return {**given, "PipelineDefinitionS3Location": found}


def _create_pipeline(_logical_id: str, properties: Properties, _stack: str) -> Made:
    tags = {"Tags": properties["Tags"]} if properties.get("Tags") else {}
    _call("CreatePipeline", {**_pipeline_properties(properties), **tags})
    return str(properties["PipelineName"]), {}


def _update_pipeline(physical_id: str, old: Properties, new: Properties) -> Made:
    arn = _call("UpdatePipeline", _pipeline_properties(new))["PipelineArn"]
    resource_types.retag("sagemaker", arn, old, new)
    return physical_id, {}


def _delete_pipeline(physical_id: str, _properties: Properties) -> None:
    resource_types.unless_gone(lambda: _call("DeletePipeline", {"PipelineName": physical_id}), "ResourceNotFound")


def _group_attributes(arn: str) -> dict[str, Any]:
    found = _call("DescribeModelPackageGroup", {"ModelPackageGroupName": arn})
    return {
        "ModelPackageGroupArn": arn,
        "ModelPackageGroupStatus": found["ModelPackageGroupStatus"],
        "CreationTime": found["CreationTime"].isoformat(),
    }


def _create_group(_logical_id: str, properties: Properties, _stack: str) -> Made:
    if properties.get("ModelPackageGroupPolicy"):
        raise ValueError("This local cloud does not serve ModelPackageGroupPolicy.")
    arn = _call("CreateModelPackageGroup", properties)["ModelPackageGroupArn"]
    return arn, _group_attributes(arn)


def _update_group(physical_id: str, old: Properties, new: Properties) -> Made:
    resource_types.retag("sagemaker", physical_id, old, new)
    return physical_id, _group_attributes(physical_id)


def _delete_group(physical_id: str, _properties: Properties) -> None:
    resource_types.unless_gone(
        lambda: _call("DeleteModelPackageGroup", {"ModelPackageGroupName": physical_id}), "ValidationException"
    )


def _create_definition(logical_id: str, properties: Properties, stack: str) -> Made:
    # The template may name the endpoint twice; the API takes it from the input.
    given = {name: value for name, value in properties.items() if name != "EndpointName"}
    named_so = {"JobDefinitionName": resource_types.physical_name(stack, logical_id), **given}
    arn = _call("CreateDataQualityJobDefinition", named_so)["JobDefinitionArn"]
    found = _call("DescribeDataQualityJobDefinition", {"JobDefinitionName": named_so["JobDefinitionName"]})
    return arn, {"JobDefinitionArn": arn, "CreationTime": found["CreationTime"].isoformat()}


def _delete_definition(physical_id: str, _properties: Properties) -> None:
    request = {"JobDefinitionName": named(physical_id)}
    resource_types.unless_gone(lambda: _call("DeleteDataQualityJobDefinition", request), "ResourceNotFound")


def _schedule_properties(properties: Properties) -> dict[str, Any]:
    unserved = {"FailureReason", "LastMonitoringExecutionSummary", "MonitoringScheduleStatus"} & properties.keys()
    if unserved:
        raise ValueError(f"This local cloud does not serve {', '.join(sorted(unserved))} of a schedule.")
    return {name: value for name, value in properties.items() if name not in ("EndpointName", "Tags")}


def _schedule_made(properties: Properties, arn: str) -> Made:
    found = _call("DescribeMonitoringSchedule", {"MonitoringScheduleName": properties["MonitoringScheduleName"]})
    times = {name: found[name].isoformat() for name in ("CreationTime", "LastModifiedTime")}
    return arn, {"MonitoringScheduleArn": arn, **times}


def _create_schedule(_logical_id: str, properties: Properties, _stack: str) -> Made:
    tags = {"Tags": properties["Tags"]} if properties.get("Tags") else {}
    arn = _call("CreateMonitoringSchedule", {**_schedule_properties(properties), **tags})["MonitoringScheduleArn"]
    return _schedule_made(properties, arn)


def _update_schedule(physical_id: str, old: Properties, new: Properties) -> Made:
    _call("UpdateMonitoringSchedule", _schedule_properties(new))
    resource_types.retag("sagemaker", physical_id, old, new)
    return _schedule_made(new, physical_id)


def _delete_schedule(physical_id: str, _properties: Properties) -> None:
    request = {"MonitoringScheduleName": named(physical_id)}
    resource_types.unless_gone(lambda: _call("DeleteMonitoringSchedule", request), "ResourceNotFound")


# --- Endpoints and their scaling --------------------------------------------------------------------------------------


def _named(name: str, properties: Properties, logical_id: str, stack: str) -> dict[str, Any]:
    return {name: resource_types.physical_name(stack, logical_id), **properties}


def _create_model(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _named("ModelName", properties, logical_id, stack)
    arn = _call("CreateModel", given)["ModelArn"]
    return arn, {"ModelArn": arn, "ModelName": given["ModelName"]}


def _create_config(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _named("EndpointConfigName", properties, logical_id, stack)
    variants = [{**one, "ModelName": named(one["ModelName"])} for one in given["ProductionVariants"]]
    answer = _call("CreateEndpointConfig", {**given, "ProductionVariants": variants})
    arn = answer["EndpointConfigArn"]
    return arn, {"EndpointConfigArn": arn, "EndpointConfigName": given["EndpointConfigName"]}


def _deleting(what: str) -> Delete:
    def delete(physical_id: str, _properties: Properties) -> None:
        request = {f"{what}Name": named(physical_id)}
        _unless_not_found(lambda: _call(f"Delete{what}", request))

    return delete


_OF_UPDATES = ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")


def _create_endpoint(logical_id: str, properties: Properties, stack: str) -> Made:
    whole = _named("EndpointName", properties, logical_id, stack)
    given = {name: value for name, value in whole.items() if name not in _OF_UPDATES}
    given["EndpointConfigName"] = named(given["EndpointConfigName"])
    arn = _call("CreateEndpoint", given)["EndpointArn"]
    found = _settled(given["EndpointName"]) or {}
    if found.get("EndpointStatus") != "InService":
        _delete_endpoint(arn, properties)
        raise ValueError(f"The endpoint {given['EndpointName']} failed: {found.get('FailureReason')}")
    return arn, {"EndpointArn": arn, "EndpointName": given["EndpointName"]}


def _update_endpoint(physical_id: str, old: Properties, new: Properties) -> Made:
    # Its record keeps the name as it was given; the ARN has small letters.
    name = (_described(named(physical_id)) or {}).get("EndpointName", named(physical_id))
    if {k: v for k, v in old.items() if k != "Tags"} != {k: v for k, v in new.items() if k != "Tags"}:
        given = {key: value for key, value in new.items() if key != "Tags"} | {"EndpointName": name}
        given["EndpointConfigName"] = named(given["EndpointConfigName"])
        _call("UpdateEndpoint", given)
        found = _settled(name) or {}
        if found.get("FailureReason") or found.get("EndpointConfigName") != given["EndpointConfigName"]:
            raise ValueError(f"The endpoint {name} could not be updated: {found.get('FailureReason')}")
    resource_types.retag("sagemaker", physical_id, old, new)
    return physical_id, {"EndpointArn": physical_id, "EndpointName": name}


def _delete_endpoint(physical_id: str, _properties: Properties) -> None:
    # One that is being changed cannot be deleted yet.
    name = named(physical_id)
    if _settled(name) is not None:
        _unless_not_found(lambda: _call("DeleteEndpoint", {"EndpointName": name}))
        _settled(name)


def _settled(name: str) -> dict[str, Any] | None:
    """An endpoint's description once nothing is under way; None when there is none. Raises ValueError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = _described(name)
        if found is None or found["EndpointStatus"] in ("InService", "Failed"):
            return found
        time.sleep(_POLL_SECONDS)
    raise ValueError(f"The endpoint {name} did not become stable within {_PATIENCE_SECONDS:.0f} s.")


def _described(name: str) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = []
    request = {"EndpointName": name}
    _unless_not_found(lambda: found.append(_call("DescribeEndpoint", request)))
    return found[0] if found else None


def _unless_not_found(action: Callable[[], Any]) -> None:
    resource_types.unless_gone(action, "ValidationException")


def _create_target(_logical_id: str, properties: Properties, _stack: str) -> Made:
    for name in ("ScheduledActions", "Tags"):
        if properties.get(name):
            raise ValueError(f"This local cloud does not serve {name} of scalable targets.")
    given = {name: value for name, value in properties.items() if name not in ("ScheduledActions", "Tags")}
    _call_scaling("RegisterScalableTarget", given)
    identity = "|".join(given[name] for name in _TARGET)
    return identity, {"Id": identity}


_TARGET = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def _update_target(_physical_id: str, _old: Properties, new: Properties) -> Made:
    return _create_target("", new, "")


def _delete_target(physical_id: str, _properties: Properties) -> None:
    target = dict(zip(_TARGET, physical_id.split("|"), strict=True))
    _unless_unknown(lambda: _call_scaling("DeregisterScalableTarget", target))


def _create_policy(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = _call_scaling("PutScalingPolicy", _policy(properties))["PolicyARN"]
    return arn, {"Arn": arn}


def _policy(properties: Properties) -> dict[str, Any]:
    given = {name: value for name, value in properties.items() if name != "ScalingTargetId"}
    if "ScalingTargetId" in properties:
        given |= dict(zip(_TARGET, properties["ScalingTargetId"].split("|"), strict=True))
    return given


def _update_policy(_physical_id: str, _old: Properties, new: Properties) -> Made:
    return _create_policy("", new, "")


def _delete_policy(_physical_id: str, properties: Properties) -> None:
    given = _policy(properties)
    named = {name: given[name] for name in ("PolicyName", *_TARGET)}
    _unless_unknown(lambda: _call_scaling("DeleteScalingPolicy", named))


def _unless_unknown(action: Callable[[], Any]) -> None:
    """A policy goes with its target, and a target with nothing: both may be gone already."""
    try:
        action()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ObjectNotFoundException":
            raise


# `replacing` are the `createOnlyProperties` of the schemas; of a model, a configuration and a job definition all are.
TYPES: Mapping[str, ResourceType] = {
    "AWS::SageMaker::Pipeline": ResourceType(
        _create_pipeline, _update_pipeline, _delete_pipeline, ("PipelineName",), "PipelineName"
    ),
    "AWS::SageMaker::ModelPackageGroup": ResourceType(
        _create_group,
        _update_group,
        _delete_group,
        ("ModelPackageGroupName", "ModelPackageGroupDescription"),
        "ModelPackageGroupName",
    ),
    "AWS::SageMaker::DataQualityJobDefinition": ResourceType(
        _create_definition, None, _delete_definition, own_name="JobDefinitionName"
    ),
    "AWS::SageMaker::MonitoringSchedule": ResourceType(
        _create_schedule, _update_schedule, _delete_schedule, ("MonitoringScheduleName",), "MonitoringScheduleName"
    ),
    "AWS::SageMaker::Model": ResourceType(_create_model, None, _deleting("Model"), own_name="ModelName"),
    "AWS::SageMaker::EndpointConfig": ResourceType(
        _create_config, None, _deleting("EndpointConfig"), own_name="EndpointConfigName"
    ),
    "AWS::SageMaker::Endpoint": ResourceType(
        _create_endpoint, _update_endpoint, _delete_endpoint, ("EndpointName",), "EndpointName"
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": ResourceType(
        _create_target, _update_target, _delete_target, ("ResourceId", "ScalableDimension", "ServiceNamespace")
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ResourceType(
        _create_policy,
        _update_policy,
        _delete_policy,
        ("PolicyName", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace"),
    ),
}
