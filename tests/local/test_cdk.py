"""The CDK command line from npm against the local cloud: what users type against AWS, typed here.

All of it runs as a user runs it, in a shell that took the cloud's variables. The guard sees to it that nobody else is
called.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import deploy
from local.cloud import LocalCloud
from local.environment import child_environment
from scenarios import image_labeling
from stacks import catalogue, cdk_cli
from tests import waiting
from tests.local.emulated import unique
from tests.local.inventory import LISTED, held, unlisted

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "samples" / "photos" / "chelsea.jpg"
ALL = [one.id for one in catalogue.available()]
BOOTSTRAP = "CDKToolkit"
SHELL = 'eval "$("$0" -m local env --name "$1")"; shift; exec "$0" -m stacks.cdk_cli "$@"'
MINUTES = 60.0


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """The command line in its pinned version. Where it is missing, that is told: the guard lets nobody download."""
    try:
        cdk_cli.install()
    except cdk_cli.MissingError as error:
        pytest.fail(f"The CDK command line is not installed; `make setup-cdk` does it. {error}")


@pytest.fixture
def own() -> Iterator[LocalCloud]:
    """A cloud on which nothing was ever deployed."""
    with LocalCloud.start(unique("cdk")) as started:
        yield started
    shutil.rmtree(started.folder, ignore_errors=True)


def start(cloud: LocalCloud, *arguments: str) -> subprocess.Popen[str]:
    """`cdk` with these arguments, in a shell that evaluates the cloud's variables first."""
    return subprocess.Popen(
        ["/bin/sh", "-c", SHELL, sys.executable, cloud.name, *arguments],
        cwd=ROOT,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def cdk(cloud: LocalCloud, *arguments: str, status: int = 0) -> str:
    """What `cdk` says when it has ended with this status."""
    started = start(cloud, *arguments)
    try:
        said, _ = started.communicate(timeout=15 * MINUTES)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == status, said
    return said


def synthesized(cloud: LocalCloud, place: Path, *arguments: str) -> tuple[str, str]:
    """The option that takes an assembly which `cdk` has made there."""
    cdk(cloud, "synth", "--quiet", "--output", str(place), *arguments)
    return "--app", str(place)


def told(said: str, line: str) -> list[str]:
    """The stacks of which a line tells; the line is a pattern with one group."""
    return sorted(re.findall(line, said, re.MULTILINE))


def was_called(cloud: LocalCloud, operation: str) -> bool:
    """Whether the cloud got this call since its counts were cleared."""
    return operation in cloud.control.calls()


def remove_bootstrap(cloud: LocalCloud) -> None:
    """As `docs/how-to/deploy-to-aws.md` says: the stack, and the bucket that it leaves."""
    (bucket,) = [name for _, kind, name in deploy.resources(cloud, BOOTSTRAP) if kind == "AWS::S3::Bucket"]
    formation, s3 = cloud.client("cloudformation"), cloud.client("s3")
    formation.delete_stack(StackName=BOOTSTRAP)
    waiting.until(lambda: BOOTSTRAP not in deploy.stacks(cloud), "the bootstrap to be gone", seconds=MINUTES)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def test_every_stack_is_deployed_compared_and_destroyed_and_nothing_is_left(own: LocalCloud, tmp_path: Path) -> None:
    # Given an account without CDK's bootstrap, and all stacks, synthesized once
    untouched = held(own, own.account)
    app = synthesized(own, tmp_path / "cdk.out")
    assert unlisted(tmp_path / "cdk.out") == set()
    # When it is bootstrapped, twice, Then the second time changes nothing
    cdk(own, "bootstrap", *app)
    assert "(no changes)" in cdk(own, "bootstrap", *app)
    empty = held(own, own.account)
    # When all is deployed, Then all stands, those that are needed first
    cdk(own, "deploy", "--all", "--require-approval", "never", *app)
    standing = deploy.stacks(own)
    assert standing == dict.fromkeys([*ALL, BOOTSTRAP], "CREATE_COMPLETE")
    made = {kind for name in standing for _, kind, _ in deploy.resources(own, name)}
    assert made & LISTED.keys() <= {kind for kind, _ in held(own, own.account)}
    # And all of it was done in the roles that the bootstrap has made for that
    roles = {str(decision["role"]) for decision in own.control.decisions()}
    for part in ("deploy", "file-publishing"):
        assert f"cdk-{deploy.QUALIFIER}-{part}-role-{own.account}-{own.region}" in roles
    # And what deploys without the command line finds nothing to do
    told_here: list[str] = []
    deploy.deploy(own, tmp_path / "cdk.out", "text-insights", told_here.append)
    assert told_here == ["nothing has changed"]
    # And it works: a photograph that is uploaded gets its row, by functions that are built for this machine
    report = image_labeling.run(own, deploy.outputs(own, "image-labeling"), [PHOTO])
    (photo,) = report.photos
    assert photo.status == "LABELED"
    assert "Cat" in {label.name for label in photo.labels}
    # When it is deployed once more, Then nothing is changed
    again = cdk(own, "deploy", "--all", "--require-approval", "never", *app)
    assert told(again, r"^ *✅ +(\S+) \(no changes\)$") == sorted(ALL)
    # When it is compared with what stands, by change sets, Then nothing differs, and no change set stays
    compared = cdk(own, "diff", "--fail", *app)
    assert compared.count("create a read-only change set") == len(ALL)
    assert compared.count("There were no differences") == len(ALL)
    assert change_sets(own) == []
    # When a setting does, Then the difference is told
    other = synthesized(
        own,
        tmp_path / "other.out",
        *("-c", "architecture=image-labeling", "-c", 'settings={"image-labeling": {"minimum_confidence": 71}}'),
    )
    differs = cdk(own, "diff", "--fail", *other, status=1)
    assert re.search(r"\.MINIMUM_CONFIDENCE:\n.*\[-\] 70\n.*\[\+\] 71\n", differs), differs
    # When all is destroyed, several at a time, Then every resource is gone but the bootstrap's
    gone = cdk(own, "destroy", "--all", "--force", "--concurrency", "4", *app)
    assert told(gone, r"^ *✅ +(\S+): destroyed$") == sorted(ALL)
    assert held(own, own.account) == empty
    # When the bootstrap is removed, too, Then the account is as it was
    remove_bootstrap(own)
    assert held(own, own.account) == untouched


def change_sets(cloud: LocalCloud) -> list[Any]:
    """The change sets that wait on any stack."""
    listed = [cloud.client("cloudformation").list_change_sets(StackName=name)["Summaries"] for name in ALL]
    return [one for found in listed for one in found if one["ExecutionStatus"] == "AVAILABLE"]


def test_a_deployment_that_is_killed_half_way_is_taken_up_again(own: LocalCloud, tmp_path: Path) -> None:
    # Given a bootstrapped account and one stack
    app = synthesized(own, tmp_path / "cdk.out", "-c", "architecture=image-labeling")
    cdk(own, "bootstrap", *app)
    empty = held(own, own.account)
    deployment = ("deploy", "image-labeling", "--require-approval", "never", *app)
    for service, operation in (
        ("s3", "PutObject"),
        ("cloudformation", "CreateChangeSet"),
        ("cloudformation", "ExecuteChangeSet"),
    ):
        # When a deployment is killed while it publishes, has proposed its changes, or has begun to make them
        own.control.calls_clear()
        slow = own.control.faults_add(kind="slow", service=service, operation=operation, seconds=5)
        killed = start(own, *deployment)
        asked = f"{service}.{operation}"
        waiting.until(partial(was_called, own, asked), asked, seconds=MINUTES)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        own.control.faults_clear(slow)
        # Then the next one goes through, and a photograph is labelled
        cdk(own, *deployment)
        report = image_labeling.run(own, deploy.outputs(own, "image-labeling"), [PHOTO])
        assert report.complete, operation
        # And all of it can be destroyed
        cdk(own, "destroy", "image-labeling", "--force", *app)
        assert held(own, own.account) == empty, operation


def test_a_cloud_that_was_stopped_is_told_in_one_line(own: LocalCloud) -> None:
    # Given a shell that took the variables of a cloud which is stopped since
    script = SHELL.replace("; exec", f'; "$0" -m local down --name {own.name} >/dev/null; exec')
    ran = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, own.name, "deploy", "--all"],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    # When it deploys, Then one line says so and how to go on
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"Nothing answers at AWS_ENDPOINT_URL, {own.endpoint_url}: start the local cloud")
    assert ran.stdout == ""
