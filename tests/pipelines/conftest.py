"""One finished run of each case, which the tests read and none changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipelines.definition.archive import Case
from pipelines.deliveries import world
from pipelines.tumors import samples
from tests.pipelines.containers import Jobs

ROWS = 12_000


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[[Case], Jobs]:
    """A factory of runs that have not begun."""
    return lambda case: Jobs(tmp_path / f"run-{len(list(tmp_path.iterdir()))}", case)


@pytest.fixture(scope="session")
def tumors(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """The tumours, prepared, trained and evaluated with no model in production."""
    return _finished(tmp_path_factory.mktemp("tumors"), "tumors", samples.load(), "recall")


@pytest.fixture(scope="session")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """The deliveries, prepared, trained and evaluated with no model in production."""
    return _finished(tmp_path_factory.mktemp("deliveries"), "deliveries", world.draw(ROWS, 1), "pr_auc")


def _finished(folder: Path, case: Case, frame: pd.DataFrame, metric: str) -> Jobs:
    made = Jobs(folder / "run", case)
    made.give(frame)
    for ended in (made.prepare(), made.train(), made.evaluate(metric)):
        assert ended.code == 0, ended.log
    return made
