"""S3's security that MiniStack lacks: condition keys, properties of stacks' buckets, access logs, keys per bucket.

- Condition keys: `s3:TlsVersion`, `s3:authType`, `s3:signatureAge`, the key that a write names and the tags that it
  gives ("Bucket policy examples using condition keys" and "Amazon S3 Signature Version 4 authentication specific policy
  keys", Amazon S3 User Guide and API Reference, read 2026-11-27). The TLS version is that of the caller's own
  connection. Signatures are as old as the machine's clock says; it is not the clock that tests move.
- Keys: S3 names the object, or the bucket if that has a bucket key, in the encryption context ("Reducing the cost of
  SSE-KMS with Amazon S3 Bucket Keys", Amazon S3 User Guide, read 2026-11-27).
- A write that asks for KMS and names no key gets S3's own key of the account ("PutObject", `SSEKMSKeyId`, in botocore's
  model of S3, read 2026-11-28), whatever the bucket's default is. That key has no name here, and an answer names none.
- A link that was signed by version 2 opens nothing that lies under a key of KMS ("Protecting data with server-side
  encryption", same guide, read 2026-11-27).
- A write that gives tags or locks is asked for the permission to do so, too.
- Server access logs: delivered within a second or two, where AWS takes hours, by `logging.s3.amazonaws.com`, if the
  destination's policy lets it in ("Enabling Amazon S3 server access logging", same guide, read 2026-11-27).
"""

from __future__ import annotations

import contextvars
import datetime
import functools
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from hypercorn.asyncio.tcp_server import TCPServer
from ministack import app as _app
from ministack.core import iam_actions as _iam_actions
from ministack.core import iam_evaluator as _iam
from ministack.core import responses as _responses
from ministack.core import router as _router
from ministack.services import s3 as _s3

from local.emulator import authorise

LOGGING_SERVICE = "logging.s3.amazonaws.com"
DELIVERED_AFTER_SECONDS = 0.5
KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
ALGORITHM_HEADER = "x-amz-server-side-encryption"

# What comes from inside the emulator has no connection of its own: services of AWS among each other.
_tls_version: contextvars.ContextVar[str] = contextvars.ContextVar("tls_version", default="1.3")


def install() -> None:
    """Put the hooks in place."""
    _watch_connections()
    _add_condition_keys()
    _have_a_key_of_its_own()
    _refuse_old_signatures()
    _ask_for_what_is_beside()
    _write_access_logs()


# --- Condition keys


def _watch_connections() -> None:
    """Each connection's requests know its TLS version: they run in tasks that are begun from the connection's own."""
    run = TCPServer.run

    async def running(self: Any) -> None:
        spoken = self.writer.get_extra_info("ssl_object")
        if spoken is not None:
            _tls_version.set(str(spoken.version()).removeprefix("TLSv"))
        await run(self)

    TCPServer.run = running  # type: ignore[method-assign]


def _add_condition_keys() -> None:
    known = _iam_actions.s3_service_context

    def with_more(
        iam_action: str, query: Mapping[str, Any] | None, path: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return {**known(iam_action, query, path, headers), **_conditions(iam_action, query or {}, headers or {})}

    _iam_actions.s3_service_context = with_more


def _conditions(iam_action: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    presigned = not {"X-Amz-Signature", "Signature"}.isdisjoint(query)
    context: dict[str, Any] = {"s3:authType": "REST-QUERY-STRING" if presigned else "REST-HEADER"}
    if _iam._request_origin.get()[1]:
        context["s3:TlsVersion"] = _tls_version.get()
    signed = _first(query.get("X-Amz-Date")) if presigned else headers.get("x-amz-date", "")
    if (moment := _moment(signed)) is not None:
        context["s3:signatureAge"] = str(max(0, int((time.time() - moment) * 1000)))
    if iam_action == "s3:PutObject" and headers.get(KEY_HEADER):
        context[f"s3:{KEY_HEADER}"] = headers[KEY_HEADER]
    if iam_action in ("s3:PutObject", "s3:PutObjectTagging"):
        for name, value in parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True):
            context[f"s3:RequestObjectTag/{name}"] = value
    return context


def _moment(signed: str) -> float | None:
    try:
        parsed = datetime.datetime.strptime(signed, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 (always UTC; set below)
    except ValueError:
        return None
    return parsed.replace(tzinfo=datetime.timezone.utc).timestamp()


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and value else value or "")


def _have_a_key_of_its_own() -> None:
    resolve = _s3._resolve_sse_write_headers

    @functools.wraps(resolve)
    def resolving(headers: Mapping[str, str], bucket_name: str) -> Any:
        customer = any(name.startswith(f"{ALGORITHM_HEADER}-customer-") for name, value in headers.items() if value)
        if headers.get(ALGORITHM_HEADER) == "aws:kms" and not headers.get(KEY_HEADER) and not customer:
            return {ALGORITHM_HEADER: "aws:kms"}, None
        return resolve(headers, bucket_name)

    _s3._resolve_sse_write_headers = resolving


def _refuse_old_signatures() -> None:
    handler = _app.SERVICE_HANDLERS["s3"]

    async def handling(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Any:
        bucket, _, key = path.strip("/").partition("/")
        if {"AWSAccessKeyId", "Signature"} <= set(query):
            found = (_s3._buckets.get(bucket) or {}).get("objects", {}).get(key) or {}
            asked = (
                {**_s3._bucket_default_sse_headers(bucket), **headers}
                if method == "PUT"
                else _s3._stored_sse_headers(found)
            )
            if asked.get(ALGORITHM_HEADER) == "aws:kms":
                message = (
                    "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature"
                    " Version 4."
                )
                return _s3._error("InvalidArgument", message, 400)
        return await handler(method, path, headers, body, query)

    _app.SERVICE_HANDLERS["s3"] = handling


# What a write asks for beside the object, by its headers, each with the permission that it needs (Amazon S3 API
# Reference, "PutObject", read 2026-11-27).
BESIDE = {
    "x-amz-tagging": "s3:PutObjectTagging",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
}


def _ask_for_what_is_beside() -> None:
    """A write that gives tags or locks by itself needs the permission for that, too."""
    handler = _app.SERVICE_HANDLERS["s3"]

    async def handling(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Any:
        given = _s3._merge_hoisted_amz_headers(headers, query)
        access_key = _router.extract_access_key_id(headers, query)
        if method == "PUT" and access_key and not _iam.is_root_access_key(access_key):
            for action in (action for header, action in BESIDE.items() if given.get(header)):
                name, context = f"arn:aws:s3:::{path.strip('/')}", _conditions(action, query, given)
                if _iam.enforce(access_key, action, "s3", _responses.get_region(), name, context) is not None:
                    return _iam_actions.access_denied_response(
                        "s3", action, _iam.caller_arn(), uuid.uuid4().hex, headers=headers, resource_arn=name
                    )
        return await handler(method, path, headers, body, query)

    _app.SERVICE_HANDLERS["s3"] = handling


# --- A stack's buckets


def complete(name: str, properties: Mapping[str, Any]) -> None:
    """Give a stack's bucket what MiniStack leaves out of its properties. Raises ValueError for what S3 refuses."""
    _s3._bucket_logging_config.pop(name, None)
    if logging := properties.get("LoggingConfiguration"):
        inside = f"<TargetBucket>{escape(str(logging.get('DestinationBucketName', name)))}</TargetBucket>"
        inside += f"<TargetPrefix>{escape(str(logging.get('LogFilePrefix', '')))}</TargetPrefix>"
        _s3._bucket_logging_config[name] = (
            f'<BucketLoggingStatus xmlns="{_s3.S3_NS}"><LoggingEnabled>{inside}</LoggingEnabled></BucketLoggingStatus>'
        )


def encryption_context(path: str) -> dict[str, str]:
    """How S3 names what it encrypts or decrypts to KMS: the bucket if it has a bucket key, else the object."""
    bucket, _, key = path.strip("/").partition("/")
    whole = "<bucketkeyenabled>true<" in (_s3._bucket_encryption.get(bucket) or "").lower()
    return {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}" + ("" if whole else f"/{key}")}


# --- Server access logs


def _write_access_logs() -> None:
    dispatch = _app._dispatch_service_request

    async def dispatching(  # noqa: PLR0917 (MiniStack's own signature)
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Any:
        began = time.time()
        answer = await dispatch(method, path, headers, body, query, request_id)
        bucket = path.strip("/").partition("/")[0]
        if bucket in _s3._bucket_logging_config and _is_s3(method, path, headers, body, query):
            line = _line(bucket, method, path, headers, query, request_id, answer, time.time() - began)
            _LOGS.add(bucket, line)
        return answer

    _app._dispatch_service_request = dispatching


def _is_s3(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]) -> bool:
    parameters = _app._routing_params(method, path, headers, body, query)
    return str(_router.detect_service(method, path, headers, parameters)) == "s3"


def _line(  # noqa: PLR0917 (what a line is made of)
    bucket: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: Mapping[str, list[str]],
    request_id: str,
    answer: Any,
    seconds: float,
) -> str:
    """A record in the documented order of fields; "-" for what is not known here.

    "Amazon S3 server access log format", Amazon S3 User Guide, read 2026-11-27.
    """
    status, sent, body = answer
    key = path.strip("/").partition("/")[2]
    resource = next(
        (name for name in ("acl", "tagging", "retention", "logging", "policy", "versions") if name in query), ""
    )
    what = resource.upper() or ("OBJECT" if key else "BUCKET")
    size = len(body) if isinstance(body, (bytes, bytearray, str)) else 0
    secure = _iam._request_origin.get()[1]
    uri = quote(path) + (
        "?" + "&".join(f"{name}={_hidden(name, values)}" for name, values in query.items()) if query else ""
    )
    fields = [
        _responses.get_account_id(),
        bucket,
        time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime()),
        _iam._request_origin.get()[0],
        _caller(headers, query),
        request_id,
        f"REST.{method}.{what}",
        quote(quote(key)) if key else "-",
        f'"{method} {uri} HTTP/1.1"',
        str(status),
        _error_code(status, body),
        str(size) if size else "-",
        str(size) if method == "GET" and key and status < 300 else "-",
        str(int(seconds * 1000)),
        "-",
        f'"{headers.get("referer", "-")}"',
        f'"{headers.get("user-agent", "-")}"',
        next(iter(query.get("versionId") or ()), sent.get("x-amz-version-id", "-")),
        "-",
        "SigV4" if "X-Amz-Signature" in query or headers.get("authorization", "").startswith("AWS4") else "-",
        "-",
        "QueryString" if "X-Amz-Signature" in query else ("AuthHeader" if "authorization" in headers else "-"),
        headers.get("host", "-"),
        f"TLSv{_tls_version.get()}" if secure else "-",
        "-",
        "-",
    ]
    return " ".join(fields)


def _hidden(name: str, values: Sequence[str]) -> str:
    """S3 leaves signatures and tokens out of its logs, so that nobody can use them who reads one."""
    return "XXXXX" if name.lower() in ("x-amz-signature", "x-amz-security-token") else quote(_first(list(values)))


def _caller(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> str:
    access_key = _router.extract_access_key_id(headers, query)
    if not access_key:
        return "-"
    credential = _iam.resolve_credential(access_key)
    return str(getattr(credential, "principal_arn", "")) or f"arn:aws:iam::{_responses.get_account_id()}:root"


def _error_code(status: int, body: Any) -> str:
    text = body.decode("utf-8", "replace") if isinstance(body, (bytes, bytearray)) else str(body or "")
    if status < 400:
        return "-"
    return text.partition("<Code>")[2].partition("</Code>")[0] or {403: "AccessDenied", 404: "NoSuchKey"}.get(
        status, "-"
    )


class _Logs:
    """Lines that wait, by account, region and bucket, until a thread delivers them together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, str], list[str]] = {}

    def add(self, bucket: str, line: str) -> None:
        where = (_responses.get_account_id(), _responses.get_region(), bucket)
        with self._lock:
            first = where not in self._waiting
            self._waiting.setdefault(where, []).append(line)
        if first:
            timer = threading.Timer(DELIVERED_AFTER_SECONDS, self._deliver, (where,))
            timer.daemon = True
            timer.start()

    def _deliver(self, where: tuple[str, str, str]) -> None:
        account, region, bucket = where
        with self._lock:
            lines = self._waiting.pop(where, [])
        with _responses.request_scope(account, region):
            target, prefix = _destination(bucket)
            if not target or target not in _s3._buckets:
                return
            moment = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
            key = f"{prefix}{moment}-{uuid.uuid4().hex[:16].upper()}"
            source = {"aws:SourceArn": f"arn:aws:s3:::{bucket}", "aws:SourceAccount": account}
            # What is not let in is lost, as on AWS.
            if authorise.act_as(
                LOGGING_SERVICE, "s3:PutObject", f"arn:aws:s3:::{target}/{key}", source, path="access-logs"
            ):
                _s3._put_object(target, key, ("\n".join(lines) + "\n").encode(), {"content-type": "text/plain"})


def _destination(bucket: str) -> tuple[str, str]:
    text = _s3._bucket_logging_config.get(bucket) or ""
    within = [text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("TargetBucket", "TargetPrefix")]
    return within[0], within[1]


_LOGS = _Logs()
