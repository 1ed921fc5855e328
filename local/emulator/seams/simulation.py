"""What policies say to a request: the IAM simulator, and the function behind it, which tests ask without a cloud.

MiniStack's simulator knows no boundary, no resource policy, no context and one resource. Here `SimulateCustomPolicy`
and `SimulatePrincipalPolicy` take all of them. Their requests and answers: botocore's model of IAM, as of 2026-11-27.
Neither takes the policies of a session, as on AWS: `judge` does.

Refused: a group as the source, and `ResourceHandlingOption`. The answer comes in one page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.sax.saxutils import escape

from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.services import iam as _iam_store

from local.emulator.seams import variables
from local.emulator.seams.request_keys import COMPLETE

Document = Mapping[str, Any]
Documents = Mapping[str, Document]
Value = str | Sequence[str]
Decided = Literal["allowed", "explicitDeny", "implicitDeny"]
Layer = Literal["identity", "boundary", "session", "resource", "endpoint"]


@dataclass(frozen=True)
class Request:
    """One request, as the policies see it.

    `principal` is the ARN of a role or a user, or a service's name (`events.amazonaws.com`). `context` holds condition
    keys, in any case: `aws:PrincipalTag/project`, `aws:SecureTransport` ("true" unless given), `sagemaker:VpcSubnets`
    (a list).
    """

    action: str
    resource: str
    principal: str
    context: Mapping[str, Value] = field(default_factory=dict)
    region: str = "us-east-1"


@dataclass(frozen=True)
class Policies:
    """All policies that have a say, by a name of their own. None: there is no such layer, so it limits nothing.

    `resource` is the policy of the resource itself, of a role its trust. `required` says that it must allow, whoever
    asks (a key's policy, a role's trust). `endpoint` is the policy of the VPC endpoint that the request goes through.
    """

    identity: Documents = field(default_factory=dict)
    boundary: Documents | None = None
    session: Documents | None = None
    resource: Documents | None = None
    endpoint: Documents | None = None
    required: bool = False


@dataclass(frozen=True)
class Deciding:
    """A statement that decided: its layer, its policy's name, its place in it from 0, and its Sid."""

    layer: Layer
    policy: str
    index: int
    sid: str


@dataclass(frozen=True)
class Verdict:
    """The answer. `layer` is the first that denied, or that did not allow; of an allowed request, the one that did.

    `statements` are the statements that decided: the denials, or what allowed. An implicit denial has none.
    """

    decision: Decided
    layer: Layer
    statements: tuple[Deciding, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.decision == "allowed"


def judge(request: Request, policies: Policies) -> Verdict:
    """What these policies say to this request, within one account.

    Denials first, in the order of the layers. Then every layer that limits must allow, and the identity's policies or
    the resource's must: "Policy evaluation logic", IAM User Guide, read 2026-11-27. An account root in a resource's
    policy hands the decision to the identity's; a resource's policy that names the caller itself stands alone, but
    within boundary and session.
    """
    context = _context(request)
    given: tuple[tuple[Layer, Documents | None], ...] = (
        ("identity", policies.identity),
        ("boundary", policies.boundary),
        ("session", policies.session),
        ("resource", policies.resource),
        ("endpoint", policies.endpoint),
    )
    layers = [(layer, _read(documents, layer)) for layer, documents in given if documents is not None]
    missing = _missing(layers, context)
    for layer, read in layers:
        if denials := _matching(read, context, request, "Deny"):
            return Verdict("explicitDeny", layer, denials, missing)
    granted = {layer: _matching(read, context, request, "Allow") for layer, read in layers}
    for layer in ("endpoint", "boundary", "session"):
        if layer in granted and not granted[layer]:
            return Verdict("implicitDeny", layer, (), missing)
    if policies.required and not granted.get("resource"):
        return Verdict("implicitDeny", "resource", (), missing)
    if granted["identity"]:
        return Verdict("allowed", "identity", granted["identity"], missing)
    own = [one for one in dict(layers).get("resource", []) if _names(one, request, itself=True)]
    if by_resource := _matching(own, context, request, "Allow"):
        return Verdict("allowed", "resource", by_resource, missing)
    return Verdict("implicitDeny", "identity", (), missing)


@dataclass(frozen=True)
class _Read:
    where: Deciding
    statement: Any
    principal: Any


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _read(documents: Documents, layer: Layer) -> list[_Read]:
    return [
        _Read(Deciding(layer, name, index, str(body.get("Sid", ""))), statement, body.get("Principal"))
        for name, document in documents.items()
        for index, body in enumerate(_listed(document.get("Statement")))
        for statement in _iam.parse_policy_document({"Statement": [_with_resource(body, layer)]})
    ]


def _with_resource(body: Mapping[str, Any], layer: Layer) -> Mapping[str, Any]:
    # A trust policy names no resource: it is the role's own.
    own = layer == "resource" and not {"Resource", "NotResource"} & body.keys()
    return {**body, "Resource": "*"} if own else body


def _matching(read: Sequence[_Read], context: Any, request: Request, effect: str) -> tuple[Deciding, ...]:
    return tuple(
        one.where
        for one in read
        if (one.where.layer not in ("resource", "endpoint") or _names(one, request, itself=False))
        and variables.first_match(context, [one.statement], effect) is not None
    )


def _names(one: _Read, request: Request, *, itself: bool) -> bool:
    """Whether a statement of a resource's policy is about the caller; `itself`: not by way of its account."""
    if not request.principal.startswith("arn:"):
        # A denial for everybody is for services too; an allow is for those that it names.
        if one.statement.effect == "Deny" and not itself and _everybody(one.principal):
            return True
        return bool(_iam._service_principal_matches(one.principal, request.principal))
    if itself:
        return bool(_iam._names_caller(one.principal, request.principal))
    principal = one.principal if isinstance(one.principal, str) else {"AWS": (one.principal or {}).get("AWS", [])}
    return bool(_iam._principal_matches(principal, request.principal))


def _everybody(principal: Any) -> bool:
    return "*" in _listed(principal.get("AWS") if isinstance(principal, Mapping) else principal)


def _context(request: Request) -> Any:
    # A request that names no tags has no aws:TagKeys.
    given: dict[str, Any] = {"aws:tagkeys": None, COMPLETE: "true"}
    given |= {key.lower(): value if isinstance(value, str) else list(value) for key, value in request.context.items()}
    arn = request.principal
    account = arn.split(":")[4] if arn.startswith("arn:") else ""
    kind = "User" if ":user/" in arn else "AssumedRole" if ":role/" in arn or ":assumed-role/" in arn else "Service"
    return _iam.EvalContext(
        principal_arn=arn,
        principal_type=kind,
        principal_account=account,
        action=request.action,
        resource_arn=request.resource,
        region=str(given.get("aws:requestedregion", request.region)),
        source_ip=str(given.get("aws:sourceip", "127.0.0.1")),
        secure_transport=str(given.get("aws:securetransport", "true")).lower() == "true",
        service_context=given,
    )


def _missing(layers: Sequence[tuple[Layer, Sequence[_Read]]], context: Any) -> tuple[str, ...]:
    """Condition keys that a statement about this action asks for, and the request does not have."""
    keys = {
        key
        for _, read in layers
        for one in read
        if _iam._action_matches(context.action, one.statement.actions, one.statement.not_actions)
        for block in one.statement.conditions.values()
        for key in block
        if _iam._resolve_condition_key(key, context) is None
    }
    return tuple(sorted(keys))


# --- The simulator's operations --------------------------------------------------------------------------------------


def install() -> None:
    """Answer the two operations of the simulator."""
    _iam_store._IAM_HANDLERS["SimulateCustomPolicy"] = _handler(_custom)
    _iam_store._IAM_HANDLERS["SimulatePrincipalPolicy"] = _handler(_principal)


class _Refused(Exception):  # noqa: N818 (carries an answer)
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer = _iam_store._error(status, code, escape(message), ns="iam")


def _handler(operation: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
    def handle(parameters: Mapping[str, Any]) -> Any:
        try:
            return operation(parameters)
        except _Refused as refused:
            return refused.answer

    return handle


def _custom(parameters: Mapping[str, Any]) -> Any:
    texts = _inputs(parameters, "PolicyInputList")
    if not texts:
        raise _Refused("ValidationError", "PolicyInputList must not be empty.")
    sources = {name: (text, "none") for name, text in texts.items()}
    caller = f"arn:aws:iam::{_responses.get_account_id()}:user/simulated"
    return _answered("SimulateCustomPolicy", parameters, sources, None, caller, {})


def _principal(parameters: Mapping[str, Any]) -> Any:
    arn = _one(parameters, "PolicySourceArn")
    if ":group/" in arn:
        raise _Refused("NotImplemented", "This local cloud does not simulate the policies of a group.", 501)
    user = ":user/" in arn
    name = arn.rpartition("/")[2]
    entity = (_iam_store._users if user else _iam_store._roles).get(name)
    if entity is None or entity["Arn"] != arn:
        raise _Refused("NoSuchEntity", f"The user or role {arn} cannot be found.", 404)
    account = _responses.get_account_id()
    sources = {policy: (text, kind) for policy, text, kind in _policies_of(name, entity, user=user)}
    sources |= {policy: (text, "none") for policy, text in _inputs(parameters, "PolicyInputList").items()}
    limit = entity.get("PermissionsBoundary")
    boundary = {limit: _text(_iam._resolve_managed_policy_document(limit, account) or {})} if limit else None
    tags = {f"aws:PrincipalTag/{tag['Key']}": str(tag["Value"]) for tag in entity.get("Tags") or []}
    return _answered("SimulatePrincipalPolicy", parameters, sources, boundary, arn, tags)


def _policies_of(name: str, entity: Mapping[str, Any], *, user: bool) -> Iterator[tuple[str, str, str]]:
    """Name, text and kind of every policy of a user, with those of its groups, or of a role."""
    inline = _iam_store._user_inline_policies.get(name) if user else entity.get("InlinePolicies")
    yield from _held(inline, entity, "user" if user else "role")
    for group_name, group in _iam_store._groups.items() if user else ():
        if name in group.get("Users", []):
            yield from _held(_iam_store._group_inline_policies.get(group_name), group, "group")


def _held(inline: Mapping[str, Any] | None, entity: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str, str]]:
    for policy, document in (inline or {}).items():
        yield policy, _text(document), kind
    for policy in entity.get("AttachedPolicies", []):
        document = _iam._resolve_managed_policy_document(policy, _responses.get_account_id())
        if document:
            yield policy, _text(document), "aws-managed" if ":iam::aws:" in policy else "user-managed"


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _answered(  # noqa: PLR0917 (what the two operations share)
    operation: str,
    parameters: Mapping[str, Any],
    sources: Mapping[str, tuple[str, str]],
    boundary: Mapping[str, str] | None,
    caller: str,
    known: Mapping[str, Value],
) -> Any:
    actions = _all(parameters, "ActionNames")
    if not actions:
        raise _Refused("ValidationError", "ActionNames must not be empty.")
    if _one(parameters, "ResourceHandlingOption"):
        raise _Refused("NotImplemented", "This local cloud does not serve ResourceHandlingOption.", 501)
    caller = _one(parameters, "CallerArn") or caller
    given = _inputs(parameters, "PermissionsBoundaryPolicyInputList")
    boundary = given or boundary
    own = _one(parameters, "ResourcePolicy")
    policies = Policies(
        identity={name: _document(text) for name, (text, _) in sources.items()},
        boundary=None if boundary is None else {name: _document(text) for name, text in boundary.items()},
        resource={"ResourcePolicy": _document(own)} if own else None,
    )
    texts = {name: text for name, (text, _) in sources.items()} | dict(boundary or {}) | {"ResourcePolicy": own}
    kinds = {name: kind for name, (_, kind) in sources.items()} | {"ResourcePolicy": "resource"}
    context = {**known, **_entries(parameters)}
    members = []
    for action in actions:
        for resource in _all(parameters, "ResourceArns") or ["*"]:
            asked = Request(action, resource, caller, context, _responses.get_region())
            members.append(_member(asked, judge(asked, policies), policies, texts, kinds))
    body = (
        f"<{operation}Result><EvaluationResults>{''.join(members)}</EvaluationResults>"
        f"<IsTruncated>false</IsTruncated></{operation}Result>"
    )
    return _iam_store._xml(200, f"{operation}Response", body, ns="iam")


def _member(
    asked: Request, verdict: Verdict, policies: Policies, texts: Mapping[str, str], kinds: Mapping[str, str]
) -> str:
    matched = "".join(
        f"<member><SourcePolicyId>{escape(one.policy)}</SourcePolicyId>"
        f"<SourcePolicyType>{kinds.get(one.policy, 'user-managed')}</SourcePolicyType>"
        f"{_position(texts[one.policy], one.index)}</member>"
        for one in verdict.statements
    )
    boundary = ""
    if policies.boundary is not None:
        alone = judge(asked, Policies(identity=policies.boundary))
        boundary = (
            "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>"
            f"{str(alone.allowed).lower()}"
            "</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>"
        )
    missing = "".join(f"<member>{escape(key)}</member>" for key in verdict.missing)
    return (
        f"<member><EvalActionName>{escape(asked.action)}</EvalActionName>"
        f"<EvalResourceName>{escape(asked.resource)}</EvalResourceName>"
        f"<EvalDecision>{verdict.decision}</EvalDecision>"
        f"<MatchedStatements>{matched}</MatchedStatements>"
        f"<MissingContextValues>{missing}</MissingContextValues>{boundary}</member>"
    )


def _position(text: str, index: int) -> str:
    """Line and column, from 1, of a statement's first character and of what follows its last."""
    start, end = _spans(text)[index]
    places = []
    for name, offset in (("StartPosition", start), ("EndPosition", end)):
        line = text.count("\n", 0, offset) + 1
        column = offset - text.rfind("\n", 0, offset)
        places.append(f"<{name}><Line>{line}</Line><Column>{column}</Column></{name}>")
    return "".join(places)


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each statement of a document stands in its text."""
    decoder = json.JSONDecoder()
    found = re.search(r'"Statement"\s*:\s*', text)
    assert found is not None
    at = found.end()
    if text[at] != "[":
        return [(at, decoder.raw_decode(text, at)[1])]
    spans, at = [], at + 1
    while (match := re.compile(r"[\s,]*(?=\{)").match(text, at)) is not None:
        end = decoder.raw_decode(text, match.end())[1]
        spans.append((match.end(), end))
        at = end
    return spans


def _document(text: str) -> Document:
    wrong = _iam.validate_policy_document(text)
    # A resource's policy may leave the resource out, and a boundary that is gone allows nothing.
    if wrong and "Resource" not in wrong and text != "{}":
        raise _Refused("InvalidInput", wrong)
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _entries(parameters: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    number = 1
    while key := _one(parameters, f"ContextEntries.member.{number}.ContextKeyName"):
        values = _all(parameters, f"ContextEntries.member.{number}.ContextKeyValues")
        kind = _one(parameters, f"ContextEntries.member.{number}.ContextKeyType")
        found[key] = values if kind.endswith("List") else (values or [""])[0]
        number += 1
    return found


def _inputs(parameters: Mapping[str, Any], name: str) -> dict[str, str]:
    return {f"{name}.{number}": text for number, text in enumerate(_all(parameters, name), 1)}


def _all(parameters: Mapping[str, Any], name: str) -> list[str]:
    found: list[str] = []
    while value := _one(parameters, f"{name}.member.{len(found) + 1}"):
        found.append(value)
    return found


def _one(parameters: Mapping[str, Any], name: str) -> str:
    return str(_iam_store._p(parameters, name) or "")
