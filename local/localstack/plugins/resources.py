"""CloudFormation types that the stacks use and LocalStack's core lacks.

* Custom resources (`Custom::...`): the function is called with the documented event, and answers to an address of
  LocalStack's gateway. Source: "Custom resource request types" and "Custom resource response objects", AWS
  CloudFormation User Guide, read 2026-11-28.
* Dashboards and flow logs: LocalStack keeps their records, by its own API; no flow is ever logged.
* Those of the project's own services: the process that holds the services makes, changes and deletes them, as on the
  embedded cloud.
"""

import json
import threading
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from localstack import config
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)
from werkzeug import Request, Response

from local.localstack.plugins import RESOURCE_TYPES, asking, name_of

ANSWERS = "/_custom_resource/<token>"
_answers: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def take_answer(_request: Request, token: str) -> Response:
    """What a custom resource's function answers, kept until whoever called it reads it. The rest is refused."""
    with _lock:
        if token not in _answers:
            return Response("", 403)
        _answers[token] = json.loads(_request.data)
    return Response("", 200)


class CustomResource(ResourceProvider):
    """`Custom::...` by its function."""

    TYPE = "AWS::CloudFormation::CustomResource"
    SCHEMA: ClassVar[dict[str, Any]] = {
        "typeName": TYPE,
        "properties": {},
        "primaryIdentifier": ["/properties/PhysicalResourceId"],
        "handlers": {},
    }

    def create(self, request: ResourceRequest) -> ProgressEvent:
        """Ask the function to create it."""
        return _asked(request, "Create", request.desired_state)

    def update(self, request: ResourceRequest) -> ProgressEvent:
        """Ask the function to update it."""
        old = _properties(request.previous_state)
        return _asked(request, "Update", request.desired_state, {"OldResourceProperties": _texts(old)})

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        """Ask the function to delete it."""
        return _asked(request, "Delete", request.desired_state or request.previous_state)


_OURS = ("PhysicalResourceId", "AnsweredData")


def _properties(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """What stands in the template: without the identifier and the data that the function gave."""
    given = (state or {}).get("AnsweredData", {})
    return {name: value for name, value in (state or {}).items() if name not in (*_OURS, *given)}


def _asked(
    request: ResourceRequest, kind: str, state: Mapping[str, Any] | None, more: Mapping[str, Any] | None = None
) -> ProgressEvent:
    properties = _properties(state)
    known = (state or {}).get("PhysicalResourceId") or (request.previous_state or {}).get("PhysicalResourceId")
    token = uuid.uuid4().hex
    with _lock:
        _answers[token] = {}
    event = {
        "RequestType": kind,
        "RequestId": token,
        "ResponseURL": f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}{ANSWERS.replace('<token>', token)}",
        "StackId": request.stack_id,
        "ServiceToken": properties["ServiceToken"],
        "LogicalResourceId": request.logical_resource_id,
        "ResourceType": request.resource_type,
        "ResourceProperties": _texts(properties),
        **({"PhysicalResourceId": known} if known else {}),
        **(more or {}),
    }
    called = request.aws_client_factory.lambda_.invoke(
        FunctionName=properties["ServiceToken"], Payload=json.dumps(event)
    )
    said = called["Payload"].read()
    with _lock:
        answer = _answers.pop(token)
    if answer.get("Status") != "SUCCESS":
        reason = answer.get("Reason") or said.decode(errors="replace")[:500]
        return ProgressEvent(OperationStatus.FAILED, resource_model={}, error_code="CustomResource", message=reason)
    data = answer.get("Data") or {}
    model = {
        **properties,
        **data,
        "AnsweredData": data,
        "PhysicalResourceId": answer.get("PhysicalResourceId") or known or token,
    }
    return ProgressEvent(OperationStatus.SUCCESS, resource_model=model)


def _texts(value: Any) -> Any:
    """CloudFormation hands each number and truth value to a custom resource as a text."""
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


class Dashboard(ResourceProvider):
    """`AWS::CloudWatch::Dashboard` by PutDashboard, which checks nothing of its body."""

    TYPE = "AWS::CloudWatch::Dashboard"
    SCHEMA: ClassVar[dict[str, Any]] = {
        "typeName": TYPE,
        "properties": {},
        "primaryIdentifier": ["/properties/DashboardName"],
        "handlers": {},
    }

    def create(self, request: ResourceRequest) -> ProgressEvent:
        """Put it under its name, or one made of the stack's and its own."""
        name = request.desired_state.get("DashboardName") or _made_name(request)
        body = request.desired_state["DashboardBody"]
        request.aws_client_factory.cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body)
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={**request.desired_state, "DashboardName": name})

    def update(self, request: ResourceRequest) -> ProgressEvent:
        """Put it anew under the name that it has."""
        before = request.previous_state or {}
        request.desired_state.setdefault("DashboardName", before.get("DashboardName") or before["PhysicalResourceId"])
        return self.create(request)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        """Delete it."""
        state = request.desired_state or request.previous_state or {}
        name = state.get("DashboardName") or state["PhysicalResourceId"]
        request.aws_client_factory.cloudwatch.delete_dashboards(DashboardNames=[name])
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={})


class FlowLog(ResourceProvider):
    """`AWS::EC2::FlowLog` by CreateFlowLogs: a record, and no flow is logged."""

    TYPE = "AWS::EC2::FlowLog"
    SCHEMA: ClassVar[dict[str, Any]] = {
        "typeName": TYPE,
        "properties": {},
        "primaryIdentifier": ["/properties/Id"],
        "handlers": {},
    }
    _TAKEN = (
        "DeliverLogsPermissionArn",
        "LogDestination",
        "LogDestinationType",
        "LogFormat",
        "LogGroupName",
        "MaxAggregationInterval",
        "ResourceType",
        "TrafficType",
    )

    def create(self, request: ResourceRequest) -> ProgressEvent:
        """Create it for the one resource that a template names."""
        given = request.desired_state
        answer = request.aws_client_factory.ec2.create_flow_logs(
            ResourceIds=[given["ResourceId"]],
            **{name: given[name] for name in self._TAKEN if name in given},
            **({"TagSpecifications": [_tags(given["Tags"])]} if given.get("Tags") else {}),
        )
        if answer.get("Unsuccessful"):
            reason = answer["Unsuccessful"][0]["Error"]["Message"]
            return ProgressEvent(OperationStatus.FAILED, resource_model={}, error_code="FlowLog", message=reason)
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={**given, "Id": answer["FlowLogIds"][0]})

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        """Delete it."""
        state = request.desired_state or request.previous_state or {}
        identifier = state.get("Id") or state["PhysicalResourceId"]
        request.aws_client_factory.ec2.delete_flow_logs(FlowLogIds=[identifier])
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={})


def _tags(tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"ResourceType": "vpc-flow-log", "Tags": tags}


def _made_name(request: ResourceRequest) -> str:
    return f"{request.stack_name}-{request.logical_resource_id}-{uuid.uuid4().hex[:12]}"


class Mounted(ResourceProvider):
    """A type of the project's services; `SCHEMA` names it."""

    def create(self, request: ResourceRequest) -> ProgressEvent:
        """Have it made."""
        return self._asked(request, "create", request.desired_state)

    def update(self, request: ResourceRequest) -> ProgressEvent:
        """Have it changed."""
        return self._asked(request, "update", request.desired_state)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        """Have it deleted."""
        return self._asked(request, "delete", request.desired_state or request.previous_state)

    def _asked(self, request: ResourceRequest, verb: str, state: Mapping[str, Any] | None) -> ProgressEvent:
        before = request.previous_state or {}
        asked = {
            "verb": verb,
            "account": request.account_id,
            "region": request.region_name,
            "stack": request.stack_name,
            "logical": request.logical_resource_id,
            "physical": (state or {}).get("PhysicalResourceId") or before.get("PhysicalResourceId"),
            "properties": _properties(state),
            "old": _properties(before),
        }
        answer = asking.ask(f"resource/{self.SCHEMA['typeName']}", data=json.dumps(asked)).json()
        if "error" in answer:
            return ProgressEvent(
                OperationStatus.FAILED, resource_model={}, error_code="Mounted", message=answer["error"]
            )
        data = answer["attributes"]
        model = {**asked["properties"], **data, "AnsweredData": data, "PhysicalResourceId": answer["physical"]}
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=model)


class _Found(CloudFormationResourceProviderPlugin):
    provider: ClassVar[type[ResourceProvider]]

    def __init__(self) -> None:
        self.factory: type[ResourceProvider] | None = None

    def load(self, *_: Any, **__: Any) -> None:
        """Names the class; LocalStack calls this once."""
        self.factory = self.provider


class CustomResourcePlugin(_Found):
    """How LocalStack finds custom resources."""

    name = CustomResource.TYPE
    provider = CustomResource


class DashboardPlugin(_Found):
    """How LocalStack finds dashboards."""

    name = Dashboard.TYPE
    provider = Dashboard


class FlowLogPlugin(_Found):
    """How LocalStack finds flow logs."""

    name = FlowLog.TYPE
    provider = FlowLog


def _mounted(kind: str) -> type[_Found]:
    schema = {
        "typeName": kind,
        "properties": {},
        "primaryIdentifier": ["/properties/PhysicalResourceId"],
        "handlers": {},
    }
    provider = type(name_of(kind), (Mounted,), {"TYPE": kind, "SCHEMA": schema})
    return type(name_of(kind), (_Found,), {"name": kind, "provider": provider})


globals().update({name_of(kind): _mounted(kind) for kind in RESOURCE_TYPES})
