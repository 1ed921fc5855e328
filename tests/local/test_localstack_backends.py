"""What stands behind the project's services on LocalStack: metrics, scaling, resources of stacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import metrics
from local.localstack import backends, plugins
from local.services import resource_types
from local.services.application_autoscaling import ApplicationAutoScaling
from local.services.resource_types import ResourceType
from local.services.sagemaker.resource_types import TYPES

ACCOUNT, REGION, MINUTE = "000000000000", "us-east-1", 1_764_000_000.0


class _Recorder:
    """Clients that keep what they are asked, and answer what they were told to, or with an error."""

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, _service: str, _key: str, _region: str) -> Any:
        return self

    def __getattr__(self, operation: str) -> Any:
        def ask(**arguments: Any) -> Any:
            self.asked.append((operation, arguments))
            answer = self.answers.get(operation, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Some")


# --- metrics


def _series(name: str) -> metrics.Series:
    return metrics.Series(ACCOUNT, REGION, "AWS/SageMaker", name, ("EndpointName", "one"), "Count", (("Variant", "a"),))


def test_a_minutes_values_are_sent_at_once_each_with_its_count() -> None:
    # Given values of two metrics, one of them several times
    cloud = _Recorder()
    sent = backends.Metrics(cloud)
    for value, count in ((1.0, 3.0), (1.0, 2.0), (0.0, 1.0)):
        sent.add(_series("Invocations"), MINUTE, value, count)
    sent.add(_series("ModelLatency"), MINUTE, 7.0, 1.0)
    # When they are sent
    sent.send()
    # Then CloudWatch gets them in one request
    ((operation, request),) = cloud.asked
    assert (operation, request["Namespace"]) == ("put_metric_data", "AWS/SageMaker")
    first, second = request["MetricData"]
    assert (first["Values"], first["Counts"]) == ([1.0, 0.0], [5.0, 1.0])
    assert first["Timestamp"].timestamp() == MINUTE
    assert {one["Name"] for one in first["Dimensions"]} == {"EndpointName", "Variant"}
    assert second["MetricName"] == "ModelLatency"
    # And nothing is sent twice
    sent.send()
    assert len(cloud.asked) == 1


def test_metrics_that_are_refused_are_told_and_do_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    # Given a CloudWatch that refuses once
    cloud = _Recorder({"put_metric_data": _refused("InternalError")})
    sent = backends.Metrics(cloud)
    sent.add(_series("Invocations"), MINUTE, 1.0, 1.0)
    # When metrics are sent, Then the log says what is lost, and later ones are sent
    sent.send()
    assert "Metrics of AWS/SageMaker are lost" in caplog.text
    sent.add(_series("Invocations"), MINUTE, 1.0, 1.0)
    sent.send()
    assert len(cloud.asked) == 2


# --- scaling


class _Policies(ApplicationAutoScaling):
    """A service with one alarm, that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, float]] = []

    def alarms(self) -> list[tuple[str, str, str, str]]:
        return [(ACCOUNT, REGION, "policy", "alarm")]

    def alarmed(
        self, account: str, region: str, policy_arn: str, alarm: str, value: float, moment: float
    ) -> str | None:
        self.told.append((policy_arn, alarm, value))
        return None


_ALARM = {"Namespace": "AWS/SageMaker", "MetricName": "m", "Dimensions": [], "Statistic": "Sum", "Period": 60}
_POINTS = {"Datapoints": [{"Timestamp": 2, "Sum": 80.0}, {"Timestamp": 1, "Sum": 5.0}]}


@pytest.mark.parametrize(
    ("alarms", "points", "told"),
    [
        ([_ALARM], _POINTS, [("policy", "alarm", 80.0)]),
        ([], _POINTS, []),
        ([_ALARM], {"Datapoints": []}, []),
    ],
)
def test_a_policy_is_told_of_its_alarm_with_the_newest_value(
    alarms: list[Any], points: dict[str, Any], told: list[Any]
) -> None:
    # Given alarms of a policy in LocalStack, in alarm or not
    cloud = _Recorder({"describe_alarms": {"MetricAlarms": alarms}, "get_metric_statistics": points})
    policies = _Policies()
    # When a minute is over, Then the policy learns what it must
    backends.Scaling(policies, cloud).heed([MINUTE])
    assert policies.told == told
    assert cloud.asked[0] == ("describe_alarms", {"AlarmNames": ["alarm"], "StateValue": "ALARM"})


# --- resources of stacks


@pytest.fixture
def stacks() -> Iterator[_Recorder]:
    """A cloud of LocalStack's for the resource types; what was there before is put back."""
    before, cloud = resource_types._cloud, _Recorder()
    behind = backends.Stacks(cloud)
    resource_types.use(behind)
    with behind.of(ACCOUNT, REGION):
        yield cloud
    resource_types._cloud = before


def test_localstack_serves_every_type_that_the_services_have() -> None:
    # Given the types of the services, When LocalStack's entry points are read, Then each is there
    assert set(plugins.RESOURCE_TYPES) == set(TYPES)
    assert set(TYPES) < set(plugins.ENTRY_POINTS["localstack.cloudformation.resource_providers"])


def test_a_pipeline_is_made_changed_and_deleted_by_sagemakers_requests(stacks: _Recorder) -> None:
    # Given a pipeline of a template
    stacks.answers["update_pipeline"] = {"PipelineArn": "arn"}
    one, given = TYPES["AWS::SageMaker::Pipeline"], {"PipelineName": "p", "PipelineDefinition": {}}
    old = {**given, "RoleArn": "r", "PipelineDefinition": {"PipelineDefinitionBody": "{}"}}
    new = {**old, "RoleArn": "s"}
    # When LocalStack has it made, changed and deleted
    made = backends.changed(one, {"verb": "create", "properties": old, "logical": "P", "stack": "s"})
    backends.changed(one, {"verb": "update", "properties": new, "old": old, "physical": "p"})
    backends.changed(one, {"verb": "delete", "properties": new, "physical": "p"})
    # Then SageMaker is asked each time
    assert made == ("p", {})
    assert [operation for operation, _ in stacks.asked] == ["create_pipeline", "update_pipeline", "delete_pipeline"]
    assert stacks.asked[1][1]["RoleArn"] == "s"


def test_what_would_replace_a_resource_is_refused_plainly(stacks: _Recorder) -> None:
    # Given a change by which a pipeline would be another one, When it is asked for, Then the line says what to do
    asked = {"verb": "update", "properties": {"PipelineName": "b"}, "old": {"PipelineName": "a"}, "physical": "a"}
    with pytest.raises(ValueError, match="replaces no resource when a stack is updated: deploy it anew"):
        backends.changed(TYPES["AWS::SageMaker::Pipeline"], asked)
    assert stacks.asked == []


def test_a_name_is_made_that_no_other_has(stacks: _Recorder) -> None:
    # Given a resource without a name, When two are made, Then each has its own, and neither is too long
    names = {resource_types.physical_name("a-stack" * 10, "Model") for _ in range(2)}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


def test_a_change_in_place_replaces_nothing() -> None:
    # Given a type with a property that names its resources
    one = ResourceType(lambda *_: ("", {}), lambda *_: ("", {}), lambda *_: None, ("Name",), "Name")
    # When properties change, Then only the name makes another one; without a way to update, any change does
    assert not one.replaces({"Name": "a", "Size": 1}, {"Name": "a", "Size": 2})
    assert one.replaces({"Name": "a"}, {"Name": "b"})
    assert ResourceType(one.create, None, one.delete).replaces({}, {})
