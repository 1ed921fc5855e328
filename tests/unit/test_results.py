"""Two versions of a key that meet at the pointer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from lambdas.image_labeling.label_image.events import Upload
from lambdas.image_labeling.label_image.results import CONFLICT_ATTEMPTS, ResultStore
from tests.unit.conftest import Function

UPLOAD = Upload("photographs", "uploads/cat.jpg", "v1", "0A", "2026-11-23T12:00:00Z")


@pytest.fixture
def store(function: Function, monkeypatch: pytest.MonkeyPatch) -> ResultStore:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return ResultStore(function.dynamodb, "results", "idempotency")


def _cancelled(stub: Stubber, *codes: str) -> None:
    reasons = [{"Code": code} for code in codes]
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": reasons},
        response_meta={},
    )


def test_a_conflict_is_tried_again(store: ResultStore) -> None:
    # Given another version's transaction at work on the pointer, twice
    with Stubber(store.client) as stub:
        _cancelled(stub, "None", "TransactionConflict")
        _cancelled(stub, "None", "TransactionConflict")
        stub.add_response("transact_write_items", {})
        # When a result is written, then it is, at the third attempt
        assert store.finish(UPLOAD, {"status": "LABELED"}) == {"status": "LABELED"}
        stub.assert_no_pending_responses()


def test_a_conflict_that_does_not_end_is_a_failure(store: ResultStore) -> None:
    with Stubber(store.client) as stub:
        for _ in range(CONFLICT_ATTEMPTS):
            _cancelled(stub, "None", "TransactionConflict")
        with pytest.raises(ClientError):
            store.finish(UPLOAD, {"status": "LABELED"})
        stub.assert_no_pending_responses()


def test_a_pointer_that_is_further_on_is_left_alone(store: ResultStore) -> None:
    # Given a pointer that a newer version has moved
    sent: list[Any] = []
    store.client.meta.events.register_first("provide-client-params", lambda params, **_: sent.append(params))
    with Stubber(store.client) as stub:
        _cancelled(stub, "None", "ConditionalCheckFailed")
        stub.add_response("transact_write_items", {}, {"TransactItems": ANY})
        # When an older result is written
        store.finish(UPLOAD, {"status": "LABELED"})
    # Then it is written without the pointer
    versions = [[write["Put"]["Item"]["version"]["S"] for write in params["TransactItems"]] for params in sent]
    assert versions == [["v1", "latest"], ["v1"]]


def test_any_other_cancellation_is_a_failure(store: ResultStore) -> None:
    with Stubber(store.client) as stub:
        _cancelled(stub, "ValidationError", "None")
        with pytest.raises(ClientError):
            store.finish(UPLOAD, {"status": "LABELED"})
