"""The simulation of `scale.py` in words: what is full first, what becomes of each load, and what to raise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stacks.policy import costs, scale
from stacks.policy.scale import Limit, Outcome, Way

FOR_AN_HOUR, FULL = "full for an hour at, a day", "full in a busy hour"
ABOVE = {"waits": "waits", "fails": "is refused, tried again", "grows": "grows with the load"}


@dataclass(frozen=True)
class Table:
    """Heads and rows of text; `numbers` are the columns that stand on the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]


def limits(one: Way) -> Table:
    """Each limit, the one that is full first at the top."""
    peak = max(scale.weights())
    many = costs.input_of(one.architecture).many
    rows = [
        (
            limit.name,
            f"{_count(limit.value)} {limit.unit}",
            limit.what,
            _count(limit.per_second),
            _count(limit.full_at(peak)),
            _count(limit.full_at()),
            ABOVE[limit.over],
        )
        for limit in _by_capacity(one.limits)
    ]
    heads = (
        "Limit",
        "Allows",
        "Used by one",
        f"{many[0].upper()}{many[1:]} a second",
        FOR_AN_HOUR,
        "all day at",
        "above it",
    )
    return Table(heads, tuple(rows), (3, 4, 5))


def ladder(one: Way, idle: float, burst: float, volumes: Iterable[float] = scale.VOLUMES) -> Table:
    """What becomes of each load; `idle` is US dollars a month of what stands idle."""
    rows = []
    for volume in volumes:
        outcome = scale.simulate(one, volume, burst)
        month = costs.workload(one.architecture, round(volume), idle).total
        rows.append(
            (
                _count(volume),
                _count(outcome.peak_second),
                _full(one, volume),
                _count(outcome.most_waiting),
                f"{outcome.oldest_hours:.1f} h",
                _drained(outcome),
                _share(outcome.given_up_share),
                _share(outcome.expired_share),
                f"{month:,.0f}",
            )
        )
    many = costs.input_of(one.architecture).many
    heads = (
        f"{many[0].upper()}{many[1:]} a day",
        "a second, at most",
        FULL,
        "waiting, at most",
        "the oldest for",
        "worked off",
        one.gives_up,
        "waits too long and is lost",
        "US dollars a month, if all came through",
    )
    return Table(heads, tuple(rows), (0, 1, 3, 4, 6, 7, 8))


def raises(one: Way, per_day: float) -> Table:
    """What must be more for this load, in the order in which it is full; no rows where nothing must."""
    peak = max(scale.weights())
    rows = [
        (
            _named(limit),
            _count(limit.value),
            _count(limit.needed(per_day, peak)),
            f"{limit.needed(per_day, peak) / limit.value:,.1f} times",
            _how(limit),
        )
        for limit in _by_capacity(one.limits)
        if limit.needed(per_day, peak) > limit.value
    ]
    return Table(("Limit", "is", "must be", "that is", "how"), tuple(rows), (1, 2, 3))


def told(one: Way, burst: float) -> list[str]:
    """What must be known to read the tables, a sentence a line."""
    peak = max(scale.weights())
    lines = [
        f"Simulated, not measured: {scale.DAYS} days minute by minute, the busiest hour {peak:.2g} times as busy as the"
        f" mean, and {burst:.10g} times that on the first day.",
        f"The queue keeps a message for {one.queue.kept // scale.MINUTES_A_DAY} days; what waits longer is gone,"
        " without a dead letter.",
        *one.assumed,
    ]
    if one.queue.deliveries > 1:
        times = one.queue.deliveries
        lines.insert(
            2, f"What is refused comes back after {one.queue.hidden} minutes, and is given up after {times} times."
        )
    for limit in one.limits:
        if limit.new_account is not None:
            carries = limit.new_account / limit.each
            lines.append(
                f"{limit.title}: a new account may have {limit.new_account:.10g} in place of {_count(limit.value)},"
                f" which carry {_count(carries)} a second."
            )
    return lines


def _by_capacity(several: Sequence[Limit]) -> list[Limit]:
    return sorted(several, key=lambda limit: limit.per_second)


def _named(limit: Limit) -> str:
    return f"{limit.service}: {limit.title}" if limit.service else limit.title


def _how(limit: Limit) -> str:
    if limit.mend:
        return limit.mend
    if limit.service:
        return f"Service Quotas {limit.code}" if limit.code else "ask for it in Service Quotas or of AWS Support"
    bound = "" if limit.most is None else f"; it takes {_count(limit.most)} at most, beyond that use several stacks"
    return f"set `{limit.name}`{bound}"


def _full(one: Way, volume: float) -> str:
    """The names of what is full in a busy hour, the first first."""
    peak = max(scale.weights())
    full = [
        limit.name
        for limit in _by_capacity(one.limits)
        if limit.over != "grows" and limit.needed(volume, peak) > limit.value
    ]
    more = f" and {len(full) - 1} more" if len(full) > 1 else ""
    return f"{full[0]}{more}" if full else "nothing"


def _drained(outcome: Outcome) -> str:
    if outcome.drained_hours is None:
        return "never"
    return "at once" if not outcome.drained_hours else f"after {outcome.drained_hours:.1f} h"


def _share(share: float) -> str:
    return "none" if share < 1e-9 else f"{100 * share:.1f} %"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:,.3g}"
