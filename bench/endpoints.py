"""An endpoint of the local cloud beside the bare container that serves it, asked in turns, in the same run.

The model is a few lines of Python, so that what is measured is what lies between: the client, the gateway with its
decision, the routing and the capture of data. The bare predict call is a request to the endpoint's own process on a
connection that is kept, as the endpoint makes it.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import statistics
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
from rich.table import Table

from bench.measure import percentile
from local.cloud import LocalCloud
from local.containers import serve

MAXIMUM_OVERHEAD_SECONDS = 0.010
MOST_REQUESTS = 500
WARM_UP_REQUESTS = 20
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
NAME, BUCKET = "bench", "bench-endpoints"
ROW = b"12.5,ambient,3,0.25,8"
SCRIPT = b"""
def model_fn(folder):
    return 0.5

def input_fn(data, content_type):
    return [float(value) if value[:1].isdigit() else 0.0 for value in data.split(",")]

def predict_fn(row, model):
    return sum(row) * model

def output_fn(prediction, accept):
    return str(prediction), "text/csv"
"""


@dataclass(frozen=True)
class Figures:
    """Seconds of each request."""

    bare: tuple[float, ...]
    through: tuple[float, ...]

    @property
    def overhead(self) -> float:
        """What an endpoint adds to a request, by the medians."""
        return statistics.median(self.through) - statistics.median(self.bare)

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        if self.overhead <= MAXIMUM_OVERHEAD_SECONDS:
            return []
        return [
            f"InvokeEndpoint takes {self.overhead * 1000:.1f} ms longer than the bare predict call,"
            f" {MAXIMUM_OVERHEAD_SECONDS * 1000:g} ms are the bar"
        ]

    def table(self) -> Table:
        """The figures as people read them."""
        table = Table(title=f"An endpoint, {len(self.through)} requests")
        for heading in ("", "p50", "p95"):
            table.add_column(heading, justify="left" if not heading else "right")
        for label, values in (("bare predict call", self.bare), ("InvokeEndpoint", self.through)):
            table.add_row(
                label, f"{statistics.median(values) * 1000:.2f} ms", f"{percentile(values, 95) * 1000:.2f} ms"
            )
        table.add_row("overhead", f"{self.overhead * 1000:.2f} ms", "")
        return table


def run(requests: int, say: Callable[[str], object]) -> Figures:
    """`requests` bounds their number, of which there are five hundred at most."""
    say("Starting a local cloud with an endpoint ...")
    bare, through = [], []
    with LocalCloud.start(f"bench-{NAME}") as cloud:
        _deploy(cloud)
        runtime, container = cloud.client("sagemaker-runtime"), _container(cloud)
        for number in range(min(requests, MOST_REQUESTS) + WARM_UP_REQUESTS):
            began = time.perf_counter()
            container.request("POST", "/invocations", ROW, {"Content-Type": "text/csv"})
            container.getresponse().read()
            asked = time.perf_counter()
            runtime.invoke_endpoint(EndpointName=NAME, Body=ROW, ContentType="text/csv")["Body"].read()
            ended = time.perf_counter()
            if number >= WARM_UP_REQUESTS:
                bare.append(asked - began)
                through.append(ended - asked)
    return Figures(tuple(bare), tuple(through))


def _deploy(cloud: LocalCloud) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        item = tarfile.TarInfo("code/inference.py")
        item.size = len(SCRIPT)
        archive.addfile(item, io.BytesIO(SCRIPT))
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    cloud.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=packed.getvalue())
    sagemaker = cloud.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=_role(cloud), PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/captures",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }
    sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant], DataCaptureConfig=capture)
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _role(cloud: LocalCloud) -> str:
    def document(**statement: Any) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})

    iam = cloud.client("iam")
    trust = document(Principal={"Service": "sagemaker.amazonaws.com"}, Action="sts:AssumeRole")
    arn: str = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    objects = document(Action=["s3:GetObject", "s3:PutObject"], Resource=f"arn:aws:s3:::{BUCKET}/*")
    iam.put_role_policy(RoleName=NAME, PolicyName="objects", PolicyDocument=objects)
    return arn


def _container(cloud: LocalCloud) -> http.client.HTTPConnection:
    """A connection to the process behind the endpoint. Raises RuntimeError when it cannot be found."""
    for process in psutil.Process(cloud.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if serve.__file__ in process.cmdline():
                for connection in process.net_connections("tcp4"):
                    if connection.status == psutil.CONN_LISTEN:
                        return http.client.HTTPConnection("127.0.0.1", connection.laddr.port)
    raise RuntimeError("The endpoint's process was not found")
