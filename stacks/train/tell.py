"""The state machine that tells of an execution that failed: which step, why, and where to look.

The event of an execution that failed says neither. Of a step there is a reason, but of a processing job that is no more
than its exit code: what the script says is the job's exit message (Amazon SageMaker AI Developer Guide, "Save and
Access Metadata Information About Your Processing Job", read 2026-11-27). A step names its job by an ARN, in small
letters; jobs are found by such a name, too (SageMaker's SDK finds them so in its own tests).

Whatever cannot be asked, the execution is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacks.train.start import PUBLISH, SAGEMAKER, State


@dataclass(frozen=True)
class Parts:
    """What the states name, as tokens of the template."""

    partition: str
    failure_topic: str


def definition(parts: Parts) -> State:
    """The definition as a dictionary, for `Stack.to_json_string`. Its input is an execution's event."""
    job = "$failed.Metadata.ProcessingJob.Arn"
    reason = "[$failed.FailureReason, $failed.Metadata.Fail.ErrorMessage, 'No reason was given.'][0]"
    message = "$states.result.ExitMessage"
    return {
        "Comment": "Tells of an execution that failed, with the step and its reason",
        "QueryLanguage": "JSONata",
        "StartAt": "What is known",
        "TimeoutSeconds": 900,
        "States": {
            "What is known": {
                "Type": "Pass",
                "Assign": {
                    "execution": "{% $states.input.detail.pipelineExecutionArn %}",
                    "step": "",
                    "reason": "The execution failed, and its steps could not be asked why.",
                    "job": "",
                },
                "Next": "Find step",
            },
            "Find step": _task(
                parts,
                f"{SAGEMAKER}listPipelineExecutionSteps",
                {"PipelineExecutionArn": "{% $execution %}"},
                "Is it a processing job",
                otherwise="Tell",
                Assign={
                    "step": _of_the_failed("$exists($failed) ? $failed.StepName : ''"),
                    "reason": _of_the_failed(f"$exists($failed) ? {reason} : 'No step failed.'"),
                    "job": _of_the_failed(f"$exists({job}) ? $substringAfter({job}, '/') : ''"),
                },
            ),
            "Is it a processing job": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $job != '' %}", "Next": "Ask job"}],
                "Default": "Tell",
            },
            "Ask job": _task(
                parts,
                f"{SAGEMAKER}describeProcessingJob",
                {"ProcessingJobName": "{% $job %}"},
                "Tell",
                otherwise="Tell",
                Assign={"reason": f"{{% $exists({message}) ? {message} : $reason %}}"},
            ),
            "Tell": _task(
                parts,
                PUBLISH,
                {
                    "TopicArn": parts.failure_topic,
                    "Subject": "A training failed",
                    "Message": "{% $string({'execution': $execution, 'step': $step, 'reason': $reason}) %}",
                },
                "Told",
            ),
            "Told": {"Type": "Succeed"},
        },
    }


def _of_the_failed(expression: str) -> str:
    return f"{{% ($failed := $states.result.PipelineExecutionSteps[StepStatus = 'Failed'][0]; {expression}) %}}"


def _task(
    parts: Parts, resource: str, arguments: Mapping[str, Any], following: str, *, otherwise: str = "", **more: Any
) -> State:
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
        **({"Catch": [{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": otherwise}]} if otherwise else {}),
        "Next": following,
    }
