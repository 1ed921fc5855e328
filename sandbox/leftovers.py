"""What a removed stack left in the account: found by tags and by names, each with what it costs and when it goes.

CloudFormation calls what it makes `<stack>-<logical id>-<random>`, so what services made on a stack's behalf, and what
outlives a stack on purpose, is found by that beginning; the rest by the tag `architecture`. The tagging API may tell
for a while of what is gone already (AWS Resource Groups Tagging API Reference, "GetResources", from memory), so what it
alone tells is marked as such.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox import stacks
from sandbox.account import Account, AccountError, RefusedError, plain_errors
from sandbox.plan import REGION_OUTPUT
from stacks.catalogue import ARCHITECTURES

TAG, TAGGED = "architecture", "tagged"
# US dollars a gigabyte a month in us-east-1, and a key a month; from memory of the pricing pages, 2026-11-28.
LOG_GIGABYTE, OBJECT_GIGABYTE, SNAPSHOT_GIGABYTE, TABLE_BACKUP_GIGABYTE, FILE_GIGABYTE = 0.03, 0.023, 0.05, 0.10, 0.30
GIGABYTE = 1e9
SERVICE_LOGS = ("ProcessingJobs", "TrainingJobs")
# Studio makes a file system for a domain and keeps it when the domain is deleted (Amazon SageMaker API Reference,
# "DeleteDomain", RetentionPolicy, read 2026-11-28); deleting a stack does so, too (github.com/aws-cloudformation/
# cloudformation-coverage-roadmap, issue 1085, read 2026-11-28). It stays in the network of the other.
STUDIO = ("secure-studio", "private-network")
# How it is marked (Amazon SageMaker AI Developer Guide, "Amazon SageMaker AI domain", from memory).
STUDIO_TAG = "ManagedByAmazonSageMakerResource"
# What a stack makes in a second region by default; how it was deployed its output tells, as long as it stands.
SECOND_REGION = {"model-vault": "us-west-2"}


@dataclass(frozen=True)
class Leftover:
    """Something that is still there. `cost` and `goes` are words: what it costs, and when or how it goes."""

    kind: str
    name: str
    cost: str
    goes: str


@dataclass(frozen=True)
class Search:
    """What was found, and where nobody could look: (what, why)."""

    found: tuple[Leftover, ...]
    not_searched: tuple[tuple[str, str], ...]


def regions_of(account: Account, architecture: str) -> tuple[str, ...]:
    """The regions beside the account's in which the stack of this architecture has something, or had by default."""
    if architecture not in SECOND_REGION:
        return ()
    found = stacks.outputs_of(stacks.described(account, architecture) or {})
    return (found.get(REGION_OUTPUT, SECOND_REGION[architecture]),)


def search(account: Account, architecture: str, log_groups: Sequence[str] = (), regions: Sequence[str] = ()) -> Search:
    """Looks everywhere in the account's region, and in these `regions` beside it.

    `log_groups` are further groups by name. A place that may not be looked at is told, too, and what was found there
    before is kept.
    """
    found: list[Leftover] = []
    failed: list[tuple[str, str]] = []
    # A key has the same id in all of its regions, and may have its tags in the first alone.
    keys: set[str] = set()
    for region in dict.fromkeys((account.region, *regions)):
        first = region == account.region
        for what, look in _places(account.elsewhere(region), architecture, log_groups, keys, first=first).items():
            here, why = _looked(what, look)
            known = {_own_name(one.name) for one in found}
            new = [one for one in here if one.kind != TAGGED or _own_name(one.name) not in known]
            found += new if first else [replace(one, kind=f"{one.kind} in {region}") for one in new]
            failed += [(what if first else f"{what} in {region}", why)] if why else []
    return Search(tuple(found), tuple(failed))


def _places(
    account: Account, architecture: str, log_groups: Sequence[str], keys: set[str], *, first: bool
) -> dict[str, Callable[[], Iterator[Leftover]]]:
    """Where to look in one region, and how. Buckets are listed for all regions at once."""
    places: dict[str, Callable[[], Iterator[Leftover]]] = {
        "stacks": lambda: _stacks(account, architecture),
        "log groups": lambda: _log_groups(account, architecture, log_groups),
        "buckets": lambda: _buckets(account, architecture),
        "backups of tables": lambda: _table_backups(account, architecture),
        "snapshots": lambda: _snapshots(account, architecture),
        "keys": lambda: _keys(account, architecture, keys),
        "secrets": lambda: _secrets(account, architecture),
        "endpoints and notebooks": lambda: _machines(account, architecture),
        "file systems": lambda: _file_systems(account),
        # Last: what is found by name says more.
        "tags": lambda: _tagged(account, architecture),
    }
    if not first:
        del places["buckets"]
    if architecture not in STUDIO:
        del places["file systems"]
    return places


def _looked(what: str, look: Callable[[], Iterator[Leftover]]) -> tuple[list[Leftover], str]:
    """What is in a place; and why nobody may look there, or not at all of it."""
    found: list[Leftover] = []
    try:
        with plain_errors(f"Looking for {what}"):
            for one in look():
                found.append(one)  # noqa: PERF402 (what was found before a refusal is kept)
    except AccountError as error:
        return found, str(error)
    return found, ""


def _stacks(account: Account, architecture: str) -> Iterator[Leftover]:
    destructor = f"{stacks.DESTRUCTOR}{architecture}"
    for name, costs, goes in (
        (architecture, "what is in it", "not by itself"),
        (destructor, "nothing", "by itself, after the stacks that it removes"),
    ):
        if stack := stacks.described(account, name):
            yield Leftover("stack", name, costs, f"{goes}; it is in state {stack['StackStatus']}")


def _log_groups(account: Account, architecture: str, more: Sequence[str]) -> Iterator[Leftover]:
    pages = account.client("logs").get_paginator("describe_log_groups")
    # SageMaker's are those of all jobs of an account.
    trains = any(one.id == architecture and "sagemaker" in one.services for one in ARCHITECTURES)
    shared_groups = {f"/aws/sagemaker/{kind}" for kind in SERVICE_LOGS} if trains else set()
    named = shared_groups | set(more)
    begins = tuple(
        f"{prefix}{name}-"
        for name in (architecture, f"{stacks.DESTRUCTOR}{architecture}")
        for prefix in ("", "/aws/lambda/", "/aws/vendedlogs/")
    )
    prefixes = (*begins, *(["/aws/sagemaker/"] if trains else []), *more)
    groups = {
        group["logGroupName"]: group
        for prefix in dict.fromkeys(prefixes)
        for page in pages.paginate(logGroupNamePrefix=prefix)
        for group in page["logGroups"]
    }
    for name, group in sorted(groups.items()):
        if not (
            name.startswith(begins) or name in named or name.startswith(f"/aws/sagemaker/Endpoints/{architecture}-")
        ):
            continue
        days = group.get("retentionInDays")
        goes = f"its entries after {days} days, the group not by itself" if days else "not by itself"
        shared = ", which all jobs of the account write into" if name in shared_groups else ""
        yield Leftover("log group" + shared, name, _a_month(group.get("storedBytes", 0), LOG_GIGABYTE), goes)


def _buckets(account: Account, architecture: str) -> Iterator[Leftover]:
    s3 = account.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith(f"{architecture}-"):
            yield Leftover("bucket", bucket["Name"], f"{OBJECT_GIGABYTE} dollars a GB a month", "not by itself")


def _table_backups(account: Account, architecture: str) -> Iterator[Leftover]:
    pages = account.client("dynamodb").get_paginator("list_backups").paginate(BackupType="ALL")
    for backup in (one for page in pages for one in page["BackupSummaries"]):
        if not str(backup["TableName"]).startswith(f"{architecture}-"):
            continue
        # DynamoDB's own, of a deleted table with point-in-time recovery (Amazon DynamoDB Developer Guide, "Enable
        # point-in-time recovery"): 35 days, without charge.
        own = backup["BackupType"] == "SYSTEM"
        costs = "nothing" if own else _a_month(backup.get("BackupSizeBytes", 0), TABLE_BACKUP_GIGABYTE)
        until = backup.get("BackupExpiryDateTime")
        yield Leftover(
            "backup of a table", backup["BackupName"], costs, f"on {until:%Y-%m-%d}" if until else "not by itself"
        )


def _snapshots(account: Account, architecture: str) -> Iterator[Leftover]:
    pages = account.client("ec2").get_paginator("describe_snapshots")
    wanted = [{"Name": f"tag:{TAG}", "Values": [architecture]}]
    for snapshot in (one for page in pages.paginate(OwnerIds=["self"], Filters=wanted) for one in page["Snapshots"]):
        costs = f"{snapshot['VolumeSize'] * SNAPSHOT_GIGABYTE:.2f} dollars a month at most"
        yield Leftover("snapshot", snapshot["SnapshotId"], costs, "not by itself")


def _keys(account: Account, architecture: str, known: set[str]) -> Iterator[Leftover]:
    """The keys with the tag, and those with a `known` id; adds theirs to it. Raises RefusedError at the end."""
    kms = account.client("kms")
    refused: list[str] = []
    for name in (str(one["KeyId"]) for page in kms.get_paginator("list_keys").paginate() for one in page["Keys"]):
        try:
            with plain_errors(f"Looking at the key {name}"):
                about = kms.describe_key(KeyId=name)["KeyMetadata"]
                if about.get("KeyManager") == "AWS":
                    continue
                ours = name in known or _is_of(architecture, kms.list_resource_tags(KeyId=name))
        except RefusedError as error:
            # A key's own policy may shut out everybody but its owner: the others are to be looked at all the same.
            refused.append(str(error))
            continue
        if not ours:
            continue
        known.add(name)
        if about["KeyState"] == "PendingDeletion":
            # AWS KMS Developer Guide, "Delete an AWS KMS key" (a key that waits for its deletion is not charged).
            yield Leftover("key", name, "nothing while it waits", f"on {about['DeletionDate']:%Y-%m-%d}")
        elif about["KeyState"] == "PendingReplicaDeletion":
            # AWS KMS Developer Guide, "Deleting multi-Region keys": the time begins when the last replica is gone.
            days = about.get("PendingDeletionWindowInDays", "some")
            yield Leftover("key", name, "nothing while it waits", f"{days} days after its copy in another region")
        else:
            yield Leftover("key", name, "1.00 dollar a month", f"not by itself; it is {about['KeyState']}")
    if refused:
        raise RefusedError(f"{len(refused)} of the keys, the first: {refused[0]}")


def _is_of(architecture: str, answer: Any) -> bool:
    return any(tag["TagKey"] == TAG and tag["TagValue"] == architecture for tag in answer["Tags"])


def _secrets(account: Account, architecture: str) -> Iterator[Leftover]:
    pages = account.client("secretsmanager").get_paginator("list_secrets")
    for secret in (one for page in pages.paginate(IncludePlannedDeletion=True) for one in page["SecretList"]):
        tagged = {"Key": TAG, "Value": architecture} in secret.get("Tags", [])
        if not tagged:
            continue
        gone: datetime.datetime | None = secret.get("DeletedDate")
        costs = "nothing while it waits" if gone else "0.40 dollars a month"
        yield Leftover("secret", secret["Name"], costs, f"on {gone:%Y-%m-%d}" if gone else "not by itself")


def _machines(account: Account, architecture: str) -> Iterator[Leftover]:
    sagemaker = account.client("sagemaker")
    for page in sagemaker.get_paginator("list_endpoints").paginate(NameContains=architecture):
        for endpoint in page["Endpoints"]:
            yield Leftover("endpoint", endpoint["EndpointName"], "its machines, by the hour", "not by itself")
    for page in sagemaker.get_paginator("list_notebook_instances").paginate(NameContains=architecture):
        for notebook in page["NotebookInstances"]:
            yield Leftover("notebook", notebook["NotebookInstanceName"], "its machine, by the hour", "not by itself")


def _file_systems(account: Account) -> Iterator[Leftover]:
    """Those of Studio domains that are gone. Which architecture's they were nobody tells."""
    domains = account.client("sagemaker").get_paginator("list_domains").paginate()
    standing = {one["DomainArn"] for page in domains for one in page["Domains"]}
    pages = account.client("efs").get_paginator("describe_file_systems").paginate()
    for system in (one for page in pages for one in page["FileSystems"]):
        owner = {tag["Key"]: tag["Value"] for tag in system.get("Tags", ())}.get(STUDIO_TAG)
        if owner and owner not in standing:
            costs = _a_month(system.get("SizeInBytes", {}).get("Value", 0), FILE_GIGABYTE)
            holds = "not by itself; while it has mount targets, their network cannot be deleted"
            yield Leftover("file system of a Studio domain that is gone", system["FileSystemId"], costs, holds)


def _tagged(account: Account, architecture: str) -> Iterator[Leftover]:
    pages = account.client("resourcegroupstaggingapi").get_paginator("get_resources")
    wanted = [{"Key": TAG, "Values": [architecture]}]
    for page in pages.paginate(TagFilters=wanted):
        for resource in page["ResourceTagMappingList"]:
            told = "not by itself, unless it is gone already: tags are told for a while longer"
            yield Leftover(TAGGED, resource["ResourceARN"], "see its service", told)


def _own_name(name: str) -> str:
    """The last part of an ARN or of a name, by which the two can be told to be the same."""
    own = name.split(":", 5)[-1] if name.startswith("arn:") else name
    kind, _, rest = own.partition(":")
    if kind == "secret":
        # Secrets Manager puts a hyphen and six characters behind the name.
        return rest[:-7]
    if own.startswith("stack/"):
        return own.split("/")[1]
    return own.rpartition("/")[2].rpartition(":")[2] or own


def _a_month(stored: float, price: float) -> str:
    usd = stored / GIGABYTE * price
    return "nothing yet" if not stored else f"{usd:.2f} dollars a month" if usd >= 0.01 else "less than a cent a month"
