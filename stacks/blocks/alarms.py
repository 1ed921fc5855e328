"""Alarms, what they watch, and the dashboard that shows them."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.blocks.python_function import PythonFunction


def alarm(
    scope: Construct,
    construct_id: str,
    *,
    description: str,
    metric: cloudwatch.IMetric,
    threshold: float = 0,
    evaluation_periods: int = 1,
    datapoints_to_alarm: int | None = None,
    no_data: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
) -> cloudwatch.Alarm:
    """Raised above the threshold in so many of so many periods.

    No data is good news, unless told otherwise: nothing has happened.
    """
    return cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_description=description,
        metric=metric,
        threshold=threshold,
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=datapoints_to_alarm,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        treat_missing_data=no_data,
    )


def tell_of_alarms(
    alarms: Sequence[cloudwatch.Alarm], topic: sns.Topic, composites: Sequence[cloudwatch.CfnCompositeAlarm] = ()
) -> None:
    """Every alarm tells the topic when it is raised and when it clears, and no other alarm may.

    Composite alarms may, too; they have their actions already.
    """
    action = cloudwatch_actions.SnsAction(topic)
    tellers = [*(one.alarm_arn for one in alarms), *(one.attr_arn for one in composites)]
    for one in alarms:
        one.add_alarm_action(action)
        one.add_ok_action(action)
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"ArnEquals": {"aws:SourceArn": tellers}},
        )
    )


def waiting_messages(queue: sqs.Queue) -> cloudwatch.Metric:
    """How many messages wait; of a dead-letter queue, how many were given up."""
    return queue.metric_approximate_number_of_messages_visible(period=_a_minute(), statistic="Maximum")


def oldest_message_age(queue: sqs.Queue) -> cloudwatch.Metric:
    """How long the oldest message has waited, in seconds."""
    return queue.metric_approximate_age_of_oldest_message(period=_a_minute(), statistic="Maximum")


def errors(function: PythonFunction) -> cloudwatch.Metric:
    """How often the function broke off: a crash, a time-out or too little memory."""
    return function.function.metric_errors(period=_a_minute(), statistic="Sum")


def throttles(function: PythonFunction) -> cloudwatch.Metric:
    """How often Lambda refused to run the function: the account's concurrency is used up."""
    return function.function.metric_throttles(period=_a_minute(), statistic="Sum")


def dashboard(
    scope: Construct,
    construct_id: str,
    *,
    alarms: Sequence[cloudwatch.Alarm],
    graphs: Sequence[cloudwatch.GraphWidget],
) -> cloudwatch.Dashboard:
    """The last three hours: the alarms' states in a row, under them the graphs."""
    return cloudwatch.Dashboard(
        scope,
        construct_id,
        default_interval=cdk.Duration.hours(3),
        widgets=[[cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24)], list(graphs)],
    )


def _a_minute() -> cdk.Duration:
    return cdk.Duration.minutes(1)
