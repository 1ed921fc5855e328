"""Looks at an upload before anything is paid for, and puts the version aside for Transcribe.

Transcribe reads the newest version of a key, whatever the event was about. So the version that the call is about is
copied to a key of its own, which no upload can overwrite and which has no odd characters.

What the uploader asks for stands in the object's metadata: `language` (one of the stack's, then nothing need be
identified) and `summary` (`spoken` for a summary to listen to).
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.call_analytics import places
from lambdas.call_analytics.admit.audio import HEAD_BYTES, MAXIMUM_BYTES, media_format
from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.failures import error_code, named, told_by_name

LANGUAGES = os.environ["LANGUAGES"].split(",")
UPLOAD_PREFIX = os.environ["UPLOAD_PREFIX"]

# S3 says 404 or 405 (a delete marker) to HEAD, which has no body to say more.
GONE = ("404", "405", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed")

logger = Logger()
clients = make_clients({"s3": PATIENT})


class RefusedError(Exception):
    """The upload can never be analysed: a result, not a failure. `code` is for programs, `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, str], context: Any) -> dict[str, Any]:
    """Takes {"bucket", "key", "version", "call"}.

    Returns {"admitted": true, "format", "media": "s3://...", "language": code or "", "spoken": bool}, or
    {"admitted": false, "code", "message"}.
    """
    try:
        admitted = _admit(event)
    except RefusedError as refusal:
        logger.info("refused", extra={"call": event["call"], "code": refusal.code})
        return {"admitted": False, "code": refusal.code, "message": refusal.message}
    logger.info("admitted", extra={"call": event["call"], "format": admitted["format"]})
    return admitted


def _admit(event: dict[str, str]) -> dict[str, Any]:
    if not event["key"].startswith(UPLOAD_PREFIX):
        raise RefusedError("OutsidePrefix", "The object is not under the upload prefix.")
    version = {"Bucket": event["bucket"], "Key": event["key"], "VersionId": event["version"]}
    try:
        found = clients["s3"].head_object(**version)
        _check_size(found["ContentLength"])
        with clients["s3"].get_object(**version, Range=f"bytes=0-{HEAD_BYTES - 1}")["Body"] as body:
            kind = media_format(body.read())
    except ClientError as error:
        if error_code(error) in GONE:
            raise RefusedError("ObjectGone", "The version was deleted before it could be analysed.") from error
        if error_code(error) == "403":
            raise named("AccessDenied", "The version may not be read.") from error
        raise
    if kind is None:
        raise RefusedError("NotAudio", "The file is in no format that Transcribe takes.")
    language = _language(found.get("Metadata", {}))
    key = places.media(event["call"], kind)
    clients["s3"].copy_object(
        CopySource=version,
        Bucket=event["bucket"],
        Key=key,
        # Neither what the uploader noted nor the tags: reading tags would want one more permission.
        MetadataDirective="REPLACE",
        TaggingDirective="REPLACE",
    )
    return {
        "admitted": True,
        "format": kind,
        "media": f"s3://{event['bucket']}/{key}",
        "language": language,
        "spoken": found.get("Metadata", {}).get("summary", "").strip().lower() == "spoken",
    }


def _check_size(size: int) -> None:
    if not size:
        raise RefusedError("Empty", "The file is empty.")
    if size > MAXIMUM_BYTES:
        raise RefusedError("TooLarge", f"The file has {size} bytes; Transcribe takes {MAXIMUM_BYTES}.")


def _language(metadata: dict[str, str]) -> str:
    wanted = metadata.get("language", "").strip()
    if not wanted:
        return ""
    for language in LANGUAGES:
        if language.lower() == wanted.lower():
            return language
    raise RefusedError("UnknownLanguage", f"The upload names a language that is none of {', '.join(LANGUAGES)}.")
