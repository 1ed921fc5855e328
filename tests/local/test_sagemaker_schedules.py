"""Monitoring of the managed kind in the local SageMaker: an hour's captures are judged by a schedule."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import eventually, unique
from tests.local.hosted import SCRIPT, Host
from tests.local.sagemaking import MACHINE, an_input, an_output, as_json, job_role, make_bucket, of_bucket, read, run

ANALYZER = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer:latest"
HOURLY = "cron(0 * ? * * *)"
RESULT = "/opt/ml/processing/resultdata"
ENDS = ("Completed", "CompletedWithViolations", "Failed")


def definition(role: str, bucket: str, endpoint: str, **more: Any) -> dict[str, Any]:
    """A request for a job definition whose baseline and reports lie in the bucket."""
    output = {"S3Uri": f"s3://{bucket}/reports", "LocalPath": RESULT, "S3UploadMode": "EndOfJob"}
    return {
        "JobDefinitionName": unique("definition"),
        "DataQualityAppSpecification": {
            "ImageUri": ANALYZER,
            "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "DataQualityBaselineConfig": {
            f"{kind.capitalize()}Resource": {"S3Uri": f"s3://{bucket}/baseline/{kind}.json"}
            for kind in ("statistics", "constraints")
        },
        "DataQualityJobInput": {
            "EndpointInput": {"EndpointName": endpoint, "LocalPath": "/opt/ml/processing/input/endpoint"}
        },
        "DataQualityJobOutputConfig": {"MonitoringOutputs": [{"S3Output": output}]},
        "JobResources": {"ClusterConfig": MACHINE},
        "RoleArn": role,
        **more,
    }


def config(name: str, expression: str = HOURLY) -> dict[str, Any]:
    """A schedule of a definition."""
    return {
        "ScheduleConfig": {"ScheduleExpression": expression},
        "MonitoringJobDefinitionName": name,
        "MonitoringType": "DataQuality",
    }


def executions(cloud: LocalCloud, schedule: str) -> list[dict[str, Any]]:
    """The executions of a schedule, the latest first."""
    found: list[dict[str, Any]] = cloud.client("sagemaker").list_monitoring_executions(MonitoringScheduleName=schedule)[
        "MonitoringExecutionSummaries"
    ]
    return found


def ended(cloud: LocalCloud, schedule: str, count: int) -> dict[str, Any]:
    """The latest execution, when there are so many and it has ended."""

    def look() -> dict[str, Any] | None:
        found = executions(cloud, schedule)
        return found[0] if len(found) == count and found[0]["MonitoringExecutionStatus"] in ENDS else None

    found = eventually(look, 30)
    assert found is not None
    return found


def next_hour(cloud: LocalCloud) -> None:
    """Move the clock to a little after the next full hour."""
    cloud.control.clock_advance(3600 - (time.time() + cloud.control.clock()) % 3600 + 1)


def test_an_hours_captures_are_judged_by_the_schedule(cloud: LocalCloud) -> None:
    # Given a baseline that the monitor's image made of a table, and an endpoint that captures what it is asked and
    # says, for which the columns of the answer are the table's first
    host = Host.make(cloud, script=SCRIPT.replace("return model + str(data)", 'return "0.3,0"'))
    bucket, sagemaker = host.bucket, cloud.client("sagemaker")
    rows = "\n".join(f"0.3,0,{10 + step % 7},{'ab'[step % 2]}" for step in range(200))
    cloud.client("s3").put_object(
        Bucket=bucket, Key="table/rows.csv", Body=f"probability,decision,price,kind\n{rows}\n"
    )
    run(
        cloud,
        "Processing",
        {
            "ProcessingJobName": unique("baseline"),
            "RoleArn": host.role,
            "AppSpecification": {"ImageUri": ANALYZER},
            "Environment": {
                "dataset_format": json.dumps({"csv": {"header": True}}),
                "dataset_source": "/opt/ml/processing/input/table",
                "output_path": "/opt/ml/processing/out",
            },
            "ProcessingInputs": [an_input("table", f"s3://{bucket}/table/")],
            "ProcessingOutputConfig": {"Outputs": [an_output("out", f"s3://{bucket}/baseline")]},
            "ProcessingResources": {"ClusterConfig": MACHINE},
        },
    )
    captured = host.config(
        host.variant(host.model()),
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{bucket}/captures",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )
    with host.endpoint(captured) as endpoint:
        next_hour(cloud)
        request = definition(host.role, bucket, endpoint)
        sagemaker.create_data_quality_job_definition(**request)
        schedule = unique("schedule")
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=schedule, MonitoringScheduleConfig=config(request["JobDefinitionName"])
        )
        # When it is asked for prices tenfold, and the hour is over
        for step in range(100):
            host.ask(endpoint, f"{100 + step % 7},{'ab'[step % 2]}")
        eventually(lambda: _captured(cloud, bucket) == 100)
        next_hour(cloud)
        found = ended(cloud, schedule, 1)
        # Then the schedule has found that, and where it says so is the report
        assert found["MonitoringExecutionStatus"] == "CompletedWithViolations", found.get("FailureReason")
        job = sagemaker.describe_processing_job(ProcessingJobName=found["ProcessingJobArn"].rpartition("/")[2])
        report = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
        assert report.startswith(f"s3://{bucket}/reports/{endpoint}/{schedule}/")
        violations = as_json(read(cloud, f"{report}/constraint_violations.json"))["violations"]
        assert {one["feature_name"] for one in violations} == {"price"}
        described = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=schedule)
        assert described["LastMonitoringExecutionSummary"]["ProcessingJobArn"] == found["ProcessingJobArn"]
        # And its metrics are in CloudWatch
        metrics = cloud.client("cloudwatch").list_metrics(
            Namespace="/aws/sagemaker/Endpoints/data-metric",
            Dimensions=[{"Name": "MonitoringSchedule", "Value": schedule}],
        )["Metrics"]
        assert "feature_baseline_drift_price" in {one["MetricName"] for one in metrics}
        # And an hour without captures has nothing to judge
        next_hour(cloud)
        found = ended(cloud, schedule, 2)
        assert (found["MonitoringExecutionStatus"], found["FailureReason"]) == ("Failed", "Job inputs had no data")
        # And a schedule that is stopped runs no more, until it is started
        sagemaker.stop_monitoring_schedule(MonitoringScheduleName=schedule)
        next_hour(cloud)
        sagemaker.start_monitoring_schedule(MonitoringScheduleName=schedule)
        assert len(executions(cloud, schedule)) == 2
        next_hour(cloud)
        ended(cloud, schedule, 3)
        sagemaker.delete_monitoring_schedule(MonitoringScheduleName=schedule)


def _captured(cloud: LocalCloud, bucket: str) -> int:
    """How many requests are captured."""
    found = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="captures/").get("Contents", [])
    return sum(read(cloud, f"s3://{bucket}/{one['Key']}").count(b"captureData") for one in found)


def test_a_schedule_needs_a_role_that_is_passed_and_a_definition_that_is_there(cloud: LocalCloud) -> None:
    # Given a role that does not trust the service
    sagemaker, bucket = cloud.client("sagemaker"), make_bucket(cloud)
    stranger = job_role(cloud, service="lambda.amazonaws.com")
    # When a definition names it, or a schedule a definition that is not there, then it is refused
    with pytest.raises(ClientError, match="does not let"):
        sagemaker.create_data_quality_job_definition(**definition(stranger, bucket, "e"))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_data_quality_job_definition(JobDefinitionName="not-there")
    with pytest.raises(ClientError, match="not-there"):
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=unique("schedule"), MonitoringScheduleConfig=config("not-there")
        )


@pytest.mark.parametrize("expression", ["cron(5 * ? * * *)", "rate(1 hour)", "cron(0 25 ? * * *)", "NOW"])
def test_an_expression_that_the_service_does_not_know_is_refused(cloud: LocalCloud, expression: str) -> None:
    sagemaker, bucket = cloud.client("sagemaker"), make_bucket(cloud)
    request = definition(job_role(cloud, *of_bucket(bucket)), bucket, "endpoint")
    sagemaker.create_data_quality_job_definition(**request)
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=unique("schedule"),
            MonitoringScheduleConfig=config(request["JobDefinitionName"], expression),
        )


def test_a_stack_makes_changes_and_removes_a_definition_and_a_schedule(cloud: LocalCloud) -> None:
    # Given a stack with both
    formation, sagemaker, bucket = cloud.client("cloudformation"), cloud.client("sagemaker"), make_bucket(cloud)
    role, name = job_role(cloud, *of_bucket(bucket)), unique("stack")

    def template(expression: str) -> str:
        properties = {key: value for key, value in definition(role, bucket, "e").items() if key != "JobDefinitionName"}
        its_name = {"Fn::Select": [1, {"Fn::Split": ["/", {"Ref": "Definition"}]}]}
        wanted = {**config("", expression), "MonitoringJobDefinitionName": its_name}
        return json.dumps(
            {
                "Resources": {
                    "Definition": {"Type": "AWS::SageMaker::DataQualityJobDefinition", "Properties": properties},
                    "Schedule": {
                        "Type": "AWS::SageMaker::MonitoringSchedule",
                        "Properties": {"MonitoringScheduleName": name, "MonitoringScheduleConfig": wanted},
                    },
                },
                "Outputs": {
                    "Definition": {"Value": {"Fn::GetAtt": ["Definition", "JobDefinitionArn"]}},
                    "Schedule": {"Value": {"Ref": "Schedule"}},
                },
            }
        )

    formation.create_stack(StackName=name, TemplateBody=template(HOURLY))
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = {
        one["OutputKey"]: one["OutputValue"]
        for one in formation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    assert ":data-quality-job-definition/" in outputs["Definition"]
    assert outputs["Schedule"].endswith(f":monitoring-schedule/{name}")
    # When the schedule is changed
    daily = "cron(0 12 ? * * *)"
    formation.update_stack(StackName=name, TemplateBody=template(daily))
    formation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    # Then it is another, and it goes with the stack
    found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    assert found["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"] == daily
    formation.delete_stack(StackName=name)
    formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
