"""What a removed stack left in the account: found by tags and by names, each with what it costs and when it goes.

CloudFormation calls what it makes `<stack>-<logical id>-<random>`, so what services made on a stack's behalf, and what
outlives a stack on purpose, is found by that beginning; the rest by the tag `architecture`. The tagging API may tell
for a while of what is gone already (AWS Resource Groups Tagging API Reference, "GetResources", from memory), so what it
alone tells is marked as such.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox import stacks
from sandbox.account import Account, AccountError, plain_errors
from stacks.operate.self_destruct import ARCHITECTURE as SELF_DESTRUCT

TAG, TAGGED = "architecture", "tagged"
# US dollars a gigabyte a month in us-east-1, and a key a month; from memory of the pricing pages, 2026-11-28.
LOG_GIGABYTE, OBJECT_GIGABYTE, SNAPSHOT_GIGABYTE, TABLE_BACKUP_GIGABYTE = 0.03, 0.023, 0.05, 0.10
GIGABYTE = 1e9
SERVICE_LOGS = ("ProcessingJobs", "TrainingJobs")


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


def search(account: Account, architecture: str, log_groups: Sequence[str] = ()) -> Search:
    """Looks everywhere. `log_groups` are further groups by name. A place that may not be looked at is told, too."""
    places: dict[str, Callable[[], Iterator[Leftover]]] = {
        "stacks": lambda: _stacks(account, architecture),
        "log groups": lambda: _log_groups(account, architecture, log_groups),
        "buckets": lambda: _buckets(account, architecture),
        "backups of tables": lambda: _table_backups(account, architecture),
        "snapshots": lambda: _snapshots(account, architecture),
        "keys": lambda: _keys(account, architecture),
        "secrets": lambda: _secrets(account, architecture),
        "endpoints and notebooks": lambda: _machines(account, architecture),
        # Last: what is found by name says more.
        "tags": lambda: _tagged(account, architecture),
    }
    found: list[Leftover] = []
    failed: list[tuple[str, str]] = []
    for what, look in places.items():
        here, why = _looked(what, look)
        known = " ".join(one.name for one in found)
        found += [one for one in here if one.kind != TAGGED or _own_name(one.name) not in known]
        failed += [(what, why)] if why else []
    return Search(tuple(found), tuple(failed))


def _looked(what: str, look: Callable[[], Iterator[Leftover]]) -> tuple[list[Leftover], str]:
    """What is in a place; or why nobody may look there."""
    try:
        with plain_errors(f"Looking for {what}"):
            return list(look()), ""
    except AccountError as error:
        return [], str(error)


def _stacks(account: Account, architecture: str) -> Iterator[Leftover]:
    for name in (architecture, f"{SELF_DESTRUCT.id}-{architecture}"):
        if stack := stacks.described(account, name):
            costs = "what is in it" if name == architecture else "nothing"
            yield Leftover("stack", name, costs, f"not by itself; it is in state {stack['StackStatus']}")


def _log_groups(account: Account, architecture: str, more: Sequence[str]) -> Iterator[Leftover]:
    pages = account.client("logs").get_paginator("describe_log_groups")
    named = {f"/aws/sagemaker/{kind}" for kind in SERVICE_LOGS} | set(more)
    begins = (f"{architecture}-", f"/aws/lambda/{architecture}-", f"/aws/vendedlogs/{architecture}-")
    prefixes = (*begins, "/aws/sagemaker/", *more)
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
        shared = ", which all jobs of the account write into" if name.startswith("/aws/sagemaker/") else ""
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


def _keys(account: Account, architecture: str) -> Iterator[Leftover]:
    kms = account.client("kms")
    for key in (one for page in kms.get_paginator("list_keys").paginate() for one in page["Keys"]):
        about = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if about.get("KeyManager") == "AWS" or not _is_of(architecture, kms.list_resource_tags(KeyId=key["KeyId"])):
            continue
        if about["KeyState"] == "PendingDeletion":
            # AWS KMS Developer Guide, "Delete an AWS KMS key" (a key that waits for its deletion is not charged).
            yield Leftover("key", key["KeyId"], "nothing while it waits", f"on {about['DeletionDate']:%Y-%m-%d}")
        else:
            yield Leftover("key", key["KeyId"], "1.00 dollar a month", f"not by itself; it is {about['KeyState']}")


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


def _tagged(account: Account, architecture: str) -> Iterator[Leftover]:
    pages = account.client("resourcegroupstaggingapi").get_paginator("get_resources")
    wanted = [{"Key": TAG, "Values": [architecture]}]
    for page in pages.paginate(TagFilters=wanted):
        for resource in page["ResourceTagMappingList"]:
            told = "not by itself, unless it is gone already: tags are told for a while longer"
            yield Leftover(TAGGED, resource["ResourceARN"], "see its service", told)


def _own_name(arn: str) -> str:
    """The last part of an ARN: the name by which its service lists it."""
    return arn.split(":", 5)[-1].rpartition("/")[2].rpartition(":")[2]


def _a_month(stored: float, price: float) -> str:
    usd = stored / GIGABYTE * price
    return "nothing yet" if not stored else f"{usd:.2f} dollars a month" if usd >= 0.01 else "less than a cent a month"
