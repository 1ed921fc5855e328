"""A standard state machine that handles names alone, with its errors in a log group of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.blocks.sagemaker_roles import allow

# What Step Functions asks for to deliver a state machine's log. They want `*` (AWS Step Functions Developer Guide,
# "Using CloudWatch Logs to log execution history in Step Functions", read 2026-11-25).
LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
# AWS Step Functions Developer Guide, "Trace Step Functions request data in AWS X-Ray", read 2026-11-25.
TRACING = (
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
)


def state_machine(
    scope: Construct,
    construct_id: str,
    *,
    definition: Mapping[str, Any],
    role: iam.Role,
    encryption_key: kms.IKey,
) -> stepfunctions.CfnStateMachine:
    """By its resource, not by CDK's construct: that one would grant the role wildcards of its own.

    The role is granted what Step Functions itself does as it: logs and traces. The machine's data is encrypted with
    AWS's key, since it is names, ARNs and addresses; with a key of one's own, all who start it would have to use it.
    `encryption_key` is for the log.
    """
    log_group = logs.LogGroup(
        scope,
        f"{construct_id}Logs",
        retention=logs.RetentionDays.ONE_MONTH,
        encryption_key=encryption_key,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    allow(role, [*LOG_DELIVERY, *TRACING], "*")
    machine = stepfunctions.CfnStateMachine(
        scope,
        construct_id,
        role_arn=role.role_arn,
        state_machine_type="STANDARD",
        definition_string=cdk.Stack.of(scope).to_json_string(definition),
        tracing_configuration=stepfunctions.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        # What fails, and no word of what was in it.
        logging_configuration=stepfunctions.CfnStateMachine.LoggingConfigurationProperty(
            level="ERROR",
            include_execution_data=False,
            destinations=[
                stepfunctions.CfnStateMachine.LogDestinationProperty(
                    cloud_watch_logs_log_group=stepfunctions.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                        log_group_arn=log_group.log_group_arn
                    )
                )
            ],
        ),
    )
    machine.node.add_dependency(role)
    return machine
