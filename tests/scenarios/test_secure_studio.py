"""Lock down notebooks: the deployed stack in a private network, what its roles are refused, and which door they use."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import DeployError, deploy, destroy
from local.permissions import Status, compare, granted
from scenarios import cost_guard, secure_studio
from scenarios.cost_guard import ACTIVITY_TAG, KEEP_ALIVE_TAG, look, report
from scenarios.secure_studio import NOTEBOOK, PERSONAS
from tests.conftest import SharedStacks
from tests.local.emulated import client_as, decided, eventually, last_sequence, make_function, policy
from tests.local.networking import CALLER, NETWORK, Caller
from tests.mutations import Expectation, Request, mutants, of_stack, survivors, wrong
from tests.scenarios.networked import SETTINGS

ARCHITECTURE = "secure-studio"

ROLES = (*PERSONAS, NOTEBOOK)
MINE, THEIRS = LocalCloud.account, "210987654321"
SAMPLE = Path(__file__).parents[2] / "samples" / "requests" / "a-day-in-studio.json"


def open_roles(cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
    """Lets this account take the roles on, and functions too, so that they can be asked."""
    trusted = {"AWS": f"arn:aws:iam::{cloud.account}:root", "Service": ["lambda.amazonaws.com"]}
    document = policy({"Principal": trusted, "Action": "sts:AssumeRole"})
    for who in ROLES:
        role = outputs[f"{who}RoleArn"].rpartition("/")[2]
        cloud.client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=document)


@pytest.fixture(scope="module")
def network(shared_stacks: SharedStacks) -> dict[str, str]:
    """The outputs of the shared network, whose doors are open for all that the tests place in it."""
    return shared_stacks("private-network", SETTINGS)


@dataclass(frozen=True)
class Studio:
    """A deployed copy of the stack: its outputs, and its policies as they were deployed."""

    outputs: dict[str, str]
    policies: Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def studio(cloud: LocalCloud, network: dict[str, str]) -> Iterator[Studio]:
    """A copy of the stack; everybody may take its roles on, to be refused as they are."""
    assert network
    name = f"studio-{os.getpid()}"
    made = deploy(cloud, synthesize(ARCHITECTURE), name, artifact=ARCHITECTURE)
    policies = of_stack(cloud, name)
    open_roles(cloud, made)
    yield Studio(made, policies)
    destroy(cloud, name)
    left = cloud.client("sagemaker").list_domains()["Domains"]
    assert made["DomainId"] not in {one["DomainId"] for one in left}


@pytest.fixture(scope="module")
def outputs(studio: Studio) -> dict[str, str]:
    return studio.outputs


def refused(call: Any, **arguments: Any) -> bool:
    """Whether a call is not allowed. Raises ClientError for any other error."""
    try:
        call(**arguments)
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return True
    return False


def test_the_notebook_may_say_when_it_was_used_and_nothing_else_of_itself(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given the notebook's role, When it writes tags on itself, Then only the one that the guard reads is let through
    sagemaker = cloud.client("sagemaker")
    theirs = client_as(cloud, outputs["NotebookRoleArn"], "sagemaker")
    arn = sagemaker.describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])["NotebookInstanceArn"]
    report = [{"Key": ACTIVITY_TAG, "Value": "active=2026-11-27T10:00:00Z reported=2026-11-27T10:00:00Z"}]
    keep = [{"Key": KEEP_ALIVE_TAG, "Value": "true"}]
    assert not refused(theirs.add_tags, ResourceArn=arn, Tags=report)
    assert refused(theirs.add_tags, ResourceArn=arn, Tags=keep)
    assert refused(theirs.add_tags, ResourceArn=arn, Tags=[*report, *keep])
    assert refused(theirs.add_tags, ResourceArn=arn.replace(outputs["NotebookName"], "ml-other"), Tags=report)
    # When the statement loses its condition, Then it may keep itself alive for ever: the condition is what holds it
    iam, role = cloud.client("iam"), outputs["NotebookRoleArn"].rpartition("/")[2]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    bare = [
        {key: value for key, value in one.items() if key != "Condition" or "AddTags" not in str(one["Action"])}
        for one in before["Statement"]
    ]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**before, "Statement": bare}))
    assert not refused(theirs.add_tags, ResourceArn=arn, Tags=keep)
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=[KEEP_ALIVE_TAG])


MAY = {
    "Scientist": {"list work", "read work", "write work"},
    "Engineer": {"list results", "read results"},
    "Administrator": {"list work", "list results"},
    "Auditor": {"list work", "list results", "read work", "read results"},
    "Notebook": {"list work", "read work", "write work"},
}


def test_each_persona_has_its_folders_and_nobody_elses(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a bucket with both folders, When each role tries everything, Then each has its own and not the others'
    bucket = outputs["BucketName"]
    for key in ("work/a", "results/a"):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")
    tried: dict[str, set[str]] = {}
    for who in ROLES:
        s3 = client_as(cloud, outputs[f"{who}RoleArn"], "s3")
        tried[who] = {
            f"{verb} {folder}"
            for folder in ("work", "results")
            for verb, call, more in (
                ("read", s3.get_object, {"Key": f"{folder}/a"}),
                ("write", s3.put_object, {"Key": f"{folder}/a", "Body": b"2"}),
                ("list", s3.list_objects_v2, {"Prefix": f"{folder}/"}),
            )
            if not refused(call, Bucket=bucket, **more)
        }
    assert tried == MAY


@pytest.fixture
def inside(cloud: LocalCloud, outputs: dict[str, str], network: dict[str, str]) -> Iterator[Caller]:
    """What calls as the notebook's role from where the notebook stands: the network's subnets and the jobs' group."""
    iam, role = cloud.client("iam"), outputs["NotebookRoleArn"].rpartition("/")[2]
    # A function is not placed by SageMaker, so the role needs what Lambda asks for. The last one is for the doors.
    more = policy(NETWORK, {"Action": ["sagemaker:ListTags", "translate:TranslateText"], "Resource": "*"})
    iam.put_role_policy(RoleName=role, PolicyName="Placed", PolicyDocument=more)
    place = {"SubnetIds": network["SubnetIds"].split(","), "SecurityGroupIds": [network["JobsSecurityGroupId"]]}
    name = make_function(cloud, CALLER, outputs["NotebookRoleArn"], VpcConfig=place)
    yield Caller(cloud, name, role)
    cloud.client("lambda").delete_function(FunctionName=name)
    iam.delete_role_policy(RoleName=role, PolicyName="Placed")


def test_the_report_goes_through_the_networks_door_and_the_guard_stops_the_notebook(
    cloud: LocalCloud, outputs: dict[str, str], network: dict[str, str], inside: Caller, shared_stacks: SharedStacks
) -> None:
    # Given a notebook in service, and its role where it stands
    sagemaker, name = cloud.client("sagemaker"), outputs["NotebookName"]

    def notebook() -> Any:
        return sagemaker.describe_notebook_instance(NotebookInstanceName=name)

    eventually(lambda: notebook()["NotebookInstanceStatus"] == "InService", 20)
    arn, started = notebook()["NotebookInstanceArn"], notebook()["LastModifiedTime"]
    moment = started.astimezone(datetime.timezone.utc).replace(microsecond=0) + cost_guard.AHEAD
    guard = shared_stacks("cost-guard")
    # When it reports work, Then the guard leaves it alone
    since = last_sequence(cloud)
    assert inside.call("sagemaker", "add_tags", ResourceArn=arn, Tags=[report(moment, moment)])["code"] == ""
    answer, error = look(cloud, guard, moment)
    assert (error, name in answer["active"], notebook()["NotebookInstanceStatus"]) == ("", True, "InService")
    # by the door's own statement
    (through,) = (one for one in decided(cloud, "sagemaker:AddTags", arn, since) if one["via"] == "network")
    assert through["statement"]["policy"] == network["SagemakerApiEndpointId"]
    # When SageMaker fails and a report is lost, Then the guard waits for the next one
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=[ACTIVITY_TAG])
    cloud.control.faults_add(service="sagemaker", operation="AddTags", kind="internal", times=1)
    idle = report(moment - cost_guard.AHEAD, moment)
    assert inside.call("sagemaker", "add_tags", ResourceArn=arn, Tags=[idle])["code"] != ""
    answer, error = look(cloud, guard, moment)
    assert (error, name in answer["silent"], notebook()["NotebookInstanceStatus"]) == ("", True, "InService")
    # When it reports that nobody has worked for two hours, Then the guard stops it
    assert inside.call("sagemaker", "add_tags", ResourceArn=arn, Tags=[idle])["code"] == ""
    answer, error = look(cloud, guard, moment)
    assert (error, name in answer["stopped"]) == ("", True)
    assert notebook()["NotebookInstanceStatus"] in ("Stopping", "Stopped")


def test_the_doors_let_nothing_else_of_the_notebook_through(
    cloud: LocalCloud, outputs: dict[str, str], inside: Caller
) -> None:
    # Given a role that may list tags and translate, When it does so from the notebook's place
    notebook = cloud.client("sagemaker").describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])
    listed = inside.call("sagemaker", "list_tags", ResourceArn=notebook["NotebookInstanceArn"])
    words = {"Text": "a", "SourceLanguageCode": "en", "TargetLanguageCode": "de"}
    translated = inside.call("translate", "translate_text", **words)
    # Then the door refuses the one and there is no way to the other
    assert "because no VPC endpoint policy allows" in listed["message"]
    assert translated["code"] == "ConnectionClosedError"
    # and her files are reached by the gateway
    assert inside.call("s3", "list_objects_v2", Bucket=outputs["BucketName"], Prefix="work/")["code"] == ""


def test_a_network_without_the_doors_fails_the_deployment_and_names_one(cloud: LocalCloud) -> None:
    parameters = {"PrivateNetworkStack": "no-network-here"}
    with pytest.raises(DeployError, match="no-network-here-"):
        deploy(cloud, synthesize(ARCHITECTURE), "unplaced-studio", artifact=ARCHITECTURE, parameters=parameters)


def test_a_day_in_studio_is_decided_as_it_should_be(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given the project's own requests, When IAM decides them, Then each comes out right and all stands as it should
    found = secure_studio.run(cloud, outputs, [SAMPLE])
    assert found.complete, [one for one in found.answers if not one.right]
    assert {one.asked.who for one in found.answers} == set(ROLES)
    assert [one.decision for one in found.answers].count("implicitDeny") >= len(found.answers) / 2
    # And a request that is expected to come out otherwise is told
    other = [replace(one, asked=replace(one.asked, allowed=not one.asked.allowed)) for one in found.answers]
    assert not any(one.right for one in other)
    assert not secure_studio.Report(tuple(other), found.facts).complete


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "no JSON"),
        ("{}", "no list"),
        ('[{"who": "Nobody"}]', "request 1: who is 'Nobody'"),
        ('[{"who": "Auditor", "action": "iam:PassRole"}]', "no action of s3 or sagemaker"),
        ('[{"who": "Auditor", "action": "s3:GetObject"}]', "on says on what"),
        ('[{"who": "Auditor", "action": "s3:GetObject", "on": "a", "allowed": "no"}]', "true or false"),
        ('[{"who": "Auditor", "action": "s3:GetObject", "on": "a", "allowed": true, "tags": "a"}]', "list of keys"),
        ('[{"who": "Auditor", "why": "because"}]', "why is not known"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "requests.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(secure_studio.RequestError, match=told):
        secure_studio.read_requests(file)


def test_a_throttled_sagemaker_is_asked_again(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a SageMaker that throttles twice, When the scenario looks, Then it finds all the same
    cloud.control.faults_add(service="sagemaker", operation="DescribeDomain", kind="throttle", times=2)
    assert secure_studio.run(cloud, outputs, [SAMPLE]).complete


def test_without_a_permission_her_work_is_refused_and_comes_back(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a scientist's role that lost a permission
    role = outputs["ScientistRoleArn"].rpartition("/")[2]
    taken = policy({"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"})
    cloud.client("iam").put_role_policy(RoleName=role, PolicyName="TakenAway", PolicyDocument=taken)
    # When the day is decided, Then what she lost is told, by its policy
    (lost,) = (one for one in secure_studio.run(cloud, outputs, [SAMPLE]).answers if not one.right)
    assert (lost.asked.who, lost.asked.action, lost.decision) == ("Scientist", "s3:PutObject", "explicitDeny")
    assert "TakenAway" in " ".join(lost.policies)
    # And once it is back, all is right
    cloud.client("iam").delete_role_policy(RoleName=role, PolicyName="TakenAway")
    assert secure_studio.run(cloud, outputs, [SAMPLE]).complete


# --- each statement is needed


def expectations(outputs: Mapping[str, str], policies: Mapping[str, Mapping[str, Any]]) -> list[Expectation]:
    """What the stack's policies must allow and refuse, wherever one of them has a condition or a denial."""
    bucket, key = f"arn:aws:s3:::{outputs['BucketName']}", outputs["KeyArn"]
    region = key.split(":")[3]
    notebook = f"arn:aws:sagemaker:{region}:{MINE}:notebook-instance/{outputs['NotebookName']}"
    stack = outputs["NotebookName"].removeprefix("ml-")
    found = []
    for who in ROLES:
        (own,) = (name for name in policies if name.startswith(f"{who}Role/inline/"))
        caller, trust = outputs[f"{who}RoleArn"], f"{who}Role/trust"

        def asks(
            what: str,
            allowed: bool,
            action: str,
            on: str,
            context: Mapping[str, Any],
            *,
            who: str = who,
            own: str = own,
            caller: str = caller,
        ) -> Expectation:
            return Expectation(f"{who} {what}", allowed, Request(action, on, caller, context), identity=[own])

        def taken_on(
            account: str, allowed: bool, *, who: str = who, caller: str = caller, trust: str = trust
        ) -> Expectation:
            context = {"aws:SourceAccount": account}
            request = Request("sts:AssumeRole", caller, "sagemaker.amazonaws.com", context)
            return Expectation(f"{who} is taken on for {account}", allowed, request, resource=[trust], required=True)

        folder = next(one for one in sorted(MAY[who]) if one.startswith("list")).removeprefix("list ")
        found += [
            taken_on(MINE, True),
            taken_on(THEIRS, False),
            asks("lists its folder", True, "s3:ListBucket", bucket, {"s3:prefix": f"{folder}/"}),
            asks("lists no other", False, "s3:ListBucket", bucket, {"s3:prefix": "elsewhere/"}),
            asks("has a disk encrypted", True, "kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"}),
            asks("grants nobody the key", False, "kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "false"}),
        ]
        if who == NOTEBOOK:
            tags = {
                "the report": [ACTIVITY_TAG],
                "keep-alive": [KEEP_ALIVE_TAG],
                "both": [ACTIVITY_TAG, KEEP_ALIVE_TAG],
            }
            found += [
                asks(f"writes {name}", name == "the report", "sagemaker:AddTags", notebook, {"aws:TagKeys": keys})
                for name, keys in tags.items()
            ]
            found.append(asks("says which tags", False, "sagemaker:AddTags", notebook, {}))
    for group, allowed in ((f"{stack}-group", True), ("another-group", False)):
        context = {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{MINE}:log-group:{group}"}
        request = Request("kms:Decrypt", key, f"logs.{region}.amazonaws.com", context)
        found.append(Expectation(f"logs of {group}", allowed, request, resource=["Key"], required=True))
    everything: Mapping[str, Any] = {"all": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}
    for secure in ("true", "false"):
        caller = outputs["ScientistRoleArn"]
        request = Request("s3:GetObject", f"{bucket}/work/a", caller, {"aws:SecureTransport": secure})
        found.append(
            Expectation(f"TLS {secure}", secure == "true", request, resource=["ProjectPolicy"], extra=everything)
        )
    return found


def test_each_denial_and_each_condition_is_needed(studio: Studio) -> None:
    # Given the policies as they were deployed, Then they allow and refuse what they should
    policies = studio.policies
    expected = expectations(studio.outputs, policies)
    assert len(list(mutants(policies))) > 15
    assert wrong(expected, policies) == []
    # and without any one denial or condition they would not
    assert [str(mutant) for mutant in survivors(expected, policies)] == []


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(
    cloud: LocalCloud, network: dict[str, str]
) -> None:
    # Given a copy of the stack, When it is deployed, each role does what it is for, and it is destroyed
    assert network
    name, since = f"life-studio-{os.getpid()}", last_sequence(cloud)
    try:
        made = deploy(cloud, synthesize(ARCHITECTURE), name, artifact=ARCHITECTURE)
        assert secure_studio.run(cloud, made, [SAMPLE]).complete
        grants = granted(cloud, name)
        open_roles(cloud, made)
        bucket, arn = made["BucketName"], f"notebook-instance/{made['NotebookName']}"
        cloud.client("s3").put_object(Bucket=bucket, Key="results/a", Body=b"1")
        for who in ("Scientist", *(one for one in ROLES if one != "Scientist")):
            s3 = client_as(cloud, made[f"{who}RoleArn"], "s3")
            for may in sorted(MAY[who], reverse=True):
                verb, folder = may.split()
                if verb == "write":
                    s3.put_object(Bucket=bucket, Key=f"{folder}/a", Body=b"1")
                elif verb == "read":
                    s3.get_object(Bucket=bucket, Key=f"{folder}/a")
                else:
                    s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/")
        now = datetime.datetime.now(datetime.timezone.utc)
        client_as(cloud, made["NotebookRoleArn"], "sagemaker").add_tags(
            ResourceArn=f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:{arn}", Tags=[report(now, now)]
        )
    finally:
        destroy(cloud, name)
    found = compare(grants, cloud.control.decisions(since=since), architecture=ARCHITECTURE)
    # Then nothing was refused, and every grant was used or is acknowledged
    assert found.problems == ()
    assert found.exercised
    assert found.count(Status.MISSING) == 0


def test_the_notebook_stands_as_the_template_says_and_its_scripts_are_there(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    found = cloud.client("sagemaker").describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])
    assert (found["DirectInternetAccess"], found["RootAccess"]) == ("Disabled", "Disabled")
    scripts = cloud.client("sagemaker").describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=found["NotebookInstanceLifecycleConfigName"]
    )
    assert len(scripts["OnStart"]) == 1
    domain = cloud.client("sagemaker").describe_domain(DomainId=outputs["DomainId"])
    assert domain["AppNetworkAccessType"] == "VpcOnly"
    profiles = cloud.client("sagemaker").list_user_profiles(DomainIdEquals=outputs["DomainId"])["UserProfiles"]
    assert {one["UserProfileName"] for one in profiles} == {
        "scientist",
        "engineer",
        "administrator",
        "auditor",
    }
