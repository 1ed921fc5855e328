"""Transform jobs: a model's answers to what lies in S3.

Real: the model's container is started as for an endpoint, each object is sent to it whole or by its lines, and the
answers are written beside each other as the model's role, `<object>.out`. A file that the model refuses fails the job,
the others' answers are kept. What `job.py` and `containers.py` say holds as well. Refused: filters and joins
(`DataProcessing`), RecordIO and TFRecord, data capture, several instances.

Not real: one request at a time, whatever MaxConcurrentTransforms says.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference). Not documented there: the
wording of failure reasons.
"""

import gzip
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from local.emulator import faults
from local.services.sagemaker import job as lives
from local.services.sagemaker import records as shelf
from local.services.sagemaker import transfer
from local.services.sagemaker.containers import ContainerError, LogStream
from local.services.sagemaker.hosting import Artefact, Instance, NoAnswerError, StartError, TooLateError, serving
from local.services.sagemaker.job import Job, Jobs, Stopped
from local.services.sagemaker.models import Deployable, Models
from local.services.sagemaker.records import Members, Records, Request
from local.services.wire import Caller

PAYLOAD_MEGABYTES = 6  # Documentation of MaxPayloadInMB: the default.
INVOCATION_SECONDS = 600.0  # Documentation of ModelClientConfig: the default.
RETRIES = 3
PAUSE_SECONDS = 0.1


class Transform(Jobs):
    """Create, Describe, List and Stop of transform jobs."""

    noun: ClassVar[str] = "Transform"
    status_key: ClassVar[str] = "TransformJobStatus"
    summary: ClassVar[str] = "TransformJobSummary"
    summaries: ClassVar[str] = "TransformJobSummaries"

    def __init__(self, records: Records, models: Models) -> None:
        super().__init__(records)
        self._models = models

    def check(self, request: Request, caller: Caller) -> None:
        """Raises ServiceError."""
        source = request["TransformInput"]
        processing = request.get("DataProcessing", {})
        lives.refuse(
            request,
            {
                "transform jobs of several instances": request["TransformResources"]["InstanceCount"] > 1,
                "DataCaptureConfig": "DataCaptureConfig" in request,
                "filters and joins of transform jobs": processing.get("JoinSource", "None") != "None"
                or any(processing.get(name, "$") != "$" for name in ("InputFilter", "OutputFilter")),
                "RecordIO and TFRecord": source.get("SplitType", "None") not in ("None", "Line"),
            },
        )
        if request.get("BatchStrategy") == "SingleRecord" and source.get("SplitType", "None") == "None":
            raise shelf.invalid("BatchStrategy SingleRecord needs a SplitType.")
        self._models.deployable(caller, request["ModelName"])

    def role_of(self, request: Request, caller: Caller) -> Caller:
        """The model's role."""
        return self._models.deployable(caller, request["ModelName"]).actor

    def vpc_of(self, request: Request, caller: Caller) -> Members | None:
        """The model's."""
        return self._models.deployable(caller, request["ModelName"]).vpc

    def members(self, request: Request, caller: Caller) -> Members:
        """Nothing beside what the request holds."""
        return {}

    def ended(self, job: Job, status: str) -> Members:
        """When it ended."""
        return {"TransformEndTime": shelf.now()}

    def run(self, job: Job) -> Members:
        """Bring the objects, ask the model, write its answers."""
        request = job.request
        model: Deployable = self._models.deployable(job.caller, request["ModelName"])
        artefact = Artefact(
            model.artefact.image,
            model.artefact.model_data,
            {**model.artefact.environment, **request.get("Environment", {})},
            isolated=model.artefact.isolated,
        )
        log = lives.log_stream(job, self.noun, "i-0local")
        failures = []
        with tempfile.TemporaryDirectory(prefix="transform-") as home:
            source = request["TransformInput"]["DataSource"]["S3DataSource"]
            folder = Path(home)
            transfer.download(job.worker, source["S3Uri"], folder, source["S3DataType"])
            self.change(job, TransformStartTime=shelf.now())
            notes = LogStream(job.actor, "/aws/sagemaker/TransformJobs", f"{log.name}/data-log")
            try:
                with serving(artefact, job.worker, log) as instance:
                    client = _Client(job, instance)
                    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
                        name = file.relative_to(folder).as_posix()
                        try:
                            self._write(job, name, client.transformed(file.read_bytes()))
                        except _Refused as refused:
                            failures.append(str(refused))
                            notes.write(f"{name}: {refused}")
            except StartError as error:
                raise ContainerError(f"AlgorithmError: {error}") from error
            finally:
                notes.flush()
        if failures:
            raise ContainerError(f"ClientError: See job logs for more information ({failures[0]})")
        return {}

    def _write(self, job: Job, name: str, answer: bytes) -> None:
        output = job.request["TransformOutput"]
        transfer.put(job.worker, f"{output['S3OutputPath'].rstrip('/')}/{name}.out", answer, output.get("KmsKeyId"))


class _Refused(Exception):  # noqa: N818 (named after what happened)
    """The model has no answer to a file."""


class _Client:
    """Asks the model of a job. Raises _Refused, Stopped, ContainerError."""

    def __init__(self, job: Job, instance: Instance) -> None:
        request = job.request
        self._job, self._instance = job, instance
        source, output = request["TransformInput"], request["TransformOutput"]
        self._headers = {
            name: value
            for name, value in (("Content-Type", source.get("ContentType")), ("Accept", output.get("Accept")))
            if value
        }
        self._zipped = source.get("CompressionType", "None") == "Gzip"
        self._by_line = source.get("SplitType", "None") == "Line"
        self._single = request.get("BatchStrategy") == "SingleRecord"
        self._end = b"\n" if output.get("AssembleWith") == "Line" else b""
        self._longest = int(request.get("MaxPayloadInMB", PAYLOAD_MEGABYTES) * 1024**2) or 100 * 1024**2
        client = request.get("ModelClientConfig", {})
        self._seconds = float(client.get("InvocationsTimeoutInSeconds", INVOCATION_SECONDS))
        self._retries = int(client.get("InvocationsMaxRetries", RETRIES))
        rules = faults.pick_job("sagemaker", "CreateTransformJob", ("kill-job",))
        self._killed_at = time.monotonic() + rules[0].seconds if rules else None

    def transformed(self, body: bytes) -> bytes:
        """The answers to one file, put together."""
        content = gzip.decompress(body) if self._zipped else body
        answers = [self._asked(batch) for batch in self._batches(content)]
        if not self._end:
            return b"".join(answers)
        return b"".join(answer if answer.endswith(self._end) else answer + self._end for answer in answers)

    def _batches(self, content: bytes) -> Iterator[bytes]:
        if not self._by_line:
            yield self._fitting(content)
            return
        batch = b""
        for line in content.splitlines(keepends=True):
            if batch and (self._single or len(batch) + len(line) > self._longest):
                yield batch
                batch = b""
            batch += self._fitting(line)
        if batch:
            yield batch

    def _fitting(self, record: bytes) -> bytes:
        if len(record) > self._longest:
            raise _Refused(f"A record of {len(record)} bytes is larger than MaxPayloadInMB")
        return record

    def _asked(self, batch: bytes) -> bytes:
        reason = ""
        for _ in range(self._retries + 1):
            if self._job.stopping.is_set():
                raise Stopped
            if self._killed_at is not None and time.monotonic() >= self._killed_at and self._instance.running:
                os.kill(self._instance.pid, signal.SIGKILL)
            try:
                answer = self._instance.ask(batch, self._headers, self._seconds)
            except (NoAnswerError, TooLateError) as error:
                reason = f"The container did not answer: {error or 'in time'}"
                time.sleep(PAUSE_SECONDS)
                if not self._instance.running:
                    raise ContainerError(f"AlgorithmError: The container has ended ({reason})") from error
                continue
            if answer.status == 200:
                return answer.body
            said = answer.body[:200].decode(errors="replace")
            reason = f"Bad HTTP status returned from invoke: {answer.status} {said}"
            if answer.status < 500:
                break
        raise _Refused(reason)
