"""The stack of private-network, and what it means to be placed in it: what would open a way if it were otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import aws_cdk.aws_ec2 as ec2
import pytest
from pydantic import ValidationError

from docs import graph
from stacks.blocks.networks import door_name
from stacks.policy import idle_cost, wildcards
from stacks.policy.template import Template
from stacks.secure.doors import DOORS, GATEWAYS, PASSAGES, Passage
from stacks.secure.private_network import DATA_ACTIONS, EMPTYING_ACTIONS, PrivateNetworkSettings
from tests.mutations import Expectation, Request, survivors, wrong
from tests.stacks.models import role_grants, synthesized
from tests.stacks.test_image_labeling import named, only

ARCHITECTURE = "private-network"
MINE, THEIRS = "111122223333", "210987654321"
EVERYTHING: Mapping[str, Any] = {"all": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}
OF_ALL_DOORS: Mapping[str, Passage] = dict([*GATEWAYS.items(), *PASSAGES.items()])


@pytest.fixture
def default() -> Template:
    return synthesized(ARCHITECTURE)


@pytest.fixture
def full() -> Template:
    """With every endpoint, in three zones."""
    return synthesized(ARCHITECTURE, endpoints=list(DOORS), availability_zones=3, foreign_bucket="theirs")


def endpoints(template: Template) -> dict[str, Mapping[str, Any]]:
    """The properties of each endpoint, by its service's name after the region."""
    found = {}
    for _, resource in template.resources("AWS::EC2::VPCEndpoint"):
        name = resource["Properties"]["ServiceName"]["Fn::Join"][1]
        assert name[:2] == ["com.amazonaws.", {"Ref": "AWS::Region"}]
        found[name[2].removeprefix(".")] = resource["Properties"]
    return found


def groups(template: Template) -> dict[str, Mapping[str, Any]]:
    return {name: resource["Properties"] for name, resource in template.resources("AWS::EC2::SecurityGroup")}


@pytest.mark.parametrize("zones", [2, 3])
def test_no_way_leads_out(zones: int) -> None:
    # Given the network in some zones
    template = synthesized(ARCHITECTURE, availability_zones=zones)
    types = {resource["Type"] for _, resource in template.resources()}
    # Then there is neither gateway nor route to the internet, and no public address
    assert not types & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::EC2::EgressOnlyInternetGateway",
    }
    subnets = dict(template.resources("AWS::EC2::Subnet"))
    assert len(subnets) == zones
    assert all(subnet["Properties"]["MapPublicIpOnLaunch"] is False for subnet in subnets.values())
    # And each subnet is in a zone and a range of its own, with the one route table that knows the gateways
    for member in ("AvailabilityZone", "CidrBlock"):
        assert len({json.dumps(subnet["Properties"][member]) for subnet in subnets.values()}) == zones
    (table,) = (name for name, _ in template.resources("AWS::EC2::RouteTable"))
    associated = [one["Properties"] for _, one in template.resources("AWS::EC2::SubnetRouteTableAssociation")]
    assert {one["SubnetId"]["Ref"] for one in associated} == set(subnets)
    assert all(one["RouteTableId"] == {"Ref": table} for one in associated)


def test_every_endpoint_stands_in_every_zone_with_private_dns_and_a_group_of_its_own(full: Template) -> None:
    # Given every endpoint that can be chosen
    found = endpoints(full)
    assert set(found) == {*DOORS, *GATEWAYS}
    subnets = [{"Ref": name} for name, _ in full.resources("AWS::EC2::Subnet")]
    purposes = {name: {"Ref": f"{name.capitalize()}Group"} for name in ("functions", "jobs")}
    own = set()
    for door, passage in PASSAGES.items():
        endpoint = found[door]
        # Then it is reached by the service's own name, in each zone
        assert (endpoint["VpcEndpointType"], endpoint["PrivateDnsEnabled"]) == ("Interface", True)
        assert endpoint["SubnetIds"] == subnets
        # and through one group, which nothing else has
        (group,) = endpoint["SecurityGroupIds"]
        own.add(group["Ref"])
        properties = groups(full)[group["Ref"]]
        # that lets in HTTPS, from those that the endpoint is for
        assert [
            (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]["Fn::GetAtt"][0])
            if "Fn::GetAtt" in rule["SourceSecurityGroupId"]
            else (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]["Ref"])
            for rule in properties["SecurityGroupIngress"]
        ] == [("tcp", 443, 443, purposes[purpose]["Ref"]) for purpose in passage.purposes]
        # and nothing out
        (out,) = properties["SecurityGroupEgress"]
        assert out["CidrIp"] == "255.255.255.255/32"
    assert len(own) == len(PASSAGES)


def test_ec2_takes_the_description_of_each_group_and_each_rule(full: Template) -> None:
    # Given all groups, Then their descriptions have the characters that EC2 allows (CreateSecurityGroup)
    for properties in groups(full).values():
        rules = [*properties.get("SecurityGroupIngress", ()), *properties["SecurityGroupEgress"]]
        for text in (properties["GroupDescription"], *(rule["Description"] for rule in rules)):
            assert re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}", text), text


def test_nobody_comes_in_to_those_who_work_in_the_network(default: Template) -> None:
    for name in ("FunctionsGroup", "JobsGroup"):
        properties = groups(default)[name]
        # Given their groups, Then nothing is let in, and HTTPS alone goes out
        assert "SecurityGroupIngress" not in properties
        assert [
            (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in properties["SecurityGroupEgress"]
        ] == [("tcp", 443, 443)]


def test_a_service_is_called_what_aws_calls_it() -> None:
    # Given the names that CDK knows of AWS's services, Then each door has one of them
    known = ec2.InterfaceVpcEndpointAwsService
    names = {getattr(known, name).short_name for name in dir(known) if name.isupper()}
    assert set(DOORS) <= names


def documents(template: Template) -> dict[str, dict[str, Any]]:
    """The policies of the endpoints as AWS would hold them, in the account `MINE`."""
    return {
        name: json.loads(json.dumps(endpoint["PolicyDocument"]).replace('{"Ref": "AWS::AccountId"}', f'"{MINE}"'))
        for name, endpoint in endpoints(template).items()
    }


def promises() -> Iterator[Expectation]:
    """What each endpoint must let through and what it must not, to a caller who may do everything."""
    for door, passage in OF_ALL_DOORS.items():

        def asks(what: str, allowed: bool, action: str, caller: str, owner: str, door: str = door) -> Expectation:
            thing = f"arn:aws:{action.partition(':')[0]}:us-east-1:{owner}:thing"
            request = Request(action, thing, f"arn:aws:iam::{caller}:role/worker")
            return Expectation(f"{door} {what}", allowed, request, endpoint=[door], extra=EVERYTHING)

        for action in passage.actions:
            yield asks(f"lets {action} through", True, action, MINE, MINE)
        first = passage.actions[0]
        yield asks("keeps out another account's caller", False, first, THEIRS, MINE)
        yield asks("leads to other accounts' resources, or not", not passage.own, first, MINE, THEIRS)
        yield asks("lets nothing else through", False, f"{first.partition(':')[0]}:DeleteEverything", MINE, MINE)


def test_each_endpoint_lets_through_what_it_is_for_and_each_condition_is_needed(full: Template) -> None:
    # Given the policies of all endpoints
    policies = documents(full)
    expected = list(promises())
    # Then they keep every promise
    assert wrong(expected, policies) == []
    # And without any one of their conditions, one is broken
    assert [str(mutant) for mutant in survivors(expected, policies)] == []


def test_the_layers_of_images_are_fetched_where_images_are_pulled(default: Template, full: Template) -> None:
    # Given S3's endpoint with and without the registry's, Then AWS's bucket of layers is a way of the former alone
    assert [one["Sid"] for one in documents(default)["s3"]["Statement"]] == ["LetThrough"]
    (_, layers) = documents(full)["s3"]["Statement"]
    assert layers["Action"] == ["s3:GetObject"]
    assert json.dumps(layers["Resource"]).count("-starport-layer-bucket/*") == 1
    assert wildcards.check(full) == []


def test_comprehend_finds_entities_and_nothing_else(default: Template) -> None:
    (statement,) = documents(default)["comprehend"]["Statement"]
    assert statement["Action"] == ["comprehend:DetectEntities"]


def test_the_bucket_knows_one_endpoint(default: Template) -> None:
    # Given the bucket's policy
    statements = only(default, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    (denied,) = (one for one in statements if one.get("Sid") == "ThroughTheEndpointOnly")
    # Then whoever reads or writes another way is refused, everybody
    assert (denied["Effect"], denied["Principal"]) == ("Deny", {"AWS": "*"})
    assert denied["Condition"] == {"StringNotEquals": {"aws:SourceVpce": {"Ref": "S3Endpoint"}}}
    # whatever it is of an object that he reads or changes
    assert denied["Action"] == DATA_ACTIONS
    # and versions are removed by the function that empties the bucket alone
    (emptying,) = (one for one in statements if one.get("Sid") == "EmptiedByItsFunctionOnly")
    emptier, _ = named(default, "AWS::IAM::Role", "EmptiedLettersWorkerRole")
    assert emptying["Condition"] == {
        **denied["Condition"],
        "ArnNotEquals": {"aws:PrincipalArn": {"Fn::GetAtt": [emptier, "Arn"]}},
    }
    assert emptying["Action"] == EMPTYING_ACTIONS


def test_who_works_inside_may_do_what_who_works_outside_may(full: Template) -> None:
    # Given the two functions, one of which is in the network
    inside, outside = (
        {(action, target.replace(name, "")) for action, target in role_grants(full, f"{name}Role")}
        for name in ("Inside", "Outside")
    )
    functions = {
        name: resource["Properties"].get("VpcConfig") for name, resource in full.resources("AWS::Lambda::Function")
    }
    assert [name for name, config in functions.items() if config] == [
        next(name for name in functions if name.startswith("InsideFunction"))
    ]
    # Then what differs is what Lambda needs to connect it, and the attempt on another account's bucket
    more = {action for action, target in inside - outside if not action.startswith("logs:")}
    assert {action for action in more if not action.startswith("ec2:")} == {"s3:GetObject"}
    assert {action for action, _ in outside - inside} <= {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_flow_logs_are_written_of_all_traffic(default: Template) -> None:
    flow_log = only(default, "AWS::EC2::FlowLog")
    assert (flow_log["TrafficType"], flow_log["ResourceId"]) == ("ALL", {"Ref": "Network"})


@pytest.mark.parametrize(
    "wrong_value",
    [
        {"availability_zones": 1},
        {"availability_zones": 7},
        {"endpoints": ["comprehend", "comprehend"]},
        {"endpoints": ["telepathy"]},
        {"cidr": "10.0.0.0/28"},
        {"cidr": "8.8.0.0/16"},
        {"cidr": "10.0.0.1/16"},
        {"flow_log_days": 31},
        {"foreign_bucket": "Not A Bucket"},
    ],
)
def test_a_setting_out_of_bounds_is_refused(wrong_value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrivateNetworkSettings(**wrong_value)


def test_an_endpoint_costs_by_zone_and_a_gateway_nothing(default: Template, full: Template) -> None:
    # Given the default network, and one with every endpoint in three zones, Then each counts in each zone
    assert idle_cost.monthly(default) == pytest.approx(2 * 7.20)
    assert idle_cost.monthly(full) == pytest.approx(len(DOORS) * 3 * 7.20)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("aws:PrincipalAccount", None), "allows everyone"),
        (("aws:PrincipalAccount", THEIRS), "allows everyone"),
        (("aws:ResourceAccount", None), "on every resource"),
    ],
)
def test_an_endpoint_that_is_open_to_other_accounts_is_found(change: tuple[str, str | None], complaint: str) -> None:
    # Given an endpoint that is held to this account
    body = json.loads(json.dumps(synthesized(ARCHITECTURE).body))
    template = Template(ARCHITECTURE, body)
    assert wildcards.check(template) == []
    # When that is taken away, or means another one
    key, value = change
    held = body["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
    held.pop(key) if value is None else held.update({key: value})
    # Then the check says so
    assert [complaint in problem.message for problem in wildcards.check(template)] == [True]


@pytest.mark.parametrize(
    ("member", "complaint"),
    [
        ("PolicyDocument", "lets everything through: give the endpoint a policy"),
        ("SecurityGroupIds", "gets the network's default security group: give the endpoint one of its own"),
    ],
)
def test_an_endpoint_with_what_aws_gives_by_default_is_found(member: str, complaint: str) -> None:
    # Given an endpoint that lacks what was said of it
    body = json.loads(json.dumps(synthesized(ARCHITECTURE).body))
    del body["Resources"]["ComprehendEndpoint"]["Properties"][member]
    # Then the check says what it gets instead
    assert [problem.message for problem in wildcards.check(Template(ARCHITECTURE, body))] == [complaint]


def test_the_diagram_shows_the_way_through_the_endpoints(default: Template) -> None:
    # Given the boxes and arrows of the stack
    drawn = graph.read(default.body)
    arrows = {
        (re.sub(r"[0-9A-F]{8}$", "", edge.source), re.sub(r"[0-9A-F]{8}$", "", edge.target)) for edge in drawn.edges
    }
    # Then the function in the network calls through them, and has no arrow to what has none
    assert arrows >= {
        ("InsideFunction", "ComprehendEndpoint"),
        ("ComprehendEndpoint", "comprehend"),
        ("InsideFunction", "S3Endpoint"),
        ("S3Endpoint", "Letters"),
        ("InsideFunction", "DynamodbEndpoint"),
        ("DynamodbEndpoint", "Rows"),
        ("OutsideFunction", "comprehend"),
        ("OutsideFunction", "translate"),
    }
    assert not arrows & {(("InsideFunction"), one) for one in ("comprehend", "translate", "Letters", "Rows")}


# --- placed in it


IMPORTED = {"Fn::Join": ["", [{"Ref": "PrivateNetworkStack"}, "-SubnetIds"]]}


def imports(value: Any) -> str:
    """What is imported from the network's stack, by its name there."""
    (name,) = value["Fn::ImportValue"]["Fn::Join"][1][1:]
    return str(name).removeprefix("-")


@pytest.mark.parametrize(
    ("architecture", "doors"),
    [
        ("image-labeling", ["rekognition"]),
        ("document-processing", ["textract", "states", "secretsmanager", "sns"]),
    ],
)
def test_a_placed_stack_has_its_functions_in_the_network_and_names_their_endpoints(
    architecture: str, doors: list[str]
) -> None:
    # Given a stack that is placed, beside one that is not
    placed, public = synthesized(architecture, network="private"), synthesized(architecture)
    inside = {
        name: resource["Properties"]
        for name, resource in placed.resources("AWS::Lambda::Function")
        if not name.startswith("Emptied")
    }
    assert inside
    for properties in inside.values():
        # Then each function but the one that answers CloudFormation is in the network's subnets
        assert properties["VpcConfig"] == {
            "SubnetIds": {"Fn::Split": [",", {"Fn::ImportValue": IMPORTED}]},
            "SecurityGroupIds": [
                {"Fn::ImportValue": {"Fn::Join": ["", [{"Ref": "PrivateNetworkStack"}, "-FunctionsSecurityGroupId"]]}}
            ],
        }
        # and imports the endpoints that it needs: without one the deployment fails
        (tag,) = (tag["Value"] for tag in properties["Tags"] if tag["Key"] == "endpoints")
        named = tag["Fn::Join"][1] if "Fn::Join" in tag else [tag]
        assert [imports(one) for one in named if one != " "] == [f"{door_name(door)}EndpointId" for door in doors]
    # And all else is as it is outside
    assert not any("VpcConfig" in resource.get("Properties", {}) for _, resource in public.resources())
    assert "PrivateNetworkStack" not in public.body["Parameters"]


@pytest.mark.parametrize("use_case", ["deliveries", "tumors"])
def test_a_placed_pipeline_has_every_job_in_the_network(use_case: str) -> None:
    # Given the definition of a placed pipeline
    template = synthesized("training-pipeline", network="private", use_case=use_case)
    body = only(template, "AWS::SageMaker::Pipeline")["PipelineDefinition"]["PipelineDefinitionBody"]
    text, values = body["Fn::Sub"]
    # When its placeholders are filled in
    text = text.replace("${Subnets}", values["Subnets"]["Fn::Join"][0].join(["subnet-1", "subnet-2"]))
    vpc = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["${SecurityGroup}"]}
    found = list(_jobs(json.loads(text)["Steps"]))
    # Then each of its jobs is in these subnets, and as isolated as it was
    assert len(found) == 4
    assert [job.get("NetworkConfig", job)["VpcConfig"] for job in found] == [vpc] * 4
    assert all(job.get("NetworkConfig", job)["EnableNetworkIsolation"] for job in found)
    assert imports(values["SecurityGroup"]) == "JobsSecurityGroupId"
    # And SageMaker may connect them
    for role in ("ProcessingRole", "TrainingRole"):
        assert "ec2:CreateNetworkInterfacePermission" in {action for action, _ in role_grants(template, role)}


def test_what_may_name_no_resource_for_jobs_in_a_network_is_asked_for_there() -> None:
    # Given the actions for which `*` passes by a setting, Then the jobs' roles hold each of them
    held = {action for action, _ in role_grants(synthesized("model-monitor", network="private"), "JobRole")}
    assert held >= wildcards.WITHOUT_RESOURCE_BY_SETTING.keys()


def _jobs(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        if step["Type"] in ("Processing", "Training"):
            yield step["Arguments"]
        for branch in ("IfSteps", "ElseSteps"):
            yield from _jobs(step.get("Arguments", {}).get(branch, []))


def test_the_monitors_jobs_may_be_placed_in_the_network() -> None:
    # Given a placed monitor, by its own jobs and by Model Monitor's
    own = synthesized("model-monitor", network="private")
    (start,) = (
        resource["Properties"]["Environment"]["Variables"]
        for name, resource in own.resources("AWS::Lambda::Function")
        if name.startswith("StartMonitorFunction")
    )
    # Then the function starts them there
    assert start["SUBNET_IDS"] == {"Fn::Join": [",", {"Fn::Split": [",", {"Fn::ImportValue": IMPORTED}]}]}
    assert imports(start["SECURITY_GROUP_IDS"]) == "JobsSecurityGroupId"
    # and so does the schedule
    managed = synthesized("model-monitor", network="private", monitor="managed")
    config = only(managed, "AWS::SageMaker::DataQualityJobDefinition")["NetworkConfig"]["VpcConfig"]
    assert config["Subnets"] == {"Fn::Split": [",", {"Fn::ImportValue": IMPORTED}]}
    assert imports(config["SecurityGroupIds"][0]) == "JobsSecurityGroupId"
    for template in (own, managed):
        assert "ec2:CreateNetworkInterfacePermission" in {action for action, _ in role_grants(template, "JobRole")}
