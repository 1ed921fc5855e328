"""The stack of image-labeling: what would lose an image, leak one, or outrun Rekognition if it were otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stacks.policy.template import Template, statements, text
from stacks.vision.image_labeling import IMAGE_FORMATS
from tests.stacks.conftest import image_labeling

QUEUES = ("Queue", "DeadLetters")


def only(template: Template, resource_type: str) -> dict[str, Any]:
    """The properties of the one resource of this type."""
    found: list[dict[str, Any]] = [resource["Properties"] for _, resource in template.resources(resource_type)]
    assert len(found) == 1
    return found[0]


def named(template: Template, resource_type: str, beginning: str) -> tuple[str, dict[str, Any]]:
    """The resource of this type whose logical id is this name and CDK's eight characters of hash."""
    found = [
        (logical_id, resource["Properties"])
        for logical_id, resource in template.resources(resource_type)
        if re.fullmatch(rf"{beginning}[0-9A-F]{{8}}", logical_id)
    ]
    assert len(found) == 1, f"{len(found)} of {resource_type} are called {beginning}"
    return found[0]


def grants(template: Template, role: str) -> set[tuple[str, str]]:
    """Pairs of action and resource that the role of a construct holds."""
    role_id, _ = named(template, "AWS::IAM::Role", f"{role}Role")
    policies = {
        logical_id
        for logical_id, policy in template.resources("AWS::IAM::Policy")
        if {"Ref": role_id} in policy["Properties"]["Roles"]
    }
    return {
        (action, re.sub(r"\$\{(\w+?)[0-9A-F]{8}(\.Arn)?\}", r"<\1>", target))
        for statement in statements(template)
        if statement.logical_id in policies
        for action in statement.actions
        for target in statement.targets
    }


def test_the_worker_may_do_what_it_does_and_nothing_else(default: Template) -> None:
    # Given the default stack
    # When the grants of the worker's role are read
    held = grants(default, "LabelImage")
    # Then they are these, each on the resource that it is for
    assert held == {
        ("rekognition:DetectLabels", "*"),
        ("s3:GetObjectVersion", "<Images>/uploads/*"),
        ("dynamodb:PutItem", "<Results>"),
        ("dynamodb:PutItem", "<Idempotency>"),
        ("dynamodb:DeleteItem", "<Idempotency>"),
        ("sqs:ReceiveMessage", "<Queue>"),
        ("sqs:DeleteMessage", "<Queue>"),
        ("sqs:GetQueueAttributes", "<Queue>"),
        ("logs:CreateLogStream", "<LabelImageLogs>"),
        ("logs:PutLogEvents", "<LabelImageLogs>"),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
    }
    # And no managed policy widens them
    for _, role in default.resources("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role["Properties"]


def test_an_own_key_adds_one_grant_on_that_key_alone(assemblies: dict[str, Path]) -> None:
    # Given the stack with and without a key of its own
    without, with_key = (grants(image_labeling(assemblies[v]), "LabelImage") for v in ("aws", "own key"))
    # Then the worker may decrypt with it, and that is the whole difference
    assert with_key - without == {("kms:Decrypt", "<Key>")}
    assert without <= with_key


def test_every_image_format_under_the_prefix_reaches_the_queue(default: Template) -> None:
    # Given the rules of the bucket
    rules = [rule["Properties"] for _, rule in default.resources("AWS::Events::Rule")]
    queue, _ = named(default, "AWS::SQS::Queue", "Queue")
    dead_letters, _ = named(default, "AWS::SQS::Queue", "DeadLetters")
    bucket, _ = named(default, "AWS::S3::Bucket", "Images")
    # When their patterns are put together
    matched = {matcher["wildcard"] for rule in rules for matcher in rule["EventPattern"]["detail"]["object"]["key"]}
    # Then every ending is there, in both cases, under the prefix
    assert matched == {
        f"uploads/*{case(ending)}"
        for endings in IMAGE_FORMATS.values()
        for ending in endings
        for case in (str, str.upper)
    }
    for rule in rules:
        assert rule["EventPattern"]["source"] == ["aws.s3"]
        assert rule["EventPattern"]["detail-type"] == ["Object Created"]
        assert rule["EventPattern"]["detail"]["bucket"]["name"] == [{"Ref": bucket}]
        # And what cannot be delivered is kept, not dropped
        (target,) = rule["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [dead_letters, "Arn"]}}
        # for as long and as often as EventBridge tries at most: a day
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def test_no_rule_has_more_wildcards_than_eventbridge_takes(template: Template) -> None:
    # Given that EventBridge refuses a pattern in which too many wildcards can be under way at once: four with two
    # places each were refused, three taken (see `ImageLabeling._rules`)
    for _, rule in template.resources("AWS::Events::Rule"):
        wildcards = rule["Properties"]["EventPattern"]["detail"]["object"]["key"]
        # Then at most four are under way after the prefix, with one place each
        assert 1 <= len(wildcards) <= 4
        assert all(matcher["wildcard"].count("*") == 1 for matcher in wildcards)


def test_the_bucket_is_private_encrypted_versioned_and_tells_of_every_object(template: Template) -> None:
    # Given the bucket
    bucket = only(template, "AWS::S3::Bucket")
    # Then nothing of it is public, every version is kept for longer than a failed message, and events go out
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    _, dead_letters = named(template, "AWS::SQS::Queue", "DeadLetters")
    kept_days = rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
    assert kept_days * 86_400 > dead_letters["MessageRetentionPeriod"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_nothing_is_spoken_to_in_the_clear(template: Template) -> None:
    # Given the policies of bucket, queues and topic
    guarded = {
        statement.targets[0]
        for statement in statements(template)
        if statement.body["Effect"] == "Deny"
        and statement.body.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    }
    # Then each of them refuses plain HTTP
    holders = [i for i, _ in template.resources("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic")]
    assert len(holders) == 4
    for logical_id in holders:
        assert {f"${{{logical_id}}}", f"${{{logical_id}.Arn}}"} & guarded, f"{logical_id} is not guarded"


def test_a_failed_image_is_tried_again_and_then_kept_for_two_weeks(template: Template) -> None:
    # Given queue, dead-letter queue, function and what joins them
    _, queue = named(template, "AWS::SQS::Queue", "Queue")
    dead_letters_id, dead_letters = named(template, "AWS::SQS::Queue", "DeadLetters")
    function_id, function = named(template, "AWS::Lambda::Function", "LabelImageFunction")
    poller = only(template, "AWS::Lambda::EventSourceMapping")
    # Then a message hides for six times as long as the function may run
    assert queue["VisibilityTimeout"] == 6 * function["Timeout"]
    # And moves on after so many attempts, to a queue that keeps it longer than this one would
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters_id, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert dead_letters["MessageRetentionPeriod"] == 14 * 86_400 > queue["MessageRetentionPeriod"]
    # And one bad image of a batch fails alone
    assert poller["FunctionName"] == {"Ref": function_id}
    assert poller["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # And no more than this many workers call Rekognition
    assert poller["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_tables_are_on_demand_recoverable_encrypted_and_deletable(template: Template) -> None:
    # Given the two tables
    tables = dict(template.resources("AWS::DynamoDB::Table"))
    assert len(tables) == 2
    for table in tables.values():
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert properties["SSESpecification"]["SSEEnabled"] is True
        assert table["DeletionPolicy"] == "Delete"
    # Then their keys are those that the handler writes
    _, results = named(template, "AWS::DynamoDB::Table", "Results")
    assert [key["AttributeName"] for key in results["KeySchema"]] == ["image", "version"]
    _, idempotency = named(template, "AWS::DynamoDB::Table", "Idempotency")
    assert [key["AttributeName"] for key in idempotency["KeySchema"]] == ["id"]
    assert idempotency["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}


def test_the_function_runs_traced_on_arm_with_logs_that_expire(template: Template) -> None:
    _, function = named(template, "AWS::Lambda::Function", "LabelImageFunction")
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert function["Environment"]["Variables"]["UPLOAD_PREFIX"] == "uploads/"
    assert {one["Properties"]["RetentionInDays"] for _, one in template.resources("AWS::Logs::LogGroup")} <= {7, 30}


def test_each_alarm_watches_its_own_resource_and_tells_the_topic_both_ways(template: Template) -> None:
    # Given the alarms
    topic, _ = named(template, "AWS::SNS::Topic", "Alarms")
    function, _ = named(template, "AWS::Lambda::Function", "LabelImageFunction")
    queue, _ = named(template, "AWS::SQS::Queue", "Queue")
    dead_letters, _ = named(template, "AWS::SQS::Queue", "DeadLetters")
    watched = {}
    for _, alarm in template.resources("AWS::CloudWatch::Alarm"):
        properties = alarm["Properties"]
        (dimension,) = properties["Dimensions"]
        watched[properties["MetricName"]] = text(dimension["Value"])
        # Then each speaks when it is raised and when it clears, and silence is no alarm
        assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": topic}]
        assert properties["TreatMissingData"] == "notBreaching"
    # And looks at one resource of this stack
    assert watched == {
        "ApproximateNumberOfMessagesVisible": f"${{{dead_letters}.QueueName}}",
        "ApproximateAgeOfOldestMessage": f"${{{queue}.QueueName}}",
        "Errors": f"${{{function}}}",
        "Throttles": f"${{{function}}}",
    }


def test_services_act_only_for_this_stack(template: Template) -> None:
    # Given what the queues and the topic allow to AWS services
    allowed = {
        (statement.principals[0][1], *statement.actions): statement.body["Condition"]
        for statement in statements(template)
        if statement.kind == "resource" and statement.allows and statement.resource_type != "AWS::KMS::Key"
    }
    # Then EventBridge may send for these rules, and CloudWatch may publish for these alarms
    rules = {f"${{{logical_id}.Arn}}" for logical_id, _ in template.resources("AWS::Events::Rule")}
    alarms = {f"${{{logical_id}.Arn}}" for logical_id, _ in template.resources("AWS::CloudWatch::Alarm")}
    sources = {
        who: {text(arn) for arn in condition["ArnEquals"]["aws:SourceArn"]} for who, condition in allowed.items()
    }
    assert sources == {
        ("events.amazonaws.com", "sqs:SendMessage"): rules,
        ("cloudwatch.amazonaws.com", "sns:Publish"): alarms,
    }


def test_an_own_key_encrypts_all_that_holds_data(assemblies: dict[str, Path]) -> None:
    # Given the stack with a key of its own
    template = image_labeling(assemblies["own key"])
    key, properties = named(template, "AWS::KMS::Key", "Key")
    arn = {"Fn::GetAtt": [key, "Arn"]}
    # Then the key rotates
    assert properties["EnableKeyRotation"] is True
    # And bucket, queues, topic, tables and logs all name it
    bucket = only(template, "AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert bucket["ServerSideEncryptionByDefault"] == {"KMSMasterKeyID": arn, "SSEAlgorithm": "aws:kms"}
    holders = [
        *((r["Properties"]["KmsMasterKeyId"]) for _, r in template.resources("AWS::SQS::Queue", "AWS::SNS::Topic")),
        *((r["Properties"]["KmsKeyId"]) for _, r in template.resources("AWS::Logs::LogGroup")),
        *(
            (r["Properties"]["SSESpecification"]["KMSMasterKeyId"])
            for _, r in template.resources("AWS::DynamoDB::Table")
        ),
    ]
    assert len(holders) == 7
    assert all(holder == arn for holder in holders)
    # And each service may use it for this stack's resources alone
    services = {}
    for statement in statements(template):
        if statement.resource_type == "AWS::KMS::Key" and statement.principals[0][0] == "Service":
            (condition,) = statement.body["Condition"]["ArnLike"].items()
            services[statement.principals[0][1]] = (condition[0], text(condition[1]))
    here = "${AWS::Region}:${AWS::AccountId}"
    assert services == {
        "events.amazonaws.com": (
            "kms:EncryptionContext:aws:sqs:arn",
            f"arn:${{AWS::Partition}}:sqs:{here}:${{AWS::StackName}}-*",
        ),
        "cloudwatch.amazonaws.com": (
            "aws:SourceArn",
            f"arn:${{AWS::Partition}}:cloudwatch:{here}:alarm:${{AWS::StackName}}-*",
        ),
        "logs.${AWS::Region}.amazonaws.com": (
            "kms:EncryptionContext:aws:logs:arn",
            f"arn:${{AWS::Partition}}:logs:{here}:log-group:${{AWS::StackName}}-*",
        ),
    }


def test_an_address_for_alarms_is_subscribed(assemblies: dict[str, Path]) -> None:
    # Given one stack with an address and one without
    subscribed = only(image_labeling(assemblies["own key"]), "AWS::SNS::Subscription")
    # Then the address is subscribed where it was given
    assert (subscribed["Protocol"], subscribed["Endpoint"]) == ("email", "someone@example.com")
    assert not list(image_labeling(assemblies["aws"]).resources("AWS::SNS::Subscription"))


def test_the_same_stack_goes_to_aws_and_to_this_machine(assemblies: dict[str, Path]) -> None:
    # Given the stack for AWS and the one for the local cloud
    def without_code(template: Template) -> Any:
        for _, function in template.resources("AWS::Lambda::Function"):
            del function["Properties"]["Code"]
        return template.body

    aws, local = image_labeling(assemblies["aws"]), image_labeling(assemblies["local"])
    assert aws.body != local.body
    # When the functions' code is left out (compiled dependencies differ from machine to machine)
    # Then they are the same
    assert without_code(aws) == without_code(local)


def test_no_resource_has_a_fixed_name(template: Template) -> None:
    # Given that copies of a stack must live side by side
    names = re.compile(
        r'"(BucketName|QueueName|TopicName|TableName|FunctionName|RoleName|LogGroupName|AlarmName|DashboardName|Name)"'
    )
    for logical_id, resource in template.resources():
        if resource["Type"] in {"AWS::Lambda::EventSourceMapping", "Custom::EmptiedBucket"}:
            continue
        properties = {name: value for name, value in resource.get("Properties", {}).items() if isinstance(value, str)}
        assert not names.search(json.dumps(properties)), logical_id


@pytest.mark.parametrize(
    "output",
    [
        "BucketName",
        "UploadPrefix",
        "QueueUrl",
        "DeadLetterQueueUrl",
        "FunctionName",
        "FunctionRoleName",
        "ResultsTableName",
        "IdempotencyTableName",
        "AlarmTopicArn",
        "DashboardName",
        "RuleName",
        "LogGroupName",
    ],
)
def test_the_stack_tells_where_its_parts_are(default: Template, output: str) -> None:
    assert default.body["Outputs"][output]["Value"]
