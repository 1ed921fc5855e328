"""The embedded cloud beside a LocalStack core: one stack, one scenario, one run.

Figures and no bar: neither cloud is held to the other. What each does not do is told beside, for a cloud that does less
has less to do.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.table import Table

from bench.image_labeling import ARCHITECTURE, PHOTO_SUFFIXES, PHOTOS, through
from bench.measure import resident_megabytes, stopwatch
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.localstack.cloud import LocalStack
from scenarios import image_labeling

MOST_IMAGES = 100
# The embedded cloud first; it is the one that is measured everywhere else.
CLOUDS: tuple[type[LocalCloud], ...] = (LocalCloud, LocalStack)

# What one does and the other does not, as far as this stack has to do with it.
DIFFERENCES = (
    ("requests are authorised", "yes, and recorded", "no"),
    ("what services do is authorised", "yes, and recorded", "no"),
    ("transport", "HTTPS, plain HTTP refused where a policy says so", "HTTP"),
    ("alarms of queues' age and depth", "evaluated, and a clock to move", "by its own scheduler, in real time"),
    ("faults on demand", "of every service", "of the project's own services"),
    ("traces", "X-Ray", "none"),
    ("changed by this project", "hooked in many places", "mended in few; CloudFormation waits 0.25 s, not 5"),
)


@dataclass(frozen=True)
class Run:
    """What was measured on one cloud: seconds, and resident megabytes of all its processes, models included."""

    name: str
    start: float
    deploy: float
    scenario: float
    images: float
    destroy: float
    stop: float
    idle: float
    deployed: float
    busy: float
    rows: int


@dataclass(frozen=True)
class Figures:
    """Both clouds, with as many images each."""

    runs: tuple[Run, ...]
    images: int

    def missed(self) -> list[str]:
        """An image that is lost is one too many; there is no other bar."""
        return [f"{run.name}: {self.images - run.rows} images lost" for run in self.runs if run.rows < self.images]

    def table(self) -> Table:
        """The figures as people read them, and what each cloud does not do."""
        table = Table(title=f"{ARCHITECTURE} on two clouds, {os.cpu_count()} cores", title_justify="left")
        table.add_column("what")
        for run in self.runs:
            table.add_column(run.name, justify="right")
        rows: tuple[tuple[str, Callable[[Run], str]], ...] = (
            ("start", lambda run: f"{run.start:.1f} s"),
            ("deploy", lambda run: f"{run.deploy:.1f} s"),
            ("the scenario with the sample photos, models loaded", lambda run: f"{run.scenario:.1f} s"),
            (f"{self.images} images, first upload to last row", lambda run: f"{run.images:.1f} s"),
            ("destroy", lambda run: f"{run.destroy:.1f} s"),
            ("stop", lambda run: f"{run.stop:.1f} s"),
            ("resident, idle", lambda run: f"{run.idle:.0f} MB"),
            ("resident, deployed", lambda run: f"{run.deployed:.0f} MB"),
            ("resident, after the run, handlers and models included", lambda run: f"{run.busy:.0f} MB"),
        )
        for what, figure in rows:
            table.add_row(what, *(figure(run) for run in self.runs))
        table.add_section()
        for difference in DIFFERENCES:
            table.add_row(*difference)
        return table


def run(images: int, say: Callable[[str], object]) -> Figures:
    """Measure both clouds, one after the other, over `images` images (at most 100) and the sample photos."""
    photos = [path for path in sorted(PHOTOS.iterdir()) if path.suffix.lower() in PHOTO_SUFFIXES]
    count = min(images, MOST_IMAGES)
    assembly = synthesize(ARCHITECTURE)
    return Figures(tuple(_measure(which, assembly, photos, count, say) for which in CLOUDS), count)


def _measure(
    which: type[LocalCloud], assembly: Path, photos: list[Path], images: int, say: Callable[[str], object]
) -> Run:
    name = {"local": f"MiniStack {metadata.version('ministack')}"}.get(which.kind)
    say(f"{which.kind}: start, deploy, {len(photos)} sample photos, {images} images ...")
    with stopwatch() as starting:
        cloud = which.start(f"bench-{which.kind}-{os.getpid()}")
    try:
        name = name or f"LocalStack core {cloud.control.health()['versions']['localstack']}"
        idle = resident_megabytes(cloud.pid)
        with stopwatch() as deploying:
            outputs = deploy(cloud, assembly, ARCHITECTURE)
        deployed = resident_megabytes(cloud.pid)
        cloud.client("rekognition").detect_labels(Image={"Bytes": photos[0].read_bytes()})
        begin = time.monotonic()
        image_labeling.run(cloud, outputs, photos)
        scenario = time.monotonic() - begin
        bodies = [path.read_bytes() for path in photos]
        measured = through(cloud, outputs, [bodies[number % len(bodies)] for number in range(images)])
        busy = resident_megabytes(cloud.pid)
        with stopwatch() as destroying:
            destroy(cloud, ARCHITECTURE)
    finally:
        with stopwatch() as stopping:
            cloud.stop()
        shutil.rmtree(cloud.folder, ignore_errors=True)
    return Run(
        name=name,
        start=starting(),
        deploy=deploying(),
        scenario=scenario,
        images=measured.seconds,
        destroy=destroying(),
        stop=stopping(),
        idle=idle,
        deployed=deployed,
        busy=busy,
        rows=len(measured.latencies),
    )
