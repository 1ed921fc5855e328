"""Puts files into a deployed data-protection stack, shares them, and tries what must be refused.

Only AWS APIs, so it works the same on every cloud: it calls as the roles of the two classes of data.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.attempts import Attempt, attempt
from scenarios.cloud import Cloud
from scenarios.roles import client_as

FETCH_SECONDS = 30


@dataclass(frozen=True)
class File:
    """What became of one file: under which key of KMS it lies, and whether its link gave the same bytes back.

    `seconds` is the time from the end of the upload until it had been read by its link.
    """

    path: Path
    key: str
    version: str
    encryption: str
    kms_key: str
    link_minutes: int
    same: bool
    seconds: float


@dataclass(frozen=True)
class Report:
    """The files in the order in which they were given, and what else was tried, if anything was."""

    files: tuple[File, ...]
    attempts: tuple[Attempt, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every file was read by its link, and everything was refused that should be, and nothing else."""
        return all(file.same for file in self.files) and all(attempt.right for attempt in self.attempts)


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    trying: bool = False,
) -> Report:
    """Writes the files as the role of the personal class, reads each by a link, and has the other class make a summary.

    `trying` then tries what must be refused. Raises OSError for a file that cannot be read and botocore's errors where
    the cloud refuses what it should not.
    """
    folder = f"{outputs['SharedPrefix']}{uuid.uuid4().hex[:8]}/"
    personal = client_as(cloud, outputs["PersonalRoleArn"], "s3")
    done = []
    for number, path in enumerate(files, 1):
        done.append(_protect(cloud, outputs, personal, path, f"{folder}{number}/{path.name}"))
        progress(f"{len(done)} of {len(files)} read by a link")
    _summarize(cloud, outputs, personal, folder)
    return Report(tuple(done), tuple(attempts(cloud, outputs, folder)) if trying else ())


def _summarize(cloud: Cloud, outputs: Mapping[str, str], personal: Any, folder: str) -> None:
    """The way from one class to the other: the personal role counts, and the derived one keeps the number alone."""
    derived = client_as(cloud, outputs["DerivedRoleArn"], "s3")
    found = personal.list_objects_v2(Bucket=outputs["PersonalBucketName"], Prefix=folder)
    bucket = outputs["DerivedBucketName"]
    derived.put_object(Bucket=bucket, Key=f"{folder}count.txt", Body=str(found["KeyCount"]).encode())
    for item in derived.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]:
        derived.get_object(Bucket=bucket, Key=item["Key"])


def share(cloud: Cloud, outputs: Mapping[str, str], key: str, minutes: int | None = None) -> dict[str, Any]:
    """What the function answers: `url`, `version` and `expires_at`, or `refused`. Raises RuntimeError if it failed."""
    request = {"key": key} | ({} if minutes is None else {"minutes": minutes})
    answer = cloud.client("lambda").invoke(
        FunctionName=outputs["ShareFunctionName"], Payload=json.dumps(request).encode()
    )
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(f"{told.get('errorType')}: {told.get('errorMessage')}")
    return told


def fetch(cloud: Cloud, url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """What a link gives to somebody without credentials. Raises urllib.error.HTTPError where it gives nothing."""
    trusted = ssl.create_default_context(cafile=str(cloud.ca_bundle) if cloud.ca_bundle else None)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 (the cloud's own address)
    with opener.open(request, timeout=FETCH_SECONDS) as answer:
        body: bytes = answer.read()
    return body


def attempts(cloud: Cloud, outputs: Mapping[str, str], folder: str) -> list[Attempt]:
    """What both classes' roles try, on a file of the attempts' own in this folder of the personal bucket."""
    key = f"{folder}attempts.txt"
    bucket, derived_bucket = outputs["PersonalBucketName"], outputs["DerivedBucketName"]
    personal_key, derived_key = outputs["PersonalKeyArn"], outputs["DerivedKeyArn"]
    personal = client_as(cloud, outputs["PersonalRoleArn"], "s3")
    derived = client_as(cloud, outputs["DerivedRoleArn"], "s3")
    kms = client_as(cloud, outputs["PersonalRoleArn"], "kms")
    personal.put_object(Bucket=bucket, Key=key, Body=b"of nobody")
    own = personal.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)
    with_kms = {"Bucket": bucket, "Key": key, "Body": b"", "ServerSideEncryption": "aws:kms"}
    return [
        attempt("read personal data as its role", False, lambda: personal.get_object(Bucket=bucket, Key=key)),
        attempt(
            "write derived data as its role",
            False,
            lambda: derived.put_object(Bucket=derived_bucket, Key="summary.txt", Body=b"of nobody"),
        ),
        attempt("read personal data as the other role", True, lambda: derived.get_object(Bucket=bucket, Key=key)),
        attempt(
            "use the key of personal data past S3",
            True,
            lambda: kms.generate_data_key(KeyId=personal_key, KeySpec="AES_256"),
        ),
        attempt(
            "write with S3's own encryption",
            True,
            lambda: personal.put_object(Bucket=bucket, Key=key, Body=b"", ServerSideEncryption="AES256"),
        ),
        attempt(
            "write with the other class's key", True, lambda: personal.put_object(**with_kms, SSEKMSKeyId=derived_key)
        ),
        attempt(
            "write with the class's own key", False, lambda: personal.put_object(**with_kms, SSEKMSKeyId=personal_key)
        ),
        attempt("make a link oneself", True, lambda: fetch(cloud, own)),
    ]


def _protect(cloud: Cloud, outputs: Mapping[str, str], personal: Any, path: Path, key: str) -> File:
    body = path.read_bytes()
    bucket = outputs["PersonalBucketName"]
    version = personal.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    begin = time.monotonic()
    minutes = int(outputs["LongestLinkMinutes"])
    told = share(cloud, outputs, key, minutes)
    same = fetch(cloud, told["url"]) == body if "url" in told else False
    seconds = time.monotonic() - begin
    seen = personal.head_object(Bucket=bucket, Key=key)
    return File(
        path,
        key,
        version,
        seen.get("ServerSideEncryption", "none"),
        seen.get("SSEKMSKeyId", ""),
        minutes,
        same,
        seconds,
    )
