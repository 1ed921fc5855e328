"""Looks at a document before anything is paid for: its kind, pages and size, and whether it can be read at all."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.document_processing.look.files import MAXIMUM_BYTES, RefusedError, look
from lambdas.shared.clients import make_clients
from lambdas.shared.failures import error_code, told_by_name

MAXIMUM_PAGES = int(os.environ["MAXIMUM_PAGES"])
UPLOAD_PREFIX = os.environ["UPLOAD_PREFIX"]
# A file is held in memory while it is looked at.
MAXIMUM_FILE_BYTES = min(int(os.environ["MAXIMUM_MEGABYTES"]) * 1_000_000, MAXIMUM_BYTES)

# The version was deleted since. 405 is what S3 says of a delete marker.
GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")

logger = Logger()
clients = make_clients({"s3": (20, 3)})


@logger.inject_lambda_context(clear_state=True, log_event=False)
@told_by_name
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes {bucket, key, version, document}; returns {"path": "at-once" | "job", kind, pages, size}.

    For a document that can never be read: {"path": "refused", "code", "message"}.
    """
    try:
        found = look(_read(event), MAXIMUM_PAGES)
    except RefusedError as refusal:
        logger.info("refused", extra={"document": event["document"], "reason": refusal.code})
        return {"path": "refused", "code": refusal.code, "message": refusal.message}
    path = "at-once" if found.at_once else "job"
    logger.info("looked at", extra={"document": event["document"], "path": path, "pages": found.pages})
    return {"path": path, "kind": found.kind, "pages": found.pages, "size": found.size}


def _read(event: dict[str, Any]) -> bytes:
    if not event["key"].startswith(UPLOAD_PREFIX):
        raise RefusedError("OutsidePrefix", "The object is not under the upload prefix.")
    try:
        answer = clients["s3"].get_object(Bucket=event["bucket"], Key=event["key"], VersionId=event["version"])
    except ClientError as error:
        if error_code(error) in GONE:
            raise RefusedError("ObjectGone", "The version was deleted before it could be read.") from error
        raise
    with answer["Body"] as body:
        if answer["ContentLength"] > MAXIMUM_FILE_BYTES:
            raise RefusedError("FileTooLarge", f"The file may have {MAXIMUM_FILE_BYTES:,} bytes.")
        return bytes(body.read())
