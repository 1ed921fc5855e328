"""How an update of an endpoint goes: the steps in which traffic moves to the new fleet, and how long each is watched.

Pure: it knows shapes of requests and numbers, no clock and no process.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference: sizes, their bounds, defaults);
"Canary Traffic Shifting", "Linear Traffic Shifting" and "Automating Amazon SageMaker with Amazon EventBridge" (the
messages of `VariantStatus`), Amazon SageMaker Developer Guide, in its public source, which ends in 2023. Traffic
follows capacity: a canary of one of four instances gets a quarter. Rolling updates are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.services.sagemaker.records import invalid, unserved

ALL_AT_ONCE = "ALL_AT_ONCE"
_LARGEST_SHARE = 0.5
_SMALLEST_LINEAR_SHARE = 0.1


@dataclass(frozen=True)
class Step:
    """`active` instances of each new variant take traffic, in its order; then alarms are watched for `seconds`.

    `wait` is the setting that says how long; `capacity` is `canary`, `linear` or `full`, for the messages.
    """

    active: tuple[int, ...]
    seconds: int
    wait: str
    capacity: str

    def activating(self, variant: int) -> str:
        """The message while traffic is turned on."""
        return f"Activating traffic on {self.capacity} capacity of {self.active[variant]} instance(s)."

    def baking(self, variant: int) -> str:
        """The message while alarms are watched."""
        return (
            f"Baking for {self.seconds} seconds ({self.wait}) with traffic enabled on {self.capacity} capacity of"
            f" {self.active[variant]} instance(s)."
        )


@dataclass(frozen=True)
class Plan:
    """All steps of an update, the alarms that end it, and the time it may take at most, None for any."""

    steps: tuple[Step, ...]
    alarms: tuple[str, ...] = ()
    most_seconds: int | None = None


def plan(config: Mapping[str, Any] | None, counts: Sequence[int]) -> Plan:
    """The plan of a DeploymentConfig for new variants of these instance counts. Raises ServiceError."""
    given = config or {}
    if "RollingUpdatePolicy" in given:
        raise unserved("rolling updates; use a BlueGreenUpdatePolicy")
    alarms = tuple(one["AlarmName"] for one in given.get("AutoRollbackConfiguration", {}).get("Alarms", ()))
    policy = given.get("BlueGreenUpdatePolicy")
    if policy is None:
        return Plan((Step(tuple(counts), 0, "TerminationWaitInSeconds", "full"),), alarms)
    steps = _steps(policy, counts)
    most = policy.get("MaximumExecutionTimeoutInSeconds")
    waiting = sum(step.seconds for step in steps)
    if most is not None and most < waiting:
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds ({most}) must be larger than the {waiting} seconds that the deployment"
            " waits in all."
        )
    return Plan(steps, alarms, most)


def _steps(policy: Mapping[str, Any], counts: Sequence[int]) -> tuple[Step, ...]:
    routing = policy["TrafficRoutingConfiguration"]
    last = Step(tuple(counts), policy.get("TerminationWaitInSeconds", 0), "TerminationWaitInSeconds", "full")
    interval = routing["WaitIntervalInSeconds"]
    if routing["Type"] == ALL_AT_ONCE:
        return (last,)
    if routing["Type"] == "CANARY":
        sizes = _sizes(routing, "CanarySize", counts, 0.0)
        return Step(sizes, interval, "WaitIntervalInSeconds", "canary"), last
    sizes = _sizes(routing, "LinearStepSize", counts, _SMALLEST_LINEAR_SHARE)
    rounds = max(math.ceil(count / size) for count, size in zip(counts, sizes, strict=True))
    return (
        *(
            Step(
                tuple(min(count, size * number) for count, size in zip(counts, sizes, strict=True)),
                interval,
                "WaitIntervalInSeconds",
                "linear",
            )
            for number in range(1, rounds)
        ),
        last,
    )


def _sizes(routing: Mapping[str, Any], name: str, counts: Sequence[int], least: float) -> tuple[int, ...]:
    """Instances of each variant in one step."""
    if name not in routing:
        raise invalid(f"{routing['Type']} needs {name}.")
    kind, value = routing[name]["Type"], routing[name]["Value"]
    if kind == "CAPACITY_PERCENT":
        share = value / 100
        sizes = tuple(math.ceil(count * share) for count in counts)
    else:
        share = value / min(counts)
        sizes = (value,) * len(counts)
    if not least <= share <= _LARGEST_SHARE:
        bounds = f"{least:.0%} to 50%" if least else "at most 50%"
        raise invalid(f"{name} must be {bounds} of each variant's instances; {value} ({kind}) is not.")
    return sizes
