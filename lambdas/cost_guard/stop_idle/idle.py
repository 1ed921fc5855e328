"""When a notebook or an app counts as idle: pure rules over its tags and two moments.

What happens inside is known by a tag that a script on the machine writes, once a minute: `cost-guard:activity` with the
value `active=2026-11-27T10:00:00Z reported=2026-11-27T11:05:00Z`. `active` is when its Jupyter last saw somebody or
something at work, `reported` when the script looked. No report of AWS's own would do: a notebook instance has none, and
the `LastUserActivityTimestamp` of a Studio app is moved by health checks without any user (documentation of DescribeApp
in botocore's service model, read 2026-11-27).

A report knows nothing of what came after it. So a machine is stopped only on a report that was written since the run
began, which is worth waiting for: `due`.

The tag `cost-guard:keep-alive` keeps a machine: `true` for ever, a date (`2026-12-24`) to the end of that day in UTC.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ACTIVITY_TAG = "cost-guard:activity"
KEEP_ALIVE_TAG = "cost-guard:keep-alive"

# active: used within the limit. idle: to be stopped. due: it looks idle, by a report from before the run; the next one
# decides. kept: by its tag. silent: unused as far as is known, but nobody reports, so it is not stopped. unclear: its
# keep-alive tag cannot be read, so it is not stopped.
Verdict = Literal["active", "idle", "due", "kept", "silent", "unclear"]

_REPORT = re.compile(r"active=(\S+) reported=(\S+)")


@dataclass(frozen=True)
class Limits:
    """After how long somebody's machine is idle, and how old a report may be for another to be waited for."""

    idle: datetime.timedelta
    report_age: datetime.timedelta


def moment(text: str) -> datetime.datetime | None:
    """A time of ISO 8601 with its zone, or None for anything else."""
    # Python 3.10 does not know the Z.
    try:
        found = datetime.datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def report(active: datetime.datetime, reported: datetime.datetime) -> str:
    """The value of the activity tag."""
    return f"active={_shown(active)} reported={_shown(reported)}"


def _shown(when: datetime.datetime) -> str:
    return when.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def verdict(
    tags: Mapping[str, str],
    started: datetime.datetime,
    planned: datetime.datetime,
    since: datetime.datetime,
    limits: Limits,
) -> Verdict:
    """What is to be done with a machine that has run since `started`.

    It counts what was at `planned`, for which the run was planned, and who came back after it. Only a report from
    `since` on, when the run began, can make a machine idle: what nobody looks at may be at work. A machine that has
    just started is active, whatever its tag says of the time before.
    """
    if KEEP_ALIVE_TAG in tags:
        kept = _kept(tags[KEEP_ALIVE_TAG], planned)
        if kept is None:
            return "unclear"
        if kept:
            return "kept"
    found = _REPORT.fullmatch(tags.get(ACTIVITY_TAG, ""))
    active, reported = (moment(found[1]), moment(found[2])) if found else (None, None)
    if planned - max(started, active or started) < limits.idle:
        return "active"
    if active is None or reported is None or since - reported > limits.report_age:
        return "silent"
    return "idle" if reported >= since else "due"


def _kept(value: str, now: datetime.datetime) -> bool | None:
    """Whether the tag keeps it still; None for what is neither `true` nor a date."""
    if value.strip().casefold() == "true":
        return True
    try:
        last = datetime.date.fromisoformat(value.strip())
    except ValueError:
        return None
    return now.astimezone(datetime.timezone.utc).date() <= last
