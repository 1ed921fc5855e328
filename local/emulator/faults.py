"""Misbehaviour on demand, and a count of every HTTP attempt.

A rule applies to HTTP attempts, so a client's own retries meet it again. Errors have the service's own codes and the
shape of its protocol, so that SDKs treat them as the real ones.
"""

import difflib
import functools
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError

from local.services.wire import service_model

Kind = Literal[
    "throttle",
    "timeout",
    "internal",
    "slow",
    "kill-worker",
    "fail-job",
    "slow-job",
    "kill-job",
    "interrupt-job",
    "fail-item",
]
# Kinds that befall a job, not the HTTP attempt that started it.
OF_JOBS = ("fail-job", "slow-job", "kill-job", "interrupt-job")
# Kinds that befall a process, which only SageMaker's jobs are, and a spot instance, which only its training jobs have.
OF_PROCESSES = ("kill-job", "interrupt-job")
# Befalls one item of a batch, which is told in an answer that is otherwise good.
OF_ITEMS = "fail-item"
# No operation, but what Step Functions throttles beside them, in its own word ("Quotas related to state throttling").
STATE_TRANSITION = "StateTransition"
When = Literal["before", "after"]
Protocol = Literal["json", "query", "rest-json", "rest-xml"]
Response = tuple[int, dict[str, str], bytes]

# How long an attempt that times out is held. Longer than any client waits (botocore: 60 s); then it fails.
HOLD_SECONDS = 300.0


@dataclass
class Rule:
    """What goes wrong, where, how often.

    service        as the emulator names it (`rekognition`, `dynamodb`, `s3`, `sqs`, ...), or "*"
    operation      API name (`DetectLabels`), or "*". `StateTransition` of `states` is none, and may be throttled: each
                   state that an execution would enter, and each retry, waits and is tried again
    kind           throttle | internal: answers with the service's error. timeout: does not answer for `seconds`
                   (default 300). slow: answers `seconds` late. kill-worker: SIGKILL to the Lambda worker that calls;
                   a call from elsewhere is left alone and not counted.
                   fail-job: the job that the operation started fails. slow-job: it starts `seconds` late.
                   kill-job: SIGKILL to the process of SageMaker's job after `seconds`. interrupt-job: the spot instance
                   of its training job is taken away after `seconds`.
                   fail-item: one item of a batch of Comprehend comes back as an error, the others as they should
    times          attempts (or jobs, or items) that it applies to; None for all
    probability    of each attempt that matches, 0 to 1
    when           before: the operation is not carried out. after: it takes effect, its answer is lost or late
    code           another error code than the service's usual one (throttle and internal)
    """

    service: str
    operation: str = "*"
    kind: Kind = "internal"
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    when: When = "before"
    code: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    applied: int = 0

    def __post_init__(self) -> None:
        for name, kinds in _FIELDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise TypeError(f"{name} is {value!r}")
        if self.times is not None and self.times < 1:
            raise ValueError("Times is 1 at least, or left out for all")
        _check_name("service", self.service, _served())
        _check_name("operation", self.operation, _operations(self.service))
        if self.kind not in get_args(Kind):
            raise ValueError(f"No such kind of fault: {self.kind!r}; there are {', '.join(get_args(Kind))}")
        if self.kind in OF_PROCESSES and self.service != "sagemaker":
            raise ValueError(f"A fault of the kind {self.kind} befalls jobs of the service sagemaker only")
        if self.operation == STATE_TRANSITION and self.kind != "throttle":
            raise ValueError("A state transition is throttled or not; no other fault befalls it")
        if self.when not in get_args(When):
            raise ValueError(f"A fault comes before or after, not {self.when!r}")
        if not 0 <= self.probability <= 1:
            raise ValueError("A probability lies between 0 and 1")
        if self.seconds < 0:
            raise ValueError("Seconds are not negative")
        if self.kind == "timeout" and not self.seconds:
            self.seconds = HOLD_SECONDS


_FIELDS: dict[str, tuple[type, ...]] = {
    "service": (str,),
    "operation": (str,),
    "kind": (str,),
    "times": (int, type(None)),
    "probability": (int, float),
    "seconds": (int, float),
    "when": (str,),
    "code": (str, type(None)),
}

# botocore's names of services that the emulator calls otherwise.
_BOTOCORE = {"monitoring": "cloudwatch", "states": "stepfunctions", "elasticfilesystem": "efs", "ses": "sesv2"}

_served: Callable[[], Collection[str]] = tuple


def use(served: Callable[[], Collection[str]]) -> None:
    """Set what names the services that the emulator has; a rule for another one is a misspelling."""
    global _served  # noqa: PLW0603 (one emulator a process)
    _served = served


@functools.cache
def _operations(service: str) -> Collection[str]:
    """The operations of a service by their API names; none where no model of it is at hand."""
    beside = (STATE_TRANSITION,) if service == "states" else ()
    try:
        return (*service_model(_BOTOCORE.get(service, service)).operation_names, *beside)
    except (UnknownServiceError, ValueError):
        return ()


def _check_name(what: str, name: str, known: Collection[str]) -> None:
    """Raises ValueError for a name that is not among those known, if any are."""
    if name == "*" or not known or name in known:
        return
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1)
    hint = next((f"; did you mean {one}?" for one in known if close and one.lower() == close[0]), "")
    raise ValueError(f"There is no {what} {name!r}{hint}")


_lock = threading.Lock()
_rules: dict[str, Rule] = {}
_calls: Counter[str] = Counter()
_random = random.Random(20261123)  # noqa: S311 (repeatable, not secret)


def add(**fields: Any) -> str:
    """Add a rule; returns its id. Raises ValueError or TypeError for fields that make no sense."""
    rule = Rule(**fields)
    with _lock:
        _rules[rule.id] = rule
    return rule.id


def clear(rule_id: str | None = None) -> None:
    """Remove one rule, or all. Raises KeyError for a rule that is not there."""
    with _lock:
        if rule_id is None:
            _rules.clear()
        else:
            del _rules[rule_id]


def rules() -> list[dict[str, Any]]:
    """All rules, with how often each was applied."""
    with _lock:
        return [asdict(rule) for rule in _rules.values()]


def count(service: str, operation: str) -> None:
    """Count one HTTP attempt."""
    with _lock:
        _calls[f"{service}.{operation}"] += 1


def calls() -> dict[str, int]:
    """HTTP attempts by `service.Operation`."""
    with _lock:
        return dict(_calls)


def clear_calls() -> None:
    """Start counting anew."""
    with _lock:
        _calls.clear()


def pick(service: str, operation: str, *, from_worker: Callable[[], bool]) -> Rule | None:
    """The first rule that applies to this attempt, used up by one; None in nearly every case.

    `from_worker` tells whether a Lambda worker calls; it is asked only for a rule that kills workers.
    """
    if not _rules:
        return None
    with _lock:
        for rule in _rules.values():
            if (
                _applies(rule, service, operation)
                and rule.kind not in (*OF_JOBS, OF_ITEMS)
                and _random.random() < rule.probability
                and (rule.kind != "kill-worker" or from_worker())
            ):
                rule.applied += 1
                return rule
    return None


def pick_transition() -> bool:
    """Whether the next transition of an execution is throttled. Only a rule that names transitions does that."""
    if not _rules:
        return False
    with _lock:
        for rule in _rules.values():
            if (
                rule.operation == STATE_TRANSITION
                and _applies(rule, "states", STATE_TRANSITION)
                and _random.random() < rule.probability
            ):
                rule.applied += 1
                return True
    return False


def pick_job(
    service: str,
    operation: str,
    kinds: Collection[str] = ("fail-job", "slow-job"),
    seen: set[str] | None = None,
) -> list[Rule]:
    """The rules of these kinds that apply to a job which this operation started, each used up by one.

    Who asks again and again while a job runs gives `seen`, which keeps the rules that it has been asked about: each
    gets one draw, and one that is added meanwhile gets it, too.
    """
    found = []
    with _lock:
        for rule in _rules.values():
            if rule.kind not in kinds or not _applies(rule, service, operation):
                continue
            if seen is not None:
                if rule.id in seen:
                    continue
                seen.add(rule.id)
            if _random.random() < rule.probability:
                rule.applied += 1
                found.append(rule)
    return found


def pick_item(service: str, operation: str) -> Rule | None:
    """The first rule that applies to the next item of a batch, used up by one."""
    if not _rules:
        return None
    with _lock:
        for rule in _rules.values():
            if rule.kind == OF_ITEMS and _applies(rule, service, operation) and _random.random() < rule.probability:
                rule.applied += 1
                return rule
    return None


def _applies(rule: Rule, service: str, operation: str) -> bool:
    return (
        rule.service in (service, "*")
        and rule.operation in (operation, "*")
        and (rule.times is None or rule.applied < rule.times)
    )


# Code and HTTP status of a request that is throttled, and of one that fails inside. The status of a modelled error is
# in botocore's service models (`fault` or `httpStatusCode`; a test compares); S3's are in "Error responses", Amazon S3
# API Reference.
THROTTLES: dict[str, tuple[str, int]] = {
    "rekognition": ("ThrottlingException", 500),
    # What the Developer Guide says of too many requests ("Handling Throttled Calls and Dropped Connections").
    "textract": ("ProvisionedThroughputExceededException", 400),
    "dynamodb": ("ThrottlingException", 400),
    "lambda": ("TooManyRequestsException", 429),
    "polly": ("ThrottlingException", 400),
    "s3": ("SlowDown", 503),
    "sqs": ("RequestThrottled", 400),
    "transcribe": ("LimitExceededException", 400),
    "translate": ("TooManyRequestsException", 400),
}
INTERNALS: dict[str, tuple[str, int]] = {
    "comprehend": ("InternalServerException", 500),
    "rekognition": ("InternalServerError", 500),
    "textract": ("InternalServerError", 500),
    "dynamodb": ("InternalServerError", 500),
    "lambda": ("ServiceException", 500),
    "polly": ("ServiceFailureException", 500),
    "s3": ("InternalError", 500),
    "transcribe": ("InternalFailureException", 500),
    "translate": ("InternalServerException", 500),
}


def error(rule: Rule, service: str, protocol: Protocol) -> Response:
    """What a failed attempt is answered: status, headers, and a body in the protocol's shape."""
    if rule.kind == "throttle":
        fallback = ("ThrottlingException", 400) if protocol in ("json", "rest-json") else ("Throttling", 400)
        code, status = THROTTLES.get(service, fallback)
        message = "Rate exceeded (a fault that was asked for)"
    else:
        code, status = INTERNALS.get(service, ("InternalFailure", 500))
        message = "Internal error (a fault that was asked for)"
    return _shape(rule.code or code, status, message, protocol)


def _shape(code: str, status: int, message: str, protocol: Protocol) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id}
    if protocol in ("json", "rest-json"):
        version = "1.1" if protocol == "json" else "1.0"
        headers |= {"Content-Type": f"application/x-amz-json-{version}", "x-amzn-ErrorType": code}
        return status, headers, json.dumps({"__type": code, "message": message}).encode()
    headers["Content-Type"] = "application/xml"
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol == "rest-xml":
        body = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    else:
        problem = f"<Error><Type>Receiver</Type>{inner}</Error>"
        body = f"<ErrorResponse>{problem}<RequestId>{request_id}</RequestId></ErrorResponse>"
    return status, headers, b'<?xml version="1.0" encoding="UTF-8"?>' + body.encode()
