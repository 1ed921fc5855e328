"""Trails: which requests they tell of, what a record says, where it goes, and who may stop that."""

from __future__ import annotations

import datetime
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator.trails import Request, kind, parameters_of, record, selects
from tests.local.emulated import (
    client_as,
    eventually,
    last_sequence,
    make_queue,
    make_role,
    messages,
    policy,
    unique,
)

ROLE = "arn:aws:sts::000000000000:assumed-role/worker/session"
INVOKED = Request(
    service="sagemaker",
    operation="InvokeEndpoint",
    principal=ROLE,
    access_key="ASIA1",
    account="000000000000",
    region="us-east-1",
    resource="arn:aws:sagemaker:us-east-1:000000000000:endpoint/prices",
    parameters={"EndpointName": "prices", "Body": "4,2"},
    when=datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.timezone.utc),
)
CREATED = replace(INVOKED, operation="CreateTrainingJob", resource="*", parameters={"TrainingJobName": "one"})


# --- Without a cloud -------------------------------------------------------------------------------------------------


def test_a_record_says_who_did_what_and_nothing_that_is_data() -> None:
    # Given a request of a role's session, When it is told
    told = record(INVOKED)
    # Then it says who by the role, what on which resource, and hides the body
    assert told["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == "arn:aws:iam::000000000000:role/worker"
    assert (told["eventSource"], told["eventName"]) == ("sagemaker.amazonaws.com", "InvokeEndpoint")
    assert told["resources"][0]["ARN"].endswith("endpoint/prices")
    assert told["requestParameters"] == {"endpointName": "prices", "body": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    assert (told["eventCategory"], told["managementEvent"]) == ("Data", False)


def test_a_refusal_is_told_with_its_code() -> None:
    assert record(replace(CREATED, error="AccessDeniedException"))["errorCode"] == "AccessDeniedException"


def field(name: str, **test: list[str]) -> dict[str, Any]:
    return {"Field": name, **test}


MANAGEMENT = {"FieldSelectors": [field("eventCategory", Equals=["Management"])]}
OF_ENDPOINTS = {
    "FieldSelectors": [
        field("eventCategory", Equals=["Data"]),
        field("resources.type", Equals=["AWS::SageMaker::Endpoint"]),
    ]
}


@pytest.mark.parametrize(
    ("selectors", "request_", "wanted"),
    [
        ([], CREATED, True),
        ([], INVOKED, False),
        ([MANAGEMENT], CREATED, True),
        ([MANAGEMENT], INVOKED, False),
        ([MANAGEMENT, OF_ENDPOINTS], INVOKED, True),
        ([{"FieldSelectors": [field("resources.ARN", StartsWith=["arn:aws:sagemaker:us-east-1"])]}], INVOKED, True),
        ([{"FieldSelectors": [field("resources.ARN", NotEndsWith=["/prices"])]}], INVOKED, False),
        ([{"FieldSelectors": [field("readOnly", Equals=["true"])]}], CREATED, False),
        ([{"ReadWriteType": "ReadOnly"}], CREATED, False),
        ([{"IncludeManagementEvents": False}], CREATED, False),
        ([{"ExcludeManagementEventSources": ["sagemaker.amazonaws.com"]}], CREATED, False),
        (
            [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}],
            replace(INVOKED, service="s3", operation="GetObject", resource="arn:aws:s3:::mine/a"),
            True,
        ),
        (
            [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::other/"]}]}],
            replace(INVOKED, service="s3", operation="GetObject", resource="arn:aws:s3:::mine/a"),
            False,
        ),
    ],
)
def test_a_trail_logs_what_its_selectors_want(selectors: list[dict[str, Any]], request_: Request, wanted: bool) -> None:
    assert selects(selectors, record(request_)) is wanted


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("s3", "GetObject", ("Data", "AWS::S3::Object")),
        ("s3", "CreateBucket", ("Management", "")),
        ("lambda", "Invoke", ("Data", "AWS::Lambda::Function")),
        ("sagemaker", "CreateEndpoint", ("Management", "")),
        ("kms", "Decrypt", ("Management", "")),
    ],
)
def test_what_a_resource_holds_is_told_by_data_events(service: str, operation: str, expected: tuple[str, str]) -> None:
    assert kind(replace(INVOKED, service=service, operation=operation)) == expected


def test_parameters_are_read_from_json_forms_and_paths() -> None:
    assert parameters_of(b'{"Name": "a"}', {}, "/", "cloudtrail") == {"Name": "a"}
    assert parameters_of(b"Action=PutRolePolicy&Version=1&RoleName=r", {}, "/", "iam") == {"RoleName": "r"}
    assert parameters_of(b"", {}, "/bucket/a%20b", "s3") == {"bucketName": "bucket", "key": "a b"}
    assert parameters_of(b"{", {}, "/", "cloudtrail") == {}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/endpoints/prices/invocations", {"endpointName": "prices"}),
        ("/2015-03-31/functions/prices/invocations", {"functionName": "prices"}),
    ],
)
def test_what_is_asked_of_a_model_or_a_function_is_not_told(path: str, told: dict[str, str]) -> None:
    assert parameters_of(b'{"card": "4000"}', {}, path, "sagemaker") == told


# --- On a cloud ------------------------------------------------------------------------------------------------------


@dataclass
class Trail:
    """A trail that logs management events and data events of objects, and its bucket."""

    cloud: LocalCloud
    name: str
    bucket: str
    arn: str

    def records(self) -> list[dict[str, Any]]:
        """All that was delivered so far."""
        s3 = self.cloud.client("s3")
        found = []
        for one in s3.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            body = s3.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read()
            assert f"AWSLogs/{self.cloud.account}/CloudTrail/{self.cloud.region}/" in one["Key"]
            found += json.loads(gzip.decompress(body))["Records"]
        return found

    def told(self, event: str, **identity: str) -> list[dict[str, Any]]:
        """Records of an event, once there are some."""

        def look() -> list[dict[str, Any]]:
            self.cloud.control.clock_advance(1)
            return [one for one in self.records() if one["eventName"] == event]

        return eventually(look)


def letting_in(bucket: str, trail_arn: str) -> str:
    source = {"StringEquals": {"aws:SourceArn": trail_arn}}
    who = {"Service": "cloudtrail.amazonaws.com"}
    return policy(
        {"Principal": who, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{bucket}", "Condition": source},
        {"Principal": who, "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*", "Condition": source},
    )


@pytest.fixture
def trail(cloud: LocalCloud) -> Iterator[Trail]:
    name, bucket = unique("trail"), unique("archive")
    arn = f"arn:aws:cloudtrail:{cloud.region}:{cloud.account}:trail/{name}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=letting_in(bucket, arn))
    trails = cloud.client("cloudtrail")
    trails.create_trail(Name=name, S3BucketName=bucket)
    of_objects = {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "NotStartsWith": [f"arn:aws:s3:::{bucket}/"]},
        ]
    }
    trails.put_event_selectors(TrailName=name, AdvancedEventSelectors=[MANAGEMENT, of_objects])
    trails.start_logging(Name=name)
    yield Trail(cloud, name, bucket, arn)
    trails.delete_trail(Name=name)


def test_who_read_an_object_and_who_was_refused_is_in_the_archive(cloud: LocalCloud, trail: Trail) -> None:
    # Given a bucket, a role that may read one object, and one that it may not
    s3, bucket = cloud.client("s3"), unique("data")
    s3.create_bucket(Bucket=bucket)
    for key in ("open", "shut"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    role = make_role(cloud, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open"})
    theirs = client_as(cloud, role, "s3")
    # When it reads both
    theirs.get_object(Bucket=bucket, Key="open")
    with pytest.raises(ClientError):
        theirs.get_object(Bucket=bucket, Key="shut")
    # Then the archive says so
    told = eventually(lambda: [one for one in trail.told("GetObject") if one.get("errorCode")] and trail.records())
    reads = [one for one in told if one["eventName"] == "GetObject"]
    by_key = {one["requestParameters"]["key"]: one for one in reads if one["requestParameters"]["bucketName"] == bucket}
    assert by_key["open"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == role
    assert "errorCode" not in by_key["open"]
    assert by_key["shut"]["errorCode"] == "AccessDenied"
    # Then a management event can be looked up
    events = cloud.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateRole"}]
    )["Events"]
    assert any(role.rpartition("/")[2] in one["CloudTrailEvent"] for one in events)


def test_a_change_is_an_event_and_a_trail_that_is_stopped_keeps_no_more_records(
    cloud: LocalCloud, trail: Trail
) -> None:
    # Given a rule on the deletion of keys
    events, kms = cloud.client("events"), cloud.client("kms")
    url, queue = make_queue(cloud)
    rule = unique("rule")
    pattern = {
        "source": ["aws.kms"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"eventName": ["ScheduleKeyDeletion"]},
    }
    arn = events.put_rule(Name=rule, EventPattern=json.dumps(pattern))["RuleArn"]
    allow = {
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
    }
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue}])
    # When a key is to be deleted, Then the rule hears of it
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    (message,) = eventually(lambda: messages(cloud, url))
    cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert json.loads(message["Body"])["detail"]["requestParameters"]["keyId"] == key
    # When the trail is stopped, Then that is in its archive, and what comes after is not
    cloud.client("cloudtrail").stop_logging(Name=trail.name)
    late = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=late, PendingWindowInDays=7)
    keys = {one["requestParameters"]["keyId"] for one in trail.told("ScheduleKeyDeletion")}
    assert key in keys
    assert late not in keys
    events.remove_targets(Rule=rule, Ids=["queue"])
    events.delete_rule(Name=rule)


@pytest.mark.parametrize("action", ["s3:GetBucketAcl", "s3:PutObject"])
def test_without_a_permission_of_the_bucket_nothing_is_delivered_until_it_is_back(
    cloud: LocalCloud, trail: Trail, action: str
) -> None:
    # Given a trail that has delivered
    iam, s3 = cloud.client("iam"), cloud.client("s3")
    status = cloud.client("cloudtrail").get_trail_status
    iam.create_role(RoleName=unique("early"), AssumeRolePolicyDocument=policy())
    eventually(lambda: status(Name=trail.name).get("LatestDeliveryTime"))
    # When the bucket's policy loses one permission
    whole = json.loads(letting_in(trail.bucket, trail.arn))
    left = [one for one in whole["Statement"] if one["Action"] != action]
    s3.put_bucket_policy(Bucket=trail.bucket, Policy=json.dumps({**whole, "Statement": left}))
    before, late = last_sequence(cloud), unique("late")
    iam.create_role(RoleName=late, AssumeRolePolicyDocument=policy())
    # Then the status says so, and the decision is on record
    eventually(lambda: status(Name=trail.name).get("LatestDeliveryError") == "AccessDenied")
    decisions = [one for one in cloud.control.decisions(since=before) if one["action"] == action]
    assert any(not one["allowed"] and trail.bucket in one["resource"] for one in decisions)
    # When it is back, Then what waited is delivered
    s3.put_bucket_policy(Bucket=trail.bucket, Policy=json.dumps(whole))
    iam.create_role(RoleName=unique("again"), AssumeRolePolicyDocument=policy())
    eventually(lambda: late in {(one["requestParameters"] or {}).get("roleName") for one in trail.told("CreateRole")})


def test_a_trail_of_a_template_whose_bucket_does_not_let_it_in_is_not_made(cloud: LocalCloud) -> None:
    # Given a template with a trail and a bucket without a policy, When it is deployed, Then it fails and says why
    bucket, stack = unique("closed"), unique("stack")
    cloud.client("s3").create_bucket(Bucket=bucket)
    resources = {"Trail": {"Type": "AWS::CloudTrail::Trail", "Properties": {"S3BucketName": bucket, "IsLogging": True}}}
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources}))

    def reasons() -> list[str]:
        events = formation.describe_stack_events(StackName=stack)["StackEvents"]
        return [why for one in events if "AccessDenied" in (why := str(one.get("ResourceStatusReason")))]

    assert eventually(reasons)
    assert not [
        one for one in cloud.client("cloudtrail").describe_trails()["trailList"] if one["S3BucketName"] == bucket
    ]
