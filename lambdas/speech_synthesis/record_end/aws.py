"""The clients, made once a worker: quickly, and with an end to every call.

At worst, for one message: ask Polly 18 s, two writes of 7 s each, tell of a failure 7 s: 39 s, within the function's
60 s. A batch that takes longer comes again.
"""

from __future__ import annotations

from typing import Any

from lambdas.shared.clients import Limits
from lambdas.shared.clients import make_clients as make

CONNECT_SECONDS = 1
LIMITS: dict[str, Limits] = {"dynamodb": (2, 2), "polly": (5, 3), "sns": (2, 2)}


def make_clients() -> dict[str, Any]:
    """The clients of this function by service."""
    return make(LIMITS, connect_seconds=CONNECT_SECONDS)
