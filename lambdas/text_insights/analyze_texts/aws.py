"""The clients, made once a worker: quickly, and with an end to every call.

**Time.** An attempt ends after connect + read seconds; standard mode waits up to 1 s before the second attempt and up
to 2 s before the third. So a call of Comprehend takes at worst 3 x (1 + 6) + 3 = 24 s, one of DynamoDB 7 s. The number
of calls depends on the batch (languages, personal data), so no sum of worst cases fits a function's time. The deadline
below holds instead: an attempt to ask Comprehend begins only if its answer may be waited for and some seconds are left
for writing. What is not asked for in time goes back to the queue.

**Import.** Making the clients takes as long as importing boto3 if one lets it: the loader lists 400 service folders
to check a name, parses 2 MB of JSON into ordered dictionaries, and the garbage collector walks the growing heap again
and again. Nothing of that is needed. (`python -m bench.imports` measures it.)
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader

CONNECT_SECONDS = 1
# service: (seconds to wait for an answer, attempts)
LIMITS = {"dynamodb": (2, 2), "comprehend": (6, 3)}
# Writing 25 results or reasons usually takes some 250 ms; this is for a bad day.
RESERVE_SECONDS = 3


class OutOfTimeError(Exception):
    """The function's time does not suffice for another attempt."""


class Deadline:
    """The end of the running invocation, which no question to Comprehend may overrun."""

    def __init__(self) -> None:
        self._remaining: Callable[[], int] = lambda: 0

    def follow(self, context: Any) -> None:
        """Takes the end of an invocation from its Lambda context."""
        self._remaining = context.get_remaining_time_in_millis

    def milliseconds(self) -> int:
        """The time that the invocation has left."""
        return self._remaining()

    def guard(self, client: Any, seconds: float) -> None:
        """Makes a client raise OutOfTimeError instead of sending when less than `seconds` are left."""

        def before_send(**_: Any) -> None:
            left = self._remaining() / 1000
            if left < seconds:
                raise OutOfTimeError(f"{left:.1f} s are left; an attempt may take {seconds} s.")

        client.meta.events.register("before-send", before_send)


class _PlainFiles(JSONFileLoader):
    """Reads service models into plain dictionaries, which keep their order too."""

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not os.path.isfile(full_path):
            return None
        with open_method(full_path, "rb") as file:
            return json.loads(file.read())


class _KnownServices(Loader):
    """Does not search the disk for the services that there are: these exist."""

    def list_available_services(self, type_name: str) -> list[str]:
        return list(LIMITS)


def make_clients(deadline: Deadline) -> dict[str, Any]:
    """The clients of this function, {"dynamodb": ..., "comprehend": ...}, from one session."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        session = botocore.session.Session()
        session.register_component("data_loader", _KnownServices(file_loader=_PlainFiles()))
        clients = {service: session.create_client(service, config=_config(service)) for service in LIMITS}
    finally:
        # What lives now lives as long as the worker: the collector need not look at it again.
        gc.freeze()
        if collecting:
            gc.enable()
    deadline.guard(clients["comprehend"], CONNECT_SECONDS + LIMITS["comprehend"][0] + RESERVE_SECONDS)
    return clients


def _config(service: str) -> Config:
    read_seconds, attempts = LIMITS[service]
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
