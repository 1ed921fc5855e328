"""The state machine that starts the pipeline: it finds out what an event or a schedule cannot say.

Two parameters of an execution depend on what is there. `ProductionModelUri` is the artifact of the newest approved
package, with which the new model is compared on the same test set: the jobs have no network and cannot ask.
`DataVersion` tells data that is new from data that was there, for SageMaker takes a step from its cache unless an
input's address or a parameter is another.

An event may come twice. Its id makes the request's token, and SageMaker starts one execution for a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]

SAGEMAKER = "arn:{partition}:states:::aws-sdk:sagemaker:"
PUBLISH = "arn:{partition}:states:::sns:publish"


@dataclass(frozen=True)
class Parts:
    """What the states call and name, as tokens of the template. `no_model` is what to compare with at first."""

    partition: str
    pipeline: str
    package_group: str
    no_model: str
    failure_topic: str


def definition(parts: Parts) -> State:
    """The definition as a dictionary, for `Stack.to_json_string`."""
    newest = "$states.result.ModelPackageSummaryList[0].ModelPackageArn"
    sequencer = "$states.input.detail.object.sequencer"
    return {
        "Comment": "Starts the pipeline on the data that is there, beside the model in production",
        "QueryLanguage": "JSONata",
        "StartAt": "What is new",
        "TimeoutSeconds": 900,
        "States": {
            # By S3's sequencer for data. Drift and schedules want a training in any case.
            "What is new": {
                "Type": "Pass",
                "Assign": {
                    "token": "{% $hash($states.input.id, 'SHA-256') %}",
                    "data": f"{{% $exists({sequencer}) ? {sequencer} : $states.context.Execution.StartTime %}}",
                    "production": parts.no_model,
                },
                "Next": "Find approved",
            },
            "Find approved": _task(
                parts,
                f"{SAGEMAKER}listModelPackages",
                {
                    "ModelPackageGroupName": parts.package_group,
                    "ModelApprovalStatus": "Approved",
                    "SortBy": "CreationTime",
                    "SortOrder": "Descending",
                    "MaxResults": 1,
                },
                "Is there one",
                Assign={"package": f"{{% $exists({newest}) ? {newest} : '' %}}"},
            ),
            "Is there one": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $package = '' %}", "Next": "Start pipeline"}],
                "Default": "Where it lies",
            },
            "Where it lies": _task(
                parts,
                f"{SAGEMAKER}describeModelPackage",
                {"ModelPackageName": "{% $package %}"},
                "Start pipeline",
                Assign={"production": "{% $states.result.InferenceSpecification.Containers[0].ModelDataUrl %}"},
            ),
            "Start pipeline": _task(
                parts,
                f"{SAGEMAKER}startPipelineExecution",
                {
                    "PipelineName": parts.pipeline,
                    "ClientRequestToken": "{% $token %}",
                    "PipelineParameters": [
                        {"Name": "DataVersion", "Value": "{% $data %}"},
                        {"Name": "ProductionModelUri", "Value": "{% $production %}"},
                    ],
                },
                "Started",
            ),
            "Started": {"Type": "Succeed"},
            "Tell of failure": {
                **_task(
                    parts,
                    PUBLISH,
                    {
                        "TopicArn": parts.failure_topic,
                        "Subject": "A training could not be started",
                        "Message": "{% $string({'execution': $states.context.Execution.Id, 'code': $failure.code,"
                        " 'cause': $failure.cause}) %}",
                    },
                    "Failed",
                ),
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
            },
            "Failed": {"Type": "Fail", "Error": "{% $failure.code %}", "Cause": "{% $failure.cause %}"},
        },
    }


def _task(parts: Parts, resource: str, arguments: Mapping[str, Any], following: str, **more: Any) -> State:
    return {
        "Type": "Task",
        "Resource": resource.format(partition=parts.partition),
        "Arguments": dict(arguments),
        "Output": {},
        **more,
        "Retry": [
            {
                "ErrorEquals": ["States.TaskFailed"],
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxAttempts": 5,
                "MaxDelaySeconds": 60,
                "JitterStrategy": "FULL",
            }
        ],
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {
                    "failure": {
                        "code": "{% $states.errorOutput.Error %}",
                        "cause": "{% $exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : '' %}",
                    }
                },
                "Output": {},
                "Next": "Tell of failure",
            }
        ],
        "Next": following,
    }
