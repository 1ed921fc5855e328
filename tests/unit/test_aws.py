"""The clients: an end to every call, and a quick start."""

from __future__ import annotations

import gc
import types
from typing import Any

import botocore.session
import pytest

from lambdas.image_labeling.label_image.aws import CONNECT_SECONDS, LIMITS, make_clients
from lambdas.shared.deadline import Deadline, OutOfTimeError
from tests.unit.conftest import Context, Function

# The default of the stack's setting `function_timeout_seconds`.
FUNCTION_SECONDS = 60


def _worst(service: str) -> float:
    read_seconds, attempts = LIMITS[service]
    # Standard mode: up to 1 s, 2 s, 4 s ... between attempts.
    return attempts * (CONNECT_SECONDS + read_seconds) + sum(1 << wait for wait in range(attempts - 1))


def test_every_client_has_the_limits_that_are_written_down(module: types.ModuleType) -> None:
    for service, (read_seconds, attempts) in LIMITS.items():
        config = module.clients[service].meta.config
        assert (config.connect_timeout, config.read_timeout) == (CONNECT_SECONDS, read_seconds)
        assert config.retries == {"mode": "standard", "total_max_attempts": attempts}


def test_the_worst_of_one_image_fits_in_the_functions_time() -> None:
    # Given a redelivered image at which every call fails at its last attempt but just succeeds
    calls = ["dynamodb", "dynamodb", "s3", "rekognition", "dynamodb", "dynamodb"]
    # Then even that ends within the function's time
    assert sum(map(_worst, calls)) == 58
    assert sum(map(_worst, calls)) < FUNCTION_SECONDS


def test_a_guarded_client_sends_nothing_when_time_is_short(function: Function) -> None:
    # Given a reading client, and a little less time than it needs
    context = Context(milliseconds=2_999)
    function.module.deadline.follow(context)
    # When it is asked, then it raises instead of sending
    with pytest.raises(OutOfTimeError):
        function.s3.list_buckets()
    # When there is enough, then it sends
    context.milliseconds = 3_000
    assert function.s3.list_buckets()["Buckets"]


def test_the_writing_client_is_never_held_back(function: Function) -> None:
    # Given no time at all: a reason is worth the attempt
    function.module.deadline.follow(Context(milliseconds=0))
    assert function.dynamodb.list_tables()["TableNames"]


def test_the_clients_know_what_those_of_boto_know(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given clients made from models that are read in our own way
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    ours = make_clients(Deadline())
    for service, client in ours.items():
        # When the usual client is made beside
        usual = botocore.session.Session().create_client(service)
        # Then operations, their shapes and endpoint are the same
        assert client.meta.endpoint_url == usual.meta.endpoint_url
        assert client.meta.method_to_api_mapping == usual.meta.method_to_api_mapping
        for operation in ("DetectLabels", "GetObject", "TransactWriteItems", "PutItem"):
            if operation in usual.meta.service_model.operation_names:
                mine, theirs = (_members(each, operation) for each in (client, usual))
                assert mine
                assert mine == theirs


def _members(client: Any, operation: str) -> list[str]:
    return list(client.meta.service_model.operation_model(operation).input_shape.members)


def test_the_collector_is_on_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert gc.isenabled()
    make_clients(Deadline())
    assert gc.isenabled()
