"""Which principal a condition sees where a role's session calls: the resolver alone, without a cloud."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from local.emulator.seams import principals
from local.emulator.seams.principals import role_of

# Only the seams may know MiniStack by name.
evaluator: Any = import_module("ministack.core.iam_evaluator")
iam_store: Any = import_module("ministack.services.iam")
SESSION = "arn:aws:sts::111122223333:assumed-role/worker/job"


@pytest.fixture(autouse=True)
def roles(monkeypatch: pytest.MonkeyPatch) -> None:
    """One role is known, and it has a path."""
    known = {"clerk": {"Arn": "arn:aws:iam::111122223333:role/office/clerk"}}
    monkeypatch.setattr(iam_store, "_roles", known)


def test_a_session_is_its_role() -> None:
    assert role_of(SESSION) == "arn:aws:iam::111122223333:role/worker"


def test_a_role_that_is_known_has_its_path() -> None:
    # The session's ARN leaves the path out.
    session = "arn:aws:sts::111122223333:assumed-role/clerk/job"
    assert role_of(session) == "arn:aws:iam::111122223333:role/office/clerk"


def test_the_partition_stays() -> None:
    session = "arn:aws-cn:sts::111122223333:assumed-role/worker/job"
    assert role_of(session) == "arn:aws-cn:iam::111122223333:role/worker"


@pytest.mark.parametrize("arn", [
    "arn:aws:iam::111122223333:role/worker",
    "arn:aws:iam::111122223333:user/anna",
    "arn:aws:iam::111122223333:root",
    "arn:aws:sts::111122223333:federated-user/anna",
    # Neither is a whole session's.
    "arn:aws:sts::111122223333:assumed-role/worker",
    "arn:aws:sts::111122223333:assumed-role/worker/",
    f"x{SESSION}",
    "",
])  # fmt: skip
def test_any_other_principal_is_itself(arn: str) -> None:
    assert role_of(arn) == arn


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], Any]:
    """The resolver with the hook in place; MiniStack's part answers with the context."""
    monkeypatch.setattr(evaluator, "_resolve_condition_key", lambda _key, context: context)
    principals.install()
    installed: Callable[[str, Any], Any] = evaluator._resolve_condition_key
    return installed


@pytest.mark.parametrize("key", ["aws:PrincipalArn", "aws:principalarn", "AWS:PRINCIPALARN"])
def test_the_key_of_the_principal_is_the_role_in_any_case(resolve: Callable[[str, Any], Any], key: str) -> None:
    assert resolve(key, SESSION) == "arn:aws:iam::111122223333:role/worker"


@pytest.mark.parametrize("key", ["aws:SourceArn", "aws:userid", "aws:PrincipalArns"])
def test_other_keys_stay_as_they_are(resolve: Callable[[str, Any], Any], key: str) -> None:
    assert resolve(key, SESSION) == SESSION


@pytest.mark.parametrize("value", [None, [SESSION]])
def test_a_principal_that_is_no_arn_stays_as_it_is(resolve: Callable[[str, Any], Any], value: Any) -> None:
    assert resolve("aws:PrincipalArn", value) == value
