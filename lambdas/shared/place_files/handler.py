"""Puts files into a bucket when a stack is deployed: CloudFormation calls it for `Custom::PlacedFiles`.

Properties: `Bucket`, and `Files`, a list of `{"Key", "S3Bucket", "S3Key"}`: each becomes a copy of that object. An
update places what is new in the list, and leaves the others as they are: something may have taken their place since.
Nothing is deleted, neither by an update, since what was made with a file may still name it, nor by a deletion: the
bucket is emptied as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.custom_resource import answer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

clients = make_clients({"s3": PATIENT})


def handler(event: dict[str, Any], _context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason."""
    properties = event["ResourceProperties"]
    bucket, files = properties["Bucket"], properties["Files"]
    there = {"Create": [], "Update": event.get("OldResourceProperties", {}).get("Files", []), "Delete": files}
    wanted = [file for file in files if file not in there[event["RequestType"]]]
    answer(event, f"{bucket}/{files[0]['Key']}", lambda: place(clients["s3"], bucket, wanted))


def place(client: Any, bucket: str, files: Sequence[dict[str, str]]) -> None:
    """Copies each file to its key. Raises ClientError."""
    for file in files:
        source = {"Bucket": file["S3Bucket"], "Key": file["S3Key"]}
        client.copy_object(Bucket=bucket, Key=file["Key"], CopySource=source)
        logger.info("Placed %s", file["Key"])
