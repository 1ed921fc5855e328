"""The functions that take away what stacks of models did not make themselves, and the one that places files."""

from __future__ import annotations

import importlib
import json
import re
import types
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from lambdas.realtime_endpoint.retire import endpoint as serving
from tests.unit.test_empty_bucket import CloudFormation, Context

ENDPOINT = "realtime-endpoint"
VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "ENDPOINT_NAME": ENDPOINT,
    "VARIANT_NAME": "AllTraffic",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:111122223333:stateMachine:deployment",
}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "ResourceId": f"endpoint/{ENDPOINT}/variant/AllTraffic",
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def load(name: str) -> types.ModuleType:
    return importlib.import_module(f"lambdas.{name}.handler")


def stubbed(service: str) -> tuple[Any, Stubber]:
    client = botocore.session.Session().create_client(service, region_name="us-east-1")
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


@pytest.fixture
def formation() -> Iterator[CloudFormation]:
    from threading import Thread

    formation = CloudFormation()
    thread = Thread(target=formation.server.serve_forever, daemon=True)
    thread.start()
    yield formation
    formation.server.shutdown()
    formation.server.server_close()


def described(status: str) -> dict[str, Any]:
    return {
        "EndpointName": ENDPOINT,
        "EndpointArn": f"arn:aws:sagemaker:us-east-1:111122223333:endpoint/{ENDPOINT}",
        "EndpointConfigName": f"{ENDPOINT}-v1-0a1b2c3d",
        "EndpointStatus": status,
        "CreationTime": 0,
        "LastModifiedTime": 0,
    }


def absent(stubber: Stubber) -> None:
    stubber.add_client_error(
        "describe_endpoint", "ValidationException", f'Could not find endpoint "arn:.../{ENDPOINT}".', 400
    )


def nothing_left(stubber: Stubber) -> None:
    stubber.add_response("list_endpoint_configs", {"EndpointConfigs": []}, {"NameContains": f"{ENDPOINT}-v"})
    stubber.add_response("list_models", {"Models": []}, {"NameContains": f"{ENDPOINT}-v"})


# --- the endpoint


def test_an_endpoint_that_a_late_request_has_reached_is_waited_for() -> None:
    # Given an endpoint in service, which a request of a stopped deployment begins to change before it can be deleted
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    scaled.add_response("deregister_scalable_target", {}, TARGET)
    answers.add_response("describe_endpoint", described("InService"))
    answers.add_client_error("delete_endpoint", "ValidationException", "Cannot update in-progress endpoint", 400)
    answers.add_response("describe_endpoint", described("Updating"))
    answers.add_response("describe_endpoint", described("InService"))
    answers.add_response("delete_endpoint", {}, {"EndpointName": ENDPOINT})
    absent(answers)
    nothing_left(answers)
    # When it is taken away, Then it is tried again when the change is done
    serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: False)
    answers.assert_no_pending_responses()


def test_an_endpoint_that_cannot_be_deleted_in_time_says_why() -> None:
    # Given an endpoint that is refused to be deleted, and no time left
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    scaled.add_response("deregister_scalable_target", {}, TARGET)
    answers.add_response("describe_endpoint", described("InService"))
    answers.add_client_error("delete_endpoint", "ValidationException", "Cannot update in-progress endpoint", 400)
    # When it is taken away, Then the reason is told
    with pytest.raises(serving.StillBusyError, match="InService, and then: Cannot update in-progress endpoint"):
        serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: True)


def test_an_endpoint_goes_with_its_scaling_configurations_and_models() -> None:
    # Given an endpoint, what it was made of, and another stack's whose name begins alike
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    ours, theirs = f"{ENDPOINT}-v2-0a1b2c3d", f"{ENDPOINT}-v2-v1-0a1b2c3d"
    scaled.add_response("deregister_scalable_target", {}, TARGET)
    answers.add_response("describe_endpoint", described("InService"))
    answers.add_response("delete_endpoint", {}, {"EndpointName": ENDPOINT})
    answers.add_response("describe_endpoint", described("Deleting"))
    absent(answers)
    configs = [
        {
            "EndpointConfigName": name,
            "EndpointConfigArn": f"arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/{name}",
            "CreationTime": 0,
        }
        for name in (ours, theirs)
    ]
    answers.add_response("list_endpoint_configs", {"EndpointConfigs": configs})
    answers.add_response("delete_endpoint_config", {}, {"EndpointConfigName": ours})
    models = [
        {"ModelName": name, "ModelArn": f"arn:aws:sagemaker:us-east-1:111122223333:model/{name}", "CreationTime": 0}
        for name in (ours, theirs)
    ]
    answers.add_response("list_models", {"Models": models})
    answers.add_response("delete_model", {}, {"ModelName": ours})
    # When it is taken away
    serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: False)
    # Then all of that was asked for, in this order, and nothing of the other's
    answers.assert_no_pending_responses()
    scaled.assert_no_pending_responses()


def test_what_is_gone_already_is_no_error() -> None:
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    scaled.add_client_error("deregister_scalable_target", "ObjectNotFoundException", "No scalable target found", 400)
    absent(answers)
    nothing_left(answers)
    serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: False)
    answers.assert_no_pending_responses()


def test_an_endpoint_that_is_being_changed_is_waited_for_and_then_told() -> None:
    # Given an endpoint in the middle of an update, and no time
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    scaled.add_response("deregister_scalable_target", {})
    answers.add_response("describe_endpoint", described("Updating"))
    # When it is to be taken away, Then nothing is deleted, and the error says how to go on
    with pytest.raises(serving.StillBusyError, match="is Updating: do it once more"):
        serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: True)
    answers.assert_no_pending_responses()


def test_an_error_that_is_not_about_absence_is_raised() -> None:
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    scaled.add_response("deregister_scalable_target", {})
    answers.add_client_error("describe_endpoint", "AccessDeniedException", "no", 400)
    with pytest.raises(Exception, match="AccessDeniedException"):
        serving.remove(sagemaker, scaling, ENDPOINT, "AllTraffic", lambda: False)


def test_a_running_deployment_is_stopped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a schedule's call, and a deployment that runs
    handler = load("realtime_endpoint.retire")
    states, machine = stubbed("stepfunctions")
    sagemaker, answers = stubbed("sagemaker")
    scaling, scaled = stubbed("application-autoscaling")
    execution = f"{VARIABLES['STATE_MACHINE_ARN']}:one".replace("stateMachine", "execution")
    running = {
        "executionArn": execution,
        "stateMachineArn": VARIABLES["STATE_MACHINE_ARN"],
        "name": "one",
        "status": "RUNNING",
        "startDate": 0,
    }
    machine.add_response("list_executions", {"executions": [running]})
    machine.add_response(
        "stop_execution",
        {"stopDate": 0},
        {"executionArn": execution, "error": "Retired", "cause": "The endpoint is taken away."},
    )
    scaled.add_response("deregister_scalable_target", {})
    absent(answers)
    nothing_left(answers)
    clients = {"stepfunctions": states, "sagemaker": sagemaker, "application-autoscaling": scaling}
    monkeypatch.setattr(handler, "clients", clients)
    # When the night begins, Then it is stopped, and the function says so
    assert handler.handler({"stop": True}, Context()) == {"outcome": "stopped"}
    machine.assert_no_pending_responses()


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_only_a_deletion_retires(monkeypatch: pytest.MonkeyPatch, formation: CloudFormation, request_type: str) -> None:
    # Given no client that could do anything
    for name in ("realtime_endpoint.retire", "training_pipeline.retire"):
        handler = load(name)
        monkeypatch.setattr(handler, "clients", {})
        event = formation.event(request_type)
        event["ResourceProperties"] = {"PipelineName": "p", "ModelPackageGroupName": "g", "EndpointName": ENDPOINT}
        # When CloudFormation creates or updates, Then it is told that all is well
        assert handler.handler(event, Context()) is None
    assert [answer["Status"] for answer in formation.answers] == ["SUCCESS", "SUCCESS"]


def test_a_failed_retirement_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, formation: CloudFormation
) -> None:
    handler = load("training_pipeline.retire")
    sagemaker, answers = stubbed("sagemaker")
    answers.add_client_error("list_pipeline_executions", "AccessDeniedException", "not you", 400)
    monkeypatch.setattr(handler, "clients", {"sagemaker": sagemaker})
    event = formation.event("Delete")
    event |= {
        "PhysicalResourceId": "made-up",
        "ResourceProperties": {"PipelineName": "p", "ModelPackageGroupName": "g"},
    }
    handler.handler(event, Context())
    (told,) = formation.answers
    assert (told["Status"], told["PhysicalResourceId"]) == ("FAILED", "made-up")
    assert "AccessDeniedException" in told["Reason"]


# --- the pipeline


def execution_of(status: str, name: str = "abc") -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/{name}"
    return {"PipelineExecutionArn": arn, "PipelineExecutionStatus": status}


def listed(*executions: dict[str, Any]) -> dict[str, Any]:
    return {"PipelineExecutionSummaries": list(executions)}


def test_executions_are_stopped_once_and_waited_for() -> None:
    # Given one that runs, one that ended
    handler = load("training_pipeline.retire")
    sagemaker, answers = stubbed("sagemaker")
    running = execution_of("Executing")
    answers.add_response("list_pipeline_executions", listed(running, execution_of("Succeeded", "old")))
    token = handler._token(running["PipelineExecutionArn"])
    answers.add_response(
        "stop_pipeline_execution",
        {},
        {"PipelineExecutionArn": running["PipelineExecutionArn"], "ClientRequestToken": token},
    )
    answers.add_response("list_pipeline_executions", listed(execution_of("Stopping")))
    answers.add_response("list_pipeline_executions", listed(execution_of("Stopped")))
    # When they are stopped, Then the first is asked to, once, and its end is waited for
    handler.stop(sagemaker, "p", lambda: False)
    answers.assert_no_pending_responses()
    assert re.fullmatch(r"[A-Za-z0-9-]{32,128}", token)


def test_an_execution_that_does_not_stop_in_time_is_told() -> None:
    handler = load("training_pipeline.retire")
    sagemaker, answers = stubbed("sagemaker")
    answers.add_response("list_pipeline_executions", listed(execution_of("Executing")))
    answers.add_response("stop_pipeline_execution", {})
    with pytest.raises(handler.StillRunningError, match="1 executions still run"):
        handler.stop(sagemaker, "p", lambda: True)


def test_every_version_is_deleted_and_a_group_that_is_gone_has_none() -> None:
    handler = load("training_pipeline.retire")
    sagemaker, answers = stubbed("sagemaker")
    arns = [f"arn:aws:sagemaker:us-east-1:111122223333:model-package/g/{n}" for n in (2, 1)]
    summaries = [
        {"ModelPackageArn": arn, "ModelPackageGroupName": "g", "CreationTime": 0, "ModelPackageStatus": "Completed"}
        for arn in arns
    ]
    answers.add_response("list_model_packages", {"ModelPackageSummaryList": summaries})
    for arn in arns:
        answers.add_response("delete_model_package", {}, {"ModelPackageName": arn})
    assert handler.delete_packages(sagemaker, "g") == 2
    answers.assert_no_pending_responses()
    answers.add_client_error("list_model_packages", "ValidationException", "ModelPackageGroup g does not exist.", 400)
    assert handler.delete_packages(sagemaker, "g") == 0
    answers.add_client_error("list_pipeline_executions", "ResourceNotFound", "Pipeline p does not exist.", 404)
    handler.stop(sagemaker, "p", lambda: False)


# --- placed files

CODE = {"Key": "code/1/sourcedir.tar.gz", "S3Bucket": "assets", "S3Key": "1.gz"}
NEW_CODE = {"Key": "code/2/sourcedir.tar.gz", "S3Bucket": "assets", "S3Key": "2.gz"}


@pytest.mark.parametrize(
    ("request_type", "before", "wanted", "placed"),
    [
        ("Create", None, [CODE], ["code/1/sourcedir.tar.gz"]),
        ("Update", [CODE], [CODE], []),
        ("Update", [CODE], [NEW_CODE], ["code/2/sourcedir.tar.gz"]),
        ("Delete", None, [CODE], []),
    ],
)
def test_a_file_is_placed_once(
    monkeypatch: pytest.MonkeyPatch,
    formation: CloudFormation,
    request_type: str,
    before: list[dict[str, str]] | None,
    wanted: list[dict[str, str]],
    placed: list[str],
) -> None:
    # Given a request of CloudFormation
    handler = load("shared.place_files")
    s3, answers = stubbed("s3")
    for key in placed:
        source = next(file for file in wanted if file["Key"] == key)
        answers.add_response(
            "copy_object",
            {},
            {"Bucket": "data", "Key": key, "CopySource": {"Bucket": source["S3Bucket"], "Key": source["S3Key"]}},
        )
    monkeypatch.setattr(handler, "clients", {"s3": s3})
    event = formation.event(request_type)
    event["ResourceProperties"] = {"Bucket": "data", "Files": wanted}
    if before is not None:
        event["OldResourceProperties"] = {"Bucket": "data", "Files": before}
    # When it is handled, Then what is new is copied, and nothing else
    handler.handler(event, Context())
    answers.assert_no_pending_responses()
    assert [json.dumps(answer["Status"]) for answer in formation.answers] == ['"SUCCESS"']
