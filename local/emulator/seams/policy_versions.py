"""Which version of a managed policy counts: `SetDefaultPolicyVersion`, which MiniStack does not have.

Request and errors: botocore's model of IAM. The wording of messages is MiniStack's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import iam as _iam_store


def install() -> None:
    """Answer the operation."""
    _iam_store._IAM_HANDLERS["SetDefaultPolicyVersion"] = _set_default


def _set_default(parameters: Mapping[str, Any]) -> Any:
    arn, wanted = (str(_iam_store._p(parameters, name) or "") for name in ("PolicyArn", "VersionId"))
    policy = _iam_store._policies.get(arn)
    if policy is None:
        return _iam_store._error(404, "NoSuchEntity", "Policy not found.", ns="iam")
    if wanted not in policy["Versions"]:
        return _iam_store._error(404, "NoSuchEntity", f"Policy version {wanted} not found.", ns="iam")
    for name, version in policy["Versions"].items():
        version["IsDefaultVersion"] = name == wanted
    policy["DefaultVersionId"] = wanted
    return _iam_store._xml(200, "SetDefaultPolicyVersionResponse", "", ns="iam")
