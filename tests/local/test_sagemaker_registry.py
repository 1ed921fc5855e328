"""The model registry of the local SageMaker."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import client_as, eventually, make_role, unique
from tests.local.sagemaking import XGBOOST, events_of

CONTAINER = {"Image": XGBOOST, "ModelDataUrl": "s3://bucket/model.tar.gz"}
INFERENCE = {
    "Containers": [CONTAINER],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


def group_of(cloud: LocalCloud) -> str:
    """A new group."""
    name = unique("group")
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return name


def version(cloud: LocalCloud, group: str, **more: Any) -> str:
    """A new version; returns its ARN."""
    arn: str = cloud.client("sagemaker").create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=INFERENCE, **more
    )["ModelPackageArn"]
    return arn


def test_versions_are_numbered_and_carry_what_they_were_registered_with(cloud: LocalCloud) -> None:
    # Given a group
    sagemaker, group = cloud.client("sagemaker"), group_of(cloud)
    source = {"ContentType": "application/json", "S3Uri": "s3://bucket/constraints.json"}
    # When two versions are registered, one with metrics and baselines
    first = version(cloud, group)
    second = version(
        cloud,
        group,
        ModelMetrics={"ModelDataQuality": {"Constraints": source}},
        DriftCheckBaselines={"ModelDataQuality": {"Constraints": source}},
        CustomerMetadataProperties={"auc": "0.99"},
    )
    # Then they are told so
    assert first.endswith(f":model-package/{group}/1")
    found = sagemaker.describe_model_package(ModelPackageName=second)
    assert (found["ModelPackageVersion"], found["ModelPackageStatus"]) == (2, "Completed")
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["DriftCheckBaselines"]["ModelDataQuality"]["Constraints"] == source
    assert found["InferenceSpecification"]["Containers"] == [CONTAINER]


def test_the_approved_versions_of_a_group_are_found_latest_first(cloud: LocalCloud) -> None:
    # Given three versions of which two are approved, and one of another group
    sagemaker, group = cloud.client("sagemaker"), group_of(cloud)
    arns = [version(cloud, group) for _ in range(3)]
    version(cloud, group_of(cloud), ModelApprovalStatus="Approved")
    for arn in arns[:2]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    # When they are asked for
    found = sagemaker.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    # Then the latest comes first
    assert [one["ModelPackageArn"] for one in found["ModelPackageSummaryList"]] == [arns[1], arns[0]]


def test_registering_and_approving_are_events(cloud: LocalCloud) -> None:
    # Given a rule for packages
    sagemaker, group = cloud.client("sagemaker"), group_of(cloud)
    with events_of(cloud, "SageMaker Model Package State Change") as told:
        # When one is registered and approved
        arn = version(cloud, group)
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        states: list[str] = []

        def both() -> bool:
            states.extend(one["detail"]["ModelApprovalStatus"] for one in told() if one["resources"] == [arn])
            return len(states) == 2

        # Then both are told
        assert eventually(both)
    assert sorted(states) == ["Approved", "PendingManualApproval"]


def test_a_group_with_versions_is_kept_and_a_number_is_not_used_again(cloud: LocalCloud) -> None:
    # Given a group with one version
    sagemaker, group = cloud.client("sagemaker"), group_of(cloud)
    first = version(cloud, group)
    # When the group is deleted too early, then that is refused
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    # And a version after a deleted one has a number of its own
    sagemaker.delete_model_package(ModelPackageName=first)
    second = version(cloud, group)
    assert second.endswith("/2")
    sagemaker.delete_model_package(ModelPackageName=second)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_a_package_needs_its_group_and_what_it_is_made_of(cloud: LocalCloud) -> None:
    sagemaker, group = cloud.client("sagemaker"), group_of(cloud)
    for request, reason in (
        ({"ModelPackageGroupName": unique("no"), "InferenceSpecification": INFERENCE}, "does not exist"),
        ({"ModelPackageGroupName": group}, "InferenceSpecification"),
        ({"InferenceSpecification": INFERENCE}, "one of"),
    ):
        with pytest.raises(ClientError, match=reason):
            sagemaker.create_model_package(**request)


def test_a_grant_on_one_groups_packages_does_not_approve_anothers(cloud: LocalCloud) -> None:
    # Given two versions, and a role that may approve one group's
    arns = [version(cloud, group_of(cloud)) for _ in range(2)]
    allowed = {"Action": "sagemaker:UpdateModelPackage", "Resource": f"{arns[0].rpartition('/')[0]}/*"}
    approver = client_as(cloud, make_role(cloud, allowed), "sagemaker")
    # When it approves both, then the other is refused
    approver.update_model_package(ModelPackageArn=arns[0], ModelApprovalStatus="Approved")
    with pytest.raises(ClientError, match="AccessDenied"):
        approver.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved")
