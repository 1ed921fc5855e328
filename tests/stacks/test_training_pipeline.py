"""The stack of training-pipeline: who may do what, what starts it, and who hears of a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.definition.placeholders import PLACEHOLDERS
from stacks.policy.template import Template, strings
from stacks.train.source_archive import source_archive
from stacks.train.training_pipeline import TrainingPipelineSettings, step_names
from tests.stacks.models import condition_of, definition_of, resource_of, role_grants, synthesized, trusted
from tests.stacks.test_image_labeling import only

ARCHITECTURE = "training-pipeline"
ECR = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}


@pytest.fixture
def template() -> Template:
    return synthesized(ARCHITECTURE)


def pipeline_definition(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline's definition with its placeholders, and what the stack fills them with."""
    body = only(template, "AWS::SageMaker::Pipeline")["PipelineDefinition"]["PipelineDefinitionBody"]
    text, values = body["Fn::Sub"]
    return json.loads(text), values


def s3(held: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (action.removeprefix("s3:"), target.replace("${Bucket83908E77.Arn}", "<bucket>"))
        for action, target in held
        if action.startswith("s3:")
    }


def test_each_kind_of_job_reads_and_writes_its_own_prefixes(template: Template) -> None:
    # Given the roles of the two kinds of jobs, When their grants on the bucket are read
    processing, training = (s3(role_grants(template, f"{kind}Role")) for kind in ("Processing", "Training"))
    # Then they are these: nobody writes data or code, and training sees no raw data
    assert processing == {
        ("ListBucket", "<bucket>"),
        *(("GetObject", f"<bucket>/{prefix}*") for prefix in ("data/", "code/", "runs/", "models/")),
        ("PutObject", "<bucket>/runs/*"),
    }
    assert training == {
        ("ListBucket", "<bucket>"),
        *(("GetObject", f"<bucket>/{prefix}*") for prefix in ("code/", "runs/")),
        ("PutObject", "<bucket>/models/*"),
        ("PutObject", "<bucket>/runs/*/prepare/report/checkpoints/*"),
    }
    # And a list shows what may be read, no more
    assert condition_of(template, "TrainingRole", "s3:ListBucket") == {
        "StringLike": {"s3:prefix": ["code/*", "runs/*"]}
    }


@pytest.mark.parametrize("kind", ["Processing", "Training"])
def test_a_job_may_log_measure_and_pull_its_image_and_nothing_else(template: Template, kind: str) -> None:
    # Given a job's role, When what is not about the bucket is read
    held = {action for action, _ in role_grants(template, f"{kind}Role") if not action.startswith("s3:")}
    # Then it is this: no call to SageMaker, no role to hand on
    assert held == {
        "ecr:GetAuthorizationToken",
        *ECR,
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "cloudwatch:PutMetricData",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
    # And metrics go to its own namespace, and grants on the key to AWS's disks alone
    assert condition_of(template, f"{kind}Role", "cloudwatch:PutMetricData") == {
        "StringEquals": {"cloudwatch:namespace": [f"/aws/sagemaker/{kind}Jobs"]}
    }
    assert condition_of(template, f"{kind}Role", "kms:CreateGrant") == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_the_pipeline_makes_the_jobs_of_its_steps_alone(template: Template) -> None:
    # Given the pipeline's role, When its grants on jobs are read
    held = role_grants(template, "PipelineRole")
    made = {resource_of(target) for action, target in held if action.startswith("sagemaker:Create")}
    # Then each is held to a step, in small letters as ARNs are
    assert made == {
        "processing-job/pipelines-*-prepare-*",
        "processing-job/pipelines-*-baseline-*",
        "processing-job/pipelines-*-evaluate-*",
        "training-job/pipelines-*-train-*",
        "model-package/${AWS::StackName}/*",
    }
    # And it hands on the two roles of its jobs, to SageMaker only
    passed = {target for action, target in held if action == "iam:PassRole"}
    assert {target[2:12] for target in passed} == {"Processing", "TrainingRo"}
    assert condition_of(template, "PipelineRole", "iam:PassRole") == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    # And of the data it reads the evaluation alone
    assert s3(held) == {("GetObject", "<bucket>/runs/*/evaluate/evaluation/evaluation.json")}


@pytest.mark.parametrize(
    "role", ["ProcessingRole", "TrainingRole", "PipelineRole", "StartRole", "StarterRole", "TellRole", "TellerRole"]
)
def test_a_role_is_taken_on_for_this_account_only(template: Template, role: str) -> None:
    _, condition = trusted(template, role)
    assert condition == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("case", ["deliveries", "tumors"])
def test_the_stack_fills_every_placeholder_of_a_definition(case: str) -> None:
    # Given a use case, When the pipeline is synthesized
    definition, values = pipeline_definition(synthesized(ARCHITECTURE, use_case=case))
    # Then nothing is left open, and nothing is filled in that is not asked for
    assert set(values) == {name for name in PLACEHOLDERS if not name.startswith("AWS::")}
    # And the jobs of all steps are granted
    text = json.dumps(definition)
    assert step_names(text, "Processing") == ["Baseline", "Evaluate", "Prepare"]
    assert step_names(text, "Training") == ["Train"]


def jobs(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of all jobs by their step's name, those in the branches of the condition, too."""
    steps = [*definition["Steps"]]
    for step in definition["Steps"]:
        steps += step["Arguments"].get("IfSteps", []) + step["Arguments"].get("ElseSteps", [])
    return {step["Name"]: step["Arguments"] for step in steps if step["Type"] in ("Processing", "Training")}


@pytest.mark.parametrize("case", ["deliveries", "tumors"])
def test_every_job_is_isolated_and_encrypted(case: str) -> None:
    # Given the jobs of a definition
    definition, values = pipeline_definition(synthesized(ARCHITECTURE, use_case=case))
    assert len(jobs(definition)) == 4
    for name, job in jobs(definition).items():
        network = job if name == "Train" else job["NetworkConfig"]
        resources = job["ResourceConfig"] if name == "Train" else job["ProcessingResources"]["ClusterConfig"]
        output = job["OutputDataConfig"] if name == "Train" else job["ProcessingOutputConfig"]
        # Then none has a network, and what instances say to each other, disks and outputs are encrypted with the key
        assert network["EnableNetworkIsolation"] is True
        assert network["EnableInterContainerTrafficEncryption"] is True
        assert (resources["VolumeKmsKeyId"], output["KmsKeyId"]) == ("${KeyArn}", "${KeyArn}")
        # And each has the role of its kind
        assert job["RoleArn"] == ("${TrainingRoleArn}" if name == "Train" else "${ProcessingRoleArn}")
    assert values["KeyArn"] == {"Fn::GetAtt": ["Key961B73FD", "Arn"]}


def test_a_marker_starts_a_training_once_a_batch_is_complete(template: Template) -> None:
    # Given the default stack, Then an object under data/ that ends with the marker's name starts the state machine
    rule = template.body["Resources"]["NewData"]["Properties"]
    assert rule["EventPattern"]["detail"]["object"]["key"] == [{"wildcard": "data/*_READY"}]
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Start", "Arn"]}
    assert role_grants(template, "StarterRole") == {("states:StartExecution", "${Start.Arn}")}
    # And an event that cannot be delivered is kept
    assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0].startswith("DeadLetters")


def test_what_starts_a_training_is_a_setting() -> None:
    every = synthesized(ARCHITECTURE, start_on_data="every-object")
    assert every.body["Resources"]["NewData"]["Properties"]["EventPattern"]["detail"]["object"]["key"] == [
        {"prefix": "data/"}
    ]
    none = synthesized(ARCHITECTURE, start_on_data="never")
    assert "NewData" not in none.body["Resources"]
    assert not [name for name, _ in none.resources("AWS::IAM::Role") if name.startswith("Starter")]


def test_a_schedule_is_off_until_it_is_wanted(template: Template) -> None:
    assert not list(template.resources("AWS::Scheduler::Schedule"))
    weekly = synthesized(ARCHITECTURE, schedule="weekly")
    schedule = only(weekly, "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(7 days)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": ["Start", "Arn"]}
    assert schedule["Target"]["Input"] == '{"id": "<aws.scheduler.execution-id>"}'


def test_the_start_compares_with_what_is_approved_and_starts_an_event_once(template: Template) -> None:
    # Given the state machine that starts the pipeline
    states = definition_of(template, "Start")["States"]
    # Then the newest approved package of this group is looked for
    assert states["Find approved"]["Arguments"] == {
        "ModelPackageGroupName": "${AWS::StackName}",
        "ModelApprovalStatus": "Approved",
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 1,
    }
    # And an event's id is the token of the request
    assert states["What is new"]["Assign"]["token"] == "{% $hash($states.input.id, 'SHA-256') %}"
    assert states["Start pipeline"]["Arguments"]["ClientRequestToken"] == "{% $token %}"
    # And whatever fails is told
    for state in states.values():
        if state["Type"] == "Task":
            assert [caught["ErrorEquals"] for caught in state["Catch"]] == [["States.ALL"]]
            assert state["Retry"]


def test_a_failed_execution_is_told_to_the_topic(template: Template) -> None:
    # Given the rule for executions that fail
    rule = template.body["Resources"]["ExecutionFailed"]["Properties"]
    # Then it is about this pipeline, and starts the machine that tells, with a dead-letter queue
    assert rule["EventPattern"]["detail-type"] == ["SageMaker Model Building Pipeline Execution Status Change"]
    assert rule["EventPattern"]["detail"]["currentPipelineExecutionStatus"] == ["Failed"]
    assert next(iter(strings(rule["EventPattern"]["detail"]["pipelineArn"]))).endswith("pipeline/${AWS::StackName}")
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Tell", "Arn"]}
    assert target["DeadLetterConfig"]
    assert role_grants(template, "TellerRole") == {("states:StartExecution", "${Tell.Arn}")}
    # And whatever cannot be asked, the topic is told
    states = definition_of(template, "Tell")["States"]
    tasks = {name: state for name, state in states.items() if state["Type"] == "Task"}
    assert all(state["Retry"] for state in tasks.values())
    assert {name: state["Catch"][0]["Next"] for name, state in tasks.items() if "Catch" in state} == {
        "Find step": "Tell",
        "Ask job": "Tell",
    }


def test_who_tells_of_a_failure_sees_steps_and_jobs_of_this_pipeline_alone(template: Template) -> None:
    # Given the role of the machine that tells, When its grants on SageMaker are read
    held = {(action, resource_of(target)) for action, target in role_grants(template, "TellRole") if "sage" in action}
    # Then they are these
    assert held == {
        ("sagemaker:ListPipelineExecutionSteps", "pipeline/${AWS::StackName}/execution/*"),
        *(
            ("sagemaker:DescribeProcessingJob", f"processing-job/pipelines-*-{step}-*")
            for step in ("baseline", "evaluate", "prepare")
        ),
    }


def test_every_alarm_tells_when_it_is_raised_and_when_it_clears(template: Template) -> None:
    alarms = [resource["Properties"] for _, resource in template.resources("AWS::CloudWatch::Alarm")]
    assert {alarm["MetricName"] for alarm in alarms} == {
        "ExecutionFailed",
        "ExecutionsFailed",
        "ApproximateNumberOfMessagesVisible",
    }
    assert all(alarm["AlarmActions"] == alarm["OKActions"] != [] for alarm in alarms)


def test_neighbours_import_by_the_stacks_own_name(template: Template) -> None:
    exported = {
        output["Export"]["Name"]["Fn::Join"][1][1] for output in template.body["Outputs"].values() if "Export" in output
    }
    assert exported == {"-BucketName", "-CodeUri", "-KeyArn", "-ModelPackageGroupName", "-StartArn"}


def test_the_code_has_a_new_place_whenever_it_changes(template: Template) -> None:
    # Given the archive of the sources
    archive, digest = source_archive("deliveries")
    # Then it is placed under its digest, and the definition names that place
    (file,) = only(template, "Custom::PlacedFiles")["Files"]
    assert file["Key"] == f"code/{digest}/sourcedir.tar.gz"
    assert archive.name == "sourcedir.tar.gz"
    _, values = pipeline_definition(template)
    assert next(iter(strings(values["CodeUri"]))).endswith(f"/code/{digest}/sourcedir.tar.gz")


@pytest.mark.parametrize(
    "settings",
    [
        {"use_case": "cats"},
        {"start_on_data": "always"},
        {"schedule": "hourly"},
        {"alarm_email": "nobody"},
        {"colour": 1},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingPipelineSettings(**settings)  # type: ignore[arg-type]


def test_the_bucket_is_emptied_after_the_last_job_has_written(template: Template) -> None:
    # Given what ends the jobs that run, When the stack is deleted, Then that goes before what empties the bucket
    (retired,) = (name for name, _ in template.resources("Custom::RetiredPipeline"))
    (emptied,) = (name for name, _ in template.resources("Custom::EmptiedBucket"))
    assert emptied in template.body["Resources"][retired]["DependsOn"]
