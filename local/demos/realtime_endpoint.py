"""The demo of realtime-endpoint: an approval deploys a model, it answers, and it is replaced while requests go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local.demos import Demo, model_samples
from local.demos.drift_story import quiet
from local.demos.moving_clock import MovingClock, RealClock
from local.files import FileKind, printable
from scenarios import deliveries, model_monitor, realtime_endpoint, training_pipeline
from scenarios.deliveries import Calls
from scenarios.realtime_endpoint import Answer, NoPackageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.demos.drift_story import Chapters
    from local.screen import Screen
    from scenarios.cloud import Cloud

ROWS = 12_000
ASKED = 8
_SHOWN = 12
_FOLDER = model_samples.FOLDER / "asked"


@dataclass(frozen=True)
class _Pace:
    """A clock, and for how many seconds of this machine's an update and what was captured are waited for."""

    clock: MovingClock | RealClock
    update: float
    capture: float


# Captures are written minutes after the requests.
_REAL = _Pace(RealClock(), update=realtime_endpoint.PATIENCE_SECONDS, capture=600.0)


def _pace(cloud: LocalCloud) -> _Pace:
    return _Pace(MovingClock(cloud.control), update=120.0, capture=15.0) if cloud.clock_moves else _REAL


@dataclass
class Report:
    """What came of it so far; the rest is None. `training` is None, too, where an approved model was there.

    `rows` and `answers` belong together; `captured` are requests found in S3 after that.
    """

    training: training_pipeline.Report | None = None
    deployment: realtime_endpoint.Report | None = None
    rows: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    captured: int = 0
    update: realtime_endpoint.Report | None = None
    calls: Calls | None = None
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Whether the update was done, and no request failed."""
        return bool(self.update and self.update.complete and self.calls and not self.calls.failed)


class RealtimeEndpointDemo(Demo):
    """Asks about the user's deliveries, or the project's."""

    files = FileKind(
        "file of deliveries",
        "files of deliveries",
        (".csv",),
        lambda name: name.lower().endswith(".csv"),
        "asked about",
    )
    samples = _FOLDER
    doing = "Deploying a model and asking about {inputs}"
    done = "Deployed a model and asked about {inputs}"
    results = "answers"
    settings_in_real_time: ClassVar[Mapping[str, Any]] = {"bake_seconds": 10, "poll_seconds": 2}

    def sample_files(self) -> list[Path]:
        """Drawn now, without a header: as the model's columns are."""
        return [model_samples.write(_FOLDER, "deliveries.csv", ASKED, seed=31, labelled=False)]

    def drive(self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], screen: Screen) -> Report:
        return _run(cloud, dict(outputs), inputs, screen.step, _pace(cloud))

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return _run(cloud, dict(outputs), inputs, quiet(progress), _pace(cloud))

    def run_elsewhere(
        self, cloud: Cloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        """In real time, in which an update takes a quarter of an hour."""
        return _run(cloud, dict(outputs), inputs, quiet(progress), _REAL)

    def summary(self, report: Report) -> str:
        return report.reason or f"{len(report.answers)} answers"

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if report.reason:
            yield Text.assemble(("It ended early: ", "red"), report.reason)
        if report.answers:
            table = Table(
                title="Will it be claimed as spoiled?",
                title_justify="left",
                title_style="bold",
                box=box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII,
                expand=False,
                pad_edge=False,
                header_style="bold",
            )
            table.add_column("Delivery", overflow="fold")
            table.add_column("Chance", justify="right")
            table.add_column("")
            for row, answer in list(zip(report.rows, report.answers, strict=True))[:_SHOWN]:
                style = "red" if answer.decision else "green"
                told = "check it" if answer.decision else "let it go"
                table.add_row(Text(printable(row)), f"{answer.probability:.0%}", Text(told, style))
            yield table
            if len(report.answers) > _SHOWN:
                yield Text(f"... and {len(report.answers) - _SHOWN} more")
            yield Text(f"Requests found in S3 as they were captured: {report.captured}")
        if report.calls:
            calls = report.calls
            yield Text.assemble(
                f"{len(calls.seconds):,} requests while the model was replaced, ",
                (f"{calls.failed or 'none'} failed", "red" if calls.failed else "green"),
                f"; half within {1000 * calls.percentile(0.5):.0f} ms,"
                f" 99 of 100 within {1000 * calls.percentile(0.99):.0f} ms",
                *(f"\n{count} times: {reason}" for reason, count in calls.failures.items()),
            )

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The endpoint", "real processes that load the real model, and a blue/green update of them"),
            ("The update", "to the same package: it was rejected and approved again, which is an approval like any"),
            ("The update's wait", "the clock is moved, or alarms are watched for seconds; on AWS a quarter of an hour"),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        calls = report.calls
        answers = [
            {"delivery": row, "probability": round(answer.probability, 4), "decision": answer.decision}
            for row, answer in zip(report.rows, report.answers, strict=True)
        ]
        update = {
            "update": report.update.status if report.update else "NOT_STARTED",
            "answered": len(calls.seconds) if calls else 0,
            "failed": calls.failed if calls else 0,
            "p50_ms": round(1000 * calls.percentile(0.5), 1) if calls else None,
            "p99_ms": round(1000 * calls.percentile(0.99), 1) if calls else None,
            "captured": report.captured,
            "reason": report.reason,
        }
        return [*answers, update]


def _run(
    cloud: Cloud,
    serving: dict[str, str],
    inputs: Sequence[Path],
    chapters: Chapters,
    pace: _Pace,
) -> Report:
    report = Report()
    package = _package(cloud, serving, report, chapters)
    if not package:
        return report
    with chapters("Approving the model, which deploys it", "Approved the model, which deployed it") as chapter:
        with pace.clock.hurrying():
            report.deployment = _approve(cloud, serving, package, chapter.detail, pace)
        chapter.result = f"{report.deployment.status.lower()}"
        if not report.deployment.complete:
            report.reason = f"the model was not deployed: {report.deployment.reason}"
            return report
    with chapters("Asking it", "Asked it") as chapter:
        report.rows = tuple(
            line for path in inputs for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        )
        hour = pace.clock.hour()
        asked = deliveries.send(cloud, serving, report.rows, [0] * len(report.rows))
        report.answers = asked.answers
        wanted = {name for name, _ in asked.requests}
        report.captured = _captured(cloud, serving, hour, wanted, pace)
        chapter.result = f"{sum(answer.decision for answer in asked.answers)} of {len(asked.answers)} to check"
    with chapters("Replacing it while requests go on", "Replaced it while requests went on") as chapter:
        with pace.clock.hurrying(), deliveries.calling(cloud, serving, report.rows) as calls:
            report.calls = calls
            report.update = _approve(cloud, serving, package, chapter.detail, pace)
        report.reason = "" if report.update.complete else f"the update: {report.update.reason}"
        chapter.result = f"{len(calls.seconds):,} requests, {calls.failed} failed"
    return report


def _package(cloud: Cloud, serving: dict[str, str], report: Report, chapters: Chapters) -> str:
    """The newest package, trained now if there is none; empty if that came to nothing."""
    for status in ("PendingManualApproval", "Approved"):
        with suppress(NoPackageError):
            return realtime_endpoint.newest_package(cloud, serving, status)
    with chapters("Training a model", "Trained a model") as chapter:
        training = model_monitor.stack_outputs(cloud, serving["TrainingStackName"])
        data = model_samples.write(model_samples.FOLDER / "first", "deliveries.csv", ROWS, seed=1)
        report.training = training_pipeline.run(cloud, training, [data], chapter.detail)
        chapter.result = report.training.status.lower()
        if report.training.status != "REGISTERED":
            report.reason = f"no model was registered: {report.training.reason}"
    return report.training.package


def _approve(
    cloud: Cloud, serving: dict[str, str], package: str, progress: Callable[[str], None], pace: _Pace
) -> realtime_endpoint.Report:
    """Approving what is approved is no event: so it is rejected first."""
    sagemaker = cloud.client("sagemaker")
    if sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "Approved":
        sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    return realtime_endpoint.deploy(cloud, serving, package, progress, patience_seconds=pace.update)


def _captured(cloud: Cloud, serving: dict[str, str], hour: datetime, wanted: set[str], pace: _Pace) -> int:
    """How many of these requests lie in S3, after some seconds at most."""
    end = time.monotonic() + pace.capture
    while True:
        found = {one["eventMetadata"].get("inferenceId") for one in deliveries.captures(cloud, serving, hour)}
        if wanted <= found or time.monotonic() > end:
            return len(wanted & found)
        time.sleep(0.2)


DEMO = RealtimeEndpointDemo()
