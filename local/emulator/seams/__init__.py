"""The only package that touches MiniStack's internals.

Each section hooks one thing and says which names it relies on; `tests/local/test_seams.py` fails when an upgrade moves
one of them. Functions are wrapped, not copied, wherever that is possible.
"""

import asyncio
import contextlib
import contextvars
import functools
import importlib
import json
import logging
import os
import re
import secrets
import signal
import string
import threading
import time
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import psutil
from botocore import xform_name
from botocore.exceptions import ClientError, ConnectTimeoutError
from ministack import app as _app
from ministack.core import concurrency as _concurrency
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import lambda_runtime as _runtime
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import cloudwatch as _cloudwatch
from ministack.services import cloudwatch_logs as _logs
from ministack.services import dynamodb as _dynamodb
from ministack.services import eventbridge as _events
from ministack.services import iam as _iam_store
from ministack.services import kms as _kms
from ministack.services import lambda_svc as _lambda
from ministack.services import s3 as _s3
from ministack.services import secretsmanager as _secrets
from ministack.services import sns as _sns
from ministack.services import sqs as _sqs
from ministack.services import stepfunctions as _stepfunctions
from ministack.services import sts as _sts
from ministack.services.cloudformation import provisioners as _provisioners

from local.emulator import alarms, authorise, clock, decisions, faults, metrics, xray
from local.emulator.alarm_evaluation import Datum, Source
from local.emulator.seams import (
    apis,
    buckets,
    delivery,
    denials,
    inside,
    machines,
    named_resources,
    principals,
    quotas,
    states,
    variables,
    vaults,
    vpc,
)
from local.emulator.vpc import Unreachable
from local.services import SERVICES
from local.services.wire import JsonService, ObjectUnavailable, ServiceError

Response = tuple[int, dict[str, str], Any]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Response]]

_log = logging.getLogger(__name__)


# Modules of this package whose hooks need nothing of it, in the order in which they go in.
_PARTS = (
    "conditions",
    "denials",
    "bucket_owners",
    "request_keys",
    "simulation",
    "policy_versions",
    "polly",
    "polling",
    "worker_code",
    "worker_logs",
    "named_resources",
    "principals",
    "endpoints",
)


def install() -> None:
    """Put every hook in place. Once a process, before the first request."""
    _trust_background_transport()
    _name_batch_actions()
    _let_wildcards_span_lines()
    # Before what records the statements that matched: it is to see them as they were written.
    variables.install()
    _record_gateway_decisions()
    authorise.use(_evaluate_as)
    for service in SERVICES:
        register(service)
    for name in _PARTS:
        importlib.import_module(f"local.emulator.seams.{name}").install()
    _move_queue_clocks()
    _add_redrive()
    _serialise_queue_changes()
    _complete_stack_resources()
    _publish_metrics()
    _add_object_versions()
    _authorise_rule_targets()
    _authorise_topic_subscriptions()
    _authorise_poller()
    _authorise_log_delivery()
    _authorise_customer_keys()
    _hide_missing_objects()
    _name_handler_errors()
    _watch_invocations()
    _serve_traces()
    _take_over_alarms()
    _inject_faults()
    _own_task_tokens()
    _check_passed_roles()
    vpc.install()
    importlib.import_module("local.emulator.seams.vpc_resources").install()
    states.install()
    machines.install()
    _after_provisioning("AWS::StepFunctions::StateMachine", machines.provisioned)
    _after_provisioning("AWS::IAM::Role", _limit_role)
    delivery.install(_current_delivery, _send_to_dead_letters, _may_seal)
    importlib.import_module("local.emulator.seams.sagemaker").install(_send_to_dead_letters)
    importlib.import_module("local.emulator.seams.scheduler").install(_MovableTime())
    importlib.import_module("local.emulator.seams.kept_records").install()
    importlib.import_module("local.emulator.seams.trails").install()
    quotas.install()
    apis.install()
    _after_provisioning("AWS::ApiGateway::Stage", apis.complete_stage)
    _after_provisioning("AWS::ApiGateway::Method", apis.complete_method)
    _after_provisioning("AWS::ApiGateway::RequestValidator", apis.complete_validator)
    _provisioners._sm_secret_string = _secret_of_template
    _count_publications()


# --- The gateway: every HTTP request ---------------------------------------------------------------------------------

# The TCP port that the current request came from; tells which worker calls.
_client_port: contextvars.ContextVar[int] = contextvars.ContextVar("client_port", default=0)


# How late the answer to the current request will be, by a fault: a service that measures itself counts that as its own.
_late: contextvars.ContextVar[float] = contextvars.ContextVar("late", default=0.0)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """MiniStack's ASGI application."""
    _client_port.set((scope.get("client") or ("", 0))[1])
    await _app.app(scope, receive, send)


def _inject_faults() -> None:
    faults.use(lambda: _app.SERVICE_HANDLERS)
    original = _app._dispatch_service_request

    async def dispatch(  # noqa: PLR0917 (MiniStack's own signature)
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Response:
        service, operation = identify(method, path, headers, body, query)
        faults.count(service, operation)
        worker = functools.cache(lambda: _calling_worker(headers, query))
        rule = faults.pick(service, operation, from_worker=lambda: worker() is not None)
        if rule is None:
            answer: Response = await original(method, path, headers, body, query, request_id)
            return answer
        answer = faults.error(rule, service, _protocol(service, headers))
        if rule.when == "after" or rule.kind == "slow":
            late = _late.set(rule.seconds)
            answer = await original(method, path, headers, body, query, request_id)
            _late.reset(late)
        if rule.kind == "kill-worker" and (victim := worker()) is not None:
            os.kill(victim, signal.SIGKILL)
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
            name = "HeadObject" if "/" in path.strip("/") else "HeadBucket"
        elif method == "POST" and "delete" in query:
            name = "DeleteObjects"
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
    """Route, authorise and serve a service that speaks JSON 1.1."""
    _register(service.name, service.iam_namespace, [f"{service.target_prefix}."], _handler_of(service))
    _stepfunctions._AWS_SDK_SERVICE_MAP[service.name] = {"target_prefix": service.target_prefix, "protocol": "json"}


def register_rest(
    name: str, iam_namespace: str, answer: Callable[[str, str, bytes, Mapping[str, list[str]]], Response]
) -> None:
    """Route, authorise and serve a service that speaks REST with JSON.

    `answer` gets operation (by botocore's routes of `name`, "" for none), path, body and query; it runs in a thread.
    """

    async def handle(
        method: str, path: str, _headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        operation = _iam_actions._match_rest_action(name, method, path, query) or ""
        return await asyncio.to_thread(answer, operation, path, body, query)

    _iam_actions._BOTOCORE_SERVICE_MAP[name] = [name]
    _register(name, iam_namespace, [], handle)


def _register(name: str, iam_namespace: str, target_prefixes: list[str], handler: Handler) -> None:
    # First, so that a prefix of ours is never taken for another's.
    patterns = dict(_router.SERVICE_PATTERNS)
    _router.SERVICE_PATTERNS.clear()
    _router.SERVICE_PATTERNS[name] = {"target_prefixes": target_prefixes, "host_patterns": [rf"^{name}\."]}
    _router.SERVICE_PATTERNS.update(patterns)
    # Without the namespace a service would not be authorised at all.
    _iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = iam_namespace
    _app.SERVICE_HANDLERS[name] = handler


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
    # A service that acts with its caller's rights does so from its own network.
    forwarded: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> "_Caller":
        return cls(
            principal_arn=_iam.caller_arn(),
            account=_responses.get_account_id(),
            region=_responses.get_region(),
            access_key=_router.extract_access_key_id(headers, query),
            forwarded=True,
        )

    def read_object(self, bucket: str, key: str, version: str | None) -> bytes:
        """Read as S3 would for this caller: authorised, recorded, with the region checked. Raises ObjectUnavailable."""
        forwarding = vpc.forwarding(self.access_key) if self.forwarded else contextlib.nullcontext()
        with _responses.request_scope(self.account, self.region), forwarding:
            try:
                return self._read(bucket, key, version)
            except Unreachable as error:
                raise ObjectUnavailable("Unreachable", str(error)) from error

    def _read(self, bucket: str, key: str, version: str | None) -> bytes:
        self._in_this_region(bucket)
        action = "s3:GetObjectVersion" if version else "s3:GetObject"
        denied = _iam.enforce(self.access_key, action, "s3", self.region, resource_arn=f"arn:aws:s3:::{bucket}/{key}")
        if denied is not None:
            why = f"{self.principal_arn} may not {action} {bucket}/{key} {vpc.refusal()}"
            raise ObjectUnavailable("AccessDenied", why.rstrip())
        encryption_key = _object_key(bucket, key, version)
        named = buckets.encryption_context(f"{bucket}/{key}")
        if encryption_key and not _caller_may_use_key(self.access_key, encryption_key, "kms:Decrypt", "s3", named):
            raise ObjectUnavailable("AccessDenied", f"{self.principal_arn} may not kms:Decrypt with {encryption_key}")
        content = _s3._get_object_data(bucket, key, version)
        if content is None:
            raise ObjectUnavailable("NoSuchKey", f"There is no {bucket}/{key}" + (f" {version}" if version else ""))
        return bytes(content)

    def list_objects(self, bucket: str, prefix: str) -> list[str]:
        """The keys under a prefix, by ListObjectsV2 as this caller. Raises ObjectUnavailable."""
        self._in_this_region(bucket)
        with _unavailable(self.principal_arn, f"list {bucket}/{prefix}"):
            pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def write_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        kms_key_id: str | None = None,
    ) -> None:
        """PutObject as this caller, with all that follows from it: encryption, versions, events."""
        self._in_this_region(bucket)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        with _unavailable(self.principal_arn, f"write {bucket}/{key}"):
            self._client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encryption)

    def publish(self, topic_arn: str, message: str, *, subject: str | None = None) -> None:
        """Publish as this caller. Raises ServiceError (AccessDeniedException), for a missing topic as well."""
        try:
            self._client("sns", topic_arn.split(":")[3]).publish(
                TopicArn=topic_arn, Message=message, **({"Subject": subject} if subject else {})
            )
        except (ClientError, PermissionError, IndexError) as error:
            raise ServiceError("AccessDeniedException", f"Cannot publish to {topic_arn}: {error}") from error

    def assume(self, role_arn: str, service_principal: str, *, passed: bool = False) -> "_Caller":
        """The role as a caller, if this caller may pass it on and it trusts the service.

        A trust policy's conditions see the account and, as source, the service in this region: AWS names the job, but
        documents conditions on the former only ("Cross-service confused deputy prevention" of each service's guide).
        """
        context = {"iam:PassedToService": service_principal}
        with _responses.request_scope(self.account, self.region):
            denied = None
            if not passed:
                denied = _iam.enforce(self.access_key, "iam:PassRole", "iam", self.region, role_arn, context)
            if denied is not None:
                raise ServiceError("AccessDeniedException", f"{self.principal_arn} may not iam:PassRole {role_arn}")
            source = f"arn:aws:{service_principal.partition('.')[0]}:{self.region}:{self.account}:*"
            if not authorise.act_as(
                service_principal, "sts:AssumeRole", role_arn, _source(source), path="service-role"
            ):
                raise ServiceError("AccessDeniedException", f"{role_arn} does not let {service_principal} assume it")
        access_key = inside.role_session(role_arn, service_principal.partition(".")[0])
        return _Caller(
            principal_arn=_principal_arn(access_key), account=self.account, region=self.region, access_key=access_key
        )

    def placed(self, subnets: Sequence[str], security_groups: Sequence[str]) -> "_Caller":
        """The role as a caller inside of a VPC. Raises ServiceError (ValidationException)."""
        try:
            sits = vpc.network(self.account, self.region, subnets, security_groups)
        except ValueError as error:
            raise ServiceError("ValidationException", str(error)) from error
        with _responses.request_scope(self.account, self.region):
            role, session = principals.role_of(self.principal_arn), self.principal_arn.rpartition("/")[2]
            if refused := vpc.refused_interface(role, sits, "job-network"):
                raise ServiceError("ValidationException", f"{role} is not authorized to perform: {refused}")
        return replace(self, access_key=inside.role_session(role, session, sits))

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Send an event to the default bus as an AWS service does, which needs nobody's permission."""
        with _responses.request_scope(self.account, self.region):
            _emit(source, detail_type, detail, resources)

    def require(self, action: str, resource_arn: str, context: Mapping[str, Any] | None = None) -> None:
        """Authorise and record one more action of this request. Raises ServiceError (AccessDeniedException)."""
        service, keys = action.partition(":")[0], dict(context or {})
        with _responses.request_scope(self.account, self.region):
            if _iam.enforce(self.access_key, action, service, self.region, resource_arn, keys) is not None:
                raise ServiceError(
                    "AccessDeniedException",
                    f"User: {self.principal_arn} is not authorized to perform: {action} on resource: {resource_arn}",
                )

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A request to another service from inside the emulator, as this caller. Raises ServiceError."""
        method = xform_name(operation)
        try:
            answer: dict[str, Any] = getattr(self._client(service), method)(**arguments)
        except PermissionError as error:
            raise ServiceError("AccessDeniedException", str(error)) from error
        except ConnectTimeoutError as error:
            raise ServiceError("ConnectTimeout", str(error), 408) from error
        except ClientError as error:
            raise ServiceError(
                str(error.response["Error"]["Code"]),
                str(error.response["Error"]["Message"]),
                int(error.response["ResponseMetadata"]["HTTPStatusCode"]),
            ) from error
        return answer

    def environment(self) -> dict[str, str]:
        """The caller's session, this cloud's address and its certificate, for a process."""
        try:
            return inside.process_environment(self.access_key, self.account, self.region)
        except PermissionError as error:
            raise ServiceError("AccessDeniedException", str(error)) from error

    def _client(self, service: str, region: str | None = None) -> Any:
        return inside.client(
            service, self.access_key, self.account, region or self.region, attempts=3, forwarded=self.forwarded
        )

    def _in_this_region(self, bucket: str) -> None:
        if not _s3._buckets.contains_scoped(self.account, None, bucket):
            raise ObjectUnavailable("NoSuchBucket", f"The bucket {bucket} does not exist")
        home = _s3._buckets.get_scoped(self.account, None, bucket).get("region") or self.region
        if home != self.region:
            raise ObjectUnavailable("WrongRegion", f"The bucket {bucket} is in {home}, not in {self.region}")


# S3's codes that stand in the contract of `ObjectUnavailable`; any other is a denial to whoever asked.
_OBJECT_CODES = ("NoSuchKey", "NoSuchBucket", "AccessDenied")


@contextlib.contextmanager
def _unavailable(principal: str, what: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ObjectUnavailable("AccessDenied", f"{principal} may not {what}: {error}") from error
    except ConnectTimeoutError as error:
        raise ObjectUnavailable("Unreachable", f"{principal} cannot {what}: {error}") from error
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        raise ObjectUnavailable(
            code if code in _OBJECT_CODES else "AccessDenied", f"{principal} may not {what}: {error}"
        ) from error


def _emit(source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]) -> None:
    """Put an event of a service on the default bus of the account and region of the current scope."""
    _events._dispatch_event(
        {
            "EventId": str(uuid.uuid4()),
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "EventBusName": "default",
            "Time": int(clock.now()),
            "Resources": list(resources),
            "Account": _responses.get_account_id(),
            "Region": _responses.get_region(),
        }
    )


# --- Decisions -------------------------------------------------------------------------------------------------------
# The gateway imports `enforce` from its module at each call, so replacing the module's attribute is enough.

# The statements that matched during one evaluation, in order: (effect, statement).
_matches: threading.local = threading.local()


# MiniStack's own; what is decided by it directly is recorded by who asked.
_iam_enforce = _iam.enforce


def _record_gateway_decisions() -> None:
    enforce, first_match = _iam_enforce, _iam._first_match

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
            denials.explain(access_key_id, iam_action, _role_name(principal), seen, allowed=allowed)
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
    _iam._permissions_boundary = _permissions_boundary
    _iam._session_policy_limits = _session_policy_limits


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
        resource_pattern=next(
            (item for item in statement.resources if _iam.fnmatch_iam_cs(resource, variables.pattern_of(item))), None
        ),
    )


def _resource_origin(service: str, resource: str, statement: Any) -> tuple[str, int]:
    """A statement of the resource's own policy: the policy goes by the resource's ARN."""
    found = (_trust_policy(resource),) if service == "sts" else _iam._resource_policy(service, resource)
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


def _permissions_boundary(store: Any, name: str, account_id: str) -> list[list[list[Any]]]:
    """What a boundary limits, its statements knowing their policy's ARN; one that is gone allows nothing.

    Replaces MiniStack's function of this name, as the next one does.
    """
    arn = (store.get_scoped(account_id, None, name) or {}).get("PermissionsBoundary")
    if not arn:
        return []
    document = _iam._resolve_managed_policy_document(arn, account_id)
    return [[_parsed(arn, document) if document else []]]


def _session_policy_limits(session: dict[str, Any], account_id: str) -> list[list[list[Any]]]:
    """What a session's own policies limit; the one that was passed as text goes by the name `session`."""
    passed = session.get("SessionPolicies")
    if passed is None:
        return []
    documents = [("session", passed["Policy"])] if passed.get("Policy") else []
    documents += [(arn, _iam._resolve_managed_policy_document(arn, account_id)) for arn in passed.get("PolicyArns", [])]
    return [[_parsed(name, document) for name, document in documents if document]]


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


def _let_wildcards_span_lines() -> None:
    """A `*` of a policy stands for any characters, a newline in an object's key included; MiniStack's stops there."""
    compile_pattern = _iam._fnmatch_compile

    @functools.lru_cache(maxsize=4096)
    def compiling(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        compiled = compile_pattern(pattern, ignore_case)
        return re.compile(compiled.pattern, compiled.flags | re.DOTALL)

    _iam._fnmatch_compile = compiling


# Batch operations that have no IAM action of their own. Sources: "Amazon SQS API permissions: Actions and resource
# reference", Amazon SQS Developer Guide; "Actions, resources, and condition keys for Amazon SNS", Service Authorization
# Reference.
_SINGLE_ACTIONS = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}


def _name_batch_actions() -> None:
    """Authorise batches by the action that AWS asks for: MiniStack's own choice denies what AWS allows.

    A batch that deletes object versions is `s3:DeleteObjectVersion` for its first key as well.
    """
    extract = _iam_actions.extract_iam_action

    def extracting(  # noqa: PLR0917 (MiniStack's own signature)
        service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> str | None:
        action: str | None = extract(service, method, path, headers, body, query)
        if service == "s3" and method == "POST" and "delete" in query and action == "s3:DeleteObject":
            targets = _iam_actions._s3_batch_delete_targets(path.strip("/"), body)
            return "s3:DeleteObjectVersion" if targets and targets[0][1] else action
        return _SINGLE_ACTIONS.get(action or "", action)

    _iam_actions.extract_iam_action = extracting


def _own_task_tokens() -> None:
    """Authorise an answer to a task by the state machine that the token belongs to; refuse what is no token.

    `states:SendTask*` on a state machine's ARN is what CDK's `grant_task_response` allows. Whether AWS looks at the
    token or at the policy first is not documented; who sends nonsense learns here that it is nonsense.
    """
    dispatch = _app._dispatch_service_request

    def owner(asked: named_resources.Asked) -> str | None:
        answers = asked.service == "states" and asked.operation.startswith("SendTask")
        return _owner_of_request(asked.body) if answers else None

    async def dispatching(  # noqa: PLR0917 (MiniStack's own signature)
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Response:
        if headers.get("x-amz-target", "").startswith("AWSStepFunctions.SendTask") and _owner_of_request(body) is None:
            refused: Response = states.invalid_token()
            return refused
        answer: Response = await dispatch(method, path, headers, body, query, request_id)
        return answer

    named_resources.authorise_on(owner)
    _app._dispatch_service_request = dispatching


def _check_passed_roles() -> None:
    """Who makes a state machine hands its role to Step Functions, and needs `iam:PassRole` for that."""
    handler = _app.SERVICE_HANDLERS["states"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        access_key = _router.extract_access_key_id(headers, query)
        role = _passed_role(body) if _target_action(headers) in ("CreateStateMachine", "UpdateStateMachine") else None
        if role is not None and not _iam.is_root_access_key(access_key):
            passed = {"iam:PassedToService": "states.amazonaws.com"}
            if _iam.enforce(access_key, "iam:PassRole", "iam", _responses.get_region(), role, passed) is not None:
                denied: Response = _iam_actions.access_denied_response(
                    "states", "iam:PassRole", _iam.caller_arn(), str(uuid.uuid4()), headers=headers, resource_arn=role
                )
                return denied
        answer: Response = await handler(method, path, headers, body, query)
        return answer

    _app.SERVICE_HANDLERS["states"] = handle


def _passed_role(body: bytes) -> str | None:
    try:
        role = json.loads(body).get("roleArn")
    except (ValueError, AttributeError):
        return None
    return role if isinstance(role, str) else None


def _owner_of_request(body: bytes) -> str | None:
    try:
        return states.owner_of_token(str(json.loads(body)["taskToken"]))
    except (ValueError, KeyError, TypeError):
        return None


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


def _trust_policy(role_arn: str) -> str:
    role = _iam_store._roles.get_scoped(role_arn.split(":")[4], None, role_arn.rpartition("/")[2]) or {}
    return str(role.get("AssumeRolePolicyDocument") or "")


def _service_may(principal: str, action: str, resource: str, context: Mapping[str, str], service: str) -> bool:
    found = (_trust_policy(resource),) if service == "sts" else _iam._resource_policy(service, resource)
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


# --- Queues ----------------------------------------------------------------------------------------------------------


class _MovableTime:
    """Stands in for the `time` module where a service reads the clock that tests may move."""

    time = staticmethod(clock.now)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _move_queue_clocks() -> None:
    """Visibility, delay, retention and the age of a message follow the emulator's clock.

    So does the pause that MiniStack's poller makes, by the machine's clock, after an invocation that failed.
    """
    for module in (_sqs, _events, _sns):
        module.time = _MovableTime()
    _lambda._route_async_failure = _dated_by_the_clock(_lambda._route_async_failure)
    clock.on_advance(_lambda._esm_backoff_until._data.clear)
    clock.on_advance(_concurrency.esm_wake.set)


def _dated_by_the_clock(route: Callable[..., None]) -> Callable[..., None]:
    """What Lambda puts into a queue bears the machine's time: days behind, it would be gone as soon as it is there."""

    @functools.wraps(route)
    def routing(target_arn: str, *arguments: Any) -> None:
        queue = _sqs._queue_by_arn(target_arn) if ":sqs:" in target_arn else None
        before = {message["id"] for message in queue["messages"]} if queue else set()
        route(target_arn, *arguments)
        ahead = clock.now() - time.time()
        for message in queue["messages"] if queue else ():
            if message["id"] not in before:
                message["sent_at"] += ahead
                message["visible_at"] += ahead
                message["sys"]["SentTimestamp"] = str(int(message["sent_at"] * 1000))

    return routing


def _serialise_queue_changes() -> None:
    """One lock for all that changes a queue.

    MiniStack rebuilds a queue's list of messages in the poller's thread while requests and deliveries append to it in
    others: what is appended just before the new list is put in place is lost.
    """
    lock = threading.RLock()
    _sqs._queues_lock = lock

    def locked(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            with lock:
                return function(*arguments, **keywords)

        return call

    # ReceiveMessage waits between looks, so not it but the steps that it is made of take the lock.
    for name in ("_expire_retained", "_dlq_sweep", "_collect_msgs", "_refresh_counts", "_act_send_message"):
        setattr(_sqs, name, locked(getattr(_sqs, name)))
    for action, handler in list(_sqs._HANDLERS.items()):
        if not asyncio.iscoroutinefunction(handler):
            _sqs._HANDLERS[action] = locked(handler)
    for module, name in (
        (_events, "_dispatch_to_sqs"),
        (_sns, "_deliver_to_sqs"),
        (_s3, "_deliver_event_to_sqs"),
        (_lambda, "_route_async_failure"),
    ):
        setattr(module, name, locked(getattr(module, name)))


# --- Redrive ---------------------------------------------------------------------------------------------------------

# Finished tasks by the ARN of the dead-letter queue, newest first.
_move_tasks: dict[str, list[dict[str, Any]]] = {}
_MOVE_TASKS_KEPT = 10


def _add_redrive() -> None:
    """Serve message move tasks, which MiniStack lacks.

    A task is done by the time that StartMessageMoveTask answers, so there is never one to cancel. Sources: Amazon SQS
    API Reference, "StartMessageMoveTask" and "ListMessageMoveTasks"; Developer Guide, "Configure a dead-letter queue
    redrive", read 2026-11-23.
    """
    _sqs._HANDLERS["StartMessageMoveTask"] = _start_message_move_task
    _sqs._HANDLERS["ListMessageMoveTasks"] = _list_message_move_tasks
    _sqs._HANDLERS["CancelMessageMoveTask"] = _cancel_message_move_task


def _start_message_move_task(data: dict[str, Any], _url: str) -> dict[str, Any]:
    arn, destination = data.get("SourceArn", ""), data.get("DestinationArn")
    dead_letters = _queue_or_error("SourceArn", arn)
    if destination:
        _queue_or_error("DestinationArn", destination)
    if not any(_feeds(queue, arn) for queue in _sqs._queues.values()):
        raise _sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    task: dict[str, Any] = {
        "TaskHandle": str(uuid.uuid4()),
        "SourceArn": arn,
        "StartedTimestamp": int(clock.now() * 1000),
        **{name: data[name] for name in ("DestinationArn", "MaxNumberOfMessagesPerSecond") if name in data},
    }
    waiting = [message for message in dead_letters["messages"] if message["visible_at"] <= clock.now()]
    problem = next((found for message in waiting if (found := _move(dead_letters, message, destination))), None)
    left = sum(message in dead_letters["messages"] for message in waiting)
    task |= {
        "Status": "FAILED" if problem else "COMPLETED",
        "ApproximateNumberOfMessagesMoved": len(waiting) - left,
        "ApproximateNumberOfMessagesToMove": len(waiting),
        **({"FailureReason": problem} if problem else {}),
    }
    _move_tasks[arn] = [task, *_move_tasks.get(arn, [])][:_MOVE_TASKS_KEPT]
    return {"TaskHandle": task["TaskHandle"]}


def _move(dead_letters: dict[str, Any], message: dict[str, Any], destination: str | None) -> str | None:
    """Send one message on as a new one, with a new id and a retention of its own; returns why it cannot be."""
    target = destination or message["sys"].get("DeadLetterQueueSourceArn")
    if target is None:
        return "CouldNotDetermineMessageSource"
    if _sqs._queue_by_arn(target) is None:
        return "AWS.SimpleQueueService.NonExistentQueue"
    url = _sqs._queue_url(target.rpartition(":")[2])
    _sqs._act_send_message(
        {"QueueUrl": url, "MessageBody": message["body"], "MessageAttributes": message["message_attributes"]}, url
    )
    dead_letters["messages"].remove(message)
    return None


def _list_message_move_tasks(data: dict[str, Any], _url: str) -> dict[str, Any]:
    arn = data.get("SourceArn", "")
    _queue_or_error("SourceArn", arn)
    # The handle is given for running tasks only.
    found = [{name: value for name, value in task.items() if name != "TaskHandle"} for task in _move_tasks.get(arn, [])]
    return {"Results": found[: int(data.get("MaxResults") or 1)]}


def _cancel_message_move_task(_data: dict[str, Any], _url: str) -> dict[str, Any]:
    raise _sqs._Err("ResourceNotFoundException", "Task does not exist.", 404)


def _queue_or_error(parameter: str, arn: str) -> dict[str, Any]:
    queue: dict[str, Any] | None = _sqs._queue_by_arn(arn) if arn else None
    if queue is None:
        message = f"The resource that you specified for the {parameter} parameter doesn't exist."
        raise _sqs._Err("ResourceNotFoundException", message, 404)
    return queue


def _feeds(queue: Mapping[str, Any], dead_letter_arn: str) -> bool:
    policy = queue["attributes"].get("RedrivePolicy")
    return bool(policy) and json.loads(policy).get("deadLetterTargetArn") == dead_letter_arn


# --- Rule to queue ---------------------------------------------------------------------------------------------------

# The rule and the target that are being served.
_delivery: contextvars.ContextVar[tuple[dict[str, Any], dict[str, Any]] | None] = contextvars.ContextVar(
    "delivery", default=None
)


def _authorise_rule_targets() -> None:
    invoke_target, send, tell = _events._invoke_target, _events._dispatch_to_sqs, _events._dispatch_to_sns

    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        token = _delivery.set((rule, target))
        try:
            invoke_target(target, event, rule, view)
        finally:
            _delivery.reset(token)

    def deliver(queue: Any, payload: str, parameters: dict[str, Any] | None = None) -> None:
        rule, target = _current_delivery()
        problem = _undeliverable(str(queue), rule["Arn"])
        if problem is None:
            send(queue, payload, parameters)
        else:
            _send_to_dead_letters(problem, payload, rule["Arn"], target, {})

    def publish(topic_arn: str, payload: str) -> None:
        rule, target = _current_delivery()
        problem = _untold(topic_arn, rule["Arn"])
        if problem is None:
            tell(topic_arn, payload)
        else:
            _send_to_dead_letters(problem, payload, rule["Arn"], target, {})

    _events._invoke_target = invoke
    _events._dispatch_to_sqs = deliver
    _events._dispatch_to_sns = publish


def _current_delivery() -> tuple[dict[str, Any], dict[str, Any]]:
    found = _delivery.get()
    if found is None:
        raise RuntimeError("A delivery without a rule: MiniStack's _invoke_target has moved")
    return found


def _undeliverable(queue_arn: str, rule_arn: str) -> tuple[str, str] | None:
    """Error code and message why a rule cannot send to a queue; None when it can."""
    queue = _sqs._queue_by_arn(queue_arn)
    if queue is None:
        return "NO_RESOURCE", f"The queue {queue_arn} does not exist."
    sender, context = "events.amazonaws.com", _source(rule_arn)
    if not authorise.act_as(sender, "sqs:SendMessage", queue_arn, context, path="rule-to-queue"):
        return "NO_PERMISSIONS", f"The policy of {queue_arn} does not let {rule_arn} send."
    # SQS asks the key, and names the queue. It does not pass on which rule sends (Amazon SQS Developer Guide, "Key
    # management", read 2026-11-23).
    use = {"kms:EncryptionContext:aws:sqs:arn": queue_arn, "kms:ViaService": _via("sqs")}
    if not _may_use_key(sender, _queue_key(queue), ("kms:GenerateDataKey", "kms:Decrypt"), use):
        return "NO_PERMISSIONS", f"The policy of the key of {queue_arn} does not let {rule_arn} use it."
    return None


def _untold(topic_arn: str, rule_arn: str) -> tuple[str, str] | None:
    """Error code and message why a rule cannot tell a topic; None when it can.

    The key is asked by what SNS encrypts, the topic: the guide rules out a condition on the rule (Amazon SNS Developer
    Guide, "Amazon SNS encryption key management", read 2026-11-23).
    """
    topic = _sns._topic_by_arn_any_scope(topic_arn)
    if topic is None:
        return "NO_RESOURCE", f"The topic {topic_arn} does not exist."
    sender = "events.amazonaws.com"
    if not authorise.act_as(sender, "sns:Publish", topic_arn, _source(rule_arn), path="rule-to-topic"):
        return "NO_PERMISSIONS", f"The policy of {topic_arn} does not let {rule_arn} publish."
    reference = (topic.get("attributes") or {}).get("KmsMasterKeyId")
    key = _customer_key(reference)
    use = {"kms:EncryptionContext:aws:sns:topicArn": topic_arn, "kms:ViaService": _via("sns")}
    if reference and not (key and _may_use_key(sender, key, ("kms:GenerateDataKey", "kms:Decrypt"), use)):
        return "NO_PERMISSIONS", f"The policy of the key of {topic_arn} does not let {rule_arn} use it."
    return None


def _send_to_dead_letters(
    problem: tuple[str, str], payload: str, rule_arn: str, target: dict[str, Any], more: Mapping[str, str]
) -> None:
    """Send an event that could not be delivered to the target's own dead-letter queue, if it has one.

    Neither a missing queue nor a missing permission is retried on AWS either. The attributes: "Using dead-letter queues
    to process undelivered events in EventBridge", Amazon EventBridge User Guide, read 2026-11-23.
    """
    dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not dead_letters or _undeliverable(dead_letters, rule_arn) is not None:
        _log.warning("An event of %s is lost: %s", rule_arn, problem[1])
        return
    attributes = {
        "ERROR_CODE": problem[0],
        "ERROR_MESSAGE": problem[1],
        "RULE_ARN": rule_arn,
        "TARGET_ARN": target["Arn"],
        **more,
    }
    url = _sqs._queue_url(dead_letters.rpartition(":")[2])
    _sqs._act_send_message(
        {
            "QueueUrl": url,
            "MessageBody": payload,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        },
        url,
    )


def _source(arn: str) -> dict[str, str]:
    return {"aws:SourceArn": arn, "aws:SourceAccount": arn.split(":")[4]}


# --- A stack's buckets and topics ------------------------------------------------------------------------------------
# MiniStack leaves out properties that matter here, and deletes objects with their bucket: a stack which could never be
# deleted on AWS would seem to be fine.


def _complete_stack_resources() -> None:
    """Give a stack's bucket its tags and its encryption, its topic its key; keep a bucket that holds objects."""
    buckets.install()
    vaults.install(_may_use_key)
    _after_provisioning("AWS::S3::Bucket", _complete_bucket)
    _after_provisioning("AWS::S3::Bucket", buckets.complete)
    _after_provisioning("AWS::S3::Bucket", vaults.complete)
    _after_provisioning("AWS::SNS::Topic", _complete_topic)
    handler = _provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    delete = handler["delete"]

    def deleting(physical_id: str, properties: dict[str, Any]) -> None:
        if (_s3._buckets.get(physical_id) or {}).get("objects") or _s3._bucket_has_versions(physical_id):
            raise ValueError("The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
        delete(physical_id, properties)

    handler["delete"] = deleting
    _provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]["delete"] = _delete_table


def _delete_table(name: str, _properties: dict[str, Any]) -> None:
    """As DeleteTable does: MiniStack's own way keeps the tags, and heeds no deletion protection."""
    if name in _dynamodb._tables:
        _accepted(_dynamodb._delete_table({"TableName": name}))


def _after_provisioning(kind: str, complete: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Call `complete` with physical id and properties whenever a resource of this kind was created or updated."""
    handler = _provisioners._RESOURCE_HANDLERS[kind]
    create, update = handler["create"], handler["update"]

    @functools.wraps(create)
    def creating(logical_id: str, properties: dict[str, Any], *rest: Any) -> Any:
        physical_id, attributes = create(logical_id, properties, *rest)
        complete(physical_id, properties)
        return physical_id, attributes

    @functools.wraps(update)
    def updating(physical_id: str, old: dict[str, Any], properties: dict[str, Any], *rest: Any) -> Any:
        updated, attributes = update(physical_id, old, properties, *rest)
        complete(updated, properties)
        return updated, attributes

    handler |= {"create": creating, "update": updating}


def _limit_role(name: str, properties: Mapping[str, Any]) -> None:
    """A role of a template bears its boundary; MiniStack forgets it, and the role could do what it must not."""
    role = _iam_store._roles.get(name)
    if role is not None:
        role["PermissionsBoundary"] = properties.get("PermissionsBoundary")


_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def _secret_of_template(properties: Mapping[str, Any]) -> str:
    """What a stack's secret holds; MiniStack forgets most of what a generated one is to be made of.

    "AWS::SecretsManager::Secret GenerateSecretString", AWS CloudFormation Template Reference, read 2026-11-26.
    """
    wanted = properties.get("GenerateSecretString")
    if wanted is None or properties.get("SecretString"):
        return str(properties.get("SecretString", ""))
    kinds = {
        "ExcludeLowercase": string.ascii_lowercase,
        "ExcludeUppercase": string.ascii_uppercase,
        "ExcludeNumbers": string.digits,
        "ExcludePunctuation": _PUNCTUATION,
    }
    excluded = set(wanted.get("ExcludeCharacters", ""))
    included = [
        [letter for letter in letters if letter not in excluded]
        for name, letters in kinds.items()
        if not _is_true(wanted.get(name))
    ] + ([[" "]] if _is_true(wanted.get("IncludeSpace")) else [])
    included = [letters for letters in included if letters]
    each = (
        [secrets.choice(letters) for letters in included]
        if _is_true(wanted.get("RequireEachIncludedType", True))
        else []
    )
    every = [letter for letters in included for letter in letters]
    length = int(wanted.get("PasswordLength", 32))
    password = each + [secrets.choice(every) for _ in range(length - len(each))]
    secrets.SystemRandom().shuffle(password)
    if "SecretStringTemplate" not in wanted:
        return "".join(password)
    template = json.loads(wanted["SecretStringTemplate"])
    return json.dumps({**template, wanted["GenerateStringKey"]: "".join(password)})


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _complete_topic(arn: str, properties: Mapping[str, Any]) -> None:
    attributes = _sns._topics[arn]["attributes"]
    attributes.pop("KmsMasterKeyId", None)
    if key := properties.get("KmsMasterKeyId"):
        attributes["KmsMasterKeyId"] = key


def _complete_bucket(name: str, properties: Mapping[str, Any]) -> None:
    _s3._bucket_tags.pop(name, None)
    if tags := properties.get("Tags"):
        _s3._bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in tags}
    _s3._bucket_encryption.pop(name, None)
    for rule in (properties.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration", []):
        applied = rule.get("ServerSideEncryptionByDefault") or {}
        elements = "".join(
            f"<{element}>{escape(str(applied[element]))}</{element}>"
            for element in ("SSEAlgorithm", "KMSMasterKeyID")
            if element in applied
        )
        inner = f"<ApplyServerSideEncryptionByDefault>{elements}</ApplyServerSideEncryptionByDefault>"
        inner += f"<BucketKeyEnabled>{str(_is_true(rule.get('BucketKeyEnabled'))).lower()}</BucketKeyEnabled>"
        document = f"<ServerSideEncryptionConfiguration><Rule>{inner}</Rule></ServerSideEncryptionConfiguration>"
        _s3._put_bucket_encryption(name, document.encode())


# --- Objects' events -------------------------------------------------------------------------------------------------

_event_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("event_version", default=None)


def _add_object_versions() -> None:
    """Give S3's events their `version-id`, which MiniStack leaves out.

    "EventBridge event message structure", Amazon S3 User Guide, read 2026-11-23: present for versioned buckets.
    """
    fire, dispatch = _s3._fire_s3_event, _events._dispatch_event

    @functools.wraps(fire)
    def firing(*arguments: Any, **keywords: Any) -> None:
        token = _event_version.set(keywords.get("version_id"))
        try:
            fire(*arguments, **keywords)
        finally:
            _event_version.reset(token)

    def dispatching(event: dict[str, Any], view: Any = None) -> None:
        version = _event_version.get()
        if version and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        dispatch(event, view)

    _s3._fire_s3_event = firing
    _events._dispatch_event = dispatching


# --- Topic to queue, alarm to topic ----------------------------------------------------------------------------------


def _authorise_topic_subscriptions() -> None:
    def allowed(queue_arn: str, service: str, source_arn: str, source_account: str) -> bool:
        if service != "sns.amazonaws.com":
            return bool(original(queue_arn, service, source_arn, source_account))
        context = {"aws:SourceArn": source_arn, "aws:SourceAccount": source_account}
        # SQS asks the key, and names the queue.
        use = {**context, "kms:EncryptionContext:aws:sqs:arn": queue_arn, "kms:ViaService": _via("sqs")}
        queue = _sqs._queue_by_arn(queue_arn)
        let_in = (
            queue is not None
            and authorise.act_as(service, "sqs:SendMessage", queue_arn, context, path="topic-to-queue")
            and _may_use_key(service, _queue_key(queue), ("kms:GenerateDataKey", "kms:Decrypt"), use)
        )
        metrics.topic(source_arn, "NumberOfNotificationsDelivered" if let_in else "NumberOfNotificationsFailed")
        return let_in

    original = _sqs.queue_policy_allows
    _sqs.queue_policy_allows = allowed


def notify(topic_arn: str, alarm_arn: str, subject: str, message: str) -> str | None:
    """Publish an alarm's change of state as CloudWatch, if the policies of topic and key let it.

    Returns None, or in CloudWatch's words why not. Sources: AWS re:Post Knowledge Center, "Why didn't I receive an SNS
    notification for my CloudWatch alarm trigger?" and "How do I configure a CloudWatch alarm to use an encrypted SNS
    topic?", read 2026-11-23.
    """
    topic = _sns._topic_by_arn_any_scope(topic_arn)
    if topic is None:
        return f"Topic does not exist: {topic_arn}"
    sender, context = "cloudwatch.amazonaws.com", _source(alarm_arn)
    # A topic's default policy lets in whoever acts for its owner.
    context["aws:SourceOwner"] = context["aws:SourceAccount"]
    if not authorise.act_as(sender, "sns:Publish", topic_arn, context, path="alarm-to-topic"):
        return f"Resource: {alarm_arn} is not authorized to perform: SNS:Publish on resource: {topic_arn}"
    reference = (topic.get("attributes") or {}).get("KmsMasterKeyId")
    key = _customer_key(reference)
    # The policy of the key that AWS manages for SNS lets no alarm in, and cannot be changed.
    if reference and not (key and _may_use_key(sender, key, ("kms:GenerateDataKey", "kms:Decrypt"), context)):
        return "CloudWatch Alarms does not have authorization to access the SNS topic encryption key."
    _sns._fanout(topic_arn, str(uuid.uuid4()), message, subject)
    return None


# --- Customer keys ---------------------------------------------------------------------------------------------------
# A request on an encrypted resource also uses the key, on behalf of the caller. Services' own keys need no permission.


def _authorise_customer_keys() -> None:
    for service, needs in (
        ("s3", _object_key_use),
        ("sqs", _queue_key_use),
        ("dynamodb", _table_key_use),
        ("sns", _topic_key_use),
        ("secretsmanager", _secret_key_use),
    ):
        _app.SERVICE_HANDLERS[service] = _key_checking(service, needs, _app.SERVICE_HANDLERS[service])


# The keys that a request uses, each with the KMS action.
KeyUse = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, list[str]]], list[tuple[str, str]]]


def _key_checking(service: str, needs: KeyUse, handler: Handler) -> Handler:
    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        access_key = _router.extract_access_key_id(headers, query)
        if not _iam.is_root_access_key(access_key):
            for key, action in needs(method, path, headers, body, query):
                named = buckets.encryption_context(path) if service == "s3" else {}
                if not _caller_may_use_key(access_key, key, action, service, named):
                    denied: Response = _iam_actions.access_denied_response(
                        service, action, _iam.caller_arn(), str(uuid.uuid4()), headers=headers, resource_arn=key
                    )
                    return denied
        return await handler(method, path, headers, body, query)

    return handle


def _caller_may_use_key(
    access_key: str, key: str, action: str, service: str, named: Mapping[str, str] | None = None
) -> bool:
    region = _responses.get_region()
    context = {
        "kms:ViaService": f"{service}.{region}.amazonaws.com",
        "kms:CallerAccount": _responses.get_account_id(),
        "aws:ViaAWSService": "true",
        **(named or {}),
    }
    with _watched() as seen:
        denied = _iam_enforce(access_key, action, "kms", region, key, context)
    principal = _principal_arn(access_key)
    decisions.record(
        decisions.Decision(
            principal=principal,
            role=_role_name(principal),
            action=action,
            resource=key,
            allowed=denied is None,
            statement=_deciding(seen, "kms", action, key, allowed=denied is None),
            via="service",
            path="customer-key",
        )
    )
    return denied is None


def _may_use_key(principal: str, key: str | None, actions: tuple[str, ...], context: Mapping[str, str]) -> bool:
    return key is None or all(
        authorise.act_as(principal, action, key, context, path="customer-key") for action in actions
    )


def _customer_key(reference: str | None) -> str | None:
    """The ARN of a customer's key by id, ARN or alias; None for no key or one that a service manages."""
    record = _kms._resolve_key(reference or "")
    return None if record is None or record.get("KeyManager") == "AWS" else str(record["Arn"])


def _queue_key(queue: Mapping[str, Any]) -> str | None:
    return _customer_key(queue["attributes"].get("KmsMasterKeyId"))


def _may_seal(role: str, queue_arn: str) -> bool:
    """Whether a role may use the key of a queue, if it has one, for a message that goes there."""
    queue = _sqs._queue_by_arn(queue_arn)
    use = {"kms:EncryptionContext:aws:sqs:arn": queue_arn, "kms:ViaService": _via("sqs")}
    return queue is None or _may_use_key(role, _queue_key(queue), ("kms:GenerateDataKey", "kms:Decrypt"), use)


def _object_key_use(
    method: str, path: str, headers: Mapping[str, str], _body: bytes, query: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    bucket, _, name = path.strip("/").partition("/")
    if not name or method not in ("GET", "HEAD", "PUT"):
        return []
    if method == "PUT":
        # Who says how it is to be encrypted does not get the bucket's default.
        default = None if headers.get(_ALGORITHM_HEADER) else _s3._bucket_default_sse_headers(bucket).get(_KEY_HEADER)
        written = _uses(_customer_key(headers.get(_KEY_HEADER) or default), "kms:GenerateDataKey")
        return [*_uses(_copied_key(headers), "kms:Decrypt"), *written]
    return _uses(_object_key(bucket, name, next(iter(query.get("versionId") or ()), None)), "kms:Decrypt")


def _copied_key(headers: Mapping[str, str]) -> str | None:
    """The customer's key of the object that a copy is made of: reading it takes that key, as any reading does."""
    source, _, query = headers.get("x-amz-copy-source", "").partition("?")
    bucket, _, name = urllib.parse.unquote(source).lstrip("/").partition("/")
    return _object_key(bucket, name, next(iter(urllib.parse.parse_qs(query).get("versionId") or ()), None))


def _uses(key: str | None, *actions: str) -> list[tuple[str, str]]:
    return [(key, action) for action in actions] if key else []


_KEY_HEADER, _ALGORITHM_HEADER = buckets.KEY_HEADER, buckets.ALGORITHM_HEADER


def _object_key(bucket: str, key: str, version: str | None) -> str | None:
    record = (_s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
    if version and (record is None or record.get("version_id") != version):
        versions = _s3._object_versions.get((bucket, key), [])
        found = next((item for item in versions if item["version_id"] == version), None)
        record = None if found is None or found.get("is_delete_marker") else _s3._object_record_from_version(found)
    return _customer_key(_s3._stored_sse_headers(record or {}).get(_KEY_HEADER))


def _queue_key_use(
    _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    # "Amazon SQS Key management", Amazon SQS Developer Guide, read 2026-11-23.
    actions = {
        "SendMessage": ("kms:GenerateDataKey", "kms:Decrypt"),
        "SendMessageBatch": ("kms:GenerateDataKey", "kms:Decrypt"),
        "ReceiveMessage": ("kms:Decrypt",),
    }.get(_target_action(headers), ())
    try:
        return _uses(_queue_key(_sqs._get_q(json.loads(body)["QueueUrl"])), *actions) if actions else []
    except (ValueError, KeyError, _sqs._Err):
        # SQS itself says what is wrong with such a request.
        return []


def _topic_key_use(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    # "Key management", Amazon SNS Developer Guide, read 2026-11-26: whoever publishes needs both.
    parameters = _app._routing_params(method, path, headers, body, query)
    if next(iter(parameters.get("Action") or ()), "") not in ("Publish", "PublishBatch"):
        return []
    topic = _sns._topic_by_arn_any_scope(next(iter(parameters.get("TopicArn") or ()), "")) or {}
    key = _customer_key((topic.get("attributes") or {}).get("KmsMasterKeyId"))
    return _uses(key, "kms:GenerateDataKey", "kms:Decrypt")


# What an update of a secret encrypts anew.
_ENCRYPTED = frozenset({"SecretString", "SecretBinary", "KmsKeyId"})


def _secret_key_use(
    _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    # "Secret encryption and decryption", AWS Secrets Manager User Guide, read 2026-11-26: whoever changes a value needs
    # both permissions; an update of neither value nor key uses no key. Not asked: an update's new key, CreateSecret.
    actions = {
        "GetSecretValue": ("kms:Decrypt",),
        "PutSecretValue": ("kms:GenerateDataKey", "kms:Decrypt"),
        "UpdateSecret": ("kms:GenerateDataKey", "kms:Decrypt"),
    }.get(_target_action(headers), ())
    try:
        request = json.loads(body) if actions else {}
        if _target_action(headers) == "UpdateSecret" and _ENCRYPTED.isdisjoint(request):
            return []
        _, secret = _secrets._resolve(request["SecretId"]) if actions else (None, None)
    except (ValueError, KeyError):
        secret = None
    return _uses(_customer_key((secret or {}).get("KmsKeyId")), *actions)


def _target_action(headers: Mapping[str, str]) -> str:
    return headers.get("x-amz-target", "").rpartition(".")[2]


def _table_key_use(
    _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    # DynamoDB has the table's key decrypted on behalf of the caller, for reads and writes alike.
    region, account = _responses.get_region(), _responses.get_account_id()
    items = _iam_actions.dynamodb_transaction_checks(f"dynamodb:{_target_action(headers)}", body, region, account)
    arns = [arn for _, arn in items] or _iam_actions.dynamodb_resource_arns(body, region, account)
    keys = set()
    for arn in arns:
        table = _dynamodb._tables.get(arn.partition(":table/")[2].partition("/")[0]) or {}
        keys.add(_customer_key((table.get("SSEDescription") or {}).get("KMSMasterKeyArn")))
    return [use for key in sorted(filter(None, keys)) for use in _uses(key, "kms:Decrypt")]


# --- Objects that are not there --------------------------------------------------------------------------------------


def _hide_missing_objects() -> None:
    """Answer AccessDenied for an object or version that is not there, unless the caller may list the bucket.

    Amazon S3 API Reference, "GetObject" and "HeadObject", read 2026-11-23: without s3:ListBucket a missing object is
    403, not 404. They do not say otherwise of a version. The question is not recorded: no read needs the permission.
    """
    handler = _app.SERVICE_HANDLERS["s3"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        response: Response = await handler(method, path, headers, body, query)
        bucket, _, key = path.strip("/").partition("/")
        if response[0] != 404 or method not in ("GET", "HEAD") or not key or _s3._buckets.get(bucket) is None:
            return response
        access_key, region = _router.extract_access_key_id(headers, query), _responses.get_region()
        if _iam.is_root_access_key(access_key):
            return response
        keys = vpc.condition_keys(access_key, "s3:ListBucket", "s3", region)
        if _iam_enforce(access_key, "s3:ListBucket", "s3", region, f"arn:aws:s3:::{bucket}", keys) is None:
            return response
        denied: Response = _iam_actions.access_denied_response(
            "s3",
            "s3:ListBucket",
            _iam.caller_arn(),
            str(uuid.uuid4()),
            headers=headers,
            resource_arn=f"arn:aws:s3:::{bucket}",
        )
        return denied if method == "GET" else (denied[0], denied[1], b"")

    _app.SERVICE_HANDLERS["s3"] = handle


# --- Lambda: errors, poller, logs, invocations -----------------------------------------------------------------------


# How MiniStack's worker writes what a Python handler answered, and reports what it raised.
_HANDLER_RESULT = 'json.dumps({"status": "ok", "result": result})'
_HANDLER_ERROR = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
_NAMED_HANDLER_ERROR = """{"status": "ok", "error": str(e), "trace": traceback.format_exc(), "raised": {
                "errorMessage": str(e), "errorType": type(e).__name__, "requestId": _ms_ctx.get("request_id", ""),
                "stackTrace": [] if isinstance(e, _MarshalError) else traceback.format_tb(e.__traceback__)}}"""
_MARSHALLING = """
_MarshalError = type("Runtime.MarshalError", (Exception,), {})

def _marshalled(result):
    try:
        return json.dumps({"status": "ok", "result": result})
    except (TypeError, ValueError) as problem:
        raise _MarshalError("Unable to marshal response: " + str(problem)) from None

def run():"""


def _name_handler_errors() -> None:
    """Answer a failed invocation with the exception's own name, by which state machines catch it, and keep its worker.

    MiniStack ends the worker of any invocation whose answer is an error, so the word for that is put in behind it. On
    AWS a runtime that reports an error asks for its next invocation; only one that crashes or is out of time is reset
    ("Understanding the Lambda execution environment lifecycle", AWS Lambda Developer Guide, read 2026-11-26).

    MiniStack calls every error Runtime.HandlerError. The fields, and the name for an answer that is no JSON: "AWS
    Lambda function errors in Python", AWS Lambda Developer Guide, read 2026-11-26 (`requestId` is not shown there).
    """
    script = _runtime._PYTHON_WORKER_SCRIPT.replace(_HANDLER_ERROR, _NAMED_HANDLER_ERROR)
    script = script.replace(_HANDLER_RESULT, "_marshalled(result)").replace("\ndef run():", _MARSHALLING)
    _runtime._PYTHON_WORKER_SCRIPT = script
    invoke, execute = _runtime.Worker.invoke, _lambda._execute_function_warm

    def invoking(worker: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        response: dict[str, Any] = invoke(worker, *arguments, **keywords)
        _running.raised = response.get("raised")
        return {**response, "status": "error"} if _running.raised else response

    @functools.wraps(execute)
    def executing(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        _running.raised = None
        result: dict[str, Any] = execute(*arguments, **keywords)
        if result.get("error") and _running.raised:
            result["body"] = _running.raised
        return result

    _runtime.Worker.invoke = invoking
    _lambda._execute_function_warm = executing


@dataclass(frozen=True)
class Invocation:
    """One invocation of a function, as seen when it is over.

    `config` is the function's configuration (FunctionName, FunctionArn, Role, TracingConfig, ...); `source` is where
    the event came from (`aws:sqs`, ... or `invoke`); `started` is in seconds since the epoch, `duration` in seconds;
    `error` is the message of a failure; a throttled invocation did not run; `trace_header` is the value of
    `_X_AMZN_TRACE_ID`, None without active tracing.
    """

    config: Mapping[str, Any]
    source: str
    request_id: str
    started: float
    duration: float
    error: str | None
    throttled: bool
    trace_header: str | None

    @property
    def function(self) -> str:
        """The function's name."""
        return str(self.config.get("FunctionName", ""))

    @property
    def role(self) -> str:
        """The ARN of the function's role."""
        return str(self.config.get("Role", ""))


# Called after each invocation, in the thread that ran it.
after_invocation: list[Callable[[Invocation], None]] = []

# What is being run in this thread: depth, request id, trace header; and for which mapping a batch is being run.
_running: threading.local = threading.local()


def _watch_invocations() -> None:
    execute, dispatch, trace = (
        _lambda._execute_function,
        _lambda._execute_function_dispatch,
        _lambda._xray_trace_id_for_invocation,
    )

    def executing(function: dict[str, Any], event: Any) -> dict[str, Any]:
        if getattr(_running, "depth", 0):
            # MiniStack enters again in the same thread to change the account's scope: one invocation.
            result: dict[str, Any] = execute(function, event)
            return result
        _running.depth, _running.request_id, _running.trace = 1, "", None
        started = time.time()
        try:
            result = execute(function, event)
        finally:
            _running.depth = 0
        _tell_watchers(function, event, started, result)
        return result

    def dispatching(function: Any, config: Any, event: Any, request_id: str, started: float) -> dict[str, Any]:
        _running.request_id = request_id
        result: dict[str, Any] = dispatch(function, config, event, request_id, started)
        return result

    def tracing(config: dict[str, Any], inbound: str | None = None) -> str | None:
        header: str | None = trace(config, inbound)
        _running.trace = header
        return header

    _lambda._execute_function = executing
    _lambda._execute_function_dispatch = dispatching
    _lambda._xray_trace_id_for_invocation = tracing


def _tell_watchers(function: dict[str, Any], event: Any, started: float, result: dict[str, Any]) -> None:
    records = event.get("Records") if isinstance(event, dict) else None
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    throttled = bool(result.get("throttle"))
    invocation = Invocation(
        config=function.get("config") or function,
        source=str(first.get("eventSource") or first.get("EventSource") or "invoke"),
        request_id=_running.request_id,
        started=started,
        duration=time.time() - started,
        error=None if throttled or not result.get("error") else _error_message(result),
        throttled=throttled,
        trace_header=_running.trace,
    )
    for watcher in after_invocation:
        try:
            watcher(invocation)
        except Exception:  # noqa: BLE001, PERF203 (a watcher that fails must not fail the invocation; it is logged)
            _log.exception("A watcher of invocations failed")


def _error_message(result: Mapping[str, Any]) -> str:
    body = result.get("body")
    return str(body.get("errorMessage", "") if isinstance(body, dict) else body or "") or "unknown error"


def _authorise_poller() -> None:
    concurrency, run, delete = _lambda._sqs_esm_concurrency, _lambda._run_sqs_batch, _sqs._delete_messages_for_esm

    def concurrency_if_allowed(
        mapping: dict[str, Any], function: dict[str, Any], config: Any, queue: dict[str, Any] | None = None
    ) -> int:
        # Asked right before each receive: no batch may be in flight for a role that may not receive.
        role, arn = (function.get("config") or function)["Role"], mapping["EventSourceArn"]
        allowed = (
            queue is not None
            and all(
                authorise.act_as(role, action, arn, path="queue-poller")
                for action in ("sqs:ReceiveMessage", "sqs:GetQueueAttributes")
            )
            and _may_use_key(role, _queue_key(queue), ("kms:Decrypt",), {"kms:ViaService": _via("sqs")})
        )
        return int(concurrency(mapping, function, config, queue)) if allowed else 0

    def running(mapping: dict[str, Any], function: dict[str, Any], *rest: Any) -> None:
        _running.batch = (function.get("config") or function)["Role"], mapping["EventSourceArn"]
        try:
            run(mapping, function, *rest)
        finally:
            _running.batch = None

    def deleting(queue_url: str, receipts: set[str]) -> None:
        role, arn = _running.batch
        if authorise.act_as(role, "sqs:DeleteMessage", arn, path="queue-poller"):
            delete(queue_url, receipts)

    _lambda._sqs_esm_concurrency = concurrency_if_allowed
    _lambda._run_sqs_batch = running
    _sqs._delete_messages_for_esm = deleting


def batches_under_way() -> int:
    """Batches of messages that pollers have handed to functions and that have not come back yet."""
    with _lambda._esm_inflight_lock:
        return sum(_lambda._esm_inflight.values())


def _via(service: str) -> str:
    return f"{service}.{_responses.get_region()}.amazonaws.com"


def _authorise_log_delivery() -> None:
    emit = _lambda._emit_lambda_logs

    @functools.wraps(emit)
    def emitting(function: dict[str, Any], *arguments: Any, **keywords: Any) -> None:
        if _may_deliver_logs(function.get("config") or function):
            emit(function, *arguments, **keywords)

    _lambda._emit_lambda_logs = emitting


def _may_deliver_logs(config: Mapping[str, Any]) -> bool:
    name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    group = f"arn:aws:logs:{_responses.get_region()}:{_responses.get_account_id()}:log-group:{name}"
    # One stream an environment on AWS; MiniStack makes one an invocation, so the day and version stand for it here.
    stream = f"{group}:log-stream:{time.strftime('%Y/%m/%d', time.gmtime())}/[{config.get('Version', '$LATEST')}]"
    needed = [("logs:CreateLogStream", stream), ("logs:PutLogEvents", stream)]
    if name not in _logs._log_groups:
        needed.insert(0, ("logs:CreateLogGroup", group))
    return all(authorise.act_as(config["Role"], action, arn, path="log-delivery") for action, arn in needed)


# --- Metrics, alarms and traces --------------------------------------------------------------------------------------


def _publish_metrics() -> None:
    """Metrics of queues and of every invocation, MiniStack publishes those of direct invocations only."""
    _cloudwatch.time = _MovableTime()
    _lambda._emit_lambda_metrics = lambda *_, **__: None
    store = _MetricStore()
    _cloudwatch._evict_old_metrics = store.evict
    _cloudwatch._dims_from_list = _exact(_cloudwatch._dims_from_list)
    for name in ("_store_datum", "record_metric"):
        setattr(_cloudwatch, name, store.locked(getattr(_cloudwatch, name)))
    metrics.use(store)
    after_invocation.append(_count_invocation)
    _count_messages()


class _Dimensions(dict[str, str]):
    """True even when there are none: MiniStack takes a false one for a question about all dimensions at once."""

    def __bool__(self) -> bool:
        return True


def _exact(read: Callable[[list[dict[str, str]]], dict[str, str]]) -> Callable[[list[dict[str, str]]], _Dimensions]:
    """A question without dimensions is about the metric that has none, as on AWS."""
    return lambda given: _Dimensions(read(given))


class _MetricStore:
    """CloudWatch's points as MiniStack keeps them, with one lock for all that writes them (`metrics.Store`)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # The points that services' values of a minute are counted on.
        self._counted: dict[tuple[metrics.Series, float, float], dict[str, Any]] = {}
        self._evicted = 0.0

    def locked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                return function(*arguments, **keywords)

        return call

    def add(self, series: metrics.Series, minute: float, value: float, count: float) -> None:
        with self._lock:
            point = self._counted.get((series, minute, value))
            if point is not None:
                point["Count"] += count
                return
            dimensions = dict([series.dimension, *series.more])
            point = {
                "Timestamp": minute, "Value": value, "Unit": series.unit, "Dimensions": dimensions, "Count": count,
            }  # fmt: skip
            self._counted[(series, minute, value)] = point
            where = (series.account, series.region)
            key = (series.namespace, series.name, _cloudwatch._dims_key(dimensions))
            points = _cloudwatch._metrics.get_scoped(*where, key)
            if points is None:
                _cloudwatch._metrics.set_scoped(*where, key, [point])
            else:
                points.append(point)

    def drop_before(self, moment: float) -> None:
        self._keep(lambda namespace, time: not namespace.startswith("AWS/") or time >= moment)
        with self._lock:
            latest = max((minute for _, minute, _ in self._counted), default=0.0)
            # No invocation lasts longer than 15 minutes, so nothing is counted on older points.
            self._counted = {key: point for key, point in self._counted.items() if key[1] >= latest - 1_000}

    def evict(self) -> None:
        """Replaces MiniStack's `_evict_old_metrics`, which copies every point at each request."""
        now = clock.now()
        if now - self._evicted >= metrics.MINUTE:
            self._evicted = now
            self._keep(lambda _, time: time >= now - _cloudwatch.TWO_WEEKS_SECONDS)

    def _keep(self, wanted: Callable[[str, float], bool]) -> None:
        with self._lock:
            for where, points in list(_cloudwatch._metrics._data.items()):
                points[:] = [point for point in points if wanted(where[2][0], point["Timestamp"])]
                if not points:
                    del _cloudwatch._metrics._data[where]

    def queues(self) -> list[metrics.Queue]:
        with _sqs._queues_lock:
            return [_queue_now(account, region, queue) for (account, region, _), queue in _sqs._queues._data.items()]


def _queue_now(account: str, region: str, queue: dict[str, Any]) -> metrics.Queue:
    _count_sent(queue, queue["messages"])
    return metrics.Queue(
        account=account,
        region=region,
        name=queue["name"],
        fifo=bool(queue["is_fifo"]),
        created=float(queue["attributes"].get("CreatedTimestamp", 0)),
        messages=[_message_now(message) for message in queue["messages"]],
    )


def _message_now(message: dict[str, Any]) -> metrics.Message:
    if "DeadLetterQueueSourceArn" in message.get("sys", {}):
        # A message that is moved becomes visible at that moment.
        message.setdefault("moved_at", min(message["visible_at"], clock.now()))
    return metrics.Message(
        sent=message["sent_at"],
        visible=message["visible_at"],
        receives=message["receive_count"],
        moved=message.get("moved_at"),
    )


def _count_messages() -> None:
    collect, delete_batch = _sqs._collect_msgs, _sqs._delete_messages_for_esm

    def collecting(queue: dict[str, Any], most: int, timeout: int) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = collect(queue, most, timeout)
        _count_sent(queue, received)
        _count(queue, "NumberOfMessagesReceived", [clock.now()] * len(received))
        return received

    def counting_deleted(delete: Callable[..., Any], url_of: Callable[..., str]) -> Callable[..., Any]:
        @functools.wraps(delete)
        def deleting(*arguments: Any) -> Any:
            with _sqs._queues_lock:
                queue = _sqs._get_q(url_of(*arguments))
                before = len(queue["messages"])
                answer = delete(*arguments)
                _count(queue, "NumberOfMessagesDeleted", [clock.now()] * (before - len(queue["messages"])))
                return answer

        return deleting

    _sqs._collect_msgs = collecting
    _sqs._delete_messages_for_esm = counting_deleted(delete_batch, lambda url, _: str(url))
    for action in ("DeleteMessage", "DeleteMessageBatch"):
        _sqs._HANDLERS[action] = counting_deleted(
            _sqs._HANDLERS[action], lambda data, url: str(data.get("QueueUrl", url))
        )


def _count_sent(queue: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Count messages when they are first met: they come by many ways. One moved to a dead-letter queue was met."""
    new = [message for message in messages if not message.get("counted")]
    for message in new:
        message["counted"] = True
    _count(queue, "NumberOfMessagesSent", [message["sent_at"] for message in new])


def _count(queue: dict[str, Any], name: str, moments: list[float]) -> None:
    if moments:
        arn = queue["attributes"]["QueueArn"].split(":")
        metrics.messages(arn[4], arn[3], queue["name"], name, moments)


def _count_invocation(invocation: Invocation) -> None:
    account, region = _lambda._account_region_from_function_config(invocation.config)
    started = invocation.started + clock.offset()
    metrics.invoked(
        metrics.Invocation(
            account=account,
            region=region,
            function=invocation.function,
            started=started,
            milliseconds=invocation.duration * 1000,
            error=invocation.error is not None,
            throttled=invocation.throttled,
            running=1 + _lambda.executions_in_flight()[1].get(_lambda._inflight_key(invocation.config), 0),
        )
    )
    if invocation.trace_header and not invocation.throttled:
        xray.traced(
            xray.TracedInvocation(
                account=account,
                region=region,
                role=invocation.role,
                function=invocation.function,
                function_arn=str(invocation.config["FunctionArn"]),
                request_id=invocation.request_id,
                header=invocation.trace_header,
                started=invocation.started,
                ended=invocation.started + invocation.duration,
                failed=invocation.error is not None,
            )
        )


def _count_publications() -> None:
    fanout = _sns._fanout

    @functools.wraps(fanout)
    def fanning_out(topic_arn: str, *arguments: Any, **keywords: Any) -> None:
        fanout(topic_arn, *arguments, **keywords)
        metrics.topic(topic_arn, "NumberOfMessagesPublished")

    _sns._fanout = fanning_out


def _serve_traces() -> None:
    def answer(operation: str, _path: str, body: bytes, _query: Mapping[str, list[str]]) -> Response:
        region, account = _responses.get_region(), _responses.get_account_id()
        caller = _Caller(principal_arn=_iam.caller_arn(), account=account, region=region, access_key="")
        return xray.SERVICE.handle(operation, body, caller)

    register_rest(xray.SERVICE.name, xray.SERVICE.iam_namespace, answer)


# What an alarm's definition may hold and MiniStack does not keep.
_ALARM_PARTS = (
    "Metrics",
    "ThresholdMetricId",
    "EvaluateLowSampleCountPercentile",
    "EvaluationWindow",
    "WarmUpConfiguration",
    "EvaluationCriteria",
    "EvaluationInterval",
)
_PARTS_OF_ONE_METRIC = ("Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Unit")
_SUPPRESSION = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
_HISTORY_ITEMS = 2_000


def _take_over_alarms() -> None:
    """`alarms` evaluates and acts; MiniStack keeps the definitions and answers the API."""
    for name in ("_evaluate_alarm", "_evaluate_all_alarms", "_evaluate_parent_alarms", "_transition_composite"):
        if not callable(getattr(_cloudwatch, name)):
            raise TypeError(name)
        setattr(_cloudwatch, name, lambda *_, **__: None)

    def state_was_set(alarm: dict[str, Any], old: str, new: str, _reason: str) -> None:
        alarms.state_was_set(_responses.get_account_id(), _responses.get_region(), alarm, old, new)

    _cloudwatch._dispatch_alarm_actions = state_was_set
    _keep_whole_definitions()
    alarms.start(_AlarmBackend())


def _keep_whole_definitions() -> None:
    put_metric, put_composite = _cloudwatch._put_metric_alarm, _cloudwatch._put_composite_alarm
    record_of = _provisioners._cw_metric_alarm_record

    def putting_metric(parameters: Any, data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Response:
        if unread := _first_of(parameters, _ALARM_PARTS):
            return _refused(f"This local cloud does not read {unread} from the Query protocol.", is_cbor, is_json)
        answer: Response = put_metric(parameters, data, is_cbor, is_json)
        if answer[0] == 200 and (is_cbor or is_json):
            _complete(_cloudwatch._alarms[data["AlarmName"]], data)
        return answer

    def putting_composite(parameters: Any, data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Response:
        if unserved := _first_of(data, _SUPPRESSION) or _first_of(parameters, _SUPPRESSION):
            return _refused(f"This local cloud does not serve {unserved}.", is_cbor, is_json)
        answer: Response = put_composite(parameters, data, is_cbor, is_json)
        return answer

    def from_template(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        # MiniStack refuses metric math in templates. What it asks for instead is taken out again.
        given = properties
        if properties.get("Metrics"):
            given = {**properties, "Namespace": "-", "MetricName": "-"}
            del given["Metrics"]
        alarm: dict[str, Any] = record_of(name, given)
        alarm["AlarmConfigurationUpdatedTimestamp"] = int(clock.now())
        _complete(alarm, properties)
        return alarm

    _cloudwatch._put_metric_alarm = putting_metric
    _cloudwatch._put_composite_alarm = putting_composite
    _provisioners._cw_metric_alarm_record = from_template
    _provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": _create_composite_alarm,
        "update": _update_composite_alarm,
        "update_with_logical_id": True,
        "delete": _delete_composite_alarm,
    }


def _create_composite_alarm(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
    name = properties.get("AlarmName") or _provisioners._physical_name(stack, logical_id, max_len=255)
    _accepted(_cloudwatch._put_composite_alarm({}, {**properties, "AlarmName": name}, False, True))
    return name, {"Arn": _cloudwatch._composite_alarms[name]["AlarmArn"]}


def _update_composite_alarm(
    name: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str | None = None
) -> tuple[str, dict[str, Any]]:
    created = _create_composite_alarm(logical_id or name, new, stack)
    if created[0] != name:
        _provisioners._delete_predecessor(_delete_composite_alarm, name, old)
    return created


def _delete_composite_alarm(name: str, _properties: dict[str, Any]) -> None:
    _accepted(_cloudwatch._delete_alarms({}, {"AlarmNames": [name]}, False, True))


def _accepted(answer: Response) -> None:
    if answer[0] != 200:
        raise ValueError(json.loads(answer[2])["message"])


def _complete(alarm: dict[str, Any], given: Mapping[str, Any]) -> None:
    alarm.update({part: given[part] for part in _ALARM_PARTS if given.get(part)})
    if given.get("Metrics") or given.get("EvaluationCriteria"):
        for part in _PARTS_OF_ONE_METRIC:
            alarm.pop(part, None)


def _first_of(given: Mapping[str, Any], parts: tuple[str, ...]) -> str | None:
    return next((part for part in parts for name in given if name == part or name.startswith(f"{part}.")), None)


def _refused(message: str, is_cbor: bool, is_json: bool) -> Response:
    answer: Response = _cloudwatch._error("ValidationError", message, 400, use_json=is_json, use_cbor=is_cbor)
    return answer


def _datum(point: dict[str, Any]) -> Datum:
    count, total, low, high = _cloudwatch._point_stats(point)
    return Datum(point["Timestamp"], count, total, low, high, point["Unit"])


class _AlarmBackend:
    """The emulated CloudWatch, topics and event bus, for `alarms`."""

    def definitions(self, kind: str) -> list[tuple[alarms.Scope, dict[str, Any]]]:
        store = _cloudwatch._alarms if kind == alarms.METRIC else _cloudwatch._composite_alarms
        return [(alarms.Scope(account, region), alarm) for (account, region, _), alarm in list(store._data.items())]

    def source(self, scope: alarms.Scope) -> Source:
        def read(namespace: str, name: str, dimensions: Mapping[str, str], start: float, end: float) -> list[Datum]:
            key = (namespace, name, _cloudwatch._dims_key(dict(dimensions)))
            points = _cloudwatch._metrics.get_scoped(scope.account, scope.region, key) or []
            return [_datum(point) for point in list(points) if start <= point["Timestamp"] < end]

        return read

    def add_history(self, scope: alarms.Scope, item: dict[str, str]) -> None:
        with _responses.request_scope(scope.account, scope.region):
            entries = _cloudwatch._history_entries()
            entries.append(item)
            del entries[:-_HISTORY_ITEMS]

    def notify(self, scope: alarms.Scope, topic_arn: str, alarm_arn: str, subject: str, message: str) -> str | None:
        with _responses.request_scope(scope.account, scope.region):
            return notify(topic_arn, alarm_arn, subject, message)

    def emit(self, scope: alarms.Scope, event: dict[str, Any]) -> None:
        with _responses.request_scope(scope.account, scope.region):
            _emit(event["source"], event["detail-type"], event["detail"], event["resources"])
