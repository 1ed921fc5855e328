"""The stack of speech-synthesis: what would lose a text, leak one, or let sound pass for a text."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from stacks.language.speech_synthesis import SpeechSynthesisSettings
from stacks.policy.template import Template, read
from tests.stacks.test_image_labeling import grants, named, only


@pytest.fixture
def speech(assemblies: dict[str, Path]) -> Template:
    found = next(template for template in read(assemblies["aws"]) if template.architecture == "speech-synthesis")
    return replace(found, body=copy.deepcopy(found.body))


COMMON = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}


def of_function(name: str, queue: str) -> set[tuple[str, str]]:
    return COMMON | {
        ("dynamodb:UpdateItem", "<Results>"),
        ("dynamodb:UpdateItem", "<Tasks>"),
        *((f"sqs:{action}", f"<{queue}>") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")),
        *((f"logs:{action}", f"<{name}Logs>") for action in ("CreateLogStream", "PutLogEvents")),
    }


def test_the_functions_may_do_what_they_do_and_nothing_else(speech: Template) -> None:
    # Given the default stack, When the grants of its functions are read
    # Then they are these, each on the resource that it is for
    assert grants(speech, "Speak") == of_function("Speak", "Queue") | {
        ("polly:SynthesizeSpeech", "*"),
        ("polly:StartSpeechSynthesisTask", "*"),
        ("s3:GetObjectVersion", "<Speech>/texts/*"),
        ("s3:PutObject", "<Speech>/spoken/*"),
        ("sns:Publish", "<Ends>"),
    }
    assert grants(speech, "RecordEnd") == of_function("RecordEnd", "EndQueue") | {
        ("polly:GetSpeechSynthesisTask", "*"),
        ("sns:Publish", "<Alarms>"),
    }


@pytest.mark.parametrize("queue", ["Queue", "EndQueue"])
def test_messages_outlive_their_function_and_end_in_the_dlq(speech: Template, queue: str) -> None:
    # Given a queue and the functions, Then a message is invisible for six times as long as a function may take
    _, properties = named(speech, "AWS::SQS::Queue", queue)
    timeouts = {
        named(speech, "AWS::Lambda::Function", f"{name}Function")[1]["Timeout"] for name in ("Speak", "RecordEnd")
    }
    assert properties["VisibilityTimeout"] / 6 in timeouts
    assert properties["RedrivePolicy"]["maxReceiveCount"] == 5


def test_a_notification_is_handed_over_raw_and_cannot_be_lost(speech: Template) -> None:
    subscription = only(speech, "AWS::SNS::Subscription")
    dead_letters, _ = named(speech, "AWS::SQS::Queue", "DeadLetters")
    assert subscription["RawMessageDelivery"] is True
    assert subscription["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [dead_letters, "Arn"]}


def test_only_texts_under_the_input_prefix_start_the_flow(speech: Template) -> None:
    rule = only(speech, "AWS::Events::Rule")
    keys = rule["EventPattern"]["detail"]["object"]["key"]
    assert [one["wildcard"] for one in keys] == ["texts/*.txt", "texts/*.TXT", "texts/*.ssml", "texts/*.SSML"]


@pytest.mark.parametrize(
    "settings",
    [
        {"voice": "Nobody"},
        {"engine": "generative"},
        {"output_format": "wav"},
        {"input_prefix": "texts"},
        {"input_prefix": "a/", "output_prefix": "a/b/"},
        {"input_prefix": "a/b/", "output_prefix": "a/"},
        {"maximum_receives": 1},
        {"colour": "red"},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SpeechSynthesisSettings(**settings)  # type: ignore[arg-type]
