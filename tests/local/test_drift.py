"""Reading a deployed stack back, and whether an update kept what was in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local import drift
from local.cloud import LocalCloud
from local.deploy import DeployError, deploy, destroy, resources
from tests.local.emulated import unique
from tests.local.test_deploy import ROLE, Assembly
from tests.scenarios import earlier
from tests.scenarios.keeping import KEY, contents, fill, inventory, stored

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 31, "Tags": [{"Key": "a", "Value": "b"}]}}
POLICY = {
    "Type": "AWS::IAM::Policy",
    "Properties": {
        "PolicyName": "sending",
        "Roles": [{"Ref": "Role"}],
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}
            ],
        },
    },
}


def table(key: str) -> dict[str, Any]:
    return {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    }


@pytest.fixture
def made(cloud: LocalCloud, tmp_path: Path) -> Iterator[Assembly]:
    """An assembly whose stack is gone after the test."""
    assembly = Assembly(tmp_path / "assembly", unique("stack"))
    yield assembly
    destroy(cloud, assembly.stack)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (30, "30"),
        (True, "true"),
        ("", None),
        ({"A": 1}, {"A": 1, "B": 2}),
        ({"A": {"B": [1, 2]}}, '{"A": {"B": [2, 1]}}'),
        ("s3:GetObject", ["s3:GetObject"]),
        ("*", "anything"),
        ("*name*", "arn:aws:sqs:us-east-1:000000000000:name"),
        ('{"Line": "*"}', {"Line": "two\nlines"}),
    ],
)
def test_what_says_the_same_in_another_form_is_the_same(wanted: Any, found: Any) -> None:
    assert drift.same(wanted, found)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (30, "31"),
        (True, False),
        (True, None),
        ("*", None),
        ({"A": 1}, {"B": 1}),
        ({"A": 1}, None),
        ([1, 2], [1]),
        ([1, 2], [1, 2, 3]),
        ([1, 1], [1, 2]),
        ("*name*", "arn:aws:sqs:us-east-1:000000000000:other"),
        ("a.c", "abc"),
    ],
)
def test_what_differs_is_not_the_same(wanted: Any, found: Any) -> None:
    assert not drift.same(wanted, found)


def test_what_somebody_changed_in_a_deployed_stack_is_told(cloud: LocalCloud, made: Assembly) -> None:
    # Given a deployed stack that is as its template says
    deployed: Mapping[str, Any] = {"Queue": QUEUE, "Role": ROLE, "Policy": POLICY, "Function": made.function}
    queue = deploy(cloud, made.write(deployed), made.stack)["QueueUrl"]
    report = drift.look(cloud, made.stack)
    assert report.differences == []
    assert report.compared == 7
    assert ("AWS::SQS::Queue", "Tags") in report.not_read
    # When somebody changes its queue, and what its role may do
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "99"})
    iam = cloud.client("iam")
    (role,) = [name for _, kind, name in resources(cloud, made.stack) if kind == "AWS::IAM::Role"]
    wide = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}'
    iam.put_role_policy(RoleName=role, PolicyName="sending", PolicyDocument=wide)
    # Then both are told, with what is wanted and what is there
    report = drift.look(cloud, made.stack)
    assert [(one.logical_id, one.name) for one in report.differences] == [
        ("Queue", "VisibilityTimeout"),
        ("Policy", "PolicyDocument"),
    ]
    assert str(report.differences[0]) == 'Queue VisibilityTimeout: 31 is wanted, "99" is there'
    # and what a cloud is known not to keep is no difference, and told all the same
    known = {("AWS::SQS::Queue", "VisibilityTimeout"): "for a reason"}
    report = drift.look(cloud, made.stack, known)
    assert [one.name for one in report.differences] == ["PolicyDocument"]
    assert report.not_kept == known
    assert report.to_json()["not_kept"][0]["reason"] == "for a reason"


def test_a_type_that_nobody_can_read_back_is_refused(
    cloud: LocalCloud, made: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a stack with a resource of a type without a reader
    deploy(cloud, made.write({"Queue": QUEUE}), made.stack)
    monkeypatch.delitem(drift.READERS, "AWS::SQS::Queue")
    # When it is looked at, Then it is not passed over
    with pytest.raises(DeployError, match=r"AWS::SQS::Queue cannot be read back yet: say how in local/drift.py"):
        drift.look(cloud, made.stack)


def test_an_update_that_loses_rows_is_noticed(cloud: LocalCloud, made: Assembly) -> None:
    # Given a stack with a table and a bucket, with something in both, and the account as it was before
    empty = inventory(cloud)
    bucket = {"Type": "AWS::S3::Bucket"}
    deploy(cloud, made.write({"Queue": QUEUE, "Rows": table("id"), "Files": bucket}), made.stack)
    filled, refused = fill(cloud, [made.stack])
    assert refused == {}
    assert filled.keys() == {f"{made.stack} Rows", f"{made.stack} Files"}
    # When an update changes what can be changed in place, Then both are kept
    deploy(cloud, made.write({"Queue": QUEUE, "Rows": table("id"), "Files": bucket, "Role": ROLE}), made.stack)
    assert contents(cloud, [made.stack]) == filled
    # When one has the table made anew
    deploy(cloud, made.write({"Queue": QUEUE, "Rows": table("other"), "Files": bucket}), made.stack)
    kept, grown = contents(cloud, [made.stack]), inventory(cloud)
    (files,) = [name for _, kind, name in stored(cloud, [made.stack]) if kind == "AWS::S3::Bucket"]
    cloud.client("s3").delete_object(Bucket=files, Key=KEY)
    # Then the row is missed
    assert {where for where, what in kept.items() if what == filled[where]} == {f"{made.stack} Files"}
    # and what stands in the account is told
    assert {"stacks", "dynamodb TableNames", "s3 Buckets", "sqs QueueUrls"} <= {
        kind for kind, names in grown.items() if names - empty[kind]
    }


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_version_before_is_the_one_before_the_last_change_of_a_stack(tmp_path: Path) -> None:
    # Given a folder without history
    project = tmp_path / "project"
    (project / "stacks" / "policy").mkdir(parents=True)
    with pytest.raises(earlier.NoHistoryError, match="no history here"):
        next(earlier.versions(project))
    # Given three commits: a stack, its change, and what changes no stack
    git(project, "init", "--quiet")
    for number, name in enumerate(("stacks/one.py", "stacks/one.py", "stacks/policy/check.py")):
        (project / name).write_text(f"VERSION = {number}\n")
        git(project, "add", ".")
        git(project, "commit", "--quiet", "-m", f"commit {number}")
        if number == 0:
            first = (project / ".git" / "refs" / "heads").glob("*")
            commit = next(first).read_text().strip()
            with pytest.raises(earlier.NoHistoryError, match="does not go back"):
                next(earlier.versions(project))
    # Then the version before is the first
    assert next(earlier.versions(project)) == commit
    # When the stack is changed and not committed, Then it is the last commit
    (project / "stacks" / "one.py").write_text("VERSION = 9\n")
    assert next(earlier.versions(project)) == "HEAD"
    # Given a clone of the last commit alone, Then there is none
    (project / "stacks" / "one.py").write_text("VERSION = 1\n")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    with pytest.raises(earlier.NoHistoryError, match="git fetch --unshallow"):
        next(earlier.versions(tmp_path / "shallow"))
