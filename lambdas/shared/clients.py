"""The clients of a function, made once a worker: quickly, and with an end to every call.

**Import.** Making clients takes as long as importing boto3 if one lets it: the loader lists 400 service folders to
check a name, parses megabytes of JSON into ordered dictionaries, and the garbage collector walks the growing heap again
and again. Nothing of that is needed. (`python -m bench.imports` measures it.)

**Time.** An attempt ends after connect + read seconds; standard mode waits up to 1 s before the second attempt and up
to 2 s before the third.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader

# (seconds to wait for an answer, attempts)
Limits = tuple[float, int]

# For functions of a state machine, which waits longer and more patiently than a function that is paid for while it
# sleeps: retries inside a client are few.
QUICK: Limits = (5, 3)
# For services that compute, and for files.
PATIENT: Limits = (30, 3)


class _PlainFiles(JSONFileLoader):
    """Reads service models into plain dictionaries, which keep their order too."""

    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not os.path.isfile(full_path):
            return None
        with open_method(full_path, "rb") as file:
            return json.loads(file.read())


def make_clients(
    limits: Mapping[str, Limits], *, connect_seconds: float = 2, signature_version: str | None = None
) -> dict[str, Any]:
    """A client for each service that `limits` names (`{"s3": QUICK}`), all from one session.

    `signature_version` is for links to S3, which botocore signs by the old version 2 unless it is told `s3v4`.
    """

    class KnownServices(Loader):
        """Does not search the disk for the services that there are: these exist."""

        def list_available_services(self, type_name: str) -> list[str]:
            return list(limits)

    def config(read_seconds: float, attempts: int) -> Config:
        return Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            signature_version=signature_version,
        )

    collecting = gc.isenabled()
    gc.disable()
    try:
        session = botocore.session.Session()
        session.register_component("data_loader", KnownServices(file_loader=_PlainFiles()))
        return {service: session.create_client(service, config=config(*limit)) for service, limit in limits.items()}
    finally:
        # What lives now lives as long as the worker: the collector need not look at it again.
        gc.freeze()
        if collecting:
            gc.enable()
