"""Small things that tests create on a local cloud through AWS APIs."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from local.cloud import LocalCloud
from scenarios import roles
from tests import waiting

T = TypeVar("T")

# As scenarios call in a role's name, so do tests.
client_as = roles.client_as

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {
                "Service": ["lambda.amazonaws.com", "states.amazonaws.com", "events.amazonaws.com"],
                "AWS": f"arn:aws:iam::{LocalCloud.account}:root",
            },
            "Action": "sts:AssumeRole",
        }
    ],
}


def unique(word: str) -> str:
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:10]}"


def policy(*statements: dict[str, Any]) -> str:
    """A policy document of statements that allow unless they say otherwise."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **item} for item in statements]})


def make_role(cloud: LocalCloud, *statements: dict[str, Any]) -> str:
    """A role with one inline policy named `permissions`; returns its ARN."""
    name = unique("role")
    arn: str = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    if statements:
        set_permissions(cloud, arn, *statements)
    return arn


def set_permissions(cloud: LocalCloud, role_arn: str, *statements: dict[str, Any]) -> None:
    """Replace what a role of `make_role` may do."""
    name = role_arn.rpartition("/")[2]
    iam = cloud.client("iam")
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
    else:
        iam.delete_role_policy(RoleName=name, PolicyName="permissions")


def code(source: str) -> bytes:
    """An archive whose module `index` is `source`: the same bytes for the same source."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), source)
    return package.getvalue()


def make_function(cloud: LocalCloud, source: str, role_arn: str, **settings: Any) -> str:
    """A Python function whose module `index` is `source`; returns its name."""
    name = unique("function")
    cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role_arn,
        Code={"ZipFile": code(source)},
        **{"Timeout": 10, **settings},
    )
    lambdas = cloud.client("lambda")
    eventually(lambda: lambdas.get_function_configuration(FunctionName=name)["State"] == "Active")
    return name


def make_machine(cloud: LocalCloud, role_arn: str, definition: dict[str, Any], **settings: Any) -> str:
    """A state machine; returns its ARN."""
    arn: str = cloud.client("stepfunctions").create_state_machine(
        name=unique("machine"), definition=json.dumps(definition), roleArn=role_arn, **settings
    )["stateMachineArn"]
    return arn


def one_task(resource: str, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """The definition of a state machine with one task."""
    task = {"Type": "Task", "Resource": resource, "End": True, **fields}
    if arguments is not None:
        task["Parameters"] = arguments
    return {"StartAt": "Only", "States": {"Only": task}}


def start(cloud: LocalCloud, machine: str, data: Any = None) -> str:
    """Start an execution; returns its ARN."""
    arn: str = cloud.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(data or {}))[
        "executionArn"
    ]
    return arn


def ended(cloud: LocalCloud, execution: str, seconds: float = 20.0) -> dict[str, Any]:
    """An execution's description when it has ended."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = cloud.client("stepfunctions").describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    found = eventually(look, seconds)
    assert found is not None
    return found


def execute(cloud: LocalCloud, machine: str, data: Any = None) -> dict[str, Any]:
    """Start an execution and wait for its end; `output` is decoded."""
    found = ended(cloud, start(cloud, machine, data))
    return {**found, "output": json.loads(found["output"]) if found.get("output") else None}


def make_queue(cloud: LocalCloud, **attributes: str) -> tuple[str, str]:
    """A queue; returns its URL and its ARN."""
    sqs = cloud.client("sqs")
    url: str = sqs.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def messages(cloud: LocalCloud, url: str) -> list[dict[str, Any]]:
    """What can be received from a queue now, attributes included."""
    received: list[dict[str, Any]] = (
        cloud.client("sqs")
        .receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        )
        .get("Messages", [])
    )
    return received


@contextmanager
def subscribed(cloud: LocalCloud, topic_arn: str) -> Iterator[Callable[[], list[str]]]:
    """A queue that a topic tells; gives a function that returns what it was told since the last look."""
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    url, arn = make_queue(cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    subscription = sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]

    def look() -> list[str]:
        found = messages(cloud, url)
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in found]

    try:
        yield look
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=url)


def eventually(look: Callable[[], T], seconds: float = 10.0) -> T:
    """What `look` finds, as soon as that is truthy. Raises AssertionError when it never is."""
    return waiting.until(look, "what a test looks for", seconds=seconds)


def decided(cloud: LocalCloud, action: str, resource: str, since: int = 0) -> list[dict[str, Any]]:
    """The decisions on an action and a resource that came after `since`."""
    return [
        item
        for item in cloud.control.decisions(since)
        if item["action"] == action and item["resource"].startswith(resource)
    ]


def last_sequence(cloud: LocalCloud) -> int:
    """The number of the latest decision."""
    return cloud.control.last_decision()
