"""VPC endpoints, rules of security groups, flow logs and functions in a VPC: what MiniStack forgets or lacks of them.

MiniStack keeps an endpoint without its security groups, its policy and its private DNS name. Here requests are checked
as far as the way of calls depends on it ("CreateVpcEndpoint", Amazon EC2 API Reference; "Gateway endpoints", "Access an
AWS service using an interface VPC endpoint" and "Control access to VPC endpoints using endpoint policies", AWS
PrivateLink guide, read 2026-11-27), and kept whole.

Of a flow log only a record is kept: no traffic is written down, for there are neither packets nor bytes here.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.services import ec2 as _ec2
from ministack.services import lambda_svc as _lambda
from ministack.services.cloudformation import provisioners as _provisioners

from local.emulator.seams import vpc
from local.emulator.seams.resource_types import provide
from local.emulator.vpc import FULL_ACCESS, GATEWAY, INTERFACE, PREFIXED, address_in
from local.services import resource_types
from local.services.resource_types import Made, Properties, ResourceType

Parameters = Mapping[str, Any]
Response = tuple[int, dict[str, str], bytes]


class _Refused(ValueError):  # noqa: N818 (an answer, not a mistake)
    """The answer to a request that makes no sense."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def install() -> None:
    """Serve endpoints whole, the types that CloudFormation lacks here, and functions in a VPC."""
    _serve_endpoints()
    _serve_flow_logs()
    _keep_prefix_lists_of_rules()
    _place_functions()
    replacing = ("VpcId", "ServiceName", "VpcEndpointType")
    provide("AWS::EC2::VPCEndpoint", ResourceType(_create_endpoint, _update_endpoint, _delete_endpoint, replacing))
    provide("AWS::EC2::FlowLog", ResourceType(_create_flow_log, _update_flow_log, _delete_flow_log))
    for direction in ("Ingress", "Egress"):
        _provisioners._RESOURCE_HANDLERS[f"AWS::EC2::SecurityGroup{direction}"] = _rule_type(direction)


# --- Endpoints -------------------------------------------------------------------------------------------------------


def _serve_endpoints() -> None:
    actions = _ec2._ACTION_MAP
    actions["CreateVpcEndpoint"] = _answering(_create)
    actions["ModifyVpcEndpoint"] = _answering(_modify)
    actions["DeleteVpcEndpoints"] = _answering(_delete)
    actions["DescribeVpcEndpoints"] = _answering(_describe)


def _answering(serve: Callable[[Parameters], Response]) -> Callable[[Parameters], Response]:
    @functools.wraps(serve)
    def answer(parameters: Parameters) -> Response:
        try:
            return serve(parameters)
        except _Refused as refused:
            response: Response = _ec2._error(refused.code, escape(str(refused)), 400)
            return response

    return answer


def _text(parameters: Parameters, name: str) -> str:
    return str(_ec2._p(parameters, name) or "")


def _names(parameters: Parameters, name: str) -> list[str]:
    found: list[str] = _ec2._parse_member_list(parameters, name)
    return found


def _flag(parameters: Parameters, name: str, default: bool) -> bool:
    return (_text(parameters, name) or str(default)).lower() == "true"


def _create(parameters: Parameters) -> Response:
    identity = f"vpce-{random.getrandbits(68):017x}"
    kind = _text(parameters, "VpcEndpointType") or GATEWAY
    if kind not in (GATEWAY, INTERFACE):
        raise _Refused("InvalidParameter", f"This local cloud does not serve VPC endpoints of type {kind}.")
    record = {
        "VpcEndpointId": identity,
        "VpcEndpointType": kind,
        "VpcId": _text(parameters, "VpcId"),
        "ServiceName": _text(parameters, "ServiceName"),
        "State": "available",
        "RouteTableIds": _names(parameters, "RouteTableId"),
        "SubnetIds": _names(parameters, "SubnetId"),
        "SecurityGroupIds": _names(parameters, "SecurityGroupId"),
        "PrivateDnsEnabled": _flag(parameters, "PrivateDnsEnabled", kind == INTERFACE),
        "DnsOptions": _dns_options(parameters),
        "PolicyDocument": _text(parameters, "PolicyDocument") or None,
        "NetworkInterfaceIds": [],
        "DnsEntries": [],
        "OwnerId": _responses.get_account_id(),
        "CreationTimestamp": _responses.now_iso(),
    }
    if kind == INTERFACE and not record["SecurityGroupIds"]:
        found = _ec2._vpcs.get(record["VpcId"]) or {}
        record["SecurityGroupIds"] = [str(found.get("DefaultSecurityGroupId", ""))]
    _check(record)
    _ec2._vpc_endpoints[identity] = record
    _place_interfaces(record)
    _ec2._parse_tag_specs(parameters, "vpc-endpoint", identity)
    response: Response = _ec2._xml(200, "CreateVpcEndpointResponse", _as_xml(record, "vpcEndpoint"))
    return response


def _dns_options(parameters: Parameters) -> dict[str, str]:
    members = ("DnsRecordIpType", "PrivateDnsOnlyForInboundResolverEndpoint")
    return {name: value for name in members if (value := _text(parameters, f"DnsOptions.{name}"))}


def _check(record: Mapping[str, Any]) -> None:
    """That an endpoint makes sense. Raises _Refused."""
    vpc_id, service = record["VpcId"], record["ServiceName"]
    found = _ec2._vpcs.get(vpc_id)
    if found is None:
        raise _Refused("InvalidVpcId.NotFound", f"The Vpc Id {vpc_id} does not exist")
    region = _responses.get_region()
    if not service.startswith((f"com.amazonaws.{region}.", f"aws.sagemaker.{region}.")):
        raise _Refused("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")
    for name in record["SecurityGroupIds"]:
        if (_ec2._security_groups.get(name) or {}).get("VpcId") != vpc_id:
            raise _Refused("InvalidGroup.NotFound", f"The security group '{name}' does not exist in VPC '{vpc_id}'")
    _check_policy(record)
    if record["VpcEndpointType"] == GATEWAY:
        _check_gateway(record)
    else:
        _check_interface(record, found)


def _check_gateway(record: Mapping[str, Any]) -> None:
    service = record["ServiceName"]
    if service.rpartition(".")[2] not in PREFIXED:
        raise _Refused("InvalidParameter", f"The service {service} has no endpoint of type {GATEWAY}.")
    for name in ("SubnetIds", "SecurityGroupIds"):
        if record[name]:
            raise _Refused("InvalidParameter", f"{name} are not for endpoints of type {GATEWAY}.")
    others = _others(record, GATEWAY)
    for name in record["RouteTableIds"]:
        if (_ec2._route_tables.get(name) or {}).get("VpcId") != record["VpcId"]:
            raise _Refused("InvalidRouteTableId.NotFound", f"The routeTable ID '{name}' does not exist")
        if any(name in one["RouteTableIds"] for one in others):
            raise _Refused(
                "RouteAlreadyExists", f"The route table {name} already has a route to an endpoint for {service}."
            )


def _check_interface(record: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    if record["RouteTableIds"]:
        raise _Refused("InvalidParameter", f"RouteTableIds are not for endpoints of type {INTERFACE}.")
    zones = []
    for name in record["SubnetIds"]:
        subnet = _ec2._subnets.get(name)
        if subnet is None or subnet["VpcId"] != record["VpcId"]:
            raise _Refused("InvalidSubnetId.NotFound", f"The subnet ID '{name}' does not exist")
        zones.append(subnet["AvailabilityZone"])
    if len(set(zones)) < len(zones):
        raise _Refused("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone.")
    if not record["PrivateDnsEnabled"]:
        return
    if not (found.get("EnableDnsSupport", True) and found.get("EnableDnsHostnames", False)):
        raise _Refused(
            "InvalidParameter",
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for"
            f" {record['VpcId']}",
        )
    if any(one["PrivateDnsEnabled"] for one in _others(record, INTERFACE)):
        raise _Refused(
            "InvalidParameter",
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
            f" {record['ServiceName']} in the VPC {record['VpcId']}",
        )


def _others(record: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    same = ("VpcId", "ServiceName")
    return [
        one
        for one in _ec2._vpc_endpoints.values()
        if one["VpcEndpointId"] != record["VpcEndpointId"]
        and one["VpcEndpointType"] == kind
        and all(one[name] == record[name] for name in same)
    ]


def _check_policy(record: Mapping[str, Any]) -> None:
    document = record["PolicyDocument"]
    if document is None:
        return
    if len(document) > _LONGEST_POLICY:
        raise _Refused("InvalidPolicyDocument", f"An endpoint policy has {_LONGEST_POLICY} characters at most.")
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        raise _Refused("InvalidPolicyDocument", "The policy document is not a JSON policy.") from None
    if problem := _iam.validate_policy_document(document):
        raise _Refused("InvalidPolicyDocument", str(problem))
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Principal") is None:
            raise _Refused("InvalidPolicyDocument", "Each statement of an endpoint policy needs a Principal.")
        _check_conditions(statement.get("Condition", {}))


# Keys whose values AWS makes up, so that part of one says nothing. The guide names the first and the last "such as".
_SYSTEM_GENERATED = ("aws:principalaccount", "aws:sourcevpce", "aws:sourcevpc")
_LONGEST_POLICY = 20_480
_LETTERS_BESIDE_A_WILDCARD = 6


def _check_conditions(conditions: Mapping[str, Any]) -> None:
    """What holds for wildcards in endpoint policies alone."""
    for operator, keys in conditions.items():
        if "like" not in operator.lower() or "string" not in operator.lower():
            continue
        for key, given in keys.items():
            for value in given if isinstance(given, list) else [given]:
                _check_wildcards(key, str(value))


def _check_wildcards(key: str, value: str) -> None:
    parts = re.split(r"[*?]", value)
    if len(parts) > 1 and key.lower() in _SYSTEM_GENERATED:
        raise _Refused("InvalidPolicyDocument", f"{key} takes no wildcards in an endpoint policy.")
    if any(max(len(before), len(after)) < _LETTERS_BESIDE_A_WILDCARD for before, after in itertools.pairwise(parts)):
        raise _Refused(
            "InvalidPolicyDocument",
            f"A wildcard in {key} needs {_LETTERS_BESIDE_A_WILDCARD} characters before or after it.",
        )


def _place_interfaces(record: dict[str, Any]) -> None:
    """An interface in each subnet of the endpoint, at the address that security groups are asked about."""
    for name in record["NetworkInterfaceIds"]:
        _ec2._network_interfaces.pop(name, None)
    record["NetworkInterfaceIds"] = []
    for subnet in (_ec2._subnets[name] for name in record["SubnetIds"]):
        identity = f"eni-{random.getrandbits(68):017x}"
        _ec2._network_interfaces[identity] = {
            "NetworkInterfaceId": identity,
            "SubnetId": subnet["SubnetId"],
            "VpcId": record["VpcId"],
            "AvailabilityZone": subnet["AvailabilityZone"],
            "Description": f"VPC Endpoint Interface {record['VpcEndpointId']}",
            "OwnerId": record["OwnerId"],
            "Status": "in-use",
            "PrivateIpAddress": address_in(str(subnet["CidrBlock"]), record["VpcEndpointId"]),
            "InterfaceType": "vpc_endpoint",
            "SourceDestCheck": True,
            "MacAddress": "02:00:00:00:00:00",
            "Groups": [
                {"GroupId": group, "GroupName": _ec2._security_groups[group]["GroupName"]}
                for group in record["SecurityGroupIds"]
            ],
            "Attachment": None,
        }
        record["NetworkInterfaceIds"].append(identity)


_LISTS = {"RouteTable": "RouteTableIds", "Subnet": "SubnetIds", "SecurityGroup": "SecurityGroupIds"}


def _modify(parameters: Parameters) -> Response:
    identity = _text(parameters, "VpcEndpointId")
    record = _known(identity)
    changed = dict(record)
    for word, member in _LISTS.items():
        gone = _names(parameters, f"Remove{word}Id")
        kept = [one for one in record[member] if one not in gone]
        changed[member] = [*kept, *(one for one in _names(parameters, f"Add{word}Id") if one not in kept)]
    if policy := _text(parameters, "PolicyDocument"):
        changed["PolicyDocument"] = policy
    if _flag(parameters, "ResetPolicy", default=False):
        changed["PolicyDocument"] = None
    changed["PrivateDnsEnabled"] = _flag(parameters, "PrivateDnsEnabled", record["PrivateDnsEnabled"])
    changed["DnsOptions"] = _dns_options(parameters) or record["DnsOptions"]
    _check(changed)
    record.update(changed)
    _place_interfaces(record)
    response: Response = _ec2._xml(200, "ModifyVpcEndpointResponse", "<return>true</return>")
    return response


def _known(identity: str) -> dict[str, Any]:
    record: dict[str, Any] | None = _ec2._vpc_endpoints.get(identity)
    if record is None:
        raise _Refused("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{identity}' does not exist")
    return record


def _delete(parameters: Parameters) -> Response:
    missing = ""
    for identity in _names(parameters, "VpcEndpointId"):
        try:
            record = _known(identity)
        except _Refused as refused:
            missing += (
                f"<item><error><code>{refused.code}</code><message>{escape(str(refused))}</message></error>"
                f"<resourceId>{escape(identity)}</resourceId></item>"
            )
            continue
        for name in record["NetworkInterfaceIds"]:
            _ec2._network_interfaces.pop(name, None)
        _ec2._vpc_endpoints.pop(identity)
        _ec2._tags.pop(identity, None)
    response: Response = _ec2._xml(200, "DeleteVpcEndpointsResponse", f"<unsuccessful>{missing}</unsuccessful>")
    return response


# Filters of DescribeVpcEndpoints by the member that they are about.
_FILTERS = {
    "service-name": "ServiceName",
    "vpc-endpoint-id": "VpcEndpointId",
    "vpc-endpoint-state": "State",
    "vpc-endpoint-type": "VpcEndpointType",
    "vpc-id": "VpcId",
}


def _describe(parameters: Parameters) -> Response:
    wanted = _names(parameters, "VpcEndpointId")
    records = [_known(name) for name in wanted] if wanted else list(_ec2._vpc_endpoints.values())
    filters = _ec2._parse_filters(parameters)
    if unserved := [name for name in filters if name not in _FILTERS and not name.startswith("tag")]:
        raise _Refused("InvalidParameterValue", f"This local cloud does not filter endpoints by {unserved[0]}.")
    for name, values in filters.items():
        if name in _FILTERS:
            records = [one for one in records if one[_FILTERS[name]] in values]
    found = "".join(
        _as_xml(one, "item") for one in records if _ec2._resource_matches_tag_filters(one["VpcEndpointId"], filters)
    )
    response: Response = _ec2._xml(200, "DescribeVpcEndpointsResponse", f"<vpcEndpointSet>{found}</vpcEndpointSet>")
    return response


def _as_xml(record: Mapping[str, Any], tag: str) -> str:
    def items(values: Sequence[str]) -> str:
        return "".join(f"<item>{escape(str(one))}</item>" for one in values)

    groups = "".join(
        f"<item><groupId>{name}</groupId>"
        f"<groupName>{escape((_ec2._security_groups.get(name) or {}).get('GroupName', ''))}</groupName></item>"
        for name in record["SecurityGroupIds"]
    )
    options = "".join(
        f"<{name[0].lower()}{name[1:]}>{value}</{name[0].lower()}{name[1:]}>"
        for name, value in record["DnsOptions"].items()
    )
    return (
        f"<{tag}><vpcEndpointId>{record['VpcEndpointId']}</vpcEndpointId>"
        f"<vpcEndpointType>{record['VpcEndpointType']}</vpcEndpointType><vpcId>{record['VpcId']}</vpcId>"
        f"<serviceName>{record['ServiceName']}</serviceName><state>{record['State']}</state>"
        f"<policyDocument>{escape(record['PolicyDocument'] or FULL_ACCESS)}</policyDocument>"
        f"<routeTableIdSet>{items(record['RouteTableIds'])}</routeTableIdSet>"
        f"<subnetIdSet>{items(record['SubnetIds'])}</subnetIdSet><groupSet>{groups}</groupSet>"
        f"<privateDnsEnabled>{str(record['PrivateDnsEnabled']).lower()}</privateDnsEnabled>"
        f"<dnsOptions>{options}</dnsOptions>"
        f"<networkInterfaceIdSet>{items(record['NetworkInterfaceIds'])}</networkInterfaceIdSet>"
        f"<creationTimestamp>{record['CreationTimestamp']}</creationTimestamp><ownerId>{record['OwnerId']}</ownerId>"
        f"{_ec2._tag_set_xml(record['VpcEndpointId'])}</{tag}>"
    )


# --- CloudFormation: endpoints ---------------------------------------------------------------------------------------


def _as_request(properties: Properties) -> dict[str, Any]:
    given = {name: value for name, value in properties.items() if name != "Tags"}
    if "PolicyDocument" in given and not isinstance(given["PolicyDocument"], str):
        given["PolicyDocument"] = json.dumps(given["PolicyDocument"])
    return given


def _create_endpoint(_logical_id: str, properties: Properties, _stack: str) -> Made:
    # Unlike the API, a template that says nothing gets no private DNS name.
    given = {"PrivateDnsEnabled": False, **_as_request(properties)}
    if properties.get("Tags"):
        given["TagSpecifications"] = [{"ResourceType": "vpc-endpoint", "Tags": properties["Tags"]}]
    made = resource_types.call("ec2", "CreateVpcEndpoint", given)["VpcEndpoint"]
    return str(made["VpcEndpointId"]), _attributes(str(made["VpcEndpointId"]))


def _attributes(identity: str) -> dict[str, Any]:
    record = _known(identity)
    return {name: record[name] for name in ("CreationTimestamp", "DnsEntries", "NetworkInterfaceIds")} | {
        "Id": identity
    }


def _update_endpoint(physical_id: str, old: Properties, new: Properties) -> Made:
    request: dict[str, Any] = {"VpcEndpointId": physical_id}
    for word, member in _LISTS.items():
        before, after = old.get(member, []), new.get(member, [])
        added, removed = [one for one in after if one not in before], [one for one in before if one not in after]
        request |= {f"Add{word}Ids": added} if added else {}
        request |= {f"Remove{word}Ids": removed} if removed else {}
    given = _as_request(new)
    request |= {"PolicyDocument": given["PolicyDocument"]} if "PolicyDocument" in given else {"ResetPolicy": True}
    request["PrivateDnsEnabled"] = given.get("PrivateDnsEnabled", False)
    request |= {"DnsOptions": given["DnsOptions"]} if given.get("DnsOptions") else {}
    resource_types.call("ec2", "ModifyVpcEndpoint", request)
    _ec2._tags[physical_id] = list(new.get("Tags", []))
    return physical_id, _attributes(physical_id)


def _delete_endpoint(physical_id: str, _properties: Properties) -> None:
    # One that is gone already is told in the answer, and is no error.
    resource_types.call("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [physical_id]})


# --- CloudFormation: rules of security groups ------------------------------------------------------------------------


def _keep_prefix_lists_of_rules() -> None:
    """MiniStack's API forgets the prefix lists of a rule."""
    parse = _ec2._parse_ip_permissions

    @functools.wraps(parse)
    def parsing(parameters: Parameters, prefix: str) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = parse(parameters, prefix)
        for number, rule in enumerate(rules, 1):
            index = 1
            while name := _text(parameters, f"{prefix}.{number}.PrefixListIds.{index}.PrefixListId"):
                rule["PrefixListIds"].append({"PrefixListId": name})
                index += 1
        return rules

    _ec2._parse_ip_permissions = parsing


def _rule_type(direction: str) -> dict[str, Any]:
    """A rule of its own: each change of it makes a new one, but for its description."""
    member = "IpPermissions" if direction == "Ingress" else "IpPermissionsEgress"

    def group(properties: Properties) -> dict[str, Any]:
        found: dict[str, Any] | None = _ec2._security_groups.get(properties.get("GroupId"))
        if found is None:
            raise ValueError(f"The security group '{properties.get('GroupId')}' does not exist")
        return found

    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        (rule,) = _provisioners._ec2_sg_permissions([properties])
        for entry in rule["IpRanges"]:
            ipaddress.ip_network(entry["CidrIp"])
        identity = f"sgr-{random.getrandbits(68):017x}"
        group(properties)[member].append({**rule, "SecurityGroupRuleId": identity})
        return identity, {"Id": identity}

    def update(_physical_id: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        # Under another id, so MiniStack deletes the former rule afterwards.
        return create(logical_id, new, stack)

    def delete(physical_id: str, properties: Properties) -> None:
        found = _ec2._security_groups.get(properties.get("GroupId"))
        if found is not None:
            found[member] = [one for one in found[member] if one.get("SecurityGroupRuleId") != physical_id]

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


# --- Flow logs -------------------------------------------------------------------------------------------------------

_KEPT_OF_FLOW_LOG = ("DeliverLogsPermissionArn", "LogGroupName", "LogFormat", "MaxAggregationInterval")


def _serve_flow_logs() -> None:
    create, describe = _ec2._ACTION_MAP["CreateFlowLogs"], _ec2._ACTION_MAP["DescribeFlowLogs"]

    def creating(parameters: Parameters) -> Response:
        before = set(_ec2._flow_logs.keys())
        answer: Response = create(parameters)
        for name in set(_ec2._flow_logs.keys()) - before:
            _ec2._flow_logs[name] |= {
                member: _text(parameters, member) for member in _KEPT_OF_FLOW_LOG if _text(parameters, member)
            }
        return answer

    def describing(parameters: Parameters) -> Response:
        status, headers, body = describe(parameters)
        text = body.decode()
        for name, record in _ec2._flow_logs.items():
            more = "".join(
                f"<{member[0].lower()}{member[1:]}>{escape(str(record[member]))}</{member[0].lower()}{member[1:]}>"
                for member in _KEPT_OF_FLOW_LOG
                if member in record
            )
            text = text.replace(f"<flowLogId>{name}</flowLogId>", f"<flowLogId>{name}</flowLogId>{more}")
        return status, headers, text.encode()

    _ec2._ACTION_MAP["CreateFlowLogs"] = creating
    _ec2._ACTION_MAP["DescribeFlowLogs"] = describing


_FLOW_LOG_KINDS = {"VPC": "_vpcs", "Subnet": "_subnets", "NetworkInterface": "_network_interfaces"}


def _create_flow_log(_logical_id: str, properties: Properties, _stack: str) -> Made:
    given = {name: value for name, value in properties.items() if name not in ("Tags", "ResourceId")}
    kind = str(properties.get("ResourceType"))
    if kind not in _FLOW_LOG_KINDS:
        raise ValueError(f"This local cloud keeps no flow logs of the type {kind}.")
    if getattr(_ec2, _FLOW_LOG_KINDS[kind]).get(properties.get("ResourceId")) is None:
        raise ValueError(f"The {kind} '{properties.get('ResourceId')}' of the flow log does not exist")
    given["ResourceIds"] = [properties["ResourceId"]]
    if properties.get("Tags"):
        given["TagSpecifications"] = [{"ResourceType": "vpc-flow-log", "Tags": properties["Tags"]}]
    (identity,) = resource_types.call("ec2", "CreateFlowLogs", given)["FlowLogIds"]
    if properties.get("Tags"):
        _ec2._tags[identity] = list(properties["Tags"])
    return str(identity), {"Id": identity}


def _update_flow_log(physical_id: str, old: Properties, new: Properties) -> Made:
    if {**old, "Tags": None} != {**new, "Tags": None}:
        _delete_flow_log(physical_id, old)
        return _create_flow_log("", new, "")
    _ec2._tags[physical_id] = list(new.get("Tags", []))
    return physical_id, {"Id": physical_id}


def _delete_flow_log(physical_id: str, _properties: Properties) -> None:
    resource_types.call("ec2", "DeleteFlowLogs", {"FlowLogIds": [physical_id]})


# --- Functions -------------------------------------------------------------------------------------------------------


def _place_functions() -> None:
    """Check a function's VPC when it is made or changed, by the API or by a template; MiniStack's templates drop it."""
    create, update = _lambda._create_function, _lambda._update_config

    @functools.wraps(create)
    def creating(data: dict[str, Any]) -> Any:
        problem = _problem(data.get("VpcConfig"), str(data.get("Role", "")))
        return _invalid(problem) if problem else create(data)

    @functools.wraps(update)
    def updating(name: str, data: dict[str, Any], *rest: Any) -> Any:
        known = (_lambda._functions.get(name) or {}).get("config", {})
        problem = _problem(data.get("VpcConfig"), str(data.get("Role") or known.get("Role", "")))
        return _invalid(problem) if problem else update(name, data, *rest)

    _lambda._create_function, _lambda._update_config = creating, updating
    handler = _provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    made, changed = handler["create"], handler["update"]

    def of_template(properties: Properties) -> dict[str, Any]:
        given = dict(properties.get("VpcConfig") or {})
        if problem := _problem(given, str(properties.get("Role", ""))):
            raise ValueError(problem)
        config: dict[str, Any] = _lambda._vpc_config_with_id(given or None)
        return config

    @functools.wraps(made)
    def making(logical_id: str, properties: dict[str, Any], *rest: Any) -> Any:
        config = of_template(properties)
        physical_id, attributes = made(logical_id, properties, *rest)
        _lambda._functions[physical_id]["config"]["VpcConfig"] = config
        return physical_id, attributes

    @functools.wraps(changed)
    def changing(physical_id: str, old: dict[str, Any], properties: dict[str, Any], *rest: Any) -> Any:
        config = of_template(properties)
        updated, attributes = changed(physical_id, old, properties, *rest)
        _lambda._functions[updated]["config"]["VpcConfig"] = config
        if old.get("VpcConfig") != properties.get("VpcConfig"):
            _lambda.invalidate_worker(updated)
        return updated, attributes

    handler |= {"create": making, "update": changing}


def _problem(given: Mapping[str, Any] | None, role: str) -> str:
    """What is wrong with a function's VPC; nothing where it has none."""
    if not given or not (given.get("SubnetIds") or given.get("SecurityGroupIds")):
        return ""
    account, region = _responses.get_account_id(), _responses.get_region()
    try:
        sits = vpc.network(account, region, given.get("SubnetIds") or [], given.get("SecurityGroupIds") or [])
    except ValueError as error:
        return f"Error occurred while DescribeSubnets. EC2 Error Message: {error}"
    refused = vpc.refused_interface(role, sits, "function-network")
    if refused:
        return f"The provided execution role does not have permissions to call {refused.partition(':')[2]} on EC2"
    return ""


def _invalid(problem: str) -> Any:
    return _responses.error_response_json("InvalidParameterValueException", problem, 400)
