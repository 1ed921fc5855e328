"""What was allowed and what was denied, to whom, and by which statement.

A decision that recurs is kept once, with a count and the time of its last occurrence, so that a run of many thousand
requests stays small. Only policy decisions are kept: the root user is asked for none.
"""

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

Via = Literal["gateway", "service", "network"]


@dataclass(frozen=True)
class Statement:
    """The statement that decided.

    `policy` is the name of the role's policy, the ARN of the resource whose own policy it was, or the id of the VPC
    endpoint whose; `index` counts from
    0 within the policy; the patterns are those that matched (None for NotAction and NotResource).
    """

    policy: str
    sid: str
    index: int
    action_pattern: str | None
    resource_pattern: str | None


@dataclass(frozen=True)
class Decision:
    """One question that was put to the policies, and its answer. `path` names a service-side path of `PATHS`.

    Via "network" it was put to the policy of the VPC endpoint that the call came through, beside that to the gateway.
    `reason` says why there was no way to the service at all; then the gateway was asked nothing.
    """

    principal: str
    role: str | None
    action: str
    resource: str
    allowed: bool
    statement: Statement | None
    via: Via
    path: str | None = None
    reason: str | None = None


_lock = threading.Lock()
_records: dict[Decision, tuple[int, int, float]] = {}
_sequence = 0


def record(decision: Decision) -> None:
    """Keep a decision as the latest."""
    global _sequence  # noqa: PLW0603 (one record a process)
    with _lock:
        _sequence += 1
        _, count, _ = _records.pop(decision, (0, 0, 0.0))
        _records[decision] = (_sequence, count + 1, time.time())


def since(sequence: int) -> list[dict[str, Any]]:
    """Decisions whose last occurrence came after `sequence`, in order of that occurrence."""
    with _lock:
        return [
            {"seq": last, "count": count, "time": when, **asdict(decision)}
            for decision, (last, count, when) in _records.items()
            if last > sequence
        ]


def last() -> int:
    """The sequence number of the latest decision, 0 before the first."""
    return _sequence


def clear() -> None:
    """Forget every decision. Sequence numbers go on."""
    with _lock:
        _records.clear()
