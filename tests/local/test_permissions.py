"""Granted beside used: the comparison by itself, on grants and decisions written by hand.

tests/scenarios/test_image_labeling_permissions.py runs it on a deployed stack.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from local.permissions import (
    Grant,
    Granted,
    NotCheckable,
    PermissionReport,
    Status,
    compare,
    matches,
    render,
    statements,
    tighter,
)
from stacks.policy.grants import UNUSED_GRANTS, UnusedGrant, faults

ROLE = "thing-Worker-1A2B"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:thing-Queue-9Z"
PHOTOS = "arn:aws:s3:::thing-photos-77"
CONDITION = json.dumps({"ArnEquals": {"aws:SourceArn": [QUEUE, "[red]"]}})
NAMES = {"thing-Queue-9Z": "Queue47110815", "thing-photos-77": "Photos08154711", ROLE: "WorkerRoleABCD1234"}


def granted(*grants: Grant) -> Granted:
    return Granted(stack="thing", roles={ROLE: "WorkerRoleABCD1234"}, names=NAMES, grants=grants)


def grant(action: str, resource: str, principal: str = ROLE, **more: Any) -> Grant:
    return Grant(principal=principal, action=action, resource=resource, policy="inline policy P", **more)


def decision(action: str, resource: str, role: str | None = ROLE, allowed: bool = True, **more: Any) -> dict[str, Any]:
    principal = f"arn:aws:sts::000000000000:assumed-role/{role}/f" if role else more.pop("principal")
    return {
        "seq": 1,
        "principal": principal,
        "role": role,
        "action": action,
        "resource": resource,
        "allowed": allowed,
        "statement": None,
        "via": "gateway",
        **more,
    }


def statuses(report: PermissionReport) -> list[tuple[str, str]]:
    return [(unit.action, unit.status.value) for unit in report.units]


def test_a_grant_that_was_needed_is_used_and_the_report_is_clean() -> None:
    # Given a role that may receive from its queue
    has = granted(grant("sqs:ReceiveMessage", QUEUE))
    # When it did so, three times and once more
    report = compare(has, [decision("sqs:ReceiveMessage", QUEUE, count=3), decision("sqs:ReceiveMessage", QUEUE)])
    # Then the grant is used, four times, and nothing is to be mended
    assert statuses(report) == [("sqs:ReceiveMessage", "used")]
    assert report.units[0].times == 4
    assert report.ok


def test_a_grant_that_nothing_needed_is_unused_and_a_problem() -> None:
    # Given a role that may also purge its queue
    has = granted(grant("sqs:ReceiveMessage", QUEUE), grant("sqs:PurgeQueue", QUEUE))
    # When it only received
    report = compare(has, [decision("sqs:ReceiveMessage", QUEUE)])
    # Then the purge is unused, and the problem names role, action and resource
    assert statuses(report) == [("sqs:ReceiveMessage", "used"), ("sqs:PurgeQueue", "unused")]
    (problem,) = report.problems
    assert "WorkerRoleABCD1234" in problem
    assert "sqs:PurgeQueue" in problem
    assert "{Queue47110815}" in problem
    assert not report.ok


def test_what_was_refused_is_missing_and_a_problem() -> None:
    # Given a role that may do one thing
    has = granted(grant("sqs:ReceiveMessage", QUEUE))
    # When it was refused another, three times
    refusals = [decision("sqs:DeleteMessage", QUEUE, allowed=False)] * 3
    report = compare(has, [decision("sqs:ReceiveMessage", QUEUE), *refusals])
    # Then that is missing, once, with the number of refusals
    missing = [unit for unit in report.units if unit.status is Status.MISSING]
    assert [(unit.action, unit.times) for unit in missing] == [("sqs:DeleteMessage", 3)]
    assert any("sqs:DeleteMessage" in problem for problem in report.problems)


def test_what_a_network_let_through_or_refused_is_no_matter_of_grants() -> None:
    # Given a role that may receive, and a VPC endpoint that lets that through and refuses another call
    has = granted(grant("sqs:ReceiveMessage", QUEUE))
    network = [
        decision("sqs:ReceiveMessage", QUEUE, via="network"),
        decision("sqs:DeleteMessage", QUEUE, allowed=False, via="network", reason="no way"),
    ]
    # When nothing else was decided, Then the grant is not used, and nothing is missing
    assert statuses(compare(has, network)) == [("sqs:ReceiveMessage", "unused")]


def test_a_refusal_by_a_deny_statement_names_it() -> None:
    # Given a role whose call was refused by a TLS-only policy
    refusal = decision(
        "sqs:SendMessage", QUEUE, allowed=False, statement={"sid": "TlsOnly", "policy": "policy of queue"}
    )
    # When the report is made
    report = compare(granted(), [refusal])
    # Then it says who refused
    assert "TlsOnly" in report.units[0].reason


def test_a_wildcard_action_is_used_only_for_what_matched() -> None:
    # Given a role that may do anything that begins with Get
    has = granted(grant("s3:Get*", f"{PHOTOS}/uploads/*"))
    # When it only got objects
    report = compare(has, [decision("s3:GetObject", f"{PHOTOS}/uploads/a/1.jpg")])
    # Then the rest of the wildcard is unused, and the report names the action that is enough
    assert statuses(report) == [("s3:GetObject", "used"), ("s3:Get*", "unused")]
    assert "s3:GetObject" in report.units[1].reason
    assert not report.ok


def test_a_wildcard_resource_is_used_and_the_tighter_pattern_is_named() -> None:
    # Given a role that may read the whole bucket
    has = granted(grant("s3:GetObject", f"{PHOTOS}/*"))
    # When it only read under one prefix
    keys = ("uploads/cat.jpg", "uploads/car.jpg", "uploads/x/y.png")
    report = compare(has, [decision("s3:GetObject", f"{PHOTOS}/{key}") for key in keys])
    # Then the pattern that would have been enough is that prefix
    assert report.units[0].tighter == f"{PHOTOS}/uploads/*"
    assert report.units[0].matched == tuple(sorted(f"{PHOTOS}/{key}" for key in keys))


@pytest.mark.parametrize(
    ("pattern", "matched", "expected"),
    [
        ("arn:x:b/uploads/*", ["arn:x:b/uploads/1", "arn:x:b/uploads/2"], ""),
        ("arn:x:b/*", ["arn:x:b/uploads/1"], "arn:x:b/uploads/1"),
        ("arn:x:log-group:/f-*", ["arn:x:log-group:/f-1", "arn:x:log-group:/f-2"], ""),
        ("arn:x:g:*:end", ["arn:x:g:a/1:end", "arn:x:g:a/2:end"], "arn:x:g:a/*:end"),
        ("*", ["*"], ""),
        ("*", ["arn:x:t/1", "arn:x:t/2"], "arn:x:t/*"),
        ("arn:x:exact", ["arn:x:exact"], ""),
    ],
)
def test_the_tighter_pattern_covers_what_matched_and_is_never_wider(
    pattern: str, matched: list[str], expected: str
) -> None:
    # When a tighter pattern is asked for, Then it is the expected one
    assert tighter(pattern, matched) == expected
    # and it still covers everything that was matched
    assert all(matches(expected or pattern, resource) for resource in matched)


def test_a_broad_grant_beside_a_narrow_one_is_unused() -> None:
    # Given the same action granted twice, once for everything
    has = granted(grant("s3:GetObject", "*"), grant("s3:GetObject", f"{PHOTOS}/uploads/*"))
    # When only the narrow one was needed
    report = compare(has, [decision("s3:GetObject", f"{PHOTOS}/uploads/1.jpg")])
    # Then the broad one is the unused one
    assert [(unit.resource, unit.status) for unit in report.units] == [
        ("*", Status.UNUSED),
        (f"{PHOTOS}/uploads/*", Status.USED),
    ]


def test_a_grant_by_exclusion_never_counts_as_used() -> None:
    # Given a policy that allows everything but one action
    document = {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}
    has = granted(*statements(document, "inline policy P", principal=ROLE))
    # When the role did something else
    report = compare(has, [decision("s3:GetObject", f"{PHOTOS}/1")])
    # Then the grant is reported as unused
    assert [unit.status for unit in report.units] == [Status.UNUSED]
    assert "exclusion" in report.units[0].reason


def test_a_condition_is_shown_and_credited_only_where_the_decision_names_the_statement() -> None:
    # Given a queue that lets events in, from one rule
    document = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": QUEUE,
                "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:events:us-east-1:000000000000:rule/r"}},
            },
            {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE},
        ]
    }
    has = granted(*statements(document, "policy of queue Queue47110815"))
    sent = decision("sqs:SendMessage", QUEUE, role=None, principal="events.amazonaws.com", via="service")
    # When a decision names no statement, Then the grant is not credited
    assert statuses(compare(has, [sent])) == [("sqs:SendMessage", "unused")]
    # When it names this one, Then it is, and the condition is shown
    sent["statement"] = {"action_pattern": "sqs:SendMessage", "resource_pattern": QUEUE}
    report = compare(has, [sent])
    assert statuses(report) == [("sqs:SendMessage", "used")]
    assert "aws:SourceArn" in report.units[0].condition


def test_decisions_of_other_stacks_do_not_count() -> None:
    # Given a stack with a queue that lets events in
    has = granted(grant("sqs:SendMessage", QUEUE, principal="events.amazonaws.com"))
    # When events went to another stack's queue, and another stack's role was refused
    elsewhere = "arn:aws:sqs:us-east-1:000000000000:other"
    report = compare(
        has,
        [
            decision("sqs:SendMessage", elsewhere, role=None, principal="events.amazonaws.com"),
            decision("sqs:SendMessage", elsewhere, role="other-role", allowed=False),
        ],
    )
    # Then this stack was not exercised
    assert statuses(report) == [("sqs:SendMessage", "unused")]
    assert not report.exercised
    assert not report.ok


def test_a_stack_that_nobody_used_is_said_to_be_so() -> None:
    # Given a stack whose queue is polled, and nothing else
    has = granted(grant("sqs:ReceiveMessage", QUEUE), grant("s3:GetObject", f"{PHOTOS}/*"))
    polled = decision("sqs:ReceiveMessage", QUEUE, via="service", path="queue-poller")
    # When the report is made
    report = compare(has, [polled])
    # Then it is not fine, and says why instead of blaming the grants
    assert not report.exercised
    assert not report.ok
    out = io.StringIO()
    render(report, Console(file=out, width=200))
    assert "Nobody has used this stack" in out.getvalue()
    assert "✗" not in out.getvalue()
    # When a photo was read, or somebody was refused, Then it was used
    assert compare(has, [polled, decision("s3:GetObject", f"{PHOTOS}/1")]).exercised
    assert compare(has, [polled, decision("s3:PutObject", f"{PHOTOS}/1", allowed=False)]).exercised


def test_a_service_that_was_refused_at_the_stacks_own_resource_is_missing() -> None:
    # Given a stack whose queue lets nobody in
    # When events tried
    refusal = decision("sqs:SendMessage", QUEUE, role=None, principal="events.amazonaws.com", allowed=False)
    report = compare(granted(), [refusal])
    # Then that is missing
    assert [(unit.principal, unit.status) for unit in report.units] == [("events.amazonaws.com", Status.MISSING)]


def test_what_cannot_be_checked_is_said_to_be_so_and_evidence_wins_over_it() -> None:
    # Given a grant that the local cloud is said not to decide
    has = granted(grant("x:Trace", "*"))
    excused = [NotCheckable("*", "x:*", "nobody asks")]
    # When nothing used it, Then it is neither used nor a problem
    report = compare(has, [], not_checkable=excused)
    assert statuses(report) == [("x:Trace", "not checkable here")]
    assert report.problems == ()
    # When something did use it, Then it counts as used
    assert statuses(compare(has, [decision("x:Trace", "*")], not_checkable=excused)) == [("x:Trace", "used")]


def test_what_cannot_be_checked_may_be_named_by_logical_id() -> None:
    # Given a role that acts only in the end, named by the beginning of its logical id
    has = granted(grant("s3:DeleteObject", f"{PHOTOS}/*"), grant("sqs:PurgeQueue", QUEUE))
    # When the report is made before
    report = compare(has, [], not_checkable=[NotCheckable("Worker*", "s3:*", "in the end")])
    # Then that grant is not checkable yet, and the other one is unused
    assert statuses(report) == [("s3:DeleteObject", "not checkable here"), ("sqs:PurgeQueue", "unused")]


def acknowledgement(**fields: Any) -> UnusedGrant:
    given: dict[str, Any] = {
        "architecture": "thing",
        "role": "WorkerRole",
        "action": "sqs:PurgeQueue",
        "resource": "Queue",
    }
    return UnusedGrant(**{**given, "reason": "only after an accident", **fields})


def test_a_refusal_on_purpose_is_acknowledged_and_missed_where_it_does_not_come() -> None:
    # Given a grant that another policy makes useless, on purpose
    has = granted(grant("sqs:PurgeQueue", QUEUE))
    on_purpose = [acknowledgement(refused=True)]
    # When it is asked for and refused, Then that is no problem; without the acknowledgement it is
    refused = [decision("sqs:PurgeQueue", QUEUE, allowed=False)]
    assert compare(has, refused, acknowledged=on_purpose, architecture="thing").problems == ()
    assert "was refused" in compare(has, refused, acknowledged=[], architecture="thing").problems[0]
    # an acknowledgement of a grant that is merely unused does not do
    merely = compare(has, refused, acknowledged=[acknowledgement()], architecture="thing")
    assert "was refused" in merely.problems[0]
    # and when nothing refused it in a whole life, that is a problem
    (missed,) = compare(has, [], acknowledged=on_purpose, architecture="thing").problems
    assert "nothing refused it" in missed


def test_an_acknowledged_unused_grant_is_no_problem() -> None:
    # Given an unused grant and its acknowledgement
    has = granted(grant("sqs:PurgeQueue", QUEUE))
    # When compared
    report = compare(has, [], acknowledged=[acknowledgement()])
    # Then it stays unused, with the reason, and is no problem
    assert statuses(report) == [("sqs:PurgeQueue", "unused")]
    assert report.units[0].acknowledged
    assert report.units[0].reason == "only after an accident"
    assert report.problems == ()


@pytest.mark.parametrize("resource", ["Queue", "Queue47110815"])
@pytest.mark.parametrize("role", ["WorkerRole", "WorkerRoleABCD1234"])
def test_an_acknowledgement_names_with_or_without_cdks_hash(role: str, resource: str) -> None:
    # Given an unused grant, When it is acknowledged in either way, Then it is no problem
    table = [acknowledgement(role=role, resource=resource)]
    assert compare(granted(grant("sqs:PurgeQueue", QUEUE)), [], acknowledged=table).problems == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": "Photos"},
        {"resource": ""},
        {"resource": "Queu"},
        {"resource": "Queue4711"},
        {"resource": "Queue/x"},
        {"role": "Other"},
        {"role": "WorkerRol"},
        {"role": "W"},
        {"role": "WorkerRoleABCD"},
        {"action": "sqs:SendMessage"},
        {"action": "sqs:Purge"},
    ],
    ids=lambda fields: " ".join(f"{key}={value}" for key, value in fields.items()),
)
def test_an_acknowledgement_covers_nothing_but_what_it_names(fields: dict[str, str]) -> None:
    # Given an unused grant, and an acknowledgement of something else, or of the beginning of a name
    has = granted(grant("sqs:PurgeQueue", QUEUE))
    # When compared
    report = compare(has, [], acknowledged=[acknowledgement(**fields)])
    # Then the grant is not covered, and the acknowledgement covers nothing
    assert not report.units[0].acknowledged
    assert any("is granted and unused" in problem for problem in report.problems)
    assert any("not granted any more" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("resource", "named"),
    [
        ("*", ""),
        ("*", "Photos"),
        (f"{PHOTOS}/*", "Photos"),
        (f"{PHOTOS}/*", "Photos/*"),
        (f"{PHOTOS}*", "Photos"),
        (f"{PHOTOS}/uploads/*", "Photos/uploads/"),
        ("arn:aws:s3:::elsewhere/x", ""),
        (f"all but {PHOTOS}", "Photos"),
    ],
)
def test_a_grant_on_a_pattern_cannot_be_acknowledged(resource: str, named: str) -> None:
    # Given an unused grant on more than one thing, of an action that supports resources
    has = granted(grant("s3:DeleteObject", resource))
    # When somebody tries to acknowledge it
    report = compare(has, [], acknowledged=[acknowledgement(action="s3:DeleteObject", resource=named)])
    # Then it stays a problem
    assert not report.units[0].acknowledged
    assert any("s3:DeleteObject" in problem and "is granted and unused" in problem for problem in report.problems)


def test_a_grant_on_part_of_a_resource_is_acknowledged_by_that_part() -> None:
    # Given an unused grant on one object
    has = granted(grant("s3:DeleteObject", f"{PHOTOS}/index.json"))
    table = [acknowledgement(action="s3:DeleteObject", resource="Photos/index.json")]
    # When that object is named, Then the grant is covered; and it is not by the bucket alone
    assert compare(has, [], acknowledged=table).problems == ()
    assert compare(has, [], acknowledged=[replace(table[0], resource="Photos")]).problems


def test_an_action_that_supports_no_resource_is_acknowledged_without_one() -> None:
    # Given an unused grant that has to be on `*`
    has = granted(grant("rekognition:DetectLabels", "*"))
    table = [acknowledgement(action="rekognition:DetectLabels", resource="")]
    # When it is acknowledged without a resource, Then that is no problem
    assert compare(has, [], acknowledged=table).problems == ()


def test_no_role_gets_more_acknowledged_grants_by_being_named_in_two_ways() -> None:
    # Given a role with four unused grants
    actions = ("sqs:PurgeQueue", "sqs:DeleteQueue", "sqs:TagQueue", "sqs:UntagQueue")
    has = granted(*(grant(action, QUEUE) for action in actions))
    # When two are acknowledged under each of its names
    names = ("WorkerRole", "WorkerRole", "WorkerRoleABCD1234", "WorkerRoleABCD1234")
    table = [acknowledgement(action=action, role=role) for action, role in zip(actions, names, strict=True)]
    report = compare(has, [], acknowledged=table)
    # Then they are too many, to the table by itself and to the report
    assert any("3 are the most" in fault for fault in faults(table))
    assert "WorkerRoleABCD1234 has 4 acknowledged grants, 3 are the most" in report.problems


def test_an_acknowledgement_that_covers_two_roles_is_a_problem() -> None:
    # Given two roles whose names differ in nothing but the hash
    other = "thing-Other"
    roles = {ROLE: "WorkerRoleABCD1234", other: "WorkerRole00000000"}
    grants = (grant("sqs:PurgeQueue", QUEUE), grant("sqs:PurgeQueue", QUEUE, principal=other))
    has = Granted(stack="thing", roles=roles, names=NAMES, grants=grants)
    # When one entry would cover both, Then it has to say which
    (problem,) = compare(has, [], acknowledged=[acknowledgement()]).problems
    assert "covers 2 grants" in problem


@pytest.mark.parametrize("still_granted", [True, False])
def test_a_stale_acknowledgement_is_a_problem(still_granted: bool) -> None:
    # Given an acknowledgement of a grant that is used by now, or gone
    has = granted(*([grant("sqs:PurgeQueue", QUEUE)] if still_granted else []))
    # When compared
    report = compare(has, [decision("sqs:PurgeQueue", QUEUE)] * still_granted, acknowledged=[acknowledgement()])
    # Then it is called stale
    assert len(report.problems) == 1
    assert "used or not granted any more" in report.problems[0]


def test_while_a_stack_stands_an_acknowledged_grant_may_have_been_used() -> None:
    # Given an acknowledged grant, and a stack that saw more than its scenario
    has = granted(grant("sqs:PurgeQueue", QUEUE))
    used = [decision("sqs:PurgeQueue", QUEUE)]
    # When it was used, Then that is no problem
    assert compare(has, used, acknowledged=[acknowledgement()], whole_life=False).problems == ()
    # but one that is not granted any more is stale all the same
    report = compare(granted(), used, acknowledged=[acknowledgement()], whole_life=False)
    assert "not granted any more" in report.problems[0]


def test_acknowledgements_of_other_architectures_are_left_alone() -> None:
    # Given another architecture's acknowledgement
    # When this one's report is made, Then it is not called stale
    assert compare(granted(), [], acknowledged=[acknowledgement(architecture="other")]).problems == ()


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([acknowledgement(action="sqs:*")], "wildcard"),
        ([acknowledgement(resource="*")], "wildcard"),
        ([acknowledgement(role="*")], "wildcard"),
        ([acknowledgement(role="")], "no role"),
        ([acknowledgement(role="anyone")], "no role"),
        ([acknowledgement(resource="")], "names no resource"),
        ([acknowledgement(action="")], "names no action"),
        ([acknowledgement(action="all but sqs:SendMessage")], "names no action"),
        ([acknowledgement(reason=" ")], "without a reason"),
        ([acknowledgement(), acknowledgement(resource="Queue47110815")], "2 times"),
        ([acknowledgement(), acknowledgement()], "2 times"),
        ([acknowledgement(action=f"sqs:{name}") for name in "ABCD"], "3 are the most"),
    ],
)
def test_a_lax_table_of_acknowledgements_is_refused(table: list[UnusedGrant], expected: str) -> None:
    # When a lax table is looked at, Then its fault is named
    assert any(expected in fault for fault in faults(table))


def test_the_projects_own_table_is_not_lax() -> None:
    assert faults(UNUSED_GRANTS) == []


def test_principals_of_a_resource_policy_are_told_apart() -> None:
    # Given a key policy in CDK's shape, and one that lets a role and everybody in
    account = {"AWS": "arn:aws:iam::000000000000:root"}
    document = {
        "Statement": [
            {"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam::0:role/{ROLE}"]}, "Action": "kms:Decrypt"},
            {"Effect": "Allow", "Principal": "*", "Action": ["kms:Encrypt", "kms:Sign"], "Resource": "*"},
        ]
    }
    # When it is split
    grants = statements(document, "policy of key K", itself="arn:key")
    # Then each grant has its principal, and `*` stands for the key itself
    assert [(g.principal, g.action, g.resource) for g in grants] == [
        ("account", "kms:*", "arn:key"),
        (ROLE, "kms:Decrypt", "arn:key"),
        ("anyone", "kms:Encrypt", "arn:key"),
        ("anyone", "kms:Sign", "arn:key"),
    ]
    # and the account's own share is said to be not checkable
    assert compare(granted(grants[0]), []).units[0].status is Status.NOT_CHECKABLE


def test_patterns_match_as_iam_matches() -> None:
    assert matches("s3:getobject*", "s3:GetObjectVersion", any_case=True)
    assert not matches("arn:aws:s3:::Bucket/*", "arn:aws:s3:::bucket/key")
    assert matches("arn:?:x", "arn:a:x")
    assert not matches("arn:?:x", "arn:ab:x")
    assert not matches("a.c", "abc")


def unit_in_json(action: str, resource: str, status: str) -> dict[str, Any]:
    return {
        "principal": ROLE,
        "role": "WorkerRoleABCD1234",
        "action": action,
        "resource": resource,
        "status": status,
        "policy": "inline policy P",
        "condition": None,
        "times": 0,
        "matched": [],
        "tighter": None,
        "reason": None,
        "acknowledged": False,
    }


def test_the_report_is_given_as_json_and_as_a_table() -> None:
    # Given a report with something of each kind, and with text that looks like markup
    has = granted(grant("s3:GetObject", f"{PHOTOS}/*"), grant("sqs:PurgeQueue", QUEUE, condition=CONDITION))
    report = compare(
        has,
        [decision("s3:GetObject", f"{PHOTOS}/uploads/[b].jpg"), decision("sqs:SendMessage", QUEUE, allowed=False)],
        acknowledged=[acknowledgement()],
    )
    # When it is given as JSON, Then every unit is in it, with everything that is known of it
    body = json.loads(json.dumps(report.to_json()))
    assert body["summary"] == {"missing": 1, "used": 1, "unused": 1, "not checkable here": 0}
    assert {unit["action"]: unit for unit in body["units"]} == {
        "sqs:SendMessage": {
            **unit_in_json("sqs:SendMessage", QUEUE, "missing"),
            "policy": "",
            "times": 1,
            "reason": "no policy allows it",
        },
        "s3:GetObject": {
            **unit_in_json("s3:GetObject", f"{PHOTOS}/*", "used"),
            "times": 1,
            "matched": [f"{PHOTOS}/uploads/[b].jpg"],
            "tighter": f"{PHOTOS}/uploads/[b].jpg",
        },
        "sqs:PurgeQueue": {
            **unit_in_json("sqs:PurgeQueue", QUEUE, "unused"),
            "condition": json.loads(CONDITION),
            "acknowledged": True,
            "reason": "only after an accident",
        },
    }
    assert (body["stack"], body["exercised"], body["ok"]) == ("thing", True, False)
    assert body["problems"] == list(report.problems) != []
    # When it is printed, Then statuses, short names, tighter patterns and problems are in it
    out = io.StringIO()
    render(report, Console(file=out, width=200))
    for text in (
        "WorkerRoleABCD1234",
        "{Photos08154711}/*",
        "enough: {Photos08154711}/uploads/[b].jpg",
        "if aws:SourceArn ArnEquals {Queue47110815}, [red]",
        "✗",
    ):
        assert text in out.getvalue()
