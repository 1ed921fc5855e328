"""The instances behind an endpoint: which of them takes a request, and how those that died are replaced.

Sources: the documentation in botocore's service model (API Reference of ProductionVariant: traffic by the ratio of a
variant's weight to the sum of all; of RoutingConfig: random, or the least outstanding requests), read 2026-11-27.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.services.sagemaker.capture import Capture
from local.services.sagemaker.containers import LogStream
from local.services.sagemaker.hosting import (
    INVOCATION_SECONDS,
    STARTUP_SECONDS,
    UNWELL,
    Instance,
    StartError,
    launch,
)
from local.services.sagemaker.models import Deployable

# Between attempts to replace an instance, doubled after each that fails.
_REPLACE_SECONDS = (1.0, 30.0)

_log = logging.getLogger(__name__)


class NoInstanceError(Exception):
    """Nothing is there to take a request. `str()` says why."""


@dataclass
class Fleet:
    """The instances of one variant under one configuration.

    `settings` is the variant of the configuration; `weight` and `desired` are what holds now; `status` is the
    VariantStatus of a deployment.
    """

    endpoint: str
    config: str
    settings: dict[str, Any]
    model: Deployable
    weight: float
    desired: int
    capture: Capture | None = None
    instances: list[Instance] = field(default_factory=list)
    status: dict[str, Any] | None = None
    retired: bool = False

    @property
    def variant(self) -> str:
        """The variant's name."""
        return str(self.settings["VariantName"])

    def log(self, identity: str) -> LogStream:
        """The stream that an instance's output goes to: `/aws/sagemaker/Endpoints/<endpoint>`."""
        group = f"/aws/sagemaker/Endpoints/{self.endpoint}"
        return LogStream(self.model.actor, group, f"{self.variant}/{identity}")

    def launch(self, count: int) -> list[Instance]:
        """Start instances side by side, none of them in service yet. Raises StartError when one of them fails."""
        if count <= 0:
            return []
        with ThreadPoolExecutor(min(count, os.cpu_count() or 1)) as pool:
            futures = [pool.submit(self._launch) for _ in range(count)]
        started, failed = [], None
        for future in futures:
            try:
                started.append(future.result())
            except StartError as error:  # noqa: PERF203 (those that did start must be known, to be ended)
                failed = error
        if failed is not None:
            for instance in started:
                instance.kill()
            raise failed
        return started

    def _launch(self) -> Instance:
        identity = f"i-{secrets.token_hex(8)}"
        seconds = self.settings.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        try:
            return launch(self.model.artefact, self.model.worker, self.log(identity), identity, seconds)
        except StartError as error:
            if str(error) != UNWELL:
                raise
            raise StartError(
                f"The primary container for production variant {self.variant} {UNWELL}. Please check CloudWatch logs"
                " for this endpoint."
            ) from error


@dataclass(frozen=True)
class Route:
    """A part of the traffic: a fleet, those of its instances that take part, and its share of all requests."""

    fleet: Fleet
    instances: tuple[Instance, ...]
    share: float


def routes(fleets: Sequence[Fleet], share: float, active: Sequence[int] | None = None) -> tuple[Route, ...]:
    """A side's traffic, `share` of all, by the variants' weights; the first `active` instances of each take it."""
    total = sum(fleet.weight for fleet in fleets)
    counts = active if active is not None else [len(fleet.instances) for fleet in fleets]
    return tuple(
        Route(fleet, tuple(fleet.instances[:count]), share * fleet.weight / total if total else 0.0)
        for fleet, count in zip(fleets, counts, strict=True)
    )


class Traffic:
    """Who takes a request of one endpoint. Safe in threads; a change holds for the next request."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._routes: tuple[Route, ...] = ()

    @property
    def open(self) -> bool:
        """Whether there is anybody to take a request."""
        return bool(self._routes)

    def turn(self, new: tuple[Route, ...]) -> None:
        """Send the next requests this way."""
        with self._free:
            self._routes = new

    def drop(self, instance: Instance) -> None:
        """Send nothing more to an instance."""
        with self._free:
            self._routes = tuple(
                Route(route.fleet, tuple(one for one in route.instances if one is not instance), route.share)
                for route in self._routes
            )

    @contextmanager
    def taken(self, variant: str | None, tried: Sequence[Instance]) -> Iterator[tuple[Route, Instance]]:
        """An instance for one request, of any variant or of one, and none of those `tried`. Raises NoInstanceError."""
        with self._free:
            route, instance = self._pick(variant, tried)
            instance.outstanding += 1
        try:
            yield route, instance
        finally:
            with self._free:
                instance.outstanding -= 1
                self._free.notify_all()

    def _pick(self, variant: str | None, tried: Sequence[Instance]) -> tuple[Route, Instance]:
        named = [route for route in self._routes if variant in (None, route.fleet.variant)]
        if not named:
            raise NoInstanceError(f"There is no variant {variant}.")
        able = [(route, [one for one in route.instances if one not in tried]) for route in named]
        able = [(route, instances) for route, instances in able if instances]
        weights = [route.share for route, _ in able]
        if variant is not None and not any(weights):
            # A variant without weight can still be asked for.
            weights = [1.0] * len(able)
        if not able or not any(weights):
            raise NoInstanceError("No instance is in service.")
        route, instances = random.choices(able, weights)[0]  # noqa: S311 (spreads load, no secret)
        strategy = route.fleet.settings.get("RoutingConfig", {}).get("RoutingStrategy")
        if strategy == "LEAST_OUTSTANDING_REQUESTS":
            least = min(one.outstanding for one in instances)
            instances = [one for one in instances if one.outstanding == least]
        return route, random.choice(instances)  # noqa: S311

    def drain(self, instances: Sequence[Instance], seconds: float = INVOCATION_SECONDS) -> None:
        """Wait until these, which get nothing new any more, have answered what they have."""
        with self._free:
            self._free.wait_for(lambda: not any(one.outstanding for one in instances), seconds)


def refill(fleet: Fleet, wanted: Callable[[], bool], arrived: Callable[[Instance], None]) -> None:
    """Replace what a fleet has lost, as long as it is `wanted`; each new instance is told to `arrived`."""
    pause, longest = _REPLACE_SECONDS
    while wanted():
        try:
            (instance,) = fleet.launch(1)
        except StartError as error:
            _log.warning("An instance of %s/%s could not be replaced: %s", fleet.endpoint, fleet.variant, error)
            time.sleep(pause)
            pause = min(2 * pause, longest)
            continue
        arrived(instance)
