"""The stack of audit: what would let a record go, let somebody in, or leave something untold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

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
    assert set(wanted) == {"Management", "Endpoints", "Functions", "Objects"}
    types = {field["Equals"][0] for of in wanted.values() for field in of if field["Field"] == "resources.type"}
    assert types == {"AWS::SageMaker::Endpoint", "AWS::Lambda::Function", "AWS::S3::Object"}
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
    assert len(only(template, "AWS::CloudTrail::Trail")["AdvancedEventSelectors"]) == 3
    rules = [one for _, one in synthesized("audit").resources("AWS::Config::ConfigRule")]
    assert len(rules) == len(MANAGED_RULES) + 1


def test_the_questions_read_columns_that_the_table_has() -> None:
    for name in QUERIES:
        query = sql(name, 7)
        assert "{days}" not in query
        assert "interval '7' day" in query
        assert "useridentity" in COLUMNS
    with pytest.raises(KeyError):
        sql("who-slept", 7)


@pytest.mark.parametrize(
    "settings",
    [{"keep_days": 89}, {"keepers": []}, {"query_days": 0}, {"judge_hours": 721}, {"alarm_email": "x"}, {"other": 1}],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditSettings(**settings)
