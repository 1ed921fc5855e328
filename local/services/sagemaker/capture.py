"""Data capture: what goes into an endpoint and what comes out, as JSON Lines in a bucket.

A request is a line; lines are gathered and written as the model's execution role within a second or two, one object for
each variant and hour of the movable clock:

    <destination>/<endpoint>/<variant>/YYYY/MM/DD/HH/<minute>-<second>-<millisecond>-<uuid>.jsonl

What cannot be written is lost and the log tells; the request is not concerned. Only answered requests (2xx) are
captured.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference of DataCaptureConfig: without
content types in the configuration, data are Base64); "Capture data", Amazon SageMaker Developer Guide, in its public
source, which ends in 2023 (delivery takes some minutes there). Named from memory: the shape of a line and the name of
an object. Not documented: what happens to requests that the model refused, and to captures that the role may not write.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from local.emulator import clock
from local.services.wire import Caller, ObjectUnavailable

FLUSH_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Payload:
    """A body with its content type."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Exchange:
    """One answered request."""

    request: Payload
    response: Payload
    inference_id: str | None = None
    custom_attributes: str | None = None


class Capture:
    """The captures of one endpoint under one configuration.

    `config` is a DataCaptureConfig, `actor` the execution role, `tell` writes a line to the endpoint's log.
    """

    def __init__(self, config: Mapping[str, Any], endpoint: str, actor: Caller, tell: Callable[[str], None]) -> None:
        self._config = config
        bucket, _, prefix = str(config["DestinationS3Uri"]).removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, "/".join(filter(None, (prefix.strip("/"), endpoint)))
        self._actor, self._tell = actor, tell
        self._modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self._lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    @property
    def summary(self) -> dict[str, Any]:
        """What DescribeEndpoint tells."""
        key = {"KmsKeyId": self._config["KmsKeyId"]} if self._config.get("KmsKeyId") else {}
        return {
            "EnableCapture": self._config["EnableCapture"],
            "CaptureStatus": "Started" if self._config["EnableCapture"] else "Stopped",
            "CurrentSamplingPercentage": self._config["InitialSamplingPercentage"],
            "DestinationS3Uri": self._config["DestinationS3Uri"],
            "KmsKeyId": "",
            **key,
        }

    def offer(self, variant: str, exchange: Exchange) -> None:
        """Keep a request for the next `flush`, if it is in the sample."""
        if not self._config["EnableCapture"] or random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311 (a sample, no secret)
            return
        now = datetime.fromtimestamp(clock.now(), tz=timezone.utc)
        line = json.dumps(self._line(exchange, now), separators=(",", ":"))
        with self._lock:
            self._lines[variant, now.strftime("%Y/%m/%d/%H")].append(line)

    def _line(self, exchange: Exchange, now: datetime) -> dict[str, Any]:
        data = {}
        if self._modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = self._payload(exchange.request, "INPUT")
        if self._modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = self._payload(exchange.response, "OUTPUT")
        about: dict[str, Any] = {"eventId": str(uuid.uuid4())}
        if exchange.custom_attributes is not None:
            about["customAttributes"] = [exchange.custom_attributes]
        if exchange.inference_id is not None:
            about["inferenceId"] = exchange.inference_id
        about["inferenceTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"captureData": data, "eventMetadata": about, "eventVersion": "0"}

    def _payload(self, payload: Payload, mode: str) -> dict[str, str]:
        encoding = self._encoding(payload.content_type)
        data: str | None = None
        if encoding != "BASE64":
            try:
                data = payload.body.decode()
            except UnicodeDecodeError:
                encoding = "BASE64"
        if data is None:
            data = base64.b64encode(payload.body).decode()
        return {
            "observedContentType": payload.content_type, "mode": mode, "data": data, "encoding": encoding,
        }  # fmt: skip

    def _encoding(self, content_type: str) -> str:
        plain = content_type.partition(";")[0].strip().lower()
        kinds: Mapping[str, Sequence[str]] = self._config.get("CaptureContentTypeHeader", {})
        for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
            if plain in (one.lower() for one in kinds.get(member, ())):
                return encoding
        return "BASE64"

    def flush(self) -> None:
        """Write what was kept, an object for each variant and hour."""
        with self._writing:
            with self._lock:
                kept, self._lines = self._lines, defaultdict(list)
            for (variant, hour), lines in kept.items():
                self._write(variant, hour, lines)

    def _write(self, variant: str, hour: str, lines: Sequence[str]) -> None:
        now = datetime.fromtimestamp(clock.now(), tz=timezone.utc)
        name = f"{now.strftime('%M-%S')}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        key = f"{self._prefix}/{variant}/{hour}/{name}"
        body = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._actor.write_object(
                self._bucket,
                key,
                body,
                content_type="application/jsonlines",
                kms_key_id=self._config.get("KmsKeyId") or None,
            )
        except ObjectUnavailable as error:
            _log.warning("%d captured requests of %s are lost: %s", len(lines), self._prefix, error)
            self._tell(f"Data capture lost {len(lines)} requests: {error}")
