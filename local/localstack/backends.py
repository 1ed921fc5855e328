"""What the project's services have behind them on LocalStack: where metrics go, who scales, how stacks are worked on.

On the embedded cloud the seams provide the same.
"""

from __future__ import annotations

import contextvars
import datetime
import json
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.emulator import clock, metrics
from local.localstack.caller import Client
from local.services.application_autoscaling import SERVICE_PRINCIPAL, SERVICE_ROLE, ApplicationAutoScaling
from local.services.resource_types import Made, Properties, ResourceType
from local.services.wire import Caller, ServiceError

# PutMetricData takes 1,000 metrics at once (API Reference of CloudWatch).
_MOST_METRICS = 1000
_SEND_SECONDS = 1.0
_SEEN_PERIODS = 3

_log = logging.getLogger(__name__)


class Metrics:
    """The services' metrics, sent to LocalStack's CloudWatch once a second, each value with how often it came."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._waiting: Counter[tuple[metrics.Series, float, float]] = Counter()

    def start(self) -> None:
        """Send and sample from now on, in a thread that ends with the process."""
        metrics.use(self)
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def add(self, series: metrics.Series, minute: float, value: float, count: float) -> None:
        """Keep it for the next time."""
        with self._lock:
            self._waiting[series, minute, value] += round(count)

    def drop_before(self, moment: float) -> None:
        """LocalStack keeps what it has."""

    def queues(self) -> Iterable[metrics.Queue]:
        """Queues are LocalStack's own, and so are their metrics."""
        return ()

    def _run(self) -> None:
        while True:
            time.sleep(_SEND_SECONDS)
            try:
                metrics.sample()
                self.send()
            except Exception:  # noqa: BLE001 (the next second may be better; the log tells)
                _log.exception("Metrics could not be sent")

    def send(self) -> None:
        """Send what waits. What LocalStack does not take is lost, which the log tells."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        points: dict[tuple[metrics.Series, float], Counter[float]] = defaultdict(Counter)
        for (series, minute, value), count in waiting.items():
            points[series, minute][value] += count
        places: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
        for (series, minute), values in points.items():
            places[series.account, series.region, series.namespace].append(_datum(series, minute, values))
        for (account, region, namespace), data in places.items():
            client = self._client("cloudwatch", account, region)
            for first in range(0, len(data), _MOST_METRICS):
                _put(client, namespace, data[first : first + _MOST_METRICS])


def _put(client: Any, namespace: str, data: list[dict[str, Any]]) -> None:
    try:
        client.put_metric_data(Namespace=namespace, MetricData=data)
    except (ClientError, BotoCoreError) as error:
        _log.warning("Metrics of %s are lost: %s", namespace, error)


def _datum(series: metrics.Series, minute: float, values: Counter[float]) -> dict[str, Any]:
    return {
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in (series.dimension, *series.more)],
        "Timestamp": datetime.datetime.fromtimestamp(minute, tz=datetime.timezone.utc),
        "Unit": series.unit,
        "Values": list(values),
        "Counts": [float(count) for count in values.values()],
    }


class Scaling:
    """What stands behind Application Auto Scaling: its service-linked role (`application_autoscaling.Backend`), and the
    alarms of its policies, which LocalStack evaluates but does not act on.
    """

    def __init__(self, service: ApplicationAutoScaling, client: Client) -> None:
        self._service = service
        self._client = client

    def start(self) -> None:
        """Look at the alarms once a minute from now on, when metrics are sampled."""
        self._service.use(self)
        metrics.on_minutes.append(self.heed)

    def heed(self, _minutes: Sequence[float]) -> None:
        """Tell each policy of which LocalStack has an alarm in the state ALARM, with its metric's newest value."""
        for account, region, policy, name in self._service.alarms():
            client = self._client("cloudwatch", account, region)
            for alarm in client.describe_alarms(AlarmNames=[name], StateValue="ALARM")["MetricAlarms"]:
                values = _newest(client, alarm)
                if values:
                    self._service.alarmed(account, region, policy, name, values[-1], clock.now())

    def service_role(self, caller: Caller) -> Caller:
        """The role as a caller, made where it is not there; nobody is asked whether he may."""
        iam = self._client("iam", caller.account, caller.region)
        path = f"/aws-service-role/{SERVICE_PRINCIPAL}/"
        trust = {"Effect": "Allow", "Principal": {"Service": SERVICE_PRINCIPAL}, "Action": "sts:AssumeRole"}
        try:
            iam.create_role(
                RoleName=SERVICE_ROLE,
                Path=path,
                AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityAlreadyExists":
                raise ServiceError("AccessDeniedException", f"The role {SERVICE_ROLE}: {error}") from error
        return caller.assume(f"arn:aws:iam::{caller.account}:role{path}{SERVICE_ROLE}", SERVICE_PRINCIPAL)


def _newest(client: Any, alarm: Mapping[str, Any]) -> list[float]:
    """The values that the alarm's metric had in the last whole minutes, the newest at the end."""
    end = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    found = client.get_metric_statistics(
        Namespace=alarm["Namespace"],
        MetricName=alarm["MetricName"],
        Dimensions=alarm["Dimensions"],
        Statistics=[alarm["Statistic"]],
        Period=alarm["Period"],
        StartTime=end - datetime.timedelta(seconds=_SEEN_PERIODS * alarm["Period"]),
        EndTime=end,
    )["Datapoints"]
    return [float(one[alarm["Statistic"]]) for one in sorted(found, key=lambda one: one["Timestamp"])]


class Stacks:
    """LocalStack's CloudFormation as the services' resource types see it (`resource_types.Cloud`)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._place: contextvars.ContextVar[tuple[str, str]] = contextvars.ContextVar("place")

    @contextmanager
    def of(self, account: str, region: str) -> Iterator[None]:
        """Within the block a stack of this account and region is worked on."""
        token = self._place.set((account, region))
        try:
            yield
        finally:
            self._place.reset(token)

    def client(self, service: str) -> Any:
        """A client of the account's root."""
        account, region = self._place.get()
        return self._client(service, account, region)

    def physical_name(self, stack: str, logical_id: str, longest: int) -> str:
        """Stack, logical id and the time, the last never cut."""
        suffix = f"-{time.time_ns():x}"
        return f"{stack}-{logical_id}"[: longest - len(suffix)] + suffix


def changed(one: ResourceType, asked: Properties) -> Made:
    """Do with a resource what LocalStack's CloudFormation asks for: create, update or delete it.

    Raises ValueError for an update that would make another resource of it, ClientError where the service refuses.
    """
    verb, new, old = asked["verb"], asked["properties"], asked.get("old") or {}
    physical: str = asked.get("physical") or ""
    if verb == "create":
        return one.create(asked["logical"], new, asked["stack"])
    if verb == "delete":
        one.delete(physical, new)
        return physical, {}
    if one.update is None or one.replaces(old, new):
        raise ValueError("LocalStack's core replaces no resource when a stack is updated: deploy it anew.")
    return one.update(physical, old, new)
