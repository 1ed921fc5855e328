"""What counts as idle: the rules one by one, and as a property over days of random work."""

from __future__ import annotations

import bisect
import datetime
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
# As deployed, which a test of the stack holds true.
LIMITS = Limits(idle=datetime.timedelta(minutes=60), report_age=datetime.timedelta(minutes=5))
Rule = Callable[[Mapping[str, str], datetime.datetime, datetime.datetime, datetime.datetime, Limits], Verdict]


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
        (tags(300, 401), "idle"),
        (tags(401, 401), "active"),
        (tags(300, 399), "due"),
        (tags(300, 395), "due"),
        (tags(341, 399), "active"),
        (tags(300, 394), "silent"),
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
    assert verdict(given, at(0), at(400), at(400), LIMITS) == expected


def test_a_run_that_comes_late_wants_a_report_from_after_it_began() -> None:
    # Given a run that was planned for minute 400 and began at 402, When the report is from between, Then it waits
    assert verdict(tags(300, 401), at(0), at(400), at(402), LIMITS) == "due"
    assert verdict(tags(300, 402), at(0), at(400), at(402), LIMITS) == "idle"
    # and idle is what was idle at the time for which the run was planned
    assert verdict(tags(341, 402), at(0), at(400), at(402), LIMITS) == "active"


def test_a_machine_that_has_just_started_is_active_whatever_its_tag_says_of_the_time_before() -> None:
    # Given a tag from yesterday, When the machine has run for less than the limit, Then it is active
    assert verdict(tags(-1000, -900), at(0), at(59), at(59), LIMITS) == "active"
    # When it has run for longer and nobody reports, Then it is not stopped either
    assert verdict(tags(-1000, -900), at(0), at(60), at(60), LIMITS) == "silent"


def test_a_report_says_its_moments_in_utc_and_is_read_back() -> None:
    # Given a moment of another zone, When it is written, Then the tag's value has letters that a tag may have
    local = at(0).astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert report(local, at(1)) == "active=2026-11-27T00:00:00Z reported=2026-11-27T00:01:00Z"
    assert moment("2026-11-27T00:00:00Z") == at(0)
    assert moment("2026-11-27") is None


# --- Over days of random work ----------------------------------------------------------------------------------------

DAY, HOUR = 86_400, 3_600
# As deployed, which tests of the stack and of the function hold true.
RUN_EVERY, WAIT, POLL = 900, 135, 3
# What a report takes to arrive, at most, and a look at the tag and the stop after it.
ARRIVES, STOPS = 4, 2


def second(number: int) -> datetime.datetime:
    """So many seconds after the start."""
    return START + datetime.timedelta(seconds=number)


@dataclass
class Machine:
    """A machine in a simulation, whose script reports each minute. Times are seconds."""

    chance: random.Random
    work: list[int]
    started: int | None = None
    worked_on: int = 0
    kept_until: int = -1
    script_down_until: int = -1
    stops: int = 0
    raced: int = 0
    violations: list[str] = field(default_factory=list)
    reports: dict[int, tuple[int, int] | None] = field(default_factory=dict)

    def used(self, until: int) -> int:
        """When somebody last used it, until then; long ago if nobody ever did."""
        place = bisect.bisect_right(self.work, until)
        return self.work[place - 1] if place else -DAY

    def report(self, minute: int) -> tuple[int, int] | None:
        """When the script looked in this minute, and when the tag was written; None if that was lost."""
        if minute not in self.reports:
            looked = minute * 60 + self.chance.randrange(3)
            lost = looked <= self.script_down_until or self.chance.random() < 0.02
            self.reports[minute] = None if lost else (looked, looked + self.chance.randrange(1, ARRIVES + 1))
        return self.reports[minute]

    def heard(self, now: int) -> int | None:
        """When the script looked, of the last report that has arrived within two hours."""
        for minute in range(now // 60, now // 60 - 120, -1):
            found = self.report(minute)
            if found is not None and found[1] <= now:
                return found[0]
        return None


def simulate(rule: Rule, days: int, seed: int, *, machines: int = 4) -> list[Machine]:
    """Lets people work at random, has their machines report each minute, and runs the guard, to the second.

    Half of the pauses are about as long as the limit, so that people come back just when a run looks. Somebody who
    comes to a machine that is stopped starts it. A run begins up to a minute after the time for which it was planned,
    one of fifty reports is lost, and now and then a script is down for hours. What must never be, by what really
    happened, is noted as a violation: a stop within the limit; an idle machine left alone although its script was up
    for the last five minutes and told of it while the run waited.
    """
    chance = random.Random(seed)
    fleet = [Machine(random.Random(chance.random()), _work(chance, days)) for _ in range(machines)]
    for planned in range(0, days * DAY, RUN_EVERY):
        for machine in fleet:
            _run(machine, planned, rule)
    return fleet


def _work(chance: random.Random, days: int) -> list[int]:
    """The seconds at which somebody works: sessions with pauses, some of them by night."""
    found: set[int] = set()
    for day in range(days):
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            second = day * DAY + chance.randrange(DAY)
            for _ in range(chance.randrange(1, 25)):
                found.add(second)
                second += chance.randrange(30, 1800) if chance.random() < 0.5 else chance.randrange(3300, 4500)
    return sorted(found)


def _run(machine: Machine, planned: int, rule: Rule) -> None:
    chance = machine.chance
    if chance.random() < 0.002:
        machine.script_down_until = planned + chance.randrange(10 * HOUR)
    if chance.random() < 0.005:
        machine.kept_until = planned // DAY + chance.randrange(3)
    begun = planned + (chance.randrange(60) if chance.random() < 0.3 else 1)
    now, deadline = begun + 1, begun + WAIT
    machine.reports = {minute: one for minute, one in machine.reports.items() if minute > planned // 60 - 120}
    if machine.started is None:
        place = bisect.bisect_right(machine.work, machine.worked_on)
        if place == len(machine.work) or machine.work[place] > now:
            return
        machine.started = machine.work[place]
    keep_alive = at(machine.kept_until * 1440).date().isoformat() if machine.kept_until >= 0 else None
    while True:
        heard = machine.heard(now)
        given = {} if keep_alive is None else {KEEP_ALIVE_TAG: keep_alive}
        if heard is not None:
            given[ACTIVITY_TAG] = report(second(machine.used(heard)), second(heard))
        found = rule(given, second(machine.started), second(planned), second(begun), LIMITS)
        if found != "due" or now > deadline:
            break
        now += POLL
    kept = machine.kept_until >= planned // DAY
    if found == "idle":
        assert heard is not None
        _stop(machine, planned, now + chance.randrange(STOPS + 1), heard, kept=kept)
        return
    unused = planned - max(machine.started, machine.used(deadline))
    heard = machine.heard(deadline)
    reporting = machine.script_down_until < begun - 300 and heard is not None and heard >= begun
    if unused >= HOUR and not kept and (found not in ("silent", "due") or reporting):
        machine.violations.append(f"second {planned}: idle for {unused} seconds, and left as {found}")


def _stop(machine: Machine, planned: int, now: int, heard: int, *, kept: bool) -> None:
    """Notes what is wrong with a stop at `now`, on a report of what had been until `heard`."""
    assert machine.started is not None
    if kept:
        machine.violations.append(f"second {planned}: stopped, though it is to be kept")
    if planned - max(machine.started, machine.used(planned)) < HOUR:
        machine.violations.append(f"second {planned}: stopped, though it was in use within the limit")
    if machine.used(now) > planned:
        machine.raced += 1
        if machine.used(now) <= heard or now - heard > ARRIVES + POLL + STOPS:
            machine.violations.append(f"second {planned}: stopped, though somebody was back {now - heard} seconds")
    machine.started, machine.worked_on, machine.stops = None, now, machine.stops + 1


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
        # Who comes back in the seconds after the last report is not seen: few, but some.
        assert 0 < sum(machine.raced for machine in fleet) < sum(machine.stops for machine in fleet) / 100


def wrong(
    change: Callable[[Limits], Limits] = lambda limits: limits,
    forget: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda given: given,
    sooner: datetime.timedelta = datetime.timedelta(0),
) -> Rule:
    """The rule with one mistake: other limits, tags that it does not see as they are, reports that are too old."""
    return lambda given, started, planned, since, limits: verdict(
        forget(given), started, planned, since - sooner, change(limits)
    )


def impatient(*asked: Any) -> Verdict:
    """The rule of somebody who waits for no report."""
    found = verdict(*asked)
    return "silent" if found == "due" else found


A_MINUTE = datetime.timedelta(minutes=1)
MISTAKES: Mapping[str, Rule] = {
    "trusts old reports": wrong(sooner=datetime.timedelta(days=1)),
    "trusts a report of two minutes ago": wrong(sooner=2 * A_MINUTE),
    "waits for no report": impatient,
    "is a minute late": wrong(lambda limits: Limits(limits.idle + A_MINUTE, limits.report_age)),
    "is a minute early": wrong(lambda limits: Limits(limits.idle - A_MINUTE, limits.report_age)),
    "ignores the keep-alive tag": wrong(forget=lambda given: {k: v for k, v in given.items() if k == ACTIVITY_TAG}),
    "keeps for ever": wrong(forget=lambda given: {**given, **({KEEP_ALIVE_TAG: "true"} if len(given) > 1 else {})}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_simulation_finds_a_rule_that_is_wrong(mistake: str) -> None:
    # Given a rule with one mistake, When the same days are simulated, Then a violation shows
    assert violations(simulate(MISTAKES[mistake], 40, seed=7))
