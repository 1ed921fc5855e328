"""The deployed stack as the scenario tests see it, left as it was found after each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.cloud import LocalCloud
from tests.scenarios.driver import Driver


@pytest.fixture
def driver(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[Driver]:
    """A driver of the shared stack, whose queues are empty at the start and at the end of a test."""
    driver = Driver(cloud, outputs)
    driver.clean()
    yield driver
    driver.clean()
