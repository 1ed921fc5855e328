"""The function from message to row."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from lambdas.image_labeling.label_image import images
from tests.unit.conftest import BUCKET, IDEMPOTENCY, Function, delivered, notified, picture

CAT = "uploads/cat.jpg"


def test_an_upload_becomes_a_row_with_labels(function: Function) -> None:
    # Given an uploaded photograph
    data = picture()
    version = function.upload(CAT, data)
    function.expect_labels("Cat", Image={"Bytes": data}, MinConfidence=70.0, MaxLabels=20)
    # When its event is delivered
    failed = function.deliver(function.message(delivered(CAT, version, sequencer="00AB")))
    # Then the message is done, and the version's row holds what was found and where from
    assert failed == []
    row = function.row(CAT, version)
    assert row is not None
    assert row.pop("labeled_at") > "2026"
    assert row == {
        "image": f"{BUCKET}/{CAT}",
        "version": version,
        "status": "LABELED",
        "sequencer": "00AB",
        "event_time": "2026-11-23T12:00:00Z",
        "labels": [{"name": "Cat", "confidence": pytest.approx(90.5), "parents": ["Thing"], "instances": []}],
        "labels_left_out": 0,
        "width": 640,
        "height": 480,
        "size": len(data),
        "preprocessed": "none",
        "label_model_version": "3.0",
    }
    # and the pointer names it
    pointer = function.row(CAT, "latest")
    assert pointer is not None
    assert (pointer["latest_version"], pointer["status"]) == (version, "LABELED")


def test_an_image_costs_four_calls(function: Function) -> None:
    # Given a counter of the calls that leave the function
    calls: Counter[str] = Counter()
    version = function.upload()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    for client in function.module.clients.values():
        client.meta.events.register("provide-client-params", count)
    # When an upload is labeled
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered(CAT, version))) == []
    for client in function.module.clients.values():
        client.meta.events.unregister("provide-client-params", count)
    # Then there were these
    assert calls == {"PutItem": 1, "GetObject": 1, "DetectLabels": 1, "TransactWriteItems": 1}


@pytest.mark.parametrize("shape", [delivered, notified])
@pytest.mark.parametrize(
    "key", ["uploads/two words.jpg", "uploads/1+1=2.jpg", "uploads/50%41.jpg", "uploads/Zürich/猫 und ß.jpg"]
)
def test_the_object_of_any_key_is_found(function: Function, shape: Any, key: str) -> None:
    version = function.upload(key)
    function.expect_labels("Cat")
    assert function.deliver(function.message(shape(key, version))) == []
    row = function.row(key, version)
    assert row is not None
    assert row["status"] == "LABELED"


def test_the_same_event_twice_is_one_result_and_one_call(function: Function) -> None:
    # Given an upload whose event comes twice in one batch and again later, in the other shape too
    version = function.upload()
    function.expect_labels("Cat")
    events = [function.message(delivered(CAT, version)) for _ in range(2)]
    # When all are delivered: the stub would refuse a second call of DetectLabels
    assert function.deliver(*events) == []
    first = function.rows()
    assert function.deliver(function.message(delivered(CAT, version))) == []
    assert function.deliver(function.message(notified(CAT, version))) == []
    # Then nothing was added or changed
    assert function.labels_left() == 0
    assert function.rows() == first
    assert len(first) == 2


def test_two_versions_of_a_key_are_two_rows(function: Function) -> None:
    # Given two versions of one key
    old, new = function.upload(data=picture()), function.upload(data=picture(320, 240))
    function.expect_labels("Cat")
    function.expect_labels("Dog")
    # When both events are delivered in order
    assert (
        function.deliver(function.message(delivered(CAT, old, "01")), function.message(delivered(CAT, new, "02"))) == []
    )
    # Then each has its row, of its own picture, and the pointer is at the newer one
    rows = {row["version"]: row for row in function.rows()}
    assert set(rows) == {old, new, "latest"}
    assert (rows[old]["width"], rows[new]["width"]) == (640, 320)
    assert (rows[old]["labels"][0]["name"], rows[new]["labels"][0]["name"]) == ("Cat", "Dog")
    assert rows["latest"]["latest_version"] == new


def test_an_old_event_that_comes_late_does_not_replace_the_newer_version(function: Function) -> None:
    # Given two versions, the event of the newer one first (its sequencer is the shorter one, and greater)
    old, new = function.upload(), function.upload(data=picture(320, 240))
    function.expect_labels("Dog")
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered(CAT, new, "0B"))) == []
    # When the older one is delivered
    assert function.deliver(function.message(delivered(CAT, old, "0A99"))) == []
    # Then it has its row, and the pointer is where it was
    rows = {row["version"]: row for row in function.rows()}
    assert set(rows) == {old, new, "latest"}
    assert rows[old]["labels"][0]["name"] == "Cat"
    assert rows["latest"]["latest_version"] == new
    # and it is done: a duplicate makes no call
    assert function.deliver(function.message(delivered(CAT, old, "0A99"))) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"no picture", "UnsupportedFormat"), (b"", "EmptyObject"), (picture(kind="WEBP")[:-40], "CorruptImage")],
)
def test_a_file_that_is_no_picture_is_a_recorded_result(function: Function, data: bytes, code: str) -> None:
    # Given an upload that can never be labeled, and no call of DetectLabels expected
    version = function.upload(CAT, data)
    # When it is delivered, even twice
    assert function.deliver(function.message(delivered(CAT, version))) == []
    assert function.deliver(function.message(delivered(CAT, version))) == []
    # Then it is done, and the row says why there are no labels
    row = function.row(CAT, version)
    assert row is not None
    assert (row["status"], row["reason"]["code"]) == ("REJECTED", code)
    assert row["reason"]["message"]
    assert "labels" not in row
    pointer = function.row(CAT, "latest")
    assert pointer is not None
    assert pointer["status"] == "REJECTED"


@pytest.mark.parametrize("code", ["InvalidImageFormatException", "ImageTooLargeException"])
def test_what_rekognition_says_of_the_picture_is_a_result(function: Function, code: str) -> None:
    version = function.upload()
    function.expect_error(code, "Request has invalid image format")
    assert function.deliver(function.message(delivered(CAT, version))) == []
    row = function.row(CAT, version)
    assert row is not None
    assert (row["status"], row["reason"]["code"]) == ("REJECTED", code)


def test_a_picture_too_large_to_send_is_labeled_where_it_lies(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a picture above the limit for bytes
    monkeypatch.setattr(images, "MAXIMUM_BYTES_INLINE", 100)
    version = function.upload()
    named = {"S3Object": {"Bucket": BUCKET, "Name": CAT, "Version": version}}
    function.expect_labels("Cat", Image=named, MinConfidence=70.0, MaxLabels=20)
    # When it is delivered, then exactly this version is named to Rekognition
    assert function.deliver(function.message(delivered(CAT, version))) == []
    assert function.labels_left() == 0


def test_a_converted_picture_says_so(function: Function) -> None:
    version = function.upload("uploads/cat.webp", picture(kind="WEBP"))
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered("uploads/cat.webp", version))) == []
    row = function.row("uploads/cat.webp", version)
    assert row is not None
    assert (row["preprocessed"], row["size"]) == ("WEBP to JPEG", len(picture(kind="WEBP")))


def test_a_file_of_too_many_bytes_is_not_even_read(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAXIMUM_BYTES", 10)
    version = function.upload()
    assert function.deliver(function.message(delivered(CAT, version))) == []
    row = function.row(CAT, version)
    assert row is not None
    assert row["reason"]["code"] == "TooManyBytes"


def test_a_version_that_was_deleted_is_a_result(function: Function) -> None:
    # Given one version deleted, and one that a delete marker hides
    gone, hidden = function.upload(), function.upload("uploads/hidden.jpg")
    function.s3.delete_object(Bucket=BUCKET, Key=CAT, VersionId=gone)
    function.s3.delete_object(Bucket=BUCKET, Key="uploads/hidden.jpg")
    function.expect_labels("Cat")
    # When both are delivered
    assert (
        function.deliver(
            function.message(delivered(CAT, gone)), function.message(delivered("uploads/hidden.jpg", hidden))
        )
        == []
    )
    # Then the first is recorded as gone, and the second, which still exists, is labeled
    row, other = function.row(CAT, gone), function.row("uploads/hidden.jpg", hidden)
    assert row is not None
    assert other is not None
    assert (row["status"], row["reason"]["code"]) == ("REJECTED", "ObjectGone")
    assert other["status"] == "LABELED"


def test_an_object_outside_the_prefix_is_not_read(function: Function) -> None:
    version = function.upload("private/cat.jpg")
    assert function.deliver(function.message(delivered("private/cat.jpg", version))) == []
    row = function.row("private/cat.jpg", version)
    assert row is not None
    assert row["reason"]["code"] == "OutsidePrefix"


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError", "AccessDeniedException"],
)
def test_a_failing_service_sends_the_message_back_with_its_reason(function: Function, code: str) -> None:
    # Given Rekognition failing beyond its client's attempts
    version = function.upload()
    function.expect_error(code, "Slow down", status=500 if code == "InternalServerError" else 400)
    # When the message is delivered for the second time
    message = function.message(delivered(CAT, version), receive_count=2)
    # Then it goes back
    assert function.deliver(message) == [message["messageId"]]
    # and the row says why, how often, which request, which message
    row = function.row(CAT, version)
    assert row is not None
    assert row.pop("failed_at") > "2026"
    assert row == {
        "image": f"{BUCKET}/{CAT}",
        "version": version,
        "sequencer": "0A",
        "event_time": "2026-11-23T12:00:00Z",
        "status": "FAILED",
        "reason": {"code": code, "message": "Slow down"},
        "request_id": "request-7",
        "receive_count": 2,
        "message_id": message["messageId"],
        "invocation_id": "invocation-1",
    }
    # and neither lock nor pointer is left
    assert function.locks() == []
    assert function.row(CAT, "latest") is None


def test_a_message_redriven_once_the_service_is_back_succeeds(function: Function) -> None:
    # Given a message that failed until it was a dead letter
    version = function.upload()
    for count in (1, 2, 3):
        function.expect_error("ThrottlingException")
        assert len(function.deliver(function.message(delivered(CAT, version), receive_count=count))) == 1
    # When it is redriven, which makes it a new message
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered(CAT, version))) == []
    # Then the labels have replaced the reason
    row = function.row(CAT, version)
    assert row is not None
    assert row["status"] == "LABELED"
    assert not {"reason", "failed_at", "receive_count", "message_id", "request_id"} & set(row)


def test_only_the_failed_messages_of_a_batch_go_back(function: Function) -> None:
    # Given three uploads, of which the second meets an error
    keys = [f"uploads/{number}.jpg" for number in range(3)]
    versions = [function.upload(key) for key in keys]
    function.expect_labels("Cat")
    function.expect_error("InternalServerError", status=500)
    function.expect_labels("Dog")
    messages = [function.message(delivered(key, version)) for key, version in zip(keys, versions, strict=True)]
    # When they come in one batch with a message that cannot be read
    unreadable = function.message("{")
    # Then those two go back, and the others are labeled
    assert function.deliver(*messages, unreadable) == [messages[1]["messageId"], unreadable["messageId"]]
    found = [function.row(key, version) for key, version in zip(keys, versions, strict=True)]
    assert [row and row["status"] for row in found] == ["LABELED", "FAILED", "LABELED"]


def test_a_batch_that_fails_as_a_whole_is_answered_not_raised(function: Function) -> None:
    versions = [function.upload(f"uploads/{number}.jpg") for number in range(2)]
    messages = [function.message(delivered(f"uploads/{n}.jpg", version)) for n, version in enumerate(versions)]
    for _ in messages:
        function.expect_error("ThrottlingException")
    assert function.deliver(*messages) == [message["messageId"] for message in messages]


def test_a_notification_of_two_objects_goes_back_if_one_fails(function: Function) -> None:
    # Given one message that announces two uploads, of which the first meets an error
    versions = [function.upload(f"uploads/{number}.jpg") for number in range(2)]
    records = [notified(f"uploads/{number}.jpg", version)["Records"][0] for number, version in enumerate(versions)]
    function.expect_error("InternalServerError", status=500)
    function.expect_labels("Cat")
    message = function.message({"Records": records})
    # When it is delivered, then it goes back, but the second is labeled
    assert function.deliver(message) == [message["messageId"]]
    # When it comes again, then only the first is labeled anew
    function.expect_labels("Dog")
    assert function.deliver(message) == []
    assert function.labels_left() == 0


def test_an_unreadable_message_goes_back_with_its_reason(function: Function) -> None:
    message = function.message("no event", receive_count=3, message_id="poison")
    assert function.deliver(message) == ["poison"]
    row = function.item("message/poison", "unreadable")
    assert row is not None
    assert (row["status"], row["receive_count"]) == ("FAILED", 3)
    assert row["reason"] == {"code": "UnreadableMessage", "message": "The message is no JSON."}


def test_the_test_message_of_s3_is_done_and_leaves_nothing(function: Function) -> None:
    assert function.deliver(function.message({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})) == []
    assert function.rows() == []


class Killed(BaseException):
    """The end of a worker as the function would see it, if it could: nothing below catches it."""


@contextlib.contextmanager
def _killed_in(function: Function, client: str, operation: str, after: bool = False) -> Iterator[None]:
    """The worker is killed in a call, before it has taken effect or after."""
    real = getattr(function.module.clients[client], operation)

    def stopped(**parameters: Any) -> Any:
        if after:
            real(**parameters)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function.module.clients[client], operation, stopped)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize(
    ("client", "operation", "after"),
    [
        ("s3", "get_object", False),
        ("rekognition", "detect_labels", True),
        ("dynamodb", "transact_write_items", False),
    ],
)
def test_the_upload_of_a_killed_worker_is_labeled_when_its_lock_has_expired(
    function: Function, client: str, operation: str, after: bool
) -> None:
    # Given a worker that is killed before the result is written
    version = function.upload()
    function.expect_labels("Cat")
    with _killed_in(function, client, operation, after):
        function.deliver(function.message(delivered(CAT, version)))
    left = function.labels_left()
    # Then its lock is in progress, and there is no row
    assert [lock["status"] for lock in function.locks()] == ["INPROGRESS"]
    assert function.rows() == []
    # When the message comes before the worker's time was up
    message = function.message(delivered(CAT, version), receive_count=2)
    # Then it goes back, and no reason is made up
    assert function.deliver(message) == [message["messageId"]]
    assert function.rows() == []
    # When it comes after that
    _expire_locks(function)
    if not left:
        function.expect_labels("Cat")
    assert function.deliver(message) == []
    # Then it is labeled, and nothing tells of the accident
    row = function.row(CAT, version)
    assert row is not None
    assert row["status"] == "LABELED"
    assert "reason" not in row


def _expire_locks(function: Function) -> None:
    for lock in function.locks():
        function.dynamodb.update_item(
            TableName=IDEMPOTENCY,
            Key={"id": {"S": lock["id"]}},
            UpdateExpression="SET in_progress_expiration = :past",
            ExpressionAttributeValues={":past": {"N": str(int(time.time() * 1000) - 1)}},
        )


def test_the_lock_of_a_worker_expires_with_its_time(function: Function) -> None:
    # Given a worker that has 20 seconds left when it is killed
    version = function.upload()
    began = time.time()
    with _killed_in(function, "s3", "get_object"):
        function.deliver(function.message(delivered(CAT, version)), milliseconds=20_000)
    # Then its lock ends when its time would have
    (lock,) = function.locks()
    assert int(lock["in_progress_expiration"]) / 1000 == pytest.approx(began + 20, abs=2)


def test_a_finished_upload_is_remembered_as_long_as_its_message_may_live(function: Function) -> None:
    # Given an upload that was labelled
    version = function.upload()
    function.expect_labels("Cat")
    began = time.time()
    assert function.deliver(function.message(delivered(CAT, version))) == []
    # Then its record lasts for the queue's and the dead-letter queue's longest retention together: 28 days
    (record,) = function.locks()
    assert record["status"] == "COMPLETED"
    assert int(record["expiration"]) == pytest.approx(began + 28 * 86_400, abs=5)


def test_a_worker_killed_after_the_write_leaves_nothing_to_do(function: Function) -> None:
    # Given a worker that is killed between the write and the deletion of the message
    version = function.upload()
    function.expect_labels("Cat")
    with _killed_in(function, "dynamodb", "transact_write_items", after=True):
        function.deliver(function.message(delivered(CAT, version)))
    before = function.rows()
    # When the message comes again
    assert function.deliver(function.message(delivered(CAT, version), receive_count=2)) == []
    # Then there was no second call, and no row changed
    assert function.rows() == before
    assert {row["status"] for row in before} == {"LABELED"}


def test_a_dead_letter_whose_workers_were_all_killed_has_a_reason(function: Function) -> None:
    # Given a message at which every worker is killed
    version = function.upload()
    for count in (1, 2, 3):
        with _killed_in(function, "s3", "get_object"):
            function.deliver(function.message(delivered(CAT, version), receive_count=count, message_id="m"))
        _expire_locks(function)
    # Then the row says so, of the last delivery
    row = function.row(CAT, version)
    assert row is not None
    assert (row["status"], row["reason"]["code"], row["receive_count"]) == ("FAILED", "WorkerStopped", 3)
    # When it is redriven and all is well
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered(CAT, version))) == []
    # Then it has its labels
    row = function.row(CAT, version)
    assert row is not None
    assert row["status"] == "LABELED"


def test_a_reason_never_replaces_a_result(function: Function) -> None:
    # Given a labeled upload whose idempotency record is lost
    version = function.upload()
    function.expect_labels("Cat")
    assert function.deliver(function.message(delivered(CAT, version))) == []
    (lock,) = function.locks()
    function.dynamodb.delete_item(TableName=IDEMPOTENCY, Key={"id": {"S": lock["id"]}})
    # When another delivery fails
    function.expect_error("ThrottlingException")
    assert len(function.deliver(function.message(delivered(CAT, version), receive_count=2))) == 1
    # Then the labels are still there
    row = function.row(CAT, version)
    assert row is not None
    assert row["status"] == "LABELED"


def test_a_failing_idempotency_store_fails_the_message_with_its_reason(function: Function) -> None:
    # Given no idempotency table
    version = function.upload()
    function.dynamodb.delete_table(TableName=IDEMPOTENCY)
    # When an upload is delivered
    assert len(function.deliver(function.message(delivered(CAT, version)))) == 1
    # Then the reason is DynamoDB's own, not a wrapper's
    row = function.row(CAT, version)
    assert row is not None
    assert row["reason"]["code"] == "ResourceNotFoundException"
    assert row["request_id"]


def test_a_failing_results_table_fails_the_message_and_releases_it(function: Function) -> None:
    # Given no results table
    version = function.upload()
    function.dynamodb.delete_table(TableName="results")
    function.expect_labels("Cat")
    # When an upload is delivered, then it goes back, and no lock holds the next delivery up
    assert len(function.deliver(function.message(delivered(CAT, version)))) == 1
    assert function.locks() == []


def test_no_attempt_begins_that_could_not_end(function: Function) -> None:
    # Given an invocation with a second left
    version = function.upload()
    message = function.message(delivered(CAT, version))
    # When an upload is delivered
    assert function.deliver(message, milliseconds=1_000) == [message["messageId"]]
    # Then it goes back without a call that might be cut off, with a reason, and unlocked
    row = function.row(CAT, version)
    assert row is not None
    assert row["reason"]["code"] == "OutOfTime"
    assert function.locks() == []


@pytest.mark.filterwarnings("ignore:Disabling idempotency")
def test_a_result_is_written_without_idempotency_too(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given idempotency switched off, as Powertools lets one do while developing
    monkeypatch.setenv("POWERTOOLS_IDEMPOTENCY_DISABLED", "true")
    function.module.store._lock = ""
    version = function.upload()
    function.expect_labels("Cat")
    # When an upload is delivered, then its row is there, and no lock
    assert function.deliver(function.message(delivered(CAT, version))) == []
    row = function.row(CAT, version)
    assert row is not None
    assert row["status"] == "LABELED"
    assert function.locks() == []


def test_the_log_tells_nothing_of_names_or_pictures(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    monkeypatch.setattr(function.module.logger.registered_handler, "stream", written)
    # Given uploads with telling names: one labeled, one refused, one that meets an error which quotes the key
    secrets = ["uploads/anna-smith.jpg", "uploads/bob-jones.jpg", "uploads/carla-diaz.jpg"]
    versions = [function.upload(secrets[0]), function.upload(secrets[1], b"no picture"), function.upload(secrets[2])]
    function.expect_labels("Tabby")
    function.expect_error("AccessDeniedException", f"not allowed on arn:aws:s3:::{BUCKET}/{secrets[2]}")
    messages = [function.message(delivered(key, version)) for key, version in zip(secrets, versions, strict=True)]
    # When they are delivered with an unreadable message
    failed = function.deliver(*messages, function.message('{"source": "dora-king"}'))
    assert len(failed) == 2
    # Then the log has a line of each, by version, code and request
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line.get("version_id") for line in lines] == [*versions, None]
    assert (lines[2]["code"], lines[2]["request_id"]) == ("AccessDeniedException", "request-7")
    # and no name, label or bucket
    for secret in ("anna", "bob", "carla", "dora", "Tabby", "Thing", BUCKET):
        assert secret not in written.getvalue()


def test_a_crowded_answer_still_fits_an_item(function: Function) -> None:
    # Given an answer far above what an item holds
    version = function.upload()
    found = [{"Name": f"{n} " + "ß" * 2_000, "Confidence": 99.0} for n in range(100)]
    function.rekognition.add_response("detect_labels", {"Labels": found})
    # When it is stored
    assert function.deliver(function.message(delivered(CAT, version))) == []
    # Then the row holds what fits and counts the rest
    row = function.row(CAT, version)
    assert row is not None
    assert row["labels_left_out"] > 0
    assert len(row["labels"]) + row["labels_left_out"] == 100
