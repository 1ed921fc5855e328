"""All stacks side by side, from the version before to the end: deployed, filled, updated, read back, deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from local import drift
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from stacks import catalogue
from stacks.policy import references
from stacks.policy.template import read
from tests.local.emulated import unique
from tests.scenarios import earlier
from tests.scenarios.keeping import contents, fill, inventory, stored

pytestmark = pytest.mark.soak

# How far back a version with another template is looked for: each takes half a minute.
VERSIONS = 8


@dataclass
class Course:
    """What happened to the stacks."""

    order: Sequence[str]
    # Why there was no version before, where there was none: then this version is deployed twice.
    no_history: str = ""
    filled: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[tuple[str, str], str] = field(default_factory=dict)
    after: Mapping[tuple[str, str], str] = field(default_factory=dict)
    drifted: Mapping[str, drift.Report] = field(default_factory=dict)
    left: Mapping[str, set[str]] = field(default_factory=dict)


def together() -> str:
    """All that is built, last what wants its neighbours with other settings."""
    ids = [one.id for one in catalogue.available()]
    return ",".join([*(one for one in ids if one != "secure-studio"), "secure-studio"])


def differing(present: Path, folder: Path) -> Path:
    """The assembly of the newest version before that has another template. Raises NoHistoryError if there is none."""
    bodies = {template.architecture: template.body for template in read(present)}
    for number, commit in enumerate(islice(earlier.versions(), VERSIONS)):
        past = earlier.assembly(commit, together(), folder / str(number))
        if {template.architecture: template.body for template in read(past)} != bodies:
            return past
    raise earlier.NoHistoryError(f"the {VERSIONS} versions before have the same templates")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Takes all stacks through it, on a cloud of their own."""
    present = synthesize(together())
    order = list(reversed(references.deletion_order(read(present))))
    past, course = present, Course(order)
    earlier_order = order
    try:
        past = differing(present, tmp_path_factory.mktemp("earlier"))
        there = {template.architecture for template in read(past)}
        earlier_order = [name for name in order if name in there]
    except earlier.NoHistoryError as error:
        course.no_history = str(error)
    with LocalCloud.start(unique("course")) as cloud:
        empty = inventory(cloud)
        for name in earlier_order:
            deploy(cloud, past, name)
        course.filled, course.refused = fill(cloud, earlier_order)
        course.before = {(where, kind): name for where, kind, name in stored(cloud, earlier_order)}
        for name in order:
            deploy(cloud, present, name)
        course.after = {(where, kind): name for where, kind, name in stored(cloud, order)}
        course.kept = contents(cloud, order)
        course.drifted = {name: drift.look(cloud, name) for name in order}
        for name in reversed(order):
            destroy(cloud, name)
        rest = inventory(cloud)
        course.left = {kind: names - empty[kind] for kind, names in rest.items() if names - empty[kind]}
        yield course
    shutil.rmtree(cloud.folder, ignore_errors=True)


def test_an_update_from_the_version_before_keeps_rows_objects_and_secrets(course: Course) -> None:
    # Given the stacks of the version before, with something in each table and bucket
    if course.no_history:
        pytest.skip(f"not run: {course.no_history}")
    assert dict(course.refused) == {}
    assert len(course.filled) > 20
    assert all(course.filled.values())
    # When each was updated to this version, Then all of it is there
    assert {where: course.kept.get(where) for where in course.filled} == course.filled


def test_an_update_from_the_version_before_makes_nothing_anew_that_holds_data(course: Course) -> None:
    # Given the resources that hold data, as the version before made them
    if course.no_history:
        pytest.skip(f"not run: {course.no_history}")
    assert len(course.before) > 100
    # Then the update left each of them where it was. (The local cloud gives a new table or bucket the name of the old:
    # of these the test above tells. Keys, networks, domains and secrets have ids.)
    moved = {
        what: (name, course.after.get(what)) for what, name in course.before.items() if course.after.get(what) != name
    }
    assert moved == {}


def test_what_is_deployed_is_what_the_templates_say(course: Course) -> None:
    # Given every stack, read back by the services' own APIs
    assert sum(report.compared for report in course.drifted.values()) > 2_000
    # Then nothing differs but what the local cloud is known not to keep
    assert {name: list(map(str, one.differences)) for name, one in course.drifted.items() if one.differences} == {}
    # and that list has nothing that it keeps, nor any reason for a property that is read
    assert {what for one in course.drifted.values() for what in one.not_kept} == drift.NOT_KEPT.keys()
    told = {what for one in course.drifted.values() for what in one.not_read}
    assert {
        what for what in told if what[1] not in ("Tags", "ResourceTags") and not what[0].startswith("Custom::")
    } == (drift.NOT_READ.keys())


def test_deleting_all_stacks_leaves_nothing(course: Course) -> None:
    # Given an account in which all stacks stood, and were deleted, those first that import from others
    # Then it has what it had before, and CDK's bootstrap
    bootstrap = {name for name in course.left.get("s3 Buckets", ()) if name.startswith("cdk-")}
    assert len(bootstrap) == 1
    assert {kind: names - bootstrap for kind, names in course.left.items() if names - bootstrap} == {}
