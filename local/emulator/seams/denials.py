"""What a refusal says: which kind of policy it was that denied, or that did not allow.

MiniStack blames the identity's policies for what a boundary or a session's policy refuses. The words: "Troubleshoot
access denied error messages", IAM User Guide; not read again.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Sequence
from typing import Any

from ministack.core import iam_actions as _iam_actions
from ministack.services import iam as _iam_store
from ministack.services import sts as _sts

_KINDS = {"boundary": "permissions boundary", "session": "session policy"}
# Why the current request's last question was answered with no, where it was a limit that said so.
_why: contextvars.ContextVar[str] = contextvars.ContextVar("why", default="")


def install() -> None:
    """Put the reason into the service's answer, where nobody has put one."""
    answer = _iam_actions.access_denied_response

    @functools.wraps(answer)
    def answering(service: str, action: str, principal_arn: str, request_id: str, **more: Any) -> Any:
        by_resource = more.get("explicit_deny") and more.get("resource_policy_arn")
        if (why := _why.get()) and not (more.get("error_code") or more.get("message") or by_resource):
            more["message"] = f"User: {principal_arn} is not authorized to perform: {action} {why}"
        return answer(service, action, principal_arn, request_id, **more)

    _iam_actions.access_denied_response = answering


def explain(access_key: str, action: str, role: str | None, seen: Sequence[tuple[str, Any]], *, allowed: bool) -> None:
    """Remember why a question was answered with no, by the statements that matched; a yes has no reason."""
    _why.set("" if allowed else _reason(access_key, action, role, seen))


def _reason(access_key: str, action: str, role: str | None, seen: Sequence[tuple[str, Any]]) -> str:
    limits = _limits(access_key, role)
    by = [(effect, _layer(statement, limits)) for effect, statement in seen]
    denied = next((layer for effect, layer in by if effect == "Deny"), "")
    if denied:
        return f"with an explicit deny in a {_KINDS[denied]}" if denied in _KINDS else ""
    allowed = {layer for effect, layer in by if effect == "Allow"}
    if "identity" not in allowed:
        return ""
    silent = next((layer for layer, names in limits.items() if names and layer not in allowed), "")
    return f"because no {_KINDS[silent]} allows the {action} action" if silent else ""


def _limits(access_key: str, role: str | None) -> dict[str, set[str]]:
    """The names of the policies that limit a session, by their kind, in the order in which they are asked."""
    boundary = (_iam_store._roles.get(role) or {}).get("PermissionsBoundary") if role else None
    passed = (_sts._sessions.get(access_key) or {}).get("SessionPolicies") or {}
    session = {*passed.get("PolicyArns", []), *(["session"] if passed.get("Policy") else [])}
    return {"boundary": {boundary} if boundary else set(), "session": session}


def _layer(statement: Any, limits: dict[str, set[str]]) -> str:
    origin = getattr(statement, "origin", None)
    if origin is None:
        # A statement of the resource's own policy is read anew with each question.
        return "resource"
    return next((layer for layer, names in limits.items() if origin[0] in names), "identity")
