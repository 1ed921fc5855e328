"""Whose bucket a condition means: the resolver alone, without a cloud."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from local.emulator.seams import bucket_owners

# Only the seams may know MiniStack by name.
evaluator: Any = import_module("ministack.core.iam_evaluator")
s3: Any = import_module("ministack.services.s3")
responses: Any = import_module("ministack.core.responses")
MINE, THEIRS = "111122223333", "210987654321"


@pytest.fixture
def account_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """What `aws:ResourceAccount` is for an ARN, to a caller of `MINE`; each account has a bucket."""
    buckets = responses.AccountScopedDict()
    buckets.set_scoped(MINE, None, "mine", {})
    buckets.set_scoped(THEIRS, None, "theirs", {})
    monkeypatch.setattr(s3, "_buckets", buckets)
    monkeypatch.setattr(evaluator, "_resolve_condition_key", evaluator._resolve_condition_key)
    bucket_owners.install()

    def resolve(key: str, arn: str) -> Any:
        context = SimpleNamespace(resource_arn=arn, principal_account=MINE, principal_keys={}, service_context={})
        with responses.request_scope(MINE, "us-east-1"):
            return evaluator._resolve_condition_key(key, context)

    return resolve


@pytest.mark.parametrize(
    ("arn", "owner"),
    [
        ("arn:aws:s3:::mine/one", MINE),
        ("arn:aws:s3:::mine", MINE),
        ("arn:aws:s3:::theirs/one", THEIRS),
        ("arn:aws:s3:::theirs", THEIRS),
        # Nobody has it yet.
        ("arn:aws:s3:::new", MINE),
        # An ARN that names an account, and one of another service.
        (f"arn:aws:s3:us-east-1:{THEIRS}:accesspoint/a", THEIRS),
        (f"arn:aws:sqs:us-east-1:{MINE}:theirs", MINE),
    ],
)
def test_a_bucket_is_its_owners(account_of: Callable[[str, str], Any], arn: str, owner: str) -> None:
    assert account_of("aws:ResourceAccount", arn) == owner
    assert account_of("s3:ResourceAccount", arn) == owner


def test_every_other_key_is_as_it_was(account_of: Callable[[str, str], Any]) -> None:
    assert account_of("aws:PrincipalAccount", "arn:aws:s3:::theirs") == MINE
