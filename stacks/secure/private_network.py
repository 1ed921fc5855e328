"""A network without internet: a door for each service that is needed, and each lets through one thing only."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator

from stacks.blocks.buckets import old_versions_go, private_bucket
from stacks.blocks.emptied_bucket import EmptiedBucket
from stacks.blocks.neighbours import export
from stacks.blocks.networks import Network, door_name
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.sagemaker_roles import allow, service_role
from stacks.blocks.tables import table
from stacks.secure.doors import GATEWAYS, PASSAGES, Door, Passage, Purpose

ARCHITECTURE = "private-network"

MOST_ZONES = 6
HTTPS = 443

# The one object that the proof writes and reads (`lambdas/private_network/probe/calls.py`).
PROOF = "proof/letter.txt"

# What nobody but the network may do with the bucket's objects, their names, tags and access lists.
DATA_ACTIONS = [
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersionTagging",
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:GetObjectAttributes",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectVersionTagging",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectVersionTagging",
    "s3:RestoreObject",
]
# These too, but for the function that empties the bucket when its stack is deleted: it comes from outside.
EMPTYING_ACTIONS = ["s3:DeleteObjectVersion", "s3:ListBucketVersions"]


class PrivateNetworkSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: tuple[Door, ...] = Field(
        default=("comprehend",),
        description="services with an interface endpoint; each costs 7.20 dollars a month and zone (0.01 an hour)",
    )
    availability_zones: int = Field(
        default=2, ge=2, le=MOST_ZONES, description="each with a subnet and an interface of every endpoint"
    )
    cidr: str = Field(default="10.0.0.0/16", description="private addresses of the network, from /16 to /24")
    flow_log_days: int = Field(default=30, ge=1, le=365, description="how long flow logs are kept; CloudWatch's steps")
    foreign_bucket: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="of another account: the proof tries to read there, and must be refused",
    )

    @field_validator("endpoints")
    @classmethod
    def _each_once(cls, value: tuple[Door, ...]) -> tuple[Door, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a service is named twice")
        return value

    @field_validator("cidr")
    @classmethod
    def _private(cls, value: str) -> str:
        network = ipaddress.IPv4Network(value)
        if not network.is_private or not 16 <= network.prefixlen <= 24:
            raise ValueError("must be private addresses, from /16 to /24")
        return value

    @field_validator("flow_log_days")
    @classmethod
    def _a_step(cls, value: int) -> int:
        if value not in _RETENTIONS:
            raise ValueError(f"CloudWatch knows {', '.join(map(str, _RETENTIONS))} days")
        return value


_RETENTIONS = {
    1: logs.RetentionDays.ONE_DAY,
    7: logs.RetentionDays.ONE_WEEK,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


class PrivateNetwork(cdk.Stack):
    """A hospital's texts may be read by a service, and may not cross the internet, whoever holds which key.

    **Flow.** A function in subnets without internet → to S3 and DynamoDB by a route, through a gateway endpoint; to any
    other service by its own name, which private DNS turns into an address in the subnet, through the security group of
    an interface endpoint → the endpoint's policy: this account's callers, these actions, this account's resources → the
    service, which asks the caller's own policies as ever. The bucket accepts its data through the S3 endpoint alone.
    Flow logs tell who reached whom. Other stacks take their place in it by a setting of theirs (`network`).

    **The proof.** Two functions with the same code and the same grants on what the stack has, one inside and one
    outside. What differs between their answers is what the network does.

    **What if.** A service has no endpoint: there is no way to it, and the call ends when its time is up. A caller has
    more rights than the door lets through, or leaked keys of another account: the endpoint's policy refuses. Leaked
    keys of this account, outside: the bucket refuses. A zone fails: every endpoint stands in the others. Somebody takes
    a rule from an endpoint's security group: what needed it has no way any more, and the flow logs show `REJECT`.

    **Cost** (us-east-1, without free tier; an endpoint's price by "aws_vpc_endpoint cost estimation", c3x.dev, read
    2026-11-28, no figure of AWS's own; the rest is as `prices.toml` says). Idle 14.40 dollars a month: one
    endpoint in two zones, 0.01 an hour each, whether used or not; and so for each further one. Gateway endpoints, the
    network and its security groups cost nothing. A gigabyte through an interface endpoint is 0.01, of flow logs 0.50.
    """

    Settings: ClassVar[type[PrivateNetworkSettings]] = PrivateNetworkSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: PrivateNetworkSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.vpc = ec2.CfnVPC(
            self, "Network", cidr_block=settings.cidr, enable_dns_support=True, enable_dns_hostnames=True
        )
        self.flow_logs = self._flow_logs()
        self.routes = ec2.CfnRouteTable(self, "Routes", vpc_id=self.vpc.ref)
        self.subnets = self._subnets()
        self.groups: dict[Purpose, ec2.CfnSecurityGroup] = {
            "functions": self._group("Functions", "Functions of this network"),
            "jobs": self._group("Jobs", "SageMaker jobs of this network"),
        }
        self.gateways = {gate: self._gateway(gate, passage) for gate, passage in GATEWAYS.items()}
        self.doors = {door: self._door(door, PASSAGES[door]) for door in settings.endpoints}

        self.bucket = self._bucket()
        self.table = table(self, "Rows", partition_key="id", encryption_key=None)
        self.network = Network(
            subnets=[subnet.ref for subnet in self.subnets],
            functions_group=self.groups["functions"].ref,
            jobs_group=self.groups["jobs"].ref,
        )
        self.inside = self._probe("Inside", "in the network", self.network)
        self.outside = self._probe("Outside", "outside the network", None)
        self._outputs()

    # --- the network

    def _flow_logs(self) -> logs.LogGroup:
        """Who reached whom, and who was not let through: addresses and ports, and nothing of what was said."""
        group = logs.LogGroup(
            self,
            "FlowLogs",
            retention=_RETENTIONS[self.settings.flow_log_days],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = service_role(self, "FlowLogRole", "vpc-flow-logs.amazonaws.com", "Writes the flow logs of the network")
        allow(role, ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], group.log_group_arn)
        allow(role, ["logs:DescribeLogGroups"], "*")
        ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_type="VPC",
            resource_id=self.vpc.ref,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
        ).node.add_dependency(role)
        return group

    def _subnets(self) -> list[ec2.CfnSubnet]:
        """One a zone. Their route table knows the network and the gateways, so there is nowhere else to go."""
        parts = ipaddress.IPv4Network(self.settings.cidr).subnets(prefixlen_diff=3)
        made = []
        for number in range(self.settings.availability_zones):
            subnet = ec2.CfnSubnet(
                self,
                f"Subnet{number + 1}",
                vpc_id=self.vpc.ref,
                cidr_block=str(next(parts)),
                availability_zone=cdk.Fn.select(number, cdk.Fn.get_azs()),
                map_public_ip_on_launch=False,
            )
            ec2.CfnSubnetRouteTableAssociation(
                self, f"RoutesOfSubnet{number + 1}", subnet_id=subnet.ref, route_table_id=self.routes.ref
            )
            made.append(subnet)
        return made

    def _group(self, name: str, description: str) -> ec2.CfnSecurityGroup:
        """Nobody comes in. Out goes HTTPS to wherever there is a way: the gateways' addresses are known by the id of a
        prefix list, which differs by region and which a template cannot look up."""
        return ec2.CfnSecurityGroup(
            self,
            f"{name}Group",
            group_description=description,
            vpc_id=self.vpc.ref,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=HTTPS,
                    to_port=HTTPS,
                    cidr_ip="0.0.0.0/0",
                    description="HTTPS to the endpoints",
                )
            ],
        )

    # --- the doors

    def _gateway(self, gate: str, passage: Passage) -> ec2.CfnVPCEndpoint:
        policy = _policy(passage)
        if gate == "s3" and "ecr.dkr" in self.settings.endpoints:
            policy["Statement"].append(self._image_layers())
        return ec2.CfnVPCEndpoint(
            self,
            f"{door_name(gate)}Endpoint",
            vpc_id=self.vpc.ref,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self.region}.{gate}",
            route_table_ids=[self.routes.ref],
            policy_document=policy,
        )

    def _image_layers(self) -> Mapping[str, Any]:
        """The registry sends who pulls an image to a bucket of AWS's for its layers, by links that AWS has signed
        (Amazon ECR User Guide, "Amazon ECR interface VPC endpoints", on the minimum bucket permissions)."""
        bucket = f"prod-{self.region}-starport-layer-bucket"
        return {
            "Sid": "ImageLayers",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject"],
            "Resource": f"arn:{self.partition}:s3:::{bucket}/*",
        }

    def _door(self, door: Door, passage: Passage) -> ec2.CfnVPCEndpoint:
        """An endpoint with a security group of its own. Without one it would get the network's default group."""
        name = door_name(door)
        group = ec2.CfnSecurityGroup(
            self,
            f"{name}Group",
            group_description=f"The endpoint of {passage.title}",
            vpc_id=self.vpc.ref,
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(
                    ip_protocol="tcp",
                    from_port=HTTPS,
                    to_port=HTTPS,
                    source_security_group_id=self.groups[purpose].ref,
                    description=f"HTTPS from {purpose}",
                )
                for purpose in passage.purposes
            ],
            # An empty list would mean the default, which lets everything out. An endpoint only answers.
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="icmp",
                    from_port=252,
                    to_port=86,
                    cidr_ip="255.255.255.255/32",
                    description="Nothing",
                )
            ],
        )
        return ec2.CfnVPCEndpoint(
            self,
            f"{name}Endpoint",
            vpc_id=self.vpc.ref,
            vpc_endpoint_type="Interface",
            service_name=f"com.amazonaws.{self.region}.{door}",
            private_dns_enabled=True,
            subnet_ids=[subnet.ref for subnet in self.subnets],
            security_group_ids=[group.ref],
            policy_document=_policy(passage),
        )

    # --- the proof

    def _bucket(self) -> s3.Bucket:
        """Its data comes and goes through the S3 endpoint, whoever asks."""
        bucket = private_bucket(
            self, "Letters", lifecycle_rules=[old_versions_go()], target=self.target, encryption_key=None
        )
        emptied = self.node.find_child("EmptiedLetters")
        assert isinstance(emptied, EmptiedBucket)
        elsewhere = {"StringNotEquals": {"aws:SourceVpce": self.gateways["s3"].ref}}
        for sid, actions, conditions in (
            ("ThroughTheEndpointOnly", DATA_ACTIONS, elsewhere),
            (
                "EmptiedByItsFunctionOnly",
                EMPTYING_ACTIONS,
                {**elsewhere, "ArnNotEquals": {"aws:PrincipalArn": emptied.role.role_arn}},
            ),
        ):
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=actions,
                    resources=[bucket.bucket_arn, bucket.arn_for_objects("*")],
                    conditions=conditions,
                )
            )
        return bucket

    def _probe(self, name: str, where: str, network: Network | None) -> PythonFunction:
        """The same code and the same grants, inside and outside: more than the endpoints let through."""
        environment = {
            "BUCKET": self.bucket.bucket_name,
            "TABLE": self.table.table_name,
            "POWERTOOLS_SERVICE_NAME": ARCHITECTURE,
        }
        if self.settings.foreign_bucket:
            environment["FOREIGN_BUCKET"] = self.settings.foreign_bucket
        probe = PythonFunction(
            self,
            name,
            architecture=ARCHITECTURE,
            function="probe",
            target=self.target,
            description=f"Makes the calls that prove the network, {where}",
            # Where there is no way, each call waits two seconds for a connection.
            timeout=cdk.Duration.seconds(60),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_MONTH,
            environment=environment,
            network=network,
        )
        probe.allow(["s3:GetObject", "s3:PutObject"], self.bucket.arn_for_objects(PROOF))
        if self.settings.foreign_bucket and network:
            probe.allow(["s3:GetObject"], f"arn:{self.partition}:s3:::{self.settings.foreign_bucket}/{PROOF}")
        probe.allow(["dynamodb:PutItem", "dynamodb:Scan"], self.table.table_arn)
        probe.allow(["comprehend:DetectEntities", "comprehend:DetectSentiment", "translate:TranslateText"], "*")
        if network:
            # With the function there is a way to all that it calls, and it goes before the way does.
            probe.function.node.add_dependency(*self.gateways.values(), *self.doors.values())
        return probe

    # --- what comes out

    def _outputs(self) -> None:
        export(
            self,
            {
                "VpcId": self.vpc.ref,
                "SubnetIds": cdk.Fn.join(",", list(self.network.subnets)),
                "FunctionsSecurityGroupId": self.network.functions_group,
                "JobsSecurityGroupId": self.network.jobs_group,
                **{f"{door_name(door)}EndpointId": made.ref for door, made in self.doors.items()},
                **{f"{door_name(gate)}EndpointId": made.ref for gate, made in self.gateways.items()},
            },
        )
        for name, value in {
            "Endpoints": ",".join(self.settings.endpoints) or "none",
            "ForeignBucketName": self.settings.foreign_bucket or "none",
            "BucketName": self.bucket.bucket_name,
            "TableName": self.table.table_name,
            "InsideFunctionName": self.inside.function.function_name,
            "InsideRoleName": self.inside.role.role_name,
            "OutsideFunctionName": self.outside.function.function_name,
            "OutsideRoleName": self.outside.role.role_name,
            "FlowLogGroupName": self.flow_logs.log_group_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)


def _policy(passage: Passage) -> dict[str, Any]:
    """What an endpoint lets through. Everybody is a principal, as gateway endpoints want it, and must be of this
    account: so nobody can bring keys of another one and carry data out with them."""
    held = {"aws:PrincipalAccount": cdk.Aws.ACCOUNT_ID}
    if passage.own:
        held["aws:ResourceAccount"] = cdk.Aws.ACCOUNT_ID
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "LetThrough",
                "Effect": "Allow",
                "Principal": "*",
                "Action": list(passage.actions),
                "Resource": "*",
                "Condition": {"StringEquals": held},
            }
        ],
    }
