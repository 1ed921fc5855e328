"""The condition key `aws:PrincipalArn` of a role's session: the role's ARN.

MiniStack gives the session's (`arn:aws:sts::...:assumed-role/ROLE/SESSION`). AWS gives the role's (AWS Identity and
Access Management User Guide, "AWS global condition context keys", `aws:PrincipalArn`, read 2026-11-25), so that a
policy can name a role without knowing its sessions.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import ministack.core.iam_evaluator as _iam
import ministack.services.iam as _iam_store

_SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")


def install() -> None:
    """Let conditions on the principal's ARN mean the role."""
    resolve = _iam._resolve_condition_key

    @functools.wraps(resolve)
    def resolving(key: str, context: Any) -> Any:
        value = resolve(key, context)
        return role_of(value) if key.lower() == "aws:principalarn" and isinstance(value, str) else value

    _iam._resolve_condition_key = resolving


def role_of(arn: str) -> str:
    """The ARN of the role that a session belongs to, with the role's path; any other ARN as it is."""
    session = _SESSION.fullmatch(arn)
    if session is None:
        return arn
    role = _iam_store._roles.get(session["role"])
    return str(role["Arn"]) if role else f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}"
