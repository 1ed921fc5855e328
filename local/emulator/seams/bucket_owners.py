"""The condition key `aws:ResourceAccount` of a bucket: the account that has it.

A bucket's ARN names no account, so MiniStack takes the caller's. AWS gives the owner's ("AWS global condition context
keys", `aws:ResourceAccount`, IAM User Guide), and the names of buckets are one space for all accounts. A bucket that
nobody has yet counts as the caller's: it is about to be made. What another account's bucket holds is not served here,
whoever allows it: after the policies, such a request finds no bucket.
"""

from __future__ import annotations

import functools
from typing import Any

import ministack.core.iam_evaluator as _iam
import ministack.services.s3 as _s3

KEYS = ("aws:resourceaccount", "s3:resourceaccount")
BUCKET = ("arn:aws:s3:::", "arn:aws-cn:s3:::", "arn:aws-us-gov:s3:::")


def install() -> None:
    """Let conditions on the resource's account mean the bucket's owner."""
    resolve = _iam._resolve_condition_key

    @functools.wraps(resolve)
    def resolving(key: str, context: Any) -> Any:
        value = resolve(key, context)
        arn = str(context.resource_arn)
        if key.lower() not in KEYS or not arn.startswith(BUCKET):
            return value
        return owner(arn.split(":", 5)[5].partition("/")[0]) or value

    _iam._resolve_condition_key = resolving


def owner(bucket: str) -> str | None:
    """The account that has a bucket of this name; None where nobody has one. Who asks comes first."""
    if bucket in _s3._buckets:
        return str(_s3.get_account_id())
    return next((str(account) for account, name in list(_s3._buckets._data) if name == bucket), None)
