"""Policies asked in the emulator: the simulator's answers, variables, and the keys that requests bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator.seams import variables
from local.emulator.seams.request_keys import of_sagemaker
from local.emulator.seams.simulation import Policies, Request, judge
from tests.local.emulated import last_sequence, unique

CALLER = "arn:aws:iam::000000000000:role/clerk"
READ = {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::papers/*"}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def asked(resource: str = "arn:aws:s3:::papers/one", **context: Any) -> Request:
    return Request("s3:GetObject", resource, CALLER, {key.replace("__", ":"): value for key, value in context.items()})


# --- The function behind the simulator


@pytest.mark.parametrize(
    ("project", "resource", "allowed"),
    [
        ("fraud", "arn:aws:s3:::papers/fraud/one", True),
        ("fraud", "arn:aws:s3:::papers/churn/one", False),
        # Without a value, and with one that would be a pattern, a grant grants nothing.
        (None, "arn:aws:s3:::papers/fraud/one", False),
        ("*", "arn:aws:s3:::papers/fraud/one", False),
    ],
)
def test_a_variable_is_the_requests_own_value(project: str | None, resource: str, allowed: bool) -> None:
    # Given a grant by the tag of whoever asks
    grant = {**READ, "Resource": "arn:aws:s3:::papers/${aws:PrincipalTag/project}/*"}
    context = {"aws:PrincipalTag/project": project} if project else {}
    # When somebody with a tag, or without, asks, Then it is for the own part alone
    request = Request("s3:GetObject", resource, CALLER, context)
    assert judge(request, Policies(identity={"p": document(grant)})).allowed == allowed


@pytest.mark.parametrize("everybody", ["*", {"AWS": "*"}])
def test_a_denial_for_everybody_is_for_services_too_and_an_allow_is_not(everybody: Any) -> None:
    # Given a service, which a resource's policy lets in by its name, or with everybody else
    service = Request("s3:PutObject", "arn:aws:s3:::papers/one", "config.amazonaws.com")
    about = {"Action": "s3:PutObject", "Resource": "*"}
    by_name = {**about, "Effect": "Allow", "Principal": {"Service": "config.amazonaws.com"}}
    everyone = {**about, "Principal": everybody}

    def allowed(*statements: dict[str, Any]) -> bool:
        return judge(service, Policies(resource={"bucket": document(*statements)})).allowed

    # When it asks, Then everybody's denial is for it too
    assert allowed(by_name)
    assert not allowed(by_name, {**everyone, "Effect": "Deny"})
    assert not allowed({**everyone, "Effect": "Allow"})


@pytest.mark.parametrize(("team", "denied"), [("blue", False), ("red", True), (None, True)])
def test_a_variable_in_a_denial_holds_for_who_has_none(team: str | None, denied: bool) -> None:
    # Given a denial for other teams' things
    denial = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
    }
    context = {"aws:ResourceTag/team": "blue"} | ({"aws:PrincipalTag/team": team} if team else {})
    request = Request("s3:GetObject", "arn:aws:s3:::papers/one", CALLER, context)
    # When it is asked, Then who has no team is of another one
    verdict = judge(request, Policies(identity={"p": document(READ, denial)}))
    assert (verdict.decision == "explicitDeny") == denied


def test_a_variable_has_the_default_that_it_gives() -> None:
    context = SimpleNamespace(service_context={}, principal_keys={}, request_tags={}, tag_keys=[])
    assert variables.fill("a/${aws:PrincipalTag/x, 'none'}/b", context) == "a/none/b"
    assert variables.fill("a/b", context) == "a/b"
    assert variables.pattern_of("a/${aws:PrincipalTag/x}/b") == "a/*/b"


def test_a_resources_policy_that_names_the_caller_stands_alone_but_within_limits() -> None:
    # Given a bucket that lets the caller in, who has no policy
    own = {**READ, "Principal": {"AWS": CALLER}}
    by_bucket = Policies(resource={"bucket": document(own)})
    # Then that is enough, and a boundary still limits it
    verdict = judge(asked(), by_bucket)
    assert (verdict.decision, verdict.layer) == ("allowed", "resource")
    nothing = document({**READ, "Resource": "arn:aws:s3:::others/*"})
    limited = Policies(resource={"bucket": document(own)}, boundary={"b": nothing})
    assert judge(asked(), limited).layer == "boundary"
    # But one that names the account hands the decision on
    account = {**READ, "Principal": {"AWS": "arn:aws:iam::000000000000:root"}}
    assert not judge(asked(), Policies(resource={"bucket": document(account)})).allowed


def test_a_service_is_let_in_by_its_name() -> None:
    own = {**READ, "Principal": {"Service": "events.amazonaws.com"}}
    policies = Policies(resource={"bucket": document(own)}, required=True)
    for service, allowed in (("events.amazonaws.com", True), ("sns.amazonaws.com", False)):
        assert judge(Request("s3:GetObject", "arn:aws:s3:::papers/one", service), policies).allowed == allowed


# --- Keys that requests bring


def test_a_request_to_sagemaker_brings_what_it_asks_for_and_nothing_else() -> None:
    # Given requests of several shapes, When their keys are read, Then each member has its own, wherever it stands
    network = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert of_sagemaker("CreateTrainingJob", {"VpcConfig": network, "EnableNetworkIsolation": False}) == {
        "sagemaker:NetworkIsolation": "false",
        "sagemaker:VpcSubnets": ["subnet-1", "subnet-2"],
        "sagemaker:VpcSecurityGroupIds": ["sg-1"],
    }
    assert of_sagemaker("CreateProcessingJob", {"NetworkConfig": {"VpcConfig": network}})["sagemaker:VpcSubnets"]
    variants = [{"InstanceType": "ml.m5.large"}, {"InstanceType": "ml.c5.large"}]
    assert of_sagemaker("CreateEndpointConfig", {"ProductionVariants": variants, "KmsKeyId": "key"}) == {
        "sagemaker:InstanceTypes": ["ml.m5.large", "ml.c5.large"],
        "sagemaker:VolumeKmsKey": "key",
    }
    assert of_sagemaker("CreateNotebookInstance", {"SubnetId": "subnet-1", "RootAccess": "Disabled"}) == {
        "sagemaker:VpcSubnets": ["subnet-1"],
        "sagemaker:RootAccess": "Disabled",
    }
    assert of_sagemaker("CreateModel", {}) == {}


# --- The emulator


@pytest.fixture(scope="module")
def clerk(cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """A role with a boundary, under a path, as a template makes it; who tags the session may use what has the tag."""
    name = unique("simulated")
    grant = {
        **READ,
        "Resource": "arn:aws:s3:::papers/${aws:PrincipalTag/project}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "true"}},
    }
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    trust = {"Effect": "Allow", "Principal": root, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    boundary = document({**READ, "Sid": "Limit", "Resource": "arn:aws:s3:::papers/fraud/*"})
    template = {
        "Resources": {
            "Boundary": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": boundary}},
            "Clerk": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Path": "/office/",
                    "AssumeRolePolicyDocument": document(trust),
                    "PermissionsBoundary": {"Ref": "Boundary"},
                    "Policies": [{"PolicyName": "work", "PolicyDocument": document(grant)}],
                },
            },
        },
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Clerk", "Arn"]}}, "Boundary": {"Value": {"Ref": "Boundary"}}},
    }
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    yield {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    cloudformation.delete_stack(StackName=name)


def entries(**values: str) -> list[dict[str, Any]]:
    return [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in values.items()
    ]


def test_the_simulator_names_statements_and_what_is_missing(cloud: LocalCloud, clerk: dict[str, str]) -> None:
    # Given a role with a policy and a boundary
    iam = cloud.client("iam")

    def simulate(*projects: str, **context: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = iam.simulate_principal_policy(
            PolicySourceArn=clerk["Arn"],
            ActionNames=["s3:GetObject"],
            ResourceArns=[f"arn:aws:s3:::papers/{project}/one" for project in projects],
            ContextEntries=entries(**{"aws:SecureTransport": "true", **context}),
        )["EvaluationResults"]
        return found

    # When it is asked for several resources at once
    fraud, churn = simulate("fraud", "churn", **{"aws:PrincipalTag/project": "fraud"})
    # Then each is answered, with the statement that allowed, and where it stands
    assert (fraud["EvalDecision"], churn["EvalDecision"]) == ("allowed", "implicitDeny")
    (matched,) = fraud["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) == ("work", "role")
    assert matched["StartPosition"]["Line"] == 1
    assert matched["EndPosition"]["Column"] > matched["StartPosition"]["Column"] > 1
    assert fraud["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": True}
    # And what the boundary does not let pass is told as such
    (limited,) = simulate("churn", **{"aws:PrincipalTag/project": "churn"})
    assert limited["EvalDecision"] == "implicitDeny"
    assert limited["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


def test_the_simulator_takes_policies_that_nobody_has(cloud: LocalCloud) -> None:
    # Given policies in texts of several lines, a boundary and a resource's policy
    iam = cloud.client("iam")
    denial = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}},
    }

    def simulate(**more: Any) -> dict[str, Any]:
        (found,) = iam.simulate_custom_policy(
            PolicyInputList=[json.dumps(document(READ), indent=2)],
            ActionNames=["s3:GetObject"],
            ResourceArns=["arn:aws:s3:::papers/one"],
            **more,
        )["EvaluationResults"]
        answer: dict[str, Any] = found
        return answer

    # When they are asked, Then each has its say
    allowed = simulate()
    assert allowed["EvalDecision"] == "allowed"
    assert allowed["MatchedStatements"][0]["SourcePolicyId"] == "PolicyInputList.1"
    assert allowed["MatchedStatements"][0]["StartPosition"] == {"Line": 4, "Column": 5}
    nothing = json.dumps(document({**READ, "Resource": "arn:aws:s3:::others/*"}))
    assert simulate(PermissionsBoundaryPolicyInputList=[nothing])["EvalDecision"] == "implicitDeny"
    unknown = simulate(ResourcePolicy=json.dumps(document(denial)))
    assert (unknown["EvalDecision"], unknown["MissingContextValues"]) == ("allowed", ["s3:ExistingObjectTag/secret"])
    told = simulate(
        ResourcePolicy=json.dumps(document(denial)), ContextEntries=entries(**{"s3:ExistingObjectTag/secret": "yes"})
    )
    assert told["EvalDecision"] == "explicitDeny"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"PolicySourceArn": "arn:aws:iam::000000000000:role/nobody"}, "NoSuchEntity"),
        ({"PolicySourceArn": "arn:aws:iam::000000000000:group/some"}, "NotImplemented"),
    ],
)
def test_what_the_simulator_cannot_answer_it_refuses(cloud: LocalCloud, call: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.client("iam", retries={"total_max_attempts": 1}).simulate_principal_policy(ActionNames=["s3:*"], **call)
    assert caught.value.response["Error"]["Code"] == code


def test_a_session_is_held_to_policy_boundary_and_its_own_policy(cloud: LocalCloud, clerk: dict[str, str]) -> None:
    # Given a bucket with a part for each project
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="papers")
    for key in ("fraud/one", "fraud/two", "churn/one"):
        s3.put_object(Bucket="papers", Key=key, Body=b"x")

    told: list[str] = []

    def may(project: str, key: str, **session: Any) -> bool:
        found = cloud.client("sts").assume_role(
            RoleArn=clerk["Arn"], RoleSessionName="somebody", Tags=[{"Key": "project", "Value": project}], **session
        )["Credentials"]
        make: Any = boto3.client
        client = make(
            "s3",
            endpoint_url=cloud.endpoint_url,
            region_name=cloud.region,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            aws_session_token=found["SessionToken"],
            verify=str(cloud.ca_bundle),
        )
        try:
            client.get_object(Bucket="papers", Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            told.append(error.response["Error"]["Message"])
            return False
        return True

    since = last_sequence(cloud)
    # When sessions with tags ask, Then the tag opens the own part, if the boundary lets it pass
    assert may("fraud", "fraud/one")
    assert not may("fraud", "churn/one")
    assert not may("churn", "churn/one")
    # And a session's own policy narrows it
    only = json.dumps(document({**READ, "Resource": "arn:aws:s3:::papers/fraud/two"}))
    assert may("fraud", "fraud/two", Policy=only)
    assert not may("fraud", "fraud/one", Policy=only)
    # And a denial of a boundary is told by its ARN
    iam = cloud.client("iam")
    denial = {"Sid": "Closed", "Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    iam.create_policy_version(
        PolicyArn=clerk["Boundary"], PolicyDocument=json.dumps(document(READ, denial)), SetAsDefault=True
    )
    assert not may("fraud", "fraud/one")
    # And each refusal says which kind of policy it was
    action = "s3:GetObject"
    assert [message.partition(f"{action} ")[2] for message in told] == [
        f"because no identity-based policy allows the {action} action",
        f"because no permissions boundary allows the {action} action",
        f"because no session policy allows the {action} action",
        "with an explicit deny in a permissions boundary",
    ]
    last = [one for one in cloud.control.decisions(since=since) if one["action"] == "s3:GetObject"][-1]
    assert last["statement"]["policy"] == clerk["Boundary"]
    assert (last["statement"]["sid"], last["statement"]["index"]) == ("Closed", 1)


def test_the_tags_of_a_version_are_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a group with a tag
    keys = import_module("local.emulator.seams.request_keys")
    group = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/fraud"
    record = SimpleNamespace(tags={"Project": "fraud"}, account="000000000000")
    records = SimpleNamespace(by_arn=lambda arn: record if arn == group else None)
    monkeypatch.setattr(keys, "SAGEMAKER", SimpleNamespace(records=records))
    # When the tags of a version in it are looked up, Then they are the group's, by keys in small letters
    assert keys._tags("arn:aws:sagemaker:us-east-1:000000000000:model-package/fraud/1") == {"project": "fraud"}
    assert keys._tags("arn:aws:sagemaker:us-east-1:000000000000:model-package/churn/1") == {}


# --- Versions of a policy


def test_the_version_that_is_set_counts_again(cloud: LocalCloud) -> None:
    # Given a policy whose second version counts
    iam = cloud.client("iam")
    arn = iam.create_policy(PolicyName=unique("versions"), PolicyDocument=json.dumps(document(READ)))["Policy"]["Arn"]
    wider = json.dumps(document({**READ, "Resource": "*"}))
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=wider, SetAsDefault=True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    # When the first is set, Then it counts, and the second may go
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(one["VersionId"], one["IsDefaultVersion"]) for one in versions] == [("v1", True)]
    # And one that is not there cannot be set
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    iam.delete_policy(PolicyArn=arn)
