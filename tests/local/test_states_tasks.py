"""What state machines ask of other services is asked with their role, and fails when the role may not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import ROOT, LocalCloud
from tests.local.emulated import (
    decided,
    ended,
    eventually,
    execute,
    last_sequence,
    make_function,
    make_machine,
    make_queue,
    make_role,
    messages,
    one_task,
    policy,
    set_permissions,
    start,
    unique,
)

DOUBLE = """
def handler(event, context):
    if event.get("fail"):
        raise KeyError(event["fail"])
    return {"doubled": 2 * event["number"]}
"""


@dataclass(frozen=True)
class Case:
    """A task with what it needs: resource, arguments, the needed action on a resource, and the error without it."""

    resource: str
    arguments: dict[str, Any]
    action: str
    on: str
    error: str
    result: Callable[[Any], bool]


Make = Callable[[LocalCloud], Case]


def lambda_invoke(cloud: LocalCloud) -> Case:
    """The optimised integration."""
    function = make_function(cloud, DOUBLE, make_role(cloud))
    arn = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{function}"
    return Case(
        "arn:aws:states:::lambda:invoke",
        {"FunctionName": arn, "Payload": {"number": 4}},
        "lambda:InvokeFunction",
        arn,
        "Lambda.AWSLambdaException",
        lambda result: result["Payload"] == {"doubled": 8} and result["StatusCode"] == 200,
    )


def function_itself(cloud: LocalCloud) -> Case:
    """A function's ARN as the task's resource."""
    function = make_function(cloud, DOUBLE, make_role(cloud))
    arn = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{function}"
    return Case(
        arn, {"number": 5}, "lambda:InvokeFunction", arn, "Lambda.AWSLambdaException", lambda r: r == {"doubled": 10}
    )


def queue(cloud: LocalCloud) -> Case:
    """An object is sent as its JSON."""
    url, arn = make_queue(cloud)
    return Case(
        "arn:aws:states:::sqs:sendMessage",
        {"QueueUrl": url, "MessageBody": {"a": 1}},
        "sqs:SendMessage",
        arn,
        "SQS.AmazonSQSException",
        lambda result: (
            bool(result["MessageId"]) and [json.loads(m["Body"]) for m in messages(cloud, url)] == [{"a": 1}]
        ),
    )


def topic(cloud: LocalCloud) -> Case:
    """Publishing."""
    arn = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    return Case(
        "arn:aws:states:::sns:publish",
        {"TopicArn": arn, "Message": {"a": 1}},
        "sns:Publish",
        arn,
        "SNS.AuthorizationErrorException",
        lambda result: bool(result["MessageId"]),
    )


def make_table(cloud: LocalCloud) -> str:
    """A table keyed by `k`."""
    name = unique("table")
    cloud.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def table(cloud: LocalCloud) -> Case:
    """The optimised integration keeps the API's names."""
    name = make_table(cloud)
    cloud.client("dynamodb").put_item(TableName=name, Item={"k": {"S": "x"}, "b": {"BOOL": True}})
    return Case(
        "arn:aws:states:::dynamodb:getItem",
        {"TableName": name, "Key": {"k": {"S": "x"}}},
        "dynamodb:GetItem",
        f"arn:aws:dynamodb:{cloud.region}:{cloud.account}:table/{name}",
        "DynamoDB.AmazonDynamoDBException",
        lambda result: result["Item"] == {"k": {"S": "x"}, "b": {"BOOL": True}},
    )


def table_by_sdk(cloud: LocalCloud) -> Case:
    """The SDK integration has the SDK's names."""
    name = make_table(cloud)
    cloud.client("dynamodb").put_item(TableName=name, Item={"k": {"S": "x"}, "b": {"BOOL": True}})
    return Case(
        "arn:aws:states:::aws-sdk:dynamodb:getItem",
        {"TableName": name, "Key": {"k": {"S": "x"}}},
        "dynamodb:GetItem",
        f"arn:aws:dynamodb:{cloud.region}:{cloud.account}:table/{name}",
        "DynamoDb.DynamoDbException",
        lambda result: result["Item"] == {"k": {"S": "x"}, "b": {"Bool": True}},
    )


def bus(cloud: LocalCloud) -> Case:
    """An entry's detail is sent as its JSON."""
    arn = f"arn:aws:events:{cloud.region}:{cloud.account}:event-bus/default"
    entry = {"Source": unique("source"), "DetailType": "Test", "Detail": {"a": 1}, "EventBusName": "default"}
    return Case(
        "arn:aws:states:::events:putEvents",
        {"Entries": [entry]},
        "events:PutEvents",
        arn,
        "EventBridge.AmazonEventBridgeException",
        lambda result: result["FailedEntryCount"] == 0,
    )


def bucket(cloud: LocalCloud) -> Case:
    """REST with XML: a body is text."""
    name = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_object(Bucket=name, Key="in/a b.txt", Body="ü".encode())
    return Case(
        "arn:aws:states:::aws-sdk:s3:getObject",
        {"Bucket": name, "Key": "in/a b.txt"},
        "s3:GetObject",
        f"arn:aws:s3:::{name}/in/a b.txt",
        "S3.S3Exception",
        lambda result: result["Body"] == "ü" and result["ContentLength"] == 2,
    )


def secret(cloud: LocalCloud) -> Case:
    """JSON."""
    arn = cloud.client("secretsmanager").create_secret(Name=unique("secret"), SecretString="s")["ARN"]
    return Case(
        "arn:aws:states:::aws-sdk:secretsmanager:getSecretValue",
        {"SecretId": arn},
        "secretsmanager:GetSecretValue",
        arn,
        "SecretsManager.SecretsManagerException",
        lambda result: result["SecretString"] == "s" and result["Arn"] == arn,
    )


def queue_by_sdk(cloud: LocalCloud) -> Case:
    """The Query protocol's services."""
    url, arn = make_queue(cloud)
    return Case(
        "arn:aws:states:::aws-sdk:sqs:getQueueAttributes",
        {"QueueUrl": url, "AttributeNames": ["QueueArn"]},
        "sqs:GetQueueAttributes",
        arn,
        "Sqs.SqsException",
        lambda result: result["Attributes"]["QueueArn"] == arn,
    )


def invoke_by_sdk(cloud: LocalCloud) -> Case:
    """REST with JSON."""
    function = make_function(cloud, DOUBLE, make_role(cloud))
    arn = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{function}"
    return Case(
        "arn:aws:states:::aws-sdk:lambda:invoke",
        {"FunctionName": function, "Payload": {"number": 2}},
        "lambda:InvokeFunction",
        arn,
        "Lambda.LambdaException",
        lambda result: json.loads(result["Payload"]) == {"doubled": 4},
    )


CASES: tuple[Make, ...] = (
    lambda_invoke,
    function_itself,
    queue,
    topic,
    table,
    table_by_sdk,
    bus,
    bucket,
    secret,
    queue_by_sdk,
    invoke_by_sdk,
)


@pytest.mark.parametrize("make", CASES)
def test_a_task_needs_its_roles_permission(cloud: LocalCloud, make: Make) -> None:
    # Given a state machine whose role allows nothing
    case = make(cloud)
    role = make_role(cloud)
    machine = make_machine(cloud, role, one_task(case.resource, case.arguments))
    before = last_sequence(cloud)
    # When it runs, Then the task fails with the service's denial, which is recorded as the role's
    failed = execute(cloud, machine)
    assert (failed["status"], failed["error"]) == ("FAILED", case.error)
    assert case.action in failed["cause"]
    assert [(item["role"], item["allowed"]) for item in decided(cloud, case.action, case.on, before)] == [
        (role.rpartition("/")[2], False)
    ]
    # When the role may do it, Then it works, and that is recorded as well
    set_permissions(cloud, role, {"Sid": "Task", "Action": case.action, "Resource": case.on})
    done = execute(cloud, machine)
    assert done["status"] == "SUCCEEDED", done
    assert case.result(done["output"]), done["output"]
    last = decided(cloud, case.action, case.on, before)[-1]
    assert (last["role"], last["allowed"], last["statement"]["sid"]) == (role.rpartition("/")[2], True, "Task")


def test_a_service_that_is_asked_by_a_state_machine_reads_as_its_role(cloud: LocalCloud) -> None:
    # Given a photo in a bucket, and a state machine whose role may ask Rekognition but not read
    name = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=name)
    photo = next(iter(sorted((ROOT / "samples" / "photos").glob("*.jpg")))).read_bytes()
    cloud.client("s3").put_object(Bucket=name, Key="a.jpg", Body=photo)
    ask = {"Action": "rekognition:DetectLabels", "Resource": "*"}
    role = make_role(cloud, ask)
    where = {"Image": {"S3Object": {"Bucket": name, "Name": "a.jpg"}}}
    machine = make_machine(cloud, role, one_task("arn:aws:states:::aws-sdk:rekognition:detectLabels", where))
    # When it runs, Then the service cannot read; when the role may read, Then it can
    before = last_sequence(cloud)
    assert execute(cloud, machine)["error"] == "Rekognition.InvalidS3ObjectException"
    set_permissions(cloud, role, ask, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"})
    assert execute(cloud, machine)["output"]["Labels"]
    reads = decided(cloud, "s3:GetObject", f"arn:aws:s3:::{name}/a.jpg", before)
    assert [(item["role"], item["allowed"]) for item in reads] == [
        (role.rpartition("/")[2], False),
        (role.rpartition("/")[2], True),
    ]
    # When it may not ask any more, Then the error is the service's own, and States.TaskFailed stands for it
    set_permissions(cloud, role, {"Action": "s3:GetObject", "Resource": "*"})
    assert execute(cloud, machine)["error"] == "Rekognition.AccessDeniedException"
    caught = one_task(
        "arn:aws:states:::aws-sdk:rekognition:detectLabels",
        where,
        Catch=[{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"}],
    )
    caught["States"]["Caught"] = {"Type": "Succeed"}
    assert execute(cloud, make_machine(cloud, role, caught))["output"]["Error"] == "Rekognition.AccessDeniedException"


def test_a_fault_meets_a_state_machine_too_and_its_retry_mends_it(cloud: LocalCloud) -> None:
    # Given a task that is tried again when it is throttled, and two throttled attempts
    name = make_table(cloud)
    role = make_role(cloud, {"Action": "dynamodb:GetItem", "Resource": "*"})
    retry = {"ErrorEquals": ["DynamoDB.ThrottlingException"], "IntervalSeconds": 1, "BackoffRate": 1}
    task = one_task("arn:aws:states:::dynamodb:getItem", {"TableName": name, "Key": {"k": {"S": "x"}}}, Retry=[retry])
    fault = cloud.control.faults_add(service="dynamodb", operation="GetItem", kind="throttle", times=2)
    calls = cloud.control.calls().get("dynamodb.GetItem", 0)
    # When it runs, Then it succeeds at the third attempt, each of which was counted
    try:
        assert execute(cloud, make_machine(cloud, role, task))["status"] == "SUCCEEDED"
    finally:
        cloud.control.faults_clear(fault)
    assert cloud.control.calls()["dynamodb.GetItem"] == calls + 3


def test_what_the_local_cloud_does_not_serve_fails_by_name(cloud: LocalCloud) -> None:
    # Given tasks for an integration that is not served, an operation that does not exist and an unknown field
    role = make_role(cloud, {"Action": "*", "Resource": "*"})
    for resource, arguments in (
        ("arn:aws:states:::glue:startJobRun.sync", {}),
        ("arn:aws:states:::aws-sdk:sqs:flyAway", {}),
        ("arn:aws:states:::aws-sdk:sqs:getQueueUrl", {"NoSuchField": 1}),
    ):
        # When they run, Then each fails and says so
        failed = execute(cloud, make_machine(cloud, role, one_task(resource, arguments)))
        assert (failed["status"], failed["error"]) == ("FAILED", "States.Runtime")


def test_a_map_in_distributed_mode_is_refused(cloud: LocalCloud) -> None:
    # Given a map whose items would be executions of their own, When it runs, Then it fails and says so
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "P",
        "States": {"P": {"Type": "Pass", "End": True}},
    }
    mapped = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor, "End": True}
    machine = make_machine(cloud, make_role(cloud), {"StartAt": "M", "States": {"M": mapped}})
    failed = execute(cloud, machine, {"items": [1]})
    assert (failed["error"], "distributed" in failed["cause"]) == ("States.Runtime", True)


# --- Executions inside executions


@pytest.fixture
def inner(cloud: LocalCloud) -> str:
    """A state machine that hands on its input."""
    return make_machine(cloud, make_role(cloud), {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})


def nested_permissions(cloud: LocalCloud, machine: str) -> dict[str, dict[str, Any]]:
    """What a role needs to start an execution and wait for it, an action a statement."""
    executions = machine.replace(":stateMachine:", ":execution:") + ":*"
    rule = f"arn:aws:events:{cloud.region}:{cloud.account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    needed = {
        "states:StartExecution": machine,
        "states:DescribeExecution": executions,
        "states:StopExecution": executions,
        "events:PutTargets": rule,
        "events:PutRule": rule,
        "events:DescribeRule": rule,
    }
    return {action: {"Action": action, "Resource": resource} for action, resource in needed.items()}


def test_a_state_machine_starts_another_and_waits_for_it(cloud: LocalCloud, inner: str) -> None:
    # Given a role that may do what that needs
    role = make_role(cloud, *nested_permissions(cloud, inner).values())
    arguments = {"StateMachineArn": inner, "Input": {"a": 1}}
    # When the task does not wait, Then it is given the execution; when it waits, Then the output, as text or as JSON
    started = execute(cloud, make_machine(cloud, role, one_task("arn:aws:states:::states:startExecution", arguments)))
    assert json.loads(ended(cloud, started["output"]["ExecutionArn"])["output"]) == {"a": 1}
    for pattern, output in (("sync", '{"a":1}'), ("sync:2", {"a": 1})):
        resource = f"arn:aws:states:::states:startExecution.{pattern}"
        waited = execute(cloud, make_machine(cloud, role, one_task(resource, arguments)))
        assert waited["output"]["Output"] == output


@pytest.mark.parametrize(
    "action",
    [
        "states:StartExecution",
        "states:DescribeExecution",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
    ],
)
def test_waiting_for_another_execution_needs_each_permission(cloud: LocalCloud, inner: str, action: str) -> None:
    # Given a role that lacks one of them
    permissions = nested_permissions(cloud, inner)
    del permissions[action]
    role = make_role(cloud, *permissions.values())
    # When the task waits for another execution, Then it fails
    task = one_task("arn:aws:states:::states:startExecution.sync", {"StateMachineArn": inner})
    failed = execute(cloud, make_machine(cloud, role, task))
    assert (failed["status"], failed["error"]) == ("FAILED", "StepFunctions.AWSStepFunctionsException")
    assert action in failed["cause"]


def test_an_execution_that_is_stopped_stops_the_one_it_waits_for(cloud: LocalCloud) -> None:
    # Given an execution that waits for one that waits a day
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86_400, "End": True}}}
    child = make_machine(cloud, make_role(cloud), wait)
    role = make_role(cloud, *nested_permissions(cloud, child).values())
    task = one_task("arn:aws:states:::states:startExecution.sync", {"StateMachineArn": child})
    outer = start(cloud, make_machine(cloud, role, task))
    states = cloud.client("stepfunctions")
    (running,) = eventually(lambda: states.list_executions(stateMachineArn=child)["executions"])
    # When the outer one is stopped, Then so is the inner one
    states.stop_execution(executionArn=outer)
    assert ended(cloud, running["executionArn"])["status"] == "ABORTED"


def test_a_role_must_let_step_functions_in(cloud: LocalCloud) -> None:
    # Given a state machine whose role trusted Step Functions and does no more
    url, arn = make_queue(cloud)
    role = make_role(cloud, {"Action": "sqs:SendMessage", "Resource": arn})
    machine = make_machine(
        cloud, role, one_task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": "x"})
    )
    trust = policy({"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    cloud.client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=trust)
    # When it runs, Then its task fails, and nothing was sent
    before = last_sequence(cloud)
    assert execute(cloud, machine)["error"] == "States.Runtime"
    assert messages(cloud, url) == []
    (decision,) = decided(cloud, "sts:AssumeRole", role, before)
    assert (decision["principal"], decision["allowed"]) == ("states.amazonaws.com", False)
