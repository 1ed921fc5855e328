"""The private network: what it lets through, what it refuses, and what would be let through without each lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.demos.private_network import DEMO, FOREIGN_BUCKET
from scenarios import private_network
from scenarios.private_network import LARGEST_LETTER_BYTES, Report, plan
from tests.conftest import SharedStacks
from tests.scenarios.networked import ARCHITECTURE, LETTER, SETTINGS, Warden


@pytest.fixture
def warden(cloud: LocalCloud, shared_stacks: SharedStacks) -> Warden:
    return Warden(cloud, shared_stacks(ARCHITECTURE, SETTINGS))


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    file = tmp_path / "letter.txt"
    file.write_text(LETTER, encoding="utf-8")
    return file


@pytest.fixture
def report(warden: Warden, letter: Path) -> Report:
    return private_network.run(warden.cloud, warden.outputs, [letter])


def test_each_call_comes_out_as_it_should(warden: Warden, report: Report) -> None:
    # Given a letter that went all ways, Then each call was allowed, refused or had no way, as planned
    assert report.complete, [call for call in report.calls if not call.as_expected]
    outcomes = {(call.call, call.where): call.outcome for call in report.calls}
    assert outcomes == {
        ("write-object", "inside"): "allowed",
        ("write-object", "outside"): "refused",
        ("read-object", "inside"): "allowed",
        ("read-object", "outside"): "refused",
        ("read-foreign-object", "inside"): "refused",
        ("write-row", "inside"): "allowed",
        ("write-row", "outside"): "allowed",
        ("scan-table", "inside"): "refused",
        ("scan-table", "outside"): "allowed",
        ("detect-entities", "inside"): "allowed",
        ("detect-entities", "outside"): "allowed",
        ("detect-sentiment", "inside"): "refused",
        ("detect-sentiment", "outside"): "allowed",
        ("translate", "inside"): "unreachable",
        ("translate", "outside"): "allowed",
    }
    # And AWS's own words say who refused
    said = {(call.call, call.where): call.message for call in report.calls}
    for call in ("read-foreign-object", "scan-table", "detect-sentiment"):
        assert "because no VPC endpoint policy allows" in said[call, "inside"]
    for call in ("write-object", "read-object"):
        assert "explicit deny in a resource-based policy" in said[call, "outside"]


def test_an_outcome_that_should_not_be_is_told(report: Report) -> None:
    # Given a report that is complete, When one of its calls had come out otherwise
    (first, *others) = report.calls
    changed = Report((type(first)(**{**vars(first), "outcome": "refused"}), *others), report.seconds)
    # Then it would not be
    assert report.complete
    assert not changed.complete


def test_the_demo_names_what_decided_each_call(warden: Warden, letter: Path) -> None:
    # Given the demo, When it has sent a letter
    proved = DEMO.run(warden.cloud, warden.outputs, [letter], lambda _: None)
    told = {(one["call"], one["where"]): one["decided_by"] for one in DEMO.to_json(proved)}
    # Then each call has what decided it: both policies where it was let through inside
    assert [line.partition(":")[0] for line in told["detect-entities", "inside"]] == [
        "its role's policy",
        "Comprehend's endpoint",
    ]
    assert [line.partition(":")[0] for line in told["detect-entities", "outside"]] == ["its role's policy"]
    # the endpoint, the bucket or the missing way where it was not
    assert told["detect-sentiment", "inside"] == ("No statement of Comprehend's endpoint allows it",)
    assert told["read-foreign-object", "inside"] == ("No statement of S3's endpoint allows it",)
    assert told["read-object", "outside"] == ("the bucket's policy: ThroughTheEndpointOnly",)
    assert told["translate", "inside"] == ("the network has no endpoint for it",)
    assert all(told.values())


# --- without each lock the call succeeds


def test_comprehends_endpoint_alone_keeps_the_mood_from_being_found(warden: Warden) -> None:
    def open_up(statement: dict[str, Any]) -> None:
        statement["Action"] = "comprehend:*"

    # Given an endpoint that lets everything of the service through
    with warden.policy("Comprehend", open_up):
        # Then the call succeeds: nothing else had refused it
        assert warden.ask("inside", "detect-sentiment").outcome == "allowed"
    assert warden.ask("inside", "detect-sentiment").outcome == "refused"


def test_dynamodbs_endpoint_alone_keeps_the_table_from_being_read_whole(warden: Warden) -> None:
    def open_up(statement: dict[str, Any]) -> None:
        statement["Action"] += ["dynamodb:Scan"]

    with warden.policy("Dynamodb", open_up):
        assert warden.ask("inside", "scan-table").outcome == "allowed"
    assert warden.ask("inside", "scan-table").outcome == "refused"


def test_s3s_endpoint_leads_to_this_accounts_buckets_by_its_condition(warden: Warden) -> None:
    def open_up(statement: dict[str, Any]) -> None:
        del statement["Condition"]["StringEquals"]["aws:ResourceAccount"]

    def let_through() -> set[bool]:
        """Whether the endpoint's policy allowed the way to the other account's bucket."""
        since = warden.now()
        warden.ask("inside", "read-foreign-object")
        return {
            one["allowed"]
            for one in warden.decisions(since)
            if one["via"] == "network" and FOREIGN_BUCKET in one["resource"] and one["action"] == "s3:GetObject"
        }

    # Given an endpoint that does not look at whose bucket it is
    with warden.policy("S3", open_up):
        # Then the request goes through (and ends there: the local cloud serves no bucket of another account)
        assert let_through() == {True}
    assert let_through() == {False}


def test_an_endpoint_lets_nobody_of_another_account_through_by_its_condition(warden: Warden) -> None:
    def somebody_else(statement: dict[str, Any]) -> None:
        statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] = "210987654321"

    # Given an endpoint for another account's callers: this one's are then the strangers
    with warden.policy("Comprehend", somebody_else):
        # Then they are refused
        assert warden.ask("inside", "detect-entities").outcome == "refused"
    assert warden.ask("inside", "detect-entities").outcome == "allowed"


@pytest.mark.parametrize("call", ["write-object", "read-object"])
def test_the_buckets_own_denial_alone_keeps_outsiders_out(warden: Warden, call: str) -> None:
    # Given that something lies there
    assert warden.ask("inside", "write-object").outcome == "allowed"
    # When the bucket's policy has all but that denial
    with warden.bucket_policy(lambda found: [one for one in found if one.get("Sid") != "ThroughTheEndpointOnly"]):
        # Then whoever has the grant comes in from outside
        assert warden.ask("outside", call).outcome == "allowed"
    assert warden.ask("outside", call).outcome == "refused"


def test_another_endpoint_is_not_the_buckets_endpoint(warden: Warden) -> None:
    def name_another(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in found:
            if one.get("Sid") == "ThroughTheEndpointOnly":
                one["Condition"]["StringNotEquals"]["aws:SourceVpce"] = warden.endpoint("Dynamodb")
        return found

    # Given a bucket that knows another endpoint, Then not even the network's own function comes in
    with warden.bucket_policy(name_another):
        assert warden.ask("inside", "read-object").outcome == "refused"


# --- without a way there is none


@pytest.fixture(params=["rule", "name"])
def closed_door(request: pytest.FixtureRequest, warden: Warden) -> Iterator[None]:
    closing = warden.without_rule if request.param == "rule" else warden.without_private_dns
    with closing("Comprehend"):
        yield


@pytest.mark.usefixtures("closed_door")
def test_a_closed_door_is_no_way_and_the_others_stay_open(warden: Warden) -> None:
    # Given an endpoint whose group lets nobody in, or that does not bear the service's name
    # Then there is no way to the service
    answer = warden.ask("inside", "detect-entities")
    assert answer.outcome == "unreachable"
    # and the others are as they were, and so is the way outside
    assert warden.ask("inside", "write-row").outcome == "allowed"
    assert warden.ask("outside", "detect-entities").outcome == "allowed"


def test_a_door_that_was_closed_and_opened_lets_through_again(warden: Warden) -> None:
    with warden.without_rule("Comprehend"):
        assert warden.ask("inside", "detect-entities").outcome == "unreachable"
    assert warden.ask("inside", "detect-entities").outcome == "allowed"


def test_a_gateway_is_reached_by_its_route(warden: Warden) -> None:
    with warden.without_route("S3"):
        assert warden.ask("inside", "write-object").outcome == "unreachable"
    assert warden.ask("inside", "write-object").outcome == "allowed"


# --- what else may go wrong


def test_a_letter_that_is_too_long_is_refused_before_anything_is_called(warden: Warden, tmp_path: Path) -> None:
    # Given a letter one byte longer than Comprehend takes
    file = tmp_path / "long.txt"
    file.write_text("a" * (LARGEST_LETTER_BYTES + 1), encoding="utf-8")
    since = warden.now()
    # When it is sent, Then that is said
    with pytest.raises(ValueError, match="longer than"):
        private_network.run(warden.cloud, warden.outputs, [file])
    # and nothing was asked of anybody
    assert [one for one in warden.decisions(since) if one["role"] == warden.outputs["InsideRoleName"]] == []


def test_a_service_that_throttles_proves_nothing_and_the_other_calls_are_made(warden: Warden, letter: Path) -> None:
    # Given a Comprehend that throttles
    rule = warden.cloud.control.faults_add(service="comprehend", kind="throttle")
    # When a letter goes all ways
    throttled = private_network.run(warden.cloud, warden.outputs, [letter])
    warden.cloud.control.faults_clear(rule)
    # Then those calls count neither as allowed nor as refused, and the report says that they were not as they should be
    failed = {call.call for call in throttled.calls if call.outcome == "failed"}
    assert "detect-entities" in failed
    assert not throttled.complete
    assert all(call.as_expected for call in throttled.calls if not call.call.startswith("detect-"))
    # And once it answers, all is proved
    assert private_network.run(warden.cloud, warden.outputs, [letter]).complete


def test_a_function_that_breaks_off_says_so(warden: Warden) -> None:
    with pytest.raises(RuntimeError, match="broke off"):
        private_network.prove(warden.cloud, warden.outputs, "inside", LETTER, calls=["no-such-call"])


def test_a_network_without_a_door_has_no_way_to_its_service() -> None:
    # Given the outputs of a network without any interface endpoint
    outputs = {"Endpoints": "none", "ForeignBucketName": "none", "BucketName": "b", "TableName": "t"}
    # Then no way is expected, and nothing is read elsewhere
    planned = plan(outputs)
    assert {planned[call].inside for call in ("detect-entities", "detect-sentiment", "translate")} == {"unreachable"}
    assert "read-foreign-object" not in planned
