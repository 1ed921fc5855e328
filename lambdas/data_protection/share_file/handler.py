"""Entry point of the function: makes a link to one shared file, which runs out.

The link carries the function's own session: whoever holds it reads that one version and nothing else, until the time
is over, the session ends, or the role loses a permission.
"""

from __future__ import annotations

import datetime
import os
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.data_protection.share_file.links import RefusedError, wanted
from lambdas.shared.clients import QUICK, make_clients

BUCKET = os.environ["BUCKET"]
PREFIX = os.environ["PREFIX"]
LONGEST_MINUTES = int(os.environ["LONGEST_MINUTES"])

logger = Logger()
# What lies under a key of KMS is read by version 4 alone, and only that tells how old a link is.
clients = make_clients({"s3": QUICK}, signature_version="s3v4")


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes `{"key": str, "minutes": int}`; returns `{"url": str, "version": str, "expires_at": ISO 8601 in UTC}`.

    What is not shared or not there gives `{"refused": reason}`. Raises botocore's ClientError where S3 or KMS refuse
    the function itself.
    """
    try:
        key, seconds = wanted(event, prefix=PREFIX, longest_minutes=LONGEST_MINUTES)
        # The link is to the version that was looked at, so that nobody can put another file under it.
        version = clients["s3"].head_object(Bucket=BUCKET, Key=key)["VersionId"]
    except RefusedError as error:
        logger.info("refused", extra={"reason": str(error)})
        return {"refused": str(error)}
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        logger.info("refused", extra={"reason": "not there"})
        return {"refused": "There is no such file."}
    expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    target = {"Bucket": BUCKET, "Key": key, "VersionId": version}
    url = clients["s3"].generate_presigned_url("get_object", Params=target, ExpiresIn=seconds)
    logger.info("shared", extra={"seconds": seconds})
    return {"url": url, "version": version, "expires_at": expires.isoformat(timespec="seconds")}
