"""The stack of secure-studio: what would let somebody out, or in, or make him root."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.policy.template import Template
from stacks.secure.doors import PASSAGES
from stacks.secure.secure_studio import ACTIVITY_TAG, DOORS, PERSONAS, SecureStudio, SecureStudioSettings
from tests.stacks.models import synthesized
from tests.stacks.test_image_labeling import grants, named, only


@pytest.fixture(scope="module")
def studio() -> Template:
    return synthesized("secure-studio")


def test_studio_and_notebook_are_in_the_network_and_nowhere_else(studio: Template) -> None:
    domain, notebook = only(studio, "AWS::SageMaker::Domain"), only(studio, "AWS::SageMaker::NotebookInstance")
    assert domain["AppNetworkAccessType"] == "VpcOnly"
    assert notebook["DirectInternetAccess"] == "Disabled"
    assert notebook["RootAccess"] == "Disabled"
    assert notebook["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    for place in (domain["DefaultUserSettings"]["SecurityGroups"], notebook["SecurityGroupIds"]):
        assert "JobsSecurityGroupId" in str(place)


def test_everything_that_holds_data_has_the_stacks_own_key(studio: Template) -> None:
    key, _ = named(studio, "AWS::KMS::Key", "Key")
    for kind in ("AWS::SageMaker::Domain", "AWS::SageMaker::NotebookInstance"):
        assert only(studio, kind)["KmsKeyId"] == {"Fn::GetAtt": [key, "Arn"]}


def test_a_person_has_the_role_of_her_persona_and_whoever_has_none_the_smaller_one() -> None:
    template = synthesized("secure-studio", scientists=["ada", "grace"], engineers=["linus"])
    roles = {
        one["Properties"]["UserProfileName"]: one["Properties"]["UserSettings"]["ExecutionRole"]["Fn::GetAtt"][0]
        for _, one in template.resources("AWS::SageMaker::UserProfile")
    }
    scientist, engineer, administrator, auditor = (
        named(template, "AWS::IAM::Role", f"{one.name}Role")[0] for one in PERSONAS
    )
    assert roles == {
        "ada": scientist,
        "grace": scientist,
        "linus": engineer,
        "administrator": administrator,
        "auditor": auditor,
    }
    default = only(template, "AWS::SageMaker::Domain")["DefaultUserSettings"]["ExecutionRole"]
    assert default == {"Fn::GetAtt": [engineer, "Arn"]}


def test_each_persona_has_its_folders(studio: Template) -> None:
    key = {("kms:Decrypt", "<Key>"), ("kms:CreateGrant", "<Key>")}
    assert grants(studio, "Administrator") == {("kms:CreateGrant", "<Key>"), ("s3:ListBucket", "<Project>")}
    assert grants(studio, "Auditor") == key | {
        ("s3:GetObject", "<Project>/work/*"),
        ("s3:GetObject", "<Project>/results/*"),
        ("s3:ListBucket", "<Project>"),
    }
    assert grants(studio, "Engineer") == key | {
        ("s3:GetObject", "<Project>/results/*"),
        ("s3:ListBucket", "<Project>"),
    }
    assert grants(studio, "Scientist") == key | {
        ("kms:GenerateDataKey", "<Key>"),
        ("s3:GetObject", "<Project>/work/*"),
        ("s3:PutObject", "<Project>/work/*"),
        ("s3:ListBucket", "<Project>"),
    }


def test_only_the_notebook_may_write_a_tag_and_only_this_one_and_only_on_itself(studio: Template) -> None:
    found = [
        one
        for _, policy in studio.resources("AWS::IAM::Policy")
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if "sagemaker:AddTags" in str(one["Action"])
    ]
    (statement,) = found
    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"aws:TagKeys": [ACTIVITY_TAG]},
        "Null": {"aws:TagKeys": "false"},
    }
    assert "notebook-instance/ml-" in str(statement["Resource"])
    assert only(studio, "AWS::SageMaker::NotebookInstance")["NotebookInstanceName"] == {
        "Fn::Join": ["", ["ml-", {"Ref": "AWS::StackName"}]]
    }


def test_what_it_imports_its_network_exports_and_the_doors_let_it_through(studio: Template) -> None:
    # Given the network that is built for it, When what it exports is compared with what is imported
    network = synthesized("private-network", **SecureStudio.Neighbours["private-network"])
    exported = {
        one["Export"]["Name"]["Fn::Join"][1][1].removeprefix("-")
        for one in network.body["Outputs"].values()
        if "Export" in one
    }
    imported = set(re.findall(r'"-(\w+)"\]\]', json.dumps(studio.body["Resources"])))
    # Then there is everything, and without the doors there is not
    assert {"VpcId", "SubnetIds", "JobsSecurityGroupId", "SagemakerApiEndpointId"} <= imported <= exported
    default = json.dumps(synthesized("private-network").body["Outputs"])
    assert "SagemakerApiEndpointId" not in default
    # And its machines stand where the doors let in, and the report is among what they let through
    assert all("jobs" in PASSAGES[door].purposes for door in DOORS)
    assert "sagemaker:AddTags" in PASSAGES["sagemaker.api"].actions


@pytest.mark.parametrize(
    "settings",
    [
        {"scientists": ["Ada"]},
        {"scientists": ["ada", "ada"]},
        {"scientists": ["ada"], "auditors": ["ada"]},
        {"engineers": ["a b"]},
        {"notebook_type": "t3.medium"},
        {"volume_gb": 4},
        {"idle_minutes": 59},
        {"root": True},
    ],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SecureStudioSettings(**settings)
