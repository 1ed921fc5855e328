"""The table of the two clouds: both stand in it, and a lost image is told."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from rich.console import Console

from bench import __main__ as bench
from bench.two_clouds import CLOUDS, DIFFERENCES, Figures, Run
from local.cloud import CloudError

RUN = Run("one cloud", 1, 2, 3, 4, 5, 6, 100, 200, 300, rows=10)


def test_both_clouds_stand_side_by_side_with_what_each_does_not_do() -> None:
    # Given a run of each, When the table is printed
    console = Console(width=160)
    with console.capture() as printed:
        console.print(Figures((RUN, dataclasses.replace(RUN, name="another cloud")), 10).table())
    # Then both are in it, with figures and differences
    for part in ("one cloud", "another cloud", "deploy", "300 MB", *(what for what, _, _ in DIFFERENCES)):
        assert part in printed.get()
    assert {which.kind for which in CLOUDS} == {"local", "localstack"}


def test_a_lost_image_is_told_and_nothing_else_is_a_bar() -> None:
    # Given ten images, When one cloud has nine rows, Then that is told of this one
    assert Figures((RUN,), 10).missed() == []
    assert Figures((RUN, dataclasses.replace(RUN, name="another", rows=9)), 10).missed() == ["another: 1 images lost"]


def test_a_cloud_that_cannot_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a machine without LocalStack's core
    def run(*_: object) -> Figures:
        raise CloudError("LocalStack's core is not installed here")

    monkeypatch.setattr(bench, "BENCHES", {"two-clouds": run})
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "two-clouds"])
    # When both are to be measured, Then a line says so, and it is no success
    assert bench.main() == 1
    assert capsys.readouterr().out == "Missed: two-clouds: LocalStack's core is not installed here.\n"
