"""Processing jobs of the local SageMaker: what runs, as whom, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import client_as, eventually, make_role, unique
from tests.local.sagemaking import (
    INPUTS,
    MACHINE,
    an_input,
    an_output,
    ended,
    events_of,
    job_role,
    log_of,
    make_bucket,
    of_bucket,
    processing,
    read,
    run,
)

COUNT = """
import pathlib, sys
source, target = map(pathlib.Path, sys.argv[1:])
found = sorted(str(file.relative_to(source)) for file in source.rglob("*") if file.is_file())
print("read", len(found))
(target / "found.txt").write_text("\\n".join(found))
"""
A_PREFIX = an_input("x", "s3://bucket/prefix")["S3Input"]
SLEEP = "import time; print('asleep', flush=True); time.sleep(60)"


def test_a_script_reads_its_inputs_and_its_outputs_are_written(cloud: LocalCloud) -> None:
    # Given a prefix with two objects
    bucket = make_bucket(cloud, raw__a_csv="1", raw__deep__b_csv="2", other_csv="3")
    request = processing(
        cloud,
        bucket,
        COUNT,
        f"{INPUTS}/raw",
        "/opt/ml/processing/out",
        inputs=[an_input("raw", f"s3://{bucket}/raw")],
        ProcessingOutputConfig={"Outputs": [an_output("out", f"s3://{bucket}/result")]},
    )
    # When a job is run on it
    found = run(cloud, "Processing", request)
    # Then its files are where they were asked for, and its output is in the documented stream
    assert found["ProcessingJobStatus"] == "Completed"
    assert read(cloud, f"s3://{bucket}/result/found.txt").decode() == "a.csv\ndeep/b.csv"
    assert found["ProcessingStartTime"] <= found["ProcessingEndTime"]
    assert log_of(cloud, "Processing", request["ProcessingJobName"]) == ["read 2"]


def test_paths_in_a_shells_text_and_in_the_environment_are_the_containers(cloud: LocalCloud) -> None:
    # Given a shell that copies, and a variable with a path
    bucket = make_bucket(cloud, raw__a_txt="hello")
    request = processing(
        cloud,
        bucket,
        "",
        inputs=[an_input("raw", f"s3://{bucket}/raw/")],
        ProcessingOutputConfig={"Outputs": [an_output("out", f"s3://{bucket}/result")]},
        Environment={"SOURCE": f"{INPUTS}/raw"},
    )
    request["AppSpecification"]["ContainerEntrypoint"] = ["bash", "-c", "cp $SOURCE/a.txt /opt/ml/processing/out/b.txt"]
    # When it is run, then both are found
    assert run(cloud, "Processing", request)["ProcessingJobStatus"] == "Completed"
    assert read(cloud, f"s3://{bucket}/result/b.txt") == b"hello"


def test_a_script_acts_as_the_jobs_role_and_no_more(cloud: LocalCloud) -> None:
    # Given a script that reads a bucket of its own choice
    bucket, secret = make_bucket(cloud), make_bucket(cloud, a_txt="x")
    script = f"import boto3; print(boto3.client('s3').get_object(Bucket='{secret}', Key='a.txt')['Body'].read())"
    generous = job_role(cloud, *of_bucket(bucket), *of_bucket(secret))
    # When it runs as roles that do and do not allow that
    refused = run(cloud, "Processing", processing(cloud, bucket, script))
    allowed = run(cloud, "Processing", processing(cloud, bucket, script, role=generous))
    # Then the policy decides, and the reason points to the log, which tells
    assert (refused["ProcessingJobStatus"], allowed["ProcessingJobStatus"]) == ("Failed", "Completed")
    assert refused["FailureReason"].startswith("AlgorithmError")
    assert "exit code: 1" in refused["FailureReason"]
    assert any("AccessDenied" in line for line in log_of(cloud, "Processing", refused["ProcessingJobName"]))


@pytest.mark.parametrize("missing", ["s3:ListBucket", "s3:GetObject", "s3:PutObject"])
def test_without_a_permission_on_its_data_a_job_fails(cloud: LocalCloud, missing: str) -> None:
    # Given a role that lacks one permission
    bucket = make_bucket(cloud)
    allowed = [
        {"Action": action, "Resource": f"arn:aws:s3:::{bucket}{objects}"}
        for action, objects in (("s3:ListBucket", ""), ("s3:GetObject", "/*"), ("s3:PutObject", "/*"))
        if action != missing
    ]
    request = processing(
        cloud,
        bucket,
        "import sys; open(sys.argv[1] + '/x', 'w').write('x')",
        "/opt/ml/processing/out",
        role=job_role(cloud, *allowed),
        ProcessingOutputConfig={"Outputs": [an_output("out", f"s3://{bucket}/result")]},
    )
    # When the job is run, then it fails, and says what could not be read or written
    found = run(cloud, "Processing", request)
    assert found["ProcessingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("ClientError")
    assert bucket in found["FailureReason"]


@pytest.mark.parametrize("missing", ["logs:CreateLogStream", "logs:PutLogEvents"])
def test_a_job_that_may_not_log_runs_unseen(cloud: LocalCloud, missing: str) -> None:
    # Given a role that lacks one of the permissions on logs
    bucket = make_bucket(cloud)
    group = "arn:aws:logs:*:*:log-group:/aws/sagemaker/*"
    logs = [one for one in ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents") if one != missing]
    role = job_role(cloud, *of_bucket(bucket)[:2], {"Action": logs, "Resource": group})
    # When a job talks
    found = run(cloud, "Processing", processing(cloud, bucket, "print('hello')", role=role))
    # Then it has ended well, and nobody has heard it
    assert found["ProcessingJobStatus"] == "Completed"
    assert log_of(cloud, "Processing", found["ProcessingJobName"]) == []


def test_where_nothing_lies_under_a_prefix_the_job_fails(cloud: LocalCloud) -> None:
    bucket = make_bucket(cloud)
    found = run(cloud, "Processing", processing(cloud, bucket, "", inputs=[an_input("raw", f"s3://{bucket}/raw")]))
    assert "No S3 objects found" in found["FailureReason"]


def test_outputs_are_encrypted_with_the_key_that_the_role_may_use(cloud: LocalCloud) -> None:
    # Given a key, a role that may use it, and one that may not
    bucket = make_bucket(cloud)
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    rich = job_role(cloud, *of_bucket(bucket), {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key})
    outputs = {"Outputs": [an_output("out", f"s3://{bucket}/result")], "KmsKeyId": key}

    def request(role: str = "") -> dict[str, Any]:
        script = "import sys; open(sys.argv[1] + '/x', 'w').write('x')"
        more: dict[str, Any] = {"role": role, "ProcessingOutputConfig": outputs}
        return processing(cloud, bucket, script, "/opt/ml/processing/out", **more)

    # When each runs the job, then the key decides, and the object is encrypted with it
    assert run(cloud, "Processing", request())["ProcessingJobStatus"] == "Failed"
    assert run(cloud, "Processing", request(rich))["ProcessingJobStatus"] == "Completed"
    assert cloud.client("s3").head_object(Bucket=bucket, Key="result/x")["SSEKMSKeyId"] == key


def test_a_role_must_be_passed_and_must_trust_the_service(cloud: LocalCloud) -> None:
    # Given one who may create jobs but pass no role, and a role that trusts another service
    bucket = make_bucket(cloud)
    create = {"Action": "sagemaker:CreateProcessingJob", "Resource": "*"}
    poor = client_as(cloud, make_role(cloud, create), "sagemaker")
    stranger = job_role(cloud, service="lambda.amazonaws.com")
    # When jobs are created, then both are refused
    with pytest.raises(ClientError, match="iam:PassRole"):
        poor.create_processing_job(**processing(cloud, bucket, "0"))
    with pytest.raises(ClientError, match=r"does not let sagemaker\.amazonaws\.com assume it") as refused:
        cloud.client("sagemaker").create_processing_job(**processing(cloud, bucket, "0", role=stranger))
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_an_isolated_job_has_neither_network_nor_keys(cloud: LocalCloud) -> None:
    # Given a script that tries both
    script = (
        "import os, socket\n"
        "print('keys', 'AWS_ACCESS_KEY_ID' in os.environ)\n"
        "socket.create_connection(('127.0.0.1', 9))"
    )
    request = processing(cloud, make_bucket(cloud), script, NetworkConfig={"EnableNetworkIsolation": True})
    # When it is run, then it fails at the connection, had no keys, and its output is told all the same
    found = run(cloud, "Processing", request)
    assert found["ProcessingJobStatus"] == "Failed"
    lines = log_of(cloud, "Processing", found["ProcessingJobName"])
    assert "keys False" in lines
    assert "no network" in lines[-1]


def test_a_job_is_stopped(cloud: LocalCloud) -> None:
    # Given a job that runs
    sagemaker = cloud.client("sagemaker")
    request = processing(cloud, make_bucket(cloud), SLEEP)
    name = request["ProcessingJobName"]
    sagemaker.create_processing_job(**request)
    eventually(lambda: "ProcessingStartTime" in sagemaker.describe_processing_job(ProcessingJobName=name))
    # When it is stopped
    sagemaker.stop_processing_job(ProcessingJobName=name)
    # Then it ends as stopped, and cannot be stopped again
    assert ended(cloud, "Processing", name)["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.stop_processing_job(ProcessingJobName=name)


def test_a_job_that_runs_out_of_its_time_is_ended(cloud: LocalCloud) -> None:
    request = processing(cloud, make_bucket(cloud), SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert run(cloud, "Processing", request)["ProcessingJobStatus"] == "Stopped"


def test_what_a_container_says_in_the_end_is_told(cloud: LocalCloud) -> None:
    # Given a script that leaves a message and a failure
    script = "import sys, pathlib; out = pathlib.Path(sys.argv[1])\n(out / 'message').write_text('ä' * 2000)\n"
    script += "(out / 'failure').write_text('No data today'); sys.exit(7)"
    # When it is run, then the message is cut to 1 KB, and the failure is the reason
    found = run(cloud, "Processing", processing(cloud, make_bucket(cloud), script, "/opt/ml/output"))
    assert found["ExitMessage"] == "ä" * 512
    assert found["FailureReason"] == "AlgorithmError: No data today, exit code: 7"


@pytest.mark.parametrize(("kind", "reason"), [("fail-job", "InternalServerError"), ("kill-job", "exit code: 137")])
def test_faults_befall_jobs(cloud: LocalCloud, kind: str, reason: str) -> None:
    # Given a fault
    rule = cloud.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind=kind, times=1)
    # When a job is run
    try:
        found = run(cloud, "Processing", processing(cloud, make_bucket(cloud), SLEEP))
    finally:
        cloud.control.faults_clear(rule)
    # Then it fails for that
    assert found["ProcessingJobStatus"] == "Failed"
    assert reason in found["FailureReason"]


def test_names_are_used_once_and_must_be_there(cloud: LocalCloud) -> None:
    # Given a job
    sagemaker = cloud.client("sagemaker")
    request = processing(cloud, make_bucket(cloud), "0")
    run(cloud, "Processing", request)
    # When its name is used again, in whatever letters, or a name that is not there is asked for, then it is refused
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_processing_job(**{**request, "ProcessingJobName": request["ProcessingJobName"].upper()})
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.describe_processing_job(ProcessingJobName=unique("no"))


@pytest.mark.parametrize(
    "change",
    [
        {"ProcessingResources": {"ClusterConfig": {**MACHINE, "InstanceCount": 2}}},
        {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "x", "FeatureStoreOutput": {"FeatureGroupName": "x"}}]}},
        {
            "ProcessingInputs": [
                {"InputName": "x", "S3Input": {**an_input("x", "s3://x/x")["S3Input"], "S3InputMode": "Pipe"}}
            ]
        },
    ],
    ids=["instances", "features", "pipe"],
)
def test_what_is_not_served_is_refused(cloud: LocalCloud, change: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="does not serve"):
        cloud.client("sagemaker").create_processing_job(**processing(cloud, make_bucket(cloud), "0", **change))


def test_an_image_that_nobody_plays_is_refused_by_the_job(cloud: LocalCloud) -> None:
    request = processing(cloud, make_bucket(cloud), "0")
    request["AppSpecification"]["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    found = run(cloud, "Processing", request)
    assert "mine:1" in found["FailureReason"]
    assert found["ProcessingJobStatus"] == "Failed"


def test_jobs_are_listed_and_tagged(cloud: LocalCloud) -> None:
    # Given two jobs with a word in common, one of which failed
    sagemaker, word, bucket = cloud.client("sagemaker"), unique("word"), make_bucket(cloud)
    for number, script in enumerate(("0", "1/0")):
        tags = [{"Key": "number", "Value": str(number)}]
        run(cloud, "Processing", processing(cloud, bucket, script, ProcessingJobName=f"{word}-{number}", Tags=tags))
    # When they are listed
    found = sagemaker.list_processing_jobs(NameContains=word, SortBy="Name", SortOrder="Ascending")
    failed = sagemaker.list_processing_jobs(NameContains=word, StatusEquals="Failed")
    page = sagemaker.list_processing_jobs(NameContains=word, MaxResults=1)
    # Then filters, order and pages hold, and tags are kept by the ARN
    names = [one["ProcessingJobName"] for one in found["ProcessingJobSummaries"]]
    assert names == [f"{word}-0", f"{word}-1"]
    assert [one["ProcessingJobName"] for one in failed["ProcessingJobSummaries"]] == [f"{word}-1"]
    assert len(page["ProcessingJobSummaries"]) == 1
    assert page["NextToken"]
    arn = found["ProcessingJobSummaries"][0]["ProcessingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["number"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "more", "Value": "1"}]


def test_who_makes_something_with_tags_must_be_allowed_to_tag_it(cloud: LocalCloud) -> None:
    # Given one who may create jobs and pass their role, and one who may tag them, too
    bucket = make_bucket(cloud)
    jobs = job_role(cloud, *of_bucket(bucket))
    mine = "arn:aws:sagemaker:*:*:processing-job/*"
    create = [
        {"Action": "sagemaker:CreateProcessingJob", "Resource": mine},
        {"Action": "iam:PassRole", "Resource": jobs},
    ]
    poor = client_as(cloud, make_role(cloud, *create), "sagemaker")
    rich = client_as(cloud, make_role(cloud, *create, {"Action": "sagemaker:AddTags", "Resource": mine}), "sagemaker")
    request = processing(cloud, bucket, "0", role=jobs, Tags=[{"Key": "a", "Value": "b"}])
    # When each makes one with tags, then only the latter may
    with pytest.raises(ClientError, match="sagemaker:AddTags"):
        poor.create_processing_job(**request)
    rich.create_processing_job(**request)


def test_each_state_of_a_job_is_an_event(cloud: LocalCloud) -> None:
    # Given a rule that sends the events of jobs to a queue
    with events_of(cloud, "SageMaker Processing Job State Change") as told:
        # When a job is run
        found = run(cloud, "Processing", processing(cloud, make_bucket(cloud), "0"))
        # Then its first and its last state are told, in milliseconds
        states: list[Any] = []

        def both() -> bool:
            states.extend(one for one in told() if one["resources"] == [found["ProcessingJobArn"]])
            return {"InProgress", "Completed"} <= {one["detail"]["ProcessingJobStatus"] for one in states}

        assert eventually(both)
        assert {one["source"] for one in states} == {"aws.sagemaker"}
        assert states[0]["detail"]["CreationTime"] == int(found["CreationTime"].timestamp() * 1000)
