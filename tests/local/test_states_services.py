"""Every service that this project adds can be asked by a state machine, as its role."""

from typing import Any

import pytest

from local.cloud import LocalCloud
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
