"""Training jobs of the local SageMaker: script mode, metrics, limits, spot and checkpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import eventually
from tests.local.sagemaking import (
    as_json,
    ended,
    job_role,
    log_of,
    make_bucket,
    of_bucket,
    packed,
    read,
    run,
    training,
    unpacked,
)

TRAIN = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
parser.add_argument("--word")
given = parser.parse_args()
rows = (pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]) / "a.csv").read_text().split()
for step, row in enumerate(rows):
    print(f"[{step}] loss={float(row):.2f};")
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "model.json").write_text(json.dumps({"depth": given.depth, "word": given.word, "cwd": os.getcwd()}))
(pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "extra.txt").write_text(os.environ["SM_HPS"])
"""
# Counts its starts in a checkpoint; the first start waits to be interrupted.
RESUME = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[2])
state = folder / "starts.txt"
starts = int(state.read_text()) + 1 if state.exists() else 1
state.write_text(str(starts))
print("start", starts, flush=True)
if starts == 1:
    time.sleep(60)
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "starts.txt").write_text(str(starts))
"""
SLEEP = """
import os, pathlib, time
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "half.txt").write_text("half")
print("asleep", flush=True)
time.sleep(60)
"""


def channel(bucket: str) -> dict[str, Any]:
    """The channel `train` of a bucket's prefix `train/`."""
    return {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train/"}},
        "ContentType": "text/csv",
    }


def prepared(cloud: LocalCloud, script: str) -> tuple[str, str]:
    """A bucket with code and data, and a role for it."""
    bucket = make_bucket(cloud, code_tar_gz=packed(train=script), train__a_csv="3.5\n1.25\n")
    return bucket, job_role(cloud, *of_bucket(bucket))


def test_a_script_is_trained_by_the_toolkits_contract(cloud: LocalCloud) -> None:
    # Given a script, hyperparameters as JSON and as plain text, and a metric
    bucket, role = prepared(cloud, TRAIN)
    request = training(role, bucket, InputDataConfig=[channel(bucket)], HyperParameters={"depth": "4", "word": '"a b"'})
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=([0-9.]+);"}]
    # When it is trained
    found = run(cloud, "Training", request)
    # Then the model is packed where it was said, and what else was left beside it
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Completed"
    uri = f"s3://{bucket}/models/{request['TrainingJobName']}/output"
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == f"{uri}/model.tar.gz"
    model = as_json(unpacked(read(cloud, f"{uri}/model.tar.gz"))["model.json"])
    assert model["depth"] == 4
    assert model["word"] == "a b"
    assert model["cwd"].endswith("/opt/ml/code")
    assert as_json(unpacked(read(cloud, f"{uri}/output.tar.gz"))["extra.txt"]) == {"depth": 4, "word": "a b"}
    # And the last value of the metric is told, all of them are in CloudWatch, and the states were gone through
    assert [(one["MetricName"], one["Value"]) for one in found["FinalMetricDataList"]] == [("loss", 1.25)]
    metrics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": request["TrainingJobName"]}],
        StartTime=found["CreationTime"],
        EndTime=found["TrainingEndTime"].timestamp() + 60,
        Period=3600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert sum(one["SampleCount"] for one in metrics) == 2
    states = [one["Status"] for one in found["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_an_entry_point_of_ones_own_is_run(cloud: LocalCloud) -> None:
    # Given a job with a command instead of the toolkit's hyperparameters
    bucket, role = prepared(cloud, TRAIN)
    request = training(role, bucket, InputDataConfig=[channel(bucket)])
    request["HyperParameters"] = {}
    command = {
        "ContainerEntrypoint": ["bash", "-c"],
        "ContainerArguments": ["cp /opt/ml/input/data/train/* $SM_MODEL_DIR"],
    }
    request["AlgorithmSpecification"] |= command
    # When it is trained, then that made the model
    found = run(cloud, "Training", request)
    assert unpacked(read(cloud, found["ModelArtifacts"]["S3ModelArtifacts"]))["a.csv"] == b"3.5\n1.25\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("1/0", 'ErrorMessage "ZeroDivisionError: division by zero", exit code: 1'),
        ("open('../output/failure', 'w').write('Too few rows'); 1/0", "AlgorithmError: Too few rows, exit code: 1"),
    ],
)
def test_a_script_that_fails_tells_why(cloud: LocalCloud, script: str, reason: str) -> None:
    bucket, role = prepared(cloud, script)
    found = run(cloud, "Training", training(role, bucket))
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Failed"
    assert found["FailureReason"].endswith(reason)


def test_without_a_script_a_job_fails_for_there_are_no_algorithms(cloud: LocalCloud) -> None:
    bucket, role = prepared(cloud, TRAIN)
    request = training(role, bucket)
    request["HyperParameters"] = {"num_round": "10"}
    assert "no built-in algorithms" in run(cloud, "Training", request)["FailureReason"]


def test_an_isolated_job_gets_its_code_by_a_channel(cloud: LocalCloud) -> None:
    # Given isolation, under which the toolkit cannot fetch its code
    bucket, role = prepared(cloud, "import os; open(os.environ['SM_MODEL_DIR'] + '/x', 'w').write('x')")
    code = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/code.tar.gz"}
    by_channel = training(
        role,
        bucket,
        EnableNetworkIsolation=True,
        InputDataConfig=[{"ChannelName": "code", "DataSource": {"S3DataSource": code}}],
        HyperParameters={"sagemaker_submit_directory": "/opt/ml/input/data/code/code.tar.gz"},
    )
    # When the code is named in S3, and when it is brought as a channel, then only the latter trains
    refused = run(cloud, "Training", training(role, bucket, EnableNetworkIsolation=True))
    assert "has no network" in refused["FailureReason"]
    assert run(cloud, "Training", by_channel)["TrainingJobStatus"] == "Completed"


def test_a_stopped_job_keeps_what_it_has(cloud: LocalCloud) -> None:
    # Given a job that sleeps over half a model
    sagemaker = cloud.client("sagemaker")
    bucket, role = prepared(cloud, SLEEP)
    request = training(role, bucket)
    name = request["TrainingJobName"]
    sagemaker.create_training_job(**request)
    eventually(lambda: sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training")
    eventually(lambda: any("asleep" in line for line in _log(cloud, name)))
    # When it is stopped
    sagemaker.stop_training_job(TrainingJobName=name)
    # Then it is, and the half is there
    found = ended(cloud, "Training", name)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert unpacked(read(cloud, found["ModelArtifacts"]["S3ModelArtifacts"]))["half.txt"] == b"half"


def _log(cloud: LocalCloud, name: str) -> list[str]:
    try:
        return log_of(cloud, "Training", name)
    except ClientError:
        return []


def test_a_job_that_runs_out_of_its_time_says_so(cloud: LocalCloud) -> None:
    bucket, role = prepared(cloud, SLEEP)
    found = run(cloud, "Training", training(role, bucket, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_spot_instance_that_is_taken_away_goes_on_from_its_checkpoint(cloud: LocalCloud) -> None:
    # Given a spot job with checkpoints, whose instance will be taken away
    bucket, role = prepared(cloud, RESUME)
    request = training(
        role,
        bucket,
        EnableManagedSpotTraining=True,
        CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        HyperParameters={"checkpoints": "/opt/ml/checkpoints"},
    )
    rule = cloud.control.faults_add(
        service="sagemaker", operation="CreateTrainingJob", kind="interrupt-job", times=1, seconds=0.5
    )
    # When it is trained
    try:
        found = run(cloud, "Training", request)
    finally:
        cloud.control.faults_clear(rule)
    # Then it began twice, and knew so the second time
    assert found["TrainingJobStatus"] == "Completed"
    assert read(cloud, f"s3://{bucket}/checkpoints/starts.txt") == b"2"
    assert unpacked(read(cloud, found["ModelArtifacts"]["S3ModelArtifacts"]))["starts.txt"] == b"2"
    assert "Interrupted" in [one["Status"] for one in found["SecondaryStatusTransitions"]]
    assert log_of(cloud, "Training", request["TrainingJobName"]) == ["start 1", "start 2"]


def test_an_internal_error_is_tried_again_where_that_was_asked_for(cloud: LocalCloud) -> None:
    # Given a fault that strikes twice
    bucket, role = prepared(cloud, "0")
    rule = cloud.control.faults_add(service="sagemaker", operation="CreateTrainingJob", kind="fail-job", times=2)
    # When jobs without and with a strategy are run, then only the latter gets over it
    try:
        failed = run(cloud, "Training", training(role, bucket))
        found = run(cloud, "Training", training(role, bucket, RetryStrategy={"MaximumRetryAttempts": 1}))
    finally:
        cloud.control.faults_clear(rule)
    assert failed["FailureReason"].startswith("InternalServerError")
    assert found["TrainingJobStatus"] == "Completed"


def test_no_more_jobs_run_at_once_than_there_are_cores(cloud: LocalCloud) -> None:
    # Given more sleeping jobs than any machine of a test has cores
    sagemaker = cloud.client("sagemaker")
    bucket, role = prepared(cloud, SLEEP)
    names = []
    for _ in range(_cores() + 1):
        request = training(role, bucket)
        sagemaker.create_training_job(**request)
        names.append(request["TrainingJobName"])

    def states() -> list[str]:
        return [str(sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"]) for name in names]

    # When all that can run do so, then one waits, and stops without having run
    eventually(lambda: states().count("Training") == _cores())
    assert states()[-1] == "Starting"
    for name in reversed(names):
        sagemaker.stop_training_job(TrainingJobName=name)
    found = [ended(cloud, "Training", name) for name in names]
    assert {one["TrainingJobStatus"] for one in found} == {"Stopped"}
    assert "Training" not in [one["Status"] for one in found[-1]["SecondaryStatusTransitions"]]


def _cores() -> int:
    import os

    return os.cpu_count() or 1


@pytest.mark.parametrize(
    "change",
    [
        {"EnableManagedSpotTraining": True},
        {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
        {"ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        {"DebugHookConfig": {"S3OutputPath": "s3://bucket/debug"}},
    ],
    ids=lambda change: json.dumps(change)[:30],
)
def test_a_request_that_makes_no_sense_or_is_not_served_is_refused(cloud: LocalCloud, change: dict[str, Any]) -> None:
    bucket, role = prepared(cloud, "0")
    with pytest.raises(ClientError, match=r"MaxWaitTimeInSeconds|does not serve"):
        cloud.client("sagemaker").create_training_job(**training(role, bucket, **change))
