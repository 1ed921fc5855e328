"""What the local cloud adds to S3: condition keys, the name of what a key encrypts, old signatures, access logs."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypercorn.asyncio.tcp_server import TCPServer

from local.cloud import LocalCloud
from local.emulator.seams import buckets
from tests.local.emulated import client_as, decided, eventually, make_role, policy, unique

EVERY_OBJECT = {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::*/*"}


def test_the_hooks_are_where_they_were() -> None:
    # Given the server, When its connection is looked at, Then it still runs by the method that is wrapped
    assert callable(TCPServer.run)
    assert "ssl_object" in TCPServer.run.__code__.co_names or "get_extra_info" in TCPServer.run.__code__.co_names


def make_bucket(cloud: LocalCloud, *, key: str = "", bucket_key: bool = False) -> str:
    s3, name = cloud.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=name)
    if key:
        applied = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rule = {"ApplyServerSideEncryptionByDefault": applied, "BucketKeyEnabled": bucket_key}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return name


def refuse(cloud: LocalCloud, bucket: str, condition: dict[str, Any]) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": condition,
    }
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy(statement))


@pytest.mark.parametrize(("version", "status"), [(ssl.TLSVersion.TLSv1_2, 403), (ssl.TLSVersion.TLSv1_3, 200)])
def test_a_policy_sees_which_tls_a_connection_speaks(cloud: LocalCloud, version: ssl.TLSVersion, status: int) -> None:
    # Given a bucket that refuses TLS below 1.3, and a link to an object in it
    bucket = make_bucket(cloud)
    cloud.client("s3").put_object(Bucket=bucket, Key="a", Body=b"x")
    refuse(cloud, bucket, {"NumericLessThan": {"s3:TlsVersion": "1.3"}})
    s3 = client_as(cloud, make_role(cloud, EVERY_OBJECT), "s3", signature_version="s3v4")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"})
    # When a client that speaks exactly one version uses it, a header beside that would like to be another
    spoken = ssl.create_default_context(cafile=str(cloud.ca_bundle))
    spoken.minimum_version = spoken.maximum_version = version
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=spoken))
    request = urllib.request.Request(url, headers={"x-amz-tls-version": "TLSv1.3"})
    # Then the connection decides
    try:
        answered = opener.open(request, timeout=10).status
    except urllib.error.HTTPError as error:
        answered = error.code
    assert answered == status


def test_a_policy_sees_how_a_request_was_signed_and_with_which_key_it_writes(cloud: LocalCloud) -> None:
    # Given a bucket that refuses links, then one key, then signatures older than a minute
    bucket, role = make_bucket(cloud), make_role(cloud, EVERY_OBJECT)
    s3 = client_as(cloud, role, "s3", signature_version="s3v4")
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"})
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(cloud.ca_bundle))),
    )
    refuse(cloud, bucket, {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}})
    # When a link is used, Then it is refused, and a signed header is not
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opener.open(url, timeout=10)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    # When the key is named, Then the write is refused; with the bucket's own encryption it is not
    refuse(cloud, bucket, {"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}})
    with pytest.raises(ClientError, match="explicit deny"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.put_object(Bucket=bucket, Key="b", Body=b"")
    # When only fresh signatures are let in, Then this one is: it is some milliseconds old, not minutes
    refuse(cloud, bucket, {"NumericGreaterThan": {"s3:signatureAge": "60000"}})
    assert opener.open(url, timeout=10).status == 200
    refuse(cloud, bucket, {"NumericLessThan": {"s3:signatureAge": "60000"}})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opener.open(url, timeout=10)


@pytest.mark.parametrize("bucket_key", [True, False], ids=["bucket key", "none"])
def test_s3_names_the_bucket_or_the_object_to_the_key(cloud: LocalCloud, *, bucket_key: bool) -> None:
    # Given a key that may be used for one bucket as a whole only
    kms, role = cloud.client("kms"), make_role(cloud, EVERY_OBJECT)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    bucket = make_bucket(cloud, key=key, bucket_key=bucket_key)
    use = {
        "Principal": {"AWS": role},
        "Action": ["kms:GenerateDataKey"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}"}},
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(use))
    # When an object is written, Then the key opens if the bucket has a bucket key, and not for the object by itself
    s3 = client_as(cloud, role, "s3")
    if bucket_key:
        assert s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")["SSEKMSKeyId"] == key
    else:
        with pytest.raises(ClientError, match="kms:GenerateDataKey"):
            s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")


def test_who_asks_for_kms_and_names_no_key_gets_the_key_of_s3(cloud: LocalCloud) -> None:
    # Given a bucket with a key of its own by default, and a role that may use no key
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    bucket = make_bucket(cloud, key=key)
    s3 = client_as(cloud, make_role(cloud, EVERY_OBJECT), "s3")
    # When it writes without a word, Then the bucket's key counts, and refuses
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    # But when it asks for KMS and names no key, Then that is S3's own, which needs no grant
    written = s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms")
    assert written["ServerSideEncryption"] == "aws:kms"
    assert key not in str(written)
    read = s3.get_object(Bucket=bucket, Key="a")
    assert (read["Body"].read(), read["ServerSideEncryption"]) == (b"x", "aws:kms")
    # And a key of the customer's beside one that is named still does not go
    with pytest.raises(ClientError, match="incompatible"):
        s3.put_object(
            Bucket=bucket,
            Key="a",
            Body=b"x",
            ServerSideEncryption="aws:kms",
            SSECustomerAlgorithm="AES256",
            SSECustomerKey="0" * 32,
        )


def test_a_link_of_version_2_opens_nothing_under_a_key(cloud: LocalCloud) -> None:
    # Given an object under a key of KMS, and one under S3's own, and links that were signed by version 2
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = cloud.client("s3", signature_version="s3")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(cloud.ca_bundle))),
    )
    links = []
    for bucket in (make_bucket(cloud, key=key), make_bucket(cloud)):
        cloud.client("s3").put_object(Bucket=bucket, Key="a", Body=b"x")
        links.append(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"}))
        assert "AWSAccessKeyId=" in links[-1]
    # When they are used, Then the one is refused, with the reason, and the other opens
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(links[0], timeout=10)
    assert caught.value.code == 400
    assert b"require AWS Signature Version 4" in caught.value.read()
    assert opener.open(links[1], timeout=10).read() == b"x"


def test_access_logs_come_only_where_the_destination_lets_them_in(cloud: LocalCloud) -> None:
    # Given a bucket whose requests are logged into another, which lets S3 in for it
    s3, bucket, logs = cloud.client("s3"), make_bucket(cloud), make_bucket(cloud)
    s3.put_bucket_logging(
        Bucket=bucket,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": "of-it/"}},
    )
    let_in = {
        "Principal": {"Service": buckets.LOGGING_SERVICE},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{logs}/of-it/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    s3.put_bucket_policy(Bucket=logs, Policy=policy(let_in))

    def delivered() -> list[str]:
        return [one["Key"] for one in s3.list_objects_v2(Bucket=logs).get("Contents", [])]

    # When it is asked for something, Then that is told there
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    (key,) = eventually(delivered)
    line = s3.get_object(Bucket=logs, Key=key)["Body"].read().decode()
    assert f" {bucket} [" in line
    assert ' REST.PUT.OBJECT a%2520b "PUT ' in line
    # When the destination does not let S3 in any more, Then nothing comes, and the refusal is on record
    s3.delete_bucket_policy(Bucket=logs)
    s3.get_object(Bucket=bucket, Key="a b")
    eventually(lambda: any(not one["allowed"] for one in decided(cloud, "s3:PutObject", f"arn:aws:s3:::{logs}/")))
    assert delivered() == [key]


def test_an_access_log_says_that_a_request_was_refused(cloud: LocalCloud) -> None:
    # Given what S3 answered, When a line is asked for its error, Then it is S3's own code
    body = b"<Error><Code>AccessDenied</Code></Error>"
    assert buckets._error_code(403, body) == "AccessDenied"
    assert buckets._error_code(200, b"") == "-"
    # and signatures are not for a log's readers
    assert buckets._hidden("X-Amz-Signature", ["abc"]) == "XXXXX"
