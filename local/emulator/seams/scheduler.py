"""EventBridge Scheduler: a schedule calls its target with the target's role, by the movable clock.

MiniStack calls targets as EventBridge's rules do, and asks nobody; its stacks keep a schedule as it was first made.
Here the role makes the request: to a function, a state machine, a queue, a topic, an event bus, a pipeline, or whatever
operation a universal target names. What cannot be delivered is tried again by the target's retry policy, and then goes
to its dead-letter queue, as the role as well. When the clock jumps over several times of a schedule, it is called once.

Not checked: `iam:PassRole` of who makes a schedule, and the key of one. Not served: flexible time windows (a call comes
at once), time zones (UTC), other templated targets (they are told in the emulator's log as lost).

Sources: documentation of `Target` in botocore's model of the service (API Reference), and Amazon EventBridge Scheduler
User Guide, "Configuring a schedule's dead-letter queue in EventBridge Scheduler" (the execution role sends), both read
2026-11-27. Named from memory: the context attributes, the default payload, the attributes of a dead letter, the error
for a role that does not let Scheduler in.
"""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from botocore import xform_name
from ministack.core import responses as _responses
from ministack.services import eventbridge as _events
from ministack.services import scheduler as _scheduler
from ministack.services import sqs as _sqs

from local.emulator import authorise, clock
from local.emulator.seams import delivery, sagemaker
from local.emulator.seams.resource_types import provide
from local.services import resource_types
from local.services.resource_types import Made, Properties, ResourceType

PRINCIPAL = "scheduler.amazonaws.com"
KIND = "AWS::Scheduler::Schedule"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# Services that a universal target calls otherwise than botocore does.
_SDK_NAMES = {"sfn": "stepfunctions", "eventbridge": "events", "cloudwatchlogs": "logs"}

_log = logging.getLogger(__name__)
_ticking = threading.Lock()

Clients = Callable[[str], Any]


def install(movable_time: Any) -> None:
    """Put the hooks in place. `movable_time` stands for the module `time`."""
    _scheduler.time = movable_time
    _tick_one_at_a_time()
    _check_schedules()
    _deliver_as_role()
    provide(KIND, ResourceType(_create, _update, _delete, ("Name", "GroupName"), "Name"))


def _tick_one_at_a_time() -> None:
    tick = _scheduler._tick_schedules

    def ticking() -> None:
        with _ticking:
            tick()

    _scheduler._tick_schedules = ticking
    # A sweep is every ten seconds: who moves the clock need not wait for the next.
    clock.on_advance(lambda: threading.Thread(target=ticking, name="scheduler", daemon=True).start())


def _check_schedules() -> None:
    """A role must let Scheduler in; and a schedule counts its time from when it was made."""

    def checking(make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def making(name: str, body: dict[str, Any]) -> Any:
            role = str((body.get("Target") or {}).get("RoleArn", ""))
            if role and not _lets_in(role, _scheduler._schedule_arn(body.get("GroupName", "default"), name)):
                return _scheduler._error(
                    400,
                    "ValidationException",
                    "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
                )
            # Not while the clock's sweep looks at it: enabled again, it would be called for what it has missed.
            with _ticking:
                answer = make(name, body)
                if answer[0] == 200:
                    _count_from_now(name, body)
            return answer

        return making

    _scheduler._create_schedule = checking(_scheduler._create_schedule)
    _scheduler._update_schedule = checking(_scheduler._update_schedule)


def _count_from_now(name: str, body: Mapping[str, Any]) -> None:
    scope = _responses.get_account_id(), _responses.get_region(), f"{body.get('GroupName', 'default')}/{name}"
    if _scheduler._at_time_epoch(body.get("ScheduleExpression", "")) is None:
        _scheduler._schedule_last_fired[scope] = clock.now()
    else:
        _scheduler._schedule_last_fired.pop(scope, None)


def _lets_in(role: str, schedule: str) -> bool:
    context = {"aws:SourceArn": schedule, "aws:SourceAccount": _responses.get_account_id()}
    return authorise.act_as(PRINCIPAL, "sts:AssumeRole", role, context, path="service-role")


# --- Calls -----------------------------------------------------------------------------------------------------------


def _deliver_as_role() -> None:
    invoke_target = _events._invoke_target

    @functools.wraps(invoke_target)
    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        if event.get("Source") != "aws.scheduler" or "ScheduleExpression" not in rule or "GroupName" not in rule:
            invoke_target(target, event, rule, view)
            return
        run = functools.partial(_call, dict(target), dict(event), str(rule["Arn"]))
        # Each call takes its time, and the sweep does not wait for it.
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()

    _events._invoke_target = invoke


def _call(target: dict[str, Any], event: Mapping[str, Any], schedule: str) -> None:
    moment = datetime.fromtimestamp(event["Time"], tz=timezone.utc).replace(second=0, microsecond=0)
    told = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    execution = str(uuid.uuid4())
    values = {"schedule-arn": schedule, "scheduled-time": told, "execution-id": execution, "attempt-number": "1"}
    payload = target.get("Input") or json.dumps(_default(schedule, told, execution))
    for name, value in values.items():
        payload = payload.replace(f"<aws.scheduler.{name}>", value)
    request = functools.partial(_request, target, payload)
    attempt = functools.partial(delivery.as_role, str(target.get("RoleArn", "")), schedule, request, PRINCIPAL)
    undelivered = functools.partial(_to_dead_letters, execution, told)
    delivery.deliver(attempt, payload, schedule, target, undelivered)


def _default(schedule: str, told: str, execution: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": execution,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": schedule.split(":")[4],
        "time": told,
        "region": schedule.split(":")[3],
        "resources": [schedule],
        "detail": "{}",
    }


def _request(target: Mapping[str, Any], payload: str, client: Clients) -> None:
    arn = str(target["Arn"])
    if arn.startswith(_UNIVERSAL):
        service, action = arn.removeprefix(_UNIVERSAL).split(":")
        operation = action[:1].upper() + action[1:]
        getattr(client(_SDK_NAMES.get(service, service)), xform_name(operation))(**json.loads(payload))
        return
    call = _TEMPLATED.get(arn.split(":")[2])
    if call is None or (arn.split(":")[2] == "sagemaker" and not sagemaker.is_pipeline(arn)):
        _log.warning("A call of a schedule is lost: this local cloud does not serve the target %s", arn)
        return
    call(client, target, payload)


def _to_function(client: Clients, target: Mapping[str, Any], payload: str) -> None:
    client("lambda").invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=payload.encode())


def _to_machine(client: Clients, target: Mapping[str, Any], payload: str) -> None:
    client("stepfunctions").start_execution(stateMachineArn=target["Arn"], input=payload)


def _to_queue(client: Clients, target: Mapping[str, Any], payload: str) -> None:
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    more = {"MessageGroupId": group} if group else {}
    client("sqs").send_message(QueueUrl=_url(target["Arn"]), MessageBody=payload, **more)


def _to_topic(client: Clients, target: Mapping[str, Any], payload: str) -> None:
    client("sns").publish(TopicArn=target["Arn"], Message=payload)


def _to_bus(client: Clients, target: Mapping[str, Any], payload: str) -> None:
    names = target.get("EventBridgeParameters") or {}
    entry = {"EventBusName": target["Arn"], "Detail": payload, **names}
    client("events").put_events(Entries=[entry])


def _to_pipeline(client: Clients, target: Mapping[str, Any], _payload: str) -> None:
    client("sagemaker").start_pipeline_execution(**sagemaker.pipeline_request(target))


_TEMPLATED: Mapping[str, Callable[[Clients, Mapping[str, Any], str], None]] = {
    "lambda": _to_function,
    "states": _to_machine,
    "sqs": _to_queue,
    "sns": _to_topic,
    "events": _to_bus,
    "sagemaker": _to_pipeline,
}


def _url(queue_arn: str) -> str:
    return str(_sqs._queue_url(queue_arn.rpartition(":")[2]))


def _to_dead_letters(  # noqa: PLR0917 (a call's number and time, then what every undelivered thing has)
    execution: str,
    told: str,
    problem: tuple[str, str],
    payload: str,
    schedule: str,
    target: dict[str, Any],
    more: Mapping[str, str],
) -> None:
    letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    attributes = {
        "ERROR_CODE": problem[0],
        "ERROR_MESSAGE": problem[1][:1000],
        "EXECUTION_ID": execution,
        "EXECUTION_TIME": told,
        "SCHEDULE_ARN": schedule,
        "TARGET_ARN": str(target["Arn"]),
        **more,
    }
    texts = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    lost: Any = ("", "there is no dead-letter queue")
    if letters:
        lost, _ = delivery.as_role(
            str(target.get("RoleArn", "")),
            schedule,
            lambda client: client("sqs").send_message(
                QueueUrl=_url(letters), MessageBody=payload, MessageAttributes=texts
            ),
            PRINCIPAL,
        )
    if lost is not None:
        _log.warning("A call of %s is lost: %s; %s", schedule, problem[1], lost[1])


# --- CloudFormation --------------------------------------------------------------------------------------------------


def _create(logical_id: str, properties: Properties, stack: str) -> Made:
    given = {"Name": resource_types.physical_name(stack, logical_id, 64), **properties}
    return given["Name"], {"Arn": resource_types.call("scheduler", "CreateSchedule", given)["ScheduleArn"]}


def _update(physical_id: str, _old: Properties, new: Properties) -> Made:
    given = {**new, "Name": physical_id}
    return physical_id, {"Arn": resource_types.call("scheduler", "UpdateSchedule", given)["ScheduleArn"]}


def _delete(physical_id: str, properties: Properties) -> None:
    group = {"GroupName": properties["GroupName"]} if "GroupName" in properties else {}
    resource_types.unless_gone(
        lambda: resource_types.call("scheduler", "DeleteSchedule", {"Name": physical_id, **group}),
        "ResourceNotFoundException",
    )
