"""Condition keys that tell what a request asks for: SageMaker's, those of IAM's roles, and tags of what is there.

SageMaker's keys and what they stand for: "Amazon SageMaker AI identity-based policy examples", Amazon SageMaker AI
Developer Guide, and "Governance and control" of AWS's whitepaper on secure ML platforms, both read 2026-11-27; members
of requests as in botocore's model. A member that a request leaves out has no key. IAM's: "Actions, resources, and
condition keys for AWS Identity and Access Management", Service Authorization Reference, not read again.

Tags of a resource count wherever a policy asks for them, in a boundary and a session's policies too; MiniStack looks
for them only where the identity's policies do. A version in the registry bears its group's tags.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.services import iam as _iam_store
from ministack.services import tagging as _tagging

from local.emulator.seams.named_resources import Asked, authorise_on, request_of
from local.services import SAGEMAKER

# In a context: whose keys are all given, and nothing is to be looked up.
COMPLETE = "local:complete"

_ACCESS = "sagemaker:"
# Kind of value: one, or several that a set operator looks at. Members by the path in the request.
_ONE: Mapping[str, tuple[str, ...]] = {
    "VolumeKmsKey": (
        "ResourceConfig.VolumeKmsKeyId",
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId",
        "TransformResources.VolumeKmsKeyId",
    ),
    "OutputKmsKey": ("OutputDataConfig.KmsKeyId", "ProcessingOutputConfig.KmsKeyId", "TransformOutput.KmsKeyId"),
    "NetworkIsolation": ("EnableNetworkIsolation", "NetworkConfig.EnableNetworkIsolation"),
    "InterContainerTrafficEncryption": (
        "EnableInterContainerTrafficEncryption",
        "NetworkConfig.EnableInterContainerTrafficEncryption",
    ),
    "MaxRuntimeInSeconds": ("StoppingCondition.MaxRuntimeInSeconds",),
    "DirectInternetAccess": ("DirectInternetAccess",),
    "RootAccess": ("RootAccess",),
    "AppNetworkAccessType": ("AppNetworkAccessType",),
}
_SEVERAL: Mapping[str, tuple[str, ...]] = {
    "InstanceTypes": (
        "ResourceConfig.InstanceType",
        "ResourceConfig.InstanceGroups[].InstanceType",
        "ProcessingResources.ClusterConfig.InstanceType",
        "TransformResources.InstanceType",
        "ProductionVariants[].InstanceType",
        "ShadowProductionVariants[].InstanceType",
        "InstanceType",
        "ResourceSpec.InstanceType",
    ),
    "VpcSubnets": ("VpcConfig.Subnets[]", "NetworkConfig.VpcConfig.Subnets[]", "SubnetIds[]", "SubnetId"),
    "VpcSecurityGroupIds": (
        "VpcConfig.SecurityGroupIds[]",
        "NetworkConfig.VpcConfig.SecurityGroupIds[]",
        "SecurityGroupIds[]",
        "DefaultUserSettings.SecurityGroups[]",
        "UserSettings.SecurityGroups[]",
    ),
}
# Operations whose key stands at the top of the request, where others have another.
_KMS_KEY_IS_THE_VOLUMES = ("CreateEndpointConfig", "CreateNotebookInstance", "CreateDomain")

# IAM's operations that give a role its boundary, and those that meet the one it has.
_GIVES_BOUNDARY = ("CreateRole", "PutRolePermissionsBoundary")
_MEETS_BOUNDARY = (
    "AttachRolePolicy",
    "DeleteRolePermissionsBoundary",
    "DeleteRolePolicy",
    "DetachRolePolicy",
    "PutRolePolicy",
)


def install() -> None:
    """Add the keys to what the gateway evaluates, and look up tags where a policy asks for them."""
    known, resolve = _iam_actions.request_tag_context, _iam._resolve_condition_key

    @functools.wraps(known)
    def with_more(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = dict(known(service, iam_action, body, params))
        operation = iam_action.partition(":")[2]
        if service == "sagemaker":
            context |= of_sagemaker(operation, request_of(body))
        elif service == "iam":
            context |= _of_iam(operation, body, params)
        return context

    @functools.wraps(resolve)
    def resolving(key: str, context: Any) -> Any:
        value = resolve(key, context)
        if value is None and COMPLETE not in context.service_context:
            kind, _, tag = key.partition("/")
            if tag and kind.lower() in ("aws:resourcetag", f"{context.action.partition(':')[0]}:resourcetag"):
                return _tags(context.resource_arn).get(tag.lower())
        return value

    _iam_actions.request_tag_context = with_more
    _iam._resolve_condition_key = resolving
    authorise_on(_role)


def _role(asked: Asked) -> str | None:
    """What is done to a role is authorised on its ARN with its path; MiniStack leaves the path out."""
    if asked.service != "iam":
        return None
    if source := _iam_actions._param(asked.body, asked.query, "PolicySourceArn"):
        return str(source)
    name = str(_iam_actions._param(asked.body, asked.query, "RoleName"))
    if not name:
        return None
    if _iam_actions._query_param(asked.query, "Action") == "CreateRole":
        where = _iam_actions._param(asked.body, asked.query, "Path") or "/"
        return f"arn:aws:iam::{asked.account}:role{where}{name}"
    role = _iam_store._roles.get(name)
    return str(role["Arn"]) if role is not None else f"arn:aws:iam::{asked.account}:role/{name}"


def of_sagemaker(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a request that creates or changes something: text, or a list for those of several values."""
    found: dict[str, Any] = {}
    for key, paths in _ONE.items():
        values = [value for path in paths for value in _at(request, path.split("."))]
        if values:
            found[f"{_ACCESS}{key}"] = _text(values[0])
    for key, paths in _SEVERAL.items():
        values = [_text(value) for path in paths for value in _at(request, path.split("."))]
        if values:
            found[f"{_ACCESS}{key}"] = values
    if operation in _KMS_KEY_IS_THE_VOLUMES and "KmsKeyId" in request:
        found[f"{_ACCESS}VolumeKmsKey"] = _text(request["KmsKeyId"])
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(value: Any, path: list[str]) -> list[Any]:
    """All values at a path; `[]` after a name goes through a list."""
    if not path:
        return [] if value is None else [value]
    name, rest = path[0], path[1:]
    inner = value.get(name.removesuffix("[]")) if isinstance(value, dict) else None
    if name.endswith("[]"):
        return [found for one in inner or [] for found in _at(one, rest)] if isinstance(inner, list) else []
    return _at(inner, rest) if inner is not None else []


def _of_iam(operation: str, body: bytes, params: dict[str, Any]) -> dict[str, str]:
    found = {}
    if operation in _GIVES_BOUNDARY and (given := _iam_actions._param(body, params, "PermissionsBoundary")):
        found["iam:PermissionsBoundary"] = str(given)
    if operation in _MEETS_BOUNDARY:
        role = _iam_store._roles.get(str(_iam_actions._param(body, params, "RoleName"))) or {}
        if boundary := role.get("PermissionsBoundary"):
            found["iam:PermissionsBoundary"] = str(boundary)
    if policy := _iam_actions._param(body, params, "PolicyArn"):
        found["iam:PolicyARN"] = str(policy)
    return found


def _tags(arn: str) -> dict[str, str]:
    """The tags of a resource, their keys in small letters; none where there is no such resource."""
    if ":sagemaker:" not in arn:
        found = _tagging.resource_tags(arn) or {}
    else:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        owner = arn
        if kind == "model-package":
            owner = f"{arn.rpartition(':')[0]}:model-package-group/{name.partition('/')[0]}"
        record = SAGEMAKER.records.by_arn(owner)
        found = record.tags if record is not None and record.account == _responses.get_account_id() else {}
    return {key.lower(): value for key, value in found.items()}
