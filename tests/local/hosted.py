"""Models and endpoints for tests: a pure Python script that starts in a moment, and somebody who asks all the time."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import eventually, unique
from tests.local.sagemaking import XGBOOST, job_role, make_bucket, of_bucket

# Answers with the variable ANSWER and the request; asked for trouble it makes some.
SCRIPT = """
import os, time

class Refused(Exception):
    status_code = 415

def model_fn(folder):
    return os.environ.get("ANSWER", "")

def input_fn(data, content_type):
    if content_type == "text/html":
        raise Refused("no " + content_type)
    return data

def predict_fn(data, model):
    if data == "bad":
        raise ValueError("bad data")
    if data == "busy":
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
    if data == "slow":
        time.sleep(0.5)
    if data == "keys":
        return str(sorted(name for name in os.environ if name.startswith("AWS_")))
    if data == "pid":
        return str(os.getpid())
    if data == "die":
        os._exit(3)
    return model + str(data)

def output_fn(prediction, accept):
    return prediction, accept
"""


def artefact(script: str = SCRIPT) -> bytes:
    """A model.tar.gz whose code is a script."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        item = tarfile.TarInfo("code/inference.py")
        item.size = len(script.encode())
        archive.addfile(item, io.BytesIO(script.encode()))
    return packed.getvalue()


@dataclass
class Host:
    """Makes models, configurations and endpoints in one bucket, as one role."""

    cloud: LocalCloud
    bucket: str
    role: str

    @classmethod
    def make(cls, cloud: LocalCloud, *statements: dict[str, Any], script: str = SCRIPT) -> Host:
        """A bucket with an artefact, and a role that may use it and whatever `statements` allow."""
        bucket = make_bucket(cloud)
        cloud.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=artefact(script))
        return cls(cloud, bucket, job_role(cloud, *of_bucket(bucket), *statements))

    @property
    def sagemaker(self) -> Any:
        return self.cloud.client("sagemaker")

    @property
    def runtime(self) -> Any:
        return self.cloud.client("sagemaker-runtime")

    def model(self, answer: str = "", **more: Any) -> str:
        """A model whose answers begin with a word; returns its name."""
        name = unique("model")
        container = {
            "Image": XGBOOST,
            "ModelDataUrl": f"s3://{self.bucket}/model.tar.gz",
            "Environment": {"ANSWER": answer},
        }
        self.sagemaker.create_model(
            **{"ModelName": name, "ExecutionRoleArn": self.role, "PrimaryContainer": container, **more}
        )
        return name

    def config(self, *variants: Mapping[str, Any], **more: Any) -> str:
        """A configuration; a variant's other members are as `variant` makes them. Returns its name."""
        name = unique("config")
        chosen = [dict(one) for one in variants] or [self.variant(self.model())]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=chosen, **more)
        return name

    @staticmethod
    def variant(model: str, **more: Any) -> dict[str, Any]:
        """A variant of one instance."""
        return {
            "VariantName": "AllTraffic",
            "ModelName": model,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            **more,
        }

    def simple(self, answer: str, count: int = 1) -> str:
        """A configuration of one variant with so many instances; returns its name."""
        return self.config(self.variant(self.model(answer), InitialInstanceCount=count))

    def describe(self, endpoint: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        return found

    def settled(self, endpoint: str, seconds: float = 30.0) -> dict[str, Any]:
        """The endpoint's description once nothing is under way."""

        def look() -> dict[str, Any] | None:
            found = self.describe(endpoint)
            return found if found["EndpointStatus"] in ("InService", "Failed") else None

        found = eventually(look, seconds)
        assert found is not None
        return found

    def create(self, config: str, **more: Any) -> str:
        """An endpoint, as soon as it is in service or has failed; returns its name."""
        name = unique("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **more)
        self.settled(name)
        return name

    def delete(self, endpoint: str) -> None:
        """Delete an endpoint that may or may not be there, and wait until it is gone."""
        try:
            self.settled(endpoint)
            self.sagemaker.delete_endpoint(EndpointName=endpoint)
            eventually(lambda: not self.there(endpoint), 20)
        except ClientError as error:
            assert "Could not find" in str(error)  # noqa: PT017 (any other error is a failure of the test)

    def there(self, endpoint: str) -> bool:
        """Whether there is an endpoint of that name."""
        return any(
            one["EndpointName"] == endpoint for one in self.sagemaker.list_endpoints(NameContains=endpoint)["Endpoints"]
        )

    @contextmanager
    def endpoint(self, config: str, **more: Any) -> Iterator[str]:
        """An endpoint that is deleted with the context; gives its name."""
        name = self.create(config, **more)
        try:
            yield name
        finally:
            self.delete(name)

    def ask(self, endpoint: str, body: str = "", **more: Any) -> str:
        """The answer to a request."""
        given = {"ContentType": "text/csv", "Accept": "text/csv", **more}
        answer: bytes = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body.encode(), **given)["Body"].read()
        return answer.decode()

    def log(self, endpoint: str, **only: Any) -> str:
        """All that is in the endpoint's log group, which is made with its first line; `only` says of which streams."""
        logs = self.cloud.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}", **only)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return ""
        return "\n".join(event["message"] for event in events)


@dataclass
class Crowd:
    """Asks an endpoint without pause, each request once; counts the answers and keeps what failed."""

    host: Host
    endpoint: str
    threads: int = 3
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[Exception] = field(default_factory=list)

    def __enter__(self) -> Crowd:
        self._over = threading.Event()
        self._running = [threading.Thread(target=self._ask, daemon=True) for _ in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._running:
            thread.join(30)

    def _ask(self) -> None:
        client = self.host.cloud.client("sagemaker-runtime", retries={"total_max_attempts": 1})
        while not self._over.is_set():
            try:
                answer = client.invoke_endpoint(
                    EndpointName=self.endpoint, Body=b"", ContentType="text/csv", Accept="text/csv"
                )
                self.answers[answer["Body"].read().decode()] += 1
            except Exception as error:  # noqa: BLE001, PERF203 (the test looks at all of them)
                self.failures.append(error)

    @property
    def asked(self) -> int:
        return self.answers.total() + len(self.failures)

    def until(self, asked: int, seconds: float = 120.0) -> None:
        """Go on until so many were asked."""
        deadline = time.monotonic() + seconds
        while self.asked < asked and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.asked >= asked
