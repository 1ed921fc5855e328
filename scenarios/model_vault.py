"""Puts artifacts of models into a deployed model-vault stack, reads them in both regions, and tries to change them.

Only AWS APIs, so it works the same on every cloud: it calls as the archivist's and the auditor's role.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from scenarios.attempts import Attempt, attempt
from scenarios.cloud import Cloud
from scenarios.roles import client_as

LINEAGE = ("execution", "data-version", "code-version")
# S3 copies most objects within 15 minutes ("What does Amazon S3 replicate?", Amazon S3 User Guide, read 2026-11-27).
PATIENCE_SECONDS = 900.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Artifact:
    """What became of one artifact: until when its version is locked (ISO 8601), and its copy in the second region.

    `copied` says whether the copy has the same bytes, the same tags and a lock of its own; `status` is S3's.
    """

    path: Path
    key: str
    version: str
    locked_until: str
    status: str
    copied: bool
    seconds: float


@dataclass(frozen=True)
class Report:
    """The artifacts in the order in which they were given, and what else was tried, if anything was."""

    artifacts: tuple[Artifact, ...]
    attempts: tuple[Attempt, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every artifact has its copy, and everything was refused that should be, and nothing else."""
        return all(one.copied for one in self.artifacts) and all(one.right for one in self.attempts)


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
    *,
    trying: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Puts the files into the vault as the archivist, and waits as the auditor until each has its copy.

    `trying` then tries to change the first one. Raises OSError for a file that cannot be read and botocore's errors
    where the cloud refuses what it should not.
    """
    folder = uuid.uuid4().hex[:8]
    done = []
    for number, path in enumerate(files, 1):
        done.append(_keep(cloud, outputs, path, f"{folder}/{number}/{path.name}", patience_seconds))
        progress(f"{len(done)} of {len(files)} kept in two regions")
    tried = attempts(cloud, outputs, done[0].key, done[0].version) if trying and done else []
    return Report(tuple(done), tuple(tried))


def put(cloud: Cloud, outputs: Mapping[str, str], key: str, body: bytes, tags: Mapping[str, str] | None = None) -> str:
    """Puts an artifact as the archivist and returns its version; without tags, with those of a made-up lineage."""
    told = dict.fromkeys(LINEAGE, hashlib.sha256(body).hexdigest()[:12]) if tags is None else tags
    archivist = client_as(cloud, outputs["ArchivistRoleArn"], "s3")
    answer = archivist.put_object(Bucket=outputs["VaultName"], Key=key, Body=body, Tagging=urlencode(told))
    return str(answer["VersionId"])


def auditors(cloud: Cloud, outputs: Mapping[str, str]) -> tuple[Any, Any]:
    """Clients of S3 for the auditor, in the vault's region and in the copies'."""
    role, region = outputs["AuditorRoleArn"], outputs["ReplicaRegion"]
    return client_as(cloud, role, "s3"), client_as(cloud, role, "s3", region=region)


def newest(client: Any, bucket: str, key: str) -> str:
    """The newest version under a key, "" for none; a marker of deletion is none."""
    found = client.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    return max(((one["LastModified"], str(one["VersionId"])) for one in found if one["Key"] == key), default=("", ""))[
        1
    ]


def tags_of(client: Any, of: Mapping[str, str]) -> dict[str, str]:
    """The tags of a version: `of` has Bucket, Key and VersionId."""
    return {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(**of)["TagSet"]}


def copy_of(cloud: Cloud, outputs: Mapping[str, str], key: str, body: bytes, tags: Mapping[str, str]) -> bool:
    """Whether the newest version in the second region has these bytes and tags, and a lock."""
    _, far = auditors(cloud, outputs)
    version = newest(far, outputs["ReplicaName"], key)
    if not version:
        return False
    of = {"Bucket": outputs["ReplicaName"], "Key": key, "VersionId": version}
    locked = far.get_object_retention(**of)["Retention"]["Mode"] == "GOVERNANCE"
    return bool(far.get_object(**of)["Body"].read() == body and tags_of(far, of) == tags and locked)


def attempts(cloud: Cloud, outputs: Mapping[str, str], key: str, version: str) -> list[Attempt]:
    """What the roles of the vault try on an artifact that is there."""
    bucket = outputs["VaultName"]
    archivist = client_as(cloud, outputs["ArchivistRoleArn"], "s3")
    auditor, _ = auditors(cloud, outputs)
    of = {"Bucket": bucket, "Key": key, "VersionId": version}
    return [
        attempt("read a version as the auditor", False, lambda: auditor.get_object(**of)),
        attempt("put a newer version", False, lambda: put(cloud, outputs, key, b"newer")),
        attempt("read the version before it", False, lambda: auditor.get_object(**of)),
        attempt("put one without lineage", True, lambda: put(cloud, outputs, key, b"", {"execution": "x"})),
        attempt("delete the version", True, lambda: archivist.delete_object(**of)),
        attempt("delete it and unlock", True, lambda: archivist.delete_object(**of, BypassGovernanceRetention=True)),
        attempt("read as the archivist", True, lambda: archivist.get_object(**of)),
        attempt("write as the auditor", True, lambda: auditor.put_object(Bucket=bucket, Key=key, Body=b"")),
    ]


def _keep(cloud: Cloud, outputs: Mapping[str, str], path: Path, key: str, patience_seconds: float) -> Artifact:
    body = path.read_bytes()
    put(cloud, outputs, key, body)
    begin = time.monotonic()
    near, _ = auditors(cloud, outputs)
    of = {"Bucket": outputs["VaultName"], "Key": key, "VersionId": newest(near, outputs["VaultName"], key)}
    while True:
        status = near.get_object(**of).get("ReplicationStatus", "none")
        if status not in ("PENDING", "none") or time.monotonic() - begin > patience_seconds:
            break
        time.sleep(POLL_SECONDS)
    copied = status in ("COMPLETED", "COMPLETE") and copy_of(cloud, outputs, key, body, tags_of(near, of))
    until = near.get_object_retention(**of)["Retention"]["RetainUntilDate"].isoformat()
    return Artifact(path, key, of["VersionId"], until, status, copied, time.monotonic() - begin)
