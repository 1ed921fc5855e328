"""The clients, made once a worker: quickly, and with an end to every call.

At worst, for one text: claim 7 s, read 12 s, speak 44 s (an answer of ten minutes of sound takes its time), write 12 s,
result or reason 7 s, the task's row 7 s: 89 s, within the function's 120 s. (An attempt ends after connect + read
seconds; standard mode waits up to 1 s before the second attempt and up to 2 s before the third.)
"""

from __future__ import annotations

from typing import Any

from lambdas.shared.clients import Limits
from lambdas.shared.clients import make_clients as make

CONNECT_SECONDS = 1
LIMITS: dict[str, Limits] = {"dynamodb": (2, 2), "s3": (2, 3), "polly": (20, 2)}


def make_clients() -> dict[str, Any]:
    """The clients of this function by service."""
    return make(LIMITS, connect_seconds=CONNECT_SECONDS)
