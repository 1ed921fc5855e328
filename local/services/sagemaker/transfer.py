"""What SageMaker brings into a container from S3 and takes out of it, with the permissions of the job's role.

Sources: the documentation of `S3DataSource`, `ProcessingS3Input` and `ProcessingS3Output` in botocore's service model
(API Reference), read 2026-11-27. Not documented: how a key that a prefix matches in the middle of a name is named in
the container; here the name from the last slash of the prefix on.
"""

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from local.services.sagemaker.containers import ContainerError
from local.services.wire import Caller, ObjectUnavailable


def place_of(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix, which may be empty) of an `s3://` address. Raises ContainerError."""
    if not uri.startswith("s3://") or not uri[5:].partition("/")[0]:
        raise ContainerError(f"ClientError: {uri} is no address in Amazon S3.")
    bucket, _, key = uri[5:].partition("/")
    return bucket, key


def download(actor: Caller, uri: str, folder: Path, data_type: str = "S3Prefix") -> int:
    """Put the objects under a prefix, or of a manifest, into a folder; returns how many.

    Raises ContainerError with the reason for a job: nothing is there, or the role may not read it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = list(_named(actor, uri, data_type))
        for bucket, key, name in found:
            target = folder / _safe(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(actor.read_object(bucket, key, None))
    except ObjectUnavailable as error:
        raise ContainerError(
            f"ClientError: Data download failed: {uri} cannot be read by {actor.principal_arn} ({error})"
        ) from error
    if not found:
        raise ContainerError(
            f"ClientError: Data download failed: No S3 objects found under S3 URL {uri} in {actor.region}."
        )
    return len(found)


def _named(actor: Caller, uri: str, data_type: str) -> Iterator[tuple[str, str, str]]:
    """Bucket, key and name in the container of each object."""
    bucket, key = place_of(uri)
    if data_type == "ManifestFile":
        manifest = json.loads(actor.read_object(bucket, key, None))
        start = manifest[0]["prefix"] if manifest and isinstance(manifest[0], dict) else ""
        for name in manifest[1:] if start else manifest:
            yield *place_of(start + name), name
        return
    for found in actor.list_objects(bucket, key):
        if not found.endswith("/"):
            yield bucket, found, _name(key, found)


def _name(prefix: str, key: str) -> str:
    rest = key[len(prefix) :]
    if rest and (not prefix or prefix.endswith("/") or rest.startswith("/")):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _safe(name: str) -> str:
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise ContainerError(f"ClientError: Data download failed: the key {name} leaves its folder.")
    return name


def fetch(actor: Caller, uri: str) -> bytes:
    """One object. Raises ContainerError."""
    bucket, key = place_of(uri)
    try:
        return actor.read_object(bucket, key, None)
    except ObjectUnavailable as error:
        raise ContainerError(f"ClientError: {uri} cannot be read by {actor.principal_arn} ({error})") from error


def upload(actor: Caller, folder: Path, uri: str, kms_key_id: str | None = None) -> None:
    """Write each file of a folder under a prefix. Raises ContainerError where the role may not."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            put(actor, f"{uri.rstrip('/')}/{file.relative_to(folder).as_posix()}", file.read_bytes(), kms_key_id)


def put(actor: Caller, uri: str, body: bytes, kms_key_id: str | None = None) -> None:
    """Write one object. Raises ContainerError where the role may not."""
    bucket, key = place_of(uri)
    try:
        actor.write_object(bucket, key, body, kms_key_id=kms_key_id)
    except ObjectUnavailable as error:
        raise ContainerError(f"ClientError: {uri} cannot be written by {actor.principal_arn} ({error})") from error


def packed(folder: Path) -> bytes:
    """A `tar.gz` of what is in a folder."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=6) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return archive.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Put what is in a `tar.gz` into a folder. Raises ContainerError for what is none, or would leave the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
            # Python 3.10 and 3.11 before their last releases lack the filter.
            with contextlib.suppress(AttributeError):
                tar.extraction_filter = tarfile.data_filter
            if not hasattr(tarfile, "data_filter") and any(
                ".." in PurePosixPath(name).parts or name.startswith("/") for name in tar.getnames()
            ):
                raise ContainerError("ClientError: The archive has a path that leaves its folder.")
            tar.extractall(folder)  # noqa: S202 (filtered, or looked through, above)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ContainerError(f"ClientError: The archive cannot be unpacked: {error}") from error
