"""State machines' logs, traces, metrics and keys, and what AWS checks when one is made or started.

Not as on AWS: an execution is one X-Ray segment without subsegments, a log stream is one a day, and `TestState` and
express workflows have neither. Not asked: the second use of the key, for the logs of a state machine that has one.

Sources: AWS Step Functions Developer Guide, "Step Functions service quotas" and "Using CloudWatch Logs to log execution
history in Step Functions" (levels), read 2026-11-25; the same (permissions), "Trace Step Functions request data in AWS
X-Ray", "X-Ray" (permissions) and "Monitoring Step Functions metrics using Amazon CloudWatch", read 2026-11-26. Actions
and encryption context of the key: the statement that AWS CDK gives a state machine's role, read 2026-11-26; of "Data at
rest encryption in Step Functions" only the beginning could be read.
"""

import contextvars
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ministack.core import responses as _responses
from ministack.services import cloudwatch_logs as _logs
from ministack.services import kms as _kms
from ministack.services import stepfunctions as _sfn

from local.emulator import authorise, clock, metrics, xray
from local.emulator.seams import states

Response = tuple[int, dict[str, str], Any]

LOG_ACTIONS = authorise.PATHS["state-machine-logs"].actions
TRACE_ACTIONS = authorise.PATHS["state-machine-traces"].actions
_FATAL = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
# "Log levels for Step Functions execution events": what ERROR logs beside.
_ERROR = _FATAL | {"FailStateEntered"}
_ERROR_ENDINGS = ("Aborted", "Failed", "TimedOut")
# What is execution data in an event's details.
_DATA = ("input", "output", "parameters", "inputDetails", "outputDetails")
_ROOT = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})")
# The trace header of the request that starts an execution; MiniStack drops it.
_trace_header: contextvars.ContextVar[str] = contextvars.ContextVar("trace_header", default="")


def install() -> None:
    """Put the hooks in place."""
    states.on_event.append(_log_event)
    states.on_status.append(_status_changed)
    states.on_throttle.append(_throttled)
    states.before_run.append(_check_key)
    _sfn._create_state_machine = _checking_definition(_sfn._create_state_machine)
    _sfn._update_state_machine = _checking_definition(_sfn._update_state_machine)
    _sfn._start_execution = _checking_start(_sfn._start_execution)
    _sfn._describe_state_machine = _with_tracing(_sfn._describe_state_machine)


# --- Made and started ------------------------------------------------------------------------------------------------


def _refused(code: str, message: str) -> Response:
    answer: Response = _responses.error_response_json(code, message, 400)
    return answer


def _checking_definition(make: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    def making(data: dict[str, Any]) -> Response:
        old = _sfn._state_machines.get(data.get("stateMachineArn", "")) or {}
        definition = data.get("definition")
        if definition is not None and (problem := problem_of(definition)):
            return problem
        role = data.get("roleArn") or old.get("roleArn", "")
        logging = data.get("loggingConfiguration") or {}
        arn = data.get("stateMachineArn") or _arn_of(str(data.get("name", "")))
        if problem := _problem_of_role(str(role), arn, logging):
            return problem
        answer = make(data)
        if answer[0] == 200 and "tracingConfiguration" in data:
            _sfn._state_machines[arn]["tracingConfiguration"] = data["tracingConfiguration"]
        return answer

    return making


def problem_of(definition: str) -> Response | None:
    """What is wrong with a definition: too long, no JSON, or states that are not there."""
    if len(definition.encode()) > states.DEFINITION_LIMIT_BYTES:
        return _refused(
            "ValidationException",
            "1 validation error detected: Value at 'definition' failed to satisfy constraint: Member must have length "
            f"less than or equal to {states.DEFINITION_LIMIT_BYTES}",
        )
    try:
        read = json.loads(definition)
    except ValueError as error:
        return _refused("InvalidDefinition", f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'")
    problems = _problems(read, "")
    if problems:
        listed = ", ".join(f"SCHEMA_VALIDATION_FAILED: {problem}" for problem in problems)
        return _refused("InvalidDefinition", f"Invalid State Machine Definition: '{listed}'")
    return None


def _problems(machine: Any, path: str) -> list[str]:
    if not isinstance(machine, dict) or not isinstance(machine.get("States"), dict):
        return [f"These fields are required: [States] at {path or '/'}"]
    names = machine["States"]
    found = []
    if machine.get("StartAt") not in names:
        found.append(f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {machine.get('StartAt')} at {path}/StartAt")
    for name, state in names.items():
        here = f"{path}/States/{name}"
        choices = state.get("Choices", [])
        targets = [state.get("Next"), state.get("Default"), *(item.get("Next") for item in choices)]
        targets += [catcher.get("Next") for catcher in state.get("Catch", [])]
        found += [
            f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {here}"
            for target in targets
            if target is not None and target not in names
        ]
        inner = state.get("ItemProcessor") or state.get("Iterator")
        found += _problems(inner, f"{here}/ItemProcessor") if inner else []
        for index, branch in enumerate(state.get("Branches", [])):
            found += _problems(branch, f"{here}/Branches[{index}]")
    return found


def _arn_of(name: str) -> str:
    return f"arn:aws:states:{_responses.get_region()}:{_responses.get_account_id()}:stateMachine:{name}"


def _problem_of_role(role: str, machine: str, logging: Mapping[str, Any]) -> Response | None:
    context = {"aws:SourceArn": machine, "aws:SourceAccount": _responses.get_account_id()}
    if not authorise.act_as("states.amazonaws.com", "sts:AssumeRole", role, context, path="service-role"):
        message = (
            "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume "
            "the provided role."
        )
        return _refused("AccessDeniedException", message)
    if _group_of(logging) is None:
        return None
    if not _may(role, LOG_ACTIONS, "state-machine-logs"):
        message = "The state machine IAM Role is not authorized to access the Log Destination"
        return _refused("AccessDeniedException", message)
    return None


def provisioned(arn: str, properties: Mapping[str, Any]) -> None:
    """Complete a state machine that a stack made. Raises ValueError for what CreateStateMachine would refuse."""
    machine = _sfn._state_machines[arn]
    machine["loggingConfiguration"] = _lower(properties.get("LoggingConfiguration")) or {
        "level": "OFF",
        "includeExecutionData": False,
    }
    machine["tracingConfiguration"] = _lower(properties.get("TracingConfiguration")) or {"enabled": False}
    problem = problem_of(machine["definition"]) or _problem_of_role(
        machine["roleArn"], arn, machine["loggingConfiguration"]
    )
    if problem is not None:
        raise ValueError(json.loads(problem[2])["message"])


def _lower(value: Any) -> Any:
    """A template's properties as the API names them."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: _lower(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_lower(item) for item in value]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _checking_start(start: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    def starting(data: dict[str, Any]) -> Response:
        given = data.get("input", "{}")
        if len(given.encode()) > states.DATA_LIMIT_BYTES:
            refused: Response = states.too_long("input")
            return refused
        try:
            json.loads(given)
        except ValueError as error:
            return _refused("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'")
        token = _trace_header.set(str(data.get("traceHeader") or ""))
        try:
            return start(data)
        finally:
            _trace_header.reset(token)

    return starting


def _with_tracing(describe: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    def describing(data: dict[str, Any]) -> Response:
        status, headers, body = describe(data)
        if status == 200:
            found = json.loads(body)
            found.setdefault("tracingConfiguration", {"enabled": False})
            body = json.dumps(found).encode()
        return status, headers, body

    return describing


def _may(role: str, actions: tuple[str, ...], path: str) -> bool:
    # All are asked, so that each one that is missing is recorded.
    return all([authorise.act_as(role, action, "*", path=path) for action in actions])  # noqa: C419


# --- Keys ------------------------------------------------------------------------------------------------------------


def key_of(machine: Mapping[str, Any]) -> str | None:
    """The ARN of the customer's key of a state machine."""
    record = _kms._resolve_key((machine.get("encryptionConfiguration") or {}).get("kmsKeyId") or "")
    return None if record is None else str(record["Arn"])


def _check_key(machine: Mapping[str, Any]) -> None:
    """The role encrypts and decrypts what an execution holds. Callers' use of the key is not checked."""
    key = key_of(machine)
    context = {
        "kms:ViaService": f"states.{_responses.get_region()}.amazonaws.com",
        "kms:EncryptionContext:aws:states:stateMachineArn": machine["stateMachineArn"],
    }
    for action in ("kms:GenerateDataKey", "kms:Decrypt") if key else ():
        if not authorise.act_as(machine["roleArn"], action, str(key), context, path="customer-key"):
            raise _sfn._ExecutionError("States.Runtime", f"{machine['roleArn']} is not authorized to {action} {key}.")


# --- Logs ------------------------------------------------------------------------------------------------------------


def _group_of(logging: Mapping[str, Any]) -> str | None:
    if logging.get("level", "OFF") == "OFF" or not logging.get("destinations"):
        return None
    arn = str(logging["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"])
    return arn.partition(":log-group:")[2].removesuffix(":*")


_log_lock = threading.Lock()
# By the ARN of an execution, whether its role may log.
_may_log: dict[str, bool] = {}


def _log_event(execution: dict[str, Any], event: dict[str, Any]) -> None:
    if execution.get("sync"):
        return
    machine = _sfn._state_machines.get(execution["stateMachineArn"]) or {}
    logging = machine.get("loggingConfiguration") or {}
    group = _group_of(logging)
    if group is None:
        return
    arn = execution["executionArn"]
    if arn not in _may_log:
        _may_log[arn] = _may(machine["roleArn"], LOG_ACTIONS, "state-machine-logs")
    if not _may_log[arn] or group not in _logs._log_groups:
        return
    # The first event is not added as the others are.
    events = [execution["events"][0], event] if event["id"] == 2 else [event]
    records = [_record(arn, item, logging) for item in events if _is_logged(item["type"], logging["level"])]
    if records:
        _write(group, machine["name"], records)


def _is_logged(kind: str, level: str) -> bool:
    if level == "ALL":
        return True
    if level == "FATAL":
        return kind in _FATAL
    return kind in _ERROR or kind.endswith(_ERROR_ENDINGS)


def _record(arn: str, event: Mapping[str, Any], logging: Mapping[str, Any]) -> dict[str, Any]:
    details: Mapping[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    if not logging.get("includeExecutionData"):
        details = {name: value for name, value in details.items() if name not in _DATA}
    moment = int(datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")).timestamp() * 1000)
    text = {
        "id": str(event["id"]),
        "type": event["type"],
        "details": details,
        "redrive_count": "0",
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(moment),
        "execution_arn": arn,
    }
    return {"timestamp": moment, "message": json.dumps(text, ensure_ascii=False)}


def _write(group: str, name: str, records: list[dict[str, Any]]) -> None:
    stream = f"states/{name}/{time.strftime('%Y-%m-%d', time.gmtime(clock.now()))}"
    where = {"logGroupName": group, "logStreamName": stream}
    with _log_lock:
        if stream not in _logs._log_groups[group]["streams"]:
            _logs._create_log_stream(where)
        _logs._put_log_events({**where, "logEvents": records})


# --- Metrics and traces ----------------------------------------------------------------------------------------------


def _status_changed(execution: dict[str, Any]) -> None:
    if execution.get("sync"):
        return
    status = execution["status"]
    account, region = _responses.get_account_id(), _responses.get_region()
    started = _epoch(execution["startDate"])
    ended = _epoch(execution["stopDate"]) if execution.get("stopDate") else None
    metrics.execution(account, region, execution["stateMachineArn"], status, started, ended)
    if ended is None:
        execution["traceHeader"] = _trace_header.get()
        return
    _may_log.pop(execution["executionArn"], None)
    machine = _sfn._state_machines.get(execution["stateMachineArn"]) or {}
    if _is_traced(machine, str(execution.get("traceHeader") or "")):
        _trace(account, region, machine, execution, started, ended)


def _is_traced(machine: Mapping[str, Any], header: str) -> bool:
    """Also without tracing of its own, where whoever starts it hands on a trace; not, where they do not sample it."""
    enabled = bool((machine.get("tracingConfiguration") or {}).get("enabled"))
    return (enabled or _ROOT.search(header) is not None) and "Sampled=0" not in header


def _throttled(execution: dict[str, Any]) -> None:
    account, region = _responses.get_account_id(), _responses.get_region()
    metrics.transition_throttled(account, region, execution["stateMachineArn"])


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _trace(  # noqa: PLR0917 (what a segment is made of)
    account: str, region: str, machine: Mapping[str, Any], execution: Mapping[str, Any], started: float, ended: float
) -> None:
    if not _may(machine["roleArn"], TRACE_ACTIONS, "state-machine-traces"):
        return
    header = _ROOT.search(str(execution.get("traceHeader") or ""))
    segment = {
        "id": secrets.token_hex(8),
        "trace_id": header[1] if header else f"1-{int(started):08x}-{secrets.token_hex(12)}",
        "name": machine["name"],
        "start_time": started,
        "end_time": ended,
        "origin": "AWS::StepFunctions::StateMachine",
        "aws": {"execution_arn": execution["executionArn"], "state_machine_arn": machine["stateMachineArn"]},
        "fault": execution["status"] != "SUCCEEDED",
    }
    xray.TRACES.add(account, region, json.dumps(segment))
