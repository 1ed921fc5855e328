"""Places in a private network: for functions, and for SageMaker's jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.blocks.arns import own_arn
from stacks.blocks.neighbours import Neighbour

# The tag of a function in a network: the endpoints through which it calls.
DOORS_TAG = "endpoints"

NetworkChoice = Literal["public", "private"]

ARCHITECTURE = "private-network"

# What the setting says in the stacks that have it.
PLACED = (
    "private: what the stack runs works inside the network of a `private-network` stack, which has to stand and to have"
    " endpoints for what is asked of services"
)

# AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", and the managed policy
# AWSLambdaVPCAccessExecutionRole (both read 2026-11-27). The policy itself is not attached: with it a function may make
# log groups, too.
FUNCTION_INTERFACES = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
)
FUNCTION_LOOKS = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets")

# What SageMaker AI asks of a job's role where the job names a VPC: "SageMaker Roles" (Amazon SageMaker Developer Guide,
# read 2026-11-27).
JOB_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
JOB_LOOKS = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


@dataclass(frozen=True)
class Network:
    """Subnets (a list of ids, or the token of one) and the security groups of those who work in them.

    `doors` are the ids of the endpoints that functions are tagged with, as theirs.
    """

    subnets: Sequence[str]
    functions_group: str
    jobs_group: str
    doors: Sequence[str] = ()


def placed(scope: Construct, choice: NetworkChoice, *, doors: Sequence[str] = ()) -> Network | None:
    """The network of the neighbouring `private-network` stack, or None for a stack that stays outside.

    `doors` are the interface endpoints that its functions will need. They are tagged with them: where the network lacks
    one, the deployment fails and names it, and not some call an hour later.
    """
    if choice == "public":
        return None
    neighbour = Neighbour(scope, ARCHITECTURE)
    return Network(
        subnets=cdk.Fn.split(",", neighbour.value("SubnetIds")),
        functions_group=neighbour.value("FunctionsSecurityGroupId"),
        jobs_group=neighbour.value("JobsSecurityGroupId"),
        doors=[neighbour.value(f"{door_name(door)}EndpointId") for door in doors],
    )


def door_name(door: str) -> str:
    """How a door is called in names of constructs and exports: `sagemaker.api` is `SagemakerApi`."""
    return "".join(part.capitalize() for part in door.replace("-", ".").split("."))


def allow_function_interfaces(role: iam.Role) -> None:
    """What Lambda does as a function's role to connect it to a network."""
    _allow_interfaces(role, FUNCTION_INTERFACES, FUNCTION_LOOKS)


def allow_job_interfaces(role: iam.Role) -> None:
    """What SageMaker does as a job's role to connect its instances to a network."""
    _allow_interfaces(role, JOB_INTERFACES, JOB_LOOKS)


def _allow_interfaces(role: iam.Role, makes: Sequence[str], looks: Sequence[str]) -> None:
    # AWS wants all ids of the region: those that will be made have none yet.
    role.add_to_policy(iam.PolicyStatement(actions=list(makes), resources=[own_arn(role, "ec2", "*/*")]))
    role.add_to_policy(iam.PolicyStatement(actions=list(looks), resources=["*"]))
