"""The harness that takes policies apart notices what no expectation covers, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.mutations import Expectation, Request, mutants, survivors, wrong

CALLER = "arn:aws:iam::111122223333:role/clerk"
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::papers/*"}
PLAIN = {
    "Sid": "NeverInClear",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
DOCUMENTS: dict[str, Any] = {"Clerk": {"Statement": READ}, "Papers": {"Statement": [PLAIN]}}


def reads(name: str, *, allowed: bool, secure: str) -> Expectation:
    request = Request("s3:GetObject", "arn:aws:s3:::papers/one", CALLER, {"aws:SecureTransport": secure})
    return Expectation(name, allowed, request, identity=["Clerk"], resource=["Papers"])


ENCRYPTED = reads("reads by TLS", allowed=True, secure="true")
CLEAR = reads("does not read in clear", allowed=False, secure="false")


def test_each_denial_and_each_condition_is_taken_out() -> None:
    # Given one document with a conditional denial, and one with a plain grant
    # When all changes are made
    made = [str(mutant) for mutant in mutants(DOCUMENTS)]
    # Then the denial loses itself, and its condition; the grant is left alone
    assert made == [
        "Papers[0] NeverInClear: the statement taken out",
        "Papers[0] NeverInClear: its conditions taken out",
    ]


def test_of_several_conditions_each_is_taken_out_by_itself() -> None:
    # Given a statement with two conditions under one operator and one under another
    conditions = {"StringEquals": {"a:x": "1", "a:y": "2"}, "Null": {"a:z": "false"}}
    # When it is changed
    changes = {m.change: m.body["Statement"] for m in mutants({"P": {"Statement": {**READ, "Condition": conditions}}})}
    # Then each is missing once, and all are
    assert set(changes) == {
        "its conditions taken out",
        "StringEquals a:x taken out",
        "StringEquals a:y taken out",
        "Null a:z taken out",
    }
    assert changes["StringEquals a:x taken out"][0]["Condition"] == {
        "StringEquals": {"a:y": "2"},
        "Null": {"a:z": "false"},
    }
    assert changes["Null a:z taken out"][0]["Condition"] == {"StringEquals": {"a:x": "1", "a:y": "2"}}


def test_what_no_expectation_covers_survives() -> None:
    # Given expectations that hold
    assert wrong([ENCRYPTED, CLEAR], DOCUMENTS) == []
    # When one of them is missing, Then the change that it alone would notice survives
    assert [mutant.change for mutant in survivors([ENCRYPTED], DOCUMENTS)] == ["the statement taken out"]
    assert [mutant.change for mutant in survivors([CLEAR], DOCUMENTS)] == ["its conditions taken out"]
    # And together they notice all
    assert survivors([ENCRYPTED, CLEAR], DOCUMENTS) == []


def test_an_expectation_that_does_not_hold_is_named_with_what_was_decided() -> None:
    # Given the opposite of what is so, When it is compared
    (line,) = wrong([reads("reads in clear", allowed=True, secure="false")], DOCUMENTS)
    # Then it is named, with the statement that decided
    assert line.startswith("reads in clear: ")
    assert "explicitDeny" in line
    assert "NeverInClear" in line


def test_every_kind_of_layer_has_its_say() -> None:
    # Given a grant, When each layer in turn allows nothing, Then it is that layer that refuses
    nothing: dict[str, Any] = {"Statement": [{**READ, "Principal": "*", "Resource": "arn:aws:s3:::others/*"}]}
    documents = {"Clerk": {"Statement": [READ]}, "Other": nothing}
    request = Request("s3:GetObject", "arn:aws:s3:::papers/one", CALLER)
    for layer in ("boundary", "session", "endpoint"):
        narrowed = Expectation("narrowed", allowed=False, request=request, identity=["Clerk"], **{layer: ["Other"]})  # type: ignore[arg-type]
        assert wrong([narrowed], documents) == []
        assert narrowed.verdict(documents).layer == layer
    # And a resource's policy that must allow and does not
    required = Expectation("key", allowed=False, request=request, identity=["Clerk"], resource=["Other"], required=True)
    assert required.verdict(documents).layer == "resource"
    # While one that only may allow leaves the decision to the caller's own
    assert (
        Expectation("bucket", allowed=True, request=request, identity=["Clerk"], resource=["Other"])
        .verdict(documents)
        .allowed
    )
