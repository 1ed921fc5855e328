"""Deploys a synthesized stack, and destroys it, through AWS APIs only: the same calls that the CDK CLI makes.

What a bootstrapped account has (CDK's assets bucket and the version parameter that templates check) is created when it
is missing. An AWS account is never touched from here: there, the CDK CLI deploys with its own bootstrap and roles.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scenarios.cloud import Cloud
from stacks.assets import write_zip

Progress = Callable[[str], None]

# The default qualifier and the parameter whose value a template's rule checks: AWS CDK v2 Developer Guide, "Customize
# AWS CDK bootstrapping", read 2026-11-23. The rule refuses versions 1 to 5.
QUALIFIER = "hnb659fds"
VERSION_PARAMETER = f"/cdk-bootstrap/{QUALIFIER}/version"
BOOTSTRAP_VERSION = "30"

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]

TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.2

# A stack that stands in one of these states cannot be updated and holds nothing worth keeping: it is removed first.
# AWS CloudFormation User Guide, "Describe and list your stacks" (stack status codes), read 2026-11-23.
DEAD = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
STACK = "AWS::CloudFormation::Stack"
JOBS_LOGS = "/aws/sagemaker/"
NEW = "REVIEW_IN_PROGRESS"

# The reasons of a change set that failed because there is nothing to do.
NO_CHANGE = ("didn't contain changes", "No updates are to be performed")


class DeployError(Exception):
    """A stack cannot be deployed or destroyed. `str()` is one line with the first failing resource and its reason."""


@dataclass(frozen=True)
class _Artifact:
    """A stack in an assembly: its template, and the file assets that the template refers to."""

    template: Path
    files: Mapping[str, Mapping[str, Any]]


def quietly(message: str) -> None:
    """Progress that nobody reads."""


def deploy(
    cloud: Cloud,
    assembly: Path,
    stack: str,
    progress: Progress = quietly,
    *,
    artifact: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Creates or updates the CloudFormation stack named `stack`, and returns its outputs.

    The template is the assembly's stack of that name, or `artifact` if given, so that one assembly serves several
    copies. `parameters` are the template's; one that is left out has its default. A stack that is up to date is left
    alone. A creation that fails leaves nothing behind, an update that fails is rolled back. Raises DeployError when the
    assembly has no such stack, when someone else is changing the stack, or with the first resource that failed.
    """
    found = _read(assembly, artifact or stack)
    with _plain_errors(cloud, f"Deploying {stack}"):
        bucket = _bootstrap(cloud)
        state = _state(cloud, stack)
        if state in DEAD:
            progress(f"removing what an earlier attempt left ({state})")
            _delete(cloud, stack, progress)
            state = None
        if state not in {None, NEW} | UPDATABLE:
            raise DeployError(f"Stack {stack} is in state {state}: wait until that has ended, then try again.")
        creating = state in (None, NEW)
        replaced = set() if creating else _assets_of(cloud, stack)
        # The stack is announced before its assets are published: whoever tidies up meanwhile sees that it is coming.
        change = _propose(cloud, stack, found.template, bucket, creating=creating, parameters=parameters or {})
        if change is None:
            progress("nothing has changed")
            return outputs(cloud, stack)
        published = _publish(cloud, assembly, found, progress)
        try:
            _execute(cloud, stack, change, creating=creating, progress=progress)
        finally:
            _remove_unused(cloud, replaced | published)
        return outputs(cloud, stack)


def destroy(cloud: Cloud, stack: str, progress: Progress = quietly) -> bool:
    """Deletes the stack and the assets that no other stack uses; returns False if there was no such stack.

    The bootstrap (an empty bucket and a parameter) stays, as it does in an AWS account.
    Raises DeployError with the first resource that could not be deleted.
    """
    with _plain_errors(cloud, f"Destroying {stack}"):
        if _state(cloud, stack) is None:
            return False
        _settle(cloud, stack)
        assets = _assets_of(cloud, stack)
        _delete(cloud, stack, progress)
        _remove_unused(cloud, assets)
        return True


def outputs(cloud: Cloud, stack: str) -> dict[str, str]:
    """The outputs of a deployed stack. Raises DeployError if there is no such stack."""
    with _plain_errors(cloud, f"Reading {stack}"):
        description = _describe(cloud, stack)
        if description is None or description["StackStatus"] == NEW:
            raise DeployError(f"There is no stack {stack} here: deploy it with `python -m local deploy {stack}`.")
        return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def stacks(cloud: Cloud) -> dict[str, str]:
    """The stacks of this cloud, each with its status, without those that were deleted."""
    with _plain_errors(cloud, "Listing the stacks"):
        pages = cloud.client("cloudformation").get_paginator("describe_stacks").paginate()
        return {
            stack["StackName"]: stack["StackStatus"]
            for page in pages
            for stack in page["Stacks"]
            if stack["StackStatus"] != "DELETE_COMPLETE"
        }


def resources(cloud: Cloud, stack: str) -> list[tuple[str, str, str]]:
    """The resources of a stack as (logical id, type, physical id). Raises DeployError if there is no such stack."""
    with _plain_errors(cloud, f"Reading {stack}"):
        pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return [
            (resource["LogicalResourceId"], resource["ResourceType"], resource.get("PhysicalResourceId", ""))
            for page in pages
            for resource in page["StackResourceSummaries"]
        ]


def log_events(cloud: Cloud, stack: str, lines: int) -> list[tuple[datetime, str, str]]:
    """The newest `lines` events of the stack's log groups, oldest first, as (time in UTC, logical id, message).

    Those of its SageMaker jobs, too: they write into groups of the account, whose names stand for a logical id then
    (`TrainingJobs`). Raises DeployError if there is no such stack.
    """
    parts = resources(cloud, stack)
    client = cloud.client("logs")
    events: list[tuple[int, str, str]] = []
    with _plain_errors(cloud, f"Reading the logs of {stack}"):
        for label, group, prefix in [*_own_groups(parts), *_jobs_logs(cloud, stack, parts)]:
            chosen = {"logStreamNamePrefix": prefix} if prefix else {"orderBy": "LastEventTime", "descending": True}
            for stream in client.describe_log_streams(logGroupName=group, **chosen)["logStreams"]:
                read = client.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], limit=lines, startFromHead=False
                )
                events += [(event["timestamp"], label, event["message"].rstrip()) for event in read["events"]]
    newest = sorted(events, key=lambda event: event[0])[-lines:]
    return [(datetime.fromtimestamp(stamp / 1000, timezone.utc), label, text) for stamp, label, text in newest]


def _own_groups(parts: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    for logical, kind, name in parts:
        if kind == "AWS::Logs::LogGroup":
            yield logical, name, ""


def _jobs_logs(cloud: Cloud, stack: str, parts: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """The groups of SageMaker's jobs, each with how the streams of this stack's jobs begin.

    A stream begins with its job's name (Amazon SageMaker AI Developer Guide, "CloudWatch Logs for Amazon SageMaker
    AI"), a pipeline's job with `pipelines-` and its execution's id ("Pipelines steps"; both read 2026-11-27). A stack's
    other jobs are called after it and a date.
    """
    listed = cloud.client("logs").describe_log_groups(logGroupNamePrefix=JOBS_LOGS)["logGroups"]
    groups = [group["logGroupName"] for group in listed if group["logGroupName"].endswith("Jobs")]
    if not groups:
        return
    begins = [f"{stack}-20"]
    sagemaker = cloud.client("sagemaker")
    for _, kind, name in parts:
        if kind == "AWS::SageMaker::Pipeline":
            pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=name)
            arns = [one["PipelineExecutionArn"] for page in pages for one in page["PipelineExecutionSummaries"]]
            begins += [f"pipelines-{arn.rpartition('/')[2]}-" for arn in arns]
    for group in groups:
        for begin in begins:
            yield group.removeprefix(JOBS_LOGS), group, begin


@contextlib.contextmanager
def _plain_errors(cloud: Cloud, doing: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        reason = f"{error.operation_name}: {answer.get('Code')}: {answer.get('Message')}"
        raise DeployError(f"{doing} on the cloud {cloud.name!r} failed: {_one_line(reason)}") from error
    except BotoCoreError as error:
        raise DeployError(f"{doing}: the cloud {cloud.name!r} does not answer ({_one_line(str(error))}).") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read(assembly: Path, name: str) -> _Artifact:
    try:
        return _artifact(assembly, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{assembly} is no cloud assembly: synthesize it again.") from error


def _artifact(assembly: Path, name: str) -> _Artifact:
    artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    for identifier, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] != "aws:cloudformation:stack" or name not in (identifier, properties.get("stackName")):
            continue
        files: dict[str, Mapping[str, Any]] = {}
        for dependency in artifact.get("dependencies", []):
            listed = artifacts[dependency]
            if listed["type"] == "cdk:asset-manifest":
                manifest = json.loads((assembly / listed["properties"]["file"]).read_text(encoding="utf-8"))
                if manifest.get("dockerImages"):
                    raise DeployError(f"{name} has container images: only file assets can be published here.")
                files.update(manifest.get("files", {}))
        return _Artifact(template=assembly / properties["templateFile"], files=files)
    raise DeployError(f"{assembly} holds no stack {name}.")


def _bootstrap(cloud: Cloud) -> str:
    """Creates CDK's assets bucket and version parameter where they are missing; returns the bucket's name."""
    account = cloud.client("sts").get_caller_identity()["Account"]
    bucket = f"cdk-{QUALIFIER}-assets-{account}-{cloud.region}"
    s3 = cloud.client("s3")
    if not _exists(lambda: s3.head_bucket(Bucket=bucket)):
        place = (
            {} if cloud.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        )
        # Two deployments may start at once.
        with _tolerating("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
    ssm = cloud.client("ssm")
    if not _exists(lambda: ssm.get_parameter(Name=VERSION_PARAMETER)):
        with _tolerating("ParameterAlreadyExists"):
            ssm.put_parameter(Name=VERSION_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String")
    return bucket


def _exists(look: Callable[[], object]) -> bool:
    try:
        look()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket", "NotFound", "NoSuchKey", "ParameterNotFound"):
            return False
        raise
    return True


@contextlib.contextmanager
def _tolerating(*codes: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def _publish(cloud: Cloud, assembly: Path, artifact: _Artifact, progress: Progress) -> set[tuple[str, str]]:
    """Uploads the assets that are not there yet: folders as deterministic zip files, files as they are.

    Returns where all of them are, as (bucket, key). The template is no asset here: see `_uploaded_template`.
    """
    s3 = cloud.client("s3")
    places = set()
    for asset in artifact.files.values():
        source = assembly / asset["source"]["path"]
        if source == artifact.template:
            continue
        for destination in asset["destinations"].values():
            bucket = _filled_in(destination["bucketName"], cloud)
            key = _filled_in(destination["objectKey"], cloud)
            places.add((bucket, key))
            if _exists(partial(s3.head_object, Bucket=bucket, Key=key)):
                continue
            progress(f"publishing {asset.get('displayName') or source.name}")
            if asset["source"].get("packaging") != "zip":
                with source.open("rb") as body:
                    s3.put_object(Bucket=bucket, Key=key, Body=body)
                continue
            with tempfile.TemporaryFile() as body:
                write_zip(source, body)
                body.seek(0)
                s3.put_object(Bucket=bucket, Key=key, Body=body)
    return places


def _remove_unused(cloud: Cloud, assets: set[tuple[str, str]]) -> None:
    """Deletes those of the assets that no stack refers to; none while a stack is only announced."""
    present = stacks(cloud)
    if NEW in present.values():
        return
    for name in present:
        assets = assets - _assets_of(cloud, name)
    for bucket, key in sorted(assets):
        cloud.client("s3").delete_object(Bucket=bucket, Key=key)


def _filled_in(text: str, cloud: Cloud) -> str:
    if "${" in text:
        account = cloud.client("sts").get_caller_identity()["Account"]
        for name, value in (("AccountId", account), ("Region", cloud.region), ("Partition", "aws")):
            text = text.replace(f"${{AWS::{name}}}", value)
    return text


def _propose(
    cloud: Cloud, stack: str, template: Path, bucket: str, *, creating: bool, parameters: Mapping[str, str]
) -> dict[str, Any] | None:
    """Creates a change set and returns its description, or None if nothing would change."""
    formation = cloud.client("cloudformation")
    with _uploaded_template(cloud, template, bucket) as url:
        change_set = formation.create_change_set(
            StackName=stack,
            ChangeSetName=f"local-{uuid.uuid4().hex}",
            ChangeSetType="CREATE" if creating else "UPDATE",
            TemplateURL=url,
            Capabilities=CAPABILITIES,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            **({"OnStackFailure": "DELETE"} if creating else {}),
        )
        change = _await_change_set(formation, stack, change_set["Id"])
    if change["Status"] != "FAILED":
        return change
    reason = change.get("StatusReason", "no reason was given")
    formation.delete_change_set(ChangeSetName=change["ChangeSetId"])
    if not creating and any(text in reason for text in NO_CHANGE):
        return None
    if creating:
        formation.delete_stack(StackName=change["StackId"])
    raise DeployError(f"Stack {stack} was refused: {_one_line(reason)}")


def _execute(cloud: Cloud, stack: str, change: Mapping[str, Any], *, creating: bool, progress: Progress) -> None:
    formation = cloud.client("cloudformation")
    identifier = change["StackId"]
    before = _events(formation, identifier)
    try:
        formation.execute_change_set(ChangeSetName=change["ChangeSetId"])
    except formation.exceptions.ChangeSetNotFoundException as error:
        raise DeployError(f"Stack {stack} was destroyed while it was being deployed.") from error
    total = len(change.get("Changes", []))
    status, failure = _follow(cloud, identifier, total, progress, since=before)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        done = "created" if creating else "updated"
        left = {"DELETE_COMPLETE": "Nothing of it is left.", "UPDATE_ROLLBACK_COMPLETE": "It stands as it did before."}
        after = left.get(status, f"It is in state {status}.")
        raise DeployError(f"Stack {stack} could not be {done}: {failure or status}. {after}")


@contextlib.contextmanager
def _uploaded_template(cloud: Cloud, template: Path, bucket: str) -> Iterator[str]:
    """The template's address while CloudFormation reads it: a body of more than 51,200 bytes must come from S3.

    AWS CloudFormation User Guide, "Understand CloudFormation quotas", read 2026-11-23.
    """
    s3 = cloud.client("s3")
    key = f"templates/{uuid.uuid4().hex}.json"
    s3.put_object(Bucket=bucket, Key=key, Body=template.read_bytes())
    try:
        yield f"{s3.meta.endpoint_url}/{bucket}/{key}"
    finally:
        s3.delete_object(Bucket=bucket, Key=key)


def _await_change_set(formation: Any, stack: str, change: str) -> dict[str, Any]:
    for _ in _until(f"The change set of {stack} is not ready"):
        described: dict[str, Any] = formation.describe_change_set(ChangeSetName=change)
        if described["Status"] in ("CREATE_COMPLETE", "FAILED"):
            break
    changes = list(described.get("Changes", []))
    while token := described.get("NextToken"):
        described = formation.describe_change_set(ChangeSetName=change, NextToken=token)
        changes += described.get("Changes", [])
    return {**described, "Changes": changes}


def _until(complaint: str) -> Iterator[None]:
    """Yields until TIMEOUT_SECONDS have passed, then raises DeployError."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        yield
        time.sleep(POLL_SECONDS)
    raise DeployError(f"{complaint} after {TIMEOUT_SECONDS:.0f} s.")


def _follow(
    cloud: Cloud, identifier: str, total: int, progress: Progress, *, since: Sequence[Mapping[str, Any]]
) -> tuple[str, str | None]:
    """Waits for an operation to end, telling each resource that is done.

    Returns the stack's last status and the first failure as "logical id (type): reason", if there was one.
    """
    formation = cloud.client("cloudformation")
    seen = {event["EventId"] for event in since}
    done: set[str] = set()
    failure: str | None = None
    for _ in _until(f"Stack {identifier} is not done"):
        # The status is read before the events: whatever led to it is then among them.
        description = _describe(cloud, identifier)
        status = description["StackStatus"] if description else "DELETE_COMPLETE"
        for event in reversed(_events(formation, identifier)):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            state = event.get("ResourceStatus", "")
            logical = event["LogicalResourceId"]
            if state.endswith("_FAILED") and failure is None and event["ResourceType"] != STACK:
                failure = f"{logical} ({event['ResourceType']}): {_one_line(event.get('ResourceStatusReason', state))}"
            if state.endswith("_COMPLETE") and event["ResourceType"] != STACK and logical not in done:
                done.add(logical)
                progress(f"{len(done)} of {max(total, len(done))} resources: {logical}")
        if not status.endswith("_IN_PROGRESS"):
            break
    if failure is None and description is not None and description.get("StackStatusReason"):
        failure = _one_line(description["StackStatusReason"])
    return status, failure


def _events(formation: Any, stack: str) -> list[dict[str, Any]]:
    """All events of a stack, newest first; none if the stack is gone."""
    try:
        pages = formation.get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]]
    except ClientError as error:
        if _is_absent(error):
            return []
        raise


def _delete(cloud: Cloud, stack: str, progress: Progress) -> None:
    formation = cloud.client("cloudformation")
    description = _describe(cloud, stack)
    if description is None:
        return
    # The name means nothing any more once the stack is gone: its id still finds it.
    identifier = description["StackId"]
    total = len(resources(cloud, identifier))
    before = _events(formation, identifier)
    formation.delete_stack(StackName=identifier)
    status, failure = _follow(cloud, identifier, total, progress, since=before)
    if status != "DELETE_COMPLETE":
        raise DeployError(f"Stack {stack} could not be deleted: {failure or status}.")


def _settle(cloud: Cloud, stack: str) -> None:
    """Waits until nobody is changing the stack: a deployment may have been interrupted a moment ago."""
    for _ in _until(f"Stack {stack} is still being changed"):
        state = _state(cloud, stack)
        if state is None or state == NEW or not state.endswith("_IN_PROGRESS"):
            return


def _describe(cloud: Cloud, stack: str) -> dict[str, Any] | None:
    try:
        described: dict[str, Any] = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if _is_absent(error):
            return None
        raise
    return described


def _is_absent(error: ClientError) -> bool:
    answer = error.response["Error"]
    return answer["Code"] == "ValidationError" and "does not exist" in answer["Message"]


def _state(cloud: Cloud, stack: str) -> str | None:
    description = _describe(cloud, stack)
    if description is None or description["StackStatus"] == "DELETE_COMPLETE":
        return None
    return str(description["StackStatus"])


def _assets_of(cloud: Cloud, stack: str) -> set[tuple[str, str]]:
    """The published assets, as (bucket, key), that a stack's template refers to."""
    try:
        answer = cloud.client("cloudformation").get_template(StackName=stack, TemplateStage="Processed")
    except ClientError as error:
        if _is_absent(error):
            return set()
        raise
    body = answer["TemplateBody"]
    try:
        template = body if isinstance(body, dict) else json.loads(body or "{}")
    except ValueError:
        # YAML: it comes from no assembly. The CDK command line's own bootstrap stack is such a one.
        return set()
    return set(_asset_references(template, cloud))


def _asset_references(node: Any, cloud: Cloud) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _asset_references(item, cloud)
    elif isinstance(node, dict):
        bucket, key = node.get("S3Bucket"), node.get("S3Key")
        if isinstance(bucket, dict):
            bucket = bucket.get("Fn::Sub")
        if isinstance(bucket, str) and isinstance(key, str):
            yield _filled_in(bucket, cloud), key
        for value in node.values():
            yield from _asset_references(value, cloud)
