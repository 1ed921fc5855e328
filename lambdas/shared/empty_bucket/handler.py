"""CloudFormation calls this on create, update and delete of `Custom::EmptiedBucket`; only a delete does anything."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from typing import Any

import boto3
from botocore.exceptions import ClientError

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# Left for the answer to CloudFormation: without one the stack hangs until the custom resource's own time-out.
SECONDS_TO_ANSWER = 30.0


class NotEmptyError(Exception):
    """The bucket still holds objects."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason.

    Request and answer: AWS CloudFormation User Guide, "Custom resource request types" and "Custom resource response
    objects", read 2026-11-23. The physical id is the bucket's name, so that a replaced bucket is emptied too. A delete
    answers with the id that it is asked about: after a creation without an answer CloudFormation made one up itself.
    """
    bucket = event["ResourceProperties"]["BucketName"]
    answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    physical_id = event.get("PhysicalResourceId", bucket) if event["RequestType"] == "Delete" else bucket
    answer |= {"PhysicalResourceId": physical_id, "Status": "SUCCESS"}
    try:
        if event["RequestType"] == "Delete":
            empty(boto3.client("s3"), bucket, os.environ["CONSENT_TAG"], context)
    except Exception as error:  # whatever happened, CloudFormation must hear of it
        logger.exception("The bucket was not emptied")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:500]}
    request = urllib.request.Request(  # noqa: S310 (the address comes from CloudFormation)
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT", headers={"content-type": ""}
    )
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 (the same)
        logger.info("CloudFormation took the answer with status %s", response.status)


def empty(client: Any, bucket: str, consent_tag: str, context: Any) -> int:
    """Deletes all versions and delete markers of a bucket that carries the tag; returns how many.

    A bucket that is gone already counts as empty. Raises NotEmptyError when S3 refuses some deletions, or when the
    function's time runs out first (deleting the stack once more goes on where it stopped).
    """
    try:
        if not _consents(client, bucket, consent_tag):
            logger.info("The bucket does not carry the tag %s: nothing is deleted", consent_tag)
            return 0
        return _delete_versions(client, bucket, context)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return 0
        raise


def _consents(client: Any, bucket: str, consent_tag: str) -> bool:
    try:
        tags = client.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return False
        raise
    return any(tag["Key"] == consent_tag and tag["Value"] == "true" for tag in tags)


def _delete_versions(client: Any, bucket: str, context: Any) -> int:
    deleted = 0
    # From the beginning each time, so that what arrives meanwhile is found too. A page holds at most 1,000 versions,
    # which is also what one DeleteObjects takes (Amazon S3 API Reference, read 2026-11-23).
    while found := _page(client, bucket):
        if context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER:
            raise NotEmptyError(f"{deleted} versions deleted, more remain: delete the stack once more to go on")
        request: dict[str, Any] = {"Bucket": bucket, "Delete": {"Objects": found, "Quiet": True}}
        if os.environ.get("BYPASS_GOVERNANCE") == "true":
            request["BypassGovernanceRetention"] = True
        errors = client.delete_objects(**request).get("Errors", [])
        if errors:
            raise NotEmptyError(f"S3 kept {len(errors)} versions, the first for the reason {errors[0].get('Code')}")
        deleted += len(found)
    return deleted


def _page(client: Any, bucket: str) -> list[dict[str, str]]:
    page = client.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]
