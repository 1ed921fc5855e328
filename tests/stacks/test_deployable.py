"""What can go wrong between a template and an account: names, quotas, regions, references, and data lost by an update.

That the stacks keep to these checks is held in `test_policy.py`, template by template; here they are held together, and
each check is shown to bite on what is planted.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lambdas.model_vault.replica_bucket.handler import bucket_name
from stacks import catalogue
from stacks.policy import names, quotas, references, regions, registry, stateful
from stacks.policy.__main__ import problems_together
from stacks.policy.machines import machines
from stacks.policy.template import Problem, Template, read
from stacks.policy.values import Place, evaluate

STACK_NAME = {"Ref": "AWS::StackName"}
# The stack's name, and the first part of what no two stacks' ids share.
LAST_OF_ID = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
UNIQUE = {"Fn::Join": ["-", [STACK_NAME, {"Fn::Select": [0, {"Fn::Split": ["-", LAST_OF_ID]}]}]]}


@pytest.fixture(scope="module")
def templates(assemblies: dict[str, Path]) -> list[Template]:
    """All that is built, with default settings, as for AWS. Do not change them."""
    return read(assemblies["aws"])


def of(templates: Sequence[Template], architecture: str) -> Template:
    """A copy of one of them."""
    found = next(template for template in templates if template.architecture == architecture)
    return replace(found, body=copy.deepcopy(found.body))


def small(architecture: str = "small", **body: Any) -> Template:
    """A template of a few resources."""
    return Template(architecture, {"Resources": {}, **body})


def resource(resource_type: str, properties: Mapping[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return {"Type": resource_type, "Properties": dict(properties or {}), **attributes}


def with_resource(template: Template, resource_type: str, properties: Mapping[str, Any]) -> Template:
    """The template with one more resource, called Planted."""
    resources = {**template.body["Resources"], "Planted": resource(resource_type, properties)}
    return replace(template, body={**template.body, "Resources": resources})


def messages(found: Sequence[Problem]) -> list[str]:
    return [problem.message for problem in found]


def test_all_stacks_stand_side_by_side_in_a_new_account(templates: list[Template]) -> None:
    # Given every architecture, each under its own name
    assert {template.architecture for template in templates} == {one.id for one in catalogue.available()}
    # When they are looked at together, Then no check has anything to say
    assert list(map(str, problems_together(templates))) == []


def test_templates_are_held_against_the_schemas_of_every_region(
    templates: list[Template], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given schemas of a day that is told, for more than thirty regions
    assert registry.dated() >= "2026-10-20"
    assert len(registry.regions()) > 30
    types = {resource["Type"] for template in templates for _, resource in template.resources("AWS::SQS::Queue")}
    assert registry.differing_regions(types) == [registry.HOME]
    # When one region has another schema of a type, Then a template with it is held against that region's, too
    real = registry.types
    other = {**real("eu-west-1"), "AWS::SQS::Queue": "another"}
    monkeypatch.setattr(
        registry, "types", lambda region=registry.HOME: other if region == "eu-west-1" else real(region)
    )
    assert registry.differing_regions(types) == [registry.HOME, "eu-west-1"]


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Fn::Join": ["-", [STACK_NAME, "replica"]]}, "one-replica"),
        ({"Fn::Sub": "${AWS::StackName}-${Other}-${Other.Arn}-${!Kept}"}, "one-${Other}-${Other.Arn}-${Kept}"),
        ({"Fn::Sub": ["${A}-${B}", {"A": STACK_NAME, "B": {"Ref": "Given"}}]}, "one-default"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}, "one"),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, '${Fn::Select:[0,"${Fn::GetAZs:}"]}'),
        ({"Fn::ImportValue": {"Fn::Sub": "${Given}-Key"}}, "${export:default-Key}"),
        ({"A": [{"Fn::GetAtt": ["Other", "Arn"]}]}, {"A": ["${Other.Arn}"]}),
    ],
)
def test_what_is_known_of_a_value_before_it_is_deployed_is_put_in(value: Any, expected: Any) -> None:
    # Given a template with a parameter, When a value is looked at as it will be in a stack called one
    template = small(Parameters={"Given": {"Type": "String", "Default": "default"}})
    # Then all that does not come from AWS is there
    assert evaluate(value, template, Place("one")) == expected


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource_type", "properties", "complaint"),
    [
        ("AWS::SQS::Queue", {"QueueName": "jobs"}, "QueueName 'jobs' is that of a second copy, too"),
        (
            "AWS::IAM::Role",
            {"RoleName": {"Fn::Sub": "${AWS::StackName}-role"}},
            "that of a copy in another region, too",
        ),
        (
            "AWS::S3::Bucket",
            {"BucketName": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}},
            "that of a copy in another account, too",
        ),
        (
            "AWS::Budgets::Budget",
            {"Budget": {"BudgetName": "all"}},
            "'all' is that of a second copy and of a copy in another region, too",
        ),
        ("AWS::GuardDuty::Detector", {"Enable": True}, "an account has one a region, so that a second copy fails"),
        ("Custom::RetiredEndpoint", {"EndpointName": "churn"}, "EndpointName 'churn' is that of a second copy, too"),
    ],
)
def test_a_name_that_two_copies_would_share_is_refused(
    resource_type: str, properties: dict[str, Any], complaint: str
) -> None:
    # Given a stack with a name that does not differ where it must
    template = small(Resources={"Planted": resource(resource_type, properties)})
    # When its names are looked at, Then that one is refused
    (found,) = names.check(template)
    assert complaint in found.message
    assert found.where == "small Planted"


@pytest.mark.parametrize(
    ("resource_type", "properties"),
    [
        ("AWS::SQS::Queue", {}),
        ("AWS::SQS::Queue", {"QueueName": {"Fn::Sub": "${AWS::StackName}-jobs"}}),
        ("AWS::IAM::Role", {"RoleName": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}}),
        ("AWS::S3::Bucket", {"BucketName": UNIQUE}),
        ("AWS::SageMaker::UserProfile", {"UserProfileName": "scientist", "DomainId": {"Ref": "Domain"}}),
    ],
)
def test_a_name_that_differs_where_it_must_passes(resource_type: str, properties: dict[str, Any]) -> None:
    assert names.check(small(Resources={"Planted": resource(resource_type, properties)})) == []


def test_an_export_that_two_copies_would_share_is_refused() -> None:
    # Given an output that is exported under the stack's name, and one under a name of its own
    def exported(name: Any) -> Template:
        return small(Outputs={"Key": {"Value": "v", "Export": {"Name": name}}, "Other": {"Value": "v"}})

    assert names.check(exported({"Fn::Sub": "${AWS::StackName}-Key"})) == []
    # When the stack is deployed twice, Then the second is refused
    (found,) = names.check(exported({"Fn::Sub": "shared-${AWS::Region}"}))
    assert (found.where, found.message[:46]) == ("small Key", "exports 'shared-us-east-1', and so does a seco")


def test_a_name_that_gets_too_long_in_some_stack_is_refused() -> None:
    # Given names that fit a short stack's name, and one that fits the longest too
    def named(ending: str) -> Template:
        name = {"Fn::Sub": f"${{AWS::StackName}}-${{AWS::Region}}-{ending}"}
        return small(Resources={"Planted": resource("AWS::Lambda::Function", {"FunctionName": name})})

    assert names.check(named("x" * 8)) == []
    # When it is one character longer than Lambda takes at worst, Then it is refused
    (found,) = names.check(named("x" * 9))
    assert found.message.startswith("FunctionName has 65 characters with the longest stack name")
    assert found.message.endswith("AWS::Lambda::Function takes 64")


def test_a_name_that_nobody_looked_up_is_refused() -> None:
    # Given a resource whose name cannot be changed, of a type that is not in the table
    template = small(Resources={"Planted": resource("AWS::Kinesis::Stream", {"Name": "x"})})
    assert "AWS::Kinesis::Stream" not in names.NAMES
    # When its names are looked at, Then the table wants an entry
    template.body["Resources"]["Planted"] = resource("AWS::ECR::Repository", {"RepositoryName": "x"})
    (found,) = names.check(template)
    assert found.message.startswith("AWS::ECR::Repository RepositoryName: say in names.py")


def test_the_limits_of_names_are_those_of_the_registry() -> None:
    # Given the limits that the schemas of CloudFormation state
    stated: dict[tuple[str, tuple[str, ...]], int | None] = {
        (resource_type, name.path): registry.schema(resource_type)["properties"][name.path[0]].get("maxLength")
        for resource_type, all_names in names.NAMES.items()
        if resource_type.startswith("AWS::")
        for name in all_names
        if len(name.path) == 1
    }
    assert sum(limit is not None for limit in stated.values()) > 20
    # Then none in the table is wider
    wider = [
        (resource_type, name.path, name.limit)
        for resource_type, all_names in names.NAMES.items()
        for name in all_names
        if (stated.get((resource_type, name.path)) or name.limit) < name.limit
    ]
    assert wider == []


def test_the_name_that_a_function_makes_is_the_one_that_is_checked() -> None:
    # Given the name that the vault's replica gets, When it is worked out from the template's side
    place = Place("vault-two", unique="0a1b2c3d-4444-5555-6666-777788889999")
    value, limit, _ = names.MADE["Custom::ReplicaBucket"]
    # Then it is what the handler makes of the stack's id
    assert (
        evaluate(value, small(), place) == bucket_name(place.pseudo()["AWS::StackId"]) == "vault-two-replica-0a1b2c3d"
    )
    assert len(evaluate(value, small(), names.LONGEST)) <= limit


def test_two_architectures_with_one_name_are_refused() -> None:
    # Given two architectures that each want a workgroup of one name, and each a recorder
    one, two = (
        small(
            name,
            Resources={
                "Questions": resource("AWS::Athena::WorkGroup", {"Name": "questions"}),
                "Recorder": resource("AWS::Config::ConfigurationRecorder"),
            },
        )
        for name in ("one", "two")
    )
    # When they are looked at together, Then the second of each is refused
    found = names.check_together([one, two], once={})
    assert messages(found) == [
        "AWS::Athena::WorkGroup questions is in one, too: both cannot be deployed",
        "AWS::Config::ConfigurationRecorder is in one, too: both cannot be deployed",
    ]


def test_what_may_be_there_once_is_declared_and_a_declaration_that_is_not_needed_is_refused() -> None:
    # Given a stack with a detector, of which it is declared that an account has one
    template = small(Resources={"Threats": resource("AWS::GuardDuty::Detector")})
    once = {("small", "AWS::GuardDuty::Detector"): "one a region"}
    assert names.check(template, once) == []
    assert names.check_together([template], once) == []
    # When the detector is gone, Then the declaration is refused
    (found,) = names.check_together([small()], once)
    assert found.message == "AWS::GuardDuty::Detector is declared in names.py and not in the stack: take it out"


# ---- quotas ---------------------------------------------------------------------------------------------------------

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/" + "k" * 600}
MANY_STATEMENTS = {"Version": "2012-10-17", "Statement": [STATEMENT] * 40}
GROUP_RULES = [{"IpProtocol": "tcp", "CidrIp": "10.0.0.0/8"}] * 61


@pytest.mark.parametrize(
    ("quota", "resource_type", "properties"),
    [
        ("managed-policies-per-role", "AWS::IAM::Role", {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/x"] * 11}),
        ("trust-policy", "AWS::IAM::Role", {"AssumeRolePolicyDocument": {"Statement": [STATEMENT] * 4}}),
        ("inline-policies", "AWS::IAM::Policy", {"Roles": [{"Ref": "R"}], "PolicyDocument": MANY_STATEMENTS}),
        ("inline-policies", "AWS::IAM::Role", {"Policies": [{"PolicyDocument": MANY_STATEMENTS}]}),
        ("managed-policy-size", "AWS::IAM::ManagedPolicy", {"PolicyDocument": {"Statement": [STATEMENT] * 10}}),
        ("bucket-policy", "AWS::S3::BucketPolicy", {"PolicyDocument": MANY_STATEMENTS}),
        ("key-policy", "AWS::KMS::Key", {"KeyPolicy": {"Statement": [STATEMENT] * 60}}),
        ("endpoint-policy", "AWS::EC2::VPCEndpoint", {"PolicyDocument": MANY_STATEMENTS}),
        ("global-indexes", "AWS::DynamoDB::Table", {"GlobalSecondaryIndexes": [{}] * 21}),
        ("reserved-concurrency", "AWS::Lambda::Function", {"ReservedConcurrentExecutions": 1}),
        ("environment", "AWS::Lambda::Function", {"Environment": {"Variables": {"WORDS": "w" * 4096}}}),
        ("memory", "AWS::Lambda::Function", {"MemorySize": 4096}),
        ("function-policy", "AWS::Lambda::Permission", {"FunctionName": "f", "SourceArn": "a" * 20_480}),
        ("targets", "AWS::Events::Rule", {"Targets": [{}] * 6}),
        ("event-pattern", "AWS::Events::Rule", {"EventPattern": {"source": ["s" * 2048]}}),
        ("definition", "AWS::StepFunctions::StateMachine", {"DefinitionString": "d" * 1_048_577}),
        ("security-group-rules", "AWS::EC2::SecurityGroup", {"SecurityGroupIngress": GROUP_RULES}),
        ("alarm-actions", "AWS::CloudWatch::Alarm", {"AlarmActions": ["arn"] * 6}),
        ("widgets", "AWS::CloudWatch::Dashboard", {"DashboardBody": '{"properties":{}},' * 501}),
        (
            "selector-conditions",
            "AWS::CloudTrail::Trail",
            {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "x", "Equals": ["v"] * 501}]}]},
        ),
    ],
)
def test_what_breaks_a_quota_of_one_resource_is_refused(
    quota: str, resource_type: str, properties: dict[str, Any]
) -> None:
    # Given a resource that has more, or is larger, than a new account may have
    whole = {"AssumeRolePolicyDocument": {}, "PolicyDocument": {}, "DashboardBody": "", "KeyPolicy": {}}
    template = small(Resources={"Planted": resource(resource_type, {**whole, **properties})})
    # When it is counted, Then that quota is named, and no other
    (found,) = quotas.check(template)
    assert found.message.startswith(quotas.table()[quota]["title"])


@pytest.mark.parametrize(
    ("quota", "body"),
    [
        ("resources", {"Resources": {f"R{n}": resource("AWS::SQS::Queue") for n in range(501)}}),
        ("outputs", {"Outputs": {f"O{n}": {"Value": n} for n in range(201)}}),
        ("parameters", {"Parameters": {f"P{n}": {"Type": "String"} for n in range(201)}}),
        ("mappings", {"Mappings": {f"M{n}": {} for n in range(201)}}),
        ("mapping-attributes", {"Mappings": {"M": {"k": {f"A{n}": "" for n in range(201)}}}}),
        ("description", {"Description": "d" * 1025}),
        ("dynamic-references", {"Metadata": {"x": "{{resolve:ssm:x}}" * 61}}),
        ("subnets", {"Resources": {f"S{n}": resource("AWS::EC2::Subnet", {"VpcId": "v"}) for n in range(201)}}),
        ("api-resources", {"Resources": {f"A{n}": resource("AWS::ApiGateway::Resource") for n in range(301)}}),
        (
            "interface-endpoints",
            {
                "Resources": {
                    f"E{n}": resource("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface"}) for n in range(51)
                }
            },
        ),
    ],
)
def test_what_breaks_a_quota_of_a_template_is_refused(quota: str, body: dict[str, Any]) -> None:
    # Given a template with one more than CloudFormation, or one network, may have, Then that quota is named
    (found,) = quotas.check(small(**body))
    assert found.message.startswith(quotas.table()[quota]["title"])


def test_the_packages_of_functions_are_weighed(templates: list[Template]) -> None:
    # Given a stack beside the zip files of its functions
    stack = of(templates, "document-processing")
    functions = len(list(stack.resources("AWS::Lambda::Function")))
    # Then each is weighed, as it is and unpacked
    zipped, unzipped = (dict(quotas.MEASURES[name](stack)) for name in ("package-zipped", "package-unzipped"))
    assert len(zipped) == len(unzipped) == functions
    assert all(0 < zipped[name] < unzipped[name] for name in zipped)
    # When the quota is smaller than the largest of them, Then it is broken
    table = quotas.table()
    quota = {"package-unzipped": {**table["package-unzipped"], "value": max(unzipped.values()) - 1}}
    assert len(quotas.check(stack, quota)) >= 1
    # and the size of a template is that of its file
    assert stack.path is not None
    assert dict(quotas.MEASURES["template-size"](stack)) == {"": stack.path.stat().st_size}


@pytest.mark.parametrize("quota", [name for name, one in quotas.table().items() if one["per"] in ("account", "region")])
def test_a_quota_of_an_account_counts_all_stacks(templates: list[Template], quota: str) -> None:
    # Given what all stacks take of a quota when they stand side by side
    entry = quotas.table()[quota]
    taken = quotas.together(templates, quota, entry)
    # When a new account has one less, Then it is broken; with as many it is not
    held = {**entry, "told_only": False}
    assert quotas.check_together(templates, {quota: {**held, "value": taken}}) == []
    (found,) = quotas.check_together(templates, {quota: {**held, "value": taken - 1}})
    assert found.message.startswith(entry["title"])
    # and one that is only told is no problem
    assert quotas.check_together(templates, {quota: {**entry, "told_only": True, "value": taken - 1}}) == []


def test_the_machines_that_stacks_ask_for_are_counted_against_the_quotas_of_a_new_account(
    templates: list[Template],
) -> None:
    # Given what is in no template as a resource: the jobs of a pipeline, an endpoint that a state machine makes, a job
    # that a function starts
    asked = {template.architecture: machines(template) for template in templates if machines(template)}
    assert asked == {
        "training-pipeline": {("processing job", "ml.m5.large"): 1, ("training job", "ml.m5.large"): 1},
        "realtime-endpoint": {("endpoint", "ml.m5.large"): 2},
        "model-monitor": {("processing job", "ml.t3.medium"): 1},
    }
    # Then there is a quota for each, and a new account has none of those of which only something is told
    counted = {quota["title"]: quota for quota in quotas.table().values() if quota["title"].startswith("ml.")}
    assert counted.keys() == {f"{kind} for {use} usage" for one in asked.values() for use, kind in one}
    assert all((quota["value"] == 0) == bool(quota.get("told_only")) for quota in counted.values())


def test_every_quota_has_a_source_and_is_counted() -> None:
    # Given the table, Then each quota has what is asked for, and a way to be counted
    for name, quota in quotas.table().items():
        assert {"title", "value", "unit", "per", "adjustable", "source"} <= quota.keys(), name
        assert {"title", "url", "read"} == quota["source"].keys(), name
        assert ("types" in quota) != (name in quotas.MEASURES), name
    # and nothing is counted that is no quota
    assert quotas.MEASURES.keys() <= quotas.table().keys()


# ---- regions --------------------------------------------------------------------------------------------------------


def test_a_region_that_lacks_what_a_stack_uses_is_told(templates: list[Template]) -> None:
    # Given stacks that run in the regions that are promised
    default = of(templates, "image-labeling")
    assert regions.check(default) == []
    assert "us-east-1" in regions.runs_in(default)
    # When a region is promised without a service of theirs, without a type, or without an entry in a mapping
    found = regions.check(default, {"": ["eu-north-1"]})
    assert messages(found) == ["eu-north-1 has no rekognition"]
    found = regions.check(of(templates, "cost-guard"), {"": ["eu-north-1"]})
    assert messages(found) == ["eu-north-1 has no AWS::Budgets::Budget"]
    found = regions.check(of(templates, "realtime-endpoint"), {"": [], "realtime-endpoint": ["mx-central-1"]})
    assert messages(found) == ["mx-central-1 has no entry in the mapping ImageRegistries"]
    # or one of which nothing is known, Then it is told
    found = regions.check(default, {"": ["me-south-1"]})
    assert "cfn-lint has no list for me-south-1" in found[0].message


def test_a_service_whose_regions_nobody_looked_up_is_refused(templates: list[Template]) -> None:
    # Given a stack that uses a service that is not in the table
    planted = with_resource(of(templates, "image-labeling"), "AWS::Kendra::Index", {})
    assert "kendra" not in regions.table()["service"]
    # Then the table wants an entry
    assert "kendra is not in regions.toml: say how its regions are told" in messages(regions.check(planted))


def test_every_service_in_the_table_is_used_and_says_how_it_is_known(templates: list[Template]) -> None:
    # Given the services of all stacks, Then the table has these and no others
    used = {name for template in templates for name in regions.used_services(template)}
    assert used == regions.table()["service"].keys()
    # and each has regions
    for name, entry in regions.table()["service"].items():
        assert len({"endpoint", "global", "regions"} & entry.keys()) == 1, name
        assert ("source" in entry) != ("endpoint" in entry), name
        assert "us-east-1" in regions.regions_of(name), name


# ---- references -----------------------------------------------------------------------------------------------------


def test_a_circle_in_a_template_is_named() -> None:
    # Given three resources, each of which needs the next, by reference, attribute and order
    template = small(
        Resources={
            "A": resource("AWS::SQS::Queue", {"X": {"Fn::Sub": "to ${B}"}}),
            "B": resource("AWS::SQS::Queue", {"X": {"Fn::GetAtt": ["C", "Arn"]}}),
            "C": resource("AWS::SQS::Queue", {}, DependsOn="A"),
        }
    )
    # When they are put in order, Then the circle is named, each after what it needs
    (found,) = references.check(template)
    steps = found.message.removeprefix("circle: ").split(" needs ")
    assert steps[0] == steps[-1]
    assert set(steps) == {"A", "B", "C"}
    assert set(pairwise(steps)) == {("A", "B"), ("B", "C"), ("C", "A")}
    # When one of them needs nothing any more, Then there is an order
    template.body["Resources"]["C"].pop("DependsOn")
    assert references.check(template) == []
    assert references.creation_order(template) == ["C", "B", "A"]


def test_a_reference_to_nothing_is_refused() -> None:
    # Given a reference to what is not there, beside pseudo parameters and parameters
    value = {"Fn::Join": ["", [STACK_NAME, {"Ref": "Given"}, {"Ref": "Missing"}]]}
    template = small(Resources={"A": resource("AWS::SQS::Queue", {"X": value})}, Parameters={"Given": {}})
    # Then that one is named
    assert messages(references.check(template)) == ["needs Missing, which the template does not have"]


def exporting(name: str, *outputs: str, needing: Sequence[str] = ()) -> Template:
    """A template that exports these of its outputs, and imports what is named whole."""
    made = {
        output: {"Value": "v", "Export": {"Name": {"Fn::Sub": f"${{AWS::StackName}}-{output}"}}} for output in outputs
    }
    values = [{"Fn::ImportValue": one} for one in needing]
    return small(name, Outputs=made, Resources={"R": resource("AWS::SQS::Queue", {"Values": values})})


def test_what_is_wrong_between_stacks_is_named() -> None:
    # Given a stack that imports what nobody exports, and one that exports what nobody imports
    one, two = exporting("one", "Key", "Idle"), exporting("two", needing=["one-Key", "one-Gone"])
    # Then both are named
    assert [str(problem) for problem in references.check_together([one, two], {}, {})] == [
        "references: two: imports one-Gone, which no stack exports",
        "references: one Idle: is exported, and nothing imports it",
    ]
    # When both are declared, Then nothing is wrong, and a stack goes before what it imports from
    unused, missing = {("one", "Idle"): "for variants"}, {("two", "one-Gone"): "from variants"}
    assert references.check_together([one, two], unused, missing) == []
    assert references.deletion_order([one, two]) == ["two", "one"]
    # When a declaration is not needed any more, Then it is refused
    (found,) = references.check_together([exporting("one", "Key"), two], unused, missing)
    assert (found.where, found.message[:24]) == ("one Idle", "is declared in reference")


def test_stacks_that_need_each_other_and_exports_of_one_name_are_refused() -> None:
    # Given two stacks that import from each other
    one, two = exporting("one", "Key", needing=["two-Key"]), exporting("two", "Key", needing=["one-Key"])
    # Then the circle is named
    (found,) = references.check_together([one, two], {}, {})
    assert found.message in ("circle: one needs two needs one", "circle: two needs one needs two")
    # Given two that export one name, Then the second is refused
    same = {"Outputs": {"Key": {"Value": "v", "Export": {"Name": "shared"}}}}
    wanting = exporting("three", needing=["shared"])
    (found,) = references.check_together([small("one", **same), small("two", **same), wanting], {}, {})
    assert found.message == "exports shared, as does one: an account has each once a region"


def test_stacks_are_deployed_in_an_order_in_which_they_can_be_deleted(templates: list[Template]) -> None:
    # Given what each stack imports
    needed = references.stack_needs(templates)
    # Then the catalogue says so: `needs` is what is deployed first
    assert {name: sorted(others) for name, others in needed.items() if others} == {
        one.id: sorted(one.needs) for one in catalogue.available() if one.needs
    }
    order = references.deletion_order(templates)
    assert all(order.index(name) < order.index(other) for name, others in needed.items() for other in others)


# ---- data -----------------------------------------------------------------------------------------------------------

TABLE = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}


def holding(properties: Mapping[str, Any] = TABLE, **others: Any) -> Template:
    return small(Resources={"Rows": resource("AWS::DynamoDB::Table", properties), **others})


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        (small(), "AWS::DynamoDB::Table is gone: an update deletes it with all that is in it"),
        (holding({**TABLE, "TableName": "rows"}), "TableName changed: an update makes it anew"),
        (holding({**TABLE, "KeySchema": []}), "KeySchema changed: an update makes it anew"),
        (small(Resources={"Rows": resource("AWS::S3::Bucket")}), "the type AWS::DynamoDB::Table changed"),
        (holding(New=resource("AWS::S3::Bucket")), "AWS::S3::Bucket is not in stateful.json yet"),
    ],
)
def test_an_update_that_would_lose_data_is_refused(after: Template, complaint: str) -> None:
    # Given the state of a stack with a table
    before = {"small": stateful.state(holding())}
    assert stateful.check(holding(), before) == []
    # When the next template has not that table any more, or CloudFormation would make it anew
    (found,) = stateful.check(after, before)
    # Then it is refused, with the command that says that it is meant
    assert complaint in found.message
    assert "python -m stacks.policy.stateful" in found.message


def test_what_can_be_changed_in_place_passes() -> None:
    # Given the state of a stack with a table, When what can be changed is changed, Then nothing is lost
    before = {"small": stateful.state(holding())}
    assert stateful.check(holding({**TABLE, "PointInTimeRecoverySpecification": {}}), before) == []
    assert stateful.check(holding(Other=resource("AWS::CloudWatch::Alarm")), before) == []


def test_the_state_is_taken_down_for_the_stacks_at_hand_and_tells_what_is_lost(tmp_path: Path) -> None:
    # Given a file with the states of two stacks
    path = tmp_path / "stateful.json"
    other = replace(holding(), architecture="other")
    assert stateful.take_down([holding(), other], path) == []
    # When one loses its table and is taken down again
    (lost,) = stateful.take_down([small()], path)
    # Then the loss is told, the other stays as it was, and the check is content
    assert "is gone" in lost.message
    after = json.loads(path.read_text())
    assert after == {"small": {}, "other": stateful.state(other)}
    assert stateful.check(small(), after) == []
    # and a stack that the file does not know has to be taken down
    assert "is not in stateful.json" in stateful.check(replace(small(), architecture="third"), after)[0].message
