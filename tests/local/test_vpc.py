"""Which way a call from inside a VPC takes: the model alone."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import replace
from typing import Any

import pytest

from local.emulator import server
from local.emulator.seams.vpc import CLOSE
from local.emulator.vpc import (
    Endpoint,
    Network,
    PrefixList,
    Rule,
    SecurityGroup,
    Subnet,
    Topology,
    Unreachable,
    address_in,
    service_name,
    way,
)

REGION = "eu-west-1"
S3, SQS = f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.sqs"
CALLER = Network("111122223333", REGION, "vpc-1", ("subnet-a", "subnet-b"), ("sg-caller",))
EVERYWHERE = Rule(ranges=("0.0.0.0/0",))
HTTPS_FROM_CALLER = Rule("tcp", 443, 443, groups=("sg-caller",))
GATEWAY = Endpoint("vpce-gate", "Gateway", S3, route_tables=("rtb-a", "rtb-b"))
QUEUES = Endpoint(
    "vpce-sqs", "Interface", SQS, security_groups=("sg-sqs",), addresses=("10.0.0.9", "10.0.1.9"), private_dns=True
)
VPC = Topology(
    subnets={"subnet-a": Subnet("10.0.0.0/24", "rtb-a"), "subnet-b": Subnet("10.0.1.0/24", "rtb-b")},
    groups={
        "sg-caller": SecurityGroup(egress=(EVERYWHERE,)),
        "sg-sqs": SecurityGroup(ingress=(HTTPS_FROM_CALLER,)),
    },
    endpoints=(GATEWAY, QUEUES),
    prefix_lists={S3: PrefixList("pl-s3", "100.64.7.0/24")},
)


def with_rules(group: str, **rules: tuple[Rule, ...]) -> Topology:
    """The VPC with other rules in one of its security groups."""
    return replace(VPC, groups={**VPC.groups, group: replace(VPC.groups[group], **rules)})


def with_endpoint(**changed: Any) -> Topology:
    """The VPC with another endpoint for queues."""
    return replace(VPC, endpoints=(GATEWAY, replace(QUEUES, **changed)))


def test_a_gateway_endpoint_is_the_way_to_its_service() -> None:
    # Given routes to it from both subnets, When the caller calls S3, Then that is its way, from an address of its own
    found = way(CALLER, VPC, "s3", REGION)
    assert found.endpoint == GATEWAY
    assert ipaddress.ip_address(found.address) in ipaddress.ip_network("10.0.0.0/24")


def test_an_interface_endpoint_is_the_way_to_its_service() -> None:
    found = way(CALLER, VPC, "sqs", REGION)
    assert (found.endpoint, found.vpc, found.nat) == (QUEUES, "vpc-1", None)


@pytest.mark.parametrize("service", ["dynamodb", "comprehend", "iam"])
def test_without_an_endpoint_there_is_no_way(service: str) -> None:
    with pytest.raises(Unreachable, match=rf"vpc-1 has no endpoint for com\.amazonaws\.{REGION}\.{service}"):
        way(CALLER, VPC, service, REGION)


def test_an_endpoint_is_for_its_own_region_only() -> None:
    with pytest.raises(Unreachable, match=r"no endpoint for com\.amazonaws\.us-east-1\.s3"):
        way(CALLER, VPC, "s3", "us-east-1")


@pytest.mark.parametrize(
    ("topology", "reason"),
    [
        (with_endpoint(private_dns=False), "vpce-sqs of vpc-1 has no private DNS name"),
        (replace(VPC, dns=False), "not both of its DNS attributes are on"),
        (with_rules("sg-sqs", ingress=()), "sg-sqs of vpce-sqs let nothing in from sg-caller"),
        (with_rules("sg-sqs", ingress=(replace(HTTPS_FROM_CALLER, groups=("sg-other",)),)), "let nothing in"),
        (with_rules("sg-sqs", ingress=(replace(HTTPS_FROM_CALLER, first=80, last=80),)), "let nothing in"),
        (with_rules("sg-sqs", ingress=(replace(HTTPS_FROM_CALLER, first=444, last=500),)), "let nothing in"),
        (with_rules("sg-sqs", ingress=(replace(HTTPS_FROM_CALLER, protocol="udp"),)), "let nothing in"),
        (with_endpoint(addresses=()), "vpce-sqs has no interface in a subnet"),
        # One of the caller's two subnets only.
        (with_rules("sg-sqs", ingress=(Rule("tcp", 443, 443, ranges=("10.0.0.0/24",)),)), "let nothing in"),
        (with_rules("sg-caller", egress=()), "sg-caller let nothing out to vpce-sqs"),
        (with_rules("sg-caller", egress=(Rule(ranges=("10.0.0.0/24",)),)), "let nothing out to vpce-sqs"),
        (with_rules("sg-caller", egress=(Rule(groups=("sg-other",)),)), "let nothing out to vpce-sqs"),
        (with_rules("sg-caller", egress=(Rule(prefix_lists=("pl-s3",)),)), "let nothing out to vpce-sqs"),
        (with_endpoint(security_groups=()), "let nothing in"),
    ],
)
def test_what_keeps_a_call_from_an_interface_endpoint(topology: Topology, reason: str) -> None:
    with pytest.raises(Unreachable, match=re.escape(reason)):
        way(CALLER, topology, "sqs", REGION)


@pytest.mark.parametrize(
    "topology",
    [
        with_rules("sg-sqs", ingress=(Rule("tcp", 443, 443, ranges=("10.0.0.0/16",)),)),
        with_rules("sg-sqs", ingress=(Rule("tcp", 400, 500, ranges=("10.0.0.0/24", "10.0.1.0/24")),)),
        with_rules("sg-sqs", ingress=(Rule("-1", groups=("sg-caller",)),)),
        with_rules("sg-caller", egress=(Rule("tcp", 443, 443, groups=("sg-sqs",)),)),
        with_rules("sg-caller", egress=(Rule("tcp", 443, 443, ranges=("10.0.0.0/16",)),)),
    ],
)
def test_what_lets_a_call_through_to_an_interface_endpoint(topology: Topology) -> None:
    assert way(CALLER, topology, "sqs", REGION).endpoint == QUEUES


@pytest.mark.parametrize(
    ("egress", "passes"),
    [
        (Rule(prefix_lists=("pl-s3",)), True),
        (Rule(ranges=("100.64.0.0/10",)), True),
        (Rule(ranges=("10.0.0.0/8",)), False),
        (Rule(prefix_lists=("pl-other",)), False),
        (Rule("tcp", 80, 80, ranges=("0.0.0.0/0",)), False),
    ],
)
def test_a_gateway_endpoint_needs_a_rule_of_the_caller_for_its_addresses(egress: Rule, passes: bool) -> None:
    topology = with_rules("sg-caller", egress=(egress,))
    if passes:
        assert way(CALLER, topology, "s3", REGION).endpoint == GATEWAY
    else:
        with pytest.raises(Unreachable, match=r"let nothing out to com\.amazonaws\.eu-west-1\.s3"):
            way(CALLER, topology, "s3", REGION)


def test_a_route_that_one_subnet_lacks_is_no_way() -> None:
    # Given a caller that AWS may put into either subnet, and one without the route, When it calls, Then it may fail
    topology = replace(VPC, endpoints=(replace(GATEWAY, route_tables=("rtb-a",)),))
    with pytest.raises(Unreachable, match="The route tables of subnet-b in vpc-1 have no route to vpce-gate"):
        way(CALLER, topology, "s3", REGION)
    # Then one in the other subnet alone is fine
    assert way(replace(CALLER, subnets=("subnet-a",)), topology, "s3", REGION).endpoint is not None


WITH_NAT = {name: replace(subnet, nat="nat-1") for name, subnet in VPC.subnets.items()}


def test_a_nat_gateway_is_the_way_to_what_has_no_endpoint() -> None:
    found = way(CALLER, replace(VPC, subnets=WITH_NAT), "comprehend", REGION)
    assert (found.endpoint, found.nat) == (None, "nat-1")


def test_an_endpoint_comes_before_a_nat_gateway() -> None:
    topology = replace(VPC, subnets=WITH_NAT)
    assert way(CALLER, topology, "s3", REGION).endpoint == GATEWAY
    assert way(CALLER, topology, "sqs", REGION).endpoint == QUEUES


def test_of_different_ways_that_of_the_first_subnet_is_taken() -> None:
    # Given a subnet with a route to the endpoint and one with a NAT gateway
    mixed = {**VPC.subnets, "subnet-b": WITH_NAT["subnet-b"]}
    topology = replace(VPC, subnets=mixed, endpoints=(replace(GATEWAY, route_tables=("rtb-a",)),))
    # When a caller in both calls, Then it goes the first one's way
    found = way(CALLER, topology, "s3", REGION)
    assert (found.endpoint is not None, found.nat) == (True, None)
    found = way(replace(CALLER, subnets=("subnet-b", "subnet-a")), topology, "s3", REGION)
    assert (found.endpoint, found.nat) == (None, "nat-1")
    # When its groups let it out to the endpoint's addresses only, Then one of the ways is none
    narrow = with_rules("sg-caller", egress=(Rule(prefix_lists=("pl-s3",)),)).groups
    with pytest.raises(Unreachable, match="let nothing out"):
        way(CALLER, replace(topology, groups=narrow), "s3", REGION)


def test_a_closed_endpoint_is_not_gone_around() -> None:
    # Given a private DNS name that answers with a closed endpoint, and a NAT gateway, When the caller calls, Then the
    # name has decided already
    topology = replace(with_rules("sg-sqs", ingress=()), subnets=WITH_NAT)
    with pytest.raises(Unreachable, match="let nothing in"):
        way(CALLER, topology, "sqs", REGION)


def test_a_caller_that_may_not_reach_the_internet_is_not_helped_by_a_nat_gateway() -> None:
    topology = replace(with_rules("sg-caller", egress=(Rule(ranges=("10.0.0.0/8",)),)), subnets=WITH_NAT)
    with pytest.raises(Unreachable, match="let nothing out"):
        way(CALLER, topology, "comprehend", REGION)


INTERFACE_S3 = replace(QUEUES, id="vpce-s3", service_name=S3)


def test_of_two_endpoints_for_s3_the_private_name_decides() -> None:
    topology = replace(VPC, endpoints=(GATEWAY, INTERFACE_S3))
    assert way(CALLER, topology, "s3", REGION).endpoint == INTERFACE_S3


def test_a_private_name_for_resolvers_only_leaves_the_gateway_to_the_vpc() -> None:
    topology = replace(VPC, endpoints=(GATEWAY, replace(INTERFACE_S3, for_resolvers_only=True)))
    assert way(CALLER, topology, "s3", REGION).endpoint == GATEWAY


@pytest.mark.parametrize("network", [
    replace(CALLER, subnets=("subnet-a", "subnet-gone")),
    replace(CALLER, security_groups=("sg-gone",)),
    replace(CALLER, subnets=()),
])  # fmt: skip
def test_a_caller_whose_place_is_gone_reaches_nothing(network: Network) -> None:
    with pytest.raises(Unreachable):
        way(network, VPC, "s3", REGION)


@pytest.mark.parametrize(("service", "named"), [
    ("sagemaker", "sagemaker.api"),
    ("sagemaker-runtime", "sagemaker.runtime"),
    ("monitoring", "monitoring"),
    ("states", "states"),
    ("ecr", "ecr.api"),
    ("apigateway", "execute-api"),
    ("bedrock-runtime", "bedrock-runtime"),
])  # fmt: skip
def test_a_service_is_known_by_the_name_of_its_endpoint(service: str, named: str) -> None:
    assert service_name(service, REGION) == f"com.amazonaws.{REGION}.{named}"


def test_addresses_are_in_their_subnet_and_none_that_aws_keeps() -> None:
    # Given the smallest subnet that AWS allows, When many owners get an address, Then none is one of the five that AWS
    # keeps, and an owner has always the same
    found = {address_in("10.0.0.0/28", f"owner-{number}") for number in range(300)}
    assert found == {f"10.0.0.{number}" for number in range(4, 15)}
    assert address_in("10.0.0.0/28", "one") == address_in("10.0.0.0/28", "one")


def test_a_subnet_without_addresses_says_so() -> None:
    with pytest.raises(ValueError, match="no address"):
        address_in("10.0.0.0/30", "one")


def test_a_connection_that_cannot_be_closed_is_an_error_and_no_answer() -> None:
    # Given a server whose streams are of another kind, When a connection is to be closed, Then that is told
    async def send(_message: dict[str, Any]) -> None:
        raise AssertionError

    async def close() -> None:
        await server._closing(send)({"type": CLOSE})

    with pytest.raises(TypeError, match="no stream of the server"):
        asyncio.run(close())
