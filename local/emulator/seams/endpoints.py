"""SageMaker's endpoints in the emulator: the runtime's route, rights on endpoints, scaling, and CloudFormation's types.

InvokeEndpoint is signed as `sagemaker`, like the control plane, and has a path of its own. Models, configurations and
endpoints are authorised on their ARNs; CreateEndpoint and UpdateEndpoint on those of endpoint and configuration; what
changes scaling on the scalable target's, `scalable-target/*` for a new one (Service Authorization Reference, "Actions,
resources, and condition keys for ..." Amazon SageMaker, AWS Application Auto Scaling, Amazon CloudWatch, as of
cfn-lint's copy of its data, read 2026-11-27). Application Auto Scaling acts as its service-linked role, whose making
needs `iam:CreateServiceLinkedRole` with the service's name ("Prerequisites" of "Automatically Scale Amazon SageMaker
Models", Amazon SageMaker Developer Guide, read 2026-11-27).

CloudFormation's types are those of its registry, whose schemas (as of cfn-lint's copy, read 2026-11-27) say what
replaces a resource and what its identifier is: Ref gives the ARN of a model, a configuration or an endpoint, and
`<resource id>|<dimension>|<namespace>` of a scalable target. GetAtt gives names beside that. Ref of a scaling policy
gives its ARN; its identifier has the dimension as well.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import iam as _iam_store

from local.emulator import alarms, seams
from local.emulator.seams import inside, resource_types
from local.emulator.seams.named_resources import Asked, authorise_on, member_of
from local.emulator.seams.resource_types import Delete, Made, Properties
from local.services import APPLICATION_AUTOSCALING, SAGEMAKER
from local.services.application_autoscaling import SERVICE_PRINCIPAL, SERVICE_ROLE, ApplicationAutoScaling
from local.services.sagemaker import SageMaker
from local.services.sagemaker.runtime import Runtime
from local.services.wire import Caller, ServiceError

_INVOCATION = re.compile(r"/endpoints/([^/]+)/(?:async-invocations|invocations(?:-response-stream)?)/?")
# Requests to models wait for them, and must not hold up those to other services.
_CONCURRENT = 64


def install() -> None:
    """Route, authorise and serve what belongs to endpoints."""
    sagemaker, scaling = SAGEMAKER, APPLICATION_AUTOSCALING
    _route_invocations(Runtime(sagemaker.endpoints))
    authorise_on(functools.partial(_authorised_on, scaling))
    _authorise_configurations()
    scaling.use(_Scaling())
    sagemaker.endpoints.is_scaled = scaling.is_registered
    alarms.use_scaler(
        lambda scope, policy, alarm, value, moment: scaling.alarmed(
            scope.account, scope.region, policy, alarm, value, moment
        )
    )
    _provide_types()


# --- InvokeEndpoint --------------------------------------------------------------------------------------------------


def _route_invocations(runtime: Runtime) -> None:
    pool = ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="invocation")
    detect = _router.detect_service

    @functools.wraps(detect)
    def detecting(method: str, path: str, headers: dict[str, str], query: dict[str, list[str]]) -> str:
        found = str(detect(method, path, headers, query))
        mine = found == "sagemaker" and "x-amz-target" not in headers and _INVOCATION.fullmatch(path)
        return runtime.name if mine else found

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> seams.Response:
        operation = _iam_actions._match_rest_action(runtime.name, method, path, query) or ""
        matched = _INVOCATION.fullmatch(path)
        name = urllib.parse.unquote(matched[1]) if matched else ""
        caller = seams._Caller.of(headers, query)
        loop = asyncio.get_running_loop()
        asked = functools.partial(runtime.handle, operation, name, headers, body, caller, late=seams._late.get())
        return await loop.run_in_executor(pool, asked)

    _router.detect_service = _app.detect_service = detecting
    _iam_actions._BOTOCORE_SERVICE_MAP[runtime.name] = [runtime.name]
    seams._register(runtime.name, runtime.iam_namespace, [], handle)


# --- What actions are authorised on ----------------------------------------------------------------------------------

# SageMaker's operations: kind of the resource in its ARN, member of the request that names it.
RESOURCES = {
    **{f"{verb}Endpoint": ("endpoint", "EndpointName") for verb in ("Create", "Delete", "Describe", "Update")},
    "UpdateEndpointWeightsAndCapacities": ("endpoint", "EndpointName"),
    **{f"{verb}EndpointConfig": ("endpoint-config", "EndpointConfigName") for verb in ("Create", "Delete", "Describe")},
    **{f"{verb}Model": ("model", "ModelName") for verb in ("Create", "Delete", "Describe")},
}


_OF_ALARMS = ("DeleteAlarms", "DescribeAlarms")
_OF_TARGETS = ("DeleteScalingPolicy", "DeregisterScalableTarget", "PutScalingPolicy", "RegisterScalableTarget")


def _authorised_on(scaling: ApplicationAutoScaling, asked: Asked) -> str | None:
    owner = f"{asked.region}:{asked.account}"
    if asked.service == Runtime.name and (matched := _INVOCATION.fullmatch(asked.path)):
        return f"arn:aws:sagemaker:{owner}:endpoint/{urllib.parse.unquote(matched[1]).lower()}"
    if asked.service == SageMaker.name and asked.operation in RESOURCES:
        kind, member = RESOURCES[asked.operation]
        if name := member_of(asked.body, member):
            return f"arn:aws:sagemaker:{owner}:{kind}/{name.lower()}"
    if asked.service == ApplicationAutoScaling.name and asked.operation in _OF_TARGETS:
        return scaling.arn_of(asked.account, asked.region, member_of(asked.body, "ResourceId"))
    if asked.service == "monitoring" and asked.operation in _OF_ALARMS:
        # The first of several, as for other services' requests that name more than one.
        name = member_of(asked.body, "AlarmNames")
        return f"arn:aws:cloudwatch:{owner}:alarm:{name}" if name else None
    return None


def _authorise_configurations() -> None:
    """Who makes or updates an endpoint needs the action on its configuration as well."""
    handler = _app.SERVICE_HANDLERS[SageMaker.name]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> seams.Response:
        operation, access_key = seams._target_action(headers), _router.extract_access_key_id(headers, query)
        name = member_of(body, "EndpointConfigName") if operation in ("CreateEndpoint", "UpdateEndpoint") else ""
        if name and not _iam.is_root_access_key(access_key):
            region, account = _responses.get_region(), _responses.get_account_id()
            arn = f"arn:aws:sagemaker:{region}:{account}:endpoint-config/{name.lower()}"
            action = f"sagemaker:{operation}"
            # The tags of a request are the request's, whichever of its resources is asked about.
            keys = _iam_actions.request_tag_context("sagemaker", action, body, {})
            if _iam.enforce(access_key, action, "sagemaker", region, arn, keys) is not None:
                denied: seams.Response = _iam_actions.access_denied_response(
                    "sagemaker", action, _iam.caller_arn(), str(uuid.uuid4()), headers=headers, resource_arn=arn
                )
                return denied
        answer: seams.Response = await handler(method, path, headers, body, query)
        return answer

    _app.SERVICE_HANDLERS[SageMaker.name] = handle


# --- The service-linked role of Application Auto Scaling -------------------------------------------------------------

# "AWSApplicationAutoscalingSageMakerEndpointPolicy", AWS Managed Policy Reference, as far as it is used here, named
# from memory.
_ROLE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:UpdateEndpointWeightsAndCapacities",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:DeleteAlarms",
            ],
            "Resource": "*",
        }
    ],
}


class _Scaling:
    """What stands behind Application Auto Scaling (`application_autoscaling.Backend`)."""

    def service_role(self, caller: Caller) -> Caller:
        """The service-linked role as a caller; made, if the caller may, where it is not there."""
        if not isinstance(caller, seams._Caller):
            raise TypeError("Only who came through the gateway has a role made")
        path = f"/aws-service-role/{SERVICE_PRINCIPAL}/"
        arn = f"arn:aws:iam::{caller.account}:role{path}{SERVICE_ROLE}"
        with _responses.request_scope(caller.account, caller.region):
            if _iam_store._roles.get_scoped(caller.account, None, SERVICE_ROLE) is None:
                _may_make(caller, arn)
                _make_role(arn, path)
        access_key = inside.role_session(arn, "ApplicationAutoScaling")
        return seams._Caller(
            principal_arn=seams._principal_arn(access_key),
            account=caller.account,
            region=caller.region,
            access_key=access_key,
        )


def _may_make(caller: seams._Caller, arn: str) -> None:
    if _iam.is_root_access_key(caller.access_key):
        return
    context = {"iam:awsservicename": SERVICE_PRINCIPAL}
    denied = _iam.enforce(caller.access_key, "iam:CreateServiceLinkedRole", "iam", caller.region, arn, context)
    if denied is not None:
        raise ServiceError(
            "AccessDeniedException",
            f"User: {caller.principal_arn} is not authorized to perform: iam:CreateServiceLinkedRole on resource:"
            f" {arn}",
        )


def _make_role(arn: str, path: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": SERVICE_PRINCIPAL}, "Action": "sts:AssumeRole"}
    _iam_store._roles[SERVICE_ROLE] = {
        "RoleName": SERVICE_ROLE,
        "Arn": arn,
        "RoleId": _iam_store._gen_id("AROA"),
        "CreateDate": _iam_store._now(),
        "Path": path,
        "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        "Description": "Default policy for Application Auto Scaling of SageMaker endpoints",
        "MaxSessionDuration": 3600,
        "AttachedPolicies": [],
        "InlinePolicies": {"AWSApplicationAutoscalingSageMakerEndpointPolicy": json.dumps(_ROLE_POLICY)},
        "Tags": [],
    }


# --- CloudFormation --------------------------------------------------------------------------------------------------

_PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 0.1
SAGEMAKER_API, SCALING_API = "sagemaker", "application-autoscaling"


def _provide_types() -> None:
    # `replacing` are the `createOnlyProperties` of the schemas; of a model and a configuration all are.
    resource_types.provide("AWS::SageMaker::Model", _create_model, None, _deleting("Model"), own_name="ModelName")
    resource_types.provide(
        "AWS::SageMaker::EndpointConfig", _create_config, None, _deleting("EndpointConfig"),
        own_name="EndpointConfigName",
    )  # fmt: skip
    resource_types.provide(
        "AWS::SageMaker::Endpoint", _create_endpoint, _update_endpoint, _delete_endpoint,
        replacing=("EndpointName",), own_name="EndpointName",
    )  # fmt: skip
    resource_types.provide(
        "AWS::ApplicationAutoScaling::ScalableTarget", _create_target, _update_target, _delete_target,
        replacing=("ResourceId", "ScalableDimension", "ServiceNamespace"),
    )  # fmt: skip
    resource_types.provide(
        "AWS::ApplicationAutoScaling::ScalingPolicy", _create_policy, _update_policy, _delete_policy,
        replacing=("PolicyName", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace"),
    )  # fmt: skip


def _named(name: str, properties: Properties, logical_id: str, stack: str) -> dict[str, Any]:
    return {name: resource_types.physical_name(stack, logical_id), **properties}


def _name(arn_or_name: str) -> str:
    return arn_or_name.rpartition("/")[2]


def _create_model(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _named("ModelName", properties, logical_id, stack)
    arn = resource_types.call(SAGEMAKER_API, "CreateModel", given)["ModelArn"]
    return arn, {"ModelArn": arn, "ModelName": given["ModelName"]}


def _create_config(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _named("EndpointConfigName", properties, logical_id, stack)
    variants = [{**one, "ModelName": _name(one["ModelName"])} for one in given["ProductionVariants"]]
    answer = resource_types.call(SAGEMAKER_API, "CreateEndpointConfig", {**given, "ProductionVariants": variants})
    arn = answer["EndpointConfigArn"]
    return arn, {"EndpointConfigArn": arn, "EndpointConfigName": given["EndpointConfigName"]}


def _deleting(what: str) -> Delete:
    def delete(physical_id: str, _properties: Properties) -> None:
        named = {f"{what}Name": _name(physical_id)}
        _unless_gone(lambda: resource_types.call(SAGEMAKER_API, f"Delete{what}", named))

    return delete


_OF_UPDATES = ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")


def _create_endpoint(logical_id: str, properties: Properties, stack: str) -> Made:
    whole = _named("EndpointName", properties, logical_id, stack)
    given = {name: value for name, value in whole.items() if name not in _OF_UPDATES}
    given["EndpointConfigName"] = _name(given["EndpointConfigName"])
    arn = resource_types.call(SAGEMAKER_API, "CreateEndpoint", given)["EndpointArn"]
    found = _settled(given["EndpointName"]) or {}
    if found.get("EndpointStatus") != "InService":
        _delete_endpoint(arn, properties)
        raise ValueError(f"The endpoint {given['EndpointName']} failed: {found.get('FailureReason')}")
    return arn, {"EndpointArn": arn, "EndpointName": given["EndpointName"]}


def _update_endpoint(physical_id: str, old: Properties, new: Properties) -> Made:
    # Its record keeps the name as it was given; the ARN has small letters.
    name = (_described(_name(physical_id)) or {}).get("EndpointName", _name(physical_id))
    if {k: v for k, v in old.items() if k != "Tags"} != {k: v for k, v in new.items() if k != "Tags"}:
        given = {key: value for key, value in new.items() if key != "Tags"} | {"EndpointName": name}
        given["EndpointConfigName"] = _name(given["EndpointConfigName"])
        resource_types.call(SAGEMAKER_API, "UpdateEndpoint", given)
        found = _settled(name) or {}
        if found.get("FailureReason") or found.get("EndpointConfigName") != given["EndpointConfigName"]:
            raise ValueError(f"The endpoint {name} could not be updated: {found.get('FailureReason')}")
    resource_types.retag(SAGEMAKER_API, physical_id, old, new)
    return physical_id, {"EndpointArn": physical_id, "EndpointName": name}


def _delete_endpoint(physical_id: str, _properties: Properties) -> None:
    # One that is being changed cannot be deleted yet.
    name = _name(physical_id)
    if _settled(name) is not None:
        _unless_gone(lambda: resource_types.call(SAGEMAKER_API, "DeleteEndpoint", {"EndpointName": name}))
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
    _unless_gone(lambda: found.append(resource_types.call(SAGEMAKER_API, "DescribeEndpoint", request)))
    return found[0] if found else None


def _unless_gone(action: Callable[[], Any]) -> None:
    resource_types.unless_gone(action, "ValidationException")


def _create_target(_logical_id: str, properties: Properties, _stack: str) -> Made:
    for name in ("ScheduledActions", "Tags"):
        if properties.get(name):
            raise ValueError(f"This local cloud does not serve {name} of scalable targets.")
    given = {name: value for name, value in properties.items() if name not in ("ScheduledActions", "Tags")}
    resource_types.call(SCALING_API, "RegisterScalableTarget", given)
    identity = "|".join(given[name] for name in _TARGET)
    return identity, {"Id": identity}


_TARGET = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def _update_target(_physical_id: str, _old: Properties, new: Properties) -> Made:
    return _create_target("", new, "")


def _delete_target(physical_id: str, _properties: Properties) -> None:
    target = dict(zip(_TARGET, physical_id.split("|"), strict=True))
    _unless_unknown(lambda: resource_types.call(SCALING_API, "DeregisterScalableTarget", target))


def _create_policy(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = resource_types.call(SCALING_API, "PutScalingPolicy", _policy(properties))["PolicyARN"]
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
    _unless_unknown(lambda: resource_types.call(SCALING_API, "DeleteScalingPolicy", named))


def _unless_unknown(action: Callable[[], Any]) -> None:
    """A policy goes with its target, and a target with nothing: both may be gone already."""
    try:
        action()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ObjectNotFoundException":
            raise
