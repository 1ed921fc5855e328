"""Serve a model with scaling: what fails, who is told, and that the model before serves on."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from scenarios import realtime_endpoint
from tests.conftest import SharedStacks
from tests.local.emulated import ended, unique
from tests.scenarios.shop import NEVER_WELL, SECONDS, SERVING, SMALL, TRAINING, Shop, hurried, parcels
from tests.waiting import until

# Answers as it should, but takes longer than the alarm on its latency allows.
SLOW = """
import json, time

def model_fn(folder):
    return None

def input_fn(data, content_type):
    return data.splitlines()

def predict_fn(rows, model):
    time.sleep(0.6)
    return [{"probability": 0.5, "decision": 0} for row in rows]

def output_fn(made, accept):
    return json.dumps({"predictions": made}), "application/json"
"""


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shop = Shop(cloud, training, shared_stacks(SERVING, SMALL[SERVING]), {})
    shop.ready()
    return shop


def answers(shop: Shop) -> bool:
    """Whether the endpoint answers a usual question."""
    return len(realtime_endpoint.ask(shop.cloud, shop.serving, parcels(2, 9))) == 2


# --- A model that cannot serve ---------------------------------------------------------------------------------------


def test_a_model_that_fails_its_health_check_leaves_the_old_one_in_service(shop: Shop) -> None:
    # Given a model in service, and a package whose container never gets well
    before = shop.in_service()
    with shop.package(NEVER_WELL) as broken, shop.told(shop.serving["FailureTopicArn"]) as told:
        # When it is approved
        report = shop.deploy(broken)
        # Then its deployment fails, and the topic is told why
        (message,) = map(json.loads, told())
    assert report.status == "FAILED"
    assert message["package"] == broken
    assert (message["state"], message["code"]) == ("Update endpoint", "RolledBack")
    assert "did not pass the ping health check" in message["cause"]
    # And the model before serves, and is scaled; of the other nothing is left
    assert shop.in_service() == before
    assert shop.scaled() == ["follow-the-traffic"]
    assert answers(shop)
    assert shop.made() == (1, 1)


def test_an_endpoint_that_never_came_up_is_made_anew_by_the_next_approval(shop: Shop) -> None:
    # Given no endpoint, as by night, and a package whose container never gets well
    package = shop.in_service()
    shop.client("lambda").invoke(FunctionName=shop.serving["RetireFunctionName"], Payload=b'{"stop": true}')
    with shop.package(NEVER_WELL) as broken, shop.told(shop.serving["FailureTopicArn"]) as told:
        # When it is approved
        report = shop.deploy(broken)
        # Then the endpoint has failed, and the topic is told why
        (message,) = map(json.loads, told())
    assert report.status == "FAILED"
    assert (message["state"], message["code"]) == ("Create endpoint", "EndpointFailed")
    assert "did not pass the ping health check" in message["cause"]
    assert realtime_endpoint.endpoint_status(shop.cloud, shop.serving) == "Failed"
    # When a sound one is approved, Then the failed endpoint goes and another serves
    assert shop.deploy(package).complete
    assert shop.in_service() == package
    assert answers(shop)
    assert shop.made() == (1, 1)


@contextmanager
def asked_all_the_time(shop: Shop) -> Iterator[Counter[str]]:
    """Somebody who asks one question after the other; counts how each ended."""
    ended_so: Counter[str] = Counter()
    over = threading.Event()
    row = parcels(1, 9)

    def ask() -> None:
        while not over.wait(0.02):
            try:
                realtime_endpoint.ask(shop.cloud, shop.serving, row)
                ended_so["answered"] += 1
            except Exception as error:  # noqa: BLE001, PERF203 (whatever it is, the test is told)
                ended_so[repr(error)] += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield ended_so
    finally:
        over.set()
        asker.join()


def at_least(requests: Counter[str], count: int) -> bool:
    """Whether so many requests have ended."""
    return requests.total() >= count


def test_an_alarm_takes_an_update_back_and_no_request_fails(shop: Shop) -> None:
    # Given deployments that watch alarms for five minutes, and a model that is far too slow
    before = shop.in_service()
    shop.cloud.control.clock_advance(600)

    def pending() -> str:
        described = shop.client("sagemaker").describe_endpoint(EndpointName=shop.serving["EndpointName"])
        variants = described.get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])
        return str(variants[0].get("VariantStatus", [{}])[0].get("Status", ""))

    with (
        shop.redefined('"TerminationWaitInSeconds":0', '"TerminationWaitInSeconds":300'),
        shop.package(SLOW) as slow,
        shop.told(shop.serving["FailureTopicArn"]) as told,
        asked_all_the_time(shop) as requests,
    ):
        # When it is approved, and asked all the time
        shop.client("sagemaker").update_model_package(ModelPackageArn=slow, ModelApprovalStatus="Approved")
        until(lambda: pending() == "Baking", "the new model to be asked", seconds=SECONDS)
        for _ in range(3):
            enough = requests.total() + 2
            until(functools.partial(at_least, requests, enough), "two more answers", seconds=SECONDS)
            shop.cloud.control.clock_advance(60)
            shop.cloud.control.evaluate_alarms()
        # Then the alarm on its latency takes it back, and the topic is told
        (message,) = map(json.loads, told())
    assert message["code"] == "RolledBack"
    assert shop.serving["ModelLatencyAlarmName"] in message["cause"]
    # And the model before serves, and no request has failed
    realtime_endpoint.settle(shop.cloud, shop.serving, patience_seconds=SECONDS)
    assert shop.in_service() == before
    assert set(requests) == {"answered"}
    assert requests["answered"] >= 10
    # And nothing can be deployed until the alarm has cleared
    for _ in range(5):
        shop.cloud.control.clock_advance(60)
        shop.cloud.control.evaluate_alarms()


# --- The services around it ------------------------------------------------------------------------------------------


def test_without_the_right_to_capture_requests_are_served_and_the_loss_is_logged(shop: Shop) -> None:
    # Given an endpoint that may not write into its capture bucket any more
    def lost() -> list[str]:
        group = f"/aws/sagemaker/Endpoints/{shop.serving['EndpointName']}"
        found = shop.client("logs").filter_log_events(logGroupName=group, filterPattern='"Data capture lost"')
        return [event["message"] for event in found["events"]]

    def captured(inference: str) -> bool:
        s3, bucket = shop.client("s3"), shop.serving["CaptureBucketName"]
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        newest = sorted(listed, key=lambda one: one["LastModified"])[-3:]
        return any(inference.encode() in s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in newest)

    before = len(lost())
    with shop.without(shop.serving["ModelRoleName"], "s3:PutObject"):
        # When it is asked
        # Then it answers, and its log says that the capture is lost, and why
        assert answers(shop)
        until(lambda: len(lost()) > before, "the loss to be logged", seconds=SECONDS)
        assert "s3:PutObject" in lost()[-1] or "AccessDenied" in lost()[-1]
    # When the right is back, Then requests are captured again
    inference = unique("parcel")
    realtime_endpoint.ask(shop.cloud, shop.serving, parcels(1, 9), inference_id=inference)
    until(lambda: captured(inference), "the capture", seconds=SECONDS)


def test_a_throttled_service_is_asked_again_until_it_answers(shop: Shop) -> None:
    # Given a SageMaker that throttles, for a while, what a deployment asks for
    package = shop.in_service()
    control = shop.cloud.control
    for operation in ("CreateModel", "UpdateEndpoint", "DescribeEndpoint"):
        control.faults_add(service="sagemaker", operation=operation, kind="throttle", times=2)
    control.faults_add(service="application-autoscaling", operation="PutScalingPolicy", kind="throttle", times=2)
    # When a package is approved, Then it serves in the end, and nothing is left over
    with hurried(shop.cloud):
        report = shop.deploy(package)
    assert report.complete, report
    assert sum(rule["applied"] for rule in control.faults()) == 8
    assert shop.in_service() == package
    assert shop.made() == (1, 1)


def test_a_service_that_stays_down_is_told_and_the_approval_can_be_repeated(shop: Shop) -> None:
    # Given a SageMaker that makes no endpoint configuration
    package = shop.in_service()
    rule = shop.cloud.control.faults_add(service="sagemaker", operation="CreateEndpointConfig", kind="internal")
    with shop.told(shop.serving["FailureTopicArn"]) as told:
        # When a package is approved
        with hurried(shop.cloud):
            report = shop.deploy(package)
        # Then its deployment fails, the topic is told, and the old model serves
        (message,) = map(json.loads, told())
    assert report.status == "FAILED"
    assert message["state"] == "Create configuration"
    assert answers(shop)
    assert shop.made() == (1, 1)
    # When SageMaker works again and the package is approved once more, Then it serves
    shop.cloud.control.faults_clear(rule)
    assert shop.deploy(package).complete


# --- Approvals -------------------------------------------------------------------------------------------------------


def test_an_approval_that_is_told_twice_leaves_one_model(shop: Shop) -> None:
    # Given a package in service, and the event of its approval
    package = shop.in_service()
    event = json.dumps({"detail": {"ModelPackageArn": package}})
    states = shop.client("stepfunctions")
    # When it is delivered twice at once
    machine = shop.serving["DeploymentArn"]
    executions = [states.start_execution(stateMachineArn=machine, input=event)["executionArn"] for _ in range(2)]
    # Then one deployment waits for the other, and both succeed
    with hurried(shop.cloud):
        assert [ended(shop.cloud, one, SECONDS)["status"] for one in executions] == ["SUCCEEDED", "SUCCEEDED"]
    # And the package serves, once
    assert shop.in_service() == package
    assert shop.made() == (1, 1)
    assert answers(shop)


def test_an_older_version_that_is_approved_after_a_newer_one_serves(shop: Shop) -> None:
    # Given an older version, and a newer one that serves
    older = shop.in_service()
    with shop.package(SLOW) as newer:
        assert shop.deploy(newer).complete
        assert shop.in_service() == newer
        # When somebody goes back and approves the older once more
        assert shop.deploy(older).complete
        # Then the last word counts, not the higher version
        assert shop.in_service() == older
    assert shop.made() == (1, 1)
    assert answers(shop)


def test_an_approval_that_cannot_be_delivered_is_kept_and_redriven(shop: Shop) -> None:
    # Given a rule that may not start a deployment
    package = shop.in_service()
    sagemaker = shop.client("sagemaker")
    before = realtime_endpoint.deployments(shop.cloud, shop.serving)
    with shop.without(shop.role_of_rule(), "states:StartExecution"):
        # When a package is approved
        sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
        sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
        # Then its event is a dead letter, and nothing is deployed
        until(lambda: shop.dead_letters(shop.serving), "the dead letter", seconds=SECONDS)
        assert realtime_endpoint.deployments(shop.cloud, shop.serving) == before
    # When the right is back and the letter is redriven, Then the package is deployed
    (execution,) = realtime_endpoint.redrive(shop.cloud, shop.serving)
    assert ended(shop.cloud, execution, SECONDS)["status"] == "SUCCEEDED"
    assert shop.in_service() == package
    assert shop.dead_letters(shop.serving) == 0


# --- Requests --------------------------------------------------------------------------------------------------------


def errors(shop: Shop, metric: str) -> float:
    """The sum of a metric of the variant over the last minutes."""
    now = time.time() + shop.cloud.control.clock()
    found = shop.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": shop.serving["EndpointName"]},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        StartTime=now - 120,
        EndTime=now + 60,
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


GOOD = parcels(1, 9)
BAD: dict[str, tuple[bytes, dict[str, str], int]] = {
    "words for a number": (GOOD.replace(GOOD.split(",")[0], "cheap", 1).encode(), {}, 400),
    "too many columns": (f"{GOOD.strip()},1,2\n".encode(), {}, 400),
    "one bad row of three": (f"{GOOD}only,three,columns\n{GOOD}".encode(), {}, 400),
    "nothing": (b"\n", {}, 400),
    "too many rows": (GOOD.encode() * 10_001, {}, 400),
    "a picture": (b"GIF89a", {"ContentType": "image/gif"}, 415),
}


def refused(shop: Shop, body: bytes, **more: str) -> dict[str, Any]:
    """The answer to a request that is refused."""
    request = {"EndpointName": shop.serving["EndpointName"], "ContentType": "text/csv", "Body": body, **more}
    with pytest.raises(ClientError) as caught:
        shop.client("sagemaker-runtime").invoke_endpoint(**request)
    found: dict[str, Any] = dict(caught.value.response)
    return found


def test_a_bad_request_is_refused_with_its_reason_and_counts_as_the_callers_fault(shop: Shop) -> None:
    # Given a minute in which nobody asked, and requests with a mistake each
    shop.cloud.control.clock_advance(300)
    # When the endpoint is asked, Then each is refused by the model, with a status of 400 and above and a reason
    for what, (body, more, status) in BAD.items():
        answer = refused(shop, body, **more)
        assert answer["Error"]["Code"] == "ModelError", (what, answer)
        assert answer["OriginalStatusCode"] == status, (what, answer)
        assert answer["OriginalMessage"], what
    # And one that is larger than SageMaker takes never reaches the model
    assert refused(shop, b"1" * 6_291_457)["Error"]["Code"] == "ValidationError"
    # And all count as the callers' faults, none as the model's, so no alarm is raised
    assert errors(shop, "Invocation4XXErrors") == len(BAD)
    assert errors(shop, "Invocation5XXErrors") == 0
    assert answers(shop)
