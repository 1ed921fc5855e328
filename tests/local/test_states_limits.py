"""Quotas of sizes: what AWS refuses is refused here, with the same words."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import (
    execute,
    make_function,
    make_machine,
    make_queue,
    make_role,
    one_task,
    unique,
)

PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
# Returns as many characters as it is asked for.
REPEAT = "def handler(event, context):\n    return 'x' * event['count']\n"
LIMIT = 262_144


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    """Code and message of what a call is refused with."""
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"]), str(raised.value.response["Error"]["Message"])


def test_an_executions_input_is_at_most_256_kib(cloud: LocalCloud) -> None:
    # Given a state machine that hands on its input, When the input has just that size, Then it runs
    machine = make_machine(cloud, make_role(cloud), PASS)
    whole = "ü" * ((LIMIT - 2) // 2)
    states = cloud.client("stepfunctions")
    accepted = json.dumps(whole, ensure_ascii=False)
    assert len(accepted.encode()) == LIMIT
    states.start_execution(stateMachineArn=machine, input=accepted)
    # When it is one byte longer, Then it is refused; and so is what is no JSON
    code, message = error_of(lambda: states.start_execution(stateMachineArn=machine, input=accepted + " "))
    assert (code, "less than or equal to 262144" in message) == ("ValidationException", True)
    assert error_of(lambda: states.start_execution(stateMachineArn=machine, input="{"))[0] == "InvalidExecutionInput"


@pytest.mark.parametrize(("count", "status"), [(LIMIT - 2, "SUCCEEDED"), (LIMIT - 1, "FAILED")])
def test_a_tasks_result_is_at_most_256_kib(cloud: LocalCloud, count: int, status: str) -> None:
    # Given a function that returns so much, called by its ARN, and a Catch for everything
    function = make_function(cloud, REPEAT, make_role(cloud))
    arn = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:{function}"
    role = make_role(cloud, {"Action": "lambda:InvokeFunction", "Resource": arn})
    task = one_task(arn, {"count": count}, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])
    task["States"]["Caught"] = {"Type": "Succeed"}
    # When it runs, Then up to the quota it succeeds, and beyond it nothing catches the error
    done = execute(cloud, make_machine(cloud, role, task))
    assert done["status"] == status
    assert done.get("error") == (None if status == "SUCCEEDED" else "States.DataLimitExceeded")


def test_a_states_output_is_at_most_256_kib(cloud: LocalCloud) -> None:
    # Given a state that puts its input into its output three times
    state = {"Type": "Pass", "Parameters": dict.fromkeys("abc", "x"), "End": True}
    state["Parameters"] = {"a.$": "$.x", "b.$": "$.x", "c.$": "$.x"}
    machine = make_machine(cloud, make_role(cloud), {"StartAt": "P", "States": {"P": state}})
    # When the input is a third of the quota, Then it fails
    failed = execute(cloud, machine, {"x": "y" * (LIMIT // 3)})
    assert (failed["status"], failed["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_an_execution_has_at_most_25_000_events(cloud: LocalCloud) -> None:
    # Given a state machine that goes round for ever
    loop = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "P"}}}
    # When it runs, Then it fails when its history is full
    failed = execute(cloud, make_machine(cloud, make_role(cloud), loop))
    assert failed["status"] == "FAILED"
    assert "25000" in failed["cause"]
    states = cloud.client("stepfunctions")
    last = states.get_execution_history(executionArn=failed["executionArn"], reverseOrder=True, maxResults=1)["events"]
    assert [(event["id"], event["type"]) for event in last] == [(25_000, "ExecutionFailed")]


def test_a_definition_is_at_most_1_mb_and_refers_to_states_that_are_there(cloud: LocalCloud) -> None:
    # Given definitions that are too long, no JSON, or lead nowhere
    role, states = make_role(cloud), cloud.client("stepfunctions")

    def code_of(definition: str) -> str:
        return error_of(
            lambda: states.create_state_machine(name=unique("machine"), definition=definition, roleArn=role)
        )[0]

    lost: dict[str, Any] = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "Q"}}}
    inner = {"StartAt": "M", "States": {"M": {"Type": "Map", "End": True, "ItemProcessor": lost}}}
    # When they are created, Then each is refused
    assert code_of(json.dumps({**PASS, "Comment": "x" * 1_048_576})) == "ValidationException"
    assert code_of("{") == "InvalidDefinition"
    assert code_of(json.dumps({"States": {}})) == "InvalidDefinition"
    assert code_of(json.dumps(lost)) == "InvalidDefinition"
    assert code_of(json.dumps(inner)) == "InvalidDefinition"


def test_an_invocation_takes_6_mb_at_once_and_1_mb_later(cloud: LocalCloud) -> None:
    # Given a function
    function = make_function(cloud, "def handler(event, context):\n    return len(event)\n", make_role(cloud))
    lambdas = cloud.client("lambda")

    def invoke(size: int, kind: str) -> Any:
        payload = json.dumps("x" * (size - 2)).encode()
        return lambdas.invoke(FunctionName=function, InvocationType=kind, Payload=payload)

    # When it gets just so much, Then it takes it; one byte more is refused
    assert json.loads(invoke(6_291_456, "RequestResponse")["Payload"].read()) == 6_291_454
    assert error_of(lambda: invoke(6_291_457, "RequestResponse"))[0] == "RequestEntityTooLargeException"
    assert invoke(1_048_576, "Event")["StatusCode"] == 202
    assert error_of(lambda: invoke(1_048_577, "Event"))[0] == "RequestEntityTooLargeException"


def test_a_function_returns_at_most_6_mb(cloud: LocalCloud) -> None:
    # Given a function that returns more, When it is invoked, Then it has failed
    function = make_function(cloud, REPEAT, make_role(cloud))
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=b'{"count": 6291600}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_answer_that_is_no_json_is_an_error_of_the_runtime(cloud: LocalCloud) -> None:
    # Given a function that returns what JSON cannot hold, When it is invoked, Then the error is not its handler's
    function = make_function(cloud, "def handler(event, context):\n    return {1, 2}\n", make_role(cloud))
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    told = json.loads(answer["Payload"].read())
    assert (answer["FunctionError"], told["errorType"], told["stackTrace"]) == ("Unhandled", "Runtime.MarshalError", [])
    assert told["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


def test_events_and_messages_have_their_quotas(cloud: LocalCloud) -> None:
    # Given a bus, a queue and a topic
    url, _ = make_queue(cloud)
    topic = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    entry = {"Source": "s", "DetailType": "d"}

    def put(size: int) -> Any:
        detail = json.dumps("x" * (size - 4))
        return cloud.client("events").put_events(Entries=[{**entry, "Detail": detail}])

    # When they get just so much, Then they take it; one byte more is refused
    assert put(1_048_576)["FailedEntryCount"] == 0
    assert error_of(lambda: put(1_048_577))[0] == "ValidationException"
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x" * 1_048_576)
    assert (
        "InvalidParameterValue"
        in error_of(lambda: cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x" * 1_048_577))[0]
    )
    cloud.client("sns").publish(TopicArn=topic, Message="x" * LIMIT)
    assert error_of(lambda: cloud.client("sns").publish(TopicArn=topic, Message="x" * (LIMIT + 1)))[0] in (
        "InvalidParameter",
        "InvalidParameterException",
    )


def test_an_item_is_at_most_400_kb(cloud: LocalCloud) -> None:
    # Given a table, When an item of just that size is put, Then it is there; one byte more is refused
    table = unique("table")
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    # Names count as well: "k", "v" and the key "x"
    most = 400 * 1024 - 3
    dynamodb.put_item(TableName=table, Item={"k": {"S": "x"}, "v": {"S": "y" * most}})
    code, message = error_of(
        lambda: dynamodb.put_item(TableName=table, Item={"k": {"S": "x"}, "v": {"S": "y" * (most + 1)}})
    )
    assert (code, "size" in message) == ("ValidationException", True)
