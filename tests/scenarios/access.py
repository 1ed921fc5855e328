"""What the matrix of access-control says, as expectations of the policies that a stack has deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from local.emulator.seams.request_keys import of_sagemaker
from local.emulator.seams.simulation import Document, Value
from scenarios.access_control import ROLES
from scenarios.access_matrix import EVERYTHING, Cell, filled
from tests.mutations import Expectation, Request

ARCHITECTURE = "access-control"
ALL: Document = json.loads(EVERYTHING)


def context(cell: Cell, words: Mapping[str, str]) -> dict[str, Value]:
    """The condition keys of a cell's request: of the person, of the thing, of what is asked for."""
    found: dict[str, Value] = {} if cell.person in ("broker", "job") else {"aws:PrincipalTag/project": cell.project}
    if cell.tagged:
        found["aws:ResourceTag/project"] = cell.tagged
    if cell.call is not None:
        arguments = filled(cell.call.arguments, words)
        if cell.call.service == "sagemaker":
            found |= of_sagemaker(cell.call.operation, arguments)
        tags = arguments.get("Tags") or []
        found |= {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
        found |= {"aws:TagKeys": [tag["Key"] for tag in tags]} if tags else {}
    more: dict[str, Value] = filled(cell.context, words)
    return found | more


def layers(cell: Cell) -> dict[str, Any]:
    """Which documents have a say in a cell, as an Expectation takes them."""
    if cell.person == "broker":
        return {"identity": ["Broker/inline/BrokerDefaultPolicy"], "resource": ["Scientist/trust"], "required": True}
    if cell.person == "job":
        found: dict[str, Any] = {"boundary": ["JobBoundary"], "extra": {"everything": ALL}}
    else:
        role = ROLES[cell.person]
        found = {"identity": [f"{role}Policy"], "boundary": [f"{role}Boundary"]}
        found |= {"extra": {"everything": ALL}} if cell.widened else {}
        found |= {"session": ["VisitorSession"]} if cell.person == "visitor" else {}
    if ":::<bucket>" in cell.resource:
        found["resource"] = ["DataPolicy"]
    if cell.resource == "<key>":
        found |= {"resource": ["Key"], "required": True}
    return found


def expectation(cell: Cell, words: Mapping[str, str]) -> Expectation:
    """A cell as the policies are asked about it."""
    principal = words[cell.person] if cell.person in words else f"arn:aws:iam::{words['account']}:role/{cell.person}"
    request = Request(cell.action, filled(cell.resource, words), principal, context(cell, words), words["region"])
    return Expectation(cell.name, cell.allowed, request, **layers(cell))


def of_the_machinery(words: Mapping[str, str]) -> Iterator[Expectation]:
    """What no person asks for: signing in by others, plain HTTP, services that use the key."""
    account, region, stack = words["account"], words["region"], words["stack"]
    everything: Mapping[str, Any] = {"extra": {"everything": ALL}}
    project: dict[str, Value] = {"aws:RequestTag/project": "fraud"}
    for role in sorted(set(ROLES.values())):
        arn = f"arn:aws:iam::{account}:role/{stack}/people/{role}"
        trust: dict[str, Any] = {"resource": [f"{role}/trust"], "required": True}
        for action in ("sts:AssumeRole", "sts:TagSession"):
            for name, allowed, principal, keys in (
                ("by the broker, in a project", True, words["broker"], project),
                ("by the broker, in none", False, words["broker"], {}),
                ("by somebody else", False, f"arn:aws:iam::{account}:role/other", project),
            ):
                request = Request(action, arn, principal, keys, region)
                yield Expectation(f"{action} {role} {name}", allowed, request, **trust, **everything)
    for secure in (True, False):
        keys = {"aws:SecureTransport": str(secure).lower()}
        request = Request("s3:GetObject", f"arn:aws:s3:::{words['bucket']}/x", words["broker"], keys, region)
        yield Expectation(f"TLS {secure}", secure, request, resource=["DataPolicy"], **everything)
    for service, key, own, other in (
        (f"logs.{region}.amazonaws.com", "kms:EncryptionContext:aws:logs:arn", "logs:{}:{}:log-group:{}-x", "y"),
        ("cloudwatch.amazonaws.com", "aws:SourceArn", "cloudwatch:{}:{}:alarm:{}-x", "y"),
    ):
        for name, allowed in ((stack, True), (other, False)):
            keys = {key: f"arn:aws:{own.format(region, account, name)}"}
            request = Request("kms:Decrypt", words["key"], service, keys, region)
            yield Expectation(f"{service} for {name}", allowed, request, resource=["Key"], required=True)


def everybody_may_everything(one: Expectation) -> Expectation:
    """The same question of a role with `*` and no limits."""
    return replace(one, identity=(), boundary=(), session=(), extra={"everything": ALL})
