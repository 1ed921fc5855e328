"""The compliance report counts what is there: a planted mistake shows, and nothing is left out."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks import catalogue
from stacks.policy import compliance
from stacks.policy.compliance import PACKS, QUESTIONS, Found, Measure, Report
from stacks.policy.template import Template, read

Body = dict[str, Any]


def first(body: Body, kind: str) -> Body:
    found: Body = next(one for one in body["Resources"].values() if one["Type"] == kind)["Properties"]
    return found


def open_bucket(body: Body) -> None:
    del first(body, "AWS::S3::Bucket")["PublicAccessBlockConfiguration"]


def plain_http(body: Body) -> None:
    first(body, "AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"] = []


def open_policy(body: Body) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": "*"}
    first(body, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"].append(statement)


def bare_queue(body: Body) -> None:
    queue = first(body, "AWS::SQS::Queue")
    queue.pop("KmsMasterKeyId", None)
    queue["SqsManagedSseEnabled"] = False


def silent_function(body: Body) -> None:
    del first(body, "AWS::Lambda::Function")["LoggingConfig"]


def endless_logs(body: Body) -> None:
    del first(body, "AWS::Logs::LogGroup")["RetentionInDays"]


def wide_grant(body: Body) -> None:
    policy = first(body, "AWS::IAM::Policy")["PolicyDocument"]
    policy["Statement"].append({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/x"})


@pytest.mark.parametrize(
    ("question", "plant", "counted"),
    [
        ("Encrypted at rest", bare_queue, 0),
        ("TLS only", plain_http, 0),
        ("Closed to the public", open_bucket, 0),
        ("Closed to the public", open_policy, 0),
        ("Logged", silent_function, 0),
        ("Retention set", endless_logs, 0),
        ("Narrow grants", wide_grant, 1),
    ],
)
def test_a_planted_mistake_is_counted(
    default: Template, question: str, plant: Callable[[Body], None], counted: int
) -> None:
    # Given a stack, and what is counted in it
    before = QUESTIONS[question](default)
    # When a mistake is planted, Then one resource less has it right; a statement more is one more that is counted
    plant(default.body)
    after = QUESTIONS[question](default)
    assert before.of - before.done == after.of - after.done - 1
    assert after.of == before.of + counted


def test_a_function_in_a_vpc_is_counted_as_such(default: Template) -> None:
    # Given a stack without network, When one of its functions gets one, Then it is counted
    assert QUESTIONS["In a VPC"](default).done == 0
    first(default.body, "AWS::Lambda::Function")["VpcConfig"] = {"SubnetIds": ["subnet-1"]}
    assert QUESTIONS["In a VPC"](default).done == 1


def test_a_pipelines_jobs_in_a_vpc_are_counted_one_by_one(assemblies: dict[str, Path]) -> None:
    # Given a pipeline of three jobs outside any network, one of them in the branch of a condition
    inside = {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}
    steps: list[Body] = [
        {"Type": "Processing", "Arguments": {"NetworkConfig": {"EnableNetworkIsolation": True}}},
        {"Type": "Training", "Arguments": {}},
        {"Type": "Condition", "Arguments": {"IfSteps": [{"Type": "Transform", "Arguments": {}}], "ElseSteps": []}},
    ]

    def counted() -> Measure:
        body = {"PipelineDefinitionBody": {"Fn::Sub": [json.dumps({"Steps": steps}), {}]}}
        pipeline = {"Type": "AWS::SageMaker::Pipeline", "Properties": {"PipelineDefinition": body}}
        return QUESTIONS["In a VPC"](Template("training-pipeline", {"Resources": {"Pipeline": pipeline}}))

    assert counted() == Measure(0, 3)
    # When one after the other is placed in one, Then each is counted, whatever the kind of job
    steps[0]["Arguments"]["NetworkConfig"] |= inside
    assert counted() == Measure(1, 3)
    steps[1]["Arguments"] = inside
    steps[2]["Arguments"]["IfSteps"][0]["Arguments"] = inside
    assert counted() == Measure(3, 3)
    # and the jobs of the real definition are found too, the one in the branch for good models among them
    training = next(one for one in read(assemblies["aws"]) if one.architecture == "training-pipeline")
    functions = sum(1 for _ in training.resources("AWS::Lambda::Function"))
    assert QUESTIONS["In a VPC"](training).of == functions + 4


@pytest.mark.parametrize(
    ("kind", "properties", "changed"),
    [
        ("Domain", {"AppNetworkAccessType": "VpcOnly"}, {"AppNetworkAccessType": "PublicInternetOnly"}),
        (
            "NotebookInstance",
            {"SubnetId": "s", "DirectInternetAccess": "Disabled"},
            {"DirectInternetAccess": "Enabled"},
        ),
        ("NotebookInstance", {"SubnetId": "s", "DirectInternetAccess": "Disabled"}, {"SubnetId": ""}),
        ("Model", {"VpcConfig": {"Subnets": ["s"]}}, {"VpcConfig": {}}),
        ("DataQualityJobDefinition", {"NetworkConfig": {"VpcConfig": {"Subnets": ["s"]}}}, {"NetworkConfig": {}}),
    ],
)
def test_what_has_a_way_to_the_internet_is_not_in_the_vpc(kind: str, properties: Body, changed: Body) -> None:
    def counted(given: Body) -> Measure:
        resource = {"Type": f"AWS::SageMaker::{kind}", "Properties": given}
        return QUESTIONS["In a VPC"](Template("secure-studio", {"Resources": {"One": resource}}))

    # Given a resource that is in a VPC alone, When it gets another way out, Then it does not count any more
    assert counted(properties) == Measure(1, 1)
    assert counted({**properties, **changed}) == Measure(0, 1)


def test_an_endpoint_that_is_held_to_the_account_is_closed(assemblies: dict[str, Path]) -> None:
    # Given the network's endpoints, whose policies have to say `*` and hold it to the account
    network = next(one for one in read(assemblies["aws"]) if one.architecture == "private-network")
    network = Template(network.architecture, json.loads(json.dumps(network.body)))
    closed = QUESTIONS["Closed to the public"](network)
    assert closed.done == closed.of
    # When one is not held any more, Then it counts as open
    statement = first(network.body, "AWS::EC2::VPCEndpoint")["PolicyDocument"]["Statement"][0]
    del statement["Condition"]
    statement["Resource"] = "*"
    assert QUESTIONS["Closed to the public"](network) == Measure(closed.of - 1, closed.of)


@pytest.mark.parametrize(
    ("kind", "properties", "own"),
    [
        ("AWS::CloudTrail::Trail", {"KMSKeyId": {"Ref": "Key"}}, True),
        ("AWS::CloudTrail::Trail", {}, False),
        ("AWS::Config::DeliveryChannel", {"S3KmsKeyArn": {"Ref": "Key"}}, True),
        ("AWS::SageMaker::Domain", {"KmsKeyId": {"Ref": "Key"}}, True),
        ("AWS::SageMaker::NotebookInstance", {}, False),
        (
            "AWS::Athena::WorkGroup",
            {"WorkGroupConfiguration": {"ResultConfiguration": {"EncryptionConfiguration": {"KmsKey": "k"}}}},
            True,
        ),
    ],
)
def test_the_keys_of_trails_answers_and_notebooks_are_asked_for(kind: str, properties: Body, own: bool) -> None:
    # Given one resource, When encryption is counted, Then it is one, by an own key or by one of AWS's
    template = Template("audit", {"Resources": {"One": {"Type": kind, "Properties": properties}}})
    assert QUESTIONS["Encrypted at rest"](template) == Measure(1, 1, "1 by own keys" if own else "")


def test_own_keys_are_told_from_aws_keys(assemblies: dict[str, Path]) -> None:
    # Given a stack with AWS's keys, and the same with its own, When encryption is counted
    by_variant = {}
    for variant in ("aws", "own key"):
        template = next(one for one in read(assemblies[variant]) if one.architecture == "image-labeling")
        by_variant[variant] = QUESTIONS["Encrypted at rest"](template)
    # Then the one has none of its own and a topic without any, and in the other all are
    assert by_variant["aws"].remark == ""
    assert by_variant["aws"].of - by_variant["aws"].done == 1
    assert by_variant["own key"].done == by_variant["own key"].of
    assert by_variant["own key"].remark == f"{by_variant['own key'].of} by own keys"


def test_every_stack_has_a_row_and_every_pack_is_held_where_it_should_be(assemblies: dict[str, Path]) -> None:
    # Given all stacks, When the report is made
    report = compliance.reported(assemblies["aws"])
    found = compliance.rows(read(assemblies["aws"]), report)
    # Then each has its row, in the catalogue's order
    assert [row.architecture for row in found] == [one.id for one in catalogue.ARCHITECTURES if one.stack]
    # and the sensitive ones are held to every pack, the others to the first, and nothing is open
    for row in found:
        held = {pack: count for pack, count in row.found.items() if count is not None}
        assert list(held) == list(PACKS if row.sensitive else PACKS[:1])
        assert {count.left for count in held.values()} == {0}
    assert report.left == []
    # and no finding of the packs is in a place that no row counts
    assert sum(one.acknowledged for row in found for one in row.found.values() if one) == len(report.acknowledged)
    # and no stack that is sensitive keeps anything unencrypted, or lets anyone in
    for row in (row for row in found if row.sensitive):
        for question in ("Encrypted at rest", "Closed to the public", "TLS only", "Narrow grants"):
            assert row.measures[question].done == row.measures[question].of, (row.architecture, question)


def test_what_a_function_makes_has_a_row_and_a_test(assemblies: dict[str, Path]) -> None:
    # Given the stack whose function makes buckets, When the table is made
    found = compliance.rows(read(assemblies["aws"]), compliance.reported(assemblies["aws"]))
    (vault,) = (row for row in found if row.made)
    lines = [line for line in compliance.table([vault]).splitlines() if "second region" in line]
    # Then they have a line of their own, with the test that reads it off them
    assert vault.architecture == "model-vault"
    assert len(lines) == 1
    for made in vault.made:
        module, _, name = made.test.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        assert set(made.measures) <= set(QUESTIONS)


def test_every_acknowledged_finding_is_in_the_report(assemblies: dict[str, Path]) -> None:
    # Given what the packs' own report lists as acknowledged
    listed = [rule for rule, _ in compliance.reported(assemblies["aws"]).acknowledged]
    # When the page's table is made, Then it has each rule, and as many places
    page = compliance.findings([one for one in catalogue.ARCHITECTURES if one.stack])
    cells = [line.split(" | ") for line in page.splitlines()[2:]]
    assert sum(int(cell[2]) for cell in cells) == len(listed)
    assert {rule.partition("[")[0] for rule in listed} == {
        rule.strip("|` ") for cell in cells for rule in cell[0].split("<br>")
    }


def test_an_open_finding_and_a_pack_that_was_not_held_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an assembly with one open finding and two that are acknowledged
    def finding(rule: str, *constructs: str) -> Body:
        return {"ruleName": rule, "violatingConstructs": [{"constructPath": one} for one in constructs]}

    reports: list[Body] = [{"pluginName": pack, "violations": []} for pack in PACKS]
    reports[0]["violations"] = [finding("AwsSolutions-S1", "image-labeling/Images/Resource")]
    reports[0]["suppressedViolations"] = [
        finding("AwsSolutions-IAM5[Resource::*]", "image-labeling/Worker/Resource", "image-labeling/Tell/Resource"),
        finding("AwsSolutions-S1", "text-insights/Texts/Resource"),
    ]
    template: Body = {"Resources": {}}
    manifest = {
        "artifacts": {"image-labeling": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}}
    }
    for name, content in (
        ("validation-report.json", {"pluginReports": reports}),
        ("manifest.json", manifest),
        ("t.json", template),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    # When the command is run, Then it fails, names it, and counts it apart in the row of its stack
    assert compliance.main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "open: AwsSolutions-S1 at image-labeling/Images/Resource" in said.err
    assert said.out.splitlines()[2].endswith("| 1 / 2 | not held | not held | not held |")
    # When a pack was not held at all, Then that is no clean report
    (tmp_path / "validation-report.json").write_text(json.dumps({"pluginReports": reports[:2]}))
    assert compliance.main([str(tmp_path)]) == 2
    assert "NIST.800.53.R5" in capsys.readouterr().err


def test_a_measure_says_what_it_counts() -> None:
    # Given measures, When they are shown, Then there is a figure only where there is something to count
    assert str(Measure(0, 0)) == "-"
    assert str(Measure(1, 2)) == "1 of 2"
    assert str(Measure(2, 2, "1 by own keys")) == "2 of 2; 1 by own keys"


def test_a_finding_is_counted_in_its_stack_and_pack_alone() -> None:
    # Given findings of two packs in two stacks, one of which is called almost like the other
    report = Report(
        left=[("HIPAA.Security-A", "audit/One/Resource")],
        acknowledged=[("AwsSolutions-A[x]", "audit/One/Resource"), ("AwsSolutions-A", "audit-two/One/Resource")],
    )
    # When they are counted, Then each is where it belongs
    assert report.of("audit", "AwsSolutions") == Found(0, 1)
    assert report.of("audit", "HIPAA.Security") == Found(1, 0)
    assert report.of("audit-two", "HIPAA.Security") == Found(0, 0)
