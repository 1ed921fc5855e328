"""image-labeling from end to end, beside its bare model, over the same images in the same run."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.services.models.labels import label_model

ARCHITECTURE = "image-labeling"
PHOTOS = Path(__file__).resolve().parent.parent / "samples" / "photos"
WARM_UP_IMAGES = 20
PACED_IMAGES = 30
UPLOADS_AT_ONCE = 4
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Bare:
    """The model alone over the images, one after another: seconds in all, and milliseconds an image."""

    seconds: float
    milliseconds: float


@dataclass(frozen=True)
class Through:
    """The images through the architecture: seconds from the first upload to the last row, and seconds an image."""

    seconds: float
    latencies: tuple[float, ...]
    rows: int


def run(images: int, say: Callable[[str], object]) -> Table:
    """Measure everything over `images` images, report progress to `say`, and return the table of figures."""
    photos = [path.read_bytes() for path in sorted(PHOTOS.iterdir()) if path.suffix in {".jpg", ".jpeg", ".png"}]
    bodies = [photos[number % len(photos)] for number in range(images)]
    assembly = synthesize(ARCHITECTURE)
    table = Table(title=f"image-labeling, {images} images, {os.cpu_count()} cores", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")

    say("The bare model ...")
    bare = bare_model(bodies)
    table.add_row("bare model, decoding included, one at a time", f"{bare.milliseconds:.1f} ms an image")

    say("The local cloud ...")
    with LocalCloud.start(f"bench-{os.getpid()}") as cloud:
        idle = resident_megabytes(cloud.pid)
        with stopwatch() as deploying:
            outputs = deploy(cloud, assembly, ARCHITECTURE)
        deployed = resident_megabytes(cloud.pid)
        through(cloud, outputs, bodies[:WARM_UP_IMAGES])
        say(f"{images} images through the architecture ...")
        measured = through(cloud, outputs, bodies)
        say(f"{PACED_IMAGES} images, one after another ...")
        paced = [through(cloud, outputs, [body]).latencies[0] for body in bodies[:PACED_IMAGES]]
        busy = resident_megabytes(cloud.pid)
        with stopwatch() as destroying:
            destroy(cloud, ARCHITECTURE)

    per_image = 1000 * measured.seconds / images
    table.add_row("through the architecture, upload to last row", f"{per_image:.1f} ms an image")
    table.add_row("overhead of the architecture", f"{per_image - bare.milliseconds:+.1f} ms an image")
    table.add_row("throughput", f"{images / measured.seconds:.1f} images a second")
    table.add_row("rows found, of uploads made", f"{measured.rows} of {images}")
    for name, latencies in (("all uploaded at once", measured.latencies), ("one after another", tuple(paced))):
        for rank in (50, 95):
            table.add_row(f"upload to row, {name}, p{rank}", f"{1000 * percentile(latencies, rank):.0f} ms")
    table.add_section()
    table.add_row("deploy", f"{deploying() * 1000:.0f} ms")
    table.add_row("destroy", f"{destroying() * 1000:.0f} ms")
    table.add_section()
    table.add_row("local cloud, resident, idle", f"{idle:.0f} MB")
    table.add_row("local cloud, resident, stack deployed, no ML call yet", f"{deployed:.0f} MB")
    table.add_row("local cloud and its handlers, resident, after the run", f"{busy:.0f} MB")
    return table


def bare_model(bodies: list[bytes]) -> Bare:
    """The stand-in's own session, settings and decoding, without a service around it."""
    model = label_model()
    for body in bodies[:WARM_UP_IMAGES]:
        model.classify(body)
    with stopwatch() as elapsed:
        for body in bodies:
            model.classify(body)
    return Bare(elapsed(), 1000 * elapsed() / len(bodies))


def through(cloud: LocalCloud, outputs: Mapping[str, str], bodies: list[bytes]) -> Through:
    """Upload `bodies` under keys of this run and wait for a row of each.

    Latency is from the end of an upload (the event's own time has whole seconds only) to the row's `labeled_at`.
    """
    s3 = cloud.client("s3", max_pool_connections=UPLOADS_AT_ONCE)
    run_id = uuid.uuid4().hex[:8]
    prefix = f"{outputs['UploadPrefix']}{run_id}/"
    uploaded: dict[str, float] = {}

    def upload(numbered: tuple[int, bytes]) -> None:
        key = f"{prefix}{numbered[0]:05d}.jpg"
        s3.put_object(Bucket=outputs["BucketName"], Key=key, Body=numbered[1])
        uploaded[f"{outputs['BucketName']}/{key}"] = time.time()

    with stopwatch() as elapsed:
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            list(pool.map(upload, enumerate(bodies)))
        rows = wait_for_rows(cloud, outputs, set(uploaded))
        seconds = elapsed()
    latencies = [moment - uploaded[image] for image, moment in rows.items()]
    return Through(seconds, tuple(latencies), len(rows))


def wait_for_rows(cloud: LocalCloud, outputs: Mapping[str, str], images: set[str]) -> dict[str, float]:
    """Per image the time (Unix seconds) at which its row was written. Gives up after ten minutes with what is there."""
    found: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < len(images) and time.monotonic() < deadline:
        # Reading the rows would slow the run, so the queue is asked first whether there is anything left to do.
        if is_drained(cloud, outputs["QueueUrl"]):
            rows = written(cloud.client("dynamodb"), outputs["ResultsTableName"])
            found = {image: moment for image, moment in rows if image in images}
        time.sleep(0.1)
    return found


def is_drained(cloud: LocalCloud, queue: str) -> bool:
    """Whether no message waits in the queue or is in flight."""
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
    return all(attributes[name] == "0" for name in counts)


def written(dynamodb: Any, table: str) -> Iterator[tuple[str, float]]:
    """Every labelled row's image and the time at which it was written, in Unix seconds."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        ProjectionExpression="image, labeled_at",
        FilterExpression="attribute_exists(labeled_at)",
    )
    for page in pages:
        for item in page["Items"]:
            yield item["image"]["S"], datetime.fromisoformat(item["labeled_at"]["S"].replace("Z", "+00:00")).timestamp()


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and all that it started, in megabytes."""
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


def percentile(values: tuple[float, ...], rank: int) -> float:
    """The value below which `rank` percent of `values` lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1] if len(values) > 1 else values[0]


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Seconds since the block began, or, once it has ended, that it took."""
    start = time.perf_counter()
    end: float | None = None
    yield lambda: (time.perf_counter() if end is None else end) - start
    end = time.perf_counter()
