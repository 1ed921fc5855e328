"""The figures of an architecture beside its bare models: what they say, and that a missed bar is one."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from bench.beside import Figures

FIGURES = Figures("text-insights", "text", "language and mood", (1.0, 2.0, 3.0), (2.0, 3.0, 4.0), maximum_ratio=2.0)


def test_the_table_sets_the_architecture_beside_the_bare_models() -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(FIGURES.table())
    for words in ("text-insights, 3 x text", "language and mood alone", "2.00 s", "3.00 s", "1.50", "3 of 3"):
        assert words in printed.get()


def test_figures_within_the_bar_miss_none() -> None:
    assert FIGURES.missed() == []
    assert dataclasses.replace(FIGURES, through=(9.0, 9.0, 9.0), maximum_ratio=None).missed() == []


def test_what_takes_too_long_and_what_has_no_result_are_told() -> None:
    # Given inputs that take more than twice as long, of which one came to no result, and counts as endless
    slow = dataclasses.replace(FIGURES, through=(5.0, 6.0, None))
    # When the bars are looked at, Then both are missed
    too_long, lost = slow.missed()
    assert too_long == "a text takes 3.00 times its language and mood, 2 are the bar"
    assert lost == "1 without a result"
    assert dataclasses.replace(FIGURES, through=(None, None, 1.0)).ratio == float("inf")
