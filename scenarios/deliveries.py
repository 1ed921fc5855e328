"""The traffic of a shop of chilled food: deliveries that an endpoint is asked about, and the claims that come later.

Only AWS APIs, so it works the same on every cloud. A delivery is a line of CSV in the order of the model's columns. A
claim is its label, 0 or 1, known some time after the model was asked; it is merged by the request's inference id.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scenarios import realtime_endpoint
from scenarios.cloud import Cloud
from scenarios.realtime_endpoint import Answer

# A shop asks about the parcels of one van at once.
PARCELS_A_REQUEST = 25


@dataclass(frozen=True)
class Asked:
    """What was sent and answered. `requests`: the inference id of each, and how many deliveries it had."""

    deliveries: tuple[str, ...]
    claimed: tuple[int, ...]
    answers: tuple[Answer, ...]
    requests: tuple[tuple[str, int], ...]

    def __add__(self, other: Asked) -> Asked:
        return Asked(
            self.deliveries + other.deliveries,
            self.claimed + other.claimed,
            self.answers + other.answers,
            self.requests + other.requests,
        )


NOTHING = Asked((), (), (), ())


def send(
    cloud: Cloud,
    serving: Mapping[str, str],
    deliveries: Sequence[str],
    claimed: Sequence[int],
    *,
    parcels: int = PARCELS_A_REQUEST,
) -> Asked:
    """Asks about deliveries, so many a request. `serving` are the outputs of realtime-endpoint.

    `claimed` is the truth, which the model is not told. Raises botocore's errors where the endpoint refuses.
    """
    answers: list[Answer] = []
    requests: list[tuple[str, int]] = []
    for start in range(0, len(deliveries), parcels):
        rows = deliveries[start : start + parcels]
        name = str(uuid.uuid4())
        answers += realtime_endpoint.ask(cloud, serving, "\n".join(rows) + "\n", inference_id=name)
        requests.append((name, len(rows)))
    return Asked(tuple(deliveries), tuple(claimed), tuple(answers), tuple(requests))


def tell_claims(cloud: Cloud, monitor: Mapping[str, str], asked: Asked, moment: datetime) -> None:
    """Uploads the labels of what was asked, as they arrive at a moment, in Model Monitor's format for ground truth.

    `monitor` are the outputs of model-monitor.
    """
    lines, at = [], 0
    when = moment.astimezone(timezone.utc)
    for name, count in asked.requests:
        # A record for a request, with a line for each of its deliveries.
        labels = "\n".join(map(str, asked.claimed[at : at + count]))
        lines.append(
            {
                "groundTruthData": {"data": labels, "encoding": "CSV"},
                "eventMetadata": {"eventId": name},
                "eventVersion": "0",
            }
        )
        at += count
    bucket, _, prefix = monitor["GroundTruthUri"].removeprefix("s3://").partition("/")
    body = "".join(f"{json.dumps(line)}\n" for line in lines)
    key = f"{prefix}/{when:%Y/%m/%d/%H}/{when:%M%S}-{uuid.uuid4().hex}.jsonl"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())


def captures(
    cloud: Cloud, serving: Mapping[str, str], hour: datetime, read: dict[str, list[dict[str, Any]]] | None = None
) -> list[dict[str, Any]]:
    """The requests of an hour that the endpoint has captured so far, as they lie in S3.

    `read` keeps what each object holds, by its key: who looks again reads only what is new.
    """
    bucket, _, prefix = serving["CaptureUri"].removeprefix("s3://").partition("/")
    when = hour.astimezone(timezone.utc)
    folder = f"{prefix}/{serving['EndpointName']}/{serving['VariantName']}/{when:%Y/%m/%d/%H}/"
    s3, known = cloud.client("s3"), {} if read is None else read
    found = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        for entry in page.get("Contents", []):
            if entry["Key"] not in known:
                with s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"] as body:
                    known[entry["Key"]] = [json.loads(line) for line in body.read().splitlines()]
            found += known[entry["Key"]]
    return found


@dataclass
class Calls:
    """Requests that went on by themselves: how long each took, in seconds, and why any failed, by reason."""

    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """How many were not answered."""
        return sum(self.failures.values())

    def percentile(self, share: float) -> float:
        """The time within which that share (0 to 1) was answered; 0.0 if nothing was."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@contextmanager
def calling(
    cloud: Cloud, serving: Mapping[str, str], deliveries: Sequence[str], *, pause: float = 0.01
) -> Iterator[Calls]:
    """Asks about one delivery after another, over and over, until the block ends; nothing is asked twice for an error.

    A request that fails is counted with its reason: the client's own attempts are switched off.
    """
    calls, over = Calls(), threading.Event()
    client = cloud.client("sagemaker-runtime", retries={"total_max_attempts": 1})

    def call() -> None:
        at = 0
        while not over.is_set():
            begin = time.monotonic()
            try:
                answer = client.invoke_endpoint(
                    EndpointName=serving["EndpointName"],
                    ContentType="text/csv",
                    Accept="application/json",
                    Body=deliveries[at % len(deliveries)].encode(),
                )
                with answer["Body"] as body:
                    json.loads(body.read())
                calls.seconds.append(time.monotonic() - begin)
            except (ClientError, BotoCoreError, ValueError) as error:
                calls.failures[str(error)] += 1
            at += 1
            over.wait(pause)

    thread = threading.Thread(target=call, name="calls")
    thread.start()
    try:
        yield calls
    finally:
        over.set()
        thread.join()
