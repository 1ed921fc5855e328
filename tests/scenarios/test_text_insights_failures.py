"""Insights from texts: nothing is lost, nothing is tried for ever, and every failure has its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.scenarios.text_driver import ARCHITECTURE, BATCH, GOOD, SMALL, TextDriver


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[TextDriver]:
    """A driver of the shared stack, whose queues are empty at the start and at the end of a test."""
    driver = TextDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


# --- input that is not what it should be


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("", "", "EmptyText"),
        (" \n\t ", "en", "EmptyText"),
        ("x" * 5_001, "", "TextTooLarge"),
        ("Das Zimmer war sauber und das Frühstück gut.", "", "UnsupportedLanguage"),
        ("The room was clean.", "tlh", "UnsupportedLanguage"),
    ],
)
def test_a_text_that_cannot_be_analysed_is_rejected_once_with_a_reason(
    driver: TextDriver, text: str, language: str, code: str
) -> None:
    # Given such a text
    text_id = driver.text_id()
    # When it is sent
    driver.send_text(text_id, text, language)
    # Then that is a result, with a reason
    row = driver.wait_for_text(text_id, "REJECTED")
    assert row["reason"]["code"] == code
    assert row["reason"]["message"]
    assert "sentiment" not in row
    # and its message is done with: nothing waits, nothing comes back, nobody is alarmed
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_a_text_too_large_for_a_message_of_old_is_still_a_result(driver: TextDriver) -> None:
    # Given a text of 600 kB, far above what Comprehend takes
    text_id = driver.text_id()
    # When it is sent, Then it is refused by its size, and the function lives on
    driver.send_text(text_id, "word " * 120_000)
    row = driver.wait_for_text(text_id, "REJECTED")
    assert (row["reason"]["code"], row["size"]) == ("TextTooLarge", 600_000)


# --- a service that does not answer as it should


@pytest.mark.parametrize("operation", ["BatchDetectSentiment", "DetectPiiEntities"])
def test_a_throttled_service_is_retried_until_it_answers(driver: TextDriver, operation: str) -> None:
    # Given Comprehend throttling the next two attempts
    before = driver.calls(f"comprehend.{operation}")
    driver.control.faults_add(service="comprehend", operation=operation, kind="throttle", times=2)
    # When a text is sent
    text_id = driver.text_id()
    driver.send_text(text_id)
    # Then it is analysed in the end, after three attempts
    driver.wait_for_text(text_id, hurry=True)
    assert driver.calls(f"comprehend.{operation}") == before + 3
    driver.wait_until_empty(hurry=True)
    assert driver.dead_letters() == []


def test_throttling_that_lasts_leaves_its_reason(driver: TextDriver) -> None:
    # Given Comprehend throttling every attempt
    driver.control.faults_add(service="comprehend", operation="BatchDetectEntities", kind="throttle")
    text_id = driver.text_id()
    driver.send_text(text_id)
    # When all its attempts are used up
    driver.wait_for_dead_letter(text_id)
    # Then the table has the reason
    assert driver.the_row(text_id)["reason"]["code"] == "ThrottlingException"


@pytest.mark.parametrize("operation", ["BatchDetectDominantLanguage", "BatchDetectKeyPhrases"])
def test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven(
    driver: TextDriver, operation: str
) -> None:
    # Given Comprehend down
    driver.control.faults_add(service="comprehend", operation=operation, kind="internal")
    # When a text is sent and all its attempts are used up
    text_id = driver.text_id()
    driver.send_text(text_id)
    letter = driver.wait_for_dead_letter(text_id)
    # Then the message is in the DLQ, and its reason in the table: what, when asked how often, under which request
    row = driver.the_row(text_id)
    assert row["status"] == "FAILED"
    assert row["reason"]["code"] == "InternalServerException"
    assert row["request_id"]
    assert int(row["receive_count"]) == driver.maximum_receives()
    assert row["message_id"] == letter["MessageId"]
    # When the service is back and the message is redriven
    driver.control.faults_clear()
    driver.redrive()
    # Then the text is analysed, the failure is gone from its row, and so is the message from the DLQ
    row = driver.wait_for_text(text_id)
    assert not {"reason", "request_id", "receive_count", "message_id", "failed_at"} & set(row)
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_an_outage_of_the_table_loses_nothing(driver: TextDriver) -> None:
    # Given the table down
    driver.control.faults_add(service="dynamodb", operation="PutItem", kind="internal")
    # When a text is sent and all its attempts are used up
    text_id = driver.text_id()
    driver.send_text(text_id)
    driver.wait_for_dead_letter(text_id)
    # and the table is back and the message is redriven
    driver.control.faults_clear()
    driver.redrive()
    # Then the text is analysed
    driver.wait_for_text(text_id, hurry=True)
    driver.wait_until_empty(hurry=True)
    assert driver.dead_letters() == []


# --- messages


@pytest.mark.parametrize(
    "body",
    ["{not json", "[]", '{"id": "x"}', '{"text": "x"}', '{"id": 7, "text": "x"}', '{"id": "message/1", "text": "x"}'],
)
def test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason(driver: TextDriver, body: str) -> None:
    # Given a message that holds no text
    # When it is sent to the queue
    (message,) = driver.send(body)
    # Then it ends in the DLQ, as it was
    letters = driver.until(driver.dead_letters, "a message in the DLQ", hurry=True)
    assert [(letter["MessageId"], letter["Body"]) for letter in letters] == [(message, body)]
    # and the table has its reason
    row = driver.unreadable(message)
    assert row is not None
    assert (row["status"], row["reason"]["code"]) == ("FAILED", "UnreadableMessage")


def test_a_poison_message_is_mended_and_redriven(driver: TextDriver) -> None:
    # Given a message whose text lost its name on the way, in the DLQ
    text_id = driver.text_id()
    driver.send(json.dumps({"id": text_id, "txt": GOOD}))
    letter = driver.wait_for_dead_letter(text_id)
    # When an operator mends it, sends it again and removes the broken one
    mended = json.loads(letter["Body"])
    mended["text"] = mended.pop("txt")
    driver.send(mended)
    driver.remove_dead_letter(letter)
    # Then the text is analysed and nothing is left over
    driver.wait_for_text(text_id)
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_only_the_bad_message_of_a_batch_comes_back(driver: TextDriver) -> None:
    # Given four texts, an empty one, and a message that can never succeed, waiting together
    ids = [driver.text_id(str(number)) for number in range(4)]
    empty = driver.text_id("empty")
    before = driver.calls()
    with driver.poller_off():
        bodies = [json.dumps({"id": one, "text": GOOD}) for one in ids]
        sent = driver.send(*bodies[:2], "poison", json.dumps({"id": empty, "text": " "}), *bodies[2:])
    # When they are taken in one batch
    for text_id in ids:
        driver.wait_for_text(text_id)
    driver.wait_for_text(empty, "REJECTED")
    letters = driver.until(driver.dead_letters, "the bad message in the DLQ", hurry=True)
    # Then only the bad one came back until it was given up, and the others were one call
    assert [letter["MessageId"] for letter in letters] == [sent[2]]
    assert driver.calls() == before + 1
    assert driver.empty()


# --- a worker that dies


@pytest.mark.parametrize("operation", [name.partition(".")[2] for name in BATCH])
def test_a_worker_killed_on_its_way_is_replaced(driver: TextDriver, operation: str) -> None:
    # Given a worker that is killed when Comprehend has answered
    driver.control.faults_add(service="comprehend", operation=operation, kind="kill-worker", when="after", times=1)
    text_id = driver.text_id()
    driver.send_text(text_id)
    driver.until(lambda: driver.control.faults()[0]["applied"] and driver.resting(), "the worker to be killed")
    # Then it left its claim, and no result
    assert driver.claims() == [text_id]
    assert driver.the_row(text_id)["status"] == "IN_PROGRESS"
    # When the message comes back after the claim has run out, Then another worker analyses it: one row
    driver.wait_for_text(text_id, hurry=True)
    driver.wait_until_empty(hurry=True)
    assert len(driver.rows(text_id)) == 1
    assert driver.dead_letters() == []


def test_a_worker_killed_after_it_wrote_does_nothing_twice(driver: TextDriver) -> None:
    # Given a worker that was killed when its row was written: its message was not deleted
    text_id = driver.text_id()
    with driver.without("sqs:DeleteMessage"):
        driver.send_text(text_id)
        row = driver.wait_for_text(text_id)
        driver.until(driver.resting, "the message to wait for its visibility timeout")
    before = driver.calls()
    # When the message comes back
    driver.wait_until_empty(hurry=True)
    # Then the row is as it was, and the text was not paid for again
    assert driver.the_row(text_id) == row
    assert driver.calls() == before


def test_a_text_that_kills_every_worker_ends_in_the_dlq_with_a_reason(driver: TextDriver) -> None:
    # Given a text on which every worker dies
    driver.control.faults_add(service="comprehend", operation="BatchDetectSentiment", kind="kill-worker")
    text_id = driver.text_id()
    driver.send_text(text_id)
    # When all its attempts are used up
    driver.wait_for_dead_letter(text_id)
    # Then its row says that a worker stopped
    row = driver.the_row(text_id)
    assert (row["status"], row["reason"]["code"]) == ("FAILED", "WorkerStopped")


def test_a_text_is_left_to_the_worker_that_claims_it(driver: TextDriver) -> None:
    # Given a killed worker whose claim on a text has not run out
    before = driver.calls()
    driver.control.faults_add(
        service="comprehend", operation="BatchDetectSentiment", kind="kill-worker", when="after", times=1
    )
    text_id = driver.text_id()
    driver.send_text(text_id)
    driver.until(lambda: driver.calls() > before and driver.resting(), "the worker to be killed after its call")
    # When the same text is delivered by another message
    driver.send_text(text_id)
    # Then it waits: nobody works on the text a second time, and the message is not lost
    driver.until(lambda: driver.depth()[1] == 2 and driver.resting(), "both messages to wait")
    assert driver.calls() == before + 1
    # When the claim has run out, Then the text is analysed once more, and both messages are gone
    driver.wait_for_text(text_id, hurry=True)
    driver.wait_until_empty(hurry=True)
    assert driver.calls() == before + 2
    assert len(driver.rows(text_id)) == 1


# --- what is said about it


def test_no_log_line_holds_what_a_text_says_or_is_called(driver: TextDriver) -> None:
    # Given a text that is analysed, one that is rejected and one that fails, with telling ids and words
    ids = [driver.text_id(f"patient-jane-doe-{what}") for what in ("good", "bad", "failing")]
    driver.send_text(ids[0], "Jane Doe has a migraine and hates the clinic in Springfield.")
    driver.wait_for_text(ids[0])
    driver.send_text(ids[1], "migraine " * 600)
    driver.wait_for_text(ids[1], "REJECTED")
    driver.control.faults_add(service="comprehend", operation="BatchDetectSentiment", kind="internal")
    driver.send_text(ids[2], "Jane Doe has a migraine again.")
    driver.wait_for_text(ids[2], "FAILED")
    # When the log is read
    lines = driver.until(driver.log_lines, "log lines")
    # Then it has something to say, but no id and no word of a text
    assert any("text-insights" in line for line in lines)
    secrets = ("jane", "doe", "migraine", "clinic", "springfield", "NEGATIVE")
    assert [line for line in lines if any(secret in line or secret in line.lower() for secret in secrets)] == []
