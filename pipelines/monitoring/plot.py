"""Draws how far each feature drifted. matplotlib is needed here and nowhere else; a report is complete without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def draw_drift(drift: dict[str, Any], file: Path) -> bool:
    """A PNG of bars, one a feature, from the content of drift.json. Says so and returns False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No plot: matplotlib is not installed here.", file=sys.stderr)
        return False
    bars = [each for each in [*drift["features"], drift["prediction"]] if each and each["distance"] is not None]
    figure = Figure(figsize=(7, 1.2 + 0.4 * max(1, len(bars))), layout="constrained")
    axes = figure.subplots()
    colours = ["#bc4c00" if each["drifted"] else "#8c959f" for each in bars]
    axes.barh([each["name"] for each in bars], [each["distance"] for each in bars], color=colours)
    for at, each in enumerate(bars):
        axes.text(each["distance"] + 0.01, at, f"{each['distance']:.2f}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("distance from the baseline (drifted features are orange)")
    window = drift["window"]
    axes.set_title(f"{window['rows']} rows, {drift['violations']} violations: {drift['verdict']}", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without a date in it, the same report is the same file.
    figure.savefig(file, dpi=110, metadata={"Software": None})
    return True
