"""The stack of access-control: what no run could show, and settings that must be refused."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from pydantic import ValidationError

from stacks.policy import wildcards
from stacks.policy.template import Template
from stacks.secure.access_control import AccessControl, AccessControlSettings

# A managed policy has at most 6,144 characters, white space left out (IAM User Guide, "IAM and AWS STS quotas").
LONGEST_POLICY = 6144
PROVIDER = "arn:aws:iam::111122223333:saml-provider/company"


def built(**settings: Any) -> Template:
    """The template with these settings."""
    stack = AccessControl(cdk.App(), "access-control", settings=AccessControlSettings(**settings), target="local")
    return Template("access-control", dict(assertions.Template.from_stack(stack).to_json()))


@pytest.fixture(scope="module")
def largest() -> Template:
    """The template with every setting that adds to a policy, at its limit."""
    return built(
        projects=[f"project{letter}" for letter in "abcde"],
        training_machines=[f"ml.m5.{number}xlarge" for number in range(10)],
        hosting_machines=[f"ml.c5.{number}xlarge" for number in range(10)],
        subnets=[f"subnet-{number:017x}" for number in range(16)],
        security_groups=[f"sg-{number:017x}" for number in range(5)],
        saml_provider_arn=PROVIDER,
    )


def people(template: Template) -> dict[str, dict[str, Any]]:
    """The roles that people have, by logical id."""
    return {
        logical_id: role["Properties"]
        for logical_id, role in template.resources("AWS::IAM::Role")
        if "aws:RequestTag/project" in json.dumps(role)
    }


def test_everybody_has_a_boundary_and_a_project(largest: Template) -> None:
    # Given all roles that people sign in as
    found = people(largest)
    assert len(found) == 4
    for role in found.values():
        # Then each has a boundary of its own
        assert "Boundary" in role["PermissionsBoundary"]["Ref"]
        # And each way to it wants a project
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            assert len(statement["Condition"]["StringEquals"]["aws:RequestTag/project"]) == 5


def test_an_identity_provider_signs_in_beside_the_broker(largest: Template) -> None:
    # Given a stack with an identity provider, and one without
    for template, ways in ((largest, 2), (built(), 1)):
        for role in people(template).values():
            statements = role["AssumeRolePolicyDocument"]["Statement"]
            # Then there is one way more
            assert len(statements) == ways
            federated = [one for one in statements if "Federated" in one["Principal"]]
            # And it is SAML's, for AWS's own sign-in page
            for one in federated:
                assert set(one["Action"]) == {"sts:AssumeRoleWithSAML", "sts:TagSession"}
                assert one["Principal"] == {"Federated": PROVIDER}
                assert one["Condition"]["StringEquals"]["SAML:aud"] == "https://signin.aws.amazon.com/saml"


def test_the_longest_policies_fit(largest: Template) -> None:
    # Given every policy at its longest, with names as long as they get
    for logical_id, policy in largest.resources("AWS::IAM::ManagedPolicy"):
        text = json.dumps(policy["Properties"]["PolicyDocument"], separators=(",", ":"))
        # Then IAM takes it: the template's references are longer than most of what they stand for
        assert len(text) < LONGEST_POLICY, logical_id


def test_only_a_boundary_may_be_wide() -> None:
    # Given the stack, which the check for wildcards lets pass
    template = built()
    assert wildcards.check(template) == []
    # When a boundary is also attached as a policy
    role = next(iter(people(template).values()))
    role["ManagedPolicyArns"].append(role["PermissionsBoundary"])
    # Then it grants, and is too wide
    assert any("on every resource" in problem.message for problem in wildcards.check(template))


def test_a_boundary_for_roles_of_tomorrow_must_be_attached_to_nothing() -> None:
    # Given the boundary that administrators give to job roles, which no role of the stack has
    template = built()
    (boundary,) = [one for name, one in template.resources("AWS::IAM::ManagedPolicy") if name.startswith("JobBoundary")]
    # When it is attached to a role after all, Then it is too wide
    boundary["Properties"]["Roles"] = ["somebody"]
    assert any("JobBoundary" in problem.where for problem in wildcards.check(template))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"projects": []}, "projects"),
        ({"projects": ["Fraud"]}, "projects"),
        # It would match every project's name.
        ({"projects": ["*"]}, "projects"),
        ({"training_machines": ["m5.large"]}, "training_machines"),
        ({"subnets": ["vpc-00000000"]}, "subnets"),
        ({"session_hours": 13}, "session_hours"),
        ({"saml_provider_arn": "arn:aws:iam::111122223333:role/x"}, "saml_provider_arn"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        AccessControlSettings(**settings)
