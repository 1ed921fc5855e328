"""The stack of audit: what would let a record go, let somebody in, or leave something untold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS
from stacks.secure.audit import MANAGED_RULES, WATCHED, AuditSettings
from stacks.secure.audit_queries import COLUMNS, QUERIES, sql
from tests.stacks.models import synthesized
from tests.stacks.test_image_labeling import named, only


def test_the_trail_tells_of_everything_but_its_own_files() -> None:
    # Given the default stack, When its trail is read, Then it is of all regions, sealed, and wants data events too
    trail = only(synthesized("audit"), "AWS::CloudTrail::Trail")
    assert trail["IsMultiRegionTrail"]
    assert trail["EnableLogFileValidation"]
    assert "KMSKeyId" in trail
    wanted = {one["Name"]: one["FieldSelectors"] for one in trail["AdvancedEventSelectors"]}
    assert set(wanted) == {"Management", "Endpoints", "Features", "Functions", "Objects"}
    types = {field["Equals"][0] for of in wanted.values() for field in of if field["Field"] == "resources.type"}
    sagemaker = {"AWS::SageMaker::Endpoint", "AWS::SageMaker::FeatureGroup"}
    assert types == {*sagemaker, "AWS::Lambda::Function", "AWS::S3::Object"}
    assert [field for field in wanted["Objects"] if field["Field"] == "resources.ARN" and "NotStartsWith" in field]


def test_the_archive_denies_everybody_but_its_keepers() -> None:
    # Given the archive's policy, When its denials are read, Then they are for everybody, with just these exceptions
    template = synthesized("audit", keepers=["releaser"])
    _, policy = named(template, "AWS::S3::BucketPolicy", "ArchivePolicy")
    denials = {
        one["Sid"]: one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny" and "Sid" in one
    }
    keepers = denials["OnlyKeepersChangeTheArchive"]
    assert keepers["Principal"] == {"AWS": "*"}
    exceptions = keepers["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    assert len(exceptions) == 3
    assert "role/releaser" in str(exceptions)
    services = denials["OnlyServicesWriteRecords"]["Condition"]["StringNotEquals"]["aws:PrincipalServiceName"]
    assert services == ["cloudtrail.amazonaws.com", "config.amazonaws.com"]


def test_every_watched_call_has_a_rule_that_tells_the_topic() -> None:
    template = synthesized("audit")
    for watched in WATCHED:
        (rule,) = [
            one["Properties"]
            for logical, one in template.resources("AWS::Events::Rule")
            if logical.startswith(watched.construct_id)
        ]
        names = {name for calls in watched.calls.values() for name in calls}
        assert set(rule["EventPattern"]["detail"]["eventName"]) == names
        (target,) = rule["Targets"]
        assert "InputTransformer" in target
        assert "DeadLetterConfig" in target


def test_what_an_account_has_once_can_be_left_out() -> None:
    # Given an account that has a detector and a recorder, When the stack is made without, Then the rest stands
    template = synthesized("audit", guardduty=False, config_rules=False, object_events=False)
    kinds = {one["Type"] for _, one in template.resources()}
    assert not {kind for kind in kinds if kind.startswith(("AWS::Config", "AWS::GuardDuty"))}
    assert len(only(template, "AWS::CloudTrail::Trail")["AdvancedEventSelectors"]) == 4
    told = [logical for logical, _ in template.resources("AWS::Events::Rule")]
    assert not [one for one in told if one.startswith(("ThreatFound", "RuleBroken"))]
    rules = [one for _, one in synthesized("audit").resources("AWS::Config::ConfigRule")]
    assert len(rules) == len(MANAGED_RULES) + 1


def test_what_is_kept_nothing_of_the_stack_may_empty() -> None:
    # Given an archive that is kept, When the template is read, Then bucket, policy and key outlive the stack, nothing
    # empties the bucket, and its denial has no exception but root and keepers
    template = synthesized("audit", archive="kept")
    for kind, construct in (
        ("AWS::S3::Bucket", "Archive"),
        ("AWS::S3::BucketPolicy", "ArchivePolicy"),
        ("AWS::KMS::Key", "Key"),
    ):
        (resource,) = [one for logical, one in template.resources(kind) if logical.startswith(construct)]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
        assert "emptied-on-delete" not in str(resource)
    assert not [logical for logical, _ in template.resources() if logical.startswith("EmptiedArchive")]
    # and no finding is acknowledged where there is none, or the stack could not be made
    settings = AuditSettings(archive="kept").model_dump()
    places = [place for one in ACKNOWLEDGEMENTS if one.architecture == "audit" for place in one.places(settings)]
    assert places
    assert not [place for place in places if place.startswith("EmptiedArchive")]
    _, policy = named(template, "AWS::S3::BucketPolicy", "ArchivePolicy")
    (denial,) = [
        one for one in policy["PolicyDocument"]["Statement"] if one.get("Sid") == "OnlyKeepersChangeTheArchive"
    ]
    assert len(denial["Condition"]["ArnNotLike"]["aws:PrincipalArn"]) == 2


def test_what_guardduty_and_config_find_is_told() -> None:
    template = synthesized("audit")
    for construct, source, kind in (
        ("ThreatFound", "aws.guardduty", "GuardDuty Finding"),
        ("RuleBroken", "aws.config", "Config Rules Compliance Change"),
    ):
        ((_, resource),) = [one for one in template.resources("AWS::Events::Rule") if one[0] == construct]
        rule = resource["Properties"]
        assert (rule["EventPattern"]["source"], rule["EventPattern"]["detail-type"]) == ([source], [kind])
        (target,) = rule["Targets"]
        assert "Alarms" in str(target["Arn"])
        assert "DeadLetterConfig" in target


def test_the_questions_look_back_as_far_and_into_the_regions_that_are_asked_for() -> None:
    for name in QUERIES:
        query = sql(name, 7)
        assert "{days}" not in query
        assert "interval '7' day" in query
    with pytest.raises(KeyError):
        sql("who-slept", 7)
    asked = synthesized("audit", regions=["us-east-1", "eu-west-1"])
    for template, regions in ((asked, "us-east-1,eu-west-1"), (synthesized("audit"), {"Ref": "AWS::Region"})):
        table = only(template, "AWS::Glue::Table")["TableInput"]
        assert table["Parameters"]["projection.region.values"] == regions
        assert {one["Name"]: one["Type"] for one in table["StorageDescriptor"]["Columns"]} == COLUMNS


@pytest.mark.parametrize(
    "settings",
    [
        {"archive": "gone"},
        {"keep_days": 89},
        {"keepers": []},
        {"query_days": 0},
        {"regions": ["us-east-1", "us-east-1"]},
        {"regions": ["everywhere"]},
        {"judge_hours": 721},
        {"alarm_email": "x"},
        {"other": 1},
    ],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditSettings(**settings)
