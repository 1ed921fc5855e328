"""What becomes of a call: allowed, refused, failed, or nowhere to go. The function alone, without a cloud."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from lambdas.private_network.probe.calls import Call, attempt, planned

LETTER = "Ada Lovelace wrote from London."
CALL = Call("comprehend", "detect_entities", {"Text": LETTER})
PLACES = {"bucket": "letters", "table": "rows"}


class Client:
    """Answers every call alike."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: dict[str, Any] = {}

    def detect_entities(self, **parameters: Any) -> dict[str, Any]:
        self.asked = parameters
        if self.error:
            raise self.error
        return {}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "because of a policy"}}, "DetectEntities")


def test_an_answer_is_allowed() -> None:
    # Given a service that answers, When it is called
    client = Client()
    answer = attempt(client, CALL)
    # Then the call was allowed, with its own parameters
    assert answer == {"outcome": "allowed", "code": "", "message": ""}
    assert client.asked == {"Text": LETTER}


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_a_refusal_says_why(code: str) -> None:
    assert attempt(Client(refused(code)), CALL) == {
        "outcome": "refused",
        "code": code,
        "message": "because of a policy",
    }


@pytest.mark.parametrize(
    "error",
    [
        refused("NoSuchBucket"),
        refused("ThrottlingException"),
        ReadTimeoutError(endpoint_url="https://service"),
        SSLError(endpoint_url="https://service", error=ValueError("certificate")),
    ],
)
def test_any_other_error_proves_nothing(error: Exception) -> None:
    # Given an error that no policy and no missing way explains, Then it counts as neither
    assert attempt(Client(error), CALL)["outcome"] == "failed"


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://service"),
        ConnectionClosedError(endpoint_url="https://service"),
        EndpointConnectionError(endpoint_url="https://service"),
    ],
)
def test_without_a_connection_there_is_no_way(error: Exception) -> None:
    assert attempt(Client(error), CALL)["outcome"] == "unreachable"


def test_what_is_no_answer_of_aws_is_raised() -> None:
    # Given a mistake of the code's own, Then it is not taken for an outcome
    with pytest.raises(TypeError):
        attempt(Client(TypeError("wrong parameters")), CALL)


def test_nothing_is_read_elsewhere_unless_somebody_says_where() -> None:
    # Given no foreign bucket, and one
    without, with_one = planned(LETTER, **PLACES), planned(LETTER, **PLACES, foreign_bucket="theirs")
    # Then that call alone is the difference
    assert with_one.keys() - without.keys() == {"read-foreign-object"}
    assert with_one["read-foreign-object"].parameters["Bucket"] == "theirs"


def test_the_handler_makes_the_calls_that_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the handler with clients that answer
    for name, value in {"BUCKET": "letters", "TABLE": "rows", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    from lambdas.private_network.probe import handler as module

    monkeypatch.setattr(module, "clients", {"comprehend": Client()})
    context = SimpleNamespace(
        function_name="probe", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="id"
    )
    # When one call is asked for, Then that one is made
    event = {"letter": LETTER, "calls": ["detect-entities"]}
    answers = module.handler(event, context)
    assert json.loads(json.dumps(answers)) == {"detect-entities": {"outcome": "allowed", "code": "", "message": ""}}
    # And one that nobody planned is an error
    with pytest.raises(KeyError):
        module.handler({"letter": LETTER, "calls": ["delete-everything"]}, context)
