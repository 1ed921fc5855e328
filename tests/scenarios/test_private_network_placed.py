"""Other architectures, placed in the private network: they work there, and only through its doors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import DeployError, deploy
from tests.conftest import ARCHITECTURE as LABELING
from tests.conftest import SMALL, FreshStack, SharedStacks
from tests.scenarios.driver import Driver, cat
from tests.scenarios.networked import ARCHITECTURE, SETTINGS, Warden

PLACED = {"network": "private"}


@pytest.fixture
def warden(cloud: LocalCloud, shared_stacks: SharedStacks) -> Warden:
    return Warden(cloud, shared_stacks(ARCHITECTURE, SETTINGS))


@pytest.fixture
def driver(cloud: LocalCloud, warden: Warden, fresh_stack: FreshStack) -> Iterator[Driver]:
    """A copy of image-labeling in the network."""
    driver = Driver(cloud, fresh_stack(PLACED).outputs)
    yield driver
    driver.clean()


def test_images_are_labelled_inside_and_only_through_rekognitions_door(warden: Warden, driver: Driver) -> None:
    # Given a photograph that is uploaded
    since = warden.now()
    key = driver.key()
    version = driver.upload(key, cat())
    # Then it is labelled
    driver.wait_for(key, version)
    # by calls that came through the network's endpoints, all of them
    taken = {
        one["action"]: one for one in warden.decisions(since) if one["role"] == driver.role and one["via"] == "network"
    }
    assert taken["rekognition:DetectLabels"]["statement"]["policy"] == warden.endpoint("Rekognition")
    assert taken["s3:GetObjectVersion"]["statement"]["policy"] == warden.endpoint("S3")
    assert taken["dynamodb:PutItem"]["statement"]["policy"] == warden.endpoint("Dynamodb")

    def shut(statement: dict[str, Any]) -> None:
        statement["Action"] = ["rekognition:DetectFaces"]

    # When the door lets another operation through, and no labels
    with warden.policy("Rekognition", shut):
        key = driver.key()
        version = driver.upload(key, cat((150, 100)))
        driver.wait_for_dead_letter(key)
        # Then the reason is there, in AWS's words
        row = driver.row(key, version)
        assert row
        assert row["status"] == "FAILED"
        assert "no VPC endpoint policy allows" in row["reason"]["message"]
    # And once it does, the photograph is labelled after all
    driver.redrive()
    driver.wait_for(key, version, hurry=True)


def test_a_network_without_the_door_fails_the_deployment_and_names_it(cloud: LocalCloud) -> None:
    # Given a network that does not stand, When a stack is to be placed there
    assembly: Path = synthesize(LABELING, settings={LABELING: {**SMALL, **PLACED}})
    # Then the deployment fails before anything runs, and says what is missing
    with pytest.raises(DeployError, match="no-network-here-"):
        deploy(cloud, assembly, "unplaced", artifact=LABELING, parameters={"PrivateNetworkStack": "no-network-here"})
