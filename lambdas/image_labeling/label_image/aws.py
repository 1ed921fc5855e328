"""The clients, made once a worker: quickly, and with an end to every call.

**Time.** An attempt ends after connect + read seconds; standard mode waits up to 1 s before the second attempt and up
to 2 s before the third. For one image, at worst:

    lock (DynamoDB)      2 x (1 + 2) + 1 =  7 s
    note of a stopped worker, on redelivery  7 s
    read (S3)            3 x (1 + 2) + 3 = 12 s
    label (Rekognition)  3 x (1 + 4) + 3 = 18 s
    result, or release after a failure       7 s
    reason of a failure                      7 s
                                            58 s

which is within the function's 60 s. In a batch, and with a shorter function time-out, the deadline below holds: an
attempt to read or label begins only if its answer may be waited for and a second is left for what comes after it.
"""

from __future__ import annotations

from typing import Any

from lambdas.shared.clients import Limits
from lambdas.shared.clients import make_clients as make
from lambdas.shared.deadline import Deadline

CONNECT_SECONDS = 1
LIMITS: dict[str, Limits] = {"dynamodb": (2, 2), "s3": (2, 3), "rekognition": (4, 3)}
# What releasing the lock and writing the reason usually take is some 20 ms; this is for a bad day.
RESERVE_SECONDS = 1


def make_clients(deadline: Deadline) -> dict[str, Any]:
    """The clients of this function, {"dynamodb": ..., "s3": ..., "rekognition": ...}; two keep to the deadline."""
    clients = make(LIMITS, connect_seconds=CONNECT_SECONDS)
    for service in ("s3", "rekognition"):
        deadline.guard(clients[service], LIMITS[service][0] + RESERVE_SECONDS)
    return clients
