"""A quantile sketch in the layout that statistics.json has for one.

It is levels of values, and each value of level i stands for 2^i values. The idea is KLL's (Karnin, Lang, Liberty,
"Optimal Quantile Approximation in Streams", 2016): a level that is too full is sorted, and every other value of it
moves up. Up to `K` values nothing is lost. What is kept of more is accurate to about 1 / `K` of the rank, as all values
are there at once and are not a stream. Where KLL tosses a coin (which half moves up), this takes turns, so that the
same data have the same sketch.
"""

from __future__ import annotations

import math

import numpy as np

from .table import Numbers

K = 2048
C = 0.64


def sketch(values: Numbers) -> list[list[float]]:
    """The levels."""
    levels = [np.sort(values)]
    second = 0
    while True:
        over = [at for at, level in enumerate(levels) if len(level) > _capacity(at, len(levels))]
        if not over:
            return [level.tolist() for level in levels]
        at = over[0]
        if at + 1 == len(levels):
            levels.append(np.empty(0))
        even = len(levels[at]) // 2 * 2
        full, levels[at] = levels[at][:even], levels[at][even:]
        levels[at + 1] = np.sort(np.concatenate([levels[at + 1], full[second::2]]))
        second = 1 - second


def _capacity(level: int, levels: int) -> int:
    return max(2, math.ceil(K * C ** (levels - 1 - level)))


def weighted(levels: list[list[float]]) -> tuple[Numbers, Numbers]:
    """Sorted values and how many values each stands for."""
    values = np.concatenate([np.asarray(level, dtype=np.float64) for level in levels] or [np.empty(0)])
    weights = np.concatenate([np.full(len(level), 2.0**at) for at, level in enumerate(levels)] or [np.empty(0)])
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]
