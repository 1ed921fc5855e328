"""Train, evaluate and register a model: bad data, jobs that break, a service that does not answer, lost events.

Each failure is told with the step and a reason that says what to mend.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pipelines.deliveries.world import LABEL, draw
from scenarios import training_pipeline
from tests.local.emulated import messages
from tests.local.sagemaking import log_of
from tests.scenarios.shop import Shop, data
from tests.waiting import never, until

# Too few for a good model, enough for every step.
ROWS = 1200
ANY_MODEL = {"MetricThreshold": "0.01"}


# --- data that is not what it should be -------------------------------------------------------------------------------


def no_text() -> bytes:
    return b"\xff\xfe\x00\x01"


def rows_of_other_lengths() -> bytes:
    lines = data(ROWS).decode().splitlines()
    return "\n".join([*lines[:7], lines[7] + ",1,2", *lines[8:]]).encode()


def no_header() -> bytes:
    return b"\n".join(data(ROWS).splitlines()[1:])


def a_missing_column() -> bytes:
    return bytes(draw(ROWS, 1).drop(columns=["temperature"]).to_csv(index=False).encode())


def one_class() -> bytes:
    frame = draw(ROWS, 1)
    return bytes(frame[frame[LABEL] == 0].to_csv(index=False).encode())


def a_flood_of_gaps() -> bytes:
    frame = draw(ROWS, 1)
    frame.loc[frame.index % 2 == 0, "temperature"] = float("nan")
    return bytes(frame.to_csv(index=False).encode())


def words_for_numbers() -> bytes:
    frame = draw(ROWS, 1).astype({"price": object})
    frame.loc[5, "price"] = "free"
    return bytes(frame.to_csv(index=False).encode())


def too_few_rows() -> bytes:
    return data(50)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (no_text, "bad.csv is no CSV: it is not text in UTF-8."),
        (rows_of_other_lengths, "bad.csv, line 8: 10 fields instead of 8."),
        (no_header, "bad.csv has no column claimed,"),
        (a_missing_column, "bad.csv has no column temperature."),
        (one_class, "The label claimed is 0 in every row: two classes are needed."),
        (a_flood_of_gaps, "More than 30% of the values are missing in: temperature (52%)."),
        (words_for_numbers, "bad.csv: Line 7, column price: not a number."),
        (too_few_rows, "There are 50 different rows; 200 are needed at least."),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_bad_data_fails_with_its_reason_which_is_told(school: Shop, content: Callable[[], bytes], reason: str) -> None:
    # Given a file that does not serve, and somebody who listens
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When it is uploaded
        report = school.train({"bad.csv": content()})
        # Then the step that reads it says what is wrong, and nothing is trained or registered
        assert report.status == "FAILED", report
        assert report.reason.startswith(f"Prepare: {reason}"), report.reason
        assert [step.name for step in report.steps] == ["Prepare"]
        assert not report.package
        # And the topic is told the same, with the execution
        message = school.told_once(look, report.execution)
    assert (message["execution"], message["step"]) == (report.execution, "Prepare")
    assert message["reason"].startswith(reason)


def test_a_bad_file_among_good_ones_is_named_as_its_owner_wrote_it(school: Shop) -> None:
    # Given a good file, and a bad one whose name is not ASCII and has signs that events encode
    bad = "März + Käse (50%) & more.csv"
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When both are uploaded
        report = school.train({"good.csv": data(ROWS), f"2026/{bad}": a_missing_column()})
        # Then the training fails as a whole, and its reason and what is told name the bad one
        assert report.status == "FAILED", report
        assert school.told_once(look, report.execution)["reason"] == f"{bad} has no column temperature."
    assert report.reason == f"Prepare: {bad} has no column temperature."


def test_a_model_below_the_bar_is_told_as_such(school: Shop) -> None:
    # Given a bar that no model reaches
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When a model is trained
        report = school.end_of(school.start(DataVersion="bar", MetricThreshold="0.999"))
        # Then it is not registered, and the topic is told why and where its figures are
        assert report.status == "NOT_BETTER", report
        message = school.told_once(look, report.execution)
    assert message["step"] == "NotGoodEnough"
    assert "below 0.999" in message["reason"]
    assert f"/{report.execution.rpartition('/')[2]}/evaluate/evaluation" in message["reason"]


# --- jobs that break --------------------------------------------------------------------------------------------------


def test_a_training_that_crashes_or_takes_too_long_fails_and_is_told(school: Shop) -> None:
    # Given data, and trainings that last
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with school.longer_training(num_round="1000000", early_stopping_rounds="1000000", checkpoint_rounds="10000"):
        # When the training's process is killed
        school.cloud.control.faults_add(service="sagemaker", operation="CreateTrainingJob", kind="kill-job", times=1)
        with school.listening(school.training["FailureTopicArn"]) as look:
            crashed = school.end_of(school.start(DataVersion="crash"))
            # Then the execution fails, and the topic is told with the exit code of a kill
            assert crashed.status == "FAILED", crashed
            message = school.told_once(look, crashed.execution)
            assert message == {"execution": crashed.execution, "step": "Train", "reason": message["reason"]}
            assert "exit code: 137" in message["reason"]

            # When another one, whose preparation is taken from the first, runs into its limit
            late = school.end_of(school.start(DataVersion="crash", MaxRuntimeSeconds="1"))
            # Then it fails, and the topic is told that time was up
            assert late.status == "FAILED", late
            message = school.told_once(look, late.execution)
            assert (message["execution"], message["step"]) == (late.execution, "Train")
            assert "MaxRuntimeExceeded" in message["reason"]
    job = school.wait_for_job(late.execution, "Train")
    described = school.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert school.step(late.execution, "Prepare")["CacheHitResult"]["SourcePipelineExecutionArn"] == crashed.execution


def test_a_training_whose_spot_instance_is_taken_away_goes_on_from_its_checkpoint(school: Shop) -> None:
    # Given a training that lasts some seconds, and has kept a checkpoint
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with school.longer_training(num_round="1000", early_stopping_rounds="1000", max_depth="1"):
        execution = school.start(DataVersion="spot", **ANY_MODEL)
        folder = f"runs/{execution.rpartition('/')[2]}/prepare/report/checkpoints/"
        kept = {"Bucket": school.training["BucketName"], "Prefix": folder}
        until(lambda: school.client("s3").list_objects_v2(**kept)["KeyCount"], "a checkpoint", seconds=30)
        # When its instance is taken away
        school.cloud.control.faults_add(
            service="sagemaker", operation="CreateTrainingJob", kind="interrupt-job", times=1
        )
        report = school.end_of(execution)
    # Then a model is registered
    assert report.status == "REGISTERED", report
    # And the same job has begun anew
    job = school.wait_for_job(report.execution, "Train")
    described = school.client("sagemaker").describe_training_job(TrainingJobName=job)
    states = [one["Status"] for one in described["SecondaryStatusTransitions"]]
    assert [states.count(one) for one in ("Interrupted", "Training", "Completed")] == [1, 2, 1], states
    # And each round was done once, the later ones upon the earlier
    lines = log_of(school.cloud, "Training", described["TrainingJobName"])
    (resumed,) = (int(line.rpartition(" ")[2]) for line in lines if line.startswith("resumed after round "))
    assert resumed > 0
    at = lines.index(f"resumed after round {resumed}")
    assert lines[at + 1].startswith(f"[{resumed + 1}]")
    assert not any(line.startswith("[1]") for line in lines[at:])


def test_a_job_that_fails_by_the_service_is_tried_again(school: Shop) -> None:
    # Given a service whose next job fails by an internal error
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(50)}, ready=False)
    school.cloud.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="fail-job", times=1)
    # When an execution is started, and time passes
    execution = school.start(DataVersion="internal")
    school.hurry(lambda: school.step(execution, "Prepare").get("AttemptCount") == 2, "a second attempt")
    # Then the second job runs; what fails is the data, which is not tried again
    report = school.end_of(execution)
    assert report.reason.startswith("Prepare: There are 50 different rows"), report
    assert school.step(execution, "Prepare")["AttemptCount"] == 2


# --- a service that does not answer -----------------------------------------------------------------------------------


def test_a_throttled_service_is_tried_again_until_it_answers(school: Shop) -> None:
    # Given SageMaker throttling each of these four times, which is more than the callers' own clients stand
    control = school.cloud.control
    for operation in ("StartPipelineExecution", "ListModelPackages", "CreateProcessingJob", "CreateModelPackage"):
        control.faults_add(service="sagemaker", operation=operation, kind="throttle", times=4)
    before = training_pipeline.executions(school.cloud, school.training)
    # When data comes, and time passes
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(3000, 3)})
    (new,) = school.hurry(lambda: training_pipeline.executions(school.cloud, school.training) - before, "an execution")
    school.hurry(lambda: school.step(new, "Prepare").get("StepStatus") == "Succeeded", "the data to be prepared")
    school.hurry(lambda: ended(school, new), "the end of the execution")
    # Then everything is done in the end, once
    report = school.follow(before)
    assert report.status == "REGISTERED", report
    assert [school.step(new, name)["AttemptCount"] for name in ("Prepare", "Train", "Register")] == [2, 1, 2]
    assert all(rule["applied"] == 4 for rule in control.faults())
    assert len(training_pipeline.executions(school.cloud, school.training) - before) == 1


def ended(school: Shop, execution: str) -> bool:
    """Whether an execution has ended."""
    found = school.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=execution)
    return found["PipelineExecutionStatus"] not in ("Executing", "Stopping")


def test_a_service_that_is_down_fails_with_its_reason_and_the_execution_goes_on_later(school: Shop) -> None:
    # Given SageMaker making no training jobs
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    rule = school.cloud.control.faults_add(service="sagemaker", operation="CreateTrainingJob", kind="internal")
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When an execution is started, and all its attempts are used up
        execution = school.start(DataVersion="down", **ANY_MODEL)
        school.hurry(lambda: ended(school, execution), "the execution to fail")
        # Then the topic is told which call failed
        message = school.told_once(look, execution)
    assert (message["execution"], message["step"]) == (execution, "Train")
    assert "sagemaker:CreateTrainingJob" in message["reason"]
    # When the service is back and the execution is tried again, Then it goes on where it stood
    school.cloud.control.faults_clear(rule)
    prepared = school.wait_for_job(execution, "Prepare")
    school.again(execution)
    report = school.end_of(execution)
    assert report.status == "REGISTERED", report
    assert school.wait_for_job(execution, "Prepare") == prepared


def test_what_cannot_be_asked_is_told_all_the_same(school: Shop) -> None:
    # Given a service that does not say which step failed
    school.cloud.control.faults_add(service="sagemaker", operation="ListPipelineExecutionSteps", kind="internal")
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(50)}, ready=False)
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When an execution fails
        execution = school.start(DataVersion="mute")
        # Then the topic is told which one, after the attempts
        message = school.told_once(look, execution, hurry=True)
    assert message == {"execution": execution, "step": "", "reason": message["reason"]}
    assert "could not be asked" in message["reason"]


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_a_stopped_execution_stops_its_job_and_alarms_nobody(school: Shop) -> None:
    # Given an execution whose training is about to run
    training_pipeline.upload(school.cloud, school.training, {"a.csv": data(ROWS)}, ready=False)
    with school.longer_training(num_round="1000000", early_stopping_rounds="1000000", checkpoint_rounds="10000"):
        execution = school.start(DataVersion="stop")
        job = school.wait_for_job(execution, "Train")
        with school.listening(school.training["FailureTopicArn"]) as look:
            # When it is stopped
            school.stop(execution)
            # Then so is its job, and nothing is registered
            report = school.end_of(execution)
            assert (report.status, report.package) == ("STOPPED", "")
            described = school.client("sagemaker").describe_training_job(TrainingJobName=job)
            assert described["TrainingJobStatus"] == "Stopped"
            # And what somebody wanted is no failure
            assert never(lambda: [message for message in look() if execution in message], 1)


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_that_cannot_start_anything_is_kept_and_started_later(school: Shop) -> None:
    # Given a rule whose role may not start the state machine
    rule = school.training["RuleName"]
    (target,) = school.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    queue = school.training["DeadLetterQueueUrl"]
    before = training_pipeline.executions(school.cloud, school.training)
    with school.without(target["RoleArn"].rpartition("/")[2], "states:StartExecution"):
        # When data comes
        training_pipeline.upload(school.cloud, school.training, {"a.csv": data(50)})
        # Then its event is a dead letter with the reason, and nothing is started
        (letter,) = until(lambda: messages(school.cloud, queue), "a dead letter", seconds=30)
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
        assert letter["MessageAttributes"]["RULE_ARN"]["StringValue"].endswith(rule)
        assert training_pipeline.executions(school.cloud, school.training) == before
    # When the permission is back and the machine is started with the event, Then the training runs, once
    machine = school.client("stepfunctions")
    for _ in range(2):
        machine.start_execution(stateMachineArn=school.training["StartArn"], input=letter["Body"])
    school.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
    assert school.follow(before).reason.startswith("Prepare: There are 50 different rows")
    assert len(training_pipeline.executions(school.cloud, school.training) - before) == 1


def test_a_training_that_cannot_be_started_is_told(school: Shop) -> None:
    # Given SageMaker starting no execution
    before = training_pipeline.executions(school.cloud, school.training)
    school.cloud.control.faults_add(service="sagemaker", operation="StartPipelineExecution", kind="internal")
    with school.listening(school.training["FailureTopicArn"]) as look:
        # When data comes, and all attempts are used up
        training_pipeline.upload(school.cloud, school.training, {"a.csv": data(50)})
        # Then the topic is told
        (message,) = school.hurry(lambda: [one for one in look() if "code" in json.loads(one)], "the topic to be told")
    assert json.loads(message)["code"].startswith("SageMaker.")
    assert training_pipeline.executions(school.cloud, school.training) == before
