"""Endpoints, security groups, flow logs and functions in a VPC, by EC2's API and by CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import TRUST, policy, unique
from tests.local.networking import NETWORK, Vpc, make_vpc

ANYBODY = {"Principal": "*", "Action": "*", "Resource": "*"}


@pytest.fixture(scope="module")
def vpc(cloud: LocalCloud) -> Vpc:
    """A VPC; a test takes its endpoints away again."""
    return make_vpc(cloud)


def described(vpc: Vpc, endpoint: str) -> dict[str, Any]:
    """An endpoint as EC2 describes it."""
    (found,) = vpc.ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    return dict(found)


# --- Endpoints


def test_an_interface_endpoint_is_described_as_it_was_made(vpc: Vpc) -> None:
    # Given an endpoint with all that decides about calls
    document = policy({**ANYBODY, "Sid": "All & more"})
    endpoint = vpc.interface("kms", document)
    # When it is described, Then all of it is there
    found = described(vpc, endpoint)
    assert (found["VpcEndpointType"], found["PrivateDnsEnabled"], found["State"]) == ("Interface", True, "available")
    assert json.loads(found["PolicyDocument"]) == json.loads(document)
    assert [one["GroupId"] for one in found["Groups"]] == [vpc.endpoints]
    assert found["SubnetIds"] == vpc.subnets
    # Then it has an interface in each subnet, with an address of that subnet
    interfaces = vpc.ec2.describe_network_interfaces(NetworkInterfaceIds=found["NetworkInterfaceIds"])
    networks = [one["PrivateIpAddress"].rpartition(".")[0] for one in interfaces["NetworkInterfaces"]]
    assert networks == ["10.7.0", "10.7.1"]
    # When it is deleted, Then its interfaces go with it
    vpc.without(endpoint)
    with pytest.raises(ClientError, match=r"InvalidVpcEndpointId\.NotFound"):
        described(vpc, endpoint)
    left = vpc.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert not {one["NetworkInterfaceId"] for one in left} & set(found["NetworkInterfaceIds"])


def test_an_endpoint_can_be_changed_and_changed_back(vpc: Vpc) -> None:
    # Given a gateway endpoint with full access
    endpoint = vpc.gateway("s3", tables=vpc.tables[:1])
    full = json.loads(described(vpc, endpoint)["PolicyDocument"])
    assert full["Statement"][0]["Action"] == "*"
    # When it gets a policy and another route table, Then it has them
    narrow = policy({**ANYBODY, "Action": "s3:GetObject"})
    vpc.ec2.modify_vpc_endpoint(
        VpcEndpointId=endpoint,
        PolicyDocument=narrow,
        AddRouteTableIds=vpc.tables[1:],
        RemoveRouteTableIds=vpc.tables[:1],
    )
    found = described(vpc, endpoint)
    assert (json.loads(found["PolicyDocument"]), found["RouteTableIds"]) == (json.loads(narrow), vpc.tables[1:])
    # When the policy is reset, Then it gives full access again
    vpc.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, ResetPolicy=True)
    assert json.loads(described(vpc, endpoint)["PolicyDocument"]) == full
    vpc.without(endpoint)


def test_endpoints_are_found_by_their_vpc_and_service(vpc: Vpc) -> None:
    endpoints = [vpc.gateway("s3"), vpc.gateway("dynamodb")]
    names = [{"Name": "vpc-id", "Values": [vpc.id]}, {"Name": "service-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    found = vpc.ec2.describe_vpc_endpoints(Filters=names)["VpcEndpoints"]
    assert [one["VpcEndpointId"] for one in found] == endpoints[:1]
    vpc.without(*endpoints)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"VpcId": "vpc-none"}, "InvalidVpcId.NotFound"),
        ({"ServiceName": "com.amazonaws.eu-south-1.kms"}, "InvalidServiceName"),
        ({"VpcEndpointType": "GatewayLoadBalancer"}, "does not serve VPC endpoints of type GatewayLoadBalancer"),
        ({"VpcEndpointType": "Gateway", "SubnetIds": [], "SecurityGroupIds": []}, "has no endpoint of type Gateway"),
        ({"SubnetIds": ["subnet-none"]}, "InvalidSubnetId.NotFound"),
        ({"SecurityGroupIds": ["sg-none"]}, "InvalidGroup.NotFound"),
        ({"RouteTableIds": ["rtb-none"]}, "not for endpoints of type Interface"),
        ({"PolicyDocument": "none"}, "InvalidPolicyDocument"),
        ({"PolicyDocument": policy({"Action": "*", "Resource": "*"})}, "needs a Principal"),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_refused(vpc: Vpc, settings: Mapping[str, Any], problem: str) -> None:
    sound = {
        "VpcId": vpc.id,
        "ServiceName": "com.amazonaws.us-east-1.kms",
        "VpcEndpointType": "Interface",
        "SubnetIds": vpc.subnets,
        "SecurityGroupIds": [vpc.endpoints],
        "PrivateDnsEnabled": True,
    }
    with pytest.raises(ClientError, match=problem):
        vpc.ec2.create_vpc_endpoint(**{**sound, **settings})
    # Without the mistake it is made.
    vpc.without(vpc.ec2.create_vpc_endpoint(**sound)["VpcEndpoint"]["VpcEndpointId"])


def test_two_private_names_for_one_service_and_two_routes_are_refused(vpc: Vpc) -> None:
    endpoints = [vpc.interface("kms"), vpc.gateway("s3")]
    with pytest.raises(ClientError, match="conflicting DNS domain"):
        vpc.interface("kms")
    with pytest.raises(ClientError, match="RouteAlreadyExists"):
        vpc.gateway("s3")
    vpc.without(*endpoints)


def test_a_private_name_needs_the_dns_attributes_of_the_vpc(vpc: Vpc) -> None:
    vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": False})
    try:
        with pytest.raises(ClientError, match="requires both enableDnsSupport and enableDnsHostnames"):
            vpc.interface("kms")
    finally:
        vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})


def condition(key: str, value: str, operator: str = "StringLike") -> str:
    """A policy under a condition."""
    return policy({**ANYBODY, "Condition": {operator: {key: value}}})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (condition("aws:SourceVpc", "vpc-123456*"), "aws:SourceVpc takes no wildcards"),
        (condition("aws:PrincipalArn", "arn:*:role"), "needs 6 characters"),
        (condition("aws:PrincipalTag/project", "*"), "needs 6 characters"),
        (condition("aws:PrincipalArn", "x" * 20_480), "20480 characters at most"),
    ],
)
def test_wildcards_and_the_length_of_an_endpoint_policy_have_limits(vpc: Vpc, document: str, problem: str) -> None:
    with pytest.raises(ClientError, match=problem):
        vpc.interface("kms", document)
    # Within them it is taken.
    vpc.without(vpc.interface("kms", condition("aws:PrincipalArn", "arn:aws:iam::*:role/worker-*")))


def test_a_rule_keeps_its_prefix_list(vpc: Vpc) -> None:
    (s3,) = [
        one["PrefixListId"] for one in vpc.ec2.describe_prefix_lists()["PrefixLists"]
        if one["PrefixListName"] == "com.amazonaws.us-east-1.s3"
    ]  # fmt: skip
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": s3}]}
    vpc.ec2.authorize_security_group_egress(GroupId=vpc.endpoints, IpPermissions=[rule])
    (group,) = vpc.ec2.describe_security_groups(GroupIds=[vpc.endpoints])["SecurityGroups"]
    assert [{"PrefixListId": s3}] in [one["PrefixListIds"] for one in group["IpPermissionsEgress"]]


# --- CloudFormation


def template(**changed: Any) -> dict[str, Any]:
    """A VPC with a function in it, that sends by an endpoint for queues; `changed` are settings of resources."""
    reference = {"Ref": "Vpc"}
    service = {"Fn::Sub": "com.amazonaws.${AWS::Region}.sqs"}
    statements = [NETWORK, {"Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
    code = (
        "import boto3, os\n"
        "from botocore.config import Config\n"
        "def handler(event, context):\n"
        "    client = boto3.client('sqs', config=Config(retries={'total_max_attempts': 1}))\n"
        "    return client.send_message(QueueUrl=os.environ['QUEUE'], MessageBody='m')['MessageId']\n"
    )
    resources: dict[str, Any] = {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16", "EnableDnsHostnames": True}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": reference, "CidrBlock": "10.9.0.0/24"}},
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": reference}},
        "Association": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"RouteTableId": {"Ref": "Table"}, "SubnetId": {"Ref": "Subnet"}},
        },
        "Callers": {
            "Type": "AWS::EC2::SecurityGroup",
            # A rule that leads nowhere, so that none for everywhere is made.
            "Properties": {
                "VpcId": reference,
                "GroupDescription": "callers",
                "SecurityGroupEgress": [
                    {"CidrIp": "255.255.255.255/32", "IpProtocol": "icmp", "FromPort": 252, "ToPort": 86}
                ],
            },
        },
        "Endpoints": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"VpcId": reference, "GroupDescription": "endpoints"},
        },
        "Out": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {
                "GroupId": {"Fn::GetAtt": ["Callers", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "DestinationSecurityGroupId": {"Fn::GetAtt": ["Endpoints", "GroupId"]},
            },
        },
        "In": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": {"Fn::GetAtt": ["Endpoints", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "SourceSecurityGroupId": {"Fn::GetAtt": ["Callers", "GroupId"]},
            },
        },
        "Endpoint": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": reference,
                "ServiceName": service,
                "VpcEndpointType": "Interface",
                "SubnetIds": [{"Ref": "Subnet"}],
                "SecurityGroupIds": [{"Fn::GetAtt": ["Endpoints", "GroupId"]}],
                "PrivateDnsEnabled": True,
                "Tags": [{"Key": "project", "Value": "one"}],
            },
        },
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {}},
        "FlowRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": json.loads(
                    policy({"Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"})
                )
            },
        },
        "FlowLog": {
            "Type": "AWS::EC2::FlowLog",
            "Properties": {
                "ResourceId": reference,
                "ResourceType": "VPC",
                "TrafficType": "ALL",
                "MaxAggregationInterval": 60,
                "LogGroupName": {"Ref": "Group"},
                "DeliverLogsPermissionArn": {"Fn::GetAtt": ["FlowRole", "Arn"]},
                "Tags": [{"Key": "project", "Value": "one"}],
            },
        },
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": TRUST,
                "Policies": [{"PolicyName": "permissions", "PolicyDocument": document}],
            },
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"ZipFile": code},
                "Timeout": 10,
                "Environment": {"Variables": {"QUEUE": {"Ref": "Queue"}}},
                "VpcConfig": {
                    "SubnetIds": [{"Ref": "Subnet"}],
                    "SecurityGroupIds": [{"Fn::GetAtt": ["Callers", "GroupId"]}],
                },
            },
        },
    }
    for name, properties in changed.items():
        resources[name]["Properties"] |= properties
    return {
        "Resources": resources,
        "Outputs": {name: {"Value": {"Ref": name}} for name in ("Vpc", "Function", "Endpoint", "FlowLog", "Endpoints")},
    }


def deployed(cloud: LocalCloud, name: str, body: Mapping[str, Any], *, update: bool = False) -> dict[str, str]:
    """A stack's outputs when it has been made or changed. Raises AssertionError with what failed."""
    client = cloud.client("cloudformation")
    ask = client.update_stack if update else client.create_stack
    ask(StackName=name, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"])
    waiter = client.get_waiter("stack_update_complete" if update else "stack_create_complete")
    waiter.config.delay = 0.1
    try:
        waiter.wait(StackName=name)
    except Exception as error:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [one.get("ResourceStatusReason") for one in events if "FAILED" in one["ResourceStatus"]]
        raise AssertionError(reasons) from error
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}


def error_of(cloud: LocalCloud, function: str) -> str:
    """What a function raised; nothing if it ended well."""
    answer = cloud.client("lambda").invoke(FunctionName=function)
    return str(json.loads(answer["Payload"].read())["errorType"]) if "FunctionError" in answer else ""


def test_a_stack_with_a_private_function_stands_changes_and_goes(cloud: LocalCloud) -> None:
    # Given a stack whose function sends from inside a VPC
    name, ec2 = unique("stack"), cloud.client("ec2")
    outputs = deployed(cloud, name, template())
    # When it is invoked, Then it sends by the stack's endpoint
    assert error_of(cloud, outputs["Function"]) == ""
    # Then the flow log is recorded as the template has it
    (flow,) = ec2.describe_flow_logs(FlowLogIds=[outputs["FlowLog"]])["FlowLogs"]
    assert (flow["ResourceId"], flow["TrafficType"], flow["MaxAggregationInterval"]) == (outputs["Vpc"], "ALL", 60)
    assert flow["DeliverLogsPermissionArn"].startswith("arn:aws:iam:")
    assert flow["Tags"] == [{"Key": "project", "Value": "one"}]
    # When the endpoint's policy is narrowed, Then the same endpoint refuses
    narrow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **ANYBODY, "Action": "sqs:ReceiveMessage"}]}
    changed = deployed(cloud, name, template(Endpoint={"PolicyDocument": narrow}), update=True)
    assert changed["Endpoint"] == outputs["Endpoint"]
    assert error_of(cloud, outputs["Function"]) == "ClientError"
    # When the rule that lets the function in is for another port, Then there is no connection
    deployed(cloud, name, template(In={"FromPort": 80, "ToPort": 80}), update=True)
    assert error_of(cloud, outputs["Function"]) == "ConnectionClosedError"
    (group,) = ec2.describe_security_groups(GroupIds=[outputs["Endpoints"]])["SecurityGroups"]
    assert [one["FromPort"] for one in group["IpPermissions"]] == [80]
    # When the function is taken out of the VPC, Then it calls from outside
    deployed(cloud, name, template(In={"FromPort": 80, "ToPort": 80}, Function={"VpcConfig": {}}), update=True)
    assert error_of(cloud, outputs["Function"]) == ""
    # When the stack is deleted, Then nothing of it is left
    client = cloud.client("cloudformation")
    client.delete_stack(StackName=name)
    waiter = client.get_waiter("stack_delete_complete")
    waiter.config.delay = 0.1
    waiter.wait(StackName=name)
    by_vpc = [{"Name": "vpc-id", "Values": [outputs["Vpc"]]}]
    assert ec2.describe_vpc_endpoints(Filters=by_vpc)["VpcEndpoints"] == []
    assert ec2.describe_flow_logs(FlowLogIds=[outputs["FlowLog"]])["FlowLogs"] == []
    assert outputs["Vpc"] not in {one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Function": {"VpcConfig": {"SubnetIds": ["subnet-none"], "SecurityGroupIds": ["sg-none"]}}}, "subnet-none"),
        ({"FlowLog": {"ResourceId": "vpc-none"}}, "vpc-none"),
        ({"FlowLog": {"ResourceType": "TransitGateway"}}, "keeps no flow logs of the type TransitGateway"),
        ({"FlowLog": {"Colour": "blue"}}, "Encountered unsupported property Colour"),
        ({"Endpoint": {"Colour": "blue"}}, "Encountered unsupported property Colour"),
        ({"Endpoint": {"ServiceName": "sqs"}}, "InvalidServiceName"),
        ({"In": {"GroupId": "sg-none"}}, "sg-none"),
    ],
)
def test_a_stack_that_makes_no_sense_fails(cloud: LocalCloud, changed: Mapping[str, Any], reason: str) -> None:
    name = unique("stack")
    with pytest.raises(AssertionError, match=reason):
        deployed(cloud, name, template(**changed))
    cloud.client("cloudformation").delete_stack(StackName=name)
