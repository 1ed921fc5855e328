"""Executions of state machines: what MiniStack's interpreter leaves out or does otherwise than AWS.

MiniStack keeps the API, the paths, the intrinsic functions and JSONata; this module walks through the states. Tasks act
as the state machine's role (`tasks`), time is the emulator's movable clock, an execution that is stopped or too late
ends while it waits, a branch that fails ends the others, and what exceeds a quota fails.

Sources: AWS Step Functions Developer Guide, "Handling errors in Step Functions workflows", "Step Functions service
quotas", "Wait for a callback with the task token"; API Reference, "SendTaskSuccess"; read 2026-11-25. The words of
`TaskTimedOut` and `InvalidToken` are those that AWS answers with.

Transitions are throttled when a fault asks for it: AWS's quota of hundreds a second is more than are made here.

Not as on AWS: a Map in distributed mode is refused, because MiniStack would read its items with nobody's permission;
the times of a Map's and a Parallel's own events, `TestState` runs a task without its Retry, and express
workflows run as standard ones.
"""

import base64
import binascii
import contextlib
import contextvars
import copy
import json
import logging
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ministack.core import responses as _responses
from ministack.services import stepfunctions as _sfn

from local.emulator import clock, faults
from local.emulator.seams import tasks

_log = logging.getLogger(__name__)

# "Step Functions service quotas", AWS Step Functions Developer Guide, read 2026-11-25: of a task, a state or an
# execution, input or result, in UTF-8; events of one execution; a definition.
DATA_LIMIT_BYTES = 262_144
HISTORY_LIMIT_EVENTS = 25_000
DEFINITION_LIMIT_BYTES = 1_048_576
THROTTLED_SECONDS = 1.0
# Neither is caught by States.ALL ("Handling errors in Step Functions workflows").
_NEVER_CAUGHT = ("States.DataLimitExceeded", "States.Runtime")
_ENDED = "local.Ended"
_random = random.Random(20261125)  # noqa: S311 (repeatable, not secret)

Json = Any
State = Mapping[str, Any]

# Told whenever somebody may have waited for it: a call came back, a token was used, an execution ended, time passed.
_news = threading.Condition()


class _Scope:
    """What is run for one outcome: an execution, or the branches of one state. Ended from outside, it stops."""

    def __init__(self, is_ended: Callable[[], bool]) -> None:
        self._is_ended = is_ended
        self._cancelled = False

    @property
    def ended(self) -> bool:
        return self._cancelled or self._is_ended()

    def cancel(self) -> None:
        with _news:
            self._cancelled = True
            _news.notify_all()


@dataclass
class Run:
    """One execution under way."""

    execution: dict[str, Any]
    actor: tasks.Actor


_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)
_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar("scope", default=None)

# Called with an execution after each of its events, and with its record when it has ended or begun.
on_event: list[Callable[[dict[str, Any], dict[str, Any]], None]] = []
on_status: list[Callable[[dict[str, Any]], None]] = []
# Called with the state machine before its execution's first state; may raise MiniStack's _ExecutionError.
before_run: list[Callable[[Mapping[str, Any]], None]] = []
# Called with an execution whenever one of its transitions is throttled.
on_throttle: list[Callable[[dict[str, Any]], None]] = []


def install() -> None:
    """Put the interpreter in place."""
    clock.on_advance(_tell)
    _sfn.now_iso = _now_iso
    _sfn._run_execution = _run_execution
    _sfn._run_sub_machine = _run_sub_machine
    _sfn._fail_execution = _fail_execution
    _sfn._execute_task = _execute_task
    _sfn._execute_parallel = _execute_parallel
    _sfn._run_map_items = _run_map_items
    _sfn._error_matches = _error_matches
    _sfn._with_retry_and_catch = _with_retry_and_catch
    _sfn._scaled_sleep = sleep
    _sfn._sleep_until = _sleep_until
    _sfn._invoke_resource = _invoke_resource
    _sfn._send_task_success = _send_task_success
    _sfn._send_task_failure = _send_task_failure
    _sfn._send_task_heartbeat = _send_task_heartbeat
    _sfn._add_event = _watched_events(_sfn._add_event)
    _sfn._stop_execution = _told_stop(_sfn._stop_execution)
    _sfn._test_state = _as_role_of_request(_sfn._test_state)
    _sfn._emit_execution_status_event = _watched_status(_sfn._emit_execution_status_event)


# --- Time and ends ---------------------------------------------------------------------------------------------------


def _now_iso() -> str:
    moment = datetime.fromtimestamp(clock.now(), tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tell() -> None:
    with _news:
        _news.notify_all()


def _alive() -> None:
    """Raises when what runs here is to stop."""
    scope = _scope.get()
    if scope is not None and scope.ended:
        raise _sfn._ExecutionError(_ENDED, "")


def sleep(seconds: float) -> None:
    """Wait by the movable clock; within an execution, no longer than that runs."""
    until = clock.now() + seconds
    with _news:
        while (left := until - clock.now()) > 0:
            _alive()
            _news.wait(left)
    _alive()


def _sleep_until(moment: str) -> None:
    with contextlib.suppress(ValueError, TypeError):
        sleep(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() - clock.now())


def _end(execution: dict[str, Any], status: str, event: str, **values: Any) -> None:
    """End an execution, unless it has ended: the first to come decides."""
    with _news:
        if execution["status"] != "RUNNING":
            return
        execution |= {"status": status, "stopDate": _now_iso(), **values}
        _news.notify_all()
    details = {name: values[name] for name in ("error", "cause", "output") if values.get(name) is not None}
    _sfn._add_event(execution, event, {f"{event[:1].lower()}{event[1:]}EventDetails": details})
    _sfn._emit_execution_status_event(execution)


def _fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
    if error != _ENDED:
        _end(execution, "FAILED", "ExecutionFailed", error=error, cause=cause)


def _told_stop(stop: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def stopping(data: dict[str, Any]) -> Any:
        with _news:
            answer = stop(data)
            _news.notify_all()
        return answer

    return stopping


def _watched_events(add: Callable[..., Any]) -> Callable[..., Any]:
    def adding(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        with _news:
            if len(execution["events"]) >= HISTORY_LIMIT_EVENTS - 1 and execution["status"] == "RUNNING":
                cause = f"The execution reached the maximum number of history events ({HISTORY_LIMIT_EVENTS})."
                _end(execution, "FAILED", "ExecutionFailed", error="States.Runtime", cause=cause)
                raise _sfn._ExecutionError(_ENDED, "")
            event = add(execution, kind, details)
        for watcher in on_event:
            watcher(execution, event)
        return event

    return adding


def _watched_status(emit: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def emitting(execution: dict[str, Any]) -> None:
        emit(execution)
        for watcher in on_status:
            watcher(execution)

    return emitting


# --- The walk --------------------------------------------------------------------------------------------------------


def _run_execution(arn: str) -> None:
    execution = _sfn._executions.get(arn)
    machine = _sfn._state_machines.get(execution["stateMachineArn"]) if execution else None
    if execution is None:
        return
    if machine is None:
        _fail_execution(execution, "States.Runtime", "The state machine does not exist any more.")
        return
    scope = _Scope(lambda: execution["status"] != "RUNNING")
    actor = tasks.Actor(
        role=machine["roleArn"],
        machine=machine["stateMachineArn"],
        execution=arn,
        account=_responses.get_account_id(),
        region=_responses.get_region(),
        ended=lambda: scope.ended,
    )
    _run.set(Run(execution, actor))
    _scope.set(scope)
    try:
        for check in before_run:
            check(machine)
        definition = json.loads(machine["definition"])
        given = json.loads(execution["input"])
        if limit := definition.get("TimeoutSeconds"):
            _limit(execution, float(limit))
        context = {
            "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
            "Execution": {
                "Id": arn,
                "Input": given,
                "Name": execution["name"],
                "RoleArn": machine["roleArn"],
                "StartTime": execution["startDate"],
            },
            "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]},
            "variables": {},
        }
        result = _walk(definition.get("States", {}), definition.get("StartAt"), given, execution, context)
        _end(execution, "SUCCEEDED", "ExecutionSucceeded", output=_dumped(result))
    except _sfn._ExecutionError as error:
        _fail_execution(execution, error.error, error.cause)
    except Exception as error:  # noqa: BLE001 (a bug must not leave an execution running for ever; it is logged)
        _log.exception("The execution %s failed", arn)
        _fail_execution(execution, "States.Runtime", str(error))


def _limit(execution: dict[str, Any], seconds: float) -> None:
    """End the execution as timed out when it still runs after so long."""
    until = clock.now() + seconds

    def watch() -> None:
        with _news:
            while execution["status"] == "RUNNING" and (left := until - clock.now()) > 0:
                _news.wait(left)
        _end(execution, "TIMED_OUT", "ExecutionTimedOut", error="States.Timeout")

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(watch,), daemon=True).start()


def _run_sub_machine(states: State, start: str, given: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> Json:
    return _walk(states, start, copy.deepcopy(given), execution, ctx)


def _pass_throttle(execution: dict[str, Any]) -> None:
    """Before a state is entered or tried again: wait until transitions are not throttled.

    How long Step Functions waits between two attempts it does not say. Express workflows have no such limit ("Step
    Functions service quotas").
    """
    while not execution.get("sync") and faults.pick_transition():
        for watcher in on_throttle:
            watcher(execution)
        sleep(THROTTLED_SECONDS)


def _walk(states: State, start: str | None, data: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> Json:
    name = start
    while name:
        _alive()
        state = states.get(name)
        if state is None:
            raise _sfn._ExecutionError("States.Runtime", f"The state {name!r} is not in the definition.")
        kind = state["Type"]
        _pass_throttle(execution)
        ctx["State"] = {"Name": name, "EnteredTime": _now_iso(), "RetryCount": 0}
        _sfn._add_event(
            execution, f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name, "input": _dumped(data)}}
        )
        data, following = _state(kind, state, data, execution, ctx)
        _within_limit(data, name)
        _alive()
        _sfn._add_event(
            execution, f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": _dumped(data)}}
        )
        name = following
    return data


def _state(
    kind: str, state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]
) -> tuple[Json, str | None]:
    if kind == "Fail":
        raise _sfn._ExecutionError(*_sfn._fail_state_error(state, data, ctx))
    if kind == "Succeed":
        if _sfn._state_query_language(state, ctx) == "JSONata":
            return _sfn._apply_jsonata_output(state, data, ctx, default=data), None
        return _sfn._apply_output_path(state, _sfn._apply_input_path(state, data, ctx), ctx), None
    busy = {"Task": _execute_task, "Parallel": _execute_parallel, "Map": _sfn._execute_map}.get(kind)
    if busy is not None:
        result: tuple[Json, str | None] = busy(state, data, execution, ctx)
        return result
    plain = {"Pass": _sfn._execute_pass, "Choice": _sfn._execute_choice, "Wait": _sfn._execute_wait}.get(kind)
    if plain is None:
        raise _sfn._ExecutionError("States.Runtime", f"There is no type of state {kind!r}.")
    passed: tuple[Json, str | None] = plain(state, data, ctx)
    return passed


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _within_limit(value: Json, name: str) -> None:
    if len(_dumped(value).encode()) > DATA_LIMIT_BYTES:
        raise _sfn._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def _error_matches(wanted: list[str], error: str) -> bool:
    if error == _ENDED:
        return False
    if error in wanted or (error == "States.HeartbeatTimeout" and "States.Timeout" in wanted):
        return True
    if error in _NEVER_CAUGHT:
        return False
    return "States.ALL" in wanted or (
        "States.TaskFailed" in wanted and error not in ("States.Timeout", "States.HeartbeatTimeout")
    )


# --- Retry, Parallel, Map --------------------------------------------------------------------------------------------


def _with_retry_and_catch(
    state: State, data: Json, ctx: dict[str, Any], attempt: Callable[[], tuple[Json, str | None]]
) -> tuple[Json, str | None]:
    entered = ctx["State"]
    counts: dict[int, int] = {}
    while True:
        _alive()
        # Each attempt sees its own $$.State.RetryCount.
        ctx["State"] = {**entered, "RetryCount": sum(counts.values())}
        try:
            return attempt()
        except _sfn._ExecutionError as error:
            retrier, index = _sfn._find_matching_retrier(state.get("Retry", []), error.error, counts)
            if retrier is not None:
                sleep(_delay(retrier, counts.get(index, 0)))
                run = _run.get()
                if run is not None:
                    _pass_throttle(run.execution)
                counts[index] = counts.get(index, 0) + 1
                continue
            catcher = _sfn._find_matching_catcher(state.get("Catch", []), error.error)
            if catcher is None:
                raise
            output = {"Error": error.error, "Cause": error.cause}
            language = _sfn._state_query_language(state, ctx)
            return _sfn._apply_catcher(catcher, data, ctx, language, output), catcher["Next"]


def _delay(retrier: Mapping[str, Any], count: int) -> float:
    """Seconds before the next attempt, after `count` retries. "Retrying after an error" of the same guide."""
    seconds = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** count
    seconds = min(seconds, float(retrier.get("MaxDelaySeconds", seconds)))
    return _random.uniform(0, seconds) if retrier.get("JitterStrategy") == "FULL" else seconds


def _together(work: list[Callable[[], Json]], most: int) -> list[Json]:
    """Results in order. The first to fail ends the others, and its error is raised."""
    outer = _scope.get()
    inner = _Scope(lambda: outer is not None and outer.ended)
    first: list[BaseException] = []

    def run(item: Callable[[], Json]) -> Json:
        _scope.set(inner)
        try:
            return item()
        except BaseException as error:  # noqa: BLE001 (raised again below, once the others have stopped)
            with _news:
                first.append(error)
            inner.cancel()
            return None

    if not work:
        return []
    with ThreadPoolExecutor(max_workers=most or len(work)) as pool:
        results = list(pool.map(lambda item: contextvars.Context.run(*item), _in_contexts(run, work)))
    if first:
        raise first[0]
    return results


def _in_contexts(run: Callable[..., Json], work: list[Callable[[], Json]]) -> Iterator[tuple[Any, ...]]:
    for item in work:
        yield contextvars.copy_context(), run, item


def _execute_parallel(
    state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]
) -> tuple[Json, str | None]:
    return _with_retry_and_catch(state, data, ctx, lambda: _run_branches(state, data, execution, ctx))


def _run_branches(state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> tuple[Json, str | None]:
    given = _arguments(state, data, ctx)
    _sfn._add_event(execution, "ParallelStateStarted")

    def branch(definition: State) -> Callable[[], Json]:
        # A branch sees the variables around it, and cannot change them.
        inner = copy.deepcopy(ctx)
        return lambda: _run_sub_machine(definition["States"], definition["StartAt"], given, execution, inner)

    results = _together([branch(definition) for definition in state["Branches"]], 0)
    _sfn._add_event(execution, "ParallelStateSucceeded")
    return _outcome(state, data, results, ctx)


def _run_map_items(state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> tuple[Json, str | None]:
    processor = state.get("ItemProcessor") or state.get("Iterator") or {}
    given = _sfn._apply_input_path(state, data, ctx)
    if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
        raise _sfn._ExecutionError("States.Runtime", "This local cloud does not serve a Map in distributed mode.")
    jsonata = _sfn._state_query_language(state, ctx) == "JSONata"
    if jsonata:
        items = _sfn._jsonata_state_field(state, "Items", "array", data, ctx) if "Items" in state else data
    else:
        items = _sfn._resolve_path_or_ctx(state.get("ItemsPath", "$"), given, ctx)
    if not isinstance(items, list):
        raise _sfn._ExecutionError("States.Runtime", "Reference path of a Map must point to an array.")
    selector = state.get("ItemSelector") or state.get("Parameters")
    _sfn._add_event(execution, "MapStateStarted", {"mapStateStartedEventDetails": {"length": len(items)}})

    def iteration(index: int, item: Json) -> Callable[[], Json]:
        def run() -> Json:
            _alive()
            inner = copy.deepcopy(ctx)
            inner["Map"] = {"Item": {"Index": index, "Value": item}}
            chosen = item
            if selector and jsonata:
                chosen = _sfn._apply_jsonata_template(selector, data, inner)
            elif selector:
                chosen = _sfn._resolve_params_obj(selector, given, inner)
            which = {"name": ctx["State"]["Name"], "index": index}
            _sfn._add_event(execution, "MapIterationStarted", {"mapIterationStartedEventDetails": which})
            try:
                result = _run_sub_machine(processor["States"], processor["StartAt"], chosen, execution, inner)
            except _sfn._ExecutionError as error:
                if error.error != _ENDED:
                    _sfn._add_event(execution, "MapIterationFailed", {"mapIterationFailedEventDetails": which})
                raise
            _sfn._add_event(execution, "MapIterationSucceeded", {"mapIterationSucceededEventDetails": which})
            return result

        return run

    most = _number(state, "MaxConcurrency", data, ctx) or 0
    results = _together([iteration(index, item) for index, item in enumerate(items)], int(most))
    _sfn._add_event(execution, "MapStateSucceeded")
    return _outcome(state, data, results, ctx)


def _arguments(state: State, data: Json, ctx: dict[str, Any]) -> Json:
    if _sfn._state_query_language(state, ctx) == "JSONata":
        return _sfn._apply_jsonata_arguments(state, data, ctx)
    return _sfn._apply_parameters(state, _sfn._apply_input_path(state, data, ctx), ctx)


def _outcome(state: State, data: Json, result: Json, ctx: dict[str, Any]) -> tuple[Json, str | None]:
    """What a state that has a result hands on, and to which state."""
    if _sfn._state_query_language(state, ctx) == "JSONata":
        output = _sfn._apply_jsonata_output(state, data, ctx, result=result, default=result)
        _sfn._apply_state_assign(state, data, ctx, result=result)
    else:
        output = _sfn._apply_result_path(state, data, _sfn._apply_result_selector(state, result))
        output = _sfn._apply_output_path(state, output, ctx)
    return output, _sfn._next_or_end(state)


def _number(state: State, name: str, data: Json, ctx: dict[str, Any]) -> float | None:
    """A number that a state names itself, by a path or by an expression; None when it names none."""
    if name in state:
        if isinstance(state[name], str):
            return float(_sfn._jsonata_state_field(state, name, "number", data, ctx))
        return float(state[name])
    if f"{name}Path" not in state:
        return None
    value = _sfn._resolve_path_or_ctx(state[f"{name}Path"], data, ctx)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise _sfn._ExecutionError("States.Runtime", f"{name}Path must refer to a number, not to {_dumped(value)}.")
    return float(value)


# --- Tasks -----------------------------------------------------------------------------------------------------------


@dataclass
class _Callback:
    """A task that waits for its token. `beat` is when it was heard of last."""

    scope: _Scope
    beat: float
    error: tuple[str, str] | None = None
    result: Json = None
    settled: bool = False


_callbacks: dict[str, _Callback] = {}


def _execute_task(state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> tuple[Json, str | None]:
    return _with_retry_and_catch(state, data, ctx, lambda: _attempt(state, data, execution, ctx))


def _attempt(state: State, data: Json, execution: dict[str, Any], ctx: dict[str, Any]) -> tuple[Json, str | None]:
    resource = str(state["Resource"])
    run = _run.get()
    scope = _scope.get()
    if run is None or scope is None:
        raise RuntimeError("A task without an execution: MiniStack's interpreter has moved")
    token = None
    if resource.endswith(".waitForTaskToken") or ":activity:" in resource:
        token = _new_token(run.actor.machine if ":activity:" not in resource else resource, scope)
        ctx["Task"] = {"Token": token}
    events = _Events(execution, resource)
    try:
        arguments = _arguments(state, data, ctx)
        timeout = _number(state, "TimeoutSeconds", data, ctx)
        heartbeat = _number(state, "HeartbeatSeconds", data, ctx)
        _within_limit(arguments, ctx["State"]["Name"])
        events.scheduled(arguments, timeout, heartbeat, run.actor.region)
        if token is not None and ":activity:" in resource:
            work = _queue_activity(resource, token, arguments)
        else:
            work = _started(lambda: tasks.perform(resource, arguments, run.actor))
        events.started()
        result = _settled(work, token, timeout, heartbeat)
        _within_limit(result, ctx["State"]["Name"])
    except _sfn._ExecutionError as error:
        if error.error != _ENDED:
            events.failed(error.error, error.cause)
        raise
    finally:
        if token is not None:
            _callbacks.pop(token)
            ctx.pop("Task", None)
    events.succeeded(result)
    return _outcome(state, data, result, ctx)


def _started(work: Callable[[], Json]) -> "Future[Json]":
    """Run in a thread of its own: a task that takes too long goes on, and nobody waits for it."""
    future: Future[Json] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits for the result raises it)
            future.set_exception(error)

    future.add_done_callback(lambda _: _tell())
    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return future


def _queue_activity(arn: str, token: str, arguments: Json) -> "Future[Json]":
    if arn not in _sfn._activities:
        raise _sfn._ExecutionError("States.Runtime", f"The activity {arn} does not exist.")
    _sfn._activity_tasks[arn].append({"taskToken": token, "input": _dumped(arguments)})
    done: Future[Json] = Future()
    done.set_result(None)
    return done


def _settled(work: "Future[Json]", token: str | None, timeout: float | None, heartbeat: float | None) -> Json:
    """Wait for the result of a task: of its call, or of its token when it has one."""
    began = clock.now()
    callback = _callbacks[token] if token is not None else None
    with _news:
        while True:
            _alive()
            if callback is not None and callback.settled:
                if callback.error is not None:
                    raise _sfn._ExecutionError(*callback.error)
                return callback.result
            if work.done() and (callback is None or work.exception() is not None):
                return work.result()
            now = clock.now()
            if timeout is not None and now >= began + timeout:
                raise _sfn._ExecutionError("States.Timeout", "")
            if heartbeat is not None and callback is not None and now >= callback.beat + heartbeat:
                raise _sfn._ExecutionError("States.HeartbeatTimeout", "")
            ends = [began + timeout] if timeout is not None else []
            ends += [callback.beat + heartbeat] if heartbeat is not None and callback is not None else []
            _news.wait(min(ends) - now if ends else None)


def _invoke_resource(resource: str, arguments: Json) -> Json:
    """MiniStack's own way to a task, which `TestState` takes."""
    run = _run.get()
    if run is None:
        raise RuntimeError("A task without a role: MiniStack's interpreter has moved")
    return tasks.perform(resource, arguments, run.actor)


def _as_role_of_request(test_state: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def testing(data: dict[str, Any]) -> Any:
        region, account = _responses.get_region(), _responses.get_account_id()
        machine = f"arn:aws:states:{region}:{account}:stateMachine:TestState"
        actor = tasks.Actor(str(data.get("roleArn", "")), machine, f"{machine}:test", account, region)
        token = _run.set(Run({}, actor))
        try:
            return test_state(data)
        finally:
            _run.reset(token)

    return testing


class _Events:
    """The events of one attempt at a task, in the words of its kind of resource."""

    def __init__(self, execution: dict[str, Any], resource: str) -> None:
        self._execution = execution
        self._arn = resource
        self._function = ":function:" in resource
        self._activity = ":activity:" in resource
        self._kind, self._resource = tasks.kind_of(resource)

    def _add(self, what: str, **details: Any) -> None:
        prefix = "LambdaFunction" if self._function else "Activity" if self._activity else "Task"
        named = {} if self._function or self._activity else {"resourceType": self._kind, "resource": self._resource}
        details = {**named, **{name: value for name, value in details.items() if value is not None}}
        key = f"{prefix[:1].lower()}{prefix[1:]}{what}EventDetails"
        _sfn._add_event(self._execution, f"{prefix}{what}", {key: details} if details else None)

    def scheduled(self, arguments: Json, timeout: float | None, heartbeat: float | None, region: str) -> None:
        """The task is about to begin."""
        seconds = None if timeout is None else int(timeout)
        beat = None if heartbeat is None else int(heartbeat)
        if self._function or self._activity:
            beats = {"heartbeatInSeconds": beat} if self._activity else {}
            self._add("Scheduled", resource=self._arn, input=_dumped(arguments), timeoutInSeconds=seconds, **beats)
        else:
            self._add(
                "Scheduled", region=region, parameters=_dumped(arguments), timeoutInSeconds=seconds,
                heartbeatInSeconds=beat,
            )  # fmt: skip

    def started(self) -> None:
        """The call is under way."""
        if not self._activity:
            self._add("Started")

    def succeeded(self, result: Json) -> None:
        """The result has come."""
        self._add("Succeeded", output=_dumped(result))

    def failed(self, error: str, cause: str) -> None:
        """No result comes."""
        late = error in ("States.Timeout", "States.HeartbeatTimeout")
        self._add("TimedOut" if late else "Failed", error=error, cause=cause)


# --- Tokens ----------------------------------------------------------------------------------------------------------


def _new_token(owner: str, scope: _Scope) -> str:
    token = base64.b64encode(_dumped({"owner": owner, "id": str(uuid.uuid4())}).encode()).decode()
    _callbacks[token] = _Callback(scope, clock.now())
    return token


def owner_of_token(token: str) -> str | None:
    """The ARN of the state machine or activity whose task the token is of; None for what is no token."""
    try:
        owner = json.loads(base64.b64decode(token, validate=True))["owner"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    return str(owner)


def invalid_token() -> Any:
    """What is answered to a token that is none."""
    return _responses.error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)


def _report(data: Mapping[str, Any], settle: Callable[[_Callback], None]) -> Any:
    token = str(data.get("taskToken", ""))
    if owner_of_token(token) is None:
        return invalid_token()
    callback = _callbacks.get(token)
    with _news:
        if callback is None or callback.settled or callback.scope.ended:
            message = "Task Timed Out: 'Provided task does not exist anymore'"
            return _responses.error_response_json("TaskTimedOut", message, 400)
        settle(callback)
        _news.notify_all()
    return _responses.json_response({})


def _send_task_success(data: dict[str, Any]) -> Any:
    output = data.get("output", "")
    if len(output.encode()) > DATA_LIMIT_BYTES:
        return too_long("output")
    try:
        result = json.loads(output)
    except ValueError:
        return _responses.error_response_json("InvalidOutput", f"Invalid Output: '{output[:100]}'", 400)

    def succeed(callback: _Callback) -> None:
        callback.settled, callback.result = True, result

    return _report(data, succeed)


def _send_task_failure(data: dict[str, Any]) -> Any:
    def fail(callback: _Callback) -> None:
        callback.settled, callback.error = True, (data.get("error") or "States.TaskFailed", data.get("cause") or "")

    return _report(data, fail)


def _send_task_heartbeat(data: dict[str, Any]) -> Any:
    def beat(callback: _Callback) -> None:
        callback.beat = clock.now()

    return _report(data, beat)


def too_long(name: str) -> Any:
    """What is answered to an input or output beyond the quota."""
    message = (
        f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {DATA_LIMIT_BYTES}"
    )
    return _responses.error_response_json("ValidationException", message, 400)
