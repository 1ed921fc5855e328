"""Label every uploaded image: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted, report
from scenarios import image_labeling
from tests.conftest import ARCHITECTURE, SMALL, FreshStack
from tests.local.emulated import make_queue, messages, policy
from tests.scenarios.driver import PHOTOS, Driver

EXTRA = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::*/*"}


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    granted_with_extra: Granted
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
    name = f"life-{request.param.get('kms_key', 'managed')}-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {**SMALL, **request.param}})
    since = max((decision["seq"] for decision in cloud.control.decisions()), default=0)
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        done = image_labeling.run(cloud, outputs, sorted(PHOTOS.glob("*.jp*g")))
        assert done.complete, done
        driver = Driver(cloud, outputs)
        driver.wait_until_empty()
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
        document = json.dumps({"Version": "2012-10-17", "Statement": EXTRA})
        driver.iam.put_role_policy(RoleName=driver.role, PolicyName="Planted", PolicyDocument=document)
        with_extra = granted(cloud, name)
        driver.iam.delete_role_policy(RoleName=driver.role, PolicyName="Planted")
    finally:
        destroy(cloud, name)
    return Life(grants, with_extra, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == ()
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    granted_to = {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}
    assert used == granted_to
    assert any(role.startswith("LabelImageRole") for role in used)
    assert any(role.startswith("EmptiedImages") for role in used)
    assert {"events.amazonaws.com", "cloudwatch.amazonaws.com"} <= used


def test_a_wildcard_is_no_wider_than_what_it_is_for(life: Life) -> None:
    # Given a stack's whole life, When the wildcards of its worker are looked at
    wild = {
        unit.action: life.granted.short(unit.resource)
        for unit in life.report().units
        if unit.role.startswith("LabelImageRole") and "*" in unit.resource
    }
    # Then it reads one prefix of one bucket, logs into its own group, and has the rest where no resource is supported
    assert wild.pop("s3:GetObjectVersion").endswith("}/uploads/*")
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        assert wild.pop(action).startswith("{LabelImageLogs")
    assert wild == dict.fromkeys(["rekognition:DetectLabels", "xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*")


def test_a_planted_grant_is_found(life: Life) -> None:
    # Given a role that was given one thing more
    # When it is compared with the same decisions
    report = compare(life.granted_with_extra, life.decisions, architecture=ARCHITECTURE)
    # Then the comparison fails, and names it
    (problem,) = report.problems
    assert "LabelImageRole" in problem
    assert "s3:DeleteObject on arn:aws:s3:::*/*" in problem
    assert not report.ok


def test_a_permission_that_is_wanted_and_not_granted_is_found(driver: Driver) -> None:
    # Given a role that lost one permission, and an image that needs it
    since = max(decision["seq"] for decision in driver.control.decisions())
    key = driver.key()
    with driver.without("rekognition:DetectLabels"):
        version = driver.upload(key)
        driver.wait_for(key, version, "FAILED")
        # When the report is made
        found = report(driver.cloud, ARCHITECTURE, driver.control.decisions(since=since))
    # Then it names what is missing
    missing = [(unit.role, unit.action) for unit in found.units if unit.status is Status.MISSING]
    assert [(role.startswith("LabelImageRole"), action) for role, action in missing] == [
        (True, "rekognition:DetectLabels")
    ]
    assert any("rekognition:DetectLabels" in problem for problem in found.problems)


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


@pytest.fixture
def heard(driver: Driver) -> Iterator[Callable[[], list[str]]]:
    """The states that the stack's topic told somebody who listens, since the last look."""
    url, arn = make_queue(driver.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    driver.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns = driver.cloud.client("sns")
    subscription = sns.subscribe(
        TopicArn=driver.outputs["AlarmTopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]

    def look() -> list[str]:
        found = messages(driver.cloud, url)
        for message in found:
            driver.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["NewStateValue"] for message in found]

    yield look
    sns.unsubscribe(SubscriptionArn=subscription)
    driver.sqs.delete_queue(QueueUrl=url)


def test_without_the_topic_policy_nobody_is_told_of_an_alarm(driver: Driver, heard: Callable[[], list[str]]) -> None:
    # Given a quiet stack whose topic lets no alarm in any more
    def states_a_minute_later() -> set[str]:
        driver.control.clock_advance(60)
        alarms = driver.control.evaluate_alarms()
        return {state for name, state in alarms.items() if name.startswith(f"{ARCHITECTURE}-DeadLettersAlarm")}

    driver.control.clock_advance(600)
    assert states_a_minute_later() == {"OK"}
    heard()
    with driver.without_publishers():
        # When a message is given up
        driver.sqs.send_message(QueueUrl=driver.dead_letter_queue, MessageBody="given up")
        # Then the alarm is raised, and nobody hears of it
        assert states_a_minute_later() == {"ALARM"}
        assert heard() == []
    # When the policy is back and the message is gone, Then the end of the alarm is told
    driver.clean()
    assert states_a_minute_later() == {"OK"}
    assert heard() == ["OK"]


def test_without_its_key_the_function_reads_no_message(cloud: LocalCloud, fresh_stack: FreshStack) -> None:
    # Given a stack with a key of its own, whose function may not use it any more
    driver = Driver(cloud, fresh_stack({"kms_key": "own"}).outputs)
    key = driver.key()
    with driver.without("kms:Decrypt"):
        # When an image is uploaded
        version = driver.upload(key)
        # Then its message stays in the queue, unread
        driver.until(lambda: driver.depth() == (1, 0), "the message to be in the queue")
        assert driver.never(lambda: driver.depth() != (1, 0) or driver.rows(key))
    # When the permission is back, Then it flows again
    driver.wait_for(key, version)
