"""image-labeling from end to end, beside its bare model, over the same images in the same run."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.measure import percentile, resident_megabytes, stopwatch
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.services.models.labels import label_model

ARCHITECTURE = "image-labeling"
PHOTOS = Path(__file__).resolve().parent.parent / "samples" / "photos"
WARM_UP_IMAGES = 20
PACED_IMAGES = 30
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png"}
UPLOADS_AT_ONCE = 4
PATIENCE_SECONDS = 600.0


# The bars of the project.
MAXIMUM_OVERHEAD_MILLISECONDS = 40.0
MAXIMUM_IDLE_MEGABYTES = 400.0


@dataclass(frozen=True)
class Through:
    """Images through the architecture: seconds from first upload to last row, seconds from each upload to its labels.

    The labels' own time is taken, for a row that is looked for is a row that is slowed down; the write is a few
    milliseconds later.
    """

    seconds: float
    latencies: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """What was measured. Times in milliseconds, an image where they say so; memory in megabytes, resident."""

    images: int
    bare_an_image: float
    through_an_image: float
    rows: int
    latencies_at_once: tuple[float, ...]
    latencies_paced: tuple[float, ...]
    deploy: float
    destroy: float
    idle: float
    deployed: float
    busy: float

    @property
    def overhead_an_image(self) -> float:
        """What the architecture adds to the bare model. Both cores serve the one, one the other: it may be negative."""
        return self.through_an_image - self.bare_an_image

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        bars = {
            f"overhead above {MAXIMUM_OVERHEAD_MILLISECONDS:.0f} ms an image": self.overhead_an_image
            > MAXIMUM_OVERHEAD_MILLISECONDS,
            "images lost": self.rows < self.images,
            f"idle above {MAXIMUM_IDLE_MEGABYTES:.0f} MB": self.deployed > MAXIMUM_IDLE_MEGABYTES,
        }
        return [bar for bar, is_missed in bars.items() if is_missed]

    def table(self) -> Table:
        """The figures as people read them."""
        table = Table(title=f"image-labeling, {self.images} images, {os.cpu_count()} cores", title_justify="left")
        table.add_column("what")
        table.add_column("figure", justify="right")
        table.add_row("bare model, decoding included, one at a time", f"{self.bare_an_image:.1f} ms an image")
        table.add_row("through the architecture, upload to last row", f"{self.through_an_image:.1f} ms an image")
        table.add_row("overhead of the architecture", f"{self.overhead_an_image:+.1f} ms an image")
        table.add_row("throughput", f"{1000 / self.through_an_image:.1f} images a second")
        table.add_row("rows found, of uploads made", f"{self.rows} of {self.images}")
        for name, latencies in (
            ("all uploaded at once, upload to labels", self.latencies_at_once),
            ("one after another, upload to row", self.latencies_paced),
        ):
            for rank in (50, 95):
                table.add_row(f"{name}, p{rank}", f"{percentile(latencies, rank):.0f} ms")
        table.add_section()
        table.add_row("deploy", f"{self.deploy:.0f} ms")
        table.add_row("destroy", f"{self.destroy:.0f} ms")
        table.add_section()
        table.add_row("local cloud, resident, idle", f"{self.idle:.0f} MB")
        table.add_row("local cloud, resident, stack deployed, no ML call yet", f"{self.deployed:.0f} MB")
        table.add_row("local cloud and its handlers, resident, after the run", f"{self.busy:.0f} MB")
        return table


def run(
    images: int, say: Callable[[str], object], *, paced: int = PACED_IMAGES, warm_up: int = WARM_UP_IMAGES
) -> Figures:
    """Measure everything over `images` images, of which `paced` also one after another; report progress to `say`."""
    photos = [path.read_bytes() for path in sorted(PHOTOS.iterdir()) if path.suffix.lower() in PHOTO_SUFFIXES]
    bodies = [photos[number % len(photos)] for number in range(images)]
    assembly = synthesize(ARCHITECTURE)

    say("The bare model ...")
    bare = bare_model(bodies, warm_up)
    say("The local cloud ...")
    with LocalCloud.start(f"bench-{os.getpid()}") as cloud:
        idle = resident_megabytes(cloud.pid)
        with stopwatch() as deploying:
            outputs = deploy(cloud, assembly, ARCHITECTURE)
        deployed = resident_megabytes(cloud.pid)
        through(cloud, outputs, bodies[:warm_up])
        say(f"{images} images through the architecture ...")
        measured = through(cloud, outputs, bodies)
        say(f"{min(paced, images)} images, one after another ...")
        latencies = [upload_to_row(cloud, outputs, body) for body in bodies[:paced]]
        busy = resident_megabytes(cloud.pid)
        with stopwatch() as destroying:
            destroy(cloud, ARCHITECTURE)
    return Figures(
        images=images,
        bare_an_image=bare,
        through_an_image=1000 * measured.seconds / images,
        rows=len(measured.latencies),
        latencies_at_once=tuple(1000 * seconds for seconds in measured.latencies),
        latencies_paced=tuple(1000 * seconds for seconds in latencies),
        deploy=1000 * deploying(),
        destroy=1000 * destroying(),
        idle=idle,
        deployed=deployed,
        busy=busy,
    )


def bare_model(bodies: list[bytes], warm_up: int) -> float:
    """The stand-in's own session, settings and decoding, without a service around it: milliseconds an image."""
    model = label_model()
    for body in bodies[:warm_up]:
        model.classify(body)
    with stopwatch() as elapsed:
        for body in bodies:
            model.classify(body)
    return 1000 * elapsed() / len(bodies)


def upload_to_row(cloud: LocalCloud, outputs: Mapping[str, str], body: bytes) -> float:
    """Seconds from the end of one upload until its row can be read. Raises TimeoutError after ten minutes."""
    bucket, key = outputs["BucketName"], f"{outputs['UploadPrefix']}paced-{uuid.uuid4().hex}.jpg"
    version = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    row = {"image": {"S": f"{bucket}/{key}"}, "version": {"S": version}}
    with stopwatch() as elapsed:
        while elapsed() < PATIENCE_SECONDS:
            found = cloud.client("dynamodb").get_item(
                TableName=outputs["ResultsTableName"], Key=row, ConsistentRead=True
            )
            if "Item" in found:
                return elapsed()
            time.sleep(0.002)
    raise TimeoutError(f"No row of {key} came within {PATIENCE_SECONDS:.0f} s.")


def through(cloud: LocalCloud, outputs: Mapping[str, str], bodies: list[bytes]) -> Through:
    """Upload `bodies` under keys of this run and wait for a row of each.

    Latency is from the beginning of an upload (the event's own time has whole seconds only; a busy machine may tell of
    its end after the labels are there) to the row's `labeled_at`.
    """
    s3 = cloud.client("s3", max_pool_connections=UPLOADS_AT_ONCE)
    run_id = uuid.uuid4().hex[:8]
    prefix = f"{outputs['UploadPrefix']}{run_id}/"
    uploaded: dict[str, float] = {}

    def upload(numbered: tuple[int, bytes]) -> None:
        key = f"{prefix}{numbered[0]:05d}.jpg"
        uploaded[f"{outputs['BucketName']}/{key}"] = time.time()
        s3.put_object(Bucket=outputs["BucketName"], Key=key, Body=numbered[1])

    with stopwatch() as elapsed:
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            list(pool.map(upload, enumerate(bodies)))
        rows = wait_for_rows(cloud, outputs, set(uploaded))
        seconds = elapsed()
    latencies = [moment - uploaded[image] for image, moment in rows.items()]
    return Through(seconds, tuple(latencies))


def wait_for_rows(cloud: LocalCloud, outputs: Mapping[str, str], images: set[str]) -> dict[str, float]:
    """Per image the time (Unix seconds) at which it was labelled. Gives up after ten minutes with what is there."""
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
    """Every labelled row's image and the time at which it was labelled, in Unix seconds."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        ProjectionExpression="image, labeled_at",
        FilterExpression="attribute_exists(labeled_at)",
    )
    for page in pages:
        for item in page["Items"]:
            yield item["image"]["S"], datetime.fromisoformat(item["labeled_at"]["S"].replace("Z", "+00:00")).timestamp()
