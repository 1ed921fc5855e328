"""Pipelines of the local SageMaker: what an execution does, in which order, as whom, and how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import client_as, eventually, make_queue, make_role, messages, policy, unique
from tests.local.sagemaking import (
    XGBOOST,
    an_output,
    as_json,
    events_of,
    job_role,
    make_bucket,
    of_bucket,
    packed,
    processing,
    read,
    training,
    unpacked,
)

# Writes its arguments after the first, the folder, as JSON.
TELL = (
    "import json, sys; open(sys.argv[1] + '/told.json', 'w').write(json.dumps({'told': sys.argv[2:], 'score': 0.75}))"
)
SLEEP = "import time; time.sleep(60)"
OUT = "/opt/ml/processing/out"
DONE = ("Succeeded", "Failed", "Stopped")


@dataclass
class Lab:
    """A bucket, a role of jobs, a role of pipelines that may start jobs with it, and what is made of them."""

    cloud: LocalCloud
    bucket: str
    jobs: str
    role: str

    def step(self, name: str, script: str = TELL, *arguments: Any, **more: Any) -> dict[str, Any]:
        """A processing step whose output `out` goes to `<execution>/<name>`."""
        uri = {"Std:Join": {"On": "/", "Values": [f"s3://{self.bucket}", EXECUTION_ID, name]}}
        request = processing(
            self.cloud, self.bucket, script, OUT, role=self.jobs,
            ProcessingOutputConfig={"Outputs": [an_output("out", "")]},
        )  # fmt: skip
        request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = uri
        request["AppSpecification"]["ContainerEntrypoint"] += arguments
        del request["ProcessingJobName"]
        return {"Name": name, "Type": "Processing", "Arguments": request, **more}

    def make(self, *steps: dict[str, Any], parameters: Any = (), role: str = "", **more: Any) -> str:
        """A pipeline; returns its name."""
        name = unique("pipeline")
        self.cloud.client("sagemaker").create_pipeline(
            PipelineName=name,
            PipelineDefinition=definition(*steps, parameters=parameters),
            RoleArn=role or self.role,
            ClientRequestToken=unique("token" * 7),
            **more,
        )
        return name

    def start(self, pipeline: str, **values: str) -> str:
        """Start an execution; returns its ARN."""
        arn: str = self.cloud.client("sagemaker").start_pipeline_execution(
            PipelineName=pipeline, PipelineParameters=[{"Name": key, "Value": value} for key, value in values.items()]
        )["PipelineExecutionArn"]
        return arn

    def ended(self, execution: str) -> dict[str, Any]:
        """An execution's description when it has ended."""
        sagemaker = self.cloud.client("sagemaker")

        def look() -> dict[str, Any] | None:
            found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
            return found if found["PipelineExecutionStatus"] in DONE else None

        found = eventually(look, 30)
        assert found is not None
        return found

    def run(self, *steps: dict[str, Any], parameters: Any = (), role: str = "", **values: str) -> str:
        """Make a pipeline, run it once, wait for its end; returns the execution's ARN."""
        execution = self.start(self.make(*steps, parameters=parameters, role=role), **values)
        self.ended(execution)
        return execution

    def steps(self, execution: str) -> dict[str, dict[str, Any]]:
        """The steps of an execution by their name."""
        found = self.cloud.client("sagemaker").list_pipeline_execution_steps(
            PipelineExecutionArn=execution, MaxResults=100
        )
        return {one["StepName"]: one for one in found["PipelineExecutionSteps"]}

    def states(self, execution: str) -> dict[str, str]:
        """The statuses of the steps by their name."""
        return {name: one["StepStatus"] for name, one in self.steps(execution).items()}

    def told(self, execution: str, step: str) -> Any:
        """What a step with the script TELL was told."""
        return as_json(read(self.cloud, f"s3://{self.bucket}/{execution.rpartition('/')[2]}/{step}/told.json"))["told"]


KINDS = ("processing-job", "training-job", "model-package")
EXECUTION_ID = {"Get": "Execution.PipelineExecutionId"}


def judge(*conditions: dict[str, Any], then: Any = (), otherwise: Any = ()) -> dict[str, Any]:
    """A condition step."""
    arguments = {"Conditions": list(conditions), "IfSteps": list(then), "ElseSteps": list(otherwise)}
    return {"Name": "Check", "Type": "Condition", "Arguments": arguments}


def failing(message: Any = "x", **more: Any) -> dict[str, Any]:
    """A step that fails with a message."""
    return {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}


def definition(*steps: dict[str, Any], parameters: Any = ()) -> str:
    """A definition of these steps."""
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)})


def pipeline_role(cloud: LocalCloud, jobs: str, *, without: str = "") -> str:
    """A role that starts, watches and stops jobs, and passes theirs on."""
    actions = [
        f"sagemaker:{verb}{noun}Job" for noun in ("Processing", "Training") for verb in ("Create", "Describe", "Stop")
    ]
    actions += ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage"]
    return job_role(
        cloud,
        {
            "Action": [action for action in actions if action != without],
            "Resource": [
                f"arn:aws:sagemaker:*:*:{kind}/*" for kind in ("processing-job", "training-job", "model-package")
            ],
        },
        *([{"Action": "iam:PassRole", "Resource": jobs}] if without != "iam:PassRole" else []),
        {"Action": "s3:GetObject", "Resource": "*"},
    )


@pytest.fixture(scope="module")
def lab(cloud: LocalCloud) -> Lab:
    bucket = make_bucket(cloud)
    jobs = job_role(cloud, *of_bucket(bucket))
    return Lab(cloud, bucket, jobs, pipeline_role(cloud, jobs))


def test_parameters_and_expressions_become_what_they_stand_for(lab: Lab) -> None:
    # Given a step whose arguments are expressions, and one that takes the first one's output for granted
    joined = {"Std:Join": {"On": "-", "Values": ["a", {"Get": "Parameters.Depth"}, {"Get": "Parameters.Rate"}]}}
    where = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    parameters = [
        {"Name": "Depth", "Type": "Integer", "DefaultValue": 4},
        {"Name": "Rate", "Type": "Float", "DefaultValue": 0.5},
    ]
    first, second = lab.step("First", TELL, joined), lab.step("Second", TELL, where, {"Get": "Execution.PipelineName"})
    # When it is run with another depth
    pipeline = lab.make(second, first, parameters=parameters)
    execution = lab.start(pipeline, Depth="7")
    assert lab.ended(execution)["PipelineExecutionStatus"] == "Succeeded"
    # Then the expressions were looked up, and the second waited for the first
    assert lab.told(execution, "First") == ["a-7-0.5"]
    folder = f"s3://{lab.bucket}/{execution.rpartition('/')[2]}/First"
    assert lab.told(execution, "Second") == [folder, pipeline]
    steps = lab.steps(execution)
    assert steps["First"]["EndTime"] <= steps["Second"]["StartTime"]
    given = lab.cloud.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)
    assert {one["Name"]: one["Value"] for one in given["PipelineParameters"]} == {"Depth": "7", "Rate": "0.5"}


def test_a_model_is_trained_judged_and_registered(lab: Lab) -> None:
    # Given training, an evaluation, a condition on its report, and a registration
    group = unique("group")
    lab.cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
    script = "import os; open(os.environ['SM_MODEL_DIR'] + '/model.txt', 'w').write('good'); print('auc=0.9;')"
    lab.cloud.client("s3").put_object(Bucket=lab.bucket, Key="code.tar.gz", Body=packed(train=script))
    arguments = training(lab.jobs, lab.bucket)
    del arguments["TrainingJobName"]
    arguments["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "auc", "Regex": "auc=([0-9.]+);"}]
    artifact = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    report = lab.step("Evaluate", TELL, artifact)
    report["PropertyFiles"] = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "told.json"}]
    score = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "score"}}
    good = {"Type": "GreaterThanOrEqualTo", "LeftValue": score, "RightValue": {"Get": "Parameters.Bar"}}
    trained = {
        "Type": "GreaterThan",
        "LeftValue": {"Get": "Steps.Train.FinalMetricDataList['auc'].Value"},
        "RightValue": 0.8,
    }
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [{"Image": XGBOOST, "ModelDataUrl": artifact}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        },
    }
    worse = failing({"Std:Join": {"On": " ", "Values": ["under", {"Get": "Parameters.Bar"}]}}, Name="TooBad")
    check = judge(good, trained, then=[register], otherwise=[worse])
    pipeline = lab.make(
        {"Name": "Train", "Type": "Training", "Arguments": arguments},
        report,
        check,
        parameters=[{"Name": "Bar", "Type": "Float", "DefaultValue": 0.7}],
    )
    # When it is run with a bar that is met, and one that is not
    above, under = lab.start(pipeline), lab.start(pipeline, Bar="0.8")
    # Then one registers the model that it trained
    assert lab.ended(above)["PipelineExecutionStatus"] == "Succeeded"
    steps = lab.steps(above)
    assert steps["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    found = lab.cloud.client("sagemaker").describe_model_package(
        ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    model = found["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert unpacked(read(lab.cloud, model))["model.txt"] == b"good"
    # And the other fails with its message
    assert lab.ended(under)["PipelineExecutionStatus"] == "Failed"
    steps = lab.steps(under)
    assert "Register" not in steps
    assert (steps["TooBad"]["StepStatus"], steps["TooBad"]["FailureReason"]) == ("Failed", "under 0.8")


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ({"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": "a", "RightValue": "b"}}, "True"),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.Word"}, "Values": ["x", "y"]}, "True"),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "LessThan", "LeftValue": 2, "RightValue": 1},
                    {"Type": "LessThanOrEqualTo", "LeftValue": 2, "RightValue": 1.5},
                ],
            },
            "False",
        ),
    ],
    ids=["not", "in", "or"],
)
def test_conditions_hold_or_not(lab: Lab, condition: dict[str, Any], outcome: str) -> None:
    check = judge(condition)
    execution = lab.run(check, parameters=[{"Name": "Word", "Type": "String", "DefaultValue": "x"}])
    assert lab.steps(execution)["Check"]["Metadata"]["Condition"]["Outcome"] == outcome


def test_values_that_cannot_be_compared_fail_the_step(lab: Lab) -> None:
    condition = {"Type": "LessThan", "LeftValue": "a", "RightValue": 1}
    check = judge(condition)
    assert "cannot be compared" in lab.steps(lab.run(check))["Check"]["FailureReason"]


def test_independent_steps_run_at_once_and_an_order_can_be_asked_for(lab: Lab) -> None:
    # Given two steps that do not know each other, and one that depends on both
    nap = "import time; time.sleep(0.7)"
    execution = lab.run(lab.step("A", nap), lab.step("B", nap), lab.step("C", "0", DependsOn=["A", "B"]))
    # When they have run, then the first two were at it together, and the third came after
    steps = lab.steps(execution)
    assert steps["A"]["StartTime"] < steps["B"]["EndTime"]
    assert steps["B"]["StartTime"] < steps["A"]["EndTime"]
    assert steps["C"]["StartTime"] >= max(steps["A"]["EndTime"], steps["B"]["EndTime"])


def test_after_a_failure_nothing_more_is_started(lab: Lab) -> None:
    # Given a step that fails, and one after it
    execution = lab.run(lab.step("Bad", "1/0"), lab.step("After", "0", DependsOn=["Bad"]))
    # When it has run, then the second never started, and the failure is told
    assert lab.states(execution) == {"Bad": "Failed"}
    assert "exit code: 1" in lab.steps(execution)["Bad"]["FailureReason"]


def test_an_execution_that_failed_goes_on_where_it_stood(lab: Lab) -> None:
    # Given a step that fails as long as a mark is missing in S3, after one that succeeds
    needs = f"import boto3; boto3.client('s3').get_object(Bucket='{lab.bucket}', Key='mark')"
    execution = lab.run(lab.step("Good"), lab.step("Bad", needs, DependsOn=["Good"]))
    before = lab.steps(execution)
    # When the mark is there, and the execution is tried again
    lab.cloud.client("s3").put_object(Bucket=lab.bucket, Key="mark", Body=b"")
    sagemaker = lab.cloud.client("sagemaker")
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=unique("token" * 7))
    # Then it succeeds, and what had succeeded was not done again
    assert lab.ended(execution)["PipelineExecutionStatus"] == "Succeeded"
    after = lab.steps(execution)
    assert after["Good"]["Metadata"] == before["Good"]["Metadata"]
    assert after["Bad"]["StepStatus"] == "Succeeded"


def test_a_stopped_execution_stops_its_jobs(lab: Lab) -> None:
    # Given an execution with a job that sleeps
    sagemaker = lab.cloud.client("sagemaker")
    execution = lab.start(lab.make(lab.step("Long", SLEEP), lab.step("After", "0", DependsOn=["Long"])))
    eventually(lambda: "Metadata" in lab.steps(execution).get("Long", {}))
    # When it is stopped
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=unique("token" * 7))
    # Then so are execution, step and job
    assert lab.ended(execution)["PipelineExecutionStatus"] == "Stopped"
    step = lab.steps(execution)["Long"]
    assert step["StepStatus"] == "Stopped"
    job = step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"


def test_a_step_that_was_done_before_is_not_done_again(lab: Lab) -> None:
    # Given a pipeline with a step that may be remembered for an hour, and one that needs its output
    where = {"Get": "Steps.Once.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    parameters = [{"Name": "Word", "Type": "String", "DefaultValue": "a"}]
    once = lab.step("Once", TELL, {"Get": "Parameters.Word"}, CacheConfig={"Enabled": True, "ExpireAfter": "T1h"})
    pipeline = lab.make(once, lab.step("Use", TELL, where), parameters=parameters)
    # When it runs twice alike, once otherwise, and once when the hour is over
    first = lab.start(pipeline)
    lab.ended(first)
    second, other = lab.start(pipeline), lab.start(pipeline, Word="b")
    lab.ended(second)
    lab.ended(other)
    lab.cloud.control.clock_advance(3700)
    late = lab.start(pipeline)
    lab.ended(late)
    # Then the second took the first one's output, and the others made their own
    assert lab.steps(second)["Once"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert lab.told(second, "Use") == [f"s3://{lab.bucket}/{first.rpartition('/')[2]}/Once"]
    assert "CacheHitResult" not in lab.steps(other)["Once"]
    assert "CacheHitResult" not in lab.steps(late)["Once"]


def test_a_retry_policy_gets_over_what_it_is_for(lab: Lab) -> None:
    # Given a policy for internal errors, by which a step waits a minute of the movable clock
    retry = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 60, "MaxAttempts": 2}
    pipeline = lab.make(lab.step("Try", "0", RetryPolicies=[retry]))
    control = lab.cloud.control
    rule = control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="fail-job", times=1)
    # When the first job meets one
    try:
        execution = lab.start(pipeline)
        eventually(lambda: next(one for one in control.faults() if one["id"] == rule)["applied"] == 1)
        eventually(lambda: _moved(lab, execution))
    finally:
        control.faults_clear(rule)
    # Then the second gets over it
    assert lab.ended(execution)["PipelineExecutionStatus"] == "Succeeded"
    assert lab.steps(execution)["Try"]["AttemptCount"] == 2


def _moved(lab: Lab, execution: str) -> bool:
    """Let a minute pass; whether the execution has ended."""
    lab.cloud.control.clock_advance(61)
    found = lab.cloud.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=execution)
    return found["PipelineExecutionStatus"] in DONE


def test_a_failure_that_no_policy_is_for_is_final(lab: Lab) -> None:
    retry = {"ExceptionType": ["SageMaker.CAPACITY_ERROR"], "MaxAttempts": 2}
    step = lab.steps(lab.run(lab.step("Try", "1/0", RetryPolicies=[retry])))["Try"]
    assert (step["StepStatus"], step["AttemptCount"]) == ("Failed", 1)


@pytest.mark.parametrize(
    "missing", ["sagemaker:CreateProcessingJob", "iam:PassRole", "sagemaker:DescribeProcessingJob"]
)
def test_a_step_needs_the_permissions_of_the_pipelines_role(lab: Lab, missing: str) -> None:
    # Given a pipeline whose role lacks one of them
    role = pipeline_role(lab.cloud, lab.jobs, without=missing)
    # When it is run, though by one who may do anything, then the step fails for that
    execution = lab.run(lab.step("Do", "0"), role=role)
    assert missing in lab.steps(execution)["Do"]["FailureReason"]


def test_a_report_that_the_pipelines_role_may_not_read_decides_nothing(lab: Lab) -> None:
    # Given a role without the right to read objects
    role = job_role(
        lab.cloud,
        {
            "Action": ["sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob"],
            "Resource": "arn:aws:sagemaker:*:*:processing-job/*",
        },
        {"Action": "iam:PassRole", "Resource": lab.jobs},
    )
    file = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "told.json"}
    report = lab.step("Evaluate", PropertyFiles=[file])
    score = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.R"}, "Path": "score"}}
    condition = {"Type": "Equals", "LeftValue": score, "RightValue": 0.75}
    check = judge(condition)
    # When it is run, then the condition fails
    steps = lab.steps(lab.run(report, check, role=role))
    assert "cannot be read by the pipeline's role" in steps["Check"]["FailureReason"]


def test_states_of_executions_and_steps_are_events(lab: Lab) -> None:
    # Given rules for both
    kind = "SageMaker Model Building Pipeline Execution"
    with (
        events_of(lab.cloud, f"{kind} Status Change") as executions,
        events_of(lab.cloud, f"{kind} Step Status Change") as steps,
    ):
        # When a pipeline is run
        execution = lab.run(lab.step("Do", "0"))
        told: list[Any] = []

        def all_are_told() -> bool:
            told.extend(one["detail"] for one in (*executions(), *steps()))
            mine = [one for one in told if one["pipelineExecutionArn"] == execution]
            last = {one.get("currentPipelineExecutionStatus") for one in mine}
            return {"Executing", "Succeeded"} <= last and "Succeeded" in {one.get("currentStepStatus") for one in mine}

        # Then its beginning and end are told, and a step's job
        assert eventually(all_are_told)
    step = next(one for one in told if one.get("currentStepStatus") == "Succeeded")
    assert step["stepName"] == "Do"
    assert ":processing-job/" in step["metadata"]["processingJob"]["arn"]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{"Name": "T", "Type": "Tuning", "Arguments": {}}], "step type 'Tuning'"),
        ([failing({"Get": "Parameters.No"})], "Parameters.No"),
        (
            [failing({"Get": "Steps.No.X"})],
            "No, which is not there",
        ),
        ([{"Name": "P", "Type": "Processing", "Arguments": {"RoleARN": "x"}}], "has no RoleARN"),
        (
            [
                failing(Name="A", DependsOn=["B"]),
                failing(Name="B", DependsOn=["A"]),
            ],
            "wait for each other",
        ),
        (
            [failing(CacheConfig={"Enabled": True})],
            "caches",
        ),
        ([], "no steps"),
    ],
    ids=["type", "parameter", "step", "member", "circle", "cache", "none"],
)
def test_a_definition_that_makes_no_sense_is_refused_when_it_is_made(lab: Lab, steps: Any, reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        lab.make(*steps)


def test_parameters_are_checked_when_an_execution_is_started(lab: Lab) -> None:
    # Given a number with a choice
    parameters = [{"Name": "Depth", "Type": "Integer", "EnumValues": [1, 2]}]
    fail = failing()
    pipeline = lab.make(fail, parameters=parameters)
    # When an execution is started without it, with a word, with another number, with more, then it is refused
    wrong = {"no default": {}, "Integer": {"Depth": "x"}, "among": {"Depth": "3"}, "More": {"More": "1"}}
    for reason, values in wrong.items():
        with pytest.raises(ClientError, match=reason):
            lab.start(pipeline, **values)


def test_a_pipeline_is_changed_listed_and_deleted(lab: Lab) -> None:
    # Given a pipeline
    sagemaker = lab.cloud.client("sagemaker")
    fail = failing()
    name = lab.make(fail)
    first = lab.start(name)
    # When it is changed and run again
    other = definition({**fail, "Name": "G"})
    sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=other)
    lab.ended(first)
    second = lab.start(name)
    lab.ended(second)
    # Then each execution has the definition with which it was started
    assert set(lab.steps(first)) | set(lab.steps(second)) == {"F", "G"}
    told = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=second)
    assert told["PipelineDefinition"] == other
    listed = sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert [one["PipelineExecutionArn"] for one in listed] == [second, first]
    # And when it is deleted it is gone
    sagemaker.delete_pipeline(PipelineName=name, ClientRequestToken=unique("token" * 7))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName=name)


def test_starting_twice_with_one_token_starts_once(lab: Lab) -> None:
    sagemaker = lab.cloud.client("sagemaker")
    name = lab.make(failing())
    started = {
        sagemaker.start_pipeline_execution(PipelineName=name, ClientRequestToken="t" * 32)["PipelineExecutionArn"]
        for _ in range(2)
    }
    assert len(started) == 1


def test_a_pipelines_role_must_be_passed_on(lab: Lab) -> None:
    # Given one who may make pipelines, and one who may also pass the role
    make = {"Action": "sagemaker:CreatePipeline", "Resource": "arn:aws:sagemaker:*:*:pipeline/*"}
    fail = definition(failing())
    poor = client_as(lab.cloud, make_role(lab.cloud, make), "sagemaker")
    rich = client_as(
        lab.cloud, make_role(lab.cloud, make, {"Action": "iam:PassRole", "Resource": lab.role}), "sagemaker"
    )
    request = {"PipelineDefinition": fail, "RoleArn": lab.role}
    # When each makes one, then only the latter may
    with pytest.raises(ClientError, match="iam:PassRole"):
        poor.create_pipeline(PipelineName=unique("p"), ClientRequestToken="t" * 32, **request)
    rich.create_pipeline(PipelineName=unique("p"), ClientRequestToken="t" * 32, **request)


# --- Rules and stacks ------------------------------------------------------------------------------------------------


def rule_for(lab: Lab, pipeline: str, role: str, **more: Any) -> str:
    """A rule that starts a pipeline on events of a source of its own; returns the source."""
    source = unique("source")
    events = lab.cloud.client("events")
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    arn = lab.cloud.client("sagemaker").describe_pipeline(PipelineName=pipeline)["PipelineArn"]
    parameters = {"PipelineParameterList": [{"Name": "Word", "Value": "from a rule"}]}
    target = {"Id": "pipeline", "Arn": arn, "RoleArn": role, "SageMakerPipelineParameters": parameters, **more}
    events.put_targets(Rule=source, Targets=[target])
    return source


def send(lab: Lab, source: str) -> None:
    """Send an event that a rule looks for."""
    event = {"Source": source, "DetailType": "go", "Detail": "{}"}
    lab.cloud.client("events").put_events(Entries=[event])


def starter(lab: Lab, *actions: str) -> str:
    """A role that EventBridge may take on."""
    allowed = {"Action": list(actions), "Resource": "arn:aws:sagemaker:*:*:pipeline/*"}
    return job_role(lab.cloud, *([allowed] if actions else []), service="events.amazonaws.com")


def test_a_rule_starts_a_pipeline_with_its_parameters(lab: Lab) -> None:
    # Given a rule with a role that may
    fail = failing({"Get": "Parameters.Word"})
    pipeline = lab.make(fail, parameters=[{"Name": "Word", "Type": "String", "DefaultValue": "x"}])
    source = rule_for(lab, pipeline, starter(lab, "sagemaker:StartPipelineExecution"))
    # When its event comes
    send(lab, source)
    # Then the pipeline runs
    sagemaker = lab.cloud.client("sagemaker")
    found = eventually(lambda: sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"])
    execution = found[0]["PipelineExecutionArn"]
    lab.ended(execution)
    assert lab.steps(execution)["F"]["FailureReason"] == "from a rule"


def test_a_rule_whose_role_may_not_start_the_pipeline_loses_nothing(lab: Lab) -> None:
    # Given a rule with a role that may not, and dead letters
    pipeline = lab.make(failing())
    url, arn = make_queue(lab.cloud)
    allow = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    lab.cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    source = rule_for(lab, pipeline, starter(lab), DeadLetterConfig={"Arn": arn})
    # When its event comes
    send(lab, source)
    # Then it is in the queue, and says why
    found = eventually(lambda: messages(lab.cloud, url))
    assert found[0]["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert json.loads(found[0]["Body"])["source"] == source


def template(lab: Lab, name: str, message: Any) -> str:
    """A stack with a pipeline and a group."""
    fail = failing(message)
    pipeline = {
        "PipelineName": name,
        "PipelineDefinition": {"PipelineDefinitionBody": definition(fail)},
        "RoleArn": lab.role,
        "ParallelismConfiguration": {"MaxParallelExecutionSteps": "2"},
        "Tags": [{"Key": "made", "Value": "by a stack"}],
    }
    return json.dumps(
        {
            "Resources": {
                "Pipeline": {"Type": "AWS::SageMaker::Pipeline", "Properties": pipeline},
                "Group": {
                    "Type": "AWS::SageMaker::ModelPackageGroup",
                    "Properties": {"ModelPackageGroupName": name},
                },
            },
            "Outputs": {
                "Pipeline": {"Value": {"Ref": "Pipeline"}},
                "Group": {"Value": {"Ref": "Group"}},
                "Status": {"Value": {"Fn::GetAtt": ["Group", "ModelPackageGroupStatus"]}},
            },
        }
    )


def test_a_stack_makes_changes_and_removes_a_pipeline_and_a_group(lab: Lab) -> None:
    # Given a stack with both
    formation, sagemaker, name = lab.cloud.client("cloudformation"), lab.cloud.client("sagemaker"), unique("stack")
    formation.create_stack(StackName=name, TemplateBody=template(lab, name, "first"))
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = {
        one["OutputKey"]: one["OutputValue"]
        for one in formation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    # When it is there, then Ref and GetAtt are AWS's, and tags and numbers have arrived
    assert outputs["Pipeline"] == name
    assert outputs["Group"].endswith(f":model-package-group/{name}")
    assert outputs["Status"] == "Completed"
    found = sagemaker.describe_pipeline(PipelineName=name)
    assert found["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}
    assert sagemaker.list_tags(ResourceArn=found["PipelineArn"])["Tags"] == [{"Key": "made", "Value": "by a stack"}]
    # And when it is changed, the pipeline is
    formation.update_stack(StackName=name, TemplateBody=template(lab, name, "second"))
    formation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert "second" in sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"]
    # And when it is deleted, both are gone
    formation.delete_stack(StackName=name)
    formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName=name)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)


def test_a_definition_that_makes_no_sense_fails_the_stack(lab: Lab) -> None:
    # Given a stack whose pipeline refers to what is not there
    formation, name = lab.cloud.client("cloudformation"), unique("stack")
    broken = template(lab, name, {"Get": "Steps.No.X"})
    # When it is made
    formation.create_stack(StackName=name, TemplateBody=broken, OnFailure="DO_NOTHING")
    failed = eventually(
        lambda: [
            one["ResourceStatusReason"]
            for one in formation.describe_stack_events(StackName=name)["StackEvents"]
            if one["ResourceStatus"] == "CREATE_FAILED" and one["LogicalResourceId"] == "Pipeline"
        ]
    )
    # Then it says so
    assert "which is not there" in failed[0]
    formation.delete_stack(StackName=name)
