"""What a synthesized template connects to what: the material of the diagrams.

Every edge comes from a reference in the template (a rule's target, a mapping's source, a role's policy, an alarm's
dimension), none from what somebody remembers. A resource type that is unknown here stops the generation: a diagram
that leaves out what it does not know would look complete and be wrong.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Template = Mapping[str, Any]
Properties = Mapping[str, Any]

# event: hands on what happened. poll: is read by. call: asks a service. failure: where what fails goes.
# watch: is measured by. notify: tells.
EdgeKind = Literal["event", "poll", "call", "failure", "watch", "notify"]
Group = Literal["storage", "messages", "compute", "intelligence", "watching", "stacks"]

# How a resource type is called in a diagram, and what it is a kind of.
DRAWN: dict[str, tuple[str, Group]] = {
    "AWS::S3::Bucket": ("S3 bucket", "storage"),
    "AWS::DynamoDB::Table": ("DynamoDB table", "storage"),
    "AWS::EC2::VPCEndpoint": ("VPC endpoint", "messages"),
    "AWS::Events::Rule": ("EventBridge rule", "messages"),
    "AWS::SQS::Queue": ("SQS queue", "messages"),
    "AWS::SNS::Topic": ("SNS topic", "messages"),
    "AWS::Lambda::Function": ("Lambda function", "compute"),
    "AWS::StepFunctions::StateMachine": ("Step Functions state machine", "compute"),
    "AWS::ApiGateway::RestApi": ("API Gateway", "messages"),
    "AWS::SecretsManager::Secret": ("Secrets Manager secret", "storage"),
    "AWS::Logs::LogGroup": ("CloudWatch log group", "watching"),
    "AWS::CloudWatch::Alarm": ("CloudWatch alarm", "watching"),
    "AWS::CloudWatch::CompositeAlarm": ("CloudWatch composite alarm", "watching"),
    "AWS::KMS::Key": ("KMS key", "storage"),
    "AWS::SageMaker::DataQualityJobDefinition": ("Model Monitor job definition", "intelligence"),
    "AWS::SageMaker::Domain": ("Studio domain", "compute"),
    "AWS::SageMaker::ModelPackageGroup": ("SageMaker model package group", "storage"),
    "AWS::SageMaker::MonitoringSchedule": ("Model Monitor schedule", "messages"),
    "AWS::SageMaker::NotebookInstance": ("notebook instance", "compute"),
    "AWS::SageMaker::Pipeline": ("SageMaker pipeline", "compute"),
    "AWS::Scheduler::Schedule": ("EventBridge schedule", "messages"),
    "AWS::Budgets::Budget": ("budget", "watching"),
    "AWS::CloudTrail::Trail": ("CloudTrail trail", "messages"),
    "AWS::GuardDuty::Detector": ("GuardDuty detector", "watching"),
    "AWS::Config::ConfigRule": ("Config rule", "messages"),
    "AWS::Config::ConfigurationRecorder": ("Config recorder", "messages"),
    "AWS::Glue::Table": ("Glue table", "storage"),
    "AWS::Athena::WorkGroup": ("Athena workgroup", "compute"),
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
    "AWS::EC2::FlowLog": "writes the flow logs",
    "AWS::EC2::RouteTable": "is the way to the gateways",
    "AWS::EC2::SecurityGroup": "restricts a box",
    "AWS::EC2::Subnet": "a part of the network",
    "AWS::EC2::SubnetRouteTableAssociation": "gives a subnet its routes",
    "AWS::EC2::VPC": "the network itself",
    "AWS::IAM::ManagedPolicy": "says what people may do, which the matrix tells",
    "AWS::Athena::NamedQuery": "belongs to its workgroup",
    "AWS::Config::DeliveryChannel": "is an edge",
    "AWS::Glue::Database": "holds a table",
    "AWS::IAM::Policy": "its statements are edges",
    "AWS::IAM::Role": "belongs to what acts by it, unless SageMaker's machines do",
    "AWS::Lambda::EventInvokeConfig": "restricts a box, or is an edge",
    "AWS::Lambda::EventSourceMapping": "is an edge",
    "AWS::Lambda::Permission": "restricts a box",
    "AWS::S3::BucketPolicy": "restricts a box, and says through which endpoint alone one comes",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": "belongs to its notebook",
    "AWS::SageMaker::UserProfile": "is an edge",
    "AWS::SNS::Subscription": "is an edge, or chosen at deployment",
    "AWS::SNS::TopicPolicy": "restricts a box",
    "AWS::SQS::QueuePolicy": "restricts a box",
    "AWS::KMS::Alias": "names a box",
}

PEOPLE: tuple[str, Group] = ("IAM role", "compute")

# Services that are called and are no resource of the stack, by the prefix of their IAM actions.
OUTSIDE: dict[str, tuple[str, Group]] = {
    "application-autoscaling": ("Application Auto Scaling", "compute"),
    "cloudwatch": ("CloudWatch metrics", "watching"),
    "cloudtrail": ("AWS CloudTrail", "watching"),
    "comprehend": ("Amazon Comprehend", "intelligence"),
    "ec2": ("The function's network interfaces", "messages"),
    "config": ("AWS Config", "watching"),
    "events": ("Amazon EventBridge", "messages"),
    "guardduty": ("Amazon GuardDuty", "watching"),
    "iam": ("AWS IAM", "storage"),
    "kms": ("AWS KMS", "storage"),
    "ecr": ("AWS's container images", "storage"),
    "polly": ("Amazon Polly", "intelligence"),
    "logs": ("CloudWatch Logs", "watching"),
    "rekognition": ("Amazon Rekognition", "intelligence"),
    "s3": ("S3 bucket outside the stack", "storage"),
    "sagemaker": ("Amazon SageMaker", "intelligence"),
    "textract": ("Amazon Textract", "intelligence"),
    "transcribe": ("Amazon Transcribe", "intelligence"),
    "translate": ("Amazon Translate", "intelligence"),
    "xray": ("AWS X-Ray", "watching"),
}

# What SageMaker's machines do by a role of the stack: jobs, or an endpoint. The role stands for them.
WORKLOAD: tuple[str, Group] = ("SageMaker workload", "intelligence")
# A role that people take on, or what runs elsewhere in the account.
TAKEN_ON: tuple[str, Group] = ("Role that is taken on", "compute")
# A stack from which this one imports; the parameter that names it ends so.
NEEDED: tuple[str, Group] = ("Needed stack", "stacks")
NEEDED_PARAMETER = re.compile(r"[A-Za-z]+Stack")

# Types that may be called after the stack, and how their ARNs begin then: a grant on such an ARN is one on the box.
NAMED_AFTER_STACK = {
    "AWS::SageMaker::DataQualityJobDefinition": ("JobDefinitionName", "data-quality-job-definition/"),
    "AWS::SageMaker::ModelPackageGroup": ("ModelPackageGroupName", "model-package/"),
    "AWS::SageMaker::Pipeline": ("PipelineName", "pipeline/"),
}
OWN_NAME = {"Ref": "AWS::StackName"}

# What an operation does, in a word, by how its name begins.
VERBS = {
    "reads": ("BatchGet", "Describe", "Get", "Head", "List", "Query", "Scan"),
    "writes": ("BatchWrite", "Create", "Put", "Send", "Update", "Write"),
    "deletes": ("Delete",),
}


# What a file is called after its content. It changes with each edit, and an archive's with the machine, too.
_DIGEST = re.compile(r"\b[0-9a-f]{16,64}\b")


_SESSION_TAG = re.compile(r"\$\{aws:PrincipalTag/(\w+)\}")


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
    # Boxes that are called after the stack, by how their ARNs begin.
    own: dict[str, str] = field(default_factory=dict)
    # Functions in a network of the stack, and its endpoints by the prefix of the actions that they let through.
    inside: set[str] = field(default_factory=set)
    doors: dict[str, str] = field(default_factory=dict)

    def add(self, source: str, target: str, kind: EdgeKind, label: str = "") -> None:
        edge = Edge(source, target, kind, label)
        if edge not in self.edges:
            self.edges.append(edge)

    def outside(self, prefix: str) -> str:
        """The box of a service that is no resource of the stack. Raises DiagramError for one that is not known."""
        if prefix not in OUTSIDE:
            raise DiagramError(f"{prefix}: say in docs/graph.py how this service is drawn.")
        kind, group = OUTSIDE[prefix]
        node_id = prefix.replace("-", "_")
        self.nodes.setdefault(node_id, Node(node_id, kind, group, ("",)))
        return node_id

    def boxes(self, *values: Any) -> list[str]:
        """The boxes that parts of a template mean: by reference, or by a name that is the stack's."""
        ends = [end for end in references(list(values)) if end in self.nodes]
        ends += [own for text in map(_resource_text, values) for start, own in self.own.items() if f":{start}" in text]
        return list(dict.fromkeys(ends))

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
    people = _people(resources)
    roles = {one: TAKEN_ON for one in resources if "AWS" in _trusted(resources[one])}
    roles |= dict.fromkeys(people, PEOPLE) | dict.fromkeys(_workloads(resources), WORKLOAD)
    found = _Found()
    for name, parameter in template.get("Parameters", {}).items():
        if NEEDED_PARAMETER.fullmatch(name):
            found.nodes[name] = Node(name, *NEEDED, (parameter.get("Default", name),))
    for logical_id, resource in resources.items():
        if box := _box(found, logical_id, resource, roles):
            found.nodes[logical_id] = replace(box, only_at_deletion=logical_id in at_deletion)
    _enter_network(found, resources)
    for logical_id, resource in resources.items():
        if resource["Type"] in _CONNECT:
            _CONNECT[resource["Type"]](found, logical_id, resource.get("Properties", {}))
    for role, signing_in in people.items():
        for source in signing_in:
            found.add(source, role, "event", "signs in as")
    for function, statement in _grants(resources):
        if function in found.nodes and resources[function]["Type"] not in _EDGES_SAY_ALL:
            _connect_calls(found, function, statement)
    return _merged(_without_doubled_calls(found))


def _in_signs(resource: str) -> str:
    """What changes with each edit, or with who asks, as a sign: `<Digest>`, `<project>` for a tag of the session."""
    return _SESSION_TAG.sub(r"<\1>", _DIGEST.sub("<Digest>", resource))


def _box(found: _Found, logical_id: str, resource: Properties, roles: Mapping[str, tuple[str, Group]]) -> Node | None:
    """The box of a resource, if it has one. Raises DiagramError for a type that nobody has looked at."""
    type_ = resource["Type"]
    if type_ in NAMED_AFTER_STACK:
        property_, start = NAMED_AFTER_STACK[type_]
        if resource["Properties"].get(property_) == OWN_NAME:
            found.own[f"{start}<StackName>"] = logical_id
    if type_ in DRAWN:
        return Node(logical_id, *DRAWN[type_], (readable(logical_id),))
    if logical_id in roles:
        return Node(logical_id, *roles[logical_id], (readable(logical_id).removesuffix("Role"),))
    if type_ not in NOT_DRAWN and not type_.startswith("Custom::"):
        raise DiagramError(f"{type_} ({logical_id}): say in docs/graph.py how it is drawn, or why it is not.")
    return None


def permissions(template: Template) -> list[tuple[str, str, str]]:
    """(who, action, resource) for each grant of each role, as they stand in its policies.

    Who is the function, state machine, pipeline or schedule of the role; a role of none of these is named itself.
    """
    resources: Mapping[str, Any] = template["Resources"]
    rows = []
    for function, statement in _grants(resources):
        for action in _list(statement["Action"]):
            rows += [
                (readable(function), action, _in_signs(_resource_text(resource)))
                for resource in _list(statement["Resource"])
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
    values = [value for values in pattern.get("detail", {}).values() if isinstance(values, list) for value in values]
    sources = found.boxes(pattern, *values)
    if not sources:
        # A pattern may name what is no box, or nothing but the service.
        sources = [found.outside(name.removeprefix("aws.")) for name in pattern.get("source", [])]
    for source in sources:
        found.add(source, logical_id, "event", ", ".join(pattern.get("detail-type", [])))
    for target in properties.get("Targets", []):
        _connect_target(found, logical_id, target)


def _connect_target(found: _Found, logical_id: str, target: Properties, label: str = "") -> None:
    for end in references(target["Arn"]):
        found.add(logical_id, end, "event", label)
    for end in references(target.get("DeadLetterConfig", {})):
        found.add(logical_id, end, "failure", "undeliverable")


def _connect_schedule(found: _Found, logical_id: str, properties: Properties) -> None:
    _connect_target(found, logical_id, properties["Target"], properties["ScheduleExpression"])


def _connect_monitoring(found: _Found, logical_id: str, properties: Properties) -> None:
    config = properties["MonitoringScheduleConfig"]
    own = found.own.get("data-quality-job-definition/<StackName>")
    ends = found.boxes(config["MonitoringJobDefinitionName"])
    for end in [own] if own and config["MonitoringJobDefinitionName"] == OWN_NAME else ends:
        found.add(logical_id, end, "event")


def _connect_job_definition(found: _Found, logical_id: str, properties: Properties) -> None:
    for role in references(properties["RoleArn"]):
        found.add(logical_id, role, "event", "starts")


def _connect_attempts(found: _Found, _logical_id: str, properties: Properties) -> None:
    for function in references(properties["FunctionName"]):
        for end in references(properties.get("DestinationConfig", {}).get("OnFailure", {})):
            found.add(function, end, "failure", "after all attempts")


def _connect_bucket(found: _Found, logical_id: str, properties: Properties) -> None:
    for end in references(properties.get("LoggingConfiguration", {})):
        found.add(logical_id, end, "watch", "every request")


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
    for watched in _watched(found, properties):
        found.add(watched, logical_id, "watch", metric.removeprefix("approximate "))
    for part in references(properties.get("AlarmRule", "")):
        found.add(part, logical_id, "watch")
    for topic in references(properties.get("AlarmActions", [])):
        found.add(logical_id, topic, "notify")


def _watched(found: _Found, properties: Properties) -> list[str]:
    """What the alarm's metric is of, by its dimensions; a metric of the stack's own is CloudWatch's."""
    namespace: str = properties.get("Namespace", "AWS/")
    dimensions = properties.get("Dimensions", [])
    watched = [end for end in references(dimensions) if found.nodes[end].group != "stacks"]
    if not watched and not namespace.startswith(("AWS/", "/aws/")):
        return [found.outside("cloudwatch")]
    if not watched and namespace.lower().startswith("aws/sagemaker"):
        own = {"PipelineName": "pipeline/<StackName>"}
        watched = [found.own[own[one["Name"]]] for one in dimensions if own.get(one["Name"]) in found.own]
        return watched or [found.outside("sagemaker")]
    return watched


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


def _enter_network(found: _Found, resources: Template) -> None:
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::EC2::VPCEndpoint":
            for statement in properties.get("PolicyDocument", {}).get("Statement", []):
                found.doors |= {action.partition(":")[0]: logical_id for action in _list(statement["Action"])}
        if resource["Type"] == "AWS::Lambda::Function" and any(references(properties.get("VpcConfig", {}))):
            found.inside.add(logical_id)


def _connect_endpoint(found: _Found, logical_id: str, properties: Properties) -> None:
    if properties.get("VpcEndpointType") != "Interface":
        return
    for statement in properties.get("PolicyDocument", {}).get("Statement", []):
        let_through: dict[str, list[str]] = defaultdict(list)
        for action in _list(statement["Action"]):
            prefix, _, operation = action.partition(":")
            let_through[prefix].append(operation)
        for prefix, operations in let_through.items():
            found.add(logical_id, found.outside(prefix), "event", f"lets through {', '.join(operations)}")


def _connect_bucket_policy(found: _Found, _logical_id: str, properties: Properties) -> None:
    for statement in properties["PolicyDocument"]["Statement"]:
        only = statement.get("Condition", {}).get("StringNotEquals", {}).get("aws:SourceVpce")
        for endpoint in references(only) if statement["Effect"] == "Deny" else ():
            for bucket in references(properties["Bucket"]):
                found.add(endpoint, bucket, "event", "the only way to objects")


def _connect_budget(found: _Found, logical_id: str, properties: Properties) -> None:
    for topic in references(properties.get("NotificationsWithSubscribers", [])):
        found.add(logical_id, topic, "notify")


def _connect_trail(found: _Found, logical_id: str, properties: Properties) -> None:
    for bucket in references(properties["S3BucketName"]):
        found.add(logical_id, bucket, "event", "records")


def _connect_channel(found: _Found, _logical_id: str, properties: Properties) -> None:
    recorders = [name for name, node in found.nodes.items() if node.kind == "Config recorder"]
    for bucket in references(properties["S3BucketName"]):
        for recorder in recorders:
            found.add(recorder, bucket, "event", "settings")


def _connect_config_rule(found: _Found, logical_id: str, properties: Properties) -> None:
    for function in references(properties["Source"].get("SourceIdentifier", "")):
        found.add(logical_id, function, "event", "every day")


def _connect_workgroup(found: _Found, logical_id: str, properties: Properties) -> None:
    for bucket in references(properties.get("WorkGroupConfiguration", {}).get("ResultConfiguration", {})):
        if found.nodes[bucket].group == "storage" and found.nodes[bucket].kind == "S3 bucket":
            found.add(logical_id, bucket, "event", "answers")


def _connect_table(found: _Found, logical_id: str, properties: Properties) -> None:
    for bucket in references(properties["TableInput"]["StorageDescriptor"]["Location"]):
        found.add(bucket, logical_id, "event", "is read as")


def _connect_profile(found: _Found, logical_id: str, properties: Properties) -> None:
    for domain in references(properties["DomainId"]):
        for role in references(properties["UserSettings"]["ExecutionRole"]):
            found.add(domain, role, "event", "her profile")


_CONNECT: dict[str, Callable[[_Found, str, Properties], None]] = {
    "AWS::EC2::VPCEndpoint": _connect_endpoint,
    "AWS::Events::Rule": _connect_rule,
    "AWS::S3::BucketPolicy": _connect_bucket_policy,
    "AWS::ApiGateway::Method": _connect_method,
    "AWS::SNS::Subscription": _connect_subscription,
    "AWS::S3::Bucket": _connect_bucket,
    "AWS::SQS::Queue": _connect_queue,
    "AWS::Lambda::EventSourceMapping": _connect_poller,
    "AWS::Lambda::EventInvokeConfig": _connect_attempts,
    "AWS::CloudWatch::Alarm": _connect_alarm,
    "AWS::CloudWatch::CompositeAlarm": _connect_alarm,
    "AWS::SageMaker::DataQualityJobDefinition": _connect_job_definition,
    "AWS::SageMaker::MonitoringSchedule": _connect_monitoring,
    "AWS::SageMaker::UserProfile": _connect_profile,
    "AWS::Scheduler::Schedule": _connect_schedule,
    "AWS::Budgets::Budget": _connect_budget,
    "AWS::CloudTrail::Trail": _connect_trail,
    "AWS::Config::DeliveryChannel": _connect_channel,
    "AWS::Config::ConfigRule": _connect_config_rule,
    "AWS::Athena::WorkGroup": _connect_workgroup,
    "AWS::Glue::Table": _connect_table,
}


def _connect_calls(found: _Found, function: str, statement: Mapping[str, Any]) -> None:
    actions: list[str] = _list(statement["Action"])
    if function in found.inside:
        actions = [action for action in actions if _goes_direct(found, function, action, statement)]
        if not actions:
            return
    ends = found.boxes(*_list(statement["Resource"]))
    if "iam:PassRole" in actions:
        # Another service takes the role on; what SageMaker does by it has a box.
        for end in ends:
            found.add(function, end, "event", "starts")
        return
    if ends:
        for end in ends:
            found.call(function, end, [action.partition(":")[2] for action in actions])
        return
    by_service = defaultdict(list)
    for action in actions:
        prefix, _, operation = action.partition(":")
        if prefix in ("iam", "sts"):
            # Goes with the call of the service that takes a role on, or with the role that is taken on.
            continue
        by_service[prefix].append(operation)
    for prefix, operations in by_service.items():
        found.call(function, found.outside(prefix), operations)


# What Lambda does as the function, and not the function in its network.
_BY_LAMBDA = ("ec2", "logs", "xray")


def _goes_direct(found: _Found, function: str, action: str, statement: Mapping[str, Any]) -> bool:
    """Whether a call from inside a network is none of the function's own. Its own go by an endpoint, or nowhere."""
    prefix, _, operation = action.partition(":")
    if prefix in _BY_LAMBDA:
        return True
    if door := found.doors.get(prefix):
        found.call(function, door, [operation])
        for end in found.boxes(*_list(statement["Resource"])):
            if not any((edge.source, edge.target) == (door, end) for edge in found.edges):
                found.add(door, end, "call")
    return False


# What acts by a role of its own, and where that is named.
_WITH_ROLE = {
    "AWS::Lambda::Function": "Role",
    "AWS::SageMaker::NotebookInstance": "RoleArn",
    "AWS::SageMaker::Pipeline": "RoleArn",
    "AWS::Scheduler::Schedule": "Target",
    "AWS::StepFunctions::StateMachine": "RoleArn",
}
# What these may do is what their edges say.
_EDGES_SAY_ALL = {"AWS::Scheduler::Schedule"}


def _grants(resources: Template) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(who, statement) for each statement that allows something to a role: see `permissions`."""
    actors = {
        role: logical_id
        for logical_id, resource in resources.items()
        if resource["Type"] in _WITH_ROLE
        for role in references(resource["Properties"][_WITH_ROLE[resource["Type"]]])
        if role in resources and resources[role]["Type"] == "AWS::IAM::Role"
    }
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Policy":
            documents = [(role, properties["PolicyDocument"]) for role in references(properties.get("Roles", []))]
        elif resource["Type"] == "AWS::IAM::Role":
            documents = [(logical_id, policy["PolicyDocument"]) for policy in properties.get("Policies", [])]
            documents += [
                (logical_id, resources[policy]["Properties"]["PolicyDocument"])
                for policy in references(properties.get("ManagedPolicyArns", []))
                if policy in resources
            ]
        else:
            continue
        for role, document in documents:
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    yield actors.get(role, role), statement


def _workloads(resources: Template) -> set[str]:
    """The roles that SageMaker takes on, but for those of pipelines and notebooks, which have a box."""
    boxed = {
        role
        for resource in resources.values()
        if resource["Type"] in ("AWS::SageMaker::NotebookInstance", "AWS::SageMaker::Pipeline")
        for role in references(resource["Properties"]["RoleArn"])
    }
    return {
        logical_id
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::IAM::Role"
        and "sagemaker.amazonaws.com" in str(resource["Properties"].get("AssumeRolePolicyDocument"))
        and logical_id not in boxed
    }


def _people(resources: Template) -> dict[str, list[str]]:
    """The roles that people sign in as, which their trust tells by a tag of the session, with those who sign them in.

    Who signs in has a box, too.
    """
    found: dict[str, list[str]] = {}
    for logical_id, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            trust = resource["Properties"].get("AssumeRolePolicyDocument", {})
            if "aws:RequestTag/" in str(trust):
                found[logical_id] = [end for end in references(trust) if end in resources]
    return {one: [] for ones in found.values() for one in ones} | found


def _trusted(role: Properties) -> set[str]:
    """Which kinds of principals may take a role on: `Service`, `AWS`, `Federated`; nobody takes on what is no role."""
    statements = _list(role.get("Properties", {}).get("AssumeRolePolicyDocument", {}).get("Statement", []))
    return {kind for one in statements if isinstance(one.get("Principal"), Mapping) for kind in one["Principal"]}


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
    (function, value), *_ = resource.items()
    if function == "Fn::Join":
        return "".join(_resource_text(part) for part in value[1])
    if function == "Fn::Sub" and isinstance(value, str):
        return re.sub(r"\$\{AWS::(\w+)\}", r"<\1>", value)
    # What only the deployment knows; an export is called after the stack that exports (`stacks/blocks/neighbours.py`).
    if function == "Fn::ImportValue":
        return f"<{_resource_text(value)}>"
    if function == "Fn::FindInMap" or str(value).startswith("AWS::"):
        return f"<{value[0] if function == 'Fn::FindInMap' else value.removeprefix('AWS::')}>"
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
