"""Small things that tests of the local SageMaker share: roles, buckets, scripts that start in a moment."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from local.cloud import LocalCloud
from tests.local.emulated import eventually, make_queue, messages, policy, unique

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
MACHINE = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
INPUTS = "/opt/ml/processing/input"
ENDS = ("Completed", "Failed", "Stopped")


def job_role(cloud: LocalCloud, *statements: dict[str, Any], service: str = "sagemaker.amazonaws.com") -> str:
    """A role that a service may assume, with these permissions; returns its ARN."""
    name = unique("job")
    trust = policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole"})
    iam = cloud.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
    return arn


def of_bucket(bucket: str) -> list[dict[str, Any]]:
    """What a job needs of a bucket, and of CloudWatch."""
    return [
        {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
        {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/*"},
        {
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/sagemaker/*",
        },
        {"Action": "cloudwatch:PutMetricData", "Resource": "*"},
    ]


def make_bucket(cloud: LocalCloud, **objects: str | bytes) -> str:
    """A bucket with objects; "__" in a keyword is a slash and "_" a dot."""
    name = unique("data")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    for keyword, body in objects.items():
        s3.put_object(Bucket=name, Key=keyword.replace("__", "/").replace("_", "."), Body=body)
    return name


def read(cloud: LocalCloud, uri: str) -> bytes:
    """An object by its `s3://` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def packed(**files: str) -> bytes:
    """A tar.gz of modules by their name without `.py`."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            item = tarfile.TarInfo(f"{name}.py")
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))
    return archive.getvalue()


def processing(
    cloud: LocalCloud,
    bucket: str,
    script: str,
    *arguments: str,
    role: str = "",
    inputs: Sequence[Any] = (),
    **more: Any,
) -> dict[str, Any]:
    """A request for a processing job that runs a Python script from the bucket; `more` overrides.

    `role` defaults to one with all that it needs of the bucket.
    """
    key = f"code-{hashlib.sha256(script.encode()).hexdigest()[:12]}/script.py"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=script)
    code = f"{INPUTS}/code/script.py"
    return {
        "ProcessingJobName": unique("process"),
        "RoleArn": role or job_role(cloud, *of_bucket(bucket)),
        "AppSpecification": {"ImageUri": SKLEARN, "ContainerEntrypoint": ["python3", code, *arguments]},
        "ProcessingResources": {"ClusterConfig": MACHINE},
        "ProcessingInputs": [an_input("code", f"s3://{bucket}/{key}"), *inputs],
        **more,
    }


def an_input(name: str, uri: str) -> dict[str, Any]:
    """A processing input at /opt/ml/processing/input/<name>."""
    where = {"S3Uri": uri, "LocalPath": f"{INPUTS}/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": where}


def an_output(name: str, uri: str) -> dict[str, Any]:
    """A processing output from /opt/ml/processing/<name>."""
    where = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": where}


def training(role: str, bucket: str, **more: Any) -> dict[str, Any]:
    """A request for a training job whose code is at `code.tar.gz` of the bucket and starts with `train.py`."""
    given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{bucket}/code.tar.gz"}
    request: dict[str, Any] = {
        "TrainingJobName": unique("train"),
        "RoleArn": role,
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": MACHINE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }
    request["HyperParameters"] = {**given, **more.get("HyperParameters", {})}
    return request


def ended(cloud: LocalCloud, noun: str, name: str, seconds: float = 30.0) -> dict[str, Any]:
    """A job's description when it has ended; `noun` is Processing, Training or Transform."""
    sagemaker = cloud.client("sagemaker")
    describe: Callable[..., dict[str, Any]] = getattr(sagemaker, f"describe_{noun.lower()}_job")

    def look() -> dict[str, Any] | None:
        found = describe(**{f"{noun}JobName": name})
        return found if found[f"{noun}JobStatus"] in ENDS else None

    found = eventually(look, seconds)
    assert found is not None
    return found


def run(cloud: LocalCloud, noun: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Create a job and wait for its end; returns its description."""
    getattr(cloud.client("sagemaker"), f"create_{noun.lower()}_job")(**request)
    return ended(cloud, noun, request[f"{noun}JobName"])


def log_of(cloud: LocalCloud, noun: str, name: str) -> list[str]:
    """The lines of a job's log."""
    logs = cloud.client("logs")
    group = f"/aws/sagemaker/{noun}Jobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    return [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
    ]


def unpacked(archive: bytes) -> dict[str, bytes]:
    """The files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar if item.isfile()}


def as_json(body: bytes) -> Any:
    """Decoded JSON."""
    return json.loads(body)


@contextmanager
def events_of(cloud: LocalCloud, detail_type: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A rule that sends events to a queue; gives a function that returns those that came since the last look."""
    events, sqs = cloud.client("events"), cloud.client("sqs")
    url, arn = make_queue(cloud)
    rule = unique("rule")
    pattern = {"source": ["aws.sagemaker"], "detail-type": [detail_type]}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    allow = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])

    def look() -> list[dict[str, Any]]:
        found = messages(cloud, url)
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    try:
        yield look
    finally:
        events.remove_targets(Rule=rule, Ids=["queue"])
        events.delete_rule(Name=rule)
        sqs.delete_queue(QueueUrl=url)
