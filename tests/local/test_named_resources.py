"""On what Transcribe's and Translate's requests are authorised: the extractor alone, without a cloud."""

import json
from importlib import import_module
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from local.emulator.seams import named_resources
from local.emulator.seams.named_resources import RESOURCES

# Only the seams may know MiniStack by name.
iam_actions: Any = import_module("ministack.core.iam_actions")
HEADERS = {"translate": "AWSShineFrontendService_20170701", "transcribe": "Transcribe"}


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The hook is in place; here are the requests that it leaves to MiniStack, which answers `*`."""
    seen: list[tuple[Any, ...]] = []

    def extract(service: str, *rest: Any) -> str:
        seen.append((service, *rest))
        return "*"

    monkeypatch.setattr(iam_actions, "extract_resource_arn", extract)
    named_resources.install()
    return seen


def resource(service: str, operation: str, request: Any) -> str:
    """The resource of a request; `request` is JSON's value, or the body itself."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    target = {"x-amz-target": f"{HEADERS.get(service, service)}.{operation}"} if operation else {}
    arn: str = iam_actions.extract_resource_arn(service, "POST", "/", target, body, {}, "eu-central-1", "111122223333")
    return arn


@pytest.mark.parametrize(("service", "operation"), RESOURCES)
def test_a_request_that_names_a_resource_is_authorised_on_it(
    passed_on: list[tuple[Any, ...]], service: str, operation: str
) -> None:
    # Given a request of the table, When its resource is asked for, Then it is the one that the member names
    kind, member = RESOURCES[service, operation]
    found = resource(service, operation, {member: "mine", "Other": "not"})
    assert found == f"arn:aws:{service}:eu-central-1:111122223333:{kind}/mine"
    assert passed_on == []


@pytest.mark.parametrize(("service", "operation"), RESOURCES)
def test_the_members_that_name_resources_are_the_services_own(service: str, operation: str) -> None:
    # Given the service's model, When the table's operation is looked up, Then it has the member
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    shape: Any = model.operation_model(operation).input_shape
    assert RESOURCES[service, operation][1] in shape.members


@pytest.mark.parametrize(
    ("operation", "stream"),
    [("CreateLogGroup", ""), ("DescribeLogStreams", ""), ("CreateLogStream", "one/2"), ("PutLogEvents", "one/2")],
)
def test_logs_are_authorised_on_what_policies_name(
    passed_on: list[tuple[Any, ...]], operation: str, stream: str
) -> None:
    # Given a request about a group, or about a stream in it
    named = {"logStreamName": stream} if stream else {}
    # When its resource is asked for
    found = resource("logs", operation, {"logGroupName": "/aws/sagemaker/ProcessingJobs", **named})
    # Then a grant on the group's ARN with `:*` at its end is about it
    assert found == f"arn:aws:logs:eu-central-1:111122223333:log-group:/aws/sagemaker/ProcessingJobs:log-stream:{stream}"
    assert passed_on == []


def test_of_several_terminologies_the_first_is_authorised(passed_on: list[tuple[Any, ...]]) -> None:
    found = resource("translate", "TranslateText", {"TerminologyNames": ["first", "second"]})
    assert found == "arn:aws:translate:eu-central-1:111122223333:terminology/first"
    assert passed_on == []


@pytest.mark.parametrize("request_of", [
    {},
    {"TerminologyNames": []},
    {"TerminologyNames": None},
    {"TerminologyNames": [7]},
    {"TerminologyNames": ""},
    ["TerminologyNames"],
    b"no JSON",
])  # fmt: skip
def test_a_request_that_names_nothing_is_left_to_ministack(
    passed_on: list[tuple[Any, ...]], request_of: dict[str, Any] | list[str] | bytes
) -> None:
    assert resource("translate", "TranslateText", request_of) == "*"
    assert [seen[0] for seen in passed_on] == ["translate"]


@pytest.mark.parametrize(("service", "operation"), [
    ("transcribe", "StartTranscriptionJob"),
    ("translate", "ListTerminologies"),
    # The operation is another service's, or there is none.
    ("comprehend", "GetTerminology"),
    ("translate", ""),
])  # fmt: skip
def test_a_request_that_is_not_in_the_table_is_handed_on_as_it_came(
    passed_on: list[tuple[Any, ...]], service: str, operation: str
) -> None:
    # Given a request of another operation, When its resource is asked for, Then MiniStack sees all of it
    body = b'{"TranscriptionJobName": "mine", "Name": "mine"}'
    assert resource(service, operation, body) == "*"
    (seen,) = passed_on
    headers = {"x-amz-target": f"{HEADERS.get(service, service)}.{operation}"} if operation else {}
    assert seen == (service, "POST", "/", headers, body, {}, "eu-central-1", "111122223333")
