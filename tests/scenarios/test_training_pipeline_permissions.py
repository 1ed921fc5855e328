"""Train, evaluate and register a model: every grant is used, and without it the flow stops where it should."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Granted, PermissionReport, Status, compare, granted
from pipelines.tumors.samples import load
from scenarios import training_pipeline
from tests.local.emulated import decided, last_sequence, messages, start, unique
from tests.local.sagemaking import XGBOOST, log_of
from tests.scenarios.driver import only_denials
from tests.scenarios.removals import of_each_role
from tests.scenarios.shop import TRAINING, Shop, data
from tests.waiting import never, until

ROWS = 1200
ANY_MODEL = {"MetricThreshold": "0.01"}


@dataclass(frozen=True)
class Life:
    """A copy of the stack that was deployed, driven by its scenario and destroyed, and what was decided meanwhile."""

    granted: Granted
    decisions: list[dict[str, Any]]
    trained: training_pipeline.Report
    destroyed: bool

    def report(self) -> PermissionReport:
        return compare(self.granted, self.decisions, architecture=TRAINING)


@pytest.fixture(scope="module")
def life(cloud: LocalCloud) -> Life:
    """One life: an execution that is stopped or fails at each of its jobs and goes on; a start that fails; an end.

    Stops and failures are what makes a pipeline stop jobs, and its failures be told. It is the use case that no other
    test deploys; the roles are the same.
    """
    name = f"life-training-{os.getpid()}"
    # These are SageMaker's and the account's. A job makes one where there is none, as in a new account.
    logs = cloud.client("logs")
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"]:
        if group["logGroupName"].endswith(("ProcessingJobs", "TrainingJobs")):
            logs.delete_log_group(logGroupName=group["logGroupName"])
    since = last_sequence(cloud)
    assembly = synthesize(TRAINING, settings={TRAINING: {"use_case": "tumors"}})
    try:
        shop = Shop(cloud, deploy(cloud, assembly, name, artifact=TRAINING), {}, {})
        trained = _trials(shop)
        # Nobody can start anything: the start tells so.
        rule = cloud.control.faults_add(service="sagemaker", operation="StartPipelineExecution", kind="internal")
        with shop.listening(shop.training["FailureTopicArn"]) as look:
            start(cloud, shop.training["StartArn"], {"id": "nothing starts"})
            shop.hurry(look, "the topic to be told")
        cloud.control.faults_clear(rule)
        # A second one is compared with the first, which is approved, and runs at the end of the stack.
        (package,) = cloud.client("sagemaker").list_model_packages(ModelPackageGroupName=name)[
            "ModelPackageSummaryList"
        ]
        cloud.client("sagemaker").update_model_package(
            ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
        )
        before = training_pipeline.executions(cloud, shop.training)
        cloud.control.faults_add(
            service="sagemaker", operation="CreateProcessingJob", kind="slow-job", seconds=3, times=1
        )
        training_pipeline.upload(cloud, shop.training, {"b.csv": tumors()})
        until(lambda: training_pipeline.executions(cloud, shop.training) - before, "the second one", seconds=30)
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
        cloud.control.faults_clear()
    names = [one["PipelineName"] for one in cloud.client("sagemaker").list_pipelines()["PipelineSummaries"]]
    return Life(grants, cloud.control.decisions(since=since), trained, name not in names)


def tumors() -> bytes:
    """All tumours with their labels, as CSV with a header."""
    return bytes(load().to_csv(index=False).encode())


def _trials(shop: Shop) -> training_pipeline.Report:
    """An execution that is stopped once at each job, fails once at each processing job, and ends well."""
    control = shop.cloud.control

    def killed(step: str) -> None:
        with shop.listening(shop.training["FailureTopicArn"]) as look:
            report = shop.end_of(execution)
            assert (report.status, report.reason.partition(":")[0]) == ("FAILED", step), report
            assert shop.told_once(look, execution)["step"] == step

    def stopped(step: str) -> None:
        shop.wait_for_job(execution, step)
        shop.stop(execution)
        report = shop.end_of(execution)
        states = {one.name: one.status for one in report.steps}
        assert (report.status, states[step]) == ("STOPPED", "Stopped"), report

    def fault(kind: str, noun: str = "Processing") -> None:
        seconds = 1 if kind == "slow-job" else 0
        control.faults_add(service="sagemaker", operation=f"Create{noun}Job", kind=kind, seconds=seconds, times=1)

    training_pipeline.upload(shop.cloud, shop.training, {"a.csv": tumors()}, ready=False)
    fault("kill-job")
    execution = shop.start(DataVersion="life")
    killed("Prepare")
    fault("slow-job")
    shop.again(execution)
    stopped("Prepare")
    fault("slow-job", "Training")
    shop.again(execution)
    stopped("Train")
    fault("slow-job")
    shop.again(execution)
    stopped("Evaluate")
    fault("kill-job")
    shop.again(execution)
    killed("Evaluate")
    shop.again(execution)
    stopped("Baseline")
    fault("kill-job")
    shop.again(execution)
    killed("Baseline")
    shop.again(execution)
    report = shop.end_of(execution)
    assert report.status == "REGISTERED", report
    return report


def test_a_model_of_tumours_is_as_good_as_is_promised(life: Life) -> None:
    # Given the other use case, deployed, When its model is evaluated on rows that it was not trained with
    metrics = life.trained.evaluation["binary_classification_metrics"]
    # Then it reaches the bar
    assert metrics["auc"]["value"] >= 0.99
    assert metrics["recall"]["value"] >= 0.9


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(life: Life) -> None:
    # Given a stack's whole life, When what it was granted is compared with what it did
    report = life.report()
    # Then there is nothing to mend
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
    # And each of its principals was seen at work
    used = {unit.role for unit in report.units if unit.status is Status.USED}
    idle = {unit.role for unit in report.units if unit.status is not Status.NOT_CHECKABLE} - used
    assert idle <= {"events.amazonaws.com"}, idle
    # And of the stack, with an execution that ran and a package, nothing is left
    assert life.destroyed


# --- without a permission ---------------------------------------------------------------------------------------------


def role_of(school: Shop, logical: str) -> str:
    """The name of a role of the stack ("Tell"), by its id in the template."""
    pages = school.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=TRAINING)
    (found,) = (
        one["PhysicalResourceId"]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] == "AWS::IAM::Role" and one["LogicalResourceId"][:-8] == f"{logical}Role"
    )
    return str(found)


@pytest.fixture(scope="module")
def prepared(cloud: LocalCloud) -> str:
    """The version of data whose steps are in the cache as soon as one execution has done them."""
    return unique("rights")


@pytest.mark.parametrize(
    ("role", "action", "step"),
    of_each_role(
        [
            ("Processing", "s3:ListBucket", "Prepare"),
            ("Processing", "s3:GetObject", "Prepare"),
            ("Processing", "s3:PutObject", "Prepare"),
            ("Processing", "kms:Decrypt", "Prepare"),
            ("Processing", "kms:GenerateDataKey", "Prepare"),
            ("Pipeline", "iam:PassRole", "Prepare"),
            ("Pipeline", "sagemaker:CreateProcessingJob", "Prepare"),
            ("Pipeline", "sagemaker:DescribeProcessingJob", "Prepare"),
            ("Training", "s3:ListBucket", "Train"),
            ("Training", "s3:GetObject", "Train"),
            ("Training", "kms:Decrypt", "Train"),
            ("Pipeline", "sagemaker:CreateTrainingJob", "Train"),
            ("Training", "s3:PutObject", "Train"),
            ("Training", "kms:GenerateDataKey", "Train"),
            ("Pipeline", "sagemaker:DescribeTrainingJob", "Train"),
            ("Pipeline", "s3:GetObject", "IsGoodEnough"),
            ("Pipeline", "kms:Decrypt", "IsGoodEnough"),
            ("Pipeline", "sagemaker:CreateModelPackage", "Register"),
            ("Pipeline", "sagemaker:DescribeModelPackage", "Register"),
        ]
    ),
)
def test_without_a_permission_the_step_that_needs_it_fails_and_says_so(
    school: Shop, prepared: str, role: str, action: str, step: str
) -> None:
    # Given data, and a role that lost one permission
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with school.without(school.training[f"{role}RoleName"], action):
        # When an execution is started; what earlier ones have done is not done again
        version = prepared if step != "Prepare" else unique("rights")
        report = school.end_of(school.start(DataVersion=version, **ANY_MODEL))
    # Then the step that needs it fails and names it, or the service's refusal
    assert report.status == "FAILED", report
    assert report.reason.startswith(f"{step}: "), report.reason
    assert action.partition(":")[2] in report.reason or "cannot be" in report.reason, report.reason


def test_a_bucket_of_somebody_else_is_not_read(school: Shop) -> None:
    # Given good data in another bucket of this very account
    bucket = unique("foreign")
    s3 = school.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="data/a.csv", Body=data(ROWS))
    # When an execution is told to take it
    since = last_sequence(school.cloud)
    report = school.end_of(school.start(DataVersion=unique("foreign"), InputDataUri=f"s3://{bucket}/data/"))
    # Then its first step is refused, for the role names one bucket
    assert report.status == "FAILED", report
    assert report.reason.startswith("Prepare: ")
    assert bucket in report.reason
    refused = [one for one in school.cloud.control.decisions(since) if not one["allowed"]]
    assert {(one["role"], one["resource"]) for one in refused} == {
        (school.training["ProcessingRoleName"], f"arn:aws:s3:::{bucket}")
    }


@pytest.mark.parametrize("action", ["logs:CreateLogStream", "logs:PutLogEvents"])
def test_without_its_log_permission_a_job_runs_in_silence(school: Shop, action: str) -> None:
    # Given jobs that may not write their log any more
    training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)}, ready=False)
    with school.without(school.training["ProcessingRoleName"], action):
        # When one fails, Then it says why all the same, and nothing is logged
        execution = school.start(DataVersion=unique("silent"))
        assert school.end_of(execution).reason.startswith("Prepare: There are 50 different rows")
        job = school.wait_for_job(execution, "Prepare")
        name = school.client("sagemaker").describe_processing_job(ProcessingJobName=job)["ProcessingJobName"]
        assert not log_of(school.cloud, "Processing", name)


def test_without_its_permission_a_training_is_not_measured(school: Shop, prepared: str) -> None:
    # Given trainings that may not publish metrics any more
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with (
        school.longer_training(num_round="20"),
        school.without(school.training["TrainingRoleName"], "cloudwatch:PutMetricData"),
    ):
        # When one runs, Then it does so all the same
        execution = school.start(DataVersion=prepared, MetricThreshold="0.999")
        assert school.end_of(execution).status == "NOT_BETTER"
        # And its metrics are not in CloudWatch
        job = school.wait_for_job(execution, "Train")
        name = school.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobName"]
        dimensions = [{"Name": "TrainingJobName", "Value": name}]
        assert not school.client("cloudwatch").list_metrics(Dimensions=dimensions)["Metrics"]


def test_without_permission_to_stop_a_job_it_runs_on(school: Shop) -> None:
    # Given a pipeline that may not stop its jobs any more, and one that takes its time
    training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)}, ready=False)
    school.cloud.control.faults_add(
        service="sagemaker", operation="CreateProcessingJob", kind="slow-job", seconds=1, times=1
    )
    with school.without(school.training["PipelineRoleName"], "sagemaker:StopProcessingJob"):
        execution = school.start(DataVersion=unique("unstopped"))
        job = school.wait_for_job(execution, "Prepare")
        # When the execution is stopped, Then it is, and its job is not
        school.stop(execution)
        assert school.end_of(execution).status == "STOPPED"
    sagemaker = school.client("sagemaker")
    assert sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "InProgress"
    until(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Failed",
        "the job to come to its own end",
        seconds=30,
    )


# --- what starts and what tells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["sagemaker:ListModelPackages", "sagemaker:StartPipelineExecution"])
def test_without_a_permission_a_training_is_not_started_and_somebody_is_told(school: Shop, action: str) -> None:
    # Given a start that lost one permission
    before = training_pipeline.executions(school.cloud, school.training)
    with (
        school.without(school.training["StartRoleName"], action),
        school.listening(school.training["FailureTopicArn"]) as look,
    ):
        # When data comes
        training_pipeline.upload(school.cloud, school.training, {"a.csv": data(50)})
        # Then the topic is told, once the retries are over
        (message,) = school.hurry(lambda: [one for one in look() if "cause" in json.loads(one)], "the topic to be told")
    assert action.partition(":")[2] in json.loads(message)["cause"]
    assert training_pipeline.executions(school.cloud, school.training) == before


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("sagemaker:ListPipelineExecutionSteps", "could not be asked"),
        ("sagemaker:DescribeProcessingJob", "exit code: 1"),
    ],
)
def test_who_tells_and_may_not_ask_tells_what_is_known(school: Shop, action: str, reason: str) -> None:
    # Given the machine that tells of failures, which may not ask for the reason any more
    training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)}, ready=False)
    with (
        school.without(role_of(school, "Tell"), action),
        school.listening(school.training["FailureTopicArn"]) as look,
    ):
        # When an execution fails, Then it is told all the same, with less
        execution = school.start(DataVersion=unique("unasked"))
        message = school.told_once(look, execution, hurry=True)
    assert reason in message["reason"]


@pytest.mark.parametrize("action", ["sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"])
def test_without_permission_to_publish_a_failure_is_not_told(school: Shop, action: str) -> None:
    # Given the machine that tells of failures, which may not publish any more
    training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)}, ready=False)
    role, since = role_of(school, "Tell"), last_sequence(school.cloud)
    with school.without(role, action), school.listening(school.training["FailureTopicArn"]) as look:
        # When an execution fails
        execution = school.start(DataVersion=unique("unpublished"))
        school.hurry(lambda: refused(school, role, action, since), "the machine to be refused")
        # Then nobody is told by this topic
        assert never(lambda: [message for message in look() if execution in message], 0.5)


def refused(school: Shop, role: str, action: str, since: int) -> bool:
    """Whether a role was refused an action after a decision."""
    return any(
        (one["role"], one["action"], one["allowed"]) == (role, action, False)
        for one in school.cloud.control.decisions(since)
    )


def letter_of(school: Shop, execution: str) -> dict[str, Any] | None:
    """The dead letter of an execution, which is taken; so is one of an execution that another test left to fail."""
    letters, found = school.training["DeadLetterQueueUrl"], None
    for one in messages(school.cloud, letters):
        if json.loads(one["Body"])["detail"]["pipelineExecutionArn"] == execution:
            found = one
        school.client("sqs").delete_message(QueueUrl=letters, ReceiptHandle=one["ReceiptHandle"])
    return found


def test_without_permission_to_have_it_told_a_failure_is_kept(school: Shop) -> None:
    # Given a rule whose role may not start the machine that tells
    training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)}, ready=False)
    with school.without(role_of(school, "Teller"), "states:StartExecution"):
        # When an execution fails, Then its event is a dead letter
        execution = school.start(DataVersion=unique("untold"))
        letter = until(lambda: letter_of(school, execution), "a dead letter", seconds=30)
    # When the machine is started with it later, Then the failure is told
    with school.listening(school.training["FailureTopicArn"]) as look:
        (machine,) = (
            one["stateMachineArn"]
            for one in school.client("stepfunctions").list_state_machines()["stateMachines"]
            if one["name"].startswith(f"{TRAINING}-Tell")
        )
        start(school.cloud, machine, json.loads(letter["Body"]))
        assert school.told_once(look, execution)["step"] == "Prepare"


@contextmanager
def shut(school: Shop) -> Iterator[None]:
    """The dead-letter queue without what its policy allows."""
    sqs, url = school.client("sqs"), school.training["DeadLetterQueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": only_denials(before)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": before})


def test_without_the_policy_of_its_queue_an_event_that_starts_nothing_is_lost(school: Shop) -> None:
    # Given a rule that may start nothing, and whose dead-letter queue lets it in no longer
    arn = school.client("sqs").get_queue_attributes(
        QueueUrl=school.training["DeadLetterQueueUrl"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    since = last_sequence(school.cloud)
    with shut(school), school.without(role_of(school, "Starter"), "states:StartExecution"):
        # When data comes, Then its event is refused there, too
        training_pipeline.upload(school.cloud, school.training, {"few.csv": data(50)})
        (decision,) = until(lambda: decided(school.cloud, "sqs:SendMessage", arn, since), "the refusal", seconds=30)
    assert decision["allowed"] is False
    assert not messages(school.cloud, school.training["DeadLetterQueueUrl"])


# --- the end of the stack ---------------------------------------------------------------------------------------------


class CloudFormation:
    """As much of it as asks a custom resource for something and hears its answer."""

    def __init__(self, cloud: LocalCloud) -> None:
        heard = self.heard = queue.SimpleQueue[dict[str, Any]]()
        self.client = cloud.client("lambda")

        class Listener(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                heard.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Listener)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def deletes(self, function: str, properties: dict[str, str]) -> dict[str, Any]:
        """What the function answers when its resource is to be deleted."""
        url = f"http://127.0.0.1:{self.server.server_port}/"
        ids = dict.fromkeys(("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"), "x")
        event = {**ids, "RequestType": "Delete", "ResponseURL": url, "ResourceProperties": properties}
        self.client.invoke(FunctionName=function, Payload=json.dumps(event))
        return self.heard.get(timeout=30)


@pytest.mark.parametrize(
    "action",
    [
        "sagemaker:ListPipelineExecutions",
        "sagemaker:StopPipelineExecution",
        "sagemaker:ListModelPackages",
        "sagemaker:DeleteModelPackage",
    ],
)
def test_without_a_permission_the_stack_is_not_deleted_and_says_why(school: Shop, action: str) -> None:
    # Given an execution that runs and a package, and the function that ends both without one of its permissions
    sagemaker, group = school.client("sagemaker"), school.training["PipelineName"]
    serving = {"Containers": [{"Image": XGBOOST}], "SupportedContentTypes": ["text/csv"]}
    package = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={**serving, "SupportedResponseMIMETypes": ["text/csv"]},
    )["ModelPackageArn"]
    school.cloud.control.faults_add(
        service="sagemaker", operation="CreateProcessingJob", kind="slow-job", seconds=2, times=1
    )
    execution = school.start(DataVersion=unique("retired"))
    (function,) = (
        one["FunctionName"]
        for page in school.client("lambda").get_paginator("list_functions").paginate()
        for one in page["Functions"]
        if one["FunctionName"].startswith(f"{TRAINING}-Retire")
    )
    with school.without(role_of(school, "Retire"), action):
        # When the stack is to be deleted
        properties = {"PipelineName": group, "ModelPackageGroupName": group}
        answer = CloudFormation(school.cloud).deletes(function, properties)
    # Then CloudFormation hears why not, and the package is there
    assert answer["Status"] == "FAILED"
    assert action in answer["Reason"]
    sagemaker.delete_model_package(ModelPackageName=package)
    school.end_of(execution)
