"""Measures what the monitor finds and how often it is wrong: on the deliveries' world, whose truth is known.

    python3 -m pipelines.monitoring.power        writes power.json: the documentation's curves and table are made of it

**Clean windows** are drawn from the same world as the baseline, and judged in full: data, predictions, late labels.
**Changed windows** have one change in one column; it counts as found if that column has a violation. Everything is
drawn from fixed seeds. Those of the measurement were not looked at while levels and floors were chosen.

The world's categories have shares of 14 % and more. So that a rare one is measured, too, a part of the fish is called
`game` here, which makes it 5 % of the deliveries.

**What cannot be done.** Some changes hide in chance. `price_of_finding` is what it would cost to find one in 95 of 100
windows: the false alarms of the most powerful test that there is (Neyman and Pearson's), made for this one change and
no other, with the share before known exactly. Where that is more than the false alarms allowed for all checks together,
no monitor of so many rows can be asked for it.

**What is promised** at 300 rows: see `promised`. What costs more than its fair part of the false alarms is not,
even where the measurement finds it often.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from pipelines.deliveries import world

from .checks import LEVELS, Baseline, Window
from .describe import constraints, statistics
from .quality import Judged
from .report import ModelBaseline, Report, make_report
from .schema import Schema, write_json
from .table import Column, Numbers, Table

HERE = Path(__file__).parent
FILE = HERE / "power.json"
SCHEMA = HERE.parent / "deliveries" / "schema.json"

BASELINE_ROWS = 4000
TEST_ROWS = 1000
SIZES = (100, 300, 1000)
# Levels and floors were chosen by looking at these.
TUNING_SEEDS = range(1, 10)
SEEDS = (101, 202, 303, 404, 505)

RARE = "game"
RARE_SHARE = 0.05

Change = Callable[[pd.DataFrame, float, np.random.Generator], pd.DataFrame]


# ---- the world ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def draw(rows: int, seed: int) -> pd.DataFrame:
    """Deliveries, some of the fish called `game`. The frame is shared: nobody may change it in place."""
    frame = world.draw(rows, seed)
    random = np.random.default_rng([seed, 1])
    share = RARE_SHARE / world.CATEGORIES["fish"]
    renamed = (frame["category"] == "fish").to_numpy() & (random.random(rows) < share)
    frame.loc[renamed, "category"] = RARE
    return frame


def answers(frame: pd.DataFrame) -> Numbers:
    """Probabilities as a plain model would give them: not good ones, but ones that go by the columns."""
    temperature = frame["temperature"].fillna(4.7).to_numpy()
    hours = frame["transit_hours"].fillna(11.0).to_numpy()
    score = -4.3 + 0.35 * np.abs(temperature - 4.0) + 0.04 * hours + 0.3 * np.log(frame["price"].to_numpy() / 38.0)
    return np.asarray(special.expit(score), dtype=np.float64)


@dataclass(frozen=True)
class Study:
    """One baseline, and windows against it."""

    seed: int

    @cached_property
    def schema(self) -> Schema:
        return Schema.read(SCHEMA)

    @cached_property
    def baseline(self) -> Baseline:
        table = self.table(draw(BASELINE_ROWS, self._seed(0)))
        return Baseline.of(statistics(table), constraints(table), self.schema)

    @cached_property
    def model(self) -> ModelBaseline:
        return ModelBaseline.of(self.schema.probability, self._judged(draw(TEST_ROWS, self._seed(1))))

    def table(self, frame: pd.DataFrame) -> Table:
        """A frame as the monitor's columns."""
        return {each.name: Column.parse(each, frame[each.name].tolist()) for each in self.schema.features}

    def report(self, rows: int, number: int, change: Change | None = None, size: float = 0.0) -> Report:
        """The report on window `number`, which is the same one whatever its change is."""
        seed = self._seed(10 + number)
        frame = draw(rows, seed)
        if change:
            frame = change(frame, size, np.random.default_rng([seed, 2]))
        return make_report(
            self.schema,
            self.baseline,
            Window(self.table(frame), rows),
            probabilities=answers(frame),
            model=self.model,
            # What became of the changed rows nobody knows; the labels of clean ones are the world's.
            labelled=None if change else self._judged(frame),
        )

    def _judged(self, frame: pd.DataFrame) -> Judged:
        probabilities = answers(frame)
        return Judged(
            probabilities, (probabilities > 0.2).astype(np.float64), frame[world.LABEL].to_numpy(dtype=np.float64)
        )

    def _seed(self, number: int) -> int:
        return self.seed * 1_000_000 + number


# ---- the changes ----------------------------------------------------------------------------------------------------


def shift(column: str) -> Change:
    """The mean moves by so many standard deviations."""
    deviation = float(draw(20_000, 7)[column].std())

    def change(frame: pd.DataFrame, size: float, random: np.random.Generator) -> pd.DataFrame:
        return frame.assign(**{column: frame[column] + size * deviation})

    return change


def more_of(column: str, value: str, before: float) -> Change:
    """A category's share grows by so much; all others shrink alike. `before` is its share."""

    def change(frame: pd.DataFrame, size: float, random: np.random.Generator) -> pd.DataFrame:
        others = (frame[column] != value).to_numpy()
        turned = others & (random.random(len(frame)) < size / (1 - before))
        return frame.assign(**{column: frame[column].mask(turned, value)})

    return change


def gaps(column: str, before: float) -> Change:
    """The share of missing values grows by so much."""

    def change(frame: pd.DataFrame, size: float, random: np.random.Generator) -> pd.DataFrame:
        return frame.assign(**{column: frame[column].mask(random.random(len(frame)) < size / (1 - before))})

    return change


def stuck(column: str) -> Change:
    """The sensor of so many of the rows repeats one usual reading. Missing values stay missing."""

    def change(frame: pd.DataFrame, size: float, random: np.random.Generator) -> pd.DataFrame:
        values = frame[column]
        last = values.dropna().iloc[0]
        hangs = (random.random(len(frame)) < size) & values.notna().to_numpy()
        return frame.assign(**{column: values.mask(hangs, last)})

    return change


@dataclass(frozen=True)
class Curve:
    """How often a change is found, over its size."""

    title: str
    unit: str
    column: str
    change: Change
    sizes: tuple[float, ...]


def curves() -> list[Curve]:
    """What the documentation shows."""
    return [
        Curve(
            "Mean of a number (temperature)",
            "standard deviations",
            "temperature",
            shift("temperature"),
            (0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
        ),
        Curve(
            "Share of a category (5 % before)",
            "points",
            "category",
            more_of("category", RARE, RARE_SHARE),
            (0.02, 0.04, 0.06, 0.08, 0.1, 0.14),
        ),
        Curve(
            "Missing values (none before)", "points", "price", gaps("price", 0.0), (0.01, 0.02, 0.03, 0.04, 0.05, 0.07)
        ),
        Curve(
            "Stuck sensor (temperature)",
            "share of rows",
            "temperature",
            stuck("temperature"),
            (0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
        ),
    ]


@dataclass(frozen=True)
class Asked:
    """A change of the size that is asked about, in one column. `before`: the share before, None for numbers."""

    what: str
    column: str
    change: Change
    size: float
    before: float | None = None


def asked() -> list[Asked]:
    """Half a standard deviation, ten points of a share, five points missing, a stuck sensor: wherever the world has a
    column for it."""
    numbers = ("price", "temperature", "transit_hours", "weight_kg")
    shares = {**world.CATEGORIES, RARE: RARE_SHARE, "fish": world.CATEGORIES["fish"] - RARE_SHARE}
    carriers = {name: share for name, (share, _, _) in world.CARRIERS.items()}
    missing = {"price": 0.0, "temperature": 0.04, "transit_hours": 0.06}
    return [
        *(Asked(f"mean of {name} + 0.5 standard deviations", name, shift(name), 0.5) for name in numbers),
        *(Asked(f"{name} is stuck", name, stuck(name), 1.0) for name in numbers),
        Asked("a new category, 10 %", "category", more_of("category", world.NEW_CATEGORY, 0.0), 0.1, 0.0),
        *(
            Asked(f"category {name} + 10 points", "category", more_of("category", name, share), 0.1, share)
            for name, share in sorted(shares.items(), key=lambda item: item[1])
        ),
        *(
            Asked(f"carrier {name} + 10 points", "carrier", more_of("carrier", name, share), 0.1, share)
            for name, share in sorted(carriers.items(), key=lambda item: item[1])
        ),
        *(Asked(f"{name} missing + 5 points", name, gaps(name, share), 0.05, share) for name, share in missing.items()),
    ]


# ---- measuring ------------------------------------------------------------------------------------------------------


def alarms(study: Study, rows: int, windows: int) -> int:
    """In so many of the clean windows there is an alarm."""
    return sum(bool(study.report(rows, number).violations) for number in range(windows))


def found(study: Study, rows: int, runs: int, *, change: Change, size: float, column: str) -> int:
    """In so many of the runs the changed column has a violation."""
    return sum(
        any(each["feature_name"] == column for each in study.report(rows, number, change, size).violations)
        for number in range(runs)
    )


def price_of_finding(before: float, size: float, rows: int) -> float:
    """The false alarms of the most powerful test that finds a share's growth by `size` in 95 of 100 windows."""
    counts = np.arange(rows + 1)
    # The highest count that is still reached in 95 of 100 windows with the change.
    needed = int(counts[special.bdtrc(counts - 1, rows, before + size) >= 0.95].max())
    return float(special.bdtrc(needed - 1, rows, before)) if needed else 1.0


def fair_part() -> float:
    """The false alarms that one category may cost, if the level of shares is dealt out to all that are compared.

    A test for each category, corrected for their number (Bonferroni), could spend so much and no more.
    """
    return LEVELS["shares"] / (len(world.CATEGORIES) + 1 + len(world.CARRIERS))


def promised(change: Asked) -> bool:
    """Whether it is to be found in 95 of 100 windows of 300 rows.

    Changes of a number always; those of a share or of gaps if the best possible test would cost less than `fair_part`.
    """
    return change.before is None or price_of_finding(change.before, change.size, 300) < fair_part()


def measure(*, windows: int = 40, runs: int = 100) -> dict[str, Any]:
    """The content of power.json. `windows`: clean ones, a seed and size; `runs`: windows of each change."""
    studies = [Study(seed) for seed in SEEDS]
    a_seed = runs // len(studies)

    def rate(change: Change, size: float, column: str, rows: int) -> float:
        hits = sum(found(each, rows, a_seed, change=change, size=size, column=column) for each in studies)
        return hits / (a_seed * len(studies))

    return {
        "baseline_rows": BASELINE_ROWS,
        "windows": windows * len(studies),
        "runs": a_seed * len(studies),
        "false_alarms": {str(rows): sum(alarms(study, rows, windows) for study in studies) for rows in SIZES},
        "curves": [
            {
                "title": curve.title,
                "unit": curve.unit,
                "sizes": list(curve.sizes),
                "found": {
                    str(rows): [rate(curve.change, size, curve.column, rows) for size in curve.sizes] for rows in SIZES
                },
            }
            for curve in curves()
        ],
        "asked": [
            {
                "what": each.what,
                "before": each.before,
                "found": {str(rows): rate(each.change, each.size, each.column, rows) for rows in SIZES},
                "price": None if each.before is None else price_of_finding(each.before, each.size, 300),
            }
            for each in asked()
        ],
    }


def main() -> int:
    write_json(FILE, measure())
    print(json.dumps({"written": FILE.name}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
