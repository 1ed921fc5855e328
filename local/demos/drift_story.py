"""The story of a model: trained, deployed by its approval, watched, found wrong, trained anew, and replaced.

All that happens, happens in the three stacks and by their own events; this module does what people would do: it uploads
data, approves models, and asks the endpoint about deliveries. And it moves the cloud's clock, which nobody can do on
AWS: there the same takes a day and a half.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from local.demos.moving_clock import MovingClock
from scenarios import deliveries, model_monitor, realtime_endpoint, training_pipeline
from scenarios.deliveries import NOTHING, Asked, Calls
from scenarios.model_monitor import Verdict

if TYPE_CHECKING:
    from local.cloud import LocalCloud

World = Literal["usual", "changed"]

PATIENCE_SECONDS = 120.0
# By which models are compared, each 0 to 1.
MEASURES = {"pr_auc": "PR AUC", "f1": "F1", "recall": "recall", "precision": "precision"}
_LOOK_SECONDS = 0.1


class Chapter(Protocol):
    """A part of the story that is going on."""

    result: str

    def detail(self, message: str) -> None:
        """How far it is."""


# `doing` and `done`, as `Screen.step` takes them.
Chapters = Callable[[str, str], AbstractContextManager[Chapter]]


class StoryEndedError(Exception):
    """It did not go as it should. `str()` says where, and what was there instead."""


@dataclass(frozen=True)
class Choices:
    """How long the story is: hours of usual traffic, deliveries an hour, and those asked about before and after.

    `training_rows` is what each training learns from.
    """

    hours: int = 24
    an_hour: int = 300
    compared: int = 3000
    training_rows: int = 12_000
    # The changed world is seen at latest after so many hours, or something is wrong.
    most_hours: int = 6


@dataclass(frozen=True)
class Hour:
    """An hour of traffic and what the monitor said of it. `alarm` is the drift alarm's state after that."""

    world: World
    verdict: Verdict
    alarm: str

    @property
    def distances(self) -> dict[str, float]:
        """How far each feature is from the training data, 0 to 1, and the model's probability too."""
        drift = self.verdict.drift
        told = [*drift.get("features", []), *filter(None, [drift.get("prediction")])]
        return {one["name"]: float(one["distance"]) for one in told if one["distance"] is not None}

    @property
    def drifted(self) -> list[str]:
        """The features with a violation, in the model's order."""
        found = self.verdict.features
        return [name for name in dict.fromkeys([*self.distances, *sorted(found)]) if name in found]

    @property
    def quality(self) -> Mapping[str, float]:
        """How good predictions were whose labels arrived in this hour; empty where none did."""
        return (self.verdict.drift.get("quality") or {}).get("measured") or {}


@dataclass
class Report:
    """What came of the story so far; the rest is None. `reason` says why it ended early."""

    first: training_pipeline.Report | None = None
    first_deployment: realtime_endpoint.Report | None = None
    hours: list[Hour] = field(default_factory=list)
    usual: Asked = NOTHING
    alarm_raised: datetime | None = None
    second: training_pipeline.Report | None = None
    second_deployment: realtime_endpoint.Report | None = None
    calls: Calls | None = None
    # The same deliveries of the changed world, asked of the old model and of the new one.
    before: Asked = NOTHING
    after: Asked = NOTHING
    alarm_cleared: datetime | None = None
    reason: str = ""
    pictures: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether it came to its end: the alarm is over, with a new model in production and no request failed."""
        return self.alarm_cleared is not None and self.calls is not None and not self.calls.failed

    def of(self, world: World, *, renewed: bool = False) -> list[Hour]:
        """The hours of a world, those before the new model or after it."""
        raised = [at for at, hour in enumerate(self.hours) if hour.world == "changed" and hour.alarm == "ALARM"]
        until = raised[0] + 1 if raised else len(self.hours)
        return [hour for hour in (self.hours[until:] if renewed else self.hours[:until]) if hour.world == world]


class Story:
    """Tells it on one cloud. `outputs` are those of model-monitor."""

    def __init__(
        self, cloud: LocalCloud, outputs: Mapping[str, str], chapters: Chapters, choices: Choices | None = None
    ) -> None:
        self.cloud = cloud
        self.monitor = dict(outputs)
        self.training = model_monitor.stack_outputs(cloud, outputs["TrainingStackName"])
        self.serving = model_monitor.stack_outputs(cloud, outputs["EndpointStackName"])
        self.chapters = chapters
        self.choices = choices or Choices()
        self.clock = MovingClock(cloud.control)
        self.report = Report()
        self._seed = 100
        self._data: list[str] = []
        # The hour whose job runs while the next hour's traffic is sent.
        self._open: tuple[World, datetime] | None = None

    def tell(self, first_data: Sequence[Path]) -> Report:
        """From the first data to the end of the alarm. It takes its data away again; models and reports stay.

        Without data it begins with the model that is in production.
        """
        try:
            if first_data:
                self._train_first(first_data)
                self._deploy_first()
            self._usual_day()
            self._changed_world()
            self._retrain()
            self._replace()
            self._calm_down()
        except StoryEndedError as error:
            self.report.reason = str(error)
        finally:
            self._take_data_away()
        return self.report

    # --- the chapters

    def _train_first(self, files: Sequence[Path]) -> None:
        with self.chapters("Training a first model", "Trained a first model") as chapter:
            before = training_pipeline.executions(self.cloud, self.training)
            self._put_data({path.stem: path.read_bytes() for path in files}, ready=True)
            self.report.first = self._followed(before, chapter)
            chapter.result = _trained(self.report.first)
            _expect(self.report.first.status == "REGISTERED", f"no model was registered: {self.report.first.reason}")

    def _deploy_first(self) -> None:
        with self.chapters("Approving it, which deploys it", "Approved it, which deployed it") as chapter:
            assert self.report.first
            with self.clock.hurrying():
                deployed = realtime_endpoint.deploy(
                    self.cloud,
                    self.serving,
                    self.report.first.package,
                    chapter.detail,
                    patience_seconds=PATIENCE_SECONDS,
                )
            self.report.first_deployment = deployed
            _expect(deployed.complete, f"the model was not deployed: {deployed.reason}")
            chapter.result = "the endpoint is in service"

    def _usual_day(self) -> None:
        choices = self.choices
        doing = f"Sending {choices.hours} hours of usual traffic"
        with self.chapters(doing, f"Sent {choices.hours} hours of usual traffic") as chapter:
            hour = self.clock.to_half_past_next()
            for number in range(choices.hours):
                asked = self._ask("usual", choices.an_hour)
                self.report.usual += asked
                if number == choices.hours - 1:
                    deliveries.tell_claims(self.cloud, self.monitor, self.report.usual, self.clock.now())
                hour = self._next_hour("usual", hour, asked, chapter)
            self._close_hour(chapter)
            found = sum(bool(one.verdict.violations) for one in self.report.hours)
            told = "none with a violation" if not found else f"{found} with a violation"
            chapter.result = f"{choices.hours} hours judged, {told}"
            _expect(self._alarm() != "ALARM", "the alarm was raised by usual traffic")

    def _changed_world(self) -> None:
        """Prices rise, a category is new, a sensor hangs. Labelled data of that world come in beside the traffic."""
        choices = self.choices
        with self.chapters("Changing the world", "Changed the world") as chapter:
            self._executions = training_pipeline.executions(self.cloud, self.training)
            self._take_data_away()
            self._put_data({"changed": self._labelled(choices.training_rows, "changed")}, ready=False)
            hour = self.clock.hour()
            self.report.before = asked = self._ask("changed", choices.compared)
            for _ in range(choices.most_hours):
                hour = self._next_hour("changed", hour, asked, chapter)
                if len(self.report.of("changed")) == 0:
                    # What was claimed of the first hour is known in the second.
                    deliveries.tell_claims(self.cloud, self.monitor, self.report.before, self.clock.now())
                asked = self._ask("changed", choices.an_hour)
                self._close_hour(chapter)
                if self.report.hours[-1].alarm == "ALARM":
                    break
            last = self.report.hours[-1]
            _expect(last.alarm == "ALARM", f"no alarm after {choices.most_hours} hours of the changed world")
            self.report.alarm_raised = self.clock.now()
            # Of the present hour there is traffic already, and the update's comes to it.
            self._present = hour
            chapter.result = f"alarm after {len(self.report.of('changed'))} hours: {', '.join(last.drifted)}"

    def _retrain(self) -> None:
        with self.chapters("The alarm starts the pipeline", "The alarm started the pipeline") as chapter:
            self.report.second = self._followed(self._executions, chapter)
            chapter.result = _trained(self.report.second)
            _expect(self.report.second.status == "REGISTERED", f"the new model: {self.report.second.reason}")

    def _replace(self) -> None:
        with self.chapters("Approving the new model, while requests go on", "Replaced the model") as chapter:
            assert self.report.second
            rows, _ = self._drawn(500, "changed")
            with self.clock.hurrying(), deliveries.calling(self.cloud, self.serving, rows) as calls:
                self.report.calls = calls
                deployed = realtime_endpoint.deploy(
                    self.cloud,
                    self.serving,
                    self.report.second.package,
                    chapter.detail,
                    patience_seconds=PATIENCE_SECONDS,
                )
            self.report.second_deployment = deployed
            _expect(deployed.complete, f"the new model was not deployed: {deployed.reason}")
            chapter.result = f"{len(calls.seconds):,} requests meanwhile, {calls.failed} failed"
            before = self.report.before
            self.report.after = deliveries.send(
                self.cloud, self.serving, before.deliveries, before.claimed, parcels=_COMPARED_A_REQUEST
            )

    def _calm_down(self) -> None:
        """What came of it: the same world, judged by the new model's baseline, until the alarm is over."""
        with self.chapters("Sending traffic to the new model", "Sent traffic to the new model") as chapter:
            # Of the hour of the update, too: the new model was asked in it, and the old one before.
            hour, asked, count = self._present, self.report.after, len(self.report.hours)
            for _ in range(self.choices.most_hours):
                hour = self._next_hour("changed", hour, asked, chapter)
                asked = self._ask("changed", self.choices.an_hour)
                self._close_hour(chapter)
                if self.report.hours[-1].alarm == "OK":
                    break
            _expect(self.report.hours[-1].alarm == "OK", "the alarm goes on with the new model")
            self.report.alarm_cleared = self.clock.now()
            chapter.result = f"the alarm is over after {len(self.report.hours) - count} hours"

    # --- hours

    def _next_hour(self, world: World, hour: datetime, asked: Asked, chapter: Chapter) -> datetime:
        """Waits until this hour's captures lie in S3 and the hour before is judged, and goes to the next.

        The schedule's time, some minutes after each hour, is passed on the way: so it calls the monitor.
        """
        wanted = {name for name, _ in asked.requests}
        read: dict[str, list[dict[str, Any]]] = {}
        self._until(
            lambda: wanted <= {one["eventMetadata"].get("inferenceId") for one in self._captured(hour, read)},
            f"the captures of {hour:%H:%M} are not in S3",
        )
        self._close_hour(chapter)
        self._open = world, hour
        return self.clock.to_half_past_next()

    def _captured(self, hour: datetime, read: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
        return deliveries.captures(self.cloud, self.serving, hour, read)

    def _close_hour(self, chapter: Chapter) -> None:
        """Waits for the verdict of the hour before, and for its metrics, which belong to the present hour."""
        if self._open is None:
            return
        (world, hour), self._open = self._open, None
        job = self._until(
            lambda: model_monitor.job_of(self.cloud, self.monitor, hour), f"no job was started for {hour:%H:%M}"
        )
        verdict = model_monitor.follow(self.cloud, self.monitor, hour, job, patience_seconds=PATIENCE_SECONDS)
        _expect(verdict.status == "JUDGED", f"{job} {verdict.status.lower()}: {verdict.reason}")
        since = self.clock.hour()
        self._until(
            lambda: model_monitor.metric(self.cloud, self.monitor, "Violations", since),
            f"no metrics were published of {job}",
        )
        # An alarm is evaluated every minute.
        self.clock.advance(60)
        self.cloud.control.evaluate_alarms()
        self.report.hours.append(Hour(world, verdict, self._alarm()))
        found = ", ".join(self.report.hours[-1].drifted) or "as in training"
        chapter.detail(f"{hour:%a %H:%M}, {verdict.drift['window']['rows']} deliveries: {found}")

    def _alarm(self) -> str:
        name = self.monitor["DriftAlarmName"]
        (alarm,) = self.cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(alarm["StateValue"])

    def _ask(self, world: World, count: int) -> Asked:
        rows, claimed = self._drawn(count, world)
        parcels = deliveries.PARCELS_A_REQUEST if count <= self.choices.an_hour else _COMPARED_A_REQUEST
        return deliveries.send(self.cloud, self.serving, rows, claimed, parcels=parcels)

    # --- data

    def _drawn(self, count: int, world: World) -> tuple[list[str], list[int]]:
        """New deliveries, and which of them will be claimed. No two draws of a story are the same."""
        from pipelines.deliveries import world as shop

        self._seed += 1
        frame = shop.draw(count, self._seed, shifted=world == "changed")
        rows = frame[list(shop.FEATURES)].to_csv(index=False, header=False).splitlines()
        return rows, [int(label) for label in frame[shop.LABEL]]

    def _labelled(self, count: int, world: World) -> bytes:
        from pipelines.deliveries import world as shop

        self._seed += 1
        return bytes(shop.draw(count, self._seed, shifted=world == "changed").to_csv(index=False).encode())

    def _put_data(self, files: Mapping[str, bytes], *, ready: bool) -> None:
        named = {f"{name}-{uuid.uuid4().hex[:8]}.csv": content for name, content in files.items()}
        self._data += named
        training_pipeline.upload(self.cloud, self.training, named, ready=ready)

    def _take_data_away(self) -> None:
        """The oldest data leave: a training reads all that is there, and the monitor's baseline is made of it."""
        s3 = self.cloud.client("s3")
        for name in self._data:
            s3.delete_object(Bucket=self.training["BucketName"], Key=f"{self.training['DataPrefix']}{name}")
        self._data.clear()

    # --- helpers

    def _followed(self, before: set[str], chapter: Chapter) -> training_pipeline.Report:
        return training_pipeline.follow(
            self.cloud, self.training, before, chapter.detail, patience_seconds=PATIENCE_SECONDS
        )

    def _until(self, look: Callable[[], Any], otherwise: str) -> Any:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            if time.monotonic() > end:
                raise StoryEndedError(otherwise)
            time.sleep(_LOOK_SECONDS)
        return found


_COMPARED_A_REQUEST = 250


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StoryEndedError(otherwise)


def _trained(report: training_pipeline.Report) -> str:
    """ "PR AUC 0.56, in production 0.38"."""
    if not report.evaluation:
        return report.status.lower()
    chosen = report.evaluation["selection"]
    name = str(chosen["metric"]).replace("_", " ").upper()
    beside = f", the one in production {chosen['to_beat']:.3f}" if chosen["production_model"] else ""
    return f"{name} {chosen['value']:.3f}{beside}"


def measures(asked: Asked) -> dict[str, float]:
    """How good answers were, by the truth: PR AUC, F1, recall, precision, each 0 to 1; empty if nothing was asked."""
    if not asked.answers:
        return {}
    import numpy as np

    from pipelines.monitoring.quality import Judged

    judged = Judged(
        np.array([answer.probability for answer in asked.answers]),
        np.array([float(answer.decision) for answer in asked.answers]),
        np.array([float(label) for label in asked.claimed]),
    )
    told = judged.measures()
    return {name: float(told[name] or 0.0) for name in MEASURES}


def quiet(progress: Callable[[str], None]) -> Chapters:
    """Chapters for who shows nothing but the progress."""

    @contextmanager
    def chapter(_doing: str, _done: str) -> Iterator[Chapter]:
        yield _Quiet(progress)

    return chapter


class _Quiet:
    def __init__(self, progress: Callable[[str], None]) -> None:
        self.result = ""
        self._progress = progress

    def detail(self, message: str) -> None:
        self._progress(message)
