"""Puts files into a bucket when a stack is deployed: CloudFormation calls it for `Custom::PlacedFiles`.

Properties: `Bucket`, and `Files`, a list of `{"Key", "S3Bucket", "S3Key"}` (a copy of that object) or `{"Key", "Text"}`.
A deletion leaves them: the bucket is emptied as a whole. Nor is a key that an update leaves out deleted, since what was
made with its file may still name it.
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
    wanted = [] if event["RequestType"] == "Delete" else files
    answer(event, f"{bucket}/{files[0]['Key']}", lambda: place(clients["s3"], bucket, wanted))


def place(client: Any, bucket: str, files: Sequence[dict[str, str]]) -> None:
    """Puts each file under its key. Raises ClientError."""
    for file in files:
        if "Text" in file:
            client.put_object(Bucket=bucket, Key=file["Key"], Body=file["Text"].encode(), ContentType="text/plain")
        else:
            source = {"Bucket": file["S3Bucket"], "Key": file["S3Key"]}
            client.copy_object(Bucket=bucket, Key=file["Key"], CopySource=source)
        logger.info("Placed %s", file["Key"])
