"""Two copies of a stack never want the same name, and no name grows longer than its service takes.

Most resources have no name in the template: CloudFormation makes one of the stack's name, the logical id and twelve
characters that nobody else has, and cuts it to what the service takes (AWS CloudFormation User Guide, "Name type", read
2026-11-28). So what is looked at are the names that a template does write, those that custom resources are asked for,
and what an account can have only one of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stacks.policy import registry
from stacks.policy.template import Problem, Template
from stacks.policy.values import Place, evaluate, string

CHECK = "names"

Scope = Literal["world", "account", "region", "owner"]


@dataclass(frozen=True)
class Name:
    """A property that names a resource.

    `path` leads to it from `Properties`, `limit` is in characters, and of `scope` there is one by the same name: the
    world, the account in all regions, the account in one region, or the resource that it belongs to.
    """

    path: tuple[str, ...]
    limit: int
    scope: Scope


# By resource type. Limits: the schemas that cfn-lint 1.58.0 carries (`maxLength`, or the length in `pattern`), or else
# the service models of the AWS SDK (botocore 1.43.106); read 2026-11-28. Scopes: the services' quotas pages, or from
# memory: `account` is IAM and Budgets, which have no regions, `world` is S3.
NAMES: Mapping[str, tuple[Name, ...]] = {
    "AWS::ApiGateway::Stage": (Name(("StageName",), 128, "owner"),),
    "AWS::Athena::WorkGroup": (Name(("Name",), 128, "region"),),
    "AWS::Budgets::Budget": (Name(("Budget", "BudgetName"), 100, "account"),),
    "AWS::CloudTrail::Trail": (Name(("TrailName",), 128, "region"),),
    "AWS::CloudWatch::Alarm": (Name(("AlarmName",), 255, "region"),),
    "AWS::CloudWatch::CompositeAlarm": (Name(("AlarmName",), 255, "region"),),
    "AWS::CloudWatch::Dashboard": (Name(("DashboardName",), 255, "region"),),
    "AWS::Config::ConfigRule": (Name(("ConfigRuleName",), 128, "region"),),
    "AWS::Config::ConfigurationRecorder": (Name(("Name",), 256, "region"),),
    "AWS::Config::DeliveryChannel": (Name(("Name",), 256, "region"),),
    "AWS::DynamoDB::Table": (Name(("TableName",), 255, "region"),),
    "AWS::EC2::SecurityGroup": (Name(("GroupName",), 255, "owner"),),
    "AWS::Events::Rule": (Name(("Name",), 64, "region"),),
    "AWS::Glue::Database": (Name(("DatabaseInput", "Name"), 255, "region"), Name(("DatabaseName",), 255, "region")),
    "AWS::Glue::Table": (Name(("TableInput", "Name"), 255, "owner"), Name(("Name",), 255, "owner")),
    "AWS::IAM::Group": (Name(("GroupName",), 128, "account"),),
    "AWS::IAM::InstanceProfile": (Name(("InstanceProfileName",), 128, "account"),),
    "AWS::IAM::ManagedPolicy": (Name(("ManagedPolicyName",), 128, "account"),),
    "AWS::IAM::Policy": (Name(("PolicyName",), 128, "owner"),),
    "AWS::IAM::Role": (Name(("RoleName",), 64, "account"), Name(("Path",), 512, "owner")),
    "AWS::IAM::User": (Name(("UserName",), 64, "account"),),
    "AWS::KMS::Alias": (Name(("AliasName",), 256, "region"),),
    "AWS::Lambda::Function": (Name(("FunctionName",), 64, "region"),),
    "AWS::Logs::LogGroup": (Name(("LogGroupName",), 512, "region"),),
    "AWS::S3::Bucket": (Name(("BucketName",), 63, "world"),),
    "AWS::SNS::Topic": (Name(("TopicName",), 256, "region"),),
    "AWS::SQS::Queue": (Name(("QueueName",), 80, "region"),),
    "AWS::SSM::Parameter": (Name(("Name",), 1011, "region"),),
    "AWS::SageMaker::Domain": (Name(("DomainName",), 63, "region"),),
    "AWS::SageMaker::Endpoint": (Name(("EndpointName",), 63, "region"),),
    "AWS::SageMaker::EndpointConfig": (Name(("EndpointConfigName",), 63, "region"),),
    "AWS::SageMaker::Model": (Name(("ModelName",), 63, "region"),),
    "AWS::SageMaker::ModelPackageGroup": (Name(("ModelPackageGroupName",), 63, "region"),),
    "AWS::SageMaker::MonitoringSchedule": (Name(("MonitoringScheduleName",), 63, "region"),),
    "AWS::SageMaker::NotebookInstance": (Name(("NotebookInstanceName",), 63, "region"),),
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": (Name(("NotebookInstanceLifecycleConfigName",), 63, "region"),),
    "AWS::SageMaker::Pipeline": (Name(("PipelineName",), 256, "region"),),
    "AWS::SageMaker::UserProfile": (Name(("UserProfileName",), 63, "owner"),),
    "AWS::Scheduler::Schedule": (Name(("Name",), 64, "region"),),
    "AWS::SecretsManager::Secret": (Name(("Name",), 512, "region"),),
    "AWS::StepFunctions::StateMachine": (Name(("StateMachineName",), 80, "region"),),
    # The endpoint and the group are not in the template: the name is what these are asked to remove. The function of
    # the first adds its own endings to the name (`lambdas/call_analytics/language_resources`), of 7 characters at most.
    "Custom::LanguageResources": (Name(("Name",), 193, "region"),),
    "Custom::RetiredEndpoint": (Name(("EndpointName",), 63, "region"),),
}

# The names that custom resources make up by themselves, as a template would write them, with limit and scope.
MADE: Mapping[str, tuple[Any, int, Scope]] = {
    # `bucket_name` in lambdas/model_vault/replica_bucket/handler.py
    "Custom::ReplicaBucket": (
        {
            "Fn::Join": [
                "-",
                [
                    {"Ref": "AWS::StackName"},
                    "replica",
                    {
                        "Fn::Select": [
                            0,
                            {"Fn::Split": ["-", {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}]},
                        ]
                    },
                ],
            ]
        },
        63,
        "world",
    )
}

# Properties that end like a name of their own and are none: they say to what the resource belongs, or need not differ.
NOT_NAMES = frozenset(
    {
        ("AWS::ApiGateway::RequestValidator", "Name"),
        ("AWS::Athena::NamedQuery", "Name"),  # found by its id
        ("AWS::EC2::FlowLog", "LogGroupName"),
        ("AWS::EC2::VPCEndpoint", "ServiceName"),
        ("AWS::Glue::Table", "DatabaseName"),
        ("AWS::Lambda::EventInvokeConfig", "FunctionName"),
        ("AWS::Lambda::Permission", "FunctionName"),
    }
)

# Of which an account has one a region, whatever its name. Recorder and channel: AWS CLI reference,
# "describe-configuration-recorders" and "describe-delivery-channels"; detector: Amazon GuardDuty API reference,
# "CreateDetector"; the first read 2026-11-28, the others from memory.
SINGLE = frozenset(
    {
        "AWS::ApiGateway::Account",
        "AWS::Config::ConfigurationRecorder",
        "AWS::Config::DeliveryChannel",
        "AWS::GuardDuty::Detector",
    }
)

# What cannot be deployed twice, and why that is right: by architecture and resource type.
ONCE: Mapping[tuple[str, str], str] = {
    (
        "audit",
        "AWS::Config::ConfigurationRecorder",
    ): "the account's one recorder a region; the setting `config_rules` leaves it out",
    ("audit", "AWS::Config::DeliveryChannel"): "goes with the recorder",
    ("audit", "AWS::GuardDuty::Detector"): "the account's one detector a region; the setting `guardduty` leaves it out",
}

# As long as `stack_name` may be (`stacks/synth.py`), and the longest name of a commercial region.
LONGEST = Place("s" * 40, region="ap-southeast-1", unique="1" * 8 + "-1111-1111-1111-" + "1" * 12)
FIRST = Place("first")
# Each differs from the first in what makes a copy a copy: its name, its region or its account. Ids differ always.
BESIDE = Place("second", unique="22222222-2222-2222-2222-222222222222")
FAR = Place("first", region="eu-west-1", unique="33333333-3333-3333-3333-333333333333")
FOREIGN = Place("first", account="444455556666", unique="44444444-4444-4444-4444-444444444444")

COPIES: Mapping[Scope, tuple[tuple[str, Place], ...]] = {
    "world": (("a second copy", BESIDE), ("a copy in another region", FAR), ("a copy in another account", FOREIGN)),
    "account": (("a second copy", BESIDE), ("a copy in another region", FAR)),
    "region": (("a second copy", BESIDE),),
    "owner": (),
}


def check(template: Template, once: Mapping[tuple[str, str], str] = ONCE) -> list[Problem]:
    """Every name that is too long at worst, every one that two copies would share, and every second of its kind.

    Exports are names, too: an account has each once a region (AWS CloudFormation User Guide, "Outputs", from memory).
    A resource type in `once` may collide; a name in the template that nobody looked up is refused.
    """
    found = [*_unknown(template), *_long(template)]
    for logical_id, resource in template.resources():
        if (template.architecture, resource["Type"]) in once:
            continue
        if resource["Type"] in SINGLE:
            found.append((logical_id, f"{resource['Type']}: an account has one a region, so that a second copy fails"))
        for name, value in _named(resource):
            same = [
                what
                for what, place in COPIES[name.scope]
                if evaluate(value, template, place) == evaluate(value, template, FIRST)
            ]
            if same:
                message = (
                    f"{name.path[-1]} {string(evaluate(value, template, FIRST))!r} is that of {' and of '.join(same)}"
                )
                found.append((logical_id, f"{message}, too: one of them fails"))
    found += [
        (output, f"exports {string(export)!r}, and so does a second copy: it fails, an account has each once a region")
        for output, body in template.body.get("Outputs", {}).items()
        if "Export" in body
        for export in [evaluate(body["Export"]["Name"], template, FIRST)]
        if export == evaluate(body["Export"]["Name"], template, BESIDE)
    ]
    return [Problem(CHECK, f"{template.architecture} {where}", message) for where, message in found]


def check_together(templates: Sequence[Template], once: Mapping[tuple[str, str], str] = ONCE) -> list[Problem]:
    """Names that two architectures share when both are deployed, and entries of `once` that are not needed."""
    owners: dict[tuple[str, str], str] = {}
    problems = []
    for template in templates:
        place = Place(template.architecture, unique=template.architecture)
        for logical_id, resource in template.resources():
            kinds = [(resource["Type"], "")] if resource["Type"] in SINGLE else []
            kinds += [
                (resource["Type"], string(evaluate(value, template, place)))
                for name, value in _named(resource)
                if name.scope != "owner"
            ]
            for kind in kinds:
                if owners.setdefault(kind, template.architecture) != template.architecture:
                    message = f"{' '.join(filter(None, kind))} is in {owners[kind]}, too: both cannot be deployed"
                    problems.append(Problem(CHECK, f"{template.architecture} {logical_id}", message))
    there = {
        (template.architecture, resource["Type"]) for template in templates for _, resource in template.resources()
    }
    built = {template.architecture for template in templates}
    for architecture, resource_type in sorted(once.keys() - there):
        if architecture in built:
            message = f"{resource_type} is declared in names.py and not in the stack: take it out"
            problems.append(Problem(CHECK, architecture, message))
    return problems


def _named(resource: Mapping[str, Any]) -> Iterator[tuple[Name, Any]]:
    """The names that a resource has in the template."""
    for name in NAMES.get(resource["Type"], ()):
        value: Any = resource.get("Properties", {})
        for part in name.path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            yield name, value
    if resource["Type"] in MADE:
        value, limit, scope = MADE[resource["Type"]]
        yield Name(("the name that it makes",), limit, scope), value


def _long(template: Template) -> Iterator[tuple[str, str]]:
    for logical_id, resource in template.resources():
        for name, value in _named(resource):
            longest = string(evaluate(value, template, LONGEST))
            if len(longest) > name.limit:
                message = (
                    f"{name.path[-1]} has {len(longest)} characters with the longest stack name, in the region with"
                )
                yield logical_id, f"{message} the longest name: {resource['Type']} takes {name.limit}"


def _unknown(template: Template) -> Iterator[tuple[str, str]]:
    """Names of which nobody has said how long they may be and where they must differ."""
    for logical_id, resource in template.resources():
        known = {name.path[0] for name in NAMES.get(resource["Type"], ())}
        for path in registry.fixed(resource["Type"]):
            if (
                len(path) == 1
                and path[0].endswith("Name")
                and path[0] in resource.get("Properties", {})
                and path[0] not in known
                and (resource["Type"], path[0]) not in NOT_NAMES
            ):
                yield (
                    logical_id,
                    f"{resource['Type']} {path[0]}: say in names.py how long it may be, and where it must differ",
                )
