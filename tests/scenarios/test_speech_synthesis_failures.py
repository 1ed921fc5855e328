"""Turn text into speech: what goes wrong, and that nothing is lost, said twice or tried for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.scenarios.speech import ARCHITECTURE, LONG, SMALL, SpeechDriver


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[SpeechDriver]:
    driver = SpeechDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


def test_ssml_that_is_no_xml_is_rejected_with_its_line(driver: SpeechDriver) -> None:
    # Given SSML whose third line is wrong
    key, before = driver.key("a.ssml"), driver.calls()
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, b"<speak>\n<p>Hello\n</speak>"), "REJECTED")
    # Then the row says where, and Polly was not asked
    assert (row["reason"]["code"], row["reason"]["line"]) == ("InvalidSsml", 3)
    assert driver.calls() == before


def test_ssml_that_polly_refuses_is_rejected_once_with_its_reason(driver: SpeechDriver) -> None:
    key, before = driver.key("a.ssml"), driver.calls()
    row = driver.wait_for(key, driver.upload(key, b"<speak>\n<shout>Hello</shout></speak>"), "REJECTED")
    assert row["reason"]["code"] == "InvalidSsml"
    assert "<shout>" in row["reason"]["message"]
    driver.wait_until_empty()
    assert driver.calls() == before + 1
    assert driver.dead_letters() == []


def test_a_text_that_is_no_utf8_is_rejected_with_the_mend(driver: SpeechDriver) -> None:
    key = driver.key()
    row = driver.wait_for(key, driver.upload(key, b"First line.\nGr\xfc\xdfe."), "REJECTED")
    assert (row["reason"]["code"], row["reason"]["line"]) == ("NotUtf8", 2)
    assert "UTF-8" in row["reason"]["message"]


@pytest.mark.parametrize("body", [b"", b" \n ", b"\xef\xbb\xbf"])
def test_an_empty_text_is_rejected(driver: SpeechDriver, body: bytes) -> None:
    key = driver.key()
    assert driver.wait_for(key, driver.upload(key, body), "REJECTED")["reason"]["code"] == "EmptyText"


def test_a_text_that_even_a_task_does_not_take_is_rejected_with_the_mend(driver: SpeechDriver) -> None:
    # Given a text of more than 100,000 characters
    key, before = driver.key(), driver.calls("polly.StartSpeechSynthesisTask")
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, b"a" * 100_001), "REJECTED")
    # Then the row says what to do, and no task was started
    assert row["reason"]["code"] == "TextTooLong"
    assert "split it" in row["reason"]["message"]
    assert driver.calls("polly.StartSpeechSynthesisTask") == before


def test_a_throttled_service_is_retried_until_it_answers(driver: SpeechDriver) -> None:
    # Given that Polly refuses the next three requests
    driver.control.faults_add(service="polly", operation="SynthesizeSpeech", kind="throttle", times=3)
    # When a text is uploaded
    key = driver.key()
    # Then it is spoken all the same
    driver.wait_for(key, driver.upload(key), hurry=True)
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_a_service_that_is_down_leaves_a_reason_and_a_message_that_can_be_redriven(driver: SpeechDriver) -> None:
    # Given that Polly is down
    driver.control.faults_add(service="polly", operation="SynthesizeSpeech", kind="internal")
    key = driver.key()
    # When a text is uploaded, and every attempt is used up
    version = driver.upload(key)
    driver.wait_for_dead_letter(key)
    # Then its row says why
    row = driver.row(key, version)
    assert row is not None
    assert (row["status"], row["reason"]["code"]) == ("FAILED", "ServiceFailureException")
    assert row["receive_count"] == 2
    # And when Polly is back and the message is redriven, it is spoken, and the reason is gone
    driver.control.faults_clear()
    driver.redrive()
    assert "reason" not in driver.wait_for(key, version, hurry=True)


def test_a_message_that_cannot_be_read_reaches_the_dlq_with_its_reason(driver: SpeechDriver) -> None:
    (message_id,) = driver.send("no event")
    driver.until(driver.dead_letters, "the message in the DLQ", hurry=True)
    row = driver.unreadable(message_id)
    assert row is not None
    assert row["reason"]["code"] == "UnreadableMessage"


def test_a_worker_that_is_killed_leaves_its_text_to_the_next_delivery(driver: SpeechDriver) -> None:
    # Given that the worker is killed while Polly answers
    driver.control.faults_add(service="polly", operation="SynthesizeSpeech", kind="kill-worker", times=1)
    # When a text is uploaded
    key = driver.key()
    version = driver.upload(key)
    # Then its row says that a worker was stopped, until the next one has spoken it
    row = driver.wait_for(key, version, "STARTING")
    assert row["reason"]["code"] == "WorkerStopped"
    driver.wait_for(key, version, hurry=True)


# --- Tasks ---


def test_a_task_that_fails_is_recorded_with_its_reason_and_told(driver: SpeechDriver) -> None:
    # Given that the next task fails
    with driver.failing_task() as told:
        # When a long text is uploaded
        key = driver.key()
        version = driver.upload(key, LONG)
        # Then its row says that the task failed, and why
        row = driver.wait_for(key, version, "TASK_FAILED")
        assert row["reason"]["code"] == "TaskFailed"
        assert "fault" in row["reason"]["message"]
        # and the topic of the alarms is told
        (message,) = driver.until(told, "the topic to be told")
    assert row["task_id"] in message
    driver.wait_until_ends_are_recorded()
    assert driver.dead_letters() == []


def test_a_notification_twice_changes_nothing(driver: SpeechDriver) -> None:
    # Given a long text that was spoken
    key = driver.key()
    row = driver.wait_for(key, version := driver.upload(key, LONG))
    # When its notification comes again
    driver.notify(row["task_id"])
    driver.wait_until_ends_are_recorded()
    # Then the row is as it was
    assert driver.row(key, version) == row


def test_a_notification_that_comes_before_the_task_is_known_is_recorded(driver: SpeechDriver) -> None:
    # Given that the function's next write of a task is lost, so that the task ends before anybody knows its text
    fault = {"service": "dynamodb", "operation": "UpdateItem"}
    key = driver.key()
    version = driver.upload_quietly(key, LONG)
    with driver.poller_off():
        driver.send(driver.event(key, version))
        # Claim and result are written, the link of the task is not: it is the third write.
        driver.control.faults_add(**fault, kind="slow", seconds=0.0, times=2)
        driver.control.faults_add(**fault, kind="kill-worker", times=1)
    task_id = driver.wait_for(key, version, "SPEAKING")["task_id"]
    # When the task has ended and its notification has come
    driver.until(lambda: driver.depth(driver.end_queue) == (0, 0) and _ended(driver, task_id), "the end to be kept")
    driver.control.faults_clear()
    row = driver.row(key, version)
    assert row is not None
    assert row["status"] == "SPEAKING"
    # Then the next delivery, which says whose the task is, records the end
    driver.wait_for(key, version, hurry=True)
    assert driver.calls("polly.StartSpeechSynthesisTask") >= 1


def _ended(driver: SpeechDriver, task_id: str) -> bool:
    answer = driver.dynamodb.get_item(
        TableName=driver.outputs["TasksTableName"], Key={"task_id": {"S": task_id}}, ConsistentRead=True
    )
    item = answer.get("Item", {})
    return "ended" in item and "document" not in item


def test_a_late_notification_is_recorded(driver: SpeechDriver) -> None:
    # Given that nobody takes notifications for a while
    key = driver.key()
    with driver.end_poller_off():
        version = driver.upload(key, LONG)
        driver.wait_for(key, version, "SPEAKING")
        driver.until(lambda: driver.depth(driver.end_queue)[0] == 1, "the notification", seconds=60)
    # When they are taken again, then the end is recorded
    driver.wait_for(key, version)


def test_a_notification_of_a_task_that_no_text_waits_for_changes_nothing(driver: SpeechDriver) -> None:
    # Given a task that somebody else started
    polly = driver.cloud.client("polly")
    task = polly.start_speech_synthesis_task(
        Text="Hello.",
        VoiceId="Joanna",
        OutputFormat="mp3",
        OutputS3BucketName=driver.bucket,
        OutputS3KeyPrefix="elsewhere",
    )["SynthesisTask"]["TaskId"]

    def ended() -> bool:
        found = polly.get_speech_synthesis_task(TaskId=task)["SynthesisTask"]
        return bool(found["TaskStatus"] == "completed")

    driver.until(ended, "the task to end", seconds=60)
    # When its end is notified, then it is taken and changes nothing
    driver.notify(task)
    driver.wait_until_ends_are_recorded()
    assert driver.dead_letters() == []


def test_a_notification_that_names_no_task_becomes_a_dead_letter(driver: SpeechDriver) -> None:
    driver.sqs.send_message(QueueUrl=driver.end_queue, MessageBody=json.dumps({"no": "task"}))
    with driver.as_recorder():
        driver.until(driver.dead_letters, "the message in the DLQ", hurry=True)
