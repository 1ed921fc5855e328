"""The local cloud, as if it were an AWS account: boto3's usual variables lead there, and nothing else does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud


def a_minute_passes(cloud: LocalCloud) -> None:
    """Moves the clock, and leaves time for what is called each minute: a call that is still on its way when the next
    comes is what AWS's minutes have no room for."""
    cloud.control.clock_advance(60)
    time.sleep(1)


@pytest.fixture
def shell(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """This process's variables are those of somebody who is signed in to an account, which is the local cloud."""
    for name, value in cloud.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture(scope="session")
def for_aws() -> Path:
    """The assembly of all that is built, as for AWS; the stacks' tests have the same. Do not change it."""
    return synthesize(None, "lambda")
