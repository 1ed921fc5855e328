"""What architectures cost and carry, as the command line shows it: tables, or numbers for machines.

`stacks.policy.costs` and `stacks.policy.scale` do the counting.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stacks.catalogue import Architecture
from stacks.policy import costs, prices, scale, scale_tables

if TYPE_CHECKING:
    from rich.table import Table

    from local.screen import Screen

# What every figure here leaves out, in one line.
# Columns of a terminal that shows all of a table.
WIDE = 140
# Characters of a column that is not broken.
NAME = 30

LEFT_OUT = (
    "US dollars in {region}. Not counted: the free tier of an account, storage, data that leaves the region, taxes."
    " prices.toml says which page each price is from, and what confirms it."
)


def unknown_region(region: str) -> str | None:
    """What is wrong with a region, in one line; None where its prices are known."""
    known = prices.table()["regions"]
    return None if region in known else f"There are no prices of {region}. There are those of {', '.join(known)}."


def one_to_json(
    architecture: Architecture, per_day: int | None, assumed: Mapping[str, float], region: str
) -> dict[str, Any]:
    """All of `cost ID` in numbers. Raises WorkloadRefusedError."""
    given = costs.input_of(architecture.id)
    lines = costs.per_thousand(architecture.id, assumed)
    answer = {
        "architecture": architecture.id,
        "region": region,
        "free_tier": False,
        "input": {"one": given.one, "many": given.many},
        "assumes": {one.name: assumed.get(one.name, one.usual) for one in given.assumptions},
        "idle_usd_a_month": architecture.cost_idle,
        "usd_a_thousand": round(costs.total(lines), 8),
        "thousand": [_line_to_json(line) for line in lines],
    }
    if per_day is not None:
        bill = costs.workload(architecture.id, per_day, architecture.cost_idle or 0.0, assumed)
        name, share = bill.dominant
        answer["workload"] = {
            "a_day": per_day,
            "days": costs.DAYS,
            "lines": [_line_to_json(line) for line in bill.lines],
            "idle_usd": bill.idle,
            "usd_a_month": round(bill.total, 2),
            "dominant": {"service": name, "share": round(share, 4)},
        }
    return answer


def all_to_json(architectures: Sequence[Architecture], per_day: int | None, region: str) -> dict[str, Any]:
    """All of `cost` without an id in numbers; a month that cannot be is null. Raises WorkloadRefusedError."""
    rows = []
    for one in architectures:
        row: dict[str, Any] = {
            "architecture": one.id,
            "input": costs.input_of(one.id).many,
            "idle_usd_a_month": one.cost_idle,
            "standing_usd_a_month": one.cost_standing,
            "usd_a_thousand": round(costs.total(costs.per_thousand(one.id)), 8),
        }
        if per_day is not None:
            row["usd_a_month"] = _month(one, per_day)
        rows.append(row)
    return {"region": region, "free_tier": False, "a_day": per_day, "architectures": rows}


def show_all(architectures: Sequence[Architecture], per_day: int | None, region: str, screen: Screen) -> None:
    """A row an architecture: what it costs while idle, for a thousand of its inputs, and a month of a workload."""
    heads = ["Architecture", "idle, a month", "per 1,000", "inputs"]
    table = _table(screen, [*heads, f"{per_day:,} a day, a month"] if per_day is not None else heads, right=(1, 2, 4))
    for one in architectures:
        given = costs.input_of(one.id)
        row = [one.id, _usd(one.cost_idle or 0.0), _usd(costs.total(costs.per_thousand(one.id))), given.many]
        if per_day is not None:
            month = _month(one, per_day)
            row.append(_usd(month) if month is not None else f"at most {given.most:,} a day")
        table.add_row(*row)
    table.columns[0].no_wrap = table.columns[-1].no_wrap = True
    screen.out.print(table)
    for one in architectures:
        if one.cost_standing:
            screen.say(f"{one.id}: {one.cost_standing:.2f} a month more while its endpoint stands.")
    screen.say(LEFT_OUT.format(region=region))


def show_one(
    architecture: Architecture, per_day: int | None, assumed: Mapping[str, float], region: str, screen: Screen
) -> None:
    """The lines of a month, or of a thousand inputs where no workload is given. Raises WorkloadRefusedError."""
    given = costs.input_of(architecture.id)
    idle = architecture.cost_idle or 0.0
    bill = (
        costs.workload(architecture.id, per_day, idle, assumed)
        if per_day is not None
        else costs.Bill(0.0, tuple(costs.per_thousand(architecture.id, assumed)))
    )
    title = f"{per_day:,} {given.many} a day for {costs.DAYS} days" if per_day is not None else f"1,000 {given.many}"
    table = _table(screen, ["Service", "What", "How many", "Unit price", "US dollars"], right=(2, 3, 4))
    for line in sorted(bill.lines, key=lambda line: -line.usd):
        note = f" ({line.because})" if line.because else ""
        table.add_row(
            line.price.service, line.what + note, _count(line.quantity), _exactly(line.unit_usd), _usd(line.usd)
        )
    if per_day is not None:
        table.add_row("what stands idle", f"see {architecture.page}", "", "", _usd(idle))
    screen.say(f"{architecture.id}: {title}")
    screen.out.print(table)
    name, share = bill.dominant
    screen.say(f"Together {_usd(bill.total)}, {100 * share:.0f} % of it {name}.")
    if per_day is None:
        standing = (
            f", and {architecture.cost_standing:.2f} while its endpoint stands" if architecture.cost_standing else ""
        )
        screen.say(f"While idle {_usd(idle)} a month{standing}.")
    for one in given.assumptions:
        value = assumed.get(one.name, one.usual)
        instead = f", not the {one.usual:.10g} that the lines above speak of" if value != one.usual else ""
        screen.say(f"Assumed: {value:.10g} {one.what}{instead} (--assume {one.name}=NUMBER).")
    if any(line.price.tiers and line.unit_usd < line.price.usd * (1 - 1e-9) for line in bill.lines):
        screen.say("Where a price falls with the volume, the unit price is the average.")
    screen.say(LEFT_OUT.format(region=region))


def scale_to_json(architecture: Architecture, one: scale.Way, per_day: int | None, burst: float) -> dict[str, Any]:
    """All of `scale ID` in numbers. Raises ScaleRefusedError."""
    peak = max(scale.weights())
    return {
        "architecture": architecture.id,
        "burst": burst,
        "assumed": list(one.assumed),
        "limits": [
            {
                **dataclasses.asdict(limit),
                "per_second": limit.per_second,
                "full_for_an_hour_at": limit.full_at(peak),
                "full_all_day_at": limit.full_at(),
                **({} if per_day is None else {"needed": limit.needed(per_day, peak)}),
            }
            for limit in one.limits
        ],
        "loads": [
            {
                **dataclasses.asdict(outcome := scale.simulate(one, volume, burst)),
                "keeps_up": outcome.keeps_up,
                "usd_a_month": round(costs.workload(architecture.id, volume, architecture.cost_idle or 0.0).total, 2),
            }
            for volume in ([per_day] if per_day is not None else scale.VOLUMES)
        ],
    }


def show_scale(architecture: Architecture, one: scale.Way, per_day: int | None, burst: float, screen: Screen) -> None:
    """What is full first, what becomes of each load, and what to raise for the largest. Raises ScaleRefusedError."""
    volumes = scale.VOLUMES if per_day is None else (per_day,)
    ladder = scale_tables.ladder(one, architecture.cost_idle or 0.0, burst, volumes)
    screen.say(f"{architecture.id}, with the quotas of a fresh account in us-east-1 and the stack's settings")
    _print(screen, scale_tables.limits(one), left_out=scale_tables.FOR_AN_HOUR)
    _print(screen, ladder, left_out=scale_tables.FULL)
    raised = scale_tables.raises(one, volumes[-1])
    if raised.rows:
        screen.say(f"For {volumes[-1]:,} a day, in the busiest hour:")
        _print(screen, raised)
    else:
        screen.say(f"Nothing has to be raised for {volumes[-1]:,} a day.")
    for line in scale_tables.told(one, burst):
        screen.say(line)
    screen.say("stacks/policy/quotas.toml says where each quota was read. Your account's own: Service Quotas.")


def _print(screen: Screen, table: scale_tables.Table, left_out: str = "") -> None:
    """The table; the column of that head only where the screen has the room."""
    kept = [number for number, head in enumerate(table.heads) if head != left_out or screen.out.width >= WIDE]
    right = [kept.index(number) for number in table.numbers if number in kept]
    shown = _table(screen, [table.heads[number] for number in kept], right)
    for row in table.rows:
        shown.add_row(*(row[number] for number in kept))
    # Names and numbers are not broken, their heads are.
    for place in (0, *right):
        longest = max((len(row[kept[place]]) for row in table.rows), default=0)
        if longest <= NAME:
            shown.columns[place].no_wrap = True
            shown.columns[place].header = "\n".join(textwrap.wrap(table.heads[kept[place]], max(longest, 10)))
    screen.out.print(shown)


def _month(architecture: Architecture, per_day: int) -> float | None:
    """US dollars a month; None where so many inputs cannot come to this architecture."""
    if not 1 <= per_day <= costs.MOST_A_DAY:
        raise costs.WorkloadRefusedError(f"{per_day:,} a day: between 1 and {costs.MOST_A_DAY:,} requests a day.")
    if per_day > costs.input_of(architecture.id).most:
        return None
    return round(costs.workload(architecture.id, per_day, architecture.cost_idle or 0.0).total, 2)


def _line_to_json(line: costs.Line) -> dict[str, Any]:
    return {
        "service": line.price.service,
        "what": line.what,
        "quantity": line.quantity,
        "unit": line.price.unit,
        "unit_usd": round(line.unit_usd, 12),
        "usd": round(line.usd, 8),
    }


def _usd(usd: float) -> str:
    """Cents, and what is below them with two digits."""
    return f"{usd:,.2f}" if usd >= 0.01 or usd == 0 else f"{usd:.2g}"


def _count(quantity: float) -> str:
    return f"{quantity:,.0f}" if quantity >= 1000 else f"{quantity:,.4g}"


def _exactly(usd: float) -> str:
    """At least cents, and four digits of what is smaller: `0.115`, `0.0000004`."""
    digits = max(2, 3 - math.floor(math.log10(usd)))
    return max(f"{usd:.{digits}f}".rstrip("0"), f"{usd:.2f}", key=len)


def _table(screen: Screen, heads: Sequence[str], right: Sequence[int]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII, pad_edge=False, header_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number in right else "left", overflow="fold")
    return table
