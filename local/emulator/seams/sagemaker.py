"""SageMaker's jobs, registry and pipelines in the emulator: rights, CloudFormation's types, rules that start pipelines.

What an action is authorised on: Service Authorization Reference, "Actions, resources, and condition keys for Amazon
SageMaker" (as of cfn-lint's copy of its data, read 2026-11-27). A version that is not there yet is authorised as
`model-package/<group>/*`; so is the list of a group's versions. Names are in small letters, as in SageMaker's ARNs.

A rule starts a pipeline with the role of its target: SageMakerPipelineParameters in the API Reference of EventBridge,
read 2026-11-27. The values are taken as they are; paths in them are not looked up.
"""

from __future__ import annotations

import contextvars
import functools
import json
import threading
from collections.abc import Mapping
from typing import Any

from ministack.services import eventbridge as _events

from local.emulator.seams import delivery
from local.emulator.seams.named_resources import Asked, authorise_on, request_of
from local.emulator.seams.resource_types import provide
from local.services.sagemaker.records import named
from local.services.sagemaker.resource_types import TYPES

_JOBS = ("Processing", "Training", "Transform")

# Operations: kind of the resource in its ARN, member of the request that names it.
RESOURCES: dict[str, tuple[str, str]] = {
    **{
        f"{verb}{noun}Job": (f"{noun.lower()}-job", f"{noun}JobName")
        for noun in _JOBS
        for verb in ("Create", "Describe", "Stop")
    },
    **{
        f"{verb}ModelPackageGroup": ("model-package-group", "ModelPackageGroupName")
        for verb in ("Create", "Describe", "Delete")
    },
    **{f"{verb}ModelPackage": ("model-package", "ModelPackageName") for verb in ("Describe", "Delete")},
    "UpdateModelPackage": ("model-package", "ModelPackageArn"),
    **{f"{verb}Pipeline": ("pipeline", "PipelineName") for verb in ("Create", "Describe", "Delete", "Update")},
    "StartPipelineExecution": ("pipeline", "PipelineName"),
    "ListPipelineExecutions": ("pipeline", "PipelineName"),
    **{
        f"{verb}PipelineExecution": ("pipeline", "PipelineExecutionArn")
        for verb in ("Describe", "Retry", "Stop", "Update")
    },
    "DescribePipelineDefinitionForExecution": ("pipeline", "PipelineExecutionArn"),
    "ListPipelineExecutionSteps": ("pipeline", "PipelineExecutionArn"),
    "ListPipelineParametersForExecution": ("pipeline", "PipelineExecutionArn"),
    **{
        f"{verb}DataQualityJobDefinition": ("data-quality-job-definition", "JobDefinitionName")
        for verb in ("Create", "Describe", "Delete")
    },
    **{
        f"{verb}MonitoringSchedule": ("monitoring-schedule", "MonitoringScheduleName")
        for verb in ("Create", "Describe", "Delete", "Start", "Stop", "Update")
    },
    **{
        f"{verb}NotebookInstance": ("notebook-instance", "NotebookInstanceName")
        for verb in ("Create", "Describe", "Delete", "Start", "Stop", "Update")
    },
    **{
        f"{verb}NotebookInstanceLifecycleConfig": (
            "notebook-instance-lifecycle-config",
            "NotebookInstanceLifecycleConfigName",
        )
        for verb in ("Create", "Describe", "Delete", "Update")
    },
    **{f"{verb}Domain": ("domain", "DomainId") for verb in ("Describe", "Delete")},
    **{
        f"{verb}StudioLifecycleConfig": ("studio-lifecycle-config", "StudioLifecycleConfigName")
        for verb in ("Create", "Describe", "Delete")
    },
}
# Operations whose resource has several names in its ARN: its kind, and the members in their order.
COMPOSED: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        f"{verb}UserProfile": ("user-profile", ("DomainId", "UserProfileName"))
        for verb in ("Create", "Describe", "Delete")
    },
    **{
        f"{verb}App": ("app", ("DomainId", "UserProfileName", "AppType", "AppName"))
        for verb in ("Create", "Describe", "Delete")
    },
}
# A domain's identifier is given when it is made, so the request has none.
_NEW_DOMAIN = {"CreateDomain": ("domain", ("DomainId",))}
# Those that name a group, and are authorised on its versions.
_OF_VERSIONS = ("CreateModelPackage", "ListModelPackages")
_OF_TAGS = ("AddTags", "DeleteTags", "ListTags")


def install(undelivered: delivery.Undelivered) -> None:
    """Put the hooks in place. `undelivered` takes the events that could not be delivered."""
    authorise_on(_named)
    _start_pipelines(undelivered)
    for kind, one in TYPES.items():
        provide(kind, one)


# --- What actions are authorised on ----------------------------------------------------------------------------------


def _named(asked: Asked) -> str | None:
    if asked.service != "sagemaker" or not (resource := resource_of(asked.operation, asked.body)):
        return None
    return resource if resource.startswith("arn:") else f"arn:aws:sagemaker:{asked.region}:{asked.account}:{resource}"


def resource_of(operation: str, body: bytes) -> str:
    """What a request is authorised on: an ARN, or `kind/name`; nothing where it is no matter of this module."""
    asked = request_of(body)
    if operation in _OF_TAGS:
        return str(asked.get("ResourceArn", "")).lower()
    if operation in _OF_VERSIONS:
        if group := asked.get("ModelPackageGroupName"):
            return f"model-package/{named(str(group)).lower()}/*"
        return f"model-package/{str(asked.get('ModelPackageName', '*')).lower()}"
    if several := (COMPOSED | _NEW_DOMAIN).get(operation):
        kind, members = several
        return f"{kind}/{'/'.join(str(asked.get(member, '*')) for member in members)}".lower()
    if operation not in RESOURCES:
        return ""
    kind, member = RESOURCES[operation]
    name = asked.get(member)
    return f"{kind}/{named(name).lower()}" if isinstance(name, str) else ""


# --- Rules that start pipelines --------------------------------------------------------------------------------------


def pipeline_request(target: Mapping[str, Any]) -> dict[str, Any]:
    """What StartPipelineExecution is asked for by a target of a rule or a schedule."""
    given = (target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList", [])
    values = [{"Name": one["Name"], "Value": one["Value"]} for one in given]
    return {"PipelineName": target["Arn"], **({"PipelineParameters": values} if values else {})}


def is_pipeline(arn: str) -> bool:
    """Whether an ARN is a pipeline's."""
    return arn.startswith("arn:") and arn.split(":")[2] == "sagemaker" and arn.split(":", 5)[5].startswith("pipeline/")


def _start_pipelines(undelivered: delivery.Undelivered) -> None:
    invoke_target = _events._invoke_target

    @functools.wraps(invoke_target)
    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        if not is_pipeline(str(target.get("Arn", ""))):
            invoke_target(target, event, rule, view)
            return
        payload = json.dumps((view or _events._pattern_event_view(event)).event_with_detail())
        attempt = functools.partial(_started, rule["Arn"], target)
        run = functools.partial(delivery.deliver, attempt, payload, rule["Arn"], target, undelivered)
        # Each delivery takes its time, and EventBridge does not wait for it.
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()

    _events._invoke_target = invoke


def _started(rule_arn: str, target: Mapping[str, Any]) -> tuple[tuple[str, str] | None, bool]:
    return delivery.as_role(
        str(target.get("RoleArn", "")),
        rule_arn,
        lambda client: client("sagemaker").start_pipeline_execution(**pipeline_request(target)),
    )
