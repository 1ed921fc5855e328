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

**Import.** Making three clients takes as long as importing boto3 if one lets it: the loader lists 400 service folders
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
LIMITS = {"dynamodb": (2, 2), "s3": (2, 3), "rekognition": (4, 3)}
# What releasing the lock and writing the reason usually take is some 20 ms; this is for a bad day.
RESERVE_SECONDS = 1


class OutOfTimeError(Exception):
    """The function's time does not suffice for another attempt."""


class Deadline:
    """The end of the running invocation, which no attempt to read or label may overrun."""

    def __init__(self) -> None:
        self._remaining: Callable[[], int] = lambda: 0

    def follow(self, context: Any) -> None:
        """Takes the end of an invocation from its Lambda context."""
        self._remaining = context.get_remaining_time_in_millis

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
    """The clients of this function, {"dynamodb": ..., "s3": ..., "rekognition": ...}, from one session."""
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
    for service in ("s3", "rekognition"):
        deadline.guard(clients[service], LIMITS[service][0] + RESERVE_SECONDS)
    return clients


def _config(service: str) -> Config:
    read_seconds, attempts = LIMITS[service]
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
