"""The checks of a template: the stacks keep to them, and each bites on what is planted."""

from __future__ import annotations

import datetime
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacks.catalogue import ARCHITECTURES
from stacks.policy import availability, idle_cost, leftovers, lint, runtimes, wildcards
from stacks.policy.__main__ import main, problems
from stacks.policy.services import table
from stacks.policy.template import Problem, Template, read, statements
from tests.stacks.conftest import image_labeling

SOURCE = {"ArnEquals": {"aws:SourceArn": "arn:aws:events:us-east-1:111122223333:rule/one"}}
ACCOUNT_ROOT = {
    "AWS": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::", {"Ref": "AWS::AccountId"}, ":root"]]}
}


def plant(template: Template, resource_type: str, properties: Mapping[str, Any], **attributes: Any) -> Template:
    """The template with one more resource, called Planted."""
    resource = {"Type": resource_type, "Properties": dict(properties), **attributes}
    resources = {**template.body["Resources"], "Planted": resource}
    return replace(template, body={**template.body, "Resources": resources})


def policy(statement: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a policy with one statement."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    return {"PolicyName": "planted", "PolicyDocument": document, "Roles": ["role"]}


def planted(found: list[Problem]) -> list[Problem]:
    """Those of the problems that are about the planted resource."""
    return [problem for problem in found if problem.where.endswith(" Planted")]


def without_packages(template: Template) -> str:
    """All of a template but which packages its functions are made of."""
    return re.sub(r'"S3Key": "[0-9a-f]{64}\.zip"', "", json.dumps(template.body, sort_keys=True))


def test_what_runs_on_this_machine_is_what_runs_on_aws_but_for_the_packages(assemblies: dict[str, Path]) -> None:
    # Given that CDK holds the templates for AWS alone against the schemas of CloudFormation
    aws, local = ({t.architecture: t for t in read(assemblies[target])} for target in ("aws", "local"))
    # Then those for this machine are the same
    assert {name: without_packages(template) for name, template in local.items()} == {
        name: without_packages(template) for name, template in aws.items()
    }
    # though their functions bring other libraries
    assert all(local[name].body != aws[name].body for name in aws)


def test_every_stack_passes_every_check(assemblies: dict[str, Path]) -> None:
    # Given every architecture that is built, for either target and with keys of either kind
    found: dict[str, list[str]] = {variant: [] for variant in assemblies}
    known: dict[str, list[Problem]] = {}
    for variant, assembly in assemblies.items():
        for template in read(assembly):
            # What is the same need not be looked at twice.
            if (same := without_packages(template)) not in known:
                known[same] = problems(template)
            found[variant] += map(str, known[same])
    # Then no check has anything to say, but for the price of the key, which the catalogue does not count by default
    assert found == {
        "aws": [],
        "local": [],
        "own key": [
            f"idle cost: {name}: costs 4.66 dollars a month while idle, the catalogue says 3.66"
            for name in ("image-labeling", "text-insights")
        ],
    }


def test_the_checks_see_the_statements_that_there_are(default: Template) -> None:
    # Given that a check which reads nothing finds nothing
    kinds = [statement.kind for statement in statements(default)]
    # Then the statements of roles, of queues, bucket and topic, and who may assume a role are all read
    assert kinds.count("trust") == 2
    assert kinds.count("identity") >= 10
    assert kinds.count("resource") >= 6


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ({"Action": "*", "Resource": "arn:aws:s3:::b/k"}, "allows *: name each action"),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::b/k"}, "allows s3:*: name each action"),
        ({"Action": ["s3:GetObject", "s3:Get*"], "Resource": "arn:aws:s3:::b/k"}, "allows s3:Get*: name each action"),
        ({"Action": "s3:GetObjec?", "Resource": "arn:aws:s3:::b/k"}, "allows s3:GetObjec?: name each action"),
        ({"Action": "sqs:SendMessage", "Resource": "*"}, "allows sqs:SendMessage on every resource"),
        (
            {"Action": ["rekognition:DetectLabels", "sqs:SendMessage"], "Resource": "*"},
            "allows sqs:SendMessage on every resource",
        ),
        (
            {"Action": "dynamodb:PutItem", "Resource": "arn:aws:dynamodb:us-east-1:111122223333:table/*"},
            "allows dynamodb:PutItem on arn:aws:dynamodb:us-east-1:111122223333:table/*: name the resource",
        ),
        (
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"},
            "allows s3:GetObject on arn:aws:s3:::*: name the resource",
        ),
        ({"NotAction": "iam:*", "Resource": "arn:aws:s3:::b"}, "allows by NotAction: name what is allowed"),
        ({"Action": "s3:GetObject", "NotResource": "arn:aws:s3:::b"}, "allows by NotResource: name what is allowed"),
    ],
)
def test_a_wide_grant_is_refused(default: Template, statement: dict[str, Any], complaint: str) -> None:
    # Given a stack without wide grants
    assert wildcards.check(default) == []
    # When one is planted
    found = wildcards.check(plant(default, "AWS::IAM::Policy", policy(statement)))
    # Then it is that one which is refused
    assert [problem.message for problem in found] == [complaint]
    assert found == planted(found)


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": "rekognition:DetectLabels", "Resource": "*"},
        {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/prefix/*"},
        {"Action": "dynamodb:PutItem", "Resource": "arn:aws:dynamodb:us-east-1:111122223333:table/one"},
        {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ],
)
def test_a_narrow_grant_or_a_denial_passes(default: Template, statement: dict[str, Any]) -> None:
    assert wildcards.check(plant(default, "AWS::IAM::Policy", policy(statement))) == []


@pytest.mark.parametrize(
    ("resource_type", "properties"),
    [
        ("AWS::IAM::Role", {"Policies": [policy({"Action": "s3:*", "Resource": "arn:aws:s3:::b"})]}),
        ("AWS::IAM::ManagedPolicy", policy({"Action": "s3:*", "Resource": "arn:aws:s3:::b"})),
        (
            "AWS::SQS::QueuePolicy",
            policy({"Action": "sqs:*", "Principal": ACCOUNT_ROOT, "Resource": "arn:aws:sqs:::q"}),
        ),
        (
            "AWS::Logs::ResourcePolicy",
            {"PolicyDocument": json.dumps({"Statement": {"Effect": "Allow", "Action": "logs:*", "Resource": "x"}})},
        ),
        (
            "AWS::SQS::QueuePolicy",
            policy({"Action": "sqs:SendMessage", "Principal": "*", "Resource": "arn:aws:sqs:::q"}),
        ),
        (
            "AWS::SQS::QueuePolicy",
            policy({"Action": "sqs:SendMessage", "Principal": {"AWS": "*"}, "Resource": "arn:aws:sqs:::q"}),
        ),
        (
            "AWS::SQS::QueuePolicy",
            policy(
                {
                    "Action": "sqs:SendMessage",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Resource": "arn:aws:sqs:::q",
                }
            ),
        ),
        ("AWS::Lambda::Permission", {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}),
        (
            "AWS::KMS::Key",
            {"KeyPolicy": policy({"Action": "kms:*", "Principal": {"AWS": "*"}, "Resource": "*"})["PolicyDocument"]},
        ),
        (
            "AWS::KMS::Key",
            {
                "KeyPolicy": policy(
                    {
                        "Action": "kms:*",
                        "Principal": {"Service": "s3.amazonaws.com"},
                        "Resource": "*",
                        "Condition": SOURCE,
                    }
                )["PolicyDocument"]
            },
        ),
    ],
)
def test_a_wide_grant_is_found_wherever_it_stands(
    default: Template, resource_type: str, properties: dict[str, Any]
) -> None:
    # Given a wide grant in another kind of resource
    found = wildcards.check(plant(default, resource_type, properties))
    # Then it is refused there too
    assert found
    assert found == planted(found)


def test_the_account_may_administer_its_own_key(default: Template) -> None:
    # Given a key with the policy that AWS gives every key
    key = {"KeyPolicy": policy({"Action": "kms:*", "Principal": ACCOUNT_ROOT, "Resource": "*"})["PolicyDocument"]}
    # Then it passes: without it nobody could change the key any more
    assert wildcards.check(plant(default, "AWS::KMS::Key", key)) == []


def test_a_boundary_is_told_by_what_demands_it_and_not_by_what_it_says(default: Template) -> None:
    # Given a wide policy that calls itself a boundary, which no role holds yet
    document = policy({"Action": "s3:*", "Resource": "*"})["PolicyDocument"]
    alone = plant(default, "AWS::IAM::ManagedPolicy", {"Description": "grants nothing", "PolicyDocument": document})
    assert wildcards.boundaries(alone) == set()
    assert planted(wildcards.check(alone)) != []
    # When a denial demands it of the roles that are made, Then it is one
    where = {"ArnNotEquals": {"iam:PermissionsBoundary": {"Ref": "Planted"}}}
    demand = policy({"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*", "Condition": where})
    alone.body["Resources"]["Demand"] = {"Type": "AWS::IAM::Policy", "Properties": demand}
    assert wildcards.boundaries(alone) == {"Planted"}
    assert wildcards.check(alone) == []
    # When a role holds it all the same, Then it grants, and is judged
    alone.body["Resources"]["Planted"]["Properties"]["Roles"] = [{"Ref": "Role"}]
    assert wildcards.boundaries(alone) == set()
    assert planted(wildcards.check(alone)) != []


def test_every_action_that_may_name_no_resource_is_used(assemblies: dict[str, Path]) -> None:
    # Given the actions for which `*` passes
    # When the grants on `*` of all stacks are read
    used = {
        action
        for template in read(assemblies["aws"])
        for statement in statements(template)
        if statement.kind == "identity" and "*" in statement.targets
        # A boundary grants nothing.
        if statement.logical_id not in wildcards.boundaries(template)
        for action in statement.actions
    }
    # Then none of them is left over from an earlier stack
    assert used == set(wildcards.WITHOUT_RESOURCE)


@pytest.mark.parametrize(
    ("resource_type", "properties", "closed"),
    [
        ("AWS::Rekognition::StreamProcessor", {}, "rekognition-streaming-video"),
        ("AWS::Kendra::Index", {}, "kendra"),
        (
            "AWS::IAM::Policy",
            policy({"Action": "rekognition:StartPersonTracking", "Resource": "*"}),
            "rekognition-people-pathing",
        ),
        (
            "AWS::StepFunctions::StateMachine",
            {
                "Definition": {
                    "States": {"One": {"Resource": "arn:aws:states:::aws-sdk:rekognition:startMediaAnalysisJob"}}
                }
            },
            "rekognition-bulk-analysis",
        ),
        (
            "AWS::StepFunctions::StateMachine",
            {
                "DefinitionString": {
                    "Fn::Join": [
                        "",
                        ['{"Resource":"arn:', {"Ref": "AWS::Partition"}, ':states:::aws-sdk:forecast:createForecast"}'],
                    ]
                }
            },
            "forecast",
        ),
    ],
)
def test_a_closed_service_is_refused(
    default: Template, resource_type: str, properties: dict[str, Any], closed: str
) -> None:
    # Given a service that new accounts cannot use
    entry = table()["service"][closed]
    assert entry["status"] in {"closed", "ended"}
    assert availability.check(default) == []
    # When a stack uses it, as a resource, by a grant or from a state machine
    found = planted(availability.check(plant(default, resource_type, properties)))
    # Then it is refused, with what serves today
    refused = [problem.message for problem in found if "services.toml does not know" not in problem.message]
    assert len(refused) == 1
    assert entry["title"] in refused[0]
    assert entry["alternative"] in refused[0]


def test_a_service_that_nobody_has_looked_up_is_refused(default: Template) -> None:
    found = availability.check(plant(default, "AWS::Nowhere::Thing", {}))
    assert [problem.message for problem in found] == [
        "uses AWS::Nowhere::Thing, which services.toml does not know: look it up"
    ]


def test_an_open_service_passes_beside_its_closed_part(default: Template) -> None:
    # Given that Rekognition is open and its stream processors are closed
    grant = policy({"Action": "rekognition:DetectLabels", "Resource": "*"})
    assert availability.check(plant(default, "AWS::IAM::Policy", grant)) == []


@pytest.mark.parametrize(
    ("runtime", "day", "complaint"),
    [
        ("python3.13", "2029-06-30", "python3.13 is deprecated since 2029-06-30"),
        ("python3.13", "2029-02-01", "python3.13 will be deprecated on 2029-06-30: move to a newer one"),
        ("nodejs20.x", "2026-11-23", "nodejs20.x is deprecated since 2026-04-30"),
        ("python2.7", "2026-11-23", "python2.7 is not in services.toml: look its dates up"),
    ],
)
def test_an_old_runtime_is_refused(default: Template, runtime: str, day: str, complaint: str) -> None:
    # Given a function on a runtime, and a day
    with_function = plant(default, "AWS::Lambda::Function", {"Runtime": runtime})
    # When the dates are compared
    found = planted(runtimes.check(with_function, today=datetime.date.fromisoformat(day)))
    # Then it is refused
    assert [problem.message for problem in found] == [complaint]


def test_a_runtime_with_years_to_go_passes(default: Template) -> None:
    assert list(default.resources("AWS::Lambda::Function"))
    assert runtimes.check(default, today=datetime.date(2026, 11, 23)) == []


@pytest.mark.parametrize(
    ("resource_type", "properties", "attributes"),
    [
        ("AWS::DynamoDB::Table", {}, {"DeletionPolicy": "Retain"}),
        ("AWS::DynamoDB::Table", {}, {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Snapshot"}),
        ("AWS::DynamoDB::Table", {"DeletionProtectionEnabled": True}, {}),
        ("AWS::S3::Bucket", {}, {"DeletionPolicy": "Delete"}),
        ("AWS::Logs::LogGroup", {}, {}),
        ("AWS::Lambda::Function", {"Runtime": "python3.13"}, {}),
        ("AWS::Lambda::Function", {"LoggingConfig": {"LogGroup": "/aws/lambda/somewhere"}}, {}),
        ("AWS::IAM::Policy", policy({"Action": "logs:CreateLogGroup", "Resource": "x"}), {}),
        ("AWS::IAM::Policy", policy({"Action": "s3:CreateBucket", "Resource": "x"}), {}),
    ],
)
def test_what_would_outlive_its_stack_is_refused(
    default: Template, resource_type: str, properties: dict[str, Any], attributes: dict[str, Any]
) -> None:
    # Given a stack that leaves nothing behind
    assert leftovers.check(default) == []
    # When something is planted that would
    found = leftovers.check(plant(default, resource_type, properties, **attributes))
    # Then it is refused
    assert len(found) == 1
    assert found == planted(found)


def test_a_bucket_that_a_function_makes_is_taken_away_by_a_test(assemblies: dict[str, Path]) -> None:
    # Given the stack whose function makes buckets, Then it may, and there is a test that looks for what is left
    vault = next(one for one in read(assemblies["aws"]) if one.architecture == "model-vault")
    assert any("s3:CreateBucket" in one.actions for one in statements(vault))
    assert leftovers.check(vault) == []
    for dotted in leftovers.MAKING.values():
        module, _, name = dotted.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    # When its grant is another function's, Then it is refused
    found = leftovers.check(plant(vault, "AWS::IAM::Policy", policy({"Action": "s3:CreateBucket", "Resource": "x"})))
    assert [one.message for one in found] == ["may make a bucket, which then outlives the stack"]


def test_what_a_stack_costs_while_idle_is_known_and_declared(assemblies: dict[str, Path], default: Template) -> None:
    # Given four alarms, one dashboard and one poller
    assert idle_cost.monthly(default) == 3.66
    # Then a key of one's own costs a dollar more
    own_key = next(t for t in read(assemblies["own key"]) if t.architecture == "image-labeling")
    assert idle_cost.monthly(own_key) == 4.66
    # And a sum that differs from the declared one is refused, as is a type of which nobody said what it costs
    assert idle_cost.check(default, declared=3.66) == []
    (differs,) = idle_cost.check(default, declared=0.0)
    assert "3.66" in differs.message
    (unknown,) = idle_cost.check(plant(default, "AWS::EC2::NatGateway", {}), declared=3.66)
    assert "say what it costs" in unknown.message


def test_a_notebook_is_paid_for_with_its_disk(assemblies: dict[str, Path]) -> None:
    # Given a notebook of 0.05 dollars an hour with a disk of 5 GB at 0.14, and a key
    studio = next(one for one in read(assemblies["aws"]) if one.architecture == "secure-studio")
    assert idle_cost.monthly(studio) == pytest.approx(730 * 0.05 + 5 * 0.14 + 1.00)
    # When the disk is ten times as large, Then it costs ten times as much
    body = json.loads(json.dumps(studio.body))
    (notebook,) = (one for one in body["Resources"].values() if one["Type"] == "AWS::SageMaker::NotebookInstance")
    notebook["Properties"]["VolumeSizeInGB"] = 50
    assert idle_cost.monthly(replace(studio, body=body)) == pytest.approx(730 * 0.05 + 50 * 0.14 + 1.00)


def test_every_default_stack_costs_less_than_its_ceiling_while_idle(assemblies: dict[str, Path]) -> None:
    # Given the templates of all stacks, those that are still being built among them, and what each may cost
    ceilings = {architecture.id: architecture.idle_ceiling for architecture in ARCHITECTURES}
    for template in read(assemblies["aws"]):
        # Then none costs more
        assert idle_cost.check(template, ceiling=ceilings[template.architecture]) == []
        # And one cent less would be told
        cost = idle_cost.monthly(template)
        (over,) = idle_cost.check(template, ceiling=cost - 0.01)
        assert f"{cost:.2f} dollars a month while idle, more than its ceiling" in over.message
    # And a ceiling above the usual one is for few
    assert {name for name, ceiling in ceilings.items() if ceiling > 10} == {"private-network", "secure-studio"}


def test_a_template_that_cloudformation_would_refuse_is_refused(default: Template, tmp_path: Path) -> None:
    # Given a reference to nothing and a value of the wrong kind, in an otherwise clean template
    broken = plant(default, "AWS::SQS::Queue", {"VisibilityTimeout": "soon", "KmsMasterKeyId": {"Ref": "Nothing"}})
    path = tmp_path / "broken.template.json"
    path.write_text(json.dumps(broken.body))
    # When cfn-lint reads it, Then it names both faults, and no other (the stacks as they are pass it: see above)
    assert {problem.message[:5] for problem in lint.check(replace(broken, path=path))} == {"E1020", "E3012"}


def test_a_type_that_no_region_has_is_refused(tmp_path: Path) -> None:
    # Given a template with a type that is in no registry
    path = tmp_path / "made-up.template.json"
    path.write_text(json.dumps({"Resources": {"Planted": {"Type": "AWS::Imaginary::Thing"}}}))
    # When it is held against the schemas, Then there is none for it, and that is told
    found = lint.check(Template("made-up", json.loads(path.read_text()), path))
    assert "CloudFormation's registry has no resource type AWS::Imaginary::Thing" in [one.message for one in found]


def written(template: Template, folder: Path) -> Path:
    """An assembly of this template alone."""
    folder.mkdir()
    name = f"{template.architecture}.template.json"
    (folder / name).write_text(json.dumps(template.body))
    artifact = {"type": "aws:cloudformation:stack", "properties": {"templateFile": name}}
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {template.architecture: artifact}}))
    return folder


def test_the_command_passes_what_is_clean_and_fails_what_is_not(
    assemblies: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a clean assembly, and the same with a wildcard planted
    clean = image_labeling(assemblies["aws"])
    wide = plant(clean, "AWS::IAM::Policy", policy({"Action": "s3:*", "Resource": "arn:aws:s3:::b"}))
    # When they are checked
    assert main([str(written(clean, tmp_path / "clean"))]) == 0
    assert "no problem found" in capsys.readouterr().out
    # Then the one passes, and the other fails with the line that says so
    assert main([str(written(wide, tmp_path / "wide"))]) == 1
    assert "wildcards: image-labeling Planted: allows s3:*: name each action" in capsys.readouterr().err
    # And a folder that is no assembly is the caller's mistake
    assert main([str(tmp_path / "nothing")]) == 2
    assert "Synthesize first" in capsys.readouterr().err
