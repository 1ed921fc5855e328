"""Evaluates the alarms of the emulated CloudWatch, when CloudWatch would, and does what a change of state asks for.

A thread looks every second whether an alarm's time has come; `evaluate_now` evaluates all at once. Minutes that the
clock jumped over are evaluated one after the other. An alarm that cannot be evaluated here is INSUFFICIENT_DATA with
EvaluationState EVALUATION_ERROR and the reason, never OK by accident; `states` says so too.

Sources: Amazon CloudWatch User Guide, "Alarm events and EventBridge"; AWS re:Post Knowledge Center, "Why didn't I
receive an SNS notification for my CloudWatch alarm trigger?" (both read in 2026-11); the shape of the notification is
that of messages which real alarms sent.
"""

import functools
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from local.emulator import clock, metrics
from local.emulator.alarm_evaluation import (
    ALARM,
    HIGH_RESOLUTION,
    INSUFFICIENT_DATA,
    OK,
    NotEvaluated,
    Source,
    Verdict,
    evaluate,
    evaluated_at,
)
from local.emulator.alarm_rule import AlarmRule, parse

# Of the minutes that the clock jumps over, this many are evaluated one by one.
CAUGHT_UP_MINUTES = 180
ACTIONS = {ALARM: "AlarmActions", OK: "OKActions", INSUFFICIENT_DATA: "InsufficientDataActions"}
METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"

Definition = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """The account and region of an alarm."""

    account: str
    region: str


class Backend(Protocol):
    """The emulated CloudWatch and what it acts on; the seams provide it."""

    def definitions(self, kind: str) -> Iterable[tuple[Scope, Definition]]:
        """Every alarm of a kind (MetricAlarm, CompositeAlarm), as the store keeps it: changing it changes the alarm."""

    def source(self, scope: Scope) -> Source:
        """Reads the metrics of one account and region."""

    def add_history(self, scope: Scope, item: dict[str, str]) -> None:
        """Append to the alarm history."""

    def notify(self, scope: Scope, topic_arn: str, alarm_arn: str, subject: str, message: str) -> str | None:
        """Publish to a topic as CloudWatch, if the policies of topic and key let it; else why not."""

    def emit(self, scope: Scope, event: dict[str, Any]) -> None:
        """Put an event on the default event bus."""


# An alarm's action on a scaling policy: its scope, the policy's ARN, the alarm's name, its metric's latest value and
# the moment. Returns why it could not be carried out, or None. It is called under a lock, and must not wait.
Scaler = Callable[[Scope, str, str, float, float], "str | None"]
_SCALING = "arn:aws:autoscaling:"

_backend: Backend | None = None
_scaler: Scaler | None = None
# Called with each change of state, under a lock: scope, the alarm's name, its new state, the moment.
on_change: list[Callable[[Scope, str, str, float], None]] = []
_lock = threading.RLock()
# The definition that each alarm was last evaluated by, and the moment; for a composite, the states that it saw.
_seen: dict[tuple[str, str, str, str], tuple[Definition | None, Any]] = {}
_wake = threading.Event()
_EVERY_SECONDS = 1.0


def start(backend: Backend) -> None:
    """Take over evaluation. Once a process."""
    global _backend  # noqa: PLW0603 (one backend a process)
    _backend = backend
    clock.on_advance(metrics.sample)
    clock.on_advance(_wake.set)
    threading.Thread(target=_run, name="alarms", daemon=True).start()


def use_scaler(scaler: Scaler) -> None:
    """Set who carries out actions on scaling policies; the seams do so once."""
    global _scaler  # noqa: PLW0603 (one a process)
    _scaler = scaler


def evaluate_now() -> dict[str, str]:
    """Publish what services publish each minute, evaluate every alarm, and return `states()`."""
    _pass(forced=True)
    return states()


def states() -> dict[str, str]:
    """Alarm name to OK, ALARM, INSUFFICIENT_DATA, or `not evaluated here: ...`."""
    if _backend is None:
        return {}
    return {
        alarm["AlarmName"]: alarm["StateReason"] if alarm.get("EvaluationState") else alarm["StateValue"]
        for kind in (METRIC, COMPOSITE)
        for _, alarm in _backend.definitions(kind)
    }


def state_was_set(account: str, region: str, alarm: Definition, old: str, new: str) -> None:
    """SetAlarmState changed an alarm's state: its actions are due, and the composites above it look again."""
    scope = Scope(account, region)
    with _lock:
        alarm.pop("EvaluationState", None)
        # An evaluation may have come between, and changed it once more. What was set is told all the same.
        _act(scope, {**alarm, "StateValue": new}, old)
        _evaluate_composites(forced=False)


def _run() -> None:
    while True:
        _wake.wait(_EVERY_SECONDS)
        _wake.clear()
        try:
            _pass(forced=False)
        except Exception:  # noqa: BLE001 (the next second may be better; the log tells)
            _log.exception("Alarms could not be evaluated")


def _pass(*, forced: bool) -> None:
    if _backend is None:
        return
    with _lock:
        metrics.sample()
        alive = set()
        for scope, alarm in list(_backend.definitions(METRIC)):
            alive.add(_key(METRIC, scope, alarm))
            try:
                _evaluate_metric_alarm(scope, alarm, forced=forced)
            except Exception:  # noqa: BLE001 (one alarm must not stop the others; the log tells)
                _log.exception("The alarm %s could not be evaluated", alarm["AlarmName"])
        alive |= _evaluate_composites(forced=forced)
        for key in _seen.keys() - alive:
            del _seen[key]


def _key(kind: str, scope: Scope, alarm: Definition) -> tuple[str, str, str, str]:
    return kind, scope.account, scope.region, alarm["AlarmName"]


# --- metric alarms ----------------------------------------------------------------------------------------------------


def _evaluate_metric_alarm(scope: Scope, alarm: Definition, *, forced: bool) -> None:
    backend = _needed()
    key = _key(METRIC, scope, alarm)
    before, last = _seen.get(key, (None, None))
    try:
        due = evaluated_at(alarm, clock.now())
        if before is not alarm or last is None:
            # The clock may have been moved since the alarm was made, before it was first looked at.
            made = float(alarm.get("AlarmConfigurationUpdatedTimestamp") or due)
            first = min(evaluated_at(alarm, made), due)
            moments = [first, *_moments(alarm, first, due)]
        elif due > last:
            moments = _moments(alarm, last, due)
        else:
            moments = [due] if forced else []
        _seen[key] = (alarm, due)
        for moment in moments:
            verdict = evaluate(alarm, backend.source(scope), moment)
            alarm.pop("EvaluationState", None)
            if verdict.state is not None and verdict.state != alarm["StateValue"]:
                _change(scope, alarm, verdict, moment)
            _scale(scope, alarm, verdict, moment)
    except NotEvaluated as error:
        _seen[key] = (alarm, None)
        _refuse(scope, alarm, str(error))


def _moments(alarm: Definition, last: float, due: float) -> list[float]:
    """The moments after `last`, up to `due`, at which this alarm is evaluated."""
    step = 10 if alarm.get("Period") in HIGH_RESOLUTION else 60
    steps = min(round((due - last) / step), CAUGHT_UP_MINUTES)
    return [due - back * step for back in reversed(range(steps))]


def _refuse(scope: Scope, alarm: Definition, why: str) -> None:
    reason = f"not evaluated here: {why}"
    if alarm.get("EvaluationState") and alarm["StateReason"] == reason:
        return
    if alarm["StateValue"] != INSUFFICIENT_DATA:
        _change(scope, alarm, Verdict(INSUFFICIENT_DATA, reason, {}), clock.now())
    alarm["StateReason"] = reason
    alarm["EvaluationState"] = "EVALUATION_ERROR"


# --- composite alarms -------------------------------------------------------------------------------------------------


def _evaluate_composites(*, forced: bool) -> set[tuple[str, str, str, str]]:
    """Until nothing changes: a composite may stand on composites. A circle ends after as many rounds as there are."""
    composites = list(_needed().definitions(COMPOSITE))
    for again in range(len(composites)):
        changed = [_evaluate_composite(scope, alarm, forced=forced and not again) for scope, alarm in composites]
        if not any(changed):
            break
    return {_key(COMPOSITE, scope, alarm) for scope, alarm in composites}


def _evaluate_composite(scope: Scope, alarm: Definition, *, forced: bool) -> bool:
    """Whether it changed its state. Its rule is looked at when it is new, or an alarm that it names has changed."""
    key = _key(COMPOSITE, scope, alarm)
    try:
        rule = parse(alarm["AlarmRule"])
        children = _children(scope, rule)
    except NotEvaluated as error:
        _seen.pop(key, None)
        _refuse(scope, alarm, str(error))
        return False
    seen = [child["StateValue"] for child in children.values()]
    before, last = _seen.get(key, (None, None))
    if before is alarm and last == seen and not forced:
        return False
    _seen[key] = (alarm, seen)
    alarm.pop("EvaluationState", None)
    state = ALARM if rule.holds(lambda name: str(children[name]["StateValue"])) else OK
    if state == alarm["StateValue"]:
        return False
    changed = _latest(children.values())
    if before is None or not changed:
        reason = f"{alarm['AlarmArn']} was created and its alarm rule evaluates to {state}"
    else:
        moment = datetime.fromtimestamp(changed["StateUpdatedTimestamp"], timezone.utc)
        reason = (
            f"{changed['AlarmArn']} transitioned to {changed['StateValue']} at"
            f" {moment.strftime('%A %d %B, %Y %H:%M:%S UTC')}"
        )
    data = {"triggeringAlarms": [_triggering(child) for child in children.values()]}
    _change(scope, alarm, Verdict(state, reason, data), clock.now())
    return True


def _children(scope: Scope, rule: AlarmRule) -> dict[str, Definition]:
    """The alarms that a rule names. Raises NotEvaluated when one is not there or not evaluated itself."""
    known = {
        alarm["AlarmName"]: alarm
        for kind in (METRIC, COMPOSITE)
        for where, alarm in _needed().definitions(kind)
        if where == scope
    }
    children = {}
    for name in rule.names:
        child = known.get(name.partition(":alarm:")[2] if name.startswith("arn:") else name)
        if child is None:
            raise NotEvaluated(f"the alarm {name!r} is not there")
        if child.get("EvaluationState"):
            raise NotEvaluated(f"the alarm {name!r} is not evaluated")
        children[name] = child
    return children


def _latest(alarms: Iterable[Definition]) -> Definition | None:
    return max(alarms, key=lambda alarm: float(alarm["StateUpdatedTimestamp"]), default=None)


def _triggering(alarm: Definition) -> dict[str, Any]:
    return {
        "arn": alarm["AlarmArn"],
        "state": {"value": alarm["StateValue"], "timestamp": _iso(alarm["StateUpdatedTimestamp"])},
    }


# --- a change of state ------------------------------------------------------------------------------------------------


def _change(scope: Scope, alarm: Definition, verdict: Verdict, moment: float) -> None:
    old = _state_of(alarm)
    alarm["StateValue"] = verdict.state
    alarm["StateReason"] = verdict.reason
    alarm["StateReasonData"] = json.dumps(verdict.data)
    alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = int(moment)
    summary = f"Alarm updated from {old['stateValue']} to {verdict.state}"
    _add_history(
        scope, alarm, "StateUpdate", summary, {"version": "1.0", "oldState": old, "newState": _state_of(alarm)}
    )
    _act(scope, alarm, old["stateValue"])


def _state_of(alarm: Definition) -> dict[str, Any]:
    state = {"stateValue": alarm["StateValue"], "stateReason": alarm["StateReason"]}
    if data := _reason_data(alarm):
        state["stateReasonData"] = data
    return state


def _reason_data(alarm: Definition) -> dict[str, Any]:
    """Empty when there are none, or when whoever set the state gave something that is no object."""
    try:
        data = json.loads(alarm.get("StateReasonData") or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _act(scope: Scope, alarm: Definition, old: str) -> None:
    """What a change is followed by: an event always, the actions of the new state when actions are enabled."""
    backend = _needed()
    for listener in on_change:
        listener(scope, alarm["AlarmName"], alarm["StateValue"], float(alarm["StateUpdatedTimestamp"]))
    backend.emit(scope, _event(scope, alarm, old))
    if not alarm.get("ActionsEnabled", True):
        return
    for action in alarm.get(ACTIONS[alarm["StateValue"]]) or []:
        if action.startswith(_SCALING) and _scaler is not None:
            continue
        failure = _notify(scope, alarm, old, action)
        summary = f"Failed to execute action {action}" if failure else f"Successfully executed action {action}"
        if failure:
            _log.warning("Alarm %s: %s: %s", alarm["AlarmName"], summary, failure)
            summary += f'. Received error: "{failure}"'
        data = {"actionState": "Failed" if failure else "Succeeded", "notificationResource": action, "error": failure}
        _add_history(scope, alarm, "Action", summary, data)


def _scale(scope: Scope, alarm: Definition, verdict: Verdict, moment: float) -> None:
    """Carry out actions on scaling policies, with each evaluation that leaves the alarm in their state.

    They are repeated once a minute as long as the alarm stays in the state, unlike notifications: Amazon CloudWatch
    User Guide, "Alarm actions", named from memory.
    """
    values = verdict.data.get("recentDatapoints")
    if _scaler is None or not values or not alarm.get("ActionsEnabled", True):
        return
    for action in alarm.get(ACTIONS[alarm["StateValue"]]) or []:
        if action.startswith(_SCALING):
            failure = _scaler(scope, action, alarm["AlarmName"], float(values[-1]), moment)
            if failure:
                _log.warning("Alarm %s: failed to execute action %s: %s", alarm["AlarmName"], action, failure)


def _notify(scope: Scope, alarm: Definition, old: str, action: str) -> str | None:
    """Carry out one action; why it failed, or None."""
    if not action.startswith("arn:aws:sns:"):
        return "This local cloud notifies Amazon SNS topics and scaling policies only."
    region = _region_name(scope.region)
    subject = f'{alarm["StateValue"]}: "{alarm["AlarmName"]}" in {region}'[:100]
    message = json.dumps(_message(scope, alarm, old, region))
    return _needed().notify(scope, action, alarm["AlarmArn"], subject, message)


def _message(scope: Scope, alarm: Definition, old: str, region: str) -> dict[str, Any]:
    message = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": scope.account,
        "AlarmConfigurationUpdatedTimestamp": _iso(alarm["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": alarm["StateValue"],
        "NewStateReason": alarm["StateReason"],
        "StateChangeTime": _iso(alarm["StateUpdatedTimestamp"]),
        "Region": region,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old,
        **{name: alarm.get(name) or [] for name in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }
    if "AlarmRule" in alarm:
        children = _reason_data(alarm).get("triggeringAlarms", [])
        return {
            **message,
            "AlarmRule": alarm["AlarmRule"],
            "TriggeringChildren": [
                {"Arn": child["arn"], "State": {"Value": child["state"]["value"]}} for child in children
            ],
        }
    return {**message, "Trigger": _trigger(alarm)}


def _trigger(alarm: Definition) -> dict[str, Any]:
    if alarm.get("Metrics"):
        watched: dict[str, Any] = {"Metrics": alarm["Metrics"]}
    else:
        extended = alarm.get("ExtendedStatistic")
        watched = {
            "MetricName": alarm["MetricName"],
            "Namespace": alarm["Namespace"],
            "StatisticType": "ExtendedStatistic" if extended else "Statistic",
            # The message spells statistics in capitals.
            **({"ExtendedStatistic": extended} if extended else {"Statistic": alarm["Statistic"].upper()}),
            "Unit": alarm.get("Unit"),
            "Dimensions": [{"value": one["Value"], "name": one["Name"]} for one in alarm.get("Dimensions") or []],
            "Period": alarm["Period"],
        }
    to_alarm = alarm.get("DatapointsToAlarm")
    return {
        **watched,
        "EvaluationPeriods": alarm["EvaluationPeriods"],
        **({"DatapointsToAlarm": to_alarm} if to_alarm else {}),
        "ComparisonOperator": alarm["ComparisonOperator"],
        "Threshold": alarm["Threshold"],
        "TreatMissingData": alarm.get("TreatMissingData") or "",
        "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile") or "",
    }


def _event(scope: Scope, alarm: Definition, old: str) -> dict[str, Any]:
    """`previousState` carries the state alone: the reason before the last is not kept."""
    configuration: dict[str, Any] = {"description": alarm.get("AlarmDescription") or ""}
    if "AlarmRule" in alarm:
        configuration["alarmRule"] = alarm["AlarmRule"]
    else:
        configuration["metrics"] = [_event_metric(one) for one in _event_queries(alarm)]
    return {
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "resources": [alarm["AlarmArn"]],
        "detail": {
            "alarmName": alarm["AlarmName"],
            "configuration": configuration,
            "previousState": {"value": old},
            "state": {
                "reason": alarm["StateReason"],
                **({"reasonData": alarm["StateReasonData"]} if alarm.get("StateReasonData") else {}),
                "timestamp": _iso(alarm["StateUpdatedTimestamp"]),
                "value": alarm["StateValue"],
            },
        },
    }


def _event_queries(alarm: Definition) -> list[dict[str, Any]]:
    if alarm.get("Metrics"):
        queries: list[dict[str, Any]] = alarm["Metrics"]
        return queries
    metric = {name: alarm.get(name) for name in ("Namespace", "MetricName", "Dimensions")}
    stat = {"Metric": metric, "Period": alarm["Period"], "Stat": alarm.get("ExtendedStatistic") or alarm["Statistic"]}
    return [{"Id": str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"])), "MetricStat": stat, "ReturnData": True}]


def _event_metric(query: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    if "Expression" in query:
        return {**found, "expression": query["Expression"]}
    stat = query["MetricStat"]
    metric = stat["Metric"]
    found["metricStat"] = {
        "metric": {
            "dimensions": {one["Name"]: one["Value"] for one in metric.get("Dimensions") or []},
            "name": metric["MetricName"],
            "namespace": metric["Namespace"],
        },
        "period": stat["Period"],
        "stat": stat["Stat"],
    }
    return found


def _add_history(scope: Scope, alarm: Definition, item: str, summary: str, data: Mapping[str, Any]) -> None:
    backend = _needed()
    backend.add_history(
        scope,
        {
            "AlarmName": alarm["AlarmName"],
            "AlarmType": COMPOSITE if "AlarmRule" in alarm else METRIC,
            "Timestamp": datetime.fromtimestamp(clock.now(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "HistoryItemType": item,
            "HistorySummary": summary,
            "HistoryData": json.dumps(data),
        },
    )


@functools.cache
def _region_name(region: str) -> str:
    """As the notification names it: `US East (N. Virginia)`."""
    from botocore.loaders import Loader

    for partition in Loader().load_data("partitions")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region].get("description", region))
    return region


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _needed() -> Backend:
    if _backend is None:
        raise RuntimeError("The seams are not installed")
    return _backend
