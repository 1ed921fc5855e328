"""What counts as idle: the rules one by one, and as a property over days of random work."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from lambdas.cost_guard.stop_idle.idle import (
    ACTIVITY_TAG,
    KEEP_ALIVE_TAG,
    Limits,
    Verdict,
    moment,
    report,
    verdict,
)

START = datetime.datetime(2026, 11, 27, tzinfo=datetime.timezone.utc)
LIMITS = Limits(idle=datetime.timedelta(minutes=60), report_age=datetime.timedelta(minutes=2))
Rule = Callable[[Mapping[str, str], datetime.datetime, datetime.datetime, Limits], Verdict]


def at(minutes: float) -> datetime.datetime:
    """So many minutes after the start."""
    return START + datetime.timedelta(minutes=minutes)


def tags(active: float, reported: float, keep_alive: str | None = None) -> dict[str, str]:
    kept = {} if keep_alive is None else {KEEP_ALIVE_TAG: keep_alive}
    return {ACTIVITY_TAG: report(at(active), at(reported)), **kept}


# --- One by one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (tags(300, 400), "idle"),
        (tags(340, 400), "idle"),
        (tags(341, 400), "active"),
        (tags(300, 398), "idle"),
        (tags(300, 397), "silent"),
        (tags(390, 391), "active"),
        ({}, "silent"),
        ({ACTIVITY_TAG: "active=yesterday reported=now"}, "silent"),
        ({ACTIVITY_TAG: "active=2026-11-27T05:00:00 reported=2026-11-27T06:40:00"}, "silent"),
        (tags(300, 400, "true"), "kept"),
        (tags(300, 400, " True "), "kept"),
        (tags(300, 400, "2026-11-27"), "kept"),
        (tags(300, 400, "2026-11-26"), "idle"),
        (tags(300, 400, "next week"), "unclear"),
        (tags(300, 400, ""), "unclear"),
    ],
)
def test_a_machine_is_stopped_only_on_a_fresh_report_that_says_so(given: dict[str, str], expected: Verdict) -> None:
    # Given a machine that has run for long, When it is looked at after 400 minutes, Then the verdict is this
    assert verdict(given, at(0), at(400), LIMITS) == expected


def test_a_machine_that_has_just_started_is_active_whatever_its_tag_says_of_the_time_before() -> None:
    # Given a tag from yesterday, When the machine has run for less than the limit, Then it is active
    assert verdict(tags(-1000, -900), at(0), at(59), LIMITS) == "active"
    # When it has run for longer and nobody reports, Then it is not stopped either
    assert verdict(tags(-1000, -900), at(0), at(60), LIMITS) == "silent"


def test_a_report_says_its_moments_in_utc_and_is_read_back() -> None:
    # Given a moment of another zone, When it is written, Then the tag's value has letters that a tag may have
    local = at(0).astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert report(local, at(1)) == "active=2026-11-27T00:00:00Z reported=2026-11-27T00:01:00Z"
    assert moment("2026-11-27T00:00:00Z") == at(0)
    assert moment("2026-11-27") is None


# --- Over days of random work ----------------------------------------------------------------------------------------


@dataclass
class Machine:
    """A machine in a simulation. Times are minutes."""

    started: int | None = None
    worked: int = -1
    kept_until: int = -1
    script_down_until: int = -1
    stops: int = 0
    violations: list[str] = field(default_factory=list)


def simulate(rule: Rule, days: int, seed: int, *, machines: int = 4, every: int = 15) -> list[Machine]:
    """Lets people work at random, has their machines report each minute, and runs the guard.

    Somebody who comes to a machine that is stopped starts it. One of fifty reports is lost, and now and then a script
    is down for hours. What must never be, by what really happened, is noted as a violation.
    """
    chance = random.Random(seed)
    fleet = [Machine() for _ in range(machines)]
    work = [_work(chance, days) for _ in fleet]
    strict = Limits(idle=LIMITS.idle, report_age=datetime.timedelta(minutes=0))
    for now in range(0, days * 1440, every):
        for machine, minutes in zip(fleet, work, strict=True):
            while minutes and minutes[-1] <= now:
                minute = minutes.pop()
                if machine.started is None:
                    machine.started = minute
                machine.worked = minute
            if machine.started is not None:
                _look(machine, now, chance, rule, strict)
    return fleet


def _work(chance: random.Random, days: int) -> list[int]:
    """The minutes at which somebody works, the last one first: sessions with pauses, some of them by night."""
    found: set[int] = set()
    for day in range(days):
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            minute = day * 1440 + chance.randrange(1440)
            for _ in range(chance.randrange(1, 25)):
                found.add(minute)
                minute += chance.choice((1, 1, 2, 5, 20, 55, 59, 60, 61, 75))
    return sorted(found, reverse=True)


def _look(machine: Machine, now: int, chance: random.Random, rule: Rule, limits: Limits) -> None:
    assert machine.started is not None
    if chance.random() < 0.002:
        machine.script_down_until = now + chance.randrange(600)
    if chance.random() < 0.005:
        machine.kept_until = now // 1440 + chance.randrange(3)
    heard = now > machine.script_down_until and chance.random() > 0.02
    # What was last heard of the machine: of this minute, or of one before somebody came back.
    reported = now if heard else now - chance.randrange(1, 90)
    active = machine.worked if machine.worked <= reported else max(machine.worked - 120, 0)
    kept = machine.kept_until >= now // 1440
    keep_alive = at(machine.kept_until * 1440).date().isoformat() if machine.kept_until >= 0 else None
    given = tags(active, reported, keep_alive)
    found = rule(given, at(machine.started), at(now), limits)
    unused = now - max(machine.started, machine.worked)
    if found == "idle":
        if unused < 60:
            machine.violations.append(f"minute {now}: stopped, though used {unused} minutes ago")
        if kept:
            machine.violations.append(f"minute {now}: stopped, though it is to be kept")
        machine.started, machine.stops = None, machine.stops + 1
    elif unused >= 60 and not kept and (heard or found != "silent"):
        machine.violations.append(f"minute {now}: idle for {unused} minutes, and left as {found}")


def violations(fleet: list[Machine]) -> list[str]:
    return [one for machine in fleet for one in machine.violations]


def test_in_days_of_random_work_nothing_active_is_stopped_and_nothing_idle_survives_a_run() -> None:
    # Given forty days of four machines, When the guard runs each quarter of an hour, Then both hold, and it has stopped
    fleet = simulate(verdict, 40, seed=7)
    assert violations(fleet) == []
    assert min(machine.stops for machine in fleet) > 10


@pytest.mark.soak
def test_in_a_thousand_days_of_random_work_nothing_active_is_stopped_and_nothing_idle_survives_a_run() -> None:
    for seed in range(3):
        fleet = simulate(verdict, 1000, seed=seed)
        assert violations(fleet) == []
        assert min(machine.stops for machine in fleet) > 300


def wrong(
    change: Callable[[Limits], Limits] = lambda limits: limits,
    forget: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda given: given,
) -> Rule:
    """The rule with one mistake: other limits, or tags that it does not see as they are."""
    return lambda given, started, now, limits: verdict(forget(given), started, now, change(limits))


A_MINUTE = datetime.timedelta(minutes=1)
MISTAKES: Mapping[str, Rule] = {
    "trusts old reports": wrong(lambda limits: Limits(limits.idle, datetime.timedelta(days=1))),
    "is a minute late": wrong(lambda limits: Limits(limits.idle + A_MINUTE, limits.report_age)),
    "is a minute early": wrong(lambda limits: Limits(limits.idle - A_MINUTE, limits.report_age)),
    "ignores the keep-alive tag": wrong(forget=lambda given: {ACTIVITY_TAG: given[ACTIVITY_TAG]}),
    "keeps for ever": wrong(forget=lambda given: {**given, **({KEEP_ALIVE_TAG: "true"} if len(given) > 1 else {})}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_simulation_finds_a_rule_that_is_wrong(mistake: str) -> None:
    # Given a rule with one mistake, When the same days are simulated, Then a violation shows
    assert violations(simulate(MISTAKES[mistake], 40, seed=7))
