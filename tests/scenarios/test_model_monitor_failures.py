"""Notice when a model drifts: no hour is lost, none is judged twice, and whoever cannot watch says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.cloud import LocalCloud
from pipelines.deliveries.world import FEATURES, draw
from scenarios import model_monitor
from tests.conftest import SharedStacks
from tests.scenarios.watcher import HOUR, Watcher, ended
from tests.waiting import never


@pytest.fixture
def watcher(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[Watcher]:
    watcher = Watcher.of(cloud, shared_stacks)
    with watcher.schedule("DISABLED"), watcher.no_training():
        # Nothing that others have left unjudged is an hour before.
        watcher.pass_hours(3)
        watcher.clean()
        yield watcher
        watcher.clean()


# --- the schedule


def test_a_schedule_that_overlaps_itself_judges_each_hour_once(watcher: Watcher) -> None:
    # Given an hour of traffic, and the schedule
    hour = watcher.hour()
    watcher.traffic(4000, 6)
    with watcher.schedule("ENABLED"):
        # When its time comes, and the same call comes three times more at once
        watcher.pass_hours()
        watcher.control.clock_advance(20 * 60)
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: model_monitor.start(watcher.cloud, watcher.outputs, hour), range(3)))
        watcher.until(lambda: "InProgress" not in watcher.jobs(hour).values() and watcher.jobs(hour), "the job's end")
        # Then there is one job, and whoever came later was told so
        (name,) = watcher.jobs(hour)
        assert {answer["job"] for answer in answers} == {name}
        assert [answer["outcome"] for answer in answers].count("already started") >= 2
        assert model_monitor.follow(watcher.cloud, watcher.outputs, hour, name).status == "JUDGED"
        # And when its next time comes, the hour is done
        watcher.control.clock_advance(3600)
        assert never(lambda: len(watcher.jobs(hour)) > 1, 2)
    assert watcher.letters() == 0


def test_a_job_that_outlives_its_hour_does_not_keep_the_next_from_being_judged(watcher: Watcher) -> None:
    # Given an hour whose job is slow
    watcher.control.faults_add(
        service="sagemaker", operation="CreateProcessingJob", kind="slow-job", seconds=5, times=1
    )
    first = watcher.hour()
    watcher.traffic(4200, 2)
    model_monitor.start(watcher.cloud, watcher.outputs, first)
    # When the next hour is judged meanwhile
    second = watcher.pass_hours()
    watcher.traffic(4210, 2)
    model_monitor.start(watcher.cloud, watcher.outputs, second)
    assert [*watcher.jobs(first).values(), *watcher.jobs(second).values()] == ["InProgress"] * 2
    # Then both come to their ends, in jobs and reports of their own
    for hour in (first, second):
        (name,) = watcher.jobs(hour)
        assert model_monitor.follow(watcher.cloud, watcher.outputs, hour, name).status == "JUDGED"


# --- jobs that fail


def test_an_hour_whose_job_failed_is_judged_with_the_next(watcher: Watcher) -> None:
    # Given an hour whose job fails
    watcher.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="fail-job", times=1)
    hour = watcher.hour()
    watcher.traffic(4300, 6)
    failed = watcher.judge()
    assert (failed.status, watcher.metric("JobFailed")) == ("FAILED", [1.0])
    assert failed.reason
    # When the next hour is asked for, which has no traffic itself
    after = watcher.pass_hours()
    told = model_monitor.start(watcher.cloud, watcher.outputs, after)
    # Then the one before gets another attempt, with a report of its own
    assert told["outcome"] == "no captures"
    (again,) = told["earlier"]
    assert (again["outcome"], again["job"]) == ("started", f"{failed.job}-2")
    judged = model_monitor.follow(watcher.cloud, watcher.outputs, hour, again["job"])
    assert (judged.status, judged.statistics["dataset"]["item_count"]) == ("JUDGED", 120)
    # And nobody is told any more that nobody watches
    assert max(watcher.published(after)) == 0
    # And there is no third
    assert model_monitor.start(watcher.cloud, watcher.outputs, after)["earlier"] == []


def test_a_job_that_is_killed_leaves_its_reason_and_no_report(watcher: Watcher) -> None:
    watcher.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="kill-job", times=1)
    watcher.traffic(4400, 2)
    verdict = watcher.judge()
    assert (verdict.status, watcher.metric("JobFailed")) == ("FAILED", [1.0])
    assert verdict.reason
    assert watcher.metric("Violations") == []


# --- what is captured


def test_captures_that_cannot_be_read_are_counted_and_the_others_are_judged(watcher: Watcher) -> None:
    # Given an hour of traffic with captures among it that are none
    watcher.traffic(4500, 6)
    broken = [b"{not json", b"[]", b'{"eventMetadata": {"eventId": "x"}}', b"\xff\xfe"]
    watcher.put_captures(b"\n".join(broken))
    # When it is judged, Then the rows are those of the others, and the rest is told
    verdict = watcher.judge()
    assert verdict.status == "JUDGED", verdict
    assert verdict.statistics["dataset"]["item_count"] == 120
    assert verdict.drift["window"]["malformed_records"] == len(broken)
    assert watcher.metric("MalformedRecords") == [len(broken)]


def test_missing_values_and_unknown_categories_and_other_answers_are_named(watcher: Watcher) -> None:
    # Given parcels without a carrier, of a category that nobody knew, and far too warm
    rows = draw(600, 4600)[list(FEATURES)]
    rows["carrier"] = ""
    rows["category"] = "fireworks"
    rows["temperature"] = rows["temperature"] + 8
    watcher.traffic(4600, 1, body=rows.to_csv(index=False, header=False))
    # When the hour is judged
    verdict = watcher.judge()
    assert verdict.status == "JUDGED", verdict
    # Then each is named for what it is, in the managed monitor's words, and so is what the model answers
    kinds = {one["feature_name"]: one["constraint_check_type"] for one in verdict.violations}
    assert kinds["carrier"] == "completeness_check"
    assert kinds["category"] == "categorical_values_check"
    assert kinds["temperature"] == "baseline_drift_check"
    assert verdict.drift["prediction"]["drifted"]
    assert kinds[verdict.drift["prediction"]["name"]] == "baseline_drift_check"
    # And the features that were as ever are not
    assert not set(kinds) & {"price", "weight_kg", "weekday"}


def test_labels_that_come_a_day_later_tell_that_answers_have_become_worse(watcher: Watcher) -> None:
    # Given answers to parcels, none of which drifts
    ids = watcher.traffic(4700, 10)
    # When a day later the labels come, and one for an answer that nobody gave: all that was safe was spoiled
    watcher.pass_hours(24)
    watcher.put_labels({name: [1] * 20 for name in ids} | {"nobody": [0]})
    verdict = watcher.judge()
    # Then they were merged with the answers of that day
    assert verdict.status == "JUDGED", verdict
    assert verdict.drift["quality"]["labels"] == 200
    assert verdict.drift["quality"]["labels_without_prediction"] == 1
    # And the quality is what is violated, and nothing else; there was no traffic in this hour
    (violation,) = verdict.violations
    assert violation["feature_name"] == "claimed"
    assert violation["description"].startswith("model quality: mean log loss")
    assert watcher.metric("Labels") == [200.0]
    assert watcher.metric("NoCaptures") == [1.0]
    assert watcher.metric("Violations") == [1.0]


def test_the_answers_of_another_model_are_not_judged(watcher: Watcher) -> None:
    # Given an hour in which one model answered, and then another
    hour = watcher.hour()
    watcher.traffic(4800, 3)
    sagemaker, endpoint = watcher.cloud.client("sagemaker"), watcher.shop.serving["EndpointName"]
    watcher.control.clock_advance(60)
    package = watcher.shop.in_service()
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    watcher.until(
        lambda: (
            (now := sagemaker.describe_endpoint(EndpointName=endpoint))["EndpointStatus"] == "InService"
            and now["EndpointConfigName"] != config
        ),
        "the update",
    )
    watcher.control.clock_advance(60)
    watcher.traffic(4810, 5)
    # When the hour is judged, Then it is by what the model in service has answered
    verdict = watcher.judge()
    assert (verdict.status, verdict.hour) == ("JUDGED", hour)
    assert verdict.statistics["dataset"]["item_count"] == 100
    assert verdict.drift["window"]["outside_window"] == 3
    # And of an hour before, nothing is left to judge
    told = model_monitor.start(watcher.cloud, watcher.outputs, hour - HOUR)
    assert told["outcome"] in ("no captures", "model replaced")


# --- events and reports


def test_an_event_that_comes_twice_or_late_tells_the_same(watcher: Watcher) -> None:
    # Given an hour that was judged and told
    watcher.traffic(4900, 30, shifted=True)
    verdict = watcher.judge()
    told = watcher.metric("Violations")
    assert told == [len(verdict.violations)] != [0]
    # When the event of its job comes again, and one that it still runs comes after its end
    event = ended(watcher, verdict.job)
    running = {**event, "detail": {**event["detail"], "ProcessingJobStatus": "InProgress"}}
    for one, outcome in ((event, "published"), (running, "still running"), (event, "published")):
        answer = watcher.functions.invoke(
            FunctionName=watcher.outputs["PublishReportFunctionName"], Payload=json.dumps(one).encode()
        )
        assert json.loads(answer["Payload"].read())["outcome"] == outcome
    # Then the figures are the same
    assert watcher.metric("Violations") == told
    assert watcher.metric("JobFailed") == [0.0]


def test_a_report_that_cannot_be_read_is_a_dead_letter_until_it_is_mended(watcher: Watcher) -> None:
    # Given a judged hour whose report is no JSON any more
    watcher.traffic(5000, 2)
    verdict = watcher.judge()
    s3, bucket = watcher.cloud.client("s3"), watcher.outputs["BucketName"]
    key = f"reports/{verdict.job}/statistics.json"
    kept = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=kept[:20])
    # When its event comes in another hour, Then nothing is told of it as if it were good, and a letter keeps the event
    watcher.pass_hours()
    watcher.call("PublishReportFunctionName", ended(watcher, verdict.job))
    watcher.wait_for_letters()
    assert watcher.metric("JobFailed") == []
    # When the report is mended and the letter redriven, Then it is told
    s3.put_object(Bucket=bucket, Key=key, Body=kept)
    assert watcher.redrive() == [watcher.arn("PublishReportFunctionName")]
    assert watcher.published(watcher.hour()) == [0.0]
    assert watcher.letters() == 0


# --- services and functions


@pytest.mark.parametrize(
    ("service", "operation"),
    [("sagemaker", "CreateProcessingJob"), ("monitoring", "PutMetricData")],
)
def test_a_throttled_service_is_asked_again(watcher: Watcher, service: str, operation: str) -> None:
    # Given a service that throttles the next two attempts
    rule = watcher.control.faults_add(service=service, operation=operation, kind="throttle", times=2)
    watcher.traffic(5100, 1)
    # When the hour's time comes, Then it is judged and told all the same
    watcher.call_for_this_hour()
    watcher.published(watcher.hour())
    assert next(one["applied"] for one in watcher.control.faults() if one["id"] == rule) == 2
    assert list(watcher.jobs(watcher.hour()).values()) == ["Completed"]
    assert watcher.letters() == 0


def test_a_service_that_is_down_leaves_an_hour_that_can_be_redriven(watcher: Watcher) -> None:
    # Given SageMaker starting no job
    watcher.control.faults_add(service="sagemaker", operation="CreateProcessingJob", kind="internal")
    watcher.traffic(5200, 1)
    # When all attempts at the hour are used up
    watcher.call_for_this_hour()
    watcher.wait_for_letters()
    assert watcher.jobs(watcher.hour()) == {}
    # And SageMaker is back and the letter is redriven, Then the hour is judged
    watcher.control.faults_clear()
    assert watcher.redrive() == [watcher.arn("StartMonitorFunctionName")]
    assert watcher.published(watcher.hour()) == [0.0]
    assert len(watcher.jobs(watcher.hour())) == 1


def test_a_function_killed_after_it_started_the_job_starts_no_second(watcher: Watcher) -> None:
    # Given a function that is killed when SageMaker has taken the job, and one when the report's metrics are written
    for service, operation in (("sagemaker", "CreateProcessingJob"), ("monitoring", "PutMetricData")):
        watcher.control.faults_add(service=service, operation=operation, kind="kill-worker", when="after", times=1)
    watcher.traffic(5300, 1)
    # When the hour's time comes, Then the next attempts find what was done
    watcher.call_for_this_hour()
    watcher.published(watcher.hour())
    watcher.until(lambda: watcher.metric("NoCaptures") == [0.0], "the hour to be handled")
    assert [one["applied"] for one in watcher.control.faults()] == [1, 1]
    assert list(watcher.jobs(watcher.hour()).values()) == ["Completed"]
    assert watcher.letters() == 0


def test_a_call_that_means_no_time_is_a_dead_letter(watcher: Watcher) -> None:
    # Given a call that can never succeed
    watcher.call("StartMonitorFunctionName", {"time": "soon"})
    # When all its attempts are used up, Then it is kept, with what was wrong
    watcher.wait_for_letters()
    (letter,) = watcher.sqs.receive_message(QueueUrl=watcher.outputs["DeadLetterQueueUrl"])["Messages"]
    body = json.loads(letter["Body"])
    assert body["requestPayload"] == {"time": "soon"}
    assert body["responsePayload"]["errorType"] == "ValueError"
