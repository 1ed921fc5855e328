"""Who delivers to functions and state machines must be let in; what cannot be delivered goes to a dead-letter queue."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local.cloud import LocalCloud
from tests.local.emulated import (
    decided,
    ended,
    eventually,
    last_sequence,
    make_function,
    make_machine,
    make_queue,
    make_role,
    messages,
    policy,
    set_permissions,
    unique,
)

# Puts what it got into a queue.
FORWARD = """
import json, os, boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
    return {"statusCode": 200, "body": "done"}
"""
PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}


@dataclass
class Function:
    """A function that puts what it got into a queue."""

    name: str
    arn: str
    queue_url: str

    def let_in(self, cloud: LocalCloud, service: str, source: str) -> None:
        """The function's policy lets a service in, for one source."""
        cloud.client("lambda").add_permission(
            FunctionName=self.name,
            StatementId="in",
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source,
        )

    def shut(self, cloud: LocalCloud) -> None:
        """Take that away."""
        cloud.client("lambda").remove_permission(FunctionName=self.name, StatementId="in")


@pytest.fixture
def function(cloud: LocalCloud) -> Function:
    """A function that nobody may invoke yet."""
    url, arn = make_queue(cloud)
    role = make_role(cloud, {"Action": "sqs:SendMessage", "Resource": arn})
    name = make_function(cloud, FORWARD, role, Environment={"Variables": {"QUEUE": url}})
    return Function(name, f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{name}", url)


Deliver = Callable[[LocalCloud, Function], tuple[str, str, Callable[[], None]]]


def by_topic(cloud: LocalCloud, function: Function) -> tuple[str, str, Callable[[], None]]:
    """A subscription."""
    topic = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function.arn)
    return "sns.amazonaws.com", topic, lambda: cloud.client("sns").publish(TopicArn=topic, Message="x")


def by_rule(cloud: LocalCloud, function: Function) -> tuple[str, str, Callable[[], None]]:
    """A rule's target."""
    events, name, source = cloud.client("events"), unique("rule"), unique("source")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "f", "Arn": function.arn}])
    entry = {"Source": source, "DetailType": "Test", "Detail": "{}"}
    return "events.amazonaws.com", rule, lambda: events.put_events(Entries=[entry])


def by_bucket(cloud: LocalCloud, function: Function) -> tuple[str, str, Callable[[], None]]:
    """A bucket's notification."""
    bucket, s3 = unique("bucket"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": function.arn, "Events": ["s3:ObjectCreated:*"]}]
        },
        SkipDestinationValidation=True,
    )
    return "s3.amazonaws.com", f"arn:aws:s3:::{bucket}", lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x")


@pytest.mark.parametrize("how", [by_topic, by_rule, by_bucket])
def test_a_function_is_invoked_by_whom_its_policy_lets_in(cloud: LocalCloud, function: Function, how: Deliver) -> None:
    # Given a sender whom the function's policy does not let in
    service, source, send = how(cloud, function)
    before = last_sequence(cloud)
    # When it sends, Then the function is not invoked, and the denial is recorded
    send()
    denied = eventually(lambda: decided(cloud, "lambda:InvokeFunction", function.arn, before))
    assert [(item["principal"], item["allowed"], item["path"]) for item in denied] == [
        (service, False, "service-to-function")
    ]
    # When another source is let in, Then it is still not invoked; when this one is, Then it is
    function.let_in(cloud, service, source + "-other")
    send()
    function.shut(cloud)
    function.let_in(cloud, service, source)
    send()
    assert len(eventually(lambda: messages(cloud, function.queue_url))) == 1
    assert decided(cloud, "lambda:InvokeFunction", function.arn, before)[-1]["allowed"]
    assert messages(cloud, function.queue_url) == []


def rest_api(cloud: LocalCloud, function: Function) -> tuple[str, str]:
    """A REST API with `POST /items/{id}`; returns its URL for one item, and the ARN of that method."""
    gateway = cloud.client("apigateway")
    api = gateway.create_rest_api(name=unique("api"))["id"]
    (root,) = gateway.get_resources(restApiId=api)["items"]
    items = gateway.create_resource(restApiId=api, parentId=root["id"], pathPart="items")["id"]
    item = gateway.create_resource(restApiId=api, parentId=items, pathPart="{id}")["id"]
    gateway.put_method(restApiId=api, resourceId=item, httpMethod="POST", authorizationType="NONE")
    gateway.put_integration(
        restApiId=api,
        resourceId=item,
        httpMethod="POST",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{cloud.region}:lambda:path/2015-03-31/functions/{function.arn}/invocations",
    )
    gateway.create_deployment(restApiId=api, stageName="prod")
    url = f"{cloud.endpoint_url}/_aws/execute-api/{api}/prod/items/42"
    return url, f"arn:aws:execute-api:{cloud.region}:{cloud.account}:{api}/prod/POST/items/*"


def http_api(cloud: LocalCloud, function: Function) -> tuple[str, str]:
    """The same as an HTTP API."""
    gateway = cloud.client("apigatewayv2")
    api = gateway.create_api(Name=unique("api"), ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function.arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="POST /items/{id}", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    url = f"{cloud.endpoint_url}/_aws/execute-api/{api}/$default/items/42"
    return url, f"arn:aws:execute-api:{cloud.region}:{cloud.account}:{api}/*/*/items/{{id}}"


@pytest.mark.parametrize("make", [rest_api, http_api])
def test_an_api_invokes_a_function_that_lets_it_in(
    cloud: LocalCloud, function: Function, make: Callable[[LocalCloud, Function], tuple[str, str]]
) -> None:
    # Given an API whose function does not let it in
    url, source = make(cloud, function)
    before = last_sequence(cloud)

    def ask() -> int:
        return requests.post(url, data="x", verify=str(cloud.ca_bundle), timeout=20).status_code

    # When somebody asks, Then the API fails; when the function lets it in, Then it answers
    assert ask() == 500
    function.let_in(cloud, "apigateway.amazonaws.com", source)
    assert ask() == 200
    found = decided(cloud, "lambda:InvokeFunction", function.arn, before)
    assert [(item["principal"], item["allowed"]) for item in found] == [
        ("apigateway.amazonaws.com", False),
        ("apigateway.amazonaws.com", True),
    ]


@pytest.mark.parametrize("service", ["sqs", "sns"])
def test_a_failed_event_reaches_the_dead_letters_that_the_role_may_reach(cloud: LocalCloud, service: str) -> None:
    # Given a function that fails, with a dead-letter queue or topic, whose role may not send to it
    url, queue = make_queue(cloud)
    target = queue
    if service == "sns":
        target = cloud.client("sns").create_topic(Name=unique("dead"))["TopicArn"]
        cloud.client("sns").subscribe(TopicArn=target, Protocol="sqs", Endpoint=queue)
        document = policy({"Principal": "*", "Action": "sqs:SendMessage", "Resource": queue})
        cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}[service]
    role = make_role(cloud)
    source = "def handler(event, context):\n    raise ValueError\n"
    function = make_function(cloud, source, role)
    lambdas = cloud.client("lambda")
    lambdas.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": target}}
    )
    before = last_sequence(cloud)
    # When an event fails, Then it is lost, and the denial is recorded
    lambdas.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 1}')
    (denied,) = eventually(lambda: decided(cloud, action, target, before))
    assert (denied["allowed"], denied["role"]) == (False, role.rpartition("/")[2])
    # When the role may send, Then the next one is there
    set_permissions(cloud, role, {"Action": action, "Resource": target})
    lambdas.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 2}')
    (message,) = eventually(lambda: messages(cloud, url))
    body = json.loads(message["Body"])
    failed = json.loads(body["Message"]) if service == "sns" else body
    assert failed["requestPayload"] == {"n": 2}
    assert failed["responsePayload"]["errorType"] == "ValueError"


def test_a_failed_invocation_goes_into_an_encrypted_queue_by_the_key_too(cloud: LocalCloud) -> None:
    # Given a function that always fails, whose role may send to an encrypted queue, and not use the queue's key
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    url, queue = make_queue(cloud, KmsMasterKeyId=key)
    send = {"Action": "sqs:SendMessage", "Resource": queue}
    role = make_role(cloud, send)
    function = make_function(cloud, "def handler(event, context):\n    raise ValueError\n", role)
    lambdas = cloud.client("lambda")
    lambdas.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    before = last_sequence(cloud)
    # When an event fails, Then it is lost, and the denial is recorded
    lambdas.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 1}')
    (denied,) = eventually(lambda: decided(cloud, "kms:GenerateDataKey", key, before))
    assert not denied["allowed"]
    # When the role may use the key, Then the next one is there
    set_permissions(cloud, role, send, {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key})
    lambdas.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 2}')
    (message,) = eventually(lambda: messages(cloud, url))
    assert json.loads(message["Body"])["requestPayload"] == {"n": 2}


def test_a_failed_invocation_waits_in_its_queue_though_the_clock_was_moved_by_days(cloud: LocalCloud) -> None:
    # Given a cloud whose clock is further ahead than a queue keeps messages, and a function that always fails
    cloud.control.clock_advance(5 * 86_400)
    url, queue = make_queue(cloud)
    function = make_function(
        cloud,
        "def handler(event, context):\n    raise ValueError\n",
        make_role(cloud, {"Action": "sqs:SendMessage", "Resource": queue}),
    )
    lambdas = cloud.client("lambda")
    lambdas.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    # When an event fails, Then it is in the queue, sent now
    lambdas.invoke(FunctionName=function, InvocationType="Event", Payload=b"{}")
    (message,) = eventually(lambda: messages(cloud, url))
    sent = int(message["Attributes"]["SentTimestamp"]) / 1000
    assert abs(sent - time.time() - cloud.control.clock()) < 60


# --- Rule to state machine


@dataclass
class Rule:
    """A rule with a state machine as its target."""

    name: str
    source: str
    machine: str
    role: str
    dead_url: str


@pytest.fixture
def rule(cloud: LocalCloud) -> Rule:
    """A rule whose role may start the state machine, with a dead-letter queue that lets it in."""
    events, name, source = cloud.client("events"), unique("rule"), unique("source")
    machine = make_machine(cloud, make_role(cloud), PASS)
    dead_url, dead_arn = make_queue(cloud)
    document = policy({"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"})
    cloud.client("sqs").set_queue_attributes(QueueUrl=dead_url, Attributes={"Policy": document})
    role = make_role(cloud, {"Action": "states:StartExecution", "Resource": machine})
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))
    target = {
        "Id": "s",
        "Arn": machine,
        "RoleArn": role,
        "DeadLetterConfig": {"Arn": dead_arn},
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
        "InputPath": "$.detail",
    }
    events.put_targets(Rule=name, Targets=[target])
    return Rule(name, source, machine, role, dead_url)


def put_event(cloud: LocalCloud, rule: Rule) -> None:
    """An event that the rule matches."""
    cloud.client("events").put_events(Entries=[{"Source": rule.source, "DetailType": "T", "Detail": '{"a": 1}'}])


def executions(cloud: LocalCloud, rule: Rule) -> list[dict[str, Any]]:
    """Those of the rule's state machine."""
    found: list[dict[str, Any]] = cloud.client("stepfunctions").list_executions(stateMachineArn=rule.machine)[
        "executions"
    ]
    return found


def dead_letter(cloud: LocalCloud, rule: Rule) -> dict[str, str]:
    """The attributes of the one event that could not be delivered."""
    (message,) = eventually(lambda: messages(cloud, rule.dead_url))
    assert json.loads(message["Body"]) == {"a": 1}
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def test_a_rule_starts_an_execution_with_its_targets_role(cloud: LocalCloud, rule: Rule) -> None:
    # Given a rule with a role, When an event comes, Then an execution has its detail, and the decision is the role's
    before = last_sequence(cloud)
    put_event(cloud, rule)
    (execution,) = eventually(lambda: executions(cloud, rule))
    assert json.loads(ended(cloud, execution["executionArn"])["input"]) == {"a": 1}
    (decision,) = decided(cloud, "states:StartExecution", rule.machine, before)
    assert (decision["role"], decision["allowed"]) == (rule.role.rpartition("/")[2], True)


def test_a_rule_whose_role_may_not_start_the_state_machine_loses_nothing(cloud: LocalCloud, rule: Rule) -> None:
    # Given a role that may not, When an event comes, Then it is in the dead-letter queue, with the reason
    set_permissions(cloud, rule.role)
    put_event(cloud, rule)
    assert dead_letter(cloud, rule)["ERROR_CODE"] == "NO_PERMISSIONS"
    assert executions(cloud, rule) == []


def test_a_rule_whose_role_does_not_let_eventbridge_in_loses_nothing(cloud: LocalCloud, rule: Rule) -> None:
    # Given a role that lets only Lambda in, When an event comes, Then it is in the dead-letter queue
    trust = policy({"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    cloud.client("iam").update_assume_role_policy(RoleName=rule.role.rpartition("/")[2], PolicyDocument=trust)
    put_event(cloud, rule)
    assert dead_letter(cloud, rule)["ERROR_CODE"] == "NO_PERMISSIONS"


def test_a_rule_whose_state_machine_is_gone_loses_nothing(cloud: LocalCloud, rule: Rule) -> None:
    # Given no state machine any more, When an event comes, Then it is in the dead-letter queue
    cloud.client("stepfunctions").delete_state_machine(stateMachineArn=rule.machine)
    eventually(
        lambda: (
            not any(
                item["stateMachineArn"] == rule.machine
                for item in cloud.client("stepfunctions").list_state_machines()["stateMachines"]
            )
        )
    )
    put_event(cloud, rule)
    assert dead_letter(cloud, rule)["ERROR_CODE"] == "NO_RESOURCE"


@pytest.mark.parametrize(("times", "delivered"), [(2, True), (3, False)])
def test_a_throttled_rule_tries_again_as_often_as_its_policy_says(
    cloud: LocalCloud, rule: Rule, times: int, delivered: bool
) -> None:
    # Given a rule with two retries, and so many throttled attempts
    fault = cloud.control.faults_add(service="states", operation="StartExecution", kind="throttle", times=times)
    # When an event comes, Then two can be mended and three cannot
    try:
        put_event(cloud, rule)
        if delivered:
            assert eventually(lambda: executions(cloud, rule))
        else:
            attributes = dead_letter(cloud, rule)
            assert attributes["ERROR_CODE"] == "THROTTLING"
            assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
            assert attributes["RETRY_ATTEMPTS"] == "2"
    finally:
        cloud.control.faults_clear(fault)
