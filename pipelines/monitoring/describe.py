"""statistics.json and constraints.json in Model Monitor's shapes.

Sources: Amazon SageMaker AI Developer Guide, "Schema for Statistics (statistics.json file)", "Schema for Constraints
(constraints.json file)", both read 2026-11-27. The managed monitor can read these files, and ours can read its files.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .sketch import C, K, sketch
from .table import Column, Numbers, Table

BUCKETS = 10
# A column with more different texts than this is no category: a name, an id, a sentence.
MAXIMUM_CATEGORIES = 100

# How far a distribution may move before it matters: the largest gap between two cumulative distributions for numbers
# (the managed monitor's default), the largest difference of a share for texts. For the latter the managed default is
# 0.1, too; but a true change of 0.1 is measured as less than that half of the time.
NUMBER_THRESHOLD = 0.1
CATEGORY_THRESHOLD = 0.05


def statistics(table: Table) -> dict[str, Any]:
    """The content of statistics.json."""
    rows = max((column.rows for column in table.values()), default=0)
    features = [number_statistics(each) if each.kind == "number" else _text_statistics(each) for each in table.values()]
    return {"version": 0, "dataset": {"item_count": rows}, "features": features}


def number_statistics(column: Column) -> dict[str, Any]:
    """A member of `features`. What is no number counts as missing there: the shape has no other place for it."""
    values: Numbers = column.values
    there = len(values) > 0
    return {
        "name": column.name,
        "inferred_type": _inferred(column),
        "numerical_statistics": {
            "common": {"num_present": len(values), "num_missing": column.missing + column.misfits},
            "mean": float(values.mean()) if there else 0.0,
            "sum": float(values.sum()) if there else 0.0,
            "std_dev": float(values.std()) if there else 0.0,
            "min": float(values.min()) if there else 0.0,
            "max": float(values.max()) if there else 0.0,
            "distribution": {
                "kll": {
                    "buckets": _buckets(values) if there else [],
                    "sketch": {"parameters": {"c": C, "k": float(K)}, "data": sketch(values)},
                }
            },
        },
    }


def _buckets(values: Numbers) -> list[dict[str, float]]:
    counts, edges = np.histogram(values, BUCKETS)
    return [
        {"lower_bound": float(low), "upper_bound": float(high), "count": float(count)}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


def _text_statistics(column: Column) -> dict[str, Any]:
    counts = Counter(column.values.tolist())
    few = sorted(counts.items()) if len(counts) <= MAXIMUM_CATEGORIES else []
    return {
        "name": column.name,
        "inferred_type": _inferred(column),
        "string_statistics": {
            "common": {"num_present": len(column.values), "num_missing": column.missing},
            "distinct_count": float(len(counts)),
            "distribution": {"categorical": {"buckets": [{"value": value, "count": count} for value, count in few]}},
        },
    }


def _inferred(column: Column) -> str:
    if not len(column.values):
        return "Unknown"
    if column.kind == "string":
        return "String"
    return "Integral" if bool(np.all(column.values == np.round(column.values))) else "Fractional"


def constraints(table: Table) -> dict[str, Any]:
    """The content of constraints.json: what the data were like, and the thresholds, which are there to be edited."""
    return {
        "version": 0,
        "features": [_constraint(column) for column in table.values()],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": NUMBER_THRESHOLD,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": CATEGORY_THRESHOLD,
                "categorical_drift_method": "LInfinity",
            },
        },
    }


def _constraint(column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": column.name,
        "inferred_type": _inferred(column),
        "completeness": len(column.values) / column.rows if column.rows else 0.0,
    }
    if column.kind == "number":
        told["num_constraints"] = {"is_non_negative": bool(np.all(column.values >= 0))}
    else:
        domains = sorted(set(column.values.tolist()))
        if len(domains) <= MAXIMUM_CATEGORIES:
            told["string_constraints"] = {"domains": domains}
    return told
