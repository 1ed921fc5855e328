"""The metrics that services publish by themselves: the rules on a store of the test's own, the paths on a cloud."""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.emulator import clock, metrics
from local.emulator.metrics import Message, Queue
from tests.local.emulated import eventually, make_function, make_queue, make_role, messages, policy, unique

NOON = 1_795_435_200.0


class Shelf:
    """A store in memory: what each minute of each metric holds."""

    def __init__(self) -> None:
        self.found: dict[str, dict[int, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
        self.there: list[Queue] = []
        self.dropped = 0.0

    def add(self, series: metrics.Series, minute: float, value: float, count: float) -> None:
        values = self.found[series.name][round((minute - NOON) / 60)]
        values[value] = values.get(value, 0) + count

    def drop_before(self, moment: float) -> None:
        self.dropped = moment

    def queues(self) -> Sequence[Queue]:
        return self.there

    def values(self, name: str) -> dict[int, float]:
        """Minute to value, of a metric with one value a minute."""
        return {minute: value for minute, values in self.found[name].items() for value in values}


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The store in use; it is noon, and nothing was sampled before."""
    monkeypatch.setattr(clock, "now", lambda: NOON)
    monkeypatch.setattr(metrics, "_store", None)
    monkeypatch.setattr(metrics, "_sampled", 0.0)
    monkeypatch.setattr(metrics, "_last_active", {})
    store = Shelf()
    metrics.use(store)
    return store


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Callable[[float], None]:
    """Sample at a time, in minutes after noon."""

    def sample(minutes: float) -> None:
        monkeypatch.setattr(clock, "now", lambda: NOON + minutes * 60)
        metrics.sample()

    return sample


def queue(*there: Message, fifo: bool = False, created: float = NOON) -> Queue:
    return Queue("0", "r", "q", fifo, created, there)


DEPTH = "ApproximateNumberOfMessagesVisible"
IN_FLIGHT = "ApproximateNumberOfMessagesNotVisible"
AGE = "ApproximateAgeOfOldestMessage"

Sample = Callable[[float], None]


def test_every_whole_minute_is_sampled_once(shelf: Shelf, at: Sample) -> None:
    # Given a queue that holds a message
    shelf.there = [queue(Message(sent=NOON, visible=NOON, receives=0))]

    # When it is sampled twice in the first minute and then after two and a half
    at(0.5)
    at(0.9)
    at(2.5)

    # Then there is a value for each minute that has ended
    assert shelf.values(DEPTH) == {0: 1.0, 1: 1.0}


def test_a_jump_of_the_clock_is_sampled_minute_by_minute(shelf: Shelf, at: Sample) -> None:
    # Given a message that is in flight until 12:02:30, and another that is sent at 12:03:10
    shelf.there = [
        queue(
            Message(sent=NOON, visible=NOON + 150, receives=1),
            Message(sent=NOON + 190, visible=NOON + 190, receives=0),
        )
    ]

    # When the clock jumps from noon to 12:05
    at(5)

    # Then each minute has the depth and the age that it had at its end
    assert shelf.values(DEPTH) == {0: 0, 1: 0, 2: 1, 3: 2, 4: 2}
    assert shelf.values(IN_FLIGHT) == {0: 1, 1: 1}
    assert shelf.values(AGE) == {0: 60, 1: 120, 2: 180, 3: 240, 4: 300}


def test_a_very_long_jump_is_sampled_at_its_end_only(shelf: Shelf, at: Sample) -> None:
    # Given a message
    shelf.there = [queue(Message(sent=NOON, visible=NOON, receives=0))]

    # When the clock jumps a day
    at(24 * 60)

    # Then no more than the last minutes are sampled, and what is older than a day is dropped
    assert set(shelf.values(DEPTH)) == set(range(24 * 60 - metrics.SAMPLED_MINUTES, 24 * 60))
    assert shelf.dropped == NOON + 86_400 - metrics.KEEP_SECONDS


def test_a_message_received_again_and_again_is_left_out_of_the_age(shelf: Shelf, at: Sample) -> None:
    # Given an old message that was received three times, and a younger one
    poison = Message(sent=NOON - 3600, visible=NOON, receives=3)
    shelf.there = [queue(poison, Message(sent=NOON, visible=NOON, receives=0))]

    # When the queue is sampled, then the age is the younger one's; in a FIFO queue the old one still counts
    at(1)
    assert shelf.values(AGE) == {0: 60}
    shelf.there = [queue(poison, fifo=True)]
    at(2)
    assert shelf.values(AGE)[1] == 3720


def test_in_a_dead_letter_queue_the_age_counts_from_the_move(shelf: Shelf, at: Sample) -> None:
    # Given a message that was sent an hour ago and moved to a dead-letter queue at 12:01:30
    shelf.there = [queue(Message(sent=NOON - 3600, visible=NOON + 90, receives=5, moved=NOON + 90))]

    # When the queue is sampled, then the message is there from that minute on, as old as its stay
    at(3)
    assert shelf.values(DEPTH) == {0: 0, 1: 1, 2: 1}
    assert shelf.values(AGE) == {1: 30, 2: 90}


def test_an_empty_queue_has_a_depth_but_no_age_and_falls_silent_after_six_hours(shelf: Shelf, at: Sample) -> None:
    # Given a queue that was made at noon and never held a message
    shelf.there = [queue()]

    # When it is sampled until seven hours later
    at(1)
    at(359)
    at(420)

    # Then its depth is reported for six hours
    assert set(shelf.values(DEPTH).values()) == {0.0}
    assert max(shelf.values(DEPTH)) == 358
    assert shelf.values(AGE) == shelf.values(IN_FLIGHT) == {}


def invocation(**parts: Any) -> metrics.Invocation:
    return metrics.Invocation(
        **{
            "account": "0",
            "region": "r",
            "function": "f",
            "started": NOON + 61,
            "milliseconds": 12.345,
            "error": False,
            "throttled": False,
            "running": 1,
            **parts,
        }
    )


def test_an_invocation_publishes_at_the_minute_it_started(shelf: Shelf) -> None:
    # Given three invocations in one minute, one of which failed
    for error in (False, True, False):
        metrics.invoked(invocation(error=error))

    # When their metrics are read, then they are there as counts of values
    assert shelf.found["Invocations"] == {1: {1.0: 3}}
    assert shelf.found["Errors"] == {1: {0.0: 2, 1.0: 1}}
    assert shelf.found["Throttles"] == {1: {0.0: 3}}
    assert shelf.found["Duration"] == {1: {12.3: 3}}


def test_a_throttled_attempt_is_neither_invocation_nor_error(shelf: Shelf) -> None:
    # Given an attempt that was throttled
    metrics.invoked(invocation(throttled=True))

    # When its metrics are read, then there is a throttle and nothing else
    assert dict(shelf.found) == {"Throttles": {1: {1.0: 1}}}


def test_executions_of_a_pipeline_are_counted_by_how_they_end(shelf: Shelf) -> None:
    # Given executions of a pipeline, one of which was asked to stop
    for status in ("Executing", "Executing", "Executing", "Failed", "Stopping", "Stopped", "Succeeded"):
        metrics.pipeline_execution("000000000000", "us-east-1", "training", status)

    # When its metrics are read, then each beginning and each end is there
    assert dict(shelf.found) == {
        "ExecutionStarted": {0: {1.0: 3}},
        "ExecutionFailed": {0: {1.0: 1}},
        "ExecutionStopped": {0: {1.0: 1}},
        "ExecutionSucceeded": {0: {1.0: 1}},
    }


def test_many_invocations_stay_few_points(shelf: Shelf) -> None:
    # Given ten thousand invocations of ever other durations within a minute
    for number in range(10_000):
        metrics.invoked(invocation(milliseconds=20 + number / 100))

    # When the values that are kept are counted, then they are few, and none is off by more than half a percent
    kept = shelf.found["Duration"][1]
    assert sum(kept.values()) == 10_000
    assert len(kept) < 1_000
    assert max(kept) == pytest.approx(120, rel=0.005)


# --- on a cloud -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud of this module's own: its clock is moved."""
    with LocalCloud.start(unique("metrics")) as started:
        yield started


Statistics = Callable[[str, str, str, str], list[float]]


@pytest.fixture
def statistics(cloud: LocalCloud) -> Statistics:
    """(namespace, metric, dimension's value, statistic) -> values by minute, oldest first."""

    def read(namespace: str, name: str, value: str, statistic: str) -> list[float]:
        cloud.control.evaluate_alarms()
        now = datetime.now(timezone.utc) + timedelta(seconds=cloud.control.clock())
        dimension = {"AWS/SQS": "QueueName", "AWS/Lambda": "FunctionName", "AWS/SNS": "TopicName"}[namespace]
        found = cloud.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": dimension, "Value": value}],
            StartTime=now - timedelta(hours=2),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=[statistic],
        )
        points = sorted(found["Datapoints"], key=lambda point: str(point["Timestamp"]))
        return [point[statistic] for point in points]

    return read


def test_depth_age_and_traffic_of_a_queue(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a queue with two messages, one of them received for five minutes
    url, arn = make_queue(cloud, VisibilityTimeout="300")
    name = arn.rpartition(":")[2]
    sqs = cloud.client("sqs")
    for body in ("one", "two"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    (received,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"]

    # When two minutes pass, the received one is deleted, and another minute passes
    cloud.control.clock_advance(120)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
    cloud.control.clock_advance(60)

    # Then the metrics tell that story
    assert statistics("AWS/SQS", DEPTH, name, "Maximum")[-3:] == [1, 1, 1]
    assert statistics("AWS/SQS", IN_FLIGHT, name, "Maximum")[:2] == [1, 1]
    ages = statistics("AWS/SQS", AGE, name, "Maximum")[-3:]
    assert [later - sooner for sooner, later in itertools.pairwise(ages)] == [60, 60]
    assert sum(statistics("AWS/SQS", "NumberOfMessagesSent", name, "Sum")) == 2
    assert sum(statistics("AWS/SQS", "NumberOfMessagesReceived", name, "Sum")) == 1
    assert sum(statistics("AWS/SQS", "NumberOfMessagesDeleted", name, "Sum")) == 1


def test_a_message_in_a_dead_letter_queue_was_moved_not_sent(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a queue that gives up after one receive, and a message that nobody deletes
    _, dead = make_queue(cloud)
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})
    url, _ = make_queue(cloud, VisibilityTimeout="1", RedrivePolicy=redrive)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="poison")
    assert messages(cloud, url)

    # When it is moved ten minutes later, and a minute passes
    cloud.control.clock_advance(600)
    assert not messages(cloud, url)
    cloud.control.clock_advance(60)

    # Then the dead-letter queue has a depth and an age that begins with the move, and nothing was sent to it
    name = dead.rpartition(":")[2]
    assert statistics("AWS/SQS", DEPTH, name, "Maximum")[-1] == 1
    assert statistics("AWS/SQS", AGE, name, "Maximum")[-1] <= 60
    assert statistics("AWS/SQS", "NumberOfMessagesSent", name, "Sum") == []


def totals(statistics: Statistics, name: str) -> dict[str, float]:
    names = ("Invocations", "Errors", "Throttles")
    return {metric: sum(statistics("AWS/Lambda", metric, name, "Sum")) for metric in names}


SOMETIMES = "def handler(event, context):\n    assert 'fail' not in str(event)\n"


def test_each_direct_invocation_counts_once(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a function that fails when told to
    name = make_function(cloud, SOMETIMES, make_role(cloud))
    functions = cloud.client("lambda")

    # When it is invoked twice directly and once asynchronously, and one of them fails
    functions.invoke(FunctionName=name, Payload=b'"go"')
    functions.invoke(FunctionName=name, Payload=b'"fail"')
    functions.invoke(FunctionName=name, Payload=b'"go"', InvocationType="Event")

    # Then there are three invocations and one error
    eventually(lambda: totals(statistics, name)["Invocations"] >= 3)
    assert totals(statistics, name) == {"Invocations": 3, "Errors": 1, "Throttles": 0}
    assert len(statistics("AWS/Lambda", "Duration", name, "Average")) >= 1
    assert max(statistics("AWS/Lambda", "ConcurrentExecutions", name, "Maximum")) >= 1


def test_each_batch_of_a_queue_counts_once(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a function behind a queue
    url, queue_arn = make_queue(cloud, VisibilityTimeout="60")
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    name = make_function(cloud, SOMETIMES, make_role(cloud, {"Action": actions, "Resource": queue_arn}))
    cloud.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=queue_arn, BatchSize=1, MaximumBatchingWindowInSeconds=0
    )

    # When three messages arrive, one of which it fails on
    for body in ("go", "go", "fail"):
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    # Then there are three invocations and one error
    eventually(lambda: totals(statistics, name)["Invocations"] >= 3)
    assert totals(statistics, name) == {"Invocations": 3, "Errors": 1, "Throttles": 0}
    deleted = "NumberOfMessagesDeleted"
    eventually(lambda: sum(statistics("AWS/SQS", deleted, queue_arn.rpartition(":")[2], "Sum")) == 2)


def test_a_refused_invocation_is_a_throttle(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a function that may not run at all
    name = make_function(cloud, SOMETIMES, make_role(cloud))
    functions = cloud.client("lambda", retries={"total_max_attempts": 1})
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    # When it is invoked
    with pytest.raises(functions.exceptions.TooManyRequestsException):
        functions.invoke(FunctionName=name, Payload=b"{}")

    # Then that is one throttle
    assert totals(statistics, name) == {"Invocations": 0, "Errors": 0, "Throttles": 1}


TOPIC_METRICS = ("NumberOfMessagesPublished", "NumberOfNotificationsDelivered", "NumberOfNotificationsFailed")


def test_a_topic_counts_messages_and_what_became_of_them(cloud: LocalCloud, statistics: Statistics) -> None:
    # Given a topic with two queues and a function that let it in, one of each that do not, a queue with a filter, and
    # a function that is gone
    sns, sqs, functions = cloud.client("sns"), cloud.client("sqs"), cloud.client("lambda")
    name = unique("topic")
    topic = sns.create_topic(Name=name)["TopicArn"]
    queues = [make_queue(cloud) for _ in range(4)]
    for url, arn in (*queues[:2], queues[3]):
        document = policy({"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    open_function, closed_function = (make_function(cloud, SOMETIMES, make_role(cloud)) for _ in range(2))
    functions.add_permission(
        FunctionName=open_function,
        StatementId="topic",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    arns = [
        functions.get_function(FunctionName=one)["Configuration"]["FunctionArn"]
        for one in (open_function, closed_function)
    ]
    for _, arn in queues[:3]:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    filtered = {"FilterPolicy": json.dumps({"kind": ["other"]})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queues[3][1], Attributes=filtered)
    for arn in (*arns, f"{arns[0]}-gone"):
        sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)

    # When one message is published by itself, and two as a batch
    sns.publish(TopicArn=topic, Message="go")
    sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": str(n), "Message": "go"} for n in range(2)])

    # Then three were published, each was delivered and failed three times, and the filter's queue counts nowhere
    def counted() -> list[float]:
        return [sum(statistics("AWS/SNS", metric, name, "Sum")) for metric in TOPIC_METRICS]

    eventually(lambda: sum(counted()) >= 21)
    assert counted() == [3, 9, 9]


def test_a_question_without_dimensions_is_about_the_metric_that_has_none(cloud: LocalCloud) -> None:
    # Given one metric name with a value under a dimension, and another value under none
    cloudwatch, name = cloud.client("cloudwatch"), unique("metric")
    here = [{"Name": "Where", "Value": "here"}]
    both = [{"MetricName": name, "Dimensions": here, "Value": 5}, {"MetricName": name, "Value": 7}]
    cloudwatch.put_metric_data(Namespace="Test", MetricData=both)
    now = datetime.now(timezone.utc) + timedelta(seconds=cloud.control.clock())
    span = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=5)}

    # When statistics and data are asked for without dimensions
    wanted = {"Namespace": "Test", "MetricName": name}
    points = cloudwatch.get_metric_statistics(**wanted, **span, Period=60, Statistics=["Sum"])["Datapoints"]
    query = {"Id": "one", "MetricStat": {"Metric": wanted, "Period": 60, "Stat": "Sum"}}
    results = cloudwatch.get_metric_data(MetricDataQueries=[query], **span)["MetricDataResults"]

    # Then only the value under none comes back
    assert [point["Sum"] for point in points] == [7]
    assert results[0]["Values"] == [7]


def test_metrics_do_not_slow_the_data_path(cloud: LocalCloud) -> None:
    # Given a queue with a thousand messages in it
    url, _ = make_queue(cloud)
    sqs = cloud.client("sqs")
    for start in range(0, 1_000, 10):
        entries = [{"Id": str(number), "MessageBody": str(start + number)} for number in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    # When the clock jumps an hour, so that sixty minutes of all queues are sampled at once
    started = time.monotonic()
    cloud.control.clock_advance(3600)

    # Then that takes a moment
    assert time.monotonic() - started < 2
