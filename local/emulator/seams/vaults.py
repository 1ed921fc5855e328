"""Object Lock and replication as S3 does them, for buckets of stacks too.

MiniStack keeps locks by the machine's clock, and copies to another bucket without asking anybody. Here locks follow the
clock that tests move, and a copy is made as the role of the replication (Amazon S3 User Guide, "Setting up permissions
for live replication", "Replicating encrypted objects" and "Object Lock considerations", of which parts were read on
2026-11-27; the lists of actions are not confirmed by what was read):

- the role must be allowed what AWS asks for, on both buckets, and both keys must let it;
- an object under a key of KMS is copied only if the rule says so, and lies under the destination's key then;
- the copy has the retention of the source, if the destination has Object Lock.

A copy is there at once, where AWS takes seconds to minutes. Not looked at: priorities of rules, metrics, replication
time.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import responses as _responses
from ministack.services import s3 as _s3

from local.emulator import authorise, clock
from local.emulator.seams import buckets

MayUseKey = Callable[[str, "str | None", "tuple[str, ...]", Mapping[str, str]], bool]
RULE_PROPERTIES = {
    "DeleteMarkerReplication",
    "Destination",
    "Filter",
    "Id",
    "Priority",
    "SourceSelectionCriteria",
    "Status",
}


def install(may_use_key: MayUseKey) -> None:
    """Put the hooks in place. `may_use_key` asks a key for a role, as for every use of a customer's key."""
    _lock_by_the_clock()
    _replicate_as_the_role(may_use_key)


# --- Object Lock


def _lock_by_the_clock() -> None:
    check, apply = _s3._check_object_lock, _s3._apply_object_lock_from_headers

    @functools.wraps(check)
    def checking(bucket: str, key: str, headers: dict[str, str], version: Any) -> Any:
        retention = _s3._object_retention.get((bucket, key, version))
        over = retention is not None and _moment(retention["RetainUntilDate"]) <= clock.now()
        if over and _s3._object_legal_hold.get((bucket, key, version)) != "ON":
            return None
        return check(bucket, key, headers, version)

    @functools.wraps(apply)
    def applying(bucket: str, key: str, headers: dict[str, str], version: Any) -> None:
        apply(bucket, key, headers, version)
        retention = _s3._object_retention.get((bucket, key, version))
        if retention is not None and not headers.get("x-amz-object-lock-mode") and clock.offset():
            # By default: so long from now on, by the clock that counts here.
            retention["RetainUntilDate"] = _text(_moment(retention["RetainUntilDate"]) + clock.offset())
        _lock_replica(bucket, key, version)

    _s3._check_object_lock = checking
    _s3._apply_object_lock_from_headers = applying


def _lock_replica(bucket: str, key: str, version: Any) -> None:
    record = (_s3._buckets.get(bucket) or {}).get("objects", {}).get(key) or {}
    replica = record.get("_replica")
    if replica is None or record.get("version_id") != version or not _s3._bucket_object_lock.get(replica[0]):
        return
    for kept in (_s3._object_retention, _s3._object_legal_hold):
        if (found := kept.get((bucket, key, version))) is not None:
            kept[replica[0], key, replica[1]] = dict(found) if isinstance(found, dict) else found


def _moment(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _text(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- Replication


def _replicate_as_the_role(may_use_key: MayUseKey) -> None:
    replicate = _s3._maybe_replicate

    @functools.wraps(replicate)
    def replicating(bucket: str, key: str, record: dict[str, Any], data: Any, tags: Any = None) -> None:
        rule, role = _s3._replication_rule_for(bucket, key, tags)
        if rule is None:
            return
        source_key = (record.get("preserved_headers") or {}).get(buckets.KEY_HEADER)
        selected = rule.get("SourceSelectionCriteria", {}).get("SseKmsEncryptedObjects", {}).get("Status")
        if source_key and selected != "Enabled":
            # Not asked for, so not a failure: S3 leaves such an object out.
            return
        target = str(rule["Destination"]["Bucket"]).rpartition(":::")[2]
        target_key = rule["Destination"].get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID")
        if not _may_replicate(role, bucket, target, key, locked=bool(_s3._bucket_object_lock.get(bucket))):
            record["replication_status"] = "FAILED"
            return
        if not _keys_let(may_use_key, role, (bucket, source_key), (target, target_key), key):
            record["replication_status"] = "FAILED"
            return
        replicate(bucket, key, record, data, tags)
        if record.get("_replica") and target_key:
            headers = _s3._buckets[target]["objects"][key]["preserved_headers"]
            headers |= {buckets.ALGORITHM_HEADER: "aws:kms", buckets.KEY_HEADER: target_key}

    _s3._maybe_replicate = replicating


def _may_replicate(role: str, bucket: str, target: str, key: str, *, locked: bool) -> bool:
    source, name = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{key}"
    needed = [(action, source) for action in ("s3:GetReplicationConfiguration", "s3:ListBucket")]
    needed += [(f"s3:GetObjectVersion{what}", name) for what in ("ForReplication", "Acl", "Tagging")]
    needed += [(f"s3:GetObject{what}", name) for what in ("Retention", "LegalHold") if locked]
    needed += [(f"s3:Replicate{what}", f"arn:aws:s3:::{target}/{key}") for what in ("Object", "Tags")]
    return all(authorise.act_as(role, action, arn, path="replication") for action, arn in needed)


def _keys_let(
    may_use_key: MayUseKey, role: str, source: tuple[str, str | None], target: tuple[str, str | None], key: str
) -> bool:
    account = _responses.get_account_id()
    for (bucket, kms_key), action in ((source, "kms:Decrypt"), (target, "kms:Encrypt")):
        if not kms_key:
            continue
        region = kms_key.split(":")[3] if kms_key.startswith("arn:") else _responses.get_region()
        with _responses.request_scope(account, region):
            context = {
                **buckets.encryption_context(f"{bucket}/{key}"),
                "kms:ViaService": f"s3.{region}.amazonaws.com",
                "kms:CallerAccount": account,
            }
            if not may_use_key(role, kms_key, (action,), context):
                return False
    return True


# --- A stack's buckets


def complete(name: str, properties: Mapping[str, Any]) -> None:
    """Give a stack's bucket its lock and its replication. Raises ValueError for what S3 refuses or is not served."""
    if str(properties.get("ObjectLockEnabled")).lower() == "true":
        rule = (properties.get("ObjectLockConfiguration") or {}).get("Rule")
        inside = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        if rule:
            kept = rule["DefaultRetention"]
            inner = "".join(
                f"<{part}>{escape(str(kept[part]))}</{part}>" for part in ("Mode", "Days", "Years") if part in kept
            )
            inside += f"<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"
        # Object Lock wants versions, and switches them on ("Configuring S3 Object Lock", same guide).
        _s3._bucket_versioning[name] = "Enabled"
        document = f'<ObjectLockConfiguration xmlns="{_s3.S3_NS}">{inside}</ObjectLockConfiguration>'
        _accepted(_s3._put_object_lock_configuration(name, document.encode()))
    _s3._bucket_replication.pop(name, None)
    if replication := properties.get("ReplicationConfiguration"):
        rules = "".join(_rule(rule) for rule in replication["Rules"])
        document = f"<Role>{escape(str(replication['Role']))}</Role>{rules}"
        document = f'<ReplicationConfiguration xmlns="{_s3.S3_NS}">{document}</ReplicationConfiguration>'
        _accepted(_s3._put_bucket_replication(name, document.encode()))


def _rule(rule: Mapping[str, Any]) -> str:
    if unknown := set(rule) - RULE_PROPERTIES:
        raise ValueError(f"Replication rules with {', '.join(sorted(unknown))} are not served here")
    return f"<Rule>{_xml({'ID' if name == 'Id' else name: value for name, value in rule.items()})}</Rule>"


def _xml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{_xml(one)}</{name}>" for name, one in value.items())
    return escape(str(value))


def _accepted(answer: Any) -> None:
    if answer[0] >= 300:
        raise ValueError(answer[2].decode() if isinstance(answer[2], bytes) else str(answer[2]))
