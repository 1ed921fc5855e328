"""Documents and trainings inside the private network, from one end to the other: what takes long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud
from scenarios import document_processing
from tests.conftest import FreshStack, SharedStacks
from tests.scenarios.clerk import ARCHITECTURE as DOCUMENTS
from tests.scenarios.clerk import SMALL as SMALL_DOCUMENTS
from tests.scenarios.networked import ARCHITECTURE, SETTINGS, Warden
from tests.scenarios.papers import FORM, UNSURE, pdf, png
from tests.scenarios.shop import MONITOR, SERVING, TRAINING, Shop, data
from tests.scenarios.shop import SMALL as SMALL_MODELS
from tests.scenarios.test_model_monitor import judge, next_hour, traffic

pytestmark = pytest.mark.soak

PLACED = {"network": "private"}


@pytest.fixture
def warden(cloud: LocalCloud, shared_stacks: SharedStacks) -> Warden:
    return Warden(cloud, shared_stacks(ARCHITECTURE, SETTINGS))


def through(warden: Warden, since: int, role: str) -> Mapping[str, Any]:
    """By which endpoint's policy each action of a role was let through."""
    return {
        one["action"]: one["statement"]["policy"]
        for one in warden.decisions(since)
        if one["role"] == role and one["via"] == "network" and one["allowed"]
    }


def test_documents_are_read_and_reviewed_inside(
    cloud: LocalCloud, warden: Warden, fresh_stack: FreshStack, tmp_path: Path
) -> None:
    # Given document-processing in the network
    stack = fresh_stack({**SMALL_DOCUMENTS, **PLACED}, architecture=DOCUMENTS)
    since = warden.now()
    # When a document of two pages, and a form that a person has to look at, are uploaded
    files = {"report.pdf": pdf([FORM, FORM]), "unsure.png": png(UNSURE)}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    report = document_processing.run(cloud, stack.outputs, [tmp_path / name for name in files])
    # Then both come to their end
    assert report.complete, report
    # and every call of every function came through the network's endpoints, and none found no way
    taken = [one for one in warden.decisions(since) if one["via"] == "network" and one["role"].startswith(stack.name)]
    assert {one["action"].partition(":")[0] for one in taken if one["allowed"]} >= {
        "dynamodb",
        "s3",
        "secretsmanager",
        "sns",
        "states",
        "textract",
    }
    assert [one for one in taken if not one["allowed"]] == []


def test_a_model_is_trained_inside_and_not_without_the_way_to_its_data(
    cloud: LocalCloud, warden: Warden, fresh_stack: FreshStack
) -> None:
    # Given training-pipeline with its jobs in the network
    school = Shop(cloud, fresh_stack(PLACED, architecture=TRAINING).outputs, {}, {})
    since = warden.now()
    # When a batch of data arrives
    report = school.train({"a.csv": data(2500, 1)})
    # Then a model is registered
    assert report.status == "REGISTERED", report
    # and the jobs' data came and went through the S3 endpoint
    for role in ("ProcessingRoleName", "TrainingRoleName"):
        taken = through(warden, since, school.training[role])
        assert taken.items() >= dict.fromkeys(("s3:GetObject", "s3:PutObject"), warden.endpoint("S3")).items()
    # And when the endpoint has no route any more, no job gets its data, and the reason is told
    with warden.without_route("S3"):
        failed = school.train({"b.csv": data(2500, 2)})
    assert failed.status == "FAILED", failed
    assert failed.reason.startswith("Prepare: ")
    assert "Connect timeout" in failed.reason


def test_an_hour_is_judged_inside(
    cloud: LocalCloud, warden: Warden, shared_stacks: SharedStacks, fresh_stack: FreshStack
) -> None:
    # Given a model in service, and its monitor with its jobs in the network
    training, serving = (shared_stacks(name, SMALL_MODELS[name]) for name in (TRAINING, SERVING))
    shop = Shop(cloud, training, serving, fresh_stack(PLACED, architecture=MONITOR).outputs)
    shop.ready()
    next_hour(shop)
    since = warden.now()
    # When an hour of traffic is judged
    traffic(shop, 1000)
    verdict = judge(shop)
    # Then there is a verdict, and the job's files came and went through the S3 endpoint
    assert verdict.status == "JUDGED", verdict
    taken = through(warden, since, shop.monitor["JobRoleName"])
    assert taken.items() >= dict.fromkeys(("s3:GetObject", "s3:PutObject"), warden.endpoint("S3")).items()
