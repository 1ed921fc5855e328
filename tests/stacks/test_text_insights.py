"""The stack of text-insights: what would lose a text, leak one, or outrun Comprehend if it were otherwise."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from pydantic import ValidationError

from stacks.language.text_insights import BATCH_OPERATIONS, PERSONAL_DATA_OPERATION, TextInsights, TextInsightsSettings
from stacks.policy.template import Template, read
from tests.stacks.test_image_labeling import grants, named, only


def text_insights(assembly: Path) -> Template:
    """A copy of the template in an assembly."""
    found = next(template for template in read(assembly) if template.architecture == "text-insights")
    return replace(found, body=copy.deepcopy(found.body))


def built(**settings: Any) -> Template:
    """The template with these settings."""
    stack = TextInsights(cdk.App(), "text-insights", settings=TextInsightsSettings(**settings), target="local")
    return Template("text-insights", dict(assertions.Template.from_stack(stack).to_json()))


@pytest.fixture(params=["aws", "own key"])
def template(request: pytest.FixtureRequest, assemblies: dict[str, Path]) -> Template:
    """The template with keys that AWS manages, then with one of its own."""
    return text_insights(assemblies[request.param])


def test_the_worker_may_do_what_it_does_and_nothing_else(assemblies: dict[str, Path]) -> None:
    # Given the default stack, and one with a key of its own
    held, with_key = (grants(text_insights(assemblies[variant]), "AnalyzeTexts") for variant in ("aws", "own key"))
    # When the grants of the worker's role are read
    # Then they are these, each on the resource that it is for
    assert held == {
        *((action, "*") for action in (*BATCH_OPERATIONS, PERSONAL_DATA_OPERATION)),
        ("dynamodb:PutItem", "<Results>"),
        ("sqs:ReceiveMessage", "<Queue>"),
        ("sqs:DeleteMessage", "<Queue>"),
        ("sqs:GetQueueAttributes", "<Queue>"),
        ("logs:CreateLogStream", "<AnalyzeTextsLogs>"),
        ("logs:PutLogEvents", "<AnalyzeTextsLogs>"),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
    }
    # And the key adds its use alone
    assert with_key - held == {("kms:Decrypt", "<Key>")}
    assert held <= with_key


def test_personal_data_that_is_not_looked_for_is_not_permitted() -> None:
    # Given a stack that ignores personal data
    held = grants(built(personal_data="ignored"), "AnalyzeTexts")
    # When its grants are read, Then the operation is not among them
    assert PERSONAL_DATA_OPERATION not in {action for action, _ in held}
    assert (BATCH_OPERATIONS[0], "*") in held


def test_a_message_is_tried_often_enough_and_kept(template: Template) -> None:
    # Given queue, dead-letter queue, function and poller
    _, queue = named(template, "AWS::SQS::Queue", "Queue")
    dead_id, dead = named(template, "AWS::SQS::Queue", "DeadLetters")
    _, function = named(template, "AWS::Lambda::Function", "AnalyzeTextsFunction")
    poller = only(template, "AWS::Lambda::EventSourceMapping")
    # When they are compared, Then a message outlives its attempts, and what fails goes back alone
    assert queue["VisibilityTimeout"] == 6 * function["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [dead_id, "Arn"]}
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 2
    assert dead["MessageRetentionPeriod"] == 14 * 86_400 > queue["MessageRetentionPeriod"]
    assert poller["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert poller["ScalingConfig"]["MaximumConcurrency"] == 2
    # and a batch is as large as Comprehend takes, for which Lambda wants a window
    assert poller["BatchSize"] == 25
    assert poller["MaximumBatchingWindowInSeconds"] >= 1


def test_all_that_holds_data_is_encrypted_and_goes_with_the_stack(template: Template) -> None:
    # Given the stack's table and queues
    table = only(template, "AWS::DynamoDB::Table")
    # Then they are encrypted, the table can be restored, and nothing stays behind
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    for _, queue in template.resources("AWS::SQS::Queue"):
        assert queue["Properties"].keys() & {"SqsManagedSseEnabled", "KmsMasterKeyId"}
    for logical_id, resource in template.resources():
        assert resource.get("DeletionPolicy", "Delete") == "Delete", logical_id


def test_an_own_key_is_used_by_all_and_open_to_few(assemblies: dict[str, Path]) -> None:
    # Given the stack with a key of its own
    template = text_insights(assemblies["own key"])
    key_id, key = named(template, "AWS::KMS::Key", "Key")
    arn = {"Fn::GetAtt": [key_id, "Arn"]}
    # Then everything that holds data uses it
    assert only(template, "AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"] == arn
    assert only(template, "AWS::Logs::LogGroup")["KmsKeyId"] == arn
    assert only(template, "AWS::SNS::Topic")["KmsMasterKeyId"] == arn
    assert {str(q["Properties"]["KmsMasterKeyId"]) for _, q in template.resources("AWS::SQS::Queue")} == {str(arn)}
    assert key["EnableKeyRotation"] is True
    # and beside the account only alarms and logs of this stack may
    services = [
        statement["Principal"]["Service"]
        for statement in key["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
    ]
    assert services[0] == "cloudwatch.amazonaws.com"
    assert len(services) == 2
    assert all("Condition" in s for s in key["KeyPolicy"]["Statement"] if "Service" in s["Principal"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("languages", ()),
        ("languages", ("en", "tlh")),
        ("personal_data", "sold"),
        ("most_findings", 0),
        ("most_findings", 501),
        ("maximum_concurrency", 1),
        ("batch_size", 26),
        ("batch_window_seconds", 301),
        ("function_timeout_seconds", 14),
        ("maximum_receives", 1),
        ("queue_age_alarm_seconds", 59),
        ("kms_key", "none"),
        ("alarm_email", "nobody"),
        ("batchsize", 5),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: Any) -> None:
    # Given one setting that is out of bounds, or misspelt
    # When the settings are made
    with pytest.raises(ValidationError) as refused:
        TextInsightsSettings.model_validate({name: value})
    # Then it is that one which is refused
    assert {fault["loc"][0] for fault in refused.value.errors()} == {name}


def test_every_setting_arrives_in_the_template() -> None:
    # Given settings none of which is the default
    settings: dict[str, Any] = {
        "languages": ("de", "zh-TW"),
        "personal_data": "marked",
        "most_findings": 7,
        "maximum_concurrency": 9,
        "batch_size": 3,
        "batch_window_seconds": 5,
        "function_timeout_seconds": 20,
        "maximum_receives": 4,
        "queue_age_alarm_seconds": 600,
        "kms_key": "own",
        "alarm_email": "someone@example.com",
    }
    defaults = TextInsightsSettings()
    assert settings.keys() == TextInsightsSettings.model_fields.keys()
    assert all(getattr(defaults, name) != value for name, value in settings.items())
    # When the stack is built with them
    template = built(**settings)
    # Then each has its effect
    _, function = named(template, "AWS::Lambda::Function", "AnalyzeTextsFunction")
    variables = function["Environment"]["Variables"]
    assert (variables["LANGUAGES"], variables["PERSONAL_DATA"], variables["MOST_FINDINGS"]) == (
        "de,zh-TW",
        "marked",
        "7",
    )
    assert function["Timeout"] == 20
    poller = only(template, "AWS::Lambda::EventSourceMapping")
    assert (poller["BatchSize"], poller["MaximumBatchingWindowInSeconds"]) == (3, 5)
    assert poller["ScalingConfig"]["MaximumConcurrency"] == 9
    _, queue = named(template, "AWS::SQS::Queue", "Queue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 4
    _, alarm = named(template, "AWS::CloudWatch::Alarm", "QueueAgeAlarm")
    assert alarm["Threshold"] == 600
    assert only(template, "AWS::KMS::Key")
    assert only(template, "AWS::SNS::Subscription")["Endpoint"] == "someone@example.com"


def test_a_large_batch_always_has_its_window() -> None:
    # Given no window at all
    # When batches are small, Then there is none; when they are large, Then the least that Lambda takes
    windows = [
        only(built(batch_window_seconds=0, batch_size=size), "AWS::Lambda::EventSourceMapping")[
            "MaximumBatchingWindowInSeconds"
        ]
        for size in (10, 11)
    ]
    assert windows == [0, 1]
