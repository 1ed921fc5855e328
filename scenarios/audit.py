"""Does what an audit is for, on a deployed audit stack: reads, changes, opens, deletes; and tells what was noticed.

Only AWS APIs. It makes a bucket, a role and a key for the purpose and takes them away; the key waits its seven days. An
administrator of the workload is played by a role that may do everything with S3: what keeps it from the archive is the
archive alone. On AWS a trail takes some minutes to deliver, and so does this.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scenarios.cloud import Cloud
from scenarios.roles import client_as

PATIENCE_SECONDS = 1200.0
POLL_SECONDS = 0.2
TEXT = "a record of somebody"
# What is done, what the alarm of it begins with, and the call that it names.
ALARMS = {
    "a role made": ("A policy or a role was changed", "CreateRole"),
    "a role's policy changed": ("A policy or a role was changed", "PutRolePolicy"),
    "the trail set anew": ("Somebody stopped or changed what watches", "PutEventSelectors"),
    "a key to be deleted": ("A key is disabled or to be deleted", "ScheduleKeyDeletion"),
    "a bucket opened": ("A bucket may have become public", "PublicAccessBlock"),
}
ATTEMPTS = ("delete a record", "write a record", "change the policy", "shorten the archive's life")


@dataclass(frozen=True)
class Report:
    """What was noticed.

    told      by what was done, the alarm that came of it, empty where none came
    refused   by what the administrator tried on the archive, the error's code, empty where it was done
    records   of the archive, that name the scenario's own objects and role: who (a role's name), event, object or role
    verdict   of the rule on jobs, empty where Config keeps none
    """

    told: Mapping[str, str]
    refused: Mapping[str, str]
    records: tuple[tuple[str, str, str], ...]
    verdict: str = ""
    read_by: str = field(default="")

    @property
    def complete(self) -> bool:
        """Whether all that was done was noticed, and nothing of the archive was changed."""
        return (
            all(self.told.get(one) for one in ALARMS)
            and all(self.refused.get(one) == "AccessDenied" for one in ATTEMPTS)
            and any(event == "GetObject" and who == self.read_by for who, event, _ in self.records)
        )


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Plays it all once. The bytes of `files` are the objects that are read; without any, a text is.

    Raises TimeoutError where the archive gets no records, botocore's errors where the cloud refuses.
    """
    contents = {path.name: path.read_bytes() for path in files} or {"record.txt": TEXT.encode()}
    with ExitStack() as cleanup:
        heard = cleanup.enter_context(listening(cloud, outputs["TopicArn"]))
        bucket = cleanup.enter_context(_bucket(cloud, contents))
        role = cleanup.enter_context(administrator(cloud))
        progress("reading, changing, opening, deleting")
        theirs = client_as(cloud, role, "s3")
        for key in contents:
            theirs.get_object(Bucket=bucket, Key=key)["Body"].read()
        done = _change_rights, _set_the_trail, _delete_a_key, _open_a_bucket
        for action in done:
            action(cloud, outputs, role, bucket)
        progress("waiting for the archive")
        records = _records(cloud, outputs, bucket, role)
        progress("trying to change the archive")
        refused = attempts(cloud, outputs, theirs)
        progress("waiting for the alarms")
        told = _told(heard)
        return Report(told, refused, records, _verdict(cloud, outputs), role.rpartition("/")[2])


# --- What is done ----------------------------------------------------------------------------------------------------


def _change_rights(cloud: Cloud, _outputs: Mapping[str, str], role: str, _bucket: str) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]}
    cloud.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="more", PolicyDocument=json.dumps(document)
    )


def _set_the_trail(cloud: Cloud, outputs: Mapping[str, str], _role: str, _bucket: str) -> None:
    trails = cloud.client("cloudtrail")
    # To what it is: nothing changes, and the call is one of those that must not go unseen.
    trails.put_event_selectors(
        TrailName=outputs["TrailName"],
        AdvancedEventSelectors=trails.get_event_selectors(TrailName=outputs["TrailName"])["AdvancedEventSelectors"],
    )


def _delete_a_key(cloud: Cloud, _outputs: Mapping[str, str], _role: str, _bucket: str) -> None:
    kms = cloud.client("kms")
    key = kms.create_key(Description="Made by the scenario of audit, to be deleted")["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)


def _open_a_bucket(cloud: Cloud, _outputs: Mapping[str, str], _role: str, bucket: str) -> None:
    cloud.client("s3").put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": False,
            "IgnorePublicAcls": False,
            "BlockPublicPolicy": False,
            "RestrictPublicBuckets": False,
        },
    )


def attempts(cloud: Cloud, outputs: Mapping[str, str], theirs: Any) -> dict[str, str]:
    """What an administrator of the workload tries on the archive, and with which error each attempt ends."""
    archive = outputs["ArchiveName"]
    listed = _a_file(cloud, archive)
    tried: dict[str, Callable[[], Any]] = {
        ATTEMPTS[0]: lambda: theirs.delete_object(Bucket=archive, Key=listed["Key"], VersionId=listed["VersionId"]),
        ATTEMPTS[1]: lambda: theirs.put_object(Bucket=archive, Key="made-up", Body=b"nothing happened"),
        ATTEMPTS[2]: lambda: theirs.delete_bucket_policy(Bucket=archive),
        ATTEMPTS[3]: lambda: theirs.put_bucket_lifecycle_configuration(
            Bucket=archive,
            LifecycleConfiguration={
                "Rules": [{"ID": "soon", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        ),
    }
    return {name: _code(attempt) for name, attempt in tried.items()}


def _a_file(cloud: Cloud, archive: str) -> dict[str, str]:
    """A file of the archive, once it has one. Raises TimeoutError."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for one in cloud.client("s3").list_object_versions(Bucket=archive).get("Versions", ()):
            return {"Key": one["Key"], "VersionId": one["VersionId"]}
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"The archive got no file within {PATIENCE_SECONDS:.0f} seconds")


def _code(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


# --- What is noticed -------------------------------------------------------------------------------------------------


def archived(cloud: Cloud, outputs: Mapping[str, str]) -> list[dict[str, Any]]:
    """All records that the archive holds now."""
    s3, found = cloud.client("s3"), []
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=outputs["ArchiveName"], Prefix="AWSLogs/")
    for page in pages:
        for one in page.get("Contents", ()):
            if "/CloudTrail/" in one["Key"]:
                body = s3.get_object(Bucket=outputs["ArchiveName"], Key=one["Key"])["Body"].read()
                found += json.loads(gzip.decompress(body))["Records"]
    return found


def _records(cloud: Cloud, outputs: Mapping[str, str], bucket: str, role: str) -> tuple[tuple[str, str, str], ...]:
    name = role.rpartition("/")[2]
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = []
        for one in archived(cloud, outputs):
            asked = one["requestParameters"] or {}
            what = asked.get("key") if asked.get("bucketName") == bucket else asked.get("roleName")
            if asked.get("bucketName") == bucket or asked.get("roleName") == name:
                issuer = one["userIdentity"].get("sessionContext", {}).get("sessionIssuer", {})
                who = issuer.get("userName") or one["userIdentity"]["arn"].rpartition(":")[2]
                found.append((who, one["eventName"], what or ""))
        if any(who == name and event == "GetObject" for who, event, _ in found):
            return tuple(found)
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"The archive got no record of a read within {PATIENCE_SECONDS:.0f} seconds")


def _told(heard: Callable[[], list[str]]) -> dict[str, str]:
    found: dict[str, str] = dict.fromkeys(ALARMS, "")
    until = time.monotonic() + PATIENCE_SECONDS
    while not all(found.values()) and time.monotonic() < until:
        for message in heard():
            for done, (beginning, call) in ALARMS.items():
                if beginning in message and call in message:
                    found[done] = message.strip('"')
        time.sleep(POLL_SECONDS)
    return found


def _verdict(cloud: Cloud, outputs: Mapping[str, str]) -> str:
    """What the rule on jobs says, asked for now."""
    if "JobRuleName" not in outputs:
        return ""
    config, name = cloud.client("config"), outputs["JobRuleName"]
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = config.get_compliance_details_by_config_rule(ConfigRuleName=name)["EvaluationResults"]
        if found:
            return str(found[0]["ComplianceType"])
        time.sleep(POLL_SECONDS)
    return ""


# --- Made for the purpose --------------------------------------------------------------------------------------------


@contextmanager
def listening(cloud: Cloud, topic: str) -> Iterator[Callable[[], list[str]]]:
    """A queue that the topic tells; gives a function that returns what it was told since the last look."""
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    url = sqs.create_queue(QueueName=f"audit-scenario-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]

    def heard() -> list[str]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for one in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return [str(one["Body"]) for one in found]

    try:
        yield heard
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=url)


@contextmanager
def _bucket(cloud: Cloud, contents: Mapping[str, bytes]) -> Iterator[str]:
    s3, name = cloud.client("s3"), f"audit-scenario-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    try:
        for key, body in contents.items():
            s3.put_object(Bucket=name, Key=key, Body=body)
        yield name
    finally:
        for key in contents:
            s3.delete_object(Bucket=name, Key=key)
        s3.delete_bucket(Bucket=name)


@contextmanager
def administrator(cloud: Cloud) -> Iterator[str]:
    """The ARN of a role that may do everything with S3, as an administrator of the workload may."""
    iam, name = cloud.client("iam"), f"audit-scenario-{uuid.uuid4().hex[:8]}"
    account = cloud.client("sts").get_caller_identity()["Account"]
    who = {"AWS": f"arn:aws:iam::{account}:root"}
    trust = [{"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}]
    everything = [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}]
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )
    try:
        document = json.dumps({"Version": "2012-10-17", "Statement": everything})
        iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=document)
        yield str(made["Role"]["Arn"])
    finally:
        for policy in ("everything", "more"):
            with contextlib.suppress(iam.exceptions.NoSuchEntityException):
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)
