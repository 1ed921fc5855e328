"""The function that starts the hour's job: which hour, which inputs, which baseline, and what is no failure."""

from __future__ import annotations

import dataclasses
import importlib
import json
import types
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from botocore.validate import validate_parameters
from moto import mock_aws

from lambdas.model_monitor.start_monitor.baseline import NoBaselineError, Production, alone_since
from lambdas.model_monitor.start_monitor.jobs import Found, Settings, job_name, last_full_hour, request, window
from pipelines.monitoring import monitor
from pipelines.monitoring.schema import Schema
from tests.unit.conftest import Context

VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "ENDPOINT_NAME": "deliveries",
    "CAPTURE_URI": "s3://captures/data-capture",
    "GROUND_TRUTH_URI": "s3://labels/ground-truth/",
    "LABEL_DAYS": "2",
    "REPORT_URI": "s3://reports/monitor",
    "CODE_URI": "s3://code/abc/sourcedir.tar.gz",
    "JOB_NAME_PREFIX": "model-monitor",
    "JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/job",
    "IMAGE_URI": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "KEY_ARN": "arn:aws:kms:us-east-1:123456789012:key/k",
    "METRIC_NAMESPACE": "ModelMonitor",
}
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/deliveries/7"
HOUR = "data-capture/deliveries/AllTraffic/2026/11/27/09/a.jsonl"
EVENT = {"time": "2026-11-27T10:15:00Z"}


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in VARIABLES.items():
            patch.setenv(variable, value)
        return importlib.import_module("lambdas.model_monitor.start_monitor.handler")


@pytest.fixture
def sagemaker(module: types.ModuleType) -> Iterator[Stubber]:
    with Stubber(module.clients["sagemaker"]) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def upload(module: types.ModuleType) -> Iterator[Callable[..., None]]:
    """Puts objects into the buckets of captures and labels."""
    with mock_aws():
        s3 = module.clients["s3"]
        for bucket in ("captures", "labels"):
            s3.create_bucket(Bucket=bucket)

        def put(bucket: str, *keys: str) -> None:
            for key in keys:
                s3.put_object(Bucket=bucket, Key=key, Body=b"{}")

        yield put


def settings(**changed: str) -> Settings:
    return Settings.read(VARIABLES | changed)


LONG_AGO = datetime(2026, 11, 1, tzinfo=timezone.utc)


def expect_production(sagemaker: Stubber, endpoint: dict[str, Any] | None = None, **package: Any) -> None:
    """The endpoint serves a model of a package, since long ago unless its description says otherwise."""
    sagemaker.add_response(
        "describe_endpoint",
        {
            "EndpointName": "deliveries",
            "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/deliveries",
            "EndpointConfigName": "deliveries-7",
            "EndpointStatus": "InService",
            "CreationTime": LONG_AGO,
            "LastModifiedTime": LONG_AGO,
            **(endpoint or {}),
        },
        {"EndpointName": "deliveries"},
    )
    sagemaker.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": "deliveries-7",
            "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/deliveries-7",
            "ProductionVariants": [
                {"VariantName": "Shadow", "ModelName": "other"},
                {"VariantName": "AllTraffic", "ModelName": "deliveries-7"},
            ],
            "CreationTime": (endpoint or {}).get("LastModifiedTime", LONG_AGO) - timedelta(minutes=5),
        },
        {"EndpointConfigName": "deliveries-7"},
    )
    sagemaker.add_response(
        "describe_model",
        {
            "ModelName": "deliveries-7",
            "Containers": [{"ModelPackageName": PACKAGE}],
            "CreationTime": datetime.now(timezone.utc),
            "ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/deliveries-7",
        },
        {"ModelName": "deliveries-7"},
    )
    sagemaker.add_response(
        "describe_model_package",
        {
            "ModelPackageName": "deliveries",
            "ModelPackageArn": PACKAGE,
            "CreationTime": datetime.now(timezone.utc),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            **package,
        },
        {"ModelPackageName": PACKAGE},
    )


def registered(uri: str) -> dict[str, Any]:
    return {"ModelDataQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": uri}}}


BASELINE = {"DriftCheckBaselines": registered("s3://models/7/baseline/statistics.json")}


SERVED = Production("s3://models/7/baseline/", LONG_AGO, None)


def expect_job(sagemaker: Stubber, job: dict[str, Any]) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/x"
    sagemaker.add_response("create_processing_job", {"ProcessingJobArn": arn}, job)


def expect_taken(sagemaker: Stubber, status: str) -> None:
    """The name is that of a job which has come so far."""
    sagemaker.add_client_error("create_processing_job", "ResourceInUse", http_status_code=400)
    described = {
        "ProcessingJobName": "x",
        "ProcessingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:processing-job/x",
        "ProcessingJobStatus": status,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 10}
        },
        "AppSpecification": {"ImageUri": "x"},
        "CreationTime": LONG_AGO,
    }
    sagemaker.add_response("describe_processing_job", described, None)


def captured_only(chosen: Settings, hour: datetime) -> Found:
    return dataclasses.replace(chosen.wanted(hour), ground_truth=(), history=())


def no_captures(module: types.ModuleType) -> list[float]:
    """The metric's values."""
    found = module.clients["cloudwatch"].get_metric_data(
        StartTime="2020-01-01T00:00:00Z",
        EndTime="2040-01-01T00:00:00Z",
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "ModelMonitor",
                        "MetricName": "NoCaptures",
                        "Dimensions": [{"Name": "Endpoint", "Value": "deliveries"}],
                    },
                    "Period": 3600,
                    "Stat": "Maximum",
                },
            }
        ],
    )
    values: list[float] = found["MetricDataResults"][0]["Values"]
    return values


def inputs(job: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        each["InputName"]: (each["S3Input"]["S3Uri"], each["S3Input"]["LocalPath"]) for each in job["ProcessingInputs"]
    }


# --- the hour


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("2026-11-27T10:15:00Z", "2026-11-27T09"),
        ("2026-11-27T10:00:00Z", "2026-11-27T09"),
        ("2026-11-27T10:59:59.999Z", "2026-11-27T09"),
        ("2026-11-27T00:05:00+00:00", "2026-11-26T23"),
        ("2027-01-01T01:30:00+02:00", "2026-12-31T22"),
    ],
)
def test_the_last_full_hour_is_the_one_that_had_ended(time: str, hour: str) -> None:
    assert last_full_hour(time).isoformat().startswith(hour)


@pytest.mark.parametrize("time", ["", "<aws.scheduler.scheduled-time>", "2026-11-27T10:15:00"])
def test_an_event_without_a_time_is_an_error(module: types.ModuleType, time: str) -> None:
    with pytest.raises(ValueError, match="The event"):
        module.handler({"time": time}, Context())


# --- the request


def full(settings: Settings, hour: datetime) -> dict[str, Any]:
    return request(settings, hour, settings.wanted(hour), SERVED)


def test_the_request_is_one_that_sagemaker_takes_with_all_inputs_and_none_too_many() -> None:
    # Given as many days of labels as are allowed, and a network
    chosen = settings(LABEL_DAYS="5", SUBNET_IDS="subnet-1, subnet-2", SECURITY_GROUP_IDS="sg-1")
    hour = last_full_hour("2026-12-02T10:15:00Z")
    # When a request is made for everything that there could be
    job = full(chosen, hour)
    # Then it is valid, of its limits too
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateProcessingJob").input_shape
    assert shape
    validate_parameters(job, shape)
    assert len(job["ProcessingInputs"]) <= 10
    assert len({path for _, path in inputs(job).values()}) == len(job["ProcessingInputs"])
    assert job["NetworkConfig"]["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    # And it reads the hour's captures, the labels of the hour, and the days that they may be of
    found = inputs(job)
    assert found["captures"][0] == "s3://captures/data-capture/deliveries/AllTraffic/2026/12/02/09/"
    assert found["ground-truth"][0] == "s3://labels/ground-truth/2026/12/02/09/"
    days = [uri.removesuffix("/")[-10:] for name, (uri, _) in sorted(found.items()) if name.startswith("history")]
    assert days == ["2026/11/27", "2026/11/28", "2026/11/29", "2026/11/30", "2026/12/01", "2026/12/02"]


def test_the_job_is_closed_in_and_encrypted() -> None:
    job = full(settings(), last_full_hour(EVENT["time"]))
    assert job["NetworkConfig"] == {"EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": True}
    assert job["ProcessingOutputConfig"]["KmsKeyId"] == VARIABLES["KEY_ARN"]
    assert job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == VARIABLES["KEY_ARN"]


def test_the_command_is_one_that_the_monitor_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the command of a job with everything
    job = full(settings(), last_full_hour(EVENT["time"]))
    entry = job["AppSpecification"]["ContainerEntrypoint"]
    words = job["AppSpecification"]["ContainerArguments"]
    assert entry[:2] == ["bash", "-c"]
    assert entry[2].endswith('exec python3 -m "$0" "$@"')
    assert entry[3:] == ["pipelines.monitoring.monitor"]
    # And each word is one that SageMaker takes
    assert max(map(len, [*entry, *words])) <= 256
    assert len(words) <= 100
    # When the monitor reads its arguments
    seen: dict[str, Any] = {}
    monkeypatch.setattr(monitor, "read_baseline", lambda folder, schema: (seen.update(baseline=folder), None))
    monkeypatch.setattr(Schema, "read", lambda file: seen.update(schema=file))
    monkeypatch.setattr(monitor, "_folder", lambda folder: folder)

    def run(*_: Any, **told: Any) -> types.SimpleNamespace:
        seen.update(told)
        return types.SimpleNamespace(message="fine")

    monkeypatch.setattr(monitor, "run", run)
    monkeypatch.setattr(monitor, "finish", lambda message, file, code: seen.update(message=file) or code)
    assert monitor.main(words) == 0
    # Then each folder is that of an input, and the report goes where the output is taken from
    paths = {name: path for name, (_, path) in inputs(job).items()}
    assert {str(seen["captures"]), str(seen["ground_truth"]), str(seen["baseline"])} == {
        paths["captures"],
        paths["ground-truth"],
        paths["baseline"],
    }
    assert all(path.startswith(f"{seen['history']}/") for name, path in paths.items() if name.startswith("history"))
    assert str(seen["schema"]) == f"{paths['code']}/pipelines/deliveries/schema.json"
    assert str(seen["output"]) == job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["LocalPath"]
    assert str(seen["message"]) == "/opt/ml/output/message"
    assert [time.isoformat() for time in seen["between"]] == ["2026-11-27T09:00:00+00:00", "2026-11-27T10:00:00+00:00"]


def test_an_input_that_is_not_there_is_not_named() -> None:
    hour = last_full_hour(EVENT["time"])
    wanted = settings().wanted(hour)
    # Given an hour without labels
    captured = request(settings(), hour, wanted.only(lambda uri: "ground-truth" not in uri), SERVED)
    assert set(inputs(captured)) == {"code", "baseline", "captures"}
    assert "--ground-truth" not in captured["AppSpecification"]["ContainerArguments"]
    # Given one without captures, and labels of a day before
    labelled = request(settings(), hour, wanted.only(lambda uri: "ground" in uri or uri.endswith("/26/")), SERVED)
    assert set(inputs(labelled)) == {"code", "baseline", "ground-truth", "history-0"}
    assert "--captures" not in labelled["AppSpecification"]["ContainerArguments"]


def test_there_is_something_to_judge_if_there_is_traffic_or_a_label_with_its_day() -> None:
    assert Found(("c",), (), ()).anything_to_judge
    assert Found((), ("g",), ("h",)).anything_to_judge
    assert not Found((), ("g",), ()).anything_to_judge
    assert not Found((), (), ()).anything_to_judge


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="LABEL_DAYS"):
        settings(LABEL_DAYS="6")
    with pytest.raises(KeyError):
        Settings.read({})


# --- the function


def test_an_hour_with_traffic_starts_its_job(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given captures of the hour and of the one after it
    upload("captures", HOUR, HOUR.replace("/09/", "/10/"))
    expect_production(sagemaker, **BASELINE)
    chosen, hour = settings(), last_full_hour(EVENT["time"])
    only = dataclasses.replace(chosen.wanted(hour), ground_truth=(), history=())
    expect_job(sagemaker, request(chosen, hour, only, SERVED))
    # When the schedule calls
    answer = module.handler(EVENT, Context())
    # Then the hour's job is started under its name, with the baseline of the package in production
    assert answer == {
        "outcome": "started",
        "hour": "2026-11-27T09:00:00Z",
        "job": "model-monitor-2026112709",
        "earlier": [],
    }
    assert job_name(chosen, hour) == answer["job"]
    assert no_captures(module) == [0.0]


def test_a_second_call_for_the_hour_starts_nothing_and_does_not_fail(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    upload("captures", HOUR)
    expect_production(sagemaker, **BASELINE)
    expect_taken(sagemaker, "InProgress")
    assert module.handler(EVENT, Context())["outcome"] == "already started"


def test_an_hour_without_traffic_is_a_result(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given traffic in another hour, of another variant and of an endpoint with a longer name
    upload("captures", HOUR.replace("/09/", "/10/"), HOUR.replace("AllTraffic", "Shadow"))
    upload("captures", HOUR.replace("deliveries/", "deliveries-2/"))
    # When the schedule calls, Then SageMaker is not asked for anything, and the metric says so
    assert module.handler(EVENT, Context())["outcome"] == "no captures"
    assert no_captures(module) == [1.0]


def test_labels_alone_start_a_job_with_the_days_before(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given labels that arrived in the hour, and traffic of the day before
    upload("labels", "ground-truth/2026/11/27/09/a.jsonl")
    upload("captures", HOUR.replace("/27/09/", "/26/14/"))
    expect_production(sagemaker, **BASELINE)
    chosen, hour = settings(), last_full_hour(EVENT["time"])
    wanted = chosen.wanted(hour)
    expect_job(
        sagemaker,
        request(chosen, hour, Found((), wanted.ground_truth, wanted.history[1:2]), SERVED),
    )
    # When the schedule calls, Then a job judges them, and the metric still tells that there was no traffic
    assert module.handler(EVENT, Context())["outcome"] == "started"
    assert no_captures(module) == [1.0]


def test_labels_without_any_traffic_are_no_job(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    upload("labels", "ground-truth/2026/11/27/09/a.jsonl")
    assert module.handler(EVENT, Context())["outcome"] == "no captures"


def test_a_package_may_have_its_baseline_among_its_metrics(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    upload("captures", HOUR)
    expect_production(sagemaker, ModelMetrics=registered("s3://models/8/b/statistics.json"))
    expect_taken(sagemaker, "Completed")
    assert module.handler(EVENT, Context())["outcome"] == "already started"


def test_a_model_without_a_baseline_is_a_failure(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    upload("captures", HOUR)
    expect_production(sagemaker)
    with pytest.raises(NoBaselineError, match="no baseline of its data"):
        module.handler(EVENT, Context())


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_failed_attempt_is_followed_by_one_under_the_next_name(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None], status: str
) -> None:
    # Given an hour whose job failed
    upload("captures", HOUR)
    expect_production(sagemaker, **BASELINE)
    chosen, hour = settings(), last_full_hour(EVENT["time"])
    expect_taken(sagemaker, status)
    expect_job(sagemaker, request(chosen, hour, captured_only(chosen, hour), SERVED, 2))
    # When the hour is asked for again, Then another job is started, whose report goes elsewhere
    answer = module.handler(EVENT, Context())
    assert (answer["outcome"], answer["job"]) == ("started", "model-monitor-2026112709-2")


def test_an_hour_is_given_up_after_three_attempts_until_an_operator_asks(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given an hour whose three jobs failed
    upload("captures", HOUR)
    expect_production(sagemaker, **BASELINE)
    for _ in range(3):
        expect_taken(sagemaker, "Failed")
    # When it is asked for by the schedule, Then it is given up, and that is no failure
    assert module.handler(EVENT, Context())["outcome"] == "given up"
    # When an operator asks, Then it is judged
    expect_production(sagemaker, **BASELINE)
    for _ in range(3):
        expect_taken(sagemaker, "Failed")
    chosen, hour = settings(), last_full_hour(EVENT["time"])
    expect_job(sagemaker, request(chosen, hour, captured_only(chosen, hour), SERVED, 4))
    assert module.handler({**EVENT, "again": True}, Context())["job"] == "model-monitor-2026112709-4"


def test_two_calls_that_overlap_start_one_second_attempt(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given a failed job, and another call that has just started the next
    upload("captures", HOUR)
    expect_production(sagemaker, **BASELINE)
    expect_taken(sagemaker, "Failed")
    expect_taken(sagemaker, "InProgress")
    # When this call comes to it, Then it starts nothing
    answer = module.handler(EVENT, Context())
    assert (answer["outcome"], answer["job"]) == ("already started", "model-monitor-2026112709-2")


def test_hours_before_that_nobody_judged_are_started_too(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given traffic of the two hours before and of the one before those, and none in this one
    upload("captures", *(HOUR.replace("/09/", f"/0{hour}/") for hour in (6, 7, 8)))
    expect_production(sagemaker, **BASELINE)
    chosen = settings()
    # And the job of one failed, the other never was
    for at, attempt in ((8, 2), (7, 1)):
        hour = datetime(2026, 11, 27, at, tzinfo=timezone.utc)
        if attempt == 2:
            expect_taken(sagemaker, "Failed")
        expect_job(sagemaker, request(chosen, hour, captured_only(chosen, hour), SERVED, attempt))
    # When the schedule calls, Then both are started, and no others
    answer = module.handler(EVENT, Context())
    assert answer["outcome"] == "no captures"
    assert [one["job"] for one in answer["earlier"]] == ["model-monitor-2026112708-2", "model-monitor-2026112707"]


# --- an update of the endpoint


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-27T{time}+00:00")


@pytest.mark.parametrize(
    ("since", "until", "part"),
    [
        ("08:59:59", None, ("09:00:00", "10:00:00")),
        ("09:20:00.25", None, ("09:20:01", "10:00:00")),
        ("10:00:00", None, None),
        ("10:12:00", None, None),
        ("08:00:00", "09:30:00", ("09:00:00", "09:30:00")),
        ("08:00:00", "08:59:00", None),
        ("08:00:00", "10:05:00", ("09:00:00", "10:00:00")),
    ],
)
def test_only_what_the_model_in_production_alone_has_answered_is_read(
    since: str, until: str | None, part: tuple[str, str] | None
) -> None:
    served = Production("s3://m/b/", at(since), at(until) if until else None)
    assert window(at("09:00:00"), served) == (tuple(map(at, part)) if part else None)


def test_an_endpoint_that_was_scaled_later_does_not_forget_its_hour() -> None:
    # Given an endpoint that was updated at nine and scaled at noon
    scaled: dict[str, Any] = {"LastModifiedTime": at("12:00:00")}
    # Then it is at ten past ten at the latest that the new model was alone, or when its own limit was over
    assert alone_since(scaled, at("09:00:00")) == at("10:10:00")
    policy = {"BlueGreenUpdatePolicy": {"MaximumExecutionTimeoutInSeconds": 600}}
    assert alone_since({**scaled, "LastDeploymentConfig": policy}, at("09:00:00")) == at("09:20:00")
    # And when it was changed before, that is the end of the update
    assert alone_since({"LastModifiedTime": at("09:05:00")}, at("09:00:00")) == at("09:05:00")


def test_the_job_of_an_hour_with_an_update_is_told_which_part_to_read(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given an endpoint that was updated in the hour
    upload("captures", HOUR)
    expect_production(sagemaker, {"LastModifiedTime": at("09:20:00")}, **BASELINE)
    chosen, hour = settings(), last_full_hour(EVENT["time"])
    served = Production("s3://models/7/baseline/", at("09:20:00"), None)
    job = request(chosen, hour, captured_only(chosen, hour), served)
    expect_job(sagemaker, job)
    assert module.handler(EVENT, Context())["outcome"] == "started"
    # Then captures are read from then on, and labels are for answers from then on
    words = job["AppSpecification"]["ContainerArguments"]
    told = {words[n]: words[n + 1] for n in range(len(words) - 1) if words[n].startswith("--")}
    assert (told["--start"], told["--end"], told["--since"]) == (
        "2026-11-27T09:20:00Z",
        "2026-11-27T10:00:00Z",
        "2026-11-27T09:20:00Z",
    )


def test_an_hour_of_a_model_that_was_replaced_is_not_judged(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None]
) -> None:
    # Given an endpoint that was updated after the hour's end
    upload("captures", HOUR)
    expect_production(sagemaker, {"LastModifiedTime": at("10:05:00")}, **BASELINE)
    # When the schedule calls, Then there is no job, and it says why
    assert module.handler(EVENT, Context())["outcome"] == "model replaced"
    with pytest.raises(ValueError, match="No part"):
        request(settings(), at("09:00:00"), Found(("c",), (), ()), Production("b", at("10:05:00"), None))


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "AccessDeniedException", "ThrottlingException"])
def test_a_refusal_is_a_failure_that_lambda_tries_again(
    module: types.ModuleType, sagemaker: Stubber, upload: Callable[..., None], code: str
) -> None:
    upload("captures", HOUR)
    expect_production(sagemaker, **BASELINE)
    sagemaker.add_client_error("create_processing_job", code, http_status_code=400)
    with pytest.raises(ClientError, match=code):
        module.handler(EVENT, Context())


def test_the_log_tells_the_hour_and_no_content(
    module: types.ModuleType,
    sagemaker: Stubber,
    upload: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import io

    written = io.StringIO()
    monkeypatch.setattr(module.logger.registered_handler, "stream", written)
    module.handler(EVENT, Context())
    told = json.loads(written.getvalue().splitlines()[0])
    assert (told["outcome"], told["hour"]) == ("no captures", "2026-11-27T09:00:00Z")
