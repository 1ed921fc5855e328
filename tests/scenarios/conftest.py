"""The deployed stack as the scenario tests see it, left as it was found after each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.cloud import LocalCloud
from scenarios.document_processing import Desk
from tests.conftest import SharedStacks
from tests.scenarios import operator as calls
from tests.scenarios.clerk import ARCHITECTURE as DOCUMENTS
from tests.scenarios.clerk import SMALL as SMALL_DOCUMENTS
from tests.scenarios.clerk import Clerk
from tests.scenarios.driver import Driver
from tests.scenarios.shop import SMALL as SMALL_MODELS
from tests.scenarios.shop import TRAINING, Shop

pytest.register_assert_rewrite("tests.scenarios.alarms")


@pytest.fixture
def driver(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[Driver]:
    """A driver of the shared stack, whose queues are empty at the start and at the end of a test."""
    driver = Driver(cloud, outputs)
    driver.clean()
    yield driver
    driver.clean()


@pytest.fixture(scope="session")
def document_outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    """The outputs of the shared document-processing stack."""
    return shared_stacks(DOCUMENTS, SMALL_DOCUMENTS)


@pytest.fixture
def clerk(cloud: LocalCloud, document_outputs: dict[str, str]) -> Iterator[Clerk]:
    """A clerk of the shared document-processing stack, whose queues are empty at the start and the end of a test."""
    with Desk(cloud, document_outputs) as desk:
        clerk = Clerk(cloud, document_outputs, desk)
        clerk.clean()
        yield clerk
        clerk.clean()


@pytest.fixture
def operator(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[calls.Operator]:
    """The shared stack of call-analytics, whose queues are empty at the start and at the end of a test."""
    operator = calls.Operator(cloud, shared_stacks(calls.ARCHITECTURE, calls.SMALL))
    operator.clean()
    yield operator
    operator.clean()


@pytest.fixture
def school(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[Shop]:
    """The shared stack of training-pipeline: no data at the start and at the end of a test, and no model to beat."""
    school = Shop(cloud, shared_stacks(TRAINING, SMALL_MODELS[TRAINING]), {}, {})
    school.clear()
    school.forget()
    yield school
    school.clear()
