"""Amazon Textract's text detection and document analysis, with a real model.

What is real: words, lines, tables, form fields and check boxes come from the page's pixels, and so does the confidence
in them. What is not: tables are found by their ruled lines and fields by simple rules of layout, where Textract has
trained models; all text counts as printed; only Latin letters were tried. What cannot be answered (queries, signatures,
layout, adapters, human review) is refused, and the error says so. A job's result is kept in memory: it ends with the
local cloud, and after seven days. Its object in the caller's bucket, where one was asked for, stays.

Sources, read 2026-11-25: "Set Quotas in Amazon Textract", "Amazon Textract Results Notification" and "Calling Amazon
Textract Asynchronous Operations", Amazon Textract Developer Guide; what each member means and defaults to: the
documentation in botocore's service model, which is the API Reference's text.
"""

import base64
import binascii
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local.services import jobs
from local.services.layout.source import Document, OversizedDocument, UnreadableDocument, UnsupportedDocument, kind_of
from local.services.wire import Caller, JsonService, ObjectUnavailable, Operation, ServiceError

Request = Mapping[str, Any]
Members = dict[str, Any]

MODEL_VERSION = "local-1.0"

MAXIMUM_PICTURE_BYTES = 10 * 1024 * 1024
MAXIMUM_DOCUMENT_BYTES = 500 * 1024 * 1024
MAXIMUM_PAGES = 3000
MAXIMUM_RESULTS = 1000
# "Amazon Textract endpoints and quotas", AWS General Reference: asynchronous jobs at a time.
MAXIMUM_JOBS = 100
SECONDS_KEPT = 7 * 24 * 3600
DEFAULT_PREFIX = "textract_output"
FEATURES = frozenset({"FORMS", "TABLES"})

_PRINCIPAL = "textract.amazonaws.com"
# "Key identifiers (KeyId)", AWS Key Management Service Developer Guide, read 2026-11-25.
_KEY = re.compile(
    r"(arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:)?(alias/[A-Za-z0-9/_-]+|(key/)?(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}))"
)


@dataclass
class _Job:
    identifier: str
    operation: str
    owner: tuple[str, str]
    request: Request
    status: str = "IN_PROGRESS"
    message: str = ""
    pages: int = 0
    blocks: list[Members] = field(default_factory=list)
    started: float = field(default_factory=time.time)


class Textract(JsonService):
    """Detection and analysis, synchronous and as jobs."""

    name: ClassVar[str] = "textract"
    iam_namespace: ClassVar[str] = "textract"
    target_prefix: ClassVar[str] = "Textract"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._jobs: dict[str, _Job] = {}
        self._tokens: dict[tuple[tuple[str, str], str, str], str] = {}
        self._lock = threading.Lock()

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "AnalyzeDocument": analyze_document,
            "DetectDocumentText": detect_document_text,
            "GetDocumentAnalysis": lambda request, caller: self._get("StartDocumentAnalysis", request, caller),
            "GetDocumentTextDetection": lambda request, caller: self._get(
                "StartDocumentTextDetection", request, caller
            ),
            "StartDocumentAnalysis": lambda request, caller: self._start("StartDocumentAnalysis", request, caller),
            "StartDocumentTextDetection": lambda request, caller: self._start(
                "StartDocumentTextDetection", request, caller
            ),
        }

    def _start(self, operation: str, request: Request, caller: Caller) -> Members:
        """Start a job, or find the one that this token started. Raises ServiceError."""
        _refuse(request)
        _check_output(request)
        owner = (caller.account, caller.region)
        reference = request["DocumentLocation"].get("S3Object")
        if reference is None:
            raise _invalid_parameters()
        token = request.get("ClientRequestToken")
        with self._lock:
            self._forget()
            if token and (known := self._jobs.get(self._tokens.get((owner, operation, token), ""))):
                if known.request != request:
                    raise ServiceError(
                        "IdempotentParameterMismatchException",
                        "A ClientRequestToken was reused with other parameters than before.",
                    )
                return {"JobId": known.identifier}
        data = _read_object(reference, caller)
        _check_size(data, synchronous=False)
        channel = request.get("NotificationChannel")
        # Taken on now: a role that may not be passed, or does not trust Textract, is the request's fault.
        notifier = caller.assume(channel["RoleArn"], _PRINCIPAL) if channel else None
        job = _Job(uuid.uuid4().hex + uuid.uuid4().hex, operation, owner, request, started=self._now())
        with self._lock:
            busy = sum(one.status == "IN_PROGRESS" and one.owner == owner for one in self._jobs.values())
            if busy >= MAXIMUM_JOBS:
                raise ServiceError("LimitExceededException", "Too many jobs are in progress.")
            if token:
                first = self._tokens.setdefault((owner, operation, token), job.identifier)
                if first != job.identifier:
                    return {"JobId": first}
            self._jobs[job.identifier] = job
        jobs.submit(
            self.name,
            operation,
            lambda: self._work(job, data, caller, notifier),
            lambda error: self._end(job, "FAILED", str(error), notifier),
        )
        return {"JobId": job.identifier}

    def _work(self, job: _Job, data: bytes, caller: Caller, notifier: Caller | None) -> None:
        features = set(job.request.get("FeatureTypes", ()))
        try:
            document = Document.open(data)
            if document.pages > MAXIMUM_PAGES:
                raise jobs.JobFailedError(f"The document has more than {MAXIMUM_PAGES} pages.", "DOCUMENT_TOO_LARGE")
            blocks = _blocks(document, features)
        except UnsupportedDocument as error:
            raise jobs.JobFailedError("UNSUPPORTED_DOCUMENT", "UNSUPPORTED_DOCUMENT") from error
        except UnreadableDocument as error:
            raise jobs.JobFailedError("BAD_DOCUMENT", "BAD_DOCUMENT") from error
        except OversizedDocument as error:
            raise jobs.JobFailedError("DOCUMENT_TOO_LARGE", "DOCUMENT_TOO_LARGE") from error
        job.pages, job.blocks = document.pages, blocks
        self._write_output(job, caller)
        self._end(job, "SUCCEEDED", "", notifier)

    def _write_output(self, job: _Job, caller: Caller) -> None:
        """Each thousand blocks as an object, numbered from 1, in the form of a Get operation's answer."""
        output = job.request.get("OutputConfig")
        if not output:
            return
        prefix = f"{output.get('S3Prefix', DEFAULT_PREFIX)}/{job.identifier}"
        try:
            for start in range(0, max(len(job.blocks), 1), MAXIMUM_RESULTS):
                body = _result(job, start, MAXIMUM_RESULTS, "SUCCEEDED") | {"NextToken": None}
                caller.write_object(
                    output["S3Bucket"],
                    f"{prefix}/{start // MAXIMUM_RESULTS + 1}",
                    json.dumps(body).encode(),
                    content_type="application/json",
                    kms_key_id=job.request.get("KMSKeyId"),
                )
        except ObjectUnavailable as error:
            raise jobs.JobFailedError("INVALID_OUTPUT_CONFIG", error.code) from error

    def _end(self, job: _Job, status: str, message: str, notifier: Caller | None) -> None:
        """The state first, then the message: who gets the message finds the result."""
        with self._lock:
            job.status, job.message = status, message
        if notifier is None:
            return
        location = job.request["DocumentLocation"]["S3Object"]
        told = {
            "JobId": job.identifier,
            "Status": status,
            "API": job.operation,
            **({"JobTag": job.request["JobTag"]} if "JobTag" in job.request else {}),
            "Timestamp": int(self._now() * 1000),
            "DocumentLocation": {"S3ObjectName": location["Name"], "S3Bucket": location["Bucket"]},
        }
        try:
            notifier.publish(job.request["NotificationChannel"]["SNSTopicArn"], json.dumps(told))
        except ServiceError:
            # As on AWS the job's state is what it is; the refusal is in the record of decisions.
            return

    def _get(self, operation: str, request: Request, caller: Caller) -> Members:
        with self._lock:
            self._forget()
            job = self._jobs.get(request["JobId"])
            if job is None or job.operation != operation or job.owner != (caller.account, caller.region):
                raise ServiceError("InvalidJobIdException", "Request has invalid Job Id")
            status = job.status
        if status == "IN_PROGRESS":
            return {"JobStatus": status, **_version(operation)}
        if status == "FAILED":
            return {"JobStatus": status, "StatusMessage": job.message, **_version(operation)}
        size = min(request.get("MaxResults", MAXIMUM_RESULTS), MAXIMUM_RESULTS)
        start = _start_of(request.get("NextToken"), job)
        return _result(job, start, size, status)

    def _forget(self) -> None:
        """Drop jobs that are older than seven days, with their tokens. Holds the lock already."""
        old = {one.identifier for one in self._jobs.values() if self._now() - one.started > SECONDS_KEPT}
        for identifier in old:
            del self._jobs[identifier]
        if old:
            self._tokens = {key: value for key, value in self._tokens.items() if value not in old}


def detect_document_text(request: Request, caller: Caller) -> Members:
    """Lines and words of a one-page document. Raises ServiceError."""
    blocks = _synchronous(request, caller, frozenset())
    return {
        "DocumentMetadata": {"Pages": 1},
        "Blocks": blocks,
        "DetectDocumentTextModelVersion": MODEL_VERSION,
    }


def analyze_document(request: Request, caller: Caller) -> Members:
    """Lines, words, and form fields or tables of a one-page document. Raises ServiceError."""
    _refuse(request)
    blocks = _synchronous(request, caller, frozenset(request["FeatureTypes"]))
    return {
        "DocumentMetadata": {"Pages": 1},
        "Blocks": blocks,
        "AnalyzeDocumentModelVersion": MODEL_VERSION,
    }


def _synchronous(request: Request, caller: Caller, features: frozenset[str]) -> list[Members]:
    given = request["Document"]
    if len(given) != 1:
        raise _invalid_parameters()
    data = given["Bytes"] if "Bytes" in given else _read_object(given["S3Object"], caller)
    _check_size(data, synchronous=True)
    try:
        document = Document.open(data)
        if document.pages > 1:
            # Observed: a PDF of several pages is answered with this code (aws-sdk-js-v3 issue 7124).
            raise _unsupported()
        return _blocks(document, features)
    except UnsupportedDocument as error:
        raise _unsupported() from error
    except UnreadableDocument as error:
        raise ServiceError("BadDocumentException", "Request has an unreadable document") from error
    except OversizedDocument as error:
        raise ServiceError("DocumentTooLargeException", str(error)) from error


def _blocks(document: Document, features: frozenset[str] | set[str]) -> list[Members]:
    from local.services.layout.blocks import page_blocks
    from local.services.models.text import text_model

    return [
        block
        for number, picture in enumerate(document.pictures(), start=1)
        for block in page_blocks(picture, number, features, text_model())
    ]


def _refuse(request: Request) -> None:
    if unserved := sorted(set(request.get("FeatureTypes", ())) - FEATURES):
        raise _not_served(f"the features {', '.join(unserved)}")
    if "FeatureTypes" in request and not request["FeatureTypes"]:
        raise _invalid_parameters()
    for member, what in (
        ("HumanLoopConfig", "human review"),
        ("QueriesConfig", "queries"),
        ("AdaptersConfig", "adapters"),
    ):
        if member in request:
            raise _not_served(f"{what} ({member})")


def _check_output(request: Request) -> None:
    """Whether the key looks like one: id, alias or ARN. Whether it may be used shows when the result is written."""
    if request.get("OutputConfig", {}).get("S3Prefix", "").endswith("/"):
        raise _invalid_parameters()
    key = request.get("KMSKeyId")
    if key is not None and not _KEY.fullmatch(key):
        raise ServiceError("InvalidKMSKeyException", "The KMS key was entered incorrectly.")


def _check_size(data: bytes, *, synchronous: bool) -> None:
    large = not synchronous and kind_of(data) in ("PDF", "TIFF")
    if len(data) > (MAXIMUM_DOCUMENT_BYTES if large else MAXIMUM_PICTURE_BYTES):
        raise ServiceError("DocumentTooLargeException", "The document is larger than this operation takes.")
    if not data:
        raise ServiceError("BadDocumentException", "The document is empty")
    if kind_of(data) is None:
        raise _unsupported()


def _read_object(reference: Request, caller: Caller) -> bytes:
    if not {"Bucket", "Name"} <= reference.keys():
        raise _invalid_object()
    try:
        return caller.read_object(reference["Bucket"], reference["Name"], reference.get("Version"))
    except ObjectUnavailable as error:
        # Textract does not tell a missing object from one that the caller may not read.
        raise _invalid_object() from error


def _result(job: _Job, start: int, size: int, status: str) -> Members:
    end = start + size
    return {
        "JobStatus": status,
        "DocumentMetadata": {"Pages": job.pages},
        "Blocks": job.blocks[start:end],
        **({"NextToken": _token(job, end)} if end < len(job.blocks) else {}),
        **_version(job.operation),
    }


def _token(job: _Job, start: int) -> str:
    return base64.urlsafe_b64encode(f"{job.identifier}:{start}".encode()).decode()


def _start_of(token: str | None, job: _Job) -> int:
    """Where a page of results begins. Raises ServiceError for a token that this job did not give."""
    if token is None:
        return 0
    try:
        identifier, _, start = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        place = int(start)
    except (ValueError, binascii.Error) as error:
        raise _invalid_parameters() from error
    if identifier != job.identifier or not 0 < place < len(job.blocks):
        raise _invalid_parameters()
    return place


def _version(operation: str) -> Members:
    detection = operation == "StartDocumentTextDetection"
    return {"DetectDocumentTextModelVersion" if detection else "AnalyzeDocumentModelVersion": MODEL_VERSION}


def _invalid_parameters() -> ServiceError:
    return ServiceError("InvalidParameterException", "Request has invalid parameters")


def _invalid_object() -> ServiceError:
    return ServiceError(
        "InvalidS3ObjectException",
        "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
    )


def _unsupported() -> ServiceError:
    return ServiceError("UnsupportedDocumentException", "Request has unsupported document format")


def _not_served(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what} of Textract.", 501)
