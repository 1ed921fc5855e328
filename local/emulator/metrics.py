"""The metrics that services publish by themselves, as far as alarms and dashboards here watch them.

Values of one metric within one minute are kept as counts of each value, as CloudWatch keeps one-minute data, so that
many thousand invocations stay a few points. Points are dropped after `KEEP_SECONDS`.

Sources: Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS"; AWS Lambda Developer Guide, "Types
of metrics for Lambda functions" (both read in 2026-11); AWS Step Functions Developer Guide, "Monitoring Step Functions
metrics using Amazon CloudWatch"; Amazon API Gateway Developer Guide, "Amazon API Gateway dimensions and metrics";
Amazon SNS Developer Guide, "Monitoring Amazon SNS topics using CloudWatch" (the last three read on 2026-11-26, in the
guides' public sources, which end in 2023); Amazon SageMaker Developer Guide, "Monitor Amazon SageMaker with Amazon
CloudWatch", "Auto-Rollback Configuration and Monitoring" (the dimension EndpointConfigName) and "Automatically Scale
Amazon SageMaker Models: Prerequisites" (the zero without traffic), read on 2026-11-27, likewise. (That guide's page
on shadow tests names InvocationModelErrors beside the others.)

Of SageMaker's pipelines the counts of executions are published, by `PipelineName` (namespace, names and dimension as
dashboards and alarms of others have them, looked up on 2026-11-27; the guide's page could not be read).

Not published: durations of pipelines and counts of their steps; of topics what a filter keeps back, sizes and redrives;
of APIs the latency of the integration alone.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from local.emulator import clock

MINUTE = 60.0
KEEP_SECONDS = 25 * 3600.0
# When the clock jumps, queues are sampled for the minutes jumped over, but not for more than these.
SAMPLED_MINUTES = 180
# "A message received three or more times and not deleted" is left out of the age; see the page.
POISON_RECEIVES = 3
ACTIVE_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Series:
    """One metric of one resource; `more` are the dimensions beside the first."""

    account: str
    region: str
    namespace: str
    name: str
    dimension: tuple[str, str]
    unit: str
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Message:
    """A message in a queue; times in epoch seconds. `moved` is when it came to a dead-letter queue, else None."""

    sent: float
    visible: float
    receives: int
    moved: float | None = None

    @property
    def came(self) -> float:
        """When it came to the queue that it is in."""
        return self.sent if self.moved is None else self.moved


@dataclass(frozen=True)
class Queue:
    """A queue as it is now."""

    account: str
    region: str
    name: str
    fifo: bool
    created: float
    messages: Sequence[Message]


class Store(Protocol):
    """Where metrics go and what they are read from; the seams provide it."""

    def add(self, series: Series, minute: float, value: float, count: float) -> None:
        """`count` more occurrences of `value` in the minute that starts at `minute`."""

    def drop_before(self, moment: float) -> None:
        """Forget what services published before `moment`."""

    def queues(self) -> Iterable[Queue]:
        """Every queue of every account and region."""


_store: Store | None = None
_lock = threading.Lock()
_sampled = 0.0
_last_active: dict[tuple[str, str, str], float] = {}


def use(store: Store) -> None:
    """Set where metrics go; the seams do so once. Whole minutes from now on are sampled."""
    global _store, _sampled
    _store, _sampled = store, _minute(clock.now())


# --- Lambda -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invocation:
    """One attempt to run a function, when it is over.

    `started` is in epoch seconds of the emulator's clock; `running` is how many of the function ran at its end, this
    one included.
    """

    account: str
    region: str
    function: str
    started: float
    milliseconds: float
    error: bool
    throttled: bool
    running: int


def invoked(invocation: Invocation) -> None:
    """Publish what an invocation says about its function, at the minute in which it started.

    A throttled attempt counts as neither invocation nor error: "Invocations aren't recorded if the invocation request
    is throttled". The time of the others: "the timestamp on an error metric reflects when the function was invoked".
    """
    minute = _minute(invocation.started)

    def publish(name: str, value: float, unit: str = "Count") -> None:
        dimension = ("FunctionName", invocation.function)
        _publish(Series(invocation.account, invocation.region, "AWS/Lambda", name, dimension, unit), minute, value)

    publish("Throttles", float(invocation.throttled))
    if not invocation.throttled:
        publish("Invocations", 1.0)
        publish("Errors", float(invocation.error))
        publish("Duration", _three_digits(invocation.milliseconds), "Milliseconds")
        publish("ConcurrentExecutions", float(invocation.running))


def _three_digits(value: float) -> float:
    """Rounded so that a minute holds few distinct values; the error stays under 0.5 %."""
    return float(f"{value:.3g}")


# --- Step Functions, API Gateway, SNS ---------------------------------------------------------------------------------

_ENDS = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def execution(account: str, region: str, machine: str, status: str, started: float, ended: float | None) -> None:  # noqa: PLR0917 (the parts of a point)
    """An execution of a state machine (its ARN) has begun or ended; times in epoch seconds."""

    def publish(name: str, moment: float, value: float, unit: str = "Count") -> None:
        series = Series(account, region, "AWS/States", name, ("StateMachineArn", machine), unit)
        _publish(series, _minute(moment), value)

    if ended is None:
        publish("ExecutionsStarted", started, 1.0)
        return
    publish(_ENDS[status], ended, 1.0)
    publish("ExecutionTime", ended, _three_digits((ended - started) * 1000), "Milliseconds")


_OF_PIPELINES = {
    "Executing": "ExecutionStarted",
    "Succeeded": "ExecutionSucceeded",
    "Failed": "ExecutionFailed",
    "Stopped": "ExecutionStopped",
}


def pipeline_execution(account: str, region: str, pipeline: str, status: str) -> None:
    """An execution of a SageMaker pipeline (its name) has this status now. `Stopping` has no metric."""
    if name := _OF_PIPELINES.get(status):
        dimension = ("PipelineName", pipeline)
        series = Series(account, region, "AWS/Sagemaker/ModelBuildingPipeline", name, dimension, "Count")
        _publish(series, _minute(clock.now()), 1.0)


def transition_throttled(account: str, region: str, machine: str) -> None:
    """A state that an execution of a machine (its ARN) would have entered, or a retry, was throttled just now.

    "Number of StateEntered events and retries that have been throttled"; "will only be emitted in the case of throttled
    execution": no zero is published.
    """
    series = Series(account, region, "AWS/States", "ExecutionThrottled", ("StateMachineArn", machine), "Count")
    _publish(series, _minute(clock.now()), 1.0)


def api_request(account: str, region: str, api: str, stage: str, status: int, milliseconds: float) -> None:  # noqa: PLR0917 (the parts of a point)
    """A REST API (its name) has answered. An error rate is the metric's average, so no error is a zero."""
    minute = _minute(clock.now())
    for more in ((), (("Stage", stage),)):
        for name, value, unit in (
            ("Count", 1.0, "Count"),
            ("4XXError", float(400 <= status < 500), "Count"),
            ("5XXError", float(status >= 500), "Count"),
            ("Latency", _three_digits(milliseconds), "Milliseconds"),
        ):
            _publish(Series(account, region, "AWS/ApiGateway", name, ("ApiName", api), unit, more), minute, value)


def topic(arn: str, metric: str) -> None:
    """A message of a topic was published (NumberOfMessagesPublished), or a subscriber got it or did not.

    The latter are NumberOfNotificationsDelivered and ...Failed; what a subscription's filter keeps back is neither.
    """
    _, _, _, region, account, name = arn.split(":")
    series = Series(account, region, "AWS/SNS", metric, ("TopicName", name), "Count")
    _publish(series, _minute(clock.now()), 1.0)


# --- SageMaker endpoints ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EndpointInvocation:
    """One InvokeEndpoint, when it is answered.

    `instances` were in service; `status` is the model's, 0 where it gave none; times are in seconds, the model's None
    where none was asked.
    """

    account: str
    region: str
    endpoint: str
    variant: str
    config: str
    instances: int
    status: int
    model: float | None
    overhead: float


def endpoint_invoked(invocation: EndpointInvocation) -> None:
    """Publish what a request says about its variant, with and without the endpoint's configuration as dimension."""
    minute = _minute(clock.now())
    status = invocation.status
    values = [
        ("Invocations", 1.0, "None"),
        ("InvocationsPerInstance", 1 / max(1, invocation.instances), "None"),
        ("Invocation4XXErrors", float(400 <= status < 500), "None"),
        ("Invocation5XXErrors", float(status >= 500), "None"),
        ("InvocationModelErrors", float(not 200 <= status < 300), "None"),
        ("OverheadLatency", _three_digits(invocation.overhead * 1e6), "Microseconds"),
    ]
    if invocation.model is not None:
        values.append(("ModelLatency", _three_digits(invocation.model * 1e6), "Microseconds"))
    variant = ("VariantName", invocation.variant)
    for more in ((variant,), (variant, ("EndpointConfigName", invocation.config))):
        for name, value, unit in values:
            dimension = ("EndpointName", invocation.endpoint)
            series = Series(invocation.account, invocation.region, "AWS/SageMaker", name, dimension, unit, more)
            _publish(series, minute, value)


def endpoint_idle(account: str, region: str, endpoint: str, variant: str, minute: float) -> None:
    """A variant got no request in a minute: "SageMaker emits metrics with a value of zero"."""
    for name in ("Invocations", "InvocationsPerInstance"):
        dimension, more = ("EndpointName", endpoint), (("VariantName", variant),)
        _publish(Series(account, region, "AWS/SageMaker", name, dimension, "None", more), minute, 0.0)


def endpoint_instance(  # noqa: PLR0917 (the parts of a point)
    account: str, region: str, endpoint: str, variant: str, minute: float, processor: float, memory: float
) -> None:
    """What an instance used in a minute: percent of one core, so up to 100 times the cores, and percent of memory."""
    for name, value in (("CPUUtilization", processor), ("MemoryUtilization", memory)):
        dimension, more = ("EndpointName", endpoint), (("VariantName", variant),)
        series = Series(account, region, "/aws/sagemaker/Endpoints", name, dimension, "Percent", more)
        _publish(series, minute, _three_digits(value))


# --- Once a minute ----------------------------------------------------------------------------------------------------

# Called with the starts of the whole minutes since the last call, the oldest first, before alarms look at them.
on_minutes: list[Callable[[Sequence[float]], None]] = []


# --- SQS --------------------------------------------------------------------------------------------------------------


def messages(account: str, region: str, queue: str, name: str, moments: Iterable[float]) -> None:
    """Messages were sent, received or deleted at these moments: NumberOfMessagesSent, ...Received, ...Deleted."""
    series = _of_queue(account, region, queue, name)
    for minute, number in Counter(_minute(moment) for moment in moments).items():
        _publish(series, minute, 1.0, number)


def sample() -> None:
    """Publish depth and age of every queue for each whole minute since the last call, and what others publish then.

    Each minute is seen with the messages that are there now: what was visible, in flight and how old at that time.
    """
    global _sampled  # noqa: PLW0603 (one sampler a process)
    if _store is None:
        return
    with _lock:
        now = _minute(clock.now())
        if now <= _sampled:
            return
        first = max(_sampled, now - SAMPLED_MINUTES * MINUTE)
        minutes = [first + step * MINUTE for step in range(round((now - first) / MINUTE))]
        _sampled = now
    for publish in on_minutes:
        publish(minutes)
    queues = list(_store.queues())
    for minute in minutes:
        for queue in queues:
            _sample(queue, minute)
    _forget_deleted(queues)
    _store.drop_before(now - KEEP_SECONDS)


def _sample(queue: Queue, minute: float) -> None:
    end = minute + MINUTE
    there = [message for message in queue.messages if message.came < end]
    if not _is_active(queue, there, end):
        return
    visible = sum(message.visible <= end for message in there)
    in_flight = sum(message.visible > end and message.receives > 0 for message in there)
    ages = [
        end - message.came
        for message in there
        if queue.fifo or message.moved is not None or message.receives < POISON_RECEIVES
    ]
    _publish(_of_queue(queue.account, queue.region, queue.name, "ApproximateNumberOfMessagesVisible"), minute, visible)
    # "Reported if in-flight messages exist", "reported if the queue contains at least one active message".
    if in_flight:
        name = "ApproximateNumberOfMessagesNotVisible"
        _publish(_of_queue(queue.account, queue.region, queue.name, name), minute, in_flight)
    if ages:
        age = _of_queue(queue.account, queue.region, queue.name, "ApproximateAgeOfOldestMessage", "Seconds")
        _publish(age, minute, float(math.floor(max(ages))))


def _is_active(queue: Queue, there: Sequence[Message], end: float) -> bool:
    """Active for six hours after it last held a message, counted from its creation. API calls alone do not count."""
    key = (queue.account, queue.region, queue.name)
    if there:
        _last_active[key] = end
    return _last_active.setdefault(key, queue.created) > end - ACTIVE_SECONDS


def _forget_deleted(queues: Sequence[Queue]) -> None:
    known = {(queue.account, queue.region, queue.name) for queue in queues}
    for key in [key for key in _last_active if key not in known]:
        del _last_active[key]


def _of_queue(account: str, region: str, queue: str, name: str, unit: str = "Count") -> Series:
    return Series(account, region, "AWS/SQS", name, ("QueueName", queue), unit)


def _publish(series: Series, minute: float, value: float, count: float = 1.0) -> None:
    if _store is not None:
        _store.add(series, minute, float(value), float(count))


def _minute(moment: float) -> float:
    return math.floor(moment / MINUTE) * MINUTE
