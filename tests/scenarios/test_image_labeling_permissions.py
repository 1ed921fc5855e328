"""Label every uploaded image: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import pytest

from tests.scenarios.driver import Driver


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain() -> None:
    raise NotImplementedError


@pytest.mark.parametrize("action", ["rekognition:DetectLabels", "s3:GetObjectVersion"])
def test_without_a_permission_of_its_role_the_function_says_so_and_recovers(driver: Driver, action: str) -> None:
    # Given a role that lost one permission
    key = driver.key()
    with driver.without(action):
        # When an image is uploaded and all its attempts are used up
        version = driver.upload(key)
        driver.wait_for_dead_letter(key)
        # Then its reason is that access was denied, and to what
        row = driver.row(key, version)
        assert row is not None
        assert row["status"] == "FAILED"
        assert row["reason"]["code"] in ("AccessDenied", "AccessDeniedException")
        assert action in row["reason"]["message"]
    # When the permission is back and the message is redriven
    driver.redrive()
    # Then the image is labeled
    driver.wait_for(key, version, hurry=True)
    driver.wait_until_empty(hurry=True)


def test_without_permission_to_write_nothing_is_lost(driver: Driver) -> None:
    # Given a role that may not write to the tables any more, and so cannot even keep a reason
    key = driver.key()
    with driver.without("dynamodb:PutItem"):
        # When an image is uploaded and all its attempts are used up
        version = driver.upload(key)
        # Then the message is in the DLQ
        driver.wait_for_dead_letter(key)
        assert driver.rows(key) == {}
    # When the permission is back and the message is redriven, Then the image is labeled
    driver.redrive()
    driver.wait_for(key, version, hurry=True)


def test_without_the_queue_policy_no_event_reaches_the_queue(driver: Driver) -> None:
    # Given a queue whose policy lets EventBridge in no longer
    key = driver.key()
    with driver.without_senders():
        # When an image is uploaded
        version = driver.upload(key)
        # Then its event does not reach the queue but the DLQ of the rule's target, and no row comes
        letter = driver.wait_for_dead_letter(key)
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
        assert driver.row(key, version) is None
    # When the policy is back and the event is redriven
    driver.redrive(undelivered=True)
    # Then the image is labeled
    driver.wait_for(key, version)
    # and new ones flow
    key = driver.key()
    driver.wait_for(key, driver.upload(key))


def test_without_its_queue_permissions_the_function_is_not_invoked(driver: Driver) -> None:
    # Given a role that may not receive from the queue any more
    key = driver.key()
    with driver.without("sqs:ReceiveMessage"):
        # When an image is uploaded
        version = driver.upload(key)
        # Then its message stays in the queue, unread
        driver.until(lambda: driver.depth() == (1, 0), "the message to be in the queue")
        assert driver.never(lambda: driver.depth() != (1, 0) or driver.rows(key))
    # When the permission is back, Then it flows again
    driver.wait_for(key, version)
    driver.wait_until_empty()


def test_without_permission_to_delete_a_message_comes_back(driver: Driver) -> None:
    # Given a role that may not delete from the queue any more
    key = driver.key()
    with driver.without("sqs:DeleteMessage"):
        # When an image is uploaded and labeled
        version = driver.upload(key)
        driver.wait_for(key, version)
        # Then its message is not gone
        assert driver.never(lambda: driver.depth() == (0, 0))
    # When the permission is back, Then it goes at its next visit, without another call
    before = driver.calls()
    driver.wait_until_empty(hurry=True)
    assert driver.calls() == before


def test_without_its_log_permissions_no_line_is_written(driver: Driver) -> None:
    # Given a role that may not write its log any more
    key = driver.key()
    with driver.without("logs:PutLogEvents"):
        before = driver.log_lines()
        # When an image is uploaded
        driver.wait_for(key, driver.upload(key))
        # Then it is labeled, and nothing is logged
        assert driver.never(lambda: len(driver.log_lines()) > len(before))
    # When the permission is back, Then the next invocation is logged
    key = driver.key()
    driver.wait_for(key, driver.upload(key))
    driver.until(lambda: len(driver.log_lines()) > len(before), "new log lines")


def test_without_its_tracing_permissions_no_trace_is_kept(driver: Driver) -> None:
    # Given a role that may not send traces any more
    key = driver.key()
    with driver.without("xray:PutTraceSegments"):
        before = driver.traces()
        # When an image is uploaded
        driver.wait_for(key, driver.upload(key))
        # Then it is labeled, and no trace of it is kept
        assert driver.never(lambda: driver.traces() - before)
    # When the permission is back, Then the next invocation is traced
    key = driver.key()
    driver.wait_for(key, driver.upload(key))
    driver.until(lambda: driver.traces() - before, "a new trace")
