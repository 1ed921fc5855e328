"""Quotas that MiniStack does not hold: what is too large for AWS, or takes an API too long, fails here too.

Held by MiniStack itself: a message of SQS (1 MiB) and of SNS (256 KiB), an item of DynamoDB (400 KB); tests make sure.
Those of Step Functions are in `states` and `machines`.

Sources: AWS Lambda API Reference, "Invoke" (6 MB synchronous, 1 MB asynchronous); AWS Compute Blog, "More room to
build: serverless services now support payloads up to 1 MB" (2026-01-29: asynchronous Lambda, SQS, EventBridge); Amazon
EventBridge User Guide, "Calculating Amazon EventBridge PutEvents event entry size"; Amazon API Gateway Developer Guide,
"Quotas for configuring and running a REST API in API Gateway" (10 MB; 50 milliseconds to 29 seconds for an integration)
and "Gateway response types" (413, 504; not their words). The last three were read on 2026-11-26, the others on
2026-11-25.
"""

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app as _app
from ministack.core import responses as _responses
from ministack.services import apigateway_v1 as _rest_apis
from ministack.services import eventbridge as _events
from ministack.services import lambda_svc as _lambda

Response = tuple[int, dict[str, str], Any]

SYNCHRONOUS_BYTES = 6_291_456
# "Response payload size exceeded maximum allowed payload size (6291556 bytes)" is what AWS says.
RESULT_BYTES = 6_291_556
ASYNCHRONOUS_BYTES = 1_048_576
EVENT_BYTES = 1_048_576
API_BYTES = 10_485_760
API_MILLISECONDS = 29_000
# A time counts so much in an entry.
_TIME_BYTES = 14


def install() -> None:
    """Put the checks in place."""
    _limit_invocations()
    _limit_results()
    _limit_events()
    _limit_api_requests()
    _limit_integrations()


def _limit_invocations() -> None:
    handler = _app.SERVICE_HANDLERS["lambda"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        if method == "POST" and path.endswith("/invocations"):
            kind = headers.get("x-amz-invocation-type", "RequestResponse")
            limit = ASYNCHRONOUS_BYTES if kind == "Event" else SYNCHRONOUS_BYTES
            if len(body) > limit:
                message = f"{len(body)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
                refused: Response = _responses.error_response_json("RequestEntityTooLargeException", message, 413)
                return refused
        answer: Response = await handler(method, path, headers, body, query)
        return answer

    _app.SERVICE_HANDLERS["lambda"] = handle


def _limit_results() -> None:
    execute = _lambda._execute_function_warm

    @functools.wraps(execute)
    def executing(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(*arguments, **keywords)
        if not result.get("error") and len(json.dumps(result.get("body"), ensure_ascii=False).encode()) > RESULT_BYTES:
            problem = f"Response payload size exceeded maximum allowed payload size ({RESULT_BYTES} bytes)."
            body = {"errorMessage": problem, "errorType": "Function.ResponseSizeTooLarge"}
            return {**result, "body": body, "error": True}
        return result

    _lambda._execute_function_warm = executing


def _limit_events() -> None:
    put = _events._put_events

    @functools.wraps(put)
    def putting(data: dict[str, Any], *arguments: Any, **keywords: Any) -> Response:
        if sum(_entry_size(entry) for entry in data.get("Entries", [])) > EVENT_BYTES:
            message = "Total size of the entries in the request is over the limit."
            refused: Response = _responses.error_response_json("ValidationException", message, 400)
            return refused
        answer: Response = put(data, *arguments, **keywords)
        return answer

    _events._put_events = putting


def _entry_size(entry: Mapping[str, Any]) -> int:
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + list(entry.get("Resources") or [])
    return (_TIME_BYTES if entry.get("Time") else 0) + sum(len(str(text).encode()) for text in texts)


def _limit_api_requests() -> None:
    execute = _rest_apis._execute_in_scope

    @functools.wraps(execute)
    async def executing(request: dict[str, Any], *rest: Any, **keywords: Any) -> Any:
        # (api, stage, method, path, headers, body, ...)
        api, name, body = rest[0], rest[1], rest[5]
        stage = _rest_apis._stages_v1.get(api, {}).get(name)
        if stage and body and len(body) > API_BYTES:
            # Whoever writes the answer looks for its words in the stage.
            request["stage"] = stage
            return _rest_apis._gw_error("REQUEST_TOO_LARGE", "Request Too Long")
        return await execute(request, *rest, **keywords)

    _rest_apis._execute_in_scope = executing


def _limit_integrations() -> None:
    """An API answers 504 when its function takes too long; the function runs on, as on AWS."""

    def limited(invoke: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(invoke)
        async def invoking(integration: dict[str, Any], *rest: Any, **keywords: Any) -> Any:
            running = asyncio.ensure_future(invoke(integration, *rest, **keywords))
            _running.add(running)
            running.add_done_callback(_running.discard)
            seconds = int(integration.get("timeoutInMillis") or API_MILLISECONDS) / 1000
            # Not `wait_for`: MiniStack puts a cancellation off until the function has ended.
            ended, _ = await asyncio.wait({running}, timeout=seconds)
            if ended:
                return running.result()
            return _rest_apis._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")

        return invoking

    for name in ("_invoke_lambda_proxy_v1", "_invoke_lambda_custom_v1"):
        setattr(_rest_apis, name, limited(getattr(_rest_apis, name)))


# Invocations by APIs, also those that are waited for no more: the event loop alone would not keep them.
_running: set[asyncio.Future[Any]] = set()
