"""Speech for the tests, each sentence spoken once a run."""

from __future__ import annotations

import functools
import io
import json
import time
import wave
from typing import Any

import numpy as np
import numpy.typing as npt

from local.services.transcribe import Transcribe
from scenarios.speech.voices import SAMPLE_RATE, SPEAKERS, synthesize
from tests.local.standin import FakeCaller, client_of

BUCKET = "recordings"


@functools.cache
def said(text: str, voice: str = "heart") -> npt.NDArray[np.int16]:
    """A sentence, with half a second of quiet before and after it."""
    quiet = np.zeros(SAMPLE_RATE // 2, np.int16)
    return np.concatenate([quiet, synthesize(text, SPEAKERS[voice], seed=1)[0], quiet])


def wav(samples: npt.NDArray[np.int16]) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()


class Desk:
    """A client of the stand-in whose caller has some recordings."""

    def __init__(self, **recordings: bytes) -> None:
        self.caller = FakeCaller(objects={(BUCKET, name, None): data for name, data in recordings.items()})
        self.client: Any = client_of(Transcribe(), self.caller)[0]

    def start(self, media: str = "call", job: str = "job", **request: Any) -> Any:
        language: dict[str, Any] = {} if "IdentifyLanguage" in request else {"LanguageCode": "en-US"}
        return self.client.start_transcription_job(
            **{
                "TranscriptionJobName": job,
                "Media": {"MediaFileUri": f"s3://{BUCKET}/{media}"},
                "OutputBucketName": BUCKET,
                **language,
                **request,
            }
        )["TranscriptionJob"]

    def end(self, job: str = "job") -> Any:
        """The job when it has ended."""
        deadline = time.monotonic() + 120
        while True:
            found = self.client.get_transcription_job(TranscriptionJobName=job)["TranscriptionJob"]
            if found["TranscriptionJobStatus"] != "IN_PROGRESS":
                return found
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def document(self, key: str = "job.json") -> Any:
        found = self.caller.objects[BUCKET, key, None]
        assert isinstance(found, bytes)
        return json.loads(found)

    def transcribe(self, media: str = "call", job: str = "job", **request: Any) -> Any:
        """The results of a job that must end well."""
        self.start(media, job, **request)
        ended = self.end(job)
        assert ended["TranscriptionJobStatus"] == "COMPLETED", ended
        return self.document(f"{job}.json")["results"]

    def vocabulary(self, name: str, table: str, language: str = "en-US") -> Any:
        self.caller.objects[BUCKET, f"{name}.txt", None] = table.encode()
        self.client.create_vocabulary(
            VocabularyName=name, LanguageCode=language, VocabularyFileUri=f"s3://{BUCKET}/{name}.txt"
        )
        deadline = time.monotonic() + 30
        while (found := self.client.get_vocabulary(VocabularyName=name))["VocabularyState"] == "PENDING":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found


def text(results: Any) -> str:
    return str(results["transcripts"][0]["transcript"])
