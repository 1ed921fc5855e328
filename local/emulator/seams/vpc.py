"""Calls from inside a VPC: who sits in one, which way the call takes, and what the endpoint's policy says to it.

The session of a function with a VpcConfig, and of a SageMaker job or model with one, is bound to that network when the
emulator makes it, by its access key. So nothing that a caller sends decides where it sits. A role that such a session
assumes is bound alike. Such a call goes the way that `local.emulator.vpc` finds:

* no way: the connection is closed without an answer, at once. On AWS it would not be made, and time out;
* an endpoint: `aws:SourceVpce`, `aws:SourceVpc` and `aws:VpcSourceIp` are there for conditions, `aws:SourceIp` is not,
  and the endpoint's policy has to let the call through, beside all others;
* a NAT gateway: as a call from outside.

What a service does with its caller's rights (Rekognition reading the picture, S3 using the key) comes from that
service's network: none of these keys is there, and `aws:ViaAWSService` is true ("AWS global condition context keys" and
"Forward access sessions", IAM User Guide, read 2026-11-27).

A link that is signed by query string is used by whoever has it, so its signer's network is not taken for the caller's.
It and an unsigned request belong to a VPC if they come on a connection of the worker of a function there. SageMaker's
processes are not looked up like this, nor is a function that calls with an IAM user's keys.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import psutil
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import lambda_runtime as _runtime
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import ec2 as _ec2
from ministack.services import lambda_svc as _lambda
from ministack.services import sts as _sts

from local.emulator import authorise, decisions
from local.emulator.vpc import (
    FULL_ACCESS,
    GATEWAY,
    PREFIXED,
    Endpoint,
    Network,
    Passage,
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

# What the server is to do instead of sending an answer.
CLOSE = "local.connection.close"
# A request that a service makes with its caller's rights carries this in its ASGI scope, where no client can put it.
FORWARDED = "local.forwarded"
PASSING = "iam:PassRole"

_bound: dict[str, Network] = {}
# So many before those whose sessions are over are forgotten.
_MOST_BOUND = 1000
_lock = threading.Lock()


@dataclass(frozen=True)
class _Arrival:
    """The request that is being served: to which service, with which key, on which way."""

    service: str
    access_key: str
    passage: Passage | None
    forwarded: bool

    def asks_for(self, action: str) -> bool:
        """Whether an action is what the request itself asks for; others the service does with its caller's rights."""
        namespace = _iam_actions.SERVICE_TO_IAM_NAMESPACE.get(self.service, self.service)
        return action.partition(":")[0] in (namespace, self.service) or action == PASSING


_arrival: contextvars.ContextVar[_Arrival | None] = contextvars.ContextVar("arrival", default=None)
# Why the endpoint's policy refused the current request.
_refusal: contextvars.ContextVar[str] = contextvars.ContextVar("refusal", default="")


def install() -> None:
    """Bind sessions, guard the way of each request, and evaluate endpoint policies."""
    _bind_functions()
    _bind_assumed_roles()
    _guard_requests()
    _evaluate_endpoint_policies()
    _know_condition_keys()


# --- Who sits in a VPC -----------------------------------------------------------------------------------------------


def network(account: str, region: str, subnets: Sequence[str], security_groups: Sequence[str]) -> Network:
    """The network of these subnets and security groups. Raises ValueError where they are not of one VPC."""
    vpcs = set()
    for store, names, kind in ((_ec2._subnets, subnets, "subnet"), (_ec2._security_groups, security_groups, "group")):
        for name in names:
            found = store.get_scoped(account, region, name)
            if found is None:
                raise ValueError(f"The {kind} ID '{name}' does not exist")
            vpcs.add(str(found["VpcId"]))
    if not subnets or not security_groups:
        raise ValueError("A VPC configuration needs subnets and security groups.")
    if len(vpcs) > 1:
        raise ValueError("The subnets and the security groups must be of one VPC.")
    return Network(account, region, vpcs.pop(), tuple(subnets), tuple(security_groups))


# What creating and deleting interfaces is asked for; what describes knows no resources ("Actions, resources, and
# condition keys for Amazon EC2", Service Authorization Reference).
_MAKING = ("network-interface/*", "subnet/{subnet}", "security-group/{group}")
_INTERFACES = ("network-interface/*",)
_RESOURCES = {
    "ec2:CreateNetworkInterface": _MAKING,
    "ec2:CreateNetworkInterfacePermission": _INTERFACES,
    "ec2:DeleteNetworkInterface": _INTERFACES,
    "ec2:DeleteNetworkInterfacePermission": _INTERFACES,
}


def refused_interface(role: str, sits: Network, path: str) -> str:
    """The first action that a role lacks for interfaces in a network; nothing if it has all that the path lists.

    Which these are: AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC"; Amazon
    SageMaker Developer Guide, "SageMaker Roles", in its public source; read 2026-11-27. When SageMaker asks for them is
    not documented.
    """
    for action in authorise.PATHS[path].actions:
        for resource in _RESOURCES.get(action, ("*",)):
            name = resource.format(subnet=sits.subnets[0], group=sits.security_groups[0])
            arn = name if name == "*" else f"arn:aws:ec2:{sits.region}:{sits.account}:{name}"
            if not authorise.act_as(role, action, arn, path=path):
                return action
    return ""


def bind(access_key: str, sits: Network) -> None:
    """Take calls with this key for calls from there."""
    with _lock:
        if len(_bound) >= _MOST_BOUND:
            for gone in _bound.keys() - _sts._sessions.keys():
                del _bound[gone]
        _bound[access_key] = sits


def bound(access_key: str) -> Network | None:
    """Where the holder of a key sits; None is outside of every VPC."""
    with _lock:
        return _bound.get(access_key)


# Access keys of functions in a VPC, by function, role and network.
_function_keys: dict[tuple[str, str, Network], str] = {}


def _bind_functions() -> None:
    """Give a function in a VPC a session of its own for this network, so that a change of it changes the session.

    MiniStack derives the keys from the ARNs of function and role, so that anybody could make them up.
    """
    issue = _runtime.execution_credentials

    @functools.wraps(issue)
    def issuing(config: dict[str, Any]) -> dict[str, str]:
        issued: dict[str, str] = issue(config)
        sits = network_of(config)
        if sits is None:
            return issued
        session = _sts._sessions.pop(issued["AWS_ACCESS_KEY_ID"])
        whose = (str(config["FunctionArn"]), str(config["Role"]), sits)
        with _lock:
            access_key = _function_keys.setdefault(whose, f"ASIA{uuid.uuid4().hex[:16].upper()}")
            _bound[access_key] = sits
        known = _sts._sessions.get(access_key)
        if known is None:
            known = {**session, "SecretAccessKey": uuid.uuid4().hex, "SessionToken": uuid.uuid4().hex}
            _sts.register_session(access_key, known)
        return {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": str(known["SecretAccessKey"]),
            "AWS_SESSION_TOKEN": str(known["SessionToken"]),
        }

    _runtime.execution_credentials = issuing
    _lambda.execution_credentials = issuing


def network_of(config: Mapping[str, Any]) -> Network | None:
    """The network of a function's configuration; None where it has none. Subnets that are gone stay in it."""
    found = config.get("VpcConfig") or {}
    if not found.get("SubnetIds"):
        return None
    account, region = _lambda._account_region_from_function_config(config)
    return Network(
        account,
        region,
        str(found.get("VpcId") or "vpc-unknown"),
        tuple(found["SubnetIds"]),
        tuple(found.get("SecurityGroupIds") or ()),
    )


def _bind_assumed_roles() -> None:
    """A session that a call from inside a VPC got from STS is used there."""
    register = _sts.register_session

    @functools.wraps(register)
    def registering(access_key: str, session: dict[str, Any]) -> None:
        register(access_key, session)
        arrival = _arrival.get()
        if arrival is not None and arrival.service == "sts" and (sits := bound(arrival.access_key)) is not None:
            bind(access_key, sits)

    _sts.register_session = registering


# --- Which way the call takes ----------------------------------------------------------------------------------------


def passage(sits: Network, service: str, region: str) -> Passage:
    """The way from a network to a service of a region, as things stand. Raises Unreachable."""
    return way(sits, topology(sits, service_name(service, region)), service, region)


def topology(sits: Network, wanted: str) -> Topology:
    """What there is in a caller's VPC now, as far as it concerns the caller and the endpoints of that name."""
    where = (sits.account, sits.region)
    vpc = _ec2._vpcs.get_scoped(*where, sits.vpc) or {}
    tables = [one for one in _ec2._route_tables.values_scoped(*where) if one["VpcId"] == sits.vpc]
    return Topology(
        # A VPC has DNS support unless it says otherwise, but host names only if it says so.
        dns=bool(vpc.get("EnableDnsSupport", True)) and bool(vpc.get("EnableDnsHostnames", False)),
        subnets={
            str(one["SubnetId"]): _subnet(one, tables, where)
            for one in _ec2._subnets.values_scoped(*where)
            if one["VpcId"] == sits.vpc and one["SubnetId"] in sits.subnets
        },
        groups={
            str(one["GroupId"]): SecurityGroup(_rules(one["IpPermissions"]), _rules(one["IpPermissionsEgress"]))
            for one in _ec2._security_groups.values_scoped(*where)
            if one["VpcId"] == sits.vpc
        },
        endpoints=tuple(
            _endpoint(one, where)
            for one in _ec2._vpc_endpoints.values_scoped(*where)
            if one["VpcId"] == sits.vpc and one["ServiceName"] == wanted
        ),
        prefix_lists={name: _prefix_list(name) for name in (f"com.amazonaws.{sits.region}.{one}" for one in PREFIXED)},
    )


def _prefix_list(name: str) -> PrefixList:
    return PrefixList(_ec2._aws_pl_id_from_name(name), _ec2._aws_prefix_list_to_cidr(name))


def _subnet(record: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], where: tuple[str, str]) -> Subnet:
    name = record["SubnetId"]
    own = [table for table in tables if any(one.get("SubnetId") == name for one in table["Associations"])]
    main = [table for table in tables if any(one.get("Main") for one in table["Associations"])]
    table = next(iter(own or main), None)
    if table is None:
        return Subnet(str(record["CidrBlock"]))
    gateways = (
        str(route.get("NatGatewayId") or "")
        for route in table["Routes"]
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    )
    nat = next((one for one in gateways if one and _stands(one, where)), None)
    return Subnet(str(record["CidrBlock"]), str(table["RouteTableId"]), nat)


def _stands(nat: str, where: tuple[str, str]) -> bool:
    return (_ec2._nat_gateways.get_scoped(*where, nat) or {}).get("State") == "available"


def _rules(permissions: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            protocol=str(one["IpProtocol"]),
            first=max(0, int(one.get("FromPort", 0))),
            last=65535 if int(one.get("ToPort", -1)) < 0 else int(one["ToPort"]),
            ranges=tuple(str(item["CidrIp"]) for item in one.get("IpRanges", ())),
            groups=tuple(str(item.get("GroupId", "")) for item in one.get("UserIdGroupPairs", ())),
            prefix_lists=tuple(str(item["PrefixListId"]) for item in one.get("PrefixListIds", ())),
        )
        for one in permissions
    )


def _endpoint(record: Mapping[str, Any], where: tuple[str, str]) -> Endpoint:
    subnets = [found for name in record.get("SubnetIds", ()) if (found := _ec2._subnets.get_scoped(*where, name))]
    return Endpoint(
        id=str(record["VpcEndpointId"]),
        kind=str(record["VpcEndpointType"]),
        service_name=str(record["ServiceName"]),
        route_tables=tuple(record.get("RouteTableIds", ())),
        security_groups=tuple(record.get("SecurityGroupIds", ())),
        addresses=tuple(address_in(str(one["CidrBlock"]), str(record["VpcEndpointId"])) for one in subnets),
        private_dns=str(record.get("PrivateDnsEnabled", False)).lower() == "true",
        for_resolvers_only=str(
            (record.get("DnsOptions") or {}).get("PrivateDnsOnlyForInboundResolverEndpoint", "")
        ).lower()
        in ("true", "onlyinboundresolver"),
        policy=str(record.get("PolicyDocument") or FULL_ACCESS),
    )


# --- The guard of each request ---------------------------------------------------------------------------------------


def _guard_requests() -> None:
    serve = _app.app

    @functools.wraps(serve)
    async def serving(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await serve(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        method, path = scope["method"], scope["path"]
        service = str(_router.detect_service(method, path, headers, query))
        access_key = str(_router.extract_access_key_id(headers, query))
        forwarded = bool(scope.get(FORWARDED))
        sits = None if forwarded else _where(access_key, headers)
        through = None
        if sits is not None:
            region = str(_router.extract_region(headers, query))
            try:
                through = passage(sits, service, region)
            except Unreachable as reason:
                await _close(scope, receive, send, headers, query, access_key, sits, str(reason))
                return
        token = _arrival.set(_Arrival(service, access_key, through, forwarded))
        try:
            await serve(scope, receive, send)
        finally:
            _arrival.reset(token)

    _app.app = serving


def _where(access_key: str, headers: Mapping[str, str]) -> Network | None:
    with _lock:
        if not _bound:
            return None
        found = _bound.get(access_key)
    return found if headers.get("authorization") else _of_connection()


def _of_connection() -> Network | None:
    """The network of the worker whose connection the current request came on."""
    from local.emulator import seams

    port = seams._client_port.get()
    with _runtime._lock:
        workers = [worker for pool in _runtime._workers.values() for worker in pool]
    for worker in workers:
        sits, process = network_of(worker.config), worker._proc
        if sits is None or process is None or process.poll() is not None:
            continue
        with contextlib.suppress(psutil.Error):
            if any(item.laddr and item.laddr.port == port for item in psutil.Process(process.pid).net_connections()):
                return sits
    return None


async def _close(  # noqa: PLR0917 (what the request is made of)
    scope: Mapping[str, Any],
    receive: Any,
    send: Any,
    headers: dict[str, str],
    query: dict[str, list[str]],
    access_key: str,
    sits: Network,
    reason: str,
) -> None:
    """Record what was asked for in vain, and have the connection closed."""
    body = await _whole(receive)
    method, path = scope["method"], scope["path"]
    parameters = _app._routing_params(method, path, headers, body, query)
    service = str(_router.detect_service(method, path, headers, parameters))
    region = str(_router.extract_region(headers, query))
    with _responses.request_scope(sits.account, region):
        action = _iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
        resource = _iam_actions.extract_resource_arn(
            service, method, path, headers, body, parameters, region, sits.account
        )
        _record(access_key, str(action or f"{service}:?"), str(resource), allowed=False, statement=None, reason=reason)
    await send({"type": CLOSE, "reason": reason})


async def _whole(receive: Any) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(chunks)


# --- What the endpoint's policy says ---------------------------------------------------------------------------------


def condition_keys(access_key: str, action: str, service: str, region: str) -> dict[str, str]:
    """What conditions see of the way that a call takes. Raises Unreachable."""
    through, forwarded = _of_call(access_key, action, service, region)
    keys = {"aws:ViaAWSService": "true" if forwarded else "false"}
    if through is None or through.endpoint is None:
        return keys
    return {
        **keys,
        "aws:SourceVpce": through.endpoint.id,
        "aws:SourceVpc": through.vpc,
        "aws:VpcSourceIp": through.address,
    }


def refusal() -> str:
    """How an endpoint's policy refused what was last asked in this context; nothing if it did not."""
    return _refusal.get()


@contextlib.contextmanager
def forwarding(access_key: str) -> Iterator[None]:
    """A service acts with its caller's rights meanwhile, from its own network."""
    token = _arrival.set(_Arrival("", access_key, None, forwarded=True))
    try:
        yield
    finally:
        _arrival.reset(token)


def _of_call(access_key: str, action: str, service: str, region: str) -> tuple[Passage | None, bool]:
    """The way of a call and whether a service makes it with its caller's rights."""
    arrival = _arrival.get()
    if arrival is not None and arrival.access_key == access_key:
        forwarded = arrival.forwarded or not arrival.asks_for(action)
        return (None if forwarded else arrival.passage), forwarded
    sits = bound(access_key)
    return (passage(sits, service, region) if sits is not None else None), False


def _evaluate_endpoint_policies() -> None:
    enforce, answer = _iam.enforce, _iam_actions.access_denied_response

    @functools.wraps(enforce)
    def enforcing(  # noqa: PLR0917 (MiniStack's own signature)
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        _refusal.set("")
        try:
            through, _ = _of_call(access_key_id, iam_action, service, region)
            keys = condition_keys(access_key_id, iam_action, service, region)
        except Unreachable as reason:
            _record(access_key_id, iam_action, resource_arn, allowed=False, statement=None, reason=str(reason))
            raise
        context = {**(service_context or {}), **keys}
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, context)
        endpoint = through.endpoint if through is not None else None
        # Passing a role on is no request of its own.
        if endpoint is None or iam_action == PASSING or isinstance(denied, _iam.AuthError):
            return denied
        if denied is not None and denied.decision == "Deny":
            return denied
        refused = _refused(endpoint, access_key_id, iam_action, region, resource_arn, context)
        if refused is None or (denied is not None and refused.decision != "Deny"):
            return denied
        explicit = refused.decision == "Deny"
        _refusal.set(
            "with an explicit deny in a VPC endpoint policy"
            if explicit
            else f"because no VPC endpoint policy allows the {iam_action} action"
        )
        return refused

    @functools.wraps(answer)
    def answering(service: str, action: str, principal_arn: str, request_id: str, **more: Any) -> Any:
        why = _refusal.get()
        if not why or more.get("error_code"):
            return answer(service, action, principal_arn, request_id, **more)
        resource = more.get("resource_arn") or "*"
        message = f"User: {principal_arn} is not authorized to perform: {action} on resource: {resource} {why}"
        answered = answer(service, action, principal_arn, request_id, **{**more, "message": message})
        if service in _FIXED_MESSAGE:
            body = {**json.loads(answered[2]), "Message": message}
            return (answered[0], answered[1], json.dumps(body).encode())
        return answered

    _iam.enforce = enforcing
    _iam_actions.access_denied_response = answering


# MiniStack words the denials of these itself, whatever message it is given.
_FIXED_MESSAGE = ("logs", "ssm")


def _refused(  # noqa: PLR0917 (what a policy is asked)
    endpoint: Endpoint, access_key: str, action: str, region: str, resource: str, context: Mapping[str, Any]
) -> Any:
    """MiniStack's result of the endpoint's policy, if that refuses; the decision is recorded."""
    from local.emulator import seams

    principal = _iam.resolve_principal(access_key, _responses.get_account_id())
    request = _iam.EvalContext(
        principal_arn=getattr(principal, "arn", "*"),
        principal_type=getattr(principal, "type", "Anonymous"),
        principal_account=getattr(principal, "account", ""),
        action=action,
        resource_arn=resource,
        region=region,
        service_context={key.lower(): value for key, value in context.items()},
        principal_keys=getattr(principal, "keys", {}),
    )
    with seams._watched() as seen:
        result = _iam.evaluate_resource_policy(_that_apply(endpoint), request)
    allowed = result.decision == "Allow"
    statement = _statement(endpoint, seen, request, allowed)
    reason = None if statement else f"No statement of the policy of {endpoint.id} allows it"
    _record(access_key, action, resource, allowed=allowed, statement=statement, reason=reason)
    if allowed:
        return None
    result.principal_arn = request.principal_arn
    return result


def _that_apply(endpoint: Endpoint) -> dict[str, Any]:
    """The statements of an endpoint's policy that are about roles.

    At a gateway endpoint those that name a principal are about the account's root alone, who is never in a VPC; others
    are named by `aws:PrincipalArn` ("Principals for gateway endpoints", AWS PrivateLink guide, read 2026-11-27).
    """
    found = json.loads(endpoint.policy)["Statement"]
    statements = found if isinstance(found, list) else [found]
    if endpoint.kind == GATEWAY:
        statements = [one for one in statements if one.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})]
    return {"Statement": statements}


def _statement(endpoint: Endpoint, seen: Sequence[tuple[str, Any]], request: Any, allowed: bool) -> Any:
    wanted = "Allow" if allowed else "Deny"
    statement = next((found for effect, found in seen if effect == wanted), None)
    if statement is None:
        return None
    places = _iam.parse_policy_document(endpoint.policy)
    return decisions.Statement(
        policy=endpoint.id,
        sid=statement.sid,
        index=next((index for index, one in enumerate(places) if one == statement), -1),
        action_pattern=next((one for one in statement.actions if _iam.fnmatch_iam(request.action, one)), None),
        resource_pattern=next(
            (one for one in statement.resources if _iam.fnmatch_iam_cs(request.resource_arn, one)), None
        ),
    )


def _record(
    access_key: str, action: str, resource: str, *, allowed: bool, statement: Any, reason: str | None = None
) -> None:
    from local.emulator import seams

    principal = seams._principal_arn(access_key)
    decisions.record(
        decisions.Decision(
            principal=principal,
            role=seams._role_name(principal),
            action=action,
            resource=resource,
            allowed=allowed,
            statement=statement,
            via="network",
            reason=reason,
        )
    )


def _know_condition_keys() -> None:
    """No public address where a call comes through an endpoint; and which calls are a service's own or by way of one.

    The latter two are in every request ("AWS global condition context keys", IAM User Guide, read 2026-11-27).
    MiniStack leaves them out, so a Deny that spares services would spare everybody.
    """
    resolve = _iam._resolve_condition_key

    @functools.wraps(resolve)
    def resolving(key: str, context: Any) -> Any:
        name = key.lower()
        if name == "aws:sourceip" and "aws:sourcevpce" in context.service_context:
            return None
        if name == "aws:viaawsservice":
            return context.service_context.get(name, "false")
        if name == "aws:principalisawsservice":
            return "true" if context.principal_type == "Service" else "false"
        return resolve(key, context)

    _iam._resolve_condition_key = resolving
