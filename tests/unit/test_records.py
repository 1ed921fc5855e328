"""What runs write down: one line an architecture and cloud, with the commit, and the page's table."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from docs import records
from local import records as runner

PAGE = "# What ran\n\n<!-- generated: records -->\nold\n<!-- end -->\n\nafter\n"


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """A place for the data and a page."""
    page = tmp_path / "records.md"
    page.write_text(PAGE)
    return {"data": tmp_path / "records.jsonl", "page": page}


def test_a_run_replaces_the_last_one_of_its_architecture_on_its_cloud(place: Any) -> None:
    # Given runs of two architectures on two clouds, out of order
    records.record("text-insights", "local", "passed", seconds=4, passed=1, **place)
    records.record("image-labeling", "localstack", "passed", seconds=61.26, passed=7, not_run=2, **place)
    records.record("image-labeling", "local", "failed", seconds=5, failed=1, reason="a row\ncame late", **place)
    # When one runs again
    records.record("image-labeling", "local", "passed", seconds=6, passed=1, **place)
    # Then its line is the new one, and lines stand by the catalogue's order and cloud
    found = records.read(place["data"])
    assert [(one.architecture, one.cloud, one.result) for one in found] == [
        ("image-labeling", "local", "passed"),
        ("image-labeling", "localstack", "passed"),
        ("text-insights", "local", "passed"),
    ]
    # And the page shows them between its marks
    page = place["page"].read_text()
    assert page.startswith("# What ran\n")
    assert page.endswith("\n\nafter\n")
    assert "old" not in page
    assert page.count("| [image-labeling](architectures/image-labeling.md) |") == 2
    assert "| 7 passed, 2 not run | 61.3 s |" in page


def test_without_a_run_the_page_says_so(place: Any) -> None:
    assert records.read(place["data"]) == []
    assert "No run" in records.filled(PAGE, records.table([]))


def test_what_was_not_run_says_why_in_a_line(place: Any) -> None:
    made = records.record("model-monitor", "aws", "not run", not_run=1, reason="the clock\ncannot be moved", **place)
    assert made.reason == "the clock cannot be moved"
    assert "| not run: the clock cannot be moved | 1 not run |" in records.table([made])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("image-labelling", "local", "passed"), LookupError),
        (("image-labeling", "moon", "passed"), ValueError),
        (("image-labeling", "local", "fine"), ValueError),
        (("image-labeling", "local", "passed"), ValueError),
        (("image-labeling", "local", "failed"), ValueError),
    ],
)
def test_what_cannot_be_is_not_written_down(place: Any, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        records.record(*arguments, **place)
    assert not place["data"].exists()


def test_a_commit_tells_of_changes_but_not_of_the_records_themselves(tmp_path: Path) -> None:
    # Given a repository
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    assert records.commit(tmp_path) == "unknown"
    git("init")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "records.jsonl").write_text("")
    (tmp_path / "code.py").write_text("a = 1")
    git("add", "-A")
    git("commit", "-m", "first")
    clean = records.commit(tmp_path)
    assert len(clean) >= 7
    # When a run writes itself down, Then the commit is still what ran
    (tmp_path / "docs" / "records.jsonl").write_text("{}")
    assert records.commit(tmp_path) == clean
    # When a source is changed, Then that is told
    (tmp_path / "code.py").write_text("a = 2")
    assert records.commit(tmp_path) == f"{clean}+changes"


def test_all_are_run_and_recorded_though_one_fails() -> None:
    # Given three demos, of which the second fails
    written: list[tuple[str, str, str]] = []

    def run(name: str) -> runner.Ran:
        return runner.Ran(complete=name != "b", seconds=2.0, reason="" if name != "b" else "no row came")

    def record(name: str, cloud: str, result: str, **more: Any) -> records.Record:
        written.append((name, result, more["reason"]))
        return records.Record(name, "local", "passed" if result == "passed" else "failed", "", "", **more)

    said: list[str] = []
    # When all are run, Then each is written down, the reason with it, and the whole is a failure
    assert not runner.run_all(["a", "b", "c"], run, record, said.append)
    assert written == [("a", "passed", ""), ("b", "failed", "no row came"), ("c", "passed", "")]
    assert said[1] == "2 of 3  b  failed in 2 s: no row came"


def test_what_a_cloud_cannot_run_is_written_down_as_not_run() -> None:
    # Given a cloud that cannot run one of two architectures
    written: list[tuple[str, str, str, int]] = []

    def record(name: str, cloud: str, result: str, **more: Any) -> records.Record:
        written.append((name, cloud, result, more["not_run"]))
        return records.Record(name, "localstack", "not run", "", "", **more)

    ran: list[str] = []

    def run(name: str) -> runner.Ran:
        ran.append(name)
        return runner.Ran(complete=True, seconds=1.0)

    # When both are asked for, Then one is run, the other is told with its reason, and that is no failure
    said: list[str] = []
    assert runner.run_all(["audit", "image-labeling"], run, record, said.append, cloud="localstack")
    assert ran == ["image-labeling"]
    assert written == [("audit", "localstack", "not run", 1), ("image-labeling", "localstack", "passed", 0)]
    assert "CloudTrail" in said[0]


def test_an_unknown_architecture_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["image-labelling"]) == 2
    assert "image-labeling" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["aws", "localstak"])
def test_a_cloud_on_which_nothing_is_run_from_here_is_a_mistake(capsys: pytest.CaptureFixture[str], where: str) -> None:
    # Given another cloud than the two, When runs on it are asked for, Then a line says where that is done
    assert runner.main(["--cloud", where]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: --cloud {where}: there are local and localstack.")


def test_the_data_that_is_kept_is_whole() -> None:
    # Given what runs have written down so far, Then it can be read, and each line stands once
    found = records.read()
    assert len({(one.architecture, one.cloud) for one in found}) == len(found)
    if records.DATA.exists():
        assert all(json.loads(line) for line in records.DATA.read_text().splitlines())
