"""On what SageMaker's requests are authorised: the table alone, without a cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.emulator.seams.sagemaker import COMPOSED, RESOURCES, resource_of
from local.services import SAGEMAKER
from local.services.wire import service_model

LISTS = {
    "ListApps",
    "ListDataQualityJobDefinitions",
    "ListDomains",
    "ListEndpointConfigs",
    "ListEndpoints",
    "ListModelPackageGroups",
    "ListModels",
    "ListMonitoringExecutions",
    "ListMonitoringSchedules",
    "ListNotebookInstanceLifecycleConfigs",
    "ListNotebookInstances",
    "ListPipelines",
    "ListProcessingJobs",
    "ListStudioLifecycleConfigs",
    "ListTrainingJobs",
    "ListTransformJobs",
    "ListUserProfiles",
}


def resource(operation: str, **request: Any) -> str:
    """What a request is authorised on."""
    return resource_of(operation, json.dumps(request).encode())


@pytest.mark.parametrize("operation", RESOURCES)
def test_the_members_that_name_resources_are_the_services_own(operation: str) -> None:
    # Given the service's model, When an operation of the table is looked up, Then it has the member, and is served
    shape: Any = service_model("sagemaker").operation_model(operation).input_shape
    assert RESOURCES[operation][1] in shape.members
    assert operation in SAGEMAKER.operations()


@pytest.mark.parametrize("operation", COMPOSED)
def test_the_members_that_together_name_a_resource_are_the_services_own(operation: str) -> None:
    # Given the service's model, When an operation of the table is looked up, Then it has them all, and is served
    shape: Any = service_model("sagemaker").operation_model(operation).input_shape
    assert set(COMPOSED[operation][1]) <= set(shape.members)
    assert operation in SAGEMAKER.operations()


@pytest.mark.parametrize(
    ("operation", "request_", "found"),
    [
        ("CreateProcessingJob", {"ProcessingJobName": "Mine"}, "processing-job/mine"),
        ("StartPipelineExecution", {"PipelineName": "P"}, "pipeline/p"),
        ("UpdatePipeline", {"PipelineName": "arn:aws:sagemaker:r:1:pipeline/p"}, "pipeline/p"),
        (
            "StopPipelineExecution",
            {"PipelineExecutionArn": "arn:aws:sagemaker:r:1:pipeline/p/execution/x"},
            "pipeline/p/execution/x",
        ),
        ("CreateModelPackage", {"ModelPackageGroupName": "G"}, "model-package/g/*"),
        ("CreateModelPackage", {"ModelPackageName": "N"}, "model-package/n"),
        (
            "ListModelPackages",
            {"ModelPackageGroupName": "arn:aws:sagemaker:r:1:model-package-group/g"},
            "model-package/g/*",
        ),
        ("UpdateModelPackage", {"ModelPackageArn": "arn:aws:sagemaker:r:1:model-package/g/3"}, "model-package/g/3"),
        ("AddTags", {"ResourceArn": "arn:aws:sagemaker:r:1:pipeline/P"}, "arn:aws:sagemaker:r:1:pipeline/p"),
        ("StopNotebookInstance", {"NotebookInstanceName": "Mine"}, "notebook-instance/mine"),
        ("CreateDomain", {"DomainName": "Ours"}, "domain/*"),
        ("DeleteUserProfile", {"DomainId": "d-1", "UserProfileName": "Ada"}, "user-profile/d-1/ada"),
        (
            "DeleteApp",
            {"DomainId": "d-1", "UserProfileName": "Ada", "AppType": "JupyterLab", "AppName": "default"},
            "app/d-1/ada/jupyterlab/default",
        ),
        ("ListPipelines", {}, ""),
    ],
)
def test_a_request_that_names_a_resource_is_authorised_on_it(
    operation: str, request_: dict[str, Any], found: str
) -> None:
    assert resource(operation, **request_) == found


def test_a_request_that_is_none_is_left_to_others() -> None:
    for body in (b"", b"[]", b"{", b'{"ProcessingJobName": 3}'):
        assert not resource_of("CreateProcessingJob", body)


def test_every_served_operation_is_authorised_on_something_or_is_a_list() -> None:
    # Given what is served, When what names no resource is looked for, Then only lists are left, which name none on AWS
    endpoints = {one for one in SAGEMAKER.operations() if "Endpoint" in one or one.endswith("Model")}
    others = {"AddTags", "DeleteTags", "ListTags", "CreateModelPackage", "ListModelPackages"}
    others |= {*COMPOSED, "CreateDomain"}
    left = set(SAGEMAKER.operations()) - set(RESOURCES) - endpoints - others
    assert left <= LISTS
