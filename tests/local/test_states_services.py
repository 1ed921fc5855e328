"""Every service that this project adds can be asked by a state machine, as its role."""

from typing import Any

import pytest

from local.cloud import LocalCloud
from local.emulator.seams import tasks
from tests.local.emulated import execute, make_machine, make_role, one_task, set_permissions

# Resource, arguments, action, error of a role that may nothing (a service that models no denial has its general one).
CALLS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "comprehend:detectSentiment",
        {"Text": "I like it very much.", "LanguageCode": "en"},
        "comprehend:DetectSentiment",
        "Comprehend.ComprehendException",
    ),
    ("polly:describeVoices", {"LanguageCode": "en-US"}, "polly:DescribeVoices", "Polly.PollyException"),
]


# "Exception prefix" in "AWS SDK service integrations", AWS Step Functions Developer Guide, read 2026-11-26.
PREFIXES = {
    "cloudwatch": "CloudWatch",
    "cloudwatchlogs": "CloudWatchLogs",
    "comprehend": "Comprehend",
    "dynamodb": "DynamoDb",
    "eventbridge": "EventBridge",
    "kms": "Kms",
    "polly": "Polly",
    "rekognition": "Rekognition",
    "s3": "S3",
    "secretsmanager": "SecretsManager",
    "sfn": "Sfn",
    "sns": "Sns",
    "sqs": "Sqs",
    "textract": "Textract",
    "transcribe": "Transcribe",
    "translate": "Translate",
    "xray": "XRay",
}


@pytest.mark.parametrize(("name", "prefix"), PREFIXES.items())
def test_a_services_errors_begin_as_the_guide_lists_them(name: str, prefix: str) -> None:
    assert tasks._sdk_prefix(tasks._botocore_names()[name]) == prefix


@pytest.mark.parametrize(("operation", "arguments", "action", "error"), CALLS)
def test_a_state_machine_asks_an_added_service(
    cloud: LocalCloud, operation: str, arguments: dict[str, Any], action: str, error: str
) -> None:
    # Given a state machine whose role allows nothing, When it asks, Then it is denied; with the permission, it is not
    role = make_role(cloud)
    machine = make_machine(cloud, role, one_task(f"arn:aws:states:::aws-sdk:{operation}", arguments))
    failed = execute(cloud, machine)
    assert (failed["status"], failed["error"]) == ("FAILED", error)
    set_permissions(cloud, role, {"Action": action, "Resource": "*"})
    assert execute(cloud, machine)["status"] == "SUCCEEDED"
