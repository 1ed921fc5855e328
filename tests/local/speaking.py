"""A boto3 client in front of the Polly stand-in, and ears: what a sound is, how high, and what was said in it."""

from __future__ import annotations

import functools
import io
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import numpy as np
import numpy.typing as npt
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from local.services.polly import Polly
from local.services.wire import ObjectUnavailable, ServiceError
from scenarios.speech import voices

Samples = npt.NDArray[np.float64]


@dataclass
class Speaker:
    """A caller who may write to the buckets in `buckets` and publish to the topics in `topics`."""

    buckets: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    written: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    published: list[tuple[str, str]] = field(default_factory=list)
    principal_arn: str = "arn:aws:sts::000000000000:assumed-role/speaker/session"
    account: str = "000000000000"
    region: str = "us-east-1"

    def write_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        kms_key_id: str | None = None,
    ) -> None:
        if bucket not in self.buckets:
            raise ObjectUnavailable("NoSuchBucket", f"The bucket {bucket} does not exist")
        self.written[bucket, key] = (body, content_type)

    def publish(self, topic_arn: str, message: str, *, subject: str | None = None) -> None:
        if topic_arn not in self.topics:
            raise ServiceError("AccessDeniedException", "not allowed", 403)
        self.published.append((topic_arn, message))


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def client_of(service: Polly, caller: Speaker | None = None) -> Any:
    """A boto3 client whose requests `service` answers."""
    who: Any = caller or Speaker()

    def answer(request: AWSPreparedRequest, **context: Any) -> AWSResponse:
        url = urllib.parse.urlsplit(request.url)
        body: Any = request.body or b""
        operation = context["event_name"].rpartition(".")[2]
        status, headers, content = service.handle_rest(
            operation,
            url.path,
            urllib.parse.parse_qs(url.query),
            body if isinstance(body, bytes) else body.encode(),
            who,
        )
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Body(content))

    make: Any = boto3.client
    client = make(
        "polly",
        region_name=who.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        endpoint_url="https://localhost:1",
        # What botocore would refuse before it is sent is what these tests want the service to refuse.
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    client.meta.events.register("before-send.polly", answer)
    return client


def said(client: Any, text: str, **request: Any) -> Samples:
    """The sound of a text, by default plain text spoken by Joanna, as samples between -1 and 1, 16,000 a second."""
    wanted = {"VoiceId": "Joanna", "OutputFormat": "pcm", "SampleRate": "16000", **request}
    answer = client.synthesize_speech(Text=text, **wanted)
    found: Samples = np.frombuffer(answer["AudioStream"].read(), "<i2") / 32_768
    return found


def ssml(client: Any, inside: str, **request: Any) -> Samples:
    """The sound of what stands inside of <speak>."""
    return said(client, f"<speak>{inside}</speak>", TextType="ssml", **request)


def seconds(sound: Samples, rate: int = 16_000) -> float:
    return len(sound) / rate


def level(sound: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound))))


def pitch(sound: Samples, rate: int = 16_000) -> float:
    """The median fundamental frequency of what is voiced, in Hz, by autocorrelation of 50 ms at a time."""
    size = rate // 20
    found = []
    for start in range(0, len(sound) - size, size // 2):
        frame = sound[start : start + size] - np.mean(sound[start : start + size])
        if level(frame) < 0.02:
            continue
        # Each lag by as many products as it has, or short periods would win.
        likeness = np.correlate(frame, frame, "full")[size - 1 :] / np.arange(size, 0, -1) * size
        shortest, longest = rate // 420, rate // 65
        period = shortest + int(np.argmax(likeness[shortest:longest]))
        if likeness[period] > 0.5 * likeness[0]:
            found.append(rate / period)
    return float(np.median(found))


def heard(sound: Samples) -> list[str]:
    """The words that a speech recogniser makes of a sound of 16,000 samples a second."""
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(voices.to_pcm(np.asarray(sound, np.float32)).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr.split() if found else []


@functools.cache
def _decoder() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=16_000)


def word_errors(wanted: list[str], found: list[str]) -> float:
    """The word error rate: words that are wrong, missing or too many, as a share of those wanted."""
    row = list(range(len(found) + 1))
    for number, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], number
        for at, other in enumerate(found, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (word != other))
    return row[-1] / len(wanted)
