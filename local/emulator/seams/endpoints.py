"""SageMaker's endpoints in the emulator: the runtime's route, rights on endpoints, and scaling.

InvokeEndpoint is signed as `sagemaker`, like the control plane, and has a path of its own. Models, configurations and
endpoints are authorised on their ARNs; CreateEndpoint and UpdateEndpoint on those of endpoint and configuration; what
changes scaling on the scalable target's, `scalable-target/*` for a new one (Service Authorization Reference, "Actions,
resources, and condition keys for ..." Amazon SageMaker, AWS Application Auto Scaling, Amazon CloudWatch, as of
cfn-lint's copy of its data, read 2026-11-27). Application Auto Scaling acts as its service-linked role, whose making
needs `iam:CreateServiceLinkedRole` with the service's name ("Prerequisites" of "Automatically Scale Amazon SageMaker
Models", Amazon SageMaker Developer Guide, read 2026-11-27).
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import iam as _iam_store

from local.emulator import alarms, seams
from local.emulator.seams import inside
from local.emulator.seams.named_resources import Asked, authorise_on, member_of
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
