"""Asks a deployed secure-studio stack what each persona may do, and whether its machines stand as they should.

Only AWS APIs, so it works the same on every cloud. Nobody's role can be taken on by hand, so IAM itself is asked: it
decides each request by the role's own policies (`SimulatePrincipalPolicy`), and makes none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.cloud import Cloud

SUFFIXES = (".json",)
PERSONAS = ("Scientist", "Engineer", "Administrator", "Auditor")
# The execution role of the notebook instance beside them.
NOTEBOOK = "Notebook"
WHO = (*PERSONAS, NOTEBOOK)
# What stands for the stack's own notebook instance in a request.
OWN = "notebook"


class RequestError(ValueError):
    """A file of requests is none. `str()` is one line."""


@dataclass(frozen=True)
class Asked:
    """A request: whose role, the IAM action, on what, and whether it is to be allowed.

    `on` is a key or a prefix in the project's bucket, or the name of a notebook instance (`notebook`: the stack's own).
    `tags` are the keys of tags that the request writes.
    """

    who: str
    action: str
    on: str
    allowed: bool
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What IAM decided: `allowed`, `implicitDeny` or `explicitDeny`, and the policies of which a statement matched."""

    asked: Asked
    decision: str
    policies: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether it was decided as it should be."""
        return (self.decision == "allowed") == self.asked.allowed


@dataclass(frozen=True)
class Fact:
    """How a machine or a profile stands, beside how it should."""

    what: str
    found: str
    expected: str


@dataclass(frozen=True)
class Report:
    """All answers in the order of the requests, and how the machines stand."""

    answers: tuple[Answer, ...]
    facts: tuple[Fact, ...]

    @property
    def complete(self) -> bool:
        """Whether every answer is right and every machine stands as it should."""
        return (
            bool(self.answers)
            and all(answer.right for answer in self.answers)
            and all(fact.found == fact.expected for fact in self.facts)
        )


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Has IAM decide every request of these files. `outputs` are the stack's.

    Raises RequestError for a file that holds something else, OSError for one that cannot be read, and botocore's errors
    where the cloud refuses.
    """
    requests = [request for path in files for request in read_requests(path)]
    answers = []
    for request in requests:
        answers.append(ask(cloud, outputs, request))
        progress(f"{len(answers)} of {len(requests)} decided")
    return Report(tuple(answers), tuple(facts(cloud, outputs)))


def read_requests(path: Path) -> list[Asked]:
    """The requests of a JSON file: a list of objects with the members of `Asked`. Raises RequestError, OSError."""
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        raise RequestError(f"{path.name} is no JSON: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RequestError(f"{path.name} is no list of requests.")
    return [_read(path.name, number, entry) for number, entry in enumerate(entries, start=1)]


def _read(file: str, number: int, entry: Mapping[str, Any]) -> Asked:
    where = f"{file}, request {number}"
    if unknown := entry.keys() - {"who", "action", "on", "allowed", "tags"}:
        raise RequestError(f"{where}: {', '.join(sorted(unknown))} is not known.")
    who, action, on, allowed, tags = (entry.get(name) for name in ("who", "action", "on", "allowed", "tags"))
    if who not in WHO:
        raise RequestError(f"{where}: who is {who!r}, and may be {', '.join(WHO)}.")
    if not isinstance(action, str) or action.partition(":")[0] not in ("s3", "sagemaker"):
        raise RequestError(f"{where}: {action!r} is no action of s3 or sagemaker.")
    if not isinstance(on, str) or not on:
        raise RequestError(f"{where}: on says on what.")
    if not isinstance(allowed, bool):
        raise RequestError(f"{where}: allowed is true or false.")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise RequestError(f"{where}: tags is a list of keys.")
    return Asked(str(who), action, on, allowed, tuple(tags or ()))


def ask(cloud: Cloud, outputs: Mapping[str, str], request: Asked) -> Answer:
    """What IAM decides of one request."""
    resource, context = _resource(outputs, request)
    (result,) = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=outputs[f"{request.who}RoleArn"],
        ActionNames=[request.action],
        ResourceArns=[resource],
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": list(values)}
            for key, kind, values in context
        ],
    )["EvaluationResults"]
    matched = [str(one["SourcePolicyId"]) for one in result.get("MatchedStatements", ())]
    return Answer(request, str(result["EvalDecision"]), tuple(dict.fromkeys(matched)))


def _resource(outputs: Mapping[str, str], request: Asked) -> tuple[str, list[tuple[str, str, tuple[str, ...]]]]:
    """The ARN of what a request is about, and the condition keys that come with it: name, type and values."""
    partition, region, account = (outputs["KeyArn"].split(":")[part] for part in (1, 3, 4))
    if request.action.startswith("sagemaker:"):
        name = outputs["NotebookName"] if request.on == OWN else request.on
        tags = [("aws:TagKeys", "stringList", request.tags)] if request.tags else []
        return f"arn:{partition}:sagemaker:{region}:{account}:notebook-instance/{name}", tags
    bucket = f"arn:{partition}:s3:::{outputs['BucketName']}"
    if request.action == "s3:ListBucket":
        return bucket, [("s3:prefix", "string", (request.on,))]
    return f"{bucket}/{request.on}", []


def facts(cloud: Cloud, outputs: Mapping[str, str]) -> list[Fact]:
    """How the domain, its profiles and the notebook stand."""
    sagemaker = cloud.client("sagemaker")
    domain = sagemaker.describe_domain(DomainId=outputs["DomainId"])
    notebook = sagemaker.describe_notebook_instance(NotebookInstanceName=outputs["NotebookName"])
    found = [
        Fact("Studio's apps and the internet", domain["AppNetworkAccessType"], "VpcOnly"),
        Fact("the notebook's direct internet", notebook["DirectInternetAccess"], "Disabled"),
        Fact("root for the notebook's user", notebook["RootAccess"], "Disabled"),
        Fact("the notebook's key", notebook["KmsKeyId"], outputs["KeyArn"]),
        Fact("Studio's key", domain["KmsKeyId"], outputs["KeyArn"]),
    ]
    roles = {outputs[f"{persona}RoleArn"] for persona in PERSONAS}
    pages = sagemaker.get_paginator("list_user_profiles").paginate(DomainIdEquals=outputs["DomainId"])
    for profile in (one["UserProfileName"] for page in pages for one in page["UserProfiles"]):
        described = sagemaker.describe_user_profile(DomainId=outputs["DomainId"], UserProfileName=profile)
        role = described["UserSettings"]["ExecutionRole"]
        found.append(Fact(f"the role of {profile}", "of a persona" if role in roles else role, "of a persona"))
    return found
