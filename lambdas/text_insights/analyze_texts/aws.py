"""The clients, made once a worker: quickly, and with an end to every call.

**Time.** An attempt ends after connect + read seconds; standard mode waits up to 1 s before the second attempt and up
to 2 s before the third. So a call of Comprehend takes at worst 3 x (1 + 6) + 3 = 24 s, one of DynamoDB 7 s. The number
of calls depends on the batch (languages, personal data), so no sum of worst cases fits a function's time. The deadline
below holds instead: an attempt to ask Comprehend begins only if its answer may be waited for and some seconds are left
for writing. What is not asked for in time goes back to the queue.
"""

from __future__ import annotations

from typing import Any

from lambdas.shared.clients import Limits
from lambdas.shared.clients import make_clients as make
from lambdas.shared.deadline import Deadline

CONNECT_SECONDS = 1
LIMITS: dict[str, Limits] = {"dynamodb": (2, 2), "comprehend": (6, 3)}
# Writing 25 results or reasons usually takes some 250 ms; this is for a bad day.
RESERVE_SECONDS = 3


def make_clients(deadline: Deadline) -> dict[str, Any]:
    """The clients of this function, {"dynamodb": ..., "comprehend": ...}; the second keeps to the deadline."""
    clients = make(LIMITS, connect_seconds=CONNECT_SECONDS)
    deadline.guard(clients["comprehend"], CONNECT_SECONDS + LIMITS["comprehend"][0] + RESERVE_SECONDS)
    return clients
