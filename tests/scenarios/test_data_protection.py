"""Encrypt everything, share briefly: files, links, what is refused, and by which statement."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from local.cloud import ROOT, LocalCloud
from local.deploy import destroy
from local.permissions import Status, compare, granted
from scenarios import data_protection
from scenarios.data_protection import fetch, share
from scenarios.roles import client_as
from tests import waiting
from tests.conftest import FreshStack, SharedStacks
from tests.local.emulated import last_sequence
from tests.mutations import Expectation, Request, of_stack, survivors, wrong

ARCHITECTURE = "data-protection"
# Today's clients speak 1.2 at least: to see the policy refuse, it must ask for more.
SMALL: Mapping[str, Any] = {"minimum_tls": "1.3"}
TEXTS = sorted((ROOT / "samples" / "texts").glob("review-*.txt"))[:2]
KEY_HEADER = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.fixture(scope="module")
def outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    return shared_stacks(ARCHITECTURE, SMALL)


@pytest.fixture
def shared_file(cloud: LocalCloud, outputs: dict[str, str]) -> str:
    """The key of a file that may be shared."""
    key = f"{outputs['SharedPrefix']}{uuid.uuid4().hex[:8]}/für alle & jeden+1.txt"
    client_as(cloud, outputs["PersonalRoleArn"], "s3").put_object(
        Bucket=outputs["PersonalBucketName"], Key=key, Body=b"of nobody"
    )
    return key


def refusal(cloud: LocalCloud, since: int) -> dict[str, Any]:
    """The last denial after `since`."""
    return [one for one in cloud.control.decisions(since=since) if not one["allowed"]][-1]


# --- What should work, and what should not


def test_each_file_lies_under_its_classs_key_and_its_link_gives_it_back(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given files, When they are written as the role of the personal class and shared
    report = data_protection.run(cloud, outputs, TEXTS)
    # Then each is encrypted by the class's key, which its writer did not name, and its link gives its bytes
    assert report.complete
    assert {(file.encryption, file.kms_key) for file in report.files} == {("aws:kms", outputs["PersonalKeyArn"])}
    # and the bucket spares KMS a request for each object, and the keys get new material
    rules = cloud.client("s3").get_bucket_encryption(Bucket=outputs["PersonalBucketName"])
    assert rules["ServerSideEncryptionConfiguration"]["Rules"][0]["BucketKeyEnabled"] is True
    for name in ("PersonalKeyArn", "DerivedKeyArn"):
        assert cloud.client("kms").get_key_rotation_status(KeyId=outputs[name])["KeyRotationEnabled"] is True


def test_what_would_weaken_the_protection_is_refused_and_nothing_else(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given both classes' roles
    since = last_sequence(cloud)
    # When they try what they may and what they may not
    tried = data_protection.attempts(cloud, outputs, f"{outputs['SharedPrefix']}{uuid.uuid4().hex[:8]}/")
    # Then each came out as it should
    assert [attempt.what for attempt in tried if not attempt.right] == []
    assert {attempt.expected for attempt in tried} == {True, False}
    # and the bucket's own statements decided, in so far as one decided
    sids = {(one["statement"] or {}).get("sid") for one in cloud.control.decisions(since=since) if not one["allowed"]}
    assert sids == {None, "OnlyKmsEncryption", "OnlyThisKey", "LinksByTheFunctionOnly"}


def test_a_link_opens_one_version_of_one_file(cloud: LocalCloud, outputs: dict[str, str], shared_file: str) -> None:
    # Given a link, and a newer version of the file
    told = share(cloud, outputs, shared_file, minutes=1)
    personal = client_as(cloud, outputs["PersonalRoleArn"], "s3")
    personal.put_object(Bucket=outputs["PersonalBucketName"], Key=shared_file, Body=b"newer")
    # When the link is used, Then it gives what was shared
    assert fetch(cloud, told["url"]) == b"of nobody"
    assert datetime.fromisoformat(told["expires_at"]) <= datetime.now(timezone.utc) + timedelta(seconds=61)
    # and another file cannot be put in its place in the address
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(cloud, told["url"].replace(told["version"], str(uuid.uuid4())))
    assert caught.value.code == 403


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"key": "raw/letter.txt"}, "Only what lies under shared/ is shared."),
        ({"key": "shared/../raw/letter.txt", "minutes": 61}, "A link lives for 1 to 15 whole minutes."),
        ({"key": "shared/nothing.txt"}, "There is no such file."),
    ],
    ids=["another prefix", "too long", "not there"],
)
def test_what_is_not_shared_is_refused_with_a_reason(
    cloud: LocalCloud, outputs: dict[str, str], request_: dict[str, Any], told: str
) -> None:
    # Given a request for what is not shared, When the function is asked, Then it says why not, and gives no link
    assert share(cloud, outputs, request_["key"], request_.get("minutes")) == {"refused": told}


@contextmanager
def taken_on(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[str]:
    """The function's role, which for a moment the account may take on, as an attacker would who can change a trust."""
    iam = cloud.client("iam")
    name = _function_role(cloud, outputs)
    before = iam.get_role(RoleName=name)["Role"]
    trust = {"Effect": "Allow", "Principal": {"AWS": LocalCloud.account}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps({"Statement": [trust]}))
    try:
        yield str(before["Arn"])
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(before["AssumeRolePolicyDocument"]))


def _function_role(cloud: LocalCloud, outputs: dict[str, str]) -> str:
    function = cloud.client("lambda").get_function_configuration(FunctionName=outputs["ShareFunctionName"])
    return str(function["Role"]).rpartition("/")[2]


@pytest.mark.parametrize(("age", "opens"), [(timedelta(minutes=14), True), (timedelta(minutes=16), False)])
def test_a_link_that_was_made_to_last_for_days_runs_out_all_the_same(
    cloud: LocalCloud, outputs: dict[str, str], shared_file: str, age: timedelta, *, opens: bool
) -> None:
    # Given a link for a day, signed some minutes ago with the function's own session
    with taken_on(cloud, outputs) as role:
        signer = client_as(cloud, role, "s3")
        moment = datetime.now(timezone.utc) - age
        target = {"Bucket": outputs["PersonalBucketName"], "Key": shared_file}
        with patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
            url = signer.generate_presigned_url("get_object", Params=target, ExpiresIn=86_400)
        assert f"X-Amz-Date={moment:%Y%m%dT%H%M}" in url
        since = last_sequence(cloud)
        # When it is used, Then it opens the file while its signature is younger than the setting, and not after
        if opens:
            assert fetch(cloud, url) == b"of nobody"
        else:
            with pytest.raises(urllib.error.HTTPError):
                fetch(cloud, url)
            assert refusal(cloud, since)["statement"]["sid"] == "LinksRunOut"


def test_old_tls_and_plain_http_are_refused(cloud: LocalCloud, outputs: dict[str, str], shared_file: str) -> None:
    # Given a link, and a client that speaks no TLS newer than 1.2
    url = share(cloud, outputs, shared_file)["url"]
    old = ssl.create_default_context(cafile=str(cloud.ca_bundle))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=old))
    since = last_sequence(cloud)
    # When it uses the link, Then the policy refuses it
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opener.open(url, timeout=10)
    decided = refusal(cloud, since)
    policy = json.loads(cloud.client("s3").get_bucket_policy(Bucket=outputs["PersonalBucketName"])["Policy"])
    condition = policy["Statement"][decided["statement"]["index"]]["Condition"]
    assert condition == {"NumericLessThan": {"s3:TlsVersion": 1.3}}
    # and so it does a request that came by plain HTTP to a proxy that ended the TLS; by TLS 1.3 it opens
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(cloud, url, {"x-forwarded-proto": "http"})
    assert fetch(cloud, url) == b"of nobody"


def test_who_read_what_is_on_record(cloud: LocalCloud, outputs: dict[str, str], shared_file: str) -> None:
    # Given a file that was read by a link, and one that the other class's role tried to read
    fetch(cloud, share(cloud, outputs, shared_file)["url"])
    with pytest.raises(ClientError):
        client_as(cloud, outputs["DerivedRoleArn"], "s3").get_object(
            Bucket=outputs["PersonalBucketName"], Key=shared_file
        )
    # When the access logs are read
    s3, bucket = cloud.client("s3"), outputs["AccessLogBucketName"]
    name = shared_file.split("/")[1]

    def lines() -> list[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="personal/").get("Contents", [])
        text = "".join(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode() for one in found)
        told = [line for line in text.splitlines() if name in line]
        return told if any(" 403 AccessDenied " in line for line in told) else []

    told = waiting.until(lines, "the access logs", seconds=10)
    # Then both are there, with who it was and how, and without what would let a reader use the link
    by_link = next(line for line in told if " QueryString " in line)
    assert "ShareFileRole" in by_link
    assert " TLSv1.3 " in by_link
    assert "X-Amz-Signature=XXXXX" in by_link
    assert any("DerivedRole" in line and " 403 AccessDenied " in line for line in told)


# --- Failures and permissions


def test_a_throttled_s3_is_asked_again(cloud: LocalCloud, outputs: dict[str, str], shared_file: str) -> None:
    # Given S3, which throttles twice, When a link is asked for
    cloud.control.faults_add(service="s3", operation="HeadObject", kind="throttle", times=2)
    # Then it comes all the same
    assert "url" in share(cloud, outputs, shared_file)


def test_while_s3_is_down_the_asker_hears_so_and_later_gets_a_link(
    cloud: LocalCloud, outputs: dict[str, str], shared_file: str
) -> None:
    # Given S3, which fails, When a link is asked for, Then the asker gets the error
    fault = cloud.control.faults_add(service="s3", operation="HeadObject", kind="internal")
    with pytest.raises(RuntimeError, match="ClientError"):
        share(cloud, outputs, shared_file)
    # When it is back, Then asking again helps
    cloud.control.faults_clear(fault)
    assert "url" in share(cloud, outputs, shared_file)


@pytest.mark.parametrize("gone", ["the role's policy", "the key's statement"])
def test_without_a_permission_no_link_is_made_and_those_that_are_out_are_void(
    cloud: LocalCloud, outputs: dict[str, str], shared_file: str, gone: str
) -> None:
    # Given a link, and a function that lost its right to read
    url = share(cloud, outputs, shared_file)["url"]
    with without(cloud, outputs, gone):
        # When the link is used, and another asked for, Then both are refused
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(cloud, url)
        with pytest.raises(RuntimeError, match=r"ClientError.*403"):
            share(cloud, outputs, shared_file)
    # When the right is back, Then both work
    assert fetch(cloud, url) == b"of nobody"
    assert "url" in share(cloud, outputs, shared_file)


@contextmanager
def without(cloud: LocalCloud, outputs: dict[str, str], gone: str) -> Iterator[None]:
    iam, kms = cloud.client("iam"), cloud.client("kms")
    role, key = _function_role(cloud, outputs), outputs["PersonalKeyArn"]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policies = {
        "the role's policy": iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"],
        "the key's statement": json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]),
    }

    def put(document: Mapping[str, Any]) -> None:
        if gone == "the role's policy":
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
        else:
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))

    before = policies[gone]
    kept = [one for one in before["Statement"] if one.get("Sid") != "ReadersThroughS3" and "GetObject" not in str(one)]
    assert len(kept) == len(before["Statement"]) - 1
    put({**before, "Statement": kept})
    try:
        yield
    finally:
        put(before)


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(
    cloud: LocalCloud, fresh_stack: FreshStack
) -> None:
    # Given a stack's whole life
    since = last_sequence(cloud)
    made = fresh_stack(SMALL, architecture=ARCHITECTURE)
    assert data_protection.run(cloud, made.outputs, TEXTS).complete
    bucket = made.outputs["AccessLogBucketName"]

    def logged() -> set[str]:
        found = cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        return {one["Key"].partition("/")[0] for one in found}

    waiting.until(lambda: logged() == {"personal", "derived"}, "the access logs", seconds=10)
    grants, last = granted(cloud, made.name), last_sequence(cloud)
    destroy(cloud, made.name)
    # When what it was granted is compared with what it did; what S3 would log after the end, it may not
    done = [
        one
        for one in cloud.control.decisions(since=since)
        if not (one["principal"] == "logging.s3.amazonaws.com" and one["seq"] > last)
    ]
    report = compare(grants, done, architecture=ARCHITECTURE)
    # Then there is nothing to mend, and each of its principals was seen at work
    assert report.problems == ()
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    for role in ("PersonalRole", "DerivedRole", "ShareFileRole", "EmptiedPersonal", "EmptiedAccessLogs", "logging.s3"):
        assert any(name.startswith(role) for name in used), role
    # and nothing of it is left: no bucket, and no key that could still be used
    names = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    assert not any(name.startswith(made.name) for name in names)
    state = cloud.client("kms").describe_key(KeyId=made.outputs["PersonalKeyArn"])["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"


# --- The policies, taken apart


def test_every_denial_and_every_condition_is_missed_when_it_goes(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given all policies of the stack, and what they must allow and refuse
    documents = of_stack(cloud, ARCHITECTURE)
    promises = list(expectations(cloud, outputs, documents))
    assert wrong(promises, documents) == []
    assert sum(not one.allowed for one in promises) >= len(promises) // 2
    # When each denial and each condition is taken out, one by one, Then some promise is broken each time
    assert [str(mutant) for mutant in survivors(promises, documents)] == []


def expectations(
    cloud: LocalCloud, outputs: dict[str, str], documents: Mapping[str, Mapping[str, Any]]
) -> Iterator[Expectation]:
    """What the policies promise, in words."""
    policies = {word: _named(documents, f"{word}Policy") for word in ("Personal", "Derived", "AccessLogs")}
    keys = {word: _named(documents, f"{word}Key") for word in ("Personal", "Derived", "Operations")}
    function = f"arn:aws:iam::{LocalCloud.account}:role/{_function_role(cloud, outputs)}"
    everything = {"everything": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}
    sound = {"s3:TlsVersion": "1.3", "s3:authType": "REST-HEADER", "s3:signatureAge": "10"}
    link = {**sound, "s3:authType": "REST-QUERY-STRING"}
    for word in ("Personal", "Derived"):
        bucket, key = outputs[f"{word}BucketName"], outputs[f"{word}KeyArn"]
        other_key = outputs["DerivedKeyArn" if word == "Personal" else "PersonalKeyArn"]
        role = outputs[f"{word}RoleArn"]

        def on_bucket(
            name: str,
            action: str,
            context: Mapping[str, str],
            *,
            allowed: bool,
            principal: str = role,
            bucket: str = bucket,
            word: str = word,
        ) -> Expectation:
            request = Request(action, f"arn:aws:s3:::{bucket}/shared/x", principal, context)
            return Expectation(f"{word}: {name}", allowed, request, resource=[policies[word]], extra=everything)

        kms = {"s3:x-amz-server-side-encryption": "aws:kms"}
        yield on_bucket("reads", "s3:GetObject", sound, allowed=True)
        yield on_bucket(
            "reads by an old signature", "s3:GetObject", {**sound, "s3:signatureAge": "9999999"}, allowed=True
        )
        yield on_bucket("not by plain HTTP", "s3:GetObject", {**sound, "aws:SecureTransport": "false"}, allowed=False)
        yield on_bucket("not by TLS 1.2", "s3:GetObject", {**sound, "s3:TlsVersion": "1.2"}, allowed=False)
        yield on_bucket("writes by default", "s3:PutObject", sound, allowed=True)
        yield on_bucket("writes by KMS", "s3:PutObject", {**sound, **kms}, allowed=True)
        yield on_bucket("writes by its key", "s3:PutObject", {**sound, **kms, KEY_HEADER: key}, allowed=True)
        yield on_bucket("not by another key", "s3:PutObject", {**sound, **kms, KEY_HEADER: other_key}, allowed=False)
        yield on_bucket(
            "not by S3's key", "s3:PutObject", {**sound, "s3:x-amz-server-side-encryption": "AES256"}, allowed=False
        )
        yield on_bucket("no link of one's own", "s3:GetObject", link, allowed=False)
        yield on_bucket("no link to write", "s3:PutObject", link, allowed=False)
        yield on_bucket("a link of the function", "s3:GetObject", link, allowed=True, principal=function)
        if word == "Personal":
            old = {**link, "s3:signatureAge": str(15 * 60_000 + 1)}
            yield on_bucket("no old link", "s3:GetObjectVersion", old, allowed=False, principal=function)

        through = {
            "kms:ViaService": "s3.us-east-1.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}",
        }
        elsewhere = {**through, "kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::somewhere"}
        past = {name: value for name, value in through.items() if name != "kms:ViaService"}

        def on_key(
            name: str, action: str, context: Mapping[str, str], principal: str, *, allowed: bool, word: str = word
        ) -> Expectation:
            request = Request(action, outputs[f"{word}KeyArn"], principal, context)
            return Expectation(
                f"{word} key: {name}", allowed, request, resource=[keys[word]], required=True, extra=everything
            )

        readers = [("its role", role)] + ([("the function", function)] if word == "Personal" else [])
        for who, principal in readers:
            yield on_key(f"{who} through S3", "kms:Decrypt", through, principal, allowed=True)
            yield on_key(f"{who} not past S3", "kms:Decrypt", past, principal, allowed=False)
            yield on_key(f"{who} not for another bucket", "kms:Decrypt", elsewhere, principal, allowed=False)
        yield on_key("the function does not write", "kms:GenerateDataKey", through, function, allowed=False)
        stranger = outputs["DerivedRoleArn" if word == "Personal" else "PersonalRoleArn"]
        yield on_key("not the other class", "kms:Decrypt", through, stranger, allowed=False)
        yield on_key("the account administers", "kms:ScheduleKeyDeletion", {}, stranger, allowed=True)
        yield on_key("nobody hands out grants", "kms:CreateGrant", through, role, allowed=False)
    yield from _of_logs(outputs, policies["AccessLogs"], keys["Operations"], everything)


def _of_logs(
    outputs: dict[str, str], policy: str, operations_key: str, everything: Mapping[str, Any]
) -> Iterator[Expectation]:
    logs = f"arn:aws:s3:::{outputs['AccessLogBucketName']}"
    sound = {"s3:TlsVersion": "1.3"}
    reader = outputs["PersonalRoleArn"]
    for name, context, allowed in (
        ("read by TLS", sound, True),
        ("not by plain HTTP", {**sound, "aws:SecureTransport": "false"}, False),
        ("not by TLS 1.1", {"s3:TlsVersion": "1.1"}, False),
    ):
        request = Request("s3:GetObject", f"{logs}/personal/x", reader, context)
        yield Expectation(f"logs: {name}", allowed, request, resource=[policy], extra=everything)
    for word in ("Personal", "Derived"):
        ours = {**sound, "aws:SourceArn": f"arn:aws:s3:::{outputs[f'{word}BucketName']}"}
        account = {"aws:SourceAccount": LocalCloud.account}
        for name, context, allowed in (
            ("of its bucket", {**ours, **account}, True),
            ("of another account's", {**ours, "aws:SourceAccount": "111122223333"}, False),
            ("of another bucket", {**sound, **account, "aws:SourceArn": "arn:aws:s3:::somewhere"}, False),
        ):
            target = f"{logs}/{word.lower()}/x"
            request = Request("s3:PutObject", target, "logging.s3.amazonaws.com", context)
            yield Expectation(f"logs of {word}: {name}", allowed, request, resource=[policy])
    group = f"arn:aws:logs:us-east-1:{LocalCloud.account}:log-group:"
    for name, where, allowed in (("its own groups", ARCHITECTURE, True), ("no other", "somebody", False)):
        context = {"kms:EncryptionContext:aws:logs:arn": f"{group}{where}-x"}
        request = Request(
            "kms:Decrypt", "arn:aws:kms:us-east-1:000000000000:key/x", "logs.us-east-1.amazonaws.com", context
        )
        yield Expectation(f"operations key: {name}", allowed, request, resource=[operations_key], required=True)


def _named(documents: Mapping[str, Any], begin: str) -> str:
    (name,) = [name for name in documents if name.startswith(begin)]
    return name
