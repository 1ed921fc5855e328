"""What a synthesized template connects to what: the material of the diagrams.

Every edge comes from a reference in the template (a rule's target, a mapping's source, a role's policy, an alarm's
dimension), none from what somebody remembers. A resource type that is unknown here stops the generation: a diagram
that leaves out what it does not know would look complete and be wrong.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Template = Mapping[str, Any]
Properties = Mapping[str, Any]

# event: hands on what happened. poll: is read by. call: asks a service. failure: where what fails goes.
# watch: is measured by. notify: tells.
EdgeKind = Literal["event", "poll", "call", "failure", "watch", "notify"]
Group = Literal["storage", "messages", "compute", "intelligence", "watching"]

# How a resource type is called in a diagram, and what it is a kind of.
DRAWN: dict[str, tuple[str, Group]] = {
    "AWS::S3::Bucket": ("S3 bucket", "storage"),
    "AWS::DynamoDB::Table": ("DynamoDB table", "storage"),
    "AWS::Events::Rule": ("EventBridge rule", "messages"),
    "AWS::SQS::Queue": ("SQS queue", "messages"),
    "AWS::SNS::Topic": ("SNS topic", "messages"),
    "AWS::Lambda::Function": ("Lambda function", "compute"),
    "AWS::StepFunctions::StateMachine": ("Step Functions state machine", "compute"),
    "AWS::ApiGateway::RestApi": ("API Gateway", "messages"),
    "AWS::SecretsManager::Secret": ("Secrets Manager secret", "storage"),
    "AWS::Logs::LogGroup": ("CloudWatch log group", "watching"),
    "AWS::CloudWatch::Alarm": ("CloudWatch alarm", "watching"),
    "AWS::KMS::Key": ("KMS key", "storage"),
    "AWS::CloudWatch::CompositeAlarm": ("CloudWatch composite alarm", "watching"),
    "AWS::SageMaker::DataQualityJobDefinition": ("SageMaker monitoring job definition", "compute"),
    "AWS::SageMaker::ModelPackageGroup": ("SageMaker model package group", "storage"),
    "AWS::SageMaker::MonitoringSchedule": ("SageMaker monitoring schedule", "messages"),
    "AWS::SageMaker::Pipeline": ("SageMaker pipeline", "compute"),
    "AWS::Scheduler::Schedule": ("EventBridge schedule", "messages"),
}

# Types that are no box of their own: they are edges, or settings of a box.
NOT_DRAWN = {
    "AWS::ApiGateway::Account": "lets the API log",
    "AWS::ApiGateway::Deployment": "belongs to its API",
    "AWS::ApiGateway::Method": "is an edge",
    "AWS::ApiGateway::RequestValidator": "belongs to its API",
    "AWS::ApiGateway::Resource": "belongs to its API",
    "AWS::ApiGateway::Stage": "belongs to its API",
    "AWS::CDK::Metadata": "CDK's own",
    "AWS::CloudWatch::Dashboard": "shows what the alarms watch",
    "AWS::IAM::Policy": "its statements are edges",
    "AWS::IAM::Role": "belongs to its function",
    "AWS::Lambda::EventInvokeConfig": "restricts a box",
    "AWS::Lambda::EventSourceMapping": "is an edge",
    "AWS::Lambda::Permission": "restricts a box",
    "AWS::S3::BucketPolicy": "restricts a box",
    "AWS::SNS::Subscription": "is an edge, or chosen at deployment",
    "AWS::SNS::TopicPolicy": "restricts a box",
    "AWS::SQS::QueuePolicy": "restricts a box",
    "AWS::KMS::Alias": "names a box",
}

# Services that are called and are no resource of the stack, by the prefix of their IAM actions.
OUTSIDE: dict[str, tuple[str, Group]] = {
    "application-autoscaling": ("Application Auto Scaling", "compute"),
    "cloudwatch": ("CloudWatch metrics", "watching"),
    "comprehend": ("Amazon Comprehend", "intelligence"),
    "kms": ("KMS keys of other stacks", "storage"),
    "polly": ("Amazon Polly", "intelligence"),
    "logs": ("CloudWatch Logs", "watching"),
    "rekognition": ("Amazon Rekognition", "intelligence"),
    "s3": ("S3 buckets of other stacks", "storage"),
    "sagemaker": ("Amazon SageMaker AI", "intelligence"),
    "states": ("Step Functions", "compute"),
    "textract": ("Amazon Textract", "intelligence"),
    "transcribe": ("Amazon Transcribe", "intelligence"),
    "translate": ("Amazon Translate", "intelligence"),
    "xray": ("AWS X-Ray", "watching"),
}

# How a parameter's name ends that names another stack of this project.
NEIGHBOUR = "Stack"

# What goes with the call of a service that takes the role on, or makes its own.
_GOES_WITH_A_CALL = {"iam:CreateServiceLinkedRole", "iam:PassRole"}

# What an operation does, in a word, by how its name begins.
VERBS = {
    "reads": ("BatchGet", "Describe", "Get", "Head", "List", "Query", "Scan"),
    "writes": ("BatchWrite", "Create", "Put", "Send", "Update", "Write"),
    "deletes": ("Delete",),
}


class DiagramError(Exception):
    """The template holds something that no diagram could show. `str()` is one clear line."""


@dataclass(frozen=True)
class Node:
    """A box: one resource, or several of a type that are connected alike."""

    id: str
    kind: str
    group: Group
    names: tuple[str, ...]
    only_at_deletion: bool = False

    @property
    def name(self) -> str:
        """`Jpeg, Png Uploaded` for JpegUploaded and PngUploaded; nothing where the kind says all."""
        shared = _shared_ending(self.names)
        return ", ".join(name[: -len(shared)] if shared else name for name in self.names) + (
            f" {shared}" if shared else ""
        )


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    kind: EdgeKind
    label: str = ""


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def node(self, node_id: str) -> Node:
        return next(node for node in self.nodes if node.id == node_id)

    def without(self, *node_ids: str) -> Graph:
        """The graph without these nodes and their edges."""
        gone = set(node_ids)
        return Graph(
            tuple(node for node in self.nodes if node.id not in gone),
            tuple(edge for edge in self.edges if not gone & {edge.source, edge.target}),
        )


@dataclass
class _Found:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    calls: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, source: str, target: str, kind: EdgeKind, label: str = "") -> None:
        edge = Edge(source, target, kind, label)
        if edge not in self.edges:
            self.edges.append(edge)

    def call(self, source: str, target: str, operations: list[str]) -> None:
        """One arrow from a function to what it calls, however many statements grant it."""
        earlier = self.calls.setdefault((source, target), [])
        self.edges = [edge for edge in self.edges if (edge.source, edge.target, edge.kind) != (source, target, "call")]
        earlier += operations
        self.add(source, target, "call", _in_words(earlier))


def read(template: Template) -> Graph:
    """The boxes and arrows of a template as CDK wrote it.

    Raises DiagramError for a resource type that neither `DRAWN` nor `NOT_DRAWN` knows.
    """
    resources: Mapping[str, Any] = template["Resources"]
    at_deletion = _for_deletion(resources)
    found = _Found()
    for parameter in template.get("Parameters", {}):
        if parameter.endswith(NEIGHBOUR):
            found.nodes[parameter] = Node(parameter, "another stack", "storage", (parameter.removesuffix(NEIGHBOUR),))
    for logical_id, resource in resources.items():
        type_ = resource["Type"]
        if type_ in DRAWN:
            kind, group = DRAWN[type_]
            found.nodes[logical_id] = Node(logical_id, kind, group, (readable(logical_id),), logical_id in at_deletion)
        elif type_ not in NOT_DRAWN and not type_.startswith("Custom::"):
            raise DiagramError(f"{type_} ({logical_id}): say in docs/graph.py how it is drawn, or why it is not.")
    for logical_id, resource in resources.items():
        if resource["Type"] in _CONNECT:
            _CONNECT[resource["Type"]](found, logical_id, resource.get("Properties", {}))
    for function, statement in _grants(resources):
        _connect_calls(found, function, statement)
    return _merged(_without_doubled_calls(found))


def permissions(template: Template) -> list[tuple[str, str, str]]:
    """(who, action, resource) for each grant as it stands in a policy.

    Who is a function, a state machine or a pipeline; or else a role, which a job has, an endpoint, or a rule.
    """
    resources: Mapping[str, Any] = template["Resources"]
    rows = []
    for function, statement in _grants(resources, others=True):
        for action in _list(statement["Action"]):
            rows += [
                (readable(function), action, _resource_text(resource)) for resource in _list(statement["Resource"])
            ]
    return rows


def references(value: Any) -> Iterator[str]:
    """The logical ids that a part of a template refers to, in their order; AWS's own parameters are none."""
    if isinstance(value, Mapping):
        if isinstance(value.get("Ref"), str) and not value["Ref"].startswith("AWS::"):
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            attribute = value["Fn::GetAtt"]
            yield attribute[0] if isinstance(attribute, list) else str(attribute).split(".", 1)[0]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def _connect_rule(found: _Found, logical_id: str, properties: Properties) -> None:
    pattern = properties.get("EventPattern", {})
    happened = ", ".join(pattern.get("detail-type", []))
    # A pattern may name what is no box: a role, a pipeline by its ARN.
    sources = [source for source in references(pattern) if source in found.nodes]
    if not sources:
        sources = [_service(found, name.removeprefix("aws.")) for name in pattern.get("source", [])]
    for source in sources:
        found.add(source, logical_id, "event", happened)
    for target in properties.get("Targets", []):
        for end in references(target["Arn"]):
            found.add(logical_id, end, "event")
        for end in references(target.get("DeadLetterConfig", {})):
            found.add(logical_id, end, "failure", "undeliverable")


def _connect_queue(found: _Found, logical_id: str, properties: Properties) -> None:
    redrive = properties.get("RedrivePolicy", {})
    for end in references(redrive):
        found.add(logical_id, end, "failure", f"after {redrive['maxReceiveCount']} attempts")


def _connect_poller(found: _Found, _logical_id: str, properties: Properties) -> None:
    workers = properties.get("ScalingConfig", {}).get("MaximumConcurrency")
    label = f"{properties['BatchSize']} at a time" + (f", {workers} workers" if workers else "")
    for source in references(properties["EventSourceArn"]):
        for function in references(properties["FunctionName"]):
            found.add(source, function, "poll", label)


def _connect_alarm(found: _Found, logical_id: str, properties: Properties) -> None:
    metric = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", properties.get("MetricName", "")).lower()
    for watched in references(properties.get("Dimensions", [])):
        found.add(watched, logical_id, "watch", metric.removeprefix("approximate "))
    for topic in references(properties.get("AlarmActions", [])):
        found.add(logical_id, topic, "notify")


def _connect_composite(found: _Found, logical_id: str, properties: Properties) -> None:
    for alarm in references(properties["AlarmRule"]):
        found.add(alarm, logical_id, "watch")
    for topic in references(properties.get("AlarmActions", [])):
        found.add(logical_id, topic, "notify")


def _connect_schedule(found: _Found, logical_id: str, properties: Properties) -> None:
    target = properties["Target"]
    for end in references(target["Arn"]):
        found.add(logical_id, end, "event", properties["ScheduleExpression"])
    for end in references(target.get("DeadLetterConfig", {})):
        found.add(logical_id, end, "failure", "undeliverable")


def _connect_subscription(found: _Found, _logical_id: str, properties: Properties) -> None:
    for topic in references(properties["TopicArn"]):
        for end in references(properties.get("Endpoint", "")):
            if end in found.nodes:
                found.add(topic, end, "notify")


def _connect_method(found: _Found, _logical_id: str, properties: Properties) -> None:
    integration = properties.get("Integration", {})
    for api in references(properties["RestApiId"]):
        for end in references(integration.get("Uri", "")):
            if end in found.nodes:
                found.add(api, end, "event", "request")


_CONNECT: dict[str, Callable[[_Found, str, Properties], None]] = {
    "AWS::Events::Rule": _connect_rule,
    "AWS::ApiGateway::Method": _connect_method,
    "AWS::SNS::Subscription": _connect_subscription,
    "AWS::SQS::Queue": _connect_queue,
    "AWS::Lambda::EventSourceMapping": _connect_poller,
    "AWS::CloudWatch::Alarm": _connect_alarm,
    "AWS::CloudWatch::CompositeAlarm": _connect_composite,
    "AWS::Scheduler::Schedule": _connect_schedule,
}


def _connect_calls(found: _Found, function: str, statement: Mapping[str, Any]) -> None:
    actions: list[str] = _list(statement["Action"])
    ends = [end for end in dict.fromkeys(references(statement["Resource"])) if end in found.nodes]
    if ends:
        for end in ends:
            found.call(function, end, [action.partition(":")[2] for action in actions])
        return
    by_service = defaultdict(list)
    for action in actions:
        prefix, _, operation = action.partition(":")
        if action in _GOES_WITH_A_CALL:
            continue
        by_service[prefix].append(operation)
    for prefix, operations in by_service.items():
        found.call(function, _service(found, prefix), operations)


def _service(found: _Found, prefix: str) -> str:
    """The box of a service that is no resource of the stack. Raises DiagramError for one that nobody has drawn."""
    if prefix not in OUTSIDE:
        raise DiagramError(f"{prefix}: say in docs/graph.py how this service is drawn.")
    kind, group = OUTSIDE[prefix]
    found.nodes.setdefault(prefix, Node(prefix, kind, group, ("",)))
    return prefix


# What acts by a role of its own, and the property that names it.
_WITH_ROLE = {
    "AWS::Lambda::Function": "Role",
    "AWS::SageMaker::Pipeline": "RoleArn",
    "AWS::StepFunctions::StateMachine": "RoleArn",
}


def _grants(resources: Template, *, others: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(who has the role, statement) for each statement that allows; with `others`, those of roles without a box too."""
    boxes = {
        role: logical_id
        for logical_id, resource in resources.items()
        if resource["Type"] in _WITH_ROLE
        for role in references(resource["Properties"][_WITH_ROLE[resource["Type"]]])
    }
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Policy":
            documents = [(role, properties["PolicyDocument"]) for role in references(properties.get("Roles", []))]
        elif resource["Type"] == "AWS::IAM::Role":
            documents = [(logical_id, policy["PolicyDocument"]) for policy in properties.get("Policies", [])]
        else:
            continue
        for role, document in documents:
            for statement in document["Statement"]:
                if (others or role in boxes) and statement["Effect"] == "Allow":
                    yield boxes.get(role, role), statement


def _for_deletion(resources: Template) -> set[str]:
    """Functions that only CloudFormation calls, with their log groups."""
    functions = {
        end
        for resource in resources.values()
        if resource["Type"].startswith("Custom::")
        for end in references(resource["Properties"]["ServiceToken"])
    }
    logs = {
        end
        for function in functions
        for end in references(resources[function]["Properties"].get("LoggingConfig", {}))
        if end in resources
    }
    return functions | logs


def _without_doubled_calls(found: _Found) -> _Found:
    """A poller's own permissions on its queue say nothing that the poll does not."""
    polled = {(edge.target, edge.source) for edge in found.edges if edge.kind == "poll"}
    edges = [edge for edge in found.edges if edge.kind != "call" or (edge.source, edge.target) not in polled]
    return _Found(found.nodes, edges)


def _merged(found: _Found) -> Graph:
    """Resources of one type that are connected alike become one box; what alarms measure may differ."""
    neighbours: dict[str, set[tuple[str, str, str, str]]] = defaultdict(set)
    for edge in found.edges:
        label = "" if edge.kind == "watch" else edge.label
        neighbours[edge.source].add(("to", edge.target, edge.kind, label))
        neighbours[edge.target].add(("from", edge.source, edge.kind, label))
    alike = defaultdict(list)
    for node in found.nodes.values():
        alone = node.id if not neighbours[node.id] else ""
        alike[node.kind, node.only_at_deletion, frozenset(neighbours[node.id]), alone].append(node)
    representative = {node.id: nodes[0].id for nodes in alike.values() for node in nodes}
    nodes = tuple(
        Node(
            same[0].id,
            same[0].kind if len(same) == 1 else f"{len(same)} {same[0].kind}s",
            same[0].group,
            tuple(name for node in same for name in node.names),
            same[0].only_at_deletion,
        )
        for same in alike.values()
    )
    labels: dict[tuple[str, str, EdgeKind], list[str]] = defaultdict(list)
    for edge in found.edges:
        ends = (representative[edge.source], representative[edge.target], edge.kind)
        if edge.label not in labels[ends]:
            labels[ends].append(edge.label)
    edges = tuple(Edge(*ends, ", ".join(filter(None, texts))) for ends, texts in labels.items())
    return Graph(nodes, edges)


def _in_words(operations: Iterable[str]) -> str:
    """`reads`, `writes`, `deletes`, and by its own name what is none of these."""
    names = list(operations)
    words = [verb for verb, starts in VERBS.items() if any(name.startswith(starts) for name in names)]
    others = [name for name in dict.fromkeys(names) if not name.startswith(tuple(sum(VERBS.values(), ())))]
    return ", ".join(others + words)


def _resource_text(resource: Any) -> str:
    """`Images/uploads/*` for the ARN of everything under a prefix of a bucket of the stack."""
    if isinstance(resource, str):
        return resource
    if str(resource.get("Ref", "")).startswith("AWS::"):
        return f"<{resource['Ref'].removeprefix('AWS::')}>"
    if "Fn::FindInMap" in resource:
        return f"<{resource['Fn::FindInMap'][0]}>"
    if "Fn::Join" in resource:
        return "".join(_resource_text(part) for part in resource["Fn::Join"][1])
    ends = list(references(resource))
    return readable(ends[0]) if ends else str(resource)


def readable(logical_id: str) -> str:
    """A logical id without the hash that CDK puts at its end."""
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)


def _shared_ending(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return ""
    ending = names[0]
    while not all(name.endswith(ending) for name in names):
        ending = ending[1:]
    # Only whole words: "Gif" and "Tif" share no word.
    return ending[match.start() :] if (match := re.search(r"[A-Z]", ending)) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
