"""The clients, made once a worker: quickly, and with an end to every call.

At worst: ask Polly 18 s, then two writes of 7 s each, within the function's 60 s.

The loader is told which services there are and reads their models into plain dictionaries: making clients would else
take as long as importing boto3.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader

CONNECT_SECONDS = 1
# service: (seconds to wait for an answer, attempts)
LIMITS = {"dynamodb": (2, 2), "polly": (5, 3)}


class _PlainFiles(JSONFileLoader):
    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        if not os.path.isfile(full_path):
            return None
        with open_method(full_path, "rb") as file:
            return json.loads(file.read())


class _KnownServices(Loader):
    """Does not search the disk for the services that there are: these exist."""

    def list_available_services(self, type_name: str) -> list[str]:
        return list(LIMITS)


def make_clients() -> dict[str, Any]:
    """The clients of this function by service, from one session."""
    session = botocore.session.Session()
    session.register_component("data_loader", _KnownServices(file_loader=_PlainFiles()))
    return {service: session.create_client(service, config=_config(service)) for service in LIMITS}


def _config(service: str) -> Config:
    read_seconds, attempts = LIMITS[service]
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
