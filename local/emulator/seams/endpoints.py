"""SageMaker's endpoints in the emulator: the runtime's route, rights on endpoints, scaling, and CloudFormation's types.

InvokeEndpoint is signed as `sagemaker`, like the control plane, and has a path of its own. Models, configurations and
endpoints are authorised on their ARNs, CreateEndpoint and UpdateEndpoint on the endpoint's (AWS looks at the
configuration's as well: Service Authorization Reference, "Actions, resources, and condition keys for Amazon SageMaker",
which could not be read on 2026-11-27). Application Auto Scaling acts as its service-linked role, whose making needs
`iam:CreateServiceLinkedRole` with the service's name ("Prerequisites" of "Automatically Scale Amazon SageMaker Models",
Amazon SageMaker Developer Guide, read 2026-11-27).

CloudFormation's types are those of its registry, whose schemas (as of cfn-lint's copy, read 2026-11-27) say what
replaces a resource and what its identifier is: Ref gives the ARN of a model, a configuration or an endpoint, and
`<resource id>|<dimension>|<namespace>` of a scalable target. GetAtt gives names beside that. Ref of a scaling policy gives
its ARN; its identifier has the dimension as well.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import iam as _iam_store
from ministack.services.cloudformation import provisioners as _provisioners
from ministack.services.cloudformation import stacks as _stacks

from local.emulator import alarms, seams
from local.emulator.seams import inside
from local.services import APPLICATION_AUTOSCALING, SAGEMAKER
from local.services.application_autoscaling import SERVICE_PRINCIPAL, SERVICE_ROLE
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
    _name_resources()
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
        return await loop.run_in_executor(pool, runtime.handle, operation, name, headers, body, caller)

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


def _name_resources() -> None:
    extract = _iam_actions.extract_resource_arn

    @functools.wraps(extract)
    def extracting(  # noqa: PLR0917 (MiniStack's own signature)
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, list[str]],
        region: str,
        account: str,
    ) -> str:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == Runtime.name and (matched := _INVOCATION.fullmatch(path)):
            return f"arn:aws:sagemaker:{region}:{account}:endpoint/{urllib.parse.unquote(matched[1]).lower()}"
        if service == SageMaker.name and operation in RESOURCES:
            kind, member = RESOURCES[operation]
            if name := _member(body, member):
                return f"arn:aws:sagemaker:{region}:{account}:{kind}/{name.lower()}"
        if service == "monitoring" and operation == "DescribeAlarms" and (name := _member(body, "AlarmNames")):
            # The first of several, as for other services' requests that name more than one.
            return f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"
        arn: str = extract(service, method, path, headers, body, query, region, account)
        return arn

    _iam_actions.extract_resource_arn = extracting


def _member(body: bytes, name: str) -> str:
    try:
        request: Any = json.loads(body)
    except ValueError:
        return ""
    found = request.get(name) if isinstance(request, dict) else None
    if isinstance(found, list):
        found = found[0] if found else ""
    return found if isinstance(found, str) else ""


# --- The service-linked role of Application Auto Scaling -------------------------------------------------------------

# "AWSApplicationAutoscalingSageMakerEndpointPolicy", AWS Managed Policy Reference, as far as it is used here.
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
            f"User: {caller.principal_arn} is not authorized to perform: iam:CreateServiceLinkedRole on resource: {arn}",
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

Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]
Create = Callable[[str, Properties, str], Made]
Update = Callable[[str, Properties, Properties], Made]
Delete = Callable[[str, Properties], None]

_PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 0.1
TARGET, POLICY = "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"
MODEL, CONFIG, ENDPOINT = "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint"

# Properties without which a resource is another one: `createOnlyProperties` of the schemas. All of those without an
# update are.
_REPLACING = {
    ENDPOINT: ("EndpointName",),
    TARGET: ("ResourceId", "ScalableDimension", "ServiceNamespace"),
    POLICY: ("PolicyName", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace"),
}
_OWN_NAMES = {MODEL: "ModelName", CONFIG: "EndpointConfigName", ENDPOINT: "EndpointName", POLICY: "PolicyName"}


def _provide_types() -> None:
    runs = _stacks._runs_on_worker_thread
    kinds: dict[str, tuple[Create, Update | None, Delete]] = {
        MODEL: (_create_model, None, _deleting("Model")),
        CONFIG: (_create_config, None, _deleting("EndpointConfig")),
        ENDPOINT: (_create_endpoint, _update_endpoint, _delete_endpoint),
        TARGET: (_create_target, _update_target, _delete_target),
        POLICY: (_create_policy, _update_policy, _delete_policy),
    }
    for kind, (create, update, delete) in kinds.items():
        _provisioners._RESOURCE_HANDLERS[kind] = {
            "create": create,
            "update": _updating(kind, create, update),
            "update_with_logical_id": True,
            "delete": delete,
        }
    # They call the services through the gateway, and an endpoint takes its time.
    _stacks._runs_on_worker_thread = lambda kind: kind in kinds or bool(runs(kind))


def _updating(kind: str, create: Create, update: Update | None) -> Callable[..., Made]:
    def updating(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        moved = [name for name in _REPLACING.get(kind, ()) if old.get(name) != new.get(name)]
        if update is not None and not moved:
            return update(physical_id, old, new)
        own = _OWN_NAMES.get(kind, "")
        if own in new and new[own] == old.get(own):
            raise ValueError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename"
                f" {new[own]} and update the stack again."
            )
        # Its identifier is another one, so MiniStack deletes the former resource once nothing needs it.
        made: Made = _provisioners._seeded_create(create, logical_id, new, stack)
        return made

    return updating


def _client(service: str) -> Any:
    """A client of the account's root: MiniStack provisions as nobody in particular."""
    account, region = _responses.get_account_id(), _responses.get_region()
    return inside.client(service, account, account, region)


def _request(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """Properties as the API takes them: templates may give numbers and truths as text. Raises ValueError."""
    shape: Any = inside.model(service).operation_model(operation).input_shape
    if unknown := properties.keys() - shape.members.keys():
        raise ValueError(f"Encountered unsupported property {', '.join(sorted(unknown))}")
    typed: dict[str, Any] = _typed(properties, shape)
    return typed


def _typed(value: Any, shape: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, Mapping):
        return {
            name: _typed(item, shape.members[name]) if name in shape.members else item for name, item in value.items()
        }
    if shape.type_name == "map" and isinstance(value, Mapping):
        return {name: _typed(item, shape.value) for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_typed(item, shape.member) for item in value]
    if not isinstance(value, (str, int, float, bool)):
        return value
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("float", "double"):
        return float(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return str(value)


def _named(kind: str, properties: Properties, logical_id: str, stack: str) -> dict[str, Any]:
    return {_OWN_NAMES[kind]: _provisioners._physical_name(stack, logical_id, max_len=63), **properties}


def _name(arn_or_name: str) -> str:
    return arn_or_name.rpartition("/")[2]


def _create_model(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _request("sagemaker", "CreateModel", _named(MODEL, properties, logical_id, stack))
    arn = _client("sagemaker").create_model(**given)["ModelArn"]
    return arn, {"ModelArn": arn, "ModelName": given["ModelName"]}


def _create_config(logical_id: str, properties: Properties, stack: str) -> Made:
    given = _request("sagemaker", "CreateEndpointConfig", _named(CONFIG, properties, logical_id, stack))
    for variant in given["ProductionVariants"]:
        variant["ModelName"] = _name(variant["ModelName"])
    arn = _client("sagemaker").create_endpoint_config(**given)["EndpointConfigArn"]
    return arn, {"EndpointConfigArn": arn, "EndpointConfigName": given["EndpointConfigName"]}


def _deleting(what: str) -> Delete:
    def delete(physical_id: str, _properties: Properties) -> None:
        client = _client("sagemaker")
        call = {"Model": client.delete_model, "EndpointConfig": client.delete_endpoint_config}[what]
        _unless_gone(lambda: call(**{f"{what}Name": _name(physical_id)}))

    return delete


_OF_UPDATES = ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")


def _create_endpoint(logical_id: str, properties: Properties, stack: str) -> Made:
    whole = _named(ENDPOINT, properties, logical_id, stack)
    given = _request("sagemaker", "CreateEndpoint", {k: v for k, v in whole.items() if k not in _OF_UPDATES})
    given["EndpointConfigName"] = _name(given["EndpointConfigName"])
    client = _client("sagemaker")
    arn = client.create_endpoint(**given)["EndpointArn"]
    found = _settled(given["EndpointName"])
    if found is None or found["EndpointStatus"] != "InService":
        _delete_endpoint(arn, properties)
        raise ValueError(f"The endpoint {given['EndpointName']} failed: {(found or {}).get('FailureReason')}")
    return arn, {"EndpointArn": arn, "EndpointName": given["EndpointName"]}


def _update_endpoint(physical_id: str, old: Properties, new: Properties) -> Made:
    # Its record keeps the name as it was given; the ARN has small letters.
    client = _client("sagemaker")
    name = client.describe_endpoint(EndpointName=_name(physical_id))["EndpointName"]
    if {k: v for k, v in old.items() if k != "Tags"} != {k: v for k, v in new.items() if k != "Tags"}:
        wanted = {k: v for k, v in new.items() if k not in ("Tags", "EndpointName")}
        given = _request("sagemaker", "UpdateEndpoint", {**wanted, "EndpointName": name})
        given["EndpointConfigName"] = _name(given["EndpointConfigName"])
        client.update_endpoint(**given)
        found = _settled(name) or {}
        if found.get("FailureReason") or found.get("EndpointConfigName") != given["EndpointConfigName"]:
            raise ValueError(f"The endpoint {name} could not be updated: {found.get('FailureReason')}")
    gone = {tag["Key"] for tag in old.get("Tags", ())} - {tag["Key"] for tag in new.get("Tags", ())}
    if gone:
        client.delete_tags(ResourceArn=physical_id, TagKeys=sorted(gone))
    if new.get("Tags"):
        client.add_tags(ResourceArn=physical_id, Tags=list(new["Tags"]))
    return physical_id, {"EndpointArn": physical_id, "EndpointName": name}


def _delete_endpoint(physical_id: str, _properties: Properties) -> None:
    # One that is being changed cannot be deleted yet.
    if _settled(_name(physical_id)) is not None:
        _unless_gone(lambda: _client("sagemaker").delete_endpoint(EndpointName=_name(physical_id)))
        _settled(_name(physical_id))


def _settled(name: str) -> dict[str, Any] | None:
    """An endpoint's description once nothing is under way; None when there is none. Raises ValueError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: list[dict[str, Any]] = []
        _unless_gone(lambda: found.append(_client("sagemaker").describe_endpoint(EndpointName=name)))  # noqa: B023
        if not found or found[0]["EndpointStatus"] in ("InService", "Failed"):
            return found[0] if found else None
        time.sleep(_POLL_SECONDS)
    raise ValueError(f"The endpoint {name} did not become stable within {_PATIENCE_SECONDS:.0f} s.")


def _unless_gone(call: Callable[[], Any]) -> None:
    try:
        call()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code != "ObjectNotFoundException" and not (code == "ValidationException" and "Could not find" in message):
            raise


def _create_target(_logical_id: str, properties: Properties, _stack: str) -> Made:
    if properties.get("ScheduledActions"):
        raise ValueError("This local cloud does not serve scheduled actions.")
    given = {name: value for name, value in properties.items() if name not in ("ScheduledActions", "Tags")}
    if properties.get("Tags"):
        raise ValueError("This local cloud does not serve tags of scalable targets.")
    request = _request("application-autoscaling", "RegisterScalableTarget", given)
    _client("application-autoscaling").register_scalable_target(**request)
    identity = "|".join(request[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
    return identity, {"Id": identity}


def _update_target(_physical_id: str, _old: Properties, new: Properties) -> Made:
    return _create_target("", new, "")


def _delete_target(physical_id: str, _properties: Properties) -> None:
    _unless_gone(lambda: _client("application-autoscaling").deregister_scalable_target(**_target_of(physical_id)))


def _target_of(identity: str) -> dict[str, str]:
    return dict(zip(("ResourceId", "ScalableDimension", "ServiceNamespace"), identity.split("|"), strict=True))


def _create_policy(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = _client("application-autoscaling").put_scaling_policy(**_policy_request(properties))["PolicyARN"]
    return arn, {"Arn": arn}


def _policy_request(properties: Properties) -> dict[str, Any]:
    given = {name: value for name, value in properties.items() if name != "ScalingTargetId"}
    if "ScalingTargetId" in properties:
        given |= _target_of(properties["ScalingTargetId"])
    return _request("application-autoscaling", "PutScalingPolicy", given)


def _update_policy(_physical_id: str, _old: Properties, new: Properties) -> Made:
    return _create_policy("", new, "")


def _delete_policy(_physical_id: str, properties: Properties) -> None:
    given = _policy_request(properties)
    named = {name: given[name] for name in ("PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace")}
    _unless_gone(lambda: _client("application-autoscaling").delete_scaling_policy(**named))
