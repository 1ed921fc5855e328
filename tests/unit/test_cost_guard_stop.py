"""The function that stops idle machines: which it sees, what it asks of SageMaker, what it tells, how it fails."""

from __future__ import annotations

import datetime
import importlib
import json
import types
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from lambdas.cost_guard.stop_idle.idle import ACTIVITY_TAG, report
from tests.unit import test_cost_guard_idle as simulated
from tests.unit.conftest import Context

NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.timezone.utc)
LONG_AGO = NOW - datetime.timedelta(hours=5)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "IDLE_MINUTES": "60",
    "REPORT_AGE_MINUTES": "5",
    "WAIT_SECONDS": "135",
    "NOTEBOOK_PREFIX": "ml-",
    "TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:reports",
}
IN_A_SPACE = {"DomainId": "d-123456789012", "SpaceName": "shared", "AppType": "JupyterLab", "AppName": "default"}
IDLE = [{"Key": ACTIVITY_TAG, "Value": report(LONG_AGO, NOW)}]


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in VARIABLES.items():
            patch.setenv(variable, value)
        return importlib.import_module("lambdas.cost_guard.stop_idle.handler")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture(autouse=True)
def clock(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The run begins at the time for which it was planned."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "utc_now", lambda: NOW)
    return clock


def notebook(name: str) -> dict[str, Any]:
    return {
        "NotebookInstanceName": name,
        "NotebookInstanceArn": f"{ARN}notebook-instance/{name}",
        "NotebookInstanceStatus": "InService",
        "LastModifiedTime": LONG_AGO,
    }


def stubbed(module: types.ModuleType) -> tuple[Stubber, Stubber]:
    """Stubs that know two pages of notebooks, one of them under the prefix and idle."""
    sagemaker, sns = Stubber(module.clients["sagemaker"]), Stubber(module.clients["sns"])
    asked = {"StatusEquals": "InService"}
    page = {"NotebookInstances": [notebook("other")], "NextToken": "2"}
    sagemaker.add_response("list_notebook_instances", page, asked)
    sagemaker.add_response(
        "list_notebook_instances", {"NotebookInstances": [notebook("ml-mine")]}, {**asked, "NextToken": "2"}
    )
    sagemaker.add_response("list_tags", {"Tags": IDLE}, {"ResourceArn": f"{ARN}notebook-instance/ml-mine"})
    return sagemaker, sns


def test_a_notebook_outside_the_prefix_is_not_looked_at_and_an_app_in_a_space_is_deleted_by_its_space(
    module: types.ModuleType,
) -> None:
    # Given an idle notebook on the second page, one outside the prefix, and an idle app in a space
    sagemaker, sns = stubbed(module)
    sagemaker.add_response("stop_notebook_instance", {}, {"NotebookInstanceName": "ml-mine"})
    ended = {**IN_A_SPACE, "AppName": "old", "Status": "Deleted", "CreationTime": LONG_AGO}
    standing = {**IN_A_SPACE, "Status": "InService", "CreationTime": LONG_AGO}
    sagemaker.add_response("list_apps", {"Apps": [ended, standing]}, {})
    arn = f"{ARN}app/d-123456789012/shared/jupyterlab/default"
    sagemaker.add_response("describe_app", {"AppArn": arn}, IN_A_SPACE)
    sagemaker.add_response("list_tags", {"Tags": IDLE}, {"ResourceArn": arn})
    sagemaker.add_response("delete_app", {}, IN_A_SPACE)
    sns.add_response("publish", {}, {"TopicArn": VARIABLES["TOPIC_ARN"], "Subject": ANY, "Message": ANY})
    # When a run comes, Then just these calls are made, and both are stopped
    with sagemaker, sns:
        done = module.handler({"time": "2026-11-27T12:00:00Z"}, Context())
        sagemaker.assert_no_pending_responses()
        sns.assert_no_pending_responses()
    assert done["stopped"] == ["ml-mine", "d-123456789012/shared/JupyterLab/default"]


def test_a_refusal_fails_the_run_at_its_end_and_is_told(module: types.ModuleType) -> None:
    # Given an idle notebook that may not be stopped, and nothing else
    sagemaker, sns = stubbed(module)
    sagemaker.add_client_error("stop_notebook_instance", "AccessDeniedException")
    sagemaker.add_response("list_apps", {"Apps": []}, {})
    message = json.dumps({"time": str(NOW), "failed": ["ml-mine"]})
    sns.add_response("publish", {}, {"TopicArn": VARIABLES["TOPIC_ARN"], "Subject": "cost-guard", "Message": message})
    # When a run comes, Then it is told, and the run fails, without a word of names
    with sagemaker, sns:
        with pytest.raises(module.RunFailedError, match="1 machines") as caught:
            module.handler({"time": "2026-11-27T12:00:00Z"}, Context())
        sns.assert_no_pending_responses()
    assert "ml-mine" not in str(caught.value)


@pytest.mark.parametrize("time", ["now", "2026-11-27T12:00:00", ""])
def test_a_time_that_is_none_is_refused(module: types.ModuleType, time: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        module.handler({"time": time}, Context())


BEFORE = report(LONG_AGO, NOW - datetime.timedelta(minutes=1))


def test_a_machine_is_stopped_only_on_a_report_from_after_the_run_began(module: types.ModuleType, clock: Clock) -> None:
    # Given an idle notebook whose last report is a minute old, and whose next one comes after nine seconds
    sagemaker, sns = waiting(module, [BEFORE, BEFORE, BEFORE, report(LONG_AGO, NOW + datetime.timedelta(seconds=8))])
    sagemaker.add_response("stop_notebook_instance", {}, {"NotebookInstanceName": "ml-mine"})
    sns.add_response("publish", {}, {"TopicArn": ANY, "Subject": ANY, "Message": ANY})
    # When a run comes, Then it waits for that one and stops the notebook
    with sagemaker, sns:
        assert module.handler({"time": "2026-11-27T12:00:00Z"}, Context())["stopped"] == ["ml-mine"]
        sagemaker.assert_no_pending_responses()
    assert clock.slept == 3 * simulated.POLL


def test_who_comes_back_while_the_run_waits_is_not_stopped(module: types.ModuleType) -> None:
    # Given an idle notebook, whose user comes back before the next report
    back = NOW + datetime.timedelta(seconds=2)
    sagemaker, sns = waiting(module, [BEFORE, report(back, back)])
    # When a run comes, Then it leaves the notebook alone, and tells nobody
    with sagemaker, sns:
        assert module.handler({"time": "2026-11-27T12:00:00Z"}, Context())["active"] == ["ml-mine"]


def test_a_report_that_does_not_come_is_not_waited_for_longer_than_the_limit(
    module: types.ModuleType, clock: Clock
) -> None:
    # Given an idle notebook whose script has just died, When a run comes, Then the notebook is silent, which is told
    looks = simulated.WAIT // simulated.POLL + 1
    sagemaker, sns = waiting(module, [BEFORE] * looks)
    message = json.dumps({"time": str(NOW), "silent": ["ml-mine"]})
    sns.add_response("publish", {}, {"TopicArn": ANY, "Subject": ANY, "Message": message})
    with sagemaker, sns:
        assert module.handler({"time": "2026-11-27T12:00:00Z"}, Context())["silent"] == ["ml-mine"]
        sagemaker.assert_no_pending_responses()
    assert clock.slept == simulated.WAIT


def test_a_run_that_comes_late_trusts_no_report_from_before_it_began(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run that begins 50 seconds late, and a report from between, after which the user came back
    begun = NOW + datetime.timedelta(seconds=50)
    monkeypatch.setattr(module, "utc_now", lambda: begun)
    between = report(LONG_AGO, NOW + datetime.timedelta(seconds=1))
    sagemaker, sns = waiting(module, [between, report(begun, begun)])
    # When it looks, Then it waits for the next, and leaves the notebook alone
    with sagemaker, sns:
        assert module.handler({"time": "2026-11-27T12:00:00Z"}, Context())["active"] == ["ml-mine"]


def waiting(module: types.ModuleType, told: list[str]) -> tuple[Stubber, Stubber]:
    """Stubs that know one notebook, whose activity tag says this at one look after the other."""
    sagemaker, sns = Stubber(module.clients["sagemaker"]), Stubber(module.clients["sns"])
    sagemaker.add_response(
        "list_notebook_instances", {"NotebookInstances": [notebook("ml-mine")]}, {"StatusEquals": "InService"}
    )
    for place, value in enumerate(told):
        if place == 1:
            sagemaker.add_response("list_apps", {"Apps": []}, {})
        tags = {"Tags": [{"Key": ACTIVITY_TAG, "Value": value}]}
        sagemaker.add_response("list_tags", tags, {"ResourceArn": f"{ARN}notebook-instance/ml-mine"})
    return sagemaker, sns
