"""Turn text into speech: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import PermissionReport, Status, compare, granted
from scenarios import speech_synthesis
from tests.conftest import SharedStacks
from tests.scenarios.removals import of_one_role
from tests.scenarios.speech import ARCHITECTURE, LONG, SMALL, SpeechDriver

SAMPLES = Path(__file__).parents[2] / "samples" / "speech"


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[SpeechDriver]:
    driver = SpeechDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param({}, id="aws-managed key"),
        pytest.param({"kms_key": "own"}, id="own key", marks=pytest.mark.soak),
    ],
)
def life(request: pytest.FixtureRequest, cloud: LocalCloud) -> PermissionReport:
    """What a copy of the stack was granted and did from its deployment to its end, with each kind of key."""
    name = f"spoken-{request.param.get('kms_key', 'managed')}-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {**SMALL, **request.param}})
    since = max((decision["seq"] for decision in cloud.control.decisions()), default=0)
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        done = speech_synthesis.run(cloud, outputs, sorted(SAMPLES.iterdir()))
        assert done.complete, done
        driver = SpeechDriver(cloud, outputs)
        with driver.failing_task() as told:
            key = driver.key()
            driver.wait_for(key, driver.upload(key, LONG), "TASK_FAILED")
            driver.until(told, "the topic to be told")
        driver.wait_until_empty()
        driver.wait_until_ends_are_recorded()
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
    return compare(grants, cloud.control.decisions(since=since), architecture=ARCHITECTURE)


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: PermissionReport) -> None:
    assert life.problems == ()
    assert life.exercised
    assert life.count(Status.MISSING) == 0
    # And each of its principals was seen at work
    used = {unit.role for unit in life.units if unit.status is Status.USED}
    assert {"events.amazonaws.com", "sns.amazonaws.com", "cloudwatch.amazonaws.com"} <= used
    for role in ("SpeakRole", "RecordEndRole", "EmptiedSpeech"):
        assert any(name.startswith(role) for name in used)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("s3:GetObjectVersion", None),
        pytest.param("s3:PutObject", None, marks=pytest.mark.soak),
        pytest.param("polly:SynthesizeSpeech", None, marks=pytest.mark.soak),
        pytest.param("polly:StartSpeechSynthesisTask", LONG, marks=pytest.mark.soak),
        ("dynamodb:UpdateItem", None),
    ],
)
def test_without_a_permission_of_its_role_a_text_waits_and_is_spoken_once_it_is_back(
    driver: SpeechDriver, action: str, body: bytes | None
) -> None:
    # Given a role that lost one permission
    key = driver.key()
    with driver.without(action):
        # When a text is uploaded and all its attempts are used up
        version = driver.upload(key, body)
        driver.wait_for_dead_letter(key)
        # Then its reason is that access was denied, where the role may still write one
        row = driver.row(key, version)
        if action == "dynamodb:UpdateItem":
            assert row is None
        else:
            assert row is not None
            assert row["reason"]["code"] in ("AccessDenied", "AccessDeniedException")
            assert action in row["reason"]["message"]
    # When the permission is back and the message is redriven, then it is spoken
    driver.redrive()
    driver.wait_for(key, version, hurry=True)


@pytest.mark.parametrize("action", of_one_role(["polly:GetSpeechSynthesisTask", "dynamodb:UpdateItem"]))
def test_without_its_permission_the_end_of_a_task_waits(driver: SpeechDriver, action: str) -> None:
    # Given that the function which records ends lost one permission
    key = driver.key()
    with driver.as_recorder():
        with driver.without(action):
            # When a long text is uploaded and its notification has used up all its attempts
            version = driver.upload(key, LONG)
            driver.until(driver.dead_letters, "the notification in the DLQ", hurry=True, seconds=60)
            assert _status(driver, key, version) == "SPEAKING"
        # When the permission is back and the message is redriven, then the end is recorded
        driver.redrive()
        driver.wait_for(key, version, hurry=True)


def test_without_the_right_to_tell_it_a_failed_task_waits(driver: SpeechDriver) -> None:
    # Given that the function which records ends may tell nobody
    key = driver.key()
    with driver.as_recorder(), driver.failing_task() as told:
        with driver.without("sns:Publish"):
            # When a task has failed, and its notification has used up all its attempts
            version = driver.upload(key, LONG)
            driver.until(driver.dead_letters, "the notification in the DLQ", hurry=True, seconds=60)
            # Then its row says so, and nobody was told
            assert _status(driver, key, version) == "TASK_FAILED"
            assert told() == []
        # When the permission is back and the message is redriven, then the topic is told
        driver.redrive()
        (message,) = driver.until(told, "the topic to be told", hurry=True)
    # and neither of the file's name nor of the text
    assert "failed" in message
    assert key not in message
    assert "library" not in message


def test_a_task_that_may_not_write_fails_and_says_so(driver: SpeechDriver) -> None:
    # Given a role that may not write the sound any more, as which Polly writes
    key = driver.key()
    with driver.without("s3:PutObject"):
        # When a long text is uploaded, then its task fails, and the row says why
        row = driver.wait_for(key, driver.upload(key, LONG), "TASK_FAILED")
    assert "AccessDenied" in row["reason"]["message"]


def test_without_the_right_to_publish_nobody_is_told_that_a_task_has_ended(driver: SpeechDriver) -> None:
    # Given a role that may not tell the topic any more, as which Polly does
    key = driver.key()
    with driver.without("sns:Publish"):
        # When a long text is uploaded and its task has ended
        version = driver.upload(key, LONG)
        task_id = _ended_task(driver, key, version)
        # Then nobody was told
        assert driver.never(lambda: _status(driver, key, version) != "SPEAKING")
    # When somebody tells it after all, then the end is recorded
    driver.notify(task_id)
    driver.wait_for(key, version)


def test_without_the_queue_policy_no_end_reaches_its_queue(driver: SpeechDriver) -> None:
    # Given a queue of ends whose policy lets the topic in no longer
    key = driver.key()
    with driver.as_recorder(), driver.without_senders():
        # When a long text is uploaded and its task has ended
        version = driver.upload(key, LONG)
        task_id = _ended_task(driver, key, version)
        # Then its end is not recorded
        assert driver.never(lambda: _status(driver, key, version) != "SPEAKING")
    driver.notify(task_id)
    driver.wait_for(key, version)


def test_without_the_queue_policy_no_event_reaches_the_queue(driver: SpeechDriver) -> None:
    # Given a queue whose policy lets EventBridge in no longer
    key = driver.key()
    with driver.without_senders():
        # When a text is uploaded, then its event ends where the rule puts what it cannot deliver
        version = driver.upload(key)
        letter = driver.wait_for_dead_letter(key)
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
        assert driver.row(key, version) is None
    # When the policy is back and the event is redriven, then the text is spoken
    driver.redrive(undelivered=True)
    driver.wait_for(key, version)


def test_without_its_queue_permissions_the_function_is_not_invoked(driver: SpeechDriver) -> None:
    key = driver.key()
    with driver.without("sqs:ReceiveMessage"):
        version = driver.upload(key)
        driver.until(lambda: driver.depth() == (1, 0), "the message to be in the queue")
        assert driver.never(lambda: driver.depth() != (1, 0) or driver.rows(key))
    driver.wait_for(key, version)


def _status(driver: SpeechDriver, key: str, version: str) -> str:
    row: dict[str, Any] = driver.row(key, version) or {}
    return str(row.get("status"))


def _ended_task(driver: SpeechDriver, key: str, version: str) -> str:
    """The id of the task that speaks a version, once Polly has ended it."""
    task_id = str(driver.wait_for(key, version, "SPEAKING")["task_id"])
    polly = driver.cloud.client("polly")

    def ended() -> bool:
        return bool(polly.get_speech_synthesis_task(TaskId=task_id)["SynthesisTask"]["TaskStatus"] == "completed")

    driver.until(ended, "the task to end", seconds=60)
    return task_id
