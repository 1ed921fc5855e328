"""Transform jobs of the local SageMaker: a model's answers to files."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import unique
from tests.local.hosted import Host
from tests.local.sagemaking import job_role, log_of, of_bucket, read, run


@pytest.fixture(scope="module")
def host(cloud: LocalCloud) -> Host:
    return Host.make(cloud)


def transform(host: Host, model: str, **more: Any) -> dict[str, Any]:
    """A request for a transform job over `in/` of the bucket, to a prefix of its own."""
    name = unique("transform")
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{host.bucket}/in/{name}/"}}}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {**source, "ContentType": "text/csv", "SplitType": "Line", **more.pop("source", {})},
        "TransformOutput": {
            "S3OutputPath": f"s3://{host.bucket}/out/{name}",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


def put(host: Host, request: dict[str, Any], **files: str | bytes) -> None:
    """The files that a job is to transform."""
    for name, body in files.items():
        key = f"in/{request['TransformJobName']}/{name}.csv"
        host.cloud.client("s3").put_object(Bucket=host.bucket, Key=key, Body=body)


def answer(host: Host, request: dict[str, Any], name: str) -> str:
    """What was answered to a file."""
    return read(host.cloud, f"{request['TransformOutput']['S3OutputPath']}/{name}.csv.out").decode()


def test_each_file_gets_its_answers(host: Host) -> None:
    # Given two files, one line a request
    request = transform(host, host.model(">"), BatchStrategy="SingleRecord")
    put(host, request, a="1,2\n3,4\n", b="5,6")
    # When they are transformed
    found = run(host.cloud, "Transform", request)
    # Then each line has its answer, in a file beside the others
    assert found["TransformJobStatus"] == "Completed"
    assert answer(host, request, "a") == ">1,2\n>3,4\n"
    assert answer(host, request, "b") == ">5,6\n"


def test_lines_are_sent_together_as_far_as_they_may(host: Host) -> None:
    # Given many lines, zipped, and the variable by which the model answers set by the job
    request = transform(
        host, host.model(), BatchStrategy="MultiRecord", Environment={"ANSWER": "#"}, source={"CompressionType": "Gzip"}
    )
    put(host, request, a=gzip.compress(b"1\n2\n3\n"))
    # When they are transformed, then the model was asked once
    run(host.cloud, "Transform", request)
    assert answer(host, request, "a") == "#1\n2\n3\n"


def test_a_file_that_the_model_refuses_fails_the_job_and_spares_the_others(host: Host) -> None:
    # Given a file that makes trouble, and one that does not
    once = {"InvocationsMaxRetries": 0}
    request = transform(host, host.model(), BatchStrategy="SingleRecord", ModelClientConfig=once)
    put(host, request, a="bad", b="good")
    # When they are transformed
    found = run(host.cloud, "Transform", request)
    # Then the job has failed, the log tells which, and the other answer is there
    assert found["TransformJobStatus"] == "Failed"
    lines = log_of(host.cloud, "Transform", found["TransformJobName"])
    assert any(line.startswith("a.csv: Bad HTTP status") for line in lines)
    assert answer(host, request, "b") == "good\n"
    with pytest.raises(ClientError, match="NoSuchKey"):
        answer(host, request, "a")


def test_answers_are_written_as_the_models_role(host: Host) -> None:
    # Given a model whose role may read, and not write
    reading = [item for item in of_bucket(host.bucket) if item["Action"] == "s3:ListBucket"]
    reading.append({"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{host.bucket}/*"})
    request = transform(host, host.model(ExecutionRoleArn=job_role(host.cloud, *reading)))
    put(host, request, a="1")
    # When it is to transform, then it fails for that
    assert "cannot be written" in run(host.cloud, "Transform", request)["FailureReason"]


def test_a_container_that_is_killed_fails_the_job(host: Host) -> None:
    request = transform(host, host.model())
    put(host, request, a="1")
    rule = host.cloud.control.faults_add(service="sagemaker", operation="CreateTransformJob", kind="kill-job", times=1)
    try:
        found = run(host.cloud, "Transform", request)
    finally:
        host.cloud.control.faults_clear(rule)
    assert "has ended" in found["FailureReason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"DataProcessing": {"JoinSource": "Input"}}, "does not serve"),
        ({"BatchStrategy": "SingleRecord", "source": {"SplitType": "None"}}, "SplitType"),
        ({"ModelName": "not-there"}, "not-there"),
    ],
    ids=["join", "split", "model"],
)
def test_what_is_not_served_or_makes_no_sense_is_refused(host: Host, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        host.sagemaker.create_transform_job(**{**transform(host, host.model(), **change)})
