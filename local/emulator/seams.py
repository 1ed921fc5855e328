"""The only module that touches MiniStack's internals.

Each section hooks one thing and says which names it relies on; `tests/local/test_seams.py` fails when an upgrade moves
one of them. Functions are wrapped, not copied, wherever that is possible.
"""

import asyncio
import contextlib
import contextvars
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import lambda_runtime as _runtime
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import iam as _iam_store
from ministack.services import s3 as _s3
from ministack.services import stepfunctions as _stepfunctions
from ministack.services import sts as _sts

from local.emulator import authorise, decisions, faults
from local.services import SERVICES
from local.services.wire import JsonService, ObjectUnavailable

Response = tuple[int, dict[str, str], Any]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Response]]

_log = logging.getLogger(__name__)


def install() -> None:
    """Put every hook in place. Once a process, before the first request."""
    _trust_background_transport()
    _record_gateway_decisions()
    authorise.use(_evaluate_as)
    for service in SERVICES:
        register(service)
    _inject_faults()


# --- The gateway: every HTTP request ---------------------------------------------------------------------------------

# The TCP port that the current request came from; tells which worker calls.
_client_port: contextvars.ContextVar[int] = contextvars.ContextVar("client_port", default=0)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """MiniStack's ASGI application."""
    _client_port.set((scope.get("client") or ("", 0))[1])
    await _app.app(scope, receive, send)


def _inject_faults() -> None:
    original = _app._dispatch_service_request

    async def dispatch(  # noqa: PLR0917 (MiniStack's own signature)
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Response:
        service, operation = identify(method, path, headers, body, query)
        faults.count(service, operation)
        worker = _calling_worker(headers, query) if faults.rules() else None
        rule = faults.pick(service, operation, from_worker=worker is not None)
        if rule is None:
            answer: Response = await original(method, path, headers, body, query, request_id)
            return answer
        answer = faults.error(rule, service, _protocol(service, headers))
        if rule.when == "after" or rule.kind == "slow":
            answer = await original(method, path, headers, body, query, request_id)
        if rule.kind == "kill-worker" and worker is not None:
            os.kill(worker, signal.SIGKILL)
        else:
            await asyncio.sleep(rule.seconds)
        if rule.when == "after" and rule.kind in ("throttle", "internal"):
            return faults.error(rule, service, _protocol(service, headers))
        return answer

    _app._dispatch_service_request = dispatch


_CBOR_OPERATION = re.compile(r"/service/[^/]+/operation/(\w+)$")


# S3's IAM actions whose API operation has another name.
_S3_OPERATIONS = {
    "DeleteObjectVersion": "DeleteObject",
    "GetObjectVersion": "GetObject",
    "ListAllMyBuckets": "ListBuckets",
    "ListBucket": "ListObjectsV2",
    "ListBucketVersions": "ListObjectVersions",
}


def identify(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]
) -> tuple[str, str]:
    """Service and API operation of a request, as faults and call counts name them; operation "?" when unknown."""
    parameters = _app._routing_params(method, path, headers, body, query)
    service = str(_router.detect_service(method, path, headers, parameters))
    if target := headers.get("x-amz-target"):
        return service, target.rpartition(".")[2]
    if match := _CBOR_OPERATION.search(path):
        return service, match[1]
    if action := parameters.get("Action"):
        return service, action[0]
    name = (_iam_actions.extract_iam_action(service, method, path, headers, body, parameters) or "").partition(":")[2]
    if service == "s3":
        # S3's actions and operations differ: HEAD is authorised as the read, a version has an action of its own.
        if method == "HEAD":
            name = "HeadObject" if path.strip("/").count("/") else "HeadBucket"
        else:
            name = _S3_OPERATIONS.get(name, name)
    elif service == "lambda":
        name = "Invoke" if name == "InvokeFunction" else name
    return service, name or "?"


def _protocol(service: str, headers: Mapping[str, str]) -> faults.Protocol:
    if service == "s3":
        return "rest-xml"
    if "x-amz-target" in headers:
        return "json"
    return "query" if headers.get("content-type", "").startswith("application/x-www-form-urlencoded") else "rest-json"


def _calling_worker(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> int | None:
    """The process id of the Lambda worker whose connection the current request came on."""
    session = _sts._sessions.get(_router.extract_access_key_id(headers, query))
    if session is None:
        return None
    port = _client_port.get()
    with _runtime._lock:
        workers = [worker for pool in _runtime._workers.values() for worker in pool]
    for worker in workers:
        process = worker._proc
        if process is None or process.poll() is not None:
            continue
        with contextlib.suppress(psutil.Error):
            if any(item.laddr and item.laddr.port == port for item in psutil.Process(process.pid).net_connections()):
                return int(process.pid)
    return None


# --- Services that MiniStack lacks -----------------------------------------------------------------------------------


def register(service: JsonService) -> None:
    """Route, authorise and serve a service: without the IAM namespace it would not be authorised at all."""
    # First, so that a prefix of ours is never taken for another's.
    patterns = dict(_router.SERVICE_PATTERNS)
    _router.SERVICE_PATTERNS.clear()
    _router.SERVICE_PATTERNS[service.name] = {
        "target_prefixes": [f"{service.target_prefix}."],
        "host_patterns": [rf"^{service.name}\."],
    }
    _router.SERVICE_PATTERNS.update(patterns)
    _iam_actions.SERVICE_TO_IAM_NAMESPACE[service.name] = service.iam_namespace
    _stepfunctions._AWS_SDK_SERVICE_MAP[service.name] = {"target_prefix": service.target_prefix, "protocol": "json"}
    _app.SERVICE_HANDLERS[service.name] = _handler_of(service)


def _handler_of(service: JsonService) -> Handler:
    async def handle(
        _method: str, _path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        # In a thread: a model at work must not hold up every other service. The thread sees the request's context.
        return await asyncio.to_thread(service.handle, operation, body, _Caller.of(headers, query))

    return handle


@dataclass(frozen=True)
class _Caller:
    """Who called a service of ours (`local.services.wire.Caller`)."""

    principal_arn: str
    account: str
    region: str
    access_key: str

    @classmethod
    def of(cls, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> "_Caller":
        return cls(
            principal_arn=_iam.caller_arn(),
            account=_responses.get_account_id(),
            region=_responses.get_region(),
            access_key=_router.extract_access_key_id(headers, query),
        )

    def read_object(self, bucket: str, key: str, version: str | None) -> bytes:
        """Read as S3 would for this caller: authorised, recorded, with the region checked. Raises ObjectUnavailable."""
        if not _s3._buckets.contains_scoped(self.account, None, bucket):
            raise ObjectUnavailable("NoSuchBucket", f"The bucket {bucket} does not exist")
        home = _s3._buckets.get_scoped(self.account, None, bucket).get("region") or self.region
        if home != self.region:
            raise ObjectUnavailable("WrongRegion", f"The bucket {bucket} is in {home}, not in {self.region}")
        action = "s3:GetObjectVersion" if version else "s3:GetObject"
        denied = _iam.enforce(self.access_key, action, "s3", self.region, resource_arn=f"arn:aws:s3:::{bucket}/{key}")
        if denied is not None:
            raise ObjectUnavailable("AccessDenied", f"{self.principal_arn} may not {action} {bucket}/{key}")
        content = _s3._get_object_data(bucket, key, version)
        if content is None:
            raise ObjectUnavailable("NoSuchKey", f"There is no {bucket}/{key}" + (f" {version}" if version else ""))
        return bytes(content)


# --- Decisions -------------------------------------------------------------------------------------------------------
# The gateway imports `enforce` from its module at each call, so replacing the module's attribute is enough.

# The statements that matched during one evaluation, in order: (effect, statement).
_matches: threading.local = threading.local()


def _record_gateway_decisions() -> None:
    enforce, first_match = _iam.enforce, _iam._first_match

    def recording_first_match(context: Any, statements: list[Any], effect: str) -> Any:
        statement = first_match(context, statements, effect)
        if statement is not None and (seen := getattr(_matches, "seen", None)) is not None:
            seen.append((effect, statement))
        return statement

    def recording_enforce(  # noqa: PLR0917 (MiniStack's own signature)
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        with _watched() as seen:
            denied = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        if isinstance(denied, _iam.AuthError):
            return denied
        principal = denied.principal_arn if denied is not None else _principal_arn(access_key_id)
        if not principal.endswith(":root"):
            allowed = denied is None
            decisions.record(
                decisions.Decision(
                    principal=principal,
                    role=_role_name(principal),
                    action=iam_action,
                    resource=resource_arn,
                    allowed=allowed,
                    statement=_deciding(seen, service, iam_action, resource_arn, allowed=allowed),
                    via="gateway",
                )
            )
        return denied

    _iam._first_match = recording_first_match
    _iam.enforce = recording_enforce
    _iam._gather_role_policies = _gather_role_policies


@contextlib.contextmanager
def _watched() -> Iterator[list[tuple[str, Any]]]:
    outer = getattr(_matches, "seen", None)
    _matches.seen = []
    try:
        yield _matches.seen
    finally:
        _matches.seen = outer


def _principal_arn(access_key_id: str) -> str:
    credential = _iam.resolve_credential(access_key_id or "")
    return str(getattr(credential, "principal_arn", "")) or f"arn:aws:iam::{_responses.get_account_id()}:root"


def _role_name(principal: str) -> str | None:
    if ":assumed-role/" in principal:
        return str(_iam._role_name_from_assumed_arn(principal))
    return principal.rpartition("/")[2] if ":role/" in principal else None


def _deciding(
    seen: list[tuple[str, Any]], service: str, action: str, resource: str, *, allowed: bool
) -> decisions.Statement | None:
    """The statement that decided, out of those that matched; None for a denial that no statement asked for."""
    wanted = "Allow" if allowed else "Deny"
    statement = next((found for effect, found in seen if effect == wanted), None)
    if statement is None:
        return None
    policy, index = getattr(statement, "origin", None) or _resource_origin(service, resource, statement)
    return decisions.Statement(
        policy=policy,
        sid=statement.sid,
        index=index,
        action_pattern=next((item for item in statement.actions if _iam.fnmatch_iam(action, item)), None),
        resource_pattern=next((item for item in statement.resources if _iam.fnmatch_iam_cs(resource, item)), None),
    )


def _resource_origin(service: str, resource: str, statement: Any) -> tuple[str, int]:
    """A statement of the resource's own policy: the policy goes by the resource's ARN."""
    found = _iam._resource_policy(service, resource)
    statements = _iam.parse_policy_document(found[0]) if found and found[0] else []
    return resource, next((index for index, item in enumerate(statements) if item == statement), -1)


def _gather_role_policies(role_name: str, account_id: str) -> list[list[Any]]:
    """A role's policies, parsed, each statement knowing its policy's name and its place in it.

    Replaces MiniStack's function of this name, which forgets both.
    """
    role = _iam_store._roles.get_scoped(account_id, None, role_name)
    if role is None:
        return []
    documents = list((role.get("InlinePolicies") or {}).items())
    documents += [
        (arn, document)
        for arn in role.get("AttachedPolicies", [])
        if (document := _iam._resolve_managed_policy_document(arn, account_id))
    ]
    return [_parsed(name, document) for name, document in documents]


# Policies change seldom and are asked for with each request; the text is the key, so a change is seen at once.
_parsed_policies: dict[tuple[str, str], list[Any]] = {}
_PARSED_POLICIES_LIMIT = 1000


def _parsed(name: str, document: str | dict[str, Any]) -> list[Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    statements = _parsed_policies.get((name, text))
    if statements is None:
        statements = _iam.parse_policy_document(text)
        for index, statement in enumerate(statements):
            statement.origin = (name, index)
        if len(_parsed_policies) >= _PARSED_POLICIES_LIMIT:
            _parsed_policies.clear()
        _parsed_policies[(name, text)] = statements
    return statements


def _trust_background_transport() -> None:
    """What a service does outside a request travels by TLS; MiniStack's default would meet every TLS-only policy."""
    _iam._request_origin = contextvars.ContextVar("request_origin", default=("127.0.0.1", True))


# --- Acting on somebody's behalf -------------------------------------------------------------------------------------


def _evaluate_as(principal: str, action: str, resource: str, context: Mapping[str, str], path: str) -> bool:
    """Authorise a service-side action (`authorise.act_as`) and record the decision."""
    service = action.partition(":")[0]
    with _watched() as seen:
        if principal.startswith("arn:"):
            allowed = _role_may(principal, action, resource, context, service)
        else:
            allowed = _service_may(principal, action, resource, context, service)
    decisions.record(
        decisions.Decision(
            principal=principal,
            role=_role_name(principal),
            action=action,
            resource=resource,
            allowed=allowed,
            statement=_deciding(seen, service, action, resource, allowed=allowed),
            via="service",
            path=path,
        )
    )
    return allowed


def _role_may(role_arn: str, action: str, resource: str, context: Mapping[str, str], service: str) -> bool:
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    limits = _iam._permissions_boundary(_iam_store._roles, name, account)
    request = _iam.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/service",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=_responses.get_region(),
        secure_transport=True,
        service_context={key.lower(): value for key, value in context.items()},
    )
    result = _iam.evaluate(request, _gather_role_policies(name, account), *limits)
    found = _iam._resource_policy(service, resource)
    if found is not None:
        required = service in _iam._POLICY_REQUIRED
        result = _iam.combine_resource_policy(result, request, *found, required=required, limits=limits)
    return bool(result.decision == "Allow")


def _service_may(principal: str, action: str, resource: str, context: Mapping[str, str], service: str) -> bool:
    found = _iam._resource_policy(service, resource)
    if found is None or not found[0]:
        return False
    request = _iam.EvalContext(
        # No IAM principal: a statement for an account must not match a service.
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=_responses.get_region(),
        secure_transport=True,
        service_context={key.lower(): value for key, value in context.items()},
    )
    return bool(_iam.evaluate_resource_policy(found[0], request, service=principal).decision == "Allow")
