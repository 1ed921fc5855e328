"""Serve a model with scaling: each kind of trouble raises its alarm and tells the topic, its end clears it.

The same trouble elsewhere leaves the alarm alone; `alarms` says how that is shown. What the callers of the endpoint
meet is told once, by a composite alarm. The model in service is one that makes trouble when it is asked to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.conftest import SharedStacks
from tests.local.emulated import ended, messages, start
from tests.local.hosted import Host
from tests.scenarios.alarms import Story, Trouble, checks_of
from tests.scenarios.shop import SECONDS, SERVING, SMALL, TRAINING, Shop, switch_nights
from tests.waiting import until

MISCHIEVOUS = """
import time

def model_fn(folder):
    return None

def input_fn(data, content_type):
    return data

def predict_fn(wish, model):
    if wish == "fail":
        raise ValueError("as asked")
    if wish == "wait":
        time.sleep(0.6)
    return wish

def output_fn(made, accept):
    return made, accept
"""
OF_CALLERS = ("ServerErrorsAlarm", "ModelLatencyAlarm", "OverheadAlarm")


class ShopDriver:
    """The stack, and another endpoint beside it whose model is as mischievous."""

    def __init__(self, shop: Shop, other_endpoint: str) -> None:
        self.shop = shop
        self.other_endpoint = other_endpoint
        self.cloud = shop.cloud
        self.control = shop.cloud.control
        self.outputs = shop.serving
        self.sqs = shop.client("sqs")

    def ask(self, endpoint: str, *wishes: str) -> None:
        """One request for each wish. What comes of it does not matter."""
        runtime = self.shop.client("sagemaker-runtime")
        for wish in wishes:
            try:
                runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=wish.encode())
            except ClientError as error:  # noqa: PERF203 (a wish that fails is wanted)
                if error.response["Error"]["Code"] != "ModelError":
                    raise


class ServingStory(Story[ShopDriver]):
    """What happens to the stack."""

    architecture = SERVING

    def told_by(self, name: str) -> str:
        outputs = self.driver.outputs
        return outputs["UnwellAlarmName"] if name in {outputs[f"{one}Name"] for one in OF_CALLERS} else name

    # --- what callers meet

    def _troubled(self, endpoint: str, wish: str, minutes: int) -> None:
        self.pass_minutes(minutes, lambda: self.driver.ask(endpoint, wish))

    @contextmanager
    def _here(self, wish: str, minutes: int) -> Iterator[None]:
        self._troubled(self.driver.outputs["EndpointName"], wish, minutes)
        yield

    def _elsewhere(self, wish: str, minutes: int) -> dict[str, str]:
        self._troubled(self.driver.other_endpoint, wish, minutes)
        return {"EndpointName": self.driver.other_endpoint, "VariantName": "AllTraffic"}

    def a_model_that_fails(self) -> AbstractContextManager[None]:
        return self._here("fail", 1)

    def another_model_that_fails(self) -> dict[str, str]:
        return self._elsewhere("fail", 1)

    def a_model_that_is_slow(self) -> AbstractContextManager[None]:
        return self._here("wait", 2)

    def another_model_that_is_slow(self) -> dict[str, str]:
        return self._elsewhere("wait", 2)

    @contextmanager
    def _late_answers(self) -> Iterator[None]:
        fault = {"service": "sagemaker-runtime", "operation": "InvokeEndpoint", "kind": "slow", "seconds": 0.25}
        rule = self.driver.control.faults_add(**fault)
        try:
            yield
        finally:
            self.driver.control.faults_clear(rule)

    @contextmanager
    def a_sagemaker_that_is_slow(self) -> Iterator[None]:
        with self._late_answers(), self._here("nothing", 3):
            yield

    def a_sagemaker_that_is_slow_elsewhere(self) -> dict[str, str]:
        with self._late_answers():
            return self._elsewhere("nothing", 3)

    # --- deployments

    def _deploy(self, package: str) -> str:
        return start(self.cloud, self.driver.outputs["DeploymentArn"], {"detail": {"ModelPackageArn": package}})

    @contextmanager
    def a_deployment_that_fails(self) -> Iterator[None]:
        with self.driver.shop.without(self.driver.outputs["DeploymentRoleName"], "sagemaker:CreateModel"):
            execution = self._deploy(self.driver.shop.in_service())
            found = until(lambda: self._end_of(execution), "its end", seconds=SECONDS, meanwhile=self._hurry)
        assert found == "FAILED"
        self.pass_minutes(1)
        yield

    def _end_of(self, execution: str) -> str:
        found = self.cloud.client("stepfunctions").describe_execution(executionArn=execution)["status"]
        return "" if found == "RUNNING" else str(found)

    def _hurry(self) -> None:
        """An attempt that failed is repeated after some seconds."""
        self.driver.control.clock_advance(5)

    @contextmanager
    def a_deployment_that_outlives_its_limit(self) -> Iterator[None]:
        with self.transitions_throttled():
            execution = self._deploy(self.driver.shop.in_service())
            self.wait_for_throttling()
            self.driver.control.clock_advance(14_401)
            assert ended(self.cloud, execution, SECONDS)["status"] == "TIMED_OUT"
        self.pass_minutes(1)
        yield

    @contextmanager
    def an_approval_that_is_not_delivered(self) -> Iterator[None]:
        shop, queue = self.driver.shop, self.driver.outputs["DeadLetterQueueUrl"]
        package = shop.in_service()
        with shop.without(shop.role_of_rule(), "states:StartExecution"):
            for status in ("Rejected", "Approved"):
                shop.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus=status)
            until(lambda: shop.dead_letters(shop.serving), "the dead letter", seconds=SECONDS)
        self.pass_minutes(1)
        yield
        for letter in messages(self.cloud, queue):
            self.driver.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])

    # --- nights

    @contextmanager
    def an_evening_that_fails(self) -> Iterator[None]:
        function = self.driver.outputs["RetireFunctionName"]
        role = self.functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
        with self.driver.shop.without(role, "states:ListExecutions"):
            answer = self.functions.invoke(FunctionName=function, Payload=json.dumps({"stop": True}).encode())
        assert "FunctionError" in answer
        self.pass_minutes(1)
        yield


TROUBLES: dict[str, Trouble[ServingStory]] = {
    "ServerErrorsAlarm": Trouble(ServingStory.a_model_that_fails, ServingStory.another_model_that_fails),
    "ModelLatencyAlarm": Trouble(ServingStory.a_model_that_is_slow, ServingStory.another_model_that_is_slow),
    "OverheadAlarm": Trouble(ServingStory.a_sagemaker_that_is_slow, ServingStory.a_sagemaker_that_is_slow_elsewhere),
    "DeploymentFailedAlarm": Trouble(ServingStory.a_deployment_that_fails, ServingStory.another_machine_that_fails),
    "DeploymentTimedOutAlarm": Trouble(
        ServingStory.a_deployment_that_outlives_its_limit, ServingStory.another_machine_that_times_out
    ),
    "UndeliveredAlarm": Trouble(
        ServingStory.an_approval_that_is_not_delivered, ServingStory.a_message_in_another_queue
    ),
    "StopFailedAlarm": Trouble(ServingStory.an_evening_that_fails, ServingStory.another_function_that_breaks),
}


@pytest.fixture(scope="module")
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[ShopDriver]:
    shop = Shop(cloud, shared_stacks(TRAINING, SMALL[TRAINING]), shared_stacks(SERVING, SMALL[SERVING]), {})
    switch_nights(cloud, SERVING, on=False)
    usual = shop.trained()
    other = Host.make(cloud, script=MISCHIEVOUS)
    with shop.package(MISCHIEVOUS) as mischievous, other.endpoint(other.simple("")) as beside:
        deployed = shop.deploy(mischievous)
        assert deployed.complete, deployed
        yield ShopDriver(shop, beside)
        # What others rely on serves again.
        assert shop.deploy(usual).complete


@pytest.fixture
def story(driver: ShopDriver) -> ServingStory:
    return ServingStory(driver)


(
    test_every_alarm_of_the_stack_has_its_trouble,
    test_trouble_raises_its_alarm_and_its_end_clears_it,
    test_the_same_trouble_elsewhere_leaves_the_alarm_alone,
) = checks_of(TROUBLES)


def test_several_alarms_of_the_endpoint_are_told_once(story: ServingStory) -> None:
    # Given a quiet endpoint
    outputs = story.driver.outputs
    with story.told() as told:
        story.pass_minutes(1)
        told()
        # When its model fails and is slow at once
        with story._late_answers():
            states = story.pass_minutes(3, lambda: story.driver.ask(outputs["EndpointName"], "fail", "wait", "nothing"))
        # Then all three of its alarms are raised
        assert {states[outputs[f"{one}Name"]] for one in OF_CALLERS} == {"ALARM"}
        # And one message tells of it, and another of the end
        assert [(one["AlarmName"], one["NewStateValue"]) for one in told()] == [(outputs["UnwellAlarmName"], "ALARM")]
        story.pass_minutes(10)
        assert [(one["AlarmName"], one["NewStateValue"]) for one in told()] == [(outputs["UnwellAlarmName"], "OK")]
