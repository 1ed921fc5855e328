"""Services of which records are kept: types of CloudFormation, checked properties, and Config's rules of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator import clock
from local.emulator.seams.kept_records import ONLY_RECORDS, request
from local.services.guardduty import GuardDuty
from local.services.sagemaker.notebooks import SETTLES, Notebooks
from local.services.sagemaker.records import Records
from local.services.sagemaker.studio import Studio
from local.services.wire import ServiceError, service_model
from tests.local.emulated import decided, eventually, last_sequence, make_function, make_role, unique
from tests.local.sagemaking import job_role
from tests.local.standin import FakeCaller

RECORDER = {"RoleARN": "arn:aws:iam::000000000000:role/config", "RecordingGroup": {"AllSupported": "true"}}


# --- Properties, without a cloud -------------------------------------------------------------------------------------


def test_a_property_is_matched_whatever_its_capitals_and_typed_as_the_api_has_it() -> None:
    # Given a template's properties, with text for a truth and capitals where the API has none
    properties = {"ConfigurationRecorder": {"Name": "default", **RECORDER}}
    # When they become a request
    asked = request("config", "PutConfigurationRecorder", properties)
    # Then it is one that the service knows
    assert asked["ConfigurationRecorder"]["roleARN"] == RECORDER["RoleARN"]
    assert asked["ConfigurationRecorder"]["recordingGroup"] == {"allSupported": True}


@pytest.mark.parametrize(
    ("service", "operation", "properties", "problem"),
    [
        ("guardduty", "CreateDetector", {"Enable": True, "Enabled": True}, "unsupported property Enabled"),
        ("guardduty", "CreateDetector", {"Enable": True, "FindingPublishingFrequency": "DAILY"}, "enum"),
        ("guardduty", "CreateDetector", {}, "Missing required parameter"),
        (
            "config",
            "PutConfigRule",
            {"ConfigRule": {"Source": {"Owner": "AWS", "Nothing": "x"}}},
            "unsupported property ConfigRule.Source.Nothing",
        ),
        ("config", "PutConfigRule", {"ConfigRule": {"ConfigRuleName": "x" * 129, "Source": {"Owner": "AWS"}}}, "128"),
        ("sagemaker", "CreateStudioLifecycleConfig", {"StudioLifecycleConfigName": "-"}, "Missing"),
        ("budgets", "CreateBudget", {"AccountId": "12", "Budget": {}}, "Missing required parameter"),
    ],
)
def test_a_property_that_the_api_would_refuse_fails(
    service: str, operation: str, properties: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        request(service, operation, properties)


def test_a_rules_parameters_may_be_an_object() -> None:
    rule = {"Source": {"Owner": "AWS"}, "InputParameters": {"days": "90"}}
    assert request("config", "PutConfigRule", {"ConfigRule": rule})["ConfigRule"]["InputParameters"] == '{"days": "90"}'


def test_what_guardduty_serves_is_its_own_and_nothing_of_findings() -> None:
    # Given the service's model, When what is served is looked at, Then it is of detectors only
    served = set(GuardDuty().operations())
    assert served <= set(service_model("guardduty").operation_names)
    assert all("Detector" in one for one in served)


def test_the_page_of_the_local_cloud_says_of_every_type_that_it_is_a_record() -> None:
    # Given the page, When its table of records is read, Then it has each type with what it does not do
    page = (Path(__file__).parents[2] / "docs" / "local-cloud.md").read_text(encoding="utf-8")
    for kind, told in ONLY_RECORDS.items():
        assert f"| `{kind}` | {told} |" in page


# --- CloudFormation --------------------------------------------------------------------------------------------------


def template(role: str, **changed: Any) -> dict[str, Any]:
    """One of each kind."""
    name = unique("kept")
    domain = {
        "DomainName": name,
        "AuthMode": "IAM",
        "DefaultUserSettings": {"ExecutionRole": role},
        "SubnetIds": ["subnet-1234567890"],
        "VpcId": "vpc-1234567890",
        "AppNetworkAccessType": "VpcOnly",
    }
    types = {
        "Recorder": ("AWS::Config::ConfigurationRecorder", RECORDER, ()),
        "Channel": ("AWS::Config::DeliveryChannel", {"S3BucketName": "log-archive"}, ("Recorder",)),
        "Rule": (
            "AWS::Config::ConfigRule",
            {"Source": {"Owner": "AWS", "SourceIdentifier": "S3_BUCKET_PUBLIC_READ_PROHIBITED"}},
            ("Channel",),
        ),
        "Detector": ("AWS::GuardDuty::Detector", {"Enable": True}, ()),
        "Scripts": (
            "AWS::SageMaker::NotebookInstanceLifecycleConfig",
            {"OnStart": [{"Content": "ZWNobyBoZWxsbw=="}]},
            (),
        ),
        "Notebook": (
            "AWS::SageMaker::NotebookInstance",
            {
                "InstanceType": "ml.t3.medium",
                "RoleArn": role,
                "RootAccess": "Disabled",
                "LifecycleConfigName": {"Fn::GetAtt": ["Scripts", "NotebookInstanceLifecycleConfigName"]},
                **changed,
            },
            (),
        ),
        "Domain": ("AWS::SageMaker::Domain", domain, ()),
        "Profile": (
            "AWS::SageMaker::UserProfile",
            {"DomainId": {"Fn::GetAtt": ["Domain", "DomainId"]}, "UserProfileName": "scientist"},
            (),
        ),
        "App": (
            "AWS::SageMaker::App",
            {
                "DomainId": {"Fn::GetAtt": ["Domain", "DomainId"]},
                "UserProfileName": "scientist",
                "AppType": "JupyterLab",
                "AppName": "default",
            },
            ("Profile",),
        ),
        "Script": (
            "AWS::SageMaker::StudioLifecycleConfig",
            {
                "StudioLifecycleConfigName": name,
                "StudioLifecycleConfigContent": "ZWNobw==",
                "StudioLifecycleConfigAppType": "JupyterLab",
            },
            (),
        ),
        "Budget": (
            "AWS::Budgets::Budget",
            {
                "Budget": {
                    "BudgetType": "COST",
                    "TimeUnit": "MONTHLY",
                    "BudgetLimit": {"Amount": 100, "Unit": "USD"},
                }
            },
            (),
        ),
        "Query": (
            "AWS::Athena::NamedQuery",
            {"Database": "audit", "QueryString": "SELECT 1", "Name": name},
            (),
        ),
    }
    assert {kind for kind, *_ in types.values()} == set(ONLY_RECORDS)
    return {
        "Resources": {
            logical: {"Type": kind, "Properties": properties, **({"DependsOn": list(after)} if after else {})}
            for logical, (kind, properties, after) in types.items()
        },
        "Outputs": {
            "Ids": {"Value": {"Fn::Join": [" ", [{"Ref": logical} for logical in types]]}},
            "Arn": {"Value": {"Fn::GetAtt": ["Notebook", "NotebookInstanceName"]}},
        },
    }


def deployed(cloud: LocalCloud, stack: str, body: dict[str, Any], *, update: bool = False) -> dict[str, Any]:
    """The stack when it has settled."""
    formation = cloud.client("cloudformation")
    change: Callable[..., Any] = formation.update_stack if update else formation.create_stack
    change(StackName=stack, TemplateBody=json.dumps(body))

    def look() -> dict[str, Any] | None:
        found: Any = formation.describe_stacks(StackName=stack)["Stacks"][0]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    found = eventually(look, 30)
    assert found is not None
    events = formation.describe_stack_events(StackName=stack)["StackEvents"]
    why = [str(one.get("ResourceStatusReason")) for one in events if one["ResourceStatus"].endswith("_FAILED")]
    return {**found, "why": why}


def test_a_stack_of_every_kind_is_made_described_changed_and_leaves_nothing(cloud: LocalCloud) -> None:
    # Given a template with one of each type
    stack, role = unique("records"), job_role(cloud)
    body = template(role)
    # When it is deployed
    made = deployed(cloud, stack, body)
    assert made["StackStatus"] == "CREATE_COMPLETE", made["why"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]}
    ids = dict(zip(body["Resources"], outputs["Ids"].split(" "), strict=True))
    # Then the services describe what the template says
    sagemaker, config = cloud.client("sagemaker"), cloud.client("config")
    notebook = sagemaker.describe_notebook_instance(NotebookInstanceName=outputs["Arn"])
    assert (notebook["RootAccess"], notebook["NotebookInstanceStatus"]) == ("Disabled", "InService")
    assert config.describe_configuration_recorder_status()["ConfigurationRecordersStatus"][0]["recording"]
    assert cloud.client("guardduty").get_detector(DetectorId=ids["Detector"])["Status"] == "ENABLED"
    assert sagemaker.describe_domain(DomainId=ids["Domain"])["AppNetworkAccessType"] == "VpcOnly"
    budget = cloud.client("budgets").describe_budget(AccountId=cloud.account, BudgetName=ids["Budget"])["Budget"]
    assert float(budget["BudgetLimit"]["Amount"]) == 100.0
    # Then what nothing evaluates says so, and what nothing can run is refused
    verdict = config.describe_compliance_by_config_rule(ConfigRuleNames=[ids["Rule"]])["ComplianceByConfigRules"][0]
    assert verdict["Compliance"]["ComplianceType"] == "INSUFFICIENT_DATA"
    with pytest.raises(ClientError, match="keeps the managed rule"):
        config.start_config_rules_evaluation(ConfigRuleNames=[ids["Rule"]])
    with pytest.raises(ClientError, match="keeps queries of Athena and runs none"):
        cloud.client("athena").start_query_execution(QueryString="SELECT 1")
    with pytest.raises(ClientError, match="does not serve guardduty:ListFindings"):
        cloud.client("guardduty").list_findings(DetectorId=ids["Detector"])
    # When a property of a rule is changed, Then it is changed in place
    body["Resources"]["Rule"]["Properties"]["Description"] = "no bucket is public"
    assert deployed(cloud, stack, body, update=True)["StackStatus"] == "UPDATE_COMPLETE"
    assert config.describe_config_rules(ConfigRuleNames=[ids["Rule"]])["ConfigRules"][0]["Description"]
    # When it is destroyed, Then nothing is left
    cloud.client("cloudformation").delete_stack(StackName=stack)
    eventually(lambda: not sagemaker.list_domains()["Domains"], 30)
    eventually(lambda: not config.describe_configuration_recorders()["ConfigurationRecorders"], 30)
    assert not sagemaker.list_notebook_instances()["NotebookInstances"]
    assert not cloud.client("guardduty").list_detectors()["DetectorIds"]
    assert not cloud.client("budgets").describe_budgets(AccountId=cloud.account).get("Budgets")


def test_a_property_that_the_service_refuses_fails_the_stack(cloud: LocalCloud) -> None:
    # Given a detector with a frequency that there is not, When it is deployed, Then the stack fails and says why
    detector = {"Type": "AWS::GuardDuty::Detector", "Properties": {"Enable": True, "FindingPublishingFrequency": "NOW"}}
    stack = unique("refused")
    failed = deployed(cloud, stack, {"Resources": {"Detector": detector}})
    assert failed["StackStatus"] in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
    assert any("NOW" in one for one in failed["why"])


# --- A rule of one's own ---------------------------------------------------------------------------------------------

JUDGE = """
import datetime, json, boto3
def handler(event, context):
    assert json.loads(event["invokingEvent"])["messageType"] == "ScheduledNotification"
    boto3.client("config").put_evaluations(ResultToken=event["resultToken"], Evaluations=[{
        "ComplianceResourceType": "AWS::::Account", "ComplianceResourceId": event["accountId"],
        "ComplianceType": json.loads(event["ruleParameters"])["verdict"],
        "OrderingTimestamp": datetime.datetime.now()}])
"""


def test_a_rule_of_ones_own_is_run_by_its_function_if_that_lets_config_in(cloud: LocalCloud) -> None:
    # Given a rule whose function does not let Config in
    config, lambdas = cloud.client("config"), cloud.client("lambda")
    role = make_role(cloud, {"Action": "config:PutEvaluations", "Resource": "*"})
    function = make_function(cloud, JUDGE, role)
    arn = lambdas.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    config.put_configuration_recorder(ConfigurationRecorder={"name": "default", "roleARN": role})
    name = unique("rule")
    rule = {
        "ConfigRuleName": name,
        "Source": {"Owner": "CUSTOM_LAMBDA", "SourceIdentifier": arn},
        "InputParameters": '{"verdict": "NON_COMPLIANT"}',
    }
    config.put_config_rule(ConfigRule=rule)
    before = last_sequence(cloud)
    # When it is asked for, Then it is refused, and the decision is on record
    with pytest.raises(ClientError, match="does not let AWS Config invoke it"):
        config.start_config_rules_evaluation(ConfigRuleNames=[name])
    assert [one["allowed"] for one in decided(cloud, "lambda:InvokeFunction", arn, before)] == [False]
    # When the function lets it in, Then what the function finds is kept, and told
    lambdas.add_permission(
        FunctionName=function,
        StatementId="config",
        Action="lambda:InvokeFunction",
        Principal="config.amazonaws.com",
        SourceAccount=cloud.account,
    )
    config.start_config_rules_evaluation(ConfigRuleNames=[name])

    def found() -> list[Any]:
        return list(config.get_compliance_details_by_config_rule(ConfigRuleName=name)["EvaluationResults"])

    (result,) = eventually(found)
    assert result["ComplianceType"] == "NON_COMPLIANT"
    # When somebody makes a token up, Then it is refused
    with pytest.raises(ClientError, match="InvalidResultToken"):
        config.put_evaluations(ResultToken="made-up", Evaluations=[])
    config.delete_config_rule(ConfigRuleName=name)
    config.delete_configuration_recorder(ConfigurationRecorderName="default")


# --- Notebooks and apps ----------------------------------------------------------------------------------------------


def test_a_notebook_goes_through_its_states_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an instance that has just been made, and a clock that stands still
    now = 1_800_000_000.0
    monkeypatch.setattr(clock, "now", lambda: now)
    caller, operations = FakeCaller(), Notebooks(Records()).operations()
    named = {"NotebookInstanceName": "mine"}
    operations["CreateNotebookInstance"]({**named, "InstanceType": "ml.t3.medium", "RoleArn": "role"}, caller)
    assert caller.assumed == [("role", "sagemaker.amazonaws.com")]

    def status() -> str:
        return str(operations["DescribeNotebookInstance"](named, caller)["NotebookInstanceStatus"])

    def refused(operation: str) -> str:
        with pytest.raises(ServiceError) as caught:
            operations[operation](named, caller)
        return caught.value.message

    assert status() == "Pending"
    assert "Unable to transition" in refused("StopNotebookInstance")
    # When the clock moves, Then it is in service, can be stopped, and only then deleted
    now += SETTLES
    assert status() == "InService"
    assert "Unable to transition" in refused("DeleteNotebookInstance")
    operations["StopNotebookInstance"](named, caller)
    assert status() == "Stopping"
    now += SETTLES
    stopped = operations["ListNotebookInstances"]({"StatusEquals": "Stopped"}, caller)["NotebookInstances"]
    assert [one["NotebookInstanceName"] for one in stopped] == ["mine"]
    operations["DeleteNotebookInstance"](named, caller)
    now += SETTLES
    assert "does not exist" in refused("DescribeNotebookInstance")


def test_a_profile_with_an_app_and_a_domain_with_a_profile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a domain, a profile in it and an app of that
    now = 1_800_000_000.0
    monkeypatch.setattr(clock, "now", lambda: now)
    caller, operations = FakeCaller(), Studio(Records()).operations()
    wanted = {"DomainName": "ours", "AuthMode": "IAM", "DefaultUserSettings": {}, "VpcId": "vpc", "SubnetIds": ["s"]}
    domain = {"DomainId": operations["CreateDomain"](wanted, caller)["DomainId"]}
    profile = {**domain, "UserProfileName": "ada"}
    app = {**profile, "AppType": "JupyterLab", "AppName": "default"}
    operations["CreateUserProfile"](profile, caller)
    operations["CreateApp"](app, caller)
    # When what holds something is deleted, Then it is refused
    for operation, named in (("DeleteDomain", domain), ("DeleteUserProfile", profile)):
        with pytest.raises(ServiceError, match="ResourceInUse"):
            operations[operation](named, caller)
    # When all go from the inside outwards, each after its moment, Then nothing is left
    for operation, named in (("DeleteApp", app), ("DeleteUserProfile", profile), ("DeleteDomain", domain)):
        now += SETTLES
        operations[operation](named, caller)
        now += SETTLES
    assert not operations["ListDomains"]({}, caller)["Domains"]


def test_a_notebook_without_the_internet_needs_a_subnet(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError, match="only together with a SubnetId"):
        cloud.client("sagemaker").create_notebook_instance(
            NotebookInstanceName=unique("notebook"),
            InstanceType="ml.t3.medium",
            RoleArn=job_role(cloud),
            DirectInternetAccess="Disabled",
        )
