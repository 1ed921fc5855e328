"""The state machine that puts an approved model package into service, in the order in which it goes.

Plain Amazon States Language with JSONata, and no function: every state calls AWS itself. Variables (`Assign`) carry the
package and the names that the deployment gives.

**Names.** A deployment's model and configuration are called `<endpoint>-v<version>-<8 hexadecimal digits>`, the digits
from the execution's ARN: an attempt that is repeated means the same ones, another approval of the same version others.

**Two at once.** The endpoint can be changed by one at a time. A deployment that finds it busy waits; the approval that
came last is what serves in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]

SAGEMAKER = "arn:{partition}:states:::aws-sdk:sagemaker:"
SCALING = "arn:{partition}:states:::aws-sdk:applicationautoscaling:"
COPY = "arn:{partition}:states:::aws-sdk:s3:copyObject"
PUBLISH = "arn:{partition}:states:::sns:publish"

# Nothing can be done to an endpoint in one of these states, and nothing but deleting it in one of those (Amazon
# SageMaker API Reference, "DescribeEndpoint", EndpointStatus, read 2026-11-27).
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
BROKEN = ("Failed", "OutOfService", "UpdateRollbackFailed")

SCALABLE_DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@dataclass(frozen=True)
class Parts:
    """What the states call and name: ARNs and names, as tokens of the template.

    `training_bucket` is where the package's files lie, and where the baseline in production is kept: see `Deployment`.
    """

    partition: str
    endpoint: str
    variant: str
    model_role: str
    key: str
    package_group: str
    capture_uri: str
    training_bucket: str
    failure_topic: str
    rollback_alarms: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """Settings that show in the definition. Times in seconds, shares in percent."""

    instance_type: str
    instance_count: int
    maximum_instances: int
    scaling_policy: Mapping[str, Any]
    capture_percent: int
    canary_percent: int
    bake_seconds: int
    poll_seconds: int
    baseline_prefix: str


class Deployment:
    """Makes the definition.

    The baseline of what is in production is kept under fixed keys of the bucket that the model came from: a managed
    monitoring schedule cannot look up which package serves. It is the one that lies beside the registered one and has
    the answer's columns, too, as both are captured (see `pipelines/monitoring/baseline.py`).
    """

    def __init__(self, parts: Parts, choices: Choices) -> None:
        self.parts = parts
        self.choices = choices

    def definition(self) -> State:
        """The definition as a dictionary, for `Stack.to_json_string`."""
        return {
            "Comment": "Puts an approved model package into service, beside the one before until it proves sound",
            "QueryLanguage": "JSONata",
            "StartAt": "Which package",
            # The wait for another deployment, and its own, with the longest baking: see the settings.
            "TimeoutSeconds": 14_400,
            "States": {
                **self._package(),
                **self._model(),
                **self._endpoint(),
                **self._scaling(),
                **self._production(),
                **self._old(),
                **self._failure(),
            },
        }

    # --- which package

    def _package(self) -> dict[str, State]:
        """An event names the package; a schedule wants the newest that is approved."""
        baseline = "$states.result.DriftCheckBaselines.ModelDataQuality"
        name = f"'{self.parts.endpoint}-v' & $string($states.result.ModelPackageVersion) & '-' & {_DIGITS}"
        return {
            "Which package": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": "{% $exists($states.input.detail.ModelPackageArn) %}",
                        "Assign": {"package": "{% $states.input.detail.ModelPackageArn %}"},
                        "Next": "Describe package",
                    }
                ],
                # The failure path names the package, whether it is known or not.
                "Assign": {"package": ""},
                "Default": "Find newest approved",
            },
            "Find newest approved": self._task(
                f"{SAGEMAKER}listModelPackages",
                {
                    "ModelPackageGroupName": self.parts.package_group,
                    "ModelApprovalStatus": "Approved",
                    "SortBy": "CreationTime",
                    "SortOrder": "Descending",
                    "MaxResults": 1,
                },
                "Is there one",
                Assign={
                    "package": "{% $exists($states.result.ModelPackageSummaryList[0]) ?"
                    " $states.result.ModelPackageSummaryList[0].ModelPackageArn : '' %}"
                },
            ),
            "Is there one": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $package = '' %}", "Next": "Nothing to deploy"}],
                "Default": "Describe package",
            },
            "Nothing to deploy": {"Type": "Succeed"},
            "Describe package": self._task(
                f"{SAGEMAKER}describeModelPackage",
                {"ModelPackageName": "{% $package %}"},
                "Still approved",
                Assign={
                    "approval": "{% $states.result.ModelApprovalStatus %}",
                    "statistics": _or_nothing(f"{baseline}.Statistics.S3Uri"),
                    "constraints": _or_nothing(f"{baseline}.Constraints.S3Uri"),
                    "name": f"{{% {name} %}}",
                },
            ),
            # An event may be late: an approval that was taken back meanwhile counts no more.
            "Still approved": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $approval = 'Approved' %}", "Next": "Create model"}],
                "Default": "Not approved",
            },
            "Not approved": {"Type": "Succeed"},
        }

    # --- what the endpoint is made of

    def _model(self) -> dict[str, State]:
        parts, choices = self.parts, self.choices
        return {
            "Create model": self._task(
                f"{SAGEMAKER}createModel",
                {
                    "ModelName": "{% $name %}",
                    # By the package: image, artifact and environment come from there, and a monitor finds it again.
                    "Containers": [{"ModelPackageName": "{% $package %}"}],
                    "ExecutionRoleArn": parts.model_role,
                    "EnableNetworkIsolation": True,
                },
                "Create configuration",
            ),
            "Create configuration": self._task(
                f"{SAGEMAKER}createEndpointConfig",
                {
                    "EndpointConfigName": "{% $name %}",
                    "KmsKeyId": parts.key,
                    "ProductionVariants": [
                        {
                            "VariantName": parts.variant,
                            "ModelName": "{% $name %}",
                            "InstanceType": choices.instance_type,
                            "InitialInstanceCount": choices.instance_count,
                            "InitialVariantWeight": 1,
                        }
                    ],
                    "DataCaptureConfig": {
                        "EnableCapture": True,
                        "InitialSamplingPercentage": choices.capture_percent,
                        "DestinationS3Uri": parts.capture_uri,
                        "KmsKeyId": parts.key,
                        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                        "CaptureContentTypeHeader": {
                            "CsvContentTypes": ["text/csv"],
                            "JsonContentTypes": ["application/json"],
                        },
                    },
                },
                "Find endpoint",
                catch=[self._failed("Discard configuration")],
                Assign={"old_configuration": "", "old_model": ""},
            ),
        }

    # --- the endpoint

    def _endpoint(self) -> dict[str, State]:
        parts, choices = self.parts, self.choices
        return {
            "Find endpoint": self._find("What stands there"),
            "What stands there": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $standing = 'Absent' %}", "Next": "Create endpoint"},
                    {"Condition": "{% $standing = 'InService' %}", "Next": "Read what serves"},
                    {"Condition": f"{{% $standing in {_texts(BROKEN)} %}}", "Next": "Remove broken endpoint"},
                ],
                "Default": "Wait for the other",
            },
            "Wait for the other": {"Type": "Wait", "Seconds": choices.poll_seconds, "Next": "Find endpoint"},
            "Remove broken endpoint": self._task(
                f"{SAGEMAKER}deleteEndpoint",
                {"EndpointName": parts.endpoint},
                "Wait for the other",
                catch=[self._failed("Discard configuration")],
            ),
            "Create endpoint": self._task(
                f"{SAGEMAKER}createEndpoint",
                {"EndpointName": parts.endpoint, "EndpointConfigName": "{% $name %}"},
                "Wait for endpoint",
                catch=[self._failed("Was it another")],
            ),
            "Read what serves": self._task(
                f"{SAGEMAKER}describeEndpoint",
                {"EndpointName": parts.endpoint},
                "Read its model",
                catch=[self._failed("Discard configuration")],
                Assign={"old_configuration": "{% $states.result.EndpointConfigName %}"},
            ),
            "Read its model": self._task(
                f"{SAGEMAKER}describeEndpointConfig",
                {"EndpointConfigName": "{% $old_configuration %}"},
                "Same machines",
                catch=[self._failed("Discard configuration")],
                Assign={
                    "old_model": "{% $states.result.ProductionVariants[0].ModelName %}",
                    "old_type": "{% $states.result.ProductionVariants[0].InstanceType %}",
                },
            ),
            # SageMaker refuses another type of a variant that is scaled (Amazon SageMaker AI Developer Guide, "Update
            # endpoints that use auto scaling", read 2026-11-27). Meanwhile the number of instances stays as it is.
            "Same machines": {
                "Type": "Choice",
                "Choices": [{"Condition": f"{{% $old_type = '{choices.instance_type}' %}}", "Next": "Update endpoint"}],
                "Default": "End scaling",
            },
            "End scaling": self._task(
                f"{SCALING}deregisterScalableTarget",
                self._scaled(),
                "Update endpoint",
                catch=[
                    {"ErrorEquals": [_NOT_SCALED], "Output": {}, "Next": "Update endpoint"},
                    self._failed("Discard configuration"),
                ],
            ),
            "Update endpoint": self._task(
                f"{SAGEMAKER}updateEndpoint",
                {
                    "EndpointName": parts.endpoint,
                    "EndpointConfigName": "{% $name %}",
                    # As many instances as the traffic has called for, not as few as the configuration begins with.
                    "RetainAllVariantProperties": True,
                    "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DataCaptureConfig"}],
                    "DeploymentConfig": self._guarded(),
                },
                "Wait for endpoint",
                catch=[self._failed("Was it another")],
            ),
            # Another deployment may have begun between the look and the call: then this one waits for its turn.
            "Was it another": self._find("Another or not"),
            "Another or not": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": f"{{% $standing in {_texts(BUSY)} %}}", "Next": "Wait for the other"},
                    {"Condition": "{% $standing = 'InService' %}", "Next": "See what serves"},
                ],
                "Default": "Discard configuration",
            },
            "See what serves": self._task(
                f"{SAGEMAKER}describeEndpoint",
                {"EndpointName": parts.endpoint},
                "Has it changed",
                catch=[self._failed("Discard configuration")],
                Assign={"serving": "{% $states.result.EndpointConfigName %}"},
            ),
            # It may have ended since.
            "Has it changed": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $serving != $old_configuration %}", "Next": "Read what serves"}],
                "Assign": {"took_over": False},
                "Default": "Register for scaling",
            },
            "Wait for endpoint": {"Type": "Wait", "Seconds": choices.poll_seconds, "Next": "Look at endpoint"},
            "Look at endpoint": self._task(
                f"{SAGEMAKER}describeEndpoint",
                {"EndpointName": parts.endpoint},
                "How did it end",
                # It may have come into service: nothing is discarded.
                catch=[self._failed("Tell of failure")],
                Output={
                    "status": "{% $states.result.EndpointStatus %}",
                    "configuration": "{% $states.result.EndpointConfigName %}",
                    "reason": _or_nothing("$states.result.FailureReason"),
                },
            ),
            "How did it end": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": f"{{% $states.input.status in {_texts(BUSY)} %}}",
                        "Next": "Wait for endpoint",
                    },
                    {
                        "Condition": "{% $states.input.status = 'InService' and $states.input.configuration = $name %}",
                        "Assign": {"took_over": True},
                        "Next": "Register for scaling",
                    },
                    {
                        "Condition": "{% $states.input.status = 'InService'"
                        " and $states.input.configuration = $old_configuration %}",
                        "Assign": {
                            **_failure("RolledBack", "The model before serves again: ", "Update endpoint"),
                            "took_over": False,
                        },
                        "Next": "Register for scaling",
                    },
                    # It took over, and another deployment has taken over from it since.
                    {"Condition": "{% $states.input.status = 'InService' %}", "Next": "What was there before"},
                ],
                "Default": "Endpoint failed",
            },
            "Endpoint failed": {
                "Type": "Pass",
                "Assign": _failure("EndpointFailed", "The endpoint did not come up: ", "Create endpoint"),
                "Next": "Discard configuration",
            },
        }

    def _find(self, following: str) -> State:
        """Its status, or `Absent`: a list, since looking for one that is not there is an error without a name."""
        found = f"$states.result.Endpoints[EndpointName = '{self.parts.endpoint}']"
        return self._task(
            f"{SAGEMAKER}listEndpoints",
            {"NameContains": self.parts.endpoint, "MaxResults": 100},
            following,
            catch=[self._failed("Discard configuration")],
            Assign={"standing": f"{{% $exists({found}) ? {found}.EndpointStatus : 'Absent' %}}"},
        )

    def _guarded(self) -> State:
        """Blue/green: new instances beside the old, a part of the traffic first, back at the first alarm."""
        choices = self.choices
        routing: State = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": choices.bake_seconds}
        if choices.instance_count > 1:
            routing |= {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": choices.canary_percent},
            }
        return {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": min(120, choices.bake_seconds),
                "MaximumExecutionTimeoutInSeconds": 1800 + 2 * choices.bake_seconds,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in self.parts.rollback_alarms]},
        }

    # --- scaling

    def _scaled(self) -> State:
        return {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.parts.endpoint}/variant/{self.parts.variant}",
            "ScalableDimension": SCALABLE_DIMENSION,
        }

    def _scaling(self) -> dict[str, State]:
        """For whatever serves now: the new model, or the one before, whose scaling may have been ended."""
        target = self._scaled()
        return {
            "Register for scaling": self._task(
                f"{SCALING}registerScalableTarget",
                {
                    **target,
                    "MinCapacity": self.choices.instance_count,
                    "MaxCapacity": self.choices.maximum_instances,
                },
                "Set scaling",
                catch=[self._failed("Tell of failure")],
            ),
            "Set scaling": self._task(
                f"{SCALING}putScalingPolicy",
                {
                    **target,
                    "PolicyName": "follow-the-traffic",
                    "PolicyType": "TargetTrackingScaling",
                    "TargetTrackingScalingPolicyConfiguration": dict(self.choices.scaling_policy),
                },
                "Which one serves",
                catch=[self._failed("Tell of failure")],
            ),
            "Which one serves": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $took_over %}", "Next": "Is there a baseline"}],
                "Default": "Discard configuration",
            },
        }

    # --- what others read of the model in production

    def _production(self) -> dict[str, State]:
        prefix = self.choices.baseline_prefix
        return {
            "Is there a baseline": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $statistics != '' and $constraints != '' %}", "Next": "Keep statistics"}],
                "Default": "What was there before",
            },
            "Keep statistics": self._keep("statistics", f"{prefix}statistics.json", "Keep constraints"),
            "Keep constraints": self._keep("constraints", f"{prefix}constraints.json", "What was there before"),
        }

    def _keep(self, kind: str, key: str, following: str) -> State:
        source = f"$replace(${kind}, '/{kind}.json', '/captured_{kind}.json')"
        return self._task(
            COPY,
            {
                "Bucket": self.parts.training_bucket,
                "Key": key,
                "CopySource": f"{{% $substringAfter({source}, 's3://') %}}",
            },
            following,
            catch=[self._failed("Tell of failure")],
        )

    # --- the one before

    def _old(self) -> dict[str, State]:
        """Its artifact stays where the pipeline put it, so an older version can be approved again."""
        return {
            "What was there before": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $old_configuration = '' %}", "Next": "Deployed"}],
                "Default": "Delete old configuration",
            },
            "Delete old configuration": self._task(
                f"{SAGEMAKER}deleteEndpointConfig",
                {"EndpointConfigName": "{% $old_configuration %}"},
                "Delete old model",
                catch=[self._failed("Tell of failure")],
            ),
            "Delete old model": self._task(
                f"{SAGEMAKER}deleteModel",
                {"ModelName": "{% $old_model %}"},
                "Deployed",
                catch=[self._failed("Tell of failure")],
            ),
            "Deployed": {"Type": "Succeed"},
        }

    # --- how it fails

    def _failure(self) -> dict[str, State]:
        """The model and the configuration that never served go; if they will not, somebody is told all the same."""
        message = (
            "$string({'endpoint': '" + self.parts.endpoint + "', 'package': $package,"
            " 'execution': $states.context.Execution.Id, 'state': $failure.state, 'code': $failure.code,"
            " 'cause': $failure.cause})"
        )
        return {
            "Discard configuration": self._task(
                f"{SAGEMAKER}deleteEndpointConfig",
                {"EndpointConfigName": "{% $name %}"},
                "Discard model",
                catch=[{"ErrorEquals": ["States.ALL"], "Next": "Discard model"}],
            ),
            "Discard model": self._task(
                f"{SAGEMAKER}deleteModel",
                {"ModelName": "{% $name %}"},
                "Tell of failure",
                catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell of failure"}],
            ),
            "Tell of failure": self._task(
                PUBLISH,
                {
                    "TopicArn": self.parts.failure_topic,
                    "Subject": "A model was not deployed as it should be",
                    "Message": f"{{% {message} %}}",
                },
                "Failed",
                catch=[{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
            ),
            "Failed": {"Type": "Fail", "Error": "{% $failure.code %}", "Cause": "{% $failure.cause %}"},
        }

    # --- how states are made

    def _task(
        self,
        resource: str,
        arguments: Mapping[str, Any],
        following: str,
        *,
        catch: Sequence[State] | None = None,
        **more: Any,
    ) -> State:
        """`catch` None: nothing was made yet, so a failure has nothing to take back."""
        return {
            "Type": "Task",
            "Resource": resource.format(partition=self.parts.partition),
            "Arguments": dict(arguments),
            **({} if "Output" in more else {"Output": {}}),
            **more,
            "Retry": [
                {
                    "ErrorEquals": ["States.TaskFailed"],
                    "IntervalSeconds": 2,
                    "BackoffRate": 2,
                    "MaxAttempts": 3,
                    "MaxDelaySeconds": 30,
                    "JitterStrategy": "FULL",
                }
            ],
            "Catch": [self._failed("Tell of failure")] if catch is None else [*catch],
            "Next": following,
        }

    @staticmethod
    def _failed(following: str) -> State:
        return {
            "ErrorEquals": ["States.ALL"],
            "Assign": {
                "failure": {
                    "state": "{% $states.context.State.Name %}",
                    "code": "{% $states.errorOutput.Error %}",
                    "cause": "{% $exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : '' %}",
                }
            },
            "Output": {},
            "Next": following,
        }


# As Step Functions names the error of a scalable target that is not there.
_NOT_SCALED = "ApplicationAutoScaling.ObjectNotFoundException"
_DIGITS = "$substring($hash($states.context.Execution.Id, 'SHA-256'), 0, 8)"


def _or_nothing(expression: str) -> str:
    """The value, or an empty text where there is none: a variable must have a value."""
    return f"{{% $exists({expression}) ? {expression} : '' %}}"


def _texts(values: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _failure(code: str, beginning: str, state: str) -> State:
    return {
        "failure": {
            "state": state,
            "code": code,
            "cause": f"{{% '{beginning}' & $states.input.reason %}}",
        }
    }
