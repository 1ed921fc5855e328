"""Serve a model with scaling: every permission of the stack is used, and without it the flow stops, visibly."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from scenarios import realtime_endpoint
from tests.conftest import SharedStacks
from tests.scenarios.shop import (
    NEVER_WELL,
    SECONDS,
    SERVING,
    SMALL,
    TRAINING,
    Shop,
    nights,
    parcels,
    until_hour,
)
from tests.waiting import never, until


@pytest.fixture
def shop(cloud: LocalCloud, shared_stacks: SharedStacks) -> Shop:
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shop = Shop(cloud, training, shared_stacks(SERVING, SMALL[SERVING]), {})
    shop.ready()
    return shop


# --- What is granted is used -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=SERVING)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud, shared_stacks: SharedStacks) -> Life:
    """A broken model, a good one, another instance type, a night and a morning, and an end amid a deployment."""
    training = shared_stacks(TRAINING, SMALL[TRAINING])
    shared = shared_stacks(SERVING, SMALL[SERVING])
    name = f"life-serving-{os.getpid()}"
    events = cloud.client("events")
    package = Shop(cloud, training, shared, {}).trained()
    # The shared stack listens to the same approvals.
    events.disable_rule(Name=shared["RuleName"])
    since = max((decision["seq"] for decision in cloud.control.decisions()), default=0)
    try:
        assembly = synthesize(SERVING, settings={SERVING: dict(SMALL[SERVING])})
        outputs = deploy(cloud, assembly, name, artifact=SERVING)
        shop = Shop(cloud, training, outputs, {})
        with shop.package(NEVER_WELL) as broken:
            assert shop.deploy(broken).status == "FAILED"
        done = shop.deploy(package)
        assert done.complete, done
        realtime_endpoint.ask(cloud, outputs, parcels(1, 9))
        with shop.redefined("ml.m5.large", "ml.m5.xlarge"):
            done = shop.deploy(package)
            assert done.complete, done
        with nights(cloud, name):
            until_hour(cloud, 20)
            until(lambda: realtime_endpoint.endpoint_status(cloud, outputs) == "Absent", "the night", seconds=SECONDS)
            until_hour(cloud, 7)
            until(shop.in_service, "the morning", seconds=SECONDS)
        assert realtime_endpoint.settle(cloud, outputs, patience_seconds=SECONDS)
        cloud.control.clock_advance(60)
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
        cloud.client("stepfunctions").start_execution(stateMachineArn=outputs["DeploymentArn"], input='{"start": true}')
    finally:
        destroy(cloud, name)
        events.enable_rule(Name=shared["RuleName"])
    return Life(grants, cloud.control.decisions(since=since))


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert list(report.problems) == []
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # and each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    assert used == {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE}


def test_nothing_is_left_of_a_stack_that_ends_amid_a_deployment(life: Life, shop: Shop) -> None:
    # Given a stack that was destroyed while a deployment ran, Then nothing that it made is left
    sagemaker = shop.client("sagemaker")
    assert sagemaker.list_endpoints(NameContains="life-serving")["Endpoints"] == []
    assert sagemaker.list_endpoint_configs(NameContains="life-serving")["EndpointConfigs"] == []
    assert sagemaker.list_models(NameContains="life-serving")["Models"] == []
    names = [one["AlarmName"] for one in shop.client("cloudwatch").describe_alarms()["MetricAlarms"]]
    assert [name for name in names if "life-serving" in name] == []
