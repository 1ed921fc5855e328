"""Faults on demand: each kind, on each protocol, counted by HTTP attempt; and a worker killed where it hurts."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.loaders import Loader

from local.cloud import LocalCloud
from local.control import ControlError
from local.emulator import faults
from tests.local.emulated import eventually, make_function, make_queue, make_role, messages, unique


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """No rule outlives its test, in the emulator or in this process."""
    yield
    faults.clear()
    faults.clear_calls()
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").control.faults_clear()


def once(cloud: LocalCloud, service: str, **config: Any) -> Any:
    """A client that tries once."""
    return cloud.client(service, retries={"total_max_attempts": 1}, **config)


def calls(cloud: LocalCloud, operation: str) -> int:
    """HTTP attempts that the emulator got, so far."""
    return cloud.control.calls().get(operation, 0)


@pytest.mark.parametrize(
    ("service", "operation", "call", "throttle", "internal"),
    [
        ("s3", "ListBuckets", "list_buckets", ("SlowDown", 503), ("InternalError", 500)),
        ("sqs", "ListQueues", "list_queues", ("RequestThrottled", 400), ("InternalFailure", 500)),
        ("dynamodb", "ListTables", "list_tables", ("ThrottlingException", 400), ("InternalServerError", 500)),
        ("lambda", "ListFunctions", "list_functions", ("TooManyRequestsException", 429), ("ServiceException", 500)),
        ("iam", "ListRoles", "list_roles", ("Throttling", 400), ("InternalFailure", 500)),
    ],
)
def test_an_error_has_the_services_code_in_its_protocol(
    cloud: LocalCloud, service: str, operation: str, call: str, throttle: tuple[str, int], internal: tuple[str, int]
) -> None:
    for kind, (code, status) in (("throttle", throttle), ("internal", internal)):
        # Given a fault for one attempt
        cloud.control.faults_add(service=service, operation=operation, kind=kind, times=1)
        client = once(cloud, service)
        # When the operation is called, Then the SDK reads the service's own code and status; and the next call works
        with pytest.raises(ClientError) as raised:
            getattr(client, call)()
        assert raised.value.response["Error"]["Code"] == code
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        getattr(client, call)()


@pytest.mark.parametrize("table", [faults.THROTTLES, faults.INTERNALS])
def test_statuses_are_those_of_the_services_models(table: dict[str, tuple[str, int]]) -> None:
    # Given the errors of a table, but S3's, which no model has
    for service, (code, status) in table.items():
        if service == "s3":
            continue
        # When the service's model is asked, Then it has that error with that status
        shape = Loader().load_service_model(service, "service-2")["shapes"][code]
        assert shape["exception"] is True
        assert status == (shape.get("error") or {}).get("httpStatusCode", 500 if shape.get("fault") else 400)


def test_an_added_service_fails_as_well(cloud: LocalCloud) -> None:
    # Given a throttled Rekognition with another of its codes
    cloud.control.faults_add(service="rekognition", kind="throttle", code="ProvisionedThroughputExceededException")
    client = once(cloud, "rekognition")
    # When it is called, Then that modelled error is raised
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        client.detect_labels(Image={"Bytes": b"x"})


def test_faults_and_calls_are_counted_by_http_attempt(cloud: LocalCloud) -> None:
    # Given two throttled attempts and a client that tries three times
    rule = cloud.control.faults_add(service="sqs", operation="ListQueues", kind="throttle", times=2)
    before = calls(cloud, "sqs.ListQueues")
    # When it calls once, Then it succeeds with its third attempt
    answer = cloud.client("sqs").list_queues()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    assert calls(cloud, "sqs.ListQueues") == before + 3
    assert [(item["id"], item["applied"]) for item in cloud.control.faults()] == [(rule, 2)]


def test_a_slow_answer_comes_late_and_true(cloud: LocalCloud) -> None:
    # Given an operation that is slow by 0.4 s
    cloud.control.faults_add(service="sqs", operation="ListQueues", kind="slow", seconds=0.4, times=1)
    # When it is called, Then the answer takes that long, and the next does not
    durations = []
    for _ in range(2):
        started = time.monotonic()
        assert "ResponseMetadata" in once(cloud, "sqs").list_queues()
        durations.append(time.monotonic() - started)
    assert durations[0] >= 0.4 > durations[1]


def test_a_timeout_does_not_answer_while_the_client_waits(cloud: LocalCloud) -> None:
    # Given an operation that times out once
    cloud.control.faults_add(service="sqs", operation="ListQueues", kind="timeout", times=1)
    # When a client with a short patience calls, Then it gives up by itself; other calls go on
    impatient = once(cloud, "sqs", read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        impatient.list_queues()
    impatient.list_queues()


def test_a_fault_after_lets_the_operation_take_effect(cloud: LocalCloud) -> None:
    # Given a queue where the answer to a send is lost
    url, _ = make_queue(cloud)
    cloud.control.faults_add(service="sqs", operation="SendMessage", kind="internal", when="after", times=1)
    # When a message is sent, Then the sender sees an error, and the message is there
    with pytest.raises(ClientError, match="InternalFailure"):
        once(cloud, "sqs").send_message(QueueUrl=url, MessageBody="there")
    assert [message["Body"] for message in messages(cloud, url)] == ["there"]


def test_a_fault_before_keeps_the_operation_from_happening(cloud: LocalCloud) -> None:
    # Given a queue where a send fails
    url, _ = make_queue(cloud)
    cloud.control.faults_add(service="sqs", operation="SendMessage", kind="internal", times=1)
    # When a message is sent, Then the sender sees an error, and the message is not there
    with pytest.raises(ClientError, match="InternalFailure"):
        once(cloud, "sqs").send_message(QueueUrl=url, MessageBody="not there")
    assert messages(cloud, url) == []


def test_a_rule_meets_only_its_service_and_operation(cloud: LocalCloud) -> None:
    # Given a fault on one operation of one service
    cloud.control.faults_add(service="sqs", operation="ListQueues", kind="internal")
    # When other operations and services are called, Then they work; once the rule is gone, so does that one
    once(cloud, "dynamodb").list_tables()
    url, _ = make_queue(cloud)
    once(cloud, "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    with pytest.raises(ClientError):
        once(cloud, "sqs").list_queues()
    cloud.control.faults_clear()
    once(cloud, "sqs").list_queues()
    assert cloud.control.faults() == []


def test_half_of_all_attempts_means_about_half() -> None:
    # Given a rule with probability one half
    faults.add(service="rekognition", operation="DetectLabels", kind="throttle", probability=0.5)
    # When many attempts are made
    hits = [faults.pick("rekognition", "DetectLabels", from_worker=lambda: False) is not None for _ in range(2000)]
    # Then about half are hit (within five standard deviations)
    assert abs(statistics.mean(hits) - 0.5) < 0.056


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "explode"}, "No such kind"),
        ({"when": "during"}, "before or after"),
        ({"probability": 1.5}, "between 0 and 1"),
        ({"kind": "slow", "seconds": -1}, "not negative"),
        ({"service": "states", "operation": "StateTransition", "kind": "internal"}, "throttled or not"),
    ],
)
def test_a_senseless_rule_is_refused(fields: dict[str, Any], message: str) -> None:
    # Given fields that make no sense, When a rule is added, Then it is refused with the reason, and none is in force
    with pytest.raises(ValueError, match=message):
        faults.add(**{"service": "s3", **fields})
    assert faults.rules() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"service": "rekogniton"}, "no service 'rekogniton'; did you mean rekognition"),
        ({"service": "rekognition", "operation": "detectlabels"}, "did you mean DetectLabels"),
        ({"service": "dynamodb", "operation": "StateTransition", "kind": "throttle"}, "no operation"),
        ({"service": 5}, "service is 5"),
        ({"service": "s3", "times": "many"}, "times is 'many'"),
        ({"service": "s3", "times": True}, "times is True"),
        ({"service": "s3", "times": -1}, "1 at least"),
        ({"service": "s3", "code": 7}, "code is 7"),
    ],
)
def test_a_rule_that_could_never_apply_is_refused_by_the_running_cloud(
    cloud: LocalCloud, fields: dict[str, Any], message: str
) -> None:
    # Given a rule with a misspelling or a value of the wrong kind, When the running cloud is asked for it
    with pytest.raises(ControlError, match=message):
        cloud.control.faults_add(**fields)
    # Then it is refused with what is wrong, and none is in force
    assert cloud.control.faults() == []


def test_a_job_fails_or_begins_late_when_it_is_asked_to() -> None:
    # Given a rule for the jobs of one operation
    faults.add(service="textract", operation="StartDocumentAnalysis", kind="fail-job", times=1)
    # When attempts and jobs are looked at, Then no attempt meets it, and one job does
    assert faults.pick("textract", "StartDocumentAnalysis", from_worker=lambda: False) is None
    assert faults.pick_job("textract", "StartDocumentTextDetection") == []
    assert [rule.kind for rule in faults.pick_job("textract", "StartDocumentAnalysis")] == ["fail-job"]
    assert faults.pick_job("textract", "StartDocumentAnalysis") == []


def test_a_job_that_runs_meets_a_rule_that_is_added_meanwhile_once() -> None:
    # Given a job that looks for its rules again and again
    seen: set[str] = set()

    def look() -> list[str]:
        found = faults.pick_job("sagemaker", "CreateTrainingJob", ("interrupt-job",), seen)
        return [rule.id for rule in found]

    assert look() == []
    # When a rule for all jobs is added, Then it befalls this one once, and another one, too
    rule = faults.add(service="sagemaker", operation="CreateTrainingJob", kind="interrupt-job")
    assert (look(), look()) == ([rule], [])
    seen.clear()
    assert look() == [rule]


def test_an_item_of_a_batch_fails_when_it_is_asked_to() -> None:
    # Given a rule for the items of one operation
    faults.add(service="comprehend", operation="BatchDetectEntities", kind="fail-item", times=1)
    # When attempts, jobs and items are looked at, Then neither of the first meets it, and one item does
    assert faults.pick("comprehend", "BatchDetectEntities", from_worker=lambda: False) is None
    assert faults.pick_job("comprehend", "BatchDetectEntities") == []
    assert faults.pick_item("comprehend", "BatchDetectSentiment") is None
    found = [faults.pick_item("comprehend", "BatchDetectEntities") for _ in range(2)]
    assert [rule and rule.kind for rule in found] == ["fail-item", None]


# --- Killed workers

WRITER = """
import os, boto3
table = boto3.client("dynamodb")
def handler(event, context):
    for record in event.get("Records", [{"messageId": "direct"}]):
        table.update_item(TableName=os.environ["TABLE"], Key={"k": {"S": record["messageId"]}},
                          UpdateExpression="ADD written :one", ExpressionAttributeValues={":one": {"N": "1"}})
    return {"pid": os.getpid()}
"""


@pytest.fixture(scope="module")
def writer(cloud: LocalCloud) -> tuple[str, str, str, str]:
    """A function fed by a queue that counts in a table; returns function, table, queue URL and queue ARN."""
    table = unique("table")
    cloud.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    url, arn = make_queue(cloud, VisibilityTimeout="30")
    role = make_role(
        cloud,
        {"Action": "dynamodb:UpdateItem", "Resource": "*"},
        {"Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "Resource": arn},
    )
    function = make_function(cloud, WRITER, role, Environment={"Variables": {"TABLE": table}})
    cloud.client("lambda").create_event_source_mapping(FunctionName=function, EventSourceArn=arn, BatchSize=1)
    return function, table, url, arn


def written(cloud: LocalCloud, table: str, key: str) -> int:
    """How often an item was written."""
    item = cloud.client("dynamodb").get_item(TableName=table, Key={"k": {"S": key}}).get("Item")
    return int(item["written"]["N"]) if item else 0


@pytest.mark.parametrize(("when", "effect"), [("before", 0), ("after", 1)])
def test_a_worker_is_killed_before_or_after_its_call_took_effect(
    cloud: LocalCloud, writer: tuple[str, str, str, str], when: str, effect: int
) -> None:
    _, table, url, _ = writer
    # Given that the worker which writes next is killed
    rule = cloud.control.faults_add(service="dynamodb", operation="UpdateItem", kind="kill-worker", when=when, times=1)
    # When a message comes
    sent = cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")["MessageId"]
    eventually(lambda: [item["applied"] for item in cloud.control.faults() if item["id"] == rule] == [1])
    # Then the write took effect or not, the message was not deleted, and a new worker does it when it comes back
    eventually(lambda: written(cloud, table, sent) == effect)
    time.sleep(0.3)
    assert written(cloud, table, sent) == effect
    cloud.control.clock_advance(31)
    eventually(lambda: written(cloud, table, sent) == effect + 1)


def test_a_killed_worker_is_an_error_to_who_invoked_it(cloud: LocalCloud, writer: tuple[str, str, str, str]) -> None:
    function = writer[0]
    # Given a warm worker, which is killed when it writes
    first = json.loads(cloud.client("lambda").invoke(FunctionName=function)["Payload"].read())
    cloud.control.faults_add(service="dynamodb", operation="UpdateItem", kind="kill-worker", times=1)
    # When the function is invoked, Then the invocation fails; the next one has a new worker
    failed = once(cloud, "lambda").invoke(FunctionName=function)
    assert failed["FunctionError"]
    second = json.loads(cloud.client("lambda").invoke(FunctionName=function)["Payload"].read())
    assert second["pid"] != first["pid"]


RAISER = """
import os
def handler(event, context):
    raise RuntimeError(f"process {os.getpid()}")
"""


def test_a_worker_whose_handler_raised_is_kept(cloud: LocalCloud) -> None:
    # Given a function that raises, When it is invoked twice, Then one worker has answered both
    function = make_function(cloud, RAISER, make_role(cloud))
    answers = [cloud.client("lambda").invoke(FunctionName=function) for _ in range(2)]
    assert [answer["FunctionError"] for answer in answers] == ["Unhandled", "Unhandled"]
    first, second = (json.loads(answer["Payload"].read()) for answer in answers)
    assert first["errorType"] == "RuntimeError"
    assert first["errorMessage"] == second["errorMessage"]


def test_a_message_that_failed_comes_again_when_the_clock_says_so(cloud: LocalCloud) -> None:
    # Given a message whose function has raised
    url, arn = make_queue(cloud, VisibilityTimeout="30")
    queue = {"Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "Resource": arn}
    function = make_function(cloud, RAISER, make_role(cloud, queue))
    cloud.client("lambda").create_event_source_mapping(FunctionName=function, EventSourceArn=arn)
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="m")

    def failures() -> int:
        points = cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=0,
            EndTime=time.time() + 86_400 * 365,
            Period=86_400,
            Statistics=["Sum"],
        )["Datapoints"]
        return int(sum(point["Sum"] for point in points))

    eventually(lambda: failures() == 1 and cloud.control.health()["batches"] == 0)
    # When its visibility timeout has passed by the cloud's clock
    cloud.control.clock_advance(31)
    # Then it is tried again at once, and not when MiniStack's pause of a second is over
    eventually(lambda: failures() == 2, seconds=0.7)


def test_a_call_from_elsewhere_kills_nobody(cloud: LocalCloud) -> None:
    # Given a rule that kills workers
    cloud.control.faults_add(service="sqs", operation="ListQueues", kind="kill-worker", times=1)
    # When a client that is no worker calls, Then it gets its answer and the rule is not used up
    once(cloud, "sqs").list_queues()
    assert [item["applied"] for item in cloud.control.faults()] == [0]
