"""What an architecture costs for a thousand inputs and for a workload, line by line. Pure: from `prices.toml` alone.

A month has 30 days. The free tier of an account is not counted. Tiers are those of an account that runs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stacks.policy import prices
from stacks.policy.prices import Price

DAYS = 30
VOLUMES = (1_000, 100_000, 10_000_000)
# More than the busiest services of AWS take from one account: a slip of the keyboard.
MOST_A_DAY = 1_000_000_000


class WorkloadRefusedError(ValueError):
    """A workload that cannot be: `str()` is one line that says what can."""


@dataclass(frozen=True)
class Line:
    """One line of a bill: so many units of a price. `usd` is the sum, tiers counted; `because` explains a minimum."""

    what: str
    quantity: float
    price: Price
    usd: float
    because: str = ""

    @property
    def unit_usd(self) -> float:
        """What a unit costs on average: the first price unless the quantity passes its tier."""
        return self.usd / self.quantity if self.quantity else self.price.usd


@dataclass(frozen=True)
class Assumption:
    """A figure on which quantities rest. Billed in whole `step`s, between `least` and `most`."""

    name: str
    what: str
    usual: float
    step: float
    least: float
    most: float

    def factor(self, value: float) -> float:
        """How many times the usual one this value is, as it is billed. Raises WorkloadRefusedError."""
        if not self.least <= value <= self.most:
            raise WorkloadRefusedError(
                f"{self.name}={value:.10g}: between {self.least:.10g} and {self.most:.10g} {self.what}."
            )
        return math.ceil(value / self.step) * self.step / self.usual


@dataclass(frozen=True)
class Input:
    """What a request is: its name, the volumes a day that make sense, and what it is assumed to be like."""

    one: str
    many: str
    volumes: tuple[int, ...]
    most: int
    assumptions: tuple[Assumption, ...]


@dataclass(frozen=True)
class Bill:
    """A month: what it costs while idle, and what its use adds. `idle` is US dollars; the lines are the use's."""

    idle: float
    lines: tuple[Line, ...]

    @property
    def use(self) -> float:
        return total(self.lines)

    @property
    def total(self) -> float:
        return self.idle + self.use

    @property
    def dominant(self) -> tuple[str, float]:
        """The service that costs most, or what stands idle, and its share of the total (0 to 1)."""
        by_service = {"what stands idle": self.idle}
        for line in self.lines:
            by_service[line.price.service] = by_service.get(line.price.service, 0.0) + line.usd
        name = max(by_service, key=lambda one: by_service[one])
        return name, by_service[name] / self.total if self.total else 0.0


def input_of(architecture: str) -> Input:
    """What a request of this architecture is. Raises KeyError for one that is not built."""
    entry = prices.table()["input"][architecture]
    assumed = tuple(Assumption(name=name, **figures) for name, figures in entry.get("assumes", {}).items())
    most = entry.get("most", MOST_A_DAY)
    return Input(entry["one"], entry["many"], tuple(entry.get("volumes", VOLUMES)), most, assumed)


def per_thousand(architecture: str, assumed: Mapping[str, float] | None = None) -> list[Line]:
    """What a thousand inputs cost, without what stands idle. Raises WorkloadRefusedError for a wrong assumption."""
    return _lines(architecture, 1000, assumed or {}, month=False)


def workload(architecture: str, per_day: int, idle: float, assumed: Mapping[str, float] | None = None) -> Bill:
    """A month with so many inputs a day; `idle` is US dollars a month of what stands idle.

    Raises WorkloadRefusedError for a number of inputs that cannot come, or a wrong assumption.
    """
    given = input_of(architecture)
    if not 1 <= per_day <= given.most:
        raise WorkloadRefusedError(f"{per_day:,} a day: between 1 and {given.most:,} {given.many} a day.")
    return Bill(idle, tuple(_lines(architecture, per_day * DAYS, assumed or {}, month=True)))


def total(lines: Sequence[Line]) -> float:
    """US dollars of all lines."""
    return sum(line.usd for line in lines)


def _lines(architecture: str, inputs: int, assumed: Mapping[str, float], *, month: bool) -> list[Line]:
    factors = _factors(architecture, assumed)
    lines = []
    # Lines of one price share its tiers: the second begins where the first ended.
    used: dict[tuple[str, int], float] = {}
    for entry in prices.table()["thousand"][architecture]:
        price, meters = prices.price(entry["price"]), entry.get("meters", 1)
        quantity = entry["quantity"] * inputs / 1000 * factors.get(entry.get("grows_with", ""), 1.0)
        least = entry.get("least", 0) if month else 0
        because = entry["because"] if quantity < least else ""
        line = Line(entry["what"], max(quantity, least), price, 0.0, because)
        before = used.get((price.name, meters), 0.0)
        after = used[price.name, meters] = before + line.quantity / meters
        lines.append(replace(line, usd=meters * (price.of(after) - price.of(before))))
    return lines


def _factors(architecture: str, assumed: Mapping[str, float]) -> dict[str, float]:
    known = {one.name: one for one in input_of(architecture).assumptions}
    if unknown := [name for name in assumed if name not in known]:
        there = f"It assumes {', '.join(known)}" if known else "It assumes nothing that can be changed"
        raise WorkloadRefusedError(f"{architecture} has no assumption {unknown[0]!r}. {there}.")
    return {name: one.factor(assumed.get(name, one.usual)) for name, one in known.items()}
