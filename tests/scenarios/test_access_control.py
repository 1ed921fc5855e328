"""Give each role what it needs: every cell of the matrix is really asked for, simulated, and held against mutations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.emulator.seams.simulation import Document
from local.permissions import Status, compare, granted
from scenarios import access_control
from scenarios.access_control import ROLES, Report, words_of
from scenarios.access_matrix import BY_A_SERVICE, CELLS, Cell
from stacks.policy.grants import HASH
from tests import mutations
from tests.conftest import SharedStacks
from tests.scenarios.access import (
    ALL,
    ARCHITECTURE,
    context,
    everybody_may_everything,
    expectation,
    of_the_machinery,
)

Decisions = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One run of the scenario, and the decisions that the cloud took while each request was made."""

    report: Report
    decisions: Mapping[str, Decisions]


@pytest.fixture(scope="module")
def outputs(cloud: LocalCloud, shared_stacks: SharedStacks) -> dict[str, str]:
    """The outputs of the shared stack, which was deployed for a network, so that all statements are there."""
    subnet, group, _ = access_control.make_network(cloud)
    return shared_stacks(ARCHITECTURE, {"subnets": [subnet], "security_groups": [group]})


@pytest.fixture(scope="module")
def words(cloud: LocalCloud, outputs: dict[str, str]) -> dict[str, str]:
    """What the words of the matrix stand for."""
    return {**words_of(cloud, outputs, "any"), "broker": outputs["BrokerRoleArn"]}


@pytest.fixture(scope="module")
def documents(cloud: LocalCloud, outputs: dict[str, str]) -> dict[str, Document]:
    """All policies of the stack, as they are deployed."""
    assert outputs
    return mutations.of_stack(cloud, ARCHITECTURE)


@pytest.fixture(scope="module")
def done(cloud: LocalCloud, outputs: dict[str, str]) -> Run:
    """The scenario, driven once."""
    seen: dict[str, Decisions] = {}
    since = cloud.control.last_decision()

    def watch(cell: Cell, _words: Mapping[str, str]) -> None:
        nonlocal since
        seen[cell.name] = cloud.control.decisions(since=since)
        since = max([since, *(decision["seq"] for decision in seen[cell.name])])

    return Run(access_control.run(cloud, outputs, watch=watch), seen)


def test_the_matrix_is_large_and_mostly_refuses() -> None:
    # Given the matrix, Then it has the cells that it is to have, each under a name of its own
    assert len(CELLS) >= 80
    assert 2 * sum(not cell.allowed for cell in CELLS) >= len(CELLS)
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    # And each names what decides, and says so where it cannot be asked for
    assert all(cell.by for cell in CELLS)
    assert all(bool(cell.why_not) == (cell.call is None) for cell in CELLS)


def test_every_cell_is_decided_as_written_by_really_asking(done: Run) -> None:
    # Given people who signed in, When each asks for what the matrix says, Then the answers are the matrix's
    assert [(answer.cell.name, answer.code, answer.message) for answer in done.report.wrong] == []
    # And what was allowed was done, but that a job of an image that does not exist is over before anybody stops it
    undone = {answer.cell.action: answer.code for answer in done.report.answers if answer.allowed and answer.code}
    stopped = ("sagemaker:StopTrainingJob", "sagemaker:StopProcessingJob")
    assert undone == dict.fromkeys(stopped, "ValidationException")
    # And all was asked for, but what says why not
    assert {cell.name for cell in done.report.not_asked} == {cell.name for cell in CELLS if cell.call is None}
    assert {cell.why_not for cell in done.report.not_asked} == {BY_A_SERVICE}
    assert done.report.complete


def test_each_answer_is_by_the_statement_that_the_matrix_names(done: Run) -> None:
    # Given the decisions that the cloud took for each request
    wrong = []
    for cell in (answer.cell for answer in done.report.answers):
        found = [
            one for one in done.decisions[cell.name] if one["action"] == cell.action and one["allowed"] == cell.allowed
        ]
        if not found:
            # A trust policy is asked by STS itself, which keeps no record.
            assert cell.person == "broker", cell
            continue
        sids = {one["statement"]["sid"] if one["statement"] else None for one in found}
        explicit = cell.allowed or _denies(cell)
        # When they are compared with the matrix
        if explicit and cell.by not in sids and not (cell.person == "job" and cell.allowed):
            wrong.append((cell.name, cell.by, sids))
        if not explicit and sids != {None}:
            wrong.append((cell.name, "no statement", sids))
    # Then each is by the statement named, and what no statement denies by none
    assert wrong == []


def _denies(cell: Cell) -> bool:
    """Whether a refusal is a denial's: grants have the names of what they grant."""
    return not cell.allowed and cell.layer == "boundary" and cell.by not in ("Ceiling", "Content", "Run", "Disk")


def test_every_cell_is_decided_as_written_by_the_simulator(
    cloud: LocalCloud, outputs: dict[str, str], words: dict[str, str], documents: dict[str, Document]
) -> None:
    # Given each cell of a person's own role (a session's policy cannot be told to the simulator, on AWS neither)
    iam, wrong, asked = cloud.client("iam"), [], 0
    for cell in CELLS:
        if cell.person not in ROLES or cell.person == "visitor":
            continue
        one = expectation(cell, words)
        entries = [
            {
                "ContextKeyName": key,
                "ContextKeyValues": [value] if isinstance(value, str) else list(value),
                "ContextKeyType": "string" if isinstance(value, str) else "stringList",
            }
            for key, value in {"aws:SecureTransport": "true", **context(cell, words)}.items()
        ]
        policy = {"ResourcePolicy": json.dumps(documents["DataPolicy"])} if one.resource == ["DataPolicy"] else {}
        # When IAM is asked what it would decide
        (answer,) = iam.simulate_principal_policy(
            PolicySourceArn=outputs[f"{ROLES[cell.person]}RoleArn"],
            ActionNames=[cell.action],
            ResourceArns=[one.request.resource],
            ContextEntries=entries,
            **policy,
            **({"PolicyInputList": [json.dumps(ALL)]} if cell.widened else {}),
        )["EvaluationResults"]
        asked += 1
        expected = "allowed" if cell.allowed else "explicitDeny" if _denies(cell) else "implicitDeny"
        if answer["EvalDecision"] != expected:
            wrong.append((cell.name, answer["EvalDecision"], answer["MissingContextValues"]))
    # Then it is as written
    assert wrong == []
    assert asked >= 80


def test_every_cell_is_by_the_layer_that_the_matrix_names(
    words: dict[str, str], documents: dict[str, Document]
) -> None:
    # Given each cell, When its policies are asked, Then it is decided as written, and by the layer and statement named
    wrong = []
    for cell in CELLS:
        verdict = expectation(cell, words).verdict(documents)
        sids = {one.sid for one in verdict.statements}
        named = cell.by in sids if _denies(cell) else True
        if (verdict.allowed, verdict.layer, named) != (cell.allowed, cell.layer, True):
            wrong.append((cell.name, verdict))
    assert wrong == []


def test_what_no_statement_denies_waits_for_the_grant_that_the_matrix_names(
    words: dict[str, str], documents: dict[str, Document]
) -> None:
    # Given each refusal without a denial
    wrong = []
    for cell in CELLS:
        if cell.allowed or _denies(cell) or cell.layer == "resource":
            continue
        one = expectation(cell, words)
        # When the grant that it names were for everything
        changed = dict(documents)
        for name in {"identity": one.identity, "boundary": one.boundary, "session": one.session}[cell.layer]:
            changed[name] = {
                **documents[name],
                "Statement": [
                    {**ALL["Statement"][0], "Sid": cell.by} if statement.get("Sid") == cell.by else statement
                    for statement in mutations.statements(documents[name])
                ],
            }
        # Then it would be allowed
        if changed == documents or not one.verdict(changed).allowed:
            wrong.append((cell.name, one.verdict(changed)))
    assert wrong == []


def test_iams_own_simulator_judges_every_document_as_the_harness_does(
    cloud: LocalCloud, words: dict[str, str], documents: dict[str, Document]
) -> None:
    # Given every question that the harness has about the policies of the stack
    expectations = [*(expectation(cell, words) for cell in CELLS), *of_the_machinery(words)]
    # and, of documents that it has none about, whether they grant what stands in them
    asked_about = {name for one in expectations for name in one.documents}
    for name in set(documents) - asked_about:
        for statement in mutations.statements(documents[name]):
            for action in _listed(statement["Action"]):
                for resource in _listed(statement.get("Resource", words["broker"])):
                    request = mutations.Request(action, resource, words["broker"])
                    one = mutations.Expectation(f"{name}: {action}", True, request)
                    trust = name.endswith("/trust")
                    expectations.append(replace(one, resource=[name]) if trust else replace(one, identity=[name]))
    # When IAM is asked them, through its API
    found = list(mutations.simulated(cloud, expectations, documents))
    # Then both say the same, whichever document has a say
    assert [one for one in found if one[1] != mutations.Answer(one[2].decision, len(one[2].statements))] == []
    assert {name for one, _, _ in found for name in one.documents} == set(documents)
    assert {said.decision for _, said, _ in found} == {"allowed", "explicitDeny", "implicitDeny"}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_iams_own_simulator_notices_what_the_harness_notices(
    cloud: LocalCloud, words: dict[str, str], documents: dict[str, Document]
) -> None:
    # Given the scientists' boundary, with each denial and each condition of it taken out in turn
    expectations = [expectation(cell, words) for cell in CELLS if cell.person == "scientist"]
    boundary = {name: one for name, one in documents.items() if name == "ScientistBoundary"}
    for mutant in mutations.mutants(boundary):
        changed = {**documents, mutant.document: mutant.body}
        noticing = next(one for one in expectations if one.verdict(changed).allowed != one.allowed)
        # When IAM is asked the question by which the harness notices, Then it notices too
        ((_, told, _),) = mutations.simulated(cloud, [noticing], changed)
        assert (told.decision == "allowed") is not noticing.allowed, mutant


def test_every_statement_taken_out_is_noticed(words: dict[str, str], documents: dict[str, Document]) -> None:
    # Given all expectations, which hold
    expectations = [*(expectation(cell, words) for cell in CELLS), *of_the_machinery(words)]
    assert mutations.wrong(expectations, documents) == []
    # When each denial, and each condition, of each document is taken out
    changes = list(mutations.mutants(documents))
    assert len(changes) >= 60
    # Then an expectation notices each
    assert [str(mutant) for mutant in mutations.survivors(expectations, documents)] == []


def test_a_role_that_may_everything_fails_the_matrix(words: dict[str, str], documents: dict[str, Document]) -> None:
    # Given the matrix of the people
    expectations = [expectation(cell, words) for cell in CELLS if cell.person in ROLES]
    # When each had `*` and no limits, Then most of it would not hold
    free = [everybody_may_everything(one) for one in expectations]
    assert len(mutations.wrong(free, documents)) >= 30
    # And with `*` inside the limits the denials still would
    limited = [replace(one, identity=(), extra={"everything": ALL}) for one in expectations]
    broken = {line.partition(": {")[0] for line in mutations.wrong(limited, documents)}
    assert not broken & {cell.name for cell in CELLS if _denies(cell)}


@pytest.fixture
def without_the_network_rule(
    cloud: LocalCloud, outputs: dict[str, str], documents: dict[str, Document]
) -> Iterator[None]:
    """The scientists' boundary without one denial, as somebody might rewrite it."""
    iam = cloud.client("iam")
    arn = words_of(cloud, outputs, "any")["scientist boundary"]
    body = documents["ScientistBoundary"]
    left = [one for one in mutations.statements(body) if one.get("Sid") != "InsideANetwork"]
    before = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    version = iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps({**body, "Statement": left}), SetAsDefault=True
    )["PolicyVersion"]["VersionId"]
    yield
    iam.set_default_policy_version(PolicyArn=arn, VersionId=before)
    iam.delete_policy_version(PolicyArn=arn, VersionId=version)


@pytest.mark.usefixtures("without_the_network_rule")
def test_without_its_denial_the_request_is_really_allowed(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a boundary that has lost one rule, and the requests that it stood against and another one did
    cells = [cell for cell in CELLS if cell.person in ("administrator", "scientist")][:2] + [
        cell for cell in CELLS if cell.wish in ("train outside a network", "train for five days")
    ]
    # When they are made
    report = access_control.run(cloud, outputs, cells=cells)
    # Then the one goes through, and the other does not
    assert {answer.cell.wish: answer.allowed for answer in report.answers[2:]} == {
        "train outside a network": True,
        "train for five days": False,
    }


def test_every_grant_is_used(cloud: LocalCloud, done: Run) -> None:
    # Given what was decided while people asked for what they may
    used = [
        decision
        for answer in done.report.answers
        if answer.cell.allowed
        for decision in done.decisions[answer.cell.name]
        if decision["allowed"]
    ]
    # When it is compared with what the stack grants to people
    found = compare(granted(cloud, ARCHITECTURE), used, architecture=ARCHITECTURE)
    unused = {
        (HASH.sub("", unit.role), unit.action, unit.resource)
        for unit in found.units
        if unit.status is Status.UNUSED and HASH.sub("", unit.role) in ("Broker", *ROLES.values())
    }
    # Then nothing is granted in vain, but what the matrix says cannot be asked for here, and what a sign-in comes with
    cannot = {(ROLES[cell.person], cell.action) for cell in CELLS if cell.call is None and cell.person in ROLES}
    assert {one[:2] for one in unused} <= cannot | {("Broker", "sts:TagSession")}
