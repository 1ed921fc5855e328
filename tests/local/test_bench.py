"""The benchmark, in small: that it measures what it says, and that a missed bar is one."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console

from bench import endpoints, image_labeling, story
from local.demos.drift_story import Choices


@pytest.fixture(scope="module")
def figures() -> image_labeling.Figures:
    return image_labeling.run(6, lambda _: None, paced=2, warm_up=2)


def test_every_image_is_measured_and_none_is_lost(figures: image_labeling.Figures) -> None:
    # Given a run over six images, When its figures are looked at, Then each image has its row and its latencies
    assert (figures.rows, len(figures.latencies_at_once), len(figures.latencies_paced)) == (6, 6, 2)
    # And nothing took no time, and no memory
    assert min(*figures.latencies_at_once, *figures.latencies_paced, figures.deploy, figures.destroy) > 0
    assert 0 < figures.idle < figures.deployed < figures.busy


def test_the_table_has_every_row_that_is_promised(figures: image_labeling.Figures) -> None:
    # Given the table, as it is printed
    console = Console(width=120)
    with console.capture() as printed:
        console.print(figures.table())
    # Then it sets the architecture beside the bare model, with latencies, deployment and memory
    for row in ("bare model", "overhead", "throughput", "p50", "p95", "rows found", "deploy", "destroy", "idle"):
        assert row in printed.get()


def test_an_idle_cloud_keeps_to_its_memory(figures: image_labeling.Figures) -> None:
    # Given a cloud with a deployed stack and no call of a model yet, Then it is within the bar
    assert figures.deployed < image_labeling.MAXIMUM_IDLE_MEGABYTES


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"through_an_image": 1000.0}, "overhead"),
        ({"rows": 5}, "lost"),
        ({"deployed": 500.0}, "idle"),
    ],
)
def test_a_missed_bar_is_named(figures: image_labeling.Figures, change: dict[str, float], missed: str) -> None:
    # Given figures that keep every bar, When one of them is worse
    kept = dataclasses.replace(figures, through_an_image=figures.bare_an_image + 1)
    assert kept.missed() == []
    # Then that bar is named, and no other
    (bar,) = dataclasses.replace(kept, **change).missed()  # type: ignore[arg-type]  # Figures of several types.
    assert missed in bar


def test_an_endpoint_is_measured_beside_the_process_behind_it() -> None:
    # Given a run of a few requests, When its figures are looked at
    figures = endpoints.run(20, lambda _: None)

    # Then both ways have a time of each request, and the table shows them
    assert (len(figures.bare), len(figures.through)) == (20, 20)
    assert min(*figures.bare, *figures.through) > 0
    console = Console(width=120)
    with console.capture() as printed:
        console.print(figures.table())
    rows = [line.split() for line in printed.get().splitlines() if line.endswith("│")]
    assert [row[1] for row in rows] == ["bare", "InvokeEndpoint", "overhead"]


def test_an_endpoint_that_adds_too_much_misses_its_bar() -> None:
    # Given a bare call of a millisecond, When an endpoint adds 9 and 11 ms to it, Then only the second misses the bar
    bare = (0.001, 0.001)
    assert endpoints.Figures(bare, (0.010, 0.010)).missed() == []
    (bar,) = endpoints.Figures(bare, (0.012, 0.012)).missed()
    assert "the bare predict call" in bar


def test_a_story_that_ends_early_is_measured_until_then_and_told() -> None:
    # Given too few data to learn from, When the story is told on stacks of its own
    figures = story.run(1, lambda _: None, Choices(hours=1, training_rows=20))

    # Then its one chapter took its time, and what missed it is named
    ((name, seconds),) = figures.chapters
    assert name == "Trained a first model"
    assert seconds > 0
    assert figures.processor > 0
    assert figures.hours == 0
    (bar,) = figures.missed()
    assert "no model was registered" in bar
