"""What a request is taken for before it is served: the guard alone, without a cloud."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest

from local.emulator.seams import vpc
from local.emulator.vpc import Network, Passage

# Only the seams may know MiniStack by name.
app: Any = import_module("ministack.app")
sessions: Any = import_module("ministack.services.sts")._sessions
iam_actions: Any = import_module("ministack.core.iam_actions")
SITS = Network("111122223333", "us-east-1", "vpc-1", ("subnet-1",), ("sg-1",))
SIGNED = b"AWS4-HMAC-SHA256 Credential=ASIAINSIDE/20261127/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the guard says of each request that it lets through."""
    seen: list[Any] = []

    async def serve(_scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(vpc._arrival.get())

    monkeypatch.setattr(app, "app", serve)
    monkeypatch.setattr(vpc, "_bound", {"ASIAINSIDE": SITS})
    vpc._guard_requests()
    return seen


def ask(**scope: Any) -> list[Any]:
    """Send a signed request; what comes back."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    request = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"host", b"localhost"), (b"authorization", SIGNED), (b"x-amz-target", b"AmazonSQS.SendMessage")],
        **scope,
    }
    asyncio.run(app.app(request, receive, send))
    return sent


def test_a_call_without_a_way_is_not_served(arrivals: list[Any]) -> None:
    # Given a caller in a VPC that is not there, When it calls, Then the connection is closed and nothing is served
    (message,) = ask()
    assert (message["type"], "subnet-1" in message["reason"], arrivals) == (vpc.CLOSE, True, [])


def test_a_service_with_its_callers_rights_is_not_where_the_caller_is(arrivals: list[Any]) -> None:
    # Given the same caller, When a service uses its rights, Then the call is served as that service's
    assert ask(**{vpc.FORWARDED: True}) == []
    assert [(one.service, one.passage, one.forwarded) for one in arrivals] == [("sqs", None, True)]
    # Then nothing of it is left for the next request
    assert vpc._arrival.get() is None


@pytest.mark.parametrize(("service", "action", "own"), [
    ("sqs", "sqs:SendMessage", True),
    ("monitoring", "cloudwatch:PutMetricData", True),
    ("sagemaker-runtime", "sagemaker:InvokeEndpoint", True),
    ("sagemaker", "iam:PassRole", True),
    ("s3", "kms:Decrypt", False),
    ("rekognition", "s3:GetObject", False),
    ("sagemaker", "iam:CreateServiceLinkedRole", False),
])  # fmt: skip
def test_what_a_request_asks_for_itself(monkeypatch: pytest.MonkeyPatch, service: str, action: str, own: bool) -> None:
    # Given a request by an endpoint, When an action is decided on, Then the endpoint is there for its own actions only
    monkeypatch.setitem(iam_actions.SERVICE_TO_IAM_NAMESPACE, "sagemaker-runtime", "sagemaker")
    passage = Passage("vpc-1", "10.0.0.4", None)
    token = vpc._arrival.set(vpc._Arrival(service, "ASIAINSIDE", passage, forwarded=False))
    try:
        found = vpc._of_call("ASIAINSIDE", action, service, "us-east-1")
    finally:
        vpc._arrival.reset(token)
    assert found == ((passage, False) if own else (None, True))


def test_sessions_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given as many bound keys as are kept, of which one's session still lives
    keys = {f"ASIA{number}": SITS for number in range(vpc._MOST_BOUND)}
    monkeypatch.setattr(vpc, "_bound", keys)
    monkeypatch.setitem(sessions, "ASIA7", {})
    # When another is bound, Then only those two are known
    vpc.bind("ASIANEW", SITS)
    assert sorted(vpc._bound) == ["ASIA7", "ASIANEW"]
