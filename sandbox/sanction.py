"""Is this account a sandbox? What says so, and what does not.

An account's tags are AWS Organizations', which answers the management account and delegated administrators alone (AWS
Organizations API Reference, "ListTagsForResource", read 2026-11-28). So what counts is what the account itself tells,
in this order:

1. The tag `sandbox` of its CDK bootstrap stack, `CDKToolkit`: `true` says yes, anything else no, whatever is typed.
2. An account alias with the word `sandbox` in it (`acme-sandbox-7`).
3. Its number, typed as `--confirm-sandbox`. If the account has no bootstrap stack yet, it gets one with the tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.account import Account, AccountError, RefusedError, plain_errors

TOOLKIT = "CDKToolkit"
TAG = "sandbox"
_WORD = re.compile(r"(^|-)sandbox(-|$)")


class NotASandboxError(AccountError):
    """Nothing says that the account is a sandbox, or something says that it is none. `str()` is one line."""


def reason(account: Account, toolkit: Mapping[str, Any] | None, confirmed: str | None) -> str:
    """Why the account is taken for a sandbox, in words. `toolkit` is its bootstrap stack, if it has one.

    Raises NotASandboxError where there is no reason, and AccountError where another account was confirmed.
    """
    if confirmed is not None and confirmed != account.number:
        raise AccountError(
            f"--confirm-sandbox says {confirmed}, but these credentials are those of account {account.number}: look at"
            " AWS_PROFILE."
        )
    tags = {tag["Key"]: tag["Value"] for tag in (toolkit or {}).get("Tags", ())}
    if TAG in tags and tags[TAG] != "true":
        raise NotASandboxError(
            f"Account {account.number} says of itself that it is no sandbox: its stack {TOOLKIT} has the tag"
            f" {TAG}={tags[TAG]}."
        )
    if TAG in tags:
        return f"its stack {TOOLKIT} has the tag {TAG}=true"
    aliases = _aliases(account)
    for alias in aliases:
        if _WORD.search(alias):
            return f"its alias is {alias}"
    if confirmed:
        return "you typed its number"
    named = f" ({', '.join(aliases)})" if aliases else ""
    raise NotASandboxError(
        f"Nothing says that account {account.number}{named} is a sandbox. If it is one, type its number:"
        f" --confirm-sandbox {account.number}"
    )


def _aliases(account: Account) -> list[str]:
    """The account's aliases; none where these credentials may not read them."""
    try:
        with plain_errors("Reading the account's alias"):
            return list(account.client("iam").list_account_aliases()["AccountAliases"])
    except RefusedError:
        return []
