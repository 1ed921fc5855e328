"""A few sentences about a call, for somebody who listens to them instead of reading the report.

English, from numbers and the names of the hotels: nothing that was said is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Between what is called well-disposed and what ill-disposed.
CLEAR = 0.2


def summary(report: Mapping[str, Any]) -> str:
    """What is to be spoken: some 400 characters at most, whatever the length of the call."""
    if not report["turns"]:
        return "Nobody speaks in this call."
    sentences = [f"A call of {_duration(float(report['seconds']))}, with {_speakers(report['talk_shares'])}."]
    if hotels := report["hotels"]:
        sentences.append(f"It is about {_listed(hotels[:3])}.")
    if report["tone"] is not None:
        sentences.append(f"On the whole it is {_disposed(float(report['tone']))}.")
    heard = [part["tone"] for part in report["course"] if part["tone"] is not None]
    if len(heard) > 1:
        first, last = _disposed(float(heard[0])), _disposed(float(heard[-1]))
        sentences.append(
            f"It is {first} from beginning to end." if first == last else f"It begins {first} and ends {last}."
        )
    return " ".join(sentences)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    parts = [_counted(minutes, "minute")] if minutes else []
    parts += [_counted(rest, "second")] if rest or not minutes else []
    return " and ".join(parts)


def _speakers(shares: Mapping[str, float]) -> str:
    if len(shares) == 1:
        return "one speaker"
    most = max(shares.values())
    return f"{len(shares)} speakers, one of whom speaks {round(100 * most)} percent of the time"


def _disposed(tone: float) -> str:
    if tone > CLEAR:
        return "friendly"
    return "unfriendly" if tone < -CLEAR else "neutral"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
