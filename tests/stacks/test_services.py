"""`services.toml`: every entry complete and sourced, every pattern real, and the catalogue agrees with it."""

from __future__ import annotations

import datetime
import json
import re
from functools import cache
from importlib.resources import files

import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from stacks.catalogue import ARCHITECTURES, available
from stacks.policy.services import table

SERVICES = table()["service"]
RUNTIMES = table()["runtime"]
RESTRICTED = {name: entry for name, entry in SERVICES.items() if entry["status"] != "available"}

REQUIRED = {"title", "status", "source", "verified", "resource_types", "actions"}
OPTIONAL = {"since", "history", "alternative", "unseen"}

# IAM prefixes whose API goes by another name in the SDK.
SDK_NAMES = {
    "mobiletargeting": ["pinpoint"],
    "lex": ["lex-models", "lex-runtime"],
    "sagemaker": ["sagemaker", "sagemaker-a2i-runtime"],
}

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_table_has_both_kinds_and_nothing_else() -> None:
    assert set(table()) == {"service", "runtime"}
    assert len(SERVICES) > len(RESTRICTED) > 0


@each_service
def test_a_service_has_its_fields_and_its_source(name: str) -> None:
    # Given an entry
    entry = SERVICES[name]
    # Then it has what the head of the file promises, and no misspelt field
    assert set(entry) >= REQUIRED
    assert set(entry) <= REQUIRED | OPTIONAL
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert entry["status"] in {"available", "closed", "ended"}
    assert isinstance(entry.get("since", datetime.date.min), datetime.date)
    # And where it was read, and when
    assert set(entry["source"]) == {"title", "url", "read"}
    assert entry["source"]["url"].startswith(("https://docs.aws.amazon.com/", "https://docs.amazonaws.cn/"))
    assert isinstance(entry["source"]["read"], datetime.date)
    assert entry["verified"].strip()


@each_service
def test_a_restricted_service_names_what_serves_today(name: str) -> None:
    entry = SERVICES[name]
    assert ("alternative" in entry) == (entry["status"] != "available")


@each_service
def test_a_date_is_given_or_its_absence_is_admitted(name: str) -> None:
    entry = SERVICES[name]
    if entry["status"] == "available":
        assert "history" in entry if "since" in entry else True
    elif "since" in entry:
        assert entry["since"] <= entry["source"]["read"], "a change to come is not a status of today"
    else:
        assert re.search(r"\bdate of\b|\bthe date is not\b", entry["verified"])


@each_service
def test_patterns_end_in_their_only_wildcard(name: str) -> None:
    for pattern in SERVICES[name]["resource_types"]:
        assert re.fullmatch(r"(AWS::\w+::(\w+|\*)|Custom::\*)", pattern)
    for pattern in SERVICES[name]["actions"]:
        assert re.fullmatch(r"[a-z0-9-]+:(\w+\*?|\*)", pattern)


@each_service
def test_a_service_can_be_seen_in_a_template_or_says_why_not(name: str) -> None:
    entry = SERVICES[name]
    assert bool(entry["resource_types"] or entry["actions"]) != ("unseen" in entry)


@pytest.mark.parametrize("field", ["resource_types", "actions"])
def test_no_pattern_belongs_to_two_services(field: str) -> None:
    patterns = [pattern for entry in SERVICES.values() for pattern in entry[field]]
    assert len(set(patterns)) == len(patterns)


@cache
def _operations(prefix: str) -> frozenset[str]:
    session = botocore.session.Session()
    known = set(session.get_available_services())
    models = [session.get_service_model(name) for name in SDK_NAMES.get(prefix, [prefix]) if name in known]
    return frozenset(operation for model in models for operation in model.operation_names)


@pytest.mark.parametrize("name", RESTRICTED)
def test_a_restricted_action_is_one_that_the_sdk_knows(name: str) -> None:
    # Given the actions by which a closed service would be noticed
    for action in RESTRICTED[name]["actions"]:
        prefix, _, operation = action.partition(":")
        if operation == "*":
            continue
        # Then each is a real one: a misspelt pattern would never match and the check would be blind
        known = _operations(prefix)
        assert any(o.startswith(operation.rstrip("*")) if operation.endswith("*") else o == operation for o in known), (
            f"{action} is no operation of {prefix}"
        )


@pytest.mark.parametrize("name", [name for name, entry in SERVICES.items() if entry["status"] != "ended"])
def test_a_resource_type_is_one_that_cloudformation_knows(name: str) -> None:
    known = [*PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1"), "AWS::CDK::Metadata", "Custom::Any"]
    for pattern in SERVICES[name]["resource_types"]:
        assert any(t.startswith(pattern[:-1]) if pattern.endswith("*") else t == pattern for t in known), pattern


def test_every_restriction_in_the_catalogue_is_explained_here() -> None:
    # Given the variants that the catalogue says a new account cannot use
    named = {(a.id, r.service) for a in ARCHITECTURES for r in a.availability}
    assert named
    # Then each is a restricted service of this table
    assert {(id_, service) for id_, service in named if service not in RESTRICTED} == set()


def test_no_default_uses_a_restricted_service() -> None:
    assert [(a.id, s) for a in ARCHITECTURES for s in a.services if s in RESTRICTED] == []


def test_every_service_of_a_built_architecture_is_listed() -> None:
    assert [(a.id, s) for a in available() for s in a.services if s not in SERVICES] == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_has_its_dates_as_the_linter_knows_them(runtime: str) -> None:
    # Given the linter's own copy of AWS's table of runtimes
    data = files("cfnlint.data.AdditionalSpecs").joinpath("LmbdRuntimeLifecycle.json").read_text(encoding="utf-8")
    theirs = json.loads(data)[runtime]
    # Then ours says the same; when AWS moves a date, an update of the linter shows it here
    entry = RUNTIMES[runtime]
    assert set(entry) == {"deprecated", "create_blocked", "source"}
    assert entry["deprecated"].isoformat() == theirs["deprecated"]
    assert entry["create_blocked"].isoformat() == theirs["create-block"]
