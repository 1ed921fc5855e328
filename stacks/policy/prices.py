"""`prices.toml`: what AWS charges, what a resource uses by existing, and what inputs use."""

from __future__ import annotations

import pathlib
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

TABLE = pathlib.Path(__file__).resolve().parents[2] / "prices.toml"


@dataclass(frozen=True)
class Price:
    """A price in US dollars for one unit. `tiers` are (units a month, dollars for each above them), rising."""

    name: str
    usd: float
    unit: str
    service: str
    tiers: tuple[tuple[float, float], ...] = ()

    def of(self, quantity: float) -> float:
        """US dollars for so many units in one month, from the first tier up."""
        starts = (0.0, *(above for above, _ in self.tiers))
        ends = (*starts[1:], float("inf"))
        rates = (self.usd, *(usd for _, usd in self.tiers))
        return sum(
            (min(quantity, end) - start) * rate
            for start, end, rate in zip(starts, ends, rates, strict=True)
            if quantity > start
        )


@dataclass(frozen=True)
class Standing:
    """What one resource of a type uses of a price in a month while nothing happens.

    `times` is the property, a number, with which `quantity` is multiplied; empty where it is that of each.
    """

    what: str
    price: Price
    quantity: float
    times: str = ""

    @property
    def usd(self) -> float:
        return self.price.of(self.quantity)


@cache
def table() -> dict[str, Any]:
    """The parsed file: `regions`, `price`, `idle`, `free`, `input`, `thousand`."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return cast("dict[str, Any]", tomllib.loads(TABLE.read_text(encoding="utf-8")))


@cache
def price(name: str) -> Price:
    """The price of this name. Raises KeyError."""
    entry = table()["price"][name]
    tiers = tuple((float(tier["above"]), float(tier["usd"])) for tier in entry.get("tiers", ()))
    return Price(name, float(entry["usd"]), entry["unit"], entry["source"].partition(" pricing")[0], tiers)


@cache
def standing() -> dict[str, tuple[Standing, ...]]:
    """What costs something by existing, by CloudFormation type."""
    return {
        type_: tuple(
            Standing(entry["what"], price(entry["price"]), float(entry["quantity"]), entry.get("times", ""))
            for entry in entries
        )
        for type_, entries in table()["idle"].items()
    }


@cache
def free() -> frozenset[str]:
    """The types that cost nothing by existing."""
    return frozenset(type_ for group in table()["free"] for type_ in group["types"])
