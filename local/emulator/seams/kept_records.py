"""CloudFormation's types for services of which the local cloud keeps records.

Their properties are those of the service's own create operation, and are checked against botocore's model of it: a
property that it lacks, a value of a wrong type, outside its bounds, its enumeration or its pattern fails the stack. The
resource is then made by that operation and described back by the service. What such a service does beside that is said
in its module, and `ONLY_RECORDS` says in a word what each type does not do here.

Of which service does what: Config and GuardDuty are this project's (`local.services`), so are notebook instances and
Studio; Budgets, CloudTrail and Athena's named queries are MiniStack's. MiniStack's Athena answers a query with made-up
rows where DuckDB is not installed, and it is not: running one is refused here.

Ref and GetAtt as in the reference of each type, AWS CloudFormation Template Reference (read in CDK's documentation of
the attributes, 2026-11-27; what Ref gives of a user profile is not said there, and here it is its name).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from ministack import app as _app
from ministack.core import responses as _responses
from ministack.services import lambda_svc as _lambda

from local.emulator import authorise
from local.emulator.seams import polly
from local.emulator.seams.resource_types import provide
from local.services import CONFIG, resource_types
from local.services.guardduty import GuardDuty
from local.services.resource_types import Made, Properties, ResourceType
from local.services.sagemaker.records import named
from local.services.wire import ServiceError, parse_request, service_model

# What a type does not do here. The documentation of the local cloud is held against it.
ONLY_RECORDS: Mapping[str, str] = {
    "AWS::Athena::NamedQuery": "the query is kept; running one is refused",
    "AWS::Budgets::Budget": "nothing is spent here, so no alert is ever sent",
    "AWS::Config::ConfigRule": "AWS's managed rules evaluate nothing; a rule of your own runs when it is asked for",
    "AWS::Config::ConfigurationRecorder": "no configuration is recorded",
    "AWS::Config::DeliveryChannel": "nothing is delivered",
    "AWS::GuardDuty::Detector": "nothing is looked at, so nothing is found",
    "AWS::SageMaker::App": "no app runs",
    "AWS::SageMaker::Domain": "no Studio runs; its network and its keys change nothing",
    "AWS::SageMaker::NotebookInstance": "no machine and no Jupyter run; its states follow the clock",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": "the scripts are never run",
    "AWS::SageMaker::StudioLifecycleConfig": "the scripts are never run",
    "AWS::SageMaker::UserProfile": "nobody can sign in",
}
_PATIENCE_SECONDS = 30.0


def install() -> None:
    """Serve the types, and the services of ours behind them."""
    polly.register(GuardDuty())
    CONFIG.use(_invoke)
    _refuse_made_up_rows()
    for kind, one in _TYPES.items():
        provide(kind, one)


# --- Properties ------------------------------------------------------------------------------------------------------


def request(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """A template's properties as the request that makes the resource, checked as the service checks it.

    Names are matched whatever their capitals: some services write `name` where the template has `Name`. Raises
    ValueError for a property that the operation lacks, and for a value that its model refuses.
    """
    model = service_model(service).operation_model(operation)
    shaped = _shaped(properties, model.input_shape, "")
    try:
        parse_request(model, json.dumps(shaped).encode())
    except ServiceError as error:
        raise ValueError(error.message) from error
    asked: dict[str, Any] = shaped
    return asked


def _shaped(value: Any, shape: Shape | None, path: str) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name.casefold(): name for name in shape.members}
        if unknown := [name for name in value if name.casefold() not in members]:
            raise ValueError(f"Encountered unsupported property {', '.join(f'{path}{name}' for name in unknown)}")
        named_so = {members[name.casefold()]: item for name, item in value.items()}
        return {name: _shaped(item, shape.members[name], f"{path}{name}.") for name, item in named_so.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_shaped(item, shape.member, path) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {name: _shaped(item, shape.value, path) for name, item in value.items()}
    if shape is not None and shape.type_name == "string" and isinstance(value, (Mapping, list)):
        # A member that holds JSON is an object in a template, such as the parameters of a Config rule.
        return json.dumps(value)
    return resource_types.typed(value, shape)


def _call(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    return resource_types.call(service, operation, request(service, operation, properties))


def _without(properties: Properties, *names: str) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}


def _until(look: Callable[[], bool], what: str) -> None:
    """Wait for a resource to settle, as CloudFormation does. Raises TimeoutError."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not look():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not settle")
        time.sleep(0.05)


def _gone(service: str, operation: str, asked: Properties, *codes: str) -> bool:
    try:
        _call(service, operation, asked)
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return True
        raise
    return False


# --- Config ----------------------------------------------------------------------------------------------------------


def _invoke(function: str, event: Mapping[str, Any], rule: str, account: str, region: str) -> None:
    """Config invokes a rule's function by that function's policy. Raises ServiceError."""
    with _responses.request_scope(account, region):
        context = {"aws:SourceArn": rule, "aws:SourceAccount": account}
        known, config, _ = _lambda._get_func_record_for_ref(function)
        if not known or not config:
            raise ServiceError("InvalidParameterValueException", f"The function {function} does not exist.")
        if not authorise.act_as(
            "config.amazonaws.com", "lambda:InvokeFunction", function, context, path="service-to-function"
        ):
            raise ServiceError("InvalidParameterValueException", f"{function} does not let AWS Config invoke it.")
        _lambda.invoke_async_with_retry(_lambda._execution_record_for_config(known, config), dict(event))


def _create_recorder(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties.get("Name") or resource_types.physical_name(stack, logical_id)
    return _put_recorder(name, properties)


def _put_recorder(name: str, properties: Properties) -> Made:
    recorder = {**_without(properties, "Name", "StartedOnCreate"), "Name": name}
    _call("config", "PutConfigurationRecorder", {"ConfigurationRecorder": recorder})
    return name, {}


def _delete_recorder(physical_id: str, _properties: Properties) -> None:
    _gone(
        "config",
        "DeleteConfigurationRecorder",
        {"ConfigurationRecorderName": physical_id},
        "NoSuchConfigurationRecorderException",
    )


def _create_channel(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties.get("Name") or resource_types.physical_name(stack, logical_id)
    made = _put_channel(name, properties)
    # CloudFormation starts the recorder once it has somewhere to deliver to.
    for recorder in _call("config", "DescribeConfigurationRecorders", {})["ConfigurationRecorders"]:
        _call("config", "StartConfigurationRecorder", {"ConfigurationRecorderName": recorder["name"]})
    return made


def _put_channel(name: str, properties: Properties) -> Made:
    _call("config", "PutDeliveryChannel", {"DeliveryChannel": {**_without(properties, "Name"), "Name": name}})
    return name, {}


def _delete_channel(physical_id: str, _properties: Properties) -> None:
    for recorder in _call("config", "DescribeConfigurationRecorders", {})["ConfigurationRecorders"]:
        _call("config", "StopConfigurationRecorder", {"ConfigurationRecorderName": recorder["name"]})
    _gone("config", "DeleteDeliveryChannel", {"DeliveryChannelName": physical_id}, "NoSuchDeliveryChannelException")


def _create_rule(logical_id: str, properties: Properties, stack: str) -> Made:
    return _put_rule(properties.get("ConfigRuleName") or resource_types.physical_name(stack, logical_id), properties)


def _put_rule(name: str, properties: Properties) -> Made:
    _call("config", "PutConfigRule", {"ConfigRule": {**properties, "ConfigRuleName": name}})
    found = _call("config", "DescribeConfigRules", {"ConfigRuleNames": [name]})["ConfigRules"][0]
    return name, {
        "Arn": found["ConfigRuleArn"],
        "ConfigRuleId": found["ConfigRuleId"],
        "Compliance.Type": "INSUFFICIENT_DATA",
    }


def _delete_rule(physical_id: str, _properties: Properties) -> None:
    _gone("config", "DeleteConfigRule", {"ConfigRuleName": physical_id}, "NoSuchConfigRuleException")


# --- GuardDuty -------------------------------------------------------------------------------------------------------


def _detector(properties: Properties) -> dict[str, Any]:
    given = _without(properties, "Tags")
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", ())}
    return {**given, **({"Tags": tags} if tags else {})}


def _create_detector(_logical_id: str, properties: Properties, _stack: str) -> Made:
    identity = _call("guardduty", "CreateDetector", _detector(properties))["DetectorId"]
    return identity, {"Id": identity}


def _update_detector(physical_id: str, _old: Properties, new: Properties) -> Made:
    _call("guardduty", "UpdateDetector", {**_without(new, "Tags"), "DetectorId": physical_id})
    return physical_id, {"Id": physical_id}


def _delete_detector(physical_id: str, _properties: Properties) -> None:
    _gone("guardduty", "DeleteDetector", {"DetectorId": physical_id}, "BadRequestException")


# --- Notebook instances ----------------------------------------------------------------------------------------------


def _create_notebook(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties.get("NotebookInstanceName") or resource_types.physical_name(stack, logical_id)
    arn = _call("sagemaker", "CreateNotebookInstance", {**properties, "NotebookInstanceName": name})[
        "NotebookInstanceArn"
    ]
    _until(lambda: _notebook(name) in ("InService", "Failed"), name)
    return arn, {"NotebookInstanceName": name, "NotebookInstanceArn": arn}


def _notebook(name: str) -> str:
    """The status of an instance, or nothing if it is gone."""
    try:
        found = _call("sagemaker", "DescribeNotebookInstance", {"NotebookInstanceName": name})
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":
            return ""
        raise
    return str(found["NotebookInstanceStatus"])


def _delete_notebook(physical_id: str, _properties: Properties) -> None:
    name = named(physical_id)
    asked = {"NotebookInstanceName": name}
    _until(lambda: _notebook(name) in ("", "InService", "Stopped", "Failed"), name)
    if _notebook(name) == "InService":
        _call("sagemaker", "StopNotebookInstance", asked)
        _until(lambda: _notebook(name) in ("Stopped", "Failed"), name)
    if _notebook(name):
        _call("sagemaker", "DeleteNotebookInstance", asked)
        _until(lambda: not _notebook(name), name)


def _create_scripts(logical_id: str, properties: Properties, stack: str) -> Made:
    own = "NotebookInstanceLifecycleConfigName"
    name = properties.get(own) or resource_types.physical_name(stack, logical_id)
    arn = _call("sagemaker", "CreateNotebookInstanceLifecycleConfig", {**properties, own: name})[
        "NotebookInstanceLifecycleConfigArn"
    ]
    return arn, {own: name, "NotebookInstanceLifecycleConfigArn": arn}


def _update_scripts(physical_id: str, _old: Properties, new: Properties) -> Made:
    own = "NotebookInstanceLifecycleConfigName"
    name = named(physical_id)
    _call("sagemaker", "UpdateNotebookInstanceLifecycleConfig", {**_without(new, own, "Tags"), own: name})
    return physical_id, {own: name, "NotebookInstanceLifecycleConfigArn": physical_id}


def _delete_scripts(physical_id: str, _properties: Properties) -> None:
    asked = {"NotebookInstanceLifecycleConfigName": named(physical_id)}
    resource_types.unless_gone(
        lambda: _call("sagemaker", "DeleteNotebookInstanceLifecycleConfig", asked), "ValidationException"
    )


# --- Studio ----------------------------------------------------------------------------------------------------------


def _create_domain(_logical_id: str, properties: Properties, _stack: str) -> Made:
    made = _call("sagemaker", "CreateDomain", properties)
    identity, arn = made["DomainId"], made["DomainArn"]
    _until(lambda: _status("DescribeDomain", {"DomainId": identity}) == "InService", identity)
    return identity, {"DomainId": identity, "DomainArn": arn}


def _status(operation: str, asked: Properties) -> str:
    """The status of a resource of Studio, or nothing if it is gone."""
    try:
        return str(_call("sagemaker", operation, asked)["Status"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFound":
            return ""
        raise


def _delete_of_studio(kind: str, asked: Properties) -> None:
    describe = f"Describe{kind}"
    if not _status(describe, asked):
        return
    _call("sagemaker", f"Delete{kind}", asked)
    _until(lambda: not _status(describe, asked), f"{kind} {asked}")


def _delete_domain(physical_id: str, _properties: Properties) -> None:
    _delete_of_studio("Domain", {"DomainId": physical_id})


def _create_profile(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = _call("sagemaker", "CreateUserProfile", properties)["UserProfileArn"]
    asked = {name: properties[name] for name in ("DomainId", "UserProfileName")}
    _until(lambda: _status("DescribeUserProfile", asked) == "InService", arn)
    return properties["UserProfileName"], {"UserProfileArn": arn}


def _delete_profile(physical_id: str, properties: Properties) -> None:
    _delete_of_studio("UserProfile", {"DomainId": properties["DomainId"], "UserProfileName": physical_id})


def _create_app(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = _call("sagemaker", "CreateApp", properties)["AppArn"]
    asked = {name: properties[name] for name in ("DomainId", "UserProfileName", "AppType", "AppName")}
    _until(lambda: _status("DescribeApp", asked) == "InService", arn)
    return properties["AppName"], {"AppArn": arn}


def _delete_app(physical_id: str, properties: Properties) -> None:
    asked = {name: properties[name] for name in ("DomainId", "UserProfileName", "AppType")}
    _delete_of_studio("App", {**asked, "AppName": physical_id})


def _create_studio_script(_logical_id: str, properties: Properties, _stack: str) -> Made:
    arn = _call("sagemaker", "CreateStudioLifecycleConfig", properties)["StudioLifecycleConfigArn"]
    return properties["StudioLifecycleConfigName"], {"StudioLifecycleConfigArn": arn}


def _delete_studio_script(physical_id: str, _properties: Properties) -> None:
    _gone("sagemaker", "DeleteStudioLifecycleConfig", {"StudioLifecycleConfigName": physical_id}, "ResourceNotFound")


# --- Budgets ---------------------------------------------------------------------------------------------------------


def _create_budget(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties["Budget"].get("BudgetName") or resource_types.physical_name(stack, logical_id, 100)
    budget = {**properties["Budget"], "BudgetName": name}
    if "BudgetLimit" in budget:
        # A template has a number where the API has text.
        budget["BudgetLimit"] = {**budget["BudgetLimit"], "Amount": str(budget["BudgetLimit"]["Amount"])}
    _call("budgets", "CreateBudget", {**properties, "Budget": budget, "AccountId": _responses.get_account_id()})
    return name, {}


def _delete_budget(physical_id: str, _properties: Properties) -> None:
    asked = {"AccountId": _responses.get_account_id(), "BudgetName": physical_id}
    _gone("budgets", "DeleteBudget", asked, "NotFoundException")


# --- Athena ----------------------------------------------------------------------------------------------------------


def _create_query(logical_id: str, properties: Properties, stack: str) -> Made:
    name = properties.get("Name") or resource_types.physical_name(stack, logical_id)
    identity = _call("athena", "CreateNamedQuery", {**properties, "Name": name})["NamedQueryId"]
    return identity, {"NamedQueryId": identity}


def _delete_query(physical_id: str, _properties: Properties) -> None:
    _call("athena", "DeleteNamedQuery", {"NamedQueryId": physical_id})


def _refuse_made_up_rows() -> None:
    handle = _app.SERVICE_HANDLERS["athena"]

    async def refusing(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        if headers.get("x-amz-target", "").endswith(".StartQueryExecution"):
            problem = "This local cloud keeps queries of Athena and runs none."
            answer = json.dumps({"__type": "NotImplemented", "message": problem}).encode()
            return 501, {"Content-Type": "application/x-amz-json-1.1"}, answer
        return await handle(method, path, headers, body, query)

    _app.SERVICE_HANDLERS["athena"] = refusing


_TYPES: Mapping[str, ResourceType] = {
    "AWS::Config::ConfigurationRecorder": ResourceType(
        _create_recorder,
        lambda physical_id, _old, new: _put_recorder(physical_id, new),
        _delete_recorder,
        ("Name",),
        "Name",
    ),
    "AWS::Config::DeliveryChannel": ResourceType(
        _create_channel,
        lambda physical_id, _old, new: _put_channel(physical_id, new),
        _delete_channel,
        ("Name",),
        "Name",
    ),
    "AWS::Config::ConfigRule": ResourceType(
        _create_rule,
        lambda physical_id, _old, new: _put_rule(physical_id, new),
        _delete_rule,
        ("ConfigRuleName",),
        "ConfigRuleName",
    ),
    "AWS::GuardDuty::Detector": ResourceType(_create_detector, _update_detector, _delete_detector),
    "AWS::SageMaker::NotebookInstance": ResourceType(
        _create_notebook, None, _delete_notebook, own_name="NotebookInstanceName"
    ),
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": ResourceType(
        _create_scripts,
        _update_scripts,
        _delete_scripts,
        ("NotebookInstanceLifecycleConfigName",),
        "NotebookInstanceLifecycleConfigName",
    ),
    "AWS::SageMaker::Domain": ResourceType(_create_domain, None, _delete_domain, own_name="DomainName"),
    "AWS::SageMaker::UserProfile": ResourceType(_create_profile, None, _delete_profile, own_name="UserProfileName"),
    "AWS::SageMaker::App": ResourceType(_create_app, None, _delete_app, own_name="AppName"),
    "AWS::SageMaker::StudioLifecycleConfig": ResourceType(
        _create_studio_script,
        None,
        _delete_studio_script,
        own_name="StudioLifecycleConfigName",
    ),
    "AWS::Budgets::Budget": ResourceType(_create_budget, None, _delete_budget),
    "AWS::Athena::NamedQuery": ResourceType(_create_query, None, _delete_query),
}
