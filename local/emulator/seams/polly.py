"""Amazon Polly in the emulator: its routes, its rights, and the caller whom it acts for."""

import asyncio
from typing import Any

from ministack.core import iam_actions as _iam_actions

from local.emulator import seams
from local.services.polly import Polly
from local.services.rest import RestService


def install() -> None:
    """Route, authorise and serve Polly."""
    register(Polly())


def register(service: RestService) -> None:
    """Route, authorise and serve a service that speaks REST-JSON and acts for its caller."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Any:
        operation = _iam_actions._match_rest_action(service.name, method, path, query) or ""
        caller = seams._Caller.of(headers, query)
        return await asyncio.to_thread(service.handle_rest, operation, path, query, body, caller)

    _iam_actions._BOTOCORE_SERVICE_MAP[service.name] = [service.name]
    seams._register(service.name, service.iam_namespace, [], handle)
