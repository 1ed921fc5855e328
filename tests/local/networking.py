"""A small VPC on a local cloud, and functions inside of it that call services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloud import LocalCloud
from local.emulator.authorise import PATHS
from tests.local.emulated import make_function, make_role

# What a role needs so that a function can be put into a VPC. The actions that describe know no resources.
NETWORK: dict[str, Any] = {
    "Action": ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"],
    "Resource": "*",
}

# What a job's role needs.
JOINING = list(PATHS["job-network"].actions)
JOIN: dict[str, Any] = {"Action": JOINING, "Resource": "*"}

# Calls what the event says, once, and tells how that ended.
CALLER = """
import boto3, json, urllib.error, urllib.request
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

def handler(event, context):
    if "url" in event:
        try:
            return {"code": "", "answer": urllib.request.urlopen(event["url"]).read().decode()}
        except urllib.error.HTTPError as error:
            return {"code": str(error.code), "message": error.read().decode()}
        except OSError as error:
            return {"code": type(error).__name__, "message": str(error)}
    keys = event.get("credentials") or {}
    client = boto3.client(event["service"], config=Config(retries={"total_max_attempts": 1}), **keys)
    try:
        answer = getattr(client, event["method"])(**event.get("arguments", {}))
    except ClientError as error:
        return {"code": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}
    except BotoCoreError as error:
        return {"code": type(error).__name__, "message": str(error)}
    if "Body" in answer:
        answer["Body"] = answer["Body"].read().decode()
    return {"code": "", "answer": json.loads(json.dumps(answer, default=str))}
"""


@dataclass
class Vpc:
    """A VPC with subnets in two zones, none of which leads out, and a security group for callers and one for endpoints.

    What callers send reaches endpoints as long as nobody changes the groups.
    """

    cloud: LocalCloud
    id: str = ""
    subnets: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    callers: str = ""
    endpoints: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The VpcConfig of a function in it."""
        return {"SubnetIds": self.subnets, "SecurityGroupIds": [self.callers]}

    @property
    def ec2(self) -> Any:
        """A client of the account's root."""
        return self.cloud.client("ec2")

    def gateway(self, service: str, policy: str | None = None, tables: list[str] | None = None) -> str:
        """A gateway endpoint, in all route tables unless said otherwise; returns its id."""
        return self._endpoint(service, policy, VpcEndpointType="Gateway", RouteTableIds=tables or self.tables)

    def interface(self, service: str, policy: str | None = None, **settings: Any) -> str:
        """An interface endpoint in both subnets with private DNS; returns its id."""
        return self._endpoint(
            service,
            policy,
            **{
                "VpcEndpointType": "Interface",
                "SubnetIds": self.subnets,
                "SecurityGroupIds": [self.endpoints],
                "PrivateDnsEnabled": True,
                **settings,
            },
        )

    def _endpoint(self, service: str, policy: str | None, **settings: Any) -> str:
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.id,
            ServiceName=f"com.amazonaws.{self.cloud.region}.{service}",
            **({"PolicyDocument": policy} if policy else {}),
            **settings,
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def without(self, *endpoints: str) -> None:
        """Delete endpoints."""
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=list(endpoints))


def make_vpc(cloud: LocalCloud) -> Vpc:
    """A VPC of 10.7.0.0/16."""
    ec2 = cloud.client("ec2")
    vpc = Vpc(cloud, ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"])
    ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})
    for number, zone in enumerate("ab"):
        subnet = ec2.create_subnet(
            VpcId=vpc.id, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{cloud.region}{zone}"
        )["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc.id)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        vpc.subnets.append(subnet)
        vpc.tables.append(table)
    vpc.callers = ec2.create_security_group(GroupName="callers", Description="callers", VpcId=vpc.id)["GroupId"]
    vpc.endpoints = ec2.create_security_group(GroupName="endpoints", Description="endpoints", VpcId=vpc.id)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=vpc.endpoints, IpPermissions=[from_group(vpc.callers)])
    return vpc


def from_group(group: str) -> dict[str, Any]:
    """A permission for HTTPS with members of a security group."""
    return {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": group}]}


@dataclass(frozen=True)
class Caller:
    """A function that calls services."""

    cloud: LocalCloud
    name: str
    role: str

    def call(self, service: str, method: str, credentials: Any = None, **arguments: Any) -> Any:
        """What a call of the function comes to: `code` is empty for one that went well, then `answer` is there."""
        return self._ask({"service": service, "method": method, "arguments": arguments, "credentials": credentials})

    def fetch(self, url: str) -> Any:
        """What the function gets from an address, without credentials."""
        return self._ask({"url": url})

    def _ask(self, event: Mapping[str, Any]) -> Any:
        answer = self.cloud.client("lambda").invoke(FunctionName=self.name, Payload=json.dumps(event))
        found = json.loads(answer["Payload"].read())
        if "code" not in found:
            raise AssertionError(found)
        return found


def make_caller(cloud: LocalCloud, vpc: Vpc | None, *statements: dict[str, Any]) -> Caller:
    """A function, in a VPC or not, whose role may do what the statements say."""
    role = make_role(cloud, *([NETWORK] if vpc else []), *statements)
    settings = {"VpcConfig": vpc.config} if vpc else {}
    return Caller(cloud, make_function(cloud, CALLER, role, **settings), role)
