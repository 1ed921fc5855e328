"""The custom resource that empties a bucket: what it deletes, what it leaves alone, and that it always answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.shared.empty_bucket.handler import NotEmptyError, empty, handler

BUCKET = "images"
TAG = "emptied-on-delete"


class Context:
    """What the function uses of a Lambda context."""

    def __init__(self, seconds: float = 900) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> float:
        return self.seconds * 1000


class CloudFormation:
    """Takes the answers that are PUT to its address."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        answers = self.answers

        class Receiver(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                answers.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Receiver)

    def event(self, request_type: str) -> dict[str, Any]:
        return {
            "RequestType": request_type,
            "ResponseURL": f"http://127.0.0.1:{self.server.server_port}/answer",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "EmptiedImages",
            "ResourceProperties": {"BucketName": BUCKET, "ServiceToken": "arn"},
        }


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 with one versioned bucket that consents to be emptied."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CONSENT_TAG", TAG)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": TAG, "Value": "true"}]})
        yield client


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    """Something that answers are sent to."""
    listening = CloudFormation()
    thread = threading.Thread(target=listening.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()
    thread.join()


def left(client: Any) -> int:
    """How many versions and delete markers there are."""
    page = client.list_object_versions(Bucket=BUCKET)
    return len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))


def test_a_delete_removes_every_version_and_marker(s3: Any, cloudformation: CloudFormation) -> None:
    # Given an object with two versions, one that was deleted, and one from before versioning
    for _ in range(2):
        s3.put_object(Bucket=BUCKET, Key="uploads/ä b+c.jpg", Body=b"x")
    s3.put_object(Bucket=BUCKET, Key="uploads/gone.jpg", Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="uploads/gone.jpg")
    assert left(s3) == 4
    # When CloudFormation deletes the custom resource
    handler(cloudformation.event("Delete"), Context())
    # Then nothing is left, and the bucket can be deleted
    assert left(s3) == 0
    s3.delete_bucket(Bucket=BUCKET)
    # And CloudFormation was told
    assert cloudformation.answers == [
        {
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "EmptiedImages",
            "PhysicalResourceId": BUCKET,
            "Status": "SUCCESS",
        }
    ]


def test_it_goes_on_until_nothing_is_listed_any_more() -> None:
    # Given a bucket of more than one page, into which something arrives meanwhile
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_response("get_bucket_tagging", {"TagSet": [{"Key": TAG, "Value": "true"}]})
        for key in ("first", "arrived"):
            stub.add_response("list_object_versions", {"Versions": [{"Key": key, "VersionId": "1"}]})
            objects = [{"Key": key, "VersionId": "1"}]
            stub.add_response("delete_objects", {}, {"Bucket": BUCKET, "Delete": {"Objects": objects, "Quiet": True}})
        stub.add_response("list_object_versions", {})
        # When the bucket is emptied
        # Then it is listed once more after the last deletion
        assert empty(client, BUCKET, TAG, Context()) == 2
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_nothing_is_deleted_while_the_stack_lives(s3: Any, cloudformation: CloudFormation, request_type: str) -> None:
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"x")
    handler(cloudformation.event(request_type), Context())
    assert left(s3) == 1
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


@pytest.mark.parametrize("tags", [None, [{"Key": "other", "Value": "true"}], [{"Key": TAG, "Value": "false"}]])
def test_a_bucket_that_does_not_consent_keeps_its_objects(
    s3: Any, cloudformation: CloudFormation, tags: list[dict[str, str]] | None
) -> None:
    # Given a bucket whose tag is gone: the block was taken out of a stack that goes on
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"x")
    s3.delete_bucket_tagging(Bucket=BUCKET)
    if tags:
        s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})
    # When the custom resource is deleted
    handler(cloudformation.event("Delete"), Context())
    # Then the objects stay, and the update of the stack goes on
    assert left(s3) == 1
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


def test_a_bucket_that_is_gone_is_empty(s3: Any, cloudformation: CloudFormation) -> None:
    s3.delete_bucket(Bucket=BUCKET)
    handler(cloudformation.event("Delete"), Context())
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


def test_a_failure_is_told_and_not_hidden(s3: Any, cloudformation: CloudFormation) -> None:
    # Given a full bucket and no time
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"x")
    # When the custom resource is deleted
    handler(cloudformation.event("Delete"), Context(seconds=10))
    # Then CloudFormation hears why, instead of waiting for its time-out
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == ("NotEmptyError: 0 versions deleted, more remain: delete the stack once more to go on")


def test_versions_that_s3_keeps_are_not_passed_over() -> None:
    # Given an S3 that refuses one deletion (a retention, say)
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_response("get_bucket_tagging", {"TagSet": [{"Key": TAG, "Value": "true"}]})
        stub.add_response("list_object_versions", {"Versions": [{"Key": "k", "VersionId": "1"}]})
        stub.add_response("delete_objects", {"Errors": [{"Key": "k", "VersionId": "1", "Code": "AccessDenied"}]})
        # When the bucket is emptied
        # Then it does not count as empty, and does not try for ever
        with pytest.raises(NotEmptyError, match="S3 kept 1 versions, the first for the reason AccessDenied"):
            empty(client, BUCKET, TAG, Context())


def test_a_missing_right_is_not_taken_for_an_empty_bucket() -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("get_bucket_tagging", "AccessDenied")
        with pytest.raises(client.exceptions.ClientError):
            empty(client, BUCKET, TAG, Context())


def test_a_delete_answers_with_the_id_that_it_is_asked_about(s3: Any, cloudformation: CloudFormation) -> None:
    # Given a creation that never answered, to which CloudFormation gave an id of its own
    event = {**cloudformation.event("Delete"), "PhysicalResourceId": "stack-EmptiedImages-1ABC"}
    # When it is rolled back
    handler(event, Context())
    # Then the answer is about that id
    assert [answer["PhysicalResourceId"] for answer in cloudformation.answers] == ["stack-EmptiedImages-1ABC"]


def test_an_update_answers_with_the_new_bucket(s3: Any, cloudformation: CloudFormation) -> None:
    # Given an update that replaced the bucket
    event = {**cloudformation.event("Update"), "PhysicalResourceId": "the-old-bucket"}
    # When CloudFormation asks for it
    handler(event, Context())
    # Then the new id makes CloudFormation delete the old one afterwards
    assert [answer["PhysicalResourceId"] for answer in cloudformation.answers] == [BUCKET]
