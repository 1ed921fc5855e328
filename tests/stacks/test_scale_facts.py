"""What the simulation of load takes from the stacks without their CDK: it is what the stacks deploy."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from stacks.catalogue import ARCHITECTURES, Architecture, available
from stacks.policy import defaults, scale
from stacks.policy.template import Template, read


@pytest.fixture(scope="module")
def templates(assemblies: dict[str, Path]) -> dict[str, Template]:
    return {template.architecture: template for template in read(assemblies["aws"])}


@pytest.mark.parametrize("architecture", available(), ids=lambda one: one.id)
def test_the_defaults_that_are_read_are_those_of_the_settings(architecture: Architecture) -> None:
    # Given the settings of a stack, as the class has them
    assert architecture.stack
    module, _, name = architecture.stack.partition(":")
    settings = getattr(import_module(module), name).Settings
    simulated = architecture.id in scale.architectures()
    fields = settings.model_json_schema()["properties"]
    numeric = {
        name: field.get("default")
        for name, field in fields.items()
        if isinstance(field.get("default"), (int, float)) and not isinstance(field.get("default"), bool)
    }
    # When they are read from the source, Then defaults and bounds are the same
    found = defaults.numbers(architecture.id)
    assert {name: one.default for name, one in found.items()} == numeric
    for name, one in found.items():
        bounds = fields[name].get("minimum"), fields[name].get("maximum")
        # A bound that the source computes is not read; no simulated stack has one.
        assert (one.least, one.most) == bounds or (None in (one.least, one.most) and not simulated)


def test_a_stack_that_does_not_exist_has_no_settings() -> None:
    planned = next(one for one in ARCHITECTURES if one.stack is None)
    with pytest.raises(LookupError, match="has no stack"):
        defaults.numbers(planned.id)


def _first(template: Template, type_: str, part: str) -> dict[str, Any]:
    """The properties of the first resource of a type whose logical id begins with this."""
    found = [one for name, one in template.resources(type_) if name.startswith(part)]
    assert found, (type_, part)
    return dict(found[0]["Properties"])


def test_the_queue_of_images_is_the_simulated_one(templates: dict[str, Template]) -> None:
    # Given the template, and the queue that is simulated
    template, one = templates["image-labeling"], scale.way("image-labeling")
    queue = _first(template, "AWS::SQS::Queue", "Queue")
    (_, poller), *_ = template.resources("AWS::Lambda::EventSourceMapping")
    # Then a message is hidden, kept and given up as there
    assert queue["VisibilityTimeout"] == 60 * one.queue.hidden
    assert queue["MessageRetentionPeriod"] == 60 * one.queue.kept
    assert queue["RedrivePolicy"]["maxReceiveCount"] == one.queue.deliveries
    # And so many workers take so many at once
    values = {limit.name: limit for limit in one.limits}
    assert poller["Properties"]["ScalingConfig"]["MaximumConcurrency"] == values["maximum_concurrency"].value
    assert values["sqs-in-flight"].each == pytest.approx(0.4 * poller["Properties"]["BatchSize"])


def test_the_queue_of_documents_and_their_page_are_the_simulated_ones(templates: dict[str, Template]) -> None:
    # Given the template, and what is simulated
    template, one = templates["document-processing"], scale.way("document-processing")
    values = {limit.name: limit for limit in one.limits}
    # Then uploads are kept as long, and go to as many workers
    work = [
        dict(resource["Properties"])
        for name, resource in template.resources("AWS::SQS::Queue")
        if name.startswith("Uploads") and "DeadLetters" not in name
    ]
    assert [one_queue["MessageRetentionPeriod"] for one_queue in work] == [60 * one.queue.kept]
    poller = _first(template, "AWS::Lambda::EventSourceMapping", "IntakePoller")
    assert poller["ScalingConfig"]["MaximumConcurrency"] == values["intake_concurrency"].value
    assert values["sqs-in-flight"].each == pytest.approx(0.2 * poller["BatchSize"])
    # And the page of reviewers takes as many requests
    (stage,) = (resource["Properties"] for _, resource in template.resources("AWS::ApiGateway::Stage"))
    (method,) = stage["MethodSettings"]
    assert method["ThrottlingRateLimit"] == values["review-api"].value
