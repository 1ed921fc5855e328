"""Insights from texts: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import text_insights
from tests.conftest import FreshStack, SharedStacks
from tests.local.emulated import make_queue, messages, policy
from tests.scenarios.removals import of_one_role
from tests.scenarios.text_driver import ARCHITECTURE, SMALL, TextDriver

TEXTS = Path(__file__).parents[2] / "samples" / "texts"

COMPREHEND = (
    "comprehend:BatchDetectDominantLanguage",
    "comprehend:BatchDetectEntities",
    "comprehend:BatchDetectKeyPhrases",
    "comprehend:BatchDetectSentiment",
    "comprehend:DetectPiiEntities",
)


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[TextDriver]:
    """A driver of the shared stack, whose queues are empty at the start and at the end of a test."""
    driver = TextDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=ARCHITECTURE)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param({}, id="aws-managed key"),
        pytest.param({"kms_key": "own"}, id="own key", marks=pytest.mark.soak),
    ],
)
def life(request: pytest.FixtureRequest, cloud: LocalCloud) -> Life:
    """One life with each kind of key."""
    name = f"life-text-{request.param.get('kms_key', 'managed')}-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {**SMALL, **request.param}})
    since = max((decision["seq"] for decision in cloud.control.decisions()), default=0)
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        done = text_insights.run(cloud, outputs, sorted(TEXTS.glob("*.txt")))
        assert done.complete, done
        TextDriver(cloud, outputs).wait_until_empty()
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
    return Life(grants, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == ()
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert used == {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}
    assert any(role.startswith("AnalyzeTextsRole") for role in used)
    assert "cloudwatch.amazonaws.com" in used


def test_a_wildcard_is_no_wider_than_what_it_is_for(life: Life) -> None:
    # Given a stack's whole life, When the wildcards of its worker are looked at
    wild = {
        unit.action: life.granted.short(unit.resource)
        for unit in life.report().units
        if unit.role.startswith("AnalyzeTextsRole") and "*" in unit.resource
    }
    # Then it logs into its own group, and has the rest where no resource is supported
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        assert wild.pop(action).startswith("{AnalyzeTextsLogs")
    assert wild == dict.fromkeys([*COMPREHEND, "xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*")


@pytest.mark.parametrize("action", of_one_role(COMPREHEND))
def test_without_a_permission_of_its_role_the_function_says_so_and_recovers(driver: TextDriver, action: str) -> None:
    # Given a role that lost one permission
    text_id = driver.text_id()
    with driver.without(action):
        # When a text is sent and all its attempts are used up
        driver.send_text(text_id)
        driver.wait_for_dead_letter(text_id)
        # Then its reason is that access was denied, and to what
        row = driver.the_row(text_id)
        assert row["status"] == "FAILED"
        assert row["reason"]["code"] == "AccessDeniedException"
        assert action in row["reason"]["message"]
    # When the permission is back and the message is redriven, Then the text is analysed
    driver.redrive()
    driver.wait_for_text(text_id, hurry=True)
    driver.wait_until_empty(hurry=True)


def test_without_permission_to_write_nothing_is_lost(driver: TextDriver) -> None:
    # Given a role that may not write to the table any more, and so cannot even keep a reason
    text_id = driver.text_id()
    with driver.without("dynamodb:PutItem"):
        # When a text is sent and all its attempts are used up, Then the message is in the DLQ
        driver.send_text(text_id)
        driver.wait_for_dead_letter(text_id)
        assert driver.rows(text_id) == {}
    # When the permission is back and the message is redriven, Then the text is analysed
    driver.redrive()
    driver.wait_for_text(text_id, hurry=True)


def test_without_its_queue_permissions_the_function_is_not_invoked(driver: TextDriver) -> None:
    # Given a role that may not receive from the queue any more
    text_id = driver.text_id()
    with driver.without("sqs:ReceiveMessage"):
        # When a text is sent, Then its message stays in the queue, unread
        driver.send_text(text_id)
        driver.until(lambda: driver.depth() == (1, 0), "the message to be in the queue")
        assert driver.never(lambda: driver.depth() != (1, 0) or driver.rows(text_id))
    # When the permission is back, Then it flows again
    driver.wait_for_text(text_id)
    driver.wait_until_empty()


def test_without_permission_to_delete_a_message_comes_back(driver: TextDriver) -> None:
    # Given a role that may not delete from the queue any more
    text_id = driver.text_id()
    with driver.without("sqs:DeleteMessage"):
        # When a text is sent and analysed, Then its message is not gone
        driver.send_text(text_id)
        driver.wait_for_text(text_id)
        assert driver.never(lambda: driver.depth() == (0, 0))
    # When the permission is back, Then it goes at its next visit, without another call
    before = driver.calls()
    driver.wait_until_empty(hurry=True)
    assert driver.calls() == before


def test_without_its_log_permissions_no_line_is_written(driver: TextDriver) -> None:
    # Given a role that may not write its log any more
    text_id = driver.text_id()
    with driver.without("logs:PutLogEvents"):
        before = driver.log_lines()
        # When a text is sent, Then it is analysed, and nothing is logged
        driver.send_text(text_id)
        driver.wait_for_text(text_id)
        assert driver.never(lambda: len(driver.log_lines()) > len(before))
    # When the permission is back, Then the next invocation is logged
    driver.send_text(driver.text_id())
    driver.until(lambda: len(driver.log_lines()) > len(before), "new log lines")


def test_without_its_tracing_permissions_no_trace_is_kept(driver: TextDriver) -> None:
    # Given a role that may not send traces any more
    text_id = driver.text_id()
    with driver.without("xray:PutTraceSegments"):
        before = driver.traces()
        # When a text is sent, Then it is analysed, and no trace of it is kept
        driver.send_text(text_id)
        driver.wait_for_text(text_id)
        assert driver.never(lambda: driver.traces() - before)
    # When the permission is back, Then the next invocation is traced
    driver.send_text(driver.text_id())
    driver.until(lambda: driver.traces() - before, "a new trace")


@pytest.fixture
def heard(driver: TextDriver) -> Iterator[Callable[[], int]]:
    """How many messages the stack's topic told somebody who listens, since the last look."""
    url, arn = make_queue(driver.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    driver.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns = driver.cloud.client("sns")
    subscription = sns.subscribe(
        TopicArn=driver.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]

    def look() -> int:
        found = messages(driver.cloud, url)
        for message in found:
            driver.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found)

    yield look
    sns.unsubscribe(SubscriptionArn=subscription)
    driver.sqs.delete_queue(QueueUrl=url)


def test_without_the_topic_policy_nobody_is_told_of_an_alarm(driver: TextDriver, heard: Callable[[], int]) -> None:
    # Given a quiet stack whose topic lets no alarm in any more
    def states_a_minute_later() -> set[str]:
        driver.control.clock_advance(60)
        alarms = driver.control.evaluate_alarms()
        return {state for name, state in alarms.items() if name.startswith(f"{ARCHITECTURE}-DeadLettersAlarm")}

    driver.control.clock_advance(600)
    assert states_a_minute_later() == {"OK"}
    heard()
    with driver.without_publishers():
        # When a message is given up, Then the alarm is raised, and nobody hears of it
        driver.sqs.send_message(QueueUrl=driver.dead_letter_queue, MessageBody="given up")
        assert states_a_minute_later() == {"ALARM"}
        assert heard() == 0
    # When the policy is back and the message is gone, Then the end of the alarm is told
    driver.clean()
    assert states_a_minute_later() == {"OK"}
    assert heard() == 1


def test_without_its_key_the_function_reads_no_message(cloud: LocalCloud, fresh_stack: FreshStack) -> None:
    # Given a stack with a key of its own, whose function may not use it any more
    stack = fresh_stack({**SMALL, "kms_key": "own"}, architecture=ARCHITECTURE)
    driver = TextDriver(cloud, stack.outputs)
    text_id = driver.text_id()
    with driver.without("kms:Decrypt"):
        # When a text is sent, Then its message stays in the queue, unread
        driver.send_text(text_id)
        driver.until(lambda: driver.depth() == (1, 0), "the message to be in the queue")
        assert driver.never(lambda: driver.depth() != (1, 0) or driver.rows(text_id))
    # When the permission is back, Then it flows again
    driver.wait_for_text(text_id)
