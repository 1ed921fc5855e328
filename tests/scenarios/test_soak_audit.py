"""An archive that is kept: nobody of the workload changes it, and it outlives its stack."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import cli
from local.cloud import LocalCloud
from local.deploy import outputs as outputs_of
from local.deploy import stacks
from scenarios.audit import ATTEMPTS, administrator, archived, attempts
from scenarios.roles import client_as
from stacks.secure.audit import CHANGES_OF_THE_ARCHIVE, CHANGES_OF_THE_KEY
from tests.local.emulated import eventually, unique
from tests.scenarios.test_audit import ARCHITECTURE, CHANGES, KEY_CHANGES, NOT_ASKED

pytestmark = pytest.mark.soak


@pytest.fixture
def kept(cloud: LocalCloud, handlers: None) -> Iterator[dict[str, str]]:
    """The stack with an archive that is kept; afterwards whoever may, the account's root, takes the archive away."""
    assert cli.main(["deploy", ARCHITECTURE, "--set", "archive=kept", "--name", cloud.name]) == 0
    outputs = outputs_of(cloud, ARCHITECTURE)
    try:
        yield outputs
    finally:
        if ARCHITECTURE in stacks(cloud):
            cli.main(["destroy", ARCHITECTURE, "--name", cloud.name])
        s3, bucket = cloud.client("s3"), outputs["ArchiveName"]
        for one in versions(s3, bucket):
            s3.delete_object(Bucket=bucket, **one)
        s3.delete_bucket(Bucket=bucket)
        cloud.client("kms").schedule_key_deletion(KeyId=outputs["KeyArn"], PendingWindowInDays=7)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The command line takes signals over."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    """All versions of a bucket, oldest or not."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return [{"Key": one["Key"], "VersionId": one["VersionId"]} for page in pages for one in page.get("Versions", ())]


def refused_everything(cloud: LocalCloud, role: str, outputs: dict[str, str]) -> None:
    """Whoever may everything with S3 and KMS by his own policy changes neither the archive nor its key."""
    s3, kms, bucket = client_as(cloud, role, "s3"), client_as(cloud, role, "kms"), {"Bucket": outputs["ArchiveName"]}
    assert attempts(cloud, outputs, s3) == dict.fromkeys(ATTEMPTS, "AccessDenied")
    one = versions(cloud.client("s3"), outputs["ArchiveName"])[0]
    for action in sorted(set(CHANGES_OF_THE_ARCHIVE) - NOT_ASKED):
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            CHANGES[action](s3, bucket, one)
    for action in CHANGES_OF_THE_KEY:
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            KEY_CHANGES[action](kms, outputs["KeyArn"])


def test_a_kept_archive_outlives_its_stack_and_stays_closed(
    cloud: LocalCloud, kept: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with administrator(cloud) as role:
        # Given an archive that is kept, with a record in it
        name = unique("recorded")
        cloud.client("sqs").create_queue(QueueName=name)

        def asked() -> list[dict[str, Any]]:
            return [one for one in archived(cloud, kept) if name in str(one["requestParameters"])]

        assert eventually(asked, 30)
        # Then an administrator of the workload changes nothing of it, and no function of the stack could empty it
        refused_everything(cloud, role, kept)
        functions = [one["FunctionName"] for one in cloud.client("lambda").list_functions()["Functions"]]
        assert not [one for one in functions if "EmptiedArchive" in one]
        # When the stack is destroyed, Then it is said what is kept
        before = versions(cloud.client("s3"), kept["ArchiveName"])
        capsys.readouterr()
        assert cli.main(["destroy", ARCHITECTURE, "--name", cloud.name]) == 0
        told = capsys.readouterr().out
        assert ARCHITECTURE not in stacks(cloud)
        assert f"AWS::S3::Bucket {kept['ArchiveName']}" in told
        assert f"AWS::KMS::Key {kept['KeyArn'].rpartition('/')[2]}" in told
        # and all records are there, and can be read, and nothing is recorded any more
        left = versions(cloud.client("s3"), kept["ArchiveName"])
        assert [one for one in before if one not in left] == []
        assert asked()
        assert cloud.client("cloudtrail").list_trails()["Trails"] == []
        # and whoever could not change it before still cannot
        refused_everything(cloud, role, kept)
