"""Shared by all tests: a clean environment, the guard that keeps them on this machine, and one deployed stack.

The cloud is started and the stack deployed once a run, and only if a test asks for it. Tests share them: they use keys
of their own, and wait for rows of their own.
"""

# ruff: noqa: E402 (the environment is cleaned before anything imports boto3)

from __future__ import annotations

import os
import shutil
import uuid

from app import use_bundled_node
from local import environment, guard

environment.clean_environment()
# Before anything imports CDK, which starts it.
use_bundled_node()
guard.install()
# Tests start programs of their own, which inherit this.
os.environ.update(guard.environment())
# Two processes of tests, each with a cloud, share the cores.
os.environ["LOCAL_MODEL_THREADS"] = "1"

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from xdist.scheduler import LoadFileScheduling

from local.assembly import synthesize
from local.cloud import CloudError, LocalCloud
from local.deploy import deploy, destroy
from local.localstack import cloud as localstack
from local.localstack import core
from scenarios import clouds
from stacks.catalogue import get, with_needs
from tests import synthesizer
from tests.browser import chromium

ARCHITECTURE = "image-labeling"
NOT_RUN = "not run"
NOTHING_RUNS = pytest.StashKey[bool]()

# Two attempts and short timeouts: a failure is seen through in seconds.
SMALL: Mapping[str, Any] = {"function_timeout_seconds": 10, "maximum_receives": 2}


@dataclass(frozen=True)
class Deployed:
    """A stack that a test deployed for itself: its CloudFormation name and its outputs."""

    name: str
    outputs: Mapping[str, str]


class SharedStacks(Protocol):
    """Deploys an architecture once a run, on the shared cloud."""

    def __call__(self, architecture: str, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The outputs of the shared stack of this architecture.

        `settings` are those that make its tests quick; all that ask for one architecture must give the same.
        """
        ...


class FreshStack(Protocol):
    """Deploys another copy of an architecture beside the shared one; destroyed when the test ends."""

    def __call__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        assembly: Path | None = None,
        architecture: str = ARCHITECTURE,
    ) -> Deployed:
        """`settings` are put over image-labeling's shared ones; a new combination costs a synthesis of ten seconds.

        `assembly` is used as it is instead, for instance one whose template a test has changed.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cloud", choices=("local", "localstack"), default="local", help="where stacks are deployed (default: local)"
    )
    parser.addoption(
        "--require-browser", action="store_true", help="fail where there is no browser, instead of telling"
    )


# What needs the same deployed stack and the same slow models runs in the same process, by parts of a file's name.
TOGETHER: Mapping[str, Sequence[str]] = {
    "documents": ("document_processing", "textract", "review_page"),
    "calls": ("call_analytics", "test_calls", "transcribe"),
    "speech": ("speech_synthesis", "polly"),
    "texts": ("text_insights", "comprehend", "private_network", "secure_studio"),
    "images": ("image_labeling", "rekognition"),
    "protected": ("data_protection", "model_vault", "test_vaults", "test_buckets"),
    "trainings": ("training_pipeline",),
    "models": ("realtime_endpoint", "model_monitor"),
}
DEPLOYING = ("tests/scenarios/", "tests/local/", "tests/browser/")


class Together(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each process whole files, and files that need the same thing to the same process."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        if file.startswith(DEPLOYING):
            for group, parts in TOGETHER.items():
                if any(part in file for part in parts):
                    return group
        return file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """The scheduler of `pytest -n`. (Marks of xdist_group would not do: xdist 3.8 does not see them in pytest 9.2.)"""
    return Together(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run here is told and counted as not run, with the reason.

    Without a browser these are the tests of pages; with --require-browser that is an error. On another cloud than the
    local one they are those that `scenarios/clouds.toml` lists, and all that is no scenario is left aside.
    """
    _choose_by_cloud(config, items)
    of_pages = [item for item in items if item.get_closest_marker("browser")]
    if not of_pages or chromium.find() is not None:
        return
    if config.getoption("--require-browser"):
        raise pytest.UsageError(f"There is no browser. {chromium.INSTALL}")
    for item in of_pages:
        item.add_marker(pytest.mark.skip(reason="not run: no browser"))


def _choose_by_cloud(config: pytest.Config, items: list[pytest.Item]) -> None:
    cloud = config.getoption("--cloud")
    if cloud == clouds.LOCAL:
        return
    others = [item for item in items if item.path.parent.name != "scenarios"]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item.path.parent.name == "scenarios"]
    lacking = users_localstack_lacks()
    config.stash[NOTHING_RUNS] = lacking is not None
    for item in items:
        reason = clouds.where_a_test_runs(cloud, item.path.name, item.name) or lacking
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"{NOT_RUN} on {cloud}: {reason}"))


def users_localstack_lacks() -> str | None:
    """Why no test can run on the user's own LocalStack; None where all can, or a core is started here.

    Raises pytest.UsageError, which is one line, where there is neither.
    """
    try:
        users = localstack.own()
    except CloudError as error:
        raise pytest.UsageError(str(error)) from error
    if users is None and core.python() is None:
        raise pytest.UsageError(core.MISSING)
    return None if users is None else users.lacks()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run of which nothing could run is told, and is no success."""
    if session.config.stash.get(NOTHING_RUNS, False):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says how many scenarios the chosen cloud could not run. Each reason is told with its test."""
    cloud = config.getoption("--cloud")
    if cloud != clouds.LOCAL:
        left = [one for one in terminalreporter.getreports("skipped") if NOT_RUN in str(one.longrepr)]
        terminalreporter.write_line(f"{len(left)} not run on {cloud}; each with its reason below.")


@pytest.fixture(scope="session", autouse=True)
def kept_synthesizer() -> Iterator[None]:
    """CDK starts once a process of tests, when the first assembly is asked for."""
    with synthesizer.kept():
        yield


@pytest.fixture(scope="session")
def cloud(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """The one cloud of this run, on a free port: the local one, or what `--cloud` names."""
    which = LocalCloud
    if request.config.getoption("--cloud") != clouds.LOCAL:
        if (users := localstack.own()) is not None:
            yield users
            return
        which = localstack.LocalStack
    with which.start(f"test-{os.getpid()}") as started:
        yield started
    shutil.rmtree(started.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_stacks(cloud: LocalCloud) -> SharedStacks:
    """The stacks that all tests of a run share, each deployed when it is first asked for."""
    made: dict[str, tuple[Mapping[str, Any], dict[str, str]]] = {}

    def deployed(architecture: str, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
        chosen = settings or {}
        for needed in with_needs(get(architecture))[:-1]:
            # Tests that want other settings for it ask for it first.
            if needed.id not in made:
                deployed(needed.id)
        if architecture not in made:
            source = synthesize(architecture, settings={architecture: dict(chosen)} if chosen else None)
            made[architecture] = chosen, deploy(cloud, source, architecture)
        assert made[architecture][0] == chosen, f"{architecture} is deployed with other settings: use fresh_stack"
        return made[architecture][1]

    return deployed


@pytest.fixture(scope="session")
def assembly() -> Path:
    """The synthesized image-labeling stack, for this machine, with settings that make tests quick. Do not change it."""
    return synthesize(ARCHITECTURE, settings={ARCHITECTURE: SMALL})


@pytest.fixture(scope="session")
def outputs(shared_stacks: SharedStacks) -> dict[str, str]:
    """The outputs of the shared image-labeling stack."""
    return shared_stacks(ARCHITECTURE, SMALL)


@pytest.fixture
def fresh_stack(cloud: LocalCloud) -> Iterator[FreshStack]:
    """A factory of copies of the architecture, for tests that change a stack or need other settings."""
    with ExitStack() as cleanup:

        def make(
            settings: Mapping[str, Any] | None = None,
            *,
            assembly: Path | None = None,
            architecture: str = ARCHITECTURE,
        ) -> Deployed:
            name = f"copy-{uuid.uuid4().hex[:8]}"
            base = SMALL if architecture == ARCHITECTURE else {}
            source = assembly or synthesize(architecture, settings={architecture: {**base, **(settings or {})}})
            cleanup.callback(destroy, cloud, name)
            return Deployed(name, deploy(cloud, source, name, artifact=architecture))

        yield make


@pytest.fixture(autouse=True)
def _no_fault_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cloud" in request.fixturenames:
        shared: LocalCloud = request.getfixturevalue("cloud")
        shared.control.faults_clear()
