"""The figures of a model's story: what they say, and that a slow or unfinished one misses its bar; and a training's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

from rich.console import Console

from bench.measure import processor_seconds
from bench.story import Figures
from bench.training import TrainingFigures

FIGURES = Figures((("Trained a first model", 11.0), ("Sent 24 hours of usual traffic", 40.5)), processor=61.2, hours=29)


def test_the_table_tells_each_chapter_and_the_whole() -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(FIGURES.table())
    for words in ("model-monitor, a story", "Trained a first model", "11.0 s", "40.5 s", "51.5 s", "61.2 s", "29"):
        assert words in printed.get()


def test_a_story_that_takes_too_long_misses_its_bar() -> None:
    # Given a story within its bar, When a chapter takes two minutes, Then the bar is missed by the whole
    assert FIGURES.missed() == []
    slow = dataclasses.replace(FIGURES, chapters=(*FIGURES.chapters, ("Replaced the model", 120.0)))
    assert slow.missed() == ["the story takes 172 s, 120 are the bar"]


def test_a_story_that_ended_early_is_no_fast_one() -> None:
    early = dataclasses.replace(FIGURES, reason="no metrics were published")
    assert early.missed() == ["the story ended early: no metrics were published"]


def test_a_training_has_a_bar_of_its_own() -> None:
    # Given trainings within twenty seconds, When they take longer, Then the bar is missed
    quick = TrainingFigures("training-pipeline", "training", "its four scripts", (8.0, 8.0), (12.0, 13.0))
    assert quick.missed() == []
    (bar,) = dataclasses.replace(quick, through=(21.0, 22.0)).missed()
    assert bar == "a training takes 21.5 s, 20 are the bar"


def test_the_processors_time_of_a_child_that_has_ended_counts() -> None:
    # Given what this process has used
    before = processor_seconds(os.getpid())
    # When a child of it works for some time and ends
    work = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-S", "-c", work], check=True)
    # Then that counts too
    assert processor_seconds(os.getpid()) - before >= 0.3
