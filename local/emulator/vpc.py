"""Which way a call takes that comes from inside a VPC: the model alone, without the emulator.

A caller in a VPC reaches an AWS service through an endpoint of that VPC, or through a NAT gateway, or not at all. What
is looked at: route tables, security groups on both sides (port 443), the endpoint's private DNS name and the VPC's DNS
attributes. What is not: network ACLs, peering, transit gateways, IPv6, proxies.

A caller is in all the subnets that it was given: AWS puts each of its environments into one of them, so a way that is
missing from one fails there some of the time, and here always. Where they have different ways, that of the first is
taken.

Sources, read 2026-11-27: AWS PrivateLink guide, "Access an AWS service using an interface VPC endpoint", "Gateway
endpoints", "Control access to VPC endpoints using endpoint policies"; Amazon VPC User Guide, "DNS attributes for your
VPC". The order in which the ways are tried follows from them: a private DNS name answers before any route is looked up,
and a gateway endpoint's route (a prefix list) is more specific than a default route.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HTTPS = 443
GATEWAY, INTERFACE = "Gateway", "Interface"
# The policy of an endpoint that was given none.
FULL_ACCESS = json.dumps({
    "Version": "2008-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
})  # fmt: skip
# The services that have gateway endpoints, and so a prefix list.
PREFIXED = ("s3", "dynamodb")

# What the endpoint of a service is called after `com.amazonaws.REGION.`, where it is not the emulator's own name of the
# service. From the names in aws-cdk-lib's `InterfaceVpcEndpointAwsService` (2.275).
_SERVICE_NAMES: Mapping[str, str] = {
    "apigateway": "execute-api",
    "cloudcontrol": "cloudcontrolapi",
    "dynamodbstreams": "dynamodb-streams",
    "ecr": "ecr.api",
    "firehose": "kinesis-firehose",
    "kinesis": "kinesis-streams",
    "sagemaker": "sagemaker.api",
    "sagemaker-runtime": "sagemaker.runtime",
    "ses": "email",
}


class Unreachable(Exception):  # noqa: N818 (an outcome, not an error)
    """There is no way to the service; the message says what is missing."""


@dataclass(frozen=True)
class Network:
    """Where a caller sits: the VPC, its subnets there and its security groups."""

    account: str
    region: str
    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A rule of a security group. `protocol` "-1" is all; ports are 0 to 65535 where the rule names none.

    `ranges` are CIDRs, `groups` ids of security groups, `prefix_lists` ids of prefix lists.
    """

    protocol: str = "-1"
    first: int = 0
    last: int = 65535
    ranges: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    prefix_lists: tuple[str, ...] = ()

    def covers(self, port: int) -> bool:
        """Whether the rule is about this TCP port."""
        return self.protocol == "-1" or (self.protocol in ("tcp", "6") and self.first <= port <= self.last)


@dataclass(frozen=True)
class SecurityGroup:
    """A security group: what it lets in and out."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A VPC endpoint. `addresses` are those of its network interfaces; `policy` is JSON.

    `for_resolvers_only`: its private DNS name answers inbound resolvers (networks outside of AWS), not the VPC.
    """

    id: str
    kind: str
    service_name: str
    route_tables: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    private_dns: bool = False
    for_resolvers_only: bool = False
    policy: str = FULL_ACCESS


@dataclass(frozen=True)
class Subnet:
    """A subnet: its CIDR, its route table, and whether its default route leads to a NAT gateway."""

    cidr: str
    route_table: str = ""
    nat: str | None = None


@dataclass(frozen=True)
class PrefixList:
    """The addresses of a service with a gateway endpoint."""

    id: str
    cidr: str


@dataclass(frozen=True)
class Topology:
    """What there is in a VPC."""

    dns: bool = True
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    # By the name of the service's endpoint.
    prefix_lists: Mapping[str, PrefixList] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage:
    """The way that a call takes: through an endpoint, or, with `endpoint` None, through a NAT gateway.

    `address` is the caller's private address.
    """

    vpc: str
    address: str
    endpoint: Endpoint | None
    nat: str | None = None


def service_name(service: str, region: str) -> str:
    """The name of a service's endpoint, for example `com.amazonaws.eu-west-1.sagemaker.api`.

    `service` is the emulator's name: botocore's for all but CloudWatch ("monitoring") and Step Functions ("states").
    """
    return f"com.amazonaws.{region}.{_SERVICE_NAMES.get(service, service)}"


def address_in(cidr: str, owner: str) -> str:
    """A private address in a subnet for whoever `owner` names: always the same, and none of the five that AWS keeps."""
    network = ipaddress.ip_network(cidr, strict=False)
    usable = network.num_addresses - 5
    if usable < 1:
        raise ValueError(f"{cidr} has no address to give away")
    number = int.from_bytes(hashlib.sha256(f"{owner} {cidr}".encode()).digest()[:8], "big")
    return str(network[4 + number % usable])


def way(network: Network, topology: Topology, service: str, region: str) -> Passage:
    """How a call from `network` reaches a service in a region. Raises Unreachable."""
    sits = _sits(network, topology)
    addresses = tuple(address_in(subnet.cidr, _owner(network)) for subnet in sits.values())
    wanted = service_name(service, region)
    named = [one for one in topology.endpoints if one.service_name == wanted]
    interfaces = [one for one in named if one.kind == INTERFACE]
    gateways = [one for one in named if one.kind == GATEWAY]
    answering = [one for one in interfaces if one.private_dns and topology.dns and not one.for_resolvers_only]
    if answering:
        _passes(network, topology, answering[0], addresses)
        return Passage(network.vpc, addresses[0], answering[0])
    routed = {name: _routed(gateways, subnet) for name, subnet in sits.items()}
    without = [name for name, subnet in sits.items() if routed[name] is None and subnet.nat is None]
    if without:
        raise Unreachable(_why(network, wanted, without, interfaces, gateways, dns=topology.dns))
    for through in routed.values():
        _leaves(network, topology, wanted, topology.prefix_lists.get(wanted) if through else None)
    first = network.subnets[0]
    return Passage(network.vpc, addresses[0], routed[first], None if routed[first] else sits[first].nat)


def _sits(network: Network, topology: Topology) -> dict[str, Subnet]:
    missing = [name for name in network.subnets if name not in topology.subnets]
    missing += [name for name in network.security_groups if name not in topology.groups]
    if missing or not network.subnets:
        raise Unreachable(f"{network.vpc} has no {', '.join(missing) or 'subnet for the caller'}")
    return {name: topology.subnets[name] for name in network.subnets}


def _owner(network: Network) -> str:
    return ",".join((*network.subnets, *network.security_groups))


def _routed(gateways: Iterable[Endpoint], subnet: Subnet) -> Endpoint | None:
    return next((one for one in gateways if subnet.route_table in one.route_tables), None)


def _why(
    network: Network,
    wanted: str,
    without: list[str],
    interfaces: list[Endpoint],
    gateways: list[Endpoint],
    *,
    dns: bool,
) -> str:
    if interfaces and not dns:
        return f"{network.vpc} has {interfaces[0].id} for {wanted}, but not both of its DNS attributes are on"
    if interfaces:
        return f"{interfaces[0].id} of {network.vpc} has no private DNS name for {wanted}"
    if gateways:
        return f"The route tables of {_listed(without)} in {network.vpc} have no route to {gateways[0].id}"
    return f"{network.vpc} has no endpoint for {wanted}, and {_listed(without)} no route to a NAT gateway"


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted({str(name) for name in names}))


def _passes(network: Network, topology: Topology, endpoint: Endpoint, callers: tuple[str, ...]) -> None:
    """That the security groups of both sides let a call through to an interface endpoint. Raises Unreachable."""
    if not endpoint.addresses:
        raise Unreachable(f"{endpoint.id} has no interface in a subnet")
    out = [rule for name in network.security_groups for rule in topology.groups[name].egress if rule.covers(HTTPS)]
    if not any(_about(rule, endpoint.security_groups, endpoint.addresses) for rule in out):
        raise Unreachable(f"{_listed(network.security_groups)} let nothing out to {endpoint.id} on port {HTTPS}")
    groups = [topology.groups[name] for name in endpoint.security_groups if name in topology.groups]
    inward = [rule for group in groups for rule in group.ingress if rule.covers(HTTPS)]
    if not any(_about(rule, network.security_groups, callers) for rule in inward):
        raise Unreachable(
            f"{_listed(endpoint.security_groups)} of {endpoint.id} let nothing in from "
            f"{_listed(network.security_groups)} on port {HTTPS}"
        )


def _leaves(network: Network, topology: Topology, wanted: str, to: PrefixList | None) -> None:
    """That the caller's groups let a call out to a gateway endpoint's addresses, or to any. Raises Unreachable."""
    out = [rule for name in network.security_groups for rule in topology.groups[name].egress if rule.covers(HTTPS)]
    target = to.cidr if to else "0.0.0.0/0"
    if not any((to and to.id in rule.prefix_lists) or _within(rule, [target]) for rule in out):
        raise Unreachable(f"{_listed(network.security_groups)} let nothing out to {wanted} on port {HTTPS}")


def _about(rule: Rule, groups: Iterable[str], addresses: Iterable[str]) -> bool:
    return any(group in rule.groups for group in groups) or _within(rule, list(addresses))


def _within(rule: Rule, addresses: list[str]) -> bool:
    """Whether the rule's ranges hold every one of the addresses or networks."""
    allowed = [ipaddress.ip_network(one, strict=False) for one in rule.ranges]
    wanted = [ipaddress.ip_network(one, strict=False) for one in addresses]
    return all(
        any(one.version == other.version and one.subnet_of(other) for other in allowed)  # type: ignore[arg-type]
        for one in wanted
    )
