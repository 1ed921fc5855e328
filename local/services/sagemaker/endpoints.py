"""Endpoints: instances that serve models, updated without a failed request.

What is real: each instance is a process of its own that loads the model with the execution role's permissions; health
checks, traffic by weights, blue/green updates (all at once, canary, linear) with their baking times by the movable
clock, rollback by alarms, scaling, draining, and the replacement of instances that died. What is not: instance types,
zones and networks; rolling updates, serverless, asynchronous and shadow variants are refused; a container is asked for
its health when it starts, afterwards only whether its process lives.

An update that fails, by an alarm, a health check or a missing permission, leaves the old instances in service: the
status goes to RollingBack and back to InService, with a FailureReason. Should the clock be moved beyond the end of a
baking time, the minutes in between are evaluated first, so that an alarm in them still counts.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference); "Automating Amazon SageMaker
with Amazon EventBridge" and "Auto-Rollback Configuration and Monitoring" (the execution role reads the alarms), Amazon
SageMaker Developer Guide, in its public source, which ends in 2023. Not documented: the wording of messages and
reasons, how AWS names the state of a blue/green update that is being rolled back (it describes RollingBack for changes
of capacity), whether a reason is kept after a rollback.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from local.emulator import alarms, clock, faults, metrics
from local.emulator.alarm_evaluation import ALARM
from local.services.sagemaker.capture import FLUSH_SECONDS, Capture
from local.services.sagemaker.deployment import Plan, plan
from local.services.sagemaker.fleets import Fleet, Traffic, refill, routes
from local.services.sagemaker.hosting import Instance, StartError
from local.services.sagemaker.models import CONFIG, Models, existing, find
from local.services.sagemaker.records import Members, Record, Records, Request, eventful, invalid, now
from local.services.wire import Caller, Operation, ServiceError

ENDPOINT = "endpoint"
_WATCH_SECONDS = 0.2
_ALARM_SECONDS = 1.0
# How long after a baking time an alarm's present state still is one of that time.
_ALARM_MINUTE = 60.0
_IN_EVENTS = {
    "Creating": "CREATING",
    "Deleting": "DELETING",
    "Failed": "FAILED",
    "InService": "IN_SERVICE",
    "RollingBack": "ROLLING_BACK",
    "Updating": "UPDATING",
}

_log = logging.getLogger(__name__)


class _RollbackError(Exception):
    """A deployment ends here. `str()` is the reason."""


@dataclass
class Endpoint:
    """What the service keeps of an endpoint beside its record.

    `fleets` are in service; `pending` are those of an update under way, `pending_config` their configuration.
    """

    record: Record
    caller: Caller
    config: str
    deployment: Mapping[str, Any] | None = None
    fleets: list[Fleet] = field(default_factory=list)
    pending: list[Fleet] = field(default_factory=list)
    pending_config: str = ""
    pending_since: Any = None
    traffic: Traffic = field(default_factory=Traffic)
    # The last minute in which a variant got a request.
    asked: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return str(self.record.members["EndpointName"])

    @property
    def status(self) -> str:
        """EndpointStatus."""
        return str(self.record.members["EndpointStatus"])

    @property
    def actor(self) -> Caller:
        """The execution role of the models that are, or come, in service."""
        return (self.pending or self.fleets)[0].model.actor


class Endpoints:
    """CreateEndpoint, UpdateEndpoint, UpdateEndpointWeightsAndCapacities, and their Describe, List and Delete."""

    def __init__(self, records: Records, models: Models) -> None:
        self._records = records
        self._models = models
        self._lock = threading.RLock()
        self._moved = threading.Condition()
        self._watching = False
        self._endpoints: list[Endpoint] = []
        # Events leave one after the other and in a thread of their own: whoever is told may ask back.
        self._mail = ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint-events")
        # When an alarm (account, region, name) was raised last.
        self._raised: dict[tuple[str, str, str], float] = {}
        # Whether a variant (account, region, endpoint, variant) is registered with Application Auto Scaling.
        self.is_scaled: Callable[[str, str, str, str], bool] = lambda *_: False

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateEndpoint": self._create,
            "DeleteEndpoint": self._delete,
            "DescribeEndpoint": self._describe,
            "ListEndpoints": self._list,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_weights_and_capacities,
        }

    def in_service(self, caller: Caller, name: str) -> Endpoint | None:
        """The endpoint of that name, if it takes requests."""
        record = self._records.get(ENDPOINT, caller, name)
        found = None if record is None else record.private
        return found if isinstance(found, Endpoint) and found.traffic.open else None

    def lost(self, endpoint: Endpoint, fleet: Fleet, instance: Instance) -> None:
        """An instance has died: it gets nothing more, and is replaced."""
        with self._lock:
            if fleet.retired or instance not in fleet.instances:
                return
            fleet.instances.remove(instance)
            endpoint.traffic.drop(instance)
        _log.warning("The instance %s of %s/%s has died", instance.identity, endpoint.name, fleet.variant)
        self._tell_log(fleet, f"The instance {instance.identity} has died and is replaced.")
        self._start(instance.kill, endpoint)
        self._start(lambda: self._replace(endpoint, fleet), endpoint)

    # --- Requests ---

    def _create(self, request: Request, caller: Caller) -> Members:
        name = request["EndpointName"]
        record = self._records.get(ENDPOINT, caller, name)
        if record is not None:
            raise existing(record)
        config = find(self._records, CONFIG, caller, request["EndpointConfigName"])
        fleets = self._fleets(name, config, caller)
        # For later updates; that it makes sense is said now.
        plan(request.get("DeploymentConfig"), [fleet.desired for fleet in fleets])
        moment = now()
        members = {
            "EndpointName": name,
            "EndpointConfigName": config.name,
            "EndpointStatus": "Creating",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        record = self._records.add(ENDPOINT, caller, name, members, request.get("Tags", ()))
        endpoint = Endpoint(record, caller, config.name, request.get("DeploymentConfig"))
        endpoint.fleets = fleets
        self._records.change(record, EndpointArn=record.arn)
        record.private = endpoint
        with self._lock:
            self._endpoints.append(endpoint)
        self._watch()
        self._show(endpoint)
        self._emit(endpoint)
        self._start(lambda: self._bring_up(endpoint), endpoint)
        return {"EndpointArn": record.arn}

    def _update(self, request: Request, caller: Caller) -> Members:
        endpoint = self._ready(request["EndpointName"], caller)
        config = find(self._records, CONFIG, caller, request["EndpointConfigName"])
        old = {fleet.variant: fleet for fleet in endpoint.fleets}
        green = self._fleets(endpoint.name, config, caller)
        self._check_scaled(endpoint, green)
        excluded = {one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties", ())}
        if request.get("RetainAllVariantProperties"):
            for fleet in green:
                _retain(fleet, old.get(fleet.variant), excluded)
        given = request.get("DeploymentConfig")
        if given is None and request.get("RetainDeploymentConfig"):
            given = endpoint.deployment
        steps = plan(given, [fleet.desired for fleet in green])
        with self._lock:
            self._claim(endpoint)
            endpoint.pending, endpoint.pending_config, endpoint.pending_since = green, config.name, now()
            if given is not None:
                endpoint.deployment = given
            self._status(endpoint, "Updating")
        self._start(lambda: self._deploy(endpoint, steps), endpoint)
        return {"EndpointArn": endpoint.record.arn}

    def _update_weights_and_capacities(self, request: Request, caller: Caller) -> Members:
        endpoint = self._ready(request["EndpointName"], caller)
        known = {fleet.variant: fleet for fleet in endpoint.fleets}
        wanted: dict[str, Mapping[str, Any]] = {}
        for one in request["DesiredWeightsAndCapacities"]:
            if one["VariantName"] not in known:
                raise invalid(f'The variant "{one["VariantName"]}" does not exist in the endpoint {endpoint.name}.')
            if "ServerlessUpdateConfig" in one:
                raise invalid(f'The variant "{one["VariantName"]}" is not serverless.')
            if one.get("DesiredInstanceCount", 1) < 1:
                raise invalid("DesiredInstanceCount must be at least 1.")
            wanted[one["VariantName"]] = one
        with self._lock:
            self._claim(endpoint)
            before = [(fleet, fleet.weight, fleet.desired) for fleet in endpoint.fleets]
            for name, one in wanted.items():
                known[name].weight = one.get("DesiredWeight", known[name].weight)
                known[name].desired = one.get("DesiredInstanceCount", known[name].desired)
            self._status(endpoint, "Updating")
        self._start(lambda: self._rescale(endpoint, before), endpoint)
        return {"EndpointArn": endpoint.record.arn}

    def _delete(self, request: Request, caller: Caller) -> Members:
        endpoint = self._found(request["EndpointName"], caller)
        with self._lock:
            if endpoint.status not in ("InService", "Failed"):
                raise invalid(f'Cannot update in-progress endpoint "{endpoint.record.arn}".')
            self._status(endpoint, "Deleting")
        self._start(lambda: self._take_down(endpoint), endpoint)
        return {}

    def _describe(self, request: Request, caller: Caller) -> Members:
        endpoint = self._found(request["EndpointName"], caller)
        self._show(endpoint)
        with self._records.lock:
            return dict(endpoint.record.members)

    def _list(self, request: Request, caller: Caller) -> Members:
        found, token = self._records.listed(
            ENDPOINT, request, caller, shape="EndpointSummary", name="EndpointName", status="EndpointStatus"
        )
        return {"Endpoints": found, **token}

    def _found(self, name: str, caller: Caller) -> Endpoint:
        endpoint = find(self._records, ENDPOINT, caller, name).private
        if not isinstance(endpoint, Endpoint):
            # It is being made in another thread.
            raise invalid(f'Could not find endpoint "{name}".')
        return endpoint

    def _ready(self, name: str, caller: Caller) -> Endpoint:
        endpoint = self._found(name, caller)
        self._claim(endpoint)
        return endpoint

    def _claim(self, endpoint: Endpoint) -> None:
        if endpoint.status == "Failed":
            raise invalid(f'Cannot update failed endpoint "{endpoint.record.arn}"; it can only be deleted.')
        if endpoint.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.record.arn}".')

    def _check_scaled(self, endpoint: Endpoint, green: Sequence[Fleet]) -> None:
        """What Application Auto Scaling looks after may neither go nor become another type."""
        kept = {fleet.variant: fleet.settings["InstanceType"] for fleet in green}
        where = endpoint.caller.account, endpoint.caller.region, endpoint.name
        gone = [
            fleet.variant
            for fleet in endpoint.fleets
            if kept.get(fleet.variant) != fleet.settings["InstanceType"] and self.is_scaled(*where, fleet.variant)
        ]
        if gone:
            raise invalid(
                f"The variant(s) {gone} must be deregistered as scalable targets with AWS Auto Scaling before they can"
                " be removed or have their instance type updated."
            )

    def _fleets(self, endpoint: str, config: Record, caller: Caller) -> list[Fleet]:
        fleets = []
        for settings in config.members["ProductionVariants"]:
            model = self._models.deployable(caller, settings["ModelName"])
            fleet = Fleet(
                endpoint=endpoint,
                config=config.name,
                settings=settings,
                model=model,
                weight=settings["InitialVariantWeight"],
                desired=settings["InitialInstanceCount"],
            )
            if "DataCaptureConfig" in config.members:
                fleet.capture = self._capture(config.members["DataCaptureConfig"], fleet)
            fleets.append(fleet)
        return fleets

    def _capture(self, config: Mapping[str, Any], fleet: Fleet) -> Capture:
        return Capture(config, fleet.endpoint, fleet.model.worker, lambda line: self._tell_log(fleet, line))

    # --- Bringing up, taking down ---

    def _bring_up(self, endpoint: Endpoint) -> None:
        try:
            _misbehave("CreateEndpoint")
            for fleet in endpoint.fleets:
                self._progress(endpoint, fleet, "Creating", f"Launching {fleet.desired} instance(s).")
            self._launch_all(endpoint.fleets)
        except StartError as error:
            self._status(endpoint, "Failed", str(error))
            return
        self._settle(endpoint)

    def _launch_all(self, fleets: Sequence[Fleet]) -> None:
        """Raises StartError; then none of these fleets has an instance."""
        try:
            for fleet in fleets:
                started = fleet.launch(fleet.desired)
                with self._lock:
                    fleet.instances += started
        except StartError:
            for fleet in fleets:
                self._retire(fleet)
            raise

    def _settle(self, endpoint: Endpoint, reason: str | None = None) -> None:
        """What the endpoint's fleets are is what it is: all traffic to them, InService."""
        with self._lock:
            endpoint.traffic.turn(routes(endpoint.fleets, 1.0))
            for fleet in endpoint.fleets:
                fleet.status = None
            endpoint.pending, endpoint.pending_config = [], ""
            self._status(endpoint, "InService", reason)

    def _take_down(self, endpoint: Endpoint) -> None:
        endpoint.traffic.turn(())
        for fleet in endpoint.fleets:
            fleet.retired = True
            endpoint.traffic.drain(list(fleet.instances))
            self._retire(fleet)
        with self._lock:
            self._endpoints.remove(endpoint)
        self._records.remove(endpoint.record)

    def _retire(self, fleet: Fleet) -> None:
        with self._lock:
            fleet.retired = True
            instances, fleet.instances = fleet.instances, []
        for instance in instances:
            instance.stop()
        if fleet.capture is not None:
            fleet.capture.flush()

    # --- Updates ---

    def _deploy(self, endpoint: Endpoint, steps: Plan) -> None:
        blue, green = endpoint.fleets, endpoint.pending
        began = time.monotonic()
        try:
            _misbehave("UpdateEndpoint")
            self._look_at_alarms(endpoint, steps.alarms)
            for fleet in green:
                self._progress(endpoint, fleet, "Creating", f"Launching {fleet.desired} instance(s).")
            self._launch_all(green)
            _in_time(steps, began)
            self._shift(endpoint, steps)
        except (StartError, _RollbackError) as error:
            self._roll_back(endpoint, str(error))
            return
        with self._lock:
            endpoint.fleets, endpoint.pending = green, []
            endpoint.config, endpoint.pending_config = endpoint.pending_config, ""
        for fleet in blue:
            self._progress(endpoint, fleet, "Deleting", f"Terminating {len(fleet.instances)} instance(s).")
        self._settle(endpoint)
        for fleet in blue:
            endpoint.traffic.drain(list(fleet.instances))
            self._retire(fleet)

    def _shift(self, endpoint: Endpoint, steps: Plan) -> None:
        green, began = endpoint.pending, clock.now()
        until = began
        total = sum(fleet.desired for fleet in green)
        for step in steps.steps:
            with self._lock:
                share = sum(step.active) / total
                old = routes(endpoint.fleets, 1.0 - share) if share < 1 else ()
                endpoint.traffic.turn(old + routes(green, share, step.active))
            for number, fleet in enumerate(green):
                self._progress(endpoint, fleet, "ActivatingTraffic", step.activating(number))
            if step.seconds:
                for number, fleet in enumerate(green):
                    self._progress(endpoint, fleet, "Baking", step.baking(number))
            # Of the moment at which the time before was over: the clock may have been moved far beyond it.
            until += step.seconds
            self._bake(endpoint, began, until, steps.alarms)

    def _bake(self, endpoint: Endpoint, began: float, until: float, names: Sequence[str]) -> None:
        while (left := until - clock.now()) > 0:
            self._look_at_alarms(endpoint, names)
            with self._moved:
                self._moved.wait(min(left, _ALARM_SECONDS))
        if not names:
            return
        alarms.evaluate_now()
        for name in names:
            if began <= self._raised.get((endpoint.caller.account, endpoint.caller.region, name), 0.0) <= until:
                raise _RollbackError(_in_alarm(name))
        if clock.now() - until < _ALARM_MINUTE:
            self._look_at_alarms(endpoint, names)

    def _look_at_alarms(self, endpoint: Endpoint, names: Sequence[str]) -> None:
        """Raises _RollbackError when one is in alarm, not there, or may not be read."""
        for name in names:
            arguments = {"AlarmNames": [name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
            try:
                found = endpoint.actor.call("cloudwatch", "DescribeAlarms", arguments)
            except ServiceError as error:
                raise _RollbackError(f"The alarm {name} could not be read: {error}") from error
            state = next(iter([*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]), None)
            if state is None:
                raise _RollbackError(f"The alarm {name} of the auto-rollback configuration does not exist.")
            if state["StateValue"] == "ALARM":
                raise _RollbackError(_in_alarm(name))

    def _roll_back(self, endpoint: Endpoint, reason: str) -> None:
        green = endpoint.pending
        self._status(endpoint, "RollingBack")
        with self._lock:
            endpoint.traffic.turn(routes(endpoint.fleets, 1.0))
        for fleet in green:
            self._progress(endpoint, fleet, "Deleting", f"Terminating {len(fleet.instances)} instance(s).")
            fleet.retired = True
            endpoint.traffic.drain(list(fleet.instances))
            self._retire(fleet)
        self._settle(endpoint, reason)

    def _rescale(self, endpoint: Endpoint, before: Sequence[tuple[Fleet, float, int]]) -> None:
        started: list[tuple[Fleet, Instance]] = []
        try:
            _misbehave("UpdateEndpointWeightsAndCapacities")
            for fleet, _, desired in before:
                if fleet.desired != desired:
                    way = "out" if fleet.desired > desired else "in"
                    text = f"Scaling {way} desired instance count to {fleet.desired}."
                    self._progress(endpoint, fleet, "Updating", text)
                started += [(fleet, one) for one in fleet.launch(fleet.desired - len(fleet.instances))]
        except StartError as error:
            self._status(endpoint, "RollingBack")
            with self._lock:
                for fleet, weight, desired in before:
                    fleet.weight, fleet.desired = weight, desired
            for _, instance in started:
                instance.stop()
            self._settle(endpoint, str(error))
            return
        with self._lock:
            for fleet, instance in started:
                fleet.instances.append(instance)
            spare = {fleet.variant: fleet.instances[fleet.desired :] for fleet in endpoint.fleets}
            for fleet in endpoint.fleets:
                del fleet.instances[fleet.desired :]
        self._settle(endpoint)
        for instances in spare.values():
            endpoint.traffic.drain(instances)
            for instance in instances:
                instance.stop()

    # --- Looking after instances, captures and metrics ---

    def _watch(self) -> None:
        """Begin to look after endpoints, once: a cloud without any has no threads for them."""
        with self._lock:
            if self._watching:
                return
            self._watching = True
        clock.on_advance(self._clock_moved)
        alarms.on_change.append(self._alarm_changed)
        metrics.on_minutes.append(self._publish)
        threading.Thread(target=self._look_after_instances, name="endpoints", daemon=True).start()
        threading.Thread(target=self._flush_captures, name="captures", daemon=True).start()

    def _alarm_changed(self, scope: alarms.Scope, name: str, state: str, moment: float) -> None:
        if state == ALARM:
            self._raised[scope.account, scope.region, name] = moment

    def _clock_moved(self) -> None:
        with self._moved:
            self._moved.notify_all()

    def _look_after_instances(self) -> None:
        while True:
            time.sleep(_WATCH_SECONDS)
            for endpoint, fleet in self._all():
                for instance in list(fleet.instances):
                    if not instance.running:
                        self.lost(endpoint, fleet, instance)

    def _flush_captures(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            for _, fleet in self._all():
                if fleet.capture is not None:
                    try:
                        fleet.capture.flush()
                    except Exception:  # noqa: BLE001 (one endpoint's captures must not stop the others'; the log tells)
                        _log.exception("Captures of %s could not be written", fleet.endpoint)

    def _all(self) -> list[tuple[Endpoint, Fleet]]:
        with self._lock:
            return [(one, fleet) for one in self._endpoints for fleet in (*one.fleets, *one.pending)]

    def _replace(self, endpoint: Endpoint, fleet: Fleet) -> None:
        def wanted() -> bool:
            with self._lock:
                return not fleet.retired and len(fleet.instances) < fleet.desired

        def arrived(instance: Instance) -> None:
            with self._lock:
                if wanted():
                    fleet.instances.append(instance)
                    self._reroute(endpoint)
                    return
            instance.stop()

        refill(fleet, wanted, arrived)

    def _reroute(self, endpoint: Endpoint) -> None:
        """Let a replaced instance take part. During an update the traffic is turned anew with the next step."""
        if endpoint.status in ("InService", "Updating") and not endpoint.pending and endpoint.traffic.open:
            endpoint.traffic.turn(routes(endpoint.fleets, 1.0))

    def _publish(self, minutes: Sequence[float]) -> None:
        for endpoint, fleet in self._all():
            where = endpoint.caller.account, endpoint.caller.region, endpoint.name, fleet.variant
            used = [one for instance in list(fleet.instances) if (one := instance.utilisation()) is not None]
            for minute in minutes:
                for processor, memory in used:
                    metrics.endpoint_instance(*where, minute, processor, memory)
                if endpoint.traffic.open and endpoint.asked.get(fleet.variant, 0.0) < minute:
                    metrics.endpoint_idle(*where, minute)

    # --- Telling ---

    def _start(self, work: Callable[[], None], endpoint: Endpoint) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 (a bug here must not leave an endpoint in progress for ever)
                _log.exception("The endpoint %s could not be changed", endpoint.name)
                reason = "The local cloud failed; its log says why."
                if endpoint.status == "Creating":
                    self._status(endpoint, "Failed", reason)
                elif endpoint.status in ("Updating", "RollingBack"):
                    self._roll_back(endpoint, reason)

        threading.Thread(target=run, name=f"endpoint-{endpoint.name}", daemon=True).start()

    def _status(self, endpoint: Endpoint, status: str, reason: str | None = None) -> None:
        with self._records.lock:
            endpoint.record.members.pop("FailureReason", None)
            if reason:
                endpoint.record.members["FailureReason"] = reason[:1024]
        self._records.change(endpoint.record, EndpointStatus=status, LastModifiedTime=now())
        self._show(endpoint)
        self._emit(endpoint)

    def _progress(self, endpoint: Endpoint, fleet: Fleet, status: str, message: str) -> None:
        """A variant's part of a deployment has come this far."""
        with self._lock:
            fleet.status = {"Status": status, "StatusMessage": message, "StartTime": now()}
        self._show(endpoint)
        self._emit(endpoint, "SageMaker Endpoint Deployment State Change")

    def _show(self, endpoint: Endpoint) -> None:
        """Bring the record up to what is."""
        with self._lock, self._records.lock:
            members = endpoint.record.members
            for name in ("PendingDeploymentSummary", "DataCaptureConfig"):
                members.pop(name, None)
            shown: Members = {
                "EndpointConfigName": endpoint.config,
                "ProductionVariants": [_variant(fleet) for fleet in endpoint.fleets],
            }
            capture = next((fleet.capture for fleet in endpoint.fleets if fleet.capture is not None), None)
            if capture is not None:
                shown["DataCaptureConfig"] = capture.summary
            if endpoint.deployment is not None:
                shown["LastDeploymentConfig"] = dict(endpoint.deployment)
            if endpoint.pending:
                shown["PendingDeploymentSummary"] = {
                    "EndpointConfigName": endpoint.pending_config,
                    "StartTime": endpoint.pending_since,
                    "ProductionVariants": [_variant(fleet, pending=True) for fleet in endpoint.pending],
                }
            members.update(shown)

    def _emit(self, endpoint: Endpoint, kind: str = "SageMaker Endpoint State Change") -> None:
        with self._records.lock:
            members = dict(endpoint.record.members)
            tags = dict(endpoint.record.tags)
        detail: Members = {
            key: members[key]
            for key in (
                "EndpointName",
                "EndpointArn",
                "EndpointConfigName",
                "ProductionVariants",
                "EndpointStatus",
                "FailureReason",
                "CreationTime",
                "LastModifiedTime",
                "PendingDeploymentSummary",
            )
            if key in members
        }
        detail["EndpointStatus"] = _IN_EVENTS[members["EndpointStatus"]]
        message = "aws.sagemaker", kind, {**eventful(detail), "Tags": tags}, [endpoint.record.arn]
        self._mail.submit(endpoint.caller.emit, *message)

    def _tell_log(self, fleet: Fleet, line: str) -> None:
        stream = fleet.log("data-log")
        stream.write(line)
        stream.flush()


def _in_time(steps: Plan, began: float) -> None:
    """Raises _RollbackError when the start of the instances alone took longer than all may; the waits are known."""
    if steps.most_seconds is not None and time.monotonic() - began > steps.most_seconds:
        raise _RollbackError(f"The deployment took longer than {steps.most_seconds} seconds.")


def _in_alarm(name: str) -> str:
    return f"The alarm {name} of the auto-rollback configuration is in ALARM."


def _retain(fleet: Fleet, old: Fleet | None, excluded: set[str]) -> None:
    """Give a new fleet what the old one of its variant has."""
    if old is None:
        return
    if "DesiredInstanceCount" not in excluded:
        fleet.desired = old.desired
    if "DesiredWeight" not in excluded:
        fleet.weight = old.weight
    if "DataCaptureConfig" not in excluded:
        fleet.capture = old.capture


def _variant(fleet: Fleet, *, pending: bool = False) -> Members:
    image = fleet.model.artefact.image
    members: Members = {
        "VariantName": fleet.variant,
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
        "CurrentWeight": fleet.weight,
        "DesiredWeight": fleet.weight,
        "CurrentInstanceCount": len(fleet.instances),
        "DesiredInstanceCount": fleet.desired,
    }
    if pending:
        members["InstanceType"] = fleet.settings["InstanceType"]
    if "RoutingConfig" in fleet.settings:
        members["RoutingConfig"] = fleet.settings["RoutingConfig"]
    if fleet.status is not None:
        members["VariantStatus"] = [fleet.status]
    return members


def _misbehave(operation: str) -> None:
    """Faults that a test asked for. Raises StartError."""
    for rule in faults.pick_job("sagemaker", operation):
        time.sleep(rule.seconds)
        if rule.kind == "fail-job":
            raise StartError("InternalServerError: We encountered an internal error (a fault that was asked for).")
