"""Policies that are taken apart, one statement at a time: some named expectation must notice each.

For stacks whose promise is that something is refused. Collect the policies as they are deployed (`of_stack`), write
down what they must allow and refuse (`Expectation`), and ask for `survivors`: changes that no expectation noticed. Each
is a statement that protects nothing that a test knows of.

What is changed, in every document alike (identity, resource, trust, key, endpoint, boundary, session): each Deny is
taken out; from each statement with conditions they are taken out, all at once and each key by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from local.cloud import LocalCloud
from local.emulator.seams.simulation import Document, Policies, Request, Value, Verdict, judge
from stacks.policy.grants import HASH


@dataclass(frozen=True)
class Expectation:
    """That a request is allowed or refused, and which documents have a say, by their names.

    `boundary`, `session` and `endpoint` limit where they are given; `resource` is the resource's own policy, of a role
    its trust; `required` that it must allow. `extra` are documents that no stack has, such as one that allows
    everything: they count as identity policies and are never changed.
    """

    name: str
    allowed: bool
    request: Request
    identity: Sequence[str] = ()
    boundary: Sequence[str] = ()
    session: Sequence[str] = ()
    resource: Sequence[str] = ()
    endpoint: Sequence[str] = ()
    required: bool = False
    extra: Mapping[str, Document] = field(default_factory=dict)

    @property
    def documents(self) -> frozenset[str]:
        """The names of all that have a say."""
        return frozenset((*self.identity, *self.boundary, *self.session, *self.resource, *self.endpoint))

    def verdict(self, documents: Mapping[str, Document]) -> Verdict:
        """What these documents say. Raises KeyError for a document that is not there."""

        def chosen(names: Sequence[str]) -> dict[str, Document] | None:
            return {name: documents[name] for name in names} if names else None

        return judge(
            self.request,
            Policies(
                identity={**(chosen(self.identity) or {}), **self.extra},
                boundary=chosen(self.boundary),
                session=chosen(self.session),
                resource=chosen(self.resource),
                endpoint=chosen(self.endpoint),
                required=self.required,
            ),
        )


@dataclass(frozen=True)
class Answer:
    """What the simulator of the cloud says: its decision, and how many statements decided."""

    decision: str
    statements: int


def simulated(
    cloud: LocalCloud, expectations: Sequence[Expectation], documents: Mapping[str, Document]
) -> Iterator[tuple[Expectation, Answer, Verdict]]:
    """Asks `SimulateCustomPolicy` what the harness judges by itself, and gives both answers to each question.

    Questions about the same documents, caller and context go in one request with all their actions and resources, so
    the answer of each pair is there. The API takes no policy of a session or of an endpoint, no caller that is a
    service, and does not say that a resource's policy must allow: such expectations are put as it takes them, a
    session's or an endpoint's policy as the caller's own, and left out where the caller is a service.
    """
    batches: dict[str, list[Expectation]] = {}
    for one in map(_as_the_simulator_takes_it, expectations):
        if one.request.principal.startswith("arn:"):
            about = (one.identity, one.boundary, one.resource, one.extra, one.request.principal, one.request.context)
            batches.setdefault(json.dumps([about, one.request.region], default=list), []).append(one)
    for batch in batches.values():
        first, request = batch[0], _simulation(batch, documents)
        paginator = cloud.client("iam").get_paginator("simulate_custom_policy")
        results = [one for page in paginator.paginate(**request) for one in page["EvaluationResults"]]
        found = {(one["EvalActionName"], one["EvalResourceName"]): one for one in results}
        assert len(found) == len(request["ActionNames"]) * len(request["ResourceArns"])
        for (action, resource), answer in found.items():
            asked = replace(first, request=replace(first.request, action=action, resource=resource))
            said = Answer(answer["EvalDecision"], len(answer["MatchedStatements"]))
            yield asked, said, asked.verdict(documents)


def _as_the_simulator_takes_it(one: Expectation) -> Expectation:
    if limits := (*one.session, *one.endpoint):
        return replace(one, identity=limits, boundary=(), session=(), endpoint=(), extra={}, required=False)
    return replace(one, required=False)


def _simulation(batch: Sequence[Expectation], documents: Mapping[str, Document]) -> dict[str, Any]:
    first = batch[0]
    context = {"aws:SecureTransport": "true", **first.request.context}
    own = [*(documents[name] for name in first.identity), *first.extra.values()]
    # A request needs a policy; this one is about nothing.
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "none:None", "Resource": "*"}]}
    request: dict[str, Any] = {
        "PolicyInputList": [json.dumps(one) for one in own or [nothing]],
        "ActionNames": sorted({one.request.action for one in batch}),
        "ResourceArns": sorted({one.request.resource for one in batch}),
        "CallerArn": first.request.principal,
        "ContextEntries": [
            {
                "ContextKeyName": key,
                "ContextKeyValues": [value] if isinstance(value, str) else list(value),
                "ContextKeyType": "string" if isinstance(value, str) else "stringList",
            }
            for key, value in context.items()
        ],
    }
    if first.boundary:
        request["PermissionsBoundaryPolicyInputList"] = [json.dumps(documents[name]) for name in first.boundary]
    if first.resource:
        (resource,) = first.resource
        request["ResourcePolicy"] = json.dumps(documents[resource])
    return request


@dataclass(frozen=True)
class Mutant:
    """One change of one document: where, what was taken out, and the document after it."""

    document: str
    index: int
    sid: str
    change: str
    body: Document

    def __str__(self) -> str:
        return f"{self.document}[{self.index}] {self.sid or '(no Sid)'}: {self.change}"


def statements(document: Document) -> list[Mapping[str, Any]]:
    """The statements of a document, also where it has one without a list."""
    found = document["Statement"]
    return list(found) if isinstance(found, list) else [found]


def mutants(documents: Mapping[str, Document]) -> Iterator[Mutant]:
    """Every change of every document."""
    for name, document in documents.items():
        written = statements(document)
        for index, statement in enumerate(written):
            for change, changed in _changes(statement):
                left = [*written[:index], *([changed] if changed else []), *written[index + 1 :]]
                yield Mutant(name, index, str(statement.get("Sid", "")), change, {**document, "Statement": left})


def _changes(statement: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if statement["Effect"] == "Deny":
        yield "the statement taken out", None
    conditions: Mapping[str, Mapping[str, Any]] = statement.get("Condition") or {}
    pairs = [(operator, key) for operator, block in conditions.items() for key in block]
    if not pairs:
        return
    bare = {name: value for name, value in statement.items() if name != "Condition"}
    yield "its conditions taken out", bare
    if len(pairs) > 1:
        for operator, key in pairs:
            left = {
                name: {inner: value for inner, value in block.items() if (name, inner) != (operator, key)}
                for name, block in conditions.items()
            }
            yield f"{operator} {key} taken out", {**bare, "Condition": {name: one for name, one in left.items() if one}}


def wrong(expectations: Sequence[Expectation], documents: Mapping[str, Document]) -> list[str]:
    """The expectations that do not hold, each with what was decided instead."""
    verdicts = [(one, one.verdict(documents)) for one in expectations]
    return [f"{one.name}: {verdict}" for one, verdict in verdicts if verdict.allowed != one.allowed]


def survivors(expectations: Sequence[Expectation], documents: Mapping[str, Document]) -> list[Mutant]:
    """The changes that no expectation notices. The expectations must hold without a change (`wrong`)."""
    about: dict[str, list[Expectation]] = {}
    for one in expectations:
        for name in one.documents:
            about.setdefault(name, []).append(one)

    def noticed(mutant: Mutant) -> bool:
        changed = {**documents, mutant.document: mutant.body}
        return any(one.verdict(changed).allowed != one.allowed for one in about.get(mutant.document, []))

    return [mutant for mutant in mutants(documents) if not noticed(mutant)]


# --- The policies of a deployed stack --------------------------------------------------------------------------------


def of_stack(cloud: LocalCloud, stack: str) -> dict[str, Document]:
    """Every policy document that a deployed stack holds, as the services give it back, by logical id and kind.

    Logical ids are without CDK's eight characters of hash. Raises ValueError where two are the same without them.
    `Role/trust` and `Role/inline/NAME`; a managed policy, boundaries among them, a key and a VPC endpoint by their own
    logical ids; the policy of a bucket, a queue, a topic or a function by that of the policy or permission. Session
    policies that are no managed policies of the stack are the caller's to add.
    """
    found: dict[str, Document] = {}
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for resource in (one for page in pages for one in page["StackResourceSummaries"]):
        read = _READERS.get(resource["ResourceType"])
        if read is not None:
            for kind, document in read(cloud, resource["PhysicalResourceId"], stack, resource["LogicalResourceId"]):
                name = "/".join(
                    HASH.sub("", part) for part in (resource["LogicalResourceId"], *kind.split("/")) if part
                )
                if name in found:
                    raise ValueError(f"{stack} has two documents that are called {name}")
                found[name] = json.loads(document) if isinstance(document, str) else document
    return found


Found = Iterator[tuple[str, Document | str]]


def _of_role(cloud: LocalCloud, name: str, _stack: str, _logical: str) -> Found:
    iam = cloud.client("iam")
    yield "trust", iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        yield f"inline/{policy}", iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]


def _of_managed_policy(cloud: LocalCloud, arn: str, _stack: str, _logical: str) -> Found:
    iam = cloud.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    yield "", iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def _of_key(cloud: LocalCloud, key: str, _stack: str, _logical: str) -> Found:
    yield "", cloud.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"]


def _of_bucket(cloud: LocalCloud, _id: str, stack: str, logical: str) -> Found:
    yield "", cloud.client("s3").get_bucket_policy(Bucket=_property(cloud, stack, logical, "Bucket"))["Policy"]


def _of_queue(cloud: LocalCloud, _id: str, stack: str, logical: str) -> Found:
    url = _property(cloud, stack, logical, "Queues")
    yield "", cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]


def _of_topic(cloud: LocalCloud, _id: str, stack: str, logical: str) -> Found:
    arn = _property(cloud, stack, logical, "Topics")
    yield "", cloud.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]


def _of_endpoint(cloud: LocalCloud, endpoint: str, _stack: str, _logical: str) -> Found:
    (one,) = cloud.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    yield "", one["PolicyDocument"]


def _of_function(cloud: LocalCloud, _id: str, stack: str, logical: str) -> Found:
    name = _property(cloud, stack, logical, "FunctionName")
    yield "", cloud.client("lambda").get_policy(FunctionName=name)["Policy"]


_READERS = {
    "AWS::IAM::Role": _of_role,
    "AWS::IAM::ManagedPolicy": _of_managed_policy,
    "AWS::KMS::Key": _of_key,
    "AWS::S3::BucketPolicy": _of_bucket,
    "AWS::SQS::QueuePolicy": _of_queue,
    "AWS::SNS::TopicPolicy": _of_topic,
    "AWS::EC2::VPCEndpoint": _of_endpoint,
    "AWS::Lambda::Permission": _of_function,
}


def _property(cloud: LocalCloud, stack: str, logical: str, name: str) -> str:
    """What a property of a resource refers to by `Ref` or `Fn::GetAtt`, or the first of several."""
    cloudformation = cloud.client("cloudformation")
    template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    body = json.loads(template) if isinstance(template, str) else template
    value = body["Resources"][logical]["Properties"][name]
    value = value[0] if isinstance(value, list) else value
    referred = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    detail = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=referred)
    return str(detail["StackResourceDetail"]["PhysicalResourceId"])


__all__ = [
    "Answer",
    "Expectation",
    "Mutant",
    "Policies",
    "Request",
    "Value",
    "mutants",
    "of_stack",
    "simulated",
    "statements",
    "survivors",
    "wrong",
]
