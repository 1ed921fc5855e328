"""The stack of realtime-endpoint: what a deployment does, what may take it back, and who may do what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.policy.template import Template, strings
from stacks.serve.realtime_endpoint import RealtimeEndpointSettings
from tests.stacks.models import condition_of, definition_of, resource_of, role_grants, synthesized, trusted
from tests.stacks.test_image_labeling import named, only

ARCHITECTURE = "realtime-endpoint"


@pytest.fixture
def template() -> Template:
    return synthesized(ARCHITECTURE)


@pytest.fixture
def states(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = definition_of(template, "Deployment")["States"]
    return found


def test_only_approvals_of_the_group_are_deployed_and_none_is_lost(template: Template) -> None:
    # Given the rule
    rule = only(template, "AWS::Events::Rule")
    # Then it is about approvals of the training stack's group
    assert rule["EventPattern"]["detail-type"] == ["SageMaker Model Package State Change"]
    assert rule["EventPattern"]["detail"]["ModelApprovalStatus"] == ["Approved"]
    assert "Fn::ImportValue" in json.dumps(rule["EventPattern"]["detail"]["ModelPackageGroupName"])
    # And what cannot be delivered is kept
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Deployment", "Arn"]}
    assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0].startswith("DeadLetters")


def test_the_model_has_no_network_and_comes_from_its_package(states: dict[str, Any]) -> None:
    arguments = states["Create model"]["Arguments"]
    assert arguments["EnableNetworkIsolation"] is True
    assert arguments["Containers"] == [{"ModelPackageName": "{% $package %}"}]


def test_disks_and_captures_are_encrypted_and_both_ways_are_captured(states: dict[str, Any]) -> None:
    # Given the endpoint configuration
    arguments = states["Create configuration"]["Arguments"]
    capture = arguments["DataCaptureConfig"]
    # Then disks and captures have the stack's key
    assert arguments["KmsKeyId"] == capture["KmsKeyId"] == "${Key961B73FD.Arn}"
    # And requests and answers are captured, as text that can be read
    assert capture["CaptureOptions"] == [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
    assert capture["InitialSamplingPercentage"] == 100
    assert capture["CaptureContentTypeHeader"]["CsvContentTypes"] == ["text/csv"]


def test_production_has_two_instances_and_a_sandbox_may_have_one(states: dict[str, Any]) -> None:
    # Given the defaults, Then there are two instances, which SageMaker puts into two zones, and a canary
    (variant,) = states["Create configuration"]["Arguments"]["ProductionVariants"]
    assert (variant["InitialInstanceCount"], variant["InstanceType"]) == (2, "ml.m5.large")
    routing = states["Update endpoint"]["Arguments"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert routing["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert routing["TrafficRoutingConfiguration"]["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}
    # Given a sandbox, Then there is one, and nothing to split
    small = synthesized(ARCHITECTURE, instance_type="ml.t2.medium", instance_count=1, maximum_instances=1)
    its = definition_of(small, "Deployment")["States"]
    (variant,) = its["Create configuration"]["Arguments"]["ProductionVariants"]
    assert (variant["InitialInstanceCount"], variant["InstanceType"]) == (1, "ml.t2.medium")
    routing = its["Update endpoint"]["Arguments"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert routing["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"


def test_an_update_goes_back_by_the_alarms_of_its_callers(template: Template, states: dict[str, Any]) -> None:
    # Given the update
    alarms = states["Update endpoint"]["Arguments"]["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    watched = {
        template.body["Resources"][one["AlarmName"][2:-1]]["Properties"]["MetricName"]: template.body["Resources"][
            one["AlarmName"][2:-1]
        ]["Properties"]
        for one in alarms
    }
    # Then errors, the model's latency and SageMaker's overhead take it back
    assert set(watched) == {"Invocation5XXErrors", "ModelLatency", "OverheadLatency"}
    # And latencies are compared in microseconds, in percentiles
    assert (watched["ModelLatency"]["Threshold"], watched["ModelLatency"]["ExtendedStatistic"]) == (500_000, "p95")
    assert (watched["OverheadLatency"]["Threshold"], watched["OverheadLatency"]["ExtendedStatistic"]) == (
        200_000,
        "p99",
    )
    # And SageMaker may read them, as the endpoint's role
    read = {target for action, target in role_grants(template, "ModelRole") if action == "cloudwatch:DescribeAlarms"}
    assert len(read) == 3


def test_an_update_keeps_the_instances_that_the_traffic_has_called_for(states: dict[str, Any]) -> None:
    arguments = states["Update endpoint"]["Arguments"]
    assert arguments["RetainAllVariantProperties"] is True
    assert arguments["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DataCaptureConfig"}]


def test_people_are_told_once_by_the_composite_alarm(template: Template) -> None:
    unwell = only(template, "AWS::CloudWatch::CompositeAlarm")
    rule = "".join(part for part in strings(unwell["AlarmRule"]) if "ALARM" in part)
    assert rule.count('ALARM("') >= 3
    assert unwell["AlarmActions"] == unwell["OKActions"] != []


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (
            "invocations",
            {
                "TargetValue": 70,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            },
        ),
        (
            "cpu",
            {
                "TargetValue": 50,
                "CustomizedMetricSpecification": {
                    "Namespace": "/aws/sagemaker/Endpoints",
                    "MetricName": "CPUUtilization",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": "${AWS::StackName}"},
                        {"Name": "VariantName", "Value": "AllTraffic"},
                    ],
                    "Statistic": "Average",
                    "Unit": "Percent",
                },
            },
        ),
    ],
)
def test_instances_follow_the_traffic(scaling: str, expected: dict[str, Any]) -> None:
    # Given one of the two ways to scale
    states = definition_of(synthesized(ARCHITECTURE, scaling=scaling), "Deployment")["States"]
    # Then the policy has its metric and target, with five minutes between two changes
    policy = states["Set scaling"]["Arguments"]["TargetTrackingScalingPolicyConfiguration"]
    assert policy == {**expected, "ScaleInCooldown": 300, "ScaleOutCooldown": 300}
    registered = states["Register for scaling"]["Arguments"]
    assert registered["ResourceId"] == "endpoint/${AWS::StackName}/variant/AllTraffic"
    assert (registered["MinCapacity"], registered["MaxCapacity"]) == (2, 4)


def test_every_way_leads_to_an_end_and_every_failure_is_told(states: dict[str, Any]) -> None:
    # Given the states, When the ways out of each are followed
    ways: dict[str, set[str]] = {}
    for name, state in states.items():
        following = [state.get("Next"), state.get("Default"), *(each["Next"] for each in state.get("Choices", []))]
        following += [each["Next"] for each in state.get("Catch", [])]
        ways[name] = {one for one in following if one}
    # Then each leads to a state that is there, or is an end
    assert all(ways[name] <= set(states) for name in states)
    ends = {name for name, following in ways.items() if not following}
    assert ends == {"Deployed", "Nothing to deploy", "Not approved", "Failed"}
    # And each is reached
    reached, new = set(), {"Which package"}
    while new:
        reached |= new
        new = {following for name in new for following in ways[name]} - reached
    assert reached == set(states)
    # And each call has a retry, and tells of its failure in the end
    for name, state in states.items():
        if state["Type"] == "Task":
            assert state["Retry"], name
            *_, last = state["Catch"]
            assert last["ErrorEquals"] == ["States.ALL"], name


def test_what_may_be_in_service_is_never_discarded(states: dict[str, Any]) -> None:
    # Given what happens after the endpoint was asked to change
    for name in ("Look at endpoint", "Register for scaling", "Set scaling", "Delete old configuration"):
        # Then a failure there is told, and the new configuration stays
        assert [caught["Next"] for caught in states[name]["Catch"]] == ["Tell of failure"]


def test_a_deployment_touches_what_is_named_after_its_endpoint(template: Template) -> None:
    # Given the role of the state machine, When its grants on SageMaker are read
    held = {
        (action.removeprefix("sagemaker:"), resource_of(target))
        for action, target in role_grants(template, "DeploymentRole")
        if action.startswith("sagemaker:") and target != "*"
    }
    model, config, endpoint = (
        "model/${AWS::StackName}-v*",
        "endpoint-config/${AWS::StackName}-v*",
        "endpoint/${AWS::StackName}",
    )
    # Then they are these
    package = {pair for pair in held if "ModelPackage" in pair[0]}
    assert {pair[0] for pair in package} == {"DescribeModelPackage", "ListModelPackages"}
    assert held - package == {
        *((f"{verb}Model", model) for verb in ("Create", "Delete")),
        *((f"{verb}EndpointConfig", config) for verb in ("Create", "Describe", "Delete")),
        ("CreateEndpoint", config),
        ("UpdateEndpoint", config),
        *((f"{verb}Endpoint", endpoint) for verb in ("Create", "Update", "Describe", "Delete")),
        ("UpdateEndpointWeightsAndCapacities", endpoint),
    }
    # And it hands the endpoint's role to SageMaker only
    assert condition_of(template, "DeploymentRole", "iam:PassRole") == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    # And scales variants of SageMaker only
    assert condition_of(template, "DeploymentRole", "application-autoscaling:RegisterScalableTarget") == {
        "StringEquals": {
            "application-autoscaling:service-namespace": "sagemaker",
            "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
        }
    }


def test_the_endpoint_reads_models_and_writes_its_captures(template: Template) -> None:
    held = {pair for pair in role_grants(template, "ModelRole") if pair[0].startswith("s3:")}
    read = {target for action, target in held if action == "s3:GetObject"}
    assert len(read) == 1
    assert read.pop().endswith("/models/*")
    assert {pair for pair in held if pair[0] != "s3:GetObject"} == {
        ("s3:PutObject", "${CapturesDE857D5D.Arn}/captures/${AWS::StackName}/*")
    }
    assert trusted(template, "ModelRole")[0] == "sagemaker.amazonaws.com"


def test_the_endpoints_log_goes_with_the_stack(template: Template) -> None:
    _, group = named(template, "AWS::Logs::LogGroup", "EndpointLogs")
    assert group["LogGroupName"] == {"Fn::Join": ["", ["/aws/sagemaker/Endpoints/", {"Ref": "AWS::StackName"}]]}
    assert group["RetentionInDays"]
    assert "logs:CreateLogGroup" not in {action for action, _ in role_grants(template, "ModelRole")}


def test_the_endpoint_is_taken_away_before_what_it_needs_and_after_what_makes_it(template: Template) -> None:
    # Given the resource whose deletion deletes the endpoint
    resources = template.body["Resources"]
    (retired,) = (name for name, _ in template.resources("Custom::RetiredEndpoint"))
    # Then its roles and its bucket outlive it
    depends = set(resources[retired]["DependsOn"])
    assert {"ModelRole", "DeploymentRole"} <= {name[: -len("12345678")] for name in depends}
    assert any(name.startswith("Captures") for name in depends)
    # And the bucket is emptied only when the last captures lie there
    (emptied,) = (name for name, _ in template.resources("Custom::EmptiedBucket"))
    assert emptied in depends
    # And the rule that would deploy again does not
    assert retired in resources["Approved"]["DependsOn"]


def test_a_night_stops_the_endpoint_and_a_morning_starts_it(template: Template) -> None:
    # Given the defaults, Then it runs through
    assert not list(template.resources("AWS::Scheduler::Schedule"))
    # Given a sandbox, Then a schedule calls the function that retires, and another the deployment of the newest
    nights = synthesized(ARCHITECTURE, stop_overnight=True, stop_hour=19, start_hour=8, time_zone="Europe/Berlin")
    schedules = {name: resource["Properties"] for name, resource in nights.resources("AWS::Scheduler::Schedule")}
    # And it is stopped on every day, as an approval on a Friday night or a Saturday deploys, too
    assert schedules["Stop"]["ScheduleExpression"] == "cron(0 19 * * ? *)"
    assert schedules["Stop"]["Target"]["Input"] == '{"stop": true}'
    assert schedules["Start"]["ScheduleExpression"] == "cron(0 8 ? * MON-FRI *)"
    assert schedules["Start"]["Target"]["Arn"] == {"Fn::GetAtt": ["Deployment", "Arn"]}
    assert {one["ScheduleExpressionTimezone"] for one in schedules.values()} == {"Europe/Berlin"}
    assert all(one["Target"]["DeadLetterConfig"] for one in schedules.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"instance_count": 0},
        {"instance_count": 5},
        {"maximum_instances": 1},
        {"scaling": "steps"},
        {"canary_percent": 51},
        {"bake_seconds": 3601},
        {"capture_percent": 0},
        {"stop_hour": 7},
        {"stop_hour": 6},
        {"time_zone": "Europe/Berlinn"},
        {"instance_type": "m5.large"},
        {"colour": "red"},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RealtimeEndpointSettings(**settings)  # type: ignore[arg-type]


def test_settings_of_the_night_that_cannot_be_meant_are_refused_with_a_reason() -> None:
    # Given an evening before its morning, and a time zone that is none, Then the answer says what is wrong
    with pytest.raises(ValidationError, match=r"stop_hour \(2\) must be later on the same day than start_hour \(7\)"):
        RealtimeEndpointSettings(stop_overnight=True, stop_hour=2)
    with pytest.raises(ValidationError, match="'Mars/Olympus' is no time zone that this machine knows"):
        RealtimeEndpointSettings(stop_overnight=True, time_zone="Mars/Olympus")


def test_another_instance_type_ends_the_scaling_before_the_update(template: Template, states: dict[str, Any]) -> None:
    # Given the way from the configuration in service to the update
    assert states["Read its model"]["Next"] == "Same machines"
    (same,) = states["Same machines"]["Choices"]
    # Then it is straight for the same instances, and ends the scaling for others
    assert (same["Condition"], same["Next"]) == ("{% $old_type = 'ml.m5.large' %}", "Update endpoint")
    ended = states[states["Same machines"]["Default"]]
    assert ended["Resource"].endswith(":deregisterScalableTarget")
    assert ended["Next"] == "Update endpoint"
    # And who was never scaled is no failure
    assert ended["Catch"][0]["Next"] == "Update endpoint"
    # And whatever serves in the end is scaled
    took_over, rolled_back = states["How did it end"]["Choices"][1:3]
    assert took_over["Next"] == rolled_back["Next"] == "Register for scaling"
    assert states["Which one serves"]["Default"] == "Discard configuration"
    assert condition_of(template, "DeploymentRole", "application-autoscaling:DeregisterScalableTarget")
