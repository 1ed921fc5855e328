"""Settings of image-labeling: bounds, and that each arrives where it belongs."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from pydantic import ValidationError

from stacks.policy.template import Template
from stacks.vision.image_labeling import ImageLabeling, ImageLabelingSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minimum_confidence", -0.1),
        ("minimum_confidence", 100.1),
        ("maximum_labels", 0),
        ("maximum_labels", 1001),
        ("upload_prefix", ""),
        ("upload_prefix", "uploads"),
        ("upload_prefix", "/uploads/"),
        ("upload_prefix", "up*loads/"),
        ("upload_prefix", "up?/"),
        ("upload_prefix", "a" * 128 + "/"),
        ("maximum_concurrency", 1),
        ("maximum_concurrency", 1001),
        ("batch_size", 0),
        ("batch_size", 11),
        ("function_timeout_seconds", 9),
        ("function_timeout_seconds", 901),
        ("maximum_receives", 1),
        ("queue_age_alarm_seconds", 59),
        ("kms_key", "none"),
        ("alarm_email", "nobody"),
        ("minimum_confidnce", 70),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: Any) -> None:
    # Given one setting that is out of bounds, or misspelt
    # When the settings are made
    with pytest.raises(ValidationError) as refused:
        ImageLabelingSettings.model_validate({name: value})
    # Then it is that one which is refused
    assert [fault["loc"] for fault in refused.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minimum_confidence", 0),
        ("minimum_confidence", 100),
        ("maximum_labels", 1000),
        ("upload_prefix", "team-1/in.box/"),
        ("maximum_concurrency", 1000),
        ("function_timeout_seconds", 900),
        ("maximum_receives", 2),
    ],
)
def test_a_value_on_its_bound_is_taken(name: str, value: Any) -> None:
    assert getattr(ImageLabelingSettings.model_validate({name: value}), name) == value


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = ImageLabelingSettings()
    with pytest.raises(ValidationError):
        settings.maximum_labels = 5


def test_every_setting_arrives_in_the_template() -> None:
    # Given settings none of which is the default
    settings = ImageLabelingSettings(
        minimum_confidence=81.5,
        maximum_labels=7,
        upload_prefix="in/box/",
        maximum_concurrency=9,
        batch_size=3,
        function_timeout_seconds=20,
        maximum_receives=4,
        queue_age_alarm_seconds=600,
        kms_key="own",
        network="private",
        alarm_email="someone@example.com",
    )
    defaults = ImageLabelingSettings()
    assert all(getattr(settings, name) != getattr(defaults, name) for name in ImageLabelingSettings.model_fields)
    # When the stack is built with them
    stack = ImageLabeling(cdk.App(), "image-labeling", settings=settings, target="local")
    template = Template("image-labeling", dict(assertions.Template.from_stack(stack).to_json()))

    def properties(beginning: str) -> dict[str, Any]:
        return next(r["Properties"] for logical_id, r in template.resources() if logical_id.startswith(beginning))

    # Then the function is told
    function = properties("LabelImageFunction")
    variables = function["Environment"]["Variables"]
    assert variables["MINIMUM_CONFIDENCE"] == "81.5"
    assert variables["MAXIMUM_LABELS"] == "7"
    assert variables["UPLOAD_PREFIX"] == "in/box/"
    assert function["Timeout"] == 20
    # and is in the network
    assert function["VpcConfig"]["SubnetIds"]
    # And the queue, its poller, the rules, the alarm, the key and the topic are made accordingly
    assert properties("Queue4")["VisibilityTimeout"] == 120
    assert properties("Queue4")["RedrivePolicy"]["maxReceiveCount"] == 4
    assert properties("Poller")["BatchSize"] == 3
    assert properties("Poller")["ScalingConfig"] == {"MaximumConcurrency": 9}
    assert properties("PngUploaded")["EventPattern"]["detail"]["object"]["key"][0] == {"wildcard": "in/box/*.png"}
    assert properties("QueueAgeAlarm")["Threshold"] == 600
    assert [logical_id for logical_id, _ in template.resources("AWS::KMS::Key")]
    assert [r["Properties"]["Endpoint"] for _, r in template.resources("AWS::SNS::Subscription")] == [
        "someone@example.com"
    ]
