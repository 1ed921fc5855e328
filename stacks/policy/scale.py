"""How far an architecture goes on paper: a simulation of load against the quotas of a fresh account in us-east-1.

`quotas.toml` says what a region's account allows and what of it one input uses; the queue's behaviour comes from the
stack's own settings. Pure: no clock, no network, no chance.

**The model.** Inputs come in by a daily profile, minute by minute, as a fluid. What "waits" bounds how many the queue
gives out; what "fails" bounds how many of those succeed, and the rest of a minute is refused. Retries within an attempt
are tried in the same minute, so that they change nothing while the load stays above the quota: as many succeed as the
quota grants. A refused message is hidden for the queue's visibility time-out, counts as a delivery, and is given up
after the last. What waits longer than the queue keeps it is gone. Standard queues keep no order: each minute takes
evenly from what is visible, but what expires is the oldest. What "grows" is told and bounds nothing.

Left out: how fast Lambda adds workers (300 a minute), the full bucket with which a rate begins, cold starts, and the
time that a refused attempt costs its worker.
"""

from __future__ import annotations

import math
import pathlib
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import Any, Literal, cast

from stacks.blocks.queue_times import VISIBILITY_FACTOR, WORK_RETENTION_DAYS
from stacks.policy import defaults

TABLE = pathlib.Path(__file__).with_name("quotas.toml")

VOLUMES = (1_000, 10_000, 100_000, 300_000, 1_000_000, 10_000_000, 100_000_000)
DAYS = 14
HOURS_A_DAY = 24
MINUTES_AN_HOUR = 60
MINUTES_A_DAY = 1440
SECONDS_A_DAY = 86_400
MOST_A_DAY = 1_000_000_000
MOST_BURST = 1000
# Less than one message in a fluid is none.
NOTHING = 0.5

Over = Literal["waits", "fails", "grows"]


class ScaleRefusedError(ValueError):
    """A load, quota or setting that cannot be: `str()` is one line that says what can."""


@dataclass(frozen=True)
class Limit:
    """What bounds an architecture: `value` of something of which each input uses `each`.

    `title`, `code` and `service` are those of Service Quotas; a setting of the stack has no service and may have a
    bound, `most`. `mend` says what helps where no quota can be raised.
    """

    name: str
    title: str
    what: str
    value: float
    unit: str
    each: float
    over: Over
    service: str = ""
    code: str = ""
    mend: str = ""
    new_account: float | None = None
    most: float | None = None

    @property
    def per_second(self) -> float:
        """Inputs a second that it carries."""
        return self.value / self.each

    def full_at(self, peak: float = 1.0) -> float:
        """Inputs a day at which it is full when the busiest hour is `peak` times the day's mean."""
        return self.per_second * SECONDS_A_DAY / peak

    def needed(self, per_day: float, peak: float) -> float:
        """The value that carries so many inputs a day in the busiest hour."""
        return per_day / SECONDS_A_DAY * peak * self.each


@dataclass(frozen=True)
class Queue:
    """What the stack's queue does: `deliveries` before a refused message is given up, and times.

    A refused message is `hidden` for so many minutes, each message `kept` for so many. `in_flight` may be out at once:
    those that are hidden, and each that is worked on, for `held` seconds.
    """

    deliveries: int
    hidden: int
    kept: int
    in_flight: float
    held: float


@dataclass(frozen=True)
class Way:
    """An architecture as the simulation sees it: its limits, its queue, and what is assumed."""

    architecture: str
    limits: tuple[Limit, ...]
    queue: Queue
    gives_up: str
    assumed: tuple[str, ...]

    def rate(self, over: Over) -> float:
        """Inputs a second that the limits of this kind carry together; infinite without one."""
        return min((limit.per_second for limit in self.limits if limit.over == over), default=float("inf"))

    def first_full(self) -> Limit:
        """The limit that is full first as the load grows, among those that bound something."""
        return min((one for one in self.limits if one.over != "grows"), key=lambda one: one.per_second)


@dataclass(frozen=True)
class Outcome:
    """What becomes of a load in `DAYS` days. Counts are inputs; shares are of the last day's inputs.

    `drained_hours` is the time from the end of the first day's busy hour until nothing waited: None if that never was.
    """

    per_day: float
    mean_second: float
    peak_second: float
    done: float
    given_up: float
    expired: float
    waiting: float
    most_waiting: float
    oldest_hours: float
    drained_hours: float | None
    given_up_share: float
    expired_share: float

    @property
    def keeps_up(self) -> bool:
        """Nothing was lost, and what waited was worked off at some time."""
        return self.drained_hours is not None and self.expired < NOTHING and self.given_up < NOTHING


@cache
def table() -> dict[str, Any]:
    """The parsed `quotas.toml`: `rate`, `day`, `way`, `use`."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast("dict[str, Any]", tomllib.loads(TABLE.read_text(encoding="utf-8")))


def architectures() -> tuple[str, ...]:
    """Those whose uses of quotas are known."""
    return tuple(table()["use"])


def weights() -> list[float]:
    """How busy each hour of a day is; their mean is 1."""
    hours = table()["day"]["hours"]
    return [hour * len(hours) / sum(hours) for hour in hours]


@dataclass(frozen=True)
class Variant:
    """Other settings or quotas that are worth a look, and a clause that says why."""

    says: str
    settings: dict[str, float]
    quotas: dict[str, float]


def variants(architecture: str) -> list[Variant]:
    """What the page of an architecture shows beside its defaults."""
    return [
        Variant(one["says"], one.get("settings", {}), one.get("quotas", {}))
        for one in table()["way"][architecture].get("try", ())
    ]


def usual_burst() -> float:
    """How many times as busy the first day's busiest hour is unless something else is asked for."""
    return float(table()["day"]["burst"])


def way(
    architecture: str, quotas: Mapping[str, float] | None = None, settings: Mapping[str, float] | None = None
) -> Way:
    """An architecture with the quotas of a fresh account and its default settings, or other ones by name.

    Raises ScaleRefusedError for an architecture, quota or setting that is not known here, or a value out of bounds.
    """
    if architecture not in architectures():
        raise ScaleRefusedError(f"{architecture} is not simulated. There are {' and '.join(architectures())}.")
    entry, uses = table()["way"][architecture], table()["use"][architecture]
    chosen = _settings(architecture, entry, uses, settings or {})
    allowed = _quotas(architecture, uses, quotas or {})
    limits = tuple(_limit(architecture, use, chosen, allowed) for use in uses)
    timeout = chosen[entry["timeout_setting"]] if "timeout_setting" in entry else 0.0
    queue = Queue(
        deliveries=int(chosen[entry["deliveries_setting"]]) if "deliveries_setting" in entry else 1,
        hidden=max(1, round(VISIBILITY_FACTOR * timeout / 60)),
        kept=WORK_RETENTION_DAYS * MINUTES_A_DAY,
        in_flight=allowed["sqs-in-flight"],
        held=next(limit.each for limit in limits if limit.name == "sqs-in-flight"),
    )
    return Way(architecture, limits, queue, entry["gives_up"], tuple(entry["assumed"]))


def simulate(one: Way, per_day: float, burst: float = 1.0, days: int = DAYS) -> Outcome:
    """So many inputs a day for some days; on the first day the busiest hour is `burst` times as busy.

    Raises ScaleRefusedError for a load or burst out of bounds.
    """
    if not 1 <= per_day <= MOST_A_DAY:
        raise ScaleRefusedError(f"{per_day:,.10g} a day: between 1 and {MOST_A_DAY:,} objects a day.")
    if not 1 <= burst <= MOST_BURST:
        raise ScaleRefusedError(f"A burst of {burst:.10g}: between 1 and {MOST_BURST:,} times the busiest hour.")
    day = weights()
    busiest = day.index(max(day))
    arrivals = arriving(per_day, burst, days)
    run = _Run(one, arrivals)
    for minute in range(len(arrivals)):
        run.step(minute)
    after = (busiest + 1) * MINUTES_AN_HOUR
    drained = next((minute for minute in range(after, len(arrivals)) if run.backlog[minute] < NOTHING), None)
    last = sum(arrivals[-MINUTES_A_DAY:])
    return Outcome(
        per_day=per_day,
        mean_second=per_day / SECONDS_A_DAY,
        peak_second=per_day / SECONDS_A_DAY * max(day) * burst,
        done=run.done,
        given_up=sum(run.given_up),
        expired=sum(run.expired),
        waiting=run.backlog[-1],
        most_waiting=max(run.backlog),
        oldest_hours=run.oldest / MINUTES_AN_HOUR,
        drained_hours=None if drained is None else (drained - after) / MINUTES_AN_HOUR,
        given_up_share=sum(run.given_up[-MINUTES_A_DAY:]) / last,
        expired_share=sum(run.expired[-MINUTES_A_DAY:]) / last,
    )


def arriving(per_day: float, burst: float, days: int) -> list[float]:
    """Inputs of each minute. The burst comes on top of the first day's."""
    day = weights()
    busiest = day.index(max(day))
    hours = [per_day / HOURS_A_DAY * weight for weight in day] * days
    hours[busiest] *= burst
    return [hour / MINUTES_AN_HOUR for hour in hours for _ in range(MINUTES_AN_HOUR)]


class _Run:
    """The state of a simulation. `visible[k]` have been delivered k times; `hidden` come back, by minute, likewise."""

    def __init__(self, one: Way, arrivals: Sequence[float]) -> None:
        self.queue = one.queue
        self.given_out = one.rate("waits") * 60
        self.granted = one.rate("fails") * 60
        self.arrivals = arrivals
        self.come = list(accumulate(arrivals))
        self.visible = [0.0] * one.queue.deliveries
        self.hidden: deque[list[float]] = deque([] for _ in range(one.queue.hidden))
        self.done = 0.0
        self.gone = 0.0
        self.oldest = 0
        self.first = 0
        self.backlog: list[float] = []
        self.given_up: list[float] = []
        self.expired: list[float] = []

    def step(self, minute: int) -> None:
        """One minute: what is back and what is new, what is too old, what is given out, and what becomes of it."""
        if back := self.hidden.popleft():
            self.visible = [number + returned for number, returned in zip(self.visible, back, strict=True)]
        self.visible[0] += self.arrivals[minute]
        self._expire(minute)
        room = max(0.0, self.queue.in_flight - sum(map(sum, self.hidden)))
        waiting = sum(self.visible)
        taken = min(waiting, self.given_out, room * 60 / self.queue.held, self.granted + room)
        succeed = min(taken, self.granted)
        out, refused = (taken / waiting, 1 - succeed / taken) if taken > 0 else (0.0, 0.0)
        failed = [number * out * refused for number in self.visible] if refused else []
        self.visible = [number * (1 - out) for number in self.visible]
        # The last delivery is given up, the others come back with one more.
        self.hidden.append([0.0, *failed[:-1]] if failed else [])
        self.given_up.append(failed[-1] if failed else 0.0)
        self.done += succeed
        self.gone += succeed + self.given_up[-1]
        self._age(minute)
        self.backlog.append(max(0.0, self.come[minute] - self.gone))

    def _expire(self, minute: int) -> None:
        """Takes out what has been kept for too long; the oldest of all is taken to be visible."""
        limit = minute - self.queue.kept
        waiting = sum(self.visible)
        old = min(waiting, max(0.0, self.come[limit] - self.gone)) if limit >= 0 else 0.0
        if old > 0:
            self.visible = [number * (1 - old / waiting) for number in self.visible]
            self.gone += old
        self.expired.append(old)

    def _age(self, minute: int) -> None:
        while self.first <= minute and self.come[self.first] - self.gone < NOTHING:
            self.first += 1
        self.oldest = max(self.oldest, minute - self.first)


def _limit(
    architecture: str, use: Mapping[str, Any], settings: Mapping[str, float], quotas: Mapping[str, float]
) -> Limit:
    each = use["each"] * (settings[use["times"]] if "times" in use else 1)
    if "setting" in use:
        name = use["setting"]
        title, most = f"the setting `{name}`", defaults.numbers(architecture)[name].most
        return Limit(name, title, use["what"], settings[name], "workers", each, use["over"], most=most)
    entry = table()["rate"][use["limit"]]
    return Limit(
        use["limit"],
        entry["title"],
        use["what"],
        quotas[use["limit"]],
        entry["unit"],
        each,
        use["over"],
        entry.get("service", ""),
        entry.get("code", ""),
        entry.get("mend", ""),
        entry.get("new_account"),
    )


def _settings(
    architecture: str, entry: Mapping[str, Any], uses: Sequence[Mapping[str, Any]], given: Mapping[str, float]
) -> dict[str, float]:
    known = defaults.numbers(architecture)
    names = [use[kind] for use in uses for kind in ("setting", "times") if kind in use]
    names += [entry[kind] for kind in ("timeout_setting", "deliveries_setting") if kind in entry]
    for name, value in given.items():
        if name not in names:
            raise ScaleRefusedError(
                f"{name} changes nothing here. These settings do: {', '.join(dict.fromkeys(names))}."
            )
        least, most = known[name].least or 0, known[name].most or math.inf
        # All of them count something.
        if not least <= value <= most or not float(value).is_integer():
            raise ScaleRefusedError(f"{name}={value:.10g}: the stack takes whole numbers, {least:.10g} to {most:.10g}.")
    return {name: given.get(name, known[name].default) for name in names}


def _quotas(architecture: str, uses: Sequence[Mapping[str, Any]], given: Mapping[str, float]) -> dict[str, float]:
    names = [use["limit"] for use in uses if "limit" in use]
    for name, value in given.items():
        if name not in names:
            raise ScaleRefusedError(f"{architecture} meets no quota {name!r}. It meets {', '.join(names)}.")
        if value <= 0:
            raise ScaleRefusedError(f"{name}={value:.10g}: a quota is above 0.")
    return {name: given.get(name, float(table()["rate"][name]["value"])) for name in names}
